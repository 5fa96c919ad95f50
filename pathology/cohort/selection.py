"""Who was selected: groups by IHC and ISH, per arm and hormone receptor, and strata."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from pathology.cohort.patients import Cohort, Patient
from pathology.cohort.rates import interval_cells, interval_columns
from pathology.cohort.strata import HER2_GROUPS, HER2_LOW, STRATA, cross_classify
from pathology.cohort.tables import Account, Cell, Column, Table, account, percent_text

__all__ = [
    "distribution_table",
    "misstratification_tables",
    "population",
    "selection_table",
    "strata_table",
]

_OUTSIDE: Final = "unknown or outside the strata"
#: Populations by hormone receptor.
POPULATIONS: Final = ("HR-positive", "HR-negative", "all")


def population(patient: Patient, basis: str) -> str | None:
    """Tell the hormone-receptor population of a patient.

    Parameters
    ----------
    patient
        The patient.
    basis
        ``as_randomised`` or ``corrected``.

    Returns
    -------
    str or None
        ``HR-positive`` or ``HR-negative``; None where that is not known.
    """
    if basis == "as_randomised":
        stratum = patient.assigned
        positive = None if stratum is None else stratum.hr_positive
    else:
        positive = None if patient.hr is None else patient.hr == "positive"
    return None if positive is None else ("HR-positive" if positive else "HR-negative")


def distribution_table(cohort: Cohort) -> Table:
    """Count all scored patients by HER2 group, with exact (Clopper-Pearson) and Wilson intervals.

    Examples
    --------
    >>> from pathology.cohort.patients import parse_cohort
    >>> cohort = parse_cohort("t", ["patient_id", "ihc_score"],
    ...     [(2, {"patient_id": "a", "ihc_score": "0"}), (3, {"patient_id": "b", "ihc_score": ""})])
    >>> distribution_table(cohort).rows[0][:4]
    ('IHC 0', 1, 1, '100.0')
    """
    groups = [patient.her2 for patient in cohort.patients]
    scored = [group for group in groups if group is not None]
    rows = [(group, *interval_cells(scored.count(group), len(scored))) for group in HER2_GROUPS]
    low = sum(group in HER2_LOW for group in scored)
    rows.append(("HER2-low", *interval_cells(low, len(scored))))
    return Table(
        name="distribution",
        title="HER2 among all patients with a score",
        columns=(Column(name="her2_group", label="Group"), *interval_columns()),
        rows=tuple(rows),
        account=account(patient.why_unscored for patient in cohort.patients),
        notes=("HER2-low is IHC 1+ (ISH negative or not done) or IHC 2+ with negative ISH.",),
    )


def selection_table(cohort: Cohort, arms: Sequence[str], basis: str) -> Table:
    """Count randomised patients by HER2 group, arm and hormone receptor, in the trial's style.

    Parameters
    ----------
    cohort
        All patients.
    arms
        In the order of the columns.
    basis
        Whether hormone receptors are ``as_randomised`` or ``corrected``.
    """
    reasons = [_why_not(patient, basis) for patient in cohort.patients]
    used = [p for p, why in zip(cohort.patients, reasons, strict=True) if why is None]
    rows: list[tuple[Cell, ...]] = []
    for name in POPULATIONS:
        members = [p for p in used if name in ("all", population(p, basis))]
        for group in (*HER2_LOW, "other"):
            chosen = [p for p in members if _group(p) == group]
            if chosen or group != "other":
                rows.append((name, group, *_arm_cells(chosen, members, arms)))
    columns = [
        Column(name="population", label="Population"),
        Column(name="her2_group", label="HER2"),
    ]
    for arm in (*arms, "total"):
        columns += [
            Column(name=f"{arm}_n", label=f"{arm}, n"),
            Column(name=f"{arm}_of", label="of"),
            Column(name=f"{arm}_pct", label="%"),
        ]
    return Table(
        name=f"selection_{basis}",
        title=f"Randomised patients by HER2 ({_BASIS[basis]})",
        columns=tuple(columns),
        rows=tuple(rows),
        account=account(reasons),
        notes=(
            "HER2 by central IHC and ISH. The hormone-receptor cohort as randomised and the "
            "corrected one differ by the patients of the mis-stratification table.",
        ),
    )


_BASIS: Final = {
    "as_randomised": "hormone receptor as randomised",
    "corrected": "hormone receptor corrected",
}


def _why_not(patient: Patient, basis: str) -> str | None:
    if patient.arm is None:
        return "not randomised"
    return None if population(patient, basis) else "hormone receptor unknown"


def _group(patient: Patient) -> str:
    return patient.her2 if patient.her2 in HER2_LOW and patient.her2 else "other"


def _arm_cells(
    chosen: Sequence[Patient], members: Sequence[Patient], arms: Sequence[str]
) -> list[Cell]:
    cells: list[Cell] = []
    for arm in (*arms, None):
        k, n = (sum(arm in (None, p.arm) for p in group) for group in (chosen, members))
        cells += [k, n, percent_text(k, n)]
    return cells


def strata_table(cohort: Cohort, arms: Sequence[str]) -> Table:
    """Count the twelve strata, as randomised and corrected, per arm."""
    randomised = [patient for patient in cohort.patients if patient.arm is not None]
    rows: list[tuple[Cell, ...]] = []
    for stratum in (*STRATA, None):
        cells: list[Cell] = [_OUTSIDE if stratum is None else str(stratum)]
        for arm in arms:
            members = [patient for patient in randomised if patient.arm == arm]
            cells.append(sum(patient.assigned == stratum for patient in members))
            cells.append(sum(patient.corrected == stratum for patient in members))
        rows.append(tuple(cells))
    columns = [Column(name="stratum", label="Stratum")]
    for arm in arms:
        columns.append(Column(name=f"{arm}_as_randomised", label=f"{arm}, as randomised"))
        columns.append(Column(name=f"{arm}_corrected", label=f"{arm}, corrected"))
    return Table(
        name="strata",
        title="Strata, as randomised and corrected",
        columns=tuple(columns),
        rows=tuple(rows),
        account=_randomised_account(cohort),
    )


def _randomised_account(cohort: Cohort) -> Account:
    return account("not randomised" if p.arm is None else None for p in cohort.patients)


def misstratification_tables(cohort: Cohort) -> tuple[Table, Table]:
    """Set strata as randomised against corrected ones: by hormone receptor, and in full.

    Returns
    -------
    tuple of Table
        Hormone receptor by arm; then all pairs of strata that differ.
    """
    randomised = [p for p in cohort.patients if p.arm is not None]

    def classes(name: Callable[[Patient, str], str]) -> list[tuple[str, str, str]]:
        return [(str(p.arm), name(p, "as_randomised"), name(p, "corrected")) for p in randomised]

    by_hr = cross_classify(classes(lambda p, basis: population(p, basis) or _OUTSIDE))
    full = [cell for cell in cross_classify(classes(_stratum_name)) if cell[1] != cell[2]]
    columns = (
        Column(name="arm", label="Arm"),
        Column(name="as_randomised", label="As randomised"),
        Column(name="corrected", label="Corrected"),
        Column(name="patients", label="Patients"),
    )
    wrong = sum(n for _, given, found, n in by_hr if given != found)
    rows_in = _randomised_account(cohort)
    return (
        Table(
            name="misstratified_hr",
            title="Hormone receptor as randomised and corrected",
            columns=columns,
            rows=tuple(by_hr),
            account=rows_in,
            notes=(f"{wrong} of {len(randomised)} randomised patients differ.",),
        ),
        Table(
            name="misstratified",
            title="Strata that differ",
            columns=columns,
            rows=tuple(full),
            account=account(_same_stratum(p) for p in cohort.patients),
        ),
    )


def _stratum_name(patient: Patient, basis: str) -> str:
    stratum = patient.assigned if basis == "as_randomised" else patient.corrected
    return _OUTSIDE if stratum is None else str(stratum)


def _same_stratum(patient: Patient) -> str | None:
    if patient.arm is None:
        return "not randomised"
    return "same stratum" if patient.assigned == patient.corrected else None
