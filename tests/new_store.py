"""A new hub's file, made once in each process of tests: taking every step of the schema takes longer than most of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine

from hub.store import DATABASE_FILE, open_store


def lay_store(home: Path) -> Path:
    """The file of a hub that has heard nothing, in `home`."""
    file = home / DATABASE_FILE
    file.touch(mode=0o600, exist_ok=False)
    file.write_bytes(_new())
    return file


def new_store(home: Path) -> Engine:
    """The same, opened."""
    lay_store(home)
    return open_store(home)


@cache
def _new() -> bytes:
    with TemporaryDirectory() as folder:
        open_store(Path(folder)).dispose()
        return (Path(folder) / DATABASE_FILE).read_bytes()
