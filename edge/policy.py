"""When the newest position must be told: as soon as the hub's picture of it would be too wrong, and now and then.

Pure. The hub moves a vehicle on by its last speed and heading; this side runs the same rule, so it knows how wrong the
map is without being told.
"""

from __future__ import annotations

from msgspec import Struct

from wire.distance import believed, nearby_m
from wire.fix import Fix


class Cadence(Struct, frozen=True, kw_only=True):
    """How wrong the map may be, in meters, and how long nothing may be said, in seconds."""

    drift_m_max: float = 15.0
    report_s_max: float = 10.0


EMERGENCY_S = 1.0  # a receiver of 5 Hz need not be told of more often, and one of 1 Hz is told of each time

EMERGENCY = "emergency"


class Reported(Struct, frozen=True, kw_only=True):
    """What was last told. `fix` None: that there is no position; `read_s`, `sent_s`: on the board's monotonic clock;
    `reason`: why."""

    fix: Fix | None
    read_s: float
    sent_s: float
    reason: str = ""


def reason_to_report(
    last: Reported | None,
    fix: Fix | None,
    read_s: float,
    now_s: float,
    cadence: Cadence,
    is_emergency: bool = False,
) -> str | None:
    """Why `fix`, read at `read_s`, must be told at `now_s` (a word of `wire.live.Live.reason`); None when it need not.

    `last` is None when nothing was told on this connection: what went before may not have arrived. `is_emergency`: the
    crew is in danger, and the position is told at once and then each second, moved or not.
    """
    if is_emergency and fix is not None:
        return EMERGENCY if _is_due_in_emergency(last, read_s, now_s) else None
    if last is None:
        return "first"
    if fix is None:
        if last.fix is not None:
            return "no_fix"
        return "cadence" if now_s - last.sent_s >= cadence.report_s_max else None
    if last.fix is None:
        return "first"
    if read_s <= last.read_s:
        return None  # told already; telling it again would make it look newer than it is
    if now_s - last.sent_s >= cadence.report_s_max:
        return "cadence"
    return "drift" if drift_m(last.fix, fix, read_s - last.read_s) > cadence.drift_m_max else None


def due_again_s(last: Reported) -> float:
    """When the same reading is told again in an emergency: no new one came, and a lost message must not be a lost unit."""
    return last.sent_s + 1.5 * EMERGENCY_S


def _is_due_in_emergency(last: Reported | None, read_s: float, now_s: float) -> bool:
    if last is None or last.reason != EMERGENCY:
        return True
    is_new = read_s > last.read_s and now_s - last.sent_s >= EMERGENCY_S / 2
    return is_new or now_s >= due_again_s(last)


def drift_m(told: Fix, fix: Fix, passed_s: float) -> float:
    """How far from `fix` the hub believes the vehicle to be, `passed_s` seconds after `told`."""
    lat, lon = believed(told.lat, told.lon, told.speed_mps, told.heading_deg, passed_s)
    return nearby_m(lat, lon, fix.lat, fix.lon)
