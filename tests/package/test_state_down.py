"""What comes down: the highest version wins whatever the link does, across restarts; and nothing is too large to come."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edge import assignments, downlink, held, outbox, schema
from edge.clock import Clock
from edge.downlink import Downlink
from edge.identity import Identity
from edge.link import Message
from edge.outbox import LEDGER, Signer
from edge.store import Store
from edge.sync import HubSaid
from hub import desired, incidents, orders, shelf
from tests.terminal_fleet import TerminalFleet
from wire import signature, topics
from wire.codec import MESSAGE_BYTES_MAX, Malformed, decode, encode
from wire.facts import StateHeld
from wire.live import HubPresence, sign_hub_presence
from wire.records import Receipt, Record, sign_receipt
from wire.state import (
    Assignment,
    Assignments,
    Emergencies,
    HeardPress,
    KnownEmergency,
    Order,
    Orders,
    OtherUnit,
    Roster,
    Shelf,
    ShelfEntry,
    StaffMember,
    TerminalSettings,
    Version,
    seal_snapshot,
)
from wire.topics import HUB_PRESENCE, Receipts, Section, State

FLEET = TerminalFleet()


@pytest.fixture(scope="module")
def who(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return FLEET.terminal(tmp_path_factory.mktemp("who") / "care-1", "care-1")


class Board:
    """A terminal that may be restarted."""

    def __init__(self, home: Path, who: Identity) -> None:
        self.home, self.who = home, who
        self.said: list[HubSaid] = []
        self.start()

    def start(self) -> None:
        self.store = Store(self.home / "ledger.db", schema.LEDGER)
        self.down = Downlink(
            downlink.inbox(),
            {LEDGER: self.store},
            self.who,
            Signer(self.who.device, self.who.key),
            Clock(b"b" * 16),
            hub_said=self.said.append,
            spread=lambda spread_s: None,
            settings=lambda said: None,
            wake=lambda: None,
            refused=lambda: None,
            desk=None,
        )

    def restart(self) -> None:
        self.store.close()
        self.start()

    def hear(self, section: str, payload: bytes) -> None:
        self.down.take(Message(topics.text(State(self.who.device, section)), payload))

    def answers(self) -> list[Version]:
        rows = self.store.do(
            lambda db: [row[0] for row in db.execute("select data from record where kind = 'state_held' order by seq")]
        )
        facts = [decode(decode(signature.payload_of(data), Record).body, StateHeld) for data in rows]
        return [Version(fact.epoch, fact.n) for fact in facts]

    def version(self) -> Version | None:
        about = self.store.do(lambda db: held.about(db, "assignments"))
        return about.version if about else None


def an_assignment(id_: str, **over: object) -> Assignment:
    base: dict[str, object] = {
        "id": id_,
        "incident": "i",
        "encounter": b"e" * 16,
        "type": "MNTL",
        "type_label": "Crisis",
        "priority": 2,
        "lat": 1.0,
        "lon": 1.0,
        "place": "p",
        "problem": "q",
        "gate": "unknown",
        "offered_ms": 1,
    }
    return Assignment(**(base | over))  # type: ignore[arg-type]


def said(who: Identity, version: Version, ids: tuple[str, ...]) -> bytes:
    content = Assignments(
        unit="u1",
        call_sign="CARE-1",
        status="available",
        status_ms=1,
        log_id=None,
        status_through=0,
        assignments=tuple(an_assignment(id_) for id_ in ids),
    )
    return seal_snapshot(who.device, "assignments", version, encode(content), who.kem.public_key(), FLEET.snapshot)


HISTORY = st.lists(st.tuples(st.booleans(), st.frozensets(st.sampled_from("abcd"))), min_size=1, max_size=8)
DELIVERY = st.lists(st.one_of(st.integers(0, 7), st.just("restart")), max_size=20)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORY, delivery=DELIVERY)
def test_lost_doubled_late_or_older_the_highest_version_wins_and_no_assignment_haunts_the_screen(
    who: Identity, history: list[tuple[bool, frozenset[str]]], delivery: list[int | str]
) -> None:
    epoch, sent = 1, []
    for number, (is_restored, ids) in enumerate(history, start=1):
        epoch += is_restored
        version = Version(epoch, number)
        sent.append((version, tuple(sorted(ids)), said(who, version, tuple(sorted(ids)))))
    with TemporaryDirectory() as folder:
        board = Board(Path(folder), who)
        heard: list[tuple[Version, tuple[str, ...]]] = []
        for step in delivery:
            if isinstance(step, str):
                board.restart()
                continue
            version, names, payload = sent[step % len(sent)]
            board.hear("assignments", payload)
            heard.append((version, names))
        if heard:
            top, shown = max(heard)
            assert board.version() == top
            view = board.store.do(lambda db: assignments.view(db, who.kem))
            assert view is not None
            assert tuple(one.id for one in view.all) == shown
            answers = board.answers()
            assert answers == sorted(set(answers))  # each once, and never back
            assert answers[-1] == top  # what the hub compares with: the versions are equal at both ends
        else:
            assert board.version() is None
        board.store.close()


def test_a_restarted_terminal_refuses_what_is_older_than_what_it_heard(tmp_path: Path, who: Identity) -> None:
    board = Board(tmp_path, who)
    board.hear("assignments", said(who, Version(2, 5), ("b",)))
    numbers = board.store.do(outbox.numbers)

    def receipt(through: int, epoch: int) -> None:
        signed = sign_receipt(
            Receipt(v=1, device=who.device, log_id=numbers.log_id, through=through, epoch=epoch), FLEET.snapshot
        )
        board.down.take(Message(topics.text(Receipts(who.device)), signed))

    def presence(epoch: int) -> None:
        signed = sign_hub_presence(
            HubPresence(v=1, is_here=True, epoch=epoch, spread_s=1.0, wall_ms=1_790_000_000_000), FLEET.snapshot
        )
        board.down.take(Message(HUB_PRESENCE, signed))

    receipt(1, 2)
    presence(2)
    board.restart()
    board.hear("assignments", said(who, Version(2, 4), ("a",)))
    board.hear("assignments", said(who, Version(1, 99), ("a",)))
    assert board.version() == Version(2, 5)
    receipt(0, 1)
    receipt(0, 2)
    assert board.store.do(outbox.numbers).through == 1
    with pytest.raises(Malformed, match="earlier life"):
        presence(1)
    assert board.said == [HubSaid(True, 2)]
    presence(2)  # the broker says it with every connection
    presence(3)
    board.restart()
    with pytest.raises(Malformed):
        presence(2)
    receipt(0, 3)  # a restored hub may fall behind
    assert board.store.do(outbox.numbers).through == 0
    board.store.close()


WIDE = "\U0001f6a8"  # four bytes of UTF-8

LARGEST = an_assignment(
    "a" * 64,
    place=WIDE * incidents.PLACE_CHARS_MAX,
    problem=WIDE * incidents.TEXT_CHARS_MAX,
    cautions=(WIDE * incidents.REASON_CHARS_MAX,) * incidents.CAUTIONS_MAX,
    others=tuple(OtherUnit(call_sign=f"CARE-{n}", status="out_of_service") for n in range(200)),
)
ENTRY = ShelfEntry(
    note_id=b"n" * 16,
    body_sha256=b"h" * 32,
    encounter=b"e" * 16,
    incident="i" * 64,
    call_sign="C" * 64,
    kind=4,
    disposition="d" * 64,
    held_ms=2**53,
)
STAFF = StaffMember(
    id="s" * 64, name=WIDE * 60, role="specialist", skills=("social_worker",) * 20, languages=("spa",) * 20
)
KNOWN = KnownEmergency(
    id=b"e" * 16, heard=(HeardPress(b"b" * 16, 2**53),) * 50, received_ms=2**53, by=WIDE * 60, cleared_ms=2**53
)
BASE = Assignments(
    unit="u" * 64, call_sign="C" * 64, status="x", status_ms=1, log_id=b"l" * 16, status_through=1, assignments=()
)


def packet(section: Section, content: bytes, who: Identity) -> int:
    version = Version(2**31, 2**31)
    return len(seal_snapshot(who.device, section, version, content, who.kem.public_key(), FLEET.snapshot))


@pytest.mark.parametrize(
    ("section", "content"),
    [
        (Section.SHELF, Shelf(entries=(ENTRY,) * shelf.ENTRIES_MAX)),
        (
            Section.ORDERS,
            Orders(
                orders=tuple(
                    Order(id=bytes([n]) * 16, kind="x" * 64, issued_ms=2**53, by="b" * 64, vouched=bytes(1024))
                    for n in range(orders.OPEN_MAX)
                )
            ),
        ),
        (Section.SETTINGS, TerminalSettings(note_keys=bytes(64 * 1024), key_statement=bytes(16 * 1024))),
    ],
    ids=str,
)
def test_a_section_with_a_bound_passes_in_one_packet_at_its_largest(
    section: Section, content: desired.Content, who: Identity
) -> None:
    data, left_out = desired.fitting(section, content)
    assert left_out == 0
    assert packet(section, data, who) < MESSAGE_BYTES_MAX // 2


@pytest.mark.parametrize(
    ("section", "content", "of"),
    [
        (Section.ASSIGNMENTS, [BASE, LARGEST], "assignments"),
        (Section.ROSTER, [Roster(agency="a", unit="u", call_sign="c", staff=()), STAFF], "staff"),
        (Section.EMERGENCY, [Emergencies(emergencies=()), KNOWN], "emergencies"),
    ],
    ids=str,
)
@pytest.mark.parametrize("many", [1, 15, 40, 3000])
def test_a_section_without_a_bound_keeps_its_first_entries_and_counts_the_rest(
    section: Section, content: list[object], of: str, many: int, who: Identity
) -> None:
    whole = replace(content[0], **{of: (content[1],) * many})  # type: ignore[type-var]
    data, left_out = desired.fitting(section, whole)
    kept = getattr(decode(data, type(whole)), of)
    assert len(kept) + left_out == many
    assert packet(section, data, who) <= MESSAGE_BYTES_MAX - 1024
    if left_out:
        assert packet(section, data, who) > MESSAGE_BYTES_MAX * 0.8  # no more than needed
