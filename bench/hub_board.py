"""Whether the console stays smooth: 500 units that drive, each told every 5 s, and the frames that the page did not draw.

The hub and its broker are the real programs, the city is imported, the page is the dispatcher's in headless Chromium,
which draws without a graphics card here. Pictures are counted by animation frames: at 60 a second each that is missing is
a dropped one. The time of the main thread is the browser's own account. Beside it, in the same run and in shuffled order,
while the hub is told as much: an empty page in the same browser, which is what this machine can do at all.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from math import cos, degrees, radians, sin
from pathlib import Path
from random import Random
from statistics import median
from urllib.parse import quote

import click
from msgspec import Struct
from playwright.sync_api import Browser, Page

from bench import city, console
from bench.console import Site
from bench.figures import say
from bench.processes import cpu_s, descendants
from bench.pushed import Mouth, Publisher
from hub.maps import MapInfo
from wire.distance import moved
from wire.fix import Fix

EVERY_S = 5.0
SPEED_MPS = 12.0
RADIUS_M = (150.0, 5_000.0)
FIRST_LOOK_S = 3.0
EMPTY = f"data:text/html,{quote('<!doctype html><title>empty</title>')}"
SCRIPT = """() => new Promise((done) => {
    const until = performance.now() + SECONDS * 1000;
    const frames = [];
    const tasks = [];
    const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((one) => one.duration)));
    observer.observe({ type: "longtask" });
    const frame = (at) => {
        frames.push(at);
        if (performance.now() < until) {
            requestAnimationFrame(frame);
        } else {
            observer.disconnect();
            done({ frames, tasks });
        }
    };
    requestAnimationFrame(frame);
})"""
FRAME_MS = 1000 / 60
ACCOUNTS = ("TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration")


class Seen(Struct, frozen=True, kw_only=True):
    """What a page did for some seconds. `busy` by account, as a share of the time."""

    frames: int
    dropped: int
    longest_ms: float
    long_tasks_ms: list[float]
    busy: dict[str, float]
    browser_cpu: float

    @property
    def dropped_share(self) -> float:
        """Of the frames that 60 a second would have been."""
        return self.dropped / max(1, self.frames + self.dropped)


class Drives:
    """Every unit on a circle of its own through the city."""

    def __init__(self, info: MapInfo, units: int, seed: int = 1) -> None:
        chance = Random(seed)
        lon, lat = info.center
        self._middles = [moved(lat, lon, chance.uniform(0, 360), chance.uniform(0, RADIUS_M[1])) for _ in range(units)]
        self._radii_m = [chance.uniform(RADIUS_M[0], 4 * RADIUS_M[0]) for _ in range(units)]

    def where(self, _number: int, unit: int, _count: int) -> Fix:
        """Where the unit is now."""
        angle = SPEED_MPS * time.monotonic() / self._radii_m[unit] + unit
        lat, lon = self._middles[unit]
        north_m, east_m = self._radii_m[unit] * sin(angle), self._radii_m[unit] * cos(angle)
        return Fix(
            lat=lat + north_m / 111_195.0,
            lon=lon + east_m / (111_195.0 * cos(radians(lat))),
            speed_mps=SPEED_MPS,
            heading_deg=-degrees(angle) % 360.0,
        )


@click.command()
@city.map_option
@click.option("--units", default=500, show_default=True)
@click.option("--seconds", default=20, show_default=True, help="Of each look.")
@click.option("--rounds", default=5, show_default=True)
def cli(given: Path | None, units: int, seconds: int, rounds: int) -> None:
    """Print dropped frames and main-thread time of the console, beside an empty page."""
    with tempfile.TemporaryDirectory() as name, console.chromium() as browser:
        if browser is None:
            return
        folder = Path(name)
        osm = city.extract(given, folder)
        maps: list[MapInfo] = []
        with console.site(folder, units, lambda home: maps.append(city.imported(osm, home))) as at:
            channel = at.mouth()
            drives = Drives(maps[0], units)
            publisher = Publisher(units / EVERY_S, Mouth(at.agency.terminals, channel, drives.where).say)
            publisher.start()
            time.sleep(EVERY_S)
            found: dict[str, list[Seen]] = {"console": [], "empty page": []}
            chance = Random(1)
            for number in range(rounds):
                for what in chance.sample(sorted(found), len(found)):
                    say(f"round {number + 1} of {rounds}, {what}")
                    found[what].append(_look(browser, at, seconds, is_empty=what != "console"))
            publisher.stop()
            channel.close()
        click.echo(
            f"{units} units, {units / EVERY_S:.0f} positions a second, {rounds} looks of {seconds} s; median (least to most)"
        )
        for what, looks in found.items():
            _print(what, looks)


def _look(browser: Browser, at: Site, seconds: int, *, is_empty: bool) -> Seen:
    if is_empty:
        page = browser.new_context(viewport=console.VIEW).new_page()
        page.goto(EMPTY)
    else:
        page = console.board(browser, at)
    page.wait_for_timeout(FIRST_LOOK_S * 1000)
    accounts = page.context.new_cdp_session(page)
    accounts.send("Performance.enable")
    try:
        return _seen(page, lambda: _accounts(accounts.send("Performance.getMetrics")), seconds)
    finally:
        page.context.close()


def _seen(page: Page, accounts: Callable[[], dict[str, float]], seconds: int) -> Seen:
    before, cpu_before_s, began_s = accounts(), _browser_cpu_s(), time.monotonic()
    said = page.evaluate(SCRIPT.replace("SECONDS", str(seconds)))
    after, took_s = accounts(), time.monotonic() - began_s
    gaps_ms = [later - earlier for earlier, later in pairwise(said["frames"])]
    return Seen(
        frames=len(gaps_ms),
        dropped=dropped(gaps_ms),
        longest_ms=max(gaps_ms, default=0.0),
        long_tasks_ms=said["tasks"],
        busy={name: (after[name] - before[name]) / took_s for name in ACCOUNTS},
        browser_cpu=(_browser_cpu_s() - cpu_before_s) / took_s,
    )


def dropped(gaps_ms: Sequence[float]) -> int:
    """How many pictures are missing between those that came, at 60 a second."""
    return sum(max(0, round(gap / FRAME_MS) - 1) for gap in gaps_ms)


def _accounts(said: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """The browser's accounts in seconds, by name."""
    return {str(one["name"]): one["value"] for one in said["metrics"]}


def _browser_cpu_s() -> float:
    """CPU seconds so far of all processes of the browser."""
    found = 0.0
    for pid in descendants(os.getpid()):
        with suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            if Path(f"/proc/{pid}/comm").read_text().startswith("chrom"):
                found += cpu_s(pid)
    return found


def _print(what: str, looks: list[Seen]) -> None:
    tasks_ms = [one for look in looks for one in look.long_tasks_ms]
    click.echo(
        f"  {what:12} frames dropped {_spread([100 * look.dropped_share for look in looks])} %, "
        f"longest without one {_spread([look.longest_ms for look in looks])} ms"
    )
    click.echo(
        f"  {'':12} main thread busy {_spread([100 * look.busy['TaskDuration'] for look in looks])} % of the time: "
        + ", ".join(
            f"{word} {median(100 * look.busy[name] for look in looks):.1f}"
            for name, word in zip(ACCOUNTS[1:], ("script", "layout", "style"), strict=True)
        )
    )
    click.echo(
        f"  {'':12} {len(tasks_ms)} tasks over 50 ms"
        + (f", the longest {max(tasks_ms):.0f} ms" if tasks_ms else "")
        + f"; all of the browser {_spread([100 * look.browser_cpu for look in looks])} % of a core"
    )


def _spread(values: list[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    cli()
