"""The study behind a calibration: the fit, its stability, and slides that it had not seen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pathology.calibration.concordance import Concordance, compare
from pathology.calibration.fitting import (
    CalibrationError,
    Fit,
    Fitter,
    Method,
    predict_intensity,
    predict_score,
)
from pathology.calibration.posterior import GAIN_SD
from pathology.calibration.samples import SlideSample
from pathology.config import Config, MeasurementConfig
from pathology.stain.calibrating import calibrated_measurement, reference_cutoffs
from pathology.stain.calibration import SCORES

__all__ = ["MINIMA", "CalibrationError", "Prediction", "Study", "study_slides"]

#: Slides in all, scores among them, and slides of each score that a method needs.
MINIMA: dict[Method, tuple[int, int, int]] = {"gain": (4, 2, 1), "cutoffs": (12, 4, 3)}
#: An interval of the gain that is not narrower than this part of what is known without any slide
#: (on the log scale) says too little.
UNINFORMED_MIN = 0.75
#: Share of slides that may change their score within the interval of the gain without a warning.
UNSETTLED_MAX = 0.1


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Hold what became of one slide.

    Parameters
    ----------
    slide_id, kind, rank
        The slide and its label.
    reference, apparent, unseen
        Ranks by the reference cut-offs, by the calibration, and by the calibration that was fitted
        without the slide's case.
    gain_without
        Gain of that last calibration.
    """

    slide_id: str
    kind: str
    rank: int
    reference: int
    apparent: int
    unseen: int
    gain_without: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """Hold a calibration with all that speaks for and against it.

    Parameters
    ----------
    method
        ``gain`` or ``cutoffs``.
    fit
        On all slides.
    gain_interval
        95 % interval: the wider end of posterior and jackknife on each side.
    jackknife_interval
        From leaving out one case at a time; None with fewer than three cases.
    measurement
        The section ``measurement`` that the calibration means.
    predictions
        Every slide.
    reference, apparent, unseen
        Agreement of the scored slides' scores (controls have none), by the reference cut-offs, by
        the calibration itself, and left out.
    unsettled
        Scored slides whose score changes within ``gain_interval``.
    profile
        Gains with their loss.
    warnings
        What speaks against using it, in words.
    """

    method: Method
    fit: Fit
    gain_interval: tuple[float, float]
    jackknife_interval: tuple[float, float] | None
    measurement: MeasurementConfig
    predictions: tuple[Prediction, ...]
    reference: Concordance
    apparent: Concordance
    unseen: Concordance
    unsettled: int
    profile: tuple[tuple[float, float], ...]
    warnings: tuple[str, ...]


def study_slides(samples: Sequence[SlideSample], config: Config, method: Method = "gain") -> Study:
    """Fit a calibration and examine it.

    Parameters
    ----------
    samples
        Slides with labels.
    config
        Configuration of their run.
    method
        ``gain``: one factor. ``cutoffs``: the three cut-offs of intensity as well.

    Returns
    -------
    Study
        The calibration and its evidence.

    Raises
    ------
    CalibrationError
        If there are too few slides or scores, what they say is too vague to be of use, or their
        limit of blank or cut-offs would hide staining.
    """
    ordered = sorted(samples, key=lambda item: item.slide_id)
    _check_minima(ordered, method)
    fitter = Fitter(ordered, config, method)
    fit = fitter.fit()
    cases = sorted({item.case_id for item in ordered})
    without = {case: fitter.fit(without=case) for case in cases}
    jackknife = _jackknife([item.gain for item in without.values()])
    interval = _widest(fit, jackknife)
    _check_fit(fit, interval)
    predictions = _predict(fitter, fit, without)
    tests = [row for row, item in enumerate(ordered) if item.kind == "test"]

    def agreement(name: str) -> Concordance:
        chosen = [predictions[row] for row in tests]
        return compare(
            [item.rank for item in chosen],
            [getattr(item, name) for item in chosen],
            [ordered[row].case_id for row in tests],
        )

    study = Study(
        method=method,
        fit=fit,
        gain_interval=interval,
        jackknife_interval=jackknife,
        measurement=fitter.measurement(fit),
        predictions=predictions,
        reference=agreement("reference"),
        apparent=agreement("apparent"),
        unseen=agreement("unseen"),
        unsettled=_unsettled(fitter, fit, interval),
        profile=tuple(fitter.profile()),
        warnings=(),
    )
    return _with_warnings(study)


def _check_minima(samples: Sequence[SlideSample], method: Method) -> None:
    total, scores, each = MINIMA[method]
    counts = Counter(item.rank for item in samples)
    listed = ", ".join(f"{counts[rank]} of {score}" for rank, score in enumerate(SCORES))
    enough = len(samples) >= total and sum(n >= each for n in counts.values()) >= scores
    if not enough:
        needs = f"at least {total} slides over {scores} scores"
        if each > 1:
            needs += f", {each} of each"
        raise CalibrationError(
            f"method {method!r} needs {needs}; usable are {len(samples)} ({listed}; a control "
            "counts as the score of its intensity)",
            fix="Label more slides" + (", or use --method gain." if method == "cutoffs" else "."),
        )
    if len({item.case_id for item in samples}) < 2:
        raise CalibrationError("all slides are of one case", fix="Add slides of other cases.")


def _jackknife(gains: Sequence[float]) -> tuple[float, float] | None:
    """Return the jackknife's 95 % interval as factors on the gain."""
    n = len(gains)
    if n < 3:
        return None
    logs = np.log(gains)
    reach = 1.96 * math.sqrt((n - 1) / n * float(((logs - logs.mean()) ** 2).sum()))
    return math.exp(-reach), math.exp(reach)


def _widest(fit: Fit, jackknife: tuple[float, float] | None) -> tuple[float, float]:
    low, high = fit.gain_interval
    if jackknife is not None:
        low, high = min(low, fit.gain * jackknife[0]), max(high, fit.gain * jackknife[1])
    return math.floor(low * 1e4) / 1e4, math.ceil(high * 1e4) / 1e4


def _check_fit(fit: Fit, interval: tuple[float, float]) -> None:
    low, high = interval
    if fit.blank is not None and fit.blank.od >= fit.gain * fit.cutoffs.moderate_od:
        raise CalibrationError(
            f"the negative slides are stained: their limit of blank is {fit.blank.od:.2f} OD, as "
            "dark as moderate membranes of this laboratory",
            fix="Check their labels; use negative controls without any staining.",
        )
    stained_od = fit.gain * fit.cutoffs.stained_od
    if fit.blank is not None and fit.blank.od >= stained_od:
        raise CalibrationError(
            f"the limit of blank ({fit.blank.od:.2f} OD) reaches the cut-off of stained membranes "
            f"({stained_od:.2f} OD): faint membranes of 1+ would count as unstained",
            fix="Check the labels and the background of the negative slides; use negative "
            "controls without any staining.",
        )
    if fit.at_the_edge:
        raise CalibrationError(
            f"the gain ({fit.gain:.2f}) is at the end of the range that is tried (1/4 to 4)",
            fix="Check labels, white point and stain: no laboratory is known to differ so much.",
        )
    before = 2 * 1.96 * GAIN_SD
    if math.log(high / low) > UNINFORMED_MIN * before:
        raise CalibrationError(
            f"the gain is too uncertain to be of use: {fit.gain:.2f}, 95 % interval {low:.2f} to "
            f"{high:.2f}; that laboratories lie within {math.exp(-before / 2):.2f} to "
            f"{math.exp(before / 2):.2f} is known without any slide",
            fix="Label more slides, of neighbouring scores above all: 1+, 2+ and 3+.",
        )


def _predict(fitter: Fitter, fit: Fit, without: dict[str, Fit]) -> tuple[Prediction, ...]:
    config = fitter.config
    plain = calibrated_measurement(
        config.measurement, gain=1.0, cutoffs=fitter.reference, limit_of_blank_od=None
    )
    fitted = fitter.measurement(fit)

    def rank(sample: SlideSample, measurement: MeasurementConfig) -> int:
        if sample.kind == "control":
            return predict_intensity(sample, measurement)
        return predict_score(sample, measurement, config, fitter.guideline)

    return tuple(
        Prediction(
            slide_id=sample.slide_id,
            kind=sample.kind,
            rank=sample.rank,
            reference=rank(sample, plain),
            apparent=rank(sample, fitted),
            unseen=rank(sample, fitter.measurement(without[sample.case_id])),
            gain_without=without[sample.case_id].gain,
        )
        for sample in fitter.samples
    )


def _unsettled(fitter: Fitter, fit: Fit, interval: tuple[float, float]) -> int:
    """Count the scored slides whose score depends on where in its interval the gain is."""
    ends = [fitter.measurement(replace(fit, gain=gain)) for gain in interval]
    return sum(
        len({predict_score(item, end, fitter.config, fitter.guideline) for end in ends}) > 1
        for item in fitter.samples
        if item.kind == "test"
    )


def _with_warnings(study: Study) -> Study:
    fit, (low, high) = study.fit, study.gain_interval
    found = []
    reference = reference_cutoffs()
    width = reference.intense_od / reference.moderate_od
    if high / low > width:
        found.append(
            f"the gain is uncertain: {low:.2f} to {high:.2f} is wider than a class of intensity (a "
            f"factor of {width:.2f}): label more slides"
        )
    if study.unsettled > UNSETTLED_MAX * study.unseen.slides:
        found.append(
            f"{study.unsettled} of {study.unseen.slides} slides change their score between gains "
            f"of {low:.2f} and {high:.2f}: label more slides"
        )
    if study.unseen.correct < study.reference.correct:
        found.append(
            f"slides left out are scored worse ({study.unseen.correct} of {study.unseen.slides} "
            f"right) than by the reference cut-offs ({study.reference.correct}): do not use it"
        )
    if not 0.5 <= fit.gain <= 2.0:
        found.append(
            f"a gain of {fit.gain:.2f} is unusual: check stain, white point, scanner and labels"
        )
    if fit.blank is None:
        found.append("no negative slide: the limit of blank stays unknown")
    elif fit.blank.basis == "score_0":
        found.append(
            "the limit of blank is from slides of score 0, which may hold faintly stained cells; "
            "negative controls are better"
        )
    return replace(study, warnings=tuple(found))
