"""Simulated time: what happens next, in an order that only the seed decides. Nothing here ever waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

START_WALL_S = 1_780_000_000.0  # what a right clock shows when a run begins


class Timeline:
    """Acts by the second at which they are due; equal seconds in the order in which they were planned."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._acts: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def later(self, wait_s: float, act: Callable[[], None]) -> None:
        """`act` happens in `wait_s` seconds."""
        heapq.heappush(self._acts, (self.now_s + max(0.0, wait_s), next(self._numbers), act))

    def step(self) -> None:
        """The next act, at its time."""
        due_s, _, act = heapq.heappop(self._acts)
        self.now_s = max(self.now_s, due_s)
        act()

    def skip(self, seconds: float) -> None:
        """Time passes and nothing happens; what was due meanwhile happens right after."""
        self.now_s += seconds
