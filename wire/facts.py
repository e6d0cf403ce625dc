"""What the bodies of records say."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from wire.fix import Fix
from wire.ids import id_bytes


class StatusFact(Struct, frozen=True, kw_only=True):
    """A person set a unit's status. `by`: a `wire.status.By` word; `staff`: who pressed, None when nobody has signed
    on; `assignment`: what it is about; `skipped`: the table did not know the step; `undoes`: the seq of an earlier
    status of this log that the person took back within five seconds."""

    unit: str
    status: str
    by: str
    staff: str | None = None
    assignment: str | None = None
    skipped: bool = False
    undoes: int | None = None


class StateHeld(Struct, frozen=True, kw_only=True):
    """The terminal has committed this version of a section: it would survive a power cut."""

    section: str
    epoch: int
    n: int


class ShiftFact(Struct, frozen=True, kw_only=True):
    """A crew signed on to a unit, or off. `shift`: 16 bytes; `staff`: ids of the people aboard.

    `shift_key` is the public key (SubjectPublicKeyInfo DER) to which this terminal's notes are wrapped until sign-off.
    """

    shift: bytes
    unit: str
    staff: tuple[str, ...]
    on: bool
    shift_key: bytes | None = None

    def __post_init__(self) -> None:
        id_bytes(self.shift)


class ClockCorrected(Struct, frozen=True, kw_only=True):
    """How a board's clocks stand to true time was learned, or the system clock has jumped. Nothing is rewritten: whoever
    shows a time of this boot can reckon it anew from `mono_ms`.

    At `mono_ms` of `boot`, the clock by which records had been stamped would have said `wall_before_ms`, and it is
    `wall_after_ms` (Unix milliseconds). `quality`: a ClockQuality word, whose word that is; a jump that nobody confirms
    says `rtc` or `none`, and corrects nothing.
    """

    boot: bytes
    mono_ms: int
    wall_before_ms: int
    wall_after_ms: int
    quality: str

    def __post_init__(self) -> None:
        id_bytes(self.boot)
        if self.mono_ms < 0:
            raise ValueError("monotonic time before its start")


class ShelfWanted(Struct, frozen=True, kw_only=True):
    """A desk asks for sealed notes that its shelf section lists and it does not hold."""

    note_ids: tuple[bytes, ...]


class Source(StrEnum):
    """What raised an emergency."""

    BUTTON = "button"
    SCREEN = "screen"
    WELFARE = "welfare"


class EmergencyFact(Struct, frozen=True, kw_only=True):
    """Somebody aboard is in danger, or, with `drill`, tries whether the alarm works.

    `id`: 16 bytes, one emergency from its first press until dispatch has cleared it; pressing again is another fact
    with the same id. `source`: a Source word; `mono_ms`: of the press, on the clock of the stamp's boot, so that
    (`id`, boot, `mono_ms`) names the press however often it is told. `unit`: None when the terminal has not been told
    yet; `staff`: who is signed on; `assignment`, `incident`: what they work on; `fix`: the last one, `fix_age_ms` old
    at the press. `asks_clear`: the crew asks dispatch to clear it; only dispatch can.
    """

    id: bytes
    source: str
    mono_ms: int
    drill: bool = False
    unit: str | None = None
    staff: tuple[str, ...] = ()
    assignment: str | None = None
    incident: str | None = None
    fix: Fix | None = None
    fix_age_ms: int | None = None
    asks_clear: bool = False

    def __post_init__(self) -> None:
        id_bytes(self.id)
        if self.mono_ms < 0 or (self.fix_age_ms is not None and self.fix_age_ms < 0):
            raise ValueError("time runs forward")


AUDIT_HEAD = "audit_head"  # `what`, when a desk countersigns: `about` is epoch:line, `reason` the hash in hex


class AuditFact(Struct, frozen=True, kw_only=True):
    """Something on a terminal that an auditor will ask for. Never note text, a PIN, or the name of a person met.

    `what`: e.g. "note_opened", "open_denied", "unlocked", "pin_wrong", "settings_refused"; `about`: an id, or None;
    `outcome`: "ok", "denied" or "failed"; `actor`: a staff id, None when nobody has signed on; `reason`: plain words.
    """

    what: str
    outcome: str
    actor: str | None = None
    about: str | None = None
    reason: str | None = None


class DamagedFact(Struct, frozen=True, kw_only=True):
    """In the place of a record whose signature no longer fits its bytes: the terminal's disk or memory changed them.

    `sha256` and `size`: of what stands there now; `found`: that itself, the first 4 kB.
    """

    sha256: bytes
    size: int
    found: bytes


class RefusedFact(Struct, frozen=True, kw_only=True):
    """In the place of a record that the broker does not take for what it is: its `reason` (an MQTT reason code).

    `kind`, `sha256` and `size`: of the record as it was. What it said follows in the same log as parts, or, where it
    was small, stands in `found` (its signed bytes).
    """

    reason: int
    kind: str
    sha256: bytes
    size: int
    found: bytes = b""


class OrderDone(Struct, frozen=True, kw_only=True):
    """The terminal has obeyed an order, or will not. `outcome`: "done", "unknown" (a newer hub's word) or "refused"
    (not vouched for by who must)."""

    order: bytes
    outcome: str

    def __post_init__(self) -> None:
        id_bytes(self.order)


class LedgerDamaged(Struct, frozen=True, kw_only=True):
    """A file of this terminal was damaged; what could be read was salvaged into this new log. It is the first record of
    the new log that speaks of the old one; the salvaged records follow.

    `log`: "ledger" or "trail"; `log_id`: of the damaged file; `next`: the first number that file had not given, as far as
    it could be read; `through`: what the hub had receipted of it; `salvaged`: the numbers that were salvaged, as pairs of
    first and last. A number after `through` and before `next` that is in no pair could not be read. `log_id`: None when the
    file did not even say which log it was. `damage`: plain words.
    """

    log: str
    log_id: bytes | None
    next: int
    through: int
    salvaged: tuple[tuple[int, int], ...]
    damage: str

    def __post_init__(self) -> None:
        if self.log_id is not None:
            id_bytes(self.log_id)
        last = 0
        for first, until in self.salvaged:
            if not last < first <= until < self.next:
                raise ValueError("numbers out of order")
            last = until
        if not 0 <= self.through < self.next:
            raise ValueError("a receipt for numbers that were never given")
