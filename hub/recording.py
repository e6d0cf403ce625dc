"""Records become durable: the next number of its log is kept as it came, judged, and folded; anything else changes nothing.

A record is judged once, by the units, keys and versions of the day it came, and the verdict stays with it, so that
folding everything again tomorrow comes out the same. Emergencies wait for nothing: one that comes ahead of its number,
or without any, is kept beside the log and folded at once.
"""

from __future__ import annotations

from hashlib import sha256

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from hub import audit, clones, gaps, orders, parts, projections, salvage, schema, shelf, store
from hub.arrivals import Arrival, Refusal, Wanted, Why
from hub.batch import Batch, RecordRow
from hub.births import INTEGER_MAX
from hub.opening import Device
from hub.receipts import Verdict, decide
from wire import notes, trail
from wire.codec import Malformed, decode
from wire.facts import AUDIT_HEAD, AuditFact, EmergencyFact, OrderDone, ShelfWanted, ShiftFact, StateHeld, StatusFact
from wire.records import Alarm, Kind, Record
from wire.status import By

WANTED_MAX = shelf.ENTRIES_MAX
_TROUBLE: dict[str, Why] = {Kind.DAMAGED: Why.DAMAGED, Kind.REFUSED: Why.STEPPED_ASIDE}

_record = schema.record
_STORED = select(_record.c.data).where(
    _record.c.device == bindparam("of_device"),
    _record.c.log_id == bindparam("of_log"),
    _record.c.seq == bindparam("of_seq"),
)


def take_record(batch: Batch, device: Device, record: Record, arrival: Arrival, *, is_alarm: bool = False) -> None:
    """Take a record if it is its turn. `is_alarm`: this is the copy that came ahead of the log."""
    if (record.device, record.stamp.boot) in batch.strangers:
        clones.keep_apart(batch, device, record, arrival)
        if record.kind == Kind.EMERGENCY:
            keep_alarm(batch, device, arrival)
        return
    through = batch.logs.through(record.device, record.log_id)
    stored = _stored(batch, record) if record.seq <= through else None
    match decide(through, record.seq, None if stored is None else stored == arrival.payload):
        case Verdict.TAKE:
            batch.logs.move(record.device, record.log_id, record.seq, arrival.payload)
            _keep(batch, device, record, arrival)
        case Verdict.HAVE if stored is None and gaps.fill(batch.connection, record.device, record.log_id, record.seq):
            _keep(batch, device, record, arrival)
        case Verdict.CONFLICT:
            assert stored is not None
            if clones.conflicts(batch, record, stored):
                clones.keep_apart(batch, device, record, arrival)
            if record.kind == Kind.EMERGENCY:
                keep_alarm(batch, device, arrival)
            audit.append(
                batch.connection,
                batch.now_ms,
                "hub",
                None,
                "record_conflict",
                record.device,
                audit.DENIED,
                f"number {record.seq} came again with other bytes",
            )
            raise Refusal(Why.CONFLICT, is_whole=True)
        case Verdict.AHEAD if is_alarm and record.kind == Kind.EMERGENCY:
            keep_alarm(batch, device, arrival)
        case Verdict.HAVE | Verdict.AHEAD:
            pass  # the receipt of its log goes out all the same, and says what we hold


def take_alarm(batch: Batch, device: Device, said: Record | Alarm, arrival: Arrival) -> None:
    """The copy of a record is taken as that record if it is its turn, and else kept beside the log until it is."""
    if isinstance(said, Record):
        take_record(batch, device, said, arrival, is_alarm=True)
    else:
        keep_alarm(batch, device, arrival)


def keep_alarm(batch: Batch, device: Device, arrival: Arrival) -> None:
    """Keep an emergency that came ahead of its number or without one; told again it is kept once."""
    table, digest = schema.alarm, sha256(arrival.payload).digest()
    if batch.connection.execute(select(table.c.id).where(table.c.digest == digest)).first() is not None:
        return  # told again until dispatch has answered
    batch.write_waiting()
    newest_act = batch.connection.execute(select(func.max(schema.act.c.id))).scalar()
    batch.connection.execute(
        insert(table).values(
            device=device.device,
            digest=digest,
            data=arrival.payload,
            held_ms=batch.now_ms,
            signer=batch.signer(device),
            after_record=store.newest_record(batch.connection),
            after_act=newest_act or 0,
        )
    )
    try:
        with store.all_or_nothing(batch.connection):
            press = projections.press_in(arrival.payload, device.device, batch.now_ms)
            change = projections.fold_alarm(batch.connection, press)
    except (Malformed, OverflowError, IntegrityError):
        batch.quarantine(device.device, arrival, Why.UNREADABLE)
        return
    if change.is_press:
        _pressed(batch, device, press.fact)


def _keep(batch: Batch, device: Device, record: Record, arrival: Arrival) -> None:
    meant = parts.meant(batch.connection, record)
    refused = _judge(batch, device, meant)
    if meant.kind == Kind.SALVAGED:
        refused = _keep_salvaged(batch, device, meant, arrival)
    row: RecordRow = {
        "device": record.device,
        "log_id": record.log_id,
        "seq": record.seq,
        "kind": record.kind,
        "data": arrival.payload,
        "held_ms": batch.now_ms,
        "signer": batch.signer(device),
        "refused": refused,
    }
    if record.kind == Kind.TRAIL:
        _keep_trail(batch, record, arrival, row)
        return
    record_id = batch.keep(row)
    if refused is not None:
        batch.quarantine(record.device, arrival, refused)
        return
    held = projections.Held(id=record_id, record=record, held_ms=batch.now_ms, certificate=device.certificate)
    try:
        with store.all_or_nothing(batch.connection):
            change = projections.fold(batch.connection, held)
            _do_once(batch, device, meant)
    except (Malformed, OverflowError, IntegrityError):
        batch.quarantine(record.device, arrival, Why.UNREADABLE)
        return
    batch.is_shelf = batch.is_shelf or change.is_shelf
    if change.unit is not None:
        batch.units.add(change.unit)
    if change.is_press:
        _pressed(batch, device, decode(meant.body, EmergencyFact))
    if meant.kind in _TROUBLE:
        batch.quarantine(record.device, arrival, _TROUBLE[meant.kind], is_whole=True)


def _keep_salvaged(batch: Batch, device: Device, record: Record, arrival: Arrival) -> Why | None:
    """Keep what is inside as the record it is, unless it is held; why the record around it may change nothing."""
    try:
        inner = salvage.inner(batch, device, record)
    except Malformed:
        return Why.SIGNATURE
    if inner is not None:
        _keep(batch, device, inner[0], Arrival(topic=arrival.topic, payload=inner[1]))
    return None


def _keep_trail(batch: Batch, record: Record, arrival: Arrival, row: RecordRow) -> None:
    """Trails are most of what comes. Folding one changes nothing, so it needs neither an id nor a way back."""
    batch.keep_soon(row)
    try:
        trail.check(record.body)
    except Malformed:
        batch.quarantine(record.device, arrival, Why.UNREADABLE)


def _pressed(batch: Batch, device: Device, fact: EmergencyFact) -> None:
    """A press that was not known: whatever unit it names, people and the terminal of this device shall hear."""
    batch.units.add(device.unit)
    what = "emergency_clear_asked" if fact.asks_clear else "emergency_tested" if fact.drill else "emergency_raised"
    actor = fact.staff[0] if len(fact.staff) == 1 else None
    audit.append(batch.connection, batch.now_ms, device.device, actor, what, fact.id.hex(), audit.OK, fact.source)


def _judge(batch: Batch, device: Device, record: Record) -> Why | None:
    """Why `record` may change nothing, by what may be otherwise tomorrow: unit, keys, versions. None: it may."""
    try:
        match record.kind:
            case Kind.STATUS:
                status = decode(record.body, StatusFact)
                if status.unit != device.unit:
                    return Why.OTHER_UNIT
                return None if status.by == By.CREW else Why.NOT_THE_CREWS
            case Kind.SHIFT:
                return None if decode(record.body, ShiftFact).unit == device.unit else Why.OTHER_UNIT
            case Kind.STATE_HELD:
                return _judge_held(batch, record.device, decode(record.body, StateHeld))
            case Kind.NOTE:
                return _judge_note(batch, device, record)
    except Malformed:
        pass  # folding says so as well, now and whenever everything is folded again
    return None


def _judge_held(batch: Batch, device: str, fact: StateHeld) -> Why | None:
    table, epoch = schema.desired, store.epoch(batch.connection)
    if not (0 <= fact.n <= INTEGER_MAX and 0 <= fact.epoch <= epoch):
        return Why.NEVER_SENT
    if fact.epoch < epoch:
        return None  # from before a restore: what was sent then, even that there was such a section, may be forgotten
    sent = batch.connection.execute(
        select(table.c.epoch, table.c.n).where(table.c.device == device, table.c.section == fact.section)
    ).first()
    if sent is None or sent.epoch != epoch or fact.n > sent.n:
        return Why.NEVER_SENT
    return None


def _judge_note(batch: Batch, device: Device, record: Record) -> Why | None:
    try:
        envelope = notes.verify(record.body, record.device, device.key)
    except Malformed:
        return Why.NOTE
    if batch.note_keys is None or shelf.refusal(envelope, batch.note_keys) is not None:
        return Why.NOTE
    return None


def _do_once(batch: Batch, device: Device, record: Record) -> None:
    """What happens when a record comes, and not again when all are folded again."""
    match record.kind:
        case Kind.AUDIT:
            fact = decode(record.body, AuditFact)
            if fact.what == AUDIT_HEAD:
                return  # it stands among the records; a line for it would have desks told, and answer, for ever
            audit.append(
                batch.connection,
                batch.now_ms,
                record.device,
                fact.actor,
                fact.what,
                fact.about,
                fact.outcome,
                fact.reason,
            )
        case Kind.STATE_HELD:
            held = decode(record.body, StateHeld)
            table = schema.desired
            batch.connection.execute(
                update(table)
                .where(table.c.device == record.device, table.c.section == held.section)
                .values(held_epoch=held.epoch, held_n=held.n)
            )
        case Kind.LEDGER_DAMAGED:
            salvage.heard(batch, device, record)
        case Kind.SHELF_WANTED:
            wanted = decode(record.body, ShelfWanted)
            batch.wanted.append(Wanted(device=record.device, note_ids=wanted.note_ids[:WANTED_MAX]))
        case Kind.ORDER_DONE:
            if orders.answered(batch.connection, record.device, decode(record.body, OrderDone), batch.now_ms):
                batch.affected.add(record.device)


def _stored(batch: Batch, record: Record) -> bytes | None:
    """What is held under the number of `record`."""
    batch.write_waiting()  # it may have come twice in this batch
    stored = batch.connection.execute(
        _STORED, {"of_device": record.device, "of_log": record.log_id, "of_seq": record.seq}
    ).scalar()
    return None if stored is None else bytes(stored)
