"""Where tissue is, as a coarse mask in the level-0 frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathology.geometry import Box0, Spacing
from pathology.types import BoolArray

__all__ = ["TissueMask"]


@dataclass(frozen=True, kw_only=True)
class TissueMask:
    """Hold a boolean mask whose pixels tile ``box`` exactly.

    Parameters
    ----------
    mask
        (H, W) bool, True on tissue (controls, excluded areas and artefacts taken out).
    box
        The level-0 box that the mask covers; mask pixel (row, col) covers the rectangle from
        ``box.x + col * box.width / W`` (and likewise for rows).
    spacing
        Size of a level-0 pixel in µm.

    Raises
    ------
    ValueError
        If the mask is not two-dimensional and boolean.

    Examples
    --------
    >>> import numpy as np
    >>> mask = TissueMask(mask=np.array([[True, False]]), box=Box0(x=0, y=0, width=200, height=100),
    ...                   spacing=Spacing(x=10.0, y=10.0))
    >>> mask.area_mm2
    1.0
    >>> mask.fraction(Box0(x=50, y=0, width=100, height=100))
    0.5
    """

    mask: BoolArray
    box: Box0
    spacing: Spacing

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != np.bool_:
            raise ValueError("a tissue mask is a two-dimensional array of booleans")

    @property
    def pixel_area_mm2(self) -> float:
        """Area of one mask pixel in mm²."""
        return self.box.area * self.spacing.area_um2 / self.mask.size / 1e6

    @property
    def area_mm2(self) -> float:
        """Area of tissue in mm²."""
        return float(np.count_nonzero(self.mask)) * self.pixel_area_mm2

    def sample(self, box: Box0) -> BoolArray:
        """Return the mask pixels that a box touches, at least one row and column of them if any.

        Parameters
        ----------
        box
            Level-0 pixels; parts outside the mask's box are left out.

        Returns
        -------
        numpy.ndarray
            (h, w) bool, possibly of size 0 where nothing overlaps.
        """
        common = self.box.intersection(box)
        if common is None:
            return np.zeros((0, 0), dtype=np.bool_)
        height, width = self.mask.shape
        x0 = (common.x - self.box.x) * width // self.box.width
        y0 = (common.y - self.box.y) * height // self.box.height
        x1 = -((self.box.x - common.right) * width // self.box.width)
        y1 = -((self.box.y - common.bottom) * height // self.box.height)
        return self.mask[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]

    def fraction(self, box: Box0) -> float:
        """Return the share (0 to 1) of mask pixels under ``box`` that are tissue; 0 outside."""
        part = self.sample(box)
        return float(part.mean()) if part.size else 0.0
