"""The break-glass key, for the day when every clinical key is lost: three people hold a share, any two can open notes.

Each pair of shares opens a blob of its own that holds the whole key: 32 bytes of it under AES-256-GCM with
HKDF-SHA256(share ‖ share). There is no secret-sharing arithmetic to get wrong. The key itself is written nowhere.
"""

from __future__ import annotations

import secrets
from itertools import combinations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from provisioning.errors import CannotDo

SHARES = 3
SHARE_BYTES = 32
BLOB_BYTES = 48
PAIRS = tuple(combinations(range(1, SHARES + 1), 2))  # the order of the blobs: 1+2, 1+3, 2+3
_NONCE = bytes(12)  # each blob has a key of its own, used once


class Split(Struct, frozen=True, kw_only=True):
    """`shares`: for three people, on paper; `blobs`: no secret, kept with the fleet's keys."""

    shares: tuple[bytes, ...]
    blobs: tuple[bytes, ...]


def split(key: ec.EllipticCurvePrivateKey) -> Split:
    """`key` (P-256) so that any two of three shares bring it back."""
    scalar = key.private_numbers().private_value.to_bytes(32, "big")
    shares = tuple(secrets.token_bytes(SHARE_BYTES) for _ in range(SHARES))
    blobs = tuple(
        AESGCM(_pair_key(pair, shares[pair[0] - 1], shares[pair[1] - 1])).encrypt(_NONCE, scalar, None)
        for pair in PAIRS
    )
    return Split(shares=shares, blobs=blobs)


def joined(first: tuple[int, bytes], second: tuple[int, bytes], blobs: tuple[bytes, ...]) -> ec.EllipticCurvePrivateKey:
    """The key, from two numbered shares in any order; CannotDo when they do not open it."""
    (low, low_share), (high, high_share) = sorted([first, second])
    if (low, high) not in PAIRS or len(blobs) != len(PAIRS):
        raise CannotDo("two different shares, numbered 1 to 3, and all three blobs are needed")
    try:
        opener = AESGCM(_pair_key((low, high), low_share, high_share))
        scalar = opener.decrypt(_NONCE, blobs[PAIRS.index((low, high))], None)
    except InvalidTag:
        raise CannotDo(
            f"shares {low} and {high} do not open the break-glass key: check each for a typing mistake"
        ) from None
    return ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())


def _pair_key(pair: tuple[int, int], low_share: bytes, high_share: bytes) -> bytes:
    info = b"tandem-break-glass-v1\0" + bytes(pair)
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(low_share + high_share)
