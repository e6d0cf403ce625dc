"""How the log of positions makes room: first by copies of what the hub has, then by every second fix, oldest first.

Only a record that was never handed to the link is rewritten: the hub may hold what was, and two different records of one
number would be taken for a forgery. Its number stays, and what it lost is counted in it. Every function runs inside the
caller's transaction, on `trail.db`.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace
from sqlite_utils import Database

from edge import outbox
from edge.outbox import Owed, Signer
from wire.codec import Malformed
from wire.records import RECORD_BYTES_MAX, Kind, open_record, sign_record
from wire.stamp import Stamp
from wire.trail import Trail, TrailPoint, pack, unpack

BITE_RECORDS = 64  # one transaction stays this short: on a Pi some 50 ms of signing
BITES_MAX = 4  # a minute's record needs the room of three others
HANDED_AHEAD = 256  # how far the mark runs before the link: one write a window would be two commits a record
POINTS_MIN = 4  # a signature and an envelope are 250 bytes: below this a record gets no smaller
FREE_PAGES = 4  # a record of a minute needs one page, and two more where the tree over it grows


class _Marks(NamedTuple):
    """Numbers of records. `own`: the newest that a program stored which keeps these."""

    handed: int
    thinned: int
    own: int


def begin(db: Database) -> None:
    """Before the first record of this run. A program from before these marks may have had the file since, and sent from it:
    then whatever it left counts as handed out."""
    db.execute("update log set handed = next - 1, own = next - 1 where own < next - 1")


def append(db: Database, signer: Signer, stamp: Stamp, trail: Trail) -> None:
    """Owe the hub a record of `trail`."""
    seq = outbox.append(db, signer, stamp, Kind.TRAIL, pack(trail))
    db.execute("update log set own = ?", [seq])


def hand_out(db: Database, first: int, records_max: int, bytes_max: int) -> tuple[Owed, ...]:
    """As `outbox.read`, and what is answered will never be rewritten: that is on the disk before the first byte goes."""
    owed = outbox.read(db, first, records_max, bytes_max)
    if owed and owed[-1].seq > _marks(db).handed:
        db.execute("update log set handed = min(? + ?, next - 1)", [owed[-1].seq, HANDED_AHEAD])
    return owed


def make_place(db: Database, signer: Signer, *, may_grow: bool) -> bool:
    """Whether the file has room for one more record, after what can give way has given way."""
    if may_grow:
        return True
    for _ in range(BITES_MAX):
        if _free_pages(db) >= FREE_PAGES:
            return True
        if through := outbox.let_go(db, BITE_RECORDS):
            db.execute("update log set let_go = ?", [through])
        else:
            thin(db, signer, BITE_RECORDS)
    return _free_pages(db) >= FREE_PAGES


def used_bytes(db: Database) -> int:
    """What the file holds, without the room inside it that is free again."""
    pages: int = db.execute("pragma page_count").fetchone()[0]
    size: int = db.execute("pragma page_size").fetchone()[0]
    return (pages - _free_pages(db)) * size


def thin(db: Database, signer: Signer, records_max: int) -> int:
    """How many fixes were given up: every second one of the next few records, from the oldest to the newest and then from
    the oldest again."""
    log, marks = outbox.numbers(db), _marks(db)
    lowest = max(log.lowest_owed, marks.handed) + 1  # a birth may name the lowest that is owed by its bytes
    first = max(lowest, marks.thinned + 1)
    if first >= log.next:
        first = lowest
    owed = outbox.read(db, first, records_max, records_max * RECORD_BYTES_MAX)
    db.execute("update log set thinned = ?", [owed[-1].seq if owed else 0])
    thinner = [_thinner(signer, record) for record in owed]
    dropped = sum(count for _, count in thinner)
    if dropped:
        outbox.rewrite(db, [record for record, _ in thinner])
    return dropped


def every_second(trail: Trail) -> Trail:
    """`trail` with half of its fixes, the rest counted."""
    points = trail.points[::2]
    return Trail(points=points, dropped=trail.dropped + len(trail.points) - len(points))


def joined(trails: tuple[Trail, ...]) -> Trail:
    """One trail after the other, in one."""
    points: tuple[TrailPoint, ...] = tuple(point for trail in trails for point in trail.points)
    return Trail(points=points, dropped=sum(trail.dropped for trail in trails))


def _thinner(signer: Signer, owed: Owed) -> tuple[Owed, int]:
    """The record as it is from now on, and how many fixes it lost."""
    try:
        record = open_record(owed.data, signer.device, signer.key.public_key())
        trail = unpack(record.body) if record.kind == Kind.TRAIL else Trail(points=())
    except Malformed:
        return owed, 0  # damaged on the disk; whoever sends it finds out, and says so
    if len(trail.points) < POINTS_MIN:
        return owed, 0
    thinner = every_second(trail)
    data = sign_record(replace(record, body=pack(thinner)), signer.key)
    return Owed(seq=owed.seq, data=data), thinner.dropped - trail.dropped


def _free_pages(db: Database) -> int:
    pages: int = db.execute("pragma freelist_count").fetchone()[0]
    return pages


def _marks(db: Database) -> _Marks:
    row: tuple[int, int, int] | None = db.execute("select handed, thinned, own from log").fetchone()
    return _Marks(0, 0, 0) if row is None else _Marks(*row)
