"""The figures of the model card: how well cells were found, outlined, told apart and measured.

Every figure is a function of a few tallies per field (sums, counts, histograms), so that a
bootstrap over fields only has to weigh fields anew: a thousand replicates take milliseconds, for
hundreds of thousands of cells. Intervals of the two figures that are not made of sums, the median
outline error and the AUROC, come from histograms (in steps of 0.01 µm and 0.0005); the figures
themselves are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import rankdata

from pathology.cells.table import PATTERNS, RADIUS_STEP_UM, CellTable
from pathology.synthesis.truth import FieldCells
from pathology.types import AnyArray, IntArray

__all__ = [
    "FIGURES",
    "FieldReading",
    "Metric",
    "confusion",
    "figures",
    "measure_model",
]

#: Replicates of the bootstrap over fields.
REPLICATES = 1000
_SCORE_BINS = 2001
_OUTLINE_STEP_UM, _OUTLINE_BINS = 0.01, 4001
#: Fields with fewer true cells say nothing about a share.
_MIN_CELLS = 20


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Hold one measured figure.

    Parameters
    ----------
    value
        The figure over all fields; NaN where no cell has it.
    low, high
        95 % interval: percentiles over bootstrap samples of fields.
    n
        Number of cells (for ``tumour_share_error``: fields) behind it.
    """

    value: float
    low: float
    high: float
    n: int

    def plain(self) -> dict[str, float | int | None]:
        """Return the figure as JSON has it, with None for NaN."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }


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

    @property
    def tumour_pairs(self) -> IntArray:
        """(k, 2) int64: the pairs whose true cell is invasive tumour."""
        return np.asarray(self.pairs[self.truth.cell_class[self.pairs[:, 0]] == 0])


@dataclass(frozen=True, kw_only=True)
class _Tallies:
    """Hold what each of n fields adds to the figures; the first axis is the field."""

    found: AnyArray  # (n, 2): twice the hits, true and found cells
    positive: AnyArray  # (n, bins): matched tumour cells by their tumour probability
    negative: AnyArray  # (n, bins): other matched cells
    outline: AnyArray  # (n, bins): rays by their error
    sums: AnyArray  # (n, 4): errors of completeness, OD and tumour share; right patterns
    counts: AnyArray  # (n, 4): what they are to be divided by
    patterns: AnyArray  # (n, 5, 5): matched tumour cells by true and found pattern


def _tally(item: FieldReading) -> tuple[AnyArray, ...]:
    pairs, tumour = item.pairs, item.tumour_pairs
    is_tumour = item.truth.cell_class[pairs[:, 0]] == 0
    score = item.found.tumour_probability[pairs[:, 1]].astype(np.float64)
    place = np.clip(np.rint(score * (_SCORE_BINS - 1)), 0, _SCORE_BINS - 1).astype(np.int64)
    error = np.minimum(outline_errors(item).ravel() / _OUTLINE_STEP_UM, _OUTLINE_BINS - 1)
    table = np.zeros((len(PATTERNS), len(PATTERNS)))
    np.add.at(table, (item.truth.pattern[tumour[:, 0]], item.found.pattern[tumour[:, 1]]), 1.0)
    single = [completeness_errors(item), od_errors(item), share_errors(item), _right(item)]
    return (
        np.array([2.0 * len(pairs), item.truth.n + item.found.n]),
        np.bincount(place[is_tumour], minlength=_SCORE_BINS).astype(np.float64),
        np.bincount(place[~is_tumour], minlength=_SCORE_BINS).astype(np.float64),
        np.bincount(error.astype(np.int64), minlength=_OUTLINE_BINS).astype(np.float64),
        np.array([part.sum(dtype=np.float64) for part in single]),
        np.array([float(len(part)) for part in single]),
        table,
    )


def _gather(readings: Sequence[FieldReading]) -> _Tallies:
    parts = [np.stack(column) for column in zip(*map(_tally, readings), strict=True)]
    names = ("found", "positive", "negative", "outline", "sums", "counts", "patterns")
    return _Tallies(**dict(zip(names, parts, strict=True)))


def outline_errors(item: FieldReading) -> AnyArray:
    """Return (k, 32) µm: how far each ray of the matched tumour cells is off."""
    pairs = item.tumour_pairs
    found = item.found.outline_r[pairs[:, 1]] * RADIUS_STEP_UM
    return np.asarray(np.abs(found - item.truth.outline_r_um[pairs[:, 0]]), dtype=np.float64)


def completeness_errors(item: FieldReading) -> AnyArray:
    """Return (k,): how far the completeness of the matched tumour cells is off."""
    pairs = item.tumour_pairs
    found = item.found.membrane_completeness[pairs[:, 1]].astype(np.float64)
    return np.asarray(np.abs(found - item.truth.completeness[pairs[:, 0]]))


def od_errors(item: FieldReading) -> AnyArray:
    """Return (k,) OD: how far the mean OD of the stained rays is off; unstained counts as 0.

    Only cells that are stained in truth: an unstained one has no membrane to be measured, and
    whether it is seen as such is what the patterns say.
    """
    pairs = item.tumour_pairs
    pairs = pairs[item.truth.pattern[pairs[:, 0]] > 0]
    found = item.found.membrane_od_stained[pairs[:, 1]].astype(np.float64)
    return np.asarray(np.abs(found - item.truth.membrane_od[pairs[:, 0]]))


def share_errors(item: FieldReading) -> AnyArray:
    """Return (1,): by how much the share of tumour among all cells is off; (0,) with few cells."""
    if item.truth.n < _MIN_CELLS or not item.found.n:
        return np.zeros(0)
    found, truth = item.found.is_tumour.mean(), (item.truth.cell_class == 0).mean()
    return np.array([abs(float(found) - float(truth))])


def _right(item: FieldReading) -> AnyArray:
    pairs = item.tumour_pairs
    return np.asarray(item.found.pattern[pairs[:, 1]] == item.truth.pattern[pairs[:, 0]])


def _shares(sums: AnyArray, counts: AnyArray) -> AnyArray:
    """Return the quotients; NaN where nothing was counted."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(counts > 0, sums / counts, np.nan), dtype=np.float64)


def _macro_f1(tables: AnyArray) -> AnyArray:
    """Return (b,) for (b, 5, 5) tables: the mean F1 of the patterns that occur at all."""
    hits = np.einsum("bii->bi", tables)
    each = _shares(2 * hits, tables.sum(axis=1) + tables.sum(axis=2))
    present = ~np.isnan(each)
    return _shares(np.where(present, each, 0).sum(axis=1), present.sum(axis=1))


def _median(histograms: AnyArray) -> AnyArray:
    """Return (b,) for (b, bins) histograms: the middle of the bin that holds the median."""
    below = np.cumsum(histograms, axis=1)
    total = below[:, -1]
    place = (below < 0.5 * total[:, None]).sum(axis=1)
    return np.where(total > 0, (place + 0.5) * _OUTLINE_STEP_UM, np.nan)


def _auroc(positive: AnyArray, negative: AnyArray) -> AnyArray:
    """Return (b,) for (b, bins) histograms of the scores: chance of the right order, ties half."""
    below = np.cumsum(negative, axis=1) - negative
    wins = (positive * (below + 0.5 * negative)).sum(axis=1)
    return _shares(wins, positive.sum(axis=1) * negative.sum(axis=1))


def _replicates(tallies: _Tallies, weights: AnyArray) -> dict[str, AnyArray]:
    """Return the figures (b,) for weights (b, n) of the fields."""

    def total(part: AnyArray) -> AnyArray:
        return np.asarray(np.tensordot(weights, part, axes=1))

    found, means = total(tallies.found), _shares(total(tallies.sums), total(tallies.counts))
    return {
        "detection_f1": _shares(found[:, 0], found[:, 1]),
        "tumour_auroc": _auroc(total(tallies.positive), total(tallies.negative)),
        "tumour_share_error": means[:, 2],
        "outline_error_um": _median(total(tallies.outline)),
        "completeness_error": means[:, 0],
        "membrane_od_error": means[:, 1],
        "pattern_accuracy": means[:, 3],
        "pattern_macro_f1": _macro_f1(total(tallies.patterns)),
    }


def _exact_auroc(readings: Sequence[FieldReading]) -> float:
    score = np.concatenate([item.found.tumour_probability[item.pairs[:, 1]] for item in readings])
    tumour = np.concatenate([item.truth.cell_class[item.pairs[:, 0]] == 0 for item in readings])
    positive, negative = int(tumour.sum()), int((~tumour).sum())
    if not (positive and negative):
        return math.nan
    ranks = rankdata(score)[tumour].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def _exact_outline(readings: Sequence[FieldReading]) -> float:
    errors = np.concatenate([outline_errors(item).ravel() for item in readings])
    return float(np.median(errors)) if len(errors) else math.nan


#: Names of the figures, in the order of tables, with the function that makes those exact which
#: histograms only approach.
FIGURES: dict[str, Callable[[Sequence[FieldReading]], float] | None] = {
    "detection_f1": None,
    "tumour_auroc": _exact_auroc,
    "tumour_share_error": None,
    "outline_error_um": _exact_outline,
    "completeness_error": None,
    "membrane_od_error": None,
    "pattern_accuracy": None,
    "pattern_macro_f1": None,
}


def _values(readings: Sequence[FieldReading], tallies: _Tallies) -> dict[str, float]:
    once = _replicates(tallies, np.ones((1, len(readings))))
    return {
        name: float(once[name][0]) if exact is None else exact(readings)
        for name, exact in FIGURES.items()
    }


def _counts(tallies: _Tallies, readings: Sequence[FieldReading]) -> dict[str, int]:
    tumour, stained, fields, _ = (int(n) for n in tallies.counts.sum(axis=0))
    return {
        **dict.fromkeys(FIGURES, tumour),
        "detection_f1": sum(item.truth.n for item in readings),
        "tumour_auroc": sum(len(item.pairs) for item in readings),
        "tumour_share_error": fields,
        "membrane_od_error": stained,
    }


def figures(readings: Sequence[FieldReading]) -> dict[str, float]:
    """Compute the figures of :func:`measure_model` without their intervals.

    Parameters
    ----------
    readings
        Fields that were read; at least one.
    """
    return _values(readings, _gather(readings))


def measure_model(
    readings: Sequence[FieldReading], *, replicates: int = REPLICATES
) -> dict[str, Metric]:
    """Compute the figures of the model card, with intervals.

    Parameters
    ----------
    readings
        Fields that the model was not trained on; at least one.
    replicates
        Bootstrap samples of fields.

    Returns
    -------
    dict of str to Metric
        ``detection_f1`` (3 µm); ``tumour_auroc`` over all matched cells; ``tumour_share_error``,
        the mean over fields of how far the share of tumour among all cells is off; and, over
        matched tumour cells, ``outline_error_um`` (median over rays), ``completeness_error`` and
        ``membrane_od_error`` (mean absolute errors; the latter of the stained rays of stained
        cells), ``pattern_accuracy`` and ``pattern_macro_f1``.

    Raises
    ------
    ValueError
        If there is no reading.
    """
    if not readings:
        raise ValueError("figures need at least one field")
    tallies, size = _gather(readings), len(readings)
    draws = np.random.default_rng(0).integers(size, size=(replicates, size))
    weights = np.stack([np.bincount(draw, minlength=size) for draw in draws]).astype(np.float64)
    spread, count = _replicates(tallies, weights), _counts(tallies, readings)
    result = {}
    for name, value in _values(readings, tallies).items():
        # A sample of fields without a single cell of the kind has no figure.
        known = spread[name][~np.isnan(spread[name])]
        low, high = np.percentile(known, (2.5, 97.5)) if len(known) else (math.nan, math.nan)
        result[name] = Metric(value=value, low=float(low), high=float(high), n=count[name])
    return result


def confusion(readings: Sequence[FieldReading]) -> IntArray:
    """Return (5, 5) int64: matched tumour cells by true (row) and found pattern (column)."""
    tables = [_gather([item]).patterns[0] for item in readings]
    return np.asarray(np.sum(tables, axis=0), dtype=np.int64)
