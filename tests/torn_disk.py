"""A disk that keeps what was synced and tears the rest: the real SQLite over it, and a power cut wherever a test wants one.

The simulation makes images of what a disk may hold after a cut; here SQLite itself says when it syncs what, so a pragma that
syncs too little loses rows. Sectors of 512 bytes; at the cut each sector that was written and not synced is there or not.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import apsw

SECTOR_BYTES = 512
_names = itertools.count()


class PowerCut(Exception):
    """The power went. Nothing reaches this disk any more; what is in its files is what a board would find."""


class TornDisk(apsw.VFS):
    """A file system whose power goes at its sync number `cut_at_sync`, counted from 1; None: only when told."""

    def __init__(self, seed: int, cut_at_sync: int | None = None) -> None:
        self.chance = Random(seed)
        self.cut_at_sync = cut_at_sync
        self.syncs = 0
        self.is_dead = False
        self.files: list[_TornFile] = []
        self.name = f"torn-{next(_names)}"
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _TornFile:
        opened = _TornFile(self, name, flags)
        self.files.append(opened)
        return opened

    def xDelete(self, name: str, syncdir: bool) -> None:
        if not self.is_dead:
            super().xDelete(name, syncdir)

    def alive(self) -> None:
        if self.is_dead:
            raise PowerCut

    def synced(self) -> None:
        """A sync begins; it may be the last."""
        self.syncs += 1
        if self.syncs == self.cut_at_sync:
            self.cut()
            raise PowerCut

    def cut(self) -> None:
        """The power goes now: of what was not synced a random half of the sectors is there."""
        self.is_dead = True
        for file in self.files:
            file.tear()


class _TornFile(apsw.VFSFile):
    def __init__(self, disk: TornDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        self._held: dict[int, bytes] = {}  # sectors that were written and not synced
        super().__init__("", name, flags)
        self._size = super().xFileSize()

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.alive()
        end = offset + len(data)
        first, last = offset // SECTOR_BYTES, (end - 1) // SECTOR_BYTES
        whole = bytearray(self._read(first * SECTOR_BYTES, (last - first + 1) * SECTOR_BYTES))
        at = offset - first * SECTOR_BYTES
        whole[at : at + len(data)] = data
        for number in range(first, last + 1):
            begin = (number - first) * SECTOR_BYTES
            self._held[number] = bytes(whole[begin : begin + SECTOR_BYTES])
        self._size = max(self._size, end)

    def xRead(self, amount: int, offset: int) -> bytes:
        first = offset // SECTOR_BYTES
        sectors = (offset + amount - 1) // SECTOR_BYTES - first + 1
        whole = self._read(first * SECTOR_BYTES, sectors * SECTOR_BYTES)
        at = offset - first * SECTOR_BYTES
        return whole[at : at + min(amount, max(0, self._size - offset))]

    def xFileSize(self) -> int:
        return self._size

    def xTruncate(self, size: int) -> None:
        if self._disk.is_dead:
            return
        self._held = {number: held for number, held in self._held.items() if number * SECTOR_BYTES < size}
        super().xTruncate(size)
        self._size = size

    def xSync(self, flags: int) -> None:
        self._disk.alive()
        self._disk.synced()
        self._let_go(self._held)
        super().xTruncate(self._size)
        self._held = {}

    def tear(self) -> None:
        """What the disk holds after the cut."""
        chance = self._disk.chance
        self._let_go({number: data for number, data in self._held.items() if chance.random() < 0.5})
        self._held = {}

    def _let_go(self, sectors: dict[int, bytes]) -> None:
        for number, data in sectors.items():
            begin = number * SECTOR_BYTES
            super().xWrite(data[: max(0, self._size - begin)], begin)

    def _read(self, offset: int, amount: int) -> bytes:
        """Whole sectors, zeros beyond the end."""
        on_disk = bytearray(super().xRead(amount, offset).ljust(amount, b"\0"))
        for begin in range(0, amount, SECTOR_BYTES):
            held = self._held.get((offset + begin) // SECTOR_BYTES)
            if held is not None:
                on_disk[begin : begin + SECTOR_BYTES] = held
        return bytes(on_disk)


class Torn:
    """A database on a torn disk that answers like the product's connection, so that the product's own code runs on it."""

    def __init__(self, disk: TornDisk, path: Path) -> None:
        self.raw = apsw.Connection(str(path), vfs=disk.name)
        self.raw.execute("pragma locking_mode = exclusive")  # no shared memory: it would not be torn
        self.conn = self

    def execute(self, sql: str, values: Sequence[object] = ()) -> apsw.Cursor:
        return self.raw.execute(sql, values)

    def close(self) -> None:
        """The program is gone as well. What SQLite still wants to write then reaches nothing."""
        with suppress(PowerCut, apsw.Error):
            self.raw.close()

    def executescript(self, sql: str) -> None:
        for _ in self.raw.execute(sql):
            pass
