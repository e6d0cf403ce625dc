"""A real broker, a real terminal process, and the least hub that a terminal can talk to."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, Queue
from typing import TypeVar
from urllib.request import Request, urlopen

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from edge.identity import Identity
from firmware_bridge.sentences import Dialect, Solution, rmc
from tests.patience import PATIENCE_S
from tests.ports import free_port
from tests.terminal_fleet import TerminalFleet, new_key
from wire import topics
from wire.codec import decode, encode
from wire.enrollment import ENROLLED_FILE, IDENTITY_FOLDER, BrokerAddress, Enrolled
from wire.live import HubPresence, Live, Presence, open_live, open_presence, sign_hub_presence
from wire.records import Receipt, Record, open_record, sign_receipt
from wire.topics import EVERY_UP, HUB_PRESENCE, Receipts, Up, UpTopic

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
DEVICE = "care-1"
HUB = "hub-ingest"


def until(what: str, look: Callable[[], T | None], timeout_s: float = PATIENCE_S) -> T:
    """What `look` sees as soon as it sees something."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if seen := look():
            return seen
        time.sleep(0.02)
    raise AssertionError(f"waited {timeout_s:.0f} s in vain for {what}")


class Broker:
    """Mosquitto with mutual TLS, a client being its certificate."""

    def __init__(self, home: Path, fleet: TerminalFleet) -> None:
        self.home, self.port = home, free_port()
        self._child: subprocess.Popen[bytes] | None = None
        home.mkdir()
        ca = fleet.root.public_bytes(Encoding.PEM) + fleet.ca.public_bytes(Encoding.PEM)
        (home / "ca.crt").write_bytes(ca)
        self.issue(fleet, "broker")
        (home / "acl").write_text(
            "pattern write tandem/v1/%u/up/#\npattern read tandem/v1/%u/down/#\npattern read tandem/v1/hub/presence\n"
            f"user {HUB}\ntopic read tandem/v1/+/up/#\ntopic write tandem/v1/+/down/#\n"
            "topic write tandem/v1/hub/presence\n"
        )
        (home / "acl").chmod(0o600)
        (home / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\ncafile {home}/ca.crt\ncertfile {home}/broker.crt\n"
            f"keyfile {home}/broker.key\nrequire_certificate true\nuse_identity_as_username true\n"
            "use_username_as_clientid true\nallow_anonymous false\ntls_version tlsv1.3\n"
            f"acl_file {home}/acl\nset_tcp_nodelay true\nmax_inflight_messages 500\nmax_queued_messages 20000\n"
            + ("user root\n" if os.geteuid() == 0 else "")
        )

    def issue(self, fleet: TerminalFleet, name: str, ended: timedelta = timedelta(days=-2)) -> None:
        """Key and chain for a service called `name`, whose certificate ended so long ago."""
        key, now = new_key(), datetime.now(UTC)
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(fleet.ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now - timedelta(hours=1), now - ended - timedelta(days=1)))
            .not_valid_after(now - ended)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(fleet.ca_key, SHA256())
        )
        chain = leaf.public_bytes(Encoding.PEM) + fleet.ca.public_bytes(Encoding.PEM)
        (self.home / f"{name}.crt").write_bytes(chain)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.home / f"{name}.key").write_bytes(private)

    def start(self) -> None:
        self._child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "mosquitto", "-c", str(self.home / "mosquitto.conf")],
            env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until("the broker", self._is_accepting)

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def _is_accepting(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True


class Hub:
    """Listens, takes the next number only, receipts what it took. `is_deaf`: it takes nothing and says nothing."""

    def __init__(self, broker: Broker, fleet: TerminalFleet, public: ec.EllipticCurvePublicKey) -> None:
        self._fleet, self._public = fleet, public
        self.is_deaf = False
        self.records: dict[bytes, list[Record]] = {}
        self.births: Queue[Presence] = Queue()
        self.lives: Queue[tuple[Live, float]] = Queue()
        self.alarms: Queue[float] = Queue()  # when each copy of an emergency came
        broker.issue(fleet, HUB)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(broker.home / "ca.crt")
        context.load_cert_chain(broker.home / f"{HUB}.crt", broker.home / f"{HUB}.key")
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=HUB, protocol=MQTTv5)
        self._client.tls_set_context(context)
        self._client.on_message = self._on_message
        self._client.connect("localhost", broker.port)
        self._client.subscribe(EVERY_UP, 1)
        self._client.loop_start()

    def say_here(self, is_here: bool) -> None:
        said = HubPresence(v=1, is_here=is_here, epoch=1, spread_s=0.0, wall_ms=int(time.time() * 1000))
        info = self._client.publish(HUB_PRESENCE, sign_hub_presence(said, self._fleet.snapshot), 1, True)
        info.wait_for_publish(5)

    def say(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, 1).wait_for_publish(5)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, client: Client, _: None, message: MQTTMessage) -> None:
        topic, payload = topics.parse(message.topic), bytes(message.payload)
        assert isinstance(topic, UpTopic)
        match topic.channel:
            case Up.LIVE:
                self.lives.put((open_live(payload, DEVICE, self._public), time.monotonic()))
            case Up.PRESENCE:
                self.births.put(open_presence(payload, DEVICE, self._public))
            case Up.ALARM:
                self.alarms.put(time.monotonic())
            case Up.LOG if not self.is_deaf:
                self._take(open_record(payload, DEVICE, self._public))
            case _:
                pass

    def _take(self, record: Record) -> None:
        held = self.records.setdefault(record.log_id, [])
        if record.seq == len(held) + 1:
            held.append(record)
        receipt = Receipt(v=1, device=DEVICE, log_id=record.log_id, through=len(held), epoch=1)
        self._client.publish(topics.text(Receipts(DEVICE)), sign_receipt(receipt, self._fleet.snapshot), 1)


class Receiver:
    """A pseudo-terminal that says what it is told, as a receiver would."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        tty.setraw(theirs)
        self.path = os.ttyname(theirs)
        self._theirs = theirs  # kept open, so that the line lives while nobody reads it

    def say(self, lat: float, second: int) -> float:
        """One second of a moving vehicle; when its last byte was written."""
        day = datetime.now(UTC).date()
        clock = datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(seconds=second)
        told = Solution(lat=lat, lon=-83.0, clock=clock, day=day, speed_mps=10.3, heading_deg=90.0)
        os.write(self._ours, b"".join(rmc(told, Dialect())))
        return time.monotonic()

    def drain(self) -> None:
        while select.select([self._ours], [], [], 0)[0]:
            os.read(self._ours, 4096)

    def close(self) -> None:
        os.close(self._ours)
        os.close(self._theirs)


class Terminal:
    """`tandem-edge run` as a process of its own."""

    def __init__(
        self,
        home: Path,
        fleet: TerminalFleet,
        broker_port: int,
        receiver: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.home, self.screen_port = home, free_port()
        self.who: Identity = fleet.terminal(home, DEVICE)
        self._point_to(broker_port)
        table = f'[receiver]\nport = "{receiver}"\n' if receiver else ""
        (home / "terminal.toml").write_text(f"{table}[disk]\nreserve_mb = 1\n[screen]\nport = {self.screen_port}\n")
        self.environment = {**os.environ, **(environment or {})}
        self.child: subprocess.Popen[str] | None = None

    def start(self, timeout_s: float = PATIENCE_S) -> float:
        """Run it; how long it took until it said that it is ready."""
        self.kill()
        began_s = time.monotonic()
        with (self.home / "log").open("a") as log:
            self.child = subprocess.Popen(
                run_command(self.home),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self.environment,
            )
        assert self.child.stdout is not None
        ready, _, _ = select.select([self.child.stdout], [], [], timeout_s)
        assert ready, "the terminal does not get ready"
        line = self.child.stdout.readline()
        assert line == f"ready screen=http://127.0.0.1:{self.screen_port}\n", (self.home / "log").read_text()
        return time.monotonic() - began_s

    def stop(self) -> tuple[int, float]:
        """Its exit code after SIGTERM, and the seconds it took."""
        assert self.child is not None
        began_s = time.monotonic()
        self.child.send_signal(signal.SIGTERM)
        code = self.child.wait(10)
        return code, time.monotonic() - began_s

    def kill(self) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        if self.child is not None and self.child.stdout is not None:
            self.child.stdout.close()

    def state(self) -> dict[str, dict[str, object]]:
        """What the screen shows."""
        request = Request(f"http://127.0.0.1:{self.screen_port}/api/v1/state")
        with urlopen(request, timeout=PATIENCE_S) as answer:
            shown: dict[str, dict[str, object]] = json.load(answer)
            return shown

    def link(self) -> dict[str, object]:
        return self.state()["link"]

    def rename_broker(self, host: str) -> None:
        """As if the hub had named its broker so."""
        self._admit(lambda address: BrokerAddress(host=host, port=address.port))

    def _point_to(self, broker_port: int) -> None:
        self._admit(lambda _: BrokerAddress(host="localhost", port=broker_port))

    def _admit(self, change: Callable[[BrokerAddress], BrokerAddress]) -> None:
        file = self.home / IDENTITY_FOLDER / ENROLLED_FILE
        enrolled = decode(file.read_bytes(), Enrolled)
        admission = msgspec.structs.replace(enrolled.admission, broker=change(enrolled.admission.broker))
        file.write_bytes(encode(msgspec.structs.replace(enrolled, admission=admission)))


def run_command(home: Path) -> list[str]:
    return [sys.executable, "-c", "from edge.main import cli; cli()", "run", "--home", str(home)]


def latest(queue: Queue[T]) -> T | None:
    """The newest of what has come; None when nothing has."""
    found = None
    while True:
        try:
            found = queue.get_nowait()
        except Empty:
            return found
