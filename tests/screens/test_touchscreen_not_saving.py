"""The screen while nothing is saved: it says so above everything, shows what is known, and takes nothing but a call for help."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import request

from tests.patience import PATIENCE_S
from tests.screens.screen_rig import Browser, ScreenRig, an_assignment

WHY = "the disk cannot be written"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ScreenRig]:
    made = ScreenRig(tmp_path / "car")
    made.roster()
    made.unit("en_route", an_assignment())
    yield made
    made.close()


@pytest.fixture
def browser(rig: ScreenRig) -> Browser:
    browser = rig.browser()
    assert browser.sign_on(rig).status_code == 303
    return browser


def test_it_is_said_above_everything_and_the_address_and_cautions_stay(rig: ScreenRig, browser: Browser) -> None:
    rig.ledger.sink(WHY)
    for path in ("/", "/live/strip", "/assignment"):
        page = browser.get(path).text
        assert page.index(f"Not saving: {WHY}") < page.index("strip-who")
    page = browser.get("/").text
    assert "Riverside Park, north gate" in page
    assert "Startled by loud voices" in page
    assert browser.state()["saving"] == {"is_saving": False, "why": f"Not saving: {WHY}"}


def test_no_status_is_offered_and_none_is_taken(rig: ScreenRig, browser: Browser) -> None:
    before = len(rig.records("status"))
    rig.ledger.sink(WHY)
    assert 'name="status"' not in browser.get("/").text
    for path in ("/status", "/sign-off", "/notes/new"):
        answer = browser.post(path, status="on_scene")
        assert answer.status_code == 503
        assert f"Not saved: {WHY}. Use the radio" in answer.text
    assert browser.fetch("/status", status="on_scene").get_json()["code"] == "not_saving"
    assert browser.state()["status"] == "en_route"
    assert len(rig.records("status")) == before


def test_a_disk_that_fails_in_the_middle_of_a_request_is_the_reason_that_is_said(
    rig: ScreenRig, browser: Browser
) -> None:
    def fail() -> None:
        if request.method == "POST":
            rig.ledger.sink(WHY)

    rig.app.before_request_funcs[None].append(fail)  # after everything that looks at a request before it is done
    answer = browser.fetch(f"/note/{'0' * 32}/draft", text="He is calmer now")
    assert (answer.status_code, answer.get_json()["code"]) == (503, "not_saving")
    assert f"Not saved: {WHY}. Use the radio" in answer.get_json()["message"]


@pytest.mark.parametrize("path", ["/notes", "/sign-on", "/sign-off", "/unlock"])
def test_pages_that_need_the_disk_say_so_in_one_sentence(rig: ScreenRig, browser: Browser, path: str) -> None:
    rig.ledger.sink(WHY)
    answer = browser.get(path)
    assert answer.status_code == 503
    assert f"Not saving: {WHY}. Use the radio, and tell the fleet tech. Emergency still works." in answer.text


def test_an_emergency_is_raised_all_the_same(rig: ScreenRig, browser: Browser) -> None:
    rig.ledger.sink(WHY)
    assert browser.post("/emergency/raise").status_code == 303
    end_s = time.monotonic() + PATIENCE_S
    while rig.emergency.view().is_saved and time.monotonic() < end_s:
        time.sleep(0.01)
    assert "not saved, sent all the same" in browser.get("/").text
    assert rig.records("emergency") == []


def test_what_the_hub_says_is_shown_and_never_answered(rig: ScreenRig, browser: Browser) -> None:
    rig.ledger.sink(WHY)
    rig.ledger.heard(lambda db: db.execute("update held set held_ms = 0"))
    rig.ledger.float(rig.store)
    assert rig.store.do(lambda db: db.execute("select count(*) from held where held_ms = 0").fetchone()[0]) == 0


def test_everything_is_taken_again_when_the_disk_is_good(rig: ScreenRig, browser: Browser) -> None:
    rig.ledger.sink(WHY)
    rig.ledger.float(rig.store)
    assert "Not saving" not in browser.get("/").text
    assert browser.post("/status", status="on_scene").status_code == 303
    assert browser.state()["status"] == "on_scene"


def test_a_desk_reads_nothing_and_says_why(tmp_path: Path) -> None:
    made = ScreenRig(tmp_path / "desk", kind="desk")
    made.roster()
    made.ledger.sink(WHY)
    browser = made.browser()
    page = browser.get("/").text
    assert f"Not saving: {WHY}" in page
    made.close()
