"""Who did what, when: appended in the transaction of the deed itself, never edited."""

from __future__ import annotations

from sqlalchemy import Connection, insert

from hub import schema

OK = "ok"
DENIED = "denied"
FAILED = "failed"


def append(
    connection: Connection,
    at_ms: int,
    source: str,
    actor: str | None,
    what: str,
    about: str | None,
    outcome: str,
    reason: str | None = None,
) -> None:
    """Note a deed. `source`: "console", "hub" or a device id; `outcome`: "ok", "denied" or "failed".

    Never note text, a PIN, or the name of a person met: ids only.
    """
    connection.execute(
        insert(schema.audit).values(
            at_ms=at_ms, source=source, actor=actor, what=what, about=about, outcome=outcome, reason=reason
        )
    )
