"""`tandem-bridge watch`: a receiver's condition as a page that keeps up with it, or as one JSON object a second."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import click
import msgspec
from msgspec import Struct

from firmware_bridge import command_line, pins
from firmware_bridge.find import AUTO
from firmware_bridge.misuse import Misuse
from firmware_bridge.pins import PinsState
from firmware_bridge.pins_command import load
from firmware_bridge.port import Port, open_port
from firmware_bridge.readings import Condition
from firmware_bridge.serial_port import Receiver, ReceiverSettings
from firmware_bridge.watch import FIX, Picture, PlayedCapture, QuickTime, TappedPort, Watch, follow

JSON_S = 1.0
LOOK_S_MIN = 4.0  # until GSV, which some receivers send every third second, has been heard too
LOOK_S_MAX = 15.0
LOOK_STEP_S = 0.2


@click.command(name="watch", epilog=command_line.EXIT_CODES)
@click.argument("path", metavar="[PORT|FILE]", default=AUTO)
@command_line.BAUD
@command_line.JSON
@command_line.ESTIMATES
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The terminal's settings: its pins are looked at once, when it begins.",
)
@click.option(
    "--once", "is_once", is_flag=True, help="Look for a few seconds and show it once: exit 0 with a fix, else 1."
)
def watch_command(
    path: str, baud: int, is_json: bool, has_estimates: bool, settings_file: Path | None, is_once: bool
) -> None:
    """Show how a receiver is: fix, satellites, clock, sentences, and what is wrong.

    Without a PORT every port is listened to until one is a receiver's. One that is missing or taken is waited for, and
    found again after every unplugging. A capture FILE is played at its own pace, with --once all of it at once. With
    --json one object a second. Ctrl-C ends it.
    """
    if not (is_json or is_once or _is_screen()):
        raise Misuse("The live page needs a terminal. Add --json for a program, or --once for one look.")
    seen = None if settings_file is None else pins.look_at(load(settings_file), settings_file.parent)
    source = (
        _capture(path, is_once, has_estimates, seen) if _is_capture(path) else _port(path, baud, has_estimates, seen)
    )
    if not _showed(source, is_json, is_once):
        return  # Ctrl-C: a page that was left is not left behind
    picture = source.watch.picture()
    if is_json:
        click.echo(msgspec.json.encode(picture))
    else:
        _print(picture)
    if is_once and picture.condition != FIX:
        raise SystemExit(command_line.ENDED_EARLY)


class Source(Struct, frozen=True, kw_only=True):
    """What is watched, and by whom."""

    receiver: Receiver
    watch: Watch
    is_capture: bool


def _capture(path: str, is_once: bool, has_estimates: bool, seen: PinsState | None) -> Source:
    capture = command_line.whole_capture(path)
    quick = QuickTime()
    mono_s, wait = (quick.mono_s, quick.wait) if is_once else (time.monotonic, time.sleep)
    watch = Watch(path, 0, is_capture=True, pins=seen, mono_s=mono_s)
    opened = _tapped(lambda _port, _baud: PlayedCapture(capture, mono_s=mono_s, wait=wait), watch)
    settings = ReceiverSettings(port=path, estimates=has_estimates)
    return Source(receiver=Receiver(settings, open_port=opened, mono_s=mono_s), watch=watch, is_capture=True)


def _port(path: str, baud: int, has_estimates: bool, seen: PinsState | None) -> Source:
    watch = Watch(path, baud, pins=seen)
    settings = ReceiverSettings(port=path, baud=baud, estimates=has_estimates)
    return Source(receiver=Receiver(settings, open_port=_tapped(open_port, watch)), watch=watch, is_capture=False)


def _showed(source: Source, is_json: bool, is_once: bool) -> bool:
    """Whether it came to its end by itself: a look or a capture, not Ctrl-C."""
    stop = Event()
    with ThreadPoolExecutor(1, thread_name_prefix="receiver") as pool:
        following = pool.submit(follow, source.receiver, source.watch, stop, is_capture=source.is_capture)
        following.add_done_callback(lambda _: stop.set())
        try:
            if is_once:
                _look(source, stop)
            elif is_json:
                _print_each_second(source.watch, stop)
            else:
                _keep_up(source.watch, stop)
        except KeyboardInterrupt:
            return False
        finally:
            stop.set()
    following.result()  # a fault in there is ours to show
    return True


# rich takes a quarter of a second to import, which nobody shall wait for who plays or captures a receiver.


def _keep_up(watch: Watch, stop: Event) -> None:
    from firmware_bridge import glass

    glass.keep_up(watch.picture, stop)


def _print(picture: Picture) -> None:
    from firmware_bridge import glass

    glass.show(picture)


def _is_screen() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _is_capture(path: str) -> bool:
    """A port that is not there yet will come; a file will not."""
    is_missing_port = path.startswith("/dev/") and not Path(path).exists()
    return not is_missing_port and not command_line.is_port(path)


def _tapped(open_port: Callable[[str, int], Port], watch: Watch) -> Callable[[str, int], Port]:
    def opened(port: str, baud: int) -> Port:
        tapped = TappedPort(port, open_port(port, baud), watch)
        watch.open(port, baud)
        return tapped

    return opened


def _look(source: Source, stop: Event) -> None:
    """Until there is something to show, or no hope of it; a capture until its end."""
    began_s = time.monotonic()
    while not stop.wait(LOOK_STEP_S):
        picture, looked_s = source.watch.picture(), time.monotonic() - began_s
        if not source.is_capture and _is_enough(picture.condition, looked_s):
            return


def _is_enough(condition: str, looked_s: float) -> bool:
    if condition == FIX:
        return looked_s >= LOOK_S_MIN
    return condition == Condition.LOST.value or looked_s >= LOOK_S_MAX


def _print_each_second(watch: Watch, stop: Event) -> None:
    while not stop.wait(JSON_S):
        click.echo(msgspec.json.encode(watch.picture()))
