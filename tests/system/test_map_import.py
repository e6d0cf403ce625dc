"""A map import gives the dispatcher streets, or leaves the map of before as it was."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from math import asinh, pi, radians, tan
from pathlib import Path

import msgspec
import osmium
import pytest
from pmtiles.reader import MmapSource, Reader

from demo.city import CitySummary, draw_city
from hub import place_index
from hub.maps import BUILDERS, STREETS_FILE, Builder, MapError, MapInfo, Say, current_map, import_map, streets_file
from hub.places import places_of
from tests.small_town import Town

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("map")]  # one worker imports the city they share

LAYERS = {
    "place", "landcover", "water", "waterway", "transportation", "transportation_name", "building", "housenumber", "poi",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    for tool in ("tilemaker", "osmium"):
        if not shutil.which(tool):
            pytest.fail(f"{tool} is missing: run sudo apt-get install --no-install-recommends tilemaker osmium-tool")


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CitySummary]:
    path = tmp_path_factory.mktemp("city") / "alder.osm.pbf"
    return path, draw_city(path, seed=7)


@pytest.fixture(scope="module")
def imported(city: tuple[Path, CitySummary], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MapInfo]:
    into = tmp_path_factory.mktemp("hub")
    return into, import_map(city[0], into, None, print)


@pytest.fixture
def in_use(imported: tuple[Path, MapInfo], tmp_path: Path) -> tuple[Path, MapInfo]:
    """A hub folder of this test's own, with the city as its map."""
    shutil.copytree(imported[0], tmp_path / "hub", symlinks=True)
    return tmp_path / "hub", imported[1]


def refuse(
    osm: Path,
    into: Path,
    box: tuple[float, float, float, float] | None = None,
    builders: tuple[Builder, ...] = BUILDERS,
) -> str:
    """The sentence with which this import is refused, after checking that nothing of it is left."""
    before = current_map(into)
    with pytest.raises(MapError) as refused:
        import_map(osm, into, box, lambda _: None, builders)
    assert current_map(into) == before
    folders = {entry.name for entry in (into / "maps").iterdir()} if (into / "maps").exists() else set()
    assert folders <= {".lock", "current", *([before.id] if before else [])}, "something half done is left"
    return str(refused.value)


def test_the_city_becomes_a_map_with_every_layer_the_style_draws(
    city: tuple[Path, CitySummary], imported: tuple[Path, MapInfo]
) -> None:
    into, info = imported
    assert current_map(into) == info
    assert (info.name, info.source, info.minzoom, info.maxzoom) == ("alder", "alder.osm.pbf", 8, 14)
    assert info.bounds == pytest.approx(city[1].bounds)
    assert info.center == pytest.approx((city[1].center_lon, city[1].center_lat), abs=0.03)
    with streets_file(into, info).open("rb") as file:
        reader = Reader(MmapSource(file))
        header = reader.header()
        assert (header["min_zoom"], header["max_zoom"]) == (8, 14)
        assert header["min_lon_e7"] == pytest.approx(info.bounds[0] * 1e7, abs=20)
        assert header["max_lat_e7"] == pytest.approx(info.bounds[3] * 1e7, abs=20)
        tile = gzip.decompress(reader.get(14, *tile_at(*info.center)))
    # a layer of a vector tile carries its name as field 1: a tag byte, the length, the letters
    assert {layer for layer in LAYERS if b"\n" + bytes([len(layer)]) + layer.encode() in tile} == LAYERS


def tile_at(lon: float, lat: float) -> tuple[int, int]:
    """Column and row at zoom 14."""
    across = 1 << 14
    return int((lon + 180) / 360 * across), int((1 - asinh(tan(radians(lat))) / pi) / 2 * across)


def test_a_city_that_nobody_mapped_is_not_credited_to_openstreetmap(
    imported: tuple[Path, MapInfo], tmp_path: Path, city: tuple[Path, CitySummary]
) -> None:
    assert imported[1].attribution == "Synthetic city, no real place"
    assert imported[1].attribution_url is None
    surveyed = rewritten(city[0], tmp_path / "town.osm.pbf")
    info = import_map(surveyed, tmp_path, None, print, ())
    assert info.attribution == "© OpenStreetMap contributors"
    assert info.attribution_url == "https://www.openstreetmap.org/copyright"
    with streets_file(tmp_path, info).open("rb") as file:
        assert "openstreetmap.org/copyright" in Reader(MmapSource(file)).metadata()["attribution"]


def rewritten(osm: Path, to: Path) -> Path:
    """The same data as somebody else's file, with the nodes after the ways."""
    with osmium.SimpleWriter(str(to)) as out:
        for wanted in ("w", "n"):
            for item in osmium.FileProcessor(str(osm)):
                if item.type_str() == wanted:
                    out.add(item)
    return to


def test_the_steps_are_told_with_their_seconds_and_kept_as_commands(
    city: tuple[Path, CitySummary], tmp_path: Path
) -> None:
    told: list[str] = []
    unsorted = rewritten(city[0], tmp_path / "town.osm.pbf")
    info = import_map(unsorted, tmp_path, (-101.38, 42.43, -101.33, 42.46), told.append)
    steps = ("sorting", "cutting", "drawing the tiles", "packing", "address index")
    for step in ("reading the file", *(f"{step} ({index} of 5)" for index, step in enumerate(steps, 1))):
        assert f"{step} …" in told
        assert any(line.startswith(f"{step}: ") and line.endswith(" s") for line in told), step
    programs = ["osmium", "osmium", "tilemaker", "pmtiles-convert", "tandem-hub:"]
    assert [command.split()[0] for command in info.commands] == programs
    assert info.bounds == (-101.38, 42.43, -101.33, 42.46)
    assert not any(str(tmp_path) in command for command in info.commands), "a map tells nobody the hub's folders"
    assert {entry.name for entry in (tmp_path / "maps" / info.id).iterdir()} == {
        STREETS_FILE,
        place_index.FILE,
        "map.json",
    }


def test_the_same_file_again_is_not_drawn_again(city: tuple[Path, CitySummary], in_use: tuple[Path, MapInfo]) -> None:
    told: list[str] = []
    assert import_map(city[0], in_use[0], None, told.append) == in_use[1]
    assert not any("drawing" in line for line in told)


def test_a_new_map_takes_over_and_the_old_one_is_kept(
    city: tuple[Path, CitySummary], in_use: tuple[Path, MapInfo]
) -> None:
    into, before = in_use
    info = import_map(city[0], into, (-101.38, 42.43, -101.33, 42.46), print)
    assert info.id != before.id
    assert current_map(into) == info
    assert streets_file(into, before).exists()


def test_a_torn_download_leaves_the_map_as_it_was(
    city: tuple[Path, CitySummary], in_use: tuple[Path, MapInfo], tmp_path: Path
) -> None:
    torn = tmp_path / "torn.osm.pbf"
    torn.write_bytes(city[0].read_bytes()[:300_000])
    assert "torn.osm.pbf cannot be read as OpenStreetMap data" in refuse(torn, in_use[0])


def test_what_is_not_a_map_is_refused_in_one_sentence(in_use: tuple[Path, MapInfo], tmp_path: Path) -> None:
    into = in_use[0]
    letter = tmp_path / "letter.osm.pbf"
    letter.write_text("Dear dispatcher,\n" * 100)
    assert "cannot be read as OpenStreetMap data" in refuse(letter, into)
    assert "there is no file" in refuse(tmp_path / "nowhere.osm.pbf", into)
    assert "there is no file" in refuse(tmp_path, into)


def test_a_box_with_nothing_in_it_or_inside_out_is_refused(
    city: tuple[Path, CitySummary], in_use: tuple[Path, MapInfo]
) -> None:
    assert "no streets inside the box" in refuse(city[0], in_use[0], (10.0, 50.0, 10.1, 50.1))
    assert "WEST,SOUTH,EAST,NORTH" in refuse(city[0], in_use[0], (-101.33, 42.43, -101.38, 42.46))


def test_tiles_that_cannot_be_drawn_leave_the_map_as_it_was(
    city: tuple[Path, CitySummary], in_use: tuple[Path, MapInfo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bin"
    broken.mkdir()
    (broken / "tilemaker").write_text("#!/bin/sh\necho 'no room left' >&2\nexit 1\n")
    (broken / "tilemaker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken}:/usr/bin:/bin")
    said = refuse(city[0], in_use[0], (-101.38, 42.43, -101.33, 42.46))
    assert said == "drawing the tiles failed, tilemaker said: no room left"


def test_one_import_makes_the_tiles_and_the_addresses_of_the_same_streets(
    city: tuple[Path, CitySummary], imported: tuple[Path, MapInfo]
) -> None:
    into, info = imported
    assert [(part.name, part.file) for part in info.parts] == [
        ("vector tiles", STREETS_FILE),
        ("address index", place_index.FILE),
    ]
    for part in info.parts:
        assert (into / "maps" / info.id / part.file).stat().st_size == part.bytes
        assert part.seconds >= 0
    places, near = places_of(into, info.id), (city[1].center_lat, city[1].center_lon)
    for place in city[1].places:
        found = places.search(place.name, near)[0]
        assert (found.name, found.address is None) == (place.name, False)
        house = places.search(found.address or "", near)[0]
        assert (house.kind, house.note) == ("address", None), found.address
        assert places.reverse(found.lat, found.lon).name in (place.name, f"near {found.address}")


def plain(osm: Path, into: Path, say: Say) -> None:
    """A builder that takes the whole file as its answer."""
    say("half of it")
    (into / "plain").mkdir()
    (into / "plain" / "copy").write_bytes(osm.read_bytes())


PLAIN = Builder(name="road graph", file="plain", version="1", build=plain)


def test_what_another_builder_makes_is_in_the_map_and_told_as_a_step(
    city: tuple[Path, CitySummary], tmp_path: Path
) -> None:
    told: list[str] = []
    info = import_map(city[0], tmp_path, (-101.38, 42.43, -101.33, 42.46), told.append, (*BUILDERS, PLAIN))
    assert "road graph (5 of 5): half of it" in told
    copy = tmp_path / "maps" / info.id / "plain" / "copy"
    assert info.parts[-1].bytes == copy.stat().st_size
    assert copy.stat().st_size < city[0].stat().st_size, "it gets the streets inside the box"
    newer = Builder(name="road graph", file="plain", version="2", build=plain)
    again = import_map(city[0], tmp_path, (-101.38, 42.43, -101.33, 42.46), told.append, (*BUILDERS, newer))
    assert again.id != info.id, "another version is made anew"


def lost(osm: Path, into: Path, say: Say) -> None:
    """A builder that says it is done and is not."""


def full(osm: Path, into: Path, say: Say) -> None:
    """A builder whose disk fills up."""
    plain(osm, into, say)
    raise OSError(28, "No space left on device")


def odd(osm: Path, into: Path, say: Say) -> None:
    """A builder that does not like the file."""
    raise ValueError("the roads lead nowhere")


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (odd, "road graph failed: the roads lead nowhere"),
        (lost, "road graph failed: it left no plain"),
        (full, "No space left on device"),
    ],
)
def test_a_builder_that_fails_leaves_the_whole_map_of_before(
    city: tuple[Path, CitySummary], in_use: tuple[Path, MapInfo], build: Callable[[Path, Path, Say], None], said: str
) -> None:
    into, before = in_use
    failing = Builder(name="road graph", file="plain", version="1", build=build)
    assert said in refuse(city[0], into, (-101.37, 42.44, -101.34, 42.46), (*BUILDERS, failing))
    assert places_of(into, before.id).search("main street", None)
    assert streets_file(into, before).exists()


def test_a_map_from_before_there_was_an_index_is_read_and_made_again(
    city: tuple[Path, CitySummary], in_use: tuple[Path, MapInfo]
) -> None:
    into, info = in_use
    folder = into / "maps" / info.id
    old = msgspec.json.decode((folder / "map.json").read_bytes())
    del old["parts"]
    (folder / "map.json").write_bytes(msgspec.json.encode(old))
    (folder / place_index.FILE).unlink()
    read = current_map(into)
    assert read is not None
    assert read.parts == ()
    import_map(city[0], into, None, print)
    assert places_of(into, info.id).search("main street", None)


def test_a_file_without_streets_or_without_anything_is_refused_in_one_sentence(
    in_use: tuple[Path, MapInfo], tmp_path: Path
) -> None:
    assert refuse(Town().write(tmp_path / "empty.osm.pbf"), in_use[0]) == "empty.osm.pbf has no streets"
    lone = Town()
    lone.house(0, 0, "12", "Main Street")
    assert refuse(lone.write(tmp_path / "lone.osm.pbf"), in_use[0]) == "lone.osm.pbf has no streets"


def test_a_file_without_addresses_becomes_a_map_that_says_so(tmp_path: Path) -> None:
    bare = Town()
    bare.street([(0, 0), (0, 9)], "Main Street")
    told: list[str] = []
    info = import_map(bare.write(tmp_path / "bare.osm.pbf"), tmp_path, None, told.append)
    assert any("0 house numbers" in line for line in told)
    (found,) = places_of(tmp_path, info.id).search("12 main", None)
    assert found.note == "The map does not know number 12 there. The point is only on the street."


def test_a_long_step_tells_its_percent(
    city: tuple[Path, CitySummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin"
    slow.mkdir()
    real = shutil.which("tilemaker")
    (slow / "tilemaker").write_text(
        "#!/bin/sh\necho 'Block 1/4 ways 0'; sleep 2.2; echo 'Block 2/4 ways 9'; sleep 2.2\n"
        f"echo 'Zoom level 9, writing tile 3 of 4'; sleep 0.1; exec {real} \"$@\"\n"
    )
    (slow / "tilemaker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
    told: list[str] = []
    import_map(city[0], tmp_path, (-101.38, 42.43, -101.33, 42.46), told.append, ())
    step = "drawing the tiles (2 of 3): "
    percents = [int(line.removeprefix(step)[:-2]) for line in told if line.startswith(step) and line.endswith(" %")]
    assert {25, 87} <= set(percents)
    assert percents == sorted(percents)


def test_missing_programs_are_named_with_the_command_that_installs_them(
    city: tuple[Path, CitySummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "sudo apt-get install --no-install-recommends tilemaker osmium-tool" in refuse(city[0], tmp_path / "hub")


def test_what_a_killed_import_left_is_swept_away(city: tuple[Path, CitySummary], in_use: tuple[Path, MapInfo]) -> None:
    left = in_use[0] / "maps" / ".building-abc"
    left.mkdir()
    (left / "cut.osm.pbf").write_bytes(b"half")
    import_map(city[0], in_use[0], None, print)
    assert not left.exists()


def test_without_an_import_there_is_no_map_and_a_damaged_one_says_so(tmp_path: Path) -> None:
    assert current_map(tmp_path) is None
    (tmp_path / "maps" / "current").mkdir(parents=True)
    (tmp_path / "maps" / "current" / "map.json").write_text("{")
    with pytest.raises(MapError, match="import the map again"):
        current_map(tmp_path)
