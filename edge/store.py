"""One SQLite file, one connection, one thread: what `do` has returned survives a power cut.

Two connections to one file can corrupt it (SQLite before 3.51.3), and a function that runs alone in one transaction
needs no lock of its own; so everybody queues here.

Nobody else has the file open meanwhile, not even to read. Then SQLite keeps the index of its journal in memory of its own
and not in a file that is mapped (`-shm`): a disk that is full or fails has no block behind such memory, and whoever
touches it is ended by the kernel (SIGBUS) before anything can be said or saved.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread, current_thread
from time import monotonic
from typing import Generic, Protocol, TypeVar

from sqlite_utils import Database

from edge.schema import Step
from edge.settings import SettingsError

LOCK_FILE = "lock"
SUSPECT = "-suspect"  # beside a file that was found damaged while it was used: the next start looks at all of it
STRANGER_MS_MAX = 1000  # a tech's sqlite3 shell may hold the file this long; then the terminal would rather start again
ASK_AGAIN_S = 1.0  # how soon a caller notices that the thread behind the queue is gone

T = TypeVar("T")

_PRAGMAS: dict[str, str | int] = {
    "locking_mode": "exclusive",  # before the journal is first looked at, or its index is mapped from a file
    "journal_mode": "wal",
    "synchronous": 2,  # FULL
    "wal_autocheckpoint": 100,
    "secure_delete": 1,
    # KiB of pages kept in memory, where SQLite would keep 2 MB a file: what is read is short and in order.
    "cache_size": -256,
}


class Damaged(SettingsError):
    """The file is not what was written: it can be salvaged, and not be used."""


class StoreGone(Exception):
    """Nothing can be saved there any more; what was asked was not saved."""


class Saves(Protocol):
    """A store, or who stands in for one: what `do` has returned is saved, and whoever cannot save raises StoreGone."""

    def do(self, work: Callable[[Database], T]) -> T: ...


class Store:
    """The file at `path`, brought to the last of `steps`. SettingsError when it cannot be used.

    `died` is called, on the store's own thread, when the disk let it down: this store ends then, because after a failed
    sync nobody knows what the kernel still holds, and asking again would only pretend. `spare`: whether room was made on
    a disk that is full; then what found none is done once more.
    """

    def __init__(
        self,
        path: Path,
        steps: tuple[Step, ...],
        *,
        died: Callable[[Exception], None] = lambda wrong: None,
        spare: Callable[[], bool] = lambda: False,
    ) -> None:
        self._path = path
        self._died = died
        self._spare = spare
        # Bounded by the threads there are: each asks for one thing and waits for it.
        self._jobs: SimpleQueue[Callable[[Database], None] | None] = SimpleQueue()
        self._began_s: float | None = None  # of the work that is being done
        self._is_abandoned = False
        opened: Future[None] = Future()
        self._thread = Thread(target=self._run, args=(steps, opened), name=f"store-{path.stem}", daemon=True)
        self._thread.start()
        opened.result()

    @property
    def is_alive(self) -> bool:
        """Whether anything can still be saved."""
        return self._thread.is_alive() and not self._is_abandoned

    @property
    def has_ended(self) -> bool:
        """Whether nothing here touches the file any more."""
        return not self._thread.is_alive()

    def busy_s(self) -> float:
        """For how long the work of this moment has lasted: a disk that hangs says nothing."""
        began_s = self._began_s
        return 0.0 if began_s is None else monotonic() - began_s

    def abandon(self) -> None:
        """Nobody waits for it any longer; what is asked already is not done. Returns at once, whatever hangs."""
        self._is_abandoned = True
        self._jobs.put(None)

    def do(self, work: Callable[[Database], T]) -> T:
        """What `work` returns, after everything it wrote is on the disk; its exception, after nothing was written.

        `work` runs on the store's thread inside one IMMEDIATE transaction; it must not wait for anything.
        """
        return self._done(lambda db: self._saved(db, work))

    def copy_to(self, path: Path) -> None:
        """Everything that was saved, as a new file at `path`; sqlite3.Error when it cannot be. Not yet synced.

        `path` is on the disk of the store itself, for what goes wrong there is taken for a fault of this one, and everybody
        waits meanwhile. Page by page: a file of many megabytes needs no memory of as many.
        """
        self._done(lambda db: _copy(db, path))

    def _done(self, work: Callable[[Database], T]) -> T:
        if current_thread() is self._thread:
            raise RuntimeError("a transaction cannot wait for another one")
        answer: _Answer[T] = _Answer()

        def job(db: Database) -> None:
            try:
                value = work(db)
            except BaseException as wrong:
                answer.fail(wrong)
                raise
            answer.give(value)

        self._ask(job)
        while not answer.is_there(ASK_AGAIN_S):
            if not self.is_alive and not answer.is_there(0):
                raise StoreGone(f"{self._path.name} is closed; nothing was saved.")
        return answer.value()

    def close(self) -> None:
        """Everything asked before this is done, then the file is closed."""
        self._ask(None)
        self._thread.join()

    def _ask(self, job: Callable[[Database], None] | None) -> None:
        if not self.is_alive:
            raise StoreGone(f"{self._path.name} is closed; nothing was saved.")
        self._jobs.put(job)

    def _saved(self, db: Database, work: Callable[[Database], T]) -> T:
        try:
            return _in_transaction(db, work)
        except sqlite3.Error as wrong:
            if not is_full(wrong) or not self._spare():
                raise
        return _in_transaction(db, work)

    def _run(self, steps: tuple[Step, ...], opened: Future[None]) -> None:
        try:
            db = open_file(self._path, steps)
        except BaseException as wrong:
            opened.set_exception(wrong)
            return
        opened.set_result(None)
        try:
            while (job := self._jobs.get()) is not None and not self._is_abandoned:
                self._began_s = monotonic()
                try:
                    job(db)
                except Exception as wrong:  # the caller has it; here it only matters whether the disk is still good
                    if is_damage(wrong):
                        _suspect(self._path)
                    if _is_disk_trouble(wrong):
                        self._died(wrong)
                        return
                finally:
                    self._began_s = None
        finally:
            db.conn.close()


class _Answer(Generic[T]):
    """What one caller waits for. A bare lock, because waking up from a Future took as long as the disk."""

    def __init__(self) -> None:
        self._waiting = Lock()
        self._waiting.acquire()
        self._value: list[T] = []
        self._wrong: BaseException | None = None

    def give(self, value: T) -> None:
        """The caller goes on with `value`."""
        self._value.append(value)
        self._waiting.release()

    def fail(self, wrong: BaseException) -> None:
        """The caller goes on with an exception."""
        self._wrong = wrong
        self._waiting.release()

    def is_there(self, within_s: float) -> bool:
        """Whether there is an answer by then."""
        return self._waiting.acquire(timeout=within_s)

    def value(self) -> T:
        """What was given; raises what went wrong."""
        if self._wrong is not None:
            raise self._wrong
        return self._value[0]


def lock_home(home: Path) -> int:
    """A lock on `home` for as long as this process lives; SettingsError when another one has it."""
    try:
        descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as wrong:
        raise SettingsError(f"{home} cannot be used: {wrong.strerror}.") from wrong
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise SettingsError(f"another tandem-edge is using {home}: stop it first.") from None
    return descriptor


def migrate(conn: sqlite3.Connection, steps: tuple[Step, ...], path: Path) -> None:
    """Bring the file to the last of `steps` in one transaction; SettingsError when only a newer program may use it.

    `user_version` counts the steps the file has taken. `application_id` is the lowest count a program must know to read
    and write it. Both stand on the first page, so a power cut leaves the file and what it says of itself at one step.
    """
    taken, known = _number(conn, "user_version"), len(steps)
    if taken == known:
        return
    if taken > known:
        lowest = _number(conn, "application_id")
        if not 0 < lowest <= known:
            raise SettingsError(f"{path} was written by a newer version of this program: install that one.")
        return
    marks = f"pragma user_version = {known}; pragma application_id = {_lowest_reader(steps)};"
    missing = " ".join(step.sql for step in steps[taken:])
    conn.executescript(f"begin immediate; {missing} {marks} commit;")


def _lowest_reader(steps: tuple[Step, ...]) -> int:
    """The newest step that is more than an addition: who knows that one may use the file."""
    return max((number for number, step in enumerate(steps, start=1) if not step.is_additive), default=1)


def _number(conn: sqlite3.Connection, pragma: str) -> int:
    row: tuple[int] = conn.execute(f"pragma {pragma}").fetchone()
    return row[0]


def is_full(wrong: Exception) -> bool:
    """Whether nothing was written because the disk is full; the store goes on, and so should whoever asked."""
    code = getattr(wrong, "sqlite_errorcode", None)
    return isinstance(wrong, sqlite3.Error) and code is not None and code & 0xFF == sqlite3.SQLITE_FULL


def _in_transaction(db: Database, work: Callable[[Database], T]) -> T:
    db.conn.execute("begin immediate")
    try:
        value = work(db)
        db.conn.execute("commit")
    except BaseException:
        db.rollback()
        raise
    return value


def _copy(db: Database, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as copy:
        copy.execute("pragma journal_mode = off")  # half of a copy is thrown away anyhow
        copy.execute("pragma synchronous = off")
        db.conn.backup(copy)


def open_file(path: Path, steps: tuple[Step, ...]) -> Database:
    """The file at `path`, as every part of the terminal uses it; Damaged or SettingsError when it cannot be."""
    db = Database(path)
    try:
        db.conn.execute(f"pragma busy_timeout = {STRANGER_MS_MAX}")
        _set_pragmas(db, path)
        migrate(db.conn, steps, path)
    except SettingsError:
        db.conn.close()
        raise
    except sqlite3.Error as wrong:
        db.conn.close()
        raise (Damaged if is_damage(wrong) else SettingsError)(
            f"{path} does not open as a database ({wrong}): move it aside, keep it, and start again."
        ) from wrong
    return db


def _set_pragmas(db: Database, path: Path) -> None:
    for name, wanted in _PRAGMAS.items():
        db.conn.execute(f"pragma {name} = {wanted}")
        row: tuple[int | str] = db.conn.execute(f"pragma {name}").fetchone()
        if row[0] != wanted:
            raise SettingsError(f"{path}: this SQLite will not set {name} to {wanted}, so nothing would be safe there.")


def is_damage(wrong: BaseException) -> bool:
    """Whether SQLite says that the file is not what it wrote."""
    code = getattr(wrong, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _suspect(path: Path) -> None:
    with suppress(OSError):  # on a disk that takes nothing any more the next start finds out by itself, or not at all
        path.with_name(path.name + SUSPECT).touch()


def _is_disk_trouble(wrong: Exception) -> bool:
    """Whether SQLite says that the disk failed, as opposed to a statement that was wrong or a disk that is full."""
    code = getattr(wrong, "sqlite_errorcode", None)
    if not isinstance(wrong, sqlite3.Error) or code is None:
        return False
    return code & 0xFF in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY)
