"""What happened on one incident, in order, from what the tables hold."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from sqlalchemy import Connection, select

from hub import clocks
from hub.schema import assignment, device, emergency, incident, note, status_history, unit
from hub.snapshot import label
from wire.stamp import Stamp


class Happening(Struct, frozen=True, kw_only=True):
    """One line. `what`: opened, sent, on_terminal, acknowledged, status, released, note, closed, emergency,
    emergency_test, emergency_acknowledged, emergency_cleared; `detail` for people.

    `at_ms` is the hub's time and orders. `noted_ms`: when it happened by the board's clock as the board stamped it, None
    when it had no idea; `corrected_ms`: what that really was, None when the stamp is right or nobody knows better.
    """

    at_ms: int
    what: str
    call_sign: str | None = None
    detail: str | None = None
    noted_ms: int | None = None
    corrected_ms: int | None = None


def timeline(connection: Connection, incident_id: str) -> tuple[Happening, ...]:
    """Everything that happened on this incident, the earliest first; empty when there is none of this id."""
    happened = (
        *_of_the_incident(connection, incident_id),
        *_of_assignments(connection, incident_id),
        *_of_statuses(connection, incident_id),
        *_of_notes(connection, incident_id),
        *_of_emergencies(connection, incident_id),
    )
    return tuple(sorted(happened, key=lambda one: one.at_ms))


def _of_the_incident(connection: Connection, incident_id: str) -> Iterator[Happening]:
    row = connection.execute(select(incident).where(incident.c.incident == incident_id)).first()
    if row is None:
        return
    yield Happening(at_ms=row.opened_ms, what="opened", detail=row.opened_by)
    if row.closed_ms is not None:
        yield Happening(at_ms=row.closed_ms, what="closed", detail=row.disposition)


def _of_assignments(connection: Connection, incident_id: str) -> Iterator[Happening]:
    for row in connection.execute(
        select(assignment, unit.c.call_sign)
        .join(unit, unit.c.unit == assignment.c.unit)
        .where(assignment.c.incident == incident_id)
    ):
        yield Happening(at_ms=row.offered_ms, what="sent", call_sign=row.call_sign, detail=row.override_reason)
        for at_ms, what in (
            (row.received_ms, "on_terminal"),
            (row.acknowledged_ms, "acknowledged"),
            (row.released_ms, "released"),
        ):
            if at_ms is not None:
                yield Happening(at_ms=at_ms, what=what, call_sign=row.call_sign)


def _of_statuses(connection: Connection, incident_id: str) -> Iterator[Happening]:
    for row in connection.execute(
        select(status_history, unit.c.call_sign)
        .join(assignment, assignment.c.assignment == status_history.c.assignment)
        .join(unit, unit.c.unit == status_history.c.unit)
        .where(assignment.c.incident == incident_id, status_history.c.by != "hub")
        .order_by(status_history.c.id)
    ):
        stamp = (
            None
            if row.device is None
            else Stamp(boot=row.boot, mono_ms=row.mono_ms, wall_ms=row.stamped_ms, quality=row.quality)
        )
        yield Happening(
            at_ms=row.held_ms,
            what="status",
            call_sign=row.call_sign,
            detail=label(row.status),
            noted_ms=row.stamped_ms,
            corrected_ms=None if stamp is None else clocks.corrected_ms(connection, row.device, stamp),
        )


def _of_notes(connection: Connection, incident_id: str) -> Iterator[Happening]:
    for row in connection.execute(
        select(note.c.held_ms, note.c.author)
        .join(incident, incident.c.encounter == note.c.encounter)
        .where(incident.c.incident == incident_id)
    ):
        yield Happening(at_ms=row.held_ms, what="note", detail=row.author)


def _of_emergencies(connection: Connection, incident_id: str) -> Iterator[Happening]:
    for row in connection.execute(
        select(emergency, unit.c.call_sign)
        .join(device, device.c.device == emergency.c.device)
        .join(unit, unit.c.unit == device.c.unit)
        .where(emergency.c.incident == incident_id)
    ):
        raised = "emergency_test" if row.is_drill else "emergency"
        yield Happening(at_ms=row.received_ms, what=raised, call_sign=row.call_sign, detail=row.source)
        if row.acknowledged_ms is not None:
            yield _answered(row.acknowledged_ms, "emergency_acknowledged", row.call_sign, row.acknowledged_by)
        if row.cleared_ms is not None:
            said = ": ".join(part for part in (row.contact, row.words) if part) or row.cleared_by
            yield _answered(row.cleared_ms, "emergency_cleared", row.call_sign, said)


def _answered(at_ms: int, what: str, call_sign: str, detail: str) -> Happening:
    return Happening(at_ms=at_ms, what=what, call_sign=call_sign, detail=detail)
