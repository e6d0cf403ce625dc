"""The sealed note: no bit of it can be changed, cut or read by a stranger, and none can be made without readers."""

from __future__ import annotations

import hmac
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from wire import notes, signature
from wire.codec import Malformed, decode, encode
from wire.keys import NoteKey, NoteKeyList, Role
from wire.notes import Header, NoteContent, NoteKind
from wire.stamp import Stamp
from wire.state import SUITE

DEVICE = ec.derive_private_key(11, ec.SECP256R1())
CLINIC = ec.derive_private_key(12, ec.SECP256R1())
GLASS = ec.derive_private_key(13, ec.SECP256R1())
SHIFT = ec.derive_private_key(14, ec.SECP256R1())
STRANGER = ec.derive_private_key(15, ec.SECP256R1())
READERS = (CLINIC, GLASS, SHIFT)
WORDS = b"He says he has not slept since Tuesday."


def header(**over: object) -> Header:
    base: dict[str, object] = {
        "v": 1,
        "kind": NoteKind.FINAL,
        "note_id": b"n" * 16,
        "encounter": b"e" * 16,
        "parent": None,
        "device": "vehicle-2",
        "author": "s-rowan",
        "shift": b"s" * 16,
        "stamp": Stamp(boot=b"b" * 16, mono_ms=5, wall_ms=None, quality="none"),
        "suite": 1,
        "epoch": 1,
        "flags": 0,
        "disposition": "referred_warm",
    }
    return Header(**(base | over))


def sealed(content: bytes = WORDS, head: Header | None = None) -> bytes:
    readers = [notes.recipient(key.public_key()) for key in READERS]
    return notes.seal(head or header(), content, readers, DEVICE)


def opened(note: bytes, private: ec.EllipticCurvePrivateKey) -> bytes:
    return notes.unseal(notes.verify(note, "vehicle-2", DEVICE.public_key()), private)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=3000))
def test_every_reader_reads_exactly_what_was_sealed(content: bytes) -> None:
    note = sealed(content)
    assert [opened(note, key) for key in READERS] == [content] * 3
    with pytest.raises(Malformed):
        opened(note, STRANGER)


def test_every_flipped_byte_is_refused() -> None:
    note = sealed()
    accepted = []
    for at in range(len(note)):
        for flip in (0x01, 0x80):
            forged = note[:at] + bytes([note[at] ^ flip]) + note[at + 1 :]
            try:
                accepted.append((at, opened(forged, CLINIC)))
            except Malformed:
                continue
    assert accepted == []


def test_every_truncation_and_every_tail_is_refused() -> None:
    note = sealed()
    for size in range(len(note)):
        with pytest.raises(Malformed):
            notes.verify(note[:size], "vehicle-2", DEVICE.public_key())
    with pytest.raises(Malformed):
        notes.verify(note + b"\0", "vehicle-2", DEVICE.public_key())


def test_the_second_form_of_the_signature_is_refused() -> None:
    outer = decode(sealed(), notes._Note)
    s = int.from_bytes(outer.signature[32:], "big")
    other = (signature._ORDER["secp256r1"] - s).to_bytes(32, "big")
    with pytest.raises(Malformed, match="second form"):
        notes.verify(encode([outer.body, outer.signer, outer.signature[:32] + other]), "vehicle-2", DEVICE.public_key())


def test_a_note_of_another_device_or_key_is_refused() -> None:
    note = sealed()
    with pytest.raises(Malformed):
        notes.verify(note, "vehicle-3", DEVICE.public_key())
    with pytest.raises(Malformed):
        notes.verify(note, "vehicle-2", STRANGER.public_key())


def test_a_header_signed_again_by_a_stolen_device_key_does_not_open() -> None:
    outer = decode(sealed(), notes._Note)
    body = decode(outer.body, notes._Body)
    moved = encode(header(encounter=b"x" * 16))
    forged_body = encode([moved, body.nonce, body.commit, body.ct, body.wraps])
    sig = signature.sign(signature.Context.NOTE, forged_body, DEVICE)
    with pytest.raises(Malformed):
        opened(encode([forged_body, outer.signer, sig]), CLINIC)


def test_a_wrap_that_is_another_readers_copy_does_not_open() -> None:
    outer = decode(sealed(), notes._Note)
    body = decode(outer.body, notes._Body)
    (first, a), (second, b), third = body.wraps
    forged_body = encode([body.header, body.nonce, body.commit, body.ct, [(first, b), (second, a), third]])
    sig = signature.sign(signature.Context.NOTE, forged_body, DEVICE)
    with pytest.raises(Malformed):
        opened(encode([forged_body, outer.signer, sig]), CLINIC)


def test_a_note_without_readers_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="needs recipients"):
        notes.seal(header(), WORDS, [], DEVICE)
    twice = [notes.recipient(CLINIC.public_key())] * 2
    with pytest.raises(ValueError, match="once"):
        notes.seal(header(), WORDS, twice, DEVICE)


def test_a_list_of_keys_without_clinic_or_break_glass_gives_no_readers() -> None:
    def key(role: Role, epoch: int) -> NoteKey:
        der = signature.public_der(CLINIC.public_key() if role == Role.CLINICAL else GLASS.public_key())
        return NoteKey(kid=notes.kid(der), suite=1, public=der, epoch=epoch, role=role, not_after_ms=1)

    for keys in ((), (key(Role.CLINICAL, 1),), (key(Role.BREAK_GLASS, 0),)):
        with pytest.raises(Malformed):
            NoteKeyList(v=1, number=1, keys=keys).recipients()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5000))
def test_padding_hides_the_length_and_gives_it_back(size: int) -> None:
    padded = notes.padded(b"x" * size)
    assert len(padded) % 256 == 0 and len(padded) < size + 4 + 256
    assert notes.unpadded(padded) == b"x" * size


def test_wrong_padding_is_refused() -> None:
    padded = bytearray(notes.padded(b"abc"))
    padded[-1] = 1
    with pytest.raises(Malformed):
        notes.unpadded(bytes(padded))
    with pytest.raises(Malformed):
        notes.unpadded(b"\xff\xff\xff\xff" + bytes(252))


def test_the_words_are_nowhere_in_the_note() -> None:
    note = sealed(encode(NoteContent(text=WORDS.decode())))
    assert WORDS not in note and b"Tuesday" not in note
    envelope = notes.inspect(note)
    assert envelope.body_sha256 == sha256(envelope.body).digest()
    assert len(envelope.kids) == 3


def test_a_shorter_kind_of_header_must_name_what_it_adds_to() -> None:
    with pytest.raises(ValueError, match="names the note"):
        header(kind=NoteKind.ADDENDUM)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_noise_is_refused_without_another_exception(noise: bytes) -> None:
    with pytest.raises(Malformed):
        notes.inspect(noise)


def extract(salt: bytes, suite: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt, b"HPKE-v1" + suite + label + material, "sha256")


def expand(secret: bytes, suite: bytes, label: bytes, info: bytes, size: int) -> bytes:
    labeled = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return HKDFExpand(SHA256(), size, labeled).derive(secret)


def rfc9180_open(sealed_text: bytes, private: ec.EllipticCurvePrivateKey, info: bytes, aad: bytes) -> bytes:
    """RFC 9180 base mode written out by hand: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM."""
    enc, ct = sealed_text[:65], sealed_text[65:]
    mine = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), enc)
    kem, suite = b"KEM" + bytes.fromhex("0010"), b"HPKE" + bytes.fromhex("001000010002")
    shared = expand(
        extract(b"", kem, b"eae_prk", private.exchange(ec.ECDH(), theirs)), kem, b"shared_secret", enc + mine, 32
    )
    context = b"\0" + extract(b"", suite, b"psk_id_hash", b"") + extract(b"", suite, b"info_hash", info)
    secret = extract(shared, suite, b"secret", b"")
    key = expand(secret, suite, b"key", context, 32)
    nonce = expand(secret, suite, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, ct, aad)


def test_what_we_wrap_is_what_rfc_9180_says() -> None:
    """The standard's own vector opens with the hand-written form, and the hand-written form opens ours."""
    vector_key = ec.derive_private_key(
        int("317f915db7bc629c48fe765587897e01e282d3e8445f79f27f65d031a88082b2", 16), ec.SECP256R1()
    )
    vector_text = bytes.fromhex(
        "04c06b4f6bebc7bb495cb797ab753f911aff80aefb86fd8b6fcc35525f3ab5f03e0b21bd31a86c6048af3cb2d98e0d3bf01da5cc4c39ff"
        "5370d331a4f1f7d5a4e058c61a45059d0c5704560e9d88b564a8b63f1364b8d1fcb3c4c6ddc1d291742465e902cd216f8908da49f8f96f"
    )
    assert (
        rfc9180_open(vector_text, vector_key, b"Ode on a Grecian Urn", b"Count-0") == b"Beauty is truth, truth beauty"
    )
    ours = SUITE.encrypt(WORDS, CLINIC.public_key(), info=b"some info")
    assert rfc9180_open(ours, CLINIC, b"some info", b"") == WORDS
