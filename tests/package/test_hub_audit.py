"""The audit: every line hashed with the one before, its length held by desks, and every way of falsifying it found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, delete, select, update

from edge.audit_head import countersigned
from hub import audit, audit_check, schema, store
from hub.audit import Line, chained, line_of
from hub.audit_check import Checked, Head
from hub.errors import Refused
from tests.hub_agency import NOW_MS, Agency
from wire.codec import Malformed
from wire.facts import AUDIT_HEAD
from wire.records import Kind
from wire.state import AuditHead

TABLE = schema.audit
HELD = AuditHead(line=8, chained=bytes([1]) * 32)


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


@pytest.mark.parametrize("field", Line.__struct_fields__)
def test_every_single_field_of_a_line_is_bound(field: str) -> None:
    line = Line(seq=2, at_ms=5, source="hub", actor="nina", what="did", about="i1", outcome="ok", reason="why")
    other = replace(line, **{field: 7 if field in ("seq", "at_ms") else "other"})
    assert chained(audit.BEGINNING, other) != chained(audit.BEGINNING, line)
    assert {column.name for column in TABLE.columns} == {*Line.__struct_fields__, "chained"}


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


def test_a_desk_s_word_makes_no_line_of_its_own(agency: Agency) -> None:
    told(agency)
    before = last(agency)
    told(agency)
    assert last(agency) == before


@pytest.mark.parametrize(("epoch", "line", "value"), [(1, 9, 2), (1, 8, 1), (2, 3, 2)])
def test_an_audit_that_grew_or_was_restored_is_countersigned(epoch: int, line: int, value: int) -> None:
    said = AuditHead(line=line, chained=bytes([value]) * 32)
    fact = countersigned((1, HELD), epoch, said)
    assert (fact.what, fact.outcome) == (AUDIT_HEAD, "ok")
    assert audit_check.head_in("d-desk", fact.about or "", fact.reason or "") == Head(
        by="d-desk", epoch=epoch, line=line, chained=said.chained
    )


@pytest.mark.parametrize(("line", "value"), [(8, 2), (7, 1)])
def test_an_audit_that_shrank_or_is_another_is_refused(line: int, value: int) -> None:
    with pytest.raises(Malformed, match="an audit"):
        countersigned((1, HELD), 1, AuditHead(line=line, chained=bytes([value]) * 32))
