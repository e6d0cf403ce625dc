"""`tandem-bridge watch` in a real terminal, beside a receiver that is plugged in and pulled."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.package.test_bridge_commands import OWN, PROGRAM, bridge, first_line, running
from tests.patience import PATIENCE_S

RECEIVER = str(OWN / "rmc-then-gga.nmea")
ALTERNATE, NORMAL, CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"


class Terminal:
    """A terminal with `watch` in it."""

    def __init__(self, program: subprocess.Popen[bytes], ours: int) -> None:
        self.program = program
        self._ours = ours
        self.shown = b""

    def read_until(self, *wanted: bytes) -> bytes:
        """What was shown since the last call, once all of `wanted` was."""
        begin = len(self.shown)
        until_s = time.monotonic() + PATIENCE_S
        while not all(one in self.shown[begin:] for one in wanted):
            assert time.monotonic() < until_s, self.shown[-3000:]
            self._read()
        return self.shown[begin:]

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def end(self, with_signal: signal.Signals) -> int:
        self.program.send_signal(with_signal)
        code = self.program.wait(PATIENCE_S)
        while self._read():
            pass
        return code

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 0.2)[0]:
            return False
        self.shown += os.read(self._ours, 65536)
        return True


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    ours, theirs = os.openpty()
    program = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "", "LINES": ""},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    opened = Terminal(program, ours)
    opened.resize(80, 24)
    try:
        yield opened
    finally:
        program.kill()
        program.wait()
        os.close(theirs)
        os.close(ours)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_page_shows_a_receiver_that_is_pulled_and_comes_back_and_leaves_the_terminal_clean(
    ending: signal.Signals, tmp_path: Path
) -> None:
    link = tmp_path / "gps"
    with running("replay", RECEIVER, "--loop", "--link", str(link)) as player:
        first_line(player)
        with terminal("watch", str(link)) as watch:
            watch.read_until(ALTERNATE, b"FIX  ", b"GPRMC")
            watch.resize(120, 40)
            watch.read_until("─".encode() * 60)  # a rule this long is only on the wider page
            player.send_signal(signal.SIGINT)
            watch.read_until(b"LOST", b"Was at", b"plugged")  # "it was unplugged", then "is the receiver plugged in?"
            with running("replay", RECEIVER, "--loop", "--link", str(link)):
                watch.read_until(b"FIX  ", b"Opened again once")
                assert watch.end(ending) == 0
            rest = watch.shown[watch.shown.rindex(NORMAL) :]
            assert CURSOR in watch.shown[watch.shown.rindex(ALTERNATE) :] and b"Traceback" not in watch.shown
            assert b"FIX" not in rest  # nothing of the page is left behind


def test_a_capture_is_played_to_its_end_and_its_last_page_stays() -> None:
    with terminal("watch", str(OWN / "five-hertz.nmea")) as watch:
        assert watch.program.wait(PATIENCE_S) == 0
        watch.read_until(NORMAL)
        while watch._read():
            pass
        last = watch.shown[watch.shown.rindex(NORMAL) :]
        assert b"FIX  " in last and b"played capture" in last


def test_one_look_is_an_answer_for_a_script(tmp_path: Path) -> None:
    good, none = bridge("watch", "--once", RECEIVER), bridge("watch", "--once", str(OWN / "not-a-fix.nmea"))
    assert (good.returncode, none.returncode) == (0, 1)
    assert "FIX  " in good.stdout and "none yet" in none.stdout and "\x1b" not in good.stdout
    told = json.loads(bridge("watch", "--once", "--json", RECEIVER).stdout)
    assert told["condition"] == "fix" and told["fix"]["quality"] == "autonomous"
    gone = bridge("watch", "--once", "/dev/serial/by-id/there-is-none")
    assert gone.returncode == 1 and "LOST" in gone.stdout


def test_pins_are_looked_at_where_settings_are_named(tmp_path: Path) -> None:
    settings = tmp_path / "terminal.toml"
    settings.write_text(
        'unit = "CARE-2"\n[pins]\nfactory = "mock"\nduress = { gpio = 17, active = "high", pull = "up" }\n'
    )
    told = json.loads(bridge("watch", "--once", "--json", RECEIVER, "--settings", str(settings)).stdout)
    assert told["pins"]["duress"] == "simulated" and told["pins"]["pins"]["duress"]["condition"] == "ok"
    none = bridge("watch", "--once", "--json", RECEIVER, "--settings", str(tmp_path / "none.toml"))
    assert none.returncode == 2 and len(none.stderr.splitlines()) == 1


def test_json_is_an_object_a_second_and_tells_of_a_pulled_plug(tmp_path: Path) -> None:
    link = tmp_path / "gps"
    with running("replay", RECEIVER, "--loop", "--link", str(link)) as player:
        first_line(player)
        with running("watch", "--json", str(link)) as watch:
            while json.loads(first_line(watch))["condition"] != "fix":
                pass
            player.send_signal(signal.SIGINT)
            while (told := json.loads(first_line(watch)))["condition"] != "lost":
                pass
            assert told["why"] and told["fix"]["age_s"] > 0
            watch.send_signal(signal.SIGINT)
            watch.communicate(timeout=PATIENCE_S)
            assert watch.returncode == 0


def test_a_taken_port_is_said_and_waited_for() -> None:
    with running("replay", RECEIVER, "--loop", "--speed", "20") as player:
        path = first_line(player)
        with running("fixes", path) as reader:
            assert first_line(reader)
            with running("watch", "--json", path) as watch:
                while (told := json.loads(first_line(watch)))["condition"] != "lost":
                    pass
                assert "another program is reading it" in told["why"]
                reader.send_signal(signal.SIGINT)
                while json.loads(first_line(watch))["condition"] != "fix":
                    pass


@pytest.mark.parametrize("path", ["/nowhere/gps", "/tmp"])
def test_a_file_that_is_none_is_one_line_and_exit_code_2(path: str) -> None:
    done = bridge("watch", "--json", path)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


def test_a_page_for_a_pipe_is_refused_with_what_to_do() -> None:
    done = bridge("watch", RECEIVER)
    assert done.returncode == 2 and "--json" in done.stderr and len(done.stderr.splitlines()) == 1
