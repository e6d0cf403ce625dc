"""What the terminal still owes the hub: records, in order, each kept until the hub's receipt and 72 hours beyond.

Every function runs inside the caller's transaction, so that a thing and the record of it are saved both or neither.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct
from sqlite_utils import Database

from wire.codec import Malformed, encode
from wire.ids import ID_BYTES
from wire.live import LogRange, Mark
from wire.parts import PART_BYTES, split
from wire.records import BODY_BYTES_MAX, VERSION, Kind, Receipt, Record, open_record, sign_record, tip
from wire.stamp import Stamp

LEDGER = "ledger"  # emergency, notes, statuses, audit: never dropped
TRAIL = "trail"  # where the vehicle was: thinned when the disk is full

KEPT_MS = 72 * 3600 * 1000  # of running: a hub restored from a backup of the day before yesterday gets all again
STOOD_IN = frozenset({str(Kind.DAMAGED), str(Kind.REFUSED)})  # the bytes of these numbers were once other ones
SWEEP_RECORDS = 64  # a delete this small is one short transaction; nobody waits behind it


class Signer(Struct, frozen=True):
    """In whose name records are made."""

    device: str
    key: ec.EllipticCurvePrivateKey


class Numbers(Struct, frozen=True, kw_only=True):
    """Where a log stands. What is owed is `lowest_owed` … `next` - 1; the hub has said it holds 1 … `through`."""

    log_id: bytes
    lowest_held: int
    lowest_owed: int
    next: int
    through: int
    hub_epoch: int

    @property
    def unsent(self) -> int:
        """How many records the hub has not said it holds."""
        return self.next - self.lowest_owed

    @property
    def is_cut_off(self) -> bool:
        """Whether the hub lacks what is not held here any more: until a birth says so, it waits for that."""
        return self.lowest_held > self.through + 1

    def range(self, name: str, marks: tuple[Mark, ...] = ()) -> LogRange:
        """The same for a birth."""
        return LogRange(
            log_id=self.log_id,
            name=name,
            lowest_held=self.lowest_held,
            lowest_owed=self.lowest_owed,
            next=self.next,
            marks=marks,
        )


class Owed(Struct, frozen=True, kw_only=True):
    """One record, as it goes on the wire."""

    seq: int
    data: bytes


def append(db: Database, signer: Signer, stamp: Stamp, kind: str, body: Struct | bytes) -> int:
    """The number under which a new record is owed from now on. `body`: a fact of `wire.facts`, or MessagePack bytes.

    What is more than a record holds is owed as several parts; the number is then that of the last.
    """
    data = body if isinstance(body, bytes) else encode(body)
    if len(data) > BODY_BYTES_MAX:
        return append_parts(db, signer, stamp, kind, data, PART_BYTES)
    return _append(db, signer, stamp, kind, data)


def append_parts(db: Database, signer: Signer, stamp: Stamp, kind: str, body: bytes, size: int) -> int:
    """The number of the last of the parts, of `size` bytes each, in which `body` is owed from now on."""
    return [_append(db, signer, stamp, Kind.PART, encode(part)) for part in split(str(kind), body, size)][-1]


def _append(db: Database, signer: Signer, stamp: Stamp, kind: str, body: bytes) -> int:
    log_id, seq = _take_number(db)
    record = Record(
        v=VERSION,
        device=signer.device,
        log_id=log_id,
        seq=seq,
        kind=str(kind),
        stamp=stamp,
        body=body,
    )
    db.execute(
        "insert into record (seq, kind, data, stored_ms) values (?, ?, ?, ?)",
        [seq, str(kind), sign_record(record, signer.key), stamp.wall_ms or 0],
    )
    return seq


def numbers(db: Database) -> Numbers:
    """Where the log of this file stands."""
    log_id, upcoming, through, epoch = _log(db)
    row: tuple[int | None] = db.execute("select min(seq) from record").fetchone()
    lowest_held = upcoming if row[0] is None else row[0]
    return Numbers(
        log_id=log_id,
        lowest_held=lowest_held,
        lowest_owed=max(through + 1, lowest_held),
        next=upcoming,
        through=through,
        hub_epoch=epoch,
    )


def log_range(db: Database, name: str, signer: Signer | None = None) -> LogRange:
    """Where the log of this file stands, for a birth, with the bytes by which its numbers are known; not of a trail, whose
    records are thinned while nobody has heard them. With `signer` nothing is said of what the disk has changed since: the
    hub would take this board for another one."""
    now = numbers(db)
    if name == TRAIL:
        return now.range(name)
    rows: list[tuple[int, str, bytes]] = db.execute(
        "select seq, kind, data from record where seq in (?, ?)", [now.lowest_owed - 1, now.lowest_owed]
    ).fetchall()
    return now.range(
        name,
        tuple(
            Mark(seq, tip(data))
            for seq, kind, data in rows
            if kind not in STOOD_IN and (signer is None or is_sound(data, now.log_id, seq, signer))
        ),
    )


def is_anothers(db: Database, receipt: Receipt, signer: Signer | None = None) -> bool:
    """Whether `receipt`, verified, is for records of this log that another board said under this identity: it names
    other bytes than ours, or a number that we have not given yet. With `signer` bytes that are not ours any more, because
    the disk changed them, are no evidence."""
    log_id, upcoming, _, _ = _log(db)
    if not receipt.tip or receipt.log_id != log_id:
        return False
    if receipt.through >= upcoming:
        return True
    row: tuple[str, bytes] | None = db.execute(
        "select kind, data from record where seq = ?", [receipt.through]
    ).fetchone()
    if row is None or row[0] in STOOD_IN or tip(row[1]) == receipt.tip:
        return False
    return signer is None or is_sound(row[1], log_id, receipt.through, signer)


def is_sound(data: bytes, log_id: bytes, seq: int, signer: Signer) -> bool:
    """Whether `data` is still what `signer` signed as number `seq` of this log."""
    try:
        record = open_record(data, signer.device, signer.key.public_key())
    except Malformed:
        return False
    return (record.log_id, record.seq) == (log_id, seq)


def read(db: Database, first: int, records_max: int, bytes_max: int) -> tuple[Owed, ...]:
    """The records from `first` on, at least one if there is one, at most `records_max` and `bytes_max`."""
    found: list[Owed] = []
    size = 0
    rows: list[tuple[int, bytes]] = db.execute(
        "select seq, data from record where seq >= ? order by seq limit ?", [first, records_max]
    ).fetchall()
    for seq, data in rows:
        size += len(data)
        if found and size > bytes_max:
            break
        found.append(Owed(seq=seq, data=data))
    return tuple(found)


def stored_ms(db: Database, seq: int) -> int | None:
    """When record `seq` was stored, by the wall clock; None when it is not held or the clock was not set then."""
    row: tuple[int] | None = db.execute("select stored_ms from record where seq = ?", [seq]).fetchone()
    return None if row is None or row[0] == 0 else row[0]


def take_receipt(db: Database, receipt: Receipt, now_ms: int, signer: Signer | None = None) -> bool:
    """Whether `receipt`, which was verified, moved anything. `now_ms`: on the clock of `last_receipted_ms`.

    One that is older than what we know, of another log, or for numbers that were never given is ignored. A lower one
    under a higher epoch means that the hub was restored: what it lost and we still hold is owed again. One that covers
    another board's records lets go of none of ours.
    """
    log_id, upcoming, through, epoch = _log(db)
    if receipt.log_id != log_id or receipt.through >= upcoming or receipt.epoch < epoch:
        return False
    if receipt.epoch == epoch and receipt.through <= through:
        return False
    if is_anothers(db, receipt, signer):
        return False
    db.execute("update log set through = ?, hub_epoch = ?", [receipt.through, receipt.epoch])
    if receipt.through < through:
        db.execute("update record set receipted_ms = null where seq > ?", [receipt.through])
    else:
        db.execute("update record set receipted_ms = ? where seq > ? and seq <= ?", [now_ms, through, receipt.through])
    return True


def last_receipted_ms(db: Database) -> int:
    """When the newest receipt was taken, on the clock that only runs while this terminal does; 0 before the first.

    Wall time must not count the 72 hours: a board that begins in 1970 and is set right by a satellite would let go of
    everything at once. A process goes on from here with its monotonic clock, so what was off in between does not count.
    """
    row: tuple[int | None] | None = db.execute(
        "select receipted_ms from record where seq <= (select through from log) order by seq desc limit 1"
    ).fetchone()
    return 0 if row is None or row[0] is None else row[0]


def sweep(db: Database, now_ms: int) -> int:
    """How many records were let go: the oldest few, if the hub's receipt has covered them for 72 hours.

    `now_ms`: on the clock of `last_receipted_ms`. A receipt that seems to come from its future counts from now, because
    keeping longer is safe and letting go early is not.
    """
    bound: tuple[int, int] = db.execute(
        "select coalesce(min(seq), 0) + ?, (select through from log) from record", [SWEEP_RECORDS]
    ).fetchone()
    db.execute(
        "update record set receipted_ms = ? where seq < ? and seq <= ? and receipted_ms > ?",
        [now_ms, *bound, now_ms],
    )
    return db.execute(
        "delete from record where seq < ? and seq <= ? and receipted_ms <= ?", [*bound, now_ms - KEPT_MS]
    ).rowcount


def let_go(db: Database, records_max: int) -> int:
    """Through which number copies were let go early, the oldest few that the hub's receipt covers; 0 when there are none.

    For a disk that is nearly full, so that what nobody else has finds room. The newest copy stays: it carries the clock
    of `last_receipted_ms`.
    """
    row: tuple[int | None] = db.execute(
        "select max(seq) from (select seq from record where seq < (select through from log) order by seq limit ?)",
        [records_max],
    ).fetchone()
    if row[0] is None:
        return 0
    db.execute("delete from record where seq <= ?", [row[0]])
    return row[0]


def rewrite(db: Database, owed: Sequence[Owed]) -> None:
    """Other bytes for neighboring records that nobody outside this file has ever seen.

    All are deleted before any is inserted: SQLite gives no page back that has become half empty, only empty ones.
    """
    if not owed:
        return
    kept: list[tuple[int, str, int]] = db.execute(
        "select seq, kind, stored_ms from record where seq between ? and ? order by seq", [owed[0].seq, owed[-1].seq]
    ).fetchall()
    db.execute("delete from record where seq between ? and ?", [owed[0].seq, owed[-1].seq])
    data = {one.seq: one.data for one in owed}
    for seq, kind, stored in kept:
        db.execute(
            "insert into record (seq, kind, data, stored_ms) values (?, ?, ?, ?)", [seq, kind, data[seq], stored]
        )


def _take_number(db: Database) -> tuple[bytes, int]:
    taken = "update log set next = next + 1 returning log_id, next - 1"
    row: tuple[bytes, int] | None = db.execute(taken).fetchone()
    if row is None:
        _log(db)
        row = db.execute(taken).fetchone()
    assert row is not None
    return row


def _log(db: Database) -> tuple[bytes, int, int, int]:
    """The file's one log; minted by whoever asks first, in the transaction of the first number."""
    row: tuple[bytes, int, int, int] | None = db.execute("select log_id, next, through, hub_epoch from log").fetchone()
    if row is not None:
        return row
    minted = secrets.token_bytes(ID_BYTES)
    db.execute("insert into log (one, log_id, next, through, hub_epoch) values (1, ?, 1, 0, 0)", [minted])
    return minted, 1, 0, 0
