"""How far the free units come: who counts, from when it is, and that it never holds anybody up."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hub import snapshot
from hub.coverage import CACHE_MS, MINUTES, Covering
from hub.errors import Refused
from hub.rank import RoadsDown
from hub.rings import Ring, Spot
from hub.roads import Area, Cover
from tests.screens.console_world import World, at, world
from tests.screens.test_console_closures import close, flood
from wire.distance import moved

MIDDLE = (42.45, -101.35)
SQUARE = (((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 0.0)),)


class Engine:
    """Answers with one area for each time, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []  # places, rings
        self.is_down = False
        self.off: set[int] = set()

    def __call__(self, spots: Sequence[Spot], minutes: Sequence[int], closed: Sequence[Ring], wait_s: float) -> Cover:
        self.asked.append((len(spots), len(closed)))
        if self.is_down:
            raise RoadsDown("The road engine did not answer in time.")
        areas = tuple(Area(minutes=each, rings=SQUARE) for each in sorted(minutes, reverse=True))
        return Cover(areas=areas, on_roads=tuple(at not in self.off for at in range(len(spots))))


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def covered(tmp_path: Path, engine: Engine) -> Iterator[World]:
    with world(tmp_path, reach=engine) as hub:
        yield hub


def test_it_counts_the_free_units_whose_place_is_known_and_names_the_others(covered: World, engine: Engine) -> None:
    said = covered.signed_in("nina").get("/api/v1/coverage").get_json()
    assert [one["call_sign"] for one in said["counted"]] == ["CARE-1", "CARE-2"]
    assert [(one["call_sign"], one["why"]) for one in said["left_out"]] == [("CARE-5", "position 9 min old")]
    assert said["at_ms"] == covered.now_ms
    assert [area["minutes"] for area in said["areas"]] == sorted(MINUTES, reverse=True)
    assert engine.asked == [(2, 0)]


def test_it_is_asked_for_once_for_everybody_within_some_seconds(covered: World, engine: Engine) -> None:
    page = covered.signed_in("nina")
    first = page.get("/api/v1/coverage").get_json()
    covered.now_ms += CACHE_MS - 1
    assert page.get("/api/v1/coverage").get_json() == first
    assert len(engine.asked) == 1
    covered.now_ms += 1
    assert page.get("/api/v1/coverage").get_json()["at_ms"] == covered.now_ms
    assert len(engine.asked) == 2


def test_a_closure_counts_at_once(covered: World, engine: Engine) -> None:
    page = covered.signed_in("nina")
    page.get("/api/v1/coverage")
    close(page, flood())
    assert page.get("/api/v1/coverage").get_json()["closures"] == 1
    assert engine.asked == [(2, 0), (2, 1)]


def test_a_unit_inside_a_closure_is_named_and_not_drawn(covered: World) -> None:
    page = covered.signed_in("nina")
    lat, lon = moved(*MIDDLE, 110, 900)
    close(page, flood(corners=[{"lat": lat, "lon": lon}], radius_m=100))
    said = page.get("/api/v1/coverage").get_json()
    assert ("CARE-2", "inside a closure") in [(one["call_sign"], one["why"]) for one in said["left_out"]]


def test_a_unit_off_the_roads_is_named_and_not_counted(covered: World, engine: Engine) -> None:
    engine.off = {1}
    said = covered.signed_in("nina").get("/api/v1/coverage").get_json()
    assert [one["call_sign"] for one in said["counted"]] == ["CARE-1"]
    assert {"unit": "u2", "call_sign": "CARE-2", "why": "on no road of the map"} in said["left_out"]


def test_without_a_free_unit_the_engine_is_not_asked(covered: World, engine: Engine) -> None:
    covered.now_ms += 20 * 60_000  # every position is old by then
    said = covered.signed_in("nina").get("/api/v1/coverage").get_json()
    assert (said["areas"], said["counted"], engine.asked) == ([], [], [])


def test_when_the_engine_is_away_it_is_one_sentence(covered: World, engine: Engine) -> None:
    engine.is_down = True
    answer = covered.signed_in("nina").get("/api/v1/coverage")
    assert answer.status_code == 503
    assert answer.get_json()["message"] == (
        "The road engine did not answer in time. So there is no coverage now; lists go by straight line."
    )


def test_a_hub_without_an_engine_says_so(hub: World) -> None:
    answer = hub.signed_in("nina").get("/api/v1/coverage")
    assert (answer.status_code, answer.get_json()["message"].startswith("The road engine does not run.")) == (503, True)


def test_one_at_a_time_asks_the_engine_and_the_others_get_what_there_is() -> None:
    may_end, is_asked = threading.Event(), threading.Event()

    def slow(spots: Sequence[Spot], minutes: Sequence[int], closed: Sequence[Ring], wait_s: float) -> Cover:
        is_asked.set()
        assert may_end.wait(20)
        return Cover(areas=(), on_roads=tuple(True for _ in spots))

    covering = Covering(slow)
    unit = at("u1", *MIDDLE)
    units = (free("u1"),)
    thread = threading.Thread(target=lambda: covering.coverage(units, {"u1": unit}, (), unit.arrived_ms))
    thread.start()
    assert is_asked.wait(20)
    with pytest.raises(Refused, match="being worked out"):
        covering.coverage(units, {"u1": unit}, (), unit.arrived_ms)
    may_end.set()
    thread.join()
    first = covering.coverage(units, {"u1": unit}, (), unit.arrived_ms)
    may_end.clear()
    is_asked.clear()
    later_ms = unit.arrived_ms + CACHE_MS
    thread = threading.Thread(target=lambda: covering.coverage(units, {"u1": unit}, (), later_ms))
    thread.start()
    assert is_asked.wait(20)
    assert covering.coverage(units, {"u1": unit}, (), later_ms) is first
    may_end.set()
    thread.join()


def free(unit: str) -> snapshot.UnitView:
    return snapshot.UnitView(
        unit=unit,
        call_sign=unit,
        agency="lakeshore",
        kind="vehicle",
        device=f"d-{unit}",
        status="available",
        status_label="Available",
        status_ms=0,
        status_skipped=False,
        assignment=None,
        crew=(snapshot.CrewMember(id="dana", name="Alder"),),
        skills=(),
        languages=(),
        has_sworn=False,
        presence="connected",
        presence_ms=0,
        owed=0,
        owed_since_ms=None,
        complete_ms=None,
        is_in_emergency=False,
    )


@pytest.mark.parametrize("account", ["kit", "ruth"])
def test_where_units_are_is_for_who_dispatches(covered: World, account: str) -> None:
    page = covered.signed_in(account)
    assert page.get("/api/v1/coverage").status_code == 403
    assert page.get("/api/v1/units/u1/trail").status_code == 403
