"""A receiver kept in a file: its bytes and no others, below a header; and what ends a capture."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmware_bridge.capture import Header, after_header, header, name_of
from tests.package.test_bridge_commands import OWN, PROGRAM, bridge, first_line, running
from tests.patience import PATIENCE_S

RECEIVER = str(OWN / "rmc-then-gga.nmea")
TOLD = Header(
    name="usb-u-blox_AG_7-if00",
    port="/dev/ttyACM0",
    baud=9600,
    began_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    software="tandem-bridge 1.2.3",
    notes=("roof, magnet\n# What follows is what the receiver sent.\n$GPRMC,1*00", "Straße \x1b[31m"),
)


def test_a_header_is_comment_lines_and_comes_off_again() -> None:
    head = header(TOLD)
    assert all(line.startswith(b"# ") for line in head.splitlines())
    assert b"\x1b" not in head and "Straße".encode() in head
    assert b"# Date: 2026-03-01T12:00:00Z\n" in head and b"# Baud: 9600\n" in head
    for said in (b"", b"# this is what it said\n$GPRMC", b"\xff\x00#\n", b"#BESTPOSA,COM1\r\n"):
        assert after_header(head + said) == said


@pytest.mark.parametrize(
    "capture, said",
    [
        (b"# Name: x\n# Date: y\n#\n$GPGGA\n# in between\n", b"$GPGGA\n# in between\n"),
        (b"#\r\n# a\r\n$GPGGA\r\n", b"$GPGGA\r\n"),
        (b"#BESTPOSA,COM1,0*00\r\n", b"#BESTPOSA,COM1,0*00\r\n"),
        (b"# nothing but words", b""),
        (b"\xb5\x62# no", b"\xb5\x62# no"),
    ],
)
def test_the_headers_of_others_come_off_too(capture: bytes, said: bytes) -> None:
    assert after_header(capture) == said


def test_a_port_is_named_by_its_plug(tmp_path: Path) -> None:
    device, by_id = tmp_path / "ttyACM0", tmp_path / "by-id"
    device.touch()
    by_id.mkdir()
    (by_id / "usb-receiver").symlink_to(device)
    assert name_of(str(device), by_id) == name_of(str(by_id / "usb-receiver"), by_id) == "usb-receiver"
    assert name_of(str(tmp_path / "gone"), by_id) == name_of(str(device), tmp_path / "none") == "unknown"


def captured(source: Path, file: Path, *options: str, speed: str = "1000") -> subprocess.CompletedProcess[str]:
    with running("replay", str(source), "--speed", speed) as player:
        return bridge("capture", first_line(player), str(file), "--baud", "9600", *options)


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    done = captured(Path(RECEIVER), mine)
    assert done.returncode == 2 and "is there already" in done.stderr and len(done.stderr.splitlines()) == 1
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("port", ["/nowhere/gps", "/tmp", "/dev/null", __file__])
def test_without_a_port_no_file_is_made(port: str, tmp_path: Path) -> None:
    done = bridge("capture", port, str(tmp_path / "new"), "--baud", "9600")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_a_file_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    done = captured(Path(RECEIVER), tmp_path / "no" / "folder")
    assert done.returncode == 2 and "Cannot make" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, "--seconds"])
def test_a_capture_ends_by_ctrl_c_or_by_itself_and_is_whole(ending: signal.Signals | str, tmp_path: Path) -> None:
    file = tmp_path / "new.log"
    with running("replay", RECEIVER, "--loop", "--speed", "20") as player:
        path = first_line(player)
        timed = ["--seconds", "2"] if isinstance(ending, str) else []
        with running("capture", path, str(file), *timed) as keeper:  # its speed is found by listening
            if not isinstance(ending, str):
                while not file.exists() or b"$GPGGA" not in file.read_bytes():
                    assert keeper.poll() is None
                keeper.send_signal(ending)
            _, told = keeper.communicate(timeout=PATIENCE_S)
            assert keeper.returncode == 0, told
    assert "bytes in" in told and "fixes." in told
    source = after_header(Path(RECEIVER).read_bytes())
    assert after_header(file.read_bytes())[:100] in source * 2


def test_a_full_disk_ends_it_with_a_sentence_and_what_was_written_is_valid(tmp_path: Path) -> None:
    file, source = tmp_path / "full.log", Path(RECEIVER)
    limit_bytes = 700

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    with running("replay", str(source), "--loop", "--speed", "100") as player:
        done = subprocess.run(
            [*PROGRAM, "capture", first_line(player), str(file), "--baud", "9600"],
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            preexec_fn=small_disk,  # nothing else runs between fork and exec
        )
    assert done.returncode == 1
    assert "could not be written" in done.stderr.splitlines()[-1] and "is kept" in done.stderr.splitlines()[-1]
    assert file.stat().st_size == limit_bytes
    assert after_header(source.read_bytes()).startswith(after_header(file.read_bytes()))
    assert bridge("fixes", str(file)).returncode == 0
