"""A record that can never be taken steps aside, so that what stands behind it in the log can go on.

Two kinds: one whose bytes the disk or memory has changed, so that no hub will believe them; and one that the broker does
not take for what it is. Whatever it said that can still be read is said again, and its number always arrives.
"""

from __future__ import annotations

from hashlib import sha256

from sqlite_utils import Database

from edge import outbox
from edge.outbox import Owed, Signer
from wire import parts, signature
from wire.codec import decode, encode
from wire.facts import DamagedFact, RefusedFact
from wire.parts import PART_BYTES_MIN, Part
from wire.records import VERSION, Kind, Record, sign_record
from wire.stamp import Stamp

TOO_LARGE, NOT_OF_ITS_FORMAT = 0x95, 0x99
ITS_OWN_FAULT = frozenset({TOO_LARGE, NOT_OF_ITS_FORMAT})  # never 0x87 or 0x10: those are about the link
FOUND_BYTES_MAX = 4096
WHOLE_BYTES_MAX = 2 * PART_BYTES_MIN  # smaller than this a record stands whole in the word that it was refused
PACKET_BYTES = 256  # around a record: topic, header, properties


def replace_damaged(db: Database, signer: Signer, stamp: Stamp, seq: int) -> str | None:
    """The kind of number `seq` if it no longer was what this terminal signed, and None if it is. A word that says so stands
    there now."""
    row: tuple[bytes, bytes, str] | None = db.execute(
        "select data, (select log_id from log), kind from record where seq = ?", [seq]
    ).fetchone()
    if row is None or outbox.is_sound(row[0], row[1], seq, signer):
        return None
    found = row[0]
    fact = DamagedFact(sha256=sha256(found).digest(), size=len(found), found=found[:FOUND_BYTES_MAX])
    _put(db, signer, stamp, seq, Kind.DAMAGED, encode(fact))
    return row[2]


def step_aside(db: Database, signer: Signer, seq: int, reason: int) -> bool:
    """Whether number `seq` made room; False when it cannot be made smaller or other, and the fault is not its own.

    A large one goes again in small parts behind everything that is owed; the parts of a whole make room together.
    """
    row: tuple[bytes] | None = db.execute("select data from record where seq = ?", [seq]).fetchone()
    if row is None:
        return False
    data = row[0]
    record = decode(signature.payload_of(data), Record)
    if record.kind in outbox.STOOD_IN:
        return False
    if len(data) <= WHOLE_BYTES_MAX:
        _refuse(db, signer, record, data, reason, data)
        return True
    kind, body, numbers = _whole(db, record)
    for number in numbers:
        (other,) = db.execute("select data from record where seq = ?", [number]).fetchone()
        _refuse(db, signer, decode(signature.payload_of(other), Record), other, reason, b"")
    last = outbox.append_parts(db, signer, record.stamp, kind, body, PART_BYTES_MIN)
    if kind == Kind.NOTE:
        db.execute("update note set seq = ? where seq = ?", [last, numbers[-1]])
    return True


def fits(record: Owed, packet_bytes_max: int | None) -> bool:
    """Whether a broker that takes packets of so many bytes takes this one; None: it did not say."""
    return packet_bytes_max is None or len(record.data) + PACKET_BYTES <= packet_bytes_max


def _whole(db: Database, record: Record) -> tuple[str, bytes, list[int]]:
    """What `record` says, of which kind, and the numbers from its own on that say it."""
    if record.kind != Kind.PART:
        return record.kind, record.body, [record.seq]
    mine = decode(record.body, Part)
    first = record.seq - mine.index
    rows: list[tuple[bytes]] = db.execute(
        "select data from record where seq >= ? and seq < ? order by seq", [first, first + mine.count]
    ).fetchall()
    body = parts.join([decode(decode(signature.payload_of(data), Record).body, Part) for (data,) in rows])
    return mine.kind, body, list(range(record.seq, first + mine.count))


def _refuse(db: Database, signer: Signer, record: Record, data: bytes, reason: int, found: bytes) -> None:
    fact = RefusedFact(reason=reason, kind=record.kind, sha256=sha256(data).digest(), size=len(data), found=found)
    _put(db, signer, record.stamp, record.seq, Kind.REFUSED, encode(fact))


def _put(db: Database, signer: Signer, stamp: Stamp, seq: int, kind: Kind, body: bytes) -> None:
    (log_id,) = db.execute("select log_id from log").fetchone()
    record = Record(v=VERSION, device=signer.device, log_id=log_id, seq=seq, kind=str(kind), stamp=stamp, body=body)
    db.execute("update record set kind = ?, data = ? where seq = ?", [str(kind), sign_record(record, signer.key), seq])
