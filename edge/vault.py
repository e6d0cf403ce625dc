"""What a person's PIN opens on this board: a random key that seals drafts and shift keys, and nothing else.

Law: a try is counted on disk before it is checked, so that cutting the power gives nobody another guess. A PIN is never
kept; the tag of the wrapped key is the only thing that can tell a right one from a wrong one, and making that test needs
the board's secret as well.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from wire.codec import Malformed, decode, encode
from wire.ids import name

BOARD_SECRET_FILE = "board.secret"  # noqa: S105 - a file's name
VAULT_FOLDER = "vault"
KEY_BYTES = 32
PIN_DIGITS = 6
TRIES_MAX = 5  # of 10**6 PINs
MEMORY_KIB = 64 * 1024
ITERATIONS = 3
LANES = 1
_SALT_BYTES = 16
_NONCE_BYTES = 12


class VaultKey(Struct, frozen=True, kw_only=True):
    """The key of one person on this terminal, in memory only. `repr` does not show it."""

    staff: str
    key: bytes

    def __repr__(self) -> str:
        return f"VaultKey(staff={self.staff!r})"


class Why(StrEnum):
    """Why a slot stayed shut."""

    WRONG = "wrong"
    LOCKED_OUT = "locked_out"
    NO_SLOT = "no_slot"


class Locked(Struct, frozen=True, kw_only=True):
    """The slot stayed shut. `tries_left`: before it locks until a supervisor releases it."""

    why: Why
    tries_left: int


class SlotTaken(Exception):
    """Somebody has a slot here already; a new one would make what the old one opens unreadable."""


class _Slot(Struct, frozen=True, kw_only=True, array_like=True):
    """A slot on disk. `tries` counts the attempts since the last that succeeded."""

    v: int
    salt: bytes
    nonce: bytes
    wrapped: bytes
    tries: int


def issue(home: Path, staff: str, replace: bool = False) -> str:
    """A new PIN for `staff` on this terminal, said once and kept nowhere; SlotTaken when they have one.

    With `replace` they get a new vault key as well: drafts under the old one can then be opened by nobody.
    """
    path = _path(home, staff)
    with _alone(path.parent):
        if path.exists() and not replace:
            raise SlotTaken(f"{staff} has a PIN here; a new one would make their drafts on this terminal unreadable")
        pin = f"{secrets.randbelow(10**PIN_DIGITS):0{PIN_DIGITS}d}"
        close_slot(path, secrets.token_bytes(KEY_BYTES), pin, pepper(home), _bound(staff))
    return pin


def unlock(home: Path, staff: str, pin: str) -> VaultKey | Locked:
    """The vault key of `staff`, or why it stays shut."""
    path = _path(home, staff)
    opened = open_slot(path, pin, pepper(home), _bound(staff))
    return opened if isinstance(opened, Locked) else VaultKey(staff=staff, key=opened)


def has_slot(home: Path, staff: str) -> bool:
    """Whether `staff` has a PIN on this terminal."""
    return _path(home, staff).exists()


def holders(home: Path) -> tuple[str, ...]:
    """Everybody who has a PIN on this terminal."""
    return tuple(sorted(path.stem for path in (home / VAULT_FOLDER).glob("*.slot")))


def pepper(home: Path) -> bytes:
    """What every derivation on this board needs beside what a person knows (a file: tier T0; see the docs)."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"pepper").derive(_board_secret(home))


def close_slot(path: Path, plain: bytes, phrase: str, pepper: bytes, bound: bytes) -> None:
    """`plain` wrapped under `phrase` in the file `path`, which it replaces whole; `bound` says whose and what it is."""
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    wrapped = AESGCM(_kek(phrase, salt, pepper, bound)).encrypt(nonce, plain, bound)
    _write(path, encode(_Slot(v=1, salt=salt, nonce=nonce, wrapped=wrapped, tries=0)))


def open_slot(path: Path, phrase: str, pepper: bytes, bound: bytes) -> bytes | Locked:
    """What the slot at `path` wraps. The try is on disk before it is made; success sets the count back."""
    if not path.exists():
        return Locked(why=Why.NO_SLOT, tries_left=0)
    with _alone(path.parent):  # two guesses at once would be one count
        slot = _read(path)
        if slot.tries >= TRIES_MAX:
            return Locked(why=Why.LOCKED_OUT, tries_left=0)
        _write(path, encode(_counted(slot, slot.tries + 1)))
        try:
            plain = AESGCM(_kek(phrase, slot.salt, pepper, bound)).decrypt(slot.nonce, slot.wrapped, bound)
        except InvalidTag:
            left = TRIES_MAX - slot.tries - 1
            return Locked(why=Why.WRONG if left else Why.LOCKED_OUT, tries_left=left)
        _write(path, encode(_counted(slot, 0)))
        return plain


def tries_left(home: Path, staff: str) -> int | None:
    """How many wrong PINs `staff` may still enter; None when they have no PIN here."""
    path = _path(home, staff)
    return max(0, TRIES_MAX - _read(path).tries) if path.exists() else None


def argon2id(phrase: str, salt: bytes, pepper: bytes | None) -> bytes:
    """What `phrase` comes to: the one setting for every PIN, passphrase and spoken code."""
    return Argon2id(
        salt=salt, length=KEY_BYTES, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY_KIB, secret=pepper
    ).derive(phrase.encode())


def _kek(phrase: str, salt: bytes, pepper: bytes, bound: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=bound).derive(argon2id(phrase, salt, pepper))


def _bound(staff: str) -> bytes:
    return b"tandem-vault-slot-v1\0" + name(staff).encode()


def _path(home: Path, staff: str) -> Path:
    return home / VAULT_FOLDER / f"{name(staff)}.slot"


def _counted(slot: _Slot, tries: int) -> _Slot:
    return _Slot(v=slot.v, salt=slot.salt, nonce=slot.nonce, wrapped=slot.wrapped, tries=tries)


def _read(path: Path) -> _Slot:
    slot = decode(path.read_bytes(), _Slot)
    if slot.v != 1 or len(slot.salt) != _SALT_BYTES or len(slot.nonce) != _NONCE_BYTES or slot.tries < 0:
        raise Malformed("a slot file of another version or of wrong sizes")
    return slot


def _board_secret(home: Path) -> bytes:
    path = home / BOARD_SECRET_FILE
    with _alone(home):
        if not path.exists():
            _write(path, secrets.token_bytes(KEY_BYTES))
        secret = path.read_bytes()
    if len(secret) != KEY_BYTES:
        raise Malformed(f"{BOARD_SECRET_FILE} is damaged; restore the board from its bundle")
    return secret


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process and one thread at a time in `folder`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(path: Path, data: bytes) -> None:
    """`data` in place of `path`, whole or not at all, and on the disk when this returns."""
    new = path.with_name(f".{path.name}.new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
