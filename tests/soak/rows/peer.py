"""Beside F01 and F02: ThingsBoard Gateway's SQLite storage in the same loops, with the settings it ships.

Accepted is what its `put` said yes to, which is what its connectors go by; found is what its own reader gives after the
last end. Its losses are its own line and nobody's fault here: they count neither as ours nor into the totals.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random

from msgspec import Struct

from tests.soak import images
from tests.soak.ground import Ground, life_s
from tests.soak.machine import ROOT
from tests.soak.report import NotRun, Outcome, Row

PYTHON = ROOT / "var" / "tools" / "thingsboard" / "bin" / "python"
PROGRAM = Path(__file__).parents[1] / "peer_program.py"
NUMBERS_A_LIFE = 100_000  # more than a life can write: no number is ever given twice by us


class Writer(Struct, frozen=True, kw_only=True):
    """One storage: its folder, what was accepted, and the file on its disk that tells whether there is power."""

    folder: Path
    noted: Path
    guard: Path

    def start(self, life: int) -> subprocess.Popen[str]:
        """Write from a number that no life before used; returns when it is up."""
        first = str(life * NUMBERS_A_LIFE)
        process = subprocess.Popen(
            [PYTHON, PROGRAM, "write", self.folder, self.noted, first, self.guard],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        return process


def killed(ground: Ground) -> Outcome:
    """SIGKILL at random moments of its writing."""
    _must_be_here()
    count, kills = ground.often(quick=4, full=8), ground.often(quick=20, full=1000)
    writers = [_writer(ground, n, ground.folder(f"peer-{n}")) for n in range(count)]

    def die_often(writer: Writer, chance: Random) -> None:
        for life in range(kills // count):
            process = writer.start(life)
            time.sleep(life_s(chance))
            process.kill()
            process.wait()

    _all_at_once(
        [threading.Thread(target=die_often, args=(w, ground.chance(f"peer {n}"))) for n, w in enumerate(writers)]
    )
    return _counted(writers, kills)


def powerless(ground: Ground) -> Outcome:
    """Cut the power of the disk on which several of it write."""
    _must_be_here()
    count, cuts = ground.often(quick=4, full=8), ground.often(quick=5, full=125)
    chance = ground.chance("peer cuts")
    with images.open_image(ground, "disk", size_mb=512) as image:
        writers = []
        for number in range(count):
            folder = image.at / f"peer-{number}"
            folder.mkdir()
            writers.append(_writer(ground, number, folder, image.at / images.GUARD_FILE))
        for life in range(cuts):
            processes = [writer.start(life) for writer in writers]
            time.sleep(life_s(chance))
            image.cut_power()
            for process in processes:
                process.kill()
                process.wait()
            image.power_on()
        return _counted(writers, cuts * count)


def _writer(ground: Ground, number: int, folder: Path, guard: Path | None = None) -> Writer:
    noted = ground.scratch / f"accepted-{number}"
    noted.touch()
    guard = guard or ground.scratch / "guard"
    guard.touch()
    return Writer(folder=folder, noted=noted, guard=guard)


def _counted(writers: list[Writer], repetitions: int) -> Outcome:
    lost, doubled, accepted, worst = 0, 0, 0, 0
    for writer in writers:
        # A write that its process did not live to end may have left half a line.
        noted = {int(line) for line in writer.noted.read_text().split("\n")[:-1]}
        said = subprocess.run([PYTHON, PROGRAM, "read", writer.folder], capture_output=True, text=True, timeout=600)
        found = Counter(int(line) for line in said.stdout.split())
        missing = noted - found.keys()
        worst = max(worst, *Counter(number // NUMBERS_A_LIFE for number in missing).values(), 0)
        lost += len(missing)
        accepted += len(noted)
        doubled += sum(count - 1 for count in found.values())
    return Outcome(
        repetitions=repetitions,
        lost=lost,
        duplicated=doubled,
        recovery_s_max=None,
        also=f"of {accepted:,} that it accepted, at most {worst:,} by one end (WAL, synchronous NORMAL)",
    )


def _all_at_once(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _must_be_here() -> None:
    if not PYTHON.exists():
        raise NotRun("its own environment is not made: `make soak` makes it in var/tools")


ROWS = (
    Row("F01p", "  beside it: ThingsBoard Gateway's SQLite storage, killed", killed, is_peer=True),
    Row("F02p", "  beside it: ThingsBoard Gateway's SQLite storage, cut", powerless, is_peer=True),
)
