"""The glass dies with a finger on the button: what draws the pages is killed, and dispatch hears of the emergency (F29)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from demo.web import Browser as Console
from tests.browser.conftest import CHROMIUM, CHROMIUM_ARGS
from tests.patience import PATIENCE_MS
from tests.soak.agency import open_agency, until
from tests.soak.crew import Crew
from tests.soak.ground import Ground
from tests.soak.rows.air import Terminal

pytestmark = [pytest.mark.browser, pytest.mark.system, pytest.mark.xdist_group("browser")]

SIZE = {"width": 800, "height": 480}
DIES_MS = 1000  # the button is held longer than that


class Cab:
    """A vehicle at work, what its dispatcher sees, and the browser on its glass."""

    def __init__(self, terminal: Terminal, crew: Crew, console: Console, chromium: Browser) -> None:
        self.terminal, self.crew, self.console = terminal, crew, console
        self._chromium = chromium

    def glass(self) -> Page:
        """A page of its own that shows the screen."""
        page = self._chromium.new_context(viewport=SIZE).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"http://127.0.0.1:{self.terminal.board.screen_port}/")
        page.wait_for_selector("main button")
        return page

    def renderers(self) -> set[int]:
        """The processes that draw pages."""
        session = self._chromium.new_browser_cdp_session()
        try:
            processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
            return {int(one["id"]) for one in processes if one["type"] == "renderer"}
        finally:
            session.detach()

    def raised(self) -> list[dict[str, object]]:
        return list(self.console.json("/api/v1/snapshot")["emergencies"])

    def arrived_ms(self) -> int:
        """When the newest position came to the hub."""
        (unit,) = self.console.json("/api/v1/snapshot")["units"]
        position = unit.get("position")
        return int(position["arrived_ms"]) if position else 0


@pytest.fixture
def cab(tmp_path: Path, chromium: Browser) -> Iterator[Cab]:
    ground = Ground(scale="quick", scratch=tmp_path, seed=1)
    with open_agency(ground.folder("agency"), 1) as agency:
        terminal = Terminal(agency.boards[0], (), lambda act: act())
        try:
            until("a link", terminal.linked)
            until("its unit", lambda: terminal.state()["call_sign"])
            crew = Crew(terminal.board, agency.saved, ground.chance("crew"))
            crew.begin()
            crew.press()
            kiosk = chromium.browser_type.launch(
                executable_path=CHROMIUM, args=CHROMIUM_ARGS
            )  # whose pages all may die
            yield Cab(terminal, crew, agency.console(), kiosk)
            kiosk.close()
        finally:
            terminal.close()


def test_a_press_reaches_dispatch_while_what_draws_the_screen_is_killed_under_it(cab: Cab) -> None:
    page = cab.glass()
    died: list[bool] = []
    page.on("crash", lambda _: died.append(True))

    cab.terminal.press_button()
    page.wait_for_timeout(DIES_MS)
    for drawing in cab.renderers():
        os.kill(drawing, signal.SIGKILL)
    (raised,) = until("the emergency at dispatch", cab.raised)
    assert raised["source"] == "button"
    until("the lamp's answer", lambda: cab.terminal.phase() == "received")
    page.context.close()
    assert died, "the page lived on: nothing was tried"

    cab.crew.press()  # whoever has a screen of their own: the outbox goes on
    until("nothing owed", lambda: cab.terminal.owes() == 0)
    at_ms = cab.arrived_ms()
    until("positions that still arrive", lambda: cab.arrived_ms() > at_ms)
    again = cab.glass()  # as whatever watches over the browser does
    again.context.close()
