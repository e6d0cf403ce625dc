"""Real receivers' logs, played by one process and captured by another: nothing is lost, added or changed."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from firmware_bridge.capture import after_header
from tests.captures.test_captures import LOGS, needs_logs
from tests.package.test_bridge_capture import captured
from tests.package.test_bridge_commands import bridge


@needs_logs
@pytest.mark.parametrize("name", ["ublox-8", "gp-320fw-2019-04-07-coldboot", "ac12_binary"])
def test_a_receiver_captured_is_byte_for_byte_what_it_said_and_replays_to_the_same_fixes(
    name: str, tmp_path: Path
) -> None:
    assert LOGS is not None
    source, file, again = LOGS / f"{name}.log", tmp_path / "kept.log", tmp_path / "again.log"
    done = captured(source, file, "--json", "--note", "on the bench")
    assert done.returncode == 1 and "is gone" in done.stderr  # the player has ended, as a plug that is pulled
    said = after_header(source.read_bytes())
    assert after_header(file.read_bytes()) == said
    assert json.loads(done.stdout)["said_bytes"] == len(said)
    assert b"# Note: on the bench\n" in file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    captured(file, again)
    assert after_header(again.read_bytes()) == said
    fixes, kept = (bridge("fixes", "--json", str(path)) for path in (source, again))
    assert (fixes.stdout, fixes.stderr) == (kept.stdout, kept.stderr)
