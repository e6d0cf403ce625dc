"""The wall in a real browser: large, without a button, and back by one key."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from hub import schema
from tests.browser.accessibility import wrong_at_the_console
from tests.browser.conftest import Served, sign_in
from tests.screens.console_world import PASSWORD

pytestmark = pytest.mark.browser


def hang(context: BrowserContext, served: Served) -> Page:
    """The wall as its own account shows it."""
    page = context.new_page()
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.goto(f"{served.address}/signin")
    page.get_by_label("Name").fill("hall")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector(".wall-incidents")
    return page


def test_the_wall_has_nothing_to_press_and_nothing_that_a_visitor_must_not_read(
    context: BrowserContext, served: Served
) -> None:
    page = hang(context, served)
    expect(page.locator("button, a, input, select, canvas")).to_have_count(0)
    text = page.content()
    assert [hidden for hidden in ("Harmon", "Meadow", "Union", "Alder", "goodbye") if hidden in text] == []
    expect(page.locator(".wall")).to_contain_text("Nobody sent")
    for key in ("j", "1", "n", "/", "Enter", "Escape"):
        page.keyboard.press(key)
    expect(page.locator(".wall")).to_be_visible()


def test_the_wall_follows_what_happens_and_its_timers_run(context: BrowserContext, served: Served) -> None:
    page = hang(context, served)
    waited = page.locator(".wall-incidents .since").first
    before = waited.text_content()
    with served.hub.engine.begin() as connection:
        connection.execute(schema.incident.update().where(schema.incident.c.incident == "i3").values(state="closed"))
    expect(page.locator(".wall-incidents li")).to_have_count(2)
    expect(waited).not_to_have_text(before or "")


def test_a_wall_that_hears_nothing_says_how_old_it_is(context: BrowserContext, served: Served) -> None:
    page = hang(context, served)
    expect(page.get_by_role("alert")).to_have_count(0)
    context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"No connection: \d+ s old"))
    context.set_offline(False)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_w_covers_a_dispatchers_board_and_only_w_or_escape_uncovers_it(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    page.keyboard.press("w")
    wall = page.locator(".wall")
    expect(wall).to_contain_text("incidents open")
    expect(wall.locator("button, a, input")).to_have_count(0)
    for key in ("j", "n", "r", "?", "Tab", "Enter"):
        page.keyboard.press(key)
    expect(page.locator(".card-over, .sheet-over")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(wall).to_have_count(0)
    page.keyboard.press("j")
    expect(page.locator("[data-chosen='true']")).to_have_count(1)


def test_axe_finds_nothing_wrong_with_the_wall(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.keyboard.press("w")
    page.wait_for_selector(".wall-incidents")
    assert wrong_at_the_console(page) == []
