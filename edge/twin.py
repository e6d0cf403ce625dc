"""Whether another board uses this terminal's identity: a card that was copied, a disk image that was restored twice.

One certificate is one name at the broker, which ends the connection of whoever had it before: two boards throw each
other off again and again. And a receipt may name bytes under one of our numbers that are not ours.
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

    def evicted(self, now_s: float) -> None:
        """The broker gave our name to somebody else."""
        with self._guard:
            self._evicted_s.append(now_s)

    def contradicted(self, now_s: float) -> None:
        """The hub holds other bytes under one of our numbers."""
        with self._guard:
            self._contradicted_s = now_s

    def is_here(self, now_s: float) -> bool:
        """Whether there is another board, as far as the last minutes say."""
        with self._guard:
            if self._contradicted_s is not None:
                return True  # that does not pass: one of the two logs is not the hub's
            evicted = list(self._evicted_s)
        return len(evicted) == EVICTIONS and now_s - evicted[0] < WITHIN_S
