"""Bytes an hour on the cellular link, TLS and TCP and IP included, for one drive told in three ways.

The terminal's real parts, OwnTracks' JSON once a second, and a tracker's rule (10 s, 50 m, 30 degrees) drive the same way
at the same time, each in a network namespace of its own, to the same real Mosquitto with mutual TLS behind which the
real hub stores and receipts. The kernel counts what goes over each cable. The drive is told faster than it was driven;
every pause in which TCP would have spoken is waited for.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from bench.figures import say
from bench.journey import Journey, journey, streets_in
from bench.namespaces import Carried, Space, spaces
from bench.reachable import Agency, open_agency
from bench.talk import ended, line, poke, started
from demo.processes import Children
from firmware_bridge.scenarios import SCENARIOS

PEERS = {"CARE-2": ("OwnTracks JSON, 1 Hz", "second"), "CARE-3": ("JSON by 10 s / 50 m / 30 degrees", "rule")}
OURS = "CARE-1"
HOUR_S = 3600.0


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says at its end."""

    errors: list[float]
    messages: int = 0
    payload_bytes: int = 0
    live: list[int] = []
    log: list[int] = []
    presence: list[int] = []
    unsent: int = 0


@click.command()
@click.option("--minutes", default=75, show_default=True)
@click.option("--seed", default="1", show_default=True)
@click.option("--scenario", type=click.Choice(sorted(SCENARIOS)), default="open", show_default=True)
@click.option("--alone", is_flag=True, help="Only the terminal, without the peers.")
def cli(minutes: int, seed: str, scenario: str, alone: bool) -> None:
    """Print bytes an hour up and down, messages, and how wrong the map was."""
    with tempfile.TemporaryDirectory() as folder, spaces(1 if alone else 3) as cables:
        home = Path(folder)
        say("Drawing a city and driving through it")
        drive = journey(streets_in(home), minutes, seed, scenario)
        file = home / "journey"
        file.write_bytes(msgspec.msgpack.encode(drive))
        click.echo(
            f"A drive of {minutes} min through the drawn city, seed {seed}, {scenario} sky: {drive.way_m / 1000:.1f} km,"
            f" moving for {drive.moving_s / 60:.0f} min"
        )
        children = Children(say)
        try:
            _measure(open_agency(home, children, (OURS, *PEERS)), cables, file, drive)
        finally:
            children.stop()


def _measure(agency: Agency, cables: Sequence[Space], file: Path, drive: Journey) -> None:
    processes = []
    names = (OURS, *PEERS)[: len(cables)]
    for name, cable in zip(names, cables, strict=True):
        argv = ["bench.air_terminal", "--journey", str(file), "--home", str(agency.home_of(name))]
        if name in PEERS:
            argv = ["bench.air_peer", "--journey", str(file), "--identity", str(agency.identity(name))]
            argv += ["--device", agency.device(name), "--port", str(agency.broker_port), "--every", PEERS[name][1]]
        processes.append(started(cable.inside([sys.executable, "-m", *argv])))
    try:
        for process in processes:
            assert line(process) == "ready\n"
        say("Driving")
        time.sleep(1.0)
        before = [cable.carried() for cable in cables]
        for process in processes:
            poke(process)
        after: dict[str, tuple[Carried, Said]] = {}
        for name, cable, process, was in zip(names, cables, processes, before, strict=True):
            said = msgspec.json.decode(line(process), type=Said)
            after[name] = cable.carried().since(was), said
            say(f"{name} is there")
        _print(after, len(drive.seconds) / HOUR_S)
    finally:
        for process in processes:
            ended(process)


def _print(after: dict[str, tuple[Carried, Said]], hours: float) -> None:
    ours, said = after[OURS]
    click.echo(f"{'per hour of driving':42} {'up kB':>8} {'down kB':>8} {'both kB':>8} {'packets':>8} {'messages':>8}")
    for name, (went, its) in after.items():
        title = PEERS[name][0] if name in PEERS else "Tandem, live and the whole 1 Hz track"
        messages = its.messages or len(its.live) + len(its.log)
        click.echo(
            f"{title:42} {went.up_bytes / 1000 / hours:8.1f} {went.down_bytes / 1000 / hours:8.1f}"
            f" {went.both_bytes / 1000 / hours:8.1f} {(went.up_packets + went.down_packets) / hours:8.0f}"
            f" {messages / hours:8.0f}"
        )
    for name, (went, its) in after.items():
        ordered = sorted(its.errors)
        title = PEERS[name][0] if name in PEERS else "Tandem"
        how = "moved on by speed and heading" if name == OURS else "as last told"
        click.echo(
            f"{title:42} map wrong by p50 {statistics.median(ordered):.1f} m, p95"
            f" {ordered[round(0.95 * (len(ordered) - 1))]:.1f} m, max {ordered[-1]:.1f} m ({how})"
        )
        if name in PEERS:
            click.echo(f"{'':42} Tandem needs 1/{went.both_bytes / ours.both_bytes:.1f} of its bytes")
    click.echo(
        f"Tandem: {len(said.live)} live of {_mean(said.live):.0f} B, {len(said.log)} records of {_mean(said.log):.0f} B,"
        f" {len(said.presence)} births, {said.unsent} still owed"
    )


def _mean(sizes: list[int]) -> float:
    return statistics.fmean(sizes) if sizes else 0.0


if __name__ == "__main__":
    cli()
