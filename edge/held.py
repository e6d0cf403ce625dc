"""The desired state this terminal holds: of each section the newest version, as the hub signed and sealed it.

The row is its own high-water mark: it only ever gives way to a higher version, across restarts too, so that whoever
runs the broker can delay a snapshot and cannot bring back an old one.
"""

from __future__ import annotations

from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct
from sqlite_utils import Database

from wire import signature
from wire.codec import decode
from wire.state import Snapshot, Version, unseal

T = TypeVar("T")


class Held(Struct, frozen=True, kw_only=True):
    """A section without its content. `held_ms`: when this terminal committed it, by its own wall clock."""

    version: Version
    held_ms: int


def about(db: Database, section: str) -> Held | None:
    """Which version of `section` is held, and since when; None when the hub has not sent it yet."""
    row: tuple[int, int, int] | None = db.execute(
        "select epoch, n, held_ms from held where section = ?", [section]
    ).fetchone()
    return None if row is None else Held(version=Version(epoch=row[0], n=row[1]), held_ms=row[2])


def versions(db: Database) -> list[tuple[str, Version]]:
    """Every section that is held, with its version."""
    rows = db.execute("select section, epoch, n from held order by section").fetchall()
    return [(section, Version(epoch=epoch, n=n)) for section, epoch, n in rows]


def content(db: Database, kem: ec.EllipticCurvePrivateKey, section: str, kind: type[T]) -> T | None:
    """`section` opened in memory; None when the hub has not sent it yet; Malformed when this is not its `kind`."""
    row: tuple[bytes] | None = db.execute("select snapshot from held where section = ?", [section]).fetchone()
    if row is None:
        return None
    # Verified when it was kept; whoever can write this file can also change the program that would verify again.
    return decode(unseal(decode(signature.payload_of(row[0]), Snapshot), kem), kind)


def drop_unreadable(db: Database, kem: ec.EllipticCurvePrivateKey) -> int:
    """Let go of each section that does not open any more, because a disk changed its bytes: the hub sends it again with
    the next birth, and would not be believed while a version of it is held. How many there were."""
    broken: list[str] = []
    for section, snapshot in db.execute("select section, snapshot from held").fetchall():
        try:
            unseal(decode(signature.payload_of(snapshot), Snapshot), kem)
        except ValueError:  # Malformed is one, and so is a point that lies on no curve any more
            broken.append(section)
    for section in broken:
        db.execute("delete from held where section = ?", [section])
    return len(broken)


def keep(db: Database, section: str, version: Version, data: bytes, now_ms: int) -> bool:
    """Whether `data`, a verified snapshot of `version`, was newer than what was held and took its place."""
    before = about(db, section)
    if before is not None and version <= before.version:
        return False
    db.execute(
        "insert or replace into held (section, epoch, n, snapshot, held_ms) values (?, ?, ?, ?, ?)",
        [section, version.epoch, version.n, data, now_ms],
    )
    return True


def epoch_stands(db: Database, epoch: int) -> bool:
    """Whether the hub of `epoch` may be listening: a lower one than was heard before was replaced by a restored hub, and
    its word is a replay. The mark is kept, so that a restart does not forget it."""
    row: tuple[int] | None = db.execute("select value from fact where name = 'hub_epoch'").fetchone()
    if row is None or epoch > row[0]:
        db.execute("insert or replace into fact (name, value) values ('hub_epoch', ?)", [epoch])
    return row is None or epoch >= row[0]
