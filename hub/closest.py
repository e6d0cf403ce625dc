"""The short list: the roads are asked for few ways, and the first units are those that asking for all would give.

A way is never shorter than the straight line and nobody drives faster than the fastest road, so each unit has a least
time that costs nothing to know. Units are asked for in the order of where that least time would put them, twelve by
twelve, until no unit that was not asked for could still come before the last of the short list. `hub.rank` promises that
a longer way never puts a unit earlier; that promise and the least times are the whole proof.

One list is by road or by straight line, never by both: a dispatcher compares minutes, and would compare unlike ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from hub.position import Position
from hub.rank import (
    DEFAULTS,
    STRAIGHT_LINE,
    UNFIT,
    Candidate,
    Judged,
    Need,
    Place,
    RoadsDown,
    RosterUnit,
    Rules,
    Travel,
    judge,
    meters_to,
    place_of,
    rank,
    straight_line,
)
from hub.rings import Ring

BY_ROAD = "road"
BATCH_N = 12  # the engine's work for one target grows with its sources: the nearest twelve cost a third of twenty-five
ASK_ALL_N = 25  # so few are asked for at once: every line then has its minutes, and one question is quicker than two

Ways = dict[str, Travel | None]
"""What the roads answered, by unit; None: no way leads there."""

Times = Callable[[Sequence[str]], Mapping[str, Travel | None]]
"""Asks for the ways of these units to the place; a unit that is missing in the answer has none. Raises RoadsDown."""


class Bound(Struct, frozen=True, kw_only=True):
    """What no way undercuts: nobody is faster than `fastest_mps`; `snap_m`: how far both ends together may be from where
    the engine puts them on a road. 39 m/s is the engine's own top speed; the meters also pay for its rounding."""

    fastest_mps: float = 39.0
    snap_m: float = 300.0


NO_FASTER = Bound()


class Question(Struct, frozen=True, kw_only=True):
    """Everything that an answer depends on but the roads, as it was at `now_ms`: kept, so that it can be asked again.

    `closed`: what no way may lead through."""

    need: Need
    roster: tuple[RosterUnit, ...]
    positions: tuple[Position, ...]
    now_ms: int
    rules: Rules = DEFAULTS
    bound: Bound = NO_FASTER
    utc_offset_min: int = 0
    closed: tuple[Ring, ...] = ()

    @property
    def placed(self) -> dict[str, Position]:
        """The positions by unit."""
        return {position.unit: position for position in self.positions}


class Pending(Struct, frozen=True, kw_only=True):
    """An incident that waits for a unit."""

    incident: str
    number: int
    priority: int
    question: Question


class Answer(Struct, frozen=True, kw_only=True):
    """Every unit, in order. `exact_n`: so many of the first stand as asking for every way would put them; after them a
    unit that was not asked for stands where its least time puts it. `ways`: what the roads said. `why_not`: why the roads
    were not asked, or not believed, where the list is by straight line."""

    engine: str
    candidates: tuple[Candidate, ...]
    exact_n: int
    ways: Ways
    why_not: str | None = None


def closest(question: Question, times: Times | None, may_go_on: Callable[[], bool] = lambda: True) -> Answer:
    """Every unit in order, the first `question.rules.exact_n` of those that could go exactly as all ways would put them.

    `may_go_on` is asked before each further question to the roads, once the first unit is certain: with False the list is
    what is known by then. Without `times`, or when they raise RoadsDown, the whole list is by straight line.
    """
    if times is None:
        return by_straight_line(question, None)
    try:
        return _by_road(question, times, may_go_on)
    except RoadsDown as down:
        return by_straight_line(question, str(down))


def by_straight_line(question: Question, why_not: str | None) -> Answer:
    """The whole list without the roads."""
    ways = straight_line(question.need, question.placed, question.now_ms)
    candidates = listed(question, STRAIGHT_LINE, dict(ways))
    return Answer(engine=STRAIGHT_LINE, candidates=candidates, exact_n=len(candidates), ways={}, why_not=why_not)


def listed(question: Question, engine: str, ways: Ways) -> tuple[Candidate, ...]:
    """The list that these ways give; of a unit that is not among them its least time is told."""
    return rank(
        question.need,
        question.roster,
        question.placed,
        {unit: way for unit, way in ways.items() if way is not None},
        question.now_ms,
        engine,
        rules=question.rules,
        at_least_s={unit: floor for unit, floor in least_s(question).items() if unit not in ways},
        utc_offset_min=question.utc_offset_min,
    )


def least_s(question: Question) -> dict[str, float]:
    """What the way of each unit takes at the least, for those whose place is known at all."""
    bound, roster = question.bound, {one.unit for one in question.roster}
    return {
        unit: max(0.0, meters - bound.snap_m) / bound.fastest_mps
        for unit, position in question.placed.items()
        if unit in roster and (meters := meters_to(question.need, position, question.now_ms)) is not None
    }


def judged(question: Question) -> dict[str, Judged]:
    """Every unit as it stands before anybody asks for its way."""
    placed = question.placed
    return {
        one.unit: judge(
            question.need,
            one,
            placed.get(one.unit),
            question.now_ms,
            question.rules,
            question.utc_offset_min,
        )
        for one in question.roster
    }


def widen(
    units: Iterable[str],
    least: Mapping[str, float],
    place: Callable[[str, float], Place],
    ways: Ways,
    want_n: int,
    times: Times,
    may_go_on: Callable[[], bool] = lambda: True,
) -> int:
    """Ask for ways, and add them to `ways`, until the first `want_n` of `units` are certain; how many are.

    `place(unit, seconds)` must never be earlier for more seconds. A way that is quicker than its least time says that the
    least times are wrong here (a vehicle far from any road): then none is believed, and everybody is asked for.
    """
    every = tuple(units)
    while True:
        if any(way is not None and way.seconds < least[unit] for unit, way in ways.items()):
            least = dict.fromkeys(least, 0.0)
        reached = sorted(place(unit, way.seconds) for unit in every if (way := ways.get(unit)) is not None)
        waiting = sorted((place(unit, least[unit]), unit) for unit in every if unit not in ways)
        certain = bisect_left(reached, waiting[0][0]) if waiting else len(reached)
        if not waiting or certain >= want_n or (certain > 0 and not may_go_on()):
            return certain
        last = reached[want_n - 1] if len(reached) >= want_n else None
        _ask([unit for at_best, unit in waiting if last is None or at_best < last][:BATCH_N], times, ways)


def _by_road(question: Question, times: Times, may_go_on: Callable[[], bool]) -> Answer:
    least, standing, ways = least_s(question), judged(question), Ways()
    could_go = [unit for unit in least if standing[unit].tier != UNFIT]
    nearest_first = sorted(least, key=lambda unit: (place_of(standing[unit], least[unit]), unit))
    # What is left of the first question is for those that could be diverted or cannot go: their minutes are asked for, too.
    _ask(nearest_first[: ASK_ALL_N if len(least) <= ASK_ALL_N else BATCH_N], times, ways)
    certain = widen(
        could_go,
        least,
        lambda unit, seconds: place_of(standing[unit], seconds),
        ways,
        question.rules.exact_n,
        times,
        may_go_on,
    )
    if could_go and all(unit in ways and ways[unit] is None for unit in could_go):
        raise RoadsDown("The map has no road from any unit to this place.")
    return Answer(engine=BY_ROAD, candidates=listed(question, BY_ROAD, ways), exact_n=certain, ways=ways)


def _ask(units: Sequence[str], times: Times, ways: Ways) -> None:
    if units:
        said = times(units)
        ways.update({unit: said.get(unit) for unit in units})
