"""`tandem-bridge drive` as a person, a steering program and a reader of the port meet it: the real program."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median

import click
import pytest

from firmware_bridge.drive_command import LINE_BYTES_MAX, drive_command
from firmware_bridge.readings import FixRead
from firmware_bridge.scenarios import PROFILES, SCENARIOS
from firmware_bridge.sentences import WRITERS
from firmware_bridge.serial_port import Receiver, ReceiverSettings
from tests.patience import PATIENCE_S
from wire.distance import nearby_m
from wire.fix import Fix

PROGRAM = [sys.executable, "-c", "from firmware_bridge.main import cli; cli(prog_name='tandem-bridge')"]
HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "try-without-hardware.md"
NORTH = {"type": "LineString", "coordinates": [[-83.0, 40.0], [-83.0, 40.01]]}


def drive(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, "drive", *arguments], capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL
    )


@pytest.fixture
def north(tmp_path: Path) -> str:
    path = tmp_path / "north.geojson"
    path.write_text(json.dumps(NORTH))
    return str(path)


class Driver:
    """The program in the background: its lines as they come, and whatever it is told."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, "drive", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_hear_ctrl_c,
        )

    def line(self) -> dict[str, object]:
        return json.loads(self.raw())

    def raw(self) -> bytes:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], PATIENCE_S)[0], "it says nothing"
        return self.process.stdout.readline()

    def complaint(self) -> str:
        assert self.process.stderr is not None
        assert select.select([self.process.stderr], [], [], PATIENCE_S)[0], "it does not complain"
        return self.process.stderr.readline().decode()

    def tell(self, line: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
        self.process.stdin.flush()

    def ended(self, by: signal.Signals) -> tuple[int, bytes]:
        self.process.send_signal(by)
        _, complaints = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, complaints


@contextmanager
def driving(*arguments: str) -> Iterator[Driver]:
    driver = Driver(*arguments)
    try:
        yield driver
    finally:
        driver.process.kill()
        driver.process.communicate()


def _hear_ctrl_c() -> None:
    """As in a terminal: whoever runs the tests in the background has Ctrl-C ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


# ---- misuse --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, says",
    [
        ((), "Name a file"),
        (("/nowhere/route.gpx",), "No such file"),
        (("/tmp",), "no file"),
        (("/dev/null",), "no file"),
        (("{empty}",), "neither GeoJSON nor GPX"),
        (("{north}", "--follow", "--repeat"), "--repeat"),
        (("{north}", "--sentences", "RMC,XYZ"), "XYZ"),
        (("{north}", "--rate", "10", "--baud", "4800"), "higher --baud"),
        (("{north}", "--link", "{empty}"), "Cannot make the link"),
        (("{north}", "--link", "/nowhere/gps"), "Cannot make the link"),
    ],
)
def test_what_cannot_be_driven_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], says: str, north: str, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    done = drive(*(argument.format(north=north, empty=empty) for argument in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert empty.read_text() == ""


def test_help_names_the_scenarios_and_the_lines() -> None:
    help_text = drive("--help").stdout
    assert all(name in help_text.replace("\n", "").replace(" ", "") for name in SCENARIOS)
    assert '"hold"' in help_text


def test_every_scenario_receiver_and_option_is_in_the_how_to() -> None:
    page = HOW_TO.read_text()
    options = [option.opts[-1] for option in drive_command.params if isinstance(option, click.Option)]
    for name in (*SCENARIOS, *PROFILES, *WRITERS, *(word for word in options if word.startswith("--"))):
        assert name in page, f"{name} is not told"


# ---- a route -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_route_is_driven_until_ctrl_c_and_the_link_goes_with_it(
    ending: signal.Signals, north: str, tmp_path: Path
) -> None:
    link = tmp_path / "gps"
    with driving(north, "--link", str(link), "--rate", "10", "--scenario", "urban") as driver:
        assert driver.raw().decode().strip() == str(link.readlink())
        fixes = read_fixes(link, 5)
        assert all(nearby_m(fix.lat, fix.lon, 40.0, -83.0) < 60 for fix in fixes)
        assert driver.ended(ending) == (0, b"")
    assert not link.is_symlink()


def read_fixes(port: Path, wanted: int, found: list[Fix] | None = None) -> list[Fix]:
    """The first fixes of whatever is at `port`, by the reader that the terminal uses."""
    fixes = [] if found is None else found
    stop = threading.Event()
    patience = threading.Timer(PATIENCE_S, stop.set)
    patience.start()
    for reading in Receiver(ReceiverSettings(port=str(port))).readings(stop):
        if isinstance(reading, FixRead):
            fixes.append(reading.fix)
        if len(fixes) >= wanted:
            stop.set()
    patience.cancel()
    assert len(fixes) >= wanted
    return fixes


def test_what_is_read_at_the_port_is_where_the_vehicle_truly_is(tmp_path: Path, report) -> None:
    link, wanted = tmp_path / "gps", 40
    with driving("--follow", "--link", str(link), "--rate", "5", "--seed", "7") as driver:
        driver.line()
        driver.tell({"route": [[40.0, -83.0], [40.002, -83.0], [40.002, -82.99]], "limits_mps": [14.0, 20.0]})
        fixes: list[Fix] = []
        reader = threading.Thread(target=read_fixes, args=(link, wanted, fixes))
        reader.start()
        truths = {}
        while reader.is_alive() and len(truths) < 60:
            truth = driver.line()
            truths[datetime.fromisoformat(str(truth["at"]))] = truth
        reader.join(PATIENCE_S)
        for _ in range(2):  # what was true when the last fix was read may still be on its way
            truth = driver.line()
            truths[datetime.fromisoformat(str(truth["at"]))] = truth
    dated = {fix.at: fix for fix in fixes if fix.at is not None}
    both = [(dated[at], truth) for at, truth in truths.items() if at in dated]
    assert len(both) >= 5
    apart = sorted(nearby_m(fix.lat, fix.lon, float(truth["lat"]), float(truth["lon"])) for fix, truth in both)
    speeds = [abs((fix.speed_mps or 0) - float(truth["speed_mps"])) for fix, truth in both]
    report(
        f"drive -> pseudo-terminal -> Receiver: {len(fixes)} fixes at 5 Hz, {len(both)} at a printed truth; position "
        f"{median(apart):.2f} m median, {apart[-1]:.2f} m at most; speed {fmean(speeds):.2f} m/s off on average"
    )
    assert apart[-1] < 5 * 2**0.5 * SCENARIOS["open"].wander_m
    assert max(speeds) < 0.5
    gaps_s = [(after - before).total_seconds() for before, after in pairwise(sorted(dated))]
    assert all(gap_s * 5 == pytest.approx(round(gap_s * 5)) for gap_s in gaps_s), (
        "a moment that is none of five a second"
    )


def test_the_receivers_time_is_this_machines_time(tmp_path: Path) -> None:
    with driving("--follow", "--link", str(tmp_path / "gps")) as driver:
        driver.line()
        driver.tell({"route": [[40.0, -83.0]]})
        truth = driver.line()
        assert abs((datetime.now(UTC) - datetime.fromisoformat(str(truth["at"]))).total_seconds()) < PATIENCE_S
        assert str(truth["at"])[-1] == "Z" and "." not in str(truth["at"]), "once a second, on the second"


# ---- a steering program --------------------------------------------------------------------------------------------


def test_a_steering_program_sends_holds_and_sends_on(north: str, tmp_path: Path) -> None:
    with driving(north, "--follow", "--link", str(tmp_path / "gps")) as driver:
        assert driver.line() == {"port": str((tmp_path / "gps").readlink())}
        first = driver.line()
        assert first["routes"] == 1 and first["turn_off"] == 1 and not first["is_there"]
        driver.tell({"hold": True})
        while not (truth := driver.line())["is_there"]:
            pass
        assert truth["speed_mps"] == 0 and float(truth["lat"]) < 40.005
        driver.tell({"route": [[40.01, -83.0], [40.01, -82.99]]})
        while (truth := driver.line())["routes"] == 1:
            pass
        while float((truth := driver.line())["speed_mps"]) < 3:
            pass
        assert truth["routes"] == 2


def test_a_bad_line_is_one_sentence_and_the_vehicle_goes_on(north: str) -> None:
    with driving(north, "--follow") as driver:
        driver.line()
        before = driver.line()
        driver.tell(b"go home")
        assert "no route" in driver.complaint()
        driver.tell({"route": [[99.0, 0.0]]})
        assert "off the globe" in driver.complaint()
        driver.tell(b"[" * (LINE_BYTES_MAX + 100_000))
        assert "longer than" in driver.complaint()
        driver.tell({"route": [[98.0, 0.0]]})
        assert "off the globe" in driver.complaint(), "after a line too long the next is heard"
        while (after := driver.line())["at"] <= before["at"]:
            pass
        assert after["routes"] == 1 and float(after["speed_mps"]) > 0
        code, _ = driver.ended(signal.SIGINT)
        assert code == 0


def test_when_nobody_steers_any_more_it_drives_on_and_when_nobody_follows_it_ends(north: str) -> None:
    with driving(north, "--follow") as driver:
        driver.line()
        assert driver.process.stdin is not None and driver.process.stdout is not None
        driver.process.stdin.close()
        assert float(driver.line()["lat"]) < float(driver.line()["lat"])
        driver.process.stdout.close()
        assert driver.process.wait(PATIENCE_S) == 0
        driver.process.stdin = driver.process.stdout = None


def test_who_does_not_read_stops_nobody_and_then_hears_news(north: str, tmp_path: Path) -> None:
    link = tmp_path / "gps"
    with driving(north, "--follow", "--rate", "10", "--link", str(link)) as driver:
        assert driver.process.stdout is not None and driver.process.stderr is not None
        while not link.is_symlink():
            time.sleep(0.05)
        for pipe in (driver.process.stdout, driver.process.stderr):  # full, but for a little
            filler = os.open(f"/proc/self/fd/{pipe.fileno()}", os.O_WRONLY | os.O_NONBLOCK)
            with pytest.raises(BlockingIOError):
                while True:
                    os.write(filler, b"x" * 4095 + b"\n")
            os.close(filler)
        for _ in range(50):
            driver.tell(b"nonsense")
        began = datetime.now(UTC)
        assert (read_fixes(link, 25)[-1].at or began) > began, "the receiver speaks on while its pipes are full"
        while (
            not (line := driver.raw()).startswith(b"{")
            or b'"at"' not in line
            or datetime.fromisoformat(json.loads(line)["at"]) < began
        ):
            assert len(line) < 5000


def test_a_port_that_nobody_reads_keeps_no_history(north: str, tmp_path: Path) -> None:
    link = tmp_path / "gps"
    with driving(north, "--link", str(link), "--rate", "10") as driver:
        driver.raw()
        for _ in range(2):  # a reader that comes again
            time.sleep(1.5)
            opened = os.open(link, os.O_RDONLY | os.O_NOCTTY)
            came_at = datetime.now(UTC)
            try:
                heard = b""
                while heard.count(b"RMC") < 3:
                    assert select.select([opened], [], [], PATIENCE_S)[0]
                    heard += os.read(opened, 4096)
            finally:
                os.close(opened)
            clock = next(line for line in heard.split(b"\n") if line.startswith(b"$GNRMC")).split(b",")[1].decode()
            said_s = int(clock[:2]) * 3600 + int(clock[2:4]) * 60 + float(clock[4:])
            came_s = came_at.hour * 3600 + came_at.minute * 60 + came_at.second + came_at.microsecond / 1e6
            assert (said_s - came_s + 43200) % 86400 - 43200 > -1.0, "it said what was long past"
