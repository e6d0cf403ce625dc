"""A private key that is kept away from the hub: PEM under a passphrase.

PEM itself stretches a passphrase with 2,048 rounds of PBKDF2, which a thief's graphics card laughs at. So the PEM's own
password is Argon2id of the passphrase, in hexadecimal, and its salt stands in a line above the PEM. With both lines any
tool can open the key in twenty years.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from provisioning.errors import CannotDo

PASSPHRASE_LENGTH_MIN = 12
_SALT_LINE = re.compile(rb"Argon2id m=65536 t=3 lanes=1 length=32 salt=([0-9a-f]{32})\n")


def sealed_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes) -> bytes:
    """`key` as the bytes of its file."""
    salt = secrets.token_bytes(16)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(_password(passphrase, salt)))
    return b"Argon2id m=65536 t=3 lanes=1 length=32 salt=" + salt.hex().encode() + b"\n" + pem


def open_pem(path: Path, passphrase: bytes) -> ec.EllipticCurvePrivateKey:
    """The key in the file; CannotDo when there is none or the passphrase is another."""
    try:
        data = path.read_bytes()
    except OSError:
        raise CannotDo(f"{path} cannot be read: is --home the folder that `tandem-fleet init` made?") from None
    line = _SALT_LINE.match(data)
    if line is None:
        raise CannotDo(f"{path} is not a key that `tandem-fleet init` made")
    try:
        key = load_pem_private_key(data, _password(passphrase, bytes.fromhex(line[1].decode())))
    except ValueError:
        raise CannotDo(f"{path} does not open: the passphrase is another one, or the file is damaged") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CannotDo(f"{path} holds a kind of key we do not use")
    return key


def read_passphrase(path: Path) -> bytes:
    """The passphrase in the first line of the file; CannotDo when it is too short to withstand guessing."""
    try:
        first, *_ = path.read_bytes().splitlines() or [b""]
    except OSError:
        raise CannotDo(f"the passphrase file {path} cannot be read") from None
    if len(first.decode("utf-8", "replace")) < PASSPHRASE_LENGTH_MIN:
        raise CannotDo(
            f"the passphrase in {path} is shorter than {PASSPHRASE_LENGTH_MIN} characters: four words are good"
        )
    return first


def _password(passphrase: bytes, salt: bytes) -> bytes:
    return Argon2id(salt=salt, length=32, iterations=3, lanes=1, memory_cost=65536).derive(passphrase).hex().encode()
