"""Which slides belong to one patient, so that they are drawn together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pathology.types import IntArray

__all__ = ["patient_codes"]


def patient_codes(*ids: Sequence[str | None]) -> IntArray:
    """Give every patient a number: slides that share any id are of one patient.

    A case and a patient id may group slides differently (two cases of one patient). Joining both
    errs to the safe side: too few patients make an interval wider, too many make it too narrow.

    Parameters
    ----------
    *ids
        One sequence of n ids for each kind; None where a slide has none. A slide without any id is
        a patient of its own.

    Returns
    -------
    numpy.ndarray
        (n,) int64, 0 to p - 1, in the order of each patient's first slide.

    Examples
    --------
    >>> patient_codes(["c1", "c2", None, None], ["p1", "p1", None, "p2"]).tolist()
    [0, 0, 1, 2]
    """
    n = len(ids[0])
    first_of: dict[tuple[int, str], int] = {}
    leader = list(range(n))

    def lead(slide: int) -> int:
        while leader[slide] != slide:
            leader[slide] = leader[leader[slide]]
            slide = leader[slide]
        return slide

    for kind, names in enumerate(ids):
        for slide, name in enumerate(names):
            if name is not None:
                other = lead(first_of.setdefault((kind, name), slide))
                mine = lead(slide)
                leader[max(mine, other)] = min(mine, other)
    _, codes = np.unique([lead(slide) for slide in range(n)], return_inverse=True)
    return np.asarray(codes, dtype=np.int64)
