"""How long to wait for the next connection, and what the screen is told of the link."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from threading import Thread
from time import monotonic, sleep
from typing import TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlite_utils import Database

from edge import outbox, schema, thinning, uplink
from edge.ahead import Ahead
from edge.clock import Clock
from edge.link import Acknowledged, Backoff, Closed, Opened, Sent, Subscribed, pause_s
from edge.outbox import LEDGER, TRAIL, Signer
from edge.store import Store
from edge.sync import NO_SUBSCRIBER, HubSaid
from edge.uplink import LiveSlot, Uplink
from tests.patience import PATIENCE_S
from wire.facts import AuditFact
from wire.fix import Fix
from wire.live import Presence, open_live, open_presence
from wire.records import Kind, Receipt, open_record
from wire.stamp import ClockQuality
from wire.topics import Up

T = TypeVar("T")
SIGNER = Signer("care-1", ec.generate_private_key(ec.SECP256R1()))
PUBLIC = SIGNER.key.public_key()
WALL_S = 1_770_000_000.0
PARKED = Fix(lat=39.96, lon=-83.0, speed_mps=0.0)


@pytest.mark.parametrize(("failures", "ceiling_s"), [(0, 1.0), (1, 2.0), (4, 16.0), (7, 120.0), (10_000, 120.0)])
def test_the_wait_before_a_connection_doubles_with_full_jitter_in_bounds(failures: int, ceiling_s: float) -> None:
    chance = Random(1)
    waits = [pause_s(Backoff(), failures, None, chance) for _ in range(500)]
    assert min(waits) >= 1.0
    assert max(waits) <= max(1.0, ceiling_s)
    assert max(waits) > ceiling_s * 0.9 or ceiling_s <= 1.0


def test_when_the_broker_closed_on_everyone_the_fleet_comes_back_spread_out() -> None:
    chance = Random(1)
    waits = [pause_s(Backoff(), 1, 40.0, chance) for _ in range(500)]
    assert 1.0 <= min(waits) < 5.0
    assert 35.0 < max(waits) <= 40.0


class Desk:
    """An uplink whose link is a list."""

    def __init__(self, home: Path) -> None:
        self.now_s = 100.0
        self.wall_s = WALL_S
        self.stores = {
            LEDGER: Store(home / "ledger.db", schema.LEDGER),
            TRAIL: Store(home / "trail.db", schema.TRAIL),
        }
        self.clock = Clock(
            bytes(16),
            mono_s=lambda: self.now_s,
            wall_s=lambda: self.wall_s + self.now_s,
            quality=lambda: ClockQuality.NTP,
        )
        self.sent: list[tuple[Up, bytes, int, bool]] = []
        self.is_connected = False
        inbox = uplink.inbox()
        self.live = LiveSlot(SIGNER, self.clock, self._publish)
        self.uplink = Uplink(
            inbox, self.stores, SIGNER, self.clock, self._publish, self.live, software="1.2", chance=Random(1)
        )
        self.inbox = inbox

    def append(self, log: str = LEDGER) -> None:
        fact = AuditFact(what="unlocked", outcome="ok")
        self.stores[log].do(lambda db: outbox.append(db, SIGNER, self.clock.stamp(), Kind.AUDIT, fact))
        self.uplink.wake()
        self.run()

    def up(self, session: int = 1) -> None:
        self.is_connected = True
        self.uplink.step(Opened(session))
        self.uplink.step(Subscribed())
        self.uplink.step(HubSaid(True, 1))

    def down(self, why: str) -> None:
        self.is_connected = False
        self.uplink.step(Closed(why))

    def receipt(self, through: int) -> None:
        log_id = self.stores[LEDGER].do(outbox.numbers).log_id
        said = Receipt(v=1, device="care-1", log_id=log_id, through=through, epoch=1)
        self.stores[LEDGER].do(lambda db: outbox.take_receipt(db, said, self.clock.mono_ms()))
        self.uplink.wake()
        self.run()

    def run(self) -> None:
        while not self.inbox.empty():
            self.uplink.step(self.inbox.get())

    def births(self) -> list[Presence]:
        return [open_presence(data, "care-1", PUBLIC) for channel, data, _, _ in self.sent if channel is Up.PRESENCE]

    def records(self) -> list[int]:
        return [open_record(data, "care-1", PUBLIC).seq for channel, data, _, _ in self.sent if channel is Up.LOG]

    def _publish(self, channel: Up, payload: bytes, qos: int, retain: bool) -> Sent | None:
        if not self.is_connected:
            return None
        self.sent.append((channel, payload, qos, retain))
        return Sent(len(self.sent), lambda: True)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    for store in made.stores.values():
        store.close()


def test_the_birth_comes_first_and_says_what_is_held_and_owed(desk: Desk) -> None:
    for _ in range(3):
        desk.append()
    desk.receipt(1)
    desk.up(session=7)
    assert (desk.sent[0][0], *desk.sent[0][2:]) == (Up.PRESENCE, 1, True)
    (birth,) = desk.births()
    assert (birth.is_here, birth.session, birth.software) == (True, 7, "1.2")
    ledger, trail = birth.logs
    assert (ledger.name, ledger.lowest_held, ledger.lowest_owed, ledger.next) == ("ledger", 1, 2, 4)
    assert (trail.name, trail.lowest_held, trail.lowest_owed, trail.next) == ("trail", 1, 1, 1)
    assert desk.records() == [2, 3]


def test_a_goodbye_is_of_the_same_boot_and_session(desk: Desk) -> None:
    gone = open_presence(uplink.farewell(SIGNER, desk.clock, "1.2", 7), "care-1", PUBLIC)
    assert (gone.is_here, gone.boot, gone.session, gone.logs) == (False, desk.clock.boot, 7, ())


def test_a_record_that_is_appended_goes_out_at_once(desk: Desk) -> None:
    desk.up()
    desk.append()
    assert desk.records() == [1]


def test_away_from_the_broker_the_state_says_what_is_unsent_since_when_and_why(desk: Desk) -> None:
    desk.append()
    desk.now_s += 60
    desk.append()
    desk.append(TRAIL)
    desk.down("no connection to hub.example:8883: Connection refused")
    state = desk.uplink.state()
    assert (state.link, state.hub, state.unsent) == ("down", False, 2)
    assert state.oldest_ms == (WALL_S + 100) * 1000
    assert state.received_through_ms is None
    assert state.why == "no connection to hub.example:8883: Connection refused"


def test_with_everything_received_nothing_is_in_the_way(desk: Desk) -> None:
    desk.append()
    desk.up()
    desk.receipt(1)
    state = desk.uplink.state()
    assert (state.link, state.hub, state.unsent, state.oldest_ms, state.why) == ("up", True, 0, None, None)
    assert state.received_through_ms == (WALL_S + 100) * 1000


@pytest.mark.parametrize(
    ("reason", "says"), [(NO_SUBSCRIBER, "the hub is not listening"), (0x87, "does not let this terminal send")]
)
def test_a_refusal_of_the_broker_is_shown(desk: Desk, reason: int, says: str) -> None:
    desk.append()
    desk.up()
    desk.uplink.step(Acknowledged(len(desk.sent), reason))
    assert says in str(desk.uplink.state().why)
    desk.now_s += 61
    desk.uplink.step(None)
    assert desk.records() == [1, 1]


def test_a_hub_that_is_away_is_shown_and_gets_a_birth_when_it_is_back(desk: Desk) -> None:
    desk.up()
    desk.uplink.step(HubSaid(False, 1))
    assert desk.uplink.state().why == "the hub is away"
    desk.append()
    assert desk.records() == []
    desk.uplink.step(HubSaid(True, 1))
    assert len(desk.births()) == 2
    assert desk.records() == [1]


def test_a_hub_in_a_new_epoch_gets_a_birth(desk: Desk) -> None:
    desk.live.offer(None, 0.0)
    desk.up()
    desk.uplink.step(HubSaid(True, 1))
    assert len(desk.births()) == 1
    desk.uplink.step(HubSaid(True, 2))
    assert len(desk.births()) == 2


def test_a_terminal_without_a_receiver_says_at_each_word_of_the_hub_that_it_is_here(desk: Desk) -> None:
    desk.append(), desk.up()
    for times in (1, 2, 3):
        assert len(desk.births()) == times
        desk.uplink.step(HubSaid(True, 1))
    desk.uplink.step(HubSaid(False, 1))
    assert (len(desk.births()), desk.records()) == (4, [1])  # and what was sent is not sent again for it


def test_the_hub_may_be_heard_before_the_subscription_is_answered(desk: Desk) -> None:
    desk.append()
    desk.is_connected = True
    desk.uplink.step(Opened(1))
    desk.uplink.step(HubSaid(True, 1))
    assert desk.sent == []
    desk.uplink.step(Subscribed())
    assert [channel for channel, *_ in desk.sent] == [Up.PRESENCE, Up.LOG]


def test_asking_often_to_look_fills_nothing(desk: Desk) -> None:
    for _ in range(10_000):
        desk.uplink.wake()
    assert desk.inbox.qsize() == 1


def test_records_receipted_for_72_hours_are_let_go_while_the_terminal_runs(desk: Desk) -> None:
    desk.append()
    desk.up()
    desk.receipt(1)
    desk.now_s += 73 * 3600
    desk.uplink.step(None)
    assert desk.stores[LEDGER].do(outbox.numbers).lowest_held == 2


def test_a_clock_that_is_set_lets_go_of_nothing(desk: Desk) -> None:
    desk.wall_s = 0.0  # a board without a clock of its own begins in 1970
    desk.append()
    desk.up()
    desk.receipt(1)
    desk.wall_s = WALL_S
    desk.now_s += 3600
    desk.uplink.step(None)
    assert desk.stores[LEDGER].do(outbox.numbers).lowest_held == 1


def test_in_an_emergency_the_live_slot_tells_the_parked_vehicle_at_once_and_again_and_stops_when_it_is_over() -> None:
    told: list[str] = []

    def publish(channel: Up, payload: bytes, qos: int, retain: bool) -> Sent:
        told.append(open_live(payload, "care-1", PUBLIC).reason)
        return Sent(1, lambda: True)

    live = LiveSlot(SIGNER, Clock(bytes(16)), publish)
    running = Thread(target=live.run)
    running.start()
    live.open(True)
    live.offer(PARKED, monotonic())
    until(lambda: told == ["first"])
    live.emergency(True)
    until(lambda: told == ["first", "emergency"])
    until(lambda: told == ["first", "emergency", "emergency"])  # no reading came since
    live.emergency(False)
    live.offer(None, monotonic())
    until(lambda: told[-1] == "no_fix")
    assert live.last_fix() is not None
    live.stop()
    running.join(5)


def until(look: Callable[[], bool]) -> None:
    end_s = monotonic() + PATIENCE_S
    while not look():
        assert monotonic() < end_s
        sleep(0.01)


def test_a_position_that_was_sent_is_marked_on_the_disk_so_that_it_is_never_rewritten(desk: Desk) -> None:
    desk.append(TRAIL)
    desk.append(TRAIL)
    handed = desk.stores[TRAIL].do(lambda db: db.execute("select handed from log").fetchone())
    assert handed == (0,)
    desk.up()
    handed = desk.stores[TRAIL].do(lambda db: db.execute("select handed from log").fetchone())
    assert (desk.records(), handed) == ([1, 2], (2,))


class Full:
    """A store on a disk that is full for whatever writes to the log's row."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def do(self, work: Callable[[Database], T]) -> T:
        def full(db: Database) -> T:
            db.execute(f"pragma max_page_count = {db.execute('pragma page_count').fetchone()[0]}")
            before = db.conn.total_changes
            value = work(db)
            if db.conn.total_changes > before:
                db.execute("create table more (data blob)")  # more than there is: SQLite's own word for it
            return value

        return self.store.do(full)


def test_a_full_disk_does_not_end_the_uplink_and_the_ledger_still_goes_out(desk: Desk) -> None:
    desk.append(LEDGER)
    desk.append(TRAIL)
    full = Full(desk.stores[TRAIL])
    desk.uplink._logs = {LEDGER: desk.stores[LEDGER], TRAIL: full}
    desk.uplink._ahead[TRAIL] = Ahead(full, thinning.hand_out)
    desk.is_connected = True
    for event in (Opened(1), Subscribed(), HubSaid(True, 1)):
        desk.inbox.put(event)
    running = Thread(target=desk.uplink.run)
    running.start()
    until(lambda: len(desk.sent) >= 2)
    desk.uplink.stop()
    running.join()
    channels = [channel for channel, _, _, _ in desk.sent]
    assert channels == [Up.PRESENCE, Up.LOG]
