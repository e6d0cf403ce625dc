"""What the screen says of a disk that fills: nothing while there is room, then who gives way, and a loud no at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.room import MB, Level, Room
from edge.screen import words
from tests.screens.screen_rig import ScreenRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ScreenRig]:
    made = ScreenRig(tmp_path)
    made.roster()
    made.unit()
    yield made
    made.close()


def at(level: Level) -> Room:
    return Room(level=level, free_bytes=5 * MB, total_bytes=64 * MB)


def test_a_disk_with_room_says_nothing(rig: ScreenRig) -> None:
    assert words.room(at(Level.PLENTY)) is None
    assert '<p class="wiring " id="strip-room" data-live role="status" hidden>' in rig.browser().get("/").text


@pytest.mark.parametrize(
    ("level", "sentence", "mood"),
    [
        (Level.LOW, "positions are being thinned", "wait"),
        (Level.SCARCE, "tell the fleet tech", "wait"),
        (Level.RESERVE, "notes still save", "bad"),
        (Level.FULL, "nothing more is saved", "bad"),
    ],
)
def test_a_disk_that_fills_is_said_on_every_page_with_a_shape(
    rig: ScreenRig, level: Level, sentence: str, mood: str
) -> None:
    rig.room = at(level)
    for page in ("/", "/live/strip", "/sign-on"):
        text = rig.browser().get(page).text
        line = text[text.index('id="strip-room"') :]
        assert line.index("<svg") < line.index(sentence)
        assert f'class="wiring {mood}" id="strip-room"' in text


def test_health_says_how_much_room_there_is(rig: ScreenRig) -> None:
    rig.room = at(Level.LOW)
    health = rig.browser().state()["health"]
    assert isinstance(health, dict)
    assert health["disk"] == {
        "level": "low",
        "free_bytes": 5 * MB,
        "total_bytes": 64 * MB,
        "words": "Disk nearly full: positions are being thinned, notes are safe",
    }


def test_what_finds_no_room_is_refused_in_one_loud_sentence(rig: ScreenRig) -> None:
    page = rig.browser()
    page.get("/")
    rig.store.do(lambda db: db.execute("pragma max_page_count = 1"))
    for n in range(100):  # there is room inside the file for some
        answer = page.fetch("/status", status=("en_route", "available")[n % 2])
        if answer.status_code == 503:
            break
    assert answer.get_json()["message"] == "Not saved: the disk is full. Use the radio, and tell the fleet tech."
    assert rig.store.is_alive, "and the terminal goes on"
