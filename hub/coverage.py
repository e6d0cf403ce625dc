"""How far the free units come: what somebody reaches within some minutes, by road, as it is now.

Only those count that could be sent and whose place is known; whoever is left out is named, with the reason. It is a look at
the map and never holds up a ranking: one question to the engine at a time, and the answer serves everybody who asks within
some seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from hub.errors import Refused
from hub.freshness import Freshness, age_s, freshness, spoken_age
from hub.position import Position
from hub.rank import RoadsDown, whereabouts
from hub.rings import Ring, Spot, holds
from hub.roads import COVER_MAX, Area, Cover
from hub.snapshot import UnitView
from wire.status import Status

MINUTES = (4, 8, 12)
CACHE_MS = 10_000  # within which nobody sees a difference on a map of minutes
WAIT_S = 2.0

Reach = Callable[[Sequence[Spot], Sequence[int], Sequence[Ring], float], Cover]
"""What is reached from these places within these minutes, in at most so many seconds. Raises RoadsDown."""


def nobody(spots: Sequence[Spot], minutes: Sequence[int], closed: Sequence[Ring], wait_s: float) -> Cover:
    """For a hub without an engine."""
    raise RoadsDown("The road engine does not run.")


class Counted(Struct, frozen=True, kw_only=True):
    """A unit whose reach is drawn, from where it is believed to be."""

    unit: str
    call_sign: str
    lat: float
    lon: float


class LeftOut(Struct, frozen=True, kw_only=True):
    """A unit that is free and is not drawn."""

    unit: str
    call_sign: str
    why: str


class Coverage(Struct, frozen=True, kw_only=True):
    """What the free units reach, as of `at_ms`, the widest first. `closures`: how many are driven around."""

    at_ms: int
    minutes: tuple[int, ...]
    areas: tuple[Area, ...]
    counted: tuple[Counted, ...]
    left_out: tuple[LeftOut, ...]
    closures: int


class Covering:
    """The coverage of now, worked out by one at a time. Any thread may ask."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._working = threading.Lock()
        self._newest: tuple[Coverage, tuple[Ring, ...]] | None = None

    def coverage(
        self, units: Sequence[UnitView], positions: Mapping[str, Position], closed: Sequence[Ring], now_ms: int
    ) -> Coverage:
        """Not older than CACHE_MS; Refused when the engine is away or somebody else is asking it for the first time."""
        known, closed_then = self._newest or (None, ())
        if known is not None and 0 <= now_ms - known.at_ms < CACHE_MS and closed_then == tuple(closed):
            return known
        if not self._working.acquire(blocking=False):
            if known is None:
                raise Refused("unavailable", "The coverage is being worked out. It comes in a moment.")
            return known  # it says from when it is
        try:
            made = _worked_out(self._reach, units, positions, closed, now_ms)
            self._newest = (made, tuple(closed))
            return made
        except RoadsDown as down:
            raise Refused("unavailable", f"{down} So there is no coverage now; lists go by straight line.") from None
        finally:
            self._working.release()


def who_counts(
    units: Sequence[UnitView], positions: Mapping[str, Position], closed: Sequence[Ring], now_ms: int
) -> tuple[tuple[Counted, ...], tuple[LeftOut, ...]]:
    """The free units, and those of them that cannot be drawn, by call sign."""
    counted: list[Counted] = []
    left_out: list[LeftOut] = []
    for one in sorted(units, key=lambda unit: unit.call_sign):
        if one.kind == "desk" or one.status != Status.AVAILABLE or not one.crew or one.is_in_emergency:
            continue
        position = positions.get(one.unit)
        why = _why_not(position, closed, now_ms)
        if why is None and len(counted) == COVER_MAX:
            why = f"only {COVER_MAX} are drawn at once"
        here = None if position is None else whereabouts(position, now_ms)
        if why is not None or here is None:
            left_out.append(LeftOut(unit=one.unit, call_sign=one.call_sign, why=why or "no position yet"))
        else:
            counted.append(Counted(unit=one.unit, call_sign=one.call_sign, lat=here[0], lon=here[1]))
    return tuple(counted), tuple(left_out)


def _worked_out(
    reach: Reach, units: Sequence[UnitView], positions: Mapping[str, Position], closed: Sequence[Ring], now_ms: int
) -> Coverage:
    counted, left_out = who_counts(units, positions, closed, now_ms)
    cover = Cover(areas=(), on_roads=())
    if counted:
        cover = reach([Spot(lat=one.lat, lon=one.lon) for one in counted], MINUTES, closed, WAIT_S)
    off = [one for one, is_on in zip(counted, cover.on_roads, strict=True) if not is_on]
    return Coverage(
        at_ms=now_ms,
        minutes=MINUTES,
        areas=cover.areas,
        counted=tuple(one for one in counted if one not in off),
        left_out=(
            *left_out,
            *(LeftOut(unit=one.unit, call_sign=one.call_sign, why="on no road of the map") for one in off),
        ),
        closures=_count(closed),
    )


def _why_not(position: Position | None, closed: Sequence[Ring], now_ms: int) -> str | None:
    if position is None:
        return "no position yet"
    if position.fix is None:
        return "no satellite fix yet"
    if freshness(position, now_ms) in (Freshness.STALE, Freshness.LOST):
        return f"position {spoken_age(age_s(position, now_ms))} old"
    here = whereabouts(position, now_ms)
    if here is not None and any(holds(ring, Spot(lat=here[0], lon=here[1])) for ring in closed):
        return "inside a closure"
    return None


def _count(closed: Sequence[Ring]) -> int:
    return len({ring.id for ring in closed})
