"""Guideline rules, tiers, aggregation and uncertainty: from measured cells to a score.

Pure: nothing here reads a slide or a table, and the same cells give the same score. The way in is
:func:`score_evidence`; :func:`apply_rules` is the guideline alone.
"""

from __future__ import annotations

from pathology.scoring.aggregate import h_score, score_evidence
from pathology.scoring.clusters import contiguous_clusters, largest_cluster
from pathology.scoring.codes import counts_from_codes, pattern_codes, tile_score
from pathology.scoring.counts import PatternCounts
from pathology.scoring.decision import ClusterSizes, Decision
from pathology.scoring.evidence import Evidence
from pathology.scoring.guidelines import Cutoff, Guideline, guideline_names, load_guideline
from pathology.scoring.rules import RULE_SETS, RuleSet, apply_rules, rederive_score
from pathology.scoring.slide_score import SlideScore
from pathology.scoring.tiers import her2_status, her2_tier, ish_reflex

__all__ = [
    "RULE_SETS",
    "ClusterSizes",
    "Cutoff",
    "Decision",
    "Evidence",
    "Guideline",
    "PatternCounts",
    "RuleSet",
    "SlideScore",
    "apply_rules",
    "contiguous_clusters",
    "counts_from_codes",
    "guideline_names",
    "h_score",
    "her2_status",
    "her2_tier",
    "ish_reflex",
    "largest_cluster",
    "load_guideline",
    "pattern_codes",
    "rederive_score",
    "score_evidence",
    "tile_score",
]
