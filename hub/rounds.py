"""Several incidents that wait at once, each given a unit together, beside what sending one by one would give.

One by one is what a dispatcher does: the most urgent first, to each the first of its list that is still free. Together is
solved by priority: first the most urgent incidents among themselves, for the least waiting in all; then the next ones
among the units that are left. So nobody who is less urgent ever makes somebody more urgent wait; among equals one may
wait a little for another's sake, and the words say who and how long. It is shown, never done by itself.

Waiting is counted as in a list, in steps of 30 s, and at equal steps the list's order decides: nobody's break is cut short
for some seconds. What comes later in a list never costs less, so of n incidents only the first n of each list matter.

Asked for by a person, now and then: whoever starts fast loads this late, for scipy takes its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from msgspec import Struct
from scipy.optimize import linear_sum_assignment

from hub.closest import BY_ROAD, Pending, Question, Times, Ways, judged, least_s, widen
from hub.picks import Pick, Rounds
from hub.rank import FIT, STEP_S, STRAIGHT_LINE, Judged, RoadsDown, expected_s, place_of, straight_line

PENDING_MAX = 12  # each is a question of its own to the roads; more than that nobody holds in view at once
_NOBODY_S = 1e8  # more than all ways together: an incident goes without a unit only when no unit is left for it
_LATER_S = 1e-6  # for each place further down a list: all places together are less than a step
_NOTABLE_S = 30.0  # less is no difference, as in a list


class _Case(Struct, frozen=True, kw_only=True):
    """One incident with everybody who could go there, in the order of its list, and their ways."""

    pending: Pending
    standing: dict[str, Judged]
    travel_s: dict[str, float]
    cost_s: dict[str, float]


def solve(pending: Iterable[Pending], times_of: Callable[[Pending], Times] | None) -> Rounds:
    """Both plans for the most urgent PENDING_MAX of `pending`. By road, or by straight line for all of them when there
    is nobody to ask or one question is not answered."""
    ordered = sorted(pending, key=lambda one: (one.priority, one.number))
    chosen, left_out = ordered[:PENDING_MAX], ordered[PENDING_MAX:]
    if times_of is None:
        return _both([_by_line(one) for one in chosen], left_out, STRAIGHT_LINE, None)
    try:
        cases = [_by_road(one, times_of(one), len(chosen)) for one in chosen]
    except RoadsDown as down:
        return _both([_by_line(one) for one in chosen], left_out, STRAIGHT_LINE, str(down))
    return _both(cases, left_out, BY_ROAD, None)


def _by_line(pending: Pending) -> _Case:
    asked, standing = pending.question, _fit(pending.question)
    ways = straight_line(asked.need, asked.placed, asked.now_ms)
    return _case(pending, standing, {unit: ways[unit].seconds for unit in standing})


def _by_road(pending: Pending, times: Times, count: int) -> _Case:
    """With the first `count` of its list: the others take at most one less, so no plan needs more."""
    standing, least, ways = _fit(pending.question), least_s(pending.question), Ways()
    widen(standing, least, lambda unit, seconds: place_of(standing[unit], seconds), ways, count, times)
    if standing and all(unit in ways and ways[unit] is None for unit in standing):
        raise RoadsDown(f"The map has no road from any unit to #{pending.number}.")
    return _case(pending, standing, {unit: way.seconds for unit, way in ways.items() if way is not None})


def _case(pending: Pending, standing: dict[str, Judged], travel_s: dict[str, float]) -> _Case:
    places = sorted(place_of(standing[unit], seconds) for unit, seconds in travel_s.items())
    listed = [(unit, step) for _, step, _, _, _, unit in places]
    return _Case(
        pending=pending,
        standing=standing,
        travel_s={unit: travel_s[unit] for unit, _ in listed},
        cost_s={unit: step * STEP_S + at * _LATER_S for at, (unit, step) in enumerate(listed)},
    )


def _fit(question: Question) -> dict[str, Judged]:
    return {unit: one for unit, one in judged(question).items() if one.tier == FIT}


def _both(cases: Sequence[_Case], left_out: Sequence[Pending], engine: str, why_not: str | None) -> Rounds:
    together, one_by_one = _together(cases), _one_by_one(cases)
    pairs = list(zip(together, one_by_one, strict=True))
    saved_s = sum(
        single.expected_s - joint.expected_s
        for joint, single in pairs
        if joint.expected_s is not None and single.expected_s is not None
    )
    words = [*_words(pairs, saved_s)]
    if left_out:
        words.append(f"{_numbers(left_out)} not looked at: {PENDING_MAX} at a time, the most urgent first.")
    if engine == STRAIGHT_LINE:
        words.append("By straight line, not by road.")
    return Rounds(
        engine=engine,
        together=together,
        one_by_one=one_by_one,
        saved_s=saved_s,
        words=tuple(words),
        why_not_road=why_not,
    )


def _one_by_one(cases: Sequence[_Case]) -> tuple[Pick, ...]:
    taken: set[str] = set()
    picks = []
    for case in cases:
        first = next((unit for unit in case.travel_s if unit not in taken), None)
        picks.append(_pick(case, first))
        taken |= {first} if first is not None else set()
    return tuple(picks)


def _together(cases: Sequence[_Case]) -> tuple[Pick, ...]:
    taken: set[str] = set()
    picks: list[Pick] = []
    for _, equals in groupby(cases, key=lambda case: case.pending.priority):
        group = list(equals)
        given = _least_waiting(group, taken)
        picks += [_pick(case, unit) for case, unit in zip(group, given, strict=True)]
        taken.update(unit for unit in given if unit is not None)
    return tuple(picks)


def _least_waiting(group: Sequence[_Case], taken: set[str]) -> list[str | None]:
    """The unit of each: as many served as can be, and of those ways to do it the least waiting in all."""
    units = sorted({unit for case in group for unit in case.cost_s} - taken)
    given: list[str | None] = [None] * len(group)
    if not units:
        return given
    costs = [[case.cost_s.get(unit, _NOBODY_S) for unit in units] for case in group]
    rows, columns = linear_sum_assignment(costs)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if costs[row][column] < _NOBODY_S:
            given[row] = units[column]
    return given


def _pick(case: _Case, unit: str | None) -> Pick:
    about = case.pending
    if unit is None:
        return Pick(incident=about.incident, number=about.number, priority=about.priority)
    seconds, standing = case.travel_s[unit], case.standing[unit]
    return Pick(
        incident=about.incident,
        number=about.number,
        priority=about.priority,
        unit=unit,
        call_sign=standing.unit.call_sign,
        travel_s=seconds,
        expected_s=expected_s(standing, seconds),
    )


def _words(pairs: Sequence[tuple[Pick, Pick]], saved_s: float) -> Iterable[str]:
    changed = [(joint, single) for joint, single in pairs if joint.unit != single.unit]
    more = [joint for joint, single in changed if single.unit is None]
    fewer = [single for joint, single in changed if joint.unit is None]
    if more:
        yield f"Together {_numbers(more)} {'gets a unit' if len(more) == 1 else 'get units'}; one by one nobody is left."
    if fewer:
        yield f"Together nobody is left for {_numbers(fewer)}."
    if saved_s >= _NOTABLE_S:
        yield f"Together saves {_spoken(saved_s)} of waiting in all."
    elif saved_s <= -_NOTABLE_S:
        yield f"Together costs {_spoken(-saved_s)} more waiting in all, so that nobody more urgent waits longer."
    elif not more and not fewer:
        yield "One by one is as good."
        return
    for joint, single in changed:
        if joint.travel_s is not None and single.travel_s is not None:
            yield (
                f"#{joint.number} (priority {joint.priority}): {joint.call_sign} in {_spoken(joint.travel_s)} "
                f"instead of {single.call_sign} in {_spoken(single.travel_s)}."
            )


def _numbers(some: Sequence[Pick] | Sequence[Pending]) -> str:
    return ", ".join(f"#{one.number}" for one in some)


def _spoken(seconds: float) -> str:
    return f"{round(seconds)} s" if seconds < 90 else f"{round(seconds / 60)} min"
