"""The table of cells: one column per property, one row per cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from pathology.types import AnyArray, FloatArray, IntArray, U8Array

__all__ = [
    "CELL_CLASSES",
    "INTENSITIES",
    "N_RAYS",
    "OD_STEP",
    "PATTERNS",
    "RADIUS_STEP_UM",
    "CellTable",
]

#: Rays from the centre to the outline; ray k points to the angle 2πk/32, from +x towards +y (down).
N_RAYS = 32
#: Outline radii are stored as uint8 multiples of this many µm (0 to 51 µm).
RADIUS_STEP_UM = 0.2
#: Ray optical densities are stored as uint8 multiples of this (0 to 2.55).
OD_STEP = 0.01
#: Classes of cells; only ``tumour`` enters a denominator.
CELL_CLASSES: tuple[str, ...] = (
    "tumour",
    "in_situ",
    "normal_epithelium",
    "lymphoid",
    "stroma",
    "other",
)
#: Classes of membrane intensity, weakest first.
INTENSITIES: tuple[str, ...] = ("unstained", "faint", "weak", "moderate", "intense")
#: Membrane patterns, weakest first; the order of the ``pattern`` codes.
PATTERNS: tuple[str, ...] = (
    "unstained",
    "incomplete_faint",
    "incomplete_moderate_intense",
    "complete_weak_moderate",
    "complete_intense",
)


@dataclass(frozen=True, kw_only=True)
class CellTable:
    """Hold cells as arrays of equal length n.

    Parameters
    ----------
    tile_id
        (n,) int64: the tile whose core holds the centre.
    x_um, y_um
        (n,) float32: centre in µm from the top left of level 0.
    area_um2
        (n,) float32: area inside the outline.
    cell_class
        (n,) uint8: index into :data:`CELL_CLASSES`.
    tumour_probability
        (n,) float32, 0 to 1.
    outline_r
        (n, 32) uint8: distance from the centre to the outline along each ray, in 0.2 µm.
    ray_od
        (n, 32) uint8: DAB optical density at the outline along each ray, in 0.01 OD, as measured.
    cytoplasm_od
        (n,) float32: median DAB optical density of the cell's own cytoplasm.
    membrane_od
        (n,) float32: mean ray OD over the whole outline, stained or not, above the limit of blank.
    membrane_od_stained
        (n,) float32: mean ray OD over the stained rays, above the limit of blank; 0 where none is
        stained.
    membrane_completeness
        (n,) float32, 0 to 1: share of stained rays.
    intensity
        (n,) uint8: index into :data:`INTENSITIES`.
    complete
        (n,) bool.
    pattern
        (n,) uint8: index into :data:`PATTERNS`.

    Raises
    ------
    ValueError
        If lengths, shapes or dtypes do not fit.

    Examples
    --------
    >>> CellTable.empty().n
    0
    """

    tile_id: IntArray
    x_um: FloatArray
    y_um: FloatArray
    area_um2: FloatArray
    cell_class: U8Array
    tumour_probability: FloatArray
    outline_r: U8Array
    ray_od: U8Array
    cytoplasm_od: FloatArray
    membrane_od: FloatArray
    membrane_od_stained: FloatArray
    membrane_completeness: FloatArray
    intensity: U8Array
    complete: AnyArray
    pattern: U8Array

    def __post_init__(self) -> None:
        n = len(self.tile_id)
        for name, dtype in _DTYPES.items():
            column = getattr(self, name)
            shape = (n, N_RAYS) if name in ("outline_r", "ray_od") else (n,)
            if column.shape != shape or column.dtype != dtype:
                raise ValueError(
                    f"cell column {name!r} must be {np.dtype(dtype)} of shape {shape}, "
                    f"not {column.dtype} of shape {column.shape}"
                )

    @property
    def n(self) -> int:
        """Number of cells."""
        return len(self.tile_id)

    @property
    def is_tumour(self) -> AnyArray:
        """(n,) bool: cells that enter the denominator."""
        return np.asarray(self.cell_class == 0)

    def take(self, rows: AnyArray) -> CellTable:
        """Return the cells that an index or boolean array selects, in its order."""
        return CellTable(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})

    @classmethod
    def empty(cls) -> CellTable:
        """Return a table without cells."""
        return cls(
            **{
                name: np.zeros(
                    (0, N_RAYS) if name in ("outline_r", "ray_od") else (0,), dtype=dtype
                )
                for name, dtype in _DTYPES.items()
            }
        )

    @classmethod
    def concat(cls, tables: Sequence[CellTable]) -> CellTable:
        """Join tables, in order; no table gives an empty one."""
        if not tables:
            return cls.empty()
        return cls(
            **{
                item.name: np.concatenate([getattr(table, item.name) for table in tables])
                for item in fields(cls)
            }
        )


_DTYPES: dict[str, type[np.generic]] = {
    "tile_id": np.int64,
    "x_um": np.float32,
    "y_um": np.float32,
    "area_um2": np.float32,
    "cell_class": np.uint8,
    "tumour_probability": np.float32,
    "outline_r": np.uint8,
    "ray_od": np.uint8,
    "cytoplasm_od": np.float32,
    "membrane_od": np.float32,
    "membrane_od_stained": np.float32,
    "membrane_completeness": np.float32,
    "intensity": np.uint8,
    "complete": np.bool_,
    "pattern": np.uint8,
}
