"""How an incident ends, and begins again: closed with what was recommended and what came of it, reopened."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, select, update

from hub.changes import reset_gate
from hub.deeds import Deed, Found, Line, done, is_done, require_name, said_why, the, the_open
from hub.errors import Refused
from hub.schema import assignment, incident, unit
from wire.incident import DISPOSITIONS
from wire.packet import Label

CANCELING = frozenset({"canceled", "duplicate"})
BY_PHONE = "consult_only"


class Closing(Struct, frozen=True, kw_only=True):
    """How an incident ended: codes of wire.incident.DISPOSITIONS. `recommended`: what a clinician advised, None when
    nobody said or it stands already. Without an `id` it is the closing of this incident as it is."""

    disposition: str
    recommended: str | None = None
    id: str | None = None


class Recommending(Struct, frozen=True, kw_only=True):
    """A clinician advises how it should end."""

    id: str
    disposition: str


class Reopening(Struct, frozen=True, kw_only=True):
    """It is not over, and why."""

    id: str
    reason: str


def close(connection: Connection, incident_id: str, closing: Closing, deed: Deed) -> bool:
    """Close the incident; False when it was closed so already. Refused while a unit is on it, and as settled by phone
    when one ever was."""
    _require_known(closing.disposition)
    if closing.recommended is not None:
        _require_known(closing.recommended)
    if closing.id is not None:
        require_name(closing.id)
        if is_done(connection, closing.id, incident_id, "closed", closing):
            return False
    found = the(connection, incident_id)
    if found.state != "open":
        if closing.id is None and found.disposition == closing.disposition:
            return False
        raise Refused("closed", f"#{found.number} is closed already. Reopen it to close it otherwise.")
    require_nobody_on_it(connection, found)
    if closing.disposition == BY_PHONE:
        _require_nobody_sent(connection, found)
    recommended = closing.recommended or found.recommended
    connection.execute(
        update(incident)
        .where(incident.c.incident == incident_id)
        .values(
            state="canceled" if closing.disposition in CANCELING else "closed",
            closed_ms=deed.now_ms,
            disposition=closing.disposition,
            recommended=recommended,
        )
    )
    lines = [Line(field="disposition", label=Label.OPEN, after=closing.disposition)]
    if recommended != found.recommended:
        lines.append(Line(field="recommended", label=Label.OPEN, before=found.recommended, after=recommended))
    act = closing.id or f"closed:{incident_id}:{found.revision}"
    done(connection, deed, act, incident_id, "closed", closing, tuple(lines), closing.disposition)
    return True


def recommend(connection: Connection, incident_id: str, recommending: Recommending, deed: Deed) -> bool:
    """Keep what a clinician advises; False when this very request was done before."""
    require_name(recommending.id)
    if is_done(connection, recommending.id, incident_id, "recommended", recommending):
        return False
    found = the_open(connection, incident_id)
    _require_known(recommending.disposition)
    connection.execute(
        update(incident).where(incident.c.incident == incident_id).values(recommended=recommending.disposition)
    )
    line = Line(field="recommended", label=Label.OPEN, before=found.recommended, after=recommending.disposition)
    done(connection, deed, recommending.id, incident_id, "recommended", recommending, (line,), recommending.disposition)
    return True


def reopen(connection: Connection, incident_id: str, reopening: Reopening, deed: Deed) -> bool:
    """Open a closed incident again; False when this very request was done before. It has no disposition then, its scene
    is one that nobody has looked at, and if it was merged into another it stands for itself."""
    require_name(reopening.id)
    if is_done(connection, reopening.id, incident_id, "reopened", reopening):
        return False
    found = the(connection, incident_id)
    if found.state == "open":
        raise Refused("busy", f"#{found.number} is open already. Go on with it.")
    reason = said_why(reopening.reason, "Say why it is opened again.")
    connection.execute(
        update(incident)
        .where(incident.c.incident == incident_id)
        .values(
            state="open",
            closed_ms=None,
            disposition=None,
            recommended=None,
            merged_into=None,
            reopened_ms=deed.now_ms,
        )
    )
    lines = (
        Line(field="reason", label=Label.OPEN, after=reason),
        Line(field="disposition", label=Label.OPEN, before=found.disposition),
        *reset_gate(connection, found),
    )
    done(connection, deed, reopening.id, incident_id, "reopened", reopening, lines)
    return True


def require_nobody_on_it(connection: Connection, found: Found) -> None:
    """Refused while a unit is on the incident."""
    on_it = connection.execute(
        select(unit.c.call_sign)
        .join(assignment, assignment.c.unit == unit.c.unit)
        .where(assignment.c.incident == found.incident, assignment.c.released_ms.is_(None))
        .order_by(unit.c.call_sign)
    ).scalars()
    if still := ", ".join(on_it):
        raise Refused("busy", f"{still} is still on #{found.number}. Release it first.")


def _require_nobody_sent(connection: Connection, found: Found) -> None:
    sent = connection.execute(
        select(unit.c.call_sign)
        .join(assignment, assignment.c.unit == unit.c.unit)
        .where(assignment.c.incident == found.incident)
        .order_by(assignment.c.offered_ms)
    ).scalar()
    if sent is not None:
        raise Refused(
            "busy", f"{sent} was sent to #{found.number}, so it was not settled by phone. Choose how it ended."
        )


def _require_known(disposition: str) -> None:
    if disposition not in DISPOSITIONS:
        raise Refused("malformed", "Choose how the incident ended.")
