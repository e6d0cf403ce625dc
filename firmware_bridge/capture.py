"""A capture: a header that says where it comes from, then the bytes of a receiver exactly as they came.

The header's lines begin with `# `, as in the logs of gpsd's test suite, so that gpsd's tools read ours and we read
theirs. Ours ends with a line of its own: whatever a receiver says first, it is no part of the header.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from firmware_bridge.port import Port, read_chunk

HEADER_BYTES_MAX = 16384  # gpsd's longest is 2,500
NOTE_CHARS_MAX = 2000
SYNC_S = 5.0  # what the ignition may take with it
MADE_FOR_OWNER = 0o600  # it says where a vehicle was
_FIRST = b"# Capture of a satellite receiver"
_LAST = b"\n# What follows is what the receiver sent.\n"


class Header(Struct, frozen=True, kw_only=True):
    """Where a capture comes from. `name`: the receiver, as it or its plug calls itself; `notes`: what the tech says."""

    name: str
    port: str
    baud: int
    began_at: datetime
    software: str
    notes: tuple[str, ...] = ()


def header(told: Header) -> bytes:
    """`told` as the first lines of a capture, one line for each thing told and one for each line of a note."""
    lines = [
        f"Name: {told.name}",
        f"Port: {told.port}",
        f"Date: {told.began_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        f"Baud: {told.baud}",
        f"Software: {told.software}",
        *(f"Note: {line}" for note in told.notes for line in note.splitlines() if line.strip()),
    ]
    return b"\n# ".join((_FIRST, *map(_plain, lines))) + _LAST


def after_header(capture: bytes) -> bytes:
    """What the receiver sent: `capture` without its header, ours, gpsd's or none."""
    if capture.startswith(_FIRST):
        head, last, rest = capture.partition(_LAST)
        if last and len(head) <= HEADER_BYTES_MAX:
            return rest
    begin = 0
    while begin < HEADER_BYTES_MAX and _is_comment(capture, begin):
        end = capture.find(b"\n", begin)
        if end < 0:
            return b""
        begin = end + 1
    return capture[begin:]


def _is_comment(capture: bytes, begin: int) -> bool:
    """A `#` alone on its line, or before a space: one maker's own sentences begin with `#` and a letter."""
    return capture[begin : begin + 1] == b"#" and capture[begin + 1 : begin + 2] in (b"", b" ", b"\t", b"\r", b"\n")


def _plain(line: str) -> bytes:
    return "".join(sign if sign.isprintable() else " " for sign in line).encode("utf-8", "replace")


class Unwritten(Exception):
    """The capture's file could not be written; what it holds until then is valid."""


class CaptureFile:
    """A new file, never one that was there. What has been written is on the disk within SYNC_S."""

    def __init__(self, path: Path, mono_s: Callable[[], float] = time.monotonic) -> None:
        """OSError when it cannot be made, FileExistsError when it is there already."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MADE_FOR_OWNER)
        self.written = 0
        self._mono_s = mono_s
        self._synced_s = mono_s()

    def write(self, data: bytes) -> None:
        try:
            while data:
                taken = os.write(self._file, data)
                self.written += taken
                data = data[taken:]
            if self._mono_s() - self._synced_s >= SYNC_S:
                self.sync()
        except OSError as error:
            raise Unwritten(error.strerror or str(error)) from error

    def sync(self) -> None:
        try:
            os.fsync(self._file)
        except OSError as error:
            raise Unwritten(error.strerror or str(error)) from error
        self._synced_s = self._mono_s()

    def close(self) -> None:
        os.close(self._file)


def record(
    port: Port, file: CaptureFile, until_s: float | None, heard: bytes, mono_s: Callable[[], float] = time.monotonic
) -> Iterator[bytes]:
    """Write `heard`, then what `port` says until `until_s`, each piece told once it is written; OSError at its end."""
    data = heard
    while True:
        if data:
            file.write(data)
            yield data
        if until_s is not None and mono_s() >= until_s:
            return
        data = read_chunk(port)


def name_of(port: str, by_id: Path = Path("/dev/serial/by-id")) -> str:
    """What the plug of `port` calls itself; "unknown" for a port without a plug of its own."""
    try:
        device = Path(port).resolve(strict=True)
        names = [link.name for link in sorted(by_id.iterdir()) if link.resolve() == device]
    except OSError:
        return "unknown"
    return names[0] if names else "unknown"
