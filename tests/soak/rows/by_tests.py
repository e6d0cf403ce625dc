"""Rows that ordinary tests prove: each names them, and they are run again and counted.

The law: a row is only as good as every test it names. One that is missing, skipped or deselected makes the row not run,
and never quietly smaller.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from tests.soak.ground import Ground
from tests.soak.report import NotRun, Outcome, Row

ROOT = Path(__file__).parents[3]
PYTEST_S_MAX = 3600.0
REASON_CHARS = 160

BY_ROW: dict[str, tuple[str, tuple[str, ...]]] = {
    "F03": ("unsynced sectors torn, reordered, lost", ("tests/package/test_edge_torn_disk.py",)),
    "F04": (
        "page bit flip, cut file, garbage -wal",
        ("tests/package/test_edge_salvage.py", "tests/package/test_hub_salvage.py"),
    ),
    "F10t": (
        "the network model: lost, doubled, reordered, killed, restored",
        ("tests/seams/test_receipts.py", "tests/seams/test_simulation.py"),
    ),
    "F13t": (
        "hub killed between commit and receipt, by a failpoint",
        ("tests/system/test_hub_faults.py::test_a_hub_killed_between_a_commit_and_its_receipt_holds_the_record_once",),
    ),
    "F14t": (
        "hub database locked, full, gone",
        (
            "tests/package/test_hub_intake.py",
            "tests/system/test_hub_faults.py::test_a_locked_database_gives_no_receipt_until_it_is_free",
            "tests/system/test_hub_faults.py::test_a_disk_that_takes_nothing_more_gives_no_receipt_until_it_has_room",
            "tests/system/test_hub_faults.py::test_a_database_that_was_moved_away_gives_no_receipt_until_it_is_back",
        ),
    ),
    "F17t": (
        "a denied record is kept, shown, and sent when mended",
        ("tests/system/test_denied.py", "tests/package/test_edge_sync.py"),
    ),
    "F19": ("two boards, one identity", ("tests/system/test_two_boards.py",)),
    "F20t": (
        "clock: 1970, +6 h, -2 h, leap second, week rollover",
        (
            "tests/system/test_edge_clock.py",
            "tests/package/test_bridge_time.py",
            "tests/package/test_edge_clock.py",
            "tests/package/test_hub_clocks.py",
            "tests/package/test_edge_tls.py",
        ),
    ),
    "F21": (
        "receiver: garbage, halves, unplugged, no fix, 0/0, frozen",
        (
            "tests/captures/test_captures.py::test_an_own_capture_gives_the_expected_fixes_and_counts",
            "tests/package/test_bridge_port.py",
            "tests/package/test_bridge_reader.py",
            "tests/package/test_bridge_sentences.py",
            "tests/package/test_edge_tracker.py",
        ),
    ),
    "F22": (
        "a record the hub cannot read",
        (
            "tests/package/test_hub_ingest.py::test_what_cannot_be_read_is_stored_and_receipted_and_quarantined",
            "tests/package/test_hub_alarms.py::test_what_was_refused_is_one_line_for_each_unit_and_reason",
        ),
    ),
    "F23": (
        "same key, other bytes",
        (
            "tests/package/test_hub_ingest.py"
            "::test_other_bytes_under_a_held_number_are_quarantined_whole_and_the_first_stays",
            "tests/package/test_hub_batches.py"
            "::test_a_trail_that_comes_twice_in_one_batch_is_kept_once_and_other_bytes_are_a_conflict",
        ),
    ),
    "F24": (
        "a pipe or the MQTT thread dies",
        (
            "tests/system/test_hung.py::test_a_part_that_dies_or_hangs_ends_the_terminal_within_half_a_minute",
            "tests/package/test_hub_main.py::test_a_pipe_that_breaks_or_ends_ends_the_process",
            "tests/package/test_hub_main.py::test_a_pipe_that_ends_because_it_was_told_to_is_no_failure",
            "tests/package/test_hub_main.py::test_a_broken_thread_that_is_no_pipe_ends_the_process_too",
            "tests/system/test_threads_that_die.py",
        ),
    ),
    "F27": (
        "snapshot lost, doubled, late, older",
        ("tests/package/test_edge_downlink.py", "tests/package/test_edge_assignments.py"),
    ),
    "F28t": (
        "emergency inside a full, dying, vanished disk of the terminal",
        ("tests/system/test_emergency_in_faults.py",),
    ),
    "F29": (
        "screen or browser dead: button, outbox, link go on",
        (
            "tests/package/test_cab.py::test_the_button_works_with_the_store_the_link_and_the_screen_stuck",
            "tests/browser/test_renderer_dies.py",
        ),
    ),
    "F30t": (
        "PIN counter: a try is counted before it is checked",
        (
            "tests/package/test_vault.py",
            "tests/screens/test_touchscreen_crew.py::test_wrong_pins_are_counted_across_a_restart_and_lock",
        ),
    ),
    "F31": (
        "enrollment cut at each of its steps",
        (
            "tests/package/test_enrollment_end_to_end.py"
            "::test_a_first_boot_cut_at_any_step_resumes_with_one_certificate",
            "tests/package/test_enrollment_end_to_end.py::test_a_cut_between_writing_the_identity_and_its_link_resumes",
        ),
    ),
    "F32a": (
        "a console too slow: dropped, begins from a snapshot",
        (
            "tests/screens/test_console_board.py::test_a_viewer_that_falls_behind_is_dropped_and_the_others_go_on",
            "tests/screens/test_console_board.py::test_a_dropped_page_starts_again_from_a_snapshot",
        ),
    ),
    "F32b": (
        "road engine dead, hung, or without an answer in time",
        (
            "tests/package/test_hub_roads.py",
            "tests/system/test_valhalla.py::test_an_engine_that_hangs_keeps_nobody_waiting_and_is_replaced",
            "tests/system/test_valhalla.py::test_an_engine_that_was_killed_is_started_again",
            "tests/system/test_ranking_by_road.py"
            "::test_when_the_engine_is_gone_the_list_is_by_straight_line_as_without_one",
        ),
    ),
}

LATER = {
    "F18": ("revoked while connected", "comes with the revocation of a device"),
}


def proven(name: str, tests: tuple[str, ...]) -> Callable[[Ground], Outcome]:
    """Run `tests`, once or several times, each time with hypotheses from another seed."""

    def run(ground: Ground) -> Outcome:
        missing = [test for test in tests if not _is_there(test)]
        if missing:
            raise NotRun(f"there is no {' nor '.join(missing)}")
        passed, findings = 0, []
        for number in range(ground.often(quick=1, full=3)):
            result = ground.scratch / f"{name}-{number}.xml"
            done = _pytest(tests, ground.chance(f"{name}/{number}").randrange(2**32), result)
            if not result.exists():
                findings.append(f"pytest itself failed: {done.stdout.strip().splitlines()[-1:]}")
                continue
            for case in ElementTree.parse(result).iter("testcase"):
                what = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
                if what is None:
                    passed += 1
                elif what.tag == "skipped":
                    raise NotRun(f"{case.get('name')} was skipped here: {_first_line(what)}")
                else:
                    findings.append(f"{case.get('name')} failed: {_first_line(what)}")
        return Outcome(
            repetitions=passed,
            lost=0,
            duplicated=0,
            recovery_s_max=None,
            also=f"tests that passed, of {', '.join(sorted({Path(t.split('::')[0]).name for t in tests}))}",
            findings=tuple(dict.fromkeys(findings)),
        )

    return run


def _first_line(told: ElementTree.Element) -> str:
    return next(iter(told.get("message", "").splitlines()), "")[:REASON_CHARS]


def _is_there(test: str) -> bool:
    file, _, function = test.partition("::")
    path = ROOT / file
    return (
        path.exists()
        and re.search(rf"^def {function}\(" if function else "def test_", path.read_text(), re.M) is not None
    )


def _pytest(tests: tuple[str, ...], seed: int, result: Path) -> subprocess.CompletedProcess[str]:
    words = [
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        "-o",
        "junit_family=xunit1",  # the other one has no place for the figures that tests report, and says so as an error
        f"--junitxml={result}",
        f"--hypothesis-seed={seed}",
    ]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}  # such as -n
    return subprocess.run(
        [sys.executable, "-m", "pytest", *words, *tests],
        cwd=ROOT,
        env={**inherited, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PYTEST_S_MAX,
    )


def _not_yet(why: str) -> Callable[[Ground], Outcome]:
    def run(_: Ground) -> Outcome:
        raise NotRun(why)

    return run


ROWS = (
    *(Row(name, fault, proven(name, tests)) for name, (fault, tests) in BY_ROW.items()),
    *(Row(name, fault, _not_yet(why)) for name, (fault, why) in LATER.items()),
)
