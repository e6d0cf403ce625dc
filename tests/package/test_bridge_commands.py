"""`tandem-bridge` as a person or a script meets it: the real program, its output and its exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from firmware_bridge.main import cli
from tests.patience import PATIENCE_S

OWN = Path(__file__).parents[1] / "captures" / "own"
PROGRAM = [sys.executable, "-c", "from firmware_bridge.main import cli; cli(prog_name='tandem-bridge')"]


def bridge(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=PATIENCE_S)


def test_fixes_of_a_file_are_json_lines_and_the_counts_come_last_on_stderr() -> None:
    done = bridge("fixes", "--json", str(OWN / "rmc-then-gga.nmea"))
    *expected, counts = (OWN / "rmc-then-gga.expected.jsonl").read_text().splitlines()
    assert done.returncode == 0
    assert done.stdout.splitlines() == expected
    header_is_no_noise = {"noise_bytes": 0}
    assert json.loads(done.stderr.splitlines()[-1]) == json.loads(counts) | header_is_no_noise
    assert list(json.loads(expected[0])) == [
        *("at", "lat", "lon", "speed_mps", "heading_deg", "hdop", "satellites"),
        *("accuracy_m", "dimensions", "quality"),
    ]


def test_fixes_for_a_person_are_as_many_lines_and_a_sentence() -> None:
    done = bridge("fixes", str(OWN / "rmc-then-gga.nmea"))
    assert len(done.stdout.splitlines()) == len((OWN / "rmc-then-gga.expected.jsonl").read_text().splitlines()) - 1
    assert "{" not in done.stdout and " autonomous" in done.stdout
    assert done.stderr.startswith("Sentences: ") and len(done.stderr.splitlines()) == 1


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


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The program in the background, and no longer than the test, whatever comes of it."""
    program = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_ctrl_c,  # nothing else runs between fork and exec
    )
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


def _hear_ctrl_c() -> None:
    """As in a terminal: whoever runs the tests in the background has Ctrl-C ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def first_line(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None
    return program.stdout.readline().strip()


def test_a_capture_played_is_read_as_the_capture(tmp_path: Path) -> None:
    capture, link = OWN / "rmc-then-gga.nmea", tmp_path / "gps"
    with running("replay", str(capture), "--speed", "20", "--link", str(link)) as player:
        assert first_line(player) == str(link.readlink())
        done = bridge("fixes", str(link))
        assert player.wait(10) == 0
    assert done.stdout == bridge("fixes", str(capture)).stdout
    assert "is gone" in done.stderr and done.returncode == 1
    assert not link.is_symlink()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_reader_and_player_cleanly(ending: signal.Signals, tmp_path: Path) -> None:
    link = tmp_path / "gps"
    capture = str(OWN / "rmc-then-gga.nmea")
    with running("replay", capture, "--loop", "--speed", "50", "--link", str(link)) as player:
        path = first_line(player)
        with running("fixes", "--json", path) as reader:
            assert first_line(reader)
            refused = bridge("fixes", path)
            assert refused.returncode == 2 and "another program is reading it" in refused.stderr
            reader.send_signal(ending)
            _, said = reader.communicate(timeout=PATIENCE_S)
            assert reader.returncode == 0
        assert set(json.loads(said.splitlines()[-1])) == {"accepted", "empty", "rejected", "noise_bytes"}
        player.send_signal(ending)
        _, said = player.communicate(timeout=PATIENCE_S)
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
    for command in ("fixes", "watch", "capture", "replay"):
        shown = CliRunner().invoke(cli, [command, "--help"]).output
        assert "Exit codes" in shown
        assert ("JSON" in shown) == (command != "replay")
