"""What one NMEA 0183 sentence says, or why it is wrong. Nothing is guessed: what was not said is None.

pynmea2 knows which field is which. Its parsing and its conversions stay unused, because each of them hides a fault: a
sentence without a checksum passes, no hemisphere reads as longitude 0.0, an empty position as 0.0, 0.0, and a leap
second or a bad speed comes back as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from math import hypot

import pynmea2
from msgspec import Struct

from firmware_bridge.framing import LINE_BYTES_MAX
from wire.fix import SPEED_MPS_MAX, FixQuality

MPS_PER_KNOT = 1852 / 3600
MPS_PER_KMH = 1 / 3.6
HDOP_MAX = 100.0  # receivers send 99.9 or 99.99 for "no idea"; more is not a dilution
ACCURACY_M_MAX = 10_000.0  # a receiver that sends more means that it has no idea


class Rejected(ValueError):
    """A sentence that is wrong. `reason` is one of a few stable words, for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Position(Struct, frozen=True, kw_only=True):
    """RMC, GGA, GNS or GLL (`kind`) with a position that the receiver stands by, or an estimate if one was asked for.

    `time_ms` counts from midnight UTC and reaches past 86,400,000 in a leap second.
    """

    kind: str
    time_ms: int | None
    lat: float
    lon: float
    day: date | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None
    hdop: float | None = None
    satellites: int | None = None
    quality: FixQuality | None = None


class NoPosition(Struct, frozen=True, kw_only=True):
    """RMC, GGA, GNS or GLL in which the receiver says that it has none, or only an estimate that nobody asked for."""

    kind: str
    time_ms: int | None


class Motion(Struct, frozen=True, kw_only=True):
    """VTG: speed and heading of the position it follows; it has no time of its own."""

    kind: str = "VTG"
    time_ms: None = None
    speed_mps: float | None
    heading_deg: float | None


class Day(Struct, frozen=True, kw_only=True):
    """ZDA: the date, for receivers that send no RMC."""

    kind: str = "ZDA"
    time_ms: int
    day: date


class Geometry(Struct, frozen=True, kw_only=True):
    """GSA: in how many dimensions one constellation's satellites fix a position (None: they do not), and how well.

    It has no time of its own, and most receivers send it after the position.
    """

    kind: str = "GSA"
    time_ms: None = None
    dimensions: int | None
    hdop: float | None


class Accuracy(Struct, frozen=True, kw_only=True):
    """GST: the receiver's own estimate of its error, as the radius that holds the true place two times in three."""

    kind: str = "GST"
    time_ms: int | None
    accuracy_m: float


Said = Position | NoPosition | Motion | Day | Geometry | Accuracy


def said(sentence: str, *, estimates: bool = False) -> Said | None:
    """What `sentence` (from `$` on) says; None when it is none of our business; Rejected when it is wrong.

    With `estimates` a position by dead reckoning counts as one, and its quality says what it is.
    """
    if len(sentence) > LINE_BYTES_MAX:
        raise Rejected("too_long")
    body, star, checksum = sentence[1:].partition("*")
    if not star:
        raise Rejected("no_checksum")
    if _HEX.fullmatch(checksum) is None or int(checksum, 16) != _checksum(body):
        raise Rejected("checksum")
    kind = body[2:6]
    read = _READERS.get(kind)
    if read is None or body[0] == "P":  # not one we use, or a maker's own, whatever it looks like
        return None
    return read(_fields(kind, body), estimates)


def _checksum(body: str) -> int:
    """All bytes of `body` exclusive-or'ed, by folding one long number in halves: eight steps instead of eighty."""
    folded = int.from_bytes(body.encode("ascii", "replace"), "big")
    for bits in _HALVES:
        folded ^= folded >> bits
    return folded & 0xFF


_HALVES = tuple(1 << power for power in range((LINE_BYTES_MAX * 8).bit_length() - 2, 2, -1))  # 1024, 512, ... 8 bits
_HEX = re.compile(r"[0-9A-Fa-f]{2}")


def _fields(kind: str, body: str) -> Mapping[str, str]:
    """The fields of `body` as text, by pynmea2's names; a short sentence lacks the last ones."""
    return dict(zip(_NAMES[kind], map(str.strip, body.split(",")[1:]), strict=False))


_NAMES = {
    kind: tuple(field[1] for field in sentence.fields)
    for kind, sentence in {
        "RMC,": pynmea2.RMC,
        "GGA,": pynmea2.GGA,
        "GNS,": pynmea2.GNS,
        "GLL,": pynmea2.GLL,
        "VTG,": pynmea2.VTG,
        "ZDA,": pynmea2.ZDA,
        "GSA,": pynmea2.GSA,
        "GST,": pynmea2.GST,
    }.items()
}


# The letters by which a receiver stands by its position: autonomous, differential, float and fixed RTK, precise.
# Not among them: M(anual), S(imulator), N(ot valid). NMEA before 2.3 has no letter, so empty is fine.
_QUALITY_BY_MODE: dict[str, FixQuality | None] = {
    "": None,
    "A": FixQuality.AUTONOMOUS,
    "P": FixQuality.AUTONOMOUS,
    "D": FixQuality.DIFFERENTIAL,
    "F": FixQuality.RTK,
    "R": FixQuality.RTK,
    "E": FixQuality.ESTIMATED,
}
_QUALITY_BY_DIGIT = {
    "1": FixQuality.AUTONOMOUS,
    "2": FixQuality.DIFFERENTIAL,
    "3": FixQuality.AUTONOMOUS,  # the military code: another signal, no correction
    "4": FixQuality.RTK,
    "5": FixQuality.RTK,
    "6": FixQuality.ESTIMATED,
    "9": FixQuality.DIFFERENTIAL,  # as NovAtel says it
}
_NO_QUALITIES = frozenset({"", "0", "7", "8"})  # none, manual, simulator
_BEST_MODES = "RFDPAE"


def _rmc(fields: Mapping[str, str], estimates: bool) -> Position | NoPosition:
    at_ms = _time_ms(fields)
    mode = fields.get("mode_indicator", "")
    if not _is_valid(fields, "status", mode, estimates) or _has_no_coordinates(fields):
        return NoPosition(kind="RMC", time_ms=at_ms)
    lat, lon = _coordinates(fields)
    return Position(
        kind="RMC",
        time_ms=at_ms,
        lat=lat,
        lon=lon,
        day=_rmc_day(fields.get("datestamp", "")),
        speed_mps=_speed_mps(fields.get("spd_over_grnd", ""), MPS_PER_KNOT),
        heading_deg=_heading_deg(fields.get("true_course", "")),
        quality=_QUALITY_BY_MODE[mode],
    )


def _gga(fields: Mapping[str, str], estimates: bool) -> Position | NoPosition:
    at_ms = _time_ms(fields)
    digit = fields.get("gps_qual", "")
    quality = _QUALITY_BY_DIGIT.get(digit)
    if digit in _NO_QUALITIES or not _is_wanted(quality, estimates) or _has_no_coordinates(fields):
        return NoPosition(kind="GGA", time_ms=at_ms)
    if quality is None:
        raise Rejected("quality")
    lat, lon = _coordinates(fields)
    return Position(
        kind="GGA",
        time_ms=at_ms,
        lat=lat,
        lon=lon,
        hdop=_hdop(fields.get("horizontal_dil", "")),
        satellites=_satellites(fields.get("num_sats", "")),
        quality=quality,
    )


def _gns(fields: Mapping[str, str], estimates: bool) -> Position | NoPosition:
    """GNS has a mode letter for each constellation; one that stands by the position is enough."""
    at_ms = _time_ms(fields)
    mode = next((letter for letter in _BEST_MODES if letter in fields.get("mode_indicator", "")), None)
    quality = None if mode is None else _QUALITY_BY_MODE[mode]
    if mode is None or not _is_wanted(quality, estimates) or _has_no_coordinates(fields):
        return NoPosition(kind="GNS", time_ms=at_ms)
    lat, lon = _coordinates(fields)
    return Position(
        kind="GNS",
        time_ms=at_ms,
        lat=lat,
        lon=lon,
        hdop=_hdop(fields.get("hdop", "")),
        satellites=_satellites(fields.get("num_sats", "")),
        quality=quality,
    )


def _gll(fields: Mapping[str, str], estimates: bool) -> Position | NoPosition:
    at_ms = _time_ms(fields)
    mode = fields.get("faa_mode", "")
    if not _is_valid(fields, "status", mode, estimates) or _has_no_coordinates(fields):
        return NoPosition(kind="GLL", time_ms=at_ms)
    lat, lon = _coordinates(fields)
    return Position(kind="GLL", time_ms=at_ms, lat=lat, lon=lon, quality=_QUALITY_BY_MODE[mode])


def _vtg(fields: Mapping[str, str], estimates: bool) -> Motion | None:
    mode = fields.get("faa_mode", "")
    if mode not in _QUALITY_BY_MODE or not _is_wanted(_QUALITY_BY_MODE[mode], estimates):
        return None
    if fields.get("true_track_sym") != "T":  # NMEA before 2.3 had four fields without letters
        return None
    knots = _speed_mps(fields.get("spd_over_grnd_kts", ""), MPS_PER_KNOT)
    return Motion(
        speed_mps=_speed_mps(fields.get("spd_over_grnd_kmph", ""), MPS_PER_KMH) if knots is None else knots,
        heading_deg=_heading_deg(fields.get("true_track", "")),
    )


def _zda(fields: Mapping[str, str], estimates: bool) -> Day | None:
    at_ms = _time_ms(fields)
    year, month, day = (fields.get(name, "") for name in ("year", "month", "day"))
    if at_ms is None or not (year and month and day):
        return None
    return Day(time_ms=at_ms, day=_date(year, month, day))


_DIMENSIONS = {"": None, "1": None, "2": 2, "3": 3}


def _gsa(fields: Mapping[str, str], estimates: bool) -> Geometry:
    dimensions = fields.get("mode_fix_type", "")
    if dimensions not in _DIMENSIONS:
        raise Rejected("dimensions")
    return Geometry(dimensions=_DIMENSIONS[dimensions], hdop=_hdop(fields.get("hdop", "")))


def _gst(fields: Mapping[str, str], estimates: bool) -> Accuracy | None:
    """GST; None where the receiver has no idea."""
    at_ms = _time_ms(fields)
    north, east = fields.get("std_dev_latitude", ""), fields.get("std_dev_longitude", "")
    if not (north and east):
        return None
    accuracy_m = hypot(_number(north, "accuracy"), _number(east, "accuracy"))  # the "drms" of geodesy
    return Accuracy(time_ms=at_ms, accuracy_m=accuracy_m) if accuracy_m < ACCURACY_M_MAX else None


# By the three letters after the talker and their comma, so that "GPRMCX" is not an RMC.
_READERS: dict[str, Callable[[Mapping[str, str], bool], Said | None]] = {
    "RMC,": _rmc,
    "GGA,": _gga,
    "GNS,": _gns,
    "GLL,": _gll,
    "VTG,": _vtg,
    "ZDA,": _zda,
    "GSA,": _gsa,
    "GST,": _gst,
}


def _is_valid(fields: Mapping[str, str], status_name: str, mode: str, estimates: bool) -> bool:
    if fields.get(status_name) != "A" or mode not in _QUALITY_BY_MODE:
        return False
    return _is_wanted(_QUALITY_BY_MODE[mode], estimates)


def _is_wanted(quality: FixQuality | None, estimates: bool) -> bool:
    return estimates or quality is not FixQuality.ESTIMATED


def _has_no_coordinates(fields: Mapping[str, str]) -> bool:
    return not fields.get("lat") and not fields.get("lon")


def _coordinates(fields: Mapping[str, str]) -> tuple[float, float]:
    lat = _degrees(fields.get("lat", ""), fields.get("lat_dir", ""), "N", "S", 90)
    lon = _degrees(fields.get("lon", ""), fields.get("lon_dir", ""), "E", "W", 180)
    if lat == 0 and lon == 0:
        # Open sea off Ghana: what a receiver says when it means nothing, never where a unit is.
        raise Rejected("null_island")
    return lat, lon


# A minute is 1.8 km: a coordinate without decimals has been cut short and is no place to send anyone.
_COORDINATE = re.compile(r"(\d{1,3})(\d\d\.\d{1,12})", re.ASCII)


def _degrees(text: str, hemisphere: str, positive: str, negative: str, most: int) -> float:
    match = _COORDINATE.fullmatch(text)
    if match is None:
        raise Rejected("coordinate")
    if hemisphere not in (positive, negative):
        raise Rejected("hemisphere")
    minutes = float(match[2])
    degrees = int(match[1]) + minutes / 60
    if minutes >= 60 or degrees > most:
        raise Rejected("coordinate")
    return degrees if hemisphere == positive else -degrees


_TIME = re.compile(r"(\d\d)(\d\d)(\d\d)(?:\.(\d{0,12}))?", re.ASCII)


def _time_ms(fields: Mapping[str, str]) -> int | None:
    text = fields.get("timestamp", "")
    if not text:
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        raise Rejected("time")
    hour, minute, second = int(match[1]), int(match[2]), int(match[3])
    if hour > 23 or minute > 59 or second > 60:  # 60 is a leap second, not a fault
        raise Rejected("time")
    return (hour * 3600 + minute * 60 + second) * 1000 + int((match[4] or "").ljust(3, "0")[:3])


_DAY = re.compile(r"\d{6}", re.ASCII)
_DIGITS = re.compile(r"\d{1,4}", re.ASCII)  # int() also takes 2_026 and +2026


def _rmc_day(text: str) -> date | None:
    """The date of ddmmyy; None when it is none.

    The position then still stands: on 6 April 2019 some receivers began to say "2208-1" and have said so ever since.
    """
    if _DAY.fullmatch(text) is None:
        return None
    year = text[4:]
    try:
        return _date(("19" if year >= "80" else "20") + year, text[2:4], text[:2])  # GPS time began in January 1980
    except Rejected:
        return None


_YEARS = range(1980, 2200)  # the last day of the year 9999 has no midnight after it


def _date(year: str, month: str, day: str) -> date:
    if not all(map(_DIGITS.fullmatch, (year, month, day))) or int(year) not in _YEARS:
        raise Rejected("date")
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        raise Rejected("date") from None


_NUMBER = re.compile(r"\d{1,6}(?:\.\d{0,12})?|\.\d{1,12}", re.ASCII)  # float() also takes nan, inf, 1e3 and 1_000


def _number(text: str, reason: str) -> float:
    if _NUMBER.fullmatch(text) is None:
        raise Rejected(reason)
    return float(text)


def _speed_mps(text: str, mps_per_unit: float) -> float | None:
    if not text:
        return None
    speed_mps = _number(text, "speed") * mps_per_unit
    if speed_mps > SPEED_MPS_MAX:
        raise Rejected("speed")
    return speed_mps


def _heading_deg(text: str) -> float | None:
    if not text:
        return None
    heading_deg = _number(text, "heading")
    if heading_deg > 360:
        raise Rejected("heading")
    return heading_deg % 360


def _hdop(text: str) -> float | None:
    """The dilution of precision; None where the receiver says it has none worth a number."""
    if not text:
        return None
    hdop = _number(text, "hdop")
    return hdop if hdop < HDOP_MAX else None


def _satellites(text: str) -> int | None:
    if not text:
        return None
    satellites = _number(text, "satellites")
    if satellites > 255 or satellites % 1:
        raise Rejected("satellites")
    return int(satellites)
