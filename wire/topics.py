"""The topic tree, as values and back.

tandem/v1/{device}/up/live              newest position, QoS 0, lost if lost
tandem/v1/{device}/up/log               every durable record, QoS 1, in order
tandem/v1/{device}/up/alarm             a copy of an emergency record, or one without a number, QoS 1, ahead of the log
tandem/v1/{device}/up/presence          birth, and the will, QoS 1, retained
tandem/v1/{device}/down/receipt         QoS 1
tandem/v1/{device}/down/state/{section} QoS 1
tandem/v1/{device}/down/sealed          QoS 1
tandem/v1/hub/presence                  QoS 1, retained
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from wire.codec import Malformed
from wire.ids import device_id

ROOT = "tandem/v1"
HUB_PRESENCE = f"{ROOT}/hub/presence"
EVERY_UP = f"{ROOT}/+/up/#"  # the one subscription of the hub: two that overlap would deliver twice


class Up(StrEnum):
    """What a terminal says."""

    LIVE = "live"
    LOG = "log"
    ALARM = "alarm"
    PRESENCE = "presence"


class Section(StrEnum):
    """The parts of the state that a terminal should hold."""

    ASSIGNMENTS = "assignments"
    ROSTER = "roster"
    SETTINGS = "settings"
    SHELF = "shelf"
    EMERGENCY = "emergency"
    ORDERS = "orders"
    ROUTES = "routes"
    AUDIT = "audit"


class UpTopic(Struct, frozen=True):
    """What `device` says on one of its channels."""

    device: str
    channel: Up


class Receipts(Struct, frozen=True):
    """The hub's receipts for `device`."""

    device: str


class State(Struct, frozen=True):
    """One section of what `device` should hold. `section` is plain text: a terminal ignores one it does not know."""

    device: str
    section: str


class SealedNotes(Struct, frozen=True):
    """Sealed notes that `device` asked for."""

    device: str


_CHANNELS = frozenset(str(channel) for channel in Up)  # until 3.12 a str is never `in` an enum

Topic = UpTopic | Receipts | State | SealedNotes


def text(topic: Topic) -> str:
    """The topic as MQTT has it."""
    match topic:
        case UpTopic(device, channel):
            return f"{ROOT}/{device}/up/{channel}"
        case Receipts(device):
            return f"{ROOT}/{device}/down/receipt"
        case State(device, section):
            return f"{ROOT}/{device}/down/state/{section}"
        case SealedNotes(device):
            return f"{ROOT}/{device}/down/sealed"


def parse(raw: str) -> Topic:
    """The inverse of `text`; Malformed for anything else, the hub's own presence included."""
    head, _, rest = raw.partition(f"{ROOT}/")
    if head or not rest:
        raise Malformed("not a topic of ours")
    device, *levels = rest.split("/")
    device_id(device)
    match levels:
        case ["up", channel] if channel in _CHANNELS:
            return UpTopic(device, Up(channel))
        case ["down", "receipt"]:
            return Receipts(device)
        case ["down", "sealed"]:
            return SealedNotes(device)
        case ["down", "state", section] if section.isalpha() and section.islower() and section.isascii():
            return State(device, section)
        case _:
            raise Malformed("not a topic of ours")


def every_down(device: str) -> str:
    """The one subscription of a terminal beside the hub's presence."""
    return f"{ROOT}/{device_id(device)}/down/#"
