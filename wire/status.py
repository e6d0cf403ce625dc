"""What a unit is doing: the words, what may follow what, and what other systems call it.

The table decides which buttons show, never what is stored: a signed status that skips a step happened all the same and
is kept, flagged as skipped. Words and order: EIDO (NENA-STA-021.1b) unit statuses.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """A unit's status. An emergency is not one: it stands beside the status and neither changes the other."""

    OFF_DUTY = "off_duty"
    AVAILABLE = "available"
    ASSIGNED = "assigned"
    ACKNOWLEDGED = "acknowledged"
    EN_ROUTE = "en_route"
    STAGED = "staged"
    ON_SCENE = "on_scene"
    CONTACT = "contact"
    TRANSPORTING = "transporting"
    AT_FACILITY = "at_facility"
    CLEARING = "clearing"
    BREAK = "break"
    OUT_OF_SERVICE = "out_of_service"


class By(StrEnum):
    """Who may set a status: the crew, a dispatcher on behalf, a supervisor, or the hub as a consequence."""

    CREW = "crew"
    DISPATCHER = "dispatcher"
    SUPERVISOR = "supervisor"
    HUB = "hub"


_S = Status

NEXT: dict[Status, tuple[Status, ...]] = {  # the most likely next one first: it becomes the large button
    _S.OFF_DUTY: (_S.AVAILABLE, _S.OUT_OF_SERVICE),
    _S.AVAILABLE: (_S.ASSIGNED, _S.EN_ROUTE, _S.ON_SCENE, _S.BREAK, _S.OUT_OF_SERVICE, _S.OFF_DUTY),
    _S.ASSIGNED: (_S.ACKNOWLEDGED, _S.EN_ROUTE, _S.AVAILABLE),
    _S.ACKNOWLEDGED: (_S.EN_ROUTE, _S.AVAILABLE),
    _S.EN_ROUTE: (_S.ON_SCENE, _S.STAGED, _S.AVAILABLE),
    _S.STAGED: (_S.ON_SCENE, _S.EN_ROUTE, _S.CLEARING, _S.AVAILABLE),
    _S.ON_SCENE: (_S.CONTACT, _S.CLEARING, _S.STAGED, _S.TRANSPORTING),
    _S.CONTACT: (_S.CLEARING, _S.TRANSPORTING, _S.STAGED),
    _S.TRANSPORTING: (_S.AT_FACILITY, _S.CLEARING),
    _S.AT_FACILITY: (_S.CLEARING, _S.TRANSPORTING),
    _S.CLEARING: (
        _S.AVAILABLE,
        _S.ASSIGNED,
        _S.EN_ROUTE,
        _S.BREAK,
        _S.OUT_OF_SERVICE,
        _S.OFF_DUTY,
    ),
    _S.BREAK: (_S.AVAILABLE, _S.ASSIGNED, _S.OUT_OF_SERVICE, _S.OFF_DUTY),
    _S.OUT_OF_SERVICE: (_S.AVAILABLE, _S.OFF_DUTY),
}

SET_BY: dict[Status, frozenset[By]] = {
    _S.OFF_DUTY: frozenset({By.CREW, By.DISPATCHER, By.SUPERVISOR}),
    _S.ASSIGNED: frozenset({By.HUB}),
    _S.CLEARING: frozenset({By.CREW, By.DISPATCHER, By.HUB}),
    _S.OUT_OF_SERVICE: frozenset({By.CREW, By.DISPATCHER, By.SUPERVISOR}),
    **{
        status: frozenset({By.CREW, By.DISPATCHER})
        for status in Status
        if status not in (_S.OFF_DUTY, _S.ASSIGNED, _S.CLEARING, _S.OUT_OF_SERVICE)
    },
}

LABEL: dict[Status, str] = {
    _S.OFF_DUTY: "Off duty",
    _S.AVAILABLE: "Available",
    _S.ASSIGNED: "Assigned",
    _S.ACKNOWLEDGED: "Acknowledged",
    _S.EN_ROUTE: "En route",
    _S.STAGED: "Staged",
    _S.ON_SCENE: "On scene",
    _S.CONTACT: "With person",
    _S.TRANSPORTING: "Transporting",
    _S.AT_FACILITY: "At facility",
    _S.CLEARING: "Clearing",
    _S.BREAK: "Break",
    _S.OUT_OF_SERVICE: "Out of service",
}

EIDO: dict[Status, tuple[str, tuple[str, ...]]] = {  # primary, secondary
    _S.OFF_DUTY: ("NotAvailable", ("OffDuty",)),
    _S.AVAILABLE: ("Available", ("OnDuty",)),
    _S.ASSIGNED: ("NotAvailable", ("Assigned", "Dispatched")),
    _S.ACKNOWLEDGED: ("NotAvailable", ("Dispatched", "AcknowledgedTransmission")),
    _S.EN_ROUTE: ("NotAvailable", ("EnRoute",)),
    _S.STAGED: ("NotAvailable", ("Staging",)),
    _S.ON_SCENE: ("NotAvailable", ("OnScene",)),
    _S.CONTACT: ("NotAvailable", ("OnScene", "PatientContact")),
    _S.TRANSPORTING: ("NotAvailable", ("Transporting",)),
    _S.AT_FACILITY: ("NotAvailable", ("Arrived",)),
    _S.CLEARING: ("ConditionallyAvailable", ("Cleared",)),
    _S.BREAK: ("ConditionallyAvailable", ("Break",)),
    _S.OUT_OF_SERVICE: ("NotAvailable", ("OutofService",)),
}

ACTIVE = frozenset(  # an assignment is being worked on
    {_S.ASSIGNED, _S.ACKNOWLEDGED, _S.EN_ROUTE, _S.STAGED, _S.ON_SCENE, _S.CONTACT, _S.TRANSPORTING, _S.AT_FACILITY}
)
DESK = (_S.AVAILABLE, _S.BREAK, _S.OUT_OF_SERVICE, _S.OFF_DUTY)
ACKNOWLEDGING = frozenset({_S.ACKNOWLEDGED, _S.EN_ROUTE, _S.STAGED, _S.ON_SCENE, _S.CONTACT})
"""A person who presses one of these has seen the assignment."""

GOING = frozenset({_S.ASSIGNED, _S.ACKNOWLEDGED, _S.EN_ROUTE, _S.STAGED})
"""A unit with one of these is on its way to a place."""


_BY_WORD = {str(status): status for status in Status}


def may_follow(current: Status, new: Status) -> bool:
    """Whether `new` is a step the table knows after `current`."""
    return new in NEXT[current]


def buttons(current: Status, by: By) -> tuple[Status, ...]:
    """The statuses to offer `by` after `current`, the most likely first."""
    return tuple(status for status in NEXT[current] if by in SET_BY[status])


def status_from(word: str) -> Status | None:
    """The status called `word`; None when this program does not know it (a newer one may)."""
    return _BY_WORD.get(word)
