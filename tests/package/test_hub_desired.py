"""What a terminal should hold: whole, versioned when it differs, sealed to it, and sent until it says it holds it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import update

from hub import audit, desired, roster, schema, store
from hub.desired import Kept, Vouched
from hub.downlink import Downlink, DownlinkParts
from hub.ingest import Wanted
from tests.hub_agency import NOW_MS, ROSTER, Agency, Terminal, new_key
from tests.patience import PATIENCE_S
from wire import state
from wire.codec import decode
from wire.facts import StateHeld, StatusFact
from wire.notes import inspect, verify
from wire.records import Kind
from wire.state import Assignments, OtherUnit, Roster, Shelf, TerminalSettings, Version
from wire.topics import SealedNotes, State, Topic

VOUCHED = Vouched(agency="Lakeshore CARE", note_keys=b"list", key_statement=b"statement")


@pytest.fixture
def agency(tmp_path: Path) -> Iterator[Agency]:
    made = Agency(tmp_path)
    yield made
    made.engine.dispose()


def refresh(agency: Agency, terminal: Terminal) -> dict[str, Kept]:
    with agency.engine.begin() as connection:
        return {kept.section: kept for kept in desired.refresh(connection, terminal.device, VOUCHED)}


def test_a_vehicle_is_sent_four_sections_and_a_desk_the_shelf_as_well(agency: Agency) -> None:
    assert list(refresh(agency, agency.one)) == ["emergency", "assignments", "roster", "settings"]
    assert list(refresh(agency, agency.desk)) == ["emergency", "assignments", "roster", "settings", "shelf"]
    with agency.engine.begin() as connection:
        audit.append(connection, NOW_MS, "hub", None, "began", None, audit.OK)
        audit.mark(connection)
    assert list(refresh(agency, agency.one)) == ["emergency", "assignments", "roster", "settings"]
    assert list(refresh(agency, agency.desk))[-1] == "audit"
    assert refresh(agency, Terminal("d-nobody", "u1")) == {}


def test_the_same_state_is_the_same_version_and_another_state_the_next(agency: Agency) -> None:
    first = refresh(agency, agency.one)
    again = refresh(agency, agency.one)
    assert {kept.version for kept in (*first.values(), *again.values())} == {Version(1, 1)}
    assert all(kept.is_new for kept in first.values())
    assert not any(kept.is_new for kept in again.values())
    agency.incident()
    agency.offer("a1", agency.one)
    changed = refresh(agency, agency.one)
    assert [(k.section, k.version) for k in changed.values() if k.is_new] == [("assignments", Version(1, 2))]


def test_a_new_epoch_raises_every_version_though_nothing_else_changed(agency: Agency) -> None:
    refresh(agency, agency.one)
    with agency.engine.begin() as connection:
        assert store.raise_epoch(connection) == 2
    assert {kept.version for kept in refresh(agency, agency.one).values()} == {Version(2, 2)}


def test_an_assignment_says_who_else_is_on_the_incident(agency: Agency) -> None:
    agency.incident()
    agency.offer("a1", agency.one)
    agency.offer("a2", agency.two)
    agency.take(agency.two.record(Kind.STATUS, StatusFact(unit="u2", status="on_scene", by="crew", assignment="a2")))
    held = decode(refresh(agency, agency.one)["assignments"].content, Assignments)
    assert (held.unit, held.call_sign, held.status) == ("u1", "CARE-1", "assigned")
    (assignment,) = held.assignments
    assert (assignment.id, assignment.place, assignment.type_label) == ("a1", "12 Shore St", "Emotional crisis")
    assert assignment.others == (OtherUnit(call_sign="CARE-2", status="on_scene"),)
    agency.release("a1")
    assert decode(refresh(agency, agency.one)["assignments"].content, Assignments).assignments == ()


def test_the_roster_names_who_is_on_duty_at_this_unit_only(agency: Agency) -> None:
    one = decode(refresh(agency, agency.one)["roster"].content, Roster)
    two = decode(refresh(agency, agency.two)["roster"].content, Roster)
    assert [(member.id, member.languages) for member in one.staff] == [("s1", ("eng", "spa")), ("s2", ())]
    assert two.staff == ()


def test_the_settings_carry_the_signed_lists_as_they_are(agency: Agency) -> None:
    settings = decode(refresh(agency, agency.one)["settings"].content, TerminalSettings)
    assert (settings.note_keys, settings.key_statement) == (b"list", b"statement")


def test_the_shelf_lists_notes_newest_first_with_their_incident(agency: Agency) -> None:
    agency.incident()
    older = agency.one.note(agency.custodian, encounter=b"i1".ljust(16, b"\0"))
    newer = agency.two.note(agency.custodian)
    agency.take(agency.one.record(Kind.NOTE, older))
    agency.take(agency.two.record(Kind.NOTE, newer))
    shelf = decode(refresh(agency, agency.desk)["shelf"].content, Shelf)
    assert [(entry.call_sign, entry.incident) for entry in shelf.entries] == [("CARE-2", None), ("CARE-1", "i1")]
    assert shelf.entries[1].body_sha256 == inspect(older).body_sha256


# --- the pipe


class Air:
    """What was published, and whether it goes out."""

    def __init__(self) -> None:
        self.sent: list[tuple[Topic, bytes]] = []
        self.here: frozenset[str] = frozenset()

    def publish(self, topic: Topic, payload: bytes) -> bool:
        self.sent.append((topic, payload))
        return True

    def wait_for(self, count: int) -> list[tuple[Topic, bytes]]:
        end_s = time.monotonic() + PATIENCE_S
        while len(self.sent) < count and time.monotonic() < end_s:
            time.sleep(0.005)
        return list(self.sent)


@pytest.fixture
def air() -> Air:
    return Air()


@contextmanager
def pipe(agency: Agency, air: Air, again_s: float) -> Iterator[Downlink]:
    made = Downlink(
        DownlinkParts(
            engine=agency.engine,
            publish=air.publish,
            connected=lambda: air.here,
            snapshot_key=SNAPSHOT_KEY,
            vouched=VOUCHED,
            look_s=0.02,
            again_s=again_s,
        )
    )
    thread = Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        made.stop()
        thread.join(5)
    assert not thread.is_alive()


@pytest.fixture
def downlink(agency: Agency, air: Air) -> Iterator[Downlink]:
    with pipe(agency, air, again_s=30.0) as made:
        yield made


SNAPSHOT_KEY = new_key()


def test_the_pipe_is_seen_before_each_of_many_that_are_born_at_once(agency: Agency) -> None:
    told: list[str] = []

    def publish(topic: Topic, _: bytes) -> bool:
        assert isinstance(topic, State)
        told.append(topic.device)
        return True

    made = Downlink(
        DownlinkParts(
            engine=agency.engine,
            publish=publish,
            connected=lambda: frozenset({"d-one", "d-two"}),
            snapshot_key=SNAPSHOT_KEY,
            vouched=VOUCHED,
            beat=lambda: told.append("beat"),
        )
    )
    for device in ("d-one", "d-two", "d-desk"):
        made.born(device)
    thread = Thread(target=made.run)
    thread.start()
    end_s = time.monotonic() + PATIENCE_S
    while told.count("d-two") < 4 and time.monotonic() < end_s:
        time.sleep(0.005)
    made.stop()
    thread.join(5)
    firsts = [told.index(device) for device in ("d-desk", "d-one", "d-two")]
    assert [told[first - 1] for first in firsts] == ["beat"] * 3


def test_a_birth_brings_every_section_sealed_to_that_terminal(agency: Agency, air: Air, downlink: Downlink) -> None:
    downlink.born("d-one")
    sent = air.wait_for(4)
    every = ("emergency", "assignments", "roster", "settings")
    assert [topic for topic, _ in sent] == [State("d-one", s) for s in every]
    for topic, payload in sent:
        assert isinstance(topic, State)
        snapshot = state.open_snapshot(payload, "d-one", topic.section, SNAPSHOT_KEY.public_key())
        assert snapshot.version == Version(1, 1)
        assert state.unseal(snapshot, agency.one.kem)
        assert b"Aspen" not in payload
    downlink.born("d-one")
    assert len(air.wait_for(8)) == 8


def test_what_a_terminal_does_not_say_it_holds_is_sent_again_until_it_does(agency: Agency, air: Air) -> None:
    agency.take(agency.one.birth())
    with pipe(agency, air, again_s=0.1) as downlink:
        downlink.born("d-one")
        air.wait_for(4)
        for section in ("emergency", "roster", "settings"):
            agency.take(agency.one.record(Kind.STATE_HELD, StateHeld(section=section, epoch=1, n=1)))
        time.sleep(0.2)
        assert len(air.sent) == 4  # it is not here
        air.here = frozenset({"d-one"})
        sent = air.wait_for(6)
        assert {topic for topic, _ in sent[4:]} == {State("d-one", "assignments")}
        agency.take(agency.one.record(Kind.STATE_HELD, StateHeld(section="assignments", epoch=1, n=1)))
        time.sleep(0.1)
        count = len(air.sent)
        time.sleep(1.0)
        assert len(air.sent) == count


def test_a_change_is_sent_only_to_who_is_here_and_only_what_changed(
    agency: Agency, air: Air, downlink: Downlink
) -> None:
    air.here = frozenset({"d-one"})
    downlink.born("d-one")
    air.wait_for(4)
    agency.incident()
    agency.offer("a1", agency.one)
    agency.offer("a2", agency.two)
    downlink.poke(None)
    downlink.poke("d-two")
    sent = air.wait_for(5)
    assert [topic for topic, _ in sent[4:]] == [State("d-one", "assignments")]


def test_a_desk_that_asks_gets_the_note_as_its_author_signed_it(agency: Agency, air: Air, downlink: Downlink) -> None:
    note = agency.one.note(agency.custodian, note_id=b"n" * 16)
    agency.take(agency.desk.birth(), agency.one.birth(), agency.one.record(Kind.NOTE, note))
    downlink.wanted(Wanted(device="d-one", note_ids=(b"n" * 16,)))  # a vehicle may not
    downlink.wanted(Wanted(device="d-desk", note_ids=(b"x" * 16, b"n" * 16)))
    ((topic, payload),) = air.wait_for(1)
    assert topic == SealedNotes("d-desk")
    delivery = state.open_delivery(payload, "d-desk", SNAPSHOT_KEY.public_key())
    assert delivery.note == note
    assert delivery.certificate == b"certificate of d-one"
    assert verify(delivery.note, "d-one", agency.one.key.public_key()).header.author == "s1"


def test_a_revoked_device_is_sent_nothing(agency: Agency, air: Air, downlink: Downlink) -> None:
    with agency.engine.begin() as connection:
        connection.execute(update(schema.device).where(schema.device.c.device == "d-one").values(state="revoked"))
    downlink.born("d-one")
    downlink.born("d-two")
    sent = air.wait_for(4)
    assert {topic.device for topic, _ in sent if isinstance(topic, State)} == {"d-two"}


def test_a_roster_read_again_replaces_duty_and_keeps_people(agency: Agency) -> None:
    with agency.engine.begin() as connection:
        roster.load(connection, roster.RosterFile(unit=ROSTER.unit, staff=ROSTER.staff), "Lakeshore CARE", NOW_MS)
        assert roster.on_duty(connection, "u1") == ()
    assert len(agency.rows("staff")["staff"]) == 2
