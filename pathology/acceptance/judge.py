"""From what was found to pass, fail, or not tested: pure, one verdict per criterion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pathology.acceptance.compare import RunComparison
from pathology.acceptance.criteria import Criteria, Criterion
from pathology.acceptance.facts import SlideFact
from pathology.acceptance.measures import (
    cell_measures,
    comparison_measures,
    score_measures,
    time_measure,
)
from pathology.acceptance.verdicts import DEFINITIONS, Measure, Outcome, SetName, Verdict

__all__ = ["SetEvidence", "judge", "judge_set"]

#: Criteria of a second device or machine, and the figure of a comparison that each takes.
_DEVICE = {"device_scores": "scores", "device_h_score": "h_score", "device_cells": "cells"}
_REPEAT = {"repeat_identical": "identical", "repeat_scores": "scores"}


@dataclass(frozen=True, kw_only=True)
class SetEvidence:
    """Hold all that was found on one set of slides.

    Parameters
    ----------
    name
        Which slides.
    facts
        Of the first device's run.
    device
        The first device.
    repeat
        The repeat run; None where there was none.
    others
        Runs of other devices or machines against the first.
    missing
        Devices that could not be used, with the reason.
    memory_mib
        Largest memory of a worker; None where it is not known.
    """

    name: SetName
    facts: tuple[SlideFact, ...]
    device: str
    repeat: RunComparison | None = None
    others: tuple[RunComparison, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    memory_mib: float | None = None


def judge(criterion: Criterion, name: str, measure: Measure) -> Outcome:
    """Hold one figure against its limit.

    Parameters
    ----------
    criterion
        With the limit.
    name
        Key of ``DEFINITIONS``.
    measure
        What was found.

    Returns
    -------
    str
        ``not_tested`` where there is no figure, or one of fewer than ``min_n``; ``reported`` where
        there is no limit; else ``pass`` or ``fail``.

    Examples
    --------
    >>> judge(Criterion(limit=90.0), "refusals", Measure(value=90.0, n=10))
    'pass'
    >>> judge(Criterion(limit=90.0, min_n=20), "refusals", Measure(value=100.0, n=10))
    'not_tested'
    """
    if measure.value is None:
        return "not_tested"
    if criterion.limit is None:
        return "reported"
    if measure.n < criterion.min_n or not measure.judged:
        return "not_tested"
    at_least = DEFINITIONS[name].at_least
    value = measure.value
    if criterion.judge == "lower":
        end = measure.low if at_least else measure.high
        if end is None:
            return "not_tested"
        value = end
    # Shares are quotients of whole numbers times 100: 100 * 9 / 10 must reach 90.
    slack = 1e-9
    good = value >= criterion.limit - slack if at_least else value <= criterion.limit + slack
    return "pass" if good else "fail"


def judge_set(evidence: SetEvidence, criteria: Criteria) -> list[Verdict]:
    """Return the verdicts on one set of slides, in the order of ``DEFINITIONS``.

    Parameters
    ----------
    evidence
        What was found.
    criteria
        What is asked. Each other device has verdicts of its own; with none there is one verdict,
        ``not_tested``.
    """
    asked = criteria.of(evidence.name)
    verdicts = []
    for name, criterion in asked.items():
        for against, measure in _measures(evidence, criteria, name):
            verdicts.append(
                Verdict(
                    slides=evidence.name,
                    criterion=name,
                    against=against,
                    measure=measure,
                    outcome=judge(criterion, name, measure),
                    limit=criterion.limit,
                    lower_judged=criterion.judge == "lower",
                    min_n=criterion.min_n,
                    required=criterion.required,
                )
            )
    return verdicts


def _measures(
    evidence: SetEvidence, criteria: Criteria, name: str
) -> Iterator[tuple[str, Measure]]:
    """Yield the other run, where there is one, and the figure of a criterion."""
    facts = evidence.facts
    if name in _DEVICE:
        yield from _device_measures(evidence, criteria, _DEVICE[name])
    elif name in _REPEAT:
        yield "", _repeat_measure(evidence, criteria, name)
    elif name == "seconds_per_mm2":
        yield "", time_measure(facts)
    elif name == "memory":
        yield "", _memory(evidence.memory_mib)
    elif name in (cells := cell_measures(facts)):
        yield "", cells[name]
    else:
        yield "", score_measures(facts, confidence=criteria.confidence)[name]


def _patients(facts: Sequence[SlideFact], compared: RunComparison) -> list[str | None]:
    cases = {fact.result.slide_id: fact.result.case_id for fact in facts}
    return [cases[pair.slide_id] for pair in compared.comparable]


def _device_measures(
    evidence: SetEvidence, criteria: Criteria, figure: str
) -> Iterator[tuple[str, Measure]]:
    for compared in evidence.others:
        found = comparison_measures(
            compared, _patients(evidence.facts, compared), confidence=criteria.confidence
        )
        yield compared.second, found[figure]
    for device, why in evidence.missing.items():
        yield device, Measure(value=None, n=0, untested=why)
    if not evidence.others and not evidence.missing:
        yield "", Measure(value=None, n=0, untested="no second device or earlier run was given")


def _repeat_measure(evidence: SetEvidence, criteria: Criteria, name: str) -> Measure:
    if evidence.repeat is None:
        return Measure(value=None, n=0, untested="the run was not repeated")
    found = comparison_measures(
        evidence.repeat,
        _patients(evidence.facts, evidence.repeat),
        confidence=criteria.confidence,
    )[_REPEAT[name]]
    if name == "repeat_identical" and evidence.device != "cpu":
        # A GPU may add up in another order each time; equal bytes are promised on the CPU alone.
        return Measure(
            value=found.value,
            n=found.n,
            detail=found.detail,
            judged=False,
            untested=f"equal bytes are promised on the CPU, not on {evidence.device}",
        )
    return found


def _memory(mib: float | None) -> Measure:
    if mib is None:
        return Measure(value=None, n=0, untested="not measured on this system, or nothing was read")
    return Measure(value=mib, n=1, detail="of all runs on this machine")
