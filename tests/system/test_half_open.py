"""An emergency on a link that is dead without knowing it (F09, F28): it does not wait for the keep-alive."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

import pytest

from edge.link import KEEPALIVE_S
from tests.browser.cable import Cable
from tests.system.edge_site import Broker, Hub, Terminal, latest, until
from tests.terminal_fleet import TerminalFleet

pytestmark = pytest.mark.system


def test_a_press_on_a_half_open_link_is_heard_before_the_keep_alive_is_over(
    tmp_path: Path, report: Callable[[object], None]
) -> None:
    fleet = TerminalFleet()
    broker = Broker(tmp_path / "broker", fleet)
    broker.start()
    cable = Cable(broker.port)
    terminal = Terminal(tmp_path / "terminal", fleet, cable.port)
    hub = Hub(broker, fleet, terminal.who.key.public_key())
    try:
        hub.say_here(True)
        terminal.start()
        until("a birth", lambda: latest(hub.births))
        until("the hub on the screen", lambda: terminal.link()["hub"])
        page = f"http://127.0.0.1:{terminal.screen_port}"
        browser = build_opener(HTTPCookieProcessor(CookieJar()))
        csrf = json.load(browser.open(f"{page}/api/v1/state"))["csrf"]
        cable.swallow()
        pressed_s = time.monotonic()
        raising = Request(f"{page}/emergency/raise", data=urlencode({"csrf": csrf}).encode(), headers={"Origin": page})
        browser.open(raising).close()
        took_s = hub.alarms.get(timeout=120) - pressed_s
        report(f"half-open link: press to the hub {took_s:.1f} s")
        assert took_s < KEEPALIVE_S
    finally:
        terminal.kill()
        hub.stop()
        broker.kill()
