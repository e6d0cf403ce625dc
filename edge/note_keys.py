"""To whom a note of today is sealed: the newest list that the agency's own keys vouch for, whatever the hub says.

The hub carries the list and the key statement; the root signs the statement, the statement names the key that signs the
list, and neither private key is at the hub. A list that is older than one already used here is refused, because an old
list names a key that somebody may have left with.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlite_utils import Database

from edge.identity import Identity
from wire.codec import Malformed
from wire.keys import KeyStatement, NoteKeyList, open_note_keys, open_statement
from wire.state import TerminalSettings

_HIGH_WATER = "note_key_list"


def current(identity: Identity, settings: TerminalSettings | None) -> NoteKeyList:
    """The verified list with the highest number among admission and settings; Malformed when not even one verifies."""
    admitted = open_note_keys(identity.admission.note_keys, identity.statement)
    if settings is None:
        return admitted
    try:
        return offered(identity, settings)
    except Malformed:
        return admitted  # whoever received these settings refused and audited them; notes go on being sealed


def offered(identity: Identity, settings: TerminalSettings) -> NoteKeyList:
    """The list that `settings` carries, verified up to the root; Malformed when it is forged or older than ours."""
    statement = newest_statement(identity, settings)
    keys = open_note_keys(settings.note_keys, statement)
    keys.recipients()
    if keys.number < open_note_keys(identity.admission.note_keys, identity.statement).number:
        raise Malformed("a note-key list older than the one of the enrollment")
    return keys


def newest_statement(identity: Identity, settings: TerminalSettings) -> KeyStatement:
    """The key statement to believe: the one sent if the root signed it and it is not older; Malformed otherwise."""
    sent = open_statement(settings.key_statement, _root_key(identity))
    if sent.number < identity.statement.number:
        raise Malformed("a key statement older than the one of the enrollment")
    return sent


def pin(db: Database, keys: NoteKeyList) -> None:
    """Remember that `keys` was used; Malformed when a newer list was used here before."""
    row = db.execute("select value from fact where name = ?", [_HIGH_WATER]).fetchone()
    if row is not None and row[0] > keys.number:
        raise Malformed("a note-key list older than one this terminal has used")
    db.execute(
        "insert into fact (name, value) values (?, ?) on conflict (name) do update set value = excluded.value",
        [_HIGH_WATER, keys.number],
    )


def _root_key(identity: Identity) -> ec.EllipticCurvePublicKey:
    key = x509.load_pem_x509_certificate(identity.root_path.read_bytes()).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Malformed("a root of a kind we do not use")
    return key
