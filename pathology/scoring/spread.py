"""How far the share of a slide scatters about that of its tumour, when near places are alike.

The variance between blocks of tissue is too small where blocks are alike over longer distances: the
block bootstrap's interval then misses the truth far too often. What is missing shows in the long
waves: the residuals of the blocks (their stained cells less the slide's share of their cells) are
held against the five longest cosine waves that fit the tumour. Under independence each such sum has
the variance between blocks; where blocks are alike, more. The mean of the five squares estimates
the variance of the slide's share, and its half-width takes Student's t with five degrees of freedom
(Müller 2007 and Sun 2013 do so for time series; waves for areas are our extension). Measured
coverage: docs/guidelines.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtri, stdtrit

from pathology.scoring.bootstrap import Blocks
from pathology.types import AnyArray

__all__ = ["Spread", "measure_spread"]

#: Waves that the variance is estimated from. More are steadier and miss more of a long correlation.
N_WAVES: Final = 5
#: Fewer blocks cannot tell five waves apart from each other.
MIN_BLOCKS: Final = 12
#: The interval is never narrower than this share of the one for independent blocks: five squares
#: are small by chance now and then.
_NARROWEST: Final = 2 / 3
#: A wave of less than this weight does not vary over the blocks.
_FLAT: Final = 1e-9


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Say how a share scatters.

    Parameters
    ----------
    own
        Variance of the share in a bootstrap that draws as many blocks as there are.
    variance
        Variance of the share, with what blocks have in common.
    draws
        Blocks to draw, so that replicates have this variance.
    stretch
        Factor on the deviations of the replicates, for the interval: Student's t over the normal
        quantile, because the variance is itself estimated (Hesterberg 2015 expands percentiles for
        this reason).
    """

    own: float
    variance: float
    draws: int
    stretch: float


def measure_spread(blocks: Blocks, columns: tuple[int, ...], *, level: float) -> Spread:
    """Measure how the share of some columns scatters.

    Parameters
    ----------
    blocks
        At least one, with their places; without places they are taken as independent.
    columns
        Columns of ``cells`` that are counted.
    level
        Confidence of the interval, such as 0.95.

    Returns
    -------
    Spread
        Where nothing varies, the variance is 0 and all blocks are drawn.

    Examples
    --------
    >>> alike = np.array([[90, 10, 0, 0, 0]] * 8)
    >>> none = np.zeros((8, 3), dtype=np.int64)
    >>> measure_spread(Blocks(cells=alike, members=none), (1,), level=0.95).draws
    8
    >>> cells = np.array([[90, 10, 0, 0, 0], [80, 20, 0, 0, 0]] * 4)
    >>> found = measure_spread(Blocks(cells=cells, members=none), (1,), level=0.95)
    >>> found.draws, round(found.stretch, 2)
    (7, 1.21)
    """
    totals = blocks.totals.astype(np.float64)
    stained = blocks.cells[:, list(columns)].sum(axis=1).astype(np.float64)
    n, b = float(totals.sum()), len(totals)
    residual = stained - stained.sum() / n * totals
    own = float((residual**2).sum()) / n**2
    tail = (1 - level) / 2
    if b < 2 or own <= 0:
        return Spread(own=own, variance=own, draws=b, stretch=1.0)
    # Blocks at the edge hold few cells: as many equal blocks would tell as much.
    worth = max(2.0, float(n**2 / (totals**2).sum()))
    between = own * worth / (worth - 1)
    variance, half = between, -float(stdtrit(worth - 1, tail)) * between**0.5
    along = None if blocks.places is None else _along_waves(residual, totals, blocks.places)
    if along is not None:
        waves = own * along
        variance = max(between, waves)
        half = max(-float(stdtrit(N_WAVES, tail)) * waves**0.5, _NARROWEST * half)
    return Spread(
        own=own,
        variance=variance,
        draws=max(1, round(b * own / variance)),
        stretch=half / (-float(ndtri(tail)) * variance**0.5),
    )


def _along_waves(residual: AnyArray, totals: AnyArray, places: AnyArray) -> float | None:
    """Return the mean square of the residuals along long waves, over that of independent blocks."""
    if len(totals) < MIN_BLOCKS:
        return None
    corner = places.min(axis=0)
    size = places.max(axis=0) - corner + 1
    where = (places - corner + 0.5) / size
    squares: list[float] = []
    for j, k in _waves(int(size[0]), int(size[1])):
        wave = np.cos(np.pi * j * where[:, 0]) * np.cos(np.pi * k * where[:, 1])
        # The residuals add up to zero, so a constant says nothing.
        wave = wave - (totals * wave).sum() / totals.sum()
        weight = float((residual**2 * wave**2).sum()) / float((residual**2).sum())
        if weight > _FLAT:
            squares.append(
                float((residual * wave).sum()) ** 2 / (weight * float((residual**2).sum()))
            )
        if len(squares) == N_WAVES:
            return float(np.mean(squares))
    return None


def _waves(width: int, height: int) -> list[tuple[int, int]]:
    """List waves that the lattice can tell apart, longest first; without the constant."""
    most = 2 * N_WAVES
    waves = [(j, k) for j in range(min(width, most)) for k in range(min(height, most)) if j or k]
    return sorted(waves, key=lambda wave: ((wave[0] / width) ** 2 + (wave[1] / height) ** 2, wave))
