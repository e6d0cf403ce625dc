"""How an emergency stands: pressed, heard, taken, over. Values and decisions; nothing here waits, sends or saves."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from wire.facts import EmergencyFact
from wire.state import HeardPress, KnownEmergency

HURRY_S = (5.0, 10.0, 20.0, 30.0)  # between two tries to get past a dead link: soon, and never a hammer


class Phase(StrEnum):
    """How far the emergency has come: pressed, heard by the hub, taken by a person."""

    NONE = "none"
    RAISED = "raised"
    RECEIVED = "received"
    ACKNOWLEDGED = "acknowledged"


class View(Struct, frozen=True, kw_only=True):
    """What the screen says. `raised_ms`: of the first press by the board's clock, None when it was not set; `by`: who
    acknowledged; `is_saved`: no press went out without being on the disk; `is_asked`: the crew has asked dispatch to clear it."""

    phase: Phase = Phase.NONE
    is_drill: bool = False
    raised_ms: int | None = None
    received_ms: int | None = None
    acknowledged_ms: int | None = None
    by: str | None = None
    is_saved: bool = True
    is_asked: bool = False


NOTHING = View()


class Aboard(Struct, frozen=True, kw_only=True):
    """Who and what an emergency is about, as far as this terminal knows."""

    unit: str | None = None
    staff: tuple[str, ...] = ()
    assignment: str | None = None
    incident: str | None = None


class Raised(Struct, frozen=True, kw_only=True):
    """An emergency of this terminal that is not over. `newest`: its newest press, None when only the hub remembers."""

    id: bytes
    is_drill: bool
    raised_ms: int | None
    newest: HeardPress | None
    is_asked: bool = False


def is_heard(fact: EmergencyFact, boot: bytes, known: dict[bytes, KnownEmergency]) -> bool:
    """Whether dispatch has heard this press, by what it says it knows."""
    one = known.get(fact.id)
    if one is None:
        return False
    if fact.asks_clear:
        return one.asked_ms is not None or one.cleared_ms is not None
    return any(heard.boot == boot and fact.mono_ms <= heard.mono_ms for heard in one.heard)


def is_over(raised: Raised, known: dict[bytes, KnownEmergency]) -> bool:
    """Whether dispatch has cleared it, knowing of its newest press."""
    one = known.get(raised.id)
    if one is None or one.cleared_ms is None:
        return False
    newest = raised.newest
    return newest is None or any(h.boot == newest.boot and newest.mono_ms <= h.mono_ms for h in one.heard)


def view_of(raised: tuple[Raised, ...], known: dict[bytes, KnownEmergency], is_saved: bool) -> View:
    """How it stands: of a real one before a test."""
    one = next((one for one in raised if not one.is_drill), next(iter(raised), None))
    if one is None:
        return NOTHING
    said = known.get(one.id)
    has_it = said is not None and said.cleared_ms is None
    view = View(
        phase=Phase.RAISED,
        is_drill=one.is_drill,
        raised_ms=one.raised_ms,
        is_saved=is_saved,
        is_asked=one.is_asked or (said is not None and said.asked_ms is not None),
    )
    if said is None or not has_it:
        return view
    if said.acknowledged_ms is None:
        return replace(view, phase=Phase.RECEIVED, received_ms=said.received_ms)
    return replace(
        view,
        phase=Phase.ACKNOWLEDGED,
        received_ms=said.received_ms,
        acknowledged_ms=said.acknowledged_ms,
        by=said.by,
    )


def hurry_again_s(times: int) -> float:
    """How long to wait after having hurried the link so many times for one emergency."""
    return HURRY_S[min(max(1, times), len(HURRY_S)) - 1]


def remembered(one: KnownEmergency) -> Raised:
    """One that only the hub remembers."""
    return Raised(
        id=one.id, is_drill=one.drill, raised_ms=one.received_ms, newest=None, is_asked=one.asked_ms is not None
    )
