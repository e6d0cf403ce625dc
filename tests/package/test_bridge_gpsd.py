"""What gpsd says becomes the same readings as a serial port's, and what a stranger says becomes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from math import hypot
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.gpsd import (
    DEVICES_MAX,
    LINE_BYTES_MAX,
    SKY_S_MAX,
    Connection,
    Devices,
    Gpsd,
    Greeting,
    NoPosition,
    Position,
    Talk,
)
from firmware_bridge.readings import Condition, FixRead, PortState, Reading
from wire.fix import Fix

USB = "/dev/ttyACM0"
NOON = datetime(2026, 9, 10, 12, 0, tzinfo=UTC)
VERSION = {"class": "VERSION", "release": "3.22", "proto_major": 3, "proto_minor": 14}


def line(**said: object) -> bytes:
    return json.dumps({name.rstrip("_"): value for name, value in said.items()}).encode() + b"\r\n"


def tpv(second: float = 0, **more: object) -> bytes:
    at = (NOON + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")
    return line(**({"class": "TPV", "device": USB, "mode": 3, "time": at, "lat": 39.96, "lon": -83.0} | more))


def device(activated: object = "2026-09-10T12:00:00.000Z", path: str = USB) -> bytes:
    return line(**{"class": "DEVICE", "path": path, "activated": activated})


def fix_in(*lines: bytes, estimates: bool = False) -> Fix:
    found = [one.fix for one in Talk(estimates=estimates).feed(b"".join(lines), 0.0) if isinstance(one, Position)]
    assert len(found) == 1
    return found[0]


def test_a_tpv_with_its_sky_and_its_error_is_a_whole_fix() -> None:
    sky = line(**{"class": "SKY", "device": USB, "hdop": 0.9, "nSat": 12, "uSat": 8})
    gst = line(**{"class": "GST", "device": USB, "rms": 2.4, "lat": 1.6, "lon": 1.2})
    assert fix_in(sky, gst, tpv(speed=13.1, track=360.0, eph=20.9, status=2)) == Fix(
        lat=39.96,
        lon=-83.0,
        at=NOON,
        speed_mps=13.1,
        heading_deg=0.0,
        hdop=0.9,
        satellites=8,
        accuracy_m=hypot(1.6, 1.2),
        dimensions=3,
        quality="differential",
    )


def test_without_the_receivers_own_error_gpsds_stands_in() -> None:
    assert fix_in(tpv(eph=20.9)).accuracy_m == 20.9
    assert fix_in(tpv()).accuracy_m is None


def test_an_older_gpsd_counts_no_satellites_and_we_do() -> None:
    satellites = [{"PRN": 1, "used": True}, {"PRN": 2, "used": False}, {"PRN": 3, "used": True}]
    assert fix_in(line(**{"class": "SKY", "device": USB, "satellites": satellites}), tpv()).satellites == 2


def test_an_old_sky_says_nothing_of_a_new_fix() -> None:
    talk = Talk()
    talk.feed(line(**{"class": "SKY", "device": USB, "hdop": 0.9, "uSat": 8}), 0.0)
    (position,) = talk.feed(tpv(), SKY_S_MAX + 1)
    assert isinstance(position, Position)
    assert (position.fix.hdop, position.fix.satellites) == (None, None)


@pytest.mark.parametrize(
    ("said", "quality"),
    [
        ({}, "autonomous"),
        ({"status": 0}, "autonomous"),
        ({"status": 2}, "differential"),
        ({"status": 3}, "rtk"),
        ({"status": 4}, "rtk"),
        ({"status": 6}, "autonomous"),
    ],
)
def test_the_status_says_on_what_a_position_rests(said: dict[str, int], quality: str) -> None:
    assert fix_in(tpv(**said)).quality == quality


def test_an_estimated_position_is_taken_only_when_asked_for_and_then_marked() -> None:
    assert Talk().feed(tpv(status=5), 0.0) == [NoPosition(device=USB)]
    assert fix_in(tpv(status=5), estimates=True).quality == "estimated"


@pytest.mark.parametrize("status", [7, 8, 10, -1])
def test_a_typed_in_or_simulated_place_is_no_position(status: int) -> None:
    assert Talk(estimates=True).feed(tpv(status=status), 0.0) == [NoPosition(device=USB)]


@pytest.mark.parametrize("said", [{"mode": 1}, {"mode": 0}, {"mode": 4}, {"lat": None}, {"lon": None}])
def test_a_tpv_without_a_fix_is_no_position(said: dict[str, object]) -> None:
    assert Talk().feed(tpv(**said), 0.0) == [NoPosition(device=USB)]


def test_a_moment_is_told_once() -> None:
    heard = Talk().feed(tpv(0) + tpv(0, speed=1.0) + tpv(1), 0.0)
    assert [type(one) for one in heard] == [Position, NoPosition, Position]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tpv(lat=0, lon=0), "null_island"),
        (tpv(lat=90.1), "position"),
        (tpv(speed=500), "speed"),
        (tpv(speed=-1), "speed"),
        (tpv(track=361), "heading"),
        (tpv(lat="39.96"), "shape"),
        (tpv(time="2026-09-10T12:00:00"), "shape"),
        (tpv(time="0001-01-01T00:00:00+23:00"), "position"),
        (b'{"class":"TPV","mode":3,"lat":NaN,"lon":1}\n', "json"),
        (b"{}\n", "shape"),
        (b"[" * 10_000 + b"\n", "shape"),
        (b'{"class":"SKY","x":' + b"[" * 10_000 + b"\n", "json"),
        (b"\xff\xfe\n", "json"),
        (b"$GPRMC,120000,A,3957.6,N,08300.0,W,,,100926,,,A*00\n", "json"),
        (b"x" * (LINE_BYTES_MAX + 10) + b"\n", "too_long"),
    ],
)
def test_what_is_wrong_is_counted_by_reason_and_nothing_else(data: bytes, reason: str) -> None:
    talk = Talk()
    assert talk.feed(data, 0.0) == []
    assert talk.counts.rejected == {reason: 1}
    assert isinstance(talk.feed(tpv(), 0.0)[0], Position)


def test_a_line_without_end_is_dropped_while_it_comes() -> None:
    talk = Talk()
    for _ in range(100):
        assert talk.feed(b"x" * LINE_BYTES_MAX, 0.0) == []
    assert len(talk._held) <= LINE_BYTES_MAX
    assert talk.feed(b"rest\n" + tpv(), 0.0)
    assert talk.counts.rejected == {"too_long": 1}


def test_ever_new_names_of_devices_fill_nothing() -> None:
    talk = Talk()
    for n in range(50):
        talk.feed(device(path=f"/dev/{n}") + tpv(device=f"/dev/{n}"), 0.0)
        talk.feed(line(**{"class": "SKY", "device": f"/dev/{n}"}), 0.0)
    assert max(map(len, (talk._paths, talk._told, talk._sky))) <= DEVICES_MAX
    assert talk.counts.rejected["devices"] > 0


@given(st.lists(st.binary(max_size=400) | st.sampled_from([tpv(), tpv(1), b"\n", device(), line(**VERSION)])))
def test_any_bytes_in_any_pieces_are_fixes_or_nothing_or_counted(pieces: list[bytes]) -> None:
    talk, whole = Talk(), Talk()
    heard = [one for piece in pieces for one in talk.feed(piece, 0.0)]
    assert heard == whole.feed(b"".join(pieces), 0.0)
    assert talk.counts == whole.counts


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text("0a:-Z", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["used", "path"]), inner),
    max_leaves=5,
)
FIELDS = ("device", "mode", "status", "time", "lat", "lon", "speed", "track", "eph", "hdop", "uSat", "satellites")


@given(
    st.sampled_from(["TPV", "SKY", "GST", "DEVICE", "DEVICES", "VERSION", "ERROR"]),
    st.dictionaries(st.sampled_from([*FIELDS, "path", "activated", "devices", "proto_major"]), json_values),
)
def test_any_json_under_any_class_is_a_fix_or_nothing_or_counted(kind: str, said: dict[str, object]) -> None:
    talk = Talk(estimates=True)
    for one in talk.feed(line(**(said | {"class": kind})), 0.0):
        assert isinstance(one, Position | NoPosition | Devices | Greeting)


class Server:
    """A gpsd that says what it is told to; each item is one read: bytes, a wait in seconds, or an end."""

    def __init__(self, *connections: list[bytes | float | OSError] | OSError) -> None:
        self.connections = iter(connections)
        self.mono_s = 1000.0
        self.stop = Event()
        self.opened = 0

    def connect(self, host: str, port: int) -> Connection:
        said = next(self.connections, None)
        if said is None:
            self.stop.set()
            raise ConnectionRefusedError(111, "Connection refused")
        if isinstance(said, OSError):
            raise said
        self.opened += 1
        items = iter(said)

        def receive() -> bytes | None:
            item = next(items, b"")
            if isinstance(item, OSError):
                raise item
            if isinstance(item, bytes):
                return item
            self.mono_s += item
            return None

        return Connection(receive, lambda: None)

    def readings(self) -> list[Reading]:
        source = Gpsd(mono_s=lambda: self.mono_s, connect=self.connect)
        return list(source.readings(self.stop))


def told(readings: list[Reading]) -> Iterator[str]:
    for reading in readings:
        yield reading.condition.value if isinstance(reading, PortState) else "fix"


HELLO = line(**VERSION) + line(**{"class": "DEVICES", "devices": [json.loads(device())]})


def test_fixes_come_with_the_time_they_were_read() -> None:
    readings = Server([HELLO, 1.0, tpv(0), 1.0, tpv(1)]).readings()
    fixes = [reading for reading in readings if isinstance(reading, FixRead)]
    assert [fix.read_mono_s for fix in fixes] == [1001.0, 1002.0]


def test_a_date_is_believed_once_three_agree() -> None:
    seconds = count()
    readings = Server([HELLO, *(tpv(next(seconds)) for _ in range(5))]).readings()
    dates = [reading.fix.at for reading in readings if isinstance(reading, FixRead)]
    assert dates == [None, None, *(NOON + timedelta(seconds=n) for n in (2, 3, 4))]


def test_a_gpsd_that_is_not_there_is_said_once_and_asked_again() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    readings = Server(refused, refused, [HELLO, tpv()]).readings()
    assert list(told(readings)) == ["lost", "opened", "fix", "lost"]
    assert isinstance(readings[0], PortState)
    assert readings[0].why == "gpsd does not answer at 127.0.0.1:2947 (Connection refused)"


def test_a_gpsd_that_ends_is_lost() -> None:
    assert list(told(Server([HELLO, tpv(), ConnectionResetError(104, "reset")]).readings())) == [
        "opened",
        "fix",
        "lost",
    ]


def test_a_receiver_that_is_unplugged_is_lost_and_found_again() -> None:
    server = Server([HELLO, tpv(0), device(activated=0), 10.0, device(), tpv(20)])
    readings = server.readings()
    assert list(told(readings)) == ["opened", "fix", "lost", "opened", "fix", "lost"]
    ports = [reading.port for reading in readings if isinstance(reading, PortState)]
    assert ports == [USB, "", USB, ""]
    assert server.opened == 1


def test_a_gpsd_without_a_receiver_says_so() -> None:
    readings = Server([line(**VERSION) + line(**{"class": "DEVICES", "devices": []}), 3.5]).readings()
    assert isinstance(readings[0], PortState)
    assert readings[0].why == "gpsd has no receiver; is it plugged in?"


def test_silence_and_no_fix_are_different_conditions() -> None:
    nothing = tpv(mode=1)
    server = Server([HELLO, tpv(0), 3.5, 1.0, nothing, 0.5, nothing, 0.5, tpv(9), nothing, 2.0, nothing, 2.0, nothing])
    assert list(told(server.readings())) == ["opened", "fix", "silent", "no_fix", "fix", "no_fix", "lost"]


def test_another_program_on_the_port_is_never_believed() -> None:
    assert list(told(Server([b"220 mail.example.org ESMTP\r\n", 5.0], [tpv(), tpv(1), tpv(2)]).readings())) == ["lost"]


def test_of_two_receivers_one_is_heard_until_it_has_no_position() -> None:
    other = {"device": "/dev/ttyACM1", "lat": 40.5}
    server = Server([HELLO, tpv(0), tpv(0.2, **other), 1.0, tpv(1), tpv(1.2, **other), 4.0, tpv(5.2, **other)])
    latitudes = [reading.fix.lat for reading in server.readings() if isinstance(reading, FixRead)]
    assert latitudes == [39.96, 39.96, 40.5]


def test_gpsd_of_another_protocol_is_not_understood() -> None:
    readings = Server([line(**(VERSION | {"proto_major": 4})), tpv()]).readings()
    assert list(told(readings)) == ["lost"]
    assert Condition.LOST in [reading.condition for reading in readings if isinstance(reading, PortState)]
