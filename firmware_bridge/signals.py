"""What lamps and buzzer do: light and sound as functions of what there is to say and of the seconds since.

Three lamps have three meanings and one language: steady is well, blinking asks for a look, a short flash now and then
says "I live, but I do not have it". A lamp that is dark has no power or no program; only the emergency lamp is dark when
all is well. Raising an emergency makes no sound at all.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import accumulate

DAY = 1.0
NIGHT = 0.15  # seen from the seat, and nothing that a driver's eyes have to recover from


class Light(StrEnum):
    """What a lamp does."""

    DARK = "dark"
    STEADY = "steady"
    BLINKING = "blinking"  # fast
    SLOW = "slow"
    FLASHING = "flashing"  # short, with a long pause


class EmergencyLamp(StrEnum):
    """How far a call for help has come, as the lamp knows it."""

    NONE = "none"
    RAISED = "raised"
    RECEIVED = "received"
    ACKNOWLEDGED = "acknowledged"


class LinkLamp(StrEnum):
    """Whether the hub hears us, as the lamp knows it."""

    UP = "up"
    AWAY = "away"  # the broker answers, the hub does not listen
    DOWN = "down"


class Alert(StrEnum):
    """What the buzzer can say."""

    ASSIGNMENT = "assignment"
    CHANGE = "change"
    EMERGENCY_ACKNOWLEDGED = "emergency_acknowledged"
    UNSAVED = "unsaved"


EMERGENCY_LIGHT = {
    EmergencyLamp.NONE: Light.DARK,
    EmergencyLamp.RAISED: Light.BLINKING,
    EmergencyLamp.RECEIVED: Light.BLINKING,  # only a person's word makes it steady
    EmergencyLamp.ACKNOWLEDGED: Light.STEADY,
}
LINK_LIGHT = {LinkLamp.UP: Light.STEADY, LinkLamp.AWAY: Light.SLOW, LinkLamp.DOWN: Light.FLASHING}
GPS_LIGHT = {  # by the words of the terminal's receiver state; a word not listed flashes
    "none": Light.DARK,
    "fix": Light.STEADY,
    "no fix": Light.SLOW,
}

_LIT_S = {Light.BLINKING: (0.2, 0.2), Light.SLOW: (1.0, 1.0), Light.FLASHING: (0.1, 1.9)}  # lit, dark, and again

# Told apart by rhythm alone: a piezo has one pitch. Seconds of sound, silence, sound, …
RHYTHM: dict[Alert, tuple[float, ...]] = {
    Alert.ASSIGNMENT: (0.5, 0.2, 0.5, 0.2, 0.5),  # three long
    Alert.CHANGE: (0.12, 0.12, 0.12),  # two short
    Alert.EMERGENCY_ACKNOWLEDGED: (0.06,),  # one tick: who knows hears it, who does not takes it for the car
    Alert.UNSAVED: (0.1, 0.1, 0.1, 0.1, 0.1, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1),  # three short, twice
}


def is_lit(light: Light, since_s: float) -> bool:
    """Whether the lamp shines, `since_s` after it began to do this. Everything that shines at all begins lit."""
    match light:
        case Light.DARK:
            return False
        case Light.STEADY:
            return True
        case _:
            lit_s, dark_s = _LIT_S[light]
            return since_s % (lit_s + dark_s) < lit_s


def brightness(has_headlights: bool | None) -> float:
    """How bright a lamp is when it shines. None: there is no headlight line, so it is always day."""
    return NIGHT if has_headlights else DAY


def is_sounding(alert: Alert, since_s: float) -> bool:
    """Whether the buzzer sounds, `since_s` after it began to say `alert`."""
    if since_s < 0:
        return False
    turns = [turn_s for turn_s in accumulate(RHYTHM[alert]) if turn_s <= since_s]
    return len(turns) % 2 == 0 and len(turns) < len(RHYTHM[alert])


def length_s(alert: Alert) -> float:
    """How long `alert` takes."""
    return sum(RHYTHM[alert])
