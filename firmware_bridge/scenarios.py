"""What a simulated receiver meets, and when: weather and houses as noise, and faults by name. Values only.

Times are seconds since the drive began. A fault that repeats does so every `every_s`.
"""

from __future__ import annotations

from enum import StrEnum
from math import isfinite

from msgspec import Struct

from firmware_bridge.sentences import GLONASS, GPS, Dialect


class Trouble(StrEnum):
    """What can go wrong with a receiver."""

    OUTAGE = "outage"  # too few satellites: it says that it has no position
    TUNNEL = "tunnel"  # no satellites: where it can, it goes on by dead reckoning for a while, and says so
    NO_TIME = "no_time"  # just switched on: neither time nor date nor position
    NO_DATE = "no_date"  # a position and the time, and an empty date
    WILD_DATE = "wild_date"  # a position, and dates that are years off and do not follow each other
    ROLLOVER = "rollover"  # every date is 1024 weeks early
    STUCK = "stuck"  # it says its last moment again and again, word for word
    FROZEN = "frozen"  # its clock goes on, place and speed do not
    LEAP = "leap"  # a reflection: the place is `by_m` beside the truth, from one moment to the next
    GARBLE = "garble"  # a bad cable: bits turn over on the way


class Fault(Struct, frozen=True, kw_only=True):
    """One trouble with its times."""

    what: Trouble
    at_s: float = 0.0
    lasts_s: float = float("inf")
    every_s: float = 0.0  # 0: once
    by_m: float = 0.0

    def __post_init__(self) -> None:
        if self.every_s and not self.lasts_s < self.every_s:
            raise ValueError("a fault that repeats must end before it begins again")
        if not isfinite(self.by_m):
            raise ValueError("how far a place leaps is a number of meters")

    def turn(self, into_s: float) -> int | None:
        """The how-manyeth time it is on at `into_s`, from 0; None when it is not on."""
        since_s = into_s - self.at_s
        if since_s < 0:
            return None
        turn = int(since_s // self.every_s) if self.every_s else 0
        return turn if since_s - turn * self.every_s < self.lasts_s else None


class Scenario(Struct, frozen=True, kw_only=True):
    """A surrounding and its faults.

    `wander_m` is the standard deviation of the error on each horizontal axis, `wander_s` the time constant with which
    it wanders, `grain_m` what each moment adds of its own. Houses are `canyon_deg` high on both sides of the street.
    """

    about: str
    wander_m: float = 1.0
    wander_s: float = 60.0
    grain_m: float = 0.1
    canyon_deg: float = 0.0
    faults: tuple[Fault, ...] = ()

    def turns(self, what: Trouble, into_s: float) -> tuple[Fault, int] | None:
        """The fault of this kind that is on, and the how-manyeth time it is; None when none is."""
        for fault in self.faults:
            if fault.what is what and (turn := fault.turn(into_s)) is not None:
                return fault, turn
        return None


class Profile(Struct, frozen=True, kw_only=True):
    """A kind of receiver: what it says and in which order. GSA and GSV come each `sky_every_s` at most."""

    about: str
    dialect: Dialect
    order: tuple[str, ...]
    systems: tuple[str, ...]
    sky_every_s: float
    late_s: float  # from the moment that a burst is about to its first byte
    reckons_s: float = 0.0  # how long it goes on by dead reckoning


_MODERN = ("RMC", "VTG", "GGA", "GSA", "GSV", "GLL")

PROFILES = {
    "modern": Profile(
        about="GPS and GLONASS, RMC first",
        dialect=Dialect(),
        order=_MODERN,
        systems=(GPS, GLONASS),
        sky_every_s=1.0,
        late_s=0.08,
    ),
    "reckoning": Profile(
        about="the same, with motion sensors for up to a minute of dead reckoning",
        dialect=Dialect(),
        order=_MODERN,
        systems=(GPS, GLONASS),
        sky_every_s=1.0,
        late_s=0.08,
        reckons_s=60.0,
    ),
    "old": Profile(
        about="GPS only, GGA first, four decimals, satellites every five seconds",
        dialect=Dialect(talker="GP", second_decimals=3, minute_decimals=4),
        order=("GGA", "GSA", "GSV", "RMC"),
        systems=(GPS,),
        sky_every_s=5.0,
        late_s=0.25,
    ),
}

SCENARIOS = {
    "open": Scenario(about="open sky, nothing goes wrong"),
    "urban": Scenario(
        about="high houses: less accurate, no position for 4 s in 90, a reflection 30 m off for 6 s in 150",
        wander_m=4.0,
        wander_s=25.0,
        grain_m=0.4,
        canyon_deg=55.0,
        faults=(
            Fault(what=Trouble.OUTAGE, at_s=40, lasts_s=4, every_s=90),
            Fault(what=Trouble.LEAP, at_s=65, lasts_s=6, every_s=150, by_m=30),
        ),
    ),
    "tunnel": Scenario(
        about="a tunnel of 40 s after half a minute, and every 4 minutes again",
        faults=(Fault(what=Trouble.TUNNEL, at_s=30, lasts_s=40, every_s=240),),
    ),
    "cold-start": Scenario(
        about="nothing for 10 s, a position without a date for 5 s, wild dates for 5 s, then all is well",
        faults=(
            Fault(what=Trouble.NO_TIME, at_s=0, lasts_s=10),
            Fault(what=Trouble.NO_DATE, at_s=10, lasts_s=5),
            Fault(what=Trouble.WILD_DATE, at_s=15, lasts_s=5),
        ),
    ),
    "rollover": Scenario(about="every date is 1024 weeks early", faults=(Fault(what=Trouble.ROLLOVER),)),
    "stuck": Scenario(
        about="says one moment again and again, for 20 s every 2 minutes",
        faults=(Fault(what=Trouble.STUCK, at_s=30, lasts_s=20, every_s=120),),
    ),
    "frozen": Scenario(
        about="the clock goes on, the place does not, for 20 s every 2 minutes",
        faults=(Fault(what=Trouble.FROZEN, at_s=30, lasts_s=20, every_s=120),),
    ),
    "reflections": Scenario(
        about="leaps 80 m aside for 3 s, every 40 s",
        wander_m=2.5,
        wander_s=30.0,
        faults=(Fault(what=Trouble.LEAP, at_s=20, lasts_s=3, every_s=40, by_m=80),),
    ),
    "bad-cable": Scenario(
        about="bits turn over for 10 s of every 30",
        faults=(Fault(what=Trouble.GARBLE, at_s=10, lasts_s=10, every_s=30),),
    ),
}
