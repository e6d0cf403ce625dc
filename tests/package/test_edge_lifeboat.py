"""Without a disk: what to do about which error, what is still read, and that nothing looks saved that is not."""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlite_utils import Database

from edge import lifeboat, outbox, schema
from edge.lifeboat import Heard, Ledger, Start, TrailAfloat, how_to_start
from edge.settings import SettingsError
from edge.store import Store, StoreGone
from wire.fix import Fix

FIX = Fix(lat=40.0, lon=-83.0)


def wrong(code: int) -> sqlite3.Error:
    made = sqlite3.OperationalError("said SQLite")
    made.sqlite_errorcode = code
    return made


def caused(by: BaseException) -> SettingsError:
    try:
        raise SettingsError("a sentence") from by
    except SettingsError as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "start"),
    [
        (wrong(sqlite3.SQLITE_CORRUPT), Start.SALVAGE),
        (wrong(sqlite3.SQLITE_NOTADB), Start.SALVAGE),
        (wrong(sqlite3.SQLITE_IOERR | 4 << 8), Start.NOT_SAVING),  # SQLITE_IOERR_FSYNC
        (wrong(sqlite3.SQLITE_READONLY), Start.NOT_SAVING),
        (wrong(sqlite3.SQLITE_CANTOPEN), Start.NOT_SAVING),
        (wrong(sqlite3.SQLITE_FULL), Start.NOT_SAVING),
        (wrong(sqlite3.SQLITE_BUSY), Start.NOT_SAVING),
        (wrong(sqlite3.SQLITE_CONSTRAINT), Start.REFUSE),
        (OSError(errno.EIO, "x"), Start.NOT_SAVING),
        (OSError(errno.EROFS, "x"), Start.NOT_SAVING),
        (OSError(errno.ENOSPC, "x"), Start.NOT_SAVING),
        (OSError(errno.EACCES, "x"), Start.REFUSE),
        (StoreGone("x"), Start.NOT_SAVING),
        (SettingsError("written by a newer version"), Start.REFUSE),
        (caused(wrong(sqlite3.SQLITE_CORRUPT)), Start.SALVAGE),
        (caused(OSError(errno.EROFS, "x")), Start.NOT_SAVING),
    ],
)
def test_an_error_says_whether_to_salvage_to_do_without_or_to_end(error: BaseException, start: Start) -> None:
    assert how_to_start(error) is start


def note(db: Database, value: int) -> None:
    db.execute("insert or replace into fact (name, value) values ('x', ?)", [value])


def noted(db: Database) -> int | None:
    row: tuple[int] | None = db.execute("select value from fact where name = 'x'").fetchone()
    return None if row is None else row[0]


def opened(home: Path) -> tuple[Store, Ledger]:
    store = Store(home / "ledger.db", schema.LEDGER)
    return store, Ledger(store, store.do(lifeboat.seen))


def test_what_was_committed_is_read_and_what_was_not_is_not(tmp_path: Path) -> None:
    store, ledger = opened(tmp_path)
    ledger.do(lambda db: note(db, 1))

    def half(db: Database) -> None:
        note(db, 2)
        raise LookupError

    with pytest.raises(LookupError):
        ledger.do(half)
    store.close()
    ledger.sink("gone")
    assert ledger.do(noted) == 1


def test_a_write_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    store, ledger = opened(tmp_path)
    ledger.do(lambda db: note(db, 1))
    store.close()
    with pytest.raises(StoreGone):
        ledger.do(lambda db: note(db, 2))
    ledger.sink("gone")
    with pytest.raises(StoreGone, match="nothing is saved"):
        ledger.do(lambda db: note(db, 2))
    assert ledger.do(noted) == 1


def test_the_hubs_word_is_kept_in_memory_and_never_owed(tmp_path: Path) -> None:
    store, ledger = opened(tmp_path)
    store.close()
    ledger.sink("gone")
    Heard(ledger).do(lambda db: note(db, 3))
    assert ledger.do(noted) == 3
    again = Store(tmp_path / "ledger.db", schema.LEDGER)
    ledger.float(again)
    assert (ledger.why, ledger.do(noted)) == (None, None)
    again.close()


def test_a_ledger_is_read_where_it_cannot_be_written(tmp_path: Path) -> None:
    store, ledger = opened(tmp_path / "")
    ledger.do(lambda db: note(db, 7))  # still in the write-ahead log
    last = lifeboat.read_in_memory(tmp_path / "ledger.db", lambda copy: Store(copy, schema.LEDGER))
    afloat = Ledger(None, last, "read-only")
    assert afloat.do(noted) == 7
    assert afloat.do(outbox.numbers).unsent == 0
    store.close()


def test_a_ledger_that_cannot_be_read_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    last = lifeboat.read_in_memory(tmp_path / "ledger.db", lambda copy: Store(copy, schema.LEDGER))
    assert Ledger(None, last, "gone").do(noted) is None


def test_a_disk_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    store, ledger = opened(tmp_path)
    hangs, is_in = Event(), Event()

    def hang(db: Database) -> None:
        if not is_in.is_set():
            is_in.set()
            hangs.wait(30)
        note(db, 2)

    refused: list[str] = []

    def ask(work: Callable[[Database], None]) -> None:
        try:
            ledger.do(work)
        except StoreGone:
            refused.append("refused")

    waiting = [Thread(target=ask, args=(work,), daemon=True) for work in (hang, lambda db: note(db, 1))]
    waiting[0].start()
    is_in.wait(5)
    waiting[1].start()
    time.sleep(0.1)
    assert store.busy_s() > 0.0
    ledger.sink("the disk hangs")
    store.abandon()
    for thread in waiting:
        thread.join(5)
    assert refused == ["refused"] * 2
    hangs.set()
    while not store.has_ended:
        time.sleep(0.01)
    end = Store(tmp_path / "ledger.db", schema.LEDGER)
    assert end.do(noted) != 1  # what waited behind it was not done later on the quiet
    end.close()


class _Keeps:
    def __init__(self, wrong: Exception | None) -> None:
        self.wrong, self.asked = wrong, 0

    def add(self, fix: Fix, read_s: float) -> bool:
        self.asked += 1
        if self.wrong is not None:
            raise self.wrong
        return True

    def flush(self) -> bool:
        return self.add(FIX, 0.0)


def test_a_trail_that_cannot_be_saved_is_not_asked_again(tmp_path: Path) -> None:
    trail, broken = TrailAfloat(), _Keeps(wrong(sqlite3.SQLITE_IOERR))
    trail.keep(broken)
    assert not trail.add(FIX, 0.0)
    assert not trail.add(FIX, 1.0)
    assert broken.asked == 1
    trail.keep(good := _Keeps(None))
    assert trail.add(FIX, 2.0) and good.asked == 1


def test_a_trail_that_is_wrong_otherwise_is_a_fault_of_ours() -> None:
    trail = TrailAfloat()
    trail.keep(_Keeps(wrong(sqlite3.SQLITE_CONSTRAINT)))
    with pytest.raises(sqlite3.OperationalError):
        trail.add(FIX, 0.0)


def test_a_sick_disk_is_looked_at_less_and_less() -> None:
    waits = [lifeboat.look_s(times) for times in range(1, 8)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (5.0, 60.0)
