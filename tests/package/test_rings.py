"""Areas on the map: what is inside, how long their edge is, what is near a point or a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.rings import Ring, Spot, along, around, crosses_itself, edge_m, has_width, holds
from wire.distance import distance_m, moved

HERE = Spot(lat=42.45, lon=-101.35)


def spot(east_m: float, north_m: float) -> Spot:
    lat, lon = moved(HERE.lat, HERE.lon, 0, north_m)
    lat, lon = moved(lat, lon, 90, east_m)
    return Spot(lat=lat, lon=lon)


def corners(*meters: tuple[float, float]) -> tuple[Spot, ...]:
    return tuple(spot(east, north) for east, north in meters)


SQUARE = corners((0, 0), (100, 0), (100, 100), (0, 100))


def test_a_place_is_inside_or_outside_whichever_way_the_corners_go() -> None:
    for one in (SQUARE, SQUARE[::-1]):
        ring = Ring(id="r", corners=one)
        assert holds(ring, spot(50, 50))
        assert not holds(ring, spot(150, 50))
        assert not holds(ring, spot(50, -1))


def test_what_lies_in_the_bay_of_an_area_is_outside_of_it() -> None:
    bay = Ring(
        id="r", corners=corners((0, 0), (300, 0), (300, 300), (200, 300), (200, 100), (100, 100), (100, 300), (0, 300))
    )
    assert holds(bay, spot(50, 200))
    assert not holds(bay, spot(150, 200))


def test_an_edge_is_as_long_as_it_is_on_the_ground() -> None:
    assert edge_m([Ring(id="r", corners=SQUARE)]) == pytest.approx(400, rel=0.001)


@given(
    bearing=st.floats(0, 359),
    along_m=st.floats(0, 900),
    aside_m=st.floats(0, 119),
    side=st.sampled_from((90, -90)),
    course=st.floats(0, 359),
)
def test_everything_near_a_line_is_closed_and_what_is_far_from_it_is_not(
    bearing: float, along_m: float, aside_m: float, side: int, course: float
) -> None:
    end = Spot(**dict(zip(("lat", "lon"), moved(HERE.lat, HERE.lon, bearing, 900), strict=True)))
    rings = along("r", (HERE, end), 120)
    on = moved(HERE.lat, HERE.lon, bearing, along_m)
    near = moved(*on, bearing + side, aside_m)
    assert any(holds(ring, Spot(lat=near[0], lon=near[1])) for ring in rings)
    far = moved(HERE.lat, HERE.lon, course, 2200)
    assert not any(holds(ring, Spot(lat=far[0], lon=far[1])) for ring in rings)


@given(course=st.floats(0, 359), share=st.floats(0, 0.999))
def test_everything_within_the_radius_of_a_place_is_closed(course: float, share: float) -> None:
    ring = around("r", HERE, 200)
    lat, lon = moved(HERE.lat, HERE.lon, course, 200 * share)
    assert holds(ring, Spot(lat=lat, lon=lon))
    assert max(distance_m(HERE.lat, HERE.lon, one.lat, one.lon) for one in ring.corners) < 210


def test_two_clicks_on_one_place_are_a_circle_and_not_nothing() -> None:
    (ring,) = along("r", (HERE, HERE), 50)
    assert holds(ring, HERE)


def test_an_edge_that_crosses_itself_is_seen() -> None:
    assert crosses_itself(corners((0, 0), (100, 100), (100, 0), (0, 100)))
    assert not crosses_itself(SQUARE)
    assert not crosses_itself(SQUARE[:3])


def test_corners_in_one_line_are_no_area() -> None:
    assert not has_width(corners((0, 0), (50, 0), (100, 0)))
    assert has_width(SQUARE)
