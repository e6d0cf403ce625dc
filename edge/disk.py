"""Asks the disk how much room it has, and keeps the reserve: a file that is there to be deleted when a note needs room.

What follows from the answer is decided in `edge.room`. The reserve is real blocks, so that nobody else can have taken
them when they are wanted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock

import structlog
from sqlite_utils import Database

from edge import outbox, room
from edge.clock import Clock
from edge.outbox import Signer
from edge.room import RESERVE_BYTES, Disk, Growth, Level, Room
from edge.store import Saves, is_full
from wire.facts import AuditFact
from wire.records import Kind

RESERVE_FILE = "reserve"
LOOK_S = 10.0
BITE_RECORDS = 64  # copies let go in one short transaction
BITES_MAX = 16  # a look
FREE_PAGES = 256  # a megabyte inside the ledger's file, for some three hundred notes: then no further copy has to go
TELL_S = 600.0  # between two records that say how the disk is: one that goes up and down must not fill itself

log = structlog.get_logger()


class DiskRoom:
    """The file system of `home`. Any thread may ask; nothing here waits for a store."""

    def __init__(
        self,
        home: Path,
        reserve_bytes: int = RESERVE_BYTES,
        *,
        statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
    ) -> None:
        self._home = home
        self._reserve_bytes = reserve_bytes
        self._statvfs = statvfs
        self._guard = Lock()
        self._room = Room()

    def open(self) -> None:
        """Make sure that files can be opened: SQLite needs some room for that too."""
        if self.look().growth is Growth.WAITS:
            self.give()
        self.make()

    def look(self) -> Room:
        """How it is now."""
        with self._guard:
            return self._look()

    def state(self) -> Room:
        """How it was at the last look. For the screen."""
        return self._room

    def give(self) -> bool:
        """Whether the reserve has just been given up. Called when a commit found no room."""
        with self._guard:
            try:
                (self._home / RESERVE_FILE).unlink()
            except FileNotFoundError:
                return False
            except OSError as wrong:
                log.error("reserve_not_given", why=wrong.strerror)
                return False
            log.warning("reserve_given")
            self._look()
            return True

    def make(self) -> None:
        """Make the reserve, if there is room for it and it is not there."""
        with self._guard:
            if not self._look().makes_reserve:
                return
            try:
                size = self._disk().wanted_bytes
                _allocate(self._home / RESERVE_FILE, size)
            except OSError as wrong:
                log.warning("reserve_not_made", why=wrong.strerror)
                return
            log.info("reserve_made", bytes=size)
            self._look()

    def _look(self) -> Room:
        try:
            self._room = room.decide(self._disk(), self._room.level)
        except OSError as wrong:  # a disk that fails is told of by who writes to it; till then the last look counts
            log.warning("disk_does_not_answer", why=wrong.strerror)
        return self._room

    def _disk(self) -> Disk:
        said = self._statvfs(self._home)
        total = said.f_blocks * said.f_frsize
        try:
            reserve = (self._home / RESERVE_FILE).stat().st_blocks * 512
        except OSError:
            reserve = 0
        return Disk(
            total_bytes=total,
            free_bytes=said.f_bavail * said.f_frsize,
            reserve_bytes=reserve,
            wanted_bytes=room.wanted_bytes(total, self._reserve_bytes),
        )


class DiskWatch:
    """One thread that looks at the disk, makes the reserve again when there is room, and lets copies of the ledger go when
    there is little. `kept`: a record was stored; `beat`: called each time round."""

    def __init__(
        self,
        disk: DiskRoom,
        ledger: Saves,
        signer: Signer,
        clock: Clock,
        kept: Callable[[], None],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._disk = disk
        self._ledger = ledger
        self._signer = signer
        self._clock = clock
        self._kept = kept
        self._beat = beat
        self._stopping = Event()
        self._told = Level.PLENTY
        self._told_s: float | None = None

    def stop(self) -> None:
        """`run` returns."""
        self._stopping.set()

    def run(self) -> None:
        """Look every few seconds until `stop`."""
        while True:
            self._beat()
            self.look()
            if self._stopping.wait(LOOK_S):
                return

    def look(self) -> None:
        """Do what the disk asks for."""
        self._disk.make()
        found = self._disk.look()
        try:
            if found.level not in (Level.PLENTY, Level.LOW):
                self._let_go()
            if found.level is not self._told and self._is_time():
                self._tell(found)
        except Exception as wrong:
            if not is_full(wrong):
                raise

    def _is_time(self) -> bool:
        return self._told_s is None or self._clock.mono_s() - self._told_s >= TELL_S

    def _let_go(self) -> None:
        for _ in range(BITES_MAX):
            if not self._ledger.do(_let_go):
                return

    def _tell(self, found: Room) -> None:
        """The hub's people learn of it too: who drives cannot buy a card."""
        free, total = found.free_bytes // room.MB, found.total_bytes // room.MB
        fact = AuditFact(
            what="disk_room",
            outcome="ok" if found.level is Level.PLENTY else "failed",
            about=str(found.level),
            reason=f"{free} of {total} MB are free",
        )
        self._ledger.do(lambda db: outbox.append(db, self._signer, self._clock.stamp(), Kind.AUDIT, fact))
        self._told, self._told_s = found.level, self._clock.mono_s()
        log.warning("disk_room", level=str(found.level), free_mb=free, total_mb=total)
        self._kept()


def _let_go(db: Database) -> int:
    free: int = db.execute("pragma freelist_count").fetchone()[0]
    through = outbox.let_go(db, BITE_RECORDS) if free < FREE_PAGES else 0
    if through:
        db.execute(
            "insert into fact (name, value) values ('copies_let_go', ?)"
            " on conflict (name) do update set value = excluded.value",
            [through],
        )
    return through


def _allocate(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        os.fsync(descriptor)
    except OSError:
        path.unlink(missing_ok=True)  # half a reserve would stand in the way of what it is for
        raise
    finally:
        os.close(descriptor)
