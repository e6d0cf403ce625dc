"""A receiver at a serial port, for as long as it takes: found, opened, read, lost, opened again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from threading import Event

import msgspec
from msgspec import Struct

from firmware_bridge.find import AUTO, Finder, Found, Place, candidates
from firmware_bridge.port import BAUD, CHUNK_BYTES_MAX, QUIET_S, Port, open_port, read_chunk
from firmware_bridge.reader import Counts, Reader
from firmware_bridge.readings import DATE_FLOOR, Condition, Dates, FixRead, PortState, Reading
from wire.fix import Fix

__all__ = [
    "AUTO",
    "BAUD",
    "CHUNK_BYTES_MAX",
    "QUIET_S",
    "Port",
    "Receiver",
    "ReceiverSettings",
    "open_port",
    "read_chunk",
]

SILENT_S = 3.0
LOOK_AGAIN_S = 10.0  # a port that was found and says nothing right for so long may be another one by now
REOPEN_S_MIN = 0.1
REOPEN_S_MAX = 0.5  # a receiver that is plugged in again is read within two seconds, its own half of that included
COUNT_S = 1.0


class ReceiverSettings(Struct, frozen=True, kw_only=True):
    """Which port, best as /dev/serial/by-id/… or AUTO, and at what speed, 0 to find it.

    No date before `date_floor` is believed. `estimates`: dead reckoning too. What was found is kept in the file `memory`.
    """

    port: str
    baud: int = BAUD
    date_floor: date = DATE_FLOOR
    estimates: bool = False
    memory: Path | None = None


class Receiver:
    """One receiver, read by one thread."""

    def __init__(
        self,
        settings: ReceiverSettings,
        *,
        open_port: Callable[[str, int], Port] = open_port,
        candidates: Callable[[], Iterable[str]] = candidates,
        mono_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._open_port = open_port
        self._mono_s = mono_s
        self._counts: Counts | None = None
        is_told = settings.port != AUTO and settings.baud != 0
        self._finder = (
            None
            if is_told
            else Finder(
                settings.port,
                settings.baud,
                open_port,
                memory=settings.memory,
                candidates=candidates,
                mono_s=mono_s,
            )
        )

    def counts(self) -> Counts | None:
        """What was read since the port was opened, a second old at most; None before. Any thread."""
        return self._counts

    def readings(self, stop: Event) -> Iterator[Reading]:
        """Fixes and changes of condition until `stop` is set. A port that is gone is opened again, forever."""
        lost_why, pause_s = None, REOPEN_S_MIN
        while not stop.is_set():
            found, why = self._found(stop)
            if found is not None:
                try:
                    for reading in self._until_lost(found, stop):
                        if isinstance(reading, FixRead):
                            pause_s = REOPEN_S_MIN
                        elif reading.condition is Condition.LOST:
                            lost_why = reading.why
                        yield reading
                finally:
                    found.opened.close()
            elif why and why != lost_why and not stop.is_set():  # said once, not with every attempt
                if lost_why is None or self._finder is not None:
                    yield PortState(condition=Condition.LOST, at_mono_s=self._mono_s(), why=why)
                lost_why = why
            stop.wait(pause_s)
            pause_s = min(2 * pause_s, REOPEN_S_MAX)

    def _found(self, stop: Event) -> tuple[Found | None, str]:
        """The opened port; or None, and what a person may do about it."""
        if self._finder is not None:
            return self._finder.find(stop), self._finder.why
        place = Place(port=self._settings.port, baud=self._settings.baud)
        try:
            opened = self._open_port(place.port, place.baud)
        except OSError as error:
            return None, error.strerror or str(error)
        return Found(opened=opened, place=place, data=b""), ""

    def _until_lost(self, found: Found, stop: Event) -> Iterator[Reading]:
        opened_s = self._mono_s()
        place = found.place
        reader = Reader(estimates=self._settings.estimates)
        dates = Dates(self._settings.date_floor)
        told = Condition.OPENED
        sentence_s = fix_s = read_s = counted_s = opened_s
        sentences = unreadable_bytes = 0
        self._counts = reader.counts

        def state(condition: Condition, at_s: float, why: str = "") -> PortState:
            return PortState(condition=condition, at_mono_s=at_s, why=why, port=place.port, baud=place.baud)

        yield state(told, opened_s)
        data = found.data
        while not stop.is_set():
            try:
                data = data or read_chunk(found.opened)
            except OSError as error:
                yield from (self._read(dates, fix, read_s) for fix in reader.finish())
                yield state(Condition.LOST, self._mono_s(), error.strerror or str(error))
                return
            now_s = self._mono_s()
            if data:
                read_s = now_s
            fixes = reader.feed(data) if data else reader.pause()
            if fixes:
                fix_s, told = now_s, Condition.OPENED
            yield from (self._read(dates, fix, read_s) for fix in fixes)
            if reader.right_sentences != sentences:
                sentence_s, sentences, unreadable_bytes = now_s, reader.right_sentences, 0
            else:
                unreadable_bytes += len(data)
            data = b""
            if now_s - counted_s >= COUNT_S:
                counted_s, self._counts = now_s, reader.counts
            condition = trouble(now_s, sentence_s, fix_s)
            if condition is not None and condition is not told:
                told = condition
                yield state(condition, now_s, _why(condition, unreadable_bytes))
            if self._finder is not None and now_s - sentence_s >= LOOK_AGAIN_S:
                yield state(Condition.LOST, now_s, _why(Condition.SILENT, unreadable_bytes))
                return

    def _read(self, dates: Dates, fix: Fix, read_s: float) -> FixRead:
        return FixRead(fix=msgspec.structs.replace(fix, at=dates.believed(fix.at)), read_mono_s=read_s)


def trouble(now_s: float, sentence_s: float, fix_s: float) -> Condition | None:
    """What is wrong, by when the last right sentence and the last Fix came; None when nothing is."""
    if now_s - sentence_s >= SILENT_S:
        return Condition.SILENT
    if now_s - fix_s >= SILENT_S:
        return Condition.NO_FIX
    return None


def _why(condition: Condition, unreadable_bytes: int) -> str:
    if condition is Condition.NO_FIX:
        return "the receiver speaks and has no new position: no sky yet, or it stands still in time"
    if unreadable_bytes:
        return "bytes come and none can be read: wrong speed, bad cable, or another device"
    return "no byte comes: cable, power, or a dead receiver"
