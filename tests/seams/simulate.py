"""Live through seeds by hand: `python -m tests.seams.simulate --seed 7 --records 3000 --faults lost,killed`.

Without `--seed` as many seeds are lived through as it takes to reach `--total` records, beginning at `--first`.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import structlog
from msgspec import Struct

from tests.seams.simulation.agency import Agency
from tests.seams.simulation.faults import ALL, Fault
from tests.seams.simulation.plants import HONEST, PLANTS
from tests.seams.simulation.world import Outcome, run

SAID_EVERY = 25  # seeds
RECORDS = 2000  # of one seed: enough for many faults to strike, few enough to replay in seconds
MEMORY = Path("/dev/shm")


class Asked(Struct, frozen=True, kw_only=True):
    """What every seed of this call has in common; `plant` is a name of PLANTS, for it goes to other processes."""

    records: int
    faults: tuple[Fault, ...]
    plant: str | None
    haste: float


class Bench:
    """An agency in a folder of its own, and seeds lived through one after another."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(dir=memory())
        self._home = Path(self._folder.name)
        (self._home / "agency").mkdir()
        self._agency = Agency(self._home / "agency")

    def live(self, asked: Asked, seed: int) -> Outcome:
        """One seed."""
        plant = HONEST if asked.plant is None else PLANTS[asked.plant]
        return run(self._agency, self._home / "run", seed, asked.records, asked.faults, plant, haste=asked.haste)

    def close(self) -> None:
        """Everything is removed."""
        self._folder.cleanup()


def main(arguments: list[str]) -> int:
    """0 when nothing was found."""
    options = _options(arguments)
    silence()
    asked = Asked(
        records=options.records,
        faults=tuple(Fault(name) for name in options.faults.split(",")) if options.faults else tuple(sorted(ALL)),
        plant=options.plant,
        haste=options.haste,
    )
    count = 1 if options.seed is not None else -(-options.total // options.records)
    first = options.first if options.seed is None else options.seed
    began_s = time.monotonic()
    outcomes: list[Outcome] = []
    for outcome in _lived(asked, range(first, first + count), options.workers):
        outcomes.append(outcome)
        if options.verbose or outcome.findings:
            print(told(outcome), flush=True)
        if len(outcomes) % SAID_EVERY == 0:  # a run that is broken off has told how far it came
            print(f"{sum(one.records for one in outcomes):,} records, through seed {outcome.seed}", file=sys.stderr)
        if outcome.findings:
            break
    print(f"{summary(outcomes)}; {time.monotonic() - began_s:.0f} s with {options.workers} processes")
    return 1 if outcomes[-1].findings else 0


def _lived(asked: Asked, seeds: range, workers: int) -> Iterator[Outcome]:
    if workers == 1:
        bench = Bench()
        try:
            yield from (bench.live(asked, seed) for seed in seeds)
        finally:
            bench.close()
        return
    with ProcessPoolExecutor(workers, initializer=_begin) as pool:
        try:
            yield from pool.map(partial(_live_here, asked), seeds)
        finally:
            pool.shutdown(cancel_futures=True)


_HERE: list[Bench] = []  # of a worker process


def _begin() -> None:
    silence()
    _HERE.append(Bench())


def _live_here(asked: Asked, seed: int) -> Outcome:
    return _HERE[0].live(asked, seed)


def silence() -> None:
    """The programs' logs would be most of the output."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def memory() -> Path | None:
    """A folder in memory where there is one: power cuts are simulated, so syncing for real would only take time."""
    return MEMORY if MEMORY.is_dir() else None


def told(outcome: Outcome) -> str:
    """A run for people, and how to have it again."""
    lines = [
        f"seed {outcome.seed}: {outcome.records} records, {outcome.terminals} terminals,"
        f" {outcome.simulated_s / 3600:.1f} h simulated, well again after {outcome.healed_s:.0f} s,"
        f" digest {outcome.digest}"
    ]
    lines += [f"  {finding}" for finding in outcome.findings]
    if outcome.findings:
        again = f"  again: python -m tests.seams.simulate --seed {outcome.seed} --records {outcome.asked}"
        if outcome.haste != 1.0:
            again += f" --haste {outcome.haste}"
        if outcome.faults != ALL:
            again += f" --faults '{','.join(sorted(outcome.faults))}'"
        lines.append(again)
    return "\n".join(lines)


def summary(outcomes: list[Outcome]) -> str:
    """One line: records, findings, and how often each fault was provoked."""
    counts: Counter[Fault] = Counter()
    for outcome in outcomes:
        counts.update(outcome.provoked)
    records = sum(outcome.records for outcome in outcomes)
    found = sum(bool(outcome.findings) for outcome in outcomes)
    slowest_s = max(outcome.healed_s for outcome in outcomes)
    provoked = ", ".join(f"{fault} {counts[fault]}" for fault in Fault)
    return (
        f"simulation: {records:,} records saved in {len(outcomes)} seeds, {found} with findings, longest recovery"
        f" {slowest_s:.0f} s; provoked: {provoked}"
    )


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.seams.simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="this one only")
    parser.add_argument("--first", type=int, default=0, help="the first of many")
    parser.add_argument("--records", type=int, default=RECORDS, help="saved in one seed")
    parser.add_argument("--total", type=int, default=RECORDS, help="saved in all seeds")
    parser.add_argument("--faults", help=f"of: {', '.join(sorted(ALL))}")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="a bug to put in on purpose")
    parser.add_argument("--haste", type=float, default=1.0, help="how much more often faults come")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
