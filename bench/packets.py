"""MQTT 5 in as many lines as a fleet of a thousand clients in one process needs: packets out, packets in, no state.

A client library has a thread and a megabyte for each connection. Here a packet is a function of values.
"""

from __future__ import annotations

from asyncio import StreamReader
from enum import IntEnum

from msgspec import Struct


class Type(IntEnum):
    """The packets that come and go."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class Packet(Struct, frozen=True):
    """One packet as it came. `flags`: the low half of its first byte."""

    type: int
    flags: int
    body: bytes


class Published(Struct, frozen=True):
    """A message. `mid` is None at QoS 0."""

    topic: str
    payload: bytes
    mid: int | None


class Will(Struct, frozen=True, kw_only=True):
    """What the broker says when a client is gone."""

    topic: str
    payload: bytes
    delay_s: int


async def read(reader: StreamReader) -> Packet:
    """The next packet; IncompleteReadError at the end."""
    first = (await reader.readexactly(1))[0]
    length, shift = 0, 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 127) << shift
        shift += 7
        if digit < 128:
            break
    return Packet(first >> 4, first & 15, await reader.readexactly(length) if length else b"")


def connect(
    client_id: str, keepalive_s: int, session_expiry_s: int, will: Will | None, *, is_clean: bool = True
) -> bytes:
    """CONNECT; the will at QoS 1, retained, as a terminal leaves it."""
    flags = (0x02 if is_clean else 0) | (0 if will is None else 0x04 | 0x08 | 0x20)
    properties = b"\x11" + session_expiry_s.to_bytes(4, "big")
    body = b"\x00\x04MQTT\x05" + bytes((flags,)) + keepalive_s.to_bytes(2, "big") + _sized(properties)
    body += _text(client_id)
    if will is not None:
        body += _sized(b"\x18" + will.delay_s.to_bytes(4, "big")) + _text(will.topic) + _bytes(will.payload)
    return _packet(Type.CONNECT, 0, body)


def publish(topic: str, payload: bytes, mid: int | None, *, is_retained: bool = False) -> bytes:
    """PUBLISH, at QoS 1 when it has a `mid`."""
    flags = (0 if mid is None else 0x02) | (0x01 if is_retained else 0)
    return _packet(Type.PUBLISH, flags, _text(topic) + (b"" if mid is None else _mid(mid)) + b"\x00" + payload)


def puback(mid: int) -> bytes:
    """PUBACK with reason 0."""
    return b"\x40\x02" + _mid(mid)


def subscribe(topics: tuple[str, ...], mid: int) -> bytes:
    """SUBSCRIBE at QoS 1."""
    return _packet(Type.SUBSCRIBE, 2, _mid(mid) + b"\x00" + b"".join(_text(topic) + b"\x01" for topic in topics))


PING = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"


def reason(packet: Packet) -> int:
    """The reason code of a CONNACK, PUBACK or the worst of a SUBACK; 0 is well."""
    body = packet.body
    match packet.type:
        case Type.CONNACK:
            return body[1]
        case Type.PUBACK:
            return body[2] if len(body) > 2 else 0
        case Type.SUBACK:
            length, start = _number(body, 2)
            return max(body[start + length :])
    return 0


def acknowledged(packet: Packet) -> int:
    """Which message a PUBACK is about."""
    return int.from_bytes(packet.body[:2], "big")


def published(packet: Packet) -> Published:
    """The message in a PUBLISH."""
    body = packet.body
    size = int.from_bytes(body[:2], "big")
    at = 2 + size
    mid = None
    if packet.flags & 0x06:
        mid = int.from_bytes(body[at : at + 2], "big")
        at += 2
    length, at = _number(body, at)
    return Published(body[2 : 2 + size].decode(), body[at + length :], mid)


def _packet(kind: Type, flags: int, body: bytes) -> bytes:
    return bytes((kind << 4 | flags,)) + _length(len(body)) + body


def _length(value: int) -> bytes:
    out = bytearray()
    while True:
        value, digit = divmod(value, 128)
        out.append(digit | (128 if value else 0))
        if not value:
            return bytes(out)


def _number(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        digit = data[at]
        at += 1
        value |= (digit & 127) << shift
        shift += 7
        if digit < 128:
            return value, at


def _sized(data: bytes) -> bytes:
    return _length(len(data)) + data


def _bytes(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _text(text: str) -> bytes:
    return _bytes(text.encode())


def _mid(mid: int) -> bytes:
    return mid.to_bytes(2, "big")
