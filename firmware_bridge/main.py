"""`tandem-bridge`: what a receiver says, and a receiver that says what was captured."""

from __future__ import annotations

import signal
import stat
from collections.abc import Iterator
from contextlib import closing
from errno import EPIPE
from io import FileIO
from pathlib import Path
from threading import Event

import click
import msgspec

from firmware_bridge import serial_port
from firmware_bridge.drive_command import drive_command
from firmware_bridge.misuse import Misuse
from firmware_bridge.pins_command import pins_commands
from firmware_bridge.reader import Reader
from firmware_bridge.replay import pseudo_terminal, replay
from wire.fix import Fix

FILE_BYTES = 65536  # a piece of a capture at a time; captures may be days long
REPLAY_BYTES_MAX = 64 * 1024 * 1024  # a week at 9600 baud is no test any more, and it is held in memory


@click.group()
@click.version_option(package_name="tandem-mdt")
def cli() -> None:
    """Read a satellite receiver, or play one: from a capture, or aboard a vehicle that drives."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended by a program or by Ctrl-C: the same clean end


cli.add_command(drive_command)
cli.add_command(pins_commands)


@cli.command()
@click.argument("path")
@click.option("--baud", type=click.IntRange(min=300), default=serial_port.BAUD, show_default=True, help="Serial ports.")
def fixes(path: str, baud: int) -> None:
    """Print each fix that the receiver at PATH says, as one JSON object a line.

    PATH is a serial port, best as /dev/serial/by-id/..., or a capture file. Nothing is smoothed, held or corrected.
    How many sentences were accepted, empty and rejected by reason is the last line on standard error. Ctrl-C ends it.
    """
    reader = Reader()
    source = (
        _fixes_of_port(reader, _opened(path, baud)) if _is_port(path) else _fixes_of_file(reader, _opened_file(path))
    )
    try:
        for fix in source:
            click.echo(_json_of(fix))
    except KeyboardInterrupt:
        pass
    except OSError as error:
        if error.errno == EPIPE:  # whoever read our output has seen enough
            raise
        click.echo(f"{path} is gone: unplugged, or the program behind it ended.", err=True)
    click.echo(msgspec.json.encode(reader.counts), err=True)


@cli.command(name="replay")
@click.argument("path", metavar="FILE")
@click.option("--speed", type=click.FloatRange(min=0.01, max=1000), default=1.0, show_default=True, help="Times real.")
@click.option("--loop", "is_loop", is_flag=True, help="Begin again at the end, until Ctrl-C.")
@click.option("--link", type=click.Path(path_type=Path), help="A symbolic link to make, so that the name is known.")
def replay_command(path: str, speed: float, is_loop: bool, link: Path | None) -> None:
    """Offer the capture FILE as a serial port, at the pace at which the receiver said it.

    The first line on standard output is the port's path. It begins when a program opens the port.
    """
    capture = _capture(path)
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
        raise Misuse(f"Cannot make the link {link}: {_reason(error)}.") from None


def _is_port(path: str) -> bool:
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        raise Misuse(f"Cannot read {path}: {_reason(error)}.") from None
    if stat.S_ISDIR(mode):
        raise Misuse(f"{path} is a folder. Name a serial port or a capture file.")
    return stat.S_ISCHR(mode)


def _opened(path: str, baud: int) -> serial_port.Port:
    try:
        return serial_port.open_port(path, baud)
    except OSError as error:
        raise Misuse(f"Cannot open {path}: {_reason(error)}.") from None


def _opened_file(path: str) -> FileIO:
    try:
        return FileIO(path)
    except OSError as error:
        raise Misuse(f"Cannot read {path}: {_reason(error)}.") from None


def _fixes_of_port(reader: Reader, port: serial_port.Port) -> Iterator[Fix]:
    with closing(port):
        while True:
            try:
                data = serial_port.read_chunk(port)
            except OSError:
                yield from reader.finish()
                raise
            yield from reader.feed(data) if data else reader.pause()


def _fixes_of_file(reader: Reader, file: FileIO) -> Iterator[Fix]:
    with file:
        while data := file.read(FILE_BYTES):
            yield from reader.feed(data)
    yield from reader.finish()


def _capture(path: str) -> bytes:
    if _is_port(path):
        raise Misuse(f"{path} is a device. Name a capture file.")
    with _opened_file(path) as file:
        capture = file.read(REPLAY_BYTES_MAX + 1)
    if len(capture) > REPLAY_BYTES_MAX:
        raise Misuse(f"{path} is larger than {REPLAY_BYTES_MAX} bytes. Cut a piece from it.")
    if not capture:
        raise Misuse(f"{path} is empty. Name a file with what a receiver sent.")
    return capture


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


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
        }
    )
