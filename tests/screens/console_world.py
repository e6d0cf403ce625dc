"""A hub with six units, a desk, three incidents and two sealed notes, whose clock stands until a test moves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, Engine, create_engine, insert, select
from werkzeug.test import TestResponse

from hub import accounts, incidents, schema, sessions
from hub.board import Board
from hub.coverage import Reach, nobody
from hub.deeds import Deed
from hub.incidents import Asked, Opening
from hub.positions import Position, Positions
from hub.presence import Presence
from hub.rankings import ByRoad
from hub.web.app import ConsoleParts, create_console
from hub.web.listening import Listening
from tests.new_store import new_store
from wire.distance import moved
from wire.fix import Fix

NOW_MS = 1_795_000_000_000
PASSWORD = "nine hours and counting"
ORIGIN = "http://localhost"
ACCOUNTS = {"nina": "dispatcher", "omar": "supervisor", "kit": "fleet_tech", "ruth": "desk_clinician", "hall": "wall"}

STAFF = (
    ("dana", "Alder", "specialist", "clinician youth", "eng"),
    ("marisol", "Myrtle", "specialist", "clinician social_worker", "eng spa"),
    ("theo", "Larch", "sworn", "negotiator", "eng"),
    ("amara", "Acacia", "specialist", "nurse sud", "eng"),
    ("jules", "Jasmine", "specialist", "peer", "eng ase"),
    ("linh", "Laurel", "specialist", "social_worker youth", "eng vie"),
    ("sam", "Sorrel", "sworn", "", "eng spa"),
    ("ruth", "Rosemary", "clinician", "clinician", "eng"),
)
UNITS = (  # unit, call sign, crew, status, seconds since, meters and course from the middle of town, m/s, age in s
    ("u1", "CARE-1", "dana theo", "available", 1480, 1500, 20, 12.0, 2.0),
    ("u2", "CARE-2", "marisol", "available", 310, 900, 110, 0.0, 6.0),
    ("u3", "CARE-3", "amara", "on_scene", 840, 2300, 250, 0.0, 4.0),
    ("u4", "CARE-4", "jules sam", "clearing", 130, 1900, 320, 8.0, 21.0),
    ("u5", "CARE-5", "linh", "available", 4000, 2600, 160, 0.0, 540.0),
    ("u6", "CARE-6", "", "off_duty", 20000, None, 0, 0.0, 0.0),
)


@dataclass
class World:
    """The hub under test."""

    engine: Engine
    positions: Positions
    presence: Presence
    board: Board
    app: Flask
    now_ms: int
    changes: list[str] = field(default_factory=list)
    listening: Listening = field(default_factory=Listening)

    def client(self) -> FlaskClient:
        """A browser that nobody has signed in with."""
        return self.app.test_client()

    def signed_in(self, account: str) -> Page:
        """A browser with `account` signed in, without the third of a second that a password takes."""
        client = self.client()
        with self.engine.begin() as connection:
            begun = sessions.begin(connection, account, self.now_ms)
        client.set_cookie("tandem-console", begun.token, domain="localhost")
        return Page(client, begun.csrf)


@dataclass
class Page:
    """A browser with somebody signed in."""

    client: FlaskClient
    csrf: str

    def get(self, path: str) -> TestResponse:
        """Ask."""
        return self.client.get(path, base_url=ORIGIN)

    def post(self, path: str, body: object) -> TestResponse:
        """Do, as the page's script does."""
        return self.client.post(path, json=body, base_url=ORIGIN, headers={"Origin": ORIGIN, "X-CSRF-Token": self.csrf})


@contextmanager
def world(
    home: Path,
    middle: tuple[float, float] = (42.45, -101.35),
    maps_dir: Path | None = None,
    clock: Callable[[], int] | None = None,
    by_road: Callable[[], ByRoad | None] = lambda: None,
    reach: Reach = nobody,
) -> Iterator[World]:
    """A seeded hub at `home`, its town around `middle` (lat, lon). Without a `clock` its time stands still; without
    `by_road` it ranks by straight line, and without `reach` it has no coverage."""
    engine = new_store(home)
    positions, presence = Positions(), Presence()
    made: list[World] = []

    def now_ms() -> int:
        return clock() if clock is not None else made[0].now_ms if made else NOW_MS

    start_ms = now_ms()
    with engine.begin() as connection:
        seed(connection, middle, start_ms)
    for position in seeded_positions(middle, start_ms):
        positions.put(position)
        presence.here(position.device, start_ms - 600_000)
    presence.here("d-desk", start_ms - 600_000)
    presence.gone("d-u5", start_ms - 540_000)
    board = Board(engine, positions, now_ms, agency="Lakeshore CARE", link_of=presence.state)
    changes: list[str] = []
    listening = Listening()

    def changed() -> None:
        changes.append("changed")
        board.changed()

    app = create_console(
        ConsoleParts(
            engine=engine,
            board=board,
            positions=positions,
            agency="Lakeshore CARE",
            maps_dir=maps_dir or home,
            changed=changed,
            now_ms=now_ms,
            secure_cookies=False,
            link_of=presence.state,
            by_road=by_road,
            reach=reach,
            listening=listening,
        )
    )
    app.testing = True
    made.append(World(engine, positions, presence, board, app, start_ms, changes, listening))
    board.start()
    try:
        yield made[0]
    finally:
        board.stop()
        engine.dispose()


def seed(connection: Connection, middle: tuple[float, float], now_ms: int = NOW_MS) -> None:
    """The people, the units and what they do."""
    for account, role in ACCOUNTS.items():
        connection.execute(
            insert(schema.account).values(
                account=account, name=account.capitalize(), role=role, fails=0, **_hashed_password()
            )
        )
    for staff, name, role, skills, languages in STAFF:
        connection.execute(
            insert(schema.staff).values(staff=staff, name=name, role=role, skills=skills, languages=languages)
        )
    for unit, call_sign, crew, status, since_s, *_ in UNITS:
        _add_unit(connection, unit, call_sign, "vehicle", now_ms)
        _set_now(connection, unit, status, now_ms - since_s * 1000, crew)
    _add_unit(connection, "desk", "DESK-1", "desk", now_ms)
    _set_now(connection, "desk", "available", now_ms - 3_000_000, "ruth")
    _seed_incidents(connection, middle, now_ms)


def seeded_positions(middle: tuple[float, float], now_ms: int) -> list[Position]:
    """Where the units are."""
    return [
        at(
            unit,
            *moved(*middle, course, meters),
            now_ms=now_ms,
            age_s=age_s,
            speed_mps=speed,
            heading_deg=(course + 90) % 360,
        )
        for unit, _, _, _, _, meters, course, speed, age_s in UNITS
        if meters is not None
    ]


def at(
    unit: str,
    lat: float,
    lon: float,
    *,
    now_ms: int = NOW_MS,
    age_s: float = 0.0,
    speed_mps: float | None = None,
    heading_deg: float | None = None,
) -> Position:
    """A position of `unit`."""
    return Position(
        unit=unit,
        device=f"d-{unit}",
        fix=Fix(
            lat=lat,
            lon=lon,
            at=datetime.fromtimestamp(now_ms / 1000 - age_s, UTC),
            speed_mps=speed_mps,
            heading_deg=None if heading_deg is None else float(heading_deg),
        ),
        has_fix=True,
        arrived_ms=now_ms - round(age_s * 1000),
        age_ms=120,
        boot=bytes(16),
        mono_ms=1,
    )


def opening(id_: str, middle: tuple[float, float] = (42.45, -101.35), **changed: object) -> Opening:
    """A dispatcher's description, changed where a test says so."""
    plain = Opening(
        id=id_,
        type="MNTL",
        priority=2,
        lat=middle[0],
        lon=middle[1],
        place="1180 Prairie Road",
        problem="Adult son not sleeping for days, hears voices, mother asks for help",
    )
    return msgspec.structs.replace(plain, **changed)


def _seed_incidents(connection: Connection, middle: tuple[float, float], now_ms: int) -> None:
    told = (
        (
            "i1",
            "SUICTHRT",
            1,
            250,
            2300,
            "Third floor walkway, Harmon Court",
            "Texts to sister: goodbye. Alone, door open.",
            25,
        ),
        ("i2", "WELFARE", 3, 70, 1300, "Meadow Road Apartments 12B", "Neighbor has not seen her for four days.", 11),
        (
            "i3",
            "MNTL",
            2,
            190,
            800,
            "Bus shelter, Union Boulevard at 53rd",
            "Man shouting at traffic, no one hurt, no weapon seen.",
            2,
        ),
    )
    for id_, type_, priority, course, meters, place, problem, minutes in told:
        lat, lon = moved(*middle, course, meters)
        incidents.open_incident(
            connection,
            opening(
                id_,
                type=type_,
                priority=priority,
                lat=lat,
                lon=lon,
                place=place,
                problem=problem,
                cautions=("Afraid of uniforms",) if id_ == "i1" else (),
                need=Asked(languages=("spa",)) if id_ == "i3" else Asked(),
            ),
            id_.encode().ljust(16, b"\0"),
            Deed(by="nina", now_ms=now_ms - minutes * 60_000),
        )
    offered = now_ms - 22 * 60_000
    connection.execute(
        insert(schema.assignment).values(
            assignment="a1",
            incident="i1",
            unit="u3",
            device="d-u3",
            offered_ms=offered,
            offered_by="nina",
            received_ms=offered + 800,
            acknowledged_ms=offered + 9_000,
        )
    )
    connection.execute(schema.unit_now.update().where(schema.unit_now.c.unit == "u3").values(assignment="a1"))
    for n, author, disposition, minutes in ((1, "amara", None, 4), (2, "jules", "stabilized_in_place", 2)):
        connection.execute(
            insert(schema.note).values(
                note_id=bytes([n]) * 16,
                encounter=b"i1".ljust(16, b"\0"),
                kind=1,
                device="d-u3" if n == 1 else "d-u4",
                author=author,
                disposition=disposition,
                body_sha256=bytes(32),
                size_bytes=1400 + 512 * n,
                note=b"sealed bytes",
                certificate=b"",
                held_ms=now_ms - minutes * 60_000,
            )
        )


@cache
def _hashed_password() -> dict[str, bytes]:
    """PASSWORD as the hub keeps it, made once for all tests: a third of a second each otherwise."""
    engine = create_engine("sqlite://")
    schema.metadata.create_all(engine)
    with engine.begin() as connection:
        accounts.add(connection, "anybody", "dispatcher", NOW_MS, password=PASSWORD)
        row = connection.execute(select(schema.account)).one()
    engine.dispose()
    return {"salt": row.salt, "password": row.password}


def _add_unit(connection: Connection, unit: str, call_sign: str, kind: str, now_ms: int) -> None:
    connection.execute(insert(schema.unit).values(unit=unit, call_sign=call_sign, agency="lakeshore", kind=kind))
    connection.execute(
        insert(schema.device).values(device=f"d-{unit}", unit=unit, kind=kind, state="active", added_ms=now_ms)
    )


def _set_now(connection: Connection, unit: str, status: str, status_ms: int, crew: str) -> None:
    connection.execute(
        insert(schema.unit_now).values(
            unit=unit,
            status=status,
            status_ms=status_ms,
            status_by="crew",
            skipped=False,
            crew=crew,
            status_through=0,
        )
    )
