"""Read synthetic fields that a model was not trained on, and match what it found to the truth."""

from __future__ import annotations

import numpy as np

from pathology.cells.matching import match_points
from pathology.cells.reader import TileReader
from pathology.cells.table import CellTable
from pathology.geometry import Box0, Spacing
from pathology.synthesis import Field, random_field_spec, render_field
from pathology.tiling import TileSource, batches, lay_grid
from pathology.training.evidence.figures import FieldReading, Metric, figures, measure_model
from pathology.types import AnyArray, U8Array
from pathology.wsi.array import ArraySlide

__all__ = [
    "HOLDOUT_SEED",
    "FieldReading",
    "Metric",
    "evaluate_reader",
    "figures",
    "match_points",
    "measure_model",
    "read_field",
    "read_picture",
    "read_rendered_field",
]

#: Fields of training have the seeds 0, 1, 2, ...; those of measurement begin here, far beyond.
HOLDOUT_SEED = 1_000_000
#: Cells nearer to the field's border than this are left out: their outline is cut.
BORDER_UM = 10.0


def read_picture(
    reader: TileReader, rgb: U8Array, *, mpp: float, white: tuple[float, float, float]
) -> CellTable:
    """Read the cells of one picture, in one tile, as a slide's are read.

    Parameters
    ----------
    reader
        The model.
    rgb
        (H, W, 3) uint8.
    mpp
        Pixel size, µm; the picture is resampled to the model's.
    white
        Colour of the glass.

    Returns
    -------
    CellTable
        Centres in µm from the picture's top left.
    """
    slide = ArraySlide(rgb, mpp=mpp)
    height, width = rgb.shape[:2]
    side = round(max(height, width) * mpp / reader.spec.mpp)
    grid = lay_grid(
        Box0(x=0, y=0, width=width, height=height), Spacing(x=mpp, y=mpp), reader.spec,
        tile_px=-(-side // 64) * 64,
    )  # fmt: skip
    source = TileSource(slide, grid, list(grid), workers=1, queue_tiles=1, want_context=True)
    return CellTable.concat(
        [table for batch in batches(source, 1, white, grid) for table in reader.read(batch)]
    )


def read_field(reader: TileReader, seed: int, size_px: int) -> FieldReading:
    """Render the field of a seed, read it, and match cells.

    Parameters
    ----------
    reader
        The model.
    seed
        Seed of the field.
    size_px
        Side in pixels of 0.5 µm.
    """
    spec = random_field_spec(np.random.default_rng(seed), size_px=size_px, mpp=0.5)
    return read_rendered_field(reader, render_field(spec, seed))


def read_rendered_field(reader: TileReader, field: Field) -> FieldReading:
    """Read a field, and match cells.

    Parameters
    ----------
    reader
        The model.
    field
        A field with its truth.
    """
    red, green, blue = (float(value) for value in field.white)
    found = read_picture(reader, field.rgb, mpp=field.mpp, white=(red, green, blue))
    size_um = np.array(field.rgb.shape[1::-1]) * field.mpp
    truth_um = np.stack([field.cells.x_px, field.cells.y_px], axis=1) * field.mpp
    found_um = np.stack([found.x_um, found.y_um], axis=1)
    keep_truth = _within(truth_um, size_um) & field.cells.visible
    # A found cell that matches a cell nobody could see is neither right nor wrong.
    unseen = match_points(truth_um[~field.cells.visible], found_um)[:, 1]
    keep_found = _within(found_um, size_um)
    keep_found[unseen] = False
    return FieldReading(
        truth=field.cells.take(keep_truth),
        found=found.take(keep_found),
        pairs=match_points(truth_um[keep_truth], found_um[keep_found]),
    )


def _within(points_um: AnyArray, size_um: AnyArray) -> AnyArray:
    inside = (points_um >= BORDER_UM) & (points_um < size_um - BORDER_UM)
    return np.asarray(inside.all(axis=1))


def evaluate_reader(
    reader: TileReader, *, fields: int, size_px: int, first_seed: int = HOLDOUT_SEED
) -> dict[str, Metric]:
    """Measure a model on synthetic fields with seeds that training never uses.

    Parameters
    ----------
    reader
        The model.
    fields
        Number of fields.
    size_px
        Side of a field in pixels of 0.5 µm.
    first_seed
        Seed of the first field.
    """
    seeds = range(first_seed, first_seed + fields)
    return measure_model([read_field(reader, seed, size_px) for seed in seeds])
