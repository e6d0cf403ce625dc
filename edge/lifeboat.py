"""What a terminal does while its disk does not save: it says so, shows what it last knew, and still calls for help.

The law: nothing looks saved that is not. The file is let go of after its first failure and never asked for the same again;
what a crew must be able to read is in memory, where whatever would write is refused. When the disk takes writes again
everything is opened anew, and nobody has to do anything.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Protocol, TypeVar

import structlog
from msgspec import Struct
from sqlite_utils import Database

from edge.settings import SettingsError
from edge.store import Store, StoreGone
from wire.fix import Fix

RAM = Path("/dev/shm")  # noqa: S108  # a folder of our own is made in it, readable by us alone
PROBE_FILE = ".saves"
PROBE_BYTES = 64 * 1024  # a disk with less room than this takes no note
LOOK_S_MIN, LOOK_S_MAX = 5.0, 60.0  # how often to see whether the disk is good again; a sick one is not worn out
HUNG_S_MAX = 10.0  # a write that takes this long is none: the watchdog must not find out first
READABLE = ("log", "held", "press", "shift", "emergency", "fact")  # small; notes and records stay where they are

_SALVAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NOT_SAVING = (
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_BUSY,  # somebody holds the file: to a crew that is the same
    sqlite3.SQLITE_LOCKED,
)
_DISK = (errno.EIO, errno.EROFS, errno.ENOENT, errno.ENOSPC, errno.ENODEV, errno.ENXIO, errno.EDQUOT, errno.ESTALE)

T = TypeVar("T")
log = structlog.get_logger()


class Start(StrEnum):
    """What to do about a database that does not open, or let go of its work: rescue what reads, do without, or end."""

    SALVAGE = "salvage"
    NOT_SAVING = "not saving"
    REFUSE = "refuse"


def how_to_start(wrong: BaseException) -> Start:
    """What the error, or whatever caused it, asks for. Where nothing speaks of a disk a person has to look."""
    cause: BaseException | None = wrong
    while cause is not None:
        code = getattr(cause, "sqlite_errorcode", None)
        if isinstance(cause, sqlite3.Error) and code is not None:
            if code & 0xFF in _SALVAGE:
                return Start.SALVAGE
            if code & 0xFF in _NOT_SAVING:
                return Start.NOT_SAVING
        if isinstance(cause, StoreGone) or (isinstance(cause, OSError) and cause.errno in _DISK):
            return Start.NOT_SAVING
        cause = cause.__cause__
    return Start.REFUSE


def in_words(wrong: BaseException) -> str:
    """Why the disk does not save, in a few words for a person."""
    cause: BaseException | None = wrong
    while cause is not None:
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        number = cause.errno if isinstance(cause, OSError) else None
        if code == sqlite3.SQLITE_FULL or number in (errno.ENOSPC, errno.EDQUOT):
            return "the disk is full"
        if code == sqlite3.SQLITE_READONLY or number == errno.EROFS:
            return "the disk cannot be written"
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return "another program holds the files"
        if code == sqlite3.SQLITE_CANTOPEN or number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            return "the disk is not there"
        cause = cause.__cause__
    return "the disk has failed"


class Seen(Struct, frozen=True):
    """What a ledger said when it was last written, without what is large. `number`: a later one is newer."""

    number: int
    schema: tuple[str, ...]
    rows: Mapping[str, tuple[tuple[object, ...], ...]]


def seen(db: Database, number: int = 0) -> Seen:
    """The part of the ledger that a crew must be able to read; inside the caller's transaction."""
    made: list[tuple[str]] = db.execute(
        "select sql from sqlite_master where type = 'table' and name not like 'sqlite_%' and sql is not null"
    ).fetchall()
    return Seen(
        number=number,
        schema=tuple(sql for (sql,) in made),
        rows={table: tuple(db.execute(f"select * from {table}").fetchall()) for table in READABLE},  # noqa: S608
    )


def read_in_memory(file: Path, opened: Callable[[Path], Store]) -> Seen:
    """What the ledger `file` says although it cannot be written, or an empty one; opened as a copy in memory.

    A copy, because a database with a write-ahead log cannot be opened where nothing can be written. `opened` is told
    where the copy is.
    """
    with TemporaryDirectory(dir=RAM if RAM.is_dir() else None, prefix="tandem-") as folder:
        copy = Path(folder, file.name)
        try:
            copyfile(file, copy)
            with suppress(FileNotFoundError):
                copyfile(f"{file}-wal", f"{copy}-wal")
            with _opened(copy, opened) as store:
                return store.do(seen)
        except (OSError, SettingsError, StoreGone, sqlite3.Error) as wrong:
            log.warning("ledger_not_readable", why=type(wrong).__name__)
        with _opened(Path(folder, "empty.db"), opened) as store:
            return store.do(seen)


@contextmanager
def _opened(file: Path, opened: Callable[[Path], Store]) -> Iterator[Store]:
    store = opened(file)
    try:
        yield store
    finally:
        if store.is_alive:
            store.close()


def read_from_disk(*files: Path) -> None:
    """Forget what the kernel remembers of these files, so that what is read next is what the disk holds.

    After a write that failed the kernel takes its own memory of the page for the truth and calls it clean. A log that
    went on behind such a page would end there after the next power cut.
    """
    for file in files:
        for name in (file, Path(f"{file}-wal")):
            try:
                descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue  # a new one, or a disk that is not back: opening the database will say which
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def probe(home: Path) -> None:
    """Nothing when a file written in `home` reaches the disk; SettingsError otherwise."""
    path = home / PROBE_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, bytes(PROBE_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.unlink()
    except OSError as wrong:
        raise SettingsError(f"{home} cannot be written: {wrong.strerror}.") from wrong


class Ledger:
    """The ledger to all who read it or save in it: the file while the disk takes it, after that what it last said.

    Any thread. `last`: what it says now; `why`: with no `store`, in a few words, why nothing is saved; `failed`: told when
    the disk does not do what it was asked.
    """

    def __init__(
        self,
        store: Store | None,
        last: Seen,
        why: str | None = None,
        *,
        failed: Callable[[BaseException], None] = lambda wrong: None,
    ) -> None:
        self._failed = failed
        self._guard = Lock()
        self._using = Lock()  # of the connection in memory
        self._store = store
        self._last = last
        self._why = why
        self._written = last.number
        self._memory = None if store is not None else _in_memory(last)

    @property
    def why(self) -> str | None:
        """Why nothing is saved, in a few words; None while everything is."""
        return self._why

    def do(self, work: Callable[[Database], T]) -> T:
        """As `Store.do`. While nothing is saved: what `work` returns if it only reads, else StoreGone."""
        store = self._store
        if store is None:
            return self._in_memory(work, may_write=False)
        try:
            value, last = store.do(lambda db: self._watched(db, work))
        except StoreGone:
            if self._store is store:
                raise
            return self._in_memory(work, may_write=False)  # it went down under us
        except sqlite3.Error as wrong:
            if wrong.sqlite_errorcode & 0xFF != sqlite3.SQLITE_FULL and how_to_start(wrong) is Start.NOT_SAVING:
                self._failed(wrong)  # a full disk still reads, and may have room for the next
            raise
        if last is not None:
            with self._guard:
                if last.number > self._last.number:
                    self._last = last
        return value

    def heard(self, work: Callable[[Database], T]) -> T:
        """What the hub says is shown although it cannot be saved: `work` may write, in memory. It is never answered."""
        if self._store is not None:
            return self.do(work)
        return self._in_memory(work, may_write=True)

    def sink(self, why: str) -> None:
        """Nothing is saved from now on. The first reason counts."""
        with self._guard:
            if self._store is not None:
                self._memory = _in_memory(self._last)
                self._store, self._why = None, why

    def float(self, store: Store) -> None:
        """Everything is saved again, in `store`."""
        last = store.do(self._look)
        with self._guard:
            self._last, self._store, self._why = last, store, None

    def _watched(self, db: Database, work: Callable[[Database], T]) -> tuple[T, Seen | None]:
        before = db.conn.total_changes
        value = work(db)
        return value, None if db.conn.total_changes == before else self._look(db)

    def _look(self, db: Database) -> Seen:
        """On the store's thread, where one works after the other; believed only after the commit."""
        self._written += 1
        return seen(db, self._written)

    def _in_memory(self, work: Callable[[Database], T], *, may_write: bool) -> T:
        memory = self._memory
        assert memory is not None
        with self._using:
            memory.execute(f"pragma query_only = {int(not may_write)}")
            memory.execute("begin")
            try:
                value = work(memory)
                if may_write:
                    memory.execute("delete from record")  # nobody sends them: they were never saved
                memory.execute("commit")
            except sqlite3.OperationalError as wrong:
                memory.conn.rollback()
                if wrong.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:
                    raise StoreGone(f"nothing is saved: {self._why}.") from None
                raise
            except BaseException:
                memory.conn.rollback()
                raise
            return value


class Heard(Struct, frozen=True):
    """The ledger for the hub's word while nothing is saved."""

    ledger: Ledger

    def do(self, work: Callable[[Database], T]) -> T:
        return self.ledger.heard(work)


class Trail(Protocol):
    """Where fixes are kept; each answers whether a record was stored."""

    def add(self, fix: Fix, read_s: float) -> bool: ...

    def flush(self) -> bool: ...


class TrailAfloat:
    """The trail for as long as the disk takes it. Then nothing of it is kept, and the receiver goes on being read."""

    def __init__(self) -> None:
        self._trail: Trail | None = None

    def keep(self, trail: Trail | None) -> None:
        """Fixes go there from now on; None: nowhere."""
        self._trail = trail

    def add(self, fix: Fix, read_s: float) -> bool:
        trail = self._trail
        return trail is not None and self._tried(lambda: trail.add(fix, read_s))

    def flush(self) -> bool:
        trail = self._trail
        return trail is not None and self._tried(trail.flush)

    def _tried(self, work: Callable[[], bool]) -> bool:
        try:
            return work()
        except (StoreGone, sqlite3.Error) as wrong:
            if how_to_start(wrong) is not Start.NOT_SAVING:
                raise
            self._trail = None
            log.warning("trail_not_saved", why=type(wrong).__name__)
            return False


def look_s(sinkings: int) -> float:
    """How long to wait before looking whether the disk is good again: longer each time it turned out not to be."""
    return min(LOOK_S_MAX, LOOK_S_MIN * 2.0 ** min(max(0, sinkings - 1), 8))


def _in_memory(last: Seen) -> Database:
    memory = Database(sqlite3.connect(":memory:", check_same_thread=False))
    memory.conn.executescript(";".join(last.schema))
    for table, rows in last.rows.items():
        for row in rows:
            memory.execute(f"insert into {table} values ({', '.join('?' * len(row))})", list(row))  # noqa: S608
    memory.execute(
        "insert or ignore into log (one, log_id, next, through, hub_epoch) values (1, randomblob(16), 1, 0, 0)"
    )
    memory.conn.commit()
    return memory
