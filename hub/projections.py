"""What the records and the people's acts mean: units, their history, assignments, emergencies, the shelf.

Everything here is written twice with the same outcome: when a record or an act comes, and when all of them are folded
again by `rebuild`. So a fold reads only what rebuilding brings back in the same order: the record itself, earlier
records, the projections so far, and tables that people fill. It never reads the clock, the keys of today or which board
is in which unit today; what depends on those was judged when the record came and stands in `record.refused`.

People's acts stand among the records by `act.after_record`: an act is folded after the record that was the newest then.
So do emergencies that came ahead of the log or without a number (`alarm`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, exists, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from hub import clocks, parts, presses, schema, store
from wire import notes, trail
from wire.codec import Malformed, decode
from wire.facts import (
    AuditFact,
    DamagedFact,
    EmergencyFact,
    LedgerDamaged,
    OrderDone,
    RefusedFact,
    ShelfWanted,
    ShiftFact,
    StateHeld,
    StatusFact,
)
from wire.ids import name
from wire.records import Alarm, Kind, Record
from wire.signature import payload_of
from wire.status import ACKNOWLEDGING, ACTIVE, By, Status, may_follow, status_from
from wire.topics import Section

RELEASING = frozenset({Status.AVAILABLE, Status.BREAK, Status.OUT_OF_SERVICE, Status.OFF_DUTY})
"""A crew that presses one of these has left the assignment that the press names."""

DEVICE_PREFIX = "device:"  # in assignment.released_by, before the device whose crew left; no account name has a colon
HUB_QUALITY = "hub"
PAGE_ROWS = 500  # of records in memory while rebuilding


class Held(Struct, frozen=True, kw_only=True):
    """A record as the hub holds it. `certificate` is its signer's, as it was then."""

    id: int
    record: Record
    held_ms: int
    certificate: bytes


class UnitNow(Struct, frozen=True, kw_only=True):
    """What a unit is doing. Before its first word a unit is off duty with nobody aboard."""

    unit: str
    status: Status = Status.OFF_DUTY
    status_ms: int = 0
    status_by: str = By.HUB
    skipped: bool = False
    assignment: str | None = None
    crew: tuple[str, ...] = ()
    shift: bytes | None = None
    log_id: bytes | None = None
    status_through: int = 0


class Change(Struct, frozen=True, kw_only=True):
    """What a fold changed for others: the unit that looks different now, and whether the shelf does; `is_press`: an
    emergency's press that was not known before."""

    unit: str | None = None
    is_shelf: bool = False
    is_press: bool = False


NOTHING = Change()

# What every press needs, built once and not for each.
_UNIT_NOW = select(schema.unit_now).where(schema.unit_now.c.unit == bindparam("of_unit"))
_KEEP_UNIT = upsert(schema.unit_now)
_KEEP_UNIT = _KEEP_UNIT.on_conflict_do_update(index_elements=[schema.unit_now.c.unit], set_=dict(_KEEP_UNIT.excluded))
_ADD_HISTORY = insert(schema.status_history)


def unit_now(connection: Connection, unit: str) -> UnitNow:
    """What `unit` is doing."""
    row = connection.execute(_UNIT_NOW, {"of_unit": unit}).first()
    return UnitNow(unit=unit) if row is None else _unit_from(row)


def units_now(connection: Connection) -> dict[str, UnitNow]:
    """What every unit that ever said a word is doing."""
    return {row.unit: _unit_from(row) for row in connection.execute(select(schema.unit_now))}


def offered(connection: Connection, assignment: str, at_ms: int, by: str) -> None:
    """Somebody sent a unit: call in the transaction that inserts the assignment's row."""
    _act(connection, at_ms, by, "offered", assignment=assignment)


def released(connection: Connection, assignment: str, at_ms: int, by: str) -> None:
    """Somebody took a unit off its assignment: sets `released_ms` and what follows. Twice is once."""
    _act(connection, at_ms, by, "released", assignment=assignment)


def acknowledged(connection: Connection, emergency: bytes, at_ms: int, by: str) -> None:
    """Somebody has taken an emergency. Twice is once."""
    _act(connection, at_ms, by, "acknowledged", emergency=emergency)


def cleared(connection: Connection, emergency: bytes, at_ms: int, by: str, contact: str, words: str) -> None:
    """Somebody has ended an emergency after speaking with `contact`. Twice is once."""
    _act(connection, at_ms, by, "cleared", emergency=emergency, contact=contact, words=words)


def fold(connection: Connection, held: Held) -> Change:
    """Let a record that may change things change them; Malformed when this program cannot read it."""
    if held.record.kind == Kind.PART:
        whole = parts.whole(connection, held.record)
        if whole is None:
            return NOTHING
        held = replace(held, record=whole)
    reader = _FOLDS.get(held.record.kind)
    if reader is None:
        raise Malformed(f"a record of unknown kind {held.record.kind[:32]!r}")
    return reader(connection, held)


def rebuild(connection: Connection) -> int:
    """Drop every projection and fold all records and acts again, in their order; how many records there were."""
    for table in (
        schema.unit_now,
        schema.status_history,
        schema.note,
        schema.clock_correction,
        schema.emergency,
        schema.press,
    ):
        connection.execute(delete(table))
    connection.execute(
        update(schema.assignment).values(received_ms=None, acknowledged_ms=None, released_ms=None, released_by=None)
    )
    between = _between_records(connection)
    upcoming = 0
    count = 0
    for held in _all_held(connection):
        while upcoming < len(between) and between[upcoming].after_record < held.id:
            _fold_between(connection, between[upcoming])
            upcoming += 1
        count += 1
        try:
            fold(connection, held)
        except Malformed:
            continue  # stands in the quarantine since it came
    for step in between[upcoming:]:
        _fold_between(connection, step)
    return count


class _Between(Struct, frozen=True, kw_only=True):
    """An act or an alarm, and its place."""

    after_record: int
    act: Row[tuple[object, ...]] | None = None
    alarm: Row[tuple[object, ...]] | None = None


def _between_records(connection: Connection) -> list[_Between]:
    placed: list[tuple[tuple[int, int, int], _Between]] = []
    for act in connection.execute(select(schema.act)):
        placed.append(((act.after_record, act.id, 0), _Between(after_record=act.after_record, act=act)))
    for alarm in connection.execute(select(schema.alarm)):
        place = (alarm.after_record, alarm.after_act, alarm.id)
        placed.append((place, _Between(after_record=alarm.after_record, alarm=alarm)))
    return [step for _, step in sorted(placed, key=lambda one: one[0])]


def _fold_between(connection: Connection, step: _Between) -> None:
    if step.act is not None:
        _fold_act(connection, step.act)
    elif step.alarm is not None:
        try:
            fold_alarm(connection, press_in(step.alarm.data, step.alarm.device, step.alarm.held_ms))
        except Malformed:
            return  # stands in the quarantine since it came


# --- people's acts ----------------------------------------------------------------------------------------------------


def _act(connection: Connection, at_ms: int, by: str, what: str, **about: str | bytes) -> None:
    row = connection.execute(
        insert(schema.act)
        .values(after_record=store.newest_record(connection), at_ms=at_ms, what=what, by=by, **about)
        .returning(schema.act)
    ).one()
    _fold_act(connection, row)


def _fold_act(connection: Connection, act: Row[tuple[object, ...]]) -> None:
    match act.what:
        case "acknowledged":
            presses.fold_acknowledged(connection, act.emergency, act.at_ms, act.by)
        case "cleared":
            presses.fold_cleared(connection, act.emergency, act.at_ms, act.by, act.contact, act.words)
        case _:
            _fold_assignment_act(connection, act)


def _fold_assignment_act(connection: Connection, act: Row[tuple[object, ...]]) -> None:
    row = connection.execute(select(schema.assignment).where(schema.assignment.c.assignment == act.assignment)).one()
    now = unit_now(connection, row.unit)
    if act.what == "offered":
        _fold_offered(connection, now, row.assignment, act.at_ms)
    elif row.released_ms is None:
        _fold_released(connection, now, row.assignment, act)


def _fold_offered(connection: Connection, now: UnitNow, assignment: str, at_ms: int) -> None:
    if now.assignment is not None and now.status in ACTIVE:
        return  # still at work on another; this one waits and becomes the unit's when that one ends
    _set(connection, replace(now, assignment=assignment), Status.ASSIGNED, at_ms, By.HUB)


def _fold_released(connection: Connection, now: UnitNow, assignment: str, act: Row[tuple[object, ...]]) -> None:
    _release(connection, assignment, act.at_ms, act.by)
    if now.assignment != assignment:
        return
    following = _oldest_open(connection, now.unit, schema.act.c.id < act.id)
    now = replace(now, assignment=following)
    if following is not None:
        _set(connection, now, Status.ASSIGNED, act.at_ms, By.HUB)
    elif now.status not in ACTIVE:
        _keep(connection, now)
    else:
        left = Status.AVAILABLE if may_follow(now.status, Status.AVAILABLE) else Status.CLEARING
        _set(connection, now, left, act.at_ms, By.DISPATCHER)


# --- emergencies ------------------------------------------------------------------------------------------------------


def press_in(data: bytes, device: str, held_ms: int) -> presses.Press:
    """The press in what came ahead of the log or without a number, verified when it came; Malformed when it is none."""
    payload = payload_of(data)
    try:
        said: Record | Alarm = decode(payload, Record)
    except Malformed:
        said = decode(payload, Alarm)
    return presses.Press(device=device, stamp=said.stamp, fact=decode(said.body, EmergencyFact), held_ms=held_ms)


def fold_alarm(connection: Connection, press: presses.Press) -> Change:
    """Let a press change things before its number has come, or without one; Malformed when it is not its device's."""
    return Change(unit=press.fact.unit, is_press=presses.fold(connection, press))


def _fold_emergency(connection: Connection, held: Held) -> Change:
    record = held.record
    fact = decode(record.body, EmergencyFact)
    return fold_alarm(
        connection, presses.Press(device=record.device, stamp=record.stamp, fact=fact, held_ms=held.held_ms)
    )


# --- records ----------------------------------------------------------------------------------------------------------


def _fold_status(connection: Connection, held: Held) -> Change:
    record, fact = held.record, decode(held.record.body, StatusFact)
    status = status_from(fact.status)
    if status is None:
        raise Malformed("a status this program does not know")
    for word in (fact.unit, fact.staff, fact.assignment):
        if word is not None:
            name(word)
    now = unit_now(connection, fact.unit)
    is_skip = fact.skipped or not (fact.undoes or status is now.status or may_follow(now.status, status))
    if fact.undoes is not None:
        now = _taken_back(connection, now, held, fact)
    if fact.assignment is not None:
        now = _about(connection, now, status, fact.assignment, held)
    now = replace(now, log_id=record.log_id, status_through=record.seq)
    noted_ms = record.stamp.wall_ms if record.stamp.is_trusted else None
    now = _set(
        connection,
        now,
        status,
        held.held_ms,
        fact.by,
        is_skip=is_skip,
        staff=fact.staff,
        about=fact.assignment,
        noted_ms=noted_ms,
        quality=record.stamp.quality,
        noted=record,
    )
    if status is Status.AVAILABLE and now.assignment is not None:
        # Pressed before the crew could see what waits for it: a unit that was sent somewhere is never shown as free.
        _set(connection, now, Status.ASSIGNED, held.held_ms, By.HUB)
    return Change(unit=fact.unit)


def _about(connection: Connection, now: UnitNow, status: Status, assignment: str, held: Held) -> UnitNow:
    """What a press that names `assignment` does to it, and to which one the unit is on."""
    row = connection.execute(
        select(schema.assignment).where(
            schema.assignment.c.assignment == assignment, schema.assignment.c.unit == now.unit, _is_offered(held)
        )
    ).first()
    if row is None or row.released_ms is not None:
        return now
    if status in ACKNOWLEDGING and row.acknowledged_ms is None:
        connection.execute(
            update(schema.assignment)
            .where(schema.assignment.c.assignment == assignment)
            .values(acknowledged_ms=held.held_ms)
        )
    if status in RELEASING:
        _release(connection, assignment, held.held_ms, DEVICE_PREFIX + held.record.device)
        if now.assignment == assignment:
            return replace(now, assignment=_oldest_open(connection, now.unit, _known_to(held)))
    elif status in ACTIVE:
        return replace(now, assignment=assignment)
    return now


def _taken_back(connection: Connection, now: UnitNow, held: Held, fact: StatusFact) -> UnitNow:
    """Undo the release that the taken-back press made, if it made one."""
    record = held.record
    if fact.undoes is None or not 0 < fact.undoes < record.seq:
        return now
    undone = connection.execute(
        select(schema.record.c.data, schema.record.c.kind, schema.record.c.held_ms).where(
            schema.record.c.device == record.device,
            schema.record.c.log_id == record.log_id,
            schema.record.c.seq == fact.undoes,
            schema.record.c.refused.is_(None),
        )
    ).first()
    if undone is None or undone.kind != Kind.STATUS:
        return now
    try:
        earlier = decode(_record_in(undone.data).body, StatusFact)
    except Malformed:
        return now
    if status_from(earlier.status) not in RELEASING or earlier.assignment is None:
        return now
    reopened = connection.execute(
        update(schema.assignment)
        .where(
            schema.assignment.c.assignment == earlier.assignment,
            schema.assignment.c.unit == now.unit,
            schema.assignment.c.released_by == DEVICE_PREFIX + record.device,
            schema.assignment.c.released_ms == undone.held_ms,
        )
        .values(released_ms=None, released_by=None)
    )
    return replace(now, assignment=earlier.assignment) if reopened.rowcount else now


def _fold_state_held(connection: Connection, held: Held) -> Change:
    """The terminal holds a version of its assignments: those it carried are on the terminal."""
    fact = decode(held.record.body, StateHeld)
    if fact.section != Section.ASSIGNMENTS:
        return NOTHING
    table = schema.assignment
    found = connection.execute(
        update(table)
        .where(
            table.c.device == held.record.device,
            table.c.received_ms.is_(None),
            _is_offered(held),
            (table.c.version_epoch < fact.epoch)
            | ((table.c.version_epoch == fact.epoch) & (table.c.version_n <= fact.n)),
        )
        .values(received_ms=held.held_ms)
        .returning(table.c.unit)
    ).first()
    return NOTHING if found is None else Change(unit=found.unit)


def _fold_shift(connection: Connection, held: Held) -> Change:
    fact = decode(held.record.body, ShiftFact)
    for word in (fact.unit, *fact.staff):
        name(word)
    now = unit_now(connection, fact.unit)
    if fact.on:
        _keep(connection, replace(now, crew=fact.staff, shift=fact.shift))
    elif now.shift == fact.shift:
        _keep(connection, replace(now, crew=(), shift=None))
    return Change(unit=fact.unit)


def _fold_note(connection: Connection, held: Held) -> Change:
    envelope = notes.inspect(held.record.body)
    header = envelope.header
    earlier = connection.execute(
        select(schema.note.c.body_sha256).where(schema.note.c.note_id == header.note_id)
    ).scalar()
    if earlier is not None:
        if earlier != envelope.body_sha256:
            raise Malformed("another note under the same id")
        return NOTHING
    connection.execute(
        insert(schema.note).values(
            note_id=header.note_id,
            encounter=header.encounter,
            kind=header.kind,
            device=header.device,
            author=header.author,
            disposition=header.disposition,
            body_sha256=envelope.body_sha256,
            size_bytes=len(held.record.body),
            note=held.record.body,
            certificate=held.certificate,
            held_ms=held.held_ms,
        )
    )
    return Change(is_shelf=True)


def _fold_trail(_connection: Connection, held: Held) -> Change:
    trail.check(held.record.body)  # kept packed as it came
    return NOTHING


def _fold_audit(_connection: Connection, held: Held) -> Change:
    decode(held.record.body, AuditFact)  # ingest copies it into the audit once
    return NOTHING


def _fold_ledger_damaged(_connection: Connection, held: Held) -> Change:
    decode(held.record.body, LedgerDamaged)  # told to people once, when it comes
    return NOTHING


def _fold_salvaged(connection: Connection, held: Held) -> Change:
    """The record inside was folded by itself, just before. The terminal knows it by the number of the one around it."""
    inner = _record_in(held.record.body)
    if inner.kind != Kind.STATUS:
        return NOTHING
    now = unit_now(connection, decode(inner.body, StatusFact).unit)
    if now.log_id != inner.log_id or now.status_through > inner.seq:
        return NOTHING
    _keep(connection, replace(now, log_id=held.record.log_id, status_through=held.record.seq))
    return Change(unit=now.unit)


def _fold_stood_in(_connection: Connection, held: Held) -> Change:
    decode(held.record.body, DamagedFact if held.record.kind == Kind.DAMAGED else RefusedFact)
    return NOTHING


def _fold_order_done(_connection: Connection, held: Held) -> Change:
    decode(held.record.body, OrderDone)  # the order is answered once, when it comes
    return NOTHING


def _fold_clock_corrected(connection: Connection, held: Held) -> Change:
    clocks.keep(connection, held.id, held.record)
    return NOTHING


def _fold_shelf_wanted(_connection: Connection, held: Held) -> Change:
    decode(held.record.body, ShelfWanted)  # answered once, when it comes
    return NOTHING


_FOLDS: dict[str, Callable[[Connection, Held], Change]] = {
    Kind.STATUS: _fold_status,
    Kind.STATE_HELD: _fold_state_held,
    Kind.SHIFT: _fold_shift,
    Kind.NOTE: _fold_note,
    Kind.EMERGENCY: _fold_emergency,
    Kind.TRAIL: _fold_trail,
    Kind.AUDIT: _fold_audit,
    Kind.SHELF_WANTED: _fold_shelf_wanted,
    Kind.CLOCK_CORRECTED: _fold_clock_corrected,
    Kind.LEDGER_DAMAGED: _fold_ledger_damaged,
    Kind.SALVAGED: _fold_salvaged,
    Kind.DAMAGED: _fold_stood_in,
    Kind.REFUSED: _fold_stood_in,
    Kind.ORDER_DONE: _fold_order_done,
}


# --- rows and values --------------------------------------------------------------------------------------------------


def _all_held(connection: Connection) -> Iterator[Held]:
    table, after = schema.record, 0
    while True:
        rows = connection.execute(
            select(table.c.id, table.c.data, table.c.held_ms, schema.signer.c.certificate)
            .join(schema.signer, schema.signer.c.id == table.c.signer)
            .where(table.c.id > after, table.c.refused.is_(None))
            .order_by(table.c.id)
            .limit(PAGE_ROWS)
        ).all()
        for row in rows:
            yield Held(id=row.id, record=_record_in(row.data), held_ms=row.held_ms, certificate=row.certificate)
        if len(rows) < PAGE_ROWS:
            return
        after = rows[-1].id


def _record_in(data: bytes) -> Record:
    return decode(payload_of(data), Record)  # verified when it came


def _known_to(held: Held) -> ColumnElement[bool]:
    """The acts that came before the record: while rebuilding, the later ones are in the table as well."""
    return schema.act.c.after_record < held.id


def _is_offered(held: Held) -> ColumnElement[bool]:
    return exists().where(
        schema.act.c.assignment == schema.assignment.c.assignment, schema.act.c.what == "offered", _known_to(held)
    )


def _oldest_open(connection: Connection, unit: str, known: ColumnElement[bool]) -> str | None:
    """The assignment that `unit` turns to next: offered by then, not released, the oldest."""
    offers, table = schema.act, schema.assignment
    found = connection.execute(
        select(table.c.assignment)
        .join(offers, (offers.c.assignment == table.c.assignment) & (offers.c.what == "offered"))
        .where(table.c.unit == unit, table.c.released_ms.is_(None), known)
        .order_by(offers.c.id)
        .limit(1)
    ).scalar()
    return None if found is None else str(found)


def _release(connection: Connection, assignment: str, at_ms: int, by: str) -> None:
    connection.execute(
        update(schema.assignment)
        .where(schema.assignment.c.assignment == assignment)
        .values(released_ms=at_ms, released_by=by)
    )


def _set(
    connection: Connection,
    now: UnitNow,
    status: Status,
    at_ms: int,
    by: str,
    *,
    is_skip: bool = False,
    staff: str | None = None,
    about: str | None = None,
    noted_ms: int | None = None,
    quality: str = HUB_QUALITY,
    noted: Record | None = None,
) -> UnitNow:
    """Give the unit a status, and its history a line. `noted`: the record that says so, if a board's does."""
    now = replace(now, status=status, status_ms=at_ms, status_by=by, skipped=is_skip)
    _keep(connection, now)
    connection.execute(
        _ADD_HISTORY,
        {
            "unit": now.unit,
            "status": status,
            "assignment": about or now.assignment,
            "by": by,
            "staff": staff,
            "skipped": is_skip,
            "noted_ms": noted_ms,
            "quality": quality,
            "held_ms": at_ms,
            "device": None if noted is None else noted.device,
            "boot": None if noted is None else noted.stamp.boot,
            "mono_ms": None if noted is None else noted.stamp.mono_ms,
            "stamped_ms": None if noted is None else noted.stamp.wall_ms,
        },
    )
    return now


def _keep(connection: Connection, now: UnitNow) -> None:
    connection.execute(_KEEP_UNIT, {**asdict(now), "crew": " ".join(now.crew)})


def _unit_from(row: Row[tuple[object, ...]]) -> UnitNow:
    return UnitNow(
        unit=row.unit,
        status=Status(row.status),
        status_ms=row.status_ms,
        status_by=row.status_by,
        skipped=row.skipped,
        assignment=row.assignment,
        crew=tuple(row.crew.split()),
        shift=row.shift,
        log_id=row.log_id,
        status_through=row.status_through,
    )
