"""Two boards with one card's content: both notice, dispatch is told what to do, and no record of either is lost."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from demo.processes import Child
from demo.web import Browser
from tests.ports import free_port
from tests.soak.auditor import rows_of
from tests.system.site import VEHICLE, Site, open_site, until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("two-boards")]

SOON_S = 60.0  # each throws the other off, and both wait longer each time


@pytest.fixture
def site(tmp_path: Path, made_agency: Path) -> Iterator[Site]:
    if os.geteuid() != 0:
        pytest.skip("needs root: the second board has a boot id of its own, in a mount namespace")
    with open_site(tmp_path / "home", made_agency) as opened:
        yield opened


def second_board(site: Site) -> tuple[Child, Path, int]:
    """A copy of the vehicle's card in another board: another power-on, no receiver."""
    station = site.fleet.station(VEHICLE)
    ours, port = site.home / "copied", free_port()
    shutil.copytree(site.home / station.folder, ours, symlinks=True, ignore=lambda _, names: {"receiver"} & set(names))
    (ours / "terminal.toml").write_text(f'[screen]\nhost = "127.0.0.1"\nport = {port}\n')
    boot = site.home / "boot_id"
    boot.write_text(f"{uuid4()}\n")
    edge = Path(sys.executable).with_name("tandem-edge")
    run = f"mount --bind {boot} /proc/sys/kernel/random/boot_id && exec {edge} run --home {ours}"
    return (
        Child("copied", [str(shutil.which("unshare")), "-m", "sh", "-c", run], site.home / "logs" / "copied.log"),
        ours,
        port,
    )


def alarm(site: Site) -> dict[str, object] | None:
    raised = site.snapshot()["health"]["alarms"]  # type: ignore[call-overload]
    return next((one for one in raised if one["kind"] == "twin"), None)


def rows(file: Path, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
        return db.execute(sql).fetchall()


def is_all_there(site: Site, ledger: Path) -> Callable[[], bool]:
    """Whether every record of a board's ledger is at the hub, as one that counts or as one that stands apart."""

    def look() -> bool:
        hub = {
            data
            for (data,) in rows(site.home / "hub" / "hub.db", "select data from record union select data from stray")
        }
        try:
            said = rows_of(site.home, ledger, "select data from record")  # of a copy: its terminal lets nobody in
        except sqlite3.DatabaseError:
            return False  # copied in the middle of a checkpoint
        return {data for (data,) in said} <= hub

    return look


def is_twin(screen: Browser) -> bool:
    return bool(screen.json("/api/v1/state")["link"]["is_twin"])


def test_a_copied_card_is_noticed_by_all_and_costs_nobody_a_record(
    site: Site, report: Callable[[object], None]
) -> None:
    genuine = site.screen()
    child = site.children[VEHICLE]
    until("all received", lambda: genuine.json("/api/v1/state")["link"]["unsent"] == 0)
    child.stop()
    copied, ours, port = second_board(site)
    site.restart(VEHICLE)
    genuine = site.screen()
    for status in ("break", "available"):
        genuine.submit("/status", {"status": status})
    until("what the genuine board recorded", lambda: genuine.json("/api/v1/state")["link"]["unsent"] == 0)
    site.children.start(copied)
    began_s = time.monotonic()
    said = until("the alarm", lambda: alarm(site), SOON_S)
    assert "Two boards speak as CARE-1" in str(said["text"])
    assert "takes its card out" in str(said["what_to_do"])
    report(f"two boards: alarm {time.monotonic() - began_s:.1f} s after the copy was started")
    other = Browser(f"http://127.0.0.1:{port}")
    other.csrf = str(other.json("/api/v1/state")["csrf"])
    for screen, status in ((other, "break"), (genuine, "break"), (other, "out_of_service"), (genuine, "available")):
        screen.submit("/status", {"status": status})
        time.sleep(1.0)
    until("both screens to say it", lambda: is_twin(genuine) and is_twin(other), SOON_S)
    page = genuine.get("/")
    assert re.search("Another board uses this terminal(&#39;|')s identity", page)
    copied.stop()
    until(
        "the genuine board's", is_all_there(site, site.home / site.fleet.station(VEHICLE).folder / "ledger.db"), SOON_S
    )
    until("nothing unsent on it", lambda: genuine.json("/api/v1/state")["link"]["unsent"] == 0, SOON_S)
    child.stop()
    copied.start()
    copied.wait_ready()
    until("the copy's, standing apart", is_all_there(site, ours / "ledger.db"), SOON_S)
    assert other.json("/api/v1/state")["link"]["unsent"] > 0  # nothing of it is called received
    hub = site.home / "hub" / "hub.db"
    twice = rows(hub, "select device, log_id, seq, count(*) from record group by 1, 2, 3 having count(*) > 1")
    apart = rows(hub, "select data from stray intersect select data from record")
    assert (twice, apart) == ([], [])
    counts = rows(hub, "select (select count(*) from stray), (select count(distinct boot) from twin)")
    report(f"two boards: {counts[0][0]} records stand apart, {counts[0][1]} power-ons flagged")
