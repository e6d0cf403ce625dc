"""How a board becomes known, once: the messages between bench, board and hub.

The secret of the bundle never travels: the board proves it with a MAC over its own fresh keys and the hub's fresh nonce.
Everything goes as MessagePack over HTTPS pinned to the agency root.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from wire import signature
from wire.codec import decode, encode
from wire.ids import ID_BYTES, device_id
from wire.signature import Context

CONTENT_TYPE = "application/msgpack"
BODY_BYTES_MAX = 16 * 1024
ROOT_PATH = "/enroll/v1/root"  # the agency root, DER: a board checks it against its pin before it says anything
CHALLENGE_PATH = "/enroll/v1/challenge"
CSR_PATH = "/enroll/v1/csr"
IDENTITY_FOLDER = "identity/current"  # under a terminal's home; a link that one rename swaps
ENROLLED_FILE = "enrolled.bin"  # MessagePack of `Enrolled`
DEVICE_KEY_FILE = "device.key"  # PKCS #8 PEM, P-256: TLS client and every signature
KEM_KEY_FILE = "kem.key"  # PKCS #8 PEM, P-256: opens sealed state
DEVICE_CHAIN_FILE = "device.crt"  # PEM: the device's own certificate, then the fleet CA
ROOT_FILE = "root.crt"  # PEM: what the broker and the hub are verified against
DEVICE_URN = "urn:tandem:device:"  # + device id: the URI SAN of a device certificate, beside the CN the broker reads


class Bundle(Struct, frozen=True, kw_only=True, array_like=True):
    """What a tech carries to the board: file or QR code, one use, one device, 24 hours.

    `tid`: 16 bytes that name the bundle; `secret`: 32 bytes; `exp_s`, `issued_s`: Unix seconds; `root_spki_sha256`: the
    pin of the agency root; `kind`: "vehicle" or "desk".
    """

    v: int
    device: str
    hub_url: str
    tid: bytes
    secret: bytes
    exp_s: int
    root_spki_sha256: bytes
    issued_s: int
    profile: str
    kind: str

    def __post_init__(self) -> None:
        device_id(self.device)
        if len(self.tid) != ID_BYTES or len(self.secret) != 32 or len(self.root_spki_sha256) != 32:
            raise ValueError("a bundle of the wrong sizes")
        if self.kind not in ("vehicle", "desk"):
            raise ValueError("a terminal is a vehicle or a desk")


class Challenge(Struct, frozen=True, kw_only=True):
    """The hub's answer to `GET /enroll/v1/challenge?tid=HEX`. `nonce`: 32 bytes, one use, 10 minutes."""

    v: int
    nonce: bytes
    hub_wall_ms: int
    software_min: str
    key_statement: bytes


class Facts(Struct, frozen=True, kw_only=True):
    """What a board says about itself; shown to the tech, believed by nobody."""

    serial: str
    model: str
    tier: str
    software: str


class CsrRequest(Struct, frozen=True, kw_only=True):
    """`POST /enroll/v1/csr`. `csr`: DER, P-256; `kem_public`: SubjectPublicKeyInfo DER, P-256; `nonce`: the board's
    16 bytes; `facts`: MessagePack of `Facts`, kept as bytes because the MAC covers them; `mac`: see `mac`."""

    v: int
    tid: bytes
    csr: bytes
    kem_public: bytes
    nonce: bytes
    facts: bytes
    mac: bytes


class BrokerAddress(Struct, frozen=True, kw_only=True):
    """Where the terminal connects. The broker's certificate must name `host`."""

    host: str
    port: int


class Admission(Struct, frozen=True, kw_only=True):
    """The hub's answer to a good request. `chain`: DER certificates, the device's own first, then the fleet CA, then
    the root; times in Unix seconds; `crl`: DER; `note_keys`, `key_statement`: signed (see `wire.keys`)."""

    v: int
    device: str
    chain: tuple[bytes, ...]
    not_after_s: int
    renew_after_s: int
    crl: bytes
    broker: BrokerAddress
    note_keys: bytes
    key_statement: bytes


class Enrolled(Struct, frozen=True, kw_only=True):
    """What a board keeps of its enrollment, in `ENROLLED_FILE` beside its keys."""

    v: int
    kind: str
    hub_url: str
    root_spki_sha256: bytes
    admission: Admission


class Refusal(Struct, frozen=True, kw_only=True):
    """The body of every answer that is not 200. `code`: "E1" … "E11" for the tech's table; `what`: one sentence."""

    code: str
    what: str


def mac(secret: bytes, hub_nonce: bytes, board_nonce: bytes, csr: bytes, kem_public: bytes, facts: bytes) -> bytes:
    """The proof that whoever made these keys held the bundle."""
    bound = hub_nonce + board_nonce + sha256(csr).digest() + sha256(kem_public).digest() + sha256(facts).digest()
    return hmac.new(secret, b"tandem-enroll-v1\0" + bound, sha256).digest()


def sign_bundle(bundle: Bundle, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The bundle as file or QR code, signed by the snapshot key."""
    return signature.signed(Context.BUNDLE, encode(bundle), key)


def read_bundle(data: bytes) -> Bundle:
    """The bundle in `data`, its signature not verified: the board learns the key only through the bundle's own pin.

    Whoever hands over the bundle owns the board; `open_bundle` checks it once the key statement is there.
    """
    return decode(signature.payload_of(data), Bundle)


def open_bundle(data: bytes, key: ec.EllipticCurvePublicKey) -> Bundle:
    """The bundle in `data`, signed by the snapshot `key`; Malformed otherwise."""
    return decode(signature.opened(Context.BUNDLE, data, key), Bundle)
