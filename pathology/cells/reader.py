"""The interface of models: what reads cells from tiles, and what classifies whole tiles.

Both kinds tell who they are in the same way (:class:`Model`), are given the same batches, and are
loaded, scored and exported alike; they differ in the one method that does the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from pathology.cells.table import CellTable
from pathology.scoring.tiles import NO_TUMOUR, TILE_CLASSES, TileOutputs
from pathology.tiling.batch import TileBatch
from pathology.tiling.grid import InputSpec
from pathology.tiling.windows import WindowPlan
from pathology.timing import ReaderUsage
from pathology.types import AnyArray, FloatArray

__all__ = ["AnyReader", "Model", "TileCalls", "TileClassifier", "TileReader"]


class Model(Protocol):
    """Say who a model is and what it wants to see."""

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
        """Windows that the reader takes at once."""
        ...

    @property
    def windows(self) -> WindowPlan:
        """How the reader wants tiles to be joined into windows."""
        ...

    @property
    def streams(self) -> int:
        """Batches that may be given to the reader at the same time, each in a thread of its own."""
        ...

    @property
    def usage(self) -> ReaderUsage:
        """What the model has spent since it was loaded."""
        ...


class TileReader(Model, Protocol):
    """Read cells from tiles."""

    def read(self, batch: TileBatch) -> list[CellTable]:
        """Return one table for each tile of the batch: the cells whose centre its core holds.

        The order of cells in a table is fixed: by row, then by column of the centre.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class TileCalls:
    """Hold what a classifier said of n tiles.

    Parameters
    ----------
    outputs
        What kind of classes these are.
    probabilities
        (n, k) float32: of each class of ``TILE_CLASSES[outputs]``; rows sum to 1.

    Raises
    ------
    ValueError
        If shape, type or values do not fit.

    Examples
    --------
    >>> shares = np.array([[0.7, 0.3, 0, 0, 0], [0.4, 0.1, 0.2, 0.3, 0]], dtype=np.float32)
    >>> TileCalls(outputs="scores", probabilities=shares).codes(tumour_min=0.5).tolist()
    [0, 3]
    """

    outputs: TileOutputs
    probabilities: FloatArray

    def __post_init__(self) -> None:
        wanted = len(TILE_CLASSES[self.outputs])
        values = self.probabilities
        if values.ndim != 2 or values.shape[1] != wanted or values.dtype != np.float32:
            raise ValueError(f"probabilities must be (n, {wanted}) float32")
        if not np.allclose(values.sum(axis=1), 1.0, atol=1e-3):
            raise ValueError("the probabilities of a tile must sum to 1")

    @property
    def n(self) -> int:
        """Number of tiles."""
        return len(self.probabilities)

    def codes(self, *, tumour_min: float) -> AnyArray:
        """Name the class of each tile.

        A tile holds tumour where the classes with tumour reach ``tumour_min`` together; it is then
        called the most probable of them, of equal ones the stronger.

        Parameters
        ----------
        tumour_min
            Probability, 0 to 1: ``cells.tumour_min`` of the configuration.

        Returns
        -------
        numpy.ndarray
            (n,) int64: index into ``TILE_CLASSES[outputs]``.
        """
        tumour = self.probabilities[:, NO_TUMOUR + 1 :]
        # From the strongest down, so that of equal ones the first is the stronger.
        best = tumour.shape[1] - np.argmax(tumour[:, ::-1], axis=1)
        enough = 1.0 - self.probabilities[:, NO_TUMOUR].astype(np.float64) >= tumour_min
        return np.where(enough, best, NO_TUMOUR).astype(np.int64)


@runtime_checkable
class TileClassifier(Model, Protocol):
    """Classify whole tiles; its ``spec`` names the side of a tile and has no halo."""

    @property
    def outputs(self) -> TileOutputs:
        """What the classes are: ``patterns`` or ``scores``."""
        ...

    def classify(self, batch: TileBatch) -> TileCalls:
        """Return what each tile of the batch shows, in the order of its tiles."""
        ...


#: Either kind of model.
AnyReader = TileReader | TileClassifier
