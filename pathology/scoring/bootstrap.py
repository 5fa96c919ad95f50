"""Spatial-block bootstrap: how a score varies when other parts of the tumour had been looked at.

Neighbouring cells are alike, so blocks of tissue are resampled, not cells. Blocks lie on a fixed
lattice from the slide's origin. A contiguous cluster is present in a replicate when the replicate
holds at least ``cluster_min_cells`` cells that belong to clusters of that size in the slide: a
block that is drawn brings its part of the cluster, as often as it is drawn.

Blocks are taken as independent. Where staining varies over distances that are not small against a
block, neighbouring blocks are alike as well, and the interval is too narrow, though far less so
than one for independent cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathology.scoring.codes import N_PATTERNS
from pathology.types import BoolArray, FloatArray, IntArray, U8Array

__all__ = ["Blocks", "make_blocks", "resample"]

#: Drawn block numbers held at once: 16 MB.
_DRAWS_AT_ONCE = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Hold the counts of blocks, or of replicates made of them.

    Parameters
    ----------
    cells
        (b, 5) int64: cells of each pattern, weakest first.
    members
        (b, 3) int64: cells in contiguous clusters of complete intense, complete, and incomplete
        moderate-intense cells.
    """

    cells: IntArray
    members: IntArray

    @property
    def totals(self) -> IntArray:
        """(b,) int64: cells of each block."""
        return np.asarray(self.cells.sum(axis=1))


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
    if len(x_um) == 0:
        empty = np.zeros((0, N_PATTERNS), dtype=np.int64)
        return Blocks(cells=empty, members=np.zeros((0, members.shape[1]), dtype=np.int64))
    col = np.floor(x_um.astype(np.float64) / block_um).astype(np.int64)
    row = np.floor(y_um.astype(np.float64) / block_um).astype(np.int64)
    width = int(col.max() - col.min()) + 1
    key = (row - row.min()) * width + (col - col.min())
    places, index = np.unique(key, return_inverse=True)
    b = len(places)
    cells = np.bincount(index * N_PATTERNS + pattern, minlength=b * N_PATTERNS)
    held = [
        np.bincount(index[members[:, k]], minlength=b).astype(np.int64)
        for k in range(members.shape[1])
    ]
    return Blocks(
        cells=cells.reshape(b, N_PATTERNS).astype(np.int64), members=np.column_stack(held)
    )


def resample(blocks: Blocks, *, replicates: int, seed: int) -> Blocks:
    """Draw as many blocks as there are, with replacement, and add up their cells, many times.

    Parameters
    ----------
    blocks
        At least one block.
    replicates
        Number of replicates r, at least 1.
    seed
        Seed of the generator (PCG64): the same seed and blocks give the same replicates.

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
    generator = np.random.Generator(np.random.PCG64(seed))
    b = len(blocks.cells)
    content = np.hstack((blocks.cells, blocks.members))
    step = max(1, _DRAWS_AT_ONCE // b)
    parts = []
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        drawn = generator.integers(b, size=(rows, b))
        drawn += np.arange(rows)[:, None] * b
        times = np.bincount(drawn.ravel(), minlength=rows * b).reshape(rows, b)
        parts.append(times @ content)
    joined = np.concatenate(parts)
    return Blocks(cells=joined[:, :N_PATTERNS], members=joined[:, N_PATTERNS:])
