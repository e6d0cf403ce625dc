"""What a disk that fills still takes, and the reserve that is kept for notes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlite_utils import Database

from edge import outbox, room, schema
from edge.clock import Clock
from edge.disk import BITE_RECORDS, RESERVE_FILE, DiskRoom, DiskWatch
from edge.outbox import Signer
from edge.room import MB, SCANT_BYTES, Disk, Growth, Level, decide
from edge.store import Store, is_full
from wire.codec import decode
from wire.facts import AuditFact
from wire.records import Kind, Receipt, open_record

SIGNER = Signer("care-1", ec.generate_private_key(ec.SECP256R1()))
SMALL_BYTES = 64 * MB
BLOCK_BYTES = 4096


def small(free_mb: float, reserve_mb: float = 8, total_mb: float = 64) -> Disk:
    return Disk(
        total_bytes=int(total_mb * MB),
        free_bytes=int(free_mb * MB),
        reserve_bytes=int(reserve_mb * MB),
        wanted_bytes=8 * MB,
    )


@pytest.mark.parametrize(
    ("free_mb", "reserve_mb", "level", "growth"),
    [
        (30, 8, Level.PLENTY, Growth.GROWS),
        (6.5, 8, Level.PLENTY, Growth.GROWS),
        (6.3, 8, Level.LOW, Growth.STAYS),
        (3.3, 8, Level.LOW, Growth.STAYS),
        (3.1, 8, Level.SCARCE, Growth.STAYS),
        (0.1, 8, Level.SCARCE, Growth.WAITS),
        (8.1, 0, Level.RESERVE, Growth.STAYS),
        (0.9, 0, Level.FULL, Growth.WAITS),
        (20, 0, Level.PLENTY, Growth.GROWS),
    ],
)
def test_positions_give_way_at_a_tenth_copies_at_a_twentieth_and_notes_last(
    free_mb: float, reserve_mb: float, level: Level, growth: Growth
) -> None:
    found = decide(small(free_mb, reserve_mb))
    assert (found.level, found.growth) == (level, growth)


def test_room_that_the_reserve_gave_up_is_not_room_for_positions() -> None:
    given = decide(small(8, reserve_mb=0), Level.SCARCE)
    assert given.growth is Growth.STAYS
    assert not given.makes_reserve


def test_a_disk_at_its_bound_does_not_change_its_mind_with_every_record() -> None:
    assert decide(small(6.5), Level.LOW).level is Level.LOW
    assert decide(small(7.6), Level.LOW).level is Level.LOW
    assert decide(small(7.8), Level.LOW).level is Level.PLENTY
    assert decide(small(3.5), Level.SCARCE).level is Level.SCARCE
    assert decide(small(4.6), Level.SCARCE).level is Level.LOW


def test_a_tenth_of_a_large_card_is_room() -> None:
    card = Disk(total_bytes=64_000 * MB, free_bytes=3_000 * MB, reserve_bytes=64 * MB, wanted_bytes=64 * MB)
    assert decide(card).level is Level.PLENTY


def test_the_reserve_of_a_small_disk_is_smaller() -> None:
    assert room.wanted_bytes(SMALL_BYTES, 64 * MB) == 8 * MB
    assert room.wanted_bytes(32_000 * MB, 64 * MB) == 64 * MB
    assert room.wanted_bytes(32_000 * MB, 16 * MB) == 16 * MB


class FakeDisk:
    """A file system of 64 MB of which `others` is taken by somebody else."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.others = 10 * MB
        self.room = DiskRoom(home, statvfs=self.statvfs)

    def statvfs(self, path: Path) -> os.statvfs_result:
        reserve = self.home / RESERVE_FILE
        taken = self.others + (reserve.stat().st_blocks * 512 if reserve.exists() else 0)
        free = max(0, SMALL_BYTES - taken) // BLOCK_BYTES
        return os.statvfs_result((BLOCK_BYTES, BLOCK_BYTES, SMALL_BYTES // BLOCK_BYTES, free, free, 0, 0, 0, 0, 255))

    @property
    def has_reserve(self) -> bool:
        return (self.home / RESERVE_FILE).exists()


@pytest.fixture
def full(tmp_path: Path) -> FakeDisk:
    return FakeDisk(tmp_path)


@pytest.fixture
def ledger(tmp_path: Path, full: FakeDisk) -> Iterator[Store]:
    opened = Store(tmp_path / "ledger.db", schema.LEDGER, spare=full.room.give)
    yield opened
    opened.close()


def test_the_reserve_is_made_at_the_first_start_of_real_blocks(full: FakeDisk) -> None:
    full.room.open()
    assert (full.home / RESERVE_FILE).stat().st_blocks * 512 >= 8 * MB
    assert full.room.state().level is Level.PLENTY


def test_the_reserve_is_not_made_of_the_last_room_and_made_again_when_room_returns(full: FakeDisk) -> None:
    full.others = 54 * MB
    full.room.open()
    assert not full.has_reserve
    full.others = 30 * MB
    full.room.make()
    assert full.has_reserve


def test_a_disk_that_is_full_at_the_start_gives_the_reserve_so_that_the_files_open(full: FakeDisk) -> None:
    full.room.open()
    full.others = SMALL_BYTES
    full.room.open()
    assert not full.has_reserve


def pages(ledger: Store, count: int) -> None:
    """As many more as SQLite may have: beyond them it says SQLITE_FULL."""
    ledger.do(lambda db: db.execute(f"pragma max_page_count = {db.execute('pragma page_count').fetchone()[0] + count}"))


def note(db: Database) -> int:
    stamp = Clock(bytes(16)).stamp()
    return outbox.append(db, SIGNER, stamp, Kind.NOTE, bytes(20_000))


def test_a_note_that_finds_no_room_gets_the_reserve_and_is_saved(tmp_path: Path, full: FakeDisk) -> None:
    full.room.open()

    def spare() -> bool:
        conn.execute("pragma max_page_count = 10000")
        return full.room.give()

    store = Store(tmp_path / "ledger.db", schema.LEDGER, spare=spare)
    conn = store.do(lambda db: db.conn)
    pages(store, 0)
    assert store.do(note) == 1
    assert not full.has_reserve
    store.close()
    again = Store(tmp_path / "ledger.db", schema.LEDGER)
    assert again.do(outbox.numbers).next == 2
    again.close()


def test_without_a_reserve_a_note_is_refused_and_the_store_goes_on(ledger: Store) -> None:
    pages(ledger, 0)
    with pytest.raises(sqlite3.OperationalError) as refused:
        ledger.do(note)
    assert is_full(refused.value)
    assert ledger.is_alive
    assert ledger.do(outbox.numbers).next == 1, "all of it or nothing"


def watch(ledger: Store, full: FakeDisk) -> DiskWatch:
    ticks = count(0, 1000)
    return DiskWatch(full.room, ledger, SIGNER, Clock(bytes(16), mono_s=lambda: float(next(ticks))), lambda: None)


def told(ledger: Store) -> list[tuple[str, str | None]]:
    owed = ledger.do(lambda db: outbox.read(db, 1, 1000, 10_000_000))
    records = [open_record(one.data, "care-1", SIGNER.key.public_key()) for one in owed]
    facts = [decode(record.body, AuditFact) for record in records if record.kind == Kind.AUDIT]
    return [(fact.what, fact.about) for fact in facts if fact.what == "disk_room"]


def test_the_agency_learns_once_that_a_disk_is_nearly_full(ledger: Store, full: FakeDisk) -> None:
    watching = watch(ledger, full)
    watching.look()
    assert told(ledger) == []
    full.others = 51 * MB  # with the reserve 59
    for _ in range(3):
        watching.look()
    assert told(ledger) == [("disk_room", "low")]


def test_copies_go_where_the_disk_is_nearly_full_as_many_as_give_room(ledger: Store, full: FakeDisk) -> None:
    watching = watch(ledger, full)
    watching.look()
    ledger.do(lambda db: [note(db) for _ in range(100)])
    log_id = ledger.do(outbox.numbers).log_id
    receipt = Receipt(v=1, device="care-1", log_id=log_id, through=90, epoch=1)
    ledger.do(lambda db: outbox.take_receipt(db, receipt, 0))
    full.others = 51 * MB
    watching.look()
    assert ledger.do(outbox.numbers).lowest_held == 1, "a tenth: no copy goes"
    full.others = 54 * MB
    watching.look()
    watching.look()
    assert ledger.do(outbox.numbers).lowest_held == BITE_RECORDS + 1, "no more than gives a megabyte of room"
    mark = ledger.do(lambda db: db.execute("select value from fact where name = 'copies_let_go'").fetchone()[0])
    assert mark == BITE_RECORDS, "an auditor can tell what went early"


def test_a_full_disk_does_not_end_the_watch_over_it(ledger: Store, full: FakeDisk) -> None:
    watching = watch(ledger, full)
    full.others = SMALL_BYTES - SCANT_BYTES // 2
    pages(ledger, 0)
    ledger.do(lambda db: db.execute("pragma max_page_count = 1"))
    watching.look()
    assert full.room.state().level is Level.FULL
