"""A blank board becomes a terminal: it makes its keys, proves that it holds the bundle, and believes nothing unverified.

The bundle's pin is the one anchor. The agency root comes over an unverified connection and must have that pin before
anything else is said; from then on TLS trusts that root alone. The board's clock is not asked, because it may stand in
1970 or in 2038: the time is the hub's, and only inside the bundle's own 24 hours.

Cut at any point, the same command goes on where it was: the keys wait in `identity/pending`, the hub answers the same
request with the same certificate for 15 minutes, and the identity appears by one rename of the link `current`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from secrets import token_bytes
from ssl import SSLContext
from typing import TypeVar

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
from cryptography.x509.oid import NameOID
from msgspec import Struct

from provisioning import https
from provisioning.errors import CannotDo
from provisioning.files import sync_folder, write_new
from provisioning.https import Answer
from wire import keys
from wire.certificates import certificate, device_of, pinned_root, public_key, verify_device
from wire.codec import Malformed, decode, encode
from wire.enrollment import (
    CHALLENGE_PATH,
    CONTENT_TYPE,
    CSR_PATH,
    DEVICE_CHAIN_FILE,
    DEVICE_KEY_FILE,
    ENROLLED_FILE,
    IDENTITY_FOLDER,
    KEM_KEY_FILE,
    ROOT_FILE,
    ROOT_PATH,
    Admission,
    Bundle,
    Challenge,
    CsrRequest,
    Enrolled,
    Facts,
    Refusal,
    mac,
    open_bundle,
    read_bundle,
)
from wire.keys import KeyStatement, Role
from wire.signature import public_der

SOFTWARE = "0.1.0"
CLOCKS_APART_S_MAX = 300
WAITS_MAX = 20  # a bench that enrolls a whole fleet at once is asked to wait, a minute at a time
PENDING = "pending"
_BUNDLE_FILE = "bundle.bin"
_CSR_FILE = "device.csr"

T = TypeVar("T", Challenge, Admission)


class Pending(Struct, frozen=True, kw_only=True):
    """The keys of this attempt, on disk before the hub hears of them."""

    key: ec.EllipticCurvePrivateKey
    kem: ec.EllipticCurvePrivateKey
    csr: bytes


class Arrived(Struct, frozen=True, kw_only=True):
    """What the board is now."""

    device: str
    kind: str
    kem_public: bytes


def first_boot(
    data: bytes,
    home: Path,
    facts: Facts,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Arrived:
    """Make the board with its terminal in `home` what the bundle in `data` says; CannotDo with its code otherwise.

    `say` hears of each step before it is taken.
    """
    bundle = _bundle(data)
    folder = home / Path(IDENTITY_FOLDER).parent
    before = _enrolled(folder)
    if before is not None:
        return _already(folder, before, bundle)
    say(f"making the keys of {bundle.device} on this board")
    pending = _pending(folder, data, bundle)
    say(f"asking {bundle.hub_url} for the agency root, to compare it with the bundle's pin")
    root = _root(bundle)
    context = https.pinned(root.public_bytes(Encoding.PEM).decode(), is_clock_believed=False)
    say("asking for a challenge")
    challenge, at_s = _challenge(bundle, root, context, say, sleep)
    _check_bundle(data, bundle, challenge, root)
    say("proving that this board holds the bundle")
    body = encode(_request(bundle, challenge, pending, facts))
    answer = _patiently(
        lambda: https.ask(bundle.hub_url, "POST", CSR_PATH, context, body, {"Content-Type": CONTENT_TYPE}), say, sleep
    )
    _check_peer(answer, at_s)
    admission = _decoded(answer, Admission)
    say("verifying the answer up to the agency root")
    check_admission(admission, bundle, data, pending.key.public_key(), root, at_s)
    say("taking on the identity")
    _take_on(folder, bundle, pending, admission, root)
    shutil.rmtree(folder / PENDING, ignore_errors=True)
    return Arrived(device=bundle.device, kind=bundle.kind, kem_public=public_der(pending.kem.public_key()))


def check_admission(
    admission: Admission,
    bundle: Bundle,
    data: bytes,
    own: ec.EllipticCurvePublicKey,
    root: x509.Certificate,
    at_s: int,
) -> None:
    """Nothing when the hub's answer leads to the agency `root` in every part; CannotDo E3 otherwise.

    A hub that lies could otherwise give us another's name, or note keys whose owner reads along.
    """
    try:
        leaf = verify_device(admission.chain, root, at_s)
        if leaf.public_key() != own:
            raise Malformed("a certificate for another key")
        if admission.device != bundle.device or device_of(leaf) != bundle.device:
            raise Malformed("a certificate of another device")
        if admission.not_after_s != int(leaf.not_valid_after_utc.timestamp()):
            raise Malformed("a certificate that ends on another day than the hub says")
        statement = keys.open_statement(admission.key_statement, public_key(root))
        keys.open_note_keys(admission.note_keys, statement).recipients()
        open_bundle(data, statement.key(Role.SNAPSHOT))
        _check_crl(admission, leaf, at_s)
        if not admission.broker.host or not 1 <= admission.broker.port <= 65535:
            raise Malformed("a broker without an address")
    except Malformed as wrong:
        raise CannotDo(
            f"The hub's answer is not to be believed ({wrong}): stop, and tell the fleet's owner.", "E3"
        ) from None


def _bundle(data: bytes) -> Bundle:
    try:
        bundle = read_bundle(data)
    except Malformed as wrong:
        raise CannotDo(f"This is not a whole bundle ({wrong}): fetch it again.", "E4") from None
    if bundle.v != 1:
        raise CannotDo("The bundle is of a newer fleet than this board's software: flash the board again.", "E7")
    https.address(bundle.hub_url)
    return bundle


def _enrolled(folder: Path) -> Enrolled | None:
    try:
        return decode((folder / "current" / ENROLLED_FILE).read_bytes(), Enrolled)
    except FileNotFoundError:
        return None
    except (OSError, Malformed):
        raise CannotDo(f"The identity in {folder} cannot be read: flash the board again.", "E10") from None


def _already(folder: Path, before: Enrolled, bundle: Bundle) -> Arrived:
    name = before.admission.device
    if name != bundle.device:
        raise CannotDo(f"This board is already {name}: replace that device, or use a blank board.", "E10")
    shutil.rmtree(folder / PENDING, ignore_errors=True)  # a cut between the rename and this
    kem = _private(folder / "current" / KEM_KEY_FILE)
    return Arrived(device=name, kind=before.kind, kem_public=public_der(kem.public_key()))


def _pending(folder: Path, data: bytes, bundle: Bundle) -> Pending:
    """The keys made for this bundle, made now unless an earlier attempt has left them."""
    waiting = folder / PENDING
    try:
        if (waiting / _BUNDLE_FILE).read_bytes() == data:
            csr = (waiting / _CSR_FILE).read_bytes()
            return Pending(key=_private(waiting / DEVICE_KEY_FILE), kem=_private(waiting / KEM_KEY_FILE), csr=csr)
    except FileNotFoundError:
        pass
    key, kem = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, bundle.device)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, SHA256()).public_bytes(Encoding.DER)
    files = {DEVICE_KEY_FILE: _pem(key), KEM_KEY_FILE: _pem(kem), _CSR_FILE: csr, _BUNDLE_FILE: data}
    _write_folder(folder, PENDING, files)
    return Pending(key=key, kem=kem, csr=csr)


def _root(bundle: Bundle) -> x509.Certificate:
    answer = https.ask(bundle.hub_url, "GET", ROOT_PATH, https.unverified())
    try:
        return pinned_root(answer.body, bundle.root_spki_sha256)
    except Malformed:
        raise CannotDo(f"The server at {bundle.hub_url} is not our hub: stop, and check the URL.", "E3") from None


def _challenge(
    bundle: Bundle,
    root: x509.Certificate,
    context: SSLContext,
    say: Callable[[str], None],
    sleep: Callable[[float], None],
) -> tuple[Challenge, int]:
    """The hub's challenge, and what time it is."""
    path = f"{CHALLENGE_PATH}?tid={bundle.tid.hex()}"
    answer = _patiently(lambda: https.ask(bundle.hub_url, "GET", path, context), say, sleep)
    challenge = _decoded(answer, Challenge)
    at_s = challenge.hub_wall_ms // 1000
    if not bundle.issued_s - CLOCKS_APART_S_MAX <= at_s <= bundle.exp_s + CLOCKS_APART_S_MAX:
        raise CannotDo(
            "The hub's clock is outside the bundle's 24 hours: set the hub's clock, or make a new bundle.", "E6"
        )
    _check_peer(answer, at_s)
    return challenge, at_s


def _check_bundle(data: bytes, bundle: Bundle, challenge: Challenge, root: x509.Certificate) -> None:
    """Nothing when the bundle is as the hub signed it, by the root's word, and this software is new enough."""
    try:
        statement: KeyStatement = keys.open_statement(challenge.key_statement, public_key(root))
        snapshot = statement.key(Role.SNAPSHOT)
    except Malformed:
        raise CannotDo("The hub shows keys that the agency root does not vouch for: stop.", "E3") from None
    try:
        open_bundle(data, snapshot)
    except Malformed:
        raise CannotDo("The bundle was altered on its way: make a new one.", "E4") from None
    if _version(SOFTWARE) < _version(challenge.software_min):
        raise CannotDo(f"This board's software is {SOFTWARE}, the hub wants {challenge.software_min}: flash it.", "E7")


def _request(bundle: Bundle, challenge: Challenge, pending: Pending, facts: Facts) -> CsrRequest:
    nonce, said, kem = token_bytes(16), encode(facts), public_der(pending.kem.public_key())
    proof = mac(bundle.secret, challenge.nonce, nonce, pending.csr, kem, said)
    return CsrRequest(v=1, tid=bundle.tid, csr=pending.csr, kem_public=kem, nonce=nonce, facts=said, mac=proof)


def _patiently(ask: Callable[[], Answer], say: Callable[[str], None], sleep: Callable[[float], None]) -> Answer:
    """The hub's answer, asked again while it says that it is asked too often."""
    for _ in range(WAITS_MAX):
        answer = ask()
        if answer.status != 429 or answer.wait_s is None or answer.wait_s > 60:
            return answer
        say(f"the hub is busy; asking again in {answer.wait_s} s")
        sleep(answer.wait_s)
    return ask()


def _decoded(answer: Answer, kind: type[T]) -> T:
    try:
        if answer.status == 200:
            return decode(answer.body, kind)
        refusal = decode(answer.body, Refusal)
    except Malformed:
        raise CannotDo(
            f"The hub's answer ({answer.status}) cannot be read: is this a hub of this version?", "E3"
        ) from None
    raise CannotDo(refusal.what, refusal.code)


def _check_peer(answer: Answer, at_s: int) -> None:
    """Nothing when the server's certificate, whose chain OpenSSL has verified, was good at the time."""
    peer = certificate(answer.peer)
    if not peer.not_valid_before_utc.timestamp() <= at_s <= peer.not_valid_after_utc.timestamp():
        raise CannotDo("The hub's own certificate has ended: restart the hub, which renews it.", "E3")


def _check_crl(admission: Admission, leaf: x509.Certificate, at_s: int) -> None:
    try:
        crl = x509.load_der_x509_crl(admission.crl)
        issuers = [certificate(der) for der in admission.chain[1:]]
        is_signed = any(crl.issuer == ca.subject and crl.is_signature_valid(public_key(ca)) for ca in issuers)
        ends = crl.next_update_utc
    except (ValueError, InvalidSignature):
        raise Malformed("a revocation list that cannot be read") from None
    if not is_signed or ends is None or ends.timestamp() < at_s:
        raise Malformed("a revocation list that the fleet CA has not signed, or that has ended")
    if crl.get_revoked_certificate_by_serial_number(leaf.serial_number) is not None:
        raise Malformed("a certificate that is revoked already")


def _take_on(folder: Path, bundle: Bundle, pending: Pending, admission: Admission, root: x509.Certificate) -> None:
    """Write the identity beside, then let one rename of a link make it ours: cut at any point, it is all or nothing."""
    enrolled = Enrolled(
        v=1,
        kind=bundle.kind,
        hub_url=bundle.hub_url,
        root_spki_sha256=bundle.root_spki_sha256,
        admission=admission,
    )
    own, fleet_ca = (certificate(der).public_bytes(Encoding.PEM) for der in admission.chain[:2])
    files = {
        ENROLLED_FILE: encode(enrolled),
        DEVICE_KEY_FILE: _pem(pending.key),
        KEM_KEY_FILE: _pem(pending.kem),
        DEVICE_CHAIN_FILE: own + fleet_ca,
        ROOT_FILE: root.public_bytes(Encoding.PEM),
    }
    _write_folder(folder, "v1", files)
    link = folder / ".current"
    link.unlink(missing_ok=True)
    link.symlink_to("v1")
    link.replace(folder / "current")
    sync_folder(folder)


def _write_folder(parent: Path, name: str, files: dict[str, bytes]) -> None:
    """A folder that is there with all its `files` or not at all; an unfinished one of that name gives way."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = parent / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    for file, data in files.items():
        write_new(part / file, data)
    sync_folder(part)
    shutil.rmtree(parent / name, ignore_errors=True)
    part.replace(parent / name)
    sync_folder(parent)


def _private(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # we wrote it
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdecimal())
