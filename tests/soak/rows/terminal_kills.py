"""F01, F02: a terminal ends anywhere, by SIGKILL or with the power: everything its screen called saved arrives once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from tests.soak import auditor
from tests.soak.auditor import Evidence, Verdict
from tests.soak.crew import ROUND, Crew, Ended, Refused
from tests.soak.ground import Ground
from tests.soak.nursery import Life
from tests.soak.report import Outcome, Row
from tests.soak.saved import SavedFile
from tests.soak.site import Site, open_site, until

SCREEN_S_MAX = 5.0
LIFE_S_MAX = 1.5  # of working, mostly
START_S_MAX = 0.8  # of a life that is not to get further than its start
LONG_LIFE_S = 14.0  # long enough for positions to be written


class Lived(Struct, kw_only=True):
    """What one terminal went through."""

    kills: int = 0
    recoveries_s: list[float] = []  # msgspec copies it for each
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
        running = site.start(crew.board)
        if chance.random() < 0.15:
            ends_s = time.monotonic() + chance.uniform(0, START_S_MAX)
            is_up = crew.wait_for_screen(lambda running=running, ends_s=ends_s: time.monotonic() < ends_s)  # type: ignore[misc]
        else:
            is_up = crew.wait_for_screen(running.is_running)
            if not is_up:
                life.findings.append(f"F01: {crew.board.device} ended by itself while starting")
        if is_up and life.kills:
            life.recoveries_s.append(time.monotonic() - began_s)
        if is_up:
            life_s = LONG_LIFE_S if chance.random() < 0.02 else chance.uniform(0, LIFE_S_MAX)
            killer = threading.Timer(life_s, running.kill)
            killer.start()
            work_until_the_end(crew)
            killer.join()
        began_s = time.monotonic()
        running.kill_all()
        life.kills = number + 1


def work_until_the_end(crew: Crew, is_over: Callable[[], bool] = lambda: False) -> None:
    """Work as fast as the screen answers, until it does not any more."""
    try:
        crew.begin()
        while not is_over():
            crew.step()
    except Ended:
        return


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
    for crew in crews:
        until(f"{crew.board.device} to owe nothing", lambda crew=crew: crew.state()["link"]["unsent"] == 0)  # type: ignore[misc]
    stop(lives)
    site.hub.stop()
    return auditor.audit(evidence(site, ground, is_healed=False))


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
    recoveries_s = sorted(s for life in lives for s in life.recoveries_s)
    findings = [finding for life in lives for finding in life.findings]
    late = [s for s in recoveries_s if s > slow]
    if late:
        findings.append(
            f"F01: the screen was back after more than {slow:.0f} s {len(late)} times, at most {late[-1]:.1f} s"
        )
    middle = recoveries_s[len(recoveries_s) // 2] if recoveries_s else 0.0
    return Outcome(
        repetitions=sum(life.kills for life in lives),
        lost=len(verdict.lost) + len(drafts),
        duplicated=len(verdict.duplicated),
        recovery_s_max=recoveries_s[-1] if recoveries_s else None,
        also=f"{verdict.saved:,} saved and {sum(c.drafts_saved for c in crews):,} drafts, {verdict.records:,} records at "
        f"the hub, {verdict.fixes:,} fixes; screen back in {middle:.1f} s mostly",
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


ROWS = (Row("F01", "terminal killed at any moment, under load", killed),)
