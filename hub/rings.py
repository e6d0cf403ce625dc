"""Areas on the map as rings of corners: what is inside, how long the edge is, and the rings around a point or along a line.

Pure, and flat: an area that dispatchers close is some kilometers wide, and over those the earth is flat to a meter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import atan2, cos, hypot, pi, radians, sin

from msgspec import Struct

from wire.distance import EARTH_RADIUS_M, nearby_m

ARC_CORNERS = 12  # of a whole circle; drawn around it, so that nothing within the radius is left open


class Spot(Struct, frozen=True, kw_only=True):
    """A place on the globe."""

    lat: float
    lon: float

    def __post_init__(self) -> None:
        if not (-90 <= self.lat <= 90 and -180 <= self.lon <= 180):
            raise ValueError("off the globe")


class Ring(Struct, frozen=True, kw_only=True):
    """A closed area; the first corner is not repeated. `id`: of what it belongs to, which may have several rings."""

    id: str
    corners: tuple[Spot, ...]

    def __post_init__(self) -> None:
        if len(self.corners) < 3:
            raise ValueError("an area has at least three corners")


def holds(ring: Ring, spot: Spot) -> bool:
    """Whether `spot` is inside."""
    is_in = False
    for a, b in _edges(ring.corners):
        if (a.lat > spot.lat) != (b.lat > spot.lat):
            across = a.lon + (b.lon - a.lon) * (spot.lat - a.lat) / (b.lat - a.lat)
            is_in ^= spot.lon < across
    return is_in


def shut_between(closed: Sequence[Ring], *ends: Spot) -> tuple[Ring, ...]:
    """What stays closed on a way between these ends: everything but the closures that one of them is in."""
    left_out = {ring.id for ring in closed if any(holds(ring, end) for end in ends)}
    return tuple(ring for ring in closed if ring.id not in left_out)


def edge_m(rings: Iterable[Ring]) -> float:
    """How long the edges of all rings are together."""
    return sum(nearby_m(a.lat, a.lon, b.lat, b.lon) for ring in rings for a, b in _edges(ring.corners))


def crosses_itself(corners: Sequence[Spot]) -> bool:
    """Whether two edges of the ring cross: then nobody can say what is inside."""
    edges = list(_edges(corners))
    count = len(edges)
    return any(
        _cross(*edges[i], *edges[j])
        for i in range(count)
        for j in range(i + 2, count)
        if not (i == 0 and j == count - 1)
    )


def has_width(corners: Sequence[Spot]) -> bool:
    """Whether there is an area within the corners, and not only a line."""
    flat = _flat(corners, corners[0])
    twice_m2 = sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(flat, (*flat[1:], flat[0]), strict=True))
    return abs(twice_m2) > 1.0


def around(id: str, spot: Spot, radius_m: float) -> Ring:
    """The ring around a place."""
    return _ring(id, spot, [(x, y) for x, y in _arc(0.0, 2 * pi, radius_m)][:-1])


def along(id: str, line: Sequence[Spot], radius_m: float) -> tuple[Ring, ...]:
    """Rings that hold everything within `radius_m` of a line: one around each of its pieces, overlapping at the bends."""
    return tuple(_piece(id, a, b, radius_m) for a, b in pairwise(line))


def _piece(id: str, a: Spot, b: Spot, radius_m: float) -> Ring:
    (bx, by) = _flat([b], a)[0]
    if hypot(bx, by) < 0.5:  # two clicks on one place
        return around(id, a, radius_m)
    course = atan2(by, bx)
    head = [(bx + x, by + y) for x, y in _arc(course - pi / 2, course + pi / 2, radius_m)]
    tail = _arc(course + pi / 2, course + 3 * pi / 2, radius_m)
    return _ring(id, a, [*head, *tail])


def _arc(start: float, end: float, radius_m: float) -> list[tuple[float, float]]:
    """Corners on an arc, far enough out that the straight edges between them stay outside of it."""
    count = max(1, round(ARC_CORNERS * (end - start) / (2 * pi)))
    out_m = radius_m / cos(pi / ARC_CORNERS)
    angles = [start + (end - start) * at / count for at in range(count + 1)]
    return [(out_m * cos(angle), out_m * sin(angle)) for angle in angles]


def _edges(corners: Sequence[Spot]) -> Iterable[tuple[Spot, Spot]]:
    return zip(corners, (*corners[1:], corners[0]), strict=True)


def _flat(spots: Iterable[Spot], origin: Spot) -> list[tuple[float, float]]:
    """Meters east and north of `origin`."""
    shrink = cos(radians(origin.lat))
    return [
        (EARTH_RADIUS_M * radians(spot.lon - origin.lon) * shrink, EARTH_RADIUS_M * radians(spot.lat - origin.lat))
        for spot in spots
    ]


def _ring(id: str, origin: Spot, meters: Iterable[tuple[float, float]]) -> Ring:
    """A ring by meters from `origin`; near a pole or the date line it ends there."""
    shrink = max(1e-9, cos(radians(origin.lat)))
    return Ring(
        id=id,
        corners=tuple(
            Spot(
                lat=_within(origin.lat + y / EARTH_RADIUS_M * 180 / pi, 90),
                lon=_within(origin.lon + x / (EARTH_RADIUS_M * shrink) * 180 / pi, 180),
            )
            for x, y in meters
        ),
    )


def _within(degrees: float, most: float) -> float:
    return round(max(-most, min(most, degrees)), 7)


def _cross(a: Spot, b: Spot, c: Spot, d: Spot) -> bool:
    return _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0


def _side(a: Spot, b: Spot, c: Spot) -> float:
    return (b.lon - a.lon) * (c.lat - a.lat) - (b.lat - a.lat) * (c.lon - a.lon)
