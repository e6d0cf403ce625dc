"""Where positions come from: a receiver at a serial port, or a gpsd; and who else hears its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

from msgspec import Struct

from edge.settings import ReceiverSettings, Source, TimeSettings
from firmware_bridge import serial_port
from firmware_bridge.chrony import SockRefclock, fed
from firmware_bridge.gpsd import Gpsd
from firmware_bridge.reader import Counts
from firmware_bridge.readings import Reading

FOUND_FILE = "receiver.json"  # where the receiver was the last time; losing it costs some seconds of looking


class PositionSource(Struct, frozen=True, kw_only=True):
    """`readings` until its event is set; `counts` of its sentences or lines, None before it was opened."""

    readings: Callable[[Event], Iterator[Reading]]
    counts: Callable[[], Counts | None]


def source_of(receiver: ReceiverSettings, timing: TimeSettings, home: Path) -> PositionSource:
    """The source that `receiver` names, for the terminal in `home`; nothing is opened before it is read."""
    source = _gpsd(receiver) if receiver.source is Source.GPSD else _serial(receiver, home)
    if not timing.chrony_socket:
        return source
    clock = SockRefclock(Path(timing.chrony_socket))
    return PositionSource(readings=lambda stop: fed(source.readings(stop), clock), counts=source.counts)


def _gpsd(receiver: ReceiverSettings) -> PositionSource:
    daemon = Gpsd(receiver.gpsd_host, receiver.gpsd_port, estimates=receiver.estimates)
    return PositionSource(readings=daemon.readings, counts=daemon.counts)


def _serial(receiver: ReceiverSettings, home: Path) -> PositionSource:
    port = serial_port.Receiver(
        serial_port.ReceiverSettings(
            port=receiver.port,
            baud=receiver.speed,
            estimates=receiver.estimates,
            memory=home / FOUND_FILE,
        )
    )
    return PositionSource(readings=port.readings, counts=port.counts)
