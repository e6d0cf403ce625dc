"""The hub's one connection goes to whoever has waited longest.

The library's own queue gives it to whoever is quickest, and the quickest is the thread that just gave it back: with ingest
at work without a pause, a dispatcher's request waited for 20 seconds and was then refused (seen; so was a backup).
"""

from __future__ import annotations

from collections import deque
from threading import Event
from typing import TypeVar

from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util.queue import Empty, Queue, QueueCommon

T = TypeVar("T")


class Line(Queue[T]):
    """A queue whose getters stand in line, and nobody overtakes."""

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        super().__init__(maxsize, use_lifo)
        self._waiting: deque[Event] = deque()

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """As the library's, and the first in line is called."""
        with self.mutex:
            super().put(item, block, timeout)
            self._call()

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """As the library's, behind everybody who came before."""
        called = Event()
        with self.mutex:
            if not self._waiting and not self._empty():
                return self._get()
            if not block:
                raise Empty
            self._waiting.append(called)
        called.wait(timeout)
        with self.mutex:
            self._waiting.remove(called)
            if not called.is_set():
                raise Empty
            item = self._get()
            self._call()
            return item

    def _call(self) -> None:
        if self._waiting and not self._empty():
            self._waiting[0].set()


class InTurn(QueuePool):
    """A pool that stands in line."""

    _queue_class: type[QueueCommon[ConnectionPoolEntry]] = Line
