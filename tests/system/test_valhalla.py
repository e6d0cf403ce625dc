"""The real road engine on a city: its times are those of its ways, and whatever becomes of it, nobody waits for it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import osmium
import pytest
from msgspec import Struct
from osmium.osm.mutable import Node, Way

from demo.city import draw_city
from hub.engine import RUN_FOLDER, Engine
from hub.roads import OffTheRoads, Ring, Roads, RoadsDown, Spot
from hub.valhalla import Graph, Programs, RoadsError, build_graph, current_graph, find_programs, tiles_of
from tests.patience import PATIENCE_S
from tests.road_engine import COLUMBUS, road_engine
from tests.ways import spots_of
from wire.distance import distance_m

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("roads")]

SMALL_M = 40.0  # a place is taken to its road: so much of a straight line is not driven


class Town(Struct, frozen=True, kw_only=True):
    """A city with an engine that answers on it."""

    folder: Path
    extract: Path
    graph: Graph
    engine: Engine
    roads: Roads
    said: list[str]


@pytest.fixture(scope="module")
def programs() -> Programs:
    return road_engine()


@pytest.fixture(scope="module")
def extract(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("city") / "alder.osm.pbf"
    draw_city(path, seed=7)
    return path


@pytest.fixture(scope="module")
def town(programs: Programs, extract: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("a hub in a folder with spaces")
    yield from run_town(programs, extract, folder)


def run_town(programs: Programs, extract: Path, folder: Path) -> Iterator[Town]:
    graph = build_graph(programs, extract, folder / "roads", print)
    said: list[str] = []
    engine = Engine(folder, folder / "roads", lambda: programs, said.append)
    engine.start()
    roads = Roads(engine.where)
    try:
        eventually(lambda: engine.where() is not None)
        yield Town(folder=folder, extract=extract, graph=graph, engine=engine, roads=roads, said=said)
    finally:
        roads.close()
        engine.stop()


def eventually(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def chance_spots(seed: int, count: int, south: float, north: float, west: float, east: float) -> list[Spot]:
    chance = Random(seed)
    return [Spot(lat=chance.uniform(south, north), lon=chance.uniform(west, east)) for _ in range(count)]


def in_alder(seed: int, count: int) -> list[Spot]:
    return chance_spots(seed, count, 42.425, 42.475, -101.39, -101.31)


def apart_m(a: Spot, b: Spot) -> float:
    return distance_m(a.lat, a.lon, b.lat, b.lon)


def square(middle: Spot, half_deg: float) -> Ring:
    south, north = middle.lat - half_deg, middle.lat + half_deg
    west, east = middle.lon - half_deg, middle.lon + half_deg
    corners = ((south, west), (south, east), (north, east), (north, west))
    return Ring(id="closed", corners=tuple(Spot(lat=lat, lon=lon) for lat, lon in corners))


def is_inside(spot: Spot, ring: Ring) -> bool:
    lats, lons = [corner.lat for corner in ring.corners], [corner.lon for corner in ring.corners]
    return min(lats) < spot.lat < max(lats) and min(lons) < spot.lon < max(lons)


def long_road(path: Path, sign: str) -> Path:
    """A file with one road of five miles."""
    header = osmium.io.Header()
    header.set("sorting", "Type_then_ID")
    with osmium.SimpleWriter(str(path), header=header, overwrite=True) as out:
        for number in range(1, 80):
            out.add_node(Node(id=number, version=1, location=(-101 + number / 1000, 42.0), tags={}))
        tags = {"highway": "primary", "maxspeed": sign, "name": "Long Road"}
        out.add_way(Way(id=1, version=1, nodes=list(range(1, 80)), tags=tags))
    return path


# ---- what it answers ------------------------------------------------------------------------------------------------


def require_times_of_ways(roads: Roads, sources: Sequence[Spot], target: Spot) -> None:
    """The times are those of the ways (the engine itself differs from itself in one of sixty), and within the bound
    by which the short list leaves units out."""
    times = roads.times(sources, target, wait_s=PATIENCE_S)
    ways = [roads.route(source, target, wait_s=PATIENCE_S) for source in sources]
    fastest_mps = roads.fastest_mps
    assert fastest_mps is not None
    same = 0
    for travel, way in zip(times, ways, strict=True):
        assert travel is not None
        assert way is not None
        same += abs(travel.seconds - way.seconds) <= max(0.01 * way.seconds, 1.0)
        assert travel.seconds + 1 >= travel.distance_m / fastest_mps
        line = spots_of(way.line)
        assert travel.seconds + 1 >= apart_m(line[0], line[-1]) / fastest_mps
    assert same >= 0.95 * len(sources)


@pytest.mark.proof
def test_the_times_of_many_are_those_of_each_one_s_way(town: Town) -> None:
    require_times_of_ways(town.roads, in_alder(1, 60), Spot(lat=42.452, lon=-101.345))
    assert town.roads.graph == town.graph.id


@pytest.mark.proof
def test_the_times_of_many_are_those_of_each_one_s_way_in_a_real_city(programs: Programs, tmp_path: Path) -> None:
    if COLUMBUS is None:
        pytest.skip("no shared/maps beside the project: a real city not tried")
    for columbus in run_town(programs, COLUMBUS, tmp_path):
        sources = chance_spots(2, 60, 39.91, 40.03, -83.10, -82.85)
        require_times_of_ways(columbus.roads, sources, Spot(lat=39.9612, lon=-82.9988))


def test_a_way_leads_from_one_end_to_the_other_turn_by_turn(town: Town) -> None:
    start, end = in_alder(3, 2)
    way = town.roads.route(start, end, wait_s=PATIENCE_S)
    assert way is not None
    line = spots_of(way.line)
    assert apart_m(line[0], start) < 400
    assert apart_m(line[-1], end) < 400
    assert sum(apart_m(a, b) for a, b in pairwise(line)) == pytest.approx(way.distance_m, rel=0.01)
    assert way.turns[0].words.startswith("Drive ")
    assert "destination" in way.turns[-1].words
    assert [turn.at for turn in way.turns] == sorted(turn.at for turn in way.turns)
    assert way.turns[-1].at == len(line) - 1
    assert sum(turn.seconds for turn in way.turns) == pytest.approx(way.seconds, abs=1)


def test_a_closed_area_is_driven_around(town: Town) -> None:
    start, end = Spot(lat=42.44, lon=-101.37), Spot(lat=42.46, lon=-101.33)
    straight = town.roads.route(start, end, wait_s=PATIENCE_S)
    assert straight is not None
    line = spots_of(straight.line)
    closed = square(line[len(line) // 2], 0.002)
    around = town.roads.route(start, end, [closed], wait_s=PATIENCE_S)
    assert around is not None
    assert not any(is_inside(spot, closed) for spot in spots_of(around.line))
    assert around.seconds > straight.seconds
    (travel,) = town.roads.times([start], end, [closed], wait_s=PATIENCE_S)
    assert travel is not None
    assert travel.seconds == pytest.approx(around.seconds, rel=0.01, abs=1)


def test_closed_areas_may_be_many_and_wide(town: Town) -> None:
    start, end = Spot(lat=42.44, lon=-101.37), Spot(lat=42.46, lon=-101.33)
    many = [square(Spot(lat=42.40, lon=-101.5 + number / 100), 0.004) for number in range(60)]
    assert town.roads.route(start, end, many, wait_s=PATIENCE_S) is not None


def test_from_inside_a_closed_area_there_is_no_way_and_the_others_have_theirs(town: Town) -> None:
    sources = in_alder(4, 5)
    target = Spot(lat=42.452, lon=-101.345)
    closed = square(sources[2], 0.003)
    found = town.roads.times(sources, target, [closed], wait_s=PATIENCE_S)
    assert [travel is None for travel in found] == [is_inside(source, closed) for source in sources]
    assert town.roads.route(sources[2], target, [closed], wait_s=PATIENCE_S) is None


def test_a_unit_off_the_map_has_no_way_and_an_incident_off_it_is_said(town: Town) -> None:
    target, far, near = Spot(lat=42.452, lon=-101.345), Spot(lat=10.0, lon=10.0), Spot(lat=42.6, lon=-101.35)
    found = town.roads.times([far, *in_alder(5, 2), near], target, wait_s=PATIENCE_S)
    assert [travel is None for travel in found] == [True, False, False, True]
    for outside in (far, near):
        with pytest.raises(OffTheRoads):
            town.roads.times(in_alder(5, 2), outside, wait_s=PATIENCE_S)
        with pytest.raises(OffTheRoads):
            town.roads.reach(outside, (5,), wait_s=PATIENCE_S)
    assert town.roads.route(target, far, wait_s=PATIENCE_S) is None


def test_what_is_reached_in_ten_minutes_is_wider_than_in_five(town: Town) -> None:
    middle = Spot(lat=42.452, lon=-101.345)
    areas = town.roads.reach(middle, (5, 10), wait_s=PATIENCE_S)
    assert [area.minutes for area in areas] == [10, 5]
    wide, narrow = ([lon for lon, _ in area.rings[0]] for area in areas)
    assert min(wide) < min(narrow) < middle.lon < max(narrow) < max(wide)


# ---- what becomes of it ---------------------------------------------------------------------------------------------


def test_it_listens_on_the_loopback_only_and_keeps_no_log(town: Town) -> None:
    where = town.engine.where()
    assert where is not None
    pid = town.engine.pid
    ours = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in ours:
                listening.append(words[1])
    assert listening == [f"0100007F:{where.port:04X}"]
    assert str(Path(f"/proc/{pid}/fd/1").readlink()) == "/dev/null"
    assert {file.name for file in (town.folder / RUN_FOLDER).iterdir()} == {"valhalla.json"}


def test_an_engine_that_hangs_keeps_nobody_waiting_and_is_replaced(town: Town) -> None:
    sources, target = in_alder(6, 40), Spot(lat=42.452, lon=-101.345)
    pid = town.engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    began_s = time.monotonic()
    with pytest.raises(RoadsDown, match="in time"):
        town.roads.times(sources, target, wait_s=0.2)
    assert time.monotonic() - began_s < 10  # 0.2 s; the rest is for a machine that is busy with others
    eventually(lambda: town.engine.pid not in (pid, None) and town.engine.where() is not None)
    assert any("answers nothing any more" in line for line in town.said)
    eventually(lambda: is_answering(town.roads, sources, target))


def test_an_engine_that_was_killed_is_started_again(town: Town) -> None:
    pid = town.engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: town.engine.pid not in (pid, None) and town.engine.where() is not None)
    eventually(lambda: is_answering(town.roads, in_alder(7, 2), Spot(lat=42.452, lon=-101.345)))
    assert any("ended (code -9)" in line for line in town.said)


def is_answering(roads: Roads, sources: Sequence[Spot], target: Spot) -> bool:
    try:
        return all(roads.times(sources, target, wait_s=PATIENCE_S))
    except RoadsDown:
        return False


def test_new_roads_are_taken_into_use_without_a_restart_of_the_hub(
    town: Town, programs: Programs, tmp_path: Path
) -> None:
    other = long_road(tmp_path / "other.osm.pbf", "55 mph")
    graph = build_graph(programs, other, town.folder / "roads", print)
    assert graph.id != town.graph.id
    eventually(lambda: town.roads.graph == graph.id)
    assert build_graph(programs, town.extract, town.folder / "roads", print) == town.graph
    eventually(lambda: town.roads.graph == town.graph.id)
    eventually(lambda: is_answering(town.roads, in_alder(7, 2), Spot(lat=42.452, lon=-101.345)))


def test_it_dies_with_a_hub_that_is_killed(town: Town, tmp_path: Path) -> None:
    script = f"""
        import sys, time
        from pathlib import Path
        from hub.engine import Engine
        from hub.valhalla import find_programs
        engine = Engine(Path({str(tmp_path)!r}), Path({str(town.folder / "roads")!r}), find_programs, lambda _: None)
        engine.start()
        while engine.where() is None:
            time.sleep(0.02)
        print(engine.pid, flush=True)
        time.sleep(1000)
    """
    hub = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)
    assert hub.stdout is not None
    with hub.stdout:
        pid = int(hub.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        hub.kill()
        hub.wait()
    eventually(lambda: not Path(f"/proc/{pid}").exists())


def test_a_hub_without_roads_or_without_the_program_says_so_once_and_goes_on(town: Town, tmp_path: Path) -> None:
    for roads, find, why in (
        (tmp_path / "none", find_programs, "there are no roads yet"),
        (town.folder / "roads", lambda: None, "scripts/road-engine"),
    ):
        said: list[str] = []
        engine = Engine(tmp_path, roads, find, said.append)
        engine.start()
        eventually(lambda said=said: bool(said))  # type: ignore[misc]
        with pytest.raises(RoadsDown, match="does not run"):
            Roads(engine.where).times(in_alder(1, 1), in_alder(2, 1)[0])
        engine.stop()
        assert len(said) == 1
        assert why in said[0]
        assert "straight line" in said[0]


def test_a_program_that_cannot_run_says_why(town: Town, programs: Programs, tmp_path: Path) -> None:
    broken = tmp_path / "valhalla_service"
    broken.write_text("#!/bin/sh\necho 'libsomething.so: cannot open shared object file' >&2\nexit 127\n")
    broken.chmod(0o755)
    mine = Programs(build=programs.build, service=broken, configure=programs.configure)
    said: list[str] = []
    engine = Engine(tmp_path / "home", town.folder / "roads", lambda: mine, said.append)
    engine.start()
    eventually(lambda: bool(said))
    engine.stop()
    assert "ended (code 127), it said: libsomething.so: cannot open shared object file" in said[0]


# ---- building -------------------------------------------------------------------------------------------------------


@pytest.fixture
def built(town: Town, tmp_path: Path) -> Path:
    """A folder of this test's own with the city's roads in use."""
    shutil.copytree(town.folder / "roads", tmp_path / "roads", symlinks=True)
    assert current_graph(tmp_path / "roads") == town.graph
    return tmp_path / "roads"


def refuse(programs: Programs, osm: Path, roads: Path) -> str:
    """The sentence with which this build is refused, after checking that nothing of it is left."""
    before, folders = current_graph(roads), {entry.name for entry in roads.iterdir()}
    with pytest.raises(RoadsError) as refused:
        build_graph(programs, osm, roads, print)
    assert current_graph(roads) == before
    assert {entry.name for entry in roads.iterdir()} == folders
    return str(refused.value)


def test_a_torn_or_foreign_file_leaves_the_roads_as_they_were(
    programs: Programs, extract: Path, built: Path, tmp_path: Path
) -> None:
    torn, letter = tmp_path / "torn.osm.pbf", tmp_path / "letter.osm.pbf"
    torn.write_bytes(extract.read_bytes()[:300_000])
    letter.write_text("Dear dispatcher,\n" * 100)
    assert "torn.osm.pbf cannot be read as OpenStreetMap data" in refuse(programs, torn, built)
    assert "letter.osm.pbf cannot be read" in refuse(programs, letter, built)
    assert "there is no file" in refuse(programs, tmp_path / "nowhere.osm.pbf", built)


def test_a_file_without_a_street_to_drive_on_is_refused(programs: Programs, built: Path, tmp_path: Path) -> None:
    path = tmp_path / "lake.osm.pbf"
    with osmium.SimpleWriter(str(path)) as out:
        for number in range(1, 4):
            out.add_node(Node(id=number, version=1, location=(-101 + number / 100, 42.0 + number % 2 / 100), tags={}))
        out.add_way(Way(id=1, version=1, nodes=[1, 2, 3, 1], tags={"natural": "water"}))
    assert refuse(programs, path, built) == "lake.osm.pbf has no streets to drive on"


def test_unsorted_input_is_sorted_first(programs: Programs, extract: Path, tmp_path: Path) -> None:
    unsorted = tmp_path / "unsorted.osm.pbf"
    with osmium.SimpleWriter(str(unsorted)) as out:
        for wanted in ("w", "n"):
            for item in osmium.FileProcessor(str(extract)):
                if item.type_str() == wanted:
                    out.add(item)
    told: list[str] = []
    graph = build_graph(programs, unsorted, tmp_path / "roads", told.append)
    assert any(line.startswith("sorting: ") for line in told)
    assert next(tiles_of(tmp_path / "roads", graph).glob("2/**/*.gph"), None) is not None
    assert {entry.name for entry in (tmp_path / "roads" / graph.id).iterdir()} == {"graph.json", "tiles"}


def test_roads_are_built_in_a_home_that_is_named_from_here(
    programs: Programs, extract: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert current_graph(Path("roads")) is None
    graph = build_graph(programs, Path(os.path.relpath(extract)), Path("roads"), print)
    assert current_graph(tmp_path / "roads") == graph


def test_programs_named_from_here_are_found_for_any_folder(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(programs.build.parent)
    assert find_programs(Path("../..")) == programs


def test_a_builder_that_fails_halfway_leaves_the_roads_as_they_were(
    programs: Programs, extract: Path, built: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "valhalla_build_tiles"
    broken.write_text(
        "#!/bin/sh\n[ $1 = --version ] && echo 9.9.9 && exit\ntouch tiles/0.gph half\n"
        "echo \"terminate called after throwing an instance of 'x'\" >&2\necho '  what():  No space left on device' >&2\n"
        "kill -ABRT $$\n"
    )
    broken.chmod(0o755)
    mine = Programs(build=broken, service=programs.service, configure=programs.configure)
    said = refuse(mine, extract, built)
    assert said == "the roads of alder.osm.pbf could not be built, the builder said: No space left on device"


def test_a_file_that_was_built_before_is_not_built_again(programs: Programs, extract: Path, built: Path) -> None:
    told: list[str] = []
    left = built / ".building-abc"
    left.mkdir()
    assert build_graph(programs, extract, built, told.append) == current_graph(built)
    assert told == ["the roads of alder.osm.pbf were built before and have not changed"]
    assert not left.exists()


def test_without_a_build_there_are_no_roads_and_a_damaged_description_says_so(tmp_path: Path) -> None:
    assert current_graph(tmp_path) is None
    (tmp_path / "current").mkdir()
    (tmp_path / "current" / "graph.json").write_text("{")
    with pytest.raises(RoadsError, match="import the map again"):
        current_graph(tmp_path)


def test_nothing_is_said_to_drive_faster_than_the_fastest_sign(programs: Programs, tmp_path: Path) -> None:
    for sign, kph in (("25 mph", 105), ("75 mph", 121), ("130", 131), ("999", 140), ("walk", 105)):
        road = long_road(tmp_path / "road.osm.pbf", sign)
        assert build_graph(programs, road, tmp_path / "roads", print).fastest_kph == kph, sign
