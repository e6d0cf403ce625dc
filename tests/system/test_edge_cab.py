"""A terminal as a process, with simulated pins that are pressed from outside as a tech would press them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

import pytest

from edge import vault
from edge.cab import SETTLE_S
from edge.schema import LEDGER
from edge.store import Store
from firmware_bridge.mock_pins import FIFO
from firmware_bridge.pins import Name
from tests.patience import PATIENCE_S
from tests.ports import free_port
from tests.system.edge_site import ROOT, Receiver, Terminal, run_command, until
from tests.terminal_fleet import TerminalFleet
from wire.state import Roster, StaffMember

pytestmark = pytest.mark.system

PINS = """
[pins]
factory = "FACTORY"
duress = { gpio = 17, active = "low" }
power_fail = { gpio = 4, active = "high" }
ignition = { gpio = 27, active = "high" }
headlights = { gpio = 22, active = "high" }
lamp_emergency = { gpio = 5 }
lamp_link = { gpio = 6 }
lamp_gps = { gpio = 13 }
buzzer = { gpio = 18 }
"""


class Cab:
    def __init__(self, home: Path, factory: str) -> None:
        self.receiver = Receiver()
        self.fleet = TerminalFleet()
        self.terminal = Terminal(home, self.fleet, free_port(), self.receiver.path)
        settings = home / "terminal.toml"
        settings.write_text(settings.read_text() + PINS.replace("FACTORY", factory))
        self.home = home

    def crew(self) -> str:
        """Somebody who can sign on, and their PIN."""
        store = Store(self.home / "ledger.db", LEDGER)
        roster = Roster(
            agency="Lakeshore CARE",
            unit="u-2",
            call_sign="CARE-2",
            staff=(StaffMember(id="s-rowan", name="Rowan", role="specialist"),),
        )
        self.fleet.say(store, self.terminal.who, "roster", roster, int(time.time() * 1000))
        store.close()
        return vault.issue(self.home, "s-rowan")

    def bridge(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from firmware_bridge.main import cli; cli()", "pins", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)

    def pins(self) -> dict[str, object]:
        return cast("dict[str, dict[str, object]]", self.terminal.state()["health"])["pins"]

    def level(self, name: str) -> float | None:
        pins = cast("dict[str, dict[str, float | None]]", self.pins()["pins"])
        return pins[name]["level"]

    def log(self) -> str:
        return (self.home / "log").read_text()

    def close(self) -> None:
        self.terminal.kill()
        self.receiver.close()


class Page:
    """One browser of the terminal's own."""

    def __init__(self, port: int) -> None:
        self._at = f"http://127.0.0.1:{port}"
        self._opener = build_opener(HTTPCookieProcessor())

    def state(self) -> dict[str, object]:
        with self._opener.open(f"{self._at}/api/v1/state", timeout=PATIENCE_S) as answer:
            shown: dict[str, object] = json.load(answer)
            return shown

    def post(self, path: str, **fields: str) -> None:
        headers = {"Origin": self._at, "X-CSRF-Token": str(self.state()["csrf"])}
        self._opener.open(Request(self._at + path, urlencode(fields).encode(), headers), timeout=PATIENCE_S).close()


@pytest.fixture
def cab(tmp_path: Path) -> Iterator[Cab]:
    made = Cab(tmp_path / "terminal", "mock")
    yield made
    made.close()


def test_a_simulated_press_lights_the_lamp_and_a_terminal_with_simulated_pins_says_so(cab: Cab) -> None:
    cab.terminal.start()
    assert (cab.pins()["duress"], cab.pins()["has_working_duress"]) == ("simulated", False)
    assert cab.level("lamp_emergency") == 0.0
    pressed = cab.bridge("press", "duress", "--home", str(cab.home), "--for", "1.8")
    assert (pressed.returncode, pressed.stdout) == (0, "duress is pressed for 1.8 s (simulated).\n")
    until("the lamp", lambda: cab.level("lamp_emergency"))
    until("the dark half of its blinking", lambda: cab.level("lamp_emergency") == 0.0)
    assert "duress_pressed" in cab.log()
    assert cab.terminal.state()["emergency"]["phase"] == "raised"
    assert cab.terminal.stop()[0] == 0
    with sqlite3.connect(cab.home / "ledger.db") as ledger:
        assert ledger.execute("select 1 from record where kind = 'emergency'").fetchone(), "its record"
    ledger.close()


def test_pins_that_a_terminal_has_are_taken_and_free_when_it_has_ended(cab: Cab) -> None:
    cab.terminal.start()
    settings = str(cab.home / "terminal.toml")
    shown = cab.bridge("show", "--settings", settings)
    assert (shown.returncode, "taken" in shown.stdout) == (1, True)
    assert cab.terminal.stop()[0] == 0
    assert not (cab.home / FIFO).exists()
    assert cab.bridge("press", "duress", "--home", str(cab.home)).returncode == 2
    assert cab.bridge("show", "--settings", settings).returncode == 0


def test_failing_power_saves_the_trail_and_ends_the_terminal_in_time(cab: Cab) -> None:
    cab.terminal.start()
    for second in range(3):
        cab.receiver.say(39.96, second)
        time.sleep(0.2)
    until("a fix", lambda: cab.terminal.state()["gps"]["word"] == "fix")
    cab.bridge("set", "power_fail", "on", "--home", str(cab.home))
    assert cab.terminal.child is not None
    assert cab.terminal.child.wait(20) == 1
    assert cab.log().endswith("The terminal ends because the vehicle's power is failing.\n")
    with sqlite3.connect(cab.home / "trail.db") as trail:
        assert trail.execute("select count(*) from record").fetchone() == (1,), "fewer than ten fixes, and still saved"


def test_turning_the_ignition_off_locks_the_clinical_zone(cab: Cab) -> None:
    pin = cab.crew()
    cab.terminal.start()
    page = Page(cab.terminal.screen_port)
    page.post("/sign-on", staff="s-rowan", pin=pin)
    cab.bridge("set", "ignition", "on", "--home", str(cab.home))
    time.sleep(SETTLE_S[Name.IGNITION] + 0.5)
    assert page.state()["is_unlocked"] is True
    cab.bridge("set", "ignition", "off", "--home", str(cab.home))
    until("the lock", lambda: page.state()["is_unlocked"] is False)
    assert page.state()["signed_on"] is True


def test_a_terminal_without_a_board_starts_and_claims_no_button(tmp_path: Path) -> None:
    if Path("/dev/gpiochip0").exists():
        pytest.skip("this machine has pins")
    cab = Cab(tmp_path / "terminal", "lgpio")
    before = set(ROOT.glob(".lgd-nfy*"))
    try:
        cab.terminal.start()
        pins = cab.pins()
        assert (pins["duress"], pins["has_working_duress"]) == ("broken", False)
        assert pins["words"] == "Emergency button does not work"
        assert "pin_not_working" in cab.log()
        assert cab.terminal.stop()[0] == 0
        assert set(ROOT.glob(".lgd-nfy*")) == before
    finally:
        cab.close()


def test_a_desk_with_pins_is_refused(tmp_path: Path) -> None:
    TerminalFleet().terminal(tmp_path, "desk-1", "desk")
    (tmp_path / "terminal.toml").write_text(PINS.replace("FACTORY", "mock"))
    ran = subprocess.run(run_command(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (ran.returncode, "remove [pins]" in ran.stderr) == (2, True)
