"""`tandem-bridge`: what a receiver says, and a receiver that says what was captured."""

from __future__ import annotations

import signal
import stat
from collections.abc import Iterator
from contextlib import closing
from errno import EPIPE
from io import FileIO
from os import fstat
from pathlib import Path
from threading import Event

import click
import msgspec

from firmware_bridge import command_line
from firmware_bridge.capture import HEADER_BYTES_MAX, after_header
from firmware_bridge.capture_command import capture_command
from firmware_bridge.drive_command import drive_command
from firmware_bridge.find import Found
from firmware_bridge.misuse import Misuse
from firmware_bridge.pins_command import pins_commands
from firmware_bridge.port import read_chunk
from firmware_bridge.reader import Reader
from firmware_bridge.replay import pseudo_terminal, replay
from firmware_bridge.watch_command import watch_command
from wire.fix import Fix

FILE_BYTES = 65536  # a piece of a capture at a time; captures may be days long


@click.group()
@click.version_option(package_name="tandem-mdt")
def cli() -> None:
    """Read a satellite receiver, or play one: from a capture, or aboard a vehicle that drives."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended by a program or by Ctrl-C: the same clean end


@cli.command(epilog=command_line.EXIT_CODES)
@click.argument("path", metavar="PORT|FILE")
@command_line.BAUD
@command_line.JSON
@command_line.ESTIMATES
def fixes(path: str, baud: int, is_json: bool, has_estimates: bool) -> None:
    """Print each fix that a receiver says, one a line.

    PORT is a serial port, best as /dev/serial/by-id/..., or `auto` for the first that is a receiver's; FILE is a
    capture. Nothing is smoothed, held or corrected. What the sentences were is the last line on standard error. Ctrl-C
    ends it.
    """
    reader = Reader(estimates=has_estimates)
    source = (
        _fixes_of_port(reader, command_line.opened(path, baud))
        if command_line.is_port(path)
        else _fixes_of_file(reader, command_line.opened_file(path))
    )
    is_gone = False
    try:
        for fix in source:
            click.echo(_json_of(fix) if is_json else _line_of(fix))
    except KeyboardInterrupt:
        pass
    except OSError as error:
        if error.errno == EPIPE:  # whoever read our output has seen enough
            raise
        click.echo(f"{path} is gone: unplugged, or the program behind it ended.", err=True)
        is_gone = True
    click.echo(msgspec.json.encode(reader.counts) if is_json else command_line.line_of_counts(reader.counts), err=True)
    if is_gone:
        raise SystemExit(command_line.ENDED_EARLY)


@cli.command(name="replay", epilog=command_line.EXIT_CODES)
@click.argument("path", metavar="FILE")
@click.option("--speed", type=click.FloatRange(min=0.01, max=1000), default=1.0, show_default=True, help="Times real.")
@click.option("--loop", "is_loop", is_flag=True, help="Begin again at the end, until Ctrl-C.")
@click.option("--link", type=click.Path(path_type=Path), help="A symbolic link to make, so that the name is known.")
def replay_command(path: str, speed: float, is_loop: bool, link: Path | None) -> None:
    """Offer the capture FILE as a serial port, at the pace at which the receiver said it.

    The first line on standard output is the port's path. It begins when a program opens the port. The header that
    `capture` writes, and gpsd's, is left out.
    """
    capture = command_line.whole_capture(path)
    try:
        with pseudo_terminal(link) as terminal:
            click.echo(terminal.path)
            lost_bytes = replay(capture, terminal, Event(), speed=speed, is_loop=is_loop)
        if lost_bytes:
            click.echo(f"The reader was too slow or left: {lost_bytes} bytes were lost.", err=True)
    except KeyboardInterrupt:
        return
    except OSError as error:
        if link is None or error.errno == EPIPE:
            raise
        raise Misuse(f"Cannot make the link {link}: {command_line.reason(error)}.") from None


cli.add_command(watch_command)
cli.add_command(capture_command)
cli.add_command(drive_command)
cli.add_command(pins_commands)


def _fixes_of_port(reader: Reader, found: Found) -> Iterator[Fix]:
    with closing(found.opened) as port:
        yield from reader.feed(found.data)
        while True:
            try:
                data = read_chunk(port)
            except OSError:
                yield from reader.finish()
                raise
            yield from reader.feed(data) if data else reader.pause()


def _fixes_of_file(reader: Reader, file: FileIO) -> Iterator[Fix]:
    with file:
        if stat.S_ISREG(fstat(file.fileno()).st_mode):  # a pipe is read as it comes, and a header in it is noise
            yield from reader.feed(after_header(file.read(HEADER_BYTES_MAX)))
        while data := file.read(FILE_BYTES):
            yield from reader.feed(data)
    yield from reader.finish()


def _line_of(fix: Fix) -> str:
    """The fix for a person: when, where, how fast, how well."""
    when = "no date said" if fix.at is None else f"{fix.at:%Y-%m-%d %H:%M:%S}.{fix.at.microsecond // 100000}Z"
    speed = "-" if fix.speed_mps is None else f"{fix.speed_mps:.1f} m/s"
    heading = "-" if fix.heading_deg is None else f"{fix.heading_deg:.0f} deg"
    hdop = "-" if fix.hdop is None else f"{fix.hdop:.1f}"
    satellites = "-" if fix.satellites is None else str(fix.satellites)
    return (
        f"{when:<22}  {fix.lat:>10.6f} {fix.lon:>11.6f}  {speed:>10} {heading:>8}  "
        f"hdop {hdop:>4}  {satellites:>2} used  {fix.quality}"
    )


def _json_of(fix: Fix) -> bytes:
    """The fix as the receiver said it, every key always there."""
    return msgspec.json.encode(
        {
            "at": fix.at,
            "lat": fix.lat,
            "lon": fix.lon,
            "speed_mps": fix.speed_mps,
            "heading_deg": fix.heading_deg,
            "hdop": fix.hdop,
            "satellites": fix.satellites,
            "accuracy_m": fix.accuracy_m,
            "dimensions": fix.dimensions,
            "quality": fix.quality,
        }
    )
