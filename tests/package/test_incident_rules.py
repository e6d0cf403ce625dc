"""The rules of an incident, without a database: who sees what, the gate, how long a caution holds, the same call again."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hub import cautions, gate, labels, near, packet
from hub.accounts import Role
from hub.cautions import DAY_MS, Scene, expiry_ms
from hub.dossier import Dossier
from hub.errors import Refused
from hub.incidents import Asked
from hub.labels import CLINICAL, NOTHING, ON_THE_BOARD, SWORN, Labels
from hub.near import Known, Sketch
from hub.remarks import Remark
from hub.snapshot import IncidentView
from hub.timeline import Happening
from hub.tokens import TokenRole
from wire.distance import moved
from wire.incident import TYPES, Gate
from wire.packet import DANGERS, NOT_ASKED, PACKET, UNKNOWN, YES, Label
from wire.state import Assignment, KnownCaution, PacketAnswer

NOW_MS = 1_795_000_000_000
HERE = (42.45, -101.35)

# --- who sees what

LABELS = st.sampled_from(Label)


@st.composite
def readers(draw: st.DrawFn) -> tuple[str, Labels, frozenset[Label]]:
    """Somebody, what the hub lets them see, and what the agency's table says that they must not."""
    if draw(st.booleans()):
        role, has_cji = draw(st.sampled_from([*Role, *TokenRole, "nobody", ""])), draw(st.booleans())
        forbidden = {Label.CARE, Label.CJI}
        if role in (Role.DESK_CLINICIAN, TokenRole.CLINICAL):
            forbidden = {Label.CJI}
        elif role in (Role.DISPATCHER, TokenRole.DISPATCH) and has_cji:
            forbidden = {Label.CARE}
        elif role in (TokenRole.POSITIONS, TokenRole.STATISTICS):
            forbidden = set(Label) - {Label.OPEN}
        elif role not in (Role.DISPATCHER, Role.SUPERVISOR, TokenRole.DISPATCH, TokenRole.BOARD):
            forbidden = set(Label)
        return role, labels.of_role(role, has_cji=has_cji), frozenset(forbidden)
    crew = draw(st.lists(st.sampled_from(["specialist", "sworn", "clinician", "visitor"]), max_size=4))
    forbidden = set()
    if not crew or not set(crew) <= {"specialist", "clinician"}:
        forbidden.add(Label.CARE)
    if not crew or set(crew) != {"sworn"}:
        forbidden.add(Label.CJI)
    return " ".join(crew), labels.of_crew(crew), frozenset(forbidden)


def words(label: str, n: int) -> str:
    return f"canary-{label}-{n}"


@st.composite
def dossiers(draw: st.DrawFn) -> Dossier:
    codes = draw(st.lists(st.sampled_from([*PACKET, "of_a_newer_hub"]), unique=True))
    return Dossier(
        id="i1",
        number=1,
        revision=1,
        state="open",
        gate=words("safety", 0),
        gate_by=words("safety", 1),
        disposition=None,
        recommended=None,
        reopened_ms=None,
        merged_into=None,
        need=Asked(),
        amber=(),
        packet=tuple(
            PacketAnswer(
                question=code,
                text=code,
                label=label,
                answer=YES,
                words=words(label, n),
                source=words(label, n + 100),
                at_ms=1,
            )
            for n, code in enumerate(codes)
            for label in (PACKET[code].label if code in PACKET else "secret",)
        ),
        known_cautions=(a_caution(text=words("safety", 2)),),
        remarks=tuple(
            Remark(id=str(n), label=label, at_ms=1, by="Nina", text=words(label, n))
            for n, label in enumerate(draw(st.lists(LABELS, max_size=6)))
        ),
        links=(),
        earlier=(),
    )


def a_caution(**changed: str) -> KnownCaution:
    plain = KnownCaution(
        id="c1",
        behavior="dog",
        text="Dog",
        label=Label.SAFETY,
        severity="normal",
        source="caller",
        scope="address",
        radius_m=0,
        observed_ms=1,
        expires_ms=2,
    )
    return replace(plain, **changed)


@given(dossiers(), readers())
def test_no_view_ever_holds_a_field_of_a_label_its_reader_may_not_see(
    whole: Dossier, reader: tuple[str, Labels, frozenset[Label]]
) -> None:
    _, allowed, forbidden = reader
    shown = msgspec.json.encode(labels.seen(whole, allowed)).decode()
    assert "canary-secret" not in shown, "a label that this program does not know was shown"
    for label in forbidden:
        assert f"canary-{label}-" not in shown


@given(dossiers(), readers())
def test_what_a_reader_may_see_is_all_there(whole: Dossier, reader: tuple[str, Labels, frozenset[Label]]) -> None:
    _, allowed, forbidden = reader
    if Label.OPEN in forbidden:
        return
    shown = labels.seen(whole, allowed)
    assert shown is not None
    assert [one for one in whole.packet if one.label in set(Label) - forbidden] == list(shown.packet)
    assert [one for one in whole.remarks if one.label not in forbidden] == list(shown.remarks)
    assert shown.gate_by == ("" if Label.SAFETY in forbidden else whole.gate_by)


@given(st.lists(LABELS, max_size=12), readers())
def test_no_timeline_ever_holds_a_line_of_a_label_its_reader_may_not_see(
    said: list[Label], reader: tuple[str, Labels, frozenset[Label]]
) -> None:
    happened = [Happening(at_ms=n, what="remark", label=label) for n, label in enumerate(said)]
    assert not {line.label for line in labels.only(happened, reader[1])} & reader[2]


@pytest.mark.parametrize("shape", [IncidentView, Dossier, Assignment])
def test_every_field_of_an_incident_has_one_label(shape: type[msgspec.Struct]) -> None:
    fields = set(shape.__struct_fields__)
    assert fields - set(labels.FIELDS) - labels.ENTRIES == set()
    assert not set(labels.FIELDS) & labels.ENTRIES


def test_a_field_that_nobody_labeled_is_not_shown() -> None:
    shown = labels.seen(Unlabeled(number=1, diagnosis="canary", codes=("canary",), since_ms=5), frozenset(Label))
    assert shown == Unlabeled(number=1, diagnosis="", codes=(), since_ms=None)


class Unlabeled(msgspec.Struct, frozen=True):
    number: int
    diagnosis: str
    codes: tuple[str, ...]
    since_ms: int | None


def test_the_table_of_roles_is_the_agencies() -> None:
    assert {role: labels.of_role(role) for role in Role} == {
        Role.DISPATCHER: ON_THE_BOARD,
        Role.SUPERVISOR: ON_THE_BOARD,
        Role.DESK_CLINICIAN: CLINICAL,
        Role.FLEET_TECH: NOTHING,
        Role.PRIVACY_AUDITOR: NOTHING,
        Role.HUB_ADMIN: NOTHING,
        Role.WALL: NOTHING,
    }
    assert labels.of_role("dispatcher", has_cji=True) == ON_THE_BOARD | {Label.CJI}
    assert labels.of_role("desk_clinician", has_cji=True) == CLINICAL, "police records never reach a clinician"


@pytest.mark.parametrize(
    ("crew", "may"),
    [
        ((), ON_THE_BOARD),
        (("specialist",), CLINICAL),
        (("specialist", "clinician"), CLINICAL),
        (("sworn",), SWORN),
        (("specialist", "sworn"), ON_THE_BOARD),
        (("specialist", "somebody new"), ON_THE_BOARD),
    ],
)
def test_a_terminal_holds_only_what_everybody_aboard_may_see(crew: tuple[str, ...], may: Labels) -> None:
    assert labels.of_crew(crew) == may


# --- the gate

ANSWERS = st.fixed_dictionaries({}, optional={code: st.sampled_from(PACKET[code].answers) for code in DANGERS})


@given(st.sampled_from(list(TYPES)), ANSWERS)
def test_a_scene_nobody_has_looked_at_is_staged_for_danger_and_never_secure(
    type_: str, answers: dict[str, str]
) -> None:
    is_danger = TYPES[type_].is_gated or any(answer in (YES, UNKNOWN) for answer in answers.values())
    assert gate.fresh(type_, answers) is (Gate.STAGED if is_danger else Gate.UNKNOWN)


@given(st.sampled_from(Gate), ANSWERS, ANSWERS, st.sampled_from(list(TYPES)), st.sampled_from(list(TYPES)))
def test_news_never_opens_a_gate_and_danger_that_is_news_closes_it(
    before: Gate, was: dict[str, str], answers: dict[str, str], type_: str, other: str
) -> None:
    after = gate.after(before, was, answers, was=type_, type_=other)
    assert after in (before, Gate.STAGED)
    is_news = any(answers.get(code) == YES != was.get(code) for code in DANGERS)
    if is_news or (other != type_ and TYPES[other].is_gated):
        assert after is Gate.STAGED


@pytest.mark.parametrize(
    ("before", "authority", "name", "is_fine"),
    [
        (Gate.STAGED, "police", "Ortiz", True),
        (Gate.STAGED, "relayed", "Ortiz", True),
        (Gate.STAGED, "police", "  ", False),
        (Gate.STAGED, "neighbor", "Ash", False),
        (Gate.STAGED, "", "", False),
        (Gate.UNKNOWN, "police", "Ortiz", False),
        (Gate.SECURE, "police", "Ortiz", False),
    ],
)
def test_only_a_named_authority_calls_a_staged_scene_secure(
    before: Gate, authority: str, name: str, is_fine: bool
) -> None:
    if is_fine:
        gate.secured(before, authority, name)
    else:
        with pytest.raises(Refused):
            gate.secured(before, authority, name)


# --- the packet


def test_what_matters_before_the_drive_is_amber_until_somebody_asked() -> None:
    starred = ("weapons", "violence_history", "dogs", "police_needed")
    assert packet.amber({}, "1 Oak St", "") == ("problem", *starred)
    assert packet.amber({"weapons": NOT_ASKED}, " ", "Shouting") == ("location", *starred)
    assert packet.amber({"weapons": UNKNOWN, "dogs": "no"}, "1 Oak St", "x") == ("violence_history", "police_needed")
    assert packet.amber(dict.fromkeys(starred, "no"), "1 Oak St", "Shouting") == ()


# --- cautions


@given(st.integers(0, 400), st.none() | st.integers(-10, 500))
def test_a_caution_always_ends_after_180_days_or_as_said_and_never_later_than_365(
    seen_days: int, days: int | None
) -> None:
    observed_ms = NOW_MS - seen_days * DAY_MS
    wanted_ms = None if days is None else observed_ms + days * DAY_MS
    is_fine = (180 if days is None else days) > seen_days and (days is None or days <= 365)
    if not is_fine:
        with pytest.raises(Refused):
            expiry_ms(observed_ms, wanted_ms, NOW_MS)
        return
    until_ms = expiry_ms(observed_ms, wanted_ms, NOW_MS)
    assert until_ms == observed_ms + (180 if days is None else days) * DAY_MS
    assert NOW_MS < until_ms <= observed_ms + 365 * DAY_MS


def test_a_caution_from_tomorrow_is_refused() -> None:
    with pytest.raises(Refused):
        expiry_ms(NOW_MS + 1, None, NOW_MS)


def scene(away_m: float = 0, place: str = "12 Oak St", person: str = "", born: str = "") -> Scene:
    lat, lon = moved(*HERE, 90, away_m)
    return Scene(lat=lat, lon=lon, place=place, person=person, born=born)


@pytest.mark.parametrize(
    ("scope", "radius_m", "there", "is_held"),
    [
        ("address", 0, scene(10, "somewhere"), True),
        ("address", 0, scene(60, "somewhere"), False),
        ("address", 0, scene(60, "12 OAK ST."), True),
        ("address", 0, scene(5000, "12 Oak St"), False),
        ("area", 100, scene(90, "elsewhere"), True),
        ("area", 100, scene(110, "12 Oak St"), False),
        ("person", 0, scene(9000, "x", "jo ash", "1990-01-02"), True),
        ("person", 0, scene(0, "x", "Jo Ash", "1991-01-02"), False),
        ("person", 0, scene(0, "x", "Jo Ash"), False),
        ("person", 0, scene(0, "x", "Al Ash", "1990-01-02"), False),
        ("everywhere", 0, scene(), False),
    ],
)
def test_a_caution_holds_for_its_place_or_its_person_and_for_nobody_else(
    scope: str, radius_m: int, there: Scene, is_held: bool
) -> None:
    about = scene(0, "12 Oak St", "Jo Ash", "1990-01-02")
    assert cautions.holds(scope, radius_m, about, there) is is_held


def test_a_name_without_a_date_of_birth_warns_of_nobody() -> None:
    assert not cautions.holds("person", 0, scene(0, "x", "Jo Ash"), scene(0, "x", "Jo Ash"))


# --- the same call again


def known(
    away_m: float, minutes: int, type_: str = "MNTL", place: str = "Union Blvd", closed: int | None = None
) -> Known:
    lat, lon = moved(*HERE, 45, away_m)
    return Known(
        id=f"i{away_m}-{minutes}",
        number=7,
        type=type_,
        lat=lat,
        lon=lon,
        place=place,
        opened_ms=NOW_MS - minutes * 60_000,
        closed_ms=None if closed is None else NOW_MS - closed * 60_000,
    )


SKETCH = Sketch(type="MNTL", lat=HERE[0], lon=HERE[1], place="Bus shelter, 53rd")


@pytest.mark.parametrize(
    ("one", "reasons"),
    [
        (known(120, 4), ("390 ft away", "opened 4 min ago", "same type")),
        (known(120, 300, "WELFARE"), ("390 ft away", "opened 300 min ago")),
        (known(600, 0), ("1970 ft away", "opened just now", "same type")),
        (known(600, 200, "EDP", "bus shelter 53RD"), ("same place", "opened 200 min ago")),
        (known(100, 50, closed=20), ("330 ft away", "opened 50 min ago", "closed 20 min ago", "same type")),
        (known(600, 4, "EDP"), None),
        (known(600, 40), None),
        (known(5000, 1, place="Bus shelter, 53rd"), None),
        (known(10, 200, closed=61), None),
    ],
)
def test_the_same_call_is_hinted_at_with_reasons(one: Known, reasons: tuple[str, ...] | None) -> None:
    found = near.hints(SKETCH, (one,), NOW_MS)
    assert [hint.reasons for hint in found] == ([] if reasons is None else [reasons])


@given(st.lists(st.builds(known, st.floats(0, 2000), st.integers(0, 90), st.sampled_from(["MNTL", "EDP"])), max_size=9))
def test_a_hint_names_at_most_three_and_a_person_decides(there: list[Known]) -> None:
    found = near.hints(SKETCH, there, NOW_MS)
    assert len(found) <= 3
    assert all(hint.reasons for hint in found)


def test_the_nearest_of_the_same_type_is_named_first() -> None:
    there = [known(200, 5), known(20, 5, "EDP"), known(30, 5)]
    assert [hint.incident for hint in near.hints(SKETCH, there, NOW_MS)] == ["i30-5", "i200-5", "i20-5"]
