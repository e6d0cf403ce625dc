"""Where the vehicle was: every fix on the disk within ten seconds, and a minute of them to a record, on a log of its own.

A power cut costs the ten seconds that were not yet written, and nothing else. What was written is a piece until its
record is made; pieces that a boot before has left become a record with that boot's stamp. Where the disk has no room,
every second fix goes and is counted; nothing is lost without being counted, and nothing of it ends the terminal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import structlog
from msgspec import Struct
from sqlite_utils import Database

from edge import thinning
from edge.clock import Clock
from edge.outbox import Signer
from edge.room import TRAIL_BYTES_MAX, Growth
from edge.store import Store, is_full
from wire.codec import Malformed, decode, encode
from wire.fix import Fix
from wire.stamp import Stamp
from wire.trail import Trail, TrailPoint, pack, unpack

PIECE_POINTS_MAX = 10
PIECE_S_MAX = 10.0
RECORD_POINTS_MAX = 60  # signature, envelope and receipt cost as much as thirty fixes
RECORD_S_MAX = 60.0

log = structlog.get_logger()


class _Piece(Struct, frozen=True):
    """What one boot has collected and no record carries yet."""

    stamp: Stamp
    trail: Trail


class TrailKeeper:
    """Collects the fixes of one receiver. Used by one thread. `growth`: what the disk allows, asked at each write; `bytes_max`: what the log
    may hold whatever the disk allows."""

    def __init__(
        self,
        store: Store,
        signer: Signer,
        clock: Clock,
        *,
        growth: Callable[[], Growth] = lambda: Growth.GROWS,
        bytes_max: int = TRAIL_BYTES_MAX,
    ) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._growth = growth
        self._bytes_max = bytes_max
        self._memory = Trail(points=())  # not yet on the disk
        self._is_begun = False
        self._has_pieces = True  # an earlier run may have left some
        self._began_ms: int | None = None  # the first fix since the last record, or since the last attempt at one
        self._since = 0  # fixes since then

    def add(self, fix: Fix, read_s: float) -> bool:
        """Whether a record was stored: `fix`, read at `read_s`, completed one or came too late for one."""
        point = TrailPoint(
            mono_ms=int(read_s * 1000),
            lat=fix.lat,
            lon=fix.lon,
            speed_mps=fix.speed_mps,
            heading_deg=fix.heading_deg,
        )
        now_ms = point.mono_ms
        if self._span_s(now_ms) > RECORD_S_MAX:
            was_due = self.flush()
        else:
            was_due = False
            if self._unwritten_s(now_ms) > PIECE_S_MAX:
                self._keep()
        self._memory = Trail(points=(*self._memory.points, point), dropped=self._memory.dropped)
        self._since += 1
        if self._began_ms is None:
            self._began_ms = now_ms
        # The next fix comes about a second later: waiting for it would make a span longer than promised.
        if self._since >= RECORD_POINTS_MAX or self._span_s(now_ms) > RECORD_S_MAX - 1:
            return self.flush() or was_due
        if len(self._memory.points) % PIECE_POINTS_MAX == 0 or self._unwritten_s(now_ms) > PIECE_S_MAX - 1:
            self._keep()
        return was_due

    def flush(self) -> bool:
        """Whether a record was stored, of all that was collected: it will not be added to soon, or a minute is over."""
        if not self._memory.points and not self._has_pieces:
            return False
        self._began_ms, self._since = None, 0
        is_stored = self._write(_record)
        if is_stored:
            self._has_pieces = False
        return bool(is_stored)

    def _keep(self) -> None:
        """What is in memory survives a power cut from here on, if the disk takes it."""
        if self._write(_keep_piece) is not None:
            self._has_pieces = True

    def _write(self, work: Callable[[Database, Signer, Stamp, Trail, bool], bool]) -> bool | None:
        """What `work` answers when memory has gone to the disk with it; None when the disk had no room for that."""
        growth, memory, stamp = self._growth(), self._memory, self._clock.stamp()
        if growth is Growth.WAITS:
            self._starve()
            return None

        def transact(db: Database) -> bool:
            if not self._is_begun:
                thinning.begin(db)
            may_grow = growth is Growth.GROWS and thinning.used_bytes(db) < self._bytes_max
            return work(db, self._signer, stamp, memory, may_grow)

        try:
            answer = self._store.do(transact)
        except sqlite3.Error as wrong:
            if not is_full(wrong):
                raise
            self._starve()
            return None
        self._memory, self._is_begun = Trail(points=()), True
        return answer

    def _starve(self) -> None:
        """Memory is bounded too: a minute of fixes, and of a longer one every second or fourth of them."""
        if len(self._memory.points) >= RECORD_POINTS_MAX:
            self._memory = thinning.every_second(self._memory)
            log.warning("positions_dropped", count=self._memory.dropped)

    def _span_s(self, now_ms: int) -> float:
        return 0.0 if self._began_ms is None else (now_ms - self._began_ms) / 1000

    def _unwritten_s(self, now_ms: int) -> float:
        points = self._memory.points
        return (now_ms - points[0].mono_ms) / 1000 if points else 0.0


def _keep_piece(db: Database, _signer: Signer, stamp: Stamp, memory: Trail, _may_grow: bool) -> bool:
    fixes = len(memory.points) + memory.dropped
    db.execute("insert into piece (stamp, points, fixes) values (?, ?, ?)", [encode(stamp), pack(memory), fixes])
    return False


def _record(db: Database, signer: Signer, stamp: Stamp, memory: Trail, may_grow: bool) -> bool:
    """Whether there is a record now of what was collected. Where none has room, it stays a piece, and a coarser one."""
    found = _by_boot(db, stamp, memory)
    has_place = any(one.trail.points for one in found) and thinning.make_place(db, signer, may_grow=may_grow)
    db.execute("delete from piece")
    dropped = 0
    for one in found:
        trail = Trail(points=one.trail.points, dropped=one.trail.dropped + dropped)
        dropped = 0
        if has_place and trail.points:
            thinning.append(db, signer, one.stamp, trail)
        elif not trail.points:
            dropped = trail.dropped  # told with the fixes that come next
        else:
            coarser = thinning.every_second(trail) if len(trail.points) >= RECORD_POINTS_MAX else trail
            _keep_piece(db, signer, one.stamp, coarser, may_grow)
    if dropped:
        _keep_piece(db, signer, stamp, Trail(points=(), dropped=dropped), may_grow)
    return has_place


def _piece(now: Stamp, stamp: bytes, points: bytes, fixes: int) -> _Piece:
    try:
        return _Piece(decode(stamp, Stamp), unpack(points))
    except Malformed:  # damaged on the disk
        log.error("positions_unreadable", count=fixes)
        return _Piece(now, Trail(points=(), dropped=fixes))


def _by_boot(db: Database, stamp: Stamp, memory: Trail) -> list[_Piece]:
    """The pieces, one boot after the other, with `memory` behind them. Each boot has its own stamp, the present one the
    newest: whoever reckons its times anew knows them by the boot."""
    rows: list[tuple[bytes, bytes, int]] = db.execute(
        "select stamp, points, fixes from piece order by number"
    ).fetchall()
    pieces = [_piece(stamp, *row) for row in rows]
    if memory.points or memory.dropped:
        pieces.append(_Piece(stamp, memory))
    boots: dict[bytes, list[_Piece]] = {}
    for piece in pieces:
        boots.setdefault(piece.stamp.boot, []).append(piece)
    return [
        _Piece(
            stamp if boot == stamp.boot else ones[-1].stamp,
            thinning.joined(tuple(one.trail for one in ones)),
        )
        for boot, ones in boots.items()
    ]
