"""Headlights and the wiring on the glass: night without a reload, and a line that leaves the large buttons where they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect

from firmware_bridge.pins import Duress
from serving.server import http_server
from tests.patience import PATIENCE_MS
from tests.screens.screen_rig import an_assignment
from tests.screens.test_touchscreen_pins import WORKS, WiredRig

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


class Glass:
    """A terminal that serves its screen, and one page of it."""

    def __init__(self, rig: WiredRig, page: Page) -> None:
        self.rig, self.page = rig, page

    def theme(self) -> str:
        return str(self.page.evaluate("document.documentElement.dataset.theme ?? ''"))

    def until_theme(self, theme: str) -> None:
        expect(self.page.locator("html")).to_have_attribute("data-theme", theme)


@pytest.fixture
def glass(tmp_path: Path, chromium: Browser) -> Iterator[Glass]:
    rig = WiredRig(tmp_path / "car", real=True)
    rig.roster()
    rig.unit("available", an_assignment())
    server = http_server("127.0.0.1", 0, rig.app, threads=4, body_bytes_max=64 * 1024)
    server.prepare()
    thread = Thread(target=server.serve, daemon=True)
    thread.start()
    context = chromium.new_context(
        viewport={"width": 800, "height": 480},
        color_scheme="light",
        base_url=f"http://127.0.0.1:{server.bind_addr[1]}",
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield Glass(rig, page)
    context.close()
    server.stop()
    thread.join(5)
    rig.close()


def test_the_page_follows_the_headlights_without_a_reload_until_somebody_taps(glass: Glass) -> None:
    glass.rig.state = msgspec.structs.replace(WORKS, headlights=False)
    glass.page.goto("/")
    assert glass.theme() == "day"
    glass.rig.state = msgspec.structs.replace(WORKS, headlights=True)
    glass.until_theme("night")
    glass.page.click(".to-day")
    glass.until_theme("day")
    expect(glass.page.locator("#zone")).to_have_attribute("data-line-theme", "")
    glass.rig.state = msgspec.structs.replace(WORKS, headlights=False)
    glass.page.wait_for_timeout(1500)
    glass.rig.state = msgspec.structs.replace(WORKS, headlights=True)
    glass.page.wait_for_timeout(1500)
    assert glass.theme() == "day"


@pytest.mark.parametrize("duress", [Duress.BROKEN, Duress.STUCK, Duress.SIMULATED])
def test_the_line_about_the_button_fits_and_covers_nothing(glass: Glass, duress: Duress) -> None:
    glass.page.goto("/")
    expect(glass.page.locator("#strip-pins")).to_be_hidden()
    glass.rig.state = msgspec.structs.replace(WORKS, duress=duress)
    line = glass.page.locator("#strip-pins")
    expect(line).to_be_visible()
    assert line.evaluate(
        "each => each.scrollWidth <= each.clientWidth && each.lastChild.scrollWidth <= each.lastChild.clientWidth"
    )
    boxes = glass.page.evaluate(
        "[...document.querySelectorAll('#strip-pins, main, main button')].map(e => e.getBoundingClientRect().toJSON())"
    )
    line_box, main_box, *buttons = boxes
    assert line_box["bottom"] <= main_box["top"] + 0.5
    assert main_box["bottom"] <= 480.5
    assert all(box["height"] >= 63 for box in buttons)
