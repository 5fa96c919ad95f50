"""Read the annotated slides that training holds out, and compare with what people marked."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pathology.cells.reader import TileReader
from pathology.training.data.samples import CONTEXT_FACTOR, UNKNOWN_CLASS, Sample
from pathology.training.evidence.measure import match_points, read_picture
from pathology.types import AnyArray, BoolArray

__all__ = ["annotated_figures"]

_MPP = 0.5


def _inside(sample: Sample, points_px: AnyArray) -> BoolArray:
    """Tell which points lie where every cell is annotated."""
    side = len(sample.annotated)
    place = np.floor(points_px / CONTEXT_FACTOR).astype(np.int64)
    within = ((place >= 0) & (place < side)).all(axis=1)
    column, row = np.clip(place, 0, side - 1).T
    return np.asarray(within & sample.annotated[row, column])


def annotated_figures(reader: TileReader, samples: Iterable[Sample]) -> dict[str, float]:
    """Measure a model on annotated fields.

    Parameters
    ----------
    reader
        The model.
    samples
        Fields of slides that training did not see.

    Returns
    -------
    dict of str to float
        ``annotated_detection_f1``: cells within 3 µm, where every cell is annotated; and
        ``annotated_tumour_accuracy``: tumour or not, over matched cells of known class. NaN where
        there is nothing to count.
    """
    hits = seen = right = known = 0
    for sample in samples:
        red, green, blue = (float(value) for value in sample.white)
        table = read_picture(reader, sample.rgb, mpp=_MPP, white=(red, green, blue))
        found_um = np.stack([table.x_um, table.y_um], axis=1)
        marked = sample.visible
        truth_um, classes = sample.centres_px[marked] * _MPP, sample.classes[marked]
        pairs = match_points(truth_um, found_um)
        sure = classes[pairs[:, 0]] != UNKNOWN_CLASS
        same = (classes[pairs[:, 0]] == 0) == (table.cell_class[pairs[:, 1]] == 0)
        known += int(sure.sum())
        right += int((same & sure).sum())
        in_truth, in_found = _inside(sample, truth_um / _MPP), _inside(sample, found_um / _MPP)
        # A pair counts by where its true cell lies: the found one may lie across the border.
        paired = in_truth[pairs[:, 0]]
        loose = np.ones(len(found_um), dtype=np.bool_)
        loose[pairs[:, 1]] = False
        hits += int(paired.sum())
        seen += int(in_truth.sum() + paired.sum() + (in_found & loose).sum())
    return {
        "annotated_detection_f1": 2 * hits / seen if seen else float("nan"),
        "annotated_tumour_accuracy": right / known if known else float("nan"),
    }
