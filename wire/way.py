"""Where a vehicle is on the way it was given: the one rule by which terminal and hub both follow it.

Pure, so that the hub knows when the terminal says "off route" without being told. What is followed never goes back: a
way is driven once, from its beginning. A vehicle that turns round, or takes another street, is off it and not "back at
an earlier place"; a line that crosses itself is followed in the order in which it is driven.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from enum import StrEnum
from math import atan2, cos, degrees, hypot, radians

from msgspec import Struct

from wire.distance import EARTH_RADIUS_M, nearby_m
from wire.fix import Fix
from wire.state import Route, Turn

UNIT = 1e6  # of an encoded polyline: six decimals

ROAD_M = 30.0  # a road of many lanes is this wide around its line, and a line is drawn this much straighter than a road
ERROR_M, ERROR_M_MAX = 8.0, 40.0  # of a receiver that does not say its own; of one that says too much of it
START_M_MAX = 150.0  # a vehicle on a yard is this far from the first road of its way
END_M = 120.0  # so near the end nobody is off the way: the yard of the place is on no road
OFF_S = 6.0  # this long beside the way, and at least two fixes, is off it; a reflected signal is not
BACK_S = 3.0  # and this long back on it is on it again
BACK_SHARE = 0.6  # of what counts as beside it: somebody on the edge is not on and off by turns
BEHIND_M = 40.0  # a receiver says a little behind what it said; more than this is another street or a turn round
MOVING_MPS = 3.0  # slower than this a course says nothing
ACROSS_DEG, AGAINST_DEG = 45.0, 110.0  # a course so far from that of the way costs; so far is against it
AGAINST_M = 60.0  # what it costs: two carriageways of one road are less apart than a receiver errs
FAST_MPS = 12.0  # what a vehicle may do between two fixes without having said so
PASSED_M = 12.0  # a turn stays the next one until so far behind it: who goes straight on there is told no other one


class Why(StrEnum):
    """Why a way was made. Plain text on the wire."""

    FIRST = "first"
    LEFT = "left"  # the vehicle left the one before
    MOVED = "moved"  # the incident is elsewhere now
    CLOSED = "closed"  # a road was closed, or opened
    MORE = "more"  # the rest of a long one
    AGAIN = "again"  # there was none before


class WhyNot(StrEnum):
    """Why there is no way. Plain text on the wire."""

    ENGINE = "engine"  # nobody answers who knows the roads
    NO_WAY = "no_way"  # no road leads there that is open
    POSITION = "position"  # nobody knows where the unit is


KINDS = (
    "start",
    "straight",
    "slight_right",
    "right",
    "sharp_right",
    "uturn_right",
    "slight_left",
    "left",
    "sharp_left",
    "uturn_left",
    "merge",
    "roundabout",
    "roundabout_exit",
    "ferry",
    "arrive",
)
"""What a turn can be; a screen draws no arrow for a word that it does not know."""


class Line(Struct, frozen=True, kw_only=True):
    """A way's line made ready to be followed: its points, how far along each is, and the same in flat meters."""

    points: tuple[tuple[float, float], ...]
    along_m: tuple[float, ...]
    flat: tuple[tuple[float, float], ...]
    east_m: float

    @property
    def length_m(self) -> float:
        """All of it."""
        return self.along_m[-1] if self.along_m else 0.0


class Phase(StrEnum):
    """How a vehicle stands to its way: on it; beside it, and nobody can say yet; off it."""

    ON = "on"
    UNSURE = "unsure"
    OFF = "off"


class Progress(Struct, frozen=True, kw_only=True):
    """Where on its way a vehicle is. `at_m` never falls; `beside_m`: how far from the line; `at_s`: when that was.

    `on_s`: when it was last seen on the way; `since_s` and `fixes`: since when, and for how many fixes, it looks otherwise
    than `phase` says; `start_m`: how far from its way it began, and 0 since it has reached it; `speed_mps`: the last known.
    """

    phase: Phase
    at_m: float
    beside_m: float
    at_s: float
    on_s: float
    start_m: float
    speed_mps: float = 0.0
    since_s: float | None = None
    fixes: int = 0


class Left(Struct, frozen=True, kw_only=True):
    """What is left of a way."""

    distance_m: float
    seconds: float


class Ahead(Struct, frozen=True, kw_only=True):
    """The next turn, in `distance_m`; `then`: the one after it."""

    turn: Turn
    distance_m: float
    then: Turn | None
    then_m: float


# ---- lines -------------------------------------------------------------------------------------------------------


def points_of(line: str) -> tuple[tuple[float, float], ...]:
    """(lat, lon) of an encoded polyline of six decimals; ValueError for what is none."""
    points: list[tuple[float, float]] = []
    lat = lon = 0
    numbers = iter(_numbers(line))
    for north, east in zip(numbers, numbers, strict=True):
        lat, lon = lat + north, lon + east
        points.append((lat / UNIT, lon / UNIT))
    return tuple(points)


def encoded(points: Sequence[tuple[float, float]]) -> str:
    """The inverse of `points_of`."""
    letters: list[str] = []
    before = (0, 0)
    for point in points:
        now = (round(point[0] * UNIT), round(point[1] * UNIT))
        for difference in (now[0] - before[0], now[1] - before[1]):
            value = ~(difference << 1) if difference < 0 else difference << 1
            while value >= 32:
                letters.append(chr((32 | (value & 31)) + 63))
                value >>= 5
            letters.append(chr(value + 63))
        before = now
    return "".join(letters)


def line_of(points: Sequence[tuple[float, float]]) -> Line:
    """`points` made ready. A way is some hundred kilometers at most: around its middle the earth is flat enough."""
    along = [0.0]
    for (lat_a, lon_a), (lat_b, lon_b) in itertools.pairwise(points):
        along.append(along[-1] + nearby_m(lat_a, lon_a, lat_b, lon_b))
    middle = sum(lat for lat, _ in points) / max(1, len(points))
    east_m = radians(1) * EARTH_RADIUS_M * cos(radians(middle))
    shell = Line(points=tuple(points), along_m=tuple(along[: len(points)]), flat=(), east_m=east_m)
    return Line(
        points=shell.points,
        along_m=shell.along_m,
        flat=tuple(flat(shell, lat, lon) for lat, lon in points),
        east_m=east_m,
    )


def flat(line: Line, lat: float, lon: float) -> tuple[float, float]:
    """A place in meters to the east and north of the line's first point."""
    lat_0, lon_0 = line.points[0]
    return ((lon - lon_0 + 180) % 360 - 180) * line.east_m, radians(lat - lat_0) * EARTH_RADIUS_M


def thinned(points: Sequence[tuple[float, float]], kept: set[int], within_m: float) -> list[int]:
    """Which of `points` are enough to draw the line no farther than `within_m` from itself; those of `kept` always."""
    if len(points) < 3:
        return list(range(len(points)))
    line = line_of(points).flat
    corners = sorted({0, len(points) - 1, *kept})
    chosen = set(corners)
    spans = list(itertools.pairwise(corners))
    while spans:
        first, last = spans.pop()
        farthest, at = within_m, 0
        for index in range(first + 1, last):
            beside = _onto(line[first], line[last], line[index])[1]
            if beside > farthest:
                farthest, at = beside, index
        if at:
            chosen.add(at)
            spans += [(first, at), (at, last)]
    return sorted(chosen)


def place_at(line: Line, at_m: float) -> tuple[float, float]:
    """(lat, lon) so far along the line."""
    if len(line.points) < 2:
        return line.points[0]
    index = max(0, min(bisect_right(line.along_m, at_m) - 1, len(line.points) - 2))
    span = line.along_m[index + 1] - line.along_m[index]
    share = 0.0 if span <= 0 else min(1.0, max(0.0, (at_m - line.along_m[index]) / span))
    (lat_a, lon_a), (lat_b, lon_b) = line.points[index], line.points[index + 1]
    return lat_a + (lat_b - lat_a) * share, lon_a + (lon_b - lon_a) * share


def course_at(line: Line, at_m: float, over_m: float) -> float:
    """Where the line leads from there over the next `over_m`, degrees from north."""
    (lat_a, lon_a), (lat_b, lon_b) = place_at(line, at_m), place_at(line, min(line.length_m, at_m + over_m))
    east, north = flat(line, lat_b, lon_b)[0] - flat(line, lat_a, lon_a)[0], lat_b - lat_a
    return degrees(atan2(east, radians(north) * EARTH_RADIUS_M)) % 360


# ---- following ---------------------------------------------------------------------------------------------------


def follow(line: Line, before: Progress | None, fix: Fix, now_s: float, *, is_all: bool = True) -> Progress:
    """Where on the way the vehicle is after `fix`, which was true at `now_s`; `is_all`: the line ends at the place.

    A fix that is older than the last one changes nothing.
    """
    if before is not None and now_s <= before.at_s:
        return before
    speed = fix.speed_mps or 0.0
    error = min(ERROR_M_MAX, ERROR_M if fix.accuracy_m is None else fix.accuracy_m)
    near_m = ROAD_M + error
    found = _found(line, before, fix, speed, error, now_s)
    if before is None:
        start_m = 0.0 if found.beside_m <= near_m else min(START_M_MAX, found.beside_m)
        is_on = found.beside_m <= near_m + start_m and not found.is_against
        return Progress(
            phase=Phase.ON if is_on else Phase.UNSURE,
            at_m=found.at_m,
            beside_m=found.beside_m,
            at_s=now_s,
            on_s=now_s,
            start_m=start_m,
            speed_mps=speed,
            since_s=None if is_on else now_s,
            fixes=0 if is_on else 1,
        )
    return _next(line, before, found, near_m, _to_end(line, fix, is_all), speed, now_s)


class _Found(Struct, frozen=True):
    at_m: float
    beside_m: float
    is_against: bool


def _next(
    line: Line, before: Progress, found: _Found, near_m: float, left_m: float | None, speed: float, now_s: float
) -> Progress:
    edge_m = near_m + before.start_m
    if before.phase is Phase.OFF:
        is_back = found.beside_m <= BACK_SHARE * near_m and not found.is_against
        since_s = (now_s if before.since_s is None else before.since_s) if is_back else None
        fixes = before.fixes + 1 if is_back else 0
        is_over = since_s is not None and now_s - since_s >= BACK_S and fixes >= 2
        return Progress(
            phase=Phase.ON if is_over else Phase.OFF,
            at_m=max(before.at_m, found.at_m) if is_over else before.at_m,
            beside_m=found.beside_m,
            at_s=now_s,
            on_s=now_s if is_over else before.on_s,
            start_m=0.0,
            speed_mps=speed,
            since_s=None if is_over else since_s,
            fixes=0 if is_over else fixes,
        )
    if left_m is not None and found.beside_m > edge_m:  # on the yard of the place, or in the street behind it
        found = _Found(line.length_m - left_m, left_m, False)
    if left_m is not None or (found.beside_m <= edge_m and not found.is_against):
        return Progress(
            phase=Phase.ON,
            at_m=max(before.at_m, found.at_m),
            beside_m=found.beside_m,
            at_s=now_s,
            on_s=now_s,
            start_m=0.0 if found.beside_m <= near_m else before.start_m,
            speed_mps=speed,
        )
    since_s = now_s if before.since_s is None else before.since_s
    is_off = now_s - since_s >= OFF_S and before.fixes >= 1
    return Progress(
        phase=Phase.OFF if is_off else Phase.UNSURE,
        at_m=before.at_m,
        beside_m=found.beside_m,
        at_s=now_s,
        on_s=before.on_s,
        start_m=before.start_m,
        speed_mps=speed,
        since_s=None if is_off else since_s,
        fixes=0 if is_off else before.fixes + 1,
    )


def _found(line: Line, before: Progress | None, fix: Fix, speed: float, error: float, now_s: float) -> _Found:
    """The likeliest place on the line, among those that can have been reached."""
    lowest, highest, expected = 0.0, line.length_m, None
    if before is not None:
        lowest = max(0.0, before.at_m - BEHIND_M)
        if before.phase is not Phase.OFF:
            gone_s = now_s - before.on_s
            reach = max(speed, before.speed_mps, FAST_MPS) * gone_s * 1.3 + BEHIND_M + error
            highest = min(highest, before.at_m + reach)
            expected = before.at_m + speed * min(gone_s, 5.0)
    course = fix.heading_deg if speed >= MOVING_MPS else None
    here = flat(line, fix.lat, fix.lon)
    if len(line.flat) < 2:
        return _Found(0.0, hypot(here[0], here[1]), False)
    first = max(0, bisect_right(line.along_m, lowest) - 1)
    last = min(len(line.flat) - 2, max(first, bisect_left(line.along_m, highest) - 1))
    best, best_cost = _Found(lowest, float("inf"), False), float("inf")
    for index in range(min(first, last), last + 1):
        start, end = line.flat[index], line.flat[index + 1]
        span = line.along_m[index + 1] - line.along_m[index]
        if span <= 0:
            continue
        lo, hi = max(0.0, (lowest - line.along_m[index]) / span), min(1.0, (highest - line.along_m[index]) / span)
        share, beside = _onto(start, end, here, lo, max(lo, hi))
        at_m = line.along_m[index] + share * span
        turned = 0.0 if course is None else _apart(course, degrees(atan2(end[0] - start[0], end[1] - start[1])))
        cost = beside + AGAINST_M * max(0.0, turned - ACROSS_DEG) / (180.0 - ACROSS_DEG)
        cost += 0.002 * at_m if expected is None else 0.05 * abs(at_m - expected)
        if cost < best_cost:
            best, best_cost = _Found(at_m, beside, turned > AGAINST_DEG), cost
    return best


def _to_end(line: Line, fix: Fix, is_all: bool) -> float | None:
    """How far from the place, straight, who is near it; None for everybody else."""
    left_m = nearby_m(fix.lat, fix.lon, *line.points[-1]) if is_all else END_M + 1
    return left_m if left_m <= END_M else None


def _onto(
    start: tuple[float, float], end: tuple[float, float], here: tuple[float, float], lo: float = 0.0, hi: float = 1.0
) -> tuple[float, float]:
    """How far along from `start` to `end` is nearest to `here`, as a share within `lo` and `hi`, and how far beside."""
    east, north = end[0] - start[0], end[1] - start[1]
    square = east * east + north * north
    share = 0.0 if square <= 0 else ((here[0] - start[0]) * east + (here[1] - start[1]) * north) / square
    share = max(lo, min(hi, share))
    return share, hypot(here[0] - start[0] - share * east, here[1] - start[1] - share * north)


def _apart(a_deg: float, b_deg: float) -> float:
    return abs((a_deg - b_deg + 180) % 360 - 180)


# ---- what is ahead -----------------------------------------------------------------------------------------------


def left(route: Route, line: Line, at_m: float) -> Left:
    """What is left from there: the way's own time for each piece of it, so that it follows the vehicle."""
    seconds = 0.0
    for first, then_m in zip(route.turns, _ends(route, line), strict=True):
        from_m = line.along_m[min(first.at, len(line.along_m) - 1)]
        if then_m <= at_m:
            continue
        share = 1.0 if then_m <= from_m else min(1.0, (then_m - at_m) / (then_m - from_m))
        seconds += first.seconds * share
    distance = max(0.0, line.length_m - at_m)
    return Left(distance_m=distance + route.beyond_m, seconds=seconds + route.beyond_s)


def ahead(route: Route, line: Line, at_m: float) -> Ahead | None:
    """The next turn; None when the way has none any more."""
    coming = [(one, line.along_m[min(one.at, len(line.along_m) - 1)]) for one in route.turns]
    coming = [(one, where_m) for one, where_m in coming if where_m > at_m - PASSED_M or one.kind == "arrive"]
    if len(coming) > 1 and coming[0][0].kind == "start" and at_m > 0:
        coming = coming[1:]  # it says where to go from a yard, and the next turn says it better
    if not coming:
        return None
    turn, where_m = coming[0]
    then, then_at_m = coming[1] if len(coming) > 1 else (None, where_m)
    return Ahead(turn=turn, distance_m=max(0.0, where_m - at_m), then=then, then_m=max(0.0, then_at_m - where_m))


def turns_left(route: Route, line: Line, at_m: float) -> tuple[tuple[Turn, float], ...]:
    """Every turn that is not behind, with its distance from here."""
    now = ahead(route, line, at_m)
    if now is None:
        return ()
    coming = route.turns[route.turns.index(now.turn) :]
    return tuple((one, max(0.0, line.along_m[min(one.at, len(line.along_m) - 1)] - at_m)) for one in coming)


def _ends(route: Route, line: Line) -> list[float]:
    starts = [line.along_m[min(one.at, len(line.along_m) - 1)] for one in route.turns]
    return [*starts[1:], line.length_m] if starts else []


def _numbers(line: str) -> list[int]:
    """The signed numbers of an encoded polyline: five bits a letter, the lowest first, the sign in the last bit."""
    numbers: list[int] = []
    value = shift = 0
    for letter in line:
        bits = ord(letter) - 63
        value |= (bits & 31) << shift
        shift += 5
        if bits < 32:
            numbers.append(~(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    return numbers
