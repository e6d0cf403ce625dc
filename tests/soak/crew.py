"""A crew at its touchscreen: presses statuses, writes notes, and notes on another disk what the page called saved.

One thread a terminal. A press is repeated until it is answered: a status that is set already makes no record, so the
hub must end up with the round itself, each word once. Notes have ids of their own; a draft is read again after each
start, and must be as it was last called saved or as it was asked for after that.
"""

from __future__ import annotations

import html
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.soak.saved import Saved, SavedFile, What
from tests.soak.site import Board
from tests.soak.touch import Ended, Refused, Touch

# What a crew may set from anywhere: the table of statuses decides which buttons show, not what is stored.
ROUND = (
    *("available", "en_route", "staged", "on_scene", "contact", "transporting", "at_facility", "clearing", "break"),
    "out_of_service",
)
GUARD_FILE = ".alive"
GONE = {"no_draft", "no_note"}  # the screen's words for a note that it does not have; others are about something else
NOTE_CHARS = 60  # some drafts, then it is sealed
_DRAFT = re.compile(r"<textarea[^>]*name=\"text\"[^>]*>\n?(.*?)</textarea>", re.S)


class Crew:
    """Who works at `board`. `disk`: where its home is mounted, whose power may be cut; None: it always has power."""

    def __init__(self, board: Board, saved: SavedFile, chance: Random, disk: Path | None = None) -> None:
        self.board = board
        self.taken = 0  # presses, notes and drafts that were called saved
        self.drafts_saved = 0
        self.releases = 0
        self.drafts_lost: list[str] = []
        self._saved = saved
        self._chance = chance
        self._disk = disk
        self._pressed = 0
        self._slot = board.home / "vault" / f"{board.staff}.slot"
        self._fresh_slot = self._slot.read_bytes()
        self._screen = Touch(board.screen_port)
        self._note: str | None = None
        self._texts = [""]  # of the draft: the one last called saved, and what was asked for after it

    def wait_for_screen(self, is_running: Callable[[], bool], timeout_s: float = 120.0) -> bool:
        """Whether the main page came before the terminal ended."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            self._screen.close()
            self._screen = Touch(self.board.screen_port)
            try:
                self._screen.state()
                return True
            except (Ended, Refused) as said:
                if isinstance(said, Refused) and self.still_powered():
                    raise  # after a power cut "not saved" is the right answer
                if not is_running():
                    return False
                time.sleep(0.01)
        raise TimeoutError(f"the screen of {self.board.device} is not up after {timeout_s:.0f} s")

    def knows_its_unit(self) -> bool:
        """Whether the hub's word has arrived once: from then on the terminal works without a link."""
        return self._screen.state()["call_sign"] is not None

    def begin(self) -> None:
        """Sign on, or open the clinical zone when somebody is on; then see whether the draft is as it was left."""
        is_on = self._screen.state()["signed_on"]
        try:
            self._say_pin(is_on)
        except Refused as refused:
            if refused.code != "locked_out":
                raise
            self._release()
            self._say_pin(is_on)
        self._look_at_draft()

    def _say_pin(self, is_on: bool) -> None:
        if is_on:
            self._screen.press("/unlock", pin=self.board.pin)
        else:
            self._screen.press("/sign-on", staff=self.board.staff, pin=self.board.pin)

    def _release(self) -> None:
        """As a supervisor: a try counts before it is checked, so five ends in the middle of one lock the slot."""
        self.releases += 1
        new = self._slot.with_suffix(".released")
        with new.open("wb") as file:
            file.write(self._fresh_slot)
            os.fsync(file.fileno())
        new.replace(self._slot)

    def step(self) -> None:
        """Whatever a crew does next: a status, or some words of a note."""
        if self._chance.random() < 0.6:
            self.press()
        else:
            self.write()

    def press(self) -> None:
        """The next status of the round."""
        number, status = self._pressed, ROUND[self._pressed % len(ROUND)]
        if self._do("status", f"{number}:{status}", lambda: self._screen.press("/status", status=status)):
            self._pressed += 1

    def write(self) -> None:
        """Begin a note, say more in it, or seal it."""
        if self._note is None:
            begun = self._screen.press("/note")
            if self.still_powered():
                self._note, self._texts = begun.where.rsplit("/", 1)[1], [""]
            return
        note, text = self._note, self._texts[0]
        if len(text) < NOTE_CHARS:
            text = f"{text}{self._chance.randrange(10**6):06d} & so on. "
            self._texts.append(text)
            self._screen.press(f"/note/{note}/draft", text=text)
            if self.still_powered():
                self._texts = [text]
                self.drafts_saved += 1
                self.taken += 1
            return
        form = {"text": text, "disposition": "stabilized_in_place", "confirm": "yes"}
        if self._do("note", note, lambda: self._screen.press(f"/note/{note}/finalize", **form)):
            self._note = None

    def page(self, path: str) -> str:
        return self._screen.page(path)

    def state(self) -> dict:  # type: ignore[type-arg]
        return self._screen.state()

    def drill(self) -> None:
        """Try whether the alarm works: told ahead of everything, saved or not."""
        self._screen.press("/emergency/raise", drill="yes")

    def still_powered(self) -> bool:
        """Whether the disk still gives a file: an answer that came after a power cut promised nothing."""
        if self._disk is None:
            return True
        try:
            os.close(os.open(self._disk / GUARD_FILE, os.O_RDONLY))
        except OSError:
            return False
        return True

    def _do(self, what: What, word: str, act: Callable[[], object]) -> bool:
        """Whether it was called saved; noted in any case."""
        is_sure = False
        try:
            act()
            is_sure = self.still_powered()
        finally:
            self._saved.note(Saved(device=self.board.device, what=what, word=word, is_sure=is_sure))
            self.taken += is_sure
        return is_sure

    def _look_at_draft(self) -> None:
        if self._note is None:
            return
        try:
            page = self._screen.page(f"/note/{self._note}")
        except Refused as refused:
            if refused.code not in GONE:
                raise
            self._lost(f"the draft of note {self._note} is gone ({refused.code})")
            return
        found = _DRAFT.search(page)
        if found is None:  # it was sealed before the end, with nobody left to hear of it; the auditor looks for it
            self._note = None
            return
        text = html.unescape(found.group(1))
        if text not in self._texts:
            self._lost(f"the draft of note {self._note} is not as it was saved")
            return
        self._texts = [text]

    def _lost(self, what: str) -> None:
        self.drafts_lost.append(f"a: {self.board.device}: {what}")
        self._note = None


__all__ = ["GUARD_FILE", "ROUND", "Crew", "Ended", "Refused"]
