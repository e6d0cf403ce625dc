"""`tandem-bridge capture`: keep what a receiver says, to look into it later or to make a receiver of it."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from firmware_bridge import capture, command_line
from firmware_bridge.capture import CaptureFile, Unwritten
from firmware_bridge.command_line import ENDED_EARLY
from firmware_bridge.misuse import Misuse
from firmware_bridge.reader import Counts, Reader


@click.command(name="capture", epilog=command_line.EXIT_CODES)
@click.argument("port")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@command_line.BAUD
@command_line.JSON
@click.option("--seconds", type=click.FloatRange(min=1), help="End after so many.  [default: at Ctrl-C]")
@click.option("--note", "notes", multiple=True, help="What to remember: the antenna, the car, the street. Repeatable.")
def capture_command(
    port: str, path: Path, baud: int, is_json: bool, seconds: float | None, notes: tuple[str, ...]
) -> None:
    """Write what the receiver at PORT says to a new FILE, byte for byte, below a header that says where it is from.

    `replay` makes a receiver of it, `fixes` and `watch` read it, and so do gpsd's tools. A FILE that is there already
    is left alone. Whatever ends it, what was written stays valid; the last line says how much, and what it is worth.
    """
    if sum(map(len, notes)) > capture.NOTE_CHARS_MAX:
        raise Misuse(f"The notes are longer than {capture.NOTE_CHARS_MAX} characters. Say less.")
    if not command_line.is_port(port):
        raise Misuse(f"{port} is a file. Name the receiver's serial port.")
    found = command_line.opened(port, baud)
    with closing(found.opened), closing(_made(path)) as file:
        header = capture.header(
            capture.Header(
                name=capture.name_of(found.place.port),
                port=found.place.port,
                baud=found.place.baud,
                began_at=datetime.now(UTC),
                software=f"tandem-bridge {version('tandem-mdt')}",
                notes=notes,
            )
        )
        until_s = None if seconds is None else time.monotonic() + seconds
        reader = Reader()
        fixes = 0
        trouble = ""
        try:
            file.write(header)
            for data in capture.record(found.opened, file, until_s, found.data):
                fixes += len(reader.feed(data))
        except KeyboardInterrupt:
            pass
        except Unwritten as error:
            trouble = f"{path} could not be written on: {error}."
        except OSError:
            trouble = f"{found.place.port} is gone: unplugged, or the program behind it ended."
        fixes += len(reader.finish())
        trouble = _synced(file) or trouble
    held = Held(file=str(path), said_bytes=max(0, file.written - len(header)), fixes=fixes, counts=reader.counts)
    click.echo(msgspec.json.encode(held) if is_json else _line_of(held), err=not is_json)
    if trouble:
        click.echo(f"{trouble} What was written until then is kept.", err=True)
        raise SystemExit(ENDED_EARLY)


class Held(Struct, frozen=True, kw_only=True):
    """What a capture holds: so many bytes of the receiver's, and what they are worth."""

    file: str
    said_bytes: int
    fixes: int
    counts: Counts


def _made(path: Path) -> CaptureFile:
    try:
        return CaptureFile(path)
    except FileExistsError:
        raise Misuse(f"{path} is there already. Name a new file; nothing is overwritten.") from None
    except (OSError, ValueError) as error:
        raise Misuse(f"Cannot make {path}: {command_line.reason(error)}.") from None


def _synced(file: CaptureFile) -> str:
    try:
        file.sync()
    except Unwritten as error:
        return f"The disk did not take all of it: {error}."
    return ""


def _line_of(held: Held) -> str:
    line = f"{held.said_bytes} bytes in {held.file}: {held.fixes} fixes. {command_line.line_of_counts(held.counts)}"
    if held.said_bytes and not held.counts.accepted + held.counts.empty:
        line += " Not one right sentence: is it the right --baud?"
    return line
