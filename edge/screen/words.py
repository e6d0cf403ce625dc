"""What the strip and the cards say, as words and shapes: pure, so that every sentence a crew reads is tested.

A color is never the only carrier: each state has its own words and its own shape.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from edge.emergency_state import Phase, View
from edge.evidence import Rescued
from edge.outbox import TRAIL
from edge.room import Level, Room
from edge.tracker import GpsState
from edge.uplink import LinkState
from firmware_bridge.pins import Duress, PinsState
from wire.incident import Gate
from wire.state import Assignment
from wire.status import Status

SENDING_MS_MAX = 5_000  # younger than this a record is on its way, not stuck

VERB: dict[Status, str] = {Status.ACKNOWLEDGED: "Acknowledge"}  # what the button says where the label is not a deed


class Words(Struct, frozen=True, kw_only=True):
    """`shape` names an icon; `head` is read at a glance, `detail` on a second look; `mood`: "good", "wait" or "bad"."""

    shape: str
    head: str
    detail: str
    mood: str


class EmergencyWords(Struct, frozen=True, kw_only=True):
    """`shape` names an icon; `head` and `detail` stand in the corner, `long` where there is room."""

    shape: str
    head: str
    detail: str
    long: str


def emergency(view: View) -> EmergencyWords:
    """How far the crew's call for help has come, in few words: somebody reads over their shoulder."""
    if view.phase is Phase.NONE:
        return EmergencyWords(shape="duress", head="Emergency", detail="", long="")
    since = "" if view.raised_ms is None else f" {clock(view.raised_ms)}"
    what = "Test" if view.is_drill else "Emergency"
    if view.phase is Phase.RAISED:
        detail = "on its way to dispatch" if view.is_saved else "not saved, sent all the same"
        long = "It goes to dispatch ahead of everything else, now or as soon as there is a link."
        if not view.is_saved:
            long += " The disk did not take it: use the radio as well if you can."
        return EmergencyWords(shape="link-wait", head=f"{what} raised{since}", detail=detail, long=long)
    if view.phase is Phase.RECEIVED:
        head = "Dispatch has the test" if view.is_drill else "Dispatch has it"
        long = f"Raised{since}. It rings at dispatch until a person takes it."
        return EmergencyWords(shape="bell", head=head, detail="no one has answered yet", long=long)
    at = "" if view.acknowledged_ms is None else clock(view.acknowledged_ms)
    who = view.by or "dispatch"
    head = "Test acknowledged" if view.is_drill else "Acknowledged by dispatch"
    long = f"{who} took it at {at}. Raised{since}. It stays until dispatch has spoken with you and cleared it."
    return EmergencyWords(
        shape="check",
        head=head,
        detail=f"{at} · you asked to clear it" if view.is_asked else f"{at} · {who}",
        long=long,
    )


def age(ms: int) -> str:
    """A span of time as a crew says it: never more than two units, never rounded up."""
    seconds = max(0, ms) // 1000
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def clock(ms: int) -> str:
    """Hours and minutes of the board's own time zone."""
    return f"{datetime.fromtimestamp(ms / 1000):%H:%M}"


def clock_s(ms: int) -> str:
    """With seconds: where a person wants to know that something just happened."""
    return f"{datetime.fromtimestamp(ms / 1000):%H:%M:%S}"


def day_and_clock(ms: int, now_ms: int) -> str:
    """The time, with the day unless it is today."""
    at, now = datetime.fromtimestamp(ms / 1000), datetime.fromtimestamp(now_ms / 1000)
    return f"{at:%H:%M}" if at.date() == now.date() else f"{at.day} {at:%b %H:%M}"


def day(ms: int, now_ms: int) -> str:
    """The day; nothing when it is today."""
    at, now = datetime.fromtimestamp(ms / 1000), datetime.fromtimestamp(now_ms / 1000)
    return "" if at.date() == now.date() else f"{at.day} {at:%b}"


def link(state: LinkState, now_ms: int) -> Words:
    """Whether the hub hears us, and what it does not have yet."""
    if state.link != "up" or not state.hub:
        away = "No link" if state.link != "up" else "Hub away"
        old = _oldest(state, now_ms)
        owed = f"{state.unsent} unsent{old and f', {old}'}" if state.unsent else "all received"
        return Words(shape="link-down", head=away, detail=owed, mood="bad")
    if not state.unsent:
        through_ms = state.received_through_ms
        through = "" if through_ms is None else f"through {clock_s(through_ms)}"
        return Words(shape="link-up", head="All received", detail=through, mood="good")
    if not state.is_sending:
        return Words(shape="link-down", head=f"{state.unsent} unsent", detail=_oldest(state, now_ms), mood="bad")
    if state.oldest_ms is None or now_ms - state.oldest_ms < SENDING_MS_MAX:
        return Words(shape="link-up", head="Link up", detail=f"sending {state.unsent}", mood="good")
    return Words(
        shape="link-wait", head=f"{state.unsent} unsent", detail=f"oldest {age(now_ms - state.oldest_ms)}", mood="wait"
    )


def trouble(state: LinkState) -> Words | None:
    """What somebody has to do something about before the hub can receive what is recorded here; mostly None."""
    if state.is_twin:
        return Words(
            shape="link-down",
            head="Another board uses this terminal's identity",
            detail="use the radio, tell the fleet tech",
            mood="bad",
        )
    if state.link == "up" and not state.is_sending and state.why is not None:
        return Words(shape="link-down", head="Nothing is received", detail=state.why, mood="bad")
    return None


def gps(state: GpsState) -> Words | None:
    """What the receiver says; None at a desk, which has none."""
    if state.word == "none":
        return None
    if state.word == "fix":
        return Words(shape="gps-fix", head="GPS", detail="", mood="good")
    old = "" if state.age_s is None else f"last {age(int(state.age_s * 1000))} ago"
    if state.word == "no fix":
        return Words(shape="gps-none", head="No GPS fix", detail=old, mood="wait")
    if state.word == "silent":
        return Words(shape="gps-none", head="GPS silent", detail=old, mood="bad")
    return Words(shape="gps-none", head="No receiver", detail="position unknown", mood="bad")


def damaged(rescued: Rescued | None) -> Words | None:
    """What became of a file that a disk damaged, for as long as it matters to anybody."""
    if rescued is None:
        return None
    at = f" at {clock(rescued.at_ms)}" if rescued.at_ms else ""
    what = "track records" if rescued.log == TRAIL else "records"
    if rescued.lost < 0:
        return Words(
            shape="caution", head=f"Disk damaged{at}", detail=f"old {what} lost: tell the fleet tech", mood="bad"
        )
    lost = f"{rescued.lost} lost" if rescued.lost else "nothing lost"
    detail = f"{rescued.records} unsent {what} rescued, {lost}: tell the fleet tech"
    return Words(shape="caution", head=f"Disk damaged{at}", detail=detail, mood="bad")


def pins(state: PinsState) -> Words | None:
    """What a crew must know of the wiring; None while everything they would rely on works, or where nothing is wired."""
    if state.is_power_failing:
        return Words(shape="power", head="Power is failing", detail="saving everything, then this ends", mood="bad")
    match state.duress:
        case Duress.BROKEN | Duress.STUCK:
            is_stuck = state.duress is Duress.STUCK
            return Words(
                shape="button-off",
                head="Emergency button is stuck" if is_stuck else "Emergency button does not work",
                detail="use the screen or the radio, tell the fleet tech",
                mood="bad",
            )
        case Duress.SIMULATED:
            return Words(
                shape="button-off",
                head="Simulated pins",
                detail="no real emergency button on this terminal",
                mood="wait",
            )
        case Duress.NONE | Duress.WORKS:
            return None


def not_saving(why: str | None) -> Words | None:
    """What a crew must know while the terminal keeps nothing, and what they do instead; None while it saves."""
    if why is None:
        return None
    return Words(
        shape="not-saving",
        head=f"Not saving: {why}",
        detail="Say statuses and notes over the radio. Emergency works. Tell the fleet tech.",
        mood="bad",
    )


def room(state: Room) -> Words | None:
    """What a disk that fills up means for a crew; None while there is room."""
    match state.level:
        case Level.PLENTY:
            return None
        case Level.LOW:
            head, detail, mood = "Disk nearly full", "positions are being thinned, notes are safe", "wait"
        case Level.SCARCE:
            head, detail, mood = "Disk nearly full", "positions are being thinned, tell the fleet tech", "wait"
        case Level.RESERVE:
            head, detail, mood = "Disk full", "notes still save, for a while: tell the fleet tech now", "bad"
        case Level.FULL:
            head, detail, mood = "Disk full", "nothing more is saved: use the radio, tell the fleet tech", "bad"
    return Words(shape="disk", head=head, detail=detail, mood=mood)


def gate(assignment: Assignment) -> Words:
    """Whether to walk up: what an unarmed crew has to read before anything else."""
    if assignment.gate == Gate.SECURE:
        return Words(shape="gate-secure", head="Scene secure", detail="", mood="good")
    if assignment.gate == Gate.STAGED:
        return Words(shape="gate-stop", head="Wait at a distance", detail="scene not called secure", mood="bad")
    return Words(shape="gate-unknown", head="Scene not checked", detail="ask before you walk up", mood="wait")


def freshness(state: LinkState, held_ms: int | None, now_ms: int) -> Words:
    """How old what is shown may be. With the link up the hub's last word is its newest, however long ago it was."""
    if held_ms is None:
        return Words(shape="clock", head="Nothing from dispatch yet", detail="", mood="wait")
    since = day_and_clock(held_ms, now_ms)
    if state.link == "up" and state.hub:
        return Words(shape="clock", head=f"From dispatch {since}", detail=f"{age(now_ms - held_ms)} ago", mood="good")
    head = f"As of {since}, {age(now_ms - held_ms)} ago"
    return Words(shape="clock", head=head, detail="may have changed", mood="bad")


def verb(status: Status, label: str) -> str:
    """What the button that sets `status` says."""
    return VERB.get(status, label)


def _oldest(state: LinkState, now_ms: int) -> str:
    return "" if state.oldest_ms is None else f"oldest {age(now_ms - state.oldest_ms)}"
