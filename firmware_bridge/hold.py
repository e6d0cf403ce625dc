"""A vehicle that stands does not wander on the map: its fixes keep the place where it came to stand.

A receiver's place wanders by many meters while it stands, over minutes, and no single fix shows it. Its speed does not:
that comes from the Doppler shift and is right within decimeters per second. So speed alone decides, and the place is
only asked whether speed is lying. Nothing is held without a speed, and nothing is ever moved to a place that no
sentence said: a held place is that of an earlier fix, and a released fix is as the receiver said it.
"""

from __future__ import annotations

from collections import deque
from math import cos, exp, hypot, radians, sin

import msgspec

from wire.distance import nearby_m
from wire.fix import Fix

STILL_MPS_MAX = 0.3  # a stop is a stop from here on down; it is at most a few decimeters away by now
# One fix this fast ends the hold: a car that pulls away at half a meter per second squared has gone a quarter of a
# meter by then. A receiver that is noisier than that at rest gets up to 1 m/s.
START_MPS_MIN = 0.5
START_MPS_MAX = 1.0
START_PER_NOISE = 4.0
# Slower than that, the way adds up: half a meter ends the hold, up to one where the receiver is noisy.
CREPT_M_MIN = 0.5
CREPT_M_MAX = 1.0
CREPT_M_PER_NOISE_MPS = 5.0
CREPT_FORGOTTEN_S = 5.0  # noise points everywhere, a creeping car in one direction: what is older than this has no say
DEADBAND_MPS = 0.1  # old receivers say 0.05 knots due north for hours
NOISE_MPS_FIRST = 0.1
NOISE_LEARNED_S = 30.0
# Back at rest after less than this way since the place was taken, the vehicle is still there: one wild speed.
RETURN_M_MAX = 1.0
# A place that goes on and on while the speed says rest: the speed lies (simulators, a receiver that always says 0.0).
GOING_S = 10.0
GOING_M = 25.0
GOING_MPS = 2.0
GOING_FIXES = 3
DISTRUST_S = 60.0
# Far away for several fixes: the place was taken while the receiver was still making up its mind.
FAR_M_MIN = 50.0
FAR_M_PER_ACCURACY_M = 8.0
ACCURACY_M_PER_HDOP = 5.0
FAR_FIXES = 3
RECENT_MAX = 128  # ten seconds at ten a second
GAP_S_MAX = 5.0  # nobody saw what the vehicle did meanwhile


class Hold:
    """The hold of one vehicle. Give it every fix, in order; `now_s` is monotonic."""

    def __init__(self) -> None:
        self._place: Fix | None = None  # where it came to stand, even for a while after it seemed to start
        self._is_held = False
        self._noise_mps = NOISE_MPS_FIRST
        self._crept_m = (0.0, 0.0)  # east, north, fading
        self._went_m = (0.0, 0.0)  # since the place was taken, as far as it is more than noise; not fading
        self._far = self._going = 0
        self._recent: deque[tuple[float, Fix]] = deque(maxlen=RECENT_MAX)
        self._distrusted_until_s = 0.0
        self._last_s: float | None = None

    def release(self) -> None:
        """Forget the place: the next fix leaves as the receiver said it, unless it stands anew."""
        self._place = None
        self._is_held = False
        self._crept_m = self._went_m = (0.0, 0.0)
        self._far = self._going = 0
        self._recent.clear()

    def take(self, fix: Fix, now_s: float, *, is_emergency: bool = False) -> Fix:
        """`fix` itself; or, while the vehicle stands, with the held place and no speed.

        In an emergency it is always `fix` itself: somebody may be carried off on foot.
        """
        passed_s = now_s - self._last_s if self._last_s is not None else 0.0
        self._last_s = now_s
        if not 0 <= passed_s <= GAP_S_MAX:
            self.release()
        if is_emergency or fix.speed_mps is None:
            self.release()
            return fix
        if self._place is not None:
            self._add(fix.speed_mps, fix.heading_deg, passed_s)
            self._look_at_the_place(self._place, fix, now_s)
        self._decide(fix, fix.speed_mps, now_s)
        if not self._is_held or self._place is None:
            return fix
        self._learn(fix.speed_mps, passed_s)
        place = self._place
        return msgspec.structs.replace(fix, lat=place.lat, lon=place.lon, speed_mps=0.0, heading_deg=None, is_held=True)

    def _decide(self, fix: Fix, speed_mps: float, now_s: float) -> None:
        if self._is_held:
            self._is_held = speed_mps < self._start_mps and hypot(*self._crept_m) < self._crept_m_max
            return
        if self._place is not None and hypot(*self._went_m) > RETURN_M_MAX:
            self.release()
        if speed_mps > STILL_MPS_MAX or now_s < self._distrusted_until_s:
            return
        if self._place is None:
            self._place = fix
            self._went_m = (0.0, 0.0)
        self._crept_m = (0.0, 0.0)
        self._is_held = True

    def _add(self, speed_mps: float, heading_deg: float | None, passed_s: float) -> None:
        fade = exp(-passed_s / CREPT_FORGOTTEN_S)
        east, north = self._crept_m
        if speed_mps < DEADBAND_MPS:
            self._crept_m = east * fade, north * fade
            return
        step = _step(speed_mps * passed_s, heading_deg, self._crept_m)
        self._crept_m = east * fade + step[0], north * fade + step[1]
        if speed_mps >= 2 * self._noise_mps:
            step = _step(speed_mps * passed_s, heading_deg, self._went_m)
            self._went_m = self._went_m[0] + step[0], self._went_m[1] + step[1]

    def _look_at_the_place(self, place: Fix, fix: Fix, now_s: float) -> None:
        """A receiver far from the held place contradicts its own speed: then the place is believed."""
        while self._recent and now_s - self._recent[0][0] > GOING_S:
            self._recent.popleft()
        is_going = bool(self._recent) and _is_going(self._recent[0][1], *self._recent[-1], fix, now_s)
        self._going = self._going + 1 if is_going else 0
        self._far = self._far + 1 if _apart_m(place, fix) > _far_m(fix) else 0
        self._recent.append((now_s, fix))
        if self._going >= GOING_FIXES:
            self._distrusted_until_s = now_s + DISTRUST_S
        if self._going >= GOING_FIXES or self._far >= FAR_FIXES:
            self.release()

    def _learn(self, speed_mps: float, passed_s: float) -> None:
        self._noise_mps += (speed_mps - self._noise_mps) * min(1.0, passed_s / NOISE_LEARNED_S)

    @property
    def _start_mps(self) -> float:
        return min(START_MPS_MAX, max(START_MPS_MIN, START_PER_NOISE * self._noise_mps))

    @property
    def _crept_m_max(self) -> float:
        return min(CREPT_M_MAX, max(CREPT_M_MIN, CREPT_M_PER_NOISE_MPS * self._noise_mps))


def _step(by_m: float, heading_deg: float | None, so_far_m: tuple[float, float]) -> tuple[float, float]:
    """East and north of a way; without a heading it counts as more of the same, so that it cannot hide."""
    if heading_deg is not None:
        return by_m * sin(radians(heading_deg)), by_m * cos(radians(heading_deg))
    length = hypot(*so_far_m)
    return (0.0, by_m) if length == 0 else (by_m * so_far_m[0] / length, by_m * so_far_m[1] / length)


def _is_going(long_ago: Fix, before_s: float, before: Fix, fix: Fix, now_s: float) -> bool:
    """It went far of late and still goes: not a slow wander, and not one jump behind a house."""
    return _apart_m(long_ago, fix) > GOING_M and _apart_m(before, fix) >= GOING_MPS * (now_s - before_s)


def _far_m(fix: Fix) -> float:
    accuracy_m = fix.accuracy_m
    if accuracy_m is None:
        accuracy_m = (fix.hdop or 1.0) * ACCURACY_M_PER_HDOP
    return max(FAR_M_MIN, FAR_M_PER_ACCURACY_M * accuracy_m)


def _apart_m(one: Fix, other: Fix) -> float:
    return nearby_m(one.lat, one.lon, other.lat, other.lon)
