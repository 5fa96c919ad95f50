from __future__ import annotations

import pytest

from pathology.scoring import ClusterSizes, PatternCounts, load_guideline
from pathology.scoring.unseen import scores_with_unseen


def possible(counts, unseen, clusters, guideline, params) -> set[str | None]:
    return set(
        scores_with_unseen(counts, unseen, guideline=guideline, params=params, clusters=clusters)
    )


@pytest.mark.parametrize(("unseen", "scores"), [(0, {"0"}), (19, {"0"}), (20, {"0", "1+", "2+"})])
def test_unseen_cells_may_lie_in_one_cluster(unseen, scores, guideline, params) -> None:
    counts = PatternCounts(unstained=10_000)
    assert possible(counts, unseen, ClusterSizes(), guideline, params) == scores


@pytest.mark.parametrize(
    ("kind", "cluster", "scores"),
    [
        ("intense_complete", "complete_intense", {"0", "1+", "2+"}),
        ("weak_complete", "complete_weak_moderate", {"0", "1+"}),
        ("moderate_incomplete", "incomplete_moderate_intense", {"0", "1+"}),
    ],
)
def test_unseen_cells_may_complete_a_cluster(kind, cluster, scores, guideline, params) -> None:
    """Ten cells that touch were seen; fifteen more beside them were not."""
    counts = PatternCounts(unstained=9_990, **{kind: 10})
    sizes = ClusterSizes(**{cluster: 10})
    assert possible(counts, 0, sizes, guideline, params) == {"0"}
    assert possible(counts, 15, sizes, guideline, params) == scores
    assert possible(counts, 15, ClusterSizes(), guideline, params) == {"0"}


def test_unseen_cells_of_a_biopsy_may_touch(params) -> None:
    """Ten cells in a failed tile: a cluster of any level, or none."""
    guideline = load_guideline("gastric-inclusive").for_specimen("biopsy")
    assert guideline is not None
    for unseen, scores in ((10, {"0", "1+", "2+", "3+"}), (4, {"0"})):
        found = scores_with_unseen(
            PatternCounts(unstained=500),
            unseen,
            guideline=guideline,
            params=params,
            clusters=ClusterSizes(),
        )
        assert found == scores
