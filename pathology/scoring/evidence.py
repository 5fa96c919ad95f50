"""What a slide offers to the rules: its evaluable tumour cells, and what could not be read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pathology.scoring.refusals import Presence
from pathology.scoring.scale import OFF_SCALE_Z
from pathology.types import BoolArray, FloatArray, U8Array

__all__ = ["Evidence"]

_COLUMNS: dict[str, type[np.generic]] = {
    "x_um": np.float32,
    "y_um": np.float32,
    "intensity": np.uint8,
    "complete": np.bool_,
    "membrane_od": np.float32,
}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Hold the evaluable invasive tumour cells of one slide.

    Only cells that count are given: no control tissue, no in-situ carcinoma, no normal epithelium,
    and never cells of another block.

    Parameters
    ----------
    x_um, y_um
        (n,) float32: centres in µm from the top left of level 0.
    intensity
        (n,) uint8: unstained 0, faint 1, weak 2, moderate 3, intense 4.
    complete
        (n,) bool: completely stained membranes.
    membrane_od
        (n,) float32: mean DAB optical density along the whole outline, at least 0.
    tissue_mm2
        Area of all tissue that was to be read, in mm², failed tiles included.
    failed_tissue_mm2
        Part of it that could not be read, in mm².
    n_in_situ_excluded
        Cells of in-situ carcinoma that were left out.
    off_scale
        (4, n) uint8: the kind of each cell (intensity code twice, plus 1 where complete) at the
        gains of :data:`~pathology.scoring.scale.OFF_SCALE_Z`; None where the scale of densities is
        taken as exact.
    presence
        What speaks for tumour beside the number of cells; None where it need not be asked, such as
        where a person drew the tumour.

    Raises
    ------
    ValueError
        If lengths, types or ranges do not fit.

    Examples
    --------
    >>> zero = np.zeros(2, dtype=np.float32)
    >>> Evidence(x_um=zero, y_um=zero, intensity=np.array([0, 4], dtype=np.uint8),
    ...          complete=np.array([False, True]), membrane_od=zero, tissue_mm2=1.0).n
    2
    """

    x_um: FloatArray
    y_um: FloatArray
    intensity: U8Array
    complete: BoolArray
    membrane_od: FloatArray
    tissue_mm2: float
    failed_tissue_mm2: float = 0.0
    n_in_situ_excluded: int = 0
    presence: Presence | None = None
    off_scale: U8Array | None = None

    def __post_init__(self) -> None:
        for name, dtype in _COLUMNS.items():
            column = getattr(self, name)
            if column.shape != (len(self.x_um),) or column.dtype != dtype:
                raise ValueError(
                    f"{name!r} must be {np.dtype(dtype)} of shape ({len(self.x_um)},), "
                    f"not {column.dtype} of shape {column.shape}"
                )
        if not all(np.isfinite(part).all() for part in (self.x_um, self.y_um, self.membrane_od)):
            raise ValueError("positions and densities of cells must be finite")
        if np.any(self.membrane_od < 0):
            raise ValueError("membrane_od cannot be negative")
        areas = (self.tissue_mm2, self.failed_tissue_mm2)
        if not all(math.isfinite(area) and area >= 0 for area in areas):
            raise ValueError(f"areas must be finite and at least 0 mm², not {areas}")
        kinds = self.off_scale
        if kinds is not None and (
            kinds.dtype != np.uint8 or kinds.shape != (len(OFF_SCALE_Z), len(self.x_um))
        ):
            raise ValueError(f"off_scale must be uint8, {len(OFF_SCALE_Z)} rows of all cells")
        if self.n_in_situ_excluded < 0:
            raise ValueError("n_in_situ_excluded cannot be negative")
        if self.presence is not None and self.presence.n_tumour != len(self.x_um):
            raise ValueError("presence must be about the same tumour cells")

    @property
    def n(self) -> int:
        """Number of evaluable tumour cells."""
        return len(self.x_um)

    @property
    def read_mm2(self) -> float:
        """Area of the tissue that was read, in mm²."""
        return max(0.0, self.tissue_mm2 - self.failed_tissue_mm2)
