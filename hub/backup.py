"""One file with everything that makes a hub come back: database, settings, keys, certificates, where the map came from.

The database is copied over the hub's one connection, a megabyte at a time, and given back to ingest between two: a second
connection on the live file is what the law of `hub.store` forbids. What is committed meanwhile goes into the copy as well,
so the copy is the hub at the moment it was finished. The file appears under its name when all of it is on the disk.

    tar: manifest.json, hub.db, hub.toml, keys/…, the console's own certificate and key, map.json

Sealed to the bench when the hub has the bench's `backup.pub` among its keys.
"""

from __future__ import annotations

import io
import os
import pwd
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from threading import Event, Lock
from typing import BinaryIO, cast

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from msgspec import Struct
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from hub import audit, store
from hub.settings import KEYS_FOLDER, MAPS_FOLDER, SETTINGS_FILE, Settings
from hub.store import DATABASE_FILE
from wire.keys import BACKUP_PUBLIC
from wire.sealed_file import Sealing

VERSION = 1
MANIFEST = "manifest.json"
MAP_NOTE = "map.json"
PART = ".part"
PAGE_BYTES = 4096  # SQLite's own choice, which nobody changes here
STEP_PAGES = 256  # 1 MiB: some milliseconds, which is how long a record may have to wait for its turn
REST_S_MIN = 0.002  # between two steps, so that whoever waits for the connection gets it
SYNC_BYTES = 8 << 20  # written through as it goes: otherwise a commit of ingest waits behind all of it at the end
CHUNK_BYTES = 1 << 20
SMALL_BYTES = 4 << 20  # all the rest of a backup: settings, keys, notes of a map
LEFT_BYTES_MIN = 64 << 20  # what a backup leaves free on the hub's own disk: records come first
SAY_S = 1.0
STOPPED = "the hub was told to stop before the backup was made; nothing was written"

Say = Callable[[str], None]


class BackupError(Exception):
    """There is no backup, or none was restored. The message is one sentence that says what to do."""


class Stopped(BackupError):
    """The hub was told to stop meanwhile."""


class Content(Struct, frozen=True, kw_only=True):
    """A file of a backup."""

    sha256: str
    size: int


class Manifest(Struct, frozen=True, kw_only=True):
    """The first file of a backup: whose it is, from when, and what must be in it. Times are Unix milliseconds."""

    v: int
    agency: str
    made_ms: int
    schema: str
    epoch: int
    records: int
    files: dict[str, Content]


class Made(Struct, frozen=True, kw_only=True):
    """A backup that is on the disk."""

    path: str
    size: int
    records: int
    is_sealed: bool
    took_s: float


class BackupParts(Struct, frozen=True, kw_only=True):
    """What a backup is made of. `stopping`: give up. `only`: two at a time would fill the disk for nothing."""

    engine: Engine
    home: Path
    settings: Settings
    now_ms: Callable[[], int]
    stopping: Event
    only: Lock


def make(parts: BackupParts, out: Path, by: str | None, say: Say) -> Made:
    """Write a backup to `out`, which must not exist, and audit it; BackupError when there is none, and nothing is left.

    `by`: who asked, None for the nightly one. `say` hears how far it is, once a second.
    """
    if not parts.only.acquire(blocking=False):
        raise BackupError("a backup is being made already; wait for it")
    try:
        made = _make(parts, out, say)
    except BackupError as wrong:
        with suppress(SQLAlchemyError):  # then that is what is wrong
            _note(parts, by, "backup_failed", out.name, audit.FAILED, str(wrong))
        raise
    finally:
        parts.only.release()
    how = "sealed to the bench" if made.is_sealed else "not sealed"
    _note(parts, by, "backup_made", out.name, audit.OK, f"{made.records} records, {made.size} bytes, {how}")
    return made


def usual_name(now_ms: int, kind: str = "hub") -> str:
    """What a backup of this moment is called; names sort by time."""
    return time.strftime(f"{kind}-%Y%m%dT%H%M%SZ.tandem-backup", time.gmtime(now_ms / 1000))


def user_name(uid: int) -> str:
    """The name of a user of this machine, or the number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- making one -------------------------------------------------------------------------------------------------------


def _make(parts: BackupParts, out: Path, say: Say) -> Made:
    began_s = time.monotonic()
    if out.exists():
        raise BackupError(f"{out} is there already; choose a new file")
    if not out.parent.is_dir():
        raise BackupError(f"{out.parent} is not a folder; make it first")
    database, part = out.with_name(f".{out.name}.db{PART}"), out.with_name(f".{out.name}{PART}")
    with _nothing_left((database, part), out.parent):
        recipient = _recipient(parts.home)
        _require_room(parts, out.parent)
        copy_database(parts.engine, database, Progress(say, "copying the database"), parts.stopping)
        _require_whole(database, parts.stopping)
        files = _files(parts, database)
        manifest = _manifest(parts, database, files)
        with _new(part) as file:
            _write(file, manifest, files, recipient, Progress(say, "writing the backup"), parts.stopping)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        part.rename(out)
        sync_folder(out.parent)
    return Made(
        path=str(out),
        size=size,
        records=manifest.records,
        is_sealed=recipient is not None,
        took_s=time.monotonic() - began_s,
    )


def copy_database(engine: Engine, into: Path, progress: Progress, stopping: Event) -> None:
    """Copy what `engine` has open to the new file `into`, never holding the connection longer than for a step."""
    turn = _Turn(engine)
    own = os.open(into, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    synced = 0

    def between(_status: int, remaining: int, total: int) -> None:
        nonlocal synced
        held_s = turn.end()
        if stopping.is_set():
            raise Stopped(STOPPED)
        progress.at(total - remaining, total)
        copied = (total - remaining) * PAGE_BYTES
        if copied - synced >= SYNC_BYTES:
            os.fdatasync(own)
            synced = copied
        stopping.wait(max(REST_S_MIN, held_s))  # as long as the step took: ingest has at least half of the time
        turn.begin()

    try:
        with closing(sqlite3.connect(into, isolation_level=None)) as target:
            for pragma in ("journal_mode = off", "synchronous = off"):  # nobody sees this file before it is whole
                target.execute(f"pragma {pragma}")
            source = turn.begin()
            try:
                source.backup(target, pages=STEP_PAGES, progress=between)
            finally:
                turn.end()
        os.fsync(own)
    finally:
        os.close(own)


class _Turn:
    """The hub's one connection: ours for a step, then whoever's turn it is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._source: sqlite3.Connection | None = None
        self._give_back: Callable[[], None] | None = None
        self._began_s = 0.0

    def begin(self) -> sqlite3.Connection:
        """Wait for the connection."""
        borrowed = self._engine.raw_connection()
        source = borrowed.driver_connection
        assert isinstance(source, sqlite3.Connection)
        if self._source not in (None, source):
            borrowed.close()
            raise BackupError("the database was opened anew meanwhile; make the backup again")
        self._source, self._give_back, self._began_s = source, borrowed.close, time.monotonic()
        return source

    def end(self) -> float:
        """Give it back, if it is ours; for how many seconds we had it."""
        if self._give_back is None:
            return 0.0
        held_s = time.monotonic() - self._began_s
        give_back, self._give_back = self._give_back, None
        give_back()
        return held_s


class Progress:
    """Says how far something is, once a second, and nothing of what is over sooner."""

    def __init__(self, say: Say, what: str) -> None:
        self._say, self._what, self._said_s = say, what, time.monotonic()

    def at(self, done: int, whole: int) -> None:
        """So much of it is done."""
        if whole:
            self.on(f"{100 * done // whole} %")

    def on(self, how: str) -> None:
        """It goes on."""
        now_s = time.monotonic()
        if now_s - self._said_s >= SAY_S:
            self._said_s = now_s
            self._say(f"{self._what}: {how}")


def _require_room(parts: BackupParts, folder: Path) -> None:
    """Room for the copy and for the file made of it, and what ingest needs besides when it is the hub's own disk."""
    database = parts.home / DATABASE_FILE
    needed = 2 * database.stat().st_size + SMALL_BYTES
    if folder.stat().st_dev == database.stat().st_dev:
        needed += LEFT_BYTES_MIN
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BackupError(
            f"{folder} has {free >> 20} MB free and a backup needs {-(-needed >> 20)} MB; make room or choose another folder"
        )


def _require_whole(database: Path, stopping: Event) -> None:
    with closing(sqlite3.connect(database)) as copy:
        copy.set_progress_handler(stopping.is_set, 100_000)
        try:
            (found,) = copy.execute("pragma quick_check(1)").fetchone()
        except sqlite3.OperationalError:
            if not stopping.is_set():
                raise
            raise Stopped(STOPPED) from None
    if found != "ok":
        raise BackupError(
            f"the hub's database is damaged ({found}); keep the backups you have, and restore one of them"
        )


def _files(parts: BackupParts, database: Path) -> dict[str, Path]:
    """What goes into a backup, by its name in it. tls/ does not: the hub makes it anew from its keys at every start."""
    home, console = parts.home, parts.settings.console
    found = {DATABASE_FILE: database, SETTINGS_FILE: home / SETTINGS_FILE}
    found |= {f"{KEYS_FOLDER}/{key.name}": key for key in sorted((home / KEYS_FOLDER).iterdir()) if key.is_file()}
    for name in (console.certificate, console.key):
        if name is not None and is_inside(name):
            found[name] = home / name
    streets = home / MAPS_FOLDER / "current" / "map.json"
    if streets.is_file():
        found[MAP_NOTE] = streets
    return found


def is_inside(name: str) -> bool:
    """Whether `name` is a path inside a home, said in the one way a path can be said."""
    path = Path(name)
    return name == path.as_posix() and not path.is_absolute() and ".." not in path.parts and name not in ("", ".")


def _manifest(parts: BackupParts, database: Path, files: dict[str, Path]) -> Manifest:
    with closing(sqlite3.connect(database)) as copy:
        (schema,) = copy.execute("select version_num from alembic_version").fetchone()
        (records,) = copy.execute("select count(*) from record").fetchone()
        epoch = copy.execute("select value from hub_fact where name = 'epoch'").fetchone()
    return Manifest(
        v=VERSION,
        agency=parts.settings.agency,
        made_ms=parts.now_ms(),
        schema=str(schema),
        epoch=1 if epoch is None else int(epoch[0]),
        records=int(records),
        files={name: Content(sha256=digest(path), size=path.stat().st_size) for name, path in files.items()},
    )


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        found = sha256()
        while chunk := file.read(CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def _write(
    file: BinaryIO,
    manifest: Manifest,
    files: dict[str, Path],
    recipient: ec.EllipticCurvePublicKey | None,
    progress: Progress,
    stopping: Event,
) -> None:
    whole = sum(content.size for content in manifest.files.values())
    written = synced = 0

    def passed(data: bytes) -> bytes:
        nonlocal written, synced
        written += len(data)
        if stopping.is_set():
            raise Stopped(STOPPED)
        if written - synced >= SYNC_BYTES:
            os.fdatasync(file.fileno())
            synced = written
        progress.at(written, whole)
        return data

    sealing = None if recipient is None else Sealing(file, recipient)
    target = cast(BinaryIO, sealing or file)  # tarfile does nothing with a stream but write
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        described = msgspec.json.format(msgspec.json.encode(manifest))
        tar.addfile(_entry(MANIFEST, len(described), manifest), io.BytesIO(described))
        for name, path in files.items():
            with path.open("rb") as source:
                tar.addfile(_entry(name, manifest.files[name].size, manifest), _Passing(source, passed))
    if sealing is not None:
        sealing.finish()


class _Passing(io.RawIOBase):
    """A file whose bytes are seen as they are read."""

    def __init__(self, file: BinaryIO, passed: Callable[[bytes], bytes]) -> None:
        self._file, self._passed = file, passed

    def read(self, size: int = -1, /) -> bytes:
        return self._passed(self._file.read(size))


def _entry(name: str, size: int, manifest: Manifest) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, manifest.made_ms // 1000
    return entry


def _recipient(home: Path) -> ec.EllipticCurvePublicKey | None:
    """The bench's key, when there is one; a file that is not one is refused, or backups would silently be open."""
    path = home / KEYS_FOLDER / BACKUP_PUBLIC
    try:
        key = load_pem_public_key(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise BackupError(f"{path} is not the file that `tandem-fleet backup key` made; copy it anew, or remove it")
    return key


@contextmanager
def _nothing_left(parts: tuple[Path, ...], folder: Path) -> Iterator[None]:
    """A full disk is a sentence, and what was begun is gone whatever happened; also what a killed hub had begun."""
    _remove(parts)
    try:
        yield
    except (OSError, sqlite3.Error, SQLAlchemyError) as wrong:
        why = wrong.strerror if isinstance(wrong, OSError) and wrong.strerror else str(wrong)
        raise BackupError(f"{folder} does not take the backup ({why}); make room or choose another folder") from None
    finally:
        _remove(parts)


def _remove(parts: tuple[Path, ...]) -> None:
    for path in parts:
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def _new(path: Path) -> Iterator[BinaryIO]:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        yield file


def _note(parts: BackupParts, by: str | None, what: str, about: str, outcome: str, reason: str) -> None:
    with parts.engine.begin() as connection:
        number = audit.append(connection, parts.now_ms(), "hub", by, what, about, outcome, reason)
        store.keep_fact(connection, audit.NO_BACKUP, 0 if outcome == audit.OK else number)
