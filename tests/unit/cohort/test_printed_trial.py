"""What DESTINY-Breast04 printed (N Engl J Med 2022;387:9-20), recomputed from its own counts.

Printed values stand here and nowhere in the package. What does not follow from the print is listed
as an expected failure.
"""

from __future__ import annotations

import math

import pytest

from pathology.cohort.patients import Cohort, Patient
from pathology.cohort.power import implied_events, p_from_interval, required_events
from pathology.cohort.rates import interval_cells
from pathology.cohort.response import ResponseCounts
from pathology.cohort.selection import misstratification_tables, selection_table
from pathology.cohort.sequential import boundaries, information_fraction
from pathology.cohort.strata import Stratum
from pathology.cohort.tables import percent_text

ARMS = ("T-DXd", "TPC")
#: Confirmed responses: population and arm, responders, patients, printed % and interval.
CONFIRMED = [
    (175, 333, "52.6", 47.0, 58.0),
    (27, 166, "16.3", 11.0, 22.8),
    (195, 373, "52.3", 47.1, 57.4),
    (30, 184, "16.3", 11.3, 22.5),
    (20, 40, "50.0", 33.8, 66.2),
    (3, 18, "16.7", 3.6, 41.4),
]
#: HR-positive with ISH as printed for the arms: IHC 1+ and IHC 2+/ISH-negative.
HR_POSITIVE = {"T-DXd": (193, 138), "TPC": (95, 68)}
ALL = {"T-DXd": (215, 158), "TPC": (106, 78)}
#: As randomised and corrected hormone receptor, by arm.
MATRIX = {
    ("T-DXd", True, True): 328,
    ("T-DXd", True, False): 3,
    ("T-DXd", False, True): 5,
    ("T-DXd", False, False): 37,
    ("TPC", True, True): 162,
    ("TPC", True, False): 1,
    ("TPC", False, True): 4,
    ("TPC", False, False): 17,
}


def _patient(row: int, arm: str, ihc: str, *, given: bool, true: bool) -> Patient:
    values = {
        "patient_id": f"P{row}",
        "arm": arm,
        "hr_status": "positive" if true else "negative",
        "chemo_lines": 1,
        "prior_cdk46": True,
    }
    return Patient(
        row=row,
        values=values,
        ihc=ihc,
        ish="negative",
        assigned=Stratum(her2=ihc, lines=1, hr="positive_cdk46" if given else "negative"),
    )


def trial() -> Cohort:
    """A cohort with the printed margins: HER2 among HR-positive as randomised, and the matrix."""
    patients = []
    for arm in ARMS:
        left = {
            True: list(HR_POSITIVE[arm]),
            False: [a - b for a, b in zip(ALL[arm], HR_POSITIVE[arm], strict=True)],
        }
        for (name, given, true), n in MATRIX.items():
            for _ in range(n if name == arm else 0):
                low = 0 if left[given][0] else 1
                left[given][low] -= 1
                patients.append(
                    _patient(len(patients) + 2, arm, ("1+", "2+")[low], given=given, true=true)
                )
        assert left == {True: [0, 0], False: [0, 0]}
    columns = frozenset({"patient_id", "arm", "hr_status", "hr_as_randomised", "ihc_score"})
    return Cohort(name="trial", columns=columns, patients=tuple(patients))


@pytest.mark.parametrize(("k", "n", "percent", "lower", "upper"), CONFIRMED)
def test_exact_intervals_of_confirmed_response(
    k: int, n: int, percent: str, lower: float, upper: float
) -> None:
    cells = interval_cells(k, n)
    assert cells[2] == percent
    assert [round(float(cell or 0), 1) for cell in cells[3:5]] == [lower, upper]


def test_the_trial_did_not_print_wilson_intervals() -> None:
    cells = interval_cells(175, 333)
    assert [round(float(cell or 0), 2) for cell in cells[5:]] == [47.19, 57.86]
    assert [round(float(cell or 0), 1) for cell in cells[5:]] != [47.0, 58.0]


@pytest.mark.parametrize(
    ("population", "arm", "group", "n", "of", "percent"),
    [
        ("HR-positive", "T-DXd", "IHC 1+", 193, 331, "58.3"),
        ("HR-positive", "TPC", "IHC 1+", 95, 163, "58.3"),
        ("HR-positive", "T-DXd", "IHC 2+/ISH-negative", 138, 331, "41.7"),
        ("HR-positive", "TPC", "IHC 2+/ISH-negative", 68, 163, "41.7"),
        ("all", "T-DXd", "IHC 1+", 215, 373, "57.6"),
        ("all", "TPC", "IHC 1+", 106, 184, "57.6"),
        ("all", "T-DXd", "IHC 2+/ISH-negative", 158, 373, "42.4"),
        ("all", "TPC", "IHC 2+/ISH-negative", 78, 184, "42.4"),
        ("HR-negative", "T-DXd", "IHC 1+", 22, 42, "52.4"),
        ("HR-negative", "TPC", "IHC 1+", 11, 21, "52.4"),
        ("HR-negative", "T-DXd", "IHC 2+/ISH-negative", 20, 42, "47.6"),
        ("HR-negative", "TPC", "IHC 2+/ISH-negative", 10, 21, "47.6"),
    ],
)
def test_table_1_by_her2(
    population: str, arm: str, group: str, n: int, of: int, percent: str
) -> None:
    table = selection_table(trial(), ARMS, "as_randomised")
    row = next(
        row
        for row in table.records()
        if (row["population"], row["her2_group"]) == (population, group)
    )
    assert (row[f"{arm}_n"], row[f"{arm}_of"], row[f"{arm}_pct"]) == (n, of, percent)


def test_her2_of_all_patients() -> None:
    table = selection_table(trial(), ARMS, "as_randomised")
    totals = {
        row["her2_group"]: row["total_n"] for row in table.records() if row["population"] == "all"
    }
    assert totals == {"IHC 1+": 321, "IHC 2+/ISH-negative": 236}
    assert table.account.rows_out == 557


def test_the_misstratification_matrix() -> None:
    matrix, _ = misstratification_tables(trial())
    words = {True: "HR-positive", False: "HR-negative"}
    printed = {(arm, words[given], words[true]): n for (arm, given, true), n in MATRIX.items()}
    assert {row[:3]: row[3] for row in matrix.rows} == printed
    assert matrix.notes == ("13 of 557 randomised patients differ.",)


def test_both_bases_have_the_printed_sizes() -> None:
    sizes = {}
    for basis in ("as_randomised", "corrected"):
        for row in selection_table(trial(), ARMS, basis).records():
            sizes[basis, row["population"]] = (row["T-DXd_of"], row["TPC_of"])
    assert sizes["as_randomised", "HR-positive"] == (331, 163)
    assert sizes["as_randomised", "HR-negative"] == (42, 21)
    assert sizes["corrected", "HR-positive"] == (333, 166)
    assert sizes["corrected", "HR-negative"] == (40, 18)
    assert sizes["corrected", "all"] == (373, 184)


def test_events_for_the_planned_power() -> None:
    assert math.ceil(required_events(0.68, power=0.9, ratio=(2, 1))) == 318
    assert required_events(0.68, power=0.9, ratio=(2, 1)) == pytest.approx(317.90, abs=0.005)
    assert math.ceil(required_events(0.68, power=0.9, ratio=(1, 1))) == 283


@pytest.mark.parametrize(
    ("ratio", "lower", "upper", "z", "p"),
    [(0.64, 0.48, 0.86, -3.00, "0.0027"), (0.64, 0.49, 0.84, -3.25, "0.0012")],
)
def test_p_from_the_interval_of_overall_survival(
    ratio: float, lower: float, upper: float, z: float, p: str
) -> None:
    found = p_from_interval(ratio, lower, upper)
    assert round(found.z, 2) == z
    assert f"{found.p:.4f}" == p


@pytest.mark.parametrize(
    ("ratio", "lower", "upper", "p"), [(0.51, 0.40, 0.64, "2e-08"), (0.50, 0.40, 0.63, "2e-09")]
)
def test_p_from_the_interval_of_progression_free_survival(
    ratio: float, lower: float, upper: float, p: str
) -> None:
    assert f"{p_from_interval(ratio, lower, upper).p:.0e}" == p


@pytest.mark.parametrize(
    ("lower", "upper", "sizes", "events", "fewest", "most"),
    [
        (0.40, 0.64, (331, 163), 315, 289, 344),
        (0.40, 0.63, (373, 184), 337, 308, 369),
        (0.48, 0.86, (331, 163), 204, 193, 216),
        (0.49, 0.84, (373, 184), 239, 225, 254),
    ],
)
def test_events_that_the_intervals_imply(
    lower: float, upper: float, sizes: tuple[int, int], events: int, fewest: int, most: int
) -> None:
    found = implied_events(lower, upper, ratio=sizes)
    assert [round(value) for value in (found.events, found.fewest, found.most)] == [
        events,
        fewest,
        most,
    ]


def test_the_interim_boundary_of_overall_survival() -> None:
    assert round(information_fraction(0.0075), 3) == 0.598
    assert round(boundaries([0.598])[0].p, 4) == 0.0075


@pytest.mark.parametrize(("k", "of", "percent"), [(557, 713, "78.1"), (823, 1060, "77.6")])
def test_other_printed_shares(k: int, of: int, percent: str) -> None:
    assert percent_text(k, of) == percent


#: Beside Table 1: HR-positive cohort and all (331, 163, 373, 184), safety (371, 172); counts and
#: whole per cent as shown with the paper's first presentation (ASCO 2022, LBA3, slides 10 and 19).
SHOWN = {
    "HR negative": ((3, 1), (1, 1), (40, 11), (18, 10)),
    "grade 3 or more": ((195, 53), (116, 67)),
    "serious": ((103, 28), (43, 25)),
    "discontinuation": ((60, 16), (14, 8)),
    "interruption": ((143, 39), (72, 42)),
    "reduction": ((84, 23), (66, 38)),
    "death": ((14, 4), (5, 3)),
}


@pytest.mark.parametrize("row", SHOWN)
def test_shares_shown_with_the_first_presentation(row: str) -> None:
    sizes = (371, 172) if len(SHOWN[row]) == 2 else (331, 163, 373, 184)
    for (k, percent), of in zip(SHOWN[row], sizes, strict=True):
        # A whole per cent of a share with one decimal: half a point either way.
        assert abs(float(percent_text(k, of)) - percent) <= 0.5


@pytest.mark.parametrize("parts", [(13, 24, 5, 3), (94, 37, 19, 19, 15)])
def test_parts_that_add_up(parts: tuple[int, ...]) -> None:
    assert sum(parts) in (45, 184)


@pytest.mark.xfail(strict=True, reason="printed 1.5 %, but 5 of 371 patients are 1.3 %")
def test_left_ventricular_ejection_fraction_of_grade_3() -> None:
    assert percent_text(5, 371) == "1.5"


@pytest.mark.xfail(
    strict=True, reason="one best response of PR was not counted as confirmed, in print unexplained"
)
@pytest.mark.parametrize(("best", "confirmed", "n"), [(176, 175, 333), (196, 195, 373)])
def test_best_responses_are_as_many_as_confirmed_ones(best: int, confirmed: int, n: int) -> None:
    counts = ResponseCounts(best=(0, best, n - best, 0, 0), confirmed=confirmed, long_stable=0)
    assert counts.best[0] + counts.best[1] == counts.confirmed


@pytest.mark.xfail(
    strict=True, reason="by design: survival as randomised (331/163), response corrected (333/166)"
)
def test_the_hormone_receptor_cohort_is_of_one_size() -> None:
    sizes = []
    for basis in ("as_randomised", "corrected"):
        row = selection_table(trial(), ARMS, basis).records()[0]
        sizes.append((row["T-DXd_of"], row["TPC_of"]))
    assert sizes[0] == sizes[1]
