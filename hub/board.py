"""The live board: what changes is encoded once a tick, and every viewer gets the same bytes.

Join first, then snapshot, then stream: a viewer is on the list before its snapshot is made, so that nothing falls
between. A viewer that falls behind is dropped; its browser comes back and starts from a snapshot, so there is no replay.
Two threads, because a position must never wait for SQL: one reads the tables when told that they changed, the other
sends. Both sleep while nothing happens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from threading import Condition, Event, Thread

import msgspec
import structlog
from msgspec import Struct
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from hub import closures, snapshot
from hub.closures import ClosureView
from hub.positions import Position, Positions
from hub.snapshot import (
    EmergencyView,
    EtaOf,
    HealthView,
    IncidentView,
    LinkOf,
    NoteView,
    PositionView,
    Sections,
    UnitView,
)

TICK_S = 0.1  # the eye does not see more; 200 viewers get ten sends a second at most
BEHIND_MAX = 64  # events a viewer may be behind: 6 s of a busy fleet
VIEWERS_MAX = 256  # each holds a thread of the server
HERE_S = 5.0  # so that a page knows within seconds that the hub is gone, on a network that does not say so
COMMENT_S = 15.0  # for proxies, which close what is silent
RETRY_MS = 1000  # a browser's wait before it comes back
LOOK_AGAIN_S = 1.0  # after the database could not be read

_log = structlog.get_logger("hub.board")
_encoder = msgspec.json.Encoder()


class PositionsEvent(Struct, frozen=True, kw_only=True):
    """The units that moved in one tick."""

    now_ms: int
    positions: tuple[PositionView, ...]


class EmergenciesEvent(Struct, frozen=True, kw_only=True):
    """Every emergency that is not cleared."""

    now_ms: int
    emergencies: tuple[EmergencyView, ...]


class UnitsEvent(Struct, frozen=True, kw_only=True):
    """Every unit, without positions."""

    now_ms: int
    units: tuple[UnitView, ...]


class IncidentsEvent(Struct, frozen=True, kw_only=True):
    """Every open incident."""

    now_ms: int
    incidents: tuple[IncidentView, ...]


class NotesEvent(Struct, frozen=True, kw_only=True):
    """The newest sealed notes."""

    now_ms: int
    notes: tuple[NoteView, ...]


class HealthEvent(Struct, frozen=True, kw_only=True):
    """What was refused."""

    now_ms: int
    health: HealthView


class ClosuresEvent(Struct, frozen=True, kw_only=True):
    """Every closure that holds."""

    now_ms: int
    closures: tuple[ClosureView, ...]


class HereEvent(Struct, frozen=True, kw_only=True):
    """Nothing changed, and the hub is here."""

    now_ms: int


EVENTS: dict[str, type[Struct]] = {  # of the stream, by name; each replaces its part of the snapshot
    "snapshot": snapshot.Snapshot,
    "positions": PositionsEvent,
    "emergencies": EmergenciesEvent,
    "units": UnitsEvent,
    "incidents": IncidentsEvent,
    "notes": NotesEvent,
    "health": HealthEvent,
    "closures": ClosuresEvent,
    "here": HereEvent,
}


class Viewer:
    """One open page: a bounded queue of encoded events, and whether it was dropped."""

    def __init__(self, snapshot_event: bytes) -> None:
        self._events: Queue[bytes] = Queue(BEHIND_MAX)
        self._snapshot_event = snapshot_event
        self._is_over = Event()

    def offer(self, event: bytes) -> bool:
        """Queue `event`; False when the viewer is so far behind that it is dropped."""
        try:
            self._events.put_nowait(event)
        except Full:
            self.drop()
            return False
        return True

    def drop(self) -> None:
        """End the stream, whatever is still queued."""
        self._is_over.set()
        try:
            self._events.put_nowait(b"")
        except Full:
            return  # then the reader is not waiting

    def stream(
        self,
        now_ms: Callable[[], int],
        may_go_on: Callable[[], bool],
        *,
        here_s: float = HERE_S,
        comment_s: float = COMMENT_S,
    ) -> Iterator[bytes]:
        """Server-sent events until the viewer is dropped or, asked with each comment, may not go on."""
        yield f"retry: {RETRY_MS}\n\n".encode() + self._snapshot_event
        comment_at = time.monotonic() + comment_s
        while not self._is_over.is_set():
            try:
                event = self._events.get(timeout=here_s)
            except Empty:
                event = encoded("here", HereEvent(now_ms=now_ms()))
            if self._is_over.is_set():
                return
            if time.monotonic() >= comment_at:
                if not may_go_on():
                    return
                comment_at = time.monotonic() + comment_s
                event += b": here\n\n"
            yield event


class Board:
    """Who is watching, and what they have been told."""

    def __init__(
        self,
        engine: Engine,
        positions: Positions,
        now_ms: Callable[[], int],
        *,
        agency: str,
        link_of: LinkOf,
        eta_of: EtaOf = snapshot.no_eta,
    ) -> None:
        self._engine = engine
        self._positions = positions
        self._now_ms = now_ms
        self._agency = agency
        self._link_of = link_of
        self.eta_of = eta_of
        self._viewers: set[Viewer] = set()
        self._sections = Sections()
        self._moved: dict[str, Position] = {}
        self._news: dict[str, bytes] = {}  # the newest event of each section
        self._is_stopping = False
        self._wake = Condition()  # guards everything above
        self._has_changed = Event()
        self._threads = (
            Thread(target=self._send_ticks, name="board-send", daemon=True),
            Thread(target=self._read_tables, name="board-read", daemon=True),
        )

    def start(self) -> None:
        """Read the tables once, then begin."""
        self._look()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End every stream and both threads."""
        with self._wake:
            self._is_stopping = True
            viewers = tuple(self._viewers)
            self._viewers.clear()
            self._wake.notify_all()
        self._has_changed.set()
        for viewer in viewers:
            viewer.drop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def moved(self, position: Position) -> None:
        """A unit's position is news: the next tick tells it, without touching SQL."""
        with self._wake:
            self._moved[position.unit] = position
            self._wake.notify_all()

    def changed(self) -> None:
        """Some table may have changed: it is read, and what differs is told."""
        self._has_changed.set()

    def join(self) -> Viewer | None:
        """A new viewer, its snapshot first in its stream; None when there are too many. After `stop` it ends at once."""
        with self._wake:
            if len(self._viewers) >= VIEWERS_MAX:
                return None
            viewer = Viewer(encoded("snapshot", self._picture()))
            if self._is_stopping:
                viewer.drop()
            else:
                self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """The viewer's page is gone."""
        with self._wake:
            self._viewers.discard(viewer)

    def viewers(self) -> int:
        """How many pages are watching."""
        with self._wake:
            return len(self._viewers)

    def picture(self) -> snapshot.Snapshot:
        """What everybody was told last, with the newest positions: it costs no reading of tables."""
        with self._wake:
            return self._picture()

    def _picture(self) -> snapshot.Snapshot:
        known = {position.unit: position for position in self._positions.all()}
        return snapshot.place(self._sections, known, self._agency, self._now_ms(), self.eta_of)

    def _send_ticks(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: bool(self._is_stopping or self._moved or self._news))
                if self._is_stopping:
                    return
                moved, self._moved = tuple(self._moved.values()), {}
                news, self._news = tuple(self._news.values()), {}
                viewers = tuple(self._viewers)
            if viewers:
                self._send(viewers, moved, news)
            time.sleep(TICK_S)  # after sending, so that the first of a burst is told at once

    def _send(self, viewers: tuple[Viewer, ...], moved: tuple[Position, ...], news: tuple[bytes, ...]) -> None:
        event = b"".join(news)
        if moved:
            seen = tuple(snapshot.position_view(position, self.eta_of) for position in moved)
            event = encoded("positions", PositionsEvent(now_ms=self._now_ms(), positions=seen)) + event
        for viewer in viewers:
            if not viewer.offer(event):
                _log.warning("viewer_dropped", behind=BEHIND_MAX)
                self.leave(viewer)

    def _read_tables(self) -> None:
        while True:
            self._has_changed.wait()
            with self._wake:
                if self._is_stopping:
                    return
            self._has_changed.clear()
            try:
                self._look()
            except SQLAlchemyError:
                _log.exception("board_cannot_read")
                self._has_changed.set()
                time.sleep(LOOK_AGAIN_S)
            time.sleep(TICK_S)  # a burst of changes is one reading

    def _look(self) -> None:
        with self._engine.begin() as connection:
            now = snapshot.read(connection, self._link_of)
        with self._wake:
            before, self._sections = self._sections, now
            self._news.update(_differences(before, now, self._now_ms()))
            self._wake.notify_all()


def encoded(name: str, value: Struct) -> bytes:
    """A server-sent event."""
    return b"event: " + name.encode() + b"\ndata: " + _encoder.encode(value) + b"\n\n"


def _differences(before: Sections, now: Sections, now_ms: int) -> dict[str, bytes]:
    events: dict[str, bytes] = {}
    if now.emergencies != before.emergencies:
        events["emergencies"] = encoded("emergencies", EmergenciesEvent(now_ms=now_ms, emergencies=now.emergencies))
    if now.units != before.units:
        events["units"] = encoded("units", UnitsEvent(now_ms=now_ms, units=now.units))
    if now.incidents != before.incidents:
        events["incidents"] = encoded("incidents", IncidentsEvent(now_ms=now_ms, incidents=now.incidents))
    if now.notes != before.notes:
        events["notes"] = encoded("notes", NotesEvent(now_ms=now_ms, notes=now.notes))
    if now.health != before.health:
        events["health"] = encoded("health", HealthEvent(now_ms=now_ms, health=now.health))
    if now.closures != before.closures:
        standing = closures.standing(now.closures, now_ms)
        events["closures"] = encoded("closures", ClosuresEvent(now_ms=now_ms, closures=standing))
    return events
