"""Real receivers' bytes, and a few of our own, through the real reader: nothing wrong, and next to nothing missed."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path

import pytest

from firmware_bridge.framing import Framer
from firmware_bridge.main import _json_of
from firmware_bridge.nmea import NoPosition, Position, Rejected, said
from firmware_bridge.reader import Reader
from firmware_bridge.readings import Condition, FixRead
from firmware_bridge.replay import PseudoTerminal
from firmware_bridge.serial_port import Receiver, ReceiverSettings
from wire.fix import Fix

HERE = Path(__file__).resolve().parent
OWN = HERE / "own"
# The real receivers' logs lie beside the project, in shared/gps-logs; not every machine has them.
LOGS = next((logs for above in HERE.parents if (logs := above / "shared" / "gps-logs").is_dir()), None)
NEAR_DEG = 5e-5
MATCHED_SHARE_MIN = 0.995

needs_logs = pytest.mark.skipif(LOGS is None, reason="no shared/gps-logs beside the project: real captures not tried")


def logs() -> list[Path]:
    return sorted(LOGS.glob("*.log")) if LOGS is not None else []


def read_in_chunks(data: bytes, chance: random.Random) -> list[Fix]:
    reader, fixes, start = Reader(), [], 0
    while start < len(data):
        end = start + chance.randint(1, 200)
        fixes += reader.feed(data[start:end])
        start = end
    return fixes + reader.finish()


def said_in(data: bytes) -> list[Position | NoPosition]:
    """What each sentence of a log says by itself, for comparison with what the reader made of all of them."""
    heard = []
    for sentence in Framer().feed(data):
        try:
            told = said(sentence)
        except Rejected:
            continue
        if isinstance(told, Position | NoPosition):
            heard.append(told)
    return heard


def positions_of_gpsd(log: Path) -> list[tuple[float, float]]:
    """gpsd's answer beside the log; not all of it is UTF-8, and not all of it is JSON."""
    places = []
    for line in log.with_name(log.name + ".chk").read_bytes().decode("utf-8", "replace").splitlines():
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict) and answer.get("class") == "TPV" and "lat" in answer and "lon" in answer:
            places.append((answer["lat"], answer["lon"]))
    return places


def is_near(fix: Fix, place: tuple[float, float]) -> bool:
    return abs(fix.lat - place[0]) <= NEAR_DEG and abs(fix.lon - place[1]) <= NEAR_DEG


@pytest.mark.parametrize("capture", sorted(OWN.glob("*.nmea")), ids=lambda path: path.stem)
def test_an_own_capture_gives_the_expected_fixes_and_counts(capture: Path) -> None:
    reader = Reader()
    fixes = reader.feed(capture.read_bytes()) + reader.finish()
    *expected, counts = map(json.loads, capture.with_suffix(".expected.jsonl").read_text().splitlines())
    assert [json.loads(_json_of(fix)) for fix in fixes] == expected
    assert {name: getattr(reader.counts, name) for name in counts} == counts


@needs_logs
@pytest.mark.parametrize("log", logs(), ids=lambda path: path.stem)
def test_a_log_yields_nothing_wrong_in_any_chunks(log: Path) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    data = log.read_bytes()
    fixes = read_in_chunks(data, random.Random(seed))
    heard = said_in(data)
    stood_by = {(told.lat, told.lon) for told in heard if isinstance(told, Position)}
    assert all((fix.lat, fix.lon) in stood_by for fix in fixes)  # no place that the receiver did not stand by
    assert not any(abs(fix.lat) < 1e-3 and abs(fix.lon) < 1e-3 for fix in fixes)
    whole = Reader()
    assert fixes == whole.feed(data) + whole.finish()


@needs_logs
def test_the_fixes_agree_with_gpsd(report) -> None:
    matched = asked = made = 0
    for log in logs():
        data = log.read_bytes()
        fixes = read_in_chunks(data, random.Random(log.name))
        made += len(fixes)
        if not any(isinstance(told, Position) and told.kind in ("RMC", "GGA") for told in said_in(data)):
            continue  # a binary protocol, or nothing that is checksummed: gpsd's answer rests on something else
        places = positions_of_gpsd(log)
        asked += len(places)
        matched += sum(any(is_near(fix, place) for fix in fixes) for place in places)
    report(
        f"gps-logs: {len(logs())} real receivers, {made} fixes; "
        f"{matched} of gpsd's {asked} matched within {NEAR_DEG} degrees ({100 * matched / asked:.2f} %)"
    )
    assert matched >= MATCHED_SHARE_MIN * asked


@needs_logs
@pytest.mark.parametrize("name", ["bt451", "gp-320fw-2019-04-07-coldboot", "hemi", "rst39", "sirfstarv", "ublox-8"])
def test_a_log_through_a_real_pseudo_terminal_gives_the_same_fixes(name: str) -> None:
    assert LOGS is not None
    data = (LOGS / f"{name}.log").read_bytes()
    whole = Reader()
    expected = whole.feed(data) + whole.finish()

    terminal = PseudoTerminal()
    opened, stop = threading.Event(), threading.Event()

    def send() -> None:
        opened.wait(10)
        for start in range(0, len(data), 512):
            terminal.write(data[start : start + 512], stop)
        stop.wait(0.5)  # the last bytes are lost with the line, as with a real cable
        terminal.close()

    sender = threading.Thread(target=send)
    sender.start()
    read: list[Fix] = []
    for reading in Receiver(ReceiverSettings(port=terminal.path)).readings(stop):
        if isinstance(reading, FixRead):
            read.append(reading.fix)
        elif reading.condition is Condition.OPENED:
            opened.set()
        elif reading.condition is Condition.LOST:
            stop.set()
    sender.join(10)
    # The live reader judges dates as well; here it is the places, speeds and counts that must have come through.
    assert [(fix.lat, fix.lon, fix.speed_mps, fix.hdop) for fix in read] == [
        (fix.lat, fix.lon, fix.speed_mps, fix.hdop) for fix in expected
    ]
