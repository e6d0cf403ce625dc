"""What a receiver would say aboard a vehicle whose true place is known: the same words for the same seed.

The error of its place is a Gauss-Markov process on each axis: it wanders, and forgets with a time constant where it has
been. Everything else that may go wrong is a named fault of the scenario, with its times.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from math import atan2, degrees, exp, hypot, sqrt
from random import Random

import msgspec
from msgspec import Struct

from firmware_bridge.constellation import dops, overhead
from firmware_bridge.drive import Where
from firmware_bridge.gpstime import ROLLOVER
from firmware_bridge.scenarios import Profile, Scenario, Trouble
from firmware_bridge.sentences import UNKNOWN_DOP, WRITERS, Mode, Satellite, Solution
from wire.distance import bearing_deg, moved, nearby_m

ALTITUDE_M, GEOID_M = 230.0, -33.0
UP_FACTOR = 1.6  # heights are that much worse than places
SPEED_DEV_MPS = 0.05  # Doppler is far better than what differences of places would give
COURSE_SPEED_MPS = 0.6  # below it a receiver has no course, and says so by saying nothing
RECKONED_TURN_DEG, RECKONED_STRETCH = 2.0, 0.02  # deviations of a gyroscope's course and an odometer's way
GARBLED_SHARE = 1 / 250  # of the bytes on a bad cable
OUTAGE_SATELLITES = 2
WILD_DAYS = (date(1980, 1, 6), date(2080, 1, 5), date(1999, 8, 22), date(2036, 2, 7), date(2015, 3, 1))


class Wander(Struct, frozen=True):
    """One Gauss-Markov error, in meters."""

    north_m: float
    east_m: float
    up_m: float


class Moment(Struct, frozen=True, kw_only=True):
    """What there is to work with at one moment; the time as the receiver believes it."""

    into_s: float
    truth: Where
    before: Where
    clock: datetime | None
    day: date | None
    sky: tuple[Satellite, ...]


class SimulatedReceiver:
    """One receiver from its first moment on; ask it moment by moment, in order."""

    def __init__(self, scenario: Scenario, profile: Profile, seed: str) -> None:
        self._scenario = scenario
        self._profile = profile
        self._seed = seed
        self._chance = Random(f"{seed} receiver")
        self._wander: Wander | None = None
        self._before_s = 0.0
        self._sky_s = -profile.sky_every_s
        self._last: Solution | None = None  # with a position
        self._burst: tuple[bytes, ...] = ()
        self._truth: Where | None = None  # of the moment before
        self._tunnel_s: float | None = None  # when the satellites were gone
        self._wild = 0

    def says(self, truth: Where, at: datetime, into_s: float) -> tuple[bytes, ...]:
        """The sentences about the moment `at` (UTC), `into_s` into the drive, in the order in which they leave."""
        burst = self._spoken(self._solution(truth, at, into_s), into_s)
        if self._is_on(Trouble.STUCK, into_s) and self._burst:
            burst = self._burst
        self._burst = burst
        if self._is_on(Trouble.GARBLE, into_s):
            return tuple(map(self._garbled, burst))
        return burst

    def _solution(self, truth: Where, at: datetime, into_s: float) -> Solution:
        """What it has worked out; its error wanders on even while it is not asked for."""
        scenario = self._scenario
        self._wander = _wandered(self._wander, scenario, into_s - self._before_s, self._chance)
        in_tunnel = self._is_on(Trouble.TUNNEL, into_s)
        clock, day = self._time(at, into_s)
        now = Moment(
            into_s=into_s,
            truth=truth,
            before=self._truth or truth,
            clock=clock,
            day=day,
            sky=overhead(
                self._profile.systems, at.timestamp(), scenario.canyon_deg, truth.heading_deg, hears=not in_tunnel
            ),
        )
        self._before_s, self._truth = into_s, truth
        if in_tunnel:
            return self._in_tunnel(now)
        self._tunnel_s = None
        if self._is_on(Trouble.NO_TIME, into_s) or self._is_on(Trouble.OUTAGE, into_s):
            return _nothing(now, _few(now.sky))
        if self._is_on(Trouble.FROZEN, into_s) and self._last is not None:
            return msgspec.structs.replace(self._last, clock=clock, day=day)
        self._last = self._seen(now)
        return self._last

    def _seen(self, now: Moment) -> Solution:
        """By satellites: the truth, and the error as it is now."""
        assert self._wander is not None
        scenario, chance, truth = self._scenario, self._chance, now.truth
        north_m = self._wander.north_m + chance.gauss(0, scenario.grain_m)
        east_m = self._wander.east_m + chance.gauss(0, scenario.grain_m)
        lat, lon = moved(truth.lat, truth.lon, degrees(atan2(east_m, north_m)), hypot(north_m, east_m))
        if leap := scenario.turns(Trouble.LEAP, now.into_s):
            aside_deg = Random(f"{self._seed} leap {leap[0].at_s} {leap[1]}").uniform(0, 360)
            lat, lon = moved(lat, lon, aside_deg, leap[0].by_m)
        ahead_mps, aside_mps = truth.speed_mps + chance.gauss(0, SPEED_DEV_MPS), chance.gauss(0, SPEED_DEV_MPS)
        speed_mps = hypot(ahead_mps, aside_mps)  # a receiver that stands says a little more than nothing
        heading_deg = (truth.heading_deg + degrees(atan2(aside_mps, ahead_mps))) % 360
        pdop, hdop, vdop = dops(now.sky)
        return Solution(
            lat=lat,
            lon=lon,
            clock=now.clock,
            day=now.day,
            speed_mps=speed_mps,
            heading_deg=heading_deg if truth.speed_mps > COURSE_SPEED_MPS else None,
            altitude_m=ALTITUDE_M + self._wander.up_m,
            geoid_m=GEOID_M,
            satellites=sum(satellite.is_used for satellite in now.sky),
            pdop=pdop,
            hdop=hdop,
            vdop=vdop,
            north_dev_m=hypot(scenario.wander_m, scenario.grain_m),
            east_dev_m=hypot(scenario.wander_m, scenario.grain_m),
            up_dev_m=scenario.wander_m * UP_FACTOR,
            sky=now.sky,
        )

    def _in_tunnel(self, now: Moment) -> Solution:
        """Carried on from the last place by sensors of motion, a little wrong in direction and length, for a while."""
        self._tunnel_s = now.into_s if self._tunnel_s is None else self._tunnel_s
        last, truth, before = self._last, now.truth, now.before
        is_lost = now.into_s - self._tunnel_s >= self._profile.reckons_s
        if is_lost or last is None or last.lat is None or last.lon is None:
            return _nothing(now, now.sky)
        error = Random(f"{self._seed} reckoned {self._tunnel_s:.3f}")
        turned_deg, stretch = error.gauss(0, RECKONED_TURN_DEG), 1 + error.gauss(0, RECKONED_STRETCH)
        way_m = nearby_m(before.lat, before.lon, truth.lat, truth.lon)
        way_deg = bearing_deg(before.lat, before.lon, truth.lat, truth.lon)
        lat, lon = moved(last.lat, last.lon, way_deg + turned_deg, way_m * stretch)
        heading_deg = (truth.heading_deg + turned_deg) % 360
        self._last = msgspec.structs.replace(
            last,
            lat=lat,
            lon=lon,
            clock=now.clock,
            day=now.day,
            mode=Mode.ESTIMATED,
            speed_mps=truth.speed_mps * stretch,
            heading_deg=heading_deg if truth.speed_mps > COURSE_SPEED_MPS else None,
            satellites=0,
            pdop=UNKNOWN_DOP,
            hdop=UNKNOWN_DOP,
            vdop=UNKNOWN_DOP,
            north_dev_m=last.north_dev_m + way_m * RECKONED_STRETCH,
            east_dev_m=last.east_dev_m + way_m * RECKONED_STRETCH,
            sky=now.sky,
        )
        return self._last

    def _time(self, at: datetime, into_s: float) -> tuple[datetime | None, date | None]:
        """The time of day and the date as it believes them."""
        if self._is_on(Trouble.NO_TIME, into_s):
            return None, None
        if self._is_on(Trouble.NO_DATE, into_s):
            return at, None
        if self._is_on(Trouble.WILD_DATE, into_s):
            self._wild += 1
            return at, WILD_DAYS[self._wild % len(WILD_DAYS)]
        if self._is_on(Trouble.ROLLOVER, into_s):
            return at, (at - ROLLOVER).date()
        return at, at.date()

    def _spoken(self, solution: Solution, into_s: float) -> tuple[bytes, ...]:
        """The sentences of this kind of receiver; those about satellites not in every burst."""
        is_sky_due = into_s - self._sky_s >= self._profile.sky_every_s - 1e-3
        if is_sky_due:
            self._sky_s = into_s
        kinds = [kind for kind in self._profile.order if is_sky_due or kind not in ("GSA", "GSV")]
        return tuple(sentence for kind in kinds for sentence in WRITERS[kind](solution, self._profile.dialect))

    def _garbled(self, sentence: bytes) -> bytes:
        return bytes(
            byte ^ (1 << self._chance.randrange(8)) if self._chance.random() < GARBLED_SHARE else byte
            for byte in sentence
        )

    def _is_on(self, what: Trouble, into_s: float) -> bool:
        return self._scenario.turns(what, into_s) is not None


def _wandered(before: Wander | None, scenario: Scenario, after_s: float, chance: Random) -> Wander:
    """The error `after_s` later: what is remembered of it, and as much new as keeps its deviation the same."""
    kept = exp(-max(0.0, after_s) / scenario.wander_s) if before else 0.0
    fresh_m = scenario.wander_m * sqrt(1 - kept * kept)
    before = before or Wander(0.0, 0.0, 0.0)
    return Wander(
        kept * before.north_m + chance.gauss(0, fresh_m),
        kept * before.east_m + chance.gauss(0, fresh_m),
        kept * before.up_m + chance.gauss(0, fresh_m * UP_FACTOR),
    )


def _few(sky: Sequence[Satellite]) -> tuple[Satellite, ...]:
    """The same sky with too few satellites to know a place by."""
    return tuple(
        msgspec.structs.replace(
            satellite, is_used=False, snr_db=satellite.snr_db if number < OUTAGE_SATELLITES else None
        )
        for number, satellite in enumerate(sky)
    )


def _nothing(now: Moment, sky: tuple[Satellite, ...]) -> Solution:
    return Solution(lat=None, lon=None, clock=now.clock, day=now.day, mode=Mode.NONE, sky=sky)
