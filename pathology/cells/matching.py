"""Pair the cells of two readings by their centres."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from pathology.types import AnyArray

__all__ = ["MATCH_UM", "match_points"]

#: A found cell and a true one are the same within this distance of their centres, µm.
MATCH_UM = 3.0


def match_points(truth_um: AnyArray, found_um: AnyArray, within_um: float = MATCH_UM) -> AnyArray:
    """Pair points one to one, nearest first.

    Parameters
    ----------
    truth_um, found_um
        (n, 2) and (m, 2), µm.
    within_um
        Largest distance of a pair, µm.

    Returns
    -------
    numpy.ndarray
        (k, 2) int64: rows of the two that belong together.

    Examples
    --------
    >>> first, second = np.array([[0.0, 0], [9, 0]]), np.array([[1.0, 0], [2, 0], [30, 0]])
    >>> match_points(first, second).tolist()
    [[0, 0]]
    """
    if not (len(truth_um) and len(found_um)):
        return np.zeros((0, 2), dtype=np.int64)
    near = cKDTree(truth_um).sparse_distance_matrix(
        cKDTree(found_um), within_um, output_type="ndarray"
    )
    taken: tuple[set[int], set[int]] = (set(), set())
    pairs = []
    for edge in near[np.lexsort((near["j"], near["i"], near["v"]))]:
        i, j = int(edge["i"]), int(edge["j"])
        if i not in taken[0] and j not in taken[1]:
            taken[0].add(i)
            taken[1].add(j)
            pairs.append((i, j))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
