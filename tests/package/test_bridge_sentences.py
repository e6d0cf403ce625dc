"""Framing and judgement: what becomes a candidate, and what a candidate says."""

from __future__ import annotations

from datetime import date

import pynmea2
import pytest

from firmware_bridge.framing import LINE_BYTES_MAX, Dropped, Framer
from firmware_bridge.nmea import Accuracy, Day, Geometry, Motion, NoPosition, Position, Rejected, said
from wire.fix import FixQuality


def checksummed(body: str) -> str:
    return f"${body}*{pynmea2.NMEASentence.checksum(body):02X}"


def rmc(**fields: str) -> str:
    usual = {
        "time": "120000.00",
        "status": "A",
        "lat": "3957.6700",
        "ns": "N",
        "lon": "08259.9280",
        "ew": "W",
        "speed": "12.5",
        "course": "87.4",
        "day": "140326",
        "variation": "",
        "variation_ew": "",
        "mode": "A",
    }
    return checksummed("GPRMC," + ",".join((usual | fields).values()))


def gga(**fields: str) -> str:
    usual = {
        "time": "120000.00",
        "lat": "3957.6700",
        "ns": "N",
        "lon": "08259.9280",
        "ew": "W",
        "quality": "1",
        "satellites": "08",
        "hdop": "1.1",
        "altitude": "230.0,M,-33.0,M,,",
    }
    return checksummed("GPGGA," + ",".join((usual | fields).values()))


def reason(sentence: str) -> str:
    with pytest.raises(Rejected) as rejected:
        said(sentence)
    return rejected.value.reason


def test_a_sentence_is_whole_with_its_checksum_and_needs_no_end_of_line() -> None:
    assert Framer().feed(rmc().encode()) == [rmc()]


def test_a_new_dollar_ends_a_sentence_that_was_cut() -> None:
    framer = Framer()
    assert framer.feed(rmc().encode()[:30] + gga().encode()) == [gga()]
    assert framer.dropped == Dropped(cut=1)


def test_noise_inside_a_sentence_costs_that_sentence_only() -> None:
    framer = Framer()
    assert framer.feed(rmc().encode()[:30] + b"\x80\x00" + rmc().encode()) == [rmc()]
    assert framer.dropped.cut == 1


def test_a_line_that_never_ends_is_dropped_at_the_bound_and_held_no_longer() -> None:
    framer = Framer()
    assert framer.feed(b"$" + b"A" * 100_000) == []
    assert framer.dropped.too_long == 1
    assert len(framer._held) <= LINE_BYTES_MAX
    assert framer.feed(rmc().encode()) == [rmc()]


def test_the_longest_sentence_is_read_and_one_byte_more_is_not() -> None:
    body = "GPTXT," + "A" * (LINE_BYTES_MAX - len("$GPTXT,*HH"))
    framer = Framer()
    assert framer.feed(checksummed(body).encode()) == [checksummed(body)]
    assert framer.feed(checksummed(body + "A").encode()) == []
    assert framer.dropped.too_long == 1


def test_binary_dollars_are_noise_not_sentences() -> None:
    framer = Framer()
    assert framer.feed(b"$\x00\x01$$\xff$ 1,2\r\n") == []
    framer.finish()
    assert framer.dropped.cut == framer.dropped.too_long == 0


def test_rmc_says_where_when_and_how_fast() -> None:
    told = said(rmc(time="120000.25"))
    assert isinstance(told, Position)
    assert (told.kind, told.time_ms, told.day) == ("RMC", 43_200_250, date(2026, 3, 14))
    assert (told.lat, told.lon) == pytest.approx((39.9611667, -82.9988))
    assert (told.speed_mps, told.heading_deg) == pytest.approx((6.430556, 87.4))


def test_gga_says_where_and_how_well() -> None:
    told = said(gga(ns="S", ew="E"))
    assert isinstance(told, Position)
    assert (told.lat, told.lon) == pytest.approx((-39.9611667, 82.9988))
    assert (told.hdop, told.satellites, told.day, told.speed_mps) == (1.1, 8, None, None)


def test_vtg_says_how_fast_and_zda_which_day() -> None:
    vtg = said(checksummed("GPVTG,360.0,T,,M,,N,36.0,K,A"))
    assert vtg == Motion(speed_mps=10.0, heading_deg=0.0)
    assert said(checksummed("GPZDA,000001.00,14,03,2026,00,00")) == Day(time_ms=1000, day=date(2026, 3, 14))


@pytest.mark.parametrize("ns, ew", [("", "W"), ("N", ""), ("", ""), ("E", "N"), ("n", "w"), ("NN", "W")])
def test_a_sentence_without_a_hemisphere_is_rejected(ns: str, ew: str) -> None:
    assert reason(rmc(ns=ns, ew=ew)) == reason(gga(ns=ns, ew=ew)) == "hemisphere"


@pytest.mark.parametrize(
    "lat", ["3957", "3957.", "57.67", "3960.0000", "9000.0001", "-3957.6700", "39 57.67", "3957.67x"]
)
def test_a_coordinate_that_is_cut_short_or_off_the_globe_is_rejected(lat: str) -> None:
    assert reason(rmc(lat=lat)) == "coordinate"


def test_half_a_position_is_rejected_and_an_empty_one_is_none() -> None:
    assert reason(gga(lon="", ew="")) == "coordinate"
    assert said(gga(lat="", ns="", lon="", ew="")) == NoPosition(kind="GGA", time_ms=43_200_000)


def test_zero_zero_is_rejected_even_when_the_receiver_stands_by_it() -> None:
    assert reason(rmc(lat="0000.0000", lon="00000.0000", ew="E")) == "null_island"


@pytest.mark.parametrize("mode", ["N", "E", "M", "S", "?"])
def test_a_mode_the_receiver_does_not_stand_by_is_no_position(mode: str) -> None:
    assert isinstance(said(rmc(mode=mode)), NoPosition)
    assert isinstance(said(checksummed(f"GPGLL,3957.6700,N,08259.9280,W,120000.00,A,{mode}")), NoPosition)


def test_void_is_no_position_whatever_else_it_says() -> None:
    assert isinstance(said(rmc(status="V")), NoPosition)
    assert isinstance(said(rmc(status="")), NoPosition)


@pytest.mark.parametrize("quality", ["", "0", "6", "7", "8"])
def test_a_quality_that_is_none_or_a_guess_is_no_position(quality: str) -> None:
    assert isinstance(said(gga(quality=quality)), NoPosition)


def test_one_constellation_that_sees_is_enough_for_gns() -> None:
    body = "GNGNS,120000.00,3957.6700,N,08259.9280,W,{},09,0.9,230.0,-33.0,,"
    assert isinstance(said(checksummed(body.format("NA"))), Position)
    assert isinstance(said(checksummed(body.format("NN"))), NoPosition)


def test_a_leap_second_is_a_time_and_the_next_one_is_not() -> None:
    told = said(rmc(time="235960.00"))
    assert isinstance(told, Position) and told.time_ms == 86_400_000
    assert reason(rmc(time="235961.00")) == "time"


@pytest.mark.parametrize("time", ["240000.00", "126000.00", "1200", "12000x", "-20000"])
def test_a_time_that_is_none_is_rejected(time: str) -> None:
    assert reason(rmc(time=time)) == "time"


@pytest.mark.parametrize("speed", ["x", "nan", "inf", "1e3", "-1", "1_0", "999.9", "0x1"])
def test_a_speed_that_is_no_vehicles_is_rejected(speed: str) -> None:
    assert reason(rmc(speed=speed)) == "speed"


@pytest.mark.parametrize("course", ["360.1", "-1", "nan", "N"])
def test_a_heading_off_the_compass_is_rejected(course: str) -> None:
    assert reason(rmc(course=course)) == "heading"


@pytest.mark.parametrize("day", ["", "000000", "2208-1", "310226", "14032026"])
def test_a_position_stands_without_a_readable_date(day: str) -> None:
    told = said(rmc(day=day))
    assert isinstance(told, Position) and told.day is None


def test_a_checksum_is_required_and_must_be_right() -> None:
    body = rmc()[1:-3]
    assert reason(f"${body}") == "no_checksum"
    assert reason(f"${body}*") == reason(f"${body}*1") == reason(f"${body}*00") == "checksum"
    assert said(rmc().replace(rmc()[-2:], rmc()[-2:].lower())) == said(rmc())


@pytest.mark.parametrize("body", ["GPGSV,1,1,01,01,40,083,46", "PGRMC,A,1", "GPRMC", "CCGPQ,GGA", "X", "PUBX,00,1"])
def test_sentences_that_carry_no_position_are_neither_used_nor_wrong(body: str) -> None:
    assert said(checksummed(body)) is None


def test_every_length_of_sentence_has_its_checksum() -> None:
    for length in range(LINE_BYTES_MAX - len("$GPTXT,*HH") + 1):
        assert said(checksummed("GPTXT," + ("Ab,9!" * 50)[:length])) is None
    assert reason(checksummed("GPTXT," + "A" * LINE_BYTES_MAX)) == "too_long"


@pytest.mark.parametrize(
    "mode, quality",
    [("", None), ("A", "autonomous"), ("P", "autonomous"), ("D", "differential"), ("F", "rtk"), ("R", "rtk")],
)
def test_a_letter_says_on_what_a_position_rests(mode: str, quality: str | None) -> None:
    told = said(rmc(mode=mode))
    assert isinstance(told, Position) and told.quality == quality


@pytest.mark.parametrize(
    "digit, quality",
    [
        ("1", "autonomous"),
        ("2", "differential"),
        ("3", "autonomous"),
        ("4", "rtk"),
        ("5", "rtk"),
        ("9", "differential"),
    ],
)
def test_a_digit_says_on_what_a_position_rests(digit: str, quality: str) -> None:
    told = said(gga(quality=digit))
    assert isinstance(told, Position) and told.quality == quality
    assert reason(gga(quality="A")) == "quality"


def test_an_estimate_is_a_position_only_when_asked_for_and_then_says_so() -> None:
    gns = checksummed("GNGNS,120000.00,3957.6700,N,08259.9280,W,EN,09,0.9,230.0,-33.0,,")
    gll = checksummed("GPGLL,3957.6700,N,08259.9280,W,120000.00,A,E")
    for sentence in (rmc(mode="E"), gga(quality="6"), gns, gll):
        assert isinstance(said(sentence), NoPosition)
        asked = said(sentence, estimates=True)
        assert isinstance(asked, Position) and asked.quality is FixQuality.ESTIMATED
    vtg = checksummed("GPVTG,360.0,T,,M,,N,36.0,K,E")
    assert said(vtg) is None
    assert said(vtg, estimates=True) == Motion(speed_mps=10.0, heading_deg=0.0)


@pytest.mark.parametrize("mode", ["M", "S", "N", "?"])
def test_what_a_simulator_or_a_hand_made_up_is_no_position_even_when_estimates_are_asked_for(mode: str) -> None:
    assert isinstance(said(rmc(mode=mode), estimates=True), NoPosition)
    assert isinstance(said(gga(quality="8"), estimates=True), NoPosition)
    assert isinstance(said(rmc(status="V", mode="E"), estimates=True), NoPosition)  # an estimate gone stale


def test_the_best_constellation_says_on_what_a_gns_position_rests() -> None:
    told = said(checksummed("GNGNS,120000.00,3957.6700,N,08259.9280,W,ADEN,09,0.9,230.0,-33.0,,"))
    assert isinstance(told, Position) and told.quality is FixQuality.DIFFERENTIAL


def test_gsa_says_in_how_many_dimensions_and_gst_how_far_off() -> None:
    assert said(checksummed("GPGSA,A,3,30,28,09,11,17,,,,,,,,8.2,5.1,6.4")) == Geometry(dimensions=3, hdop=5.1)
    assert said(checksummed("GNGSA,A,2,30,28,09,,,,,,,,,,8.2,5.1,6.4,1")) == Geometry(dimensions=2, hdop=5.1)
    assert said(checksummed("GPGSA,A,1,,,,,,,,,,,,,,,")) == Geometry(dimensions=None, hdop=None)
    assert reason(checksummed("GPGSA,A,4,,,,,,,,,,,,,,,")) == "dimensions"
    assert said(checksummed("GNGST,120000.00,46,,,,3.0,4.0,5.3")) == Accuracy(time_ms=43_200_000, accuracy_m=5.0)
    assert said(checksummed("GPGST,120000.00,,,,,,,")) is None
    assert said(checksummed("GPGST,120000.00,,,,,99999,99999,99999")) is None
    assert reason(checksummed("GPGST,120000.00,,,,,x,4.0,5.3")) == "accuracy"


@pytest.mark.parametrize("year", ["9999", "1979", "2200", "2_26", "+2026", "0001"])
def test_a_year_that_no_receiver_lives_in_is_rejected(year: str) -> None:
    assert reason(checksummed(f"GPZDA,235959.00,31,12,{year},00,00")) == "date"
