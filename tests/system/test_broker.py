"""The real broker with our configuration: who is heard by whom, by delivery and not by what a SUBACK says."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from queue import Empty, Queue
from random import Random

import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec import Struct
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from hub.broker import Broker, BrokerError
from hub.ca import Ca, Revoked, Service, ensure_tls, open_ca
from hub.link import Link, LinkSettings
from hub.settings import Settings
from tests.hub_on_disk import make_home
from tests.patience import PATIENCE_S
from wire.topics import Receipts

pytestmark = pytest.mark.system

DEVICES = ("t-aaaa", "t-bbbb", "t-cccc")
QUIET_S = 0.5  # longer than any delivery here takes; who has heard nothing by then, hears nothing


class Home(Struct, frozen=True, kw_only=True):
    """A hub's home with a broker, and certificates of devices beside it."""

    path: Path
    folder: Path
    settings: Settings
    ca: Ca
    broker: Broker
    said: list[str]

    def certified(self, device: str, now_s: int | None = None) -> tuple[Path, Path]:
        """Certificate and key of `device`, made now."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self.ca.device_certificate(key.public_key(), device, int(time.time()) if now_s is None else now_s)
        crt, key_file = self.folder / f"{device}.crt", self.folder / f"{device}.key"
        crt.write_bytes(b"".join(cert.public_bytes(Encoding.PEM) for cert in (leaf, self.ca.certificate)))
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return crt, key_file

    def service(self, service: Service) -> tuple[Path, Path]:
        return self.path / "tls" / f"{service}.crt", self.path / "tls" / f"{service}.key"


class Client:
    """An MQTT client that keeps what it hears."""

    def __init__(self, home: Home, pair: tuple[Path, Path] | None, client_id: str = "", version: int = 5) -> None:
        self.heard: Queue[tuple[str, bytes]] = Queue()
        self._connected: Queue[bool] = Queue()
        protocol = MQTTProtocolVersion.MQTTv5 if version == 5 else MQTTProtocolVersion.MQTTv311
        self.mqtt = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol, reconnect_on_failure=False
        )
        crt, key = pair if pair is not None else (None, None)
        self.mqtt.tls_set(str(home.path / "keys" / "root.crt"), crt and str(crt), key and str(key))
        self.mqtt.on_message = lambda _client, _data, message: self.heard.put((message.topic, message.payload))
        self.mqtt.on_connect = lambda _c, _d, _f, reason, _p: self._connected.put(not reason.is_failure)
        self.mqtt.on_disconnect = lambda *_: self._connected.put(False)
        self.home = home

    def connects(self) -> bool:
        """Whether the broker lets it in, and keeps it for a moment."""
        try:
            self.mqtt.connect("localhost", self.home.settings.broker.port, keepalive=30)
        except OSError:
            return False
        self.mqtt.loop_start()
        try:
            return self._connected.get(timeout=PATIENCE_S)
        except Empty:
            return False

    def subscribe(self, topic: str) -> None:
        done = threading.Event()
        self.mqtt.on_subscribe = lambda *_: done.set()
        self.mqtt.subscribe(topic, qos=1)
        assert done.wait(PATIENCE_S)

    def say(self, topic: str, payload: bytes, retain: bool = False) -> None:
        info = self.mqtt.publish(topic, payload, qos=1, retain=retain)
        info.wait_for_publish(PATIENCE_S)

    def close(self) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()

    def everything(self) -> set[tuple[str, bytes]]:
        heard = set()
        while not self.heard.empty():
            heard.add(self.heard.get())
        return heard


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("broker in a folder with spaces")
    _, path, settings = make_home(folder, int(time.time()))
    said: list[str] = []
    broker = Broker(path, settings, said.append)
    broker.start()
    yield Home(path=path, folder=folder, settings=settings, ca=open_ca(path, settings), broker=broker, said=said)
    broker.stop()


@pytest.fixture
def connect(home: Home) -> Iterator[Callable[[str], Client]]:
    opened: list[Client] = []

    def connect(name: str) -> Client:
        pair = home.service(Service.INGEST) if name == Service.INGEST else home.certified(name)
        client = Client(home, pair, client_id=name)
        assert client.connects()
        opened.append(client)
        return client

    yield connect
    for client in opened:
        client.close()


def test_each_terminal_is_heard_by_the_hub_only_and_hears_the_hub_only(
    home: Home, connect: Callable[[str], Client]
) -> None:
    names = (*DEVICES, str(Service.INGEST))
    clients = {name: connect(name) for name in names}
    for client in clients.values():
        client.subscribe("#")
    for speaker, about in product(names, DEVICES):
        for channel in ("up/live", "up/log", "up/presence", "down/receipt", "down/state/roster", "down/sealed"):
            clients[speaker].say(f"tandem/v1/{about}/{channel}", f"{speaker} as {about} on {channel}".encode())
    for speaker in names:
        clients[speaker].say("tandem/v1/hub/presence", f"{speaker} as hub".encode())
        clients[speaker].say("elsewhere", f"{speaker} elsewhere".encode())
    time.sleep(QUIET_S)
    up, down = ("up/live", "up/log", "up/presence"), ("down/receipt", "down/state/roster", "down/sealed")
    hub = str(Service.INGEST)
    for listener in DEVICES:
        expected = {
            (f"tandem/v1/{listener}/{channel}", f"{hub} as {listener} on {channel}".encode()) for channel in down
        }
        assert clients[listener].everything() == {*expected, ("tandem/v1/hub/presence", f"{hub} as hub".encode())}
    expected = {
        (f"tandem/v1/{device}/{channel}", f"{device} as {device} on {channel}".encode())
        for device in DEVICES
        for channel in up
    }
    assert clients[hub].everything() == {*expected, ("tandem/v1/hub/presence", f"{hub} as hub".encode())}


def test_a_will_on_another_s_topic_is_never_spoken(home: Home, connect: Callable[[str], Client]) -> None:
    hub = connect(Service.INGEST)
    hub.subscribe("tandem/v1/+/up/#")
    for device, topic in (("t-aaaa", "tandem/v1/t-bbbb/up/presence"), ("t-cccc", "tandem/v1/t-cccc/up/presence")):
        liar = Client(home, home.certified(device))
        liar.mqtt.will_set(topic, device.encode(), qos=1)
        assert liar.connects()
        sock = liar.mqtt.socket()
        assert sock is not None
        sock.shutdown(socket.SHUT_RDWR)  # gone without a word: the broker speaks the will
        liar.mqtt.loop_stop()
    assert hub.heard.get(timeout=PATIENCE_S) == ("tandem/v1/t-cccc/up/presence", b"t-cccc")
    time.sleep(QUIET_S)
    assert hub.heard.empty()


def test_nobody_connects_under_another_s_client_id(home: Home, connect: Callable[[str], Client]) -> None:
    victim = connect("t-aaaa")
    thief = Client(home, home.certified("t-bbbb"), client_id="t-aaaa")
    assert thief.connects()
    time.sleep(QUIET_S)
    assert victim.mqtt.is_connected()
    thief.close()


@pytest.mark.parametrize("version", [3, 5])
def test_nobody_without_a_certificate_connects(home: Home, version: int) -> None:
    stranger = Client(home, None, client_id="hub-ingest", version=version)
    stranger.mqtt.username_pw_set("hub-ingest", "password")
    assert not stranger.connects()
    stranger.close()


def test_nobody_connects_without_tls(home: Home) -> None:
    with socket.create_connection(("127.0.0.1", home.settings.broker.port), 5) as plain:
        plain.sendall(bytes.fromhex("101000044d5154540402003c000474657374"))  # CONNECT, MQTT 3.1.1
        plain.settimeout(5)
        with suppress(OSError):
            assert plain.recv(4) != bytes.fromhex("20020000")  # CONNACK, accepted


def test_a_certificate_of_another_agency_is_refused(home: Home, tmp_path: Path) -> None:
    _, path, settings = make_home(tmp_path, int(time.time()) + 1)
    other = open_ca(path, settings)
    stranger = Client(home, Home(**{**_fields(home), "ca": other, "folder": tmp_path}).certified("t-aaaa"))
    assert not stranger.connects()
    stranger.close()


def test_an_expired_certificate_is_refused(home: Home) -> None:
    old = Client(home, home.certified("t-aaaa", int(time.time()) - 91 * 86_400))
    assert not old.connects()
    old.close()


def test_a_revoked_device_is_refused_after_a_reload_and_the_others_stay(
    home: Home, connect: Callable[[str], Client]
) -> None:
    healthy = connect("t-bbbb")
    pair = home.certified("t-aaaa")
    serial = x509.load_pem_x509_certificate(pair[0].read_bytes()).serial_number
    before = (home.path / "tls" / "fleet.crl").read_bytes()
    now_s = int(time.time())
    crl = home.ca.crl([Revoked(serial=serial, at_s=now_s)], now_s)
    (home.path / "tls" / "fleet.crl").write_bytes(crl.public_bytes(Encoding.PEM))
    try:
        home.broker.reload()
        time.sleep(QUIET_S)
        revoked = Client(home, pair)
        assert not revoked.connects()
        revoked.close()
        assert healthy.mqtt.is_connected()
        connect("t-cccc")
    finally:
        (home.path / "tls" / "fleet.crl").write_bytes(before)
        home.broker.reload()


def test_a_broker_that_dies_is_started_again_and_remembers(home: Home, connect: Callable[[str], Client]) -> None:
    first = home.broker.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    deadline_s = time.monotonic() + PATIENCE_S
    while not (home.broker.pid not in (None, first) and "the broker runs again" in home.said):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    connect("t-aaaa")
    assert any("code -9" in line for line in home.said)


def test_what_the_broker_kept_for_a_hub_that_was_away_finds_a_link_that_can_answer(
    home: Home, connect: Callable[[str], Client]
) -> None:
    terminal = connect(DEVICES[0])
    terminal.subscribe(f"tandem/v1/{DEVICES[0]}/down/receipt")
    with _linked(home) as (_, is_here):
        assert is_here.wait(PATIENCE_S)  # the broker has its subscription now
    terminal.say(f"tandem/v1/{DEVICES[0]}/up/log", b"kept")
    # Each look at what the broker said takes so long that the record is here before the subscription is granted.
    with _linked(home, lambda: time.sleep(QUIET_S)) as (link, is_here):
        (record,) = link.receive(PATIENCE_S)
        assert not is_here.is_set()
        assert link.publish(Receipts(DEVICES[0]), b"receipt")
        link.acknowledge(record)
    assert terminal.heard.get(timeout=PATIENCE_S) == (f"tandem/v1/{DEVICES[0]}/down/receipt", b"receipt")


def test_a_port_in_use_is_one_sentence(home: Home) -> None:
    with pytest.raises(BrokerError, match=rf"port {home.settings.broker.port} .* hub.toml"):
        Broker(home.path, home.settings, lambda _: None).start()


def test_a_broken_certificate_is_one_sentence_and_leaves_no_process(tmp_path: Path) -> None:
    _, path, settings = make_home(tmp_path, int(time.time()))
    (path / "tls" / "broker.crt").write_text("rubbish")
    broker = Broker(path, settings, lambda _: None)
    with pytest.raises(BrokerError, match=r"broker\.crt"):
        broker.start()
    assert broker.pid is None


def test_a_missing_mosquitto_says_what_to_install(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "setpriv").symlink_to("/usr/bin/setpriv")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match="sudo apt-get install --no-install-recommends mosquitto"):
        Broker(home.path, home.settings, lambda _: None, sbin=str(tmp_path)).start()


def test_the_broker_dies_with_a_hub_that_is_killed(tmp_path: Path) -> None:
    _, path, settings = make_home(tmp_path, int(time.time()))
    program = (
        "import sys, time; from pathlib import Path; from hub.broker import Broker; from hub.settings import *;"
        f"b = Broker(Path({str(path)!r}), Settings(agency='x', broker=BrokerSettings(port={settings.broker.port})), print);"
        "b.start(); print(b.pid, flush=True); time.sleep(60)"
    )
    hub = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert hub.stdout is not None
    child = int(hub.stdout.readline())
    os.kill(child, 0)
    hub.kill()
    hub.wait()
    hub.stdout.close()
    deadline_s = time.monotonic() + PATIENCE_S
    while _is_alive(child):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_the_configuration_has_one_listener_and_no_password(home: Home) -> None:
    text = (home.path / "broker" / "mosquitto.conf").read_text()
    assert text.count("listener ") == 1
    assert "allow_anonymous false" in text
    assert "password_file" not in text
    assert ensure_tls(home.path, home.settings) == ()


@contextmanager
def _linked(home: Home, beat: Callable[[], None] = lambda: None) -> Iterator[tuple[Link, threading.Event]]:
    """The hub's link at work, and when it has said that it is here."""
    crt, key = home.service(Service.INGEST)
    port, root = home.settings.broker.port, home.path / "keys" / "root.crt"
    is_said = threading.Event()

    def presence(is_here: bool) -> bytes:
        if is_here:
            is_said.set()
        return b"presence"

    settings = LinkSettings(host="localhost", port=port, ca=root, certificate=crt, key=key)
    link = Link(settings, presence, lambda: None, Random(1), beat)
    thread = threading.Thread(target=link.run)
    thread.start()
    try:
        yield link, is_said
    finally:
        link.stop()
        thread.join(PATIENCE_S)


def _fields(home: Home) -> dict[str, object]:
    return {name: getattr(home, name) for name in home.__struct_fields__}


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] not in "ZX"
    except OSError:
        return False
