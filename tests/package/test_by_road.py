"""A list asks the engine that answers when it is made, and no other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from hub.by_road import ranked_by
from hub.closest import BY_ROAD, Question, closest
from hub.engine import Endpoint
from hub.rank import STRAIGHT_LINE, Need, RosterUnit, Rules
from hub.rankings import ByRoad
from hub.rings import Ring, Spot, shut_between
from hub.roads import Roads
from tests.package.test_hub_roads import GRAPH, Asked, Write, answers, engine, refusal, whole
from tests.screens.console_world import NOW_MS, at

ABOUT = Question(
    need=Need(lat=42.5, lon=-101.0, priority=2),
    roster=tuple(
        RosterUnit(unit=unit, call_sign=unit, agency="L", kind="vehicle", status="available", status_ms=0)
        for unit in ("near", "far")
    ),
    positions=(at("far", 42.004, -101.0), at("near", 42.002, -101.0)),
    now_ms=NOW_MS,
    rules=Rules(road_wait_s=5.0),
)


class Where:
    """An engine that comes and goes."""

    def __init__(self) -> None:
        self.now: Endpoint | None = None

    def __call__(self) -> Endpoint | None:
        return self.now


@pytest.fixture
def where() -> Where:
    return Where()


@pytest.fixture
def roads(where: Where) -> Iterator[Roads]:
    made = Roads(where)
    yield made
    made.close()


def by_road(roads: Roads) -> ByRoad:
    made = ranked_by(roads, time.monotonic)
    assert made is not None
    return made


def asked(by: ByRoad) -> tuple[str, str | None, list[tuple[str, float | None]]]:
    about = replace(ABOUT, bound=by.bound)
    answer = closest(about, by.times(about).times)
    return answer.engine, answer.why_not, [(one.unit, one.travel_s) for one in answer.candidates]


def test_without_an_engine_there_is_nobody_to_ask(roads: Roads) -> None:
    assert ranked_by(roads, time.monotonic) is None


def test_the_list_is_by_the_engines_times_and_nobody_is_faster_than_its_roads(roads: Roads, where: Where) -> None:
    with engine(answers) as (_, fake):
        where.now = fake.endpoint
        by = by_road(roads)
        assert by.bound.fastest_mps == pytest.approx(GRAPH.fastest_kph / 3.6)
        assert by.times(ABOUT).graph == GRAPH.id
        assert asked(by) == (BY_ROAD, None, [("near", 9.0), ("far", 11.0)])


def test_an_engine_that_ends_while_a_list_is_made_leaves_a_list_by_straight_line(roads: Roads, where: Where) -> None:
    with engine(answers) as (_, fake):
        where.now = fake.endpoint
        by = by_road(roads)
        where.now = None
        assert asked(by)[:2] == (STRAIGHT_LINE, "The road engine does not run.")


def test_a_list_never_rests_on_two_graphs(roads: Roads, where: Where) -> None:
    with engine(answers) as (_, fake):
        where.now = fake.endpoint
        by = by_road(roads)
        where.now = replace(fake.endpoint, graph=replace(GRAPH, id="another", fastest_kph=140))
        assert asked(by)[:2] == (STRAIGHT_LINE, "The roads were replaced a moment ago.")
        assert asked(by_road(roads))[0] == BY_ROAD


def test_a_place_off_every_road_is_ranked_by_straight_line_and_the_list_says_why(roads: Roads, where: Where) -> None:
    def off(action: str, _asked: Asked, write: Write) -> None:
        sources_on = [{"edges": [{}]}, {"edges": [{}]}, {"edges": None}]  # and the target is on none
        write(whole(json.dumps(sources_on).encode()) if action == "locate" else refusal(171))

    with engine(off) as (_, fake):
        where.now = fake.endpoint
        engine_word, why, order = asked(by_road(roads))
    assert (engine_word, why) == (STRAIGHT_LINE, "The place is on no road of the map.")
    assert [unit for unit, _ in order] == ["far", "near"]


def shut(id_: str, lat: float, lon: float, half: float = 0.0005) -> Ring:
    box = ((lat - half, lon - half), (lat - half, lon + half), (lat + half, lon + half), (lat + half, lon - half))
    return Ring(id=id_, corners=tuple(Spot(lat=one, lon=other) for one, other in box))


def test_what_is_closed_is_told_to_the_engine(roads: Roads, where: Where) -> None:
    with engine(answers) as (_, fake):
        where.now = fake.endpoint
        by = by_road(roads)
        about = replace(ABOUT, bound=by.bound, closed=(shut("a", 42.3, -101.0),))
        by.times(about).times(["near", "far"])
        assert [len(asked["exclude_polygons"]) for asked in fake.asked] == [1]


def test_who_stands_inside_a_closure_comes_out_of_it_and_the_others_drive_around(roads: Roads, where: Where) -> None:
    with engine(answers) as (_, fake):
        where.now = fake.endpoint
        by = by_road(roads)
        about = replace(ABOUT, bound=by.bound, closed=(shut("a", 42.3, -101.0), shut("b", 42.002, -101.0)))
        ways = by.times(about).times(["near", "far"])
        assert all(ways.values())
        asked_with = {len(asked["sources"]): len(asked["exclude_polygons"]) for asked in fake.asked}
        assert len(fake.asked) == 2
        assert asked_with == {1: 2} or sorted(len(a["exclude_polygons"]) for a in fake.asked) == [1, 2]


def test_a_place_inside_a_closure_is_driven_into_and_everything_else_closed_stays_closed() -> None:
    goal, unit = Spot(lat=42.5, lon=-101.0), Spot(lat=42.002, lon=-101.0)
    inside, beside = shut("in", 42.5, -101.0), shut("beside", 42.4, -101.0)
    assert shut_between((inside, beside), unit, goal) == (beside,)
    # a stretch is one closure of several rings: who is in one of them is in it
    other_piece = shut("in", 42.45, -101.0)
    assert shut_between((inside, other_piece, beside), unit, goal) == (beside,)
