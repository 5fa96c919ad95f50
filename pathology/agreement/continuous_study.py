"""A measured number of the program against those of readers, such as a percentage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathology.agreement.comparison import Flow
from pathology.agreement.continuous import (
    BlandAltman,
    IntraclassCorrelations,
    bland_altman,
    intraclass,
    intraclass_by_patient,
)
from pathology.agreement.sums import Bootstrap, Estimate
from pathology.types import AnyArray, IntArray

__all__ = ["ContinuousAgreement", "ContinuousPair", "compare_numbers"]

#: Name of the mean over the readers of a slide.
MEAN = "mean of readers"


@dataclass(frozen=True, kw_only=True)
class ContinuousPair:
    """Hold the program's numbers against one reader's, or against the readers' mean.

    Parameters
    ----------
    reader
        Name, or ``mean of readers``.
    flow
        Slides with both numbers.
    icc
        Six intraclass correlations.
    icc_2_1
        ICC(2,1) with an interval over patients.
    limits
        Bias and limits of agreement, program minus reader.
    """

    reader: str
    flow: Flow
    icc: IntraclassCorrelations
    icc_2_1: Estimate
    limits: BlandAltman


@dataclass(frozen=True, kw_only=True)
class ContinuousAgreement:
    """Hold the agreement of measured numbers.

    Parameters
    ----------
    pairs
        The program against each reader; with several readers first against their mean.
    readers_flow, readers_icc, readers_icc_2_1
        The readers among themselves, on slides that all of them measured; None with one reader.
    """

    pairs: tuple[ContinuousPair, ...]
    readers_flow: Flow | None
    readers_icc: IntraclassCorrelations | None
    readers_icc_2_1: Estimate | None


def compare_numbers(
    program: AnyArray,
    readers: Sequence[str],
    numbers: AnyArray,
    *,
    patient: IntArray,
    bootstrap: Bootstrap,
) -> ContinuousAgreement:
    """Compare measured numbers.

    Parameters
    ----------
    program
        (n,) float; NaN where there is none.
    readers
        Names of r readers.
    numbers
        (n, r) float; NaN where there is none.
    patient
        (n,) int64.
    bootstrap
        How patients are drawn.

    Returns
    -------
    ContinuousAgreement
        Intraclass correlations and limits of agreement.

    Examples
    --------
    >>> found = compare_numbers(np.array([1.0, 5.0, 9.0]), ["A"], np.array([[2.0], [5.0], [9.5]]),
    ...                         patient=np.arange(3), bootstrap=Bootstrap())
    >>> found.pairs[0].limits.bias.value
    -0.5
    """
    against = [(name, numbers[:, column]) for column, name in enumerate(readers)]
    if len(readers) > 1:
        there = np.isfinite(numbers)
        total = np.where(there, numbers, 0.0).sum(axis=1)
        mean = np.where(there.any(axis=1), total / np.maximum(there.sum(axis=1), 1), np.nan)
        against.insert(0, (MEAN, mean))
    pairs = tuple(_pair(name, program, theirs, patient, bootstrap) for name, theirs in against)
    if len(readers) < 2:
        return ContinuousAgreement(
            pairs=pairs, readers_flow=None, readers_icc=None, readers_icc_2_1=None
        )
    complete = np.asarray(np.isfinite(numbers).all(axis=1))
    chosen = numbers[complete]
    return ContinuousAgreement(
        pairs=pairs,
        readers_flow=Flow.count(len(numbers), (("not_measured_by_all", ~complete),)),
        readers_icc=intraclass(chosen, confidence=bootstrap.confidence),
        readers_icc_2_1=intraclass_by_patient(chosen, patient[complete], bootstrap),
    )


def _pair(
    name: str, program: AnyArray, theirs: AnyArray, patient: IntArray, bootstrap: Bootstrap
) -> ContinuousPair:
    ours, their = np.isfinite(program), np.isfinite(theirs)
    both = ours & their
    table = np.column_stack((program[both], theirs[both]))
    return ContinuousPair(
        reader=name,
        flow=Flow.count(
            len(program), (("no_number_by_reader", ~their), ("no_number_by_program", ~ours))
        ),
        icc=intraclass(table, confidence=bootstrap.confidence),
        icc_2_1=intraclass_by_patient(table, patient[both], bootstrap),
        limits=bland_altman(table[:, 0], table[:, 1], patient[both], bootstrap),
    )
