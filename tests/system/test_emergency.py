"""An emergency on the real programs: pressed on the touchscreen, seen and taken at the console, seen by the crew."""

from __future__ import annotations

import time

import pytest

from demo.web import Browser
from tests.system.site import VEHICLE, Site, until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("site")]


def phase(screen: Browser) -> dict[str, object]:
    return screen.json("/api/v1/state")["emergency"]


def raised(site: Site) -> list[dict[str, object]]:
    return site.snapshot()["emergencies"]


def test_from_the_press_to_the_acknowledgment_and_to_the_end(site: Site, figures: list[str]) -> None:
    screen = site.screen()
    began_s = time.monotonic()
    screen.submit("/emergency/raise", {})
    assert phase(screen)["phase"] in ("raised", "received")
    (shown,) = until("the emergency at the console", lambda: raised(site))
    seen_ms = (time.monotonic() - began_s) * 1000
    assert (shown["call_sign"], shown["is_drill"], shown["source"], shown["presses"]) == (VEHICLE, False, "screen", 1)
    assert [who["id"] for who in shown["crew"]] == [site.fleet.station(VEHICLE).staff]
    until("'received' on the terminal", lambda: phase(screen)["phase"] == "received")
    received_ms = (time.monotonic() - began_s) * 1000

    site.console.post(f"/api/v1/emergencies/{shown['id']}/acknowledge", {})
    taken_s = time.monotonic()
    until("'acknowledged' on the terminal", lambda: phase(screen)["phase"] == "acknowledged")
    acknowledged_ms = (time.monotonic() - taken_s) * 1000
    print(
        f"press to console {seen_ms:.0f} ms, press to 'dispatch has it' {received_ms:.0f} ms, "
        f"acknowledge to terminal {acknowledged_ms:.0f} ms"
    )
    (unit,) = [one for one in site.snapshot()["units"] if one["call_sign"] == VEHICLE]
    assert unit["is_in_emergency"]

    screen.submit("/emergency/ask-clear", {})
    until("the crew's wish at the console", lambda: raised(site)[0]["asked_ms"])
    site.console.post(
        f"/api/v1/emergencies/{shown['id']}/clear",
        {"contact": "the crew", "words": "all are well, a false step", "presses": 1},
    )
    until("nothing raised on the terminal", lambda: phase(screen)["phase"] == "none")
    assert raised(site) == []


def test_a_terminal_that_is_killed_after_the_press_is_still_in_emergency_when_it_is_back(site: Site) -> None:
    screen = site.screen()
    screen.submit("/emergency/raise", {})
    (shown,) = until("the emergency at the console", lambda: raised(site))
    site.children[VEHICLE].kill()
    site.restart(VEHICLE)
    screen = site.screen()
    assert phase(screen)["phase"] in ("raised", "received")
    screen.submit("/emergency/raise", {})
    until("the second press", lambda: raised(site)[0]["presses"] == 2)
    assert [one["id"] for one in raised(site)] == [shown["id"]]
    site.console.post(f"/api/v1/emergencies/{shown['id']}/acknowledge", {})
    site.console.post(f"/api/v1/emergencies/{shown['id']}/clear", {"contact": "crew", "words": "well", "presses": 2})
    until("nothing raised on the terminal", lambda: phase(screen)["phase"] == "none")
