"""Which public keys the agency vouches for: the key statement, the note-key list, and a clinical key on its way.

The root signs the key statement; the statement names the key that signs snapshots, the key that signs the list of note
keys and the key that signs wipes. Only the first of these is at the hub, so a hub that lies cannot add a reader to a
note or wipe a board.
"""

from __future__ import annotations

from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from wire import signature
from wire.codec import Malformed, decode, encode
from wire.notes import Recipient, kid
from wire.signature import Context

HUB_KEY_FILES = (  # what `tandem-fleet init` hands to the hub, and all of it
    ROOT_CERTIFICATE := "root.crt",
    FLEET_CA_CERTIFICATE := "fleet-ca.crt",
    FLEET_CA_KEY := "fleet-ca.key",
    SNAPSHOT_KEY := "snapshot.key",
    KEY_STATEMENT := "key-statement.bin",
    NOTE_KEYS := "note-keys.bin",
)


BACKUP_PUBLIC = "backup.pub"  # beside them when the bench made one: backups of the hub are then sealed to it


class Role(StrEnum):
    """What a key of the statement or the list is for."""

    SNAPSHOT = "snapshot"
    WIPE = "wipe"
    NOTE_KEY_LIST = "note_key_list"
    CLINICAL = "clinical"
    BREAK_GLASS = "break_glass"


class StatedKey(Struct, frozen=True, kw_only=True, array_like=True):
    """`public`: SubjectPublicKeyInfo DER; `not_after_ms`: Unix milliseconds."""

    role: str
    public: bytes
    not_after_ms: int


class KeyStatement(Struct, frozen=True, kw_only=True, array_like=True):
    """What the root says of the agency's keys. A higher `number` replaces a lower one."""

    v: int
    number: int
    agency: str
    keys: tuple[StatedKey, ...]

    def key(self, role: Role) -> ec.EllipticCurvePublicKey:
        """The key of `role`; Malformed when the statement names none."""
        for stated in self.keys:
            if stated.role == role:
                return signature.public_from(stated.public)
        raise Malformed(f"a key statement without a {role} key")


class NoteKey(Struct, frozen=True, kw_only=True, array_like=True):
    """Somebody who can open notes: a clinical key of an epoch, or the break-glass key (epoch 0)."""

    kid: bytes
    suite: int
    public: bytes
    epoch: int
    role: str
    not_after_ms: int


class NoteKeyList(Struct, frozen=True, kw_only=True, array_like=True):
    """Everybody a note must be sealed to. A higher `number` replaces a lower one."""

    v: int
    number: int
    keys: tuple[NoteKey, ...]

    def epoch(self) -> int:
        """The current clinical epoch: the highest; Malformed when there is none."""
        epochs = [key.epoch for key in self.keys if key.role == Role.CLINICAL]
        if not epochs:
            raise Malformed("a note-key list without a clinical key")
        return max(epochs)

    def recipients(self) -> tuple[Recipient, ...]:
        """To whom a note of today is sealed: this epoch's clinical key and the break-glass key, both; else Malformed."""
        epoch = self.epoch()
        chosen = [
            key
            for key in self.keys
            if (key.role == Role.CLINICAL and key.epoch == epoch) or key.role == Role.BREAK_GLASS
        ]
        if {key.role for key in chosen} != {Role.CLINICAL, Role.BREAK_GLASS}:
            raise Malformed("a note-key list without a break-glass key")
        return tuple(Recipient(kid=key.kid, public=key.public) for key in chosen)


class ClinicalGrant(Struct, frozen=True, kw_only=True, array_like=True):
    """A clinical private key on its way to one desk and one clinician.

    `sealed`: HPKE to the desk's KEM key, info "tandem-clinical-key-v1\\0" ‖ [epoch, desk, staff], of
    [salt: bin16, nonce: bin12, ct]; ct is AES-256-GCM of the PKCS #8 DER under Argon2id of a code that is said aloud
    (aad: the same info). The hub carries it and can open neither layer.
    """

    v: int
    desk: str
    staff: str
    epoch: int
    kid: bytes
    sealed: bytes


def grant_info(epoch: int, desk: str, staff: str) -> bytes:
    """What both layers of a clinical grant are bound to."""
    return b"tandem-clinical-key-v1\0" + encode([epoch, desk, staff])


def sign_statement(statement: KeyStatement, root: ec.EllipticCurvePrivateKey) -> bytes:
    """`statement` signed by the agency root."""
    return signature.signed(Context.KEYS, encode(statement), root)


def open_statement(data: bytes, root: ec.EllipticCurvePublicKey) -> KeyStatement:
    """The key statement in `data`, signed by the agency `root`; Malformed otherwise."""
    return decode(signature.opened(Context.KEYS, data, root), KeyStatement)


def sign_note_keys(keys: NoteKeyList, signer: ec.EllipticCurvePrivateKey) -> bytes:
    """`keys` signed by the clinical custodian's note-key-list key."""
    return signature.signed(Context.NOTE_KEYS, encode(keys), signer)


def open_note_keys(data: bytes, statement: KeyStatement) -> NoteKeyList:
    """The note-key list in `data`, signed by the key that `statement` names for it, every kid checked; else Malformed."""
    keys = decode(signature.opened(Context.NOTE_KEYS, data, statement.key(Role.NOTE_KEY_LIST)), NoteKeyList)
    for key in keys.keys:
        if key.kid != kid(key.public):
            raise Malformed("a note key under another key's name")
        signature.public_from(key.public)
    return keys
