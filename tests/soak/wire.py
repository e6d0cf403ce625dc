"""A terminal behind a wire of its own: a network namespace and a veth pair, whose end can be pulled, worsened, mended.

Inside, `localhost` is the other end of the wire, where the broker (or whatever stands before it) must listen; a file in
/etc/netns says so. Needs root, `ip`, and for loss `nft`. Whatever is made is gone when the block ends.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.soak.ground import is_root
from tests.soak.report import NotRun

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
PATH = "/usr/sbin:/sbin"


class Wire:
    """Its name, and the address of our end."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.here, self.there = f"10.213.{number}.1", f"10.213.{number}.2"
        self._outside, self._inside = f"{name}o", f"{name}i"

    def command(self, *words: str) -> list[str]:
        """The same command, inside."""
        return ["ip", "netns", "exec", self.name, *words]

    def pull(self) -> None:
        """No packet goes either way, and nobody is told."""
        _sh("ip", "link", "set", self._outside, "down")

    def put_back(self) -> None:
        _sh("ip", "link", "set", self._outside, "up")

    def lose(self, percent: int) -> None:
        """That many of a hundred packets do not arrive, in either direction; 0 mends it."""
        self._sh("nft", "flush", "ruleset")
        if percent:
            self._sh("nft", "add", "table", "inet", "bad")
            # Both hooks drop on arrival or before leaving; a drop on the way out would be told to the sender at once.
            for hook in ("prerouting", "postrouting"):
                chain = "{ type filter hook " + hook + " priority 0; }"
                self._sh("nft", "add", "chain", "inet", "bad", hook, chain)
                rule = f"ip daddr {{ {self.here}, {self.there} }} numgen random mod 100 < {percent} drop".split()
                self._sh("nft", "add", "rule", "inet", "bad", hook, *rule)

    def narrow(self, kbit_per_s: int | None, queue_ms: int = 800) -> None:
        """The rate of the wire in each direction, with `queue_ms` of room before what does not fit is dropped."""
        for command, device in ((self._sh, self._inside), (_sh, self._outside)):
            command("tc", "qdisc", "del", "dev", device, "root", check=False)
            if kbit_per_s is not None:
                shape = f"tbf rate {kbit_per_s}kbit burst 2kb latency {queue_ms}ms".split()
                command("tc", "qdisc", "add", "dev", device, "root", *shape)

    def inside(self, act: Callable[[], T]) -> T:
        """What `act` returns; sockets it opens are on the inner side, where the touchscreen listens."""
        answer: list[T] = []
        wrong: list[Exception] = []

        def run() -> None:
            with Path(f"/run/netns/{self.name}").open() as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    wrong.append(OSError(ctypes.get_errno(), "setns"))
                    return
            try:
                answer.append(act())
            except Exception as failed:  # to whoever asked
                wrong.append(failed)

        # In a thread of its own, which ends there: the namespace is a thread's.
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if wrong:
            raise wrong[0]
        return answer[0]

    def _sh(self, *words: str, check: bool = True) -> None:
        _sh(*self.command(*words), check=check)


@contextmanager
def wires(count: int, *, with_loss: bool = False) -> Iterator[tuple[Wire, ...]]:
    """So many wires; NotRun when this machine cannot make them."""
    if not is_root():
        raise NotRun("needs root, for network namespaces")
    if missing := [program for program in ("ip", *(("nft", "tc") if with_loss else ())) if not _found(program)]:
        raise NotRun(f"needs {' and '.join(missing)}: `sudo apt-get install --no-install-recommends iproute2 nftables`")
    first = os.getpid() % 200
    made = tuple(Wire(f"soak{os.getpid() % 100000}n{n}", (first + n) % 250) for n in range(count))
    try:
        for wire in made:
            _make(wire)
        yield made
    finally:
        for wire in made:
            _unmake(wire)


def _make(wire: Wire) -> None:
    folder = Path("/etc/netns") / wire.name
    folder.mkdir(parents=True)
    (folder / "hosts").write_text(f"{wire.here} localhost\n")
    try:
        _sh("ip", "netns", "add", wire.name)
    except subprocess.CalledProcessError:
        raise NotRun("this kernel gives no network namespaces") from None
    _sh("ip", "link", "add", wire._outside, "type", "veth", "peer", "name", wire._inside)
    _sh("ip", "link", "set", wire._inside, "netns", wire.name)
    _sh("ip", "addr", "add", f"{wire.here}/30", "dev", wire._outside)
    _sh("ip", "link", "set", wire._outside, "up")
    wire._sh("ip", "addr", "add", f"{wire.there}/30", "dev", wire._inside)
    wire._sh("ip", "link", "set", wire._inside, "up")
    wire._sh("ip", "link", "set", "lo", "up")


def _unmake(wire: Wire) -> None:
    _sh("ip", "link", "del", wire._outside, check=False)
    _sh("ip", "netns", "del", wire.name, check=False)
    shutil.rmtree(Path("/etc/netns") / wire.name, ignore_errors=True)


def _found(program: str) -> bool:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{PATH}") is not None


def _sh(*words: str, check: bool = True) -> None:
    path = f"{os.environ.get('PATH', '')}:{PATH}"
    subprocess.run(words, check=check, capture_output=True, env={**os.environ, "PATH": path})
