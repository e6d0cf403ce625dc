"""The keys of a fleet, made once, at a bench that the hub cannot reach.

The root signs the fleet CA and says which key is for what; only the fleet CA, the snapshot key and what is public go to
the hub. What could read a note, add a reader of notes or wipe a board stays here, under the passphrase.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from provisioning import break_glass
from provisioning.errors import CannotDo
from provisioning.files import sync_folder, write_new
from provisioning.keyfile import sealed_pem
from wire import keys
from wire.keys import KeyStatement, NoteKey, NoteKeyList, Role, StatedKey
from wire.notes import SUITE_P256, kid
from wire.signature import public_der

ROOT_YEARS = 20
FLEET_CA_YEARS = 10
CLINICAL_YEARS = 5
AGENCY_LENGTH_MAX = 48  # a certificate's common name holds 64 characters

ROOT_KEY = "root.key"
ROOT_CERTIFICATE = "root.crt"
CUSTODIAN = "custodian"
SUPERVISOR = "supervisor"
HUB = "hub"
NOTE_LIST_KEY = f"{CUSTODIAN}/note-key-list.key"
WIPE_KEY = f"{SUPERVISOR}/wipe.key"
BREAK_GLASS_BLOBS = f"{CUSTODIAN}/break-glass.blobs"


def clinical_key_file(epoch: int) -> str:
    """Where the clinical private key of an epoch is, under the fleet's home."""
    return f"{CUSTODIAN}/clinical-{epoch}.key"


def share_file(number: int) -> str:
    """Where a break-glass share waits to be printed."""
    return f"{CUSTODIAN}/break-glass-share-{number}.txt"


def make_fleet(agency: str, passphrase: bytes, now_s: int) -> dict[str, bytes]:
    """Every file of a new fleet by its path under the fleet's home; CannotDo when the agency's name will not do."""
    if not agency.strip() or len(agency) > AGENCY_LENGTH_MAX or not agency.isprintable():
        raise CannotDo(f"an agency's name is 1 to {AGENCY_LENGTH_MAX} printable characters")
    root_key, ca_key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256R1())
    snapshot, wipe, note_list, clinical, glass = (ec.generate_private_key(ec.SECP256R1()) for _ in range(5))
    root = _root_certificate(agency, root_key, now_s)
    ca = _ca_certificate(agency, ca_key, root, root_key, now_s)
    statement = KeyStatement(
        v=1,
        number=1,
        agency=agency,
        keys=(
            _stated(Role.SNAPSHOT, snapshot, now_s, FLEET_CA_YEARS),
            _stated(Role.WIPE, wipe, now_s, ROOT_YEARS),
            _stated(Role.NOTE_KEY_LIST, note_list, now_s, ROOT_YEARS),
        ),
    )
    note_keys = NoteKeyList(
        v=1,
        number=1,
        keys=(
            _note_key(Role.CLINICAL, clinical, 1, now_s, CLINICAL_YEARS),
            _note_key(Role.BREAK_GLASS, glass, 0, now_s, ROOT_YEARS),
        ),
    )
    split = break_glass.split(glass)
    root_pem = root.public_bytes(Encoding.PEM)
    return {
        ROOT_KEY: sealed_pem(root_key, passphrase),
        ROOT_CERTIFICATE: root_pem,
        NOTE_LIST_KEY: sealed_pem(note_list, passphrase),
        clinical_key_file(1): sealed_pem(clinical, passphrase),
        WIPE_KEY: sealed_pem(wipe, passphrase),
        BREAK_GLASS_BLOBS: b"".join(split.blobs),
        **{share_file(n): _share_text(agency, n, share) for n, share in enumerate(split.shares, 1)},
        f"{HUB}/{keys.ROOT_CERTIFICATE}": root_pem,
        f"{HUB}/{keys.FLEET_CA_CERTIFICATE}": ca.public_bytes(Encoding.PEM),
        f"{HUB}/{keys.FLEET_CA_KEY}": _plain_pem(ca_key),
        f"{HUB}/{keys.SNAPSHOT_KEY}": _plain_pem(snapshot),
        f"{HUB}/{keys.KEY_STATEMENT}": keys.sign_statement(statement, root_key),
        f"{HUB}/{keys.NOTE_KEYS}": keys.sign_note_keys(note_keys, note_list),
    }


def write_fleet(home: Path, files: dict[str, bytes]) -> None:
    """Put the files of a new fleet on disk; CannotDo when `home` already holds anything."""
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise CannotDo(
            f"{home} is not empty: the keys of a fleet are made once and never overwritten; choose a new folder"
        )
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.chmod(0o700)
        for folder in (CUSTODIAN, SUPERVISOR, HUB):
            (home / folder).mkdir(mode=0o700)
        for name, data in files.items():
            write_new(home / name, data)
        for folder in (CUSTODIAN, SUPERVISOR, HUB, "."):
            sync_folder(home / folder)
    except OSError as wrong:
        raise CannotDo(f"{home} cannot be written ({wrong.strerror})") from None


def _root_certificate(agency: str, key: ec.EllipticCurvePrivateKey, now_s: int) -> x509.Certificate:
    name = _name(agency, f"{agency} root")
    builder = _authority(name, name, key.public_key(), ROOT_YEARS, now_s, path_length=1)
    return builder.sign(key, SHA384())


def _ca_certificate(
    agency: str,
    key: ec.EllipticCurvePrivateKey,
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    now_s: int,
) -> x509.Certificate:
    name = _name(agency, f"{agency} fleet CA")
    held = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(held)
    builder = _authority(name, root.subject, key.public_key(), FLEET_CA_YEARS, now_s, path_length=0)
    return builder.add_extension(authority, critical=False).sign(root_key, SHA384())


def _authority(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    years: int,
    now_s: int,
    *,
    path_length: int,
) -> x509.CertificateBuilder:
    now = datetime.fromtimestamp(now_s, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=365 * years))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_SIGNS_CERTIFICATES, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _name(agency: str, common_name: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, agency)
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _stated(role: Role, key: ec.EllipticCurvePrivateKey, now_s: int, years: int) -> StatedKey:
    return StatedKey(role=role, public=public_der(key.public_key()), not_after_ms=_after_ms(now_s, years))


def _note_key(role: Role, key: ec.EllipticCurvePrivateKey, epoch: int, now_s: int, years: int) -> NoteKey:
    public = public_der(key.public_key())
    not_after_ms = _after_ms(now_s, years)
    return NoteKey(kid=kid(public), suite=SUITE_P256, public=public, epoch=epoch, role=role, not_after_ms=not_after_ms)


def _after_ms(now_s: int, years: int) -> int:
    return (now_s + years * 365 * 86_400) * 1000


def _plain_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _share_text(agency: str, number: int, share: bytes) -> bytes:
    digits = share.hex()
    groups = " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))
    return (
        f"{agency}: break-glass share {number} of {break_glass.SHARES}\n\n{groups}\n\n"
        "Print this, give it to one custodian in a sealed envelope, and destroy this file.\n"
        "Any two of the three shares open every note of the agency; one alone opens nothing.\n"
    ).encode()
