"""Who is closest by road: whether the short list is the true one, how soon it is there, and what straight line would cost.

A city is imported as a hub imports it. Fleets of 200 units stand at its streets, of all statuses and abilities; needs
come up by chance. Each need is asked for five times, in shuffled order: by the hub's ranking within the time that it has
(0.2 s), by the same without haste, by one question to the road engine for all units (the full matrix, which is the truth
here), by OSRM's table for all units, and by PostGIS for the nearest by air. What this machine lacks is said and left out.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from math import inf
from pathlib import Path
from random import Random
from statistics import median

import click
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bench import city, console, osrm, postgis
from bench.figures import print_ms, say
from bench.osrm import Osrm
from bench.postgis import PostGis
from bench.pushed import Mouth, Publisher
from demo.streets import Streets
from hub.by_road import ranked_by
from hub.closest import BY_ROAD, Answer, Bound, Question, Ways, by_straight_line, closest, listed
from hub.engine import Endpoint
from hub.position import Position
from hub.rank import DEFAULTS, Candidate, Need, RosterUnit, Rules, Travel, meters_to, whereabouts
from hub.rankings import ByRoad
from hub.road_link import PAUSE_S
from hub.roads import SNAP_M, Roads
from wire.distance import moved
from wire.fix import Fix
from wire.incident import SKILLS
from wire.status import Status

NOW_MS = 1_795_000_000_000
NEEDS_PER_FLEET = 50
ASKED_MAX = 200  # over HTTP
TOLD_EVERY_S = 5.0
CALM_TRIES = 5  # on a machine that others keep busy even the longest time may be over once
KERB_M, HOUSE_M = 20.0, 120.0  # how far from a street's middle a vehicle stands, and an incident is
PATIENT = Rules(road_wait_s=5.0)  # the most that an agency may say
STATUSES = (Status.AVAILABLE,) * 6 + (Status.CLEARING, Status.BREAK, Status.ON_SCENE, Status.EN_ROUTE)
LANGUAGES = ("spa", "vie", "ase")
HURRIED, CALM, FULL, OSRM, POSTGIS = "ranked", "ranked without haste", "full matrix", "OSRM", "PostGIS"

Place = tuple[float, float]


class Peers(Struct, frozen=True, kw_only=True):
    """What stands beside; None: not on this machine."""

    osrm: Osrm | None
    postgis: PostGis | None


class Found:
    """What was found so far."""

    def __init__(self) -> None:
        self.took_ms: dict[str, list[float]] = {name: [] for name in (HURRIED, CALM, FULL, OSRM, POSTGIS)}
        self.asked_n: list[int] = []
        self.needs = self.in_time = self.firsts = self.shorts = self.wholes = self.hurried_firsts = 0
        self.unreachable = self.refused = self.again = 0
        self.why: Counter[str] = Counter()
        self.examples: list[str] = []
        self.lost_s: dict[str, list[float]] = {"straight line": [], OSRM: [], POSTGIS: []}
        self.compared: Counter[str] = Counter()


@click.command()
@city.map_option
@click.option("--needs", default=1000, show_default=True)
@click.option("--units", default=200, show_default=True)
@click.option("--seed", default=1, show_default=True)
def cli(given: Path | None, needs: int, units: int, seed: int) -> None:
    """Print how often the order is that of the full matrix, p50 and p99 beside peers, and straight line's error."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder)
        osm = city.extract(given, home)
        city.imported(osm, home)
        streets = Streets.load(osm)
        engine = stack.enter_context(city.road_engine(home))
        links = {name: Roads(engine.where) for name in (HURRIED, CALM)}
        for link in links.values():
            stack.callback(link.close)
        peers = _peers(osm, home, stack)
        where = engine.where()
        assert where is not None  # `road_engine` waited for it
        click.echo(f"{osm.name}: {needs} needs, {units} units, {where.graph.engine}, seed {seed}")
        _print(_measure(streets, links, where, peers, needs, units, Random(seed)), units)
        stack.close()  # one road engine at a time
        _through_hub(home, streets, min(needs, ASKED_MAX), units, Random(seed))


def _peers(osm: Path, home: Path, stack: ExitStack) -> Peers:
    beside, bin_ = None, postgis.programs()
    if osrm.is_here():
        say("making OSRM's files")
        beside = stack.enter_context(osrm.serving(osrm.make(osm, home / "osrm")))
    else:
        click.echo("OSRM is not here (scripts/osrm-engine): left out.")
    if bin_ is None:
        click.echo("PostgreSQL with PostGIS is not here (Debian: postgresql, postgis): left out.")
    return Peers(osrm=beside, postgis=None if bin_ is None else stack.enter_context(postgis.serving(bin_)))


def _measure(
    streets: Streets, links: Mapping[str, Roads], where: Endpoint, peers: Peers, needs: int, units: int, chance: Random
) -> Found:
    found, full = Found(), _full(where)
    # Two links: one that has just waited in vain asks nothing for a moment, and the other would hear of it.
    by_road = {name: ranked_by(roads, time.monotonic) for name, roads in links.items()}
    roster: tuple[RosterUnit, ...] = ()
    positions: tuple[Position, ...] = ()
    for number in range(needs):
        if number % NEEDS_PER_FLEET == 0:
            say(f"need {number + 1} of {needs}")
            roster = tuple(_unit(f"u{n:04}", chance) for n in range(units))
            positions = tuple(_position(one.unit, _beside(streets, KERB_M, chance)) for one in roster)
            if peers.postgis is not None:
                peers.postgis.put({one.unit: _spot(one) for one in positions})
        question = Question(
            need=_need(_beside(streets, HOUSE_M, chance), chance),
            roster=roster,
            positions=positions,
            now_ms=NOW_MS,
            bound=Bound(fastest_mps=where.graph.fastest_kph / 3.6),
        )
        _one(question, by_road, full, peers, found, chance)
    return found


def _one(
    question: Question,
    by_road: Mapping[str, ByRoad | None],
    full: Callable[[Question], Ways],
    peers: Peers,
    found: Found,
    chance: Random,
) -> None:
    answers: dict[str, Answer] = {}
    ways: Ways = {}
    tables: dict[str, list[float | None]] = {}
    nearest: list[str] = []
    sources, target = [_spot(one) for one in question.positions], (question.need.lat, question.need.lon)
    straight = by_straight_line(question, None)
    fit = [one.unit for one in straight.candidates if one.fit]

    def ask_ours(name: str, rules: Rules, tries: int = CALM_TRIES) -> float:
        began_s = time.monotonic()
        answers[name] = _ranked(replace(question, rules=rules), by_road[name])
        took_ms = (time.monotonic() - began_s) * 1000
        if answers[name].engine == BY_ROAD:
            return took_ms
        time.sleep(PAUSE_S)  # the next need of a real day comes later than that
        if name != CALM or tries == 1:
            return took_ms
        found.again += 1
        return ask_ours(name, rules, tries - 1)

    def ask_full() -> float:
        began_s = time.monotonic()
        ways.update(full(question))
        return (time.monotonic() - began_s) * 1000

    def ask_osrm(server: Osrm) -> float:
        began_s = time.monotonic()
        tables[OSRM] = server.times(sources, target)
        return (time.monotonic() - began_s) * 1000

    def ask_postgis(server: PostGis) -> float:
        units, took_ms = server.nearest(target, fit, 3)
        nearest.extend(units)
        return took_ms

    asks: dict[str, Callable[[], float]] = {
        HURRIED: partial(ask_ours, HURRIED, DEFAULTS),
        CALM: partial(ask_ours, CALM, PATIENT),
        FULL: ask_full,
    }
    if peers.osrm is not None:
        asks[OSRM] = partial(ask_osrm, peers.osrm)
    if peers.postgis is not None and fit:
        asks[POSTGIS] = partial(ask_postgis, peers.postgis)
    for name in chance.sample(sorted(asks), len(asks)):
        found.took_ms[name].append(asks[name]())
    if not ways:
        found.refused += 1
        return
    found.needs += 1
    found.in_time += answers[HURRIED].engine == BY_ROAD
    found.asked_n.append(len(answers[CALM].ways))
    _compare(question, answers, ways, found)
    seconds = {unit: way.seconds for unit in fit if (way := ways.get(unit)) is not None}
    if not seconds:
        found.unreachable += 1
        return
    firsts = {"straight line": min(seconds, key=lambda unit: _meters(question, unit))}
    if OSRM in tables:
        said = dict(zip((one.unit for one in question.positions), tables[OSRM], strict=True))
        firsts[OSRM] = min(seconds, key=lambda unit: _or_never(said[unit]))
    if nearest and nearest[0] in seconds:
        firsts[POSTGIS] = nearest[0]
    for name, first in firsts.items():
        found.compared[name] += 1
        lost_s = seconds[first] - min(seconds.values())
        if lost_s > 0:
            found.lost_s[name].append(lost_s)


def _ranked(question: Question, by_road: ByRoad | None) -> Answer:
    if by_road is None:
        return closest(question, None)
    roads = by_road.times(question)
    return closest(question, roads.times, roads.may_go_on)


# --- is it the order of the full matrix? ------------------------------------------------------------------------------


def _compare(question: Question, answers: Mapping[str, Answer], ways: Ways, found: Found) -> None:
    true = listed(question, BY_ROAD, ways)
    calm, hurried = answers[CALM], answers[HURRIED]
    able = [one.unit for one in true if one.fit or one.diverted_from is not None]
    short = DEFAULTS.exact_n if len(able) >= DEFAULTS.exact_n else len(able)
    found.firsts += _first(calm.candidates) == _first(true)
    found.hurried_firsts += hurried.engine == BY_ROAD and _first(hurried.candidates) == _first(true)
    ours, theirs = _units(calm.candidates, short), _units(true, short)
    found.shorts += ours == theirs
    found.wholes += _units(calm.candidates, calm.exact_n) == _units(true, calm.exact_n)
    if ours != theirs:
        why = why_other(calm, ways, set(ours) | set(theirs))
        found.why[why] += 1
        if len(found.examples) < 5:
            found.examples.append(", ".join(_told(unit, calm, ways) for unit in dict.fromkeys((*ours, *theirs))))


def why_other(ours: Answer, ways: Ways, units: set[str]) -> str:
    """Why `units`, which are the first of either, stand in another order than all `ways` would put them."""
    if ours.engine != BY_ROAD:
        return f"ours is by straight line: {ours.why_not}"
    if any(unit not in ours.ways for unit in units):
        return "a unit was not asked for that belongs among the first"
    apart = [
        abs(one.seconds - other.seconds)
        for unit in units
        if (one := ours.ways[unit]) is not None and (other := ways[unit]) is not None
    ]
    if max(apart, default=0.0) > 0:
        return "the engine gave other seconds for the same way when it was asked for all at once"
    return "the same seconds, another order"


def _told(unit: str, ours: Answer, ways: Ways) -> str:
    mine, theirs = ours.ways.get(unit), ways.get(unit)
    return f"{unit} {'not asked' if mine is None else f'{mine.seconds:.0f} s'}/{'none' if theirs is None else f'{theirs.seconds:.0f} s'}"


def _first(candidates: Sequence[Candidate]) -> str | None:
    return next((one.unit for one in candidates if one.fit), None)


def _units(candidates: Sequence[Candidate], count: int) -> list[str]:
    return [one.unit for one in candidates[:count]]


# --- the full matrix --------------------------------------------------------------------------------------------------


class _Table(Struct, frozen=True):
    durations: list[list[float | None]]
    distances: list[list[float | None]]


class _Matrix(Struct, frozen=True):
    sources_to_targets: _Table


def _full(where: Endpoint) -> Callable[[Question], Ways]:
    """All units in one question, over a connection of its own that is kept; nothing when the engine refuses it."""
    connection = HTTPConnection("127.0.0.1", where.port, timeout=120)

    def ask(question: Question) -> Ways:
        spots = [_spot(one) for one in question.positions]
        body = {
            "costing": "auto",
            "costing_options": {"auto": {"top_speed": where.graph.fastest_kph}},
            "sources": [_located(spot) for spot in spots],
            "targets": [_located((question.need.lat, question.need.lon))],
            "verbose": False,
        }
        connection.request("POST", "/sources_to_targets", msgspec.json.encode(body))
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            return {}
        table = msgspec.json.decode(said, type=_Matrix).sources_to_targets
        return {
            one.unit: None if seconds is None or km is None else Travel(distance_m=km * 1000, seconds=seconds)
            for one, (seconds,), (km,) in zip(question.positions, table.durations, table.distances, strict=True)
        }

    return ask


def _located(spot: Place) -> dict[str, float]:
    return {"lat": spot[0], "lon": spot[1], "search_cutoff": SNAP_M}


# --- as the console asks for it ---------------------------------------------------------------------------------------


class _List(Struct, frozen=True):
    engine: str


def _through_hub(map_home: Path, streets: Streets, needs: int, units: int, chance: Random) -> None:
    """The whole of it, with reading the roster and keeping what is shown: incidents at a hub that runs, over HTTP."""
    folder = map_home / "site"
    folder.mkdir()
    places = [_beside(streets, KERB_M, chance) for _ in range(units)]

    def prepare(home: Path) -> None:
        shutil.copytree(map_home / "maps", home / "maps", symlinks=True)

    with console.site(folder, units, prepare) as at:
        channel = at.mouth()
        mouth = Mouth(at.agency.terminals, channel, lambda _number, unit, _count: _standing(places[unit]))
        publisher = Publisher(units / TOLD_EVERY_S, mouth.say)
        publisher.start()
        time.sleep(TOLD_EVERY_S + 1.0)
        took_ms: list[float] = []
        by_road = 0
        connection = HTTPConnection("localhost", at.port, timeout=30)
        for number in range(needs):
            spot = _beside(streets, HOUSE_M, chance)
            incident = f"bench-{number}"
            at.post(connection, "/api/v1/incidents", _opening(incident, spot))
            began_s = time.monotonic()
            said = at.post(connection, f"/api/v1/incidents/{incident}/ranking", {})
            took_ms.append((time.monotonic() - began_s) * 1000)
            is_by_road = msgspec.json.decode(said, type=_List).engine == BY_ROAD
            by_road += is_by_road
            at.post(connection, f"/api/v1/incidents/{incident}/close", {"disposition": "evaluated_no_need"})
            if not is_by_road:
                time.sleep(PAUSE_S)
        connection.close()
        publisher.stop()
        channel.close()
    print_ms("  as the console asks the hub, over HTTP", took_ms)
    click.echo(f"    of these by road: {by_road} of {needs}")


def _standing(place: Place) -> Fix:
    return Fix(lat=place[0], lon=place[1], speed_mps=0.0)


def _opening(incident: str, place: Place) -> dict[str, object]:
    return {
        "id": incident,
        "type": "WELFARE",
        "priority": 2,
        "lat": place[0],
        "lon": place[1],
        "place": "Somewhere",
        "problem": "A neighbor has not been seen for days",
        "cautions": [],
        "need": {"skills": [], "languages": []},
    }


# --- by chance --------------------------------------------------------------------------------------------------------


def _unit(name: str, chance: Random) -> RosterUnit:
    status = chance.choice(STATUSES)
    return RosterUnit(
        unit=name,
        call_sign=name.upper(),
        agency="bench",
        kind="vehicle",
        status=status,
        status_ms=NOW_MS - chance.randrange(3_600_000),
        skills=frozenset(chance.sample(sorted(SKILLS), 3)),
        languages=frozenset({"eng", *chance.sample(LANGUAGES, chance.randrange(2))}),
        crew=("s-1", "s-2"),
    )


def _need(place: Place, chance: Random) -> Need:
    """Every second asks for a skill, every fourth for a language, every third wishes something."""
    return Need(
        lat=place[0],
        lon=place[1],
        skills=(chance.choice(sorted(SKILLS)),) if chance.random() < 0.5 else (),
        languages=(chance.choice(LANGUAGES),) if chance.random() < 0.25 else (),
        wishes=(chance.choice(sorted(SKILLS)),) if chance.random() < 0.33 else (),
        priority=chance.randrange(1, 5),
    )


def _position(unit: str, place: Place) -> Position:
    return Position(
        unit=unit,
        device=f"d-{unit}",
        fix=Fix(lat=place[0], lon=place[1]),
        has_fix=True,
        arrived_ms=NOW_MS - 1000,
        age_ms=0,
        boot=bytes(16),
        mono_ms=1,
    )


def _beside(streets: Streets, off_m: float, chance: Random) -> Place:
    at = streets.chosen(chance)
    lat, lon = moved(streets.lats[at], streets.lons[at], chance.uniform(0, 360), chance.uniform(0, off_m))
    return round(lat, 6), round(lon, 6)


def _spot(position: Position) -> Place:
    spot = whereabouts(position, NOW_MS)
    assert spot is not None
    return spot


def _or_never(seconds: float | None) -> float:
    return inf if seconds is None else seconds


def _meters(question: Question, unit: str) -> float:
    meters = meters_to(question.need, question.placed[unit], question.now_ms)
    assert meters is not None
    return meters


# --- print ------------------------------------------------------------------------------------------------------------


def _print(found: Found, units: int) -> None:
    def share(count: int, of: int = found.needs) -> str:
        return f"{100 * count / max(1, of):6.2f} %  ({count} of {of})"

    click.echo(f"  order as the full matrix would put it, first unit      {share(found.firsts)}")
    click.echo(f"  order as the full matrix would put it, first three     {share(found.shorts)}")
    click.echo(f"  and as far as the list says that it is certain         {share(found.wholes)}")
    for why, count in found.why.most_common():
        click.echo(f"    differs {count} times: {why}")
    for example in found.examples:
        click.echo(f"    unit ours/full: {example}")
    click.echo(
        f"  within {DEFAULTS.road_wait_s} s: by road {share(found.in_time)}, the true first {share(found.hurried_firsts)}"
    )
    ordered = sorted(found.asked_n)
    click.echo(
        f"  ways asked for, of {units}: median {median(ordered)}, p99 {ordered[round(0.99 * (len(ordered) - 1))]}"
    )
    print_ms(f"  ranked, {DEFAULTS.road_wait_s} s at most", found.took_ms[HURRIED])
    print_ms("  ranked without haste", found.took_ms[CALM])
    print_ms("  road engine, full matrix, one question", found.took_ms[FULL])
    print_ms("  OSRM, full table, multi-level Dijkstra", found.took_ms[OSRM])
    print_ms("  PostGIS, nearest three by air", found.took_ms[POSTGIS])
    if found.again:
        click.echo(f"  {found.again} times {PATIENT.road_wait_s} s were not enough, and it was asked again")
    if found.refused:
        click.echo(f"  {found.refused} needs for which the road engine refused the full matrix, left out of all this")
    if found.unreachable:
        click.echo(f"  {found.unreachable} needs that no fit unit reaches, left out of the following")
    for name, lost in found.lost_s.items():
        if found.compared[name]:
            click.echo(
                f"  {name} sends another than the fastest: {share(len(lost), found.compared[name])}{_lost(lost)}"
            )


def _lost(lost: list[float]) -> str:
    if not lost:
        return ""
    ordered = sorted(lost)
    return f"; seconds lost then: median {median(ordered):.0f}, p90 {ordered[round(0.9 * (len(ordered) - 1))]:.0f}"


if __name__ == "__main__":
    cli()
