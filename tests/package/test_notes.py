"""From the first autosave to an opened note: who can read, and that nobody else can."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from edge import desk, note_keys, notes, shift, vault
from edge.errors import Refused
from edge.identity import Identity
from edge.outbox import Signer
from edge.schema import LEDGER
from edge.store import Store
from edge.vault import VaultKey
from tests.terminal_fleet import TerminalFleet, new_key
from wire import notes as sealed_notes
from wire.codec import Malformed, decode, encode
from wire.facts import AuditFact, ShiftFact
from wire.keys import ClinicalGrant, grant_info
from wire.notes import NoteContent, kid
from wire.records import Receipt, open_record
from wire.signature import public_der
from wire.stamp import Stamp
from wire.state import SUITE, SealedDelivery, Shelf, ShelfEntry, TerminalSettings

CANARY = "pelican-quartz-wombat"
ENCOUNTER = bytes(range(16))
STAMP = Stamp(boot=b"b" * 16, mono_ms=1000, wall_ms=1_790_000_000_000, quality="ntp")


class World(NamedTuple):
    """One vehicle with one person signed on."""

    fleet: TerminalFleet
    home: Path
    who: Identity
    store: Store
    signer: Signer
    key: VaultKey
    on: shift.Shift


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "MEMORY_KIB", 64)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    fleet = TerminalFleet()
    who = fleet.terminal(tmp_path / "car", "vehicle-2")
    store = Store(tmp_path / "car" / "ledger.db", LEDGER)
    signer = Signer(who.device, who.key)
    key = vault.unlock(tmp_path / "car", "s-rowan", vault.issue(tmp_path / "car", "s-rowan"))
    assert isinstance(key, VaultKey)
    on = store.do(lambda db: shift.sign_on(db, signer, STAMP, key, "u-2"))
    yield World(fleet, tmp_path / "car", who, store, signer, key, on)
    if store.is_alive:
        store.close()


def drafted(world: World, text: str = CANARY) -> bytes:
    note_id = world.store.do(lambda db: notes.begin(db, world.key, ENCOUNTER, "Emotional crisis", 1))
    draft = notes.Draft(title="Emotional crisis", text=text, contact=CANARY, disposition="referred_warm")
    world.store.do(lambda db: notes.save(db, world.key, note_id, draft, 2))
    return note_id


def finalized(world: World, note_id: bytes, on: shift.Shift | None = None) -> int:
    keys = note_keys.current(world.who, None)
    on = on or world.on
    return world.store.do(
        lambda db: notes.finalize(
            db,
            world.signer,
            STAMP,
            world.key,
            on.id,
            shift.key_of(db, on, world.key).public_key(),
            keys,
            note_id,
        )
    )


def sealed(world: World, note_id: bytes) -> bytes:
    return world.store.do(lambda db: db.execute("select note from note where note_id = ?", [note_id]).fetchone()[0])


def files(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_no_file_of_the_terminal_ever_holds_the_words(world: World) -> None:
    note_id = drafted(world)
    for turn in range(30):
        draft = notes.Draft(title=CANARY, text=CANARY * turn, contact=CANARY, disposition="refused")
        world.store.do(lambda db, d=draft: notes.save(db, world.key, note_id, d, 3))
    assert CANARY.encode() not in files(world.home)
    finalized(world, drafted(world))
    assert CANARY.encode() not in files(world.home)
    assert b"Emotional crisis" not in files(world.home)


def test_a_draft_comes_back_as_it_was_saved_and_only_to_its_author(world: World) -> None:
    note_id = drafted(world)
    encounter, draft = world.store.do(lambda db: notes.draft_of(db, world.key, note_id))
    assert (encounter, draft.text, draft.disposition) == (ENCOUNTER, CANARY, "referred_warm")
    other = VaultKey(staff="s-other", key=bytes(32))
    with pytest.raises(Refused):
        world.store.do(lambda db: notes.draft_of(db, other, note_id))
    impostor = VaultKey(staff="s-rowan", key=bytes(32))
    with pytest.raises(Refused, match="nobody can open it"):
        world.store.do(lambda db: notes.draft_of(db, impostor, note_id))


def test_a_draft_moved_to_another_encounter_does_not_open(world: World) -> None:
    note_id = drafted(world)
    world.store.do(lambda db: db.execute("update draft set encounter = ?", [bytes(16)]))
    with pytest.raises(Refused):
        world.store.do(lambda db: notes.draft_of(db, world.key, note_id))


def test_finalizing_closes_the_draft_and_owes_one_signed_note(world: World) -> None:
    note_id = drafted(world)
    seq = finalized(world, note_id)
    data = world.store.do(lambda db: db.execute("select data from record where seq = ?", [seq]).fetchone()[0])
    record = open_record(data, "vehicle-2", world.who.key.public_key())
    envelope = sealed_notes.verify(record.body, "vehicle-2", world.who.key.public_key())
    assert record.kind == "note"
    assert (envelope.header.author, envelope.header.disposition, envelope.header.shift) == (
        "s-rowan",
        "referred_warm",
        world.on.id,
    )
    assert world.store.do(lambda db: db.execute("select count(*) from draft").fetchone()[0]) == 0
    with pytest.raises(Refused):
        finalized(world, note_id)


def test_clinic_break_glass_and_author_can_read_it_and_nobody_else(world: World) -> None:
    note_id = drafted(world)
    finalized(world, note_id)
    envelope = sealed_notes.inspect(sealed(world, note_id))
    mine = world.store.do(lambda db: shift.key_of(db, world.on, world.key))
    for private in (world.fleet.clinical, world.fleet.break_glass, mine):
        assert decode(sealed_notes.unseal(envelope, private), NoteContent).text == CANARY
    for stranger in (world.who.key, world.who.kem, world.fleet.snapshot, new_key()):
        with pytest.raises(Malformed):
            sealed_notes.unseal(envelope, stranger)


def test_if_the_record_cannot_be_owed_the_draft_stays(world: World) -> None:
    note_id = drafted(world)
    world.store.do(lambda db: db.execute("drop table record"))
    with pytest.raises(sqlite3.OperationalError):
        finalized(world, note_id)
    _, draft = world.store.do(lambda db: notes.draft_of(db, world.key, note_id))
    assert draft.text == CANARY


def test_an_empty_note_is_not_finalized(world: World) -> None:
    with pytest.raises(Refused, match="Write something"):
        finalized(world, drafted(world, text="  \n"))


def test_an_older_list_of_note_keys_is_refused_and_the_draft_stays(world: World) -> None:
    settings = TerminalSettings(note_keys=world.fleet.note_keys(number=5), key_statement=world.fleet.statement())
    newer = note_keys.current(world.who, settings)
    world.store.do(lambda db: note_keys.pin(db, newer))
    note_id = drafted(world)
    with pytest.raises(Refused, match="stays a draft"):
        finalized(world, note_id)
    assert world.store.do(lambda db: notes.draft_of(db, world.key, note_id))[1].text == CANARY


def test_the_newest_list_is_used_and_a_forged_one_is_not(world: World) -> None:
    next_clinical = new_key()
    good = TerminalSettings(
        note_keys=world.fleet.note_keys(number=2, clinical=next_clinical, epoch=2),
        key_statement=world.fleet.statement(number=2),
    )
    assert note_keys.current(world.who, good).epoch() == 2
    hub_made = TerminalSettings(
        note_keys=world.fleet.note_keys(number=9, signer=world.fleet.snapshot, clinical=new_key(), epoch=9),
        key_statement=world.fleet.statement(),
    )
    assert note_keys.current(world.who, hub_made).number == 1
    with pytest.raises(Malformed):
        note_keys.offered(world.who, hub_made)
    other = TerminalFleet()
    with pytest.raises(Malformed):
        note_keys.offered(
            world.who, TerminalSettings(note_keys=other.note_keys(number=9), key_statement=other.statement(number=9))
        )
    with pytest.raises(Malformed):
        note_keys.offered(
            world.who,
            TerminalSettings(note_keys=world.fleet.note_keys(number=0), key_statement=world.fleet.statement()),
        )


def test_sign_off_destroys_the_key_that_reads_this_shifts_notes(world: World) -> None:
    note_id = drafted(world)
    finalized(world, note_id)
    mine = world.store.do(lambda db: shift.key_of(db, world.on, world.key))
    _, content = world.store.do(lambda db: notes.own_final(db, world.signer, world.on.id, mine, note_id))
    assert content.text == CANARY
    world.store.do(lambda db: shift.sign_off(db, world.signer, STAMP))
    assert world.store.do(shift.current) is None
    with pytest.raises(Malformed, match="destroyed"):
        world.store.do(lambda db: shift.key_of(db, world.on, world.key))


def test_a_shift_survives_a_restart_and_only_one_is_open(world: World) -> None:
    world.store.close()
    again = Store(world.home / "ledger.db", LEDGER)
    assert again.do(shift.current) == world.on
    assert again.do(lambda db: shift.key_of(db, world.on, world.key))
    with pytest.raises(Refused, match="Sign off first"):
        again.do(lambda db: shift.sign_on(db, world.signer, STAMP, world.key, "u-2"))
    again.close()


def test_both_ends_of_a_shift_are_owed_to_the_hub(world: World) -> None:
    world.store.do(lambda db: shift.sign_off(db, world.signer, STAMP))
    rows = world.store.do(lambda db: db.execute("select data from record where kind = 'shift' order by seq").fetchall())
    facts = [decode(open_record(data, "vehicle-2", world.who.key.public_key()).body, ShiftFact) for (data,) in rows]
    assert [(f.on, f.staff, f.shift == world.on.id, f.shift_key is not None) for f in facts] == [
        (True, ("s-rowan",), True, True),
        (False, ("s-rowan",), True, False),
    ]


def test_the_list_tells_draft_waiting_and_received_apart(world: World) -> None:
    first = finalized(world, drafted(world))
    finalized(world, drafted(world))
    drafted(world)
    log_id = world.store.do(lambda db: db.execute("select log_id from log").fetchone()[0])
    receipt = Receipt(v=1, device="vehicle-2", log_id=log_id, through=first, epoch=0)
    world.store.do(lambda db: db.execute("update log set through = ?", [receipt.through]))
    states = [entry.state for entry in world.store.do(lambda db: notes.entries(db, "s-rowan"))]
    assert sorted(states) == ["draft", "received", "waiting"]


# ---- the desk

CODE, PHRASE = "K7QM2XH9TR", "five calm geese walk home"


class Desk(NamedTuple):
    world: World
    home: Path
    who: Identity
    store: Store
    signer: Signer


@pytest.fixture
def desk_side(world: World, tmp_path: Path) -> Iterator[Desk]:
    home = tmp_path / "desk-home"
    who = world.fleet.terminal(home, "desk-1", "desk")
    store = Store(home / "ledger.db", LEDGER)
    yield Desk(world, home, who, store, Signer(who.device, who.key))
    if store.is_alive:
        store.close()


def granted(side: Desk, code: str = CODE, desk_name: str = "desk-1", epoch: int = 1) -> bytes:
    info = grant_info(epoch, desk_name, "c-willow")
    private = side.world.fleet.clinical
    der = private.private_bytes(desk.Encoding.DER, shift.PrivateFormat.PKCS8, shift.NoEncryption())
    salt, nonce = b"s" * 16, b"n" * 12
    inner = encode([salt, nonce, desk.AESGCM(vault.argon2id(code, salt, None)).encrypt(nonce, der, info)])
    return encode(
        ClinicalGrant(
            v=1,
            desk=desk_name,
            staff="c-willow",
            epoch=epoch,
            kid=kid(public_der(private.public_key())),
            sealed=SUITE.encrypt(inner, side.who.kem.public_key(), info=info),
        )
    )


def entry_of(note: bytes) -> ShelfEntry:
    envelope = sealed_notes.inspect(note)
    return ShelfEntry(
        note_id=envelope.header.note_id,
        body_sha256=envelope.body_sha256,
        encounter=ENCOUNTER,
        incident="i-1",
        call_sign="CARE-2",
        kind=1,
        disposition="referred_warm",
        held_ms=5,
    )


def delivered(side: Desk, note: bytes, certificate: bytes | None = None) -> bool:
    signed_by = certificate or side.world.who.admission.chain[0]
    delivery = SealedDelivery(v=1, device="desk-1", note=note, certificate=signed_by)
    return side.store.do(lambda db: desk.keep(db, side.who, delivery))


def shelved(side: Desk) -> bytes:
    note_id = drafted(side.world)
    finalized(side.world, note_id)
    note = sealed(side.world, note_id)
    side.world.fleet.say(side.store, side.who, "shelf", Shelf(entries=(entry_of(note),)))
    return note


def audits(side: Desk) -> list[tuple[str, str, str | None]]:
    rows = side.store.do(lambda db: db.execute("select data from record where kind = 'audit' order by seq").fetchall())
    facts = [decode(open_record(data, "desk-1", side.who.key.public_key()).body, AuditFact) for (data,) in rows]
    return [(fact.what, fact.outcome, fact.actor) for fact in facts]


def test_a_clinician_opens_a_fetched_note_and_the_audit_knows(desk_side: Desk) -> None:
    note = shelved(desk_side)
    note_id = entry_of(note).note_id
    assert desk_side.store.do(lambda db: desk.wanted(db, Shelf(entries=(entry_of(note),)))) == (note_id,)
    assert delivered(desk_side, note)
    assert desk_side.store.do(lambda db: desk.wanted(db, Shelf(entries=(entry_of(note),)))) == ()
    desk.accept(desk_side.home, desk_side.who, granted(desk_side), CODE, PHRASE)
    keys = desk.unlock(desk_side.home, "c-willow", PHRASE)
    assert isinstance(keys, desk.DeskKeys)
    outcome = desk_side.store.do(lambda db: desk.open_note(db, desk_side.who, desk_side.signer, STAMP, keys, note_id))
    assert isinstance(outcome, desk.Opened) and outcome.content.text == CANARY
    assert audits(desk_side) == [("note_opened", "ok", "c-willow")]
    assert CANARY.encode() not in files(desk_side.home) and CANARY not in repr(outcome)


def test_a_note_off_the_shelf_is_denied_and_the_denial_is_owed(desk_side: Desk) -> None:
    note = shelved(desk_side)
    assert delivered(desk_side, note)
    desk_side.world.fleet.say(desk_side.store, desk_side.who, "shelf", Shelf(entries=()))
    keys = desk.DeskKeys(staff="c-willow", by_kid={})
    outcome = desk_side.store.do(
        lambda db: desk.open_note(db, desk_side.who, desk_side.signer, STAMP, keys, entry_of(note).note_id)
    )
    assert isinstance(outcome, desk.Denied)
    assert audits(desk_side) == [("open_denied", "denied", "c-willow")]


def test_a_note_that_nobody_listed_is_not_kept(desk_side: Desk) -> None:
    note = shelved(desk_side)
    desk_side.world.fleet.say(desk_side.store, desk_side.who, "shelf", Shelf(entries=()))
    assert not delivered(desk_side, note)


def test_a_certificate_that_is_not_this_devices_from_this_root_is_refused(desk_side: Desk) -> None:
    note = shelved(desk_side)
    fleet, car = desk_side.world.fleet, desk_side.world.who
    forged = [
        TerminalFleet().device_certificate("vehicle-2", car.key),  # another agency
        fleet.device_certificate("vehicle-3", car.key),  # another device
        fleet.device_certificate("vehicle-2", new_key()),  # another key
        fleet.device_certificate("vehicle-2", car.key, urn="vehicle-3"),  # names that disagree
        fleet.device_certificate("vehicle-2", car.key, is_client=False),  # a service's
        fleet.ca,
    ]
    for certificate in forged:
        assert not delivered(desk_side, note, certificate.public_bytes(desk.Encoding.DER))
    assert not delivered(desk_side, note, b"nonsense")
    assert delivered(desk_side, note)


def test_a_note_changed_on_the_way_is_refused(desk_side: Desk) -> None:
    note = shelved(desk_side)
    assert not any(delivered(desk_side, note[:at] + bytes([note[at] ^ 1]) + note[at + 1 :]) for at in range(0, 900, 9))


def test_a_grant_opens_only_with_its_code_at_its_desk(desk_side: Desk) -> None:
    def take(grant: bytes, code: str = CODE, passphrase: str = PHRASE) -> None:
        desk.accept(desk_side.home, desk_side.who, grant, code, passphrase)

    with pytest.raises(Refused, match="code is not"):
        take(granted(desk_side), code="K7QM2XH9TS")
    with pytest.raises(Refused, match="desk-9"):
        take(granted(desk_side, desk_name="desk-9"))
    with pytest.raises(Refused, match="12 characters"):
        take(granted(desk_side), passphrase="short")
    with pytest.raises(Refused):
        take(b"nonsense")
    assert not desk.has_keys(desk_side.home, "c-willow")


def test_a_second_grant_needs_the_passphrase_of_the_first(desk_side: Desk) -> None:
    desk.accept(desk_side.home, desk_side.who, granted(desk_side), CODE, PHRASE)
    desk.accept(desk_side.home, desk_side.who, granted(desk_side, epoch=2), CODE, PHRASE)
    with pytest.raises(Refused, match="not the passphrase"):
        desk.accept(desk_side.home, desk_side.who, granted(desk_side), CODE, "another long passphrase")
    desk.accept(desk_side.home, desk_side.who, granted(desk_side), CODE, "another long passphrase", replace=True)
    assert isinstance(desk.unlock(desk_side.home, "c-willow", "another long passphrase"), desk.DeskKeys)
    assert isinstance(desk.unlock(desk_side.home, "c-willow", PHRASE), vault.Locked)
