"""Where a vehicle is that drives along given points, at any second of its trip; nothing in here reads a clock.

It speeds up, keeps to each leg's limit, brakes in time for bends and for its end, and never leaps: a new route, or a
word to hold, begins from wherever it rolls.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from math import radians, sqrt

import msgspec
from msgspec import Struct

from wire.distance import bearing_deg, moved, nearby_m

SPEED_UP_MPS2 = 1.6
SLOW_DOWN_MPS2 = 2.2
ASIDE_MPS2 = 2.5  # what a passenger takes in a bend without complaint
CRAWL_MPS = 2.5  # turning around
SAME_PLACE_M = 0.2  # of two points of a route
NO_WAY_M = 1e-3
CORNER_M, BEND_M = 9.0, 25.0  # over which a driver spreads a sharp corner, or a slight bend of the road
TURN_OFF_S = 2.0  # who steers hears where the vehicle is up to a second late, and must think as well

LatLon = tuple[float, float]


class Where(Struct, frozen=True, kw_only=True):
    """The truth about a vehicle at one moment; its receiver is a little less sure."""

    lat: float
    lon: float
    speed_mps: float
    heading_deg: float


class Route(Struct, frozen=True, kw_only=True):
    """Points to drive along; leg `i` from the i-th point to the next at `limits_mps[i]` at most. One point: stand."""

    points: tuple[LatLon, ...]
    limits_mps: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.points or len(self.limits_mps) != len(self.points) - 1:
            raise ValueError("a route has points, and a limit for each leg between two")


class Phase(Struct, frozen=True):
    """From `at_s` on, `along_m` into the trip, with this speed and this even change of it."""

    at_s: float
    along_m: float
    speed_mps: float
    mps2: float


class Trip(Struct, frozen=True, kw_only=True):
    """One way along given points, from standing or rolling to standing.

    `marks` are the caller's numbers of the points; a point between two of the caller's bears the number of the next.
    """

    points: tuple[LatLon, ...]
    marks: tuple[int, ...]
    limits_mps: tuple[float, ...]
    along_m: tuple[float, ...]
    phases: tuple[Phase, ...]
    lasts_s: float

    def progress(self, at_s: float) -> tuple[float, float]:
        """(meters from its start, speed) that many seconds into the trip."""
        if at_s >= self.lasts_s:
            return self.along_m[-1], 0.0
        phase = self.phases[max(0, bisect_right(self.phases, at_s, key=lambda phase: phase.at_s) - 1)]
        into_s = max(0.0, at_s) - phase.at_s
        along_m = phase.along_m + phase.speed_mps * into_s + phase.mps2 * into_s**2 / 2
        return min(along_m, self.along_m[-1]), max(0.0, phase.speed_mps + phase.mps2 * into_s)

    def where(self, at_s: float) -> Where:
        """Where the vehicle is that many seconds into the trip; at its end it stands."""
        along_m, speed_mps = self.progress(at_s)
        lat, lon = self.place(along_m)
        return Where(lat=lat, lon=lon, speed_mps=speed_mps, heading_deg=self.heading_deg(along_m))

    def place(self, along_m: float) -> LatLon:
        """The place that many meters into the trip."""
        leg = self.leg(along_m)
        (lat_a, lon_a), (lat_b, lon_b) = self.points[leg], self.points[leg + 1]
        length_m = self.along_m[leg + 1] - self.along_m[leg]
        share = (along_m - self.along_m[leg]) / length_m if length_m > 0 else 0.0
        over_deg = (lon_b - lon_a + 180) % 360 - 180  # the short way, also where the date changes
        return lat_a + share * (lat_b - lat_a), (lon_a + share * over_deg + 180) % 360 - 180

    def heading_deg(self, along_m: float) -> float:
        """Which way the vehicle faces that many meters into the trip."""
        leg = self.leg(along_m)
        return bearing_deg(*self.points[leg], *self.points[leg + 1])

    def leg(self, along_m: float) -> int:
        """Which leg that many meters into the trip are on."""
        return min(max(0, bisect_right(self.along_m, along_m) - 1), len(self.points) - 2)


def plan_trip(
    points: Sequence[LatLon], marks: Sequence[int], limits_mps: Sequence[float], rolling_mps: float = 0.0
) -> Trip:
    """The trip along `points` (two at least); each leg at its limit at most, bends at what the bend allows."""
    lengths = [nearby_m(*a, *b) for a, b in pairwise(points)]
    along = list(accumulate(lengths, initial=0.0))
    least = [sqrt(max(0.0, rolling_mps**2 - 2 * SLOW_DOWN_MPS2 * at_m)) for at_m in along]  # however soon it brakes
    speeds = [rolling_mps, *map(max, _bend_speeds(points, lengths, limits_mps), least[1:-1]), 0.0]
    for i in range(len(lengths) - 1, 0, -1):  # brake in time for what comes
        speeds[i] = min(speeds[i], sqrt(speeds[i + 1] ** 2 + 2 * SLOW_DOWN_MPS2 * lengths[i]))
    for i, length in enumerate(lengths):  # and do not expect more than the engine gives
        speeds[i + 1] = min(speeds[i + 1], sqrt(speeds[i] ** 2 + 2 * SPEED_UP_MPS2 * length))
    phases: list[Phase] = []
    at_s = 0.0
    for i, length in enumerate(lengths):
        for seconds, speed_mps, mps2, from_m in _over_leg(length, speeds[i], speeds[i + 1], limits_mps[i]):
            phases.append(Phase(at_s, along[i] + from_m, speed_mps, mps2))
            at_s += seconds
    return Trip(
        points=tuple(points),
        marks=tuple(marks),
        along_m=tuple(along),
        phases=tuple(phases) or (Phase(0.0, 0.0, 0.0, 0.0),),
        lasts_s=at_s,
        limits_mps=tuple(limits_mps),
    )


def _bend_speeds(points: Sequence[LatLon], lengths: Sequence[float], limits_mps: Sequence[float]) -> list[float]:
    """How fast each inner point may be passed.

    The first and the last leg may be pieces of longer ones, so their lengths say nothing about the bend beside them.
    """
    free_m = [BEND_M, *lengths[1:-1], BEND_M]
    headings = [bearing_deg(*a, *b) for a, b in pairwise(points)]
    speeds: list[float] = []
    for i, (before, after) in enumerate(pairwise(headings)):
        turn = radians(abs((after - before + 180) % 360 - 180))
        reach_m = min(BEND_M if turn < 0.5 else CORNER_M, max(4.0, free_m[i]), max(4.0, free_m[i + 1]))
        bend_mps = max(CRAWL_MPS, sqrt(ASIDE_MPS2 * reach_m / max(turn, 1e-6)))
        speeds.append(min(bend_mps, limits_mps[i], limits_mps[i + 1]))
    return speeds


def _over_leg(length_m: float, v0: float, v1: float, limit_mps: float) -> list[tuple[float, float, float, float]]:
    """(seconds, speed at its start, change, meters into the leg) of each phase: speed up, keep on, slow down."""
    if length_m < 1e-3:
        return []  # two corners at one place
    up, down = SPEED_UP_MPS2, SLOW_DOWN_MPS2
    top = min(max(limit_mps, v0, v1), sqrt((2 * up * down * length_m + down * v0**2 + up * v1**2) / (up + down)))
    up_m, down_m = (top**2 - v0**2) / (2 * up), (top**2 - v1**2) / (2 * down)
    if up_m < 0 or down_m < 0:  # too short for more than one even change, however hard the brake
        return [(2 * length_m / (v0 + v1), v0, (v1**2 - v0**2) / (2 * length_m), 0.0)]
    keep_m = max(0.0, length_m - up_m - down_m)
    phases = [
        ((top - v0) / up, v0, up, 0.0),
        (keep_m / top, top, 0.0, up_m),
        ((top - v1) / down, top, -down, up_m + keep_m),
    ]
    return [phase for phase in phases if phase[0] > 0]


# ---- a drive -----------------------------------------------------------------------------------------------------


class Drive(Struct, frozen=True, kw_only=True):
    """A vehicle and the trip it is on. Times are seconds of any one clock; the marks are points of its newest route."""

    trip: Trip
    began_s: float
    routes: int = 1  # given to it so far: a route's number, for whoever steers from afar

    def where(self, at_s: float) -> Where:
        """Where the vehicle is; ask no earlier than its trip began."""
        return self.trip.where(at_s - self.began_s)

    def is_there(self, at_s: float) -> bool:
        """True when the vehicle stands at the end of its trip."""
        return at_s >= self.began_s + self.trip.lasts_s

    def turn_off(self, at_s: float) -> int:
        """The first point of its route at which it can still begin another without turning back."""
        along_m, speed_mps = self.trip.progress(at_s - self.began_s)
        return self.trip.marks[self.trip.leg(along_m + _braking_m(speed_mps) + TURN_OFF_S * speed_mps) + 1]


def placed(route: Route, at_s: float) -> Drive:
    """A vehicle that appears at the beginning of `route` and sets out along it."""
    return Drive(trip=_along(zip(route.points, range(len(route.points)), strict=True), route.limits_mps), began_s=at_s)


def sent(drive: Drive, route: Route, at_s: float) -> Drive:
    """Drive along `route` from wherever it is.

    Where the route begins at a point still ahead, it goes on to there; otherwise it stops as soon as it can, and drives
    straight to where the route begins.
    """
    trip = drive.trip
    along_m, speed_mps = trip.progress(at_s - drive.began_s)
    stop_m = along_m + _braking_m(speed_mps)
    first, last = trip.leg(along_m), trip.leg(stop_m)
    joins = next((i for i in range(last + 1, len(trip.points)) if _are_one(trip.points[i], route.points[0])), None)
    upto = last + 1 if joins is None else joins
    ahead = [trip.place(along_m), *trip.points[first + 1 : upto]]
    limits = list(trip.limits_mps[first:upto])
    if joins is None:
        ahead.append(trip.place(stop_m))
        limits.append(route.limits_mps[0] if route.limits_mps else trip.limits_mps[last])
    marked = [*((point, 0) for point in ahead), *zip(route.points, range(len(route.points)), strict=True)]
    planned = _along(marked, [*limits, *route.limits_mps], speed_mps, trip.heading_deg(along_m))
    return Drive(trip=planned, began_s=at_s, routes=drive.routes + 1)


def held(drive: Drive, at_s: float) -> Drive:
    """Come to a stand a little further along the way, and stay there."""
    trip = drive.trip
    along_m, speed_mps = trip.progress(at_s - drive.began_s)
    stop_m = along_m + _braking_m(speed_mps)
    if stop_m >= trip.along_m[-1]:
        return drive
    first, last = trip.leg(along_m), trip.leg(stop_m)
    points = [trip.place(along_m), *trip.points[first + 1 : last + 1], trip.place(stop_m)]
    marks = [trip.marks[first + 1], *trip.marks[first + 1 : last + 1], trip.marks[last + 1]]
    shorter = _along(
        zip(points, marks, strict=True), trip.limits_mps[first : last + 1], speed_mps, trip.heading_deg(along_m)
    )
    return msgspec.structs.replace(drive, trip=shorter, began_s=at_s)


def back(drive: Drive, at_s: float) -> Drive:
    """The trip it has ended, the other way around."""
    trip = drive.trip
    return sent(drive, Route(points=trip.points[::-1], limits_mps=trip.limits_mps[::-1]), at_s)


def _along(
    marked: Iterable[tuple[LatLon, int]],
    limits_mps: Sequence[float],
    rolling_mps: float = 0.0,
    heading_deg: float = 0.0,
) -> Trip:
    """The trip along points with their marks; where there is no way to go it stands."""
    (point, mark), *others = marked
    points, marks, limits = [point], [mark], list[float]()
    for (point, mark), limit_mps in zip(others, limits_mps, strict=True):
        apart_m = nearby_m(*point, *points[-1])
        # who rolls needs even the last decimeters to brake in
        if apart_m < NO_WAY_M or (apart_m < SAME_PLACE_M and rolling_mps == 0):
            marks[-1] = mark
        else:
            points.append(point)
            marks.append(mark)
            limits.append(limit_mps)
    if len(points) == 1:
        return _standing(points[0], marks[0], heading_deg)
    return plan_trip(points, marks, limits, rolling_mps)


def _standing(point: LatLon, mark: int, heading_deg: float) -> Trip:
    """A trip of no length, faced as before: the point ahead gives the direction and is never reached."""
    return Trip(
        points=(point, moved(*point, heading_deg, 1.0)),
        marks=(mark, mark),
        along_m=(0.0, 0.0),
        limits_mps=(CRAWL_MPS,),
        phases=(Phase(0.0, 0.0, 0.0, 0.0),),
        lasts_s=0.0,
    )


def _braking_m(speed_mps: float) -> float:
    return speed_mps**2 / (2 * SLOW_DOWN_MPS2)


def _are_one(a: LatLon, b: LatLon) -> bool:
    return nearby_m(*a, *b) < SAME_PLACE_M
