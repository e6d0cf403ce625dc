"""Pins that are there, that are not, that somebody else has, and that say yes when they mean no."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
from gpiozero import GPIOZeroError
from gpiozero.pins.mock import MockFactory, MockPin, MockPWMPin

from firmware_bridge import mock_pins, pins
from firmware_bridge.mock_pins import Act, Busy, NobodyThere, Outside, act_from
from firmware_bridge.pins import INPUTS, OUTPUTS, Board, Condition, Duress, Factory, Name, PinsSettings
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
WIRED = b"""
factory = "mock"
duress = { gpio = 17, active = "low" }
power_fail = { gpio = 4, active = "high" }
ignition = { gpio = 27, active = "high", pull = "none" }
dock = { gpio = 24, active = "low" }
headlights = { gpio = 22, active = "high" }
lamp_emergency = { gpio = 5 }
lamp_link = { gpio = 6, active = "low" }
lamp_gps = { gpio = 13 }
buzzer = { gpio = 18 }
"""


class Wires:
    """A board on mock pins of which a test holds the other end. `held`: numbers another program has."""

    def __init__(self, toml: bytes = WIRED, pin_class: type[MockPin] = MockPWMPin) -> None:
        self.settings = msgspec.toml.decode(toml, type=PinsSettings)
        self.mock = MockFactory(pin_class=pin_class)
        self.is_there = True
        factory = Factory(make=self.make, errors=(GPIOZeroError,))
        self.board = Board(self.settings, factory, lambda: None)

    def make(self) -> object:
        if not self.is_there:
            raise FileNotFoundError(2, "No such file or directory")
        return self.mock

    def drive(self, gpio: int, is_high: bool) -> None:
        pin = self.mock.pin(gpio)
        (pin.drive_high if is_high else pin.drive_low)()

    def conditions(self) -> dict[str, str]:
        return {name: str(pin.condition) for name, pin in self.board.state().items()}


@pytest.fixture
def wires() -> Iterator[Wires]:
    made = Wires()
    yield made
    made.board.close()


def test_each_input_says_yes_at_the_level_that_the_settings_name(wires: Wires) -> None:
    gpios = {name: pin.gpio for name, pin in wires.settings.inputs().items()}
    for name, pin in wires.settings.inputs().items():
        for other in gpios.values():
            wires.drive(other, wires.settings.inputs()[_named(gpios, other)].active == "low")
        wires.drive(pin.gpio, pin.active == "high")
        assert wires.board.read(0.0) == {each: each is name for each in INPUTS}


def test_a_wire_that_is_not_there_says_no() -> None:
    toml = b'duress = { gpio = 17, active = "low" }\nignition = { gpio = 27, active = "high" }'
    wires = Wires(toml)
    assert wires.board.read(0.0) == {Name.DURESS: False, Name.IGNITION: False}


def test_a_contact_that_opens_when_pressed_is_pulled_as_the_settings_say() -> None:
    wires = Wires(b'duress = { gpio = 17, active = "high", pull = "up" }')
    assert wires.mock.pin(17).pull == "up"
    wires.drive(17, False)
    assert wires.board.read(0.0) == {Name.DURESS: False}
    wires.drive(17, True)
    assert wires.board.read(0.0) == {Name.DURESS: True}


def test_an_output_is_driven_to_its_own_polarity_and_dimmed_where_it_can_be(wires: Wires) -> None:
    assert (wires.mock.pin(5).state, wires.mock.pin(6).state) == (0.0, 1.0), "dark at the start"
    wires.board.set(Name.LAMP_EMERGENCY, 0.25)
    wires.board.set(Name.LAMP_LINK, 0.25)
    wires.board.set(Name.BUZZER, 1.0)
    assert (wires.mock.pin(5).state, wires.mock.pin(6).state) == (0.25, 0.75)
    assert wires.mock.pin(18).state == 1
    assert wires.board.state()["lamp_link"].level == 0.25


def test_a_lamp_that_cannot_be_dimmed_is_on_or_off() -> None:
    wires = Wires(pin_class=MockPin)
    wires.board.set(Name.LAMP_EMERGENCY, 0.15)
    wires.board.set(Name.LAMP_LINK, 0.15)
    assert (wires.mock.pin(5).state, wires.mock.pin(6).state) == (True, False)
    wires.board.set(Name.LAMP_EMERGENCY, 0.0)
    assert wires.mock.pin(5).state is False


def test_lamps_need_no_modulation_where_no_headlight_line_could_dim_them() -> None:
    wires = Wires(b"lamp_gps = { gpio = 13 }")
    assert wires.mock.pin(13).frequency is None
    assert Wires().mock.pin(13).frequency == pins.LAMP_HZ


def test_closing_turns_everything_off_and_gives_every_pin_back(wires: Wires) -> None:
    for name in OUTPUTS:
        wires.board.set(name, 1.0)
    held = [wires.mock.pin(pin.gpio) for pin in wires.settings.outputs().values()]
    wires.board.close()
    assert all(pin.function == "input" for pin in held)
    assert wires.mock.pins == {}
    again = Board(wires.settings, Factory(make=wires.make, errors=(GPIOZeroError,)), lambda: None)
    assert again.is_whole
    again.close()
    again.close()


def test_a_machine_without_pins_says_so_of_each_and_finds_them_later() -> None:
    settings = msgspec.toml.decode(WIRED, type=PinsSettings)
    wires = Wires()
    wires.is_there = False
    board = Board(settings, Factory(make=wires.make, errors=(GPIOZeroError,)), lambda: None)
    assert {str(pin.condition) for pin in board.state().values()} == {"missing"}
    assert board.read(0.0) == {}
    board.set(Name.LAMP_LINK, 1.0)
    wires.board.close()
    wires.is_there = True
    board.mend()
    assert board.is_whole
    assert {str(pin.condition) for pin in board.state().values()} == {"ok"}
    board.close()


def test_the_real_factory_on_a_machine_that_is_no_board_is_a_state_and_no_crash() -> None:
    settings = msgspec.structs.replace(msgspec.toml.decode(WIRED, type=PinsSettings), factory="lgpio")
    if Path("/dev/gpiochip0").exists():
        pytest.skip("this machine has pins")
    state = pins.look_at(settings, None)
    assert state.duress is Duress.BROKEN
    assert not state.has_working_duress
    assert {pin.condition for pin in state.pins.values()} == {Condition.MISSING}
    assert all(pin.why for pin in state.pins.values())


@pytest.mark.skipif(find_spec("lgpio") is None, reason="lgpio is not installed on this machine")
def test_lgpio_leaves_nothing_behind_and_does_not_move_the_process(tmp_path: Path) -> None:
    """Where its FIFO cannot be written, and where LG_WD would change the working directory."""
    ask = "import os; from firmware_bridge import pins; pins.real_factory(); print(os.getcwd())"
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    for folder, env in (("/proc", {}), (str(here), {}), (str(here), {"LG_WD": str(there)})):
        ran = subprocess.run(
            [sys.executable, "-c", ask],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert (ran.stdout.strip(), ran.stderr) == (folder, "")
    assert list(here.iterdir()) == []


def test_a_number_the_board_does_not_have_is_missing_and_the_others_work() -> None:
    wires = Wires(b'duress = { gpio = 99, active = "low" }\nlamp_gps = { gpio = 13 }')
    state = wires.board.state()
    assert (state["duress"].condition, state["duress"].why) == (Condition.MISSING, "the board has no GPIO 99")
    assert state["lamp_gps"].condition is Condition.OK
    assert state["buzzer"].condition is Condition.OFF


def test_of_two_names_on_one_pin_the_button_has_it() -> None:
    wires = Wires(b'lamp_gps = { gpio = 17 }\nduress = { gpio = 17, active = "low" }')
    assert (wires.conditions()["duress"], wires.conditions()["lamp_gps"]) == ("ok", "taken")


def test_a_pull_that_the_board_does_not_allow_is_said() -> None:
    wires = Wires(b'dock = { gpio = 2, active = "high" }')  # the board pulls GPIO 2 up
    assert wires.board.state()["dock"].why.startswith("GPIO 2 has a pull of its own")


def test_a_pin_that_another_program_has_is_taken_and_works_when_it_is_given_back() -> None:
    class HeldPin(MockPWMPin):  # type: ignore[misc]  # gpiozero has no types
        held = True

        def __init__(self, factory: object, info: object) -> None:
            if HeldPin.held:
                raise OSError("'GPIO busy'")  # the words of lgpio
            super().__init__(factory, info)

    wires = Wires(b'duress = { gpio = 17, active = "low" }', pin_class=HeldPin)
    assert wires.board.state()["duress"].condition is Condition.TAKEN
    assert wires.board.state()["duress"].why == "another program uses GPIO 17"
    HeldPin.held = False
    wires.board.mend()
    assert wires.board.state()["duress"].condition is Condition.OK
    assert wires.board.read(0.0) == {Name.DURESS: False}


def test_a_pin_that_stops_answering_is_missing_and_does_not_stop_the_others() -> None:
    class DyingPin(MockPWMPin):  # type: ignore[misc]
        dead: set[int] = set()  # noqa: RUF012

        def _get_state(self) -> object:
            if self.info.name in {f"GPIO{number}" for number in DyingPin.dead}:
                raise OSError(5, "Input/output error")
            return super()._get_state()

    wires = Wires(pin_class=DyingPin)
    DyingPin.dead = {17}
    assert set(wires.board.read(0.0)) == set(INPUTS) - {Name.DURESS}
    assert wires.board.state()["duress"].condition is Condition.MISSING
    DyingPin.dead = set()
    wires.board.mend()
    assert Name.DURESS in wires.board.read(0.0)


def test_a_mock_pin_does_not_remember_for_ever(tmp_path: Path) -> None:
    board = Board(msgspec.toml.decode(WIRED, type=PinsSettings), pins.simulated_factory(), lambda: Outside(tmp_path))
    for turn in range(3 * pins.STATES_MAX):
        board.set(Name.BUZZER, float(turn % 2))
    made = board._made
    assert isinstance(made, MockFactory)
    assert len(made.pin(18).states) <= pins.STATES_MAX + 1
    board.close()


@pytest.mark.parametrize(
    "toml",
    [
        b"lamp_gps = 13",
        b'lamp_gps = { gpio = 13, pull = "up" }',
        b'duress = { gpio = 17, active = "pressed" }',
        b'duress = { active = "low" }',
        b'panic = { gpio = 17, active = "low" }',
        b'factory = "pigpio"',
        b"duress = { gpio = 17 }",
    ],
)
def test_settings_that_would_silently_do_nothing_are_refused(toml: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.toml.decode(toml, type=PinsSettings)


@pytest.mark.parametrize("condition", [Condition.MISSING, Condition.TAKEN, Condition.OFF])
@pytest.mark.parametrize("is_stuck", [True, False])
def test_only_a_real_watched_open_button_is_said_to_work(condition: Condition, is_stuck: bool) -> None:
    assert pins.duress(condition, False, is_stuck, True) is not Duress.WORKS
    assert pins.duress(Condition.OK, False, True, True) is Duress.STUCK
    assert pins.duress(Condition.OK, True, False, True) is Duress.SIMULATED
    assert pins.duress(Condition.OK, False, False, False) is Duress.BROKEN
    assert pins.duress(Condition.OK, False, False, True) is Duress.WORKS


def test_a_simulated_button_is_pressed_from_outside_for_as_long_as_was_said(tmp_path: Path) -> None:
    board = Board(msgspec.toml.decode(WIRED, type=PinsSettings), pins.simulated_factory(), lambda: Outside(tmp_path))
    assert board.read(0.0) == dict.fromkeys(INPUTS, False)
    mock_pins.send(tmp_path, Act(name="duress", is_active=True, for_s=2.0))
    mock_pins.send(tmp_path, Act(name="ignition", is_active=True))
    mock_pins.send(tmp_path, Act(name="lamp_gps", is_active=True))
    assert [name for name, yes in board.read(10.0).items() if yes] == [Name.DURESS, Name.IGNITION]
    assert board.read(11.9)[Name.DURESS]
    assert [name for name, yes in board.read(12.1).items() if yes] == [Name.IGNITION]
    mock_pins.send(tmp_path, Act(name="ignition", is_active=False))
    assert not any(board.read(13.0).values())
    board.close()
    with pytest.raises(NobodyThere):
        mock_pins.send(tmp_path, Act(name="duress", is_active=True))
    assert list(tmp_path.iterdir()) == []


def test_a_simulated_button_is_at_rest_however_it_is_wired(tmp_path: Path) -> None:
    toml = b'factory = "mock"\nduress = { gpio = 17, active = "high", pull = "up" }'
    board = pins.open_board(msgspec.toml.decode(toml, type=PinsSettings), tmp_path)
    assert board.read(0.0) == {Name.DURESS: False}
    board.close()


def test_only_one_program_simulates_the_pins_of_a_home(tmp_path: Path) -> None:
    first = Outside(tmp_path)
    with pytest.raises(Busy):
        Outside(tmp_path)
    first.close()
    os.mkfifo(tmp_path / mock_pins.FIFO)  # of a program that was killed
    Outside(tmp_path).close()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"duress",
        b"duress maybe",
        b"duress on x",
        b"duress on -1",
        b"duress on nan",
        b"duress on 1 2",
        b"\xff" * 99,
    ],
)
def test_what_is_no_act_is_ignored(line: bytes) -> None:
    assert act_from(line) is None


def _named(gpios: dict[Name, int], gpio: int) -> Name:
    return next(name for name, number in gpios.items() if number == gpio)
