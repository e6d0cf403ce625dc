"""Topics said by number to a real broker: what arrives, and what a new connection knows of the numbers of an old one."""

from __future__ import annotations

from pathlib import Path
from queue import Empty, Queue
from random import Random
from threading import Thread

import pytest

from edge.link import ALIASES, Backoff, Link, Notice, Subscribed
from edge.tls import TlsFiles
from tests.system.edge_site import DEVICE, Broker, Hub, until
from tests.terminal_fleet import TerminalFleet
from wire.enrollment import BrokerAddress
from wire.fix import Fix
from wire.live import Live, sign_live
from wire.topics import Up

pytestmark = pytest.mark.system


def test_a_number_for_a_topic_is_said_anew_on_each_connection(tmp_path: Path) -> None:
    fleet = TerminalFleet()
    who = fleet.terminal(tmp_path / "terminal", DEVICE)
    broker = Broker(tmp_path / "broker", fleet)
    notices: Queue[Notice] = Queue()
    sessions = iter(range(1, 100))
    link = Link(
        DEVICE,
        BrokerAddress(host="localhost", port=broker.port),
        TlsFiles(chain=who.chain_path, key=who.key_path, root=who.root_path),
        next_session=lambda: next(sessions),
        farewell=lambda session: b"gone",
        noticed=notices.put,
        heard=lambda message: None,
        chance=Random(1),
        backoff=Backoff(first_s=0.1, s_min=0.1, s_max=0.5),
    )
    running = Thread(target=link.run, daemon=True)
    hubs: list[Hub] = []
    try:
        for life in range(2):
            broker.start()
            hubs.append(Hub(broker, fleet, who.key.public_key()))
            if life == 0:
                running.start()
            until("the link", lambda: _is_subscribed(notices) or None)
            told = [_position(life, number) for number in range(3)]
            for one in told:
                assert link.publish(Up.LIVE, sign_live(one, who.key), 0, False) is not None
            assert [hubs[-1].lives.get(timeout=10)[0] for _ in told] == told
            hubs.pop().stop()
            broker.kill()
    finally:
        link.stop()
        running.join(5)
        for hub in hubs:
            hub.stop()
        broker.kill()


def test_what_is_said_often_has_a_number_that_mosquitto_takes() -> None:
    assert set(ALIASES) == {Up.LIVE, Up.LOG}
    assert sorted(ALIASES.values()) == [1, 2]  # it takes up to 10


def _is_subscribed(notices: Queue[Notice]) -> bool:
    while True:
        try:
            if isinstance(notices.get_nowait(), Subscribed):
                return True
        except Empty:
            return False


def _position(life: int, number: int) -> Live:
    fix = Fix(lat=40.0 + life, lon=-83.0, speed_mps=0.0)
    return Live(
        v=2, device=DEVICE, boot=bytes(16), mono_ms=1000 * life + number, age_ms=0, fix=fix, reason="drift", owed=0
    )
