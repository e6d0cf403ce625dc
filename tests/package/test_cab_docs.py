"""The pin table is what a tech wires by: it agrees with the header, with the settings beside it, and with the program."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from click import Group
from gpiozero.pins.pi import PiBoardInfo

from firmware_bridge.pins import Name, PinsSettings
from firmware_bridge.pins_command import pins_commands

PAGE = (Path(__file__).parents[2] / "docs/how-to/wire-the-cab.md").read_text()
PI_5 = 0xC04170
ROW = re.compile(
    r'^\| `(\w+)` \| [^|]+ \| (\d+) \| (\d+) \| (\d+) \| `"(\w+)"` \| (`"(\w+)"`|–) \| simulated \|$', re.M
)


class _File(msgspec.Struct):
    pins: PinsSettings


def wired() -> PinsSettings:
    text = PAGE[PAGE.index("```toml") + 7 :]
    return msgspec.toml.decode(text[: text.index("```")], type=_File).pins


def test_every_row_of_the_table_is_on_the_header_and_in_the_settings_beside_it() -> None:
    header = PiBoardInfo.from_revision(PI_5).headers["J8"].pins
    settings = {**wired().inputs(), **wired().outputs()}
    rows = ROW.findall(PAGE)
    assert len(rows) == len(Name)
    assert {row[0] for row in rows} == {str(name) for name in Name} == {str(name) for name in settings}
    for name, gpio, pin, ground, active, _, pull in rows:
        wire = settings[Name(name)]
        assert (wire.gpio, wire.active) == (int(gpio), active)
        assert (getattr(wire, "pull", None) or "") == pull
        assert header[int(pin)].name == f"GPIO{gpio}"
        assert header[int(ground)].name == "GND"


def test_every_key_and_every_command_is_on_the_page() -> None:
    assert all(f"| `{key}` |" in PAGE for key in ("factory", "gpio", "active", "pull"))
    assert isinstance(pins_commands, Group)
    assert all(f"tandem-bridge pins {command}" in PAGE for command in pins_commands.commands)
