"""Which faults a run may provoke, and how often each was really provoked: a fault that did nothing does not count."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum


class Fault(StrEnum):
    """Named as they are printed; the ids are those of the fault matrix."""

    LOST = "lost"  # F10: a packet never arrives
    DOUBLED = "doubled"  # F10
    REORDERED = "reordered"  # F10: overtaken by what was said after it
    PUBACK_LOST = "puback lost"  # F10
    GARBLED = "garbled"  # one bit of a payload is another one
    REPLAYED = "replayed"  # the broker says something old again
    SLOW = "slow link"  # F08: seconds of latency
    LINK_CUT = "link cut"  # F07: no link for minutes
    HALF_OPEN = "half-open link"  # F09
    BROKER_RESTARTED = "broker restarted"  # F11: with its store; it closes on everyone
    BROKER_WIPED = "broker wiped"  # F11: without its store
    QUEUE_FULL = "broker queue full"  # F12: taken, acknowledged and thrown away
    DENIED = "publish denied 0x87"  # F17
    NO_SUBSCRIBER = "nobody subscribed 0x10"
    KILLED = "terminal killed"  # F01
    POWER_CUT = "power cut"  # F02, F03
    TORN_COMMIT = "power cut inside a commit"  # F03
    POISON = "unreadable record"  # F22
    CLOCK_SET = "clock wrong and set"  # F20
    WEEKEND = "three days off"  # what was receipted before may be let go
    DISK_FULL = "disk full"  # F05: a terminal's files grow no more for a while
    BIT_ROT = "owed record damaged"  # F04: it steps aside
    RESEND = "order to send everything again"
    HUB_BEFORE_COMMIT = "hub died before commit"
    HUB_AFTER_COMMIT = "hub died between commit and receipt"  # F13
    HUB_HALF_SAID = "hub died among its receipts"  # F13
    HUB_AWAY = "hub away for long"  # F12
    HUB_DATABASE = "hub database failed"  # F14
    RESTORED = "hub restored"  # F15
    RESTORED_OLD = "hub restored from before what was let go"  # F15: the hole is recorded


ALL = frozenset(Fault)


class Provoked:
    """Counts of one run."""

    def __init__(self) -> None:
        self.counts: Counter[Fault] = Counter()

    def note(self, fault: Fault) -> None:
        """`fault` has happened, and somebody had to live with it."""
        self.counts[fault] += 1
