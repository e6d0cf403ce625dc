"""What the hub says: verified, committed, and only then believed. What is forged, broken or old is counted and dropped.

A snapshot and the fact that it is held are one transaction, so that dispatch never reads "on the terminal" of something
that a power cut could still take away.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from queue import Empty, Queue

import structlog
from msgspec import Struct
from sqlite_utils import Database

from edge import assignments, audit_head, emergency_kept, held, note_keys, orders, outbox
from edge.clock import Clock
from edge.clock_floor import MARGIN_MS
from edge.identity import Identity
from edge.link import Message
from edge.orders import Obeyed
from edge.outbox import LEDGER, Signer
from edge.store import Saves, is_full
from edge.sync import HubSaid
from serving.beats import ROUND_S_MAX
from wire import topics
from wire.codec import Malformed, decode
from wire.contract import SECTIONS, Content
from wire.facts import AuditFact, ShelfWanted, StateHeld
from wire.live import open_hub_presence
from wire.records import Kind, open_receipt
from wire.state import (
    Assignments,
    AuditHead,
    Emergencies,
    Orders,
    Routes,
    SealedDelivery,
    Shelf,
    Snapshot,
    TerminalSettings,
    Version,
    open_delivery,
    open_snapshot,
    unseal,
)
from wire.topics import HUB_PRESENCE, Receipts, SealedNotes, Section, State

INBOX_MAX = 256  # beyond this the broker waits: it keeps what it has not delivered

log = structlog.get_logger()


class Desk(Struct, frozen=True, kw_only=True):
    """What a desk does with sealed notes, each inside the caller's transaction: keep one that came, if it is genuine;
    name those of the shelf that are not here yet."""

    keep: Callable[[Database, SealedDelivery], bool]
    wanted: Callable[[Database, Shelf], tuple[bytes, ...]]


def inbox() -> Queue[Message | None]:
    """Where the link puts what came for `Downlink`."""
    return Queue(INBOX_MAX)


class Downlink:
    """One thread that takes what came in order. `hub_said`, `spread`, `settings`, `assigned`, `routed`, `wake`, `refused`, `ordered`, `contradicted`, `contested` are told
    what it means; `desk` is None in a vehicle."""

    def __init__(
        self,
        inbox: Queue[Message | None],
        logs: Mapping[str, Saves],
        identity: Identity,
        signer: Signer,
        clock: Clock,
        *,
        hub_said: Callable[[HubSaid], None],
        spread: Callable[[float], None],
        settings: Callable[[TerminalSettings], None],
        wake: Callable[[], None],
        refused: Callable[[], None],
        desk: Desk | None,
        assigned: Callable[[Assignments], None] = lambda said: None,
        routed: Callable[[Routes], None] = lambda said: None,
        ordered: Callable[[Obeyed], None] = lambda obeyed: None,
        contradicted: Callable[[], None] = lambda: None,
        beat: Callable[[], None] = lambda: None,
        contested: Callable[[], None] = lambda: None,
    ) -> None:
        self._beat = beat
        self._ledger = logs[LEDGER]
        self._by_log_id = {store.do(outbox.numbers).log_id: store for store in logs.values()}
        self._kept_base_ms = {
            log_id: store.do(outbox.last_receipted_ms) - clock.mono_ms() for log_id, store in self._by_log_id.items()
        }
        self._identity = identity
        self._signer = signer
        self._clock = clock
        self._hub_said = hub_said
        self._spread = spread
        self._settings = settings
        self._wake = wake
        self._refused = refused
        self._desk = desk
        self._assigned = assigned
        self._routed = routed
        self._ordered = ordered
        self._contradicted = contradicted
        self._contested = contested
        self._obeyed = Obeyed()  # by the newest list that was kept
        self._inbox = inbox
        self._audited: Version | None = None
        self._has_asked = False  # for the notes of the shelf, since the hub last said that it is there

    def stop(self) -> None:
        """`run` returns when everything heard before has been taken."""
        self._inbox.put(None)

    def run(self) -> None:
        """Take what is heard, until `stop`."""
        while True:
            self._beat()
            try:
                message = self._inbox.get(timeout=ROUND_S_MAX)
            except Empty:
                continue
            if message is None:
                return
            try:
                self.take(message)
            except Malformed as wrong:
                self._refused()
                log.warning("refused", topic=message.topic, bytes=len(message.payload), why=str(wrong))
            except sqlite3.Error as wrong:  # full: the hub says a receipt again, and a section with the next birth
                if not is_full(wrong):
                    raise
                log.error("downlink_disk_full", topic=message.topic)

    def take(self, message: Message) -> None:
        """Take one message; Malformed when it is forged, broken or for somebody else, and then nothing has changed."""
        if message.topic == HUB_PRESENCE:
            self._presence(message.payload)
            return
        match topics.parse(message.topic):
            case Receipts(device) if device == self._identity.device:
                self._receipt(message.payload)
            case State(device, section) if device == self._identity.device:
                self._state(section, message.payload)
            case SealedNotes(device) if device == self._identity.device:
                self._note(message.payload)
            case _:
                raise Malformed("something that is not for this terminal")

    def _presence(self, payload: bytes) -> None:
        presence = open_hub_presence(payload, self._identity.snapshot_public)
        if not self._ledger.do(lambda db: held.epoch_stands(db, presence.epoch)):
            raise Malformed("the presence of an earlier life of the hub")
        self._has_asked = False
        self._clock.not_earlier(presence.wall_ms - MARGIN_MS)  # kept by the broker for days perhaps, and still past
        self._spread(presence.spread_s)
        self._hub_said(HubSaid(presence.is_here, presence.epoch))

    def _receipt(self, payload: bytes) -> None:
        receipt = open_receipt(payload, self._identity.device, self._identity.snapshot_public)
        store = self._by_log_id.get(receipt.log_id)
        if store is None:
            log.info("receipt_of_an_old_log", log_id=receipt.log_id.hex())
            return
        if receipt.is_contested:
            self._contested()
        now_ms = self._kept_base_ms[receipt.log_id] + self._clock.mono_ms()
        is_anothers, has_moved = store.do(
            lambda db: (
                outbox.is_anothers(db, receipt, self._signer),
                outbox.take_receipt(db, receipt, now_ms, self._signer),
            )
        )
        if is_anothers:
            log.error("receipt_of_a_twin", log_id=receipt.log_id.hex(), through=receipt.through)
            self._contradicted()
        elif has_moved:
            self._wake()

    def _state(self, section: str, payload: bytes) -> None:
        kind = SECTIONS.get(section)
        if kind is None:
            return  # a newer hub's; it will not be told that we hold it
        snapshot = open_snapshot(payload, self._identity.device, section, self._identity.snapshot_public)
        content: Content = decode(unseal(snapshot, self._identity.kem), kind)
        try:
            is_new = self._ledger.do(lambda db: self._keep(db, snapshot, content, payload))
        except Malformed as wrong:
            self._audit_refusal(snapshot, str(wrong))
            raise
        if is_new:
            log.info("state_held", section=section, epoch=snapshot.version.epoch, n=snapshot.version.n)
            if isinstance(content, TerminalSettings):
                self._settings(content)
            if isinstance(content, Assignments):
                self._assigned(content)
            if isinstance(content, Routes):
                self._routed(content)
            if isinstance(content, Orders):
                self._ordered(self._obeyed)
        self._wake()

    def _keep(self, db: Database, snapshot: Snapshot, content: Content, payload: bytes) -> bool:
        """Whether it was new. Kept and answered in one; a version we hold was answered when it came and is not again.

        Malformed, and nothing kept, when settings bring note keys that the agency's own keys do not vouch for, or when the hub's
        audit has become shorter, or another.
        """
        version, before = snapshot.version, held.about(db, snapshot.section)
        told = (
            held.content(db, self._identity.kem, Section.AUDIT, AuditHead) if isinstance(content, AuditHead) else None
        )
        is_new = held.keep(db, snapshot.section, version, payload, self._clock.wall_ms())
        if is_new and isinstance(content, TerminalSettings):
            note_keys.pin(db, note_keys.offered(self._identity, content))
        if is_new:
            fact = StateHeld(section=snapshot.section, epoch=version.epoch, n=version.n)
            outbox.append(db, self._signer, self._clock.stamp(), Kind.STATE_HELD, fact)
        if is_new and isinstance(content, AuditHead):
            last = None if before is None or told is None else (before.version.epoch, told)
            word = audit_head.countersigned(last, version.epoch, content)
            outbox.append(db, self._signer, self._clock.stamp(), Kind.AUDIT, word)
        if is_new and isinstance(content, Assignments):
            assignments.fold(db, content)
            if before is not None and before.version.epoch < version.epoch:
                assignments.remember(db, content)
        if is_new and isinstance(content, Emergencies):
            emergency_kept.fold(db, content)
        if is_new and isinstance(content, Orders):
            is_restored = before is not None and before.version.epoch < version.epoch
            self._obeyed = orders.fold(db, self._signer, self._clock.stamp(), content, is_restored=is_restored)
        if isinstance(content, Shelf) and (is_new or not self._has_asked):
            self._ask(db, content)
        return is_new

    def _audit_refusal(self, snapshot: Snapshot, why: str) -> None:
        if snapshot.version == self._audited:
            return  # the hub says it again with each birth; once is enough for an auditor
        self._audited = snapshot.version
        fact = AuditFact(what="settings_refused", outcome="denied", about=snapshot.section, reason=why)
        self._ledger.do(lambda db: outbox.append(db, self._signer, self._clock.stamp(), Kind.AUDIT, fact))
        self._wake()

    def _ask(self, db: Database, shelf: Shelf) -> None:
        """Owe the hub the wish for what is missing: when the shelf changed, and again for each connection."""
        self._has_asked = True
        wanted = self._desk.wanted(db, shelf) if self._desk else ()
        if wanted:
            fact = ShelfWanted(note_ids=wanted)
            outbox.append(db, self._signer, self._clock.stamp(), Kind.SHELF_WANTED, fact)

    def _note(self, payload: bytes) -> None:
        delivery = open_delivery(payload, self._identity.device, self._identity.snapshot_public)
        desk = self._desk
        if desk is None:
            raise Malformed("a sealed note for a vehicle")
        if not self._ledger.do(lambda db: desk.keep(db, delivery)):
            raise Malformed("a sealed note that is not genuine, or not on this desk's shelf")
