"""The network between a terminal and its broker: gone, half open, and one that eats, doubles and swaps packets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.soak.agency import Agency, concluded, drained, open_agency, settle, until
from tests.soak.ground import Ground
from tests.soak.proxy import NONE, Act, Faults, Kind, Proxy, Rule, Way
from tests.soak.report import Outcome, Row
from tests.soak.senders import Senders

HUB_SEES_S = 45.0 + 20.0  # the broker ends it after 1.5 keep-alives, and speaks the will after its delay: decision 22
TERMINAL_SEES_S = 60.0
CUTS_FROM = 500  # presses of each: with fewer, a kind of fault that is rare may not have come up
SWAYS_S = 10.0  # Mosquitto looks for silent clients every few seconds, and this machine may be busy

PACKETS = (
    Rule(way=Way.UP, kind=Kind.PUBLISH, act=Act.EAT, share=0.02, topic="/up/log"),
    Rule(way=Way.UP, kind=Kind.PUBLISH, act=Act.DOUBLE, share=0.02, topic="/up/log"),
    Rule(way=Way.UP, kind=Kind.PUBLISH, act=Act.SWAP, share=0.02, topic="/up/log"),
    Rule(way=Way.DOWN, kind=Kind.PUBACK, act=Act.EAT, share=0.02),
    Rule(way=Way.DOWN, kind=Kind.PUBACK, act=Act.DOUBLE, share=0.02),
    Rule(way=Way.DOWN, kind=Kind.PUBACK, act=Act.SWAP, share=0.02),
    Rule(way=Way.DOWN, kind=Kind.PUBLISH, act=Act.EAT, share=0.05, topic="/down/receipt"),
    Rule(way=Way.DOWN, kind=Kind.PUBLISH, act=Act.DOUBLE, share=0.05, topic="/down/receipt"),
    Rule(way=Way.DOWN, kind=Kind.PUBLISH, act=Act.SWAP, share=0.05, topic="/down/receipt"),
    Rule(way=Way.UP, kind=Kind.PUBLISH, act=Act.CUT, share=0.002, topic="/up/log"),
)


def half_open(ground: Ground) -> Outcome:
    """The line goes silent while statuses are pressed: both ends notice, and what was pressed arrives when it heals."""
    return silent(ground, times=ground.often(quick=1, full=10), terminals=ground.often(quick=4, full=20), hurry=1)


def silent(ground: Ground, *, times: int, terminals: int, hurry: int) -> Outcome:
    """The same with every wait of the terminals divided by `hurry`."""
    worst_hub_s = worst_terminal_s = worst_back_s = 0.0
    with _network(ground, terminals, hurry) as (agency, senders, proxy):
        console = agency.console()
        for _ in range(times):
            until("everybody at the console", lambda: _present(console.json("/api/v1/snapshot")) == terminals)
            senders.press(20, batch=1, pause_s=0.02)
            proxy.faults = Faults(is_silent=True)
            began_s = time.monotonic()
            hub_s = terminal_s = 0.0
            while not (hub_s and terminal_s):
                passed_s = time.monotonic() - began_s
                if not hub_s and _present(console.json("/api/v1/snapshot")) == 0:
                    hub_s = passed_s
                if not terminal_s and senders.owed().linked == 0:
                    terminal_s = passed_s
                if passed_s > 300:
                    raise TimeoutError("one end of a silent line never noticed")
                time.sleep(0.2)
            proxy.faults = NONE
            healed_s = time.monotonic()
            drained(senders)
            worst_hub_s, worst_terminal_s = max(worst_hub_s, hub_s), max(worst_terminal_s, terminal_s)
            worst_back_s = max(worst_back_s, time.monotonic() - healed_s)
        settle(agency, senders)
        senders.stop()
        findings = []
        if worst_hub_s > HUB_SEES_S / hurry + SWAYS_S:
            findings.append(f"h: the hub saw it after {worst_hub_s:.0f} s")
        if worst_terminal_s > TERMINAL_SEES_S / hurry + SWAYS_S:
            findings.append(f"h: a terminal saw it after {worst_terminal_s:.0f} s")
        return concluded(
            agency,
            ground.folder("audit"),
            repetitions=times * terminals,
            recovery_s_max=worst_back_s,
            also=f"seen by the hub in {worst_hub_s:.0f} s, by the last terminal in {worst_terminal_s:.0f} s",
            findings=tuple(findings),
        )


def packets(ground: Ground) -> Outcome:
    """Records, their acknowledgments and receipts are eaten, doubled and swapped, and connections cut inside one."""
    terminals, each = ground.often(quick=5, full=20), ground.often(quick=60, full=1000)
    return garbled(ground, terminals=terminals, each=each, hurry=ground.often(quick=3, full=1))


def garbled(ground: Ground, *, terminals: int, each: int, hurry: int) -> Outcome:
    """The same with every wait of the terminals divided by `hurry`; repetitions are packets that met a fault."""
    with _network(ground, terminals, hurry) as (agency, senders, proxy):
        proxy.faults = Faults(rules=PACKETS, jitter_s=0.01)
        senders.press(each, batch=1, pause_s=0.02)
        until("all presses", lambda: senders.owed().to_press == 0, 60 + each * terminals / 50)
        time.sleep(2)
        proxy.faults = NONE
        healed_s = time.monotonic()
        drained(senders, 900)
        took_s = time.monotonic() - healed_s
        settle(agency, senders)
        senders.stop()
        done = dict(proxy.done)
        return concluded(
            agency,
            ground.folder("audit"),
            repetitions=sum(done.values()),
            recovery_s_max=took_s,
            also=", ".join(f"{count} {act.value}" for act, count in done.items()),
            findings=() if set(done) == set(Act) or each < CUTS_FROM else (f"only {set(done)} was tried",),
        )


@contextmanager
def _network(ground: Ground, terminals: int, hurry: int) -> Iterator[tuple[Agency, Senders, Proxy]]:
    with open_agency(ground.folder("agency"), terminals) as agency:
        proxy = agency.proxy(ground.chance("network"))
        senders = agency.senders(hurry)
        try:
            until("every link", lambda: senders.owed().heard == terminals)
            yield agency, senders, proxy
        finally:
            senders.stop()
            proxy.close()


def _present(snapshot: dict) -> int:  # type: ignore[type-arg]
    return sum(unit["presence"] == "connected" for unit in snapshot["units"])


ROWS = (
    Row("F09", "half-open: the line takes everything and passes nothing", half_open),
    Row("F10", "PUBLISH, PUBACK, receipt eaten, doubled, swapped, cut", packets),
)
