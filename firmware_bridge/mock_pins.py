"""Pressing a simulated pin from outside: a FIFO in the terminal's home, which exists only with the mock factory.

One line is one act: `duress on 2.0` closes for two seconds, `ignition on` until told otherwise. The board keeps the time,
so that a program that dies in the middle does not leave a finger on the button.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from msgspec import Struct

FIFO = "simulated-pins"
LINE_BYTES_MAX = 64
READ_BYTES = 4096
SECONDS_MAX = 3600.0


class Act(Struct, frozen=True, kw_only=True):
    """Make the pin `name` active or not, for `for_s` seconds or until told otherwise."""

    name: str
    is_active: bool
    for_s: float | None = None


class Busy(OSError):
    """Another program simulates the pins of this home."""


class NobodyThere(OSError):
    """No program simulates pins in this home."""


def act_from(line: bytes) -> Act | None:
    """The act in `line`; None when it is none."""
    words = line.decode("ascii", "replace").split()
    if len(words) not in (2, 3) or words[1] not in ("on", "off") or len(line) > LINE_BYTES_MAX:
        return None
    if len(words) == 2:
        return Act(name=words[0], is_active=words[1] == "on")
    try:
        for_s = float(words[2])
    except ValueError:
        return None
    return Act(name=words[0], is_active=words[1] == "on", for_s=for_s) if 0 < for_s <= SECONDS_MAX else None


def send(home: Path, act: Act) -> None:
    """Tell the program that simulates the pins of `home`; NobodyThere when there is none."""
    try:
        descriptor = os.open(home / FIFO, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as wrong:
        raise NobodyThere(wrong.errno, wrong.strerror) from None
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            raise NobodyThere(errno.ENXIO, "not a FIFO")
        for_s = "" if act.for_s is None else f" {act.for_s}"
        os.write(descriptor, f"{act.name} {'on' if act.is_active else 'off'}{for_s}\n".encode())
    finally:
        os.close(descriptor)


class Outside:
    """The reading end, in `home`. Busy when somebody else has it."""

    def __init__(self, home: Path) -> None:
        self._path = home / FIFO
        self._partial = b""
        if _has_reader(self._path):
            raise Busy(errno.EBUSY, "another program simulates the pins here")
        self._path.unlink(missing_ok=True)  # of a program that was killed
        os.mkfifo(self._path, 0o600)
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def acts(self) -> tuple[Act, ...]:
        """What was asked since the last time; never waits."""
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return ()
        if not data:
            return ()
        *lines, partial = (self._partial + data).split(b"\n")
        self._partial = partial[-LINE_BYTES_MAX:]
        return tuple(act for line in lines if (act := act_from(line)) is not None)

    def close(self) -> None:
        """Nobody can press any more."""
        os.close(self._descriptor)
        self._path.unlink(missing_ok=True)


def _has_reader(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return False
    return stat.S_ISFIFO(path.stat().st_mode)
