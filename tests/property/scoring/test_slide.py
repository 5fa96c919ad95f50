from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.config import load_config
from pathology.scoring import (
    Evidence,
    SlideScore,
    contiguous_clusters,
    counts_from_codes,
    score_evidence,
)
from pathology.scoring.counts import PatternCounts

# Fewer replicates than usual: the property does not depend on their number.
PARAMS = load_config(overrides=["scoring.bootstrap_replicates=60"]).scoring


def evidence_of(seed: int, n: int, rows: np.ndarray | None = None, failed: float = 0.0) -> Evidence:
    generator = np.random.default_rng(seed)
    weights = generator.dirichlet(np.full(5, 0.4))
    intensity = generator.choice(5, n, p=weights).astype(np.uint8)
    complete = (generator.random(n) < generator.random()) & (intensity > 0)
    x, y = generator.uniform(0, 3000, (2, n)).astype(np.float32)
    od = generator.uniform(0, 1, n).astype(np.float32)
    order = np.arange(n) if rows is None else rows
    return Evidence(
        x_um=x[order],
        y_um=y[order],
        intensity=intensity[order],
        complete=complete[order],
        membrane_od=od[order],
        tissue_mm2=9.0 + failed,
        failed_tissue_mm2=failed,
    )


def score_of(*args, **kwargs) -> SlideScore:
    return score_evidence(evidence_of(*args, **kwargs), PARAMS)


SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, n=st.integers(0, 600))
def test_the_order_of_cells_does_not_matter(seed: int, n: int) -> None:
    rows = np.random.default_rng(seed + 1).permutation(n)
    assert score_of(seed, n) == score_of(seed, n, rows)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, n=st.integers(1, 600), side=st.sampled_from([130.0, 512.0, 1999.0]))
def test_the_split_into_tiles_does_not_matter(seed: int, n: int, side: float) -> None:
    """Cells that come tile by tile, and counts that are added up tile by tile."""
    whole = evidence_of(seed, n)
    tile = (whole.y_um // side) * 1000 + whole.x_um // side
    rows = np.argsort(tile, kind="stable")
    score = score_of(seed, n, rows)
    assert score == score_of(seed, n)
    added: dict[str, int] = dict.fromkeys(PatternCounts.__dataclass_fields__, 0)
    for name in np.unique(tile):
        here = tile == name
        part = counts_from_codes(whole.intensity[here], whole.complete[here])
        added = {key: value + getattr(part, key) for key, value in added.items()}
    assert PatternCounts(**added) == score.counts


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, n=st.integers(0, 600), failed=st.sampled_from([0.0, 0.0001, 0.01, 1.0]))
def test_every_slide_has_a_score_or_a_reason(seed: int, n: int, failed: float) -> None:
    score = score_of(seed, n, failed=failed)
    assert score.deciding_clause
    if score.status == "scored":
        assert score.counts.total >= PARAMS.min_tumour_cells
        assert score.ihc_score in ("0", "1+", "2+", "3+")
        shares = (
            score.boot_share_null,
            score.boot_share_ultralow,
            score.boot_share_1,
            score.boot_share_2,
            score.boot_share_3,
        )
        assert abs(sum(share or 0.0 for share in shares) - 1) < 1e-9
    else:
        assert score.reasons
        assert score.ihc_score is score.her2_tier is score.deciding_pct is None


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, n=st.integers(1, 150), link=st.sampled_from([10.0, 80.0, 400.0]))
def test_clusters_grow_with_their_cells(seed: int, n: int, link: float) -> None:
    """Cells that are joined stay joined when more cells come, and in any order."""
    generator = np.random.default_rng(seed)
    x, y = generator.uniform(0, 2000, (2, n)).astype(np.float32)
    labels = contiguous_clusters(x, y, link)
    rows = generator.permutation(n)
    moved = contiguous_clusters(x[rows], y[rows], link)
    assert np.array_equal(
        labels[rows][:, None] == labels[rows][None, :], moved[:, None] == moved[None, :]
    )
    part = contiguous_clusters(x[: n // 2], y[: n // 2], link)
    joined = part[:, None] == part[None, :]
    assert np.all((labels[: n // 2, None] == labels[None, : n // 2])[joined])
