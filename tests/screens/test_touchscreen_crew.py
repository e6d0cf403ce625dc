"""The crew's pages: what they show, what one tap does, who may talk to them."""

from __future__ import annotations

from datetime import datetime

import pytest
from flask.testing import FlaskClient
from msgspec.structs import replace

from edge.screen import words
from edge.screen.guard import SESSIONS_MAX
from edge.tracker import GpsState
from edge.uplink import LinkState
from tests.screens.screen_rig import UP, ScreenRig, an_assignment
from wire.codec import decode
from wire.facts import ShiftFact, StatusFact


def statuses(rig: ScreenRig) -> list[StatusFact]:
    return [decode(record.body, StatusFact) for record in rig.records("status")]


def test_one_glance_shows_who_where_what_and_how_dangerous(rig: ScreenRig) -> None:
    rig.unit("assigned", an_assignment())
    page = rig.browser().get("/").text
    for expected in (
        "CARE-2",
        "New assignment",
        "Mental-health crisis, violence reported",
        "Riverside Park, north gate",
        "mother waits at the gate",
        "Wait at a distance",
        "Startled by loud voices",
        "P-14",
        "En route",
        "Acknowledge",
        "All received",
        ">GPS<",
    ):
        assert expected in page
    assert "<script>" not in page and "style=" not in page and "onclick" not in page


def test_a_tap_is_owed_to_the_hub_and_shown_at_once(rig: ScreenRig) -> None:
    rig.unit("assigned", an_assignment())
    browser = rig.browser()
    assert browser.post("/status", status="acknowledged").status_code == 303
    assert browser.state()["status"] == "acknowledged"
    (fact,) = statuses(rig)
    assert (fact.status, fact.by, fact.staff, fact.assignment, fact.skipped) == (
        "acknowledged",
        "crew",
        None,
        "a-1",
        False,
    )
    assert rig.woken == 1


def test_statuses_work_with_nobody_signed_on_and_say_who_pressed_once_somebody_is(rig: ScreenRig) -> None:
    browser = rig.browser()
    browser.post("/status", status="break")
    browser.sign_on(rig)
    browser.post("/status", status="available")
    assert [fact.staff for fact in statuses(rig)] == [None, "s-rowan"]


def test_a_double_tap_is_one_status(rig: ScreenRig) -> None:
    rig.unit("acknowledged", an_assignment())
    browser = rig.browser()
    for shown in ("acknowledged", "acknowledged", "en_route"):  # the third lands on the button that changed under it
        browser.post("/status", **{"status": "en_route" if shown == "acknowledged" else "on_scene", "from": shown})
    assert [fact.status for fact in statuses(rig)] == ["en_route"]
    rig.mono_s += 1.0
    browser.post("/status", **{"status": "on_scene", "from": "en_route"})
    assert [fact.status for fact in statuses(rig)] == ["en_route", "on_scene"]


def test_a_page_that_is_out_of_date_sets_nothing_and_says_so(rig: ScreenRig) -> None:
    rig.unit("clearing")
    browser = rig.browser()
    browser.post("/status", **{"status": "on_scene", "from": "en_route"})
    assert statuses(rig) == []
    assert "The status is Clearing by now" in browser.get("/").text
    assert "by now" not in browser.get("/").text


def test_undo_within_five_seconds_names_what_it_takes_back(rig: ScreenRig) -> None:
    rig.unit("en_route", an_assignment())
    browser = rig.browser()
    browser.post("/status", status="on_scene")
    assert "Undo" in browser.get("/").text
    rig.mono_s += 4.9
    browser.post("/status/undo")
    first, second = rig.records("status")
    fact = decode(second.body, StatusFact)
    assert (fact.status, fact.undoes, fact.skipped) == ("en_route", first.seq, False)
    assert browser.state()["status"] == "en_route"
    browser.post("/status/undo")
    assert len(statuses(rig)) == 2


def test_after_five_seconds_nothing_is_undone(rig: ScreenRig) -> None:
    browser = rig.browser()
    browser.post("/status", status="break")
    rig.mono_s += 5.1
    assert "Undo" not in browser.get("/").text
    browser.post("/status/undo")
    assert [fact.status for fact in statuses(rig)] == ["break"]


def test_only_a_status_that_a_crew_can_set_is_taken(rig: ScreenRig) -> None:
    browser = rig.browser()
    for word in ("assigned", "flying", ""):
        browser.post("/status", status=word)
    assert statuses(rig) == []


def through(ms: int) -> str:
    return f"through {datetime.fromtimestamp(ms / 1000):%H:%M:%S}"


@pytest.mark.parametrize(
    ("state", "head", "detail"),
    [
        (UP, "All received", ""),
        (replace(UP, received_through_ms=1_789_999_990_000), "All received", through(1_789_999_990_000)),
        (replace(UP, unsent=3, oldest_ms=1_789_999_930_000, is_sending=False), "3 unsent", "oldest 1 min"),
        ((True, True, 12, 240), "12 unsent", "oldest 4 min"),
        ((True, True, 1, 1), "Link up", "sending 1"),
        ((False, False, 3, 185), "No link", "3 unsent, oldest 3 min"),
        ((False, False, 0, None), "No link", "all received"),
        ((True, False, 2, 65), "Hub away", "2 unsent, oldest 1 min"),
        ((False, False, 2, None), "No link", "2 unsent"),
    ],
)
def test_the_link_is_said_in_words(
    state: LinkState | tuple[bool, bool, int, int | None], head: str, detail: str
) -> None:
    now_ms = 1_790_000_000_000
    if isinstance(state, tuple):
        is_up, hub, unsent, old_s = state
        oldest_ms = None if old_s is None else now_ms - old_s * 1000
        link = "up" if is_up else "down"
        state = LinkState(
            link=link, hub=hub, unsent=unsent, oldest_ms=oldest_ms, received_through_ms=None, why=None, refused=0
        )
    said = words.link(state, now_ms)
    assert (said.head, said.detail) == (head, detail)


def test_each_state_of_link_and_receiver_has_its_own_shape_too() -> None:
    now_ms = 1_790_000_000_000
    down = LinkState(link="down", hub=False, unsent=0, oldest_ms=None, received_through_ms=None, why=None, refused=0)
    late = LinkState(link="up", hub=True, unsent=2, oldest_ms=0, received_through_ms=None, why=None, refused=0)
    assert len({words.link(state, now_ms).shape for state in (UP, down, late)}) == 3
    fix, none = words.gps(GpsState(word="fix")), words.gps(GpsState(word="no fix", age_s=75.0))
    assert fix is not None and none is not None and fix.shape != none.shape and none.detail == "last 1 min ago"
    assert words.gps(GpsState(word="none")) is None


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (-5, "0 s"),
        (59_999, "59 s"),
        (60_000, "1 min"),
        (3_599_000, "59 min"),
        (7_800_000, "2 h 10 min"),
        (7_200_000, "2 h"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_an_age_is_never_rounded_up(ms: int, said: str) -> None:
    assert words.age(ms) == said


def test_an_old_picture_without_a_link_says_that_it_may_have_changed(rig: ScreenRig) -> None:
    rig.unit("en_route", an_assignment())
    browser = rig.browser()
    assert "may have changed" not in browser.get("/").text
    rig.link = LinkState(
        link="down", hub=False, unsent=0, oldest_ms=None, received_through_ms=None, why=None, refused=0
    )
    assert "may have changed" in browser.get("/").text


def test_before_the_hub_has_said_anything_the_page_still_stands(rig: ScreenRig) -> None:
    fresh = ScreenRig(rig.home.parent / "fresh")
    page = fresh.browser().get("/")
    assert page.status_code == 200 and "No unit yet" in page.text
    assert fresh.browser().post("/status", status="available").status_code == 303
    assert fresh.records("status") == []
    fresh.close()


# ---- sign on and off


def test_signing_on_opens_a_shift_with_a_key_and_signing_off_closes_it(rig: ScreenRig) -> None:
    browser = rig.browser()
    assert browser.sign_on(rig).status_code == 303
    assert (browser.state()["signed_on"], browser.state()["staff"]) == (True, "s-rowan")
    assert browser.state()["is_unlocked"] is True
    browser.post("/sign-off")
    assert (browser.state()["signed_on"], browser.state()["is_unlocked"]) == (False, False)
    facts = [decode(record.body, ShiftFact) for record in rig.records("shift")]
    assert [(fact.on, fact.unit, fact.shift_key is not None) for fact in facts] == [
        (True, "u-2", True),
        (False, "u-2", False),
    ]


def test_wrong_pins_are_counted_across_a_restart_and_lock(rig: ScreenRig) -> None:
    pin = rig.pin("s-rowan")
    wrong = "000000" if pin != "000000" else "111111"
    answers = [rig.browser().post("/sign-on", staff="s-rowan", pin=wrong).text for _ in range(3)]
    assert "4 tries left" in answers[0] and "2 tries left" in answers[2]
    rig.restart()
    assert "1 try left" in rig.browser().post("/sign-on", staff="s-rowan", pin=wrong).text
    assert "supervisor has to release it" in rig.browser().post("/sign-on", staff="s-rowan", pin=wrong).text
    assert "supervisor has to release it" in rig.browser().post("/sign-on", staff="s-rowan", pin=pin).text
    page = rig.browser().get("/sign-on/s-rowan").text
    assert "supervisor has to release it" in page and "data-pad" not in page
    assert rig.browser().state()["signed_on"] is False
    assert rig.browser().post("/status", status="break").status_code == 303
    assert len(statuses(rig)) == 1


def test_a_disk_that_does_not_take_the_count_of_a_pin_is_said(rig: ScreenRig) -> None:
    pin = rig.pin("s-rowan")
    (rig.home / "vault" / ".s-rowan.slot.new").symlink_to("/dev/full")
    answer = rig.browser().fetch("/sign-on", staff="s-rowan", pin=pin)
    assert answer.status_code == 503 and answer.get_json()["code"] == "not_saved"


def test_only_people_of_todays_list_sign_on_and_one_at_a_time(rig: ScreenRig) -> None:
    browser = rig.browser()
    browser.post("/sign-on", staff="s-stranger", pin=rig.pin("s-stranger"))
    assert browser.state()["signed_on"] is False
    browser.sign_on(rig)
    browser.post("/sign-on", staff="s-linden", pin=rig.pin("s-linden"))
    assert browser.state()["staff"] == "s-rowan"
    assert browser.post("/sign-on", staff="../../etc/passwd", pin="000000").status_code in (303, 400)


def test_a_person_without_a_pin_is_told_what_to_do(rig: ScreenRig) -> None:
    assert "no PIN on this terminal" in rig.browser().get("/sign-on").text
    assert "tandem-edge pin issue" in rig.browser().get("/sign-on/s-kim").text


def test_signing_off_with_something_unsent_warns(rig: ScreenRig) -> None:
    browser = rig.browser()
    browser.sign_on(rig)
    assert "Nothing unsent" in browser.get("/sign-off").text
    rig.link = LinkState(link="down", hub=False, unsent=3, oldest_ms=0, received_through_ms=None, why=None, refused=0)
    assert "3 unsent." in browser.get("/sign-off").text


def test_the_shift_survives_a_restart_and_only_the_clinical_zone_asks_again(rig: ScreenRig) -> None:
    rig.browser().sign_on(rig)
    rig.restart()
    browser = rig.browser()
    assert browser.state()["staff"] == "s-rowan"
    assert browser.get("/").status_code == 200
    assert browser.get("/notes").headers["Location"].startswith("/unlock")


# ---- who may talk to the screen


def raw(rig: ScreenRig) -> FlaskClient:
    return rig.app.test_client()


def test_a_foreign_host_is_refused_before_anything(rig: ScreenRig) -> None:
    for host in ("evil.example", "192.168.1.7:8101", "localhost.evil.example", ""):
        assert raw(rig).get("/", headers={"Host": host}).status_code == 421
    for host in ("127.0.0.1:8101", "localhost:8101", "[::1]:8101", "localhost"):
        assert raw(rig).get("/", headers={"Host": host}).status_code == 200


def test_a_post_needs_our_origin_and_the_sessions_token(rig: ScreenRig) -> None:
    browser = rig.browser()
    token = str(browser.state()["csrf"])
    for origin in ("http://evil.example", "null", "https://localhost", "http://localhost:9999", None):
        headers = {"X-CSRF-Token": token} | ({"Origin": origin} if origin else {})
        answer = browser.client.post("/status", data={"status": "break"}, headers=headers)
        assert answer.status_code == 403 and answer.get_json()["code"] == "origin"
    for wrong in ("", "x", token[:-1]):
        headers = {"X-CSRF-Token": wrong or "-", "Origin": "http://localhost"}
        answer = browser.client.post("/status", data={"status": "break"}, headers=headers)
        assert answer.status_code == 403 and answer.get_json()["code"] == "stale"
    others = str(rig.browser().state()["csrf"])
    headers = {"X-CSRF-Token": others, "Origin": "http://localhost"}
    assert browser.client.post("/status", data={"status": "break"}, headers=headers).status_code == 403
    assert statuses(rig) == []
    headers = {"X-CSRF-Token": token, "Origin": "http://localhost"}
    assert browser.client.post("/status", data={"status": "break"}, headers=headers).status_code == 303


def test_the_headers_of_every_answer(rig: ScreenRig) -> None:
    for path in ("/", "/sign-on", "/api/v1/state", "/nowhere"):
        answer = rig.browser().get(path)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and cookie.startswith("tandem_vehicle-2=")


def test_sessions_are_bounded_and_end_with_the_program(rig: ScreenRig) -> None:
    first = rig.browser()
    token = str(first.state()["csrf"])
    for _ in range(SESSIONS_MAX):
        rig.browser().get("/")
    assert str(first.state()["csrf"]) != token
    again = str(first.state()["csrf"])
    cookie = first.client.get_cookie("tandem_vehicle-2")
    rig.restart()
    browser = rig.browser()
    assert cookie is not None
    browser.client.set_cookie("tandem_vehicle-2", cookie.value)
    assert str(browser.state()["csrf"]) != again


def test_a_body_over_the_limit_is_refused(rig: ScreenRig) -> None:
    browser = rig.browser()
    token = str(browser.state()["csrf"])
    headers = {"X-CSRF-Token": token, "Origin": "http://localhost"}
    answer = browser.client.post("/status", data={"status": "x" * 70_000}, headers=headers)
    assert answer.status_code == 413


def test_the_theme_is_remembered_and_the_way_back_stays_on_this_screen(rig: ScreenRig) -> None:
    browser = rig.browser()
    assert browser.post("/theme", theme="night", then="/sign-on").headers["Location"] == "/sign-on"
    assert 'data-theme="night"' in browser.get("/").text
    for elsewhere in ("https://evil.example/", "//evil.example", "/\\evil.example", "/nowhere"):
        assert browser.post("/theme", theme="day", then=elsewhere).headers["Location"] == "/"


def test_the_state_is_what_the_contract_says(rig: ScreenRig) -> None:
    rig.unit("assigned", an_assignment())
    state = rig.browser().state()
    assert {"device", "kind", "call_sign", "unit", "signed_on", "staff", "status", "status_label", "next"} < set(state)
    assert {"assignment", "held_ms", "link", "gps", "notes", "csrf"} < set(state)
    assert (state["kind"], state["unit"], state["next"]) == (
        "vehicle",
        "u-2",
        ["acknowledged", "en_route", "available"],
    )
    assignment = state["assignment"]
    assert isinstance(assignment, dict) and assignment["encounter"] == (b"e" * 16).hex()


def test_a_status_from_a_dispatcher_shows_on_the_next_look(rig: ScreenRig) -> None:
    browser = rig.browser()
    browser.get("/")
    rig.unit("out_of_service")
    assert browser.state()["status"] == "out_of_service"


def test_what_keeps_records_from_being_received_stands_under_the_strip(rig: ScreenRig) -> None:
    browser = rig.browser()
    assert "wiring bad" not in browser.get("/").text
    rig.link = replace(
        UP, unsent=3, is_sending=False, why="the broker does not let this terminal send: tell the fleet tech"
    )
    assert "Nothing is received" in browser.get("/").text
    assert "does not let this terminal send" in browser.get("/live/strip").text
    rig.link = replace(UP, is_twin=True)
    page = browser.get("/").text
    assert "Another board uses this terminal&#39;s identity" in page
    assert "tell the fleet tech" in page
