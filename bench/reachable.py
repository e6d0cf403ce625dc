"""A real hub with its real broker for measurements, reachable from network namespaces, its terminals enrolled the real way.

Peers may publish below `owntracks/`; nobody subscribes to that.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from bench.figures import say
from demo import fleet as made
from demo.fleet import Fleet, Person
from demo.processes import Children


class Agency(Struct, frozen=True, kw_only=True):
    """What runs."""

    home: Path
    fleet: Fleet
    broker_port: int

    def home_of(self, call_sign: str) -> Path:
        """A terminal's folder."""
        return self.home / self.fleet.station(call_sign).folder

    def device(self, call_sign: str) -> str:
        """A terminal's id."""
        return self.fleet.station(call_sign).device

    def identity(self, call_sign: str) -> Path:
        """Where its key and certificate are."""
        return self.home_of(call_sign) / "identity" / "current"


def open_agency(home: Path, children: Children, call_signs: Sequence[str]) -> Agency:
    """A hub running among `children`."""
    crews = {
        name: Person(staff=f"s-{number}", name=name, role="specialist", skills=(), languages=("eng",))
        for number, name in enumerate(call_signs)
    }
    ports = made.chance_ports(len(crews))
    fleet = made.make(home, crews, None, ports, children, say)
    children.stop()
    settings = home / "hub" / "hub.toml"
    head, broker_table, rest = settings.read_text().partition("[broker]\n")
    settings.write_text(head + broker_table + rest.replace('"127.0.0.1"', '"0.0.0.0"', 1))
    children.start(made.hub_process(home))
    with (home / "hub" / "broker" / "acl").open("a") as acl:
        acl.write("\npattern write owntracks/%u/#\n")
    for task in Path(f"/proc/{children['hub'].pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            os.kill(int(child), signal.SIGHUP)  # the broker reads its access list again
    return Agency(home=home, fleet=fleet, broker_port=ports["broker"])
