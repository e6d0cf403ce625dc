"""Something large is built in a folder of its own, and becomes the one in use in a single step when it is whole.

FOLDER/.lock         held while one is being built
FOLDER/.building-…   what is being built; swept away by the next build when its own was killed
FOLDER/<id>/         whole ones
FOLDER/current       → the one in use
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Say = Callable[[str], None]

HASH_CHUNK_BYTES = 1 << 20
CURRENT = "current"


class Busy(Exception):
    """Another process builds here."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One build at a time in `folder`, which is made; Busy when there is one. What a killed one left is swept away."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy from None
        for stale in folder.glob(".building-*"):
            shutil.rmtree(stale, ignore_errors=True)
        yield


@contextmanager
def becoming(whole: Path) -> Iterator[Path]:
    """A new folder that becomes `whole` when the block succeeds, and vanishes when it does not."""
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=whole.parent))
    try:
        yield building
        reach_disk(building)
        building.chmod(0o755)  # mkdtemp makes it private; a process of another user may read it
        shutil.rmtree(whole, ignore_errors=True)  # only a damaged one can be there
        building.rename(whole)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def point_current_at(folder: Path, id_: str) -> None:
    """`id_` is the one in use from now on."""
    fresh = folder / f".{CURRENT}-new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(id_)
    fresh.replace(folder / CURRENT)


def reach_disk(folder: Path) -> None:
    """What is current after a power cut must be whole."""
    for kept in folder.rglob("*"):
        if kept.is_file():
            with kept.open("rb") as file:
                os.fsync(file.fileno())


def sha256_of(path: Path) -> str:
    """The hash of a file that may be larger than memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def timed(say: Say, what: str) -> Iterator[None]:
    """Tell what begins, and how long it took."""
    say(f"{what} …")
    began_s = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - began_s:.1f} s")
