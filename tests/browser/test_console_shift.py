"""A shift at the board with nothing but keys: no click, no hover, no touch, from the sign-in to the sign-out."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from hub import schema
from tests.browser.conftest import Served
from tests.browser.test_console import incident, set_status, tab_to
from tests.browser.test_console_keys import SETTLED_MS, rest_on, said, say, sent_to
from tests.screens.console_world import PASSWORD

pytestmark = pytest.mark.browser

NO_MOUSE = """
for (const kind of ["pointerdown", "mousedown", "touchstart"]) {
    addEventListener(kind, () => { document.documentElement.dataset.mouse = kind; }, { capture: true });
}
"""


def sign_in_by_keys(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/signin")
    page.get_by_label("Name").focus()
    page.keyboard.type("nina")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-ready]")


def acknowledge(served: Served, id_: str) -> None:
    now_ms = round(time.time() * 1000)
    with served.hub.engine.begin() as connection:
        connection.execute(
            schema.assignment.update()
            .where(schema.assignment.c.incident == id_)
            .values(received_ms=now_ms, acknowledged_ms=now_ms)
        )
    served.hub.board.changed()


def raise_emergency(served: Served) -> None:
    now_ms = round(time.time() * 1000)
    with served.hub.engine.begin() as connection:
        connection.execute(
            schema.emergency.insert().values(
                emergency=b"e" * 16,
                device="d-u2",
                is_drill=False,
                source="button",
                staff=b'["marisol"]',
                pressed_ms=now_ms,
                received_ms=now_ms,
                presses=1,
                newest_ms=now_ms,
            )
        )
    served.hub.board.changed()


def test_a_whole_shift_without_a_mouse(context: BrowserContext, served: Served) -> None:
    page = context.new_page()
    page.add_init_script(NO_MOUSE)
    sign_in_by_keys(page, served)

    # two wait: solved together, sent by one confirmed act
    page.keyboard.press("r")
    expect(page.get_by_role("dialog", name="Rounds").locator("tbody tr")).to_have_count(2)
    tab_to(page, lambda: "Send all 2, together" in str(page.evaluate("() => document.activeElement.textContent")))
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Yes, send these 2")).to_be_focused()
    page.keyboard.press("Enter")
    expect(said(page)).to_have_text("2 units are sent, together.")
    assert [unit for unit, _ in sent_to(served, "i3")] == ["u2"]

    # the crew answers and works; a remark; the unit is let go and the incident closed
    acknowledge(served, "i3")
    set_status(served, "u2", "en_route")
    expect(incident(page, "i3")).to_contain_text("En route")
    say(page, "note 3 Bus driver stays with him")
    expect(said(page)).to_have_text("Noted at #3.")

    # a crew in danger, while somebody types
    page.keyboard.press("/")
    page.keyboard.type("find CARE-4")
    raise_emergency(served)
    page.wait_for_selector(".emergency")
    page.keyboard.press("Alt+e")
    expect(page.get_by_role("button", name="Acknowledge")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".emergency")).to_contain_text("Acknowledged")
    page.keyboard.press("Alt+e")
    page.keyboard.press("Enter")
    tab_to(page, lambda: bool(page.evaluate("() => document.activeElement.maxLength === 100")))
    page.keyboard.type("Myrtle")
    page.keyboard.press("Tab")
    page.keyboard.type("Slipped, all well")
    page.keyboard.press("Enter")
    expect(page.locator(".emergency")).to_have_count(0)

    say(page, "release CARE-2 Crew is done")
    expect(said(page)).to_have_text("CARE-2 is off #3.")
    say(page, "close 3 calmer")
    expect(incident(page, "i3")).to_have_count(0)

    # the rest goes by the list: another unit than the first, with a reason in one tap
    say(page, "release CARE-1 Needed elsewhere")
    expect(incident(page, "i2")).to_contain_text("Nobody sent")
    rest_on(page, "i2")
    page.keyboard.press("2")
    page.wait_for_selector(".why-another")
    page.keyboard.press("Enter")
    expect(incident(page, "i2").locator(".sent")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".card-over")).to_have_count(0)

    # looking: units, trail, the map, night, the wall
    page.keyboard.press("u")
    page.keyboard.press("t")
    expect(said(page)).to_have_text("Trail of CARE-1.")
    page.keyboard.press("m")
    expect(page.locator(".map canvas")).to_be_focused()
    page.keyboard.press("Escape")
    say(page, "night")
    expect(page.locator("html")).to_have_attribute("data-theme", "night")
    page.keyboard.press("w")
    expect(page.locator(".wall")).to_contain_text("Units")
    page.keyboard.press("w")

    tab_to(page, lambda: page.evaluate("() => document.activeElement.textContent") == "Sign out", 60)
    page.keyboard.press("Enter")
    page.wait_for_url("**/signin")
    assert page.evaluate("() => document.documentElement.dataset.mouse ?? ''") == ""


def test_each_thing_that_has_the_focus_is_seen_to_have_it(context: BrowserContext, served: Served) -> None:
    page = context.new_page()
    sign_in_by_keys(page, served)
    rest_on(page, "i3")
    page.wait_for_timeout(SETTLED_MS)
    for _ in range(40):
        page.keyboard.press("Tab")
        width = page.evaluate(
            "() => document.activeElement === document.body ? 9 : parseFloat(getComputedStyle(document.activeElement).outlineWidth)"
        )
        assert width >= 2, page.evaluate("() => document.activeElement.outerHTML.slice(0, 120)")
