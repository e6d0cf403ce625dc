"""What came from the broker, and what it came to: values that ingest and the pipes around it speak in."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from hub.position import Position
from hub.presence import Owes
from wire.records import Receipt


class Why(StrEnum):
    """Why something stands in the quarantine. Few words, because they are counted."""

    TOPIC = "not a topic of ours"
    UNKNOWN_DEVICE = "unknown device"
    NOT_ENROLLED = "device not enrolled or revoked"
    MALFORMED = "malformed"
    SIGNATURE = "wrong signature"
    OTHER_DEVICE = "another device's"
    CONFLICT = "same number, other bytes"
    UNREADABLE = "unknown kind or unreadable body"
    OTHER_UNIT = "another unit's"
    NOT_THE_CREWS = "not the crew's to say"
    NEVER_SENT = "a version that was never sent"
    NOTE = "note not sealed as required"
    DAMAGED = "changed by its board's disk or memory"
    STEPPED_ASIDE = "not taken by the broker"


class Dropped(StrEnum):
    """Why something harmless was passed over: counted, not kept."""

    EARLIER_BOOT = "of an earlier boot"
    REPEATED = "repeated or late"
    OTHER_WILL = "will of another connection"
    QUARANTINE_FULL = "quarantine full"
    STRANGER = "of a second board with the same identity"


class Refusal(Exception):
    """A message changes nothing, for this reason. `is_whole`: all of its bytes are kept as evidence."""

    def __init__(self, why: Why, is_whole: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.is_whole = is_whole


class Arrival(Struct, frozen=True, kw_only=True):
    """One message as the broker handed it over."""

    topic: str
    payload: bytes


class Wanted(Struct, frozen=True, kw_only=True):
    """A desk asks for these notes."""

    device: str
    note_ids: tuple[bytes, ...]


class Taken(Struct, frozen=True, kw_only=True):
    """What a batch came to. Committed when the caller sees it.

    `receipts` are to be sent; `births` are devices that want every section; `here` and `gone` are devices heard and
    given up; `changed`: the board looks different; `affected`: devices whose desired state may have changed; `owes`: what
    terminals say that we do not have yet.
    """

    receipts: tuple[Receipt, ...] = ()
    births: tuple[str, ...] = ()
    here: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    changed: bool = False
    positions: tuple[Position, ...] = ()
    affected: tuple[str, ...] = ()
    wanted: tuple[Wanted, ...] = ()
    owes: tuple[Owes, ...] = ()
    refused: int = 0


class Marks:
    """What the ingest thread remembers between batches: the newest position message of each device, and counts.

    Lost with the process; `position_last` and the births bring back what keeps a replay out.
    """

    def __init__(self) -> None:
        self.newest: dict[str, tuple[bytes, int]] = {}
        self.dropped: dict[str, int] = {}

    def drop(self, why: Dropped) -> None:
        """Count something passed over."""
        self.dropped[why] = self.dropped.get(why, 0) + 1
