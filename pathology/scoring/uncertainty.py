"""How sure a decision is: interval, bootstrap shares, exact bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathology.config import ScoringConfig
from pathology.scoring.bootstrap import Blocks, resample
from pathology.scoring.bounds import effective_cells, exact_interval, exact_upper
from pathology.scoring.decision import Decision
from pathology.scoring.guidelines import Guideline
from pathology.scoring.rules import OUTCOMES, classify_many
from pathology.types import AnyArray

__all__ = ["Uncertainty", "assess"]

#: Names of the patterns in the order of their codes, as decisions name them.
_CODES: tuple[str, ...] = (
    "unstained",
    "incomplete_faint",
    "incomplete_moderate_intense",
    "complete_weak_moderate",
    "complete_intense",
)


@dataclass(frozen=True, kw_only=True)
class Uncertainty:
    """Hold how sure a decision is.

    Parameters
    ----------
    lo, hi
        Interval of the deciding fraction, per cent.
    shares
        Share of replicates with each outcome of :data:`~pathology.scoring.rules.OUTCOMES`, in their
        order; None without a bootstrap.
    agreement
        Share of replicates with the decision's own score; None without a bootstrap.
    effective
        Number of independent cells that the slide is worth, for the share of stained cells.
    stained_upper
        One-sided exact upper bound of the share of stained cells, per cent.
    """

    lo: float
    hi: float
    shares: tuple[float, ...] | None
    agreement: float | None
    effective: float
    stained_upper: float


def assess(
    decision: Decision, blocks: Blocks, *, guideline: Guideline, params: ScoringConfig, unseen: int
) -> Uncertainty:
    """Tell how sure a decision is, from the blocks that its cells lie in.

    The interval holds the percentiles of the block bootstrap. Where there are fewer blocks than
    ``bootstrap_min_blocks``, where no replicate differs, and where the fraction is 0 or 1, it is
    widened to the exact interval for the effective number of cells. Both ends are then taken with
    all unseen cells outside, and inside, the deciding fraction.

    Parameters
    ----------
    decision
        What was decided on all cells of the blocks.
    blocks
        At least one block.
    guideline, params
        As in :func:`~pathology.scoring.rules.apply_rules`.
    unseen
        Tumour cells that failed tissue may hold.

    Returns
    -------
    Uncertainty
        Interval, shares and bounds.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> from pathology.scoring.counts import PatternCounts
    >>> from pathology.scoring.decision import ClusterSizes
    >>> from pathology.scoring.guidelines import load_guideline
    >>> from pathology.scoring.rules import apply_rules
    >>> params, guideline = load_config().scoring, load_guideline("asco-cap-breast-2018")
    >>> decision = apply_rules(PatternCounts(unstained=300), guideline=guideline, params=params,
    ...                        clusters=ClusterSizes())
    >>> cells = np.zeros((30, 5), dtype=np.int64)
    >>> cells[:, 0] = 10
    >>> found = assess(decision, Blocks(cells=cells, members=np.zeros((30, 3), dtype=np.int64)),
    ...                guideline=guideline, params=params, unseen=0)
    >>> round(found.effective), round(found.stained_upper, 2)
    (207, 1.44)
    """
    total = decision.total
    columns = [_CODES.index(name) for name in decision.patterns]
    fractions, stained, shares, agreement = _replicates(
        decision, blocks, columns, guideline=guideline, params=params
    )
    n_stained = int(blocks.cells[:, 1:].sum())
    effective = effective_cells(
        blocks.totals,
        correlation=params.intra_block_correlation,
        share=n_stained / total,
        variance=float(stained.var()) if stained.size else 0.0,
    )
    worth = effective_cells(
        blocks.totals,
        correlation=params.intra_block_correlation,
        share=decision.n / total,
        variance=float(fractions.var()) if fractions.size else 0.0,
    )
    lo, hi = _interval(decision, fractions, worth, len(blocks.cells), params)
    upper = exact_upper(
        n_stained / total * effective, effective, confidence=params.ultralow_confidence
    )
    everything = total + unseen
    return Uncertainty(
        lo=100 * min(lo * total, float(decision.n)) / everything,
        hi=min(100.0, 100 * (max(hi * total, float(decision.n)) + unseen) / everything),
        shares=shares,
        agreement=agreement,
        effective=effective,
        stained_upper=100 * (upper * total + unseen) / everything,
    )


def _replicates(
    decision: Decision,
    blocks: Blocks,
    columns: list[int],
    *,
    guideline: Guideline,
    params: ScoringConfig,
) -> tuple[AnyArray, AnyArray, tuple[float, ...] | None, float | None]:
    """Return deciding fractions, stained shares, shares of outcomes, and agreement."""
    if params.bootstrap_replicates == 0:
        return np.zeros(0), np.zeros(0), None, None
    drawn = resample(blocks, replicates=params.bootstrap_replicates, seed=params.bootstrap_seed)
    clustered = drawn.members >= params.cluster_min_cells
    codes = classify_many(drawn.cells, clustered, guideline=guideline, params=params)
    share = np.bincount(codes, minlength=len(OUTCOMES)) / len(codes)
    own = ("null", "ultralow") if decision.score == "0" else ((decision.score or "unresolved"),)
    agreement = sum(float(share[OUTCOMES.index(name)]) for name in own)
    fractions = drawn.cells[:, columns].sum(axis=1) / drawn.totals
    stained = drawn.cells[:, 1:].sum(axis=1) / drawn.totals
    return fractions, stained, tuple(float(part) for part in share), agreement


def _interval(
    decision: Decision, fractions: AnyArray, worth: float, n_blocks: int, params: ScoringConfig
) -> tuple[float, float]:
    """Return the interval of the deciding fraction as shares, without unseen cells."""
    share = decision.n / decision.total
    exact = exact_interval(share * worth, worth, confidence=params.interval)
    if fractions.size == 0 or decision.n in (0, decision.total):
        return exact
    tail = (1 - params.interval) / 2
    lo, hi = (float(end) for end in np.quantile(fractions, (tail, 1 - tail)))
    if n_blocks < params.bootstrap_min_blocks or lo == hi:
        return min(lo, exact[0]), max(hi, exact[1])
    return lo, hi
