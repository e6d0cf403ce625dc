"""An emergency at the terminal: raised at once, told until it is heard, over only when dispatch says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from edge import downlink, emergency_kept, held, outbox, schema, shift
from edge.clock import Clock
from edge.downlink import Downlink
from edge.emergency import Emergency
from edge.emergency_state import Phase
from edge.link import Message, Sent, Subscribed
from edge.outbox import LEDGER, Signer
from edge.store import Store
from edge.vault import VaultKey
from tests.terminal_fleet import TerminalFleet
from wire import topics
from wire.codec import Malformed, decode, encode
from wire.facts import EmergencyFact
from wire.fix import Fix
from wire.records import Kind, Record, open_alarm, open_record
from wire.stamp import ClockQuality
from wire.state import Assignment, Assignments, Emergencies, HeardPress, KnownEmergency, Version, seal_snapshot
from wire.topics import State, Up

FIX = Fix(lat=39.96, lon=-83.0)
BOOT = b"b" * 16


def until(what: str, look: Callable[[], object], timeout_s: float = 10.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not look():
        assert time.monotonic() < end_s, f"waited in vain for {what}"
        time.sleep(0.005)


class Rig:
    """A terminal's emergencies with a real store; its link is a list, and dispatch is the test."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.fleet = TerminalFleet()
        self.who = self.fleet.terminal(home, "care-1")
        self.signer = Signer(self.who.device, self.who.key)
        self.is_linked = True
        self.is_out = True
        self.sent: list[bytes] = []
        self.raised: list[bool] = []
        self.saved = 0
        self.version = 0
        self.known: dict[bytes, KnownEmergency] = {}
        self.fix: tuple[Fix, float] | None = None
        self.start()

    def start(self, boot: bytes = BOOT, is_running: bool = True) -> None:
        self.clock = Clock(boot, quality=lambda: ClockQuality.NTP)
        self.store = Store(self.home / "ledger.db", schema.LEDGER)
        self.subject = Emergency(
            self.store,
            self.who,
            self.signer,
            self.clock,
            self.publish,
            last_fix=lambda: self.fix,
            raised=self.raised.append,
            saved=self.count_saved,
            save_s_max=0.3,
            tell_again_s=0.2,
        )
        self.threads = [Thread(target=work, daemon=True) for work in (self.subject.run, self.subject.keep)]
        if is_running:
            for thread in self.threads:
                thread.start()
        self.downlink = Downlink(
            downlink.inbox(),
            {LEDGER: self.store},
            self.who,
            self.signer,
            self.clock,
            hub_said=lambda _: None,
            spread=lambda _: None,
            settings=lambda _: None,
            wake=self.subject.look,
            refused=lambda: None,
            desk=None,
        )

    def close(self) -> None:
        self.subject.stop()
        for thread in self.threads:
            if thread.is_alive():
                thread.join(5)
                assert not thread.is_alive()
        self.store.close()

    def restart(self, boot: bytes = BOOT) -> None:
        self.close()
        self.start(boot)

    def publish(self, channel: Up, payload: bytes, qos: int, retain: bool) -> Sent | None:
        assert (channel, qos, retain) == (Up.ALARM, 1, False)
        if not self.is_linked:
            return None
        self.sent.append(payload)
        return Sent(1, lambda: self.is_out)

    def count_saved(self) -> None:
        self.saved += 1

    def press(self, drill: bool = False, at_mono_s: float | None = None) -> None:
        self.subject.press("button", self.clock.mono_s() if at_mono_s is None else at_mono_s, drill)

    def records(self) -> list[Record]:
        rows: list[tuple[bytes]] = self.store.do(
            lambda db: db.execute("select data from record where kind = 'emergency' order by seq").fetchall()
        )
        return [open_record(data, "care-1", self.who.key.public_key()) for (data,) in rows]

    def facts(self) -> list[EmergencyFact]:
        return [decode(record.body, EmergencyFact) for record in self.records()]

    def pressed(self, count: int) -> list[EmergencyFact]:
        until(f"{count} saved", lambda: len(self.records()) >= count)
        return self.facts()

    def say(self, *known: KnownEmergency, kept: bool = True, version: int | None = None) -> None:
        """Dispatch's word, as it arrives: to the emergency at once, and to the downlink, which commits it."""
        self.version = self.version + 1 if version is None else version
        data = seal_snapshot(
            "care-1",
            "emergency",
            Version(1, self.version),
            encode(Emergencies(emergencies=known)),
            self.who.kem.public_key(),
            self.fleet.snapshot,
        )
        message = Message(topics.text(State("care-1", "emergency")), data)
        self.subject.heard(message)
        if kept:
            self.downlink.take(message)


def heard(fact: EmergencyFact, boot: bytes = BOOT, **more: object) -> KnownEmergency:
    presses = (HeardPress(boot, fact.mono_ms),)
    return KnownEmergency(id=fact.id, heard=presses, received_ms=5, drill=fact.drill, **more)  # type: ignore[arg-type]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


def test_it_is_raised_from_the_moment_of_the_press_whatever_the_rest_is_doing(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.close()
    rig.start(is_running=False)  # both threads stand still
    assert rig.subject.phase() is Phase.NONE
    rig.press()
    assert rig.subject.phase() is Phase.RAISED
    assert rig.subject.is_in_memory_only()
    rig.store.close()


def test_a_thousand_presses_that_nobody_takes_neither_block_nor_raise(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.close()
    rig.start(is_running=False)
    for _ in range(1000):
        rig.press()
        rig.subject.look()
        rig.subject.noticed(Subscribed())
    assert rig.subject.phase() is Phase.RAISED
    rig.subject.stop()
    rig.store.close()


def test_a_press_is_a_record_and_its_copy_goes_out_at_once_as_the_same_bytes(rig: Rig) -> None:
    rig.press()
    until("the copy", lambda: rig.sent)
    (record,) = rig.records()
    copy = open_record(rig.sent[0], "care-1", rig.who.key.public_key())
    assert copy == record
    assert (record.kind, record.seq) == (Kind.EMERGENCY, 1)
    assert rig.saved == 1
    assert not rig.subject.is_in_memory_only()


def test_it_says_who_is_aboard_on_what_and_where_they_last_were(rig: Rig) -> None:
    key = VaultKey(staff="s-rowan", key=b"k" * 32)
    rig.store.do(lambda db: shift.sign_on(db, rig.signer, rig.clock.stamp(), key, "u-2"))
    rig.fleet.say(rig.store, rig.who, "assignments", WORKING)
    rig.fix = FIX, rig.clock.mono_s() - 4.0
    rig.press()
    (fact,) = rig.pressed(1)
    assert (fact.unit, fact.staff, fact.assignment, fact.incident) == ("u-2", ("s-rowan",), "a-1", "LC-412")
    assert (fact.source, fact.fix, fact.drill, fact.asks_clear) == ("button", FIX, False, False)
    assert fact.fix_age_ms is not None and 3900 <= fact.fix_age_ms < 6000


def test_pressing_again_adds_a_fact_to_the_same_emergency(rig: Rig) -> None:
    rig.press()
    rig.press()
    first, second = rig.pressed(2)
    assert first.id == second.id
    assert first.mono_ms <= second.mono_ms


def test_the_words_go_from_raised_to_heard_to_acknowledged_to_over(rig: Rig) -> None:
    rig.press()
    (fact,) = rig.pressed(1)
    rig.say(heard(fact))
    until("received", lambda: rig.subject.phase() is Phase.RECEIVED)
    rig.say(heard(fact, acknowledged_ms=9, by="Nina"))
    until("acknowledged", lambda: rig.subject.phase() is Phase.ACKNOWLEDGED)
    assert (rig.subject.view().by, rig.subject.view().acknowledged_ms) == ("Nina", 9)
    assert rig.raised[-1] is True
    rig.say(heard(fact, acknowledged_ms=9, by="Nina", cleared_ms=11))
    until("over", lambda: rig.subject.phase() is Phase.NONE)
    assert rig.raised[-1] is False
    rig.press()
    assert rig.pressed(2)[1].id != fact.id


def test_it_is_told_again_until_dispatch_has_heard_it_and_not_after(rig: Rig) -> None:
    rig.press()
    until("three times", lambda: len(rig.sent) >= 3)
    assert len(set(rig.sent)) == 1
    rig.say(heard(rig.facts()[0]))
    until("received", lambda: rig.subject.phase() is Phase.RECEIVED)
    count = len(rig.sent)
    time.sleep(0.6)
    assert len(rig.sent) == count


def test_what_the_broker_has_not_taken_yet_is_not_sent_behind_itself_but_anew_on_a_new_connection(rig: Rig) -> None:
    rig.is_out = False
    rig.press()
    until("the copy", lambda: rig.sent)
    time.sleep(0.6)
    assert len(rig.sent) == 1
    rig.subject.noticed(Subscribed())
    until("the copy on the new connection", lambda: len(rig.sent) == 2)


def test_without_a_link_it_waits_and_goes_out_when_there_is_one(rig: Rig) -> None:
    rig.is_linked = False
    rig.press()
    rig.pressed(1)
    assert rig.sent == [] and rig.subject.phase() is Phase.RAISED
    rig.is_linked = True
    rig.subject.noticed(Subscribed())
    until("the copy", lambda: rig.sent)


def test_a_disk_that_hangs_delays_it_by_the_promised_time_and_no_more_and_the_record_follows(rig: Rig) -> None:
    rig.fleet.say(rig.store, rig.who, "assignments", WORKING)
    rig.subject.look()
    until("what it is on", lambda: rig.subject._aboard.unit == "u-2")
    heals = Event()
    Thread(target=rig.store.do, args=(lambda db: heals.wait(20),), daemon=True).start()
    rig.press()
    until("the unnumbered word", lambda: rig.sent)
    alarm = open_alarm(rig.sent[0], "care-1", rig.who.key.public_key())
    fact = decode(alarm.body, EmergencyFact)
    assert (fact.unit, fact.incident) == ("u-2", "LC-412")
    assert not rig.subject.view().is_saved
    rig.say(heard(fact, acknowledged_ms=9, by="Nina"), kept=False)  # the downlink hangs as well
    until("acknowledged", lambda: rig.subject.phase() is Phase.ACKNOWLEDGED)
    heals.set()
    (saved,) = rig.pressed(1)
    assert (saved.id, saved.mono_ms) == (fact.id, fact.mono_ms)
    assert rig.records()[0].stamp.boot == alarm.stamp.boot
    until("saved", lambda: rig.subject.view().is_saved)


def test_a_store_that_fails_lets_it_out_at_once(rig: Rig) -> None:
    rig.store.do(lambda db: db.execute("alter table emergency rename to broken"))
    rig.press()
    until("the unnumbered word", lambda: rig.sent)
    open_alarm(rig.sent[0], "care-1", rig.who.key.public_key())
    assert rig.records() == []  # both or neither
    assert rig.subject.is_in_memory_only()


def test_after_a_restart_it_is_still_raised_and_told_again(rig: Rig) -> None:
    rig.press()
    rig.press()
    rig.pressed(2)
    rig.sent.clear()
    rig.restart(boot=b"n" * 16)
    assert rig.subject.phase() is Phase.RAISED
    until("the newest press, told again", lambda: rig.sent)
    assert open_record(rig.sent[0], "care-1", rig.who.key.public_key()) == rig.records()[1]
    rig.press()
    assert len({fact.id for fact in rig.pressed(3)}) == 1


def test_after_a_restart_what_dispatch_had_cleared_stays_over(rig: Rig) -> None:
    rig.press()
    (fact,) = rig.pressed(1)
    rig.say(heard(fact, cleared_ms=3))
    until("over", lambda: rig.subject.phase() is Phase.NONE)
    rig.restart()
    assert rig.subject.phase() is Phase.NONE
    assert rig.store.do(emergency_kept.raised_in) == ()


def test_what_only_dispatch_remembers_is_raised_after_a_restart(rig: Rig) -> None:
    lost = KnownEmergency(id=b"l" * 16, heard=(HeardPress(BOOT, 7),), received_ms=5)
    rig.say(lost)
    until("raised", lambda: rig.subject.phase() is Phase.RECEIVED)
    rig.restart()
    assert rig.subject.phase() is Phase.RECEIVED


def test_a_clearing_that_did_not_know_of_the_last_press_ends_nothing(rig: Rig) -> None:
    rig.press()
    time.sleep(0.01)
    rig.press()
    first, second = rig.pressed(2)
    rig.say(heard(first, acknowledged_ms=2, by="Nina", cleared_ms=3))
    until("raised anew", lambda: rig.subject.phase() is Phase.RAISED)
    assert len(rig.store.do(emergency_kept.raised_in)) == 1
    rig.say(heard(second, acknowledged_ms=2, by="Nina", cleared_ms=3))
    until("over", lambda: rig.subject.phase() is Phase.NONE)
    assert rig.store.do(emergency_kept.raised_in) == ()


def test_a_test_is_told_as_one_and_a_real_press_beside_it_is_a_real_one(rig: Rig) -> None:
    rig.press(drill=True)
    rig.press(drill=True)
    first, again = rig.pressed(2)
    assert first.drill and first.id == again.id and rig.subject.view().is_drill
    assert True not in rig.raised  # no position each second for a test
    rig.press()
    real = rig.pressed(3)[2]
    assert not real.drill and real.id != first.id
    until("the real one shown", lambda: not rig.subject.view().is_drill)
    rig.press(drill=True)  # in danger, with the wrong button
    assert rig.pressed(4)[3].id == real.id and not rig.facts()[3].drill
    assert rig.raised[-1] is True


def test_the_crew_asks_to_clear_and_it_stays_raised(rig: Rig) -> None:
    rig.subject.ask_clear(rig.clock.mono_s())
    time.sleep(0.1)
    assert rig.records() == [] and rig.subject.phase() is Phase.NONE
    rig.press()
    rig.subject.ask_clear(rig.clock.mono_s())
    first, asked = rig.pressed(2)
    assert asked.asks_clear and asked.id == first.id
    until("asked", lambda: rig.subject.view().is_asked)
    assert rig.subject.phase() is Phase.RAISED
    rig.restart()
    assert rig.subject.view().is_asked


def test_a_forged_or_an_older_word_changes_nothing(rig: Rig) -> None:
    rig.press()
    (fact,) = rig.pressed(1)
    rig.say(heard(fact, acknowledged_ms=2, by="Nina"), version=5)
    until("acknowledged", lambda: rig.subject.phase() is Phase.ACKNOWLEDGED)
    rig.say(heard(fact, cleared_ms=3), version=4)
    stranger = TerminalFleet()
    genuine, rig.fleet = rig.fleet, stranger
    with pytest.raises(Malformed):
        rig.say(heard(fact, cleared_ms=3), version=9)
    rig.fleet = genuine
    time.sleep(0.1)
    assert rig.subject.phase() is Phase.ACKNOWLEDGED


def test_the_downlink_says_that_the_section_is_held(rig: Rig) -> None:
    rig.say()
    assert rig.store.do(lambda db: held.about(db, "emergency")) is not None
    numbers = rig.store.do(outbox.numbers)
    assert numbers.next == 2


WORKING = Assignments(
    unit="u-2",
    call_sign="CARE-2",
    status="on_scene",
    status_ms=1,
    log_id=None,
    status_through=0,
    assignments=(
        Assignment(
            id="a-1",
            incident="LC-412",
            encounter=b"e" * 16,
            type="MNTL",
            type_label="Crisis",
            priority=2,
            lat=39.9,
            lon=-83.0,
            place="gate",
            problem="",
            gate="unknown",
            offered_ms=1,
        ),
    ),
)
