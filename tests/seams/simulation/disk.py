"""A terminal's disk: a real SQLite file with the product's tables and pragmas, and a power cut whenever a seed says so.

What SQLite has synced survives. What it has only written comes back sector by sector as chance has it, torn and out of
order: first the write-ahead log of the commit under way, and once that was synced, the pages of a checkpoint. So what is
opened after a cut is what a board would find, and SQLite's own recovery has to make something of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TypeVar

from sqlite_utils import Database

from edge.schema import Step
from edge.store import migrate

SECTOR_BYTES = 512
PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "wal_autocheckpoint": 100, "secure_delete": 1}
LIE_COMMITS = 8  # a disk that lies keeps that many commits in a cache that a power cut empties

PAGES_MAX = 2**30

T = TypeVar("T")


class PowerCut(BaseException):
    """The power went away inside a commit. Nobody on that board learns how the commit ended."""


class Disk:
    """One file, used the way the terminal's store uses it: one function, one immediate transaction.

    `lies`: this disk says that it synced and did not, which no program can survive; planted to see it noticed.
    """

    def __init__(self, path: Path, steps: tuple[Step, ...], chance: Random, *, lies: bool = False) -> None:
        self._path = path
        self._steps = steps
        self._chance = chance
        self._lies = lies
        self._is_cut_due = False
        self._commits = 0
        self.is_full = False
        self.is_open = False
        self._open()
        self._synced = self._image() if lies else (b"", b"")

    def do(self, work: Callable[[Database], T]) -> T:
        """What `work` returns, committed; its exception, and nothing written; PowerCut when one was due."""
        if self._is_cut_due:
            self._cut_inside(work)
        return self._commit(work)

    def look(self, work: Callable[[Database], T]) -> T:
        """What an observer reads; it is not the program, so no power cut waits for it."""
        return work(self._db)

    def fill(self, is_full: bool) -> None:
        """Whether the file may grow no more: what finds no free page in it is refused."""
        self.is_full = is_full
        if self.is_open:
            self._bound()

    def rot(self, seq: int, chance: Random) -> tuple[bytes, bytes]:
        """One byte of record `seq` becomes another one, behind everybody's back. What it was, and what it is."""
        (before,) = self._db.execute("select data from record where seq = ?", [seq]).fetchone()
        at = chance.randrange(len(before))
        after = before[:at] + bytes([before[at] ^ 1 << chance.randrange(8)]) + before[at + 1 :]
        self._commit(lambda db: db.execute("update record set data = ? where seq = ?", [after, seq]))
        return before, after

    def cut_at_next_commit(self) -> None:
        """The power goes away inside the next transaction."""
        self._is_cut_due = True

    def lose_power(self) -> None:
        """The power goes away between two transactions."""
        image = self._image()
        self.close()
        self._restore(self._synced if self._lies else image)

    def close(self) -> None:
        """The program ends. What was committed is there; the next one to open it is this one again."""
        self._is_cut_due = False
        self.is_open = False
        self._db.conn.close()

    def reopen(self) -> None:
        """The program is started again."""
        self._open()
        if self._lies:
            self._synced = self._image()

    def _commit(self, work: Callable[[Database], T]) -> T:
        self._db.execute("begin immediate")
        try:
            value = work(self._db)
            self._db.execute("commit")
        except BaseException:
            self._db.rollback()
            raise
        self._commits += 1
        if self._lies and self._commits % LIE_COMMITS == 0:
            self._synced = self._image()
        return value

    def _cut_inside(self, work: Callable[[Database], T]) -> None:
        before = self._image()
        self._commit(work)
        after = self._image()
        self.close()
        self._restore(self._synced if self._lies else self._between(before, after))
        raise PowerCut

    def _between(self, before: tuple[bytes, bytes], after: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
        """Database and write-ahead log as the disk holds them when the cut comes somewhere from one to the other."""
        has_checkpointed = before[0] != after[0]
        stage = self._chance.choice(("log", "pages" if has_checkpointed else "log", "after"))
        if stage == "log":
            return before[0], torn(before[1], after[1], self._chance)
        if stage == "pages":  # the log was synced before the first page was written
            return torn(before[0], after[0], self._chance), after[1]
        return after

    def _open(self) -> None:
        self._db = Database(self._path)
        for name, value in PRAGMAS.items():
            self._db.conn.execute(f"pragma {name} = {value}")
        migrate(self._db.conn, self._steps, self._path)
        self.is_open = True
        self._bound()

    def _bound(self) -> None:
        (pages,) = self._db.execute("pragma page_count").fetchone()
        self._db.execute(f"pragma max_page_count = {pages if self.is_full else PAGES_MAX}")

    def _image(self) -> tuple[bytes, bytes]:
        wal = _beside(self._path, "-wal")
        return self._path.read_bytes(), wal.read_bytes() if wal.exists() else b""

    def _restore(self, image: tuple[bytes, bytes]) -> None:
        self._path.write_bytes(image[0])
        _beside(self._path, "-wal").write_bytes(image[1])
        _beside(self._path, "-shm").unlink(missing_ok=True)


def torn(before: bytes, after: bytes, chance: Random) -> bytes:
    """A file on its way from `before` to `after`: each sector is one or the other, and the end came late or not."""
    size = chance.choice((len(before), len(after))) if len(after) > len(before) else len(before)
    found = bytearray()
    for at in range(0, size, SECTOR_BYTES):
        end = min(at + SECTOR_BYTES, size)
        old, new = before[at:end].ljust(end - at, b"\0"), after[at:end].ljust(end - at, b"\0")
        found += old if old == new or chance.random() < 0.5 else new
    return bytes(found)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
