"""`make soak`: provoke every fault of the matrix with the real programs, and print one line a row.

`python -m tests.soak [ROW …] [--quick] [--seed N] [--out FILE]`. The exit code is 1 when anything was lost, doubled or
found wrong, or when nothing could be tried; a row that could not be tried says why and counts as not run.
"""

from __future__ import annotations

import importlib
import pkgutil
import secrets
import signal
import string
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from tests.soak import report, rows
from tests.soak.ground import Ground, Scale
from tests.soak.machine import header
from tests.soak.report import NotRun, Outcome, Row


@click.command()
@click.argument("wanted", metavar="[ROW …]", nargs=-1)
@click.option("--quick", is_flag=True, help="A few of each: seconds instead of hours.")
@click.option("--seed", type=int, help="Live through another run again; otherwise by chance.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the same text there, for docs/proof.")
@click.option("--scratch", type=click.Path(path_type=Path, file_okay=False), help="Where images and homes are made.")
@click.option("--list", "is_list", is_flag=True, help="Say which rows there are, and try none.")
def cli(
    wanted: tuple[str, ...], quick: bool, seed: int | None, out: Path | None, scratch: Path | None, is_list: bool
) -> None:
    """Provoke faults with the real programs and say what was lost."""
    chosen = choose(every_row(), wanted)
    if is_list:
        for row in chosen:
            click.echo(f"{row.id:<5}  {row.fault}")
        return
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        click.echo(text)
        if out is not None:  # again after each row: a run of hours that is cut off leaves what it came to
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text("\n".join(said) + "\n")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that mounts, rules and processes are taken back
    scale: Scale = "quick" if quick else "full"
    is_clean = run(chosen, scale, secrets.randbelow(1_000_000) if seed is None else seed, say, scratch)
    sys.exit(0 if is_clean else 1)


def run(chosen: Sequence[Row], scale: Scale, seed: int, say: Callable[[str], None], scratch: Path | None) -> bool:
    """Try `chosen` one after the other, saying each line when it is known; whether nothing went wrong."""
    say(header(seed, scale))
    say(report.heading())
    outcomes: list[Outcome] = []
    not_run = 0
    began_s = time.monotonic()
    for row in chosen:
        row_began_s = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix=f"soak-{row.id}-", dir=scratch) as folder:
                outcome = row.run(Ground(scale=scale, scratch=Path(folder), seed=seed))
        except NotRun as why:
            not_run += 1
            say(report.line_not_run(row, str(why)))
            continue
        except Exception as wrong:  # one row that breaks must not hide the others
            traceback.print_exc()
            what = f"the row itself failed: {type(wrong).__name__}: {wrong}".splitlines()[0]
            outcome = Outcome(repetitions=0, lost=0, duplicated=0, recovery_s_max=None, findings=(what,))
        if not row.is_peer:
            outcomes.append(outcome)
        say(report.line(row, outcome, time.monotonic() - row_began_s))
    say("")
    say(f"{report.totals(outcomes, not_run)}, in {(time.monotonic() - began_s) / 60:.1f} min")
    return bool(outcomes) and all(outcome.is_clean for outcome in outcomes)


def every_row() -> tuple[Row, ...]:
    """What the modules in tests/soak/rows export, in the order of the matrix."""
    found: list[Row] = []
    for module in pkgutil.iter_modules(rows.__path__):
        found.extend(importlib.import_module(f"{rows.__name__}.{module.name}").ROWS)
    return tuple(sorted(found, key=lambda row: row.id))


def choose(known: Sequence[Row], wanted: Sequence[str]) -> tuple[Row, ...]:
    """The rows called `wanted`, all without a name; F01 also means F01a and its peer, F01p. BadParameter for one that
    does not exist."""
    chosen: list[Row] = []
    for name in wanted:
        fitting = [row for row in known if name in (row.id, row.id.rstrip(string.ascii_lowercase))]
        if not fitting:
            raise click.BadParameter(f"there is no row {name}: --list says which there are.")
        chosen.extend(row for row in fitting if row not in chosen)
    return tuple(chosen) if wanted else tuple(known)


if __name__ == "__main__":
    cli()
