"""A capture offered as a pseudo-terminal, so that what reads a receiver can be tried without one.

The pace is the receiver's own: what it said in one moment is written at once, and the next moment when it is due.
"""

from __future__ import annotations

import os
import select
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from threading import Event

from msgspec import Struct

from firmware_bridge.nmea import Accuracy, Geometry, Motion, Rejected, said

BYTES_PER_S = 960  # 9600 baud, the pace of a capture that says no time
MOMENT_S_DEFAULT = 1.0  # between moments whose times do not follow each other: midnight, a cut, the start of a loop
MOMENT_S_MAX = 10.0  # nobody waits for a gap in a capture
DAY_MS = 24 * 3600 * 1000
PIECE_BYTES = 96  # a tenth of a second of a capture that says no time
ROOM_S_MAX = 1.0  # a reader this far behind loses bytes, as it would from a receiver
SETTLE_S = 0.3  # pyserial empties the line right after it has opened it
DRAIN_S = 1.0  # for the reader to take the last bytes before the line goes away
POLL_S = 0.05


class Moment(Struct, frozen=True, kw_only=True):
    """Bytes that a receiver sent in one go, and how long after the ones before."""

    after_s: float
    data: bytes


def moments(capture: bytes) -> list[Moment]:
    """All of `capture` in order, cut where the receiver's time moves on; by the baud rate where it says no time."""
    groups: list[tuple[int | None, bytearray]] = [(None, bytearray())]
    for line in capture.splitlines(keepends=True):
        time_ms = _time_ms(line)
        if time_ms is not None and groups[-1][0] not in (None, time_ms):
            groups.append((time_ms, bytearray()))
        elif time_ms is not None:
            groups[-1] = (time_ms, groups[-1][1])
        groups[-1][1].extend(line)
    if groups[0][0] is None:
        return [
            Moment(after_s=PIECE_BYTES / BYTES_PER_S, data=capture[start : start + PIECE_BYTES])
            for start in range(0, len(capture), PIECE_BYTES)
        ]
    times = [time_ms for time_ms, _ in groups]
    gaps_s = [MOMENT_S_DEFAULT, *(_gap_s(before, after) for before, after in pairwise(times))]
    return [Moment(after_s=gap_s, data=bytes(data)) for gap_s, (_, data) in zip(gaps_s, groups, strict=True)]


def _time_ms(line: bytes) -> int | None:
    try:
        told = said(line.strip().decode("ascii", "replace"))
    except Rejected:
        return None
    return None if told is None or isinstance(told, Motion | Geometry | Accuracy) else told.time_ms


def _gap_s(before_ms: int | None, after_ms: int | None) -> float:
    assert before_ms is not None and after_ms is not None
    gap_s = (after_ms - before_ms) % DAY_MS / 1000
    return gap_s if gap_s <= MOMENT_S_MAX else MOMENT_S_DEFAULT


class PseudoTerminal:
    """The receiver's end of a pseudo-terminal; `path` is the end that is read."""

    def __init__(self) -> None:
        self._ours, theirs = os.openpty()
        tty.setraw(theirs)
        self.path = os.ttyname(theirs)
        os.close(theirs)  # so that the kernel can tell us whether anyone else has it open
        os.set_blocking(self._ours, False)

    def has_reader(self) -> bool:
        poll = select.poll()
        poll.register(self._ours, 0)
        return not any(event & select.POLLHUP for _, event in poll.poll(0))

    def write(self, data: bytes, stop: Event) -> int:
        """Write `data`, waiting up to ROOM_S_MAX for room; answers how many bytes were lost for want of it."""
        until_s = time.monotonic() + ROOM_S_MAX
        while data and time.monotonic() < until_s and not stop.is_set():
            _, room, _ = select.select([], [self._ours], [], POLL_S)
            if room:
                with suppress(BlockingIOError):
                    data = data[os.write(self._ours, data) :]
        return len(data)

    def offer(self, data: bytes) -> int:
        """Say `data` to whoever reads, and never wait; answers how many bytes a slow reader lost.

        With nobody there it is gone, as from a receiver: whoever opens the port later hears news, not history.
        """
        if not self.has_reader():
            return 0
        try:
            return len(data) - os.write(self._ours, data)
        except BlockingIOError:
            return len(data)

    def close(self) -> None:
        os.close(self._ours)


@contextmanager
def pseudo_terminal(link: Path | None = None) -> Iterator[PseudoTerminal]:
    """A pseudo-terminal for a while, by the name `link` too; a link of that name is replaced, a file is not."""
    terminal = PseudoTerminal()
    try:
        if link is not None:
            if link.is_symlink():
                link.unlink()
            link.symlink_to(terminal.path)
        yield terminal
    finally:
        terminal.close()
        if link is not None and link.is_symlink() and str(link.readlink()) == terminal.path:
            link.unlink()


def replay(
    capture: bytes,
    terminal: PseudoTerminal,
    stop: Event,
    *,
    speed: float = 1.0,
    is_loop: bool = False,
    on_reader: Callable[[], None] = lambda: None,
) -> int:
    """Wait for a reader, then say all of `capture` to it, `speed` times as fast; answers how many bytes were lost."""
    parts = moments(capture)
    while not terminal.has_reader():
        if stop.wait(POLL_S):
            return 0
    stop.wait(SETTLE_S)
    on_reader()
    lost_bytes = 0
    due_s = time.monotonic() - parts[0].after_s / speed if parts else 0.0
    while parts:
        for part in parts:
            due_s += part.after_s / speed
            if stop.wait(max(0.0, due_s - time.monotonic())):
                return lost_bytes
            lost_bytes += terminal.write(part.data, stop)
            due_s = max(due_s, time.monotonic() - ROOM_S_MAX)  # after a stall go on, do not catch up in a rush
        if not is_loop:
            break
    stop.wait(DRAIN_S)
    return lost_bytes
