"""A terminal whose disk does not save (F06): it says so, calls for help all the same, and saves again by itself."""

from __future__ import annotations

import secrets
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.processes import program
from demo.web import Json, Unanswered
from tests.system import disk
from tests.system.disk import Disk
from tests.system.site import VEHICLE, Site, open_site, until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(disk.why_not() is not None, reason=str(disk.why_not())),
    pytest.mark.xdist_group("not saving"),
]


class Ground:
    """An agency whose first vehicle has a disk of its own."""

    def __init__(self, site: Site, made: Disk) -> None:
        self.site, self.disk = site, made
        self.screen = site.screen()
        self.taken: list[str] = []
        self.pid = site.children[VEHICLE].pid

    def state(self) -> Json:
        try:
            state = self.screen.json("/api/v1/state")
        except Unanswered:
            return {"saving": {"is_saving": None}, "emergency": {"phase": None}, "link": {}}
        self.screen.csrf = state["csrf"]
        return state

    def is_saving(self) -> bool:
        return self.state()["saving"]["is_saving"] is True

    def is_not_saving(self) -> bool:
        return self.state()["saving"]["is_saving"] is False

    def press(self, times: int) -> None:
        """Statuses that the screen takes, one after the other."""
        now = until("the status", lambda: self.state().get("status"))  # not while the screen finds its disk broken
        for _ in range(times):
            now = "available" if now == "break" else "break"
            self.screen.submit("/status", {"status": now})
            self.taken.append(now)

    def at_the_hub(self) -> list[str]:
        store = sqlite3.connect(f"file:{self.site.home / 'hub' / 'hub.db'}?mode=ro", uri=True, timeout=10)
        try:
            asked = "select status from status_history where unit = ? and by = 'crew' order by id"
            return [row[0] for row in store.execute(asked, [VEHICLE.lower()]).fetchall()]
        finally:
            store.close()

    def emergencies_in_the_log(self) -> int:
        store = sqlite3.connect(f"file:{self.site.home / 'hub' / 'hub.db'}?mode=ro", uri=True, timeout=10)
        try:
            return int(store.execute("select count(*) from record where kind = 'emergency'").fetchone()[0])
        finally:
            store.close()

    def raised(self) -> list[Json]:
        return self.site.snapshot()["emergencies"]

    def is_placed(self) -> bool:
        (row,) = [one for one in self.site.snapshot()["units"] if one["call_sign"] == VEHICLE]
        return row["position"] is not None

    def arrived_ms(self) -> int:
        """When the position that the console shows reached the hub."""
        (row,) = [one for one in self.site.snapshot()["units"] if one["call_sign"] == VEHICLE]
        return int(row["position"]["arrived_ms"])

    def take_and_clear(self) -> None:
        (one,) = self.raised()
        at = f"/api/v1/emergencies/{one['id']}"
        self.site.console.post(f"{at}/acknowledge", {})
        until("'acknowledged' on the terminal", lambda: self.state()["emergency"]["phase"] == "acknowledged")
        self.site.console.post(f"{at}/clear", {"contact": "crew", "words": "well", "presses": one["presses"]})
        until("nothing raised on the terminal", lambda: self.state()["emergency"]["phase"] == "none")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, made_agency: Path) -> Iterator[Ground]:
    home = tmp_path_factory.mktemp("agency") / "home"
    with open_site(home, made_agency) as site:
        site.children[VEHICLE].stop()
        made = Disk(home / "disk.img", home / site.fleet.station(VEHICLE).folder)
        try:
            site.restart(VEHICLE)
            ground = Ground(site, made)
            until("a place on the console", ground.is_placed)
            yield ground
        finally:
            site.children[VEHICLE].kill()
            made.close()


def sent_to(ground: Ground, place: str) -> str:
    """An incident at `place`, and the vehicle sent there; the assignment."""
    console, incident = ground.site.console, f"inc-{secrets.token_hex(6)}"
    made = {
        "id": incident,
        "type": "MNTL",
        "priority": 2,
        "lat": 40.0,
        "lon": -83.0,
        "place": place,
        "problem": "Sits outside and asks for help",
        "cautions": ["Startled by loud voices"],
        "need": {"skills": [], "languages": []},
    }
    console.post("/api/v1/incidents", made)
    ranking = console.post(f"/api/v1/incidents/{incident}/ranking", {})["ranking"]
    assigned = {"id": f"asg-{secrets.token_hex(6)}", "unit": VEHICLE.lower(), "ranking": ranking, "reason": "a test"}
    console.post(f"/api/v1/incidents/{incident}/assignments", assigned)
    return assigned["id"]


def release(ground: Ground, assignment: str) -> None:
    ground.site.console.post(f"/api/v1/assignments/{assignment}/release", {"reason": "a test"})


@pytest.mark.parametrize("fault", ["read-only", "gone"])
def test_what_a_crew_relies_on_goes_on_without_the_disk_and_all_that_was_saved_arrives(
    ground: Ground, fault: str, report: Callable[[object], None]
) -> None:
    ground.press(5)
    first = sent_to(ground, "By the fountain")
    until("the assignment on the screen", lambda: "By the fountain" in ground.screen.get("/"))
    began_s = time.monotonic()
    ground.disk.fail() if fault == "read-only" else ground.disk.vanish()
    with pytest.raises(Unanswered, match="503"):  # the press finds out
        ground.press(1)
    until("'not saving' on the screen", ground.is_not_saving)
    noticed_s = time.monotonic() - began_s
    page = ground.screen.get("/")
    assert "Not saving: " in page
    assert "By the fountain" in page and "Startled by loud voices" in page
    assert "Startled by loud voices" in ground.screen.get("/assignment")
    with pytest.raises(Unanswered, match="503"):
        ground.press(1)

    pressed_s = time.monotonic()
    ground.screen.submit("/emergency/raise", {})
    (shown,) = until("the emergency at the console", ground.raised)
    to_console_s = time.monotonic() - pressed_s
    assert (shown["call_sign"], shown["presses"]) == (VEHICLE, 1)
    until("'received' in the cab", lambda: ground.state()["emergency"]["phase"] == "received")
    kept = ground.emergencies_in_the_log()
    newest = ground.arrived_ms()
    until("another position at the console", lambda: ground.arrived_ms() > newest)
    release(ground, first)
    other = sent_to(ground, "At the harbor")
    until("another assignment, which is not saved either", lambda: "At the harbor" in ground.screen.get("/"))

    healed_s = time.monotonic()
    ground.disk.mend()
    until("it to save again", ground.is_saving)
    saving_s = time.monotonic() - healed_s
    until("the emergency in the log as well", lambda: ground.emergencies_in_the_log() == kept + 1)
    assert ground.raised()[0]["presses"] == 1
    ground.take_and_clear()
    release(ground, other)
    until("no assignment", lambda: ground.state()["assignment"] is None)
    ground.press(2)
    until("all that was saved at the hub", lambda: ground.at_the_hub()[-len(ground.taken) :] == ground.taken)
    until("nothing owed", lambda: ground.state()["link"]["unsent"] == 0)
    assert ground.site.children[VEHICLE].pid == ground.pid
    report(
        f"disk {fault}: 'not saving' after {noticed_s:.1f} s, press to console {to_console_s * 1000:.0f} ms, "
        f"saving {saving_s:.1f} s after the disk was good; {len(ground.taken)} statuses saved and none lost"
    )


def test_a_start_on_a_disk_that_cannot_be_written_shows_and_calls_and_waits(ground: Ground) -> None:
    ground.press(2)
    assignment = sent_to(ground, "At the old mill")
    until("the assignment on the screen", lambda: "At the old mill" in ground.screen.get("/"))
    terminal = ground.site.children[VEHICLE]
    terminal.kill()
    ground.disk.read_only(True)
    ground.site.restart(VEHICLE)
    assert ground.is_not_saving()
    page = ground.screen.get("/")
    assert "Not saving: the disk cannot be written" in page and "At the old mill" in page
    ground.screen.submit("/emergency/raise", {})
    until("the emergency at the console", ground.raised)
    until("'received' in the cab", lambda: ground.state()["emergency"]["phase"] == "received")
    ground.disk.read_only(False)
    until("it to save again", ground.is_saving)
    ground.take_and_clear()
    until("all that was saved at the hub", lambda: ground.at_the_hub()[-len(ground.taken) :] == ground.taken)
    release(ground, assignment)


def test_a_start_without_its_identity_says_so(ground: Ground) -> None:
    terminal = ground.site.children[VEHICLE]
    terminal.kill()
    ground.disk.unmount()
    try:
        done = subprocess.run(
            [program("tandem-edge"), "run", "--home", str(ground.disk.folder)], capture_output=True, text=True
        )
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    finally:
        ground.disk.mount()
        ground.site.restart(VEHICLE)
