"""Which message goes where: for each topic its channel, its type, who signs it and what may be inside.

The topic tree is in `wire.topics`; here is what it carries. What terminal and hub look up, and what the published
description is made from, is this one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from wire.compact import CompactLive
from wire.facts import (
    AuditFact,
    ClockCorrected,
    DamagedFact,
    EmergencyFact,
    LedgerDamaged,
    OrderDone,
    RefusedFact,
    ShelfWanted,
    ShiftFact,
    StateHeld,
    StatusFact,
)
from wire.live import HubPresence, Live, Presence
from wire.parts import Part
from wire.records import Alarm, Kind, Receipt, Record
from wire.signature import Context, Signed
from wire.state import (
    Assignments,
    AuditHead,
    Emergencies,
    Orders,
    Roster,
    Routes,
    SealedDelivery,
    Shelf,
    Snapshot,
    TerminalSettings,
)
from wire.topics import Section


class Opaque(StrEnum):
    """A body that is no Struct; its layout is told in docs/wire.md."""

    NOTE = "a sealed note: [body, signer, signature]"
    TRAIL = "a packed trail: [2, mono_ms, lat, lon, speed, heading, dropped]"


class Channel(Struct, frozen=True, kw_only=True):
    """One topic. `address` as MQTT has it; `messages`: what may come, each signed by `signer` under the context of the same
    place; `is_up`: said by the terminal, and else by the hub."""

    name: str
    address: str
    messages: tuple[type[Struct], ...]
    contexts: tuple[Context, ...]
    signer: str
    qos: int
    is_retained: bool
    is_up: bool
    summary: str


DEVICE = "the device's key, of its certificate"
SNAPSHOT = "the hub's snapshot key"

BODIES: Mapping[str, type[Struct] | Opaque] = {
    Kind.STATUS: StatusFact,
    Kind.STATE_HELD: StateHeld,
    Kind.SHIFT: ShiftFact,
    Kind.NOTE: Opaque.NOTE,
    Kind.SHELF_WANTED: ShelfWanted,
    Kind.EMERGENCY: EmergencyFact,
    Kind.AUDIT: AuditFact,
    Kind.TRAIL: Opaque.TRAIL,
    Kind.CLOCK_CORRECTED: ClockCorrected,
    Kind.LEDGER_DAMAGED: LedgerDamaged,
    Kind.SALVAGED: Signed,
    Kind.PART: Part,
    Kind.DAMAGED: DamagedFact,
    Kind.REFUSED: RefusedFact,
    Kind.ORDER_DONE: OrderDone,
}
"""What the body of a record is, by its kind."""

Content = Assignments | Roster | TerminalSettings | Shelf | Emergencies | Orders | Routes | AuditHead

SECTIONS: Mapping[str, type[Content]] = {
    Section.ASSIGNMENTS: Assignments,
    Section.ROSTER: Roster,
    Section.SETTINGS: TerminalSettings,
    Section.SHELF: Shelf,
    Section.EMERGENCY: Emergencies,
    Section.ORDERS: Orders,
    Section.ROUTES: Routes,
    Section.AUDIT: AuditHead,
}
"""What a snapshot opens to, by its section."""

CHANNELS: tuple[Channel, ...] = (
    Channel(
        name="live",
        address="tandem/v1/{device}/up/live",
        messages=(CompactLive, Live),
        contexts=(Context.LIVE_2, Context.LIVE),
        signer=DEVICE,
        qos=0,
        is_retained=False,
        is_up=True,
        summary="The newest position; lost if lost.",
    ),
    Channel(
        name="log",
        address="tandem/v1/{device}/up/log",
        messages=(Record,),
        contexts=(Context.RECORD,),
        signer=DEVICE,
        qos=1,
        is_retained=False,
        is_up=True,
        summary="Every durable record, in order, owed until a receipt covers it.",
    ),
    Channel(
        name="alarm",
        address="tandem/v1/{device}/up/alarm",
        messages=(Record, Alarm),
        contexts=(Context.RECORD, Context.ALARM),
        signer=DEVICE,
        qos=1,
        is_retained=False,
        is_up=True,
        summary="A copy of an emergency's record, ahead of the log; or an emergency that could not be saved in time.",
    ),
    Channel(
        name="presence",
        address="tandem/v1/{device}/up/presence",
        messages=(Presence,),
        contexts=(Context.PRESENCE,),
        signer=DEVICE,
        qos=1,
        is_retained=True,
        is_up=True,
        summary="The birth of a session, and the will that the broker speaks for one that is gone.",
    ),
    Channel(
        name="receipt",
        address="tandem/v1/{device}/down/receipt",
        messages=(Receipt,),
        contexts=(Context.RECEIPT,),
        signer=SNAPSHOT,
        qos=0,
        is_retained=False,
        is_up=False,
        summary="The hub holds everything of a log through a number.",
    ),
    Channel(
        name="state",
        address="tandem/v1/{device}/down/state/{section}",
        messages=(Snapshot,),
        contexts=(Context.STATE,),
        signer=SNAPSHOT,
        qos=1,
        is_retained=False,
        is_up=False,
        summary="One section of what the terminal should hold, whole, versioned and sealed to it.",
    ),
    Channel(
        name="sealed",
        address="tandem/v1/{device}/down/sealed",
        messages=(SealedDelivery,),
        contexts=(Context.SEALED,),
        signer=SNAPSHOT,
        qos=1,
        is_retained=False,
        is_up=False,
        summary="A sealed note that a desk asked for.",
    ),
    Channel(
        name="hub",
        address="tandem/v1/hub/presence",
        messages=(HubPresence,),
        contexts=(Context.HUB_PRESENCE,),
        signer=SNAPSHOT,
        qos=1,
        is_retained=True,
        is_up=False,
        summary="Whether the hub listens.",
    ),
)
