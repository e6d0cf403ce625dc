"""The hub's API for boards: a challenge, a proof, and then, exactly once for each bundle, a certificate.

The proof is a MAC under the bundle's secret over both nonces and both new public keys. Whatever is refused has a code of
the tech's table and one sentence; what smells of a stolen bundle is in the audit before the answer leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from flask import Flask, Response, request
from msgspec import Struct
from sqlalchemy import Connection, Engine, Row, select, update
from werkzeug.exceptions import HTTPException

from hub import audit
from hub import ca as authority
from hub.ca import Ca
from hub.errors import Refused, http_status
from hub.fleet_api import fleet_views
from hub.limits import Challenges, Limiter
from hub.schema import bundle, device, unit
from hub.settings import TLS_FOLDER, Settings
from serving.server import Server, https_server
from wire.codec import Malformed, decode, encode
from wire.enrollment import (
    BODY_BYTES_MAX,
    CHALLENGE_PATH,
    CONTENT_TYPE,
    CSR_PATH,
    ROOT_PATH,
    Admission,
    BrokerAddress,
    Challenge,
    CsrRequest,
    Facts,
    Refusal,
    mac,
)
from wire.signature import public_der, public_from

SOFTWARE_MIN = "0.1.0"  # older boards cannot read what this hub sends
WRONG_MACS_MAX = 5
SAME_ANSWER_MS = 15 * 60_000  # a board whose link broke may ask again
THREADS = 8


class Limits(Struct, frozen=True, kw_only=True):
    """How often one address may ask, `attempts_per_min` challenges and as many proofs, and how often one bundle."""

    attempts_per_min: int = 10
    challenges_per_hour: int = 5


class DeviceApiParts(Struct, frozen=True, kw_only=True):
    """What the API is made of. `changed` is called after every commit that the rest of the hub should see."""

    engine: Engine
    ca: Ca
    settings: Settings
    changed: Callable[[], None]
    now_ms: Callable[[], int]
    limits: Limits = Limits()


class Denied(Struct, frozen=True, kw_only=True):
    """The answer to a board that gets nothing, as a value: what was counted against it must still be committed."""

    status: int
    code: str
    what: str
    wait_s: int | None = None


class Admitted(Struct, frozen=True, kw_only=True):
    """The answer to a good proof, an `Admission`. `nonce`: the challenge that was answered; `is_new`: not a repeat."""

    answer: bytes
    nonce: bytes
    is_new: bool


class _Keys(Struct, frozen=True, kw_only=True):
    identity: ec.EllipticCurvePublicKey
    kem: bytes


def create_device_api(parts: DeviceApiParts) -> Flask:
    """The application for boards and for the bench."""
    app = Flask("tandem-devices", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    challenges = Challenges()
    per_address_asks = Limiter(parts.limits.attempts_per_min, 60_000)
    per_address_proofs = Limiter(parts.limits.attempts_per_min, 60_000)
    per_tid = Limiter(parts.limits.challenges_per_hour, 3600_000)

    @app.get(ROOT_PATH)
    def root() -> Response:
        return Response(parts.ca.root.public_bytes(Encoding.DER), content_type="application/pkix-cert")

    @app.get(CHALLENGE_PATH)
    def challenge() -> Response:
        now_ms = parts.now_ms()
        if wait_ms := per_address_asks.take(request.remote_addr or "", now_ms):
            return _refusal(_too_often(wait_ms))
        tid = _tid(request.args.get("tid", ""))
        with parts.engine.begin() as connection:
            denied = may_ask(connection, tid, now_ms)
        if denied is not None:
            return _refusal(denied)
        if wait_ms := per_tid.take(tid.hex(), now_ms):
            return _refusal(_too_often(wait_ms))
        nonce = challenges.issue(tid, now_ms)
        answer = Challenge(
            v=1, nonce=nonce, hub_wall_ms=now_ms, software_min=SOFTWARE_MIN, key_statement=parts.ca.statement
        )
        return _answer(encode(answer))

    @app.post(CSR_PATH)
    def csr() -> Response:
        now_ms = parts.now_ms()
        if wait_ms := per_address_proofs.take(request.remote_addr or "", now_ms):
            return _refusal(_too_often(wait_ms))
        asked = decode(request.get_data(), CsrRequest)
        nonces = challenges.live(asked.tid, now_ms)
        if not nonces:
            return _refusal(
                Denied(status=409, code="E9", what="No challenge is open for this bundle: ask for one first.")
            )
        with parts.engine.begin() as connection:
            outcome = admit(connection, parts.ca, parts.settings, asked, nonces, now_ms)
        if isinstance(outcome, Denied):
            return _refusal(outcome)
        challenges.spend(outcome.nonce)
        if outcome.is_new:
            parts.changed()
        return _answer(outcome.answer)

    app.register_blueprint(fleet_views(parts.engine, parts.ca, parts.settings, parts.changed, parts.now_ms))

    @app.errorhandler(Malformed)
    def malformed(wrong: Malformed) -> Response:
        return _refusal(Denied(status=400, code="E9", what=f"The hub does not understand this request: {wrong}."))

    @app.errorhandler(Refused)
    def refused(wrong: Refused) -> Response:
        return _refusal(Denied(status=http_status(wrong), code=wrong.code, what=wrong.sentence))

    @app.errorhandler(HTTPException)
    def http_error(wrong: HTTPException) -> Response:
        return _refusal(Denied(status=wrong.code or 500, code="http", what=f"{wrong.name}."))

    return app


def device_api_server(parts: DeviceApiParts, home: Path) -> Server:
    """The API behind the certificate in `home`/tls, not started yet."""
    tls = home / TLS_FOLDER
    return https_server(
        parts.settings.device_api.host,
        parts.settings.device_api.port,
        create_device_api(parts),
        tls / f"{authority.Service.API}.crt",
        tls / f"{authority.Service.API}.key",
        threads=THREADS,
        body_bytes_max=BODY_BYTES_MAX,
    )


def may_ask(connection: Connection, tid: bytes, now_ms: int) -> Denied | None:
    """Why the bundle `tid` gets no challenge; None when it gets one."""
    row = connection.execute(select(bundle).where(bundle.c.tid == tid)).first()
    if row is None:
        return _UNKNOWN
    if row.wrong_macs >= WRONG_MACS_MAX:
        return _DEAD
    return _expired(row.exp_ms) if row.used_ms is None and now_ms >= row.exp_ms else None


def admit(
    connection: Connection, ca: Ca, settings: Settings, asked: CsrRequest, nonces: tuple[bytes, ...], now_ms: int
) -> Admitted | Denied:
    """A certificate for the board that asks, or why not; everything about it in the one transaction of `connection`."""
    held = connection.execute(
        select(bundle, device.c.state, unit.c.call_sign)
        .join(device, device.c.device == bundle.c.device)
        .join(unit, unit.c.unit == device.c.unit)
        .where(bundle.c.tid == asked.tid)
    ).first()
    if held is None:
        return _UNKNOWN
    if held.wrong_macs >= WRONG_MACS_MAX:
        return _DEAD
    nonce = _answered(held.secret, nonces, asked)
    if nonce is None:
        return _count_wrong(connection, held, now_ms)
    digest = sha256(asked.csr + asked.kem_public).digest()
    if held.used_ms is not None:
        if compare_digest(held.answer_to, digest) and now_ms - held.used_ms <= SAME_ANSWER_MS:
            return Admitted(answer=held.answer, nonce=nonce, is_new=False)
        audit.append(connection, now_ms, "hub", None, "bundle_reused", held.device, audit.DENIED, "alarm")
        return _used(held)
    if now_ms >= held.exp_ms:
        return _expired(held.exp_ms)
    if held.state != "pending":
        return Denied(status=409, code="E9", what=f"{held.device} is {held.state}: make a new bundle.")
    fresh = _fresh_keys(connection, asked)
    if isinstance(fresh, Denied):
        audit.append(connection, now_ms, "hub", None, "bundle_refused", held.device, audit.DENIED, fresh.what)
        return fresh
    answer = _enroll(connection, ca, settings, held.device, fresh, asked.facts, now_ms)
    connection.execute(
        update(bundle).where(bundle.c.tid == asked.tid).values(used_ms=now_ms, answer_to=digest, answer=answer)
    )
    return Admitted(answer=answer, nonce=nonce, is_new=True)


_UNKNOWN = Denied(
    status=404, code="E4", what="This hub has not made this bundle: check the hub's URL, or make a new one."
)
_DEAD = Denied(status=403, code="E9", what="Five wrong proofs have ended this bundle: make a new one.")


def _expired(exp_ms: int) -> Denied:
    return Denied(status=410, code="E1", what=f"The bundle ended on {_when(exp_ms)}: make a new one.")


def _used(held: Row[tuple[object, ...]]) -> Denied:
    what = f"The bundle was used on {_when(held.used_ms)} by the board that is now {held.device} ({held.call_sign})."
    return Denied(status=409, code="E2", what=f"{what} Make a new one, and find out who had this one.")


def _too_often(wait_ms: int) -> Denied:
    wait_s = wait_ms // 1000 + 1
    return Denied(status=429, code="too_many", what=f"Too many tries; wait {wait_s} s.", wait_s=wait_s)


def _when(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d at %H:%M UTC")


def _answered(secret: bytes, nonces: tuple[bytes, ...], asked: CsrRequest) -> bytes | None:
    """The challenge that the MAC in `asked` answers; None when it answers none."""
    proofs = {n: mac(secret, n, asked.nonce, asked.csr, asked.kem_public, asked.facts) for n in nonces}
    right = [nonce for nonce, proof in proofs.items() if compare_digest(proof, asked.mac)]
    return right[0] if right else None


def _count_wrong(connection: Connection, held: Row[tuple[object, ...]], now_ms: int) -> Denied:
    wrong = held.wrong_macs + 1
    connection.execute(update(bundle).where(bundle.c.tid == held.tid).values(wrong_macs=wrong))
    what = "bundle_dead" if wrong >= WRONG_MACS_MAX else "bundle_wrong_proof"
    audit.append(connection, now_ms, "hub", None, what, held.device, audit.DENIED, f"{wrong} of {WRONG_MACS_MAX}")
    if wrong >= WRONG_MACS_MAX:
        return _DEAD
    return Denied(status=403, code="E4", what="The proof is wrong: the bundle was altered on its way. Make a new one.")


def _fresh_keys(connection: Connection, asked: CsrRequest) -> _Keys | Denied:
    """The two public keys the board has made, which nobody else has; the names in the CSR are not looked at."""
    try:
        signing = x509.load_der_x509_csr(asked.csr)
        identity, is_signed = signing.public_key(), signing.is_signature_valid
        kem = public_from(asked.kem_public)
        decode(asked.facts, Facts)
    except (ValueError, UnsupportedAlgorithm):  # Malformed is a ValueError
        return Denied(
            status=400, code="E9", what="The request for a certificate cannot be read: flash the board again."
        )
    if not is_signed or not isinstance(identity, ec.EllipticCurvePublicKey) or identity.curve.name != "secp256r1":
        return Denied(status=400, code="E9", what="The request for a certificate is not signed by a P-256 key.")
    if kem.curve.name != "secp256r1" or public_der(kem) != asked.kem_public or kem == identity:
        return Denied(status=400, code="E9", what="The key for sealed state is not a P-256 key of its own.")
    taken = connection.execute(
        select(unit.c.call_sign)
        .join(device, device.c.unit == unit.c.unit)
        .where((device.c.public == public_der(identity)) | (device.c.kem_public == asked.kem_public))
    ).scalar()
    if taken is not None:
        return Denied(status=409, code="E10", what=f"This board is already {taken}: replace that device instead.")
    return _Keys(identity=identity, kem=asked.kem_public)


def _enroll(
    connection: Connection, ca: Ca, settings: Settings, name: str, fresh: _Keys, facts: bytes, now_ms: int
) -> bytes:
    now_s = now_ms // 1000
    leaf = ca.device_certificate(fresh.identity, name, now_s)
    serial, not_after_s = f"{leaf.serial_number:x}", int(leaf.not_valid_after_utc.timestamp())
    connection.execute(
        update(device)
        .where(device.c.device == name)
        .values(
            state="enrolled",
            public=public_der(fresh.identity),
            kem_public=fresh.kem,
            certificate=leaf.public_bytes(Encoding.DER),
            serial=serial,
            not_after_ms=not_after_s * 1000,
            facts=facts,
            enrolled_ms=now_ms,
        )
    )
    audit.append(connection, now_ms, "hub", None, "bundle_used", name, audit.OK)
    audit.append(connection, now_ms, "hub", None, "certificate_issued", name, audit.OK, f"serial {serial}")
    admission = Admission(
        v=1,
        device=name,
        chain=ca.chain(leaf),
        not_after_s=not_after_s,
        renew_after_s=now_s + authority.RENEW_AFTER_DAYS * 86_400,
        crl=ca.crl(authority.revoked(connection), now_s).public_bytes(Encoding.DER),
        broker=BrokerAddress(host=settings.broker.name, port=settings.broker.port),
        note_keys=ca.note_keys,
        key_statement=ca.statement,
    )
    return encode(admission)


def _tid(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Malformed("a bundle's name is hexadecimal") from None


def _answer(data: bytes) -> Response:
    return Response(data, content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})


def _refusal(denied: Denied) -> Response:
    response = _answer(encode(Refusal(code=denied.code, what=denied.what)))
    response.status_code = denied.status
    if denied.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="Tandem fleet", charset="UTF-8"'
    if denied.wait_s is not None:
        response.headers["Retry-After"] = str(denied.wait_s)
    return response
