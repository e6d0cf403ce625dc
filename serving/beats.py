"""Which of a process's threads still go round: one that hangs in a lock looks alive, and does nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

ROUND_S_MAX = 5.0  # every thread comes by at least this often, also when there is nothing to do
HUNG_S_MAX = 15.0  # longer than a slow card takes for anything; with what notices it and the end, less than thirty


class Beats:
    """When each thread must be seen again. `of` and `forget` on one thread, the beats themselves on any."""

    def __init__(self, mono_s: Callable[[], float] = time.monotonic) -> None:
        self._mono_s = mono_s
        self._due_s: dict[str, float] = {}

    def of(self, name: str, s_max: float = HUNG_S_MAX) -> Callable[[], None]:
        """What the thread `name` calls each time it comes by, at least every `s_max`."""

        def beat() -> None:
            self._due_s[name] = self._mono_s() + s_max

        beat()
        return beat

    def forget(self, name: str) -> None:
        """The thread `name` has been let go."""
        self._due_s.pop(name, None)

    def hung(self) -> str | None:
        """A thread that was not seen for too long; None when all were."""
        now_s = self._mono_s()
        return next((name for name, due_s in tuple(self._due_s.items()) if now_s > due_s), None)
