"""Who enters an analysis: arms, populations, endpoints, strata, and who is left out and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from pathology.cohort.logrank import Times
from pathology.cohort.patients import Cohort, Patient, SurvivalTime
from pathology.cohort.selection import population
from pathology.cohort.strata import STRATA
from pathology.cohort.tables import Account, account
from pathology.errors import UsageError

__all__ = [
    "ENDPOINTS",
    "AnalysisSet",
    "Arms",
    "Basis",
    "default_basis",
    "find_arms",
    "select_patients",
    "survival_set",
]

Basis = Literal["as_randomised", "corrected"]
#: Endpoints with their names, in the order in which they are tested.
ENDPOINTS: Final = {"pfs": "Progression-free survival", "os": "Overall survival"}


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Name the two arms.

    Parameters
    ----------
    treatment, control
        As in the column ``arm``.
    """

    treatment: str
    control: str

    @property
    def both(self) -> tuple[str, str]:
        """Treatment, then control."""
        return self.treatment, self.control


def find_arms(cohort: Cohort, *, treatment: str | None, control: str | None) -> Arms:
    """Find the two arms of a table.

    Parameters
    ----------
    cohort
        All patients.
    treatment, control
        As the user named them; one is enough where the table has two arms.

    Raises
    ------
    UsageError
        If there are not two arms, one is empty, or it is not clear which is which.

    Examples
    --------
    >>> from pathology.cohort.patients import parse_cohort
    >>> rows = [(2, {"patient_id": "1", "arm": "new"}), (3, {"patient_id": "2", "arm": "old"})]
    >>> cohort = parse_cohort("t.csv", ["patient_id", "arm"], rows)
    >>> find_arms(cohort, treatment=None, control="old").treatment
    'new'
    """
    where = f"{cohort.name}: column 'arm'"
    found = sorted({patient.arm for patient in cohort.patients if patient.arm is not None})
    if not found:
        raise UsageError(f"{where}: no patient has an arm", fix="Name the arm of each patient.")
    for name in (treatment, control):
        if name is not None and name not in found:
            raise UsageError(
                f"{where}: nobody is in arm {name!r}", fix=f"There is: {', '.join(found)}."
            )
    if len(found) < 2:
        raise UsageError(
            f"{where}: one arm is empty, only {found[0]!r} occurs",
            fix="A comparison needs patients in two arms.",
        )
    if len(found) > 2:
        third = next(p for p in cohort.patients if p.arm not in (None, *_first_two(cohort)))
        raise cohort.place(third, "arm").error(
            f"{third.arm!r} is a third arm", f"Two are compared; there is: {', '.join(found)}."
        )
    if control is None and treatment is None:
        raise UsageError(
            f"{where}: which of {found[0]!r} and {found[1]!r} is the control arm?",
            fix="Name it with --control.",
        )
    if control is None:
        control = next(name for name in found if name != treatment)
    if treatment is None:
        treatment = next(name for name in found if name != control)
    if treatment == control:
        raise UsageError(f"{where}: {control!r} cannot be both arms", fix="Name two arms.")
    return Arms(treatment=treatment, control=control)


def _first_two(cohort: Cohort) -> tuple[str, ...]:
    names = dict.fromkeys(p.arm for p in cohort.patients if p.arm is not None)
    return tuple(names)[:2]


def default_basis(cohort: Cohort) -> Basis:
    """Take strata as randomised where the table has them, as the trial's tests did."""
    return "as_randomised" if "hr_as_randomised" in cohort.columns else "corrected"


def select_patients(
    cohort: Cohort, name: str, basis: Basis, *, marker: str | None = None
) -> tuple[list[Patient], Account]:
    """Choose the randomised patients of a population.

    Parameters
    ----------
    cohort
        All patients.
    name
        ``HR-positive``, ``HR-negative`` or ``all``.
    basis
        Whether hormone receptors are as randomised or corrected.
    marker
        A biomarker that has to be known.

    Returns
    -------
    tuple
        The patients, and the account of all others.
    """
    reasons = [_why_not(patient, name, basis, marker) for patient in cohort.patients]
    chosen = [p for p, why in zip(cohort.patients, reasons, strict=True) if why is None]
    return chosen, account(reasons)


def _why_not(patient: Patient, name: str, basis: Basis, marker: str | None) -> str | None:
    if patient.arm is None:
        return "not randomised"
    if name != "all":
        found = population(patient, basis)
        if found is None:
            return "hormone receptor unknown"
        if found != name:
            return found
    if marker is not None and patient.biomarkers.get(marker) is None:
        return f"without {marker}"
    return None


@dataclass(frozen=True, kw_only=True)
class AnalysisSet:
    """Hold the patients of one analysis.

    Parameters
    ----------
    patients
        In the order of the table.
    times
        Their survival, arms and strata, in the same order.
    account
        Everybody else.
    notes
        What a reader has to know about the strata.
    """

    patients: tuple[Patient, ...]
    times: Times
    account: Account
    notes: tuple[str, ...]


def survival_set(
    cohort: Cohort,
    *,
    endpoint: str,
    name: str,
    basis: Basis,
    arms: Arms,
    marker: str | None = None,
) -> AnalysisSet:
    """Gather the survival of a population.

    Parameters
    ----------
    cohort
        All patients.
    endpoint
        ``pfs`` or ``os``.
    name
        ``HR-positive``, ``HR-negative`` or ``all``.
    basis
        Whether hormone receptors and strata are as randomised or corrected.
    arms
        The two arms.
    marker
        A biomarker that has to be known.

    Raises
    ------
    UsageError
        If a randomised patient has no survival time, naming row and column, or an arm is empty.
    """
    chosen, rows = select_patients(cohort, name, basis, marker=marker)
    outcomes = [_outcome(cohort, patient, endpoint) for patient in chosen]
    for arm in arms.both:
        if not any(patient.arm == arm for patient in chosen):
            with_marker = f" with {marker}" if marker else ""
            raise UsageError(
                f"{cohort.name}: column 'arm': one arm is empty, nobody of {arm!r} is in the "
                f"population {name}{with_marker}",
                fix="Compare another population.",
            )
    codes, notes = _strata(chosen, basis)
    return AnalysisSet(
        patients=tuple(chosen),
        times=Times(
            months=np.array([one.months for one in outcomes]),
            event=np.array([one.event for one in outcomes]),
            treated=np.array([patient.arm == arms.treatment for patient in chosen]),
            stratum=codes,
        ),
        account=rows,
        notes=notes,
    )


def _outcome(cohort: Cohort, patient: Patient, endpoint: str) -> SurvivalTime:
    found = patient.pfs if endpoint == "pfs" else patient.os
    if found is None:
        raise cohort.place(patient, f"{endpoint}_months").error(
            "is empty for a randomised patient",
            "All who were randomised count; give the time to the last look, censored.",
        )
    return found


def _strata(
    chosen: Sequence[Patient], basis: Basis
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], tuple[str, ...]]:
    strata = [p.assigned if basis == "as_randomised" else p.corrected for p in chosen]
    codes = np.array([STRATA.index(one) if one else len(STRATA) for one in strata], dtype=np.int64)
    unknown = sum(one is None for one in strata)
    if unknown == len(chosen):
        return codes, ("Not stratified: the table does not give the strata.",)
    used = len(set(codes.tolist()))
    notes = [f"Stratified by {used} strata, {basis.replace('_', ' ')}."]
    if unknown:
        notes.append(f"{unknown} patients outside the strata form a stratum of their own.")
    return codes, tuple(notes)
