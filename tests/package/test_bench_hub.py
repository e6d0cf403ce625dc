"""What the measurements of the hub count by: positions that are numbered, and why an order is another one."""

from __future__ import annotations

import selectors
import socket
from array import array
from collections.abc import Mapping

import msgspec
import pytest

from bench.hub_board import FRAME_MS, dropped
from bench.hub_ranking import why_other
from bench.pushed import LONGITUDE, longitude, number_of
from bench.viewers import Viewer, read
from hub.closest import Answer
from hub.rank import Travel
from wire import compact
from wire.fix import Fix


@pytest.mark.parametrize("number", [0, 1, 99, 123_456, 9_999_999])
def test_a_number_survives_the_air_and_the_stream(number: int) -> None:
    heard = compact.fix_of(compact.packed(Fix(lat=40.0, lon=longitude(number)), bytes(16), 1, 0, "cadence"))
    assert heard is not None
    streamed = msgspec.json.encode({"unit": "u-1", "lat": heard.lat, "lon": heard.lon, "speed_mps": 0.0})
    assert [number_of(found) for found in LONGITUDE.finditer(streamed)] == [number]


def test_a_longitude_that_comes_in_two_pieces_counts_once_and_whole() -> None:
    here, there = socket.socketpair()
    came = array("q")
    with selectors.DefaultSelector() as selector, here, there:
        here.setblocking(False)
        selector.register(here, selectors.EVENT_READ, Viewer(7, here))
        for piece in (b'{"lat":40.0,"lon":-82.9', b'99123,"speed_mps":0.0},{"lat":40.0,"lon":-82.999122}'):
            there.sendall(piece)
            read(selector, came)
    assert list(came[0::3]) == [7, 7]
    assert list(came[1::3]) == [877, 878]


def travel(seconds: float) -> Travel:
    return Travel(distance_m=10 * seconds, seconds=seconds)


@pytest.mark.parametrize(
    ("engine", "ours", "full", "says"),
    [
        ("straight line", {}, {"a": travel(1)}, "straight line"),
        ("road", {"a": travel(1)}, {"a": travel(1), "b": travel(1)}, "was not asked for"),
        ("road", {"a": travel(1), "b": travel(2)}, {"a": travel(1), "b": travel(3)}, "other seconds"),
        ("road", {"a": travel(1), "b": travel(1)}, {"a": travel(1), "b": travel(1)}, "the same seconds"),
    ],
)
def test_it_is_said_why_an_order_is_not_that_of_the_full_matrix(
    engine: str, ours: Mapping[str, Travel], full: Mapping[str, Travel], says: str
) -> None:
    answer = Answer(engine=engine, candidates=(), exact_n=0, ways=dict(ours), why_not="the engine is away")
    assert says in why_other(answer, dict(full), set(full))


def test_a_frame_counts_as_dropped_when_its_place_among_sixty_a_second_stayed_empty() -> None:
    assert dropped([FRAME_MS, FRAME_MS * 1.3, FRAME_MS * 0.7]) == 0
    assert dropped([FRAME_MS, FRAME_MS * 2.1, FRAME_MS * 6]) == 1 + 5
