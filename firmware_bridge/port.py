"""One serial port, opened for this process alone. The only file that touches a serial line."""

from __future__ import annotations

import fcntl
import os
import termios
from contextlib import suppress
from errno import EACCES, EAGAIN, EBUSY, EINVAL, EIO, ENOENT
from typing import Protocol

import serial

BAUD = 9600  # what receivers speak until they are told otherwise
QUIET_S = 0.3  # a receiver sends its second in one burst; a line quiet for this long is between two of them
CHUNK_BYTES_MAX = 4096  # the kernel holds no more for us


class Port(Protocol):
    """What is used of an opened port: pyserial's, or a fake with the same promises (OSError when it is gone)."""

    baudrate: int

    @property
    def in_waiting(self) -> int: ...

    def read(self, size: int = 1, /) -> bytes: ...

    def close(self) -> None: ...


def open_port(port: str, baud: int) -> Port:
    """The port, for this process alone; OSError when it is missing, taken, or no port."""
    try:
        opened = serial.Serial(port, baud, timeout=QUIET_S, exclusive=True)
    except ValueError as error:  # pyserial's word for a baud rate that this port cannot do
        raise OSError(EINVAL, str(error), port) from None
    except termios.error as error:  # it was pulled while it was set up
        raise OSError(*error.args) from None
    except OSError as error:
        raise OSError(error.errno, _TROUBLES.get(error.errno, f"not a serial port ({error})"), port) from None
    _shut_out_others(opened.fileno())
    return opened


def set_speed(port: Port, baud: int) -> bool:
    """Whether an opened port can be read at `baud`; OSError when it is gone."""
    try:
        port.baudrate = baud
    except ValueError:
        return False
    except termios.error as error:
        raise OSError(*error.args) from None
    return True


def _shut_out_others(descriptor: int) -> None:
    """pyserial's lock is heeded only by programs that ask for it; this one also by `cat` and a modem manager.

    A pseudo-terminal would keep it after we are gone, and turn away our next start.
    """
    if os.major(os.fstat(descriptor).st_rdev) not in _PSEUDO_TERMINALS:
        with suppress(OSError):
            fcntl.ioctl(descriptor, termios.TIOCEXCL)


_PSEUDO_TERMINALS = range(136, 144)  # Linux's device numbers of /dev/pts/*


_TROUBLES: dict[int | None, str] = {
    ENOENT: "there is no such port; is the receiver plugged in?",
    EACCES: "this user may not read it; add the user to the group dialout",
    EAGAIN: "another program is reading it; stop that one first",
    EBUSY: "another program is reading it; stop that one first",
}


def read_chunk(port: Port) -> bytes:
    """What has arrived, at least one byte; empty when the line has been quiet for QUIET_S; OSError when it is gone."""
    # read(64) would wait for all 64 or the timeout: a fix would be as late as the next sentence.
    try:
        return port.read(min(port.in_waiting or 1, CHUNK_BYTES_MAX))
    except OSError as error:
        if isinstance(error, serial.SerialException) or error.errno == EIO:  # pyserial's guesses help nobody
            raise OSError(EIO, "it was unplugged, or the program behind it ended") from error
        raise
