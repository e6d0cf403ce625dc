"""Programs that may ask this hub over HTTP: each with a name, a role, an end, and 256 random bits that it shows.

The hub keeps only the hash. A name is used once, for ever, so that the audit never means two programs by it; whoever is
revoked stays in the list. What a role may do and see is in `hub.web.access` and `hub.labels`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256

from msgspec import Struct
from sqlalchemy import Connection, Row, insert, select, update

from hub import audit
from hub.errors import Refused
from hub.schema import api_token

MARK = "tandem_"  # before the random part, so that whoever finds one in a file knows what it is and whom to tell
SECRET_BYTES = 32
DAYS = 365
DAYS_MAX = 730
DAY_MS = 24 * 3600_000
USED_EVERY_MS = 60_000  # how exact "last used" is; each answer would be a write otherwise
ACTOR = "token:"  # before its name wherever a person's sign-in name stands; no sign-in name has a colon
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")


class TokenRole(StrEnum):
    """What a program may do; everything that is not in the table of `hub.web.access` is refused."""

    POSITIONS = "positions_reader"  # where the units are, and nothing else
    BOARD = "board_reader"  # all that the board shows
    DISPATCH = "dispatch_system"  # what a dispatcher does
    CLINICAL = "clinical_system"  # one incident as a clinician reads it
    STATISTICS = "statistics"  # incidents by their open fields, over and not


class Token(Struct, frozen=True, kw_only=True):
    """What the hub knows of a program. `has_cji`: the agency lets this dispatch system see police records."""

    name: str
    role: str
    has_cji: bool
    added_ms: int
    expires_ms: int
    used_ms: int | None
    revoked_ms: int | None

    @property
    def actor(self) -> str:
        """Who did it, in the audit and on a timeline."""
        return ACTOR + self.name

    def is_alive(self, now_ms: int) -> bool:
        """Whether it opens anything now."""
        return self.revoked_ms is None and now_ms < self.expires_ms


class Adding(Struct, frozen=True, kw_only=True, tag="token_add"):
    """Make a token, for so many days."""

    name: str
    role: str
    days: int = DAYS
    has_cji: bool = False


class Listing(Struct, frozen=True, kw_only=True, tag="token_list"):
    """Say which there are."""


class Revoking(Struct, frozen=True, kw_only=True, tag="token_revoke"):
    """Let this one open nothing any more."""

    name: str


Asking = Adding | Listing | Revoking
"""What an administrator asks of the tokens."""


class Kept(Struct, frozen=True, kw_only=True, tag="token_kept"):
    """What came of it. `shown`: the new token, for the only time; `is_new`: false when it was revoked before."""

    shown: str | None = None
    tokens: tuple[Token, ...] = ()
    is_new: bool = True


def do(connection: Connection, asking: Asking, by: str | None, now_ms: int) -> Kept:
    """Do what is asked; Refused when it cannot be."""
    match asking:
        case Adding():
            return Kept(shown=add(connection, asking, by, now_ms))
        case Listing():
            return Kept(tokens=every(connection))
        case Revoking(name=name):
            return Kept(is_new=revoke(connection, name, by, now_ms))


def add(connection: Connection, adding: Adding, by: str | None, now_ms: int) -> str:
    """Make a token and answer what its program has to show: said once, kept nowhere. Refused when it cannot be."""
    if not _NAME.fullmatch(adding.name):
        raise Refused("malformed", "A token's name is 1 to 32 of a-z, 0-9, '.', '_' and '-'.")
    if adding.role not in [str(known) for known in TokenRole]:
        raise Refused("malformed", f"A token's role is one of: {', '.join(TokenRole)}.")
    if not 1 <= adding.days <= DAYS_MAX:
        raise Refused("malformed", f"A token is for 1 to {DAYS_MAX} days; make a new one before it ends.")
    if adding.has_cji and adding.role != TokenRole.DISPATCH:
        raise Refused("malformed", f"Police records are for a {TokenRole.DISPATCH}; leave that out.")
    if connection.execute(select(api_token.c.name).where(api_token.c.name == adding.name)).first() is not None:
        raise Refused("conflict", f"There is or was a token {adding.name}. Choose a name that was never used.")
    shown = MARK + secrets.token_urlsafe(SECRET_BYTES)
    connection.execute(
        insert(api_token).values(
            name=adding.name,
            role=adding.role,
            has_cji=adding.has_cji,
            secret=_hash(shown),
            added_ms=now_ms,
            expires_ms=now_ms + adding.days * DAY_MS,
        )
    )
    reason = f"{adding.role}{' cji' if adding.has_cji else ''}, {adding.days} days"
    audit.append(connection, now_ms, "hub", by, "token_added", ACTOR + adding.name, audit.OK, reason)
    return shown


def every(connection: Connection) -> tuple[Token, ...]:
    """All that there ever were, by name."""
    return tuple(_token(row) for row in connection.execute(select(api_token).order_by(api_token.c.name)))


def revoke(connection: Connection, name: str, by: str | None, now_ms: int) -> bool:
    """Let the token open nothing any more; False when it did not before. Refused when there is none."""
    row = connection.execute(select(api_token).where(api_token.c.name == name)).first()
    if row is None:
        raise Refused("not_found", "There is no token of that name. See: tandem-hub tokens list")
    if row.revoked_ms is not None:
        return False
    connection.execute(update(api_token).where(api_token.c.name == name).values(revoked_ms=now_ms))
    audit.append(connection, now_ms, "hub", by, "token_revoked", ACTOR + name, audit.OK)
    return True


def find(connection: Connection, shown: str, now_ms: int) -> Token | None:
    """The token that a program shows; None when there is none, or it has ended. It counts as used now."""
    # By its hash: how long the search takes says nothing about 256 random bits.
    row = connection.execute(select(api_token).where(api_token.c.secret == _hash(shown))).first()
    if row is None:
        return None
    found = _token(row)
    if not found.is_alive(now_ms):
        return None
    if found.used_ms is None or not 0 <= now_ms - found.used_ms < USED_EVERY_MS:
        connection.execute(update(api_token).where(api_token.c.name == found.name).values(used_ms=now_ms))
    return found


def alive(connection: Connection, name: str, now_ms: int) -> bool:
    """Whether the token of this name opens anything now."""
    row = connection.execute(select(api_token).where(api_token.c.name == name)).first()
    return row is not None and _token(row).is_alive(now_ms)


def lines(some: Iterable[Token], now_ms: int) -> tuple[str, ...]:
    """A table for people: name, role, what became of it, when it asked last."""
    rows = [("name", "role", "state", "last used")]
    for one in some:
        role = one.role + (" +cji" if one.has_cji else "")
        used = "never" if one.used_ms is None else _spoken(one.used_ms)
        rows.append((one.name, role, _state(one, now_ms), used))
    wide = [max(len(row[at]) for row in rows) for at in range(3)]
    return tuple("  ".join((*(row[at].ljust(wide[at]) for at in range(3)), row[3])) for row in rows)


def _state(one: Token, now_ms: int) -> str:
    if one.revoked_ms is not None:
        return f"revoked {_spoken(one.revoked_ms)}"
    return f"{'until' if one.is_alive(now_ms) else 'expired'} {_spoken(one.expires_ms)}"


def _spoken(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def stay_revoked(connection: Connection, names: set[str], now_ms: int) -> None:
    """In a hub restored from an older backup: what was revoked since stays so."""
    still = api_token.c.name.in_(sorted(names)) & api_token.c.revoked_ms.is_(None)
    for name in connection.execute(select(api_token.c.name).where(still)).scalars().all():
        revoke(connection, name, None, now_ms)


def _token(row: Row[tuple[object, ...]]) -> Token:
    return Token(
        name=row.name,
        role=row.role,
        has_cji=row.has_cji,
        added_ms=row.added_ms,
        expires_ms=row.expires_ms,
        used_ms=row.used_ms,
        revoked_ms=row.revoked_ms,
    )


def _hash(shown: str) -> bytes:
    return sha256(shown.encode("utf-8", "surrogatepass")).digest()
