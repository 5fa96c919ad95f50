"""Contiguous clusters: cells that lie so close together that they make one population."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from pathology.types import AnyArray, FloatArray, IntArray

__all__ = ["contiguous_clusters", "largest_cluster"]

#: Cells that are joined at once: bounds the memory for pairs of neighbours to some tens of MB.
_SLAB_CELLS = 50_000


def contiguous_clusters(x_um: FloatArray, y_um: FloatArray, link_um: float) -> IntArray:
    """Label cells that are joined by a chain of neighbours.

    Parameters
    ----------
    x_um, y_um
        (n,) float: centres in µm, finite.
    link_um
        Two cells are neighbours when their centres are at most this far apart, in µm.

    Returns
    -------
    numpy.ndarray
        (n,) int64: label of each cell's cluster, 0 to the number of clusters less 1; numbered by
        the first cell of each.

    Raises
    ------
    ValueError
        If lengths differ, a position is not finite, or ``link_um`` is not above 0.

    Examples
    --------
    >>> x = np.array([0.0, 100.0, 10.0, 20.0], dtype=np.float32)
    >>> contiguous_clusters(x, np.zeros(4, dtype=np.float32), 12.0).tolist()
    [0, 1, 0, 0]
    """
    points = np.column_stack((x_um, y_um)).astype(np.float64)
    if not np.isfinite(points).all():
        raise ValueError("positions of cells must be finite")
    if not link_um > 0:
        raise ValueError(f"link_um must be above 0, not {link_um}")
    n = len(points)
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    order = np.argsort(points[:, 0], kind="stable")
    edges = [order[pair] for pair in _slab_edges(points[order], link_um)]
    _, labels = _components(np.concatenate(edges), n)
    # Numbers by first appearance, so that they do not depend on how the graph was walked.
    first = _first_rows(labels)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[labels]


def largest_cluster(labels: IntArray) -> int:
    """Return the number of cells in the largest cluster; 0 without cells.

    Examples
    --------
    >>> largest_cluster(np.array([0, 1, 0, 0]))
    3
    """
    return int(np.bincount(labels).max()) if labels.size else 0


def _first_rows(labels: AnyArray) -> IntArray:
    """Return (k,) int64: the first row of each label 0 to k - 1."""
    first = np.empty(int(labels.max()) + 1, dtype=np.int64)
    # Of values written to one place the last one stays.
    first[labels[::-1]] = np.arange(len(labels))[::-1]
    return first


def _components(edges: AnyArray, n: int) -> tuple[int, AnyArray]:
    ones = np.ones(len(edges), dtype=np.int8)
    graph = coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(n, n))
    count, labels = connected_components(graph, directed=False)
    return int(count), np.asarray(labels)


def _slab_edges(points: AnyArray, link_um: float) -> Iterator[AnyArray]:
    """Yield edges (m, 2) that join what is joined, at most one per cell and slab.

    ``points`` are sorted by x. Each slab also holds the cells within one link to its right, so
    every pair of neighbours lies in the slab of its left cell.
    """
    x = points[:, 0]
    for start in range(0, len(points), _SLAB_CELLS):
        end = min(start + _SLAB_CELLS, len(points))
        stop = int(np.searchsorted(x, x[end - 1] + link_um, side="right"))
        # Sliding-midpoint trees are much faster to build, and cells are spread evenly enough.
        tree = cKDTree(points[start:stop], balanced_tree=False, compact_nodes=False)
        pairs = tree.query_pairs(link_um, output_type="ndarray")
        _, labels = _components(pairs, stop - start)
        first = _first_rows(labels)
        yield start + np.column_stack((np.arange(stop - start), first[labels]))
