"""Which satellites a receiver sees, from GSV, and which of them it uses, from GSA. For people; no fix rests on it.

Pure, and without a clock: what is no longer repeated is forgotten after a few rounds of what still is. It takes
sentences whose checksum has been judged already (`nmea.said` did not refuse them).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

SATELLITES_MAX = 128  # all that fly over one place, several times; a receiver that names more names nonsense
_ROUNDS_MAX = 10  # some receivers say one constellation every second and another every fifth
_GROUPS_MAX = 32  # constellations times signals; a receiver that invents talkers does not fill the memory
_SENTENCES_MAX = 16  # one digit in the standard, two at some receivers: 64 satellites of one constellation


class Constellation(StrEnum):
    """Whose satellite it is. `unknown` keeps the receiver's own number."""

    GPS = "gps"
    SBAS = "sbas"
    GALILEO = "galileo"
    BEIDOU = "beidou"
    QZSS = "qzss"
    GLONASS = "glonass"
    NAVIC = "navic"
    UNKNOWN = "unknown"


_LETTERS = {  # RINEX, which everybody else follows
    Constellation.GPS: "G",
    Constellation.SBAS: "S",
    Constellation.GALILEO: "E",
    Constellation.BEIDOU: "C",
    Constellation.QZSS: "J",
    Constellation.GLONASS: "R",
    Constellation.NAVIC: "I",
    Constellation.UNKNOWN: "?",
}


class Satellite(Struct, frozen=True, kw_only=True):
    """One satellite above the horizon. `prn` counts within its constellation, as in RINEX.

    `elevation_deg` above the horizon, `azimuth_deg` from true north, `snr_db` (dB-Hz) of its strongest signal; None is
    "not said", for the signal also "not received".
    """

    constellation: Constellation
    prn: int
    elevation_deg: float | None
    azimuth_deg: float | None
    snr_db: float | None
    is_used: bool = False

    @property
    def name(self) -> str:
        return f"{_LETTERS[self.constellation]}{self.prn:02d}"


class Sky(Struct, frozen=True, kw_only=True):
    """All satellites in view, as the receiver last said. `used` is told even by receivers that name none in view."""

    satellites: tuple[Satellite, ...] = ()
    used: int | None = None


_T = TypeVar("_T")
_Id = tuple[Constellation, int]
_Group = tuple[Satellite, ...]


class SkyReader:
    """The sky of one receiver. One for each opened port or file."""

    def __init__(self) -> None:
        self._in_view = _Rounds[_Group]()  # by talker and signal
        self._used = _Rounds[frozenset[_Id]]()  # by talker and system
        self._group_talker = ""
        self._group: dict[str, list[Satellite]] = {}  # by signal, of sentences 1 to `_group_has`
        self._group_has = 0
        self._run: dict[str, frozenset[_Id]] = {}  # the GSA of one burst: several may speak of the same system
        self._wrong = 0

    @property
    def wrong(self) -> int:
        """How many GSV and GSA had a right checksum and made no sense."""
        return self._wrong

    @property
    def sky(self) -> Sky:
        used = frozenset[_Id]().union(*self._used.values())
        merged: dict[_Id, Satellite] = {}
        for group in self._in_view.values():
            for seen in group:
                identity = (seen.constellation, seen.prn)
                merged[identity] = _merged(merged.get(identity), seen)
        named = list(merged.items())[:SATELLITES_MAX]
        return Sky(
            satellites=tuple(replace(seen, is_used=identity in used) for identity, seen in named),
            used=len(used) if self._used.values() else None,
        )

    def take(self, sentence: str) -> bool:
        """Hear `sentence` (from `$` on); whether the sky is now another."""
        kind = sentence[3:7]
        changed = kind != "GSA," and self._end_run()
        if kind not in ("GSA,", "GSV,") or (sentence[1] == "P" and sentence[1:3] != "PQ"):
            return changed
        fields = [field.strip() for field in sentence[1:].partition("*")[0].split(",")]
        try:
            return self._take_gsv(fields) or changed if kind == "GSV," else self._take_gsa(fields)
        except ValueError:
            self._wrong += 1
            self._group_has = 0
            return changed

    def _take_gsv(self, fields: list[str]) -> bool:
        if len(fields) < 4:
            raise ValueError("too short")
        talker, total, number = fields[0][:2], _whole(fields[1]), _whole(fields[2])
        if not 1 <= number <= total <= _SENTENCES_MAX:
            raise ValueError("sentence numbers")
        if number == 1:
            self._group_talker, self._group, self._group_has = talker, {}, 0
        if talker != self._group_talker or number != self._group_has + 1:
            self._group_has = 0  # one of them was lost: what was said before stands until the next round
            return False
        self._group_has = number
        rest = fields[4:]
        signal = rest.pop() if len(rest) % 4 == 1 else ""  # most makers number each signal's sentences, one all of them
        self._group.setdefault(signal, []).extend(_satellites(talker, rest))
        if number < total:
            return False
        for signal, seen in self._group.items():
            self._in_view.say(f"{talker} {signal}", tuple(seen))
        return True

    def _take_gsa(self, fields: list[str]) -> bool:
        if len(fields) < 18:
            raise ValueError("too short")
        talker = fields[0][:2]
        system = fields[18] if len(fields) == 19 else ""
        numbers = fields[3:15] if len(fields) <= 19 else fields[3:-3]  # one receiver has room for 24
        used = frozenset(_identity(_SYSTEMS.get(system, talker), _whole(number)) for number in numbers if number)
        key = f"{talker} {system}"
        self._run[key] = self._run.get(key, frozenset()) | used
        return False

    def _end_run(self) -> bool:
        ended, self._run = self._run, {}
        for key, used in ended.items():
            self._used.say(key, used)
        return bool(ended)


class _Rounds(Generic[_T]):
    """What was last said under each key, less what has not been repeated for `_ROUNDS_MAX` rounds of the others."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[int, _T]] = {}
        self._round = 0

    def say(self, key: str, what: _T) -> None:
        if key in self._said and self._said[key][0] == self._round:
            self._round += 1
        self._said[key] = self._round, what
        oldest = self._round - _ROUNDS_MAX
        self._said = {key: said for key, said in self._said.items() if said[0] >= oldest}
        while len(self._said) > _GROUPS_MAX:
            del self._said[next(iter(self._said))]

    def values(self) -> list[_T]:
        return [what for _, what in self._said.values()]


def _satellites(talker: str, fields: list[str]) -> Iterator[Satellite]:
    """Four fields for each: number, elevation, azimuth, signal. The last sentence may be filled up with empty ones."""
    for number, elevation, azimuth, snr in zip(*(fields[place::4] for place in range(4)), strict=False):
        if not number:
            continue
        constellation, prn = _identity(talker, _whole(number))
        yield Satellite(
            constellation=constellation,
            prn=prn,
            elevation_deg=_number(elevation, -90, 90),
            azimuth_deg=_number(azimuth, 0, 360),
            snr_db=_number(snr, 0, 99) or None,
        )


def _merged(known: Satellite | None, seen: Satellite) -> Satellite:
    """One satellite, said once for each of its signals."""
    if known is None:
        return seen
    heard = [snr for snr in (known.snr_db, seen.snr_db) if snr is not None]
    return replace(
        known,
        elevation_deg=seen.elevation_deg if known.elevation_deg is None else known.elevation_deg,
        azimuth_deg=seen.azimuth_deg if known.azimuth_deg is None else known.azimuth_deg,
        snr_db=max(heard, default=None),
    )


# The last field of a GSA since NMEA 4.10, as the talker that would say the same.
_SYSTEMS = {"1": "GP", "2": "GL", "3": "GA", "4": "GB", "5": "GQ", "6": "GI"}

# Whose the number is, by talker first: makers number the young constellations from 1 or from a hundred of their own.
# (first, last, constellation, its number 1)
_NUMBERS_OF_TALKER: dict[str, list[tuple[int, int, Constellation, int]]] = {
    "GL": [(1, 32, Constellation.GLONASS, 1)],
    "GA": [(1, 36, Constellation.GALILEO, 1), (101, 136, Constellation.GALILEO, 101)],
    "GB": [
        (1, 64, Constellation.BEIDOU, 1),
        (101, 164, Constellation.BEIDOU, 101),
        (201, 264, Constellation.BEIDOU, 201),
    ],
    "GQ": [(1, 10, Constellation.QZSS, 1), (193, 202, Constellation.QZSS, 193)],
    "GI": [(1, 15, Constellation.NAVIC, 1)],
}
_SAME_TALKERS = {"BD": "GB", "QZ": "GQ", "PQ": "GQ"}
_NUMBERS = [
    (1, 32, Constellation.GPS, 1),
    (33, 64, Constellation.SBAS, 33 - 119),
    (65, 96, Constellation.GLONASS, 65),
    (120, 158, Constellation.SBAS, 1),
    (193, 200, Constellation.QZSS, 193),
    (201, 264, Constellation.BEIDOU, 201),
    (301, 336, Constellation.GALILEO, 301),
    (401, 464, Constellation.BEIDOU, 401),
]


def _identity(talker: str, number: int) -> _Id:
    own = _NUMBERS_OF_TALKER.get(_SAME_TALKERS.get(talker, talker), [])
    for first, last, constellation, one in (*own, *_NUMBERS):
        if first <= number <= last:
            return constellation, number - one + 1
    return Constellation.UNKNOWN, number


_WHOLE = re.compile(r"\d{1,3}", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,3}(?:\.\d{0,6})?", re.ASCII)


def _whole(text: str) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise ValueError("no whole number")
    return int(text)


def _number(text: str, least: float, most: float) -> float | None:
    if not text:
        return None
    if _NUMBER.fullmatch(text) is None or not least <= float(text) <= most:
        raise ValueError("no such number")
    return float(text)
