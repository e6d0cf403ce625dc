"""Real receivers' bytes, and a few of our own, through the real reader: nothing wrong, and next to nothing missed."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from firmware_bridge.framing import Framer
from firmware_bridge.hold import Hold
from firmware_bridge.main import _json_of
from firmware_bridge.nmea import MPS_PER_KNOT, NoPosition, Position, Rejected, said
from firmware_bridge.reader import Reader
from firmware_bridge.readings import Condition, FixRead
from firmware_bridge.replay import PseudoTerminal
from firmware_bridge.serial_port import Receiver, ReceiverSettings
from wire.distance import nearby_m
from wire.fix import Fix

HERE = Path(__file__).resolve().parent
OWN = HERE / "own"
# The real receivers' logs lie beside the project, in shared/gps-logs; not every machine has them.
LOGS = next((logs for above in HERE.parents if (logs := above / "shared" / "gps-logs").is_dir()), None)
NEAR_DEG = 5e-5
MATCHED_SHARE_MIN = 0.999
SPEEDS_SHARE_MIN = 0.99
GPSD_MPS_DIGIT, GPSD_DEG_DIGIT = 0.001, 0.0001  # gpsd prints no more

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


def answers_of_gpsd(log: Path) -> Iterator[dict[str, object]]:
    """gpsd's answers with a position beside the log; not all of it is UTF-8, and not all of it is JSON."""
    for line in log.with_name(log.name + ".chk").read_bytes().decode("utf-8", "replace").splitlines():
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict) and answer.get("class") == "TPV" and "lat" in answer and "lon" in answer:
            yield answer


def positions_of_gpsd(log: Path) -> list[tuple[float, float]]:
    return [(answer["lat"], answer["lon"]) for answer in answers_of_gpsd(log)]


def rests_on_a_checked_position(data: bytes) -> bool:
    """A log of another kind is a binary protocol, or has no checksums: gpsd's answer rests on something else."""
    return any(isinstance(told, Position) and told.kind in ("RMC", "GGA") for told in said_in(data))


def rmcs_in(data: bytes) -> dict[str, tuple[float | None, float, float | None, float]]:
    """What the RMCs of a log say by time of day: speed and heading, each with half of its last digit."""
    by_time = {}
    for sentence in Framer().feed(data):
        try:
            told = said(sentence)
        except Rejected:
            continue
        if isinstance(told, Position) and told.kind == "RMC" and told.time_ms is not None:
            speed, heading = (field.strip() for field in sentence.split(",")[7:9])
            halves = [0.5 / 10 ** len(field.partition(".")[2]) for field in (speed, heading)]
            by_time[of_day(told.time_ms)] = told.speed_mps, halves[0] * MPS_PER_KNOT, told.heading_deg, halves[1]
    return by_time


def of_day(time_ms: int) -> str:
    minutes, left_ms = divmod(time_ms, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{left_ms // 1000:02}.{left_ms % 1000:03}"


def agrees(key: str, theirs: float, ours: float | None, half: float) -> bool:
    if ours is None:
        return False
    apart = abs(theirs - ours) if key == "speed" else abs((theirs - ours + 180) % 360 - 180)
    return apart <= half


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
        if not rests_on_a_checked_position(data):
            continue
        places = positions_of_gpsd(log)
        asked += len(places)
        matched += sum(any(is_near(fix, place) for fix in fixes) for place in places)
    report(
        f"gps-logs: {len(logs())} real receivers, {made} fixes; "
        f"{matched} of gpsd's {asked} matched within {NEAR_DEG} degrees ({100 * matched / asked:.2f} %)"
    )
    # The one: at first light the receiver of tr737A+ says GGA with quality 0 and RMC with V, and gpsd takes the place
    # nevertheless, because four satellites are named. A receiver that says "no fix" has none.
    assert matched >= MATCHED_SHARE_MIN * asked


@needs_logs
def test_speeds_and_headings_agree_with_gpsd_within_the_sentences_own_rounding(report) -> None:
    """Where gpsd's number is the sentence's at all: it also works some out from places, or keeps the last moment's."""
    seen: Counter[str] = Counter()
    for log in logs():
        data = log.read_bytes()
        if not rests_on_a_checked_position(data):
            continue
        rmcs = rmcs_in(data)
        fixes = {fix.at.strftime("%H:%M:%S.%f")[:12]: fix for fix in read_in_chunks(data, random.Random(1)) if fix.at}
        for answer in answers_of_gpsd(log):
            time = str(answer.get("time", ""))[11:23]
            if time not in rmcs or time not in fixes or not is_near(fixes[time], (answer["lat"], answer["lon"])):
                continue
            speed_mps, half_mps, heading_deg, half_deg = rmcs[time]
            fix = fixes[time]
            for key, said_, ours, half in (
                ("speed", speed_mps, fix.speed_mps, half_mps + GPSD_MPS_DIGIT / 2),
                ("track", heading_deg, fix.heading_deg, half_deg + GPSD_DEG_DIGIT / 2),
            ):
                if key not in answer or said_ is None:
                    continue
                if not agrees(key, answer[key], said_, half):
                    seen[f"own {key}"] += 1
                    continue
                seen[key] += 1
                if agrees(key, answer[key], ours, half):
                    seen[f"matched {key}"] += 1
                else:
                    print(log.name, time, key, answer[key], ours)
    report(
        f"gps-logs: {seen['matched speed']} of gpsd's {seen['speed']} speeds and {seen['matched track']} of its "
        f"{seen['track']} headings matched within the sentence's rounding; {seen['own speed']} speeds and "
        f"{seen['own track']} headings are gpsd's own, from places or from another moment"
    )
    # What is left: a receiver of ten positions and one RMC a second, and the moment after a sentence was cut. There the
    # position does not wait for a speed that may not come, and has the one before.
    assert seen["matched speed"] >= SPEEDS_SHARE_MIN * seen["speed"] > 500
    assert seen["matched track"] >= SPEEDS_SHARE_MIN * seen["track"] > 500


STOOD = ("ais-nmea", "mt3339", "neo-m8n", "nl551e", "nokia-ld-4w", "quectel", "sirfstarv-nmea", "skytraq-dgps",
    "telit-he910", "ublox-8", "ublox-zed-f9p-nmea")  # fmt: skip


@needs_logs
def test_real_receivers_that_stood_do_not_wander_once_held(report) -> None:
    before_m = after_m = 0.0
    count = held = 0
    for name in STOOD:
        hold = Hold()
        fixes = read_in_chunks((LOGS / f"{name}.log").read_bytes(), random.Random(name))
        told = [hold.take(fix, float(second)) for second, fix in enumerate(fixes)]
        count, held = count + len(told), held + sum(fix.is_held for fix in told)
        before_m, after_m = before_m + way_m(fixes), after_m + way_m(told)
    report(
        f"hold: {len(STOOD)} real receivers that stood, {count} fixes: {before_m:.1f} m of way before, {after_m:.1f} m "
        f"after; {held} fixes held"
    )
    assert after_m < 0.05 * before_m


@needs_logs
def test_a_real_receiver_on_the_road_is_held_only_where_it_stands() -> None:
    for name in ("bt451", "nl2008u", "humminbird-M37", "rst39"):
        hold = Hold()
        fixes = read_in_chunks((LOGS / f"{name}.log").read_bytes(), random.Random(name))
        for second, fix in enumerate(fixes):
            told = hold.take(fix, float(second))
            assert told == fix or (told.is_held and fix.speed_mps <= 0.5)


def way_m(fixes: list[Fix]) -> float:
    return sum(nearby_m(a.lat, a.lon, b.lat, b.lon) for a, b in pairwise(fixes))


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
