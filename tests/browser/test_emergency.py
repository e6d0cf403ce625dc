"""An emergency in real browsers: nobody overlooks it at the console, and a thumb raises it in the cab without a sound."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from edge.emergency_state import Phase
from edge.link import Message
from hub import presses
from hub.presses import Press
from serving.server import http_server
from tests.browser.accessibility import wrong_at_the_console, wrong_on_the_glass
from tests.browser.conftest import Served, sign_in
from tests.patience import PATIENCE_MS
from tests.screens.screen_rig import ScreenRig, an_assignment
from wire import topics
from wire.codec import decode, encode
from wire.facts import EmergencyFact
from wire.stamp import Stamp
from wire.state import Emergencies, HeardPress, KnownEmergency, Version, seal_snapshot
from wire.topics import State

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SIZES = ((800, 480), (1280, 800))


# --- the console


def press(served: Served, unit: str = "u1", mono_ms: int = 900, id_: bytes = b"\xee" * 16, **more: object) -> None:
    now_ms = round(time.time() * 1000)
    fact = EmergencyFact(id=id_, source="button", mono_ms=mono_ms, unit=unit, staff=("dana", "theo"), **more)  # type: ignore[arg-type]
    stamp = Stamp(boot=b"b" * 16, mono_ms=1000, wall_ms=now_ms, quality="gps")
    with served.hub.engine.begin() as connection:
        presses.fold(connection, Press(device=f"d-{unit}", stamp=stamp, fact=fact, held_ms=now_ms))
    served.hub.board.changed()


def test_it_stands_over_everything_and_rings_until_somebody_takes_it_and_ends_with_words(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    pin = page.locator(".incident-pin").first
    before = pin.bounding_box()
    assert before is not None
    press(served)
    banner = page.locator(".emergency")
    expect(banner).to_contain_text("EMERGENCY CARE-1")
    expect(banner).to_contain_text("Alder, Larch")
    expect(page.locator("body")).to_have_attribute("data-ringing", "emergency")
    expect(page).to_have_title("EMERGENCY CARE-1 · Lakeshore CARE")
    expect(page.locator(".unit-marker[data-unit='u1']")).to_have_attribute("data-danger", "raised")
    page.wait_for_timeout(500)
    assert pin.bounding_box() == before  # the streets stay under the pointer

    press(served, mono_ms=950)
    expect(banner).to_contain_text("pressed 2 times")
    page.keyboard.press("Alt+e")
    expect(banner.get_by_role("button", name="Acknowledge")).to_be_focused()
    page.keyboard.press("Enter")
    expect(banner).to_contain_text("Acknowledged")
    expect(banner).to_contain_text("Nina")
    expect(page.locator("body")).to_have_attribute("data-ringing", "")

    banner.get_by_role("button", name="Clear…").click()
    end = banner.get_by_role("button", name="Clear emergency")
    expect(end).to_be_disabled()
    banner.get_by_label("Voice contact with").fill("Alder")
    banner.get_by_label("What they said").fill("knee against the button, all well")
    press(served, mono_ms=990)
    expect(banner).to_contain_text("pressed 3 times")
    end.click()
    expect(banner).to_contain_text("They have pressed again")
    banner.get_by_role("button", name="Not yet").click()
    banner.get_by_role("button", name="Clear…").click()
    banner.get_by_label("Voice contact with").fill("Alder")
    banner.get_by_label("What they said").fill("all well, twice")
    end.click()
    expect(banner).to_have_count(0)
    expect(page.locator(".unit-marker[data-unit='u1']")).to_have_attribute("data-danger", "")


IN_THE_MIDDLE = """() => {
    const [marker, pane] = [".unit-marker[data-unit='u2']", ".map-pane"].map((one) => {
        const box = document.querySelector(one).getBoundingClientRect();
        return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    });
    return Math.abs(marker.x - pane.x) < 40 && Math.abs(marker.y - pane.y) < 40;
}"""


def test_the_map_goes_there_when_somebody_asks(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    press(served, unit="u2")  # it stands: a marker that drives on would leave the middle again
    page.locator(".emergency .place").click()
    page.wait_for_function(IN_THE_MIDDLE)


def test_the_map_goes_there_although_the_next_emergency_pushes_it_down_on_the_way(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    press(served, unit="u2")
    expect(page.locator(".emergency")).to_have_count(1)
    page.evaluate("clock.hold()")  # the way there takes as long as we like
    page.locator(".emergency .place").click()
    press(served, unit="u6", id_=b"\xdd" * 16)
    expect(page.locator(".emergency")).to_have_count(2)
    page.wait_for_timeout(500)  # the map has its new size
    assert not page.evaluate(IN_THE_MIDDLE)
    page.evaluate("clock.go()")
    page.wait_for_function(IN_THE_MIDDLE)


def test_a_test_looks_like_one_and_rings_softly(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    press(served, drill=True)
    banner = page.locator(".emergency")
    expect(banner).to_contain_text("TEST CARE-1")
    expect(page.locator("body")).to_have_attribute("data-ringing", "test")
    expect(page.locator(".unit-marker[data-unit='u1']")).to_have_attribute("data-danger", "test")
    banner.get_by_role("button", name="Acknowledge").click()
    banner.get_by_role("button", name="Clear test").click()
    expect(banner).to_have_count(0)


def test_a_browser_that_keeps_the_page_silent_is_named_before_and_during(chromium: Browser, served: Served) -> None:
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.add_init_script(
        "window.AudioContext = class { state = 'suspended'; addEventListener(_, f) { this.f = f; }"
        " resume() { this.state = 'running'; this.f(); return Promise.resolve(); } createOscillator() { throw 1; } };"
    )
    begun = served.hub.signed_in("nina")
    cookie = begun.client.get_cookie("tandem-console")
    assert cookie is not None
    context.add_cookies([{"name": "tandem-console", "value": cookie.value, "url": served.address}])
    page.goto(served.address)
    expect(page.locator(".health")).to_contain_text("Alarm sound off")
    press(served)
    expect(page.locator(".unheard")).to_contain_text("keeps the alarm silent")
    page.locator(".unheard").click()
    expect(page.locator(".unheard")).to_have_count(0)
    expect(page.locator(".health")).not_to_contain_text("Alarm sound off")
    context.close()


def test_nobody_is_shut_out_of_it(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    press(served, incident="i1")
    press(served, "u6", id_=b"\xdd" * 16, drill=True)
    expect(page.locator(".emergency")).to_have_count(2)
    assert wrong_at_the_console(page) == []
    for button in ("Acknowledge", "Acknowledge"):
        page.get_by_role("button", name=button).first.click()
        page.wait_for_timeout(300)
    page.get_by_role("button", name="Clear…").click()
    assert wrong_at_the_console(page) == []
    for width in (1920, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# --- the cab


class Glass(NamedTuple):
    rig: ScreenRig
    url: str


@pytest.fixture
def glass(tmp_path: Path) -> Iterator[Glass]:
    rig = ScreenRig(tmp_path / "car", real=True)
    rig.roster()
    rig.unit("transporting", an_assignment())
    server = http_server("127.0.0.1", 0, rig.app, threads=6, body_bytes_max=64 * 1024)
    server.prepare()
    serving = Thread(target=server.serve, daemon=True)
    serving.start()
    yield Glass(rig, f"http://127.0.0.1:{server.bind_addr[1]}")
    server.stop()
    serving.join(5)
    rig.close()


def screen(chromium: Browser, glass: Glass, script: bool = True) -> Page:
    context = chromium.new_context(
        viewport={"width": 800, "height": 480}, color_scheme="dark", base_url=glass.url, java_script_enabled=script
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    return page


def dispatch_says(rig: ScreenRig, n: int, **more: object) -> None:
    (record,) = rig.records("emergency")
    fact = decode(record.body, EmergencyFact)
    one = KnownEmergency(id=fact.id, heard=(HeardPress(record.stamp.boot, fact.mono_ms),), received_ms=5, **more)  # type: ignore[arg-type]
    content = encode(Emergencies(emergencies=(one,)))
    data = seal_snapshot(
        rig.who.device, "emergency", Version(1, n), content, rig.who.kem.public_key(), rig.fleet.snapshot
    )
    rig.emergency.heard(Message(topics.text(State(rig.who.device, "emergency")), data))


def test_a_tap_and_a_second_one_raise_it_and_the_corner_says_how_far_it_came(chromium: Browser, glass: Glass) -> None:
    page = screen(chromium, glass)
    page.goto("/")
    corner = page.locator("#duress")
    spot = corner.bounding_box()
    corner.click()
    assert spot is not None
    page.mouse.click(spot["x"] + 20, spot["y"] + 20)  # the same thumb again: no button there
    page.wait_for_timeout(300)
    assert glass.rig.emergency.phase() is Phase.NONE
    page.get_by_role("button", name="Raise emergency").click()
    expect(corner).to_contain_text("Emergency raised")
    page.locator("#duress-dialog").get_by_text("Close").click()
    assert len(glass.rig.records("emergency")) == 1
    dispatch_says(glass.rig, 1)
    expect(corner).to_contain_text("Dispatch has it")
    dispatch_says(glass.rig, 2, acknowledged_ms=6, by="Nina")
    expect(corner).to_contain_text("Acknowledged by dispatch")
    dispatch_says(glass.rig, 3, acknowledged_ms=6, by="Nina", cleared_ms=7)
    expect(corner).to_have_text("Emergency")
    page.context.close()


def test_a_long_hold_of_the_corner_raises_it_and_a_short_one_only_opens_the_panel(
    chromium: Browser, glass: Glass
) -> None:
    page = screen(chromium, glass)
    page.goto("/sign-on")
    box = page.locator("#duress").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.wait_for_timeout(600)
    page.mouse.up()
    expect(page.locator("#duress-dialog")).to_be_visible()
    assert glass.rig.emergency.phase() is Phase.NONE
    page.locator("#duress-dialog").get_by_text("Not now").click()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.wait_for_timeout(2000)
    page.mouse.up()
    expect(page.locator("#duress")).to_contain_text("Emergency raised")
    expect(page.locator("#duress-dialog")).to_be_hidden()
    page.context.close()


def test_a_page_from_before_a_restart_raises_it_all_the_same(chromium: Browser, glass: Glass) -> None:
    page = screen(chromium, glass)
    page.goto("/")
    page.locator("#duress").click()
    page.context.clear_cookies()  # what a restart does to a session
    page.get_by_role("button", name="Raise emergency").click()
    expect(page.locator("#duress")).to_contain_text("Emergency raised")
    page.context.close()


def test_it_is_raised_without_a_script(chromium: Browser, glass: Glass) -> None:
    page = screen(chromium, glass, script=False)
    page.goto("/")
    page.locator("#duress").click()
    page.get_by_role("button", name="Raise emergency").click()
    expect(page.get_by_role("status")).to_contain_text("Emergency raised")
    page.context.close()


def test_the_corner_is_always_whole_and_wide_enough_for_a_glove(chromium: Browser, glass: Glass) -> None:
    page = screen(chromium, glass)
    page.goto("/")

    def judge() -> None:
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            box = page.locator("#duress").bounding_box()
            assert box is not None
            assert box["width"] >= 64 and box["height"] >= 64
            assert abs(box["x"] + box["width"] - width) < 1 and box["y"] < 1
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert wrong_on_the_glass(page) == []

    judge()
    page.locator("#duress").click()
    judge()
    page.get_by_role("button", name="Raise emergency").click()
    expect(page.locator("#duress")).to_contain_text("Emergency raised")
    judge()
    page.locator("#duress-dialog").get_by_text("Close").click()
    dispatch_says(glass.rig, 1, acknowledged_ms=6, by="Nina")
    expect(page.locator("#duress")).to_contain_text("Acknowledged by dispatch")
    judge()
    page.context.close()
