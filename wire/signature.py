"""Signatures: raw r‖s over context ‖ 0 ‖ bytes, low s only.

One key signs many kinds of thing; the context keeps a signature on one kind from passing as a signature on another. Of
the two valid forms of an ECDSA signature only the one with the smaller s is accepted, so that nobody can make a second
valid form of the same message.
"""

from __future__ import annotations

from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from msgspec import Struct

from wire.codec import Malformed, decode, encode


class Context(StrEnum):
    """What a signature is a signature on."""

    RECORD = "tandem-record-v1"
    ALARM = "tandem-alarm-v1"
    LIVE = "tandem-live-v1"
    LIVE_2 = "tandem-live-v2"
    PRESENCE = "tandem-presence-v1"
    HUB_PRESENCE = "tandem-hub-presence-v1"
    STATE = "tandem-state-v1"
    RECEIPT = "tandem-receipt-v1"
    SEALED = "tandem-sealed-v1"
    NOTE = "tandem-note-sig-v1"
    NOTE_GRANT = "tandem-note-grant-v1"
    NOTE_KEYS = "tandem-notekeys-v1"
    KEYS = "tandem-keys-v1"
    BUNDLE = "tandem-bundle-v1"
    DEVICE_API = "tandem-device-api-v1"
    WIPE = "tandem-wipe-v1"


class Signed(Struct, frozen=True, kw_only=True, array_like=True):
    """`payload` exactly as signed, and its `signature` (64 bytes by P-256 keys, 96 by the P-384 root)."""

    payload: bytes
    signature: bytes


_ORDER = {
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": int(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16
    ),
}


def sign(context: Context, payload: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The signature of `key` on `payload` as a thing of kind `context`."""
    r, s = decode_dss_signature(key.sign(_tagged(context, payload), ec.ECDSA(_hash(key.curve))))
    order = _order(key.curve)
    size = key.curve.key_size // 8
    return r.to_bytes(size, "big") + min(s, order - s).to_bytes(size, "big")


def verify(context: Context, payload: bytes, signature: bytes, key: ec.EllipticCurvePublicKey) -> None:
    """Nothing when `signature` is the one `key` made on `payload`; Malformed otherwise."""
    size = key.curve.key_size // 8
    if len(signature) != 2 * size:
        raise Malformed("signature of the wrong length")
    r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
    if s > _order(key.curve) // 2:
        raise Malformed("signature in its second form")
    try:
        key.verify(encode_dss_signature(r, s), _tagged(context, payload), ec.ECDSA(_hash(key.curve)))
    except InvalidSignature:
        raise Malformed("wrong signature") from None


def signed(context: Context, payload: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """`payload` with its signature, as the bytes of a `Signed`."""
    return encode(Signed(payload=payload, signature=sign(context, payload, key)))


def opened(context: Context, data: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    """The payload of the `Signed` in `data`, its signature verified; Malformed otherwise."""
    message = decode(data, Signed)
    verify(context, message.payload, message.signature, key)
    return message.payload


def payload_of(data: bytes) -> bytes:
    """The payload of the `Signed` in `data`, *unverified*: only to look up whose key must verify it."""
    return decode(data, Signed).payload


def public_der(key: ec.EllipticCurvePublicKey) -> bytes:
    """`key` as SubjectPublicKeyInfo DER, the one form in which public keys travel and are hashed."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def public_from(der: bytes) -> ec.EllipticCurvePublicKey:
    """The elliptic-curve key in `der`; Malformed when there is none, or on a curve we do not use."""
    try:
        key = load_der_public_key(der)
    except ValueError:
        raise Malformed("not a public key") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _ORDER:
        raise Malformed("a public key of a kind we do not use")
    return key


def _tagged(context: Context, payload: bytes) -> bytes:
    return context.encode() + b"\0" + payload


def _order(curve: ec.EllipticCurve) -> int:
    if curve.name not in _ORDER:
        raise Malformed("a curve we do not use")
    return _ORDER[curve.name]


def _hash(curve: ec.EllipticCurve) -> HashAlgorithm:
    return SHA384() if curve.key_size == 384 else SHA256()
