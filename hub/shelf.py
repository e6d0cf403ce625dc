"""The shelf: sealed notes the hub keeps and hands to desks, and which notes it may put there.

The hub cannot open any of them. What it can check is that the people who must be able to open a note are among its
recipients: a note without the break-glass key would be found out in the emergency.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from hub import schema
from wire.keys import NoteKeyList, Role
from wire.notes import Envelope, NoteKind
from wire.state import SealedDelivery, Shelf, ShelfEntry

ENTRIES_MAX = 200  # a few weeks of a busy team; older notes are asked for by name, later
SENT_KINDS = frozenset({NoteKind.FINAL, NoteKind.ADDENDUM, NoteKind.VOID, NoteKind.QUICK})


def refusal(envelope: Envelope, listed: NoteKeyList) -> str | None:
    """Why `envelope` may not be shelved; None when the clinical key of its epoch and the break-glass key can open it.

    The epoch may be the current or the one before: a terminal may have been away when it changed.
    """
    if envelope.header.kind not in SENT_KINDS:
        return "not a kind of note that is sent"
    current = listed.epoch()
    if envelope.header.epoch not in (current, current - 1):
        return "sealed for another clinical epoch"
    for key in listed.keys:
        is_needed = key.role == Role.BREAK_GLASS or (key.role == Role.CLINICAL and key.epoch == envelope.header.epoch)
        if is_needed and key.kid not in envelope.kids:
            return f"not sealed to the {key.role} key"
    clinical = {key.epoch for key in listed.keys if key.role == Role.CLINICAL}
    return None if envelope.header.epoch in clinical else "sealed for a clinical epoch that nobody holds"


def entries(connection: Connection) -> Shelf:
    """What a desk may hold, newest first."""
    note, incident, device, unit = schema.note, schema.incident, schema.device, schema.unit
    rows = connection.execute(
        select(
            note.c.note_id,
            note.c.body_sha256,
            note.c.encounter,
            incident.c.incident,
            unit.c.call_sign,
            note.c.kind,
            note.c.disposition,
            note.c.held_ms,
        )
        .select_from(
            note.outerjoin(incident, incident.c.encounter == note.c.encounter)
            .outerjoin(device, device.c.device == note.c.device)
            .outerjoin(unit, unit.c.unit == device.c.unit)
        )
        .order_by(note.c.held_ms.desc(), note.c.note_id)
        .limit(ENTRIES_MAX)
    )
    return Shelf(
        entries=tuple(
            ShelfEntry(
                note_id=row.note_id,
                body_sha256=row.body_sha256,
                encounter=row.encounter,
                incident=row.incident,
                call_sign=row.call_sign,
                kind=row.kind,
                disposition=row.disposition,
                held_ms=row.held_ms,
            )
            for row in rows
        )
    )


def delivery(connection: Connection, device: str, note_id: bytes) -> SealedDelivery | None:
    """The note `note_id` for the desk `device`; None when it is not on the shelf, or `device` is no working desk."""
    asking = connection.execute(
        select(schema.device.c.kind, schema.device.c.state).where(schema.device.c.device == device)
    ).first()
    if asking is None or asking.kind != "desk" or asking.state != "active":
        return None
    row = connection.execute(
        select(schema.note.c.note, schema.note.c.certificate).where(schema.note.c.note_id == note_id)
    ).first()
    return None if row is None else SealedDelivery(v=1, device=device, note=row.note, certificate=row.certificate)
