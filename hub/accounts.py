"""Who may sign in at the console and at the bench's API: names, roles, and passwords as Argon2id.

Five wrong tries within 15 minutes lock an account until a supervisor releases it. A try is counted and committed before
the password is looked at, so that pulling the plug between the two gives nobody another one.
"""

from __future__ import annotations

import re
import secrets
from enum import StrEnum
from hmac import compare_digest
from threading import Lock

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from msgspec import Struct
from sqlalchemy import Connection, Engine, Row, insert, select, update

from hub import audit
from hub.errors import Refused
from hub.schema import account

FAILS_MAX = 5
FAILS_WITHIN_MS = 15 * 60_000
PASSWORD_LENGTH_MIN = 12
PASSWORD_LENGTH_MAX = 256  # more is not a password but an attempt to keep us busy
MADE_UP_LENGTH = 16
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like something else: 16 of these are 79 bits
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")

# Each try takes 64 MiB and a third of a second. One at a time bounds the memory, and no try begins before the one
# before it has been counted.
_one_at_a_time = Lock()


class Role(StrEnum):
    """What a person may do; the table is in `docs/security`, and everything not in it is refused."""

    DISPATCHER = "dispatcher"
    SUPERVISOR = "supervisor"
    FLEET_TECH = "fleet_tech"
    DESK_CLINICIAN = "desk_clinician"
    PRIVACY_AUDITOR = "privacy_auditor"
    HUB_ADMIN = "hub_admin"
    WALL = "wall"  # a screen, not a person: it sees what visitors may see


class Account(Struct, frozen=True, kw_only=True):
    """Somebody who has shown the password. `account` is the sign-in name, `name` the person's."""

    account: str
    name: str
    role: str


def made_up_password() -> str:
    """A password that no person chose: four groups of four."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(MADE_UP_LENGTH))
    return "-".join(letters[at : at + 4] for at in range(0, MADE_UP_LENGTH, 4))


def add(
    connection: Connection,
    name: str,
    role: str,
    now_ms: int,
    *,
    full_name: str | None = None,
    password: str | None = None,
) -> str:
    """Add an account and answer its password, a made-up one unless given; Refused when it cannot be."""
    if not _NAME.fullmatch(name):
        raise Refused("malformed", "A sign-in name is 1 to 32 of a-z, 0-9, '.', '_' and '-'.")
    if role not in [str(known) for known in Role]:
        raise Refused("malformed", f"A role is one of: {', '.join(Role)}.")
    if connection.execute(select(account.c.account).where(account.c.account == name)).first() is not None:
        raise Refused("conflict", f"There is already an account {name}.")
    password = made_up_password() if password is None else password
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise Refused("malformed", f"A password has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters.")
    salt = secrets.token_bytes(16)
    hashed = _hashed(password, salt)  # without the lock: who waits for that holds no connection, and we do
    connection.execute(
        insert(account).values(account=name, name=full_name or name, role=role, salt=salt, password=hashed, fails=0)
    )
    audit.append(connection, now_ms, "hub", None, "account_added", name, audit.OK, role)
    return password


def check(engine: Engine, name: str, password: str, now_ms: int) -> Account:
    """The account of that name, whose password it is; Refused otherwise, and when it is locked."""
    with _one_at_a_time:
        with engine.begin() as connection:
            row = _count_try(connection, name, now_ms)
        # Somebody without an account waits as long as somebody with one: the time does not tell which names exist.
        salt, wanted = (bytes(16), bytes(32)) if row is None else (row.salt, row.password)
        is_right = compare_digest(_hashed(password[:PASSWORD_LENGTH_MAX], salt), wanted) and row is not None
        with engine.begin() as connection:
            if row is not None and is_right:
                _forget_tries(connection, name)
                return Account(account=row.account, name=row.name, role=row.role)
            known = name if row is not None else None  # what was typed as a name may be a password
            audit.append(connection, now_ms, "hub", known, "sign_in", known, audit.DENIED, "wrong name or password")
            if row is not None and row.locked_ms is not None:
                audit.append(connection, now_ms, "hub", known, "account_locked", known, audit.DENIED, "wrong tries")
    raise Refused("wrong_password", "That name and password do not go together.")


def release(connection: Connection, name: str, by: str, now_ms: int) -> None:
    """Let a locked account try again; Refused when there is none of that name. `by`: the supervisor's account."""
    if connection.execute(select(account.c.account).where(account.c.account == name)).first() is None:
        raise Refused("not_found", f"There is no account {name}.")
    _forget_tries(connection, name)
    audit.append(connection, now_ms, "console", by, "account_released", name, audit.OK)


def _count_try(connection: Connection, name: str, now_ms: int) -> Row[tuple[object, ...]] | None:
    """The account with this try counted as a wrong one already; None when there is none; Refused when it is locked."""
    row = connection.execute(select(account).where(account.c.account == name)).first()
    if row is None:
        return None
    if row.locked_ms is not None:
        raise Refused("locked", "This account is locked after five wrong passwords; a supervisor can release it.")
    is_new_window = row.first_fail_ms is None or now_ms - row.first_fail_ms > FAILS_WITHIN_MS
    fails = 1 if is_new_window else row.fails + 1
    values = {
        "fails": fails,
        "first_fail_ms": now_ms if is_new_window else row.first_fail_ms,
        "locked_ms": now_ms if fails >= FAILS_MAX else None,  # taken back when the password is right after all
    }
    connection.execute(update(account).where(account.c.account == name).values(values))
    return connection.execute(select(account).where(account.c.account == name)).one()


def _forget_tries(connection: Connection, name: str) -> None:
    clean = {"fails": 0, "first_fail_ms": None, "locked_ms": None}
    connection.execute(update(account).where(account.c.account == name).values(clean))


def _hashed(password: str, salt: bytes) -> bytes:
    argon = Argon2id(salt=salt, length=32, iterations=3, lanes=1, memory_cost=65536)
    return argon.derive(password.encode("utf-8", "surrogatepass"))
