"""A terminal and a hub, both real down to their SQLite files, with a network between them that a seed makes bad.

What is modelled is the broker and the link: they drop, double and reorder both ways, cut, refuse, and acknowledge what
they then lose. Time is a number. Everything else is the product: outbox, sync, uplink, downlink, ingest.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from queue import Queue
from random import Random
from typing import TypeVar

from msgspec import Struct
from sqlalchemy import Engine, insert, select

from edge import downlink, outbox, schema, uplink
from edge.clock import Clock
from edge.downlink import Downlink
from edge.link import Acknowledged, Closed, Message, Opened, Sent, Subscribed
from edge.outbox import LEDGER, TRAIL, Numbers, Signer
from edge.store import Store
from edge.sync import NO_SUBSCRIBER
from edge.uplink import LiveSlot, Uplink
from hub import ingest
from hub import schema as hub_schema
from hub import store as hub_store
from hub.ingest import Arrival
from tests.new_store import lay_store
from tests.terminal_fleet import TerminalFleet
from wire import topics
from wire.facts import AuditFact
from wire.live import HubPresence, sign_hub_presence
from wire.records import Kind, sign_receipt
from wire.signature import public_der
from wire.stamp import ClockQuality
from wire.topics import HUB_PRESENCE, Receipts, Up, UpTopic
from wire.trail import Trail, TrailPoint, pack

DEVICE = "care-1"
T = TypeVar("T")

TRACK = pack(Trail(points=(TrailPoint(mono_ms=1, lat=39.9, lon=-83.0),)))
START_S = 1_770_000_000.0


class Packet(Struct, frozen=True):
    mid: int
    topic: str
    payload: bytes
    is_counted: bool  # QoS 1: the broker answers


class World:
    def __init__(self, home: Path, seed: int) -> None:
        self.chance = Random(seed)
        self.now_s = 1000.0
        self.fleet = TerminalFleet()
        self.who = self.fleet.terminal(home / "terminal", DEVICE)
        self.home = home
        self.truth: dict[str, list[bytes]] = {LEDGER: [], TRAIL: []}
        self.is_bad = True
        self.up: list[Packet] = []
        self.unanswered: list[int] = []
        self.down: list[Message] = []
        self.is_connected = False
        self.sent_packets = 0
        self.mid = self.session = self.terminal_lives = 0
        self.is_hub_here = True
        (home / "hub").mkdir()
        lay_store(home / "hub")
        self._open_hub()
        self._enroll()
        self._open_terminal()

    # --- the terminal

    def append(self, log: str) -> None:
        store = self.stores[log]
        kind = Kind.AUDIT if log == LEDGER else Kind.TRAIL
        body = AuditFact(what="x" * self.chance.choice((1, 1, 1, 9000)), outcome="ok") if log == LEDGER else TRACK
        seq = store.do(lambda db: outbox.append(db, self.signer, self.clock.stamp(), kind, body))
        (owed,) = store.do(lambda db: outbox.read(db, seq, 1, 1))
        assert owed.seq == seq == len(self.truth[log]) + 1
        self.truth[log].append(owed.data)
        self.uplink.wake()
        self._run()

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.uplink.step(None)
        self._run()

    def restart_terminal(self) -> None:
        self.cut()
        self._close_terminal()
        self._open_terminal()

    def numbers(self, log: str) -> Numbers:
        return self.stores[log].do(outbox.numbers)

    @property
    def unsent(self) -> int:
        return sum(self.numbers(log).unsent for log in self.stores)

    @property
    def is_answered(self) -> bool:
        """Whether the hub of this epoch has said how far it holds each log."""
        with self.engine.begin() as connection:
            epoch = hub_store.epoch(connection)
        return all(self.numbers(log).hub_epoch == epoch for log in self.stores)

    # --- the link and the broker

    def connect(self) -> None:
        if self.is_connected:
            return
        self.session += 1
        self.is_connected = True
        self.uplink.step(Opened(self.session))
        self._run()
        if self.chance.random() < 0.5:  # what is retained may come before the answer to SUBSCRIBE is looked at
            self._hear(self._presence())
            self.uplink.step(Subscribed())
        else:
            self.uplink.step(Subscribed())
            self._hear(self._presence())
        self._run()

    def cut(self) -> None:
        """Some of what was under way still arrives, none of it is answered."""
        self.is_connected = False
        self.unanswered.clear()
        self.up = [packet for packet in self.up if self.chance.random() < 0.5]
        self.down.clear()
        self.uplink.step(Closed("cut"))
        self._run()

    def carry_up(self) -> None:
        """The broker hands the hub a batch of what it has; the hub answers what it has stored."""
        if not self.is_hub_here or not self.up:
            return
        count = self.chance.randint(1, len(self.up)) if self.is_bad else len(self.up)
        batch, self.up = self.up[:count], self.up[count:]
        arrivals = [Arrival(topic=packet.topic, payload=packet.payload) for packet in self._mangled(batch)]
        taken = ingest.take(self.engine, arrivals, self._wall_ms())
        topic = topics.text(Receipts(DEVICE))
        for receipt in taken.receipts:
            self.down.append(Message(topic, sign_receipt(receipt, self.fleet.snapshot)))

    def carry_down(self) -> None:
        if not self.is_connected:
            return
        count = self.chance.randint(0, len(self.down)) if self.is_bad else len(self.down)
        batch, self.down = self.down[:count], self.down[count:]
        for message in self._mangled(batch):
            self._hear(message)

    def answer(self) -> None:
        """The broker acknowledges, which promises nothing."""
        while self.unanswered and (not self.is_bad or self.chance.random() < 0.8):
            mid = self.unanswered.pop(self.chance.randrange(len(self.unanswered)) if self.is_bad else 0)
            reason = NO_SUBSCRIBER if self.is_bad and self.chance.random() < 0.02 else 0
            self.uplink.step(Acknowledged(mid, reason))
            self._run()

    # --- the hub

    def restart_hub(self) -> None:
        self.is_hub_here = False
        self.up = [packet for packet in self.up if self.chance.random() < 0.7]  # its session at the broker may expire
        self._tell_presence()
        self.engine.dispose()
        self._open_hub()
        self.is_hub_here = True
        self._tell_presence()

    def back_up_hub(self) -> None:
        self.engine.dispose()
        shutil.copy(self.home / "hub" / hub_store.DATABASE_FILE, self.home / "backup.db")
        self._open_hub()

    def restore_hub(self) -> None:
        """Yesterday's hub comes back, knowing that it is."""
        if not (self.home / "backup.db").exists():
            return
        self.is_hub_here = False
        self._tell_presence()
        with self.engine.begin() as connection:
            epoch = hub_store.epoch(connection)
        self.engine.dispose()
        shutil.copy(self.home / "backup.db", self.home / "hub" / hub_store.DATABASE_FILE)
        self._open_hub()
        with self.engine.begin() as connection:
            while hub_store.epoch(connection) <= epoch:  # the restore command is told the epoch it must pass
                hub_store.raise_epoch(connection)
        self.up.clear()
        self.is_hub_here = True
        self._tell_presence()

    def held(self) -> dict[bytes, list[tuple[int, bytes]]]:
        """What the hub holds, by log, in the order in which it came to hold it."""
        table = hub_schema.record
        found: dict[bytes, list[tuple[int, bytes]]] = {}
        with self.engine.begin() as connection:
            rows = connection.execute(select(table.c.log_id, table.c.seq, table.c.data).order_by(table.c.id))
            for log_id, seq, data in rows:
                found.setdefault(log_id, []).append((seq, data))
        return found

    def quarantined(self) -> list[str]:
        with self.engine.begin() as connection:
            return list(connection.execute(select(hub_schema.quarantine.c.why)).scalars())

    def heal(self) -> None:
        """The network becomes good; what is owed must arrive without anybody's help."""
        self.is_bad = False
        for _ in range(200):
            self.connect()
            for _ in range(40):
                self.answer()
                self.carry_up()
                self.carry_down()
            if self.unsent == 0 and not self.up and not self.down and self.is_answered:
                return
            self.pass_time(601)  # the longest pause there is
        raise AssertionError(f"{self.unsent} records are still owed")

    def close(self) -> None:
        self._close_terminal()
        self.engine.dispose()

    # --- inside

    def _open_terminal(self) -> None:
        if self.terminal_lives == 0 or self.chance.random() < 0.5:
            self.boot = self.chance.randbytes(16)  # a power cut; otherwise only the program started again
            self.clock = Clock(
                self.boot,
                mono_s=lambda: self.now_s,
                wall_s=lambda: START_S + self.now_s,
                quality=lambda: ClockQuality.NTP,
            )
        self.terminal_lives += 1
        home = self.home / "terminal"
        self.stores = {
            LEDGER: Store(home / "ledger.db", schema.LEDGER),
            TRAIL: Store(home / "trail.db", schema.TRAIL),
        }
        self.signer = Signer(DEVICE, self.who.key)
        self.notices = uplink.inbox()
        live = LiveSlot(self.signer, self.clock, self._publish)
        self.uplink = Uplink(
            self.notices,
            self.stores,
            self.signer,
            self.clock,
            self._publish,
            live,
            software="test",
            chance=self.chance,
        )
        heard: Queue[Message | None] = downlink.inbox()
        self.downlink = Downlink(
            heard,
            self.stores,
            self.who,
            self.signer,
            self.clock,
            hub_said=self.uplink.hub_said,
            spread=lambda _: None,
            settings=lambda _: None,
            wake=self.uplink.wake,
            refused=self.uplink.refused,
            desk=None,
        )
        self.uplink.wake()
        self._run()

    def _close_terminal(self) -> None:
        for store in self.stores.values():
            store.close()

    def _open_hub(self) -> None:
        self.engine: Engine = hub_store.open_store(self.home / "hub")

    def _enroll(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                insert(hub_schema.unit).values(unit="u1", call_sign="CARE-1", agency="Lakeshore CARE", kind="vehicle")
            )
            connection.execute(
                insert(hub_schema.device).values(
                    device=DEVICE,
                    unit="u1",
                    kind="vehicle",
                    state="active",
                    public=public_der(self.who.key.public_key()),
                    kem_public=public_der(self.who.kem.public_key()),
                    added_ms=0,
                )
            )

    def _publish(self, channel: Up, payload: bytes, qos: int, retain: bool) -> Sent | None:
        if not self.is_connected:
            return None
        self.mid += 1
        self.sent_packets += 1
        self.up.append(Packet(self.mid, topics.text(UpTopic(DEVICE, channel)), payload, qos == 1))
        if qos == 1:
            self.unanswered.append(self.mid)
        return Sent(self.mid, lambda: True)

    def _mangled(self, batch: list[T]) -> list[T]:
        """Some lost, some twice, some late."""
        if not self.is_bad:
            return batch
        kept = [thing for thing in batch for _ in range(self.chance.choice((0, 1, 1, 1, 1, 1, 1, 2)))]
        if self.chance.random() < 0.3:
            self.chance.shuffle(kept)
        return kept

    def _presence(self) -> Message:
        with self.engine.begin() as connection:
            epoch = hub_store.epoch(connection)
        said = HubPresence(v=1, is_here=self.is_hub_here, epoch=epoch, spread_s=0.0, wall_ms=self._wall_ms())
        return Message(HUB_PRESENCE, sign_hub_presence(said, self.fleet.snapshot))

    def _tell_presence(self) -> None:
        if self.is_connected:
            self._hear(self._presence())

    def _hear(self, message: Message) -> None:
        self.downlink.take(message)
        self._run()

    def _run(self) -> None:
        while not self.notices.empty():
            self.uplink.step(self.notices.get())

    def _wall_ms(self) -> int:
        return int((START_S + self.now_s) * 1000)
