"""Where the receiver is and how fast it speaks: found by listening, at pseudo-terminals that garble a wrong speed."""

from __future__ import annotations

import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import pynmea2
import pytest

from firmware_bridge.find import AUTO, REFUSED_S, SPEEDS, Finder, Verdict, candidates, judged
from firmware_bridge.framing import Framer
from firmware_bridge.port import Port, open_port
from firmware_bridge.readings import Condition, FixRead, PortState
from firmware_bridge.replay import PseudoTerminal
from firmware_bridge.serial_port import Receiver, ReceiverSettings

BAUD_OF = {getattr(termios, f"B{speed}"): speed for speed in SPEEDS}


def checksummed(body: str) -> bytes:
    return f"${body}*{pynmea2.NMEASentence.checksum(body):02X}\r\n".encode()


def rmc(second: int) -> bytes:
    return checksummed(f"GPRMC,1200{second % 60:02}.00,A,3957.6700,N,08259.9280,W,12.5,87.4,140326,,,A")


def burst(second: int) -> bytes:
    return rmc(second) + checksummed("GPGSA,A,3,01,02,03,04,,,,,,,,,1.9,1.1,1.5") * 3


def sounder(second: int) -> bytes:
    return checksummed(f"SDDBT,{second % 60}.1,f,4.3,M,2.3,F") * 4


def binary(second: int) -> bytes:
    return b"\xb5\x62\x01\x07\x5c\x00" + bytes(range(128, 250)) * 2


def nothing(second: int) -> bytes:
    return b""


class Device:
    """The far end of a cable: says something each tenth of a second, readable at its own speed only."""

    def __init__(self, says: Callable[[int], bytes], baud: int) -> None:
        self.terminal = PseudoTerminal()
        self.path = self.terminal.path
        self._says = says
        self._baud = baud
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def unplug(self) -> None:
        if not self._stop.is_set():
            self._stop.set()
            self._thread.join(5)
            self.terminal.close()

    def _run(self) -> None:
        second = 0
        while not self._stop.wait(0.1):
            second += 1
            with suppress(OSError):
                if self.terminal.has_reader():
                    speed = BAUD_OF.get(termios.tcgetattr(self.terminal._ours)[5])
                    said = self._says(second)
                    said = said if speed == self._baud else bytes((byte * 7 + 129) % 256 | 0x80 for byte in said)
                    self.terminal.write(said, self._stop)


@contextmanager
def device(says: Callable[[int], bytes] = burst, baud: int = 9600) -> Iterator[Device]:
    made = Device(says, baud)
    try:
        yield made
    finally:
        made.unplug()


def finder(*devices: Device, port: str = AUTO, baud: int = 0, memory: Path | None = None) -> Finder:
    return Finder(port, baud, open_port, memory=memory, candidates=lambda: [one.path for one in devices])


@pytest.mark.parametrize("baud", SPEEDS)
def test_every_usual_speed_is_found(baud: int) -> None:
    with device(baud=baud) as plugged:
        found = finder(plugged).find(threading.Event())
        assert found is not None
        assert (found.place.port, found.place.baud) == (plugged.path, baud)
        found.opened.close()


def test_what_was_heard_while_looking_is_not_lost() -> None:
    with device() as plugged:
        found = finder(plugged).find(threading.Event())
        assert found is not None
        assert any(sentence.startswith("$GPRMC") for sentence in Framer().feed(found.data))
        found.opened.close()


def test_another_device_is_passed_over_and_said() -> None:
    with device(sounder) as other, device(binary) as third, device(nothing) as mute:
        looker = finder(other, third, mute, baud=9600)  # one speed is one of nine as far as the words go
        assert looker.find(threading.Event()) is None
        reasons = looker.why.split("; ")
        assert reasons == [
            f"{other.path}: {Verdict.OTHER.value}",
            f"{third.path}: {Verdict.UNREADABLE.value}",
            f"{mute.path}: {Verdict.NOTHING.value}",
        ]


def test_a_receiver_behind_another_device_is_found_and_that_device_is_left_alone() -> None:
    with device(sounder) as other, device(baud=38400) as plugged:
        looker = finder(other, plugged)
        found = looker.find(threading.Event())
        assert found is not None and found.place.port == plugged.path
        found.opened.close()
        began_s = time.monotonic()
        again = looker.find(threading.Event())
        assert again is not None and time.monotonic() - began_s < 2.0
        again.opened.close()


def test_what_worked_is_tried_first_after_a_restart(tmp_path: Path) -> None:
    memory = tmp_path / "receiver.json"
    with device(sounder) as other, device(baud=115200) as plugged:
        found = finder(other, plugged, memory=memory).find(threading.Event())
        assert found is not None
        found.opened.close()
        tried: list[tuple[str, int]] = []

        def watched(port: str, baud: int) -> object:
            tried.append((port, baud))
            return open_port(port, baud)

        looker = Finder(AUTO, 0, watched, memory=memory, candidates=lambda: [other.path, plugged.path])
        again = looker.find(threading.Event())
        assert again is not None
        again.opened.close()
        assert tried == [(plugged.path, 115200)]


def test_what_is_no_receiver_is_left_alone_for_a_minute_or_until_it_is_plugged_in_anew() -> None:
    now_s, tried = 100.0, 0

    def counted(port: str, baud: int) -> Port:
        nonlocal tried
        tried += 1
        return open_port(port, baud)

    def clock() -> float:
        return now_s + time.monotonic()

    with device(sounder) as other:
        looker = Finder(AUTO, 9600, counted, candidates=lambda: [other.path], mono_s=clock)
        assert looker.find(threading.Event()) is looker.find(threading.Event()) is None
        assert tried == 1 and Verdict.OTHER.value in looker.why
        now_s += REFUSED_S + 1
        assert looker.find(threading.Event()) is None
        assert tried == 2
    named = Finder(other.path, 0, open_port)  # whoever names a port is never told to wait
    assert named.find(threading.Event()) is None and "no such port" in named.why


@pytest.mark.parametrize("wrong", [b"", b"{", b'{"port": 1, "baud": 2}', b"\xff\xfe"])
def test_a_memory_that_is_spoiled_is_no_memory(tmp_path: Path, wrong: bytes) -> None:
    memory = tmp_path / "receiver.json"
    memory.write_bytes(wrong)
    with device() as plugged:
        found = finder(plugged, memory=memory).find(threading.Event())
        assert found is not None
        found.opened.close()


def test_a_port_that_is_taken_or_missing_is_said_in_a_persons_words(tmp_path: Path) -> None:
    with device() as plugged:
        held = open_port(plugged.path, 9600)
        looker = finder(plugged)
        assert looker.find(threading.Event()) is None
        assert looker.why == f"{plugged.path}: another program is reading it; stop that one first"
        held.close()
    missing = finder(port=str(tmp_path / "gone"))
    assert missing.find(threading.Event()) is None
    assert "there is no such port" in missing.why
    nowhere = finder()
    assert nowhere.find(threading.Event()) is None
    assert nowhere.why == "there is no serial port; is the receiver plugged in?"


def test_looking_ends_when_the_terminal_ends() -> None:
    with device(binary) as other:
        stop = threading.Event()
        looking = threading.Thread(target=lambda: finder(other).find(stop))
        looking.start()
        stop.set()
        looking.join(5)
        assert not looking.is_alive()


def test_candidates_are_lasting_names_first_and_each_device_once(tmp_path: Path) -> None:
    (tmp_path / "serial" / "by-id").mkdir(parents=True)
    for name in ("ttyUSB0", "ttyACM0", "ttyAMA0", "ttyS0", "tty1"):
        (tmp_path / name).touch()
    (tmp_path / "serial" / "by-id" / "usb-u-blox").symlink_to(tmp_path / "ttyACM0")
    (tmp_path / "serial" / "by-id" / "usb-gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "serial0").symlink_to(tmp_path / "ttyS0")
    names = [str(Path(path).relative_to(tmp_path)) for path in candidates(tmp_path)]
    assert names == ["serial/by-id/usb-u-blox", "ttyUSB0", "ttyAMA0", "serial0"]
    assert candidates(tmp_path / "nothing") == []


def test_one_right_sentence_of_a_receiver_is_enough_and_a_wrong_one_is_not() -> None:
    assert judged(b"") is Verdict.NOTHING
    assert judged(b"\xff" * 10 + rmc(1)) is Verdict.RECEIVER
    assert judged(rmc(1).replace(b"3957", b"3958")) is Verdict.UNREADABLE
    assert judged(sounder(1)) is Verdict.OTHER
    assert judged(checksummed("GPRMC,120000.00,V,,,,,,,,,,N")) is Verdict.RECEIVER


def test_a_receiver_that_is_plugged_in_elsewhere_is_read_again_at_once() -> None:
    plugged: list[Device] = []
    receiver = Receiver(ReceiverSettings(port=AUTO, baud=0), candidates=lambda: [one.path for one in plugged])
    stop = threading.Event()
    readings = receiver.readings(stop)
    try:
        plugged.append(Device(sounder, 9600))  # the port beside it: never a receiver
        plugged.append(Device(burst, 57600))
        opened, *fixes = islice(readings, 3)
        assert isinstance(opened, PortState)
        assert (opened.condition, opened.port, opened.baud) == (Condition.OPENED, plugged[1].path, 57600)
        assert all(isinstance(read, FixRead) for read in fixes)

        plugged.pop().unplug()
        lost = next(reading for reading in readings if isinstance(reading, PortState))
        assert lost.condition is Condition.LOST

        plugged.append(Device(burst, 57600))
        came_s = time.monotonic()
        again = next(reading for reading in readings if isinstance(reading, FixRead))
        assert again.fix.lat == pytest.approx(39.9611667)
        print("seconds from the device's coming back to its first fix", round(time.monotonic() - came_s, 2))
    finally:
        stop.set()
        list(readings)
        for one in plugged:
            one.unplug()


def test_a_receiver_whose_speed_was_changed_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.serial_port.LOOK_AGAIN_S", 0.5)
    with device(baud=9600) as plugged:
        stop = threading.Event()
        readings = Receiver(ReceiverSettings(port=plugged.path, baud=0)).readings(stop)
        assert [type(reading) for reading in islice(readings, 2)] == [PortState, FixRead]
        plugged._baud = 38400
        bauds = [reading.baud for reading in islice((one for one in readings if isinstance(one, PortState)), 2)]
        assert bauds == [9600, 38400]
        stop.set()
        list(readings)
