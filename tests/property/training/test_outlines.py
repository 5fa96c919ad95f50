"""Rays, computed at once for all outlines, against shapely, one ray at a time."""

from __future__ import annotations

import math

import numpy as np
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st
from shapely.geometry import LineString, Point, Polygon

from pathology.training.data.outlines import cast_rays_to, centres_of, main_polygons, star_polygons

ANGLES = 2 * np.pi * np.arange(32) / 32
coordinate = st.floats(-40, 40, allow_nan=False).map(lambda value: round(value, 3))
corners = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=14, unique=True)
radii = st.lists(st.floats(0.2, 50), min_size=3, max_size=40)


def rays_by_shapely(polygon: Polygon, x: float, y: float) -> np.ndarray:
    """Cut a long line with the boundary; the nearest piece of the cut is the ray's end."""
    ends = []
    for angle in ANGLES:
        line = LineString([(x, y), (x + 500 * math.cos(angle), y + 500 * math.sin(angle))])
        ends.append(Point(x, y).distance(line.intersection(polygon.exterior)))
    return np.array(ends)


def blob(values: list[float]) -> np.ndarray:
    angles = 2 * np.pi * np.arange(len(values)) / len(values)
    return np.stack([values * np.cos(angles), values * np.sin(angles)], axis=1)


@given(corners, st.floats(-1000, 1000), st.booleans(), st.booleans())
def test_rays_end_where_shapely_says(
    points: list[tuple[float, float]], shift: float, closed: bool, backwards: bool
) -> None:
    # The hull of random points is convex; the fan around its middle is star-shaped and spiky.
    hull = shapely.MultiPoint(points).convex_hull
    assume(isinstance(hull, Polygon) and hull.area > 1)
    middle = np.array(hull.centroid.coords[0])
    order = np.argsort(np.arctan2(*(np.array(points) - middle).T[::-1]))
    fan = Polygon(np.array(points)[order])
    assume(
        fan.is_valid and fan.contains(Point(middle)) and fan.exterior.distance(Point(middle)) > 0.1
    )
    ring = np.array(fan.exterior.coords) + shift
    if not closed:
        ring = ring[:-1]
    if backwards:
        ring = ring[::-1]
    found = cast_rays_to([ring], middle[None] + shift)[0]
    exact = rays_by_shapely(Polygon(ring), *(middle + shift))
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)


@given(radii, st.integers(0, 5))
def test_concave_outlines_end_rays_at_their_first_crossing(values: list[float], seed: int) -> None:
    polygon = Polygon(blob(np.array(values)))
    assume(polygon.is_valid and polygon.area > 5)
    inside = polygon.representative_point()
    assume(polygon.exterior.distance(inside) > 0.05)
    x, y = inside.x, inside.y
    found = cast_rays_to([np.array(polygon.exterior.coords)], np.array([[x, y]]))[0]
    np.testing.assert_allclose(found, rays_by_shapely(polygon, x, y), rtol=1e-4, atol=1e-4)


@given(st.lists(st.floats(0.5, 50), min_size=32, max_size=32))
def test_an_outline_made_of_rays_gives_its_rays_back(values: list[float]) -> None:
    rays = np.array(values, dtype=np.float32)
    shape = star_polygons(np.array([[100.0, 50.0]]), rays[None])[0]
    ring = shapely.get_coordinates(shape.exterior)
    found = cast_rays_to([ring], np.array([[100.0, 50.0]]))[0]
    np.testing.assert_allclose(found, rays, rtol=1e-3, atol=1e-3)


@given(st.lists(radii, min_size=1, max_size=8))
def test_many_outlines_are_what_each_is_alone(many: list[list[float]]) -> None:
    rings = [blob(np.array(values)) for values in many]
    centres = np.zeros((len(rings), 2))
    together = cast_rays_to(rings, centres)
    alone = [cast_rays_to([ring], centres[:1])[0] for ring in rings]
    np.testing.assert_array_equal(together, np.array(alone))


@given(radii)
def test_centres_lie_inside(values: list[float]) -> None:
    polygons, crossing = main_polygons([blob(np.array(values))])
    assume(not crossing[0] and polygons[0].area > 1)
    assert polygons[0].contains(Point(*centres_of(polygons)[0]))


@given(corners)
def test_an_outline_crosses_itself_where_its_edges_do(points: list[tuple[float, float]]) -> None:
    ring = Polygon(points)
    polygons, crossing = main_polygons([np.array(points)])
    if ring.is_valid:
        assert not crossing[0]
        assert polygons[0].equals(ring)
    elif not crossing[0] and polygons[0].area > 0:
        # Mended: what is left is nearly all that the outline encloses.
        whole = shapely.union_all(shapely.get_parts(shapely.make_valid(ring))).buffer(0)
        assert polygons[0].area >= 0.95 * whole.area
