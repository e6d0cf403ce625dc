"""A link of its own for a process: a network namespace and a virtual cable to this machine, counted and made worse.

Needs root. What went over the cable is counted by the kernel, so TCP's and IP's headers and acknowledgements are in; the
14 bytes of Ethernet are taken off, because a cellular link has none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from msgspec import Struct

ETHERNET_BYTES = 14
HOSTS = Path("/etc/netns")  # `ip netns exec` shows a process its own /etc/hosts from here


class Carried(Struct, frozen=True, kw_only=True):
    """Bytes and packets of IP, as the side in the namespace sees them."""

    up_bytes: int
    down_bytes: int
    up_packets: int
    down_packets: int

    def since(self, before: Carried) -> Carried:
        """What was carried after `before`."""
        return Carried(
            up_bytes=self.up_bytes - before.up_bytes,
            down_bytes=self.down_bytes - before.down_bytes,
            up_packets=self.up_packets - before.up_packets,
            down_packets=self.down_packets - before.down_packets,
        )

    @property
    def both_bytes(self) -> int:
        """Up and down."""
        return self.up_bytes + self.down_bytes


class Space(Struct, frozen=True, kw_only=True):
    """One namespace. `outer` is this machine's end of its cable."""

    name: str
    outer: str

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` in it; for it "localhost" is this machine."""
        return ["ip", "netns", "exec", self.name, *argv]

    def slow(self, rate_kbit: int) -> None:
        """Bound both directions, with a queue of 800 ms."""
        rule = ("root", "tbf", "rate", f"{rate_kbit}kbit", "burst", "2kb", "latency", "800ms")
        _run("ip", "netns", "exec", self.name, "tc", "qdisc", "add", "dev", "eth0", *rule)
        _run("tc", "qdisc", "add", "dev", self.outer, *rule)

    def lose(self, in_percent: int, out_percent: int) -> None:
        """Lose that many of a hundred packets on their way in, and so many on their way out."""
        text = (
            "flush ruleset\nadd table inet f\n"
            "add chain inet f i { type filter hook input priority 0; }\n"
            "add chain inet f o { type filter hook output priority 0; }\n"
            "add rule inet f i iifname eth0 numgen random mod 100 < %d drop\n"
            "add rule inet f o oifname eth0 numgen random mod 100 < %d drop\n"
        )
        _run("ip", "netns", "exec", self.name, "nft", text % (in_percent, out_percent))

    def heal(self) -> None:
        """Lose nothing more."""
        _run("ip", "netns", "exec", self.name, "nft", "flush ruleset")

    def carried(self) -> Carried:
        """What has gone over the cable so far."""
        return carried(self.outer)


def carried(outer: str) -> Carried:
    """What has gone over the cable whose end on this machine is `outer`."""
    folder = Path("/sys/class/net") / outer / "statistics"
    rx, tx, rx_packets, tx_packets = (
        int((folder / name).read_text()) for name in ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets")
    )
    return Carried(
        up_bytes=rx - ETHERNET_BYTES * rx_packets,
        down_bytes=tx - ETHERNET_BYTES * tx_packets,
        up_packets=rx_packets,
        down_packets=tx_packets,
    )


@contextmanager
def spaces(count: int, first: int = 0) -> Iterator[tuple[Space, ...]]:
    """So many, numbered from `first`, gone afterwards."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise click.UsageError("This needs root and `ip`: every peer gets a network namespace of its own.")
    made: list[Space] = []
    try:
        for number in range(first, first + count):
            made.append(_made(number))
        yield tuple(made)
    finally:
        for space in made:
            subprocess.run(["ip", "link", "delete", space.outer], check=False)  # a namespace takes its time to go
            subprocess.run(["ip", "netns", "delete", space.name], check=False)
            shutil.rmtree(HOSTS / space.name, ignore_errors=True)


def _made(number: int) -> Space:
    space = Space(name=f"tandem-{os.getpid()}-{number}", outer=f"td{os.getpid() % 100_000}-{number}")
    net = f"10.{128 + os.getpid() // 64 % 64}.{os.getpid() % 64 * 4 + number // 64 % 4}"
    ours, theirs = f"{net}.{number % 64 * 4 + 1}", f"{net}.{number % 64 * 4 + 2}"
    _run("ip", "netns", "add", space.name)
    _run("ip", "link", "add", space.outer, "type", "veth", "peer", "name", "eth0", "netns", space.name)
    for inside in (
        ("ip", "address", "add", f"{theirs}/30", "dev", "eth0"),
        ("ip", "link", "set", "lo", "up"),
        ("ip", "link", "set", "eth0", "up"),
        # segments as a radio would carry them, not one bundle of many that the kernel would count as one packet
        ("ip", "link", "set", "eth0", "gso_max_segs", "1"),
        ("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"),  # its neighbor discovery is nobody's traffic
    ):
        _run(*space.inside(inside))
    _run("ip", "address", "add", f"{ours}/30", "dev", space.outer)
    _run("ip", "link", "set", space.outer, "gso_max_segs", "1")
    _run("sysctl", "-qw", f"net.ipv6.conf.{space.outer}.disable_ipv6=1")
    _run("ip", "link", "set", space.outer, "up")
    (HOSTS / space.name).mkdir(parents=True, exist_ok=True)
    (HOSTS / space.name / "hosts").write_text(f"{ours} localhost\n")
    return space


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)
