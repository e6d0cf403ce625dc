"""The board's clocks: one that only runs forward and orders everything, one for people with its quality said.

Nothing in the terminal compares wall times to decide; they are shown, and stamped with how far they may be believed. Two
things are known of true time before anybody tells it: a floor, before which it cannot be, and what satellites say.
"""

from __future__ import annotations

import ctypes
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from threading import Lock
from uuid import UUID

from msgspec import Struct

from wire.ids import ID_BYTES
from wire.stamp import ClockQuality, Stamp

WALL_FLOOR_MS = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1000)  # this program is younger than that
AGREES_WITHIN_S = 2.0  # a receiver's time is up to a second old when it has been read

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NTP_SAYS_SO = Path("/run/systemd/timesync/synchronized")  # systemd-timesyncd touches it once it has set the clock
_RTC = Path("/sys/class/rtc/rtc0")
_STATUS = Path("/proc/self/status")
_TIMEX_BYTES = 256  # struct timex is 208 on 64-bit Linux; all zeros asks and changes nothing
_TRY = f"import ctypes; ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer({_TIMEX_BYTES}))"
TRY_S_MAX = 10.0
_TIME_ERROR = 5  # the kernel's word for a clock that nobody steers, or that was set by hand since


def boot_id() -> bytes:
    """The sixteen bytes of this power-on: the kernel's, so that a restarted program goes on in the same boot."""
    try:
        return UUID(_BOOT_ID.read_text().strip()).bytes
    except (OSError, ValueError):
        return secrets.token_bytes(ID_BYTES)


def system_quality() -> ClockQuality:
    """How good the system clock is, by what the system says of it."""
    if _NTP_SAYS_SO.exists() or _is_steered():
        return ClockQuality.NTP
    return ClockQuality.RTC if _RTC.exists() else ClockQuality.NONE


def _is_steered() -> bool:
    """Whether chrony, ntpd or another such program holds the system clock, as the kernel knows."""
    return _may_ask_the_kernel() and 0 <= _adjtimex() < _TIME_ERROR


def _adjtimex() -> int:
    try:
        answer: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return -1
    return answer


@cache
def _may_ask_the_kernel() -> bool:
    """Whether asking is safe: a unit that filters system calls ends the process at this one, unless it lets it through
    (SystemCallFilter=adjtimex). So there a process of its own tries first, once."""
    try:
        is_filtered = "\nSeccomp:\t0\n" not in _STATUS.read_text()
    except OSError:
        is_filtered = True
    if not is_filtered:
        return True
    try:
        tried = subprocess.run([sys.executable, "-S", "-c", _TRY], capture_output=True, timeout=TRY_S_MAX, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return tried.returncode == 0


def slept_s() -> float:
    """For how long this boot has been asleep: the monotonic clock stands still then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


class ClockState(Struct, frozen=True, kw_only=True):
    """What a person may want to know of the clock. `quality`: of a stamp made now; `gps`: whether satellites "agree",
    "disagree" or say nothing ("none"); `off_s`: by how much the system clock is late, None while nobody knows;
    `floor_ms`: it is not earlier than this, Unix milliseconds."""

    quality: str
    gps: str
    off_s: float | None
    floor_ms: int
    is_below_floor: bool


class Relation(Struct, frozen=True, kw_only=True):
    """What the monotonic clock has to be added to: `wall_base_ms` gives the system clock, `true_base_ms` true time, None
    while nobody knows it. `quality`: whose word true time is; `slept_ms`: asleep in this boot, which counts in neither."""

    wall_base_ms: int
    true_base_ms: int | None
    quality: ClockQuality
    slept_ms: int = 0


class Clock:
    """Both clocks of one boot. Any thread may ask. True time lies between `floor_ms` and `ceiling_ms`."""

    def __init__(
        self,
        boot: bytes,
        *,
        mono_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        quality: Callable[[], ClockQuality] = system_quality,
        slept_s: Callable[[], float] = slept_s,
        floor_ms: int = WALL_FLOOR_MS,
        ceiling_ms: int | None = None,
    ) -> None:
        self.boot = boot
        self._mono_s = mono_s
        self._wall_s = wall_s
        self._quality = quality
        self._slept_s = slept_s
        self._floor_ms = floor_ms
        self._ceiling_ms = ceiling_ms
        self._gps_base_s: float | None = None  # their last word on the time, less the monotonic clock and sleep
        self._is_gps_heard = False
        self._last_ms = 0
        self._counting = Lock()

    def mono_s(self) -> float:
        """Seconds that only run forward, within this boot."""
        return self._mono_s()

    def mono_ms(self) -> int:
        """The same in milliseconds, as it goes on the wire."""
        return int(self._mono_s() * 1000)

    def next_ms(self) -> int:
        """The same, and never the same twice: the hub takes a second message of one millisecond for a replay."""
        with self._counting:
            self._last_ms = max(self._last_ms + 1, self.mono_ms())
            return self._last_ms

    def wall_ms(self) -> int:
        """What the system clock says, right or wrong, as Unix milliseconds."""
        return int(self._wall_s() * 1000)

    def floor_ms(self) -> int:
        """It is not earlier than this."""
        return self._floor_ms

    def not_earlier(self, at_ms: int) -> None:
        """Somebody trusted says that it is `at_ms` or later. Beyond the ceiling they are wrong, whoever they are."""
        with self._counting:
            if self._ceiling_ms is None or at_ms <= self._ceiling_ms:
                self._floor_ms = max(self._floor_ms, at_ms)

    def gps_says(self, at: datetime | None, read_mono_s: float) -> None:
        """What a receiver said when the monotonic clock was `read_mono_s`: a date that may be believed, or None."""
        self._is_gps_heard = at is not None
        if at is not None:
            self._gps_base_s = at.timestamp() - read_mono_s - self._slept_s()

    def gps_lost(self) -> None:
        """Satellites are heard no more. What they said of the time stays known; nothing confirms the system clock now."""
        self._is_gps_heard = False

    def stamp(self) -> Stamp:
        """Now, for a record."""
        wall_ms, quality = self.wall_ms(), self._best_quality()
        is_known = wall_ms >= (WALL_FLOOR_MS if _is_trusted(quality) else self._floor_ms)
        return Stamp(
            boot=self.boot,
            mono_ms=self.mono_ms(),
            wall_ms=wall_ms if is_known else None,
            quality=str(quality if is_known else ClockQuality.NONE),
        )

    def relation(self) -> Relation:
        """How the clocks stand to each other now."""
        mono_s, wall_s, gps_s, quality = self._mono_s(), self._wall_s(), self._gps_s(), self._best_quality()
        true_s = None
        if _is_trusted(quality) and wall_s >= WALL_FLOOR_MS / 1000:
            true_s = wall_s  # where satellites agree it is the better figure: their word is up to a second old
        elif gps_s is not None:
            true_s, quality = gps_s, ClockQuality.GPS
        return Relation(
            wall_base_ms=round((wall_s - mono_s) * 1000),
            true_base_ms=None if true_s is None else round((true_s - mono_s) * 1000),
            quality=quality,
            slept_ms=round(self._slept_s() * 1000),
        )

    def certificates_at_s(self) -> float | None:
        """The Unix time at which another's certificate has to be good; None: now, by a system clock that may be right.

        Never before the floor, so that a clock that stands in 1970, or was set back, revives no certificate.
        """
        gps_s, floor_s = self._gps_s(), self._floor_ms / 1000
        if gps_s is not None and self._quality() is not ClockQuality.NTP and not self._is_near(gps_s):
            return max(gps_s, floor_s)
        return floor_s if self._wall_s() < floor_s else None

    def state(self) -> ClockState:
        """For the screen and for whoever mends the board."""
        now, gps_s = self.relation(), self._gps_s()
        is_heard = self._is_gps_heard and gps_s is not None
        return ClockState(
            quality=self.stamp().quality,
            gps="none" if not is_heard or gps_s is None else "agree" if self._is_near(gps_s) else "disagree",
            off_s=None if now.true_base_ms is None else (now.true_base_ms - now.wall_base_ms) / 1000,
            floor_ms=self._floor_ms,
            is_below_floor=self.wall_ms() < self._floor_ms,
        )

    def _best_quality(self) -> ClockQuality:
        """Satellites over the network over the board's own battery. A clock that satellites deny is only the board's."""
        system, gps_s = self._quality(), self._gps_s()
        if not self._is_gps_heard or gps_s is None:
            return system
        if self._is_near(gps_s):
            return ClockQuality.GPS
        return ClockQuality.NONE if system is ClockQuality.NONE else ClockQuality.RTC

    def _gps_s(self) -> float | None:
        """What time it is by the last word of satellites."""
        gps_base_s = self._gps_base_s
        return None if gps_base_s is None else gps_base_s + self._mono_s() + self._slept_s()

    def _is_near(self, gps_s: float) -> bool:
        return abs(self._wall_s() - gps_s) <= AGREES_WITHIN_S


def _is_trusted(quality: ClockQuality) -> bool:
    return quality in (ClockQuality.NTP, ClockQuality.GPS, ClockQuality.HUB)
