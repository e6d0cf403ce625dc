"""The hub as a process: the product's intake and ingest over its real store, until it dies at a chosen line.

`hub.intake.run` is the product's own loop, so the order of commit, receipt and acknowledgement is the product's. What
this shell decides is only when the process ends, when the database fails, and what a backup held. Sections go out as
`hub.desired` makes them; that they are said again when unconfirmed is modelled here, because the product's own pipe
waits by a clock that cannot be given to it.
"""

from __future__ import annotations

import sqlite3
from enum import Enum
from pathlib import Path
from random import Random
from threading import Event

from msgspec import Struct
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from hub import desired, intake, orders, presence
from hub import store as hub_store
from hub.ingest import Arrival, Marks, Wanted
from hub.intake import IntakeParts
from hub.link import BACKOFF_S_MAX, HEALTHY_S
from hub.position import Position
from hub.positions import Positions
from hub.presence import Presence
from tests.seams.simulation.agency import Agency
from tests.seams.simulation.broker import HUB_PRESENCE, Broker, Said
from tests.seams.simulation.faults import Fault, Provoked
from tests.seams.simulation.plants import Plant
from tests.seams.simulation.timeline import START_WALL_S, Timeline
from wire import records, state, topics
from wire.live import HubPresence, sign_hub_presence
from wire.state import OrderKind
from wire.topics import State, Topic

BATCH_S = (0.01, 0.3)  # what comes meanwhile is one batch
UNCONFIRMED_S = 30.0
PRESENCE_S = 60.0
SPREAD_S = 5.0


class Dies(Enum):
    """At which line the process ends."""

    BEFORE_COMMIT = Fault.HUB_BEFORE_COMMIT
    AFTER_COMMIT = Fault.HUB_AFTER_COMMIT
    HALF_SAID = Fault.HUB_HALF_SAID


class _Died(BaseException):
    """The process has ended."""


class _Positions(Positions):
    """Kept as rarely as the product keeps them; its pipe, begun anew for each batch, would do so with each."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__()
        self._timeline = timeline
        self._kept_s = 0.0

    def unkept(self) -> tuple[Position, ...]:
        """Those that changed, once it is time."""
        if self._timeline.now_s < self._kept_s + intake.KEEP_POSITIONS_S:
            return ()
        self._kept_s = self._timeline.now_s
        return super().unkept()


class Backup(Struct, frozen=True):
    """A copy of the hub's database, and when it was made."""

    path: Path
    at_s: float


class Hub:
    """One agency's hub at `home`."""

    def __init__(
        self,
        agency: Agency,
        timeline: Timeline,
        broker: Broker,
        chance: Random,
        provoked: Provoked,
        plant: Plant,
    ) -> None:
        self._agency = agency
        self._file = agency.file
        self._timeline = timeline
        self._broker = broker
        self._chance = chance
        self._provoked = provoked
        self._plant = plant
        self._life = 0
        self._epoch_max = 1
        self._dies: Dies | None = None
        self._is_database_bad = False
        self._is_taking = False  # only intake meets a chosen line and a full disk
        self.is_on = False
        self.shown: dict[str, float] = {}  # by device, the latitude that the map shows of it
        self._file.begin()
        self._file.committing = self._committing
        self.start()

    @property
    def path(self) -> Path:
        """The database."""
        return self._file.path

    @property
    def engine(self) -> Engine:
        """Its connection."""
        return self._file.engine

    # --- its fate

    def start(self) -> None:
        """The process begins."""
        self._life += 1
        self.is_on = True
        self._is_connected = False
        self._tries = 0
        self._up_s = 0.0
        self._incoming: list[Said] = []
        self._is_busy = False
        self.shown.clear()
        self._asked: dict[str, bool] = {}  # whom to send what it should hold, and whether all of it
        self._marks, self._positions = Marks(), _Positions(self._timeline)
        with self.engine.begin() as connection:
            self._epoch = hub_store.epoch(connection)
            self._presence = Presence(presence.last_births(connection))
        self._connect()
        self._later(UNCONFIRMED_S, self._send_unconfirmed)
        self._later(PRESENCE_S, self._say_again)

    def stop(self) -> None:
        """The process ends without a word; the broker speaks its will."""
        if not self.is_on:
            return
        self._life += 1
        self.is_on = False
        self._dies = None
        self._is_database_bad = False
        self._file.close()
        if self._is_connected:
            self._broker.hub_gone(self._said_presence(False))

    def die_at(self, dies: Dies) -> None:
        """The process ends at this line of the next batch, and is started again."""
        self._dies = dies

    def database_fails(self, is_bad: bool) -> None:
        """Locked or full: nothing is committed until it is well."""
        self._is_database_bad = is_bad

    def back_up(self, path: Path) -> Backup:
        """A copy as of now, made while the hub works."""
        source, target = sqlite3.connect(self.path), sqlite3.connect(path)
        source.backup(target)
        source.close()
        target.close()
        return Backup(path, self._timeline.now_s)

    def restore(self, backup: Backup) -> None:
        """What the hub held at `backup` is what it holds; it knows so, and says it by a higher epoch."""
        self.stop()
        self._file.fill(backup.path)
        if not self._plant.restore_keeps_epoch:
            with self.engine.begin() as connection:
                while hub_store.epoch(connection) <= self._epoch_max:
                    hub_store.raise_epoch(connection)
                self._epoch_max = hub_store.epoch(connection)
        self.start()

    def change_state(self, device: str, number: int) -> None:
        """Dispatch changes something that terminal must show."""
        if not self.is_on or self._is_database_bad:
            return
        with self.engine.begin() as connection:
            connection.execute(
                text("update unit set call_sign = :sign where unit = (select unit from device where device = :device)"),
                {"sign": f"{device.upper()}.{number}", "device": device},
            )
        self.poke(device)

    def order(self, device: str) -> None:
        """A fleet tech wants everything again that this terminal still holds."""
        if not self.is_on or self._is_database_bad:
            return
        with self.engine.begin() as connection:
            orders.give(connection, device, OrderKind.RESEND, "fleet tech", self._wall_ms())
        self._provoked.note(Fault.RESEND)
        self.poke(device)

    # --- from the broker

    def heard(self, said: Said) -> None:
        """The broker delivers."""
        self._incoming.append(said)
        if not self._is_busy:
            self._is_busy = True
            self._later(self._chance.uniform(*BATCH_S), self._take_batch)

    def closed(self) -> None:
        """The broker is gone."""
        self._is_connected = False
        self._incoming.clear()
        self._come_back(0.0)

    # --- what intake needs of a link (hub.intake.FromBroker)

    def receive(self, wait_s: float) -> list[Said]:
        """All that came; and the loop ends after it."""
        self._turn.set()
        batch, self._incoming = self._incoming, []
        return batch

    def publish(self, topic: Topic, payload: bytes) -> bool:
        """To a terminal."""
        self._maybe_die(Dies.AFTER_COMMIT)
        self._broker.publish_from_hub(topics.text(topic), payload)
        self._maybe_die(Dies.HALF_SAID)
        return True

    def acknowledge(self, said: Said) -> None:
        """To the broker."""
        self._maybe_die(Dies.AFTER_COMMIT)
        self._broker.acknowledge(said.mid)
        self._maybe_die(Dies.HALF_SAID)

    def drop(self) -> None:
        """End the connection, so that what was not acknowledged comes again. A goodbye: no will is spoken."""
        self._is_connected = False
        self._broker.hub_gone(None)
        self._incoming.clear()
        self._come_back(intake.AGAIN_S)

    # --- whom intake tells (hub.intake.Told)

    def moved(self, position: Position) -> None:
        """The map: what it shows of this terminal."""
        if position.fix is not None:
            self.shown[position.device] = position.fix.lat

    def changed(self) -> None:
        """No console here."""

    def wanted(self, wanted: Wanted) -> None:
        """No desks here."""

    def poke(self, device: str | None) -> None:
        """What this terminal should hold may have changed."""
        self._send_soon(device, is_birth=False)

    def born(self, device: str) -> None:
        """This terminal wants every section."""
        self._send_soon(device, is_birth=True)

    # --- inside

    def _connect(self) -> None:
        if self._is_connected:
            return
        if not self._broker.is_running:
            self._come_back(0.0)
            return
        self._is_connected = True
        self._up_s = self._timeline.now_s
        self._broker.connect_hub(self)
        self._broker.publish_from_hub(HUB_PRESENCE, self._said_presence(True), retain=True)

    def _come_back(self, wait_s: float) -> None:
        """Connect again, later with each time that did not last."""
        self._tries = 0 if self._timeline.now_s - self._up_s > HEALTHY_S else self._tries + 1
        self._later(wait_s + self._chance.uniform(0.1, min(BACKOFF_S_MAX, 0.25 * 2**self._tries)), self._connect)

    def _say_again(self) -> None:
        if self._is_connected:
            self._broker.publish_from_hub(HUB_PRESENCE, self._said_presence(True), retain=True)
        self._later(PRESENCE_S, self._say_again)

    def _take_batch(self) -> None:
        self._is_busy = False
        if not self._incoming:
            return
        try:
            self._premature_receipts()
            self._turn = Event()
            self._is_taking = True
            intake.run(self._parts(), self._turn)
            self._is_taking = False
        except _Died:
            self._is_taking = False
            self.stop()
            self._timeline.later(self._chance.uniform(1.0, 20.0), self._restart)

    def _restart(self) -> None:
        if not self.is_on:
            self.start()

    def _premature_receipts(self) -> None:
        arrivals = [Arrival(topic=said.topic, payload=said.payload) for said in self._incoming]
        for receipt in self._plant.before_batch(self.engine, arrivals):
            topic = topics.text(topics.Receipts(receipt.device))
            self._broker.publish_from_hub(topic, records.sign_receipt(receipt, self._agency.fleet.snapshot))

    def _parts(self) -> IntakeParts:
        return IntakeParts(
            engine=self.engine,
            link=self,  # type: ignore[arg-type]  # its own Received carries a paho client
            snapshot_key=self._agency.fleet.snapshot,
            note_keys=self._agency.note_keys,
            marks=self._marks,
            positions=self._positions,
            presence=self._presence,
            told=self,
            now_ms=self._wall_ms,
        )

    def _maybe_die(self, dies: Dies) -> None:
        if self._dies is dies:
            self._dies = None
            self._provoked.note(dies.value)
            raise _Died

    def _committing(self) -> None:
        if not self._is_taking:
            return
        self._maybe_die(Dies.BEFORE_COMMIT)
        if self._is_database_bad:
            self._provoked.note(Fault.HUB_DATABASE)
            raise OperationalError("commit", None, sqlite3.OperationalError("database or disk is full"))

    def _send_soon(self, device: str | None, *, is_birth: bool) -> None:
        """What is asked for twice is computed once, as in the product."""
        if device is None:
            return
        is_planned = device in self._asked
        self._asked[device] = is_birth or self._asked.get(device, False)
        if not is_planned:
            self._later(0.05, lambda: self._send(device, is_birth=self._asked.pop(device)))

    def _send(self, device: str, *, is_birth: bool) -> None:
        if not self._is_connected or self._is_database_bad:
            return
        with self.engine.begin() as connection:
            kept = desired.refresh(connection, device, self._agency.vouched)
        for section in kept:
            if is_birth or section.is_new:
                self._publish_section(device, section.section, section.version, section.content)

    def _send_unconfirmed(self) -> None:
        here = self._presence.connected()
        if not self._is_database_bad:
            with self.engine.begin() as connection:
                rows = connection.execute(
                    text(
                        "select device, section, epoch, n, content from desired"
                        " where held_epoch <> epoch or held_n <> n order by device, section"
                    )
                ).all()
            for device, section, epoch, n, content in rows:
                if device in here:
                    self._publish_section(device, section, state.Version(epoch, n), content)
        self._later(UNCONFIRMED_S, self._send_unconfirmed)

    def _publish_section(self, device: str, section: str, version: state.Version, content: bytes) -> None:
        data = self._agency.sealed(device, section, version, content)
        self._broker.publish_from_hub(topics.text(State(device, section)), data)

    def _said_presence(self, is_here: bool) -> bytes:
        said = HubPresence(v=1, is_here=is_here, epoch=self._epoch, spread_s=SPREAD_S, wall_ms=self._wall_ms())
        return sign_hub_presence(said, self._agency.fleet.snapshot)

    def _wall_ms(self) -> int:
        return int((START_WALL_S + self._timeline.now_s) * 1000)

    def _later(self, wait_s: float, act: object) -> None:
        life = self._life
        assert callable(act)
        self._timeline.later(wait_s, lambda: act() if life == self._life and self.is_on else None)
