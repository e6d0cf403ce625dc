"""What the hub takes next of what has come: a bounded part of the logs, and whatever is live before the rest of them; and how
long it waits for a broker that is away."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from hub.assembly import HUNG_S_MAX
from hub.link import BATCH_RECORDS, CONNECT_S_MAX, Received, pause_s, take_batch
from serving.beats import ROUND_S_MAX
from wire.topics import Up, UpTopic, text

NOBODY = Client(CallbackAPIVersion.VERSION2)  # never connected


def came(*channels: Up) -> deque[Received]:
    return deque(
        Received(topic=text(UpTopic("care-1", channel)), payload=b"", mid=mid, qos=1, client=NOBODY)
        for mid, channel in enumerate(channels)
    )


def mids(batch: list[Received]) -> list[int]:
    return [one.mid for one in batch]


def test_a_batch_is_as_it_came_while_it_is_small() -> None:
    waiting = came(Up.PRESENCE, Up.LOG, Up.LIVE, Up.LOG, Up.PRESENCE, Up.ALARM)
    assert mids(take_batch(waiting)) == [0, 1, 2, 3, 4, 5]
    assert not waiting


def test_a_position_and_an_emergency_do_not_wait_behind_a_backlog() -> None:
    waiting = came(*[Up.LOG] * (3 * BATCH_RECORDS), Up.LIVE, Up.ALARM)
    assert mids(take_batch(waiting)) == [*range(BATCH_RECORDS), 3 * BATCH_RECORDS, 3 * BATCH_RECORDS + 1]


def test_the_records_of_a_backlog_keep_their_order_from_batch_to_batch() -> None:
    waiting = came(*[Up.LOG] * (2 * BATCH_RECORDS + 5))
    batches = [mids(take_batch(waiting)) for _ in range(3)]
    assert [len(batch) for batch in batches] == [BATCH_RECORDS, BATCH_RECORDS, 5]
    assert [mid for batch in batches for mid in batch] == list(range(2 * BATCH_RECORDS + 5))


def test_nothing_overtakes_a_birth_and_a_birth_no_record() -> None:
    waiting = came(*[Up.LOG] * (BATCH_RECORDS + 1), Up.LIVE, Up.PRESENCE, Up.LIVE)
    assert mids(take_batch(waiting)) == [*range(BATCH_RECORDS), BATCH_RECORDS + 1]
    assert mids(take_batch(waiting)) == [BATCH_RECORDS, BATCH_RECORDS + 2, BATCH_RECORDS + 3]


@pytest.mark.parametrize("is_dropped", [False, True])
def test_however_long_the_broker_is_away_the_hub_never_pauses_so_long_that_it_is_taken_for_hanging(
    is_dropped: bool,
) -> None:
    chance = Random(1)
    pauses = [pause_s(tries, is_dropped, chance) for tries in (0, 1, 5, 20, 5000) for _ in range(200)]
    assert min(pauses) >= 0.1
    assert max(pauses) + CONNECT_S_MAX < HUNG_S_MAX
    assert max(pauses) <= ROUND_S_MAX
