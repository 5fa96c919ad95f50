from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from pathology.errors import ConfigError, ReasonCode
from pathology.scoring import Evidence, h_score, rederive_score, score_evidence
from pathology.scoring.bounds import exact_upper
from pathology.scoring.counts import PatternCounts


def test_a_plain_three_plus(make_evidence, params, guideline) -> None:
    score = score_evidence(make_evidence(un=500, cw=1000, ci=500), params)
    assert (score.status, score.reasons) == ("scored", ())
    assert (score.ihc_score, score.her2_status, score.her2_tier) == (
        "3+",
        "positive",
        "her2_positive",
    )
    assert score.ish_reflex is False
    assert score.pct_complete_intense == 25.0
    assert score.deciding_lo < 25.0 < score.deciding_hi
    assert (score.cutoff_pct, score.distance_to_cutoff_pp) == (10.0, 15.0)
    assert score.boot_share_3 == 1.0
    assert score.ultralow_upper_pct is None
    assert rederive_score(score.deciding_rule, score.counts, guideline=guideline) == "3+"


def test_the_distance_to_the_cutoff_is_that_of_the_deciding_share(make_evidence, params) -> None:
    """As the contract defines it; how near another score is stands apart, and may be another share.

    Here complete weak cells decide (17 %), and a 3+ by intense ones is nearer than a 1+: with the
    incomplete moderate cells the share that holds the 2+ is 29 %.
    """
    score = score_evidence(make_evidence(un=710, cw=170, im=120), params)
    assert score.ihc_score == "2+"
    assert score.deciding_pct == pytest.approx(17)
    assert score.distance_to_cutoff_pp == pytest.approx(7)
    assert (score.nearest_score, score.nearest_score_pp) == ("3+", pytest.approx(10))


def test_a_far_deciding_share_does_not_hide_a_near_score(make_evidence, params) -> None:
    score = score_evidence(make_evidence(un=505, cw=95, **{"if": 400}), params)
    assert (score.ihc_score, score.nearest_score) == ("1+", "2+")
    assert score.distance_to_cutoff_pp == pytest.approx(39.5)
    assert score.nearest_score_pp == pytest.approx(0.5)
    assert score.borderline


def test_two_plus_asks_for_ish_and_is_never_low(make_evidence, params) -> None:
    score = score_evidence(make_evidence(un=1000, cw=1000), params)
    assert (score.ihc_score, score.her2_status, score.her2_tier, score.ish_reflex) == (
        "2+",
        "equivocal",
        "her2_equivocal",
        True,
    )


def test_h_score_counts_intensity_not_completeness() -> None:
    counts = PatternCounts(
        unstained=10,
        faint_incomplete=1,
        weak_incomplete=1,
        faint_complete=1,
        weak_complete=1,
        moderate_incomplete=1,
        moderate_complete=1,
        intense_incomplete=1,
        intense_complete=1,
    )
    assert h_score(counts) == pytest.approx(100 * (4 + 2 * 2 + 2 * 3) / 18)
    assert h_score(PatternCounts(intense_incomplete=7)) == 300.0
    assert h_score(PatternCounts()) is None


def test_mean_density_is_over_all_cells(make_evidence, params) -> None:
    score = score_evidence(make_evidence(un=150, ci=50), params)
    assert score.mean_membrane_od == pytest.approx(0.1)


@pytest.mark.parametrize(("n", "status"), [(99, "not_scorable"), (100, "scored")])
def test_least_number_of_cells(n, status, make_evidence, params) -> None:
    score = score_evidence(make_evidence(ci=n), params)
    assert score.status == status
    if status == "not_scorable":
        assert score.reasons == (ReasonCode.TOO_FEW_CELLS,)
        assert (score.ihc_score, score.her2_tier, score.ish_reflex) == (None, None, None)
        assert score.her2_status == "indeterminate"
        assert score.pct_complete_intense == 100.0
        assert score.h_score == 300.0
        assert score.deciding_rule == "1_not_evaluable"
        assert "99 evaluable tumour cells, fewer than 100" in score.deciding_clause


def test_no_tumour_cell_is_no_score(make_evidence, params) -> None:
    score = score_evidence(make_evidence(tissue_mm2=5.0), params)
    assert (score.status, score.reasons) == ("not_scorable", (ReasonCode.NO_TUMOUR,))
    assert score.h_score is score.mean_membrane_od is score.pct_unstained is None


def test_refusals_come_first(make_evidence, params) -> None:
    evidence = make_evidence(un=50, tissue_mm2=1.0, failed_tissue_mm2=1.0)
    refusals = [ReasonCode.CONTROL_FAILED, ReasonCode.OUT_OF_FOCUS]
    score = score_evidence(evidence, params, refusals=refusals)
    assert score.reasons == (ReasonCode.OUT_OF_FOCUS, ReasonCode.CONTROL_FAILED)
    assert score.pct_unstained == 100.0
    with pytest.raises(ValueError, match="could not be processed"):
        score_evidence(evidence, params, refusals=[ReasonCode.UNREADABLE])


def test_unknown_guideline(make_evidence, params) -> None:
    changed = params.model_copy(update={"guideline": "nowhere"})
    with pytest.raises(ConfigError, match="unknown guideline 'nowhere'"):
        score_evidence(make_evidence(un=200), changed)


def test_unresolved_gap_is_read_but_not_classed(make_evidence, params) -> None:
    changed = params.model_copy(update={"gap_policy": "unresolved"})
    score = score_evidence(make_evidence(un=1900, cw=100), changed)
    assert (score.status, score.ihc_score, score.her2_status, score.her2_tier) == (
        "scored",
        None,
        "indeterminate",
        None,
    )
    assert score.ish_reflex is False
    shares = [score.boot_share_null, score.boot_share_ultralow, score.boot_share_1]
    assert sum(shares) + score.boot_share_2 + score.boot_share_3 == 0.0
    assert score.borderline


class TestFailedTiles:
    """Tissue that could not be read holds at least 5,000 cells per mm²."""

    def test_a_low_score_is_withheld(self, make_evidence, params) -> None:
        evidence = make_evidence(un=5000, failed_tissue_mm2=0.01)
        score = score_evidence(evidence, params)
        assert (score.status, score.reasons) == ("not_scorable", (ReasonCode.FAILED_TILES,))
        assert score.unseen_cells == 50
        assert score.pct_unstained == 100.0
        assert "up to 50 tumour cells" in score.deciding_clause

    @pytest.mark.parametrize(
        ("kinds", "failed_mm2"),
        [
            ({"un": 1000, "if": 9000}, 0.1),  # unseen intense cells would make a 2+
            ({"un": 8900, "ci": 1100}, 0.3),  # unseen unstained cells would make a 2+
            ({"un": 9000, "ci": 1000}, 0.001),  # five more intense cells would make a 3+
            ({"un": 8990, "cw": 1010}, 0.03),  # unseen unstained cells would make a 1+
        ],
    )
    def test_every_extreme_is_tried(self, kinds, failed_mm2, make_evidence, params) -> None:
        score = score_evidence(make_evidence(**kinds, failed_tissue_mm2=failed_mm2), params)
        assert score.reasons == (ReasonCode.FAILED_TILES,)
        assert score_evidence(make_evidence(**kinds), params).status == "scored"

    def test_incomplete_cells_may_bring_their_pattern_over_the_floor(self, make_evidence, params):
        """Neither complete nor unstained unseen cells change this one: incomplete ones do."""
        kinds = {"un": 8920, "cw": 985, "im": 95}
        score = score_evidence(make_evidence(**kinds, failed_tissue_mm2=0.0011), params)
        assert score.unseen_cells == 6
        assert score.reasons == (ReasonCode.FAILED_TILES,)

    def test_a_score_that_cannot_change_stays_with_a_wider_interval(self, make_evidence, params):
        kinds = {"un": 4000, "ci": 6000}
        whole = score_evidence(make_evidence(**kinds), params)
        score = score_evidence(make_evidence(**kinds, failed_tissue_mm2=0.4), params)
        assert (score.status, score.unseen_cells) == ("scored", 2000)
        assert score.ihc_score == "3+"
        assert "failed_tiles" in score.flags
        assert score.deciding_pct == whole.deciding_pct == 60.0
        assert score.deciding_lo == pytest.approx(whole.deciding_lo * 10_000 / 12_000)
        assert score.deciding_lo < 100 * 6000 / 12_000
        assert score.deciding_hi == pytest.approx((whole.deciding_hi * 10_000 + 200_000) / 12_000)
        assert score.deciding_hi > 100 * 8000 / 12_000

    def test_the_observed_density_counts_where_it_is_higher(self, make_evidence, params) -> None:
        evidence = make_evidence(ci=9000, tissue_mm2=1.0, failed_tissue_mm2=0.1)
        assert score_evidence(evidence, params).unseen_cells == 900

    def test_nothing_read_is_not_no_tumour(self, make_evidence, params) -> None:
        evidence = make_evidence(tissue_mm2=0.0, failed_tissue_mm2=3.0)
        assert score_evidence(evidence, params).reasons == (ReasonCode.FAILED_TILES,)

    def test_few_cells_may_be_more(self, make_evidence, params) -> None:
        evidence = make_evidence(ci=60, tissue_mm2=1.0, failed_tissue_mm2=0.007)
        assert score_evidence(evidence, params).reasons == (ReasonCode.TOO_FEW_CELLS,)
        evidence = make_evidence(ci=60, tissue_mm2=1.0, failed_tissue_mm2=0.008)
        assert score_evidence(evidence, params).reasons == (
            ReasonCode.FAILED_TILES,
            ReasonCode.TOO_FEW_CELLS,
        )

    def test_a_null_bound_counts_what_was_not_seen(self, make_evidence, params) -> None:
        evidence = make_evidence(un=5000, failed_tissue_mm2=0.002)
        score = score_evidence(evidence, params)
        whole = score_evidence(make_evidence(un=5000), params)
        assert (score.her2_tier, score.unseen_cells) == ("her2_null", 10)
        expected = (whole.ultralow_upper_pct * 5000 + 100 * 10) / 5010
        assert score.ultralow_upper_pct == pytest.approx(expected)
        assert "ultralow_not_excluded" not in whole.flags
        assert "ultralow_not_excluded" in score.flags


class TestNull:
    def test_bound_is_exact_for_the_effective_cells(self, make_evidence, params) -> None:
        score = score_evidence(make_evidence(un=3000), params)
        assert score.her2_tier == "her2_null"
        assert 0 < score.effective_cells < 3000
        expected = 100 * exact_upper(0, score.effective_cells, confidence=0.95)
        assert score.ultralow_upper_pct == pytest.approx(expected)
        assert score.deciding_lo == 0.0
        assert score.deciding_hi > 0.0

    def test_independent_cells_give_the_textbook_bound(self, make_evidence, params) -> None:
        changed = params.model_copy(update={"intra_block_correlation": 0.0})
        score = score_evidence(make_evidence(un=300), changed)
        assert score.ultralow_upper_pct == pytest.approx(100 * (1 - 0.05 ** (1 / 300)))
        assert "ultralow_not_excluded" not in score.flags

    def test_few_cells_do_not_exclude_ultralow(self, make_evidence, params) -> None:
        assert "ultralow_not_excluded" in score_evidence(make_evidence(un=200), params).flags
        many = score_evidence(make_evidence(un=60_000), params)
        assert "ultralow_not_excluded" not in many.flags
        assert many.her2_tier == "her2_null"

    @pytest.mark.parametrize("kinds", [{"un": 400}, {"un": 390, "if": 10}])
    def test_zero_needs_a_limit_of_blank(self, kinds, make_evidence, params) -> None:
        evidence = make_evidence(**kinds)
        assert "limit_of_blank_unset" in score_evidence(evidence, params).flags
        known = score_evidence(evidence, params, limit_of_blank_od=0.03)
        assert "limit_of_blank_unset" not in known.flags

    def test_other_scores_need_none(self, make_evidence, params) -> None:
        score = score_evidence(make_evidence(ci=400), params)
        assert "limit_of_blank_unset" not in score.flags


class TestBorderline:
    def test_by_distance(self, make_evidence, params) -> None:
        near = score_evidence(make_evidence(un=8720, **{"if": 1280}), params)
        assert (near.ihc_score, near.borderline) == ("1+", True)
        assert "borderline" in near.flags
        far = score_evidence(make_evidence(un=8600, **{"if": 1400}), params)
        assert (far.ihc_score, far.borderline) == ("1+", False)

    def test_by_bootstrap(self, make_evidence, params) -> None:
        """150 per mille are far from the cut-off, unless they all lie in one corner."""
        evidence = make_evidence(un=1700, **{"if": 300}, spacing_um=60.0)
        calm = score_evidence(evidence, params)
        assert not calm.borderline
        order = np.lexsort((evidence.y_um, evidence.x_um))
        moved = replace(evidence, x_um=evidence.x_um[order][::-1], y_um=evidence.y_um[order])
        corner = score_evidence(moved, params)
        assert corner.counts == calm.counts
        assert corner.borderline
        assert "bootstrap_unstable" in corner.flags
        assert corner.deciding_lo < calm.deciding_lo

    def test_by_gap(self, make_evidence, params) -> None:
        changed = params.model_copy(update={"borderline_pp": 0.0})
        score = score_evidence(make_evidence(un=9500, cw=500), changed)
        assert score.flags[:2] == ("borderline", "gap_pattern")


def test_shares_agree_with_the_rules_on_each_replicate(make_evidence, params, guideline) -> None:
    """The vectorised rules of the bootstrap against the rules themselves, cluster included."""
    from pathology.scoring import ClusterSizes, apply_rules
    from pathology.scoring.bootstrap import resample
    from pathology.scoring.rules import deciding_columns
    from pathology.scoring.spread import measure_spread
    from pathology.scoring.views import make_views

    evidence = make_evidence(un=1770, **{"if": 195}, cw=15, ci=20, spacing_um=20.0)
    order = np.argsort(2 * evidence.intensity + evidence.complete, kind="stable")
    place = np.lexsort((evidence.x_um, evidence.y_um))
    evidence = replace(
        evidence,
        x_um=evidence.x_um[place],
        y_um=evidence.y_um[place],
        intensity=evidence.intensity[order],
        complete=evidence.complete[order],
    )
    score = score_evidence(evidence, params)
    views = make_views(evidence, guideline, params)
    assert views.clusters.complete_intense >= 20
    columns = deciding_columns(score.deciding_patterns, guideline)
    draws = measure_spread(views.blocks, columns, level=0.95).draws
    n_blocks = len(views.blocks.cells)
    drawn = resample(views.blocks, replicates=1000, seed=params.bootstrap_seed, draws=draws)
    shares = dict.fromkeys(("null", "ultralow", "1+", "2+", "3+"), 0)
    for cells, held in zip(drawn.cells.tolist(), drawn.members.tolist(), strict=True):
        counts = PatternCounts(
            unstained=cells[0],
            weak_incomplete=cells[1],
            moderate_incomplete=cells[2],
            weak_complete=cells[3],
            intense_complete=cells[4],
        )
        # Fewer blocks hold fewer cells of a cluster: as many as all blocks would.
        held = [n * n_blocks // draws for n in held]
        sizes = ClusterSizes(
            complete_intense=held[0],
            complete_weak_moderate=held[1],
            incomplete_moderate_intense=held[2],
        )
        found = apply_rules(counts, guideline=guideline, params=params, clusters=sizes)
        shares[found.below_one or found.score] += 1
    assert len([n for n in shares.values() if n]) >= 3
    assert [
        score.boot_share_null,
        score.boot_share_ultralow,
        score.boot_share_1,
        score.boot_share_2,
        score.boot_share_3,
    ] == [n / 1000 for n in shares.values()]


@pytest.mark.parametrize(("n", "score"), [(19, "0"), (20, "2+")])
def test_a_cluster_is_in_the_replicates_that_hold_its_block(n, score, make_evidence, params):
    evidence = make_evidence(un=6000, ci=n)
    x, y = evidence.x_um.copy(), evidence.y_um.copy()
    x[-n:], y[-n:] = 1250 + np.arange(n), 1250
    found = score_evidence(replace(evidence, x_um=x, y_um=y), params)
    assert found.ihc_score == score
    # A given block is drawn at least once in 1 - 1/e of the replicates.
    expected = 0.63 if n == 20 else 0.0
    assert found.boot_share_2 == pytest.approx(expected, abs=0.05)


def test_no_bootstrap_on_request(make_evidence, params) -> None:
    changed = params.model_copy(update={"bootstrap_replicates": 0})
    score = score_evidence(make_evidence(un=1000, ci=1000), changed)
    assert score.boot_share_3 is None
    assert score.deciding_lo < 50 < score.deciding_hi


def test_few_blocks_widen_the_interval(make_evidence, params) -> None:
    evidence = make_evidence(un=1000, ci=1000)
    assert score_evidence(evidence, params).n_blocks < 20
    narrow = score_evidence(evidence, params.model_copy(update={"bootstrap_min_blocks": 1}))
    wide = score_evidence(evidence, params)
    assert "few_blocks" in wide.flags
    assert "few_blocks" not in narrow.flags
    assert wide.deciding_lo < narrow.deciding_lo
    assert narrow.deciding_hi < wide.deciding_hi


def test_in_situ_cells_are_only_counted(make_evidence, params) -> None:
    evidence = make_evidence(un=500)
    score = score_evidence(replace(evidence, n_in_situ_excluded=9000), params)
    assert (score.ihc_score, score.n_in_situ_excluded) == ("0", 9000)


def test_half_a_million_cells_in_seconds(params) -> None:
    """Every cell stained in one population: the dearest case for clusters."""
    generator = np.random.default_rng(0)
    n, side = 500_000, 9_000.0
    intensity = generator.choice(np.array([0, 3, 4], dtype=np.uint8), n, p=[0.02, 0.04, 0.94])
    x, y = generator.uniform(0, side, (2, n)).astype(np.float32)
    evidence = Evidence(
        x_um=x,
        y_um=y,
        intensity=intensity,
        complete=intensity > 0,
        membrane_od=intensity * np.float32(0.2),
        tissue_mm2=90.0,
    )
    start = time.process_time()
    score = score_evidence(evidence, params)
    # Processor time, so that a busy machine does not decide.
    assert time.process_time() - start < 3.0
    assert score.ihc_score == "3+"
    assert score.clusters.complete_intense > 400_000


class TestScale:
    """Cells that are classed otherwise where the laboratory stains a little darker or lighter."""

    def test_a_null_that_holds_at_one_gain_only(self, make_evidence, params) -> None:
        """No cell is stained as measured; 2 % are, if the scale is off by two sigma."""
        evidence = make_evidence(un=20_000)
        kinds = np.zeros((4, 20_000), dtype=np.uint8)
        same = score_evidence(replace(evidence, off_scale=kinds), params)
        assert "ultralow_not_excluded" not in same.flags
        kinds = kinds.copy()
        kinds[0, ::2000] = 2
        few = score_evidence(replace(evidence, off_scale=kinds), params)
        assert few.ultralow_upper_pct < params.ultralow_max_pct
        assert "ultralow_not_excluded" in few.flags
        kinds[0, ::50] = 2
        unsure = score_evidence(replace(evidence, off_scale=kinds), params)
        assert same.her2_tier == unsure.her2_tier == "her2_null"
        assert "ultralow_not_excluded" in unsure.flags
        assert unsure.ultralow_upper_pct > 2 > same.ultralow_upper_pct
        assert same.boot_share_null == 1
        # The outermost of the five points weighs 7 %.
        assert unsure.boot_share_ultralow == pytest.approx(0.0708, abs=0.001)

    def test_the_interval_reaches_the_ends_of_the_gain(self, make_evidence, params) -> None:
        evidence = make_evidence(un=34_000, **{"if": 6000}, spacing_um=20.0)
        kinds = np.stack([2 * evidence.intensity] * 4)
        alone = score_evidence(replace(evidence, off_scale=kinds), params)
        assert (alone.deciding_lo, alone.deciding_hi) == pytest.approx(
            (
                score_evidence(evidence, params).deciding_lo,
                score_evidence(evidence, params).deciding_hi,
            ),
            abs=0.1,
        )
        more = np.flatnonzero(evidence.intensity == 0)
        kinds[0, more[:12_000]] = 2  # 45 % at the lowest gain
        kinds[3] = 0  # none at the highest
        wide = score_evidence(replace(evidence, off_scale=kinds), params)
        assert wide.deciding_pct == alone.deciding_pct == 15.0
        assert wide.deciding_lo == 0.0
        assert wide.deciding_hi == pytest.approx(45, abs=1.5)
        assert wide.boot_share_null == pytest.approx(0.0708, abs=0.001)
        assert {"borderline", "bootstrap_unstable"} & set(wide.flags) == set()

    def test_unstable_scales_are_named(self, make_evidence, params) -> None:
        evidence = make_evidence(un=7000, cw=3000)
        kinds = np.stack([np.where(evidence.complete, 2 * evidence.intensity + 1, 0)] * 4)
        kinds = kinds.astype(np.uint8)
        kinds[2:] = np.where(evidence.complete, 2, 0)  # only faint and incomplete: 1+
        found = score_evidence(replace(evidence, off_scale=kinds), params)
        assert (found.ihc_score, found.borderline) == ("2+", True)
        assert found.boot_share_1 == pytest.approx(0.312, abs=0.001)
        assert {"borderline", "bootstrap_unstable", "scale_unstable"} <= set(found.flags)

    def test_clusters_are_looked_for_at_each_gain(self, make_evidence, params) -> None:
        """Thirty intense cells of 6,000: a cluster as measured, scattered at other gains."""
        evidence = make_evidence(un=5970, ci=30)
        x, y = evidence.x_um.copy(), evidence.y_um.copy()
        x[-30:], y[-30:] = 1250 + np.arange(30), 1250
        evidence = replace(evidence, x_um=x, y_um=y)
        same = np.stack([2 * evidence.intensity + evidence.complete] * 4).astype(np.uint8)
        there = score_evidence(replace(evidence, off_scale=same), params)
        moved = np.zeros((4, 6000), dtype=np.uint8)
        moved[:, :5970:199] = 9
        gone = score_evidence(replace(evidence, off_scale=moved), params)
        assert there.ihc_score == gone.ihc_score == "2+"
        assert "scale_unstable" not in there.flags
        assert "scale_unstable" in gone.flags

    def test_far_above_the_floor_no_cluster_is_asked_for(self, make_evidence, params) -> None:
        """Whole slides of one pattern stay it at every gain."""
        evidence = make_evidence(un=3000, ci=3000)
        kinds = np.stack([2 * evidence.intensity + evidence.complete] * 4).astype(np.uint8)
        found = score_evidence(replace(evidence, off_scale=kinds), params)
        assert found.boot_share_3 == 1.0
        assert found.deciding_lo < 50 < found.deciding_hi


@pytest.mark.parametrize("shape", [(4, 9), (3, 10), (10,)])
def test_other_gains_are_of_the_same_cells(shape, make_evidence) -> None:
    with pytest.raises(ValueError, match="off_scale"):
        replace(make_evidence(un=10), off_scale=np.zeros(shape, dtype=np.uint8))
