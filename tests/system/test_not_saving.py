"""A terminal whose disk does not save (F06): it says so, calls for help all the same, and saves again by itself."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.web import Browser, Json, Unanswered
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
        self.state()
        for _ in range(times):
            status = "available" if self.taken and self.taken[-1] == "break" else "break"
            self.screen.submit("/status", {"status": status})
            self.taken.append(status)

    def at_the_hub(self) -> list[str]:
        store = sqlite3.connect(f"file:{self.site.home / 'hub' / 'hub.db'}?mode=ro", uri=True, timeout=10)
        try:
            asked = "select status from status_history where unit = ? and by = 'crew' order by id"
            return [row[0] for row in store.execute(asked, [VEHICLE.lower()]).fetchall()]
        finally:
            store.close()

    def raised(self) -> list[Json]:
        return self.site.snapshot()["emergencies"]

    def fix_age_s(self) -> float:
        (row,) = [one for one in self.site.snapshot()["positions"] if one["unit"] == VEHICLE.lower()]
        return float(row["age_ms"]) / 1000 if "age_ms" in row else 0.0

    def take_and_clear(self) -> None:
        (one,) = self.raised()
        at = f"/api/v1/emergencies/{one['id']}"
        self.site.console.post(f"{at}/acknowledge", {})
        until("'acknowledged' on the terminal", lambda: self.state()["emergency"]["phase"] == "acknowledged")
        self.site.console.post(f"{at}/clear", {"contact": "crew", "words": "well", "presses": one["presses"]})
        until("nothing raised on the terminal", lambda: self.state()["emergency"]["phase"] == "none")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    home = tmp_path_factory.mktemp("agency") / "home"
    with open_site(home) as site:
        site.children[VEHICLE].stop()
        made = Disk(home / "disk.img", home / site.fleet.station(VEHICLE).folder)
        try:
            site.restart(VEHICLE)
            yield Ground(site, made)
        finally:
            site.children[VEHICLE].kill()
            made.close()


def send(ground: Ground, incident: str) -> str:
    """Send the vehicle to `incident`; the assignment."""
    console = ground.site.console
    console.post("/api/v1/incidents", call(incident))
    console.post(f"/api/v1/incidents/{incident}/ranking", {})
    made = console.post(f"/api/v1/incidents/{incident}/assignments", {"unit": VEHICLE.lower(), "reason": "closest"})
    return str(made)


def call(incident: str) -> Json:
    raise NotImplementedError
