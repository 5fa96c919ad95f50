"""Compare two arms: medians, hazard ratios, tests in their order, response rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pathology.cohort.gating import GateStep, Hypothesis, pass_gates
from pathology.cohort.groups import (
    ENDPOINTS,
    AnalysisSet,
    Arms,
    Basis,
    select_patients,
    survival_set,
)
from pathology.cohort.logrank import LogRank, logrank
from pathology.cohort.patients import Cohort, Patient
from pathology.cohort.rates import interval_cells, interval_columns
from pathology.cohort.response import BEST_RESPONSES, Response, ResponseCounts
from pathology.cohort.sequential import boundaries
from pathology.cohort.survival import CoxFit, Curve, at_risk, hazard_ratio, kaplan_meier
from pathology.cohort.tables import Account, Cell, Column, Table
from pathology.types import AnyArray

__all__ = [
    "Comparison",
    "compare_arms",
    "curve_table",
    "gate_tables",
    "number_text",
    "p_text",
    "response_table",
    "survival_table",
]

#: Populations in the order in which they are tested.
_TESTED: Final = ("HR-positive", "all")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Hold the comparison of two arms for one endpoint and population.

    Parameters
    ----------
    endpoint, population
        ``pfs`` or ``os``; ``HR-positive`` or ``all``.
    arms
        The two arms.
    patients
        Who was compared.
    curves
        Of treatment and control.
    test
        Stratified log-rank test.
    cox
        Stratified hazard ratio.
    ticks, risk
        (t,) months, and patients at risk then, of treatment and control.
    """

    endpoint: str
    population: str
    arms: Arms
    patients: AnalysisSet
    curves: tuple[Curve, Curve]
    test: LogRank
    cox: CoxFit
    ticks: AnyArray
    risk: tuple[list[int], list[int]]

    @property
    def title(self) -> str:
        """Endpoint and population in words."""
        who = "all patients" if self.population == "all" else f"{self.population} patients"
        return f"{ENDPOINTS[self.endpoint]}, {who}"


def compare_arms(cohort: Cohort, arms: Arms, basis: Basis) -> tuple[Comparison, ...]:
    """Compare the arms for every endpoint and population of the table, in the order of testing.

    Parameters
    ----------
    cohort
        All patients.
    arms
        The two arms.
    basis
        Of hormone receptors and strata.

    Raises
    ------
    UsageError
        If a randomised patient lacks a time, an arm is empty, or lifelines is not installed.
    """
    return tuple(
        _compare(cohort, endpoint, name, arms, basis)
        for endpoint in ENDPOINTS
        if f"{endpoint}_months" in cohort.columns
        for name in _populations(cohort, basis)
    )


def _populations(cohort: Cohort, basis: Basis) -> tuple[str, ...]:
    known = {"hr_as_randomised"} if basis == "as_randomised" else {"hr_status", "er_pct", "pr_pct"}
    return _TESTED if known & cohort.columns else ("all",)


def _compare(cohort: Cohort, endpoint: str, name: str, arms: Arms, basis: Basis) -> Comparison:
    found = survival_set(cohort, endpoint=endpoint, name=name, basis=basis, arms=arms)
    times = found.times
    sides = (times.treated, ~times.treated)
    ticks = _ticks(float(times.months.max()))
    curves = [kaplan_meier(times.months[side], times.event[side]) for side in sides]
    risk = [at_risk(times.months[side], ticks) for side in sides]
    return Comparison(
        endpoint=endpoint,
        population=name,
        arms=arms,
        patients=found,
        curves=(curves[0], curves[1]),
        test=logrank(times),
        cox=hazard_ratio(times),
        ticks=ticks,
        risk=(risk[0], risk[1]),
    )


def _ticks(longest: float) -> AnyArray:
    step = next((step for step in (1, 2, 3, 6, 12, 24) if longest / step <= 12), 60)
    return np.arange(0.0, longest + 1e-9, step)


def number_text(value: float | None, *, decimals: int = 1) -> str:
    """Write a number, or that it was not reached.

    Examples
    --------
    >>> number_text(None), number_text(10.06)
    ('NE', '10.1')
    """
    return "NE" if value is None else f"{value:.{decimals}f}"


def p_text(p: float | None) -> str:
    """Write a p with enough digits, however small.

    Examples
    --------
    >>> p_text(0.00271), p_text(2.1e-9), p_text(None)
    ('0.0027', '2.1e-09', '')
    """
    return "" if p is None else f"{p:.2g}"


def survival_table(found: Comparison) -> Table:
    """Return one comparison as a table with a row per arm."""
    effect = found.cox.effects.get("treatment")
    rows: list[tuple[Cell, ...]] = []
    for k, arm in enumerate(found.arms.both):
        curve = found.curves[k]
        first = k == 0
        rows.append(
            (
                arm,
                curve.patients,
                curve.events,
                number_text(curve.median),
                number_text(curve.median_lower),
                number_text(curve.median_upper),
                effect.ratio if effect and first else None,
                effect.lower if effect and first else None,
                effect.upper if effect and first else None,
                p_text(found.test.p) if first else None,
            )
        )
    labels = {
        "arm": "Arm",
        "patients": "Patients",
        "events": "Events",
        "median_months": "Median, months",
        "median_lo_months": "95 % from",
        "median_hi_months": "to",
        "hazard_ratio": "Hazard ratio",
        "hazard_ratio_lo": "95 % from",
        "hazard_ratio_hi": "to",
        "logrank_p": "log-rank p",
    }
    notes = [*found.patients.notes, "NE: not reached."]
    if found.cox.problem:
        notes.append(f"No hazard ratio: {found.cox.problem}.")
    return Table(
        name=f"survival_{found.endpoint}_{_slug(found.population)}",
        title=found.title,
        columns=tuple(Column(name=name, label=label) for name, label in labels.items()),
        rows=tuple(rows),
        account=found.patients.account,
        notes=tuple(notes),
    )


def _slug(name: str) -> str:
    return name.lower().replace("-", "_")


def curve_table(found: Comparison) -> Table:
    """Return both curves as a table, one row per time and arm."""
    rows: list[tuple[Cell, ...]] = []
    for arm, curve, treated in zip(found.arms.both, found.curves, (True, False), strict=True):
        times = found.patients.times
        counts = at_risk(times.months[times.treated == treated], curve.months)
        rows += [
            (arm, float(month), float(share), float(low), float(high), count)
            for month, share, low, high, count in zip(
                curve.months, curve.survival, curve.lower, curve.upper, counts, strict=True
            )
        ]
    names = ("arm", "months", "survival", "survival_lo", "survival_hi", "at_risk")
    return Table(
        name=f"curve_{found.endpoint}_{_slug(found.population)}",
        title=f"Kaplan-Meier curves: {found.title}",
        columns=tuple(Column(name=name, label=name.replace("_", " ")) for name in names),
        rows=tuple(rows),
        account=found.patients.account,
    )


def gate_tables(
    comparisons: Sequence[Comparison], *, alpha: float, os_information: float
) -> tuple[Table, tuple[GateStep, ...]]:
    """Test the comparisons in their order: PFS HR-positive, PFS all, OS HR-positive, OS all.

    Parameters
    ----------
    comparisons
        In the order of testing.
    alpha
        Two-sided error of the whole sequence.
    os_information
        Share of the final deaths that this look has; below 1 the boundary for overall survival is
        that of an interim look.

    Returns
    -------
    tuple
        The table, and the steps.
    """
    interim = boundaries([os_information], alpha=alpha)[0].p
    steps = pass_gates(
        [
            Hypothesis(
                name=found.title,
                p=found.test.p,
                boundary=interim if found.endpoint == "os" else alpha,
                favours_treatment=found.test.excess < 0,
            )
            for found in comparisons
        ]
    )
    return _gating_table(steps, comparisons, os_information), steps


def _gating_table(
    steps: Sequence[GateStep], comparisons: Sequence[Comparison], os_information: float
) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            number,
            step.hypothesis.name,
            p_text(step.hypothesis.p),
            step.hypothesis.boundary,
            _said(step),
        )
        for number, step in enumerate(steps, start=1)
    ]
    names = {
        "order": "Order",
        "hypothesis": "Hypothesis",
        "logrank_p": "log-rank p",
        "boundary_p": "Boundary (two-sided p)",
        "result": "Result",
    }
    total = comparisons[0].patients.account.rows_in if comparisons else 0
    used = max((len(found.patients.patients) for found in comparisons), default=0)
    left = (("in none of the comparisons", total - used),) if total > used else ()
    return Table(
        name="gating",
        title="Tests in their order",
        columns=tuple(Column(name=name, label=label) for name, label in names.items()),
        rows=tuple(rows),
        account=Account(rows_in=total, rows_out=used, left_out=left),
        notes=(
            f"Overall survival at information fraction {os_information:g}: O'Brien-Fleming-type "
            "boundary (Lan-DeMets), one-sided error doubled. A hypothesis is tested only while "
            "all before it were rejected.",
        ),
    )


def _said(step: GateStep) -> str:
    if not step.tested:
        return "not tested"
    return "rejected" if step.rejected else "not rejected"


def response_table(cohort: Cohort, arms: Arms, basis: Basis) -> Table:
    """Return response rates by population and arm with exact and Wilson intervals.

    Parameters
    ----------
    cohort
        All patients.
    arms
        The two arms.
    basis
        Of hormone receptors.

    Raises
    ------
    UsageError
        If a randomised patient has no best response or no word on its confirmation.
    """
    rows: list[tuple[Cell, ...]] = []
    for name in (*_populations(cohort, basis),):
        chosen, _ = select_patients(cohort, name, basis)
        for arm in arms.both:
            group = [_response(cohort, patient) for patient in chosen if patient.arm == arm]
            counts = ResponseCounts.of(group)
            rows += [
                (name, arm, measure, *interval_cells(k, counts.total))
                for measure, k in _measures(counts)
            ]
    _, everyone = select_patients(cohort, "all", basis)
    return Table(
        name="response",
        title="Response",
        columns=(
            Column(name="population", label="Population"),
            Column(name="arm", label="Arm"),
            Column(name="measure", label="Measure"),
            *interval_columns(),
        ),
        rows=tuple(rows),
        account=everyone,
        notes=(
            f"Hormone receptors {basis.replace('_', ' ')}. Best responses of CR and PR need not "
            "be confirmed: together they may be more than the confirmed responses. Disease control "
            "is CR, PR and SD; clinical benefit is CR, PR and SD for more than 6 months.",
        ),
    )


def _measures(counts: ResponseCounts) -> list[tuple[str, int]]:
    return [
        ("Confirmed response", counts.confirmed),
        *(
            (f"Best response {best}", k)
            for best, k in zip(BEST_RESPONSES, counts.best, strict=True)
        ),
        ("Disease control", counts.disease_control),
        ("Clinical benefit", counts.clinical_benefit),
    ]


def _response(cohort: Cohort, patient: Patient) -> Response:
    best = patient.values.get("best_response")
    if best is None:
        raise cohort.place(patient, "best_response").error(
            "is empty for a randomised patient", "Write NE where it was not evaluable."
        )
    confirmed = patient.values.get("response_confirmed")
    if best in ("CR", "PR") and confirmed is None:
        raise cohort.place(patient, "response_confirmed").error(
            f"is empty for a {best}", "Say yes or no."
        )
    if best not in ("CR", "PR") and confirmed:
        raise cohort.place(patient, "response_confirmed").error(
            f"a {best} cannot be a confirmed response", "Say no, or leave it empty."
        )
    stable = patient.values.get("stable_months")
    if best == "SD" and stable is None:
        raise cohort.place(patient, "stable_months").error(
            "is empty for stable disease", "Give its months; clinical benefit depends on it."
        )
    return Response(
        best=best, confirmed=bool(confirmed), stable_months=stable if best == "SD" else None
    )
