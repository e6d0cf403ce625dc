"""What a process costs, read from /proc: seconds of CPU, megabytes resident; and the hub as one."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.agency import PROGRAM, Agency

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU seconds of `pid` so far, all its threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Megabytes of `pid` in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def children(pid: int) -> list[int]:
    """The processes that `pid` has started and that live."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for one in found for child in one.read_text().split()]


def descendants(pid: int) -> list[int]:
    """Those, theirs, and so on."""
    found = children(pid)
    return found + [further for child in found for further in descendants(child)]


@contextmanager
def hub(agency: Agency) -> Iterator[int]:
    """`tandem-hub serve` as a process with its own broker; its process id."""
    with (agency.home.parent / "hub.log").open("a") as log:
        serving = subprocess.Popen(
            [*PROGRAM, "serve", "--home", str(agency.home)], stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert serving.stdout is not None
    try:
        if not serving.stdout.readline().startswith("ready "):
            raise RuntimeError((agency.home.parent / "hub.log").read_text()[-2000:])
        yield serving.pid
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.wait(20)
        serving.stdout.close()
