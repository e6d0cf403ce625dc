"""The way this vehicle was given, followed by its own receiver: also without a link, and without a disk.

What the hub said stands in the ledger, sealed, like the assignment that it belongs to; how far the vehicle has come stands
in memory only, because after a restart the next fix says it again. Nothing here decides: `wire.way` does, and the hub by
the same rule.
"""

from __future__ import annotations

from threading import Lock

import structlog
from msgspec import Struct
from msgspec.structs import replace

from wire import way
from wire.distance import nearby_m
from wire.fix import Fix
from wire.state import Route, Routes
from wire.way import Line, Progress

SLOW_MPS = 2.5  # a walk: who looks for a house number, or has stopped
SLOW_S = 4.0  # for so long: a crossing near the place is not the place
NEAR_M, STAGED_M = 75.0, 400.0  # from the place; who shall wait at a distance stops this far from it at most
FAR_SHARE = 2.0  # of that: whoever drives on past it has not arrived

log = structlog.get_logger()


class Followed(Struct, frozen=True, kw_only=True):
    """A way and where the vehicle is on it. `line` is None when there is none, `progress` before the first fix."""

    route: Route
    line: Line | None
    progress: Progress | None = None


class Seen(Struct, frozen=True, kw_only=True):
    """What is known now: the last fix and its age, the way to one assignment, and since when the vehicle has been slow."""

    fix: Fix | None = None
    age_s: float | None = None
    slow_s: float = 0.0
    followed: Followed | None = None


class Guide:
    """Thread-safe: the tracker offers fixes, the downlink what the hub said, the screen looks."""

    def __init__(self, routes: Routes | None = None) -> None:
        self._lock = Lock()
        self._followed: dict[str, Followed] = {}  # by assignment: those of the section, a handful
        self._fix: Fix | None = None
        self._fix_s = 0.0
        self._slow_since_s: float | None = None
        if routes is not None:
            self.routed(routes)

    def routed(self, routes: Routes) -> None:
        """What the hub says now; a way that is the same goes on where it was."""
        with self._lock:
            before, self._followed = self._followed, {}
            for route in routes.routes:
                known = before.get(route.assignment)
                if known is None or known.route != route:
                    known = Followed(route=route, line=_line(route))
                    if self._fix is not None:
                        known = _after(known, self._fix, self._fix_s)
                self._followed[route.assignment] = known

    def offer(self, fix: Fix | None, mono_s: float) -> None:
        """What the receiver says; None: it has no place."""
        if fix is None:
            return
        with self._lock:
            self._fix, self._fix_s = fix, mono_s
            is_slow = fix.is_held or (fix.speed_mps is not None and fix.speed_mps <= SLOW_MPS)
            if not is_slow:
                self._slow_since_s = None
            elif self._slow_since_s is None:
                self._slow_since_s = mono_s
            for assignment, one in self._followed.items():
                self._followed[assignment] = _after(one, fix, mono_s)

    def look(self, assignment: str | None, now_s: float) -> Seen:
        """What is known of the way to `assignment`."""
        with self._lock:
            if self._fix is None:
                return Seen(followed=None if assignment is None else self._followed.get(assignment))
            return Seen(
                fix=self._fix,
                age_s=max(0.0, now_s - self._fix_s),
                slow_s=0.0 if self._slow_since_s is None else max(0.0, now_s - self._slow_since_s),
                followed=None if assignment is None else self._followed.get(assignment),
            )


def has_arrived(seen: Seen, lat: float, lon: float, is_staged: bool) -> bool:
    """Whether to ask the crew if they are there: near the place and slow, by a fix that is no older than that."""
    if seen.fix is None or seen.age_s is None or seen.age_s > SLOW_S or seen.slow_s < SLOW_S:
        return False
    return nearby_m(seen.fix.lat, seen.fix.lon, lat, lon) <= (STAGED_M if is_staged else NEAR_M)


def _after(one: Followed, fix: Fix, at_s: float) -> Followed:
    if one.line is None:
        return one
    progress = way.follow(one.line, one.progress, fix, at_s, is_all=one.route.beyond_m == 0)
    return replace(one, progress=progress)


def _line(route: Route) -> Line | None:
    try:
        points = way.points_of(route.line)
    except ValueError:
        log.warning("a_line_that_is_none", assignment=route.assignment, n=route.n)
        return None
    return way.line_of(points) if len(points) > 1 else None
