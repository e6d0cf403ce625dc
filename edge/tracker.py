"""From the receiver to the live slot and the trail: each fix as soon as it has been read, the live slot first."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog
from msgspec import Struct

from edge.clock import Clock
from edge.trail import TrailKeeper
from firmware_bridge.readings import Condition, FixRead, PortState, Reading
from wire.fix import Fix

log = structlog.get_logger()

_WORDS = {
    Condition.OPENED: "no fix",
    Condition.NO_FIX: "no fix",
    Condition.SILENT: "silent",
    Condition.LOST: "no receiver",
}


class GpsState(Struct, frozen=True, kw_only=True):
    """What the screen says of the receiver. `word`: "fix", "no fix" (right sentences without a position), "silent"
    (nothing right comes), "no receiver", or "none" on a desk; `age_s`: since the last fix was read."""

    word: str
    age_s: float | None = None
    speed_mps: float | None = None
    satellites: int | None = None


DESK = GpsState(word="none")


class Tracker:
    """What one receiver says, told on by one thread. `offer`: the live slot; `kept`: a trail record was stored."""

    def __init__(
        self,
        clock: Clock,
        trail: TrailKeeper,
        offer: Callable[[Fix | None, float], None],
        kept: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._trail = trail
        self._offer = offer
        self._kept = kept
        self._word = "no receiver"
        self._last: FixRead | None = None

    def run(self, readings: Iterable[Reading]) -> None:
        """Until the readings end."""
        for reading in readings:
            match reading:
                case FixRead():
                    self._fix(reading)
                case PortState():
                    self._port(reading)
        self._flush()

    def state(self) -> GpsState:
        """For the screen. Any thread."""
        last, word = self._last, self._word
        if last is None:
            return GpsState(word=word)
        return GpsState(
            word=word,
            age_s=max(0.0, self._clock.mono_s() - last.read_mono_s),
            speed_mps=last.fix.speed_mps if word == "fix" else None,
            satellites=last.fix.satellites if word == "fix" else None,
        )

    def _fix(self, read: FixRead) -> None:
        self._offer(read.fix, read.read_mono_s)
        self._last, self._word = read, "fix"
        self._clock.gps_says(read.fix.at, read.read_mono_s)
        if self._trail.add(read.fix, read.read_mono_s):
            self._kept()

    def _port(self, state: PortState) -> None:
        self._word = _WORDS[state.condition]
        log.info("receiver", condition=state.condition.value, why=state.why)
        if state.condition is not Condition.OPENED:
            self._offer(None, state.at_mono_s)
            self._clock.gps_lost()
            self._flush()

    def _flush(self) -> None:
        if self._trail.flush():
            self._kept()
