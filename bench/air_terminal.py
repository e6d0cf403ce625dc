"""The terminal's real parts on a drive that is told faster than it was driven, as a process in a namespace of its own.

Tracker, trail, live slot, store, uplink, downlink and link are those of `tandem-edge`; their clock is the drive's, and so
is that of the MQTT library, so that it says its keep-alive as often as it would on the road.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import click
import msgspec
import paho.mqtt.client
import structlog

from bench.calm import Calm
from bench.journey import BEGAN, Journey
from edge import downlink, identity, schema, uplink
from edge.clock import Clock, boot_id
from edge.downlink import Downlink
from edge.link import Link, Sent
from edge.outbox import LEDGER, TRAIL, Signer, numbers
from edge.store import Store
from edge.tls import TlsFiles
from edge.tracker import Tracker
from edge.trail import TrailKeeper
from edge.uplink import LiveSlot, Uplink
from firmware_bridge.readings import FixRead
from wire.distance import believed, nearby_m
from wire.live import open_live
from wire.topics import Up

RECEIPT_S_MAX = 5.0
FIRST_S = 1000.0
READ_S = 0.2  # from the moment of a fix to its last byte


class _Drive:
    """The drive's own clock."""

    def __init__(self) -> None:
        self.now_s = FIRST_S

    def mono_s(self) -> float:
        return self.now_s

    def wall_s(self) -> float:
        return BEGAN.timestamp() + self.now_s - FIRST_S


@click.command()
@click.option("--journey", "file", type=click.Path(path_type=Path), required=True)
@click.option("--home", type=click.Path(path_type=Path), required=True)
def cli(file: Path, home: Path) -> None:
    """Drive the journey; "ready" on standard output, and at the end what was sent, as JSON."""
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(sys.stderr))
    journey = msgspec.msgpack.decode(file.read_bytes(), type=Journey)
    drive = _Drive()
    paho.mqtt.client.time_func = drive.mono_s
    who = identity.load(home)
    clock = Clock(boot_id(), mono_s=drive.mono_s, wall_s=drive.wall_s)
    signer = Signer(who.device, who.key)
    stores = {
        LEDGER: Store(home / "air-ledger.db", schema.LEDGER),
        TRAIL: Store(home / "air-trail.db", schema.TRAIL),
    }
    notices, heard = uplink.inbox(), downlink.inbox()
    sent: dict[Up, list[int]] = {channel: [] for channel in Up}
    told: list[tuple[float, bytes]] = []

    def publish(channel: Up, payload: bytes, qos: int, retain: bool) -> Sent | None:
        sent[channel].append(len(payload))
        if channel is Up.LIVE:
            told.append((drive.now_s, payload))
        return link.publish(channel, payload, qos, retain)

    link = Link(
        who.device,
        who.admission.broker,
        TlsFiles(chain=who.chain_path, key=who.key_path, root=who.root_path),
        next_session=lambda: 1,
        farewell=lambda session: uplink.farewell(signer, clock, "bench", session),
        noticed=notices.put,
        heard=heard.put,
        chance=random.Random(1),
        certificates_at_s=time.time,
        now_s=drive.mono_s,
    )
    live = LiveSlot(signer, clock, publish)
    up = Uplink(notices, stores, signer, clock, publish, live, software="bench", chance=random.Random(1))
    down = Downlink(
        heard, stores, who, signer, clock, hub_said=up.hub_said, spread=link.spread, settings=lambda _: None,
        wake=up.wake, refused=up.refused, desk=None,
    )  # fmt: skip
    for run in (live.run, up.run, down.run, link.run):
        Thread(target=run, daemon=True).start()
    calm = Calm()
    while up.hears_us() != "up":
        time.sleep(0.05)
    time.sleep(1.0)  # sections, receipts of the birth
    calm.wait()
    for sizes in sent.values():
        sizes.clear()
    told.clear()
    print("ready", flush=True)
    sys.stdin.readline()
    tracker = Tracker(clock, TrailKeeper(stores[TRAIL], signer, clock), live.offer, up.wake)
    errors: list[float] = []

    def readings() -> Iterator[FixRead]:
        for at_s, second in enumerate(journey.seconds):
            drive.now_s = FIRST_S + at_s
            was = len(told), len(sent[Up.LOG])
            if second.fix is not None:
                yield FixRead(fix=second.fix, read_mono_s=drive.now_s)  # goes on when it has been taken
                time.sleep(0.002)  # the live slot's thread
            if (len(told), len(sent[Up.LOG])) != was or _is_owed(stores[TRAIL]):
                end_s = time.monotonic() + RECEIPT_S_MAX
                while _is_owed(stores[TRAIL]) and time.monotonic() < end_s:
                    time.sleep(0.01)
                calm.wait()
            if told:
                errors.append(_error_m(told[-1], drive.now_s, second.truth.lat, second.truth.lon))

    def _error_m(last: tuple[float, bytes], now_s: float, lat: float, lon: float) -> float:
        told_s, payload = last
        said = open_live(payload, who.device, who.key.public_key())
        if said.fix is None:
            return 0.0
        age_s = now_s - told_s + said.age_ms / 1000
        there = believed(said.fix.lat, said.fix.lon, said.fix.speed_mps, said.fix.heading_deg, age_s)
        return nearby_m(*there, lat, lon)

    tracker.run(readings())
    calm.wait()
    result = {
        "live": sent[Up.LIVE],
        "log": sent[Up.LOG],
        "presence": sent[Up.PRESENCE],
        "errors": errors,
        "unsent": stores[TRAIL].do(numbers).unsent,
    }
    print(msgspec.json.encode(result).decode(), flush=True)
    sys.stdin.readline()


def _is_owed(store: Store) -> bool:
    return store.do(numbers).unsent > 0


if __name__ == "__main__":
    cli()
