"""A bad network between terminals and their broker, by the packet: late, slow, silent, cut, eaten, doubled, swapped.

Inside TLS nothing can be told apart, so both ends of it are here: towards a terminal it has the broker's certificate,
towards the broker that of the terminal which called. Of MQTT it knows the fixed header, and a PUBLISH's topic and the number
that may stand for it; it shares none of that with the programs. One thread of its own; `faults` may be replaced from any other at any time.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from pathlib import Path
from random import Random
from threading import Event, Thread

from msgspec import Struct
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

CHUNK_BYTES = 65536
WAITING_MAX = 512  # packets on their way through a slow line; then the sender waits, as before a full router
CONNECT_S_MAX = 10.0
LINGER_NONE = struct.pack("ii", 1, 0)  # closing sends RST


class Way(Enum):
    UP = "up"  # terminal to broker
    DOWN = "down"


class Kind(Enum):
    """MQTT packet types that are worth naming; the number in the first four bits."""

    PUBLISH = 3
    PUBACK = 4


class Act(Enum):
    EAT = "eaten"
    DOUBLE = "doubled"
    SWAP = "swapped with the next"
    CUT = "cut in the middle"


class Rule(Struct, frozen=True, kw_only=True):
    """What happens to how many of which packets. `topic`: how the topic of a PUBLISH ends, "" for any."""

    way: Way
    kind: Kind
    act: Act
    share: float
    topic: str = ""


class Faults(Struct, frozen=True, kw_only=True):
    """How bad the network is. `delay_s` and up to `jitter_s` are added each way; `bytes_per_s` is the line's rate each
    way, None as fast as it goes; `is_silent`: everything is taken and nothing passed on, and no connection ends."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    is_silent: bool = False
    is_refusing: bool = False
    rules: tuple[Rule, ...] = ()


NONE = Faults()


class Credentials(Struct, frozen=True, kw_only=True):
    """A certificate chain with its key, PEM files; one file may hold both."""

    chain: Path
    key: Path


class Packet(Struct, frozen=True):
    """One whole MQTT packet."""

    kind: int
    topic: str
    data: bytes


class Proxy:
    """Listens at `port` of `host` until `close`. `as_device` gives a terminal's own certificate, by its name."""

    def __init__(
        self,
        to_port: int,
        trust: Path,
        as_broker: Credentials,
        as_device: Callable[[str], Credentials],
        chance: Random,
        *,
        host: str = "127.0.0.1",
    ) -> None:
        self.faults = NONE
        self.done: Counter[Act] = Counter()
        self.passed: Counter[Way] = Counter()  # packets
        self._to_port, self._trust, self._as_device, self._chance = to_port, trust, as_device, chance
        self._near = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._near.load_cert_chain(as_broker.chain, as_broker.key)
        self._near.load_verify_locations(trust)
        self._near.verify_mode = ssl.CERT_REQUIRED
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        listener = socket.create_server((host, 0), backlog=1024)
        self.port: int = listener.getsockname()[1]
        self._ready, self._over = Event(), asyncio.Event()
        self._thread = Thread(target=self._loop.run_until_complete, args=(self._serve(listener),), name="proxy")
        self._thread.start()
        self._ready.wait(10)

    def cut(self) -> int:
        """Every connection ends at once with RST; how many there were."""
        return asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(10)

    def close(self) -> None:
        """End; nothing when it has ended."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self, listener: socket.socket) -> None:
        server = await asyncio.start_server(
            self._called, sock=listener, ssl=self._near, ssl_handshake_timeout=60, limit=2**20
        )
        self._ready.set()
        await self._over.wait()
        server.close()
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.1)  # transports close in a turn of their own

    async def _cut(self) -> int:
        count = len(self._open) // 2
        for writer in list(self._open):
            _reset(writer)
        return count

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.faults.is_refusing:
            _reset(writer)
            return
        # A line whose other end has vanished answers nobody, so not even a connection comes about.
        while self.faults.is_silent:
            await asyncio.sleep(0.05)
        far_writer: asyncio.StreamWriter | None = None
        try:
            far_reader, far_writer = await asyncio.wait_for(self._call(_name(writer)), CONNECT_S_MAX)
            self._open |= {writer, far_writer}
            ways = (
                asyncio.ensure_future(self._way(Way.UP, reader, far_writer)),
                asyncio.ensure_future(self._way(Way.DOWN, far_reader, writer)),
            )
            _, others = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            while self.faults.is_silent:  # that one end has hung up is not heard at the other
                await asyncio.sleep(0.05)
            for other in others:
                other.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except (TimeoutError, OSError):
            pass
        finally:
            for end in (writer, far_writer):
                if end is not None:
                    self._open.discard(end)
                    end.close()

    async def _call(self, device: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        who = self._as_device(device)
        far = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        far.load_verify_locations(self._trust)
        far.load_cert_chain(who.chain, who.key)
        return await asyncio.open_connection("localhost", self._to_port, ssl=far, limit=2**20)

    async def _way(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One way of one connection. Reading and writing are apart: a late packet is late, it does not stop the line."""
        waiting: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue(WAITING_MAX)
        writing = asyncio.ensure_future(self._write(waiting, writer))
        try:
            kept: Packet | None = None
            rest = b""
            numbered: dict[int, str] = {}
            while chunk := await reader.read(CHUNK_BYTES):
                while self.faults.is_silent:
                    await asyncio.sleep(0.05)
                packets, rest = split(rest + chunk, numbered)
                for packet in packets:
                    self.passed[way] += 1
                    kept = await self._pass(way, packet, kept, waiting)
            if kept is not None:
                await waiting.put((0.0, kept.data))
            await waiting.put(None)
            await writing
        except (OSError, ssl.SSLError, _Torn):
            _reset(writer)
        finally:
            writing.cancel()

    async def _pass(
        self, way: Way, packet: Packet, kept: Packet | None, waiting: asyncio.Queue[tuple[float, bytes] | None]
    ) -> Packet | None:
        """Hand on what becomes of `packet`; the packet that is kept back until the next, if any."""
        act = self._act(way, packet)
        if act is not None:
            self.done[act] += 1
        if act is Act.SWAP and kept is None:
            return packet
        sent = {Act.EAT: (), Act.DOUBLE: (packet, packet)}.get(act, (packet,)) if act else (packet,)
        for one in (*sent, *((kept,) if kept is not None else ())):
            data = one.data[: len(one.data) // 2] if act is Act.CUT else one.data
            faults = self.faults
            late_s = faults.delay_s + (self._chance.uniform(0, faults.jitter_s) if faults.jitter_s else 0.0)
            await waiting.put((time.monotonic() + late_s, data))
            if act is Act.CUT:
                await asyncio.sleep(0.02)  # so that the half is out
                raise _Torn
        return None

    def _act(self, way: Way, packet: Packet) -> Act | None:
        for rule in self.faults.rules:
            fits = rule.way is way and rule.kind.value == packet.kind and packet.topic.endswith(rule.topic)
            if fits and self._chance.random() < rule.share:
                return rule.act
        return None

    async def _write(self, waiting: asyncio.Queue[tuple[float, bytes] | None], writer: asyncio.StreamWriter) -> None:
        free_s = 0.0  # when the line has sent what it was given
        with suppress(OSError, ssl.SSLError):
            while (one := await waiting.get()) is not None:
                due_s, data = one
                rate = self.faults.bytes_per_s
                now_s = time.monotonic()
                if rate is not None:
                    free_s = max(free_s, now_s) + len(data) / rate
                    due_s = max(due_s, free_s)
                if due_s > now_s:
                    await asyncio.sleep(due_s - now_s)
                while self.faults.is_silent:
                    await asyncio.sleep(0.05)
                writer.write(data)
                await writer.drain()


class _Torn(Exception):
    """The connection ends here, in the middle of a packet."""


def split(data: bytes, numbered: dict[int, str]) -> tuple[list[Packet], bytes]:
    """The whole packets at the beginning of `data`, and the rest. `numbered`: the topics that were given a number on this
    way of the connection; one that is said by its number only is looked up there."""
    packets: list[Packet] = []
    at = 0
    while (end := _end(data, at)) is not None:
        packets.append(_packet(data[at:end], numbered))
        at = end
    return packets, data[at:]


def _end(data: bytes, at: int) -> int | None:
    """Where the packet that begins at `at` ends; None while its length or its last byte has not come."""
    length = 0
    for place, byte in enumerate(data[at + 1 : at + 5]):
        length |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            end = at + 2 + place + length
            return end if end <= len(data) else None
    return None


def _packet(data: bytes, numbered: dict[int, str]) -> Packet:
    kind = data[0] >> 4
    if kind != Kind.PUBLISH.value:
        return Packet(kind, "", data)
    start = 1 + next(n for n, byte in enumerate(_length_bytes(data), 1) if not byte & 0x80)
    size = int.from_bytes(data[start : start + 2], "big")
    topic = data[start + 2 : start + 2 + size].decode(errors="replace")
    is_answered = data[0] & 0b110 != 0  # above QoS 0 a packet has an id
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.unpack(data[start + 2 + size + 2 * is_answered :])  # type: ignore[no-untyped-call]
    number: int | None = getattr(properties, "TopicAlias", None)
    if number is None:
        return Packet(kind, topic, data)
    if topic:
        numbered[number] = topic
    return Packet(kind, numbered.get(number, ""), data)


def _length_bytes(data: bytes) -> Iterator[int]:
    yield from data[1:5]


def _name(writer: asyncio.StreamWriter) -> str:
    """The common name in the certificate of who called."""
    certificate = writer.get_extra_info("ssl_object").getpeercert()
    return next(value for part in certificate["subject"] for field, value in part if field == "commonName")


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
    writer.transport.abort()
