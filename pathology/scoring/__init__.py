"""Guideline rules, tiers, aggregation and uncertainty: from measured cells to a score.

Pure: nothing here reads a slide or a table, and the same cells give the same score. The way in is
:func:`score_evidence` for cells and :func:`score_tiles` for classified tiles;
:func:`apply_rules` is the guideline alone.
"""

from __future__ import annotations

from pathology.scoring.aggregate import h_score, score_evidence
from pathology.scoring.clusters import contiguous_clusters, largest_cluster
from pathology.scoring.codes import (
    counts_from_bins,
    counts_from_codes,
    pattern_codes,
    tile_score,
)
from pathology.scoring.continuous import CellMeasures, ContinuousScores, continuous_scores
from pathology.scoring.counts import PatternCounts
from pathology.scoring.decision import ClusterSizes, Decision
from pathology.scoring.evidence import Evidence
from pathology.scoring.guidelines import (
    SPECIMENS,
    Cutoff,
    Guideline,
    guideline_names,
    load_guideline,
)
from pathology.scoring.provenance import names_clone, provenance_flags
from pathology.scoring.refusals import (
    FocusShares,
    Presence,
    focus_shares,
    grouped_cells,
    judge_focus,
    judge_presence,
)
from pathology.scoring.rules import RULE_SETS, RuleSet, apply_rules, rederive_score
from pathology.scoring.slide_score import TILE_FLAG, SlideScore
from pathology.scoring.tiers import her2_status, her2_tier, ish_reflex
from pathology.scoring.tiles import (
    TILE_CLASSES,
    TileEvidence,
    TileOutputs,
    count_tiles,
    score_tiles,
    tile_patterns,
)

__all__ = [
    "RULE_SETS",
    "SPECIMENS",
    "TILE_CLASSES",
    "TILE_FLAG",
    "CellMeasures",
    "ClusterSizes",
    "ContinuousScores",
    "Cutoff",
    "Decision",
    "Evidence",
    "FocusShares",
    "Guideline",
    "PatternCounts",
    "Presence",
    "RuleSet",
    "SlideScore",
    "TileEvidence",
    "TileOutputs",
    "apply_rules",
    "contiguous_clusters",
    "continuous_scores",
    "count_tiles",
    "counts_from_bins",
    "counts_from_codes",
    "focus_shares",
    "grouped_cells",
    "guideline_names",
    "h_score",
    "her2_status",
    "her2_tier",
    "ish_reflex",
    "judge_focus",
    "judge_presence",
    "largest_cluster",
    "load_guideline",
    "names_clone",
    "pattern_codes",
    "provenance_flags",
    "rederive_score",
    "score_evidence",
    "score_tiles",
    "tile_patterns",
    "tile_score",
]
