"""The terminal's real parts with a backlog to send, as a process of its own. It is told what to do, a line at a time.

fill RECORDS NOTES   owe so many records of a minute's trail, and notes of 2 kB; answers with their bytes
go                   begin; answers with the seconds until the hub has receipted everything
live SECONDS         drive, telling positions as on the road, while the backlog drains; answers with what was told
press                raise an emergency; answers with the seconds until the hub's word on it was here
copy FILE            write what is owed, as it is sent, to FILE for a peer
"""

from __future__ import annotations

import random
import sys
import time
from datetime import UTC, datetime
from functools import partial
from math import sin
from pathlib import Path
from threading import Event, Thread

import click
import msgspec
import structlog
from sqlite_utils import Database

from edge import clock, downlink, held, identity, outbox, schema, uplink
from edge.clock import Clock
from edge.downlink import Downlink
from edge.emergency import Emergency
from edge.link import Link, Message, Notice
from edge.outbox import LEDGER, TRAIL, Signer, numbers
from edge.store import Store
from edge.tls import TlsFiles
from edge.uplink import LiveSlot, Uplink
from firmware_bridge.hold import Hold
from wire.distance import moved
from wire.facts import AuditFact
from wire.fix import Fix
from wire.records import Kind
from wire.topics import Section
from wire.trail import Trail, TrailPoint, pack

POINTS = 60
PERIOD_S = 5  # a position each
NOTE_BYTES = 2000
DRAIN_S_MAX = 900.0
LOOK_S = 0.01


class _Terminal:
    def __init__(self, home: Path, name: str) -> None:
        self.who = who = identity.load(home)
        self.clock = Clock(clock.boot_id())
        self.signer = Signer(who.device, who.key)
        self.stores = {
            LEDGER: Store(home / f"{name}-ledger.db", schema.LEDGER),
            TRAIL: Store(home / f"{name}-trail.db", schema.TRAIL),
        }
        notices, heard = uplink.inbox(), downlink.inbox()

        def noticed(notice: Notice) -> None:
            self.alarm.noticed(notice)
            notices.put(notice)

        def hears(message: Message) -> None:
            self.alarm.heard(message)
            heard.put(message)

        sessions = iter(range(1, 1_000_000))
        self.link = Link(
            who.device,
            who.admission.broker,
            TlsFiles(chain=who.chain_path, key=who.key_path, root=who.root_path),
            next_session=lambda: next(sessions),
            farewell=lambda session: uplink.farewell(self.signer, self.clock, "bench", session),
            noticed=noticed,
            heard=hears,
            chance=random.Random(1),
        )
        self.live = LiveSlot(self.signer, self.clock, self.link.publish)
        self.up = Uplink(
            notices, self.stores, self.signer, self.clock, self.link.publish, self.live, software="bench",
            chance=random.Random(1),
        )  # fmt: skip
        self.alarm = Emergency(
            self.stores[LEDGER], who, self.signer, self.clock, self.link.publish, last_fix=self.live.last_fix,
            raised=lambda _: None, saved=self.up.wake,
        )  # fmt: skip
        self.down = Downlink(
            heard, self.stores, who, self.signer, self.clock, hub_said=self.up.hub_said, spread=self.link.spread,
            settings=lambda _: None, wake=self.up.wake, refused=self.up.refused, desk=None,
        )  # fmt: skip
        self._is_started = False

    def start(self) -> None:
        """Connect, once."""
        if self._is_started:
            return
        self._is_started = True
        for run in (self.live.run, self.up.run, self.down.run, self.alarm.run, self.alarm.keep, self.link.run):
            Thread(target=run, daemon=True).start()

    def is_drained(self) -> bool:
        return all(self.stores[log].do(numbers).unsent == 0 for log in (TRAIL, LEDGER))

    def has_met(self) -> bool:
        """Whether it holds what the hub tells every vehicle."""
        sections = (Section.ASSIGNMENTS, Section.ROSTER, Section.SETTINGS, Section.EMERGENCY)
        return all(self.stores[LEDGER].do(partial(held.about, section=section)) for section in sections)


@click.command()
@click.option("--home", type=click.Path(path_type=Path), required=True)
@click.option("--name", required=True, help="Of its logs.")
@click.option("--records", default=0, help="Owed before it connects.")
@click.option("--notes", default=0)
def cli(home: Path, name: str, records: int, notes: int) -> None:
    """Say "ready" and how many bytes are owed, then do what standard input says. With something owed, it connects when it
    is told to go or to live."""
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(sys.stderr))
    terminal = _Terminal(home, name)
    size = _fill(terminal, records, notes) if records else 0
    if not records:
        terminal.start()
        while not (terminal.up.hears_us() == "up" and terminal.has_met() and terminal.is_drained()):
            time.sleep(0.05)
    print("ready", size, flush=True)
    for said in sys.stdin:
        match said.split():
            case ["fill", more_records, more_notes]:
                print(_fill(terminal, int(more_records), int(more_notes)), flush=True)
            case ["go"]:
                print(_drained_s(terminal), flush=True)
            case ["live", seconds]:
                print(msgspec.json.encode(_drive(terminal, float(seconds))).decode(), flush=True)
            case ["copy", file]:
                _copy(terminal, Path(file))
                print("copied", flush=True)
            case _:
                raise click.UsageError(f"not a word for this: {said!r}")


def _fill(terminal: _Terminal, records: int, notes: int) -> int:
    chance = random.Random(records)

    def trail(db: Database) -> int:
        before = _owed_bytes(db)
        lat, lon, heading = 40.0, -83.0, 0.0
        for record in range(records):
            points = []
            for point in range(POINTS):
                heading = (heading + chance.gauss(0, 8)) % 360
                lat, lon = moved(lat, lon, heading, 60 + chance.gauss(0, 4))
                at_ms = (record * POINTS + point) * PERIOD_S * 1000 + chance.randrange(20)
                points.append(
                    TrailPoint(
                        mono_ms=at_ms, lat=lat, lon=lon, speed_mps=12.0 + chance.gauss(0, 1), heading_deg=heading
                    )
                )
            body = pack(Trail(points=tuple(points)))
            outbox.append(db, terminal.signer, terminal.clock.stamp(), Kind.TRAIL, body)
        return _owed_bytes(db) - before

    def ledger(db: Database) -> int:
        before = _owed_bytes(db)
        for _ in range(notes):
            fact = AuditFact(what="note_opened", outcome="ok", reason=chance.randbytes(NOTE_BYTES // 2).hex())
            outbox.append(db, terminal.signer, terminal.clock.stamp(), Kind.AUDIT, fact)
        return _owed_bytes(db) - before

    return terminal.stores[TRAIL].do(trail) + terminal.stores[LEDGER].do(ledger)


def _owed_bytes(db: Database) -> int:
    row: tuple[int | None] = db.execute(
        "select sum(length(data)) from record where seq > (select coalesce(max(through), 0) from log)"
    ).fetchone()
    return row[0] or 0


def _copy(terminal: _Terminal, file: Path) -> None:
    owed: list[bytes] = []
    for store in terminal.stores.values():
        first = store.do(numbers).lowest_owed
        owed += [
            record.data for record in store.do(partial(outbox.read, first=first, records_max=10**6, bytes_max=10**9))
        ]
    file.write_bytes(msgspec.msgpack.encode(owed))


def _drained_s(terminal: _Terminal) -> float:
    began_s = time.monotonic()
    terminal.start()
    terminal.up.wake()
    while not terminal.is_drained():
        if time.monotonic() - began_s > DRAIN_S_MAX:
            raise click.ClickException("The backlog does not drain.")
        time.sleep(LOOK_S)
    return time.monotonic() - began_s


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """`places`: latitude of each fix, and when it was offered, by the machine's monotonic clock; `drained_s`: None when
    the backlog was not drained in time; `pressed_s`: when an emergency was raised, in the middle."""

    places: list[tuple[float, float]]
    drained_s: float | None
    presses: list[tuple[str, float]]


def _drive(terminal: _Terminal, seconds: float) -> _Told:
    """Fixes at 1 Hz of a vehicle that swings about, so that the hub's belief is wrong every few seconds."""
    drained: list[float] = []
    stop = Event()

    def drain() -> None:
        drained.append(_drained_s(terminal))
        stop.set()

    began_s = time.monotonic()
    Thread(target=drain, daemon=True).start()
    hold, places, presses = Hold(), [], []
    lat, lon = 41.0, -83.0
    second = 0
    while not stop.is_set() and time.monotonic() - began_s < seconds:
        heading = 90 + 60 * sin(second / 5)  # always somewhere new, and never as reckoned
        lat, lon = moved(lat, lon, heading, 13.0)
        at = datetime.now(UTC)
        fix = hold.take(
            Fix(lat=lat, lon=lon, at=at, speed_mps=13.0, heading_deg=heading), time.monotonic(), is_emergency=False
        )
        now_s = time.monotonic()
        places.append((round(fix.lat, 6), now_s))
        terminal.live.offer(fix, now_s)
        if second % 20 == 10:  # a press of its own each time: the one before has been cleared by nobody
            presses.append(("button", time.monotonic()))
            terminal.alarm.press("button", time.monotonic(), drill=False)
        second += 1
        time.sleep(max(0.0, began_s + second - time.monotonic()))
    return _Told(places=places, drained_s=drained[0] if drained else None, presses=presses)


if __name__ == "__main__":
    cli()
