"""A terminal's screen with everything real behind it but the link and the receiver, which a test sets."""

from __future__ import annotations

import re
import time
from pathlib import Path
from threading import Thread

from flask import Flask
from flask.testing import FlaskClient
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.test import TestResponse

from edge import held, lifeboat, outbox, vault
from edge.clock import Clock
from edge.emergency import Emergency
from edge.identity import Identity
from edge.lifeboat import Ledger
from edge.outbox import Signer
from edge.room import Room
from edge.route import Guide
from edge.schema import LEDGER
from edge.screen.app import ScreenParts, create_screen
from edge.store import Store
from edge.tracker import GpsState
from edge.uplink import LinkState
from tests.terminal_fleet import TerminalFleet
from wire.codec import decode
from wire.fix import Fix
from wire.records import Record
from wire.signature import payload_of
from wire.state import Assignment, Assignments, OtherUnit, Roster, Route, Routes, StaffMember, TerminalSettings

STAFF = (
    StaffMember(id="s-rowan", name="Rowan", role="specialist"),
    StaffMember(id="s-linden", name="Linden", role="sworn"),
    StaffMember(id="s-kim", name="Ji-woo Kim", role="specialist"),
)
CLINICIAN = StaffMember(id="c-willow", name="Willow", role="clinician")
ENCOUNTER = b"e" * 16
UP = LinkState(link="up", hub=True, unsent=0, oldest_ms=None, received_through_ms=None, why=None, refused=0)


def an_assignment(**over: object) -> Assignment:
    base: dict[str, object] = {
        "id": "a-1",
        "incident": "LC-412",
        "encounter": ENCOUNTER,
        "type": "MTLV",
        "type_label": "Mental-health crisis, violence reported",
        "priority": 1,
        "lat": 39.96,
        "lon": -83.0,
        "place": "Riverside Park, north gate",
        "problem": "Adult son pacing and shouting, mother waits at the gate.",
        "gate": "staged",
        "offered_ms": 1_790_000_000_000,
        "cautions": ("Startled by loud voices",),
        "others": (OtherUnit(call_sign="P-14", status="en_route"),),
    }
    return Assignment(**(base | over))


class Compiled(BytecodeCache):
    """Templates as they were compiled for an earlier terminal of this process: each would take longer than its page."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


COMPILED = Compiled()


class ScreenRig:
    """One terminal. `mono_s` is its clock, which stands still until a test moves it (None: the real one)."""

    def __init__(
        self, home: Path, kind: str = "vehicle", fleet: TerminalFleet | None = None, real: bool = False
    ) -> None:
        self.home, self.kind = home, kind
        self.fleet = fleet or TerminalFleet()
        self.who: Identity = self.fleet.terminal(home, "desk-1" if kind == "desk" else "vehicle-2", kind)
        self.signer = Signer(self.who.device, self.who.key)
        self.link = UP
        self.gps = GpsState(word="none") if kind == "desk" else GpsState(word="fix", age_s=0.4, satellites=9)
        self.room = Room()
        self.mono_s = 1000.0
        self.woken = 0
        self.is_real = real
        self.pins: dict[str, str] = {}
        self.start()

    def start(self) -> None:
        self.store = Store(self.home / "ledger.db", LEDGER)
        self.ledger = Ledger(self.store, self.store.do(lifeboat.seen))
        self.guide = Guide(self.store.do(lambda db: held.content(db, self.who.kem, "routes", Routes)))
        self.clock = clock = Clock(b"b" * 16, mono_s=time.monotonic if self.is_real else lambda: self.mono_s)
        self.emergency = Emergency(
            self.ledger,
            self.who,
            self.signer,
            clock,
            lambda *_: None,
            last_fix=lambda: None,
            raised=lambda _: None,
            saved=self.wake,
        )
        self.threads = [Thread(target=work, daemon=True) for work in (self.emergency.run, self.emergency.keep)]
        for thread in self.threads:
            thread.start()
        self.app: Flask = create_screen(
            ScreenParts(
                identity=self.who,
                store=self.ledger,
                signer=self.signer,
                clock=clock,
                home=self.home,
                link_state=lambda: self.link,
                gps_state=lambda: self.gps,
                wake=self.wake,
                emergency=self.emergency,
                not_saving=lambda: self.ledger.why,
                room=lambda: self.room,
                guide=None if self.kind == "desk" else self.guide,
            )
        )
        self.app.jinja_env.bytecode_cache = COMPILED

    def restart(self) -> None:
        self.close()
        self.start()

    def close(self) -> None:
        self.emergency.stop()
        for thread in self.threads:
            thread.join(5)
        self.store.close()

    def wake(self) -> None:
        self.woken += 1

    def browser(self) -> Browser:
        return Browser(self.app.test_client())

    def pin(self, staff: str) -> str:
        if staff not in self.pins:
            self.pins[staff] = vault.issue(self.home, staff)
        return self.pins[staff]

    def roster(self, *staff: StaffMember) -> None:
        people = staff or ((CLINICIAN,) if self.kind == "desk" else STAFF)
        self.say("roster", Roster(agency="Lakeshore CARE", unit="u-2", call_sign="CARE-2", staff=people))

    def unit(self, status: str = "available", *assignments: Assignment) -> None:
        numbers = self.store.do(outbox.numbers)
        self.say(
            "assignments",
            Assignments(
                unit="u-2",
                call_sign="CARE-2",
                status=status,
                status_ms=1,
                log_id=numbers.log_id,
                status_through=numbers.next - 1,
                assignments=assignments,
            ),
        )

    def routes(self, *routes: Route) -> None:
        said = Routes(routes=routes)
        self.say("routes", said)
        self.guide.routed(said)

    def drive(self, fix: Fix | None) -> None:
        """The receiver says it now."""
        self.guide.offer(fix, self.clock.mono_s())

    def settings(self, lock_after_s: float) -> None:
        self.say(
            "settings",
            TerminalSettings(
                note_keys=self.fleet.note_keys(), key_statement=self.fleet.statement(), lock_after_s=lock_after_s
            ),
        )

    def say(self, section: str, content: object) -> None:
        self.fleet.say(self.ledger, self.who, section, content, int(time.time() * 1000))  # type: ignore[arg-type]

    def records(self, kind: str) -> list[Record]:
        rows = self.store.do(
            lambda db: db.execute("select data from record where kind = ? order by seq", [kind]).fetchall()
        )
        return [decode(payload_of(data), Record) for (data,) in rows]


class Browser:
    """What the terminal's own browser does: keeps cookies, sends Origin, fills in the hidden token of the page."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
        self.headers = {"Accept": "text/html", "Origin": "http://localhost"}

    def get(self, path: str) -> TestResponse:
        return self.client.get(path, headers=self.headers)

    def state(self) -> dict[str, object]:
        answer: dict[str, object] = self.client.get("/api/v1/state").get_json()
        return answer

    def post(self, path: str, **fields: str) -> TestResponse:
        token = re.search(r'name="csrf" value="([^"]+)"', self.get("/").text)
        assert token is not None
        return self.client.post(path, data=fields | {"csrf": token[1]}, headers=self.headers)

    def fetch(self, path: str, **fields: str) -> TestResponse:
        """As the page's script does: the token in a header, the answer in JSON."""
        headers = {"X-CSRF-Token": str(self.state()["csrf"]), "Origin": "http://localhost"}
        return self.client.post(path, data=fields, headers=headers)

    def sign_on(self, rig: ScreenRig, staff: str = "s-rowan") -> TestResponse:
        return self.post("/sign-on", staff=staff, pin=rig.pin(staff))
