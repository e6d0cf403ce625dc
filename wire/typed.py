"""Bytes and plain values into types, by decoders that one thread at a time makes and all keep.

msgspec 0.22 learns a Struct at its first use and shows what it knows half made to other threads: two first uses at once end
the process with a segmentation fault. It ended one of two hundred terminals that started together; the test of this file
does it within a second without the lock. A type that is known is safe, and nothing here forgets one.
"""

from __future__ import annotations

from threading import RLock
from typing import TypeVar

import msgspec

T = TypeVar("T")

_learning = RLock()  # again by the same thread: a value's own check may read another
_msgpack: dict[object, msgspec.msgpack.Decoder[object]] = {}  # by type; there are as many as the program has types
_json: dict[object, msgspec.json.Decoder[object]] = {}


def msgpack(data: bytes, kind: type[T]) -> T:
    """The `kind` in MessagePack; msgspec.DecodeError when it is something else."""
    known = _msgpack.get(kind)
    if known is None:
        with _learning:
            known = _msgpack.setdefault(kind, msgspec.msgpack.Decoder(kind))
    return known.decode(data)  # type: ignore[return-value]


def json(data: bytes | str, kind: type[T]) -> T:
    """The `kind` in JSON; msgspec.DecodeError when it is something else."""
    known = _json.get(kind)
    if known is None:
        with _learning:
            known = _json.setdefault(kind, msgspec.json.Decoder(kind))
    return known.decode(data)  # type: ignore[return-value]


def toml(data: bytes | str, kind: type[T]) -> T:
    """The `kind` in TOML; msgspec.DecodeError when it is something else. For settings: nothing is kept but what is learned."""
    with _learning:
        return msgspec.toml.decode(data, type=kind)


def plain(value: object, kind: type[T]) -> T:
    """The `kind` in lists, dicts, strings and numbers; msgspec.ValidationError when it is something else. For settings."""
    with _learning:
        return msgspec.convert(value, kind)
