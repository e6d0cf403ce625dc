"""What terminals say becomes what the hub holds: verified, stored, folded, receipted; one transaction for all that came.

The law: a receipt covers what is stored, not what is understood. What is forged, cut, repeated or sent from another's
topic changes nothing, is counted, and stands in the quarantine; nothing that a peer sends raises an exception here.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct
from sqlalchemy import Connection, Engine, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from hub import audit, projections, schema, shelf, store
from hub.positions import Position
from hub.receipts import Verdict, decide
from wire import compact, live, notes, records, signature, topics
from wire.codec import Malformed, decode
from wire.facts import AuditFact, EmergencyFact, ShelfWanted, ShiftFact, StateHeld, StatusFact
from wire.keys import NoteKeyList
from wire.live import LogRange
from wire.records import Kind, Receipt, Record
from wire.signature import Context
from wire.status import By
from wire.topics import Up, UpTopic

EVIDENCE_BYTES_MAX = 4096  # enough to see what it was; a conflicting record is kept whole, it may be the only copy
QUARANTINE_ROWS_MAX = 1000  # per device; the first are the evidence, the rest is only counted
WORKING = frozenset({"enrolled", "active"})
INTEGER_MAX = 2**53  # SQLite ends at 2**63 and browsers at 2**53; no clock or counter of ours comes near
WANTED_MAX = shelf.ENTRIES_MAX


_INSERT_RECORD = insert(schema.record).returning(schema.record.c.id)  # built once: building costs as much as running


class Why(StrEnum):
    """Why something stands in the quarantine. Few words, because they are counted."""

    TOPIC = "not a topic of ours"
    UNKNOWN_DEVICE = "unknown device"
    NOT_ENROLLED = "device not enrolled or revoked"
    MALFORMED = "malformed"
    SIGNATURE = "wrong signature"
    OTHER_DEVICE = "another device's"
    CONFLICT = "same number, other bytes"
    UNREADABLE = "unknown kind or unreadable body"
    OTHER_UNIT = "another unit's"
    NOT_THE_CREWS = "not the crew's to say"
    NEVER_SENT = "a version that was never sent"
    NOTE = "note not sealed as required"


class Dropped(StrEnum):
    """Why something harmless was passed over: counted, not kept."""

    EARLIER_BOOT = "of an earlier boot"
    REPEATED = "repeated or late"
    OTHER_WILL = "will of another connection"
    QUARANTINE_FULL = "quarantine full"


class Arrival(Struct, frozen=True, kw_only=True):
    """One message as the broker handed it over."""

    topic: str
    payload: bytes


class Wanted(Struct, frozen=True, kw_only=True):
    """A desk asks for these notes."""

    device: str
    note_ids: tuple[bytes, ...]


class Taken(Struct, frozen=True, kw_only=True):
    """What a batch came to. Committed when the caller sees it.

    `receipts` are to be sent; `births` are devices that want every section; `here` and `gone` are devices heard and
    given up; `changed`: the board looks different; `affected`: devices whose desired state may have changed.
    """

    receipts: tuple[Receipt, ...] = ()
    births: tuple[str, ...] = ()
    here: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    changed: bool = False
    positions: tuple[Position, ...] = ()
    affected: tuple[str, ...] = ()
    wanted: tuple[Wanted, ...] = ()
    refused: int = 0


class Marks:
    """What the ingest thread remembers between batches: the newest position message of each device, and counts.

    Lost with the process; `position_last` and the births bring back what keeps a replay out.
    """

    def __init__(self) -> None:
        self.newest: dict[str, tuple[bytes, int]] = {}
        self.dropped: dict[str, int] = {}

    def drop(self, why: Dropped) -> None:
        """Count something passed over."""
        self.dropped[why] = self.dropped.get(why, 0) + 1


def take(
    engine: Engine,
    arrivals: Iterable[Arrival],
    now_ms: int,
    *,
    note_keys: NoteKeyList | None = None,
    marks: Marks | None = None,
) -> Taken:
    """Take everything that came. Without `note_keys` no note can be checked, so none is shelved."""
    with engine.begin() as connection:
        batch = _Batch(connection, now_ms, note_keys, marks or Marks())
        for arrival in arrivals:
            batch.take(arrival)
        return batch.ended()


def health(connection: Connection, marks: Marks) -> dict[str, dict[str, int]]:
    """Counts for people: quarantined and dropped by why, records held by kind, gaps recorded."""
    kept, held, known = schema.quarantine, schema.record, [str(kind) for kind in Kind]
    by_why = connection.execute(select(kept.c.why, func.count()).group_by(kept.c.why))
    by_kind = connection.execute(select(held.c.kind, func.count()).where(held.c.kind.in_(known)).group_by(held.c.kind))
    gaps = connection.execute(select(func.count()).select_from(schema.gap)).scalar_one()
    return {
        "quarantined": dict(by_why.all()),
        "dropped": dict(marks.dropped),
        "records": dict(by_kind.all()),
        "gaps": {"all": gaps},
    }


class _Refusal(Exception):
    """This message changes nothing, for this reason."""

    def __init__(self, why: Why, is_whole: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.is_whole = is_whole


class _Batch:
    """One transaction's worth of arrivals."""

    def __init__(self, connection: Connection, now_ms: int, note_keys: NoteKeyList | None, marks: Marks) -> None:
        self._connection = connection
        self._now_ms = now_ms
        self._note_keys = note_keys
        self._marks = marks
        self._devices: dict[str, Row[tuple[object, ...]] | None] = {}
        self._through: dict[tuple[str, bytes], int] = {}
        self._signers: dict[str, int] = {}
        self._is_moved: set[tuple[str, bytes]] = set()
        self._births: dict[str, None] = {}  # dicts as ordered sets
        self._here: dict[str, None] = {}
        self._gone: dict[str, None] = {}
        self._positions: dict[str, Position] = {}
        self._units: set[str] = set()
        self._is_shelf = False
        self._wanted: list[Wanted] = []
        self._refused = 0

    def take(self, arrival: Arrival) -> None:
        """Take one message, or quarantine it."""
        device = ""
        try:
            topic = _up_topic(arrival.topic)
            device = topic.device
            row = self._working(device)
            match topic.channel:
                case Up.LIVE:
                    self._take_live(row, arrival.payload)
                case Up.PRESENCE:
                    self._take_presence(row, arrival.payload)
                case Up.LOG:
                    self._take_record(row, arrival)
                case Up.ALARM:
                    self._take_alarm(row, arrival)
        except _Refusal as refusal:
            self._quarantine(device, arrival, refusal.why, refusal.is_whole)

    def ended(self) -> Taken:
        """Write the logs' new ends; what it all came to."""
        table = schema.log
        for device, log_id in self._is_moved:
            self._connection.execute(
                update(table)
                .where(table.c.device == device, table.c.log_id == log_id)
                .values(through=self._through[device, log_id])
            )
        epoch = store.epoch(self._connection)
        return Taken(
            receipts=tuple(
                Receipt(v=records.VERSION, device=device, log_id=log_id, through=through, epoch=epoch)
                for (device, log_id), through in self._through.items()
            ),
            births=tuple(self._births),
            here=tuple(self._here),
            gone=tuple(self._gone),
            changed=bool(self._units or self._is_shelf or self._births or self._gone),
            positions=tuple(self._positions.values()),
            affected=tuple(affected(self._connection, self._units, self._now_ms, is_shelf=self._is_shelf)),
            wanted=tuple(self._wanted),
            refused=self._refused,
        )

    # --- positions

    def _take_live(self, row: Row[tuple[object, ...]], payload: bytes) -> None:
        key = _key(row.public)
        try:
            said = live.open_live(payload, row.device, key)
        except Malformed:
            raise _Refusal(_why(Context.LIVE, payload, row.device, key)) from None
        if max(said.mono_ms, said.age_ms) > INTEGER_MAX:
            raise _Refusal(Why.MALFORMED)
        boot, mono_ms = self._newest_live(row.device, row.unit)
        if said.boot != boot:
            if boot is not None and self._is_known_boot(row.device, said.boot):
                self._marks.drop(Dropped.EARLIER_BOOT)
                return
            self._begin_boot(row.device, said.boot)
        elif said.mono_ms <= mono_ms:
            self._marks.drop(Dropped.REPEATED)
            return
        self._marks.newest[row.device] = (said.boot, said.mono_ms)
        self._here[row.device] = None
        self._gone.pop(row.device, None)
        self._positions[row.unit] = Position(
            unit=row.unit,
            device=row.device,
            fix=said.fix,
            has_fix=said.fix is not None,
            arrived_ms=self._now_ms,
            age_ms=said.age_ms,
            boot=said.boot,
            mono_ms=said.mono_ms,
        )

    def _newest_live(self, device: str, unit: str) -> tuple[bytes | None, int]:
        """The current boot of `device`, and the newest thing believed of it."""
        marked = self._marks.newest.get(device)
        if marked is not None:
            return marked
        current = self._current_boot(device)
        if current is None:
            return None, -1
        table = schema.position_last
        kept = self._connection.execute(
            select(table.c.mono_ms).where(table.c.unit == unit, table.c.device == device, table.c.boot == current.boot)
        ).scalar()
        return current.boot, max(current.mono_ms, -1 if kept is None else int(kept))

    # --- births and wills

    def _take_presence(self, row: Row[tuple[object, ...]], payload: bytes) -> None:
        key = _key(row.public)
        try:
            said = live.open_presence(payload, row.device, key)
        except Malformed:
            raise _Refusal(_why(Context.PRESENCE, payload, row.device, key)) from None
        numbers = (said.session, said.mono_ms, *(n for log in said.logs for n in (log.lowest_held, log.next)))
        if min(numbers) < 0 or max(numbers) > INTEGER_MAX:
            raise _Refusal(Why.MALFORMED)
        current = self._current_boot(row.device)
        if not said.is_here:
            if current is None or (said.boot, said.session) != (current.boot, current.session):
                self._marks.drop(Dropped.OTHER_WILL)
                return
            self._gone[row.device] = None
            self._here.pop(row.device, None)
            return
        if current is None or said.boot != current.boot:
            if self._is_known_boot(row.device, said.boot):
                self._marks.drop(Dropped.EARLIER_BOOT)
                return
            self._begin_boot(row.device, said.boot)
        elif said.mono_ms < current.mono_ms:  # not by session: a terminal that lost its ledger counts anew
            self._marks.drop(Dropped.REPEATED)
            return
        elif said.mono_ms == current.mono_ms:
            # The broker kept it and says it again. It may be long gone, so it is not here until it says a new word,
            # but if it is here, it missed what we sent while we were away.
            self._births[row.device] = None
            return
        self._born(row, said)

    def _born(self, row: Row[tuple[object, ...]], said: live.Presence) -> None:
        table = schema.boot
        self._connection.execute(
            update(table)
            .where(table.c.device == row.device, table.c.boot == said.boot)
            .values(session=said.session, mono_ms=said.mono_ms, held_ms=self._now_ms)
        )
        boot, mono_ms = self._marks.newest.get(row.device, (said.boot, -1))
        self._marks.newest[row.device] = (said.boot, max(said.mono_ms, mono_ms if boot == said.boot else -1))
        self._births[row.device] = None
        self._here[row.device] = None
        self._gone.pop(row.device, None)
        if row.state == "enrolled":
            self._connection.execute(
                update(schema.device).where(schema.device.c.device == row.device).values(state="active")
            )
            self._devices.pop(row.device)
            audit.append(self._connection, self._now_ms, "hub", None, "device_active", row.device, audit.OK)
        for log in said.logs:
            self._hear_of_log(row.device, log)

    def _hear_of_log(self, device: str, log: LogRange) -> None:
        """Learn a log's name, and record as a gap what its terminal no longer holds and we never got."""
        through = self._log_through(device, log.log_id, log.name)
        if log.next - 1 < through:
            number = audit.append(
                self._connection,
                self._now_ms,
                "hub",
                None,
                "log_went_back",
                device,
                audit.FAILED,
                f"the terminal counts to {log.next - 1} where we hold {through}",
            )
            store.keep_fact(self._connection, audit.WENT_BACK, number)
        if log.lowest_held <= through + 1:
            return
        first, last = through + 1, log.lowest_held - 1
        self._connection.execute(
            insert(schema.gap).values(device=device, log_id=log.log_id, first=first, last=last, noted_ms=self._now_ms)
        )
        audit.append(
            self._connection,
            self._now_ms,
            "hub",
            None,
            "records_lost",
            device,
            audit.FAILED,
            f"{log.name} {first} to {last} are held by nobody any more",
        )
        self._through[device, log.log_id] = last
        self._is_moved.add((device, log.log_id))

    def _current_boot(self, device: str) -> Row[tuple[object, ...]] | None:
        table = schema.boot
        return self._connection.execute(
            select(table).where(table.c.device == device).order_by(table.c.id.desc()).limit(1)
        ).first()

    def _is_known_boot(self, device: str, boot: bytes) -> bool:
        table = schema.boot
        return (
            self._connection.execute(select(table.c.id).where(table.c.device == device, table.c.boot == boot)).scalar()
            is not None
        )

    def _begin_boot(self, device: str, boot: bytes) -> None:
        self._connection.execute(
            insert(schema.boot).values(device=device, boot=boot, session=-1, mono_ms=-1, held_ms=self._now_ms)
        )

    # --- emergencies, which wait for nothing

    def _take_alarm(self, row: Row[tuple[object, ...]], arrival: Arrival) -> None:
        """The copy of a record is taken as that record if it is its turn, and else kept beside the log until it is."""
        try:
            records.open_alarm(arrival.payload, row.device, _key(row.public))
        except Malformed:
            self._take_record(row, arrival, is_alarm=True)
        else:
            self._keep_alarm(row, arrival)

    def _keep_alarm(self, row: Row[tuple[object, ...]], arrival: Arrival) -> None:
        table, digest = schema.alarm, sha256(arrival.payload).digest()
        if self._connection.execute(select(table.c.id).where(table.c.digest == digest)).first() is not None:
            return  # told again until dispatch has answered
        newest_act = self._connection.execute(select(func.max(schema.act.c.id))).scalar()
        self._connection.execute(
            insert(table).values(
                device=row.device,
                digest=digest,
                data=arrival.payload,
                held_ms=self._now_ms,
                signer=self._signer(row),
                after_record=store.newest_record(self._connection),
                after_act=newest_act or 0,
            )
        )
        try:
            with self._connection.begin_nested():
                press = projections.press_in(arrival.payload, row.device, self._now_ms)
                change = projections.fold_alarm(self._connection, press)
        except (Malformed, OverflowError, IntegrityError):
            self._quarantine(row.device, arrival, Why.UNREADABLE)
            return
        if change.is_press:
            self._pressed(row, press.fact)

    def _pressed(self, row: Row[tuple[object, ...]], fact: EmergencyFact) -> None:
        """A press that was not known: whatever unit it names, people and the terminal of this device shall hear."""
        self._units.add(row.unit)
        what = "emergency_clear_asked" if fact.asks_clear else "emergency_tested" if fact.drill else "emergency_raised"
        actor = fact.staff[0] if len(fact.staff) == 1 else None
        audit.append(self._connection, self._now_ms, row.device, actor, what, fact.id.hex(), audit.OK, fact.source)

    # --- records

    def _take_record(self, row: Row[tuple[object, ...]], arrival: Arrival, *, is_alarm: bool = False) -> None:
        key, data = _key(row.public), arrival.payload
        try:
            record = records.open_record(data, row.device, key)
        except Malformed:
            raise _Refusal(_why(Context.RECORD, data, row.device, key)) from None
        log = (record.device, record.log_id)
        through = self._log_through(*log)
        match decide(through, record.seq, self._is_same(record, data) if record.seq <= through else None):
            case Verdict.TAKE:
                self._through[log] = record.seq
                self._is_moved.add(log)
                self._store(row, record, arrival)
            case Verdict.CONFLICT:
                audit.append(
                    self._connection,
                    self._now_ms,
                    "hub",
                    None,
                    "record_conflict",
                    record.device,
                    audit.DENIED,
                    f"number {record.seq} came again with other bytes",
                )
                raise _Refusal(Why.CONFLICT, is_whole=True)
            case Verdict.AHEAD if is_alarm and record.kind == Kind.EMERGENCY:
                self._keep_alarm(row, arrival)
            case Verdict.HAVE | Verdict.AHEAD:
                pass  # the receipt of its log goes out all the same, and says what we hold

    def _store(self, row: Row[tuple[object, ...]], record: Record, arrival: Arrival) -> None:
        refused = self._judge(row, record)
        record_id = self._connection.execute(
            _INSERT_RECORD,
            {
                "device": record.device,
                "log_id": record.log_id,
                "seq": record.seq,
                "kind": record.kind,
                "data": arrival.payload,
                "held_ms": self._now_ms,
                "signer": self._signer(row),
                "refused": refused,
            },
        ).scalar_one()
        if refused is not None:
            self._quarantine(record.device, arrival, refused)
            return
        held = projections.Held(id=record_id, record=record, held_ms=self._now_ms, certificate=row.certificate or b"")
        try:
            # Trails are most of what comes, and folding one writes nothing that could be left half done.
            with nullcontext() if record.kind == Kind.TRAIL else self._connection.begin_nested():
                change = projections.fold(self._connection, held)
                self._do_once(record)
        except (Malformed, OverflowError, IntegrityError):
            self._quarantine(record.device, arrival, Why.UNREADABLE)
            return
        self._is_shelf = self._is_shelf or change.is_shelf
        if change.unit is not None:
            self._units.add(change.unit)
        if change.is_press:
            self._pressed(row, decode(record.body, EmergencyFact))

    def _judge(self, row: Row[tuple[object, ...]], record: Record) -> Why | None:
        """Why `record` may change nothing, by what may be otherwise tomorrow: unit, keys, versions. None: it may."""
        try:
            match record.kind:
                case Kind.STATUS:
                    status = decode(record.body, StatusFact)
                    if status.unit != row.unit:
                        return Why.OTHER_UNIT
                    return None if status.by == By.CREW else Why.NOT_THE_CREWS
                case Kind.SHIFT:
                    return None if decode(record.body, ShiftFact).unit == row.unit else Why.OTHER_UNIT
                case Kind.STATE_HELD:
                    return self._judge_held(record.device, decode(record.body, StateHeld))
                case Kind.NOTE:
                    return self._judge_note(row, record)
        except Malformed:
            pass  # folding says so as well, now and whenever everything is folded again
        return None

    def _judge_held(self, device: str, fact: StateHeld) -> Why | None:
        table, epoch = schema.desired, store.epoch(self._connection)
        if not (0 <= fact.n <= INTEGER_MAX and 0 <= fact.epoch <= epoch):
            return Why.NEVER_SENT
        sent = self._connection.execute(
            select(table.c.epoch, table.c.n).where(table.c.device == device, table.c.section == fact.section)
        ).first()
        if sent is None or (fact.epoch == epoch and (sent.epoch != epoch or fact.n > sent.n)):
            return Why.NEVER_SENT
        return None

    def _judge_note(self, row: Row[tuple[object, ...]], record: Record) -> Why | None:
        try:
            envelope = notes.verify(record.body, record.device, _key(row.public))
        except Malformed:
            return Why.NOTE
        if self._note_keys is None or shelf.refusal(envelope, self._note_keys) is not None:
            return Why.NOTE
        return None

    def _do_once(self, record: Record) -> None:
        """What happens when a record comes, and not again when all are folded again."""
        match record.kind:
            case Kind.AUDIT:
                fact = decode(record.body, AuditFact)
                audit.append(
                    self._connection,
                    self._now_ms,
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
                self._connection.execute(
                    update(table)
                    .where(table.c.device == record.device, table.c.section == held.section)
                    .values(held_epoch=held.epoch, held_n=held.n)
                )
            case Kind.SHELF_WANTED:
                wanted = decode(record.body, ShelfWanted)
                self._wanted.append(Wanted(device=record.device, note_ids=wanted.note_ids[:WANTED_MAX]))

    def _is_same(self, record: Record, data: bytes) -> bool | None:
        table = schema.record
        stored = self._connection.execute(
            select(table.c.data).where(
                table.c.device == record.device, table.c.log_id == record.log_id, table.c.seq == record.seq
            )
        ).scalar()
        return None if stored is None else stored == data

    def _log_through(self, device: str, log_id: bytes, name: str = "") -> int:
        """How far the log is held; its row is made when there is none, its name learned when there is one to learn."""
        table, known = schema.log, self._through.get((device, log_id))
        if known is not None and not name:
            return known
        where = (table.c.device == device, table.c.log_id == log_id)
        row = self._connection.execute(select(table.c.name, table.c.through).where(*where)).first()
        if row is None:
            self._connection.execute(insert(table).values(device=device, log_id=log_id, name=name, through=0))
        elif name and row.name != name:
            self._connection.execute(update(table).where(*where).values(name=name))
        through = known if known is not None else (0 if row is None else int(row.through))
        self._through[device, log_id] = through
        return through

    def _signer(self, row: Row[tuple[object, ...]]) -> int:
        """The row that keeps this device's key and certificate as they are now."""
        if row.device not in self._signers:
            self._signers[row.device] = self._signer_row(row)
        return self._signers[row.device]

    def _signer_row(self, row: Row[tuple[object, ...]]) -> int:
        certificate = row.certificate or b""
        digest = sha256(row.device.encode() + b"\0" + sha256(row.public).digest() + certificate).digest()
        table = schema.signer
        found = self._connection.execute(select(table.c.id).where(table.c.digest == digest)).scalar()
        if found is not None:
            return int(found)
        made = self._connection.execute(
            insert(table)
            .values(device=row.device, digest=digest, public=row.public, certificate=certificate)
            .returning(table.c.id)
        ).scalar_one()
        return int(made)

    # --- who may speak, and what is refused

    def _working(self, device: str) -> Row[tuple[object, ...]]:
        if device not in self._devices:
            self._devices[device] = self._connection.execute(
                select(schema.device).where(schema.device.c.device == device)
            ).first()
        row = self._devices[device]
        if row is None:
            raise _Refusal(Why.UNKNOWN_DEVICE)
        if row.state not in WORKING or row.public is None:
            raise _Refusal(Why.NOT_ENROLLED)
        return row

    def _quarantine(self, device: str, arrival: Arrival, why: Why, is_whole: bool = False) -> None:
        self._refused += 1
        table = schema.quarantine
        rows = self._connection.execute(select(func.count()).where(table.c.device == device)).scalar_one()
        if rows >= QUARANTINE_ROWS_MAX:
            self._marks.drop(Dropped.QUARANTINE_FULL)
            return
        self._connection.execute(
            insert(table).values(
                device=device,
                topic=arrival.topic[:200],
                why=why,
                data=arrival.payload if is_whole else arrival.payload[:EVIDENCE_BYTES_MAX],
                held_ms=self._now_ms,
            )
        )


def affected(connection: Connection, units: set[str], now_ms: int, *, is_shelf: bool) -> list[str]:
    """The devices whose desired state may differ after `units` changed: theirs, and those on the same incidents."""
    mine, others, device = schema.assignment.alias(), schema.assignment.alias(), schema.device
    together = (
        select(others.c.unit)
        .join(mine, mine.c.incident == others.c.incident)
        .where(mine.c.unit.in_(units), (mine.c.released_ms.is_(None)) | (mine.c.released_ms == now_ms))
        .where(others.c.released_ms.is_(None))
    )
    chosen = device.c.unit.in_(units) | device.c.unit.in_(together)
    if is_shelf:
        chosen = chosen | (device.c.kind == "desk")
    elif not units:
        return []
    rows = connection.execute(select(device.c.device).where(device.c.state.in_(WORKING), chosen))
    return sorted(rows.scalars())


def _up_topic(raw: str) -> UpTopic:
    try:
        topic = topics.parse(raw)
    except Malformed:
        raise _Refusal(Why.TOPIC) from None
    if not isinstance(topic, UpTopic):
        raise _Refusal(Why.TOPIC)
    return topic


def _why(context: Context, payload: bytes, device: str, key: ec.EllipticCurvePublicKey) -> Why:
    """What is wrong with a message that did not open: its form, its signature, or whose it is."""
    if context is Context.LIVE and compact.is_compact(payload):
        return Why.SIGNATURE if compact.reads(payload) else Why.MALFORMED
    try:
        message = decode(payload, signature.Signed)
    except Malformed:
        return Why.MALFORMED
    try:
        signature.verify(context, message.payload, message.signature, key)
    except Malformed:
        return Why.SIGNATURE
    try:
        if context is Context.RECORD:
            named = decode(message.payload, _NamedRecord).device
        else:
            named = decode(message.payload, _Named).device
    except Malformed:
        return Why.MALFORMED
    return Why.MALFORMED if named == device else Why.OTHER_DEVICE


class _Named(Struct):
    device: str


class _NamedRecord(Struct, array_like=True):
    v: int
    device: str


@lru_cache(maxsize=4096)  # a fleet's keys; taking one apart costs as much as verifying with it
def _key(der: bytes) -> ec.EllipticCurvePublicKey:
    return signature.public_from(der)
