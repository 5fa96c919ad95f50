from __future__ import annotations

from typing import Any

import pytest
from scipy.stats import binom

from pathology.config import ScoringConfig
from pathology.scoring import ClusterSizes, Decision, Guideline, PatternCounts, apply_rules

NO_CLUSTERS = ClusterSizes()


def counts_of(ci: int, cw: int, im: int, if_: int, total: int) -> PatternCounts:
    return PatternCounts(
        unstained=total - ci - cw - im - if_,
        intense_complete=ci,
        moderate_complete=cw,
        moderate_incomplete=im,
        weak_incomplete=if_,
    )


def decide(
    cells: tuple[float, float, float, float],
    guideline: Guideline,
    params: ScoringConfig,
    *,
    clusters: ClusterSizes = NO_CLUSTERS,
    **changes: Any,
) -> Decision:
    """Decide on shares in per cent (CI, CW, IM, IF) of 10,000 cells."""
    ci, cw, im, if_ = (round(100 * share) for share in cells)
    return apply_rules(
        counts_of(ci, cw, im, if_, 10_000),
        guideline=guideline,
        params=params.model_copy(update=changes),
        clusters=clusters,
    )


VECTORS = [
    ((10.01, 0, 0, 0), "3+", None, {"intense_not_contiguous"}),
    ((10, 0, 0, 0), "2+", None, {"heterogeneous"}),
    ((5, 0, 0, 0), "2+", None, {"heterogeneous"}),
    ((6, 6, 0, 0), "2+", None, {"heterogeneous"}),
    ((0, 10.01, 0, 0), "2+", None, set()),
    ((0, 10, 0, 0), "1+", None, {"gap_pattern"}),
    ((0, 0, 10.01, 0), "2+", None, {"atypical_basolateral"}),
    ((0, 8, 3, 0), "2+", None, {"atypical_basolateral"}),
    ((0, 0, 0, 10.01), "1+", None, set()),
    ((0, 0, 0, 10), "0", "ultralow", set()),
    ((0, 0, 0, 0.5), "0", "ultralow", set()),
    ((0, 0, 0, 0), "0", "null", set()),
    ((0, 5, 0, 6), "1+", None, {"mixed_pattern"}),
    ((0, 5, 0, 5), "1+", None, {"gap_pattern"}),
    ((0.5, 0, 0, 0), "0", "ultralow", {"below_floor"}),
    ((0.5, 0, 0, 5), "0", "ultralow", {"below_floor"}),
    ((0.5, 0, 0, 80), "1+", None, {"below_floor"}),
    ((0, 9.99, 0.02, 0), "1+", None, {"below_floor", "mixed_pattern"}),
]


@pytest.mark.parametrize(("cells", "score", "below_one", "flags"), VECTORS)
def test_vector_of_the_guideline(cells, score, below_one, flags, guideline, params) -> None:
    found = decide(cells, guideline, params)
    assert (found.score, found.below_one, set(found.flags)) == (score, below_one, flags)


def test_a_cluster_keeps_a_rare_pattern_present(guideline, params) -> None:
    found = decide((0.5, 0, 0, 0), guideline, params, clusters=ClusterSizes(complete_intense=40))
    assert (found.score, found.flags) == ("2+", ("heterogeneous",))
    assert "contiguous cluster of 40 cells" in found.clause


@pytest.mark.parametrize(("size", "score"), [(19, "0"), (20, "2+")])
def test_a_cluster_counts_from_its_least_size(size, score, guideline, params) -> None:
    clusters = ClusterSizes(complete_intense=size)
    assert decide((0.5, 0, 0, 0), guideline, params, clusters=clusters).score == score


@pytest.mark.parametrize(
    ("n", "total", "kind", "score"),
    [
        (10, 100, 0, "2+"),
        (11, 100, 0, "3+"),
        (1000, 10_000, 0, "2+"),
        (1001, 10_000, 0, "3+"),
        (100_000_000, 1_000_000_000, 0, "2+"),
        (100_000_001, 1_000_000_000, 0, "3+"),
        (10, 100, 1, "1+"),
        (11, 100, 1, "2+"),
        (1000, 10_000, 1, "1+"),
        (1001, 10_000, 1, "2+"),
        (10, 100, 2, "1+"),
        (11, 100, 2, "2+"),
        (10, 100, 3, "0"),
        (11, 100, 3, "1+"),
        (1000, 10_000, 3, "0"),
        (1001, 10_000, 3, "1+"),
    ],
)
def test_ten_per_cent_is_not_above_ten_per_cent(n, total, kind, score, guideline, params) -> None:
    cells = [0, 0, 0, 0]
    cells[kind] = n
    counts = counts_of(*cells, total)
    found = apply_rules(counts, guideline=guideline, params=params, clusters=NO_CLUSTERS)
    assert found.score == score


@pytest.mark.parametrize(("n", "present"), [(99, False), (100, True)])
def test_a_pattern_at_the_floor_is_present(n, present, guideline, params) -> None:
    found = apply_rules(
        counts_of(n, 0, 0, 0, 10_000), guideline=guideline, params=params, clusters=NO_CLUSTERS
    )
    assert (found.score == "2+") is present


def test_the_floor_is_decimal_not_binary(guideline, params) -> None:
    """0.7 % of 1,000 cells is 7, whatever the nearest binary fraction is."""
    for pct, n, total in ((0.7, 7, 1000), (0.07, 7, 10_000), (1.1, 11, 1000)):
        changed = params.model_copy(update={"pattern_floor_pct": pct})
        for cells, score in ((n, "2+"), (n - 1, "0")):
            found = apply_rules(
                counts_of(cells, 0, 0, 0, total),
                guideline=guideline,
                params=changed,
                clusters=NO_CLUSTERS,
            )
            assert found.score == score, (pct, cells)


def test_intense_cells_below_the_floor_count_as_complete_ones(guideline, params) -> None:
    found = decide((0.5, 9.6, 0, 0), guideline, params)
    assert (found.score, found.rule) == ("2+", "4_complete_weak_moderate/floor=CI")
    assert found.pct == pytest.approx(10.1)
    assert "0.5 % complete intense" in found.clause


def test_two_patterns_below_the_floor_lift_each_other(guideline, params) -> None:
    """0.5 % intense and 0.6 % weaker complete cells are 1.1 % complete cells: present."""
    found = decide((0.5, 0.6, 0, 0), guideline, params)
    assert found.rule == "7_gap_score_1/floor=CI"


def test_the_cascade_reaches_the_faint_pattern(guideline, params) -> None:
    found = decide((0.4, 0.5, 0.9, 8.3), guideline, params)
    assert (found.score, found.rule) == ("1+", "6_stained/floor=CI+CW+IM")
    assert found.pct == pytest.approx(10.1)


@pytest.mark.parametrize(
    ("policy", "score", "rule"),
    [
        ("score_1_borderline", "1+", "7_gap_score_1"),
        ("score_2", "2+", "7_gap_score_2"),
        ("unresolved", None, "7_gap_unresolved"),
    ],
)
def test_gap_policy(policy, score, rule, guideline, params) -> None:
    found = decide((0, 5, 0, 5), guideline, params, gap_policy=policy)
    assert (found.score, found.rule, found.flags) == (score, rule, ("gap_pattern",))
    assert policy in found.clause


@pytest.mark.parametrize(
    ("cells", "clause"),
    [
        ((10.01, 0, 0, 0), "3+: 10.01 % complete intense > 10 % (1,001 of 10,000 cells)"),
        (
            (10, 0, 0, 0),
            "2+: 10.0 % complete intense, present (floor 1 %) but not > 10 % "
            "(1,000 of 10,000 cells)",
        ),
        (
            (0, 23.4, 0, 0),
            "2+: 23.4 % complete weak-moderate > 10 % (2,340 of 10,000 cells)",
        ),
        (
            (0, 8, 3, 0),
            "2+: 11.0 % complete weak-moderate and incomplete moderate-intense together > 10 % "
            "(1,100 of 10,000 cells); interpretation sum_towards_2",
        ),
        (
            (0, 0, 11, 0),
            "2+: 11.0 % incomplete moderate-intense > 10 % (1,100 of 10,000 cells)",
        ),
        ((0, 0, 0, 80), "1+: 80.0 % incomplete faint > 10 % (8,000 of 10,000 cells)"),
        (
            (0, 5, 0, 6),
            "1+: 11.0 % complete weak-moderate and incomplete faint together > 10 % "
            "(1,100 of 10,000 cells); interpretation sum_towards_1",
        ),
        (
            (0, 5, 0, 5),
            "1+: 5.0 % complete weak-moderate or incomplete moderate-intense, 10.0 % stained in "
            "all, not > 10 % (1,000 of 10,000 cells): no category describes this; gap policy "
            "score_1_borderline, second reader asked for",
        ),
        (
            (0, 0, 0, 10),
            "0 (ultralow): 10.0 % incomplete faint, not > 10 % (1,000 of 10,000 cells)",
        ),
        ((0, 0, 0, 0), "0 (null): no stained membrane (0 of 10,000 cells)"),
        (
            (0.5, 0, 0, 80),
            "1+: 80.5 % incomplete faint > 10 % (8,050 of 10,000 cells); counted as weaker, below "
            "the floor of 1 %: 0.5 % complete intense",
        ),
    ],
)
def test_clause_in_words(cells, clause, guideline, params) -> None:
    assert decide(cells, guideline, params).clause == clause


@pytest.mark.parametrize(
    ("cells", "distance", "nearest"),
    [
        ((45, 0, 0, 0), 35, "2+"),
        ((8, 0, 0, 0), 2, "3+"),
        ((1.5, 0, 0, 0), 0.5, "1+"),  # complete cells at the floor that are no longer intense
        ((1.5, 20, 0, 0), 8.5, "3+"),  # without the intense cells it still is a 2+
        ((1.2, 0.5, 9.2, 0), 8.8, "3+"),  # so here, where they lift the weaker complete ones
        ((0, 3, 1.5, 0), 2, "0"),  # both patterns have to go
        ((0, 23, 0, 0), 10, "3+"),
        ((0, 12, 0, 0), 2, "1+"),
        ((0, 12, 4, 0), 6, "1+"),
        ((0, 8, 4, 0), 2, "1+"),
        ((0, 9.5, 1.2, 0), 0.2, "1+"),  # through the floor of the incomplete pattern
        ((0, 0, 0, 60), 10, "2+"),
        ((0, 0, 0, 13), 3, "0"),
        ((0, 9, 0, 40), 1, "2+"),
        ((0, 3, 0, 8), 2, "0"),  # both the sum and the complete pattern have to fall
        ((0, 3, 0, 40), 7, "2+"),
        ((0, 1.5, 0, 5), 0.5, "0"),
        ((0, 9.5, 0, 0.2), 0.5, "2+"),
        ((0, 0, 0, 10), 0, "1+"),
        ((0, 0, 0, 4), 6, "1+"),
        ((0, 0, 0, 0), 10, "1+"),
        ((0.5, 0, 0, 5), 4.5, "1+"),
    ],
)
def test_distance_to_the_nearest_other_score(cells, distance, nearest, guideline, params) -> None:
    found = decide(cells, guideline, params)
    assert found.distance_pp == pytest.approx(distance, abs=1e-9)
    assert found.nearest_score == nearest


def test_distance_in_the_gap_follows_the_policy(guideline, params) -> None:
    assert decide((0, 5, 0, 4), guideline, params, gap_policy="score_2").nearest_score == "1+"
    unresolved = decide((0, 3, 0, 40), guideline, params, gap_policy="unresolved")
    assert (unresolved.distance_pp, unresolved.nearest_score) == (pytest.approx(7), "2+")
    unresolved = decide((0, 3, 0, 8), guideline, params, gap_policy="unresolved")
    assert (unresolved.distance_pp, unresolved.nearest_score) == (pytest.approx(1), "unresolved")


def test_a_cluster_cannot_be_lost_by_its_share(guideline, params) -> None:
    clusters = ClusterSizes(complete_intense=30)
    found = decide((1.5, 0, 0, 0), guideline, params, clusters=clusters)
    assert (found.distance_pp, found.nearest_score) == (pytest.approx(8.5), "3+")


def test_contiguous_intense_population_is_not_flagged(guideline, params) -> None:
    clusters = ClusterSizes(complete_intense=500)
    assert decide((30, 0, 0, 0), guideline, params, clusters=clusters).flags == ()


def changed(guideline: Guideline, **parts: Any) -> Guideline:
    tree = guideline.model_dump()
    for name, value in parts.items():
        group = "cutoffs" if name in tree["cutoffs"] else "interpretations"
        tree[group][name] = {**tree[group][name], **value}
    return Guideline.model_validate(tree)


def test_a_cut_off_that_is_not_strict_takes_ten_per_cent(guideline, params) -> None:
    inclusive = changed(guideline, score_3={"strict": False}, score_1={"strict": False})
    assert decide((10, 0, 0, 0), inclusive, params).score == "3+"
    assert "≥ 10 %" in decide((10, 0, 0, 0), inclusive, params).clause
    assert decide((0, 0, 0, 10), inclusive, params).score == "1+"
    assert decide((0, 10, 0, 0), inclusive, params).rule == "6_stained"


def test_interpretations_can_be_switched_off(guideline, params) -> None:
    apart = changed(guideline, sum_towards_2={"apply": False})
    assert decide((0, 8, 3, 0), apart, params).score == "1+"
    assert decide((0, 8, 10.01, 0), apart, params).rule == "5_basolateral"
    assert decide((0, 8, 10.01, 0), apart, params).pct == pytest.approx(10.01)
    apart = changed(guideline, sum_towards_1={"apply": False})
    assert decide((0, 5, 0, 6), apart, params).rule == "7_gap_score_1"
    assert decide((0, 5, 0, 10.01), apart, params).rule == "6_stained"
    assert decide((0, 5, 0, 10.01), apart, params).pct == pytest.approx(10.01)
    no_floor = changed(guideline, pattern_floor={"apply": False})
    assert decide((0.01, 0, 0, 0), no_floor, params).score == "2+"


def test_no_cell_is_no_score(guideline, params) -> None:
    with pytest.raises(ValueError, match="no evaluable tumour cell"):
        apply_rules(PatternCounts(), guideline=guideline, params=params, clusters=NO_CLUSTERS)


def test_cluster_sizes_cannot_be_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        ClusterSizes(complete_intense=-1)


@pytest.mark.parametrize(("total", "percent"), [(100, 66.6), (500, 90.7), (1000, 97.3)])
def test_how_often_a_true_share_of_12_per_cent_is_called_above_10(
    total, percent, guideline, params
) -> None:
    def positive(n: int) -> bool:
        counts = PatternCounts(unstained=total - n, weak_incomplete=n)
        return (
            apply_rules(counts, guideline=guideline, params=params, clusters=NO_CLUSTERS).score
            == "1+"
        )

    least = next(n for n in range(total + 1) if positive(n))
    # Independent cells; clustered ones are called wrongly more often.
    assert round(100 * binom.sf(least - 1, total, 0.12), 1) == percent
