"""Emergencies at the hub: raised by whatever comes first, counted once, ended by nobody but a person who heard it all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from hub import desired, emergencies, projections, schema, snapshot
from hub.deeds import Deed
from hub.emergencies import Clearing
from hub.errors import Refused
from hub.ingest import Arrival
from hub.presence import State, Word
from hub.snapshot import EmergencyView
from hub.timeline import timeline
from tests.hub_agency import PROJECTED, Agency, Terminal, new_key
from wire.codec import decode, encode
from wire.facts import EmergencyFact, ShiftFact, StatusFact
from wire.fix import Fix
from wire.records import Alarm, Kind, sign_alarm
from wire.state import Emergencies, KnownEmergency
from wire.topics import Up

ONE, TWO = b"1" * 16, b"2" * 16
FIX = Fix(lat=41.2, lon=-83.1)
VOUCHED = desired.Vouched(agency="Lakeshore CARE", note_keys=b"n", key_statement=b"s")


@pytest.fixture
def agency(tmp_path: Path) -> Iterator[Agency]:
    made = Agency(tmp_path)
    yield made
    made.engine.dispose()


def fact(id_: bytes = ONE, mono_ms: int = 900, **more: object) -> EmergencyFact:
    said: dict[str, object] = {"unit": "u1", "staff": ("s1",), "source": "button", "fix": FIX, "fix_age_ms": 800}
    return EmergencyFact(id=id_, mono_ms=mono_ms, **(said | more))  # type: ignore[arg-type]


def in_the_log(terminal: Terminal, said: EmergencyFact) -> Arrival:
    return terminal.record(Kind.EMERGENCY, said)


def copy_of(terminal: Terminal, record: Arrival) -> Arrival:
    return terminal.arrival(Up.ALARM, record.payload)


def unnumbered(terminal: Terminal, said: EmergencyFact) -> Arrival:
    alarm = Alarm(v=1, device=terminal.device, stamp=terminal.stamp(), body=encode(said))
    return terminal.arrival(Up.ALARM, sign_alarm(alarm, terminal.key))


def shown(agency: Agency) -> tuple[EmergencyView, ...]:
    with agency.engine.begin() as connection:
        return snapshot.emergencies(connection)


def acknowledge(agency: Agency, id_: bytes = ONE, by: str = "dee") -> None:
    agency.now_ms += 1000
    with agency.engine.begin() as connection:
        emergencies.acknowledge(connection, id_.hex(), Deed(by=by, now_ms=agency.now_ms))


def clear(agency: Agency, id_: bytes = ONE, presses: int = 1, contact: str = "Aspen", words: str = "all well") -> None:
    agency.now_ms += 1000
    clearing = Clearing(contact=contact, words=words, presses=presses)
    with agency.engine.begin() as connection:
        emergencies.clear(connection, id_.hex(), clearing, Deed(by="dee", now_ms=agency.now_ms))


def told(agency: Agency, terminal: Terminal) -> tuple[KnownEmergency, ...]:
    with agency.engine.begin() as connection:
        kept = {one.section: one for one in desired.refresh(connection, terminal.device, VOUCHED)}
    return decode(kept["emergency"].content, Emergencies).emergencies


def assert_rebuilds_the_same(agency: Agency) -> None:
    tables = (*PROJECTED, "emergency", "press")
    before = agency.rows(*tables)
    with agency.engine.begin() as connection:
        projections.rebuild(connection)
    assert agency.rows(*tables) == before


def test_a_copy_ahead_of_the_log_raises_it_at_once_and_its_record_counts_it_once(agency: Agency) -> None:
    earlier = [agency.one.record(Kind.STATUS, StatusFact(unit="u1", status="break", by="crew")) for _ in range(3)]
    record = in_the_log(agency.one, fact())
    taken = agency.take(copy_of(agency.one, record))
    assert taken.changed and taken.affected == ("d-one",)
    assert [receipt.through for receipt in taken.receipts] == [0]  # it is not stored as a record before its turn
    (one,) = shown(agency)
    raised_ms = agency.now_ms
    assert (one.unit, one.call_sign, one.presses, one.received_ms) == ("u1", "CARE-1", 1, raised_ms)
    taken = agency.take(*earlier, record, copy_of(agency.one, record))
    assert [receipt.through for receipt in taken.receipts] == [4]
    (again,) = shown(agency)
    assert (again.presses, again.received_ms) == (1, raised_ms)
    assert len(agency.rows("record")["record"]) == 4
    assert agency.quarantined() == []
    assert_rebuilds_the_same(agency)


def test_one_without_a_number_is_kept_and_is_the_same_press_when_it_gets_one(agency: Agency) -> None:
    word = unnumbered(agency.one, fact())
    for _ in range(3):
        agency.take(word)
    assert len(agency.rows("alarm")["alarm"]) == 1
    agency.take(in_the_log(agency.one, fact()))
    (one,) = shown(agency)
    assert one.presses == 1
    assert_rebuilds_the_same(agency)


def test_pressing_again_counts_and_a_wish_to_clear_does_not(agency: Agency) -> None:
    agency.take(in_the_log(agency.one, fact()), in_the_log(agency.one, fact(mono_ms=950, fix=None, fix_age_ms=None)))
    agency.take(in_the_log(agency.one, fact(mono_ms=960, asks_clear=True)))
    (one,) = shown(agency)
    assert (one.presses, one.asked_ms, one.lat) == (2, agency.now_ms, None)
    assert_rebuilds_the_same(agency)


def test_it_names_the_crew_the_place_and_the_incident(agency: Agency) -> None:
    agency.incident()
    agency.take(in_the_log(agency.one, fact(incident="i1", assignment="a1", staff=("s1", "s2"))))
    (one,) = shown(agency)
    assert [who.name for who in one.crew] == ["Aspen", "Beech"]
    assert (one.lat, one.lon, one.fix_age_ms) == (FIX.lat, FIX.lon, 800)
    assert (one.number, one.place, one.source) == (1, "12 Shore St", "button")
    assert one.pressed_ms is not None and one.pressed_ms < one.received_ms


def test_it_is_the_devices_unit_whatever_unit_it_names_and_odd_words_stop_nothing(agency: Agency) -> None:
    agency.take(agency.one.record(Kind.SHIFT, ShiftFact(shift=bytes(16), unit="u1", staff=("s2",), on=True)))
    agency.take(in_the_log(agency.one, fact(unit="../else where", staff=("<b>",), assignment="\0", incident="")))
    agency.take(unnumbered(agency.two, fact(TWO, unit=None, mono_ms=2**60, fix_age_ms=2**60)))
    first, second = shown(agency)
    assert (first.unit, [who.id for who in first.crew], first.incident) == ("u1", ["s2"], None)
    assert (second.unit, second.pressed_ms) == ("u2", None)
    assert agency.quarantined() == []
    assert_rebuilds_the_same(agency)


def test_the_first_to_acknowledge_has_it(agency: Agency) -> None:
    agency.take(in_the_log(agency.one, fact()))
    acknowledge(agency, by="dee")
    at_ms = agency.now_ms
    acknowledge(agency, by="kim")
    (one,) = shown(agency)
    assert (one.acknowledged_ms, one.acknowledged_by) == (at_ms, "dee")
    assert_rebuilds_the_same(agency)


def test_it_is_cleared_with_whom_was_spoken_and_what_was_said(agency: Agency) -> None:
    agency.incident()
    agency.take(in_the_log(agency.one, fact(incident="i1")))
    acknowledge(agency)
    clear(agency, words="pressed by knee")
    clear(agency, words="another story")
    assert shown(agency) == ()
    ((*_, contact, words),) = agency.rows("emergency")["emergency"]
    assert (contact, words) == ("Aspen", "pressed by knee")
    with agency.engine.begin() as connection:
        lines = [(one.what, one.detail) for one in timeline(connection, "i1")][1:]
        audited = connection.execute(
            select(schema.audit.c.what, schema.audit.c.source).where(schema.audit.c.what.startswith("emergency"))
        ).all()
    assert lines == [
        ("emergency", "button"),
        ("emergency_acknowledged", "dee"),
        ("emergency_cleared", "Aspen: pressed by knee"),
    ]
    assert [tuple(row) for row in audited] == [
        ("emergency_raised", "d-one"),
        ("emergency_acknowledged", "console"),
        ("emergency_cleared", "console"),
    ]
    assert_rebuilds_the_same(agency)


@pytest.mark.parametrize(
    ("contact", "words", "presses", "code"),
    [("", "well", 1, "reason_needed"), ("Aspen", "  ", 1, "reason_needed"), ("Aspen", "well", 0, "busy")],
)
def test_it_is_not_cleared_without_voice_contact_nor_past_a_press_that_was_not_seen(
    agency: Agency, contact: str, words: str, presses: int, code: str
) -> None:
    agency.take(in_the_log(agency.one, fact()))
    acknowledge(agency)
    with pytest.raises(Refused) as refused:
        clear(agency, contact=contact, words=words, presses=presses)
    assert refused.value.code == code
    assert len(shown(agency)) == 1


def test_it_is_not_cleared_before_somebody_has_it(agency: Agency) -> None:
    agency.take(in_the_log(agency.one, fact()))
    with pytest.raises(Refused, match="Acknowledge it first"):
        clear(agency)


def test_nobody_acknowledges_what_there_is_not(agency: Agency) -> None:
    for id_ in (ONE.hex(), "", "zz" * 16, "é" * 32):
        with pytest.raises(Refused, match="no such"), agency.engine.begin() as connection:
            emergencies.acknowledge(connection, id_, Deed(by="dee", now_ms=1))


def test_a_press_that_was_not_heard_before_raises_a_cleared_one_again_and_one_that_was_does_not(
    agency: Agency,
) -> None:
    first, second = in_the_log(agency.one, fact()), in_the_log(agency.one, fact(mono_ms=990))
    agency.take(copy_of(agency.one, first))
    acknowledge(agency)
    clear(agency)
    agency.take(first, copy_of(agency.one, first), unnumbered(agency.one, fact()))
    assert shown(agency) == ()
    agency.take(second)
    (one,) = shown(agency)
    assert (one.presses, one.acknowledged_ms) == (2, None)
    acknowledge(agency)
    clear(agency, presses=2)
    agency.take(unnumbered(agency.one, fact(mono_ms=995)))
    assert [one.presses for one in shown(agency)] == [3]
    assert_rebuilds_the_same(agency)


def test_a_wish_to_clear_does_not_raise_a_cleared_one_and_is_not_lost_when_it_comes_first(agency: Agency) -> None:
    agency.take(unnumbered(agency.two, fact(TWO, mono_ms=7, asks_clear=True)))
    (one,) = shown(agency)
    assert (one.presses, one.asked_ms) == (0, agency.now_ms)
    agency.take(unnumbered(agency.two, fact(TWO, mono_ms=5)))
    acknowledge(agency, TWO)
    clear(agency, TWO)
    agency.take(unnumbered(agency.two, fact(TWO, mono_ms=9, asks_clear=True)))
    assert shown(agency) == ()
    assert_rebuilds_the_same(agency)


def test_a_test_is_shown_as_one_and_cleared_without_a_word(agency: Agency) -> None:
    agency.take(in_the_log(agency.one, fact(drill=True)), in_the_log(agency.two, fact(TWO)))
    real, drill = shown(agency)
    assert (real.is_drill, drill.is_drill) == (False, True)
    acknowledge(agency, ONE)
    clear(agency, ONE, contact="", words="")
    assert [one.id for one in shown(agency)] == [TWO.hex()]


def test_a_unit_in_an_emergency_is_marked_and_one_that_tests_is_not(agency: Agency) -> None:
    agency.take(in_the_log(agency.one, fact()), in_the_log(agency.two, fact(TWO, drill=True)))
    with agency.engine.begin() as connection:
        units = snapshot.units(connection, lambda _: State(word=Word.GONE, since_ms=None))
    assert {unit.unit: unit.is_in_emergency for unit in units} == {"u1": True, "u2": False, "u3": False}


def test_an_id_of_another_device_is_refused_and_harms_nothing(agency: Agency) -> None:
    agency.take(in_the_log(agency.one, fact()))
    agency.take(unnumbered(agency.two, fact(ONE, unit="u1", mono_ms=1, asks_clear=True)))
    (one,) = shown(agency)
    assert (one.unit, one.asked_ms) == ("u1", None)
    assert agency.quarantined() == ["unknown kind or unreadable body"]
    assert_rebuilds_the_same(agency)


def test_what_is_forged_or_comes_from_a_revoked_device_raises_nothing(agency: Agency) -> None:
    genuine, agency.one.key = agency.one.key, new_key()
    agency.take(unnumbered(agency.one, fact()))
    agency.one.key = genuine
    with agency.engine.begin() as connection:
        connection.execute(update(schema.device).where(schema.device.c.device == "d-two").values(state="revoked"))
    agency.take(unnumbered(agency.two, fact(TWO)))
    agency.take(agency.one.arrival(Up.LOG, unnumbered(agency.one, fact()).payload))  # only the alarm topic has such
    assert shown(agency) == ()
    assert agency.quarantined() == ["wrong signature", "device not enrolled or revoked", "wrong signature"]


def test_the_terminal_is_told_what_dispatch_knows_and_of_no_other(agency: Agency) -> None:
    assert told(agency, agency.one) == ()
    agency.take(unnumbered(agency.one, fact()), in_the_log(agency.two, fact(TWO)))
    (one,) = told(agency, agency.one)
    assert (one.id, one.acknowledged_ms, one.cleared_ms) == (ONE, None, None)
    assert [(heard.boot, heard.mono_ms) for heard in one.heard] == [(agency.one.boot, 900)]
    acknowledge(agency)
    (one,) = told(agency, agency.one)
    assert (one.acknowledged_ms, one.by) == (agency.now_ms, "dee")
    first_boot, agency.one.boot = agency.one.boot, b"n" * 16
    agency.take(unnumbered(agency.one, fact(mono_ms=3)))
    agency.take(unnumbered(agency.one, fact(mono_ms=2)))
    (one,) = told(agency, agency.one)
    assert {heard.boot: heard.mono_ms for heard in one.heard} == {first_boot: 900, b"n" * 16: 3}
    clear(agency, presses=3)
    (one,) = told(agency, agency.one)
    assert one.cleared_ms == agency.now_ms


def test_of_the_cleared_ones_only_the_newest_go_down_and_none_that_is_open_is_left_out(agency: Agency) -> None:
    for n in range(12):
        agency.take(in_the_log(agency.one, fact(bytes([n]) * 16, mono_ms=n)))
        acknowledge(agency, bytes([n]) * 16)
        if n % 6:
            clear(agency, bytes([n]) * 16)
    ids = [one.id[0] for one in told(agency, agency.one)]
    assert ids == [0, 6, 11, 10, 9, 8, 7, 5, 4, 3]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["log", "ahead", "unnumbered", "ask", "acknowledge", "clear", "status", "later", "other"]),
        st.integers(0, 1),
        st.integers(1, 4),
    ),
    max_size=16,
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_folding_everything_again_gives_the_same_emergencies(steps: list[tuple[str, int, int]]) -> None:
    with TemporaryDirectory() as folder:
        agency = Agency(Path(folder))
        waiting: list[Arrival] = []
        for what, which, mono_ms in steps:
            id_ = (ONE, TWO)[which]
            match what:
                case "log":
                    waiting.append(in_the_log(agency.one, fact(id_, mono_ms)))
                    agency.take(*waiting)
                case "ahead":
                    waiting.append(agency.one.record(Kind.STATUS, StatusFact(unit="u1", status="break", by="crew")))
                    waiting.append(in_the_log(agency.one, fact(id_, mono_ms)))
                    agency.take(copy_of(agency.one, waiting[-1]))
                case "unnumbered":
                    agency.take(unnumbered(agency.one, fact(id_, mono_ms)))
                case "ask":
                    agency.take(unnumbered(agency.one, fact(id_, 10 + mono_ms, asks_clear=True)))
                case "other":
                    agency.take(unnumbered(agency.two, fact(id_, mono_ms)))
                case "later":
                    agency.take(*waiting)
                case "status":
                    agency.take(agency.two.record(Kind.STATUS, StatusFact(unit="u2", status="break", by="crew")))
                case _:
                    _answer(agency, what, id_)
        try:
            assert_rebuilds_the_same(agency)
        finally:
            agency.engine.dispose()


def _answer(agency: Agency, what: str, id_: bytes) -> None:
    seen = {one.id: one.presses for one in shown(agency)}
    if id_.hex() not in seen:
        return
    acknowledge(agency, id_)
    if what == "clear":
        clear(agency, id_, presses=seen[id_.hex()])
