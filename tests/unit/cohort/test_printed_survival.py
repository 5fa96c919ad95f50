"""The survival code on the numbers at risk that DESTINY-Breast04 printed below its curves.

Patients who leave between two months are taken as events in the middle of the month, without
strata. These are anchors for the code and not results of the trial: in truth many of those who
left were censored. Numbers at risk: N Engl J Med 2022;387:9-20, figures 1 and 2.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pathology.cohort.logrank import Times, logrank
from pathology.cohort.survival import at_risk, hazard_ratio, kaplan_meier

#: By end point and population: treatment, control.
PRINTED = {
    "PFS, HR-positive": (
        "331 324 290 265 262 248 218 198 182 165 142 128 107 89 78 73 64 48 37 31 28 17 14 12 7 4 4"
        " 1 1 0",
        "163 146 105 85 84 69 57 48 43 32 30 27 24 20 14 12 8 4 3 2 1 1 1 1 1 1 0",
    ),
    "PFS, all": (
        "373 365 325 295 290 272 238 217 201 183 156 142 118 100 88 81 71 53 42 35 32 21 18 15 8 4"
        " 4 1 1 0",
        "184 166 119 93 90 73 60 51 45 34 32 29 26 22 15 13 9 5 4 3 1 1 1 1 1 1 0",
    ),
    "OS, HR-positive": (
        "331 325 323 319 314 309 303 293 285 280 268 260 250 228 199 190 168 144 116 95 81 70 51 40"
        " 26 14 9 8 6 6 2 1 1 1 0",
        "163 151 145 143 139 135 130 124 115 109 104 98 96 89 80 71 56 45 37 29 25 23 16 14 7 5 3"
        " 1 0",
    ),
    "OS, all": (
        "373 366 363 357 351 344 338 326 315 309 296 287 276 254 223 214 188 158 129 104 90 78 59"
        " 48 32 20 14 12 10 8 3 1 1 1 0",
        "184 171 165 161 157 153 146 138 128 120 114 108 105 97 88 77 61 50 42 32 28 25 18 16 7 5 3"
        " 1 0",
    ),
}
#: Hazard ratio, its interval where known, and χ² of the log-rank test, on these times.
ANCHORS = [
    ("PFS, HR-positive", 0.4940, (0.4076, 0.5988), 53.2792),
    ("PFS, all", 0.4915, None, 61.1671),
    ("OS, HR-positive", 0.7187, None, 12.6272),
    ("OS, all", 0.6965, None, 16.5220),
]
#: Medians that the paper prints, months: treatment, control.
MEDIANS = {
    "PFS, HR-positive": (10.1, 5.4),
    "PFS, all": (9.9, 5.1),
    "OS, HR-positive": (23.9, 17.5),
    "OS, all": (23.4, 16.8),
}


def counts(row: str) -> list[int]:
    return [int(word) for word in row.split()]


def months_of(row: str) -> np.ndarray:
    left = [before - after for before, after in pairwise(counts(row))]
    return np.repeat(np.arange(len(left)) + 0.5, left)


def times_of(name: str) -> Times:
    treatment, control = (months_of(row) for row in PRINTED[name])
    months = np.concatenate([treatment, control])
    return Times(
        months=months,
        event=np.ones(len(months), dtype=np.bool_),
        treated=np.arange(len(months)) < len(treatment),
        stratum=np.zeros(len(months), dtype=np.int64),
    )


@pytest.mark.parametrize(("name", "ratio", "interval", "chi2"), ANCHORS)
def test_cox_and_log_rank(
    name: str, ratio: float, interval: tuple[float, float] | None, chi2: float
) -> None:
    times = times_of(name)
    effect = hazard_ratio(times).effects["treatment"]
    assert round(effect.ratio, 4) == ratio
    if interval is not None:
        assert (round(effect.lower, 4), round(effect.upper, 4)) == interval
    test = logrank(times)
    assert round(test.excess**2 / test.variance, 4) == chi2


@pytest.mark.parametrize("name", PRINTED)
def test_numbers_at_risk_are_monotone_and_come_back(name: str) -> None:
    columns = (30, 27) if name.startswith("PFS") else (35, 29)
    for row, wanted in zip(PRINTED[name], columns, strict=True):
        printed = counts(row)
        assert len(printed) == wanted
        assert all(before >= after for before, after in pairwise(printed))
        assert at_risk(months_of(row), np.arange(len(printed))) == printed


@pytest.mark.parametrize("name", PRINTED)
def test_the_worst_case_median_lies_below_the_printed_one(name: str) -> None:
    """With every departure an event, the median is a lower bound of the trial's."""
    for row, printed in zip(PRINTED[name], MEDIANS[name], strict=True):
        months = months_of(row)
        median = kaplan_meier(months, np.ones(len(months), dtype=np.bool_)).median
        assert median is not None
        assert median < printed
