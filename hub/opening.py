"""From a message's bytes to what its terminal said: whose it is, in whose name it may speak, and that it signed this.

Pure, apart from one read of the devices of a batch; so the signatures of a batch are verified by several threads while
the batch itself is taken in order by one. Verifying is most of what a record costs here, and lets go of the interpreter.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct
from sqlalchemy import Connection, bindparam, select

from hub import schema
from hub.arrivals import Arrival, Refusal, Why
from wire import compact, live, records, signature, topics
from wire.codec import Malformed, decode
from wire.live import Live, Presence
from wire.records import Alarm, Record
from wire.signature import Context
from wire.topics import Up, UpTopic

WORKING = frozenset({"enrolled", "active"})
CHUNK = 16  # messages to a task: fewer, and handing them over costs more than it saves

_table = schema.device
_DEVICES = select(_table.c.device, _table.c.unit, _table.c.state, _table.c.public, _table.c.certificate).where(
    _table.c.device.in_(bindparam("devices", expanding=True))
)


class Device(Struct, frozen=True, kw_only=True):
    """A device that may speak, as its row was when the batch began."""

    device: str
    unit: str
    state: str
    public: bytes
    certificate: bytes

    @property
    def key(self) -> ec.EllipticCurvePublicKey:
        """What its messages must be signed by."""
        return _key(self.public)


class Opened(Struct, frozen=True):
    """A message whose signature is good: who said what. `channel`: a record comes on two topics."""

    arrival: Arrival
    device: Device
    channel: Up
    said: Live | Presence | Record | Alarm


class Closed(Struct, frozen=True):
    """A message that stays shut. `device`: whose topic it came on, "" when that is no topic of ours."""

    arrival: Arrival
    device: str
    refusal: Refusal


class _Known(Struct, frozen=True):
    devices: dict[str, Device | Why]


def open_all(
    connection: Connection, arrivals: Sequence[Arrival], verifiers: Executor | None = None
) -> list[Opened | Closed]:
    """`arrivals` in their order, opened. With `verifiers` several at a time."""
    up = [_up_topic(arrival.topic) for arrival in arrivals]
    known = _known(connection, {topic.device for topic in up if topic is not None})
    pairs = list(zip(arrivals, up, strict=True))
    if verifiers is None or len(pairs) < 2 * CHUNK:
        return _opened(pairs, known)
    tasks = [verifiers.submit(_opened, pairs[n : n + CHUNK], known) for n in range(0, len(pairs), CHUNK)]
    return [one for task in tasks for one in task.result()]


def _known(connection: Connection, names: set[str]) -> _Known:
    found: dict[str, Device | Why] = {}
    for row in connection.execute(_DEVICES, {"devices": sorted(names)}) if names else ():
        if row.state not in WORKING or row.public is None:
            found[row.device] = Why.NOT_ENROLLED
            continue
        found[row.device] = Device(
            device=row.device, unit=row.unit, state=row.state, public=row.public, certificate=row.certificate or b""
        )
    return _Known(found)


def _opened(pairs: Sequence[tuple[Arrival, UpTopic | None]], known: _Known) -> list[Opened | Closed]:
    return [_open(arrival, topic, known) for arrival, topic in pairs]


def _open(arrival: Arrival, topic: UpTopic | None, known: _Known) -> Opened | Closed:
    if topic is None:
        return Closed(arrival, "", Refusal(Why.TOPIC))
    device = known.devices.get(topic.device, Why.UNKNOWN_DEVICE)
    if isinstance(device, Why):
        return Closed(arrival, topic.device, Refusal(device))
    try:
        return Opened(arrival, device, topic.channel, _said(topic.channel, arrival.payload, device))
    except Refusal as refusal:
        return Closed(arrival, topic.device, refusal)


def _said(channel: Up, payload: bytes, device: Device) -> Live | Presence | Record | Alarm:
    context, key = Context.RECORD, device.key
    try:
        match channel:
            case Up.LIVE:
                context = Context.LIVE
                return live.open_live(payload, device.device, key)
            case Up.PRESENCE:
                context = Context.PRESENCE
                return live.open_presence(payload, device.device, key)
            case Up.ALARM:
                try:
                    return records.open_alarm(payload, device.device, key)
                except Malformed:
                    return records.open_record(payload, device.device, key)
            case Up.LOG:
                return records.open_record(payload, device.device, key)
    except Malformed:
        raise Refusal(_why(context, payload, device.device, key)) from None


def _why(context: Context, payload: bytes, device: str, key: ec.EllipticCurvePublicKey) -> Why:
    """What is wrong with a message that did not open: its form, its signature, or whose it is."""
    if context is Context.LIVE and compact.is_compact(payload):
        return Why.SIGNATURE if compact.reads(payload) else Why.MALFORMED
    try:
        message = decode(payload, signature.Signed)
    except Malformed:
        return Why.MALFORMED
    try:
        signature.verify(context, message.payload, message.signature, key)
    except Malformed:
        return Why.SIGNATURE
    try:
        if context is Context.RECORD:
            named = decode(message.payload, _NamedRecord).device
        else:
            named = decode(message.payload, _Named).device
    except Malformed:
        return Why.MALFORMED
    return Why.MALFORMED if named == device else Why.OTHER_DEVICE


class _Named(Struct):
    device: str


class _NamedRecord(Struct, array_like=True):
    v: int
    device: str


def _up_topic(raw: str) -> UpTopic | None:
    try:
        topic = topics.parse(raw)
    except Malformed:
        return None
    return topic if isinstance(topic, UpTopic) else None


@lru_cache(maxsize=4096)  # a fleet's keys; taking one apart costs as much as verifying with it
def _key(der: bytes) -> ec.EllipticCurvePublicKey:
    return signature.public_from(der)
