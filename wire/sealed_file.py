"""A backup of the hub that only the bench can open: a stream sealed to one public key, in pieces that cannot be cut or moved.

    magic ‖ length of wrap u16be ‖ wrap ‖ piece ‖ piece … ‖ last piece
    wrap  = HPKE (P-256, HKDF-SHA256, AES-256-GCM) of a random 32-byte key, info = magic
    piece = AES-256-GCM of up to 1 MiB; nonce = number of the piece (11 bytes) ‖ 1 for the last one, 0 for the others

The key is used for this file only, so that counting makes every nonce new. A file that was cut ends without a last piece.
"""

from __future__ import annotations

import secrets
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"tandem-backup-sealed-1\n"
PIECE_BYTES = 1 << 20
_TAG_BYTES = 16
_WRAP_BYTES_MAX = 1024
_SUITE = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class NotOpened(Exception):
    """The key is another one, or the file was cut or changed."""


class Sealing:
    """A file to write to; what reaches `file` is sealed to `recipient`. Whole after `finish`."""

    def __init__(self, file: BinaryIO, recipient: ec.EllipticCurvePublicKey) -> None:
        key = secrets.token_bytes(32)
        wrap = _SUITE.encrypt(key, recipient, info=MAGIC)
        file.write(MAGIC + len(wrap).to_bytes(2, "big") + wrap)
        self._file, self._cipher, self._waiting, self._number = file, AESGCM(key), bytearray(), 0

    def write(self, data: bytes, /) -> int:
        """Take `data`; it is written when a piece is full and something comes after it."""
        self._waiting += data
        while len(self._waiting) > PIECE_BYTES:
            self._put(bytes(self._waiting[:PIECE_BYTES]), is_last=False)
            del self._waiting[:PIECE_BYTES]
        return len(data)

    def finish(self) -> None:
        """Write the last piece."""
        self._put(bytes(self._waiting), is_last=True)

    def _put(self, piece: bytes, *, is_last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, is_last), piece, None))
        self._number += 1


class Opening:
    """A file to read from: what was sealed in `file`, whose magic has been read. NotOpened while opening or reading."""

    def __init__(self, file: BinaryIO, key: ec.EllipticCurvePrivateKey) -> None:
        length = int.from_bytes(file.read(2), "big")
        if length > _WRAP_BYTES_MAX:
            raise NotOpened
        try:
            self._cipher = AESGCM(_SUITE.decrypt(file.read(length), key, info=MAGIC))
        except (InvalidTag, ValueError):
            raise NotOpened from None
        self._file, self._number, self._is_over = file, 0, False
        self._next = self._read_piece()
        self._open = bytearray()

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; none at the end. Never without a size: a backup does not fit into memory."""
        if size < 0:
            raise ValueError("read a backup in parts")
        while len(self._open) < size and not self._is_over:
            self._open_piece()
        data = bytes(self._open[:size])
        del self._open[:size]
        return data

    def _open_piece(self) -> None:
        sealed, self._next = self._next, self._read_piece()
        self._is_over = not self._next
        try:
            self._open += self._cipher.decrypt(_nonce(self._number, self._is_over), sealed, None)
        except InvalidTag:
            raise NotOpened from None
        self._number += 1

    def _read_piece(self) -> bytes:
        return self._file.read(PIECE_BYTES + _TAG_BYTES)


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])
