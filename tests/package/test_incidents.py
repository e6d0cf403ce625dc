"""An incident from its opening to its end: told once, changed by two at a time, staged, merged, reopened, remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, insert, select, text

from edge.cab import alert_between
from hub import cautions, changes, desired, dossier, endings, incidents, links, remarks, schema, sending
from hub.cautions import DAY_MS, Cautioning
from hub.changes import Change, Securing, Staging
from hub.deeds import Deed
from hub.desired import Vouched
from hub.endings import Closing, Recommending, Reopening
from hub.errors import Refused
from hub.incidents import Asked, Opening
from hub.labels import CLINICAL, NOTHING, ON_THE_BOARD
from hub.links import Linking, LinkView, Merging, Unlinking
from hub.near import Sketch
from hub.packet import Answer
from hub.rank import Need
from hub.remarks import Remarking
from hub.snapshot import IncidentView
from hub.snapshot import incidents as shown
from hub.timeline import timeline
from tests.hub_agency import NOW_MS, Agency
from wire.codec import decode
from wire.facts import ShiftFact, StatusFact
from wire.packet import Label
from wire.records import Kind
from wire.state import Assignment, Assignments

T = TypeVar("T")

VOUCHED = Vouched(agency="Lakeshore CARE", note_keys=b"list", key_statement=b"statement")
KNIFE = Answer(question="weapons", answer="yes", words="kitchen knife", source="caller")
CANARY = "canary of the clinic"
USES = Answer(question="substance_use", answer="yes", words=CANARY, source="mother")


class Desk:
    """Where dispatchers sit: each call a transaction, a second later than the one before."""

    def __init__(self, home: Path) -> None:
        self.agency = Agency(home)
        for account, name in (("dee", "Dee"), ("kim", "Kim"), ("ruth", "Ruth")):
            with self.agency.engine.begin() as connection:
                connection.execute(
                    insert(schema.account).values(
                        account=account, name=name, role="dispatcher", salt=b"", password=b"", fails=0
                    )
                )

    def deed(self, by: str = "dee") -> Deed:
        return Deed(by=by, now_ms=self.agency.now_ms, may=CLINICAL if by == "ruth" else ON_THE_BOARD)

    def do(self, act: Callable[[Connection, str, T, Deed], bool], to: str, asked: T, by: str = "dee") -> bool:
        self.agency.now_ms += 1000
        with self.agency.engine.begin() as connection:
            return act(connection, to, asked, self.deed(by))

    def open(self, id_: str = "i1", **changed: object) -> bool:
        self.agency.now_ms += 1000
        with self.agency.engine.begin() as connection:
            encounter = id_.encode().ljust(16, b"\0")
            return incidents.open_incident(connection, opening(id_, **changed), encounter, self.deed())

    def view(self, id_: str = "i1") -> IncidentView:
        with self.agency.engine.begin() as connection:
            (view,) = shown(connection, only=id_)
            return view

    def dossier(self, id_: str = "i1", by: str = "dee") -> dossier.Dossier:
        with self.agency.engine.begin() as connection:
            return dossier.dossier(connection, id_, self.deed(by))

    def lines(self, id_: str = "i1", by: str = "dee") -> list[tuple[str, str | None]]:
        with self.agency.engine.begin() as connection:
            return [(one.what, one.detail) for one in timeline(connection, id_, self.deed(by).may)]

    def audited(self) -> list[tuple[str, str, str | None]]:
        table = schema.audit
        with self.agency.engine.begin() as connection:
            rows = connection.execute(
                select(table.c.what, table.c.about, table.c.reason).where(table.c.source == "console")
            )
            return [tuple(row) for row in rows]

    def told(self) -> Assignment:
        """What the first terminal is told of its first assignment."""
        with self.agency.engine.begin() as connection:
            for section, content in desired.compute(connection, "d-one", VOUCHED):
                if section == "assignments":
                    return decode(content, Assignments).assignments[0]
        raise AssertionError("no assignments")

    def aboard(self, *staff: str) -> None:
        fact = ShiftFact(shift=bytes(16), unit="u1", staff=staff, on=bool(staff))
        self.agency.take(self.agency.one.record(Kind.SHIFT, fact))


def opening(id_: str = "i1", **changed: object) -> Opening:
    plain = Opening(
        id=id_,
        type="MNTL",
        priority=2,
        lat=41.0,
        lon=-83.0,
        place="12 Shore St",
        problem="Hears voices, mother asks for help",
    )
    return replace(plain, **changed)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.agency.engine.dispose()


def refused(code: str, act: Callable[[], object]) -> str:
    with pytest.raises(Refused) as wrong:
        act()
    assert wrong.value.code == code
    assert wrong.value.sentence.endswith(".")
    return wrong.value.sentence


# --- opening


def test_an_incident_opens_with_what_was_asked_and_amber_for_what_was_not(desk: Desk) -> None:
    assert desk.open(packet=(KNIFE,))
    view = desk.view()
    assert [(one.question, one.answer, one.words, one.source, one.at_ms) for one in view.packet] == [
        ("weapons", "yes", "kitchen knife", "caller", desk.agency.now_ms)
    ]
    assert view.amber == ("violence_history", "dogs", "police_needed")
    assert view.gate == "staged", "a knife in the house"
    assert not desk.open(packet=(KNIFE,)), "posted twice is opened once"
    refused("conflict", lambda: desk.open(packet=(replace(KNIFE, answer="no"),)))
    refused("conflict", lambda: desk.open(packet=(KNIFE,), priority=1))


def test_an_opening_said_again_after_a_change_is_still_the_same_opening(desk: Desk) -> None:
    desk.open()
    desk.do(changes.change, "i1", Change(id="c1", revision=1, priority=1))
    assert not desk.open()
    assert desk.view().priority == 1


@pytest.mark.parametrize(
    "answer",
    [
        replace(KNIFE, question="horoscope"),
        replace(KNIFE, answer="maybe"),
        replace(KNIFE, source=" "),
        replace(KNIFE, words="x" * 201),
        replace(KNIFE, at_ms=NOW_MS + 10**9),
        Answer(question="callback", answer="yes", source="caller"),
        Answer(question="police_needed", answer="yes", source="caller"),
    ],
)
def test_an_answer_that_is_none_is_refused_with_a_sentence(desk: Desk, answer: Answer) -> None:
    refused("malformed", lambda: desk.open(packet=(answer,)))
    refused("malformed", lambda: desk.open(packet=(KNIFE, KNIFE)))


def test_the_same_call_again_is_hinted_at_while_it_is_entered(desk: Desk) -> None:
    desk.open()
    sketch = Sketch(type="MNTL", lat=41.0005, lon=-83.0, place="Shore Street")
    with desk.agency.engine.begin() as connection:
        (hint,) = incidents.hints(connection, sketch, desk.agency.now_ms + 240_000)
        assert (hint.number, hint.reasons) == (1, ("180 ft away", "opened 4 min ago", "same type"))
        assert incidents.hints(connection, replace(sketch, lat=42.0), desk.agency.now_ms) == ()


# --- changing


def test_every_change_is_on_the_timeline_and_in_the_audit_by_its_field_only(desk: Desk) -> None:
    desk.open()
    asked = Change(id="c1", revision=1, priority=1, problem="Now alone", packet=(KNIFE,))
    assert desk.do(changes.change, "i1", asked)
    assert not desk.do(changes.change, "i1", asked)
    assert desk.lines() == [
        ("opened", "dee"),
        ("changed", "Priority: 2 → 1"),
        ("changed", "Problem: Hears voices, mother asks for help → Now alone"),
        ("told", "Weapons: yes: kitchen knife (caller)"),
        ("changed", "Gate: unknown → staged"),
    ]
    assert desk.audited()[-1] == ("incident_changed", "i1", "priority problem weapons gate")
    assert "knife" not in str(desk.audited())
    assert desk.view().revision == 2


def test_an_act_with_an_id_that_was_used_for_something_else_is_refused(desk: Desk) -> None:
    desk.open()
    desk.open("i2", lat=40.0)
    desk.do(changes.change, "i1", Change(id="c1", revision=1, priority=1))
    refused("conflict", lambda: desk.do(changes.change, "i1", Change(id="c1", revision=1, priority=3)))
    refused("conflict", lambda: desk.do(changes.change, "i2", Change(id="c1", revision=1, priority=1)))
    refused("conflict", lambda: desk.do(remarks.remark, "i1", Remarking(id="c1", text="x")))
    refused("malformed", lambda: desk.do(remarks.remark, "i1", Remarking(id="opened:i9", text="x")))
    assert (desk.view().priority, desk.view("i2").priority) == (1, 2)


def test_the_second_of_two_dispatchers_who_change_one_field_is_told_who_was_first(desk: Desk) -> None:
    desk.open()
    desk.do(changes.change, "i1", Change(id="c1", revision=1, priority=1), by="kim")
    said = refused("changed", lambda: desk.do(changes.change, "i1", Change(id="c2", revision=1, priority=3)))
    assert said == "Kim changed the priority of #1 meanwhile. Look at it, then change it again."
    assert desk.view().priority == 1
    assert desk.do(changes.change, "i1", Change(id="c3", revision=2, priority=3))


def test_two_dispatchers_change_two_fields_and_both_stand(desk: Desk) -> None:
    desk.open()
    assert desk.do(changes.change, "i1", Change(id="c1", revision=1, priority=1), by="kim")
    assert desk.do(changes.change, "i1", Change(id="c2", revision=1, problem="Now calm", packet=(KNIFE,)))
    assert desk.do(changes.change, "i1", Change(id="c3", revision=1, priority=1)), "it says the same already"
    assert (desk.view().priority, desk.view().problem, len(desk.view().packet)) == (1, "Now calm", 1)


def test_an_answer_is_not_written_over_unseen(desk: Desk) -> None:
    desk.open()
    desk.do(changes.change, "i1", Change(id="c1", revision=1, packet=(KNIFE,)), by="kim")
    no = replace(KNIFE, answer="no", words="")
    said = refused("changed", lambda: desk.do(changes.change, "i1", Change(id="c2", revision=1, packet=(no,))))
    assert "weapons" in said
    assert desk.view().packet[0].answer == "yes"


def test_what_is_ranked_for_follows_the_change(desk: Desk) -> None:
    desk.open()
    asked = Change(id="c1", revision=1, lat=41.5, lon=-83.5, place="5 Oak St", need=Asked(languages=("spa",)))
    desk.do(changes.change, "i1", asked)
    with desk.agency.engine.begin() as connection:
        need = msgspec.json.decode(connection.execute(select(schema.incident.c.need)).scalar_one(), type=Need)
    assert need == Need(lat=41.5, lon=-83.5, gate="unknown", languages=("spa",))


def test_everything_that_may_be_asked_for_is_ranked_for_and_outlives_another_change(desk: Desk) -> None:
    wanted = Asked(
        skills=("clinician",),
        languages=("spa",),
        wishes=("youth",),
        licenses=("may_hold",),
        age_group="youth",
        crew_size=2,
        clinician="dana",
        agency="Lakeshore CARE",
    )
    desk.open(need=wanted)
    desk.do(changes.change, "i1", Change(id="c1", revision=1, problem="Calmer now"))
    with desk.agency.engine.begin() as connection:
        need = msgspec.json.decode(connection.execute(select(schema.incident.c.need)).scalar_one(), type=Need)
    assert need == Need(lat=41.0, lon=-83.0, gate="unknown", **msgspec.structs.asdict(wanted))


@pytest.mark.parametrize(
    "wrong",
    [
        Asked(skills=("juggling",)),
        Asked(languages=("tlh",)),
        Asked(licenses=("pilot",)),
        Asked(wishes=("juggling",)),
        Asked(age_group="ancient"),
        Asked(crew_size=10),
        Asked(crew_size=-1),
        Asked(clinician=" "),
        Asked(agency="x" * 101),
    ],
)
def test_a_need_that_nobody_could_meet_is_refused(desk: Desk, wrong: Asked) -> None:
    assert refused("malformed", lambda: desk.open(need=wrong)).endswith(".")


def test_a_closed_incident_is_not_changed(desk: Desk) -> None:
    desk.open()
    desk.do(endings.close, "i1", Closing(disposition="consult_only"))
    refused("closed", lambda: desk.do(changes.change, "i1", Change(id="c1", revision=2, priority=1)))
    assert desk.do(remarks.remark, "i1", Remarking(id="r1", text="Mother called to say thanks"))


@pytest.mark.parametrize("wrong", [{"priority": 9}, {"type": "NOPE"}, {"place": " "}, {"lat": 91.0}])
def test_a_change_into_what_cannot_be_is_refused(desk: Desk, wrong: dict[str, object]) -> None:
    desk.open()
    refused("malformed", lambda: desk.do(changes.change, "i1", replace(Change(id="c1", revision=1), **wrong)))
    assert desk.view().revision == 1


# --- the terminals on it


def test_the_terminal_on_it_is_told_every_change_and_alerted_to_danger(desk: Desk) -> None:
    desk.open()
    desk.agency.offer("a1", desk.agency.one)
    before = desk.told()
    assert (before.revision, before.packet, before.known_cautions) == (1, (), ())
    seen = before
    for n, asked in enumerate(
        (
            Change(id="c1", revision=1, priority=1),
            Change(id="c2", revision=1, type="WELFARE"),
            Change(id="c3", revision=1, place="14 Shore St", lat=41.001),
            Change(id="c4", revision=1, problem="Now alone"),
            Change(id="c5", revision=1, packet=(replace(KNIFE, question="dogs"),)),
            Change(id="c6", revision=1, packet=(KNIFE,)),
        )
    ):
        desk.do(changes.change, "i1", asked)
        now = desk.told()
        assert now.revision == n + 2
        assert alert_between((seen,), (now,)) is not None, asked.id
        seen = now
    assert seen.gate == "staged"


def test_what_the_clinic_knows_reaches_a_terminal_only_with_a_crew_that_is_all_clinical(desk: Desk) -> None:
    desk.open()
    desk.agency.offer("a1", desk.agency.one)
    desk.do(changes.change, "i1", Change(id="c1", revision=1, packet=(USES,)), by="ruth")
    assert CANARY not in str(desk.told()), "nobody is aboard"
    desk.aboard("s1")
    assert CANARY in str(desk.told())
    desk.aboard("s1", "s2")
    assert CANARY not in str(desk.told()), "an officer reads the same screen"
    desk.aboard("s2")
    assert CANARY not in str(desk.told())


def test_what_the_clinic_knows_never_reaches_a_dispatcher(desk: Desk) -> None:
    desk.open()
    desk.do(changes.change, "i1", Change(id="c1", revision=1, packet=(USES,)), by="ruth")
    desk.do(remarks.remark, "i1", Remarking(id="r1", text=CANARY, label=Label.CARE), by="ruth")
    for held in (desk.view(), desk.dossier(), desk.lines(), desk.audited()):
        assert CANARY not in str(held)
    assert CANARY in str(desk.dossier(by="ruth").packet)
    assert [one.text for one in desk.dossier(by="ruth").remarks] == [CANARY]
    assert sum(CANARY in str(line) for line in desk.lines(by="ruth")) == 2
    assert desk.audited()[-1] == ("incident_read", "i1", "care")
    no = replace(USES, answer="no", words="")
    refused("not_your_role", lambda: desk.do(changes.change, "i1", Change(id="c2", revision=9, packet=(no,))))
    refused("not_your_role", lambda: desk.do(remarks.remark, "i1", Remarking(id="r2", text="x", label=Label.CARE)))
    refused("not_your_role", lambda: desk.do(remarks.remark, "i1", Remarking(id="r3", text="x", label=Label.CJI)))


def test_who_may_not_know_of_an_incident_is_refused(desk: Desk) -> None:
    desk.open()
    with desk.agency.engine.begin() as connection:
        deed = Deed(by="kit", now_ms=1, may=NOTHING)
        refused("not_your_role", lambda: dossier.dossier(connection, "i1", deed))
        assert timeline(connection, "i1", NOTHING) == ()


# --- the gate


def test_a_scene_is_secure_on_a_named_word_and_anybody_takes_that_back(desk: Desk) -> None:
    desk.open(type="MTLV")
    desk.agency.offer("a1", desk.agency.one)
    secure = Securing(id="g1", revision=1, authority="police", name="Sgt. Ortiz")
    assert desk.do(changes.secure, "i1", secure)
    assert not desk.do(changes.secure, "i1", secure)
    assert (desk.view().gate, desk.view().gate_by) == ("secure", "Sgt. Ortiz, police on scene")
    assert (desk.told().gate, desk.told().gate_by) == ("secure", "Sgt. Ortiz, police on scene")
    assert desk.do(changes.stage, "i1", Staging(id="g2", reason="Shouting again"), by="kim")
    assert (desk.told().gate, desk.told().gate_by) == ("staged", None)
    assert [line for line in desk.lines() if line[0] in ("secured", "staged")] == [
        ("secured", "Gate: staged → secure (Sgt. Ortiz, police on scene)"),
        ("staged", "Gate: secure → staged"),
        ("staged", "Shouting again"),
    ]
    assert "Ortiz" not in str(desk.audited())


def test_a_scene_is_not_called_secure_over_news_that_nobody_has_read(desk: Desk) -> None:
    desk.open(type="MTLV")
    desk.do(changes.change, "i1", Change(id="c1", revision=1, packet=(KNIFE,)), by="kim")
    secure = Securing(id="g1", revision=1, authority="police", name="Ortiz")
    assert "Kim" in refused("changed", lambda: desk.do(changes.secure, "i1", secure))
    assert desk.view().gate == "staged"
    assert desk.do(changes.secure, "i1", replace(secure, revision=2))
    assert desk.do(changes.change, "i1", Change(id="c2", revision=3, packet=(replace(KNIFE, words="a gun"),)))
    assert desk.view().gate == "secure", "the officer stands there and knows"
    worse = Answer(question="violence_history", answer="yes", source="sister")
    assert desk.do(changes.change, "i1", Change(id="c3", revision=4, packet=(worse,)))
    assert (desk.view().gate, desk.view().gate_by) == ("staged", None)


def test_a_new_location_is_a_scene_that_nobody_has_looked_at(desk: Desk) -> None:
    desk.open(type="MTLV")
    desk.do(changes.secure, "i1", Securing(id="g1", revision=1, authority="fire", name="Cpt. Elm"))
    desk.do(changes.change, "i1", Change(id="c1", revision=2, lat=41.2))
    assert (desk.view().gate, desk.view().gate_by) == ("staged", None)
    desk.open("i2", packet=(), lat=40.0)
    desk.do(changes.stage, "i2", Staging(id="g2", reason="Crowd"))
    desk.do(changes.change, "i2", Change(id="c2", revision=2, place="Same pin, other words"))
    assert desk.view("i2").gate == "staged", "other words for one place open no gate"
    desk.do(changes.change, "i2", Change(id="c3", revision=3, lat=40.5))
    assert desk.view("i2").gate == "unknown"


# --- cautions


def dog(**changed: object) -> Cautioning:
    return replace(Cautioning(id="k1", behavior="dog", source="CARE-1"), **changed)


def test_a_caution_holds_for_the_next_call_to_that_address_until_it_expires(desk: Desk) -> None:
    desk.open()
    assert desk.do(cautions.add, "i1", dog())
    assert not desk.do(cautions.add, "i1", dog())
    refused("conflict", lambda: desk.do(cautions.add, "i1", dog(behavior="flight")))
    added_ms = desk.agency.now_ms - 2000
    desk.do(endings.close, "i1", Closing(disposition="no_contact"))
    desk.open("i2")
    desk.open("i3", lat=41.01, place="13 Shore St")
    (held,) = desk.view("i2").known_cautions
    assert (held.behavior, held.source, held.expires_ms) == ("dog", "CARE-1", added_ms + 180 * DAY_MS)
    assert desk.view("i3").known_cautions == ()
    desk.agency.offer("a1", desk.agency.one, "i2")
    assert desk.told().known_cautions == (held,)
    assert desk.told().cautions == ("Dog (CARE-1, 2026-05-28)",)
    desk.agency.now_ms = held.expires_ms
    assert desk.dossier("i2").known_cautions == ()
    with desk.agency.engine.begin() as connection:
        assert [cautions.expire(connection, held.expires_ms - 1), cautions.expire(connection, held.expires_ms)] == [
            0,
            1,
        ]
        assert cautions.expire(connection, held.expires_ms) == 0
        audited = connection.execute(select(schema.audit.c.about).where(schema.audit.c.what == "caution_expired"))
        assert list(audited.scalars()) == ["k1"]
    assert (desk.view("i2").known_cautions, desk.told().known_cautions, desk.told().cautions) == ((), (), ())
    assert ("caution_added", "Dog (CARE-1), until 2026-11-24") in desk.lines("i1")


def test_a_caution_that_is_taken_back_is_gone_and_remembered(desk: Desk) -> None:
    desk.open()
    desk.do(cautions.add, "i1", dog())
    assert desk.do(cautions.end, "i1", cautions.Ending(id="e1", caution="k1"))
    assert not desk.do(cautions.end, "i1", cautions.Ending(id="e2", caution="k1"))
    assert desk.view().known_cautions == ()
    assert desk.lines()[-2:] == [("caution_added", "Dog (CARE-1), until 2026-11-24"), ("caution_ended", "Dog (CARE-1)")]
    refused("not_found", lambda: desk.do(cautions.end, "i1", cautions.Ending(id="e3", caution="k9")))


@pytest.mark.parametrize(
    "wrong",
    [
        {"behavior": "schizophrenia"},
        {"source": ""},
        {"severity": "extreme"},
        {"scope": "city"},
        {"scope": "area"},
        {"scope": "area", "radius_m": 501},
        {"scope": "person"},
        {"expires_ms": NOW_MS + 366 * DAY_MS},
        {"observed_ms": NOW_MS - 181 * DAY_MS},
        {"observed_ms": NOW_MS + DAY_MS},
    ],
)
def test_a_caution_that_is_no_behavior_without_a_source_or_without_an_end_is_refused(
    desk: Desk, wrong: dict[str, object]
) -> None:
    desk.open()
    refused("malformed", lambda: desk.do(cautions.add, "i1", dog(**wrong)))
    assert desk.view().known_cautions == ()


def test_a_caution_about_a_person_follows_name_and_date_of_birth(desk: Desk) -> None:
    who = (
        Answer(question="name", answer="yes", words="Jo Ash", source="caller"),
        Answer(question="dob", answer="yes", words="1990-01-02", source="caller"),
    )
    desk.open()
    desk.do(cautions.add, "i1", dog(scope="person", subject="JO ASH", born="1990-01-02", behavior="flight"))
    desk.open("i2", lat=45.0, packet=who)
    desk.open("i3", lat=45.0, packet=who[:1])
    assert [one.behavior for one in desk.view("i2").known_cautions] == ["flight"]
    assert desk.view("i3").known_cautions == ()
    assert "ASH" not in str(desk.audited()).upper()


# --- ends


def test_settled_by_phone_is_an_end_without_any_unit(desk: Desk) -> None:
    desk.open()
    assert desk.do(endings.close, "i1", Closing(id="e1", disposition="consult_only", recommended="stabilized_in_place"))
    view = desk.view()
    assert (view.state, view.disposition, view.recommended) == ("closed", "consult_only", "stabilized_in_place")
    assert view.assignments == ()
    assert not desk.do(
        endings.close, "i1", Closing(id="e1", disposition="consult_only", recommended="stabilized_in_place")
    )
    refused("closed", lambda: desk.do(endings.close, "i1", Closing(id="e2", disposition="consult_only")))


def test_it_was_not_settled_by_phone_when_a_unit_was_ever_sent(desk: Desk) -> None:
    desk.open()
    desk.agency.offer("a1", desk.agency.one)
    said = refused("busy", lambda: desk.do(endings.close, "i1", Closing(disposition="no_contact")))
    assert said == "CARE-1 is still on #1. Release it first."
    desk.agency.release("a1")
    said = refused("busy", lambda: desk.do(endings.close, "i1", Closing(disposition="consult_only")))
    assert said == "CARE-1 was sent to #1, so it was not settled by phone. Choose how it ended."
    assert desk.do(endings.close, "i1", Closing(disposition="no_contact"))
    assert not desk.do(endings.close, "i1", Closing(disposition="no_contact")), "as a page without an id says it again"


def test_what_was_recommended_stands_beside_what_came_of_it(desk: Desk) -> None:
    desk.open()
    assert desk.do(endings.recommend, "i1", Recommending(id="r1", disposition="voluntary_transport"), by="ruth")
    refused("malformed", lambda: desk.do(endings.recommend, "i1", Recommending(id="r2", disposition="magic")))
    assert desk.do(endings.close, "i1", Closing(disposition="refused"))
    assert (desk.view().recommended, desk.view().disposition) == ("voluntary_transport", "refused")
    assert desk.lines()[1:] == [("recommended", "Recommended: voluntary_transport"), ("closed", "refused")]


def test_a_reopened_incident_begins_afresh_and_keeps_its_story(desk: Desk) -> None:
    desk.open(type="MTLV")
    desk.do(changes.secure, "i1", Securing(id="g1", revision=1, authority="police", name="Ortiz"))
    refused("busy", lambda: desk.do(endings.reopen, "i1", Reopening(id="o0", reason="x")))
    desk.do(endings.close, "i1", Closing(disposition="no_contact", recommended="follow_up"))
    refused("reason_needed", lambda: desk.do(endings.reopen, "i1", Reopening(id="o1", reason=" ")))
    assert desk.do(endings.reopen, "i1", Reopening(id="o1", reason="He came back"))
    view = desk.view()
    assert (view.state, view.closed_ms, view.disposition, view.recommended) == ("open", None, None, None)
    assert (view.gate, view.gate_by, view.reopened_ms) == ("staged", None, desk.agency.now_ms)
    assert [what for what, _ in desk.lines()] == [
        "opened",
        "secured",
        "closed",
        "closed",
        "reopened",
        "reopened",
        "reopened",
    ]
    assert desk.do(endings.close, "i1", Closing(disposition="no_contact"))
    assert [line for line in desk.lines() if line[0] == "closed"] == [
        ("closed", "no_contact"),
        ("closed", "Recommended: follow_up"),
        ("closed", "no_contact"),
    ]


# --- belonging together


def test_the_same_call_told_twice_becomes_one_that_knows_what_both_knew(desk: Desk) -> None:
    desk.open(cautions=("Steep stairs",), packet=(replace(KNIFE, question="dogs", answer="no", words=""),))
    desk.open("i2", lat=41.3, cautions=("Locked gate",), packet=(KNIFE, replace(KNIFE, question="dogs")))
    desk.do(changes.change, "i2", Change(id="c1", revision=1, packet=(USES,)), by="ruth")
    desk.do(cautions.add, "i2", dog())
    assert desk.do(links.merge, "i2", Merging(id="m1", into="i1"))
    assert not desk.do(links.merge, "i2", Merging(id="m1", into="i1"))
    one, two = desk.view(), desk.view("i2")
    assert (two.state, two.disposition, two.merged_into) == ("canceled", "duplicate", "i1")
    assert [(row.question, row.answer) for row in one.packet] == [("weapons", "yes"), ("dogs", "no")]
    assert (one.cautions, one.gate) == (("Steep stairs", "Locked gate"), "staged")
    assert [held.behavior for held in one.known_cautions] == ["dog"]
    assert CANARY in str(desk.dossier(by="ruth"))
    assert CANARY not in str(desk.dossier())
    assert desk.dossier().links == (LinkView(incident="i2", number=2, kind="merged"),)
    assert desk.dossier("i2").links == (LinkView(incident="i1", number=1, kind="into"),)
    assert ("took_over", "#2") in desk.lines()
    assert ("merged", "#1") in desk.lines("i2")
    assert not any("closed" in line for line in desk.lines("i2")), "merged says that it is over"
    desk.do(endings.reopen, "i2", Reopening(id="o1", reason="Two different people"))
    assert (desk.view("i2").merged_into, desk.dossier().links) == (None, ())


def test_an_incident_with_a_unit_on_it_is_not_merged_away_under_it(desk: Desk) -> None:
    desk.open()
    desk.open("i2")
    desk.agency.offer("a1", desk.agency.one)
    refused("busy", lambda: desk.do(links.merge, "i1", Merging(id="m1", into="i2")))
    refused("malformed", lambda: desk.do(links.merge, "i1", Merging(id="m2", into="i1")))
    assert desk.do(links.merge, "i2", Merging(id="m3", into="i1"))
    refused("closed", lambda: desk.do(links.merge, "i1", Merging(id="m4", into="i2")))


def test_incidents_are_linked_seen_from_both_sides_and_unlinked(desk: Desk) -> None:
    desk.open()
    desk.open("i2")
    assert desk.do(links.link, "i1", Linking(id="l1", other="i2", kind="parent"))
    assert desk.dossier().links == (LinkView(incident="i2", number=2, kind="parent"),)
    assert desk.dossier("i2").links == (LinkView(incident="i1", number=1, kind="child"),)
    assert desk.do(links.link, "i2", Linking(id="l2", other="i1", kind="related"))
    assert [one.kind for one in (*desk.dossier().links, *desk.dossier("i2").links)] == ["related", "related"]
    assert desk.do(links.unlink, "i1", Unlinking(id="l3", other="i2"))
    assert not desk.do(links.unlink, "i2", Unlinking(id="l4", other="i1"))
    assert (desk.dossier().links, desk.dossier("i2").links) == ((), ())
    assert desk.lines("i2")[1:] == [("linked", "#1, child"), ("linked", "#1, related"), ("unlinked", "#1")]
    refused("not_found", lambda: desk.do(links.link, "i1", Linking(id="l5", other="i9")))
    refused("malformed", lambda: desk.do(links.link, "i1", Linking(id="l6", other="i2", kind="cousin")))


# --- the timeline


def test_the_timeline_merges_acts_assignments_statuses_and_emergencies_in_order(desk: Desk) -> None:
    desk.open()
    desk.agency.offer("a1", desk.agency.one)
    desk.do(changes.change, "i1", Change(id="c1", revision=1, priority=1))
    fact = StatusFact(unit="u1", status="en_route", by="crew", assignment="a1")
    desk.agency.take(desk.agency.one.record(Kind.STATUS, fact))
    desk.do(remarks.remark, "i1", Remarking(id="r1", text="Mother waits outside"))
    desk.agency.release("a1")
    desk.do(endings.close, "i1", Closing(disposition="refused"))
    assert [what for what, _ in desk.lines()] == [
        "opened",
        "sent",
        "changed",
        "acknowledged",
        "status",
        "remark",
        "released",
        "closed",
    ]
    with desk.agency.engine.begin() as connection:
        times = [one.at_ms for one in timeline(connection, "i1")]
    assert times == sorted(times)


def test_an_incident_that_an_older_program_opened_and_closed_still_tells_so(desk: Desk) -> None:
    desk.agency.incident()
    with desk.agency.engine.begin() as connection:
        connection.execute(
            text("update incident set state = 'closed', closed_ms = opened_ms + 5, disposition = 'refused'")
        )
    assert desk.lines() == [("opened", "dee"), ("closed", "refused")]


def test_the_ranking_is_still_asked_and_answered(desk: Desk) -> None:
    desk.open()
    answer = sending.rank_units(desk.agency.engine, "i1", {}, lambda _: (), desk.deed())
    assert answer.candidates == ()
