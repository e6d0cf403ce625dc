"""What to do with a record, given what is already held of its log."""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """TAKE: the next one. HAVE: held already, the same bytes. CONFLICT: the same name, other bytes; the first stays.
    AHEAD: one before it is missing, nothing is stored. Every one is answered with the receipt of the log."""

    TAKE = "take"
    HAVE = "have"
    CONFLICT = "conflict"
    AHEAD = "ahead"


def decide(through: int, seq: int, same_bytes: bool | None) -> Verdict:
    """The verdict on number `seq` of a log held through `through`.

    `same_bytes`: whether it equals what is stored under this number; None when nothing is: a number inside a gap that
    was recorded is nobody's any more, and counts as held.
    """
    if seq == through + 1:
        return Verdict.TAKE
    if seq > through:
        return Verdict.AHEAD
    return Verdict.CONFLICT if same_bytes is False else Verdict.HAVE
