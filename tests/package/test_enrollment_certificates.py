"""What the fleet CA signs: what a certificate says, for how long, and which ones are not to be believed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from sqlalchemy import insert, update

from hub import schema
from hub.ca import Ca, CaError, Service, ensure_tls, open_ca, renew_crl
from hub.settings import BrokerSettings, DeviceApi, Settings
from tests.hub_on_disk import AGENCY, NOW_S, fleet_files, make_home, stock
from tests.new_store import new_store
from wire.certificates import device_of, verify_device
from wire.codec import Malformed
from wire.signature import public_der

DAY_S = 86_400
SETTINGS = Settings(agency=AGENCY)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A hub's home with the keys the bench gave it, and nothing else."""
    keys = tmp_path / "hub" / "keys"
    keys.mkdir(parents=True)
    for name, data in fleet_files().items():
        if name.startswith("hub/"):
            (keys / Path(name).name).write_bytes(data)
    return keys.parent


@pytest.fixture
def ca(home: Path) -> Ca:
    return open_ca(home, SETTINGS)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def chain(ca: Ca, leaf: x509.Certificate) -> tuple[bytes, ...]:
    return ca.chain(leaf)


def test_a_device_certificate_says_who_and_for_what_and_for_90_days(ca: Ca) -> None:
    key = new_key().public_key()
    leaf = ca.device_certificate(key, "t-1a2b3c4d", NOW_S)
    assert leaf.subject.rfc4514_string() == "CN=t-1a2b3c4d"
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier("urn:tandem:device:t-1a2b3c4d")]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    now = datetime.fromtimestamp(NOW_S, UTC)
    assert leaf.not_valid_before_utc == now - timedelta(minutes=5)
    assert leaf.not_valid_after_utc == now + timedelta(days=90)
    assert leaf.public_key() == key


def test_a_device_certificate_is_believed_from_5_minutes_before_to_90_days_after(ca: Ca) -> None:
    issued = chain(ca, ca.device_certificate(new_key().public_key(), "t-1", NOW_S))
    for at_s in (NOW_S - 299, NOW_S, NOW_S + 90 * DAY_S - 1):
        assert device_of(verify_device(issued, ca.root, at_s)) == "t-1"
    for at_s in (NOW_S - 301, NOW_S + 90 * DAY_S + 1, 0, 2**40):
        with pytest.raises(Malformed):
            verify_device(issued, ca.root, at_s)


@pytest.mark.parametrize("name", ["hub-ingest", "hub", "a b", "t/1", "T-1", "", "+", "#"])
def test_nobody_gets_a_certificate_under_a_name_that_means_something_else(ca: Ca, name: str) -> None:
    with pytest.raises(Malformed):
        ca.device_certificate(new_key().public_key(), name, NOW_S)


def forged(
    ca: Ca, common_name: str = "t-1", urn: str = "urn:tandem:device:t-1", usage: tuple[x509.ObjectIdentifier, ...] = ()
) -> x509.Certificate:
    """A leaf that the fleet CA signed, but not for a device as it should be."""
    good = ca.device_certificate(new_key().public_key(), "t-1", NOW_S)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(ca.certificate.subject)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(good.not_valid_before_utc)
        .not_valid_after(good.not_valid_after_utc)
    )
    for extension in good.extensions:
        if isinstance(extension.value, x509.ExtendedKeyUsage):
            if usage:
                builder = builder.add_extension(x509.ExtendedKeyUsage(list(usage)), critical=False)
        elif isinstance(extension.value, x509.SubjectAlternativeName):
            san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(urn)])
            builder = builder.add_extension(san, critical=False)
        else:
            builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder.sign(ca.key, SHA256())


FORGERIES: dict[str, Callable[[Ca], x509.Certificate]] = {
    "without a key usage": lambda ca: forged(ca, usage=()),
    "for a server": lambda ca: forged(ca, usage=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    "for a client and a server": lambda ca: forged(
        ca, usage=(ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)
    ),
    "with two names": lambda ca: forged(ca, "t-2", usage=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
    "of the hub itself": lambda ca: ca.service_certificate(
        Service.INGEST, new_key().public_key(), ["hub-ingest"], NOW_S
    ),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_certificate_is_not_a_device_s(ca: Ca, forge: Callable[[Ca], x509.Certificate]) -> None:
    with pytest.raises(Malformed):
        verify_device(chain(ca, forge(ca)), ca.root, NOW_S)


def test_the_same_forgery_without_a_fault_would_be_believed(ca: Ca) -> None:
    leaf = forged(ca, usage=(ExtendedKeyUsageOID.CLIENT_AUTH,))
    assert device_of(verify_device(chain(ca, leaf), ca.root, NOW_S)) == "t-1"


def test_a_chain_to_another_root_is_not_believed_even_when_it_brings_its_root(ca: Ca, tmp_path: Path) -> None:
    keys = tmp_path / "other" / "keys"
    keys.mkdir(parents=True)
    for name, data in fleet_files(NOW_S + 1).items():
        if name.startswith("hub/"):
            (keys / Path(name).name).write_bytes(data)
    other = open_ca(keys.parent, SETTINGS)
    leaf = other.device_certificate(new_key().public_key(), "t-1", NOW_S)
    assert verify_device(other.chain(leaf), other.root, NOW_S) == leaf
    with pytest.raises(Malformed):
        verify_device(other.chain(leaf), ca.root, NOW_S)
    with pytest.raises(Malformed):
        verify_device((), ca.root, NOW_S)


def test_the_fleet_ca_cannot_make_another_ca(ca: Ca) -> None:
    limits = ca.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (limits.ca, limits.path_length) == (True, 0)


@pytest.mark.parametrize(
    "name", ["root.crt", "fleet-ca.crt", "fleet-ca.key", "snapshot.key", "key-statement.bin", "note-keys.bin"]
)
def test_a_missing_key_is_one_sentence_that_names_it(home: Path, name: str) -> None:
    (home / "keys" / name).unlink()
    with pytest.raises(CaError, match=name):
        open_ca(home, SETTINGS)


@pytest.mark.parametrize(
    "name", ["root.crt", "fleet-ca.crt", "fleet-ca.key", "snapshot.key", "key-statement.bin", "note-keys.bin"]
)
@pytest.mark.parametrize("how", ["another fleet's", "rubbish"])
def test_keys_that_do_not_belong_together_are_refused(home: Path, name: str, how: str) -> None:
    other = fleet_files(NOW_S + 1)[f"hub/{name}"] if how == "another fleet's" else b"rubbish"
    (home / "keys" / name).write_bytes(other)
    with pytest.raises(CaError):
        open_ca(home, SETTINGS)


def test_keys_of_another_agency_are_refused(home: Path) -> None:
    with pytest.raises(CaError, match="Lakeshore CARE"):
        open_ca(home, Settings(agency="Hillside CARE"))


def test_services_are_made_once_and_renewed_in_their_last_year_or_for_new_names(home: Path) -> None:
    every = ("broker", "hub-ingest", "hub-api", "fleet.crl")
    assert ensure_tls(home, SETTINGS, NOW_S) == every
    assert ensure_tls(home, SETTINGS, NOW_S) == ()
    assert ensure_tls(home, SETTINGS, NOW_S + DAY_S + 1) == ("fleet.crl",)
    renamed = Settings(agency=AGENCY, device_api=DeviceApi(name="hub.care.example.gov"))
    assert ensure_tls(home, renamed, NOW_S) == ("hub-api",)
    assert ensure_tls(home, renamed, NOW_S + 366 * DAY_S) == every
    (home / "tls" / "broker.key").unlink()
    assert ensure_tls(home, renamed, NOW_S + 366 * DAY_S) == ("broker",)


def test_private_keys_of_services_are_for_their_owner_only(home: Path) -> None:
    ensure_tls(home, SETTINGS, NOW_S)
    assert {path.stat().st_mode & 0o777 for path in (home / "tls").glob("*.key")} == {0o600}


def test_a_broker_is_named_as_terminals_call_it(home: Path) -> None:
    named = Settings(agency=AGENCY, broker=BrokerSettings(name="10.1.2.3"))
    ensure_tls(home, named, NOW_S)
    leaf = x509.load_pem_x509_certificate((home / "tls" / "broker.crt").read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert {str(name) for name in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "10.1.2.3"}


def test_a_revoked_device_is_on_the_list_and_stays_there_when_it_is_signed_again(tmp_path: Path) -> None:
    _, home, settings = make_home(tmp_path)
    ca, engine = open_ca(home, settings), new_store(home)
    try:
        stock(engine)
        leaf = ca.device_certificate(new_key().public_key(), "t-1", NOW_S)
        row = {"device": "t-1", "unit": "care-1", "kind": "vehicle", "state": "active", "added_ms": NOW_S * 1000}
        with engine.begin() as connection:
            connection.execute(insert(schema.device).values(**row, serial=f"{leaf.serial_number:x}"))
            assert not renew_crl(home, ca, connection, NOW_S)
            connection.execute(update(schema.device).values(state="revoked", revoked_ms=NOW_S * 1000))
            assert renew_crl(home, ca, connection, NOW_S)
            assert not renew_crl(home, ca, connection, NOW_S)
    finally:
        engine.dispose()
    for later_s in (0, 2 * DAY_S):
        ensure_tls(home, settings, NOW_S + later_s)
        crl = x509.load_pem_x509_crl((home / "tls" / "fleet.crl").read_bytes())
        assert crl.get_revoked_certificate_by_serial_number(leaf.serial_number) is not None
        assert crl.next_update_utc == datetime.fromtimestamp(NOW_S + later_s, UTC) + timedelta(days=30)


def test_a_revocation_list_of_another_ca_is_replaced(home: Path, tmp_path: Path) -> None:
    ensure_tls(home, SETTINGS, NOW_S)
    keys = tmp_path / "other" / "keys"
    shutil.copytree(home / "keys", keys)
    for name, data in fleet_files(NOW_S + 1).items():
        if name.startswith("hub/"):
            (keys / Path(name).name).write_bytes(data)
    other = open_ca(keys.parent, SETTINGS)
    (home / "tls" / "fleet.crl").write_bytes(other.crl([], NOW_S).public_bytes(Encoding.PEM))
    assert ensure_tls(home, SETTINGS, NOW_S) == ("fleet.crl",)


def test_the_snapshot_key_is_the_one_the_root_vouches_for(ca: Ca) -> None:
    assert public_der(ca.snapshot_key.public_key()) in ca.statement
