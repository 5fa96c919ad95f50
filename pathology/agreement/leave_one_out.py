"""Each reader, and the program, against what the other readers say.

A reader who is part of the consensus agrees with it more than an outsider can. So each reader is
compared with the other readers only, and the program with the same panel on the same slides: the
difference is paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathology.agreement.codes import N_SCORES, NO_SCORE, NOT_READ
from pathology.agreement.coefficients import cohen_kappa
from pathology.agreement.comparison import Flow
from pathology.agreement.consensus import TieRule, consensus
from pathology.agreement.shares import TABLE_TERMS, pair_terms
from pathology.agreement.sums import Bootstrap, Estimate, resample
from pathology.types import AnyArray, BoolArray, IntArray

__all__ = ["LeaveOneOut", "leave_one_out"]

#: A panel without one reader must still be a panel.
_MIN_READERS = 3
_N = N_SCORES + 1


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut:
    """Hold one reader and the program against the other readers.

    Parameters
    ----------
    reader
        Who was left out of the panel.
    flow
        Slides on which the panel agreed on a score, and reader and program gave one.
    reader_overall, program_overall
        Overall agreement with the panel on these slides.
    difference
        Program minus reader, paired.
    reader_kappa, program_kappa
        Quadratic kappa on these slides.
    reader_unscored, program_unscored
        Overall agreement on all slides of the reader that the panel scored, where a missing score
        of reader or program counts as disagreement.
    slides_unscored
        Those slides.
    """

    reader: str
    flow: Flow
    reader_overall: Estimate
    program_overall: Estimate
    difference: Estimate
    reader_kappa: Estimate
    program_kappa: Estimate
    reader_unscored: Estimate
    program_unscored: Estimate
    slides_unscored: int


def leave_one_out(
    readers: Sequence[str],
    readings: AnyArray,
    program: AnyArray,
    *,
    patient: IntArray,
    ties: TieRule,
    bootstrap: Bootstrap,
) -> tuple[LeaveOneOut, ...]:
    """Compare each reader and the program with the majority of the other readers.

    Parameters
    ----------
    readers
        Names of r readers.
    readings
        (n, r) int8 codes.
    program
        (n,) int8 codes.
    patient
        (n,) int64.
    ties
        What a tied vote of the others means.
    bootstrap
        How patients are drawn.

    Returns
    -------
    tuple of LeaveOneOut
        In the order of the readers; empty with fewer than three.

    Examples
    --------
    >>> readings = np.array([[0, 0, 0], [1, 1, 2], [3, 3, 3]])
    >>> found = leave_one_out("ABC", readings, np.array([0, 1, 3]), patient=np.arange(3),
    ...                       ties="leave-out", bootstrap=Bootstrap())
    >>> [(one.reader, one.flow.slides_used, one.reader_overall.value) for one in found]
    [('A', 2, 1.0), ('B', 2, 1.0), ('C', 3, 0.6666666666666666)]
    """
    if len(readers) < _MIN_READERS:
        return ()
    found = []
    for column, name in enumerate(readers):
        panel, tied = consensus(np.delete(readings, column, axis=1), ties=ties)
        found.append(_one(name, readings[:, column], program, panel, tied, patient, bootstrap))
    return tuple(found)


def _one(
    name: str,
    reader: AnyArray,
    program: AnyArray,
    panel: AnyArray,
    tied: BoolArray,
    patient: IntArray,
    bootstrap: Bootstrap,
) -> LeaveOneOut:
    asked = (panel > NO_SCORE) & (reader > NOT_READ)
    both = asked & (reader > NO_SCORE) & (program > NO_SCORE)
    nobody = np.zeros(len(panel), dtype=bool)
    terms = np.hstack(
        (
            pair_terms(np.where(both, panel, NOT_READ), reader, nobody),
            pair_terms(np.where(both, panel, NOT_READ), program, nobody),
            np.column_stack((asked, asked & (reader == panel), asked & (program == panel))),
        )
    )
    drawn = resample(terms[asked], patient[asked], bootstrap)
    theirs, ours, all_asked = 0, TABLE_TERMS, 2 * TABLE_TERMS
    return LeaveOneOut(
        reader=name,
        flow=_flow(reader, program, panel, tied),
        reader_overall=drawn.estimate(lambda sums: _overall(sums, theirs)),
        program_overall=drawn.estimate(lambda sums: _overall(sums, ours)),
        difference=drawn.estimate(lambda sums: _overall(sums, ours) - _overall(sums, theirs)),
        reader_kappa=drawn.estimate(lambda sums: cohen_kappa(_table(sums, theirs), "quadratic")),
        program_kappa=drawn.estimate(lambda sums: cohen_kappa(_table(sums, ours), "quadratic")),
        reader_unscored=drawn.estimate(lambda sums: _share(sums, all_asked + 1, all_asked)),
        program_unscored=drawn.estimate(lambda sums: _share(sums, all_asked + 2, all_asked)),
        slides_unscored=int(asked.sum()),
    )


def _table(sums: AnyArray, first: int) -> AnyArray:
    """Return the table of two readers that begins at a column, scores only."""
    return sums[..., first : first + _N * _N].reshape(*sums.shape[:-1], _N, _N)[..., 1:, 1:]


def _overall(sums: AnyArray, first: int) -> AnyArray:
    found = _table(sums, first)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.trace(found, axis1=-2, axis2=-1) / found.sum(axis=(-2, -1)))


def _share(sums: AnyArray, above: int, below: int) -> AnyArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[..., above] / sums[..., below])


def _flow(reader: AnyArray, program: AnyArray, panel: AnyArray, tied: BoolArray) -> Flow:
    reasons = (
        ("not_read_by_reader", reader == NOT_READ),
        ("tie", tied & (panel == NOT_READ)),
        ("fewer_than_two_other_readers", panel == NOT_READ),
        ("no_score_by_other_readers", panel == NO_SCORE),
        ("no_score_by_reader", reader == NO_SCORE),
        ("no_score_by_program", program == NO_SCORE),
    )
    return Flow.count(len(panel), reasons)
