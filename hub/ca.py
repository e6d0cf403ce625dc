"""The online certificate authority of the fleet: who is a device of ours, who is the hub, who no longer is.

Its key, the snapshot key and what the root signed come from the bench (`wire.keys.HUB_KEY_FILES`) and are checked against
each other when opened, so that a mixed-up copy is one sentence at start and not a lockout on the road.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from msgspec import Struct
from sqlalchemy import Connection, select

from hub import schema
from hub.settings import KEYS_FOLDER, TLS_FOLDER, Settings, SettingsError
from wire import keys
from wire.codec import Malformed
from wire.enrollment import DEVICE_URN
from wire.ids import device_id
from wire.keys import KeyStatement, NoteKeyList, Role
from wire.signature import public_der

DEVICE_DAYS = 90
RENEW_AFTER_DAYS = 60
SERVICE_DAYS = 730  # renewed at a start with less than a year left: a hub may then run a year without one
SERVICE_LEFT_DAYS_MIN = 365
CRL_DAYS = 30  # an expired list locks out the whole fleet, so it is signed anew each day
CRL_LEFT_DAYS_MIN = 29
BACKDATE = timedelta(minutes=5)  # two clocks of one fleet are never closer

CRL_FILE = "fleet.crl"
TRUST_FILE = "ca.crt"  # root and fleet CA: what the broker verifies its clients against


class CaError(SettingsError):
    """The keys from the bench are missing or do not belong together. The message says what to do."""


class Service(StrEnum):
    """Who the hub's own processes are. The name of a client is its MQTT client id and its user in the access list."""

    BROKER = "broker"
    INGEST = "hub-ingest"
    API = "hub-api"


class Revoked(Struct, frozen=True, kw_only=True):
    """A certificate that is no longer believed."""

    serial: int
    at_s: int


class Ca(Struct, frozen=True, kw_only=True):
    """What the bench gave to the hub, opened. `statement` and `note_keys` stay bytes as signed."""

    root: x509.Certificate
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    snapshot_key: ec.EllipticCurvePrivateKey
    statement: bytes
    note_keys: bytes

    def device_certificate(self, public: ec.EllipticCurvePublicKey, device: str, now_s: int) -> x509.Certificate:
        """A certificate for 90 days that says: whoever has this key is `device`."""
        urn = x509.UniformResourceIdentifier(DEVICE_URN + device_id(device))
        return self._leaf(public, device, [urn], ExtendedKeyUsageOID.CLIENT_AUTH, DEVICE_DAYS, now_s)

    def service_certificate(
        self, service: Service, public: ec.EllipticCurvePublicKey, names: Iterable[str], now_s: int
    ) -> x509.Certificate:
        """A certificate for one of the hub's own processes, reachable under `names`."""
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if service is Service.INGEST else ExtendedKeyUsageOID.SERVER_AUTH
        alternatives = [_general_name(name) for name in sorted(set(names))]
        return self._leaf(public, str(service), alternatives, usage, SERVICE_DAYS, now_s)

    def crl(self, revoked: Iterable[Revoked], now_s: int) -> x509.CertificateRevocationList:
        """The list of certificates no longer believed, good for 30 days from `now_s`."""
        now = datetime.fromtimestamp(now_s, UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - BACKDATE)
            .next_update(now + timedelta(days=CRL_DAYS))
            .add_extension(_authority(self.certificate), critical=False)
            .add_extension(x509.CRLNumber(now_s), critical=False)
        )
        for entry in revoked:
            at = datetime.fromtimestamp(entry.at_s, UTC)
            revocation = x509.RevokedCertificateBuilder().serial_number(entry.serial).revocation_date(at).build()
            builder = builder.add_revoked_certificate(revocation)
        return builder.sign(self.key, SHA256())

    def chain(self, leaf: x509.Certificate) -> tuple[bytes, ...]:
        """`leaf`, the fleet CA and the root, as DER."""
        return tuple(cert.public_bytes(Encoding.DER) for cert in (leaf, self.certificate, self.root))

    def _leaf(
        self,
        public: ec.EllipticCurvePublicKey,
        common_name: str,
        alternatives: list[x509.GeneralName],
        usage: ObjectIdentifier,
        days: int,
        now_s: int,
    ) -> x509.Certificate:
        now = datetime.fromtimestamp(now_s, UTC)
        not_after = min(now + timedelta(days=days), self.certificate.not_valid_after_utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(self.certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_SIGNS_ONLY, critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(_authority(self.certificate), critical=False)
        )
        return builder.sign(self.key, SHA256())


def open_ca(home: Path, settings: Settings) -> Ca:
    """What the bench gave to the hub in `home`/keys; CaError when it is missing or does not belong together."""
    folder = home / KEYS_FOLDER
    missing = [name for name in keys.HUB_KEY_FILES if not (folder / name).is_file()]
    if missing:
        raise CaError(f"{folder} lacks {', '.join(missing)}: copy the folder `hub` that `tandem-fleet init` made to it")
    ca = Ca(
        root=_certificate(folder / keys.ROOT_CERTIFICATE),
        certificate=_certificate(folder / keys.FLEET_CA_CERTIFICATE),
        key=_private(folder / keys.FLEET_CA_KEY),
        snapshot_key=_private(folder / keys.SNAPSHOT_KEY),
        statement=(folder / keys.KEY_STATEMENT).read_bytes(),
        note_keys=(folder / keys.NOTE_KEYS).read_bytes(),
    )
    statement, _ = _checked(ca, folder)
    if statement.agency != settings.agency:
        raise CaError(f"the keys in {folder} are of {statement.agency}, but hub.toml says {settings.agency}")
    return ca


def ensure_tls(home: Path, settings: Settings, now_s: int | None = None) -> tuple[str, ...]:
    """Make what is missing, expiring or for other names in `home`/tls; the names of what was made anew.

    The revocation list is only signed again here, from the entries it has: what the database knows of revoked devices
    comes with `renew_crl`, once that is open.
    """
    ca = open_ca(home, settings)
    now_s = int(time.time()) if now_s is None else now_s
    folder = home / TLS_FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    made = [
        service for service, names in _names(settings).items() if _ensure_service(folder, ca, service, names, now_s)
    ]
    _write(folder / TRUST_FILE, _pem(ca.root) + _pem(ca.certificate), 0o644)
    held = _crl(folder / CRL_FILE, ca)
    if held is None or _days_left(held.next_update_utc, now_s) < CRL_LEFT_DAYS_MIN:
        entries = [] if held is None else [_entry(revocation) for revocation in held]
        _write_crl(folder, ca.crl(entries, now_s))
        return (*made, CRL_FILE)
    return tuple(made)


def renew_crl(home: Path, ca: Ca, connection: Connection, now_s: int) -> bool:
    """Write a revocation list of what `connection` knows, when that differs or a day has passed; True when written,
    and the broker should be told to reload."""
    folder = home / TLS_FOLDER
    entries = revoked(connection)
    held = _crl(folder / CRL_FILE, ca)
    if held is not None and _days_left(held.next_update_utc, now_s) >= CRL_LEFT_DAYS_MIN:
        is_complete = {entry.serial for entry in entries} == {revocation.serial_number for revocation in held}
        if is_complete:
            return False
    _write_crl(folder, ca.crl(entries, now_s))
    return True


def revoked(connection: Connection) -> list[Revoked]:
    """The certificates of the devices that were revoked."""
    device = schema.device
    query = select(device.c.serial, device.c.revoked_ms).where(
        device.c.state == "revoked", device.c.serial.is_not(None)
    )
    return [
        Revoked(serial=int(row.serial, 16), at_s=(row.revoked_ms or 0) // 1000) for row in connection.execute(query)
    ]


_SIGNS_ONLY = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _names(settings: Settings) -> dict[Service, tuple[str, ...]]:
    here = ("localhost", "127.0.0.1")
    return {
        Service.BROKER: (*here, settings.broker.name),
        Service.INGEST: (str(Service.INGEST),),
        Service.API: (*here, settings.device_api.name),
    }


def _ensure_service(folder: Path, ca: Ca, service: Service, names: tuple[str, ...], now_s: int) -> bool:
    crt, key_file = folder / f"{service}.crt", folder / f"{service}.key"
    if _is_good(crt, key_file, ca, names, now_s):
        return False
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = ca.service_certificate(service, key.public_key(), names, now_s)
    # The key goes first: a certificate without its key is seen as missing at the next start and made again.
    _write(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    _write(crt, _pem(leaf) + _pem(ca.certificate), 0o644)
    return True


def _is_good(crt: Path, key_file: Path, ca: Ca, names: tuple[str, ...], now_s: int) -> bool:
    try:
        leaf, key = _certificate(crt), _private(key_file)
        leaf.verify_directly_issued_by(ca.certificate)
        held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (CaError, InvalidSignature, ValueError, x509.ExtensionNotFound):
        return False
    return (
        set(held) == {_general_name(name) for name in names}
        and leaf.public_key() == key.public_key()
        and leaf.not_valid_before_utc.timestamp() <= now_s
        and _days_left(leaf.not_valid_after_utc, now_s) >= SERVICE_LEFT_DAYS_MIN
    )


def _checked(ca: Ca, folder: Path) -> tuple[KeyStatement, NoteKeyList]:
    root = ca.root.public_key()
    assert isinstance(root, ec.EllipticCurvePublicKey)
    try:
        ca.certificate.verify_directly_issued_by(ca.root)
        if ca.certificate.public_key() != ca.key.public_key():
            raise CaError(f"{keys.FLEET_CA_KEY} and {keys.FLEET_CA_CERTIFICATE} in {folder} do not belong together")
        statement = keys.open_statement(ca.statement, root)
        if public_der(statement.key(Role.SNAPSHOT)) != public_der(ca.snapshot_key.public_key()):
            raise CaError(f"{keys.SNAPSHOT_KEY} in {folder} is not the key that the root vouches for")
        return statement, keys.open_note_keys(ca.note_keys, statement)
    except (InvalidSignature, ValueError, TypeError) as wrong:
        what = str(wrong) if isinstance(wrong, Malformed) else "the fleet CA was not signed by this root"
        raise CaError(f"the files in {folder} are not from one `tandem-fleet init`: {what}") from None


def _crl(path: Path, ca: Ca) -> x509.CertificateRevocationList | None:
    """The list in `path`; None when there is none of this CA."""
    try:
        held = x509.load_pem_x509_crl(path.read_bytes())
    except (OSError, ValueError):
        return None
    return held if held.is_signature_valid(_ec(ca.certificate)) else None


def _write_crl(folder: Path, crl: x509.CertificateRevocationList) -> None:
    _write(folder / CRL_FILE, crl.public_bytes(Encoding.PEM), 0o644)


def _entry(revocation: x509.RevokedCertificate) -> Revoked:
    return Revoked(serial=revocation.serial_number, at_s=int(revocation.revocation_date_utc.timestamp()))


def _days_left(until: datetime | None, now_s: int) -> float:
    return 0.0 if until is None else (until.timestamp() - now_s) / 86_400


def _authority(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    held = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(held)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _certificate(path: Path) -> x509.Certificate:
    try:
        cert = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise CaError(f"{path} is not a readable certificate") from None
    _ec(cert)
    return cert


def _ec(cert: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = cert.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise CaError("a certificate of the fleet is on a kind of key we do not use")
    return key


def _private(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        raise CaError(f"{path} is not a readable private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise CaError(f"{path} is not a P-256 key")
    return key


def _pem(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(Encoding.PEM)


def _write(path: Path, data: bytes, mode: int) -> None:
    """All of it or the file as it was: a power cut must not leave half a certificate."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
