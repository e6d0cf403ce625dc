"""The desk's pages: the shelf's list, and one note at a time, open for as long as a clinician is there."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, make_response, redirect, render_template, request, url_for
from sqlite_utils import Database

from edge import desk, outbox
from edge.audit_head import last_told
from edge.desk import Denied, Opened
from edge.errors import Refused
from edge.screen import guard
from edge.screen.picture import Cab
from edge.vault import Locked, Why
from wire.codec import Malformed
from wire.facts import AuditFact
from wire.ids import id_bytes
from wire.records import Kind

NO_KEY = "No clinical key on this desk yet. Ask the custodian for a grant, then: tandem-edge desk accept"
LOCKED_OUT = "Locked after five wrong passphrases. Ask the custodian for a new grant."


def desk_views(cab: Cab) -> Blueprint:
    """The desk pages of `cab`."""
    views = Blueprint("desk", __name__)
    parts = cab.parts

    @views.post("/desk/unlock")
    def unlock() -> Response:
        staff = _clinician(cab)
        outcome = desk.unlock(parts.home, staff, request.form.get("passphrase", ""))
        if isinstance(outcome, Locked):
            _audit(cab, "desk_unlock", "denied", staff)
            sentence = {
                Why.WRONG: f"Wrong passphrase. {outcome.tries_left} left.",
                Why.LOCKED_OUT: LOCKED_OUT,
                Why.NO_SLOT: NO_KEY,
            }[outcome.why]
            raise Refused("passphrase", sentence)
        cab.zone.open_desk(guard.session().id, outcome)
        _audit(cab, "desk_unlock", "ok", staff)
        return make_response(redirect(url_for("crew.main"), 303))

    @views.post("/desk/lock")
    def lock() -> Response:
        cab.zone.lock_desk()
        return make_response(redirect(url_for("crew.main"), 303))

    @views.get("/desk/notes/<note>")
    def page(note: str) -> Response:
        staff = _clinician(cab)
        keys = cab.zone.desk(guard.session().id)
        if keys is None or keys.staff != staff:
            raise Refused("desk_locked", "The clinical keys are locked: enter your passphrase on the first page.")
        note_id = _id(note)
        stamp = parts.clock.stamp()

        def work(db: Database) -> Opened | Denied:
            return desk.open_note(db, parts.identity, parts.signer, stamp, keys, note_id)

        outcome = parts.store.do(work)
        parts.wake()
        if isinstance(outcome, Denied):
            raise Refused("denied", outcome.reason)
        picture = cab.look(guard.session().id)
        return make_response(
            render_template("desk_note.html", p=picture, opened=outcome, opened_ms=parts.clock.wall_ms())
        )

    @views.get("/api/v1/desk/notes")
    def listing() -> Response:
        shelf = cab.look(guard.session().id).shelf
        return jsonify(
            notes=[
                {
                    "id": row.entry.note_id.hex(),
                    "incident": row.entry.incident,
                    "encounter": row.entry.encounter.hex(),
                    "call_sign": row.entry.call_sign,
                    "kind": row.entry.kind,
                    "disposition": row.entry.disposition,
                    "held_ms": row.entry.held_ms,
                    "is_here": row.is_here,
                }
                for row in shelf
            ]
        )

    @views.get("/api/v1/desk/audit-head")
    def audit_head() -> Response:
        told = parts.store.do(lambda db: last_told(db, parts.identity.kem))
        if told is None:
            raise Refused("not_found", "The hub has not told this desk how far its audit goes.")
        return jsonify(head=told)

    return views


def _clinician(cab: Cab) -> str:
    on = cab.look(guard.session().id).shift
    if on is None:
        raise Refused("nobody", "Sign on first.")
    return on.staff


def _audit(cab: Cab, what: str, outcome: str, actor: str) -> None:
    parts = cab.parts
    fact = AuditFact(what=what, outcome=outcome, actor=actor)
    parts.store.do(lambda db: outbox.append(db, parts.signer, parts.clock.stamp(), Kind.AUDIT, fact))
    parts.wake()


def _id(text: str) -> bytes:
    try:
        return id_bytes(bytes.fromhex(text))
    except ValueError:
        raise Malformed("a note without an id") from None
