"""From the receiver to the live slot and the trail: each fix as soon as it has been read, the live slot first.

Each moment of the receiver is a fix and is offered to the live slot; the trail keeps one for each second. Both get the
held place of a vehicle that stands. In an emergency both get what the receiver said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog
from msgspec import Struct
from msgspec.structs import replace

from edge.clock import Clock
from edge.lifeboat import Trail
from firmware_bridge.hold import Hold
from firmware_bridge.pace import Pace
from firmware_bridge.reader import Counts
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
    (nothing right comes), "no receiver", or "none" on a desk; `age_s`: since the last fix was read.

    `why`: what a person may do about it; `port`, `baud`: where it is, empty and 0 while unknown; `quality`: a FixQuality
    word; sentences since the port was opened: `accepted` with a position, `empty` right and without, `rejected` by reason.
    """

    word: str
    age_s: float | None = None
    speed_mps: float | None = None
    satellites: int | None = None
    why: str = ""
    port: str = ""
    baud: int = 0
    quality: str = ""
    is_held: bool = False
    accepted: int = 0
    empty: int = 0
    rejected: Mapping[str, int] = {}
    noise_bytes: int = 0


NOT_FITTED = GpsState(word="no receiver", why="no receiver is set up: add [receiver] to terminal.toml")
DESK = GpsState(word="none")


class Tracker:
    """What one receiver says, told on by one thread. `offer`: the live slot; `kept`: a trail record was stored.

    `is_emergency`: the place must be the receiver's own; `counts`: of its sentences, None where nobody counts them.
    """

    def __init__(
        self,
        clock: Clock,
        trail: Trail,
        offer: Callable[[Fix | None, float], None],
        kept: Callable[[], None],
        *,
        is_emergency: Callable[[], bool] = lambda: False,
        counts: Callable[[], Counts | None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._trail = trail
        self._offer = offer
        self._kept = kept
        self._is_emergency = is_emergency
        self._counts = counts
        self._hold = Hold()
        self._pace = Pace()
        self._word = "no receiver"
        self._port = PortState(condition=Condition.LOST, at_mono_s=0.0, why="looking for a receiver")
        self._last: FixRead | None = None

    def run(self, readings: Iterable[Reading]) -> None:
        """Until the readings end."""
        self._flush()  # what an earlier run had collected when it ended without warning
        for reading in readings:
            match reading:
                case FixRead():
                    self._fix(reading)
                case PortState():
                    self._port_said(reading)
        self._flush()

    def state(self) -> GpsState:
        """For the screen. Any thread."""
        last, word, port, counts = self._last, self._word, self._port, self._counts()
        state = GpsState(word=word, why=port.why, port=port.port, baud=port.baud)
        if counts is not None:
            state = replace(
                state,
                accepted=counts.accepted,
                empty=counts.empty,
                rejected=counts.rejected,
                noise_bytes=counts.noise_bytes,
            )
        if last is None:
            return state
        state = replace(state, age_s=max(0.0, self._clock.mono_s() - last.read_mono_s))
        if word != "fix":
            return state
        fix = last.fix
        return replace(
            state,
            why="",
            speed_mps=fix.speed_mps,
            satellites=fix.satellites,
            quality=fix.quality,
            is_held=fix.is_held,
        )

    def _fix(self, read: FixRead) -> None:
        fix = self._hold.take(read.fix, read.read_mono_s, is_emergency=self._is_emergency())
        self._offer(fix, read.read_mono_s)
        self._last, self._word = FixRead(fix=fix, read_mono_s=read.read_mono_s), "fix"
        self._clock.gps_says(read.fix.at, read.read_mono_s)
        if self._pace.is_due(read) and self._trail.add(fix, read.read_mono_s):
            self._kept()

    def _port_said(self, state: PortState) -> None:
        self._port = state
        self._word = _WORDS[state.condition]
        log.info("receiver", condition=state.condition.value, why=state.why, port=state.port, baud=state.baud)
        if state.condition is not Condition.OPENED:
            self._offer(None, state.at_mono_s)
            self._clock.gps_lost()
            self._flush()

    def _flush(self) -> None:
        if self._trail.flush():
            self._kept()
