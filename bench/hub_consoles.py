"""From publishing a position to its picture, with 1, 50 and 200 consoles connected, at 100 updates a second.

The hub and its broker are the real programs; positions of 100 units are signed by their terminals' keys. Of the consoles
one is a real page in Chromium, where a position counts when it has been painted; the others are bare sockets that read
the same stream (`bench.viewers`), where it counts when its bytes have come. Beside it, in the same run and in shuffled
order: Mosquitto's own WebSocket, with as many bare subscribers, to whom the same positions are pushed one by one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import click
import msgspec
from msgspec import Struct
from playwright.sync_api import Browser

from bench import console, pushed, talk
from bench.agency import free_ports
from bench.console import COOKIE, Site
from bench.figures import print_ms, say
from bench.processes import cpu_s
from bench.pushed import Broker, Mouth, Publisher
from hub.snapshot import PositionView

UNITS = 100
PER_S = 100.0
WARM_UP_S = 2.0
SETTLE_S = 3.0  # for what is still under way at the end
SCRIPT = Path(__file__).with_name("painted.js")


class Pushed(Struct, frozen=True, kw_only=True):
    """What became of the positions of one phase. `took_ms`: until the bytes were there; `painted_ms`: until the picture."""

    said: int
    viewers: int
    took_ms: list[float]
    painted_ms: list[float]
    cpu: dict[str, float]

    @property
    def share(self) -> float:
        """How many of all that were to come did."""
        return len(self.took_ms) / max(1, self.said * self.viewers)


@click.command()
@click.option("--consoles", default="1,50,200", show_default=True)
@click.option("--seconds", default=20, show_default=True, help="Of each measurement.")
@click.option("--per-second", default=PER_S, show_default=True)
def cli(consoles: str, seconds: int, per_second: float) -> None:
    """Print p50 and p99 from publishing to bytes and to the picture, and CPU, beside Mosquitto's WebSocket."""
    counts = [int(word) for word in consoles.split(",")]
    chance = Random(1)
    with tempfile.TemporaryDirectory() as name, console.chromium() as browser:
        folder = Path(name)
        with console.site(folder, UNITS) as at, _mosquitto(folder) as (plain, websocket, pid):
            number = 0
            say("nobody watches")
            alone = _through_hub(folder, at, None, 0, seconds, per_second, number)
            click.echo(f"nobody watches, {per_second:.0f} positions a second; CPU of a core: {_told(alone.cpu)}")
            for count in counts:
                ways = ["hub", "mosquitto", *(["painted"] if browser is not None else [])]
                found: dict[str, Pushed] = {}
                for way in chance.sample(ways, len(ways)):
                    say(f"{count} consoles, {way}")
                    number += 100_000
                    if way == "mosquitto":
                        found[way] = _through_mosquitto(
                            folder, plain, websocket, pid, count, seconds, per_second, number
                        )
                    else:
                        page = browser if way == "painted" else None
                        found[way] = _through_hub(folder, at, page, count, seconds, per_second, number)
                _print(count, per_second, found)


def _through_hub(
    folder: Path, at: Site, browser: Browser | None, count: int, seconds: int, per_s: float, first_number: int
) -> Pushed:
    channel = at.mouth()
    publisher = Publisher(per_s, Mouth(at.agency.terminals, channel).say, first_number)
    page = None if browser is None else console.board(browser, at, SCRIPT.read_text())
    light = count if page is None else count - 1
    try:
        with _viewers(folder, "sse", at.port, light, f"{COOKIE}={at.token}") as come:
            publisher.start()
            time.sleep(WARM_UP_S)
            first, began_s = publisher.next, time.monotonic()
            before = {"hub": cpu_s(at.pid), "broker": cpu_s(at.broker_pid)}
            ahead_s = 0.0
            if page is None:
                time.sleep(seconds)
            else:
                ahead_s = console.ahead_s(page)
                page.wait_for_timeout(seconds * 1000)
            last = publisher.next
            cpu = _shares(before, {"hub": cpu_s(at.pid), "broker": cpu_s(at.broker_pid)}, began_s)
            time.sleep(SETTLE_S)
            publisher.stop()
            took_ms = _took_ms(come(), publisher, first, last)
        painted: list[float] = []
        if page is not None:
            if not page.evaluate("() => window.benchMarkers"):
                say("the map has no markers of its own: a picture after the event counts as painted")
            for number, at_ms in page.evaluate("() => window.benchPainted"):
                if first <= number < last:
                    painted.append(at_ms - (publisher.left_wall_s[number] + ahead_s) * 1000)
    finally:
        if page is not None:
            page.context.close()
        channel.close()
    return Pushed(said=last - first, viewers=light, took_ms=took_ms, painted_ms=painted, cpu=cpu)


def _through_mosquitto(
    folder: Path, plain: int, websocket: int, pid: int, count: int, seconds: int, per_s: float, first_number: int
) -> Pushed:
    channel = Broker(plain, None, "publisher")
    encoder = msgspec.json.Encoder()

    def say_one(number: int) -> None:
        unit = number % UNITS
        fix = pushed.jumping(number, unit, UNITS)
        seen = PositionView(
            unit=f"u-{unit:04}",
            lat=fix.lat,
            lon=fix.lon,
            speed_mps=fix.speed_mps,
            heading_deg=None,
            fix_at=None,
            arrived_ms=int(time.time() * 1000),
            age_ms=40,
            has_fix=True,
        )
        channel.send(f"units/u-{unit:04}", encoder.encode(seen))

    publisher = Publisher(per_s, say_one, first_number)
    with _viewers(folder, "ws", websocket, count, "-") as come:
        publisher.start()
        time.sleep(WARM_UP_S)
        first, began_s, before = publisher.next, time.monotonic(), {"broker": cpu_s(pid)}
        time.sleep(seconds)
        last = publisher.next
        cpu = _shares(before, {"broker": cpu_s(pid)}, began_s)
        time.sleep(SETTLE_S)
        publisher.stop()
        took_ms = _took_ms(come(), publisher, first, last)
    channel.close()
    return Pushed(said=last - first, viewers=count, took_ms=took_ms, painted_ms=[], cpu=cpu)


def _shares(before: dict[str, float], after: dict[str, float], began_s: float) -> dict[str, float]:
    took_s = time.monotonic() - began_s
    return {name: (after[name] - before[name]) / took_s for name in before}


def _took_ms(came: array[int], publisher: Publisher, first: int, last: int) -> list[float]:
    """Of each viewer and each number the first time that it came."""
    seen: set[tuple[int, int]] = set()
    took_ms = []
    for at in range(0, len(came), 3):
        viewer, number, at_ns = came[at], came[at + 1], came[at + 2]
        if first <= number < last and (viewer, number) not in seen:
            seen.add((viewer, number))
            took_ms.append((at_ns - publisher.left_ns[number]) / 1e6)
    return took_ms


class Come:
    """What the viewers write at the end."""

    def __init__(self, process: subprocess.Popen[str] | None, file: Path) -> None:
        self._process, self._file = process, file

    def __call__(self) -> array[int]:
        came = array("q")
        if self._process is not None:
            talk.poke(self._process)
            talk.line(self._process)
            came.frombytes(self._file.read_bytes())
        return came


@contextmanager
def _viewers(folder: Path, kind: str, port: int, count: int, cookie: str) -> Iterator[Come]:
    """`count` light viewers, connected."""
    file = folder / "came"
    if not count:
        yield Come(None, file)
        return
    command = [sys.executable, "-m", "bench.viewers", kind, str(port), str(count), cookie, str(file)]
    process = talk.started(command)
    try:
        talk.line(process)
        yield Come(process, file)
    finally:
        talk.ended(process)


@contextmanager
def _mosquitto(folder: Path) -> Iterator[tuple[int, int, int]]:
    """A bare Mosquitto with its WebSocket: the plain port, that of the WebSocket, its process."""
    plain, websocket = free_ports(2)
    config = folder / "peer.conf"
    config.write_text(
        f"user root\nallow_anonymous true\nset_tcp_nodelay true\n"
        f"listener {plain} 127.0.0.1\nlistener {websocket} 127.0.0.1\nprotocol websockets\n"
    )
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", "/usr/sbin/mosquitto", "-c", str(config)], stderr=subprocess.DEVNULL
    )
    time.sleep(1.0)
    try:
        yield plain, websocket, process.pid
    finally:
        process.terminate()
        process.wait()


def _print(count: int, per_s: float, found: dict[str, Pushed]) -> None:
    click.echo(f"\n{count} consoles, {per_s:.0f} positions a second")
    for way, name in (
        ("hub", f"hub, {count} bare sockets"),
        ("painted", f"hub, one real page, {count - 1} bare sockets"),
        ("mosquitto", f"Mosquitto's WebSocket, {count} bare sockets"),
    ):
        if way not in found:
            continue
        one = found[way]
        came = f"{100 * one.share:.2f} % of {one.said * one.viewers} came" if one.viewers else f"{one.said} said"
        click.echo(f"  {name}: {came}; CPU of a core: {_told(one.cpu)}")
        if one.viewers:
            print_ms("    published -> bytes at a console", one.took_ms)
        if way == "painted":
            print_ms(f"    published -> painted, {len(one.painted_ms)} of {one.said}", one.painted_ms)


def _told(cpu: dict[str, float]) -> str:
    return ", ".join(f"{who} {100 * share:.1f} %" for who, share in cpu.items())


if __name__ == "__main__":
    cli()
