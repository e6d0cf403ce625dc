"""The hub's SQLite file: one process, one connection, every commit on the disk before anybody is told.

One connection at a time is the law, not an economy: it is what keeps SQLite's write-ahead log safe before 3.51.3, and
what makes "one transaction" mean the same for ingest, console and bench. So a transaction is short, and nobody waits
for a network inside one.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, create_engine, event, func, insert, inspect, select, text, update
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError, TimeoutError

from hub import schema
from hub.settings import SettingsError
from hub.turns import InTurn

DATABASE_FILE = "hub.db"
LOCK_FILE = "lock"
NEWEST = "0007"  # of the steps in hub/migrations; a test says when it is not
WAIT_S = 20.0  # for the one connection; a transaction takes milliseconds, so this is only ever reached by a fault
EPOCH = "epoch"
OLD_BOOTS = "old_boots"  # the last row of `boot` that came back with a backup
FAILS = (DBAPIError, TimeoutError)  # locked, full or gone; or so many wait for a locked one that our turn never came

_PRAGMAS: dict[str, str | int] = {
    "journal_mode": "wal",
    "synchronous": 2,  # full
    "wal_autocheckpoint": 100,
    "secure_delete": 1,
    "foreign_keys": 1,
}


class _RawConnection(Protocol):
    isolation_level: str | None

    def execute(self, sql: str, /) -> _RawCursor: ...


class _RawCursor(Protocol):
    def fetchone(self) -> tuple[str | int, ...] | None: ...


def open_store(home: Path) -> Engine:
    """The database of the hub at `home`, locked for this process and migrated.

    SettingsError when another process has it, or when it was written by a newer program. `engine.dispose()` lets go.
    """
    lock = hold(home)
    # What is made beside it (write-ahead log, shared memory) takes its mode from the file: names and places stand there.
    os.close(os.open(home / DATABASE_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    engine = create_engine(
        f"sqlite:///{home / DATABASE_FILE}",
        poolclass=InTurn,
        pool_size=1,
        max_overflow=0,
        pool_timeout=WAIT_S,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _opened)
    event.listen(engine, "begin", _Begin(home / DATABASE_FILE))
    event.listen(engine, "engine_disposed", lambda _: os.close(lock), once=True)
    try:
        _bring_to_newest(engine, home / DATABASE_FILE)
    except SettingsError:
        engine.dispose()
        raise
    except DatabaseError as wrong:
        engine.dispose()
        raise SettingsError(f"{home / DATABASE_FILE} does not open: {wrong.orig}") from None
    return engine


def _bring_to_newest(engine: Engine, file: Path) -> None:
    with engine.begin() as connection:
        if _step(connection) == NEWEST:
            return
        from hub.migrate import NewerFile, migrate  # slow to load, and hardly ever needed

        try:
            migrate(connection)
        except NewerFile:
            raise SettingsError(f"{file} was written by a newer Tandem; install that one") from None


def _step(connection: Connection) -> str | None:
    """The last step that the file has taken; None for a new one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar()


def why(wrong: DBAPIError | TimeoutError) -> str:
    """What one of `FAILS` says, without the statement that met it."""
    return str(wrong.orig) if isinstance(wrong, DBAPIError) else "others wait for it, too"


def epoch(connection: Connection) -> int:
    """The hub's state epoch: it rises when the hub was restored from a backup."""
    return fact(connection, EPOCH) or 1


def raise_epoch(connection: Connection, at_least: int = 0) -> int:
    """Begin a new state epoch, and say which. What was heard of the power-ons so far is from before it."""
    new = max(epoch(connection) + 1, at_least)
    keep_fact(connection, EPOCH, new)
    keep_fact(connection, OLD_BOOTS, connection.execute(select(func.max(schema.boot.c.id))).scalar() or 0)
    return new


def fact(connection: Connection, name: str) -> int | None:
    """A number that the hub keeps for itself; None when it never did."""
    found = connection.execute(select(schema.hub_fact.c.value).where(schema.hub_fact.c.name == name)).scalar()
    return None if found is None else int(found)


def keep_fact(connection: Connection, name: str, value: int) -> None:
    """Keep a number in place of the one before."""
    table = schema.hub_fact
    if connection.execute(update(table).where(table.c.name == name).values(value=value)).rowcount == 0:
        connection.execute(insert(table).values(name=name, value=value))


@contextmanager
def all_or_nothing(connection: Connection) -> Iterator[None]:
    """What is done in here is undone when it raises, and nothing that was done before. Not in itself.

    A plain savepoint: the library's own builds and tracks a transaction object, and every small record needs one.
    """
    connection.exec_driver_sql("savepoint here")
    try:
        yield
    except BaseException:
        connection.exec_driver_sql("rollback to here")
        raise
    finally:
        connection.exec_driver_sql("release here")


def newest_record(connection: Connection) -> int:
    """The id of the newest record, 0 when there is none."""
    return int(connection.execute(select(func.max(schema.record.c.id))).scalar() or 0)


def hold(home: Path) -> int:
    """The lock on `home`, ours until it is closed; SettingsError when another process has it."""
    if not home.is_dir():
        raise SettingsError(f"{home} is not a folder; make the hub's home with: tandem-hub init --home {home}")
    lock = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise SettingsError(f"another tandem-hub is using {home}; stop it first") from None
    return lock


def _opened(raw: _RawConnection, _record: object) -> None:
    raw.isolation_level = None  # the driver must not begin for us
    for pragma, wanted in _PRAGMAS.items():
        raw.execute(f"pragma {pragma} = {wanted}")
        row = raw.execute(f"pragma {pragma}").fetchone()
        if row != (wanted,):
            raise SettingsError(f"SQLite does not take {pragma} = {wanted}; is the hub's home on a local disk?")


class _Begin:
    """Begins a transaction, in the file that was opened and in no other.

    SQLite goes on writing to a file that was deleted, or whose folder was moved away or unmounted, and every commit in
    it returns (seen: receipts for records that no file held). So each transaction first looks whether the file is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = self._now()

    def __call__(self, connection: Connection) -> None:
        if self._now() != self._opened:
            why = f"{self._path} is not the file that was opened any more"
            raise OperationalError("begin", None, sqlite3.OperationalError(why))
        connection.exec_driver_sql("begin immediate")

    def _now(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino
