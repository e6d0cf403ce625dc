"""What the bytes of a damaged SQLite file still say: the rows of each page by itself, and the write-ahead log frame by frame.

SQLite reads a page only through the pages above it, and a write-ahead log only up to the first frame that does not fit;
behind one flipped bit it believes nothing. Here each page speaks for itself. Nothing is believed: whoever calls has to
verify what was found.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from msgspec import Struct

PAGE_BYTES = 4096  # what SQLite makes unless told otherwise
ROW_BYTES_MAX = 1024 * 1024  # four times the largest record; a length beyond is damage
COLUMNS_MAX = 64

_LEAF = 0x0D
_OTHER_PAGES = (0x02, 0x05, 0x0A)  # of indexes, and the inner pages of tables
_WAL_HEADER, _FRAME_HEADER = 32, 24
_WAL_MAGIC = (0x377F0682, 0x377F0683)

Value = int | float | str | bytes | None


class Row(Struct, frozen=True):
    """A row of some table, with its place in it."""

    rowid: int
    values: tuple[Value, ...]


class Wal(Struct, frozen=True, kw_only=True):
    """A write-ahead log. `committed`: pages by number, as SQLite would see them; `beyond`: pages that follow what SQLite
    believes, the oldest first; `is_damaged`: what SQLite does not believe cannot have come from a power cut."""

    committed: Mapping[int, bytes]
    beyond: tuple[tuple[int, bytes], ...]
    is_damaged: bool


def pages_of(data: bytes) -> dict[int, bytes]:
    """The pages of a database file by number; what is missing of a last one that was cut counts as zeros."""
    size = page_bytes(data)
    return {at // size + 1: data[at : at + size].ljust(size, b"\0") for at in range(0, len(data), size)}


def page_bytes(data: bytes) -> int:
    """How long the pages of this file are, by its header if that can be believed."""
    if len(data) >= 18:
        said = int.from_bytes(data[16:18], "big")
        if 512 <= said <= 32768 and said & (said - 1) == 0 and len(data) % said == 0:
            return said
    return PAGE_BYTES


def rows(pages: Mapping[int, bytes], overflow: Mapping[int, bytes] | None = None) -> Iterator[Row]:
    """Every row that can be made out in `pages`. Where a row goes on, it goes on in `overflow`, or else in `pages`."""
    for number, page in pages.items():
        yield from _page_rows(page, 100 if number == 1 else 0, pages if overflow is None else overflow)


def read_wal(data: bytes) -> Wal:
    """What the bytes of a `-wal` file say."""
    nothing = Wal(committed={}, beyond=(), is_damaged=False)
    if not data.strip(b"\0"):
        return nothing  # none, or a file that grew before its first frame was written
    if len(data) < _WAL_HEADER:
        return Wal(committed={}, beyond=(), is_damaged=True)
    magic, _, size = struct.unpack(">III", data[:12])
    order = ">" if magic & 1 else "<"
    is_header_good = magic in _WAL_MAGIC and _sum(order, data[:24], (0, 0)) == struct.unpack(">II", data[24:32])
    if not is_header_good:
        size, order = PAGE_BYTES, "<"
    salt = data[16:24]
    committed: dict[int, bytes] = {}
    waiting: dict[int, bytes] = {}
    beyond: list[tuple[int, bytes]] = []
    before = struct.unpack(">II", data[24:32])
    believed, commits, is_damaged = is_header_good, 0, not is_header_good
    for at in range(_WAL_HEADER, len(data) - _FRAME_HEADER - size + 1, _FRAME_HEADER + size):
        header, page = data[at : at + _FRAME_HEADER], data[at + _FRAME_HEADER : at + _FRAME_HEADER + size]
        number, commit = struct.unpack(">II", header[:8])
        said = struct.unpack(">II", header[16:24])
        is_ours = header[8:16] == salt
        fits = is_ours and said == _sum(order, page, _sum(order, header[:8], before))
        before = said
        if believed and fits:
            waiting[number] = page
            if commit:
                committed |= waiting
                waiting = {}
            continue
        if believed:
            beyond += list(waiting.items())
            believed, commits = False, int(is_ours and commit > 0)
        elif not fits:
            commits = 0
        elif commit:
            # What a power cut tore is one transaction: frames that follow from each other with one commit, the last of
            # them. Frames of an older torn one may lie behind it, and do not follow from it.
            commits += 1
            is_damaged = is_damaged or commits > 1
        if is_ours or not is_header_good:
            beyond.append((number, page))
    return Wal(committed=committed, beyond=tuple(beyond), is_damaged=is_damaged)


def _sum(order: str, data: bytes, start: tuple[int, ...]) -> tuple[int, int]:
    """SQLite's own checksum of a write-ahead log."""
    first, second = start
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for even, odd in zip(words, words, strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def _page_rows(page: bytes, start: int, overflow: Mapping[int, bytes]) -> Iterator[Row]:
    if len(page) < start + 8 or page[start] in _OTHER_PAGES:
        return
    at = start + 8
    seen: set[int] = set()
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    limit = at + 2 * count if page[start] == _LEAF and 0 < count < len(page) // 4 else len(page)
    while at + 2 <= min(limit, len(page)):
        cell = int.from_bytes(page[at : at + 2], "big")
        at += 2
        if not at <= cell < len(page):
            if limit == len(page):
                return  # the count was not to be believed, and here the list of cells has ended
            continue
        if cell in seen:
            continue
        seen.add(cell)
        try:
            yield _cell(page, cell, overflow)
        except (IndexError, KeyError, ValueError, struct.error):
            continue


def _cell(page: bytes, at: int, overflow: Mapping[int, bytes]) -> Row:
    size, at = _varint(page, at)
    rowid, at = _varint(page, at)
    if not 2 <= size <= ROW_BYTES_MAX:
        raise ValueError("no row has this length")
    usable = len(page)
    local, longest, shortest = size, usable - 35, (usable - 12) * 32 // 255 - 23
    if size > longest:
        wanted = shortest + (size - shortest) % (usable - 4)
        local = wanted if wanted <= longest else shortest
    payload = bytearray(page[at : at + local])
    if len(payload) < local:
        raise IndexError
    if local < size:
        upcoming = int.from_bytes(page[at + local : at + local + 4], "big")
        while len(payload) < size:
            more = overflow[upcoming]
            upcoming = int.from_bytes(more[:4], "big")
            payload += more[4:]
    return Row(_signed(rowid), _values(bytes(payload[:size])))


def _values(payload: bytes) -> tuple[Value, ...]:
    header, at = _varint(payload, 0)
    if not 1 < header <= len(payload):
        raise ValueError("no row has this header")
    kinds: list[int] = []
    while at < header:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    if at != header or len(kinds) > COLUMNS_MAX:
        raise ValueError("no row has this header")
    values: list[Value] = []
    for kind in kinds:
        value, at = _value(payload, at, kind)
        values.append(value)
    if at != len(payload):
        raise ValueError("a row of another length")
    return tuple(values)


def _value(payload: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return None, at
    if kind in (8, 9):
        return kind - 8, at
    if kind == 7:
        return struct.unpack(">d", payload[at : at + 8])[0], at + 8
    if kind <= 6:
        end = at + (1, 2, 3, 4, 6, 8)[kind - 1]
        value: Value = int.from_bytes(payload[at:end], "big", signed=True)
    elif kind < 12:
        raise ValueError("no value has this kind")
    else:
        end = at + (kind - 12) // 2
        raw = payload[at:end]
        value = raw.decode() if kind % 2 else raw
    if end > len(payload):
        raise IndexError
    return value, end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    return value << 8 | data[at + 8], at + 9


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
