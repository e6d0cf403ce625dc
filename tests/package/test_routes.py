"""Routes of people and programs: what can be driven is read as meant, everything else is one clear sentence."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.drive import Route, placed
from firmware_bridge.routes import BadRoute, from_file, from_line

USUAL = 10.0
LINE = {"type": "LineString", "coordinates": [[-83.0, 40.0], [-83.0, 40.01], [-82.99, 40.01, 230.0]]}
POINTS = ((40.0, -83.0), (40.01, -83.0), (40.01, -82.99))


def geojson(geometry: object = LINE, **properties: object) -> bytes:
    return json.dumps({"type": "Feature", "properties": properties, "geometry": geometry}).encode()


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(LINE).encode(),
        geojson(),
        b'{"type": "FeatureCollection", "features": [' + geojson() + b', {"type": "Feature", "geometry": null}]}',
        b'<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg><trkpt lat="40.0" lon="-83.0"/>'
        b'<trkpt lat="40.01" lon="-83.0"><ele>3</ele></trkpt></trkseg><trkseg><trkpt lat="40.01" lon="-82.99"/></trkseg></trk></gpx>',
        b'<gpx><rte><rtept lat="40.0" lon="-83.0"/><rtept lat="40.01" lon="-83.0"/><rtept lat="40.01" lon="-82.99"/></rte></gpx>',
    ],
    ids=["line", "feature", "collection", "track", "route"],
)
def test_a_file_of_any_kind_gives_its_points_at_the_usual_speed(data: bytes) -> None:
    assert from_file(data, USUAL) == Route(points=POINTS, limits_mps=(USUAL, USUAL))


def test_a_feature_may_say_its_speed_for_all_legs_or_for_each() -> None:
    assert from_file(geojson(speed_kmh=36), USUAL).limits_mps == pytest.approx((10.0, 10.0))
    assert from_file(geojson(speed_kmh=[18, 72]), USUAL).limits_mps == pytest.approx((5.0, 20.0))


@pytest.mark.parametrize(
    "data, says",
    [
        (b"", "neither GeoJSON nor GPX"),
        (b"\xff\xfe", "neither GeoJSON nor GPX"),
        (b"<gpx>", "neither GeoJSON nor GPX"),
        (b"<gpx/>", "neither a track nor a route"),
        (b'<gpx><trkpt lat="x" lon="1"/></gpx>', "no latitude and longitude"),
        (b'<gpx><trkpt lat="1" lon="1"/></gpx>', "two points"),
        (b'<gpx><trkpt lat="nan" lon="1"/><trkpt lat="1" lon="1"/></gpx>', "Point 1"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><gpx/>', "entities"),
        (b"[]", "here are 0"),
        (b'{"type": "FeatureCollection", "features": [' + geojson() + b"," + geojson() + b"]}", "here are 2"),
        (geojson({"type": "Polygon", "coordinates": []}), "here are 0"),
        (geojson({"type": "LineString"}), "pairs"),
        (geojson({"type": "LineString", "coordinates": [[1, 2], 3]}), "pairs"),
        (geojson({"type": "LineString", "coordinates": []}), "no points"),
        (geojson({"type": "LineString", "coordinates": [[1, 2]]}), "two points"),
        (geojson({"type": "LineString", "coordinates": [[1, 2], [1, 95]]}), "off the globe"),
        (geojson(speed_kmh="fast"), "number"),
        (geojson(speed_kmh=[50]), "2 legs"),
        (geojson(speed_kmh=0), "Leg 1"),
        (geojson(speed_kmh=900), "Leg 1"),
    ],
)
def test_a_file_that_is_no_route_is_one_sentence(data: bytes, says: str) -> None:
    with pytest.raises(BadRoute, match=says) as wrong:
        from_file(data, USUAL)
    assert "\n" not in str(wrong.value)


def test_a_program_says_a_route_or_to_hold() -> None:
    assert from_line(b'{"hold": true}', USUAL) is None
    assert from_line(b'{"route": [[40, -83]]}', USUAL) == Route(points=((40.0, -83.0),), limits_mps=())
    told = from_line(b'{"route": [[40, -83], [40.01, -83]], "limits_mps": [7.5], "more": 1}', USUAL)
    assert told == Route(points=((40.0, -83.0), (40.01, -83.0)), limits_mps=(7.5,))


@pytest.mark.parametrize(
    "line",
    [
        b"", b"x", b"3", b"[]", b"{}", b'{"hold": false}', b'{"hold": true, "route": [[1, 2]]}', b'{"route": []}',
        b'{"route": 3}', b'{"route": [[1]]}', b'{"route": [[1, 2, 3]]}', b'{"route": [[91, 0]]}', b'{"route": [["1", 2]]}',
        b'{"route": [[1, 2], [1, 3]], "limits_mps": []}', b'{"route": [[1, 2]], "limits_mps": [1]}',
        b'{"route": [[1, 2], [1, 3]], "limits_mps": [-1]}', b'{"route": [[1e400, 2]]}', b"\xff", b'{"route": [[1, 2]',
    ],
)  # fmt: skip
def test_a_line_that_is_neither_is_one_sentence(line: bytes) -> None:
    with pytest.raises(BadRoute) as wrong:
        from_line(line, USUAL)
    assert "\n" not in str(wrong.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["type", "coordinates", "geometry", "features", "properties", "speed_kmh", "route", "limits_mps"]
            ),
            inner | st.sampled_from(["LineString", "Feature", "FeatureCollection"]),
            max_size=4,
        )
    ),
)


@settings(deadline=None)  # the machine may be doing much else
@given(st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode())))
def test_whatever_comes_is_a_route_that_can_be_driven_or_a_sentence(data: bytes) -> None:
    for read in (from_file, from_line):
        try:
            route = read(data, USUAL)
        except BadRoute:
            continue
        assert route is None or placed(route, 0.0).where(1e6).speed_mps == 0


def test_huge_numbers_are_off_the_globe() -> None:
    for huge in (b"1" + b"0" * 400, b"1e308"):
        with pytest.raises(BadRoute):
            from_file(b'{"type": "LineString", "coordinates": [[%s, 1], [2, 3]]}' % huge, USUAL)
