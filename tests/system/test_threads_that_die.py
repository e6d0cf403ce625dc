"""A thread that breaks takes its terminal with it, whichever it is, and the next start has everything that was saved."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system.edge_site import ROOT, Broker, Hub, Receiver, Terminal, latest, until
from tests.terminal_fleet import TerminalFleet
from wire import topics
from wire.codec import encode
from wire.state import Roster, Version, seal_snapshot
from wire.topics import State

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("threads")]

ENDS_S_MAX = 30.0
ROSTER = Roster(agency="Lakeshore CARE", unit="u1", call_sign="CARE-1", staff=())
# Python reads `sitecustomize` before the program: the product has no switch for breaking itself.
BREAKS = """
import os
from {module} import {owner}
from pathlib import Path

real = {owner}.{name}

def broken(*args, **kwargs):
    if Path(os.environ["TRAP"]).exists():
        raise RuntimeError("put here by a test")
    return real(*args, **kwargs)

{owner}.{name} = broken
"""


@pytest.mark.parametrize(
    ("module", "owner", "name"),
    [
        ("paho.mqtt.client", "Client", "_handle_publish"),
        ("edge.downlink", "Downlink", "take"),
        ("edge.uplink", "Uplink", "step"),
    ],
)
def test_a_thread_that_breaks_ends_the_terminal_and_the_next_start_goes_on(
    tmp_path: Path, module: str, owner: str, name: str
) -> None:
    trap, folder = tmp_path / "trap", tmp_path / "python"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BREAKS.format(module=module, owner=owner, name=name))
    path = f"{folder}:{os.environ.get('PYTHONPATH', ROOT)}"
    fleet = TerminalFleet()
    broker, receiver = Broker(tmp_path / "broker", fleet), Receiver()
    terminal = Terminal(
        tmp_path / "terminal", fleet, broker.port, receiver.path, {"PYTHONPATH": path, "TRAP": str(trap)}
    )
    broker.start()
    hub = Hub(broker, fleet, terminal.who.key.public_key())
    public = terminal.who.kem.public_key()
    data = seal_snapshot("care-1", "roster", Version(1, 1), encode(ROSTER), public, fleet.snapshot)
    try:
        hub.say_here(True)
        terminal.start()
        until("a birth", lambda: latest(hub.births))
        trap.touch()
        hub.say(topics.text(State("care-1", "roster")), data)
        assert terminal.child is not None
        assert terminal.child.wait(ENDS_S_MAX) == 1
        trap.unlink()
        latest(hub.births)  # whatever the first life said
        terminal.start()
        until("another birth", lambda: latest(hub.births))
        hub.say(topics.text(State("care-1", "roster")), data)
        until("the answer to the section", lambda: any(hub.records.values()))
        until("nothing owed", lambda: terminal.link()["unsent"] == 0)
    finally:
        terminal.kill()
        hub.stop()
        broker.kill()
        receiver.close()
