"""Bugs put in on purpose, so that the auditor is seen to catch each. A run without one uses `HONEST`.

Each stands where the product has the right thing, as an argument: nothing of the product is patched.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy import Engine, text
from sqlite_utils import Database

from edge import outbox
from edge.clock import Clock
from edge.outbox import TRAIL, Numbers, Signer
from hub.ingest import Arrival
from tests.seams.simulation.disk import Disk
from wire.records import Receipt

T = TypeVar("T")
Disks = Mapping[str, Disk]
Made = tuple[bytes, int, bytes]  # log_id, seq, data
MINUTE_MS = 60 * 1000
NOWHERE = b"\x92\xc4\x01\x90\xc4\x00"  # a record that says nothing, signed by nobody
PARTS_BYTES_MAX = 16 * 1024 * 1024  # more than anything that is said in parts


def append(disk: Disk, signer: Signer, clock: Clock, kind: str, body: bytes) -> list[Made]:
    """A new record, or the parts of a large one, saved the way every pipe of the product saves it."""

    def work(db: Database) -> list[Made]:
        now = outbox.numbers(db)
        last = outbox.append(db, signer, clock.stamp(), kind, body)
        made = outbox.read(db, now.next, last, PARTS_BYTES_MAX)
        return [(now.log_id, one.seq, one.data) for one in made]

    return disk.do(work)


class Plant(Struct, frozen=True, kw_only=True):
    """Where a bug may stand. `before_batch` answers receipts that are said before anything is committed."""

    append: Callable[[Disk, Signer, Clock, str, bytes], list[Made]] = append
    second_told: Callable[[int], int] = lambda second: second
    stores: Callable[[Disks], Disks] = lambda disks: disks
    puback: Callable[[Disks, bytes, int], None] = lambda disks, payload, reason: None
    heard: Callable[[Disks, str, bytes], None] = lambda disks, topic, payload: None
    tick: Callable[[Disks, Clock], None] = lambda disks, clock: None
    before_batch: Callable[[Engine, list[Arrival]], list[Receipt]] = lambda engine, arrivals: []
    disk_lies: bool = False
    restore_keeps_epoch: bool = False
    clones_a_card: bool = False
    restores_a_card: bool = False


HONEST = Plant()


def raw_record(payload: bytes) -> tuple[str, bytes, int] | None:
    """Device, log and number of the record in `payload`, taken apart without the product."""
    try:
        fields = msgspec.msgpack.decode(msgspec.msgpack.decode(payload)[0])
        return fields[1], fields[2], fields[3]
    except (msgspec.DecodeError, IndexError, KeyError, TypeError):
        return None


# --- at the terminal


def _number_first(disk: Disk, signer: Signer, clock: Clock, kind: str, body: bytes) -> list[Made]:
    """Takes the number in one transaction and stores the record in the next."""

    def take(db: Database) -> Numbers:
        before = outbox.numbers(db)
        db.execute("update log set next = next + 1")
        return before

    taken = disk.do(take)

    def put(db: Database) -> list[Made]:
        db.execute("update log set next = ?", [taken.next])
        seq = outbox.append(db, signer, clock.stamp(), kind, body)
        (owed,) = outbox.read(db, seq, 1, 1)
        return [(taken.log_id, seq, owed.data)]

    return disk.do(put)


def _says_saved_anyway(disk: Disk, signer: Signer, clock: Clock, kind: str, body: bytes) -> list[Made]:
    """Tells the crew "saved" of what found no room."""
    try:
        return append(disk, signer, clock, kind, body)
    except sqlite3.OperationalError:
        now = disk.look(outbox.numbers)
        return [(now.log_id, now.next, NOWHERE)]


class _Wrapped:
    """A store in front of which something goes wrong."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def do(self, work: Callable[[Database], T]) -> T:
        return self._disk.do(work)


class _ThinsAnything(_Wrapped):
    """Forgets what was handed to the link, so that it may be thinned."""

    def do(self, work: Callable[[Database], T]) -> T:
        def forget(db: Database) -> T:
            db.execute("update log set handed = 0")
            return work(db)

        return self._disk.do(forget)


class _ForgetsPieces(_Wrapped):
    """Makes room by throwing away the fixes of the last minute, and counts none of them."""

    def do(self, work: Callable[[Database], T]) -> T:
        try:
            return self._disk.do(work)
        except sqlite3.OperationalError:
            self._disk.do(lambda db: db.execute("delete from piece"))
            raise


class _NeverLooks(_Wrapped):
    """Never looks whether what it sends again is still what it signed."""

    def do(self, work: Callable[[Database], T]) -> T:
        return False if "_is_damaged" in getattr(work, "__qualname__", "") else self._disk.do(work)  # type: ignore[return-value]


def _on_the_trail(wrapped: type[_Wrapped]) -> Callable[[Disks], Disks]:
    return lambda disks: {**disks, TRAIL: wrapped(disks[TRAIL])}  # type: ignore[dict-item]


def _on_both(wrapped: type[_Wrapped]) -> Callable[[Disks], Disks]:
    return lambda disks: {log: wrapped(disk) for log, disk in disks.items()}  # type: ignore[misc]


def _lets_go_for_an_order(disks: Disks, topic: str, payload: bytes) -> None:
    """Takes an order to say everything again for a reason to hold nothing back any longer."""
    if topic.endswith("/orders"):
        for disk in disks.values():
            disk.do(lambda db: db.execute("delete from record where seq <= (select through from log)"))


def _trusts_puback(disks: Disks, payload: bytes, reason: int) -> None:
    """Lets go of what the broker has acknowledged."""
    raw = raw_record(payload)
    if raw is None or reason != 0:
        return
    for disk in disks.values():
        disk.do(lambda db: db.execute("update log set through = max(through, ?) where log_id = ?", [raw[2], raw[1]]))


def _trusts_lower_receipt(disks: Disks, topic: str, payload: bytes) -> None:
    """Believes the newest receipt, whatever it says."""
    if not topic.endswith("/receipt"):
        return
    _, _, log_id, through, *_ = msgspec.msgpack.decode(msgspec.msgpack.decode(payload)[0])
    for disk in disks.values():
        disk.do(lambda db: db.execute("update log set through = ? where log_id = ?", [through, log_id]))


def _lets_go_early(disks: Disks, clock: Clock) -> None:
    """Keeps what was receipted for a minute instead of 72 hours."""
    for disk in disks.values():
        disk.do(
            lambda db: db.execute(
                "delete from record where receipted_ms <= (select max(receipted_ms) from record) - ?", [MINUTE_MS]
            )
        )


class _FromWhereItWas:
    """A store whose log seems to be owed only from the highest number that was ever read for sending."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._read_through = 0

    def do(self, work: Callable[[Database], T]) -> T:
        value = self._disk.do(work)
        if isinstance(value, tuple) and value and isinstance(value[-1], outbox.Owed):
            self._read_through = max(self._read_through, value[-1].seq)
        if isinstance(value, tuple) and value and isinstance(value[0], Numbers):
            numbers, *others = value
            if numbers.lowest_owed <= self._read_through < numbers.next:
                wrong = msgspec.structs.replace(numbers, lowest_owed=self._read_through)
                return wrong, *others  # type: ignore[return-value]
        return value


def _resends_from_where_it_was(disks: Disks) -> Disks:
    """Begins again at the last record it sent, not at the lowest owed."""
    return {log: _FromWhereItWas(disk) for log, disk in disks.items()}  # type: ignore[misc]


# --- at the hub


def _receipts_first(engine: Engine, arrivals: list[Arrival]) -> list[Receipt]:
    """Says that it holds what it is about to store."""
    with engine.begin() as connection:
        rows = connection.execute(text("select log_id, through from log")).all()
        epoch = connection.execute(text("select value from hub_fact where name = 'epoch'")).scalar() or 1
    through = {bytes(log_id): held for log_id, held in rows}
    moved: dict[bytes, Receipt] = {}
    for arrival in arrivals:
        raw = raw_record(arrival.payload) if arrival.topic.endswith("/log") else None
        if raw is not None and raw[2] == through.get(raw[1], 0) + 1:
            through[raw[1]] = raw[2]
            moved[raw[1]] = Receipt(v=1, device=raw[0], log_id=raw[1], through=raw[2], epoch=epoch)
    return list(moved.values())


def _takes_the_next_but_one(engine: Engine, arrivals: list[Arrival]) -> list[Receipt]:
    """Accepts number n + 2 where n + 1 is missing."""
    with engine.begin() as connection:
        for arrival in arrivals:
            raw = raw_record(arrival.payload) if arrival.topic.endswith("/log") else None
            if raw is not None:
                connection.execute(
                    text("update log set through = through + 1 where log_id = :log and through = :seq - 2"),
                    {"log": raw[1], "seq": raw[2]},
                )
            break  # only what comes first can be ahead of what is stored
    return []


PLANTS: dict[str, Plant] = {
    "receipt before commit": Plant(before_batch=_receipts_first),
    "released on PUBACK": Plant(puback=_trusts_puback),
    "number taken outside the transaction": Plant(append=_number_first),
    "resent from the wrong place": Plant(stores=_resends_from_where_it_was),
    "number n + 2 accepted": Plant(before_batch=_takes_the_next_but_one),
    "lower receipt of the same epoch believed": Plant(heard=_trusts_lower_receipt),
    "let go after a minute": Plant(tick=_lets_go_early),
    "disk that lies about syncing": Plant(disk_lies=True),
    "restored without a higher epoch": Plant(restore_keeps_epoch=True),
    "saved although the disk is full": Plant(append=_says_saved_anyway),
    "fixes dropped and not counted": Plant(stores=_on_the_trail(_ForgetsPieces)),
    "thinned after it was sent": Plant(stores=_on_the_trail(_ThinsAnything)),
    "damaged record sent for ever": Plant(stores=_on_both(_NeverLooks)),
    "copies let go for an order": Plant(heard=_lets_go_for_an_order),
    "an old position told for ever": Plant(second_told=lambda second: 0),
    "cloned card": Plant(clones_a_card=True),
    "card restored from an image": Plant(restores_a_card=True),
}
