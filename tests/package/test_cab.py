"""The cab at work: the button before everything, with everything else stuck; lamps, buzzer, and the vehicle's lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from random import Random
from threading import Event, Thread

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from gpiozero import GPIOZeroError
from gpiozero.pins.mock import MockFactory, MockPWMPin
from sqlite_utils import Database

from edge import schema, uplink
from edge.cab import BETWEEN_S, LATCH_S, MEND_S, POWER_DIP_S, SETTLE_S, TICK_S, UNSAVED_S, Cab, alert_between
from edge.clock import Clock
from edge.outbox import LEDGER, Signer
from edge.store import Store
from edge.uplink import LiveSlot, Uplink
from firmware_bridge.button import HOLD_S, STUCK_S
from firmware_bridge.pins import Board, Condition, Duress, Factory, Name, PinsSettings
from firmware_bridge.signals import DAY, NIGHT, RHYTHM, Alert, EmergencyLamp, LinkLamp, length_s
from tests.patience import PATIENCE_S
from tests.screens.screen_rig import an_assignment
from wire.state import Assignment

WIRED = b"""
duress = { gpio = 17, active = "low" }
power_fail = { gpio = 4, active = "high" }
ignition = { gpio = 27, active = "high" }
dock = { gpio = 24, active = "high" }
headlights = { gpio = 22, active = "high" }
lamp_emergency = { gpio = 5 }
lamp_link = { gpio = 6 }
lamp_gps = { gpio = 13 }
buzzer = { gpio = 18 }
"""
GPIO = {
    Name.DURESS: 17,
    Name.POWER_FAIL: 4,
    Name.IGNITION: 27,
    Name.DOCK: 24,
    Name.HEADLIGHTS: 22,
    Name.LAMP_EMERGENCY: 5,
    Name.LAMP_LINK: 6,
    Name.LAMP_GPS: 13,
    Name.BUZZER: 18,
}


class CabRig:
    """A cab whose wires and clock a test holds. What it told is in `told`, in order."""

    def __init__(self, toml: bytes = WIRED) -> None:
        self.now_s = 1000.0
        self.phase = EmergencyLamp.NONE
        self.link = LinkLamp.UP
        self.gps = "fix"
        self.told: list[tuple[object, ...]] = []
        self.mock = MockFactory(pin_class=MockPWMPin)
        self.is_board_there = True
        self.is_press_broken = False
        self.board = Board(
            msgspec.toml.decode(toml, type=PinsSettings),
            Factory(make=self._make, errors=(GPIOZeroError,)),
            lambda: None,
        )
        self.cab = self.new_cab()

    def new_cab(self, assignments: tuple[Assignment, ...] = ()) -> Cab:
        telling: dict[str, Callable[..., None]] = {
            "press": self._press,
            "ignition": lambda is_on: self.told.append(("ignition", is_on)),
            "docked": lambda is_docked: self.told.append(("docked", is_docked)),
            "power_failing": lambda: self.told.append(("power",)),
        }
        return Cab(
            self.board,
            phase=lambda: self.phase,
            link=lambda: self.link,
            gps=lambda: self.gps,
            mono_s=lambda: self.now_s,
            assignments=assignments,
            **telling,
        )

    def wire(self, name: Name, is_active: bool) -> None:
        pin = self.mock.pin(GPIO[name])
        (pin.drive_high if is_active != (name is Name.DURESS) else pin.drive_low)()

    def lamp(self, name: Name) -> float:
        return float(self.mock.pin(GPIO[name]).state)

    def go(self, for_s: float) -> list[tuple[object, ...]]:
        """Let the cab sample for `for_s`; what it told meanwhile."""
        before, end_s = len(self.told), self.now_s + for_s
        while self.now_s < end_s:
            self.now_s += TICK_S
            self.cab.step(self.now_s)
        self.tell()
        return self.told[before:]

    def seen(self, name: Name, for_s: float) -> list[float]:
        """What the lamp did, sample by sample."""
        levels, end_s = [], self.now_s + for_s
        while self.now_s < end_s:
            self.go(TICK_S / 2)
            levels.append(self.lamp(name))
        return levels

    def tell(self) -> None:
        self.cab.stop_telling()
        self.cab.tell()

    def _make(self) -> object:
        if not self.is_board_there:
            raise FileNotFoundError(2, "No such file or directory")
        return self.mock

    def _press(self, source: str, at_mono_s: float) -> None:
        self.told.append(("press", source, at_mono_s, self.lamp(Name.LAMP_EMERGENCY)))
        if self.is_press_broken:
            raise RuntimeError("the emergency part is broken")


@pytest.fixture
def rig() -> Iterator[CabRig]:
    made = CabRig()
    yield made
    made.board.close()


def test_the_lamp_is_lit_before_anybody_is_told(rig: CabRig) -> None:
    rig.go(1.0)
    down_s = rig.now_s
    rig.wire(Name.DURESS, True)
    [(what, source, at_s, lamp)] = rig.go(HOLD_S + 0.1)
    assert (what, source, lamp) == ("press", "button", DAY)
    assert isinstance(at_s, float)
    assert HOLD_S <= at_s - down_s <= HOLD_S + 2 * TICK_S


def test_the_lamp_blinks_although_the_terminal_has_not_taken_notice(rig: CabRig) -> None:
    rig.wire(Name.DURESS, True)
    rig.go(HOLD_S + 0.1)
    rig.wire(Name.DURESS, False)
    levels = rig.seen(Name.LAMP_EMERGENCY, 60.0)
    assert 0.3 < levels.count(DAY) / len(levels) < 0.7
    assert set(levels) == {0.0, DAY}


def test_the_lamp_follows_the_emergency_to_its_end(rig: CabRig) -> None:
    rig.wire(Name.DURESS, True)
    rig.go(HOLD_S + 0.1)
    rig.wire(Name.DURESS, False)
    rig.phase = EmergencyLamp.RAISED
    assert set(rig.seen(Name.LAMP_EMERGENCY, 3.0)) == {0.0, DAY}
    rig.phase = EmergencyLamp.RECEIVED
    assert set(rig.seen(Name.LAMP_EMERGENCY, 3.0)) == {0.0, DAY}
    rig.phase = EmergencyLamp.ACKNOWLEDGED
    rig.go(0.2)
    assert set(rig.seen(Name.LAMP_EMERGENCY, 3.0)) == {DAY}
    rig.phase = EmergencyLamp.NONE
    rig.go(0.2)
    assert set(rig.seen(Name.LAMP_EMERGENCY, 3.0)) == {0.0}


def test_an_emergency_raised_on_the_screen_blinks_too(rig: CabRig) -> None:
    rig.phase = EmergencyLamp.RAISED
    assert set(rig.seen(Name.LAMP_EMERGENCY, 2.0)) == {0.0, DAY}


def test_pressing_again_blinks_again_over_an_older_acknowledgement(rig: CabRig) -> None:
    rig.phase = EmergencyLamp.ACKNOWLEDGED
    rig.go(2.0)
    rig.wire(Name.DURESS, True)
    assert len(rig.go(HOLD_S + 0.1)) == 1
    assert 0.0 in rig.seen(Name.LAMP_EMERGENCY, LATCH_S - 0.2)


def test_each_press_is_told_and_a_held_one_once(rig: CabRig) -> None:
    for _ in range(3):
        rig.wire(Name.DURESS, True)
        assert len(rig.go(10.0)) == 1
        rig.wire(Name.DURESS, False)
        assert rig.go(1.0) == []


def test_a_button_held_while_the_terminal_starts_counts() -> None:
    rig = CabRig()
    rig.wire(Name.DURESS, True)
    assert len(rig.go(HOLD_S + 0.1)) == 1


def test_a_press_that_cannot_be_told_blinks_all_the_same_and_the_next_is_tried(rig: CabRig) -> None:
    rig.is_press_broken = True
    rig.wire(Name.DURESS, True)
    rig.go(HOLD_S + 0.1)
    rig.wire(Name.DURESS, False)
    assert set(rig.seen(Name.LAMP_EMERGENCY, 3.0)) == {0.0, DAY}
    rig.wire(Name.DURESS, True)
    assert len(rig.go(HOLD_S + 0.1)) == 1


def test_a_stuck_button_is_not_said_to_work_until_it_opens(rig: CabRig) -> None:
    rig.go(0.1)
    assert rig.cab.state().duress is Duress.WORKS
    rig.wire(Name.DURESS, True)
    assert len(rig.go(STUCK_S + 1)) == 1
    assert rig.cab.state().duress is Duress.STUCK
    assert not rig.cab.state().has_working_duress
    rig.wire(Name.DURESS, False)
    rig.go(0.2)
    assert rig.cab.state().has_working_duress


def test_a_button_that_nobody_samples_is_not_said_to_work(rig: CabRig) -> None:
    rig.go(0.1)
    rig.now_s += 5.0
    assert rig.cab.state().duress is Duress.BROKEN


def test_without_a_board_nothing_works_nothing_fails_and_it_is_found_later() -> None:
    rig = CabRig()
    rig.board.close()
    rig.is_board_there = False
    rig.board.mend()
    rig.cab = rig.new_cab()
    assert rig.go(1.0) == []
    assert rig.cab.state().duress is Duress.BROKEN
    assert rig.cab.state().pins["duress"].condition is Condition.MISSING
    rig.is_board_there = True
    rig.go(MEND_S + 0.2)
    assert rig.cab.state().duress is Duress.WORKS
    rig.wire(Name.DURESS, True)
    assert len(rig.go(HOLD_S + 0.1)) == 1


def test_link_and_gps_lamps_say_what_the_link_and_the_receiver_are(rig: CabRig) -> None:
    for gps, link, lit in (("fix", LinkLamp.UP, 1.0), ("no fix", LinkLamp.AWAY, 0.5), ("silent", LinkLamp.DOWN, 0.05)):
        rig.gps, rig.link = gps, link
        rig.go(0.2)
        for name in (Name.LAMP_GPS, Name.LAMP_LINK):
            levels = rig.seen(name, 20.0)
            assert abs(levels.count(DAY) / len(levels) - lit) < 0.06


def test_lamps_are_dim_at_night_and_the_screen_hears_of_the_headlights(rig: CabRig) -> None:
    rig.go(0.5)
    assert (rig.lamp(Name.LAMP_LINK), rig.cab.state().headlights) == (DAY, False)
    rig.wire(Name.HEADLIGHTS, True)
    rig.go(SETTLE_S[Name.HEADLIGHTS] + 0.2)
    assert (rig.lamp(Name.LAMP_LINK), rig.cab.state().headlights) == (NIGHT, True)


def test_alerts_sound_one_after_the_other_and_not_twice(rig: CabRig) -> None:
    for alert in (Alert.ASSIGNMENT, Alert.CHANGE, Alert.CHANGE):
        rig.cab.alert(alert)
    levels = rig.seen(Name.BUZZER, length_s(Alert.ASSIGNMENT) + 2 * length_s(Alert.CHANGE) + 4 * BETWEEN_S)
    starts = sum(before < after for before, after in zip([0.0, *levels], levels, strict=False))
    assert starts == 3 + 2
    assert levels[-1] == 0.0


def test_an_assignment_rings_a_change_rings_otherwise_and_the_rest_is_quiet() -> None:
    first, second = an_assignment(), an_assignment(id="a-2")
    replace = msgspec.structs.replace
    assert alert_between((), (first,)) is Alert.ASSIGNMENT
    assert alert_between((first,), (first, second)) is Alert.ASSIGNMENT
    assert alert_between((first,), ()) is Alert.CHANGE
    for change in ({"gate": "secure"}, {"place": "The boat house"}, {"priority": 2}, {"cautions": ("Large dog",)}):
        assert alert_between((first,), (replace(first, **change),)) is Alert.CHANGE
    assert alert_between((first,), (replace(first, others=(), offered_ms=1),)) is None
    assert alert_between((first, second), (second, first)) is None


def test_what_the_crew_was_told_before_a_restart_does_not_ring_again(rig: CabRig) -> None:
    rig.cab = rig.new_cab(assignments=(an_assignment(),))
    rig.cab.assigned((an_assignment(),))
    assert set(rig.seen(Name.BUZZER, 2.0)) == {0.0}
    rig.cab.assigned((an_assignment(gate="secure"),))
    assert 1.0 in rig.seen(Name.BUZZER, 2.0)


def test_something_not_saved_is_said_now_and_then_and_not_with_every_attempt(rig: CabRig) -> None:
    levels = []
    for _ in range(10):
        rig.cab.alert(Alert.UNSAVED)
        levels += rig.seen(Name.BUZZER, 2.0)
    starts = sum(before < after for before, after in zip([0.0, *levels], levels, strict=False))
    assert starts == len(RHYTHM[Alert.UNSAVED][::2])
    rig.go(UNSAVED_S)
    rig.cab.alert(Alert.UNSAVED)
    assert 1.0 in rig.seen(Name.BUZZER, 1.0)


def test_raising_is_silent_and_the_acknowledgement_is_heard(rig: CabRig) -> None:
    rig.wire(Name.DURESS, True)
    assert set(rig.seen(Name.BUZZER, HOLD_S + 0.2)) == {0.0}
    rig.phase = EmergencyLamp.RAISED
    assert set(rig.seen(Name.BUZZER, 3.0)) == {0.0}
    rig.phase = EmergencyLamp.ACKNOWLEDGED
    assert 1.0 in rig.seen(Name.BUZZER, 0.5)


def test_the_ignition_is_told_when_it_has_settled(rig: CabRig) -> None:
    rig.wire(Name.IGNITION, True)
    rig.go(1.0)
    rig.wire(Name.IGNITION, False)  # the starter motor
    assert rig.go(2.0) == []
    rig.wire(Name.IGNITION, True)
    assert rig.go(4.0) == []
    rig.wire(Name.IGNITION, False)
    assert rig.go(SETTLE_S[Name.IGNITION] + 0.2) == [("ignition", False)]


def test_the_dock_is_told_both_ways(rig: CabRig) -> None:
    rig.go(0.1)
    rig.wire(Name.DOCK, True)
    assert rig.go(1.0) == [("docked", True)]
    rig.wire(Name.DOCK, False)
    assert rig.go(1.0) == [("docked", False)]


def test_failing_power_is_told_once_and_a_dip_is_not(rig: CabRig) -> None:
    rig.go(1.0)
    rig.wire(Name.POWER_FAIL, True)
    assert rig.go(POWER_DIP_S / 2) == []
    assert rig.cab.state().is_power_failing, "what is being written can be saved meanwhile"
    rig.wire(Name.POWER_FAIL, False)
    assert rig.go(POWER_DIP_S * 3) == []
    assert not rig.cab.state().is_power_failing
    rig.wire(Name.POWER_FAIL, True)
    assert rig.go(POWER_DIP_S + 0.3) == [("power",)]
    assert rig.go(10.0) == []


def test_a_line_that_always_says_no_power_does_not_end_every_start() -> None:
    rig = CabRig()
    rig.wire(Name.POWER_FAIL, True)
    assert rig.go(10.0) == []


def test_the_button_works_with_the_store_the_link_and_the_screen_stuck(tmp_path: Path) -> None:
    """F28, F29: a disk that never answers, an uplink that waits for it, and a screen that holds on to a callback."""
    never = Event()
    store = Store(tmp_path / "ledger.db", schema.LEDGER)

    def stuck(db: Database) -> None:
        never.wait()

    def work() -> None:
        store.do(stuck)

    signer, clock = Signer("care-1", ec.generate_private_key(ec.SECP256R1())), Clock(bytes(16))
    live = LiveSlot(signer, clock, lambda *_: None)
    up = Uplink(uplink.inbox(), {LEDGER: store}, signer, clock, lambda *_: None, live, software="0", chance=Random(1))
    rig = CabRig()
    pressed: Queue[float] = Queue()
    lit = []

    def press(source: str, at_mono_s: float) -> None:
        lit.append(rig.lamp(Name.LAMP_EMERGENCY))
        pressed.put(at_mono_s)

    cab = Cab(
        rig.board,
        press=press,
        phase=lambda: EmergencyLamp.NONE,
        link=lambda: LinkLamp(up.hears_us()),
        gps=lambda: "no receiver",
        ignition=lambda is_on: None,
        docked=lambda is_docked: store.do(lambda db: None),
        power_failing=lambda: None,
    )
    threads = [Thread(target=target, daemon=True) for target in (work, up.run, cab.run, cab.tell)]
    try:
        for thread in threads:
            thread.start()
        while cab.state().pins["dock"].level is None:
            time.sleep(TICK_S)
        rig.wire(Name.DOCK, True)
        time.sleep(SETTLE_S[Name.DOCK] + 0.3)  # the teller is now waiting for the disk
        for _ in range(2):
            rig.wire(Name.DURESS, True)
            assert pressed.get(timeout=PATIENCE_S) > 0
            rig.wire(Name.DURESS, False)
            time.sleep(0.2)
        assert lit == [DAY, DAY]
        levels = {rig.lamp(Name.LAMP_EMERGENCY)}
        end_s = time.monotonic() + PATIENCE_S
        while levels != {0.0, DAY} and time.monotonic() < end_s:
            time.sleep(0.01)
            levels.add(rig.lamp(Name.LAMP_EMERGENCY))
        assert levels == {0.0, DAY}
        assert cab.state().has_working_duress
    finally:
        cab.stop()
        cab.stop_telling()
        up.stop()
        threads[2].join(PATIENCE_S)
        never.set()
        for thread in threads:
            thread.join(PATIENCE_S)
        store.close()
    assert not any(thread.is_alive() for thread in threads)
    assert rig.mock.pins == {}, "given back"
