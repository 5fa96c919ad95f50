"""Counting tiles: the vectorised way against a loop, and what must hold whatever the tiles."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pathology.config import load_config
from pathology.scoring import (
    TILE_CLASSES,
    ClusterSizes,
    TileEvidence,
    TileOutputs,
    apply_rules,
    count_tiles,
    load_guideline,
    score_tiles,
    tile_patterns,
)

PARAMS = load_config(overrides=["scoring.bootstrap_replicates=20"]).scoring
GUIDELINE = load_guideline(PARAMS.guideline)
OUTPUTS: st.SearchStrategy[TileOutputs] = st.sampled_from(["patterns", "scores"])
#: What the guideline's categories say, written down a second time.
SLOW_PATTERN = {
    "unstained": "unstained",
    "incomplete_faint": "incomplete_faint",
    "incomplete_moderate_intense": "incomplete_moderate_intense",
    "complete_weak_moderate": "complete_weak_moderate",
    "complete_intense": "complete_intense",
    "0": "unstained",
    "1+": "incomplete_faint",
    "2+": "complete_weak_moderate",
    "3+": "complete_intense",
}


@given(OUTPUTS, st.lists(st.integers(0, 5), max_size=200))
def test_counts_are_those_of_a_loop(outputs: TileOutputs, numbers: list[int]) -> None:
    names = TILE_CLASSES[outputs]
    codes = np.array([number % len(names) for number in numbers], dtype=np.int64)
    slow: Counter[str] = Counter()
    for code in codes.tolist():
        if names[code] != "no_tumour":
            slow[SLOW_PATTERN[names[code]]] += 1
    patterns = tile_patterns(codes, outputs)
    counts = count_tiles(patterns[patterns >= 0].astype(np.uint8))
    assert counts.total == sum(slow.values())
    for name in (
        "unstained",
        "incomplete_faint",
        "incomplete_moderate_intense",
        "complete_weak_moderate",
        "complete_intense",
    ):
        assert getattr(counts, name) == slow[name]


def evidence(pattern: list[int], outputs: TileOutputs = "patterns", **more: int) -> TileEvidence:
    """Tiles far apart, so that none touches another."""
    place = np.arange(len(pattern), dtype=np.float32) * 1000
    return TileEvidence(
        x_um=place,
        y_um=np.zeros(len(pattern), dtype=np.float32),
        pattern=np.array(pattern, dtype=np.uint8),
        side_um=128.0,
        n_read=len(pattern) + more.get("empty", 0),
        n_failed=more.get("n_failed", 0),
        outputs=outputs,
    )


@given(st.lists(st.integers(0, 4), min_size=40, max_size=150), st.integers(0, 30), OUTPUTS)
def test_the_rules_are_those_of_cells(pattern: list[int], empty: int, outputs: TileOutputs) -> None:
    found = score_tiles(evidence(pattern, outputs, empty=empty), PARAMS)
    expected = apply_rules(
        count_tiles(np.array(pattern, dtype=np.uint8)),
        guideline=GUIDELINE,
        # Tiles far apart: a pattern needs as many as make a cluster, in place of 1 % alone.
        params=PARAMS.model_copy(
            update={
                "pattern_floor_pct": max(
                    PARAMS.pattern_floor_pct, 100 * (PARAMS.cluster_min_tiles - 0.5) / len(pattern)
                )
            }
        ),
        clusters=ClusterSizes(),
    )
    assert (found.ihc_score, found.deciding_rule) == (expected.score, expected.rule)
    assert found.deciding_pct == expected.pct
    assert "cells" not in found.deciding_clause
    assert f"of {len(pattern):,} tiles)" in found.deciding_clause
    assert "tile_model" in found.flags
    assert found.h_score is None
    assert found.mean_membrane_od is None
    if found.her2_tier == "her2_null":
        assert "ultralow_not_excluded" in found.flags


@given(st.lists(st.integers(0, 4), max_size=39), st.integers(0, 100))
def test_few_tiles_are_never_a_low_score(pattern: list[int], empty: int) -> None:
    found = score_tiles(evidence(pattern, empty=empty), PARAMS)
    assert found.ihc_score is None
    assert found.reasons == (("too_few_cells",) if pattern else ("no_tumour",))
    assert "tile_model" in found.flags


@given(st.lists(st.integers(0, 4), min_size=40, max_size=120), st.integers(1, 40))
def test_failed_tiles_withhold_a_score_that_they_could_change(
    pattern: list[int], n_failed: int
) -> None:
    found = score_tiles(evidence(pattern, n_failed=n_failed), PARAMS)
    possible = {score_tiles(evidence(pattern), PARAMS).ihc_score}
    for code in range(5):
        # All failed tiles of one pattern, side by side: they touch from four on.
        torn = evidence(pattern + [code] * n_failed)
        x = np.array(torn.x_um)
        x[len(pattern) :] = x[len(pattern)] + np.arange(n_failed) * 128
        possible.add(
            score_tiles(
                TileEvidence(
                    x_um=x, y_um=torn.y_um, pattern=torn.pattern, side_um=128.0, n_read=torn.n
                ),
                PARAMS,
            ).ihc_score
        )
    if len(possible) > 1:
        assert found.reasons == ("failed_tiles",)
    assert found.unseen_cells == n_failed


@given(st.permutations(list(range(60))))
def test_the_order_of_tiles_does_not_matter(order: list[int]) -> None:
    pattern = np.arange(60, dtype=np.uint8) % 5
    place = (np.arange(60, dtype=np.float32) % 8) * 128
    rows = (np.arange(60, dtype=np.float32) // 8) * 128

    def score(index: np.ndarray) -> object:
        return score_tiles(
            TileEvidence(
                x_um=place[index],
                y_um=rows[index],
                pattern=pattern[index],
                side_um=128.0,
                n_read=60,
            ),
            PARAMS,
        )

    assert score(np.array(order)) == score(np.arange(60))
