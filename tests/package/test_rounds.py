"""Several incidents at once: what is solved together, beside what sending one by one would give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.closest import Pending, Question, Times, least_s
from hub.picks import Pick
from hub.rank import STEP_S, RoadsDown, Rules, Travel
from hub.rounds import PENDING_MAX, solve
from tests.package.test_rank import NEED, NOW_MS, away, unit
from wire.status import Status

Matrix = Mapping[str, Mapping[str, float | None]]  # seconds, by incident and unit

UNITS = [unit(name) for name in ("a", "b", "c", "d")]
PLACES = tuple(away(one.unit, 0) for one in UNITS)


def pending(number: int, priority: int = 2, units: Sequence[str] = ("a", "b"), **changed: object) -> Pending:
    roster = tuple(one for one in UNITS if one.unit in units)
    asked = replace(Question(need=NEED, roster=roster, positions=PLACES, now_ms=NOW_MS), **changed)
    return Pending(incident=f"i{number}", number=number, priority=priority, question=asked)


def roads(matrix: Matrix) -> Callable[[Pending], Times]:
    def of(one: Pending) -> Times:
        row = matrix[one.incident]

        def times(units: Sequence[str]) -> dict[str, Travel | None]:
            known = {name: row[name] for name in units}
            return {
                name: None if seconds is None else Travel(distance_m=seconds * 10, seconds=seconds)
                for name, seconds in known.items()
            }

        return times

    return of


def who(picks: Sequence[Pick]) -> list[str | None]:
    return [pick.unit for pick in picks]


CROSSED: Matrix = {"i1": {"a": 300, "b": 360}, "i2": {"a": 330, "b": 1200}}


def test_among_equals_one_waits_a_minute_so_that_the_other_is_not_left_for_twenty() -> None:
    both = solve([pending(1), pending(2)], roads(CROSSED))
    assert who(both.one_by_one) == ["a", "b"]
    assert who(both.together) == ["b", "a"]
    assert both.saved_s == pytest.approx(810)
    assert both.words == (
        "Together saves 14 min of waiting in all.",
        "#1 (priority 2): B in 6 min instead of A in 5 min.",
        "#2 (priority 2): A in 6 min instead of B in 20 min.",
    )


def test_somebody_more_urgent_never_waits_for_somebody_less_urgent() -> None:
    both = solve([pending(1, 1), pending(2, 3)], roads(CROSSED))
    assert who(both.together) == who(both.one_by_one) == ["a", "b"]
    assert both.words == ("One by one is as good.",)


def test_the_most_urgent_comes_first_whenever_it_was_opened() -> None:
    both = solve([pending(1, 3), pending(2, 1)], roads(CROSSED))
    assert [pick.number for pick in both.together] == [2, 1]
    assert who(both.together) == ["a", "b"]


def test_together_leaves_nobody_out_whom_one_by_one_would() -> None:
    first = pending(1)
    only_a = pending(2, units=("a",))
    both = solve([first, only_a], roads({"i1": {"a": 60, "b": 600}, "i2": {"a": 120}}))
    assert who(both.one_by_one) == ["a", None]
    assert who(both.together) == ["b", "a"]
    assert both.words[0] == "Together #2 gets a unit; one by one nobody is left."


def test_an_incident_for_which_nobody_is_left_says_so_and_takes_nobody_from_the_others() -> None:
    both = solve([pending(1, units=("a",)), pending(2, units=("a",))], roads({"i1": {"a": 60}, "i2": {"a": 90}}))
    assert who(both.together) == ["a", None]
    assert both.together[1].travel_s is None


def test_what_serves_the_more_urgent_and_costs_more_elsewhere_is_said_as_it_is() -> None:
    matrix: Matrix = {
        "i1": {"a": 300, "b": 400, "c": 9000},
        "i2": {"a": 350, "b": 800, "c": 500},
        "i3": {"a": 5000, "b": 60, "c": 8000},
    }
    three = [pending(n, priority, ("a", "b", "c")) for n, priority in ((1, 1), (2, 1), (3, 4))]
    both = solve(three, roads(matrix))
    assert who(both.one_by_one) == ["a", "c", "b"]
    assert who(both.together) == ["b", "a", "c"]
    assert both.words[0].endswith("more waiting in all, so that nobody more urgent waits longer.")


def test_as_many_ways_are_asked_for_as_there_are_incidents_that_may_take_the_first() -> None:
    near = [f"n{n:02}" for n in range(12)]
    asked = Question(
        need=NEED,
        roster=tuple(unit(name) for name in (*near, "far")),
        positions=(*(away(name, 10) for name in near), away("far", 9000)),
        now_ms=NOW_MS,
    )
    row = {**dict.fromkeys(near), "n00": 60.0, "far": 900.0}
    both = [Pending(incident=f"i{n}", number=n, priority=2, question=asked) for n in (1, 2)]
    assert who(solve(both, roads({"i1": row, "i2": row})).together) == ["n00", "far"]


def test_nobodys_break_is_cut_short_for_some_seconds() -> None:
    one = pending(1)
    roster = tuple(replace(each, status=Status.BREAK) if each.unit == "a" else each for each in one.question.roster)
    asked = replace(one, question=replace(one.question, roster=roster))
    assert who(solve([asked], roads({"i1": {"a": 1, "b": 29}})).together) == ["b"]
    assert who(solve([asked], roads({"i1": {"a": 1, "b": 30}})).together) == ["a"]


def test_only_the_fit_are_given_and_nobody_is_diverted() -> None:
    one = pending(1)
    busy = tuple(replace(each, status=Status.EN_ROUTE) for each in one.question.roster)
    both = solve([replace(one, question=replace(one.question, roster=busy))], roads(CROSSED))
    assert who(both.together) == [None]


def test_when_one_question_is_not_answered_all_of_it_is_by_straight_line() -> None:
    def second_is_down(one: Pending) -> Times:
        def down(_: Sequence[str]) -> dict[str, Travel | None]:
            raise RoadsDown("The road engine does not answer.")

        return down if one.number == 2 else roads(CROSSED)(one)

    both = solve([pending(1), pending(2)], second_is_down)
    assert (both.engine, both.why_not_road) == ("straight line", "The road engine does not answer.")
    assert both.words[-1] == "By straight line, not by road."
    assert {pick.travel_s for pick in both.together} == {0.0}
    assert solve([pending(1)], None).engine == "straight line"


def test_more_at_once_than_anybody_holds_in_view_are_named_and_left_for_later() -> None:
    many = [pending(n) for n in range(1, PENDING_MAX + 3)]
    both = solve(many, None)
    assert len(both.together) == PENDING_MAX
    assert f"#{PENDING_MAX + 1}, #{PENDING_MAX + 2} not looked at: 12 at a time, the most urgent first." in both.words


def test_nobody_waits_and_nobody_is_sent() -> None:
    assert solve([], None).together == ()


def hour(seed: int) -> tuple[list[Pending], dict[str, dict[str, float | None]]]:
    """Some incidents and more units than are asked for, roads never quicker than the least time."""
    chance = Random(seed)
    roster = [unit(f"u{n:02}", chance.choice([Status.AVAILABLE, Status.BREAK])) for n in range(chance.randrange(30))]
    places = tuple(away(one.unit, chance.uniform(0, 9000), chance.choice([1.0, 100.0])) for one in roster)
    waiting, matrix = [], {}
    for number in range(1, chance.randrange(2, 5)):
        asked = Question(
            need=replace(NEED, lat=NEED.lat + chance.uniform(0, 0.05)),
            roster=tuple(one for one in roster if chance.random() < 0.8),
            positions=places,
            now_ms=NOW_MS,
            rules=Rules(wish_s=30.0),
        )
        one = Pending(incident=f"i{number}", number=number, priority=chance.choice([1, 2]), question=asked)
        waiting.append(one)
        matrix[one.incident] = {
            name: None if chance.random() < 0.1 else least + chance.choice([0.0, 60.0, chance.uniform(0, 2000)])
            for name, least in least_s(asked).items()
        }
    return waiting, matrix


def best(rest: Sequence[Pending], matrix: Matrix, taken: frozenset[str] = frozenset()) -> tuple[int, float]:
    """By trying everything: how many can be served, and with how little waiting, in steps."""
    if not rest:
        return (0, 0.0)
    one, later = rest[0], rest[1:]
    found = best(later, matrix, taken)
    roster = {each.unit for each in one.question.roster}
    for name, seconds in matrix[one.incident].items():
        if seconds is not None and name in roster and name not in taken:
            position = one.question.placed[name]
            old = (NOW_MS - position.arrived_ms) / 1000
            served, waited = best(later, matrix, taken | {name})
            total = (served + 1, waited + (seconds + (0.0 if old < 15 else old)) // STEP_S)
            found = max(found, total, key=lambda each: (each[0], -each[1]))
    return found


def steps(picks: Sequence[Pick]) -> float:
    return sum(pick.expected_s // STEP_S for pick in picks if pick.expected_s is not None)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_plan_serves_the_most_urgent_better(seed: int) -> None:
    waiting, matrix = hour(seed)
    both = solve(waiting, roads(matrix))
    if both.engine != "road":
        return
    top = [one for one in waiting if one.priority == min(each.priority for each in waiting)]
    given_ = [pick for pick in both.together if pick.incident in {one.incident for one in top}]
    served, waited = best(top, matrix)
    assert sum(pick.unit is not None for pick in given_) == served
    assert steps(given_) == waited


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_is_less_urgent_changes_nothing_for_what_is_more_urgent_and_nobody_goes_twice(seed: int) -> None:
    waiting, matrix = hour(seed)
    both = solve(waiting, roads(matrix))
    for plan in (both.together, both.one_by_one):
        sent = [pick.unit for pick in plan if pick.unit is not None]
        assert len(sent) == len(set(sent))
    urgent = [one for one in waiting if one.priority == 1]
    alone = solve(urgent, roads(matrix))
    if both.engine == alone.engine:
        kept = [pick for pick in both.together if pick.priority == 1]
        assert sum(pick.unit is None for pick in kept) == sum(pick.unit is None for pick in alone.together)
        assert steps(kept) == steps(alone.together)
