"""Read cells without learning: colour deconvolution, watershed, and the same rays and rules.

What a careful user of classical tools would set up: haematoxylin and DAB are separated, nuclei are
cut out of haematoxylin by a threshold and a watershed, each grows into a cell along the DAB up to a
few micrometres, and every nucleus that is large and round enough is tumour. From the outline on,
everything is the program's own measurement and rules, so that a difference to the model's figures
is a difference in finding and outlining cells, and in telling whose they are.

Example: python scripts/classical_baseline.py /data/slides --out out-classical
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.measure import regionprops_table
from skimage.morphology import remove_small_holes
from skimage.segmentation import watershed

import pathology
from pathology.cells import CELL_CLASSES, N_RAYS, CellTable, build_table, measure_cells
from pathology.cells.measure import ray_directions
from pathology.config import Config, load_config
from pathology.errors import PathologyError
from pathology.geometry import Spacing
from pathology.stain import optical_density, unmix
from pathology.tiling.batch import TileBatch
from pathology.tiling.grid import InputSpec, TileGrid, TileRef
from pathology.tiling.windows import SINGLE_TILES, WindowPlan
from pathology.timing import ReaderUsage
from pathology.types import AnyArray, FloatArray, IntArray, U8Array

#: Smoothing of haematoxylin before the threshold, µm.
SMOOTH_UM = 0.75
#: The threshold is Otsu's of the tile, kept between these OD: a tile of bare stroma has no two
#: classes, and weak counterstain starts at about 0.08.
THRESHOLD_OD = (0.08, 0.35)
#: Two nuclei are never closer, µm.
NUCLEUS_DISTANCE_UM = 4.0
#: Nuclei of this area are kept, µm²: a lymphocyte has 20 to 35.
NUCLEUS_UM2 = (9.0, 400.0)
#: A cell grows this far from its nucleus at most, µm.
GROWTH_UM = 4.5
#: Tumour nuclei are larger than this, µm², and not more elongated.
TUMOUR_UM2 = 32.0
TUMOUR_AXIS_RATIO = 2.2
#: Rays are followed in these steps up to this far, µm.
STEP_UM, REACH_UM = 0.25, 30.0


class ClassicalReader:
    """Read tiles by classical image analysis; a ``TileReader``.

    Parameters
    ----------
    config
        Configuration; the default one if None.

    Examples
    --------
    >>> ClassicalReader().name
    'classical-baseline/1.0.0'
    """

    def __init__(self, config: Config | None = None) -> None:
        self._config = load_config() if config is None else config

    @property
    def name(self) -> str:
        """Name and version."""
        return "classical-baseline/1.0.0"

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of this file, which is all there is."""
        return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()

    @property
    def device(self) -> str:
        """Device: always ``cpu``."""
        return "cpu"

    @property
    def spec(self) -> InputSpec:
        """Half a micrometre per pixel, 32 µm of halo, no context image."""
        return InputSpec(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=0)

    @property
    def batch_size(self) -> int:
        """Tiles taken at once."""
        return 1

    @property
    def windows(self) -> WindowPlan:
        """Every tile is read alone."""
        return SINGLE_TILES

    @property
    def streams(self) -> int:
        """One batch at a time."""
        return 1

    @property
    def usage(self) -> ReaderUsage:
        """Nothing: there is no network to time."""
        return ReaderUsage()

    def read(self, batch: TileBatch) -> list[CellTable]:
        """Return the cells of each tile of the batch; see ``TileReader``."""
        return [
            self._read_tile(batch.grid, tile, image, batch.white)
            for tile, image in zip(batch.tiles, batch.detail, strict=True)
        ]

    def _read_tile(
        self, grid: TileGrid, tile: TileRef, image: U8Array, white: tuple[float, float, float]
    ) -> CellTable:
        stain, mpp = self._config.stain, grid.mpp
        amounts = unmix(optical_density(image, white), stain.haematoxylin, stain.dab)
        dab = np.ascontiguousarray(amounts[..., 1], dtype=np.float32)
        nuclei = find_nuclei(np.asarray(amounts[..., 0], dtype=np.float32), mpp)
        cells = grow_cells(nuclei, dab, mpp)
        shape = nucleus_shapes(nuclei, mpp)
        centres = shape[:, :2]
        low, high = grid.spec.halo_px, grid.spec.halo_px + grid.tile_px
        own = ((centres >= low) & (centres < high)).all(axis=1)
        labels = np.flatnonzero(own) + 1
        rays = cast_label_rays(cells, centres[own], labels, mpp)
        measured = measure_cells(dab, centres[own], rays, mpp=mpp, config=self._config.measurement)
        window = grid.detail_window(tile)
        origin = np.array([window.x * grid.spacing.x, window.y * grid.spacing.y])
        return build_table(
            tile_id=tile.tile_id,
            centres_um=origin + centres[own] * [mpp.x, mpp.y],
            probabilities=class_shares(shape[own]),
            measured=measured,
            tumour_min=self._config.cells.tumour_min,
            config=self._config.measurement,
        )


def find_nuclei(haematoxylin: FloatArray, mpp: Spacing) -> IntArray:
    """Return (H, W) labels 1 to n of the nuclei, 0 elsewhere.

    Parameters
    ----------
    haematoxylin
        (H, W) OD.
    mpp
        Pixel size, µm.
    """
    pixel = float(np.sqrt(mpp.area_um2))
    smooth = ndimage.gaussian_filter(haematoxylin, SMOOTH_UM / pixel)
    dark = smooth > np.clip(threshold_otsu(smooth), *THRESHOLD_OD)
    dark = ndimage.binary_opening(dark, iterations=max(1, round(0.5 / pixel)))
    dark = remove_small_holes(dark, max_size=round(12 / mpp.area_um2))
    depth = ndimage.distance_transform_edt(dark) * pixel
    # Depth parts nuclei that touch; darkness parts those that overlap into one blob.
    height = ndimage.gaussian_filter(depth, 0.6 / pixel) + 2.0 * smooth
    peaks = peak_local_max(
        height, min_distance=max(1, round(NUCLEUS_DISTANCE_UM / pixel / 2)), labels=dark.astype(int)
    )
    seeds = np.zeros(dark.shape, dtype=np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = watershed(-height, seeds, mask=dark)
    area = np.bincount(labels.ravel(), minlength=len(peaks) + 1) * mpp.area_um2
    keep = (area >= NUCLEUS_UM2[0]) & (area <= NUCLEUS_UM2[1])
    keep[0] = False
    number = np.where(keep, np.cumsum(keep), 0)
    return np.asarray(number[labels], dtype=np.int64)


def grow_cells(nuclei: IntArray, dab: FloatArray, mpp: Spacing) -> IntArray:
    """Return (H, W) labels of the cells: nuclei grown up to the DAB ridge or to the limit.

    Parameters
    ----------
    nuclei
        (H, W) labels.
    dab
        (H, W) OD.
    mpp
        Pixel size, µm.
    """
    away = ndimage.distance_transform_edt(nuclei == 0, sampling=(mpp.y, mpp.x))
    # Without DAB the distance decides, and neighbours meet half-way; with DAB its ridge does.
    cost = ndimage.gaussian_filter(dab, 0.4 / mpp.x) + 0.02 * away
    return np.asarray(watershed(cost, nuclei, mask=away <= GROWTH_UM), dtype=np.int64)


def nucleus_shapes(nuclei: IntArray, mpp: Spacing) -> FloatArray:
    """Return (n, 4): centre x and y in pixels (0.5 in the first), area in µm², axis ratio."""
    table = regionprops_table(
        nuclei, properties=("centroid", "area", "axis_major_length", "axis_minor_length")
    )
    ratio = table["axis_major_length"] / np.maximum(table["axis_minor_length"], 1e-6)
    return np.stack(
        [
            table["centroid-1"] + 0.5,
            table["centroid-0"] + 0.5,
            table["area"] * mpp.area_um2,
            ratio,
        ],
        axis=1,
    )


def cast_label_rays(
    cells: IntArray, centres_px: AnyArray, labels: IntArray, mpp: Spacing
) -> FloatArray:
    """Return (n, 32) µm: how far each ray stays inside its own cell.

    Parameters
    ----------
    cells
        (H, W) labels.
    centres_px
        (n, 2) x, y.
    labels
        (n,) label of each cell.
    mpp
        Pixel size, µm.
    """
    steps = np.arange(STEP_UM, REACH_UM + STEP_UM, STEP_UM)
    directions = ray_directions()
    x = centres_px[:, 0, None, None] + steps * directions[:, :1] / mpp.x
    y = centres_px[:, 1, None, None] + steps * directions[:, 1:] / mpp.y
    height, width = cells.shape
    column = np.clip(np.floor(x).astype(np.int64), 0, width - 1)
    row = np.clip(np.floor(y).astype(np.int64), 0, height - 1)
    outside = cells[row, column] != labels[:, None, None]
    first = np.where(outside.any(axis=2), outside.argmax(axis=2), len(steps) - 1)
    return np.asarray(steps[first] - STEP_UM / 2, dtype=np.float32).reshape(-1, N_RAYS)


def class_shares(shape: FloatArray) -> FloatArray:
    """Return (n, 6) class probabilities: tumour where the nucleus is large and round enough."""
    size = 1 / (1 + np.exp(-(shape[:, 2] - TUMOUR_UM2) / 6.0))
    slim = 1 / (1 + np.exp((shape[:, 3] - TUMOUR_AXIS_RATIO) / 0.15))
    tumour = size * slim
    shares = np.zeros((len(shape), len(CELL_CLASSES)), dtype=np.float32)
    shares[:, CELL_CLASSES.index("tumour")] = tumour
    long = shape[:, 3] >= TUMOUR_AXIS_RATIO
    shares[:, CELL_CLASSES.index("stroma")] = np.where(long, 1 - tumour, 0)
    shares[:, CELL_CLASSES.index("lymphoid")] = np.where(long, 0, 1 - tumour)
    return shares


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", type=Path, nargs="+", help="slides or folders")
    parser.add_argument("--out", type=Path, required=True, help="folder of results")
    args = parser.parse_args()
    reader = ClassicalReader()
    try:
        for path in args.input:
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            for file in files:
                result = pathology.score_slide(file, out_dir=args.out, reader=reader)
                print(f"{file.name}: {result.ihc_score or '-'} ({result.deciding_clause})")
    except PathologyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
