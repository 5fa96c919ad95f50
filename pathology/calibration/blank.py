"""The limit of blank: the density that negative membranes do not pass in 95 of 100 cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pathology.calibration.samples import SlideSample
from pathology.cells import N_RAYS
from pathology.stain.calibration import OD_STEP, CutoffOds
from pathology.types import AnyArray, FloatArray, IntArray

__all__ = ["MIN_NEGATIVE_CELLS", "BlankLimit", "deciding_od", "limit_of_blank", "rank_percentile"]

#: CLSI EP17-A2: the limit of blank is the 95th percentile of blank results (alpha 5 %), by rank.
PERCENTILE = 0.95
#: Score 0 allows 10 % of stained cells: 95 of 100 of the other 90 % are below this percentile.
PERCENTILE_OF_SCORE_0 = PERCENTILE * (1 - 0.10)
#: Blank results below which EP17-A2 does not give a limit.
MIN_NEGATIVE_CELLS = 60


@dataclass(frozen=True, kw_only=True)
class BlankLimit:
    """Hold a limit of blank.

    Parameters
    ----------
    od
        OD as measured, a multiple of 0.01, at least 0.01.
    basis
        What it was taken from: negative controls, or slides of score 0.
    per_slide
        Slide ids with the percentile of each.
    """

    od: float
    basis: Literal["negative_controls", "score_0"]
    per_slide: tuple[tuple[str, float], ...]


def deciding_od(
    ray_od: AnyArray, cytoplasm_od: FloatArray, *, min_stained_share: float, cutoffs: CutoffOds
) -> IntArray:
    """Return the density at which each cell would begin to be stained.

    A cell is stained when ``min_stained_share`` of its rays are. So this is the density that just
    as many rays reach (the fourth darkest of 32 for 0.125), among rays that stand out of the
    cytoplasm: others are never stained and count as 0.

    Parameters
    ----------
    ray_od
        (n, 32) uint8, 0.01 OD.
    cytoplasm_od
        (n,) float32, OD.
    min_stained_share
        As in the section ``measurement``.
    cutoffs
        Of the reference scale; contrast and its exemption are used.

    Returns
    -------
    numpy.ndarray
        (n,) int64, 0.01 OD.

    Examples
    --------
    >>> from pathology.stain.calibrating import reference_cutoffs
    >>> rays = np.arange(0, 64, 2, dtype=np.uint8)[None]
    >>> deciding_od(rays, np.zeros(1, dtype=np.float32), min_stained_share=0.125,
    ...             cutoffs=reference_cutoffs()).tolist()
    [56]
    """
    od = ray_od.astype(np.int64)
    # Ten-thousandths of an OD, as the cells themselves are classed.
    units = od * 100 - np.rint(np.asarray(cytoplasm_od, dtype=np.float64) * 1e4)[:, None]
    seen = (units >= round(cutoffs.contrast_od * 1e4)) | (
        od * 100 >= round(cutoffs.contrast_exempt_od * 1e4)
    )
    needed = max(1, math.ceil(round(min_stained_share * 1e4) * N_RAYS / 1e4))
    return np.asarray(np.sort(np.where(seen, od, 0), axis=1)[:, N_RAYS - needed], dtype=np.int64)


def rank_percentile(values: AnyArray, share: float = PERCENTILE) -> float:
    """Return a percentile by rank ``0.5 + share B`` with interpolation, as EP17-A2 does.

    Parameters
    ----------
    values
        (B,) numbers, at least one.
    share
        0 to 1.

    Examples
    --------
    >>> rank_percentile(np.arange(1, 101))
    95.5
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    place = min(max(0.5 + share * len(ordered), 1.0), float(len(ordered))) - 1
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))


def limit_of_blank(
    samples: Sequence[SlideSample], *, min_stained_share: float, cutoffs: CutoffOds
) -> BlankLimit | None:
    """Take the limit of blank from negative slides.

    Negative controls come first: the largest of their percentiles, as EP17-A2 takes the largest of
    its lots. Without any, slides of score 0 serve. Up to a tenth of their cells may be stained by
    the guideline's own definition, so a lower percentile is taken, which such cells do not reach,
    and the median over slides: a limit that is a little low lets false staining pass, one that is
    high would hide true staining.

    Parameters
    ----------
    samples
        All slides; those that are not negative, or have fewer than 60 cells, play no part.
    min_stained_share, cutoffs
        As for :func:`deciding_od`.

    Returns
    -------
    BlankLimit or None
        None without a negative slide; rounded up to the step of stored densities.
    """
    negative = [item for item in samples if item.is_negative and item.n >= MIN_NEGATIVE_CELLS]
    controls = [item for item in negative if item.kind == "control"]
    chosen = controls or negative
    if not chosen:
        return None
    found = {}
    for item in chosen:
        values = deciding_od(
            item.ray_od, item.cytoplasm_od, min_stained_share=min_stained_share, cutoffs=cutoffs
        )
        share = PERCENTILE if item.kind == "control" else PERCENTILE_OF_SCORE_0
        found[item.slide_id] = rank_percentile(values, share)
    steps = max(found.values()) if controls else float(np.median(list(found.values())))
    return BlankLimit(
        od=round(max(1, math.ceil(steps - 1e-9)) * OD_STEP, 2),
        basis="negative_controls" if controls else "score_0",
        per_slide=tuple((name, round(value * OD_STEP, 4)) for name, value in sorted(found.items())),
    )
