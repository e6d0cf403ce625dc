"""State flows down: each section whole, versioned, signed by the hub and sealed to one terminal.

Losing, repeating or reordering a snapshot is harmless: the highest version wins. Every section is sealed, not only the
personal ones, so that there is one path and nothing to get wrong.
"""

from __future__ import annotations

from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from wire import signature
from wire.codec import Malformed, decode, encode
from wire.ids import device_id, id_bytes
from wire.signature import Context

SUITE = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
CHAINED_BYTES = 32


class Version(Struct, frozen=True, array_like=True, order=True):
    """Orders the snapshots of a section: first by the hub's state `epoch` (higher after a restore), then by `n`."""

    epoch: int
    n: int


class Snapshot(Struct, frozen=True, kw_only=True, array_like=True):
    """One section for one device. `sealed` opens with the device's KEM key to the MessagePack of the section."""

    v: int
    device: str
    section: str
    version: Version
    sealed: bytes

    def __post_init__(self) -> None:
        device_id(self.device)


class OtherUnit(Struct, frozen=True, kw_only=True):
    """Another unit on the same incident."""

    call_sign: str
    status: str


class PacketAnswer(Struct, frozen=True, kw_only=True):
    """What is known before the crew arrives. `question`: a code of `wire.packet.PACKET`, `text` what people call it;
    `answer`: "yes", "no", "unknown" (asked, and nobody could say), "not_asked", or a word of that question's own;
    `source`: who said it; `label`: who may see it, a `wire.packet.Label` word; `at_ms` Unix milliseconds."""

    question: str
    text: str
    label: str
    answer: str
    words: str
    source: str
    at_ms: int


class KnownCaution(Struct, frozen=True, kw_only=True):
    """A caution. `behavior`: a code of `wire.packet.BEHAVIORS`, `text` what people call it; `severity`: EIDO's word;
    `scope`: "person", "address" or "area" of `radius_m`; times are Unix milliseconds, and from `expires_ms` on nobody
    shows it any more."""

    id: str
    behavior: str
    text: str
    label: str
    severity: str
    source: str
    scope: str
    radius_m: int
    observed_ms: int
    expires_ms: int


class Assignment(Struct, frozen=True, kw_only=True):
    """This unit, this incident. `problem` is what the caller said is wrong, in a dispatcher's words; `place` how people
    name the location; `cautions` are behavior, never a diagnosis; `offered_ms` Unix milliseconds of the hub's clock.

    `revision` rises with every change of the incident, so that a screen can mark what is new; `gate_by`: who called the
    scene secure. `cautions` also says each of `known_cautions` in words, for a program that does not know those.
    """

    id: str
    incident: str
    encounter: bytes
    type: str
    type_label: str
    priority: int
    lat: float
    lon: float
    place: str
    problem: str
    gate: str
    offered_ms: int
    cautions: tuple[str, ...] = ()
    others: tuple[OtherUnit, ...] = ()
    revision: int = 0
    gate_by: str | None = None
    packet: tuple[PacketAnswer, ...] = ()
    known_cautions: tuple[KnownCaution, ...] = ()

    def __post_init__(self) -> None:
        id_bytes(self.encounter)


class Assignments(Struct, frozen=True, kw_only=True):
    """Section `assignments`. `status` is the unit's as the hub sees it after everything of this terminal's ledger
    (`log_id`) through `status_through`; presses of the terminal beyond that still count on the terminal's own screen."""

    unit: str
    call_sign: str
    status: str
    status_ms: int
    log_id: bytes | None
    status_through: int
    assignments: tuple[Assignment, ...]


class Turn(Struct, frozen=True, array_like=True):
    """One thing to do on a way. `at`: which point of the line; `kind`: a `wire.way.KINDS` word, for the arrow; `words`: what
    to do, as a sentence; `street`: onto which, empty where none is named; then it goes on for `distance_m` and `seconds`."""

    at: int
    kind: str
    words: str
    street: str
    distance_m: int
    seconds: int


class Route(Struct, frozen=True, kw_only=True):
    """The way to an assignment, as the roads were asked from where the unit was believed to be.

    `n` rises with each new one of an assignment; `why` it was made: a `wire.way.Why` word; `made_ms`: when, Unix
    milliseconds of the hub's clock. `line`: an encoded polyline of six decimals. Of a long way only the beginning is sent:
    it goes on beyond the line for `beyond_m` and `beyond_s`, and the rest follows in time.

    `why_not`: a `wire.way.WhyNot` word when there is no way to show, and then there is no line either.
    """

    assignment: str
    n: int
    why: str
    made_ms: int
    line: str = ""
    distance_m: int = 0
    seconds: int = 0
    turns: tuple[Turn, ...] = ()
    beyond_m: int = 0
    beyond_s: int = 0
    why_not: str = ""


class Routes(Struct, frozen=True, kw_only=True):
    """Section `routes`: behind the assignments they belong to, never in front of them."""

    routes: tuple[Route, ...]


class StaffMember(Struct, frozen=True, kw_only=True):
    """Somebody who may sign on at this terminal today. `role`: "specialist", "sworn", or "clinician" at a desk."""

    id: str
    name: str
    role: str
    skills: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()


class Roster(Struct, frozen=True, kw_only=True):
    """Section `roster`."""

    agency: str
    unit: str
    call_sign: str
    staff: tuple[StaffMember, ...]


class TerminalSettings(Struct, frozen=True, kw_only=True):
    """Section `settings`: what the agency decides. `note_keys` and `key_statement` are signed by keys that are not on
    the hub (see `wire.keys`); the rest is the hub's to say."""

    note_keys: bytes
    key_statement: bytes
    drift_m_max: float = 15.0
    report_s_max: float = 10.0
    lock_after_s: float = 120.0
    moving_lock_mps: float = 2.5


class ShelfEntry(Struct, frozen=True, kw_only=True):
    """A sealed note that this desk may hold. `held_ms`: when the hub got it; `body_sha256`: of the note's body."""

    note_id: bytes
    body_sha256: bytes
    encounter: bytes
    incident: str | None
    call_sign: str | None
    kind: int
    disposition: str | None
    held_ms: int

    def __post_init__(self) -> None:
        id_bytes(self.note_id)
        id_bytes(self.encounter)


class Shelf(Struct, frozen=True, kw_only=True):
    """Section `shelf`, newest first."""

    entries: tuple[ShelfEntry, ...]


class AuditHead(Struct, frozen=True, kw_only=True):
    """Section `audit`, desks only: how far the hub's audit goes, so that it cannot be cut, nor written anew, unseen.

    `chained`: 32 bytes, what stands beside `line` and follows from every line up to it.
    """

    line: int
    chained: bytes

    def __post_init__(self) -> None:
        if self.line < 1 or len(self.chained) != CHAINED_BYTES:
            raise ValueError("an audit head of the wrong form")


class HeardPress(Struct, frozen=True, array_like=True):
    """A press by its name: `mono_ms` on the clock of `boot`."""

    boot: bytes
    mono_ms: int

    def __post_init__(self) -> None:
        id_bytes(self.boot)


class KnownEmergency(Struct, frozen=True, kw_only=True):
    """What dispatch knows of one emergency of this terminal.

    `heard`: the newest press of each boot that was heard; one beyond has not been, whatever else stands here.
    `received_ms`: when the first was; `drill`: it is a test; `asked_ms`: when the crew's wish to clear it was; `acknowledged_ms` and
    `by`: a person has taken it, and who; `cleared_ms`: it is over. Times are Unix milliseconds of the hub's clock.
    """

    id: bytes
    heard: tuple[HeardPress, ...]
    received_ms: int
    drill: bool = False
    asked_ms: int | None = None
    acknowledged_ms: int | None = None
    by: str | None = None
    cleared_ms: int | None = None

    def __post_init__(self) -> None:
        id_bytes(self.id)


class Emergencies(Struct, frozen=True, kw_only=True):
    """Section `emergency`: every one of this terminal that is not cleared, and the newest that are."""

    emergencies: tuple[KnownEmergency, ...]


class OrderKind(StrEnum):
    """What a terminal can be told to do. The field itself is plain text: an order that this program does not know is
    answered as such and never guessed at."""

    LOCK = "lock"
    RESEND = "resend"


class Order(Struct, frozen=True, kw_only=True):
    """A desired act on a device, obeyed once. `id` names it for good; `kind`: an OrderKind word; `issued_ms`: when, by
    the hub's clock; `by`: the account that gave it.

    `vouched`: what destroys (a wipe) is obeyed only with a statement on this very `id` and `kind`, signed under
    `tandem-wipe-v1` by a key that is not on the hub. What can be undone by a person at the terminal needs none.
    """

    id: bytes
    kind: str
    issued_ms: int
    by: str
    vouched: bytes | None = None

    def __post_init__(self) -> None:
        id_bytes(self.id)


class Orders(Struct, frozen=True, kw_only=True):
    """Section `orders`: every order of this terminal that it has not answered, the oldest first."""

    orders: tuple[Order, ...]


class SealedDelivery(Struct, frozen=True, kw_only=True, array_like=True):
    """A note for a desk that asked. `note` as its author signed it; `certificate` (DER) of the signing device, which
    the desk verifies up to the agency root itself; `grants` as they came."""

    v: int
    device: str
    note: bytes
    certificate: bytes
    grants: tuple[bytes, ...] = ()


def seal_snapshot(
    device: str,
    section: str,
    version: Version,
    content: bytes,
    kem: ec.EllipticCurvePublicKey,
    key: ec.EllipticCurvePrivateKey,
) -> bytes:
    """`content` (the section's MessagePack) sealed to the terminal's `kem` and signed by the hub's snapshot `key`."""
    sealed = SUITE.encrypt(content, kem, info=_state_info(device, section, version))
    snapshot = Snapshot(v=1, device=device, section=section, version=version, sealed=sealed)
    return signature.signed(Context.STATE, encode(snapshot), key)


def open_snapshot(data: bytes, device: str, section: str, key: ec.EllipticCurvePublicKey) -> Snapshot:
    """The snapshot in `data` for this device and section, its signature verified, still sealed; Malformed otherwise."""
    snapshot = decode(signature.opened(Context.STATE, data, key), Snapshot)
    if snapshot.device != device or snapshot.section != section:
        raise Malformed("a snapshot of another device or section")
    return snapshot


def unseal(snapshot: Snapshot, kem: ec.EllipticCurvePrivateKey) -> bytes:
    """The section's MessagePack; Malformed when it was sealed to another key or for another place."""
    info = _state_info(snapshot.device, snapshot.section, snapshot.version)
    try:
        return SUITE.decrypt(snapshot.sealed, kem, info=info)
    except InvalidTag:
        raise Malformed("a snapshot sealed to another key") from None


def sign_delivery(delivery: SealedDelivery, key: ec.EllipticCurvePrivateKey) -> bytes:
    """`delivery` as the hub sends it."""
    return signature.signed(Context.SEALED, encode(delivery), key)


def open_delivery(data: bytes, device: str, key: ec.EllipticCurvePublicKey) -> SealedDelivery:
    """The delivery in `data` for `device`, signed by the snapshot `key`; the note inside is still to be verified."""
    delivery = decode(signature.opened(Context.SEALED, data, key), SealedDelivery)
    if delivery.device != device:
        raise Malformed("a note for another device")
    return delivery


def _state_info(device: str, section: str, version: Version) -> bytes:
    return b"tandem-state-v1\0" + encode([device, section, [version.epoch, version.n]])
