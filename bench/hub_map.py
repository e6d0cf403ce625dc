"""What importing a map costs: seconds, megabytes of tiles, of the address index and of roads, memory at the most.

The command runs as an operator runs it. Beside it, on the same file: the two programs that it cannot do without, run
bare one after the other, which is the least that an import can take; and OSRM's own preparation of the same streets.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from msgspec import Struct

from bench import city, osrm
from bench.agency import PROGRAM
from bench.figures import say
from hub.maps import RECIPE, current_map
from hub.settings import SETTINGS_FILE, Settings, text_of
from hub.valhalla import configuration, find_programs


class Run(Struct, frozen=True, kw_only=True):
    """What a program took."""

    seconds: float
    cpu_s: float


@click.command()
@city.map_option
@click.option("--rounds", default=3, show_default=True)
def cli(given: Path | None, rounds: int) -> None:
    """Print seconds and megabytes of a map import, and of what it cannot do without."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        osm = city.extract(given, home)
        click.echo(f"{osm.name}, {osm.stat().st_size / 1e6:.1f} MB")
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            _measure(osm, home / f"round-{number}", is_last=number == rounds - 1)


def _measure(osm: Path, folder: Path, *, is_last: bool) -> None:
    home = folder / "hub"
    home.mkdir(parents=True)
    (home / SETTINGS_FILE).write_text(text_of(Settings(agency="Bench County")))
    bare = _bare(osm, folder / "bare")
    took = _run([*PROGRAM, "map", "import", str(osm), "--home", str(home)])
    info = current_map(home)
    if info is None:
        raise click.ClickException("There is no map after the import.")
    beside = "" if bare is None else f"; tilemaker and the road engine's builder bare {_told(bare)}"
    ratio = "" if bare is None else f", {took.seconds / bare.seconds:.2f} of it"
    click.echo(f"  import {_told(took)}{beside}{ratio}")
    if not is_last:
        return
    for part in info.parts:
        click.echo(f"    {part.name:16} {part.seconds:6.1f} s   {part.bytes / 1e6:7.2f} MB")
    for lacks in info.without:
        click.echo(f"    {lacks}")
    # of the largest of all the processes that have ended, which Linux counts in kilobytes
    most_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    click.echo(f"    memory at the most, of the largest process: {most_mb:.0f} MB")
    if osrm.is_here():
        made = osrm.make(osm, folder / "osrm")
        click.echo(
            f"  OSRM's files of the same streets, no tiles, no addresses: {made.seconds:.1f} s, {made.bytes / 1e6:.1f} MB"
        )
    else:
        click.echo("  OSRM is not here (scripts/osrm-engine): left out.")


def _bare(osm: Path, folder: Path) -> Run | None:
    """The drawing of the tiles and the building of the roads alone; None, and said, when this machine cannot."""
    programs = find_programs()
    if programs is None:
        click.echo("The road engine is not here (scripts/road-engine): its builder is left out.")
        return None
    tiles = folder / "tiles"
    tiles.mkdir(parents=True)
    settings = folder / "valhalla.json"
    settings.write_bytes(configuration(programs, tiles, port=0))
    recipe = ("--config", str(RECIPE / "tiles.json"), "--process", str(RECIPE / "tiles.lua"))
    drawn = _run(["tilemaker", "--input", str(osm), "--output", str(folder / "city.mbtiles"), *recipe])
    built = _run([str(programs.build), "-c", str(settings), str(osm)])
    return Run(seconds=drawn.seconds + built.seconds, cpu_s=drawn.cpu_s + built.cpu_s)


def _run(command: list[str]) -> Run:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began_s = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    seconds = time.monotonic() - began_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.stderr.write(done.stderr[-2000:])
        raise click.ClickException(f"{Path(command[0]).name} ended with {done.returncode}; what it said stands above.")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(seconds=seconds, cpu_s=cpu_s)


def _told(run: Run) -> str:
    return f"{run.seconds:.1f} s ({run.cpu_s:.1f} s of CPU)"


if __name__ == "__main__":
    cli()
