"""Gated testing: a fixed order, each hypothesis only while all before it were rejected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["GateStep", "Hypothesis", "pass_gates"]


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """Hold one test of the sequence.

    Parameters
    ----------
    name
        Endpoint and population.
    p
        Two-sided p; None where the test could not be made, which closes the gate.
    boundary
        Nominal two-sided p below which, or at which, the hypothesis is rejected.
    favours_treatment
        Whether the effect is in favour of the treatment; one against it opens no gate.
    """

    name: str
    p: float | None
    boundary: float
    favours_treatment: bool = True

    def __post_init__(self) -> None:
        if self.p is not None and not 0 <= self.p <= 1:
            raise ValueError(f"{self.name}: p {self.p} is not between 0 and 1")
        if not 0 < self.boundary < 1:
            raise ValueError(f"{self.name}: boundary {self.boundary} is not between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class GateStep:
    """Hold what became of one hypothesis.

    Parameters
    ----------
    hypothesis
        The test.
    tested
        Whether the gate was open.
    rejected
        Whether it was tested and rejected.
    """

    hypothesis: Hypothesis
    tested: bool
    rejected: bool


def pass_gates(hypotheses: Sequence[Hypothesis]) -> tuple[GateStep, ...]:
    """Test in a fixed order, without loss of error, up to the first that is not rejected.

    Examples
    --------
    >>> steps = pass_gates([Hypothesis(name="a", p=0.2, boundary=0.05),
    ...                        Hypothesis(name="b", p=0.001, boundary=0.05)])
    >>> [(step.tested, step.rejected) for step in steps]
    [(True, False), (False, False)]
    """
    steps = []
    is_open = True
    for hypothesis in hypotheses:
        small = hypothesis.p is not None and hypothesis.p <= hypothesis.boundary
        rejected = is_open and small and hypothesis.favours_treatment
        steps.append(GateStep(hypothesis=hypothesis, tested=is_open, rejected=rejected))
        is_open = rejected
    return tuple(steps)
