"""Whatever dispatchers do to three incidents, in whatever order and how often: what must be true of them is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row, create_engine, func, insert, select

from hub import cautions, changes, endings, incidents, links, remarks, schema
from hub.cautions import Cautioning
from hub.changes import Change, Securing, Staging
from hub.deeds import Deed, lines_in
from hub.endings import Closing, Recommending, Reopening
from hub.errors import HTTP_STATUS, Refused
from hub.gate import AUTHORITIES, NEXT
from hub.incidents import Opening
from hub.labels import CLINICAL, NOTHING, ON_THE_BOARD, SWORN, Labels
from hub.links import Linking, Merging, Unlinking
from hub.packet import Answer
from hub.remarks import Remarking
from hub.timeline import timeline
from wire.incident import DISPOSITIONS, PRIORITIES, TYPES, Gate
from wire.packet import BEHAVIORS, PACKET, Label

NOW_MS = 1_795_000_000_000
IDS = ("i1", "i2", "i3")
GATES = {"i1": Gate.UNKNOWN, "i2": Gate.STAGED, "i3": Gate.UNKNOWN}  # as they open
TRUTHS = (ON_THE_BOARD, CLINICAL, SWORN)

Act = Callable[[Connection, str, Struct, Deed], bool]
Step = tuple[str, Labels, tuple[Act, Struct]]

ANSWERS = st.sampled_from(list(PACKET)).flatmap(
    lambda code: st.builds(
        Answer,
        question=st.just(code),
        answer=st.sampled_from(PACKET[code].answers),
        words=st.just("said so"),
        source=st.just("caller"),
    )
)
OTHERS = st.sampled_from(IDS)
ENDS = st.sampled_from([*DISPOSITIONS, "vanished"])
REVISIONS = st.integers(0, 12)
CHANGES = st.builds(
    Change,
    id=st.just(""),
    revision=REVISIONS,
    type=st.none() | st.sampled_from([*TYPES, "NOPE"]),
    priority=st.none() | st.sampled_from([*PRIORITIES, 7]),
    lat=st.none() | st.sampled_from([41.0, 42.0]),
    place=st.none() | st.sampled_from(["12 Shore St", "5 Oak St"]),
    packet=st.lists(ANSWERS, max_size=2, unique_by=lambda one: one.question).map(tuple),
)
ACTS = st.one_of(
    st.tuples(st.just(changes.change), CHANGES),
    st.tuples(
        st.just(changes.secure),
        st.builds(
            Securing,
            id=st.just(""),
            revision=REVISIONS,
            authority=st.sampled_from([*AUTHORITIES, "neighbor"]),
            name=st.sampled_from(["Ortiz", " "]),
        ),
    ),
    st.tuples(st.just(changes.stage), st.just(Staging(id="", reason="Shouting"))),
    st.tuples(
        st.just(endings.close), st.builds(Closing, disposition=ENDS, recommended=st.none() | ENDS, id=st.just(""))
    ),
    st.tuples(st.just(endings.recommend), st.builds(Recommending, id=st.just(""), disposition=ENDS)),
    st.tuples(st.just(endings.reopen), st.just(Reopening(id="", reason="He came back"))),
    st.tuples(st.just(links.merge), st.builds(Merging, id=st.just(""), into=OTHERS)),
    st.tuples(st.just(links.link), st.builds(Linking, id=st.just(""), other=OTHERS, kind=st.sampled_from(links.KINDS))),
    st.tuples(st.just(links.unlink), st.builds(Unlinking, id=st.just(""), other=OTHERS)),
    st.tuples(
        st.just(remarks.remark), st.builds(Remarking, id=st.just(""), text=st.just("x"), label=st.sampled_from(Label))
    ),
    st.tuples(
        st.just(cautions.add),
        st.builds(Cautioning, id=st.just(""), behavior=st.sampled_from(list(BEHAVIORS)), source=st.just("CARE-1")),
    ),
)
STEPS = st.lists(st.tuples(OTHERS, st.sampled_from(TRUTHS), ACTS), max_size=12)

LIFE = [  # one that chance seldom finds: called secure, closed, opened again, merged, another staged
    ("i2", ON_THE_BOARD, (changes.secure, Securing(id="", revision=1, authority="police", name="Ortiz"))),
    ("i2", ON_THE_BOARD, (endings.close, Closing(id="", disposition="refused"))),
    ("i2", ON_THE_BOARD, (endings.reopen, Reopening(id="", reason="He came back"))),
    ("i2", ON_THE_BOARD, (links.merge, Merging(id="", into="i1"))),
    ("i3", ON_THE_BOARD, (changes.stage, Staging(id="", reason="Shouting"))),
]


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    schema.metadata.create_all(engine)
    with engine.connect() as made:
        yield made
    engine.dispose()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
@example(LIFE)
def test_an_incident_keeps_its_promises_whatever_people_do_to_it(connection: Connection, steps: list[Step]) -> None:
    connection.rollback()
    _seed(connection)
    told: list[tuple[Act, str, Struct, Deed]] = []
    for n, (to, may, (act, blank)) in enumerate(steps):
        before = _revisions(connection)
        asked, deed = replace(blank, id=f"a{n}"), Deed(by="dee", now_ms=NOW_MS + 1000 * (n + 1), may=may)
        try:
            with connection.begin_nested():
                is_new = act(connection, to, asked, deed)
        except Refused as wrong:
            assert wrong.code in HTTP_STATUS and wrong.sentence.endswith(".") and "\n" not in wrong.sentence
            assert _revisions(connection) == before
            continue
        if is_new:
            told.append((act, to, asked, deed))
            assert _revisions(connection)[to] == before[to] + 1
        _require_promises(connection)
    _require_story(connection)
    _require_done_once(connection, told)
    connection.rollback()


def _require_done_once(connection: Connection, told: list[tuple[Act, str, Struct, Deed]]) -> None:
    """Every act said again changes nothing, and none of their ids means anything else."""
    before = _everything(connection)
    for act, to, asked, deed in told:
        assert not act(connection, to, asked, deed)
        with pytest.raises(Refused) as wrong:
            remarks.remark(connection, to, Remarking(id=asked.id, text="something else"), deed)  # type: ignore[attr-defined]
        assert wrong.value.code == "conflict"
    assert _everything(connection) == before


def _require_promises(connection: Connection) -> None:
    for row in connection.execute(select(schema.incident)).all():
        assert (row.state == "open") == (row.closed_ms is None) == (row.disposition is None)
        assert row.disposition in (None, *DISPOSITIONS)
        assert row.recommended in (None, *DISPOSITIONS)
        assert (row.gate == Gate.SECURE) == (row.gate_by is not None), "secure is always on somebody's word"
        assert row.merged_into != row.incident
        assert row.merged_into is None or row.state == "canceled"


def _require_story(connection: Connection) -> None:
    table = schema.incident_act
    for row in connection.execute(select(schema.incident)).all():
        acts = connection.execute(select(table).where(table.c.incident == row.incident).order_by(table.c.id)).all()
        assert [act.revision for act in acts] == list(range(1, row.revision + 1))
        _require_gate_opened_on_a_word(acts, GATES[row.incident], Gate(row.gate))
        whole = timeline(connection, row.incident, frozenset(Label))
        assert [one.at_ms for one in whole] == sorted(one.at_ms for one in whole)
        for may in (NOTHING, *TRUTHS):
            assert timeline(connection, row.incident, may) == tuple(one for one in whole if one.label in may)
    counted = connection.execute(select(func.count()).select_from(table)).scalar()
    audited = connection.execute(
        select(func.count()).select_from(schema.audit).where(schema.audit.c.what.startswith("incident_"))
    ).scalar()
    assert audited == counted, "an act without its audit row, or the other way round"


def _require_gate_opened_on_a_word(acts: Sequence[Row[tuple[object, ...]]], first: Gate, now: Gate) -> None:
    gate = first
    for act in acts:
        for line in lines_in(act.lines):
            if line.field != "gate":
                continue
            after = Gate((line.after or "").split(" ")[0])
            assert gate is Gate(line.before or ""), "a step of the gate that no line tells"
            assert (after is Gate.SECURE) == (act.what == "secured")
            assert after is not Gate.SECURE or after in NEXT[Gate(line.before or "")]
            gate = after
    assert gate is now


def _seed(connection: Connection) -> None:
    connection.execute(
        insert(schema.account).values(account="dee", name="Dee", role="dispatcher", salt=b"", password=b"", fails=0)
    )
    for n, id_ in enumerate(IDS):
        opening = Opening(
            id=id_,
            type=("MNTL", "MTLV", "WELFARE")[n],
            priority=2,
            lat=41.0 + n,
            lon=-83.0,
            place="12 Shore St",
            problem="",
        )
        incidents.open_incident(connection, opening, id_.encode().ljust(16, b"\0"), Deed(by="dee", now_ms=NOW_MS))


def _revisions(connection: Connection) -> dict[str, int]:
    table = schema.incident
    return {row.incident: row.revision for row in connection.execute(select(table.c.incident, table.c.revision))}


def _everything(connection: Connection) -> list[list[tuple[object, ...]]]:
    kept = (
        schema.incident,
        schema.incident_act,
        schema.incident_link,
        schema.packet_answer,
        schema.caution,
        schema.audit,
    )
    return [[tuple(row) for row in connection.execute(select(table))] for table in kept]
