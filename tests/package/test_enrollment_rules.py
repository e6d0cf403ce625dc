"""The hub's side of enrollment, one rule at a time: proofs, limits, what a CSR may say, and what a lying hub cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from secrets import token_bytes

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from flask.testing import FlaskClient
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Engine, select

from hub import schema
from hub.ca import Ca, open_ca
from hub.enroll import DeviceApiParts, Limits, create_device_api
from hub.fleet_api import add_device
from hub.limits import Limiter
from hub.settings import Settings
from provisioning.errors import CannotDo
from provisioning.first_boot import check_admission
from tests.hub_on_disk import AGENCY, NO_LIMITS, NOW_S, Clock, fleet_files, hire, make_home, stock
from tests.new_store import new_store
from wire import keys
from wire.certificates import device_of, verify_device
from wire.codec import decode, encode
from wire.enrollment import (
    BODY_BYTES_MAX,
    CHALLENGE_PATH,
    CSR_PATH,
    Admission,
    BrokerAddress,
    Bundle,
    Challenge,
    CsrRequest,
    Facts,
    Refusal,
    mac,
    read_bundle,
)
from wire.fleet import DEVICES_PATH, AddedDevice, DeviceEntry, DeviceList, NewDevice
from wire.keys import KeyStatement
from wire.signature import public_der

FACTS = encode(Facts(serial="1", model="Pi", tier="T0", software="0.1.0"))


class Desk(Struct, frozen=True, kw_only=True):
    """A hub's API without its TLS, and a clock in the test's hand."""

    http: FlaskClient
    engine: Engine
    ca: Ca
    settings: Settings
    clock: Clock

    def add(self, unit: str = "CARE-1", kind: str = "vehicle") -> AddedDevice:
        with self.engine.begin() as connection:
            return add_device(connection, self.ca, self.settings, NewDevice(unit=unit, kind=kind), "tech", self.clock())

    def challenge(self, bundle: Bundle) -> bytes:
        answer = self.http.get(CHALLENGE_PATH, query_string={"tid": bundle.tid.hex()})
        assert answer.status_code == 200
        return decode(answer.data, Challenge).nonce

    def prove(self, asked: CsrRequest) -> Admission | Refusal:
        answer = self.http.post(CSR_PATH, data=encode(asked))
        return decode(answer.data, Admission) if answer.status_code == 200 else decode(answer.data, Refusal)

    def audited(self) -> list[str]:
        with self.engine.begin() as connection:
            return list(connection.execute(select(schema.audit.c.what).order_by(schema.audit.c.seq)).scalars())


class Board(Struct, frozen=True, kw_only=True):
    """What a board brings: its keys and its CSR."""

    key: ec.EllipticCurvePrivateKey
    kem: ec.EllipticCurvePrivateKey
    csr: bytes

    def request(self, bundle: Bundle, hub_nonce: bytes) -> CsrRequest:
        nonce, kem = token_bytes(16), public_der(self.kem.public_key())
        proof = mac(bundle.secret, hub_nonce, nonce, self.csr, kem, FACTS)
        return CsrRequest(v=1, tid=bundle.tid, csr=self.csr, kem_public=kem, nonce=nonce, facts=FACTS, mac=proof)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Ca, Settings]]:
    _, hub, settings = make_home(tmp_path_factory.mktemp("hub"))
    engine = new_store(hub)
    stock(engine)
    hire(engine)
    yield engine, open_ca(hub, settings), settings
    engine.dispose()


@pytest.fixture
def desk(home: tuple[Engine, Ca, Settings]) -> Desk:
    return open_desk(home, NO_LIMITS)


def open_desk(home: tuple[Engine, Ca, Settings], limits: Limits) -> Desk:
    engine, ca, settings = home
    with engine.begin() as connection:
        for table in (schema.bundle, schema.device, schema.audit):
            connection.execute(table.delete())
    clock = Clock(NOW_S)
    parts = DeviceApiParts(engine=engine, ca=ca, settings=settings, changed=lambda: None, now_ms=clock, limits=limits)
    return Desk(http=create_device_api(parts).test_client(), engine=engine, ca=ca, settings=settings, clock=clock)


def csr_of(key: ec.EllipticCurvePrivateKey, common_name: str = "anything") -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    return x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, SHA256()).public_bytes(Encoding.DER)


def board(curve: ec.EllipticCurve | None = None, common_name: str = "anything") -> Board:
    key = ec.generate_private_key(curve or ec.SECP256R1())
    return Board(key=key, kem=ec.generate_private_key(ec.SECP256R1()), csr=csr_of(key, common_name))


def admitted(desk: Desk, data: bytes, by: Board) -> Admission:
    bundle = read_bundle(data)
    answer = desk.prove(by.request(bundle, desk.challenge(bundle)))
    assert isinstance(answer, Admission), answer
    return answer


def code(answer: Admission | Refusal) -> str:
    assert isinstance(answer, Refusal)
    return answer.code


def test_the_names_in_a_csr_are_not_looked_at(desk: Desk) -> None:
    added = desk.add()
    answer = admitted(desk, added.bundle, board(common_name="hub-ingest"))
    assert device_of(verify_device(answer.chain, desk.ca.root, NOW_S)) == added.device


@pytest.mark.parametrize(
    "change",
    [
        lambda asked: replace(asked, mac=bytes(32)),
        lambda asked: replace(asked, mac=b""),
        lambda asked: replace(asked, nonce=bytes(16)),
        lambda asked: replace(asked, facts=encode(Facts(serial="2", model="Pi", tier="T0", software="0.1.0"))),
        lambda asked: replace(asked, kem_public=public_der(ec.generate_private_key(ec.SECP256R1()).public_key())),
        lambda asked: replace(asked, csr=board().csr),
    ],
    ids=["mac", "no mac", "nonce", "facts", "kem key", "csr"],
)
def test_a_proof_covers_everything_a_board_sends(desk: Desk, change: Callable[[CsrRequest], CsrRequest]) -> None:
    bundle = read_bundle(desk.add().bundle)
    asked = board().request(bundle, desk.challenge(bundle))
    assert code(desk.prove(change(asked))) == "E4"
    assert isinstance(desk.prove(asked), Admission)  # one wrong proof has not used the bundle up


def test_five_wrong_proofs_end_a_bundle_for_good(desk: Desk) -> None:
    bundle = read_bundle(desk.add().bundle)
    asked = board().request(bundle, desk.challenge(bundle))
    codes = [code(desk.prove(replace(asked, mac=bytes([n]) * 32))) for n in range(5)]
    assert codes == ["E4", "E4", "E4", "E4", "E9"]
    assert code(desk.prove(asked)) == "E9"
    assert desk.http.get(CHALLENGE_PATH, query_string={"tid": bundle.tid.hex()}).status_code == 403
    assert "bundle_dead" in desk.audited()


def test_the_same_board_gets_the_same_answer_for_15_minutes(desk: Desk) -> None:
    added, own = desk.add(), board()
    first = admitted(desk, added.bundle, own)
    desk.clock.now_ms += 15 * 60_000
    assert admitted(desk, added.bundle, own) == first
    desk.clock.now_ms += 1
    bundle = read_bundle(added.bundle)
    assert code(desk.prove(own.request(bundle, desk.challenge(bundle)))) == "E2"
    assert desk.audited().count("certificate_issued") == 1
    assert desk.audited()[-1] == "bundle_reused"


def test_the_answer_to_a_second_use_says_by_whom_and_when(desk: Desk) -> None:
    added = desk.add()
    admitted(desk, added.bundle, board())
    bundle = read_bundle(added.bundle)
    refusal = desk.prove(board().request(bundle, desk.challenge(bundle)))
    assert isinstance(refusal, Refusal)
    assert added.device in refusal.what
    assert "CARE-1" in refusal.what
    assert "2026-09-10 at 19:39 UTC" in refusal.what


def test_a_challenge_is_good_once(desk: Desk) -> None:
    bundle, own = read_bundle(desk.add().bundle), board()
    asked = own.request(bundle, desk.challenge(bundle))
    assert isinstance(desk.prove(asked), Admission)
    assert code(desk.prove(asked)) == "E9"


def test_a_challenge_is_good_for_10_minutes(desk: Desk) -> None:
    bundle, own = read_bundle(desk.add().bundle), board()
    asked = own.request(bundle, desk.challenge(bundle))
    desk.clock.now_ms += 10 * 60_000
    assert code(desk.prove(asked)) == "E9"


def test_a_bundle_that_ends_between_challenge_and_proof_has_ended(desk: Desk) -> None:
    bundle = read_bundle(desk.add().bundle)
    desk.clock.now_ms = bundle.exp_s * 1000 - 1
    asked = board().request(bundle, desk.challenge(bundle))
    desk.clock.now_ms += 1
    assert code(desk.prove(asked)) == "E1"
    assert "certificate_issued" not in desk.audited()


def test_a_challenge_for_one_bundle_is_none_for_another(desk: Desk) -> None:
    one, other = read_bundle(desk.add().bundle), read_bundle(desk.add("CARE-2").bundle)
    nonce = desk.challenge(one)
    assert code(desk.prove(board().request(other, nonce))) == "E9"
    desk.challenge(other)
    assert code(desk.prove(board().request(other, nonce))) == "E4"


def test_a_bundle_of_another_hub_is_unknown(desk: Desk) -> None:
    answer = desk.http.get(CHALLENGE_PATH, query_string={"tid": "00" * 16})
    assert (answer.status_code, decode(answer.data, Refusal).code) == (404, "E4")


def test_a_bundle_made_anew_ends_the_one_before(desk: Desk) -> None:
    before, after = desk.add(), desk.add()
    assert before.device == after.device
    answer = desk.http.get(CHALLENGE_PATH, query_string={"tid": read_bundle(before.bundle).tid.hex()})
    assert decode(answer.data, Refusal).code == "E1"
    admitted(desk, after.bundle, board())


def broken_csr() -> bytes:
    good = board().csr
    return good[:-1] + bytes([good[-1] ^ 1])


@pytest.mark.parametrize(
    "make",
    [
        lambda: replace(board(), csr=broken_csr()),
        lambda: replace(board(), csr=b"rubbish"),
        lambda: board(ec.SECP384R1()),
        lambda: replace(board(), kem=ec.generate_private_key(ec.SECP384R1())),
        lambda: (lambda own: replace(own, kem=own.key))(board()),
    ],
    ids=["wrong signature", "rubbish", "P-384", "P-384 for sealing", "one key for both"],
)
def test_wrong_keys_get_no_certificate_and_use_nothing_up(desk: Desk, make: Callable[[], Board]) -> None:
    added = desk.add()
    bundle = read_bundle(added.bundle)
    assert code(desk.prove(make().request(bundle, desk.challenge(bundle)))) == "E9"
    assert "certificate_issued" not in desk.audited()
    admitted(desk, added.bundle, board())


def test_a_board_that_is_another_unit_s_already_is_told_whose(desk: Desk) -> None:
    own = board()
    admitted(desk, desk.add("CARE-1").bundle, own)
    bundle = read_bundle(desk.add("CARE-2").bundle)
    refusal = desk.prove(own.request(bundle, desk.challenge(bundle)))
    assert isinstance(refusal, Refusal)
    assert (refusal.code, "CARE-1" in refusal.what) == ("E10", True)


def test_malformed_requests_are_refused_in_a_sentence(desk: Desk) -> None:
    for data in (b"", b"\xc1", b"\x80", encode({"v": 1}), token_bytes(500)):
        answer = desk.http.post(CSR_PATH, data=data)
        assert (answer.status_code, decode(answer.data, Refusal).code) == (400, "E9")
    assert desk.http.get(CHALLENGE_PATH, query_string={"tid": "no hex"}).status_code == 400
    assert desk.http.post(CSR_PATH, data=bytes(BODY_BYTES_MAX + 1)).status_code == 413
    assert decode(desk.http.get("/elsewhere").data, Refusal).code == "http"


def test_an_address_may_try_ten_times_a_minute_and_a_bundle_five_times_an_hour(
    home: tuple[Engine, Ca, Settings],
) -> None:
    desk = open_desk(home, Limits())
    tids = [read_bundle(desk.add(unit).bundle).tid.hex() for unit in ("CARE-1", "CARE-2")]
    statuses = [desk.http.get(CHALLENGE_PATH, query_string={"tid": tids[0]}).status_code for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    statuses = [desk.http.get(CHALLENGE_PATH, query_string={"tid": tids[1]}).status_code for _ in range(5)]
    assert statuses == [200] * 4 + [429]
    desk.clock.now_ms += 60_000
    assert desk.http.get(CHALLENGE_PATH, query_string={"tid": tids[1]}).status_code == 200
    answer = desk.http.get(CHALLENGE_PATH, query_string={"tid": tids[0]})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3541")


def test_a_limiter_forgets_the_address_that_asked_longest_ago() -> None:
    limiter = Limiter(1, 60_000)
    for address in range(5000):
        assert limiter.take(str(address), 0) == 0
    assert limiter.take("4999", 1) > 0
    assert limiter.take("0", 1) == 0


# --- what a lying hub could answer ------------------------------------------------------------------------------------


def lies(desk: Desk, good: Admission) -> dict[str, Admission]:
    """Admissions that a hub with every key it has could make, each with one thing wrong."""
    statement = keys.open_statement(good.key_statement, _root(desk))
    listed = keys.open_note_keys(good.note_keys, statement)
    stranger = ec.generate_private_key(ec.SECP256R1())
    own_list = keys.sign_note_keys(listed, desk.ca.snapshot_key)
    own_statement = keys.sign_statement(statement, ec.generate_private_key(ec.SECP384R1()))
    other = open_other(desk)
    return {
        "another's name": replace(good, device="t-other"),
        "a certificate of another device": replace(good, chain=desk.ca.chain(_leaf(desk.ca, stranger, "t-other"))),
        "a certificate for another key": replace(good, chain=desk.ca.chain(_leaf(desk.ca, stranger, good.device))),
        "another root": replace(good, chain=(good.chain[0], *other.chain(_leaf(other, stranger, "t-1"))[1:])),
        "no chain": replace(good, chain=()),
        "note keys signed by the hub": replace(good, note_keys=own_list),
        "a statement by another root": replace(good, key_statement=own_statement),
        "another end": replace(good, not_after_s=good.not_after_s + 1),
        "a revocation list of another CA": replace(good, crl=other.crl([], NOW_S).public_bytes(Encoding.DER)),
        "a revocation list that has ended": replace(
            good, crl=desk.ca.crl([], NOW_S - 31 * 86_400).public_bytes(Encoding.DER)
        ),
        "no broker": replace(good, broker=BrokerAddress(host="", port=8883)),
    }


LIES = (
    "another's name",
    "a certificate of another device",
    "a certificate for another key",
    "another root",
    "no chain",
    "note keys signed by the hub",
    "a statement by another root",
    "another end",
    "a revocation list of another CA",
    "a revocation list that has ended",
    "no broker",
)


@pytest.mark.parametrize("lie", LIES)
def test_a_board_does_not_believe(desk: Desk, lie: str) -> None:
    added, own = desk.add(), board()
    bundle, good = read_bundle(added.bundle), admitted(desk, added.bundle, own)
    check_admission(good, bundle, added.bundle, own.key.public_key(), desk.ca.root, NOW_S)
    told = lies(desk, good)
    assert set(told) == set(LIES)
    with pytest.raises(CannotDo) as caught:
        check_admission(told[lie], bundle, added.bundle, own.key.public_key(), desk.ca.root, NOW_S)
    assert caught.value.code == "E3"


def _leaf(ca: Ca, key: ec.EllipticCurvePrivateKey, name: str) -> x509.Certificate:
    return ca.device_certificate(key.public_key(), name, NOW_S)


def _root(desk: Desk) -> ec.EllipticCurvePublicKey:
    key = desk.ca.root.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def open_other(desk: Desk) -> Ca:
    """The CA of another agency of the same name."""
    files = {name.removeprefix("hub/"): data for name, data in fleet_files(NOW_S + 1).items()}
    key = ec.generate_private_key(ec.SECP256R1())
    root = x509.load_pem_x509_certificate(files["root.crt"])
    fleet_ca = x509.load_pem_x509_certificate(files["fleet-ca.crt"])
    return replace(desk.ca, root=root, certificate=fleet_ca, key=key)


# --- what a fleet tech asks for ---------------------------------------------------------------------------------------


def ask(
    desk: Desk,
    method: str,
    path: str,
    account: str = "tech",
    password: str = "a password for a tech",
    body: bytes = b"",
) -> tuple[int, bytes]:
    answer = desk.http.open(path, method=method, data=body, auth=(account, password))
    return answer.status_code, answer.data


def test_a_tech_adds_a_device_and_sees_it(desk: Desk) -> None:
    status, data = ask(desk, "POST", DEVICES_PATH, body=encode(NewDevice(unit="CARE-1", kind="vehicle")))
    added = decode(data, AddedDevice)
    assert (status, added.unit, added.call_sign) == (201, "care-1", "CARE-1")
    own = board()
    admitted(desk, added.bundle, own)
    _, data = ask(desk, "GET", DEVICES_PATH)
    (listed,) = decode(data, DeviceList).devices
    _, data = ask(desk, "GET", f"{DEVICES_PATH}/{added.device}")
    shown = decode(data, DeviceEntry)
    assert shown == listed
    assert (shown.state, shown.kem_public, shown.model) == ("enrolled", public_der(own.kem.public_key()), "Pi")


@pytest.mark.parametrize(
    ("account", "password", "status", "word"),
    [
        ("tech", "wrong password", 401, "wrong_password"),
        ("nobody", "a password for a tech", 401, "wrong_password"),
        ("dispatch", "a password for a tech", 403, "not_your_role"),
    ],
)
def test_only_techs_and_supervisors_add_devices(
    desk: Desk, account: str, password: str, status: int, word: str
) -> None:
    new = encode(NewDevice(unit="CARE-1", kind="vehicle"))
    got, data = ask(desk, "POST", DEVICES_PATH, account, password, new)
    assert (got, decode(data, Refusal).code) == (status, word)
    with desk.engine.begin() as connection:
        assert connection.execute(select(schema.device)).first() is None


def test_nobody_without_a_name_is_answered(desk: Desk) -> None:
    for method, path in (("POST", DEVICES_PATH), ("GET", DEVICES_PATH), ("GET", f"{DEVICES_PATH}/t-1")):
        answer = desk.http.open(path, method=method)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (NewDevice(unit="CARE-11", kind="vehicle"), "did you mean CARE-1?"),
        (NewDevice(unit="Ambulance", kind="vehicle"), "import the roster first"),
        (NewDevice(unit="CARE-1", kind="desk"), "CARE-1 is a vehicle, not a desk"),
    ],
)
def test_a_slip_in_unit_or_kind_is_one_sentence(desk: Desk, new: NewDevice, sentence: str) -> None:
    status, data = ask(desk, "POST", DEVICES_PATH, body=encode(new))
    assert status in (400, 404)
    assert sentence in decode(data, Refusal).what


def test_a_unit_has_one_live_device(desk: Desk) -> None:
    added = desk.add()
    admitted(desk, added.bundle, board())
    status, data = ask(desk, "POST", DEVICES_PATH, body=encode(NewDevice(unit="care-1", kind="vehicle")))
    assert status == 409
    assert added.device in decode(data, Refusal).what


def test_what_is_only_public_stays_so(desk: Desk) -> None:
    added = desk.add()
    secret = read_bundle(added.bundle).secret
    for path in (DEVICES_PATH, f"{DEVICES_PATH}/{added.device}"):
        assert secret not in ask(desk, "GET", path)[1]


def test_the_agency_in_the_statement_is_ours(desk: Desk) -> None:
    statement = decode(keys.signature.payload_of(desk.ca.statement), KeyStatement)
    assert statement.agency == AGENCY
