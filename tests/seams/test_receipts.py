"""Whatever the network does: nothing lost, nothing twice, everything in order, every byte as it was signed."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random, SystemRandom

import pytest

from edge.outbox import LEDGER, TRAIL
from tests.seams.world import World

STEPS = 250
SEEDS = range(12)
UNCHOSEN_S = 8.0  # for seeds that nobody chose; with the chosen ones the ring stays below a minute


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_doubled_whatever_the_network_does(tmp_path: Path, seed: int) -> None:
    live_through(tmp_path, seed)


def test_nor_with_seeds_that_nobody_chose(tmp_path: Path) -> None:
    end_s, seeds = time.monotonic() + UNCHOSEN_S, 0
    while time.monotonic() < end_s:
        seed = SystemRandom().randrange(2**32)
        print(f"seed {seed}")
        live_through(tmp_path / str(seed), seed)
        seeds += 1
    assert seeds > 0


def live_through(home: Path, seed: int) -> None:
    home.mkdir(exist_ok=True)
    world = World(home, seed)
    try:
        chance = Random(~seed)
        for step in range(STEPS):
            one_step(world, chance)
            check_nothing_was_let_go(world, f"seed {seed}, step {step}")
        world.heal()
        check_the_end(world, f"seed {seed}")
    except Exception as wrong:
        wrong.add_note(f"seed {seed}")
        raise
    finally:
        world.close()


def one_step(world: World, chance: Random) -> None:
    (act,) = chance.choices(
        (
            lambda: world.append(LEDGER),
            lambda: world.append(TRAIL),
            world.connect,
            world.cut,
            world.answer,
            world.carry_up,
            world.carry_down,
            lambda: world.pass_time(chance.choice((0.1, 5, 31, 61, 700))),
            world.restart_terminal,
            world.restart_hub,
            world.back_up_hub,
            world.restore_hub,
        ),
        weights=(20, 12, 14, 3, 20, 20, 20, 6, 2, 1, 1, 1),
    )
    act()


def check_nothing_was_let_go(world: World, where: str) -> None:
    """Of the last three days the terminal still has everything, receipted or not."""
    for log, truth in world.truth.items():
        numbers = world.numbers(log)
        assert numbers.next == len(truth) + 1, where
        assert numbers.lowest_held == 1, where


def check_the_end(world: World, where: str) -> None:
    held = world.held()
    for log, truth in world.truth.items():
        rows = held.get(world.numbers(log).log_id, [])
        assert [seq for seq, _ in rows] == list(range(1, len(truth) + 1)), f"{where}: {log} at the hub"
        assert [data for _, data in rows] == truth, f"{where}: {log} bytes"
    assert len(held) <= len(world.truth), f"{where}: logs nobody wrote"
    assert world.quarantined() == [], where


def test_a_restored_hub_that_never_heard_the_birth_still_gets_what_it_lost(tmp_path: Path) -> None:
    world = World(tmp_path, 1)
    try:
        world.append(LEDGER)
        world.heal()
        world.back_up_hub()
        for _ in range(3):
            world.append(LEDGER)
        world.heal()
        assert world.unsent == 0
        world.restore_hub()
        assert world.unsent == 0, "nobody has told the terminal yet"
        world.up.clear()  # the birth to the restored hub is lost
        world.heal()
        check_the_end(world, "after the restore")
    finally:
        world.close()
