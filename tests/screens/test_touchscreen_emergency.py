"""Raising an emergency by hand: from every page, signed on or not, and while the disk hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread

import pytest

from edge.emergency_state import Phase, View
from edge.screen import words
from edge.screen.duress import OTHERS_MAX
from tests.patience import PATIENCE_S
from tests.screens.screen_rig import Browser, ScreenRig, an_assignment
from wire.codec import decode
from wire.facts import EmergencyFact

WALL_MS = 1_790_000_000_000


def until(what: str, look: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < end_s, what
        time.sleep(0.01)


def facts(rig: ScreenRig, count: int) -> list[EmergencyFact]:
    until(f"{count} saved", lambda: len(rig.records("emergency")) == count)
    return [decode(record.body, EmergencyFact) for record in rig.records("emergency")]


def test_two_steps_raise_it_signed_off_and_it_says_so_at_once(rig: ScreenRig) -> None:
    rig.unit("on_scene", an_assignment())
    browser = rig.browser()
    assert 'href="/emergency"' in browser.get("/").text  # the first step
    assert "Raise emergency" in browser.get("/emergency").text
    assert browser.post("/emergency/raise").headers["Location"] == "/emergency"  # the second
    assert "Emergency raised" in browser.get("/emergency").text
    assert browser.state()["emergency"]["phase"] == "raised"  # type: ignore[index]
    (fact,) = facts(rig, 1)
    assert (fact.source, fact.drill, fact.unit, fact.incident, fact.staff) == ("screen", False, "u-2", "LC-412", ())


def test_the_corner_is_on_every_page_and_the_zone_stays_as_it_is(rig: ScreenRig) -> None:
    rig.unit("on_scene", an_assignment())
    browser = rig.browser()
    for path in ("/sign-on", "/sign-on/s-rowan", "/assignment", "/live/strip", "/sign-off"):
        assert 'id="duress"' in browser.get(path).text, path
    browser.sign_on(rig)
    assert 'id="duress"' in browser.get("/notes").text
    browser.post("/lock")
    browser.post("/emergency/raise")
    assert browser.state()["is_unlocked"] is False
    assert facts(rig, 1)[0].staff == ("s-rowan",)


def test_pressing_again_a_test_and_the_wish_to_clear(rig: ScreenRig) -> None:
    browser = rig.browser()
    browser.post("/emergency/raise", drill="yes")
    assert facts(rig, 1)[0].drill
    page = browser.get("/emergency").text
    assert "Test raised" in page and "Raise a real emergency" in page
    rig.mono_s += 1
    browser.post("/emergency/raise")
    rig.mono_s += 1
    browser.post("/emergency/ask-clear")
    drill, real, asked = facts(rig, 3)
    assert (real.drill, real.id == drill.id) == (False, False)
    assert (asked.asks_clear, asked.id) == (True, real.id)
    until("asked", lambda: "You asked to clear it" in browser.get("/emergency").text)


def test_it_works_while_the_disk_hangs_and_every_other_page_waits(rig: ScreenRig) -> None:
    browser = rig.browser()
    token = str(browser.state()["csrf"])
    heals = Event()
    hangs = Thread(target=rig.store.do, args=(lambda db: heals.wait(30),), daemon=True)
    hangs.start()
    asking = [
        Thread(target=lambda: rig.browser().client.get("/", headers=browser.headers), daemon=True)
        for _ in range(OTHERS_MAX)
    ]
    for one in asking:
        one.start()
    time.sleep(0.3)
    turned_away = rig.browser().client.get("/", headers=browser.headers)
    assert (turned_away.status_code, "Emergency still works" in turned_away.text) == (503, True)
    raised = browser.client.post("/emergency/raise", data={"csrf": token}, headers=browser.headers)
    assert raised.status_code == 303
    assert "Emergency raised" in browser.get("/live/emergency").text

    def is_told() -> bool:
        rig.mono_s += 1  # time goes on, from whenever the press was taken
        return "not saved" in browser.get("/live/emergency").text

    until("it says that it is not saved", is_told)
    heals.set()
    for one in (hangs, *asking):
        one.join(10)
    facts(rig, 1)
    assert browser.get("/").status_code == 200  # the places are free again


def test_another_page_cannot_raise_it(rig: ScreenRig) -> None:
    browser = Browser(rig.app.test_client())
    browser.get("/")
    strange = browser.client.post("/emergency/raise", headers={"Origin": "http://elsewhere.example"})
    stale = browser.client.post("/emergency/raise", headers=browser.headers)
    assert (strange.status_code, stale.status_code) == (403, 303)  # the second is led back to a fresh page
    time.sleep(0.1)
    assert rig.emergency.phase() is Phase.NONE


@pytest.mark.parametrize(
    ("view", "head", "detail"),
    [
        (View(), "Emergency", ""),
        (View(phase=Phase.RAISED, raised_ms=WALL_MS), f"Emergency raised {words.clock(WALL_MS)}", "on its way"),
        (View(phase=Phase.RAISED), "Emergency raised", "on its way"),
        (View(phase=Phase.RAISED, is_saved=False), "Emergency raised", "not saved, sent all the same"),
        (View(phase=Phase.RECEIVED, raised_ms=WALL_MS), "Dispatch has it", "no one has answered"),
        (View(phase=Phase.ACKNOWLEDGED, acknowledged_ms=WALL_MS, by="Nina"), "Acknowledged by dispatch", "Nina"),
        (View(phase=Phase.ACKNOWLEDGED, acknowledged_ms=WALL_MS, is_asked=True), "Acknowledged", "you asked"),
        (View(phase=Phase.RAISED, is_drill=True), "Test raised", "on its way"),
        (View(phase=Phase.RECEIVED, is_drill=True), "Dispatch has the test", ""),
        (View(phase=Phase.ACKNOWLEDGED, is_drill=True), "Test acknowledged", ""),
    ],
)
def test_the_corner_says_how_far_it_has_come(view: View, head: str, detail: str) -> None:
    said = words.emergency(view)
    assert said.head.startswith(head)
    assert detail in said.detail
