"""Where damaged files stand: whole, beside what was salvaged of them, until the hub has it all or a person has looked.

A folder a damage, with the file, its journal, what was wrong with it and, once it is salvaged, what came of it. One whose
salvage was cut short is found here at the next start.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import structlog
from msgspec import Struct

from edge import outbox
from edge.damage import beside
from edge.store import Store
from wire.codec import Malformed, decode, encode

FOLDER = "damaged"
PUT_ASIDE_MAX = 3  # a card that breaks more often is replaced; the newest evidence is the one to look at
_DAMAGE, _RESCUED, _DONE = "damage", "rescued", "done"
_UNKNOWN = "it could not be read"  # also when the power went before it was written down

log = structlog.get_logger()


class Rescued(Struct, frozen=True, kw_only=True):
    """What came of a damaged file, kept beside it. `log_id`: of the new log, of which the hub has to receipt everything
    through `through`; `records` were salvaged and `lost` could not be read; `at_ms`: wall time, for people."""

    log: str
    log_id: bytes
    through: int
    records: int
    lost: int
    damage: str
    at_ms: int


def put_aside(path: Path, damage: str) -> Path:
    """The folder in which the file now also stands, with its journal, whole, and with what is wrong with it in plain words.
    Links cost no room on a full disk."""
    parent = path.parent / FOLDER
    parent.mkdir(mode=0o700, exist_ok=True)
    taken = [int(folder.name.rpartition("-")[2].split(".")[0]) for folder in parent.glob(f"{path.stem}-*")]
    day = time.strftime("%Y-%m-%d", time.gmtime())
    folder = parent / f"{path.stem}-{day}-{max(taken, default=0) + 1:04}"  # the number orders, a board's clock may not
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    for source in (path, beside(path, "-wal")):
        if source.exists():
            _link(source, part / source.name)
    sync(part)
    part.rename(folder)
    sync(parent)
    log.error("file_damaged", file=path.name, damage=damage, kept=folder.name)
    _write(folder / _DAMAGE, damage.encode())
    return folder


def unfinished(path: Path) -> Path | None:
    """A file that was put aside and whose salvage was cut short."""
    for folder in sorted((path.parent / FOLDER).glob(f"{path.stem}-*")):
        if folder.suffix != ".part" and not (folder / _DONE).exists():
            return folder
    return None


def why(folder: Path) -> str:
    """What was wrong with the file in `folder`, in plain words."""
    with suppress(OSError):
        return (folder / _DAMAGE).read_text() or _UNKNOWN
    return _UNKNOWN


def rescued(folder: Path, what: Rescued) -> None:
    """`what` was salvaged, and the new file is about to take its place."""
    _write(folder / _RESCUED, encode(what))


def finished(folder: Path) -> None:
    """The new file has taken its place."""
    _write(folder / _DONE, b"")


def notice(home: Path) -> Rescued | None:
    """The newest damage that the hub has not yet receipted all of, or of which something is lost; for the screen."""
    found = [what for _, what in kept(home)]
    return max(found, key=lambda one: one.at_ms, default=None)


def tidy(home: Path, logs: Mapping[str, Store]) -> None:
    """Let go of what was put aside once the hub holds all that was salvaged from it and nothing was lost. The rest stays
    until a person has looked at it, at most a few."""
    for folder, what in kept(home):
        store = logs.get(what.log)
        if what.lost or store is None:
            continue
        now = store.do(outbox.numbers)
        if now.log_id == what.log_id and now.through >= what.through:
            log.info("damaged_file_let_go", file=folder.name)
            shutil.rmtree(folder)
    done = [folder for folder, _ in kept(home)]
    for folder in done[:-PUT_ASIDE_MAX]:
        shutil.rmtree(folder)


def kept(home: Path) -> list[tuple[Path, Rescued]]:
    """What is put aside and salvaged, the oldest first."""
    found: list[tuple[Path, Rescued]] = []
    for folder in sorted((home / FOLDER).glob("*-*"), key=lambda path: path.name.rpartition("-")[2]):
        with suppress(OSError, Malformed):
            if (folder / _DONE).exists():
                found.append((folder, decode((folder / _RESCUED).read_bytes(), Rescued)))
    return found


def clear(home: Path) -> int:
    """Let go of everything that was put aside and salvaged; how much there was."""
    found = kept(home)
    for folder, _ in found:
        shutil.rmtree(folder)
    return len(found)


def _link(source: Path, to: Path) -> None:
    try:
        os.link(source, to)
    except OSError:  # a file system without links
        shutil.copyfile(source, to)
        sync(to)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    sync(path.parent)


def sync(path: Path) -> None:
    """Return when the file, or the names in the folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
