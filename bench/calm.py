"""Waiting until a cable is quiet, so that a drive can be told faster than it was driven.

TCP puts its acknowledgement off for 40 ms in case something else is to be said. Who says the next thing sooner gets the
acknowledgement for nothing, and would count fewer bytes than a drive costs.
"""

from __future__ import annotations

import time
from pathlib import Path

from msgspec import Struct

QUIET_S = 0.06
LOOK_S = 0.01
WAIT_S_MAX = 5.0


class Calm(Struct, frozen=True):
    """The cable of this namespace."""

    device: str = "eth0"

    def wait(self) -> None:
        """Until nothing has gone either way for a while."""
        end_s = time.monotonic() + WAIT_S_MAX
        seen, since_s = self._packets(), time.monotonic()
        while time.monotonic() < min(end_s, since_s + QUIET_S):
            time.sleep(LOOK_S)
            now = self._packets()
            if now != seen:
                seen, since_s = now, time.monotonic()

    def _packets(self) -> tuple[int, int]:
        # not /sys: it is the machine's, /proc/net is the namespace's
        for line in Path("/proc/net/dev").read_text().splitlines():
            name, _, counts = line.partition(":")
            if name.strip() == self.device:
                fields = counts.split()
                return int(fields[1]), int(fields[9])
        raise OSError(f"no {self.device} here")
