"""What a contact means, from samples of its level: settled through bounce and glitches, and a button that is held.

Pure, because the mock pins of the development board ignore gpiozero's own bounce time, and because a finger on a duress
button is proven by thought and not by luck. Samples come in order; nothing here waits, and no sequence of them raises.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

SETTLE_S = 0.04  # longer than a contact bounces, shorter than anybody notices
HOLD_S = 1.5  # nobody leans on it that long by accident
STUCK_S = 60.0  # nobody holds it that long on purpose
GAP_S_MAX = 0.5  # two lonely samples further apart than this are two glitches, not one finger


class Contact(Struct, frozen=True, kw_only=True):
    """A contact as it is believed. `differs_s`: since when, without a break, the samples say the other thing; None while
    they agree."""

    is_closed: bool
    since_s: float
    sampled_s: float
    differs_s: float | None = None


class Told(Enum):
    """What a held button has to say after a sample, once each time it is held."""

    RAISED = "raised"  # held long enough
    STUCK = "stuck"  # held so long that it is no finger: it can raise nothing until it opens
    RELEASED = "released"  # open again after it had raised


class Button(Struct, frozen=True, kw_only=True):
    """A button that must be held. It can raise when `has_raised` is false."""

    contact: Contact
    has_raised: bool = False
    is_stuck: bool = False


def contact_at_start(is_closed: bool, now_s: float) -> Contact:
    """The first sample is believed as it is: there is nothing to hold against it, and a held button must count."""
    return Contact(is_closed=is_closed, since_s=now_s, sampled_s=now_s)


def sampled(contact: Contact, is_closed: bool, now_s: float, settle_s: float = SETTLE_S) -> Contact:
    """`contact` after one more sample; it changes when samples have said so for `settle_s` without a break."""
    if is_closed == contact.is_closed:
        return Contact(is_closed=contact.is_closed, since_s=contact.since_s, sampled_s=now_s)
    has_gap = now_s - contact.sampled_s > max(GAP_S_MAX, settle_s)
    differs_s = now_s if contact.differs_s is None or has_gap else contact.differs_s
    if now_s - differs_s >= settle_s:
        return Contact(is_closed=is_closed, since_s=differs_s, sampled_s=now_s)
    return Contact(is_closed=contact.is_closed, since_s=contact.since_s, sampled_s=now_s, differs_s=differs_s)


def button_at_start(is_closed: bool, now_s: float) -> Button:
    """A button at its first sample. One that is held then counts from now."""
    return Button(contact=contact_at_start(is_closed, now_s))


def held(button: Button, is_closed: bool, now_s: float) -> tuple[Button, Told | None]:
    """`button` after one more sample, and what it says. It was held through a gap between samples if it is settled and
    closed at both ends: of the two mistakes that is the one that calls for help."""
    contact = sampled(button.contact, is_closed, now_s)
    if not contact.is_closed:
        return Button(contact=contact), Told.RELEASED if button.has_raised else None
    # While the samples disagree the finger may already be gone: what it has not done by then it does not do.
    held_s = (now_s if contact.differs_s is None else contact.differs_s) - contact.since_s
    if not button.has_raised:
        has_raised = held_s >= HOLD_S
        return Button(contact=contact, has_raised=has_raised), Told.RAISED if has_raised else None
    is_stuck = button.is_stuck or held_s >= STUCK_S
    told = Told.STUCK if is_stuck and not button.is_stuck else None
    return Button(contact=contact, has_raised=True, is_stuck=is_stuck), told
