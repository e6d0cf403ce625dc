"""What is too large for one record travels as several of kind `part`, one after the other in the same log.

They are stored in one transaction at one end, and mean nothing at the other until the last has come. Small parts, for a
slow link: each is receipted by itself, so that a link that breaks costs one of them and not the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct

from wire.codec import MESSAGE_BYTES_MAX, Malformed
from wire.ids import ID_BYTES, id_bytes

PART_BYTES = 32 * 1024  # 4 s at 64 kbit/s
PART_BYTES_MIN = 4 * 1024
WHOLE_BYTES_MAX = MESSAGE_BYTES_MAX  # what a reader takes as one message
PARTS_MAX = WHOLE_BYTES_MAX // PART_BYTES_MIN


class Part(Struct, frozen=True, kw_only=True):
    """One piece of the body of a record of `kind`. `of`: what the pieces of one body have in common, the beginning of
    its SHA-256; `index` counts from 0 to `count` - 1."""

    of: bytes
    index: int
    count: int
    kind: str
    data: bytes

    def __post_init__(self) -> None:
        id_bytes(self.of)
        if not (0 <= self.index < self.count <= PARTS_MAX):
            raise ValueError("a part beyond the whole")


def split(kind: str, body: bytes, size: int = PART_BYTES) -> tuple[Part, ...]:
    """The parts of `body`, each of at most `size` bytes; ValueError when it is more than a reader takes."""
    if len(body) > WHOLE_BYTES_MAX:
        raise ValueError(f"a body of {len(body)} bytes; at most {WHOLE_BYTES_MAX} are carried")
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return tuple(
        Part(of=_name(body), index=index, count=len(pieces), kind=kind, data=piece)
        for index, piece in enumerate(pieces)
    )


def join(found: Sequence[Part]) -> bytes:
    """The body whose parts these are, in order; Malformed when one is missing, foreign or changed."""
    first = found[0]
    if [part.index for part in found] != list(range(first.count)):
        raise Malformed("a whole with a part missing")
    if any((part.of, part.count, part.kind) != (first.of, first.count, first.kind) for part in found):
        raise Malformed("parts of different wholes")
    body = b"".join(part.data for part in found)
    if len(body) > WHOLE_BYTES_MAX or _name(body) != first.of:
        raise Malformed("parts that do not make the whole they name")
    return body


def _name(body: bytes) -> bytes:
    return sha256(body).digest()[:ID_BYTES]
