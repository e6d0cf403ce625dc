"""Where a unit was: the fixes that its terminals recorded, by the hub's clock, with the holes where nothing is known.

A point's time is told by the board's monotonic clock since its birth, whose arrival the hub's own clock saw; a board whose
clock is to be believed may say that the birth was some minutes on its way. A hole stays a hole: no line is drawn where
nobody knows the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from msgspec import Struct
from sqlalchemy import Connection, select

from hub.errors import Refused
from hub.freshness import age_s
from hub.position import Position
from hub.schema import boot, device, log, record, unit
from wire.codec import Malformed, decode
from wire.records import Kind, Record
from wire.signature import payload_of
from wire.stamp import Stamp
from wire.trail import unpack

MINUTES_MAX = 12 * 60  # a shift; who wants more reads the records
GAP_S = 30.0  # a receiver gives a fix a second, parked too: half a minute without one is a hole
POINTS_MAX = 720  # of the answer: more than a screen is wide
RECORDS_MAX = 2_000  # of one log: a shift has half as many, and a question stays a short one
BIRTH_LATE_MS_MAX = 3_600_000  # the broker keeps a birth for a hub that is away; more than this is a wrong clock
TRAIL_LOG = "trail"

_READ_SLACK_MS = 10 * 60_000  # a record comes after its points: by so much at least it is looked for before them


class TrailPointView(Struct, frozen=True, kw_only=True):
    """Where the unit was at a moment, by the hub's clock."""

    at_ms: int
    lat: float
    lon: float
    speed_mps: float | None


class TrailView(Struct, frozen=True, kw_only=True):
    """The way so far, the oldest first, in pieces: between two pieces nothing is known, or nothing has come yet.

    `dropped`: fixes that a full disk aboard thinned away.
    """

    unit: str
    call_sign: str
    now_ms: int
    minutes: int
    pieces: tuple[tuple[TrailPointView, ...], ...]
    dropped: int


def trail(connection: Connection, unit_id: str, minutes: int, newest: Position | None, now_ms: int) -> TrailView:
    """The way of the unit in the last `minutes`; Refused when there is no such unit. `newest`: where it is believed to be."""
    if not 1 <= minutes <= MINUTES_MAX:
        raise Refused("malformed", f"Ask for 1 to {MINUTES_MAX} minutes of a trail.")
    call_sign = connection.execute(select(unit.c.call_sign).where(unit.c.unit == unit_id)).scalar()
    if call_sign is None:
        raise Refused("not_found", "There is no such unit.")
    since_ms = now_ms - minutes * 60_000
    points: dict[int, TrailPointView] = {}
    dropped = 0
    for device_id in connection.execute(select(device.c.device).where(device.c.unit == unit_id)).scalars().all():
        births = _births(connection, device_id)
        for held_ms, told in _records(connection, device_id, since_ms):
            found, lost = _points(told, held_ms, births)
            inside = [point for point in found if since_ms <= point.at_ms <= now_ms]
            points.update({point.at_ms: point for point in inside})
            dropped += lost if inside else 0
    if newest is not None and (here := _here(newest, now_ms)) is not None and here.at_ms >= since_ms:
        points[here.at_ms] = here
    ordered = [points[at_ms] for at_ms in sorted(points)]
    return TrailView(
        unit=unit_id,
        call_sign=call_sign,
        now_ms=now_ms,
        minutes=minutes,
        pieces=thinned(pieces(ordered), POINTS_MAX),
        dropped=dropped,
    )


def pieces(points: Sequence[TrailPointView]) -> tuple[tuple[TrailPointView, ...], ...]:
    """The points, parted where for more than GAP_S nothing is known."""
    found: list[list[TrailPointView]] = [[points[0]]] if points else []
    for before, after in pairwise(points):
        if after.at_ms - before.at_ms > GAP_S * 1000:
            found.append([])
        found[-1].append(after)
    return tuple(tuple(piece) for piece in found)


def thinned(parts: Sequence[Sequence[TrailPointView]], most: int) -> tuple[tuple[TrailPointView, ...], ...]:
    """Every n-th point, and the first and last of each piece, so that about `most` are left."""
    step = max(1, -(-sum(len(part) for part in parts) // most))
    return tuple(
        tuple(point for at, point in enumerate(part) if at % step == 0 or at == len(part) - 1) for part in parts
    )


def _births(connection: Connection, device_id: str) -> dict[bytes, int]:
    """What the hub's clock said when each power-on's monotonic clock began."""
    rows = connection.execute(select(boot).where(boot.c.device == device_id, boot.c.session >= 0))
    return {row.boot: row.held_ms - row.mono_ms for row in rows}


def _records(connection: Connection, device_id: str, since_ms: int) -> Iterator[tuple[int, Record]]:
    """The trail records of a device that may have a point since then, the newest first, by the key of the table."""
    log_ids = connection.execute(
        select(log.c.log_id).where(log.c.device == device_id, log.c.name.in_((TRAIL_LOG, "")))
    ).scalars()
    for log_id in log_ids.all():
        rows = connection.execute(
            select(record.c.data, record.c.held_ms, record.c.refused)
            .where(record.c.device == device_id, record.c.log_id == log_id, record.c.kind == Kind.TRAIL)
            .order_by(record.c.seq.desc())
            .limit(RECORDS_MAX)
        )
        for row in rows:
            if row.held_ms < since_ms - _READ_SLACK_MS:
                break  # what came before that is older
            if row.refused is None:
                yield row.held_ms, decode(payload_of(row.data), Record)


def _points(told: Record, held_ms: int, births: dict[bytes, int]) -> tuple[Iterable[TrailPointView], int]:
    try:
        packed = unpack(told.body)
    except Malformed:
        return (), 0  # it was kept as it came
    began_ms = _began_ms(told.stamp, held_ms, births.get(told.stamp.boot))
    return [
        TrailPointView(at_ms=began_ms + point.mono_ms, lat=point.lat, lon=point.lon, speed_mps=point.speed_mps)
        for point in packed.points
    ], packed.dropped


def _began_ms(stamp: Stamp, held_ms: int, birth_ms: int | None) -> int:
    """What the hub's clock said when this power-on's monotonic clock began. Nothing is heard before it happens: of two
    times that could be true, the earlier is."""
    by_wall_ms = stamp.wall_ms - stamp.mono_ms if stamp.is_trusted and stamp.wall_ms is not None else None
    if birth_ms is None:
        return held_ms - stamp.mono_ms if by_wall_ms is None else by_wall_ms
    if by_wall_ms is not None and 0 < birth_ms - by_wall_ms < BIRTH_LATE_MS_MAX:
        return by_wall_ms
    return birth_ms


def _here(newest: Position, now_ms: int) -> TrailPointView | None:
    fix = newest.fix
    if fix is None:
        return None
    at_ms = now_ms - round(age_s(newest, now_ms) * 1000)
    return TrailPointView(at_ms=at_ms, lat=fix.lat, lon=fix.lon, speed_mps=fix.speed_mps) if at_ms <= now_ms else None
