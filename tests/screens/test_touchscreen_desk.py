"""The desk: a list anybody at it may see, notes that open only with the clinician's key, and a record of each opening."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edge import desk, vault
from tests.screens.screen_rig import ENCOUNTER, Browser, ScreenRig, an_assignment
from wire.codec import decode, encode
from wire.facts import AuditFact
from wire.keys import ClinicalGrant, grant_info
from wire.notes import inspect, kid
from wire.signature import public_der
from wire.state import SUITE, SealedDelivery, Shelf, ShelfEntry

CANARY, PHRASE = "walrus-tulip-ember", "five calm geese walk"


class DeskRig(NamedTuple):
    rig: ScreenRig
    note_id: str


@pytest.fixture
def at_desk(tmp_path: Path) -> Iterator[DeskRig]:
    """A desk that holds one note of a vehicle, and its clinician's key."""
    car = ScreenRig(tmp_path / "car")
    car.roster()
    car.unit("on_scene", an_assignment())
    browser = car.browser()
    browser.sign_on(car)
    page = browser.post("/note", encounter=ENCOUNTER.hex()).headers["Location"]
    browser.post(f"{page}/finalize", text=CANARY, disposition="referred_warm")
    (record,) = car.records("note")
    made = ScreenRig(tmp_path / "desk", "desk", car.fleet)
    made.roster()
    made.unit("available")
    envelope = inspect(record.body)
    entry = ShelfEntry(
        note_id=envelope.header.note_id,
        body_sha256=envelope.body_sha256,
        encounter=ENCOUNTER,
        incident="LC-412",
        call_sign="CARE-2",
        kind=1,
        disposition="referred_warm",
        held_ms=1_790_000_000_000,
    )
    made.say("shelf", Shelf(entries=(entry,)))
    delivery = SealedDelivery(v=1, device="desk-1", note=record.body, certificate=car.who.admission.chain[0])
    assert made.store.do(lambda db: desk.keep(db, made.who, delivery))
    desk.accept(made.home, made.who, granted(made), "K7QM2XH9TR", PHRASE)
    yield DeskRig(made, envelope.header.note_id.hex())
    made.close()
    car.close()


def granted(rig: ScreenRig) -> bytes:
    info = grant_info(1, "desk-1", "c-willow")
    private = rig.fleet.clinical
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, nonce = b"s" * 16, b"n" * 12
    inner = encode([salt, nonce, AESGCM(vault.argon2id("K7QM2XH9TR", salt, None)).encrypt(nonce, der, info)])
    sealed = SUITE.encrypt(inner, rig.who.kem.public_key(), info=info)
    name = kid(public_der(private.public_key()))
    return encode(ClinicalGrant(v=1, desk="desk-1", staff="c-willow", epoch=1, kid=name, sealed=sealed))


def signed_on(at_desk: DeskRig) -> Browser:
    browser = at_desk.rig.browser()
    assert browser.sign_on(at_desk.rig, "c-willow").status_code == 303
    return browser


def audits(rig: ScreenRig) -> list[tuple[str, str, str | None, str | None]]:
    facts = [decode(record.body, AuditFact) for record in rig.records("audit")]
    return [(fact.what, fact.outcome, fact.actor, fact.about) for fact in facts]


def test_the_list_shows_incident_unit_and_outcome_and_opens_nothing_while_locked(at_desk: DeskRig) -> None:
    browser = signed_on(at_desk)
    page = browser.get("/").text
    assert "LC-412" in page and "CARE-2" in page and "Handed to a named service" in page
    assert f"/desk/notes/{at_desk.note_id}" not in page and CANARY not in page
    answer = browser.get(f"/desk/notes/{at_desk.note_id}")
    assert answer.status_code == 409 and CANARY not in answer.text
    listed = browser.client.get("/api/v1/desk/notes").get_json()["notes"]
    assert [(row["incident"], row["is_here"]) for row in listed] == [("LC-412", True)]


def test_the_passphrase_opens_a_note_and_the_opening_is_owed_first(at_desk: DeskRig) -> None:
    browser = signed_on(at_desk)
    assert browser.post("/desk/unlock", passphrase=PHRASE).status_code == 303
    answer = browser.get(f"/desk/notes/{at_desk.note_id}")
    assert CANARY in answer.text and "Willow" in answer.text and "This is recorded" in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert audits(at_desk.rig)[-1] == ("note_opened", "ok", "c-willow", at_desk.note_id)


def test_if_the_audit_cannot_be_kept_the_note_stays_shut(at_desk: DeskRig) -> None:
    browser = signed_on(at_desk)
    browser.post("/desk/unlock", passphrase=PHRASE)
    at_desk.rig.store.do(
        lambda db: db.execute("create trigger no before insert on record begin select raise(abort, 'x'); end")
    )
    answer = browser.get(f"/desk/notes/{at_desk.note_id}")
    assert answer.status_code == 503 and CANARY not in answer.text


def test_locking_by_hand_by_time_and_by_sign_off_shuts_every_note(at_desk: DeskRig) -> None:
    rig = at_desk.rig
    rig.settings(lock_after_s=60.0)
    browser = signed_on(at_desk)

    def is_open() -> bool:
        return CANARY in browser.get(f"/desk/notes/{at_desk.note_id}").text

    browser.post("/desk/unlock", passphrase=PHRASE)
    assert is_open()
    browser.post("/desk/lock")
    assert not is_open()
    browser.post("/desk/unlock", passphrase=PHRASE)
    assert is_open()
    rig.mono_s += 61.0
    assert not is_open()
    browser.post("/desk/unlock", passphrase=PHRASE)
    browser.post("/sign-off")
    assert not is_open()


def test_a_wrong_passphrase_is_counted_said_and_owed(at_desk: DeskRig) -> None:
    browser = signed_on(at_desk)
    browser.post("/desk/unlock", passphrase="five calm geese run away")
    assert "Wrong passphrase. 4 left." in browser.get("/").text
    assert audits(at_desk.rig) == [("desk_unlock", "denied", "c-willow", None)]
    for _ in range(4):
        browser.post("/desk/unlock", passphrase="five calm geese run away")
    browser.post("/desk/unlock", passphrase=PHRASE)
    assert "new grant" in browser.get("/").text


def test_another_browser_does_not_share_the_open_keys(at_desk: DeskRig) -> None:
    browser = signed_on(at_desk)
    browser.post("/desk/unlock", passphrase=PHRASE)
    assert CANARY not in at_desk.rig.browser().get(f"/desk/notes/{at_desk.note_id}").text


def test_a_vehicle_has_no_desk_pages_and_a_desk_no_status_of_a_vehicle(at_desk: DeskRig, tmp_path: Path) -> None:
    car = ScreenRig(tmp_path / "other-car")
    assert car.browser().get("/api/v1/desk/notes").status_code == 404
    car.close()
    page = signed_on(at_desk).get("/").text
    assert "GPS" not in page and 'name="status"' not in page
