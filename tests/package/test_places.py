"""What a dispatcher types is found in the imported map, or said not to be in it; and a click has words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub import place_index
from hub.place_words import coordinates, forms, key, number_key, numbers_in, sides, splits, without_apartment, words
from hub.places import Place, Places, PlacesError
from tests.small_town import Town, at, usual
from wire.distance import nearby_m

NEAR = at(0, 0)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Places:
    return indexed(usual(), tmp_path_factory.mktemp("town"))


def indexed(town: Town, folder: Path) -> Places:
    place_index.build(town.write(folder / "town.osm.pbf"), folder, lambda _said: None)
    return Places(folder)


def names(found: tuple[Place, ...]) -> list[str]:
    return [place.name for place in found]


def first(town: Places, query: str, near: tuple[float, float] | None = NEAR) -> Place:
    return town.search(query, near)[0]


def is_at(place: Place, east: float, north: float) -> bool:
    return nearby_m(place.lat, place.lon, *at(east, north)) < 5


# ---- addresses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        "120 north high street",
        "120 N High St",
        "120 n. HIGH st.",
        "high st n 120",
        "north 120 high",
        "120 n hig",
        "st high 120 nor",
    ],
)
def test_an_address_is_found_however_its_words_are_written_and_ordered(town: Places, typed: str) -> None:
    found = first(town, typed)
    assert (found.kind, found.name, found.around, found.note) == (
        "address",
        "120 North High Street",
        "Short North, Alder Ford",
        None,
    )
    assert is_at(found, 0.2, 1.2)
    assert not found.is_about


def test_a_number_in_two_streets_is_first_the_one_nearer_to_the_view(town: Places) -> None:
    assert names(town.search("120 high", at(0, -2)))[:2] == ["120 South High Street", "120 North High Street"]
    assert names(town.search("120 high", at(0, 2)))[:2] == ["120 North High Street", "120 South High Street"]


def test_an_exact_number_stands_before_everything_that_is_nearer(town: Places) -> None:
    assert names(town.search("7 mill", at(-2, -0.6))) == ["7 Mill Road", "7 Mill Road", "Mill 7 Diner"]


def test_a_street_that_was_typed_in_full_does_not_become_a_longer_one_that_has_the_number(town: Places) -> None:
    found = town.search("77 high street", NEAR)
    assert found[0].name in ("North High Street", "South High Street")
    assert "does not know number 77" in (found[0].note or "")
    assert names(found)[-1] == "77 Highland Street"


def test_a_number_that_is_not_in_the_map_gives_the_street_and_says_so(town: Places) -> None:
    found = first(town, "126 n high st")
    assert (found.kind, found.name, found.is_about) == ("street", "North High Street", True)
    assert found.note == "The map does not know number 126 there. The point is at 128, the closest number it knows."
    assert is_at(found, 0.2, 1.6)
    far = first(town, "9920 n high st")
    assert far.note == "The map does not know number 9920 there. The point is only on the street."


def test_a_number_between_two_known_ones_says_about(town: Places) -> None:
    found = first(town, "304 e broad st")
    assert (found.name, found.is_about) == ("about 304 East Broad Street", True)
    assert found.note == "Number 304 is reckoned between two numbers that the map knows."
    assert is_at(found, 2.5, 0.3)
    assert first(town, "300 e broad").name == "300 East Broad Street", "the ends of the line are surveyed"
    assert first(town, "303 e broad").kind == "street", "an even line has no odd numbers"


def test_every_number_on_a_sign_with_several_is_found(town: Places) -> None:
    for typed, name in (
        ("121", "121;123"),
        ("123", "121;123"),
        ("240", "240-244"),
        ("244", "240-244"),
        ("240-244", "240-244"),
    ):
        assert first(town, f"{typed} n high").name == f"{name} North High Street"
    assert first(town, "12 1/2 pena blvd").name == "12 1/2 Peña Boulevard"
    assert first(town, "12½ peña").name == "12 1/2 Peña Boulevard"


def test_an_address_with_a_neighborhood_a_state_and_an_apartment_is_found_and_says_what_was_left_out(
    town: Places,
) -> None:
    assert first(town, "120 n high st, alder ford").note is None
    found = first(town, "120 N High St Apt 4, Alder Ford, OH 43215")
    assert found.name == "120 North High Street"
    assert found.note == "Found without: apt 4 oh 43215."


def test_two_streets_of_one_name_far_apart_are_two(town: Places) -> None:
    found = town.search("mill road", at(5, 90))
    assert names(found) == ["Mill Road", "Mill Road"]
    assert found[0].lat > found[1].lat, "the nearer one first"
    assert is_at(first(town, "7 mill rd", at(5, 90)), 5.5, 95.2)


# ---- streets, crossings, names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("5th ave", "Fifth Avenue"), ("fifth", "Fifth Avenue"), ("av fifth", "Fifth Avenue"), ("pena bl", "Peña Boulevard"),
        ("mccutcheon", "Mc Cutcheon Road"), ("mc cutcheon rd", "Mc Cutcheon Road"), ("i-270", "I 270"), ("i270", "I 270"),
        ("interstate 270", "I 270"), ("us 23", "North High Street"), ("lane av", "Lane Avenue"), ("hos", "St. Brigid Medical Center"),
        ("saint brigid", "St. Brigid Medical Center"), ("brigid st", "St. Brigid Medical Center"), ("shelter", "Harbor House"),
        ("founders pk", "Founders Park"), ("sta central", "Central Station"), ("short n", "Short North"),
    ],
)  # fmt: skip
def test_streets_and_places_are_found_by_what_people_call_them(town: Places, typed: str, name: str) -> None:
    assert first(town, typed).name == name


def test_what_was_typed_in_full_stands_before_what_only_begins_so(town: Places) -> None:
    assert names(town.search("high", at(2, 1)))[-1] == "Highland Street", "although the view is on it"


def test_one_hospital_drawn_twice_is_listed_once(town: Places) -> None:
    assert names(town.search("brigid", NEAR)) == ["St. Brigid Medical Center"]


def test_a_roof_over_a_bus_stop_is_no_shelter(town: Places) -> None:
    assert names(town.search("shelter", NEAR)) == ["Harbor House"]


@pytest.mark.parametrize(
    "typed", ["high & broad", "Broad and High", "e broad st @ high st", "high/broad", "broad high"]
)
def test_a_crossing_is_found_from_either_street(town: Places, typed: str) -> None:
    found = [place for place in town.search(typed, NEAR) if place.kind == "crossing"]
    assert {frozenset(place.name.split(" & ")) for place in found} == {
        frozenset(("North High Street", "East Broad Street")),
        frozenset(("South High Street", "East Broad Street")),
    }
    assert is_at(found[0], 0, 0)


def test_a_crossing_still_being_typed_offers_all_of_its_street_the_nearest_first(town: Places) -> None:
    found = town.search("n high & ", at(0, 2.9))
    assert found[0].name == "North High Street & Lane Avenue"
    assert [place.kind for place in found][:4] == ["crossing"] * 4
    assert "crossing" in {place.kind for place in town.search("hi & b", NEAR)}


def test_a_street_that_only_changes_its_name_crosses_nothing(town: Places) -> None:
    assert "crossing" not in {place.kind for place in town.search("north high & south high", NEAR)}


def test_a_street_stands_at_the_point_nearest_to_the_view_with_all_its_extent(town: Places) -> None:
    found = first(town, "n high st", at(3, 2))
    assert is_at(found, 0, 2)
    assert found.is_about
    assert found.bounds == pytest.approx((at(0, 0)[1], at(0, 0)[0], at(0, 4)[1], at(0, 4)[0]))


def test_the_same_question_has_the_same_order_with_a_view_and_without(town: Places) -> None:
    for near in (None, NEAR):
        assert [town.search("st", near) for _ in range(3)] == [town.search("st", near)] * 3


def test_no_more_is_answered_than_was_asked_for(town: Places) -> None:
    assert len(town.search("st", NEAR, 3)) == 3
    assert len(town.search("st", NEAR, 0)) == 1


def test_what_nothing_is_called_finds_nothing(town: Places) -> None:
    for typed in ("", " ", "zzyzx", "&", "120", "st st zzyzx", "''''", 'a" OR *', "43215"):
        assert [place for place in town.search(typed, NEAR) if place.note is None] == [], typed


# ---- coordinates and clicks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        "39.9612, -83.00026", "39.9612,-83.00026", "39.9612 -83.00026", "(39.9612, -83.00026)", "39.9612° -83.00026°",
        "39.9612N 83.00026W", "N 39.9612 W 83.00026", "39°57.672'N 83°0.0156'W", "39 57 40.32 N, 83 0 0.936 W",
        "39°57′40.32″N 83°00′00.936″W", "geo:39.9612,-83.00026", "https://www.openstreetmap.org/?mlat=39.9612&mlon=-83.00026#map=1",
        "https://maps.example/@39.9612,-83.00026,17z", "39.9612, −83.00026",
    ],
)  # fmt: skip
def test_typed_and_pasted_coordinates_are_a_place(town: Places, typed: str) -> None:
    (found,) = town.search(typed, None)
    assert (found.kind, found.lat, found.lon) == (
        "coordinates",
        pytest.approx(39.9612, abs=1e-5),
        pytest.approx(-83.00026, abs=1e-5),
    )
    assert found.name.startswith("39.96120, -83.0002")
    assert "High Street" in found.around


@pytest.mark.parametrize(
    "typed", ["39.96", "120 200", "91.5, 10.0", "39.96, -183.0", "39 61 00 N 83 00 00 W", "5, rue"]
)
def test_what_is_no_point_on_the_globe_is_not_taken_for_one(typed: str) -> None:
    assert coordinates(typed) is None


def test_coordinates_far_from_the_map_say_so(town: Places) -> None:
    (found,) = town.search("48.2, 16.37", NEAR)
    assert found.note == "Nothing on the map is near this point: check the numbers."


@pytest.mark.parametrize(
    ("east", "north", "said"),
    [
        (0.05, 0.05, "East Broad Street & North High Street"), (0.25, 1.25, "near 120 North High Street"),
        (-1.2, 3.4, "North High Street, near Lane Avenue"), (2.5, -1.0, "St. Brigid Medical Center"), (8.4, 1.4, "Founders Park"),
        (1.5, -3.4, "near Eastfield High School"), (10.5, 3, "200 m from Founders Park"), (40, 40, "40.00000, -82.94800"),
    ],
)  # fmt: skip
def test_a_click_has_words_and_keeps_its_point(town: Places, east: float, north: float, said: str) -> None:
    found = town.reverse(*at(east, north))
    assert found.name in (said, said.replace("North High", "South High"))
    assert (found.lat, found.lon) == at(east, north)


def test_a_click_never_says_a_number_that_was_only_reckoned(town: Places) -> None:
    assert town.reverse(*at(2.5, 0.3)).name == "East Broad Street, near Highland Street"


# ---- what is wrong -----------------------------------------------------------------------------------------------


def test_a_file_without_addresses_still_has_its_streets_and_names(tmp_path: Path) -> None:
    town = Town()
    town.street([(0, 0), (0, 1)], "Main Street")
    told: list[str] = []
    place_index.build(town.write(tmp_path / "bare.osm.pbf"), tmp_path, told.append)
    assert (
        first(Places(tmp_path), "12 main st").note
        == "The map does not know number 12 there. The point is only on the street."
    )
    assert any(said.startswith("0 house numbers") for said in told)


def test_an_empty_file_makes_an_index_that_finds_nothing(tmp_path: Path) -> None:
    places = indexed(Town(), tmp_path)
    assert places.search("main", NEAR) == ()
    assert places.reverse(*NEAR).kind == "coordinates"


@pytest.mark.parametrize("cut", [0, 10, 400])
def test_a_broken_file_is_refused_in_one_sentence(tmp_path: Path, cut: int) -> None:
    whole = usual().write(tmp_path / "whole.osm.pbf").read_bytes()
    broken = tmp_path / "broken.osm.pbf"
    broken.write_bytes(b"\x00\x00\x00\x0dno map at all" if cut == 0 else whole[:cut] + b"\xff" * 50)
    with pytest.raises(
        ValueError, match=r"^broken\.osm\.pbf cannot be read as OpenStreetMap data: give a whole \.osm\.pbf file$"
    ):
        place_index.build(broken, tmp_path, lambda _said: None)


def test_numbers_without_a_street_are_counted_and_said(tmp_path: Path) -> None:
    told: list[str] = []
    place_index.build(usual().write(tmp_path / "town.osm.pbf"), tmp_path, told.append)
    assert "1 house numbers name no street and were left out" in told


def test_an_index_that_is_missing_or_damaged_is_one_sentence_without_what_was_typed(tmp_path: Path) -> None:
    with pytest.raises(PlacesError, match=r"no address index\. Import it again with: tandem-hub map import"):
        Places(tmp_path).search("secret street", NEAR)
    (tmp_path / place_index.FILE).write_bytes(b"not a database at all" * 100)
    with pytest.raises(PlacesError) as refused:
        Places(tmp_path).search("secret street", NEAR)
    assert str(refused.value) == "The address index cannot be read. Import the map again."


def test_the_same_file_makes_the_same_index(tmp_path: Path) -> None:
    def rows(folder: str) -> list[tuple[object, ...]]:
        (tmp_path / folder).mkdir()
        indexed(usual(), tmp_path / folder)
        with sqlite3.connect(tmp_path / folder / place_index.FILE) as db:
            return [
                row for table in ("place", "number", "crossing", "line") for row in db.execute(f"select * from {table}")
            ]

    assert rows("one") == rows("other")


# ---- properties --------------------------------------------------------------------------------------------------

TEXT = st.text(max_size=80) | st.lists(
    st.sampled_from(
        [
            "120",
            "n",
            "High",
            "St",
            "&",
            "and",
            "½",
            "1/2",
            "#4",
            "Apt",
            "-83.0",
            "39.9",
            "°",
            "N",
            ",",
            "ß",
            "İ",
            "'",
            '"',
            "*",
            "OR",
            "(",
            "東京",
            "́",
        ]
    ),
    max_size=8,
).map(" ".join)


@given(TEXT)
@settings(max_examples=150, deadline=None)
def test_whatever_is_typed_the_parser_never_raises(text: str) -> None:
    typed = words(text)
    assert words(" ".join(typed)) == typed
    for read in (key, number_key, numbers_in, sides, coordinates, without_apartment):
        read(text)
    forms([text])
    assert all(split.number not in split.rest or typed.count(split.number) > 1 for split in splits(typed))


@given(TEXT, st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180)))
@settings(max_examples=100, deadline=None)
def test_whatever_is_typed_the_search_answers(town: Places, text: str, near: tuple[float, float] | None) -> None:
    assert len(town.search(text, near)) <= 10


@given(st.floats(-90, 90), st.floats(-180, 180))
@settings(max_examples=50, deadline=None)
def test_wherever_is_clicked_there_are_words(town: Places, lat: float, lon: float) -> None:
    assert town.reverse(lat, lon).name


NAME = st.text(st.characters(categories=("Lu", "Ll", "Lo", "Nd"), max_codepoint=0x2FFF), min_size=1, max_size=9)


@pytest.fixture(scope="module")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("spare")


@given(st.lists(NAME, min_size=1, max_size=3), st.integers(1, 9999))
@settings(max_examples=25, deadline=None)
def test_what_was_indexed_is_found_by_any_order_of_its_words(spare: Path, street: list[str], number: int) -> None:
    name = " ".join(street) + " Street"
    town = Town()
    town.street([(0, 0), (0, 1)], name)
    town.house(0.2, 0.5, str(number), name)
    places = indexed(town, spare)
    for order in permutations((str(number), *name.split())):
        found = places.search(" ".join(order), None)
        assert f"{number} {name}" in names(found), order
