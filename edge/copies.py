"""A second copy of the ledger for as long as it holds notes that the hub does not: the only ones there are of them.

A card fails mostly while it is written to, and mostly a piece of it. So the copy is another file, best on another disk, and
is made rarely: each night, some minutes after a start, and at an orderly stop, and only when it would hold a note that no
copy has. Notes, drafts and keys are sealed in it as they are in the ledger.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event

import structlog
from msgspec import Struct
from sqlite_utils import Database

from edge.clock import Clock
from edge.store import Store, StoreGone
from wire.records import Kind

FOLDER = "copies"
ASIDE = "ledger.copying"  # beside the ledger, while a copy is made
KEPT = 2  # the newest, and the one before in case the power went while the disk still held the newest in its cache
LOOK_S = 60.0
AFTER_START_S = 600.0  # most terminals have sent everything by then, and one that dies young has a copy all the same
DAY_S = 24 * 3600.0
WRITE_VERSION_AT = 18  # of a database file; the read version is the byte behind it
NIGHT_HOUR = 3  # local time; a shift ends before or after
WITH_NOTES = (str(Kind.NOTE), "part", str(Kind.SALVAGED))  # what may carry one

_NAME = re.compile(r"ledger-(\d{4,})\.db")

log = structlog.get_logger()


class Copy(Struct, frozen=True):
    """A copy, and its number: a higher one is newer, whatever the board's clock says."""

    number: int
    path: Path


class Times(Struct, frozen=True, kw_only=True):
    """When a copy was made or could have been, on the monotonic clock. `night`: a number that is another one each night,
    None while the clock is not believed."""

    now_s: float
    start_s: float
    copied_s: float | None
    copied_night: int | None
    night: int | None
    is_ending: bool = False


def is_due(times: Times, newest_note: int, copied_note: int) -> bool:
    """Whether a copy is to be made. `newest_note`: the highest number of an unsent note; `copied_note`: the same in the
    newest copy of this run, 0 when there is none."""
    if newest_note <= copied_note:
        return False
    if times.is_ending:
        return True
    if times.copied_s is None:
        return times.now_s - times.start_s >= AFTER_START_S
    if times.night is not None and times.copied_night is not None and times.night > times.copied_night:
        return True
    return times.now_s - times.copied_s >= DAY_S


def listed(home: Path, second: Path | None = None) -> list[Copy]:
    """The copies in the terminal's folder and in the second place, the oldest first."""
    found = []
    for folder in {home / FOLDER, second or home / FOLDER}:
        with suppress(OSError):
            for path in folder.iterdir():
                if match := _NAME.fullmatch(path.name):
                    found.append(Copy(int(match[1]), path))
    return sorted(found, key=lambda copy: copy.number)


def newest(ledger: Path, second: Path | None = None) -> Path | None:
    """The newest copy of the file `ledger`; None when there is none, as of every other file."""
    copies = listed(ledger.parent, second) if ledger.name == "ledger.db" else []
    return copies[-1].path if copies else None


def newest_note(db: Database) -> int:
    """The highest number of a record that may carry a note and that the hub has not said it holds; 0 without one."""
    row: tuple[int] = db.execute(
        "select coalesce(max(seq), 0) from record where seq > (select through from log) and kind in (?, ?, ?)",
        list(WITH_NOTES),
    ).fetchone()
    return row[0]


def make(ledger: Store, home: Path, second: Path | None = None) -> Path:
    """A consistent copy of the ledger on the disk; OSError or sqlite3.Error when it cannot be made.

    The store waits until the kernel has the pages, beside the ledger, and neither for a disk to have them nor for a stick.
    """
    folder = second if second is not None and second.is_dir() else home / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    before = listed(home, second)
    path = folder / f"ledger-{(before[-1].number if before else 0) + 1:04}.db"
    part = path.with_suffix(".part")
    aside = home / ASIDE
    try:
        _private(aside)
        ledger.copy_to(aside)
        _private(part)
        shutil.copyfile(aside, part)
        with part.open("r+b") as file:
            file.seek(WRITE_VERSION_AT)
            file.write(b"\1\1")  # written without a journal beside it, so that a stick holds one file
    finally:
        aside.unlink(missing_ok=True)  # within moments, so that hardly a page of it was written to the card
    _sync(part)
    part.rename(path)
    _sync(folder)
    _forget(listed(home, second)[:-KEPT])
    return path


def _private(path: Path) -> None:
    """An empty file that is ours alone, whatever lay there."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def forget(home: Path, second: Path | None = None) -> int:
    """Let go of all copies: the hub holds every note. How many there were."""
    return _forget(listed(home, second))


class CopyKeeper:
    """Makes copies and lets go of them. One thread. `tidied` is called now and then, for what else is kept until the hub
    holds something."""

    def __init__(
        self,
        ledger: Store,
        home: Path,
        second: Path | None,
        clock: Clock,
        *,
        tidied: Callable[[], object] = lambda: None,
        night: Callable[[Clock], int | None] | None = None,
    ) -> None:
        self._ledger = ledger
        self._home = home
        self._second = second
        self._clock = clock
        self._tidied = tidied
        self._night = night or _night
        self._start_s = clock.mono_s()
        self._copied_s: float | None = None
        self._copied_night: int | None = None
        self._copied_note = 0
        self._ending = Event()
        (home / ASIDE).unlink(missing_ok=True)  # of a copy that a power cut ended

    def stop(self) -> None:
        """`run` makes a last copy if one is needed, and returns."""
        self._ending.set()

    def run(self) -> None:
        """Until `stop`."""
        while not self._ending.wait(LOOK_S):
            self.look()
        self.look(is_ending=True)

    def look(self, *, is_ending: bool = False) -> None:
        """Make a copy if one is due; let go of all when nothing unsent is left."""
        try:
            note = self._ledger.do(newest_note)
            if note == 0:
                forget(self._home, self._second)
                self._copied_note = 0
            elif is_due(self._times(is_ending), note, self._copied_note):
                path = make(self._ledger, self._home, self._second)
                self._copied_s, self._copied_night = self._clock.mono_s(), self._night(self._clock)
                self._copied_note = note
                log.info("ledger_copied", file=path.name)
            self._tidied()
        except (
            OSError,
            sqlite3.Error,
            StoreGone,
        ) as wrong:  # a stick that was pulled, a disk that is full: later again
            log.warning("ledger_not_copied", why=type(wrong).__name__)

    def _times(self, is_ending: bool) -> Times:
        return Times(
            now_s=self._clock.mono_s(),
            start_s=self._start_s,
            copied_s=self._copied_s,
            copied_night=self._copied_night,
            night=self._night(self._clock),
            is_ending=is_ending,
        )


def _night(clock: Clock) -> int | None:
    """A number that rises at three in the morning, local time; None while the clock is not believed."""
    stamp = clock.stamp()
    if not stamp.is_trusted or stamp.wall_ms is None:
        return None
    local = time.localtime(stamp.wall_ms / 1000 - NIGHT_HOUR * 3600)
    return local.tm_year * 366 + local.tm_yday


def _forget(copies: list[Copy]) -> int:
    for copy in copies:
        copy.path.unlink(missing_ok=True)
    return len(copies)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
