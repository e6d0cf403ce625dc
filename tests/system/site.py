"""A small agency for tests: the real hub and broker, two vehicles and a desk, each a process of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from bench.receiver import Receiver
from demo import fleet as made
from demo.fleet import Fleet
from demo.processes import Children
from demo.story import go_on_duty, sign_in, sign_on
from demo.web import Browser
from tests.patience import PATIENCE_S
from tests.system.agency import copy

T = TypeVar("T")
VEHICLE = "CARE-1"


class Site:
    """The running agency, and how people reach it."""

    def __init__(self, home: Path, fleet: Fleet, children: Children) -> None:
        self.home = home
        self.fleet = fleet
        self.children = children
        self.console = sign_in(fleet.console, fleet.login("dispatcher"))

    def screen(self, call_sign: str = VEHICLE) -> Browser:
        """The touchscreen of a unit, with its crew signed on."""
        station = self.fleet.station(call_sign)
        screen = Browser(station.screen)
        sign_on(screen, station)
        go_on_duty(screen)
        return screen

    def snapshot(self) -> dict[str, list[dict[str, object]]]:
        """What the console shows."""
        return self.console.json("/api/v1/snapshot")

    def restart(self, name: str) -> None:
        """Start a program again that was killed, and wait until it is up."""
        child = self.children[name]
        child.start()
        child.wait_ready()


@contextmanager
def open_site(home: Path, agency: Path) -> Iterator[Site]:
    """A copy of `agency` running in `home`, gone without a trace of processes afterwards."""
    children = Children(lambda _: None)
    stop = threading.Event()
    try:
        fleet = copy(agency, home)
        children.start(made.hub_process(home))
        receivers = [
            Receiver(number, made.receiver_port(home, station))
            for number, station in enumerate(fleet.stations)
            if station.kind == "vehicle"
        ]
        talking = threading.Thread(target=_talk, args=(receivers, stop), daemon=True)
        talking.start()
        children.start(*(made.terminal_process(home, station) for station in fleet.stations))
        yield Site(home, fleet, children)
    finally:
        stop.set()
        children.stop()


def until(what: str, look: Callable[[], T | None], timeout_s: float = PATIENCE_S) -> T:
    """What `look` sees as soon as it sees something."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if seen := look():
            return seen
        time.sleep(0.05)
    raise AssertionError(f"waited {timeout_s:.0f} s in vain for {what}")


def _talk(receivers: list[Receiver], stop: threading.Event) -> None:
    while not stop.wait(1.0):
        for receiver in receivers:
            receiver.say()
