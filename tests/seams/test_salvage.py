"""A terminal whose file is damaged at any moment of its talk with the hub: what could be read is at the hub once, under the
number it was saved with, what could not is a gap, and the terminal owes nothing in the end."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from sqlalchemy import select

from edge import evidence, salvage, schema
from edge.outbox import LEDGER, TRAIL
from hub import projections
from hub import schema as hub_schema
from tests.hub_agency import PROJECTED
from tests.seams.world import World

SEEDS = range(6)


def live(world: World, chance: Random) -> None:
    """A while of everything: records, a bad network, the hub's answers."""
    for _ in range(chance.randrange(5, 40)):
        world.append(chance.choice((LEDGER, LEDGER, TRAIL)))
        if chance.random() < 0.2:
            world.connect()
        for act in (world.answer, world.carry_up, world.carry_down):
            if chance.random() < 0.4:
                act()
        world.pass_time(chance.choice((0.1, 5.0, 40.0)))


def break_file(path: Path, chance: Random) -> None:
    """A page is overwritten, or the file is cut, or its header is gone."""
    data = bytearray(path.read_bytes())
    what = chance.randrange(3)
    if what == 0:
        data[:100] = chance.randbytes(100)
    elif what == 1 and len(data) > 3 * 4096:
        at = chance.randrange(1, len(data) // 4096) * 4096
        data[at : at + 4096] = chance.randbytes(4096)
    else:
        data = data[: len(data) * 2 // 3]
    path.write_bytes(data)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_saved_before_the_damage_is_at_the_hub_or_in_a_gap(tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    world = World(tmp_path, seed)
    live(world, chance)
    before = {log: world.numbers(log) for log in (LEDGER, TRAIL)}
    log = chance.choice((LEDGER, TRAIL))
    world.cut()
    world._close_terminal()
    path = tmp_path / "terminal" / f"{log}.db"
    break_file(path, chance)
    steps = schema.LEDGER if log == LEDGER else schema.TRAIL
    salvage.open_store(path, steps, log, world.signer, world.clock.stamp).close()
    salvaged = world.truth[log]
    world.truth[log] = []
    world._open_terminal()
    was_damaged = world.numbers(log).log_id != before[log].log_id
    world.truth[log] = [b""] * (world.numbers(log).next - 1) if was_damaged else salvaged
    live(world, chance)
    world.heal()

    held = world.held().get(before[log].log_id, [])
    assert len(held) == len(dict(held)), "held twice"
    assert all(salvaged[seq - 1] == data for seq, data in held)
    with world.engine.begin() as connection:
        table = hub_schema.gap
        rows = connection.execute(select(table).where(table.c.log_id == before[log].log_id)).all()
    lost = {seq for row in rows for seq in range(row.first, row.last + 1)}
    assert not lost & set(dict(held))
    if was_damaged and before[log].log_id in world.held():
        assert set(dict(held)) | lost >= set(range(1, before[log].through + 1))
    kept = evidence.notice(tmp_path / "terminal")
    if kept is not None and kept.lost == 0:
        assert set(dict(held)) | lost == set(range(1, before[log].next))
        assert not lost
        evidence.tidy(tmp_path / "terminal", world.stores)
        assert evidence.notice(tmp_path / "terminal") is None
    _rebuilt_the_same(world)
    world.close()


def _rebuilt_the_same(world: World) -> None:
    def projected() -> dict[str, list[tuple[object, ...]]]:
        with world.engine.begin() as connection:
            metadata = hub_schema.metadata.tables
            return {name: [tuple(row) for row in connection.execute(select(metadata[name]))] for name in PROJECTED}

    before = projected()
    with world.engine.begin() as connection:
        projections.rebuild(connection)
    assert projected() == before
