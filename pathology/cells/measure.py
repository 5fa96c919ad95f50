"""Measure membranes: from outlines and a map of DAB density to the columns of the cell table.

This is the reference; ``pathology.inference.ops`` does the same on the device. Three choices count.

*Measured where stored.* Radii are first rounded to the table's step of 0.2 µm, and the optical
density is read along that rounded outline: what a table says was measured is what was measured.

*Peak across, mean along.* An outline is never exact, so a ray's density is the peak of the samples
within a small radial tolerance. The peak of noisy samples is too high on average; therefore each
sample is first averaged with its two neighbours half a micrometre away along the outline. Membranes
run along the outline, so this tames noise and hardly dims a membrane.

*No dependence on the window.* Sample positions are worked out relative to the pixel that holds the
centre, so the same cell gives the same bits whatever window it is read in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pathology.cells.table import N_RAYS, OD_STEP, RADIUS_STEP_UM
from pathology.config import MeasurementConfig
from pathology.geometry import Spacing
from pathology.types import AnyArray, FloatArray, IntArray, U8Array

__all__ = [
    "CYTOPLASM_STEPS",
    "CYTOPLASM_UNIT_OD",
    "MIN_RADIUS_UM",
    "RADIAL_STEP_UM",
    "TANGENT_STEP_UM",
    "TANGENT_WEIGHTS",
    "MeasuredCells",
    "RaySampler",
    "area_um2",
    "cytoplasm_shares",
    "measure_cells",
    "quantise_od",
    "quantise_radii",
    "radial_offsets",
    "ray_directions",
]

#: Distance of the samples across the outline, in µm: half a pixel at 0.5 µm/px.
RADIAL_STEP_UM = 0.25
#: Distance of the two neighbours along the outline, in µm: one pixel at 0.5 µm/px, whose noise is
#: independent, and far less than the 1.2 µm between rays of a 6 µm cell, so that rays stay apart.
TANGENT_STEP_UM = 0.5
#: Weights of a sample's neighbours along the outline: the smallest binomial filter.
TANGENT_WEIGHTS = (0.25, 0.5, 0.25)
#: Samples along each ray in the cytoplasm; 32 × 5 samples make a stable median.
CYTOPLASM_STEPS = 5
#: Cytoplasm density is rounded to this, so that devices agree on it.
CYTOPLASM_UNIT_OD = 0.001
#: No outline is nearer to the centre than this: the smallest nuclei have a radius of 2 µm.
MIN_RADIUS_UM = 1.0

#: Cells worked on at once: 512 × 32 rays × 39 samples keep temporary arrays below 50 MB.
_CHUNK = 512


@dataclass(frozen=True, kw_only=True)
class MeasuredCells:
    """Hold what was measured of n cells, in the units of the cell table.

    Parameters
    ----------
    outline_r
        (n, 32) uint8: radii in 0.2 µm.
    ray_od
        (n, 32) uint8: DAB optical density at the outline in 0.01 OD.
    cytoplasm_od
        (n,) float32: median DAB optical density of the cytoplasm, a multiple of 0.001.
    """

    outline_r: U8Array
    ray_od: U8Array
    cytoplasm_od: FloatArray

    def take(self, rows: AnyArray) -> MeasuredCells:
        """Return the cells that an index or boolean array selects, in its order."""
        return MeasuredCells(
            outline_r=self.outline_r[rows],
            ray_od=self.ray_od[rows],
            cytoplasm_od=self.cytoplasm_od[rows],
        )


def ray_directions() -> FloatArray:
    """Return the unit vectors of the rays.

    Returns
    -------
    numpy.ndarray
        (32, 2) float32: x and y (down) of ray k, at the angle 2πk/32.

    Examples
    --------
    >>> ray_directions()[[0, 8]].round(3).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    angles = 2 * np.pi * np.arange(N_RAYS) / N_RAYS
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def radial_offsets(tolerance_um: float) -> FloatArray:
    """Return where a ray is sampled, relative to the outline.

    Parameters
    ----------
    tolerance_um
        Largest distance from the outline in µm, at least 0.

    Returns
    -------
    numpy.ndarray
        (s,) float32, µm, symmetric around 0, in steps of 0.25 µm.

    Examples
    --------
    >>> radial_offsets(0.5).tolist()
    [-0.5, -0.25, 0.0, 0.25, 0.5]
    """
    # The small term keeps 0.75 / 0.25 from becoming 2 for a tolerance that is not exact in binary.
    steps = int(tolerance_um / RADIAL_STEP_UM + 1e-6)
    return np.asarray(np.arange(-steps, steps + 1) * RADIAL_STEP_UM, dtype=np.float32)


def cytoplasm_shares(config: MeasurementConfig) -> FloatArray:
    """Return the shares of the radius at which cytoplasm is sampled.

    Returns
    -------
    numpy.ndarray
        (5,) float32, from ``cytoplasm_inner`` to ``cytoplasm_outer``.
    """
    return np.linspace(
        config.cytoplasm_inner, config.cytoplasm_outer, CYTOPLASM_STEPS, dtype=np.float32
    )


def quantise_radii(rays_um: AnyArray) -> U8Array:
    """Round radii to the table's step of 0.2 µm.

    Parameters
    ----------
    rays_um
        (n, 32) float, µm; cut to 1 to 51 µm.

    Returns
    -------
    numpy.ndarray
        (n, 32) uint8.

    Examples
    --------
    >>> quantise_radii(np.array([6.09, 6.11, 0.0, 99.0])).tolist()
    [30, 31, 5, 255]
    """
    steps = np.rint(np.asarray(rays_um, dtype=np.float32) * np.float32(1 / RADIUS_STEP_UM))
    return np.asarray(np.clip(steps, MIN_RADIUS_UM / RADIUS_STEP_UM, 255), dtype=np.uint8)


def quantise_od(od: AnyArray) -> U8Array:
    """Round optical densities to the table's step of 0.01; cut to 0 to 2.55.

    Examples
    --------
    >>> quantise_od(np.array([-0.1, 0.124, 3.0])).tolist()
    [0, 12, 255]
    """
    steps = np.rint(np.asarray(od, dtype=np.float32) * np.float32(1 / OD_STEP))
    return np.asarray(np.clip(steps, 0, 255), dtype=np.uint8)


def area_um2(outline_r: U8Array) -> FloatArray:
    """Return the area of the polygons that stored outlines span.

    Parameters
    ----------
    outline_r
        (n, 32) uint8, 0.2 µm.

    Returns
    -------
    numpy.ndarray
        (n,) float32, µm²: half the sum of ``r_k r_(k+1) sin(2π/32)``.

    Examples
    --------
    >>> nearly_a_circle = np.full((1, 32), 30, dtype=np.uint8)  # 6 µm: 113.1 µm²
    >>> round(float(area_um2(nearly_a_circle)[0]), 1)
    112.4
    """
    steps = outline_r.astype(np.int64)
    doubled = (steps * np.roll(steps, -1, axis=1)).sum(axis=1)
    factor = 0.5 * np.sin(2 * np.pi / N_RAYS) * RADIUS_STEP_UM**2
    return np.asarray(doubled * factor, dtype=np.float32)


def measure_cells(
    dab: FloatArray,
    centres_px: AnyArray,
    rays_um: AnyArray,
    *,
    mpp: Spacing,
    config: MeasurementConfig,
) -> MeasuredCells:
    """Measure the DAB optical density along outlines and in the cytoplasm.

    Parameters
    ----------
    dab
        (H, W) float32: DAB optical density. Beyond its edge the nearest pixel is taken.
    centres_px
        (n, 2) float64: x and y of the centres in pixels of ``dab``; 0 is the left (top) edge of the
        first pixel, 0.5 its middle.
    rays_um
        (n, 32) float: distance from the centre to the outline along each ray, in µm.
    mpp
        Size of a pixel of ``dab`` in µm.
    config
        Tolerance and where the cytoplasm lies.

    Returns
    -------
    MeasuredCells
        The measured columns.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> y, x = np.mgrid[:64, :64] + 0.5
    >>> ring = np.exp(-((np.hypot(x - 32, y - 32) - 12) ** 2) / 2).astype(np.float32)
    >>> cells = measure_cells(ring, np.array([[32.0, 32.0]]), np.full((1, 32), 6.0),
    ...                       mpp=Spacing(x=0.5, y=0.5), config=load_config().measurement)
    >>> bool(cells.ray_od.min() >= 80), float(cells.cytoplasm_od[0])
    (True, 0.0)
    """
    outline_r = quantise_radii(np.asarray(rays_um).reshape(-1, N_RAYS))
    centres = np.asarray(centres_px, dtype=np.float64).reshape(-1, 2)
    ray_od = np.zeros(outline_r.shape, dtype=np.uint8)
    cytoplasm = np.zeros(len(outline_r), dtype=np.float32)
    for rows in _chunks(len(outline_r)):
        sampler = RaySampler(dab, centres[rows], mpp)
        radii = outline_r[rows].astype(np.float32) * np.float32(RADIUS_STEP_UM)
        ray_od[rows] = quantise_od(_outline_peak(sampler, radii, config))
        cytoplasm[rows] = _cytoplasm_median(sampler, radii, config)
    return MeasuredCells(outline_r=outline_r, ray_od=ray_od, cytoplasm_od=cytoplasm)


def _chunks(n: int) -> Iterator[slice]:
    for start in range(0, n, _CHUNK):
        yield slice(start, min(n, start + _CHUNK))


def _outline_peak(sampler: RaySampler, radii: FloatArray, config: MeasurementConfig) -> FloatArray:
    """Return (n, 32): the peak of the tangentially averaged samples across the outline."""
    directions = ray_directions()
    x, y = radii * directions[:, 0], radii * directions[:, 1]
    tangent_x = np.roll(x, -1, axis=1) - np.roll(x, 1, axis=1)
    tangent_y = np.roll(y, -1, axis=1) - np.roll(y, 1, axis=1)
    # Radii of at least 1 µm at 32 angles keep the neighbours of a vertex apart: never 0.
    length = np.sqrt(tangent_x * tangent_x + tangent_y * tangent_y)
    step_x = tangent_x / length * np.float32(TANGENT_STEP_UM)
    step_y = tangent_y / length * np.float32(TANGENT_STEP_UM)
    across = np.maximum(radii[:, :, None] + radial_offsets(config.ray_tolerance_um), np.float32(0))
    across_x = across * directions[:, 0, None]
    across_y = across * directions[:, 1, None]
    total = np.zeros_like(across)
    for weight, sign in zip(TANGENT_WEIGHTS, (-1, 0, 1), strict=True):
        sample = sampler.sample(
            across_x + np.float32(sign) * step_x[:, :, None],
            across_y + np.float32(sign) * step_y[:, :, None],
        )
        total += np.float32(weight) * sample
    return np.asarray(total.max(axis=2), dtype=np.float32)


def _cytoplasm_median(
    sampler: RaySampler, radii: FloatArray, config: MeasurementConfig
) -> FloatArray:
    """Return (n,): the median over all rays and cytoplasm shares, rounded to 0.001."""
    directions = ray_directions()
    along = radii[:, :, None] * cytoplasm_shares(config)
    samples = sampler.sample(along * directions[:, 0, None], along * directions[:, 1, None])
    median = np.median(samples.reshape(len(radii), -1), axis=1).astype(np.float32)
    steps = np.rint(median * np.float32(1 / CYTOPLASM_UNIT_OD))
    return np.asarray(steps * np.float32(CYTOPLASM_UNIT_OD), dtype=np.float32)


class RaySampler:
    """Sample a map bilinearly at displacements from the centres of cells.

    Parameters
    ----------
    image
        (H, W) float32. Beyond its edge the nearest pixel is taken.
    centres_px
        (n, 2) float64: x and y in pixels of ``image``, 0 at the edge of the first pixel.
    mpp
        Size of a pixel of ``image`` in µm.
    """

    def __init__(self, image: FloatArray, centres_px: AnyArray, mpp: Spacing) -> None:
        height, width = image.shape
        whole = np.floor(centres_px)
        rest = (centres_px - whole - 0.5).astype(np.float32)  # pixel values sit at pixel middles
        self._image = image
        self._rest_x, self._rest_y = (rest[:, axis, None, None] for axis in (0, 1))
        self._column, self._row = (whole[:, axis, None, None].astype(int) for axis in (0, 1))
        self._limits_x = _limits(self._column, width)
        self._limits_y = _limits(self._row, height)
        self._per_um_x, self._per_um_y = np.float32(1 / mpp.x), np.float32(1 / mpp.y)

    def sample(self, x_um: FloatArray, y_um: FloatArray) -> FloatArray:
        """Sample every ray of every cell.

        Parameters
        ----------
        x_um, y_um
            (n, 32, s) float32: displacements from the centres in µm.

        Returns
        -------
        numpy.ndarray
            (n, 32, s) float32 values of the map.
        """
        x = np.clip(self._rest_x + x_um * self._per_um_x, *self._limits_x)
        y = np.clip(self._rest_y + y_um * self._per_um_y, *self._limits_y)
        left, top = np.floor(x), np.floor(y)
        fx, fy = x - left, y - top
        height, width = self._image.shape
        c0, r0 = left.astype(np.int64) + self._column, top.astype(np.int64) + self._row
        c1, r1 = np.minimum(c0 + 1, width - 1), np.minimum(r0 + 1, height - 1)
        here, below = self._image[r0, c0], self._image[r1, c0]
        upper = here + fx * (self._image[r0, c1] - here)
        lower = below + fx * (self._image[r1, c1] - below)
        return np.asarray(upper + fy * (lower - upper), dtype=np.float32)


def _limits(pixel: IntArray, length: int) -> tuple[FloatArray, FloatArray]:
    """Return the first and last place inside the map, relative to the pixel of each cell."""
    first, last = -pixel, length - 1 - pixel
    return first.astype(np.float32), last.astype(np.float32)
