"""Satellites in view and used, by every numbering that receivers have."""

from __future__ import annotations

from functools import reduce
from operator import xor

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.sky import SATELLITES_MAX, Constellation, Sky, SkyReader

GSV_1 = "GPGSV,2,1,05,02,05,307,,03,21,174,29,04,12,038,23,06,07,270,06"
GSV_2 = "GPGSV,2,2,05,133,31,150,"
ANY_OTHER = "GPRMC,000941.00,V,,,,,,,,,,N"


def sentence(body: str) -> str:
    return f"${body}*{reduce(xor, body.encode('ascii')):02X}"


def sky_of(*bodies: str) -> Sky:
    reader = SkyReader()
    for body in (*bodies, ANY_OTHER):
        reader.take(sentence(body))
    return reader.sky


def names(sky: Sky) -> list[str]:
    return [satellite.name for satellite in sky.satellites]


def used(sky: Sky) -> list[str]:
    return [satellite.name for satellite in sky.satellites if satellite.is_used]


def test_a_satellite_is_told_with_its_place_and_signal_once_all_sentences_have_come() -> None:
    reader = SkyReader()
    assert not reader.take(sentence(GSV_1)) and reader.sky == Sky()
    assert reader.take(sentence(GSV_2))
    third = reader.sky.satellites[1]
    assert (third.constellation, third.prn, third.elevation_deg, third.azimuth_deg) == (Constellation.GPS, 3, 21, 174)
    assert [satellite.snr_db for satellite in reader.sky.satellites] == [None, 29, 23, 6, None]


def test_every_maker_s_numbers_become_the_constellation_s_own() -> None:
    assert names(sky_of("GPGSV,1,1,04,32,,,,48,,,,70,,,,193,,,")) == ["G32", "S135", "R06", "J01"]
    assert names(sky_of("GLGSV,1,1,03,69,,,,01,,,,40,,,")) == ["R05", "R01", "S127"]
    assert names(sky_of("GAGSV,1,1,03,11,,,,103,,,,301,,,,7")) == ["E11", "E03", "E01"]
    assert names(sky_of("GBGSV,1,1,03,05,,,,201,,,,405,,,")) == ["C05", "C01"]
    assert names(sky_of("BDGSV,1,1,02,205,,,,409,,,")) == ["C05", "C09"]
    assert names(sky_of("GQGSV,1,1,02,03,,,,195,,,")) == ["J03"]
    assert names(sky_of("GIGSV,1,1,01,07,,,")) == ["I07"]
    assert names(sky_of("GPGSV,1,1,01,999,,,")) == ["?999"]


def test_a_satellite_of_two_signals_is_one_with_the_stronger() -> None:
    sky = sky_of("GPGSV,1,1,01,05,06,110,19,1", "GPGSV,1,1,01,05,06,110,31,8")
    assert names(sky) == ["G05"] and sky.satellites[0].snr_db == 31


def test_signals_may_share_one_numbering_of_sentences() -> None:
    sky = sky_of("GPGSV,2,1,02,01,38,160,35,1", "GPGSV,2,2,02,01,38,160,38,8")
    assert [satellite.snr_db for satellite in sky.satellites] == [38]


def test_a_lost_sentence_leaves_the_sky_as_it_was() -> None:
    reader = SkyReader()
    for body in (GSV_1, GSV_2):
        reader.take(sentence(body))
    before = reader.sky
    for body in ("GPGSV,3,1,09,11,,,", "GPGSV,3,3,09,12,,,"):
        assert not reader.take(sentence(body))
    assert reader.sky == before


def test_used_ones_are_marked_by_system_or_by_number() -> None:
    view = ("GPGSV,1,1,02,03,21,174,29,07,10,100,30", "GLGSV,1,1,01,69,40,156,22", "GAGSV,1,1,01,03,50,10,30")
    by_system = ("GNGSA,A,3,03,,,,,,,,,,,,1.7,1.0,1.3,1", "GNGSA,A,3,69,,,,,,,,,,,,1.7,1.0,1.3,2")
    assert used(sky_of(*view, *by_system)) == ["G03", "R05"]
    by_number = ("GNGSA,A,3,03,07,,,,,,,,,,,1.7,1.0,1.3", "GNGSA,A,3,69,,,,,,,,,,,,1.7,1.0,1.3")
    assert used(sky_of(*view, *by_number)) == ["G03", "G07", "R05"]


def test_more_than_twelve_used_are_said_in_two_sentences_and_both_count() -> None:
    first = "GPGSA,A,3," + ",".join(f"{prn:02d}" for prn in range(1, 13)) + ",1.7,1.0,1.3"
    assert sky_of(first, "GPGSA,A,3,13,14,,,,,,,,,,,1.7,1.0,1.3").used == 14


def test_a_lost_fix_uses_none_and_a_receiver_that_says_no_gsa_leaves_it_open() -> None:
    fix, none = "GPGSA,A,3,03,07,,,,,,,,,,,1.7,1.0,1.3", "GPGSA,A,1,,,,,,,,,,,,,99.9,99.9,99.9"
    assert sky_of(fix).used == 2
    assert sky_of(fix, ANY_OTHER, none).used == 0
    assert sky_of(GSV_1, GSV_2).used is None


def test_a_constellation_that_is_no_longer_said_is_forgotten() -> None:
    both = ["GLGSV,1,1,01,69,40,156,22", "GPGSV,1,1,01,03,21,174,29"]
    assert names(sky_of(*both, *both[1:] * 5)) == ["R05", "G03"]  # said more rarely
    assert names(sky_of(*both, *both[1:] * 20)) == ["G03"]


def test_impossible_satellites_are_counted_and_not_shown() -> None:
    reader = SkyReader()
    wrong = [
        "GPGSV,1,1,01,03,91,174,29",
        "GPGSV,1,1,01,03,1,361,29",
        "GPGSV,1,1,01,x,1,1,1",
        "GPGSV,0,1,01",
        "GPGSA,A,3",
    ]
    assert not any(reader.take(sentence(body)) for body in wrong)
    assert reader.wrong == len(wrong) and reader.sky == Sky()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.from_regex(r"[A-Z]{2}(GSV|GSA)(,[-0-9.A]{0,4}){0,24}", fullmatch=True), max_size=12))
def test_no_sentence_breaks_it_and_the_sky_stays_small(bodies: list[str]) -> None:
    assert len(sky_of(*bodies).satellites) <= SATELLITES_MAX
