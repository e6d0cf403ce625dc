"""What lamps and buzzer do is told apart without color and without pitch."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.signals import (
    EMERGENCY_LIGHT,
    GPS_LIGHT,
    LINK_LIGHT,
    RHYTHM,
    Alert,
    EmergencyLamp,
    Light,
    LinkLamp,
    brightness,
    is_lit,
    is_sounding,
    length_s,
)


def heard(alert: Alert) -> list[tuple[bool, int]]:
    """The alert as runs of (sound, hundredths of a second)."""
    runs: list[tuple[bool, int]] = []
    for hundredth in range(round(length_s(alert) * 100)):
        sounds = is_sounding(alert, hundredth / 100 + 0.005)
        if runs and runs[-1][0] == sounds:
            runs[-1] = sounds, runs[-1][1] + 1
        else:
            runs.append((sounds, 1))
    return runs


def test_the_emergency_lamp_blinks_until_a_person_has_acknowledged() -> None:
    assert EMERGENCY_LIGHT[EmergencyLamp.NONE] is Light.DARK
    assert EMERGENCY_LIGHT[EmergencyLamp.RAISED] is EMERGENCY_LIGHT[EmergencyLamp.RECEIVED] is Light.BLINKING
    assert EMERGENCY_LIGHT[EmergencyLamp.ACKNOWLEDGED] is Light.STEADY


def test_every_light_but_dark_begins_lit() -> None:
    assert [light for light in Light if not is_lit(light, 0.0)] == [Light.DARK]


def test_lights_that_mean_different_things_look_different() -> None:
    shapes = {tuple(is_lit(light, tenth / 10 + 0.01) for tenth in range(40)) for light in Light}
    assert len(shapes) == len(Light)


def test_a_lamp_is_never_dark_while_the_terminal_lives() -> None:
    assert Light.DARK not in LINK_LIGHT.values()
    assert set(LINK_LIGHT) == set(LinkLamp)
    assert Light.DARK not in {light for word, light in GPS_LIGHT.items() if word != "none"}


def test_each_alert_has_a_rhythm_of_its_own() -> None:
    assert set(RHYTHM) == set(Alert)
    assert len({tuple(heard(alert)) for alert in Alert}) == len(Alert)
    counts = {alert: sum(sounds for sounds, _ in heard(alert)) for alert in Alert}
    assert len(set(counts.values())) == len(Alert), "counted alone they can be told apart"


def test_the_rhythm_that_is_written_is_the_one_that_sounds() -> None:
    for alert in Alert:
        runs = heard(alert)
        assert [sounds for sounds, _ in runs] == [index % 2 == 0 for index in range(len(RHYTHM[alert]))]
        assert all(abs(length - wanted * 100) <= 1 for (_, length), wanted in zip(runs, RHYTHM[alert], strict=True))
        assert all(before != after for (before, _), (after, _) in pairwise(runs))


def test_at_night_a_lamp_is_dimmer_and_without_a_line_it_is_day() -> None:
    assert 0 < brightness(True) < brightness(False) == brightness(None)


@given(st.sampled_from(Alert), st.floats(-10, 1000))
def test_nothing_sounds_outside_its_time(alert: Alert, since_s: float) -> None:
    if not 0 <= since_s < length_s(alert):
        assert not is_sounding(alert, since_s)
