"""F01, F02: a terminal ends anywhere, by SIGKILL or with the power: everything its screen called saved arrives once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from random import Random

from tests.soak import auditor, images
from tests.soak.crew import Crew
from tests.soak.duty import (
    Lived,
    all_at_once,
    crews_of,
    heal_and_audit,
    introduce,
    keep_findings,
    outcome,
    slow_s,
    work_until_the_end,
)
from tests.soak.ground import Ground, life_s
from tests.soak.nursery import Life
from tests.soak.report import Outcome, Row
from tests.soak.site import Site, open_site

START_S_MAX = 0.8  # of a life that is not to get further than its start
STARTING_SHARE = 0.15
EXECUTED_SHARE = 0.05
FEW = 20


def killed(ground: Ground) -> Outcome:
    """SIGKILL at any moment, starting up included, while a crew works as fast as it can."""
    boards, kills = ground.often(quick=4, full=8), ground.often(quick=20, full=1000)
    folder = ground.folder("agency")
    homes = {f"care-{n}": ground.folder(f"board-{n}") for n in range(boards)}
    with open_site(folder, homes) as site:
        crews = crews_of(site, ground)
        introduce(site, crews)
        lives = [Lived() for _ in crews]
        workers = [
            threading.Thread(
                target=keep_findings,
                args=(life, lambda crew=crew, life=life: _die_often(site, crew, life, kills // boards, ground)),
                name=crew.board.device,
            )
            for crew, life in zip(crews, lives, strict=True)
        ]
        all_at_once(workers)
        verdict = heal_and_audit(site, crews, ground)
    return outcome(lives, crews, verdict, slow_s=slow_s(ground))


def _die_often(site: Site, crew: Crew, life: Lived, kills: int, ground: Ground) -> None:
    chance = ground.chance(f"deaths of {crew.board.device}")
    is_timed = crew.board == site.boards[0]  # in a short run one real start is enough: it takes seconds of two cores
    began_s = time.monotonic()
    for number in range(kills):
        is_executed = chance.random() < EXECUTED_SHARE if kills > FEW else is_timed and number == kills - 1
        running = site.execute(crew.board) if is_executed else site.start(crew.board)
        if not is_executed and chance.random() < STARTING_SHARE:
            ends_s = time.monotonic() + chance.uniform(0, START_S_MAX)
            is_up = crew.wait_for_screen(lambda running=running, ends_s=ends_s: time.monotonic() < ends_s)  # type: ignore[misc]
        else:
            is_up = crew.wait_for_screen(running.is_running)
            if not is_up:
                life.findings.append(f"F01: {crew.board.device} ended by itself while starting")
        if is_up and life.kills:
            (life.executed_s if is_executed else life.recoveries_s).append(time.monotonic() - began_s)
        if is_up:
            killer = threading.Timer(life_s(chance), running.kill)
            if chance.random() < STARTING_SHARE:  # perhaps while the PIN is checked
                killer.start()
                work_until_the_end(crew)
            else:
                work_until_the_end(crew, killer.start)
        began_s = time.monotonic()
        running.kill_all()
        life.kills = number + 1


def powerless(ground: Ground) -> Outcome:
    """Cut the power of the disk on which several terminals work: one cut is one for each of them."""
    boards, cuts = ground.often(quick=4, full=8), ground.often(quick=5, full=125)
    life = Lived()
    with images.open_image(ground, "disk", size_mb=512) as image:
        folder = ground.folder("agency")
        homes = {f"care-{n}": image.at / f"board-{n}" for n in range(boards)}
        for home in homes.values():
            home.mkdir()
        with open_site(folder, homes) as site:
            crews = crews_of(site, ground, image.at)
            introduce(site, crews)
            os.sync()  # a car leaves the workshop with its disk written
            chance = ground.chance("cuts")
            back_s: float | None = None
            for _ in range(cuts):
                back_s = _live_until_the_cut(site, crews, image, life, chance, back_s)
                life.kills += boards
                for board in site.boards:
                    for log in auditor.LOGS:
                        if wrong := auditor.unsound(board.home / f"{log}.db", ground.scratch):
                            life.findings.append(f"F02: {wrong}")
            verdict = heal_and_audit(site, crews, ground)
    return outcome([life], crews, verdict, slow_s=slow_s(ground))


def _live_until_the_cut(
    site: Site, crews: Sequence[Crew], image: images.Image, life: Lived, chance: Random, back_s: float | None
) -> float:
    """Everybody works; at a random moment the power goes. When it was back."""
    lives = [site.start(crew.board) for crew in crews]
    up = threading.Semaphore(0)

    def work(crew: Crew, running: Life) -> None:
        if crew.wait_for_screen(running.is_running):
            if back_s is not None:
                life.recoveries_s.append(time.monotonic() - back_s)
            work_until_the_end(crew, up.release)
        else:
            up.release()

    workers = [
        threading.Thread(target=keep_findings, args=(life, lambda crew=crew, running=running: work(crew, running)))
        for crew, running in zip(crews, lives, strict=True)
    ]
    for worker in workers:
        worker.start()
    if chance.random() < STARTING_SHARE:
        time.sleep(chance.uniform(0, START_S_MAX))
    else:
        for _ in crews:
            up.acquire(timeout=60)
        time.sleep(life_s(chance))
    image.cut_power()
    for running in lives:
        running.kill_all()
    for worker in workers:
        worker.join()
    back = time.monotonic()
    image.power_on()
    return back


ROWS = (
    Row("F01", "terminal killed at any moment, under load", killed),
    Row("F02", "terminal's power cut at any moment, under load", powerless),
)
