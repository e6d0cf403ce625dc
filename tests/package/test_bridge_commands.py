"""`tandem-bridge` as a person or a script meets it: the real program, its output and its exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

OWN = Path(__file__).parents[1] / "captures" / "own"
PROGRAM = [sys.executable, "-c", "from firmware_bridge.main import cli; cli(prog_name='tandem-bridge')"]


def bridge(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=30)


def test_fixes_of_a_file_are_json_lines_and_the_counts_come_last_on_stderr() -> None:
    done = bridge("fixes", str(OWN / "rmc-then-gga.nmea"))
    *expected, counts = (OWN / "rmc-then-gga.expected.jsonl").read_text().splitlines()
    assert done.returncode == 0
    assert done.stdout.splitlines() == expected
    assert done.stderr.splitlines()[-1] == counts
    assert list(json.loads(expected[0])) == ["at", "lat", "lon", "speed_mps", "heading_deg", "hdop", "satellites"]


@pytest.mark.parametrize("command", ["fixes", "replay"])
@pytest.mark.parametrize(
    "path, says",
    [("/nowhere/gps", "No such file"), ("/tmp", "folder"), ("/dev/null", "port|device"), (None, "Missing")],
)
def test_a_path_that_cannot_be_read_is_one_line_and_exit_code_2(command: str, path: str | None, says: str) -> None:
    done = bridge(command, *([path] if path else []))
    assert done.returncode == 2
    assert done.stdout == ""
    assert any(word in done.stderr for word in says.split("|"))
    assert path is None or len(done.stderr.splitlines()) == 1


def test_an_empty_file_has_no_fixes_and_cannot_be_played(tmp_path: Path) -> None:
    empty = tmp_path / "empty.nmea"
    empty.touch()
    assert bridge("fixes", str(empty)).returncode == 0
    assert bridge("replay", str(empty)).returncode == 2


def test_a_capture_played_is_read_as_the_capture(tmp_path: Path) -> None:
    capture, link = OWN / "rmc-then-gga.nmea", tmp_path / "gps"
    player = subprocess.Popen(
        [*PROGRAM, "replay", str(capture), "--speed", "20", "--link", str(link)], stdout=subprocess.PIPE, text=True
    )
    with player:
        assert player.stdout is not None
        path = player.stdout.readline().strip()
        assert str(link.readlink()) == path
        done = bridge("fixes", str(link))
        assert player.wait(10) == 0
    assert done.stdout == bridge("fixes", str(capture)).stdout
    assert "is gone" in done.stderr
    assert not link.is_symlink()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_reader_and_player_cleanly(ending: signal.Signals, tmp_path: Path) -> None:
    link = tmp_path / "gps"
    player = subprocess.Popen(
        [*PROGRAM, "replay", str(OWN / "rmc-then-gga.nmea"), "--loop", "--speed", "50", "--link", str(link)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with player:
        assert player.stdout is not None
        path = player.stdout.readline().strip()
        reader = subprocess.Popen([*PROGRAM, "fixes", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with reader:
            assert reader.stdout is not None
            reader.stdout.readline()
            refused = bridge("fixes", path)
            assert refused.returncode == 2 and "another program is reading it" in refused.stderr
            reader.send_signal(ending)
            _, said = reader.communicate(timeout=10)
        assert reader.returncode == 0
        assert set(json.loads(said.splitlines()[-1])) == {"accepted", "empty", "rejected", "noise_bytes"}
        time.sleep(0.1)
        player.send_signal(ending)
        _, said = player.communicate(timeout=10)
    assert (player.returncode, said) == (0, "")
    assert not link.is_symlink()


def test_a_link_that_is_a_file_is_left_alone(tmp_path: Path) -> None:
    taken = tmp_path / "gps"
    taken.write_text("mine")
    done = bridge("replay", str(OWN / "frozen.nmea"), "--link", str(taken))
    assert done.returncode == 2 and "Cannot make the link" in done.stderr
    assert taken.read_text() == "mine"


def test_help_says_what_each_command_does() -> None:
    assert "capture" in bridge("--help").stdout
    assert "JSON" in bridge("fixes", "--help").stdout
    assert "--loop" in bridge("replay", "--help").stdout
