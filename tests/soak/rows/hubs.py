"""The hub away, hanging, dying between commit and receipt, without a disk, or of yesterday."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from random import Random

from tests.soak.agency import Agency, concluded, drained, open_agency, settle, until
from tests.soak.broker_view import view
from tests.soak.ground import Ground
from tests.soak.images import open_image
from tests.soak.report import Outcome, Row
from tests.soak.senders import Senders

QUEUE = 20_000  # as delivered
WINDOW_RECORDS = 16
TRUSTED_RECORDS = 256  # of a log whose receipts have come until now
QUESTIONS_BY_CHANCE = 2
KEPT_BESIDES = 3  # per terminal: its retained presence, and what is on its way to it
SYSTEMD_WAIT_S = 1.0
DRAIN_S_MAX = 1800.0


def hanging(ground: Ground) -> Outcome:
    """The hub stops answering, once while nothing is owed and once in the middle of a backlog: what the broker must keep
    for it stays within what every terminal may have sent without a receipt."""
    terminals, down_s = ground.often(quick=20, full=200), ground.long(quick_s=25, full_s=1500)
    hurry = ground.often(quick=3, full=1)
    calm = (2 * (WINDOW_RECORDS + _questions(down_s * hurry)) + KEPT_BESIDES) * terminals
    trusting = min(QUEUE, (2 * (TRUSTED_RECORDS + _questions(down_s * hurry)) + KEPT_BESIDES) * terminals)
    findings: list[str] = []
    told: list[str] = []
    worst_s, ends = 0.0, 0
    with open_agency(ground.folder("agency"), terminals, broker_queue=QUEUE) as agency:
        senders = agency.senders(hurry)
        try:
            until("every link", lambda: senders.owed().heard == terminals)
            for name, bound in (("while nothing was owed", calm), ("in mid-drain", trusting)):
                drained(senders)
                with view(agency, ground.scratch) as broker:
                    if bound == calm:
                        os.kill(agency.hub_pid, signal.SIGSTOP)
                    senders.press(300, batch=50)
                    senders.track(300, batch=50)
                    if bound != calm:
                        at = agency.held()
                        until("the middle of a drain", lambda at=at: agency.held() > at + 50 * terminals, every_s=0.01)
                        os.kill(agency.hub_pid, signal.SIGSTOP)
                    senders.press(int(down_s / 10), batch=1, pause_s=9.0)
                    time.sleep(down_s)
                    os.kill(agency.hub_pid, signal.SIGCONT)
                    back_s = time.monotonic()
                    ends += _kept_up_until_drained(agency, senders)
                    worst_s = max(worst_s, time.monotonic() - back_s)
                    told.append(f"{name} the broker kept at most {broker.stored_max:,} and dropped {broker.dropped:,}")
                    if broker.stored_max > bound:
                        findings.append(
                            f"g: {name} the broker kept {broker.stored_max:,} messages, the bound was {bound:,}"
                        )
            settle(agency, senders)
        finally:
            senders.stop()
        return concluded(
            agency,
            ground.folder("audit"),
            repetitions=2 * terminals,
            recovery_s_max=worst_s,
            also=f"hub stopped for {down_s:.0f} s twice, and ended by its own watchdog {ends} times; {', '.join(told)}",
            findings=tuple(findings),
        )


def _questions(down_s: float) -> int:
    """How often a log asks within that time, one record each: after 30 s, then at random within twice as long each time."""
    asked, at_s, pause_s = 1, 30.0, 60.0
    while at_s < down_s:
        asked, at_s, pause_s = asked + 1, at_s + pause_s / 2, min(600.0, 2 * pause_s)
    return asked + QUESTIONS_BY_CHANCE


def all_at_once(ground: Ground) -> Outcome:
    """A million records through hangs and deaths of the hub, a full queue, and a broker killed and wiped."""
    terminals, rounds = ground.often(quick=20, full=200), ground.often(quick=4, full=20)
    presses, tracks = ground.often(quick=5, full=10), ground.often(quick=70, full=240)  # of each in a round
    hurry = ground.often(quick=6, full=1)
    counts = dict.fromkeys(("hub hung", "hub killed", "broker killed", "broker killed and wiped"), 0)
    worst_s, ends = 0.0, 0
    chance = ground.chance("all at once")
    with open_agency(ground.folder("agency"), terminals, broker_queue=ground.often(quick=200, full=2000)) as agency:
        senders = agency.senders(hurry)
        try:
            until("every link", lambda: senders.owed().heard == terminals)
            began_s = time.monotonic()
            for number in range(rounds):
                senders.press(presses, batch=5)
                senders.track(tracks, batch=35)
                time.sleep(chance.uniform(0.3, 2.0))
                what = list(counts)[number % len(counts)]
                _break(agency, what, chance, ground.long(quick_s=3, full_s=20))
                counts[what] += 1
                broke_s = time.monotonic()
                ends += _kept_up_until_drained(agency, senders)
                worst_s = max(worst_s, time.monotonic() - broke_s)
            per_s = terminals * rounds * (presses + tracks) / (time.monotonic() - began_s)
            settle(agency, senders)
        finally:
            senders.stop()
        dropped = (agency.folder / "hub.log").read_text().count("being dropped")
        told = ", ".join(f"{what} {count}x" for what, count in counts.items())
        records = terminals * rounds * (presses + tracks)
        at_hub = int(str(agency.ask("select count(*) from record where kind in ('status', 'trail')")[0][0]))
        return concluded(
            agency,
            ground.folder("audit"),
            repetitions=at_hub,
            recovery_s_max=worst_s,
            also=f"{terminals * rounds * presses:,} statuses and {terminals * rounds * tracks:,} of the trail, "
            f"{per_s:,.0f} records/s with all faults; {told}, ended by its own watchdog {ends}x; the broker said {dropped} times that its queue was full",
            findings=() if at_hub == records else (f"a: {records:,} were written, and the hub holds {at_hub:,}",),
        )


def _break(agency: Agency, what: str, chance: Random, hung_s_max: float) -> None:
    match what:
        case "hub hung":
            os.kill(agency.hub_pid, signal.SIGSTOP)
            time.sleep(chance.uniform(0.2, 1.0) * hung_s_max)
            os.kill(agency.hub_pid, signal.SIGCONT)
        case "hub killed":
            agency.kill_hub()
            time.sleep(SYSTEMD_WAIT_S)
            agency.start_hub()
        case _:
            agency.kill_broker(wipe=what.endswith("wiped"), down_s=chance.uniform(0, 1))


def _kept_up_until_drained(agency: Agency, senders: Senders) -> int:
    """Wait until nothing is owed, and start the hub again as often as it ends: one that was stopped for longer than its
    own watchdog bears ends itself when it goes on. How often that was."""
    ends = 0

    def look() -> bool:
        nonlocal ends
        ends += _start_if_dead(agency)
        owed = senders.owed()
        return owed.records == owed.to_press == 0

    until("nothing owed", look, DRAIN_S_MAX, every_s=0.2)
    return ends


def between_commit_and_receipt(ground: Ground) -> Outcome:
    """The hub commits, and dies before a receipt has left the machine: the broker is held still in between."""
    return dying_unreceipted(ground, times=ground.often(quick=3, full=50), terminals=ground.often(quick=4, full=20))


def dying_unreceipted(ground: Ground, *, times: int, terminals: int, hurry: int = 1) -> Outcome:
    """A repetition counts when the hub held more than any terminal had a receipt for."""
    hits, resent, worst_s = 0, 0, 0.0
    with open_agency(ground.folder("agency"), terminals) as agency:
        senders = agency.senders(hurry)
        try:
            until("every link", lambda: senders.owed().heard == terminals)
            for _ in range(times):
                drained(senders)
                before = agency.held()
                senders.press(40, batch=1, pause_s=0.01)
                until("some of it at the hub", lambda at=before: agency.held() > at, every_s=0.001)
                os.kill(agency.broker_pid(), signal.SIGSTOP)
                time.sleep(0.5)  # what the hub has read is committed, and its receipts stand before a closed door
                agency.kill_hub()
                unreceipted = agency.held() - senders.owed().receipted
                hits += unreceipted > 0
                resent += max(0, unreceipted)
                time.sleep(SYSTEMD_WAIT_S)
                agency.start_hub()
                began_s = time.monotonic()
                drained(senders)
                worst_s = max(worst_s, time.monotonic() - began_s)
            settle(agency, senders)
        finally:
            senders.stop()
        return concluded(
            agency,
            ground.folder("audit"),
            repetitions=hits,
            recovery_s_max=worst_s,
            also=f"{times} deaths, {hits} with commits that nobody had a receipt for, {resent} records of them",
        )


def locked(ground: Ground) -> Outcome:
    """Somebody else holds the hub's database: no receipt, no acknowledgment, and all of it when it is free again."""
    terminals, times = ground.often(quick=4, full=20), ground.often(quick=1, full=10)
    lock_s = ground.long(quick_s=20, full_s=60)
    worst_s, deaths = 0.0, 0
    with open_agency(ground.folder("agency"), terminals) as agency:
        senders = agency.senders()
        try:
            until("every link", lambda: senders.owed().heard == terminals)
            for _ in range(times):
                drained(senders)
                with closing(sqlite3.connect(agency.hub.home / "hub.db", isolation_level=None, timeout=30)) as stranger:
                    stranger.execute("begin immediate")
                    senders.press(50, batch=5)
                    time.sleep(lock_s)
                    owed = senders.owed().records
                    stranger.execute("rollback")
                assert owed >= 50 * terminals, "somebody gave a receipt while the database was locked"
                freed_s = time.monotonic()
                deaths += _start_if_dead(agency)
                drained(senders, 600)
                worst_s = max(worst_s, time.monotonic() - freed_s)
            settle(agency, senders)
        finally:
            senders.stop()
        return concluded(
            agency,
            ground.folder("audit"),
            repetitions=times,
            recovery_s_max=worst_s,
            also=f"locked for {lock_s:.0f} s; the hub ended and was started again {deaths} times",
        )


def full(ground: Ground) -> Outcome:
    """The hub's disk has no room: the same, and nothing that was held is damaged."""
    terminals, times = ground.often(quick=4, full=20), ground.often(quick=1, full=10)
    full_s = ground.long(quick_s=20, full_s=60)
    worst_s, deaths = 0.0, 0
    with (
        open_image(ground, "disk", 64) as disk,
        open_agency(ground.folder("agency"), terminals, hub_folder=disk.at) as agency,
    ):
        senders = agency.senders()
        try:
            until("every link", lambda: senders.owed().heard == terminals)
            for _ in range(times):
                drained(senders)
                disk.fill()
                senders.press(100, batch=5)
                time.sleep(full_s)
                disk.free()
                freed_s = time.monotonic()
                deaths += _start_if_dead(agency)
                drained(senders, 600)
                worst_s = max(worst_s, time.monotonic() - freed_s)
            settle(agency, senders)
        finally:
            senders.stop()
        outcome = concluded(
            agency,
            ground.folder("audit"),
            repetitions=times,
            recovery_s_max=worst_s,
            also=f"full for {full_s:.0f} s; the hub ended and was started again {deaths} times",
        )
        agency.close()
        return outcome


def _start_if_dead(agency: Agency) -> bool:
    """As a service manager would; whether it had ended."""
    if agency.hub.process is not None and agency.hub.process.poll() is None:
        return False
    agency.start_hub()
    return True


def of_yesterday(ground: Ground) -> Outcome:
    """A backup comes back: a new epoch, and terminals send again what they hold."""
    terminals, times = ground.often(quick=4, full=20), ground.often(quick=1, full=10)
    worst_s, again = 0.0, 0
    findings: list[str] = []
    with open_agency(ground.folder("agency"), terminals) as agency:
        senders = agency.senders()
        try:
            until("every link", lambda: senders.owed().heard == terminals)
            for number in range(times):
                senders.press(50, batch=5)
                drained(senders)
                file = agency.folder / f"{number}.tandem-backup"
                _command(agency, "backup", "--out", str(file))
                senders.press(100, batch=5)
                drained(senders)
                held, epoch = agency.held(), _epoch(agency)
                agency.kill_hub()
                _command(agency, "restore", str(file))
                forgot = held - agency.held()
                again += forgot
                agency.start_hub()
                began_s = time.monotonic()
                until("every record again", lambda all_of=held: agency.held() >= all_of, 600)
                drained(senders, 600)
                worst_s = max(worst_s, time.monotonic() - began_s)
                if _epoch(agency) <= epoch:
                    findings.append("the epoch did not rise")
                if forgot <= 0:
                    findings.append("the backup had forgotten nothing, so nothing was tried")
                time.sleep(1.1)  # the folder moved aside is named by the second
            settle(agency, senders)
        finally:
            senders.stop()
        if gaps := agency.ask("select count(*) from gap")[0][0]:
            findings.append(f"d: {gaps} gaps were recorded though terminals held everything")
        return concluded(
            agency,
            ground.folder("audit"),
            repetitions=times,
            recovery_s_max=worst_s,
            also=f"{again:,} records were forgotten and sent again",
            findings=tuple(findings),
        )


def _epoch(agency: Agency) -> int:
    found = agency.ask("select value from hub_fact where name = 'epoch'")
    return int(str(found[0][0])) if found else 1


def _command(agency: Agency, *words: str) -> None:
    done = agency.hub.command(*words)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())


ROWS = (
    Row("F12a", "hub hangs, 200 terminals: windows stop the senders", hanging),
    Row("F12b", "hub away, queue full, broker killed, wiped: a million records", all_at_once),
    Row("F13", "hub dies between commit and receipt", between_commit_and_receipt),
    Row("F14a", "hub database locked by somebody else", locked),
    Row("F14b", "hub disk full", full),
    Row("F15", "hub restored from an older backup", of_yesterday),
)
