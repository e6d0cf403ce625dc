"""The words of an address, so that what is typed and what a map says meet: "120 n HIGH st." and "North High Street".

The index holds every form of each word and a query only its own, unaccented and small; nothing here knows of a database.
Whatever is typed, nothing raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from unicodedata import category, normalize

from msgspec import Struct

QUERY_CHARS_MAX = 200  # longer than any address; the rest is not read
WORDS_MAX = 16  # of a query: each costs a look into the index

_ABBREVIATED = {  # canonical form, then whatever else people write for it (USPS Publication 28, the common part)
    "n": "north", "s": "south", "e": "east", "w": "west",
    "ne": "northeast", "nw": "northwest", "se": "southeast", "sw": "southwest",
    "al": "alley aly", "ave": "avenue av", "blvd": "boulevard boul", "br": "branch", "brg": "bridge", "byp": "bypass",
    "cir": "circle", "cres": "crescent", "ctr": "center centre", "cswy": "causeway", "ct": "court", "cv": "cove",
    "dr": "drive doctor", "expy": "expressway expwy", "ext": "extension", "fwy": "freeway", "gdns": "gardens",
    "grv": "grove", "hts": "heights", "hwy": "highway", "is": "island", "jct": "junction", "ln": "lane",
    "lndg": "landing", "mdws": "meadows", "mt": "mount", "mtn": "mountain", "pk": "pike", "pkwy": "parkway pky",
    "pl": "place", "plz": "plaza", "pt": "point", "rd": "road", "rdg": "ridge", "rte": "route", "sq": "square",
    "st": "street saint", "sta": "station", "ste": "suite", "ter": "terrace", "tpke": "turnpike", "trl": "trail",
    "tunl": "tunnel", "vly": "valley", "vw": "view", "xing": "crossing",
    "ft": "fort", "jr": "junior", "hosp": "hospital", "elem": "elementary", "univ": "university", "rec": "recreation",
    "ems": "ambulance", "apts": "apartments", "bldg": "building", "med": "medical", "comm": "community", "dept": "department",
    "i": "interstate", "us": "usa", "sr": "state",
}  # fmt: skip
_FORMS = {
    word: frozenset((short, *long.split())) for short, long in _ABBREVIATED.items() for word in (short, *long.split())
}
_SHORT = {word: short for short, long in _ABBREVIATED.items() for word in (short, *long.split())}

_ONES = (
    "", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
    "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth",
)  # fmt: skip
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_TENTHS = ("", "", "twentieth", "thirtieth", "fortieth", "fiftieth", "sixtieth", "seventieth", "eightieth", "ninetieth")
_SPELLED = {word: number for number, word in enumerate(_ONES) if word} | {
    word: number * 10 for number, word in enumerate(_TENTHS) if word
}

_WORD = re.compile(r"[0-9]+[ -][0-9]/[0-9]|[0-9]+(?:-[0-9]+)+[a-z]?|[0-9]+(?:st|nd|rd|th)\b|\w+")
_ORDINAL = re.compile(r"([0-9]{1,4})(?:st|nd|rd|th)")
_NUMBER = re.compile(r"[0-9]{1,6}(?:-[0-9]{1,6})*(?:[a-z]|-[0-9]/[0-9])?")
_LEADING = re.compile(r"[0-9]+")
_CROSSING = re.compile(r"\s(?:&|and|at|@|x)\s|[&@/\\+]|\s(?:&|and|at|@|x)\s*$")
_APARTMENT = re.compile(
    r"(?:\b(?:apt|apartment|suite|ste|unit|rm|room|lot|fl|floor)\b\.?|#)\s*#?\s*[\w-]+", re.IGNORECASE
)

_DEGREES = r"([+-]?[0-9]{1,3}(?:\.[0-9]+)?)\s*°?"
_PLAIN = re.compile(rf"\(?\s*{_DEGREES}\s*(?:[,;]\s*|\s+){_DEGREES}\s*\)?")
_PART = r"([0-9]{1,3}(?:\.[0-9]+)?)\s*[°d]?\s*(?:([0-9]{1,2}(?:\.[0-9]+)?)\s*['′m]?\s*(?:([0-9]{1,2}(?:\.[0-9]+)?)\s*(?:\"|″|′′|''|s)?\s*)?)?"
_AFTER = re.compile(rf"{_PART}([ns])[,;\s]*{_PART}([ew])", re.IGNORECASE)
_BEFORE = re.compile(rf"([ns])\s*{_PART}[,;\s]*([ew])\s*{_PART}", re.IGNORECASE)
_GEO = re.compile(
    r"(?:geo:|.*[?&/@](?:q=|ll=|query=|mlat=)?)([+-]?[0-9]{1,2}\.[0-9]+)(?:,|&mlon=)([+-]?[0-9]{1,3}\.[0-9]+)"
)


class Split(Struct, frozen=True):
    """One reading of a query: a house number and the words of a street."""

    number: str
    rest: tuple[str, ...]


def folded(text: str) -> str:
    """Small, unaccented, without apostrophes and points: "Peña's St." is "penas st"."""
    if text.isascii():
        return re.sub(r"['`.]", "", text.lower())
    apart = "".join(f" {one}" if category(one) == "No" else one for one in text)  # 12½ is 12 and a half, not 121/2
    plain = "".join(one for one in normalize("NFKD", normalize("NFKD", apart).casefold()) if category(one) != "Mn")
    plain = plain.replace("ß", "ss").replace("⁄", "/")  # what NFKD makes of ½
    return re.sub(r"['’`´ʻ.]", "", plain)


def words(text: str) -> tuple[str, ...]:
    """The words of a text as they are compared, in its order."""
    found = (re.sub(r"[ -](?=[0-9]/)", "-", word).strip("_") for word in _WORD.findall(folded(text)))
    return tuple(word for word in found if word)


def key(name: str) -> str:
    """The same for every way to write one street's name: "N. High St" and "North High Street"."""
    return " ".join(_short(word) for word in words(name))


def number_key(number: str) -> str:
    """The same for every way to write one house number."""
    return "-".join(words(number))


def numbers_in(tag: str) -> tuple[str, ...]:
    """The house numbers that one tag names: "12;14" has two, "120-124" is one building with both."""
    each: list[str] = []
    for part in re.split(r"[;,]", tag):
        number = part if part.isascii() and part.isdecimal() else number_key(part)
        if not number or len(number) > 24:
            continue
        each.append(number)
        ends = number.split("-")
        # 37-12 is one number in Queens, 120-124 is a range: a range rises, and not far
        if (
            len(ends) == 2
            and all(end.isdecimal() for end in ends)
            and int(ends[0]) < int(ends[1]) <= int(ends[0]) + 200
        ):
            each += ends
    return tuple(dict.fromkeys(each))


def leading(number: str) -> int | None:
    """The number by which a house number is sorted; None when it begins with a letter."""
    found = _LEADING.match(number)
    return int(found[0][:9]) if found else None


def forms(names: Iterable[str]) -> tuple[str, ...]:
    """Everything under which a place with these names is found."""
    found: dict[str, None] = {}
    for name in names:
        each = words(name.replace("&", " and "))
        for word in each:
            found |= dict.fromkeys((word, *sorted(_FORMS.get(word, ())), *_ordinal_forms(word)))
        for first, second in pairwise(each):
            if first in ("mc", "mac", "o", "d", "i", "us", "sr", "oh") or (len(first) <= 2 and second.isdecimal()):
                found[first + second] = None  # Mc Kinley and McKinley, I 270 and I270
            if first in _TENS and second in _SPELLED:
                found |= dict.fromkeys(_ordinal_forms(_ordinal(_TENS.index(first) * 10 + _SPELLED[second])))
    return tuple(found)


def splits(typed: Sequence[str]) -> tuple[Split, ...]:
    """Each word that may be a house number, with what is then left for the street."""
    if len(typed) < 2:
        return ()
    return tuple(
        Split(word, (*typed[:index], *typed[index + 1 :]))
        for index, word in enumerate(typed)
        if _NUMBER.fullmatch(word)
    )


def sides(query: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The words of both streets of a typed crossing, "High & Broad"; None when it is none. The second may be empty yet."""
    found = _CROSSING.search(folded(query[:QUERY_CHARS_MAX]))
    if found is None:
        return None
    text = folded(query[:QUERY_CHARS_MAX])
    first, second = words(text[: found.start()]), words(text[found.end() :])
    return (first[:WORDS_MAX], second[:WORDS_MAX]) if first else None


def is_usual(word: str) -> bool:
    """Whether half of the streets are called so: a street needs one word of its own."""
    return word in _FORMS or len(word) < 2


def without_apartment(query: str) -> str:
    """The query without "Apt 4", which no map knows."""
    return _APARTMENT.sub(" ", query[:QUERY_CHARS_MAX])


def coordinates(query: str) -> tuple[float, float] | None:
    """(lat, lon) when coordinates were typed or pasted, in degrees, minutes or seconds; None when something else was."""
    text = normalize("NFKC", query[:QUERY_CHARS_MAX]).strip().replace("−", "-").replace("º", "°").replace("’", "'")
    text = text.replace("”", '"').replace("“", '"')
    if (plain := _PLAIN.fullmatch(text)) and ("." in text or "," in text or "°" in text):
        return _on_globe(float(plain[1]), float(plain[2]))
    if after := _AFTER.fullmatch(text):
        return _on_globe(
            _signed(after[1], after[2], after[3], after[4]), _signed(after[5], after[6], after[7], after[8])
        )
    if before := _BEFORE.fullmatch(text):
        lat = _signed(before[2], before[3], before[4], before[1])
        return _on_globe(lat, _signed(before[6], before[7], before[8], before[5]))
    if geo := _GEO.match(text):
        return _on_globe(float(geo[1]), float(geo[2]))
    return None


def _signed(degrees: str, minutes: str | None, seconds: str | None, side: str) -> float:
    if float(minutes or 0) >= 60 or float(seconds or 0) >= 60:
        return 999.0  # off the globe: refused by the caller
    value = float(degrees) + float(minutes or 0) / 60 + float(seconds or 0) / 3600
    return round(-value if side in "swSW" else value, 7)


def _on_globe(lat: float, lon: float) -> tuple[float, float] | None:
    return (lat, lon) if -90 <= lat <= 90 and -180 <= lon <= 180 else None


def _short(word: str) -> str:
    if word in _SPELLED:
        return _ordinal(_SPELLED[word])
    return _SHORT.get(word, word)


def _ordinal(number: int) -> str:
    if 10 <= number % 100 <= 20:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _ordinal_forms(word: str) -> tuple[str, ...]:
    """5th, fifth and 5 for either of the first two."""
    found = _ORDINAL.fullmatch(word)
    number = int(found[1]) if found else _SPELLED.get(word)
    if number is None:
        return ()
    written = (str(number), f"{number}th", _ordinal(number))
    if 0 < number < 20:
        return (*written, _ONES[number])
    if number % 10 == 0 and number < 100:
        return (*written, _TENTHS[number // 10])
    if number < 100:
        ten, one = _TENS[number // 10], _ONES[number % 10]
        return (*written, ten, one, ten + one)
    return written
