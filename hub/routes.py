"""The way that goes to a terminal behind its assignment, and when its unit will be there.

An assignment never waits for a way: this pipe looks afterwards, asks the roads, and keeps the answer as one more thing that
the terminal should hold. What should be asked, and why, is decided by values alone. Between two ways the hub follows the
unit by the same rule as its terminal (`wire.way`), so that both say "off route" of the same thing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from threading import Condition

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from hub import roads, schema, store
from hub.freshness import Freshness, freshness
from hub.position import Position
from hub.rings import shut_between
from hub.roads import Ring, RoadsDown, Spot
from hub.snapshot import Eta, is_usable
from wire import way
from wire.codec import Malformed, decode, encode
from wire.distance import believed
from wire.state import Route, Routes, Turn
from wire.status import GOING
from wire.way import Line, Phase, Progress, Why, WhyNot

LOOK_S = 1.0  # while a unit is on its way
REST_S = 5.0  # while none is; whoever changes something says so
REDRAW_S_MIN = 5.0  # a unit that wanders gets a new way this often at most: each is 1 to 2 kB over the air
AGAIN_S = 5.0  # after the roads did not answer; they answer at once as soon as they can
NO_WAY_AGAIN_S = 30.0  # after they said that no road leads there: a closure may end
MORE_M = 5_000.0  # before the sent part of a long way ends, the rest is asked for

POINTS_MAX, TURNS_MAX = 1_500, 120  # of what is sent: at most 64 kB, in Columbus 2 kB; the rest follows
THINNED_M = 2.0  # less than a lane
WORDS_CHARS_MAX, STREET_CHARS_MAX = 160, 80


_KINDS = {  # the engine's numbers
    **dict.fromkeys((1, 2, 3), "start"),
    **dict.fromkeys((4, 5, 6), "arrive"),
    **dict.fromkeys((7, 8, 17, 22), "straight"),
    **dict.fromkeys((9, 18, 20, 23), "slight_right"),
    10: "right",
    11: "sharp_right",
    12: "uturn_right",
    13: "uturn_left",
    14: "sharp_left",
    15: "left",
    **dict.fromkeys((16, 19, 21, 24), "slight_left"),
    **dict.fromkeys((25, 37, 38), "merge"),
    26: "roundabout",
    27: "roundabout_exit",
    28: "ferry",
    29: "straight",
}

_log = structlog.get_logger("hub.routes")


class Kept(Struct, frozen=True, kw_only=True):
    """A way as it is kept, and what it was asked for."""

    route: Route
    lat: float
    lon: float
    closed: str


class Going(Struct, frozen=True, kw_only=True):
    """A unit on its way to a place, the way it has been given, and the open assignments that it will drive later."""

    unit: str
    device: str
    assignment: str
    lat: float
    lon: float
    kept: Kept | None


class RoutesParts(Struct, frozen=True, kw_only=True):
    """What the pipe is made of. `ask`: the roads; `closed`: which areas are; `poke`: a terminal should hold something else
    now; `moved`: boards should hear of a unit though it did not move."""

    engine: Engine
    ask: Callable[[Spot, Spot, Sequence[Ring], float | None], roads.Route | None]
    position: Callable[[str], Position | None]
    closed: Callable[[], Sequence[Ring]]
    now_ms: Callable[[], int]
    poke: Callable[[str], None]
    moved: Callable[[Position], None]
    beat: Callable[[], None] = lambda: None


class _Followed(Struct, frozen=True, kw_only=True):
    route: Route
    line: Line | None
    progress: Progress | None


class Ways:
    """One thread runs `run`; any thread says `moved` and `changed` and asks `eta`."""

    def __init__(self, parts: RoutesParts) -> None:
        self._parts = parts
        self._condition = Condition()
        self._followed: dict[str, _Followed] = {}  # by unit: as many as are on their way
        self._tried_ms: dict[str, int] = {}
        self._is_poked = True
        self._is_stopping = False

    def moved(self, position: Position) -> None:
        """A unit is elsewhere."""
        with self._condition:
            followed = self._followed.get(position.unit)
            if followed is None:
                return
            now = _after(followed, position)
            self._followed[position.unit] = now
            if _is_off(now) and not _is_off(followed):
                self._is_poked = True
                self._condition.notify()

    def changed(self) -> None:
        """Somebody was sent, released, or is doing something else; or an incident is elsewhere; or a road was closed."""
        with self._condition:
            self._is_poked = True
            self._condition.notify()

    def eta(self, unit: str) -> Eta | None:
        """When `unit` will be where it is going; None while it is going nowhere."""
        with self._condition:
            followed = self._followed.get(unit)
        return None if followed is None else eta_of(followed.route, followed.line, followed.progress)

    def stop(self) -> None:
        """End `run`."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify()

    def run(self) -> None:
        """Keep the ways of everybody on their way, until `stop`."""
        while not self._is_stopping:
            self._parts.beat()
            try:
                self.look()
            except store.FAILS as wrong:
                _log.error("the database does not answer", why=store.why(wrong))
            with self._condition:
                if not (self._is_poked or self._is_stopping):
                    self._condition.wait(LOOK_S if self._followed else REST_S)
                self._is_poked = False

    def look(self) -> None:
        """Ask the roads for everybody who should have another way than they have."""
        with self._parts.engine.begin() as connection:
            going = units_going(connection)
        self._follow(going)
        closed = tuple(self._parts.closed()) if going else ()
        for one in going:
            self._parts.beat()
            why = self._why(one, closed)
            if why is not None:
                self._draw(one, why, closed)

    def _why(self, one: Going, closed: Sequence[Ring]) -> Why | None:
        with self._condition:
            followed = self._followed.get(one.unit)
        now_ms = self._parts.now_ms()
        tried_ms = self._tried_ms.get(one.assignment)
        waited_s = None if tried_ms is None else (now_ms - tried_ms) / 1000
        return why_ask(one, None if followed is None else followed.progress, digest(closed), waited_s)

    def _follow(self, going: Sequence[Going]) -> None:
        """Follow those who are going by the way they have now, and nobody else."""
        with self._condition:
            before, self._followed = self._followed, {}
            for one in going:
                known = before.get(one.unit)
                if one.kept is None:
                    continue
                if known is None or known.route != one.kept.route:
                    known = self._begin(one.unit, one.kept.route)
                self._followed[one.unit] = known
            gone = before.keys() - self._followed.keys()
        self._tried_ms = {one.assignment: at for one in going if (at := self._tried_ms.get(one.assignment)) is not None}
        for unit in gone:
            self._tell(unit)

    def _begin(self, unit: str, route: Route) -> _Followed:
        begun = _Followed(route=route, line=line_in(route), progress=None)
        position = self._parts.position(unit)
        return begun if position is None else _after(begun, position)

    def _draw(self, one: Going, why: Why, closed: Sequence[Ring]) -> None:
        now_ms = self._parts.now_ms()
        self._tried_ms[one.assignment] = now_ms
        position = self._parts.position(one.unit)
        n = 1 if one.kept is None else one.kept.route.n + 1
        route = self._asked(one, why, n, closed, position, now_ms)
        if one.kept is not None and _says_the_same(one.kept.route, route):
            return
        kept = Kept(route=route, lat=one.lat, lon=one.lon, closed=digest(closed))
        with self._parts.engine.begin() as connection:
            is_kept = keep(connection, kept)
        if not is_kept:
            return
        _log.info("route", unit=one.unit, assignment=one.assignment, n=n, why=str(why), why_not=route.why_not or None)
        with self._condition:
            self._followed[one.unit] = self._begin(one.unit, route)
        self._parts.poke(one.device)
        self._tell(one.unit)

    def _asked(
        self, one: Going, why: Why, n: int, closed: Sequence[Ring], position: Position | None, now_ms: int
    ) -> Route:
        without = Route(assignment=one.assignment, n=n, why=str(why), made_ms=now_ms)
        if position is None or position.fix is None or freshness(position, now_ms) is Freshness.LOST:
            return replace(without, why_not=str(WhyNot.POSITION))
        fix = position.fix
        age_s = (now_ms - position.arrived_ms + position.age_ms) / 1000
        lat, lon = believed(fix.lat, fix.lon, fix.speed_mps, fix.heading_deg, age_s)
        is_moving = fix.speed_mps is not None and fix.speed_mps >= way.MOVING_MPS
        heading = fix.heading_deg if is_moving else None
        try:
            here, there = Spot(lat=lat, lon=lon), Spot(lat=one.lat, lon=one.lon)
            found = self._parts.ask(here, there, shut_between(closed, here, there), heading)
            if found is None:
                return replace(without, why_not=str(WhyNot.NO_WAY))
            if len(way.points_of(found.line)) < 2:  # it stands there already
                found = replace(found, line=way.encoded([(lat, lon), (one.lat, one.lon)]))
        except (RoadsDown, ValueError):  # or a line that is none
            return replace(without, why_not=str(WhyNot.ENGINE))
        return fitting(without, found)

    def _tell(self, unit: str) -> None:
        position = self._parts.position(unit)
        if position is not None:
            self._parts.moved(position)


# ---- decisions ---------------------------------------------------------------------------------------------------


def why_ask(one: Going, progress: Progress | None, closed: str, waited_s: float | None) -> Why | None:
    """Why the roads should be asked for `one` now; None when what it has stands. `waited_s`: since they were last asked."""
    kept = one.kept
    if kept is None:
        return Why.FIRST if waited_s is None or waited_s >= AGAIN_S else None
    if (kept.lat, kept.lon) != (one.lat, one.lon):
        return Why.MOVED
    if kept.closed != closed:
        return Why.CLOSED
    if kept.route.why_not:
        wait_s = NO_WAY_AGAIN_S if kept.route.why_not == WhyNot.NO_WAY else AGAIN_S
        return Why.AGAIN if waited_s is None or waited_s >= wait_s else None
    if progress is None or (waited_s is not None and waited_s < REDRAW_S_MIN):
        return None
    if progress.phase is Phase.OFF:
        return Why.LEFT
    is_near_its_end = kept.route.beyond_m > 0 and kept.route.distance_m - progress.at_m < MORE_M
    return Why.MORE if is_near_its_end else None


def eta_of(route: Route, line: Line | None, progress: Progress | None) -> Eta:
    """What a dispatcher is told of a unit on its way: by its way, or why not."""
    at_ms = 0 if progress is None else int(progress.at_s * 1000)
    if route.why_not or line is None or progress is None:
        return Eta(assignment=route.assignment, word=route.why_not or "waiting", at_ms=at_ms)
    if progress.phase is Phase.OFF:
        return Eta(assignment=route.assignment, word="off", at_ms=at_ms)
    left = way.left(route, line, progress.at_m)
    return Eta(
        assignment=route.assignment, word="way", at_ms=at_ms, eta_s=round(left.seconds), left_m=round(left.distance_m)
    )


def fitting(route: Route, found: roads.Route) -> Route:
    """`found` as it is sent: no more points than the line needs, and of a very long way its beginning."""
    points = way.points_of(found.line)
    turns = found.turns
    chosen = way.thinned(points, {turn.at for turn in turns if turn.at < len(points)}, THINNED_M)
    last = chosen[min(len(chosen), POINTS_MAX) - 1]
    if len(turns) > TURNS_MAX:
        last = min(last, turns[TURNS_MAX].at)
    chosen = [index for index in chosen if index <= last]
    moved = {index: at for at, index in enumerate(chosen)}
    is_all = last == len(points) - 1
    sent = [turn for turn in turns if turn.at in moved and (is_all or turn.at < last)][:TURNS_MAX]
    line = [points[index] for index in chosen]
    return (
        replace(
            route,
            line=way.encoded(line),
            distance_m=round(found.distance_m),
            seconds=round(found.seconds),
            turns=tuple(_turn(turn, moved[turn.at]) for turn in sent),
        )
        if is_all
        else _beginning(route, found, line, [_turn(turn, moved[turn.at]) for turn in sent])
    )


def _beginning(route: Route, found: roads.Route, points: list[tuple[float, float]], turns: list[Turn]) -> Route:
    """The first part of a way. Its last piece is cut where its line ends."""
    line = way.line_of(points)
    if turns:
        piece_m = line.length_m - line.along_m[turns[-1].at]
        share = min(1.0, piece_m / max(1, turns[-1].distance_m))
        cut = turns[-1]
        turns[-1] = Turn(cut.at, cut.kind, cut.words, cut.street, round(piece_m), round(cut.seconds * share))
    seconds = sum(turn.seconds for turn in turns)
    return replace(
        route,
        line=way.encoded(points),
        distance_m=round(line.length_m),
        seconds=seconds,
        turns=tuple(turns),
        beyond_m=max(1, round(found.distance_m - line.length_m)),
        beyond_s=max(0, round(found.seconds - seconds)),
    )


def _turn(turn: roads.Turn, at: int) -> Turn:
    street = turn.streets[0] if turn.streets else ""
    return Turn(
        at=at,
        kind=_KINDS.get(turn.kind, "straight"),
        words=turn.words[:WORDS_CHARS_MAX],
        street=street[:STREET_CHARS_MAX],
        distance_m=round(turn.distance_m),
        seconds=round(turn.seconds),
    )


def line_in(route: Route) -> Line | None:
    """The line of a way, ready to be followed; None when it has none."""
    points = way.points_of(route.line)
    return way.line_of(points) if len(points) > 1 else None


def digest(closed: Sequence[Ring]) -> str:
    """Which roads are closed, in a few letters; empty while none is."""
    if not closed:
        return ""
    return hashlib.sha256(msgspec.json.encode(sorted(closed, key=lambda ring: ring.id))).hexdigest()[:16]


def _says_the_same(before: Route, now: Route) -> bool:
    """Whether nobody would see a difference: it is still unknown, for the same reason."""
    return bool(now.why_not) and now.why_not == before.why_not


def _after(followed: _Followed, position: Position) -> _Followed:
    if followed.line is None or position.fix is None or not position.has_fix:
        return followed
    at_s = (position.arrived_ms - position.age_ms) / 1000
    is_all = followed.route.beyond_m == 0
    progress = way.follow(followed.line, followed.progress, position.fix, at_s, is_all=is_all)
    return replace(followed, progress=progress)


def _is_off(followed: _Followed) -> bool:
    return followed.progress is not None and followed.progress.phase is Phase.OFF


# ---- the store ---------------------------------------------------------------------------------------------------


def units_going(connection: Connection) -> tuple[Going, ...]:
    """Who is on the way to an incident, each to the one that it works on now; what belongs to a release is let go."""
    sent, place, now, kept = schema.assignment, schema.incident, schema.unit_now, schema.route
    over = select(sent.c.assignment).where(sent.c.released_ms.is_not(None))
    if connection.execute(select(kept.c.assignment).where(kept.c.assignment.in_(over)).limit(1)).first() is not None:
        connection.execute(delete(kept).where(kept.c.assignment.in_(over)))
    rows = connection.execute(
        select(
            sent.c.assignment,
            sent.c.unit,
            schema.device.c.device,
            place.c.lat.label("to_lat"),
            place.c.lon.label("to_lon"),
            now.c.assignment.label("works_on"),
            kept.c.content,
            kept.c.lat,
            kept.c.lon,
            kept.c.closed,
        )
        .select_from(
            sent.join(place, place.c.incident == sent.c.incident)
            .join(now, now.c.unit == sent.c.unit)
            .join(schema.device, schema.device.c.unit == sent.c.unit)
            .outerjoin(kept, kept.c.assignment == sent.c.assignment)
        )
        .where(sent.c.released_ms.is_(None), now.c.status.in_(sorted(GOING)), is_usable())
        .order_by(sent.c.offered_ms, sent.c.assignment)
    ).all()
    going: dict[str, Going] = {}
    for row in rows:
        if row.unit not in going or row.assignment == row.works_on:
            going[row.unit] = Going(
                unit=row.unit,
                device=row.device,
                assignment=row.assignment,
                lat=row.to_lat,
                lon=row.to_lon,
                kept=None if row.content is None else _kept(row.content, row.lat, row.lon, row.closed),
            )
    return tuple(going.values())


def keep(connection: Connection, kept: Kept) -> bool:
    """Make `kept` the way of its assignment; False when the unit was released meanwhile."""
    route, table = kept.route, schema.route
    is_open = connection.execute(
        select(schema.assignment.c.assignment).where(
            schema.assignment.c.assignment == route.assignment, schema.assignment.c.released_ms.is_(None)
        )
    ).first()
    if is_open is None:
        return False
    adding = upsert(table).values(
        assignment=route.assignment,
        n=route.n,
        lat=kept.lat,
        lon=kept.lon,
        closed=kept.closed,
        made_ms=route.made_ms,
        content=encode(route),
    )
    connection.execute(adding.on_conflict_do_update(index_elements=[table.c.assignment], set_=dict(adding.excluded)))
    return True


def section(connection: Connection, device: str, unit: str) -> Routes | None:
    """Section `routes` of `device`; None for one that never had any."""
    sent, kept, told = schema.assignment, schema.route, schema.desired
    rows = connection.execute(
        select(kept.c.content)
        .join(sent, sent.c.assignment == kept.c.assignment)
        .where(sent.c.unit == unit, sent.c.released_ms.is_(None))
        .order_by(sent.c.offered_ms, sent.c.assignment)
    ).scalars()
    routes = tuple(route for content in rows if (route := _route_in(content)) is not None)
    if routes:
        return Routes(routes=routes)
    before = select(told.c.n).where(told.c.device == device, told.c.section == "routes")
    return None if connection.execute(before).first() is None else Routes(routes=())


def _kept(content: bytes, lat: float, lon: float, closed: str) -> Kept | None:
    route = _route_in(content)
    return None if route is None else Kept(route=route, lat=lat, lon=lon, closed=closed)


def _route_in(content: bytes) -> Route | None:
    try:
        return decode(content, Route)
    except Malformed:
        return None  # of another release: a new one is asked for
