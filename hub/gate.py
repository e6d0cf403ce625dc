"""May a crew without a sworn member walk up: `unknown → staged ⇄ secure`. Pure.

The gate guards the button, not the truth: what a crew does anyway is kept and told, never blocked.
"""

from __future__ import annotations

from collections.abc import Mapping

from hub.errors import Refused
from wire.incident import TYPES, Gate
from wire.packet import DANGERS, UNKNOWN, YES

AUTHORITIES: dict[str, str] = {  # who may call a scene secure, always by name
    "supervisor": "supervisor",
    "police": "police on scene",
    "fire": "fire on scene",
    "relayed": "an officer, through dispatch",
}

NEXT: dict[Gate, frozenset[Gate]] = {
    Gate.UNKNOWN: frozenset({Gate.STAGED}),
    Gate.STAGED: frozenset({Gate.SECURE}),
    Gate.SECURE: frozenset({Gate.STAGED}),
}


def fresh(type_: str, answers: Mapping[str, str]) -> Gate:
    """The gate of a scene that nobody has looked at: a new incident, a new location, a reopened one."""
    known = TYPES.get(type_)
    is_gated = (known is not None and known.is_gated) or any(answers.get(code) in (YES, UNKNOWN) for code in DANGERS)
    return Gate.STAGED if is_gated else Gate.UNKNOWN


def after(gate: Gate, before: Mapping[str, str], answers: Mapping[str, str], *, was: str, type_: str) -> Gate:
    """The gate after what is known went from `before` to `answers`, and the type from `was` to `type_`.

    Danger that is news stages a scene, a secure one too. News never calls one secure: only somebody named does.
    """
    worse = [
        code
        for code in DANGERS
        if answers.get(code) != before.get(code)
        and (answers.get(code) == YES or (answers.get(code) == UNKNOWN and gate is Gate.UNKNOWN))
    ]
    known = TYPES.get(type_)
    is_worse_type = type_ != was and known is not None and known.is_gated
    return Gate.STAGED if worse or is_worse_type else gate


def secured(gate: Gate, authority: str, name: str) -> None:
    """Refused unless somebody may call this scene secure."""
    if authority not in AUTHORITIES or not name.strip():
        raise Refused(
            "reason_needed", "Say who called the scene secure: a supervisor, police or fire on scene, by name."
        )
    if Gate.SECURE not in NEXT[gate]:
        raise Refused("busy", f"The scene is {gate.value}, not staged. Stage it first, then say who calls it secure.")
