"""What a simulated receiver says: sentences that any reader believes, errors as promised, and faults that are faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from math import cos, exp, radians
from statistics import fmean, pstdev

import msgspec
import pynmea2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.drive import Where
from firmware_bridge.gpstime import ROLLOVER
from firmware_bridge.nmea import NoPosition, Position, Rejected, said
from firmware_bridge.reader import Reader
from firmware_bridge.readings import DATE_FLOOR, Dates
from firmware_bridge.scenarios import PROFILES, SCENARIOS, Fault, Profile, Scenario, Trouble
from firmware_bridge.sentences import WRITERS, framed
from firmware_bridge.simulate import SimulatedReceiver
from wire.distance import EARTH_RADIUS_M, moved, nearby_m

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
EVERYTHING = tuple(WRITERS)
STILL = Where(lat=39.96, lon=-82.99, speed_mps=0.0, heading_deg=90.0)


def eastward(second: float, mps: float = 12.0) -> Where:
    lat, lon = moved(STILL.lat, STILL.lon, 90.0, mps * second)
    return Where(lat=lat, lon=lon, speed_mps=mps, heading_deg=90.0)


def bursts(
    scenario: Scenario,
    seconds: int,
    *,
    profile: Profile = PROFILES["modern"],
    seed: str = "a",
    rate_hz: int = 1,
    truth: Callable[[float], Where] = eastward,
) -> Iterator[tuple[float, Where, list[str]]]:
    """(seconds into the drive, the truth, the sentences) of each moment."""
    receiver = SimulatedReceiver(scenario, profile, seed)
    for tick in range(seconds * rate_hz):
        into_s = tick / rate_hz
        where = truth(into_s)
        sentences = receiver.says(where, NOON + timedelta(seconds=into_s), into_s)
        yield into_s, where, [sentence.decode("latin-1").rstrip("\r\n") for sentence in sentences]


def position(sentences: list[str], kind: str = "RMC") -> Position | NoPosition:
    told = next(told for told in map(said, sentences) if told is not None and told.kind == kind)
    assert isinstance(told, Position | NoPosition)
    return told


# ---- sentences -----------------------------------------------------------------------------------------------------

PLACES = st.tuples(st.floats(-90, 90), st.floats(-180, 180)).filter(lambda place: abs(place[0]) + abs(place[1]) > 0.1)


@settings(max_examples=100, deadline=None)
@given(
    place=PLACES,
    speed_mps=st.floats(0, 60),
    heading_deg=st.floats(0, 360, exclude_max=True),
    at=st.datetimes(datetime(2025, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),
    scenario=st.sampled_from(sorted(set(SCENARIOS) - {"bad-cable"})),
    profile=st.sampled_from(sorted(PROFILES)),
    into_s=st.floats(0, 1000),
    seed=st.text(max_size=5),
)
def test_every_sentence_has_its_checksum_and_both_readers_take_it(
    place: tuple[float, float],
    speed_mps: float,
    heading_deg: float,
    at: datetime,
    scenario: str,
    profile: str,
    into_s: float,
    seed: str,
) -> None:
    everything = msgspec.structs.replace(PROFILES[profile], order=EVERYTHING)
    receiver = SimulatedReceiver(SCENARIOS[scenario], everything, seed)
    where = Where(lat=place[0], lon=place[1], speed_mps=speed_mps, heading_deg=heading_deg)
    sentences = [
        sentence
        for after_s in (0.0, 1.0)
        for sentence in receiver.says(where, at + timedelta(seconds=after_s), into_s + after_s)
    ]
    assert {pynmea2.parse(one.decode(), check=True).sentence_type for one in sentences} == set(EVERYTHING)
    for sentence in sentences:
        assert sentence.endswith(b"\r\n")
        assert len(sentence) <= 82, "longer than NMEA 0183 allows"
        said(sentence.decode().rstrip("\r\n"))  # or it raises Rejected


def test_what_both_readers_hear_is_what_was_true() -> None:
    exact = Scenario(about="no error", wander_m=1e-9, grain_m=0.0)
    for lat, lon in ((-33.9, 18.4), (51.5, -0.0001), (0.99999999, 9.99999999), (-0.0001, 179.9999), (39.96, -82.99)):
        truth = Where(lat=lat, lon=lon, speed_mps=9.0, heading_deg=359.999)
        for profile in PROFILES.values():
            [(_, _, sentences)] = bursts(exact, 1, profile=profile, truth=partial(lambda truth, _: truth, truth))
            gga, rmc = position(sentences, "GGA"), position(sentences, "RMC")
            assert isinstance(gga, Position) and isinstance(rmc, Position)
            read = next(one for one in map(pynmea2.parse, sentences) if one.sentence_type == "RMC")
            assert (gga.lat, gga.lon) == (rmc.lat, rmc.lon) == pytest.approx((read.latitude, read.longitude))
            assert nearby_m(rmc.lat, rmc.lon, lat, lon) < 0.2
            assert read.datetime == NOON and rmc.day == NOON.date()
            assert rmc.speed_mps == pytest.approx(9.0, abs=0.3)
            assert rmc.heading_deg is not None
            assert abs((rmc.heading_deg - 359.999 + 180) % 360 - 180) < 3
            assert all(":60" not in one and ",60." not in one for one in sentences)


def test_a_receiver_that_stands_says_no_course() -> None:
    for _, _, sentences in bursts(SCENARIOS["open"], 30, truth=lambda _: STILL):
        told = position(sentences)
        assert isinstance(told, Position) and told.heading_deg is None and (told.speed_mps or 0) < 0.4


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_burst_is_in_the_order_of_its_receiver(name: str) -> None:
    profile = PROFILES[name]
    heard = [sentences for _, _, sentences in bursts(SCENARIOS["open"], 11, profile=profile, rate_hz=5)]
    kinds = [list(dict.fromkeys(one[3:6] for one in sentences)) for sentences in heard]
    assert kinds[0] == list(profile.order)
    assert all(list(filter(set(burst).__contains__, profile.order)) == burst for burst in kinds)
    assert sum("GSV" in burst for burst in kinds) == round(11 / profile.sky_every_s + 0.4)


def test_the_satellites_in_use_are_those_in_view_and_high_houses_hide_some() -> None:
    hidden, hdops = {}, {}
    for scenario in ("open", "urban"):
        in_view, used, dilutions = list[str](), list[str](), list[float]()
        for _, _, sentences in bursts(SCENARIOS[scenario], 30):
            parsed = [pynmea2.parse(one, check=True) for one in sentences]
            seen = [
                getattr(one, f"sv_prn_num_{n}", "") for one in parsed if one.sentence_type == "GSV" for n in range(1, 5)
            ]
            counted = [
                getattr(one, f"sv_id{n:02}") for one in parsed if one.sentence_type == "GSA" for n in range(1, 13)
            ]
            gga = next(one for one in parsed if one.sentence_type == "GGA")
            assert set(counted) <= set(seen)
            assert sum(map(bool, counted)) == int(gga.num_sats) >= 4
            in_view += filter(None, seen)
            used += filter(None, counted)
            dilutions.append(float(gga.horizontal_dil))
        hidden[scenario], hdops[scenario] = len(in_view) - len(used), fmean(dilutions)
    assert hidden["urban"] > hidden["open"] + 60
    assert 0.4 < hdops["open"] < hdops["urban"] < 4


# ---- the error -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scenario",
    [Scenario(about="little", wander_s=10.0), Scenario(about="much", wander_m=4.0, wander_s=8.0, grain_m=0.4)],
    ids=lambda scenario: scenario.about,
)
def test_the_error_has_the_promised_size_and_memory(scenario: Scenario, report) -> None:
    north, east = [], []
    rmc_only = msgspec.structs.replace(PROFILES["modern"], order=("RMC",))
    for _, where, sentences in bursts(scenario, 4_000, profile=rmc_only, truth=lambda _: STILL):
        told = position(sentences)
        assert isinstance(told, Position)
        north.append(radians(told.lat - where.lat) * EARTH_RADIUS_M)
        east.append(radians(told.lon - where.lon) * EARTH_RADIUS_M * cos(radians(where.lat)))
    for axis, errors in (("north", north), ("east", east)):
        lag = round(scenario.wander_s)
        wandering = scenario.wander_m**2
        kept = correlation(errors, lag) * (wandering + scenario.grain_m**2) / wandering
        report(
            f"simulated error, {scenario.about}, {axis}: mean {fmean(errors):.2f} m, deviation {pstdev(errors):.2f} m "
            f"(promised {scenario.wander_m}), correlation after {lag} s {kept:.2f} (promised {exp(-1):.2f})"
        )
        assert abs(fmean(errors)) < 0.35 * scenario.wander_m
        assert pstdev(errors) == pytest.approx((wandering + scenario.grain_m**2) ** 0.5, rel=0.15)
        assert kept == pytest.approx(exp(-1), abs=0.15)


def correlation(values: list[float], lag: int) -> float:
    mean = fmean(values)
    together = fmean((a - mean) * (b - mean) for a, b in zip(values, values[lag:], strict=False))
    return together / pstdev(values) ** 2


def test_the_memory_is_in_seconds_whatever_the_rate() -> None:
    scenario = Scenario(about="", wander_s=20.0, grain_m=0.0)
    for rate_hz in (1, 10):
        steps = []
        places = [position(one) for _, _, one in bursts(scenario, 300, rate_hz=rate_hz, truth=lambda _: STILL)]
        for before, after in zip(places, places[rate_hz:], strict=False):
            assert isinstance(before, Position) and isinstance(after, Position)
            steps.append((after.lat - before.lat) * 111_195)
        assert pstdev(steps) == pytest.approx((2 * (1 - exp(-1 / 20))) ** 0.5, rel=0.25)


def test_the_same_seed_says_the_same_words() -> None:
    for name, scenario in SCENARIOS.items():
        once, again = list(bursts(scenario, 90, seed="x")), list(bursts(scenario, 90, seed="x"))
        assert once == again, name
        assert once != list(bursts(scenario, 90, seed="y")), name


# ---- the faults ----------------------------------------------------------------------------------------------------


def fault(what: Trouble, **times: float) -> Scenario:
    usual = {"at_s": 10.0, "lasts_s": 5.0}
    return Scenario(about="", faults=(Fault(what=what, **(usual | times)),))


def heard(scenario: Scenario, profile: str = "modern", seconds: int = 30) -> dict[float, Position | NoPosition]:
    return {into_s: position(one) for into_s, _, one in bursts(scenario, seconds, profile=PROFILES[profile])}


def test_an_outage_is_told_as_no_position_and_passes() -> None:
    for into_s, told in heard(fault(Trouble.OUTAGE)).items():
        assert isinstance(told, NoPosition) == (10 <= into_s < 15)


def test_a_fault_repeats_when_it_is_told_to() -> None:
    told = heard(fault(Trouble.OUTAGE, every_s=12.0), seconds=60)
    assert [s for s, one in told.items() if isinstance(one, NoPosition)] == [
        s for s in range(60) if s >= 10 and (s - 10) % 12 < 5
    ]


def test_a_tunnel_is_no_position_where_nobody_reckons() -> None:
    for into_s, told in heard(fault(Trouble.TUNNEL)).items():
        assert isinstance(told, NoPosition) == (10 <= into_s < 15)


def test_a_tunnel_is_an_estimate_marked_as_such_where_the_receiver_reckons() -> None:
    scenario = fault(Trouble.TUNNEL, at_s=10.0, lasts_s=90.0)
    for into_s, where, sentences in bursts(scenario, 110, profile=PROFILES["reckoning"]):
        rmc = next(pynmea2.parse(one) for one in sentences if "RMC" in one)
        gga = next(pynmea2.parse(one) for one in sentences if "GGA" in one)
        if 10 <= into_s < 70:
            assert (rmc.mode_indicator, gga.gps_qual, gga.num_sats) == ("E", 6, "00")
            assert nearby_m(rmc.latitude, rmc.longitude, where.lat, where.lon) < 10 + 0.15 * 12 * (into_s - 10)
            assert isinstance(position(sentences), NoPosition), "our reader does not take an estimate for a position"
        elif 70 <= into_s < 100:
            assert (rmc.status, rmc.mode_indicator, gga.gps_qual) == ("V", "N", 0)
        else:
            assert (rmc.status, rmc.mode_indicator, gga.gps_qual) == ("A", "A", 1)


def test_a_cold_start_goes_from_nothing_over_no_date_and_wild_dates_to_the_truth() -> None:
    scenario = SCENARIOS["cold-start"]
    dates, believed, wild = Dates(DATE_FLOOR), list[datetime](), set[date]()
    for into_s, told in heard(scenario).items():
        if into_s < 10:
            assert isinstance(told, NoPosition) and told.time_ms is None
            continue
        assert isinstance(told, Position) and told.time_ms is not None
        if into_s < 15:
            assert told.day is None
        elif into_s < 20:
            assert told.day is not None and abs(told.day - NOON.date()) > timedelta(days=365)
            wild.add(told.day)
        else:
            assert told.day == NOON.date()
        at = told.day and datetime(told.day.year, told.day.month, told.day.day, 12, tzinfo=UTC) + timedelta(
            seconds=into_s
        )
        if (known := dates.believed(at)) is not None:
            believed.append(known)
    assert len(wild) > 2
    assert believed and {at.date() for at in believed} == {NOON.date()}, "a wild date was believed"


def test_a_rollover_is_1024_weeks_and_our_dates_repair_it() -> None:
    dates = Dates(DATE_FLOOR)
    for told in heard(SCENARIOS["rollover"], seconds=5).values():
        assert isinstance(told, Position) and told.day == (NOON - ROLLOVER).date()
        known = dates.believed(datetime(told.day.year, told.day.month, told.day.day, 12, tzinfo=UTC))
        assert known is None or known == NOON
    seconds = [datetime(2006, 11, 15, 12, 0, second, tzinfo=UTC) for second in range(3)]
    assert [dates.believed(at) for at in seconds][-1] == NOON + timedelta(seconds=2)


def test_a_stuck_receiver_says_the_same_words_and_one_fix() -> None:
    said_at = {into_s: sentences for into_s, _, sentences in bursts(fault(Trouble.STUCK), 20)}
    assert all(said_at[s] == said_at[9] for s in range(10, 15))
    assert said_at[15] != said_at[9]
    reader = Reader()
    stuck = "".join(one + "\r\n" for s in range(9, 15) for one in said_at[s]).encode()
    assert len(reader.feed(stuck) + reader.finish()) == 1


def test_a_frozen_receiver_keeps_its_place_while_its_clock_goes_on() -> None:
    told = heard(fault(Trouble.FROZEN))
    assert len({(one.lat, one.lon) for s, one in told.items() if isinstance(one, Position) and 9 <= s < 15}) == 1
    assert len({one.time_ms for one in told.values()}) == len(told)
    assert all(isinstance(one, Position) for one in told.values())


def test_a_reflection_leaps_aside_and_back() -> None:
    for into_s, where, sentences in bursts(fault(Trouble.LEAP, by_m=80.0), 30):
        told = position(sentences)
        assert isinstance(told, Position)
        off_m = nearby_m(told.lat, told.lon, where.lat, where.lon)
        assert (70 < off_m < 90) if 10 <= into_s < 15 else off_m < 10


def test_a_bad_cable_is_rejected_sentence_by_sentence_and_nothing_wrong_is_believed() -> None:
    reader, rejected = Reader(), 0
    for into_s, _, sentences in bursts(SCENARIOS["bad-cable"], 300):
        for sentence in sentences:
            try:
                said(sentence)
            except Rejected:
                assert 10 <= into_s % 30 < 20, "only while the cable is bad"
                rejected += 1
        for fix in reader.feed("".join(one + "\r\n" for one in sentences).encode("latin-1")):
            assert nearby_m(fix.lat, fix.lon, STILL.lat, STILL.lon) < 300 * 12 + 20
    assert rejected > 50


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_scenario_gives_fixes_that_follow_the_vehicle_or_none(name: str) -> None:
    scenario = SCENARIOS[name]
    leaps_m = max((one.by_m for one in scenario.faults), default=0.0)
    reader, places = Reader(), dict[datetime, Where]()
    data = bytearray()
    for into_s, where, sentences in bursts(scenario, 200):
        places[NOON + timedelta(seconds=into_s)] = where
        data += "".join(one + "\r\n" for one in sentences).encode("latin-1")
    fixes = reader.feed(bytes(data)) + reader.finish()
    assert len(fixes) > 100
    for fix in fixes:
        truth = places.get(fix.at) if fix.at else None
        if truth is not None and not scenario.turns(Trouble.FROZEN, (fix.at - NOON).total_seconds()):
            assert nearby_m(fix.lat, fix.lon, truth.lat, truth.lon) < 6 * scenario.wander_m + leaps_m + 3


def test_a_fault_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="repeats"):
        Fault(what=Trouble.OUTAGE, lasts_s=10, every_s=10)
    with pytest.raises(ValueError, match="meters"):
        Fault(what=Trouble.LEAP, by_m=float("nan"))


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="$*"), min_size=6, max_size=60))
def test_any_body_is_framed_as_pynmea2_would(body: str) -> None:
    assert framed(body) == f"${body}*{pynmea2.NMEASentence.checksum(body):02X}\r\n".encode()
