"""Which port the receiver is at, and how fast it speaks: found by listening, judged by checksummed sentences.

Only listening: nothing is ever written to a port, because the next device may be a modem or a cutter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from threading import Event

import msgspec
from msgspec import Struct

from firmware_bridge.framing import Framer
from firmware_bridge.nmea import Rejected, said
from firmware_bridge.port import Port, read_chunk, set_speed
from wire import typed

AUTO = "auto"
# By what is met most: the standard's first rate, two of modern modules, the standard's old one, the rest.
SPEEDS = (9600, 38400, 115200, 4800, 57600, 19200, 230400, 460800, 921600)

LISTEN_S = 1.2  # a receiver speaks once a second; this holds one whole burst, wherever we begin
SPEECHLESS_BYTES = (400, 4000)  # so much without a sentence is not its speed; a second time around, more patiently:
# a receiver may speak a binary protocol as well, half a second of it between two sentences
HEARD_BYTES_MAX = 32_768  # what is heard is judged again with each piece; a busy line of ships' talkers says less
BURST_BYTES = 100  # a burst that ended without a sentence had room for one
SILENT_SPEEDS = 2  # bytes at the wrong speed still arrive as bytes: nothing at two speeds is nothing at all
REFUSED_S = 60.0  # how long a port that is no receiver's is left alone; it may be told to become one

_NAMES = ("serial/by-id/*", "ttyACM*", "ttyUSB*", "ttyAMA*", "serial0")
_KINDS = frozenset({"RMC", "GGA", "GNS", "GLL", "GSA", "GSV"})  # a log or a sounder speaks NMEA too


class Verdict(Enum):
    """What was heard at one port at one speed. The value completes "…: it"."""

    RECEIVER = "is a receiver"
    NOTHING = "says nothing"
    UNREADABLE = "says nothing readable at any speed tried: another device, or a receiver set to a binary protocol"
    OTHER = "speaks NMEA but says no positions: another device"


class Place(Struct, frozen=True, kw_only=True):
    """Where a receiver was found."""

    port: str
    baud: int


class Found(Struct, frozen=True, kw_only=True):
    """A receiver: its port, opened for us alone, and what it said while it was recognized."""

    opened: Port
    place: Place
    data: bytes


def candidates(dev: Path = Path("/dev")) -> list[str]:
    """Ports at which a receiver may be, the names that last first, and each device once."""
    seen: dict[Path, str] = {}
    for name in _NAMES:
        for path in sorted(dev.glob(name)):
            with suppress(OSError, RuntimeError):  # a link into nowhere, or into itself
                seen.setdefault(path.resolve(strict=True), str(path))
    return list(seen.values())


def judged(data: bytes) -> Verdict:
    """What `data`, all that was heard at one speed, came from. One right sentence of a receiver is enough."""
    if not data:
        return Verdict.NOTHING
    verdict = Verdict.UNREADABLE
    for sentence in Framer().feed(data):
        try:
            said(sentence)
        except Rejected as rejected:
            if rejected.reason in ("checksum", "no_checksum", "too_long"):
                continue
        if sentence[3:6] in _KINDS:
            return Verdict.RECEIVER
        verdict = Verdict.OTHER
    return verdict


class Finder:
    """Looks for one receiver, again and again as ports come and go. It remembers where it was and what is none."""

    def __init__(
        self,
        port: str,
        baud: int,
        open_port: Callable[[str, int], Port],
        *,
        memory: Path | None = None,
        candidates: Callable[[], Iterable[str]] = candidates,
        mono_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`port` AUTO looks at all, `baud` 0 tries all; what worked is kept in the file `memory` for the next start."""
        self._port = port
        self._speeds = (baud,) if baud else SPEEDS
        self._open_port = open_port
        self._memory = memory
        self._candidates = candidates
        self._mono_s = mono_s
        self._last = _remembered(memory)
        self._refused: dict[tuple[str, int, int], tuple[float, str]] = {}  # by name and birth: until when, and why
        self._why = ""

    @property
    def why(self) -> str:
        """Why the last look found nothing, for a person."""
        return self._why

    def find(self, stop: Event) -> Found | None:
        """The receiver, or None when there is none now or `stop` is set; `why` then says what was there instead."""
        ports = self._ports()
        self._forget(ports)
        reasons: dict[str, str] = {}
        for port in self._in_order(ports):
            refused = self._refused.get(_birth(port))
            if refused is not None:
                reasons[port] = refused[1]
                continue
            found, why = self._listen(port, stop, ports)
            if found is not None:
                self._remember(found.place)
                return found
            if stop.is_set() or self._ports() != ports:
                return None  # something was plugged in or out: look again at once, it may be the receiver
            reasons[port] = why
        self._why = "; ".join(f"{port}: {why}" for port, why in reasons.items()) or self._nowhere()
        return None

    def _ports(self) -> list[str]:
        return list(self._candidates()) if self._port == AUTO else [self._port]

    def _nowhere(self) -> str:
        return "there is no serial port; is the receiver plugged in?"

    def _in_order(self, ports: list[str]) -> list[str]:
        first = self._last.port if self._last is not None else None
        return sorted(ports, key=lambda port: port != first)

    def _forget(self, ports: list[str]) -> None:
        """A port that went away, came back, or was refused long ago is looked at again."""
        present, now_s = {_birth(port) for port in ports}, self._mono_s()
        self._refused = {
            birth: (until_s, why)
            for birth, (until_s, why) in self._refused.items()
            if birth in present and now_s < until_s
        }

    def _listen(self, port: str, stop: Event, ports: list[str]) -> tuple[Found | None, str]:
        speeds = self._speeds_of(port)
        try:
            opened = self._open_port(port, speeds[0])
        except OSError as error:
            return None, error.strerror or str(error)
        found, why = None, ""
        try:
            found, why = self._at_speeds(port, opened, speeds, stop, ports)
        except OSError as error:
            why = f"is gone ({error.strerror or error})"
        finally:
            if found is None:
                opened.close()
        return found, why

    def _speeds_of(self, port: str) -> tuple[int, ...]:
        last = self._last
        if last is None or last.port != port or last.baud not in self._speeds:
            return self._speeds
        return (last.baud, *(speed for speed in self._speeds if speed != last.baud))

    def _at_speeds(
        self, port: str, opened: Port, speeds: tuple[int, ...], stop: Event, ports: list[str]
    ) -> tuple[Found | None, str]:
        verdicts: list[Verdict] = []
        for patience_bytes in SPEECHLESS_BYTES:
            if Verdict.OTHER in verdicts:
                break
            for speed in speeds:
                if not set_speed(opened, speed):
                    continue
                data = self._heard(opened, stop, patience_bytes)
                verdicts.append(judged(data))
                if verdicts[-1] is Verdict.RECEIVER:
                    return Found(opened=opened, place=Place(port=port, baud=speed), data=data), ""
                if stop.is_set() or self._ports() != ports:
                    return None, ""
                if verdicts[-1] is Verdict.OTHER:  # that was its speed
                    break
                if verdicts[:SILENT_SPEEDS] == [Verdict.NOTHING] * SILENT_SPEEDS:
                    return None, Verdict.NOTHING.value
        verdict = Verdict.OTHER if Verdict.OTHER in verdicts else Verdict.UNREADABLE
        if self._port == AUTO and (self._last is None or self._last.port != port):
            self._refused[_birth(port)] = self._mono_s() + REFUSED_S, verdict.value
        return None, verdict.value

    def _heard(self, opened: Port, stop: Event, patience_bytes: int) -> bytes:
        """What a port says at one speed, for no longer than it takes to know whether it is this one."""
        until_s = self._mono_s() + LISTEN_S
        data = b""
        while not stop.is_set() and self._mono_s() < until_s:
            piece = read_chunk(opened)
            data += piece
            verdict = judged(data)
            if verdict is Verdict.RECEIVER or len(data) > HEARD_BYTES_MAX:
                break
            # Where other sentences are read, a receiver's may still come: several talkers can share a line.
            if verdict is Verdict.UNREADABLE and len(data) >= (patience_bytes if piece else BURST_BYTES):
                break
        return data

    def _remember(self, place: Place) -> None:
        if place == self._last:
            return
        self._last = place
        if self._memory is not None:
            with suppress(OSError):  # it is a shortcut for the next start; nothing depends on it
                self._memory.write_bytes(msgspec.json.encode(place))


def _birth(port: str) -> tuple[str, int, int]:
    """A port's name and what its device has had since it was made: one that was plugged in anew is another."""
    try:
        made = Path(port).stat()
    except OSError:
        return port, 0, 0
    return port, made.st_ino, made.st_ctime_ns


def _remembered(memory: Path | None) -> Place | None:
    if memory is None:
        return None
    try:
        return typed.json(memory.read_bytes(), Place)
    except (OSError, ValueError):
        return None
