"""One run: a fleet, a broker, a hub and everything that befalls them, drawn from one seed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from random import Random

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Struct

from edge.outbox import LEDGER, TRAIL
from edge.room import Growth
from tests.seams.simulation.agency import Agency, unit_of
from tests.seams.simulation.auditor import Board, Evidence, audit
from tests.seams.simulation.broker import Broker, Weather
from tests.seams.simulation.faults import Fault, Provoked
from tests.seams.simulation.hub import Backup, Dies, Hub
from tests.seams.simulation.plants import HONEST, Plant
from tests.seams.simulation.terminal import Journal, Terminal
from tests.seams.simulation.timeline import START_WALL_S, Timeline
from wire.codec import encode
from wire.facts import AuditFact, StatusFact
from wire.records import Kind
from wire.trail import Trail, TrailPoint, pack

HEAL_S_MAX = 3600.0  # the longest waits are ten minutes, and two of them may follow each other
WEEKEND_S = 73 * 3600.0
PACES = (  # records a burst at most, seconds between two bursts of the whole fleet, and how much more often faults come
    (6, 3.0, 1.0),  # a shift
    (24, 3.0, 2.5),  # a busy day
    (80, 5.0, 5.0),  # backlogs
)
AUDITS = 2  # during a run, beside the last one
DRIVING_MAX = 3  # of the fleet; a receiver costs as much as many records
LOOK_S = 10.0  # how exactly a recovery is timed
IN_PARTS = 300_000  # bytes that no record holds
LATE = {Fault.REORDERED, Fault.REPLAYED}  # what brings a word after one that was said later
STEPS_MAX = 400  # acts a record; a run that needs more is spinning

TRACKS = [
    pack(
        Trail(
            points=tuple(
                TrailPoint(mono_ms=1000 * second, lat=39.9 + n / 1000, lon=-83.0, speed_mps=9.0, heading_deg=90.0)
                for second in range(points)
            )
        )
    )
    for n, points in enumerate((1, 12, 60, 60))
]


class Outcome(Struct, frozen=True, kw_only=True):
    """What a run came to. `digest`: of everything that happened, in order; the same for the same seed."""

    seed: int
    asked: int
    faults: frozenset[Fault]
    haste: float
    records: int
    terminals: int
    provoked: dict[Fault, int]
    findings: tuple[str, ...]
    healed_s: float
    simulated_s: float
    queue_max: int
    digest: str


def run(
    agency: Agency,
    home: Path,
    seed: int,
    records: int,
    faults: Iterable[Fault],
    plant: Plant = HONEST,
    haste: float = 1.0,
) -> Outcome:
    """Live through `seed` until so many records were saved, heal, and audit. `home` is removed afterwards.

    `haste`: how much more often the faults come than they would.
    """
    home.mkdir()
    try:
        return _World(agency, home, seed, records, frozenset(faults), plant, haste).lived()
    finally:
        shutil.rmtree(home)


class _World:
    def __init__(
        self,
        agency: Agency,
        home: Path,
        seed: int,
        records: int,
        faults: frozenset[Fault],
        plant: Plant,
        haste: float,
    ) -> None:
        self._agency = agency
        self._home = home
        self._seed = seed
        self._records = records
        self._faults = faults
        self._plant = plant
        self._chance = self._chance_of("world")
        self._timeline = Timeline()
        self._provoked = Provoked()
        self._journal = Journal()
        self._weather = Weather()
        self._broker = Broker(self._timeline, self._chance_of("broker"), self._provoked, self._weather)
        self._hub = Hub(agency, self._timeline, self._broker, self._chance_of("hub"), self._provoked, plant)
        self._is_bad = True
        self._asked_haste = haste
        self._burst_max, self._pause_s, self._haste = self._chance.choice(PACES)
        self._haste *= haste
        self._healed_at_s = 0.0
        self._changes = 0
        self._backups: list[Backup] = []
        self._trace = sha256()
        self._scratch = home / "scratch"
        self._scratch.mkdir()
        chosen = agency.terminals[: self._chance.choice((1, 3, 6, 8, 12))]
        self._terminals: list[Terminal] = []
        for n, who in enumerate(chosen):
            self._terminals.append(self._new_terminal(who.device, home / who.device, has_receiver=n < DRIVING_MAX))

    # --- the run

    def lived(self) -> Outcome:
        """The whole of it."""
        for terminal in self._terminals:
            self._timeline.later(self._chance.uniform(0, 5), lambda t=terminal: self._work(t))
        for fault, mean_s, act in self._dangers():
            if fault in self._faults:
                self._threaten(mean_s, act)
        if self._plant.clones_a_card:
            self._timeline.later(self._chance.uniform(30, 90), self._clone_a_card)
        if self._plant.restores_a_card:
            self._timeline.later(self._chance.uniform(30, 90), self._image_a_card)
        findings = self._endured() or self._recovered()
        return Outcome(
            seed=self._seed,
            asked=self._records,
            faults=self._faults,
            haste=self._asked_haste,
            records=self._journal.records,
            terminals=len(self._terminals),
            provoked=dict(self._provoked.counts),
            findings=tuple(findings),
            healed_s=self._timeline.now_s - self._healed_at_s,
            simulated_s=self._timeline.now_s,
            queue_max=self._broker.queue_max_seen,
            digest=self._trace.hexdigest()[:16],
        )

    def _endured(self) -> list[str]:
        """Faults and work until enough was saved, with an audit now and then."""
        for due in [self._records * n // AUDITS for n in range(1, AUDITS + 1)]:
            steps = 0
            while self._journal.records < due:
                self._step()
                steps += 1
                if steps > STEPS_MAX * (self._records + 1000):
                    return [f"after {steps} acts only {self._journal.records} records were saved: nothing moves"]
            findings = audit(self._evidence(is_healed=False))
            if findings:
                return findings
        return []

    def _recovered(self) -> list[str]:
        """Good weather until both ends agree, and then nothing may be wrong."""
        self._heal()
        findings = ["not audited"]
        while findings and self._timeline.now_s < self._healed_at_s + HEAL_S_MAX:
            look_s = self._timeline.now_s + LOOK_S
            while self._timeline.now_s < look_s:
                self._step()
            if self._broker.is_quiet and all(terminal.owes_nothing for terminal in self._terminals):
                findings = audit(self._evidence(is_healed=True))
                if not all(finding.startswith("h:") for finding in findings):
                    return findings  # only a difference between the ends can still go away
        return findings and audit(self._evidence(is_healed=True))

    def _step(self) -> None:
        self._timeline.step()
        self._trace.update(f"{self._timeline.now_s:.6f} {self._journal.records} ".encode())

    def _heal(self) -> None:
        """Every fault ends; from now on nobody helps."""
        self._is_bad = False
        self._healed_at_s = self._timeline.now_s
        for name in Weather.__struct_fields__:
            setattr(self._weather, name, 0.02 if name == "latency_s" else 0.0)
        self._broker.denied.clear()
        self._broker.start()
        self._hub.database_fails(False)
        if not self._hub.is_on:
            self._hub.start()
        for terminal in self._terminals:
            terminal.is_link_blocked = False
            terminal.disk_is_full(None)
            if not terminal.is_on:
                terminal.power_on()

    # --- what people do

    def _work(self, terminal: Terminal) -> None:
        if not self._is_bad:
            return
        for _ in range(self._chance.randint(1, self._burst_max)):
            self._save_one(terminal)
        if self._chance.random() < 0.02:
            self._changes += 1
            self._hub.change_state(terminal.device, self._changes)
        self._timeline.later(
            self._chance.expovariate(1 / (self._pause_s * len(self._terminals))), lambda: self._work(terminal)
        )

    def _save_one(self, terminal: Terminal) -> None:
        if Fault.POISON in self._faults and terminal.is_on and self._chance.random() < 0.003:
            self._provoked.note(Fault.POISON)
            terminal.save(LEDGER, self._chance.choice(("telepathy", Kind.STATUS, Kind.AUDIT)), b"\xc1")
        elif self._chance.random() < 0.6:
            terminal.save(TRAIL, Kind.TRAIL, self._chance.choice(TRACKS))
        elif self._chance.random() < 0.1:
            fact = StatusFact(unit=unit_of(terminal.device), status="available", by="crew")
            terminal.save(LEDGER, Kind.STATUS, encode(fact))
        else:
            size = self._chance.choices((8, 300, 9000, 100_000, IN_PARTS), weights=(600, 300, 90, 8, 2))[0]
            terminal.save(LEDGER, Kind.AUDIT, encode(AuditFact(what="x" * size, outcome="ok")))

    # --- what befalls them

    def _dangers(self) -> list[tuple[Fault, float, Callable[[], None]]]:
        """Each fault, the seconds between two of it on average, and what it does."""
        some = len(self._terminals)
        return [
            (Fault.LOST, 300, lambda: self._storm("lost", self._chance.choice((0.02, 0.1, 0.3)))),
            (Fault.DOUBLED, 300, lambda: self._storm("doubled", 0.2)),
            (Fault.REORDERED, 300, lambda: self._storm("reordered", 0.1)),
            (Fault.PUBACK_LOST, 300, lambda: self._storm("puback_lost", 0.1)),
            (Fault.GARBLED, 600, lambda: self._storm("garbled", 0.03)),
            (Fault.REPLAYED, 400, lambda: self._storm("replayed", 0.03)),
            (Fault.SLOW, 600, self._slow),
            (Fault.LINK_CUT, 600 / some, self._cut),
            (Fault.HALF_OPEN, 900 / some, self._half_open),
            (Fault.BROKER_RESTARTED, 900, lambda: self._restart_broker(is_wiped=False)),
            (Fault.BROKER_WIPED, 900, lambda: self._restart_broker(is_wiped=True)),
            (Fault.DENIED, 900, self._deny),
            (Fault.NO_SUBSCRIBER, 1500, self._unsubscribe),
            (Fault.KILLED, 600 / some, lambda: self._kill(self._anyone())),
            (Fault.POWER_CUT, 600 / some, lambda: self._anyone().power_off()),
            (Fault.TORN_COMMIT, 400 / some, self._tear),
            (Fault.CLOCK_SET, 900 / some, self._set_clock),
            (Fault.WEEKEND, 4000, self._weekend),
            (Fault.DISK_FULL, 900 / some, self._fill_disk),
            (Fault.BIT_ROT, 400 / some, lambda: self._anyone().rot(self._chance.choice((LEDGER, TRAIL)))),
            (Fault.RESEND, 900 / some, lambda: self._hub.order(self._anyone().device)),
            (Fault.HUB_BEFORE_COMMIT, 400, lambda: self._hub.die_at(Dies.BEFORE_COMMIT)),
            (Fault.HUB_AFTER_COMMIT, 400, lambda: self._hub.die_at(Dies.AFTER_COMMIT)),
            (Fault.HUB_HALF_SAID, 400, lambda: self._hub.die_at(Dies.HALF_SAID)),
            (Fault.HUB_AWAY, 1500, self._hub_away),
            (Fault.HUB_DATABASE, 900, self._hub_database),
            (Fault.RESTORED, 200, self._back_up),
            (Fault.RESTORED, 1200, self._restore),
        ]

    def _threaten(self, mean_s: float, act: Callable[[], None]) -> None:
        def strike() -> None:
            if self._is_bad:
                act()
                self._threaten(mean_s, act)

        self._timeline.later(self._chance.expovariate(self._haste / mean_s), strike)

    def _storm(self, what: str, odds: float) -> None:
        setattr(self._weather, what, odds)
        self._over(self._chance.uniform(20, 120), lambda: setattr(self._weather, what, 0.0))

    def _slow(self) -> None:
        self._provoked.note(Fault.SLOW)
        self._weather.latency_s = self._chance.choice((0.5, 2.0, 8.0))
        self._over(self._chance.uniform(20, 200), lambda: setattr(self._weather, "latency_s", 0.02))

    def _cut(self) -> None:
        terminal = self._anyone()
        if self._broker.cut(terminal.device):
            self._provoked.note(Fault.LINK_CUT)
            terminal.is_link_blocked = True
            self._over(self._chance.choice((1.0, 30.0, 300.0)), lambda: setattr(terminal, "is_link_blocked", False))

    def _half_open(self) -> None:
        if self._broker.swallow(self._anyone().device):
            self._provoked.note(Fault.HALF_OPEN)

    def _restart_broker(self, *, is_wiped: bool) -> None:
        if self._broker.is_running:
            self._provoked.note(Fault.BROKER_WIPED if is_wiped else Fault.BROKER_RESTARTED)
            self._broker.stop(is_wiped)
            self._over(self._chance.choice((0.5, 5.0, 60.0)), self._broker.start)

    def _deny(self) -> None:
        device = self._anyone().device
        self._broker.denied.add(device)
        self._over(self._chance.uniform(10, 200), lambda: self._broker.denied.discard(device))

    def _unsubscribe(self) -> None:
        """The hub is away, its presence was lost with it, and the broker forgets its session."""
        self._hub.stop()
        self._broker.hub_session_expired()
        self._over(self._chance.uniform(10, 120), self._start_hub)

    def _kill(self, terminal: Terminal) -> None:
        if terminal.is_on:
            self._provoked.note(Fault.KILLED)
            terminal.kill()

    def _tear(self) -> None:
        terminal, log = self._anyone(), self._chance.choice((LEDGER, TRAIL))
        terminal.power_off_at_next_commit(log)
        if self._chance.random() < 0.7:  # else in whatever comes: a receipt, a snapshot, a sweep
            terminal.save(log, Kind.AUDIT if log == LEDGER else Kind.TRAIL, encode(AuditFact(what="cut", outcome="ok")))

    def _fill_disk(self) -> None:
        """A card is full. Mostly the terminal has noticed before, and makes room; else its commits are refused."""
        terminal = self._anyone()
        terminal.disk_is_full(self._chance.choice((Growth.STAYS, Growth.STAYS, Growth.WAITS, Growth.GROWS)))
        self._over(self._chance.uniform(20, 300), lambda: terminal.disk_is_full(None))

    def _set_clock(self) -> None:
        """The clock was wrong, and is set right after a while: of 1970, hours ahead, hours behind."""
        terminal = self._anyone()
        if terminal.is_on:
            self._provoked.note(Fault.CLOCK_SET)
            terminal.clock_is_off(self._chance.choice((-START_WALL_S, 6 * 3600.0, -2 * 3600.0, 200 * 3600.0)))
            self._timeline.later(self._chance.uniform(5, 300), lambda: terminal.clock_is_off(0.0))

    def _weekend(self) -> None:
        """Everybody parks on Friday and comes back on Monday; who left the power on may let go of something now."""
        self._provoked.note(Fault.WEEKEND)
        for terminal in self._terminals:
            if self._chance.random() < 0.5:
                terminal.power_off()
        self._timeline.skip(WEEKEND_S)

    def _hub_away(self) -> None:
        if self._hub.is_on:
            self._provoked.note(Fault.HUB_AWAY)
            self._hub.stop()
            self._over(self._chance.choice((60.0, 300.0, 1800.0)), self._start_hub)

    def _hub_database(self) -> None:
        self._hub.database_fails(True)
        self._over(self._chance.uniform(5, 60), lambda: self._hub.database_fails(False))

    def _back_up(self) -> None:
        if self._hub.is_on:
            self._backups.append(self._hub.back_up(self._home / f"backup-{len(self._backups)}.db"))

    def _restore(self) -> None:
        if not self._backups or not self._hub.is_on:
            return
        backup = self._chance.choice(self._backups[-4:])
        is_old = self._timeline.now_s - backup.at_s > WEEKEND_S
        self._provoked.note(Fault.RESTORED_OLD if is_old else Fault.RESTORED)
        self._hub.restore(backup)

    def _start_hub(self) -> None:
        if not self._hub.is_on:
            self._hub.start()

    def _over(self, wait_s: float, act: Callable[[], None]) -> None:
        """A fault ends, unless everything has been healed meanwhile."""
        self._timeline.later(wait_s, lambda: act() if self._is_bad else None)

    def _went_dark(self, terminal: Terminal, is_inside: bool) -> None:
        self._provoked.note(Fault.TORN_COMMIT if is_inside else Fault.POWER_CUT)
        off_s = self._chance.choice((1.0, 20.0, 200.0)) if self._is_bad else 1.0
        self._timeline.later(off_s, lambda: None if terminal.is_on else terminal.power_on())

    # --- what no program can make good, and the auditor must notice

    def _clone_a_card(self) -> None:
        """A second board with the card of the first: one identity, one log, two crews."""
        first = self._terminals[0]
        home = self._home / "clone"
        first.kill()
        shutil.copytree(first.home, home)
        clone = self._new_terminal(first.device, home, has_receiver=False)
        self._terminals.append(clone)
        self._work(clone)

    def _image_a_card(self) -> None:
        """Somebody keeps an image of a card, and writes it back after a while."""
        home, image = self._terminals[0].home, self._home / "image"
        self._terminals[0].kill()
        shutil.copytree(home, image)
        self._timeline.later(self._chance.uniform(30, 90), lambda: self._restore_card(image))

    def _restore_card(self, image: Path) -> None:
        terminal = self._terminals[0]
        terminal.power_off()
        for file in terminal.home.iterdir():
            file.unlink()
        shutil.copytree(image, terminal.home, dirs_exist_ok=True)

    # --- inside

    def _chance_of(self, whose: str) -> Random:
        return Random(f"{self._seed} {whose}")

    def _anyone(self) -> Terminal:
        return self._chance.choice(self._terminals)

    def _new_terminal(self, device: str, home: Path, *, has_receiver: bool) -> Terminal:
        who = next(who for who in self._agency.terminals if who.device == device)
        return Terminal(
            who,
            home,
            self._timeline,
            self._broker,
            self._chance_of(home.name),
            self._journal,
            self._provoked,
            self._plant,
            self._went_dark,
            has_receiver=has_receiver,
        )

    def _evidence(self, *, is_healed: bool) -> Evidence:
        return Evidence(
            hub=self._hub.path,
            boards=[
                Board(
                    device=terminal.device,
                    logs={log: terminal.path(log) for log in (LEDGER, TRAIL)},
                    inbox_max_seen=terminal.inbox_max_seen,
                    refused=terminal.refused,
                    contradicted=terminal.contradicted,
                    was_full=terminal.was_full,
                    is_driving=terminal.has_receiver and terminal.is_on,
                )
                for terminal in self._terminals
            ],
            saved=self._journal.saved,
            receipts=self._journal.receipts,
            drives=self._journal.drives,
            rotted=self._journal.rotted,
            shown=self._hub.shown,
            publics={who.device: _point(who.key) for who in self._agency.terminals},
            hub_public=_point(self._agency.fleet.snapshot),
            now_s=self._timeline.now_s,
            is_healed=is_healed,
            is_garbled=Fault.GARBLED in self._faults,
            is_late=bool(self._faults & LATE) and bool(self._faults & {Fault.RESTORED, Fault.RESTORED_OLD}),
            scratch=self._scratch,
        )


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
