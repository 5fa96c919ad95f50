"""A tile reader without a network: classical, deterministic, quick; for tests of all that follows.

Nuclei are maxima of smoothed haematoxylin, outlines run at the darkest DAB between the nucleus and
the midline to the neighbours, and everything after that is the real measurement. It is good enough
to tell clean synthetic cells apart, and not meant for real tissue.
"""

from __future__ import annotations

import hashlib

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from pathology.cells.classify import build_table
from pathology.cells.measure import RaySampler, measure_cells, ray_directions
from pathology.cells.peaks import find_peaks
from pathology.cells.table import CELL_CLASSES, N_RAYS, CellTable
from pathology.config import Config
from pathology.geometry import Spacing
from pathology.stain import optical_density, unmix
from pathology.testing.fake_reader import FakeReader
from pathology.tiling.batch import TileBatch
from pathology.tiling.grid import InputSpec, TileGrid, TileRef
from pathology.types import AnyArray, FloatArray, U8Array

__all__ = ["FakeModel"]

#: Smoothing of haematoxylin before nuclei are looked for, µm: half the radius of a small nucleus.
_NUCLEUS_SIGMA_UM = 1.25
#: Smoothed haematoxylin OD that makes a nucleus.
_NUCLEUS_OD = 0.15
#: Two nuclei are never closer, µm.
_NUCLEUS_DISTANCE_UM = 5.0
#: No outline is farther from the centre, µm.
_MAX_RADIUS_UM = 8.0
#: An outline without DAB runs this far from the nucleus, µm.
_CYTOPLASM_UM = 2.5
#: DAB OD from which an outline follows the DAB.
_MEMBRANE_OD = 0.06


class FakeModel(FakeReader):
    """Read tiles without a network.

    Parameters
    ----------
    config
        Configuration; the default one if None.
    min_nucleus_um
        Radius of a nucleus from which a cell is tumour; smaller ones are lymphoid.

    Examples
    --------
    >>> FakeModel().name
    'fake/1.0.0'
    """

    def __init__(self, config: Config | None = None, *, min_nucleus_um: float = 2.75) -> None:
        super().__init__(config)
        self._min_nucleus_um = min_nucleus_um

    @property
    def name(self) -> str:
        """Name and version."""
        return "fake/1.0.0"

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the parameters that stand in for weights."""
        return hashlib.sha256(f"{self.name} {self._min_nucleus_um!r}".encode()).hexdigest()

    @property
    def spec(self) -> InputSpec:
        """Half a micrometre per pixel, 32 µm of halo, no context image."""
        return InputSpec(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=0)

    def read(self, batch: TileBatch) -> list[CellTable]:
        """Return the cells of each tile of the batch; see ``TileReader``."""
        return [
            self._read_tile(batch.grid, tile, image, batch.white)
            for tile, image in zip(batch.tiles, batch.detail, strict=True)
        ]

    def _read_tile(
        self, grid: TileGrid, tile: TileRef, image: U8Array, white: tuple[float, float, float]
    ) -> CellTable:
        stain = self._config.stain
        amounts = unmix(optical_density(image, white), stain.haematoxylin, stain.dab)
        haematoxylin, dab = amounts[..., 0], np.ascontiguousarray(amounts[..., 1])
        mpp = grid.mpp
        peaks = _nuclei(haematoxylin, mpp)
        centres = (peaks[:, ::-1] + 0.5).astype(np.float64)
        nucleus = _nucleus_radius_um(haematoxylin, peaks, mpp)
        rays = _outlines(dab, centres, nucleus, mpp)
        low, high = grid.spec.halo_px, grid.spec.halo_px + grid.tile_px
        own = ((peaks >= low) & (peaks < high)).all(axis=1)
        measured = measure_cells(
            dab, centres[own], rays[own], mpp=mpp, config=self._config.measurement
        )
        window = grid.detail_window(tile)
        origin = np.array([window.x * grid.spacing.x, window.y * grid.spacing.y])
        return build_table(
            tile_id=tile.tile_id,
            centres_um=origin + centres[own] * [mpp.x, mpp.y],
            probabilities=self._probabilities(nucleus[own]),
            measured=measured,
            tumour_min=self._config.cells.tumour_min,
            config=self._config.measurement,
        )

    def _probabilities(self, nucleus_um: FloatArray) -> FloatArray:
        """Return (n, 6): tumour above the radius, lymphoid below, unsure within 1 µm of it."""
        shares = np.zeros((len(nucleus_um), len(CELL_CLASSES)), dtype=np.float32)
        shares[:, 0] = np.clip(0.5 + (nucleus_um - self._min_nucleus_um) / 2, 0.0, 1.0)
        shares[:, CELL_CLASSES.index("lymphoid")] = 1 - shares[:, 0]
        return shares


def _nuclei(haematoxylin: FloatArray, mpp: Spacing) -> AnyArray:
    """Return (n, 2) row and column of the maxima of smoothed haematoxylin."""
    sigma = (_NUCLEUS_SIGMA_UM / mpp.y, _NUCLEUS_SIGMA_UM / mpp.x)
    smooth = ndimage.gaussian_filter(haematoxylin, sigma)
    radius = (_NUCLEUS_DISTANCE_UM / mpp.y, _NUCLEUS_DISTANCE_UM / mpp.x)
    return find_peaks(smooth, minimum=_NUCLEUS_OD, radius_px=radius)


def _nucleus_radius_um(haematoxylin: FloatArray, peaks: AnyArray, mpp: Spacing) -> FloatArray:
    """Return (n,) radius of a disc as large as the dark pixels within 5 µm of the peak."""
    reach_y, reach_x = round(5.0 / mpp.y), round(5.0 / mpp.x)
    y, x = np.mgrid[-reach_y : reach_y + 1, -reach_x : reach_x + 1]
    disc = (np.hypot(y * mpp.y, x * mpp.x) <= 5.0).astype(np.float32)
    dark = (ndimage.gaussian_filter(haematoxylin, 1.0) > _NUCLEUS_OD).astype(np.float32)
    padded = np.pad(dark, ((reach_y, reach_y), (reach_x, reach_x)))
    rows, columns = peaks[:, :1, None] + reach_y + y, peaks[:, 1:, None] + reach_x + x
    pixels = (padded[rows, columns] * disc).sum(axis=(1, 2))
    return np.asarray(np.sqrt(pixels * mpp.area_um2 / np.pi), dtype=np.float32)


def _outlines(
    dab: FloatArray, centres: AnyArray, nucleus_um: FloatArray, mpp: Spacing
) -> FloatArray:
    """Return (n, 32) radii in µm: the darkest DAB up to the midline, else around the nucleus."""
    limit = _midlines(centres * [mpp.x, mpp.y])
    plain: FloatArray = np.minimum(limit, nucleus_um[:, None] + np.float32(_CYTOPLASM_UM))
    if not len(centres):
        return plain
    steps = np.arange(0.5, _MAX_RADIUS_UM + 0.01, 0.25, dtype=np.float32)
    directions = ray_directions()
    shape = (len(centres), N_RAYS, len(steps))
    samples = RaySampler(dab, centres, mpp).sample(
        np.broadcast_to(steps * directions[:, :1], shape),
        np.broadcast_to(steps * directions[:, 1:], shape),
    )
    inside = (steps >= nucleus_um[:, None, None]) & (steps <= limit[:, :, None] + 0.5)
    samples = np.where(inside, samples, -np.inf)
    darkest = samples.argmax(axis=2)
    stained = samples.max(axis=2) >= _MEMBRANE_OD
    return np.asarray(np.where(stained, steps[darkest], plain), dtype=np.float32)


def _midlines(centres_um: AnyArray) -> FloatArray:
    """Return (n, 32): distance along each ray to the midline with the nearest neighbours."""
    n = len(centres_um)
    limit = np.full((n, N_RAYS), _MAX_RADIUS_UM, dtype=np.float32)
    if n < 2:
        return limit
    _, found = KDTree(centres_um).query(centres_um, k=min(n, 9))
    neighbours = np.asarray(found)[:, 1:]  # the first is the cell itself
    steps = centres_um[neighbours] - centres_um[:, None]
    along = np.einsum("njc,kc->njk", steps, ray_directions())
    squared = (steps**2).sum(axis=2)[:, :, None]
    with np.errstate(divide="ignore"):
        midline = np.where(along > 0, squared / (2 * along), np.inf)
    return np.asarray(np.minimum(limit, midline.min(axis=1)), dtype=np.float32)
