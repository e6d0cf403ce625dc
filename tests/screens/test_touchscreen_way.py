"""The way on the touchscreen: one look says where to turn, and nothing is said that is not known."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from edge.screen import way
from edge.screen.way import NEAR_BOX
from edge.uplink import LinkState
from tests.screens.screen_rig import ScreenRig, an_assignment
from tests.ways import a_fix, a_route, driven, spot
from wire.state import Assignment
from wire.way import KINDS

CORNERS = ((0, 0), (0, 600), (400, 600), (400, 900), (1200, 900))
LAT, LON = spot(1210, 905)
DOWN = LinkState(link="down", hub=False, unsent=0, oldest_ms=None, received_through_ms=None, why=None, refused=0)


def to_there(**over: object) -> Assignment:
    return an_assignment(lat=LAT, lon=LON, **over)


def go(rig: ScreenRig, meters: float, corners: Sequence[tuple[float, float]] = CORNERS) -> None:
    """Drive so far along the way; the clock goes with it."""
    for _, along, fix in driven(corners):
        if along > meters:
            return
        rig.mono_s += 1
        rig.drive(fix)


@pytest.fixture
def sent(rig: ScreenRig) -> ScreenRig:
    """A terminal with an assignment and its way."""
    rig.unit("en_route", to_there())
    rig.routes(a_route(CORNERS))
    return rig


def told(rig: ScreenRig) -> dict[str, str]:
    state = rig.browser().state()["way"]
    assert isinstance(state, dict)
    shown: dict[str, str] = state["words"]
    return shown


def test_the_next_turn_its_distance_and_the_arrival_stand_on_the_glance_and_large_on_its_own_page(
    sent: ScreenRig,
) -> None:
    go(sent, 300)
    shown = told(sent)
    assert [shown[each] for each in ("phase", "arrow", "head", "street")] == ["turn", "right", "0.2 mi", "Fifth Avenue"]
    assert shown["left"] == "1.1 mi"
    assert re.fullmatch(r"\d\d:\d\d", shown["eta"])
    for path in ("/", "/way"):
        page = sent.browser().get(path).text
        for expected in ("Fifth Avenue", shown["head"], shown["eta"], shown["left"]):
            assert expected in page, path
        assert "style=" not in page and "<script>" not in page


def test_a_turn_that_follows_soon_is_named_with_the_next(sent: ScreenRig) -> None:
    corners = ((0, 0), (0, 600), (120, 600), (120, 1500))
    sent.routes(a_route(corners, n=2))
    go(sent, 400, corners)
    assert told(sent)["then"] == "then left: Highland Street"


def test_the_time_falls_as_the_vehicle_goes(sent: ScreenRig) -> None:
    go(sent, 100)
    before = told(sent)
    go(sent, 1300)
    after = told(sent)
    assert (before["minutes"], after["minutes"]) == ("3 min", "1 min")
    assert (before["left"], after["left"]) == ("1.2 mi", "0.5 mi")


def test_the_list_of_turns_ends_with_the_place_by_its_name_and_loses_what_is_behind(sent: ScreenRig) -> None:
    go(sent, 100)
    page = sent.browser().get("/way/turns").text
    assert page.index("Turn right onto Fifth Avenue") < page.index("Turn left onto Highland Street")
    assert page.index("Mc Cutcheon Road") < page.index("Riverside Park, north gate")
    assert "You have arrived" not in page
    go(sent, 800)
    assert "Fifth Avenue" not in sent.browser().get("/way/turns").text


def test_who_is_off_the_way_sees_no_turn_at_all_and_what_happens_now(sent: ScreenRig) -> None:
    go(sent, 200)
    for step in range(10):
        sent.mono_s += 1
        sent.drive(a_fix(-12.0 * step, 210, 270))
    shown = told(sent)
    assert (shown["phase"], shown["arrow"], shown["head"], shown["street"], shown["eta"]) == (
        "off",
        "",
        "Off route",
        "A new way is coming",
        "",
    )
    assert re.fullmatch(r"\d.* (north|northeast|east)", shown["straight"])
    for path in ("/", "/way", "/way/turns"):
        page = sent.browser().get(path).text
        assert "A new way is coming" in page
        assert "Fifth Avenue" not in page
        assert 'class="ahead"' not in page  # nor is the old line drawn as one to follow
    sent.link = DOWN
    assert told(sent)["street"] == "No link: no new way until it is back"


def test_a_new_way_is_shown_as_soon_as_it_has_come(sent: ScreenRig) -> None:
    go(sent, 200)
    for step in range(10):
        sent.mono_s += 1
        sent.drive(a_fix(-12.0 * step, 210, 270))
    sent.routes(a_route(((-108, 210), (-500, 210), (-500, 900), (1200, 900)), n=2, why="left"))
    shown = told(sent)
    assert (shown["phase"], shown["arrow"]) == ("turn", "right")


def test_a_new_way_that_does_not_come_is_said(sent: ScreenRig) -> None:
    go(sent, 200)
    for step in range(40):
        sent.mono_s += 1
        sent.drive(a_fix(-12.0 * step, 210, 270))
    assert told(sent)["street"].startswith("No new way for ")


def test_while_nobody_can_say_whether_it_is_on_the_way_no_turn_is_shown(sent: ScreenRig) -> None:
    go(sent, 200)
    sent.mono_s += 1
    sent.drive(a_fix(80, 210, 0))
    shown = told(sent)
    assert (shown["phase"], shown["arrow"]) == ("unsure", "")
    assert "Fifth Avenue" not in sent.browser().get("/way").text


def test_an_old_place_shows_no_turn_and_says_how_old_the_time_is(sent: ScreenRig) -> None:
    go(sent, 200)
    sent.mono_s += 45
    shown = told(sent)
    assert (shown["phase"], shown["arrow"], shown["as_of"]) == ("old", "", "as of 45 s ago")
    assert "is-old" in sent.browser().get("/way").text


@pytest.mark.parametrize(
    ("why_not", "sentence"),
    [
        ("engine", "The hub cannot ask the roads now"),
        ("no_way", "No open road leads there"),
        ("position", "Dispatch does not know where you are"),
        ("a word of a newer hub", "This one cannot be read"),
    ],
)
def test_without_a_way_it_says_why_and_how_far_it_is_straight_and_where(
    rig: ScreenRig, why_not: str, sentence: str
) -> None:
    rig.unit("en_route", to_there())
    rig.drive(a_fix(0, 0))
    rig.routes(a_route(CORNERS, line="", turns=(), why_not=why_not))
    shown = told(rig)
    assert (shown["head"], shown["street"], shown["eta"]) == ("No route", sentence, "")
    assert shown["straight"] == "0.9 mi northeast"
    assert 'class="straight"' in rig.browser().get("/way").text


def test_a_way_that_has_not_come_yet_is_not_one_that_there_is_not(rig: ScreenRig) -> None:
    rig.unit("assigned", to_there())
    assert (told(rig)["head"], told(rig)["street"]) == ("No route yet", "It comes behind the assignment")
    rig.link = DOWN
    assert told(rig)["street"] == "No link: it comes when that is back"


def test_the_way_of_another_assignment_is_not_shown(sent: ScreenRig) -> None:
    sent.routes(a_route(CORNERS, "a-9"))
    sent.drive(a_fix(0, 0))
    assert told(sent)["head"] == "No route yet"


def test_a_way_outlives_a_restart_without_a_link_and_stands_nowhere_readable(sent: ScreenRig) -> None:
    go(sent, 300)
    sent.link = DOWN
    sent.restart()
    sent.drive(a_fix(0, 420))
    assert told(sent)["street"] == "Fifth Avenue"
    for file in sent.home.rglob("*"):
        assert not file.is_file() or b"Fifth Avenue" not in file.read_bytes()


@pytest.mark.parametrize("status", ["available", "on_scene", "contact", "transporting", "clearing"])
def test_who_is_not_on_the_way_is_shown_none(sent: ScreenRig, status: str) -> None:
    go(sent, 300)
    sent.unit(status, to_there())
    assert sent.browser().state()["way"] is None
    assert "Fifth Avenue" not in sent.browser().get("/").text
    assert sent.browser().get("/way").status_code == 200
    assert sent.browser().get("/way/turns").status_code == 200


def test_an_arrival_is_suggested_and_one_tap_sets_it_and_nothing_else_does(sent: ScreenRig) -> None:
    sent.unit("en_route", to_there(gate="secure"))
    for _ in range(8):
        sent.mono_s += 1
        sent.drive(a_fix(1195, 900, 90, 0.3))
    browser = sent.browser()
    for path in ("/", "/way"):
        assert "On scene?" in browser.get(path).text
    assert browser.state()["status"] == "en_route"
    assert sent.records("status") == []
    assert browser.post("/status", status="on_scene", **{"from": "en_route"}).status_code == 303
    assert browser.state()["status"] == "on_scene"
    assert "On scene?" not in browser.get("/").text


def test_a_crew_that_shall_wait_at_a_distance_is_asked_whether_it_is_staged(sent: ScreenRig) -> None:
    for _ in range(8):
        sent.mono_s += 1
        sent.drive(a_fix(900, 900, 90, 0.3))
    page = sent.browser().get("/way").text
    assert "Staged?" in page and "On scene?" not in page
    sent.unit("en_route", to_there(gate="secure"))
    assert "?</button>" not in sent.browser().get("/way").text  # three hundred meters is not there


def test_a_new_assignment_is_loud_on_the_page_of_the_way(sent: ScreenRig) -> None:
    sent.unit("assigned", to_there())
    go(sent, 100)
    assert "New assignment" in sent.browser().get("/way").text
    assert "Fifth Avenue" not in sent.browser().get("/").text  # first what it is, then how to get there


def test_while_nothing_is_saved_the_way_is_still_shown_and_no_arrival_is_asked_for(sent: ScreenRig) -> None:
    for _ in range(8):
        sent.mono_s += 1
        sent.drive(a_fix(1195, 900, 90, 0.3))
    sent.ledger.sink("the disk is full")
    page = sent.browser().get("/way")
    assert page.status_code == 200
    assert "?</button>" not in page.text


def test_a_desk_has_no_way(tmp_path_factory: pytest.TempPathFactory) -> None:
    desk = ScreenRig(tmp_path_factory.mktemp("desk") / "desk", "desk")
    try:
        desk.unit("available")
        assert desk.browser().state()["way"] is None
        assert desk.browser().get("/way").status_code == 200
    finally:
        desk.close()


# ---- the drawing


def test_the_way_ahead_is_up_and_a_turn_to_the_right_is_drawn_to_the_right(sent: ScreenRig) -> None:
    for corners, n in ((CORNERS, 2), (tuple((-east, -north) for east, north in CORNERS), 3)):
        sent.routes(a_route(corners, n=n))
        go(sent, 480, corners)
        drawing = way.near(sent.guide.look("a-1", sent.mono_s), to_there())
        assert drawing is not None and drawing.car is not None
        x, y, points = drawing.car
        next_x, next_y = drawing.turns[0]
        assert abs(next_x - x) < 3 and next_y < y  # ahead of it
        last_x = float(drawing.ahead.rpartition("L")[2].split()[0])
        assert last_x > next_x + 50  # and then to the right
        assert min(points, 360 - points) < 3
    assert drawing.north_deg == 180


def test_without_a_way_north_is_up_and_both_ends_are_in_the_drawing(rig: ScreenRig) -> None:
    rig.drive(a_fix(0, 0, 123))
    drawing = way.near(rig.guide.look(None, rig.mono_s), to_there())
    assert drawing is not None and drawing.car is not None and drawing.place is not None
    assert drawing.north_deg == 0
    assert drawing.car[2] == 123
    for x, y in (drawing.car[:2], drawing.place[:2]):
        assert 0 < x < NEAR_BOX[0] and 0 < y < NEAR_BOX[1]
    assert not drawing.place[2]


def test_a_place_beyond_the_edge_is_shown_in_its_direction(sent: ScreenRig) -> None:
    go(sent, 480)
    drawing = way.near(sent.guide.look("a-1", sent.mono_s), to_there())
    assert drawing is not None and drawing.place is not None
    assert drawing.place[2]
    assert drawing.place[0] > NEAR_BOX[0] / 2


def test_a_very_long_way_is_drawn_small(sent: ScreenRig) -> None:
    corners = [(50.0 * index, 20.0 * (index % 2)) for index in range(1_500)]
    sent.routes(a_route(corners, n=2))
    sent.mono_s += 1
    sent.drive(a_fix(0, 0, 90))
    assert len(sent.browser().get("/way").data) < 24_000
    assert len(sent.browser().get("/way/turns").data) > 0
    drawing = way.whole(sent.guide.look("a-1", sent.mono_s), to_there())
    assert drawing is not None and len(drawing.ahead) < 8_000


@pytest.mark.parametrize(
    ("meters", "said"),
    [(3, "50 ft"), (30, "100 ft"), (200, "650 ft"), (300, "0.2 mi"), (1609, "1.0 mi"), (40_000, "25 mi")],
)
def test_a_distance_is_said_as_drivers_say_it(meters: float, said: str) -> None:
    assert way.spoken(meters) == said


def test_a_way_over_an_hour_is_said_in_hours(sent: ScreenRig) -> None:
    sent.routes(a_route(CORNERS, n=2, beyond_m=90_000, beyond_s=4_200))
    go(sent, 20)
    assert told(sent)["minutes"] == "1 h 13 min"


def test_every_kind_of_turn_has_its_arrow_and_a_word_of_a_newer_hub_has_none(sent: ScreenRig) -> None:
    plain = a_route(CORNERS)
    drawn = set()
    for kind in KINDS:
        turned = replace(
            plain, n=plain.n + 1 + KINDS.index(kind), turns=(plain.turns[0], replace(plain.turns[1], kind=kind))
        )
        sent.routes(turned)
        sent.mono_s += 1
        sent.drive(a_fix(0, 100))
        found = re.search(r'<svg class="arrow".*?</svg>', sent.browser().get("/way").text, re.S)
        assert found is not None and "<path" in found[0], kind
        drawn.add(found[0])
    assert len(drawn) == len(KINDS) - 2  # start, straight and out of a roundabout look the same
    sent.routes(replace(plain, n=99, turns=(plain.turns[0], replace(plain.turns[1], kind="hyperloop"))))
    page = sent.browser().get("/way").text
    assert "<path" not in re.search(r'<svg class="arrow".*?</svg>', page, re.S)[0]  # type: ignore[index]
