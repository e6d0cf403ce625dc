"""A receiver at a serial port, for as long as it takes: opened, read, lost, opened again. The only serial I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date
from errno import EACCES, EAGAIN, EBUSY, EINVAL, ENOENT
from threading import Event
from typing import Protocol

import msgspec
import serial
from msgspec import Struct

from firmware_bridge.reader import Reader
from firmware_bridge.readings import DATE_FLOOR, Condition, Dates, FixRead, PortState, Reading
from wire.fix import Fix

BAUD = 9600  # what receivers speak until they are told otherwise

QUIET_S = 0.3  # a receiver sends its second in one burst; a line quiet for this long is between two of them
SILENT_S = 3.0
REOPEN_S_MIN = 0.1
REOPEN_S_MAX = 2.0
CHUNK_BYTES_MAX = 4096  # the kernel holds no more for us


class ReceiverSettings(Struct, frozen=True, kw_only=True):
    """Which port, best as /dev/serial/by-id/…, at what speed, and a day before which no date is believed."""

    port: str
    baud: int = BAUD
    date_floor: date = DATE_FLOOR


class Port(Protocol):
    """What is used of an opened port: pyserial's, or a fake with the same promises (OSError when it is gone)."""

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
    except OSError as error:
        raise OSError(error.errno, _TROUBLES.get(error.errno, f"not a serial port ({error})"), port) from None
    return opened


_TROUBLES: dict[int | None, str] = {
    ENOENT: "there is no such port; is the receiver plugged in?",
    EACCES: "this user may not read it; add the user to the group dialout",
    EAGAIN: "another program is reading it; stop that one first",
    EBUSY: "another program is reading it; stop that one first",
}


def read_chunk(port: Port) -> bytes:
    """What has arrived, at least one byte; empty when the line has been quiet for QUIET_S; OSError when it is gone."""
    # read(64) would wait for all 64 or the timeout: a fix would be as late as the next sentence.
    return port.read(min(port.in_waiting or 1, CHUNK_BYTES_MAX))


class Receiver:
    """One receiver, read by one thread."""

    def __init__(
        self,
        settings: ReceiverSettings,
        *,
        open_port: Callable[[str, int], Port] = open_port,
        mono_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._open_port = open_port
        self._mono_s = mono_s

    def readings(self, stop: Event) -> Iterator[Reading]:
        """Fixes and changes of condition until `stop` is set. A port that is gone is opened again, forever."""
        was_lost, pause_s = False, REOPEN_S_MIN
        while not stop.is_set():
            try:
                port = self._open_port(self._settings.port, self._settings.baud)
            except OSError as error:
                if not was_lost:  # said once, not with every attempt
                    yield self._lost(error)
                was_lost = True
            else:
                try:
                    for reading in self._until_lost(port, stop):
                        if isinstance(reading, FixRead):
                            pause_s = REOPEN_S_MIN
                        yield reading
                finally:
                    port.close()
                was_lost = True
            stop.wait(pause_s)
            pause_s = min(2 * pause_s, REOPEN_S_MAX)

    def _until_lost(self, port: Port, stop: Event) -> Iterator[Reading]:
        opened_s = self._mono_s()
        yield PortState(condition=Condition.OPENED, at_mono_s=opened_s)
        reader = Reader()
        dates = Dates(self._settings.date_floor)
        said = Condition.OPENED
        sentence_s = fix_s = read_s = opened_s
        sentences = 0
        while not stop.is_set():
            try:
                data = read_chunk(port)
            except OSError as error:
                yield from (self._read(dates, fix, read_s) for fix in reader.finish())
                yield self._lost(error)
                return
            now_s = self._mono_s()
            if data:
                read_s = now_s
            fixes = reader.feed(data) if data else reader.pause()
            if fixes:
                fix_s, said = now_s, Condition.OPENED
            yield from (self._read(dates, fix, read_s) for fix in fixes)
            if reader.right_sentences != sentences:
                sentence_s, sentences = now_s, reader.right_sentences
            condition = trouble(now_s, sentence_s, fix_s)
            if condition is not None and condition is not said:
                said = condition
                yield PortState(condition=condition, at_mono_s=now_s)

    def _read(self, dates: Dates, fix: Fix, read_s: float) -> FixRead:
        return FixRead(fix=msgspec.structs.replace(fix, at=dates.believed(fix.at)), read_mono_s=read_s)

    def _lost(self, error: OSError) -> PortState:
        return PortState(condition=Condition.LOST, at_mono_s=self._mono_s(), why=error.strerror or str(error))


def trouble(now_s: float, sentence_s: float, fix_s: float) -> Condition | None:
    """What is wrong, by when the last right sentence and the last Fix came; None when nothing is."""
    if now_s - sentence_s >= SILENT_S:
        return Condition.SILENT
    if now_s - fix_s >= SILENT_S:
        return Condition.NO_FIX
    return None
