"""The road engine is asked by a deadline: beside a small server that does everything an engine should not."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from hub.engine import BUSY_S_MAX, HUNG_S_MAX, Endpoint, is_hung
from hub.rank import Travel
from hub.road_link import OPEN_MAX, PAUSE_S
from hub.roads import CHUNK, OffTheRoads, Ring, Roads, RoadsDown, Spot, geojson
from hub.valhalla import Graph
from tests.patience import PATIENCE_S
from tests.ports import free_port
from tests.ways import spots_of

HERE = Spot(lat=42.45, lon=-101.35)
Asked = dict[str, list[dict[str, float]]]
Write = Callable[[bytes], None]
SHORT_S = 0.3

GRAPH = Graph(
    id="feed00c0ffee",
    source="city.osm.pbf",
    sha256="",
    engine="valhalla 3.9.1",
    made_at=datetime(2026, 11, 22, tzinfo=UTC),
    fastest_kph=105,
)


def spots(count: int) -> list[Spot]:
    return [Spot(lat=42.0 + number / 1000, lon=-101.0) for number in range(count)]


def seconds_of(lat: float) -> int:
    return round((lat - 42.0) * 1000) + 7


def table(asked: Asked) -> bytes:
    """The answer in which the seconds say which source it is of."""
    seconds = [[seconds_of(source["lat"])] for source in asked["sources"]]
    return json.dumps({"sources_to_targets": {"durations": seconds, "distances": [[0.5] for _ in seconds]}}).encode()


def whole(body: bytes, status: int = 200) -> bytes:
    return f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def refusal(code: int) -> bytes:
    return whole(json.dumps({"error_code": code, "error": "no edges near 42.001,-101.0"}).encode(), 400)


class Fake(ThreadingHTTPServer):
    """An engine that answers as `does` says, and remembers who came and what was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, does: Callable[[str, Asked, Write], None], port: int = 0) -> None:
        self.does, self.paths, self.asked = does, [], []
        self.connections = 0
        self.ends = threading.Event()
        super().__init__(("127.0.0.1", port), _Handler)

    paths: list[str]
    asked: list[Asked]

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(port=self.server_address[1], graph=GRAPH)

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asked has hung up, as it should."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Fake

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.paths.append(self.path)
        self.server.asked.append(asked)
        self.server.does(self.path.removeprefix("/"), asked, self.wfile.write)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def engine(does: Callable[[str, Asked, Write], None], port: int = 0) -> Iterator[tuple[Roads, Fake]]:
    fake = Fake(does, port)
    thread = threading.Thread(target=fake.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    roads = Roads(lambda: fake.endpoint)
    try:
        yield roads, fake
    finally:
        fake.ends.set()
        roads.close()
        fake.shutdown()
        fake.server_close()
        thread.join()


def answers(action: str, asked: Asked, write: Write) -> None:
    assert action == "sources_to_targets"
    write(whole(table(asked)))


def test_every_source_gets_its_own_time_however_many_questions_it_takes() -> None:
    many = spots(OPEN_MAX * CHUNK * 2 + 5)
    with engine(answers) as (roads, fake):
        found = roads.times(many, HERE, wait_s=PATIENCE_S)
        assert found == [Travel(distance_m=500.0, seconds=seconds_of(spot.lat)) for spot in many]
        assert max(len(asked["sources"]) for asked in fake.asked) <= CHUNK
        assert fake.connections <= OPEN_MAX
        assert roads.graph == GRAPH.id
        assert roads.fastest_mps == pytest.approx(29.17, abs=0.01)


def test_who_asks_for_nobody_asks_nothing() -> None:
    with engine(answers) as (roads, fake):
        assert roads.times([], HERE) == []
        assert not fake.asked


def test_a_source_that_nothing_connects_has_no_way() -> None:
    def one_less(action: str, asked: Asked, write: Write) -> None:
        write(whole(b'{"sources_to_targets":{"durations":[[60],[null]],"distances":[[1.5],[null]]}}'))

    with engine(one_less) as (roads, _):
        assert roads.times(spots(2), HERE, wait_s=PATIENCE_S) == [Travel(distance_m=1500.0, seconds=60.0), None]


def test_questions_go_by_post_and_no_path_names_a_place() -> None:
    closed = Ring(id="flood", corners=(HERE, Spot(lat=42.46, lon=-101.35), Spot(lat=42.46, lon=-101.34)))
    with engine(answers) as (roads, fake):
        roads.times(spots(1), HERE, [closed], wait_s=PATIENCE_S)
        assert fake.paths == ["/sources_to_targets"]
        asked = msgspec.json.encode(fake.asked[0])
    assert b'"exclude_polygons":[[[-101.35,42.45],[-101.35,42.46],[-101.34,42.46],[-101.35,42.45]]]' in asked
    assert b'"top_speed":105' in asked


def test_a_connection_is_kept_for_the_next_question() -> None:
    with engine(answers) as (roads, fake):
        for _ in range(10):
            roads.times(spots(3), HERE, wait_s=PATIENCE_S)
        assert fake.connections == 1


def test_kept_connections_of_which_some_were_closed_are_replaced_without_a_word() -> None:
    def every_second_once(action: str, asked: Asked, write: Write) -> None:
        answers(action, asked, write)
        if asked["sources"][0]["lat"] in closing:
            raise ConnectionAbortedError  # the handler ends, and its connection with it

    many = spots(CHUNK * 6)
    closing = {many[number * CHUNK].lat for number in (0, 2, 5)}
    with engine(every_second_once) as (roads, fake):
        for _ in range(4):
            found = roads.times(many, HERE, wait_s=PATIENCE_S)
            assert found == [Travel(distance_m=500.0, seconds=seconds_of(spot.lat)) for spot in many]
        assert fake.connections > 6


def test_an_engine_on_another_port_is_asked_there() -> None:
    with engine(answers) as (_, before), engine(answers) as (_, after):
        now = [before]
        roads = Roads(lambda: now[0].endpoint)
        roads.times(spots(1), HERE, wait_s=PATIENCE_S)
        now[0] = after
        roads.times(spots(1), HERE, wait_s=PATIENCE_S)
        assert (len(before.asked), len(after.asked)) == (1, 1)
        roads.close()


def test_many_threads_each_hear_their_own_answer() -> None:
    def mine(number: int) -> bool:
        own = spots(number + 1)
        return all(
            roads.times(own, HERE, wait_s=PATIENCE_S)
            == [Travel(distance_m=500.0, seconds=seconds_of(spot.lat)) for spot in own]
            for _ in range(10)
        )

    with engine(answers) as (roads, fake), ThreadPoolExecutor(12) as threads:
        assert all(threads.map(mine, range(24)))
        assert fake.connections < 200


# ---- an engine that does what it should not ------------------------------------------------------------------------


def hangs(action: str, asked: Asked, write: Write) -> None:
    time.sleep(PATIENCE_S)


def trickles(action: str, asked: Asked, write: Write) -> None:
    for byte in whole(table(asked)) + b" " * 10_000:
        write(bytes([byte]))
        time.sleep(0.02)


def trickles_a_body_without_end(action: str, asked: Asked, write: Write) -> None:
    write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        write(b"1\r\n \r\n")
        time.sleep(0.02)


@pytest.mark.parametrize("does", [hangs, trickles, trickles_a_body_without_end])
def test_nobody_waits_longer_than_it_said(does: Callable[[str, Asked, Write], None]) -> None:
    with engine(does) as (roads, _):
        began_s = time.monotonic()
        with pytest.raises(RoadsDown, match="did not answer in time"):
            roads.times(spots(30), HERE, wait_s=SHORT_S)
        # The last byte of the slowest would come after minutes; the rest is for a machine that is busy with others.
        assert SHORT_S <= time.monotonic() - began_s < 20


def not_http(action: str, asked: Asked, write: Write) -> None:
    write(b"\x16\x03\x01 hello\r\n" * 10)


def a_line_without_end(action: str, asked: Asked, write: Write) -> None:
    while True:
        write(b"HTTP/1.1 200 " + b"O" * 100_000)


def half_a_body(action: str, asked: Asked, write: Write) -> None:
    write(whole(table(asked) + b" " * 100)[:-100])
    raise ConnectionError  # the handler ends, and its connection with it


def not_json(action: str, asked: Asked, write: Write) -> None:
    write(whole(b"<html>42.001,-101.0</html>"))


def one_row_too_few(action: str, asked: Asked, write: Write) -> None:
    asked["sources"].pop()
    write(whole(table(asked)))


def words_for_numbers(action: str, asked: Asked, write: Write) -> None:
    write(whole(b'{"sources_to_targets":{"durations":[["42.001"]],"distances":[[1]]}}'))


def refuses(action: str, asked: Asked, write: Write) -> None:
    write(refusal(199))


@pytest.mark.parametrize(
    "does", [not_http, a_line_without_end, half_a_body, not_json, one_row_too_few, words_for_numbers, refuses]
)
def test_what_is_no_answer_is_said_in_words_that_name_no_place(does: Callable[[str, Asked, Write], None]) -> None:
    with engine(does) as (roads, _):
        with pytest.raises(RoadsDown) as down:
            roads.times(spots(2), HERE, wait_s=PATIENCE_S)
        assert str(down.value).startswith("The road engine")
        assert "42.0" not in str(down.value)


def test_an_answer_that_came_too_late_is_never_taken_for_another_s() -> None:
    def late_once(action: str, asked: Asked, write: Write) -> None:
        if len(fake.asked) == 1:
            time.sleep(SHORT_S * 2)
        answers(action, asked, write)

    with engine(late_once) as (roads, fake):
        with pytest.raises(RoadsDown):
            roads.times(spots(1), HERE, wait_s=SHORT_S)
        time.sleep(max(PAUSE_S, SHORT_S * 2))
        found = roads.times(spots(9)[8:], HERE, wait_s=PATIENCE_S)
        assert found == [Travel(distance_m=500.0, seconds=seconds_of(42.008))]


def test_an_engine_that_is_gone_costs_one_caller_a_moment_and_the_others_nothing() -> None:
    now_s = [100.0]
    port = free_port()
    roads = Roads(lambda: Endpoint(port=port, graph=GRAPH), lambda: now_s[0])
    with pytest.raises(RoadsDown, match="cannot be reached"):
        roads.times(spots(1), HERE, wait_s=PATIENCE_S)
    with engine(answers, port) as (_, fake):
        for _ in range(5):
            with pytest.raises(RoadsDown, match="a moment ago"):
                roads.times(spots(1), HERE, wait_s=PATIENCE_S)
        assert not fake.asked
        now_s[0] += PAUSE_S
        fake.does = off({HERE.lat})  # an answer that does not help shows that it is back, too
        with pytest.raises(OffTheRoads):
            roads.times(spots(1), HERE, wait_s=PATIENCE_S)
        fake.does = answers
        assert len(roads.times(spots(1), HERE, wait_s=PATIENCE_S)) == 1
        roads.close()


def test_an_engine_that_hangs_is_asked_by_one_caller_at_a_time() -> None:
    with engine(hangs) as (roads, fake):
        with pytest.raises(RoadsDown):
            roads.times(spots(1), HERE, wait_s=SHORT_S)
        time.sleep(PAUSE_S)
        said: list[str] = []

        def ask() -> None:
            with pytest.raises(RoadsDown) as down:
                roads.times(spots(1), HERE, wait_s=SHORT_S)
            said.append(str(down.value))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(fake.asked) == 2
        assert sorted(said) == ["The road engine did not answer a moment ago."] * 7 + [
            "The road engine did not answer in time."
        ]


def test_impatience_alone_does_not_keep_others_from_asking() -> None:
    def slowly(action: str, asked: Asked, write: Write) -> None:
        time.sleep(0.1)
        answers(action, asked, write)

    with engine(slowly) as (roads, _):
        with pytest.raises(RoadsDown, match="in time"):
            roads.times(spots(1), HERE, wait_s=0.02)
        assert len(roads.times(spots(1), HERE, wait_s=PATIENCE_S)) == 1


def test_without_an_engine_nobody_waits_at_all() -> None:
    roads = Roads(lambda: None)
    with pytest.raises(RoadsDown, match="The road engine does not run"):
        roads.times(spots(1), HERE, wait_s=PATIENCE_S)
    assert roads.graph == ""
    assert roads.fastest_mps is None


def test_an_engine_that_is_only_busy_is_not_taken_for_one_that_hangs() -> None:
    assert not is_hung(HUNG_S_MAX * 2, 1.0)
    assert not is_hung(1.0, HUNG_S_MAX * 2)
    assert is_hung(HUNG_S_MAX * 2, HUNG_S_MAX * 2)
    assert is_hung(BUSY_S_MAX + 1, 0.0)


def test_no_connection_is_left_open_by_a_call_that_failed() -> None:
    with engine(hangs) as (roads, fake):
        with pytest.raises(RoadsDown):
            roads.times(spots(CHUNK * 4), HERE, wait_s=SHORT_S)
        left = [line for line in open_sockets() if line == fake.endpoint.port]
        assert not left


def open_sockets() -> list[int]:
    """The ports that this process is connected to over the internet's protocols, by the other side."""
    found = []
    for number in range(3, 400):
        with suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue  # a copy of somebody's pipe would keep it open, and whoever waits for its end waits for ever
            with socket.socket(fileno=socket.dup(number)) as copy:
                if copy.family == socket.AF_INET:
                    found.append(copy.getpeername()[1])
    return found


# ---- places without a road ------------------------------------------------------------------------------------------


def off(lats: set[float], is_located: bool = True) -> Callable[[str, Asked, Write], None]:
    """An engine that refuses a whole question for one place, as Valhalla does."""

    def does(action: str, asked: Asked, write: Write) -> None:
        if action == "locate":
            edges = [[] if is_located and place["lat"] in lats else [{}] for place in asked["locations"]]
            write(whole(json.dumps([{"edges": each} for each in edges]).encode()))
        elif any(place["lat"] in lats for place in (*asked["sources"], *asked["targets"])):
            write(refusal(170))
        else:
            write(whole(table(asked)))

    return does


@pytest.mark.parametrize("is_located", [True, False])
def test_a_source_without_a_road_spoils_nobody_else_s_answer(is_located: bool) -> None:
    many = spots(CHUNK * 2)
    lost = {many[3].lat, many[CHUNK].lat, many[CHUNK + 1].lat}
    with engine(off(lost, is_located)) as (roads, fake):
        found = roads.times(many, HERE, wait_s=PATIENCE_S)
        assert [way is None for way in found] == [spot.lat in lost for spot in many]
        assert all(way is None or way.seconds == seconds_of(spot.lat) for way, spot in zip(found, many, strict=True))
        assert len(fake.asked) < (7 if is_located else 40)


def test_a_place_without_a_road_is_said_and_is_not_the_engine_s_fault() -> None:
    with engine(off({HERE.lat})) as (roads, fake):
        for _ in range(2):
            with pytest.raises(OffTheRoads, match="on no road of the map"):
                roads.times(spots(3), HERE, wait_s=PATIENCE_S)
        fake.does = answers
        assert len(roads.times(spots(3), HERE, wait_s=PATIENCE_S)) == 3


@pytest.mark.parametrize("code", [154, 171, 442])
def test_where_no_road_leads_there_is_no_way(code: int) -> None:
    def refuses_all(action: str, asked: Asked, write: Write) -> None:
        write(refusal(code))

    with engine(refuses_all) as (roads, _):
        assert roads.route(HERE, HERE, wait_s=PATIENCE_S) is None


# ---- shapes ---------------------------------------------------------------------------------------------------------


def test_a_way_has_its_turns_in_words() -> None:
    way = {
        "trip": {
            "legs": [
                {
                    "shape": "_p~iF~ps|U_ulLnnqC",
                    "maneuvers": [
                        {
                            "type": 1,
                            "instruction": "Drive north on Oak Street.",
                            "begin_shape_index": 0,
                            "length": 1.25,
                            "time": 80.5,
                            "street_names": ["Oak Street"],
                        },
                        {"type": 4, "instruction": "You have arrived.", "begin_shape_index": 1, "length": 0, "time": 0},
                    ],
                }
            ],
            "summary": {"length": 1.25, "time": 80.5},
        }
    }

    def leads(action: str, asked: Asked, write: Write) -> None:
        assert action == "route"
        write(whole(json.dumps(way).encode()))

    with engine(leads) as (roads, _):
        route = roads.route(HERE, HERE, wait_s=PATIENCE_S)
    assert route is not None
    assert (route.distance_m, route.seconds) == (1250.0, 80.5)
    assert [(turn.words, turn.kind, turn.streets, turn.at) for turn in route.turns] == [
        ("Drive north on Oak Street.", 1, ("Oak Street",), 0),
        ("You have arrived.", 4, (), 1),
    ]
    assert spots_of(route.line) == (Spot(lat=3.85, lon=-12.02), Spot(lat=4.07, lon=-12.095))


def test_what_is_within_reach_comes_widest_first_as_polygons() -> None:
    ring = [[-101.0, 42.0], [-101.0, 42.1], [-101.1, 42.1], [-101.0, 42.0]]

    def reaches(action: str, asked: Asked, write: Write) -> None:
        if action == "locate":
            write(whole(b'[{"edges":[{}]}]'))
            return
        areas = [
            {"properties": {"contour": minutes}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
            for minutes in (5.0, 10.0)
        ]
        write(whole(json.dumps({"features": areas}).encode()))

    with engine(reaches) as (roads, fake):
        found = roads.reach(HERE, (10, 5), wait_s=PATIENCE_S)
        assert [area.minutes for area in found] == [10.0, 5.0]
        assert msgspec.json.decode(geojson(found))["features"][1] == {
            "type": "Feature",
            "properties": {"minutes": 5.0},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
        fake.does = off({HERE.lat})
        with pytest.raises(OffTheRoads):
            roads.reach(HERE, (5,), wait_s=PATIENCE_S)


def test_a_place_off_the_globe_and_an_area_of_two_corners_cannot_be_asked_for() -> None:
    for lat, lon in ((91.0, 0.0), (0.0, 181.0), (float("nan"), 0.0)):
        with pytest.raises(ValueError, match="off the globe"):
            Spot(lat=lat, lon=lon)
    with pytest.raises(ValueError, match="three corners"):
        Ring(id="r", corners=(HERE, HERE))
