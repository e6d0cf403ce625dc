"""What can be told of a receiver at this moment, gathered from its bytes and from the fixes made of them.

One thread hears and takes, another asks for the picture. Nothing here prints; `page` draws a Picture for a person.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from errno import ENODATA
from threading import Event, Lock

from msgspec import Struct

from firmware_bridge.framing import Framer
from firmware_bridge.nmea import Day, Position, Rejected, said
from firmware_bridge.pins import PinsState
from firmware_bridge.port import BAUD, QUIET_S, Port
from firmware_bridge.readings import Condition, FixRead, Reading
from firmware_bridge.replay import Moment, moments
from firmware_bridge.serial_port import Receiver
from firmware_bridge.sky import Sky, SkyReader
from wire.fix import Fix

RATE_S = 10  # some kinds come only every fifth second
KINDS_MAX = 64  # a page holds fewer; a receiver that invents kinds does not fill the memory
OTHER_KIND = "other"
SKY_REASON = "sky"  # a GSV or GSA with a right checksum and satellites that cannot be
LOOKING = "looking"  # for a port and a speed, or for a port that is there: nothing has been said yet
FIX = "fix"  # the condition of a receiver that is well; all others are Condition's
CAPTURE_HAS_ENDED = "the capture has ended"
_ROLLED_OVER = timedelta(weeks=512)  # a date further off than this has been repaired, not merely passed midnight


class ShownFix(Struct, frozen=True, kw_only=True):
    """The last Fix and how old it is; `at` only where its date is believed."""

    at: datetime | None
    lat: float
    lon: float
    speed_mps: float | None
    heading_deg: float | None
    hdop: float | None
    satellites: int | None
    accuracy_m: float | None
    dimensions: int | None
    quality: str
    age_s: float


class ShownClock(Struct, frozen=True, kw_only=True):
    """`state` of the date: "not_said", "doubted" (no three that agree yet), "believed" or "repaired" (its week counter had rolled over).

    `system_ahead_s` is how far this machine's clock is ahead of the receiver's, the time on the line included (below a
    second it says nothing); None while there is no believed date, and for a capture.
    """

    state: str
    said: date | None
    system_ahead_s: float | None


class KindCount(Struct, frozen=True, kw_only=True):
    """Right sentences of one kind (talker and formatter); `per_s` over the last ten seconds, None in the first one."""

    kind: str
    count: int
    per_s: float | None


class Picture(Struct, frozen=True, kw_only=True):
    """Everything that `watch` shows, and what `watch --json` prints. `pins`: as they were when it began, if looked at."""

    at: datetime
    port: str
    baud: int
    is_capture: bool
    condition: str
    condition_s: float
    why: str
    reopened: int
    fix: ShownFix | None
    clock: ShownClock
    sky: Sky
    sky_age_s: float | None
    sentences: tuple[KindCount, ...]
    rejected: Mapping[str, int]
    noise_bytes: int
    read_bytes: int
    pins: PinsState | None


def utc_now() -> datetime:
    return datetime.now(UTC)


class Watch:
    """One receiver, watched for as long as it takes, through every unplugging."""

    def __init__(
        self,
        port: str,
        baud: int,
        *,
        is_capture: bool = False,
        pins: PinsState | None = None,
        mono_s: Callable[[], float] = time.monotonic,
        utc_now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._port = port
        self._baud = baud
        self._is_capture = is_capture
        self._pins = pins
        self._mono_s = mono_s
        self._utc_now = utc_now
        self._lock = Lock()
        self._tally = Tally()
        self._condition = LOOKING
        self._condition_s = mono_s()
        self._why = ""
        self._opened = 0
        self._fix: FixRead | None = None
        self._system_ahead_s: float | None = None

    def open(self, port: str, baud: int) -> None:
        """`port` will be listened to at `baud`: what is heard from now on is counted anew."""
        with self._lock:
            self._port, self._baud = port, baud
            self._tally = Tally()

    def hear(self, data: bytes) -> None:
        """Bytes as they were read."""
        with self._lock:
            self._tally.hear(data, self._mono_s())

    def take(self, reading: Reading) -> None:
        """A fix that was made of those bytes, or a change of the port's condition."""
        with self._lock:
            if isinstance(reading, FixRead):
                self._fix = reading
                self._system_ahead_s = self._ahead_s(reading)
                self._become(FIX, "", reading.read_mono_s)
                return
            if reading.condition is Condition.OPENED:
                self._opened += 1
            self._become(reading.condition.value, reading.why, reading.at_mono_s)

    def picture(self) -> Picture:
        with self._lock:
            now_s = self._mono_s()
            tally = self._tally
            return Picture(
                at=self._utc_now(),
                port=self._port,
                baud=self._baud,
                is_capture=self._is_capture,
                condition=self._condition,
                condition_s=max(0.0, now_s - self._condition_s),
                why=self._why,
                reopened=max(0, self._opened - 1),
                fix=None if self._fix is None else _shown(self._fix.fix, max(0.0, now_s - self._fix.read_mono_s)),
                clock=self._clock(),
                sky=tally.sky,
                sky_age_s=None if tally.sky_mono_s is None else max(0.0, now_s - tally.sky_mono_s),
                sentences=tally.kinds(now_s),
                rejected=tally.rejected,
                noise_bytes=tally.noise_bytes,
                read_bytes=tally.read_bytes,
                pins=self._pins,
            )

    def _become(self, condition: str, why: str, at_mono_s: float) -> None:
        if condition != self._condition:
            self._condition_s = at_mono_s
        self._condition, self._why = condition, why

    def _ahead_s(self, reading: FixRead) -> float | None:
        if self._is_capture or reading.fix.at is None:
            return None
        read_ago = timedelta(seconds=self._mono_s() - reading.read_mono_s)
        return (self._utc_now() - read_ago - reading.fix.at).total_seconds()

    def _clock(self) -> ShownClock:
        said_day = self._tally.day
        at = None if self._fix is None else self._fix.fix.at
        if at is not None:
            is_repaired = said_day is not None and abs(at.date() - said_day) > _ROLLED_OVER
            state = "repaired" if is_repaired else "believed"
        else:
            state = "not_said" if said_day is None else "doubted"
        return ShownClock(state=state, said=said_day, system_ahead_s=self._system_ahead_s)


def _shown(fix: Fix, age_s: float) -> ShownFix:
    return ShownFix(
        at=fix.at,
        lat=fix.lat,
        lon=fix.lon,
        speed_mps=fix.speed_mps,
        heading_deg=fix.heading_deg,
        hdop=fix.hdop,
        satellites=fix.satellites,
        accuracy_m=fix.accuracy_m,
        dimensions=fix.dimensions,
        quality=str(fix.quality),
        age_s=age_s,
    )


class Tally:
    """What the bytes were: how many sentences of which kind, what was wrong with the others, the sky, the date said."""

    def __init__(self) -> None:
        self.begin_mono_s: float | None = None
        self.sky_mono_s: float | None = None
        self.day: date | None = None
        self.read_bytes = 0
        self._framer = Framer()
        self._sky = SkyReader()
        self._counts: Counter[str] = Counter()
        self._seconds: dict[int, Counter[str]] = {}  # of the last RATE_S
        self._rejected: Counter[str] = Counter()

    def hear(self, data: bytes, now_s: float) -> None:
        if self.begin_mono_s is None:
            self.begin_mono_s = now_s
        self.read_bytes += len(data)
        for sentence in self._framer.feed(data):
            self._judge(sentence, now_s)

    @property
    def sky(self) -> Sky:
        return self._sky.sky

    @property
    def rejected(self) -> dict[str, int]:
        dropped = self._framer.dropped
        framed = {"cut": dropped.cut, "too_long": dropped.too_long, SKY_REASON: self._sky.wrong}
        return dict(sorted((self._rejected + Counter(framed)).items()))

    @property
    def noise_bytes(self) -> int:
        return self._framer.dropped.noise_bytes

    def kinds(self, now_s: float) -> tuple[KindCount, ...]:
        """By name; the rate is over whole seconds, so that it does not flicker."""
        last = int(now_s) - 1
        began = last if self.begin_mono_s is None else int(self.begin_mono_s) + 1
        seconds = range(max(began, last - RATE_S + 1), last + 1)
        recent = sum((self._seconds.get(second, Counter()) for second in seconds), Counter[str]())
        return tuple(
            KindCount(kind=kind, count=count, per_s=round(recent[kind] / len(seconds), 1) if seconds else None)
            for kind, count in sorted(self._counts.items())
        )

    def _judge(self, sentence: str, now_s: float) -> None:
        try:
            told = said(sentence)
        except Rejected as rejected:
            self._rejected[rejected.reason] += 1
            return
        if isinstance(told, Position | Day) and told.day is not None:
            self.day = told.day
        if self._sky.take(sentence):
            self.sky_mono_s = now_s
        kind = self._kind(sentence)
        self._counts[kind] += 1
        second = int(now_s)
        if second not in self._seconds:
            self._seconds = {known: counts for known, counts in self._seconds.items() if known >= second - RATE_S}
            self._seconds[second] = Counter()
        self._seconds[second][kind] += 1

    def _kind(self, sentence: str) -> str:
        kind = sentence[1:].partition("*")[0].partition(",")[0]
        if kind in self._counts:
            return kind
        return kind if len(kind) <= 8 and len(self._counts) < KINDS_MAX else OTHER_KIND


class TappedPort:
    """A port whose speed and bytes `watch` hears of, before whoever reads it makes anything of them."""

    def __init__(self, name: str, port: Port, watch: Watch) -> None:
        self._name = name
        self._port = port
        self._watch = watch

    @property
    def baudrate(self) -> int:
        return self._port.baudrate

    @baudrate.setter
    def baudrate(self, baud: int) -> None:
        self._port.baudrate = baud
        self._watch.open(self._name, baud)

    @property
    def in_waiting(self) -> int:
        return self._port.in_waiting

    def read(self, size: int = 1, /) -> bytes:
        data = self._port.read(size)
        self._watch.hear(data)
        return data

    def close(self) -> None:
        self._port.close()


class PlayedCapture:
    """A capture as a port: it says what the receiver said, when it said it, and is gone at its end."""

    def __init__(self, capture: bytes, *, mono_s: Callable[[], float], wait: Callable[[float], None]) -> None:
        self.baudrate = BAUD  # of no meaning
        self._left = iter(moments(capture))
        self._mono_s = mono_s
        self._wait = wait
        self._next: Moment | None = next(self._left, None)
        self._due_s = mono_s()
        self._ready = b""

    @property
    def in_waiting(self) -> int:
        return len(self._ready)

    def read(self, size: int = 1, /) -> bytes:
        if not self._ready:
            self._make_ready()
        said, self._ready = self._ready[:size], self._ready[size:]
        return said

    def close(self) -> None:
        self._left = iter(())
        self._next = None

    def _make_ready(self) -> None:
        if self._next is None:
            raise OSError(ENODATA, CAPTURE_HAS_ENDED)
        early_s = self._due_s - self._mono_s()
        if early_s > 0:
            self._wait(min(early_s, QUIET_S))
        if early_s > QUIET_S:
            return
        self._ready = self._next.data
        self._next = next(self._left, None)
        self._due_s += 0.0 if self._next is None else self._next.after_s


class QuickTime:
    """A clock that has already waited: a capture of an hour is over in a second, and everything is as old as it was."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def mono_s(self) -> float:
        return self._now_s

    def wait(self, wait_s: float) -> None:
        self._now_s += wait_s


def follow(receiver: Receiver, watch: Watch, stop: Event, *, is_capture: bool) -> None:
    """Tell `watch` all that comes, until `stop` is set or a capture is at its end."""
    for reading in receiver.readings(stop):
        if is_capture and not isinstance(reading, FixRead) and reading.condition is Condition.LOST:
            stop.set()
            continue
        watch.take(reading)
