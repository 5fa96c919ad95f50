"""From screened to randomised: who went on at each step, and why the others did not.

A step leaves out a patient for the first reason that holds. A patient who was randomised although a
step would have left them out stays in (intention to treat) and is counted as such: a deviation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pathology.cohort.patients import Cohort, Patient
from pathology.cohort.strata import HER2_LOW
from pathology.cohort.tables import Account, Column, Table

__all__ = ["Criteria", "Flow", "FlowStep", "build_flow", "flow_table"]


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """Hold the limits of eligibility; those of DESTINY-Breast04 (N Engl J Med 2022;387:9-20).

    Parameters
    ----------
    min_chemo_lines, max_chemo_lines
        Lines for metastatic disease; a recurrence up to 6 months after adjuvant therapy is one.
    min_endocrine_lines
        Lines of endocrine therapy in hormone-receptor-positive disease.
    """

    min_chemo_lines: int = 1
    max_chemo_lines: int = 2
    min_endocrine_lines: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.min_chemo_lines <= self.max_chemo_lines or self.min_endocrine_lines < 0:
            raise ValueError(f"limits of eligibility that nobody can meet: {self}")


@dataclass(frozen=True, kw_only=True)
class FlowStep:
    """Hold one step.

    Parameters
    ----------
    name
        What those who go on are.
    n_in
        Patients who came.
    left_out
        Reasons with counts, largest first.
    n_out
        Patients who go on, deviations included.
    deviations
        Reasons with counts of patients who go on because they were randomised all the same.
    checked
        False where the table has no column for it: all go on, and nothing was looked at.

    Raises
    ------
    ValueError
        If the counts do not add up.
    """

    name: str
    n_in: int
    left_out: tuple[tuple[str, int], ...]
    n_out: int
    deviations: tuple[tuple[str, int], ...] = ()
    checked: bool = True

    def __post_init__(self) -> None:
        if self.n_in != self.n_out + sum(n for _, n in self.left_out):
            raise ValueError(f"{self.name}: the counts do not add up")


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Hold the whole way.

    Parameters
    ----------
    screened
        Rows of the table.
    steps
        In their order; each starts with those whom the one before let go on.
    arms
        Patients per arm.
    unchecked
        Criteria that the table has no column for.

    Raises
    ------
    ValueError
        If a step does not start where the one before ended.
    """

    screened: int
    steps: tuple[FlowStep, ...]
    arms: tuple[tuple[str, int], ...]
    unchecked: tuple[str, ...]

    def __post_init__(self) -> None:
        came = self.screened
        for step in self.steps:
            if step.n_in != came:
                raise ValueError(f"{step.name}: {step.n_in} came, {came} were sent")
            came = step.n_out
        if came != sum(n for _, n in self.arms):
            raise ValueError(f"{came} randomised, but the arms hold {self.arms}")


#: A rule returns why a patient goes no further, or None.
_Rule = Callable[[Cohort, Patient, Criteria], str | None]


def build_flow(cohort: Cohort, criteria: Criteria | None = None) -> Flow:
    """Count who went how far.

    Parameters
    ----------
    cohort
        All patients screened.
    criteria
        Limits of eligibility.

    Returns
    -------
    Flow
        Its counts add up, from the rows of the table to the arms.

    Raises
    ------
    UsageError
        If a value that decides on a patient is missing; names row and column.
    """
    limits = criteria or Criteria()
    left = list(cohort.patients)
    steps = []
    for name, needed, rule in _STEPS:
        checked = not needed or bool(set(needed) & cohort.columns)
        step, left = _step(cohort, left, limits, name=name, rule=rule if checked else None)
        steps.append(step)
    arms = Counter(patient.arm for patient in left if patient.arm is not None)
    return Flow(
        screened=len(cohort.patients),
        steps=tuple(steps),
        arms=tuple(sorted(arms.items())),
        unchecked=tuple(
            words for columns, words in _CRITERIA_OF.items() if not set(columns) & cohort.columns
        ),
    )


def _step(
    cohort: Cohort, came: list[Patient], limits: Criteria, *, name: str, rule: _Rule | None
) -> tuple[FlowStep, list[Patient]]:
    lost: Counter[str] = Counter()
    despite: Counter[str] = Counter()
    going_on = []
    for patient in came:
        why = rule(cohort, patient, limits) if rule else None
        if why is not None and patient.arm is None:
            lost[why] += 1
            continue
        if why is not None:
            despite[why] += 1
        going_on.append(patient)
    step = FlowStep(
        name=name,
        n_in=len(came),
        left_out=_by_size(lost),
        n_out=len(going_on),
        deviations=_by_size(despite),
        checked=rule is not None,
    )
    return step, going_on


def _by_size(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _known(cohort: Cohort, patient: Patient, column: str) -> object:
    """Return a value that decides; a column that is there may not be empty."""
    value = patient.values.get(column)
    if value is None and column in cohort.columns:
        raise cohort.place(patient, column).error(
            "is empty, and the patient's way depends on it",
            "Give the value; or, before randomisation, say why the patient is out in "
            "other_exclusion.",
        )
    return value


def _adequate(cohort: Cohort, patient: Patient, limits: Criteria) -> str | None:
    del limits
    return None if _known(cohort, patient, "specimen_adequate") else "specimen not adequate"


def _scored(cohort: Cohort, patient: Patient, limits: Criteria) -> str | None:
    del cohort, limits
    return patient.why_unscored


def _low(cohort: Cohort, patient: Patient, limits: Criteria) -> str | None:
    del cohort, limits
    # A randomised patient without a score was counted as a deviation at the step before.
    return patient.her2 if patient.her2 is not None and patient.her2 not in HER2_LOW else None


def _eligible(cohort: Cohort, patient: Patient, limits: Criteria) -> str | None:
    if patient.values.get("other_exclusion"):
        return str(patient.values["other_exclusion"])
    for criterion in (_chemotherapy, _endocrine, _brain, _lung):
        why = criterion(cohort, patient, limits)
        if why is not None:
            return why
    return None


def _chemotherapy(cohort: Cohort, patient: Patient, limits: Criteria) -> str | None:
    lines = _known(cohort, patient, "chemo_lines")
    if lines == 0 and "early_recurrence" in cohort.columns:
        _known(cohort, patient, "early_recurrence")
    counted = patient.lines
    if counted is None or limits.min_chemo_lines <= counted <= limits.max_chemo_lines:
        return None
    few = counted < limits.min_chemo_lines
    return "too few lines of chemotherapy" if few else "too many lines of chemotherapy"


def _endocrine(cohort: Cohort, patient: Patient, limits: Criteria) -> str | None:
    hr = patient.hr
    if hr is None:
        for column in ("hr_status", "er_pct", "pr_pct"):
            _known(cohort, patient, column)
    if hr != "positive":
        return None
    lines = _known(cohort, patient, "endocrine_lines")
    if isinstance(lines, int) and lines < limits.min_endocrine_lines:
        return "HR-positive without endocrine therapy"
    return None


def _brain(cohort: Cohort, patient: Patient, limits: Criteria) -> str | None:
    del limits
    found = _known(cohort, patient, "brain_metastases")
    return "active brain metastases" if found == "active" else None


def _lung(cohort: Cohort, patient: Patient, limits: Criteria) -> str | None:
    del limits
    return "interstitial lung disease" if _known(cohort, patient, "ild") else None


def _randomised(cohort: Cohort, patient: Patient, limits: Criteria) -> str | None:
    del cohort, limits
    if patient.arm is not None:
        return None
    return str(patient.values.get("not_randomised_reason") or "no reason given")


_ELIGIBILITY: Final = ("other_exclusion", "chemo_lines", "endocrine_lines", "brain_metastases")
_STEPS: Final[tuple[tuple[str, tuple[str, ...], _Rule], ...]] = (
    ("Specimen adequate", ("specimen_adequate",), _adequate),
    ("IHC scored", ("ihc_score",), _scored),
    ("HER2-low", ("ihc_score",), _low),
    ("Eligible", (*_ELIGIBILITY, "ild"), _eligible),
    ("Randomised", (), _randomised),
)
#: Criteria by the columns that speak of them.
_CRITERIA_OF: Final = {
    ("specimen_adequate",): "adequate specimen",
    ("ihc_score",): "IHC score and HER2-low",
    ("chemo_lines",): "lines of chemotherapy",
    ("hr_status", "er_pct"): "hormone receptors",
    ("endocrine_lines",): "lines of endocrine therapy",
    ("brain_metastases",): "brain metastases",
    ("ild",): "interstitial lung disease",
}


def flow_table(flow: Flow) -> Table:
    """Return the flow as a table: one row per step and reason.

    Examples
    --------
    >>> step = FlowStep(name="Randomised", n_in=2, left_out=(("no reason given", 1),), n_out=1)
    >>> flow = Flow(screened=2, steps=(step,), arms=(("A", 1),), unchecked=())
    >>> flow_table(flow).rows[1]
    ('Randomised', 'left out', 'no reason given', 1)
    """
    rows: list[tuple[str, str, str, int]] = [("Screened", "go on", "", flow.screened)]
    for step in flow.steps:
        rows += [(step.name, "left out", why, n) for why, n in step.left_out]
        rows += [(step.name, "randomised despite", why, n) for why, n in step.deviations]
        rows.append((step.name, "go on" if step.checked else "go on, not checked", "", step.n_out))
    rows += [("Arm", "randomised", arm, n) for arm, n in flow.arms]
    lost = tuple((f"at {step.name}", step.n_in - step.n_out) for step in flow.steps)
    notes = []
    if flow.unchecked:
        notes.append(f"Not checked, the table has no column for it: {', '.join(flow.unchecked)}.")
    return Table(
        name="flow",
        title="From screened to randomised",
        columns=(
            Column(name="step", label="Step"),
            Column(name="what", label="What"),
            Column(name="detail", label="Reason or arm"),
            Column(name="patients", label="Patients"),
        ),
        rows=tuple(rows),
        account=Account(
            rows_in=flow.screened,
            rows_out=sum(n for _, n in flow.arms),
            left_out=tuple((why, n) for why, n in lost if n),
        ),
        notes=tuple(notes),
    )
