"""Units, people, and who may sign on where: written by the agency in one file, read by everybody.

[[unit]]  unit = "u1"  call_sign = "CARE-1"  kind = "vehicle"
[[staff]] staff = "s1" name = "…" role = "specialist" skills = ["clinician"] languages = ["eng"]
          licenses = { may_hold = 2027-03-31 }
[[duty]]  unit = "u1"  staff = ["s1", "s2"]
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, delete, insert, select, update

from hub import audit, schema
from hub.rank import LICENSES
from hub.settings import SettingsError
from wire import typed
from wire.codec import Malformed
from wire.ids import name
from wire.incident import SKILLS
from wire.state import StaffMember

UNIT_KINDS = ("vehicle", "desk")
STAFF_ROLES = ("specialist", "sworn", "clinician")
_LANGUAGE = re.compile(r"[a-z]{3}")


class Unit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`agency`: whose it is; the hub's own when not said."""

    unit: str
    call_sign: str
    kind: str
    agency: str | None = None


class Staff(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody of the agency: `skills` by code, `languages` by ISO 639-3, `licenses` with the last day of each."""

    staff: str
    name: str
    role: str
    skills: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    licenses: dict[str, date] = {}


class Duty(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may sign on at a unit."""

    unit: str
    staff: tuple[str, ...]


class RosterFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    unit: tuple[Unit, ...] = ()
    staff: tuple[Staff, ...] = ()
    duty: tuple[Duty, ...] = ()


def read(path: Path) -> RosterFile:
    """The roster in `path`; SettingsError with the first thing that is wrong."""
    try:
        roster = typed.plain(tomllib.loads(path.read_text(encoding="utf-8")), RosterFile)
    except OSError as wrong:
        raise SettingsError(f"{path} cannot be read: {wrong.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as wrong:
        raise SettingsError(f"{path}: {wrong}") from None
    if sentence := wrong_in(roster):
        raise SettingsError(f"{path}: {sentence}")
    return roster


def wrong_in(roster: RosterFile) -> str | None:
    """The first thing that is wrong in `roster`; None when nothing is."""
    try:
        for one in (*(u.unit for u in roster.unit), *(u.call_sign for u in roster.unit)):
            name(one)
        for one in (s.staff for s in roster.staff):
            name(one)
    except Malformed as wrong:
        return str(wrong)
    for what, ids in {
        "unit": [u.unit for u in roster.unit],
        "call sign": [u.call_sign for u in roster.unit],
        "staff id": [s.staff for s in roster.staff],
        "duty of unit": [d.unit for d in roster.duty],
    }.items():
        if twice := _twice(ids):
            return f"{what} {twice} stands there twice"
    for unit in roster.unit:
        if unit.kind not in UNIT_KINDS:
            return f"unit {unit.unit} is a {unit.kind!r}; a unit is one of: {', '.join(UNIT_KINDS)}"
    for staff in roster.staff:
        if staff.role not in STAFF_ROLES:
            return f"staff {staff.staff} is a {staff.role!r}; a role is one of: {', '.join(STAFF_ROLES)}"
        if unknown := [skill for skill in staff.skills if skill not in SKILLS]:
            return f"staff {staff.staff} has unknown skill {unknown[0]!r}; known: {', '.join(SKILLS)}"
        if strange := [code for code in staff.licenses if code not in LICENSES]:
            return f"staff {staff.staff} has unknown license {strange[0]!r}; known: {', '.join(LICENSES)}"
        if odd := [language for language in staff.languages if not _LANGUAGE.fullmatch(language)]:
            return f"staff {staff.staff} has language {odd[0]!r}; use the three letters of ISO 639-3"
    people, units = {s.staff for s in roster.staff}, {u.unit for u in roster.unit}
    for duty in roster.duty:
        if duty.unit not in units:
            return f"duty names unit {duty.unit}, which is not in the file"
        if missing := [who for who in duty.staff if who not in people]:
            return f"duty of {duty.unit} names {missing[0]}, who is not in the file"
    return None


def load(connection: Connection, roster: RosterFile, agency: str, now_ms: int) -> None:
    """Write `roster` down. Who and what is not in it stays known, for the records speak of them; duty is as it says."""
    for unit in roster.unit:
        row = {"call_sign": unit.call_sign, "agency": unit.agency or agency, "kind": unit.kind}
        changed = connection.execute(update(schema.unit).where(schema.unit.c.unit == unit.unit).values(**row))
        if changed.rowcount == 0:
            connection.execute(insert(schema.unit).values(unit=unit.unit, **row))
    for staff in roster.staff:
        row = {
            "name": staff.name,
            "role": staff.role,
            "skills": " ".join(staff.skills),
            "languages": " ".join(staff.languages),
            "licenses": " ".join(f"{code}:{last.isoformat()}" for code, last in staff.licenses.items()),
        }
        changed = connection.execute(update(schema.staff).where(schema.staff.c.staff == staff.staff).values(**row))
        if changed.rowcount == 0:
            connection.execute(insert(schema.staff).values(staff=staff.staff, **row))
    connection.execute(delete(schema.duty))
    for duty in roster.duty:
        for who in dict.fromkeys(duty.staff):
            connection.execute(insert(schema.duty).values(unit=duty.unit, staff=who))
    audit.append(connection, now_ms, "hub", None, "roster_imported", None, audit.OK)


def on_duty(connection: Connection, unit: str) -> tuple[StaffMember, ...]:
    """Who may sign on at `unit`, by id."""
    rows = connection.execute(
        select(schema.staff)
        .join(schema.duty, schema.duty.c.staff == schema.staff.c.staff)
        .where(schema.duty.c.unit == unit)
        .order_by(schema.staff.c.staff)
    )
    return tuple(
        StaffMember(
            id=row.staff,
            name=row.name,
            role=row.role,
            skills=tuple(row.skills.split()),
            languages=tuple(row.languages.split()),
        )
        for row in rows
    )


def _twice(ids: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            return one
        seen.add(one)
    return None
