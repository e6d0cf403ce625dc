"""Stories: scripted calls played against the running programs, the way people would use them, and timed.

A story touches nothing but what a person touches: the console, a touchscreen, a desk. Each step waits until what it
promises can be seen on a screen, and says after how many milliseconds that was.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from queue import Empty, Queue
from threading import Thread

from msgspec import Struct

from demo.fleet import DESK, Fleet, Login, Station
from demo.web import Browser, Json, Unanswered

STEP_S_MAX = 20.0
POLL_S = 0.02
LOOK_S_MAX = 5.0  # the desk page of a note that just arrived


class StoryFailed(Exception):
    """A step did not come true; the sentence says which."""


class Step(Struct, frozen=True, kw_only=True):
    """What happened, when, and how long after the step before it."""

    step: str
    at: str
    ms: int
    took_ms: int
    detail: dict[str, object]


class Teller:
    """Keeps the time of a story and says each step as it comes true."""

    def __init__(self, say: Callable[[Step], None]) -> None:
        self._say = say
        self._began_s = self._before_s = time.monotonic()
        self.steps: list[Step] = []

    def told(self, step: str, **detail: object) -> None:
        """`step` has just come true."""
        now_s = time.monotonic()
        told = Step(
            step=step,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            ms=round((now_s - self._began_s) * 1000),
            took_ms=round((now_s - self._before_s) * 1000),
            detail=detail,
        )
        self._before_s = now_s
        self.steps.append(told)
        self._say(told)


def first_call(fleet: Fleet, say: Callable[[Step], None]) -> tuple[Step, ...]:
    """One call from the receiver's bytes to the opened note; StoryFailed or Unanswered when a step fails."""
    teller = Teller(say)
    console = sign_in(fleet.console, fleet.login("dispatcher"))
    watched = _Watch(console)
    station, unit = _free_vehicle(fleet, console)
    screen = Browser(station.screen)
    sign_on(screen, station)
    go_on_duty(screen)
    _until(f"{station.call_sign} available at the console", lambda: _has_status(console, unit, "available"))

    gps = _until("a fix on the terminal", lambda: _fix(screen))
    teller.told("fix_read", unit=station.call_sign, age_s=gps["age_s"])
    position = watched.next_position_of(unit)
    said_at = datetime.fromisoformat(position["fix_at"])
    fix_age_ms = round((datetime.now(UTC) - said_at).total_seconds() * 1000)
    teller.told(
        "position_on_hub", unit=station.call_sign, lat=position["lat"], lon=position["lon"], fix_age_ms=fix_age_ms
    )

    incident = f"inc-{secrets.token_hex(6)}"
    made = console.post("/api/v1/incidents", _call_at(incident, position))
    teller.told("incident_made", incident=incident, number=made["number"])
    ranking = console.post(f"/api/v1/incidents/{incident}/ranking", {})
    teller.told("candidates_ranked", engine=ranking["engine"], candidates=_in_short(ranking["candidates"]))

    chosen = next(c for c in ranking["candidates"] if c["unit"] == unit)
    assignment = f"asg-{secrets.token_hex(6)}"
    console.post(
        f"/api/v1/incidents/{incident}/assignments",
        {"id": assignment, "unit": unit, "ranking": ranking["ranking"], "reason": "the story follows this unit"},
    )
    teller.told("unit_assigned", assignment=assignment, unit=chosen["call_sign"], fit=chosen["fit"])
    _until("the assignment on the touchscreen", lambda: _shown(screen, assignment))
    teller.told("assignment_on_terminal", assignment=assignment)
    _until("'on the terminal' at the console", lambda: _assignment(console, incident, assignment)["received_ms"])
    teller.told("terminal_receipt_on_console", assignment=assignment)

    for status in ("acknowledged", "en_route", "on_scene", "contact"):
        screen.submit("/status", {"status": status, "assignment": assignment})
        _until(f"'{status}' at the console", partial(_has_status, console, unit, status))
        teller.told(status, unit=station.call_sign)
        if status == "acknowledged" and not _assignment(console, incident, assignment)["acknowledged_ms"]:
            raise StoryFailed("the console does not say that a person acknowledged")

    words = f"Spoke for a while, calmer now. Story {secrets.token_hex(4)}."
    note = _write_note(screen, words)
    teller.told("note_finalized", note=note)
    listed = _until("the sealed note at the hub", lambda: _listed(console, note))
    teller.told("sealed_note_at_hub", note=note, size_bytes=listed["size_bytes"])
    _until("the hub's receipt at the terminal", lambda: _note_state(screen, note) == "received")
    teller.told("receipt_at_terminal", note=note)

    desk = fleet.station(DESK)
    desk_screen = Browser(desk.screen)
    sign_on(desk_screen, desk)
    desk_screen.submit("/desk/unlock", {"passphrase": desk.passphrase or ""})
    page = _until("the note at the desk", lambda: _opened(desk_screen, note))
    if words not in page:
        raise StoryFailed("the desk opened the note, but its words are not the ones written")
    teller.told("opened_at_desk", note=note, desk=desk.call_sign)

    for status in ("clearing", "available"):
        screen.submit("/status", {"status": status, "assignment": assignment})
        _until(f"'{status}' at the console", partial(_has_status, console, unit, status))
    console.post(f"/api/v1/incidents/{incident}/close", {"disposition": "stabilized_in_place"})
    teller.told("closed", incident=incident, disposition="stabilized_in_place")
    return tuple(teller.steps)


STORIES: dict[str, Callable[[Fleet, Callable[[Step], None]], tuple[Step, ...]]] = {"first-call": first_call}


def sign_in(console: str, login: Login) -> Browser:
    """The console as `login` sees it."""
    browser = Browser(console)
    browser.submit("/signin", {"account": login.account, "password": login.password})
    browser.csrf = browser.json("/api/v1/me")["csrf"]
    return browser


def sign_on(screen: Browser, station: Station) -> None:
    """Sign the station's person on at its touchscreen, or open the clinical zone when they are on already."""
    _until(f"the roster of {station.call_sign} on its terminal", lambda: _state(screen)["call_sign"])
    if _state(screen)["signed_on"]:
        screen.submit("/unlock", {"pin": station.pin})
    else:
        screen.submit("/sign-on", {"staff": station.staff, "pin": station.pin})
    if not _state(screen)["signed_on"]:
        raise StoryFailed(f"{station.call_sign} did not take the PIN of {station.staff}")


def go_on_duty(screen: Browser) -> None:
    """Press "available" when the crew has just signed on."""
    if _state(screen)["status"] == "off_duty":
        screen.submit("/status", {"status": "available"})


class _Watch:
    """Listens to the console's events from a thread of its own."""

    def __init__(self, console: Browser) -> None:
        self._events: Queue[tuple[str, Json]] = Queue(4096)  # a story of a minute is some hundred events
        Thread(target=self._listen, args=(console,), daemon=True).start()

    def next_position_of(self, unit: str) -> Json:
        """The next position of `unit` that the hub announces."""
        while not self._events.empty():
            self._events.get_nowait()
        deadline_s = time.monotonic() + STEP_S_MAX
        while (left_s := deadline_s - time.monotonic()) > 0:
            try:
                name, data = self._events.get(timeout=left_s)
            except Empty:
                break
            for row in data["positions"] if name == "positions" else []:
                if row["unit"] == unit and row.get("lat") is not None:
                    return row
        raise StoryFailed(f"no position of {unit} reached the console within {STEP_S_MAX:.0f} s")

    def _listen(self, console: Browser) -> None:
        try:
            for event in console.events("/api/v1/events"):
                self._events.put(event)
        except (Unanswered, OSError, ValueError):
            return  # the story has its own deadline for every step


def _free_vehicle(fleet: Fleet, console: Browser) -> tuple[Station, str]:
    """A vehicle that is not on a call, and its unit id."""

    def find() -> tuple[Station, str] | None:
        for unit in console.json("/api/v1/snapshot")["units"]:
            if unit["kind"] == "vehicle" and unit["status"] in ("available", "off_duty") and unit["position"]:
                return fleet.station(unit["call_sign"]), unit["unit"]
        return None

    found: tuple[Station, str] = _until("a vehicle that is free", find)
    return found


def _call_at(incident: str, position: Json) -> dict[str, object]:
    return {
        "id": incident,
        "type": "MNTL",
        "priority": 2,
        "lat": position["lat"] + 0.004,
        "lon": position["lon"] + 0.004,
        "place": "By the fountain",
        "problem": "Caller says a neighbor sits outside, has not slept, asks for help",
        "cautions": [],
        "need": {"skills": [], "languages": []},
    }


def _write_note(screen: Browser, words: str) -> str:
    encounter = _state(screen)["assignment"]["encounter"]
    before = {note["id"] for note in _state(screen)["notes"]}
    screen.submit("/note", {"encounter": encounter})
    note: str = next(n["id"] for n in _state(screen)["notes"] if n["id"] not in before)
    fields = {"text": words, "contact": "Neighbor", "disposition": "stabilized_in_place", "recommended": ""}
    screen.submit(f"/note/{note}/draft", fields)
    screen.submit(f"/note/{note}/finalize", {**fields, "confirm": "yes"})
    return note


def _state(screen: Browser) -> Json:
    state = screen.json("/api/v1/state")
    screen.csrf = state["csrf"]
    return state


def _fix(screen: Browser) -> Json:
    gps = _state(screen)["gps"]
    return gps if gps["word"] == "fix" else None


def _shown(screen: Browser, assignment: str) -> bool:
    shown = _state(screen)["assignment"]
    return bool(shown and shown["id"] == assignment)


def _unit(console: Browser, unit: str) -> Json:
    return next(u for u in console.json("/api/v1/snapshot")["units"] if u["unit"] == unit)


def _has_status(console: Browser, unit: str, status: str) -> bool:
    return bool(_unit(console, unit)["status"] == status)


def _assignment(console: Browser, incident: str, assignment: str) -> Json:
    incidents = console.json("/api/v1/snapshot")["incidents"]
    row = next(i for i in incidents if i["id"] == incident)
    return next(a for a in row["assignments"] if a["id"] == assignment)


def _listed(console: Browser, note: str) -> Json:
    return next((n for n in console.json("/api/v1/snapshot")["notes"] if n["id"] == note), None)


def _note_state(screen: Browser, note: str) -> str | None:
    return next((n["state"] for n in _state(screen)["notes"] if n["id"] == note), None)


def _opened(desk: Browser, note: str) -> str | None:
    try:
        return desk.get(f"/desk/notes/{note}")
    except Unanswered:
        return None


def _in_short(candidates: Json) -> list[dict[str, object]]:
    return [
        {"unit": c["call_sign"], "fit": c["fit"], "travel_s": c["travel_s"], "reasons": c["reasons"] + c["notes"]}
        for c in candidates
    ]


def _until(what: str, look: Callable[[], Json]) -> Json:
    """What `look` sees as soon as it sees something; StoryFailed naming `what` when it never does."""
    deadline_s = time.monotonic() + STEP_S_MAX
    while time.monotonic() < deadline_s:
        if seen := look():
            return seen
        time.sleep(POLL_S)
    raise StoryFailed(f"waited {STEP_S_MAX:.0f} s in vain for {what}")


def as_line(step: Step) -> str:
    """One JSON object a line."""
    return json.dumps({"step": step.step, "at": step.at, "ms": step.ms, "took_ms": step.took_ms, **step.detail})


def summary_line(story: str, steps: tuple[Step, ...], failed: str | None) -> str:
    """The last line: whether it went well, and the milliseconds of each step."""
    return json.dumps(
        {
            "summary": story,
            "ok": failed is None,
            "failed": failed,
            "steps": len(steps),
            "total_ms": steps[-1].ms if steps else 0,
            "took_ms": {step.step: step.took_ms for step in steps},
        }
    )
