"""F05, F06: a terminal's disk is full, fails, or takes no more writes. What is not saved is said, and an emergency goes out."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from tests.soak.crew import Crew, Ended, Refused
from tests.soak.duty import Lived, crews_of, heal_and_audit, introduce, last_words, outcome, slow_s, with_more
from tests.soak.ground import Ground
from tests.soak.images import Image, open_image
from tests.soak.nursery import Life
from tests.soak.report import Outcome, Row
from tests.soak.site import LITTLE_RESERVE, Site, open_site, until

IMAGE_MB = 64
WORK_S = 2.0
FULL_S = 6.0  # long enough for positions to be thinned
HONEST = {"not_saved", "not_saving"}  # the screen's own words for "this is not on the disk"
ALARM_S_MAX = 5.0
NOTES_AT_LEAST = 5  # that a full disk still takes, from what is kept free for them
RESTART_WAIT_S = 1.0  # what systemd waits
RESTARTS_MAX = 5


class Scene(Struct, frozen=True, kw_only=True):
    """One terminal on a small disk of its own, with its hub."""

    ground: Ground
    site: Site
    crew: Crew
    image: Image


@contextmanager
def _opened(ground: Ground, *, as_delivered: bool = False) -> Iterator[Scene]:
    """`as_delivered`: with the room that a terminal keeps free for notes by itself, and not the little of these tests."""
    with open_image(ground, "disk", IMAGE_MB) as image:
        home = image.at / "board"
        home.mkdir()
        with open_site(ground.folder("agency"), {"care-0": home}) as site:
            (crew,) = crews = crews_of(site, ground, image.at)
            if as_delivered:
                settings = home / "terminal.toml"
                settings.write_text(settings.read_text().replace(LITTLE_RESERVE, ""))
            introduce(site, crews)
            os.sync()
            yield Scene(ground=ground, site=site, crew=crew, image=image)


def full(ground: Ground) -> Outcome:
    """Fill the disk while a crew works, give it room again, and see what was saved meanwhile and what was said."""
    life = Lived()
    taken = refused = 0
    with _opened(ground, as_delivered=True) as scene:
        crew, image = scene.crew, scene.image
        for _ in range(ground.often(quick=1, full=10)):
            running = _at_work(scene)
            image.fill()
            said = _work(crew, FULL_S)
            taken += said.taken
            refused += sum(said.refused.values())
            life.findings += [f"F05: on a full disk the screen said {code!r}" for code in said.refused.keys() - HONEST]
            if said.taken < NOTES_AT_LEAST:
                life.findings.append(f"F05: a full disk took {said.taken} presses and notes; they have a reserve")
            if not said.is_up:
                life.findings.append(f"F05: the terminal ended because its disk was full: {last_words(crew)}")
            elif not _warns(crew):
                life.findings.append("F05: the screen does not say that the disk is full")
            running, wrong = _drill(scene, "F05", running)
            life.findings += wrong
            image.free()
            began_s = time.monotonic()
            running = _until_it_saves(scene, running)
            life.recoveries_s.append(time.monotonic() - began_s)
            running.kill(signal.SIGTERM)
            running.wait()
            life.kills += 1
        verdict = heal_and_audit(scene.site, [crew], ground, had_room=False)
    result = outcome([life], [crew], verdict, slow_s=slow_s(ground))
    return with_more(result, f"on the full disk {taken:,} were saved and {refused:,} refused")


def failing(ground: Ground) -> Outcome:
    """Every write fails (EIO), or the file system has gone read-only under an error, and nothing is killed."""
    life = Lived()
    with _opened(ground) as scene:
        crew, image = scene.crew, scene.image
        for number in range(ground.often(quick=2, full=20)):
            is_read_only = number % 2 == 1
            how = "read-only" if is_read_only else "EIO"
            running = _at_work(scene)
            if is_read_only:
                image.abort()
            else:
                image.cut_power()
            said = _work(crew, WORK_S)
            if said.taken:
                life.findings.append(f"F06: {said.taken} were called saved on a disk that fails ({how})")
            life.findings += [f"F06: with {how} the screen said {code!r}" for code in said.refused.keys() - HONEST]
            running = _kept_up(scene, running)
            running, wrong = _drill(scene, f"F06 ({how})", running)
            life.findings += wrong
            running.kill_all()
            began_s = time.monotonic()
            image.power_on()
            running = _until_it_saves(scene, None)
            life.recoveries_s.append(time.monotonic() - began_s)
            running.kill_all()
            life.kills += 1
        verdict = heal_and_audit(scene.site, [crew], ground)
    return outcome([life], [crew], verdict, slow_s=slow_s(ground))


class _Said(Struct, kw_only=True):
    """How a crew fared: what was called saved, and the words with which the rest was refused."""

    taken: int = 0
    refused: dict[str, int] = {}
    is_up: bool = True


def _at_work(scene: Scene) -> Life:
    running = scene.site.start(scene.crew.board)
    if not scene.crew.wait_for_screen(running.is_running):
        raise RuntimeError(f"the terminal does not start: {last_words(scene.crew)}")
    scene.crew.begin()
    _work(scene.crew, WORK_S)
    return running


def _work(crew: Crew, for_s: float) -> _Said:
    """Work for a while, whatever the screen says; every press that is refused is asked for again."""
    said = _Said()
    ends_s = time.monotonic() + for_s
    while time.monotonic() < ends_s:
        before = crew.taken
        try:
            crew.step()
        except Refused as refused:
            said.refused[refused.code] = said.refused.get(refused.code, 0) + 1
            time.sleep(0.05)
        except Ended:
            said.is_up = False
            return said
        said.taken += crew.taken - before
    return said


def _until_it_saves(scene: Scene, running: Life | None) -> Life:
    """As systemd would, start it when it has ended; return when a press is saved again."""
    crew = scene.crew
    if running is None:
        running = scene.site.start(crew.board)

    def saves() -> bool:
        nonlocal running
        assert running is not None
        if not running.is_running():
            running = scene.site.start(crew.board)
        try:
            if not crew.wait_for_screen(running.is_running):
                return False
            before = crew.taken
            crew.press()
        except (Ended, Refused):
            return False
        return crew.taken > before

    until("a press to be saved again", saves, every_s=0.1)
    assert running is not None
    return running


def _kept_up(scene: Scene, running: Life) -> Life:
    """Start it again, as systemd would, when it has ended; it may end again as often as it likes."""
    for _ in range(RESTARTS_MAX):
        if running.is_running() and scene.crew.wait_for_screen(running.is_running):
            break
        time.sleep(RESTART_WAIT_S)
        running = scene.site.start(scene.crew.board)
        scene.crew.wait_for_screen(running.is_running)
    return running


def _drill(scene: Scene, row: str, running: Life) -> tuple[Life, Sequence[str]]:
    """Whether an emergency still reaches the hub; a drill, which takes the same way. A terminal that ends because of its
    disk is started again, as systemd would, and whoever pressed presses again."""
    heard = "select count(*) from press"
    before = scene.site.hub.rows(heard)
    began_s = time.monotonic()
    for _ in range(RESTARTS_MAX):
        try:
            scene.crew.drill()
            break
        except Ended:
            running = _kept_up(scene, running)
        except Refused as wrong:
            return running, [f"{row}: an emergency could not be raised: {wrong}"]
    else:
        return running, [f"{row}: an emergency could not be raised: {last_words(scene.crew)}"]
    try:
        until("the hub to hear of it", lambda: scene.site.hub.rows(heard) != before, 30.0)
    except TimeoutError:
        how = "runs" if running.is_running() else "ended"
        return running, [f"{row}: an emergency did not reach the hub; the terminal {how}"]
    took_s = time.monotonic() - began_s
    most_s = slow_s(scene.ground, ALARM_S_MAX)
    is_slow = most_s is not None and took_s > most_s
    return running, [f"{row}: an emergency took {took_s:.1f} s to the hub"] if is_slow else []


def _warns(crew: Crew) -> bool:
    page = crew.page("/").lower()
    return any(word in page for word in ("disk is full", "disk is almost full", "disk full", "not saving", "room"))


ROWS = (
    Row("F05", "terminal's disk is full", full),
    Row("F06", "terminal's disk fails or goes read-only, nothing is killed", failing),
)
