"""Who is aboard: one open shift at a time, with the key that lets its author read this shift's notes until sign-off.

The shift survives a restart; its private key is kept under the author's vault key and is gone when they sign off.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key
from msgspec import Struct
from sqlite_utils import Database

from edge import outbox
from edge.errors import Refused
from edge.outbox import Signer
from edge.vault import VaultKey
from wire import signature
from wire.codec import Malformed
from wire.facts import ShiftFact
from wire.ids import ID_BYTES, name
from wire.records import Kind
from wire.stamp import Stamp

_NONCE_BYTES = 12


class Shift(Struct, frozen=True, kw_only=True):
    """`id`: 16 bytes; `staff`: who signed on; `began_ms`: wall time for people, 0 when the board had none."""

    id: bytes
    unit: str
    staff: str
    began_ms: int


def current(db: Database) -> Shift | None:
    """The open shift; None when nobody is signed on."""
    row = db.execute("select shift, unit, staff, began_ms from shift where ended_ms is null").fetchone()
    return None if row is None else Shift(id=row[0], unit=row[1], staff=row[2], began_ms=row[3])


def sign_on(db: Database, signer: Signer, stamp: Stamp, key: VaultKey, unit: str) -> Shift:
    """Open a shift of `key.staff` on `unit` and owe the hub the fact; Refused while another one is open."""
    if (other := current(db)) is not None:
        raise Refused("signed_on", f"{other.staff} is signed on here. Sign off first.")
    shift = Shift(id=secrets.token_bytes(ID_BYTES), unit=unit, staff=name(key.staff), began_ms=stamp.wall_ms or 0)
    private = ec.generate_private_key(ec.SECP256R1())
    # Rows of earlier shifts are kept by nobody: their notes are at the hub, or still owed in the outbox.
    db.execute("delete from note where seq is not null and seq <= (select through from log)")
    db.execute(
        "insert into shift (shift, unit, staff, began_ms, shift_key) values (?, ?, ?, ?, ?)",
        [shift.id, shift.unit, shift.staff, shift.began_ms, _wrapped(shift, private, key)],
    )
    public = signature.public_der(private.public_key())
    fact = ShiftFact(shift=shift.id, unit=unit, staff=(shift.staff,), on=True, shift_key=public)
    outbox.append(db, signer, stamp, Kind.SHIFT, fact)
    return shift


def key_of(db: Database, shift: Shift, key: VaultKey) -> ec.EllipticCurvePrivateKey:
    """The private key of `shift`, opened with its author's vault key; Malformed when it is destroyed or not theirs."""
    row = db.execute("select shift_key from shift where shift = ?", [shift.id]).fetchone()
    if row is None or row[0] is None:
        raise Malformed("a shift whose key is destroyed")
    try:
        der = AESGCM(key.key).decrypt(row[0][:_NONCE_BYTES], row[0][_NONCE_BYTES:], _bound(shift))
    except InvalidTag:
        raise Malformed("a shift key of somebody else") from None
    private = load_der_private_key(der, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise Malformed("a shift key of a kind we do not use")
    return private


def sign_off(db: Database, signer: Signer, stamp: Stamp) -> Shift | None:
    """Close the open shift, destroy its key and owe the hub the fact; None when nobody was signed on."""
    shift = current(db)
    if shift is None:
        return None
    db.execute(
        "update shift set ended_ms = ?, shift_key = null where shift = ?", [stamp.wall_ms or shift.began_ms, shift.id]
    )
    fact = ShiftFact(shift=shift.id, unit=shift.unit, staff=(shift.staff,), on=False)
    outbox.append(db, signer, stamp, Kind.SHIFT, fact)
    return shift


def _wrapped(shift: Shift, private: ec.EllipticCurvePrivateKey, key: VaultKey) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return nonce + AESGCM(key.key).encrypt(nonce, der, _bound(shift))


def _bound(shift: Shift) -> bytes:
    return b"tandem-shift-key-v1\0" + shift.id + shift.staff.encode()
