"""The report of `make soak`: what was not tried never looks like what went well."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tests.soak.__main__ import choose, every_row, run
from tests.soak.ground import Ground
from tests.soak.report import NotRun, Outcome, Row


def _row(name: str, lost: int = 0, *, findings: tuple[str, ...] = (), is_peer: bool = False) -> Row:
    came_to = Outcome(repetitions=3, lost=lost, duplicated=0, recovery_s_max=1.25, findings=findings)
    return Row(name, "a fault", lambda _: came_to, is_peer)


def _impossible(ground: Ground) -> Outcome:
    raise NotRun("needs root")


def _broken(ground: Ground) -> Outcome:
    raise OSError("no such disk")


def _report(*rows: Row, scratch: Path) -> tuple[bool, str]:
    said: list[str] = []
    is_clean = run(rows, "quick", 7, said.append, scratch)
    return is_clean, "\n".join(said)


def test_every_row_says_what_it_came_to_on_one_line(tmp_path: Path) -> None:
    is_clean, text = _report(_row("F01"), _row("F02"), scratch=tmp_path)
    assert is_clean
    assert [line.split()[0] for line in text.splitlines() if line.startswith("F0")] == ["F01", "F02"]
    assert "seed 7" in text and "commit" in text and "Mosquitto" in text
    assert "2 rows run, 0 not run; 6 repetitions, 0 lost, 0 duplicated, 0 findings" in text


def test_what_cannot_be_tried_says_why_and_is_not_counted_as_passed(tmp_path: Path) -> None:
    is_clean, text = _report(Row("F02", "a fault", _impossible), scratch=tmp_path)
    assert not is_clean
    assert "not run: needs root" in text
    assert "0 rows run, 1 not run" in text


def test_a_loss_a_finding_and_a_row_that_breaks_are_each_a_failure(tmp_path: Path) -> None:
    for wrong in (_row("F01", 1), _row("F01", findings=("g: too large",)), Row("F01", "a fault", _broken)):
        is_clean, text = _report(wrong, _row("F02"), scratch=tmp_path)
        assert not is_clean
        assert any(line.startswith("F02") for line in text.splitlines()), "one row hid the next"
    assert "the row itself failed: OSError: no such disk" in text


def test_what_a_peer_loses_is_printed_and_is_not_ours(tmp_path: Path) -> None:
    is_clean, text = _report(_row("F01"), _row("F01p", 40, is_peer=True), scratch=tmp_path)
    assert is_clean
    assert "1 rows run, 0 not run; 3 repetitions, 0 lost" in text
    assert any(line.startswith("F01p") and " 40 " in line for line in text.splitlines())


def test_a_row_is_chosen_by_its_number_with_all_its_parts(tmp_path: Path) -> None:
    known = (_row("F01"), _row("F01p"), _row("F25a"), _row("F25b"))
    assert [row.id for row in choose(known, ["F25"])] == ["F25a", "F25b"]
    assert [row.id for row in choose(known, ["F01p"])] == ["F01p"]
    assert choose(known, []) == known
    with pytest.raises(click.BadParameter, match="there is no row F99"):
        choose(known, ["F99"])


def test_no_two_rows_have_one_name() -> None:
    names = [row.id for row in every_row()]
    assert len(names) == len(set(names))
    assert {"F01", "F02", "F05", "F06", "F07b", "F20", "F26"} <= set(names)
