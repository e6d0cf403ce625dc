"""Incident types and dispositions by their stable codes; labels may change, codes never do.

Type codes: APCO/EIDO common incident types. Disposition numbers: APCO ANS 1.111.2-2018 through EIDO.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Gate(StrEnum):
    """Whether a crew without a sworn member may walk up to the scene."""

    UNKNOWN = "unknown"
    STAGED = "staged"
    SECURE = "secure"


class IncidentType(Struct, frozen=True, kw_only=True):
    """`is_gated`: an unarmed crew waits at a distance until somebody named has called the scene secure."""

    code: str
    label: str
    is_gated: bool = False


TYPES: dict[str, IncidentType] = {
    row.code: row
    for row in (
        IncidentType(code="EDP", label="Emotional crisis"),
        IncidentType(code="MNTL", label="Mental-health crisis, no violence reported"),
        IncidentType(code="MTLV", label="Mental-health crisis, violence reported", is_gated=True),
        IncidentType(code="SUICTHRT", label="Suicidal thoughts or attempt", is_gated=True),
        IncidentType(code="SUICIDE", label="Suicide", is_gated=True),
        IncidentType(code="WELFARE", label="Check on someone"),
        IncidentType(code="OD", label="Overdose"),
        IncidentType(code="INTOX", label="Intoxication"),
        IncidentType(code="DVNA", label="Family conflict"),
        IncidentType(code="DVA", label="Domestic violence", is_gated=True),
        IncidentType(code="PERMISS", label="Missing person"),
        IncidentType(code="RUNAWAY", label="Missing youth"),
        IncidentType(code="TRESPASS", label="Asked to leave"),
        IncidentType(code="ASSIST", label="Help an agency"),
        IncidentType(code="CITASST", label="Help a resident"),
        IncidentType(code="TROUBLE", label="Unknown trouble", is_gated=True),
        IncidentType(code="MAYDAY", label="Crew emergency"),
    )
}

PRIORITIES = (1, 2, 3, 4)  # 1 is the most urgent
EIDO_PRIORITY = {1: 10, 2: 7, 3: 4, 4: 1}

DISPOSITIONS: dict[str, tuple[str, str]] = {  # code: label, EIDO number to send
    "consult_only": ("Settled by phone, no unit sent", "05"),
    "stabilized_in_place": ("Calmer, staying, plan made", "18"),
    "evaluated_no_need": ("Seen, nothing needed", "41"),
    "referred_warm": ("Handed to a named service", "15"),
    "voluntary_transport": ("Went willingly", "16"),
    "involuntary_hold": ("Held for evaluation", "33"),
    "medical_to_ems": ("Medical need, given to EMS", "44"),
    "arrest": ("Arrested", "03"),
    "refused": ("Declined help", "42"),
    "no_contact": ("Not found", "14"),
    "returned_to_police": ("Not safe for the team", "15"),
    "deceased": ("Died", "39"),
    "follow_up": ("Follow-up made", "08"),
    "duplicate": ("Same as another", "22"),
    "canceled": ("Canceled before arrival", "32"),
}

SKILLS: dict[str, str] = {
    "clinician": "Clinician",
    "social_worker": "Social worker",
    "peer": "Peer specialist",
    "youth": "Youth",
    "sud": "Substance use",
    "nurse": "Nurse",
    "nurse_practitioner": "Nurse practitioner",
    "emt": "EMT",
    "paramedic": "Paramedic",
    "negotiator": "Negotiator",
}

LANGUAGES: dict[str, str] = {  # ISO 639-3
    "eng": "English",
    "spa": "Spanish",
    "ase": "Sign language",
    "vie": "Vietnamese",
    "cmn": "Mandarin",
    "fas": "Persian",
}
