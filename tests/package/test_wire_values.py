"""The wire's values and rules: topics and back, trails, statuses, distances, receipts and snapshots under attack."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from wire import records, state, topics, trail
from wire.codec import Malformed, decode, encode
from wire.distance import DEAD_RECKONING_S_MAX, bearing_deg, believed, distance_m, moved, nearby_m
from wire.fix import Fix
from wire.ids import device_id
from wire.records import Receipt, Record
from wire.stamp import Stamp
from wire.state import Version
from wire.status import EIDO, LABEL, NEXT, SET_BY, By, Status, buttons
from wire.topics import Receipts, SealedNotes, State, Up, UpTopic

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
STAMP = Stamp(boot=b"b" * 16, mono_ms=1, wall_ms=None, quality="none")

devices = st.from_regex(r"[a-z0-9][a-z0-9-]{1,30}[a-z0-9]", fullmatch=True).filter(lambda d: not d.startswith("hub"))
places = st.tuples(st.floats(-60, 60), st.floats(-179, 179))


@given(devices, st.sampled_from(Up), st.sampled_from(("assignments", "roster", "somethingnew")))
def test_every_topic_is_read_back_as_it_was_written(device: str, channel: Up, section: str) -> None:
    for topic in (UpTopic(device, channel), Receipts(device), State(device, section), SealedNotes(device)):
        assert topics.parse(topics.text(topic)) == topic


@pytest.mark.parametrize(
    "raw",
    [
        "tandem/v1/hub/presence",
        "tandem/v1/hub-ingest/up/log",
        "tandem/v1/t-1/up/log/more",
        "tandem/v1/t-1/up/other",
        "tandem/v1/+/up/log",
        "tandem/v1/t-1/down/state/Two Words",
        "x/tandem/v1/t-1/up/log",
        "tandem/v2/t-1/up/log",
        "",
    ],
)
def test_a_topic_that_is_not_ours_is_refused(raw: str) -> None:
    with pytest.raises(Malformed):
        topics.parse(raw)


@pytest.mark.parametrize("bad", ["hub", "hub-ingest", "a+b", "a/b", "a#", "", "UPPER", "-a-", "a" * 33, "ab"])
def test_an_id_with_a_meaning_to_the_broker_is_refused(bad: str) -> None:
    with pytest.raises(Malformed):
        device_id(bad)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_malformed_or_a_message_and_never_a_crash(data: bytes) -> None:
    for kind in (Record, Receipt, Fix):
        try:
            decode(data, kind)
        except Malformed as wrong:
            assert str(wrong)


@pytest.mark.parametrize(
    "fields",
    [
        {"lat": 91.0, "lon": 0.0},
        {"lat": float("nan"), "lon": 0.0},
        {"lat": 0.0, "lon": 181.0},
        {"lat": 1.0, "lon": 1.0, "speed_mps": float("inf")},
        {"lat": 1.0, "lon": 1.0, "heading_deg": 360.0},
        {"lat": 1.0, "lon": 1.0, "satellites": -1},
    ],
)
def test_a_fix_that_cannot_be_is_refused_when_built_and_when_decoded(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Fix(**fields)
    with pytest.raises(Malformed):
        decode(encode(fields), Fix)


@given(
    st.lists(
        st.builds(
            trail.TrailPoint,
            mono_ms=st.integers(0, 10**10),
            lat=st.floats(-90, 90),
            lon=st.floats(-180, 180),
            speed_mps=st.none() | st.floats(0, 200),
            heading_deg=st.none() | st.floats(0, 359),
        ),
        max_size=50,
    )
)
def test_a_packed_trail_comes_back_within_its_resolution(points: list[trail.TrailPoint]) -> None:
    back = trail.unpack(trail.pack(trail.Trail(points=tuple(points), dropped=3)))
    assert back.dropped == 3 and len(back.points) == len(points)
    for was, now in zip(points, back.points, strict=True):
        assert now.mono_ms == was.mono_ms
        assert abs(now.lat - was.lat) <= 5.1e-7 and abs(now.lon - was.lon) <= 5.1e-7
        assert (now.speed_mps is None) == (was.speed_mps is None)
        if was.speed_mps is not None and now.speed_mps is not None:
            assert abs(now.speed_mps - was.speed_mps) <= 0.051
        if was.heading_deg is not None and now.heading_deg is not None:
            assert abs(now.heading_deg - was.heading_deg) <= 0.51


def test_an_hour_of_driving_costs_at_most_nine_bytes_a_fix() -> None:
    points = tuple(
        trail.TrailPoint(mono_ms=i * 1000, lat=30 + i * 1e-4, lon=-90 + i * 1e-4, speed_mps=13.1, heading_deg=45.0)
        for i in range(3600)
    )
    assert len(trail.pack(trail.Trail(points=points))) <= 9 * 3600


def test_every_status_has_a_label_a_next_step_somebody_who_sets_it_and_an_eido_word() -> None:
    for status in Status:
        assert LABEL[status] and NEXT[status] and SET_BY[status] and EIDO[status][1]


def test_the_status_table_of_the_wire_reference_is_the_programs() -> None:
    reference = (Path(__file__).parent.parent.parent / "docs" / "wire.md").read_text()
    for status in Status:
        after = ", ".join(f"`{after}`" for after in NEXT[status])
        assert f"| `{status}` | {after} | {EIDO[status][0]} | {', '.join(EIDO[status][1])} |" in reference


def test_a_crew_is_never_offered_what_only_the_hub_sets() -> None:
    assert all(Status.ASSIGNED not in buttons(status, By.CREW) for status in Status)


def test_from_every_status_a_crew_can_come_back_to_available() -> None:
    for start in Status:
        seen, ahead = {start}, [start]
        while ahead:
            for status in buttons(ahead.pop(), By.CREW):
                if status not in seen:
                    seen.add(status)
                    ahead.append(status)
        assert Status.AVAILABLE in seen


@given(places, st.floats(0, 359.9), st.floats(0, 5000))
def test_moving_by_a_distance_moves_by_that_distance(place: tuple[float, float], heading: float, by_m: float) -> None:
    lat, lon = moved(*place, heading, by_m)
    assert distance_m(*place, lat, lon) == pytest.approx(by_m, abs=0.05 + by_m * 0.005)
    assert nearby_m(*place, lat, lon) == pytest.approx(by_m, abs=0.05 + by_m * 0.005)


@given(places, places)
def test_a_bearing_is_a_course(a: tuple[float, float], b: tuple[float, float]) -> None:
    assert 0 <= bearing_deg(*a, *b) < 360


def test_a_belief_stands_still_after_half_a_minute() -> None:
    late = believed(40.0, -83.0, 20.0, 90.0, 3600.0)
    assert late == believed(40.0, -83.0, 20.0, 90.0, DEAD_RECKONING_S_MAX)
    assert believed(40.0, -83.0, None, None, 10.0) == (40.0, -83.0)


def _record() -> bytes:
    record = Record(v=1, device="t-1", log_id=b"l" * 16, seq=1, kind="status", stamp=STAMP, body=b"body")
    return records.sign_record(record, KEY)


def test_every_flipped_byte_and_every_cut_of_a_record_is_refused() -> None:
    data = _record()
    for at in range(len(data)):
        for mask in (0x01, 0x80):
            with pytest.raises(Malformed):
                records.open_record(data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :], "t-1", KEY.public_key())
        with pytest.raises(Malformed):
            records.open_record(data[:at], "t-1", KEY.public_key())


def test_a_record_of_another_device_or_key_is_refused() -> None:
    with pytest.raises(Malformed):
        records.open_record(_record(), "t-2", KEY.public_key())
    with pytest.raises(Malformed):
        records.open_record(_record(), "t-1", OTHER.public_key())


def test_a_signature_on_one_kind_of_thing_is_none_on_another() -> None:
    receipt = Receipt(v=1, device="t-1", log_id=b"l" * 16, through=1, epoch=1)
    with pytest.raises(Malformed):
        records.open_record(records.sign_receipt(receipt, KEY), "t-1", KEY.public_key())


def test_a_snapshot_cannot_be_moved_to_another_device_section_or_version() -> None:
    data = state.seal_snapshot("t-1", "roster", Version(1, 2), b"content", KEY.public_key(), KEY)
    snapshot = state.open_snapshot(data, "t-1", "roster", KEY.public_key())
    assert state.unseal(snapshot, KEY) == b"content"
    for device, section in (("t-2", "roster"), ("t-1", "settings")):
        with pytest.raises(Malformed):
            state.open_snapshot(data, device, section, KEY.public_key())
    moved_on = state.Snapshot(v=1, device="t-1", section="roster", version=Version(1, 3), sealed=snapshot.sealed)
    with pytest.raises(Malformed):
        state.unseal(moved_on, KEY)
    with pytest.raises(Malformed):
        state.unseal(snapshot, OTHER)


def test_versions_order_by_epoch_first() -> None:
    assert Version(2, 1) > Version(1, 99) and Version(1, 3) > Version(1, 2)
