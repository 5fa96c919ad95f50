"""Fit a calibration to slides, with or without one case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import ValidationError

from pathology.calibration.blank import BlankLimit, limit_of_blank
from pathology.calibration.margins import CutGrid, margin_tables
from pathology.calibration.posterior import (
    Combinations,
    Posterior,
    cutoff_combinations,
    gain_combinations,
    log_likelihoods,
    loss_profile,
    posterior,
    ratio_grid,
)
from pathology.calibration.samples import SlideSample
from pathology.cells import classify
from pathology.config import Config, MeasurementConfig, list_problems
from pathology.errors import UsageError
from pathology.scoring import (
    ClusterSizes,
    Guideline,
    apply_rules,
    counts_from_codes,
    load_guideline,
)
from pathology.stain.calibrating import calibrated_measurement, reference_cutoffs
from pathology.stain.calibration import OD_STEP, SCORES, CutoffOds
from pathology.types import AnyArray

__all__ = ["CalibrationError", "Fit", "Fitter", "Method", "predict_intensity", "predict_score"]

Method = Literal["gain", "cutoffs"]

#: Steps per doubling of the two grids: 4.4 % for one gain, 12 % for three cut-offs, whose
#: combinations grow with the third power. Means over the grid are finer than its steps.
_GAIN_STEPS, _CUTOFF_STEPS = 16, 6


class CalibrationError(UsageError):
    """The slides do not allow a calibration (exit status 2)."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Hold one fit.

    Parameters
    ----------
    gain, gain_interval
        The common gain with its 95 % interval.
    cutoffs, cutoff_intervals
        On the reference scale; intervals of the stained, moderate and intense cut-off in OD of the
        laboratory, where they were fitted.
    blank
        Limit of blank, if there was a negative slide.
    at_the_edge
        Whether the grid of gains was too narrow.
    """

    gain: float
    gain_interval: tuple[float, float]
    cutoffs: CutoffOds
    cutoff_intervals: dict[str, tuple[float, float]]
    blank: BlankLimit | None
    at_the_edge: bool


class Fitter:
    """Fit slides again and again, each time without one case.

    Parameters
    ----------
    samples
        All slides.
    config
        Of the run: conditions, guideline, floor.
    method
        ``gain`` or ``cutoffs``.
    """

    def __init__(self, samples: Sequence[SlideSample], config: Config, method: Method) -> None:
        self.samples, self.config, self.method = tuple(samples), config, method
        self.reference = reference_cutoffs()
        self.guideline = load_guideline(config.scoring.guideline)
        self._likelihoods: dict[tuple[str, float], tuple[Combinations, AnyArray]] = {}

    def fit(self, *, without: str | None = None) -> Fit:
        """Fit, without the slides of a case, which then play no part, the blank included.

        Parameters
        ----------
        without
            Case to leave out; None takes all.

        Raises
        ------
        CalibrationError
            If a cut-off is beyond the densities that are stored.
        """
        kept = [item for item in self.samples if item.case_id != without]
        blank = self._blank(kept)
        gain = self._posterior("gain", blank, without)
        factor = round(gain.ratios[0], 4)
        cutoffs = self.reference
        intervals: dict[str, tuple[float, float]] = {}
        if self.method == "cutoffs":
            cutoffs, intervals = self._cutoffs(factor, self._posterior("cutoffs", blank, without))
        return Fit(
            gain=factor,
            gain_interval=gain.interval(),
            cutoffs=cutoffs,
            cutoff_intervals=intervals,
            blank=blank,
            at_the_edge=gain.at_the_edge(),
        )

    def measurement(self, fit: Fit) -> MeasurementConfig:
        """Return the section ``measurement`` that a fit means."""
        return calibrated_measurement(
            self.config.measurement,
            gain=fit.gain,
            cutoffs=fit.cutoffs,
            limit_of_blank_od=fit.blank.od if fit.blank else None,
        )

    def profile(self) -> list[tuple[float, float]]:
        """Return the loss against the gain: negative log likelihood above its least, no prior."""
        combinations, likelihoods = self._tables("gain", self._blank(self.samples))
        loss = loss_profile(likelihoods.sum(axis=0))
        return [
            (round(float(np.exp(log)), 4), round(float(value), 4))
            for log, value in zip(combinations.logs[0], loss, strict=True)
        ]

    def _blank(self, samples: Sequence[SlideSample]) -> BlankLimit | None:
        share = self.config.measurement.min_stained_share
        return limit_of_blank(samples, min_stained_share=share, cutoffs=self.reference)

    def _posterior(
        self, method: Method, blank: BlankLimit | None, without: str | None
    ) -> Posterior:
        combinations, likelihoods = self._tables(method, blank)
        kept = np.array([item.case_id != without for item in self.samples])
        return posterior(likelihoods[kept].sum(axis=0), combinations)

    def _tables(self, method: Method, blank: BlankLimit | None) -> tuple[Combinations, AnyArray]:
        """Work out the likelihoods of all slides; again only where the limit of blank differs."""
        lowest = round(blank.od + OD_STEP, 2) if blank else 0.0
        key = (method, lowest)
        if key not in self._likelihoods:
            ratios = ratio_grid(_GAIN_STEPS if method == "gain" else _CUTOFF_STEPS)
            measurement, cutoffs = self.config.measurement, self.reference
            grid = CutGrid(
                ratios=ratios,
                cutoffs=cutoffs,
                lowest_od=lowest,
                min_stained_share=measurement.min_stained_share,
                complete_share=measurement.complete_share,
            )
            tables = margin_tables(
                self.samples,
                grid,
                guideline=self.guideline,
                pattern_floor_pct=self.config.scoring.pattern_floor_pct,
            )
            levels = (cutoffs.stained_od, cutoffs.moderate_od, cutoffs.intense_od)
            combinations = (
                gain_combinations(ratios)
                if method == "gain"
                else cutoff_combinations(ratios, levels)
            )
            ranks = [item.rank for item in self.samples]
            self._likelihoods[key] = combinations, log_likelihoods(tables, ranks, combinations)
        return self._likelihoods[key]

    def _cutoffs(
        self, gain: float, found: Posterior
    ) -> tuple[CutoffOds, dict[str, tuple[float, float]]]:
        reference = self.reference
        stained, moderate, intense = (ratio / gain for ratio in found.ratios)
        cuts = [reference.stained_od * stained, reference.moderate_od * moderate]
        # Weak is a word within a pattern: it keeps its place between its neighbours.
        weak = min(max(reference.weak_od * math.sqrt(stained * moderate), cuts[0]), cuts[1])
        try:
            cutoffs = CutoffOds(
                stained_od=round(cuts[0], 4),
                contrast_od=round(reference.contrast_od * stained, 4),
                contrast_exempt_od=round(reference.contrast_exempt_od * stained, 4),
                weak_od=round(weak, 4),
                moderate_od=round(cuts[1], 4),
                intense_od=round(reference.intense_od * intense, 4),
            )
        except ValidationError as error:
            raise _out_of_range(error) from error
        intervals = {}
        for place, name in enumerate(("stained_od", "moderate_od", "intense_od")):
            low, high = found.interval(place)
            level = getattr(reference, name)
            intervals[name] = (round(level * low, 4), round(level * high, 4))
        return cutoffs, intervals


def _out_of_range(error: ValidationError) -> CalibrationError:
    return CalibrationError(
        f"the labels ask for cut-offs that no density can reach: {list_problems(error)}",
        fix="Check labels, white point and stain, or use --method gain.",
    )


def predict_score(
    sample: SlideSample, measurement: MeasurementConfig, config: Config, guideline: Guideline
) -> int:
    """Score the cells of a slide by the guideline, as ``her2 score`` does but for clusters.

    Parameters
    ----------
    sample
        Its cells.
    measurement
        Cut-offs of intensity.
    config
        Its floor is used; a mixture that no category describes counts as 1+.
    guideline
        The rules.

    Returns
    -------
    int
        Rank, 0 to 3.
    """
    found = classify(sample.ray_od, sample.cytoplasm_od, measurement)
    params = config.scoring.model_copy(update={"gap_policy": "score_1_borderline"})
    decision = apply_rules(
        counts_from_codes(found.intensity, found.complete),
        guideline=guideline,
        params=params,
        clusters=ClusterSizes(),
    )
    return SCORES.index(decision.score or "1+")


def predict_intensity(sample: SlideSample, measurement: MeasurementConfig) -> int:
    """Return the intensity that at least half of a control's cells reach, as a rank 0 to 3.

    Faint and weak are rank 1, moderate 2, intense 3.
    """
    intensity = classify(sample.ray_od, sample.cytoplasm_od, measurement).intensity
    return sum(int(2 * np.count_nonzero(intensity >= code) >= sample.n) for code in (1, 3, 4))
