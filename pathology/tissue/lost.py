"""Tissue that the file has lost: areas without data that lie in tissue, not beside it.

A hole in a file (zeroed or missing tiles) looks like glass once it is painted white. Glass says
"nothing here"; a hole says nothing at all, and nothing may be concluded from it.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pathology.tissue.segment import grow
from pathology.types import BoolArray

__all__ = ["lost_tissue"]

#: What surrounds a hole is looked at within this distance, in µm: wider than the blur of the tissue
#: mask's edge, narrower than the spaces between pieces.
RING_UM = 40.0
#: A hole whose surroundings are tissue by at least this share was tissue as a whole, up to
#: :data:`REACH_UM` from what is left.
MIN_TISSUE_SHARE = 0.5
REACH_UM = 1000.0
#: Tissue this near to a hole ends at it, in µm.
EDGE_UM = 16.0
#: Else, where tissue ends at an area without data over at least this length, it went on there: a
#: scanner that skips glass leaves areas that touch glass. By how much nobody knows; a band of
#: :data:`BAND_UM` is taken. 200 µm is some fifteen cells.
MIN_CONTACT_UM = 200.0
BAND_UM = 250.0


def lost_tissue(missing: BoolArray, tissue: BoolArray, *, pixel_um: float) -> BoolArray:
    """Find areas without data that were tissue.

    Parameters
    ----------
    missing
        (H, W) bool: no data.
    tissue
        (H, W) bool: tissue that was found.
    pixel_um
        Size of a pixel in µm.

    Returns
    -------
    numpy.ndarray
        (H, W) bool, a part of ``missing``.

    Examples
    --------
    >>> tissue = np.ones((40, 40), dtype=bool)
    >>> hole = np.zeros((40, 40), dtype=bool)
    >>> hole[10:20, 10:20] = True
    >>> bool((lost_tissue(hole, tissue & ~hole, pixel_um=8.0) == hole).all())
    True
    >>> bool(lost_tissue(hole, np.zeros_like(hole), pixel_um=8.0).any())
    False
    """
    found = np.zeros_like(missing)
    if not (missing.any() and tissue.any()):
        return found
    reach = max(1, round(RING_UM / pixel_um))
    edge = max(1, round(EDGE_UM / pixel_um))
    near, far = (grow(tissue, distance / pixel_um) for distance in (BAND_UM, REACH_UM))
    labels, _ = ndimage.label(missing, structure=np.ones((3, 3), dtype=np.bool_))
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        window = _padded(box, reach, missing.shape)
        hole = labels[window] == number
        ring = ndimage.binary_dilation(hole, iterations=reach) & ~missing[window]
        seen, tissue_px = np.count_nonzero(ring), np.count_nonzero(ring & tissue[window])
        if tissue_px and tissue_px >= MIN_TISSUE_SHARE * seen:
            found[window] |= hole & far[window]
        elif _contact_px(hole, tissue[window], edge) * pixel_um >= MIN_CONTACT_UM:
            found[window] |= hole & near[window]
    return found


def _contact_px(hole: BoolArray, tissue: BoolArray, edge: int) -> float:
    """Length over which tissue ends at a hole, in pixels."""
    border = ndimage.binary_dilation(hole, iterations=edge)
    return float(np.count_nonzero(border & tissue)) / edge


def _padded(box: tuple[slice, ...], margin: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(
        slice(max(0, part.start - margin), min(size, part.stop + margin))
        for part, size in zip(box, shape, strict=True)
    )
