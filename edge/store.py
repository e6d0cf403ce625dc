"""One SQLite file, one connection, one thread: what `do` has returned survives a power cut.

Two connections to one file can corrupt it (SQLite before 3.51.3), and a function that runs alone in one transaction
needs no lock of its own; so everybody queues here.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillWaiting
from pathlib import Path
from queue import Full, Queue
from threading import Thread, current_thread
from typing import TypeVar

from sqlite_utils import Database

from edge.schema import Step
from edge.settings import SettingsError

LOCK_FILE = "lock"
WAITING_MAX = 64  # more than there are threads that ask; a caller beyond waits, nobody outruns the disk
STRANGER_MS_MAX = 1000  # a tech's sqlite3 shell may hold the file this long; then the terminal would rather start again
ASK_AGAIN_S = 1.0  # how soon a caller notices that the thread behind the queue is gone

T = TypeVar("T")

_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "wal_autocheckpoint": 100, "secure_delete": 1}  # 2: FULL


class StoreGone(Exception):
    """The store's thread has ended; what was asked was not saved."""


class Store:
    """The file at `path`, brought to the last of `steps`. SettingsError when it cannot be used.

    `died` is called, on the store's own thread, when the disk let it down: the process must end then, because after a
    failed sync nobody knows what the kernel still holds, and asking again would only pretend.
    """

    def __init__(self, path: Path, steps: tuple[Step, ...], *, died: Callable[[str], None] = lambda why: None) -> None:
        self._path = path
        self._died = died
        self._jobs: Queue[Callable[[Database], None] | None] = Queue(WAITING_MAX)
        opened: Future[None] = Future()
        self._thread = Thread(target=self._run, args=(steps, opened), name=f"store-{path.stem}", daemon=True)
        self._thread.start()
        opened.result()

    @property
    def is_alive(self) -> bool:
        """Whether anything can still be saved."""
        return self._thread.is_alive()

    def do(self, work: Callable[[Database], T]) -> T:
        """What `work` returns, after everything it wrote is on the disk; its exception, after nothing was written.

        `work` runs on the store's thread inside one IMMEDIATE transaction; it must not wait for anything.
        """
        if current_thread() is self._thread:
            raise RuntimeError("a transaction cannot wait for another one")
        answer: Future[T] = Future()

        def job(db: Database) -> None:
            try:
                value = _in_transaction(db, work)
            except BaseException as wrong:
                answer.set_exception(wrong)
                raise
            answer.set_result(value)

        self._ask(job)
        while True:
            try:
                return answer.result(timeout=ASK_AGAIN_S)
            except StillWaiting:
                if not self.is_alive and not answer.done():
                    raise StoreGone(f"{self._path.name} is closed; nothing was saved.") from None

    def close(self) -> None:
        """Everything asked before this is done, then the file is closed."""
        self._ask(None)
        self._thread.join()

    def _ask(self, job: Callable[[Database], None] | None) -> None:
        while True:
            if not self.is_alive:
                raise StoreGone(f"{self._path.name} is closed; nothing was saved.")
            try:
                return self._jobs.put(job, timeout=ASK_AGAIN_S)
            except Full:
                continue

    def _run(self, steps: tuple[Step, ...], opened: Future[None]) -> None:
        try:
            db = _open(self._path, steps)
        except BaseException as wrong:
            opened.set_exception(wrong)
            return
        opened.set_result(None)
        try:
            while (job := self._jobs.get()) is not None:
                try:
                    job(db)
                except Exception as wrong:  # the caller has it; here it only matters whether the disk is still good
                    if _is_disk_trouble(wrong):
                        self._died(f"{self._path.name}: {wrong}")
                        return
        finally:
            db.conn.close()


def lock_home(home: Path) -> int:
    """A lock on `home` for as long as this process lives; SettingsError when another one has it."""
    try:
        descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as wrong:
        raise SettingsError(f"{home} cannot be used: {wrong.strerror}.") from None
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


def _in_transaction(db: Database, work: Callable[[Database], T]) -> T:
    db.execute("begin immediate")
    try:
        value = work(db)
        db.execute("commit")
    except BaseException:
        db.rollback()
        raise
    return value


def _open(path: Path, steps: tuple[Step, ...]) -> Database:
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
        raise SettingsError(
            f"{path} does not open as a database ({wrong}): move it aside, keep it, and start again."
        ) from None
    return db


def _set_pragmas(db: Database, path: Path) -> None:
    for name, wanted in _PRAGMAS.items():
        db.conn.execute(f"pragma {name} = {wanted}")
        row: tuple[int | str] = db.conn.execute(f"pragma {name}").fetchone()
        if row[0] != wanted:
            raise SettingsError(f"{path}: this SQLite will not set {name} to {wanted}, so nothing would be safe there.")


def _is_disk_trouble(wrong: Exception) -> bool:
    """Whether SQLite says that the disk failed, as opposed to a statement that was wrong or a disk that is full."""
    code = getattr(wrong, "sqlite_errorcode", None)
    if not isinstance(wrong, sqlite3.Error) or code is None:
        return False
    return code & 0xFF in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY)
