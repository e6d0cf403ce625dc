"""What happened on one incident, in order, from what the tables hold: its acts, assignments, statuses, notes, emergencies."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from sqlalchemy import Connection, select

from hub import clocks, labels
from hub.deeds import Line, lines_in
from hub.labels import ON_THE_BOARD, Labels
from hub.schema import assignment, device, emergency, incident, incident_act, note, status_history, unit
from hub.snapshot import label
from wire.packet import PACKET, Label
from wire.stamp import Stamp

_ENDS = ("closed", "merged")


class Happening(Struct, frozen=True, kw_only=True):
    """One line. `what`: opened, sent, on_terminal, acknowledged, status, released, note, closed, emergency,
    emergency_test, emergency_acknowledged, emergency_cleared; of acts besides: told, changed, staged, secured, remark,
    caution_added, caution_ended, recommended, reopened, merged, took_over, linked, unlinked; `detail` for people.
    `field` and `by`: of an act, what it changed and whose it is; `label`: who may see the line.

    `at_ms` is the hub's time and orders. `noted_ms`: when it happened by the board's clock as the board stamped it, None
    when it had no idea; `corrected_ms`: what that really was, None when the stamp is right or nobody knows better.
    """

    at_ms: int
    what: str
    call_sign: str | None = None
    detail: str | None = None
    noted_ms: int | None = None
    corrected_ms: int | None = None
    field: str | None = None
    by: str | None = None
    label: Label = Label.OPEN


def timeline(connection: Connection, incident_id: str, may: Labels = ON_THE_BOARD) -> tuple[Happening, ...]:
    """Everything that happened on this incident that somebody with these labels `may` see, the earliest first; empty
    when there is none of this id."""
    happened = (
        *_of_the_incident(connection, incident_id),
        *_of_acts(connection, incident_id),
        *_of_assignments(connection, incident_id),
        *_of_statuses(connection, incident_id),
        *_of_notes(connection, incident_id),
        *_of_emergencies(connection, incident_id),
    )
    return tuple(sorted(labels.only(happened, may), key=lambda one: (one.at_ms, one.what == "closed")))


def _of_the_incident(connection: Connection, incident_id: str) -> Iterator[Happening]:
    row = connection.execute(select(incident).where(incident.c.incident == incident_id)).first()
    if row is None:
        return
    yield Happening(at_ms=row.opened_ms, what="opened", detail=row.opened_by, by=row.opened_by)
    kept = connection.execute(
        select(incident_act.c.id).where(incident_act.c.incident == incident_id, incident_act.c.what.in_(_ENDS)).limit(1)
    ).first()
    if row.closed_ms is not None and kept is None:  # closed by a program that kept no acts
        yield Happening(at_ms=row.closed_ms, what="closed", detail=row.disposition)


def _of_acts(connection: Connection, incident_id: str) -> Iterator[Happening]:
    for row in connection.execute(
        select(incident_act).where(incident_act.c.incident == incident_id).order_by(incident_act.c.id)
    ):
        for line in lines_in(row.lines):
            if line.field == "incident":
                continue  # that it was opened stands in its own row, also for those that older programs opened
            is_answer = line.field in PACKET
            yield Happening(
                at_ms=row.at_ms,
                what="told" if is_answer else row.what,
                detail=_detail(line),
                field=line.field,
                by=row.by,
                label=line.label,
            )


def _detail(line: Line) -> str | None:
    """What the line says, for people: of the act that its `what` names, only what that name does not say."""
    match line.field:
        case "remark" | "disposition" | "reason" | "took_over" | "merged_into" | "link" | "caution":
            return line.after if line.after is not None else line.before
        case _:
            name = PACKET[line.field].text if line.field in PACKET else line.field.replace("_", " ").capitalize()
            return f"{name}: {f'{line.before} → ' if line.before else ''}{line.after}"


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
