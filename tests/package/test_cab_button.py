"""What a contact means: bounce, glitches, a finger, a finger that was there before us, and a contact that never opens."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.button import (
    GAP_S_MAX,
    HOLD_S,
    SETTLE_S,
    STUCK_S,
    Button,
    Told,
    button_at_start,
    contact_at_start,
    held,
    sampled,
)

TICK_S = 0.02

samples = st.lists(st.tuples(st.booleans(), st.floats(0.001, 3.0)), max_size=200)


def play(spans: Iterable[tuple[bool, float]], tick_s: float = TICK_S) -> list[tuple[Told, float]]:
    """What a button says that is closed or open for these spans of seconds, sampled every `tick_s`, and when."""
    told, now_s, end_s = [], 0.0, 0.0
    button: Button | None = None
    for is_closed, span_s in spans:
        end_s += span_s
        while now_s < end_s:
            if button is None:
                button = button_at_start(is_closed, now_s)
            button, said = held(button, is_closed, now_s)
            if said is not None:
                told.append((said, now_s))
            now_s += tick_s
    return told


def words(told: list[tuple[Told, float]]) -> list[Told]:
    return [said for said, _ in told]


def test_a_held_button_raises_once_and_says_when_it_is_let_go() -> None:
    told = play([(False, 1.0), (True, 5.0), (False, 1.0)])
    assert words(told) == [Told.RAISED, Told.RELEASED]
    assert 1.0 + HOLD_S <= told[0][1] <= 1.0 + HOLD_S + 2 * TICK_S


def test_a_short_press_raises_nothing() -> None:
    assert play([(False, 1.0), (True, HOLD_S - 0.05), (False, 3.0)]) == []


def test_a_button_already_held_at_the_start_counts() -> None:
    told = play([(True, 2.0), (False, 1.0)])
    assert words(told) == [Told.RAISED, Told.RELEASED]
    assert told[0][1] <= HOLD_S + 2 * TICK_S


def test_pressing_again_raises_again() -> None:
    assert words(play([(True, 2.0), (False, 0.2)] * 3)) == [Told.RAISED, Told.RELEASED] * 3


def test_a_contact_that_bounces_and_a_glitch_in_the_hold_change_nothing() -> None:
    bounce = [(True, 0.003), (False, 0.004)] * 5
    told = play([(False, 0.5), *bounce, (True, 0.8), (False, 0.02), (True, 0.8), *bounce, (False, 1.0)], tick_s=0.001)
    assert words(told) == [Told.RAISED, Told.RELEASED]


def test_a_contact_that_stays_closed_raises_once_and_is_said_to_be_stuck() -> None:
    told = play([(False, 0.1), (True, 5 * 60.0)], tick_s=0.05)
    assert words(told) == [Told.RAISED, Told.STUCK]
    assert STUCK_S <= told[1][1] <= STUCK_S + 0.3


def test_a_contact_that_was_stuck_can_raise_again_once_it_has_opened() -> None:
    told = play([(True, STUCK_S + 1), (False, 0.2), (True, 2.0)], tick_s=0.05)
    assert words(told) == [Told.RAISED, Told.STUCK, Told.RELEASED, Told.RAISED]


def test_a_finger_is_still_there_after_nobody_has_looked_for_seconds() -> None:
    button = button_at_start(False, 0.0)
    for now_s in (0.02, 0.04, 0.06, 0.08):
        button, _ = held(button, True, now_s)
    button, told = held(button, True, 4.0)
    assert told is Told.RAISED


@given(st.floats(GAP_S_MAX + 0.01, 60.0))
def test_two_lonely_glitches_are_no_finger(gap_s: float) -> None:
    button = button_at_start(False, 0.0)
    button, first = held(button, True, 1.0)
    button, second = held(button, True, 1.0 + gap_s)
    assert (first, second) == (None, None)
    assert not button.contact.is_closed


@given(samples)
def test_no_sequence_raises_twice_without_letting_go(sequence: list[tuple[bool, float]]) -> None:
    told = words(play(sequence, tick_s=0.05))
    assert all(said is Told.RELEASED for said in told[1::2] if said is not Told.STUCK)
    without_stuck = [said for said in told if said is not Told.STUCK]
    assert without_stuck[::2] == [Told.RAISED] * len(without_stuck[::2])
    assert without_stuck[1::2] == [Told.RELEASED] * len(without_stuck[1::2])


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 10.0)), max_size=100))
def test_nothing_raises_before_the_button_was_closed_long_enough(sequence: list[tuple[bool, float]]) -> None:
    now_s, button = 0.0, button_at_start(False, 0.0)
    closed_s = set()
    for is_closed, step_s in sequence:
        now_s += step_s
        if is_closed:
            closed_s.add(now_s)
        button, told = held(button, is_closed, now_s)
        if told is Told.RAISED:
            assert now_s - button.contact.since_s >= HOLD_S
            assert button.contact.since_s in closed_s


@given(st.lists(st.floats(0.001, SETTLE_S * 0.9), min_size=1, max_size=100), st.booleans())
def test_what_never_settles_never_changes(steps: list[float], is_closed: bool) -> None:
    contact, level, now_s = contact_at_start(is_closed, 0.0), is_closed, 0.0
    for step_s in steps:
        now_s += step_s
        level = not level
        contact = sampled(contact, level, now_s)
    assert contact.is_closed == is_closed


@given(st.booleans(), st.floats(0.0, 5.0))
def test_what_settles_changes_within_a_sample_of_the_settling_time(is_closed: bool, settle_s: float) -> None:
    contact, now_s = contact_at_start(is_closed, 0.0), 0.0
    while contact.is_closed == is_closed:
        now_s += TICK_S
        contact = sampled(contact, not is_closed, now_s, settle_s)
        assert now_s <= settle_s + 2 * TICK_S + 1e-6
    assert contact.since_s == TICK_S
