"""A ranking that was shown, with all it rested on, so that years later it can be worked out again.

Who asks then is an investigator or a court: why this unit, why not that one. So it is not enough to have kept the list:
the same question must give the same list. `BOOK` says by which rules it was made.
"""

from __future__ import annotations

from msgspec import Struct

from hub.closest import Question, Ways, by_straight_line, listed
from hub.rank import BOOK, STRAIGHT_LINE, Candidate


class OtherBook(Exception):
    """It was made by other rules than this program has. The message is one sentence: which."""


class Shown(Struct, frozen=True, kw_only=True):
    """What was asked, what the roads said, and what was shown. `graph`: which build of the roads it was."""

    question: Question
    engine: str
    ways: Ways
    candidates: tuple[Candidate, ...]
    graph: str | None = None
    book: int = BOOK


def replayed(shown: Shown) -> tuple[Candidate, ...]:
    """The list worked out again; OtherBook when this program's rules are not those it was made by."""
    if shown.book != BOOK:
        raise OtherBook(f"This list was made by rules {shown.book}, and this program has rules {BOOK}.")
    if shown.engine == STRAIGHT_LINE:
        return by_straight_line(shown.question, None).candidates
    return listed(shown.question, shown.engine, shown.ways)
