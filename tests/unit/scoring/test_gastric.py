"""The gastric rules: printed categories, both sides of each limit, and what is never guessed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pathology.errors import ConfigError, ReasonCode
from pathology.scoring import (
    ClusterSizes,
    Decision,
    PatternCounts,
    TileEvidence,
    apply_rules,
    load_guideline,
    rederive_score,
    score_evidence,
    score_tiles,
)
from pathology.scoring.guidelines import Guideline


def resection(name: str = "gastric-inclusive") -> Guideline:
    found = load_guideline(name).for_specimen("resection")
    assert found is not None
    return found


def biopsy(name: str = "gastric-inclusive") -> Guideline:
    found = load_guideline(name).for_specimen("biopsy")
    assert found is not None
    return found


def decide(
    guideline: Guideline, params: Any, *, total: int = 1000, sizes: Any = None, **kinds: int
) -> Decision:
    counts = PatternCounts(unstained=total - sum(kinds.values()), **kinds)
    return apply_rules(
        counts, guideline=guideline, params=params, clusters=ClusterSizes(**(sizes or {}))
    )


@pytest.mark.parametrize(
    ("kinds", "score"),
    [
        ({}, "0"),
        ({"intense_complete": 99}, "0"),  # all of it below 10 %
        ({"faint_incomplete": 99}, "0"),
        ({"faint_incomplete": 100}, "1+"),
        ({"faint_complete": 100}, "1+"),
        ({"weak_incomplete": 100}, "2+"),  # basolateral or lateral
        ({"moderate_incomplete": 100}, "2+"),
        ({"moderate_complete": 100}, "2+"),
        ({"intense_incomplete": 100}, "3+"),  # completeness is not asked
        ({"intense_complete": 50, "intense_incomplete": 50}, "3+"),
        ({"intense_complete": 99, "moderate_complete": 1}, "2+"),
        ({"intense_complete": 60, "faint_incomplete": 60}, "1+"),
    ],
)
def test_resection(kinds, score, params) -> None:
    assert decide(resection(), params, **kinds).score == score


@pytest.mark.parametrize(
    ("name", "n", "score"),
    [
        ("gastric-inclusive", 99, "0"),
        ("gastric-inclusive", 100, "3+"),
        ("gastric-strict", 100, "0"),
        ("gastric-strict", 101, "3+"),
    ],
)
def test_ten_per_cent_of_a_resection(name, n, score, params) -> None:
    assert decide(resection(name), params, intense_complete=n).score == score


@pytest.mark.parametrize(
    ("name", "size", "score"),
    [
        ("gastric-inclusive", 4, "0"),
        ("gastric-inclusive", 5, "3+"),
        ("gastric-strict", 5, "0"),
        ("gastric-strict", 6, "3+"),
    ],
)
def test_five_cells_of_a_biopsy(name, size, score, params) -> None:
    sizes = {"level_1": size, "level_2": size, "level_3": size}
    found = decide(biopsy(name), params, sizes=sizes, intense_incomplete=size)
    assert found.score == score


def test_a_biopsy_takes_the_strongest_cluster_whatever_its_share(params) -> None:
    found = decide(
        biopsy(),
        params,
        total=100_000,
        sizes={"level_1": 60_000, "level_2": 900, "level_3": 7},
        faint_incomplete=70_000,
        weak_complete=1000,
        intense_complete=20,
    )
    assert (found.score, found.flags) == ("3+", ("small_population",))
    assert found.rule == "biopsy_3_intense/clusters=7+900+60000"
    assert found.clause == (
        "3+: 7 contiguous intense cells (≥ 5 cells) in a biopsy; 0.02 % intense "
        "(20 of 100,000 cells)"
    )
    assert found.close is True


def test_many_scattered_cells_of_a_biopsy_are_no_cluster(params) -> None:
    found = decide(biopsy(), params, sizes={"level_1": 4, "level_2": 2}, weak_complete=400)
    assert found.score == "0"
    assert "at most 4 contiguous stained cells, not ≥ 5 cells" in found.clause


@pytest.mark.parametrize(
    ("kinds", "distance", "nearest"),
    [
        ({}, 10, "1+"),
        ({"faint_incomplete": 60}, 4, "1+"),
        ({"faint_incomplete": 130}, 3, "0"),
        ({"faint_incomplete": 400, "weak_complete": 80}, 2, "2+"),
        ({"weak_complete": 120}, 2, "1+"),
        ({"weak_complete": 500, "intense_complete": 90}, 1, "3+"),
        ({"intense_incomplete": 450}, 35, "2+"),
    ],
)
def test_distance_of_a_resection(kinds, distance, nearest, params) -> None:
    found = decide(resection(), params, **kinds)
    assert (found.distance_pp, found.nearest_score) == (pytest.approx(distance), nearest)


@pytest.mark.parametrize(
    ("sizes", "distance", "nearest", "close"),
    [
        ({"level_3": 40, "level_2": 60, "level_1": 60}, 3.6, "2+", False),
        ({"level_3": 9, "level_2": 60, "level_1": 60}, 0.5, "2+", True),
        ({"level_3": 3, "level_2": 60, "level_1": 60}, 0.2, "3+", True),
        ({"level_3": 2, "level_2": 60, "level_1": 60}, 0.3, "3+", False),
        ({"level_3": 0, "level_2": 0, "level_1": 0}, 0.5, "1+", False),
        ({"level_3": 0, "level_2": 0, "level_1": 4}, 0.1, "1+", True),
    ],
)
def test_distance_of_a_biopsy(sizes, distance, nearest, close, params) -> None:
    found = decide(
        biopsy(), params, sizes=sizes, intense_complete=50, weak_complete=50, faint_incomplete=50
    )
    assert found.distance_pp == pytest.approx(distance)
    assert (found.nearest_score, found.close) == (nearest, close)


def changed(guideline: Guideline, **switches: bool) -> Guideline:
    tree = guideline.model_dump()
    for name, apply in switches.items():
        tree["interpretations"][name]["apply"] = apply
    return Guideline.model_validate(tree)


def test_interpretations_can_be_switched_off(params) -> None:
    apart = changed(resection(), sum_towards_2=False)
    kinds = {"intense_complete": 60, "moderate_complete": 60}
    assert decide(resection(), params, **kinds).score == "2+"
    assert "interpretation sum_towards_2" in decide(resection(), params, **kinds).clause
    assert decide(apart, params, **kinds).score == "1+"
    partial = changed(resection(), weak_partial_is_2=False)
    assert decide(resection(), params, weak_incomplete=200).score == "2+"
    assert decide(partial, params, weak_incomplete=200).score == "1+"
    assert "weak_partial_is_2" in decide(resection(), params, weak_incomplete=200).clause
    assert "weak_partial_is_2" not in decide(resection(), params, weak_complete=200).clause


@pytest.mark.parametrize(
    "rule",
    [
        "resection_3_intense",
        "resection_3_intense/clusters=1+2+3",
        "biopsy_3_intense",
        "biopsy_3_intense/clusters=5+5",
        "biopsy_3_intense/clusters=5+4+5",
        "biopsy_3_intense/clusters=x+5+5",
        "biopsy_3_intense/clusters=11+11+11",
        "biopsy_2_weak/clusters=5+5+5",
        "9_unstained",
    ],
)
def test_a_wrong_rule_is_not_rederived(rule) -> None:
    with pytest.raises(ValueError, match="rule"):
        rederive_score(rule, PatternCounts(unstained=990, intense_complete=10), guideline=biopsy())


def test_without_a_specimen_there_are_no_rules(params) -> None:
    with pytest.raises(ValueError, match="specimen"):
        decide(load_guideline("gastric-inclusive"), params, intense_complete=200)


class TestSlides:
    """From cells to the score of a slide."""

    @pytest.mark.parametrize("stated", [None, "", "core", "Resektat", "biopsies"])
    def test_the_specimen_is_never_guessed(self, stated, make_evidence, params) -> None:
        found = score_evidence(
            make_evidence(un=500, ci=500),
            params,
            guideline=load_guideline("gastric-inclusive"),
            specimen_type=stated,
        )
        assert found.reasons == (ReasonCode.SPECIMEN_TYPE_UNKNOWN,)
        assert "needs the specimen type (resection or biopsy)" in found.deciding_clause
        assert (stated or "states none") in found.deciding_clause
        assert found.pct_complete_intense == 50.0

    def test_other_reasons_stay(self, make_evidence, params) -> None:
        found = score_evidence(
            make_evidence(ci=30), params, guideline=load_guideline("gastric-strict")
        )
        assert found.reasons == (
            ReasonCode.TOO_FEW_CELLS,
            ReasonCode.SPECIMEN_TYPE_UNKNOWN,
        )

    def test_breast_never_asks(self, make_evidence, params) -> None:
        assert score_evidence(make_evidence(ci=500), params, specimen_type=None).ihc_score == "3+"

    def test_low_tiers_are_breast_terms(self, make_evidence, params) -> None:
        gastric = load_guideline("gastric-inclusive")
        for kinds, score, status, tier in (
            ({"un": 1000}, "0", "negative", None),
            ({"un": 950, "if": 50}, "0", "negative", None),
            ({"un": 500, "if": 500}, "1+", "negative", None),
            ({"un": 500, "cw": 500}, "2+", "equivocal", "her2_equivocal"),
            ({"un": 500, "ci": 500}, "3+", "positive", "her2_positive"),
        ):
            found = score_evidence(
                make_evidence(**kinds), params, guideline=gastric, specimen_type="resection"
            )
            assert (found.ihc_score, found.her2_status, found.her2_tier) == (score, status, tier)
            assert found.ultralow_upper_pct is None
            assert not {"limit_of_blank_unset", "ultralow_not_excluded"} & set(found.flags)
            assert found.ish_reflex is (score == "2+")

    def test_a_biopsy_by_its_cluster(self, make_evidence, params) -> None:
        """Five intense cells that touch are 3+; the same five far apart are not."""
        evidence = make_evidence(un=500, ci=5)
        gastric = load_guideline("gastric-inclusive")

        def score(x, specimen="biopsy"):
            return score_evidence(
                replace(evidence, x_um=x), params, guideline=gastric, specimen_type=specimen
            )

        x = evidence.x_um.copy()
        apart = score(x)
        assert apart.ihc_score == "0"
        x[-5:], y = evidence.x_um[-1] + np.arange(5, dtype=np.float32) * 9, evidence.y_um[-1]
        evidence.y_um[-5:] = y
        together = score(x)
        assert (together.ihc_score, together.clusters.level_3) == ("3+", 5)
        assert together.borderline
        assert 0 < (together.boot_share_3 or 0) < 1
        assert score(x, "resection").ihc_score == "0"

    def test_failed_tissue_may_hold_a_cluster(self, make_evidence, params) -> None:
        evidence = make_evidence(un=500, failed_tissue_mm2=0.002)
        gastric = load_guideline("gastric-inclusive")
        found = score_evidence(evidence, params, guideline=gastric, specimen_type="biopsy")
        assert found.reasons == (ReasonCode.FAILED_TILES,)
        whole = score_evidence(evidence, params, guideline=gastric, specimen_type="resection")
        assert whole.status == "scored"

    def test_no_tile_model(self, params) -> None:
        place = np.zeros(60, dtype=np.float32)
        tiles = TileEvidence(
            x_um=place, y_um=place, pattern=np.zeros(60, dtype=np.uint8), side_um=128.0, n_read=60
        )
        with pytest.raises(ConfigError, match="tile model"):
            score_tiles(tiles, params, guideline=load_guideline("gastric-inclusive"))
