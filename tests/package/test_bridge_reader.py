"""The whole way from bytes to fixes, by properties: chunks, garbage and cuts."""

from __future__ import annotations

import random

import pynmea2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.find import SPEEDS
from firmware_bridge.framing import LINE_BYTES_MAX, Framer
from firmware_bridge.reader import Reader
from wire.fix import Fix


def checksummed(body: str) -> bytes:
    return f"${body}*{pynmea2.NMEASentence.checksum(body):02X}\r\n".encode()


def rmc(second: int) -> bytes:
    return checksummed(f"GPRMC,1200{second % 60:02}.00,A,3957.67{second % 60:02},N,08259.9280,W,12.5,87.4,140326,,,A")


def gga(second: int) -> bytes:
    return checksummed(
        f"GPGGA,1200{second % 60:02}.00,3957.67{second % 60:02},N,08259.9280,W,1,08,1.1,230.0,M,-33.0,M,,"
    )


GOOD = st.builds(lambda make, second: make(second), st.sampled_from([rmc, gga]), st.integers(0, 59))
CUT = st.builds(lambda whole, end: whole[:end], GOOD, st.integers(0, 60))
STREAM = st.lists(st.one_of(GOOD, CUT, st.binary(max_size=40), st.sampled_from([b"$", b"*", b"\r\n", b"$GPRMC,"])))


def all_of(stream: bytes) -> tuple[list[Fix], object]:
    reader = Reader()
    return reader.feed(stream) + reader.finish(), reader.counts


@given(STREAM, st.lists(st.integers(1, 90), min_size=1))
@settings(deadline=None)
def test_how_the_bytes_are_cut_into_chunks_makes_no_difference(pieces: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(pieces)
    reader, fixes, start, turn = Reader(), [], 0, 0
    while start < len(stream):
        end = start + sizes[turn % len(sizes)]
        fixes += reader.feed(stream[start:end])
        start, turn = end, turn + 1
    fixes += reader.finish()
    assert (fixes, reader.counts) == all_of(stream)


@given(st.binary(max_size=4000))
@settings(deadline=None)
def test_any_bytes_are_survived_and_nothing_is_made_of_them(noise: bytes) -> None:
    fixes, _ = all_of(noise)
    assert fixes == []


@given(st.binary(max_size=256))
@settings(deadline=None)
def test_a_good_sentence_after_any_garbage_is_read(garbage: bytes) -> None:
    assert Framer().feed(garbage + rmc(1))[-1].encode() + b"\r\n" == rmc(1)
    fixes, _ = all_of(garbage + rmc(1))
    assert len(fixes) == 1


@given(STREAM)
@settings(deadline=None)
def test_no_stream_gives_a_fix_that_no_sentence_in_it_stands_by(pieces: list[bytes]) -> None:
    fixes, _ = all_of(b"".join(pieces))
    assert all(39.9 < fix.lat < 40.0 and fix.lon == -82.9988 for fix in fixes)


@given(st.integers(0, 80), st.integers(0, 255))
@settings(deadline=None)
def test_one_flipped_byte_never_moves_a_fix(place: int, value: int) -> None:
    flipped = bytearray(rmc(1))
    flipped[place % len(flipped)] = value
    fixes, _ = all_of(bytes(flipped))
    assert fixes in ([], all_of(rmc(1))[0])


def test_every_sentence_is_counted_once() -> None:
    void = checksummed("GPRMC,120000.00,V,,,,,,,140326,,,N")
    wrong = rmc(1).replace(b"3957", b"3958")
    stream = (
        rmc(1)
        + gga(1)
        + void
        + wrong
        + checksummed("GPGSA,A,1,,,,,,,,,,,,,,,")
        + b"$GPRMC,1\r\n"
        + b"\x00\x01"
        + b"$GP"
    )
    _, counts = all_of(stream)
    assert (counts.accepted, counts.empty, counts.noise_bytes) == (2, 2, 2)
    assert counts.rejected == {"checksum": 1, "cut": 1, "no_checksum": 1}


ANY_SENTENCE = st.builds(
    lambda talker, kind, fields: checksummed(f"{talker}{kind}," + ",".join(fields)),
    st.sampled_from(["GP", "GN", "GL", "BD", "IN"]),
    st.sampled_from(["RMC", "GGA", "GSA", "GST", "VTG", "GLL", "GNS", "ZDA", "TXT"]),
    st.lists(
        st.one_of(
            st.sampled_from(
                ["", "A", "V", "E", "N", "S", "W", "T", "K", "M", "1", "2", "3", "6", "0", "99.9", "140326"]
            ),
            st.sampled_from(
                ["3957.6700", "08259.9280", "0000.0000", "00000.0000", "120000.00", "235960", "9999", "31"]
            ),
            st.text(st.characters(codec="ascii", min_codepoint=32, exclude_characters="$*,"), max_size=12),
        ),
        max_size=20,
    ),
)


@given(st.lists(st.one_of(ANY_SENTENCE, STREAM.map(b"".join), st.binary(max_size=300)), max_size=20), st.booleans())
@settings(deadline=None)
def test_every_byte_sequence_is_fixes_nothing_or_a_counted_rejection(pieces: list[bytes], estimates: bool) -> None:
    reader = Reader(estimates=estimates)
    fixes = [fix for piece in pieces for fix in reader.feed(piece)] + reader.finish()
    stream = b"".join(pieces)
    candidates = Framer().feed(stream)
    counts = reader.counts
    framed = counts.rejected.get("cut", 0) + counts.rejected.get("too_long", 0)
    assert counts.accepted + counts.empty + sum(counts.rejected.values()) - framed == len(candidates)
    assert len(fixes) <= counts.accepted
    assert estimates or all(fix.quality != "estimated" for fix in fixes)
    assert not any(fix.lat == fix.lon == 0 for fix in fixes)


@pytest.mark.parametrize("baud", SPEEDS)
def test_after_a_second_of_garbage_the_first_whole_sentence_is_read(baud: int) -> None:
    chance = random.Random(baud)
    for _ in range(5):
        reader = Reader()
        reader.feed(rmc(1) + gga(1))
        before = reader.right_sentences
        for _ in range(0, baud // 10, 512):
            reader.feed(chance.randbytes(512))
            assert len(reader._framer._held) <= LINE_BYTES_MAX
        noisy = reader.right_sentences
        reader.feed(rmc(2))
        assert (before, reader.right_sentences) == (2, noisy + 1)


def test_dead_reckoning_is_told_when_asked_for_and_marked() -> None:
    estimate = checksummed("GPRMC,120003.00,A,3957.6700,N,08259.9280,W,12.5,87.4,140326,,,E")
    guess = checksummed("GPGGA,120003.00,3957.6700,N,08259.9280,W,6,00,99.9,230.0,M,-33.0,M,,")
    assert all_of(estimate + guess)[0] == []
    asked = Reader(estimates=True)
    [fix] = asked.feed(estimate + guess) + asked.finish()
    assert (fix.quality, fix.satellites) == ("estimated", 0)
