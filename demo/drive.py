"""Who steers the demonstration's vehicles: `tandem-bridge drive` moves them, this tells each of them where to.

A `Course` is a value, and what to say next follows from it, from where the vehicle is seen, and from its order.
`steer_fleet` is the thin shell: one thread that hears all the programs and answers.
"""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from threading import Event
from typing import Literal

import msgspec
from msgspec import Struct

from demo.processes import RESTART_WAIT_S, end, spawned
from demo.streets import Streets
from wire import typed

STAND_S_MIN, STAND_S_MAX = 8.0, 45.0  # between two trips of a roaming unit
ROUTE_BYTES_MAX = 1024 * 1024  # a pipe's most; the longest way through a city is a tenth of it
NEWS_BYTES_MAX = 65536
LOOK_S = 0.2
HOLD = b'{"hold":true}\n'
BRIDGE = ("tandem-bridge",)


class Destination(Struct, frozen=True, kw_only=True):
    """Where a unit is sent."""

    lat: float
    lon: float


Order = Destination | Literal["hold"] | None  # None: roam


class Seen(Struct, frozen=True, kw_only=True):
    """Where a vehicle truly is, in the words of `tandem-bridge drive --follow`."""

    lat: float
    lon: float
    speed_mps: float
    routes: int
    turn_off: int
    is_there: bool


class Course(Struct, frozen=True, kw_only=True):
    """What one vehicle is about: `nodes` are the streets' numbers of its route's points. Seconds are of any one clock."""

    streets: Streets
    seed: str
    nodes: tuple[int, ...]
    routes: int = 1  # it was given by now
    given: Order = None
    roams: bool = True
    stands_since_s: float | None = None
    trips: int = 0  # so far, so that every trip draws its own luck


def park(streets: Streets, seed: str, near: Destination | None = None) -> Course:
    """A vehicle that stands at a stop `near` somewhere, or anywhere."""
    stop = streets.nearest(near.lat, near.lon) if near else streets.chosen(Random(f"{seed} parked"))
    return Course(streets=streets, seed=seed, nodes=(stop,))


def first_route(course: Course, seen: Seen | None) -> tuple[Course, bytes]:
    """What a program that has just been started is told: where the vehicle stands, or stood when it was last seen."""
    streets = course.streets
    node = course.nodes[seen.turn_off if seen else 0]
    corner = (streets.lats[node], streets.lons[node])
    fresh = Course(streets=streets, seed=course.seed, nodes=(node,), trips=course.trips + 1)
    if seen is None:
        return msgspec.structs.replace(fresh, trips=course.trips), _line([corner], [])
    return msgspec.structs.replace(fresh, nodes=(node, node)), _line([(seen.lat, seen.lon), corner], [5.0])


def steered(course: Course, seen: Seen, order: Order, now_s: float) -> tuple[Course, bytes | None]:
    """What a driver does who is seen there and has this order: (the course from now on, what to tell the program)."""
    if seen.routes != course.routes:  # it has not heard the last one yet
        return course, None
    if order != course.given:
        course = msgspec.structs.replace(course, given=order, roams=order is None)
        if isinstance(order, Destination):
            return _sent(course, seen, course.streets.nearest(order.lat, order.lon))
        if order == "hold":
            return course, HOLD
    if not course.roams or not seen.is_there:
        return msgspec.structs.replace(course, stands_since_s=None), None
    if course.stands_since_s is None:
        course = msgspec.structs.replace(course, stands_since_s=now_s)
    chance = Random(f"{course.seed} {course.trips}")
    if now_s < (course.stands_since_s or 0.0) + chance.uniform(STAND_S_MIN, STAND_S_MAX):
        return course, None
    return _sent(course, seen, course.streets.chosen(chance))


def _sent(course: Course, seen: Seen, goal: int) -> tuple[Course, bytes]:
    """The quickest way from the first corner at which the vehicle can still turn off."""
    streets = course.streets
    nodes = streets.route(course.nodes[seen.turn_off], goal)
    line = _line(
        [(streets.lats[node], streets.lons[node]) for node in nodes],
        [max(leg.speed_mps for leg in streets.legs[a] if leg.to == b) for a, b in pairwise(nodes)],
    )
    return (
        msgspec.structs.replace(
            course, nodes=tuple(nodes), routes=course.routes + 1, trips=course.trips + 1, stands_since_s=None
        ),
        line,
    )


def _line(points: Sequence[tuple[float, float]], limits_mps: Sequence[float]) -> bytes:
    """A route for the program; seven decimals are a centimeter."""
    route = [[round(lat, 7), round(lon, 7)] for lat, lon in points]
    return msgspec.json.encode({"route": route, "limits_mps": [round(limit, 2) for limit in limits_mps]}) + b"\n"


# ---- the fleet ---------------------------------------------------------------------------------------------------


class Vehicle(Struct, frozen=True, kw_only=True):
    """One vehicle to move: `port` is where its receiver's device file shall appear, `log` takes the program's complaints."""

    id: str
    port: Path
    log: Path
    course: Course


def steer_fleet(
    vehicles: Sequence[Vehicle],
    orders: Callable[[], Mapping[str, Order]],
    stop: Event,
    say: Callable[[str], None],
    *,
    bridge: Sequence[str] = BRIDGE,
    on_seen: Callable[[str, Seen], None] = lambda _id, _seen: None,
) -> None:
    """Run a program for each vehicle and steer it, until `stop` is set; one that ends is started again.

    `orders` is asked at each sight of a vehicle, once a second; a vehicle acts on an order once, when it changes.
    """
    drivers = [_Driver(vehicle, bridge) for vehicle in vehicles]
    try:
        for driver in drivers:
            driver.start()
        while not stop.is_set():
            heard, _, _ = select.select(drivers, [], [], LOOK_S)
            for driver in heard:
                if not driver.look():
                    say(f"The receiver of {driver.id} ended; starting it again")
                    if stop.wait(RESTART_WAIT_S):
                        return
                    driver.start()
                elif driver.seen is not None:
                    on_seen(driver.id, driver.seen)
                    driver.follow(orders().get(driver.id))
    finally:
        end(*(driver.process for driver in drivers if driver.process is not None))


class _Driver:
    """The program that drives one vehicle, and what it was last told and seen doing."""

    def __init__(self, vehicle: Vehicle, bridge: Sequence[str]) -> None:
        self.id = vehicle.id
        self.process: subprocess.Popen[bytes] | None = None
        self.seen: Seen | None = None
        self._vehicle = vehicle
        self._course = vehicle.course
        self._argv = [*bridge, "drive", "--follow", "--link", str(vehicle.port), "--seed", vehicle.id]
        self._held = b""

    def fileno(self) -> int:
        """Where it is heard."""
        assert self.process is not None and self.process.stdout is not None
        return self.process.stdout.fileno()

    def start(self) -> None:
        """Start it where the vehicle stands, or was when it was last seen."""
        if self.process is not None:
            end(self.process)
        self._vehicle.log.parent.mkdir(parents=True, exist_ok=True)
        with self._vehicle.log.open("ab") as log:
            self.process = spawned(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdin is not None and self.process.stdout is not None
        fcntl.fcntl(self.process.stdin, fcntl.F_SETPIPE_SZ, ROUTE_BYTES_MAX)
        os.set_blocking(self.process.stdin.fileno(), False)
        os.set_blocking(self.process.stdout.fileno(), False)
        self._held = b""
        self._course, line = first_route(self._course, self.seen)
        self.seen = None
        self._tell(line)

    def look(self) -> bool:
        """See where the vehicle is now; False when its program has ended."""
        data = os.read(self.fileno(), NEWS_BYTES_MAX)
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            if not line.startswith(b'{"port"'):
                self.seen = typed.json(line, Seen)
        return bool(data)

    def follow(self, order: Order) -> None:
        """Tell it what its vehicle's order makes necessary."""
        assert self.seen is not None
        self._course, line = steered(self._course, self.seen, order, time.monotonic())
        if line is not None:
            self._tell(line)

    def _tell(self, line: bytes) -> None:
        """A program that does not take a whole route is stuck, and is ended; it will be started again."""
        assert self.process is not None and self.process.stdin is not None
        try:
            taken = os.write(self.process.stdin.fileno(), line)
        except (BlockingIOError, BrokenPipeError):
            taken = 0
        if taken < len(line):
            self.process.kill()
