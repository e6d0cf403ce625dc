"""A clinical key on its way to one clinician at one desk: sealed to the desk, and under a code that is said aloud.

The hub carries the grant and knows the desk's key only by hearsay: it could pass off its own. That is why two people
compare four words before, and why a code that never travels closes the inner layer.
"""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec import Struct

from wire.codec import encode
from wire.ids import device_id, name
from wire.keys import ClinicalGrant, grant_info
from wire.notes import kid
from wire.signature import public_der
from wire.state import SUITE

CODE_LENGTH = 10
CODE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # nothing that sounds or looks like another: 10 of these are 49 bits


class _Inner(Struct, frozen=True, kw_only=True, array_like=True):
    salt: bytes
    nonce: bytes
    ct: bytes


def new_code() -> str:
    """What the custodian says to the clinician."""
    return "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))


def grant(
    private: ec.EllipticCurvePrivateKey,
    epoch: int,
    desk: str,
    staff: str,
    kem: ec.EllipticCurvePublicKey,
    code: str,
) -> bytes:
    """The clinical `private` key of `epoch` for `staff` at `desk`, whose key for sealed things is `kem`."""
    info = grant_info(epoch, device_id(desk), name(staff))
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    key = Argon2id(salt=salt, length=32, iterations=3, lanes=1, memory_cost=65536).derive(code.encode())
    inner = _Inner(salt=salt, nonce=nonce, ct=AESGCM(key).encrypt(nonce, der, info))
    sealed = SUITE.encrypt(encode(inner), kem, info=info)
    own = kid(public_der(private.public_key()))
    return encode(ClinicalGrant(v=1, desk=desk, staff=staff, epoch=epoch, kid=own, sealed=sealed))
