"""A whole agency in memory for tests of the terminal: real keys, real certificates, real sealed sections."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from edge import held, identity
from edge.identity import Identity
from edge.store import Saves
from wire.codec import encode
from wire.enrollment import (
    DEVICE_CHAIN_FILE,
    DEVICE_KEY_FILE,
    DEVICE_URN,
    ENROLLED_FILE,
    IDENTITY_FOLDER,
    KEM_KEY_FILE,
    ROOT_FILE,
    Admission,
    BrokerAddress,
    Enrolled,
)
from wire.keys import KeyStatement, NoteKey, NoteKeyList, Role, StatedKey, sign_note_keys, sign_statement
from wire.notes import SUITE_P256, kid
from wire.signature import public_der
from wire.state import Version, seal_snapshot

FAR_MS = 4_000_000_000_000


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class TerminalFleet:
    """An agency with one root. Another instance is another agency, which nobody here should believe."""

    def __init__(self) -> None:
        self.root_key = ec.generate_private_key(ec.SECP384R1())
        self.ca_key, self.snapshot, self.list_key, self.wipe = new_key(), new_key(), new_key(), new_key()
        self.clinical, self.break_glass = new_key(), new_key()
        self.root = self._certificate("root", self.root_key, self.root_key, "root", path_length=1)
        self.ca = self._certificate("fleet ca", self.ca_key, self.root_key, "root", path_length=0)
        self._versions = 0

    def statement(self, number: int = 1) -> bytes:
        stated = ((Role.SNAPSHOT, self.snapshot), (Role.WIPE, self.wipe), (Role.NOTE_KEY_LIST, self.list_key))
        keys = tuple(
            StatedKey(role=role, public=public_der(key.public_key()), not_after_ms=FAR_MS) for role, key in stated
        )
        return sign_statement(KeyStatement(v=1, number=number, agency="Lakeshore CARE", keys=keys), self.root_key)

    def note_keys(
        self,
        number: int = 1,
        signer: ec.EllipticCurvePrivateKey | None = None,
        clinical: ec.EllipticCurvePrivateKey | None = None,
        epoch: int = 1,
    ) -> bytes:
        rows = ((Role.CLINICAL, clinical or self.clinical, epoch), (Role.BREAK_GLASS, self.break_glass, 0))
        return sign_note_keys(
            NoteKeyList(
                v=1,
                number=number,
                keys=tuple(
                    NoteKey(
                        kid=kid(public_der(key.public_key())),
                        suite=SUITE_P256,
                        public=public_der(key.public_key()),
                        epoch=at,
                        role=role,
                        not_after_ms=FAR_MS,
                    )
                    for role, key, at in rows
                ),
            ),
            signer or self.list_key,
        )

    def device_certificate(
        self, device: str, key: ec.EllipticCurvePrivateKey, urn: str | None = None, is_client: bool = True
    ) -> x509.Certificate:
        return self._certificate(device, key, self.ca_key, "fleet ca", urn=urn or device, is_client=is_client)

    def terminal(self, home: Path, device: str, kind: str = "vehicle") -> Identity:
        """Enroll `device` the way a board keeps it, and load it the way a board does."""
        folder = home / IDENTITY_FOLDER
        folder.mkdir(parents=True)
        key, kem = new_key(), new_key()
        leaf = self.device_certificate(device, key)
        chain = [cert.public_bytes(Encoding.DER) for cert in (leaf, self.ca, self.root)]
        admission = Admission(
            v=1,
            device=device,
            chain=tuple(chain),
            not_after_s=FAR_MS // 1000,
            renew_after_s=FAR_MS // 1000,
            crl=b"",
            broker=BrokerAddress(host="localhost", port=8883),
            note_keys=self.note_keys(),
            key_statement=self.statement(),
        )
        pin = sha256(public_der(self.root_key.public_key())).digest()
        enrolled = Enrolled(v=1, kind=kind, hub_url="https://localhost:8443", root_spki_sha256=pin, admission=admission)
        (folder / ENROLLED_FILE).write_bytes(encode(enrolled))
        for file, private in ((DEVICE_KEY_FILE, key), (KEM_KEY_FILE, kem)):
            (folder / file).write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (folder / DEVICE_CHAIN_FILE).write_bytes(leaf.public_bytes(Encoding.PEM) + self.ca.public_bytes(Encoding.PEM))
        (folder / ROOT_FILE).write_bytes(self.root.public_bytes(Encoding.PEM))
        return identity.load(home)

    def say(self, store: Saves, who: Identity, section: str, content: Struct, now_ms: int = 1_700_000_000_000) -> None:
        """The hub's newest word on `section`, kept by the terminal as its downlink would."""
        self._versions += 1
        version = Version(epoch=1, n=self._versions)
        data = seal_snapshot(who.device, section, version, encode(content), who.kem.public_key(), self.snapshot)
        store.do(lambda db: held.keep(db, section, version, data, now_ms))

    def _certificate(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        issuer_key: ec.EllipticCurvePrivateKey,
        issuer: str,
        path_length: int | None = None,
        urn: str | None = None,
        is_client: bool = True,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=90 if path_length is None else 3650))
            .add_extension(x509.BasicConstraints(ca=path_length is not None, path_length=path_length), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=path_length is None,
                    key_cert_sign=path_length is not None,
                    crl_sign=path_length is not None,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
        )
        if urn is not None:
            usage = ExtendedKeyUsageOID.CLIENT_AUTH if is_client else ExtendedKeyUsageOID.SERVER_AUTH
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(DEVICE_URN + urn)]), critical=False
            ).add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(issuer_key, SHA384() if issuer_key.curve.key_size == 384 else SHA256())
