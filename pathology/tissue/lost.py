"""Tissue that the file has lost: areas without data that lie in tissue, not beside it.

A hole in a file (zeroed or missing tiles) looks like glass once it is painted white. Glass says
"nothing here"; a hole says nothing at all, and nothing may be concluded from it.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pathology.tissue.segment import grow
from pathology.types import AnyArray, BoolArray

__all__ = ["lost_tissue"]

#: What surrounds a hole is looked at within this distance, in µm: wider than the blur of the tissue
#: mask's edge, narrower than the spaces between pieces.
RING_UM = 40.0
#: A hole whose surroundings are tissue by at least this share was tissue. A scanner that skips
#: glass leaves areas whose surroundings are mostly glass.
MIN_TISSUE_SHARE = 0.5
#: Of a large area without data only what lies this near to tissue is taken for tissue, in µm.
REACH_UM = 1000.0


def lost_tissue(missing: BoolArray, tissue: BoolArray, *, pixel_um: float) -> BoolArray:
    """Find areas without data that were tissue.

    Parameters
    ----------
    missing
        (H, W) bool: no data, or black in place of data.
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
    labels, _ = ndimage.label(missing, structure=np.ones((3, 3), dtype=np.bool_))
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        window = _padded(box, reach, missing.shape)
        hole = labels[window] == number
        if _surrounded(hole, missing[window], tissue[window], reach):
            found[window] |= hole
    return np.asarray(found & grow(tissue, REACH_UM / pixel_um), dtype=np.bool_)


def _padded(
    box: tuple[slice, ...], margin: int, shape: tuple[int, ...]
) -> tuple[slice, ...]:
    return tuple(
        slice(max(0, part.start - margin), min(size, part.stop + margin))
        for part, size in zip(box, shape, strict=True)
    )


def _surrounded(hole: AnyArray, missing: AnyArray, tissue: AnyArray, reach: int) -> bool:
    ring = ndimage.binary_dilation(hole, iterations=reach) & ~missing
    seen = int(np.count_nonzero(ring))
    return seen > 0 and np.count_nonzero(ring & tissue) >= MIN_TISSUE_SHARE * seen
