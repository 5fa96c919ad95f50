"""The fit: known gains come back, slides that are left out are left out, and vague fits refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from laboratory import gains, make_control, make_laboratory, make_slide, relabelled

from pathology.calibration import (
    CalibrationError,
    Gathered,
    SlideSample,
    make_calibration,
    report_json,
    report_text,
    study_slides,
)
from pathology.calibration.blank import BlankLimit
from pathology.calibration.fitting import Fitter, predict_intensity, predict_score
from pathology.calibration.margins import CutGrid, margin_tables
from pathology.calibration.posterior import (
    GAIN_SD,
    cutoff_combinations,
    gain_combinations,
    log_likelihoods,
    posterior,
    ratio_grid,
)
from pathology.calibration.study import _check_fit
from pathology.cells import classify
from pathology.config import load_config
from pathology.scoring import counts_from_codes, load_guideline
from pathology.stain.calibrating import calibrated_measurement, reference_cutoffs
from pathology.types import AnyArray

CONFIG = load_config()
GUIDELINE = load_guideline("asco-cap-breast-2018")


def logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


# Two implementations against each other


@pytest.mark.parametrize("rank", range(4))
@pytest.mark.parametrize("lowest_od", [0.0, 0.09])
def test_the_tables_are_what_classing_the_cells_gives(rank: int, lowest_od: float) -> None:
    sample = make_slide(np.random.default_rng(rank), rank, n=200)
    ratios = ratio_grid(4)
    grid = CutGrid(
        ratios=ratios,
        cutoffs=reference_cutoffs(),
        lowest_od=lowest_od,
        min_stained_share=0.125,
        complete_share=0.8,
    )
    tables = margin_tables([sample], grid, guideline=GUIDELINE, pattern_floor_pct=1.0)
    place = np.arange(len(ratios))
    found = tables.at(place, place, place)[0]
    for k, ratio in enumerate(ratios):
        measurement = calibrated_measurement(
            CONFIG.measurement,
            gain=float(ratio),
            cutoffs=reference_cutoffs(),
            limit_of_blank_od=round(lowest_od - 0.01, 2) if lowest_od else None,
        )
        cells = classify(sample.ray_od, sample.cytoplasm_od, measurement)
        counts = counts_from_codes(cells.intensity, cells.complete)
        n = sample.n + 1
        intense = counts.complete_intense
        complete = counts.complete_weak_moderate + intense
        two = complete + counts.incomplete_moderate_intense
        expected = logit((intense + 0.5) / n) - logit(0.1)
        assert found[2, k] == pytest.approx(expected)
        present = logit((intense + 0.5) / n) - logit(0.01)
        assert found[1, k] == pytest.approx(max(logit((two + 0.5) / n) - logit(0.1), present))
        stained = counts.total - counts.unstained
        one = logit((stained + 0.5) / n) - logit(0.1)
        assert found[0, k] == pytest.approx(max(one, found[1, k]))


def test_the_four_chances_add_up_to_one() -> None:
    samples = make_laboratory(1, gain=0.8, per_score=1, n=100)
    grid = CutGrid(
        ratios=ratio_grid(3),
        cutoffs=reference_cutoffs(),
        lowest_od=0.0,
        min_stained_share=0.125,
        complete_share=0.8,
    )
    tables = margin_tables(samples, grid, guideline=GUIDELINE, pattern_floor_pct=1.0)
    levels = (0.12, 0.28, 0.60)
    for combinations in (gain_combinations(grid.ratios), cutoff_combinations(grid.ratios, levels)):
        chances = sum(
            np.exp(log_likelihoods(tables, [rank] * 4, combinations)) for rank in range(4)
        )
        assert np.allclose(chances, 1.0)


def test_without_labels_the_prior_comes_back() -> None:
    combinations = gain_combinations(ratio_grid(16))
    found = posterior(np.zeros((7, len(combinations.log_prior))), combinations)
    assert found.ratios == pytest.approx((1.0, 1.0, 1.0))
    low, high = found.interval()
    assert low == pytest.approx(np.exp(-1.96 * GAIN_SD), rel=0.02)
    assert high == pytest.approx(np.exp(1.96 * GAIN_SD), rel=0.02)
    assert not found.at_the_edge()


def test_combinations_keep_the_cut_offs_in_order() -> None:
    combinations = cutoff_combinations(ratio_grid(4), (0.12, 0.28, 0.60))
    cuts = np.exp(combinations.logs) * np.array([[0.12], [0.28], [0.60]])
    assert (np.diff(cuts, axis=0) > 0).all()
    found = posterior(np.zeros((7, cuts.shape[1])), combinations)
    assert found.ratios == pytest.approx((1.0, 1.0, 1.0), rel=0.15)


# Simulated laboratories


def simulate(drawn: AnyArray, *, per_score: int, n: int) -> tuple[int, AnyArray, list[int]]:
    """Return how often the gain was in its interval, errors of its log, and scores that fit.

    In every second laboratory one slide carries the label of a neighbouring score.
    """
    inside, errors, right = 0, [], [0, 0, 0]
    for seed, gain in enumerate(drawn):
        lab = make_laboratory(
            seed, gain=float(gain), per_score=per_score, n=n, mislabelled=seed % 2
        )
        try:
            study = study_slides(lab, CONFIG)
        except CalibrationError:
            continue
        low, high = study.gain_interval
        inside += low <= gain <= high
        errors.append(np.log(study.fit.gain / gain))
        for k, found in enumerate((study.reference, study.unseen)):
            right[k] += found.correct
        right[2] += study.unseen.slides
    return inside, np.array(errors), right


@pytest.mark.parametrize(
    ("laboratories", "per_score", "n"),
    [(10, 3, 100), pytest.param(60, 4, 200, marks=pytest.mark.slow)],
)
def test_a_known_gain_lies_in_its_interval_in_nine_of_ten_laboratories(
    laboratories: int, per_score: int, n: int
) -> None:
    drawn = gains(5, laboratories)
    inside, errors, (reference, unseen, slides) = simulate(drawn, per_score=per_score, n=n)
    assert len(errors) >= 0.9 * laboratories
    assert inside >= 0.9 * len(errors)
    # Scores leave a band of gains that fit alike, and its middle is some 15 % above the truth.
    assert abs(errors.mean()) < 0.25
    assert errors.std() < 0.15
    # Slides are scored better by calibrations that never saw them than by the reference.
    assert unseen > reference + 0.05 * slides
    assert unseen >= 0.9 * slides


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.8])
def test_cut_offs_are_fitted_in_order_and_near_the_truth(gain: float) -> None:
    study = study_slides(make_laboratory(3, gain=gain, per_score=4, n=150), CONFIG, "cutoffs")
    cutoffs = study.fit.cutoffs
    assert cutoffs.stained_od < cutoffs.moderate_od < cutoffs.intense_od
    blank = study.measurement.limit_of_blank_od
    assert 0.8 * 0.60 * gain < study.measurement.intense_od + blank < 1.4 * 0.60 * gain
    assert study.unseen.correct >= 14
    assert set(study.fit.cutoff_intervals) == {"stained_od", "moderate_od", "intense_od"}


def test_controls_alone_fix_the_gain() -> None:
    rng = np.random.default_rng(4)
    controls = [
        make_control(rng, rank, gain=0.6, name=f"c{rank}{k}") for rank in range(4) for k in range(3)
    ]
    study = study_slides(controls, CONFIG)
    assert study.gain_interval[0] <= 0.6 <= study.gain_interval[1]
    assert study.fit.blank is not None
    assert study.fit.blank.basis == "negative_controls"
    assert study.unseen.slides == 0
    assert study.unseen.kappa is None
    assert [item.unseen for item in study.predictions] == [k // 3 for k in range(12)]


# Leaving out


def test_a_slide_that_is_left_out_does_not_see_its_own_label() -> None:
    lab = make_laboratory(7, gain=0.7, per_score=3, n=150)
    changed = [relabelled(item, 0) if item.slide_id == "s3-001" else item for item in lab]
    before = {item.slide_id: item for item in study_slides(lab, CONFIG).predictions}
    after = {item.slide_id: item for item in study_slides(changed, CONFIG).predictions}
    assert before["s3-001"].gain_without == after["s3-001"].gain_without
    assert before["s3-001"].unseen == after["s3-001"].unseen
    # The others do see it.
    assert before["s2-001"].gain_without != after["s2-001"].gain_without


def test_leaving_out_is_fitting_the_others() -> None:
    lab = make_laboratory(8, gain=1.3, per_score=2, n=150)
    whole = Fitter(lab, CONFIG, "gain")
    for item in lab:
        others = [other for other in lab if other.slide_id != item.slide_id]
        assert whole.fit(without=item.case_id) == Fitter(others, CONFIG, "gain").fit()


def test_slides_of_one_case_are_left_out_together() -> None:
    lab = make_laboratory(9, gain=0.8, per_score=2, n=150)
    paired = [
        SlideSample(**{**vars(item), "case_id": f"case {k // 2}"}) for k, item in enumerate(lab)
    ]
    found = study_slides(paired, CONFIG).predictions
    assert [item.gain_without for item in found[::2]] == [item.gain_without for item in found[1::2]]


def test_the_order_of_the_slides_changes_nothing() -> None:
    lab = make_laboratory(10, gain=0.8, per_score=2, n=120)
    assert study_slides(lab, CONFIG) == study_slides(lab[::-1], CONFIG)


# Refusals and warnings


def usable(ranks: list[int]) -> list[SlideSample]:
    rng = np.random.default_rng(11)
    return [make_slide(rng, rank, n=150) for rank in ranks]


@pytest.mark.parametrize(
    ("ranks", "method", "part"),
    [
        ([], "gain", "at least 4 slides over 2 scores; usable are 0"),
        ([0, 1, 3], "gain", "at least 4 slides"),
        ([3, 3, 3, 3, 3], "gain", "over 2 scores"),
        ([0, 1, 2, 3] * 2, "cutoffs", "at least 12 slides over 4 scores, 3 of each"),
        ([0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], "cutoffs", "1 of 0, 3 of 1"),
    ],
)
def test_too_few_slides_are_refused(ranks: list[int], method: Any, part: str) -> None:
    with pytest.raises(CalibrationError, match=part):
        study_slides(usable(ranks), CONFIG, method)


def test_slides_of_one_case_are_refused() -> None:
    lab = [SlideSample(**{**vars(item), "case_id": "one"}) for item in usable([0, 1, 2, 3])]
    with pytest.raises(CalibrationError, match="one case"):
        study_slides(lab, CONFIG)


def test_slides_that_say_nothing_are_refused() -> None:
    # Between blank and intense slides any cut-off fits.
    with pytest.raises(CalibrationError, match="too uncertain"):
        study_slides(usable([0, 0, 0, 3]), CONFIG)


def test_labels_without_sense_are_warned_of() -> None:
    lab = make_laboratory(12, gain=1.0, per_score=4, n=150)
    shuffled = [relabelled(item, (item.rank + 2) % 4) for item in lab]
    try:
        study = study_slides(shuffled, CONFIG)
    except CalibrationError:
        return
    assert any("do not use it" in text or "unusual" in text for text in study.warnings)


def test_stained_negatives_are_refused() -> None:
    lab = make_laboratory(13, gain=1.0, per_score=3, n=150)
    strong = next(item for item in lab if item.rank == 3)
    control = SlideSample(
        **{**vars(strong), "slide_id": "n", "case_id": "n", "kind": "control", "rank": 0}
    )
    with pytest.raises(CalibrationError, match="negative slides are stained"):
        study_slides([*lab, control], CONFIG)


def blank_control(od: float) -> SlideSample:
    """Return a negative control whose limit of blank is known."""
    slide = make_control(np.random.default_rng(16), 0, gain=1.0, name="n")
    rays = np.full_like(slide.ray_od, round(od * 100))
    return SlideSample(
        **{**vars(slide), "ray_od": rays, "cytoplasm_od": np.zeros(slide.n, dtype=np.float32)}
    )


def test_a_limit_of_blank_that_hides_faint_membranes_is_refused() -> None:
    lab = make_laboratory(13, gain=1.0, per_score=3, n=150)
    below = study_slides([*lab, blank_control(0.05)], CONFIG)
    assert below.measurement.limit_of_blank_od == 0.05
    with pytest.raises(CalibrationError, match="reaches the cut-off of stained") as caught:
        study_slides([*lab, blank_control(0.20)], CONFIG)
    assert caught.value.fix


def test_the_limit_of_blank_has_to_stay_below_the_cut_off_of_stained() -> None:
    lab = make_laboratory(13, gain=1.0, per_score=3, n=150)
    fit = Fitter(lab, CONFIG, "gain").fit()

    def check(od: float) -> None:
        blank = BlankLimit(od=od, basis="negative_controls", per_slide=())
        at_one = replace(fit, gain=1.0, blank=blank)
        _check_fit(at_one, (0.9, 1.1))

    check(0.11)
    with pytest.raises(CalibrationError, match="reaches the cut-off of stained"):
        check(0.12)


def test_cut_offs_beyond_any_density_are_refused() -> None:
    lab = make_laboratory(3, gain=1.0, per_score=1, n=100)
    fitter = Fitter(lab, CONFIG, "cutoffs")
    combinations = cutoff_combinations(ratio_grid(6), (0.12, 0.28, 0.60))
    darkest = int(np.argmax(combinations.logs[2]))
    likelihoods = np.full((7, combinations.logs.shape[1]), -1e6)
    likelihoods[:, darkest] = 0.0
    # Intense at four times the reference with a gain of a half: 4.8 OD.
    with pytest.raises(CalibrationError, match=r"no density can reach: .*intense_od") as caught:
        fitter._cutoffs(0.5, posterior(likelihoods, combinations))
    assert caught.value.fix


def test_without_a_negative_slide_the_blank_is_unknown() -> None:
    lab = [item for item in make_laboratory(14, gain=1.0, per_score=4, n=150) if item.rank]
    study = study_slides(lab, CONFIG)
    assert study.fit.blank is None
    assert any("no negative slide" in text for text in study.warnings)
    assert study.measurement.limit_of_blank_od == 0.0


def test_predictions_of_controls_are_what_most_cells_are() -> None:
    slide = make_slide(np.random.default_rng(0), 3, n=100)
    for od, rank in ((0, 0), (20, 1), (45, 2), (90, 3)):
        rays = np.full((100, 32), od, dtype=np.uint8)
        rays[60:] = 0
        sample = SlideSample(**{**vars(slide), "ray_od": rays, "kind": "control"})
        assert predict_intensity(sample, CONFIG.measurement) == rank
    assert predict_score(slide, CONFIG.measurement, CONFIG, GUIDELINE) == 3


# Words and files


def gathered(samples: list[SlideSample]) -> Gathered:
    return Gathered(
        samples=tuple(samples),
        left_out=(),
        config=CONFIG,
        model="fake/1.0.0",
        model_sha256="b" * 64,
        assays=("4B5",),
        sites=(),
    )


def test_calibration_and_report_say_what_was_found() -> None:
    from datetime import date

    import orjson

    lab = gathered(make_laboratory(15, gain=0.7, per_score=3, n=150))
    study = study_slides(lab.samples, CONFIG)
    made = make_calibration(study, lab, name="lab", version="1", created=date(2026, 1, 31))
    assert (made.gain, made.assay, made.site) == (study.fit.gain, "4B5", None)
    assert made.slides_per_score == {"0": 3, "1+": 3, "2+": 3, "3+": 3}
    assert made.sha256 == made.content_hash()
    assert made.leave_one_out is not None
    assert made.leave_one_out.correct == study.unseen.correct
    report = report_json(study, lab, made)
    assert report == report_json(study, lab, made)
    content = orjson.loads(report)
    assert content["agreement"]["left_out"]["slides"] == 12
    assert len(content["loss_against_gain"]) == 65
    least = min(content["loss_against_gain"], key=lambda pair: pair[1])
    assert study.gain_interval[0] * 0.8 <= least[0] <= study.gain_interval[1] * 1.2
    # Nothing that names a slide, unless asked for.
    assert b"s3-001" not in report
    assert b"s3-001" in report_json(study, lab, made, with_paths=True)
    assert "s3-001" not in made.to_yaml()
    text = report_text(study, lab, made)
    assert f"gain        {study.fit.gain:.2f}" in text
    assert "12 scored slides, 0 controls" in text
