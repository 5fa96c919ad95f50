"""Evidence on whole slides: the plan spans all tiers, the truth follows from the rules."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pathology.config import load_config
from pathology.scoring.counts import PatternCounts
from pathology.synthesis import FieldCells, render_slide
from pathology.synthesis.slide import count_patterns
from pathology.testing import FakeModel
from pathology.training.evidence import slides as evidence_slides
from pathology.training.evidence.slide_plan import TIERS, plan_slides, true_score
from pathology.training.evidence.slides import measure_slides, read_one, summarise_slides


def test_the_plan_deals_out_tiers_and_puts_a_third_near_a_cut_off() -> None:
    plan = list(plan_slides(300))
    assert Counter(slide.tier for slide in plan) == dict.fromkeys(TIERS, 60)
    assert sum(slide.near for slide in plan) == 100
    assert len({slide.seed for slide in plan}) == 300
    assert min(slide.seed for slide in plan) >= 10_000_000
    assert len({slide.spec.appearance for slide in plan}) == 300


def test_the_plan_is_the_same_again_and_does_not_depend_on_its_length() -> None:
    assert list(plan_slides(7)) == list(plan_slides(12))[:7]


@pytest.mark.parametrize("tier", TIERS)
def test_planned_mixes_have_the_score_of_their_tier(tier: str) -> None:

    params = load_config().scoring
    for slide in plan_slides(60):
        if slide.tier != tier:
            continue
        cells = mixed(slide.spec.mix.as_tuple(), 4000)
        score = true_score(cells, 0.5, params)
        wanted = {
            "null": ("0", "her2_null"), "ultralow": ("0", "her2_ultralow"),
            "1+": ("1+", "her2_low"), "2+": ("2+", "her2_equivocal"), "3+": ("3+", "her2_positive"),
        }[tier]  # fmt: skip
        assert (score.ihc_score, score.her2_tier) == wanted
        assert score.nearest_score_pp is not None
        assert score.nearest_score_pp > 3
        if slide.near:
            assert score.nearest_score_pp <= 10


def mixed(shares: tuple[float, ...], n: int) -> FieldCells:
    """Make true cells with shares of the five patterns, strewn over 2 mm²."""
    counts = np.rint(np.array(shares) * n).astype(int)
    pattern = np.repeat(np.arange(5), counts)
    rng = np.random.default_rng(0)
    rng.shuffle(pattern)
    size = len(pattern)
    od = np.array([0.0, 0.2, 0.5, 0.4, 0.9], np.float32)[pattern]
    share = np.array([0.0, 0.5, 0.5, 1.0, 1.0], np.float32)[pattern]
    # Far apart: clusters would keep a rare pattern present.
    at = np.stack(np.meshgrid(np.arange(100), np.arange(100)), axis=-1).reshape(-1, 2)[:size] * 80.0
    return FieldCells(
        x_px=at[:, 0].astype(np.float32), y_px=at[:, 1].astype(np.float32),
        cell_class=np.zeros(size, np.uint8), outline_r_um=np.full((size, 32), 6, np.float32),
        ray_od=np.repeat((od * share)[:, None], 32, axis=1), completeness=share, membrane_od=od,
        pattern=pattern.astype(np.uint8), visible=np.ones(size, bool),
    )  # fmt: skip


def test_the_true_score_counts_visible_tumour_alone() -> None:
    cells = mixed((0.5, 0, 0, 0, 0.5), 1000)
    assert true_score(cells, 0.5).ihc_score == "3+"
    cells.cell_class[cells.pattern == 4] = 1
    assert true_score(cells, 0.5).her2_tier == "her2_null"
    cells.cell_class[:] = 0
    cells.visible[cells.pattern == 4] = False
    assert true_score(cells, 0.5).her2_tier == "her2_null"


def test_the_true_score_agrees_with_the_slide_s_own_counts() -> None:
    slide = render_slide(next(plan_slides(5)).spec.__class__(score="2+", piece_mm=0.35), 4)
    counted: PatternCounts = true_score(slide.cells, slide.mpp).counts
    assert counted == count_patterns(slide.cells) == slide.counts


def row(truth: str, found: str | None, distance: float, **readings: Any) -> dict[str, Any]:
    tier = {"0": "her2_null", "1+": "her2_low", "2+": "her2_equivocal", "3+": "her2_positive"}
    fractions = dict.fromkeys(evidence_slides._FRACTIONS, 10.0)
    reading = {
        "status": "scored" if found else "not_scorable", "ihc_score": found,
        "her2_tier": tier.get(found or ""), **fractions, **readings,
    }  # fmt: skip
    return {
        "index": 0, "seed": 1,
        "truth": {"ihc_score": truth, "her2_tier": tier[truth], "n_tumour_cells": 2500,
                  "distance_to_cutoff_pp": distance, **fractions},
        "readings": {"model": reading},
    }  # fmt: skip


def test_only_slides_away_from_a_cut_off_have_to_be_exact() -> None:
    rows = [
        row("1+", "1+", 5.0),
        row("1+", "2+", 2.0),  # too near to count
        row("3+", "3+", 40.0),
        row("2+", "1+", 9.0, pct_incomplete_faint=16.0),
        row("0", None, 10.0),
    ]
    found = summarise_slides(rows)
    assert (found["slides"], found["clear"], found["near"]) == (5, 4, 3)
    model = found["readers"]["model"]
    assert (model["exact_clear"]["k"], model["exact_clear"]["n"]) == (2, 4)
    assert (model["exact_near"]["k"], model["exact_near"]["n"]) == (1, 3)
    assert (model["exact_all"]["k"], model["exact_all"]["n"]) == (2, 5)
    assert model["exact_clear"]["low"] == pytest.approx(0.0676, abs=1e-3)  # Clopper and Pearson
    assert model["confusion"] == {
        "0": {"not_scorable": 1}, "1+": {"1+": 1, "2+": 1}, "2+": {"1+": 1}, "3+": {"3+": 1},
    }  # fmt: skip
    assert [item["truth"]["ihc_score"] for item in model["wrong"]] == ["1+", "2+", "0"]
    assert model["fraction_error_pp"]["pct_incomplete_faint"] == pytest.approx(6.0 / 5)
    assert found["min_tumour_cells"] == 2500


def test_slides_are_rendered_scored_kept_and_not_read_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_slides, "MIN_TUMOUR_CELLS", 200)
    told: list[tuple[int, int]] = []

    def run(count: int) -> dict[str, Any]:
        return measure_slides(
            {"model": FakeModel}, count=count, cache=tmp_path, workers=1, piece_mm=0.4,
            tell=lambda done, total: told.append((done, total)),
        )  # fmt: skip

    found = run(1)
    assert found["slides"] == 1
    assert found["min_tumour_cells"] >= 200
    assert told == [(1, 1)]
    folder = next(tmp_path.iterdir())
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    truth = json.loads((folder / "0000.json").read_text())
    assert truth["her2_tier"] == "her2_null"
    assert run(1) == found
    assert {path: path.stat().st_mtime_ns for path in files} == files
    # What was stopped before its reading goes on from the picture.
    reading = next(path for path in files if path.name.startswith("0000-"))
    reading.unlink()
    assert run(1) == found
    assert (folder / "0000.tif").stat().st_mtime_ns == files[folder / "0000.tif"]


def test_a_slide_with_few_cells_is_made_again_larger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_slides, "MIN_TUMOUR_CELLS", 400)
    planned = next(plan_slides(1, piece_mm=0.2))
    work = evidence_slides.SlideWork(planned=planned, cache=tmp_path, readers={"model": FakeModel})
    found = read_one(work)
    assert found["truth"]["n_tumour_cells"] >= 400
    assert found["truth"]["piece_mm"] > 0.2
