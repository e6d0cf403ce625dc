"""Whether a receiver's date may be believed, and what it means when its week counter has rolled over.

GPS counts weeks in ten bits: an old receiver goes back 1024 weeks (19.6 years) every 1024 weeks. Pure: what is known
about the present (`floor`, a day that is certainly past) comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

ROLLOVER = timedelta(weeks=1024)
BELIEVED_FOR = timedelta(days=15 * 365)  # from the floor on: a board outlives its software no longer than this
AGREEING = 3  # a receiver that wakes up says a few wild dates before it settles
STEP_MAX = timedelta(minutes=15)  # a tunnel or a garage lies between two fixes; a wild date is years away


def repaired(at: datetime, floor: date) -> datetime | None:
    """`at`, moved on by whole rollovers into [floor, floor + 15 years]; None when no rollover explains it."""
    earliest = datetime(floor.year, floor.month, floor.day, tzinfo=UTC)
    while at < earliest:
        at += ROLLOVER
    return at if at - earliest <= BELIEVED_FOR else None


def agree(times: Sequence[datetime | None]) -> bool:
    """The last `AGREEING` times tell one story: each is later than the one before, and not by much."""
    if len(times) < AGREEING:
        return False
    last = times[-AGREEING:]
    if last[0] == last[-1]:
        return False  # a receiver that stands still at midnight, as some do before their first fix
    return all(before is not None and after is not None and _follows(before, after) for before, after in pairwise(last))


def _follows(before: datetime, after: datetime) -> bool:
    """A leap second is the first second of the next day, as everywhere in POSIX; so that second comes twice."""
    is_leap_second = before == after and (after.hour, after.minute, after.second) == (0, 0, 0)
    return is_leap_second or timedelta(0) < after - before <= STEP_MAX
