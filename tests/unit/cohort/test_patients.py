"""Bad input names row and column; the flow adds up whatever the table holds."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from trial import HEADER, make_rows

from pathology.cohort.flow import Criteria, Flow, FlowStep, build_flow, flow_table
from pathology.cohort.groups import find_arms, survival_set
from pathology.cohort.patients import Cohort, RunScore, parse_cohort
from pathology.cohort.study import StudyOptions, run_study
from pathology.cohort.tables import Account, Column, Table, account, percent_text
from pathology.errors import UsageError

GOOD = next(row for row in make_rows(60) if row["arm"] == "T-DXd" and row["best_response"] == "SD")

#: Screened, and fit for the trial but not randomised.
FIT = {
    "arm": "",
    "specimen_adequate": "yes",
    "ihc_score": "1+",
    "ish_result": "",
    "chemo_lines": "1",
    "endocrine_lines": "1",
    "brain_metastases": "none",
    "ild": "no",
    "not_randomised_reason": "",
}


def cohort(rows: list[dict[str, str]], **options: object) -> Cohort:
    numbered = list(enumerate(rows, start=2))
    return parse_cohort("t.csv", list(rows[0]), numbered, **options)  # type: ignore[arg-type]


def other(**change: str) -> dict[str, str]:
    return {**GOOD, "patient_id": "other", "case_id": "other", **change}


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("pfs_months", "-0.1", "before time zero"),
        ("os_months", "-3", "before time zero"),
        ("pfs_months", "soon", "not a number"),
        ("pfs_months", "nan", "not a number"),
        ("pfs_months", "1_0", "not a number"),
        ("pfs_months", "", "is empty"),
        ("pfs_event", "2", "neither yes nor no"),
        ("ihc_score", "2", "not known"),
        ("ihc_score", "2 +", "not known"),
        ("ihc_score", "II", "not known"),
        ("ish_result", "maybe", "not known"),
        ("chemo_lines", "1.5", "not a whole number"),
        ("chemo_lines", "-1", "not a whole number"),
        ("chemo_lines", "²", "not a whole number"),
        ("er_pct", "101", "not between 0 and 100"),
        ("her2_as_randomised", "", "is empty for a randomised patient"),
        ("lines_as_randomised", "3", "not known"),
        ("hr_as_randomised", "positive", "not known"),
        ("best_response", "RC", "not known"),
        ("patient_id", "", "is empty"),
    ],
)
def test_a_wrong_value_names_its_row_and_column(column: str, value: str, message: str) -> None:
    with pytest.raises(UsageError, match=rf"t\.csv: row 3, column '{column}': .*{message}"):
        cohort([GOOD, other(**{column: value})])


def test_the_sound_row_is_read() -> None:
    assert cohort([GOOD, other()]).patients[0].assigned is not None


def test_duplicates_name_both_rows() -> None:
    with pytest.raises(UsageError, match=r"row 3, column 'patient_id': .* there twice .*row 2"):
        cohort([GOOD, other(patient_id=GOOD["patient_id"])])
    with pytest.raises(UsageError, match=r"row 3, column 'case_id': .* there twice"):
        cohort([GOOD, other(case_id=GOOD["case_id"])])


def test_progression_after_death_is_refused() -> None:
    late = other(pfs_months="9", pfs_event="yes", os_months="8", os_event="yes")
    with pytest.raises(UsageError, match=r"row 3, column 'pfs_months': 9 months is after"):
        cohort([GOOD, late])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["case_id"], "no column 'patient_id'"),
        (["patient_id", "chemo_line"], "much like 'chemo_lines'"),
        (["patient_id", "pfs_months"], "needs the column 'pfs_event'"),
        (["patient_id", "er_pct", "pr_pct", "hr_status"], "two answers could differ"),
    ],
)
def test_a_wrong_header_is_refused(columns: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=f"row 1.*{message}"):
        parse_cohort("t.csv", columns, [(2, dict.fromkeys(columns, "1"))])


def test_an_unknown_column_is_reported_not_dropped_in_silence() -> None:
    found = cohort([row | {"shoe_size": "9"} for row in make_rows(120)])
    assert found.unused == ("h_score", "shoe_size")
    study = run_study(found, StudyOptions(parts=("survival",), control="TPC"))
    assert study.notes[0] == "Columns that nothing reads: h_score, shoe_size."


def test_a_biomarker_has_to_be_there_and_a_number() -> None:
    with pytest.raises(UsageError, match="no column 'od'"):
        cohort([GOOD], biomarkers=["od"])
    with pytest.raises(UsageError, match="no biomarker"):
        cohort([GOOD], biomarkers=["chemo_lines"])
    with pytest.raises(UsageError, match=r"row 3, column 'h_score': 'dark' is not a number"):
        cohort([GOOD, other(h_score="dark")], biomarkers=["h_score"])
    missing = cohort([GOOD, other(h_score="")], biomarkers=["h_score"])
    assert missing.patients[1].biomarkers["h_score"] is None


def test_scores_of_a_run_are_joined_by_case() -> None:
    bare = {name: value for name, value in GOOD.items() if name not in ("ihc_score", "ish_result")}
    rows = [
        bare,
        {**bare, "patient_id": "b", "case_id": "b"},
        {**bare, "patient_id": "c", "case_id": "c"},
    ]
    run = {
        GOOD["case_id"]: RunScore(
            ihc="2+", status="scored", ish="negative", biomarkers={"od": 0.3}
        ),
        "b": RunScore(ihc=None, status="not_scorable"),
        "z": RunScore(ihc="0", status="scored"),
    }
    found = cohort(rows, run=run, biomarkers=["od"])
    assert [patient.her2 for patient in found.patients] == ["IHC 2+/ISH-negative", None, None]
    assert found.patients[1].why_unscored == "case is not_scorable in the run"
    assert found.patients[2].why_unscored == "no case in the run"
    assert found.patients[0].biomarkers == {"od": 0.3}
    assert found.unmatched_cases == ("z",)
    with pytest.raises(UsageError, match="no row names a case of the run"):
        cohort(rows, run={"z": run["z"]})
    with pytest.raises(UsageError, match=r"column 'ihc_score': the scores come from the run"):
        cohort([GOOD], run=run)
    with pytest.raises(UsageError, match=r"row 2, column 'ish_result': 'positive', but the run"):
        cohort([{**bare, "ish_result": "positive"}], run=run)


def test_arms_are_checked() -> None:
    rows = [GOOD, other(arm="TPC")]
    assert find_arms(cohort(rows), treatment=None, control="TPC").both == ("T-DXd", "TPC")
    with pytest.raises(UsageError, match="one arm is empty, only 'T-DXd' occurs"):
        find_arms(cohort([GOOD]), treatment=None, control=None)
    with pytest.raises(UsageError, match="which of 'T-DXd' and 'TPC'"):
        find_arms(cohort(rows), treatment=None, control=None)
    with pytest.raises(UsageError, match="nobody is in arm 'X'"):
        find_arms(cohort(rows), treatment=None, control="X")
    third = {**other(arm="C"), "patient_id": "third", "case_id": "third"}
    with pytest.raises(UsageError, match=r"row 4, column 'arm': 'C' is a third arm"):
        find_arms(cohort([*rows, third]), treatment=None, control="TPC")


def test_an_arm_that_a_population_empties_is_named() -> None:
    rows = [
        GOOD | {"hr_as_randomised": "negative"},
        other(arm="TPC", hr_as_randomised="positive_cdk46"),
    ]
    found = cohort(rows)
    arms = find_arms(found, treatment=None, control="TPC")
    with pytest.raises(UsageError, match="nobody of 'T-DXd' is in the population HR-positive"):
        survival_set(found, endpoint="pfs", name="HR-positive", basis="as_randomised", arms=arms)


def test_a_randomised_patient_without_survival_is_named() -> None:
    found = cohort([GOOD, other(arm="TPC", pfs_months="", pfs_event="")])
    arms = find_arms(found, treatment=None, control="TPC")
    with pytest.raises(UsageError, match=r"row 3, column 'pfs_months': is empty for a randomised"):
        survival_set(found, endpoint="pfs", name="all", basis="as_randomised", arms=arms)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"best_response": ""}, "column 'best_response': is empty"),
        (
            {"best_response": "PR", "response_confirmed": ""},
            "'response_confirmed': is empty for a PR",
        ),
        ({"best_response": "PD", "response_confirmed": "yes"}, "a PD cannot be a confirmed"),
        ({"best_response": "SD", "stable_months": ""}, "column 'stable_months': is empty"),
    ],
)
def test_responses_are_checked(change: dict[str, str], message: str) -> None:
    found = cohort([GOOD, other(arm="TPC", **change)])
    with pytest.raises(UsageError, match=message):
        run_study(found, StudyOptions(parts=("survival",), control="TPC"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"specimen_adequate": "no"}, "specimen not adequate"),
        ({"ihc_score": ""}, "no IHC score in the table"),
        ({"ihc_score": "0"}, "IHC 0"),
        ({"ihc_score": "3+"}, "IHC 3+"),
        ({"ihc_score": "2+", "ish_result": ""}, "IHC 2+/ISH not done"),
        ({"ihc_score": "2+", "ish_result": "positive"}, "IHC 2+/ISH-positive"),
        ({"ihc_score": "1+", "ish_result": "positive"}, "IHC 1+/ISH-positive"),
        ({"chemo_lines": "3"}, "too many lines of chemotherapy"),
        ({"chemo_lines": "0", "early_recurrence": "no"}, "too few lines of chemotherapy"),
        (
            {"er_pct": "1", "pr_pct": "0", "endocrine_lines": "0"},
            "HR-positive without endocrine therapy",
        ),
        ({"brain_metastases": "active"}, "active brain metastases"),
        ({"ild": "yes"}, "interstitial lung disease"),
        ({"other_exclusion": "no measurable disease", "ild": ""}, "no measurable disease"),
        ({"not_randomised_reason": "withdrew"}, "withdrew"),
        ({}, "no reason given"),
    ],
)
def test_every_reason_is_reached(change: dict[str, str], why: str) -> None:
    screened = other(**FIT, er_pct="0", pr_pct="0")
    flow = build_flow(cohort([screened | change]))
    reasons = [reason for step in flow.steps for reason, _ in step.left_out]
    assert reasons == [why]
    despite = build_flow(cohort([screened | change | {"arm": "A"}]))
    assert despite.arms == (("A", 1),)
    listed = [reason for step in despite.steps for reason, _ in step.deviations]
    assert listed == ([] if why in ("withdrew", "no reason given") else [why])


@pytest.mark.parametrize(
    "change",
    [
        {"er_pct": "1", "pr_pct": "0"},
        {"er_pct": "0", "pr_pct": "1"},
        {"chemo_lines": "0", "early_recurrence": "yes"},
        {"chemo_lines": "2"},
        {"brain_metastases": "stable_treated"},
        {"er_pct": "0.9", "pr_pct": "0.9", "endocrine_lines": "0"},
    ],
)
def test_the_edges_of_eligibility_are_inside(change: dict[str, str]) -> None:
    flow = build_flow(cohort([other(**FIT) | change]))
    assert next(step for step in flow.steps if step.name == "Eligible").n_out == 1


@pytest.mark.parametrize(
    "column", ["chemo_lines", "endocrine_lines", "ild", "brain_metastases", "er_pct"]
)
def test_an_empty_field_that_decides_is_an_error(column: str) -> None:
    # The oestrogen receptor decides only where the progesterone receptor is negative.
    row = other(**FIT, er_pct="50", pr_pct="0")
    with pytest.raises(UsageError, match=rf"row 2, column '{column}': is empty"):
        build_flow(cohort([row | {column: ""}]))


def test_a_criterion_without_a_column_is_listed_as_unchecked() -> None:
    flow = build_flow(cohort([{"patient_id": "a", "ihc_score": "1+"}]))
    assert "interstitial lung disease" in flow.unchecked
    assert [step.checked for step in flow.steps] == [False, True, True, False, True]
    assert "Not checked" in flow_table(flow).notes[0]


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 60))
def test_the_flow_adds_up_and_is_what_counting_by_hand_gives(seed: int, n: int) -> None:
    rows = make_rows(n, seed)
    flow = build_flow(cohort(rows))
    lost = sum(count for step in flow.steps for _, count in step.left_out)
    arms = Counter(row["arm"] for row in rows if row["arm"])
    assert flow.screened == n == lost + sum(arms.values())
    assert dict(flow.arms) == dict(arms)
    adequate = [row for row in rows if row["specimen_adequate"] == "yes"]
    assert flow.steps[0].n_out == len(adequate)
    assert flow.steps[1].n_out == sum(row["ihc_score"] != "" for row in adequate)
    table = flow_table(flow)
    assert table.account.rows_in == n
    shuffled = build_flow(cohort(rows[::-1]))
    assert shuffled == flow


def test_counts_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        FlowStep(name="x", n_in=3, left_out=(("y", 1),), n_out=1)
    step = FlowStep(name="x", n_in=3, left_out=(("y", 1),), n_out=2)
    with pytest.raises(ValueError, match="3 came, 4 were sent"):
        Flow(screened=4, steps=(step,), arms=(("A", 2),), unchecked=())
    with pytest.raises(ValueError, match="2 randomised"):
        Flow(screened=3, steps=(step,), arms=(("A", 1),), unchecked=())
    with pytest.raises(ValueError, match="rows in"):
        Account(rows_in=3, rows_out=1)
    with pytest.raises(ValueError, match="columns"):
        Table(name="t", title="t", columns=(Column(name="a", label="a"),), rows=((1, 2),),
              account=account([]))  # fmt: skip
    with pytest.raises(ValueError, match="nobody can meet"):
        Criteria(min_chemo_lines=3)


@given(st.integers(0, 5000), st.integers(1, 5000))
def test_percentages_are_rounded_on_integers(k: int, n: int) -> None:
    k = min(k, n)
    text = percent_text(k, n)
    assert abs(float(text) - 100 * k / n) <= 0.05 + 1e-9


def test_the_made_up_trial_has_every_column_but_hr_status() -> None:
    from pathology.cohort.columns import COLUMNS

    assert set(COLUMNS) - set(HEADER) == {"hr_status"}
