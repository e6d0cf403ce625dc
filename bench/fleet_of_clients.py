"""A thousand terminals in one process, as the hub and its broker see them: real certificates, real TLS, real records.

Each is a coroutine that does what a terminal's link and uplink do: it connects with its own certificate and leaves a
will, subscribes, is born, waits until the hub says that it listens, sends what it owes sixteen at a time, lets go of
nothing that no receipt covers, answers each section with `state_held`, and comes back as `edge.link.pause_s` says. It
keeps everything in memory, so that its disk is not what is measured.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import Callable, Sequence
from random import Random

from msgspec import Struct

from bench import packets
from bench.agency import Agency, Identity
from bench.packets import Type
from edge.link import KEEPALIVE_S, SESSION_EXPIRY_S, WILL_DELAY_S, Backoff, pause_s
from wire import live, records, topics
from wire.codec import decode, encode
from wire.facts import StateHeld
from wire.fix import Fix
from wire.live import HubPresence, Live, LogRange, Presence
from wire.records import Kind, Receipt, Record
from wire.signature import payload_of
from wire.stamp import Stamp
from wire.state import Snapshot
from wire.topics import HUB_PRESENCE, Receipts, State, Up, UpTopic

WINDOW = 16  # records open with the broker at a time
RESEND_S = 30.0  # without a receipt
CONNECT_S_MAX = 30.0  # for a handshake: a thousand at once wait for each other
LINE_BYTES = 64 * 1024  # of a stream's buffer: a thousand of them are kept small


class Log:
    """One log of a terminal: signed records, and how far the hub has receipted them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.log_id = secrets.token_bytes(16)
        self.records: list[bytes] = []
        self.through = 0
        self.sent = 0
        self.progress_s = 0.0

    def again(self) -> None:
        """Whatever is owed is to be sent anew."""
        self.sent, self.progress_s = self.through, time.monotonic()

    @property
    def owed(self) -> int:
        """Records without a receipt."""
        return len(self.records) - self.through


class Times(Struct):
    """When things last happened to a terminal, monotonic seconds; 0.0 for never."""

    lost: float = 0.0
    back: float = 0.0
    drained: float = 0.0


class Terminal:
    """One client. `run` keeps it connected until it is canceled."""

    def __init__(self, agency: Agency, identity: Identity, backoff: Backoff, is_spread: bool, chance: Random) -> None:
        self.identity = identity
        self.ledger, self.trail = Log("ledger"), Log("trail")
        self.times = Times()
        self.connections = 0
        self.refusals: list[str] = []
        self.is_back = False
        self._agency = agency
        self._backoff = backoff
        self._is_spread = is_spread
        self._chance = chance
        self._boot = secrets.token_bytes(16)
        self._began_s = time.monotonic()
        self._session = 0
        self._spread_s = 0.0
        self._hub_is_here = False
        self._open: dict[int, None] = {}
        self._mid = 0
        self._writer: StreamWriter | None = None
        self._tls = ssl.create_default_context(cafile=str(agency.root))
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_3
        self._tls.load_cert_chain(str(identity.pem))

    @property
    def owed(self) -> int:
        """Records of both logs without a receipt."""
        return self.ledger.owed + self.trail.owed

    @property
    def stands(self) -> str:
        """Where it stands, for whoever wonders what it waits for."""
        return (
            f"{'back' if self.is_back else 'away'}, hub {'here' if self._hub_is_here else 'not here'}, "
            f"open {len(self._open)}, ledger owed {self.ledger.owed}, trail owed {self.trail.owed}, "
            f"of it sent {self.trail.sent - self.trail.through}"
        )

    def add(self, log: Log, kind: str, body: bytes) -> None:
        """Append a record to `log`, and send it when it may go."""
        record = Record(
            v=records.VERSION,
            device=self.identity.device,
            log_id=log.log_id,
            seq=len(log.records) + 1,
            kind=kind,
            stamp=self._stamp(),
            body=body,
        )
        log.records.append(records.sign_record(record, self.identity.key))
        self._send_owed()

    def say_where(self, fix: Fix) -> None:
        """Send a live position, if there is a link."""
        if self.is_back:
            said = Live(
                v=1,
                device=self.identity.device,
                boot=self._boot,
                mono_ms=self._mono_ms(),
                age_ms=40,
                fix=fix,
                reason="cadence",
            )
            self._publish(Up.LIVE, live.sign_live(said, self.identity.key), None)

    async def run(self) -> None:
        """Connect, and connect again."""
        failures = 0
        while True:
            came_back_s = await self._connection()
            now_s = time.monotonic()
            was_up = self.is_back
            self.is_back, self._writer = False, None
            if was_up:
                self.times.lost = now_s
            failures = 0 if was_up and now_s - came_back_s > self._backoff.healthy_s else failures + 1
            spread_s = self._spread_s if was_up and self._is_spread else None
            if not self._is_spread:
                await asyncio.sleep(self._chance.uniform(0.1, 1.0))  # the comparison: everybody at once
            else:
                await asyncio.sleep(pause_s(self._backoff, failures, spread_s, self._chance))

    async def _connection(self) -> float:
        """One connection to its end; when it was up."""
        self._hub_is_here, self._open = False, {}
        self._session += 1
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", self._agency.port, ssl=self._tls, server_hostname="localhost", limit=LINE_BYTES
                )
        except (OSError, TimeoutError, ssl.SSLError) as wrong:
            self._refused(type(wrong).__name__)
            return 0.0
        self.connections += 1
        ticking = asyncio.create_task(self._tick())
        up_s = 0.0
        try:
            writer.write(self._connect())
            async with asyncio.timeout(CONNECT_S_MAX):
                await self._up(reader, writer)
            up_s = time.monotonic()
            while True:
                await self._take(await packets.read(reader))
        except (OSError, IncompleteReadError, TimeoutError, ssl.SSLError) as wrong:
            if not up_s:
                self._refused(type(wrong).__name__)
            return up_s
        finally:
            ticking.cancel()
            writer.transport.abort()

    async def _up(self, reader: StreamReader, writer: StreamWriter) -> None:
        device = self.identity.device
        for kind, then in (
            (Type.CONNACK, packets.subscribe((topics.every_down(device), HUB_PRESENCE), self._next_mid())),
            (Type.SUBACK, b""),
        ):
            packet = await packets.read(reader)
            if packet.type != kind or packets.reason(packet) >= 0x80:
                raise ConnectionError(f"{kind.name} {packets.reason(packet)}")
            writer.write(then)
        self._writer = writer
        self.is_back, self.times.back = True, time.monotonic()
        self._again()
        self._publish(Up.PRESENCE, self._birth(), self._next_mid(), is_retained=True)

    async def _take(self, packet: packets.Packet) -> None:
        if packet.type == Type.PUBACK:
            mid = packets.acknowledged(packet)
            self._open.pop(mid, None)
            if packets.reason(packet):
                self._refused(f"PUBACK {packets.reason(packet)}")
                self._hub_is_here = False  # until it says again that it listens
                self._again()
            self._send_owed()
        elif packet.type == Type.PUBLISH:
            message = packets.published(packet)
            if message.mid is not None:
                self._write(packets.puback(message.mid))
            self._hear(message)
        elif packet.type == Type.DISCONNECT:
            raise ConnectionError("the broker ended the connection")

    def _hear(self, message: packets.Published) -> None:
        if message.topic == HUB_PRESENCE:
            presence = decode(payload_of(message.payload), HubPresence)
            self._hub_is_here, self._spread_s = presence.is_here, presence.spread_s
            self._send_owed()
            return
        match topics.parse(message.topic):
            case Receipts():
                self._receipted(decode(payload_of(message.payload), Receipt))
            case State(_, section):
                version = decode(payload_of(message.payload), Snapshot).version
                fact = StateHeld(section=section, epoch=version.epoch, n=version.n)
                self.add(self.ledger, Kind.STATE_HELD, encode(fact))

    def _receipted(self, receipt: Receipt) -> None:
        for log in (self.ledger, self.trail):
            if log.log_id == receipt.log_id and receipt.through > log.through:
                log.through, log.progress_s = receipt.through, time.monotonic()
                log.sent = max(log.sent, log.through)
        if not self.owed:
            self.times.drained = time.monotonic()

    def _send_owed(self) -> None:
        for log in (self.ledger, self.trail):
            while self.is_back and self._hub_is_here and log.sent < len(log.records) and len(self._open) < WINDOW:
                mid = self._next_mid()
                self._open[mid] = None
                self._publish(Up.LOG, log.records[log.sent], mid)
                log.sent += 1

    def _again(self) -> None:
        self._open = {}
        self.ledger.again()
        self.trail.again()

    async def _tick(self) -> None:
        """The keep-alive, and sending again what nobody has receipted."""
        while True:
            await asyncio.sleep(KEEPALIVE_S / 2 * self._chance.uniform(0.8, 1.0))
            self._write(packets.PING)
            for log in (self.ledger, self.trail):
                if self.is_back and log.owed and time.monotonic() - log.progress_s > RESEND_S:
                    log.again()
                    self._open = {}
            self._send_owed()

    def _connect(self) -> bytes:
        will = packets.Will(topic=self._topic(Up.PRESENCE), payload=self._presence(False), delay_s=WILL_DELAY_S)
        return packets.connect(self.identity.device, KEEPALIVE_S, SESSION_EXPIRY_S, will)

    def _birth(self) -> bytes:
        return self._presence(True)

    def _presence(self, is_here: bool) -> bytes:
        logs = tuple(
            LogRange(
                log_id=log.log_id,
                name=log.name,
                lowest_held=1,
                lowest_owed=log.through + 1,
                next=len(log.records) + 1,
            )
            for log in (self.ledger, self.trail)
        )
        said = Presence(
            v=1,
            device=self.identity.device,
            boot=self._boot,
            session=self._session,
            mono_ms=self._mono_ms(),
            is_here=is_here,
            software="bench",
            logs=logs if is_here else (),
        )
        return live.sign_presence(said, self.identity.key)

    def _publish(self, channel: Up, payload: bytes, mid: int | None, *, is_retained: bool = False) -> None:
        self._write(packets.publish(self._topic(channel), payload, mid, is_retained=is_retained))

    def _write(self, data: bytes) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(data)

    def _topic(self, channel: Up) -> str:
        return topics.text(UpTopic(self.identity.device, channel))

    def _next_mid(self) -> int:
        self._mid = self._mid % 65535 + 1
        return self._mid

    def _mono_ms(self) -> int:
        return int((time.monotonic() - self._began_s) * 1000) + 1

    def _stamp(self) -> Stamp:
        return Stamp(boot=self._boot, mono_ms=self._mono_ms(), wall_ms=int(time.time() * 1000), quality="gps")

    def _refused(self, why: str) -> None:
        if len(self.refusals) < 100:  # enough to see why
            self.refusals.append(why)


class Fleet:
    """All terminals of an agency, as tasks of the running loop. `is_spread` false: all come back at once."""

    def __init__(
        self, agency: Agency, *, is_spread: bool = True, seed: int = 1, backoff: Backoff | None = None
    ) -> None:
        chance = Random(seed)
        self.terminals = [
            Terminal(agency, one, backoff or Backoff(), is_spread, Random(chance.random())) for one in agency.terminals
        ]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Let every terminal connect."""
        self._tasks = [asyncio.create_task(terminal.run()) for terminal in self.terminals]

    async def stop(self) -> None:
        """End without a word: to the broker they are cut."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def back(self) -> int:
        """How many are connected and subscribed."""
        return sum(terminal.is_back for terminal in self.terminals)

    @property
    def owed(self) -> int:
        """Records of all that no receipt covers."""
        return sum(terminal.owed for terminal in self.terminals)

    def failed(self) -> list[str]:
        """Why tasks ended, which none should."""
        return [repr(task.exception()) for task in self._tasks if task.done() and not task.cancelled()]


async def until(is_so: Callable[[], bool], seconds: float, every_s: float = 0.1) -> bool:
    """Whether `is_so` came true within `seconds`."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        if is_so():
            return True
        await asyncio.sleep(every_s)
    return is_so()


def spans(terminals: Sequence[Terminal], of: Callable[[Terminal], float], since_s: float) -> list[float]:
    """Seconds from `since_s` to what `of` picks, of those to whom it happened, ascending."""
    return sorted(of(terminal) - since_s for terminal in terminals if of(terminal) > since_s)
