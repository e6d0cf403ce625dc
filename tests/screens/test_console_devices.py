"""The devices page: what each terminal still owes, what it was told to do, and what to do about a second board."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import insert, select

from hub import orders, schema
from hub.presence import LATE_MS, Owes
from tests.screens.console_world import ORIGIN, Page, World
from wire.facts import OrderDone


def submit(page: Page, path: str, **fields: str) -> int:
    data = fields | {"csrf": page.csrf}
    return page.client.post(path, data=data, base_url=ORIGIN, headers={"Origin": ORIGIN}).status_code


def row(page: Page, call_sign: str) -> str:
    found = re.search(rf'<th scope="row">{call_sign}<.*?(?=<th scope="row">|</tbody>)', page.get("/devices").text, re.S)
    assert found is not None
    return found[0]


def test_a_supervisor_locks_a_terminal_and_sees_that_it_did(hub: World) -> None:
    page = hub.signed_in("omar")
    assert submit(page, "/devices/d-u1/order", kind="lock") == 303
    assert submit(page, "/devices/d-u1/order", kind="lock") == 303  # pressed twice is once
    assert "Lock the clinical zone, " in row(page, "CARE-1")
    assert "by omar: not yet on the terminal" in row(page, "CARE-1")
    with hub.engine.begin() as connection:
        told = orders.section(connection, "d-u1")
        assert told is not None
        (order,) = told.orders
        assert orders.answered(connection, "d-u1", OrderDone(order=order.id, outcome="done"), hub.now_ms + 4000)
        assert not orders.answered(connection, "d-u1", OrderDone(order=order.id, outcome="done"), hub.now_ms + 9000)
        assert not orders.answered(connection, "d-u2", OrderDone(order=order.id, outcome="done"), hub.now_ms)
        told = orders.section(connection, "d-u1")
        assert told is not None and told.orders == ()
        assert orders.section(connection, "d-u2") is None
        what = list(connection.execute(select(schema.audit.c.what)).scalars())
    assert "done" in row(page, "CARE-1")
    assert what.count("order_lock") == 1
    assert hub.changes == ["changed", "changed"]


@pytest.mark.parametrize(("account", "code"), [("nina", 403), ("ruth", 403), ("kit", 303), ("omar", 303)])
def test_only_a_supervisor_or_a_fleet_tech_gives_orders(hub: World, account: str, code: int) -> None:
    assert submit(hub.signed_in(account), "/devices/d-u1/order", kind="resend") == code


def test_an_order_nobody_knows_or_for_nobody_is_refused_and_so_is_one_from_another_page(hub: World) -> None:
    page = hub.signed_in("omar")
    assert submit(page, "/devices/d-u1/order", kind="wipe") >= 400
    assert submit(page, "/devices/d-none/order", kind="lock") == 404
    page.csrf = "another"
    assert submit(page, "/devices/d-u1/order", kind="lock") == 403


def test_the_page_says_what_a_terminal_has_that_is_not_here(hub: World) -> None:
    page = hub.signed_in("kit")
    assert "all received" in row(page, "CARE-1")
    assert hub.presence.owes(Owes(device="d-u1", records=12, oldest_ms=240_000), hub.now_ms)
    assert "12 unsent, oldest 4 min" in row(page, "CARE-1")
    unit = next(one for one in hub.signed_in("nina").get("/api/v1/snapshot").get_json()["units"] if one["unit"] == "u1")
    assert (unit["owed"], unit["owed_since_ms"]) == (12, hub.now_ms - 240_000)


def test_what_is_on_its_way_is_no_dispatchers_business_until_it_is_late(hub: World) -> None:
    here, now_ms = hub.presence, hub.now_ms
    assert not here.owes(Owes(device="d-u1", records=2, oldest_ms=900), now_ms)
    assert here.state("d-u1").owed == 0
    assert here.owes(Owes(device="d-u1", records=2, oldest_ms=LATE_MS), now_ms + LATE_MS)
    assert not here.owes(Owes(device="d-u1", records=2, oldest_ms=LATE_MS + 10_040), now_ms + LATE_MS + 10_000)
    assert here.owes(Owes(device="d-u1", records=0, oldest_ms=None), now_ms + 60_000)
    here.gone("d-u1", now_ms + 90_000)
    assert here.state("d-u1").complete_ms == now_ms + 60_000  # all received through
    assert here.state("d-u1").owed == 0


def test_a_second_board_stands_on_the_page_with_what_to_do_and_a_tech_decides(hub: World) -> None:
    with hub.engine.begin() as connection:
        connection.execute(
            insert(schema.signer).values(id=1, device="d-u4", digest=b"d", public=b"p", certificate=b"c")
        )
        connection.execute(
            insert(schema.twin).values(
                device="d-u4", boot=bytes(16), is_stranger=True, why="w", noted_ms=hub.now_ms, newest_ms=hub.now_ms
            )
        )
        for n in range(3):
            connection.execute(
                insert(schema.stray).values(
                    device="d-u4",
                    log_id=bytes(16),
                    seq=n + 1,
                    boot=bytes(16),
                    digest=bytes([n]),
                    data=b"kept",
                    held_ms=hub.now_ms,
                    signer=1,
                )
            )
    page = hub.signed_in("kit")
    said = page.get("/devices").text
    assert "Two boards speak as CARE-4" in said
    assert "3 records stand apart and wait for a decision" in said
    assert submit(page, "/devices/d-u4/settle", word="left") == 303
    assert "wait for a decision" not in page.get("/devices").text
    alarms = hub.signed_in("nina").get("/api/v1/snapshot").get_json()["health"]["alarms"]
    assert [one["kind"] for one in alarms] == ["twin"]
    with hub.engine.begin() as connection:
        assert len(connection.execute(select(schema.stray)).all()) == 3
