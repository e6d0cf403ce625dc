"""What a person does at a terminal's command line, beside running it: the clock's floor, PINs, a desk's key."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from edge import clock_floor, copies, desk, evidence, identity, settings, vault
from edge.errors import Refused
from edge.settings import SettingsError
from wire.codec import Malformed

PASSPHRASE_LINES = 2


class Misuse(click.ClickException):
    """One sentence that says what to do; exit code 2."""

    exit_code = 2

    def show(self, file: object = None) -> None:
        click.echo(self.message, err=True)


HOME = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The terminal's folder: settings, identity, databases.",
)


@click.command(name="clock-floor")
@HOME
@click.option("--forget", is_flag=True, help="Forget what was kept, after a clock that was wrong has raised it.")
def clock_floor_command(home: Path, forget: bool) -> None:
    """Set the system clock on to the earliest it can be, before anything is connected. Never back.

    Needs the right to set the clock (root, or CAP_SYS_TIME); the terminal does without.
    """
    try:
        who = identity.load(home)
        if forget:
            click.echo("The kept floor is forgotten." if clock_floor.forget(home) else "No floor was kept.")
        floor_ms = clock_floor.bounds(home, who.chain_path).floor_ms
        click.echo(_apply_floor(floor_ms))
    except SettingsError as wrong:
        raise Misuse(str(wrong)) from None
    except OSError as wrong:
        click.echo(
            f"The clock is below its floor and cannot be set ({wrong.strerror or wrong}): run this as root before the terminal, as"
            " docs/how-to/keep-time.md says. Until then the terminal reckons with the floor by itself.",
            err=True,
        )
        sys.exit(1)


def _apply_floor(floor_ms: int) -> str:
    floor = datetime.fromtimestamp(floor_ms / 1000, UTC).isoformat(timespec="seconds")
    before_s = time.time()
    if before_s * 1000 >= floor_ms:
        return f"The clock is not below its floor, {floor}."
    time.clock_settime(time.CLOCK_REALTIME, floor_ms / 1000)
    return f"The clock was set on to its floor, {floor}; it was {(floor_ms / 1000 - before_s) / 86400:.1f} days behind."


@click.group()
def pin() -> None:
    """PINs of the people who sign on here."""


@pin.command()
@HOME
@click.option("--staff", required=True, help="The person's id.")
@click.option("--replace", is_flag=True, help="Give up their drafts on this terminal: nobody can read them after.")
def issue(home: Path, staff: str, replace: bool) -> None:
    """Make a PIN for STAFF on this terminal and print it, once."""
    try:
        click.echo(vault.issue(home, staff, replace))
    except vault.SlotTaken as taken:
        raise Misuse(f"{taken}. Say --replace if that is meant.") from None
    except (Malformed, SettingsError, OSError) as wrong:
        raise Misuse(str(wrong)) from None


@click.group(name="desk")
def desk_commands() -> None:
    """What only a clinician's desk does."""


@desk_commands.command()
@HOME
@click.argument("grant", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Give up the keys of earlier epochs; their passphrase is lost.")
def accept(home: Path, grant: Path, replace: bool) -> None:
    """Take the clinical key in the file GRANT: asks for the code that was said aloud, then for a passphrase."""
    code, passphrase = _two_secrets()
    try:
        granted = desk.accept(home, identity.load(home), grant.read_bytes(), code, passphrase, replace)
    except (Refused, SettingsError, OSError) as wrong:
        raise Misuse(str(wrong)) from None
    click.echo(f"The clinical key of epoch {granted.epoch} is on this desk, for {granted.staff}.")


def _two_secrets() -> tuple[str, str]:
    if sys.stdin.isatty():
        code = click.prompt("Code", hide_input=True, type=str)
        return code, click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, type=str)
    lines = [sys.stdin.readline().rstrip("\n") for _ in range(PASSPHRASE_LINES)]
    if not all(lines):
        raise Misuse("Give the code on the first line and the passphrase on the second.")
    return lines[0], lines[1]


@click.group(name="copies")
def copies_commands() -> None:
    """Copies of the ledger, kept while notes are unsent."""


@copies_commands.command(name="list")
@HOME
def list_copies(home: Path) -> None:
    """Which copies there are, the newest last."""
    try:
        found = copies.listed(home, settings.load(home).copies.place)
    except SettingsError as wrong:
        raise Misuse(str(wrong)) from None
    for copy in found:
        size = copy.path.stat()
        click.echo(f"{copy.path}  {size.st_size} bytes  made {_moment(size.st_mtime)} by this board's clock")
    if not found:
        click.echo("No copy is kept: no note is unsent, or none has been for long enough.")


@click.group(name="damaged")
def damaged_commands() -> None:
    """Files that a disk damaged, put aside."""


@damaged_commands.command(name="list")
@HOME
def list_damaged(home: Path) -> None:
    """What was put aside, what came of it, and what is lost; the newest last."""
    found = evidence.kept(home)
    for folder, rescued in found:
        lost = "how much is lost is not known" if rescued.lost < 0 else f"{rescued.lost} lost"
        click.echo(f"{folder}  {rescued.log}: {rescued.damage}; {rescued.records} records rescued, {lost}")
    if not found:
        click.echo("Nothing is put aside.")


@damaged_commands.command(name="clear")
@HOME
@click.option("--yes", is_flag=True, help="Nothing of it is needed any more.")
def clear_damaged(home: Path, yes: bool) -> None:
    """Delete what was put aside. What was rescued from it is in the terminal's files and stays."""
    if not yes:
        raise Misuse("Say --yes if nothing of it is needed any more.")
    click.echo(f"{evidence.clear(home)} put-aside files are deleted.")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
