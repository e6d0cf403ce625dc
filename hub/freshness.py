"""How far a position may be believed by its age, and nothing else.

The age is the hub's own time since the position arrived plus the delay that the terminal measured aboard; it goes on
ticking while nothing arrives. The receiver's date never enters: a receiver may say 2099.
"""

from __future__ import annotations

from enum import StrEnum

from hub.position import Position

LIVE_S = 15  # a terminal reports every 10 s or better, parked too
AGING_S = 60
STALE_S = 300
AHEAD_S_MAX = 5  # arrived later than now: the hub's clock was set back, and no age can be told


class Freshness(StrEnum):
    """The four classes of a position, best first."""

    LIVE = "live"
    AGING = "aging"
    STALE = "stale"
    LOST = "lost"


def age_s(position: Position, now_ms: int) -> float:
    """Seconds since the receiver said this position; negative when the hub's clock was set back since."""
    return (now_ms - position.arrived_ms + position.age_ms) / 1000


def freshness(position: Position | None, now_ms: int) -> Freshness:
    """The class of `position`; lost when its unit has never had a fix.

    A receiver that has lost its fix keeps the last one, which ages like any other.
    """
    if position is None or position.fix is None or now_ms - position.arrived_ms < -AHEAD_S_MAX * 1000:
        return Freshness.LOST
    age = age_s(position, now_ms)
    if age < LIVE_S:
        return Freshness.LIVE
    if age < AGING_S:
        return Freshness.AGING
    if age < STALE_S:
        return Freshness.STALE
    return Freshness.LOST


def spoken_age(seconds: float) -> str:
    """An age as people say it: "4 s", "9 min", "3 h"."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h"
