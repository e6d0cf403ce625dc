"""`tandem-bridge drive`: a vehicle that drives, and its receiver at a pseudo-terminal.

One thread and one loop: the next of what is due (a moment of the receiver, a sentence's last byte on the line) or what
the steering program says, whichever comes first. Nobody who does not read can stop it.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from math import floor
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from firmware_bridge.drive import Drive, Route, back, held, placed, sent
from firmware_bridge.misuse import Misuse
from firmware_bridge.replay import PseudoTerminal, pseudo_terminal
from firmware_bridge.routes import LIMIT_MPS_MAX, MPS_PER_KMH, BadRoute, from_file, from_line
from firmware_bridge.scenarios import PROFILES, SCENARIOS, Profile
from firmware_bridge.sentences import WRITERS
from firmware_bridge.simulate import SimulatedReceiver

FILE_BYTES_MAX = 16 * 1024 * 1024  # a track of POINTS_MAX points, with times and names
LINE_BYTES_MAX = 4 * 1024 * 1024  # a route of as many, as JSON
READ_BYTES = 65536
BAUDS = (4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800)
BITS_PER_BYTE = 10  # start and stop bit included
LINE_SHARE_MAX = 0.7  # a burst must be over well before the next one
SENTENCE_BYTES = {"GSA": 120, "GSV": 430}  # of a burst, both systems; the others are one sentence
SENTENCE_BYTES_USUAL = 80
LINE_SENTENCES_MAX = 64  # four bursts: what waits for its moment on the line


class Truth(Struct, frozen=True, kw_only=True):
    """One line for the steering program: where the vehicle truly is, and how far it is with its route.

    `routes` counts those it was given; `turn_off` is the first point of the newest at which it can still begin another.
    """

    at: datetime
    lat: float
    lon: float
    speed_mps: float
    heading_deg: float
    routes: int
    turn_off: int
    is_there: bool


class Told:
    """A file descriptor that is told lines, and never more than its reader takes: what does not fit is left out."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._poll = select.poll()
        self._poll.register(number, select.POLLOUT)

    def tell(self, line: bytes) -> None:
        """Say `line`, of less than a pipe's 4096 bytes; OSError when nobody will ever read it."""
        if self._poll.poll(0):  # a pipe is writable when it has room for 4096 bytes, so this cannot wait
            os.write(self._number, line + b"\n")


class Heard:
    """Lines from a file descriptor, as they come, without waiting."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_over = False
        self._held = b""
        self._is_too_long = False

    def lines(self) -> Iterator[bytes]:
        """The lines that what can be read now completes; BadRoute for one that is too long for a route."""
        data = os.read(self.number, READ_BYTES)
        self.is_over = not data
        *whole, self._held = (self._held + (data or b"\n")).split(b"\n")
        if self._is_too_long and whole:
            whole, self._is_too_long = whole[1:], False
        yield from filter(bytes.strip, whole)
        if len(self._held) > LINE_BYTES_MAX or self._is_too_long:
            was_said, self._is_too_long, self._held = self._is_too_long, True, b""
            if not was_said:
                raise BadRoute(f"A line is longer than {LINE_BYTES_MAX} bytes.")


class Aboard(Struct, frozen=True, kw_only=True):
    """The receiver aboard, and how it speaks."""

    receiver: SimulatedReceiver
    profile: Profile
    rate_hz: int
    baud: int


@click.command(name="drive")
@click.argument("path", metavar="[ROUTE]", required=False)
@click.option("--link", type=click.Path(path_type=Path), help="A symbolic link to make, so that the name is known.")
@click.option("--follow", is_flag=True, help="Take routes as JSON lines from standard input, and print the truth.")
@click.option("--repeat", is_flag=True, help="At the end turn and drive back, until Ctrl-C.")
@click.option(
    "--speed-kmh",
    type=click.FloatRange(min=1, max=LIMIT_MPS_MAX / MPS_PER_KMH),
    default=50.0,
    show_default=True,
    help="Where the route says no speed.",
)
@click.option("--rate", "rate_hz", type=click.IntRange(1, 10), default=1, show_default=True, help="Bursts a second.")
@click.option("--scenario", type=click.Choice(sorted(SCENARIOS)), default="open", show_default=True)
@click.option(
    "--profile", type=click.Choice(sorted(PROFILES)), default="modern", show_default=True, help="Of receiver."
)
@click.option("--sentences", help="Which, in this order, as RMC,GGA,GST; default: the profile's.")
@click.option("--baud", type=click.Choice([str(baud) for baud in BAUDS]), help="Pace of the line; default: enough.")
@click.option("--seed", default="0", show_default=True, help="The same seed, the same errors.")
def drive_command(
    path: str | None,
    link: Path | None,
    follow: bool,
    repeat: bool,
    speed_kmh: float,
    rate_hz: int,
    scenario: str,
    profile: str,
    sentences: str | None,
    baud: str | None,
    seed: str,
) -> None:
    """Drive along ROUTE (a GeoJSON LineString or a GPX file) and offer the receiver aboard as a serial port.

    The first line on standard output is the port's path. The vehicle drives at once, whether anybody reads or not, and
    stands at the end of its route until Ctrl-C.

    With --follow, standard input is {"route": [[lat, lon], ...], "limits_mps": [...]} or {"hold": true}, one a line, and
    standard output says once a second where the vehicle truly is.
    """
    if path is None and not follow:
        raise Misuse("Name a file with a route, or let a program steer with --follow.")
    if follow and repeat:
        raise Misuse("--repeat is for a route that nobody changes; leave it out with --follow.")
    usual_mps = speed_kmh * MPS_PER_KMH
    kind = _profile(profile, sentences)
    aboard = Aboard(
        receiver=SimulatedReceiver(SCENARIOS[scenario], kind, seed),
        profile=kind,
        rate_hz=rate_hz,
        baud=int(baud) if baud else _enough_baud(kind, rate_hz),
    )
    if _share_of_line(kind, rate_hz, aboard.baud) > 1:
        raise Misuse(f"That is more than {aboard.baud} baud carries. Name a higher --baud, or fewer --sentences.")
    route = None if path is None else _route(path, usual_mps)
    try:
        with _offered(link) as terminal:
            out = Told(sys.stdout.fileno())
            out.tell(msgspec.json.encode({"port": terminal.path}) if follow else terminal.path.encode())
            steer = Heard(sys.stdin.fileno()) if follow else None
            _Driver(aboard, terminal, usual_mps, out, steer, repeat).run(route)
    except (KeyboardInterrupt, BrokenPipeError):  # the latter: whoever followed has left
        return


class _Driver:
    """The loop. The vehicle's seconds are this machine's monotonic ones since the start."""

    def __init__(
        self,
        aboard: Aboard,
        terminal: PseudoTerminal,
        usual_mps: float,
        out: Told,
        steer: Heard | None,
        is_repeated: bool,
    ) -> None:
        self._aboard = aboard
        self._terminal = terminal
        self._usual_mps = usual_mps
        self._out = out
        self._steer = steer
        self._is_repeated = is_repeated
        self._began_s = time.monotonic()
        self._drive: Drive | None = None
        # (when its last byte is over, sentence)
        self._line: deque[tuple[float, bytes]] = deque(maxlen=LINE_SENTENCES_MAX)

    def run(self, route: Route | None) -> None:
        """Drive until Ctrl-C, or until nobody follows any more."""
        if route is not None:
            self._drive = placed(route, self._now_s())
        moment_s, at = self._next_moment(0.0)
        while True:
            due_s = min(moment_s, self._line[0][0]) if self._line else moment_s
            self._listen(max(0.0, due_s - self._now_s()))
            now_s = self._now_s()
            while self._line and self._line[0][0] <= now_s:
                self._terminal.offer(self._line.popleft()[1])
            if now_s >= moment_s:
                self._speak(at, moment_s)
                moment_s, at = self._next_moment(moment_s)

    def _next_moment(self, after_s: float) -> tuple[float, datetime]:
        """The next moment of the receiver, in our seconds and in UTC; a machine that slept does not catch up."""
        now_s, utc_s = self._now_s(), time.time()
        tick = floor(utc_s * self._aboard.rate_hz + 1e-6) + 1
        at_s = tick / self._aboard.rate_hz
        moment_s = now_s + at_s - utc_s
        if moment_s - after_s < 0.5 / self._aboard.rate_hz:  # the two clocks differ by a hair: it is the same moment
            at_s += 1 / self._aboard.rate_hz
            moment_s += 1 / self._aboard.rate_hz
        return moment_s, datetime.fromtimestamp(round(at_s, 3), UTC)

    def _speak(self, at: datetime, moment_s: float) -> None:
        """The receiver works out where it was at this moment; its burst follows on the line."""
        if self._drive is None:
            return
        if self._is_repeated and self._drive.is_there(moment_s):
            self._drive = back(self._drive, moment_s)
        moment_s = max(moment_s, self._drive.began_s)
        where = self._drive.where(moment_s)
        over_s = max(moment_s + self._aboard.profile.late_s, self._line[-1][0] if self._line else 0.0)
        for sentence in self._aboard.receiver.says(where, at, moment_s):
            over_s += len(sentence) * BITS_PER_BYTE / self._aboard.baud
            self._line.append((over_s, sentence))
        if self._steer is not None and at.microsecond == 0:
            truth = Truth(
                at=at,
                lat=where.lat,
                lon=where.lon,
                speed_mps=where.speed_mps,
                heading_deg=where.heading_deg,
                routes=self._drive.routes,
                turn_off=self._drive.turn_off(moment_s),
                is_there=self._drive.is_there(moment_s),
            )
            self._out.tell(msgspec.json.encode(truth))

    def _listen(self, up_to_s: float) -> None:
        """Wait, and do what the steering program says meanwhile."""
        if self._steer is None or self._steer.is_over:
            time.sleep(up_to_s)
            return
        if not select.select([self._steer.number], [], [], up_to_s)[0]:
            return
        try:
            for line in self._steer.lines():
                self._obey(line)
        except BadRoute as wrong:
            _complain(str(wrong))

    def _obey(self, line: bytes) -> None:
        """Do what one line says; what makes no sense is answered, and changes nothing."""
        now_s = self._now_s()
        try:
            route = from_line(line, self._usual_mps)
        except BadRoute as wrong:
            _complain(str(wrong))
            return
        if route is None:
            self._drive = self._drive and held(self._drive, now_s)
        elif self._drive is None:
            self._drive = placed(route, now_s)
        else:
            self._drive = sent(self._drive, route, now_s)

    def _now_s(self) -> float:
        return time.monotonic() - self._began_s


def _complain(sentence: str) -> None:
    Told(sys.stderr.fileno()).tell(sentence.encode())


@contextmanager
def _offered(link: Path | None) -> Iterator[PseudoTerminal]:
    with ExitStack() as stack:
        try:
            terminal = stack.enter_context(pseudo_terminal(link))
        except OSError as error:
            raise Misuse(f"Cannot make the link {link}: {error.strerror or error}.") from None
        yield terminal


def _profile(name: str, sentences: str | None) -> Profile:
    if sentences is None:
        return PROFILES[name]
    order = tuple(kind.strip().upper() for kind in sentences.split(","))
    if unknown := [kind for kind in order if kind not in WRITERS]:
        raise Misuse(f"No receiver here says {unknown[0]!r}. Choose from {', '.join(WRITERS)}.")
    return msgspec.structs.replace(PROFILES[name], order=order)


def _share_of_line(profile: Profile, rate_hz: float, baud: int) -> float:
    """How much of the line's time the sentences take."""
    sky_hz = min(rate_hz, 1 / profile.sky_every_s)
    bytes_per_s = sum(
        SENTENCE_BYTES.get(kind, SENTENCE_BYTES_USUAL) * (sky_hz if kind in SENTENCE_BYTES else rate_hz)
        for kind in profile.order
    )
    return bytes_per_s * BITS_PER_BYTE / baud


def _enough_baud(profile: Profile, rate_hz: float) -> int:
    """9600 as from the factory, or the lowest that is enough."""
    return next(baud for baud in BAUDS[1:] if _share_of_line(profile, rate_hz, baud) <= LINE_SHARE_MAX)


def _route(path: str, usual_mps: float) -> Route:
    file = Path(path)
    try:
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode):
            raise Misuse(f"{path} is no file. Name a GeoJSON or GPX file.")
        with file.open("rb") as opened:
            data = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Misuse(f"Cannot read {path}: {error.strerror or error}.") from None
    if len(data) > FILE_BYTES_MAX:
        raise Misuse(f"{path} is larger than {FILE_BYTES_MAX} bytes. Cut a piece from it.")
    try:
        return from_file(data, usual_mps)
    except BadRoute as wrong:
        raise Misuse(f"Cannot drive along {path}: {wrong}") from None
