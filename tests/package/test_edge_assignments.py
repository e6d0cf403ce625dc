"""What the unit is doing, as the screen shows it: the hub's word with the crew's own presses ahead of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import assignments, outbox, schema
from edge.assignments import View
from edge.identity import Identity
from edge.outbox import Signer
from edge.store import Store
from tests.terminal_fleet import TerminalFleet
from wire.codec import decode
from wire.facts import StatusFact
from wire.records import Kind, open_record
from wire.stamp import Stamp
from wire.state import Assignment, Assignments
from wire.status import By, Status

STAMP = Stamp(boot=bytes(16), mono_ms=5, wall_ms=1_770_000_000_000, quality="ntp")


class Cab:
    def __init__(self, home: Path) -> None:
        self.fleet = TerminalFleet()
        self.who: Identity = self.fleet.terminal(home, "care-1")
        self.signer = Signer(self.who.device, self.who.key)
        self.store = Store(home / "ledger.db", schema.LEDGER)
        self.log_id = self.store.do(outbox.numbers).log_id

    def hub_says(
        self,
        status: str,
        *ids: str,
        through: int = 0,
        log_id: bytes | None = None,
        is_log_known: bool = True,
        is_restored: bool = False,
    ) -> None:
        said = Assignments(
            unit="u1",
            call_sign="CARE-1",
            status=status,
            status_ms=0,
            log_id=(log_id or self.log_id) if is_log_known else None,
            status_through=through,
            assignments=tuple(job(name) for name in ids),
        )
        self.fleet.say(self.store, self.who, "assignments", said)
        self.store.do(lambda db: assignments.fold(db, said))
        if is_restored:
            self.store.do(lambda db: assignments.remember(db, said))

    def view(self) -> View:
        view = self.store.do(lambda db: assignments.view(db, self.who.kem))
        assert view is not None
        return view

    def press(self, status: Status) -> int:
        view = self.view()
        return self.store.do(lambda db: assignments.press(db, self.signer, STAMP, view, status, By.CREW, "s1"))

    def fact(self, seq: int) -> StatusFact:
        (owed,) = self.store.do(lambda db: outbox.read(db, seq, 1, 1))
        return decode(open_record(owed.data, "care-1", self.who.key.public_key()).body, StatusFact)

    def presses(self) -> int:
        return int(self.store.do(lambda db: db.execute("select count(*) from press").fetchone()[0]))


def job(name: str) -> Assignment:
    return Assignment(
        id=name,
        incident=f"i-{name}",
        encounter=bytes(16),
        type="EDP",
        type_label="Emotional crisis",
        priority=2,
        lat=39.96,
        lon=-83.0,
        place="Main and High",
        problem="Shouting",
        gate="unknown",
        offered_ms=0,
    )


@pytest.fixture
def cab(tmp_path: Path) -> Iterator[Cab]:
    made = Cab(tmp_path)
    yield made
    made.store.close()


def test_of_a_crew_that_presses_for_days_without_a_link_only_the_newest_press_is_kept(cab: Cab) -> None:
    cab.hub_says("available")
    for _ in range(20):
        cab.press(Status.BREAK), cab.press(Status.AVAILABLE)
    newest = cab.press(Status.BREAK)
    assert (cab.presses(), cab.view().status) == (1, Status.BREAK)
    cab.hub_says("available", through=newest - 1)
    assert cab.view().status is Status.BREAK
    cab.hub_says("available", through=newest)
    assert (cab.presses(), cab.view().status) == (0, Status.AVAILABLE)


def test_before_the_hub_has_spoken_there_is_nothing_to_show(cab: Cab) -> None:
    assert cab.store.do(lambda db: assignments.view(db, cab.who.kem)) is None


def test_the_hubs_word_is_shown(cab: Cab) -> None:
    cab.hub_says("assigned", "a1")
    view = cab.view()
    assert (view.unit, view.call_sign, view.status, view.current) == ("u1", "CARE-1", Status.ASSIGNED, job("a1"))


def test_a_press_shows_at_once_and_is_owed_to_the_hub(cab: Cab) -> None:
    cab.hub_says("assigned", "a1")
    seq = cab.press(Status.ACKNOWLEDGED)
    assert cab.view().status is Status.ACKNOWLEDGED
    assert cab.fact(seq) == StatusFact(unit="u1", status="acknowledged", by="crew", staff="s1", assignment="a1")


def test_a_snapshot_that_has_not_heard_the_press_does_not_take_it_back(cab: Cab) -> None:
    cab.hub_says("assigned", "a1")
    seq = cab.press(Status.EN_ROUTE)
    cab.hub_says("assigned", "a1", through=seq - 1)
    assert cab.view().status is Status.EN_ROUTE
    assert cab.presses() == 1


def test_a_snapshot_that_has_heard_the_press_is_the_truth_again(cab: Cab) -> None:
    cab.hub_says("assigned", "a1")
    seq = cab.press(Status.EN_ROUTE)
    cab.hub_says("out_of_service", "a1", through=seq)
    assert cab.view().status is Status.OUT_OF_SERVICE
    assert cab.presses() == 0


def test_a_snapshot_about_another_log_has_heard_none_of_our_presses(cab: Cab) -> None:
    cab.hub_says("assigned", "a1")
    cab.press(Status.EN_ROUTE)
    cab.hub_says("available", "a1", through=99, log_id=b"y" * 16)
    assert cab.view().status is Status.EN_ROUTE
    assert cab.presses() == 1


def test_the_assignment_the_crew_pressed_for_stays_current_while_the_hub_has_it(cab: Cab) -> None:
    cab.hub_says("assigned", "a1")
    cab.press(Status.EN_ROUTE)
    cab.hub_says("assigned", "a2", "a1")
    assert cab.view().current == job("a1")
    cab.hub_says("assigned", "a2")
    assert cab.view().current == job("a2")


def test_a_step_the_table_does_not_know_is_kept_and_flagged(cab: Cab) -> None:
    cab.hub_says("break")
    assert cab.fact(cab.press(Status.ON_SCENE)).skipped
    assert not cab.fact(cab.press(Status.CONTACT)).skipped


def test_a_status_of_a_newer_hub_offers_nothing_on_a_guess(cab: Cab) -> None:
    cab.hub_says("teleporting")
    assert cab.view().status is Status.OUT_OF_SERVICE


def test_a_press_whose_record_cannot_be_made_does_not_show(cab: Cab) -> None:
    cab.hub_says("available")
    view = cab.view()

    def fails(db: object) -> None:
        assignments.press(db, cab.signer, STAMP, view, Status.BREAK, By.CREW, None)  # type: ignore[arg-type]
        raise LookupError

    with pytest.raises(LookupError):
        cab.store.do(fails)
    assert cab.view().status is Status.AVAILABLE
    assert cab.store.do(outbox.numbers).next == 1


def test_a_restored_hub_that_forgot_a_press_does_not_take_it_back(cab: Cab) -> None:
    cab.hub_says("assigned", "a1")
    heard = cab.press(Status.ACKNOWLEDGED)
    forgotten = cab.press(Status.EN_ROUTE)
    cab.hub_says("en_route", "a1", through=forgotten)
    assert cab.presses() == 0
    cab.hub_says("acknowledged", "a1", through=heard, is_restored=True)
    assert cab.view().status is Status.EN_ROUTE
    cab.hub_says("en_route", "a1", through=forgotten)
    assert (cab.view().status, cab.presses()) == (Status.EN_ROUTE, 0)


def test_a_restored_hub_that_never_heard_this_board_does_not_take_its_press_back(cab: Cab) -> None:
    cab.hub_says("assigned", "a1")
    cab.hub_says("en_route", "a1", through=cab.press(Status.EN_ROUTE))
    cab.hub_says("off_duty", is_restored=True, is_log_known=False)
    assert cab.view().status is Status.EN_ROUTE
    assert cab.view().current is None, "and an assignment that the hub forgot is none"


def test_a_status_that_nobody_can_read_does_not_keep_a_restored_hubs_word_away(cab: Cab) -> None:
    cab.hub_says("available", "a1")
    cab.store.do(lambda db: outbox.append(db, cab.signer, STAMP, Kind.STATUS, b"\xc1"))
    cab.press(Status.ACKNOWLEDGED)
    cab.hub_says("assigned", "a1", is_restored=True)
    assert cab.view().status is Status.ACKNOWLEDGED


def test_a_restored_hub_that_hears_the_unit_through_another_board_has_the_last_word(cab: Cab) -> None:
    cab.hub_says("assigned", "a1")
    cab.hub_says("en_route", "a1", through=cab.press(Status.EN_ROUTE))
    cab.hub_says("available", log_id=b"o" * 16, is_restored=True)
    assert cab.view().status is Status.AVAILABLE
