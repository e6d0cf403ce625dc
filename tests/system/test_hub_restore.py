"""A hub of yesterday: what terminals hold comes back, what only the hub knew is lost and said so, nothing stays a ghost.

The real programs throughout. "Yesterday" is the moment of the backup; what follows it is the lost future.
"""

from __future__ import annotations

import secrets
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from demo.processes import program, run
from demo.story import sign_in
from demo.web import Browser, Json
from tests.patience import PATIENCE_S
from tests.system.site import Site, open_site, until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("restore")]

PLACE = {"lat": 41.5, "lon": -83.2}
BACK_S = 120.0  # until everybody is back on a busy machine; a terminal waits up to 60 s before it tries again


@pytest.fixture
def agency(tmp_path: Path, made_agency: Path) -> Iterator[Site]:
    with open_site(tmp_path / "home", made_agency) as site:
        yield site


def test_a_hub_of_yesterday_gets_back_what_terminals_hold_and_they_drop_what_it_forgot(agency: Site) -> None:
    one, two = agency.screen("CARE-1"), agency.screen("CARE-2")
    kept = _send(agency, "CARE-1")
    until("the assignment on the first touchscreen", lambda: _shown(one) == kept)
    _press(one, "acknowledged", kept)
    until("the hub to know it", lambda: _unit(agency, "CARE-1")["status"] == "acknowledged")
    epoch = _epoch(agency)

    backup = _back_up(agency)

    for status in ("en_route", "on_scene"):
        _press(one, status, kept)
    note = _write(one)
    ghost = _send(agency, "CARE-2")
    until("the ghost on the second touchscreen", lambda: _shown(two) == ghost)
    _press(two, "acknowledged", ghost)
    until("nothing owed", lambda: _owes(one) == 0 and _owes(two) == 0)
    until("the note at the hub", lambda: note in _notes(agency))
    held = _highest(agency)

    told = _restore(agency, backup)
    assert "Lost is what only the hub knew" in told and "before-restore" in told
    assert note not in _notes_on_disk(agency)
    watch = _Watch(one)
    agency.restart("hub")
    agency.console = sign_in(agency.fleet.console, agency.fleet.login("supervisor"))

    until("every record again", lambda: _covers(_highest(agency), held), BACK_S)
    until("the ghost gone from the touchscreen", lambda: _shown(two) is None, BACK_S)
    until("nothing owed", lambda: _owes(one) == 0 and _owes(two) == 0, BACK_S)
    until("what the terminal did since", lambda: _unit(agency, "CARE-1")["status"] == "on_scene")
    until("the newest state held", lambda: _unconfirmed(agency) == [], BACK_S)
    assert _shown(one) == kept
    assert watch.statuses() == {"on_scene"}, "the crew's own press jumped back"
    assert note in _notes(agency)
    assert _epoch(agency) > epoch
    assert _incidents(agency) == {kept}
    assert _asked(agency, "select first, last from gap") == []
    assert [alarm["kind"] for alarm in _alarms(agency)] == ["restored"]
    for seqs in _numbers(agency).values():
        assert seqs == list(range(1, len(seqs) + 1))
    assert "restored" in _audited(agency)

    again = _send(agency, "CARE-2")
    until("a new assignment after the restore", lambda: _shown(two) == again)
    _press(two, "acknowledged", again)
    until("'acknowledged' at the console", lambda: _unit(agency, "CARE-2")["status"] == "acknowledged")


@pytest.mark.proof
def test_what_nobody_holds_any_more_is_a_gap_with_an_alarm_and_the_same_backup_serves_twice(agency: Site) -> None:
    one = agency.screen("CARE-1")
    until("nothing owed", lambda: _owes(one) == 0)
    backup = _back_up(agency)
    for status in ("break", "available", "break"):
        _press(one, status, None)
    until("nothing owed", lambda: _owes(one) == 0)
    device = agency.fleet.station("CARE-1").device
    ledger = agency.home / agency.fleet.station("CARE-1").folder / "ledger.db"

    _restore(agency, backup)
    agency.children["CARE-1"].stop()
    with closing(sqlite3.connect(ledger)) as file:  # what 72 hours without the hub would have done
        (last,) = file.execute("select max(seq) from record").fetchone()
        file.execute("delete from record where seq < ?", [last])
        file.commit()
    agency.restart("CARE-1")
    agency.restart("hub")
    agency.console = sign_in(agency.fleet.console, agency.fleet.login("supervisor"))
    until("the gap", lambda: _asked(agency, "select first, last from gap"), BACK_S)
    until("the rest of the log", lambda: last in _numbers_of(agency, device), BACK_S)
    ((first, gone),) = _asked(agency, "select first, last from gap")
    assert gone == last - 1
    count = int(str(gone)) - int(str(first)) + 1
    alarm = until("the alarm", lambda: next((one for one in _alarms(agency) if one["kind"] == "gap"), None))
    assert alarm["text"] == f"{count} records of CARE-1 are held by nobody any more"
    assert alarm["what_to_do"]
    first_life = _epoch(agency)

    _restore(agency, backup)
    agency.restart("hub")
    agency.console = sign_in(agency.fleet.console, agency.fleet.login("supervisor"))
    until("the rest of the log again", lambda: last in _numbers_of(agency, device), BACK_S)
    assert _epoch(agency) > first_life
    screen = agency.screen("CARE-1")
    _press(screen, "available", None)
    until("a press after it", lambda: _unit(agency, "CARE-1")["status"] == "available", BACK_S)


@pytest.mark.proof
def test_while_the_hub_serves_it_makes_the_backup_itself_and_a_second_hub_is_refused(agency: Site) -> None:
    hub = agency.home / "hub"
    for _ in range(3):
        _back_up(agency)
        second = subprocess.run(
            [program("tandem-hub"), "serve", "--home", str(hub)], capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert second.returncode == 2
        assert second.stderr.splitlines()[-1] == f"tandem-hub: another tandem-hub is using {hub}; stop it first"
    asking = subprocess.Popen(
        [program("tandem-hub"), "backup", "--home", str(hub), "--out", str(agency.home / "twice")],
        stdout=subprocess.DEVNULL,
    )
    restore = subprocess.run(
        [program("tandem-hub"), "restore", str(agency.home / "x"), "--home", str(hub)], capture_output=True, text=True
    )
    asking.wait(60)
    assert (restore.returncode, restore.stderr.count("\n")) == (2, 1)
    assert "another tandem-hub is using" in restore.stderr
    (about,) = {row[0] for row in _asked(agency, "select actor from audit where what = 'backup_made'")}
    assert about is not None


class _Watch:
    """Looks at a touchscreen as fast as it answers, from a thread of its own."""

    def __init__(self, screen: Browser) -> None:
        self._screen, self._seen, self._is_over = screen, set[str](), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def statuses(self) -> set[str]:
        self._is_over.set()
        self._thread.join(10)
        return self._seen

    def _look(self) -> None:
        while not self._is_over.wait(0.01):
            self._seen.add(str(self._screen.json("/api/v1/state")["status"]))


def _back_up(site: Site) -> Path:
    file = site.home / f"{secrets.token_hex(4)}.tandem-backup"
    run("tandem-hub", "backup", "--home", str(site.home / "hub"), "--out", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    return file


def _restore(site: Site, backup: Path) -> str:
    site.children["hub"].stop()
    time.sleep(1.1)  # the folder moved aside is named by the second
    return run("tandem-hub", "restore", str(backup), "--home", str(site.home / "hub")).answer


def _send(site: Site, call_sign: str) -> str:
    """A new incident with this unit sent to it; its id, which is the assignment's as well."""
    console = sign_in(site.fleet.console, site.fleet.login("dispatcher"))
    name = f"i-{secrets.token_hex(6)}"
    unit = next(u["unit"] for u in console.json("/api/v1/snapshot")["units"] if u["call_sign"] == call_sign)
    console.post(
        "/api/v1/incidents",
        {
            "id": name,
            "type": "MNTL",
            "priority": 2,
            **PLACE,
            "place": "By the fountain",
            "problem": "Has not slept",
            "cautions": [],
            "need": {"skills": [], "languages": []},
        },
    )
    ranking = console.post(f"/api/v1/incidents/{name}/ranking", {})
    sent = {"id": name, "unit": unit, "ranking": ranking["ranking"], "reason": "a test"}
    console.post(f"/api/v1/incidents/{name}/assignments", sent)
    return name


def _press(screen: Browser, status: str, assignment: str | None) -> None:
    _state(screen)
    screen.submit("/status", {"status": status, **({"assignment": assignment} if assignment else {})})


def _write(screen: Browser) -> str:
    before = {note["id"] for note in _state(screen)["notes"]}
    screen.submit("/note", {"encounter": secrets.token_hex(16)})
    note = next(n["id"] for n in _state(screen)["notes"] if n["id"] not in before)
    fields = {"text": "Calmer now", "contact": "Neighbor", "disposition": "", "recommended": ""}
    screen.submit(f"/note/{note}/draft", fields)
    screen.submit(f"/note/{note}/finalize", {**fields, "confirm": "yes"})
    return str(note)


def _state(screen: Browser) -> Json:
    state = screen.json("/api/v1/state")
    screen.csrf = state["csrf"]
    return state


def _shown(screen: Browser) -> str | None:
    shown = _state(screen)["assignment"]
    return None if shown is None else str(shown["id"])


def _owes(screen: Browser) -> int:
    return int(_state(screen)["link"]["unsent"])


def _unit(site: Site, call_sign: str) -> Json:
    return next(u for u in site.snapshot()["units"] if u["call_sign"] == call_sign)


def _notes(site: Site) -> set[str]:
    return {str(note["id"]) for note in site.snapshot()["notes"]}


def _notes_on_disk(site: Site) -> set[str]:
    return {bytes(row[0]).hex() for row in _asked(site, "select note_id from note")}  # type: ignore[arg-type]


def _incidents(site: Site) -> set[str]:
    return {str(incident["id"]) for incident in site.snapshot()["incidents"]}


def _alarms(site: Site) -> list[Json]:
    return list(site.console.json("/api/v1/health")["alarms"])


def _epoch(site: Site) -> int:
    rows = _asked(site, "select value from hub_fact where name = 'epoch'")
    return int(str(rows[0][0])) if rows else 1


def _highest(site: Site) -> dict[object, int]:
    return {row[0]: int(str(row[1])) for row in _asked(site, "select log_id, through from log")}


def _covers(now: dict[object, int], before: dict[object, int]) -> bool:
    return all(now.get(log, 0) >= through for log, through in before.items())


def _unconfirmed(site: Site) -> list[tuple[object, ...]]:
    return _asked(site, "select device, section from desired where held_epoch != epoch or held_n != n")


def _audited(site: Site) -> list[str]:
    return [str(row[0]) for row in _asked(site, "select what from audit order by seq")]


def _numbers(site: Site) -> dict[object, list[int]]:
    logs: dict[object, list[int]] = {}
    for log_id, seq in _asked(site, "select log_id, seq from record order by id"):
        logs.setdefault(log_id, []).append(int(str(seq)))
    return logs


def _numbers_of(site: Site, device: str) -> set[int]:
    rows = _asked(
        site,
        "select seq from record join log using (device, log_id) where device = ? and name = 'ledger'",
        device,
    )
    return {int(str(row[0])) for row in rows}


def _asked(site: Site, question: str, *values: str) -> list[tuple[object, ...]]:
    """Read the hub's store from outside: a test may, because it only looks."""
    store = sqlite3.connect(f"file:{site.home / 'hub' / 'hub.db'}?mode=ro", uri=True, timeout=PATIENCE_S)
    try:
        return store.execute(question, values).fetchall()
    finally:
        store.close()
