"""From the last byte of a receiver's RMC sentence to the event at a connected console.

Twenty vehicle terminals, the hub and its broker run as the real programs on this machine; each terminal reads its own
pseudo-terminal. Every second each receiver says a place 30 m from the one before while standing still, so that the hub's
belief is wrong every time and every fix must be sent: the most that twenty units can ask of the path.

Beside it, in the same run: a bare MQTT client that publishes as many bytes at the same moments to a bare subscriber, over
a Mosquitto of their own with the same mutual TLS. What lies between the two figures is ours, and half a tick of it is the console's.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

import click

from bench.bare_pair import Pair
from bench.figures import print_ms, say
from bench.receiver import Receiver
from demo import fleet as made
from demo.fleet import Person
from demo.processes import Children
from demo.story import sign_in
from demo.web import Browser

UNITS = 20
TICK_MS = 100
WARM_UP_S = 5


@click.command()
@click.option("--seconds", default=30, show_default=True, help="How long to measure.")
@click.option("--units", default=UNITS, show_default=True)
def cli(seconds: int, units: int) -> None:
    """Print p50 and p99 of the milliseconds from a receiver's last byte to a console's event."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        children = Children(say)
        try:
            _measure(home, children, units, seconds)
        finally:
            children.stop()


def _measure(home: Path, children: Children, units: int, seconds: int) -> None:
    crews = {
        f"CARE-{n}": Person(staff=f"s-{n}", name=f"Crew {n}", role="specialist", skills=(), languages=("eng",))
        for n in range(1, units + 1)
    }
    fleet = made.make(home, crews, None, made.chance_ports(len(crews)), children, say)
    say(f"Starting {units} terminals")
    receivers = [Receiver(number, made.receiver_port(home, station)) for number, station in enumerate(fleet.stations)]
    for station in fleet.stations:  # one after the other: two cores
        children.start(made.terminal_process(home, station))
    console = sign_in(fleet.console, fleet.login("dispatcher"))
    seen: dict[tuple[float, float], float] = {}
    threading.Thread(target=_watch, args=(console, seen), daemon=True).start()
    peer = Pair(home, home / "care-1" / "identity" / "current")
    say(f"Measuring for {seconds} s")
    said: dict[tuple[float, float], float] = {}
    began_s = time.monotonic()
    for second in range(WARM_UP_S + seconds):
        for number, receiver in enumerate(receivers):
            time.sleep(max(0.0, began_s + second + number / units - time.monotonic()))
            place, at_s = receiver.say()
            if second >= WARM_UP_S:
                said[place] = at_s
                peer.publish(at_s)
    time.sleep(2.0)
    peer.stop()
    ours = [(seen[place] - at_s) * 1000 for place, at_s in said.items() if place in seen]
    click.echo(
        f"{units} units at 1 Hz for {seconds} s, every fix sent: {len(said)} said, {len(ours)} seen at the console"
    )
    print_ms("fix -> console event", ours)
    print_ms("  of it beyond a mean half tick", [ms - TICK_MS / 2 for ms in ours])
    print_ms("bare MQTT with the same TLS, same moments", peer.took_ms)


def _watch(console: Browser, seen: dict[tuple[float, float], float]) -> None:
    for name, data in console.events("/api/v1/events"):
        now_s = time.monotonic()
        if name == "positions":
            for row in data["positions"]:
                if row.get("lat") is not None:
                    seen.setdefault((round(row["lat"], 4), round(row["lon"], 5)), now_s)


if __name__ == "__main__":
    cli()
