"""The hub's real link and intake as one process without a console, and beside it what a first program would do.

Started by `bench.ingest`, which owns the broker. Prints "ready" when it is subscribed, and one line when all `count` messages are acknowledged: messages,
seconds since the first, seconds of CPU in between. With a file for times it writes, for each message, its last eight
bytes and the nanoseconds of the monotonic clock when it was durable: here also receipted, which comes after.
"""

from __future__ import annotations

import sqlite3
import struct
import sys
import time
from pathlib import Path
from random import Random
from threading import Event, Thread

import click
import structlog
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from hub import intake, store
from hub.arrivals import Marks, Wanted
from hub.ca import Ca, Service, open_ca
from hub.intake import IntakeParts
from hub.link import Link, LinkSettings, Received
from hub.position import Position
from hub.positions import Positions
from hub.presence import Presence
from hub.settings import TLS_FOLDER, Settings, load
from wire.keys import ROOT_CERTIFICATE, open_note_keys, open_statement
from wire.live import HubPresence, sign_hub_presence
from wire.topics import EVERY_UP, Topic


class _Count:
    """Times the first and the last message."""

    def __init__(self, count: int, times: Path | None) -> None:
        self.over = Event()
        self._left = count
        self._times = times
        self._durable: list[bytes] = []
        self._count = count
        self._began: tuple[float, float] | None = None

    def begin(self) -> None:
        """The first message is there."""
        if self._began is None:
            self._began = (time.monotonic(), time.process_time())

    def durable(self, payload: bytes) -> None:
        """One message would survive a power cut."""
        if self._times is not None:
            self._durable.append(payload[-8:] + struct.pack("<q", time.monotonic_ns()))
        self._left -= 1
        if self._left == 0 and self._began is not None:
            took_s, cpu_s = time.monotonic() - self._began[0], time.process_time() - self._began[1]
            if self._times is not None:
                self._times.write_bytes(b"".join(self._durable))
            click.echo(f"{self._count} {took_s:.6f} {cpu_s:.6f}")
            self.over.set()


class _Watched:
    """The link, with its clock: what the intake asks of it and nothing else."""

    def __init__(self, link: Link, count: _Count) -> None:
        self._link = link
        self._count = count

    def receive(self, wait_s: float) -> list[Received]:
        """As the link's."""
        batch = self._link.receive(wait_s)
        if batch:
            self._count.begin()
        return batch

    def publish(self, topic: Topic, payload: bytes) -> bool:
        """As the link's."""
        return self._link.publish(topic, payload)

    def acknowledge(self, received: Received) -> None:
        """As the link's."""
        self._link.acknowledge(received)
        self._count.durable(received.payload)

    def drop(self) -> None:
        """As the link's."""
        self._link.drop()


class _Nobody:
    """Nobody looks at a board."""

    def moved(self, position: Position) -> None:
        """Nothing."""

    def changed(self) -> None:
        """Nothing."""

    def poke(self, device: str | None) -> None:
        """Nothing."""

    def born(self, device: str) -> None:
        """Nothing."""

    def wanted(self, wanted: Wanted) -> None:
        """Nothing."""


@click.group()
def cli() -> None:
    """A subscriber of every terminal, until it has had `count` messages."""
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(sys.stderr))


@cli.command()
@click.argument("home", type=click.Path(path_type=Path))
@click.argument("count", type=int)
@click.argument("times", type=click.Path(path_type=Path), required=False)
def hub(home: Path, count: int, times: Path | None) -> None:
    """As the hub takes them."""
    settings = load(home)
    ca, engine, counted = open_ca(home, settings), store.open_store(home), _Count(count, times)
    link = Link(_link_settings(home, settings), lambda is_here: _said(ca, is_here), lambda: None, Random(1))
    parts = IntakeParts(
        engine=engine,
        link=_Watched(link, counted),
        snapshot_key=ca.snapshot_key,
        note_keys=open_note_keys(ca.note_keys, open_statement(ca.statement, ca.root.public_key())),  # type: ignore[arg-type]
        marks=Marks(),
        positions=Positions(),
        presence=Presence(),
        told=_Nobody(),
        now_ms=lambda: int(time.time() * 1000),
    )
    stopping = Event()
    threads = [Thread(target=link.run), Thread(target=intake.run, args=(parts, stopping))]
    for thread in threads:
        thread.start()
    counted.over.wait()
    time.sleep(0.1)  # the acknowledgements go out
    stopping.set()
    link.stop()
    for thread in threads:
        thread.join()
    engine.dispose()


@cli.command()
@click.argument("home", type=click.Path(path_type=Path))
@click.argument("count", type=int)
@click.argument("times", type=click.Path(path_type=Path), required=False)
def naive(home: Path, count: int, times: Path | None) -> None:
    """As a first program does: a callback, a row, a commit."""
    link, counted = _link_settings(home, load(home)), _Count(count, times)
    database = sqlite3.connect(home / "naive.db", check_same_thread=False)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    database.execute("create table if not exists got (id integer primary key, topic text not null, data blob not null)")
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=str(Service.INGEST),
        protocol=MQTTProtocolVersion.MQTTv5,
        manual_ack=True,
        reconnect_on_failure=False,
    )
    client.tls_set(str(link.ca), str(link.certificate), str(link.key))

    def took(_client: Client, _data: None, message: MQTTMessage) -> None:
        counted.begin()
        with database:
            database.execute("insert into got (topic, data) values (?, ?)", (message.topic, bytes(message.payload)))
        client.ack(message.mid, message.qos)
        counted.durable(bytes(message.payload))

    client.on_message = took
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho types only part of itself
    properties.SessionExpiryInterval = 3600
    properties.ReceiveMaximum = 500
    client.on_subscribe = lambda *_: click.echo("ready")
    client.connect(link.host, link.port, clean_start=False, properties=properties)
    client.loop_start()
    client.subscribe(EVERY_UP, qos=1)
    counted.over.wait()
    time.sleep(0.1)
    client.disconnect()
    client.loop_stop()
    database.close()


def _link_settings(home: Path, settings: Settings) -> LinkSettings:
    tls = home / TLS_FOLDER
    return LinkSettings(
        host="127.0.0.1",
        port=settings.broker.port,
        ca=home / "keys" / ROOT_CERTIFICATE,
        certificate=tls / f"{Service.INGEST}.crt",
        key=tls / f"{Service.INGEST}.key",
    )


def _said(ca: Ca, is_here: bool) -> bytes:
    """The hub's word; it says that it is here when its subscription is granted."""
    if is_here:
        click.echo("ready")
    said = HubPresence(v=1, is_here=is_here, epoch=1, spread_s=0.0, wall_ms=int(time.time() * 1000))
    return sign_hub_presence(said, ca.snapshot_key)


if __name__ == "__main__":
    cli()
