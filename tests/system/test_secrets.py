"""Nobody between the writer and the reader: canary words of notes searched in every file of the whole agency."""

from __future__ import annotations

import secrets

import pytest

from demo.web import Browser
from tests.system.site import Site, until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("site")]


def test_no_word_of_a_note_stands_in_any_file_of_terminal_hub_or_broker(site: Site) -> None:
    screen = site.screen()
    canaries = [f"canary{secrets.token_hex(6)}" for _ in range(6)]
    final = [_write(screen, canary, finalize=True) for canary in canaries[:4]]
    for canary in canaries[4:]:
        _write(screen, canary, finalize=False)
    until("the notes at the hub", lambda: set(final) <= {n["id"] for n in site.snapshot()["notes"]})
    desk = site.screen("DESK-1")
    desk.submit("/desk/unlock", {"passphrase": site.fleet.station("DESK-1").passphrase or ""})
    opened = until("the note opened at the desk", lambda: _page(desk, final[0]))
    assert canaries[0] in opened

    files = [path for path in site.home.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"ledger.db", "ledger.db-wal", "hub.db", "hub.db-wal"} <= names, "the files that could hold it are not there"
    guilty = [
        str(path.relative_to(site.home))
        for path in files
        if any(canary.encode() in path.read_bytes() for canary in canaries)
    ]
    assert guilty == []


def test_the_console_lists_a_note_without_its_text(site: Site) -> None:
    canary = f"canary{secrets.token_hex(6)}"
    note = _write(site.screen(), canary, finalize=True)
    until("the note at the console", lambda: note in site.console.get("/api/v1/notes"))
    assert canary not in site.console.get("/api/v1/notes") + site.console.get("/api/v1/snapshot")


def _write(screen: Browser, words: str, finalize: bool) -> str:
    state = screen.json("/api/v1/state")
    screen.csrf = state["csrf"]
    before = {note["id"] for note in state["notes"]}
    screen.submit("/note", {"encounter": secrets.token_hex(16)})
    note = next(n["id"] for n in screen.json("/api/v1/state")["notes"] if n["id"] not in before)
    fields = {"text": f"He said {words} twice", "contact": words, "disposition": "", "recommended": ""}
    screen.submit(f"/note/{note}/draft", fields)
    if finalize:
        screen.submit(f"/note/{note}/finalize", {**fields, "confirm": "yes"})
    return str(note)


def _page(desk: Browser, note: str) -> str | None:
    try:
        return desk.get(f"/desk/notes/{note}")
    except Exception:  # not yet there: the caller has the deadline
        return None
