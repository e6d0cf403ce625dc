"""A list that was shown gives itself again, from nothing but what was kept of it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from hub.closest import Question, closest
from hub.rank import BOOK, STRAIGHT_LINE, Rules
from hub.replay import OtherBook, Shown, replayed
from tests.package.test_closest import Engine, Ways, cities, city


def shown(asked: Question, matrix: Ways | None, questions: int = 99) -> Shown:
    engine = None if matrix is None else Engine(matrix)
    answer = closest(asked, engine, lambda: engine is None or len(engine.asked) < questions)
    return Shown(question=asked, engine=answer.engine, ways=answer.ways, candidates=answer.candidates, graph="g1")


def kept(one: Shown) -> Shown:
    """Through the bytes that are stored."""
    return msgspec.json.decode(msgspec.json.encode(one), type=Shown)


@settings(max_examples=100, deadline=None)
@given(town=cities)
def test_a_list_by_road_is_worked_out_again_exactly(town: tuple[Question, Ways]) -> None:
    for one in (shown(*town), shown(*town, questions=1)):
        assert msgspec.json.encode(replayed(kept(one))) == msgspec.json.encode(one.candidates)


@settings(max_examples=50, deadline=None)
@given(town=cities)
def test_a_list_by_straight_line_is_worked_out_again_exactly(town: tuple[Question, Ways]) -> None:
    one = shown(town[0], None)
    assert one.engine == STRAIGHT_LINE
    assert msgspec.json.encode(replayed(kept(one))) == msgspec.json.encode(one.candidates)


def test_the_rules_of_then_count_and_not_those_of_today() -> None:
    asked, matrix = city(20, 5)
    then = shown(replace(asked, rules=Rules(wish_s=600.0)), matrix)
    today = replace(then, question=replace(asked, rules=Rules(wish_s=0.0)))
    assert replayed(then) == then.candidates
    assert replayed(today) != then.candidates


def test_a_list_of_other_rules_than_this_program_has_is_not_worked_out_wrongly() -> None:
    one = shown(*city(5, 1))
    with pytest.raises(OtherBook, match=f"made by rules {BOOK + 1}, and this program has rules {BOOK}"):
        replayed(replace(one, book=BOOK + 1))
