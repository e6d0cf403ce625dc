"""Positions that are numbered by their longitude, so that whoever sees one on a screen knows which it was.

A thread publishes them for all terminals through one connection of the hub's broker, as often as is wanted, evenly, and
writes down when each left. Every message is signed by its terminal's own key, as on any day.
"""

from __future__ import annotations

import re
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bench import packets
from bench.agency import Identity
from wire import live, topics
from wire.fix import Fix
from wire.live import Live
from wire.topics import Up, UpTopic

LAT, LON = 40.0, -83.0
STEP_DEG = 1e-6
NUMBERS = 10_000_000  # ten degrees
JUMP_DEG = 0.01  # a kilometer: the map does not glide there, so the next picture shows it
LONGITUDE = re.compile(rb'"lon":(-[78]\d\.\d+)[,}]')


def longitude(number: int) -> float:
    """The longitude that stands for a number."""
    return round(LON + (number % NUMBERS) * STEP_DEG, 6)


def number_of(found: re.Match[bytes]) -> int:
    """The number that a longitude stands for."""
    return round((float(found[1]) - LON) / STEP_DEG)


def jumping(number: int, unit: int, count: int) -> Fix:
    """A unit that stands, and each time somewhere else."""
    turn = number // count
    return Fix(lat=round(LAT + unit * 1e-4 + turn % 2 * JUMP_DEG, 6), lon=longitude(number), speed_mps=0.0)


class Channel(Protocol):
    """Where messages go."""

    def send(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 0."""


class Broker:
    """One connection to an MQTT broker that only publishes."""

    def __init__(self, port: int, tls: ssl.SSLContext | None, name: str) -> None:
        connection = socket.create_connection(("localhost", port), 10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection if tls is None else tls.wrap_socket(connection, server_hostname="localhost")
        self._socket.sendall(packets.connect(name, 0, 0, None))
        answer = self._socket.recv(1024)
        if answer[:1] != b"\x20" or answer[3]:
            raise ConnectionError(f"the broker refuses {name}")

    def send(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 0."""
        self._socket.sendall(packets.publish(topic, payload, None))

    def close(self) -> None:
        """Hang up."""
        self._socket.sendall(packets.DISCONNECT)
        self._socket.close()


def to_hub(port: int, root: Path, pem: Path, name: str) -> Broker:
    """A connection to the hub's broker with a certificate of its own."""
    tls = ssl.create_default_context(cafile=str(root))
    tls.load_cert_chain(str(pem))
    return Broker(port, tls, name)


class Publisher:
    """Says something `per_s` times a second until it is stopped. `left`: when each number left, by two clocks.

    `first`: the number to begin with, so that no number means two places in one run.
    """

    def __init__(self, per_s: float, say_one: Callable[[int], None], first: int = 0) -> None:
        self.left_ns: dict[int, int] = {}
        self.left_wall_s: dict[int, float] = {}
        self._per_s, self._say_one = per_s, say_one
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._first = self.next = first

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Say no more."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        began_s = time.monotonic()
        while not self._stopping.is_set():
            number = self.next
            time.sleep(max(0.0, began_s + (number - self._first) / self._per_s - time.monotonic()))
            self.left_wall_s[number], self.left_ns[number] = time.time(), time.monotonic_ns()
            self._say_one(number)
            self.next = number + 1


class Mouth:
    """Speaks for every terminal of an agency."""

    def __init__(
        self, terminals: tuple[Identity, ...], channel: Channel, where: Callable[[int, int, int], Fix] = jumping
    ) -> None:
        self._terminals, self._channel, self._where = terminals, channel, where
        self._boot = secrets.token_bytes(16)

    def say(self, number: int) -> None:
        """The next position of the next terminal."""
        unit = number % len(self._terminals)
        one = self._terminals[unit]
        said = Live(
            v=2,
            device=one.device,
            boot=self._boot,
            mono_ms=int(time.monotonic() * 1000),
            age_ms=40,
            fix=self._where(number, unit, len(self._terminals)),
            reason="cadence",
        )
        self._channel.send(topics.text(UpTopic(one.device, Up.LIVE)), live.sign_live(said, one.key))
