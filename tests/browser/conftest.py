"""A hub with a real clock behind a real server, and a headless Chromium before it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect, sync_playwright

from demo.city import draw_city
from hub import sessions
from hub.coverage import Reach, nobody
from hub.maps import import_map
from hub.web.app import BUILT
from serving.server import http_server
from tests.patience import PATIENCE_MS
from tests.screens.console_world import World, world

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGS = (
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)
DESK: ViewportSize = {"width": 1280, "height": 800}
# The page's own stopwatch, for what depends on how soon something comes: `clock.hold()`, `clock.pass(ms)`, `clock.go()`.
CLOCK = """(() => {
    const real = performance.now.bind(performance);
    let held = null;
    let behind = 0;
    performance.now = () => held ?? real() - behind;
    window.clock = {
        hold: () => { held ??= performance.now(); },
        pass: (ms) => { held += ms; },
        go: () => { behind = real() - held; held = null; },
    };
})()"""


@dataclass
class Served:
    """A hub and where it is served."""

    hub: World
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    assert (BUILT / "console.js").exists(), "build the pages first: npm ci --ignore-scripts && npm run build"
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def city_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an imported map with its addresses. It takes ten seconds: who uses it is of the group "city"."""
    home = tmp_path_factory.mktemp("city")
    draw_city(home / "city.osm.pbf", 1)
    import_map(home / "city.osm.pbf", home, None, lambda _said: None)
    return home


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as made:
        yield made


@contextmanager
def serving(home: Path, maps_dir: Path | None = None, reach: Reach = nobody) -> Iterator[Served]:
    """A hub of its own on a free port of the loopback."""
    with world(home, maps_dir=maps_dir, clock=lambda: round(time.time() * 1000), reach=reach) as hub:
        server = http_server("127.0.0.1", 0, hub.app, threads=12, body_bytes_max=64 * 1024)
        server.prepare()
        thread = Thread(target=server.serve, daemon=True)
        thread.start()
        try:
            yield Served(hub, server.bind_addr[1])
        finally:
            hub.board.stop()  # first: an open stream would keep its thread from ending
            server.stop()
            thread.join()


@pytest.fixture(scope="session")
def tab(chromium: Browser) -> Iterator[Page]:
    """One page for a process's tests of the console: another page for each costs more than what most of them do."""
    context = chromium.new_context(viewport=DESK, color_scheme="light")
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(CLOCK)
    yield context.new_page()
    context.close()


@pytest.fixture
def context(tab: Page) -> Iterator[BrowserContext]:
    """A browser that remembers nothing. What a hub of another port left in its storage is not of this test's origin."""
    tab.set_viewport_size(DESK)
    yield tab.context
    tab.context.set_offline(False)
    tab.unroute_all()
    tab.goto("about:blank")
    tab.context.clear_cookies()
    for page in tab.context.pages:
        if page is not tab:
            page.close()


def sign_in(context: BrowserContext, served: Served, account: str = "nina") -> Page:
    """The board as `account` sees it, its map drawn. The door itself is tried where it is the subject."""
    with served.hub.engine.begin() as connection:
        begun = sessions.begin(connection, account, round(time.time() * 1000))
    context.add_cookies([{"name": "tandem-console", "value": begun.token, "url": served.address}])
    page = context.pages[0]
    page.goto(served.address)
    page.wait_for_selector("[data-ready]")
    page.evaluate("document.fonts.ready")  # until then a line may still become higher
    page.locator(".bar .brand").click()  # a browser keeps a page silent until somebody has touched it
    return page
