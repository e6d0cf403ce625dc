"""The city that the hub is measured on: a real extract where one is given, else the one that the demo draws.

Nothing real is part of this project, so whoever has an extract names it: MAP=FILE.osm.pbf.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from bench.figures import say
from demo.city import draw_city
from demo.fleet import CITY_SEED
from hub.engine import Engine
from hub.maps import BUILDERS, MapInfo, import_map, road_graph
from hub.valhalla import HOW_TO_GET, ROADS_FOLDER, find_programs

READY_S_MAX = 60.0

map_option = click.option(
    "--map",
    "given",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A real city as .osm.pbf; without it one is drawn.",
)


def extract(given: Path | None, folder: Path) -> Path:
    """The file to measure on; says so when it is a drawn one."""
    if given is not None:
        return given.resolve()
    click.echo(
        "No map was given (MAP=FILE.osm.pbf): measured on the drawn city, smaller and more regular than a real one."
    )
    drawn = folder / "drawn.osm.pbf"
    draw_city(drawn, CITY_SEED)
    return drawn


def imported(osm: Path, home: Path) -> MapInfo:
    """The map of the hub in `home`, with its roads where this machine has the engine."""
    return import_map(osm, home, None, say, (*BUILDERS, road_graph()))


@contextmanager
def road_engine(home: Path) -> Iterator[Engine]:
    """The hub's road engine on the roads of `home`, once it answers."""
    programs = find_programs()
    if programs is None:
        raise click.ClickException(f"The road engine is not here, and this is about roads: {HOW_TO_GET}.")
    engine = Engine(home, home / "maps" / "current" / ROADS_FOLDER, lambda: programs, say)
    engine.start()
    try:
        until(lambda: engine.where() is not None, "the road engine does not answer")
        yield engine
    finally:
        engine.stop()


def until(is_so: Callable[[], bool], else_say: str, wait_s: float = READY_S_MAX) -> None:
    """Return when `is_so`; ClickException with `else_say` when that takes too long."""
    end_s = time.monotonic() + wait_s
    while not is_so():
        if time.monotonic() > end_s:
            raise click.ClickException(f"Nothing can be measured: {else_say}.")
        time.sleep(0.05)
