"""Who is signed in at the console: a random cookie, of which the hub keeps only the hash."""

from __future__ import annotations

import secrets
from hashlib import sha256

from msgspec import Struct
from sqlalchemy import Connection, delete, insert, select, update

from hub.schema import account, web_session

IDLE_MS = 30 * 60_000
LIFE_MS = 12 * 3600_000  # a long shift; then sign in again
SEEN_EVERY_MS = 60_000  # how exact "idle" is; each answer would be a write otherwise
TOKEN_BYTES = 16


class Session(Struct, frozen=True, kw_only=True):
    """A signed-in person, or a program with a token. `csrf` must come back with every request of a person that changes
    something; a program has none. `token`: the program's, None for a person; `has_cji`: it may see police records."""

    account: str
    name: str
    role: str
    csrf: str
    token: str | None = None
    has_cji: bool = False


class Begun(Struct, frozen=True, kw_only=True):
    """A fresh session: `token` goes into the cookie and nowhere else."""

    token: str
    csrf: str


def begin(connection: Connection, account_id: str, now_ms: int) -> Begun:
    """Sign `account_id` in; what has ended is swept out on the way."""
    connection.execute(
        delete(web_session).where(
            (web_session.c.began_ms <= now_ms - LIFE_MS) | (web_session.c.seen_ms <= now_ms - IDLE_MS)
        )
    )
    begun = Begun(token=secrets.token_urlsafe(TOKEN_BYTES), csrf=secrets.token_urlsafe(TOKEN_BYTES))
    connection.execute(
        insert(web_session).values(
            session=_hash(begun.token), account=account_id, csrf=begun.csrf, began_ms=now_ms, seen_ms=now_ms
        )
    )
    return begun


def find(connection: Connection, token: str, now_ms: int, is_active: bool = True) -> Session | None:
    """The session of this cookie; None when there is none or it has ended.

    `is_active` false looks without keeping it alive: a page that only listens is not a person.
    """
    row = connection.execute(
        select(web_session, account.c.name, account.c.role)
        .join(account, account.c.account == web_session.c.account)
        .where(web_session.c.session == _hash(token))
    ).first()
    if row is None or now_ms - row.began_ms >= LIFE_MS or now_ms - row.seen_ms >= IDLE_MS:
        return None
    if is_active and now_ms - row.seen_ms >= SEEN_EVERY_MS:
        connection.execute(update(web_session).where(web_session.c.session == row.session).values(seen_ms=now_ms))
    return Session(account=row.account, name=row.name, role=row.role, csrf=row.csrf)


def end(connection: Connection, token: str) -> None:
    """Sign out."""
    connection.execute(delete(web_session).where(web_session.c.session == _hash(token)))


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()
