"""An emergency on the real programs: pressed on the touchscreen, seen and taken at the console, seen by the crew."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

import pytest

from demo.web import Browser, Json
from edge.main import LEDGER_FILE
from tests.system.site import VEHICLE, Site, until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("site")]


def phase(screen: Browser) -> str:
    state = screen.json("/api/v1/state")
    screen.csrf = state["csrf"]
    return str(state["emergency"]["phase"])


def raised(site: Site) -> list[Json]:
    return site.snapshot()["emergencies"]


def take_and_clear(site: Site, screen: Browser) -> None:
    (one,) = raised(site)
    at = f"/api/v1/emergencies/{one['id']}"
    site.console.post(f"{at}/acknowledge", {})
    until("'acknowledged' on the terminal", lambda: phase(screen) == "acknowledged")
    site.console.post(f"{at}/clear", {"contact": "crew", "words": "all are well", "presses": one["presses"]})
    until("nothing raised on the terminal", lambda: phase(screen) == "none")
    assert raised(site) == []


def test_from_the_press_to_the_acknowledgment_and_to_the_end(site: Site, report: Callable[[object], None]) -> None:
    screen = site.screen()
    began_s = time.monotonic()
    screen.submit("/emergency/raise", {})
    (shown,) = until("the emergency at the console", lambda: raised(site))
    seen_ms = (time.monotonic() - began_s) * 1000
    assert (shown["call_sign"], shown["is_drill"], shown["source"], shown["presses"]) == (VEHICLE, False, "screen", 1)
    assert [who["id"] for who in shown["crew"]] == [site.fleet.station(VEHICLE).staff]
    until("'received' on the terminal", lambda: phase(screen) == "received")
    received_ms = (time.monotonic() - began_s) * 1000

    taken_s = time.monotonic()
    site.console.post(f"/api/v1/emergencies/{shown['id']}/acknowledge", {})
    until("'acknowledged' on the terminal", lambda: phase(screen) == "acknowledged")
    report(
        f"emergency: press to console {seen_ms:.0f} ms, to 'dispatch has it' in the cab {received_ms:.0f} ms; "
        f"acknowledge to the cab {(time.monotonic() - taken_s) * 1000:.0f} ms"
    )
    (unit,) = [one for one in site.snapshot()["units"] if one["call_sign"] == VEHICLE]
    assert unit["is_in_emergency"]
    screen.submit("/emergency/ask-clear", {})
    until("the crew's wish at the console", lambda: raised(site)[0]["asked_ms"])
    assert phase(screen) == "acknowledged"
    take_and_clear(site, screen)


def test_a_terminal_that_is_killed_after_the_press_is_still_in_emergency_when_it_is_back(site: Site) -> None:
    screen = site.screen()
    screen.submit("/emergency/raise", {})
    (shown,) = until("the emergency at the console", lambda: raised(site))
    site.children[VEHICLE].kill()
    site.restart(VEHICLE)
    screen = site.screen()
    assert phase(screen) in ("raised", "received")
    screen.submit("/emergency/raise", {})
    until("the second press", lambda: raised(site)[0]["presses"] == 2)
    assert [one["id"] for one in raised(site)] == [shown["id"]]
    take_and_clear(site, screen)


def test_one_raised_while_the_hub_is_away_is_there_as_soon_as_it_is_back(site: Site) -> None:
    screen = site.screen()
    site.children["hub"].kill()
    try:
        for status in ("break", "available", "break", "available"):
            screen.submit("/status", {"status": status})
        screen.submit("/emergency/raise", {})
        assert phase(screen) == "raised"
    finally:
        site.restart("hub")
    (shown,) = until("the emergency at the console", lambda: raised(site), 60.0)
    assert shown["presses"] == 1
    until("'received' on the terminal", lambda: phase(screen) == "received")
    take_and_clear(site, screen)


def test_a_terminal_whose_disk_refuses_lets_it_out_and_saves_it_afterwards(site: Site) -> None:
    ledger = site.home / site.fleet.station(VEHICLE).folder / LEDGER_FILE
    site.children[VEHICLE].stop()
    with sqlite3.connect(ledger, isolation_level=None) as stranger:
        stranger.execute("begin exclusive")  # once a terminal has its file nobody else gets it
        try:
            site.restart(VEHICLE)
            screen = Browser(site.fleet.station(VEHICLE).screen)  # nobody can sign on either
            screen.csrf = screen.json("/api/v1/state")["csrf"]
            screen.submit("/emergency/raise", {})
            (shown,) = until("the emergency at the console", lambda: raised(site))
            until("'received' on the terminal", lambda: phase(screen) == "received")
        finally:
            stranger.execute("rollback")
    stranger.close()
    assert (shown["call_sign"], shown["presses"]) == (VEHICLE, 1)
    until("it to save", lambda: screen.json("/api/v1/state")["saving"]["is_saving"])
    take_and_clear(site, screen)
