"""The truth of every cell of a synthetic picture."""

from __future__ import annotations

from dataclasses import dataclass, fields

from pathology.types import AnyArray, BoolArray, FloatArray, U8Array

__all__ = ["FieldCells"]


@dataclass(frozen=True, kw_only=True)
class FieldCells:
    """Hold the true cells of a field, as arrays of one length n.

    Parameters
    ----------
    x_px, y_px
        (n,) float32: centre of the nucleus (of the cell where it has none in the plane), in pixels
        of the field; the first pixel spans 0 to 1, so its middle is 0.5.
    cell_class
        (n,) uint8: index into ``pathology.cells.CELL_CLASSES``.
    outline_r_um
        (n, 32) float32: distance from the centre to the cell's outline along each ray, µm; ray k
        points to 2πk/32, from +x towards +y.
    ray_od
        (n, 32) float32: DAB OD of the membrane that is seen along each ray; 0 where unstained.
    completeness, membrane_od
        (n,) float32: share of stained rays, and their mean OD.
    pattern
        (n,) uint8: index into ``pathology.cells.PATTERNS``.
    visible
        (n,) bool: a reader could find it: a nucleus in the plane, or a stained membrane.
    """

    x_px: FloatArray
    y_px: FloatArray
    cell_class: U8Array
    outline_r_um: FloatArray
    ray_od: FloatArray
    completeness: FloatArray
    membrane_od: FloatArray
    pattern: U8Array
    visible: BoolArray

    def __post_init__(self) -> None:
        lengths = {len(getattr(self, item.name)) for item in fields(self)}
        if len(lengths) > 1:
            raise ValueError(f"columns of cells must have one length, not {sorted(lengths)}")

    @property
    def n(self) -> int:
        """Number of cells."""
        return len(self.x_px)

    def take(self, rows: AnyArray) -> FieldCells:
        """Return the cells that an index or boolean array selects."""
        return FieldCells(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})
