"""Who this terminal is: the keys it made itself, and what the hub answered when it was enrolled.

Everything is checked against everything else at the start, so that a half-copied folder is a sentence at start-up and
not a riddle in the broker's log.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from edge.settings import SettingsError
from wire import signature
from wire.codec import Malformed, decode
from wire.enrollment import (
    DEVICE_CHAIN_FILE,
    DEVICE_KEY_FILE,
    ENROLLED_FILE,
    IDENTITY_FOLDER,
    KEM_KEY_FILE,
    ROOT_FILE,
    Admission,
    Enrolled,
)
from wire.keys import KeyStatement, Role, open_statement


class Identity(Struct, frozen=True, kw_only=True):
    """`kind`: "vehicle" or "desk"; `key` signs and is the TLS client's; `kem` opens sealed state; the three paths are
    PEM files for TLS; `statement` is the root's word on the agency's keys, `snapshot_public` the hub's key in it."""

    device: str
    kind: str
    hub_url: str
    key: ec.EllipticCurvePrivateKey
    kem: ec.EllipticCurvePrivateKey
    chain_path: Path
    key_path: Path
    root_path: Path
    admission: Admission
    statement: KeyStatement
    snapshot_public: ec.EllipticCurvePublicKey


def load(home: Path) -> Identity:
    """The identity under `home`; SettingsError when there is none or its parts do not belong together."""
    folder = home / IDENTITY_FOLDER
    if not (folder / ENROLLED_FILE).exists():
        raise SettingsError(
            f"{folder} holds no identity: enroll this terminal with "
            f"`tandem-fleet first-boot --bundle FILE --home {home}`."
        )
    try:
        return _load(folder)
    except OSError as wrong:
        raise SettingsError(f"{wrong.filename} cannot be read: {wrong.strerror}. {_AGAIN}") from None
    except ValueError as wrong:  # Malformed is one of these, and so is every complaint of the PEM and DER readers
        raise SettingsError(f"the identity in {folder} is broken: {wrong}. {_AGAIN}") from None


_AGAIN = "Enroll this terminal again with a new bundle."


def _load(folder: Path) -> Identity:
    enrolled = decode((folder / ENROLLED_FILE).read_bytes(), Enrolled)
    admission = enrolled.admission
    key, kem = _private(folder / DEVICE_KEY_FILE), _private(folder / KEM_KEY_FILE)
    root = _public(folder / ROOT_FILE)
    if sha256(signature.public_der(root)).digest() != enrolled.root_spki_sha256:
        raise Malformed(f"{ROOT_FILE} is another agency's root")
    if signature.public_der(_public(folder / DEVICE_CHAIN_FILE)) != signature.public_der(key.public_key()):
        raise Malformed(f"{DEVICE_CHAIN_FILE} and {DEVICE_KEY_FILE} do not belong together")
    statement = open_statement(admission.key_statement, root)
    if enrolled.kind not in ("vehicle", "desk"):
        raise Malformed("a terminal is a vehicle or a desk")
    return Identity(
        device=admission.device,
        kind=enrolled.kind,
        hub_url=enrolled.hub_url,
        key=key,
        kem=kem,
        chain_path=folder / DEVICE_CHAIN_FILE,
        key_path=folder / DEVICE_KEY_FILE,
        root_path=folder / ROOT_FILE,
        admission=admission,
        statement=statement,
        snapshot_public=statement.key(Role.SNAPSHOT),
    )


def _private(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError):  # TypeError: it asks for a password
        raise Malformed(f"{path.name} is no private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise Malformed(f"{path.name} is not a P-256 key")
    return key


def _public(path: Path) -> ec.EllipticCurvePublicKey:
    """The key of the first certificate in the file."""
    try:
        key = x509.load_pem_x509_certificate(path.read_bytes()).public_key()
    except ValueError:
        raise Malformed(f"{path.name} is no certificate") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Malformed(f"{path.name} certifies a key of a kind we do not use")
    return key
