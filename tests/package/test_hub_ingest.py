"""What terminals say is verified, stored once, receipted; what is forged, cut, repeated or crossed changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from hub import audit, ingest, schema, store
from hub.ingest import Arrival, Dropped, Marks, Why
from tests.hub_agency import PROJECTED, Agency, Custodian, Terminal, enroll, new_key
from wire import records
from wire.facts import AuditFact, ShelfWanted, ShiftFact, StateHeld, StatusFact
from wire.fix import Fix
from wire.records import Kind, Receipt
from wire.topics import Up

FIX = Fix(lat=41.5, lon=-82.7, speed_mps=12.0, heading_deg=90.0)


@pytest.fixture
def agency(tmp_path: Path) -> Iterator[Agency]:
    made = Agency(tmp_path)
    yield made
    made.engine.dispose()


def pressed(terminal: Terminal, status: str, **more: object) -> StatusFact:
    return StatusFact(unit=terminal.unit, status=status, by="crew", staff="s1", **more)  # type: ignore[arg-type]


# --- records and receipts


def test_records_in_order_are_stored_as_they_came_and_receipted_once_for_the_batch(agency: Agency) -> None:
    sent = [agency.one.record(Kind.STATUS, pressed(agency.one, "available")) for _ in range(3)]
    taken = agency.take(*sent)
    tip = records.tip(sent[-1].payload)
    assert taken.receipts == (Receipt(v=1, device="d-one", log_id=agency.one.log_id, through=3, epoch=1, tip=tip),)
    with agency.engine.begin() as connection:
        rows = connection.execute(select(schema.record).order_by(schema.record.c.id)).all()
    assert [row.data for row in rows] == [arrival.payload for arrival in sent]
    assert [row.seq for row in rows] == [1, 2, 3]


def test_a_record_that_comes_again_is_receipted_again_and_stored_once(agency: Agency) -> None:
    sent = agency.one.record(Kind.STATUS, pressed(agency.one, "available"))
    agency.take(sent)
    before = agency.rows("record", *PROJECTED)
    again = agency.take(sent, sent)
    assert [receipt.through for receipt in again.receipts] == [1]
    assert agency.rows("record", *PROJECTED) == before
    assert not again.changed
    assert again.refused == 0


def test_a_record_ahead_of_the_next_is_not_stored_and_is_answered_with_what_is_held(agency: Agency) -> None:
    agency.take(agency.one.record(Kind.STATUS, pressed(agency.one, "available")))
    taken = agency.take(agency.one.record(Kind.STATUS, pressed(agency.one, "break"), seq=3))
    assert [receipt.through for receipt in taken.receipts] == [1]
    assert len(agency.rows("record")["record"]) == 1
    assert agency.unit("u1").status == "available"


def test_other_bytes_under_a_held_number_are_quarantined_whole_and_the_first_stays(agency: Agency) -> None:
    first = agency.one.record(Kind.STATUS, pressed(agency.one, "available"), seq=1)
    other = agency.one.record(Kind.STATUS, pressed(agency.one, "break", undoes=1), seq=1)
    agency.take(first)
    taken = agency.take(other)
    assert agency.quarantined() == [Why.CONFLICT]
    assert [receipt.through for receipt in taken.receipts] == [1]
    assert agency.unit("u1").status == "available"
    with agency.engine.begin() as connection:
        assert connection.execute(select(schema.quarantine.c.data)).scalar() == other.payload
        said = connection.execute(select(schema.audit).where(schema.audit.c.what == "record_conflict")).one()
    assert (said.about, said.outcome) == ("d-one", audit.DENIED)


def test_a_copy_on_the_alarm_topic_is_the_same_record(agency: Agency) -> None:
    data = agency.one.signed(Kind.AUDIT, agency.one.record(Kind.AUDIT, AuditFact(what="x", outcome="ok")).payload)
    agency.one.seq = 0
    data = agency.one.signed("emergency", b"\xc0")
    taken = agency.take(agency.one.arrival(Up.ALARM, data), agency.one.arrival(Up.LOG, data))
    assert [receipt.through for receipt in taken.receipts] == [1]
    assert len(agency.rows("record")["record"]) == 1


@pytest.mark.parametrize(
    ("kind", "body"),
    [("weather", b"\x90"), (Kind.STATUS, b"\xff\x00"), (Kind.TRAIL, b"\x01"), (Kind.SHIFT, b""), (Kind.AUDIT, b"\x80")],
)
def test_what_cannot_be_read_is_stored_and_receipted_and_quarantined(agency: Agency, kind: str, body: bytes) -> None:
    taken = agency.take(agency.one.record(kind, body), agency.one.record(Kind.STATUS, pressed(agency.one, "available")))
    assert [receipt.through for receipt in taken.receipts] == [2]
    assert agency.quarantined() == [Why.UNREADABLE]
    assert len(agency.rows("record")["record"]) == 2
    assert agency.unit("u1").status == "available"


def test_two_logs_of_one_terminal_do_not_wait_for_each_other(agency: Agency) -> None:
    ledger = agency.one.record(Kind.STATUS, pressed(agency.one, "available"))
    trail = agency.one.arrival(Up.LOG, agency.one.signed("other", b"\x90", seq=1, log_id=b"t" * 16))
    taken = agency.take(agency.one.record(Kind.STATUS, pressed(agency.one, "break"), seq=5), trail, ledger)
    assert {receipt.log_id: receipt.through for receipt in taken.receipts} == {agency.one.log_id: 1, b"t" * 16: 1}


# --- who may speak


def test_a_device_nobody_knows_is_quarantined_without_a_receipt(agency: Agency) -> None:
    stranger = Terminal("d-stranger", "u1")
    taken = agency.take(stranger.record(Kind.STATUS, pressed(stranger, "available")))
    assert (taken.receipts, agency.quarantined()) == ((), [Why.UNKNOWN_DEVICE])


@pytest.mark.parametrize("state", ["pending", "revoked"])
def test_a_device_that_may_not_speak_is_quarantined_on_every_channel(agency: Agency, state: str) -> None:
    with agency.engine.begin() as connection:
        connection.execute(update(schema.device).where(schema.device.c.device == "d-one").values(state=state))
    before = agency.rows("record", "boot", *PROJECTED)
    taken = agency.take(
        agency.one.birth(), agency.one.position(FIX), agency.one.record(Kind.STATUS, pressed(agency.one, "available"))
    )
    assert agency.quarantined() == [Why.NOT_ENROLLED] * 3
    assert (taken.receipts, taken.births, taken.positions) == ((), (), ())
    assert agency.rows("record", "boot", *PROJECTED) == before


def test_a_record_on_another_devices_topic_changes_nothing(agency: Agency) -> None:
    data = agency.one.signed(Kind.STATUS, b"\x80")
    taken = agency.take(agency.two.arrival(Up.LOG, data))
    assert (taken.receipts, agency.quarantined()) == ((), [Why.SIGNATURE])


def test_a_device_cannot_sign_for_another_name(agency: Agency) -> None:
    thief = Terminal("d-two", "u2")
    thief.key = agency.one.key
    taken = agency.take(agency.one.arrival(Up.LOG, thief.signed(Kind.STATUS, b"\x80")))
    assert (taken.receipts, agency.quarantined()) == ((), [Why.OTHER_DEVICE])


def test_a_signature_by_another_key_changes_nothing(agency: Agency) -> None:
    forger = Terminal("d-one", "u1")
    before = agency.rows("record", "boot", *PROJECTED)
    agency.take(
        forger.record(Kind.STATUS, pressed(forger, "on_scene")), forger.position(FIX), forger.birth(), forger.will()
    )
    assert agency.quarantined() == [Why.SIGNATURE] * 4
    assert agency.rows("record", "boot", *PROJECTED) == before


def test_a_terminal_cannot_speak_for_another_unit_nor_as_a_dispatcher(agency: Agency) -> None:
    agency.take(
        agency.one.record(Kind.STATUS, StatusFact(unit="u2", status="off_duty", by="crew")),
        agency.one.record(Kind.STATUS, StatusFact(unit="u1", status="assigned", by="dispatcher")),
        agency.one.record(Kind.SHIFT, ShiftFact(shift=bytes(16), unit="u2", staff=("s1",), on=True)),
    )
    assert agency.quarantined() == [Why.OTHER_UNIT, Why.NOT_THE_CREWS, Why.OTHER_UNIT]
    assert agency.rows("unit_now")["unit_now"] == []


@pytest.mark.parametrize(
    "topic", ["", "tandem/v1/d-one/up/else", "tandem/v1/d-one/down/receipt", "tandem/v1/hub/presence", "x" * 5000]
)
def test_a_topic_that_is_not_a_terminals_word_is_quarantined(agency: Agency, topic: str) -> None:
    agency.take(Arrival(topic=topic, payload=b"\x92\xc4\x00\xc4\x00"))
    assert agency.quarantined() == [Why.TOPIC]


def test_the_quarantine_is_bounded_and_goes_on_counting(agency: Agency) -> None:
    agency.take(*(agency.one.arrival(Up.LOG, b"junk") for _ in range(ingest.QUARANTINE_ROWS_MAX + 5)))
    assert len(agency.quarantined()) == ingest.QUARANTINE_ROWS_MAX
    assert agency.marks.dropped[Dropped.QUARANTINE_FULL] == 5


# --- positions


def test_the_newest_position_of_a_batch_is_told_with_its_age(agency: Agency) -> None:
    later = Fix(lat=41.6, lon=-82.8)
    taken = agency.take(agency.one.position(FIX), agency.one.position(later))
    assert [(p.unit, p.fix, p.has_fix, p.age_ms, p.arrived_ms) for p in taken.positions] == [
        ("u1", later, True, 40, agency.now_ms)
    ]
    assert taken.here == ("d-one",)


def test_a_repeated_or_late_position_is_dropped_and_counted(agency: Agency) -> None:
    first, second = agency.one.position(FIX), agency.one.position(FIX)
    agency.take(second)
    taken = agency.take(second, first)
    assert (taken.positions, taken.here) == ((), ())
    assert agency.marks.dropped == {Dropped.REPEATED: 2}


def test_a_position_of_an_earlier_boot_is_dropped_even_after_a_restart_of_the_hub(agency: Agency) -> None:
    old = agency.one.position(FIX)
    newer_of_old_boot = agency.one.position(FIX)
    agency.take(agency.one.birth(), old)
    agency.one.boot = b"n" * 16
    agency.take(agency.one.birth())
    agency.marks = Marks()
    assert agency.take(newer_of_old_boot).positions == ()
    assert agency.marks.dropped == {Dropped.EARLIER_BOOT: 1}


def test_what_was_said_before_the_last_birth_is_not_believed_after_a_restart_of_the_hub(agency: Agency) -> None:
    before = agency.one.position(FIX)
    agency.take(before, agency.one.birth())
    agency.marks = Marks()
    assert agency.take(before).positions == ()
    assert agency.take(agency.one.position(FIX)).positions != ()


def test_a_number_no_clock_reaches_is_malformed(agency: Agency) -> None:
    agency.take(agency.one.position(FIX, mono_ms=2**63))
    assert agency.quarantined() == [Why.MALFORMED]


# --- births and wills


def test_the_first_birth_makes_an_enrolled_device_active_and_asks_for_every_section(agency: Agency) -> None:
    taken = agency.take(agency.one.birth())
    assert (taken.births, taken.here) == (("d-one",), ("d-one",))
    assert [receipt.through for receipt in taken.receipts] == [0]
    with agency.engine.begin() as connection:
        device = connection.execute(select(schema.device).where(schema.device.c.device == "d-one")).one()
        log = connection.execute(select(schema.log)).one()
    assert (device.state, log.name, log.through) == ("active", "ledger", 0)


def test_a_kept_birth_said_again_wants_its_sections_but_is_not_taken_for_a_life_sign(agency: Agency) -> None:
    birth = agency.one.birth()
    agency.take(birth)
    taken = agency.take(birth)
    assert (taken.births, taken.here) == (("d-one",), ())


def test_a_birth_of_an_earlier_connection_or_boot_is_dropped(agency: Agency) -> None:
    earlier = agency.one.birth()
    agency.take(earlier, agency.one.birth())
    assert agency.take(earlier).births == ()
    agency.one.boot = b"n" * 16
    agency.take(agency.one.birth())
    assert agency.take(earlier).births == ()
    assert agency.marks.dropped == {Dropped.REPEATED: 1, Dropped.EARLIER_BOOT: 1}


def test_a_terminal_that_lost_its_ledger_is_born_though_its_sessions_begin_anew(agency: Agency) -> None:
    agency.take(agency.one.birth(), agency.one.birth())
    agency.one.session = 0
    taken = agency.take(agency.one.birth())
    assert (taken.births, taken.here) == (("d-one",), ("d-one",))
    assert agency.take(agency.one.will()).gone == ("d-one",)


def test_only_the_will_of_the_present_connection_buries_a_terminal(agency: Agency) -> None:
    agency.take(agency.one.birth(), agency.one.birth())
    assert agency.take(agency.one.will(session=1)).gone == ()
    assert agency.marks.dropped == {Dropped.OTHER_WILL: 1}
    assert agency.take(agency.one.will()).gone == ("d-one",)
    # The broker says a new birth after the old connection's will, in one batch: the terminal is here.
    taken = agency.take(agency.one.will(), agency.one.birth())
    assert (taken.gone, taken.here) == ((), ("d-one",))


def test_numbers_nobody_holds_any_more_become_a_recorded_gap_and_the_log_goes_on(agency: Agency) -> None:
    agency.take(agency.one.record(Kind.STATUS, pressed(agency.one, "available")))
    agency.one.seq = 9
    taken = agency.take(agency.one.birth(lowest_held=8))
    assert [receipt.through for receipt in taken.receipts] == [7]
    gap = agency.rows("gap")["gap"]
    assert [row[2:4] for row in gap] == [(2, 7)]
    taken = agency.take(agency.one.record(Kind.STATUS, pressed(agency.one, "break"), seq=8))
    assert [receipt.through for receipt in taken.receipts] == [8]
    with agency.engine.begin() as connection:
        what = list(connection.execute(select(schema.audit.c.what)).scalars())
    assert "records_lost" in what


def test_a_terminal_that_counts_less_than_we_hold_is_noted(agency: Agency) -> None:
    agency.take(*(agency.one.record(Kind.STATUS, pressed(agency.one, "available")) for _ in range(3)))
    agency.one.seq = 1
    agency.take(agency.one.birth())
    with agency.engine.begin() as connection:
        assert connection.execute(select(func.count()).where(schema.audit.c.what == "log_went_back")).scalar() == 1


# --- what happens once


def test_a_terminals_audit_is_copied_once(agency: Agency) -> None:
    sent = agency.one.record(Kind.AUDIT, AuditFact(what="pin_wrong", outcome="denied", actor="s1"))
    agency.take(sent)
    agency.take(sent)
    with agency.engine.begin() as connection:
        rows = connection.execute(select(schema.audit).where(schema.audit.c.source == "d-one")).all()
    assert [(row.what, row.actor, row.outcome) for row in rows] == [("pin_wrong", "s1", "denied")]


def test_a_desks_wish_is_passed_on_once(agency: Agency) -> None:
    sent = agency.desk.record(Kind.SHELF_WANTED, ShelfWanted(note_ids=(b"n" * 16,)))
    assert [wanted.note_ids for wanted in agency.take(sent).wanted] == [(b"n" * 16,)]
    assert agency.take(sent).wanted == ()


def test_a_version_that_was_never_sent_cannot_be_held(agency: Agency) -> None:
    agency.take(agency.one.record(Kind.STATE_HELD, StateHeld(section="assignments", epoch=1, n=10**9)))
    assert agency.quarantined() == [Why.NEVER_SENT]


def test_what_a_terminal_held_before_a_restore_is_no_lie_of_it_though_nobody_remembers_it(agency: Agency) -> None:
    with agency.engine.begin() as connection:
        store.raise_epoch(connection)
    agency.take(agency.one.record(Kind.STATE_HELD, StateHeld(section="orders", epoch=1, n=12)))
    assert agency.quarantined() == []
    agency.take(agency.one.record(Kind.STATE_HELD, StateHeld(section="orders", epoch=2, n=1)))
    assert agency.quarantined() == [Why.NEVER_SENT]


# --- notes


def test_a_note_for_the_right_keys_comes_to_the_shelf_and_desks_are_told(agency: Agency) -> None:
    taken = agency.take(agency.one.record(Kind.NOTE, agency.one.note(agency.custodian)))
    assert taken.changed
    assert taken.affected == ("d-desk",)
    assert len(agency.rows("note")["note"]) == 1


@pytest.mark.parametrize("what", ["no break-glass", "old epoch", "no list", "another signer", "another device"])
def test_a_note_not_sealed_as_required_is_held_and_receipted_but_not_shelved(agency: Agency, what: str) -> None:
    keys = Custodian(epoch=3)
    agency.custodian = keys
    author = agency.one
    note = author.note(keys)
    if what == "no break-glass":
        keys.break_glass = new_key()
        keys.listed = keys.list_of(3)
    if what == "old epoch":
        keys.epoch, keys.listed = 1, keys.list_of(1)
        note = author.note(keys)
        keys.listed = keys.list_of(3)
    if what == "another signer":
        other = Terminal("d-one", "u1")
        note = other.note(keys)
    if what == "another device":
        note = agency.two.note(keys)
    agency.now_ms += 1
    taken = ingest.take(
        agency.engine,
        [author.record(Kind.NOTE, note)],
        agency.now_ms,
        note_keys=None if what == "no list" else keys.listed,
        marks=agency.marks,
    )
    assert [receipt.through for receipt in taken.receipts] == [1]
    assert agency.quarantined() == [Why.NOTE]
    assert agency.rows("note")["note"] == []


def test_a_note_of_the_epoch_before_is_shelved(agency: Agency) -> None:
    keys = Custodian(epoch=2)
    keys.epoch, keys.listed = 1, keys.list_of(1)
    note = agency.one.note(keys)
    keys.listed = keys.list_of(2)
    agency.custodian = keys
    agency.take(agency.one.record(Kind.NOTE, note))
    assert len(agency.rows("note")["note"]) == 1


def test_another_note_under_a_shelved_id_is_quarantined(agency: Agency) -> None:
    first, other = (agency.one.note(agency.custodian, note_id=b"n" * 16) for _ in range(2))
    agency.take(agency.one.record(Kind.NOTE, first), agency.one.record(Kind.NOTE, other))
    assert agency.quarantined() == [Why.UNREADABLE]
    assert [row[8] for row in agency.rows("note")["note"]] == [first]


# --- anything at all


def _real_messages(agency: Agency) -> list[Arrival]:
    return [
        agency.one.birth(),
        agency.one.position(FIX),
        agency.one.record(Kind.STATUS, pressed(agency.one, "available")),
        agency.one.record(Kind.SHIFT, ShiftFact(shift=bytes(16), unit="u1", staff=("s1",), on=True)),
        agency.one.record(Kind.NOTE, agency.one.note(agency.custodian)),
        agency.one.will(),
    ]


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Agency, list[Arrival]]]:
    with TemporaryDirectory() as folder:
        agency = Agency(Path(folder))
        messages = _real_messages(agency)
        agency.take(agency.one.birth())
        agency.take(agency.two.birth())
        yield agency, messages
        agency.engine.dispose()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damaged_message_has_any_effect(shared: tuple[Agency, list[Arrival]], data: st.DataObject) -> None:
    agency, messages = shared
    original = data.draw(st.sampled_from(messages))
    payload = bytearray(original.payload)
    if data.draw(st.booleans(), label="cut"):
        payload = payload[: data.draw(st.integers(0, len(payload) - 1))]
    else:
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at] ^= data.draw(st.integers(1, 255))
    watched = ("record", "log", "boot", "gap", "device", "audit", "desired", "signer", *PROJECTED)
    before, counted = agency.rows(*watched), len(agency.quarantined())
    dropped = sum(agency.marks.dropped.values())
    taken = agency.take(Arrival(topic=original.topic, payload=bytes(payload)))
    assert agency.rows(*watched) == before
    assert (taken.receipts, taken.births, taken.here, taken.gone, taken.positions) == ((), (), (), (), ())
    assert not taken.changed
    assert taken.refused == 1
    assert len(agency.quarantined()) + sum(agency.marks.dropped.values()) == counted + dropped + 1


@settings(max_examples=100, deadline=None)
@given(topic=st.text(max_size=60) | st.sampled_from(["tandem/v1/d-one/up/log"]), payload=st.binary(max_size=200))
def test_no_bytes_at_all_raise(shared: tuple[Agency, list[Arrival]], topic: str, payload: bytes) -> None:
    agency, _ = shared
    assert agency.take(Arrival(topic=topic, payload=payload)).refused == 1


def test_health_counts_what_was_refused_and_what_is_held(agency: Agency) -> None:
    agency.take(agency.one.record(Kind.STATUS, pressed(agency.one, "available")), Arrival(topic="x", payload=b""))
    with agency.engine.begin() as connection:
        health = ingest.health(connection, agency.marks)
    assert health["quarantined"] == {Why.TOPIC: 1}
    assert health["records"] == {Kind.STATUS: 1}


def test_devices_on_the_same_incident_are_affected_by_each_others_status(agency: Agency) -> None:
    agency.incident()
    agency.offer("a1", agency.one)
    agency.offer("a2", agency.two)
    taken = agency.take(agency.one.record(Kind.STATUS, pressed(agency.one, "en_route", assignment="a1")))
    assert taken.affected == ("d-one", "d-two")


def test_a_retired_key_is_remembered_with_the_records_it_signed(agency: Agency) -> None:
    agency.take(agency.one.record(Kind.STATUS, pressed(agency.one, "available")))
    successor = Terminal("d-new", "u1")
    with agency.engine.begin() as connection:
        enroll(connection, successor, "vehicle")
    agency.take(successor.record(Kind.STATUS, pressed(successor, "break")))
    assert [row[1] for row in agency.rows("signer")["signer"]] == ["d-one", "d-new"]
