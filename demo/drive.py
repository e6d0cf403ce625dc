"""Vehicles that drive along streets, and the GPS receivers aboard them.

A `Drive` is a value and knows where it is at any second; nothing in it reads a clock. `drive_fleet` is the thin shell:
one loop that writes each vehicle's NMEA sentences to a pseudo-terminal of its own, as a receiver would to its port.
"""

from __future__ import annotations

import os
import pty
import struct
import termios
import time
import tty
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from fcntl import ioctl
from heapq import heapify, heapreplace
from itertools import accumulate, pairwise
from math import hypot, pi, radians, sin, sqrt
from pathlib import Path
from random import Random
from threading import Event
from types import TracebackType
from typing import Literal

import msgspec
from msgspec import Struct

from demo.streets import Streets
from wire.distance import bearing_deg, moved, nearby_m

SPEED_UP_MPS2 = 1.6
SLOW_DOWN_MPS2 = 2.2
ASIDE_MPS2 = 2.5  # what a passenger takes in a bend without complaint
CRAWL_MPS = 2.5  # turning around
SAME_PLACE_M = 0.2
CORNER_M, BEND_M = 9.0, 25.0  # over which a driver spreads a sharp corner, or a slight bend of the road
STAND_S_MIN, STAND_S_MAX = 8.0, 45.0  # between two trips of a roaming unit
KNOTS_PER_MPS = 3600 / 1852
GEOID_M, ALTITUDE_M = -21.0, 790.0
UNREAD_BYTES_MAX = 600  # four seconds of sentences: whoever opens the port later gets news, not history


class Destination(Struct, frozen=True, kw_only=True):
    """Where a unit is sent."""

    lat: float
    lon: float


Order = Destination | Literal["hold"] | None  # None: roam


class Where(Struct, frozen=True, kw_only=True):
    """The truth about a vehicle at one moment; its receiver is a little less sure."""

    lat: float
    lon: float
    speed_mps: float
    heading_deg: float


# ---- a trip ------------------------------------------------------------------------------------------------------


class Phase(Struct, frozen=True):
    """From `at_s` on, `along_m` into the trip, with this speed and this even change of it."""

    at_s: float
    along_m: float
    speed_mps: float
    mps2: float


class Trip(Struct, frozen=True, kw_only=True):
    """One way along given points, from standing or rolling to standing.

    `nodes` are the streets' numbers of the points; a point between two of them bears the number of the next.
    """

    points: tuple[tuple[float, float], ...]
    nodes: tuple[int, ...]
    limits_mps: tuple[float, ...]
    along_m: tuple[float, ...]
    phases: tuple[Phase, ...]
    lasts_s: float

    def progress(self, at_s: float) -> tuple[float, float]:
        """(meters from its start, speed) that many seconds into the trip."""
        if at_s >= self.lasts_s:
            return self.along_m[-1], 0.0
        phase = self.phases[max(0, bisect_right(self.phases, at_s, key=lambda phase: phase.at_s) - 1)]
        into_s = max(0.0, at_s) - phase.at_s
        along_m = phase.along_m + phase.speed_mps * into_s + phase.mps2 * into_s**2 / 2
        return min(along_m, self.along_m[-1]), max(0.0, phase.speed_mps + phase.mps2 * into_s)

    def where(self, at_s: float) -> Where:
        """Where the vehicle is that many seconds into the trip; at its end it stands."""
        along_m, speed_mps = self.progress(at_s)
        leg = self.leg(along_m)
        heading = bearing_deg(*self.points[leg], *self.points[leg + 1])
        lat, lon = moved(*self.points[leg], heading, along_m - self.along_m[leg])
        return Where(lat=lat, lon=lon, speed_mps=speed_mps, heading_deg=heading)

    def leg(self, along_m: float) -> int:
        """Which leg that many meters into the trip are on."""
        return min(max(0, bisect_right(self.along_m, along_m) - 1), len(self.points) - 2)


def plan_trip(
    points: Sequence[tuple[float, float]],
    nodes: Sequence[int],
    limits_mps: Sequence[float],
    rolling_mps: float = 0.0,
) -> Trip:
    """The trip along `points`; leg `i` is driven at `limits_mps[i]` at most, bends at what the bend allows."""
    lengths = [nearby_m(*a, *b) for a, b in pairwise(points)]
    speeds = [rolling_mps, *_bend_speeds(points, lengths, limits_mps), 0.0]
    for i in range(len(lengths) - 1, 0, -1):  # brake in time for what comes
        speeds[i] = min(speeds[i], sqrt(speeds[i + 1] ** 2 + 2 * SLOW_DOWN_MPS2 * lengths[i]))
    for i, length in enumerate(lengths):  # and do not expect more than the engine gives
        speeds[i + 1] = min(speeds[i + 1], sqrt(speeds[i] ** 2 + 2 * SPEED_UP_MPS2 * length))
    phases: list[Phase] = []
    at_s = 0.0
    along = list(accumulate(lengths, initial=0.0))
    for i, length in enumerate(lengths):
        for seconds, speed_mps, mps2, from_m in _over_leg(length, speeds[i], speeds[i + 1], limits_mps[i]):
            phases.append(Phase(at_s, along[i] + from_m, speed_mps, mps2))
            at_s += seconds
    return Trip(
        points=tuple(points),
        nodes=tuple(nodes),
        along_m=tuple(along),
        phases=tuple(phases),
        lasts_s=at_s,
        limits_mps=tuple(limits_mps),
    )


def _bend_speeds(
    points: Sequence[tuple[float, float]], lengths: Sequence[float], limits_mps: Sequence[float]
) -> list[float]:
    """How fast each inner point may be passed.

    The first and the last leg may be pieces of longer ones, so their lengths say nothing about the bend beside them.
    """
    free_m = [BEND_M, *lengths[1:-1], BEND_M]
    headings = [bearing_deg(*a, *b) for a, b in pairwise(points)]
    speeds: list[float] = []
    for i, (before, after) in enumerate(pairwise(headings)):
        turn = radians(abs((after - before + 180) % 360 - 180))
        reach_m = min(BEND_M if turn < 0.5 else CORNER_M, max(4.0, free_m[i]), max(4.0, free_m[i + 1]))
        bend_mps = max(CRAWL_MPS, sqrt(ASIDE_MPS2 * reach_m / max(turn, 1e-6)))
        speeds.append(min(bend_mps, limits_mps[i], limits_mps[i + 1]))
    return speeds


def _over_leg(length_m: float, v0: float, v1: float, limit_mps: float) -> list[tuple[float, float, float, float]]:
    """(seconds, speed at its start, change, meters into the leg) of each phase: speed up, keep on, slow down."""
    if length_m < 1e-3:
        return []  # two corners at one place
    up, down = SPEED_UP_MPS2, SLOW_DOWN_MPS2
    top = min(max(limit_mps, v0, v1), sqrt((2 * up * down * length_m + down * v0**2 + up * v1**2) / (up + down)))
    up_m, down_m = (top**2 - v0**2) / (2 * up), (top**2 - v1**2) / (2 * down)
    if up_m < 0 or down_m < 0:  # too short for more than one even change, however hard the brake
        return [(2 * length_m / (v0 + v1), v0, (v1**2 - v0**2) / (2 * length_m), 0.0)]
    keep_m = max(0.0, length_m - up_m - down_m)
    phases = [
        ((top - v0) / up, v0, up, 0.0),
        (keep_m / top, top, 0.0, up_m),
        ((top - v1) / down, top, -down, up_m + keep_m),
    ]
    return [phase for phase in phases if phase[0] > 0]


# ---- a drive -----------------------------------------------------------------------------------------------------


class Drive(Struct, frozen=True, kw_only=True):
    """A vehicle in its streets: the trip it is on, and what it does afterwards. Times are seconds of any one clock."""

    streets: Streets
    seed: str
    trip: Trip
    began_s: float
    roams: bool = True
    trips: int = 0  # so far, so that every trip draws its own luck

    def where(self, at_s: float) -> Where:
        """Where the vehicle is; ask no earlier than its trip began."""
        return self.trip.where(at_s - self.began_s)

    def has_arrived(self, at_s: float) -> bool:
        """True when the vehicle stands at the end of its trip."""
        return at_s >= self.began_s + self.trip.lasts_s


def park(streets: Streets, seed: str, at_s: float, near: Destination | None = None) -> Drive:
    """A vehicle that stands at a stop `near` somewhere, or anywhere, and sets out when it is asked where it goes on."""
    rng = Random(f"{seed} parked")
    stop = streets.nearest(near.lat, near.lon) if near else streets.chosen(rng)
    return Drive(streets=streets, seed=seed, trip=_standing(streets, stop), began_s=at_s)


def go_on(drive: Drive, at_s: float) -> Drive:
    """The same drive, or the next one of a roaming vehicle that has stood long enough."""
    rng = Random(f"{drive.seed} {drive.trips}")
    stands_s = rng.uniform(STAND_S_MIN, STAND_S_MAX)
    if not drive.roams or at_s < drive.began_s + drive.trip.lasts_s + stands_s:
        return drive
    return _sent(drive, at_s, drive.streets.chosen(rng), roams=True)


def go_to(drive: Drive, at_s: float, to: Destination) -> Drive:
    """Drive there from wherever it is, without jumping, and stay there."""
    return _sent(drive, at_s, drive.streets.nearest(to.lat, to.lon), roams=False)


def hold(drive: Drive, at_s: float) -> Drive:
    """Come to a stand a little further along the way, and stay there."""
    trip = drive.trip
    along_m, speed_mps = trip.progress(at_s - drive.began_s)
    stop_m = along_m + speed_mps**2 / (2 * SLOW_DOWN_MPS2)
    if speed_mps == 0 or stop_m >= trip.along_m[-1]:
        return msgspec.structs.replace(drive, roams=False)
    first, last = trip.leg(along_m), trip.leg(stop_m)
    now = drive.where(at_s)
    heading = bearing_deg(*trip.points[last], *trip.points[last + 1])
    end = moved(*trip.points[last], heading, stop_m - trip.along_m[last])
    shorter = plan_trip(
        [(now.lat, now.lon), *trip.points[first + 1 : last + 1], end],
        [*trip.nodes[first + 1 : last + 2], trip.nodes[last + 1]],
        trip.limits_mps[first : last + 1],
        speed_mps,
    )
    return _replanned(drive, shorter, at_s, roams=False)


def roam(drive: Drive) -> Drive:
    """Go wherever chance says, when the trip it is on has ended."""
    return msgspec.structs.replace(drive, roams=True)


def _sent(drive: Drive, at_s: float, goal: int, roams: bool) -> Drive:
    """On a trip from where the vehicle is: on past the point where it could stop, and from there the quickest way."""
    streets, trip = drive.streets, drive.trip
    along_m, speed_mps = trip.progress(at_s - drive.began_s)
    first, last = trip.leg(along_m), trip.leg(along_m + speed_mps**2 / (2 * SLOW_DOWN_MPS2))
    route = streets.route(trip.nodes[last + 1], goal)
    now = drive.where(at_s)
    points = [(now.lat, now.lon), *trip.points[first + 1 : last + 1], *(_point(streets, node) for node in route)]
    nodes = [*trip.nodes[first + 1 : last + 2], *route]
    limits = [*trip.limits_mps[first : last + 1], *(_limit_mps(streets, a, b) for a, b in pairwise(route))]
    if nearby_m(*points[0], *points[1]) < SAME_PLACE_M:
        points, nodes, limits = points[1:], nodes[1:], limits[1:]
    if len(points) == 1:
        return _replanned(drive, _standing(streets, goal), at_s, roams)
    return _replanned(drive, plan_trip(points, nodes, limits, speed_mps), at_s, roams)


def _replanned(drive: Drive, trip: Trip, at_s: float, roams: bool) -> Drive:
    return msgspec.structs.replace(drive, trip=trip, began_s=at_s, roams=roams, trips=drive.trips + 1)


def _standing(streets: Streets, stop: int) -> Trip:
    """A trip of no length, faced the way it will leave."""
    ahead = streets.legs[stop][0].to
    return Trip(
        points=(_point(streets, stop), _point(streets, ahead)),
        nodes=(stop, stop),
        along_m=(0.0, 0.0),
        limits_mps=(CRAWL_MPS,),
        phases=(Phase(0.0, 0.0, 0.0, 0.0),),
        lasts_s=0.0,
    )


def _point(streets: Streets, node: int) -> tuple[float, float]:
    return streets.lats[node], streets.lons[node]


def _limit_mps(streets: Streets, a: int, b: int) -> float:
    return max(leg.speed_mps for leg in streets.legs[a] if leg.to == b)


# ---- the receiver ------------------------------------------------------------------------------------------------


def sentences(where: Where, at: datetime, receiver: str) -> bytes:
    """GGA and RMC as a receiver aboard says them at `at` (UTC): a little beside the truth, each `receiver` in its way.

    The error wanders slowly by a meter or two, as reflections off houses make it, and never leaps.
    """
    rng = Random(receiver)
    waves = [(rng.uniform(25, 60), rng.uniform(0, 2 * pi)) for _ in range(4)]
    now_s = at.timestamp()
    north_m, east_m, rise_m, geometry = (sin(2 * pi * now_s / period_s + phase) for period_s, phase in waves)
    jitter = Random(f"{receiver} {at.isoformat()}")
    north_m = 1.25 * north_m + jitter.uniform(-0.5, 0.5)
    east_m = 1.25 * east_m + jitter.uniform(-0.5, 0.5)
    off_deg = bearing_deg(0, 0, north_m * 1e-5, east_m * 1e-5)
    lat, lon = moved(where.lat, where.lon, off_deg, hypot(north_m, east_m))
    place = f"{_angle(lat, 2)},{'N' if lat >= 0 else 'S'},{_angle(lon, 3)},{'E' if lon >= 0 else 'W'}"
    clock, date = f"{at:%H%M%S}.{at.microsecond // 10_000:02d}", f"{at:%d%m%y}"
    satellites, hdop = round(10 + 1.8 * geometry), 0.95 - 0.2 * geometry
    altitude_m = ALTITUDE_M + 2 * rise_m
    speed_mps = where.speed_mps + (jitter.uniform(-0.15, 0.15) if where.speed_mps > 0 else 0.0)
    # a receiver that stands has no course and says so by saying nothing
    course = f"{(where.heading_deg + jitter.uniform(-0.8, 0.8)) % 360 % 360:.2f}" if where.speed_mps > 1 else ""
    course = "0.00" if course == "360.00" else course
    gga = f"GNGGA,{clock},{place},1,{satellites:02d},{hdop:.2f},{altitude_m:.1f},M,{GEOID_M:.1f},M,,"
    rmc = f"GNRMC,{clock},A,{place},{max(0.0, speed_mps) * KNOTS_PER_MPS:.3f},{course},{date},,,A"
    return _framed(gga) + _framed(rmc)


def _angle(degrees: float, width: int) -> str:
    """Degrees and minutes run together, as NMEA has them since 1983; five decimals are two centimeters."""
    hundred_thousandths = round(abs(degrees) * 60 * 100_000)  # rounded once, so that 59.999999 carries over
    whole, minutes = divmod(hundred_thousandths, 60 * 100_000)
    return f"{whole:0{width}d}{minutes // 100_000:02d}.{minutes % 100_000:05d}"


def _framed(body: str) -> bytes:
    checksum = 0
    for byte in body.encode("ascii"):
        checksum ^= byte
    return f"${body}*{checksum:02X}\r\n".encode("ascii")


# ---- the fleet ---------------------------------------------------------------------------------------------------


class Vehicle(Struct, frozen=True, kw_only=True):
    """One vehicle to move: `port` is where its receiver's device file shall appear."""

    id: str
    port: Path
    drive: Drive


class Port:
    """A pseudo-terminal that looks like a receiver's serial port; `path` stays over restarts of the reader."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self._theirs))
        fresh.replace(path)

    def __enter__(self) -> Port:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self._ours)
        os.close(self._theirs)  # ours until now: with no side open a reader that restarts would find the port gone

    def write(self, said: bytes) -> None:
        """Say it to whoever reads; never wait, and keep no more than a few seconds for a reader to come."""
        (unread,) = struct.unpack("i", ioctl(self._theirs, termios.FIONREAD, b"\0\0\0\0"))
        if unread > UNREAD_BYTES_MAX:
            termios.tcflush(self._theirs, termios.TCIFLUSH)
        with suppress(BlockingIOError):
            os.write(self._ours, said)


def drive_fleet(
    vehicles: Sequence[Vehicle],
    orders: Callable[[], Mapping[str, Order]],
    stop: Event,
    seen: Callable[[str, datetime, Where], None] | None = None,
) -> None:
    """Move all vehicles and let each one's receiver speak every second, until `stop` is set.

    Every vehicle's first trip begins with this call, whatever clock it was parked by.
    `orders` is asked before each sentence; a vehicle acts on an order once, when it changes. `seen` is told the truth.
    The receivers speak one after another through the second, as receivers that were switched on at different times do.
    """
    drives = {vehicle.id: msgspec.structs.replace(vehicle.drive, began_s=0.0) for vehicle in vehicles}
    given: dict[str, Order] = dict.fromkeys(drives)
    with ExitStack() as stack:
        ports = {vehicle.id: stack.enter_context(Port(vehicle.port)) for vehicle in vehicles}
        began = time.monotonic()
        due = [(index / len(vehicles), vehicle.id) for index, vehicle in enumerate(vehicles)]
        heapify(due)
        while due:
            due_s, id_ = due[0]
            if stop.wait(max(0.0, began + due_s - time.monotonic())):
                return
            now_s = time.monotonic() - began
            drives[id_], given[id_] = _obeyed(drives[id_], now_s, given[id_], orders().get(id_))
            where, at = drives[id_].where(now_s), datetime.now(UTC)
            ports[id_].write(sentences(where, at, id_))
            if seen:
                seen(id_, at, where)
            heapreplace(due, (max(due_s + 1, now_s), id_))  # a machine that slept does not catch up second by second


def _obeyed(drive: Drive, now_s: float, given: Order, order: Order) -> tuple[Drive, Order]:
    if order == given:
        return go_on(drive, now_s), given
    if isinstance(order, Destination):
        return go_to(drive, now_s, order), order
    return (hold(drive, now_s) if order == "hold" else roam(drive)), order
