"""`tandem-bridge pins`: whether what is wired is what was meant, one pin after the other, before a crew relies on it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from firmware_bridge import button, mock_pins, pins, signals
from firmware_bridge.misuse import Misuse
from firmware_bridge.mock_pins import Act, NobodyThere
from firmware_bridge.pins import INPUTS, LAMPS, Board, Condition, Name, PinsSettings
from firmware_bridge.signals import Alert, Light
from wire import typed

SETTINGS_FILE = "terminal.toml"
SAMPLE_S = 0.02
LIT_S = 1.5
WAIT_S = 30.0

DO = {
    Name.DURESS: f"Hold the duress button for {button.HOLD_S} seconds, then let go",
    Name.POWER_FAIL: "Take the supply away, and give it back (the supercap carries the board)",
    Name.IGNITION: "Turn the ignition on or off",
    Name.DOCK: "Take the terminal out of its dock, or put it in",
    Name.HEADLIGHTS: "Switch the headlights on or off",
}
REST = (Name.DURESS, Name.POWER_FAIL)  # these say no while nobody does anything


class Verdict(Struct, frozen=True, kw_only=True):
    """What was found of one pin. `is_ok` is None where only a person could see it, and nobody was asked."""

    pin: Name
    gpio: int | None
    is_ok: bool | None
    says: str


class _File(Struct, frozen=True, kw_only=True):
    """The table of `terminal.toml` that is ours; the rest is the terminal's."""

    pins: PinsSettings | None = None


@click.group(name="pins")
def pins_commands() -> None:
    """Try the pins of a terminal, and press simulated ones."""


_settings = click.option(
    "--settings",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=SETTINGS_FILE,
    show_default=True,
    help="The terminal's settings, with a table [pins].",
)
_json = click.option("--json", "is_json", is_flag=True, help="One JSON object a pin.")
_home = click.option(
    "--home", type=click.Path(file_okay=False, path_type=Path), required=True, help="The terminal's folder."
)
_name = click.argument("name", type=click.Choice([str(name) for name in INPUTS]))


@pins_commands.command()
@_settings
@_json
def show(file: Path, is_json: bool) -> None:
    """Say of each pin whether it opens. A terminal that runs has them: then they are taken, and it says the rest."""
    state = pins.look_at(load(file), file.parent)
    for name, pin in state.pins.items():
        if is_json:
            click.echo(msgspec.json.encode({"pin": name, "is_simulated": state.is_simulated, "state": pin}))
        elif pin.condition is not Condition.OFF:
            click.echo(f"{name:<15} GPIO {pin.gpio:<3} {pin.condition:<8} {pin.why}".rstrip())
    if state.is_simulated and not is_json:
        click.echo("All of them are simulated: no wire is behind any.")
    if state.duress is pins.Duress.BROKEN:
        sys.exit(1)


@pins_commands.command()
@_settings
@_json
@click.option(
    "--wait", "wait_s", type=click.FloatRange(min=0.1), default=WAIT_S, show_default=True, help="Seconds a pin."
)
def test(file: Path, is_json: bool, wait_s: float) -> None:
    """Light each lamp, sound the buzzer, wait for each input, and say what is wrong. Stop the terminal first."""
    settings = load(file)
    with _opened(settings, file.parent) as board:
        if board.is_simulated:
            click.echo("These pins are simulated: what is found says nothing about a wire.", err=True)
        is_asking = sys.stdin.isatty() and not is_json
        is_wrong = False
        for verdict in _verdicts(board, settings, wait_s, is_asking):
            is_wrong = is_wrong or verdict.is_ok is False
            click.echo(msgspec.json.encode(verdict) if is_json else _line(verdict))
    if is_wrong:
        sys.exit(1)


@pins_commands.command()
@_name
@_home
@click.option("--for", "for_s", type=click.FloatRange(0.02, mock_pins.SECONDS_MAX), default=2.0, show_default=True)
def press(name: str, home: Path, for_s: float) -> None:
    """Make the simulated input NAME say yes for some seconds."""
    _send(home, Act(name=name, is_active=True, for_s=for_s))
    click.echo(f"{name} is pressed for {for_s} s (simulated).")


@pins_commands.command(name="set")
@_name
@click.argument("word", type=click.Choice(["on", "off"]))
@_home
def set_command(name: str, word: str, home: Path) -> None:
    """Make the simulated input NAME say yes or no, until told otherwise."""
    _send(home, Act(name=name, is_active=word == "on"))
    click.echo(f"{name} is {word} (simulated).")


def _send(home: Path, act: Act) -> None:
    try:
        mock_pins.send(home, act)
    except NobodyThere:
        raise Misuse(
            f'No program simulates pins in {home}. Only a terminal that runs with factory = "mock" in [pins] does.'
        ) from None


def load(file: Path) -> PinsSettings:
    """The pins that the terminal's settings `file` names; Misuse when it names none or cannot be read."""
    try:
        found = typed.toml(file.read_bytes(), _File).pins
    except OSError as wrong:
        raise Misuse(f"{file} cannot be read ({wrong.strerror}): name the settings with --settings.") from None
    except (msgspec.DecodeError, ValueError) as wrong:
        raise Misuse(f"{file} is wrong: {wrong}.") from None
    if found is None:
        raise Misuse(f"{file} names no pins: give it a table [pins].")
    return found


@contextmanager
def _opened(settings: PinsSettings, home: Path) -> Iterator[Board]:
    board = pins.open_board(settings, home)
    try:
        yield board
    finally:
        board.close()


def _verdicts(board: Board, settings: PinsSettings, wait_s: float, is_asking: bool) -> Iterator[Verdict]:
    state = board.state()
    for name in (*LAMPS, Name.BUZZER, *INPUTS):
        pin = state[name]
        if pin.condition is Condition.OFF:
            continue
        if pin.condition is not Condition.OK:
            yield Verdict(pin=name, gpio=pin.gpio, is_ok=False, says=f"{pin.condition}: {pin.why}")
        elif name in INPUTS:
            has_changed, says = _tried(board, name, wait_s)
            yield Verdict(pin=name, gpio=pin.gpio, is_ok=has_changed, says=says)
        else:
            does = _blink if name in LAMPS else _buzz
            is_ok, says = _seen(does, board, name, is_asking)
            yield Verdict(pin=name, gpio=pin.gpio, is_ok=is_ok, says=says)


def _seen(does: Callable[[Board, Name], None], board: Board, name: Name, is_asking: bool) -> tuple[bool | None, str]:
    click.echo(f"{name}: {'watch' if name in LAMPS else 'listen'} …", err=True)
    does(board, name)
    if not is_asking:
        return None, "was driven; nobody was asked whether it did anything"
    if click.confirm(f"{name}: was it {'lit, and dark again' if name in LAMPS else 'heard'}?", err=True):
        return True, "works"
    return False, 'did nothing: look at the wire and its ground, then at `active` ("high" or "low")'


def _blink(board: Board, name: Name) -> None:
    began_s = time.monotonic()
    while (since_s := time.monotonic() - began_s) < LIT_S:
        board.set(name, float(signals.is_lit(Light.BLINKING, since_s)))
        time.sleep(SAMPLE_S)
    board.set(name, 0.0)


def _buzz(board: Board, name: Name) -> None:
    for alert in Alert:
        click.echo(f"  {alert.replace('_', ' ')}", err=True)
        began_s = time.monotonic()
        while (since_s := time.monotonic() - began_s) < signals.length_s(alert) + 0.5:
            board.set(name, float(signals.is_sounding(alert, since_s)))
            time.sleep(SAMPLE_S)


def _tried(board: Board, name: Name, wait_s: float) -> tuple[bool, str]:
    """Whether the input did what a person was asked to do with it, and what to say."""
    first = _sample(board, name)
    if first is None:
        return False, "it does not answer"
    if first and name in REST:
        return False, (
            "says yes although nobody does anything: a wire that is off, a contact that stays closed, or the wrong `active`"
        )
    click.echo(f"{name}: {DO[name]}. (now: {'yes' if first else 'no'}, {wait_s:g} s)", err=True)
    if name is Name.DURESS:
        return _held(board, wait_s)
    contact = button.contact_at_start(first, time.monotonic())
    end_s = time.monotonic() + wait_s
    while time.monotonic() < end_s:
        level = _sample(board, name)
        if level is None:
            return False, "it does not answer any more"
        contact = button.sampled(contact, level, time.monotonic())
        if contact.is_closed != first:
            return True, f"changed to {'yes' if contact.is_closed else 'no'}"
    return (
        False,
        f"stayed {'yes' if first else 'no'} for {wait_s:g} s: look at the wire, the level shifter, the GPIO number",
    )


def _held(board: Board, wait_s: float) -> tuple[bool, str]:
    state = button.button_at_start(False, time.monotonic())
    longest_s = 0.0
    has_raised = False
    end_s = time.monotonic() + wait_s
    while time.monotonic() < end_s:
        level = _sample(board, Name.DURESS)
        if level is None:
            return False, "it does not answer any more"
        state, told = button.held(state, level, time.monotonic())
        if state.contact.is_closed:
            longest_s = max(longest_s, state.contact.sampled_s - state.contact.since_s)
        has_raised = has_raised or told is button.Told.RAISED
        if told is button.Told.RAISED:
            click.echo("duress: held long enough. Let go.", err=True)
        if has_raised and not state.contact.is_closed:
            return True, "raises when it is held, and lets go"
    if has_raised:
        return False, "stays closed after it was let go: it would raise one emergency and no second one"
    if longest_s > 0:
        return False, f"was closed for {longest_s:.1f} s at most: hold it longer, or its contact is worn"
    return False, f"was never closed in {wait_s:g} s: look at the wire and the GPIO number"


def _sample(board: Board, name: Name) -> bool | None:
    time.sleep(SAMPLE_S)
    return board.read(time.monotonic()).get(name)


def _line(verdict: Verdict) -> str:
    word = {True: "ok", False: "WRONG", None: "–"}[verdict.is_ok]
    return f"{verdict.pin:<15} GPIO {verdict.gpio:<3} {word:<6} {verdict.says}"
