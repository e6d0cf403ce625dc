"""Any bytes at all into the receiver's reader: fixes that a sentence stands by, or nothing, or a counted rejection.

Run by `make fuzz`, coverage-guided, for as long as libFuzzer's options say. An input that breaks a promise is written to
a file and ends the run; it then belongs into `tests/captures/own/` or among the examples of the package tests.
"""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["firmware_bridge", "wire.fix"]):
    from firmware_bridge.find import judged
    from firmware_bridge.framing import LINE_BYTES_MAX, Framer
    from firmware_bridge.hold import Hold
    from firmware_bridge.nmea import Position, Rejected, said
    from firmware_bridge.reader import Reader
    from wire.fix import Fix, FixQuality


ROOT = Path(__file__).resolve().parents[1]
OWN = ROOT / "tests" / "captures" / "own"
CORPUS = ROOT / "var" / "fuzz" / "receiver"
SEED_BYTES_MAX = 1500


def one_input(data: bytes) -> None:
    """All of the reader's promises, tried on `data`; its first byte chooses whether estimates are asked for."""
    estimates, stream = bool(data[:1] and data[0] & 1), checksummed(data[1:])
    whole = Reader(estimates=estimates)
    fixes = whole.feed(stream) + whole.finish()
    _promises(fixes, stream, estimates)
    assert (fixes, whole.counts) == _in_pieces(stream, estimates), "how the bytes were cut made a difference"
    assert set(whole.counts.rejected) <= REASONS, whole.counts.rejected
    judged(stream)
    _held(fixes)


REASONS = {
    "accuracy", "checksum", "coordinate", "cut", "date", "dimensions", "hdop", "heading", "hemisphere", "no_checksum",
    "null_island", "quality", "satellites", "speed", "time", "too_long",
}  # fmt: skip


def checksummed(data: bytes) -> bytes:
    """`data` with a right checksum wherever it says `*!!`: chance alone would hardly ever get past the first check."""
    pieces = data.split(b"*!!")
    done = b""
    for piece, _ in pairwise(pieces):
        begin = piece.rfind(b"$") + 1
        folded = 0
        for byte in piece[begin:]:
            folded ^= byte
        done += piece + b"*%02X" % folded
    return done + pieces[-1]


def _promises(fixes: list[Fix], stream: bytes, estimates: bool) -> None:
    stood_by = set()
    for sentence in Framer().feed(stream):
        try:
            told = said(sentence, estimates=estimates)
        except Rejected:
            continue
        if isinstance(told, Position):
            stood_by.add((told.lat, told.lon))
    for fix in fixes:
        assert (fix.lat, fix.lon) in stood_by, "a place that no sentence stands by"
        assert (fix.lat, fix.lon) != (0, 0), "the sea off Ghana"
        assert estimates or fix.quality != FixQuality.ESTIMATED, "an estimate that nobody asked for"


def _in_pieces(stream: bytes, estimates: bool) -> tuple[list[Fix], object]:
    reader, fixes = Reader(estimates=estimates), []
    size = 1 + len(stream) % 67
    for start in range(0, len(stream), size):
        fixes += reader.feed(stream[start : start + size])
        assert len(reader._framer._held) <= LINE_BYTES_MAX, "more than one sentence is kept"
    return fixes + reader.finish(), reader.counts


def _held(fixes: list[Fix]) -> None:
    hold, places = Hold(), set()
    for second, fix in enumerate(fixes):
        places.add((fix.lat, fix.lon))
        told = hold.take(fix, float(second))
        assert (told.lat, told.lon) in places, "a held place that was no fix"
        assert told.is_held or told == fix, "changed and not said to be held"


def _seed(corpus: Path) -> None:
    """Begin with our own captures, their checksums to be made anew."""
    corpus.mkdir(parents=True, exist_ok=True)
    for capture in OWN.glob("*.nmea"):
        seed = re.sub(rb"\*[0-9A-Fa-f]{2}", b"*!!", capture.read_bytes()[:SEED_BYTES_MAX])
        for chooses in (0, 1):
            (corpus / f"{capture.stem}-{chooses}").write_bytes(bytes([chooses]) + seed)


if __name__ == "__main__":
    _seed(CORPUS)
    atheris.Setup([*sys.argv, str(CORPUS)], one_input)
    atheris.Fuzz()
