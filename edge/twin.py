"""Whether another board uses this terminal's identity: a card that was copied, a disk image that was restored twice.

One certificate is one name at the broker, which ends the connection of whoever had it before: two boards throw each
other off again and again, though not every broker says why. So the hub says with its receipts when it has heard both;
and one that names bytes under our numbers that are not ours was for the other.
"""

from __future__ import annotations

from collections import deque
from threading import Lock

TAKEN_OVER = 0x8E
EVICTIONS = 2  # one may be a second program somebody started by mistake, and ended
WITHIN_S = 600.0


class Twin:
    """What speaks for a twin. Any thread; told times of the monotonic clock."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._evicted_s: deque[float] = deque(maxlen=EVICTIONS)
        self._contradicted_s: float | None = None
        self._contested_s: float | None = None

    def evicted(self, now_s: float) -> None:
        """The broker gave our name to somebody else."""
        with self._guard:
            self._evicted_s.append(now_s)

    def contradicted(self, now_s: float) -> None:
        """The hub holds other bytes under one of our numbers."""
        with self._guard:
            self._contradicted_s = now_s

    def contested(self, now_s: float) -> None:
        """The hub says that it has heard two boards lately."""
        with self._guard:
            self._contested_s = now_s

    def is_here(self, now_s: float) -> bool:
        """Whether there is another board, as far as the last minutes say."""
        with self._guard:
            if self._contradicted_s is not None:
                return True  # that does not pass: one of the two logs is not the hub's
            evicted, contested_s = list(self._evicted_s), self._contested_s
        if contested_s is not None and now_s - contested_s < WITHIN_S:
            return True
        return len(evicted) == EVICTIONS and now_s - evicted[0] < WITHIN_S
