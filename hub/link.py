"""The hub's connection to the broker: the one file that speaks MQTT here.

Its callbacks only put on queues. A message is acknowledged to the broker by whoever has committed it, and on the
connection it came by; after a cut everything unacknowledged comes again. Each connection is a new client, so that
nothing of an old one is sent behind our back. What is published while the link is down is lost on purpose: receipts and
snapshots are said again at the next birth.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from queue import Empty, Full, Queue
from random import Random
from threading import Event
from time import monotonic

import structlog
from msgspec import Struct
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from serving.beats import ROUND_S_MAX
from wire import topics
from wire.topics import Up

CLIENT = "hub-ingest"
KEEPALIVE_S = 30
CONNECT_S_MAX = 2  # it is the same machine, or the next
SESSION_EXPIRY_S = 24 * 3600  # the broker keeps what came while the hub restarted
IN_FLIGHT_MAX = 256  # records the broker may have open with us: a batch, and at most 128 MB of the largest
INCOMING_MAX = 2048  # messages; positions may fill all but what QoS 1 can have in flight
BATCH_RECORDS = 128  # of logs; what is live waits for one batch at most (docs/decisions/0020)
OUTGOING_MAX = 4096  # snapshots and receipts on their way; more are refused and said again later
BACKOFF_S_MAX = ROUND_S_MAX  # one hub is no herd, and a thread that waits longer is taken for one that hangs
DROPPED_S_MAX = 2.0  # after a connection that we ended ourselves: the broker is well, and the database may be again
HEALTHY_S = 60.0
PRESENCE_S = 600.0  # the hub's clock in its retained presence is never older; each word of it goes to every terminal
STOP_S_MAX = 1.0
PLACE_S = 0.5  # how soon a full queue's thread sees that the connection is over

_log = structlog.get_logger("hub.link")


class Received(Struct, frozen=True, kw_only=True):
    """A message, and what it takes to acknowledge it."""

    topic: str
    payload: bytes
    mid: int
    qos: int
    client: Client


class LinkSettings(Struct, frozen=True, kw_only=True):
    """Where the broker is and as whom we come. All files are PEM."""

    host: str
    port: int
    ca: Path
    certificate: Path
    key: Path


class _Step(Enum):
    CONNECTED = "connected"
    SUBSCRIBED = "subscribed"
    OVER = "over"


class Link:
    """Keeps a connection to the broker until stopped.

    `presence(is_here)` makes the hub's signed presence; `says_down()` is told when a connection is over.
    """

    def __init__(
        self,
        settings: LinkSettings,
        presence: Callable[[bool], bytes],
        says_down: Callable[[], None],
        chance: Random,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._beat = beat
        self._settings = settings
        self._presence = presence
        self._says_down = says_down
        self._chance = chance
        self._incoming: Queue[Received] = Queue(INCOMING_MAX)
        self._waiting: deque[Received] = deque()  # out of the queue and not in a batch yet: as many at most
        self._client: Client | None = None  # while it is connected
        self._stopping = Event()
        self._dropped = Event()
        self.lost = 0  # positions that found the queue full

    def run(self) -> None:
        """Connect, and connect again, until `stop`."""
        tries = 0
        while not self._stopping.is_set():
            self._beat()
            began_s = monotonic()
            self._dropped.clear()
            why = self._connected_once()
            if self._stopping.is_set():
                return
            tries = 0 if monotonic() - began_s > HEALTHY_S else tries + 1
            wait_s = pause_s(tries, self._dropped.is_set(), self._chance)
            _log.warning("no link to the broker", why=why, again_in_s=round(wait_s, 1))
            self._stopping.wait(wait_s)

    def stop(self) -> None:
        """Say that the hub is away, and end `run`."""
        self._stopping.set()
        self._dropped.set()

    def drop(self) -> None:
        """End this connection, so that the broker delivers again what is not acknowledged."""
        self._dropped.set()

    def publish(self, topic: topics.Topic, payload: bytes) -> bool:
        """Send at QoS 1; False when the link is down or full, and nothing was sent.

        Receipts go at QoS 0: one that is lost is said again after the resend it causes, and the terminal's answer to
        each would be a fifth of what a record costs on the air.
        """
        client = self._client
        if client is None:
            return False
        qos = 0 if isinstance(topic, topics.Receipts) else 1
        return client.publish(topics.text(topic), payload, qos=qos).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def receive(self, wait_s: float) -> list[Received]:
        """The next batch of what came, waiting at most `wait_s` for the first."""
        try:
            if not self._waiting:
                self._waiting.append(self._incoming.get(timeout=wait_s))
            while len(self._waiting) < INCOMING_MAX:
                self._waiting.append(self._incoming.get_nowait())
        except Empty:
            pass
        return take_batch(self._waiting)

    def acknowledge(self, received: Received) -> None:
        """Tell the broker that `received` is safe. Nothing happens when its connection is gone: it comes again."""
        if received.qos > 0:
            received.client.ack(received.mid, received.qos)

    def _connected_once(self) -> str:
        """One connection, from the first packet to the last; why it ended."""
        steps: Queue[tuple[_Step, str]] = Queue()
        client = self._made(steps)
        try:
            client.connect(
                self._settings.host,
                self._settings.port,
                keepalive=KEEPALIVE_S,
                clean_start=False,
                properties=_connect_properties(),
            )
        except (OSError, ValueError) as wrong:  # ValueError: a certificate that does not name the host
            return f"{type(wrong).__name__}: {wrong}"
        # Not loop_forever in a thread of ours: paho would then write in the thread that publishes, and until Python
        # 3.13 two threads in one TLS connection corrupt memory (seen: the hub died of a protection fault).
        client.loop_start()
        try:
            return self._conversation(client, steps)
        finally:
            self._client = None
            self._says_down()
            client.disconnect()
            client.loop_stop()

    def _conversation(self, client: Client, steps: Queue[tuple[_Step, str]]) -> str:
        spoken_s, is_subscribed = 0.0, False
        while not self._dropped.is_set():
            self._beat()
            try:
                step, why = steps.get(timeout=0.1)
            except Empty:
                if is_subscribed and monotonic() - spoken_s > PRESENCE_S:
                    spoken_s = self._say(client, is_here=True)
                continue
            if step is _Step.OVER or why:
                return why
            if step is _Step.CONNECTED:
                client.subscribe(topics.EVERY_UP, qos=1)
            else:
                is_subscribed = True
                spoken_s = self._say(client, is_here=True)
        if self._stopping.is_set() and is_subscribed:
            self._client = None
            client.publish(topics.HUB_PRESENCE, self._presence(False), qos=1, retain=True).wait_for_publish(STOP_S_MAX)
        return "dropped"

    def _say(self, client: Client, *, is_here: bool) -> float:
        client.publish(topics.HUB_PRESENCE, self._presence(is_here), qos=1, retain=True)
        return monotonic()

    def _made(self, steps: Queue[tuple[_Step, str]]) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=CLIENT,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.tls_set_context(_tls(self._settings))
        client.connect_timeout = CONNECT_S_MAX
        client.max_inflight_messages_set(IN_FLIGHT_MAX)
        client.max_queued_messages_set(OUTGOING_MAX)
        client.will_set(topics.HUB_PRESENCE, self._presence(False), qos=1, retain=True)

        def on_connect(_c: Client, _u: None, _f: ConnectFlags, code: ReasonCode, _p: Properties | None) -> None:
            # Here, and not when the subscription is granted: the broker delivers what the last connection left open in
            # the same breath, and a receipt that found no client would be lost while the broker has its due.
            if not code.is_failure:
                self._client = client
            steps.put((_Step.CONNECTED, str(code) if code.is_failure else ""))

        def on_subscribe(_c: Client, _u: None, _m: int, codes: list[ReasonCode], _p: Properties | None) -> None:
            refused = [str(code) for code in codes if code.is_failure]
            steps.put((_Step.SUBSCRIBED, refused[0] if refused else ""))

        def on_disconnect(_c: Client, _u: None, _f: DisconnectFlags, code: ReasonCode, _p: Properties | None) -> None:
            steps.put((_Step.OVER, str(code)))

        def on_message(_c: Client, _u: None, message: MQTTMessage) -> None:
            received = Received(
                topic=message.topic, payload=bytes(message.payload), mid=message.mid, qos=message.qos, client=client
            )
            # The last places are for QoS 1: while the disk is slow, positions are what may be lost.
            if message.qos == 0 and self._incoming.qsize() >= INCOMING_MAX - 2 * IN_FLIGHT_MAX:
                self.lost += 1
                return
            # Mosquitto 2.0.11 opens several times as many with us as we said (measured: 1,699 of 256). Waiting stops
            # the socket, and with it the broker; ending the connection would bring all of them again, and again.
            while not self._dropped.is_set():
                try:
                    self._incoming.put(received, timeout=PLACE_S)
                    return
                except Full:
                    continue  # not acknowledged: if this connection ends, the next one brings it again

        def on_socket_open(_c: Client, _u: None, opened: object) -> None:
            # Without this an assignment waits 40 ms for the acknowledgement of whatever small thing went before it.
            if isinstance(opened, socket.socket):
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        client.on_socket_open = on_socket_open
        client.on_connect = on_connect
        client.on_subscribe = on_subscribe
        client.on_disconnect = on_disconnect
        client.on_message = on_message
        return client


def pause_s(tries: int, is_dropped: bool, chance: Random) -> float:
    """How long to wait after so many connections in a row that did not last. `is_dropped`: we ended this one ourselves."""
    longest_s = DROPPED_S_MAX if is_dropped else min(BACKOFF_S_MAX, 0.25 * 2 ** min(tries, 16))
    return chance.uniform(0.1, longest_s)


def take_batch(waiting: deque[Received]) -> list[Received]:
    """The next of `waiting`, which keeps the rest: BATCH_RECORDS of logs, and what is of no log overtakes those left.

    Nothing overtakes a birth or a will, nor do they anything: a birth says where a log stands after all that came before.
    """
    batch: list[Received] = []
    left: deque[Received] = deque()
    room, is_shut = BATCH_RECORDS, False
    for one in waiting:
        is_record = one.topic.endswith(f"/up/{Up.LOG}")
        is_birth = one.topic.endswith(f"/up/{Up.PRESENCE}")
        if is_shut or (is_record and room == 0) or (is_birth and left):
            left.append(one)
            is_shut = is_shut or is_birth
        else:
            batch.append(one)
            room -= is_record
    waiting.clear()
    waiting.extend(left)
    return batch


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho types only part of itself
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    properties.ReceiveMaximum = IN_FLIGHT_MAX
    return properties


def _tls(settings: LinkSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(settings.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(str(settings.certificate), str(settings.key))
    return context
