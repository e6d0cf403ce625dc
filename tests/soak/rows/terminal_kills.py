"""F01, F02: a terminal ends anywhere, by SIGKILL or with the power: everything its screen called saved arrives once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from msgspec import Struct

from tests.soak import auditor, images
from tests.soak.auditor import Evidence, Verdict
from tests.soak.crew import ROUND, Crew, Ended, Refused
from tests.soak.ground import Ground, life_s
from tests.soak.nursery import Life
from tests.soak.report import Outcome, Row
from tests.soak.saved import SavedFile
from tests.soak.site import Site, open_site, until

SCREEN_S_MAX = 5.0
START_S_MAX = 0.8  # of a life that is not to get further than its start
STARTING_SHARE = 0.15
EXECUTED_SHARE = 0.05


class Lived(Struct, kw_only=True):
    """What one terminal went through."""

    kills: int = 0
    recoveries_s: list[float] = []  # each has its own: msgspec copies it
    executed_s: list[float] = []  # of those that read their program first, as on a board
    findings: list[str] = []


def killed(ground: Ground) -> Outcome:
    """SIGKILL at any moment, starting up included, while a crew works as fast as it can."""
    boards, kills = ground.often(quick=2, full=8), ground.often(quick=20, full=1000)
    folder = ground.folder("agency")
    homes = {f"care-{n}": ground.folder(f"board-{n}") for n in range(boards)}
    with open_site(folder, homes) as site:
        crews = crews_of(site, ground)
        introduce(site, crews)
        lives = [Lived() for _ in crews]
        workers = [
            threading.Thread(
                target=_work,
                args=(life, lambda crew=crew, life=life: _die_often(site, crew, life, kills // boards, ground)),
                name=crew.board.device,
            )
            for crew, life in zip(crews, lives, strict=True)
        ]
        _run(workers)
        verdict = heal_and_audit(site, crews, ground)
    return outcome(lives, crews, verdict, slow=SCREEN_S_MAX)


def _die_often(site: Site, crew: Crew, life: Lived, kills: int, ground: Ground) -> None:
    chance = ground.chance(f"deaths of {crew.board.device}")
    began_s = time.monotonic()
    for number in range(kills):
        is_executed = chance.random() < EXECUTED_SHARE or number == kills - 1
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
            killer.start()
            work_until_the_end(crew)
            killer.join()
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
    return outcome([life], crews, verdict, slow=SCREEN_S_MAX)


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
            up.release()
            work_until_the_end(crew)
        else:
            up.release()

    workers = [
        threading.Thread(target=_work, args=(life, lambda crew=crew, running=running: work(crew, running)))
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


def work_until_the_end(crew: Crew, is_over: Callable[[], bool] = lambda: False) -> None:
    """Work as fast as the screen answers, until it does not any more."""
    try:
        crew.begin()
        while not is_over():
            crew.step()
    except Ended:
        return
    except Refused:
        if crew.still_powered():  # after a power cut "not saved" is the right answer
            raise


def crews_of(site: Site, ground: Ground, disk: Path | None = None) -> list[Crew]:
    saved = SavedFile(ground.scratch / "saved")
    return [Crew(board, saved, ground.chance(f"crew of {board.device}"), disk) for board in site.boards]


def introduce(site: Site, crews: Sequence[Crew]) -> None:
    """Let each terminal hear of its unit once, as it does on the day it is put into the car."""
    lives = [site.start(crew.board) for crew in crews]
    for crew, life in zip(crews, lives, strict=True):
        crew.wait_for_screen(life.is_running)
        until(f"{crew.board.device} to hear of its unit", crew.knows_its_unit)
    for life in lives:
        life.kill_all()


def heal_and_audit(site: Site, crews: Sequence[Crew], ground: Ground) -> Verdict:
    """Start everybody once more, wait until nothing is owed, end all, and look."""
    lives = [site.start(crew.board) for crew in crews]
    for crew, life in zip(crews, lives, strict=True):
        if not crew.wait_for_screen(life.is_running):
            raise RuntimeError(f"{crew.board.device} does not start any more: {last_words(crew)}")
        crew.begin()  # the last draft is looked at too
    until("both ends to agree", lambda: _agree(site, crews) and _agree(site, crews), every_s=0.3)
    for life in lives:
        life.kill_all()  # an orderly end would write one more piece of trail, which nobody would take any more
    site.hub.stop()
    return auditor.audit(evidence(site, ground, is_healed=True))


def _agree(site: Site, crews: Sequence[Crew]) -> bool:
    """Nothing owed, and the newest of every section confirmed."""
    unconfirmed = "select count(*) from desired where (held_epoch, held_n) <> (epoch, n)"
    return site.hub.rows(unconfirmed) == [(0,)] and all(crew.state()["link"]["unsent"] == 0 for crew in crews)


def stop(lives: Sequence[Life]) -> None:
    for life in lives:
        life.kill(15)
    for life in lives:
        life.wait()


def evidence(site: Site, ground: Ground, *, is_healed: bool) -> Evidence:
    scratch = ground.scratch / "copies"
    scratch.mkdir(exist_ok=True)
    return Evidence(
        hub=site.database,
        boards=[auditor.Board(device=b.device, home=b.home, public=b.public) for b in site.boards],
        saved=SavedFile(ground.scratch / "saved").read(),
        words=ROUND,
        is_healed=is_healed,
        scratch=scratch,
    )


def outcome(lives: Sequence[Lived], crews: Sequence[Crew], verdict: Verdict, *, slow: float) -> Outcome:
    drafts = [lost for crew in crews for lost in crew.drafts_lost]
    forked_s = sorted(s for life in lives for s in life.recoveries_s)
    executed_s = sorted(s for life in lives for s in life.executed_s)
    findings = [finding for life in lives for finding in life.findings]
    longest_s = max((*forked_s, *executed_s), default=None)
    if longest_s is not None and longest_s > slow:
        findings.append(f"the screen was back only after {longest_s:.1f} s; it has {slow:.0f} s")
    starts = [
        f"screen back in {s[len(s) // 2]:.1f} s mostly {how}"
        for how, s in (("from a fork", forked_s), (f"from the disk ({len(executed_s)} times)", executed_s))
        if s
    ]
    return Outcome(
        repetitions=sum(life.kills for life in lives),
        lost=len(verdict.lost) + len(drafts),
        duplicated=len(verdict.duplicated),
        recovery_s_max=longest_s,
        also=f"{verdict.saved:,} saved and {sum(c.drafts_saved for c in crews):,} drafts, {verdict.records:,} records at "
        f"the hub, {verdict.fixes:,} fixes; {', '.join(starts)}",
        findings=(*verdict.findings, *drafts[:5], *findings[:10]),
    )


def last_words(crew: Crew) -> str:
    lines = crew.board.log.read_text().splitlines()
    return lines[-1] if lines else "without a word"


def _work(life: Lived, work: Callable[[], None]) -> None:
    try:
        work()
    except Refused as refused:
        life.findings.append(f"the screen refused: {refused}")
    except Exception as wrong:  # told in the row's line: a thread has nobody to raise to
        life.findings.append(f"the harness stumbled: {type(wrong).__name__}: {wrong}")


def _run(workers: Sequence[threading.Thread]) -> None:
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


ROWS = (
    Row("F01", "terminal killed at any moment, under load", killed),
    Row("F02", "terminal's power cut at any moment, under load", powerless),
)
