"""The audit: every line hashed with the one before, its length held by desks, and every way of falsifying it found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, select, update

from edge.audit_head import countersigned
from hub import audit, audit_check, schema, store
from hub.audit import chained, line_of
from hub.audit_check import Checked, Head
from hub.errors import Refused
from tests.hub_agency import NOW_MS, Agency
from wire.facts import AUDIT_HEAD, AuditFact
from wire.records import Kind
from wire.state import AuditHead

TABLE = schema.audit


@pytest.fixture
def agency(tmp_path: Path) -> Iterator[Agency]:
    made = Agency(tmp_path)
    for number in range(40):
        say(made, f"did_{number}")
    yield made
    made.engine.dispose()


def say(agency: Agency, what: str) -> int:
    with agency.engine.begin() as connection:
        return audit.append(connection, NOW_MS, "console", "nina", what, "i1", audit.OK)


def last(agency: Agency) -> int:
    with agency.engine.begin() as connection:
        return int(connection.execute(select(TABLE.c.seq).order_by(TABLE.c.seq.desc()).limit(1)).scalar_one())


def told(agency: Agency) -> AuditHead:
    """A desk is told how far it goes, and countersigns."""
    with agency.engine.begin() as connection:
        audit.mark(connection)
        said = audit.head(connection)
        epoch = store.epoch(connection)
    assert said is not None
    agency.take(agency.desk.record(Kind.AUDIT, countersigned(None, epoch, said)))
    return said


def forge(agency: Agency, what: Callable[[Connection], object]) -> None:
    """Somebody with the database open does this to it."""
    with agency.engine.begin() as connection:
        what(connection)


def edit(connection: Connection) -> None:
    connection.execute(update(TABLE).where(TABLE.c.seq == 12).values(actor="omar"))


def edit_and_hash(connection: Connection) -> None:
    edit(connection)
    rehash(connection, 12, 12)


def take_out(connection: Connection) -> None:
    connection.execute(delete(TABLE).where(TABLE.c.seq == 12))


def take_out_and_close_up(connection: Connection) -> None:
    take_out(connection)
    for row in connection.execute(select(TABLE.c.seq).where(TABLE.c.seq > 12).order_by(TABLE.c.seq)).all():
        connection.execute(update(TABLE).where(TABLE.c.seq == row.seq).values(seq=row.seq - 1))


def swap(connection: Connection) -> None:
    for seq, to in ((12, -1), (13, 12), (-1, 13)):
        connection.execute(update(TABLE).where(TABLE.c.seq == seq).values(seq=to))


def cut_off(connection: Connection) -> None:
    connection.execute(delete(TABLE).where(TABLE.c.seq > 30))


def write_anew(connection: Connection) -> None:
    edit(connection)
    rehash(connection, 12, 10_000)


def rehash(connection: Connection, first: int, through: int) -> None:
    """Hashes that fit, as somebody who knows the program would write them."""
    before = connection.execute(select(TABLE.c.chained).where(TABLE.c.seq == first - 1)).scalar_one()
    rows = connection.execute(select(TABLE).where(TABLE.c.seq.between(first, through)).order_by(TABLE.c.seq)).all()
    for row in rows:
        before = chained(before, line_of(row))
        connection.execute(update(TABLE).where(TABLE.c.seq == row.seq).values(chained=before))


def test_a_log_that_nobody_touched_is_sound(agency: Agency) -> None:
    told(agency)
    say(agency, "more")
    assert audit_check.check(agency.engine) == Checked(lines=last(agency), open_from=None, heads=1, wrongs=())


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (edit, "Line 12 does not follow"),
        (edit_and_hash, "Line 13 does not follow"),
        (take_out, "Line 12 is missing."),
        (take_out_and_close_up, "Line 12 does not follow"),
        (swap, "Line 12 does not follow"),
        (cut_off, "The audit ends at line 30, and d-desk was told of line"),
        (write_anew, "is not the one that d-desk was told of: it was written anew"),
    ],
)
def test_whoever_falsifies_it_is_found(agency: Agency, how: Callable[[Connection], object], says: str) -> None:
    told(agency)
    forge(agency, how)
    wrongs = audit_check.check(agency.engine).wrongs
    assert any(says in wrong for wrong in wrongs), wrongs


def test_every_single_field_of_a_line_is_bound(agency: Agency) -> None:
    with agency.engine.begin() as connection:
        (row,) = connection.execute(select(TABLE).where(TABLE.c.seq == 20)).all()
    whole = line_of(row)
    fields = ("seq", "at_ms", "source", "actor", "what", "about", "outcome", "reason")
    assert fields == whole.__struct_fields__
    assert set(fields) == {column.name for column in TABLE.columns} - {"chained"}


def test_a_head_that_somebody_wrote_down_is_compared_as_well(agency: Agency) -> None:
    held = told(agency)
    forge(agency, write_anew)
    forge(agency, lambda connection: connection.execute(delete(schema.record)))  # and the desk's word with it
    assert audit_check.check(agency.engine).wrongs == ()
    mine = audit_check.head_of(f"1:{held.line}:{held.chained.hex()}")
    assert any("told of" in wrong for wrong in audit_check.check(agency.engine, (mine,)).wrongs)
    with pytest.raises(Refused, match="EPOCH:LINE:HASH"):
        audit_check.head_of("line 12")


def test_what_a_restore_lost_is_no_fault_and_what_was_there_before_it_is(agency: Agency) -> None:
    held = told(agency)
    say(agency, "lost by the restore")
    lost = told(agency)
    forge(agency, lambda connection: connection.execute(delete(TABLE).where(TABLE.c.seq > held.line)))
    with agency.engine.begin() as connection:
        store.raise_epoch(connection)
        audit.append(connection, NOW_MS, "hub", "root", audit.RESTORED_LINE, None, audit.OK)
        store.keep_fact(connection, audit.HEAD, held.line)
    for _ in range(5):
        say(agency, "another life")
    assert lost.line <= last(agency)
    assert audit_check.check(agency.engine).wrongs == ()
    forge(agency, write_anew)
    assert any(f"Line {held.line} is not the one" in wrong for wrong in audit_check.check(agency.engine).wrongs)


def test_lines_of_a_release_before_are_chained_with_the_next_and_not_among_others(agency: Agency) -> None:
    def without(connection: Connection) -> None:
        connection.execute(update(TABLE).where(TABLE.c.seq > 35).values(chained=None))

    forge(agency, without)
    assert audit_check.check(agency.engine).open_from == 36
    say(agency, "the new release writes")
    assert audit_check.check(agency.engine) == Checked(lines=last(agency), open_from=None, heads=0, wrongs=())
    forge(agency, lambda connection: connection.execute(update(TABLE).where(TABLE.c.seq == 5).values(chained=None)))
    assert audit_check.check(agency.engine).wrongs == ("Line 5 carries no hash although one after it does.",)


def test_desks_are_told_every_hundred_lines_and_of_the_newest_every_ten_minutes(agency: Agency) -> None:
    with agency.engine.begin() as connection:
        before = audit.head(connection)
    for number in range(audit.HEAD_EVERY):
        say(agency, f"more_{number}")
    with agency.engine.begin() as connection:
        after = audit.head(connection)
        audit.mark(connection)
        marked = audit.head(connection)
    assert before is None
    assert after is not None and after.line == 100
    assert marked is not None and marked.line == last(agency)


def test_a_desk_s_word_makes_no_line_of_its_own_unless_it_contradicts(agency: Agency) -> None:
    said = told(agency)
    before = last(agency)
    told(agency)
    assert last(agency) == before
    lower = AuditHead(line=said.line - 1, chained=bytes(32))
    agency.take(agency.desk.record(Kind.AUDIT, countersigned((1, said), 1, lower)))
    with agency.engine.begin() as connection:
        (row,) = connection.execute(select(TABLE).where(TABLE.c.seq > before)).all()
    assert (row.source, row.what, row.outcome) == ("d-desk", AUDIT_HEAD, audit.DENIED)


@pytest.mark.parametrize(
    ("epoch", "line", "value", "outcome"),
    [(1, 9, 2, "ok"), (1, 8, 1, "ok"), (1, 8, 2, "denied"), (1, 7, 1, "denied"), (2, 3, 2, "ok")],
)
def test_within_an_epoch_the_audit_only_grows(epoch: int, line: int, value: int, outcome: str) -> None:
    before = (1, AuditHead(line=8, chained=bytes([1]) * 32))
    said = AuditHead(line=line, chained=bytes([value]) * 32)
    fact = countersigned(before, epoch, said)
    assert isinstance(fact, AuditFact)
    assert fact.outcome == outcome
    assert audit_check.head_in("d-desk", fact.about or "", fact.reason or "") == Head(
        by="d-desk", epoch=epoch, line=line, chained=said.chained
    )
