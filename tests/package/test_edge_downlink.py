"""What is said to a terminal: genuine and newer changes it, everything else is counted and changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Queue

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct
from sqlite_utils import Database

from edge import downlink, held, outbox, schema
from edge.audit_head import last_told
from edge.clock import Clock
from edge.downlink import Desk, Downlink
from edge.link import Message
from edge.outbox import LEDGER, TRAIL, Signer
from edge.store import Store
from edge.sync import HubSaid
from tests.terminal_fleet import TerminalFleet
from wire import topics
from wire.codec import Malformed, decode, encode
from wire.facts import AuditFact, ShelfWanted, StateHeld, StatusFact
from wire.live import HubPresence, sign_hub_presence
from wire.records import Kind, Receipt, Record, open_record, sign_receipt
from wire.state import (
    Assignments,
    AuditHead,
    Roster,
    Route,
    Routes,
    SealedDelivery,
    Shelf,
    ShelfEntry,
    TerminalSettings,
    Version,
    seal_snapshot,
    sign_delivery,
)
from wire.topics import HUB_PRESENCE, Receipts, SealedNotes, State

ROSTER = Roster(agency="Lakeshore CARE", unit="u1", call_sign="CARE-1", staff=())
SHELF = Shelf(
    entries=(
        ShelfEntry(
            note_id=b"n" * 16,
            body_sha256=b"b" * 32,
            encounter=b"e" * 16,
            incident=None,
            call_sign=None,
            kind=1,
            disposition=None,
            held_ms=0,
        ),
    )
)


class Terminal:
    """A terminal's downlink, and what it told the rest."""

    def __init__(self, home: Path) -> None:
        self.fleet, self.strangers = TerminalFleet(), TerminalFleet()
        self.who = self.fleet.terminal(home, "care-1")
        self.stores = {
            LEDGER: Store(home / "ledger.db", schema.LEDGER),
            TRAIL: Store(home / "trail.db", schema.TRAIL),
        }
        self.ledger = self.stores[LEDGER]
        self.signer, self.clock = Signer("care-1", self.who.key), Clock(bytes(16))
        self.said: list[HubSaid] = []
        self.settings: list[TerminalSettings] = []
        self.routed: list[Routes] = []
        self.refusals = self.woken = 0
        self.kept: list[SealedDelivery] = []
        self.is_genuine = True
        self.inbox: Queue[Message | None] = downlink.inbox()
        self.downlink = Downlink(
            self.inbox,
            self.stores,
            self.who,
            self.signer,
            self.clock,
            hub_said=self.said.append,
            spread=lambda _: None,
            settings=self.settings.append,
            routed=self.routed.append,
            wake=self._wake,
            refused=self._refuse,
            desk=Desk(keep=self._keep, wanted=lambda _, shelf: tuple(entry.note_id for entry in shelf.entries)),
        )

    def hear(self, *messages: Message) -> None:
        """As the link delivers them."""
        for message in messages:
            self.inbox.put(message)
        self.downlink.stop()
        self.downlink.run()

    def snapshot(self, section: str, content: Struct, version: Version, fleet: TerminalFleet | None = None) -> Message:
        public = self.who.kem.public_key()
        data = seal_snapshot("care-1", section, version, encode(content), public, (fleet or self.fleet).snapshot)
        return Message(topics.text(State("care-1", section)), data)

    def version(self, section: str) -> Version | None:
        about = self.ledger.do(lambda db: held.about(db, section))
        return about.version if about else None

    def records(self) -> list[Record]:
        owed = self.ledger.do(lambda db: outbox.read(db, 1, 100, 1_000_000))
        return [open_record(record.data, "care-1", self.who.key.public_key()) for record in owed]

    def facts(self, kind: Kind, of: type[Struct]) -> list[Struct]:
        return [decode(record.body, of) for record in self.records() if record.kind == kind]

    def _wake(self) -> None:
        self.woken += 1

    def _refuse(self) -> None:
        self.refusals += 1

    def _keep(self, db: Database, delivery: SealedDelivery) -> bool:
        self.kept.append(delivery)
        return self.is_genuine


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    for store in made.stores.values():
        store.close()


def test_a_snapshot_is_held_and_answered_in_one(terminal: Terminal) -> None:
    terminal.hear(terminal.snapshot("roster", ROSTER, Version(1, 4)))
    assert terminal.ledger.do(lambda db: held.content(db, terminal.who.kem, "roster", Roster)) == ROSTER
    assert terminal.facts(Kind.STATE_HELD, StateHeld) == [StateHeld(section="roster", epoch=1, n=4)]
    assert terminal.woken


def test_an_older_or_equal_snapshot_changes_and_answers_nothing(terminal: Terminal) -> None:
    newest = terminal.snapshot("roster", ROSTER, Version(2, 1))
    terminal.hear(newest, newest, terminal.snapshot("roster", ROSTER, Version(1, 9)))
    assert terminal.version("roster") == Version(2, 1)
    assert len(terminal.records()) == 1
    assert terminal.refusals == 0


def test_a_higher_epoch_wins_over_a_higher_number(terminal: Terminal) -> None:
    terminal.hear(
        terminal.snapshot("roster", ROSTER, Version(1, 9)), terminal.snapshot("roster", ROSTER, Version(2, 1))
    )
    assert terminal.version("roster") == Version(2, 1)


def test_what_is_not_genuine_is_counted_and_changes_nothing(terminal: Terminal) -> None:
    good = terminal.snapshot("roster", ROSTER, Version(1, 1))
    receipt = Receipt(v=1, device="care-1", log_id=terminal.ledger.do(outbox.numbers).log_id, through=1, epoch=1)
    here = HubPresence(v=1, is_here=True, epoch=1, spread_s=1.0, wall_ms=0)
    stranger = terminal.strangers.snapshot
    forged = (
        terminal.snapshot("roster", ROSTER, Version(1, 1), terminal.strangers),
        Message(good.topic, good.payload[:-1]),
        Message(good.topic, b""),
        Message(topics.text(State("care-1", "assignments")), good.payload),
        Message(topics.text(State("care-2", "roster")), good.payload),
        Message("tandem/v1/care-1/up/log", good.payload),
        Message(topics.text(Receipts("care-1")), sign_receipt(receipt, stranger)),
        Message(topics.text(Receipts("care-1")), good.payload),
        Message(HUB_PRESENCE, sign_hub_presence(here, stranger)),
        terminal.snapshot("assignments", ROSTER, Version(1, 1)),
    )
    terminal.hear(*forged)
    assert terminal.refusals == len(forged)
    assert terminal.records() == []
    assert terminal.said == []
    assert terminal.version("roster") is None


def test_every_flipped_byte_of_a_snapshot_is_refused(terminal: Terminal) -> None:
    good = terminal.snapshot("roster", ROSTER, Version(1, 1))
    places = range(0, len(good.payload), 7)
    for place in places:
        broken = bytearray(good.payload)
        broken[place] ^= 0x41
        with pytest.raises(Malformed):
            terminal.downlink.take(Message(good.topic, bytes(broken)))
    assert terminal.version("roster") is None


def test_a_section_of_a_newer_hub_is_passed_over(terminal: Terminal) -> None:
    terminal.hear(terminal.snapshot("weather", ROSTER, Version(1, 1)))
    assert (terminal.refusals, terminal.records()) == (0, [])


def test_a_receipt_moves_its_own_log_only(terminal: Terminal) -> None:
    fact = AuditFact(what="unlocked", outcome="ok")
    for store in terminal.stores.values():
        store.do(lambda db: outbox.append(db, terminal.signer, terminal.clock.stamp(), Kind.AUDIT, fact))
    trail = terminal.stores[TRAIL].do(outbox.numbers)
    receipt = Receipt(v=1, device="care-1", log_id=trail.log_id, through=1, epoch=1)
    terminal.hear(Message(topics.text(Receipts("care-1")), sign_receipt(receipt, terminal.fleet.snapshot)))
    assert terminal.stores[TRAIL].do(outbox.numbers).unsent == 0
    assert terminal.ledger.do(outbox.numbers).unsent == 1
    assert terminal.woken == 1


def test_the_hubs_word_that_it_listens_is_passed_on(terminal: Terminal) -> None:
    for is_here in (True, False):
        said = HubPresence(v=1, is_here=is_here, epoch=3, spread_s=1.0, wall_ms=0)
        terminal.hear(Message(HUB_PRESENCE, sign_hub_presence(said, terminal.fleet.snapshot)))
    assert terminal.said == [HubSaid(True, 3), HubSaid(False, 3)]


def settings_of(fleet: TerminalFleet, number: int = 1) -> TerminalSettings:
    return TerminalSettings(note_keys=fleet.note_keys(number), key_statement=fleet.statement(number), drift_m_max=40.0)


def test_settings_with_the_agencys_keys_are_used(terminal: Terminal) -> None:
    good = settings_of(terminal.fleet)
    terminal.hear(terminal.snapshot("settings", good, Version(1, 1)))
    assert terminal.settings == [good]
    assert terminal.version("settings") == Version(1, 1)


def test_settings_with_other_note_keys_are_refused_whole_and_audited_once(terminal: Terminal) -> None:
    forged = terminal.snapshot("settings", settings_of(terminal.strangers), Version(1, 1))
    terminal.hear(forged, forged)
    assert terminal.settings == []
    assert terminal.version("settings") is None
    audited = [fact for fact in terminal.facts(Kind.AUDIT, AuditFact) if isinstance(fact, AuditFact)]
    assert [(fact.what, fact.outcome) for fact in audited] == [("settings_refused", "denied")]


def test_note_keys_older_than_the_ones_used_before_are_refused(terminal: Terminal) -> None:
    terminal.hear(
        terminal.snapshot("settings", settings_of(terminal.fleet, 5), Version(1, 1)),
        terminal.snapshot("settings", settings_of(terminal.fleet, 4), Version(1, 2)),
    )
    assert terminal.version("settings") == Version(1, 1)
    assert len(terminal.facts(Kind.AUDIT, AuditFact)) == 1


def test_a_desk_asks_for_what_its_shelf_lists_once_for_each_connection(terminal: Terminal) -> None:
    shelf = terminal.snapshot("shelf", SHELF, Version(1, 1))
    here = HubPresence(v=1, is_here=True, epoch=1, spread_s=1.0, wall_ms=0)
    arrived = Message(HUB_PRESENCE, sign_hub_presence(here, terminal.fleet.snapshot))
    terminal.hear(arrived, shelf, shelf)
    assert terminal.facts(Kind.SHELF_WANTED, ShelfWanted) == [ShelfWanted(note_ids=(b"n" * 16,))]
    terminal.hear(arrived, shelf, shelf)
    assert len(terminal.facts(Kind.SHELF_WANTED, ShelfWanted)) == 2


def test_a_sealed_note_is_the_desks_to_judge(terminal: Terminal) -> None:
    delivery = SealedDelivery(v=1, device="care-1", note=b"note", certificate=b"certificate")
    message = Message(topics.text(SealedNotes("care-1")), sign_delivery(delivery, terminal.fleet.snapshot))
    terminal.hear(message)
    assert (terminal.kept, terminal.refusals) == ([delivery], 0)
    terminal.is_genuine = False
    terminal.hear(message)
    assert terminal.refusals == 1


def test_a_snapshot_sealed_to_another_terminal_is_refused(terminal: Terminal) -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    data = seal_snapshot("care-1", "roster", Version(1, 1), encode(ROSTER), other, terminal.fleet.snapshot)
    terminal.hear(Message(topics.text(State("care-1", "roster")), data))
    assert terminal.refusals == 1


def test_assignments_that_do_not_decode_never_replace_good_ones(terminal: Terminal) -> None:
    good = Assignments(
        unit="u1",
        call_sign="CARE-1",
        status="available",
        status_ms=0,
        log_id=None,
        status_through=0,
        assignments=(),
    )
    terminal.hear(
        terminal.snapshot("assignments", good, Version(1, 1)), terminal.snapshot("assignments", ROSTER, Version(1, 2))
    )
    assert terminal.version("assignments") == Version(1, 1)
    assert terminal.refusals == 1


def test_only_a_higher_epoch_brings_back_presses_that_the_hub_had_heard(terminal: Terminal) -> None:
    fact = StatusFact(unit="u1", status="en_route", by="crew")
    stamp = terminal.clock.stamp()
    seq = terminal.ledger.do(lambda db: outbox.append(db, terminal.signer, stamp, Kind.STATUS, fact))
    log_id = terminal.ledger.do(outbox.numbers).log_id

    def said(version: Version, through: int) -> Message:
        content = Assignments(
            unit="u1",
            call_sign="CARE-1",
            status="en_route",
            status_ms=0,
            log_id=log_id,
            status_through=through,
            assignments=(),
        )
        return terminal.snapshot("assignments", content, version)

    def presses() -> int:
        return int(terminal.ledger.do(lambda db: db.execute("select count(*) from press").fetchone()[0]))

    terminal.hear(said(Version(1, 1), seq), said(Version(1, 2), 0))
    assert presses() == 0
    terminal.hear(said(Version(2, 3), 0))
    assert presses() == 1


def test_a_full_disk_does_not_end_the_downlink_and_what_is_said_again_is_kept(terminal: Terminal) -> None:
    said = terminal.snapshot("roster", ROSTER, Version(1, 1))
    pages = terminal.ledger.do(lambda db: db.execute("pragma max_page_count = 1").fetchone()[0])
    assert pages > 1, "no less than there are"
    for size in (4000, 1000, 200, 20):  # until there is no room inside the file either
        with suppress(sqlite3.OperationalError):
            for n in range(1000):
                row = [f"{size}-{n}", bytes(size)]
                terminal.ledger.do(lambda db, row=row: db.execute("insert into held values (?, 0, 0, ?, 0)", row))
    terminal.hear(said)
    assert terminal.version("roster") is None
    terminal.ledger.do(lambda db: db.execute("pragma max_page_count = 100000"))
    terminal.hear(said)
    assert terminal.version("roster") == Version(1, 1)


def test_a_way_is_kept_sealed_followed_from_then_on_and_an_older_one_does_not_come_back(
    terminal: Terminal, tmp_path: Path
) -> None:
    ways = [
        Routes(routes=(Route(assignment="a1", n=n, why="left", made_ms=1, line="_c`|@_ibE", distance_m=5),))
        for n in (1, 2)
    ]
    first, second = (terminal.snapshot("routes", said, Version(1, n)) for n, said in enumerate(ways, 1))
    terminal.hear(second, first, second)
    assert terminal.routed == [ways[1]]
    assert terminal.version("routes") == Version(1, 2)
    (fact,) = [decode(record.body, StateHeld) for record in terminal.records() if record.kind == Kind.STATE_HELD]
    assert (fact.section, fact.n) == ("routes", 2)
    assert terminal.ledger.do(lambda db: held.content(db, terminal.who.kem, "routes", Routes)) == ways[1]
    for file in tmp_path.rglob("*.db*"):
        assert b"_c`|@" not in file.read_bytes()


def test_a_desk_countersigns_how_far_the_audit_goes_and_says_so_when_it_shrinks(terminal: Terminal) -> None:
    def told(line: int, version: Version) -> Message:
        return terminal.snapshot("audit", AuditHead(line=line, chained=bytes([line]) * 32), version)

    terminal.hear(told(7, Version(1, 1)), told(7, Version(1, 1)), told(9, Version(1, 2)))
    terminal.hear(told(8, Version(1, 3)))
    facts = terminal.facts(Kind.AUDIT, AuditFact)
    assert [(fact.about, fact.outcome) for fact in facts if isinstance(fact, AuditFact)] == [
        ("1:7", "ok"),
        ("1:9", "ok"),
        ("audit", "denied"),
    ]
    assert terminal.version("audit") == Version(1, 2)
    newest = terminal.ledger.do(lambda db: last_told(db, terminal.who.kem))
    assert newest == f"1:9:{(bytes([9]) * 32).hex()}"
