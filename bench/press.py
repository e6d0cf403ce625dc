"""From a finger on the duress button to the lamp and to the disk.

A real vehicle terminal with simulated pins, its hub and broker beside it; the button is closed through the simulated pins'
FIFO and held. Measured from 1.5 s after that, when the hold is long enough to mean it: to the line that the terminal
writes when it has lit the lamp, and to the one when the record of the press has been committed, by the clock in them.
Beside it, the same disk's bare fdatasync of as many bytes, at the same moments.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from datetime import datetime
from pathlib import Path

import click

from bench.figures import print_ms, say
from demo import fleet as made
from demo.fleet import Person
from demo.processes import Children
from firmware_bridge import mock_pins
from firmware_bridge.button import HOLD_S
from firmware_bridge.mock_pins import Act

PINS = """
[pins]
factory = "mock"
duress = { gpio = 17, active = "low" }
lamp_emergency = { gpio = 5 }
"""
RECORD_BYTES = 600
WAIT_S_MAX = 5.0
_SAID = re.compile(r"timestamp=(\S+) level=\w+ event=(duress_pressed|emergency_saved)")


@click.command()
@click.option("--presses", default=100, show_default=True)
def cli(presses: int) -> None:
    """Print the milliseconds from 1.5 s of holding to the lamp and to the committed record."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        children = Children(say)
        try:
            _measure(home, children, presses)
        finally:
            children.stop()


def _measure(home: Path, children: Children, presses: int) -> None:
    crew = {"CARE-1": Person(staff="s-1", name="Crew 1", role="specialist", skills=(), languages=("eng",))}
    fleet = made.make(home, crew, None, made.chance_ports(len(crew)), children, say)
    station = fleet.station("CARE-1")
    terminal = home / "care-1"
    with (terminal / "terminal.toml").open("a") as settings:
        settings.write(PINS)
    children.start(made.terminal_process(home, station))
    log = home / "logs" / "CARE-1.log"
    say(f"Pressing {presses} times")
    took_ms: dict[str, list[float]] = {"duress_pressed": [], "emergency_saved": []}
    sync_ms: list[float] = []
    with (home / "beside").open("wb") as beside:
        for _ in range(presses):
            seen_bytes = log.stat().st_size
            meant_s = time.time() + HOLD_S
            mock_pins.send(terminal, Act(name="duress", is_active=True, for_s=HOLD_S + 0.5))
            time.sleep(HOLD_S)
            sync_ms.append(_sync_ms(beside.fileno()))
            for what, at_s in _said(log, seen_bytes).items():
                took_ms[what].append((at_s - meant_s) * 1000)
            time.sleep(1.0)
    print_ms("button held 1.5 s -> lamp lit", took_ms["duress_pressed"])
    print_ms("button held 1.5 s -> record committed", took_ms["emergency_saved"])
    print_ms("bare fdatasync at the same moments", sync_ms)


def _said(log: Path, from_bytes: int) -> dict[str, float]:
    until_s = time.monotonic() + WAIT_S_MAX
    found: dict[str, float] = {}
    while time.monotonic() < until_s and len(found) < 2:
        time.sleep(0.05)
        with log.open("rb") as lines:
            lines.seek(from_bytes)
            for at, what in _SAID.findall(lines.read().decode(errors="replace")):
                found.setdefault(what, datetime.fromisoformat(at).timestamp())
    return found


def _sync_ms(descriptor: int) -> float:
    began_s = time.monotonic()
    os.write(descriptor, b"x" * RECORD_BYTES)
    os.fdatasync(descriptor)
    return (time.monotonic() - began_s) * 1000


if __name__ == "__main__":
    cli()
