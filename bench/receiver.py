"""A receiver at a pseudo-terminal that says a new place whenever it is told to, and when its last byte was written."""

from __future__ import annotations

import os
import pty
import time
import tty
from datetime import UTC, datetime
from pathlib import Path

from firmware_bridge.sentences import Dialect, Solution, gga, rmc

GPS_ONLY = Dialect(talker="GP", second_decimals=3)


class Receiver:
    """A pseudo-terminal that says a new place each second, and when the last byte of each was written."""

    def __init__(self, number: int, link: Path) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._slave))
        self._number = number
        self._said = 0

    def say(self) -> tuple[tuple[float, float], float]:
        """Write one second; answer the place as (lat, lon) to 1e-5 degrees, and the monotonic time in seconds."""
        self._said += 1
        lat = round(40.0 + self._number * 0.01 + (self._said % 997) * 0.0003, 6)
        lon = round(-83.0 - self._said * 1e-5, 6)
        at = datetime.now(UTC).replace(microsecond=0)
        told = Solution(
            lat=lat, lon=lon, clock=at, day=at.date(), speed_mps=0.0, heading_deg=0.0, satellites=10, hdop=0.9
        )
        os.write(self._master, b"".join(gga(told, GPS_ONLY)))
        os.write(self._master, b"".join(rmc(told, GPS_ONLY)))
        return (round(lat, 4), round(lon, 5)), time.monotonic()
