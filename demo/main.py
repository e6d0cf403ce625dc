"""`tandem-demo`: a whole fleet on this machine, until Ctrl-C; or one story played on it."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import click

from demo import fleet as made
from demo.city import draw_city
from demo.drive import Destination, drive_fleet
from demo.fleet import DESK, UNITS, Fleet
from demo.processes import Children, Failed
from demo.story import STORIES, Step, StoryFailed, as_line, sign_on, summary_line
from demo.streets import Streets
from demo.web import Browser, Unanswered

HOME = Path("var/demo")
RUNNING = "running.pid"
SHOWN_SCREENS = ("CARE-1", "CARE-2")


class Progress:
    """Says each step with its time, on standard error so that standard output stays the story's."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    def __call__(self, what: str) -> None:
        click.echo(f"  {time.monotonic() - self._began_s:5.1f} s  {what}", err=True)


@click.group(invoke_without_command=True)
@click.option("--home", type=click.Path(path_type=Path), default=HOME, show_default=True, help="Where the fleet lives.")
@click.option(
    "--map", "city", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A real city: FILE.osm.pbf."
)
@click.option("--fresh", is_flag=True, help="Throw the demonstration fleet away and make a new one.")
@click.option("--story", type=click.Choice(sorted(STORIES)), help="Play a scripted call, then end.")
@click.option("--json", "as_json", is_flag=True, help="With --story: one JSON object a line, and nothing else.")
@click.option("--headless", is_flag=True, help="With --story: do not open the screens in a browser to watch.")
@click.pass_context
def cli(
    context: click.Context,
    home: Path,
    city: Path | None,
    fresh: bool,
    story: str | None,
    as_json: bool,
    headless: bool,
) -> None:
    """A demonstration fleet: hub, broker, six vehicles and a desk, all real programs, on loopback only.

    With --story the call is played on the demo that is running, or on one started for it.
    """
    if context.invoked_subcommand:
        return
    signal.signal(signal.SIGTERM, _as_interrupt)
    signal.signal(signal.SIGHUP, _as_interrupt)
    try:
        if story is None:
            _run(home, city, fresh)
        elif running := _running(home):
            _play(running, story, as_json, headless)
        else:
            with _started(home, city, fresh) as (fleet, _, _):
                _play(fleet, story, as_json, headless)
    except (Failed, Unanswered, OSError) as wrong:
        raise click.ClickException(str(wrong)) from None
    except KeyboardInterrupt:
        click.echo("\nStopped; nothing is left running.", err=True)


@cli.command("city")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="FILE.osm.pbf to write.")
@click.option("--seed", type=int, default=made.CITY_SEED, show_default=True, help="The same seed, the same city.")
def city_command(out: Path, seed: int) -> None:
    """Draw a plausible city that does not exist."""
    summary = draw_city(out, seed)
    click.echo(f"{out}: {summary}")


def _run(home: Path, city: Path | None, fresh: bool) -> None:
    if _running(home):
        raise Failed(f"A demo is running in {home} already. Stop it with Ctrl-C first, or give another --home.")
    with _started(home, city, fresh) as (fleet, children, stop):
        _welcome(fleet)
        while not stop.wait(1.0):
            children.revive()


@contextmanager
def _started(home: Path, city: Path | None, fresh: bool) -> Iterator[tuple[Fleet, Children, Event]]:
    say = Progress()
    stop = Event()
    children = Children(say)
    try:
        fleet = _fleet(home, city, fresh, children, say)
        (home / RUNNING).write_text(str(_own_pid()))
        vehicles = [station for station in fleet.stations if station.kind == "vehicle"]
        say("Starting the receivers, the terminals and the desk")
        streets = Streets.load(Path(fleet.map))
        ports = {station.call_sign: made.receiver_port(home, station) for station in vehicles}
        errands = _Errands(fleet)
        with drive_fleet(streets, ports, made.CITY_SEED, errands.orders):
            children.start(*(made.terminal_process(home, station) for station in fleet.stations))
            for station in fleet.stations:
                sign_on(Browser(station.screen), station)
            say("Everybody has signed on")
            yield fleet, children, stop
    except StoryFailed as wrong:
        raise Failed(str(wrong)) from None
    finally:
        stop.set()
        children.stop()
        (home / RUNNING).unlink(missing_ok=True)
