"""From drawn outlines to rays: where an outline is first met, seen from the cell's centre."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import shapely

from pathology.cells import N_RAYS
from pathology.types import AnyArray, BoolArray, FloatArray

__all__ = ["cast_rays_to", "centres_of", "main_polygons", "ring_area", "star_polygons"]

#: Corners that are worked on at once: with 32 rays, some 60 MB.
_CHUNK = 32_768
#: An outline that crosses itself is mended where its largest part holds at least this share of what
#: it encloses: rounding to 0.1 px folds thin corners over, a real mistake makes two halves.
_MENDED_SHARE = 0.98


def ring_area(ring: AnyArray) -> float:
    """Return the area inside a ring, by the shoelace formula.

    Parameters
    ----------
    ring
        (n, 2) x, y in any unit; open or closed.

    Examples
    --------
    >>> ring_area(np.array([[0.0, 0], [4, 0], [4, 2], [0, 2]]))
    8.0
    """
    x, y = ring[:, 0] - ring[0, 0], ring[:, 1] - ring[0, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def main_polygons(rings: Sequence[AnyArray]) -> tuple[AnyArray, BoolArray]:
    """Turn outer rings into polygons and say which cross themselves.

    Parameters
    ----------
    rings
        n arrays (m, 2), m at least 3, x and y in any unit; open or closed.

    Returns
    -------
    tuple
        (n,) shapely polygons, trivial crossings mended; and (n,) bool, True where an outline
        crosses itself so that it cannot be mended. An outline without an area crosses nothing.

    Examples
    --------
    >>> bow_tie = np.array([[0.0, 0], [2, 2], [2, 0], [0, 2]])
    >>> main_polygons([bow_tie])[1].tolist()
    [True]
    """
    counts = [len(ring) + 1 for ring in rings]
    if not counts:
        return np.zeros(0, dtype=object), np.zeros(0, dtype=np.bool_)
    closed = np.concatenate([part for ring in rings for part in (ring, ring[:1])])
    lines = shapely.linearrings(closed, indices=np.repeat(np.arange(len(rings)), counts))
    polygons = np.asarray(shapely.polygons(lines), dtype=object)
    broken = ~shapely.is_valid(polygons)
    crossing = np.zeros(len(rings), dtype=np.bool_)
    for index in np.flatnonzero(broken).tolist():
        # Twice: a collection of lines and several polygons holds these as one multi-polygon.
        parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(polygons[index])))
        filled = shapely.area(_filled(parts))
        if filled.sum() > 0:
            polygons[index] = parts[int(filled.argmax())]
            # A hole, too, can only come from an outline that runs across itself.
            crossing[index] = shapely.area(polygons[index]) < _MENDED_SHARE * filled.sum()
    return polygons, crossing


def _filled(parts: AnyArray) -> AnyArray:
    """Return the parts without their holes; what is no polygon becomes an empty one."""
    return np.asarray(shapely.polygons(shapely.get_exterior_ring(parts)), dtype=object)


def centres_of(polygons: AnyArray) -> AnyArray:
    """Return the centre of each polygon: its centroid, or a point inside where that lies outside.

    Parameters
    ----------
    polygons
        (n,) valid shapely polygons with an area.

    Returns
    -------
    numpy.ndarray
        (n, 2) float64 x, y.

    Examples
    --------
    >>> centres_of(np.array([shapely.box(0, 0, 4, 2)])).tolist()
    [[2.0, 1.0]]
    """
    points = shapely.centroid(polygons)
    outside = ~shapely.contains_properly(polygons, points)
    points[outside] = shapely.point_on_surface(polygons[outside])
    return np.stack([shapely.get_x(points), shapely.get_y(points)], axis=1)


def cast_rays_to(rings: Sequence[AnyArray], centres: AnyArray) -> FloatArray:
    """Cast 32 rays from each centre to the first crossing with its outline.

    The crossing with every edge is computed exactly. Of an outline that a ray meets several times
    the first counts, as in synthetic truth, where a ray ends at the first pixel that is not the
    cell's.

    Parameters
    ----------
    rings
        n arrays (m, 2), m at least 3, x and y in µm; open or closed.
    centres
        (n, 2) x, y in µm, each inside its ring.

    Returns
    -------
    numpy.ndarray
        (n, 32) float32, µm; ray k points to 2πk/32, from +x towards +y. NaN where a ray meets
        nothing, which happens from outside only.

    Examples
    --------
    >>> square = np.array([[0.0, 0], [8, 0], [8, 6], [0, 6]])
    >>> cast_rays_to([square], np.array([[4.0, 3.0]]))[0, ::8].tolist()
    [4.0, 3.0, 4.0, 3.0]
    """
    radius = np.full((len(rings), N_RAYS), np.nan, dtype=np.float32)
    start, corners = 0, 0
    for end, ring in enumerate(rings, start=1):
        corners += len(ring)
        if corners >= _CHUNK or end == len(rings):
            radius[start:end] = _cast(rings[start:end], centres[start:end])
            start, corners = end, 0
    return radius


def _cast(rings: Sequence[AnyArray], centres: AnyArray) -> FloatArray:
    counts = np.array([len(ring) for ring in rings])
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    corner = np.concatenate(rings) - np.repeat(centres, counts, axis=0)
    following = np.arange(1, len(corner) + 1)
    following[first + counts - 1] = first
    angle = 2 * np.pi * np.arange(N_RAYS) / N_RAYS
    ahead = np.stack([np.cos(angle), np.sin(angle)])
    # Quarter turns exactly along the axes, so that symmetric outlines have symmetric rays.
    ahead[np.abs(ahead) < 1e-12] = 0.0
    along = corner @ ahead
    aside = corner[:, 1:] * ahead[0] - corner[:, :1] * ahead[1]
    # Half-open: a corner on the ray belongs to one of its two edges, none is lost or doubled.
    crosses = (aside < 0) != (aside[following] < 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = aside / (aside - aside[following])
        reach = along + (along[following] - along) * share
    reach[~crosses | ~(reach >= 0)] = np.inf
    nearest = np.minimum.reduceat(reach, first, axis=0)
    nearest[np.isinf(nearest)] = np.nan
    return nearest.astype(np.float32)


def star_polygons(centres: AnyArray, rays_um: AnyArray) -> AnyArray:
    """Draw the outlines that rays describe.

    Parameters
    ----------
    centres
        (n, 2) x, y in µm.
    rays_um
        (n, 32) µm, finite.

    Returns
    -------
    numpy.ndarray
        (n,) shapely polygons in µm, possibly not valid where a ray is 0.

    Examples
    --------
    >>> round(float(shapely.area(star_polygons(np.zeros((1, 2)), np.full((1, 32), 10.0))[0])), 1)
    312.1
    """
    angle = 2 * np.pi * np.arange(N_RAYS) / N_RAYS
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    corners = np.asarray(centres)[:, None] + np.asarray(rays_um)[:, :, None] * unit
    return cast("AnyArray", shapely.polygons(corners))
