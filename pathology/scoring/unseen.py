"""Tumour cells that nobody saw: tissue that could not be read, taken at its extremes."""

from __future__ import annotations

import math
from dataclasses import replace

from pathology.config import ScoringConfig
from pathology.scoring.counts import PatternCounts
from pathology.scoring.decision import ClusterSizes
from pathology.scoring.evidence import Evidence
from pathology.scoring.guidelines import Guideline
from pathology.scoring.rules import apply_rules

__all__ = ["scores_with_unseen", "unseen_cells"]

#: One count of each pattern that all unseen cells might show, weakest first.
_EXTREMES: tuple[str, ...] = (
    "unstained",
    "faint_incomplete",
    "moderate_incomplete",
    "moderate_complete",
    "intense_complete",
)


def unseen_cells(evidence: Evidence, params: ScoringConfig) -> int:
    """Return how many tumour cells the failed tissue may hold at most.

    The density is the larger of the one observed over all tissue that was read and
    ``unseen_density_per_mm2``: a failed tile may be nothing but tumour, and packed carcinoma cells
    of 12 to 15 µm make 5,000 to 8,000 per mm².

    Parameters
    ----------
    evidence
        Cells, tissue and failed tissue.
    params
        ``unseen_density_per_mm2``.

    Returns
    -------
    int
        Cells, rounded up; 0 where nothing failed.

    Examples
    --------
    >>> import numpy as np
    >>> from pathology.config import load_config
    >>> none = np.zeros(0, dtype=np.float32)
    >>> evidence = Evidence(x_um=none, y_um=none, intensity=none.astype(np.uint8),
    ...                     complete=none.astype(bool), membrane_od=none, tissue_mm2=2.0,
    ...                     failed_tissue_mm2=0.5)
    >>> unseen_cells(evidence, load_config().scoring)
    2500
    """
    observed = evidence.n / evidence.read_mm2 if evidence.read_mm2 > 0 else 0.0
    density = max(observed, params.unseen_density_per_mm2)
    return math.ceil(evidence.failed_tissue_mm2 * density)


def scores_with_unseen(
    counts: PatternCounts,
    unseen: int,
    *,
    guideline: Guideline,
    params: ScoringConfig,
    clusters: ClusterSizes,
) -> frozenset[str | None]:
    """Score the slide as if all unseen cells showed one pattern, for each pattern.

    The unseen cells may touch each other and the largest cluster that was seen.

    Parameters
    ----------
    counts
        Cells that were seen.
    unseen
        Cells that were not.
    guideline, params, clusters
        As in :func:`~pathology.scoring.rules.apply_rules`.

    Returns
    -------
    frozenset
        The scores that are possible.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> from pathology.scoring.guidelines import load_guideline
    >>> found = scores_with_unseen(PatternCounts(unstained=10_000), 100, clusters=ClusterSizes(),
    ...                            params=load_config().scoring,
    ...                            guideline=load_guideline("asco-cap-breast-2018"))
    >>> sorted(found)
    ['0', '1+', '2+']
    """
    found = set()
    for name in _EXTREMES:
        decision = apply_rules(
            replace(counts, **{name: getattr(counts, name) + unseen}),
            guideline=guideline,
            params=params,
            clusters=_with_more(clusters, name, unseen),
        )
        found.add(decision.score)
    return frozenset(found)


def _with_more(clusters: ClusterSizes, name: str, n: int) -> ClusterSizes:
    """Let n more cells of a kind join the largest clusters of what they are."""
    intense, complete = n * (name == "intense_complete"), n * name.endswith("_complete")
    level_3, level_2 = intense, n * name.startswith(("moderate", "intense"))
    return ClusterSizes(
        complete_intense=clusters.complete_intense + intense,
        complete_weak_moderate=clusters.complete + complete,
        incomplete_moderate_intense=clusters.incomplete_moderate_intense
        + n * (name == "moderate_incomplete"),
        level_1=clusters.level_1 + n * (name != "unstained"),
        level_2=clusters.level_2 + level_2,
        level_3=clusters.level_3 + level_3,
    )
