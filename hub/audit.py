"""Who did what, when: appended in the transaction of the deed itself, never edited."""

from __future__ import annotations

from sqlalchemy import Connection, insert

from hub import schema

_APPEND = insert(schema.audit).returning(schema.audit.c.seq)  # built once and not for each

OK = "ok"
DENIED = "denied"
FAILED = "failed"

# In hub_fact: the number of the newest line of each kind that a supervisor must see, so that no reader searches for it.
WENT_BACK = "alarm_went_back"
NO_BACKUP = "alarm_no_backup"  # 0 after one that was made
RESTORED = "alarm_restored"
DAMAGED = "alarm_damaged:"  # before a device
TRIMMED = "trimmed:"  # before device:section: how many of its last entries do not fit in a packet


def append(
    connection: Connection,
    at_ms: int,
    source: str,
    actor: str | None,
    what: str,
    about: str | None,
    outcome: str,
    reason: str | None = None,
) -> int:
    """Note a deed, and say under which number. `source`: "console", "hub" or a device id; `outcome`: "ok", "denied" or "failed".

    Never note text, a PIN, or the name of a person met: ids only.
    """
    line = {"at_ms": at_ms, "source": source, "actor": actor, "what": what, "about": about, "outcome": outcome}
    return int(connection.execute(_APPEND, {**line, "reason": reason}).scalar_one())
