"""Closed roads: an area, a stretch or a spot that nobody is sent through, until somebody opens it or its time is over.

A closure is a fact of the world that a person told, like a caution: it has a reason, a name behind it and an end. What is
kept is what was drawn; its rings are reckoned from that, so that a better reckoning needs no new drawing. A closure that
ended stays in the table: a ranking of that hour rests on it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Row, Select, insert, select, update

from hub import audit, rings
from hub.deeds import Deed, note, require_name
from hub.errors import Refused
from hub.rings import Ring, Spot
from hub.schema import account, closure
from wire import typed

REASON_CHARS_MAX = 120  # it stands on the map
CORNERS_MAX = 60
RADIUS_M_MIN, RADIUS_M_MAX = 10, 2_000
HOUR_MS = 3_600_000
HOURS_MAX = 24 * 31  # a road that is closed for longer belongs into the map
# The engine looks at all rings with every question; what it takes at most is in `hub.valhalla`, and far more than this.
OPEN_MAX = 100
EDGE_KM_MAX, EDGES_KM_MAX = 50, 500
RING_CORNERS_MAX = 15_000


class RoadClosing(Struct, frozen=True, kw_only=True):
    """What is to be closed. Without `radius_m`: the area within `corners`; with it: what is that near to the one corner, or
    to the line of corners. `until_ms` None: until somebody opens it."""

    id: str
    corners: tuple[Spot, ...]
    reason: str
    radius_m: int = 0
    until_ms: int | None = None


class ClosureView(Struct, frozen=True, kw_only=True):
    """A closure on the board. `rings`: what is closed, by (longitude, latitude), for drawing and for asking the roads."""

    id: str
    corners: tuple[Spot, ...]
    radius_m: int
    reason: str
    by: str
    since_ms: int
    until_ms: int | None
    ended_ms: int | None
    ended_by: str | None
    rings: tuple[tuple[tuple[float, float], ...], ...]


def close(connection: Connection, closing: RoadClosing, deed: Deed) -> bool:
    """Close it; False when this very request was done before."""
    require_name(closing.id)
    before = connection.execute(select(closure).where(closure.c.closure == closing.id)).first()
    if before is not None:
        if _asked(before) != _trimmed(closing):
            raise Refused("conflict", "A closure with this id says something else. Draw it again.")
        return False
    expire(connection, deed.now_ms)
    _require_sound(closing, deed.now_ms)
    _require_room(connection, closing, deed.now_ms)
    connection.execute(
        insert(closure).values(
            closure=closing.id,
            corners=msgspec.json.encode(closing.corners).decode(),
            radius_m=closing.radius_m,
            reason=closing.reason.strip(),
            since_ms=deed.now_ms,
            by=deed.by,
            until_ms=closing.until_ms,
        )
    )
    note(connection, deed, "road_closed", closing.id)
    return True


def end(connection: Connection, closure_id: str, deed: Deed) -> bool:
    """Open it again; False when it is open already."""
    row = connection.execute(select(closure).where(closure.c.closure == closure_id)).first()
    if row is None:
        raise Refused("not_found", "There is no such closure.")
    expire(connection, deed.now_ms)
    ended = connection.execute(
        update(closure)
        .where(closure.c.closure == closure_id, closure.c.ended_ms.is_(None))
        .values(ended_ms=deed.now_ms, ended_by=deed.by)
    )
    if ended.rowcount == 0:
        return False
    note(connection, deed, "road_opened", closure_id)
    return True


def expire(connection: Connection, now_ms: int) -> int:
    """Let every closure end whose time is over, and say how many. Nobody honors one that is over, whether this ran or not."""
    over = connection.execute(
        update(closure)
        .where(closure.c.ended_ms.is_(None), closure.c.until_ms <= now_ms)
        .values(ended_ms=closure.c.until_ms)
        .returning(closure.c.closure)
    ).scalars()
    count = 0
    for one in over.all():
        audit.append(connection, now_ms, "hub", None, "road_opened", one, audit.OK, "its time is over")
        count += 1
    return count


def shown(connection: Connection) -> tuple[ClosureView, ...]:
    """Those that nobody ended, the oldest first. One whose time is over may still be among them: see `standing`."""
    return tuple(_view(row) for row in connection.execute(_known().where(closure.c.ended_ms.is_(None))))


def one(connection: Connection, closure_id: str) -> ClosureView:
    """A closure, ended or not; Refused when there is none."""
    row = connection.execute(_known().where(closure.c.closure == closure_id)).first()
    if row is None:
        raise Refused("not_found", "There is no such closure.")
    return _view(row)


def standing(views: Iterable[ClosureView], now_ms: int) -> tuple[ClosureView, ...]:
    """Those of `views` that hold now."""
    return tuple(view for view in views if view.ended_ms is None and (view.until_ms is None or now_ms < view.until_ms))


def closed(connection: Connection, now_ms: int) -> tuple[Ring, ...]:
    """What no way may lead through now."""
    rows = connection.execute(
        select(closure)
        .where(closure.c.ended_ms.is_(None), closure.c.until_ms.is_(None) | (closure.c.until_ms > now_ms))
        .order_by(closure.c.since_ms, closure.c.closure)
    )
    return tuple(ring for row in rows for ring in rings_of(_asked(row)))


def rings_of(closing: RoadClosing) -> tuple[Ring, ...]:
    """The rings of what was drawn."""
    if closing.radius_m == 0:
        return (Ring(id=closing.id, corners=closing.corners),)
    if len(closing.corners) == 1:
        return (rings.around(closing.id, closing.corners[0], closing.radius_m),)
    return rings.along(closing.id, closing.corners, closing.radius_m)


def _require_sound(closing: RoadClosing, now_ms: int) -> None:
    if not 0 < len(closing.reason.strip()) <= REASON_CHARS_MAX:
        raise Refused("reason_needed", f"Say why the road is closed, in at most {REASON_CHARS_MAX} characters.")
    if not 0 < len(closing.corners) <= CORNERS_MAX:
        raise Refused("malformed", f"A closure has at most {CORNERS_MAX} corners. Draw it with fewer.")
    if closing.until_ms is not None and not now_ms < closing.until_ms <= now_ms + HOURS_MAX * HOUR_MS:
        raise Refused(
            "malformed", f"Say until when the road is closed: later than now, and within {HOURS_MAX // 24} days."
        )
    if closing.radius_m == 0:
        _require_area(closing.corners)
    elif not RADIUS_M_MIN <= closing.radius_m <= RADIUS_M_MAX:
        raise Refused("malformed", f"Say how far the closure reaches: {RADIUS_M_MIN} to {RADIUS_M_MAX} meters.")
    if rings.edge_m(rings_of(closing)) > EDGE_KM_MAX * 1000:
        raise Refused("too_large", f"The edge of a closure is at most {EDGE_KM_MAX} km long. Draw a smaller one.")


def _require_area(corners: tuple[Spot, ...]) -> None:
    if rings.crosses_itself(corners):
        raise Refused("malformed", "The edge of this area crosses itself. Draw it corner after corner around it.")
    if len(corners) < 3 or not rings.has_width(corners):
        raise Refused("malformed", "An area needs three corners that are not in one line. Or say a radius.")


def _require_room(connection: Connection, closing: RoadClosing, now_ms: int) -> None:
    new, before = rings_of(closing), closed(connection, now_ms)
    if len({ring.id for ring in before}) >= OPEN_MAX:
        raise Refused("too_many", f"There are {OPEN_MAX} closures already. End one that is over, then close this one.")
    corners = sum(len(ring.corners) for ring in (*new, *before))
    if rings.edge_m((*new, *before)) > EDGES_KM_MAX * 1000 or corners > RING_CORNERS_MAX:
        raise Refused(
            "too_many", "All closures together are more than the road engine takes. End one, or draw smaller."
        )


def _known() -> Select[tuple[object, ...]]:
    return (
        select(closure, account.c.name.label("by_name"))
        .outerjoin(account, account.c.account == closure.c.by)
        .order_by(closure.c.since_ms, closure.c.closure)
    )


def _trimmed(closing: RoadClosing) -> RoadClosing:
    return msgspec.structs.replace(closing, reason=closing.reason.strip())


def _asked(row: Row[tuple[object, ...]]) -> RoadClosing:
    return RoadClosing(
        id=row.closure,
        corners=typed.json(row.corners, tuple[Spot, ...]),
        reason=row.reason,
        radius_m=row.radius_m,
        until_ms=row.until_ms,
    )


def _view(row: Row[tuple[object, ...]]) -> ClosureView:
    asked = _asked(row)
    return ClosureView(
        id=asked.id,
        corners=asked.corners,
        radius_m=asked.radius_m,
        reason=asked.reason,
        by=row.by_name or row.by,
        since_ms=row.since_ms,
        until_ms=asked.until_ms,
        ended_ms=row.ended_ms,
        ended_by=row.ended_by,
        rings=tuple(tuple((spot.lon, spot.lat) for spot in ring.corners) for ring in rings_of(asked)),
    )
