"""What is wrong with a file of the terminal, told from a copy of it in memory. Looks, and changes nothing.

The law: nothing that a damaged disk gives ends the program. SQLite reads what was copied and maps no page of the disk.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from edge import carving
from edge.schema import Step
from edge.store import SUSPECT, is_damage

RAM = Path("/dev/shm")  # noqa: S108  # a folder of our own is made in it, readable by us alone
_DISK = (
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
)

log = structlog.get_logger()


def damage_of(path: Path, steps: tuple[Step, ...]) -> str | None:
    """What is wrong with the file of `steps`, in plain words; None when nothing is. Reads all of it: see the decision for the cost."""
    if not path.exists():
        return None
    wal, suspect = beside(path, "-wal"), beside(path, SUSPECT)
    if wal.exists() and carving.read_wal(wal.read_bytes()).is_damaged:
        return "its journal is damaged"
    if path.stat().st_size == 0:
        return None  # the power went before anything was in it
    try:
        with read_only(path, Path.read_bytes) as conn:
            check = "integrity_check" if suspect.exists() else "quick_check"
            said: str = conn.execute(f"pragma {check}(1)").fetchone()[0]
            if said != "ok":
                return "its pages do not fit together"
            wrong = _other_schema(conn, steps) or _nonsense(conn)
    except sqlite3.DatabaseError as broken:
        code = getattr(broken, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _DISK:
            return None  # whoever opens it says what it is: a disk that is gone or full is no damaged file
        if not is_damage(broken):
            return "it says what cannot be"
        return "it is not a database" if path.stat().st_size % 512 == 0 else "it is cut or overwritten"
    except OSError as unread:  # the same; or memory has no room, and the file is used unseen
        log.warning("file_not_checked", file=path.name, why=unread.strerror)
        return None
    if wrong is None:
        suspect.unlink(missing_ok=True)
    return wrong


@contextmanager
def read_only(path: Path, read: Callable[[Path], bytes]) -> Iterator[sqlite3.Connection]:
    """The file and its journal as they are now, copied into memory by `read`: what is looked at is not changed, and SQLite
    maps nothing from a disk that may have no block behind it, which would end us (see `edge.store`)."""
    with TemporaryDirectory(dir=RAM if RAM.is_dir() else None, prefix="tandem-") as folder:
        copy = Path(folder, path.name)
        copy.write_bytes(read(path))
        if (wal := beside(path, "-wal")).exists():
            beside(copy, "-wal").write_bytes(read(wal))
        with closing(sqlite3.connect(f"file:{copy}?mode=ro", uri=True, isolation_level=None)) as conn:
            yield conn


def what_is_left(path: Path) -> bytes:
    """What the disk still gives of a file; a part that cannot be read counts as zeros."""
    read = bytearray()
    with suppress(OSError), path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        while len(read) < size:
            try:
                part = os.pread(file.fileno(), carving.PAGE_BYTES, len(read))
            except OSError:
                part = b""
            read += part or bytes(min(carving.PAGE_BYTES, size - len(read)))
    return bytes(read)


def beside(path: Path, suffix: str) -> Path:
    """The file of `suffix` that belongs to the one at `path`."""
    return path.with_name(path.name + suffix)


def _other_schema(conn: sqlite3.Connection, steps: tuple[Step, ...]) -> str | None:
    """What is wrong with what the file says of itself: its tables are not those that its steps make, though they read."""
    taken: int = conn.execute("pragma user_version").fetchone()[0]
    if taken > len(steps):  # a newer program's, unless everything but that number is ours
        is_ours = _tables(conn) == _tables_of(steps)
        return "its version is not the one of its tables" if is_ours else None
    return None if _tables(conn) == _tables_of(steps[:taken]) else "its tables are not the ones that were made"


def _tables_of(steps: tuple[Step, ...]) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        for step in steps:
            made.executescript(step.sql)
        return _tables(made)


def _tables(conn: sqlite3.Connection) -> set[tuple[str, str]]:
    rows = conn.execute("select name, coalesce(sql, '') from sqlite_schema where name not like 'sqlite_stat%'")
    return {(name, "".join(sql.replace('"', "").split())) for name, sql in rows}


def _nonsense(conn: sqlite3.Connection) -> str | None:
    """What cannot be although every page reads: numbers that would be given twice."""
    row = conn.execute("select count(*) from sqlite_schema where name in ('log', 'record')").fetchone()
    if row[0] != 2:
        return None  # new, or not ours: opening says so
    for upcoming, through in conn.execute("select next, through from log"):
        highest = conn.execute("select coalesce(max(seq), 0) from record").fetchone()[0]
        if not (isinstance(upcoming, int) and isinstance(through, int) and 0 <= through < upcoming > highest):
            return "its numbers contradict each other"
    return None
