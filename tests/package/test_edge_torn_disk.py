"""The power goes at any sync, and the disk tears whatever was not synced: the file opens, and what was saved is in it."""

from __future__ import annotations

import gc
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import cast

import apsw
import pytest
from sqlite_utils import Database

from edge import damage, schema, store
from edge.schema import Step
from edge.settings import SettingsError
from edge.store import Store, migrate
from tests.torn_disk import PowerCut, Torn, TornDisk

COMMITS = 50  # enough for the journal to be written back once
ADDS = Step(sql="create table more (n integer primary key) strict; insert into more values (1);", is_additive=True)
CHANGES = Step(sql="alter table draft rename column sealed to shut;", is_additive=False)
LATER = (*schema.LEDGER, ADDS, CHANGES)


@pytest.fixture(autouse=True)
def dead_disks_complain_to_nobody() -> Iterator[None]:
    """SQLite goes on writing to a file whose power is gone until it is closed, and nobody is there to hear the error."""
    before, sys.unraisablehook = sys.unraisablehook, lambda _: None
    yield
    gc.collect()
    sys.unraisablehook = before


def opened(disk: TornDisk, path: Path, steps: tuple[Step, ...] = schema.LEDGER) -> Torn:
    """The product's file, made and set up by the product, on a torn disk."""
    torn = Torn(disk, path)
    try:
        store._set_pragmas(cast(Database, torn), path)
        migrate(cast(sqlite3.Connection, torn), steps, path)
    except BaseException:
        torn.close()
        raise
    return torn


def live(torn: Torn, saved: list[int]) -> None:
    """Save one record after the other; what stands in `saved` was said to be saved."""
    try:
        for seq in range(1, COMMITS + 1):
            torn.execute("begin immediate")
            torn.execute("insert or replace into log values (1, zeroblob(16), ?, 0, 0)", [seq + 1])
            torn.execute("insert into record values (?, 'audit', ?, 0, null)", [seq, bytes([seq]) * (seq * 40)])
            torn.execute("commit")
            saved.append(seq)
    except (PowerCut, apsw.Error):
        torn.close()
        raise


def found(path: Path, steps: tuple[Step, ...] = schema.LEDGER, *, is_honest: bool = True) -> list[int]:
    """What the product finds, after SQLite has looked at all of it."""

    def read(db: Database) -> list[int]:
        assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
        rows = db.execute("select seq, data from record order by seq").fetchall()
        assert all(data == bytes([seq]) * (seq * 40) for seq, data in rows)
        for (upcoming,) in db.execute("select next from log").fetchall():
            assert upcoming == len(rows) + 1
        return [seq for seq, _ in rows]

    assert (
        not is_honest or damage.damage_of(path, schema.LEDGER) is None
    )  # a power cut is no damage, and is not to be taken for it
    reopened = Store(path, steps)
    try:
        return reopened.do(read)
    finally:
        reopened.close()


def test_at_every_sync_a_torn_power_cut_leaves_every_saved_row(tmp_path: Path) -> None:
    sync = 0
    while True:
        sync += 1
        path, saved, disk = tmp_path / f"{sync}.db", list[int](), TornDisk(seed=sync, cut_at_sync=sync)
        try:
            live(opened(disk, path), saved)
        except (PowerCut, apsw.Error, SettingsError):
            assert disk.is_dead
            present = found(path)
            assert present[: len(saved)] == saved
            assert len(present) <= len(saved) + 1  # the one under way may be there
            continue
        break
    assert sync > COMMITS


@pytest.mark.parametrize("cut_after", [10, 30, 49])
def test_a_power_cut_between_two_syncs_loses_nothing_either(tmp_path: Path, cut_after: int) -> None:
    assert _saved_and_found(tmp_path / "ledger.db", cut_after, is_full=True) == (cut_after, cut_after)


def test_the_disk_sees_that_syncing_less_would_lose_rows(tmp_path: Path) -> None:
    lost = []
    for cut_after in (10, 20, 30):
        saved, present = _saved_and_found(tmp_path / f"{cut_after}.db", cut_after, is_full=False)
        lost.append(saved - present)
    assert max(lost) > 0


def _saved_and_found(path: Path, cut_after: int, *, is_full: bool) -> tuple[int, int]:
    disk, saved = TornDisk(seed=cut_after), list[int]()
    torn = opened(disk, path)
    if not is_full:
        torn.execute("pragma synchronous = normal")

    class Enough(Exception):
        pass

    class Counted(list[int]):
        def append(self, seq: int) -> None:
            saved.append(seq)
            if len(saved) == cut_after:
                raise Enough

    with suppress(Enough):
        live(torn, Counted())
    disk.cut()
    torn.close()
    return len(saved), len(found(path, is_honest=is_full))


def test_a_migration_cut_at_any_sync_leaves_the_old_schema_or_the_new_one(tmp_path: Path) -> None:
    sync, versions = 0, set[int]()
    while True:
        sync += 1
        path, disk = tmp_path / f"{sync}.db", TornDisk(seed=sync)
        before = opened(disk, path)
        live(before, [])
        before.close()
        disk.cut_at_sync = disk.syncs + sync
        try:
            opened(disk, path, LATER).close()
        except (PowerCut, apsw.Error, SettingsError):
            with closing(sqlite3.connect(path)) as conn:
                version = conn.execute("pragma user_version").fetchone()[0]
                lowest = conn.execute("pragma application_id").fetchone()[0]
                columns = {row[1] for row in conn.execute("pragma table_info(draft)")}
                has_more = conn.execute("select count(*) from sqlite_schema where name = 'more'").fetchone()[0]
            assert (version, lowest, "shut" in columns, bool(has_more)) in ((1, 1, False, False), (3, 3, True, True))
            versions.add(version)
            assert found(path, LATER) == list(range(1, COMMITS + 1))
            continue
        break
    assert sync > 1
    assert 1 in versions
