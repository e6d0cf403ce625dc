"""The way behind an assignment: asked for afterwards, kept for a terminal that is away, redrawn for a reason, gone with the release."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import select, update

from hub import desired, routes, schema, snapshot
from hub.desired import Vouched
from hub.position import Position
from hub.roads import Ring, RoadsDown, Spot
from hub.roads import Route as Found
from hub.roads import Turn as FoundTurn
from hub.routes import AGAIN_S, NO_WAY_AGAIN_S, POINTS_MAX, TURNS_MAX, Going, Kept, RoutesParts, Ways, why_ask
from tests.hub_agency import Agency
from tests.ways import a_fix, a_route, spot
from wire.codec import decode, encode
from wire.facts import StatusFact
from wire.fix import Fix
from wire.records import Kind
from wire.state import Route, Routes
from wire.way import Phase, Progress, Why, encoded, points_of

VOUCHED = Vouched(agency="Lakeshore CARE", note_keys=b"list", key_statement=b"statement")
CORNERS = ((0, 0), (0, 900), (900, 900))
RING = Ring(id="c-1", corners=(Spot(lat=1, lon=1), Spot(lat=1, lon=2), Spot(lat=2, lon=2)))
PROGRESS = Progress(phase=Phase.ON, at_m=10, beside_m=3, at_s=1, on_s=1, start_m=0)


def found(corners: Sequence[tuple[float, float]] = CORNERS, kinds: Sequence[int] = (1, 10, 4)) -> Found:
    return Found(
        line=encoded([spot(*corner) for corner in corners]),
        distance_m=1800.0,
        seconds=150.0,
        turns=tuple(
            FoundTurn(
                words=f"Do {index}.",
                kind=kind,
                streets=(f"Street {index}",),
                at=index,
                distance_m=900.0,
                seconds=0.0 if kind == 4 else 75.0,
            )
            for index, kind in enumerate(kinds)
        ),
    )


class Pipe:
    """The pipe of ways over a small agency, with roads that answer what a test says."""

    def __init__(self, home: Path) -> None:
        self.agency = Agency(home)
        self.answer: Found | Exception | None = found()
        self.asked: list[tuple[Spot, Spot, tuple[Ring, ...], float | None]] = []
        self.positions: dict[str, Position] = {}
        self.closed: tuple[Ring, ...] = ()
        self.poked: list[str] = []
        self.told: list[str] = []
        self.ways = Ways(
            RoutesParts(
                engine=self.agency.engine,
                ask=self._ask,
                position=self.positions.get,
                closed=lambda: self.closed,
                now_ms=lambda: self.agency.now_ms,
                poke=self.poked.append,
                moved=lambda position: self.told.append(position.unit),
            )
        )
        self.agency.incident()

    def _ask(self, a: Spot, b: Spot, closed: Sequence[Ring], heading_deg: float | None) -> Found | None:
        self.asked.append((a, b, tuple(closed), heading_deg))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def at(self, fix: Fix, unit: str = "u1") -> None:
        position = Position(
            unit=unit,
            device="d-one",
            fix=fix,
            has_fix=True,
            arrived_ms=self.agency.now_ms,
            age_ms=0,
            boot=bytes(16),
            mono_ms=1,
        )
        self.positions[unit] = position
        self.ways.moved(position)

    def later(self, seconds: float) -> None:
        self.agency.now_ms += round(seconds * 1000)

    def held(self, name: str = "d-one") -> Routes | None:
        """What its terminal should hold."""
        with self.agency.engine.begin() as connection:
            sections = {kept.section: kept for kept in desired.refresh(connection, name, VOUCHED)}
        return decode(sections["routes"].content, Routes) if "routes" in sections else None

    def one(self) -> Route:
        held = self.held()
        assert held is not None
        (route,) = held.routes
        return route


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    made = Pipe(tmp_path)
    yield made
    made.agency.engine.dispose()


def test_an_assignment_is_there_before_its_way_and_whatever_becomes_of_it(pipe: Pipe) -> None:
    pipe.answer = RuntimeError("broken")
    pipe.at(a_fix(0, 0))
    pipe.agency.offer("a1", pipe.agency.one)
    with pipe.agency.engine.begin() as connection:
        sections = [kept.section for kept in desired.refresh(connection, "d-one", VOUCHED)]
    assert sections == ["emergency", "assignments", "roster", "settings"]
    with pytest.raises(RuntimeError):
        pipe.ways.look()


def test_a_way_leads_from_where_the_unit_is_believed_to_be_to_the_incident_and_its_terminal_should_hold_it(
    pipe: Pipe,
) -> None:
    pipe.at(a_fix(0, 0, 90, 10.0))
    pipe.later(4)
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.ways.look()
    ((start, end, closed, heading),) = pipe.asked
    east = spot(50, 0)
    assert abs(start.lon - east[1]) < 1e-6  # five seconds at 10 m/s
    assert (end.lat, end.lon, closed, heading) == (41.0, -83.0, (), 90.0)
    route = pipe.one()
    assert (route.assignment, route.n, route.why) == ("a1", 1, "first")
    assert (route.distance_m, route.seconds, route.beyond_m, route.why_not) == (1800, 150, 0, "")
    assert [(turn.kind, turn.street) for turn in route.turns] == [
        ("start", "Street 0"),
        ("right", "Street 1"),
        ("arrive", "Street 2"),
    ]
    assert pipe.poked == ["d-one"]
    assert pipe.told == ["u1"]


def test_a_unit_that_stands_has_no_course(pipe: Pipe) -> None:
    pipe.at(a_fix(0, 0, 90, 0.2))
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.ways.look()
    assert pipe.asked[0][3] is None


def test_a_way_stands_while_nothing_is_different_and_is_the_same_bytes(pipe: Pipe) -> None:
    pipe.at(a_fix(0, 0))
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.ways.look()
    before = pipe.held()
    for _ in range(5):
        pipe.later(10)
        pipe.ways.look()
    assert pipe.held() == before
    assert len(pipe.asked) == 1


def test_a_way_survives_a_hub_that_starts_again(pipe: Pipe) -> None:
    pipe.at(a_fix(0, 0))
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.ways.look()
    again = Ways(pipe.ways._parts)
    again.look()
    assert len(pipe.asked) == 1
    assert again.eta("u1") is not None


def test_a_way_goes_with_the_release_from_the_terminal_and_from_the_store(pipe: Pipe) -> None:
    pipe.at(a_fix(0, 0))
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.ways.look()
    assert pipe.held() is not None
    pipe.agency.release("a1")
    assert pipe.held() == Routes(routes=())
    pipe.ways.look()
    assert pipe.agency.rows("route") == {"route": []}
    assert pipe.ways.eta("u1") is None
    assert pipe.told[-1] == "u1"  # boards hear that it has no time any more


def test_a_way_that_comes_after_the_release_is_not_kept(pipe: Pipe) -> None:
    pipe.at(a_fix(0, 0))
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.agency.release("a1")
    with pipe.agency.engine.begin() as connection:
        assert not routes.keep(connection, Kept(route=a_route(CORNERS, "a1"), lat=0, lon=0, closed=""))
    assert pipe.agency.rows("route") == {"route": []}


def test_a_unit_that_leaves_its_way_gets_another_and_not_with_every_fix(pipe: Pipe) -> None:
    pipe.at(a_fix(0, 0))
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.ways.look()
    pipe.later(20)
    for second in range(10):
        pipe.at(a_fix(-12.0 * second, 100, 270))
        pipe.later(1)
    told = pipe.ways.eta("u1")
    assert told is not None and told.word == "off"
    pipe.ways.look()
    assert (pipe.one().n, pipe.one().why) == (2, "left")
    pipe.ways.look()
    assert len(pipe.asked) == 2


def test_a_vehicle_inside_a_closed_area_is_led_out_of_it_and_around_the_others(pipe: Pipe) -> None:
    around_it = Ring(id="in", corners=(Spot(lat=40.9, lon=-83.1), Spot(lat=40.9, lon=-82.9), Spot(lat=41.1, lon=-83.0)))
    pipe.closed = (around_it, RING)
    pipe.at(a_fix(0, 0))
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.ways.look()
    assert pipe.asked[-1][2] == (RING,)


def test_an_incident_that_is_elsewhere_and_a_road_that_is_closed_make_another_way(pipe: Pipe) -> None:
    pipe.at(a_fix(0, 0))
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.ways.look()
    with pipe.agency.engine.begin() as connection:
        connection.execute(update(schema.incident).values(lat=41.5))
    pipe.ways.look()
    assert (pipe.one().n, pipe.one().why, pipe.asked[-1][1].lat) == (2, "moved", 41.5)
    pipe.closed = (RING,)
    pipe.ways.look()
    assert (pipe.one().n, pipe.one().why, pipe.asked[-1][2]) == (3, "closed", (RING,))


@pytest.mark.parametrize(
    ("answer", "word", "again_s"),
    [(RoadsDown("it is away"), "engine", AGAIN_S), (None, "no_way", NO_WAY_AGAIN_S)],
)
def test_why_there_is_no_way_is_told_once_and_the_way_comes_when_there_is_one(
    pipe: Pipe, answer: Exception | None, word: str, again_s: float
) -> None:
    pipe.answer = answer
    pipe.at(a_fix(0, 0))
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.ways.look()
    assert (pipe.one().why_not, pipe.one().line) == (word, "")
    told = pipe.ways.eta("u1")
    assert told is not None and told.word == word
    pipe.later(again_s + 1)
    pipe.ways.look()
    assert pipe.poked == ["d-one"]
    pipe.answer = found()
    pipe.ways.look()
    assert pipe.one().why_not == word  # not asked again at once
    pipe.later(again_s + 1)
    pipe.ways.look()
    assert (pipe.one().n, pipe.one().why, pipe.one().why_not) == (2, "again", "")


def test_a_unit_that_nobody_knows_the_place_of_has_no_way(pipe: Pipe) -> None:
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.ways.look()
    assert pipe.one().why_not == "position"
    pipe.at(a_fix(0, 0))
    pipe.later(400)
    pipe.ways.look()
    assert pipe.asked == []


@pytest.mark.parametrize(("line", "word"), [("", ""), (encoded([spot(0, 0)]), ""), ("_c`|@", "engine")])
def test_a_unit_that_stands_at_the_place_and_an_engine_that_answers_no_line_end_nothing(
    pipe: Pipe, line: str, word: str
) -> None:
    pipe.answer = replace(found(), line=line, turns=())
    pipe.at(a_fix(0, 0))
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.ways.look()
    assert pipe.one().why_not == word
    assert len(points_of(pipe.one().line)) == (0 if word else 2)


def test_a_unit_that_has_arrived_is_given_no_other_way(pipe: Pipe) -> None:
    pipe.at(a_fix(0, 0))
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.ways.look()
    pipe.agency.take(
        pipe.agency.one.record(Kind.STATUS, StatusFact(unit="u1", status="on_scene", by="crew", assignment="a1"))
    )
    for second in range(12):
        pipe.at(a_fix(-20.0 * second, 100, 270))
        pipe.later(1)
    pipe.ways.look()
    assert len(pipe.asked) == 1
    assert pipe.ways.eta("u1") is None


def test_of_two_assignments_a_unit_drives_the_one_it_works_on(pipe: Pipe) -> None:
    pipe.agency.incident("i2")
    pipe.at(a_fix(0, 0))
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.agency.offer("a2", pipe.agency.one, "i2")
    with pipe.agency.engine.begin() as connection:
        connection.execute(update(schema.unit_now).values(assignment="a2"))
        (going,) = routes.units_going(connection)
    assert going.assignment == "a2"


def test_a_desk_and_a_vehicle_that_was_never_sent_hold_no_ways(pipe: Pipe) -> None:
    assert pipe.held("d-two") is None
    assert pipe.held("d-desk") is None


def test_the_time_follows_the_unit_and_says_as_of_when(pipe: Pipe) -> None:
    pipe.at(a_fix(0, 0))
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.ways.look()
    for second in range(41):
        pipe.at(a_fix(0, 12.0 * second))
        pipe.later(1)
    told = pipe.ways.eta("u1")
    assert told is not None
    assert (told.word, told.assignment, told.at_ms) == ("way", "a1", pipe.agency.now_ms - 1000)
    assert told.left_m is not None and abs(told.left_m - (1800 - 480)) < 15
    assert told.eta_s is not None and abs(told.eta_s - (75 * 420 / 900 + 75)) < 3
    view = snapshot.position_view(pipe.positions["u1"], pipe.ways.eta)
    assert view.eta == told


# ---- decisions


def going(kept: Kept | None) -> Going:
    return Going(unit="u1", device="d", assignment="a1", lat=1.0, lon=2.0, kept=kept)


@pytest.mark.parametrize(
    ("kept", "progress", "closed", "waited_s", "why"),
    [
        (None, None, "", None, Why.FIRST),
        (None, None, "", 1.0, None),
        ({}, PROGRESS, "", 100.0, None),
        ({}, None, "", 100.0, None),
        ({"lat": 9.0}, PROGRESS, "", 1.0, Why.MOVED),
        ({"closed": "x"}, PROGRESS, "", 1.0, Why.CLOSED),
        ({}, replace(PROGRESS, phase=Phase.OFF), "", 6.0, Why.LEFT),
        ({}, replace(PROGRESS, phase=Phase.OFF), "", 2.0, None),
        ({}, replace(PROGRESS, phase=Phase.UNSURE), "", 60.0, None),
        ({"beyond_m": 9_000, "distance_m": 20_000}, replace(PROGRESS, at_m=14_000), "", 60.0, None),
        ({"beyond_m": 9_000, "distance_m": 20_000}, replace(PROGRESS, at_m=16_000), "", 60.0, Why.MORE),
        ({"why_not": "engine"}, None, "", 4.0, None),
        ({"why_not": "engine"}, None, "", 6.0, Why.AGAIN),
        ({"why_not": "no_way"}, None, "", 20.0, None),
    ],
)
def test_the_roads_are_asked_for_a_reason(
    kept: dict[str, object] | None, progress: Progress | None, closed: str, waited_s: float | None, why: Why | None
) -> None:
    had = None
    if kept is not None:
        asked = {"lat": 1.0, "lon": 2.0, "closed": ""} | {k: v for k, v in kept.items() if k in ("lat", "closed")}
        said = {k: v for k, v in kept.items() if k not in ("lat", "closed")}
        had = Kept(route=replace(a_route(CORNERS, "a1"), **said), **asked)  # type: ignore[arg-type]
    assert why_ask(going(had), progress, closed, waited_s) is why


def test_closed_areas_are_the_same_in_any_order() -> None:
    other = replace(RING, id="c-2")
    assert routes.digest((RING, other)) == routes.digest((other, RING)) != routes.digest((RING,))
    assert routes.digest(()) == ""


def test_a_line_is_thinned_and_its_turns_stay_at_their_corners() -> None:
    corners = [(0.0, float(north)) for north in range(0, 900, 10)] + [
        (float(east), 900.0) for east in range(0, 900, 10)
    ]
    whole = found(corners, kinds=())
    whole = replace(
        whole,
        turns=tuple(replace(turn, at=at) for turn, at in zip(found().turns, (0, 90, len(corners) - 1), strict=True)),
    )
    sent = routes.fitting(a_route(CORNERS), whole)
    assert len(points_of(sent.line)) == 3
    assert [turn.at for turn in sent.turns] == [0, 1, 2]


def test_of_a_very_long_way_the_beginning_is_sent_and_what_lies_beyond_is_counted() -> None:
    corners = [(200.0 * index, 30.0 * (index % 2)) for index in range(4_000)]
    turns = tuple(
        FoundTurn(words="x" * 500, kind=10, streets=("y" * 300,), at=at, distance_m=2000.0, seconds=100.0)
        for at in range(0, 4_000, 10)
    )
    whole = Found(line=encoded([spot(*corner) for corner in corners]), distance_m=810_000, seconds=40_000, turns=turns)
    sent = routes.fitting(a_route(CORNERS), whole)
    assert len(points_of(sent.line)) <= POINTS_MAX
    assert len(sent.turns) <= TURNS_MAX
    assert len(encode(sent)) <= 64 * 1024
    assert sent.distance_m + sent.beyond_m == pytest.approx(810_000, abs=2)
    assert sent.seconds + sent.beyond_s == pytest.approx(40_000, abs=2)
    assert sent.turns[-1].at < len(points_of(sent.line))


def test_a_row_of_another_release_is_asked_for_anew(pipe: Pipe) -> None:
    pipe.at(a_fix(0, 0))
    pipe.agency.offer("a1", pipe.agency.one)
    pipe.ways.look()
    with pipe.agency.engine.begin() as connection:
        connection.execute(update(schema.route).values(content=b"of a newer program"))
    assert pipe.held() is None  # and the other sections are there
    pipe.later(10)
    pipe.ways.look()
    assert len(pipe.asked) == 2
    with pipe.agency.engine.begin() as connection:
        assert connection.execute(select(schema.route.c.n)).scalar() == 1
