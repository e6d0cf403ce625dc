"""The broker killed and wiped, refusing by mistake, and everybody coming back at once."""

from __future__ import annotations

import time

from tests.soak.agency import concluded, drained, open_agency, settle, until
from tests.soak.ground import Ground
from tests.soak.report import Outcome, Row

BROKER_PAUSE_S = 60.0  # how long a terminal waits after a refusal


def killed(ground: Ground) -> Outcome:
    """SIGKILL in the middle of a drain, every second time with the loss of everything the broker kept."""
    return broker_deaths(
        ground,
        deaths=ground.often(quick=4, full=50),
        terminals=ground.often(quick=5, full=20),
        each=ground.often(quick=100, full=400),
    )


def broker_deaths(ground: Ground, *, deaths: int, terminals: int, each: int, hurry: int = 1) -> Outcome:
    """`each` statuses a terminal are on their way at every death."""
    chance = ground.chance("broker")
    worst_s = 0.0
    mid_drain = 0
    with open_agency(ground.folder("agency"), terminals) as agency:
        senders = agency.senders(hurry)
        try:
            until("every link", lambda: senders.owed().heard == terminals)
            for number in range(deaths):
                senders.press(each, batch=20)
                time.sleep(chance.uniform(0.05, 1.0))
                agency.kill_broker(wipe=number % 2 == 1, down_s=chance.uniform(0, 0.5))
                began_s = time.monotonic()
                mid_drain += senders.owed().records > 0
                drained(senders, 600)
                worst_s = max(worst_s, time.monotonic() - began_s)
            settle(agency, senders)
        finally:
            senders.stop()
        return concluded(
            agency,
            ground.folder("audit"),
            repetitions=deaths,
            recovery_s_max=worst_s,
            also=f"{mid_drain} in the middle of a drain, {deaths // 2} with the store wiped",
        )


def mistaken(ground: Ground) -> Outcome:
    """A line is missing in the access list: the broker refuses what it should take, until the list is mended."""
    terminals, times = ground.often(quick=3, full=20), ground.often(quick=1, full=5)
    worst_s, busiest, findings = 0.0, 0, []
    with open_agency(ground.folder("agency"), terminals) as agency:
        proxy = agency.proxy(ground.chance("network"))
        senders = agency.senders()
        acl = agency.hub.home / "broker" / "acl"
        right = acl.read_text()
        try:
            until("every link", lambda: senders.owed().heard == terminals)
            drained(senders)
            for _ in range(times):
                before = proxy.passed.copy()
                acl.write_text("".join(line for line in right.splitlines(True) if "write tandem/v1/%u" not in line))
                agency.reload_broker()
                time.sleep(0.5)
                senders.press(10)
                time.sleep(ground.long(quick_s=20, full_s=BROKER_PAUSE_S + 10))
                if senders.owed().records < 10 * terminals:
                    findings.append("a: records refused by the broker are not owed any more")
                sent = max(proxy.passed[way] - before[way] for way in proxy.passed)
                busiest = max(busiest, sent // terminals)
                acl.write_text(right)
                agency.reload_broker()
                mended_s = time.monotonic()
                drained(senders)
                worst_s = max(worst_s, time.monotonic() - mended_s)
            # A window of 16, again after a minute, a presence now and then: not hundreds.
            if busiest > 100:
                findings.append(f"g: {busiest} packets a terminal while the broker refused: a tight loop")
            settle(agency, senders)
        finally:
            senders.stop()
            proxy.close()
        return concluded(
            agency,
            ground.folder("audit"),
            repetitions=times * terminals,
            recovery_s_max=worst_s,
            also=f"at most {busiest} packets a terminal while refused",
            findings=tuple(findings),
        )


ROWS = (
    Row("F11", "broker SIGKILL in mid-drain, its store wiped in half", killed),
    Row("F17", "ACL mistake: the broker refuses records (0x87)", mistaken),
)
