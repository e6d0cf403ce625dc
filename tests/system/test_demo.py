"""The demo itself: the story a newcomer plays first, and what it leaves behind."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from demo.processes import program

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("demo")]

STEPS = [
    "fix_read",
    "position_on_hub",
    "incident_made",
    "candidates_ranked",
    "unit_assigned",
    "assignment_on_terminal",
    "terminal_receipt_on_console",
    "acknowledged",
    "en_route",
    "on_scene",
    "contact",
    "note_finalized",
    "sealed_note_at_hub",
    "receipt_at_terminal",
    "opened_at_desk",
    "closed",
]


def test_the_first_call_comes_true_and_leaves_nothing_running(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    told = subprocess.run(
        [program("tandem-demo"), "--home", str(home), "--story", "first-call", "--json", "--headless"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert told.returncode == 0, told.stderr
    *steps, summary = [json.loads(line) for line in told.stdout.splitlines()]
    assert [step["step"] for step in steps] == STEPS
    assert all(step["ms"] >= 0 and step["at"] for step in steps)
    assert summary["ok"] and summary["took_ms"].keys() == set(STEPS)
    ranked = steps[STEPS.index("candidates_ranked")]["candidates"]
    assert len(ranked) == 7 and all(candidate["fit"] or candidate["reasons"] for candidate in ranked)
    assert _processes_of(home) == []


def _processes_of(home: Path) -> list[str]:
    """Command lines that name a folder of this demo."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(home) in command:
            found.append(command)
    return found
