"""A receiver at a pseudo-terminal that says a new place whenever it is told to, and when its last byte was written."""

from __future__ import annotations

import os
import pty
import time
import tty
from datetime import UTC, datetime
from functools import reduce
from operator import xor
from pathlib import Path


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
        at = datetime.now(UTC)
        os.write(self._master, _gga(at, lat, lon))
        os.write(self._master, _rmc(at, lat, lon))
        return (round(lat, 4), round(lon, 5)), time.monotonic()


def _gga(at: datetime, lat: float, lon: float) -> bytes:
    return sentence(f"GPGGA,{at:%H%M%S}.000,{place_of(lat, lon)},1,10,0.9,230.0,M,-33.0,M,,")


def _rmc(at: datetime, lat: float, lon: float) -> bytes:
    return sentence(f"GPRMC,{at:%H%M%S}.000,A,{place_of(lat, lon)},0.0,0.0,{at:%d%m%y},,,A")


def place_of(lat: float, lon: float) -> str:
    """The four fields in which NMEA says a place."""
    return f"{_dm(lat, 2, 'NS')},{_dm(lon, 3, 'EW')}"


def _dm(degrees: float, width: int, signs: str) -> str:
    whole, part = divmod(abs(degrees), 1)
    return f"{int(whole):0{width}d}{part * 60:08.5f},{signs[degrees < 0]}"


def sentence(body: str) -> bytes:
    """`body` as a receiver sends it."""
    checksum = reduce(xor, body.encode())
    return f"${body}*{checksum:02X}\r\n".encode()
