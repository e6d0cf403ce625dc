"""The short list: few ways are asked for, and the first units are those that asking for every way would give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.closest import ASK_ALL_N, BATCH_N, Bound, Question, closest, least_s, listed
from hub.position import Position
from hub.rank import STRAIGHT_LINE, Candidate, Errand, Need, RoadsDown, RosterUnit, Rules, Travel, straight_line
from tests.package.test_rank import HERE, NEED, NOW_MS, away, order, unit
from wire.distance import moved
from wire.status import Status

Ways = dict[str, Travel | None]


class Engine:
    """Answers from a whole matrix, counts what it was asked, and is down from a given question on."""

    def __init__(self, matrix: Mapping[str, Travel | None], down_after: int | None = None) -> None:
        self.matrix = matrix
        self.down_after = down_after
        self.asked: list[Sequence[str]] = []

    def __call__(self, units: Sequence[str]) -> Ways:
        if len(self.asked) == self.down_after:
            raise RoadsDown("The road engine does not answer.")
        self.asked.append(units)
        return {one: self.matrix[one] for one in units if self.matrix[one] is not None}


def question(
    roster: Sequence[RosterUnit], places: Sequence[Position], need: Need = NEED, **changed: object
) -> Question:
    plain = Question(need=need, roster=tuple(roster), positions=tuple(places), now_ms=NOW_MS)
    return replace(plain, **changed)


def in_a_row(count: int, step_m: float = 700.0, from_m: float = 0.0) -> Question:
    names = [f"u{n:03}" for n in range(count)]
    return question([unit(name) for name in names], [away(name, from_m + step_m * n) for n, name in enumerate(names)])


def detoured(asked: Question, detour: Callable[[str], float] = lambda _: 1.5) -> Ways:
    """Roads that are so much longer than the straight line, at 15 m/s."""
    lines = straight_line(asked.need, asked.placed, asked.now_ms)
    return {
        one: Travel(distance_m=line.distance_m * detour(one), seconds=line.distance_m * detour(one) / 15)
        for one, line in lines.items()
    }


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_a_small_fleet_is_asked_for_in_one_question_so_every_line_has_its_minutes() -> None:
    asked = in_a_row(ASK_ALL_N)
    engine = Engine(detoured(asked))
    answer = closest(asked, engine)
    assert [len(batch) for batch in engine.asked] == [ASK_ALL_N]
    assert all(one.travel_s is not None and one.at_least_s is None for one in answer.candidates)
    assert answer.exact_n == ASK_ALL_N


def test_of_a_large_fleet_few_are_asked_for_and_the_rest_say_what_they_take_at_the_least() -> None:
    asked = in_a_row(200)
    engine = Engine(detoured(asked))
    answer = closest(asked, engine)
    assert [len(batch) for batch in engine.asked] == [BATCH_N]
    assert order(answer.candidates)[:3] == ["u000", "u001", "u002"]
    rest = [one for one in answer.candidates if one.travel_s is None]
    assert len(rest) == 200 - BATCH_N
    assert all(one.fit and one.at_least_s is not None for one in rest)
    assert len(answer.candidates) == 200


def test_a_unit_across_the_river_does_not_win_by_being_near() -> None:
    asked = in_a_row(60)
    near = {f"u{n:03}" for n in range(14)}
    engine = Engine(detoured(asked, lambda one: 9.0 if one in near else 1.2))
    answer = closest(asked, engine)
    full = listed(asked, "road", detoured(asked, lambda one: 9.0 if one in near else 1.2))
    assert order(answer.candidates)[:3] == order(full)[:3]
    assert "u014" in order(answer.candidates)[:3]
    assert len(engine.asked) > 1
    assert all(len(batch) <= BATCH_N for batch in engine.asked)


def test_nobody_is_asked_for_twice() -> None:
    asked = in_a_row(80, 100.0)
    engine = Engine(detoured(asked, lambda one: 1 + (int(one[1:]) * 7 % 13)))
    closest(asked, engine)
    every = [one for batch in engine.asked for one in batch]
    assert len(every) == len(set(every))


def test_what_is_left_of_the_first_question_is_for_those_who_cannot_go() -> None:
    busy = [unit(f"b{n:02}", Status.ON_SCENE) for n in range(40)]
    asked = question([unit("free"), *busy], [away("free", 5000), *(away(one.unit, 100.0) for one in busy)])
    engine = Engine(detoured(asked))
    answer = closest(asked, engine)
    assert len(engine.asked) == 1
    assert engine.asked[0][0] == "free"
    assert sum(one.travel_s is not None for one in answer.candidates if not one.fit) == BATCH_N - 1


def test_when_time_is_up_the_list_is_what_is_certain_by_then_but_never_less_than_the_first() -> None:
    asked = in_a_row(200, from_m=4000)
    far = {f"u{n:03}" for n in range(14)}
    matrix = detoured(asked, lambda one: 9.0 if one in far else 1.2)
    patient, hurried = Engine(matrix), Engine(matrix)
    full, answer = closest(asked, patient), closest(asked, hurried, lambda: False)
    assert answer.exact_n >= 1
    assert 1 < len(hurried.asked) < len(patient.asked), "the first question says nothing for certain here, the next do"
    assert answer.candidates[: answer.exact_n] == full.candidates[: answer.exact_n]


# --- the roads do not answer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1, 2])
def test_without_the_roads_the_whole_list_is_by_straight_line_whenever_they_went(after: int) -> None:
    asked = in_a_row(60)
    near = {f"u{n:03}" for n in range(30)}
    engine = Engine(detoured(asked, lambda one: 9.0 if one in near else 1.2), down_after=after)
    answer = closest(asked, engine)
    assert len(engine.asked) == after
    assert answer.engine == STRAIGHT_LINE
    assert answer.why_not == "The road engine does not answer."
    assert answer.candidates == closest(asked, None).candidates
    assert all("straight line, not by road" in one.notes and one.at_least_s is None for one in answer.candidates)


def test_a_list_is_by_road_or_by_straight_line_and_never_by_both() -> None:
    answer = closest(in_a_row(60), Engine(detoured(in_a_row(60))))
    assert answer.engine == "road"
    assert not any("straight line, not by road" in one.notes for one in answer.candidates)


def test_a_unit_that_no_road_leads_from_says_so_and_the_next_one_goes() -> None:
    asked = in_a_row(3)
    answer = closest(asked, Engine({**detoured(asked), "u000": None}))
    assert order(answer.candidates) == ["u001", "u002", "u000"]
    assert answer.candidates[2].reasons == ("no way there found",)


def test_a_place_that_no_road_leads_to_does_not_leave_the_dispatcher_with_nobody() -> None:
    asked = in_a_row(30)
    answer = closest(asked, Engine(dict.fromkeys(order(closest(asked, None).candidates))))
    assert answer.engine == STRAIGHT_LINE
    assert answer.why_not == "The map has no road from any unit to this place."
    assert answer.candidates[0].fit


def test_a_vehicle_far_from_any_road_shows_the_bound_wrong_and_then_everybody_is_asked_for() -> None:
    asked = in_a_row(60)
    matrix = {**detoured(asked), "u005": Travel(distance_m=10, seconds=1)}  # the engine put it elsewhere
    matrix["u059"] = Travel(distance_m=10, seconds=0)
    engine = Engine(matrix)
    answer = closest(asked, engine)
    assert sum(len(batch) for batch in engine.asked) == 60
    assert answer.candidates[: answer.exact_n] == listed(asked, "road", matrix)[: answer.exact_n]


def test_nobody_at_all_is_an_empty_list() -> None:
    engine = Engine({})
    assert closest(question([], []), engine).candidates == ()
    assert engine.asked == []


# --- for any roads ----------------------------------------------------------------------------------------------------

STATUSES = [Status.AVAILABLE] * 4 + [Status.CLEARING, Status.BREAK, Status.EN_ROUTE, Status.ON_SCENE]


def city(count: int, seed: int) -> tuple[Question, Ways]:
    """A fleet, and roads that are never quicker than the least time: some equal to it, some not there, many units in one
    step of 30 s. Of a seed, not drawn one by one: a fleet large enough to leave units unasked would take seconds each."""
    chance = Random(seed)
    pick = chance.choice
    span_m = pick([0.0, 500.0, 5_000.0, 40_000.0])
    lat, lon = moved(*HERE, 90.0, 5000)
    roster = [
        unit(
            f"u{n:02}",
            pick(STATUSES),
            call_sign=f"C-{n * 37 % 101:03}",
            status_ms=NOW_MS - pick([0, 60_000, 60_001]),
            skills=frozenset(pick(["", "youth", "youth sud"]).split()),
            languages=frozenset(pick(["eng", "eng spa"]).split()),
            errand=pick([None, Errand(number=n, priority=3, lat=lat, lon=lon)]),
        )
        for n in range(count)
    ]
    places = [
        away(
            one.unit,
            pick([chance.uniform(0, span_m), span_m / 2]),
            pick([0.0, 14.9, 15.0, 45.0, 60.0, 290.0, 400.0]),
            chance.uniform(0, 359),
        )
        for one in roster
        if chance.random() < 0.9
    ]
    asked = question(
        roster,
        places,
        replace(NEED, wishes=("youth", "spa"), priority=pick([None, 1])),
        rules=Rules(wish_s=pick([0.0, 30.0, 47.5]), exact_n=pick([1, 2, 3, 6])),
        bound=Bound(fastest_mps=pick([5.0, 29.0, 39.0]), snap_m=pick([0.0, 300.0])),
    )
    detour = pick([0.0, 30.0, 3000.0])
    matrix: Ways = {}
    for one, floor in least_s(asked).items():
        seconds = floor + pick([0.0, 30.0 * chance.randrange(7), chance.uniform(0, detour)])
        matrix[one] = None if chance.random() < 0.07 else Travel(distance_m=seconds * 11, seconds=seconds)
    return asked, matrix


cities = st.builds(city, st.integers(0, 70), st.integers(0, 2**32))


def could_go(candidate: Candidate) -> bool:
    return candidate.fit or candidate.diverted_from is not None


@settings(max_examples=300, deadline=None)
@given(town=cities)
def test_the_short_list_equals_the_full_matrix(town: tuple[Question, Ways]) -> None:
    asked, matrix = town
    full = listed(asked, "road", matrix)
    answer = closest(asked, Engine(matrix))
    assert sorted(order(answer.candidates)) == sorted(one.unit for one in asked.roster)
    if answer.engine == STRAIGHT_LINE:
        assert not any(could_go(one) for one in full)
        return
    reachable = sum(could_go(one) for one in full)
    assert answer.exact_n >= min(asked.rules.exact_n, reachable)
    assert answer.candidates[: answer.exact_n] == full[: answer.exact_n]


@settings(max_examples=60, deadline=None)
@given(town=cities)
def test_what_is_said_of_a_unit_that_was_not_asked_for_is_true(town: tuple[Question, Ways]) -> None:
    asked, matrix = town
    for one in closest(asked, Engine(matrix)).candidates:
        way = matrix.get(one.unit)
        if one.at_least_s is not None and way is not None:
            assert one.travel_s is None
            assert one.at_least_s <= way.seconds


@settings(max_examples=60, deadline=None)
@given(town=cities, questions=st.integers(0, 4))
def test_however_soon_time_is_up_what_is_certain_equals_the_full_matrix(
    town: tuple[Question, Ways], questions: int
) -> None:
    asked, matrix = town
    engine = Engine(matrix)
    answer = closest(asked, engine, lambda: len(engine.asked) < questions)
    if answer.engine != STRAIGHT_LINE:
        assert answer.exact_n >= min(1, sum(could_go(one) for one in listed(asked, "road", matrix)))
        assert answer.candidates[: answer.exact_n] == listed(asked, "road", matrix)[: answer.exact_n]
