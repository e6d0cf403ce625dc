"""The bench's half of a hub's backups: the key that they are sealed to, and opening one.

The private key never comes near the hub, so whoever takes a hub's disk or the share its backups are copied to has sealed
files. With the key goes every backup sealed to it; it lies where the root key lies, and is copied where that is copied.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from provisioning.ceremony import HUB
from provisioning.errors import CannotDo
from provisioning.files import sync_folder, write_new
from provisioning.keyfile import open_pem, sealed_pem
from wire.keys import BACKUP_PUBLIC
from wire.sealed_file import MAGIC, NotOpened, Opening

BACKUP_KEY = "backup.key"
CHUNK_BYTES = 1 << 20


def make_key(home: Path, passphrase: bytes) -> Path:
    """Make the key; its public half, which goes to the hub. CannotDo when there is one: older backups need it."""
    private, public = home / BACKUP_KEY, home / HUB / BACKUP_PUBLIC
    if private.exists():
        raise CannotDo(f"{private} is there already, and backups are sealed to it; keep it")
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        write_new(private, sealed_pem(key, passphrase))
        write_new(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        sync_folder(home)
        sync_folder(home / HUB)
    except OSError as wrong:
        raise CannotDo(
            f"{home} cannot be written ({wrong.strerror}); is it the folder of `tandem-fleet init`?"
        ) from None
    return public


def open_backup(sealed: Path, home: Path, passphrase: bytes, out: Path) -> None:
    """Write what `sealed` holds to `out`, which must not exist; CannotDo when it does not open, and nothing is left."""
    key = open_pem(home / BACKUP_KEY, passphrase)
    part = out.with_name(f".{out.name}.part")
    try:
        with sealed.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise CannotDo(f"{sealed} is not sealed; restore it as it is: tandem-hub restore")
            if out.exists():
                raise CannotDo(f"{out} is there already: choose a new file")
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as plain:
                _copy(Opening(file, key), plain)
        part.rename(out)
        sync_folder(out.parent)
    except NotOpened:
        raise CannotDo(
            f"{sealed} was sealed to another key, or was cut or changed on its way: take another copy"
        ) from None
    except OSError as wrong:
        raise CannotDo(f"{wrong.filename or out}: {wrong.strerror}; nothing was written") from None
    finally:
        part.unlink(missing_ok=True)


def _copy(opened: Opening, plain: BinaryIO) -> None:
    while piece := opened.read(CHUNK_BYTES):
        plain.write(piece)
    plain.flush()
    os.fsync(plain.fileno())
