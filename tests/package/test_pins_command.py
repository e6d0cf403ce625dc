"""`tandem-bridge pins` as a fleet tech meets it, on simulated pins."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_bridge import mock_pins
from firmware_bridge.mock_pins import Act, NobodyThere
from tests.patience import PATIENCE_S

PROGRAM = [sys.executable, "-c", "from firmware_bridge.main import cli; cli(prog_name='tandem-bridge')", "pins"]
WIRED = """
[screen]
port = 8101
[pins]
factory = "mock"
duress = { gpio = 17, active = "low" }
ignition = { gpio = 27, active = "high" }
lamp_gps = { gpio = 13 }
lamp_link = { gpio = 17 }
"""


def pins(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL
    )


def settings(home: Path, text: str = WIRED) -> str:
    (home / "terminal.toml").write_text(text)
    return str(home / "terminal.toml")


def tried(home: Path, wait_s: float, *acts: tuple[str, Act]) -> tuple[int, dict[str, tuple[bool | None, str]]]:
    """`pins test` on `home`, with hands that do each act when the prompt names its pin: exit code, verdicts."""
    program = subprocess.Popen(
        [*PROGRAM, "test", "--settings", settings(home), "--wait", str(wait_s), "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stderr is not None
    assert program.stdout is not None
    by_prompt = dict(acts)
    for line in program.stderr:
        act = by_prompt.pop(line.partition(":")[0], None)
        if act is not None:
            mock_pins.send(home, act)
    verdicts = [json.loads(line) for line in program.stdout.read().splitlines()]
    code = program.wait(30)
    program.stderr.close()
    program.stdout.close()
    return code, {verdict["pin"]: (verdict["is_ok"], verdict["says"]) for verdict in verdicts}


def test_each_input_is_tried_and_what_is_wrong_is_said(tmp_path: Path) -> None:
    code, verdicts = tried(
        tmp_path,
        20.0,
        ("duress", Act(name="duress", is_active=True, for_s=2.0)),
        ("ignition", Act(name="ignition", is_active=True)),
    )
    assert verdicts == {
        "lamp_gps": (None, "was driven; nobody was asked whether it did anything"),
        "lamp_link": (False, "taken: GPIO 17 is wired to two names"),
        "duress": (True, "raises when it is held, and lets go"),
        "ignition": (True, "changed to yes"),
    }
    assert code == 1


def test_a_button_that_is_not_held_and_a_line_that_never_moves_are_wrong(tmp_path: Path) -> None:
    code, verdicts = tried(tmp_path, 2.0, ("duress", Act(name="duress", is_active=True, for_s=0.5)))
    assert code == 1
    assert verdicts["duress"][0] is False
    assert "hold it longer" in verdicts["duress"][1]
    assert verdicts["ignition"][1].startswith("stayed no for 2 s")


def test_a_button_that_says_yes_at_rest_is_wrong_before_anybody_presses(tmp_path: Path) -> None:
    code, verdicts = tried(tmp_path, 0.3, ("lamp_gps", Act(name="duress", is_active=True)))
    assert code == 1
    assert verdicts["duress"][1].startswith("says yes although nobody does anything")


def test_a_button_that_nobody_presses_was_never_closed(tmp_path: Path) -> None:
    assert tried(tmp_path, 0.3)[1]["duress"] == (
        False,
        "was never closed in 0.3 s: look at the wire and the GPIO number",
    )


def test_pins_that_are_not_wired_are_not_listed_and_a_conflict_is(tmp_path: Path) -> None:
    shown = pins("show", "--settings", settings(tmp_path))
    assert shown.returncode == 0
    lines = shown.stdout.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["duress", "ignition", "lamp_link", "lamp_gps"]
    assert lines[-1] == "All of them are simulated: no wire is behind any."
    told = [json.loads(line) for line in pins("show", "--settings", settings(tmp_path), "--json").stdout.splitlines()]
    assert {each["pin"]: each["state"]["condition"] for each in told}["lamp_link"] == "taken"


def test_real_pins_cannot_be_pressed_from_outside(tmp_path: Path) -> None:
    with pytest.raises(NobodyThere):
        mock_pins.send(tmp_path, Act(name="duress", is_active=True))
    (tmp_path / mock_pins.FIFO).write_text("")  # no FIFO, and nobody reads it
    with pytest.raises(NobodyThere):
        mock_pins.send(tmp_path, Act(name="duress", is_active=True))
    refused = pins("press", "duress", "--home", str(tmp_path))
    assert refused.returncode == 2
    assert 'factory = "mock"' in refused.stderr


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda home: str(home / "nothing.toml"), "cannot be read"),
        (lambda home: settings(home, "[screen]\nport = 1"), "names no pins"),
        (lambda home: settings(home, "[pins]\npanic = 3"), "unknown field"),
        (lambda home: settings(home, "[pins"), "is wrong"),
    ],
)
@pytest.mark.parametrize("command", ["show", "test"])
def test_settings_that_name_no_pins_are_one_line_and_exit_code_2(
    tmp_path: Path, command: str, make: Callable[[Path], str], says: str
) -> None:
    done = pins(command, "--settings", make(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_in_the_middle_gives_every_pin_back(tmp_path: Path) -> None:
    program = subprocess.Popen(
        [*PROGRAM, "test", "--settings", settings(tmp_path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / mock_pins.FIFO).exists():
        assert program.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)
    program.terminate()
    program.communicate(timeout=PATIENCE_S)
    assert not (tmp_path / mock_pins.FIFO).exists()
