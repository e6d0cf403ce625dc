"""The distribution's gpsd and chrony, which `scripts/debian-tools` unpacks beside us; a test without them says so."""

from __future__ import annotations

from pathlib import Path

import pytest

PROGRAMS = Path(__file__).resolve().parent.parent / "var" / "tools" / "debian" / "bin"


def debian_tool(name: str) -> Path:
    """Where the program is; the test that asks is left out where it is not."""
    program = PROGRAMS / name
    if not program.is_file():
        pytest.skip(f"{name} is not unpacked here: run scripts/debian-tools")
    return program
