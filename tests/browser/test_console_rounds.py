"""Rounds in a real browser: both plans side by side, what each costs, and all of one sent by one confirmed act."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from hub import schema
from tests.browser.accessibility import wrong_at_the_console
from tests.browser.conftest import Served, sign_in
from tests.browser.test_console_keys import said, sent_to
from tests.screens.console_world import at
from wire.distance import moved

pytestmark = pytest.mark.browser

MIDDLE = (42.45, -101.35)


def place(served: Served, unit: str, meters: float) -> None:
    """`unit` stands so far east of the middle, just now."""
    lat, lon = moved(*MIDDLE, 90, meters)
    position = at(unit, lat, lon, now_ms=round(time.time() * 1000), speed_mps=0.0)
    served.hub.positions.put(position)
    served.hub.board.moved(position)


def cross(served: Served) -> None:
    """Two incidents of one priority and two units, so that one by one sends somebody the long way: the older one takes
    the unit that the younger one needs."""
    with served.hub.engine.begin() as connection:
        for id_, meters in (("i2", 0.0), ("i3", 4000.0)):
            lat, lon = moved(*MIDDLE, 90, meters)
            connection.execute(
                schema.incident.update()
                .where(schema.incident.c.incident == id_)
                .values(priority=2, lat=lat, lon=lon, need=b'{"lat":%.6f,"lon":%.6f}' % (lat, lon))
            )
        connection.execute(
            schema.unit_now.update().where(schema.unit_now.c.unit.in_(["u4", "u5"])).values(status="out_of_service")
        )
    place(served, "u1", 1900.0)
    place(served, "u2", -2500.0)
    served.hub.board.changed()


def rounds(page: Page) -> Locator:
    page.keyboard.press("r")
    sheet = page.get_by_role("dialog", name="Rounds")
    expect(sheet.locator("tbody tr")).to_have_count(2)
    return sheet


def test_both_plans_stand_side_by_side_with_what_the_difference_is(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    sheet = rounds(page)
    first = sheet.locator("[data-incident-of='i3']")
    expect(first).to_contain_text("CARE-2")
    expect(sheet.locator(".verdict")).to_contain_text("One by one is as good.")
    expect(sheet.locator("tfoot")).to_contain_text("as long")
    assert sent_to(served, "i3") == []


def test_where_together_is_better_it_says_by_how_much_and_marks_what_differs(
    context: BrowserContext, served: Served
) -> None:
    cross(served)
    page = sign_in(context, served)
    sheet = rounds(page)
    expect(sheet.locator(".verdict")).to_contain_text(re.compile(r"Together saves \d+ (s|min) of waiting in all"))
    older = sheet.locator("[data-incident-of='i2']")
    expect(older.locator("td").nth(0)).to_contain_text("CARE-1")
    expect(older.locator("td").nth(1)).to_contain_text("CARE-2")
    expect(older).to_have_attribute("data-other", "true")
    expect(older.locator("td").nth(2)).to_contain_text("more")
    expect(sheet.locator("[data-incident-of='i3'] td").nth(2)).to_contain_text("less")
    expect(sheet.locator("tfoot td").nth(2)).to_contain_text("less")
    sheet.get_by_role("button", name="Send all 2, together").click()
    sheet.get_by_role("button", name="Yes, send these 2").click()
    expect(sheet).to_have_count(0)
    assert sent_to(served, "i2") == [("u2", "Rounds: solved together")]
    assert sent_to(served, "i3") == [("u1", None)]


def test_all_are_sent_by_one_confirmed_act_and_the_record_says_why(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    sheet = rounds(page)
    sheet.get_by_role("button", name="Send all 2, together").focus()
    page.keyboard.press("Enter")
    sure = sheet.get_by_role("button", name="Yes, send these 2")
    expect(sure).to_be_focused()
    assert sent_to(served, "i3") == []
    page.keyboard.press("Enter")
    expect(said(page)).to_have_text("2 units are sent, together.")
    expect(sheet).to_have_count(0)
    assert [unit for unit, _ in sent_to(served, "i3")] == ["u2"]
    assert [unit for unit, _ in sent_to(served, "i2")] == ["u1"]


def test_escape_takes_back_the_confirmation_before_it_closes_the_sheet(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    sheet = rounds(page)
    sheet.get_by_role("button", name="Send all 2, together").click()
    page.keyboard.press("Escape")
    expect(sheet.get_by_role("button", name="Yes, send these 2")).to_have_count(0)
    expect(sheet).to_have_count(1)
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    assert sent_to(served, "i3") == []


def test_a_unit_that_is_not_fit_any_more_is_not_sent_by_a_plan_and_the_others_are(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    sheet = rounds(page)
    with served.hub.engine.begin() as connection:
        connection.execute(
            schema.unit_now.update().where(schema.unit_now.c.unit == "u2").values(status="out_of_service")
        )
    sheet.get_by_role("button", name="Send all 2, together").click()
    sheet.get_by_role("button", name="Yes, send these 2").click()
    expect(sheet.locator("[data-incident-of='i3']")).to_contain_text(
        re.compile("CARE-2 is not fit any more: out of service")
    )
    expect(said(page)).to_have_text("1 sent, 1 not: the plan says why.")
    assert sent_to(served, "i3") == []
    assert [unit for unit, _ in sent_to(served, "i2")] == ["u1"]


def test_without_a_waiting_incident_there_is_nothing_to_solve(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    with served.hub.engine.begin() as connection:
        connection.execute(schema.incident.update().values(state="closed"))
    served.hub.board.changed()
    expect(page.locator("[data-incident]")).to_have_count(0)
    page.keyboard.press("r")
    expect(said(page)).to_have_text("No incident waits for a unit.")
    expect(page.get_by_role("dialog", name="Rounds")).to_have_count(0)


def test_axe_finds_nothing_wrong_with_the_plans(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    sheet = rounds(page)
    assert wrong_at_the_console(page) == []
    sheet.get_by_role("button", name="Send all 2, together").click()
    assert wrong_at_the_console(page) == []
