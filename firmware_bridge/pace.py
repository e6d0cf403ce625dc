"""One fix for each second of receiver time, where a receiver says more: which of them it is. Pure."""

from __future__ import annotations

from firmware_bridge.readings import FixRead

EVERY_S = 1.0
# A receiver may count its time forward as fast as it likes; a log that is kept cannot. Ten a second is what they promise.
READ_S_MIN = 0.1


class Pace:
    """Chooses among the fixes of one receiver. Give it every one, in order."""

    def __init__(self) -> None:
        self._last: FixRead | None = None
        self._due: FixRead | None = None  # the last one that was

    def is_due(self, read: FixRead) -> bool:
        """Whether `read` is the one of its second.

        A second has passed when less than half the receiver's own pace is missing: its times jitter, and rounding
        would give one second two fixes and the next none.
        """
        pace_s = _passed_s(self._last, read)
        since_s = _passed_s(self._due, read)
        self._last = read
        is_short = since_s is not None and pace_s is not None and 0 <= since_s < EVERY_S - min(pace_s, EVERY_S) / 2
        if self._due is not None and (is_short or read.read_mono_s - self._due.read_mono_s < READ_S_MIN):
            return False
        self._due = read
        return True


def _passed_s(before: FixRead | None, read: FixRead) -> float | None:
    """By the receiver's time; by ours while it says no date."""
    if before is None:
        return None
    if before.fix.at is None or read.fix.at is None:
        return read.read_mono_s - before.read_mono_s
    return (read.fix.at - before.fix.at).total_seconds()
