"""Nothing is lost, by simulation: seeds of everything that can go wrong, an auditor that shares no code, and bugs put in
on purpose to see that it would notice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from random import SystemRandom

import pytest
import structlog

from tests.seams.simulate import RECORDS as WHOLE
from tests.seams.simulate import Asked, Bench, silence, summary, told
from tests.seams.simulation.faults import ALL, Fault
from tests.seams.simulation.plants import PLANTS
from tests.seams.simulation.world import Outcome

SEEDS = range(1, 4)
RECORDS = 1000  # with the rest about a minute of one core; `make proof-simulation` goes on to a million
UNCHOSEN = 1  # seeds that nobody chose, printed when they fail
PLANT_RECORDS = 400
PLANT_SEEDS = 8  # a planted bug needs its fault to strike at the right moment
# The seeds before take long or strike in vain.
STRIKES_FIRST = {"thinned after it was sent": 8, "cloned card": 2, "card restored from an image": 2}
SLOW_PLANTS = {"an old position told for ever"}  # the fleet has to be watched for an hour after
HASTE = 4.0

Report = Callable[[object], None]

# What once failed: the records and faults with which it did, so that it is seen again should it come back.
FAILED = {
    "a record and its PUBACK eaten on a living connection": (1, 600, (Fault.LOST, Fault.PUBACK_LOST)),
    "records let go when a clock of 1970 was set": (1, 600, (Fault.CLOCK_SET, Fault.LINK_CUT)),
    "a restored hub's word never held for one unreadable status": (
        2,
        1200,
        (Fault.POISON, Fault.RESTORED, Fault.LINK_CUT),
    ),
    "an order for ever unanswered because the disk spoiled the answer": (
        3,
        200,
        (Fault.BIT_ROT, Fault.RESEND, Fault.LINK_CUT),
    ),
    "a lie seen in what was held before a restore": (2, 150, (Fault.RESTORED, Fault.RESEND)),
    "everything said again never went on after one answer was eaten": (2, 200, (Fault.RESEND, Fault.PUBACK_LOST)),
}

# What failed so seldom that it needs a whole seed: found by `make proof-simulation`, and lived through again there.
FAILED_SELDOM = {
    "a restored hub waited for what a full disk let go of between the birth and its answer": 3_000_159,
    "a restored hub took a birth of the lost days, said again, for that of a second board": 3_000_162,
}

STRIKES = {  # the faults in whose company a planted bug does harm
    "lower receipt of the same epoch believed": {Fault.REPLAYED, Fault.REORDERED, Fault.DOUBLED},
    "let go after a minute": {Fault.LINK_CUT},
    "restored without a higher epoch": {Fault.RESTORED, Fault.LINK_CUT},
    "number taken outside the transaction": {Fault.TORN_COMMIT},
    "number n + 2 accepted": {Fault.LOST, Fault.REORDERED},
    "receipt before commit": {Fault.HUB_BEFORE_COMMIT, Fault.HUB_DATABASE},
    "resent from the wrong place": {Fault.LOST, Fault.LINK_CUT},
    "saved although the disk is full": {Fault.DISK_FULL},
    "fixes dropped and not counted": {Fault.DISK_FULL, Fault.LINK_CUT},
    "thinned after it was sent": {Fault.DISK_FULL, Fault.LINK_CUT, Fault.LOST},
    "damaged record sent for ever": {Fault.BIT_ROT, Fault.LINK_CUT},
    "copies let go for an order": {Fault.RESEND},
    "an old position told for ever": {Fault.LINK_CUT},
    "disk that lies about syncing": {Fault.POWER_CUT, Fault.TORN_COMMIT},
}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    before = structlog.get_config()
    silence()
    bench = Bench()
    yield bench
    bench.close()
    structlog.configure(**before)


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return []


@pytest.mark.xdist_group("seeds")  # one worker sums them up
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_whatever_happens(bench: Bench, outcomes: list[Outcome], seed: int, report: Report) -> None:
    outcomes.append(lived(bench, seed))
    if len(outcomes) == len(SEEDS):
        report(summary(outcomes))


def test_nor_with_seeds_that_nobody_chose(bench: Bench) -> None:
    for _ in range(UNCHOSEN):
        lived(bench, SystemRandom().randrange(2**32))


@pytest.mark.parametrize("name", FAILED)
def test_what_once_failed_does_not_fail_again(bench: Bench, name: str) -> None:
    seed, records, faults = FAILED[name]
    outcome = bench.live(Asked(records=records, faults=faults, plant=None, haste=HASTE), seed)
    assert not outcome.findings, told(outcome)


@pytest.mark.proof
@pytest.mark.parametrize("name", FAILED_SELDOM)
def test_what_failed_once_in_hundreds_of_seeds_does_not_fail_again(bench: Bench, name: str) -> None:
    asked = Asked(records=WHOLE, faults=tuple(sorted(ALL)), plant=None, haste=1.0)
    outcome = bench.live(asked, FAILED_SELDOM[name])
    assert not outcome.findings, told(outcome)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.proof if name in SLOW_PLANTS else ()) for name in PLANTS]
)
def test_the_auditor_catches(bench: Bench, name: str, report: Report) -> None:
    faults = tuple(sorted(STRIKES.get(name, ALL)))
    asked = Asked(records=PLANT_RECORDS, faults=faults, plant=name, haste=HASTE)
    records = 0
    first = STRIKES_FIRST.get(name, 1)
    for seed in range(first, first + PLANT_SEEDS):
        outcome = bench.live(asked, seed)
        records += outcome.records
        if outcome.findings:
            report(f"planted: {name}: caught after {records} records: {outcome.findings[0]}")
            return
    pytest.fail(f"{name} went unnoticed in {records} records")


def test_a_seed_replays_exactly_in_another_process(bench: Bench) -> None:
    seed, records = 5, 300
    here = bench.live(Asked(records=records, faults=tuple(sorted(ALL)), plant=None, haste=1.0), seed)
    there = subprocess.run(
        [sys.executable, "-m", "tests.seams.simulate", "--seed", str(seed), "--records", str(records), "--verbose"],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert there.returncode == 0, there.stdout + there.stderr
    assert told(here) in there.stdout


def test_several_processes_live_through_the_seeds_that_one_does(bench: Bench) -> None:
    asked = Asked(records=100, faults=tuple(sorted(ALL)), plant=None, haste=1.0)
    here = [told(bench.live(asked, seed)) for seed in (1, 2)]
    words = ["--first", "1", "--total", "200", "--records", "100", "--workers", "2", "--verbose"]
    there = subprocess.run(
        [sys.executable, "-m", "tests.seams.simulate", *words], capture_output=True, text=True, timeout=300
    )
    assert there.returncode == 0, there.stdout + there.stderr
    assert [line for line in here if line in there.stdout] == here


def lived(bench: Bench, seed: int) -> Outcome:
    outcome = bench.live(Asked(records=RECORDS, faults=tuple(sorted(ALL)), plant=None, haste=1.0), seed)
    assert not outcome.findings, told(outcome)
    return outcome
