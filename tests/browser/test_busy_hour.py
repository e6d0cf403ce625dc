"""A dispatcher's busy hour over the demonstration fleet, without a mouse: ten incidents, three of them at once, one told
twice, one road closed, one vehicle lost. All programs are real; the crews press at their own touchscreens.

`TANDEM_PICTURES=FOLDER` keeps what the screen looked like; the README's picture is one of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from demo import web
from demo.fleet import Fleet, load
from demo.processes import program
from hub.valhalla import find_programs
from tests.patience import PATIENCE_MS, PATIENCE_S

pytestmark = [pytest.mark.browser, pytest.mark.system, pytest.mark.proof, pytest.mark.xdist_group("demo")]

LOST_MS_MAX = 120_000  # the keep-alive, half of it again, and what the hub waits before it says so
SETTLED_MS = 500  # a list that came just now is not acted on by a key
TRIES = 10
WAY = ["acknowledged", "en_route", "on_scene", "contact", "clearing", "available"]
DRAWN_MS = 1_500  # streets and markers that move are at rest by then
PICTURES = "TANDEM_PICTURES"  # a folder for what the screen looked like, for whoever wants to judge it


class Hour:
    """The board of one dispatcher, and the cabs."""

    def __init__(self, fleet: Fleet, page: Page) -> None:
        self.fleet = fleet
        self.page = page
        self.console = web.Browser(fleet.console)
        login = fleet.login("dispatcher")
        self.console.submit("/signin", {"account": login.account, "password": login.password})
        self.console.csrf = self.console.json("/api/v1/me")["csrf"]
        self.addresses = self._addresses()

    def _addresses(self) -> Iterator[str]:
        """Addresses of the imported city around the fleet, none twice."""
        units = [unit for unit in self.snapshot()["units"] if unit["position"]]
        lat = sum(unit["position"]["lat"] for unit in units) / len(units)
        lon = sum(unit["position"]["lon"] for unit in units) / len(units)
        seen: set[str] = set()
        for step in range(1, 12):
            for up in (-step, 0, step):
                for right in (-step, 0, step):
                    place = self.console.json(f"/api/v1/places/near?lat={lat + up * 0.004}&lon={lon + right * 0.005}")[
                        "place"
                    ]
                    if place is not None and place["name"] not in seen:
                        seen.add(place["name"])
                        yield place["name"]

    def snapshot(self) -> web.Json:
        return self.console.json("/api/v1/snapshot")

    def say(self, line: str) -> None:
        self.page.keyboard.press("/")
        self.page.keyboard.type(line)
        self.page.keyboard.press("Enter")

    def said(self, words: str) -> None:
        expect(self.page.locator(".foot .told")).to_contain_text(words)

    def open(self, address: str, problem: str) -> int:
        """A new incident at an address, by the command line and its form; its number."""
        before = {one["id"] for one in self.snapshot()["incidents"]}
        self.say(f"new {address}")
        form = self.page.get_by_role("form", name="New incident")
        expect(form).to_be_visible()
        form.get_by_label("What is happening").focus()
        self.page.keyboard.type(problem)
        form.get_by_role("button", name="Open and rank units").focus()
        self.page.keyboard.press("Enter")
        expect(form).to_have_count(0)
        (number,) = (one["number"] for one in self.snapshot()["incidents"] if one["id"] not in before)
        return int(number)

    def settled(self) -> None:
        """The list of the open card is there, and is old enough for a key."""
        self.page.wait_for_selector(".candidates")
        self.page.wait_for_timeout(SETTLED_MS)

    def ranked_by(self) -> str:
        """What the list says of its times; asked again while the road engine is too busy, as a dispatcher would."""
        for _ in range(TRIES):
            said = self.page.locator(".engine").inner_text()
            if "in time" not in said:
                break
            self.page.get_by_role("button", name="Rank again").press("Enter")
            self.settled()
        return said

    def on_it(self, number: int) -> list[str]:
        """Call signs that are on the incident now."""
        (one,) = (one for one in self.snapshot()["incidents"] if one["number"] == number)
        return [sent["call_sign"] for sent in one["assignments"] if sent["released_ms"] is None]

    def until(self, what: str, look: Callable[[], object]) -> None:
        ends_s = time.monotonic() + PATIENCE_S
        while not look():
            assert time.monotonic() < ends_s, what
            time.sleep(0.2)

    def crew_presses(self, call_sign: str, *statuses: str) -> None:
        """What a crew does at its touchscreen, each seen at the console before the next."""
        screen = web.Browser(self.fleet.station(call_sign).screen)

        def state() -> web.Json:
            found = screen.json("/api/v1/state")
            screen.csrf = found["csrf"]
            return found

        self.until(f"{call_sign} has its assignment", lambda: state()["assignment"])
        assignment = state()["assignment"]["id"]
        for status in statuses:
            screen.submit("/status", {"status": status, "assignment": assignment})
            self.until(
                f"{call_sign} {status} at the console",
                lambda status=status: any(
                    unit["call_sign"] == call_sign and unit["status"] == status for unit in self.snapshot()["units"]
                ),
            )

    def free(self) -> list[str]:
        """Call signs of the vehicles that may be sent."""
        return [
            unit["call_sign"]
            for unit in self.snapshot()["units"]
            if unit["kind"] == "vehicle" and unit["status"] == "available"
        ]

    def place(self, address: str) -> dict[str, object]:
        """Where an address is, as another system would say it."""
        found = self.console.json(f"/api/v1/places?limit=1&q={quote(address)}")["places"][0]
        return {"lat": found["lat"], "lon": found["lon"], "place": found["name"]}

    def rest_of_the_way(self, call_sign: str) -> list[str]:
        """The statuses that a crew has still to press until it is free."""
        (now,) = (unit["status"] for unit in self.snapshot()["units"] if unit["call_sign"] == call_sign)
        return WAY[WAY.index(now) + 1 :] if now in WAY else list(WAY)

    def look(self, name: str) -> None:
        """A picture for whoever wants to judge the screen."""
        if folder := os.environ.get(PICTURES):
            self.page.wait_for_timeout(DRAWN_MS)
            self.page.screenshot(path=Path(folder, f"{name}.png"))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    home = tmp_path_factory.mktemp("busy") / "demo"
    demo = subprocess.Popen([program("tandem-demo"), "--home", str(home)], stdout=subprocess.PIPE, text=True)
    try:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("Next:"):
                break
        made = load(home)
        assert made is not None and demo.poll() is None, "the demo did not start"
        yield made
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(60)
        if demo.stdout is not None:
            demo.stdout.close()


@pytest.fixture
def hour(chromium: Browser, fleet: Fleet) -> Iterator[Hour]:
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    login = fleet.login("dispatcher")
    page.goto(f"{fleet.console}/signin")
    page.get_by_label("Name").focus()
    page.keyboard.type(login.account)
    page.keyboard.press("Tab")
    page.keyboard.type(login.password)
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-ready]")
    yield Hour(fleet, page)
    context.close()


def cab_of(fleet: Fleet, call_sign: str) -> int:
    """The process of a vehicle's terminal."""
    folder = fleet.station(call_sign).folder
    for process in Path("/proc").glob("[0-9]*"):
        command = (process / "cmdline").read_bytes().split(b"\0") if (process / "cmdline").exists() else []
        if b"run" in command and any(word.decode().endswith(folder) for word in command):
            return int(process.name)
    raise LookupError(f"no terminal runs in {folder}")


@pytest.mark.timeout(1200)
def test_a_busy_hour_goes_by_without_a_mouse_and_nobody_is_forgotten(hour: Hour) -> None:
    page, addresses = hour.page, hour.addresses

    # the first call: the first of the list, the crew answers and goes
    first_address = next(addresses)
    first = hour.open(first_address, "Man on the bridge rail, talking to a passer-by")
    hour.settled()
    engine = hour.ranked_by()
    assert ("straight line" not in engine.lower()) == (find_programs() is not None), engine
    hour.look("1-first-list")
    page.keyboard.press("1")
    hour.until("somebody is sent", lambda: hour.on_it(first))
    (crew,) = hour.on_it(first)
    hour.crew_presses(crew, "acknowledged", "en_route")
    expect(page.locator(".board-pane .sent", has_text=crew)).to_contain_text("En route")

    # the same call again, from somebody else: it is the same incident, with one remark more
    hour.say(f"new {first_address}")
    form = page.get_by_role("form", name="New incident")
    form.get_by_label("What is happening").focus()
    page.keyboard.type("Second caller, same man, he is crying")
    instead = page.get_by_role("button", name=f"Open #{first} instead")
    hour.look("2-told-twice")
    instead.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary", name="Incident")).to_contain_text(f"#{first}")
    hour.say(f"note {first} Second caller, same man, he is crying")
    hour.said(f"Noted at #{first}.")
    assert len(hour.snapshot()["incidents"]) == 1

    # three at once: solved together, sent by one confirmed act
    three = [
        hour.open(next(addresses), "Woman in the stairwell, will not speak"),
        hour.open(next(addresses), "Father worried about his son, 15"),
        hour.open(next(addresses), "Neighbor hears crying since the morning"),
    ]
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    expect(page.get_by_role("dialog", name="Rounds").locator("tbody tr")).to_have_count(3)
    hour.look("3-three-at-once")
    page.get_by_role("button", name="Send all 3, together").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Yes, send these 3")).to_be_focused()
    page.keyboard.press("Enter")
    hour.said("3 units are sent, together.")
    crews = {number: hour.on_it(number)[0] for number in three}
    assert len({crew, *crews.values()}) == 4
    for sent in crews.values():
        hour.crew_presses(sent, "acknowledged", "en_route", "on_scene", "contact")

    # a road is closed beside the next call: its list goes around it, and says so
    page.keyboard.press("x")
    page.get_by_role("button", name="Street", exact=True).press("Enter")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(700)
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Why", exact=True)).to_be_focused()
    page.keyboard.type("Water main")
    hour.look("4-closing")
    page.keyboard.press("Enter")
    hour.said("Closed: Water main.")

    # advice was enough
    by_phone = hour.open(next(addresses), "Asks for a number to call, no danger")
    hour.settled()
    if find_programs() is not None:
        hour.ranked_by()
        expect(page.get_by_role("complementary", name="Incident")).to_contain_text(
            re.compile("around one closure|inside a closure")
        )
    hour.say(f"settle {by_phone}")
    hour.said(f"#{by_phone} is settled by phone.")

    # a vehicle is lost: its terminal stands still, and nobody can know why
    lost = hour.free()[0]
    board = cab_of(hour.fleet, lost)
    os.kill(board, signal.SIGSTOP)
    try:
        expect(page.locator(".unit-row", has_text=lost)).to_contain_text("no link", timeout=LOST_MS_MAX)
        hour.look("5-lost")

        # the next call goes to the one that is left, by hand, and the crew answers
        (left,) = (one for one in hour.free() if one != lost)
        by_hand = hour.open(next(addresses), "Found on the curb, says nothing")
        hour.settled()
        hour.look("6-last-one")
        hour.say(f"send {left} {by_hand} Knows this person")
        hour.said(f"{left} is sent to #{by_hand}.")
        hour.crew_presses(left, "acknowledged")

        # nobody is free: the list says why of each; a call that is the same one is merged, another is linked
        waits = hour.open(next(addresses), "Wants to sleep and not wake up")
        hour.settled()
        hour.look("7-nobody-free")
        same = hour.open(next(addresses), "Sister of the one before")
        hour.say(f"merge {same} {waits}")
        hour.said(f"#{same} goes on as #{waits}.")
        hour.say(f"link {waits} {first}")

        # another system's call comes twice over its line and is one incident
        where = hour.place(next(addresses))
        opening = {"id": "cad-77012", "type": "WELFARE", "priority": 3, "problem": "Not seen for two days", **where}
        assert hour.console.post("/api/v1/incidents", opening) == hour.console.post("/api/v1/incidents", opening)
        (of_cad,) = (one["number"] for one in hour.snapshot()["incidents"] if one["id"] == "cad-77012")
        expect(page.locator("[data-incident='cad-77012']")).to_be_visible()

        # the first crew is done; it may rest now, and the first of the list has no link: the dispatcher asks the crew
        hour.crew_presses(crew, "on_scene", "contact", "clearing", "available")
        hour.say(f"close {first} Calmer, staying")
        hour.said(f"#{first} is closed.")
        hour.say(f"open {waits}")
        hour.settled()
        page.get_by_role("button", name="Rank again").press("Enter")
        hour.settled()
        hour.look("8-resting")
        hour.say(f"send {crew} {waits} They say they can")
        hour.said(f"{crew} is sent to #{waits}.")
        assert hour.on_it(waits) == [crew]
    finally:
        os.kill(board, signal.SIGCONT)

    # the lost vehicle is back, with what it recorded meanwhile
    expect(page.locator(".unit-row", has_text=lost)).not_to_contain_text("no link", timeout=LOST_MS_MAX)
    tenth = hour.open(next(addresses), "Man shouting at the bus stop")
    hour.settled()
    page.keyboard.press("1")
    hour.until("the tenth has a crew", lambda: hour.on_it(tenth))

    # everybody is looked after, and everything ends as something
    hour.say(f"settle {of_cad}")
    hour.said(f"#{of_cad} is settled by phone.")
    for number in (*three, by_hand, waits, tenth):
        (sent,) = hour.on_it(number)
        hour.crew_presses(sent, *hour.rest_of_the_way(sent))
        hour.say(f"close {number} Calmer, staying")
        hour.said(f"#{number} is closed.")
    hour.look("9-quiet")
    assert hour.snapshot()["incidents"] == []
    expect(page.locator(".board-pane")).to_contain_text("None open")
    numbers = {first, *three, by_phone, by_hand, waits, same, of_cad, tenth}
    assert len(numbers) == 10
