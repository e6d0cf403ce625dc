"""Where a dispatcher means: typed words to places, and a click on the map to words. All from one file on this disk.

What is not in the map is said and never guessed silently: a number between two that are known is "about", a number that
is not known gives its street and says so, words that nothing is called are named. The same question in front of the same
view has the same answer in the same order.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from math import cos, hypot, radians
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from hub.place_index import CODE_DEG, FILE, encoded
from hub.place_words import (
    QUERY_CHARS_MAX,
    WORDS_MAX,
    Split,
    coordinates,
    is_usual,
    leading,
    sides,
    splits,
    without_apartment,
    words,
)
from wire.distance import EARTH_RADIUS_M, nearby_m

LIMIT_MAX = 50  # nobody reads further down a list while somebody waits
CANDIDATES_MAX = 200  # nearest by their edges, then measured exactly: a letter matches a thousand streets
FEW = 5  # with fewer answers it is worth to try what is typed as a crossing
AT_CROSSING_M = 25.0  # a click this close to a crossing means it
AT_NUMBER_M = 60.0  # a click is "near" a house this far away: a deep front yard
AT_DOOR_M = 15.0  # a number this near is the very door
AT_STREET_M = 250.0
NEXT_CROSSING_M = 400.0  # two blocks: farther away it says nothing about where on the street
AT_NAMED_M = 1000.0
NAMED_HALF_M_MAX = 600.0  # a park, a campus; what is larger says little about a point in it
LAT_DEG_M = 111_200.0

WHOLE_QUARTERS = frozenset((  # to be inside of one says nothing about where
    "city", "town", "village", "hamlet", "suburb", "quarter", "neighborhood", "locality", "residential", "commercial",
    "industrial", "retail", "parking",
))  # fmt: skip

STREET, ADDRESS, CROSSING, COORDINATES = "street", "address", "crossing", "coordinates"

View = tuple[float, float] | None  # lat, lon of what the dispatcher looks at


class PlacesError(ValueError):
    """Why there is no answer, in one sentence for the person who asked."""


class Place(Struct, frozen=True, kw_only=True):
    """Somewhere that was meant.

    `kind` is "address", "street", "crossing", "coordinates", or the word for a named place ("hospital"); `name` is what
    to show and to keep; `around` the neighborhood and town, "" when not known; `is_about`: the point was computed
    between known ones, or stands for a whole street; `note` is what the person must know before a unit is sent there.
    `bounds` is west, south, east, north of what is larger than a point.
    """

    kind: str
    name: str
    around: str
    lat: float
    lon: float
    is_about: bool = False
    note: str | None = None
    address: str | None = None
    bounds: tuple[float, float, float, float] | None = None


class _Found(Struct, frozen=True):
    """A place with what it is ordered by: the smaller `tier`, the smaller `loose`, then the nearer."""

    tier: int
    place: Place
    loose: int
    distance_m: float


# How well the words fit: typed in full and all of them in the name; some of them in its neighborhood; only begun; both.
_FULL, _AROUND, _BEGUN, _BEGUN_AROUND = range(4)
_LOOSE = (_FULL, _AROUND, _BEGUN, _BEGUN_AROUND)
_EXACT, _ABOUT, _SIGNED, _PLAIN, _UNKNOWN, _CROSSED = range(6)


class Places:
    """The address index in a map's folder. Each question opens the file for itself: any thread may ask."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def search(self, query: str, near: View, limit: int = 10) -> tuple[Place, ...]:
        """What was meant by `query`, the likeliest first; () when nothing is called that. PlacesError, else nothing."""
        wanted = max(1, min(limit, LIMIT_MAX))
        with self._opened() as db:
            if (at := coordinates(query)) is not None:
                return (_typed_point(db, *at),)
            found = _search(db, query, near)
            if not found:
                found = _search_without(db, query, near)
        return tuple(_in_order(found))[:wanted]

    def reverse(self, lat: float, lon: float) -> Place:
        """The words for a click on the map: the place keeps the very point that was clicked."""
        with self._opened() as db:
            return _words_for(db, lat, lon)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        if not self._file.is_file():
            raise PlacesError("This map has no address index. Import it again with: tandem-hub map import FILE.osm.pbf")
        try:
            # immutable: an index is never written again once its map is whole, and a read needs no lock
            with closing(sqlite3.connect(f"{self._file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
                yield db
        except sqlite3.Error:  # its own words may hold what was typed
            raise PlacesError("The address index cannot be read. Import the map again.") from None


def places_of(into: Path, map_id: str) -> Places:
    """The places of the map `map_id` under `into`."""
    return Places(into / "maps" / map_id)


def version_of(file: Path) -> str | None:
    """The version of an index file; None when it is none that can be read."""
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
            row = db.execute("select value from about where name = 'version'").fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None


# ---- words to places ---------------------------------------------------------------------------------------------


def _search(db: sqlite3.Connection, query: str, near: View) -> list[_Found]:
    typed = words(query[:QUERY_CHARS_MAX])[:WORDS_MAX]
    if not typed:
        return []
    crossed = sides(query)
    found = _crossings(db, *crossed, near, _SIGNED) if crossed else []
    plain = _plain(db, typed, near)
    numbered = [one for split in splits(typed) for one in _numbered(db, split, near, is_plain=bool(plain))]
    found += numbered + plain
    if len(found) < FEW and len(typed) > 1 and not crossed:  # "high broad", without a sign between them
        for cut in range(1, len(typed)):
            found += _crossings(db, typed[:cut], typed[cut:], near, _CROSSED)
    return found


def _search_without(db: sqlite3.Connection, query: str, near: View) -> list[_Found]:
    """Without the apartment, the ZIP code, the state: what is left out is said. Never without the first two words."""
    typed = words(query[:QUERY_CHARS_MAX])[:WORDS_MAX]
    for kept in _shorter(db, query):
        # a number or a lone "st" that is left would match half of the city
        if kept == typed or not any(len(word) > 2 and not word[0].isdecimal() for word in kept):
            continue
        if found := _search(db, " ".join(kept), near):
            note = f"Found without: {' '.join(_left_out(typed, kept))}."
            return [_Found(one.tier, _noted(one.place, note), one.loose, one.distance_m) for one in found]
    return []


def _shorter(db: sqlite3.Connection, query: str) -> Iterator[tuple[str, ...]]:
    """The words of a query, fewer and fewer: the end of an address says least."""
    kept = words(without_apartment(query))[:WORDS_MAX]
    yield kept
    yield (known := tuple(word for word in kept if _is_known(db, word)))
    for count in range(len(known) - 1, 1, -1):
        yield known[:count]


def _is_known(db: sqlite3.Connection, word: str) -> bool:
    """Whether anything is called that. A house number is judged by its street; five digits are a ZIP code."""
    if word[0].isdecimal():
        return len(word) != 5
    row = db.execute("select 1 from named where named match ? limit 1", (f"{encoded(word)}*",)).fetchone()
    return row is not None


def _left_out(typed: Sequence[str], kept: Sequence[str]) -> list[str]:
    left, gone = list(kept), []
    for word in typed:
        if word in left:
            left.remove(word)
        else:
            gone.append(word)
    return gone


def _noted(place: Place, note: str) -> Place:
    return replace(place, note=f"{note} {place.note}" if place.note else note)


def _match(typed: Sequence[str], loose: int) -> str:
    """All words, in whatever order; at least one of them in the name itself."""
    each = [encoded(word) + ("*" if loose >= _BEGUN else "") for word in typed]
    if loose in (_FULL, _BEGUN):
        return f"called : ({' AND '.join(each)})"
    return f"({' AND '.join(each)}) AND ({' OR '.join(f'called : {word}' for word in each)})"


def _plain(db: sqlite3.Connection, typed: Sequence[str], near: View) -> list[_Found]:
    """Streets and named places that are called so; the better the words fit the earlier."""
    lat, lon, shrink = _view(near)
    found: dict[int, _Found] = {}
    for loose in _LOOSE:
        rows = db.execute(
            f"""
            select id, kind, name, around, address, lat, lon, south, west, north, east
            from named join place on place.id = named.rowid where named match :words
            order by {_EDGE_DISTANCE}, id limit :most
            """,  # noqa: S608  # a constant
            {"words": _match(typed, loose), "lat": lat, "lon": lon, "shrink": shrink, "most": CANDIDATES_MAX},
        )
        for id_, kind, *row in rows.fetchall():
            if id_ not in found:
                found[id_] = _found_row(db, id_, kind, row, near, loose)
        if len(found) >= LIMIT_MAX:
            break
    return list(found.values())


# How far the view is from the box of a place, squared, in degrees; without a view all are equally far.
_EDGE_DISTANCE = """
    max(0, south - :lat, :lat - north) * max(0, south - :lat, :lat - north)
    + max(0, west - :lon, :lon - east) * max(0, west - :lon, :lon - east) * :shrink
"""


def _view(near: View) -> tuple[float | None, float | None, float]:
    return (None, None, 1.0) if near is None else (*near, cos(radians(near[0])) ** 2)


Row = Sequence[str | float | None]


def _found_row(db: sqlite3.Connection, id_: int, kind: str, row: Row, near: View, loose: int) -> _Found:
    name, around, address, lat, lon, south, west, north, east = row
    at = float(lat or 0), float(lon or 0)
    bounds = None
    if (south, west) != (north, east):
        bounds = float(west or 0), float(south or 0), float(east or 0), float(north or 0)
    if kind == STREET:
        at, distance_m = _nearest_on(db, id_, at, near)
    else:
        distance_m = 0.0 if near is None else nearby_m(*near, *at)
    place = Place(
        kind=kind,
        name=str(name),
        around=str(around),
        lat=round(at[0], 6),
        lon=round(at[1], 6),
        is_about=kind == STREET,
        address=None if address is None else str(address),
        bounds=bounds,
    )
    return _Found(_PLAIN, place, loose, distance_m)


def _nearest_on(
    db: sqlite3.Connection, street: int, usual: tuple[float, float], near: View
) -> tuple[tuple[float, float], float]:
    """The point of a street that is nearest to the view, and how far that is; its middle without a view."""
    if near is None:
        return usual, 0.0
    lines = db.execute("select points from line where street = ?", (street,)).fetchall()
    measured = (_nearest_of(_unpacked(points), near) for (points,) in lines)
    distance_m, at = min(measured, default=(nearby_m(*near, *usual), usual))
    return at, distance_m


def _numbered(db: sqlite3.Connection, split: Split, near: View, is_plain: bool) -> list[_Found]:
    """The house with this number in every street that the other words name; else the street that lacks it."""
    # a name before a neighborhood: the "n" of "120 n high" is also in Short North, where South High Street begins
    if found := _houses(db, split, near, _FULL) or _houses(db, split, near, _AROUND):
        return found
    is_name = is_plain or (len(split.rest) == 1 and is_usual(split.rest[0]))  # "US 23", "Fire Station 2", "3 St"
    lacking = [] if is_name else _lacking(db, split, near, _FULL) or _lacking(db, split, near, _AROUND)
    begun = _houses(db, split, near, _BEGUN) or _houses(db, split, near, _BEGUN_AROUND)
    if lacking:  # "120 High St" must not become 120 Highland Street because only that has a 120
        return lacking + [_Found(_UNKNOWN, one.place, one.loose, one.distance_m) for one in begun]
    if begun or is_name:
        return begun
    return _lacking(db, split, near, _BEGUN) or _lacking(db, split, near, _BEGUN_AROUND)


def _houses(db: sqlite3.Connection, split: Split, near: View, loose: int) -> list[_Found]:
    rows = db.execute(
        """
        select number.label, place.name, area.around, number.lat, number.lon, number.is_about
        from named join place on place.id = named.rowid join number on number.street = place.id
        join area on area.id = number.area
        where named match ? and number.key = ?
        """,
        (_match(split.rest, loose), split.number),
    )
    return [_address(row, split.number, near, loose) for row in rows.fetchall()]


def _address(row: Row, number: str, near: View, loose: int) -> _Found:
    label, street, around, lat, lon, is_about = row
    at = float(lat or 0), float(lon or 0)
    said = f"about {label} {street}" if is_about else f"{label} {street}"
    place = Place(
        kind=ADDRESS,
        name=said,
        around=str(around),
        lat=round(at[0], 6),
        lon=round(at[1], 6),
        is_about=bool(is_about),
        note=f"Number {number} is reckoned between two numbers that the map knows." if is_about else None,
    )
    distance_m = 0.0 if near is None else nearby_m(*near, *at)
    return _Found(_ABOUT if is_about else _EXACT, place, loose, distance_m)


def _lacking(db: sqlite3.Connection, split: Split, near: View, loose: int) -> list[_Found]:
    """The streets that are called so; none of them has the number."""
    lat, lon, shrink = _view(near)
    rows = db.execute(
        f"""
        select id, kind, name, around, address, lat, lon, south, west, north, east
        from named join place on place.id = named.rowid where named match :words and kind = 'street'
        order by {_EDGE_DISTANCE}, id limit :most
        """,  # noqa: S608  # a constant
        {"words": _match(split.rest, loose), "lat": lat, "lon": lon, "shrink": shrink, "most": LIMIT_MAX},
    ).fetchall()
    found = [(id_, _found_row(db, id_, kind, row, near, loose)) for id_, kind, *row in rows]
    return [_without_number(db, id_, one, split.number) for id_, one in found]


def _without_number(db: sqlite3.Connection, street: int, found: _Found, number: str) -> _Found:
    """The street, at the closest number that is known in the same hundred, and a note that says so."""
    value = leading(number)
    closest = None
    if value is not None:
        closest = db.execute(
            """
            select label, lat, lon from number where street = ? and leading / 100 = ? / 100 and is_about = 0
            order by abs(leading - ?), key limit 1
            """,
            (street, value, value),
        ).fetchone()
    place = found.place
    label, lat, lon = closest or (None, place.lat, place.lon)
    note = f"The map does not know number {number} there."
    said = (
        f"{note} The point is at {label}, the closest number it knows."
        if label
        else f"{note} The point is only on the street."
    )
    shown = replace(place, lat=round(lat, 6), lon=round(lon, 6), note=said)
    return _Found(_UNKNOWN, shown, found.loose, found.distance_m)


def _crossings(
    db: sqlite3.Connection, first: Sequence[str], second: Sequence[str], near: View, tier: int
) -> list[_Found]:
    """Where a street with the first words meets one with the second; without second words, all its crossings."""
    lat, lon, shrink = _view(near)
    found: dict[tuple[int, int, float, float], _Found] = {}
    for loose in (_FULL, _BEGUN):
        other = "and b in (select rowid from named where named match :other)" if second else ""
        rows = db.execute(
            f"""
            with pair (a, b, one, other, around, lat, lon) as (
                select one, other, one, other, around, lat, lon from crossing
                where one in (select rowid from named where named match :words)
                union all
                select other, one, one, other, around, lat, lon from crossing
                where other in (select rowid from named where named match :words)
            )
            select one, other, around, lat, lon,
                   (select name from place where id = a), (select name from place where id = b)
            from pair where true {other}
            order by (lat - :lat) * (lat - :lat) + (lon - :lon) * (lon - :lon) * :shrink, one, other limit :most
            """,  # noqa: S608  # a constant
            {
                "words": _match(first, loose), "other": _match(second, loose) if second else None,
                "lat": lat, "lon": lon, "shrink": shrink, "most": CANDIDATES_MAX,
            },
        )  # fmt: skip
        for one, other_id, around, at_lat, at_lon, name, other_name in rows.fetchall():
            place = Place(
                kind=CROSSING,
                name=f"{name} & {other_name}",
                around=around,
                lat=round(at_lat, 6),
                lon=round(at_lon, 6),
            )
            distance_m = 0.0 if near is None else nearby_m(*near, at_lat, at_lon)
            found.setdefault((one, other_id, at_lat, at_lon), _Found(tier, place, loose, distance_m))
        if found and second:
            break
    return list(found.values())


def _in_order(found: Sequence[_Found]) -> Iterator[Place]:
    """Exact numbers first; then what was typed in full; then the nearest; names decide between equals."""

    def order(one: _Found) -> tuple[int, int, int, str, float, float]:
        place = one.place
        return one.tier, one.loose, round(one.distance_m), place.name, place.lat, place.lon

    seen: set[tuple[str, str, float, float]] = set()
    for one in sorted(found, key=order):
        place = one.place
        if (same := (place.kind, place.name, place.lat, place.lon)) not in seen:
            seen.add(same)
            yield place


# ---- points to words ---------------------------------------------------------------------------------------------


def _typed_point(db: sqlite3.Connection, lat: float, lon: float) -> Place:
    there = _words_for(db, lat, lon)
    is_known = there.kind != COORDINATES
    return Place(
        kind=COORDINATES,
        name=_degrees(lat, lon),
        around=", ".join(part for part in (there.name if is_known else "", there.around) if part),
        lat=round(lat, 6),
        lon=round(lon, 6),
        note=None if is_known else "Nothing on the map is near this point: check the numbers.",
    )


def _words_for(db: sqlite3.Connection, lat: float, lon: float) -> Place:
    if crossing := _nearest_crossing(db, lat, lon, AT_CROSSING_M, None):
        _, name, around = crossing
        return _clicked(CROSSING, name, around, lat, lon)
    number = _nearest_number(db, lat, lon)
    named = _nearest_named(db, lat, lon, AT_NUMBER_M)
    # inside a hospital its name says more than the number on its far wall
    if number and (named is None or number[0] <= max(named[0], AT_DOOR_M)):
        return _clicked(ADDRESS, f"near {number[1]}", number[2], lat, lon, is_about=True)
    if named:
        distance_m, name, around, kind = named
        return _clicked(kind, f"near {name}" if distance_m else name, around, lat, lon, is_about=True)
    if street := _nearest_street(db, lat, lon):
        _, id_, name, around = street
        beside = _nearest_crossing(db, lat, lon, NEXT_CROSSING_M, id_)
        said = f"{name}, near {beside[1]}" if beside else name
        return _clicked(STREET, said, beside[2] if beside else around, lat, lon, is_about=True)
    if named := _nearest_named(db, lat, lon, AT_NAMED_M):
        distance_m, name, around, kind = named
        return _clicked(kind, f"{_rounded_m(distance_m)} m from {name}", around, lat, lon, is_about=True)
    return _clicked(COORDINATES, _degrees(lat, lon), "", lat, lon)


def _clicked(kind: str, name: str, around: str, lat: float, lon: float, is_about: bool = False) -> Place:
    return Place(kind=kind, name=name, around=around, lat=lat, lon=lon, is_about=is_about)


def _nearest_crossing(
    db: sqlite3.Connection, lat: float, lon: float, within_m: float, street: int | None
) -> tuple[float, str, str] | None:
    """(meters, name, around) of the nearest crossing; of one street, the name is that of the other one."""
    rows = db.execute(
        """
        select crossing.lat, crossing.lon, a.name, b.name, crossing.around, a.id, b.id
        from crossing join place a on a.id = crossing.one join place b on b.id = crossing.other
        where crossing.lat between ? and ? and crossing.lon between ? and ?
        """,
        _box(lat, lon, within_m),
    ).fetchall()
    found = []
    for at_lat, at_lon, one, other, around, one_id, other_id in rows:
        if street is not None and street not in (one_id, other_id):
            continue
        name = f"{one} & {other}" if street is None else (other if street == one_id else one)
        found.append((nearby_m(lat, lon, at_lat, at_lon), name, around))
    return _first_within(found, within_m)


def _nearest_number(db: sqlite3.Connection, lat: float, lon: float) -> tuple[float, str, str] | None:
    rows = db.execute(
        """
        select number.lat, number.lon, number.label, place.name, area.around
        from number join place on place.id = number.street join area on area.id = number.area
        where number.lat between ? and ? and number.lon between ? and ? and is_about = 0
        """,
        _box(lat, lon, AT_NUMBER_M),
    ).fetchall()
    found = [(nearby_m(lat, lon, a, o), f"{label} {street}", around) for a, o, label, street, around in rows]
    return _first_within(found, AT_NUMBER_M)


def _nearest_named(
    db: sqlite3.Connection, lat: float, lon: float, within_m: float
) -> tuple[float, str, str, str] | None:
    """(meters, name, around, kind) of the nearest named place, counted from the edge of what it covers."""
    rows = db.execute(
        """
        select south, west, north, east, name, around, kind from place
        where kind <> 'street' and lat between ? and ? and lon between ? and ?
        """,
        _box(lat, lon, within_m + NAMED_HALF_M_MAX),
    ).fetchall()
    found = []
    for south, west, north, east, name, around, kind in rows:
        away_m = nearby_m(lat, lon, min(max(lat, south), north), min(max(lon, west), east))
        if kind not in WHOLE_QUARTERS and away_m <= within_m:
            found.append((away_m, nearby_m(south, west, north, east), name, around, kind))
    if not found:
        return None
    away_m, _, name, around, kind = min(found)  # of several around a point the smallest
    return away_m, name, around, kind


def _nearest_street(db: sqlite3.Connection, lat: float, lon: float) -> tuple[float, int, str, str] | None:
    south, north, west, east = _box(lat, lon, AT_STREET_M)
    rows = db.execute(
        """
        select line.points, place.id, place.name, place.around
        from line_box join line on line.id = line_box.id join place on place.id = line.street
        where line_box.north >= ? and line_box.south <= ? and line_box.east >= ? and line_box.west <= ?
        """,
        (south, north, west, east),
    ).fetchall()
    found = [(_nearest_of(_unpacked(points), (lat, lon))[0], id_, name, around) for points, id_, name, around in rows]
    found = [one for one in found if one[0] <= AT_STREET_M]
    return min(found, default=None)


def _first_within(found: list[tuple[float, str, str]], within_m: float) -> tuple[float, str, str] | None:
    return min((one for one in found if one[0] <= within_m), default=None)


def _box(lat: float, lon: float, within_m: float) -> tuple[float, float, float, float]:
    """South, north, west, east."""
    up = within_m / LAT_DEG_M
    right = up / max(0.01, cos(radians(lat)))
    return lat - up, lat + up, lon - right, lon + right


def _unpacked(points: bytes) -> list[tuple[float, float]]:
    codes = array("i")
    codes.frombytes(points)
    return [(codes[index] / CODE_DEG, codes[index + 1] / CODE_DEG) for index in range(0, len(codes), 2)]


def _nearest_of(points: Sequence[tuple[float, float]], to: tuple[float, float]) -> tuple[float, tuple[float, float]]:
    """Meters from `to` to a line, and where on it that is; flat, as a street is."""
    shrink = cos(radians(to[0]))
    best = nearby_m(*to, *points[0]), points[0]
    for (a_lat, a_lon), (b_lat, b_lon) in pairwise(points):
        up, right = b_lat - a_lat, (b_lon - a_lon) * shrink
        length = up * up + right * right
        share = ((to[0] - a_lat) * up + (to[1] - a_lon) * shrink * right) / length if length else 0.0
        share = max(0.0, min(1.0, share))
        at = a_lat + share * up, a_lon + share * (b_lon - a_lon)
        away_m = EARTH_RADIUS_M * radians(hypot(to[0] - at[0], (to[1] - at[1]) * shrink))
        best = min(best, (away_m, at))
    return best


def _degrees(lat: float, lon: float) -> str:
    return f"{lat:.5f}, {lon:.5f}"


def _rounded_m(distance_m: float) -> int:
    return max(10, round(distance_m / 10) * 10)
