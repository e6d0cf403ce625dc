"""What dispatch wants remembered of an incident: remarks, each with a label, never edited, also on a closed one."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from sqlalchemy import Connection, select

from hub.deeds import Deed, Line, done, is_done, lines_in, require_may, require_name, the
from hub.errors import Refused
from hub.schema import account, incident_act
from wire.packet import Label

REMARK_CHARS_MAX = 1000


class Remarking(Struct, frozen=True, kw_only=True):
    """A remark as it is written. `label`: who may see it."""

    id: str
    text: str
    label: Label = Label.OPEN


class Remark(Struct, frozen=True, kw_only=True):
    """A remark. `by`: the name of who wrote it."""

    id: str
    label: str
    at_ms: int
    by: str
    text: str


def remark(connection: Connection, incident_id: str, remarking: Remarking, deed: Deed) -> bool:
    """Keep a remark; False when this very request was done before."""
    require_name(remarking.id)
    if is_done(connection, remarking.id, incident_id, "remark", remarking):
        return False
    the(connection, incident_id)
    require_may(deed, remarking.label)
    text = remarking.text.strip()
    if not 0 < len(text) <= REMARK_CHARS_MAX:
        raise Refused("malformed", f"Write a remark of at most {REMARK_CHARS_MAX} characters.")
    line = Line(field="remark", label=remarking.label, after=text)
    done(connection, deed, remarking.id, incident_id, "remark", remarking, (line,))
    return True


def remarks(connection: Connection, incidents: Iterable[str]) -> tuple[Remark, ...]:
    """All remarks on these incidents, the earliest first; every label: `hub.labels` says who sees which."""
    rows = connection.execute(
        select(incident_act, account.c.name)
        .outerjoin(account, account.c.account == incident_act.c.by)
        .where(incident_act.c.what == "remark", incident_act.c.incident.in_(list(incidents)))
        .order_by(incident_act.c.at_ms, incident_act.c.id)
    )
    return tuple(
        Remark(id=row.act, label=line.label, at_ms=row.at_ms, by=row.name or row.by, text=line.after or "")
        for row in rows
        for line in lines_in(row.lines)
    )
