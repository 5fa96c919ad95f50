"""Response rates: confirmed response, best response, disease control, clinical benefit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["BEST_RESPONSES", "CLINICAL_BENEFIT_MONTHS", "Response", "ResponseCounts"]

#: Best overall response (RECIST 1.1), best first; NE: not evaluable, which stays in the total.
BEST_RESPONSES: Final = ("CR", "PR", "SD", "PD", "NE")
#: Stable disease counts as clinical benefit when it lasts longer than this (N Engl J Med
#: 2022;387:9-20, definition of the end point).
CLINICAL_BENEFIT_MONTHS: Final = 6.0


@dataclass(frozen=True, kw_only=True)
class Response:
    """Hold one patient's response.

    Parameters
    ----------
    best
        One of :data:`BEST_RESPONSES`.
    confirmed
        Whether a CR or PR was confirmed; False for others.
    stable_months
        Duration of stable disease; None where that is not the best response.
    """

    best: str
    confirmed: bool = False
    stable_months: float | None = None

    def __post_init__(self) -> None:
        if self.best not in BEST_RESPONSES:
            raise ValueError(f"{self.best!r} is no best overall response")
        if self.confirmed and self.best not in ("CR", "PR"):
            raise ValueError(f"a {self.best} cannot be a confirmed response")


@dataclass(frozen=True, kw_only=True)
class ResponseCounts:
    """Count the responses of a group of patients.

    A best response of CR or PR need not have been confirmed, so the confirmed responses may be
    fewer than CR and PR together.

    Parameters
    ----------
    best
        Patients per best response, in the order of :data:`BEST_RESPONSES`.
    confirmed
        Patients with a confirmed CR or PR.
    long_stable
        Patients whose stable disease lasted longer than :data:`CLINICAL_BENEFIT_MONTHS`.

    Raises
    ------
    ValueError
        If the counts cannot be true together.

    Examples
    --------
    >>> found = ResponseCounts(best=(1, 4, 3, 1, 1), confirmed=4, long_stable=2)
    >>> found.total, found.disease_control, found.clinical_benefit
    (10, 8, 7)
    """

    best: tuple[int, ...]
    confirmed: int
    long_stable: int

    def __post_init__(self) -> None:
        if len(self.best) != len(BEST_RESPONSES) or min(*self.best, self.confirmed) < 0:
            raise ValueError(f"not counts of best responses: {self.best}")
        if (
            self.confirmed > self.best[0] + self.best[1]
            or not 0 <= self.long_stable <= self.best[2]
        ):
            raise ValueError("more confirmed responses or long stable disease than patients")

    @classmethod
    def of(cls, responses: Iterable[Response]) -> ResponseCounts:
        """Count.

        Examples
        --------
        >>> ResponseCounts.of([Response(best="PR", confirmed=True), Response(best="PR")]).confirmed
        1
        """
        found = list(responses)
        return cls(
            best=tuple(sum(one.best == best for one in found) for best in BEST_RESPONSES),
            confirmed=sum(one.confirmed for one in found),
            long_stable=sum((one.stable_months or 0) > CLINICAL_BENEFIT_MONTHS for one in found),
        )

    @property
    def total(self) -> int:
        """All patients."""
        return sum(self.best)

    @property
    def disease_control(self) -> int:
        """CR, PR and SD."""
        return sum(self.best[:3])

    @property
    def clinical_benefit(self) -> int:
        """CR, PR and long SD."""
        return sum(self.best[:2]) + self.long_stable
