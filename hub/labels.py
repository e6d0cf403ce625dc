"""Who sees what: every field of an incident has one label, every reader a set of labels, and this is where they meet.

Pure, and the only place: a view, a timeline and what a terminal is sent all go through `seen`. What is not in the
tables is refused, so a field nobody labeled and a role nobody thought about show nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from wire.packet import Label

Labels = frozenset[Label]

NOTHING: Labels = frozenset()
ON_THE_BOARD: Labels = frozenset({Label.OPEN, Label.SAFETY})
"""What everybody who may watch the board may know; also the most that ever leaves the agency."""

CLINICAL: Labels = ON_THE_BOARD | {Label.CARE}
SWORN: Labels = ON_THE_BOARD | {Label.CJI}

_ROLES: dict[str, Labels] = {
    "dispatcher": ON_THE_BOARD,
    "supervisor": ON_THE_BOARD,
    "desk_clinician": CLINICAL,
    "fleet_tech": NOTHING,
    "privacy_auditor": NOTHING,
    "hub_admin": NOTHING,
    "wall": NOTHING,
    # programs: hub.tokens.TokenRole
    "positions_reader": frozenset({Label.OPEN}),
    "board_reader": ON_THE_BOARD,
    "dispatch_system": ON_THE_BOARD,
    "clinical_system": CLINICAL,
    "statistics": frozenset({Label.OPEN}),
}
_MAY_SEE_CJI = frozenset({"dispatcher", "dispatch_system"})
_CREW: dict[str, Labels] = {"specialist": CLINICAL, "clinician": CLINICAL, "sworn": SWORN}

FIELDS: dict[str, Label] = {  # of IncidentView, Dossier and wire.state.Assignment, which say the same by the same names
    **dict.fromkeys(
        (
            "id",
            "incident",
            "encounter",
            "number",
            "revision",
            "type",
            "type_label",
            "priority",
            "lat",
            "lon",
            "place",
            "problem",
            "skills",
            "languages",
            "state",
            "offered_ms",
            "opened_ms",
            "closed_ms",
            "reopened_ms",
            "disposition",
            "recommended",
            "merged_into",
            "need",
            "assignments",
            "others",
            "notes",
            "links",
            "earlier",
            "amber",
        ),
        Label.OPEN,
    ),
    **dict.fromkeys(("cautions", "gate", "gate_by"), Label.SAFETY),
}
ENTRIES = frozenset({"packet", "remarks", "known_cautions"})
"""Fields that are lists, each entry of which says its own label."""


class Labeled(Protocol):
    """An entry that says its own label."""

    @property
    def label(self) -> str: ...


S = TypeVar("S", bound=Struct)
L = TypeVar("L", bound=Labeled)


def of_role(role: str, *, has_cji: bool = False) -> Labels:
    """What somebody with this role at the console may see, or a program with this token's role. `has_cji`: the agency
    lets this dispatcher, or this dispatch system, see police records; it makes nothing of anybody else."""
    allowed = _ROLES.get(role, NOTHING)
    return allowed | {Label.CJI} if has_cji and role in _MAY_SEE_CJI else allowed


def of_crew(roles: Iterable[str]) -> Labels:
    """What a terminal may hold whose crew has these roles: a screen is read by everybody aboard, so only what each one
    may see. With nobody aboard, or somebody unknown, what anybody may."""
    aboard = set(roles)
    if not aboard:
        return ON_THE_BOARD
    return frozenset(Label).intersection(*(_CREW.get(role, ON_THE_BOARD) for role in aboard))


def only(entries: Iterable[L], allowed: Labels) -> tuple[L, ...]:
    """The entries whose label is allowed; one with a label that nobody knows is not."""
    return tuple(entry for entry in entries if entry.label in allowed)


def seen(value: S, allowed: Labels) -> S | None:
    """`value` as somebody may see it: what they may not is empty; None for who may not even know of it."""
    if Label.OPEN not in allowed:
        return None
    hidden: dict[str, object] = {}
    for field in value.__struct_fields__:
        here = getattr(value, field)
        if field in ENTRIES:
            hidden[field] = only(here, allowed)
        elif FIELDS.get(field) not in allowed:
            hidden[field] = _nothing(here)
    return replace(value, **hidden)


def _nothing(value: object) -> object:
    match value:
        case str():
            return ""
        case tuple():
            return ()
        case _:
            return None
