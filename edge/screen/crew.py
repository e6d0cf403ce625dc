"""The crew's pages: one glance, one tap, sign on and off. The operational zone: it never locks."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, current_app, jsonify, make_response, redirect, render_template, request, url_for
from sqlite_utils import Database

from edge import assignments, desk, outbox, shift, vault
from edge.clock import ClockState
from edge.errors import Refused
from edge.screen import duress, guard, way
from edge.screen.picture import Cab, Picture, Pressed, people
from edge.screen.way import Drawing
from edge.tracker import GpsState
from edge.vault import Locked, Why
from firmware_bridge.pins import PinsState
from wire.facts import AuditFact
from wire.ids import name
from wire.records import Kind
from wire.status import LABEL, SET_BY, By, Status, status_from

THEME_KEPT_S = 365 * 24 * 3600
LOCKED_OUT = (
    "Locked after five wrong PINs. A supervisor has to release it, and this version cannot do that yet: "
    "call the fleet tech. Status and assignment go on working without a PIN."
)
NO_PIN = "No PIN on this terminal. The fleet tech issues one with: tandem-edge pin issue"


def crew_views(cab: Cab) -> Blueprint:
    """The pages of `cab`."""
    views = Blueprint("crew", __name__)
    parts = cab.parts

    @views.get("/")
    def main() -> str:
        picture = cab.look(guard.session().id)
        may_ask = picture.is_desk and picture.shift is not None and picture.not_saving is None
        has_keys = may_ask and picture.shift is not None and desk.has_keys(parts.home, picture.shift.staff)
        return render_template("main.html", p=picture, people=people(picture, parts.home), has_keys=has_keys)

    @views.get("/live/strip")
    def strip() -> str:
        return render_template("strip_only.html", p=cab.look(guard.session().id))

    @views.get("/assignment")
    def assignment() -> str:
        return render_template("assignment.html", p=cab.look(guard.session().id))

    @views.get("/way")
    def the_way() -> str:
        picture = cab.look(guard.session().id)
        return render_template("way.html", p=picture, drawing=_near(picture))

    @views.get("/way/turns")
    def turns() -> str:
        picture = cab.look(guard.session().id)
        followed, current = picture.seen.followed, None if picture.view is None else picture.view.current
        listed = () if followed is None or current is None else way.turns(followed, current.place)
        return render_template("turns.html", p=picture, listed=listed, drawing=_whole(picture))

    @views.post("/status")
    def set_status() -> Response:
        wanted = status_from(request.form.get("status", ""))
        if wanted is None or By.CREW not in SET_BY[wanted]:
            raise Refused("status", "That is not a status a crew can set.")
        _press(cab, wanted, request.form.get("from"))
        return _to_main()

    @views.post("/status/undo")
    def undo() -> Response:
        _undo(cab)
        return _to_main()

    @views.post("/theme")
    def set_theme() -> Response:
        response = _back()
        word = request.form.get("theme", "")
        if word in ("day", "night"):
            response.set_cookie(_theme_cookie(cab), word, max_age=THEME_KEPT_S, httponly=True, samesite="Strict")
        return response

    @views.get("/sign-on")
    def sign_on_page() -> str:
        picture = cab.look(guard.session().id)
        return render_template("sign_on.html", p=picture, people=people(picture, parts.home))

    @views.get("/sign-on/<staff>")
    def pin_page(staff: str) -> str:
        return _pin_page(cab, staff, "crew.sign_on", None, None)

    @views.post("/sign-on")
    def sign_on() -> Response:
        staff = name(request.form.get("staff", ""))
        picture = cab.look(guard.session().id)
        _may_sign_on(picture, staff)
        outcome = vault.unlock(parts.home, staff, request.form.get("pin", ""))
        if isinstance(outcome, Locked):
            return _shut(cab, staff, outcome, "crew.sign_on", None)
        unit = picture.view.unit if picture.view else (picture.roster.unit if picture.roster else "")
        if not unit:
            raise Refused("no_unit", "This terminal does not know its unit yet: it needs the link once. Use the radio.")
        parts.store.do(lambda db: shift.sign_on(db, parts.signer, parts.clock.stamp(), outcome, unit))
        cab.zone.open_vault(guard.session().id, outcome)
        parts.wake()
        return _to_main()

    @views.get("/unlock")
    def unlock_page() -> Response:
        picture = cab.look(guard.session().id)
        if picture.shift is None:
            return make_response(redirect(url_for("crew.sign_on_page"), 303))
        return make_response(_pin_page(cab, picture.shift.staff, "crew.unlock", None, request.args.get("then")))

    @views.post("/unlock")
    def unlock() -> Response:
        on = parts.store.do(shift.current)
        if on is None:
            raise Refused("nobody", "Nobody is signed on.")
        outcome = vault.unlock(parts.home, on.staff, request.form.get("pin", ""))
        then = request.form.get("then")
        if isinstance(outcome, Locked):
            return _shut(cab, on.staff, outcome, "crew.unlock", then)
        cab.zone.open_vault(guard.session().id, outcome)
        _audit(cab, "unlocked", "ok", on.staff)
        return make_response(redirect(_own_path(then), 303))

    @views.post("/lock")
    def lock() -> Response:
        cab.zone.lock()
        return _to_main()

    @views.get("/sign-off")
    def sign_off_page() -> str:
        return render_template("sign_off.html", p=cab.look(guard.session().id))

    @views.post("/sign-off")
    def sign_off() -> Response:
        parts.store.do(lambda db: shift.sign_off(db, parts.signer, parts.clock.stamp()))
        cab.zone.lock()
        cab.forget_encounters()
        cab.press(None)
        parts.wake()
        response = _to_main()
        if parts.pins_state().headlights is not None:
            response.delete_cookie(_theme_cookie(cab))  # a taste ends with its shift; the headlights decide again
        return response

    @views.get("/api/v1/state")
    def state() -> Response:
        session = guard.session()
        shown = _state(cab.look(session.id), parts.clock.state())
        return jsonify(shown | {"csrf": session.csrf, "emergency": duress.state(parts.emergency.view())})

    return views


def _near(p: Picture) -> Drawing | None:
    return None if p.way is None or p.view is None or p.view.current is None else way.near(p.seen, p.view.current)


def _whole(p: Picture) -> Drawing | None:
    return None if p.way is None or p.view is None or p.view.current is None else way.whole(p.seen, p.view.current)


def _press(cab: Cab, wanted: Status, page_showed: str | None) -> None:
    """Set the status a person pressed. `page_showed`: the status their page had; None from a program."""
    parts = cab.parts
    if page_showed is not None and cab.is_settling():
        return  # the thumb came down twice; the second tap meant the button that was there before

    def work(db: Database) -> Pressed | None:
        view = assignments.view(db, parts.identity.kem)
        if view is None:
            raise Refused("no_unit", "This terminal does not know its unit yet: it needs the link once. Use the radio.")
        if view.status == wanted:
            return None
        if page_showed is not None and page_showed != view.status:
            raise Refused(
                "crossed", f"The status is {LABEL[view.status]} by now. Look, and press again if you mean it."
            )
        on = shift.current(db)
        stamp = parts.clock.stamp()
        seq = assignments.press(db, parts.signer, stamp, view, wanted, By.CREW, on.staff if on else None)
        now_ms = parts.clock.wall_ms()
        return Pressed(seq=seq, status=wanted, before=view.status, at_ms=now_ms, at_mono_s=parts.clock.mono_s())

    pressed = parts.store.do(work)
    if pressed is not None:
        cab.press(pressed)
        parts.wake()


def _undo(cab: Cab) -> None:
    parts = cab.parts
    pressed = cab.undoable()
    if pressed is None:
        raise Refused("too_late", "Five seconds are over: press the status you want.")
    cab.press(None)  # before the work: of two taps on "Undo" the second finds nothing

    def work(db: Database) -> None:
        view = assignments.view(db, parts.identity.kem)
        if view is None or view.status != pressed.status:
            raise Refused("crossed", "The status was changed meanwhile: press the status you want.")
        on = shift.current(db)
        staff = on.staff if on else None
        stamp = parts.clock.stamp()
        assignments.press(db, parts.signer, stamp, view, pressed.before, By.CREW, staff, undoes=pressed.seq)

    parts.store.do(work)
    parts.wake()


def _may_sign_on(picture: Picture, staff: str) -> None:
    if picture.shift is not None:
        raise Refused("signed_on", f"{picture.shift.staff} is signed on here. Sign off first.")
    if picture.roster is not None and all(member.id != staff for member in picture.roster.staff):
        raise Refused("not_listed", "That name is not on today's list of this terminal. Ask dispatch.")


def _shut(cab: Cab, staff: str, outcome: Locked, target: str, then: str | None) -> Response:
    what = {Why.WRONG: "pin_wrong", Why.LOCKED_OUT: "pin_locked", Why.NO_SLOT: "pin_missing"}[outcome.why]
    _audit(cab, what, "denied", staff)
    sentence = {
        Why.WRONG: f"Wrong PIN. {outcome.tries_left} {'try' if outcome.tries_left == 1 else 'tries'} left.",
        Why.LOCKED_OUT: LOCKED_OUT,
        Why.NO_SLOT: NO_PIN,
    }[outcome.why]
    if guard.CSRF_HEADER in request.headers or not request.accept_mimetypes.accept_html:
        response = jsonify(code=str(outcome.why), message=sentence, tries_left=outcome.tries_left)
    else:
        response = make_response(_pin_page(cab, staff, target, sentence, then))
    response.status_code = 403
    return response


def _pin_page(cab: Cab, staff: str, target: str, sentence: str | None, then: str | None) -> str:
    picture = cab.look(guard.session().id)
    names = {member.id: member.name for member, _ in people(picture, cab.parts.home)}
    tries_left = vault.tries_left(cab.parts.home, name(staff))
    if sentence is None and tries_left is None:
        sentence = NO_PIN
    elif sentence is None and tries_left == 0:
        sentence = LOCKED_OUT
    return render_template(
        "pin.html",
        p=picture,
        staff=staff,
        name=names.get(staff, staff),
        target=url_for(target),
        is_sign_on=target == "crew.sign_on",
        sentence=sentence,
        is_shut=not tries_left,
        then=_own_path(then),
    )


def _audit(cab: Cab, what: str, outcome: str, actor: str) -> None:
    parts = cab.parts
    fact = AuditFact(what=what, outcome=outcome, actor=actor)
    parts.store.do(lambda db: outbox.append(db, parts.signer, parts.clock.stamp(), Kind.AUDIT, fact))
    parts.wake()


def _state(p: Picture, clock: ClockState) -> dict[str, object]:
    view = p.view
    current = view.current if view is not None else None
    return {
        "device": p.device,
        "kind": "desk" if p.is_desk else "vehicle",
        "call_sign": p.call_sign if view is not None or p.roster is not None else None,
        "unit": view.unit if view is not None else None,
        "signed_on": p.shift is not None,
        "staff": p.shift.staff if p.shift is not None else None,
        "is_unlocked": p.is_open,
        "status": str(p.status) if p.status is not None else None,
        "status_label": p.status_label,
        "next": [button.status for button in ((p.primary,) if p.primary else ()) + p.others],
        "assignment": None
        if current is None
        else {
            "id": current.id,
            "incident": current.incident,
            "encounter": current.encounter.hex(),
            "type": current.type,
            "type_label": current.type_label,
            "priority": current.priority,
            "lat": current.lat,
            "lon": current.lon,
            "place": current.place,
            "problem": current.problem,
            "gate": current.gate,
            "cautions": list(current.cautions),
            "others": [{"call_sign": other.call_sign, "status": other.status} for other in current.others],
            "offered_ms": current.offered_ms,
        },
        "way": _way(p),
        "held_ms": view.held_ms if view is not None else None,
        "link": {
            "link": p.link_state.link,
            "hub": p.link_state.hub,
            "unsent": p.link_state.unsent,
            "oldest_ms": p.link_state.oldest_ms,
            "received_through_ms": p.link_state.received_through_ms,
            "why": p.link_state.why,
            "is_twin": p.link_state.is_twin,
            "refused": p.link_state.refused,
            "words": f"{p.link.head} · {p.link.detail}",
        },
        "gps": {
            "word": p.gps_state.word,
            "age_s": p.gps_state.age_s,
            "satellites": p.gps_state.satellites,
            "words": None if p.gps is None else p.gps.head,
        },
        "notes": [
            {"id": entry.note_id.hex(), "encounter": entry.encounter.hex(), "state": str(entry.state)}
            for entry in p.entries
        ],
        "saving": {"is_saving": p.not_saving is None, "why": None if p.not_saving is None else p.not_saving.head},
        "health": {
            "receiver": _receiver_health(p.gps_state),
            "clock": msgspec.structs.asdict(clock),
            "pins": _pins(p.pins_state) | {"words": None if p.pins is None else p.pins.head},
            "disk": {
                "level": str(p.room_state.level),
                "free_bytes": p.room_state.free_bytes,
                "total_bytes": p.room_state.total_bytes,
                "words": None if p.room is None else f"{p.room.head}: {p.room.detail}",
            },
        },
    }


def _way(p: Picture) -> dict[str, object] | None:
    """The way as a program reads it; None while the unit is not on one."""
    if p.way is None:
        return None
    followed = p.seen.followed
    return {
        "words": msgspec.structs.asdict(p.way),
        "assignment": None if followed is None else followed.route.assignment,
        "n": None if followed is None else followed.route.n,
        "why": None if followed is None else followed.route.why,
        "why_not": None if followed is None else followed.route.why_not,
        "at_m": None if followed is None or followed.progress is None else round(followed.progress.at_m, 1),
        "arrival": None if p.arrival is None else p.arrival.status,
    }


def _receiver_health(state: GpsState) -> dict[str, object] | None:
    """What a fleet tech wants to know of the receiver; None at a desk, which has none."""
    return None if state.word == "none" else msgspec.structs.asdict(state)


def _pins(state: PinsState) -> dict[str, object]:
    return {
        "is_wired": state.is_wired,
        "is_simulated": state.is_simulated,
        "duress": str(state.duress),
        "has_working_duress": state.has_working_duress,
        "is_power_failing": state.is_power_failing,
        "pins": {
            name: {"state": str(pin.condition), "gpio": pin.gpio, "why": pin.why, "level": pin.level}
            for name, pin in state.pins.items()
        },
    }


def _theme_cookie(cab: Cab) -> str:
    return f"tandem_theme_{cab.parts.identity.device}"


def _to_main() -> Response:
    return make_response(redirect(url_for("crew.main"), 303))


def _back() -> Response:
    """To the page the form stood on, if that was one of ours to look at."""
    return make_response(redirect(_own_path(request.form.get("then")), 303))


def _own_path(path: str | None) -> str:
    """`path` if it is a page of this screen, else the main page: nobody sends a crew elsewhere after a PIN."""
    main = url_for("crew.main")
    if not path or not path.startswith("/") or path.startswith("//") or "\\" in path:
        return main
    adapter = current_app.create_url_adapter(request)
    return path if adapter is not None and adapter.test(path, "GET") else main
