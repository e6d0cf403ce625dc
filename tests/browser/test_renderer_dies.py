"""The glass dies with a finger on the button: what draws the pages is killed, and dispatch hears of the emergency (F29)."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from edge.settings import SETTINGS_FILE
from firmware_bridge import mock_pins
from tests.patience import PATIENCE_S
from tests.system.site import VEHICLE, Site, open_site, until

pytestmark = [pytest.mark.browser, pytest.mark.system, pytest.mark.xdist_group("browser")]

PINS = """
[pins]
factory = "mock"
duress = { gpio = 17, active = "low" }
lamp_emergency = { gpio = 5 }
lamp_link = { gpio = 6 }
"""
HELD_S = 3.0  # twice as long as a press must be held: the page dies within


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path / "home") as made:
        yield made


def test_a_press_reaches_dispatch_while_what_draws_the_screen_is_killed_under_it(site: Site, chromium: Browser) -> None:
    station = site.fleet.station(VEHICLE)
    board = site.home / station.folder
    site.children[VEHICLE].stop()
    with (board / SETTINGS_FILE).open("a") as settings:
        settings.write(PINS)
    site.restart(VEHICLE)
    site.screen()
    before = renderers(chromium)
    context = chromium.new_context(viewport={"width": 800, "height": 480})
    page = context.new_page()
    died: list[bool] = []
    page.on("crash", lambda _: died.append(True))
    page.goto(station.screen)
    page.wait_for_selector("main button")
    (drawing,) = renderers(chromium) - before

    mock_pins.send(board, mock_pins.Act(name="duress", is_active=True, for_s=HELD_S))
    os.kill(drawing, signal.SIGKILL)
    page.wait_for_timeout(500)
    assert died, "the page lives: nothing was tried"

    until("the emergency at dispatch", lambda: site.snapshot()["emergencies"])
    (raised,) = site.snapshot()["emergencies"]
    assert raised["source"] == "button"
    ledger = board / "ledger.db"
    until("its receipt", lambda: owed(ledger) == 0)
    before_ms = arrived_ms(site)
    until("positions that still arrive", lambda: arrived_ms(site) > before_ms)
    context.close()

    other = chromium.new_context(viewport={"width": 800, "height": 480})
    again = other.new_page()
    again.set_default_timeout(PATIENCE_S * 1000)
    again.goto(station.screen)  # as whoever watches over the kiosk's browser does
    again.wait_for_selector("[data-phase], .emergency, #strip-emergency")
    other.close()


def renderers(chromium: Browser) -> set[int]:
    """The processes that draw pages."""
    session = chromium.new_browser_cdp_session()
    try:
        processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
        return {one["id"] for one in processes if one["type"] == "renderer"}
    finally:
        session.detach()


def owed(ledger: Path) -> int:
    """How many records of the file no receipt covers."""
    with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as store:
        (count,) = store.execute("select next - 1 - through from log").fetchone()
    store.close()
    return int(count)


def arrived_ms(site: Site) -> int:
    """When the newest position of the vehicle came."""
    units = {str(unit["call_sign"]): unit for unit in site.snapshot()["units"]}
    position = units[VEHICLE].get("position")
    return int(position["arrived_ms"]) if isinstance(position, dict) else 0
