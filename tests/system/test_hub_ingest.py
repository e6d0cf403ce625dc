"""The hub as a process with its own Mosquitto: what arrives over real TLS, what comes back, how it starts and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import Empty, Queue
from typing import TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from sqlalchemy import update

from demo.fleet import Login
from demo.story import sign_in
from hub import roster, schema, store
from hub.ca import open_ca
from hub.ingest import Arrival, Why
from hub.settings import load
from tests.hub_agency import ROSTER, Terminal, enroll
from tests.patience import PATIENCE_S
from tests.ports import free_ports
from tests.terminal_fleet import TerminalFleet
from wire import state, topics
from wire.facts import StatusFact
from wire.fix import Fix
from wire.keys import (
    FLEET_CA_CERTIFICATE,
    FLEET_CA_KEY,
    KEY_STATEMENT,
    NOTE_KEYS,
    ROOT_CERTIFICATE,
    SNAPSHOT_KEY,
)
from wire.live import open_hub_presence
from wire.records import Kind, Receipt, open_receipt
from wire.topics import HUB_PRESENCE, Receipts, State

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("hub")]

T = TypeVar("T")
LOGIN = Login(account="dee", password="a long secret", role="dispatcher")


class Hub:
    """A hub's home, and the process that runs on it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "hub"
        self.fleet = TerminalFleet()
        self.ports = dict(zip(("console", "api", "broker"), free_ports(3), strict=True))
        self.process: subprocess.Popen[str] | None = None
        self._write_keys(folder / "keys")
        made = self.command(
            "init",
            "--keys",
            str(folder / "keys"),
            *(part for name, port in self.ports.items() for part in (f"--{name}-port", str(port))),
        )
        assert made.returncode == 0, made.stderr

    def command(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, *words, "--home", str(self.home)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    def start(self, program: Sequence[str] = ()) -> str:
        """Start it; the line that says it is ready. `program`: in place of the hub's own."""
        with (self.home.parent / "hub.log").open("a") as log:
            self.process = subprocess.Popen(
                [*(program or PROGRAM), "serve", "--home", str(self.home)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready "), (self.home.parent / "hub.log").read_text()[-2000:]
        return line

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """End it; its exit code and how long that took."""
        assert self.process is not None and self.process.stdout is not None
        began_s = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(20)
        self.process.stdout.close()
        self.process = None
        return code, time.monotonic() - began_s

    def children(self) -> list[int]:
        assert self.process is not None
        found = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for children in found for pid in children.read_text().split()]

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with contextlib.closing(sqlite3.connect(f"file:{self.home / 'hub.db'}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def enroll(self, *terminals: Terminal) -> None:
        """Make `terminals` known and give each its certificate, in a file of its own."""
        engine, ca = store.open_store(self.home), open_ca(self.home, load(self.home))
        with engine.begin() as connection:
            roster.load(connection, ROSTER, "Lakeshore CARE", 0)
            for terminal in terminals:
                enroll(connection, terminal, "desk" if terminal.unit == "u3" else "vehicle")
                leaf = ca.device_certificate(terminal.key.public_key(), terminal.device, int(time.time()))
                chain = leaf.public_bytes(Encoding.PEM) + ca.certificate.public_bytes(Encoding.PEM)
                self._identity(terminal).write_bytes(chain + pem_of(terminal.key))
                connection.execute(
                    update(schema.device)
                    .where(schema.device.c.device == terminal.device)
                    .values(certificate=leaf.public_bytes(Encoding.DER))
                )
        engine.dispose()

    def connect(self, terminal: Terminal) -> Wire:
        return Wire(terminal, self.ports["broker"], self._identity(terminal), self.home / "keys" / ROOT_CERTIFICATE)

    def _identity(self, terminal: Terminal) -> Path:
        return self.home.parent / f"{terminal.device}.pem"

    def _write_keys(self, folder: Path) -> None:
        folder.mkdir()
        fleet = self.fleet
        for name, data in {
            ROOT_CERTIFICATE: fleet.root.public_bytes(Encoding.PEM),
            FLEET_CA_CERTIFICATE: fleet.ca.public_bytes(Encoding.PEM),
            FLEET_CA_KEY: pem_of(fleet.ca_key),
            SNAPSHOT_KEY: pem_of(fleet.snapshot),
            KEY_STATEMENT: fleet.statement(),
            NOTE_KEYS: fleet.note_keys(),
        }.items():
            (folder / name).write_bytes(data)


class Wire:
    """A terminal's connection, with everything the hub sent."""

    def __init__(self, terminal: Terminal, port: int, identity: Path, root: Path) -> None:
        self.terminal = terminal
        self.messages: Queue[MQTTMessage] = Queue()
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=terminal.device,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        context = ssl.create_default_context(cafile=str(root))
        context.load_cert_chain(str(identity))
        self.client.tls_set_context(context)
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        subscribed: Queue[None] = Queue()
        self.client.on_subscribe = lambda *_: subscribed.put(None)
        will = terminal.will(session=terminal.session + 1)
        self.client.will_set(will.topic, will.payload, qos=1, retain=True)
        self.client.connect("localhost", port)
        self.client.loop_start()
        until("a connection", self.client.is_connected)
        self.client.subscribe([(topics.every_down(terminal.device), 1), (HUB_PRESENCE, 1)])  # type: ignore[list-item]
        subscribed.get(timeout=PATIENCE_S)

    def send(self, *arrivals: Arrival, retain: bool = False) -> None:
        sent = [self.client.publish(a.topic, a.payload, qos=1, retain=retain) for a in arrivals]
        for info in sent:
            info.wait_for_publish(PATIENCE_S)

    def born(self) -> None:
        self.send(self.terminal.birth(), retain=True)

    def next(self, topic: str, wait_s: float = PATIENCE_S) -> bytes:
        """The next message on `topic`; those on others are passed over."""
        end_s = time.monotonic() + wait_s
        while True:
            try:
                message = self.messages.get(timeout=max(0.01, end_s - time.monotonic()))
            except Empty:
                raise AssertionError(f"nothing came on {topic}") from None
            if message.topic == topic:
                return bytes(message.payload)

    def receipt(self, through: int, hub: Hub) -> Receipt:
        """The receipt that covers `through`."""
        topic = topics.text(Receipts(self.terminal.device))
        while True:
            data = self.next(topic)
            receipt = open_receipt(data, self.terminal.device, hub.fleet.snapshot.public_key())
            if receipt.through >= through:
                return receipt

    def cut(self) -> None:
        """End without a word, so that the broker speaks the will."""
        sock = self.client.socket()
        assert sock is not None
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        self.client.loop_stop()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


PROGRAM = [sys.executable, "-c", "from hub.main import cli; cli(prog_name='tandem-hub')"]


@pytest.fixture(scope="module")
def one() -> Terminal:
    return Terminal("d-one", "u1")


@pytest.fixture(scope="module")
def two() -> Terminal:
    return Terminal("d-two", "u2")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, one: Terminal, two: Terminal) -> Iterator[Hub]:
    made = Hub(tmp_path_factory.mktemp("hub"))
    made.enroll(one, two, Terminal("d-desk", "u3"))
    words = ("account", "add", LOGIN.account, "--role", LOGIN.role, "--password-stdin")
    assert made.command(*words, stdin=LOGIN.password).returncode == 0
    made.start()
    yield made
    if made.process is not None:
        made.stop()


@pytest.fixture
def wire(hub: Hub, one: Terminal) -> Iterator[Wire]:
    made = hub.connect(one)
    made.born()
    yield made
    made.close()


def pressed(terminal: Terminal, status: str) -> Arrival:
    return terminal.record(Kind.STATUS, StatusFact(unit=terminal.unit, status=status, by="crew"))


def test_a_birth_is_answered_with_a_receipt_and_every_section_sealed_to_that_terminal(
    hub: Hub, wire: Wire, one: Terminal
) -> None:
    assert open_hub_presence(wire.next(HUB_PRESENCE), hub.fleet.snapshot.public_key()).is_here
    assert wire.receipt(one.seq, hub).log_id == one.log_id
    for section in ("assignments", "roster", "settings"):
        data = wire.next(topics.text(State(one.device, section)))
        snapshot = state.open_snapshot(data, one.device, section, hub.fleet.snapshot.public_key())
        assert state.unseal(snapshot, one.kem)


def test_three_hundred_records_at_once_are_stored_in_order_and_receipted(hub: Hub, wire: Wire, one: Terminal) -> None:
    sent = [pressed(one, ("available", "break")[n % 2]) for n in range(300)]
    wire.send(*sent)
    assert wire.receipt(one.seq, hub).through == one.seq
    stored = hub.rows("select seq, data from record where device = 'd-one' order by id")
    assert [seq for seq, _ in stored] == list(range(1, one.seq + 1))
    assert [data for _, data in stored[-300:]] == [arrival.payload for arrival in sent]


def test_forged_crossed_and_broken_messages_are_counted_and_change_nothing(
    hub: Hub, wire: Wire, one: Terminal, two: Terminal
) -> None:
    before = hub.rows("select count(*) from record")
    forger = Terminal(one.device, one.unit)
    good = pressed(two, "available")
    wire.send(
        pressed(forger, "off_duty"),
        Arrival(topic=f"tandem/v1/{one.device}/up/log", payload=good.payload),
        Arrival(topic=f"tandem/v1/{one.device}/up/log", payload=b"\x93\x00"),
        Arrival(topic=f"tandem/v1/{one.device}/up/nothing", payload=b""),
        good,  # on the topic of d-two: the broker does not let d-one speak there
    )
    counted = {Why.SIGNATURE: 2, Why.MALFORMED: 1, Why.TOPIC: 1}
    look = "select why, count(*) from quarantine group by why"
    until("the counts", lambda: dict(hub.rows(look)) == counted)
    assert hub.rows("select count(*) from record") == before
    two.seq -= 1


def test_the_console_sees_a_position_the_terminal_and_its_will(hub: Hub, one: Terminal) -> None:
    console = sign_in(f"http://127.0.0.1:{hub.ports['console']}", LOGIN)

    def shown() -> dict[str, object]:
        return next(unit for unit in console.json("/api/v1/snapshot")["units"] if unit["unit"] == "u1")

    wire = hub.connect(one)
    wire.born()
    until("presence", lambda: shown()["presence"] == "connected")
    position = one.position(Fix(lat=41.5, lon=-82.7))
    wire.client.publish(position.topic, position.payload, qos=0)
    place = until("the position", lambda: shown()["position"])
    assert isinstance(place, dict) and (place["lat"], place["has_fix"]) == (41.5, True)
    wire.cut()
    until("the will", lambda: shown()["presence"] == "gone")


def test_a_broker_that_is_killed_is_back_and_so_is_the_hub(hub: Hub, wire: Wire, one: Terminal) -> None:
    (broker,) = hub.children()
    os.kill(broker, signal.SIGKILL)
    until("another broker", lambda: hub.children() not in ([], [broker]))
    again = until("a way back", lambda: reconnect(hub, one))
    try:
        until("the hub", lambda: open_hub_presence(again.next(HUB_PRESENCE), hub.fleet.snapshot.public_key()).is_here)
        again.born()
        again.send(pressed(one, "available"))
        again.receipt(one.seq, hub)
    finally:
        again.close()


def test_a_hub_that_is_killed_takes_its_broker_along_and_loses_nothing_receipted(
    hub: Hub, wire: Wire, one: Terminal
) -> None:
    sent = [pressed(one, "break") for _ in range(40)]
    for arrival in sent:
        wire.client.publish(arrival.topic, arrival.payload, qos=1)
    time.sleep(0.02)
    (broker,) = hub.children()
    hub.stop(signal.SIGKILL)
    until("the end of the broker", lambda: not Path(f"/proc/{broker}").exists())
    hub.start()
    again = until("a way back", lambda: reconnect(hub, one))
    try:
        again.born()
        receipt = open_receipt(
            again.next(topics.text(Receipts(one.device))), one.device, hub.fleet.snapshot.public_key()
        )
        if receipt.through < one.seq:  # else all forty were on the disk before it was killed
            again.send(*sent[40 - (one.seq - receipt.through) :])
            again.receipt(one.seq, hub)
    finally:
        again.close()
    stored = hub.rows("select seq from record where device = 'd-one' order by id")
    assert stored == [(n,) for n in range(1, one.seq + 1)]


def test_it_stops_at_once_with_terminals_connected_and_leaves_no_process(hub: Hub, wire: Wire) -> None:
    (broker,) = hub.children()
    assert hub.stop()[0] == 0
    assert not Path(f"/proc/{broker}").exists()
    until("the word that it is away", lambda: not said_here(hub, wire))
    hub.start()


def test_what_keeps_it_from_starting_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    made = Hub(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", made.ports["api"]))
        taken.listen()
        refused = made.command("serve")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert f"port {made.ports['api']} on 127.0.0.1 for [device_api] cannot be used" in refused.stderr
    (made.home / "keys" / NOTE_KEYS).unlink()
    refused = made.command("serve")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert NOTE_KEYS in refused.stderr


def reconnect(hub: Hub, terminal: Terminal) -> Wire | None:
    try:
        return hub.connect(terminal)
    except OSError:
        return None


def said_here(hub: Hub, wire: Wire) -> bool:
    """What the hub's last words were."""
    is_here = True
    with contextlib.suppress(AssertionError):
        while True:
            data = wire.next(HUB_PRESENCE, wait_s=0.1)
            is_here = open_hub_presence(data, hub.fleet.snapshot.public_key()).is_here
    return is_here


def until(what: str, look: Callable[[], T]) -> T:
    """What `look` sees as soon as it sees something."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        if seen := look():
            return seen
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
