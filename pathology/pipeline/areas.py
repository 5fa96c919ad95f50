"""Where on a slide a cell or a tile may count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from pathology.config import Config
from pathology.errors import ReasonCode
from pathology.tissue import RegionKind, Regions, TissueFinding, TissueMask
from pathology.types import AnyArray, BoolArray

__all__ = ["add_drawn_tumour", "evaluable_area", "inside"]

#: A cell's centre may lie this far outside the coarse tissue mask and still count, in µm: the
#: mask's own pixels and its smoothing blur the edge by about this much.
EDGE_TOLERANCE_UM = 16.0
#: Exclusions that tissue may be mistaken for; ink and lost data stay excluded whatever is drawn.
_MISTAKABLE = ("dust", "edge", "smear")


def add_drawn_tumour(finding: TissueFinding, regions: Regions, config: Config) -> TissueFinding:
    """Take drawn tumour for tissue, also where the program saw none.

    Parameters
    ----------
    finding
        What was found on the overview.
    regions
        Annotated regions; without tumour among them nothing changes.
    config
        The configuration; ``tissue.min_tissue_mm2`` is used.

    Returns
    -------
    TissueFinding
        With the drawn area as tissue, no longer dust, edge or smear, and without ``no_tissue``
        where it is large enough. What is ink, black or without data is no tissue all the same.
    """
    if not regions.has_tumour:
        return finding
    drawn = regions.rasterize(finding.tissue)[RegionKind.TUMOUR]
    for kind, mask in finding.excluded.items():
        if kind not in _MISTAKABLE:
            drawn = drawn & ~mask.mask
    tissue = replace(finding.tissue, mask=finding.tissue.mask | drawn)
    excluded = {
        kind: replace(mask, mask=mask.mask & ~drawn) if kind in _MISTAKABLE else mask
        for kind, mask in finding.excluded.items()
    }
    kept = [
        (code, text)
        for code, text in zip(finding.reasons, finding.explanations, strict=True)
        if code != ReasonCode.NO_TISSUE or tissue.area_mm2 < config.tissue.min_tissue_mm2
    ]
    return replace(
        finding,
        tissue=tissue,
        tissue_mm2=tissue.area_mm2,
        excluded=excluded,
        reasons=tuple(code for code, _ in kept),
        explanations=tuple(text for _, text in kept),
    )


def evaluable_area(finding: TissueFinding) -> TissueMask:
    """Return where a cell may count: on tissue or within 16 µm of it, never in an excluded area."""
    pixel_um = (finding.tissue.pixel_area_mm2 * 1e6) ** 0.5
    reach = max(1, round(EDGE_TOLERANCE_UM / pixel_um))
    area = ndimage.binary_dilation(finding.tissue.mask, iterations=reach)
    for excluded in finding.excluded.values():
        area &= ~excluded.mask
    return replace(finding.tissue, mask=np.asarray(area | finding.tissue.mask, dtype=np.bool_))


def inside(mask: TissueMask, x_px: AnyArray, y_px: AnyArray) -> BoolArray:
    """Tell which points (level-0 pixels) lie in a mask; none outside its box does."""
    height, width = mask.mask.shape
    cols = np.floor((x_px - mask.box.x) * width / mask.box.width).astype(np.int64)
    rows = np.floor((y_px - mask.box.y) * height / mask.box.height).astype(np.int64)
    within = (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)
    found = np.zeros(len(x_px), dtype=np.bool_)
    found[within] = mask.mask[rows[within], cols[within]]
    return found
