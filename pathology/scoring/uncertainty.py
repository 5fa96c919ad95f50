"""How sure a decision is: interval, bootstrap shares, exact bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathology.config import ScoringConfig
from pathology.scoring.bootstrap import Blocks, resample_views
from pathology.scoring.bounds import effective_cells, exact_interval, exact_upper
from pathology.scoring.decision import Decision
from pathology.scoring.guidelines import Guideline
from pathology.scoring.rules import OUTCOMES, RULE_SETS, classify_many, deciding_columns
from pathology.scoring.scale import CENTRE_WEIGHT, OFF_SCALE_WEIGHTS, weighted_quantiles
from pathology.scoring.spread import Spread, measure_spread
from pathology.types import AnyArray, BoolArray

__all__ = ["Uncertainty", "assess"]

#: Columns of stained cells, in every rule set.
_STAINED = (1, 2, 3, 4)


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
    scale_agreement
        Weight of the gains at which the whole slide has the decision's own score: what the scale of
        densities alone does to it. 1 where only one gain was looked at.
    effective
        Number of independent cells that the slide is worth, for the share of stained cells.
    stained_upper
        One-sided exact upper bound of the share of stained cells, per cent; the largest over the
        gains that were looked at.
    stained_off_scale
        Whether a cell is stained at one of the gains beside the middle.
    """

    lo: float
    hi: float
    shares: tuple[float, ...] | None
    agreement: float | None
    scale_agreement: float
    effective: float
    stained_upper: float
    stained_off_scale: bool = False


def assess(
    decision: Decision,
    blocks: Blocks,
    *,
    guideline: Guideline,
    params: ScoringConfig,
    unseen: int,
    off_scale: Sequence[Blocks] = (),
) -> Uncertainty:
    """Tell how sure a decision is, from the blocks that its cells lie in.

    The interval holds percentiles of the block bootstrap (:mod:`pathology.scoring.spread`), over
    all gains of the scale by their weights (:mod:`pathology.scoring.scale`). Where there are fewer
    blocks than ``bootstrap_min_blocks``, where no replicate differs, and where the fraction is 0 or
    1, it is widened to the exact interval for the effective number of cells. Both ends are then
    taken with all unseen cells outside, and inside, the deciding fraction.

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
    off_scale
        The same blocks at the gains of :data:`~pathology.scoring.scale.OFF_SCALE_Z`; empty where
        the scale is taken as exact.

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
    views = [blocks, *off_scale]
    weights = np.array([CENTRE_WEIGHT, *OFF_SCALE_WEIGHTS] if off_scale else [1.0])
    columns = deciding_columns(decision.patterns, guideline)
    spread = measure_spread(blocks, columns, level=params.interval)
    drawn = _draw(views, spread, params)
    codes = [
        _classify(view, guideline, params, scale=len(blocks.cells) / spread.draws) for view in drawn
    ]
    shares = _shares(codes, weights)
    whole = [_classify(_sum(view), guideline, params, scale=1.0) for view in views]
    at_scale = _shares(whole, weights)
    lo, hi = _interval(decision, blocks, drawn, columns, spread, weights, params)
    everything, total = decision.total + unseen, decision.total
    bounds = [_stained_bound(view, params) for view in views]
    upper = max(bound for bound, _ in bounds)
    return Uncertainty(
        lo=100 * min(lo * total, float(decision.n)) / everything,
        hi=min(100.0, 100 * (max(hi * total, float(decision.n)) + unseen) / everything),
        shares=None if shares is None else tuple(float(part) for part in shares),
        agreement=None if shares is None else _own(decision, shares),
        scale_agreement=1.0 if at_scale is None else _own(decision, at_scale),
        effective=bounds[0][1],
        stained_upper=100 * (upper * total + unseen) / everything,
        stained_off_scale=any(bool(view.cells[:, 1:].any()) for view in off_scale),
    )


def _draw(views: Sequence[Blocks], spread: Spread, params: ScoringConfig) -> list[Blocks]:
    if params.bootstrap_replicates == 0:
        return []
    return resample_views(
        views,
        replicates=params.bootstrap_replicates,
        seed=params.bootstrap_seed,
        draws=spread.draws,
    )


def _sum(blocks: Blocks) -> Blocks:
    return Blocks(
        cells=blocks.cells.sum(axis=0, keepdims=True),
        members=blocks.members.sum(axis=0, keepdims=True),
    )


def _classify(
    drawn: Blocks, guideline: Guideline, params: ScoringConfig, *, scale: float
) -> AnyArray:
    """Return the outcome of each row; a row of fewer blocks holds fewer cells of each cluster."""
    least = RULE_SETS[guideline.rules].least(guideline, params)
    clustered: BoolArray = np.zeros(drawn.members.shape, dtype=np.bool_)
    if least is not None:
        clustered = (drawn.members * scale >= least) & (drawn.members > 0)
    return classify_many(drawn.cells, clustered, guideline=guideline, params=params)


def _shares(codes: Sequence[AnyArray], weights: AnyArray) -> AnyArray | None:
    """Return the weight of each outcome; None without replicates."""
    if not codes:
        return None
    held = [np.bincount(part, minlength=len(OUTCOMES)) / len(part) for part in codes]
    return np.asarray(weights @ np.array(held))


def _own(decision: Decision, shares: AnyArray) -> float:
    own = ("null", "ultralow") if decision.score == "0" else ((decision.score or "unresolved"),)
    return sum(float(shares[OUTCOMES.index(name)]) for name in own)


def _stained_bound(blocks: Blocks, params: ScoringConfig) -> tuple[float, float]:
    """Return the upper bound of the stained share, and the effective number of cells."""
    spread = measure_spread(blocks, _STAINED, level=params.interval)
    share = float(blocks.cells[:, 1:].sum() / blocks.cells.sum())
    effective = effective_cells(
        blocks.totals,
        correlation=params.intra_block_correlation,
        share=share,
        variance=spread.variance,
    )
    bound = exact_upper(share * effective, effective, confidence=params.ultralow_confidence)
    return bound, effective


def _stretched(drawn: Blocks, columns: tuple[int, ...], spread: Spread) -> AnyArray:
    """Return the fraction of each replicate, farther from their median where that is uncertain."""
    fractions = drawn.cells[:, list(columns)].sum(axis=1) / drawn.totals
    middle = np.median(fractions)
    return np.asarray(np.clip(middle + spread.stretch * (fractions - middle), 0.0, 1.0))


def _interval(
    decision: Decision,
    blocks: Blocks,
    drawn: Sequence[Blocks],
    columns: tuple[int, ...],
    spread: Spread,
    weights: AnyArray,
    params: ScoringConfig,
) -> tuple[float, float]:
    """Return the interval of the deciding fraction as shares, without unseen cells."""
    share = decision.n / decision.total
    worth = effective_cells(
        blocks.totals,
        correlation=params.intra_block_correlation,
        share=share,
        variance=spread.variance,
    )
    exact = exact_interval(share * worth, worth, confidence=params.interval)
    if not drawn:
        return exact
    fractions = [_stretched(view, columns, spread) for view in drawn]
    held = np.repeat(weights, [len(part) for part in fractions])
    tail = (1 - params.interval) / 2
    lo, hi = weighted_quantiles(np.concatenate(fractions), held, (tail, 1 - tail))
    few = len(blocks.cells) < params.bootstrap_min_blocks
    if few or lo == hi or decision.n in (0, decision.total):
        return min(lo, exact[0]), max(hi, exact[1])
    return lo, hi
