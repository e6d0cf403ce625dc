"""A clinical key on its way to a desk: only that desk, only that clinician, only with the code; and words for people."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec.structs import replace

from provisioning import grants
from wire.codec import Malformed, decode
from wire.keys import ClinicalGrant, grant_info
from wire.notes import kid
from wire.signature import public_der
from wire.state import SUITE
from wire.words import WORDS, four_words

CLINICAL = ec.generate_private_key(ec.SECP256R1())
DESK = ec.generate_private_key(ec.SECP256R1())
CODE = "ABCDE23456"


def opened(grant: ClinicalGrant, desk: ec.EllipticCurvePrivateKey, code: str) -> bytes:
    """As a desk opens it, written from the description in `wire.keys` and nothing else."""
    info = grant_info(grant.epoch, grant.desk, grant.staff)
    salt, nonce, ct = decode(SUITE.decrypt(grant.sealed, desk, info=info), tuple[bytes, bytes, bytes])
    key = Argon2id(salt=salt, length=32, iterations=3, lanes=1, memory_cost=64 * 1024).derive(code.encode())
    assert (len(salt), len(nonce)) == (16, 12)
    return AESGCM(key).decrypt(nonce, ct, info)


@pytest.fixture(scope="module")
def granted() -> ClinicalGrant:
    return decode(grants.grant(CLINICAL, 1, "t-desk", "s-7", DESK.public_key(), CODE), ClinicalGrant)


def test_the_desk_opens_it_with_the_code(granted: ClinicalGrant) -> None:
    assert opened(granted, DESK, CODE) == CLINICAL.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert granted.kid == kid(public_der(CLINICAL.public_key()))
    assert (granted.desk, granted.staff, granted.epoch) == ("t-desk", "s-7", 1)


@pytest.mark.parametrize(
    ("change", "desk", "code"),
    [
        (lambda g: g, ec.generate_private_key(ec.SECP256R1()), CODE),
        (lambda g: g, DESK, "ABCDE23457"),
        (lambda g: replace(g, desk="t-other"), DESK, CODE),
        (lambda g: replace(g, staff="s-8"), DESK, CODE),
        (lambda g: replace(g, epoch=2), DESK, CODE),
    ],
    ids=["another desk's key", "another code", "another desk", "another clinician", "another epoch"],
)
def test_it_opens_for_nobody_else(
    granted: ClinicalGrant,
    change: Callable[[ClinicalGrant], ClinicalGrant],
    desk: ec.EllipticCurvePrivateKey,
    code: str,
) -> None:
    with pytest.raises(InvalidTag):
        opened(change(granted), desk, code)


def test_the_hub_that_carries_it_learns_no_key(granted: ClinicalGrant) -> None:
    secret = CLINICAL.private_numbers().private_value.to_bytes(32, "big")
    inner = SUITE.decrypt(granted.sealed, DESK, info=grant_info(1, "t-desk", "s-7"))
    assert secret not in granted.sealed
    assert secret not in inner  # nor does a hub that passed off a key of its own


@pytest.mark.parametrize(("desk", "staff"), [("hub-desk", "s-7"), ("t desk", "s-7"), ("t-desk", "s 7"), ("t-desk", "")])
def test_names_that_are_none_are_refused(desk: str, staff: str) -> None:
    with pytest.raises(Malformed):
        grants.grant(CLINICAL, 1, desk, staff, DESK.public_key(), CODE)


def test_a_code_can_be_said_and_typed_without_doubt() -> None:
    codes = {grants.new_code() for _ in range(100)}
    assert len(codes) == 100
    assert not set("".join(codes)) & set("IiLlOo01")
    assert {len(code) for code in codes} == {10}


def test_there_are_256_different_plain_words() -> None:
    assert len(set(WORDS)) == 256
    assert all(word.isascii() and word.isalpha() and word.islower() and 3 <= len(word) <= 8 for word in WORDS)


def test_both_screens_show_the_same_four_words_for_one_key_only() -> None:
    one, other = sha256(b"one").digest(), sha256(b"other").digest()
    assert four_words(one) == ("cloud", "valley", "tunnel", "bacon")  # of all versions, for ever
    assert four_words(other) != four_words(one)
