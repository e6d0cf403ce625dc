"""One whole terminal behind a bad line: no link for long, a slow and lossy one, and an emergency inside every fault.

The terminal is `tandem-edge run` with a receiver, a crew and simulated pins; nothing of it is left out.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from bench.receiver import Receiver
from demo.web import Browser, Json
from firmware_bridge import mock_pins
from tests.soak.agency import Agency, concluded, open_agency, until
from tests.soak.crew import Crew
from tests.soak.ground import Ground
from tests.soak.proxy import NONE, Faults, Proxy
from tests.soak.report import Outcome, Row
from tests.soak.rows.links import PACKETS
from tests.soak.site import Board, resident_mb
from tests.soak.touch import Ended, Touch
from tests.soak.wire import Wire, wires
from tests.system.edge_site import ROOT, run_command

PINS = """
[pins]
factory = "mock"
duress = { gpio = 17, active = "low" }
lamp_emergency = { gpio = 5 }
lamp_link = { gpio = 6 }
"""
HELD_S = 1.8  # longer than a press must be held
LAMP_S_MAX = HELD_S + 2.0
FRESH_S_MAX = 10.0
ALARM_S_MAX = 5.0
RSS_GROWS_MB_MAX = 8.0


class Terminal:
    """`tandem-edge run` for `board`, started by `prefix` (a namespace); `inside` asks its screen where that listens."""

    def __init__(self, board: Board, prefix: Sequence[str], inside: Callable[[Callable[[], Json]], Json]) -> None:
        self.board, self._inside = board, inside
        settings = board.home / "terminal.toml"
        settings.write_text(settings.read_text() + PINS)
        self._receiver = Receiver(0, board.home / "receiver")
        self._stop = threading.Event()
        self._talking = threading.Thread(target=self._talk, daemon=True)
        self._talking.start()
        with board.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*prefix, *run_command(board.home)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        until("the screen", lambda: self._answers(), 120)

    def state(self) -> Json:
        return self._inside(lambda: Touch(self.board.screen_port).state())

    def linked(self) -> bool:
        link = self.state()["link"]
        return link["link"] == "up" and bool(link["hub"])

    def owes(self) -> int:
        return int(self.state()["link"]["unsent"])

    def phase(self) -> str:
        return str(self.state()["emergency"]["phase"])

    def press_button(self) -> None:
        """As a thumb would, held long enough."""
        mock_pins.send(self.board.home, mock_pins.Act(name="duress", is_active=True, for_s=HELD_S))

    def resident_mb(self) -> float:
        return resident_mb(self.process.pid)

    def close(self) -> None:
        """An orderly end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._stop.set()
        self._talking.join(5)

    def _answers(self) -> bool:
        try:
            return bool(self.state())
        except Ended:
            return False

    def _talk(self) -> None:
        while not self._stop.wait(1.0):
            with suppress(BlockingIOError):
                self._receiver.say()


def no_link(ground: Ground) -> Outcome:
    """The wire is pulled while a crew works; memory stays flat, everything owed arrives in order, the map is fresh."""
    down_s = ground.long(quick_s=40, full_s=600)
    worst_s, grown_mb, findings = 0.0, 0.0, list[str]()
    with _behind_a_wire(ground) as (agency, _, wire, terminal):
        console = agency.console()
        crew = Crew(terminal.board, agency.saved, ground.chance("crew"))
        wire.inside(crew.begin)
        before_mb = 0.0
        wire.pull()
        began_s = time.monotonic()
        while (passed_s := time.monotonic() - began_s) < down_s:
            wire.inside(crew.press)
            if not before_mb and passed_s > down_s / 3:
                before_mb = terminal.resident_mb()
            time.sleep(2)
        grown_mb = terminal.resident_mb() - before_mb
        owed = terminal.owes()
        wire.put_back()
        back_s = time.monotonic()
        until("a link", terminal.linked, 300)
        linked_s = time.monotonic()
        until("a fresh place on the map", lambda: _is_fresh(console), 120)
        fresh_s = time.monotonic() - linked_s
        until("nothing owed", lambda: terminal.owes() == 0, 600)
        worst_s = time.monotonic() - back_s
        _settle(agency)
        terminal.close()
        if grown_mb > RSS_GROWS_MB_MAX:
            findings.append(f"g: {grown_mb:.1f} MB more after {down_s:.0f} s without a link")
        if fresh_s > FRESH_S_MAX:
            findings.append(f"h: the newest place on the map {fresh_s:.0f} s after the link was back")
        return concluded(
            agency,
            ground.folder("audit"),
            repetitions=1,
            recovery_s_max=worst_s,
            also=f"{down_s:.0f} s without a link, {owed} of the ledger owed, memory {grown_mb:+.1f} MB, "
            f"link after {linked_s - back_s:.0f} s, fresh on the map {fresh_s:.1f} s later",
            findings=tuple(findings),
        )


def slow_link(ground: Ground) -> Outcome:
    """30 % loss, 64 kbit/s and 2 s of latency while a backlog drains: the emergency and the map do not wait for it."""
    findings: list[str] = []
    presses = ground.often(quick=2, full=10)
    alarms: list[float] = []
    oldest_s = 0.0
    with _behind_a_wire(ground, with_loss=True) as (agency, proxy, wire, terminal):
        console = agency.console()
        crew = Crew(terminal.board, agency.saved, ground.chance("crew"))
        wire.inside(crew.begin)
        proxy.faults = Faults(is_refusing=True)
        proxy.cut()
        for _ in range(ground.often(quick=400, full=3000)):  # half of 64 kbit/s for half a minute; five minutes
            wire.inside(crew.press)
        wire.lose(30)
        wire.narrow(64)
        proxy.faults = Faults(delay_s=1.0)
        bad_s = time.monotonic()
        until("a link over the bad line", terminal.linked, 600)
        until("a place on the map", lambda: _is_fresh(console), 120)
        linked_s = time.monotonic() - bad_s
        owed_first = terminal.owes()
        for _ in range(presses):
            pressed_s = time.monotonic() + HELD_S
            terminal.press_button()
            until("the emergency at the console", lambda: console.json("/api/v1/snapshot")["emergencies"], 120)
            alarms.append(time.monotonic() - pressed_s)
            for _ in range(10):
                oldest_s = max(oldest_s, _age_s(console))
                time.sleep(1)
            _take_and_clear(console, terminal)
        owed = terminal.owes()
        wire.lose(0)
        wire.narrow(None)
        proxy.faults = NONE
        healed_s = time.monotonic()
        until("nothing owed", lambda: terminal.owes() == 0, 900)
        took_s = time.monotonic() - healed_s
        _settle(agency)
        terminal.close()
        if max(alarms) > ALARM_S_MAX:
            findings.append(f"h: an emergency took {max(alarms):.1f} s")
        if oldest_s > FRESH_S_MAX:
            findings.append(f"h: the place on the map was {oldest_s:.0f} s old")
        return concluded(
            agency,
            ground.folder("audit"),
            repetitions=presses,
            recovery_s_max=took_s,
            also=f"linked after {linked_s:.0f} s, emergency in at most {max(alarms):.1f} s, place at most "
            f"{oldest_s:.1f} s old, {owed_first} owed at the first press and {owed} when it healed",
            findings=tuple(findings),
        )


def emergency(ground: Ground) -> Outcome:
    """The button is pressed inside each fault; the lamp blinks at once, and dispatch acknowledges after the healing."""
    worst_s, lamp_s_max, done, findings = 0.0, 0.0, 0, list[str]()
    with ExitStack() as stack:
        agency = stack.enter_context(open_agency(ground.folder("agency"), 1))
        proxy = agency.proxy(ground.chance("network"))
        stack.callback(proxy.close)
        terminal = Terminal(agency.boards[0], (), lambda act: act())
        stack.callback(terminal.close)
        until("a link", terminal.linked, 120)
        until("its unit", lambda: terminal.state()["call_sign"], 60)
        for _ in range(ground.often(quick=1, full=5)):
            for name, begin, end in _faults(agency, proxy):
                begin()
                time.sleep(1.0)
                pressed_s = time.monotonic()
                terminal.press_button()
                until("the lamp", lambda: terminal.phase() in ("raised", "received"), 30)
                lamp_s_max = max(lamp_s_max, time.monotonic() - pressed_s)
                time.sleep(2.0)
                end()
                healed_s = time.monotonic()
                console = agency.console()
                until(f"the emergency at the console after {name}", lambda at=console: _raised(at), 300)
                _take_and_clear(console, terminal)
                worst_s = max(worst_s, time.monotonic() - healed_s)
                done += 1
        until("nothing owed", lambda: terminal.owes() == 0)
        _settle(agency)
        terminal.close()
        if lamp_s_max > LAMP_S_MAX:
            findings.append(f"h: the lamp took {lamp_s_max:.1f} s")
        return concluded(
            agency,
            ground.folder("audit"),
            repetitions=done,
            recovery_s_max=worst_s,
            also=f"lamp after at most {lamp_s_max:.1f} s (held for {HELD_S} s of it)",
            findings=tuple(findings),
        )


def _faults(agency: Agency, proxy: Proxy) -> Iterator[tuple[str, Callable[[], object], Callable[[], object]]]:
    """A name, how it begins, how it ends."""

    def network(faults: Faults) -> Callable[[], None]:
        def change() -> None:
            proxy.faults = faults
            if faults.is_refusing:
                proxy.cut()

        return change

    mend = network(NONE)
    acl = agency.hub.home / "broker" / "acl"
    right = acl.read_text()

    def access(text: str) -> Callable[[], None]:
        def change() -> None:
            acl.write_text(text)
            agency.reload_broker()

        return change

    denied = "".join(line for line in right.splitlines(keepends=True) if "write tandem/v1/%u" not in line)
    yield "no link", network(Faults(is_refusing=True)), mend
    yield "a slow line", network(Faults(delay_s=1.0, jitter_s=0.5, bytes_per_s=8000)), mend
    yield "a silent line", network(Faults(is_silent=True)), mend
    yield "a garbling line", network(Faults(rules=PACKETS)), mend
    yield "a dead broker", lambda: agency.kill_broker(wipe=True), lambda: None
    yield (
        "a hanging hub",
        lambda: os.kill(agency.hub_pid, signal.SIGSTOP),
        lambda: os.kill(agency.hub_pid, signal.SIGCONT),
    )
    yield "an access list that lies", access(denied), access(right)
    yield "a dead hub", agency.kill_hub, agency.start_hub


@contextmanager
def _behind_a_wire(ground: Ground, *, with_loss: bool = False) -> Iterator[tuple[Agency, Proxy, Wire, Terminal]]:
    with ExitStack() as stack:
        (wire,) = stack.enter_context(wires(1, with_loss=with_loss))
        agency = stack.enter_context(open_agency(ground.folder("agency"), 1))
        proxy = agency.proxy(ground.chance("network"), host=wire.here)
        stack.callback(proxy.close)
        terminal = Terminal(agency.boards[0], wire.command(), wire.inside)
        stack.callback(terminal.close)
        until("a link", terminal.linked, 120)
        until("its unit", lambda: terminal.state()["call_sign"], 60)
        yield agency, proxy, wire, terminal


def _settle(agency: Agency) -> None:
    """Wait until the trail of the last seconds is at the hub as well, and every section is held."""
    question = "select count(*) from desired where held_epoch is not epoch or held_n is not n"
    until("the newest state held", lambda: agency.ask(question) == [(0,)], 120)
    until("a second without news", lambda: _is_still(agency), 120)


def _is_still(agency: Agency) -> bool:
    before = agency.held()
    time.sleep(1.5)
    return agency.held() == before


def _raised(console: Browser) -> list[Json]:
    return list(console.json("/api/v1/snapshot")["emergencies"])


def _take_and_clear(console: Browser, terminal: Terminal) -> None:
    (one,) = _raised(console)
    at = f"/api/v1/emergencies/{one['id']}"
    console.post(f"{at}/acknowledge", {})
    until("'acknowledged' on the terminal", lambda: terminal.phase() == "acknowledged", 120)
    (one,) = _raised(console)
    console.post(f"{at}/clear", {"contact": "crew", "words": "all are well", "presses": one["presses"]})
    until("nothing raised on the terminal", lambda: terminal.phase() == "none", 120)


def _age_s(console: Browser) -> float:
    """How old the place on the map is, by its own word and the time since it came."""
    position = console.json("/api/v1/snapshot")["units"][0].get("position")
    if not position or not position["has_fix"]:
        return 1e9
    return float(time.time() * 1000 - position["arrived_ms"] + position["age_ms"]) / 1000


def _is_fresh(console: Browser) -> bool:
    return _age_s(console) < FRESH_S_MAX


ROWS = (
    Row("F07w", "its wire pulled for long, then everything in order", no_link),
    Row("F08", "30 % loss, 64 kbit/s, 2 s latency while a backlog drains", slow_link),
    Row("F28", "emergency pressed inside F07, F08, F09-F12, F17", emergency),
)
