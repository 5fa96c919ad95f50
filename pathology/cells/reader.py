"""The interface of whoever turns tiles into cells: the network's engine, or a fake one in tests."""

from __future__ import annotations

from typing import Protocol

from pathology.cells.table import CellTable
from pathology.tiling.batch import TileBatch
from pathology.tiling.grid import InputSpec

__all__ = ["TileReader"]


class TileReader(Protocol):
    """Read cells from tiles."""

    @property
    def name(self) -> str:
        """Name and version of the model, such as ``her2-cells/0.1.0``."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the weights."""
        ...

    @property
    def device(self) -> str:
        """Device that the work is done on: ``cpu`` or ``cuda:0``."""
        ...

    @property
    def spec(self) -> InputSpec:
        """What the reader wants to see."""
        ...

    @property
    def batch_size(self) -> int:
        """Tiles that the reader takes at once."""
        ...

    def read(self, batch: TileBatch) -> list[CellTable]:
        """Return one table for each tile of the batch: the cells whose centre its core holds.

        The order of cells in a table is fixed: by row, then by column of the centre.
        """
        ...
