"""A terminal's file moves between releases: forward in one transaction, back where the newer step only added."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from edge import schema
from edge.schema import Step
from edge.settings import SettingsError
from edge.store import Store

FIRST = Step(sql="create table kept (n integer primary key) strict;", is_additive=False)
ADDS = Step(sql="create table more (n integer primary key) strict;", is_additive=True)
CHANGES = Step(sql="alter table kept rename column n to seq;", is_additive=False)
FAILS = Step(sql="create table half (n integer); insert into nowhere values (1);", is_additive=True)


def keep(path: Path, steps: tuple[Step, ...], n: int) -> list[int]:
    """Every number in the file, after a program that knows `steps` has opened it and added `n`."""

    def work(db: Database) -> list[int]:
        db.execute("insert into kept values (?)", [n])
        return [row[0] for row in db.execute("select * from kept order by 1").fetchall()]

    store = Store(path, steps)
    try:
        return store.do(work)
    finally:
        store.close()


def marks(path: Path) -> tuple[int, int]:
    """Steps taken, and the fewest that a program must know."""
    with closing(sqlite3.connect(path)) as conn:
        return conn.execute("pragma user_version").fetchone()[0], conn.execute("pragma application_id").fetchone()[0]


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as conn:
        return {row[0] for row in conn.execute("select name from sqlite_schema where type = 'table'")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_a_file_takes_every_step_it_has_missed_and_keeps_its_rows(path: Path) -> None:
    keep(path, (FIRST,), 1)
    assert keep(path, (FIRST, ADDS, CHANGES), 2) == [1, 2]
    assert marks(path) == (3, 3)
    assert tables(path) == {"kept", "more"}


def test_a_new_file_takes_all_steps_at_once(path: Path) -> None:
    keep(path, (FIRST, ADDS), 1)
    assert marks(path) == (2, 1)


def test_the_release_before_uses_a_file_to_which_a_step_only_added(path: Path) -> None:
    keep(path, (FIRST, ADDS), 1)
    assert keep(path, (FIRST,), 2) == [1, 2]
    assert marks(path) == (2, 1)  # and the newer one finds it as it was
    assert keep(path, (FIRST, ADDS), 3) == [1, 2, 3]


def test_the_release_before_refuses_a_file_that_it_would_misread_in_one_sentence(path: Path) -> None:
    keep(path, (FIRST, CHANGES, ADDS), 1)
    with pytest.raises(SettingsError, match="newer version of this program: install that one"):
        Store(path, (FIRST,))
    assert keep(path, (FIRST, CHANGES), 2) == [1, 2]


def test_a_step_that_fails_leaves_the_old_file(path: Path) -> None:
    keep(path, (FIRST,), 1)
    with pytest.raises(SettingsError, match="does not open"):
        Store(path, (FIRST, ADDS, FAILS))
    assert tables(path) == {"kept"}
    assert keep(path, (FIRST,), 2) == [1, 2]


def test_a_file_made_before_steps_were_counted_is_at_the_first(path: Path) -> None:
    with closing(sqlite3.connect(path)) as conn:
        conn.executescript(FIRST.sql + "pragma user_version = 1;")
    assert keep(path, (FIRST, ADDS), 1) == [1]
    assert marks(path) == (2, 1)


@pytest.mark.parametrize("steps", [schema.LEDGER, schema.TRAIL])
def test_the_products_own_files_open_with_every_release_that_may(tmp_path: Path, steps: tuple[Step, ...]) -> None:
    newest = tmp_path / "newest.db"
    Store(newest, steps).close()
    lowest = marks(newest)[1]
    for known in range(1, len(steps) + 1):
        if known >= lowest:
            Store(newest, steps[:known]).close()
        else:
            with pytest.raises(SettingsError):
                Store(newest, steps[:known])
