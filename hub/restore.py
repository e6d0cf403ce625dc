"""A backup becomes a hub again: verified whole before anything is touched, the hub of before moved aside, never deleted.

A restored hub begins a new state epoch. That is how every terminal notices: it sends again what it still holds, and lets
go of what only the lost days knew. The epoch is at least the clock in seconds, so that the same backup restored twice does
not make the same epoch twice; terminals that had seen the first would then neither send again nor take what is sent.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, BinaryIO

import msgspec
from cryptography import x509
from msgspec import Struct
from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from hub import audit, schema, store, tokens
from hub.backup import (
    CHUNK_BYTES,
    MANIFEST,
    MAP_NOTE,
    VERSION,
    BackupError,
    Content,
    Manifest,
    Progress,
    Say,
    is_inside,
    sync_folder,
)
from hub.ca import CRL_FILE, open_ca
from hub.settings import MAPS_FOLDER, SETTINGS_FILE, TLS_FOLDER, load
from hub.store import DATABASE_FILE
from wire import typed
from wire.sealed_file import MAGIC

MANIFEST_BYTES_MAX = 1 << 20
TICK_STEPS = 1_000_000  # of SQLite's machine: some hundredths of a second


class Restored(Struct, frozen=True, kw_only=True):
    """A hub that came back. `aside`: where the one of before is, if there was one; `revoked`: devices revoked after the
    backup that stay revoked, because the old home still knew; `map_name`: of the map to import again, if it is gone."""

    manifest: Manifest
    epoch: int
    aside: Path | None
    revoked: tuple[str, ...]
    map_name: str | None


def restore(file: Path, home: Path, by: str, now_ms: int, say: Say) -> Restored:
    """Make `home` the hub in `file`; BackupError or SettingsError when it cannot be, and then nothing has changed."""
    home = home.resolve()
    try:
        with _old_home(home) as is_old:
            return _restore(file, home, is_old, by, now_ms, say)
    except (OSError, sqlite3.Error, SQLAlchemyError) as wrong:
        why = wrong.strerror if isinstance(wrong, OSError) and wrong.strerror else str(wrong)
        raise BackupError(f"{home} cannot be restored ({why}); nothing was changed") from None


def _restore(file: Path, home: Path, is_old: bool, by: str, now_ms: int, say: Say) -> Restored:
    new = home.with_name(f".{home.name}.restoring")
    shutil.rmtree(new, ignore_errors=True)  # of a restore that was cut
    new.mkdir(mode=0o700, parents=True)
    try:
        manifest = unpack(file, new, say)
        _require_sound(new, manifest, say)
        revoked, epoch = _begin_anew(new, home if is_old else None, manifest, by, now_ms)
        map_name = _map_name(new)
        if is_old and _carry(home, new):
            map_name = None
        aside = _move_aside(home, now_ms) if is_old else None
        _put(home, new, aside)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return Restored(manifest=manifest, epoch=epoch, aside=aside, revoked=revoked, map_name=map_name)


def what_next(restored: Restored, home: Path) -> list[str]:
    """What was done and what happens now, for the person who did it."""
    manifest = restored.manifest
    when = datetime.fromtimestamp(manifest.made_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M %Z")
    lines = [f"{home} is the hub of {manifest.agency} as it was on {when}, with {manifest.records} records."]
    if restored.aside is not None:
        lines.append(f"The hub that was there is in {restored.aside}. Delete it when you are sure.")
    lines += [
        f"Start it: tandem-hub serve --home {home}",
        "Terminals notice by themselves, send again what they hold (72 hours), and drop assignments made since.",
        "What no terminal holds any more is shown at the console, as an alarm.",
        f"Lost is what only the hub knew since {when}: incidents, assignments, releases, accounts, passwords, the roster.",
        "Open incidents that still run again, and send their units again.",
        "Enroll again what was enrolled since, and make new bundles: those that were open are void.",
    ]
    if restored.revoked:
        lines.append(f"Still revoked, though the backup is older: {', '.join(restored.revoked)}.")
    if restored.aside is None:
        lines.append("Revoke again what was revoked since, devices and tokens: this folder had no hub that could say.")
    if restored.map_name is not None:
        lines.append(f"The street map is not in a backup. Import it again: {restored.map_name}")
    return lines


# --- out of the file --------------------------------------------------------------------------------------------------


def unpack(file: Path, into: Path, say: Say) -> Manifest:
    """Write what is in `file` into the folder `into`, each file compared with the manifest; BackupError when one differs."""
    try:
        with file.open("rb") as data:
            if data.read(len(MAGIC)) == MAGIC:
                raise BackupError(
                    f"{file} is sealed to the bench; open it there first: tandem-fleet backup open {file.name}"
                )
            data.seek(0)
            progress = Progress(say, "reading the backup")
            with tarfile.open(fileobj=data, mode="r|") as tar:
                return _unpack(tar, into, file.stat().st_size, data, progress)
    except FileNotFoundError:
        raise BackupError(f"{file} is not there; name a file that `tandem-hub backup` made") from None
    except (tarfile.TarError, msgspec.DecodeError, EOFError):
        raise BackupError(
            f"{file} is not a whole backup of a hub: it was cut, or is another file; take another"
        ) from None


def _unpack(tar: tarfile.TarFile, into: Path, size: int, data: BinaryIO, progress: Progress) -> Manifest:
    manifest: Manifest | None = None
    missing: dict[str, Content] = {}
    for entry in tar:
        source = tar.extractfile(entry) if entry.isfile() else None
        if manifest is None:
            if entry.name != MANIFEST or source is None or entry.size > MANIFEST_BYTES_MAX:
                raise tarfile.ReadError
            manifest = typed.json(source.read(), Manifest)
            if manifest.v != VERSION:
                raise BackupError("this backup was made by a newer Tandem; install that one")
            missing = dict(manifest.files)
            continue
        content = missing.pop(entry.name, None)
        if content is None or source is None or not is_inside(entry.name):
            raise tarfile.ReadError
        _write(into / entry.name, _counted(source, progress, data, size), content)
    if manifest is None or missing:
        raise tarfile.ReadError
    return manifest


def _write(path: Path, chunks: Iterable[bytes], content: Content) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found, written = sha256(), 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
        for chunk in chunks:
            found.update(chunk)
            written += out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    if (found.hexdigest(), written) != (content.sha256, content.size):
        raise BackupError(f"{path.name} in this backup is damaged; take another backup")


def _counted(source: IO[bytes], progress: Progress, data: BinaryIO, size: int) -> Iterator[bytes]:
    while chunk := source.read(CHUNK_BYTES):
        progress.at(data.tell(), size)
        yield chunk


# --- is it a hub? -----------------------------------------------------------------------------------------------------


def _require_sound(new: Path, manifest: Manifest, say: Say) -> None:
    absent = [name for name in (DATABASE_FILE, SETTINGS_FILE) if not (new / name).is_file()]
    if absent:
        raise BackupError(f"this backup has no {absent[0]}; take another backup")
    progress = Progress(say, "checking the database")

    def tick() -> int:
        progress.on("page by page")
        return 0

    with closing(sqlite3.connect(new / DATABASE_FILE)) as database:
        database.set_progress_handler(tick, TICK_STEPS)
        try:
            (found,) = database.execute("pragma integrity_check(1)").fetchone()
        except sqlite3.DatabaseError as wrong:
            found = str(wrong)
    if found != "ok":
        raise BackupError(f"the database in this backup is damaged ({found}); take another backup")
    settings = load(new)
    open_ca(new, settings)
    if settings.agency != manifest.agency:
        raise BackupError("the settings in this backup are another agency's than the backup; take another backup")


# --- a new life -------------------------------------------------------------------------------------------------------


def _begin_anew(new: Path, old: Path | None, manifest: Manifest, by: str, now_ms: int) -> tuple[tuple[str, ...], int]:
    """Migrate, begin the next epoch, and end what must not come back to life with the past."""
    serials = set() if old is None else _revoked_serials(old)
    gone = set() if old is None else _revoked_tokens(old)
    at_least = max(now_ms // 1000, 0 if old is None else _epoch_of(old) + 1)
    engine = store.open_store(new)
    try:
        with engine.begin() as connection:
            before = store.epoch(connection)
            epoch = store.raise_epoch(connection, at_least)
            revoked = _stay_revoked(connection, serials, now_ms)
            tokens.stay_revoked(connection, gone, now_ms)
            _end_sign_ins_and_bundles(connection, now_ms)
            newest = connection.execute(select(func.count()).select_from(schema.record)).scalar_one()
            made = datetime.fromtimestamp(manifest.made_ms / 1000, UTC).isoformat(timespec="seconds")
            reason = f"as of {made}, {newest} records, epoch {before} to {epoch}"
            number = audit.append(connection, now_ms, "hub", by, audit.RESTORED_LINE, None, audit.OK, reason)
            store.keep_fact(connection, audit.RESTORED, number)
            store.keep_fact(connection, audit.NO_BACKUP, 0)
            for device in revoked:
                audit.append(connection, now_ms, "hub", by, "device_stays_revoked", device, audit.OK)
    finally:
        engine.dispose()
    return revoked, epoch


def _stay_revoked(connection: Connection, serials: set[int], now_ms: int) -> tuple[str, ...]:
    """A backup from before a board was stolen must not let it in again."""
    device = schema.device
    rows = connection.execute(
        select(device.c.device, device.c.serial).where(device.c.serial.is_not(None), device.c.state != "revoked")
    )
    found = tuple(sorted(row.device for row in rows if int(row.serial, 16) in serials))
    connection.execute(
        update(device)
        .where(device.c.device.in_(found))
        .values(state="revoked", revoked_ms=now_ms, revoked_reason="revoked before the restore")
    )
    return found


def _revoked_tokens(old: Path) -> set[str]:
    """The tokens revoked in the hub that is moved aside; none when its database says nothing any more, or never had any."""
    try:
        with closing(sqlite3.connect(f"file:{(old / DATABASE_FILE).as_posix()}?mode=ro", uri=True)) as database:
            return {name for (name,) in database.execute("select name from api_token where revoked_ms is not null")}
    except sqlite3.Error:
        return set()


def _end_sign_ins_and_bundles(connection: Connection, now_ms: int) -> None:
    """Who was signed in signs in again; a bundle that was open then may have been used since, and is used once only."""
    bundle = schema.bundle
    connection.execute(delete(schema.web_session))
    connection.execute(update(bundle).where(bundle.c.used_ms.is_(None), bundle.c.exp_ms > now_ms).values(exp_ms=now_ms))


def _epoch_of(old: Path) -> int:
    """The state epoch of the hub that is moved aside; 0 when its database says nothing any more."""
    try:
        with closing(sqlite3.connect(f"file:{(old / DATABASE_FILE).as_posix()}?mode=ro", uri=True)) as database:
            found = database.execute("select value from hub_fact where name = ?", [store.EPOCH]).fetchone()
    except sqlite3.Error:
        return 0
    return 1 if found is None else int(found[0])


def _revoked_serials(old: Path) -> set[int]:
    try:
        held = x509.load_pem_x509_crl((old / TLS_FOLDER / CRL_FILE).read_bytes())
    except (OSError, ValueError):
        return set()
    return {entry.serial_number for entry in held}


# --- the folders ------------------------------------------------------------------------------------------------------


@contextmanager
def _old_home(home: Path) -> Iterator[bool]:
    """Whether there is a hub in `home`, which then is ours alone meanwhile; BackupError when there is something else."""
    if not home.exists() or (home.is_dir() and not any(home.iterdir())):
        yield False
        return
    if not (home / SETTINGS_FILE).is_file() and not (home / DATABASE_FILE).is_file():
        raise BackupError(f"{home} is not a hub's home and not empty; choose another folder")
    lock = store.hold(home)
    try:
        yield True
    finally:
        os.close(lock)


def _carry(old: Path, new: Path) -> bool:
    """Take the map and the backups along, as second names of the same files; whether there was a map."""
    for name in (MAPS_FOLDER, _backups_inside(new)):
        if name is not None and (old / name).is_dir() and not (old / name).is_symlink():
            shutil.copytree(old / name, new / name, symlinks=True, copy_function=_link)
    return (new / MAPS_FOLDER / "current").exists()


def _backups_inside(home: Path) -> str | None:
    """The folder of backups, when it is inside the home."""
    folder = load(home).backup.folder
    return folder if is_inside(folder) else None


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without second names
        shutil.copy2(source, target)


def _map_name(new: Path) -> str | None:
    """Which map the hub had: told to whoever restores it, and not kept, for the home has no streets."""
    note = new / MAP_NOTE
    if not note.is_file():
        return None
    try:
        described: dict[str, object] = typed.json(note.read_bytes(), dict[str, object])
    except msgspec.DecodeError:
        described = {}
    note.unlink()
    return f"{described.get('source', 'unknown')} (sha256 {str(described.get('sha256', 'unknown'))[:16]}…)"


def _move_aside(home: Path, now_ms: int) -> Path:
    stamp = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = home.with_name(f"{home.name}.before-restore-{stamp}")
    if aside.exists():
        raise BackupError(f"{aside} is there already; wait a second, and restore again")
    home.rename(aside)
    return aside


def _put(home: Path, new: Path, aside: Path | None) -> None:
    """The last step: until here, and if it fails, everything is as it was."""
    try:
        new.rename(home)
    except OSError:
        if aside is not None:
            aside.rename(home)
        raise
    sync_folder(home.parent)
