"""Sentences of one moment become one Fix: where from any of them, how fast from RMC, how well from GGA, GSA and GST.

At most one Fix leaves for each moment of the receiver's own time. It leaves with the last sentence worth waiting for:
which ones a receiver sends is learned from its last two cycles, so a sentence that stops coming is waited for once.
GSA and GST are never waited for: how good a position is changes slowly, and most receivers say it after the position,
behind half a second of satellites in view. What came with the moment before serves this one.
There is no timer in here; a shell that sees the line fall silent says so with `pause`.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, date, datetime, timedelta
from itertools import chain

from firmware_bridge.nmea import Accuracy, Day, Geometry, Motion, NoPosition, Position, Said
from wire.fix import Fix, FixQuality

_HALF_DAY = timedelta(hours=12)
_DAY_MS = 24 * 3600 * 1000
# A speed serves positions without one: the other nine of its second, and the next moment if it came too late for its own.
_SERVES_MS = 999
_LATE_SERVES_MS = 1000
_GOODNESS_MS_MAX = 10_000  # receivers that save on their line say GSA every fifth second

# Whose position and numbers win where several say the same; all have passed the same judgement.
_BY_RANK = ("RMC", "GGA", "GNS", "GLL")

# Who knows best on what the position rests: a letter has one word for two kinds of RTK, and old RMC and GLL have none.
_BY_QUALITY = ("GGA", "GNS", "RMC", "GLL")

# What a sentence makes not worth waiting for, because it has said as much or more.
_COVERS = {
    "RMC": {"GLL", "VTG", "ZDA"},
    "GGA": {"GLL", "GNS"},
    "GNS": {"GLL"},
}


class Assembly:
    """Puts together what one receiver says. One for each opened port or file: it remembers the habits of a receiver."""

    def __init__(self) -> None:
        self._parts: dict[str, Said] = {}  # of this moment, by kind: six at most
        self._time_ms: int | None = None
        self._is_told = False  # this moment's Fix has left, or there was none in it
        self._told: Fix | None = None
        self._told_before_ms: int | None = None  # a straggler must not tell the moment before again
        self._lately: tuple[int, int, Motion] | None = None  # when it was meant for, how long it serves, what it said
        self._cycles: deque[frozenset[str]] = deque(maxlen=2)
        self._dated: datetime | None = None
        self._goodness = _Goodness()

    def take(self, said: Said) -> list[Fix]:
        """The Fix that `said` completed, and before it the one that it showed to be as complete as it will be."""
        if isinstance(said, Geometry | Accuracy):
            self._goodness.take(said, self._time_ms)
            return []
        if not self._parts and isinstance(said, Motion):
            return []  # a speed of nothing yet
        if said.time_ms is not None and said.time_ms == self._told_before_ms:
            return []
        fixes = self._close() if self._is_of_another_moment(said) else []
        if not self._parts:
            self._time_ms = said.time_ms
        self._keep(said)
        self._goodness.end_round()
        self._use_later(said)
        if self._is_told:
            return fixes
        return fixes + self._tell_if_complete()

    def pause(self) -> list[Fix]:
        """The line has fallen silent: what this moment lacks will not come."""
        return self._tell()

    def finish(self) -> list[Fix]:
        """No more sentences will come: the last moment is as complete as it will be."""
        return self._close()

    def _is_of_another_moment(self, said: Said) -> bool:
        if not self._parts or isinstance(said, Motion):
            return False
        if said.time_ms is None and self._time_ms is None:
            return said.kind in self._parts
        return said.time_ms != self._time_ms

    def _keep(self, said: Said) -> None:
        """The first of its kind, except that a position is worth more than none (one talker for each constellation)."""
        if isinstance(self._parts.get(said.kind), NoPosition | None):
            self._parts[said.kind] = said

    def _use_later(self, said: Said) -> None:
        """`said` serves the next moments too: its speed where they say none, its date if it came after its Fix."""
        if self._time_ms is None:
            return
        if isinstance(said, Position | Motion) and said.speed_mps is not None:
            serves_ms = _LATE_SERVES_MS if self._is_told else _SERVES_MS
            self._lately = self._time_ms, serves_ms, Motion(speed_mps=said.speed_mps, heading_deg=said.heading_deg)
        if self._told is not None and isinstance(said, Position | Day) and said.day is not None:
            self._dated = _midnight(said.day) + timedelta(milliseconds=self._time_ms)

    def _close(self) -> list[Fix]:
        fixes = self._tell()
        # A date by itself is no moment: some receivers send ZDA with a time of its own, seconds off.
        if any(not isinstance(part, Day) for part in self._parts.values()):
            self._cycles.append(frozenset(self._parts))
            self._told_before_ms = self._time_ms
        self._parts = {}
        self._is_told = False
        self._told = None
        return fixes

    def _tell_if_complete(self) -> list[Fix]:
        if not self._cycles:  # nothing is known of this receiver yet: its first moment ends when the second begins
            return []
        return self._tell() if _awaited(self._cycles) <= self._parts.keys() else []

    def _tell(self) -> list[Fix]:
        if self._is_told or not self._parts:
            return []
        self._is_told = True
        self._told = _fix(self._parts, self._time_ms, self._late_motion(), self._dated, self._goodness)
        if self._told is None:
            self._goodness = _Goodness()  # what was said of a position that is lost says nothing of the next one
            return []
        self._dated = self._told.at or self._dated
        return [self._told]

    def _late_motion(self) -> Motion | None:
        if self._lately is None or self._time_ms is None:
            return None
        meant_for_ms, serves_ms, motion = self._lately
        return motion if 0 <= self._time_ms - meant_for_ms <= serves_ms else None


class _Goodness:
    """How good the receiver says its position is, until it says otherwise or has not said it for too long."""

    def __init__(self) -> None:
        self._geometry = Geometry(dimensions=None, hdop=None)
        self._geometry_ms: int | None = None
        self._accuracy: Accuracy | None = None
        self._is_in_round = False

    def take(self, said: Geometry | Accuracy, time_ms: int | None) -> None:
        if isinstance(said, Accuracy):
            self._accuracy = said
            return
        # One GSA for each constellation: the position has as many dimensions as the best of them gives it.
        before = self._geometry.dimensions if self._is_in_round else None
        if not self._is_in_round or (said.dimensions or 0) > (before or 0):
            self._geometry = said
        self._geometry_ms = time_ms
        self._is_in_round = True

    def end_round(self) -> None:
        self._is_in_round = False

    def geometry(self, time_ms: int | None) -> Geometry:
        return self._geometry if _serves(self._geometry_ms, time_ms) else Geometry(dimensions=None, hdop=None)

    def accuracy_m(self, time_ms: int | None) -> float | None:
        if self._accuracy is None or not _serves(self._accuracy.time_ms, time_ms):
            return None
        return self._accuracy.accuracy_m


def _serves(said_ms: int | None, time_ms: int | None) -> bool:
    return said_ms is None or time_ms is None or (time_ms - said_ms) % _DAY_MS <= _GOODNESS_MS_MAX


def _awaited(cycles: deque[frozenset[str]]) -> frozenset[str]:
    """The kinds that came in each of the last cycles, less those that the others make unnecessary."""
    steady = frozenset.intersection(*cycles)
    covered = chain.from_iterable(_COVERS.get(kind, ()) for kind in steady)
    return steady.difference(covered)


def _fix(
    parts: dict[str, Said], time_ms: int | None, late: Motion | None, dated: datetime | None, goodness: _Goodness
) -> Fix | None:
    """One Fix of what was said in one moment; None when there is no position, or when any kind denies it."""
    positions = [part for kind in _BY_RANK if isinstance(part := parts.get(kind), Position)]
    if not positions or any(isinstance(part, NoPosition) for part in parts.values()):
        return None
    # Speed and heading come from one sentence: a heading belongs to the speed it was said with.
    moving = next((part for part in (*positions, parts.get("VTG"), late) if _says_speed(part)), None)
    geometry = goodness.geometry(time_ms)
    return Fix(
        lat=positions[0].lat,
        lon=positions[0].lon,
        at=_at(_day(parts), time_ms, dated),
        speed_mps=moving.speed_mps if isinstance(moving, Position | Motion) else None,
        heading_deg=moving.heading_deg if isinstance(moving, Position | Motion) else None,
        hdop=next((part.hdop for part in positions if part.hdop is not None), geometry.hdop),
        satellites=next((part.satellites for part in positions if part.satellites is not None), None),
        accuracy_m=goodness.accuracy_m(time_ms),
        dimensions=geometry.dimensions,
        quality=_quality({part.kind: part.quality for part in positions}),
    )


def _quality(by_kind: dict[str, FixQuality | None]) -> FixQuality:
    """On what the moment's position rests. One sentence that calls it an estimate is enough."""
    if FixQuality.ESTIMATED in by_kind.values():
        return FixQuality.ESTIMATED
    told = (by_kind.get(kind) for kind in _BY_QUALITY)
    return next((quality for quality in told if quality is not None), FixQuality.AUTONOMOUS)


def _says_speed(part: Said | None) -> bool:
    return isinstance(part, Position | Motion) and part.speed_mps is not None


def _day(parts: dict[str, Said]) -> date | None:
    rmc, zda = parts.get("RMC"), parts.get("ZDA")
    if isinstance(rmc, Position) and rmc.day is not None:
        return rmc.day
    return zda.day if isinstance(zda, Day) else None


def _at(day: date | None, time_ms: int | None, dated: datetime | None) -> datetime | None:
    """The moment in full. Without a date of its own it takes that of `dated`, and the next one after midnight.

    A leap second is the first second of the next day, as everywhere in POSIX.
    """
    if time_ms is None or (day is None and dated is None):
        return None
    if day is not None:
        return _midnight(day) + timedelta(milliseconds=time_ms)
    assert dated is not None
    at = _midnight(dated.date()) + timedelta(milliseconds=time_ms)
    return at + timedelta(days=1) if at < dated - _HALF_DAY else at


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
