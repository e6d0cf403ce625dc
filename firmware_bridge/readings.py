"""What any source of positions tells: fixes, and how the source is. The same words for a serial port and for gpsd."""

from __future__ import annotations

from collections import deque
from datetime import date, datetime
from enum import Enum

from msgspec import Struct

from firmware_bridge.gpstime import AGREEING, agree, repaired
from wire.fix import Fix

DATE_FLOOR = date(2025, 1, 1)  # no receiver of this program has lived earlier; a release may only move it on


class Condition(Enum):
    """How the port is. A Fix says by itself that all is well, so there is no word for it."""

    OPENED = "opened"
    LOST = "lost"  # unplugged, taken by another program, or never there
    SILENT = "silent"  # no right sentence for 3 s: wrong speed, wrong cable, dead receiver
    NO_FIX = "no_fix"  # right sentences, but no new position for 3 s: no sky, or a frozen receiver


class PortState(Struct, frozen=True, kw_only=True):
    """The port's condition changed. `why` is for a person, and empty where the condition says it all.

    `port` and `baud` are those in use, empty and 0 while there is none, and for a source that has no such thing.
    """

    condition: Condition
    at_mono_s: float
    why: str = ""
    port: str = ""
    baud: int = 0


class FixRead(Struct, frozen=True, kw_only=True):
    """A Fix, and when its last byte was read on this machine's monotonic clock."""

    fix: Fix
    read_mono_s: float


Reading = FixRead | PortState


class Dates:
    """The dates of one receiver since it was opened."""

    def __init__(self, floor: date) -> None:
        self._floor = floor
        self._last: deque[datetime | None] = deque(maxlen=AGREEING)

    def believed(self, at: datetime | None) -> datetime | None:
        """`at` without its rollovers, once the last few dates agree; None until then."""
        self._last.append(at)
        if at is None or not agree(list(self._last)):
            return None
        return repaired(at, self._floor)
