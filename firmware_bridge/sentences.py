"""NMEA 0183 sentences as receivers write them: nmea.py the other way around.

What is not known is left empty, as receivers leave it. Every sentence bears its checksum; no clock and no chance here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from enum import StrEnum
from functools import reduce
from operator import xor

from msgspec import Struct

KNOTS_PER_MPS = 3600 / 1852
KMH_PER_MPS = 3.6
UNKNOWN_DOP = 99.99
USED_MAX = 12  # places for satellites in one GSA
IN_VIEW_MAX = 4  # satellites in one GSV
GPS, GLONASS = "GP", "GL"


class Mode(StrEnum):
    """By what a receiver knows its place; the letters are NMEA's."""

    AUTONOMOUS = "A"
    DIFFERENTIAL = "D"
    ESTIMATED = "E"
    NONE = "N"


_QUALITIES = {Mode.AUTONOMOUS: 1, Mode.DIFFERENTIAL: 2, Mode.ESTIMATED: 6, Mode.NONE: 0}


class Satellite(Struct, frozen=True, kw_only=True):
    """One satellite in view. `system` is its talker (GP, GL); `snr_db` None: above the horizon and not heard."""

    system: str
    number: int
    elevation_deg: int
    azimuth_deg: int
    snr_db: int | None
    is_used: bool


class Solution(Struct, frozen=True, kw_only=True):
    """All that a receiver has worked out at one moment. None: it does not know.

    `clock` gives the time of day and `day` the date, because a receiver may know one without the other. The deviations
    are those of GST: of the error to the north, to the east and upward.
    """

    lat: float | None
    lon: float | None
    clock: datetime | None
    day: date | None
    mode: Mode = Mode.AUTONOMOUS
    speed_mps: float | None = None
    heading_deg: float | None = None
    altitude_m: float = 0.0
    geoid_m: float = 0.0
    satellites: int = 0
    pdop: float = UNKNOWN_DOP
    hdop: float = UNKNOWN_DOP
    vdop: float = UNKNOWN_DOP
    north_dev_m: float = 0.0
    east_dev_m: float = 0.0
    up_dev_m: float = 0.0
    sky: tuple[Satellite, ...] = ()


class Dialect(Struct, frozen=True, kw_only=True):
    """What differs from maker to maker: who speaks, and with how many decimals."""

    talker: str = "GN"
    second_decimals: int = 2
    minute_decimals: int = 5


def gga(said: Solution, by: Dialect) -> list[bytes]:
    """Where, how high, and with how many satellites."""
    head = f"{by.talker}GGA,{_clock(said, by)}"
    if said.mode is Mode.NONE:
        return [framed(f"{head},,,,,0,00,{UNKNOWN_DOP},,,,,,")]
    return [
        framed(
            f"{head},{_place(said, by)},{_QUALITIES[said.mode]},{said.satellites:02d},{said.hdop:.2f},"
            f"{said.altitude_m:.1f},M,{said.geoid_m:.1f},M,,"
        )
    ]


def rmc(said: Solution, by: Dialect) -> list[bytes]:
    """Where, how fast, which way, and on what day."""
    status = "V" if said.mode is Mode.NONE else "A"
    place = ",,," if said.mode is Mode.NONE else _place(said, by)
    knots = "" if said.speed_mps is None else f"{said.speed_mps * KNOTS_PER_MPS:.3f}"
    day = "" if said.day is None else f"{said.day:%d%m%y}"
    clock = _clock(said, by)
    return [framed(f"{by.talker}RMC,{clock},{status},{place},{knots},{_course(said)},{day},,,{said.mode}")]


def vtg(said: Solution, by: Dialect) -> list[bytes]:
    """How fast and which way, once more."""
    if said.speed_mps is None:
        return [framed(f"{by.talker}VTG,,,,,,,,,{said.mode}")]
    knots, kmh = said.speed_mps * KNOTS_PER_MPS, said.speed_mps * KMH_PER_MPS
    return [framed(f"{by.talker}VTG,{_course(said)},T,,M,{knots:.3f},N,{kmh:.3f},K,{said.mode}")]


def gll(said: Solution, by: Dialect) -> list[bytes]:
    """Where, once more."""
    place = ",,," if said.mode is Mode.NONE else _place(said, by)
    status = "V" if said.mode is Mode.NONE else "A"
    return [framed(f"{by.talker}GLL,{place},{_clock(said, by)},{status},{said.mode}")]


def gst(said: Solution, by: Dialect) -> list[bytes]:
    """How far off the receiver believes itself to be."""
    head = f"{by.talker}GST,{_clock(said, by)}"
    if said.mode is Mode.NONE:
        return [framed(f"{head},,,,,,,")]
    ranges_m = max(said.north_dev_m, said.east_dev_m) / max(said.hdop, 0.1)
    deviations = f"{said.north_dev_m:.1f},{said.east_dev_m:.1f},{said.up_dev_m:.1f}"
    return [framed(f"{head},{ranges_m:.1f},,,,{deviations}")]


def zda(said: Solution, by: Dialect) -> list[bytes]:
    """The date with its century."""
    day = ",," if said.day is None else f"{said.day:%d,%m},{said.day.year:04d}"
    return [framed(f"{by.talker}ZDA,{_clock(said, by)},{day},00,00")]


def gsa(said: Solution, by: Dialect) -> list[bytes]:
    """Which satellites the place rests on; with more than one system, a sentence for each."""
    dimensions = 1 if said.mode is Mode.NONE else 2 if said.mode is Mode.ESTIMATED or said.satellites < 4 else 3
    dops = f"{said.pdop:.2f},{said.hdop:.2f},{said.vdop:.2f}"
    found = []
    for system in _systems(said):
        used = [f"{s.number:02d}" for s in said.sky if s.system == system and s.is_used][:USED_MAX]
        places = ",".join([*used, *[""] * (USED_MAX - len(used))])
        found.append(framed(f"{by.talker}GSA,A,{dimensions},{places},{dops}"))
    return found


def gsv(said: Solution, by: Dialect) -> list[bytes]:
    """The satellites in view, four to a sentence."""
    found = []
    for system in _systems(said):
        seen = [satellite for satellite in said.sky if satellite.system == system]
        parts = [seen[start : start + IN_VIEW_MAX] for start in range(0, len(seen), IN_VIEW_MAX)] or [[]]
        for number, part in enumerate(parts, 1):
            rows = "".join(
                f",{s.number:02d},{s.elevation_deg:02d},{s.azimuth_deg:03d},"
                + ("" if s.snr_db is None else f"{s.snr_db:02d}")
                for s in part
            )
            found.append(framed(f"{system}GSV,{len(parts)},{number},{len(seen):02d}{rows}"))
    return found


WRITERS: dict[str, Callable[[Solution, Dialect], list[bytes]]] = {
    "RMC": rmc, "VTG": vtg, "GGA": gga, "GSA": gsa, "GSV": gsv, "GLL": gll, "GST": gst, "ZDA": zda,
}  # fmt: skip


def framed(body: str) -> bytes:
    """`body` with all that makes a sentence of it: `$`, checksum, end of line."""
    return f"${body}*{reduce(xor, body.encode('ascii')):02X}\r\n".encode("ascii")


def _systems(said: Solution) -> list[str]:
    """GPS speaks even of nothing; another system only where there is one."""
    return [GPS, *sorted({satellite.system for satellite in said.sky} - {GPS})]


def _clock(said: Solution, by: Dialect) -> str:
    if said.clock is None:
        return ""
    return f"{said.clock:%H%M%S}.{f'{said.clock.microsecond:06d}'[: by.second_decimals]}"


def _place(said: Solution, by: Dialect) -> str:
    if said.lat is None or said.lon is None:
        return ",,,"
    lat, lon = _angle(said.lat, 2, by.minute_decimals), _angle(said.lon, 3, by.minute_decimals)
    return f"{lat},{'N' if said.lat >= 0 else 'S'},{lon},{'E' if said.lon >= 0 else 'W'}"


def _angle(degrees: float, width: int, decimals: int) -> str:
    """Degrees and minutes run together, as NMEA has them since 1983; five decimals are two centimeters."""
    unit = 10**decimals
    smallest = round(abs(degrees) * 60 * unit)  # rounded once, so that 59.999999 carries over
    whole, minutes = divmod(smallest, 60 * unit)
    return f"{whole:0{width}d}{minutes // unit:02d}.{minutes % unit:0{decimals}d}"


def _course(said: Solution) -> str:
    return "" if said.heading_deg is None else f"{round(said.heading_deg, 2) % 360:.2f}"
