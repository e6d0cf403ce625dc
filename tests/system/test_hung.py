"""A part that dies or hangs, a process that is stopped or runs out of memory (F24, F25): started again, and nothing lost."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError

import pytest

from tests.system import watchdog
from tests.system.edge_site import ROOT, latest, run_command, until
from tests.system.test_edge_link import Site, ledger_of
from tests.system.watchdog import Cage, Watched

pytestmark = pytest.mark.system

RESTART_S_MAX = 30.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def broken(site: Site, part: str, how: str) -> tuple[subprocess.Popen[str], Path]:
    """The terminal, running, whose `part` breaks when the file appears."""
    file = site.terminal.home / "break"
    command = [sys.executable, "-m", "tests.system.failpoint", part, how, str(file)]
    child = subprocess.Popen(
        [*command, "run", "--home", str(site.terminal.home)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    site.terminal.child = child
    return child, file


@pytest.mark.parametrize(
    ("part", "how"),
    [
        pytest.param("uplink", "hang", marks=pytest.mark.proof),
        pytest.param("downlink", "hang", marks=pytest.mark.proof),
        pytest.param("live", "hang", marks=pytest.mark.proof),
        ("emergency", "hang"),
        pytest.param("clock", "hang", marks=pytest.mark.proof),
        ("uplink", "raise"),
        ("network", "raise"),
    ],
)
def test_a_part_that_dies_or_hangs_ends_the_terminal_within_half_a_minute(
    site: Site, part: str, how: str, report: Callable[[object], None]
) -> None:
    site.broker.start()
    hub = site.open_hub()
    hub.say_here(True)
    child, file = broken(site, part, how)
    until("a birth", lambda: latest(hub.births))
    site.say_roster()
    until("its answer", lambda: any(hub.records.values()))
    file.touch()
    began_s = time.monotonic()
    site.say_roster()
    _, said = child.communicate(timeout=60)
    took_s = time.monotonic() - began_s
    report(f"{part}, {how}: ended after {took_s:.1f} s")
    assert child.returncode == 1
    (last,) = [line for line in said.splitlines() if line.startswith("The terminal ends because")]
    assert part in ("network", "live") or f"'{part}'" in last, last  # whoever waits for a lock of `live` may be named
    assert took_s <= RESTART_S_MAX


def watched(site: Site, watchdog_s: float, cage: Cage | None = None) -> Watched:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return Watched(run_command(site.terminal.home), site.terminal.home / "log", watchdog_s, environment, cage)


def owing(site: Site) -> None:
    """One record that the hub has not taken."""
    hub = site.hub
    assert hub is not None
    until("a birth", lambda: latest(hub.births))
    site.say_roster()
    until("something unsent", lambda: site.terminal.link()["unsent"] == 1)


def test_a_process_that_is_stopped_is_started_again_and_still_owes_what_it_owed(site: Site) -> None:
    site.broker.start()
    hub = site.open_hub()
    hub.is_deaf = True
    hub.say_here(True)
    terminal = watched(site, watchdog_s=12.0)
    try:
        terminal.wait_start(1)
        owing(site)
        os.kill(terminal.pid, signal.SIGSTOP)
        began_s = time.monotonic()
        terminal.wait_start(2)
        assert terminal.bites == 1
        assert time.monotonic() - began_s <= RESTART_S_MAX
        arrives_once(site)
    finally:
        terminal.stop()


@pytest.mark.skipif(watchdog.why_no_cage() is not None, reason=str(watchdog.why_no_cage()))
def test_a_process_that_runs_out_of_memory_is_started_again_and_still_owes_what_it_owed(site: Site) -> None:
    site.broker.start()
    hub = site.open_hub()
    hub.is_deaf = True
    hub.say_here(True)
    cage = Cage(f"tandem-{secrets.token_hex(4)}")
    terminal = watched(site, 60.0, cage)
    try:
        terminal.wait_start(1)
        owing(site)
        cage.squeeze(256 << 10)
        end_s = time.monotonic() + 60
        while terminal.starts < 2 and time.monotonic() < end_s:
            with suppress(URLError, OSError):
                site.terminal.state()  # work, which takes memory
        terminal.wait_start(2)
        assert terminal.bites == 0
        arrives_once(site)
    finally:
        terminal.stop()
        cage.close()


def arrives_once(site: Site) -> None:
    hub = site.hub
    assert hub is not None
    assert site.terminal.link()["unsent"] == 1
    hub.is_deaf = False
    birth = until("a birth", lambda: latest(hub.births), 60)
    until("what was owed", lambda: len(ledger_of(hub, birth)) == 1)
    until("nothing unsent", lambda: site.terminal.link()["unsent"] == 0)
    assert [record.seq for record in ledger_of(hub, birth)] == [1]
