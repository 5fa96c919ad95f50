"""The cells of a slide as the rules count them, at the measured scale and beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathology.config import ScoringConfig
from pathology.scoring.bootstrap import Blocks, lay_blocks
from pathology.scoring.clusters import contiguous_clusters
from pathology.scoring.codes import kind_codes
from pathology.scoring.decision import ClusterSizes
from pathology.scoring.evidence import Evidence
from pathology.scoring.guidelines import Guideline
from pathology.scoring.rules import RULE_SETS
from pathology.types import BoolArray, U8Array

__all__ = ["Views", "find_clusters", "make_views"]

#: Beside the measured scale, a pattern with more of the cells than this many floors is taken as
#: present in one population: blocks that are drawn at random do not bring it below the floor.
_SURELY_PRESENT = 5


@dataclass(frozen=True, kw_only=True)
class Views:
    """Hold the blocks of a slide.

    Parameters
    ----------
    blocks
        At the measured scale.
    clusters
        Largest clusters at the measured scale.
    off_scale
        The same blocks at the gains beside it; empty where the scale is taken as exact.
    """

    blocks: Blocks
    clusters: ClusterSizes
    off_scale: tuple[Blocks, ...]


def make_views(evidence: Evidence, guideline: Guideline, params: ScoringConfig) -> Views:
    """Count the cells of a slide by block, at all gains.

    Parameters
    ----------
    evidence
        The cells.
    guideline, params
        As in :func:`~pathology.scoring.rules.apply_rules`.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> from pathology.scoring.guidelines import load_guideline
    >>> place = np.zeros(3, dtype=np.float32)
    >>> evidence = Evidence(x_um=place, y_um=place, intensity=np.array([0, 0, 4], dtype=np.uint8),
    ...                     complete=np.array([False, False, True]), membrane_od=place,
    ...                     tissue_mm2=1.0)
    >>> views = make_views(evidence, load_guideline("asco-cap-breast-2018"), load_config().scoring)
    >>> views.blocks.cells.tolist(), views.clusters.complete_intense
    ([[2, 0, 0, 0, 1]], 1)
    """
    rules = RULE_SETS[guideline.rules]
    grid = lay_blocks(evidence.x_um, evidence.y_um, block_um=params.bootstrap_block_um)
    codes = rules.codes(kind_codes(evidence.intensity, evidence.complete), guideline)
    members, largest = find_clusters(evidence, codes, guideline, params)
    others = [] if evidence.off_scale is None or evidence.n == 0 else list(evidence.off_scale)
    off_scale = []
    for kinds in others:
        seen = rules.codes(kinds, guideline)
        held, _ = find_clusters(evidence, seen, guideline, params, only_rare=True)
        off_scale.append(grid.count(seen, held))
    return Views(
        blocks=grid.count(codes, members),
        clusters=ClusterSizes(**dict(zip(rules.sizes, largest, strict=True))),
        off_scale=tuple(off_scale),
    )


def find_clusters(
    evidence: Evidence,
    codes: U8Array,
    guideline: Guideline,
    params: ScoringConfig,
    *,
    only_rare: bool = False,
) -> tuple[BoolArray, tuple[int, int, int]]:
    """Find the cells in clusters that are large enough, and the largest clusters.

    Parameters
    ----------
    evidence
        The cells.
    codes
        (n,) uint8: columns of the rule set.
    guideline, params
        As in :func:`make_views`.
    only_rare
        Look only where a cluster could decide: of a pattern that is far above the floor, every cell
        is taken as a member.

    Returns
    -------
    members
        (n, 3) bool, one column for each group of the rule set.
    largest
        Cells in the largest cluster of each group.
    """
    rules = RULE_SETS[guideline.rules]
    members = np.zeros((evidence.n, len(rules.clustered)), dtype=np.bool_)
    least = rules.least(guideline, params)
    if least is None:
        return members, (0, 0, 0)
    enough = _SURELY_PRESENT * params.pattern_floor_pct * evidence.n / 100
    largest = [0, 0, 0]
    for column, group in enumerate(rules.clustered):
        rows = np.flatnonzero(np.isin(codes, group))
        if only_rare and guideline.specimen is None and len(rows) > max(enough, least):
            members[rows, column] = True
            continue
        labels = contiguous_clusters(
            evidence.x_um[rows], evidence.y_um[rows], params.cluster_link_um
        )
        sizes = np.bincount(labels)
        members[rows, column] = sizes[labels] >= least
        largest[column] = int(sizes.max(initial=0))
    return members, (largest[0], largest[1], largest[2])
