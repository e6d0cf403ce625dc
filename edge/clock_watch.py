"""The pipe that tells when the board learned what time it is, and keeps the floor under it.

A fact goes into the ledger when the relation of the clocks to true time becomes known, turns out to be another, or when
the system clock jumps; so that the hub can show right times beside the wrong ones. Nothing here moves a clock or a timer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from threading import Event

import structlog
from msgspec.structs import replace
from sqlite_utils import Database

from edge import clock_floor, outbox
from edge.clock import Clock, Relation
from edge.outbox import Signer
from edge.store import Saves, is_full
from wire.facts import ClockCorrected
from wire.records import Kind

LOOK_S = 5.0
JUMP_MS = 2000  # as far apart as a receiver's word and a right clock may be
PAUSE_S = 60.0  # between two facts: a receiver that cannot make up its mind fills no ledger
_UNKNOWN = "clock_unknown_in"  # in the table `fact`: the boot whose true time was never told

log = structlog.get_logger()


def has_jumped(before: Relation, now: Relation) -> bool:
    """Whether the system clock was set, and not merely asleep or steered."""
    slept_ms = now.slept_ms - before.slept_ms
    return abs(now.wall_base_ms - before.wall_base_ms - slept_ms) > JUMP_MS


def is_learned(before: Relation, now: Relation) -> bool:
    """Whether true time is known now and was not, or was taken for another."""
    if now.true_base_ms is None:
        return False
    if before.true_base_ms is None:
        return True
    return abs(now.true_base_ms - before.true_base_ms - (now.slept_ms - before.slept_ms)) > JUMP_MS


def remembered(before: Relation, now: Relation) -> Relation:
    """`now`, with the true time that was known before where nobody says it any more."""
    if now.true_base_ms is not None or before.true_base_ms is None:
        return now
    return replace(now, true_base_ms=before.true_base_ms + now.slept_ms - before.slept_ms)


class ClockWatch:
    """One thread that looks at the clocks. `kept`: a record was stored."""

    def __init__(
        self,
        clock: Clock,
        ledger: Saves,
        signer: Signer,
        home: Path,
        kept: Callable[[], None],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._beat = beat
        self._clock = clock
        self._ledger = ledger
        self._signer = signer
        self._home = home
        self._kept = kept
        self._stopping = Event()
        self._last: Relation | None = None
        self._told_s: float | None = None

    def stop(self) -> None:
        """`run` returns."""
        self._stopping.set()

    def run(self) -> None:
        """Look every few seconds until `stop`."""
        while True:
            self._beat()
            try:
                self.look()
            except sqlite3.Error as wrong:  # full: what is new about the clocks is still new at the next look
                if not is_full(wrong):
                    raise
            if self._stopping.wait(LOOK_S):
                return

    def look(self) -> None:
        """Tell what is new about the clocks, and raise the floor when it is worth a write."""
        now = self._clock.relation()
        if self._last is None:
            self._last = self._first(now)
        is_news = has_jumped(self._last, now) or is_learned(self._last, now)
        if is_news and self._is_time():
            self._tell(self._last, now)
            self._last = remembered(self._last, now)
        elif not is_news:
            self._last = remembered(self._last, now)
        self._raise_floor(now)

    def _first(self, now: Relation) -> Relation:
        """What an earlier run of this boot did not know when it ended is to be told as soon as it is known."""
        boot = _number(self._clock.boot)
        if now.true_base_ms is None:
            self._ledger.do(lambda db: _set_unknown(db, boot))
            return now
        is_owed = self._ledger.do(_unknown) == boot
        return replace(now, true_base_ms=None) if is_owed else now

    def _is_time(self) -> bool:
        return self._told_s is None or self._clock.mono_s() - self._told_s >= PAUSE_S

    def _tell(self, before: Relation, now: Relation) -> None:
        mono_ms = self._clock.mono_ms()
        after_base_ms = now.wall_base_ms if now.true_base_ms is None else now.true_base_ms
        slept_ms = now.slept_ms - before.slept_ms
        fact = ClockCorrected(
            boot=self._clock.boot,
            mono_ms=mono_ms,
            wall_before_ms=before.wall_base_ms + slept_ms + mono_ms,
            wall_after_ms=after_base_ms + mono_ms,
            quality=str(now.quality),
        )

        def append(db: Database) -> None:
            outbox.append(db, self._signer, self._clock.stamp(), Kind.CLOCK_CORRECTED, fact)
            if now.true_base_ms is not None:
                db.execute("delete from fact where name = ?", [_UNKNOWN])

        self._ledger.do(append)
        self._told_s = self._clock.mono_s()
        by_s = (fact.wall_after_ms - fact.wall_before_ms) / 1000
        log.info("clock_corrected", by_s=round(by_s, 3), quality=fact.quality)
        self._kept()

    def _raise_floor(self, now: Relation) -> None:
        """By the clock where it is trusted; by what the hub has signed in any case. Both less a margin."""
        if now.true_base_ms is not None:
            self._clock.not_earlier(now.true_base_ms + self._clock.mono_ms() - clock_floor.MARGIN_MS)
        try:
            if clock_floor.keep(self._home, self._clock.floor_ms()):
                log.info("clock_floor_kept")
        except OSError as wrong:
            log.warning("clock_floor_not_kept", why=wrong.strerror)


def _number(boot: bytes) -> int:
    return int.from_bytes(boot[:7])  # SQLite's integers end at eight bytes; the boots of one board differ in seven


def _set_unknown(db: Database, boot: int) -> None:
    db.execute("insert or replace into fact (name, value) values (?, ?)", [_UNKNOWN, boot])


def _unknown(db: Database) -> int | None:
    row: tuple[int] | None = db.execute("select value from fact where name = ?", [_UNKNOWN]).fetchone()
    return None if row is None else row[0]
