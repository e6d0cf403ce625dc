"""The cab: a duress button that works when nothing else does, three lamps, a buzzer, and the lines of the vehicle.

One thread samples the pins and drives the lamps. It calls nothing that could wait: not the store, not the link, not the
screen. What others do about the ignition or the dock is told by a second thread, which may be held up as long as it likes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from queue import Full, Queue
from threading import Event

import structlog

from firmware_bridge import button, pins, signals
from firmware_bridge.button import Button, Contact, Told
from firmware_bridge.pins import INPUTS, Board, Condition, Name, PinsState, PinState
from firmware_bridge.signals import Alert, EmergencyLamp, Light, LinkLamp
from wire.packet import Label
from wire.state import Assignment

SOURCE = "button"
TICK_S = 0.02  # five samples in the time a contact takes to settle twice; a person does not feel it
LAMPS_S = 0.1  # the fastest blink is twice that
MEND_S = 5.0  # how soon a pin that another program gave back is ours again
WATCHED_S = 1.0  # a sampling thread that has not been seen this long watches nothing
LATCH_S = 1.0  # a press blinks this long at least, whatever was acknowledged before it
POWER_DIP_S = 1.0  # a starter motor pulls the supply down for less; the screen saves what is being written meanwhile
BETWEEN_S = 0.7  # of silence after an alert: two that touched would be a third one
ALERTS_MAX = 8  # more than there are kinds of alert; one that waits already is not asked again
UNSAVED_S = 30.0  # said this often while it lasts: an autosave fails every two seconds
TOLD_MAX = 64  # a crew does not turn the key that often while somebody is held up

SETTLE_S = {  # how long a line must say so
    Name.POWER_FAIL: 0.1,
    Name.DOCK: 0.5,
    Name.HEADLIGHTS: 1.0,  # running lights are dimmed by switching them fast
    Name.IGNITION: 3.0,  # cranking takes the accessory line away
}

log = structlog.get_logger()


def alert_between(before: tuple[Assignment, ...], after: tuple[Assignment, ...]) -> Alert | None:
    """What a crew must hear when their assignments become `after`; None when nothing changed that they act on."""
    known, told = {one.id: one for one in before}, {one.id: one for one in after}
    if told.keys() - known.keys():
        return Alert.ASSIGNMENT
    is_other = known.keys() != told.keys() or any(_deeds(known[one]) != _deeds(told[one]) for one in told)
    return Alert.CHANGE if is_other else None


def _deeds(one: Assignment) -> tuple[object, ...]:
    """Where to go, how fast, and what to beware of. Who else comes is read on the way."""
    where = one.type, one.priority, one.lat, one.lon, one.place, one.problem, one.gate
    told = frozenset((answer.question, answer.answer) for answer in one.packet if answer.label == Label.SAFETY)
    return *where, frozenset(one.cautions), told


class Cab:
    """What is wired in one vehicle, at work. `press`, `power_failing`, `phase`, `link` and `gps` are called by the sampling
    thread and must answer from memory; `ignition` and `docked` may take their time.

    `assignments`: those the crew has been told of before. `ignition` and `docked` are told changes only; `power_failing` is told once, after the supply was gone for a second.
    """

    def __init__(
        self,
        board: Board,
        *,
        press: Callable[[str, float], None],
        phase: Callable[[], EmergencyLamp],
        link: Callable[[], LinkLamp],
        gps: Callable[[], str],
        ignition: Callable[[bool], None],
        docked: Callable[[bool], None],
        power_failing: Callable[[], None],
        assignments: tuple[Assignment, ...] = (),
        mono_s: Callable[[], float] = time.monotonic,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._beat = beat
        self._board = board
        self._press = press
        self._phase = phase
        self._link = link
        self._gps = gps
        self._power_failing = power_failing
        self._mono_s = mono_s
        self._tellers = {Name.IGNITION: ignition, Name.DOCK: docked}
        self._stop = Event()
        self._duress: Button | None = None
        self._contacts: dict[Name, Contact] = {}
        self._lamps = _Lamps()
        self._alerts: deque[Alert] = deque(maxlen=ALERTS_MAX)
        self._sounding: tuple[Alert, float] | None = None
        self._assignments = assignments
        self._unsaved_s: float | None = None
        self._failing_s: float | None = None
        self._has_failed = False
        self._told: Queue[tuple[Name, bool] | None] = Queue(TOLD_MAX)
        self._sampled_s = mono_s()
        self._lamps_s = self._mend_s = 0.0
        self._pins: dict[str, PinState] = {}
        self._look_at_pins()

    def run(self) -> None:
        """Sample until `stop`; then everything is off and given back."""
        try:
            while not self._stop.wait(TICK_S):
                self._beat()
                self.step(self._mono_s())
        finally:
            self._board.close()

    def tell(self) -> None:
        """Tell what the lines say, until `stop`. On a thread of its own."""
        while (told := self._told.get()) is not None:
            name, is_active = told
            self._tellers[name](is_active)

    def stop(self) -> None:
        """`run` returns."""
        self._stop.set()

    def stop_telling(self) -> None:
        """`tell` returns."""
        self._put(None)

    def alert(self, what: Alert) -> None:
        """Sound `what`, after what sounds now. Any thread; never waits."""
        if what is Alert.UNSAVED:
            now_s = self._mono_s()
            if self._unsaved_s is not None and now_s - self._unsaved_s < UNSAVED_S:
                return
            self._unsaved_s = now_s
        if what not in self._alerts:
            self._alerts.append(what)

    def assigned(self, assignments: tuple[Assignment, ...]) -> None:
        """The unit's assignments as the hub says them now. One thread; never waits."""
        what = alert_between(self._assignments, assignments)
        self._assignments = assignments
        if what is not None:
            self.alert(what)

    def state(self) -> PinsState:
        """For the screen. Any thread."""
        duress, lights = self._duress, self._contacts.get(Name.HEADLIGHTS)
        return pins.whole_state(
            self._board,
            dict(self._pins),
            is_stuck=duress is not None and duress.is_stuck,
            is_watched=self._mono_s() - self._sampled_s < WATCHED_S,
            headlights=None if lights is None else lights.is_closed,
            is_power_failing=self._failing_s is not None,
        )

    def step(self, now_s: float) -> None:
        """One sample of everything, and what follows from it; the duress button first."""
        levels = self._board.read(now_s)
        if Name.DURESS in levels:
            self._finger(levels[Name.DURESS], now_s)
        for name in INPUTS:
            if name in levels and name is not Name.DURESS:
                self._line(name, levels[name], now_s)
        self._power(now_s)
        if now_s - self._lamps_s >= LAMPS_S:
            self._lamps_s = now_s
            self._light(now_s)
            self._look_at_pins()
        self._sound(now_s)
        self._sampled_s = now_s
        if now_s - self._mend_s >= MEND_S:
            self._mend_s = now_s
            if not self._board.is_whole:
                self._board.mend()

    def _finger(self, is_closed: bool, now_s: float) -> None:
        if self._duress is None:
            self._duress = button.button_at_start(is_closed, now_s)
        self._duress, told = button.held(self._duress, is_closed, now_s)
        match told:
            case Told.RAISED:
                self._lamps.pressed(now_s)
                self._light(now_s)  # before anybody is told: the finger wants to know
                self._raise(now_s)
            case Told.STUCK:
                log.warning("duress_stuck", for_s=int(button.STUCK_S))
            case Told.RELEASED:
                log.info("duress_released")

    def _raise(self, now_s: float) -> None:
        log.warning("duress_pressed")
        try:
            self._press(SOURCE, now_s)
        except Exception as wrong:  # whatever it is, the lamp blinks on and the next press is tried again
            log.error("duress_not_told", error=type(wrong).__name__)

    def _line(self, name: Name, is_active: bool, now_s: float) -> None:
        before = self._contacts.get(name)
        if before is None:
            self._contacts[name] = button.contact_at_start(is_active, now_s)
            log.info("line", line=str(name), is_active=is_active, is_start=True)
            return
        contact = button.sampled(before, is_active, now_s, SETTLE_S[name])
        self._contacts[name] = contact
        if contact.is_closed == before.is_closed:
            return
        log.info("line", line=str(name), is_active=contact.is_closed)
        if name in self._tellers:
            self._put((name, contact.is_closed))
        if name is Name.POWER_FAIL:
            # Only a supply that was seen good can fail: a wire that always says so must not end every start.
            self._failing_s = now_s if contact.is_closed else None

    def _power(self, now_s: float) -> None:
        if self._failing_s is None or self._has_failed or now_s - self._failing_s < POWER_DIP_S:
            return
        self._has_failed = True
        self._power_failing()

    def _light(self, now_s: float) -> None:
        lights = {
            Name.LAMP_EMERGENCY: signals.EMERGENCY_LIGHT[self._emergency(now_s)],
            Name.LAMP_LINK: signals.LINK_LIGHT[self._link()],
            Name.LAMP_GPS: signals.GPS_LIGHT.get(self._gps(), Light.FLASHING),
        }
        headlights = self._contacts.get(Name.HEADLIGHTS)
        bright = signals.brightness(None if headlights is None else headlights.is_closed)
        for name, light in lights.items():
            self._board.set(name, bright if self._lamps.is_lit(name, light, now_s) else 0.0)

    def _emergency(self, now_s: float) -> EmergencyLamp:
        before, now = self._lamps.emergency, self._lamps.follow(self._phase(), now_s)
        if now is EmergencyLamp.ACKNOWLEDGED and before in (EmergencyLamp.RAISED, EmergencyLamp.RECEIVED):
            self.alert(Alert.EMERGENCY_ACKNOWLEDGED)
        return now

    def _sound(self, now_s: float) -> None:
        if self._sounding is not None and now_s - self._sounding[1] >= signals.length_s(self._sounding[0]) + BETWEEN_S:
            self._sounding = None
            self._board.set(Name.BUZZER, 0.0)
        if self._sounding is None and self._alerts:
            self._sounding = self._alerts.popleft(), now_s
        if self._sounding is not None:
            alert, since_s = self._sounding
            self._board.set(Name.BUZZER, float(signals.is_sounding(alert, now_s - since_s)))

    def _put(self, told: tuple[Name, bool] | None) -> None:
        try:
            self._told.put_nowait(told)
        except Full:
            log.error("cab_not_told", line=None if told is None else str(told[0]))

    def _look_at_pins(self) -> None:
        fresh = self._board.state()
        for name, pin in fresh.items():
            before = self._pins.get(name)
            if before is not None and before.condition is pin.condition and before.why == pin.why:
                continue
            if pin.condition in (Condition.MISSING, Condition.TAKEN):
                log.warning("pin_not_working", pin=str(name), gpio=pin.gpio, state=str(pin.condition), why=pin.why)
            elif before is not None:
                log.info("pin_works", pin=str(name), gpio=pin.gpio)
        self._pins = fresh


class _Lamps:
    """What each lamp does since when, and the emergency as the cab believes it: a press counts before anybody heard it."""

    def __init__(self) -> None:
        self.emergency = EmergencyLamp.NONE
        self._since: dict[Name, tuple[Light, float]] = {}
        self._pressed_s: float | None = None
        self._is_heard = False

    def pressed(self, now_s: float) -> None:
        """A finger has raised an emergency."""
        self._pressed_s, self._is_heard = now_s, False
        self._since.pop(Name.LAMP_EMERGENCY, None)  # it begins lit

    def follow(self, phase: EmergencyLamp, now_s: float) -> EmergencyLamp:
        """What the lamp says when the rest of the terminal says `phase`."""
        self._is_heard = self._is_heard or phase is not EmergencyLamp.NONE
        if self._pressed_s is not None and self._is_heard and now_s - self._pressed_s >= LATCH_S:
            self._pressed_s = None
        self.emergency = phase if self._pressed_s is None else EmergencyLamp.RAISED
        return self.emergency

    def is_lit(self, name: Name, light: Light, now_s: float) -> bool:
        """Whether the lamp `name`, doing `light`, shines now."""
        before = self._since.get(name)
        if before is None or before[0] is not light:
            self._since[name] = before = light, now_s
        return signals.is_lit(light, now_s - before[1])
