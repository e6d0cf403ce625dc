"""What the bench handed to the hub: read and checked once, before anything starts."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from hub.settings import SettingsError
from wire.codec import Malformed
from wire.keys import (
    HUB_KEY_FILES,
    KEY_STATEMENT,
    NOTE_KEYS,
    ROOT_CERTIFICATE,
    SNAPSHOT_KEY,
    KeyStatement,
    NoteKeyList,
    Role,
    open_note_keys,
    open_statement,
)
from wire.signature import public_der


class HubKeys(Struct, frozen=True, kw_only=True):
    """`key_statement` and `note_keys` are passed on to terminals as they are; their opened forms are for the hub."""

    snapshot: ec.EllipticCurvePrivateKey
    key_statement: bytes
    note_keys: bytes
    statement: KeyStatement
    note_key_list: NoteKeyList


def load(folder: Path) -> HubKeys:
    """The keys in `folder`; SettingsError when one is missing or they do not belong together."""
    for name in HUB_KEY_FILES:
        if not (folder / name).is_file():
            raise SettingsError(f"{folder / name} is missing; copy it from the bench's hub folder again")
    statement_bytes, note_keys = (folder / KEY_STATEMENT).read_bytes(), (folder / NOTE_KEYS).read_bytes()
    try:
        root = x509.load_pem_x509_certificate((folder / ROOT_CERTIFICATE).read_bytes()).public_key()
        snapshot = load_pem_private_key((folder / SNAPSHOT_KEY).read_bytes(), password=None)
        if not isinstance(root, ec.EllipticCurvePublicKey) or not isinstance(snapshot, ec.EllipticCurvePrivateKey):
            raise Malformed("not elliptic-curve keys")
        statement = open_statement(statement_bytes, root)
        listed = open_note_keys(note_keys, statement)
        listed.recipients()
        if public_der(statement.key(Role.SNAPSHOT)) != public_der(snapshot.public_key()):
            raise Malformed(f"{SNAPSHOT_KEY} is not the one that {KEY_STATEMENT} names")
    except (Malformed, ValueError, TypeError) as wrong:
        raise SettingsError(
            f"the keys in {folder} do not fit together ({wrong}); copy them from the bench again"
        ) from None
    return HubKeys(
        snapshot=snapshot,
        key_statement=statement_bytes,
        note_keys=note_keys,
        statement=statement,
        note_key_list=listed,
    )
