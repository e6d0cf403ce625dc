"""The desk: the one place where somebody else's note is opened, by a clinician who holds the agency's key.

What comes from the hub is believed only up to the agency root: the certificate of the writing device is verified here,
then the note's signature, so that a hub can withhold a note and cannot make one up. The key is in memory only while a
clinician has said the passphrase, and every opening is owed to the audit before a word of the note is shown.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key
from msgspec import Struct
from sqlite_utils import Database

from edge import held, outbox, vault
from edge.errors import Refused
from edge.identity import Identity
from edge.outbox import Signer
from edge.vault import Locked
from wire import notes as sealed_notes
from wire import signature
from wire.certificates import certificate, device_of, public_key, verify_device
from wire.codec import Malformed, decode, encode
from wire.facts import AuditFact
from wire.ids import name
from wire.keys import ClinicalGrant, grant_info
from wire.notes import Envelope, NoteContent, kid
from wire.records import Kind
from wire.stamp import Stamp
from wire.state import SUITE, SealedDelivery, Shelf, ShelfEntry
from wire.topics import Section

DESK_FOLDER = "desk"
PASSPHRASE_CHARS_MIN = 12  # it guards every note of an epoch, not one shift's
EPOCHS_MAX = 64  # keys of past epochs that one clinician keeps; an epoch is a quarter, or a leaver
WANTED_MAX = 500  # ids in one request; the rest is asked for once these have come


class DeskKeys(Struct, frozen=True, kw_only=True):
    """The clinical keys of one clinician, in memory only: by kid."""

    staff: str
    by_kid: dict[bytes, ec.EllipticCurvePrivateKey]


class Listed(Struct, frozen=True, kw_only=True):
    """A note of the shelf: as the hub lists it, and whether its sealed bytes are here yet."""

    entry: ShelfEntry
    is_here: bool


class Opened(Struct, frozen=True, kw_only=True):
    """A note, open, and the shelf's line about it. `repr` shows no content."""

    entry: ShelfEntry
    envelope: Envelope
    content: NoteContent

    def __repr__(self) -> str:
        return f"Opened({self.entry.note_id.hex()})"


class Denied(Struct, frozen=True, kw_only=True):
    """Why a note stayed shut, in plain words; already owed to the audit."""

    reason: str


class _Inner(Struct, frozen=True, kw_only=True, array_like=True):
    salt: bytes
    nonce: bytes
    ct: bytes


class _KeptKey(Struct, frozen=True, kw_only=True, array_like=True):
    epoch: int
    private: bytes


class _KeptKeys(Struct, frozen=True, kw_only=True, array_like=True):
    keys: tuple[_KeptKey, ...]


def accept(
    home: Path, identity: Identity, grant: bytes, code: str, passphrase: str, replace: bool = False
) -> ClinicalGrant:
    """Take a clinical key that the custodian granted; Refused, with what to do, when it is not for us or does not open.

    The keys of earlier epochs stay if `passphrase` opens them; with `replace` they are given up (a lost passphrase).
    """
    if len(passphrase) < PASSPHRASE_CHARS_MIN:
        raise Refused("short", f"A passphrase has at least {PASSPHRASE_CHARS_MIN} characters: take four or five words.")
    try:
        granted = decode(grant, ClinicalGrant)
        private = _granted_key(identity, granted, code)
        path = _path(home, granted.staff)
    except Malformed as wrong:
        raise Refused("grant", f"This grant cannot be taken: {wrong}.") from None
    kept = {granted.epoch: _KeptKey(epoch=granted.epoch, private=private)}
    if path.exists() and not replace:
        before = _kept(home, granted.staff, passphrase)
        if isinstance(before, Locked):
            raise Refused("passphrase", "That is not the passphrase of the keys you have. Say it, or replace them all.")
        kept = {key.epoch: key for key in before} | kept
    newest = tuple(kept[epoch] for epoch in sorted(kept, reverse=True)[:EPOCHS_MAX])
    path.parent.mkdir(mode=0o700, exist_ok=True)
    vault.close_slot(path, encode(_KeptKeys(keys=newest)), passphrase, vault.pepper(home), _bound(granted.staff))
    return granted


def has_keys(home: Path, staff: str) -> bool:
    """Whether `staff` holds a clinical key on this desk."""
    return _path(home, staff).exists()


def unlock(home: Path, staff: str, passphrase: str) -> DeskKeys | Locked:
    """The clinical keys of `staff`, or why they stay shut."""
    kept = _kept(home, staff, passphrase)
    if isinstance(kept, Locked):
        return kept
    privates = [_private(key.private) for key in kept]
    return DeskKeys(
        staff=staff, by_kid={kid(signature.public_der(private.public_key())): private for private in privates}
    )


def keep(db: Database, identity: Identity, delivery: SealedDelivery) -> bool:
    """Whether the note in `delivery` is now held here: on our shelf, and verified from its author's device to the root."""
    try:
        envelope = _verified(identity, delivery.note, delivery.certificate)
        listed = _shelf(db, identity).get(envelope.header.note_id)
    except Malformed:
        return False
    if listed is None or listed.body_sha256 != envelope.body_sha256:
        return False
    db.execute(
        "insert into note (note_id, encounter, body_sha256, device, certificate, note, kept_ms)"
        " values (?, ?, ?, ?, ?, ?, ?) on conflict (note_id) do nothing",
        [
            envelope.header.note_id,
            envelope.header.encounter,
            envelope.body_sha256,
            envelope.header.device,
            delivery.certificate,
            delivery.note,
            listed.held_ms,
        ],
    )
    return _is_here(db, listed)


def wanted(db: Database, shelf: Shelf) -> tuple[bytes, ...]:
    """The notes of `shelf` that are not here yet, newest first."""
    return tuple(entry.note_id for entry in shelf.entries if not _is_here(db, entry))[:WANTED_MAX]


def listed(db: Database, identity: Identity) -> tuple[Listed, ...]:
    """What this desk may read, newest first."""
    return tuple(Listed(entry=entry, is_here=_is_here(db, entry)) for entry in _shelf(db, identity).values())


def open_note(
    db: Database, identity: Identity, signer: Signer, stamp: Stamp, keys: DeskKeys, note_id: bytes
) -> Opened | Denied:
    """The note, open, and the fact that `keys.staff` opened it owed to the hub; or why not, which is owed as well."""
    outcome = _open(db, identity, keys, note_id)
    is_open = isinstance(outcome, Opened)
    fact = AuditFact(
        what="note_opened" if is_open else "open_denied",
        outcome="ok" if is_open else "denied",
        actor=keys.staff,
        about=note_id.hex(),
        reason=None if isinstance(outcome, Opened) else outcome.reason,
    )
    outbox.append(db, signer, stamp, Kind.AUDIT, fact)
    return outcome


def _open(db: Database, identity: Identity, keys: DeskKeys, note_id: bytes) -> Opened | Denied:
    entry = _shelf(db, identity).get(note_id)
    if entry is None:
        return Denied(reason="This note is not on the shelf of this desk.")
    row = db.execute(
        "select note, certificate from note where note_id = ? and body_sha256 = ?", [note_id, entry.body_sha256]
    ).fetchone()
    if row is None:
        return Denied(reason="This note has not arrived yet.")
    note, signed_by = row
    try:
        if signed_by is None:  # written at this desk itself
            envelope = sealed_notes.verify(note, identity.device, identity.key.public_key())
        else:
            envelope = _verified(identity, note, signed_by)
        mine = next((keys.by_kid[name] for name in envelope.kids if name in keys.by_kid), None)
        if mine is None:
            return Denied(reason="This note was sealed for a clinical key that you do not hold here.")
        content = decode(sealed_notes.unseal(envelope, mine), NoteContent)
    except Malformed:
        return Denied(reason="This note is damaged or forged: its signature does not fit.")
    return Opened(entry=entry, envelope=envelope, content=content)


def _verified(identity: Identity, note: bytes, signed_by: bytes) -> Envelope:
    """`note` taken apart, its device's certificate and its signature verified up to the agency root; else Malformed."""
    leaf = certificate(signed_by)
    # A note outlives the 90 days of the certificate that signed it: the chain is asked for a day on which it was valid,
    # and the hub refused the certificate on the day of the note if it had been revoked.
    day_s = int(leaf.not_valid_after_utc.timestamp()) - 1
    issuers = tuple(identity.admission.chain[1:])
    root = x509.load_pem_x509_certificate(identity.root_path.read_bytes())
    verified = verify_device((leaf.public_bytes(Encoding.DER), *issuers), root, day_s)
    return sealed_notes.verify(note, device_of(verified), public_key(verified))


def _shelf(db: Database, identity: Identity) -> dict[bytes, ShelfEntry]:
    shelf = held.content(db, identity.kem, Section.SHELF, Shelf)
    return {} if shelf is None else {entry.note_id: entry for entry in shelf.entries}


def _is_here(db: Database, entry: ShelfEntry) -> bool:
    row = db.execute(
        "select 1 from note where note_id = ? and body_sha256 = ?", [entry.note_id, entry.body_sha256]
    ).fetchone()
    return row is not None


def _granted_key(identity: Identity, granted: ClinicalGrant, code: str) -> bytes:
    """The private key (PKCS #8 DER) in `granted`, both layers opened; Malformed otherwise."""
    if granted.desk != identity.device:
        raise Malformed(f"it is for the desk {granted.desk}")
    info = grant_info(granted.epoch, granted.desk, granted.staff)
    try:
        inner = decode(SUITE.decrypt(granted.sealed, identity.kem, info=info), _Inner)
    except InvalidTag:
        raise Malformed("it was sealed to another key of this desk") from None
    try:
        key = vault.argon2id(code, inner.salt, None)
        private = AESGCM(key).decrypt(inner.nonce, inner.ct, info)
    except (InvalidTag, ValueError):
        raise Malformed("the code is not the one the custodian said") from None
    if kid(signature.public_der(_private(private).public_key())) != granted.kid:
        raise Malformed("the key in it is not the one it names")
    return private


def _kept(home: Path, staff: str, passphrase: str) -> tuple[_KeptKey, ...] | Locked:
    plain = vault.open_slot(_path(home, staff), passphrase, vault.pepper(home), _bound(staff))
    return plain if isinstance(plain, Locked) else decode(plain, _KeptKeys).keys


def _private(der: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_der_private_key(der, None)
    except (ValueError, TypeError):
        raise Malformed("not a private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Malformed("a private key of a kind we do not use")
    return key


def _path(home: Path, staff: str) -> Path:
    return home / DESK_FOLDER / f"{name(staff)}.clinical"


def _bound(staff: str) -> bytes:
    return b"tandem-clinical-file-v1\0" + name(staff).encode()
