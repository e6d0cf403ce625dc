"""Past fixes packed for the log: columns of differences, five to six bytes a fix.

A column of small whole numbers costs MessagePack one byte each from -32 to 127. A vehicle's steps from second to second
are larger than that, but they differ little from each other: the times and the places of version 2 are differences of
differences, its speeds and headings differences. Version 1 has differences, and speeds and headings as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, pairwise

from msgspec import Struct

from wire.codec import Malformed, decode, encode

DEGREES_SCALE = 1_000_000  # 0.11 m: a tenth of what the receiver knows
SPEED_SCALE = 10  # 0.1 m/s
POINTS_MAX = 3600  # an hour at 1 Hz; far under the record's size limit
_UNKNOWN = -1


class TrailPoint(Struct, frozen=True, kw_only=True):
    """One past fix. `mono_ms` is of the boot in the record's stamp; speeds come back to 0.1 m/s, headings to 1 degree."""

    mono_ms: int
    lat: float
    lon: float
    speed_mps: float | None = None
    heading_deg: float | None = None

    def __post_init__(self) -> None:
        if not (-90 <= self.lat <= 90 and -180 <= self.lon <= 180):
            raise ValueError("off the globe")


class _Columns(Struct, frozen=True, kw_only=True, array_like=True):
    v: int
    mono_ms: tuple[int, ...]
    lat: tuple[int, ...]
    lon: tuple[int, ...]
    speed: tuple[int, ...]
    heading: tuple[int, ...]
    dropped: int


class Trail(Struct, frozen=True, kw_only=True):
    """Past fixes in order, and how many were thinned away between them because the disk was full."""

    points: tuple[TrailPoint, ...]
    dropped: int = 0


def pack(trail: Trail) -> bytes:
    """`trail` as the body of a trail record."""
    points = trail.points
    if len(points) > POINTS_MAX:
        raise ValueError(f"{len(points)} fixes in one trail record; at most {POINTS_MAX}")
    return encode(
        _Columns(
            v=2,
            mono_ms=_steps(_steps(p.mono_ms for p in points)),
            lat=_steps(_steps(round(p.lat * DEGREES_SCALE) for p in points)),
            lon=_steps(_steps(round(p.lon * DEGREES_SCALE) for p in points)),
            speed=_steps(_UNKNOWN if p.speed_mps is None else round(p.speed_mps * SPEED_SCALE) for p in points),
            heading=_steps(_UNKNOWN if p.heading_deg is None else round(p.heading_deg) % 360 for p in points),
            dropped=trail.dropped,
        )
    )


def unpack(body: bytes) -> Trail:
    """The trail in a record's body; Malformed when it is none."""
    columns, lat, lon = _opened(body)
    mono_ms, speed, heading = columns.mono_ms, columns.speed, columns.heading
    if columns.v >= 2:
        mono_ms, speed, heading = _sums(mono_ms), _sums(speed), _sums(heading)
    rows = zip(_sums(mono_ms), lat, lon, speed, heading, strict=True)
    return Trail(points=tuple(_point(*row) for row in rows), dropped=columns.dropped)


def check(body: bytes) -> None:
    """Nothing when `unpack` gives a trail; Malformed otherwise. A tenth of its work: no fix is made."""
    _opened(body)


def _opened(body: bytes) -> tuple[_Columns, tuple[int, ...], tuple[int, ...]]:
    """The columns of a good trail, and its places; Malformed otherwise."""
    columns = decode(body, _Columns)
    lengths = {len(c) for c in (columns.mono_ms, columns.lat, columns.lon, columns.speed, columns.heading)}
    if len(lengths) != 1 or lengths.pop() > POINTS_MAX or columns.dropped < 0:
        raise Malformed("trail columns of different lengths")
    lat, lon = _sums(columns.lat), _sums(columns.lon)
    if columns.v >= 2:
        lat, lon = _sums(lat), _sums(lon)
    for places, most in ((lat, 90 * DEGREES_SCALE), (lon, 180 * DEGREES_SCALE)):
        if places and not -most <= min(places) <= max(places) <= most:
            raise Malformed("trail: off the globe")
    return columns, lat, lon


def _point(mono_ms: int, lat: int, lon: int, speed: int, heading: int) -> TrailPoint:
    return TrailPoint(
        mono_ms=mono_ms,
        lat=lat / DEGREES_SCALE,
        lon=lon / DEGREES_SCALE,
        speed_mps=None if speed == _UNKNOWN else speed / SPEED_SCALE,
        heading_deg=None if heading == _UNKNOWN else float(heading),
    )


def _sums(steps: Iterable[int]) -> tuple[int, ...]:
    return tuple(accumulate(steps))


def _steps(values: Iterable[int]) -> tuple[int, ...]:
    whole = tuple(values)
    return whole[:1] + tuple(b - a for a, b in pairwise(whole))
