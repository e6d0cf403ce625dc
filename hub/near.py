"""Is this the same call again: a hint with its reasons when an incident is about to be opened. Pure; a person decides."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from wire.distance import distance_m

M_PER_FT = 0.3048  # who reads it thinks in feet
NEAR_M = 250.0  # two callers across a park
FAR_M = 750.0  # somebody who walks on
SOON_MS = 30 * 60_000
CLOSED_MS_MAX = 60 * 60_000  # a caller calls again after the crew has left
HINTS_MAX = 3


class Sketch(Struct, frozen=True, kw_only=True):
    """What is known of an incident while it is being entered."""

    type: str
    lat: float
    lon: float
    place: str = ""


class Known(Struct, frozen=True, kw_only=True):
    """An incident that is there. `closed_ms` None: it is open."""

    id: str
    number: int
    type: str
    lat: float
    lon: float
    place: str
    opened_ms: int
    closed_ms: int | None = None


class Hint(Struct, frozen=True, kw_only=True):
    """One that may be the same, and why."""

    incident: str
    number: int
    reasons: tuple[str, ...]


def hints(sketch: Sketch, known: Iterable[Known], now_ms: int) -> tuple[Hint, ...]:
    """Those that may be the same, the likeliest first, at most three."""
    found = sorted(
        ((_unlikeness(sketch, one, now_ms), one.number, one) for one in known if _may_be(sketch, one, now_ms)),
        key=lambda row: row[:2],
    )
    return tuple(
        Hint(incident=one.id, number=one.number, reasons=_reasons(sketch, one, now_ms))
        for _, _, one in found[:HINTS_MAX]
    )


def same_words(one: str, other: str) -> bool:
    """Whether two people wrote the same, give or take how they write it; nothing is never the same."""
    return bool(_plain(one)) and _plain(one) == _plain(other)


def _may_be(sketch: Sketch, one: Known, now_ms: int) -> bool:
    if one.closed_ms is not None and now_ms - one.closed_ms > CLOSED_MS_MAX:
        return False
    away_m = _away_m(sketch, one)
    if same_words(sketch.place, one.place) and away_m <= FAR_M:
        return True
    is_soon = now_ms - one.opened_ms <= SOON_MS
    return away_m <= NEAR_M or (away_m <= FAR_M and is_soon and one.type == sketch.type)


def _unlikeness(sketch: Sketch, one: Known, now_ms: int) -> float:
    """Meters, where a minute counts ten, another type two hundred, and the same words for the place take them back."""
    minutes = max(0, now_ms - one.opened_ms) / 60_000
    same = same_words(sketch.place, one.place)
    return _away_m(sketch, one) * (not same) + 10 * minutes + 200 * (one.type != sketch.type)


def _reasons(sketch: Sketch, one: Known, now_ms: int) -> tuple[str, ...]:
    away_m = _away_m(sketch, one)
    minutes = max(0, now_ms - one.opened_ms) // 60_000
    where = "same place" if same_words(sketch.place, one.place) else f"{round(away_m / M_PER_FT, -1):.0f} ft away"
    when = f"opened {minutes} min ago" if minutes else "opened just now"
    ended = () if one.closed_ms is None else (f"closed {max(0, now_ms - one.closed_ms) // 60_000} min ago",)
    return (where, when, *ended, *(("same type",) if one.type == sketch.type else ()))


def _away_m(sketch: Sketch, one: Known) -> float:
    return distance_m(sketch.lat, sketch.lon, one.lat, one.lon)


def _plain(place: str) -> str:
    return "".join(letter for letter in place.casefold() if letter.isalnum())
