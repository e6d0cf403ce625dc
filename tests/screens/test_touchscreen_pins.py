"""What the screen says of the wiring: nothing while it works, plain words when a crew must not rely on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edge.clock import Clock
from edge.schema import LEDGER
from edge.screen import words
from edge.screen.app import ScreenParts, create_screen
from edge.screen.zone import Zone
from edge.store import Store
from firmware_bridge.pins import NO_PINS, Condition, Duress, Name, PinsState, PinState
from tests.screens.screen_rig import ScreenRig

WORKS = PinsState(
    is_wired=True,
    is_simulated=False,
    duress=Duress.WORKS,
    pins={name: PinState(condition=Condition.OK, gpio=number, level=0.0) for number, name in enumerate(Name)},
)


class WiredRig(ScreenRig):
    """A screen whose pins a test sets, and whose zone is the terminal's."""

    def start(self) -> None:
        self.state, self.unsaved = NO_PINS, list[int]()
        super().start()
        self.zone = Zone(lambda: self.mono_s)
        base = ScreenParts(
            identity=self.who,
            store=self.store,
            signer=self.signer,
            clock=Clock(b"b" * 16, mono_s=lambda: self.mono_s),
            home=self.home,
            link_state=lambda: self.link,
            gps_state=lambda: self.gps,
            wake=self.wake,
            emergency=self.emergency,
            pins_state=lambda: self.state,
            zone=self.zone,
            unsaved=lambda: self.unsaved.append(1),
        )
        self.app = create_screen(base)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WiredRig]:
    made = WiredRig(tmp_path)
    made.roster()
    made.unit()
    yield made
    made.close()


def bad(duress: Duress) -> PinsState:
    return msgspec.structs.replace(WORKS, duress=duress)


@pytest.mark.parametrize("state", [NO_PINS, WORKS])
def test_nothing_is_said_where_the_button_works_or_none_is_wired(rig: WiredRig, state: PinsState) -> None:
    rig.state = state
    assert words.pins(state) is None
    page = rig.browser().get("/").text
    assert '<p class="wiring " id="strip-pins" data-live role="status" hidden>' in page


@pytest.mark.parametrize(
    ("duress", "sentence"),
    [
        (Duress.BROKEN, "Emergency button does not work"),
        (Duress.STUCK, "Emergency button is stuck"),
        (Duress.SIMULATED, "Simulated pins"),
    ],
)
def test_a_button_that_is_not_to_be_relied_on_is_said_on_every_page_with_a_shape(
    rig: WiredRig, duress: Duress, sentence: str
) -> None:
    rig.state = bad(duress)
    for page in ("/", "/live/strip", "/sign-on"):
        text = rig.browser().get(page).text
        assert sentence in text
        line = text[text.index('id="strip-pins"') :]
        assert line.index("<svg") < line.index(sentence)


def test_failing_power_is_said_and_asks_the_page_to_save(rig: WiredRig) -> None:
    rig.state = msgspec.structs.replace(WORKS, is_power_failing=True)
    text = rig.browser().get("/live/strip").text
    assert "Power is failing" in text
    assert 'data-power="failing"' in text


def test_health_names_every_pin_and_never_claims_a_button_that_is_not_there(rig: WiredRig) -> None:
    def told() -> dict[str, object]:
        health = rig.browser().state()["health"]
        assert isinstance(health, dict)
        found: dict[str, object] = health["pins"]
        return found

    assert told()["duress"] == "none"
    assert told()["has_working_duress"] is False
    rig.state = WORKS
    assert told()["has_working_duress"] is True
    rig.state = msgspec.structs.replace(
        bad(Duress.BROKEN),
        pins=WORKS.pins | {"duress": PinState(condition=Condition.TAKEN, gpio=17, why="another program uses GPIO 17")},
    )
    assert told()["has_working_duress"] is False
    pins = told()["pins"]
    assert isinstance(pins, dict)
    assert set(pins) == {str(name) for name in Name}
    assert pins["duress"] == {"state": "taken", "gpio": 17, "why": "another program uses GPIO 17", "level": None}


def test_the_headlights_choose_day_and_night_until_somebody_taps(rig: WiredRig) -> None:
    browser = rig.browser()
    assert "data-theme=" not in browser.get("/").text
    for headlights, theme in ((True, "night"), (False, "day")):
        rig.state = msgspec.structs.replace(WORKS, headlights=headlights)
        page = browser.get("/").text
        assert f'<html lang="en" data-theme="{theme}">' in page
        assert f'data-line-theme="{theme}"' in page
    browser.post("/theme", theme="night")
    page = browser.get("/").text
    assert '<html lang="en" data-theme="night">' in page
    assert 'data-line-theme=""' in page


def test_a_tapped_theme_ends_with_the_shift_where_headlights_can_decide(rig: WiredRig) -> None:
    browser = rig.browser()
    browser.sign_on(rig)
    browser.post("/theme", theme="night")
    rig.state = msgspec.structs.replace(WORKS, headlights=False)
    browser.post("/sign-off")
    assert '<html lang="en" data-theme="day">' in browser.get("/").text


def test_the_clinical_zone_locks_from_outside_the_screen(rig: WiredRig) -> None:
    browser = rig.browser()
    browser.sign_on(rig)
    assert browser.state()["is_unlocked"] is True
    rig.zone.lock()
    assert browser.state()["is_unlocked"] is False


def test_what_could_not_be_saved_is_heard_and_a_page_that_could_not_be_shown_is_not(rig: WiredRig) -> None:
    browser = rig.browser()
    token = str(browser.state()["csrf"])
    rig.store.close()
    headers = {"X-CSRF-Token": token, "Origin": "http://localhost"}
    assert browser.client.get("/").status_code == 503
    assert rig.unsaved == []
    assert browser.client.post("/status", data={"status": "break"}, headers=headers).status_code == 503
    assert rig.unsaved == [1]
    rig.store = Store(rig.home / "ledger.db", LEDGER)
