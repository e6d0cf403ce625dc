"""The audit of a hub that runs, checked by its command against what a real desk was told."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from demo.web import Browser, Unanswered
from hub.store import DATABASE_FILE
from tests.system.site import Site, until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("site")]


def verify(home: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("tandem-hub")), "audit", "verify", "--home", str(home), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def told(desk: Browser) -> str | None:
    try:
        return str(desk.json("/api/v1/desk/audit-head")["head"])
    except Unanswered:
        return None


def test_it_is_checked_beside_the_running_hub_and_an_end_that_is_cut_off_is_found_by_what_the_desk_was_told(
    site: Site, tmp_path: Path
) -> None:
    held = until("the desk to be told", lambda: told(Browser(site.fleet.station("DESK-1").screen)))
    hub = site.home / "hub"
    until("its word at the hub", lambda: re.search(r"compared with [1-9]\d* heads", verify(hub).stdout))
    checked = verify(hub, "--head", held)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "every line follows from the one before" in checked.stdout

    shutil.copy(hub / "hub.toml", tmp_path)
    with (
        closing(sqlite3.connect(hub / DATABASE_FILE)) as running,
        closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as copy,
    ):
        running.backup(copy)
        copy.execute("delete from audit where seq >= ?", [int(held.split(":")[1])])
        copy.commit()
    falsified = verify(tmp_path)
    assert falsified.returncode == 1, falsified.stdout + falsified.stderr
    assert "its end was cut off" in falsified.stdout
    assert verify(hub, "--head", "no head").returncode == 2
