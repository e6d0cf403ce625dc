"""Bytes in chunks of any size become candidate sentences; what is not one is counted, never kept.

How the bytes were cut into chunks makes no difference to what comes out. Nothing here reads, waits or knows the time.
"""

from __future__ import annotations

import re

from msgspec import Struct

LINE_BYTES_MAX = 256  # NMEA 0183 says 82; multi-band receivers say otherwise

_BODY_BYTES_MAX = LINE_BYTES_MAX - len("$*HH")

# A sentence ends with its checksum, not with the line: an end of line lost to noise then costs nothing, and no fix
# waits for a carriage return. `$` and `*` are reserved by NMEA 0183 and cannot stand inside.
_SENTENCE = re.compile(rb"([A-Za-z][ -#\x25-)+-~]{0,%d})(\*[0-9A-Fa-f]{2})?" % (_BODY_BYTES_MAX - 1))
_CHECKSUM_BEGUN = re.compile(rb"(\*[0-9A-Fa-f]?)?\Z")


class Dropped(Struct, frozen=True, kw_only=True):
    """What was read and is no candidate: sentences `cut` short or `too_long`, and bytes outside any sentence."""

    cut: int = 0
    too_long: int = 0
    noise_bytes: int = 0


class Framer:
    """Cuts a byte stream into sentences. Every `$` is a new beginning, so noise costs what it overwrote and no more."""

    def __init__(self) -> None:
        self._held = b""  # empty, or the beginning of one sentence, `$` included, within LINE_BYTES_MAX
        self._cut = 0
        self._too_long = 0
        self._noise_bytes = 0

    @property
    def dropped(self) -> Dropped:
        return Dropped(cut=self._cut, too_long=self._too_long, noise_bytes=self._noise_bytes)

    def feed(self, data: bytes) -> list[str]:
        """The candidate sentences that `data` completed, from `$` on and without their end of line."""
        noise, *pieces = (self._held + data).split(b"$")
        self._count_noise(noise)
        self._held = b""
        if not pieces:
            return []
        last = pieces.pop()
        found = [sentence for piece in pieces if (sentence := self._ended(piece))]
        if _is_unfinished(last):
            self._held = b"$" + last
        elif sentence := self._ended(last):
            found.append(sentence)
        return found

    def finish(self) -> None:
        """No more bytes will come: a sentence without its end is a sentence cut short."""
        self._cut += bool(self._held)
        self._held = b""

    def _ended(self, piece: bytes) -> str | None:
        """The candidate at the beginning of `piece`, the bytes between one `$` and the next; the rest is noise."""
        match = _SENTENCE.match(piece)
        if match is None:
            self._count_noise(piece)
            return None
        end = match.end()
        self._count_noise(piece[end:])
        if match[2] or piece[end : end + 1] in (b"\r", b"\n", b"*"):  # a line without a checksum is for the judge
            return "$" + match[0].decode("ascii")
        if len(match[1]) == _BODY_BYTES_MAX and end < len(piece):
            self._too_long += 1
        else:
            self._cut += 1
        return None

    def _count_noise(self, noise: bytes) -> None:
        self._noise_bytes += len(noise.translate(None, b"\r\n"))


def _is_unfinished(piece: bytes) -> bool:
    """More bytes could still make a sentence of `piece`, the bytes since the last `$`."""
    match = _SENTENCE.match(piece)
    if match is None:
        return not piece
    return match[2] is None and _CHECKSUM_BEGUN.match(piece, match.end()) is not None
