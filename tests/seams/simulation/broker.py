"""A broker as far as anybody may rely on one, and the bad links to it.

It keeps what is retained, queues for the hub's session up to a bound and throws away beyond it without a word, answers
each publish with a reason, speaks wills, and closes on everyone when it stops. A link loses, doubles, delays and
overtakes. None of it shares code with the product.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Protocol

from msgspec import Struct

from tests.seams.simulation.faults import Fault, Provoked
from tests.seams.simulation.timeline import Timeline

QUEUE_MAX = 60  # small, so that it is reached; a real one holds 20,000 for a thousand terminals
IN_FLIGHT_MAX = 256  # the hub's receive maximum
HUB_PRESENCE = "tandem/v1/hub/presence"
WILL_DELAY_S = 20.0
SILENCE_S = (45.0, 60.0)  # after which each end notices that the other has fallen silent
ACCEPTED, NO_SUBSCRIBER, DENIED = 0x00, 0x10, 0x87
OLD_MAX = 64  # messages a hostile broker remembers to say again


class Said(Struct, frozen=True):
    """A message to the hub. `mid`: under which the hub acknowledges it."""

    topic: str
    payload: bytes
    mid: int
    qos: int


class AtTerminal(Protocol):
    """What a terminal hears from its end of a line."""

    device: str

    def acknowledged(self, line: Line, mid: int, reason: int) -> None: ...

    def heard(self, line: Line, topic: str, payload: bytes) -> None: ...

    def closed(self, line: Line, is_everyone: bool) -> None: ...


class AtHub(Protocol):
    """What the hub hears."""

    def heard(self, said: Said) -> None: ...

    def closed(self) -> None: ...


class Weather(Struct):
    """How bad the links are now; zero everywhere is a good day."""

    lost: float = 0.0
    doubled: float = 0.0
    reordered: float = 0.0
    puback_lost: float = 0.0
    garbled: float = 0.0
    replayed: float = 0.0
    latency_s: float = 0.02


class Line:
    """One connection of a terminal. `is_up`: for the terminal; `is_seen`: for the broker; both may be wrong a while."""

    def __init__(self, terminal: AtTerminal, will: bytes) -> None:
        self.terminal = terminal
        self.will = will
        self.is_up = self.is_seen = True
        self.is_swallowing = False
        self.up_free_s = self.down_free_s = 0.0  # nothing overtakes by itself


class Broker:
    """`weather` may be changed at any time; `denied`: devices whose records the access list refuses by mistake."""

    def __init__(self, timeline: Timeline, chance: Random, provoked: Provoked, weather: Weather) -> None:
        self._timeline = timeline
        self._chance = chance
        self._provoked = provoked
        self.weather = weather
        self.denied: set[str] = set()
        self.is_running = True
        self.queue_max_seen = 0
        self._lines: dict[str, Line] = {}
        self._retained: dict[str, bytes] = {}
        self._has_hub_session = False
        self._hub: AtHub | None = None
        self._queue: deque[Said] = deque()
        self._in_flight: dict[int, Said] = {}
        self._mid = 0
        self._old: deque[tuple[str, bytes]] = deque(maxlen=OLD_MAX)

    # --- terminals

    def connect(self, terminal: AtTerminal, will: bytes) -> Line | None:
        """A line, subscribed to what is said to this terminal; None when nobody accepts connections."""
        if not self.is_running:
            return None
        line = Line(terminal, will)
        before = self._lines.get(terminal.device)
        self._lines[terminal.device] = line
        if before is not None:  # taken over; its will is not spoken, the delay has not passed
            before.is_seen = False
            self._closed(before, is_everyone=False)
        return line

    def subscribed(self, line: Line) -> None:
        """The retained messages for a new subscription."""
        payload = self._retained.get(HUB_PRESENCE)
        if payload is not None and line.is_seen:
            self._down(line, HUB_PRESENCE, payload)

    def publish(self, line: Line, topic: str, payload: bytes, qos: int, mid: int, retain: bool) -> None:
        """The terminal says something. When and whether it arrives is the weather's."""
        for payload_here, wait_s in self._carried(payload, line, is_up=True):
            self._timeline.later(wait_s, lambda p=payload_here: self._accept(line, topic, p, qos, mid, retain))

    def cut(self, device: str) -> bool:
        """The line of `device` breaks and both ends see it; whether there was one."""
        line = self._lines.get(device)
        if line is None or not line.is_up:
            return False
        self._lost(line)
        self._closed(line, is_everyone=True)
        return True

    def swallow(self, device: str) -> bool:
        """The line of `device` goes on to exist and carries nothing; whether there was one."""
        line = self._lines.get(device)
        if line is None or not line.is_up or line.is_swallowing:
            return False
        line.is_swallowing = True
        self._timeline.later(self._chance.uniform(*SILENCE_S), lambda: self._lost(line))
        self._timeline.later(self._chance.uniform(*SILENCE_S), lambda: self._closed(line, is_everyone=False))
        return True

    def hang_up(self, line: Line) -> None:
        """The terminal is gone without a word."""
        line.is_up = False
        self._lost(line)

    # --- the hub

    def connect_hub(self, hub: AtHub) -> bool:
        """Whether the hub is connected and subscribed: what is retained comes, then what its session kept for it."""
        if not self.is_running:
            return False
        self._hub = hub
        self._has_hub_session = True
        kept = [*self._in_flight.values(), *self._queue]
        self._in_flight.clear()
        self._queue = deque(kept)
        for topic, payload in self._retained.items():
            if "/up/" in topic:
                self._queue.append(self._said(topic, payload, 1))
        self._feed()
        return True

    def publish_from_hub(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """The hub says something to a terminal, or to everybody."""
        if not self.is_running:
            return
        if retain:
            self._retained[topic] = payload
        for line in self._listening(topic):
            self._down(line, topic, payload)

    def acknowledge(self, mid: int) -> None:
        """The hub has what `mid` carried."""
        if self._in_flight.pop(mid, None) is not None:
            self._feed()

    def hub_gone(self, will: bytes | None) -> None:
        """The hub's connection ended; without a goodbye its `will` is spoken. Its session stays."""
        self._hub = None
        if will is not None:
            self.publish_from_hub(HUB_PRESENCE, will, retain=True)

    def hub_session_expired(self) -> None:
        """The broker forgets the hub: nobody is subscribed until it comes again."""
        if self._hub is None:
            self._has_hub_session = False
            self._queue.clear()
            self._in_flight.clear()

    # --- its own fate

    def stop(self, is_wiped: bool) -> None:
        """It ends, closing on everyone; `is_wiped`: what it had on its disk is gone as well."""
        self.is_running = False
        lines, self._lines = list(self._lines.values()), {}
        for line in lines:
            line.is_seen = False
            if line.is_up and not line.is_swallowing:
                self._closed(line, is_everyone=True)
        hub, self._hub = self._hub, None
        if is_wiped:
            self._retained.clear()
            self._queue.clear()
            self._in_flight.clear()
            self._has_hub_session = False
        if hub is not None:
            hub.closed()

    def start(self) -> None:
        """It accepts connections again."""
        self.is_running = True

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is waiting for the hub."""
        return not self._queue and not self._in_flight

    # --- inside

    def _accept(self, line: Line, topic: str, payload: bytes, qos: int, mid: int, retain: bool) -> None:
        if not line.is_seen or line.is_swallowing or not self.is_running:
            return
        reason = self._reason(line.terminal.device, topic)
        if reason != DENIED:
            if retain:
                self._retained[topic] = payload
            self._to_hub(topic, payload, qos)
            self._maybe_replay()
        if qos == 0:
            return
        if self._drawn(self.weather.puback_lost, Fault.PUBACK_LOST):
            return
        self._timeline.later(self._latency_s(), lambda: self._puback(line, mid, reason))

    def _reason(self, device: str, topic: str) -> int:
        if device in self.denied and topic.endswith("/log"):
            self._provoked.note(Fault.DENIED)
            return DENIED
        if not self._has_hub_session:
            self._provoked.note(Fault.NO_SUBSCRIBER)
            return NO_SUBSCRIBER
        return ACCEPTED

    def _puback(self, line: Line, mid: int, reason: int) -> None:
        if line.is_up and line.is_seen and not line.is_swallowing:
            line.terminal.acknowledged(line, mid, reason)

    def _to_hub(self, topic: str, payload: bytes, qos: int) -> None:
        if not self._has_hub_session or (qos == 0 and self._hub is None):
            return
        if len(self._queue) >= QUEUE_MAX:
            self._provoked.note(Fault.QUEUE_FULL)
            return
        self._queue.append(self._said(topic, payload, qos))
        self.queue_max_seen = max(self.queue_max_seen, len(self._queue))
        self._feed()

    def _maybe_replay(self) -> None:
        """Something that was heard once is said again. What never arrived is not: an older birth that came for the first time
        after a newer one would rightly look like a second board."""
        if self._old and self._drawn(self.weather.replayed, Fault.REPLAYED):
            again, old = self._chance.choice(self._old)
            for line in self._listening(again):
                self._down(line, again, old)
            if "/up/" in again:
                self._to_hub(again, old, 1)

    def _said(self, topic: str, payload: bytes, qos: int) -> Said:
        self._mid += 1
        return Said(topic, payload, self._mid, qos)

    def _feed(self) -> None:
        while self._hub is not None and self._queue and len(self._in_flight) < IN_FLIGHT_MAX:
            said = self._queue.popleft()
            if said.qos:
                self._in_flight[said.mid] = said
            self._old.append((said.topic, said.payload))
            self._hub.heard(said)

    def _listening(self, topic: str) -> list[Line]:
        if topic == HUB_PRESENCE:
            return [line for line in self._lines.values() if line.is_seen]
        device = topic.split("/")[2]
        line = self._lines.get(device)
        return [line] if line is not None and line.is_seen and "/down/" in topic else []

    def _down(self, line: Line, topic: str, payload: bytes) -> None:
        self._old.append((topic, payload))
        for payload_here, wait_s in self._carried(payload, line, is_up=False):
            self._timeline.later(wait_s, lambda p=payload_here: self._arrive(line, topic, p))

    def _arrive(self, line: Line, topic: str, payload: bytes) -> None:
        if line.is_up and line.is_seen and not line.is_swallowing:
            line.terminal.heard(line, topic, payload)

    def _carried(self, payload: bytes, line: Line, *, is_up: bool) -> list[tuple[bytes, float]]:
        """The copies that arrive, and when."""
        if self._drawn(self.weather.lost, Fault.LOST):
            return []
        copies = 2 if self._drawn(self.weather.doubled, Fault.DOUBLED) else 1
        if self._drawn(self.weather.garbled, Fault.GARBLED):
            at = self._chance.randrange(len(payload))
            payload = payload[:at] + bytes([payload[at] ^ 1 << self._chance.randrange(8)]) + payload[at + 1 :]
        return [(payload, self._wait_s(line, is_up=is_up)) for _ in range(copies)]

    def _wait_s(self, line: Line, *, is_up: bool) -> float:
        now_s = self._timeline.now_s
        arrives_s = now_s + self._latency_s()
        if self._drawn(self.weather.reordered, Fault.REORDERED):
            return arrives_s - now_s + self._chance.uniform(0.0, 3.0)  # what comes after it does not wait for it
        arrives_s = max(arrives_s, line.up_free_s if is_up else line.down_free_s)
        if is_up:
            line.up_free_s = arrives_s
        else:
            line.down_free_s = arrives_s
        return arrives_s - now_s

    def _latency_s(self) -> float:
        return self.weather.latency_s * self._chance.uniform(0.5, 1.5)

    def _drawn(self, odds: float, fault: Fault) -> bool:
        if odds <= 0.0 or self._chance.random() >= odds:
            return False
        self._provoked.note(fault)
        return True

    def _lost(self, line: Line) -> None:
        """The broker notices that a terminal is gone."""
        if not line.is_seen:
            return
        line.is_seen = False
        self._timeline.later(WILL_DELAY_S, lambda: self._speak_will(line))

    def _speak_will(self, line: Line) -> None:
        device = line.terminal.device
        if self.is_running and self._lines.get(device) is line:
            topic = f"tandem/v1/{device}/up/presence"
            self._retained[topic] = line.will
            self._to_hub(topic, line.will, 1)

    def _closed(self, line: Line, *, is_everyone: bool) -> None:
        if line.is_up:
            line.is_up = False
            line.terminal.closed(line, is_everyone)
