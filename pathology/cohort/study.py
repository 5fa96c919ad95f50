"""A whole study of a cohort: every table that the columns of the patients allow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pathology.cohort.comparing import (
    Comparison,
    compare_arms,
    curve_table,
    gate_tables,
    response_table,
    survival_table,
)
from pathology.cohort.flow import Criteria, Flow, build_flow, flow_table
from pathology.cohort.groups import Arms, Basis, default_basis, find_arms
from pathology.cohort.patients import Cohort
from pathology.cohort.selection import (
    distribution_table,
    misstratification_tables,
    selection_table,
    strata_table,
)
from pathology.cohort.studying import CutoffOptions, CutoffStudy, study_cutoffs
from pathology.cohort.tables import Table
from pathology.errors import UsageError

__all__ = ["PARTS", "Study", "StudyOptions", "run_study"]

#: What a study can hold.
PARTS: Final = ("select", "survival", "cutoff")
_HR_COLUMNS: Final = frozenset({"hr_status", "er_pct"})


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """Choose what a study holds.

    Parameters
    ----------
    parts
        Of :data:`PARTS`.
    treatment, control
        Arms as in the column ``arm``; one is enough.
    basis
        Strata and hormone receptors of the tests, ``as_randomised`` or ``corrected``; None takes
        those as randomised where the table has them.
    alpha
        Two-sided error of the sequence of tests.
    os_information
        Share of the final deaths at this look, above 0, up to 1.
    criteria
        Limits of eligibility.
    cutoff
        The cut-off study; None: none.

    Raises
    ------
    UsageError
        If a value is out of range.
    """

    parts: tuple[str, ...] = PARTS
    treatment: str | None = None
    control: str | None = None
    basis: Basis | None = None
    alpha: float = 0.05
    os_information: float = 1.0
    criteria: Criteria | None = None
    cutoff: CutoffOptions | None = None

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise UsageError(f"alpha {self.alpha} is not between 0 and 1", fix="Such as 0.05.")
        if not 0 < self.os_information <= 1:
            raise UsageError(
                f"information fraction {self.os_information} is not above 0, up to 1",
                fix="Deaths at this look over deaths at the final one.",
            )
        if self.basis not in (None, "as_randomised", "corrected"):
            raise UsageError(
                f"basis {self.basis!r} is not known", fix="Known: as_randomised, corrected."
            )


@dataclass(frozen=True, kw_only=True)
class Study:
    """Hold a study.

    Parameters
    ----------
    name
        The table it was made from.
    flow
        From screened to randomised; None where it was not asked for.
    tables
        In the order of the page.
    data
        Longer tables, for files only.
    comparisons
        Survival of the arms.
    cutoffs
        The cut-off study.
    notes
        What was left undone, and why.
    """

    name: str
    flow: Flow | None
    tables: tuple[Table, ...]
    data: tuple[Table, ...]
    comparisons: tuple[Comparison, ...]
    cutoffs: CutoffStudy | None
    notes: tuple[str, ...]


def run_study(cohort: Cohort, options: StudyOptions) -> Study:
    """Make the tables that are asked for and that the columns allow.

    Parameters
    ----------
    cohort
        All patients.
    options
        What to make.

    Returns
    -------
    Study
        With a note for each part that the columns do not allow.

    Raises
    ------
    UsageError
        If a value is missing or wrong, naming row and column, or one arm is empty.

    Examples
    --------
    >>> from pathology.cohort.patients import parse_cohort
    >>> rows = [(2, {"patient_id": "a", "ihc_score": "0"})]
    >>> cohort = parse_cohort("t.csv", ["patient_id", "ihc_score"], rows)
    >>> [table.name for table in run_study(cohort, StudyOptions(parts=("select",))).tables]
    ['flow', 'distribution']
    """
    notes = list(_about_columns(cohort))
    flow = None
    tables: list[Table] = []
    if "select" in options.parts:
        flow = build_flow(cohort, options.criteria)
        tables.append(flow_table(flow))
        if "ihc_score" in cohort.columns:
            tables.append(distribution_table(cohort))
    arms, basis = _arms(cohort, options), options.basis or default_basis(cohort)
    if arms is None:
        notes.append("No patient has an arm: nothing is compared.")
        return _study(cohort, flow, tables, notes=notes)
    if "select" in options.parts:
        tables += _selection(cohort, arms)
    comparisons: tuple[Comparison, ...] = ()
    if "survival" in options.parts:
        comparisons = compare_arms(cohort, arms, basis)
        tables += _survival(cohort, arms, comparisons, options, notes)
    cutoffs = None
    if "cutoff" in options.parts and options.cutoff is not None:
        cutoffs = study_cutoffs(cohort, arms, basis, options.cutoff)
        tables += cutoffs.tables
    return _study(cohort, flow, tables, comparisons=comparisons, cutoffs=cutoffs, notes=notes)


def _study(
    cohort: Cohort,
    flow: Flow | None,
    tables: Iterable[Table],
    *,
    comparisons: tuple[Comparison, ...] = (),
    cutoffs: CutoffStudy | None = None,
    notes: Iterable[str] = (),
) -> Study:
    return Study(
        name=cohort.name,
        flow=flow,
        tables=tuple(tables),
        data=tuple(curve_table(found) for found in comparisons),
        comparisons=comparisons,
        cutoffs=cutoffs,
        notes=tuple(notes),
    )


def _arms(cohort: Cohort, options: StudyOptions) -> Arms | None:
    """Find the arms; a table without any is a screening log, and fine for a selection alone."""
    empty = all(patient.arm is None for patient in cohort.patients)
    if empty and "survival" not in options.parts and options.cutoff is None:
        return None
    if empty and options.parts == PARTS and options.cutoff is None and options.control is None:
        return None
    return find_arms(cohort, treatment=options.treatment, control=options.control)


def _about_columns(cohort: Cohort) -> Iterable[str]:
    if cohort.unused:
        yield f"Columns that nothing reads: {', '.join(cohort.unused)}."
    if cohort.unmatched_cases:
        n = len(cohort.unmatched_cases)
        yield f"{n} cases of the run have no row in the table."


def _selection(cohort: Cohort, arms: Arms) -> list[Table]:
    tables = []
    if "hr_as_randomised" in cohort.columns:
        tables.append(selection_table(cohort, arms.both, "as_randomised"))
    if _HR_COLUMNS & cohort.columns:
        tables.append(selection_table(cohort, arms.both, "corrected"))
        tables.append(strata_table(cohort, arms.both))
    if "hr_as_randomised" in cohort.columns and _HR_COLUMNS & cohort.columns:
        tables += misstratification_tables(cohort)
    return tables


def _survival(
    cohort: Cohort,
    arms: Arms,
    comparisons: tuple[Comparison, ...],
    options: StudyOptions,
    notes: list[str],
) -> list[Table]:
    tables = [survival_table(found) for found in comparisons]
    if comparisons:
        gates, _ = gate_tables(
            comparisons, alpha=options.alpha, os_information=options.os_information
        )
        tables.append(gates)
    else:
        notes.append("No survival: the table has no pfs_months and no os_months.")
    if "best_response" in cohort.columns:
        basis: Basis = "corrected" if _HR_COLUMNS & cohort.columns else "as_randomised"
        tables.append(response_table(cohort, arms, basis))
    return tables
