"""The pre-arrival packet: what was asked before a crew arrives, who answered, and what nobody has asked yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct
from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert as upsert

from hub.deeds import Deed, Line, require_may
from hub.errors import Refused
from hub.schema import packet_answer
from wire.packet import NOT_ASKED, PACKET, YES, Label
from wire.state import PacketAnswer

WORDS_CHARS_MAX = 200
SOURCE_CHARS_MAX = 60

_KEEP = upsert(packet_answer)
_KEEP = _KEEP.on_conflict_do_update(
    index_elements=[packet_answer.c.incident, packet_answer.c.question], set_=dict(_KEEP.excluded)
)


class Answer(Struct, frozen=True, kw_only=True):
    """An answer as it is entered. `source`: who said it ("caller", "officer 212"), wanted for all but "not_asked";
    `at_ms`: when, now if not said."""

    question: str
    answer: str
    words: str = ""
    source: str = ""
    at_ms: int | None = None


def amber(answers: Mapping[str, str], place: str, problem: str) -> tuple[str, ...]:
    """What matters before a unit is en route and nobody has asked yet, by code."""
    told = (("location", place), ("problem", problem))
    missing = [code for code, words in told if not words.strip()]
    asked = [q.code for q in PACKET.values() if q.is_urgent and answers.get(q.code, NOT_ASKED) == NOT_ASKED]
    return (*missing, *asked)


def require_sound(answers: Iterable[Answer], deed: Deed) -> None:
    """Refused unless every answer is one, each question answered once, by somebody who may see it."""
    codes = [one.question for one in answers]
    if len(codes) != len(set(codes)):
        raise Refused("malformed", "A question is answered twice. Send one answer for each.")
    for one in answers:
        question = PACKET.get(one.question)
        if question is None or one.answer not in question.answers:
            raise Refused("malformed", "A question or an answer is not one that this hub knows.")
        require_may(deed, question.label)
        if wrong := _what_is_wrong(one, question.text, is_told=question.is_told, now_ms=deed.now_ms):
            raise Refused("malformed", wrong)


def keep(connection: Connection, incident_id: str, answers: Iterable[Answer], deed: Deed) -> tuple[Line, ...]:
    """Put the answers in place of those before; a line for each that says something else than before."""
    before = {one.question: one for one in of(connection, (incident_id,)).get(incident_id, ())}
    lines = []
    for one in answers:
        words, source = one.words.strip(), one.source.strip()
        row = {"answer": one.answer, "words": words, "source": source, "at_ms": one.at_ms or deed.now_ms}
        connection.execute(_KEEP, {**row, "incident": incident_id, "question": one.question, "by": deed.by})
        was = None if one.question not in before else spoken(before[one.question])
        is_ = _spoken(one.answer, words, source)
        if was != is_ and not (was is None and one.answer == NOT_ASKED):
            lines.append(Line(field=one.question, label=PACKET[one.question].label, before=was, after=is_))
    return tuple(lines)


def of(connection: Connection, incidents: Iterable[str]) -> dict[str, tuple[PacketAnswer, ...]]:
    """What is known of each incident, in the order of the questions; every label: `hub.labels` says who sees which."""
    found: dict[str, dict[str, PacketAnswer]] = {}
    for row in connection.execute(select(packet_answer).where(packet_answer.c.incident.in_(list(incidents)))):
        question = PACKET.get(row.question)
        found.setdefault(row.incident, {})[row.question] = PacketAnswer(
            question=row.question,
            text=row.question if question is None else question.text,
            label=Label.CJI if question is None else question.label,  # a newer program's: nobody may be wrong about it
            answer=row.answer,
            words=row.words,
            source=row.source,
            at_ms=row.at_ms,
        )
    order = {code: at for at, code in enumerate(PACKET)}
    return {
        incident_id: tuple(sorted(rows.values(), key=lambda one: (order.get(one.question, len(order)), one.question)))
        for incident_id, rows in found.items()
    }


def answered(packet: Iterable[PacketAnswer]) -> dict[str, str]:
    """The answers by question."""
    return {one.question: one.answer for one in packet}


def spoken(one: PacketAnswer) -> str:
    """An answer in words."""
    return _spoken(one.answer, one.words, one.source)


def _spoken(answer: str, words: str, source: str) -> str:
    text = answer.replace("_", " ")
    return text + (f": {words}" if words else "") + (f" ({source})" if source else "")


def _what_is_wrong(one: Answer, text: str, *, is_told: bool, now_ms: int) -> str | None:
    if len(one.words) > WORDS_CHARS_MAX or len(one.source) > SOURCE_CHARS_MAX:
        return f"{text}: at most {WORDS_CHARS_MAX} characters, and {SOURCE_CHARS_MAX} for who said it."
    if one.answer != NOT_ASKED and not one.source.strip():
        return f"{text}: say who said it."
    if is_told and one.answer == YES and not one.words.strip():
        return f"{text}: say what was answered."
    if one.at_ms is not None and not 0 < one.at_ms <= now_ms:
        return f"{text}: that time has not come yet."
    return None
