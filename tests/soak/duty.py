"""A fleet at work, for the rows of the matrix: its crews, their first day, the end of all faults, and the reckoning."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from tests.soak import auditor
from tests.soak.auditor import Evidence, Verdict
from tests.soak.crew import ROUND, Crew, Ended, Refused
from tests.soak.ground import Ground
from tests.soak.nursery import Life
from tests.soak.report import Outcome
from tests.soak.saved import SavedFile
from tests.soak.site import Site, until

SCREEN_S_MAX = 5.0
WORDS_MAX = 200  # of a log line in the report


class Lived(Struct, kw_only=True):
    """What one terminal went through."""

    kills: int = 0
    recoveries_s: list[float] = []  # each has its own: msgspec copies it
    executed_s: list[float] = []  # of those that read their program first, as on a board
    findings: list[str] = []


def work_until_the_end(crew: Crew, begun: Callable[[], object] = lambda: None) -> None:
    """Work as fast as the screen answers, until it does not any more; `begun` is called when the crew is at work."""
    try:
        crew.begin()
        begun()
        while True:
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


def heal_and_audit(site: Site, crews: Sequence[Crew], ground: Ground, *, had_room: bool = True) -> Verdict:
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
    return auditor.audit(evidence(site, ground, is_healed=True, had_room=had_room))


def _agree(site: Site, crews: Sequence[Crew]) -> bool:
    """Nothing owed, and the newest of every section confirmed."""
    unconfirmed = "select count(*) from desired where (held_epoch, held_n) <> (epoch, n)"
    return site.hub.rows(unconfirmed) == [(0,)] and all(crew.state()["link"]["unsent"] == 0 for crew in crews)


def stop(lives: Sequence[Life]) -> None:
    for life in lives:
        life.kill(15)
    for life in lives:
        life.wait()


def evidence(site: Site, ground: Ground, *, is_healed: bool, had_room: bool = True) -> Evidence:
    scratch = ground.scratch / "copies"
    scratch.mkdir(exist_ok=True)
    return Evidence(
        hub=site.database,
        boards=[auditor.Board(device=b.device, home=b.home, public=b.public) for b in site.boards],
        saved=SavedFile(ground.scratch / "saved").read(),
        words=ROUND,
        is_healed=is_healed,
        had_room=had_room,
        scratch=scratch,
    )


def slow_s(ground: Ground, most_s: float = SCREEN_S_MAX) -> float | None:
    """How long a recovery may take; None beside other tests, where a duration tells of the machine."""
    return most_s if ground.scale == "full" else None


def outcome(lives: Sequence[Lived], crews: Sequence[Crew], verdict: Verdict, *, slow_s: float | None) -> Outcome:
    releases = sum(crew.releases for crew in crews)
    drafts = [lost for crew in crews for lost in crew.drafts_lost]
    forked_s = sorted(s for life in lives for s in life.recoveries_s)
    executed_s = sorted(s for life in lives for s in life.executed_s)
    findings = [finding for life in lives for finding in life.findings]
    if not verdict.saved:
        findings.append("no screen called anything saved: this proves nothing")
    longest_s = max((*forked_s, *executed_s), default=None)
    if longest_s is not None and slow_s is not None and longest_s > slow_s:
        findings.append(f"the screen was back only after {longest_s:.1f} s; it has {slow_s:.0f} s")
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
        also="; ".join(
            [
                f"{verdict.saved:,} saved and {sum(c.drafts_saved for c in crews):,} drafts, {verdict.records:,} records "
                f"at the hub, {verdict.fixes:,} fixes",
                *starts,
                *([f"{releases} PINs released after five ends in the middle of a try"] if releases else ()),
            ]
        ),
        findings=(*verdict.findings, *drafts[:5], *findings[:10]),
    )


def last_words(crew: Crew) -> str:
    lines = crew.board.log.read_text().splitlines()
    return lines[-1][:WORDS_MAX] if lines else "without a word"


def keep_findings(life: Lived, work: Callable[[], None]) -> None:
    try:
        work()
    except Refused as refused:
        life.findings.append(f"the screen refused: {refused}")
    except Exception as wrong:  # told in the row's line: a thread has nobody to raise to
        life.findings.append(f"the harness stumbled: {type(wrong).__name__}: {wrong}")


def all_at_once(workers: Sequence[threading.Thread]) -> None:
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def with_more(result: Outcome, more: str) -> Outcome:
    """The outcome with another remark."""
    return msgspec.structs.replace(result, also=f"{result.also}; {more}")
