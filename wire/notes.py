"""Sealed notes, envelope version 1: what a specialist wrote, readable by named key holders and nobody in between.

    note  = [body: bin, signer: bin8, sig: bin64]
    body  = [hdr: bin, nonce: bin12, commit: bin32, ct: bin, [[kid: bin8, wrap: bin], …]]
    pt    = len(content) u32be ‖ content ‖ zeros to a multiple of 256
    ct    = AES-256-GCM(CEK, nonce, pt, aad = "tandem-note-v1\\0" ‖ hdr)
    commit= SHA-256("tandem-note-commit-v1\\0" ‖ CEK)
    wrap  = HPKE base mode of CEK, info = "tandem-note-cek-v1\\0" ‖ kid ‖ SHA-256(hdr ‖ nonce ‖ commit ‖ SHA-256(ct))
    sig   = ECDSA("tandem-note-sig-v1\\0" ‖ body)

`commit` makes all recipients see one text; the signature covers every wrap, so that a wrap nobody tests until the
emergency (break-glass) cannot be broken unnoticed. There is no way to make a note without recipients, and no plain form.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from enum import IntEnum
from hashlib import sha256
from hmac import compare_digest

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from wire import signature
from wire.codec import Malformed, decode, encode
from wire.ids import device_id, id_bytes
from wire.signature import Context
from wire.stamp import Stamp
from wire.state import SUITE

PAD_BYTES = 256  # the size of a note says as little as possible about its words
CONTENT_BYTES_MAX = 128 * 1024
SUITE_P256 = 1
TAG_BYTES = 16
FLAG_PART2 = 1


class NoteKind(IntEnum):
    """What a note is to the encounter."""

    FINAL = 1
    ADDENDUM = 2
    VOID = 3
    QUICK = 4
    DRAFT = 5  # sealed under the vault key, never signed, never sent


class Header(Struct, frozen=True, kw_only=True, array_like=True):
    """What the hub may see of a note: ids, times, the coded disposition. Authenticated with the text.

    `note_id`, `encounter`, `shift`: 16 bytes; `parent`: SHA-256 of the body this one adds to or voids; `author`: staff
    id; `epoch`: of the clinical key; `flags`: bit 0 is 42 CFR Part 2; `disposition`: a code of `wire.incident`;
    `person`: [person key version, 16-byte pseudonym], None when it cannot be linked.
    """

    v: int
    kind: int
    note_id: bytes
    encounter: bytes
    parent: bytes | None
    device: str
    author: str | None
    shift: bytes
    stamp: Stamp
    suite: int
    epoch: int
    flags: int
    disposition: str | None
    person: tuple[int, bytes] | None = None

    def __post_init__(self) -> None:
        device_id(self.device)
        for value in (self.note_id, self.encounter, self.shift):
            id_bytes(value)
        if self.kind in (NoteKind.ADDENDUM, NoteKind.VOID) and self.parent is None:
            raise ValueError("an addendum or void names the note it is about")


class NoteContent(Struct, frozen=True, kw_only=True):
    """What is sealed. `text` is the specialist's words; `contact` whom they met; `recommended` a disposition code."""

    text: str
    contact: str | None = None
    recommended: str | None = None


class Recipient(Struct, frozen=True, kw_only=True):
    """A public key that shall be able to open a note: DER of its SubjectPublicKeyInfo, and the kid made of it."""

    kid: bytes
    public: bytes


class Envelope(Struct, frozen=True, kw_only=True):
    """A note taken apart, unopened. `body_sha256` names this very body in addenda, grants and shelves."""

    header: Header
    header_bytes: bytes
    body: bytes
    body_sha256: bytes
    nonce: bytes
    commit: bytes
    ct: bytes
    wraps: tuple[tuple[bytes, bytes], ...]
    signer: bytes
    signature: bytes

    @property
    def kids(self) -> tuple[bytes, ...]:
        """Who can open it."""
        return tuple(kid for kid, _ in self.wraps)


class _Note(Struct, frozen=True, kw_only=True, array_like=True):
    body: bytes
    signer: bytes
    signature: bytes


class _Body(Struct, frozen=True, kw_only=True, array_like=True):
    header: bytes
    nonce: bytes
    commit: bytes
    ct: bytes
    wraps: tuple[tuple[bytes, bytes], ...]


def kid(public_der: bytes) -> bytes:
    """The eight bytes that name a public key."""
    return sha256(public_der).digest()[:8]


def recipient(public: ec.EllipticCurvePublicKey) -> Recipient:
    """`public` as somebody a note can be sealed to."""
    der = signature.public_der(public)
    return Recipient(kid=kid(der), public=der)


def seal(header: Header, content: bytes, recipients: Sequence[Recipient], signer: ec.EllipticCurvePrivateKey) -> bytes:
    """`content` sealed to every one of `recipients` and signed by the device; ValueError when that cannot be done."""
    if not recipients or len({r.kid for r in recipients}) != len(recipients):
        raise ValueError("a note needs recipients, each of them once")
    if header.suite != SUITE_P256:
        raise ValueError(f"suite {header.suite} is not one this program seals with")
    head = encode(header)
    cek, nonce = AESGCM.generate_key(256), secrets.token_bytes(12)
    commit = _commit(cek)
    ct = AESGCM(cek).encrypt(nonce, padded(content), _aad(head))
    bound = _bound(head, nonce, commit, ct)
    wraps = tuple(
        (r.kid, SUITE.encrypt(cek, signature.public_from(r.public), info=_info(r.kid, bound))) for r in recipients
    )
    body = encode(_Body(header=head, nonce=nonce, commit=commit, ct=ct, wraps=wraps))
    name = kid(signature.public_der(signer.public_key()))
    return encode(_Note(body=body, signer=name, signature=signature.sign(Context.NOTE, body, signer)))


def inspect(note: bytes) -> Envelope:
    """`note` taken apart, nothing verified but its form; Malformed when it has not the form of a note."""
    outer = decode(note, _Note)
    body = decode(outer.body, _Body)
    header = decode(body.header, Header)
    if header.v != 1 or header.suite != SUITE_P256:
        raise Malformed("a note of a version or suite this program does not know")
    if len(body.nonce) != 12 or len(body.commit) != 32 or len(body.ct) % PAD_BYTES != TAG_BYTES:
        raise Malformed("a note of the wrong sizes")
    names = [name for name, _ in body.wraps]
    if not names or len(set(names)) != len(names) or any(len(name) != 8 for name in names):
        raise Malformed("a note without recipients, or with one twice")
    return Envelope(
        header=header,
        header_bytes=body.header,
        body=outer.body,
        body_sha256=sha256(outer.body).digest(),
        nonce=body.nonce,
        commit=body.commit,
        ct=body.ct,
        wraps=body.wraps,
        signer=outer.signer,
        signature=outer.signature,
    )


def verify(note: bytes, device: str, key: ec.EllipticCurvePublicKey) -> Envelope:
    """`note` taken apart, its signature by `device`'s `key` verified; Malformed otherwise."""
    envelope = inspect(note)
    if envelope.header.device != device:
        raise Malformed("a note of another device")
    if not compare_digest(envelope.signer, kid(signature.public_der(key))):
        raise Malformed("a note signed by another key")
    signature.verify(Context.NOTE, envelope.body, envelope.signature, key)
    return envelope


def unseal(envelope: Envelope, private: ec.EllipticCurvePrivateKey) -> bytes:
    """The content of a verified `envelope`; Malformed when `private` is not one of its recipients' keys."""
    mine = kid(signature.public_der(private.public_key()))
    wrap = dict(envelope.wraps).get(mine)
    if wrap is None:
        raise Malformed("a note that is not for this key")
    bound = _bound(envelope.header_bytes, envelope.nonce, envelope.commit, envelope.ct)
    try:
        cek = SUITE.decrypt(wrap, private, info=_info(mine, bound))
        if not compare_digest(_commit(cek), envelope.commit):
            raise Malformed("a note whose key is not the one it commits to")
        return unpadded(AESGCM(cek).decrypt(envelope.nonce, envelope.ct, _aad(envelope.header_bytes)))
    except (InvalidTag, ValueError) as wrong:
        raise wrong if isinstance(wrong, Malformed) else Malformed("a note that does not open") from None


def padded(content: bytes) -> bytes:
    """`content` behind its length, with zeros up to a multiple of 256 bytes; ValueError when it is too long."""
    if len(content) > CONTENT_BYTES_MAX:
        raise ValueError(f"a note of {len(content)} bytes; at most {CONTENT_BYTES_MAX}")
    framed = len(content).to_bytes(4, "big") + content
    return framed + bytes(-len(framed) % PAD_BYTES)


def unpadded(plain: bytes) -> bytes:
    """The inverse of `padded`; Malformed when the length does not fit or the rest is not zeros."""
    size = int.from_bytes(plain[:4], "big")
    if size > len(plain) - 4 or any(plain[4 + size :]):
        raise Malformed("a note with wrong padding")
    return plain[4 : 4 + size]


def _commit(cek: bytes) -> bytes:
    return sha256(b"tandem-note-commit-v1\0" + cek).digest()


def _aad(head: bytes) -> bytes:
    return b"tandem-note-v1\0" + head


def _bound(head: bytes, nonce: bytes, commit: bytes, ct: bytes) -> bytes:
    return sha256(head + nonce + commit + sha256(ct).digest()).digest()


def _info(name: bytes, bound: bytes) -> bytes:
    return b"tandem-note-cek-v1\0" + name + bound
