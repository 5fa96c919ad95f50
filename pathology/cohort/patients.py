"""Patients of a cohort: one checked row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pathology.cohort.columns import COLUMNS, Place, check_columns, read_number
from pathology.cohort.strata import Stratum, her2_group
from pathology.errors import UsageError

__all__ = ["Cohort", "Patient", "RunScore", "SurvivalTime", "parse_cohort"]

#: ER or PR counts as positive from this share of nuclei on, in % (ASCO/CAP 2020 guideline for
#: hormone receptors; eligibility of DESTINY-Breast04, N Engl J Med 2022;387:9-20).
HR_POSITIVE_PCT: Final = 1.0

HormoneReceptor = Literal["positive", "negative"]


@dataclass(frozen=True, kw_only=True)
class SurvivalTime:
    """Hold a time and how it ended.

    Parameters
    ----------
    months
        From randomisation, 0 or more.
    event
        True for an event, False for censored.
    """

    months: float
    event: bool

    def __post_init__(self) -> None:
        if not self.months >= 0:
            raise ValueError(f"{self.months} months is before time zero")


@dataclass(frozen=True, kw_only=True)
class RunScore:
    """Hold what a run of ``her2 score`` says of a case.

    Parameters
    ----------
    ihc
        ``0``, ``1+``, ``2+``, ``3+``; None without a score.
    status
        As in ``cases.csv``.
    ish
        ``negative`` or ``positive``; None where the run has no ISH.
    biomarkers
        Numbers of the deciding slide by column of ``results.csv``.
    """

    ihc: str | None
    status: str
    ish: str | None = None
    biomarkers: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Patient:
    """Hold one row of the table.

    Parameters
    ----------
    row
        Number of the row in the file.
    values
        Values of known columns by name; None where the field is empty.
    ihc, ish
        Score and in situ hybridisation that count.
    why_unscored
        Why there is no score.
    assigned
        Stratum as randomised, where the table names it.
    pfs, os
        Survival times, where the table has them.
    biomarkers
        Numbers by name; None: not measured.
    """

    row: int
    values: Mapping[str, Any]
    ihc: str | None = None
    ish: str = "not_done"
    why_unscored: str | None = None
    assigned: Stratum | None = None
    pfs: SurvivalTime | None = None
    os: SurvivalTime | None = None
    biomarkers: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def arm(self) -> str | None:
        """Arm as randomised."""
        arm: str | None = self.values.get("arm")
        return arm

    @property
    def her2(self) -> str | None:
        """Group by IHC and ISH; None without a score."""
        return None if self.ihc is None else her2_group(self.ihc, self.ish)

    @property
    def hr(self) -> HormoneReceptor | None:
        """Hormone receptor status: ER or PR in 1 % of nuclei or more is positive."""
        given: HormoneReceptor | None = self.values.get("hr_status")
        shares = [self.values.get(name) for name in ("er_pct", "pr_pct")]
        known = [share for share in shares if share is not None]
        if any(share >= HR_POSITIVE_PCT for share in known):
            return "positive"
        return "negative" if len(known) == len(shares) else given

    @property
    def lines(self) -> int | None:
        """Chemotherapy lines; a recurrence up to 6 months after adjuvant therapy counts as one."""
        lines: int | None = self.values.get("chemo_lines")
        return 1 if lines == 0 and self.values.get("early_recurrence") else lines

    @property
    def corrected(self) -> Stratum | None:
        """Stratum by the data; None where a factor is unknown or outside the strata."""
        return Stratum.of(
            her2=self.her2, lines=self.lines, hr=self.hr, cdk46=self.values.get("prior_cdk46")
        )


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Hold all patients of a table.

    Parameters
    ----------
    name
        The file, for messages.
    columns
        Columns that the table has.
    patients
        In the order of the file.
    unused
        Columns that nothing reads.
    unmatched_cases
        Cases of the run that no row names.
    """

    name: str
    columns: frozenset[str]
    patients: tuple[Patient, ...]
    unused: tuple[str, ...] = ()
    unmatched_cases: tuple[str, ...] = ()

    def place(self, patient: Patient, column: str) -> Place:
        """Say where a patient's value stands."""
        return Place(table=self.name, row=patient.row, column=column)


def parse_cohort(
    name: str,
    columns: Sequence[str],
    rows: Sequence[tuple[int, Mapping[str, str]]],
    *,
    biomarkers: Sequence[str] = (),
    run: Mapping[str, RunScore] | None = None,
) -> Cohort:
    """Read and check a table of patients.

    Parameters
    ----------
    name
        The file, for messages.
    columns
        The header.
    rows
        Row numbers and texts by column.
    biomarkers
        Columns of numbers to study; with a run, also those of its results.
    run
        Scores by case, which then replace a column ``ihc_score``.

    Returns
    -------
    Cohort
        All rows; none is dropped.

    Raises
    ------
    UsageError
        If a column or value is wrong, naming row and column.

    Examples
    --------
    >>> cohort = parse_cohort("t.csv", ["patient_id", "ihc_score"],
    ...                       [(2, {"patient_id": "P1", "ihc_score": "1+"})])
    >>> cohort.patients[0].her2
    'IHC 1+'
    """
    named = tuple(columns)
    unused = check_columns(name, named, tuple(biomarkers))
    if run is not None and "ihc_score" in named:
        raise Place(table=name, row=1, column="ihc_score").error(
            "the scores come from the run already", "Remove the column, or --results."
        )
    if not rows:
        raise UsageError(f"{name}: there are no patients", fix="List one patient per row.")
    _check_markers(name, named, biomarkers, run)
    patients = tuple(_patient(name, row, texts, biomarkers, run) for row, texts in rows)
    _check_unique(name, patients)
    matched = {_case_id(patient) for patient in patients}
    if run is not None and not matched & set(run):
        raise Place(table=name, row=patients[0].row, column="case_id").error(
            "no row names a case of the run", "case_id has to be as in cases.csv."
        )
    return Cohort(
        name=name,
        columns=frozenset(named) | ({"ihc_score"} if run is not None else set()),
        patients=patients,
        unused=tuple(unused),
        unmatched_cases=tuple(sorted(set(run or ()) - matched)),
    )


def _check_markers(
    name: str,
    columns: Sequence[str],
    biomarkers: Sequence[str],
    run: Mapping[str, RunScore] | None,
) -> None:
    measured = {marker for score in (run or {}).values() for marker in score.biomarkers}
    for marker in biomarkers:
        if marker in COLUMNS:
            raise UsageError(
                f"{name}: {marker!r} has a meaning of its own and is no biomarker",
                fix="Name a column of numbers.",
            )
        if marker not in columns and marker not in measured:
            raise UsageError(
                f"{name}: row 1: there is no column {marker!r}",
                fix="Name a column of the table or, with --results, of results.csv.",
            )


def _case_id(patient: Patient) -> str:
    return str(patient.values.get("case_id") or patient.values["patient_id"])


def _check_unique(name: str, patients: Sequence[Patient]) -> None:
    for column in ("patient_id", "case_id"):
        first: dict[str, int] = {}
        for patient in patients:
            value = _case_id(patient) if column == "case_id" else patient.values[column]
            if value in first:
                raise Place(table=name, row=patient.row, column=column).error(
                    f"{value!r} is there twice (first in row {first[value]})",
                    "Keep one row per patient.",
                )
            first[value] = patient.row


def _patient(
    name: str,
    row: int,
    texts: Mapping[str, str],
    biomarkers: Sequence[str],
    run: Mapping[str, RunScore] | None,
) -> Patient:
    values = {column: _value(name, row, column, text) for column, text in texts.items()}
    known = {column: value for column, value in values.items() if column in COLUMNS}
    if known["patient_id"] is None:
        raise Place(table=name, row=row, column="patient_id").error("is empty", "Name the patient.")
    bare = Patient(row=row, values=known)
    found = None if run is None else run.get(_case_id(bare))
    ihc, why = _score(known, found, from_run=run is not None)
    markers = {
        marker: _marker(name, row, marker, texts, found) for marker in dict.fromkeys(biomarkers)
    }
    survival = {end: _survival(name, row, known, end) for end in ("pfs", "os")}
    _check_order(name, row, survival["pfs"], survival["os"])
    return Patient(
        row=row,
        values=known,
        ihc=ihc,
        ish=_ish(name, row, known, found),
        why_unscored=why,
        assigned=_assigned(name, row, known),
        pfs=survival["pfs"],
        os=survival["os"],
        biomarkers=markers,
    )


def _value(name: str, row: int, column: str, text: str) -> object:
    spec = COLUMNS.get(column)
    if spec is None or text == "":
        return None
    try:
        return spec.read(text)
    except ValueError as error:
        raise Place(table=name, row=row, column=column).error(
            str(error), f"Allowed: {spec.allowed}."
        ) from None


def _score(
    known: Mapping[str, Any], found: RunScore | None, *, from_run: bool
) -> tuple[str | None, str | None]:
    if not from_run:
        ihc: str | None = known.get("ihc_score")
        return ihc, None if ihc else "no IHC score in the table"
    if found is None:
        return None, "no case in the run"
    return found.ihc, None if found.ihc else f"case is {found.status} in the run"


def _ish(name: str, row: int, known: Mapping[str, Any], found: RunScore | None) -> str:
    given, measured = known.get("ish_result"), None if found is None else found.ish
    if given is not None and measured is not None and given != measured:
        raise Place(table=name, row=row, column="ish_result").error(
            f"{given!r}, but the run says {measured!r}", "Find out which is true."
        )
    return str(given or measured or "not_done")


def _marker(
    name: str, row: int, marker: str, texts: Mapping[str, str], found: RunScore | None
) -> float | None:
    text = texts.get(marker)
    if text is None:
        return None if found is None else found.biomarkers.get(marker)
    if text == "":
        return None
    try:
        return read_number(text)
    except ValueError as error:
        raise Place(table=name, row=row, column=marker).error(
            str(error), "Give a number, or leave the field empty where it was not measured."
        ) from None


def _survival(name: str, row: int, known: Mapping[str, Any], end: str) -> SurvivalTime | None:
    months: Any = known.get(f"{end}_months")
    event: Any = known.get(f"{end}_event")
    if months is None and event is None:
        return None
    for column, value in ((f"{end}_months", months), (f"{end}_event", event)):
        if value is None:
            raise Place(table=name, row=row, column=column).error(
                "is empty", "Give the time and whether it ended in an event, or neither."
            )
    return SurvivalTime(months=months, event=event)


def _check_order(name: str, row: int, pfs: SurvivalTime | None, os: SurvivalTime | None) -> None:
    if pfs is None or os is None or pfs.months <= os.months:
        return
    if pfs.event or os.event:
        raise Place(table=name, row=row, column="pfs_months").error(
            f"{pfs.months:g} months is after os_months, {os.months:g}",
            "Nobody progresses, or is looked at, after death or last contact.",
        )


def _assigned(name: str, row: int, known: Mapping[str, Any]) -> Stratum | None:
    columns = ("her2_as_randomised", "lines_as_randomised", "hr_as_randomised")
    if known.get("arm") is None or columns[0] not in known:
        return None
    for column in columns:
        if known[column] is None:
            raise Place(table=name, row=row, column=column).error(
                "is empty for a randomised patient", "Give the stratum as randomised."
            )
    return Stratum(her2=known[columns[0]], lines=int(known[columns[1]]), hr=known[columns[2]])
