"""A thousand terminals after the broker was killed: how long until all are back and nothing is owed, and what it costs.

The hub and its Mosquitto are the real programs; the terminals are the clients of `bench.fleet_of_clients`, each with a
certificate of its own. While the broker is away each writes on. Once they come back as the hub's spread says, once all
at the same second. Afterwards nothing happens but a position of each every ten seconds, and memory is watched.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

import click

from bench import agency as made
from bench import trails
from bench.agency import Agency
from bench.figures import say
from bench.fleet_of_clients import Fleet, spans, until
from bench.processes import children, cpu_s, hub, resident_mb
from hub.presence import RETURNS_PER_S
from wire.fix import Fix
from wire.records import Kind

BACK_S_MAX = 90.0
SETTLE_S = 20.0
LIVE_S = 10.0
SAMPLE_S = 5.0


@click.command()
@click.option("--terminals", default=1000, show_default=True)
@click.option(
    "--records", default=6, show_default=True, help="Trail records that each writes while the broker is away."
)
@click.option("--after", default=120, show_default=True, help="Seconds to watch afterwards.")
def cli(terminals: int, records: int, after: int) -> None:
    """Print seconds until all are back and have nothing owed, CPU and memory of hub and broker."""
    for is_spread in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            say(f"making {terminals} terminals")
            agency = made.make(Path(folder), terminals)
            with hub(agency) as pid:
                asyncio.run(_storm(agency, pid, is_spread, records, after))


async def _storm(agency: Agency, pid: int, is_spread: bool, records: int, after_s: int) -> None:
    click.echo(f"\n{len(agency.terminals)} terminals, {_how(agency, is_spread)}")
    fleet = Fleet(agency, is_spread=is_spread)
    began_s = time.monotonic()
    fleet.start()
    await until(lambda: fleet.back == len(fleet.terminals) and not fleet.owed, 120)
    say(f"first connection: {fleet.back} up and {fleet.owed} records owed after {time.monotonic() - began_s:.0f} s")
    positions = asyncio.create_task(_say_where(fleet))
    await asyncio.sleep(SETTLE_S)
    (broker,) = children(pid)
    before = {"hub": resident_mb(pid), "broker": resident_mb(broker)}
    cpu_before_s = cpu_s(pid)
    cut_s = time.monotonic()
    os.kill(broker, signal.SIGKILL)
    body = trails.drive(60)
    for terminal in fleet.terminals:
        for _ in range(records):
            terminal.add(terminal.trail, Kind.TRAIL, body)
    peaks = {"hub": 0.0, "broker": 0.0}
    watching = asyncio.create_task(_watch(pid, peaks))
    is_done = await until(lambda: fleet.back == len(fleet.terminals) and not fleet.owed, 2 * BACK_S_MAX)
    took_s = time.monotonic() - cut_s
    (broker,) = children(pid)
    back = spans(fleet.terminals, lambda one: one.times.back, cut_s)
    click.echo(
        f"  back        half {_at(back, 0.5)}, last {_at(back, 1.0)} ({len(back)} of {len(fleet.terminals)})\n"
        f"  nothing owed after {took_s:.1f} s: {is_done} ({fleet.owed} records owed, of {records} each and what births ask)\n"
        f"  CPU         hub {cpu_s(pid) - cpu_before_s:.1f} s, broker {cpu_s(broker):.1f} s\n"
        f"  resident    hub {before['hub']:.0f} MB before, at most {peaks['hub']:.0f}; "
        f"broker {before['broker']:.0f} MB before, at most {peaks['broker']:.0f}"
    )
    refusals = [why for terminal in fleet.terminals for why in terminal.refusals]
    click.echo(f"  connections refused or cut while coming back: {len(refusals)}")
    watching.cancel()
    await _afterwards(pid, broker, after_s)
    positions.cancel()
    await fleet.stop()
    if not is_done:
        waiting = Counter(terminal.stands for terminal in fleet.terminals if terminal.owed or not terminal.is_back)
        for stands, count in waiting.most_common(5):
            click.echo(f"  {count} wait: {stands}")
    counted = Counter(refusals)
    if counted:
        click.echo(f"  {', '.join(f'{count} times {why}' for why, count in counted.most_common(5))}")
    for why in fleet.failed():
        click.echo(f"  a client failed: {why}")


async def _afterwards(pid: int, broker: int, after_s: int) -> None:
    cpu_before = cpu_s(pid), cpu_s(broker)
    began_s, samples = time.monotonic(), []
    while time.monotonic() - began_s < after_s:
        samples.append((resident_mb(pid), resident_mb(broker)))
        await asyncio.sleep(SAMPLE_S)
    if len(samples) < 4:
        return
    half = len(samples) // 2
    for name, index, pid_of in (("hub", 0, pid), ("broker", 1, broker)):
        first = max(sample[index] for sample in samples[:half])
        second = max(sample[index] for sample in samples[half:])
        share = (cpu_s(pid_of) - cpu_before[index]) / (time.monotonic() - began_s)
        click.echo(
            f"  the {after_s} s after  {name}: at most {first:.1f} MB in the first half, {second:.1f} in the second "
            f"({second - first:+.1f}), CPU {100 * share:.0f} % of a core"
        )


async def _watch(pid: int, peaks: dict[str, float]) -> None:
    while True:
        peaks["hub"] = max(peaks["hub"], resident_mb(pid))
        for broker in children(pid):
            peaks["broker"] = max(peaks["broker"], resident_mb(broker))
        await asyncio.sleep(0.2)


async def _say_where(fleet: Fleet) -> None:
    """A position of each terminal every ten seconds, one after the other."""
    chance = Random(1)
    while True:
        for terminal in fleet.terminals:
            terminal.say_where(Fix(lat=41.0 + chance.random() / 10, lon=-83.0 - chance.random() / 10, speed_mps=12.0))
            await asyncio.sleep(LIVE_S / len(fleet.terminals))


def _how(agency: Agency, is_spread: bool) -> str:
    spread_s = max(agency.settings.state_spread_s, len(agency.terminals) / RETURNS_PER_S)
    return f"spread over {spread_s:.0f} s, as the hub announces" if is_spread else "all within the same second"


def _at(ordered: list[float], share: float) -> str:
    return f"{ordered[round(share * (len(ordered) - 1))]:.1f} s" if ordered else "never"


if __name__ == "__main__":
    cli()
