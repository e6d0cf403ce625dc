"""What a screen on a wall may show: visitors see it. Which units do what, and how long incidents wait.

No place, no name, no caution and no word that somebody said of anybody has a field here, so no page can show one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from hub.snapshot import AssignmentView, EmergencyView, IncidentView, UnitView

_ASSIGNED = ("assigned", "Assigned")
_ON_A_WALL = "vehicle"  # a desk goes nowhere
_AWAY = "off_duty"


class WallSent(Struct, frozen=True, kw_only=True):
    """A unit on an incident, in the status it has there."""

    call_sign: str
    status: str
    status_label: str
    since_ms: int
    is_acknowledged: bool


class WallIncident(Struct, frozen=True, kw_only=True):
    """An incident by its number."""

    number: int
    priority: int
    type_label: str
    is_staged: bool
    opened_ms: int
    units: tuple[WallSent, ...]


class WallUnit(Struct, frozen=True, kw_only=True):
    """A unit on duty. `is_silent`: its terminal has no link now."""

    call_sign: str
    status: str
    status_label: str
    status_ms: int
    is_silent: bool


class WallEmergency(Struct, frozen=True, kw_only=True):
    """A crew in danger, by its call sign."""

    call_sign: str
    is_drill: bool
    since_ms: int
    is_acknowledged: bool


class Wall(Struct, frozen=True, kw_only=True):
    """The whole screen. `incidents`: the most pressing first, as on the board."""

    now_ms: int
    agency: str
    emergencies: tuple[WallEmergency, ...]
    incidents: tuple[WallIncident, ...]
    units: tuple[WallUnit, ...]


def wall(
    emergencies: Iterable[EmergencyView],
    incidents: Iterable[IncidentView],
    units: Sequence[UnitView],
    agency: str,
    now_ms: int,
) -> Wall:
    """The screen as it is now."""
    by_id = {one.unit: one for one in units}
    shown = [_incident(one, by_id) for one in incidents]
    return Wall(
        now_ms=now_ms,
        agency=agency,
        emergencies=tuple(_emergency(one) for one in emergencies),
        incidents=tuple(sorted(shown, key=lambda one: (one.priority, bool(one.units), one.opened_ms, one.number))),
        units=tuple(
            WallUnit(
                call_sign=one.call_sign,
                status=one.status,
                status_label=one.status_label,
                status_ms=one.status_ms,
                is_silent=one.presence != "connected",
            )
            for one in units
            if one.kind == _ON_A_WALL and one.status != _AWAY
        ),
    )


def _emergency(one: EmergencyView) -> WallEmergency:
    return WallEmergency(
        call_sign=one.call_sign,
        is_drill=one.is_drill,
        since_ms=one.received_ms if one.pressed_ms is None else one.pressed_ms,
        is_acknowledged=one.acknowledged_ms is not None,
    )


def _incident(one: IncidentView, by_id: Mapping[str, UnitView]) -> WallIncident:
    return WallIncident(
        number=one.number,
        priority=one.priority,
        type_label=one.type_label,
        is_staged=one.gate == "staged",
        opened_ms=one.opened_ms,
        units=tuple(_sent(sent, by_id.get(sent.unit)) for sent in one.assignments if sent.released_ms is None),
    )


def _sent(sent: AssignmentView, unit: UnitView | None) -> WallSent:
    is_there = unit is not None and unit.assignment == sent.id
    status, words = (unit.status, unit.status_label) if unit is not None and is_there else _ASSIGNED
    return WallSent(
        call_sign=sent.call_sign,
        status=status,
        status_label=words,
        since_ms=unit.status_ms if unit is not None and is_there else sent.offered_ms,
        is_acknowledged=sent.acknowledged_ms is not None,
    )
