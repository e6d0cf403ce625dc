"""What the commands share: how misuse is said, what exit codes mean, and how a path becomes something to read."""

from __future__ import annotations

import stat
from io import FileIO
from pathlib import Path
from threading import Event

import click

from firmware_bridge.capture import after_header
from firmware_bridge.find import AUTO, Finder, Found, Place
from firmware_bridge.misuse import Misuse
from firmware_bridge.port import open_port
from firmware_bridge.reader import Counts

CAPTURE_BYTES_MAX = 64 * 1024 * 1024  # a week at 9600 baud is no test any more, and it is held in memory

# 0 is "done, or ended by Ctrl-C".
ENDED_EARLY = 1  # what was read or written went away, or there was no fix to show
# Misuse is 2: nothing was begun.

EXIT_CODES = """\b
Exit codes: 0 done, or ended by Ctrl-C; 1 the port or the disk gave out; 2 misuse, nothing was begun."""

BAUD = click.option(
    "--baud",
    type=click.IntRange(min=300),
    callback=lambda _context, _option, baud: baud or 0,  # as Finder says it
    help="Of a serial port.  [default: found by listening]",
)
JSON = click.option("--json", "is_json", is_flag=True, help="For programs: JSON, one object a line.")
ESTIMATES = click.option(
    "--estimates", "has_estimates", is_flag=True, help="Also positions by dead reckoning; their quality is `estimated`."
)


def is_port(path: str) -> bool:
    """Whether `path` is a device (or AUTO) rather than a file; Misuse when it is neither."""
    if path == AUTO:
        return True
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError) as error:
        raise Misuse(f"Cannot read {path}: {reason(error)}.") from None
    if stat.S_ISDIR(mode):
        raise Misuse(f"{path} is a folder. Name a serial port or a capture file.")
    return stat.S_ISCHR(mode)


def opened(port: str, baud: int) -> Found:
    """The port `port` or AUTO, for us alone. With `baud` 0 it is listened to until its speed is known."""
    try:
        if port != AUTO and baud:
            return Found(opened=open_port(port, baud), place=Place(port=port, baud=baud), data=b"")
        finder = Finder(port, baud, open_port)
        found = finder.find(Event())
    except OSError as error:
        raise Misuse(f"Cannot open {port}: {reason(error)}.") from None
    except KeyboardInterrupt:
        raise SystemExit(0) from None
    if found is None:
        raise Misuse(f"No receiver found: {finder.why or f'{port} has just changed, try again'}")
    return found


def opened_file(path: str) -> FileIO:
    try:
        return FileIO(path)
    except OSError as error:
        raise Misuse(f"Cannot read {path}: {reason(error)}.") from None


def whole_capture(path: str) -> bytes:
    """What a receiver said, from the capture file `path`, without the file's header."""
    if is_port(path):
        raise Misuse(f"{path} is a device. Name a capture file.")
    with opened_file(path) as file:
        try:
            capture = file.read(CAPTURE_BYTES_MAX + 1)
        except OSError as error:
            raise Misuse(f"Cannot read {path}: {reason(error)}.") from None
    if len(capture) > CAPTURE_BYTES_MAX:
        raise Misuse(f"{path} is larger than {CAPTURE_BYTES_MAX} bytes. Cut a piece from it.")
    said = after_header(capture)
    if not said:
        raise Misuse(f"{path} is empty. Name a file with what a receiver sent.")
    return said


def line_of_counts(counts: Counts) -> str:
    """What the sentences were, for a person."""
    reasons = ", ".join(f"{reason} {count}" for reason, count in counts.rejected.items())
    return (
        f"Sentences: {counts.accepted} with a position, {counts.empty} without, "
        f"{sum(counts.rejected.values())} rejected{f' ({reasons})' if reasons else ''}; "
        f"{counts.noise_bytes} bytes of noise."
    )


def reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
