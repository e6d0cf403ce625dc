"""The board's clocks: one that only runs forward and orders everything, one for people with its quality said.

Nothing in the terminal compares wall times to decide; they are shown, and stamped with how far they may be believed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from uuid import UUID

from wire.ids import ID_BYTES
from wire.stamp import ClockQuality, Stamp

WALL_FLOOR_MS = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1000)  # this program is younger than that
AGREES_WITHIN_S = 2.0  # a receiver's time is up to a second old when it has been read

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NTP_SAYS_SO = Path("/run/systemd/timesync/synchronized")  # systemd-timesyncd touches it once it has set the clock
_RTC = Path("/sys/class/rtc/rtc0")


def boot_id() -> bytes:
    """The sixteen bytes of this power-on: the kernel's, so that a restarted program goes on in the same boot."""
    try:
        return UUID(_BOOT_ID.read_text().strip()).bytes
    except (OSError, ValueError):
        return secrets.token_bytes(ID_BYTES)


def system_quality() -> ClockQuality:
    """How good the system clock is, by what the system says of it."""
    if _NTP_SAYS_SO.exists():
        return ClockQuality.NTP
    return ClockQuality.RTC if _RTC.exists() else ClockQuality.NONE


class Clock:
    """Both clocks of one boot. Any thread may ask."""

    def __init__(
        self,
        boot: bytes,
        *,
        mono_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        quality: Callable[[], ClockQuality] = system_quality,
    ) -> None:
        self.boot = boot
        self._mono_s = mono_s
        self._wall_s = wall_s
        self._quality = quality
        self._gps_agrees = False
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

    def gps_agrees(self, agrees: bool) -> None:
        """The receiver's believed time is the system clock's, or is not."""
        self._gps_agrees = agrees

    def stamp(self) -> Stamp:
        """Now, for a record."""
        wall_ms = self.wall_ms()
        is_known = wall_ms >= WALL_FLOOR_MS
        return Stamp(
            boot=self.boot,
            mono_ms=self.mono_ms(),
            wall_ms=wall_ms if is_known else None,
            quality=str(self._best_quality() if is_known else ClockQuality.NONE),
        )

    def _best_quality(self) -> ClockQuality:
        return ClockQuality.GPS if self._gps_agrees else self._quality()
