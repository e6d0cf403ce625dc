"""MessagePack in and out: unknown fields are ignored, missing or ill-typed ones are refused.

Bytes that are hashed, signed or stored are kept as they came; nothing is ever encoded a second time, because encoding
again would drop the fields that a newer peer added.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from wire import typed

MESSAGE_BYTES_MAX = 512 * 1024  # the broker's max_packet_size: nothing larger can have come honestly

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder(order="deterministic")


class Malformed(ValueError):
    """A peer's bytes that are not what they claim to be. The message never quotes their content."""


def encode(value: object) -> bytes:
    """`value` (a wire Struct, or plain lists, ints, str, bytes, None) as MessagePack."""
    return _encoder.encode(value)


def decode(data: bytes, kind: type[T]) -> T:
    """The `kind` in `data`; Malformed when it is something else, is cut, or has bytes left over."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise Malformed(f"{len(data)} bytes are more than any message has")
    try:
        return typed.msgpack(data, kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as wrong:
        raise Malformed(f"not a {kind.__name__}: {_without_content(wrong)}") from None


def _without_content(wrong: Exception) -> str:
    """The complaint and the path of the field, never its value: values are personal, logs are not."""
    return str(wrong) if isinstance(wrong, msgspec.DecodeError) else "a value is out of its limits"
