"""An emergency raised while something else is broken (F28): the cab says so at once, and dispatch has it when it can."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from demo.web import Browser, Json, Unanswered
from tests.browser.cable import Cable
from tests.system import disk
from tests.system.agency import to_broker
from tests.system.disk import Disk
from tests.system.site import VEHICLE, Site, open_site, until
from wire.codec import decode
from wire.enrollment import ENROLLED_FILE, IDENTITY_FOLDER, Enrolled

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("faults")]

AT_ONCE_S = 1.0  # of which the browser's own request is a part
HEALED_S_MAX = 90.0  # a hub that starts, a link that comes back, on a machine that others use as well


class Ground:
    """An agency whose first vehicle has a cable to the broker and, where that is possible, a disk of its own."""

    def __init__(self, site: Site, cable: Cable, made: Disk | None) -> None:
        self.site, self.cable, self.disk = site, cable, made
        self.screen = Browser(site.fleet.station(VEHICLE).screen)

    def phase(self) -> str | None:
        if self.site.children[VEHICLE].pid is None:
            self.site.restart(VEHICLE)  # as systemd would
        try:
            state = self.screen.json("/api/v1/state")
        except Unanswered:
            return None
        self.screen.csrf = state["csrf"]
        return str(state["emergency"]["phase"])

    def raised(self) -> list[Json]:
        with suppress(Unanswered, TimeoutError):
            raised: list[Json] = self.site.snapshot()["emergencies"]
            return raised
        return []

    def is_well(self) -> bool:
        with suppress(Unanswered):
            state = self.screen.json("/api/v1/state")
            return state["saving"]["is_saving"] and state["link"]["hub"] and state["link"]["unsent"] == 0
        return False

    @property
    def hub_db(self) -> Path:
        return self.site.home / "hub" / "hub.db"


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, made_agency: Path) -> Iterator[Ground]:
    home = tmp_path_factory.mktemp("agency") / "home"
    with open_site(home, made_agency) as site:
        site.children[VEHICLE].stop()
        folder = home / site.fleet.station(VEHICLE).folder
        made = None if disk.why_not() else Disk(home / "disk.img", folder)
        cable = _wired(folder)
        try:
            site.restart(VEHICLE)
            yield Ground(site, cable, made)
        finally:
            site.children[VEHICLE].kill()
            cable.pull()
            if made is not None:
                made.close()


def _wired(folder: Path) -> Cable:
    """The terminal in `folder` reaches its broker through a cable from now on."""
    file = folder / IDENTITY_FOLDER / ENROLLED_FILE
    cable = Cable(decode(file.read_bytes(), Enrolled).admission.broker.port)
    to_broker(file, cable.port)
    return cable


@contextmanager
def disk_full(ground: Ground) -> Iterator[None]:
    assert ground.disk is not None
    ground.disk.fill()
    yield
    ground.disk.empty()


@contextmanager
def disk_not_saving(ground: Ground) -> Iterator[None]:
    assert ground.disk is not None
    ground.disk.vanish()
    yield
    ground.disk.mend()


@contextmanager
def no_link(ground: Ground) -> Iterator[None]:
    ground.cable.pull()
    yield
    ground.cable.put_back()


@contextmanager
def half_open(ground: Ground) -> Iterator[None]:
    ground.cable.swallow()
    yield


@contextmanager
def broker_killed_and_wiped(ground: Ground) -> Iterator[None]:
    (broker,) = _children(ground.site.children["hub"].pid, "mosquitto")
    os.kill(broker, signal.SIGSTOP)  # so that nobody starts it again before its store is gone
    for kept in (ground.site.home / "hub").rglob("mosquitto.db*"):
        kept.unlink()
    os.kill(broker, signal.SIGKILL)
    yield


@contextmanager
def hub_stopped(ground: Ground) -> Iterator[None]:
    ground.site.children["hub"].kill()
    yield
    ground.site.restart("hub")


@contextmanager
def hub_database_locked(ground: Ground) -> Iterator[None]:
    with sqlite3.connect(ground.hub_db, isolation_level=None, timeout=20) as stranger:
        stranger.execute("begin immediate")
        yield
        stranger.execute("rollback")
    stranger.close()


def _children(parent: int | None, name: str) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            text = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            if text["PPid"].strip() == str(parent) and text["Name"].strip() == name:
                found.append(int(status.parent.name))
    return found


FAULTS = (disk_full, disk_not_saving, no_link, half_open, broker_killed_and_wiped, hub_stopped, hub_database_locked)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_it_is_raised_at_once_and_acknowledged_after_healing(
    ground: Ground, fault: Callable[[Ground], object], report: Callable[[object], None]
) -> None:
    if fault in (disk_full, disk_not_saving) and ground.disk is None:
        pytest.skip(str(disk.why_not()))
    until("all to be well", ground.is_well)
    assert ground.phase() == "none"
    with fault(ground):  # type: ignore[attr-defined]
        pressed_s = time.monotonic()
        ground.screen.submit("/emergency/raise", {})
        shown = until("the cab to say so", lambda: phase if (phase := ground.phase()) not in (None, "none") else None)
        seen_s = time.monotonic() - pressed_s
        time.sleep(4.0)  # long enough for what cannot wait to have been tried
        reached = bool(ground.raised())
    healed_s = time.monotonic()
    (one,) = until("the emergency at the console", ground.raised, HEALED_S_MAX)
    arrived_s = time.monotonic()
    assert (one["call_sign"], one["presses"], one["is_drill"]) == (VEHICLE, 1, False)
    until("the console to take it", lambda: _acknowledged(ground, one["id"]), HEALED_S_MAX)
    until("'acknowledged' in the cab", lambda: ground.phase() == "acknowledged", HEALED_S_MAX)
    taken_s = time.monotonic() - healed_s
    report(
        f"{fault.__name__}: in the cab after {seen_s * 1000:.0f} ms ({shown}), "
        f"{'at the console before healing' if reached else f'at the console {arrived_s - pressed_s:.1f} s after the press'}, "
        f"acknowledged in the cab {taken_s:.1f} s after healing"
    )
    ground.site.console.post(
        f"/api/v1/emergencies/{one['id']}/clear", {"contact": "crew", "words": "well", "presses": one["presses"]}
    )
    until("nothing raised in the cab", lambda: ground.phase() == "none", HEALED_S_MAX)
    assert ground.raised() == []


def _acknowledged(ground: Ground, emergency: str) -> bool:
    with suppress(Unanswered):
        ground.site.console.post(f"/api/v1/emergencies/{emergency}/acknowledge", {})
        return True
    return False
