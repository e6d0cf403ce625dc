"""Who was here before: incidents at the same place that are over, and how each of them ended.

Only the last year, as with cautions: what is older says more of the address than of who lives there now.
"""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, Row, select

from hub.cautions import DAY_MS, DAYS_MAX, SAME_ADDRESS_M
from hub.near import FAR_M, same_words
from hub.schema import incident
from wire.distance import distance_m
from wire.incident import TYPES

EARLIER_MAX = 8  # the newest; whoever needs more needs a report
_FAR_DEG = 0.01  # of latitude: more than FAR_M
_MERGED = "duplicate"  # the same call as another, which is in the list itself


class Earlier(Struct, frozen=True, kw_only=True):
    """An incident that was here. `disposition`: a code of wire.incident.DISPOSITIONS."""

    incident: str
    number: int
    type: str
    type_label: str
    opened_ms: int
    closed_ms: int
    disposition: str | None


def earlier(connection: Connection, found: Row[tuple[object, ...]], now_ms: int) -> tuple[Earlier, ...]:
    """The closed incidents at the place of `found`, the newest first."""
    rows = connection.execute(
        select(incident)
        .where(
            incident.c.incident != found.incident,
            incident.c.closed_ms > now_ms - DAYS_MAX * DAY_MS,
            incident.c.lat.between(found.lat - _FAR_DEG, found.lat + _FAR_DEG),
        )
        .order_by(incident.c.closed_ms.desc())
    )
    here = [row for row in rows if row.disposition != _MERGED and _is_here(row, found)]
    return tuple(_earlier(row) for row in here[:EARLIER_MAX])


def _is_here(row: Row[tuple[object, ...]], found: Row[tuple[object, ...]]) -> bool:
    away_m = distance_m(row.lat, row.lon, found.lat, found.lon)
    return away_m <= SAME_ADDRESS_M or (away_m <= FAR_M and same_words(row.place, found.place))


def _earlier(row: Row[tuple[object, ...]]) -> Earlier:
    known = TYPES.get(row.type)
    return Earlier(
        incident=row.incident,
        number=row.number,
        type=row.type,
        type_label=row.type if known is None else known.label,
        opened_ms=row.opened_ms,
        closed_ms=row.closed_ms,
        disposition=row.disposition,
    )
