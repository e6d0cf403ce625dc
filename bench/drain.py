"""How fast a terminal gets rid of what it owes, and what the map notices of it.

Real hub, real broker with mutual TLS, the terminal's real parts as a process. `ratio`: beside bare paho that publishes the
same bytes at QoS 1 to the same broker, its end being the broker's acknowledgement, ours the hub's receipt after its
commit; rounds in shuffled order. `shift`: twelve hours of positions and forty notes on loopback and at 64 kbit/s.
`storm`: the same at 64 kbit/s with loss, with positions told and emergencies raised meanwhile.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from bench import processes
from bench.figures import print_ms, say
from bench.namespaces import Space, spaces
from bench.reachable import Agency, open_agency
from bench.talk import ended, line, poke, started
from demo.processes import Children
from demo.story import sign_in
from demo.web import Browser

OURS, PEER = "CARE-1", "CARE-2"
SHIFT_RECORDS, SHIFT_NOTES = 144, 40  # 8,640 positions, sixty to a record
STORM_RECORDS = 4 * SHIFT_RECORDS  # so that it lasts
SLOW_KBIT = 64
LOSS_PERCENT = 30
PARTS = ("ratio", "shift", "storm")


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--rounds", default=7, show_default=True, help="Of the ratio.")
@click.option("--records", default=2000, show_default=True, help="To a round of the ratio.")
@click.option("--seconds", default=300.0, show_default=True, help="How long the storm lasts at most.")
def cli(parts: Sequence[str], rounds: int, records: int, seconds: float) -> None:
    """Print how long a backlog takes, beside bare paho, and what the map notices of it."""
    with tempfile.TemporaryDirectory() as folder:
        children = Children(say)
        try:
            agency = open_agency(Path(folder), children, (OURS, PEER))
            for part in parts or PARTS:
                if part == "ratio":
                    _ratio(agency, children["hub"].pid, rounds, records)
                elif part == "shift":
                    _shift(agency)
                else:
                    _storm(agency, seconds)
        finally:
            children.stop()


def _ratio(agency: Agency, hub: int | None, rounds: int, records: int) -> None:
    assert hub is not None
    ours = _terminal(agency, "ratio", None, 0, 0)
    argv = [sys.executable, "-m", "bench.drain_peer", "--identity", str(agency.identity(PEER))]
    argv += ["--device", agency.device(PEER), "--port", str(agency.broker_port)]
    peer = started(argv)
    try:
        assert line(ours).startswith("ready")
        assert line(peer) == "ready\n"
        took: list[tuple[float, float]] = []
        order = random.Random(1)
        file = agency.home / "same-bytes"
        spent = {"terminal": ours.pid, "hub": hub, "broker": processes.children(hub)[0], "paho": peer.pid}
        cpu_s: dict[str, list[float]] = {name: [] for name in spent}
        for number in range(rounds + 1):
            size = int(_asked(ours, f"fill {records} 0"))
            _asked(ours, f"copy {file}")
            turns = [lambda: _asked(ours, "go"), lambda: _asked(peer, f"go {file}")]
            which = [0, 1] if order.random() < 0.5 else [1, 0]
            seconds: dict[int, float] = {}
            for turn in which:
                before = {name: processes.cpu_s(pid) for name, pid in spent.items()}
                seconds[turn] = float(turns[turn]())
                for name, pid in spent.items():
                    if (turn == 1) == (name == "paho"):
                        cpu_s[name].append(processes.cpu_s(pid) - before[name])
            if number > 0:  # the first warms up
                took.append((seconds[0], seconds[1]))
                say(f"{size / 1000:.0f} kB: {seconds[0]:.2f} s, bare paho {seconds[1]:.2f} s")
        ratios = sorted(theirs / mine for mine, theirs in took)
        rates = [records / mine for mine, _ in took]
        click.echo(
            f"drain to the hub's receipt, {records} records a round: {statistics.median(rates):.0f} records/s,"
            f" {statistics.median(ratios):.2f} of bare paho's speed to the broker"
            f" (min {ratios[0]:.2f}, max {ratios[-1]:.2f}, {rounds} rounds)"
        )
        each = (f"{name} {statistics.median(cpu_s[name][1:]) / records * 1e6:.0f}" for name in spent)
        click.echo(f"    CPU, µs a record: {', '.join(each)}")
    finally:
        ended(ours)
        ended(peer)


def _shift(agency: Agency) -> None:
    click.echo(
        f"a shift of 12 hours, 8,640 positions and {SHIFT_NOTES} notes, from connecting to the hub's last receipt:"
    )
    with spaces(1) as (cable,):
        for title, space in (("loopback", None), (f"{SLOW_KBIT} kbit/s", cable)):
            if space is not None:
                space.slow(SLOW_KBIT)
            terminal = _back(agency, f"shift-{space is None}", space, SHIFT_RECORDS, SHIFT_NOTES)
            try:
                size = int(line(terminal).split()[1])
                took_s = float(_asked(terminal, "go"))
                click.echo(f"    {title:12} {took_s:7.2f} s for {size / 1000:.0f} kB ({size / took_s / 1000:.1f} kB/s)")
            finally:
                ended(terminal)


def _storm(agency: Agency, seconds: float) -> None:
    """Packets lost on their way to the terminal, as in the fault matrix; and then as many again on their way up."""
    console = sign_in(agency.fleet.console, agency.fleet.login("dispatcher"))
    seen: dict[float, float] = {}
    threading.Thread(target=_watch, args=(console, seen), daemon=True).start()
    for number, (where, up_percent) in enumerate((("to the terminal", 0), ("each way", LOSS_PERCENT))):
        with spaces(1, number + 1) as (cable,):  # the one before takes its time to go, and so do its addresses
            _through(agency, cable, number, where, up_percent, seconds, seen)


def _through(
    agency: Agency, cable: Space, number: int, where: str, up_percent: int, seconds: float, seen: dict[float, float]
) -> None:
    heard = _Heard(agency.home / "hub")
    seen.clear()  # the same way is driven each time
    terminal = _back(agency, f"storm-{number}", cable, STORM_RECORDS, SHIFT_NOTES)
    try:
        size = int(line(terminal).split()[1])
        cable.slow(SLOW_KBIT)
        cable.lose(LOSS_PERCENT, up_percent)
        before = cable.carried()
        threading.Thread(target=heard.run, daemon=True).start()
        told = msgspec.json.decode(_asked(terminal, f"live {seconds}"), type=_Told)
        end_s = time.monotonic()
        went = cable.carried().since(before)
        cable.heal()
        time.sleep(5.0)
        heard.stop()
    finally:
        ended(terminal)
    drained = f"in {told.drained_s:.0f} s" if told.drained_s else f"not in {seconds:.0f} s"
    click.echo(
        f"{SLOW_KBIT} kbit/s, {LOSS_PERCENT} % of the packets lost {where}: backlog of {size / 1000:.0f} kB drained"
        f" {drained}, {went.up_bytes / 1000:.0f} kB up"
    )
    print_ms(
        "  position offered -> on the map", [(seen[lat] - at_s) * 1000 for lat, at_s in told.places if lat in seen]
    )
    print_ms("  age of the newest position on the map", _ages_ms(told.places, seen, end_s))
    print_ms("  emergency pressed -> stored at the hub", heard.after_ms([at_s for _, at_s in told.presses]))


def _ages_ms(places: Sequence[tuple[float, float]], seen: dict[float, float], end_s: float) -> list[float]:
    """Every half second, how old the newest position is that the map has."""
    arrivals = sorted((seen[lat], at_s) for lat, at_s in places if lat in seen)
    ages: list[float] = []
    if not arrivals:
        return ages
    at_s, newest_s, next_one = arrivals[0][0], arrivals[0][1], 0
    while at_s < end_s:
        while next_one < len(arrivals) and arrivals[next_one][0] <= at_s:
            newest_s = max(newest_s, arrivals[next_one][1])
            next_one += 1
        ages.append((at_s - newest_s) * 1000)
        at_s += 0.5
    return ages


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    places: list[tuple[float, float]]
    drained_s: float | None
    presses: list[tuple[str, float]]


class _Heard:
    """When the hub's database had how many emergencies. Reads only, beside the hub."""

    def __init__(self, home: Path) -> None:
        self._file = home / "hub.db"
        self._at: list[float] = []
        self._stopping = threading.Event()

    def run(self) -> None:
        """Look until `stop`."""
        database = sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)
        began: int = database.execute("select count(*) from press").fetchone()[0]
        while not self._stopping.wait(0.02):
            count: int = database.execute("select count(*) from press").fetchone()[0] - began
            self._at += [time.monotonic()] * (count - len(self._at))

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    def after_ms(self, pressed: Sequence[float]) -> list[float]:
        """How long after each press the hub had as many."""
        return [(at_s - pressed_s) * 1000 for pressed_s, at_s in zip(pressed, self._at, strict=False)]


def _watch(console: Browser, seen: dict[float, float]) -> None:
    for name, data in console.events("/api/v1/events"):
        now_s = time.monotonic()
        if name == "positions":
            for row in data["positions"]:
                if row.get("lat") is not None:
                    seen.setdefault(round(row["lat"], 6), now_s)


def _back(agency: Agency, name: str, space: Space | None, records: int, notes: int) -> subprocess.Popen[str]:
    """One that has met the hub before, went away and owes all this since: what it answers to its first settings is not
    part of a backlog, and being the newest of its ledger would hurry all that stands before it."""
    met = _terminal(agency, name, None, 0, 0)
    try:
        assert line(met).startswith("ready")
    finally:
        ended(met)
    return _terminal(agency, name, space, records, notes)


def _terminal(agency: Agency, name: str, space: Space | None, records: int, notes: int) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "bench.drain_terminal", "--home", str(agency.home_of(OURS)), "--name", name]
    argv += ["--records", str(records), "--notes", str(notes)]
    return started(argv if space is None else space.inside(argv))


def _asked(process: subprocess.Popen[str], word: str) -> str:
    poke(process, word)
    return line(process)


if __name__ == "__main__":
    cli()
