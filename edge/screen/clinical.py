"""The clinical zone of a vehicle: drafts that are saved sealed at every pause, finals that cannot be changed."""

from __future__ import annotations

import secrets

from flask import Blueprint, Response, jsonify, make_response, redirect, render_template, request, url_for
from sqlite_utils import Database

from edge import held, note_keys, notes, shift
from edge.errors import Refused
from edge.notes import Draft, Entry, State
from edge.screen import guard, words
from edge.screen.picture import Cab, Picture
from edge.shift import Shift
from edge.vault import VaultKey
from wire.codec import Malformed
from wire.ids import ID_BYTES, id_bytes
from wire.state import TerminalSettings
from wire.topics import Section

FIELDS = ("text", "contact", "recommended", "disposition")


def clinical_views(cab: Cab) -> Blueprint:
    """The note pages of `cab`."""
    views = Blueprint("clinical", __name__)
    parts = cab.parts

    @views.get("/notes")
    def listing() -> str:
        picture = cab.look(guard.session().id)
        key, _ = _writer(cab, picture)
        titles = {
            entry.note_id: _title(cab, key, entry.note_id) for entry in picture.entries if entry.state == State.DRAFT
        }
        return render_template("notes.html", p=picture, titles=titles, recent=_recent(cab, picture), names=cab.title)

    @views.post("/note")
    def begin() -> Response:
        picture = cab.look(guard.session().id)
        key, _ = _writer(cab, picture)
        encounter = _hex(request.form.get("encounter")) or secrets.token_bytes(ID_BYTES)
        title = cab.title(encounter)
        note_id = parts.store.do(lambda db: notes.begin(db, key, encounter, title, parts.clock.wall_ms()))
        return make_response(redirect(url_for("clinical.page", note=note_id.hex()), 303))

    @views.get("/note/<note>")
    def page(note: str) -> str:
        picture = cab.look(guard.session().id)
        key, on = _writer(cab, picture)
        note_id = _id(note)
        entry = next((entry for entry in picture.entries if entry.note_id == note_id), None)
        if entry is not None and entry.state != State.DRAFT:
            return _final(cab, picture, key, on, entry)
        _, draft = parts.store.do(lambda db: notes.draft_of(db, key, note_id))
        return render_template(
            "note.html", p=picture, note=note, draft=draft, entry=entry, chars_max=notes.TEXT_CHARS_MAX
        )

    @views.post("/note/<note>/draft")
    def autosave(note: str) -> Response:
        saved_ms = _save(cab, _id(note))
        if request.form.get("then") == "page":
            return make_response(redirect(url_for("clinical.page", note=note), 303))
        response = make_response("", 204)
        response.headers["X-Saved-At"] = words.clock_s(saved_ms)
        return response

    @views.post("/note/<note>/review")
    def save_then_review(note: str) -> Response:
        _save(cab, _id(note))
        return make_response(redirect(url_for("clinical.review", note=note), 303))

    @views.get("/note/<note>/finalize")
    def review(note: str) -> str:
        picture = cab.look(guard.session().id)
        key, _ = _writer(cab, picture)
        _, draft = parts.store.do(lambda db: notes.draft_of(db, key, _id(note)))
        return render_template("finalize.html", p=picture, note=note, draft=draft)

    @views.post("/note/<note>/finalize")
    def finalize(note: str) -> Response:
        note_id = _id(note)
        picture = cab.look(guard.session().id)
        key, on = _writer(cab, picture)
        draft = _form(cab, note_id) if any(field in request.form for field in FIELDS) else None
        stamp = parts.clock.stamp()

        def work(db: Database) -> None:
            if draft is not None:
                notes.save(db, key, note_id, draft, parts.clock.wall_ms())
            settings = held.content(db, parts.identity.kem, Section.SETTINGS, TerminalSettings)
            keys = note_keys.current(parts.identity, settings)
            public = shift.key_of(db, on, key).public_key()
            notes.finalize(db, parts.signer, stamp, key, on.id, public, keys, note_id)

        parts.store.do(work)
        parts.wake()
        guard.session().say(f"Sealed {words.clock_s(parts.clock.wall_ms())}. It goes to the hub by itself.", "good")
        return make_response(redirect(url_for("clinical.listing"), 303))

    @views.get("/api/v1/unlocked")
    def unlocked() -> Response:
        return jsonify(is_unlocked=cab.zone.is_open(guard.session().id))

    return views


def _writer(cab: Cab, picture: Picture) -> tuple[VaultKey, Shift]:
    """The key of the person at work and their shift; Refused until a PIN has been said."""
    if picture.shift is None or not picture.writes_notes:
        raise Refused("locked" if picture.shift is None else "role", "Notes are written by the specialist signed on.")
    key = cab.zone.vault(guard.session().id)
    if key is None or key.staff != picture.shift.staff:
        raise Refused("locked", "Notes are locked: enter your PIN.")
    return key, picture.shift


def _save(cab: Cab, note_id: bytes) -> int:
    """Keep what the form holds, sealed; when this returns it survives a power cut. The time for people."""
    picture = cab.look(guard.session().id)
    key, _ = _writer(cab, picture)
    draft = _form(cab, note_id)
    saved_ms = cab.parts.clock.wall_ms()
    cab.parts.store.do(lambda db: notes.save(db, key, note_id, draft, saved_ms))
    return saved_ms


def _form(cab: Cab, note_id: bytes) -> Draft:
    """What the form says; a field that it does not have stays as it was saved."""
    key = cab.zone.vault(guard.session().id)
    if key is None:
        raise Refused("locked", "Notes are locked: enter your PIN.")
    _, before = cab.parts.store.do(lambda db: notes.draft_of(db, key, note_id))
    form = request.form
    return Draft(
        title=before.title,
        text=form["text"].replace("\r\n", "\n") if "text" in form else before.text,
        contact=(form["contact"].strip() or None) if "contact" in form else before.contact,
        recommended=(form["recommended"] or None) if "recommended" in form else before.recommended,
        disposition=(form["disposition"] or None) if "disposition" in form else before.disposition,
    )


def _final(cab: Cab, picture: Picture, key: VaultKey, on: Shift, entry: Entry) -> str:
    envelope, content = cab.parts.store.do(
        lambda db: notes.own_final(db, cab.parts.signer, on.id, shift.key_of(db, on, key), entry.note_id)
    )
    return render_template("final.html", p=picture, entry=entry, content=content, header=envelope.header)


def _recent(cab: Cab, picture: Picture) -> tuple[tuple[bytes, str], ...]:
    """What to write about: the assignment first, then what was worked on before it."""
    current = picture.view.current if picture.view is not None else None
    first = [(known, title) for known, title in cab.recent() if current is not None and known == current.encounter]
    return (*first, *((known, title) for known, title in cab.recent() if (known, title) not in first))


def _title(cab: Cab, key: VaultKey, note_id: bytes) -> str:
    try:
        return cab.parts.store.do(lambda db: notes.draft_of(db, key, note_id))[1].title
    except Refused:
        return "Cannot be opened"


def _id(text: str) -> bytes:
    value = _hex(text)
    if value is None:
        raise Malformed("a note without an id")
    return value


def _hex(text: str | None) -> bytes | None:
    if not text:
        return None
    try:
        return id_bytes(bytes.fromhex(text))
    except ValueError:
        raise Malformed("an id that is not one") from None
