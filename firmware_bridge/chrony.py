"""Satellite time for chrony, which may then set and steer the system clock. We never set a running clock ourselves.

chronyd makes a datagram socket for each `refclock SOCK` of its configuration; what is sent there is one sample: when it
was taken by the system clock, and by how much that clock is late. Sending never waits and never fails: a chronyd that is
not there, not yet or not any more, is the ordinary case.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from firmware_bridge.readings import FixRead, Reading

# struct sock_sample of chrony's refclock_sock.c: struct timeval, double offset, int pulse, leap, _pad, magic.
_SAMPLE = struct.Struct("@qqdiiii")
_MAGIC = 0x534F434B  # "SOCK"
_PPS_NONE = 0
_LEAP_NORMAL = 0  # receivers do not announce leap seconds in NMEA; chrony has its own table of them
_PATH_BYTES_MAX = 107  # sun_path, less its end


class SockRefclock:
    """The `refclock SOCK` of a chronyd. One thread offers."""

    def __init__(
        self,
        path: Path,
        *,
        wall_s: Callable[[], float] = time.time,
        mono_s: Callable[[], float] = time.monotonic,
    ) -> None:
        if len(str(path).encode()) > _PATH_BYTES_MAX:
            raise ValueError(f"{path} is longer than a socket's name may be ({_PATH_BYTES_MAX} bytes)")
        self._path = str(path)
        self._wall_s = wall_s
        self._mono_s = mono_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def offer(self, read: FixRead) -> bool:
        """Whether chronyd took the time of `read`. A fix without a date that is believed has none to offer."""
        if read.fix.at is None:
            return False
        # One reading of each clock, so that a step between two of them cannot become an offset.
        wall_s, ago_s = self._wall_s(), self._mono_s() - read.read_mono_s
        sample = sample_of(wall_s - ago_s, read.fix.at.timestamp())
        with suppress(OSError):
            self._socket.sendto(sample, self._path)
            return True
        return False

    def close(self) -> None:
        """No more is offered."""
        self._socket.close()


def sample_of(system_s: float, true_s: float) -> bytes:
    """One sample: when the system clock said `system_s` it was `true_s`, both Unix time."""
    seconds, fraction = divmod(system_s, 1)
    return _SAMPLE.pack(int(seconds), int(fraction * 1_000_000), true_s - system_s, _PPS_NONE, _LEAP_NORMAL, 0, _MAGIC)


def fed(readings: Iterable[Reading], refclock: SockRefclock) -> Iterator[Reading]:
    """The same `readings`; chrony hears the time of each fix after whoever waits for the position has it."""
    try:
        for reading in readings:
            yield reading
            if isinstance(reading, FixRead):
                refclock.offer(reading)
    finally:
        refclock.close()
