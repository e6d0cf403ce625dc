"""`tandem-demo`: a whole fleet on this machine, until Ctrl-C; or one story played on it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import click

from demo import fleet as made
from demo.city import draw_city
from demo.drive import Vehicle, park, steer_fleet
from demo.errands import Errands
from demo.fleet import CREWS, DESK, Fleet
from demo.processes import Children, Failed
from demo.story import STORIES, Step, StoryFailed, as_line, go_on_duty, sign_on, summary_line
from demo.streets import Streets
from demo.web import Browser, Unanswered

HOME = Path("var/demo")
RUNNING = "running.pid"
UNFINISHED = "unfinished"
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
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)  # stop everything in order
    try:
        if story is None:
            _run(home, city, fresh)
        elif _is_running(home):
            _play(_loaded(home), story, as_json, headless)
        else:
            with _started(home, city, fresh) as (fleet, _):
                _play(fleet, story, as_json, headless)
    except (Failed, Unanswered, OSError, ValueError) as wrong:
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
    if _is_running(home):
        raise Failed(f"A demo is running in {home} already. Stop it with Ctrl-C first, or give another --home.")
    with _started(home, city, fresh) as (fleet, children):
        _welcome(fleet)
        while True:
            time.sleep(1.0)
            children.revive()


@contextmanager
def _started(home: Path, city: Path | None, fresh: bool) -> Iterator[tuple[Fleet, Children]]:
    say = Progress()
    stop = Event()
    children = Children(say)
    threads: list[Thread] = []
    try:
        fleet = _fleet(home, city, fresh, children, say)
        (home / RUNNING).write_text(str(os.getpid()))
        say("Reading the streets")
        vehicles = _vehicles(home, fleet)
        errands = Errands(fleet)
        for work in (lambda: steer_fleet(vehicles, errands.orders, stop, say), lambda: errands.watch(stop)):
            threads.append(Thread(target=work))
            threads[-1].start()
        say("Starting six vehicles and a desk")
        children.start(*(made.terminal_process(home, station) for station in fleet.stations))
        for station in fleet.stations:
            screen = Browser(station.screen)
            sign_on(screen, station)
            go_on_duty(screen)
        say("Everybody has signed on")
        yield fleet, children
    except StoryFailed as wrong:
        raise Failed(str(wrong)) from None
    finally:
        stop.set()
        children.stop()
        for thread in threads:
            thread.join(5.0)
        (home / RUNNING).unlink(missing_ok=True)


def _fleet(home: Path, city: Path | None, fresh: bool, children: Children, say: Progress) -> Fleet:
    """The fleet in `home`, made if it is missing, and its hub running."""
    fleet = None if fresh else made.load(home)
    if fleet and city and Path(fleet.map) != city.resolve():
        raise Failed(f"The fleet in {home} drives in {fleet.map}. For another city, add --fresh.")
    if fleet:
        if taken := made.taken_ports(fleet):
            raise Failed(
                f"Port {taken[0]} is in use by another program. Stop that one, or make a fleet on other ports: --fresh."
            )
        say("Starting the hub")
        children.start(made.hub_process(home))
        return fleet
    if home.exists() and any(home.iterdir()):
        if not fresh and not (home / UNFINISHED).exists():
            raise Failed(f"{home} holds something that is not a demo. Give another --home, or --fresh to empty it.")
        shutil.rmtree(home)
    home.mkdir(parents=True)
    (home / UNFINISHED).touch()
    if city is None:
        say("Drawing a city")
        city = home / "city.osm.pbf"
        draw_city(city, made.CITY_SEED)
    fleet = made.make(home, CREWS, city, made.free_ports(len(CREWS)), children, say)
    (home / UNFINISHED).unlink()
    return fleet


def _vehicles(home: Path, fleet: Fleet) -> tuple[Vehicle, ...]:
    streets = Streets.load(Path(fleet.map))
    return tuple(
        Vehicle(
            id=station.call_sign,
            course=park(streets, station.call_sign),
            port=made.receiver_port(home, station),
            log=home / "logs" / f"{station.call_sign}.receiver.log",
        )
        for station in fleet.stations
        if station.kind == "vehicle"
    )


def _play(fleet: Fleet, story: str, as_json: bool, headless: bool) -> None:
    if not headless:
        for address in (fleet.console, fleet.stations[0].screen):
            webbrowser.open(address)
    steps: list[Step] = []

    def say(step: Step) -> None:
        steps.append(step)
        line = as_line(step) if as_json else f"{step.ms / 1000:7.2f} s  {step.step.replace('_', ' ')}"
        click.echo(line)

    failed = None
    try:
        STORIES[story](fleet, say)
    except (StoryFailed, Unanswered, LookupError, TypeError, ValueError) as wrong:
        failed = f"{type(wrong).__name__}: {wrong}"
    if as_json:
        click.echo(summary_line(story, tuple(steps), failed))
    if failed:
        click.echo(f"The story broke off after {len(steps)} steps: {failed}", err=True)
        sys.exit(1)


def _is_running(home: Path) -> bool:
    try:
        os.kill(int((home / RUNNING).read_text()), 0)
    except (OSError, ValueError):
        return False
    return made.load(home) is not None


def _loaded(home: Path) -> Fleet:
    fleet = made.load(home)
    if fleet is None:
        raise Failed(f"There is no demo in {home}.")
    return fleet


def _welcome(fleet: Fleet) -> None:
    dispatcher = fleet.login("dispatcher")
    lines = [
        "",
        f"Console      {fleet.console}",
        f"             sign in as {dispatcher.account}, password {dispatcher.password}",
    ]
    for call_sign in SHOWN_SCREENS:
        station = fleet.station(call_sign)
        lines.append(f"{call_sign:12} {station.screen}   touchscreen; PIN {station.pin} opens the notes")
    desk = fleet.station(DESK)
    lines += [
        f"{DESK:12} {desk.screen}   clinician's desk; PIN {desk.pin}, passphrase {desk.passphrase}",
        "",
        "The other screens are in the next ports. Everything is on this machine only. Ctrl-C stops it all.",
        "Next: at the console click on the map, say what is happening, press Send; then open that unit's touchscreen.",
        "",
    ]
    click.echo("\n".join(lines))
