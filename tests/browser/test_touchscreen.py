"""The touchscreen in a real browser: fresh without a reload, whole without a script, readable and within a thumb's reach."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise, product
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, BrowserContext, Page, expect

from edge import vault
from edge.uplink import LinkState
from serving.server import Server, http_server
from tests.browser.accessibility import wrong_on_the_glass
from tests.patience import PATIENCE_MS
from tests.screens.screen_rig import UP, ScreenRig, an_assignment
from tests.ways import a_fix, a_route, spot
from wire.state import OtherUnit

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

CANARY = "walrus-tulip-ember"
BOXES = "parts => parts.map(part => document.querySelector(part).getBoundingClientRect().toJSON())"
SIZES = ((800, 480), (1280, 800))
LONGEST = {
    "place": "Riverside Park, north gate by the boat house",
    "problem": "Adult son pacing and shouting at passers-by, mother says he has not slept for four days. " * 3,
    "cautions": ("Startled by loud voices", "Large dog"),
    "others": (OtherUnit(call_sign="P-14", status="en_route"), OtherUnit(call_sign="M-3", status="staged")),
}


STREETS = ((0, 0), (0, 600), (400, 600), (400, 900), (1200, 900))
MOODS = {  # of a vehicle on its way, and the pages that show it
    "on": ("/", "/way", "/way/turns"),
    "long": ("/", "/way", "/way/turns"),
    "unsure": ("/", "/way"),
    "off": ("/", "/way", "/way/turns"),
    "none": ("/", "/way", "/way/turns"),
    "there": ("/", "/way"),
    "new": ("/", "/way"),
}
CUT = """() => [...document.querySelectorAll('.guide, .guide *, .way .foot, .way .foot *, .there button')]
    .filter(e => !(e instanceof SVGElement) && getComputedStyle(e).display !== 'inline' && e.clientWidth > 0)
    .filter(e => getComputedStyle(e).textOverflow !== 'ellipsis' && e.scrollWidth > e.clientWidth + 1
        || e.classList.contains('guide') && e.scrollHeight > e.clientHeight + 2)
    .map(e => e.outerHTML.slice(0, 120))"""


class Glass(NamedTuple):
    """A terminal that serves its screen, and where."""

    rig: ScreenRig
    url: str
    server: Server


@pytest.fixture
def glass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Glass]:
    monkeypatch.setattr(vault, "MEMORY_KIB", 64)
    rig = ScreenRig(tmp_path / "car", real=True)
    rig.roster()
    rig.unit("available")
    server = http_server("127.0.0.1", 0, rig.app, threads=4, body_bytes_max=64 * 1024)
    server.prepare()
    serving = Thread(target=server.serve, daemon=True)
    serving.start()
    yield Glass(rig, f"http://127.0.0.1:{server.bind_addr[1]}", server)
    server.stop()
    serving.join(5)
    rig.close()


@contextmanager
def page_of(chromium: Browser, glass: Glass, script: bool = True) -> Iterator[Page]:
    """A page that fails the test when the policy or a script complains."""
    context: BrowserContext = chromium.new_context(
        viewport={"width": 800, "height": 480},
        java_script_enabled=script,
        color_scheme="dark",
        base_url=glass.url,
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if "Policy" in line.text else None)
    page.set_default_timeout(PATIENCE_MS)
    try:
        yield page
        assert complaints == []
    finally:
        context.close()


def sign_on(page: Page, glass: Glass) -> None:
    pin = glass.rig.pin("s-rowan")
    page.goto("/sign-on")
    page.get_by_text("Rowan").click()
    for digit in pin:
        page.locator(f'[data-key="{digit}"]').click()
    expect(page.locator(".below")).to_contain_text("Notes")


def on_the_way(glass: Glass, mood: str) -> None:
    """A vehicle that drives its way, left it, has none, or is there."""
    rig, lat_lon = glass.rig, spot(1210, 905)
    over = {"lat": lat_lon[0], "lon": lat_lon[1], "gate": "secure" if mood == "there" else "staged"}
    rig.link = UP
    rig.unit("assigned" if mood == "new" else "en_route", an_assignment(**(LONGEST if mood == "long" else {}), **over))
    route = a_route(STREETS, n=1 + list(MOODS).index(mood))
    if mood == "long":
        route = a_route(((0, 0), (0, 400), (100, 400), (100, 900)), n=2)  # the one behind the next is told as well
        named = "The Reverend Doctor Martin Luther King Junior Memorial Parkway Southbound"
        turns = tuple(replace(turn, street=named, words=f"Turn right onto {named}.") for turn in route.turns)
        route = replace(route, turns=turns, beyond_m=90_000, beyond_s=40_000)
    rig.guide.__init__()  # type: ignore[misc]  # as after a start
    rig.routes(replace(route, line="", turns=(), why_not="engine") if mood == "none" else route)
    now_s = rig.clock.mono_s()
    for step in range(20):
        off = {"off": (-12.0 * step, 200), "unsure": (100 if step == 19 else 0, 200), "there": (1195, 900)}
        east, north = off.get(mood, (0.0, 12.0 * step))
        rig.guide.offer(
            a_fix(east, north, 270 if mood == "off" else 0, 0.2 if mood == "there" else 12.0), now_s - 19 + step
        )


def write(page: Page, glass: Glass, text: str = CANARY) -> None:
    glass.rig.unit("on_scene", an_assignment())
    sign_on(page, glass)
    page.get_by_text("Notes", exact=True).click()
    page.locator(".rows button").first.click()
    page.locator("textarea").press_sequentially(text)


def test_a_new_assignment_appears_by_itself_and_is_loud_until_somebody_has_seen_it(
    chromium: Browser, glass: Glass
) -> None:
    with page_of(chromium, glass) as page:
        page.goto("/")
        expect(page.locator("#card")).to_contain_text("Who is aboard?")
        glass.rig.unit("assigned", an_assignment())
        expect(page.locator(".is-new")).to_contain_text("New assignment")
        expect(page.locator("button.primary")).to_contain_text("Acknowledge")
        expect(page).to_have_title("New assignment · CARE-2")
        page.locator("button.primary").click()
        expect(page.locator("button.primary")).to_contain_text("En route")
        expect(page.locator(".is-new")).to_have_count(0)
        expect(page).to_have_title("Acknowledged · CARE-2")


def test_a_status_can_be_taken_back_and_the_undo_goes_away_by_itself(chromium: Browser, glass: Glass) -> None:
    glass.rig.unit("en_route", an_assignment())
    with page_of(chromium, glass) as page:
        page.goto("/")
        page.locator("button.primary").click()
        expect(page.locator(".status")).to_have_text("On scene")
        page.get_by_role("button", name="Undo").click()
        expect(page.locator(".status")).to_have_text("En route")
        page.wait_for_timeout(800)
        page.locator("button.primary").click()
        expect(page.get_by_role("button", name="Undo")).to_be_visible()
        expect(page.get_by_role("button", name="Undo")).to_have_count(0)


def test_a_thumb_that_comes_down_twice_sets_one_status(chromium: Browser, glass: Glass) -> None:
    glass.rig.unit("acknowledged", an_assignment())
    with page_of(chromium, glass) as page:
        page.goto("/")
        box = page.locator("button.primary").bounding_box()
        assert box is not None
        for _ in range(2):
            page.mouse.click(box["x"] + 50, box["y"] + 50)
            page.wait_for_timeout(250)
        page.wait_for_timeout(800)
        expect(page.locator(".status")).to_have_text("En route")


LINKS: tuple[tuple[dict[str, object], str, str], ...] = (  # with what is unsent, and the two lines that say so
    ({"link": "down", "hub": False, "unsent": 1204}, "No link", "1204 unsent, oldest 1 d 2 h"),
    ({"unsent": 1204}, "1204 unsent", "oldest 1 d 2 h"),
    ({}, "All received", "through"),
)


def at_every_size(page: Page) -> Iterator[tuple[int, int]]:
    """The same page, small and large."""
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        yield width, height


def test_what_the_hub_has_is_never_cut_and_pushes_nothing_off_the_strip(chromium: Browser, glass: Glass) -> None:
    now_ms = int(time.time() * 1000)
    with page_of(chromium, glass) as page:
        for status, (over, head, detail) in product(("out_of_service", "transporting"), LINKS):
            glass.rig.unit(status)
            glass.rig.link = replace(UP, received_through_ms=now_ms, oldest_ms=now_ms - (26 * 60 + 7) * 60_000, **over)
            page.goto("/")
            expect(page.locator("#strip-link b")).to_have_text(head)
            expect(page.locator("#strip-link small")).to_contain_text(detail)
            for width, _height in at_every_size(page):
                words = page.eval_on_selector_all(
                    ".sign :is(b, small)", "all => all.map(e => [e.scrollWidth, e.clientWidth])"
                )
                assert all(needed <= given for needed, given in words), words
                parts = page.eval_on_selector_all(
                    ".strip > *", "all => all.map(e => e.getBoundingClientRect().toJSON())"
                )
                shown = [part for part in parts if part["width"] > 0]
                assert all(left["right"] <= right["left"] + 0.5 for left, right in pairwise(shown))
                assert shown[-1]["right"] <= width + 0.5


def nothing_overlaps(page: Page, parts: tuple[str, ...]) -> None:
    """The first of `parts` holds the others, each under the one before. Asked at once: a live region may be replaced."""
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    card, *boxes = page.evaluate(BOXES, parts)
    bottom = card["y"]
    for part, box in zip(parts[1:], boxes, strict=True):
        assert box["height"] > 15, part
        assert box["y"] >= bottom - 1, f"{part} overlaps what is above it"
        bottom = box["y"] + box["height"]
    assert bottom <= card["y"] + card["height"] + 0.5


def test_the_first_page_needs_no_scrolling_and_cuts_no_line(chromium: Browser, glass: Glass) -> None:
    with page_of(chromium, glass) as page:
        sign_on(page, glass)
        for status in ("assigned", "on_scene"):
            glass.rig.unit(status, an_assignment(**LONGEST))
            page.goto("/")
            for _ in at_every_size(page):
                nothing_overlaps(
                    page, (".now", "#card h1", ".place", ".gate", ".problem", ".cautions", "#card .others", "#fresh")
                )
                lines = page.evaluate(
                    "(() => { const s = document.querySelector('.problem span');"
                    " return s.clientHeight / parseFloat(getComputedStyle(s).lineHeight); })()"
                )
                assert lines >= 1 and abs(lines - round(lines)) < 0.1


def test_with_a_way_the_first_page_still_cuts_no_line_of_what_matters(chromium: Browser, glass: Glass) -> None:
    with page_of(chromium, glass) as page:
        sign_on(page, glass)
        for mood in ("on", "long", "off", "there"):
            on_the_way(glass, mood)
            page.goto("/")
            for _ in at_every_size(page):
                nothing_overlaps(
                    page,
                    ("body", "#card h1", ".place", ".gate", ".problem", ".cautions", "#fresh", "#way", ".below"),
                )
                assert page.evaluate("document.querySelector('.problem span').clientHeight") > 15


def test_every_target_is_wide_enough_for_a_glove(chromium: Browser, glass: Glass) -> None:
    small = """() => [...document.querySelectorAll('button, a, select, input:not([type=hidden])')]
        .map(e => [e.outerHTML.slice(0, 60), e.getBoundingClientRect()])
        .filter(([, r]) => r.width > 0 && (r.width < 63.5 || r.height < 63.5)).map(([h, r]) => h + r.width + 'x' + r.height)"""
    with page_of(chromium, glass) as page:

        def judge(where: object) -> None:
            for size in at_every_size(page):
                assert page.evaluate(small) == [], (where, size)

        page.goto("/sign-on")
        judge("/sign-on")
        write(page, glass)
        judge("a note")
        for path in ("/", "/assignment", "/notes", "/sign-off"):
            page.goto(path)
            judge(path)
        for mood, pages in MOODS.items():
            on_the_way(glass, mood)
            for path in pages:
                page.goto(path)
                judge((mood, path))
                for size in at_every_size(page):
                    assert page.evaluate(CUT) == [], (mood, path, size)


def test_what_is_typed_is_saved_sealed_without_being_asked_and_survives_a_reload(
    chromium: Browser, glass: Glass
) -> None:
    with page_of(chromium, glass) as page:
        write(page, glass)
        expect(page.locator("#saved")).to_contain_text("Saved sealed")
        page.reload()
        expect(page.locator("textarea")).to_have_value(CANARY)
    for file in glass.rig.home.rglob("*"):
        assert not file.is_file() or CANARY.encode() not in file.read_bytes()


def test_somebody_who_never_pauses_is_saved_every_three_seconds(chromium: Browser, glass: Glass) -> None:
    with page_of(chromium, glass) as page:
        write(page, glass, "x")
        expect(page.locator("#saved")).to_contain_text("Saved sealed")
        first = glass.rig.store.do(lambda db: db.execute("select saved_ms from draft").fetchone()[0])
        for _ in range(16):
            page.keyboard.type("y")
            page.wait_for_timeout(220)
        last = glass.rig.store.do(lambda db: db.execute("select saved_ms from draft").fetchone()[0])
        assert last > first


def test_when_saving_fails_the_page_says_so_loudly_and_tries_again(chromium: Browser, glass: Glass) -> None:
    with page_of(chromium, glass) as page:
        write(page, glass)
        expect(page.locator("#saved")).to_contain_text("Saved sealed")
        no = "create trigger no_save before update on draft begin select raise(abort, 'disk'); end"
        glass.rig.store.do(lambda db: db.execute(no))
        page.locator("textarea").press_sequentially(" and more")
        expect(page.locator("#saved.bad")).to_contain_text("Not saved")
        glass.rig.store.do(lambda db: db.execute("drop trigger no_save"))
        expect(page.locator("#saved.good")).to_contain_text("Saved sealed")


def test_from_note_to_sealed_by_hand_and_nothing_behind_the_back_button(chromium: Browser, glass: Glass) -> None:
    with page_of(chromium, glass) as page:
        write(page, glass)
        page.locator('select[name="disposition"]').select_option("referred_warm")
        page.get_by_role("button", name="Finalize").click()
        expect(page.locator(".paper")).to_contain_text(CANARY)
        page.get_by_role("button", name="Seal and send").click()
        expect(page.locator("#entries")).to_contain_text("waiting for hub")
        page.go_back()
        expect(page.locator("textarea")).to_have_count(0)
    assert len(glass.rig.records("note")) == 1


def test_a_note_left_open_locks_and_leaves_the_glass(chromium: Browser, glass: Glass) -> None:
    with page_of(chromium, glass) as page:
        write(page, glass)
        expect(page.locator("#saved")).to_contain_text("Saved sealed")
        glass.rig.settings(lock_after_s=1.0)
        expect(page.locator(".pin")).to_contain_text("Notes are locked")
        assert CANARY not in page.content()
        glass.rig.settings(lock_after_s=60.0)
        for digit in glass.rig.pin("s-rowan"):
            page.locator(f'[data-key="{digit}"]').click()
        expect(page.locator("textarea")).to_have_value(CANARY)


def test_a_terminal_that_stopped_answering_is_not_shown_as_fresh(chromium: Browser, glass: Glass) -> None:
    with page_of(chromium, glass) as page:
        page.goto("/")
        page.route("**/*", lambda route: route.abort())
        expect(page.locator("#trouble")).to_contain_text("does not answer")
        page.unroute("**/*")
        expect(page.locator("#trouble")).to_be_hidden()


def test_every_deed_works_without_a_script(chromium: Browser, glass: Glass) -> None:
    glass.rig.unit("assigned", an_assignment())
    pin = glass.rig.pin("s-rowan")
    with page_of(chromium, glass, script=False) as page:
        page.goto("/sign-on")
        page.get_by_text("Rowan").click()
        page.locator('input[name="pin"]').fill(pin)
        page.get_by_role("button", name="Enter").click()
        page.get_by_role("button", name="Acknowledge").click()
        expect(page.locator(".status")).to_have_text("Acknowledged")
        page.get_by_role("button", name="Undo").click()
        expect(page.locator(".status")).to_have_text("Assigned")
        page.get_by_text("Notes", exact=True).click()
        page.locator(".rows button").first.click()
        page.locator("textarea").fill(CANARY)
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.locator("textarea")).to_have_value(CANARY)
        page.get_by_role("button", name="Finalize").click()
        page.get_by_role("button", name="Seal and send").click()
        expect(page.locator("#entries")).to_contain_text("waiting for hub")
        page.get_by_role("button", name="Day colors").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "day")
        page.goto("/sign-off")
        page.get_by_role("button", name="Sign off").click()
        expect(page.locator(".below, .names").first).to_contain_text("Sign on")
    assert len(glass.rig.records("note")) == 1


def test_nobody_is_shut_out_by_color_or_markup(chromium: Browser, glass: Glass) -> None:
    found: list[str] = []

    def judge(page: Page, where: str) -> None:
        found.extend(f"{where}: {one}" for one in wrong_on_the_glass(page))

    with page_of(chromium, glass) as page:
        glass.rig.pin("s-rowan")
        for path in ("/", "/sign-on", "/sign-on/s-rowan", "/sign-on/s-kim"):
            page.goto(path)
            judge(page, path)
        write(page, glass)
        expect(page.locator("#saved")).to_contain_text("Saved sealed")
        judge(page, "note")
        page.get_by_role("button", name="Finalize").click()
        judge(page, "finalize")
        page.get_by_role("button", name="Seal and send").click()
        judge(page, "notes")
        page.locator("#entries a").click()
        judge(page, "final")
        down = LinkState(link="down", hub=False, unsent=3, oldest_ms=1, received_through_ms=None, why=None, refused=0)
        glass.rig.link = down
        glass.rig.unit("assigned", an_assignment(**LONGEST))
        for path in ("/", "/assignment", "/sign-off", "/unlock"):
            page.goto(path)
            judge(page, path)
        for mood, pages in MOODS.items():
            on_the_way(glass, mood)
            for path in pages:
                page.goto(path)
                judge(page, f"{mood} {path}")
    assert not found, "\n".join(found)
