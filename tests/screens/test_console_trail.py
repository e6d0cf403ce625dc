"""Where a unit was, from what its terminals recorded: by the hub's clock, with its holes, for who dispatches."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import insert, select

from hub import schema
from hub.schema import boot, log, record, signer
from hub.trail import POINTS_MAX, TrailPointView, pieces, thinned
from tests.screens.console_world import World
from wire.distance import moved
from wire.records import Kind, Record, sign_record
from wire.stamp import ClockQuality, Stamp
from wire.trail import Trail, TrailPoint, pack

MIDDLE = (42.45, -101.35)
BOOT, LOG = b"b" * 16, b"l" * 16
MINUTE_MS = 60_000


def keep(
    hub: World,
    seq: int,
    mono_ms: list[int],
    *,
    held_ms: int,
    device: str = "d-u1",
    log_id: bytes = LOG,
    boot_id: bytes = BOOT,
    wall_ms: int | None = None,
    dropped: int = 0,
    refused: str | None = None,
) -> None:
    """A trail record with a point for each of `mono_ms`, ten meters apart to the north."""
    points = []
    for at in mono_ms:
        lat, lon = moved(*MIDDLE, 0, at / 100)
        points.append(TrailPoint(mono_ms=at, lat=lat, lon=lon, speed_mps=10.0, heading_deg=0.0))
    told = Record(
        v=1,
        device=device,
        log_id=log_id,
        seq=seq,
        kind=Kind.TRAIL,
        stamp=Stamp(
            boot=boot_id,
            mono_ms=mono_ms[-1],
            wall_ms=wall_ms,
            quality=ClockQuality.NONE if wall_ms is None else ClockQuality.GPS,
        ),
        body=pack(Trail(points=tuple(points), dropped=dropped)),
    )
    key = ec.generate_private_key(ec.SECP256R1())
    with hub.engine.begin() as connection:
        known = connection.execute(select(signer.c.id)).scalar()
        if known is None:
            connection.execute(insert(signer).values(id=1, device=device, digest=b"d", public=b"", certificate=b""))
        if connection.execute(select(log).where(log.c.device == device, log.c.log_id == log_id)).first() is None:
            connection.execute(insert(log).values(device=device, log_id=log_id, name="trail", through=0))
        connection.execute(
            insert(record).values(
                device=device,
                log_id=log_id,
                seq=seq,
                kind=Kind.TRAIL,
                data=sign_record(told, key),
                held_ms=held_ms,
                signer=1,
                refused=refused,
            )
        )


def born(hub: World, *, mono_ms: int, held_ms: int, boot_id: bytes = BOOT) -> None:
    with hub.engine.begin() as connection:
        connection.execute(
            insert(boot).values(device="d-u1", boot=boot_id, session=1, mono_ms=mono_ms, held_ms=held_ms)
        )


def trail(hub: World, minutes: int = 30, unit: str = "u1") -> dict[str, list[list[dict[str, float]]]]:
    answer = hub.signed_in("nina").get(f"/api/v1/units/{unit}/trail?minutes={minutes}")
    assert answer.status_code == 200, answer.get_json()
    said = answer.get_json()
    assert isinstance(said, dict)
    return said


def times(said: dict[str, list[list[dict[str, float]]]], hub: World) -> list[list[float]]:
    """Of each piece the points, in seconds before now."""
    return [[(hub.now_ms - point["at_ms"]) / 1000 for point in piece] for piece in said["pieces"]]


def test_points_are_timed_by_the_hubs_clock_since_the_birth(hub: World) -> None:
    born(hub, mono_ms=1000, held_ms=hub.now_ms - 10 * MINUTE_MS)
    keep(hub, 1, [1000, 2000, 3000], held_ms=hub.now_ms - 9 * MINUTE_MS)
    keep(hub, 2, [4000, 5000], held_ms=hub.now_ms - 8 * MINUTE_MS)
    said = trail(hub)
    assert times(said, hub)[0] == [600, 599, 598, 597, 596]
    assert said["pieces"][0][0]["lat"] < said["pieces"][0][-1]["lat"]


def test_a_hole_parts_the_way_and_the_newest_position_ends_it(hub: World) -> None:
    born(hub, mono_ms=0, held_ms=hub.now_ms - 10 * MINUTE_MS)
    keep(hub, 1, [0, 1000, 2000], held_ms=hub.now_ms - 9 * MINUTE_MS)
    keep(hub, 2, [200_000, 201_000], held_ms=hub.now_ms - 5 * MINUTE_MS)
    found = times(trail(hub), hub)
    assert [len(piece) for piece in found] == [3, 2, 1]
    assert found[-1][0] < 5  # where it is believed to be now


def test_a_birth_that_was_long_on_its_way_is_timed_by_a_clock_that_is_to_be_believed(hub: World) -> None:
    born(hub, mono_ms=0, held_ms=hub.now_ms - 5 * MINUTE_MS)
    keep(hub, 1, [0, 1000], held_ms=hub.now_ms - 4 * MINUTE_MS, wall_ms=hub.now_ms - 20 * MINUTE_MS)
    assert times(trail(hub), hub)[0] == [1201, 1200]


def test_a_wrong_clock_does_not_move_a_trail_into_another_day(hub: World) -> None:
    born(hub, mono_ms=0, held_ms=hub.now_ms - 5 * MINUTE_MS)
    keep(hub, 1, [0, 1000], held_ms=hub.now_ms - 4 * MINUTE_MS, wall_ms=1)
    assert times(trail(hub), hub)[0] == [300, 299]


def test_only_the_minutes_that_were_asked_for_are_told_and_only_of_that_unit(hub: World) -> None:
    born(hub, mono_ms=0, held_ms=hub.now_ms - 60 * MINUTE_MS)
    keep(hub, 1, [0, 1000], held_ms=hub.now_ms - 59 * MINUTE_MS)
    keep(hub, 2, [58 * MINUTE_MS], held_ms=hub.now_ms - MINUTE_MS)
    keep(hub, 1, [0], held_ms=hub.now_ms, device="d-u2", log_id=b"m" * 16)
    assert [len(piece) for piece in trail(hub, 5)["pieces"]] == [1, 1]
    assert [len(piece) for piece in trail(hub, 61)["pieces"]] == [2, 1, 1]
    assert [len(piece) for piece in trail(hub, 5, "u6")["pieces"]] == []


def test_what_was_refused_is_not_drawn_and_what_was_thinned_is_counted(hub: World) -> None:
    born(hub, mono_ms=0, held_ms=hub.now_ms - 10 * MINUTE_MS)
    keep(hub, 1, [0, 1000], held_ms=hub.now_ms - 9 * MINUTE_MS, dropped=7)
    keep(hub, 2, [2000], held_ms=hub.now_ms - 9 * MINUTE_MS, refused="signature")
    said = trail(hub)
    assert [len(piece) for piece in said["pieces"]] == [2, 1]
    assert said["dropped"] == 7


def test_who_looked_after_whom_is_in_the_audit(hub: World) -> None:
    trail(hub, 45)
    with hub.engine.begin() as connection:
        row = connection.execute(select(schema.audit).where(schema.audit.c.what == "trail_seen")).one()
    assert (row.actor, row.about, row.reason) == ("nina", "u1", "45 min")


def test_a_question_that_cannot_be_answered_is_refused_in_a_sentence(hub: World) -> None:
    page = hub.signed_in("nina")
    for path, status in (
        ("/api/v1/units/nobody/trail", 404),
        ("/api/v1/units/u1/trail?minutes=0", 400),
        ("/api/v1/units/u1/trail?minutes=100000", 400),
        ("/api/v1/units/u1/trail?minutes=ten", 400),
        ("/api/v1/units/u1/trail?minutes=721", 400),
    ):
        answer = page.get(path)
        assert (answer.status_code, answer.get_json()["message"].endswith(".")) == (status, True), path


def test_a_long_way_is_thinned_and_keeps_its_ends_and_its_holes() -> None:
    points = [TrailPointView(at_ms=at * 1000, lat=42.0, lon=-101.0, speed_mps=None) for at in range(7200)]
    parts = pieces([*points[:3000], *points[3100:]])
    short = thinned(parts, POINTS_MAX)
    assert sum(len(part) for part in short) <= POINTS_MAX + 4
    assert [(part[0].at_ms, part[-1].at_ms) for part in short] == [(0, 2_999_000), (3_100_000, 7_199_000)]
