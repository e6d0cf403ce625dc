"""The keys of a fleet: what goes to the hub and what never does, and that each part is of use only as intended."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from provisioning import break_glass, ceremony
from provisioning.errors import CannotDo
from provisioning.keyfile import open_pem, read_passphrase, sealed_pem
from tests.hub_on_disk import AGENCY, NOW_S, PASSPHRASE, fleet_files
from wire import keys, notes
from wire.certificates import pinned_root, public_key, spki_sha256
from wire.codec import Malformed
from wire.keys import HUB_KEY_FILES, KeyStatement, NoteKeyList, Role
from wire.signature import public_der

PRIVATE = ("root.key", "custodian/note-key-list.key", "custodian/clinical-1.key", "supervisor/wipe.key")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "fleet"
    ceremony.write_fleet(folder, fleet_files())
    return folder


def statement() -> KeyStatement:
    root = x509.load_pem_x509_certificate(fleet_files()["root.crt"])
    return keys.open_statement(fleet_files()["hub/key-statement.bin"], public_key(root))


def note_keys() -> NoteKeyList:
    return keys.open_note_keys(fleet_files()["hub/note-keys.bin"], statement())


def test_the_hub_gets_exactly_the_files_the_wire_names(home: Path) -> None:
    assert {path.name for path in (home / "hub").iterdir()} == set(HUB_KEY_FILES)


def test_everything_is_for_its_owner_only(home: Path) -> None:
    for path in (home, *home.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_no_key_that_reads_or_wipes_is_at_the_hub(home: Path) -> None:
    held = {
        public_der(key.public_key())
        for path in (home / "hub").glob("*.key")
        if isinstance(key := load_pem_private_key(path.read_bytes(), None), ec.EllipticCurvePrivateKey)
    }
    assert len(held) == 2
    assert public_der(statement().key(Role.SNAPSHOT)) in held
    forbidden = {public_der(statement().key(role)) for role in (Role.WIPE, Role.NOTE_KEY_LIST)}
    assert not held & (forbidden | {key.public for key in note_keys().keys})


@pytest.mark.parametrize("name", PRIVATE)
def test_what_stays_at_the_bench_opens_with_the_passphrase_only(home: Path, name: str) -> None:
    assert isinstance(open_pem(home / name, PASSPHRASE), ec.EllipticCurvePrivateKey)
    with pytest.raises(CannotDo, match="passphrase"):
        open_pem(home / name, PASSPHRASE + b".")
    with pytest.raises(ValueError, match=r"."):  # the passphrase itself is not the password of the PEM
        load_pem_private_key((home / name).read_bytes(), PASSPHRASE)


def test_each_private_key_is_the_one_that_is_vouched_for(home: Path) -> None:
    stated, listed = statement(), note_keys()
    root = x509.load_pem_x509_certificate((home / "root.crt").read_bytes())
    wanted = (
        public_key(root),
        stated.key(Role.NOTE_KEY_LIST),
        keys.signature.public_from(listed.keys[0].public),
        stated.key(Role.WIPE),
    )
    for name, public in zip(PRIVATE, wanted, strict=True):
        assert open_pem(home / name, PASSPHRASE).public_key() == public


def test_the_root_is_its_own_and_stands_for_20_years() -> None:
    root = x509.load_pem_x509_certificate(fleet_files()["root.crt"])
    der = root.public_bytes(keys.signature.Encoding.DER)
    assert pinned_root(der, spki_sha256(root)) == root
    assert (root.not_valid_after_utc.timestamp() - NOW_S) / 86_400 == 20 * 365
    with pytest.raises(Malformed):
        pinned_root(der, bytes(32))


def test_a_root_with_the_right_key_that_it_did_not_sign_is_refused() -> None:
    root = x509.load_pem_x509_certificate(fleet_files()["root.crt"])
    der = root.public_bytes(keys.signature.Encoding.DER)
    for altered in (der[:-1] + bytes([der[-1] ^ 1]), der.replace(b"Lakeshore", b"Lakeshort")):
        with pytest.raises(Malformed):
            pinned_root(altered, spki_sha256(root))


def test_the_statement_and_the_list_name_every_key_once() -> None:
    assert [key.role for key in statement().keys] == ["snapshot", "wipe", "note_key_list"]
    assert [(key.role, key.epoch) for key in note_keys().keys] == [("clinical", 1), ("break_glass", 0)]
    assert statement().agency == AGENCY


def test_a_fleet_is_never_overwritten(home: Path) -> None:
    before = (home / "root.key").read_bytes()
    with pytest.raises(CannotDo, match="not empty"):
        ceremony.write_fleet(home, fleet_files())
    assert (home / "root.key").read_bytes() == before


@pytest.mark.parametrize("agency", ["", "   ", "a" * 49, "two\nlines"])
def test_a_name_that_no_certificate_can_carry_is_refused(agency: str) -> None:
    with pytest.raises(CannotDo, match="name"):
        ceremony.make_fleet(agency, PASSPHRASE, NOW_S)


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("too short\n")
    with pytest.raises(CannotDo, match="12 characters"):
        read_passphrase(tmp_path / "p")
    (tmp_path / "p").write_text("long enough for us\nsecond line\n")
    assert read_passphrase(tmp_path / "p") == b"long enough for us"


def test_a_key_file_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CannotDo, match="cannot be read"):
        open_pem(tmp_path / "none", PASSPHRASE)
    (tmp_path / "rubbish").write_bytes(b"rubbish")
    with pytest.raises(CannotDo, match="not a key"):
        open_pem(tmp_path / "rubbish", PASSPHRASE)


def test_one_passphrase_closes_two_keys_differently() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    assert sealed_pem(key, PASSPHRASE).splitlines()[0] != sealed_pem(key, PASSPHRASE).splitlines()[0]


# --- break-glass ------------------------------------------------------------------------------------------------------


def shares_on_paper() -> dict[int, bytes]:
    """The shares as three people would type them."""
    texts = {n: fleet_files()[ceremony.share_file(n)].decode() for n in (1, 2, 3)}
    return {n: bytes.fromhex(text.splitlines()[2].replace(" ", "")) for n, text in texts.items()}


def blobs() -> tuple[bytes, ...]:
    data = fleet_files()[ceremony.BREAK_GLASS_BLOBS]
    assert len(data) == 3 * break_glass.BLOB_BYTES
    return tuple(data[at : at + break_glass.BLOB_BYTES] for at in range(0, len(data), break_glass.BLOB_BYTES))


@pytest.mark.parametrize("pair", list(combinations((1, 2, 3), 2)))
@pytest.mark.parametrize("is_turned", [False, True])
def test_any_two_shares_bring_back_the_listed_key(pair: tuple[int, int], is_turned: bool) -> None:
    paper = shares_on_paper()
    first, second = pair[::-1] if is_turned else pair
    key = break_glass.joined((first, paper[first]), (second, paper[second]), blobs())
    assert public_der(key.public_key()) == note_keys().keys[1].public


def test_one_share_or_a_mistyped_one_opens_nothing() -> None:
    paper = shares_on_paper()
    wrong = bytes([paper[2][0] ^ 1]) + paper[2][1:]
    for first, second in [
        ((1, paper[1]), (1, paper[1])),
        ((1, paper[1]), (2, wrong)),
        ((1, paper[2]), (2, paper[1])),
        ((1, paper[1]), (4, paper[2])),
        ((1, paper[1]), (2, b"")),
    ]:
        with pytest.raises(CannotDo):
            break_glass.joined(first, second, blobs())


def test_the_break_glass_key_is_written_nowhere() -> None:
    paper = shares_on_paper()
    key = break_glass.joined((1, paper[1]), (2, paper[2]), blobs())
    scalar = key.private_numbers().private_value.to_bytes(32, "big")
    for name, data in fleet_files().items():
        assert scalar not in data, name
        assert scalar.hex() not in data.decode("latin-1").replace(" ", ""), name


def test_a_note_sealed_to_the_list_opens_with_the_clinical_key_and_with_two_shares(home: Path) -> None:
    paper = shares_on_paper()
    recipients = {recipient.kid for recipient in note_keys().recipients()}
    for key in (
        open_pem(home / "custodian/clinical-1.key", PASSPHRASE),
        break_glass.joined((1, paper[1]), (3, paper[3]), blobs()),
    ):
        assert notes.kid(public_der(key.public_key())) in recipients
