"""Put a study into words and into JSON, and make the calibration file of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import PurePosixPath
from typing import Any

from pathology.calibration.concordance import Concordance
from pathology.calibration.gather import MAX_CELLS, Gathered
from pathology.calibration.posterior import DEVIATION_SD, GAIN_SD, LAPSE, SCATTERS
from pathology.calibration.samples import INTENSITY_RANKS, SlideSample
from pathology.calibration.study import Study
from pathology.stain.calibration import (
    SCORES,
    CalibratedModel,
    Calibration,
    CalibrationSlide,
    Conditions,
    LeaveOneOut,
)

__all__ = ["left_out_lines", "make_calibration", "report_json", "report_text"]

#: Version of the report's form.
REPORT_VERSION = 1
_INTENSITIES = tuple(INTENSITY_RANKS)
#: Fields of a prediction that are ranks.
_RANKED = ("rank", "reference", "apparent", "unseen")


def make_calibration(
    study: Study,
    gathered: Gathered,
    *,
    name: str,
    version: str,
    created: date,
    site: str | None = None,
    assay: str | None = None,
    scanner: str | None = None,
    with_paths: bool = False,
) -> Calibration:
    """Make the calibration of a study.

    Parameters
    ----------
    study, gathered
        The fit and what it was made from.
    name, version, created, site, assay, scanner
        As in :class:`~pathology.stain.calibration.Calibration`; site and assay default to those of
        the slides.
    with_paths
        Whether to keep file names, which may name patients.

    Returns
    -------
    Calibration
        Sealed with its hash.

    Raises
    ------
    pydantic.ValidationError
        If a name or text is not allowed.
    """
    fit, unseen = study.fit, study.unseen
    tests = Counter(item.rank for item in gathered.samples if item.kind == "test")
    slides = _slides(gathered, with_paths=with_paths)
    return Calibration(
        name=name,
        version=version,
        created=created,
        site=site or next(iter(gathered.sites), None),
        assay=assay or next(iter(gathered.assays), None),
        scanner=scanner,
        method=study.method,
        guideline=gathered.config.scoring.guideline,
        model=CalibratedModel(name=gathered.model, sha256=gathered.model_sha256),
        gain=fit.gain,
        gain_interval=study.gain_interval,
        cutoffs=fit.cutoffs,
        limit_of_blank_od=fit.blank.od if fit.blank else None,
        limit_of_blank_basis=fit.blank.basis if fit.blank else None,
        slides_per_score={score: tests[rank] for rank, score in enumerate(SCORES)},  # type: ignore[misc]
        controls=sum(item.kind == "control" for item in gathered.samples),
        leave_one_out=LeaveOneOut(
            slides=unseen.slides,
            correct=unseen.correct,
            kappa=_rounded(unseen.kappa),
            kappa_low=_rounded(unseen.kappa_low),
            kappa_high=_rounded(unseen.kappa_high),
        ),
        conditions=Conditions.of(gathered.config),
        reason=f"Fitted by her2 calibrate, method {study.method}, to {len(slides)} slides.",
        slides=slides,
    ).sealed()


def _slides(gathered: Gathered, *, with_paths: bool) -> tuple[CalibrationSlide, ...]:
    """Return the slides that were used, in the order of their hashes."""
    return tuple(
        CalibrationSlide(
            quickhash=item.quickhash,
            size_bytes=item.size_bytes,
            path=PurePosixPath(item.path).name if with_paths else None,
        )
        for item in sorted(gathered.samples, key=_by_hash)
    )


def _by_hash(sample: SlideSample) -> tuple[str, int]:
    return sample.quickhash, sample.size_bytes


def report_json(
    study: Study, gathered: Gathered, calibration: Calibration, *, with_paths: bool = False
) -> bytes:
    """Return the whole study as JSON: the same slides and labels give the same bytes.

    Parameters
    ----------
    study, gathered
        The fit and what it was made from.
    calibration
        The calibration that came of it.
    with_paths
        Whether to name slides; else they are numbered, in the order of their hashes.

    Returns
    -------
    bytes
        UTF-8, two spaces.
    """
    order = sorted(gathered.samples, key=_by_hash)
    numbers = {item.slide_id: f"slide {k}" for k, item in enumerate(order, start=1)}

    def name_of(slide_id: str) -> str:
        return slide_id if with_paths else numbers.get(slide_id, "left out")

    fit = study.fit
    content = {
        "report_version": REPORT_VERSION,
        "research_use_only": True,
        "calibration": calibration.title,
        "calibration_sha256": calibration.sha256,
        "method": study.method,
        "prior": {
            "log_gain_sd": round(GAIN_SD, 4),
            "log_cutoff_sd": DEVIATION_SD,
            "label_lapse": LAPSE,
            "reader_scatter_log_odds": list(SCATTERS),
        },
        "cells_per_slide_max": MAX_CELLS,
        "gain": fit.gain,
        "gain_interval": list(study.gain_interval),
        "gain_interval_posterior": [round(value, 4) for value in fit.gain_interval],
        "gain_interval_jackknife_factors": study.jackknife_interval
        and [round(value, 4) for value in study.jackknife_interval],
        "slides_unsettled_within_interval": study.unsettled,
        "cutoffs_reference_scale": fit.cutoffs.model_dump(),
        "cutoff_intervals_od": {name: list(pair) for name, pair in fit.cutoff_intervals.items()},
        "measurement": study.measurement.model_dump(),
        "limit_of_blank": _blank(study, name_of),
        "warnings": list(study.warnings),
        "agreement": {
            "reference_cutoffs": _agreement(study.reference),
            "apparent": _agreement(study.apparent),
            "left_out": _agreement(study.unseen),
        },
        "slides": _predictions(study, name_of),
        "slides_left_out": _left_out(gathered, with_paths=with_paths),
        "loss_against_gain": [list(pair) for pair in study.profile],
    }
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _blank(study: Study, name_of: Callable[[str], str]) -> dict[str, Any] | None:
    blank = study.fit.blank
    if blank is None:
        return None
    per_slide = {name_of(name): value for name, value in blank.per_slide}
    return {
        "od": blank.od,
        "basis": blank.basis,
        "percentile_per_slide": dict(sorted(per_slide.items())),
    }


def _predictions(study: Study, name_of: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return what each slide was given and predicted as, in the order of their names."""
    predictions = [
        {**asdict(item), "slide_id": name_of(item.slide_id)}
        | {key: _word(item.kind, getattr(item, key)) for key in _RANKED}
        for item in study.predictions
    ]
    return sorted(predictions, key=lambda item: _natural(str(item["slide_id"])))


def _word(kind: str, rank: int) -> str:
    return SCORES[rank] if kind == "test" else _INTENSITIES[rank]


def _natural(text: str) -> tuple[int, str]:
    return len(text), text


def _left_out(gathered: Gathered, *, with_paths: bool) -> list[dict[str, object]]:
    if with_paths:
        return [
            {"slide_id": item.slide_id, "reason": item.reason, "text": item.text}
            for item in gathered.left_out
        ]
    counts = Counter(item.reason for item in gathered.left_out)
    return [{"reason": reason, "slides": n} for reason, n in sorted(counts.items())]


def _agreement(found: Concordance) -> dict[str, object]:
    return {
        "slides": found.slides,
        "correct": found.correct,
        "kappa_quadratic": _rounded(found.kappa),
        "kappa_interval": None
        if found.kappa_low is None
        else [_rounded(found.kappa_low), _rounded(found.kappa_high)],
        "confusion_rows_given_columns_predicted": [list(row) for row in found.confusion],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def report_text(study: Study, gathered: Gathered, calibration: Calibration) -> str:
    """Return a short report for a person.

    Parameters
    ----------
    study, gathered, calibration
        As for :func:`report_json`.

    Returns
    -------
    str
        Some twenty lines.
    """
    fit, measured = study.fit, study.measurement
    low, high = study.gain_interval
    blank = measured.limit_of_blank_od
    tests = study.unseen.slides
    controls = len(study.predictions) - tests
    lines = [
        f"calibration {calibration.title}: {tests} scored slides, {controls} controls",
        f"gain        {fit.gain:.2f} (95 % interval {low:.2f} to {high:.2f}); 1 is the reference",
        "cut-offs    "
        + ", ".join(
            f"{word} {getattr(measured, name) + blank:.2f}"
            for word, name in (
                ("stained", "stained_od"),
                ("weak", "weak_od"),
                ("moderate", "moderate_od"),
                ("intense", "intense_od"),
            )
        )
        + " OD as measured",
        _blank_line(study),
        "agreement   given score against predicted, slides right of all; quadratic kappa",
        *(
            f"  {words:<22}{_figures(found)}"
            for words, found in (
                ("reference cut-offs", study.reference),
                ("calibrated, apparent", study.apparent),
                ("calibrated, left out", study.unseen),
            )
        ),
    ]
    if tests:
        lines += _matrix(study.unseen)
    lines += _slide_lines(study, gathered)
    lines += [f"warning: {text}" for text in study.warnings]
    return "\n".join(lines)


def _blank_line(study: Study) -> str:
    blank = study.fit.blank
    if blank is None:
        return "blank       unknown: no negative slide"
    basis = "negative controls" if blank.basis == "negative_controls" else "slides of score 0"
    return f"blank       {blank.od:.2f} OD, from {len(blank.per_slide)} {basis}"


def _figures(found: Concordance) -> str:
    text = f"{found.correct} of {found.slides}"
    if found.kappa is None:
        return f"{text}; kappa undefined"
    text = f"{text}; kappa {found.kappa:.2f}"
    if found.kappa_low is None or found.kappa_high is None:
        return text
    return f"{text} ({found.kappa_low:.2f} to {found.kappa_high:.2f})"


def _matrix(found: Concordance) -> list[str]:
    head = "  given \\ left out" + "".join(f"{score:>6}" for score in SCORES)
    rows = [
        f"  {score:<16}" + "".join(f"{n:>6}" for n in row)
        for score, row in zip(SCORES, found.confusion, strict=True)
    ]
    return [head, *rows]


def _slide_lines(study: Study, gathered: Gathered) -> list[str]:
    lines = [
        f"  {item.slide_id}: given {_word(item.kind, item.rank)}, left out "
        f"{_word(item.kind, item.unseen)} (gain without it {item.gain_without:.2f})"
        for item in study.predictions
        if item.unseen != item.rank
    ]
    if lines:
        lines = ["slides that the others do not predict:", *lines]
    return lines + left_out_lines(gathered)


def left_out_lines(gathered: Gathered) -> list[str]:
    """Name the slides that are not used, with the reason; those without a label are counted."""
    lines = []
    unlabelled = sum(item.reason == "no_label" for item in gathered.left_out)
    left = [item for item in gathered.left_out if item.reason != "no_label"]
    if left:
        lines.append("not used:")
        lines += [f"  {item.slide_id}: {item.text}" for item in left]
    if unlabelled:
        lines.append(f"not used: {unlabelled} slides without a label")
    return lines
