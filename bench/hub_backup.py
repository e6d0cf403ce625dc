"""A backup of a hub with a million positions, and what ingest feels of it.

The database is made of signed trail records of ten fixes, as terminals send them. Then a thread takes one record every
20 ms through `hub.ingest.take`, each a transaction of its own on the disk, first alone, then while a backup is made.
Beside it, in the same run: the same copy made in one step, which is what `sqlite3`'s `.backup` does by default.
"""

from __future__ import annotations

import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click
from sqlalchemy import Engine

from bench.figures import say
from hub import backup, ingest, store
from hub.backup import BackupParts
from hub.ingest import Arrival, Marks
from hub.settings import Settings
from tests.hub_agency import NOW_MS, Agency, Terminal
from wire.records import Kind
from wire.trail import Trail, TrailPoint, pack

FIXES = 10  # to a record
BATCH = 500
EVERY_S = 0.02


@click.command()
@click.option("--positions", default=1_000_000, show_default=True)
def cli(positions: int) -> None:
    """Print seconds and megabytes of a backup, and milliseconds of ingest with and without it."""
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), positions)


def _measure(home: Path, positions: int) -> None:
    (home / "keys").mkdir()
    (home / "hub.toml").touch()
    agency = Agency(home)
    began_s = time.monotonic()
    for _ in range(positions // FIXES // BATCH):
        agency.take(*(agency.one.record(Kind.TRAIL, _trail(agency.one.seq)) for _ in range(BATCH)))
    say(f"{positions} positions taken in {time.monotonic() - began_s:.0f} s")
    size = (home / store.DATABASE_FILE).stat().st_size
    say(f"database {size / 1e6:.0f} MB, {size / positions:.0f} bytes a position, signatures, keys and indexes included")
    parts = BackupParts(
        engine=agency.engine,
        home=home,
        settings=Settings(agency="bench"),
        now_ms=lambda: NOW_MS,
        stopping=threading.Event(),
        only=threading.Lock(),
    )
    _beside("ingest alone, 10 s", agency, lambda: time.sleep(10))
    _beside("ingest beside a backup", agency, lambda: _said(parts, home / "one"))
    _beside("ingest beside a copy in one step", agency, lambda: _at_once(agency.engine, home / "two"))
    agency.engine.dispose()


def _said(parts: BackupParts, out: Path) -> None:
    made = backup.make(parts, out, None, say)
    say(f"backup: {made.took_s:.1f} s, {made.size / 1e6:.0f} MB, {made.records} records, checked")


def _at_once(engine: Engine, out: Path) -> None:
    borrowed = engine.raw_connection()
    source = borrowed.driver_connection
    assert isinstance(source, sqlite3.Connection)
    with closing(sqlite3.connect(out)) as target:
        source.backup(target)
    borrowed.close()


def _beside(what: str, agency: Agency, work: Callable[[], None]) -> None:
    took_ms: list[float] = []
    is_over = threading.Event()
    thread = threading.Thread(target=_ingest, args=(agency, agency.two, took_ms, is_over))
    thread.start()
    try:
        work()
    finally:
        is_over.set()
        thread.join()
    took_ms.sort()
    p50, p99 = (took_ms[int(len(took_ms) * share)] for share in (0.5, 0.99))
    say(f"{what}: {len(took_ms)} commits, p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {took_ms[-1]:.1f} ms")


def _ingest(agency: Agency, terminal: Terminal, took_ms: list[float], is_over: threading.Event) -> None:
    marks = Marks()
    while not is_over.wait(EVERY_S):
        arrival: Arrival = terminal.record(Kind.TRAIL, _trail(terminal.seq))
        began_s = time.monotonic()
        ingest.take(agency.engine, [arrival], NOW_MS, note_keys=agency.custodian.listed, marks=marks)
        took_ms.append((time.monotonic() - began_s) * 1000)


def _trail(number: int) -> bytes:
    points = (
        TrailPoint(
            mono_ms=(number * FIXES + n) * 1000,
            lat=41.0 + ((number * FIXES + n) % 5000) * 0.00011,
            lon=-83.0 - ((number * 7 + n * 3) % 4000) * 0.00013,
            speed_mps=12.0 + n / 10,
            heading_deg=float((number * 3 + n) % 360),
        )
        for n in range(FIXES)
    )
    return pack(Trail(points=tuple(points)))


if __name__ == "__main__":
    cli()
