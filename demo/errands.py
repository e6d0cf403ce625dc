"""Where the drivers go: to the assignment that their own touchscreen shows, and otherwise wherever chance says."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event

from demo.drive import Destination, Order
from demo.fleet import Fleet
from demo.web import Browser, Json, Unanswered

LOOK_S = 1.0  # a driver glances at the screen about this often

UNDER_WAY = frozenset({"acknowledged", "en_route"})
THERE = frozenset({"staged", "on_scene", "contact", "at_facility"})


class Errands:
    """What each vehicle is about, read from its own screen, as its driver would."""

    def __init__(self, fleet: Fleet) -> None:
        self._screens = {s.call_sign: Browser(s.screen) for s in fleet.stations if s.kind == "vehicle"}
        self._orders: dict[str, Order] = {}

    def orders(self) -> Mapping[str, Order]:
        """The order of each vehicle by call sign; none: roam."""
        return self._orders

    def watch(self, stop: Event) -> None:
        """Look at the screens until `stop`; a screen that does not answer leaves its driver doing what they did."""
        while not stop.wait(LOOK_S):
            orders = dict(self._orders)
            for call_sign, screen in self._screens.items():
                try:
                    orders[call_sign] = order_from(screen.json("/api/v1/state"))
                except (Unanswered, ValueError):
                    continue
            self._orders = orders


def order_from(state: Json) -> Order:
    """What a driver does who sees this on the screen."""
    assignment = state["assignment"]
    if assignment and state["status"] in UNDER_WAY:
        return Destination(lat=assignment["lat"], lon=assignment["lon"])
    if state["status"] in THERE:
        return "hold"
    return None
