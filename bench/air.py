"""Bytes an hour on the cellular link, TLS and TCP and IP included, for one drive told in three ways.

The terminal's real parts, OwnTracks' JSON once a second, and a tracker's rule (10 s, 50 m, 30 degrees) drive the same way
at the same time, each in a network namespace of its own, to the same real Mosquitto with mutual TLS behind which the
real hub stores and receipts. The kernel counts what goes over each cable. The drive is told faster than it was driven;
every pause in which TCP would have spoken is waited for.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
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
from demo import fleet as made
from demo.fleet import Fleet, Person
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
            fleet, port = _fleet(home, children)
            _measure(home, fleet, port, cables, file, drive)
        finally:
            children.stop()


def _fleet(home: Path, children: Children) -> tuple[Fleet, int]:
    """A hub whose broker can be reached from namespaces, and to which the peers may say their own words."""
    crews = {
        name: Person(staff=f"s-{number}", name=name, role="specialist", skills=(), languages=("eng",))
        for number, name in enumerate((OURS, *PEERS))
    }
    ports = made.chance_ports(len(crews))
    fleet = made.make(home, crews, None, ports, children, say)
    children.stop()
    settings = home / "hub" / "hub.toml"
    head, broker_table, rest = settings.read_text().partition("[broker]\n")
    settings.write_text(head + broker_table + rest.replace('"127.0.0.1"', '"0.0.0.0"', 1))
    children.start(made.hub_process(home))
    hub = children["hub"].pid
    with (home / "hub" / "broker" / "acl").open("a") as acl:
        acl.write("\npattern write owntracks/%u/#\n")
    for task in Path(f"/proc/{hub}/task").iterdir():
        for child in (task / "children").read_text().split():
            os.kill(int(child), signal.SIGHUP)  # the broker reads its access list again
    return fleet, ports["broker"]


def _measure(
    home: Path, fleet: Fleet, port: int, cables: Sequence[Space], file: Path, drive: Journey
) -> None:
    processes = []
    names = (OURS, *PEERS)[: len(cables)]
    for name, cable in zip(names, cables, strict=True):
        station = fleet.station(name)
        identity = home / station.folder / "identity" / "current"
        argv = ["bench.air_terminal", "--journey", str(file), "--home", str(home / station.folder)]
        if name in PEERS:
            argv = ["bench.air_peer", "--journey", str(file), "--identity", str(identity)]
            argv += ["--device", station.device, "--port", str(port), "--every", PEERS[name][1]]
        processes.append(_process(cable.inside([sys.executable, "-m", *argv])))
    try:
        for process in processes:
            assert _line(process) == "ready\n"
        say("Driving")
        time.sleep(1.0)
        before = [cable.carried() for cable in cables]
        for process in processes:
            _poke(process)
        after: dict[str, tuple[Carried, Said]] = {}
        for name, cable, process, was in zip(names, cables, processes, before, strict=True):
            said = msgspec.json.decode(_line(process), type=Said)
            after[name] = cable.carried().since(was), said
            say(f"{name} is there")
        _print(after, len(drive.seconds) / HOUR_S)
    finally:
        for process in processes:
            process.kill()
            process.wait()


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


def _process(argv: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _poke(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


if __name__ == "__main__":
    cli()
