"""What is owed, read a window ahead of what may be sent: one transaction for dozens of records, not one for each answer.

What was read stays true: a record that is owed changes only by `edge.poison`, in the thread that reads here and then
forgets, and one of the trail that was handed out is never rewritten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from sqlite_utils import Database

from edge.outbox import Owed
from edge.store import Saves

READ_RECORDS = 64
READ_BYTES = 64 * 1024  # as much as a window holds; so much is in memory of each log

Read = Callable[[Database, int, int, int], tuple[Owed, ...]]


class Ahead:
    """One log in `store`, read by `read`. For one thread."""

    def __init__(self, store: Saves, read: Read) -> None:
        self._store = store
        self._read = read
        self._kept: deque[Owed] = deque()

    def take(self, first: int, records_max: int, bytes_max: int) -> list[Owed]:
        """The records from `first` on, at least one if there is one, at most `records_max` and `bytes_max`."""
        while self._kept and self._kept[0].seq < first:
            self._kept.popleft()  # receipted meanwhile
        if not self._kept or self._kept[0].seq != first:
            records, size = max(records_max, READ_RECORDS), max(bytes_max, READ_BYTES)
            self._kept = deque(self._store.do(lambda db: self._read(db, first, records, size)))
        found: list[Owed] = []
        while self._kept and len(found) < records_max:
            bytes_max -= len(self._kept[0].data)
            if found and bytes_max < 0:
                break
            found.append(self._kept.popleft())
        return found

    def forget(self) -> None:
        """Something stands there now that was not read."""
        self._kept.clear()
