"""Any process may be killed at any moment: nothing that was shown as saved is lost, nothing appears twice."""

from __future__ import annotations

import random
import sqlite3
import time

import pytest

from demo.web import Browser, Json, Unanswered
from tests.system.site import VEHICLE, Site, until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("site")]

KILLS = 8


def test_what_the_screen_took_reaches_the_hub_once_whichever_process_dies(site: Site) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    unit = next(u["unit"] for u in site.snapshot()["units"] if u["call_sign"] == VEHICLE)
    now = _state(site.screen())["status"]
    until("the hub to know what the terminal knows", lambda: (_statuses(site, str(unit)) or [""])[-1] == now)
    before = len(_statuses(site, str(unit)))
    taken: list[str] = []
    for _ in range(KILLS):
        screen = site.screen()
        for _ in range(rng.randrange(1, 4)):
            now = "break" if now == "available" else "available"
            screen.submit("/status", {"status": now})
            taken.append(now)
        time.sleep(rng.uniform(0, 0.2))
        victim = rng.choice([VEHICLE, VEHICLE, "hub"])
        site.children[victim].kill()
        site.restart(victim)
    until("all of them at the hub", lambda: len(_statuses(site, str(unit))) >= before + len(taken), 60.0)
    time.sleep(2.0)
    assert _statuses(site, str(unit))[before:] == taken
    numbers = _numbers(site)
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in numbers.values())


def test_with_the_hub_away_the_terminal_works_on_and_says_what_it_owes(site: Site) -> None:
    screen = site.screen()
    site.children["hub"].kill()
    try:
        until("'link down' on the screen", lambda: _state(screen)["link"]["link"] == "down")
        now = _state(screen)["status"]
        for status in ("available", "break") if now == "break" else ("break", "available"):
            screen.submit("/status", {"status": status})
        link = _state(screen)["link"]
        assert link["unsent"] >= 2 and link["oldest_ms"] is not None
        assert "unsent" in screen.get("/")
    finally:
        site.restart("hub")
    until("nothing owed", lambda: _state(screen)["link"]["unsent"] == 0, 60.0)


def _state(screen: Browser) -> Json:
    try:
        state = screen.json("/api/v1/state")
    except Unanswered:
        return {"link": {}}
    screen.csrf = state["csrf"]
    return state


def _statuses(site: Site, unit: str) -> list[str]:
    rows = _asked(site, "select status from status_history where unit = ? and by = 'crew' order by id", unit)
    return [str(row[0]) for row in rows]


def _numbers(site: Site) -> dict[tuple[object, object], list[object]]:
    logs: dict[tuple[object, object], list[object]] = {}
    for device, log_id, seq in _asked(site, "select device, log_id, seq from record order by id"):
        logs.setdefault((device, log_id), []).append(seq)
    return logs


def _asked(site: Site, question: str, *values: str) -> list[tuple[object, ...]]:
    """Read the hub's store from outside: a test may, because it only looks."""
    store = sqlite3.connect(f"file:{site.home / 'hub' / 'hub.db'}?mode=ro", uri=True, timeout=10)
    try:
        return store.execute(question, values).fetchall()
    finally:
        store.close()
