"""What is asked before a crew arrives and what it must beware of, by stable codes; labels of fields say who may know.

A question has a text for people, which may change, and a code, which never does. What a program does not know is shown
as it came.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Label(StrEnum):
    """What a field holds, and so who may see it: the table is in `hub.labels`."""

    OPEN = "open"  # place, type, times, units, name
    SAFETY = "safety"  # weapons, dogs, violence: fact, source, date
    CARE = "care"  # history, plan, what helps
    CJI = "cji"  # from police records and warrants


YES = "yes"
NO = "no"
UNKNOWN = "unknown"  # asked, and nobody could say
NOT_ASKED = "not_asked"

PLAIN_ANSWERS = (YES, NO, UNKNOWN, NOT_ASKED)
POLICE_ANSWERS = ("with", "near", NO, UNKNOWN, NOT_ASKED)


class Question(Struct, frozen=True, kw_only=True):
    """`is_urgent`: it matters before a unit drives off, and is amber until somebody asked. `is_told`: "yes" is nothing
    without the words (a number to call back, a name)."""

    code: str
    text: str
    label: Label
    is_urgent: bool = False
    is_told: bool = False
    answers: tuple[str, ...] = PLAIN_ANSWERS


PACKET: dict[str, Question] = {
    row.code: row
    for row in (
        Question(code="weapons", text="Weapons", label=Label.SAFETY, is_urgent=True),
        Question(code="violence_history", text="Violence before", label=Label.SAFETY, is_urgent=True),
        Question(code="dogs", text="Dogs", label=Label.SAFETY, is_urgent=True),
        Question(
            code="police_needed", text="Police needed", label=Label.SAFETY, is_urgent=True, answers=POLICE_ANSWERS
        ),
        Question(code="others_present", text="Others present", label=Label.SAFETY),
        Question(code="access", text="How to get in", label=Label.OPEN, is_told=True),
        Question(code="callback", text="Call back", label=Label.OPEN, is_told=True),
        Question(code="name", text="Name", label=Label.OPEN, is_told=True),
        Question(code="dob", text="Date of birth", label=Label.OPEN, is_told=True),
        Question(code="language", text="Language", label=Label.OPEN, is_told=True),
        Question(code="staging_point", text="Staging point", label=Label.OPEN, is_told=True),
        Question(code="officer_on_scene", text="Officer on scene", label=Label.OPEN),
        Question(code="substance_use", text="Substance use", label=Label.CARE),
        Question(code="plan", text="Plan agreed before", label=Label.CARE),
        Question(code="preferences", text="What helps, what does not", label=Label.CARE, is_told=True),
    )
}

DANGERS = ("weapons", "violence_history")
"""A yes to one of these, or an "unknown", keeps an unarmed crew at a distance."""

BEHAVIORS: dict[str, str] = {  # what somebody did, never what somebody has
    "weapon_seen": "Weapon seen",
    "assault_on_responder": "Assaulted a responder",
    "dog": "Dog",
    "fire_setting": "Set fire",
    "structure": "Unsafe building",
    "flight": "Ran from responders",
}

SEVERITIES = ("highest", "high", "normal", "low", "lowest")  # EIDO's words
SCOPES = ("person", "address", "area")
