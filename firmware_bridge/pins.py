"""The pins of one cab, by name, with their polarity: what is wired, what of it works, and why the rest does not.

Whatever is wrong with a pin is its state and never an exception: a terminal starts without a board, on a board whose
pins another program holds, and with a number that does not exist. What cannot be read is never said to work.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import chdir, suppress
from enum import StrEnum
from pathlib import Path
from typing import Literal

from msgspec import Struct

from firmware_bridge.mock_pins import Busy, Outside

LAMP_HZ = 200  # above what an eye sees move, low enough for PWM that software makes
STATES_MAX = 256  # a mock pin remembers every change, for ever


class Name(StrEnum):
    """What can be wired. The order is the order in which they are opened: of two that share a number the first has it."""

    DURESS = "duress"
    POWER_FAIL = "power_fail"
    IGNITION = "ignition"
    DOCK = "dock"
    HEADLIGHTS = "headlights"
    LAMP_EMERGENCY = "lamp_emergency"
    LAMP_LINK = "lamp_link"
    LAMP_GPS = "lamp_gps"
    BUZZER = "buzzer"


INPUTS = (Name.DURESS, Name.POWER_FAIL, Name.IGNITION, Name.DOCK, Name.HEADLIGHTS)
LAMPS = (Name.LAMP_EMERGENCY, Name.LAMP_LINK, Name.LAMP_GPS)
OUTPUTS = (*LAMPS, Name.BUZZER)


class InputPin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line that is read. `active`: its level when it says yes; `pull`: by default to the other level, so that a wire
    that is not there says no."""

    gpio: int
    active: Literal["low", "high"]
    pull: Literal["up", "down", "none"] | None = None

    @property
    def pulled(self) -> str:
        """The pull that is used."""
        return self.pull or ("up" if self.active == "low" else "down")


class OutputPin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line that is driven. `active`: its level when the lamp shines or the buzzer sounds."""

    gpio: int
    active: Literal["low", "high"] = "high"


class PinsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[pins]`: what is wired where. `factory`: "mock" for a machine without pins."""

    factory: Literal["lgpio", "mock"] = "lgpio"
    duress: InputPin | None = None
    power_fail: InputPin | None = None
    ignition: InputPin | None = None
    dock: InputPin | None = None
    headlights: InputPin | None = None
    lamp_emergency: OutputPin | None = None
    lamp_link: OutputPin | None = None
    lamp_gps: OutputPin | None = None
    buzzer: OutputPin | None = None

    def inputs(self) -> dict[Name, InputPin]:
        """The inputs that are wired."""
        wired = {
            Name.DURESS: self.duress,
            Name.POWER_FAIL: self.power_fail,
            Name.IGNITION: self.ignition,
            Name.DOCK: self.dock,
            Name.HEADLIGHTS: self.headlights,
        }
        return {name: pin for name, pin in wired.items() if pin is not None}

    def outputs(self) -> dict[Name, OutputPin]:
        """The outputs that are wired."""
        wired = {
            Name.LAMP_EMERGENCY: self.lamp_emergency,
            Name.LAMP_LINK: self.lamp_link,
            Name.LAMP_GPS: self.lamp_gps,
            Name.BUZZER: self.buzzer,
        }
        return {name: pin for name, pin in wired.items() if pin is not None}


class Condition(StrEnum):
    """How one pin is."""

    OK = "ok"
    MISSING = "missing"  # no such board, no such pin, or it does not answer
    TAKEN = "taken"  # by another program, or by another name of ours
    OFF = "off"  # not wired


class Duress(StrEnum):
    """Whether the duress button may be relied on. Only WORKS is a promise."""

    NONE = "none"  # none is wired
    WORKS = "works"
    SIMULATED = "simulated"
    BROKEN = "broken"
    STUCK = "stuck"


class PinState(Struct, frozen=True, kw_only=True):
    """One pin. `level`: what an input says or an output does, from 0 to 1; None when nobody knows."""

    condition: Condition
    gpio: int | None = None
    why: str = ""
    level: float | None = None


class PinsState(Struct, frozen=True, kw_only=True):
    """All of them. `headlights` is None where no line says."""

    is_wired: bool
    is_simulated: bool
    duress: Duress
    pins: dict[str, PinState]
    headlights: bool | None = None
    is_power_failing: bool = False

    @property
    def has_working_duress(self) -> bool:
        """Whether a person may be told that there is a button that calls for help."""
        return self.duress is Duress.WORKS


NO_PINS = PinsState(
    is_wired=False,
    is_simulated=False,
    duress=Duress.NONE,
    pins={name: PinState(condition=Condition.OFF) for name in Name},
)


def no_pins() -> PinsState:
    """A terminal on which nothing is wired."""
    return NO_PINS


class Factory(Struct, frozen=True, kw_only=True):
    """Where pins come from. `make`: gpiozero's factory, made when it is needed; its errors are `errors`."""

    make: Callable[[], object]
    errors: tuple[type[Exception], ...]
    is_simulated: bool = False


class _Device(Struct, frozen=True):
    """An open pin: exactly one of `read` and `write`."""

    close: Callable[[], None]
    read: Callable[[], bool] | None = None
    write: Callable[[float], None] | None = None
    drive: Callable[[bool], None] | None = None  # a simulated input


class Board:
    """Opens what `settings` names and reads and drives it, on one thread. `outside`: who may press simulated pins."""

    def __init__(self, settings: PinsSettings, factory: Factory, outside: Callable[[], Outside | None]) -> None:
        self._settings = settings
        self._factory = factory
        self._wrong: tuple[type[Exception], ...] = (*factory.errors, OSError, ImportError)
        self._open_outside = outside
        self._outside: Outside | None = None
        self._made: object | None = None
        self._devices: dict[Name, _Device] = {}
        self._levels: dict[Name, float] = {}
        self._why: dict[Name, tuple[Condition, str]] = {}
        self._until_s: dict[Name, float] = {}
        self._wired: dict[Name, InputPin | OutputPin] = {**settings.inputs(), **settings.outputs()}
        self.mend()

    @property
    def is_whole(self) -> bool:
        """Whether every pin that is wired works."""
        return not self._why and len(self._devices) == len(self._wired)

    @property
    def is_simulated(self) -> bool:
        """Whether no real wire is behind any of it."""
        return self._factory.is_simulated

    def mend(self) -> None:
        """Open whatever is not open: a program that held it may be gone."""
        try:
            if self._made is None:
                self._made = self._factory.make()
            if self._outside is None:
                self._outside = self._open_outside()
        except Busy as wrong:
            self._all(Condition.TAKEN, str(wrong.strerror))
            return
        except self._wrong as wrong:
            self._all(Condition.MISSING, _why_no_board(wrong))
            return
        for name in Name:
            if name in self._wired and name not in self._devices:
                self._open(name)

    def read(self, now_s: float) -> dict[Name, bool]:
        """Which inputs say yes; one that cannot be read is not in it."""
        self._simulate(now_s)
        active: dict[Name, bool] = {}
        for name, device in list(self._devices.items()):
            if device.read is None:
                continue
            try:
                active[name] = device.read()
            except self._wrong as wrong:
                self._lose(name, wrong)
                continue
            self._levels[name] = float(active[name])
        return active

    def set(self, name: Name, level: float) -> None:
        """Drive the output `name` from 0 (off) to 1, if it is there and does not do so already."""
        device = self._devices.get(name)
        if device is None or device.write is None or self._levels.get(name) == level:
            return
        try:
            device.write(level)
        except self._wrong as wrong:
            self._lose(name, wrong)
            return
        self._levels[name] = level

    def state(self) -> dict[str, PinState]:
        """How each pin is."""
        return {name: self._state(name) for name in Name}

    def close(self) -> None:
        """Everything off, everything given back."""
        for name in list(self._devices):
            self.set(name, 0.0)
        for device in self._devices.values():
            with suppress(*self._wrong):
                device.close()
        self._devices.clear()
        if self._outside is not None:
            self._outside.close()
            self._outside = None
        if self._made is not None:
            with suppress(*self._wrong):
                _close(self._made)
            self._made = None

    def _open(self, name: Name) -> None:
        pin = self._wired[name]
        has_dimmer = name in LAMPS and self._settings.headlights is not None  # PWM costs, and would never be used
        try:
            device = (
                _input(self._made, pin, self.is_simulated)
                if isinstance(pin, InputPin)
                else _output(self._made, pin, has_dimmer, self.is_simulated)
            )
        except self._wrong as wrong:
            self._say(name, *_why_no_pin(pin.gpio, wrong))
            return
        self._devices[name] = device
        self._levels.pop(name, None)
        self._why.pop(name, None)

    def _lose(self, name: Name, wrong: Exception) -> None:
        with suppress(*self._wrong):
            self._devices.pop(name).close()
        self._say(name, Condition.MISSING, f"it does not answer any more ({wrong})")

    def _all(self, condition: Condition, why: str) -> None:
        for name in self._wired:
            self._say(name, condition, why)

    def _say(self, name: Name, condition: Condition, why: str) -> None:
        self._levels.pop(name, None)
        self._why[name] = condition, why

    def _state(self, name: Name) -> PinState:
        pin = self._wired.get(name)
        if pin is None:
            return PinState(condition=Condition.OFF)
        condition, why = self._why.get(name, (Condition.OK, ""))
        return PinState(condition=condition, gpio=pin.gpio, why=why, level=self._levels.get(name))

    def _simulate(self, now_s: float) -> None:
        if self._outside is None:
            return
        for name in [name for name, until_s in self._until_s.items() if now_s >= until_s]:
            del self._until_s[name]
            self._drive(name, False)
        for act in self._outside.acts():
            if act.name not in INPUTS:
                continue
            name = Name(act.name)
            self._until_s.pop(name, None)
            if act.for_s is not None:
                self._until_s[name] = now_s + act.for_s
            self._drive(name, act.is_active)

    def _drive(self, name: Name, is_active: bool) -> None:
        device = self._devices.get(name)
        if device is not None and device.drive is not None:
            device.drive(is_active)


def open_board(settings: PinsSettings, home: Path | None) -> Board:
    """The board that `settings` names. `home`: where simulated pins can be pressed, if they are simulated.

    To be called before the process has threads: importing lgpio needs another working directory for a moment.
    """
    if settings.factory == "mock":
        return Board(settings, simulated_factory(), lambda: None if home is None else Outside(home))
    return Board(settings, real_factory(), lambda: None)


def look_at(settings: PinsSettings, home: Path | None) -> PinsState:
    """How the pins are for a program that only looks: opened, read, and given back."""
    board = open_board(settings, home)
    try:
        board.read(0.0)
        return whole_state(board, board.state(), is_stuck=False, is_watched=True)
    finally:
        board.close()


def whole_state(
    board: Board,
    pins: dict[str, PinState],
    *,
    is_stuck: bool,
    is_watched: bool,
    headlights: bool | None = None,
    is_power_failing: bool = False,
) -> PinsState:
    """The state of all pins, with what may be said of the duress button. `is_watched`: somebody reads it right now."""
    return PinsState(
        is_wired=any(pin.condition is not Condition.OFF for pin in pins.values()),
        is_simulated=board.is_simulated,
        duress=duress(pins[Name.DURESS].condition, board.is_simulated, is_stuck, is_watched),
        pins=pins,
        headlights=headlights,
        is_power_failing=is_power_failing,
    )


def duress(condition: Condition, is_simulated: bool, is_stuck: bool, is_watched: bool) -> Duress:
    """What may be said of the duress button: the worst that is true."""
    if condition is Condition.OFF:
        return Duress.NONE
    if condition is not Condition.OK or not is_watched:
        return Duress.BROKEN
    if is_stuck:
        return Duress.STUCK
    return Duress.SIMULATED if is_simulated else Duress.WORKS


def simulated_factory() -> Factory:
    """Pins that are not there, for a machine without any."""
    from gpiozero import GPIOZeroError  # a fifth of a second, which a terminal without pins does not spend
    from gpiozero.pins.mock import MockFactory, MockPWMPin

    return Factory(make=lambda: MockFactory(pin_class=MockPWMPin), errors=(GPIOZeroError,), is_simulated=True)


def real_factory() -> Factory:
    """The pins of this board, through lgpio. A machine without lgpio or without pins finds out when it opens them."""
    from gpiozero import GPIOZeroError

    try:
        # lgpio makes a FIFO in the working directory when it is imported, fails where that cannot be written, and
        # changes the directory by itself where LG_WD is set. We poll and never read that FIFO: it may go at once.
        with tempfile.TemporaryDirectory(prefix="tandem-lgpio-") as scratch, chdir(scratch):
            import lgpio
            from gpiozero.pins.lgpio import LGPIOFactory
    except (ImportError, OSError) as wrong:
        return Factory(make=_raising(wrong), errors=(GPIOZeroError,))
    return Factory(make=LGPIOFactory, errors=(GPIOZeroError, lgpio.error))


def _raising(wrong: ImportError | OSError) -> Callable[[], object]:
    def make() -> object:
        raise wrong

    return make


def _input(factory: object, pin: InputPin, is_simulated: bool) -> _Device:
    from gpiozero import InputDevice

    pull_up = {"up": True, "down": False, "none": None}[pin.pulled]
    # Its own idea of "active" is bound to the pull; ours is not (a contact that opens when pressed), so the level counts.
    device = InputDevice(pin.gpio, pull_up=pull_up, active_state=True if pull_up is None else None, pin_factory=factory)
    is_high = pin.active == "high"

    def read() -> bool:
        return bool(device.pin.state) == is_high

    def drive(is_active: bool) -> None:
        if is_active == is_high:
            device.pin.drive_high()
        else:
            device.pin.drive_low()
        if len(device.pin.states) > STATES_MAX:
            device.pin.clear_states()

    if not is_simulated:
        return _Device(device.close, read=read)
    drive(False)  # at rest, however it is wired: nothing pulls at a simulated contact
    return _Device(device.close, read=read, drive=drive)


def _output(factory: object, pin: OutputPin, has_dimmer: bool, is_simulated: bool) -> _Device:
    from gpiozero import DigitalOutputDevice, PinPWMError, PWMOutputDevice

    is_high = pin.active == "high"
    device = None
    if has_dimmer:
        with suppress(PinPWMError):
            device = PWMOutputDevice(pin.gpio, active_high=is_high, frequency=LAMP_HZ, pin_factory=factory)
    has_pwm = device is not None
    if device is None:
        device = DigitalOutputDevice(pin.gpio, active_high=is_high, pin_factory=factory)

    def write(level: float) -> None:
        device.value = level if has_pwm else level > 0
        if is_simulated and len(device.pin.states) > STATES_MAX:
            device.pin.clear_states()

    return _Device(device.close, write=write)


def _close(factory: object) -> None:
    factory.close()  # type: ignore[attr-defined]  # gpiozero has no types


def _why_no_board(wrong: Exception) -> str:
    match type(wrong).__name__:
        case "ModuleNotFoundError":
            return "the package lgpio is not installed"
        case "PinUnknownPi":
            return "this machine is no Raspberry Pi, or hides its device tree"
        case "error":
            return f"the board's pins do not open ({str(wrong).strip(chr(39))}): is this user in the group gpio?"
        case _:
            return f"the board's pins do not open ({wrong})"


def _why_no_pin(gpio: int, wrong: Exception) -> tuple[Condition, str]:
    if "busy" in str(wrong).lower():  # the kernel's word
        return Condition.TAKEN, f"another program uses GPIO {gpio}"
    match type(wrong).__name__:
        case "GPIOPinInUse":
            return Condition.TAKEN, f"GPIO {gpio} is wired to two names"
        case "PinInvalidPin":
            return Condition.MISSING, f"the board has no GPIO {gpio}"
        case "PinFixedPull":
            return (
                Condition.MISSING,
                f"GPIO {gpio} has a pull of its own on the board: choose another pin, or another pull",
            )
        case _:
            return Condition.MISSING, f"GPIO {gpio} does not open ({wrong})"
