"""The console finds places in the imported map, for those who dispatch, and keeps nothing of what was asked."""

from __future__ import annotations

import logging
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from hub import place_index
from hub.maps import MapInfo
from tests.screens.console_world import ACCOUNTS, World
from tests.small_town import at, usual


@pytest.fixture
def mapped(hub: World, tmp_path: Path) -> Path:
    """The folder of a map with an address index, in use at the hub."""
    folder = tmp_path / "maps" / "abc123"
    folder.mkdir(parents=True)
    info = MapInfo(
        id="abc123",
        name="town",
        source="town.osm.pbf",
        sha256="0" * 64,
        imported_at=datetime(2026, 11, 22, tzinfo=UTC),
        bounds=(-83.1, 39.9, -82.9, 40.1),
        center=(-83.0, 39.96),
        attribution="Synthetic city, no real place",
        attribution_url=None,
        minzoom=8,
        maxzoom=14,
        commands=(),
    )
    (folder / "map.json").write_bytes(msgspec.json.encode(info))
    (tmp_path / "maps" / "current").symlink_to("abc123")
    place_index.build(usual().write(tmp_path / "town.osm.pbf"), folder, lambda _said: None)
    return folder


def test_an_address_is_found_with_everything_the_page_shows(hub: World, mapped: Path) -> None:
    answer = hub.signed_in("nina").get("/api/v1/places?q=120+n+high+st&lat=39.96&lon=-83.0")
    assert answer.status_code == 200
    assert answer.get_json() == {
        "places": [
            {
                "kind": "address",
                "name": "120 North High Street",
                "around": "Short North, Alder Ford",
                "lat": 39.9612,
                "lon": -82.99974,
                "is_about": False,
                "note": None,
                "address": None,
                "bounds": None,
            }
        ],
        "message": None,
    }


def test_a_click_gets_words(hub: World, mapped: Path) -> None:
    lat, lon = at(0.25, 1.25)
    answer = hub.signed_in("nina").get(f"/api/v1/places/near?lat={lat}&lon={lon}").get_json()
    assert answer["message"] is None
    assert (answer["place"]["name"], answer["place"]["lat"]) == ("near 120 North High Street", lat)


def test_the_view_decides_between_two_of_one_name_and_the_limit_holds(hub: World, mapped: Path) -> None:
    page = hub.signed_in("omar")
    for north, name in ((2, "120 North High Street"), (-2, "120 South High Street")):
        lat, lon = at(0, north)
        found = page.get(f"/api/v1/places?q=120+high&lat={lat}&lon={lon}&limit=1").get_json()["places"]
        assert [place["name"] for place in found] == [name]


def test_without_a_map_both_say_how_to_import_one(hub: World) -> None:
    page = hub.signed_in("nina")
    said = "No street map yet. Import one with: tandem-hub map import FILE.osm.pbf"
    assert page.get("/api/v1/places?q=high").get_json() == {"places": [], "message": said}
    assert page.get("/api/v1/places/near?lat=1&lon=2").get_json() == {"place": None, "message": said}


def test_a_map_of_before_there_was_an_index_says_to_import_it_again(hub: World, mapped: Path) -> None:
    (mapped / place_index.FILE).unlink()
    answer = hub.signed_in("nina").get("/api/v1/places?q=high").get_json()
    assert answer["places"] == []
    assert answer["message"].startswith("This map has no address index. Import it again")


@pytest.mark.parametrize(
    "wrong",
    ["?q=a&lat=39", "?q=a&lat=39&lon=x", "?q=a&lat=91&lon=0", "?q=a&lat=nan&lon=0", "?q=a&limit=0", "?q=a&limit=1000",
     "/near", "/near?lat=1", "/near?lat=inf&lon=0"],
)  # fmt: skip
def test_a_point_that_is_none_is_refused_in_one_sentence(hub: World, mapped: Path, wrong: str) -> None:
    answer = hub.signed_in("nina").get(f"/api/v1/places{wrong}")
    assert answer.status_code == 400
    assert answer.get_json()["code"] == "malformed"


def test_only_those_who_dispatch_may_ask(hub: World, mapped: Path) -> None:
    for account, role in ACCOUNTS.items():
        for path in ("/api/v1/places?q=high", "/api/v1/places/near?lat=39.96&lon=-83"):
            expected = 200 if role in ("dispatcher", "supervisor") else 403
            assert hub.signed_in(account).get(path).status_code == expected, (role, path)
    assert hub.client().get("/api/v1/places?q=high", base_url="http://localhost").status_code == 401


def test_what_was_asked_is_in_no_log_and_in_no_error(
    hub: World, mapped: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    page = hub.signed_in("nina")
    page.get("/api/v1/places?q=canary+street&lat=39.12321&lon=-83.45654")
    page.get("/api/v1/places/near?lat=39.12321&lon=-83.45654")
    with sqlite3.connect(mapped / place_index.FILE) as db:
        db.execute("drop table number")
    broken = page.get("/api/v1/places?q=12+canary+high&lat=39.12321&lon=-83.45654")
    assert broken.get_json()["message"] == "The address index cannot be read. Import the map again."
    seen = caplog.text + "".join(capfd.readouterr()) + broken.get_data(as_text=True)
    assert not [word for word in ("canary", "39.12321", "83.45654") if word in seen]
