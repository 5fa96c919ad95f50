"""Spatial-block bootstrap: how a score varies when other parts of the tumour had been looked at.

Neighbouring cells are alike, so blocks of tissue are resampled, not cells. Blocks lie on a fixed
lattice from the slide's origin. A contiguous cluster is present in a replicate when the replicate
holds enough cells that belong to clusters of the least size in the slide: a block that is drawn
brings its part of the cluster, as often as it is drawn.

Neighbouring blocks are alike as well where staining varies over long distances. So the spread of
the share is measured apart (:mod:`pathology.scoring.spread`), and fewer blocks than there are get
drawn, so that replicates scatter as much as that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathology.scoring.codes import N_PATTERNS
from pathology.types import BoolArray, FloatArray, IntArray, U8Array

__all__ = ["BlockGrid", "Blocks", "lay_blocks", "make_blocks", "resample", "resample_views"]

#: Drawn block numbers held at once: 16 MB.
_DRAWS_AT_ONCE = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Hold the counts of blocks, or of replicates made of them.

    Parameters
    ----------
    cells
        (b, 5) int64: cells of each column of the rule set, weakest first.
    members
        (b, 3) int64: cells in contiguous clusters of each of its groups.
    places
        (b, 2) int64: column and row of each block in the lattice; None for replicates.
    """

    cells: IntArray
    members: IntArray
    places: IntArray | None = None

    @property
    def totals(self) -> IntArray:
        """(b,) int64: cells of each block."""
        return np.asarray(self.cells.sum(axis=1))


@dataclass(frozen=True, kw_only=True)
class BlockGrid:
    """Say which block each cell lies in; blocks without a cell are left out.

    Parameters
    ----------
    index
        (n,) int64: block of each cell.
    places
        (b, 2) int64: column and row of each block, in the order of rows, then columns.
    """

    index: IntArray
    places: IntArray

    def count(self, codes: U8Array, members: BoolArray) -> Blocks:
        """Count cells by block.

        Parameters
        ----------
        codes
            (n,) uint8, 0 to 4, weakest first.
        members
            (n, 3) bool: cells in contiguous clusters.
        """
        b = len(self.places)
        cells = np.bincount(self.index * N_PATTERNS + codes, minlength=b * N_PATTERNS)
        held = [
            np.bincount(self.index[members[:, k]], minlength=b) for k in range(members.shape[1])
        ]
        return Blocks(
            cells=cells.reshape(b, N_PATTERNS).astype(np.int64),
            members=np.column_stack(held).astype(np.int64),
            places=self.places,
        )


def lay_blocks(x_um: FloatArray, y_um: FloatArray, *, block_um: float) -> BlockGrid:
    """Find the block of each cell.

    Parameters
    ----------
    x_um, y_um
        (n,) float: centres in µm from the top left of level 0.
    block_um
        Side of a block in µm.

    Examples
    --------
    >>> lay_blocks(np.array([10.0, 600.0]), np.zeros(2), block_um=500.0).places.tolist()
    [[0, 0], [1, 0]]
    """
    if len(x_um) == 0:
        return BlockGrid(index=np.zeros(0, dtype=np.int64), places=np.zeros((0, 2), dtype=np.int64))
    col = np.floor(x_um.astype(np.float64) / block_um).astype(np.int64)
    row = np.floor(y_um.astype(np.float64) / block_um).astype(np.int64)
    width = int(col.max() - col.min()) + 1
    key = (row - row.min()) * width + (col - col.min())
    keys, index = np.unique(key, return_inverse=True)
    places = np.column_stack((keys % width + col.min(), keys // width + row.min()))
    return BlockGrid(index=index.astype(np.int64), places=places)


def make_blocks(
    x_um: FloatArray, y_um: FloatArray, pattern: U8Array, members: BoolArray, *, block_um: float
) -> Blocks:
    """Count cells by block of tissue; blocks without a cell are left out.

    Parameters
    ----------
    x_um, y_um
        (n,) float: centres in µm from the top left of level 0.
    pattern
        (n,) uint8, 0 to 4, weakest first.
    members
        (n, 3) bool: cells in contiguous clusters.
    block_um
        Side of a block in µm.

    Returns
    -------
    Blocks
        In the order of their place, whatever the order of the cells.

    Examples
    --------
    >>> x = np.array([10, 20, 600], dtype=np.float32)
    >>> blocks = make_blocks(x, x * 0, np.array([0, 4, 1], dtype=np.uint8),
    ...                      np.zeros((3, 3), dtype=bool), block_um=500.0)
    >>> blocks.cells.tolist()
    [[1, 0, 0, 0, 1], [0, 1, 0, 0, 0]]
    """
    return lay_blocks(x_um, y_um, block_um=block_um).count(pattern, members)


def resample(blocks: Blocks, *, replicates: int, seed: int, draws: int | None = None) -> Blocks:
    """Draw blocks with replacement and add up their cells, many times.

    Parameters
    ----------
    blocks
        At least one block.
    replicates
        Number of replicates r, at least 1.
    seed
        Seed of the generator (PCG64): the same seed and blocks give the same replicates.
    draws
        Blocks in a replicate, at least 1; None takes as many as there are.

    Returns
    -------
    Blocks
        One row per replicate.

    Examples
    --------
    >>> blocks = Blocks(cells=np.array([[1, 0, 0, 0, 1]]), members=np.zeros((1, 3), dtype=np.int64))
    >>> resample(blocks, replicates=2, seed=1).cells.tolist()
    [[1, 0, 0, 0, 1], [1, 0, 0, 0, 1]]
    """
    return resample_views([blocks], replicates=replicates, seed=seed, draws=draws)[0]


def resample_views(
    views: Sequence[Blocks], *, replicates: int, seed: int, draws: int | None = None
) -> list[Blocks]:
    """Draw the same blocks of several views of the same tissue.

    Parameters
    ----------
    views
        At least one; the same blocks in the same order, counted at different gains.
    replicates, seed, draws
        As in :func:`resample`.

    Returns
    -------
    list of Blocks
        One for each view; row k of all of them is made of the same blocks.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    b = len(views[0].cells)
    m = b if draws is None else draws
    # Whole numbers below 2^53: exact as floats, whatever order a matrix product adds in.
    content = np.hstack([part for view in views for part in (view.cells, view.members)])
    content = content.astype(np.float64)
    step = max(1, _DRAWS_AT_ONCE // max(b, m))
    parts = []
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        drawn = generator.integers(b, size=(rows, m))
        drawn += np.arange(rows)[:, None] * b
        times = np.bincount(drawn.ravel(), minlength=rows * b).reshape(rows, b)
        parts.append(times.astype(np.float64) @ content)
    joined = np.rint(np.concatenate(parts)).astype(np.int64)
    width = joined.shape[1] // len(views)
    return [
        Blocks(cells=part[:, :N_PATTERNS], members=part[:, N_PATTERNS:])
        for part in (joined[:, k * width : (k + 1) * width] for k in range(len(views)))
    ]
