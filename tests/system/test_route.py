"""The way with the assignment, on the real programs: hub, broker, road engine and a terminal whose vehicle drives."""

from __future__ import annotations

import os
import pty
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.receiver import GPS_ONLY
from demo import fleet as made
from demo.fleet import Fleet
from demo.processes import Children
from demo.story import go_on_duty, sign_in, sign_on
from demo.web import Browser, Json
from edge.main import LEDGER_FILE
from firmware_bridge.sentences import Solution, gga, rmc
from hub.building import CURRENT
from hub.settings import MAPS_FOLDER
from hub.valhalla import ROADS_FOLDER, build_graph
from tests.road_engine import road_engine
from tests.small_town import Town, at
from tests.system.agency import copy
from tests.system.site import until
from wire.distance import bearing_deg, distance_m, moved

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("roads")]

UNIT = "CARE-1"
BLOCK = 4  # steps of a hundred meters: beside the way is clearly beside it
HOME_CORNER, PLACE = (0, 0), (2 * BLOCK, 2 * BLOCK)
MPS = 25.0


def a_grid() -> Town:
    """Three streets each way."""
    town = Town()
    for index, (along, across) in enumerate((("First", "Ash"), ("Second", "Birch"), ("Third", "Cedar"))):
        steps = [step * BLOCK for step in range(3)]
        town.street([(east, index * BLOCK) for east in steps], f"{along} Avenue")
        town.street([(index * BLOCK, north) for north in steps], f"{across} Street")
    return town


class Vehicle:
    """A receiver in a car that goes where it is told, a fix each second."""

    def __init__(self, link: Path) -> None:
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(slave))
        self.at = at(*HOME_CORNER)
        self._to: list[tuple[float, float]] = []
        self._lock = threading.Lock()

    def go(self, *corners: tuple[float, float]) -> None:
        """Drive there from where it is, corner by corner."""
        with self._lock:
            self._to = [at(*corner) for corner in corners]

    def tick(self) -> None:
        with self._lock:
            speed, course = 0.0, 0.0
            if self._to:
                gap = distance_m(*self.at, *self._to[0])
                course = bearing_deg(*self.at, *self._to[0])
                if gap <= MPS:
                    self.at = self._to.pop(0)
                else:
                    self.at = moved(*self.at, course, MPS)
                speed = MPS
            lat, lon = self.at
        now = datetime.now(UTC).replace(microsecond=0)
        told = Solution(
            lat=lat, lon=lon, clock=now, day=now.date(), speed_mps=speed, heading_deg=course, satellites=10, hdop=0.9
        )
        os.write(self._master, b"".join((*gga(told, GPS_ONLY), *rmc(told, GPS_ONLY))))


class Drive:
    """The running agency with roads, one of its vehicles, and how people look at it."""

    def __init__(self, home: Path, fleet: Fleet, children: Children, vehicle: Vehicle) -> None:
        self.home, self.fleet, self.children, self.vehicle = home, fleet, children, vehicle
        self.console = sign_in(fleet.console, fleet.login("dispatcher"))
        self.screen = Browser(fleet.station(UNIT).screen)

    def way(self) -> Json | None:
        """What the touchscreen knows of its way."""
        state = self.screen.json("/api/v1/state")
        self.screen.csrf = state["csrf"]
        shown: Json | None = state["way"]
        return shown

    def eta(self) -> Json | None:
        """What the console knows of it."""
        units = self.console.json("/api/v1/snapshot")["units"]
        (unit,) = [one for one in units if one["call_sign"] == UNIT]
        told: Json | None = unit["position"] and unit["position"]["eta"]
        return told

    def send(self, name: str, place: tuple[float, float]) -> Json:
        lat, lon = at(*place)
        self.console.post(
            "/api/v1/incidents",
            {
                "id": name,
                "type": "MNTL",
                "priority": 2,
                "lat": lat,
                "lon": lon,
                "place": "Third Avenue at Cedar Street",
                "problem": "Asks for help",
                "cautions": [],
                "need": {"skills": [], "languages": []},
            },
        )
        ranked = self.console.post(f"/api/v1/incidents/{name}/ranking", {})
        unit = next(one["unit"] for one in ranked["candidates"] if one["call_sign"] == UNIT)
        body = {"id": f"asg-{name}", "unit": unit, "ranking": ranked["ranking"], "reason": "it drives"}
        return self.console.post(f"/api/v1/incidents/{name}/assignments", body)


@contextmanager
def driving(home: Path, agency: Path, roads: Callable[[Path], None]) -> Iterator[Drive]:
    children, stop = Children(lambda _: None), threading.Event()
    try:
        fleet = copy(agency, home)
        roads(home / "hub" / MAPS_FOLDER / CURRENT / ROADS_FOLDER)
        children.start(made.hub_process(home))
        station = fleet.station(UNIT)
        vehicle = Vehicle(made.receiver_port(home, station))
        threading.Thread(
            target=lambda: [vehicle.tick() for _ in iter(lambda: stop.wait(1.0), True)], daemon=True
        ).start()
        children.start(made.terminal_process(home, station))
        drive = Drive(home, fleet, children, vehicle)
        sign_on(drive.screen, station)
        go_on_duty(drive.screen)
        until("a position at the hub", lambda: _position(drive))
        yield drive
    finally:
        stop.set()
        children.stop()


def _position(drive: Drive) -> bool:
    units = drive.console.json("/api/v1/snapshot")["units"]
    return any(one["call_sign"] == UNIT and one["position"] for one in units)


def a_graph(tmp_path: Path) -> Callable[[Path], None]:
    programs, osm = road_engine(), a_grid().write(tmp_path / "grid.osm.pbf")

    def build(into: Path) -> None:
        into.mkdir(parents=True)
        build_graph(programs, osm, into, lambda _: None)

    return build


def on_way(drive: Drive) -> Json | None:
    """The way that the touchscreen shows a turn of. It need not be the first: an engine that has just started may be late."""
    way = drive.way()
    return way if way is not None and way["n"] is not None and way["words"]["phase"] == "turn" else None


@pytest.mark.proof  # two minutes of driving
def test_the_way_comes_behind_the_assignment_follows_the_vehicle_is_redrawn_when_it_leaves_it_and_goes_with_the_release(
    made_agency: Path, tmp_path: Path, report: Callable[[object], None]
) -> None:
    with driving(tmp_path / "home", made_agency, a_graph(tmp_path)) as drive:
        began_s = time.monotonic()
        drive.send("inc-1", PLACE)
        until("the assignment on the touchscreen", lambda: drive.screen.json("/api/v1/state")["assignment"])
        shown_s = time.monotonic() - began_s
        way = until("its way", lambda: on_way(drive))
        report(f"sent to shown {shown_s * 1000:.0f} ms, to its way {(time.monotonic() - began_s) * 1000:.0f} ms")
        assert way["assignment"] == "asg-inc-1"
        assert way["words"]["left"] and way["words"]["eta"]
        drive.screen.submit("/status", {"status": "en_route"})
        first = until("the time at the console", lambda: (e := drive.eta()) and e["word"] == "way" and e)
        assert first["eta_s"] > 60

        # Up Ash Street to its end, and out of the town: no way to the place leads there.
        drive.vehicle.go((0, BLOCK), (0, 2 * BLOCK), (-3 * BLOCK, 2 * BLOCK))
        seen: list[str] = []

        def redrawn() -> Json | None:
            now = drive.way()
            assert now is not None
            seen.append(now["words"]["phase"])
            return now if now["n"] > way["n"] else None

        again = until("another way, for it left this one", redrawn, 90.0)
        assert again["why"] == "left"
        assert "off" in seen, seen
        assert "turn" in seen

        # Without a hub and after a power cut the way is still there.
        drive.children["hub"].kill()
        drive.children[UNIT].kill()
        drive.children[UNIT].start()
        drive.children[UNIT].wait_ready()
        kept = until("the way that it held", lambda: (w := drive.way()) and w["n"] is not None and w)
        assert kept["n"] >= again["n"]
        ledger = (drive.home / drive.fleet.station(UNIT).folder / LEDGER_FILE).read_bytes()
        assert b"Avenue" not in ledger  # it says where somebody lives
        drive.children["hub"].start()
        drive.children["hub"].wait_ready()
        drive.console = sign_in(drive.fleet.console, drive.fleet.login("dispatcher"))
        until("the time at the console again", lambda: (e := drive.eta()) and e["eta_s"])

        drive.console.post("/api/v1/assignments/asg-inc-1/release", {"reason": "another unit is nearer"})
        until("no way on the touchscreen", lambda: drive.way() is None)
        until("no time at the console", lambda: drive.eta() is None)


def test_a_road_that_is_closed_ahead_is_driven_around_and_taken_again_when_it_is_open(
    made_agency: Path, tmp_path: Path
) -> None:
    def newer(than: Json) -> Callable[[], Json | None]:
        return lambda: (way := on_way(drive)) and way["n"] > than["n"] and way

    with driving(tmp_path / "home", made_agency, a_graph(tmp_path)) as drive:
        drive.send("inc-3", (2 * BLOCK, 0))
        straight = until("its way", lambda: on_way(drive))
        assert "Second Avenue" not in drive.screen.get("/way/turns")
        lat, lon = at(1.5 * BLOCK, 0)
        closing = {"id": "c-1", "corners": [{"lat": lat, "lon": lon}], "radius_m": 50, "reason": "Water over the road"}
        drive.console.post("/api/v1/closures", closing)
        around = until("a way around it", newer(straight))
        assert around["why"] == "closed"
        assert "Second Avenue" in drive.screen.get("/way/turns")
        drive.console.post("/api/v1/closures/c-1/end", {})
        again = until("the straight way again", newer(around))
        assert again["why"] == "closed"
        assert "Second Avenue" not in drive.screen.get("/way/turns")


def test_without_roads_the_touchscreen_says_so_and_how_far_it_is_straight(made_agency: Path, tmp_path: Path) -> None:
    with driving(tmp_path / "home", made_agency, lambda _: None) as drive:
        drive.send("inc-2", PLACE)
        way = until("why there is none", lambda: (w := drive.way()) and w["why_not"] and w)
        assert way["why_not"] == "engine"
        assert way["words"]["head"] == "No route"
        assert way["words"]["straight"].endswith("northeast")
        assert way["words"]["eta"] == ""
        assert until("the same at the console", drive.eta)["word"] == "engine"
