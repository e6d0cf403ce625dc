"""The store: what it has answered is on the disk, what failed left nothing, and nobody else is on the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils import Database

from edge import schema, store
from edge.settings import SettingsError
from edge.store import Store, StoreGone


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "ledger.db", schema.LEDGER)
    yield opened
    if opened.is_alive:
        opened.close()


def names(db: Database) -> list[str]:
    return [row[0] for row in db.execute("select name from fact order by name").fetchall()]


def add(db: Database, name: str) -> None:
    db.execute("insert into fact (name, value) values (?, 1)", [name])


def test_the_pragmas_that_make_a_commit_last_are_set(ledger: Store) -> None:
    asked = ("journal_mode", "synchronous", "wal_autocheckpoint", "secure_delete")

    def read(db: Database) -> list[object]:
        return [db.conn.execute(f"pragma {name}").fetchone()[0] for name in asked]

    assert ledger.do(read) == ["wal", 2, 100, 1]


def test_a_file_that_grows_keeps_few_of_its_pages_in_memory(ledger: Store) -> None:
    assert ledger.do(lambda db: db.conn.execute("pragma cache_size").fetchone()[0]) == -256  # KiB


def test_a_function_that_fails_leaves_nothing_and_its_caller_hears_why(ledger: Store) -> None:
    def half(db: Database) -> None:
        add(db, "half")
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        ledger.do(half)
    ledger.do(lambda db: add(db, "after"))
    assert ledger.do(names) == ["after"]


def test_a_transaction_inside_the_transaction_is_part_of_it(ledger: Store) -> None:
    def nested(db: Database) -> None:
        with db.atomic():
            add(db, "inner")
        raise LookupError

    with pytest.raises(LookupError):
        ledger.do(nested)
    assert ledger.do(names) == []


def test_a_function_runs_in_an_immediate_transaction(ledger: Store, tmp_path: Path) -> None:
    def meddle(db: Database) -> None:
        stranger = sqlite3.connect(tmp_path / "ledger.db", timeout=0, isolation_level=None)
        try:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                stranger.execute("begin immediate")
        finally:
            stranger.close()

    ledger.do(meddle)


def test_nobody_else_has_the_file_and_nothing_of_it_is_mapped_from_the_disk(ledger: Store, tmp_path: Path) -> None:
    ledger.do(lambda db: add(db, "kept"))
    assert not (tmp_path / "ledger.db-shm").exists()
    stranger = sqlite3.connect(f"file:{tmp_path / 'ledger.db'}?mode=ro", uri=True, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        stranger.execute("select * from fact")
    stranger.close()


def test_what_was_saved_is_there_after_it_was_opened_again(tmp_path: Path) -> None:
    first = Store(tmp_path / "ledger.db", schema.LEDGER)
    first.do(lambda db: add(db, "kept"))
    first.close()
    second = Store(tmp_path / "ledger.db", schema.LEDGER)
    assert second.do(names) == ["kept"]
    second.close()


def test_a_closed_store_says_that_nothing_was_saved(ledger: Store) -> None:
    ledger.close()
    with pytest.raises(StoreGone, match="nothing was saved"):
        ledger.do(names)


def test_a_store_cannot_wait_for_itself(ledger: Store) -> None:
    with pytest.raises(RuntimeError):
        ledger.do(lambda db: ledger.do(names))


def test_a_disk_that_fails_ends_the_store_and_says_so(tmp_path: Path) -> None:
    died: list[Exception] = []
    ledger = Store(tmp_path / "ledger.db", schema.LEDGER, died=died.append)

    def read_only(db: Database) -> None:
        db.execute("pragma query_only = 1")  # SQLite's own "attempt to write a readonly database", as from a remount
        add(db, "lost")

    with pytest.raises(sqlite3.OperationalError):
        ledger.do(read_only)
    with pytest.raises(StoreGone):
        ledger.do(names)
    assert not ledger.is_alive
    assert len(died) == 1


def test_a_statement_that_is_wrong_does_not_end_the_store(ledger: Store) -> None:
    with pytest.raises(sqlite3.OperationalError):
        ledger.do(lambda db: db.execute("insert into nowhere values (1)"))
    assert ledger.do(names) == []


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database, but long enough to be looked at as one" * 30)
    with pytest.raises(SettingsError, match="does not open as a database"):
        Store(tmp_path / "ledger.db", schema.LEDGER)


def test_a_file_of_a_newer_program_is_one_sentence(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.db") as newer:
        newer.execute("pragma user_version = 99")
    newer.close()
    with pytest.raises(SettingsError, match="newer version"):
        Store(tmp_path / "ledger.db", schema.LEDGER)


def test_a_second_process_on_the_same_home_is_refused(tmp_path: Path) -> None:
    store.lock_home(tmp_path)
    with pytest.raises(SettingsError, match="another tandem-edge"):
        store.lock_home(tmp_path)
