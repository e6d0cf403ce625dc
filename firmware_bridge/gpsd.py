"""gpsd as a source of positions, for boards on which other programs need the receiver too. Works with gpsd 3.20 and on.

gpsd listens to the receiver and says JSON, one object a line, on a local TCP port. What it says is judged like the words
of any stranger: bounded lines, only the fields we know, nothing guessed. A TPV is a position; the newest SKY and GST say
how good it is.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from math import hypot
from threading import Event
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from firmware_bridge.reader import Counts
from firmware_bridge.readings import DATE_FLOOR, Condition, Dates, FixRead, PortState, Reading
from wire import typed
from wire.fix import SPEED_MPS_MAX, Fix, FixQuality

HOST = "127.0.0.1"
PORT = 2947

LINE_BYTES_MAX = 16 * 1024  # gpsd's own buffer for one answer is 10 kB; a sky of 140 satellites fits
CHUNK_BYTES_MAX = 16 * 1024
CONNECT_S_MAX = 3.0
QUIET_S = 0.3  # how soon a stop is seen while gpsd is silent
SILENT_S = 3.0  # as at a serial port
REOPEN_S_MIN = 0.1
REOPEN_S_MAX = 2.0
SKY_S_MAX = 10.0  # receivers tell of their sky every one to five seconds
ERROR_S_MAX = 2.0  # an estimate of error belongs to the fix it came with
HDOP_MAX = 100.0  # "no idea", as in NMEA
ACCURACY_M_MAX = 100_000.0
DEVICES_MAX = 8  # gpsd itself holds four
PROTOCOL = 3

T = TypeVar("T")

WATCH = b'?WATCH={"enable":true,"json":true}\n'

# gpsd's `status`. Left out (0: not said, 1: plain) is autonomous, and so are 6, satellites helped by dead reckoning, and 9,
# the military signal. 7 is a surveyed place that somebody typed in and 8 a simulator: neither is where a vehicle is.
_QUALITIES = {
    0: FixQuality.AUTONOMOUS,
    1: FixQuality.AUTONOMOUS,
    2: FixQuality.DIFFERENTIAL,
    3: FixQuality.RTK,
    4: FixQuality.RTK,
    5: FixQuality.ESTIMATED,
    6: FixQuality.AUTONOMOUS,
    9: FixQuality.AUTONOMOUS,
}


class Rejected(ValueError):
    """A line that is wrong. `reason` is one of a few stable words, for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Position(Struct, frozen=True, kw_only=True):
    """A fix, and the device that said it."""

    device: str
    fix: Fix


class NoPosition(Struct, frozen=True, kw_only=True):
    """The device is alive and has no position."""

    device: str


class Devices(Struct, frozen=True, kw_only=True):
    """The receivers that gpsd reads now."""

    paths: frozenset[str]


class Greeting(Struct, frozen=True, kw_only=True):
    """Who is there: gpsd's first line."""

    protocol: int


Heard = Position | NoPosition | Devices | Greeting


class Talk:
    """What one connection to gpsd says, from its first byte to its last. No I/O and no clock in here.

    `accuracy_m` is the radius of GST (the receiver's own, two times in three) where there is one. Otherwise it is gpsd's
    `eph`, whose certainty gpsd does not promise: where the receiver gives no error gpsd makes one from the dilution, at 95
    in 100, so it errs on the wide side.
    """

    def __init__(self, *, estimates: bool = False) -> None:
        self._estimates = estimates
        self._held = b""
        self._is_skipping = False  # the rest of a line that is too long
        self._paths: frozenset[str] = frozenset()
        self._sky: dict[str, tuple[_Sky, float]] = {}
        self._error: dict[str, tuple[_Gst, float]] = {}
        self._told: dict[str, Fix] = {}
        self._accepted = self._empty = 0
        self._rejected: Counter[str] = Counter()

    @property
    def counts(self) -> Counts:
        """Lines so far, in the words used for sentences."""
        return Counts(
            accepted=self._accepted, empty=self._empty, rejected=dict(sorted(self._rejected.items())), noise_bytes=0
        )

    def feed(self, data: bytes, now_s: float) -> list[Heard]:
        """What the lines that `data` completed say, in their order."""
        *lines, self._held = (self._held + data).split(b"\n")
        found = []
        for line in lines:
            if self._is_skipping:
                self._is_skipping = False
            elif (heard := self._judge(line, now_s)) is not None:
                found.append(heard)
        if len(self._held) > LINE_BYTES_MAX:
            self._held = b""
            if not self._is_skipping:
                self._rejected["too_long"] += 1
            self._is_skipping = True
        return found

    def _judge(self, line: bytes, now_s: float) -> Heard | None:
        if not line.strip():
            return None
        try:
            heard = self._said(line, now_s)
        except Rejected as rejected:
            self._rejected[rejected.reason] += 1
            return None
        if isinstance(heard, Position):
            self._accepted += 1
        else:
            self._empty += 1
        return heard

    def _said(self, line: bytes, now_s: float) -> Heard | None:
        if len(line) > LINE_BYTES_MAX:
            raise Rejected("too_long")
        match _decoded(line, _Any).kind:
            case "TPV":
                return self._position(_decoded(line, _Tpv), now_s)
            case "SKY":
                sky = _decoded(line, _Sky)
                self._keep(self._sky, sky.device, (sky, now_s))
                return NoPosition(device=sky.device)
            case "GST":
                error = _decoded(line, _Gst)
                self._keep(self._error, error.device, (error, now_s))
                return NoPosition(device=error.device)
            case "DEVICES":
                devices = _decoded(line, _Devices).devices
                return self._devices(frozenset(one.path for one in devices if one.is_open))
            case "DEVICE":
                one = _decoded(line, _Device)
                return self._devices(self._paths | {one.path} if one.is_open else self._paths - {one.path})
            case "VERSION":
                return Greeting(protocol=_decoded(line, _Version).proto_major)
            case _:
                return None

    def _devices(self, paths: frozenset[str]) -> Devices:
        if len(paths) > DEVICES_MAX:
            raise Rejected("devices")
        self._paths = paths
        return Devices(paths=paths)

    def _position(self, tpv: _Tpv, now_s: float) -> Heard | None:
        quality = _QUALITIES.get(tpv.status)
        is_wanted = quality is not None and (self._estimates or quality is not FixQuality.ESTIMATED)
        if tpv.mode not in (2, 3) or tpv.lat is None or tpv.lon is None or not is_wanted:
            return NoPosition(device=tpv.device)
        if tpv.lat == 0 and tpv.lon == 0:
            raise Rejected("null_island")
        if tpv.speed is not None and not 0 <= tpv.speed <= SPEED_MPS_MAX:
            raise Rejected("speed")
        if tpv.track is not None and not 0 <= tpv.track <= 360:
            raise Rejected("heading")
        try:
            fix = Fix(
                lat=tpv.lat,
                lon=tpv.lon,
                at=None if tpv.time is None else tpv.time.astimezone(UTC),
                speed_mps=tpv.speed,
                heading_deg=None if tpv.track is None else tpv.track % 360,
                hdop=self._hdop(tpv.device, now_s),
                satellites=self._satellites(tpv.device, now_s),
                accuracy_m=self._accuracy_m(tpv, now_s),
                dimensions=tpv.mode,
                quality=quality or FixQuality.AUTONOMOUS,
            )
        except (ValueError, OverflowError):
            raise Rejected("position") from None
        return self._if_new(tpv.device, fix)

    def _if_new(self, device: str, fix: Fix) -> Heard:
        """One fix for each moment: while gpsd learns how a receiver's second ends, it tells of one several times."""
        before = self._told.get(device)
        if before is not None:
            if fix.at is not None and fix.at == before.at:
                return NoPosition(device=device)
            if fix.at is None and (fix.lat, fix.lon) == (before.lat, before.lon):
                return NoPosition(device=device)
        self._keep(self._told, device, fix)
        return Position(device=device, fix=fix)

    def _hdop(self, device: str, now_s: float) -> float | None:
        sky = self._fresh_sky(device, now_s)
        return None if sky is None or sky.hdop is None or not 0 <= sky.hdop < HDOP_MAX else sky.hdop

    def _satellites(self, device: str, now_s: float) -> int | None:
        sky = self._fresh_sky(device, now_s)
        if sky is None:
            return None
        used = sky.used if sky.used is not None or not sky.satellites else sum(one.used for one in sky.satellites)
        return used if used is not None and 0 <= used <= 255 else None

    def _fresh_sky(self, device: str, now_s: float) -> _Sky | None:
        sky, said_s = self._sky.get(device, (None, 0.0))
        return sky if now_s - said_s <= SKY_S_MAX else None

    def _accuracy_m(self, tpv: _Tpv, now_s: float) -> float | None:
        error, said_s = self._error.get(tpv.device, (None, 0.0))
        if error is not None and error.lat is not None and error.lon is not None and now_s - said_s <= ERROR_S_MAX:
            accuracy_m: float | None = hypot(error.lat, error.lon)
        else:
            accuracy_m = tpv.eph
        return accuracy_m if accuracy_m is not None and 0 <= accuracy_m < ACCURACY_M_MAX else None

    def _keep(self, kept: dict[str, T], device: str, value: T) -> None:
        """The newest of each device; a stranger that names ever new ones fills nothing."""
        if device not in kept and len(kept) >= DEVICES_MAX:
            raise Rejected("devices")
        kept[device] = value


class _Any(Struct):
    kind: str = field(name="class")


class _Version(Struct):
    proto_major: int


class _Tpv(Struct):
    device: str = ""
    mode: int = 0
    status: int = 0
    time: Annotated[datetime, Meta(tz=True)] | None = None
    lat: float | None = None
    lon: float | None = None
    speed: float | None = None
    track: float | None = None
    eph: float | None = None


class _Satellite(Struct):
    used: bool = False


class _Sky(Struct):
    device: str = ""
    hdop: float | None = None
    used: int | None = field(default=None, name="uSat")
    satellites: list[_Satellite] = []


class _Gst(Struct):
    """`lat`, `lon`: one standard deviation in metres."""

    device: str = ""
    lat: float | None = None
    lon: float | None = None


class _Device(Struct):
    path: str = ""
    activated: float | str | None = None  # a time as text, 0 when gpsd has let go of it, nothing before it was opened

    @property
    def is_open(self) -> bool:
        return isinstance(self.activated, str) or bool(self.activated)


class _Devices(Struct):
    devices: list[_Device] = []


def _decoded(line: bytes, kind: type[T]) -> T:
    try:
        return typed.json(line, kind)
    except msgspec.ValidationError:
        raise Rejected("shape") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Rejected("json") from None


class Connection(Struct, frozen=True):
    """What is used of a connection: bytes, `None` when none came for a while, b"" when it has ended; OSError likewise."""

    receive: Callable[[], bytes | None]
    close: Callable[[], None]


def connect(host: str, port: int) -> Connection:
    """gpsd, asked to tell all it hears; OSError when nobody is there."""
    opened = socket.create_connection((host, port), CONNECT_S_MAX)
    try:
        opened.sendall(WATCH)
        opened.settimeout(QUIET_S)
    except OSError:
        opened.close()
        raise

    def receive() -> bytes | None:
        try:
            return opened.recv(CHUNK_BYTES_MAX)
        except TimeoutError:
            return None

    return Connection(receive, opened.close)


class Gpsd:
    """One gpsd, read by one thread. `estimates`: dead reckoning too, told as such."""

    def __init__(
        self,
        host: str = HOST,
        port: int = PORT,
        *,
        date_floor: date = DATE_FLOOR,
        estimates: bool = False,
        mono_s: Callable[[], float] = time.monotonic,
        connect: Callable[[str, int], Connection] = connect,
    ) -> None:
        self._host, self._port = host, port
        self._date_floor = date_floor
        self._estimates = estimates
        self._mono_s = mono_s
        self._connect = connect
        self._talk = Talk(estimates=estimates)

    def counts(self) -> Counts:
        """Lines of this connection. Any thread."""
        return self._talk.counts

    def readings(self, stop: Event) -> Iterator[Reading]:
        """Fixes and changes of condition until `stop` is set. A gpsd that is gone is asked again, forever."""
        was_lost, pause_s = False, REOPEN_S_MIN
        while not stop.is_set():
            try:
                connection = self._connect(self._host, self._port)
            except OSError as error:
                if not was_lost:  # said once, not with every attempt
                    yield self._lost(f"gpsd does not answer at {self._host}:{self._port} ({error.strerror or error})")
                was_lost = True
            else:
                try:
                    for reading in self._until_lost(connection, stop):
                        is_lost = isinstance(reading, PortState) and reading.condition is Condition.LOST
                        if isinstance(reading, FixRead):
                            pause_s = REOPEN_S_MIN
                        if not (is_lost and was_lost):
                            yield reading
                        was_lost = is_lost
                finally:
                    connection.close()
            stop.wait(pause_s)
            pause_s = min(2 * pause_s, REOPEN_S_MAX)

    def _until_lost(self, connection: Connection, stop: Event) -> Iterator[Reading]:
        self._talk = Talk(estimates=self._estimates)
        watch = _Watch(self._mono_s(), self._date_floor)
        while not stop.is_set():
            try:
                data = connection.receive()
            except OSError as error:
                yield self._lost(f"gpsd is gone ({error.strerror or error})")
                return
            now_s = self._mono_s()
            if data == b"":
                yield self._lost("gpsd has ended")
                return
            for heard in self._talk.feed(data or b"", now_s):
                yield from watch.take(heard, now_s)
            yield from watch.look(now_s)
            if watch.is_stranger:
                yield self._lost(f"what answers at {self._host}:{self._port} is no gpsd that we understand")
                return

    def _lost(self, why: str) -> PortState:
        return PortState(condition=Condition.LOST, at_mono_s=self._mono_s(), why=why)


class _Watch:
    """How the receiver behind one connection is, by what was heard and when."""

    def __init__(self, now_s: float, date_floor: date) -> None:
        self._began_s = self._heard_s = self._fix_s = now_s
        self._date_floor = date_floor
        self._dates = Dates(date_floor)
        self._said: Condition | None = None
        self._is_greeted = False
        self._path = ""  # for a person, and by gpsd's word
        self._device: str | None = None  # of two receivers the one that had a position first, for as long as it has one
        self.is_stranger = False

    def take(self, heard: Heard, now_s: float) -> Iterator[Reading]:
        """What `heard` comes to."""
        match heard:
            case Greeting(protocol=protocol):
                self._is_greeted = True
                self.is_stranger = protocol != PROTOCOL
            case _ if not self._is_greeted:
                self.is_stranger = True  # gpsd says its version first
            case Devices(paths=paths):
                yield from self._take_devices(paths, now_s)
            case NoPosition(device=device):
                if self._device in (None, device):
                    self._heard_s = now_s
                    yield from self._opened(now_s, device)
            case Position(device=device, fix=fix):
                if self._device not in (None, device) and now_s - self._fix_s < SILENT_S:
                    return
                if device != self._device:
                    self._dates = Dates(self._date_floor)
                self._device = device
                self._heard_s = self._fix_s = now_s
                if self._said is None:
                    yield from self._opened(now_s, device)
                self._said = Condition.OPENED
                dated = msgspec.structs.replace(fix, at=self._dates.believed(fix.at))
                yield FixRead(fix=dated, read_mono_s=now_s)

    def look(self, now_s: float) -> Iterator[Reading]:
        """What only time says."""
        if not self._is_greeted:
            self.is_stranger = self.is_stranger or now_s - self._began_s >= SILENT_S
        elif self._said in (None, Condition.LOST):
            if self._said is None and now_s - self._began_s >= SILENT_S:
                yield self._state(Condition.LOST, now_s, "gpsd has no receiver; is it plugged in?")
        elif now_s - self._heard_s >= SILENT_S:
            if self._said is not Condition.SILENT:
                yield self._state(Condition.SILENT, now_s)
        elif now_s - self._fix_s >= SILENT_S and self._said is not Condition.NO_FIX:
            yield self._state(Condition.NO_FIX, now_s)

    def _take_devices(self, paths: frozenset[str], now_s: float) -> Iterator[Reading]:
        if paths:
            yield from self._opened(now_s, min(paths))
        if self._device is not None and self._device not in paths:
            self._device = None
        if not paths and self._said is not None and self._said is not Condition.LOST:
            yield self._state(Condition.LOST, now_s, "gpsd has lost its receiver; is it plugged in?")

    def _opened(self, now_s: float, path: str) -> Iterator[Reading]:
        if self._said in (None, Condition.LOST):
            self._path = path
            self._heard_s = self._fix_s = now_s
            self._dates = Dates(self._date_floor)
            yield self._state(Condition.OPENED, now_s)

    def _state(self, condition: Condition, now_s: float, why: str = "") -> PortState:
        self._said = condition
        path = "" if condition is Condition.LOST else self._path
        return PortState(condition=condition, at_mono_s=now_s, why=why, port=path)
