"""The codes that a page needs, with their words: what may be chosen, asked and answered, by whoever is signed in."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response
from msgspec import Struct

from hub import labels
from hub.gate import AUTHORITIES
from hub.labels import Labels
from hub.links import KINDS
from hub.rank import AGE_GROUPS, LICENSES
from hub.web import answers
from hub.web.access import signed_in
from wire.incident import DISPOSITIONS, LANGUAGES, PRIORITIES, SKILLS, TYPES
from wire.packet import BEHAVIORS, PACKET, SCOPES, SEVERITIES, Question


class TypeWord(Struct, frozen=True, kw_only=True):
    """An incident type to choose."""

    code: str
    label: str
    is_gated: bool


class Words(Struct, frozen=True, kw_only=True):
    """The codes, each with its words; where there are no words the code is one. `packet`: the questions that this person
    may answer, in the order in which they are asked; `labels`: of what this person may see and write."""

    types: tuple[TypeWord, ...]
    priorities: tuple[int, ...]
    dispositions: Mapping[str, str]
    skills: Mapping[str, str]
    languages: Mapping[str, str]
    licenses: Mapping[str, str]
    age_groups: Mapping[str, str]
    packet: tuple[Question, ...]
    behaviors: Mapping[str, str]
    severities: tuple[str, ...]
    scopes: tuple[str, ...]
    authorities: Mapping[str, str]
    link_kinds: tuple[str, ...]
    labels: tuple[str, ...]


def word_views() -> Blueprint:
    """GET /api/v1/words."""
    views = Blueprint("words", __name__, url_prefix="/api/v1")

    @views.get("/words")
    def every() -> Response:
        session = signed_in()
        return answers.json(_words(labels.of_role(session.role, has_cji=session.has_cji)))

    return views


def _words(may: Labels) -> Words:
    return Words(
        types=tuple(TypeWord(code=one.code, label=one.label, is_gated=one.is_gated) for one in TYPES.values()),
        priorities=PRIORITIES,
        dispositions={code: label for code, (label, _eido) in DISPOSITIONS.items()},
        skills=SKILLS,
        languages=LANGUAGES,
        licenses=LICENSES,
        age_groups=AGE_GROUPS,
        packet=tuple(question for question in PACKET.values() if question.label in may),
        behaviors=BEHAVIORS,
        severities=SEVERITIES,
        scopes=SCOPES,
        authorities=AUTHORITIES,
        link_kinds=KINDS,
        labels=tuple(sorted(may)),
    )
