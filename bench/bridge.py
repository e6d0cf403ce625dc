"""The bridge beside gpsd: the same bytes, at the same moments, in the same run.

Two pseudo-terminals say the same bursts (RMC, GGA, GSA and two GSV of one moment, written at once); `tandem-bridge fixes`
reads one, gpsd the other. Measured are the milliseconds from the write to our line of JSON on a pipe and to gpsd's TPV
on its socket, and the processor time that each took, by the kernel's count. Then both begin at a receiver that speaks
38,400 baud while the port is at 9,600: from the start of the program to the first position.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import tempfile
import termios
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import click

from bench.figures import print_ms, say
from demo.processes import program
from firmware_bridge.sentences import GPS, WRITERS, Dialect, Satellite, Solution

ROOT = Path(__file__).resolve().parents[1]
DEBIAN_TOOLS = ROOT / "scripts" / "debian-tools"
RATES_HZ = (1, 10)
WARM_UP_S = 5
SPOKEN_BAUD = termios.B38400
HUNTS = 3
HUNT_S_MAX = 60.0  # gpsd gives each setting some eighteen reads, and a receiver speaks once a second: minutes
SAYS = ("RMC", "GGA", "GSA", "GSV")
SKY = tuple(
    Satellite(system=GPS, number=number, elevation_deg=elevation, azimuth_deg=azimuth, snr_db=snr, is_used=True)
    for number, elevation, azimuth, snr in (
        *((2, 45, 123, 41), (5, 30, 210, 38), (7, 66, 301, 44), (9, 12, 45, 29)),
        *((13, 22, 98, 35), (15, 51, 270, 42), (18, 8, 330, 24), (20, 35, 180, 39)),
    )
)


class Line:
    """A receiver's end of a pseudo-terminal; with `baud` it is understood only by who listens at that speed."""

    def __init__(self, link: Path, baud: int | None = None) -> None:
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        self._baud = baud
        if baud is not None:
            set_speed(self._theirs, termios.B9600)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._theirs))
        os.set_blocking(self._ours, False)

    def write(self, data: bytes) -> None:
        """Say `data` at once; what nobody reads is lost."""
        if self._baud is not None and termios.tcgetattr(self._theirs)[5] != self._baud:
            data = bytes(byte * 7 % 251 | 0x80 for byte in data[: len(data) // 4])  # what the wrong speed makes of it
        try:
            os.write(self._ours, data)
        except BlockingIOError:
            termios.tcflush(self._theirs, termios.TCIFLUSH)

    def close(self) -> None:
        """Both ends."""
        os.close(self._ours)
        os.close(self._theirs)


class Reader:
    """A program that reads a Line, and when it said each place."""

    def __init__(self, process: subprocess.Popen[bytes], source: IO[bytes]) -> None:
        self.process = process
        self.seen_s: dict[tuple[float, float], float] = {}
        threading.Thread(target=self._watch, args=(source,), daemon=True).start()

    def cpu_s(self) -> float:
        """Processor time so far, of all its threads."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def _watch(self, source: IO[bytes]) -> None:
        for line in source:
            now_s = time.monotonic()
            said = json.loads(line)
            if said.get("lat") is not None and said.get("lon") is not None:
                self.seen_s.setdefault((round(said["lat"], 5), round(said["lon"], 5)), now_s)


@click.command()
@click.option("--seconds", default=60, show_default=True, help="How long to measure at each rate.")
@click.option("--hunts", default=HUNTS, show_default=True, help="How often to begin at the wrong speed.")
def cli(seconds: int, hunts: int) -> None:
    """Print latency, processor time and the time to find the speed, ours and gpsd's."""
    with tempfile.TemporaryDirectory() as folder:
        for rate_hz in RATES_HZ:
            _beside(Path(folder), rate_hz, seconds)
        _wrong_speed(Path(folder), hunts)


def _beside(folder: Path, rate_hz: int, seconds: int) -> None:
    lines = {name: Line(folder / name) for name in ("ours", "gpsd")}
    with _ours(folder / "ours", "--baud", "9600") as ours, _gpsd(folder / "gpsd") as gpsd:
        readers = {"ours": ours, "gpsd": gpsd}
        time.sleep(2.0)
        say(f"Measuring at {rate_hz} Hz for {seconds} s")
        wrote_s: dict[str, dict[tuple[float, float], float]] = {name: {} for name in lines}
        cpu_s = dict.fromkeys(lines, 0.0)
        began = time.monotonic()
        at = datetime.now(UTC).replace(microsecond=0)
        for number in range((WARM_UP_S + seconds) * rate_hz):
            time.sleep(max(0.0, began + number / rate_hz - time.monotonic()))
            if number == WARM_UP_S * rate_hz:
                cpu_s = {name: reader.cpu_s() for name, reader in readers.items()}
            place, data = burst(number, at + timedelta(seconds=number / rate_hz))
            for name in sorted(lines, reverse=bool(number % 2)):
                if number >= WARM_UP_S * rate_hz:
                    wrote_s[name][place] = time.monotonic()
                lines[name].write(data)
        time.sleep(1.0)
        for name, reader in readers.items():
            took_ms = [(reader.seen_s[p] - s) * 1000 for p, s in wrote_s[name].items() if p in reader.seen_s]
            print_ms(f"{name}: burst written -> position, {rate_hz} Hz", took_ms)
        for name, reader in readers.items():
            used_ms = (reader.cpu_s() - cpu_s[name]) * 1000 / seconds
            click.echo(f"{f'{name}: processor time a second, {rate_hz} Hz':48}     {used_ms:8.2f} ms")
    for line in lines.values():
        line.close()


def _wrong_speed(folder: Path, hunts: int) -> None:
    took_ms: dict[str, list[float]] = {"ours": [], "gpsd": []}
    for hunt in range(hunts):
        say(f"Wrong speed first, {hunt + 1} of {hunts}")
        for name, begin in (("ours", _ours), ("gpsd", _gpsd)):
            line = Line(folder / name, SPOKEN_BAUD)
            stop = threading.Event()
            talking = threading.Thread(target=_talk, args=(line, stop), daemon=True)
            talking.start()
            began_s = time.monotonic()
            with begin(folder / name) as reader:
                while not reader.seen_s and time.monotonic() - began_s < HUNT_S_MAX:
                    time.sleep(0.005)
                if reader.seen_s:
                    took_ms[name].append((min(reader.seen_s.values()) - began_s) * 1000)
            stop.set()
            talking.join()
            line.close()
    for name, taken in took_ms.items():
        print_ms(f"{name}: wrong speed -> position, {len(taken)} of {hunts} in {HUNT_S_MAX:.0f} s", taken)


def _talk(line: Line, stop: threading.Event) -> None:
    number = 0
    while not stop.wait(1.0):
        line.write(burst(number, datetime.now(UTC))[1])
        number += 1


def burst(number: int, at: datetime) -> tuple[tuple[float, float], bytes]:
    """What a receiver says in one moment, and the place in it as (lat, lon) to 1e-5 degrees."""
    lat, lon = round(40.0 + number % 9973 * 0.0003, 5), round(-83.0 - number % 9967 * 0.0001, 5)
    told = Solution(
        lat=lat,
        lon=lon,
        clock=at,
        day=at.date(),
        speed_mps=6.43,
        heading_deg=87.4,
        satellites=len(SKY),
        pdop=1.6,
        hdop=0.9,
        vdop=1.32,
        sky=SKY,
    )
    return (lat, lon), b"".join(one for kind in SAYS for one in WRITERS[kind](told, Dialect()))


@contextmanager
def _ours(port: Path, *options: str) -> Iterator[Reader]:
    process = subprocess.Popen(
        [program("tandem-bridge"), "fixes", "--json", *options, str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    reader = Reader(process, process.stdout)
    try:
        yield reader
    finally:
        reader.stop()


@contextmanager
def _gpsd(port: Path) -> Iterator[Reader]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    process = subprocess.Popen([_gpsd_path(), "-N", "-n", "-S", str(number), str(port)], stderr=subprocess.DEVNULL)
    listening = _connected(number)
    listening.sendall(b'?WATCH={"enable":true,"json":true};\n')
    with listening, listening.makefile("rb") as source:
        reader = Reader(process, source)
        try:
            yield reader
        finally:
            reader.stop()


def _gpsd_path() -> str:
    return subprocess.run([DEBIAN_TOOLS, "gpsd"], check=True, capture_output=True, text=True).stdout.strip()


def _connected(port: int) -> socket.socket:
    deadline_s = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)


def set_speed(descriptor: int, speed: int) -> None:
    """What a serial port is set to."""
    attributes = termios.tcgetattr(descriptor)
    attributes[4] = attributes[5] = speed
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)


if __name__ == "__main__":
    cli()
