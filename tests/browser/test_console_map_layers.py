"""What is drawn and laid on the map: closed roads by mouse and by keys, coverage with its time, a trail, a large fleet."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect
from sqlalchemy import select

from hub import schema
from hub.rings import Ring, Spot
from hub.roads import Area, Cover
from tests.browser.accessibility import wrong_at_the_console
from tests.browser.conftest import Served, serving, sign_in
from tests.browser.test_console import set_status
from tests.screens.console_world import _add_unit as add_unit
from tests.screens.console_world import _set_now as set_now
from tests.screens.console_world import at
from tests.screens.test_console_trail import born, keep
from wire.distance import moved

pytestmark = pytest.mark.browser

MIDDLE = (42.45, -101.35)
MAP = ".map .maplibregl-canvas"


def corner(page: Page, x: int, y: int) -> None:
    page.locator(MAP).click(position={"x": x, "y": y})
    page.wait_for_timeout(350)  # slower than a double click


def drawing(page: Page) -> Locator:
    return page.get_by_role("form", name="Close a road")


def closures(served: Served) -> list[tuple[str, int, int | None]]:
    with served.hub.engine.begin() as connection:
        rows = connection.execute(select(schema.closure).order_by(schema.closure.c.since_ms))
        return [(row.reason, row.radius_m, row.ended_ms) for row in rows]


def test_an_area_is_closed_by_clicks_and_opened_from_the_list(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    page.get_by_role("button", name="Closed roads").click()
    page.get_by_role("button", name="Close a road").click()
    for x, y in ((420, 300), (560, 310), (520, 420)):
        corner(page, x, y)
    expect(drawing(page).get_by_role("status")).to_contain_text("3 corners")
    assert wrong_at_the_console(page) == []
    page.locator(MAP).dblclick(position={"x": 450, "y": 430})
    expect(drawing(page).get_by_role("status")).to_contain_text("4 corners")
    expect(drawing(page).get_by_label("Why")).to_be_focused()
    page.keyboard.press("Enter")
    expect(drawing(page).get_by_role("alert")).to_contain_text("Say why the road is closed")
    page.get_by_role("button", name="Crash").click()
    page.get_by_role("button", name="Close the road").click()
    expect(page.get_by_role("button", name="Closed roads · 1")).to_be_visible()
    assert closures(served) == [("Crash", 0, None)]
    page.get_by_role("button", name="Closed roads · 1").click()
    page.get_by_role("button", name="Open again").click()
    page.get_by_role("button", name="Yes, it is open").click()
    expect(page.get_by_text("No road is closed.")).to_be_visible()
    assert closures(served)[0][2] is not None


def test_a_street_is_closed_without_a_mouse_and_no_key_sends_anybody(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    page.keyboard.press("j")
    page.keyboard.press("j")  # to one to which nobody was sent: its list is open
    expect(page.locator(".candidates li").first).to_be_visible()
    page.keyboard.press("x")
    page.get_by_role("button", name="Street").press("Enter")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(700)
    page.keyboard.press("Space")
    expect(drawing(page).get_by_role("status")).to_contain_text("2 points")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(drawing(page).get_by_label("Why")).to_be_focused()
    page.keyboard.type("March")
    page.keyboard.press("Enter")
    expect(drawing(page)).to_have_count(0)
    assert closures(served) == [("March", 50, None)]
    with served.hub.engine.begin() as connection:
        assert len(connection.execute(select(schema.assignment)).all()) == 1  # the one that was there


def test_escape_leaves_a_drawing_and_the_card_stays(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    page.keyboard.press("j")
    card = page.get_by_role("complementary", name="Incident")
    expect(card).to_be_visible()
    page.keyboard.press("x")
    corner(page, 300, 560)
    page.keyboard.press("Escape")
    expect(drawing(page)).to_have_count(0)
    expect(card).to_be_visible()
    assert closures(served) == []


def test_a_closure_of_somebody_else_comes_by_itself_and_leaves_when_its_time_is_over(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    body = {
        "id": "c1",
        "corners": [{"lat": MIDDLE[0], "lon": MIDDLE[1]}],
        "radius_m": 100,
        "reason": "Fire",
        "until_ms": round(time.time() * 1000) + 8_000,
    }
    other = served.hub.signed_in("omar")
    assert other.post("/api/v1/closures", body).status_code == 201
    expect(page.get_by_role("button", name="Closed roads · 1")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^Closed roads$"))).to_be_visible()


def test_coverage_says_from_when_it_is_and_who_does_not_count(context: BrowserContext, tmp_path: Path) -> None:
    lat, lon = MIDDLE

    def reach(spots: Sequence[Spot], minutes: Sequence[int], closed: Sequence[Ring], wait_s: float) -> Cover:
        areas = tuple(
            Area(minutes=each, rings=(((lon - w, lat - w), (lon + w, lat - w), (lon, lat + w), (lon - w, lat - w)),))
            for each in sorted(minutes, reverse=True)
            for w in (each / 400,)
        )
        return Cover(areas=areas, on_roads=tuple(True for _ in spots))

    with serving(tmp_path, reach=reach) as served:
        page = sign_in(context, served)
        page.keyboard.press("c")
        legend = page.get_by_role("region", name="Coverage")
        expect(legend).to_contain_text(re.compile(r"as of \d\d:\d\d:\d\d"))
        expect(legend).to_contain_text("Not counted: CARE-5 (position 9 min old).")
        page.get_by_role("button", name="Switch to night").click()
        assert wrong_at_the_console(page) == []
        page.get_by_role("button", name="Hide the coverage").click()
        expect(legend).to_have_count(0)


def test_without_an_engine_the_coverage_is_one_sentence(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    page.keyboard.press("c")
    legend = page.get_by_role("region", name="Coverage")
    expect(legend).to_contain_text("The road engine does not run. So there is no coverage now")


def test_a_trail_is_shown_on_demand_with_its_holes(context: BrowserContext, served: Served) -> None:
    now_ms = round(time.time() * 1000)
    served.hub.now_ms = now_ms
    born(served.hub, mono_ms=0, held_ms=now_ms - 10 * 60_000)
    keep(served.hub, 1, list(range(0, 60_000, 1000)), held_ms=now_ms - 9 * 60_000)
    keep(served.hub, 2, list(range(300_000, 360_000, 1000)), held_ms=now_ms - 4 * 60_000)
    page = sign_in(context, served)
    page.locator(".unit-row[data-unit='u1']").click()
    page.keyboard.press("t")
    legend = page.get_by_role("region", name="Trail")
    expect(legend).to_contain_text("Trail of CARE-1")
    expect(legend).to_contain_text("Dashed: nothing is known of the way.")
    legend.get_by_role("button", name="Hide the trail").click()
    expect(legend).to_have_count(0)


def test_a_fleet_of_hundreds_is_one_picture_in_which_every_unit_can_be_clicked(
    context: BrowserContext, served: Served
) -> None:
    now_ms = round(time.time() * 1000)
    with served.hub.engine.begin() as connection:
        for number in range(150):
            add_unit(connection, f"x{number}", f"TEAM-{number}", "vehicle", now_ms)
            set_now(connection, f"x{number}", "available", now_ms, "dana")
    for number in range(150):
        place = moved(*MIDDLE, number * 2.4, 3000)
        served.hub.positions.put(at(f"x{number}", *place, now_ms=now_ms))
    served.hub.board.changed()
    page = sign_in(context, served)
    page.wait_for_selector(".crowd")
    expect(page.locator(".unit-marker")).to_have_count(0)
    page.locator(".unit-row[data-unit='u2']").click()
    chosen = page.locator(".unit-marker[data-unit='u2']")
    expect(chosen).to_be_visible()
    page.wait_for_timeout(1500)  # the map goes to the unit
    box = chosen.bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.click(*middle)
    expect(chosen).to_have_count(0)
    page.wait_for_timeout(800)
    page.mouse.click(*middle)
    expect(chosen).to_be_visible()
    set_status(served, "u2", "en_route")
    expect(page.get_by_role("complementary", name="New incident")).to_have_count(0)
