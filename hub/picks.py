"""What solving several incidents together says, as values: to be described without loading what solves."""

from __future__ import annotations

from msgspec import Struct


class Pick(Struct, frozen=True, kw_only=True):
    """Who would go there; nobody when `unit` is None. `travel_s`: the way; `expected_s`: what it counts for, with the age
    of the position and unmet wishes."""

    incident: str
    number: int
    priority: int
    unit: str | None = None
    call_sign: str | None = None
    travel_s: float | None = None
    expected_s: float | None = None


class Rounds(Struct, frozen=True, kw_only=True):
    """Both plans, the incidents in the same order, and what the difference is. `saved_s`: less waiting in all, over the
    incidents that get a unit either way; below zero when what is more urgent costs more elsewhere than it gains."""

    engine: str
    together: tuple[Pick, ...]
    one_by_one: tuple[Pick, ...]
    saved_s: float
    words: tuple[str, ...]
    why_not_road: str | None = None
