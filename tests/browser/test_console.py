"""The dispatcher's page in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from hub import schema
from tests.browser.accessibility import wrong_at_the_console
from tests.browser.cable import Cable
from tests.browser.conftest import Served, serving, sign_in
from tests.screens.console_world import at

pytestmark = pytest.mark.browser

MAP = ".map canvas"


def click_map(page: Page, x: int = 300, y: int = 560) -> None:
    page.locator(MAP).click(position={"x": x, "y": y})


def incident(page: Page, id_: str) -> Locator:
    return page.locator(f"[data-incident='{id_}']")


def change_assignment(served: Served, **values: object) -> None:
    with served.hub.engine.begin() as connection:
        connection.execute(schema.assignment.update().where(schema.assignment.c.incident == "i3").values(**values))
    served.hub.board.changed()


def set_status(served: Served, unit: str, status: str) -> None:
    with served.hub.engine.begin() as connection:
        connection.execute(
            schema.unit_now.update()
            .where(schema.unit_now.c.unit == unit)
            .values(status=status, status_ms=round(time.time() * 1000))
        )
    served.hub.board.changed()


def test_a_click_on_the_map_becomes_an_incident_and_one_key_sends_the_first_unit(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    click_map(page)
    form = page.get_by_role("form", name="New incident")
    form.get_by_label("Place").fill("Prairie Road 1180")
    form.get_by_label("What is happening").fill("Woman on the bench, speaks only Spanish")
    form.get_by_role("button", name="Spanish").click()
    form.get_by_role("button", name="Open and rank units").click()
    send = page.get_by_role("button", name="Send CARE-2")
    expect(send).to_be_focused()
    not_fit = page.locator(".unfit")
    expect(not_fit).to_contain_text("on scene at #1 · no Spanish speaker")
    page.get_by_role("button", name="2 more not fit").click()
    expect(not_fit).to_contain_text("nobody signed on")
    expect(page.locator(".engine")).to_contain_text("Straight line, not by road")
    page.wait_for_timeout(500)
    send.press("Enter")
    expect(page.locator(".board-pane .sent", has_text="CARE-2")).to_contain_text(re.compile(r"sent \d s ago"))
    expect(page.locator("[data-unit='u2'] .word").first).to_have_text("Assigned")


def test_an_enter_that_is_still_held_from_the_form_sends_nobody(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    incident(page, "i3").get_by_role("button", name="Nobody sent").focus()
    page.keyboard.down("Enter")
    expect(page.get_by_role("button", name="Send CARE-2")).to_be_focused()
    for _ in range(3):
        page.keyboard.down("Enter")  # a repeat, as a held key makes them
        page.wait_for_timeout(300)
    page.keyboard.up("Enter")
    page.wait_for_timeout(600)
    expect(incident(page, "i3")).to_contain_text("Nobody sent")


def test_an_enter_that_came_before_anybody_could_read_the_list_sends_nobody(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    page.evaluate("clock.hold()")
    incident(page, "i3").get_by_role("button", name="Nobody sent").click()
    expect(page.get_by_role("button", name="Send CARE-2")).to_be_focused()
    page.evaluate("clock.pass(390)")
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    expect(incident(page, "i3")).to_contain_text("Nobody sent")
    page.evaluate("clock.pass(20)")
    page.keyboard.press("Enter")
    expect(incident(page, "i3")).to_contain_text("CARE-2")


def test_another_than_the_first_is_asked_why_in_one_tap(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    incident(page, "i3").get_by_role("button", name="Nobody sent").click()
    page.get_by_role("button", name="Send CARE-4", exact=True).click()
    page.get_by_role("button", name="Knows this person").click()
    expect(incident(page, "i3")).to_contain_text("CARE-4")
    with served.hub.engine.begin() as connection:
        row = connection.execute(schema.assignment.select().where(schema.assignment.c.incident == "i3")).one()
    assert (row.unit, row.override_reason) == ("u4", "Knows this person")


def test_on_the_terminal_and_acknowledged_are_two_things_and_then_comes_the_status(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    incident(page, "i3").get_by_role("button", name="Nobody sent").click()
    expect(page.get_by_role("button", name="Send CARE-2")).to_be_focused()
    page.wait_for_timeout(500)
    page.keyboard.press("Enter")
    line = incident(page, "i3").locator(".sent")
    terminal, person = line.locator(".lamp").nth(0), line.locator(".lamp").nth(1)
    expect(line).to_contain_text("sent ")
    expect(terminal).to_have_attribute("data-on", "false")

    change_assignment(served, offered_ms=round(time.time() * 1000) - 15_000)
    expect(line).to_contain_text("use radio")

    change_assignment(served, received_ms=round(time.time() * 1000))
    expect(line).to_contain_text("on the terminal, no answer yet")
    expect(terminal).to_have_attribute("data-on", "true")
    expect(person).to_have_attribute("data-on", "false")

    change_assignment(served, acknowledged_ms=round(time.time() * 1000))
    set_status(served, "u2", "acknowledged")
    expect(line).to_contain_text("acknowledged")
    expect(person).to_have_attribute("data-on", "true")

    set_status(served, "u2", "en_route")
    expect(line).to_contain_text("En route")


def test_an_incident_is_released_and_closed_from_its_card(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    incident(page, "i1").locator(".incident-row").click()
    card = page.get_by_role("complementary", name="Incident")
    card.get_by_role("button", name="End it").click()
    expect(card.get_by_role("button", name="Close incident")).to_be_disabled()
    card.get_by_role("button", name="Release").click()
    card.get_by_role("button", name="Crew is done").click()
    card.get_by_label("How it ended").select_option("stabilized_in_place")
    card.get_by_role("button", name="Close incident").click()
    expect(incident(page, "i1")).to_have_count(0)


def test_ages_tick_while_nothing_arrives(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    shown = page.locator("[data-unit='u1'] .fresh")
    before = int((shown.text_content() or "").split()[0])
    page.wait_for_timeout(3000)
    after = int((shown.text_content() or "").split()[0])
    assert 2 <= after - before <= 5


def test_a_marker_moves_on_between_fixes_and_the_map_under_it_does_not(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    middle = served.hub.positions.get("u1")
    assert middle is not None
    assert middle.fix is not None
    now_ms = round(time.time() * 1000)
    fast = at("u1", middle.fix.lat, middle.fix.lon, now_ms=now_ms, speed_mps=40.0, heading_deg=90)
    served.hub.positions.put(fast)
    served.hub.board.moved(fast)
    page.wait_for_timeout(1000)
    marker, pin = page.locator(".unit-marker[data-unit='u1']"), page.locator(".incident-pin").first
    x_before, pin_before = center(marker)[0], center(pin)
    page.wait_for_timeout(3000)
    assert center(marker)[0] - x_before > 5
    assert center(pin) == pin_before
    served.hub.board.changed()
    beyond = at("u2", middle.fix.lat + 1, middle.fix.lon + 1, now_ms=now_ms + 4000)
    served.hub.positions.put(beyond)
    served.hub.board.moved(beyond)
    page.wait_for_timeout(500)
    assert center(pin) == pin_before


def center(marker: Locator) -> tuple[float, float]:
    box = marker.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_an_old_position_is_dimmed_and_says_how_old(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    marker = page.locator(".unit-marker[data-unit='u5']")
    expect(marker).to_have_attribute("data-fresh", "lost")
    expect(marker).to_contain_text("9 min")
    expect(page.locator(".unit-row[data-unit='u5']")).to_contain_text("no link 9 min")


def test_when_the_hub_is_gone_the_page_says_how_old_its_data_is_and_comes_back_by_itself(
    context: BrowserContext, served: Served
) -> None:
    cable = Cable(served.port)
    page = sign_in(context, replace(served, port=cable.port))
    banner = page.get_by_role("alert")
    expect(banner).to_have_count(0)
    cable.pull()
    expect(banner).to_contain_text(re.compile(r"Connection to hub lost, showing \d+ s old data"))
    cable.put_back()
    expect(banner).to_have_count(0)
    cable.pull()


def test_a_session_that_ended_asks_to_sign_in_again(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    with served.hub.engine.begin() as connection:
        connection.execute(schema.web_session.delete())
    incident(page, "i3").get_by_role("button", name="Nobody sent").click()
    expect(page.get_by_role("link", name="Sign in again")).to_be_visible()


def test_sealed_notes_are_listed_with_where_they_can_be_opened(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    notes = page.get_by_role("region", name="Notes")
    expect(notes).to_contain_text("sealed — can be opened at a clinician's desk")
    expect(notes).to_contain_text("Jasmine")
    expect(notes).to_contain_text("Calmer, staying, plan made")


def test_night_is_remembered(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    expect(page.locator("html")).to_have_attribute("data-theme", "day")
    page.get_by_role("button", name="Switch to night").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "night")
    expect(page.get_by_role("button", name="Switch to day")).to_be_visible()


def test_a_supervisor_sees_the_board_and_no_way_to_send(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served, "omar")
    expect(page.locator(".unit-row")).to_have_count(7)
    click_map(page)
    page.wait_for_timeout(300)
    expect(page.get_by_role("form")).to_have_count(0)
    expect(page.get_by_role("button", name="New incident")).to_have_count(0)


def test_everything_can_be_done_from_the_keyboard(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    tab_to(page, lambda: bool(page.evaluate("() => document.activeElement.textContent.startsWith('New incident')")))
    page.keyboard.press("Enter")
    expect(page.get_by_label("Place")).to_be_focused()
    page.keyboard.type("Town hall")
    page.keyboard.press("Enter")
    expect(page.locator(".send")).to_be_focused()
    page.wait_for_timeout(500)
    page.keyboard.press("Enter")
    expect(page.locator(".board-pane")).to_contain_text("Town hall")
    page.keyboard.press("Escape")
    expect(page.locator(".card-over")).to_have_count(0)


def tab_to(page: Page, is_there: Callable[[], bool], at_most: int = 30) -> None:
    for _ in range(at_most):
        page.keyboard.press("Tab")
        if is_there():
            return
    raise AssertionError("the keyboard does not get there")


def test_axe_finds_nothing_wrong_by_day_or_night(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    assert wrong_at_the_console(page) == []
    incident(page, "i3").get_by_role("button", name="Nobody sent").click()
    page.wait_for_selector(".send")
    assert wrong_at_the_console(page) == []
    page.keyboard.press("Escape")
    click_map(page)
    page.wait_for_selector(".priorities")
    assert wrong_at_the_console(page) == []


@pytest.mark.xdist_group("city")
def test_the_streets_come_from_this_machine_and_a_click_is_named_after_them(
    context: BrowserContext, city_map: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, maps_dir=city_map) as served:
        asked: list[str] = []
        complained: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        context.on(
            "console",
            lambda said: complained.append(said.text) if said.type == "error" else None,
        )
        page = sign_in(context, served)
        expect(page.locator(".maplibregl-ctrl-attrib")).to_contain_text("Synthetic city, no real place")
        click_map(page, 400, 500)
        place = page.get_by_role("form", name="New incident").get_by_label("Place")
        expect(place).to_have_value(re.compile(r"(Street|Avenue|Road|Boulevard|Lane|Drive)"))
        assert any(url.endswith("/streets.pmtiles") for url in asked)
        assert [url for url in asked if not url.startswith((served.address, "data:", "blob:"))] == []
        assert complained == []
