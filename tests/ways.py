"""Ways for tests: streets by their corners in meters, driven by a vehicle whose receiver errs as much as a test wants."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from math import atan2, cos, degrees, hypot, radians

from hub.rings import Spot
from wire.distance import EARTH_RADIUS_M
from wire.fix import Fix
from wire.state import Route, Turn
from wire.way import encoded, line_of, points_of

LAT, LON = 39.96, -83.0

Corner = tuple[float, float]


def spot(east_m: float, north_m: float) -> tuple[float, float]:
    """(lat, lon) so many meters from the first corner of the town."""
    lat = LAT + degrees(north_m / EARTH_RADIUS_M)
    return lat, LON + degrees(east_m / (EARTH_RADIUS_M * cos(radians(LAT))))


def a_route(corners: Sequence[Corner], assignment: str = "a-1", mps: float = 12.0, **over: object) -> Route:
    """The way along `corners`, a turn at each, driven at `mps`."""
    points = [spot(*corner) for corner in corners]
    line = line_of(points)
    turns = []
    for index in range(len(corners)):
        is_last = index == len(corners) - 1
        span = 0.0 if is_last else line.along_m[index + 1] - line.along_m[index]
        kind, words = _turn(corners, index)
        street = "" if is_last else STREETS[index % len(STREETS)]
        said = f"{words} onto {street}." if street else "You have arrived at your destination."
        turns.append(Turn(index, kind, said, street, round(span), round(span / mps)))
    base: dict[str, object] = {
        "assignment": assignment,
        "n": 1,
        "why": "first",
        "made_ms": 1_790_000_000_000,
        "line": encoded(points),
        "distance_m": round(line.length_m),
        "seconds": round(line.length_m / mps),
        "turns": tuple(turns),
    }
    return Route(**(base | over))  # type: ignore[arg-type]


STREETS = ("North High Street", "Fifth Avenue", "Highland Street", "Mc Cutcheon Road", "Lane Avenue", "Peña Boulevard")


def _turn(corners: Sequence[Corner], index: int) -> tuple[str, str]:
    if index == 0:
        return "start", "Drive north"
    if index == len(corners) - 1:
        return "arrive", "Arrive"
    before, after = _course(corners[index - 1], corners[index]), _course(corners[index], corners[index + 1])
    turned = (after - before + 180) % 360 - 180
    if abs(turned) > 150:
        return "uturn_left", "Make a U-turn"
    if abs(turned) < 20:
        return "straight", "Continue"
    side = "right" if turned > 0 else "left"
    return (side if abs(turned) > 50 else f"slight_{side}"), f"Turn {side}"


def _course(a: Corner, b: Corner) -> float:
    return degrees(atan2(b[0] - a[0], b[1] - a[1])) % 360


def at_along(corners: Sequence[Corner], along_m: float) -> tuple[float, float, float]:
    """East, north and course, so far along the corners."""
    for a, b in itertools.pairwise(corners):
        span = hypot(b[0] - a[0], b[1] - a[1])
        if along_m <= span:
            share = 0.0 if span == 0 else along_m / span
            return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, _course(a, b)
        along_m -= span
    return *corners[-1], _course(corners[-2], corners[-1])


def length_m(corners: Sequence[Corner]) -> float:
    """Of the whole."""
    return sum(hypot(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(corners))


def a_fix(east_m: float, north_m: float, heading_deg: float = 0.0, speed_mps: float = 12.0, **over: object) -> Fix:
    """What a receiver there says."""
    lat, lon = spot(east_m, north_m)
    said: dict[str, object] = {"accuracy_m": 5.0, **over}
    return Fix(lat=lat, lon=lon, heading_deg=heading_deg % 360, speed_mps=speed_mps, **said)  # type: ignore[arg-type]


def driven(
    corners: Sequence[Corner],
    mps: float = 12.0,
    errors: Sequence[tuple[float, float]] = ((0.0, 0.0),),
    from_m: float = 0.0,
) -> Iterator[tuple[float, float, Fix]]:
    """The seconds, the true meters along and the fix, one a second until the end."""
    whole, second, along = length_m(corners), 0, from_m
    while along <= whole:
        east, north, course = at_along(corners, along)
        err_east, err_north = errors[second % len(errors)]
        yield float(second), along, a_fix(east + err_east, north + err_north, course, mps)
        second += 1
        along += mps


def spots_of(line: str) -> tuple[Spot, ...]:
    """The places of an encoded polyline."""
    return tuple(Spot(lat=lat, lon=lon) for lat, lon in points_of(line))
