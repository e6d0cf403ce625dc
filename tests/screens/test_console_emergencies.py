"""An emergency at the console: told to every page, taken and cleared by those who may."""

from __future__ import annotations

import msgspec

from hub import presses, schema
from hub.presses import Press
from tests.screens.console_world import NOW_MS, World
from wire.facts import EmergencyFact
from wire.stamp import Stamp

ID = b"\xee" * 16
AT = f"/api/v1/emergencies/{ID.hex()}"


def press(hub: World, unit: str = "u1", mono_ms: int = 900, **more: object) -> None:
    fact = EmergencyFact(id=ID, source="button", mono_ms=mono_ms, unit=unit, staff=("dana",), **more)  # type: ignore[arg-type]
    stamp = Stamp(boot=b"b" * 16, mono_ms=1000, wall_ms=NOW_MS, quality="gps")
    with hub.engine.begin() as connection:
        presses.fold(connection, Press(device=f"d-{unit}", stamp=stamp, fact=fact, held_ms=hub.now_ms))


def events(data: bytes) -> dict[str, dict[str, object]]:
    parts = [part.split(b"\n", 1) for part in data.split(b"\n\n") if part.startswith(b"event: ")]
    return {head[7:].decode(): msgspec.json.decode(body[6:]) for head, body in parts}


def test_it_is_in_the_snapshot_and_pushed_to_every_page(hub: World) -> None:
    viewer = hub.board.join()
    assert viewer is not None
    stream = viewer.stream(lambda: hub.now_ms, lambda: True)
    assert events(next(stream))["snapshot"]["emergencies"] == []
    press(hub)
    hub.board.changed()
    told = events(next(stream))
    assert list(told) == ["emergencies", "units"]  # the most urgent first
    assert told["emergencies"]["emergencies"] == hub.signed_in("omar").get("/api/v1/snapshot").get_json()["emergencies"]
    (one,) = told["emergencies"]["emergencies"]  # type: ignore[misc]
    assert (one["call_sign"], one["crew"], one["acknowledged_ms"]) == (
        "CARE-1",
        [{"id": "dana", "name": "Alder"}],
        None,
    )


def test_a_dispatcher_or_a_supervisor_takes_it_and_the_first_has_it(hub: World) -> None:
    press(hub)
    (one,) = hub.signed_in("omar").post(f"{AT}/acknowledge", {}).get_json()
    assert (one["acknowledged_ms"], one["acknowledged_by"]) == (NOW_MS, "Omar")
    (again,) = hub.signed_in("nina").post(f"{AT}/acknowledge", {}).get_json()
    assert again["acknowledged_by"] == "Omar"
    assert hub.changes == ["changed", "changed"]


def test_it_is_cleared_with_the_words_that_were_said(hub: World) -> None:
    press(hub)
    page = hub.signed_in("nina")
    early = page.post(f"{AT}/clear", {"contact": "Alder", "words": "well", "presses": 1})
    assert (early.status_code, early.get_json()["code"]) == (409, "busy")
    page.post(f"{AT}/acknowledge", {})
    silent = page.post(f"{AT}/clear", {"presses": 1})
    assert (silent.status_code, silent.get_json()["code"]) == (422, "reason_needed")
    press(hub, mono_ms=950)
    unseen = page.post(f"{AT}/clear", {"contact": "Alder", "words": "well", "presses": 1})
    assert (unseen.status_code, "pressed again" in unseen.get_json()["message"]) == (409, True)
    cleared = page.post(f"{AT}/clear", {"contact": "Alder", "words": "well", "presses": 2})
    assert (cleared.status_code, cleared.get_json()) == (200, [])
    with hub.engine.begin() as connection:
        row = connection.execute(schema.emergency.select()).one()
    assert (row.cleared_by, row.contact, row.words) == ("nina", "Alder", "well")


def test_nobody_else_may_and_nothing_is_taken_without_the_page_s_token(hub: World) -> None:
    press(hub)
    for account in ("kit", "ruth"):
        assert hub.signed_in(account).post(f"{AT}/acknowledge", {}).status_code == 403
    page = hub.signed_in("nina")
    page.csrf = "guess"
    assert page.post(f"{AT}/acknowledge", {}).status_code == 403
    assert hub.client().post(f"{AT}/acknowledge", json={}).status_code in (401, 403)
    page = hub.signed_in("nina")
    assert page.post("/api/v1/emergencies/ff/acknowledge", {}).status_code == 404
    assert page.post(f"{AT}/clear", {"contact": "A"}).status_code == 400
    with hub.engine.begin() as connection:
        assert connection.execute(schema.emergency.select()).one().acknowledged_ms is None


def test_a_unit_in_an_emergency_is_ranked_unfit_and_one_that_tests_is_not(hub: World) -> None:
    page = hub.signed_in("nina")

    def reasons() -> list[str]:
        ranked = page.post("/api/v1/incidents/i2/ranking", {}).get_json()["candidates"]
        return next(one["reasons"] for one in ranked if one["unit"] == "u1")

    press(hub, drill=True)
    assert reasons() == []
    press(hub, mono_ms=910)
    assert reasons() == ["emergency raised"]
