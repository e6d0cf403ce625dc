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

WINDOW_RECORDS = 16
KEPT_BESIDES = 3  # per terminal: its retained presence, and what is on its way to it
SYSTEMD_WAIT_S = 1.0


def hanging(ground: Ground) -> Outcome:
    """The hub stops answering while everybody sends: the broker must not have to keep more than the windows."""
    terminals, down_s = ground.often(quick=20, full=200), ground.long(quick_s=75, full_s=1800)
    with open_agency(ground.folder("agency"), terminals) as agency:
        senders = agency.senders()
        try:
            until("every link", lambda: senders.owed().heard == terminals)
            with view(agency, ground.scratch) as broker:
                senders.press(300, batch=50)
                time.sleep(1.0)
                os.kill(agency.hub_pid, signal.SIGSTOP)
                senders.press(int(down_s / 10), batch=1, pause_s=9.0)
                time.sleep(down_s)
                held = broker.stored_max
                os.kill(agency.hub_pid, signal.SIGCONT)
                back_s = time.monotonic()
                drained(senders, 1800)
                took_s = time.monotonic() - back_s
            settle(agency, senders)
        finally:
            senders.stop()
        bound = (WINDOW_RECORDS + KEPT_BESIDES) * terminals
        findings = (f"g: the broker kept {held:,} messages, and {bound:,} was the bound",) if held > bound else ()
        return concluded(
            agency,
            ground.folder("audit"),
            repetitions=terminals,
            recovery_s_max=took_s,
            also=f"hub stopped for {down_s:.0f} s; the broker kept at most {held:,} messages, dropped {broker.dropped:,}",
            findings=findings,
        )


def all_at_once(ground: Ground) -> Outcome:
    """A million records through hangs and deaths of the hub, a full queue, and a broker killed and wiped."""
    terminals, each = ground.often(quick=20, full=200), ground.often(quick=400, full=5000)
    counts = dict.fromkeys(("hub hung", "hub killed", "broker killed", "broker killed and wiped"), 0)
    worst_s = 0.0
    chance = ground.chance("all at once")
    with open_agency(ground.folder("agency"), terminals, broker_queue=ground.often(quick=200, full=2000)) as agency:
        senders = agency.senders()
        try:
            until("every link", lambda: senders.owed().heard == terminals)
            rounds = ground.often(quick=4, full=40)
            for number in range(rounds):
                senders.press(each // rounds, batch=25)
                time.sleep(chance.uniform(0.3, 2.0))
                what = list(counts)[number % len(counts)]
                _break(agency, what, chance)
                counts[what] += 1
                began_s = time.monotonic()
                drained(senders, 1800)
                worst_s = max(worst_s, time.monotonic() - began_s)
            settle(agency, senders)
        finally:
            senders.stop()
        dropped = (agency.folder / "hub.log").read_text().count("being dropped")
        told = ", ".join(f"{what} {count}x" for what, count in counts.items())
        return concluded(
            agency,
            ground.folder("audit"),
            repetitions=terminals * each,
            recovery_s_max=worst_s,
            also=f"{told}; the broker said {dropped} times that its queue was full",
        )


def _break(agency: Agency, what: str, chance: Random) -> None:
    match what:
        case "hub hung":
            os.kill(agency.hub_pid, signal.SIGSTOP)
            time.sleep(chance.uniform(5, 20))
            os.kill(agency.hub_pid, signal.SIGCONT)
        case "hub killed":
            agency.kill_hub()
            time.sleep(SYSTEMD_WAIT_S)
            agency.start_hub()
        case _:
            agency.kill_broker(wipe=what.endswith("wiped"), down_s=chance.uniform(0, 1))


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
                unreceipted = agency.held() - sum(_believed(agency))
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


def _believed(agency: Agency) -> list[int]:
    """How far each log of each terminal has a receipt."""
    found = []
    for board in agency.boards:
        for name in ("ledger", "trail"):
            file = board.home / f"{name}.db"
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)) as store:
                found += [int(row[0]) for row in store.execute("select through from log")]
    return found


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
