"""Measure a model on synthetic fields that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import rankdata

from pathology.cells.reader import TileReader
from pathology.cells.table import PATTERNS, RADIUS_STEP_UM, CellTable
from pathology.geometry import Box0, Spacing
from pathology.synthesis import random_field_spec, render_field
from pathology.synthesis.truth import FieldCells
from pathology.tiling import TileGrid, TileSource, batches, lay_grid
from pathology.types import AnyArray
from pathology.wsi.array import ArraySlide

__all__ = ["FieldReading", "Metric", "measure_model", "read_field"]

#: A found cell and a true one are the same within this distance of their centres, µm.
MATCH_UM = 3.0
#: Cells nearer to the field's border than this are left out: their outline is cut.
BORDER_UM = 10.0
_BOOTSTRAP = 1000


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Hold one measured figure.

    Parameters
    ----------
    value
        The figure over all fields.
    low, high
        95 % interval: percentiles over bootstrap samples of fields.
    n
        Number of cells behind it.
    """

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class FieldReading:
    """Hold truth and reading of one field, matched one to one.

    Parameters
    ----------
    truth
        The field's visible cells away from the border.
    found
        What the model found there.
    pairs
        (m, 2) int64: rows of ``truth`` and ``found`` that are the same cell.
    """

    truth: FieldCells
    found: CellTable
    pairs: AnyArray


def _match(truth_um: AnyArray, found_um: AnyArray) -> AnyArray:
    """Pair points one to one, nearest first, within :data:`MATCH_UM`."""
    if not (len(truth_um) and len(found_um)):
        return np.zeros((0, 2), dtype=np.int64)
    near = cKDTree(truth_um).sparse_distance_matrix(
        cKDTree(found_um), MATCH_UM, output_type="ndarray"
    )
    taken: tuple[set[int], set[int]] = (set(), set())
    pairs = []
    for edge in near[np.lexsort((near["j"], near["i"], near["v"]))]:
        i, j = int(edge["i"]), int(edge["j"])
        if i not in taken[0] and j not in taken[1]:
            taken[0].add(i)
            taken[1].add(j)
            pairs.append((i, j))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _grid(side: int, mpp: float, reader: TileReader) -> TileGrid:
    box = Box0(x=0, y=0, width=side, height=side)
    return lay_grid(box, Spacing(x=mpp, y=mpp), reader.spec, tile_px=-(-side // 64) * 64)


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
    field = render_field(
        random_field_spec(np.random.default_rng(seed), size_px=size_px, mpp=0.5), seed
    )
    slide = ArraySlide(field.rgb, mpp=field.mpp)
    grid = _grid(size_px, field.mpp, reader)
    source = TileSource(slide, grid, list(grid), workers=1, queue_tiles=1, want_context=True)
    red, green, blue = (float(value) for value in field.white)
    tables = [
        table
        for batch in batches(source, 1, (red, green, blue), grid)
        for table in reader.read(batch)
    ]
    found, side_um = CellTable.concat(tables), size_px * field.mpp
    truth_um = np.stack([field.cells.x_px, field.cells.y_px], axis=1) * field.mpp
    found_um = np.stack([found.x_um, found.y_um], axis=1)
    keep_truth = _within(truth_um, side_um) & field.cells.visible
    # A found cell that matches a cell nobody could see is neither right nor wrong.
    unseen = _match(truth_um[~field.cells.visible], found_um)[:, 1]
    keep_found = _within(found_um, side_um)
    keep_found[unseen] = False
    truth = field.cells.take(keep_truth)
    return FieldReading(
        truth=truth,
        found=found.take(keep_found),
        pairs=_match(truth_um[keep_truth], found_um[keep_found]),
    )


def _within(points_um: AnyArray, side_um: float) -> AnyArray:
    inside = (points_um >= BORDER_UM) & (points_um < side_um - BORDER_UM)
    return np.asarray(inside.all(axis=1))


def _interval(
    readings: Sequence[FieldReading], figure: Callable[[Sequence[FieldReading]], float], n: int
) -> Metric:
    rng = np.random.default_rng(0)
    draws = [
        figure([readings[k] for k in rng.integers(len(readings), size=len(readings))])
        for _ in range(_BOOTSTRAP)
    ]
    # A sample of fields without a single cell of the kind has no figure; all such: no interval.
    known = [draw for draw in draws if not math.isnan(draw)] or [math.nan]
    low, high = np.percentile(known, (2.5, 97.5))
    return Metric(value=figure(readings), low=float(low), high=float(high), n=n)


def _f1(readings: Sequence[FieldReading]) -> float:
    hits = sum(len(item.pairs) for item in readings)
    seen = sum(item.found.n + item.truth.n for item in readings)
    return 2 * hits / seen if seen else float("nan")


def _auroc(readings: Sequence[FieldReading]) -> float:
    score = np.concatenate([item.found.tumour_probability[item.pairs[:, 1]] for item in readings])
    tumour = np.concatenate([item.truth.cell_class[item.pairs[:, 0]] == 0 for item in readings])
    positive, negative = int(tumour.sum()), int((~tumour).sum())
    if not (positive and negative):
        return float("nan")
    ranks = rankdata(score)[tumour].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def _tumour_pairs(item: FieldReading) -> AnyArray:
    return np.asarray(item.pairs[item.truth.cell_class[item.pairs[:, 0]] == 0])


def _errors(
    readings: Sequence[FieldReading], error: Callable[[FieldReading, AnyArray], AnyArray]
) -> AnyArray:
    return np.concatenate([np.ravel(error(item, _tumour_pairs(item))) for item in readings])


def _outline(item: FieldReading, pairs: AnyArray) -> AnyArray:
    found = item.found.outline_r[pairs[:, 1]] * RADIUS_STEP_UM
    return np.asarray(np.abs(found - item.truth.outline_r_um[pairs[:, 0]]))


def _completeness(item: FieldReading, pairs: AnyArray) -> AnyArray:
    found = item.found.membrane_completeness[pairs[:, 1]]
    return np.asarray(np.abs(found - item.truth.completeness[pairs[:, 0]]))


def _pattern_right(item: FieldReading, pairs: AnyArray) -> AnyArray:
    return np.asarray(item.found.pattern[pairs[:, 1]] == item.truth.pattern[pairs[:, 0]])


def _of(summary: Callable[[AnyArray], AnyArray], values: AnyArray) -> float:
    return float(summary(values)) if values.size else math.nan


def _macro_f1(readings: Sequence[FieldReading]) -> float:
    pairs = [(item, _tumour_pairs(item)) for item in readings]
    found = np.concatenate([item.found.pattern[p[:, 1]] for item, p in pairs])
    truth = np.concatenate([item.truth.pattern[p[:, 0]] for item, p in pairs])
    scores = []
    for code in range(len(PATTERNS)):
        size = int((found == code).sum() + (truth == code).sum())
        if size:
            scores.append(2 * int(((found == code) & (truth == code)).sum()) / size)
    return float(np.mean(scores)) if scores else float("nan")


def measure_model(readings: Sequence[FieldReading]) -> dict[str, Metric]:
    """Compute the figures of the model card.

    Parameters
    ----------
    readings
        Fields that the model was not trained on.

    Returns
    -------
    dict of str to Metric
        ``detection_f1`` (3 µm), ``tumour_auroc``, ``outline_error_um`` (median), and, over matched
        tumour cells, ``completeness_error`` (mean), ``pattern_accuracy``, ``pattern_macro_f1``.
    """
    cells = sum(item.truth.n for item in readings)
    matched = sum(len(item.pairs) for item in readings)
    tumour = sum(len(_tumour_pairs(item)) for item in readings)

    def median_outline(items: Sequence[FieldReading]) -> float:
        return _of(np.median, _errors(items, _outline))

    def mean_completeness(items: Sequence[FieldReading]) -> float:
        return _of(np.mean, _errors(items, _completeness))

    def accuracy(items: Sequence[FieldReading]) -> float:
        return _of(np.mean, _errors(items, _pattern_right))

    return {
        "detection_f1": _interval(readings, _f1, cells),
        "tumour_auroc": _interval(readings, _auroc, matched),
        "outline_error_um": _interval(readings, median_outline, tumour),
        "completeness_error": _interval(readings, mean_completeness, tumour),
        "pattern_accuracy": _interval(readings, accuracy, tumour),
        "pattern_macro_f1": _interval(readings, _macro_f1, tumour),
    }
