"""An emergency that nobody answers hurries the link: soon, less and less, and never one that speaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.emergency_state import hurry_again_s
from serving.beats import HUNG_S_MAX, Beats
from tests.package.test_edge_emergency import Rig, until


def test_a_dead_network_is_not_hammered() -> None:
    assert [hurry_again_s(times) for times in (0, 1, 2, 3, 4, 5, 99)] == [5.0, 5.0, 10.0, 20.0, 30.0, 30.0, 30.0]


@pytest.mark.parametrize("is_linked", [True, False])
def test_a_press_without_an_answer_hurries_the_link_once_and_a_heard_one_no_more(
    tmp_path: Path, is_linked: bool
) -> None:
    rig = Rig(tmp_path)
    try:
        hurried: list[float | None] = []
        rig.subject._hurry = hurried.append
        rig.is_linked = is_linked
        rig.press()
        until("the link to be hurried", lambda: hurried)
        if is_linked:
            assert hurried[0] is not None and hurried[0] >= 0.2  # for how long the broker must have been silent
        else:
            assert hurried[0] is None
        rig.pressed(1)
        assert len(hurried) == 1
    finally:
        rig.close()


def test_a_thread_that_does_not_come_by_is_named_and_one_that_was_let_go_is_not() -> None:
    now_s = 100.0
    beats = Beats(lambda: now_s)
    slow, quick = beats.of("slow", 60.0), beats.of("quick")
    now_s += HUNG_S_MAX - 1
    assert beats.hung() is None
    quick()
    now_s += 2
    assert beats.hung() is None
    now_s += HUNG_S_MAX
    assert beats.hung() == "quick"
    beats.forget("quick")
    assert beats.hung() is None
    slow()
    now_s += 61
    assert beats.hung() == "slow"
