"""F16: a thousand terminals come back at once, after the broker was killed, with the clients of `bench.storm`.

They speak as a terminal's link and uplink do, each with a certificate of its own, and keep their records in memory: what
is judged is the hub and its broker, and whether every record is held once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from random import Random

from msgspec import Struct

from bench import agency as made
from bench import trails
from bench.agency import Agency
from bench.fleet_of_clients import Fleet, Terminal, until
from bench.processes import children, hub, resident_mb
from tests.soak.ground import Ground
from tests.soak.report import Outcome, Row
from wire.fix import Fix
from wire.records import Kind

BACK_S_MAX = 90.0
WAIT_S_MAX = 300.0  # so that one that is too slow is told with its number
EACH = 6  # records that each writes while the broker is away: an hour of it would be sixty
CALM_S = 5.0
LIVE_S = 10.0
SAMPLE_S = 1.0
GROWS_MB_MAX = 8.0


class _Storm(Struct, frozen=True, kw_only=True):
    """How one went: seconds until nobody owed anything, and what hub and broker grew by after it."""

    took_s: float
    hub_mb: float
    broker_mb: float
    grown_mb: dict[str, float]
    failed: tuple[str, ...]


def returning(ground: Ground) -> Outcome:
    """All are thrown out in one moment: once they return as the hub spreads them, once all in the same second."""
    terminals, after_s = ground.often(quick=100, full=1000), ground.long(quick_s=20, full_s=1800)
    findings: list[str] = []
    told: list[str] = []
    lost = twice = 0
    worst_s = 0.0
    for name, is_spread in (("spread by the hub", True), ("in the same second", False)):
        agency = made.make(ground.folder(f"agency-{'spread' if is_spread else 'at-once'}"), terminals)
        with hub(agency) as pid:
            storm, fleet = asyncio.run(_storm(agency, pid, ground.chance(name), is_spread=is_spread, after_s=after_s))
        missing, doubled = _reckoned(agency, fleet)
        lost, twice, worst_s = lost + missing, twice + doubled, max(worst_s, storm.took_s)
        told.append(
            f"{name}: {storm.took_s:.0f} s, hub {storm.hub_mb:.0f} MB ({storm.grown_mb['hub']:+.1f} in the "
            f"{after_s:.0f} s after), broker {storm.broker_mb:.0f} MB ({storm.grown_mb['broker']:+.1f})"
        )
        if storm.took_s > BACK_S_MAX:
            findings.append(f"h: {name} all were back with nothing owed after {storm.took_s:.0f} s")
        findings += [
            f"g: {name} the {who} grew by {mb:.1f} MB after everybody was back"
            for who, mb in storm.grown_mb.items()
            if mb > GROWS_MB_MAX
        ]
        findings += storm.failed
    return Outcome(
        repetitions=2 * terminals,
        lost=lost,
        duplicated=twice,
        recovery_s_max=worst_s,
        also=f"{EACH} records each; {'; '.join(told)}",
        findings=tuple(findings),
    )


async def _storm(
    agency: Agency, pid: int, chance: Random, *, is_spread: bool, after_s: float
) -> tuple[_Storm, Sequence[Terminal]]:
    fleet = Fleet(agency, is_spread=is_spread, seed=chance.randrange(2**32))
    fleet.start()
    if not await until(lambda: _is_back(fleet), WAIT_S_MAX):
        raise TimeoutError(f"only {fleet.back} terminals ever connected, and {fleet.owed} records were owed")
    positions = asyncio.create_task(_say_where(fleet, chance))
    await asyncio.sleep(CALM_S)
    (broker,) = children(pid)
    began_s = time.monotonic()
    os.kill(broker, signal.SIGKILL)
    body = trails.drive(60)
    for terminal in fleet.terminals:
        for _ in range(EACH):
            terminal.add(terminal.trail, Kind.TRAIL, body)
    await asyncio.sleep(1.0)  # by then everybody knows that the connection has ended
    is_done = await until(lambda: _is_back(fleet), WAIT_S_MAX)
    took_s = time.monotonic() - began_s if is_done else float("inf")
    (broker,) = children(pid)
    samples: list[tuple[float, float]] = []
    ends_s = time.monotonic() + after_s
    while time.monotonic() < ends_s:
        samples.append((resident_mb(pid), resident_mb(broker)))
        await asyncio.sleep(SAMPLE_S)
    positions.cancel()
    await until(lambda: not fleet.owed, WAIT_S_MAX)
    await fleet.stop()
    hub_mb, broker_mb = [mb for mb, _ in samples], [mb for _, mb in samples]
    return (
        _Storm(
            took_s=took_s,
            hub_mb=max(hub_mb),
            broker_mb=max(broker_mb),
            grown_mb={"hub": _growth(hub_mb), "broker": _growth(broker_mb)},
            failed=tuple(f"a client failed: {why}" for why in fleet.failed()),
        ),
        fleet.terminals,
    )


def _is_back(fleet: Fleet) -> bool:
    return fleet.back == len(fleet.terminals) and not fleet.owed


def _growth(samples: Sequence[float]) -> float:
    """What the second half has at most more than the first."""
    half = len(samples) // 2
    return max(samples[half:]) - max(samples[:half])


async def _say_where(fleet: Fleet, chance: Random) -> None:
    """A position of each terminal every ten seconds, one after the other."""
    while True:
        for terminal in fleet.terminals:
            terminal.say_where(Fix(lat=41.0 + chance.random() / 10, lon=-83.0 - chance.random() / 10, speed_mps=12.0))
            await asyncio.sleep(LIVE_S / len(fleet.terminals))


def _reckoned(agency: Agency, terminals: Sequence[Terminal]) -> tuple[int, int]:
    """How many records of the terminals the hub does not hold byte for byte, and how many it holds beside or twice."""
    with closing(sqlite3.connect(f"file:{agency.home / 'hub.db'}?mode=ro", uri=True)) as store:
        rows = store.execute("select device, log_id, seq, data from record").fetchall()
    held = {(device, bytes(log_id), seq): bytes(data) for device, log_id, seq, data in rows}
    written = {
        (terminal.identity.device, log.log_id, number): data
        for terminal in terminals
        for log in (terminal.ledger, terminal.trail)
        for number, data in enumerate(log.records, 1)
    }
    missing = sum(held.get(key) != data for key, data in written.items())
    return missing, len(rows) - len(held) + len(held.keys() - written.keys())


ROWS = (Row("F16", "1,000 terminals return at once", returning),)
