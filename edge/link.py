"""The connection to the broker, made again for as long as it takes. The terminal's only MQTT.

A connection is a new client each time, so that nothing an old one had queued is sent behind the outbox. Callbacks run
under the library's locks and therefore only put what they were told on a queue.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from queue import Empty, Queue
from random import Random
from threading import Event
from time import monotonic

from msgspec import Struct
from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge import tls
from edge.tls import TlsFiles
from serving.beats import ROUND_S_MAX
from wire.enrollment import BrokerAddress
from wire.topics import HUB_PRESENCE, Up, UpTopic, every_down, text

KEEPALIVE_S = 30
CONNECT_S_MAX = 10.0  # a broker that does not even accept a connection for so long is not there
ANSWER_S_MAX = 30.0  # for the answers to CONNECT and SUBSCRIBE
SESSION_EXPIRY_S = 60
WILL_DELAY_S = 20  # a link that comes back this soon was never reported gone
FAREWELL_S_MAX = 0.5
OPEN_MAX = 64  # more than the sending window; the library must not queue anything by itself
ALIASES = {Up.LIVE: 1, Up.LOG: 2}  # what is said often is said by number where the broker takes numbers for topics
# With less than four packets on their way, as here, a lost one is sent again after the same time and not after twice, four
# and eight times that: a third lost otherwise means waits of many seconds. Of <linux/tcp.h>; Python has no name for it.
TCP_THIN_LINEAR_TIMEOUTS = 16
REFUSED = 0x80
SHUTTING_DOWN = 0x8B


class Backoff(Struct, frozen=True, kw_only=True):
    """How long to wait before the next connection: anything up to `first_s` doubled with each failure, in bounds."""

    first_s: float = 1.0
    s_min: float = 1.0
    s_max: float = 120.0
    healthy_s: float = 60.0


class Opened(Struct, frozen=True):
    """A connection, its `session` in the will; nothing was subscribed yet, so nothing of it was heard before this.
    `packet_bytes_max`: what the broker says it takes, None when it sets no bound."""

    session: int
    packet_bytes_max: int | None = None


class Subscribed(Struct, frozen=True):
    """What is said to this terminal arrives from now on."""


class Closed(Struct, frozen=True):
    """No connection; `why` for a person, `reason` the broker's word (an MQTT reason code), 0 when it said none."""

    why: str
    reason: int = 0


class Acknowledged(Struct, frozen=True):
    """The broker's answer to the message `mid`: 0, or an MQTT reason code."""

    mid: int
    reason: int


Notice = Opened | Subscribed | Closed | Acknowledged


class Message(Struct, frozen=True):
    """What came, as it came."""

    topic: str
    payload: bytes


class Sent(Struct, frozen=True):
    """A message handed over. `is_out` says whether its last byte has gone to the socket."""

    mid: int
    is_out: Callable[[], bool]


class _Connected(Struct, frozen=True):
    reason: int
    name: str
    aliases: int = 0  # how many topics the broker lets us number
    packet_bytes_max: int | None = None


class _Granted(Struct, frozen=True):
    worst: int


class _Lost(Struct, frozen=True):
    why: str
    is_everyone: bool
    reason: int = 0


class _Stop(Struct, frozen=True):
    pass


class _Renew(Struct, frozen=True):
    why: str


_Signal = _Connected | _Granted | _Lost | _Stop | _Renew


class _Ending(Struct, frozen=True, kw_only=True):
    why: str
    up_s: float = 0.0
    is_everyone: bool = False
    reason: int = 0
    is_renewed: bool = False


class _Upward(Struct, frozen=True):
    """A connection, how many topics may be numbered on it, and which have been: a number dies with its connection."""

    client: Client
    aliases: int
    known: set[Up]


class Link:
    """One terminal's connection, kept by one thread in `run`.

    `next_session` is larger with each connection of one boot; `farewell` is the signed word that a session is over, spoken by
    the broker as the will or by us at an orderly end. `noticed` and `heard` are called from several threads and must
    only queue. `certificates_at_s`: when the broker's certificate has to be good, None: now.
    """

    def __init__(
        self,
        device: str,
        address: BrokerAddress,
        files: TlsFiles,
        *,
        next_session: Callable[[], int],
        farewell: Callable[[int], bytes],
        noticed: Callable[[Notice], None],
        heard: Callable[[Message], None],
        chance: Random,
        certificates_at_s: Callable[[], float | None] = lambda: None,
        now_s: Callable[[], float] = monotonic,
        backoff: Backoff | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._beat = beat
        self._device = device
        self._address = address
        self._files = files
        self._next_session = next_session
        self._farewell = farewell
        self._noticed = noticed
        self._heard = heard
        self._chance = chance
        self._certificates_at_s = certificates_at_s
        self._now_s = now_s
        self._backoff = backoff or Backoff()
        self._spread_s = 0.0
        self._stopping = Event()
        self._hurrying = Event()
        self._signals: Queue[_Signal] = Queue()
        self._upward: _Upward | None = None
        self._heard_s = 0.0  # when the broker last said anything
        self._tls: ssl.SSLContext | None = None

    def run(self) -> None:
        """Connect, again and again, until `stop`."""
        failures = 0
        while not self._stopping.is_set():
            ending = self._connection()
            self._noticed(Closed(ending.why, ending.reason))
            failures = 0 if ending.up_s >= self._backoff.healthy_s else failures + 1
            if not ending.is_renewed:
                self._pause(
                    pause_s(self._backoff, failures, self._spread_s if ending.is_everyone else None, self._chance)
                )

    def stop(self) -> None:
        """Say goodbye and end; `run` returns."""
        self._stopping.set()
        self._hurrying.set()
        self._signals.put(_Stop())

    def renew(self, why: str) -> None:
        """Make another connection now, in place of this one or of a pause. One that is being made goes on."""
        if self._upward is not None:
            self._signals.put(_Renew(why))
        self._hurrying.set()

    def hurry(self, silent_s: float | None) -> None:
        """An emergency waits. Nobody pauses now; and a broker that has not said a word for `silent_s` has gone."""
        if silent_s is None or monotonic() - self._heard_s >= silent_s:
            self.renew("the broker has fallen silent in an emergency")

    def spread(self, spread_s: float) -> None:
        """Over how long the fleet shall come back when the broker has closed on everyone."""
        self._spread_s = max(0.0, min(spread_s, self._backoff.s_max))

    def publish(self, channel: Up, payload: bytes, qos: int, retain: bool) -> Sent | None:
        """Hand over a message; None when there is no connection, and then nothing is queued anywhere."""
        upward = self._upward
        if upward is None:
            return None
        alias = ALIASES.get(channel, 0)
        is_numbered = 0 < alias <= upward.aliases
        # Known only when a message that names it was handed over before this one: two threads that both name it are fine.
        topic = "" if is_numbered and channel in upward.known else text(UpTopic(self._device, channel))
        properties = _numbered(alias) if is_numbered else None
        info = upward.client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        if info.rc != MQTT_ERR_SUCCESS:
            return None  # a client that lost its connection under us queues what it is given, and is never used again
        if is_numbered:
            upward.known.add(channel)
        return Sent(info.mid, info.is_published)

    def _pause(self, for_s: float) -> None:
        self._hurrying.clear()
        until_s = monotonic() + for_s
        while not self._stopping.is_set() and (left_s := until_s - monotonic()) > 0:
            self._beat()
            if self._hurrying.wait(min(ROUND_S_MAX, left_s)):
                return

    def _connection(self) -> _Ending:
        signals: Queue[_Signal] = Queue()  # this connection's own; unbounded, but it says a handful of things
        self._signals = signals
        if self._stopping.is_set():
            return _Ending(why="stopped")
        session = self._next_session()
        try:
            client = self._new_client(session, signals)
            client.connect(
                self._address.host,
                self._address.port,
                keepalive=KEEPALIVE_S,
                clean_start=True,
                properties=_expiry(),
            )
        except (OSError, ValueError) as wrong:
            return _Ending(why=_reason(wrong, self._address))
        client.loop_start()
        try:
            return self._until_lost(client, session, signals)
        finally:
            self._upward = None
            client.loop_stop()

    def _until_lost(self, client: Client, session: int, signals: Queue[_Signal]) -> _Ending:
        up_since: float | None = None
        answer_by_s = monotonic() + ANSWER_S_MAX
        aliases = 0
        while True:
            self._beat()
            try:
                signal = signals.get(timeout=ROUND_S_MAX)
            except Empty:
                if up_since is None and monotonic() >= answer_by_s:
                    return _Ending(why="the broker does not answer")
                continue
            match signal:
                case _Connected(reason, name) if reason >= REFUSED:
                    return _Ending(why=f"the broker refuses this terminal: {name}", reason=reason)
                case _Connected(aliases=aliases, packet_bytes_max=packet_bytes_max):
                    self._noticed(Opened(session, packet_bytes_max))
                    client.subscribe([(every_down(self._device), 1), (HUB_PRESENCE, 1)])
                case _Granted(worst) if worst >= REFUSED:
                    return _Ending(why="the broker refuses the subscription")
                case _Granted():
                    self._upward = _Upward(client, aliases, set())
                    up_since = monotonic()
                    self._noticed(Subscribed())
                case _Lost(why, is_everyone, reason):
                    up_s = 0.0 if up_since is None else monotonic() - up_since
                    is_everyone = is_everyone and up_since is not None
                    return _Ending(why=why, up_s=up_s, is_everyone=is_everyone, reason=reason)
                case _Renew(why):
                    _cut(client)
                    return _Ending(why=why, is_renewed=True)
                case _Stop():
                    self._leave(client, session, is_up=up_since is not None)
                    return _Ending(why="stopped")

    def _leave(self, client: Client, session: int, is_up: bool) -> None:
        self._upward = None
        if is_up:
            topic = text(UpTopic(self._device, Up.PRESENCE))
            info = client.publish(topic, self._farewell(session), qos=1, retain=True)
            if info.rc == MQTT_ERR_SUCCESS:
                try:
                    info.wait_for_publish(FAREWELL_S_MAX)
                except RuntimeError:
                    return  # the connection ended before us
        client.disconnect()

    def _new_client(self, session: int, signals: Queue[_Signal]) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=self._device, protocol=MQTTv5, reconnect_on_failure=False
        )
        client.connect_timeout = CONNECT_S_MAX
        client.max_inflight_messages_set(OPEN_MAX)
        client.max_queued_messages_set(OPEN_MAX)
        client.tls_set_context(self._context())
        will_properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
        will_properties.WillDelayInterval = WILL_DELAY_S
        client.will_set(
            text(UpTopic(self._device, Up.PRESENCE)),
            self._farewell(session),
            qos=1,
            retain=True,
            properties=will_properties,
        )

        def on_connect(_: Client, __: None, ___: ConnectFlags, reason: ReasonCode, said: Properties | None) -> None:
            aliases: int = getattr(said, "TopicAliasMaximum", 0)  # said nothing: none
            packet_bytes_max: int | None = getattr(said, "MaximumPacketSize", None)
            signals.put(_Connected(reason.value, str(reason), aliases, packet_bytes_max))

        def on_subscribe(_: Client, __: None, ___: int, reasons: list[ReasonCode], ____: Properties | None) -> None:
            signals.put(_Granted(max(reason.value for reason in reasons)))

        def on_disconnect(
            _: Client, __: None, flags: DisconnectFlags, reason: ReasonCode, ____: Properties | None
        ) -> None:
            signals.put(_lost(flags.is_disconnect_packet_from_server, reason))

        def on_publish(_: Client, __: None, mid: int, reason: ReasonCode, ___: Properties | None) -> None:
            # paho 2.2 notes when it has written half a message and not when it has written a whole one, so it would ask
            # the broker every KEEPALIVE_S whether it is there, however much is said. What it hears it notes.
            client._last_msg_out = self._now_s()
            self._noticed(Acknowledged(mid, reason.value))

        def on_message(_: Client, __: None, message: MQTTMessage) -> None:
            self._heard(Message(message.topic, bytes(message.payload)))

        def on_socket_open(_: Client, __: None, opened: object) -> None:
            # Without this a position waits 40 ms for the acknowledgement of whatever small thing went before it.
            if isinstance(opened, socket.socket):
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with suppress(OSError):  # an old kernel; then a bad radio is only slower
                    opened.setsockopt(socket.IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1)

        def on_log(_: Client, __: None, ___: int, said: str) -> None:
            if said.startswith("Received"):
                self._heard_s = monotonic()

        client.on_log = on_log
        client.on_socket_open = on_socket_open
        client.on_connect = on_connect
        client.on_subscribe = on_subscribe
        client.on_disconnect = on_disconnect
        client.on_publish = on_publish
        client.on_message = on_message
        return client

    def _context(self) -> ssl.SSLContext:
        """From the files, or as they were when they could last be read: a disk that fails must not end the link too."""
        try:
            self._tls = tls.context(self._files, self._certificates_at_s())
        except ssl.SSLError:
            raise
        except OSError:
            if self._tls is None:
                raise
        return self._tls


def _cut(client: Client) -> None:
    """End the socket under the library, whose thread would otherwise wait for the keep-alive to learn of it.

    Through a second descriptor: that thread may be reading the TLS connection at this moment.
    """
    opened = client.socket()
    if opened is None:
        return
    with suppress(OSError), socket.socket(fileno=os.dup(opened.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)


def pause_s(backoff: Backoff, failures: int, spread_s: float | None, chance: Random) -> float:
    """How long to wait after this many connections that did not stay healthy; within `spread_s` when all were cut."""
    doubled_s = backoff.first_s * 2.0 ** min(failures, 32)  # the exponent is bounded before the minimum is taken
    ceiling_s = min(backoff.s_max, doubled_s) if spread_s is None else spread_s
    return max(backoff.s_min, chance.uniform(0, ceiling_s))


def _lost(is_said: bool, reason: ReasonCode) -> _Lost:
    """A broker that stops says so, one that is killed only closes: both cut everyone. A silent link is one's own."""
    if is_said:
        return _Lost(f"the broker ended the connection: {reason}", reason.value == SHUTTING_DOWN, reason.value)
    if "keep alive" in str(reason).lower():
        return _Lost("the broker has fallen silent", False)
    return _Lost("the connection was cut", True)


@cache
def _numbered(alias: int) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.TopicAlias = alias
    return properties


def _expiry() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho left it untyped
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    return properties


def _reason(wrong: Exception, address: BrokerAddress) -> str:
    if isinstance(wrong, ssl.SSLCertVerificationError):
        return f"the broker at {address.host}:{address.port} is not this agency's: {wrong.verify_message}"
    said = wrong.strerror if isinstance(wrong, OSError) and wrong.strerror else str(wrong)
    return f"no connection to {address.host}:{address.port}: {said or type(wrong).__name__}"
