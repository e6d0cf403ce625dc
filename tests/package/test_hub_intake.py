"""The pipe from the link to the store: commit, then tell, then receipts, then the broker's due; nothing before."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import select

from hub import intake, positions, schema
from hub.ingest import Arrival, Marks, Wanted
from hub.intake import IntakeParts
from hub.link import Received
from hub.position import Position
from hub.positions import Positions
from hub.presence import Presence, Word
from tests.hub_agency import Agency, new_key
from tests.patience import PATIENCE_S
from wire.facts import ShelfWanted, StatusFact
from wire.fix import Fix
from wire.records import Kind, open_receipt
from wire.topics import Receipts, Topic

NOBODY = Client(CallbackAPIVersion.VERSION2)  # never connected: only its identity stands in `Received`


class Air:
    """A link that keeps what happened in its order. What is not acknowledged comes again after `drop`."""

    def __init__(self, happened: list[object]) -> None:
        self.happened = happened
        self.incoming: Queue[Received] = Queue()
        self.open: dict[int, Received] = {}
        self.mid = 0
        self.is_over = False

    def say(self, *arrivals: Arrival) -> None:
        for arrival in arrivals:
            self.mid += 1
            received = Received(topic=arrival.topic, payload=arrival.payload, mid=self.mid, qos=1, client=NOBODY)
            self.open[self.mid] = received
            self.incoming.put(received)

    def receive(self, wait_s: float) -> list[Received]:
        try:
            batch = [self.incoming.get(timeout=min(wait_s, 0.05))]
        except Empty:
            return []
        while not self.incoming.empty():
            batch.append(self.incoming.get())
        return batch

    def publish(self, topic: Topic, payload: bytes) -> bool:
        if self.is_over:
            self.happened.append(("unsaid", topic))
            return False
        self.happened.append((topic, payload))
        return True

    def acknowledge(self, received: Received) -> None:
        del self.open[received.mid]
        self.happened.append(("acknowledged", received.mid))

    def drop(self) -> None:
        self.happened.append("dropped")
        for received in self.open.values():
            self.incoming.put(received)


class Ears:
    """Who is told, in order."""

    def __init__(self, happened: list[object]) -> None:
        self.happened = happened

    def moved(self, position: Position) -> None:
        self.happened.append(("moved", position.unit))

    def changed(self) -> None:
        self.happened.append("changed")

    def poke(self, device: str | None) -> None:
        self.happened.append(("poke", device))

    def born(self, device: str) -> None:
        self.happened.append(("born", device))

    def wanted(self, wanted: Wanted) -> None:
        self.happened.append(wanted)


class Running:
    def __init__(self, agency: Agency) -> None:
        self.happened: list[object] = []
        self.air = Air(self.happened)
        self.presence = Presence()
        self.snapshot = new_key()
        self.parts = IntakeParts(
            engine=agency.engine,
            link=self.air,
            snapshot_key=self.snapshot,
            note_keys=agency.custodian.listed,
            marks=Marks(),
            positions=Positions(),
            presence=self.presence,
            told=Ears(self.happened),
            now_ms=lambda: agency.now_ms,
        )
        self.stopping = Event()
        self.thread = Thread(target=intake.run, args=(self.parts, self.stopping))
        self.thread.start()

    def wait(self, look: Callable[[], object]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not look():
            assert time.monotonic() < end_s, self.happened
            time.sleep(0.005)

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(5)
        assert not self.thread.is_alive()


@pytest.fixture
def agency(tmp_path: Path) -> Iterator[Agency]:
    made = Agency(tmp_path)
    yield made
    made.engine.dispose()


@pytest.fixture
def running(agency: Agency) -> Iterator[Running]:
    made = Running(agency)
    yield made
    made.stop()


def test_the_map_is_told_first_then_receipts_go_out_and_the_broker_is_answered_last(
    agency: Agency, running: Running
) -> None:
    status = StatusFact(unit="u1", status="available", by="crew")
    batch = (agency.one.birth(), agency.one.position(Fix(lat=41.0, lon=-83.0)), agency.one.record(Kind.STATUS, status))
    running.air.say(*batch)
    running.wait(lambda: not running.air.open)
    happened = running.happened
    (receipt,) = [said for said in happened if isinstance(said, tuple) and said[0] == Receipts("d-one")]
    assert open_receipt(receipt[1], "d-one", running.snapshot.public_key()).through == 1
    order = [
        happened.index(("moved", "u1")),
        happened.index("changed"),
        happened.index(("born", "d-one")),
        happened.index(receipt),
        happened.index(("acknowledged", 1)),
    ]
    assert order == sorted(order)
    assert running.presence.state("d-one").word is Word.CONNECTED
    assert ("poke", "d-one") in happened


def test_a_database_that_does_not_take_them_gets_no_receipt_and_the_broker_no_answer(
    agency: Agency, running: Running, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
    other.execute("begin immediate")
    running.air.say(agency.one.birth())
    running.wait(lambda: "dropped" in running.happened)
    assert running.air.open
    assert running.happened == ["dropped"]
    other.execute("rollback")
    other.close()
    running.wait(lambda: not running.air.open)
    assert ("born", "d-one") in running.happened


def test_a_receipt_that_did_not_go_out_keeps_the_broker_s_due_back_so_that_the_record_comes_again(
    agency: Agency, running: Running
) -> None:
    running.air.is_over = True
    running.air.say(agency.one.record(Kind.STATUS, StatusFact(unit="u1", status="available", by="crew")))
    running.wait(lambda: ("unsaid", Receipts("d-one")) in running.happened)
    running.air.is_over = False
    running.air.drop()
    running.wait(lambda: not running.air.open)
    (said,) = [one for one in running.happened if isinstance(one, tuple) and one[0] == Receipts("d-one")]
    assert open_receipt(said[1], "d-one", running.snapshot.public_key()).through == 1


def test_a_will_is_news_for_the_board_once(agency: Agency, running: Running) -> None:
    running.air.say(agency.one.birth())
    running.wait(lambda: running.presence.connected())
    running.air.say(agency.one.will())
    running.wait(lambda: not running.presence.connected())
    running.wait(lambda: not running.air.open)
    assert running.happened.count("changed") == 2


def test_a_desks_wish_reaches_the_pipe_down(agency: Agency, running: Running) -> None:
    running.air.say(agency.desk.record(Kind.SHELF_WANTED, ShelfWanted(note_ids=(b"n" * 16,))))
    running.wait(lambda: Wanted(device="d-desk", note_ids=(b"n" * 16,)) in running.happened)


def test_the_last_positions_are_written_down_when_it_stops(agency: Agency) -> None:
    running = Running(agency)
    running.air.say(agency.one.position(Fix(lat=41.0, lon=-83.0)))
    running.wait(lambda: ("moved", "u1") in running.happened)
    running.stop()
    with agency.engine.begin() as connection:
        (kept,) = positions.kept(connection)
        assert connection.execute(select(schema.position_last.c.unit)).scalar() == "u1"
    assert kept.fix == Fix(lat=41.0, lon=-83.0)
