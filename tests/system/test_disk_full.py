"""A disk that really fills: an ext4 image of 64 MB that somebody else writes full, under the terminal's own two files."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlite_utils import Database

from edge import evidence, outbox, salvage, schema
from edge.clock import Clock
from edge.disk import RESERVE_FILE, DiskRoom, DiskWatch
from edge.outbox import Signer
from edge.room import MB, Growth, Level
from edge.store import Store, is_full
from edge.trail import TrailKeeper
from wire.fix import Fix
from wire.records import Kind, open_record
from wire.stamp import Stamp
from wire.trail import unpack

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
IMAGE_BYTES = 64 * MB
NOTE_BYTES = 4000
SIGNER = Signer("care-1", ec.generate_private_key(ec.SECP256R1()))
STAMP = Stamp(boot=bytes(16), mono_ms=1, wall_ms=1_770_000_000_000, quality="ntp")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of 64 MB."""
    if os.geteuid() != 0:
        pytest.skip("a file system is mounted, which only root may")
    image, mount = tmp_path / "image", tmp_path / "disk"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    mounted = subprocess.run(["mount", "-o", "loop", str(image), str(mount)], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"this machine mounts no image: {mounted.stderr.strip()}")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


class Terminal:
    """The two files of a vehicle, its reserve, and the fixes and notes that go into them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.mono_s = 1000.0
        self.offered = 0
        self.saved: list[int] = []
        self.open()

    def open(self) -> None:
        self.disk = DiskRoom(self.home)
        self.disk.open()
        self.ledger = Store(self.home / "ledger.db", schema.LEDGER, spare=self.disk.give)
        self.trail = Store(self.home / "trail.db", schema.TRAIL, spare=self.disk.give)
        clock = Clock(bytes(16), mono_s=lambda: self.mono_s)
        self.keeper = TrailKeeper(self.trail, SIGNER, clock, growth=lambda: self.disk.look().growth)
        self.watch = DiskWatch(self.disk, self.ledger, SIGNER, clock, lambda: None)

    def close(self) -> None:
        self.ledger.close()
        self.trail.close()

    def drive(self, minutes: int) -> None:
        for _ in range(minutes * 60):
            self.keeper.add(Fix(lat=39 + self.offered / 100_000, lon=-83.0, speed_mps=11.0), self.mono_s)
            self.mono_s += 1
            self.offered += 1

    def note(self) -> None:
        body = os.urandom(NOTE_BYTES)
        self.saved.append(self.ledger.do(lambda db: outbox.append(db, SIGNER, STAMP, Kind.NOTE, body)))

    def records(self, store: Store) -> list[tuple[int, str, bytes]]:
        owed = store.do(lambda db: outbox.read(db, 1, 1_000_000, 1_000_000_000))
        found = [open_record(one.data, "care-1", SIGNER.key.public_key()) for one in owed]
        return [(record.seq, record.kind, record.body) for record in found]

    def told(self) -> tuple[int, int]:
        """Fixes in records, and fixes that records say were given up."""
        trails = [unpack(body) for _, _, body in self.records(self.trail)]
        return sum(len(trail.points) for trail in trails), sum(trail.dropped for trail in trails)

    def trail_pages(self) -> int:
        pages: int = self.trail.do(lambda db: db.execute("pragma page_count").fetchone()[0])
        return pages


def leave(disk: Path, free_bytes: int) -> None:
    """Somebody else's file takes all but so much."""
    said = os.statvfs(disk)
    size = said.f_bavail * said.f_frsize - free_bytes
    if size > 0:
        with (disk / f"other-{len(list(disk.glob('other-*')))}").open("wb") as other:
            os.posix_fallocate(other.fileno(), 0, size)


def fill(disk: Path) -> None:
    """Until the file system takes nothing more, however it counts its own."""
    leave(disk, MB // 4)  # allocating wants some room for itself
    with suppress(OSError), (disk / f"other-crumbs-{time.monotonic_ns()}").open("ab", buffering=0) as crumbs:
        while True:
            crumbs.write(bytes(4096))


def test_on_a_disk_that_fills_positions_give_way_notes_save_and_every_loss_is_counted(small_disk: Path) -> None:
    terminal = Terminal(small_disk)
    reserve = small_disk / RESERVE_FILE
    assert reserve.stat().st_blocks * 512 >= 6 * MB
    terminal.drive(180)
    for _ in range(20):
        terminal.note()

    leave(small_disk, 4 * MB)  # between a tenth and a twentieth
    terminal.watch.look()
    assert terminal.disk.state().level is Level.LOW
    before = terminal.trail_pages()
    terminal.drive(60)
    assert terminal.trail_pages() == before
    assert terminal.told()[1] > 0

    fill(small_disk)
    for _ in range(400):  # 1.6 MB, and nothing is free
        terminal.note()
    assert not reserve.exists()
    terminal.watch.look()
    assert terminal.disk.state().level is Level.RESERVE
    terminal.drive(10)

    fill(small_disk)  # whoever it is takes what the reserve gave too
    with pytest.raises(sqlite3.OperationalError) as refused:
        for _ in range(1000):
            terminal.note()
    assert is_full(refused.value)
    terminal.watch.look()
    assert (terminal.disk.state().level, terminal.disk.state().growth) == (Level.FULL, Growth.WAITS)
    terminal.drive(30)
    assert terminal.ledger.is_alive
    assert terminal.trail.is_alive

    for other in small_disk.glob("other-*"):
        other.unlink()
    terminal.watch.look()
    assert terminal.disk.state().level is Level.PLENTY
    assert reserve.exists()
    terminal.note()
    terminal.drive(1)
    terminal.keeper.flush()
    points, dropped = terminal.told()
    assert points + dropped == terminal.offered
    terminal.close()

    terminal.open()
    notes = [seq for seq, kind, _ in terminal.records(terminal.ledger) if kind == Kind.NOTE]
    assert notes == terminal.saved
    terminal.close()
    for file in ("ledger.db", "trail.db"):
        with closing(sqlite3.connect(small_disk / file)) as db:
            assert db.execute("pragma integrity_check").fetchone() == ("ok",)


def test_on_a_disk_that_is_full_the_terminals_files_open(small_disk: Path) -> None:
    terminal = Terminal(small_disk)
    terminal.note()
    terminal.close()
    fill(small_disk)
    terminal.open()
    terminal.note()
    assert terminal.ledger.do(numbers_of) == 3
    terminal.close()


# What writes first after the disk has filled up, in a process of its own: it may be ended by the kernel.
FIRST_WRITE = """
import os, sqlite3, sys
from pathlib import Path
from contextlib import suppress
from edge import evidence, salvage, schema
from edge.store import Store
from tests.system.test_disk_full import SIGNER, fill

home = Path(sys.argv[1])
if sys.argv[2] == "start":
    fill(home)
store = salvage.open_store(home / "ledger.db", schema.LEDGER, "ledger", SIGNER)
fill(home)
for number in range(300):
    with suppress(sqlite3.OperationalError):
        store.do(lambda db: db.execute("insert or replace into fact values (?, 1)", [f"{number}" * 40]))
print(store.is_alive)
os._exit(0)  # as by a signal: the journal stays
"""


@pytest.mark.parametrize("when", ["work", "start"])
def test_the_first_write_after_a_disk_has_filled_up_does_not_end_the_process(small_disk: Path, when: str) -> None:
    """A small file system has blocks of 1 kB: of a page that SQLite maps, the part it has written one byte of is there,
    and the others are not. Whoever writes to them is ended."""
    store = Store(small_disk / "ledger.db", schema.LEDGER)
    for number in range(50):
        store.do(lambda db, number=number: db.execute("insert into fact values (?, 1)", [f"before {number}"]))  # type: ignore[misc]
    if when == "start":
        copies = {name: (small_disk / name).read_bytes() for name in ("ledger.db", "ledger.db-wal")}
    store.close()
    if when == "start":  # as after a power cut: with a journal to be read
        for name, data in copies.items():
            (small_disk / name).write_bytes(data)
    said = subprocess.run(
        [sys.executable, "-c", FIRST_WRITE, str(small_disk), when],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (said.returncode, said.stdout) == (0, "True\n"), said.stderr
    for other in small_disk.glob("other-*"):
        other.unlink()
    again = salvage.open_store(small_disk / "ledger.db", schema.LEDGER, "ledger", SIGNER)
    rows = again.do(lambda db: db.execute("select name from fact where name like 'before %'").fetchall())
    assert len(rows) == 50
    assert not (small_disk / evidence.FOLDER).exists()
    again.close()


def numbers_of(db: Database) -> int:
    return outbox.numbers(db).next
