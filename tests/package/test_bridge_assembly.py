"""Sentences of one moment become one Fix, at once, whichever of them a receiver sends and in whichever order."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime

import msgspec
import pytest

from firmware_bridge.assembly import Assembly
from firmware_bridge.nmea import Accuracy, Day, Geometry, Motion, NoPosition, Position, Said
from wire.fix import Fix, FixQuality

DAY = date(2026, 3, 14)


def rmc(second: float, **more: object) -> Position:
    said = {"day": DAY, "speed_mps": 6.0, "heading_deg": 90.0} | more
    return Position(kind="RMC", time_ms=int(second * 1000), lat=40.0, lon=-83.0, **said)


def gga(second: float) -> Position:
    return Position(kind="GGA", time_ms=int(second * 1000), lat=40.0, lon=-83.0, hdop=1.1, satellites=8)


def void(kind: str, second: float) -> NoPosition:
    return NoPosition(kind=kind, time_ms=int(second * 1000))


def at(second: float) -> datetime:
    return datetime.fromtimestamp(datetime(2026, 3, 14, tzinfo=UTC).timestamp() + second, UTC)


def taught(*cycle: Said) -> Assembly:
    """An assembly that has seen two cycles of a receiver, at seconds 1 and 2 of the day."""
    assembly = Assembly()
    for second in (1, 2):
        for said in cycle:
            assembly.take(said if said.time_ms is None else _moved(said, second))
    return assembly


def _moved(said: Said, second: int) -> Said:
    return msgspec.structs.replace(said, time_ms=second * 1000)


def whole(fix: Fix) -> bool:
    return None not in (fix.at, fix.speed_mps, fix.heading_deg, fix.hdop, fix.satellites)


def test_both_orders_give_one_whole_fix_with_the_second_sentence() -> None:
    for first, second in ((rmc, gga), (gga, rmc)):
        assembly = taught(first(0), second(0))
        assembly.take(first(3))
        [fix] = assembly.take(second(3))
        assert whole(fix) and fix.at == at(3)
        assert assembly.take(Motion(speed_mps=1.0, heading_deg=1.0)) == []
        assert assembly.pause() == assembly.finish() == []


def test_a_lone_sentence_is_told_at_once_when_the_receiver_sends_no_other() -> None:
    for kind in (rmc, gga):
        assert len(taught(kind(0)).take(kind(3))) == 1


def test_a_sentence_that_stops_is_waited_for_once() -> None:
    assembly = taught(rmc(0), gga(0))
    assembly.take(rmc(3)), assembly.take(gga(3))
    assert assembly.take(rmc(4)) == []
    assert [fix.at for fix in assembly.take(rmc(5))] == [at(4), at(5)]
    assert [fix.at for fix in assembly.take(rmc(6))] == [at(6)]


def test_a_silent_line_ends_the_waiting() -> None:
    assembly = taught(rmc(0), gga(0))
    assembly.take(rmc(3)), assembly.take(gga(3))
    assembly.take(rmc(4))
    [fix] = assembly.pause()
    assert fix.at == at(4)
    assert assembly.take(gga(4)) == []  # late: that moment has been told


def test_a_sentence_that_comes_every_other_second_is_never_waited_for() -> None:
    assembly = taught(rmc(0))
    for second in range(3, 9):
        assert len(assembly.take(rmc(second))) == 1
        if second % 2:
            assert assembly.take(gga(second)) == []


def test_the_first_moment_waits_until_it_is_over() -> None:
    assembly = Assembly()
    assert assembly.take(gga(1)) == assembly.take(rmc(1)) == []
    [fix] = assembly.take(gga(2))
    assert whole(fix) and fix.at == at(1)


def test_a_moment_is_told_once_however_often_it_is_said() -> None:
    assembly = taught(rmc(0), gga(0))
    assembly.take(rmc(3))
    assert len(assembly.take(gga(3))) == 1
    assert assembly.take(rmc(3)) == assembly.take(gga(3)) == []
    assembly.take(rmc(4))
    assert assembly.take(gga(3)) == []  # a straggler of the moment before


def test_one_sentence_that_denies_the_position_denies_it_for_all() -> None:
    for first, second in ((rmc(3), void("GGA", 3)), (gga(3), void("RMC", 3))):
        assembly = taught(rmc(0), gga(0))
        assert assembly.take(first) == assembly.take(second) == assembly.finish() == []


def test_a_constellation_that_sees_nothing_does_not_deny_the_other() -> None:
    assembly = taught(void("GGA", 0), gga(0), rmc(0))
    assembly.take(void("GGA", 3)), assembly.take(gga(3))
    assert len(assembly.take(rmc(3))) == 1


def test_no_position_makes_no_fix() -> None:
    assembly = Assembly()
    said = [Motion(speed_mps=1.0, heading_deg=1.0), Day(time_ms=1000, day=DAY), void("RMC", 1), void("GGA", 2)]
    assert [fix for one in said for fix in assembly.take(one)] + assembly.finish() == []


def test_a_date_is_carried_over_midnight_and_never_made_up() -> None:
    assembly = taught(gga(0))
    [undated] = assembly.take(gga(3))
    assert undated.at is None
    assembly.take(rmc(86_399)), assembly.take(gga(86_399))
    [fix] = assembly.take(gga(0.5))
    assert fix.at == at(86_400.5)


def test_a_leap_second_is_the_first_second_of_the_next_day() -> None:
    [fix] = taught(rmc(0)).take(rmc(86_400))
    assert fix.at == at(86_400)


def test_a_receiver_without_rmc_takes_speed_from_vtg_and_the_date_from_zda() -> None:
    vtg, zda = Motion(speed_mps=5.0, heading_deg=10.0), Day(time_ms=0, day=DAY)
    assembly = taught(gga(0), vtg, zda)
    assert assembly.take(gga(3)) == assembly.take(vtg) == []
    [fix] = assembly.take(Day(time_ms=3000, day=DAY))
    assert (fix.at, fix.speed_mps, fix.heading_deg, fix.hdop) == (at(3), 5.0, 10.0, 1.1)


def test_a_speed_sent_once_for_ten_positions_serves_them_for_a_second() -> None:
    assembly = taught(gga(0))
    assembly.take(gga(3))
    assembly.take(rmc(3))
    assert [fix.speed_mps for fix in assembly.take(gga(3.1)) + assembly.take(gga(4.2))] == [6.0, None]


def test_sentences_without_a_time_are_moments_of_their_own() -> None:
    assembly = Assembly()
    said = Position(kind="GLL", time_ms=None, lat=40.0, lon=-83.0)
    assert [len(assembly.take(said)) for _ in range(3)] == [0, 2, 1]


def test_what_rmc_and_gga_have_said_is_not_waited_for_again() -> None:
    gll = Position(kind="GLL", time_ms=0, lat=40.0, lon=-83.0)
    assembly = taught(rmc(0), gga(0), Motion(speed_mps=5.0, heading_deg=10.0), Day(time_ms=0, day=DAY), gll)
    assembly.take(rmc(3))
    [fix] = assembly.take(gga(3))
    assert whole(fix)


def test_a_date_that_comes_too_late_for_its_moment_serves_the_next() -> None:
    assembly = taught(gga(0))
    [undated] = assembly.take(gga(3))
    assert assembly.take(Day(time_ms=3000, day=DAY)) == []
    [dated] = assembly.take(gga(4))
    assert (undated.at, dated.at) == (None, at(4))


def gsa(dimensions: int | None, hdop: float | None = 1.4) -> Geometry:
    return Geometry(dimensions=dimensions, hdop=hdop)


def gst(second: float, accuracy_m: float = 4.0) -> Accuracy:
    return Accuracy(time_ms=int(second * 1000), accuracy_m=accuracy_m)


def test_how_good_a_position_is_comes_from_the_moment_before_and_is_never_waited_for() -> None:
    assembly = Assembly()
    for second in (1, 2):
        for said in (rmc(second), gga(second), gsa(3), gst(second)):
            assembly.take(said)
    assembly.take(rmc(3))
    [fix] = assembly.take(gga(3))
    assert (fix.dimensions, fix.accuracy_m) == (3, 4.0)


def test_what_came_before_the_position_in_its_own_moment_counts_at_once() -> None:
    assembly = taught(rmc(0), gga(0))
    for said in (gsa(2), gst(3, 9.5), rmc(3)):
        assembly.take(said)
    [fix] = assembly.take(gga(3))
    assert (fix.dimensions, fix.accuracy_m) == (2, 9.5)


def test_the_best_constellation_says_how_many_dimensions_there_are() -> None:
    for round_ in ([gsa(3), gsa(None, None)], [gsa(None, None), gsa(3)], [gsa(2), gsa(3), gsa(2)]):
        assembly = taught(rmc(0))
        for said in round_:
            assembly.take(said)
        [fix] = assembly.take(rmc(3))
        assert (fix.dimensions, fix.hdop) == (3, 1.4)


def test_a_new_round_replaces_the_one_before_even_by_less() -> None:
    assembly = taught(rmc(0), gsa(3))
    assembly.take(rmc(3)), assembly.take(gsa(2, 7.0))
    [fix] = assembly.take(rmc(4))
    assert (fix.dimensions, fix.hdop) == (2, 7.0)


def test_how_good_a_position_was_is_forgotten_in_ten_seconds_and_with_the_position() -> None:
    assembly = taught(rmc(0), gsa(3), gst(0))
    assert [fix.dimensions for fix in assembly.take(rmc(12)) + assembly.take(rmc(13))] == [3, None]
    for lost in ([void("RMC", 3)], [void("RMC", 3), void("RMC", 4)]):
        assembly = taught(rmc(0), gsa(3), gst(0))
        for said in lost:
            assembly.take(said)
        [fix] = assembly.take(rmc(5))
        assert (fix.dimensions, fix.accuracy_m) == (None, None)


def test_gsa_serves_over_midnight() -> None:
    assembly = taught(rmc(0))
    assembly.take(rmc(86_399)), assembly.take(gsa(3)), assembly.take(gst(86_399))
    [fix] = assembly.take(rmc(0.5))
    assert (fix.dimensions, fix.accuracy_m) == (3, 4.0)
    [fix] = assembly.take(rmc(300))
    assert (fix.dimensions, fix.accuracy_m) == (None, None)


def test_quality_is_ggas_word_and_else_a_letters_and_else_autonomous() -> None:
    for said, quality in (
        ([rmc(3, quality=FixQuality.AUTONOMOUS), msgspec.structs.replace(gga(3), quality=FixQuality.RTK)], "rtk"),
        ([rmc(3, quality=FixQuality.DIFFERENTIAL)], "differential"),
        ([rmc(3)], "autonomous"),
    ):
        assembly = Assembly()
        for one in said:
            assembly.take(one)
        [fix] = assembly.finish()
        assert fix.quality == quality


def test_one_sentence_that_calls_it_an_estimate_makes_the_fix_one() -> None:
    for estimated in ("RMC", "GGA"):
        assembly = Assembly()
        sure = msgspec.structs.replace(gga(3), quality=FixQuality.AUTONOMOUS)
        for said in (rmc(3, quality=FixQuality.AUTONOMOUS), sure):
            told = said if said.kind != estimated else msgspec.structs.replace(said, quality=FixQuality.ESTIMATED)
            assembly.take(told)
        [fix] = assembly.finish()
        assert fix.quality == "estimated"


def test_a_date_with_a_time_of_its_own_does_not_part_a_moment() -> None:
    assembly = Assembly()
    for second in range(1, 5):
        assembly.take(gga(second)), assembly.take(rmc(second))
        assembly.take(Day(time_ms=(second + 2) * 1000, day=DAY))
    assert assembly.take(gga(5)) == []
    [fix] = assembly.take(rmc(5))
    assert whole(fix) and fix.at == at(5)


def test_one_speed_serves_the_nine_other_positions_of_its_second_and_no_more() -> None:
    assembly = taught(gga(0))
    assembly.take(gga(3)), assembly.take(rmc(3))
    assert [assembly.take(gga(3 + tenth / 10))[-1].speed_mps for tenth in range(1, 10)] == [6.0] * 9
    timely = taught(rmc(0))
    fixes = timely.take(rmc(3)) + [fix for tenth in range(1, 10) for fix in timely.take(gga(3 + tenth / 10))]
    assert [fix.speed_mps for fix in fixes + timely.finish()] == [6.0] * 10
    slow = taught(rmc(0), gga(0))
    slow.take(rmc(3)), slow.take(gga(3)), slow.take(gga(4))
    [alone] = slow.take(gga(5))[:1]
    assert alone.speed_mps is None  # a second later a vehicle may go twice as fast


@pytest.mark.parametrize("rate_hz", [1, 2, 5, 10])
def test_every_moment_is_one_fix_at_any_rate_and_in_any_order(rate_hz: int) -> None:
    chance = random.Random(rate_hz)
    order = [lambda s: rmc(s), lambda s: gga(s), lambda s: gsa(3), lambda s: gst(s),
        lambda s: Motion(speed_mps=6.0, heading_deg=90.0), lambda s: Day(time_ms=int(s * 1000), day=DAY),
        lambda s: Position(kind="GLL", time_ms=int(s * 1000), lat=40.0, lon=-83.0)]  # fmt: skip
    for _ in range(20):
        chance.shuffle(order)
        assembly, fixes = Assembly(), []
        moments = [n / rate_hz for n in range(1, 4 * rate_hz + 1)]
        for second in moments:
            for make in order:
                fixes += assembly.take(make(second))
        fixes += assembly.finish()
        assert [fix.at for fix in fixes] == [at(round(second, 3)) for second in moments]
        assert all(whole(fix) and fix.dimensions == 3 for fix in fixes[1:])
