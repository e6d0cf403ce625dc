"""What stands around tokens: a restore, the settings that let programs come, and where units are for a map that is not ours."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import freshness, restore, store, tokens
from hub.labels import ON_THE_BOARD
from hub.position import Position
from hub.settings import Settings, SettingsError, parse, text_of
from hub.snapshot import UnitView
from hub.tokens import Adding, Revoking
from hub.web.geojson import UnitFeatures, features
from wire.fix import Fix
from wire.packet import Label

NOW_MS = 1_795_000_000_000

# --- a restored hub


def test_a_token_revoked_after_the_backup_stays_revoked_where_the_hub_of_before_can_say(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for home in (old, new):
        home.mkdir()
        engine = store.open_store(home)
        with engine.begin() as connection:
            for name in ("lost", "kept"):
                tokens.do(connection, Adding(name=name, role="board_reader"), "root", NOW_MS)
            if home == old:
                tokens.do(connection, Revoking(name="lost"), "root", NOW_MS)
        engine.dispose()
    engine = store.open_store(new)
    with engine.begin() as connection:
        tokens.stay_revoked(connection, restore._revoked_tokens(old), NOW_MS + 1)
        alive = {one.name for one in tokens.every(connection) if one.is_alive(NOW_MS + 1)}
    engine.dispose()
    assert alive == {"kept"}


def test_a_hub_of_before_that_says_nothing_revokes_nothing(tmp_path: Path) -> None:
    (tmp_path / store.DATABASE_FILE).write_bytes(b"not a database" * 100)
    assert restore._revoked_tokens(tmp_path) == set()
    assert restore._revoked_tokens(tmp_path / "nowhere") == set()


# --- settings


def test_the_names_of_the_console_are_written_and_read_again() -> None:
    settings = parse('agency = "A"\n[console]\nnames = ["hub.example.gov", "10.1.2.3", "[fd00::1]"]\n')
    assert settings.console.names == ("hub.example.gov", "10.1.2.3", "[fd00::1]")
    assert parse(text_of(settings)) == settings
    assert parse(text_of(Settings(agency="A"))).console.names == ()


@pytest.mark.parametrize("name", ["https://hub.example.gov", "hub.example.gov:8080", "Hub.example.gov", "", "*"])
def test_a_name_that_no_browser_would_say_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"console\.names"):
        parse(f'agency = "A"\n[console]\nnames = ["{name}"]\n')


# --- units.geojson


def unit(name: str, in_emergency: bool = False) -> UnitView:
    return UnitView(
        unit=name,
        call_sign=name.upper(),
        agency="lakeshore",
        kind="vehicle",
        device=None,
        status="available",
        status_label="Available",
        status_ms=0,
        status_skipped=False,
        assignment=None,
        crew=(),
        skills=(),
        languages=(),
        has_sworn=False,
        presence="connected",
        presence_ms=None,
        owed=0,
        owed_since_ms=None,
        complete_ms=None,
        is_in_emergency=in_emergency,
    )


positions = st.builds(
    Position,
    unit=st.just("u1"),
    device=st.just("d"),
    fix=st.none()
    | st.builds(
        Fix,
        lat=st.floats(-90, 90),
        lon=st.floats(-180, 180),
        at=st.just(datetime(2026, 1, 1, tzinfo=UTC)),
        speed_mps=st.none() | st.floats(0, 90),
        heading_deg=st.none() | st.floats(0, 359),
    ),
    has_fix=st.booleans(),
    arrived_ms=st.integers(NOW_MS - 10**7, NOW_MS + 10**6),
    age_ms=st.integers(0, 10**6),
    boot=st.just(bytes(16)),
    mono_ms=st.just(1),
)


@given(st.none() | positions)
def test_every_unit_is_a_feature_by_the_standard(position: Position | None) -> None:
    known = {} if position is None else {"u1": position}
    whole = features((unit("u1"), unit("u2")), known, NOW_MS, ON_THE_BOARD)
    made = msgspec.json.decode(msgspec.json.encode(whole))
    assert made["type"] == "FeatureCollection"
    first, second = made["features"]
    assert (first["type"], first["id"], second["geometry"]) == ("Feature", "u1", None)
    fix = None if position is None else position.fix
    if fix is None:
        assert first["geometry"] is None and first["properties"]["age_s"] is None
    else:
        assert position is not None
        lon, lat = first["geometry"]["coordinates"]
        assert first["geometry"]["type"] == "Point"
        assert abs(lon - fix.lon) <= 1e-7 and abs(lat - fix.lat) <= 1e-7, "longitude first"
        age = first["properties"]["age_s"]
        assert age is None if freshness.age_s(position, NOW_MS) < -0.05 else age >= 0, "no age out of the future"
    assert first["properties"]["freshness"] == freshness.freshness(position, NOW_MS)


@pytest.mark.parametrize(("may", "said"), [(ON_THE_BOARD, True), (frozenset({Label.OPEN}), None)])
def test_that_a_crew_is_in_danger_is_told_to_who_may_know(may: frozenset[Label], said: bool | None) -> None:
    whole = features((unit("u1", in_emergency=True),), {}, NOW_MS, may)
    assert whole.features[0].properties.is_in_emergency is said


def test_the_names_of_a_crew_are_in_no_feature() -> None:
    fields = set(UnitFeatures.__struct_fields__)
    assert fields == {"type", "now_ms", "features"}
    assert not {"crew", "device"} & set(
        features((unit("u1"),), {}, NOW_MS, ON_THE_BOARD).features[0].properties.__struct_fields__
    )
