"""Notes from the first autosave to the sealed final: nothing readable is ever given to SQL.

A draft is sealed under its author's vault key at every save. Finalizing closes the draft and owes the hub the sealed
note in one transaction, both or neither. There is no way through this file that keeps or sends a note in clear: sealing
asks for a verified note-key list and the shift's key, and refuses without them.
"""

from __future__ import annotations

import secrets
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct
from sqlite_utils import Database

from edge import note_keys, outbox
from edge.errors import Refused
from edge.outbox import Signer
from edge.vault import VaultKey
from wire import notes as sealed_notes
from wire.codec import Malformed, decode, encode
from wire.ids import ID_BYTES, id_bytes
from wire.incident import DISPOSITIONS
from wire.keys import NoteKeyList
from wire.notes import SUITE_P256, Envelope, Header, NoteContent, NoteKind, padded, recipient, unpadded
from wire.records import Kind
from wire.stamp import Stamp

DRAFTS_MAX = 100  # of one person: a shift has a dozen encounters, a page reloaded in a loop has more
TEXT_CHARS_MAX = 20_000  # some eight printed pages; within one request and far within one record
CONTACT_CHARS_MAX = 200
_NONCE_BYTES = 12


class Draft(Struct, frozen=True, kw_only=True):
    """What is written so far. `title`: how the encounter was called when the draft began, so that it can be found again
    after the assignment is gone; `contact`: whom they met; `recommended`, `disposition`: codes of `wire.incident`."""

    title: str = ""
    text: str = ""
    contact: str | None = None
    recommended: str | None = None
    disposition: str | None = None

    def __post_init__(self) -> None:
        if len(self.text) > TEXT_CHARS_MAX or len(self.contact or "") > CONTACT_CHARS_MAX:
            raise Refused(
                "too_long", f"A note holds {TEXT_CHARS_MAX:,} characters. Shorten it, or begin a second note."
            )
        if any(code is not None and code not in DISPOSITIONS for code in (self.recommended, self.disposition)):
            raise Refused("disposition", "That outcome is not one of the list.")

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written yet."""
        return not self.text.strip()


class State(StrEnum):
    """How far a note has come."""

    DRAFT = "draft"
    WAITING = "waiting"
    RECEIVED = "received"


class Entry(Struct, frozen=True, kw_only=True):
    """A note in the author's list. `at_ms`: last saved, or finalized."""

    note_id: bytes
    encounter: bytes
    state: State
    at_ms: int


def begin(db: Database, key: VaultKey, encounter: bytes, title: str, now_ms: int) -> bytes:
    """A new empty draft about `encounter`: its note id."""
    count = db.execute("select count(*) from draft where staff = ?", [key.staff]).fetchone()[0]
    if count >= DRAFTS_MAX:
        raise Refused("too_many", f"{count} notes are unfinished. Finalize some of them first.")
    note_id = secrets.token_bytes(ID_BYTES)
    db.execute(
        "insert into draft (note_id, encounter, staff, sealed, saved_ms) values (?, ?, ?, ?, ?)",
        [note_id, id_bytes(encounter), key.staff, _sealed(key, note_id, encounter, Draft(title=title)), now_ms],
    )
    return note_id


def save(db: Database, key: VaultKey, note_id: bytes, draft: Draft, now_ms: int) -> None:
    """Replace what the draft holds; Refused when there is no such draft of this person (it may be final already)."""
    encounter, _ = draft_of(db, key, note_id)
    db.execute(
        "update draft set sealed = ?, saved_ms = ? where note_id = ?",
        [_sealed(key, note_id, encounter, draft), now_ms, note_id],
    )


def draft_of(db: Database, key: VaultKey, note_id: bytes) -> tuple[bytes, Draft]:
    """The encounter and the content of a draft; Refused when there is none of this person."""
    row = db.execute(
        "select encounter, sealed from draft where note_id = ? and staff = ?", [note_id, key.staff]
    ).fetchone()
    if row is None:
        raise Refused("no_draft", "This note is final, or it is not yours.")
    encounter, sealed = row
    try:
        plain = AESGCM(key.key).decrypt(
            sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(note_id, encounter, key.staff)
        )
    except InvalidTag:
        raise Refused(
            "unreadable", "This draft was sealed under a PIN that was replaced; nobody can open it."
        ) from None
    return encounter, decode(unpadded(plain), Draft)


def finalize(
    db: Database,
    signer: Signer,
    stamp: Stamp,
    key: VaultKey,
    shift: bytes,
    shift_public: ec.EllipticCurvePublicKey,
    keys: NoteKeyList,
    note_id: bytes,
) -> int:
    """Close the draft and owe the hub the sealed note, both or neither: the note's seq.

    Sealed to the clinical key of this epoch, the break-glass key and the key of this `shift`, never to fewer.
    """
    encounter, draft = draft_of(db, key, note_id)
    if draft.is_empty:
        raise Refused("empty", "Write something before you finalize.")
    try:
        note_keys.pin(db, keys)
        readers = keys.recipients()
    except Malformed as wrong:
        raise Refused(
            "no_readers", f"This note cannot be sealed: {wrong}. It stays a draft; tell the fleet tech."
        ) from None
    header = Header(
        v=1,
        kind=NoteKind.FINAL,
        note_id=note_id,
        encounter=encounter,
        parent=None,
        device=signer.device,
        author=key.staff,
        shift=shift,
        stamp=stamp,
        suite=SUITE_P256,
        epoch=keys.epoch(),
        flags=0,
        disposition=draft.disposition,
    )
    content = encode(NoteContent(text=draft.text, contact=draft.contact, recommended=draft.recommended))
    note = sealed_notes.seal(header, content, (*readers, recipient(shift_public)), signer.key)
    db.execute("delete from draft where note_id = ?", [note_id])
    seq = outbox.append(db, signer, stamp, Kind.NOTE, note)
    db.execute(
        "insert into note (note_id, encounter, body_sha256, device, note, kept_ms, seq) values (?, ?, ?, ?, ?, ?, ?)",
        [
            note_id,
            encounter,
            sealed_notes.inspect(note).body_sha256,
            signer.device,
            note,
            stamp.wall_ms or 0,
            seq,
        ],
    )
    return seq


def own_final(
    db: Database, signer: Signer, shift: bytes, private: ec.EllipticCurvePrivateKey, note_id: bytes
) -> tuple[Envelope, NoteContent]:
    """A note that this shift wrote here, opened with the shift's key; Refused once that cannot be done any more."""
    row = db.execute("select note from note where note_id = ? and seq is not null", [note_id]).fetchone()
    if row is None:
        raise Refused("no_note", "This note is not on this terminal any more.")
    envelope = sealed_notes.verify(row[0], signer.device, signer.key.public_key())
    if envelope.header.shift != shift:
        raise Refused("sealed", "This note is of an earlier shift: only a desk can open it.")
    return envelope, decode(sealed_notes.unseal(envelope, private), NoteContent)


def entries(db: Database, staff: str) -> tuple[Entry, ...]:
    """The drafts of `staff` and the finals this terminal wrote, newest first, without opening any."""
    through = db.execute("select coalesce(max(through), 0) from log").fetchone()[0]
    drafts = [
        Entry(note_id=note_id, encounter=encounter, state=State.DRAFT, at_ms=at_ms)
        for note_id, encounter, at_ms in db.execute(
            "select note_id, encounter, saved_ms from draft where staff = ?", [staff]
        ).fetchall()
    ]
    finals = [
        Entry(
            note_id=note_id,
            encounter=encounter,
            state=State.RECEIVED if seq <= through else State.WAITING,
            at_ms=at_ms,
        )
        for note_id, encounter, at_ms, seq in db.execute(
            "select note_id, encounter, kept_ms, seq from note where seq is not null"
        ).fetchall()
    ]
    return tuple(sorted(drafts + finals, key=lambda entry: -entry.at_ms))


def _sealed(key: VaultKey, note_id: bytes, encounter: bytes, draft: Draft) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    plain = padded(encode(draft))
    return nonce + AESGCM(key.key).encrypt(nonce, plain, _bound(note_id, encounter, key.staff))


def _bound(note_id: bytes, encounter: bytes, staff: str) -> bytes:
    return b"tandem-draft-v1\0" + encode([int(NoteKind.DRAFT), note_id, encounter, staff])
