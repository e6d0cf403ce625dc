"""The satellites a simulated receiver has above it, and how good a geometry they make. Orbits are only plausible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from math import asin, atan2, cos, degrees, pi, radians, sin, sqrt

from firmware_bridge.sentences import GLONASS, GPS, UNKNOWN_DOP, Satellite

ORBIT_S = 43_082.0  # half a sidereal day, as GPS has it
ORBITING = 18  # of each system: half of them are below the horizon
FIRST_NUMBER = {GPS: 1, GLONASS: 65}
TILT = radians(55.0)
MASK_DEG = 5.0  # nobody uses what is lower
USABLE_SNR_DB = 20
ALWAYS_USED = 5  # the highest are heard even between high houses: losing a fix is a fault of its own

Vector = tuple[float, float, float]
Dops = tuple[float, float, float]


def overhead(
    systems: Iterable[str], at_s: float, canyon_deg: float = 0.0, street_deg: float = 0.0, hears: bool = True
) -> tuple[Satellite, ...]:
    """The satellites in view at `at_s`, the highest first.

    Houses up to `canyon_deg` high stand along a street in the direction `street_deg` and hide what is behind them.
    """
    seen = []
    for system in systems:
        above = [(number, place) for number, place in _orbit(system, at_s) if place[2] > sin(radians(MASK_DEG))]
        for rank, (number, (east, north, up)) in enumerate(sorted(above, key=lambda one: -one[1][2])):
            elevation = degrees(asin(min(1.0, up)))
            azimuth = degrees(atan2(east, north)) % 360
            hidden = elevation < canyon_deg * abs(sin(radians(azimuth - street_deg))) and rank >= ALWAYS_USED
            snr = round(24 + 22 * up + 3 * sin(at_s / 37 + number)) - (14 if hidden else 0)
            heard = hears and snr > 8
            seen.append(
                Satellite(
                    system=system,
                    number=number,
                    elevation_deg=round(elevation),
                    azimuth_deg=round(azimuth) % 360,
                    snr_db=snr if heard else None,
                    is_used=heard and not hidden and snr >= USABLE_SNR_DB,
                )
            )
    return tuple(seen)


def dops(sky: Iterable[Satellite]) -> Dops:
    """(PDOP, HDOP, VDOP) of the satellites in use; the word for "no idea" with fewer than four."""
    rows = [(*_direction(satellite), 1.0) for satellite in sky if satellite.is_used]
    if len(rows) < 4:
        return UNKNOWN_DOP, UNKNOWN_DOP, UNKNOWN_DOP
    squares = _inverse_diagonal([[sum(row[i] * row[j] for row in rows) for j in range(4)] for i in range(4)])
    if squares is None:
        return UNKNOWN_DOP, UNKNOWN_DOP, UNKNOWN_DOP
    east, north, up, _ = squares
    return sqrt(east + north + up), sqrt(east + north), sqrt(up)


def _direction(satellite: Satellite) -> Vector:
    elevation, azimuth = radians(satellite.elevation_deg), radians(satellite.azimuth_deg)
    return cos(elevation) * sin(azimuth), cos(elevation) * cos(azimuth), sin(elevation)


def _orbit(system: str, at_s: float) -> Iterable[tuple[int, Vector]]:
    """Each satellite's number and its direction (east, north, up) at `at_s`."""
    turned = 2 * pi * at_s / ORBIT_S
    for number, (x, y, z) in enumerate(_shell(ORBITING, system), FIRST_NUMBER[system]):
        east, y_now = x * cos(turned) - y * sin(turned), x * sin(turned) + y * cos(turned)
        yield number, (east, y_now * cos(TILT) - z * sin(TILT), y_now * sin(TILT) + z * cos(TILT))


@cache
def _shell(count: int, system: str) -> tuple[Vector, ...]:
    """`count` directions evenly around a globe, by the golden angle; each system begins elsewhere."""
    golden = pi * (3 - sqrt(5))
    begins = 0.0 if system == GPS else 1.0
    heights = [1 - (2 * i + 1) / count for i in range(count)]
    return tuple(
        (sqrt(1 - z * z) * cos(golden * i + begins), sqrt(1 - z * z) * sin(golden * i + begins), z)
        for i, z in enumerate(heights)
    )


def _inverse_diagonal(matrix: Sequence[Sequence[float]]) -> list[float] | None:
    """The diagonal of the inverse of a positive definite matrix; None when it has none worth a number."""
    size = len(matrix)
    work = [[*row, *(float(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for i in range(size):
        if work[i][i] < 1e-9:
            return None
        work[i] = [value / work[i][i] for value in work[i]]
        for j in range(size):
            if j != i:
                factor = work[j][i]
                work[j] = [value - factor * above for value, above in zip(work[j], work[i], strict=True)]
    return [work[i][size + i] for i in range(size)]
