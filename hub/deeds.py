"""Who does something at the console, and that it is done once: an act on an incident, its lines, its audit row.

The client mints the id of each act. The same id with the same content is the same act, and nothing happens; with other
content it is refused. Each line carries its label, so that a timeline shows it only to who may see it.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Row, insert, select, update

from hub import audit
from hub.errors import Refused
from hub.labels import ON_THE_BOARD, Labels
from hub.schema import account, incident, incident_act
from wire import typed
from wire.codec import Malformed
from wire.ids import name
from wire.packet import Label

REASON_CHARS_MAX = 300

Found = Row[tuple[object, ...]]


class Deed(Struct, frozen=True, kw_only=True):
    """Who does something at the console, and when. `may`: the labels of what this person may see, and so may write."""

    by: str
    now_ms: int
    may: Labels = ON_THE_BOARD


class Line(Struct, frozen=True, kw_only=True):
    """What an act did to one field, in words for people. `before` None: there was nothing."""

    field: str
    label: Label
    before: str | None = None
    after: str | None = None


def the(connection: Connection, incident_id: str) -> Found:
    """The incident; Refused when there is none."""
    found = connection.execute(select(incident).where(incident.c.incident == incident_id)).first()
    if found is None:
        raise Refused("not_found", "There is no such incident.")
    return found


def the_open(connection: Connection, incident_id: str) -> Found:
    """The incident; Refused when it is not open."""
    found = the(connection, incident_id)
    if found.state != "open":
        raise Refused("closed", f"#{found.number} is closed. Reopen it first.")
    return found


def is_done(connection: Connection, act: str, incident_id: str, what: str, said: Struct) -> bool:
    """Whether this very act was done before; Refused when its id was used for something else."""
    before = connection.execute(select(incident_act).where(incident_act.c.act == act)).first()
    if before is None:
        return False
    if (before.incident, before.what) != (incident_id, what) or _read(before.said, type(said)) != said:
        raise Refused("conflict", "This id was used for something else. Send it again under a new one.")
    return True


def done(
    connection: Connection,
    deed: Deed,
    act: str,
    incident_id: str,
    what: str,
    said: Struct,
    lines: tuple[Line, ...] = (),
    reason: str | None = None,
) -> int:
    """Keep the act and its audit row, and answer the incident's new revision. The audit names fields, never content."""
    revision = connection.execute(
        update(incident)
        .where(incident.c.incident == incident_id)
        .values(revision=incident.c.revision + 1)
        .returning(incident.c.revision)
    ).scalar_one()
    connection.execute(
        insert(incident_act).values(
            act=act,
            incident=incident_id,
            at_ms=deed.now_ms,
            by=deed.by,
            what=what,
            said=msgspec.json.encode(said).decode(),
            lines=msgspec.json.encode(lines).decode(),
            revision=revision,
        )
    )
    note(connection, deed, f"incident_{what}", incident_id, reason or " ".join(line.field for line in lines) or None)
    return int(revision)


def note(connection: Connection, deed: Deed, what: str, about: str, reason: str | None = None) -> None:
    """The audit row of a deed at the console."""
    audit.append(connection, deed.now_ms, "console", deed.by, what, about, audit.OK, reason)


def require_unchanged(connection: Connection, found: Found, fields: frozenset[str], seen: int) -> None:
    """Refused when somebody changed one of `fields` after revision `seen`, which is what the person was looking at."""
    for row in connection.execute(
        select(incident_act.c.lines, account.c.name, incident_act.c.by)
        .outerjoin(account, account.c.account == incident_act.c.by)
        .where(incident_act.c.incident == found.incident, incident_act.c.revision > seen)
        .order_by(incident_act.c.id.desc())
    ):
        for line in lines_in(row.lines):
            if line.field in fields:
                raise Refused(
                    "changed",
                    f"{row.name or row.by} changed the {line.field.replace('_', ' ')} of #{found.number} meanwhile. "
                    "Look at it, then change it again.",
                )


def lines_in(text: str) -> tuple[Line, ...]:
    """The lines of an act."""
    return typed.json(text, tuple[Line, ...])


def require_name(text: str) -> None:
    """Refused unless `text` may name an incident, an assignment or an act."""
    try:
        name(text)
    except Malformed as wrong:
        raise Refused("malformed", f"{wrong}.".capitalize()) from None


def require_may(deed: Deed, label: Label) -> None:
    """Refused unless this person may see, and so write, what has this label."""
    if label not in deed.may:
        raise Refused("not_your_role", "Your role does not include this part of an incident.")


def said_why(reason: str, sentence: str) -> str:
    """The reason, trimmed; Refused with `sentence` when there is none or far too much of it."""
    reason = reason.strip()
    if not reason or len(reason) > REASON_CHARS_MAX:
        raise Refused("reason_needed", sentence)
    return reason


def _read(text: str, kind: type[Struct]) -> Struct | None:
    """What was asked then; None when this program asks it otherwise."""
    try:
        return typed.json(text, kind)
    except (msgspec.DecodeError, ValueError):
        return None
