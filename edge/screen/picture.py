"""Everything a page shows, read in one transaction and put into words: one moment, never two halves of different ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from msgspec import Struct
from sqlite_utils import Database

from edge import assignments, desk, evidence, held, notes, shift, vault
from edge.assignments import View
from edge.clock import Clock
from edge.desk import Listed
from edge.emergency import Emergency
from edge.identity import Identity
from edge.notes import Entry, State
from edge.outbox import Signer
from edge.room import Room
from edge.route import Guide, Seen, has_arrived
from edge.screen import way, words
from edge.screen.way import Told
from edge.screen.words import Words
from edge.screen.zone import Zone
from edge.shift import Shift
from edge.store import Saves
from edge.tracker import GpsState
from edge.uplink import LinkState
from firmware_bridge.pins import PinsState, no_pins
from wire.incident import Gate
from wire.state import Roster, StaffMember, TerminalSettings
from wire.status import GOING, LABEL, By, Status, buttons
from wire.topics import Section

UNDO_S = 5.0
DOUBLE_TAP_S = 0.7  # a second tap of the same thumb lands on the button that has just changed under it
RECENT_MAX = 8  # encounters that can still be written about after dispatch took the assignment back


class ScreenParts(Struct, frozen=True, kw_only=True):
    """What the screen is made of; every one belongs to `edge.main`. `zone`: the clinical zone, where somebody else may lock
    it too; `unsaved`: told that something a person entered could not be saved; `not_saving`: why nothing can be saved now, None
    while everything is; `room`: how full the disk is; `guide`: follows the way, None where nobody drives."""

    identity: Identity
    store: Saves
    signer: Signer
    clock: Clock
    home: Path
    link_state: Callable[[], LinkState]
    gps_state: Callable[[], GpsState]
    wake: Callable[[], None]
    emergency: Emergency
    pins_state: Callable[[], PinsState] = no_pins
    zone: Zone | None = None
    unsaved: Callable[[], None] = lambda: None
    not_saving: Callable[[], str | None] = lambda: None
    room: Callable[[], Room] = Room
    guide: Guide | None = None


class Pressed(Struct, frozen=True, kw_only=True):
    """The crew's last status, for as long as it can be taken back."""

    seq: int
    status: Status
    before: Status
    at_ms: int
    at_mono_s: float


class Button(Struct, frozen=True, kw_only=True):
    """A status to press."""

    status: str
    label: str


class Picture(Struct, frozen=True, kw_only=True):
    """One moment. `primary` is the large button; None when nothing is the obvious next thing. `way`: while the unit is on its
    way; `arrival`: the status to suggest because the vehicle stands near the place, which nothing but a person sets."""

    now_ms: int
    device: str
    is_desk: bool
    view: View | None
    roster: Roster | None
    lock_after_s: float
    shift: Shift | None
    person: StaffMember | None
    entries: tuple[Entry, ...]
    shelf: tuple[Listed, ...]
    link_state: LinkState
    gps_state: GpsState
    pins_state: PinsState
    link: Words
    gps: Words | None
    pins: Words | None
    room_state: Room
    room: Words | None
    trouble: Words | None
    damaged: Words | None
    fresh: Words
    gate: Words | None
    not_saving: Words | None
    primary: Button | None
    others: tuple[Button, ...]
    pressed: Pressed | None
    is_open: bool
    is_desk_open: bool
    is_settling: bool
    seen: Seen = Seen()
    way: Told | None = None
    arrival: Button | None = None

    @property
    def call_sign(self) -> str:
        """Who we are to a dispatcher; the device's id until the hub has said."""
        if self.view is not None:
            return self.view.call_sign
        return self.roster.call_sign if self.roster is not None else self.device

    @property
    def status(self) -> Status | None:
        """What the unit is doing; None before the hub has said which unit this is."""
        return None if self.view is None else self.view.status

    @property
    def status_label(self) -> str:
        """The same for people."""
        return "No unit yet" if self.view is None else LABEL[self.view.status]

    @property
    def is_new(self) -> bool:
        """Whether an assignment waits for a person to see it."""
        return self.view is not None and self.view.current is not None and self.view.status == Status.ASSIGNED

    @property
    def drafts(self) -> int:
        """How many notes are not final."""
        return sum(entry.state == State.DRAFT for entry in self.entries)

    @property
    def writes_notes(self) -> bool:
        """Whether the person signed on writes notes here: a sworn partner does not, and nobody while nothing is saved."""
        return (
            self.not_saving is None and self.shift is not None and (self.person is None or self.person.role != "sworn")
        )


class Cab:
    """What the screen remembers between two requests, in memory only."""

    def __init__(self, parts: ScreenParts) -> None:
        self.parts = parts
        self.zone = parts.zone if parts.zone is not None else Zone(parts.clock.mono_s)
        self._guard = Lock()
        self._pressed: Pressed | None = None
        self._recent: OrderedDict[bytes, str] = OrderedDict()

    def look(self, session: str) -> Picture:
        """The whole picture, now, for this browser."""
        parts = self.parts
        link_state, gps_state = parts.link_state(), parts.gps_state()  # before: they may ask the store themselves
        picture = parts.store.do(lambda db: self._read(db, session, link_state, gps_state))
        self.zone.lock_after_s = picture.lock_after_s
        if picture.view is not None:
            for assignment in picture.view.all:
                self.remember(assignment.encounter, f"{assignment.type_label}, {assignment.place}")
        return picture

    def remember(self, encounter: bytes, title: str) -> None:
        """An encounter that somebody may still write about."""
        with self._guard:
            self._recent[encounter] = title
            self._recent.move_to_end(encounter)
            while len(self._recent) > RECENT_MAX:
                self._recent.popitem(last=False)

    def recent(self) -> tuple[tuple[bytes, str], ...]:
        """Encounters to write about, the newest first."""
        with self._guard:
            return tuple(reversed(self._recent.items()))

    def title(self, encounter: bytes) -> str:
        """How an encounter is called."""
        with self._guard:
            return self._recent.get(encounter, "Note without an incident")

    def forget_encounters(self) -> None:
        """At sign-off: where the last crew was is not the next crew's business."""
        with self._guard:
            self._recent.clear()

    def press(self, pressed: Pressed | None) -> None:
        """What can be taken back from now on."""
        with self._guard:
            self._pressed = pressed

    def undoable(self) -> Pressed | None:
        """What can still be taken back."""
        with self._guard:
            pressed = self._pressed
        return pressed if pressed is not None and self._since(pressed) < UNDO_S else None

    def is_settling(self) -> bool:
        """Whether a status was set so recently that the next tap may be the same one."""
        with self._guard:
            pressed = self._pressed
        return pressed is not None and self._since(pressed) < DOUBLE_TAP_S

    def _since(self, pressed: Pressed) -> float:
        return self.parts.clock.mono_s() - pressed.at_mono_s

    def _read(self, db: Database, session: str, link_state: LinkState, gps_state: GpsState) -> Picture:
        parts = self.parts
        kem = parts.identity.kem
        now_ms = parts.clock.wall_ms()
        is_desk = parts.identity.kind == "desk"
        view = assignments.view(db, kem)
        roster = held.content(db, kem, Section.ROSTER, Roster)
        settings = held.content(db, kem, Section.SETTINGS, TerminalSettings)
        on = shift.current(db)
        not_saving = words.not_saving(parts.not_saving())
        primary, others = _buttons(view) if not_saving is None else (None, ())
        pins_state, room_state = parts.pins_state(), parts.room()
        seen, told, arrival = self._way(view, link_state, now_ms)
        return Picture(
            now_ms=now_ms,
            device=parts.identity.device,
            is_desk=is_desk,
            view=view,
            roster=roster,
            lock_after_s=settings.lock_after_s if settings is not None else 120.0,
            shift=on,
            person=_member(roster, on.staff) if on is not None else None,
            entries=notes.entries(db, on.staff) if on is not None else (),
            shelf=desk.listed(db, parts.identity) if is_desk else (),
            link_state=link_state,
            gps_state=gps_state,
            pins_state=pins_state,
            link=words.link(link_state, now_ms),
            gps=words.gps(gps_state),
            pins=words.pins(pins_state),
            room_state=room_state,
            room=words.room(room_state),
            trouble=words.trouble(link_state),
            damaged=words.damaged(evidence.notice(parts.home)),
            fresh=words.freshness(link_state, view.held_ms if view is not None else None, now_ms),
            gate=words.gate(view.current) if view is not None and view.current is not None else None,
            not_saving=not_saving,
            primary=primary,
            others=others,
            pressed=self.undoable(),
            is_open=self.zone.is_open(session),
            is_desk_open=self.zone.is_desk_open(session),
            is_settling=self.is_settling(),
            seen=seen,
            way=told,
            arrival=None if not_saving is not None else arrival,
        )

    def _way(self, view: View | None, link_state: LinkState, now_ms: int) -> tuple[Seen, Told | None, Button | None]:
        guide = self.parts.guide
        current = None if view is None else view.current
        if guide is None or view is None or current is None or view.status not in GOING:
            return Seen(), None, None
        seen = guide.look(current.id, self.parts.clock.mono_s())
        has_link = link_state.link == "up" and link_state.hub
        is_staged = current.gate == Gate.STAGED and view.status is not Status.STAGED
        arrival = None
        if view.status is not Status.STAGED and has_arrived(seen, current.lat, current.lon, is_staged):
            status = Status.STAGED if is_staged else Status.ON_SCENE
            arrival = Button(status=str(status), label=LABEL[status])
        return seen, way.told(seen, current, has_link, now_ms, view.held_ms), arrival


def people(picture: Picture, home: Path) -> tuple[tuple[StaffMember, bool], ...]:
    """Who may sign on here, and whether each has a PIN on this terminal; by PIN files until the roster has come."""
    if picture.not_saving is not None:
        return ()  # nobody signs on now, and the files of their PINs may not be there
    if picture.roster is None:
        return tuple((StaffMember(id=staff, name=staff, role=""), True) for staff in vault.holders(home))
    return tuple((member, vault.has_slot(home, member.id)) for member in picture.roster.staff)


def _member(roster: Roster | None, staff: str) -> StaffMember | None:
    if roster is None:
        return None
    return next((member for member in roster.staff if member.id == staff), None)


def _buttons(view: View | None) -> tuple[Button | None, tuple[Button, ...]]:
    if view is None:
        return None, ()
    offered = [
        Button(status=str(status), label=words.verb(status, LABEL[status])) for status in buttons(view.status, By.CREW)
    ]
    # "Available" without an assignment waits for dispatch: nothing there is the obvious next thing to press.
    if not offered or (view.status == Status.AVAILABLE and view.current is None):
        return None, tuple(offered)
    return offered[0], tuple(offered[1:])
