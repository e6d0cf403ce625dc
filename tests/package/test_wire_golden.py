"""Every message ever shipped can still be read: golden files are added to and never edited.

`python -m tests.package.test_wire_golden` writes the files that are missing, and touches none that is there.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

import wire
from wire.codec import decode, encode
from wire.compact import packed
from wire.enrollment import Admission, BrokerAddress, Bundle, Challenge, CsrRequest, Enrolled, Facts, Refusal
from wire.facts import (
    AuditFact,
    ClockCorrected,
    DamagedFact,
    EmergencyFact,
    LedgerDamaged,
    OrderDone,
    RefusedFact,
    ShelfWanted,
    ShiftFact,
    StateHeld,
    StatusFact,
)
from wire.fix import Fix
from wire.fleet import AddedDevice, DeviceEntry, DeviceList, NewDevice
from wire.keys import ClinicalGrant, KeyStatement, NoteKey, NoteKeyList, StatedKey
from wire.live import HubPresence, Live, LogRange, Mark, Presence
from wire.notes import Header, NoteContent, NoteKind
from wire.parts import Part
from wire.records import Alarm, Receipt, Record
from wire.signature import Signed
from wire.stamp import Stamp
from wire.state import (
    Assignment,
    Assignments,
    AuditHead,
    Emergencies,
    HeardPress,
    KnownCaution,
    KnownEmergency,
    Order,
    Orders,
    OtherUnit,
    PacketAnswer,
    Roster,
    Route,
    Routes,
    SealedDelivery,
    Shelf,
    ShelfEntry,
    Snapshot,
    StaffMember,
    TerminalSettings,
    Turn,
    Version,
)

GOLDEN = Path(__file__).parent.parent / "golden"

BOOT, LOG, NOTE, ENCOUNTER, SHIFT = (bytes([n]) * 16 for n in (0xB0, 0x10, 0x40, 0xEC, 0x54))
STAMP = Stamp(boot=BOOT, mono_ms=61_500, wall_ms=1_789_069_150_000, quality="gps")
FIX = Fix(
    at=datetime(2026, 9, 10, 19, 39, 10, tzinfo=UTC),
    lat=32.5901,
    lon=-96.857,
    speed_mps=13.1,
    heading_deg=182.0,
    hdop=0.9,
    satellites=11,
    accuracy_m=2.1,
    dimensions=3,
    quality="differential",
    is_held=True,
)
BROKER = BrokerAddress(host="hub.care.example.gov", port=8883)
ADMISSION = Admission(
    v=1,
    device="t-golden",
    chain=(b"own", b"ca", b"root"),
    not_after_s=1_796_845_150,
    renew_after_s=1_794_253_150,
    crl=b"crl",
    broker=BROKER,
    note_keys=b"note keys",
    key_statement=b"statement",
)
ASSIGNMENT = Assignment(
    id="asg-9",
    incident="inc-1",
    encounter=ENCOUNTER,
    type="MNTL",
    type_label="Mental-health crisis, no violence reported",
    priority=2,
    lat=32.59,
    lon=-96.85,
    place="By the fountain",
    problem="Asks for help",
    gate="unknown",
    offered_ms=1_789_069_000_000,
    cautions=("dog",),
    others=(OtherUnit(call_sign="CARE-4", status="en_route"),),
)
ANSWER = PacketAnswer(
    question="weapons",
    text="Weapons",
    label="safety",
    answer="yes",
    words="kitchen knife",
    source="caller",
    at_ms=1_789_069_000_000,
)
CAUTION = KnownCaution(
    id="cau-1",
    behavior="dog",
    text="Dog",
    label="safety",
    severity="normal",
    source="CARE-4",
    scope="area",
    radius_m=50,
    observed_ms=1_789_069_000_000,
    expires_ms=1_804_621_000_000,
)
BRIEFED = replace(
    ASSIGNMENT,
    gate="secure",
    revision=4,
    gate_by="Sgt. Ortiz, police on scene",
    packet=(ANSWER,),
    known_cautions=(CAUTION,),
)
NOTE_KEY = NoteKey(kid=b"kid-kid-", suite=1, public=b"der", epoch=1, role="clinical", not_after_ms=1_900_000_000_000)
STATED = StatedKey(role="snapshot", public=b"der", not_after_ms=1_900_000_000_000)
TURN = Turn(2, "right", "Turn right onto Fifth Avenue.", "Fifth Avenue", 415, 38)
ROUTE = Route(
    assignment="asg-9",
    n=3,
    why="left",
    made_ms=1_789_069_150_000,
    line="_fzkkAvdxyCo`Q?kA_kZ",
    distance_m=1_630,
    seconds=151,
    turns=(TURN,),
    beyond_m=42_000,
    beyond_s=1_980,
    why_not="",
)
STAFF = StaffMember(id="s-1", name="Ash", role="specialist", skills=("clinician",), languages=("eng", "spa"))
DEVICE = DeviceEntry(
    device="t-golden",
    unit="care-2",
    call_sign="CARE-2",
    kind="vehicle",
    state="enrolled",
    added_ms=1_789_069_150_000,
    enrolled_ms=1_789_069_210_000,
    not_after_ms=1_796_845_150_000,
    serial="5f",
    kem_public=b"kem",
    model="Raspberry Pi 5",
    software="0.1.0",
)
EMERGENCY = EmergencyFact(
    id=b"E" * 16,
    source="button",
    mono_ms=61_400,
    drill=True,
    unit="care-2",
    staff=("s-1", "s-2"),
    assignment="asg-9",
    incident="inc-1",
    fix=FIX,
    fix_age_ms=350,
    asks_clear=True,
)
KNOWN = KnownEmergency(
    id=b"E" * 16,
    heard=(HeardPress(BOOT, 61_400),),
    received_ms=1_789_069_150_000,
    drill=True,
    asked_ms=1_789_069_200_000,
    acknowledged_ms=1_789_069_160_000,
    by="Nina",
    cleared_ms=1_789_069_300_000,
)
ENTRY = ShelfEntry(
    note_id=NOTE,
    body_sha256=b"h" * 32,
    encounter=ENCOUNTER,
    incident="inc-1",
    call_sign="CARE-2",
    kind=1,
    disposition="follow_up",
    held_ms=1_789_069_400_000,
)

ORDER = Order(id=b"O" * 16, kind="lock", issued_ms=1_789_069_150_000, by="nina", vouched=b"signed")
MARK = Mark(6, b"eight by")

MESSAGES: tuple[Struct, ...] = (
    STAMP,
    FIX,
    Signed(payload=b"payload", signature=b"s" * 64),
    Record(v=1, device="t-golden", log_id=LOG, seq=7, kind="status", stamp=STAMP, body=b"body"),
    Receipt(v=1, device="t-golden", log_id=LOG, through=7, epoch=1),
    StatusFact(unit="care-2", status="en_route", by="crew", staff="s-1", assignment="asg-9", skipped=True, undoes=6),
    StateHeld(section="assignments", epoch=1, n=4),
    ShiftFact(shift=SHIFT, unit="care-2", staff=("s-1",), on=True, shift_key=b"der"),
    ShelfWanted(note_ids=(NOTE,)),
    LedgerDamaged(
        log="ledger",
        log_id=LOG,
        next=190,
        through=171,
        salvaged=((172, 180), (184, 189)),
        damage="its pages do not fit together",
    ),
    ClockCorrected(
        boot=BOOT,
        mono_ms=61_500,
        wall_before_ms=61_000,
        wall_after_ms=1_789_069_150_000,
        quality="gps",
    ),
    EMERGENCY,
    Alarm(v=1, device="t-golden", stamp=STAMP, body=b"body"),
    AuditFact(what="note_opened", outcome="ok", actor="s-1", about=NOTE.hex(), reason="by need"),
    Live(v=1, device="t-golden", boot=BOOT, mono_ms=61_500, age_ms=12, fix=FIX, reason="drift"),
    packed(FIX, BOOT, 61_500, 12, "drift"),
    LogRange(log_id=LOG, name="ledger", lowest_held=1, lowest_owed=7, next=8),
    Presence(
        v=1,
        device="t-golden",
        boot=BOOT,
        session=2,
        mono_ms=900,
        is_here=True,
        software="0.1.0",
        logs=(LogRange(log_id=LOG, name="ledger", lowest_held=1, lowest_owed=7, next=8),),
    ),
    HubPresence(v=1, is_here=True, epoch=1, spread_s=10.0, wall_ms=1_789_069_150_000),
    MARK,
    Part(of=b"w" * 16, index=1, count=3, kind="status", data=b"piece"),
    DamagedFact(sha256=b"h" * 32, size=5, found=b"found"),
    RefusedFact(reason=0x95, kind="note", sha256=b"h" * 32, size=200_000, found=b""),
    OrderDone(order=b"O" * 16, outcome="done"),
    ORDER,
    Orders(orders=(ORDER,)),
    Version(1, 4),
    Snapshot(v=1, device="t-golden", section="roster", version=Version(1, 4), sealed=b"sealed"),
    OtherUnit(call_sign="CARE-4", status="en_route"),
    ANSWER,
    CAUTION,
    ASSIGNMENT,
    Assignments(
        unit="care-2",
        call_sign="CARE-2",
        status="assigned",
        status_ms=1_789_069_000_000,
        log_id=LOG,
        status_through=6,
        assignments=(ASSIGNMENT,),
    ),
    TURN,
    ROUTE,
    Routes(routes=(ROUTE,)),
    STAFF,
    Roster(agency="Lakeshore CARE", unit="care-2", call_sign="CARE-2", staff=(STAFF,)),
    TerminalSettings(note_keys=b"keys", key_statement=b"statement"),
    ENTRY,
    HeardPress(BOOT, 61_400),
    KNOWN,
    Emergencies(emergencies=(KNOWN,)),
    Shelf(entries=(ENTRY,)),
    AuditHead(line=1200, chained=b"c" * 32),
    SealedDelivery(v=1, device="t-desk", note=b"note", certificate=b"der", grants=(b"grant",)),
    Header(
        v=1,
        kind=NoteKind.FINAL,
        note_id=NOTE,
        encounter=ENCOUNTER,
        parent=None,
        device="t-golden",
        author="s-1",
        shift=SHIFT,
        stamp=STAMP,
        suite=1,
        epoch=1,
        flags=0,
        disposition="follow_up",
        person=(1, b"p" * 16),
    ),
    NoteContent(text="words", contact="Neighbor", recommended="follow_up"),
    STATED,
    KeyStatement(v=1, number=1, agency="Lakeshore CARE", keys=(STATED,)),
    NOTE_KEY,
    NoteKeyList(v=1, number=1, keys=(NOTE_KEY,)),
    ClinicalGrant(v=1, desk="t-desk", staff="s-1", epoch=1, kid=b"kid-kid-", sealed=b"sealed"),
    Bundle(
        v=1,
        device="t-golden",
        hub_url="https://hub.care.example.gov:8443",
        tid=b"t" * 16,
        secret=b"s" * 32,
        exp_s=1_789_155_550,
        root_spki_sha256=b"r" * 32,
        issued_s=1_789_069_150,
        profile="default",
        kind="vehicle",
    ),
    Challenge(v=1, nonce=b"n" * 32, hub_wall_ms=1_789_069_150_000, software_min="0.1.0", key_statement=b"statement"),
    Facts(serial="10000000abcd", model="Raspberry Pi 5", tier="T0", software="0.1.0"),
    CsrRequest(v=1, tid=b"t" * 16, csr=b"csr", kem_public=b"kem", nonce=b"n" * 16, facts=b"facts", mac=b"m" * 32),
    BROKER,
    ADMISSION,
    Enrolled(v=1, kind="vehicle", hub_url="https://hub:8443", root_spki_sha256=b"r" * 32, admission=ADMISSION),
    Refusal(code="E1", what="This bundle has expired. Ask for a new one."),
    NewDevice(unit="CARE-2", kind="vehicle"),
    AddedDevice(device="t-golden", unit="care-2", call_sign="CARE-2", exp_s=1_789_155_550, bundle=b"bundle"),
    DEVICE,
    DeviceList(devices=(DEVICE,)),
)

LATER: tuple[Struct, ...] = (
    Receipt(v=1, device="t-golden", log_id=LOG, through=7, epoch=1, tip=b"eight by", is_contested=True),
    Live(
        v=1, device="t-golden", boot=BOOT, mono_ms=61_500, age_ms=12, fix=FIX, reason="drift", owed=12, owed_ms=240_000
    ),
    LogRange(log_id=LOG, name="ledger", lowest_held=1, lowest_owed=7, next=8, marks=(MARK,)),
    Presence(
        v=1,
        device="t-golden",
        boot=BOOT,
        session=2,
        mono_ms=900,
        is_here=True,
        software="0.1.0",
        logs=(LogRange(log_id=LOG, name="ledger", lowest_held=1, lowest_owed=7, next=8, marks=(MARK,)),),
    ),
    BRIEFED,
    Assignments(
        unit="care-2",
        call_sign="CARE-2",
        status="assigned",
        status_ms=1_789_069_000_000,
        log_id=LOG,
        status_through=6,
        assignments=(BRIEFED,),
    ),
)
"""Messages that have got fields since they were first shipped, as they are said now."""

GROWN = {Receipt, LogRange, Presence, Assignment, Assignments}
"""Arrays, what says its fields whether set or not, and what holds one: they say every field, so what was first shipped is still read and no longer written."""

NOT_ON_THE_WIRE = {  # values that are made here and never encoded
    "Ahead",
    "Channel",
    "Envelope",
    "IncidentType",
    "Left",
    "Line",
    "Progress",
    "Question",
    "Recipient",
    "Receipts",
    "SealedNotes",
    "State",
    "Trail",
    "TrailPoint",
    "UpTopic",
}


def _file(message: Struct) -> Path:
    return GOLDEN / f"{type(message).__name__}-{2 if message in LATER else 1}.msgpack"


@pytest.mark.parametrize("message", (*MESSAGES, *LATER), ids=lambda m: type(m).__name__)
def test_a_message_of_the_first_release_is_still_read(message: Struct) -> None:
    assert decode(_file(message).read_bytes(), type(message)) == message


@pytest.mark.parametrize(
    "message", (*(m for m in MESSAGES if type(m) not in GROWN), *LATER), ids=lambda m: type(m).__name__
)
def test_a_message_is_still_written_as_in_the_first_release(message: Struct) -> None:
    assert encode(message) == _file(message).read_bytes()


def test_every_message_of_the_wire_has_a_golden_file() -> None:
    defined = {
        name
        for module in pkgutil.iter_modules(wire.__path__)
        for name, kind in inspect.getmembers(importlib.import_module(f"wire.{module.name}"), inspect.isclass)
        if issubclass(kind, Struct) and kind.__module__ == f"wire.{module.name}" and not name.startswith("_")
    }
    assert defined - NOT_ON_THE_WIRE == {type(message).__name__ for message in MESSAGES}


def test_every_field_of_every_message_is_in_the_wire_reference() -> None:
    reference = (GOLDEN.parent.parent / "docs" / "wire.md").read_text()
    missing = [
        f"{type(message).__name__}.{field}"
        for message in MESSAGES
        for field in message.__struct_fields__
        if f"`{field}`" not in reference.split(f"### {type(message).__name__}\n")[-1].split("\n### ")[0]
        or f"### {type(message).__name__}\n" not in reference
    ]
    assert not missing


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for shipped in (*MESSAGES, *LATER):
        if not _file(shipped).exists():
            _file(shipped).write_bytes(encode(shipped))
