"""The note pages: saved when it says saved, locked when it should be, and silent in every log."""

from __future__ import annotations

import re
import sqlite3
from io import StringIO

import pytest
import structlog
from sqlite_utils import Database

from edge import notes
from tests.screens.screen_rig import ENCOUNTER, Browser, ScreenRig, an_assignment
from wire.codec import decode
from wire.notes import NoteContent, inspect, unseal

CANARY = "walrus-tulip-ember"


def writing(rig: ScreenRig) -> tuple[Browser, str]:
    rig.unit("on_scene", an_assignment())
    browser = rig.browser()
    browser.sign_on(rig)
    browser.get("/")
    answer = browser.post("/note", encounter=ENCOUNTER.hex())
    assert answer.status_code == 303
    return browser, answer.headers["Location"]


def test_a_save_is_said_only_after_it_is_on_the_disk(rig: ScreenRig) -> None:
    browser, page = writing(rig)
    answer = browser.post(f"{page}/draft", text=CANARY, contact="", recommended="", disposition="refused")
    assert answer.status_code == 204 and re.fullmatch(r"\d\d:\d\d:\d\d", answer.headers["X-Saved-At"])
    rig.restart()
    browser = rig.browser()
    browser.get("/")
    browser.post("/unlock", pin=rig.pin("s-rowan"))
    shown = browser.get(page).text
    assert CANARY in shown and '<option value="refused" selected>' in shown


def refuse_to_save(db: Database) -> None:
    db.execute("create trigger no_save before update on draft begin select raise(abort, 'disk'); end")


def test_a_save_that_failed_says_so_and_never_saved(rig: ScreenRig) -> None:
    browser, page = writing(rig)
    browser.post(f"{page}/draft", text="first")
    rig.store.do(refuse_to_save)
    answer = browser.fetch(f"{page}/draft", text=CANARY)
    assert answer.status_code == 503 and answer.get_json()["message"].startswith("Not saved")
    assert "X-Saved-At" not in answer.headers


def test_finalizing_seals_what_the_page_showed_and_closes_the_draft(rig: ScreenRig) -> None:
    browser, page = writing(rig)
    browser.post(f"{page}/draft", text="half a thou", contact="the son")
    assert (
        browser.post(f"{page}/review", text=CANARY, disposition="referred_warm")
        .headers["Location"]
        .endswith("/finalize")
    )
    review = browser.get(f"{page}/finalize").text
    assert CANARY in review and "Handed to a named service" in review and "cannot be changed" in review
    assert browser.post(f"{page}/finalize").status_code == 303
    (record,) = rig.records("note")
    envelope = inspect(record.body)
    content = decode(unseal(envelope, rig.fleet.clinical), NoteContent)
    assert (content.text, content.contact, envelope.header.disposition) == (CANARY, "the son", "referred_warm")
    assert (envelope.header.author, envelope.header.encounter) == ("s-rowan", ENCOUNTER)
    assert browser.state()["notes"] == [
        {"id": page.rsplit("/", 1)[1], "encounter": ENCOUNTER.hex(), "state": "waiting"}
    ]
    assert browser.post(f"{page}/draft", text="later").status_code == 303
    assert len(rig.records("note")) == 1


def test_the_list_says_how_far_each_note_has_come(rig: ScreenRig) -> None:
    browser, page = writing(rig)
    assert "Draft, saved sealed" in browser.get("/notes").text
    browser.post(f"{page}/finalize", text="done")
    assert "waiting for hub" in browser.get("/notes").text
    rig.store.do(lambda db: db.execute("update log set through = next - 1"))
    assert "received by hub" in browser.get("/notes").text


def test_the_author_reads_the_final_until_sign_off_and_not_after(rig: ScreenRig) -> None:
    browser, page = writing(rig)
    browser.post(f"{page}/finalize", text=CANARY)
    assert CANARY in browser.get(page).text
    browser.post("/sign-off")
    assert CANARY not in browser.get(page).text
    browser.sign_on(rig)
    assert CANARY not in browser.get(page).text


def test_an_empty_note_is_not_sealed(rig: ScreenRig) -> None:
    browser, page = writing(rig)
    browser.post(f"{page}/finalize", text="   ")
    assert rig.records("note") == []


def test_the_zone_locks_when_idle_and_the_operational_pages_do_not(rig: ScreenRig) -> None:
    rig.settings(lock_after_s=60.0)
    browser, page = writing(rig)
    browser.post(f"{page}/draft", text=CANARY)
    for _ in range(10):  # looking is not working: the pages' own polling keeps nothing open
        rig.mono_s += 10.0
        browser.get("/live/strip")
        browser.get("/")
    assert browser.get(page).headers["Location"].startswith("/unlock?then=")
    answer = browser.fetch(f"{page}/draft", text="more")
    assert answer.status_code == 401
    assert browser.state()["is_unlocked"] is False
    assert browser.post("/status", status="clearing").status_code == 303
    assert rig.browser().get("/").status_code == 200
    assert browser.post("/unlock", pin=rig.pin("s-rowan"), then=page).headers["Location"] == page
    assert CANARY in browser.get(page).text


def test_typing_keeps_the_zone_open(rig: ScreenRig) -> None:
    rig.settings(lock_after_s=60.0)
    browser, page = writing(rig)
    for turn in range(10):
        rig.mono_s += 50.0
        assert browser.post(f"{page}/draft", text=f"word {turn}").status_code == 204


def test_another_browser_on_the_machine_needs_the_pin_itself(rig: ScreenRig) -> None:
    browser, page = writing(rig)
    browser.post(f"{page}/draft", text=CANARY)
    other = rig.browser()
    assert other.get(page).status_code == 303 and CANARY not in other.get("/notes").text


def test_a_sworn_partner_writes_no_notes(rig: ScreenRig) -> None:
    rig.unit("on_scene", an_assignment())
    browser = rig.browser()
    browser.sign_on(rig, "s-linden")
    assert ">Notes<" not in browser.get("/").text
    browser.post("/note", encounter=ENCOUNTER.hex())
    assert rig.store.do(lambda db: db.execute("select count(*) from draft").fetchone()[0]) == 0


def test_a_note_can_be_begun_after_dispatch_took_the_assignment_back(rig: ScreenRig) -> None:
    rig.unit("on_scene", an_assignment())
    browser = rig.browser()
    browser.sign_on(rig)
    rig.unit("available")
    assert ENCOUNTER.hex() in browser.get("/notes").text


def test_what_is_not_an_id_is_refused_in_words(rig: ScreenRig) -> None:
    browser, _ = writing(rig)
    for bad in ("zz", "00", "../../x"):
        assert browser.get(f"/note/{bad}").status_code in (400, 404)
    assert browser.get(f"/note/{'00' * 16}").status_code == 404
    assert browser.post("/note", encounter="zz").status_code == 303
    assert len(rig.store.do(lambda db: notes.entries(db, "s-rowan"))) == 1


def test_a_note_over_the_limit_is_refused_in_words_and_the_draft_stays(rig: ScreenRig) -> None:
    browser, page = writing(rig)
    browser.post(f"{page}/draft", text=CANARY)
    answer = browser.fetch(f"{page}/draft", text="x" * 20_001)
    assert answer.status_code == 409 and "second note" in answer.get_json()["message"]
    assert browser.fetch(f"{page}/draft", disposition="made_up").status_code == 409
    assert CANARY in browser.get(page).text


def test_no_log_line_holds_a_word_of_a_note(rig: ScreenRig, capsys: pytest.CaptureFixture[str]) -> None:
    lines = StringIO()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.LogfmtRenderer()],
        logger_factory=structlog.PrintLoggerFactory(lines),
    )
    try:
        browser, page = writing(rig)
        browser.post(f"{page}/draft", text=CANARY, contact=CANARY)
        rig.store.do(refuse_to_save)
        browser.post(f"{page}/draft", text=CANARY)
        browser.post(f"{page}/draft", text=CANARY, disposition=CANARY)
    finally:
        structlog.reset_defaults()
    out = capsys.readouterr()
    assert "screen_not_saved" in lines.getvalue()
    assert CANARY not in lines.getvalue() + out.out + out.err
    with pytest.raises(sqlite3.IntegrityError):
        rig.store.do(lambda db: db.execute("update draft set saved_ms = 1"))


def test_nothing_of_a_note_page_is_kept_by_the_browser(rig: ScreenRig) -> None:
    browser, page = writing(rig)
    for path in ("/notes", page, f"{page}/finalize"):
        assert browser.get(path).headers["Cache-Control"] == "no-store"
