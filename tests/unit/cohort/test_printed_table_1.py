"""Table 1 of DESTINY-Breast04, recomputed from its own counts (N Engl J Med 2022;387:9-20).

Counts and percentages as printed, from the author manuscript (PMC10561652, table T1) down to the
row of CDK4/6 inhibitors. Printed values stand in tests and nowhere in the package.
"""

from __future__ import annotations

import pytest

from pathology.cohort.tables import percent_text

#: Hormone receptor-positive: T-DXd, physician's choice; all patients: T-DXd, physician's choice.
SIZES = (331, 163, 373, 184)
TABLE_1 = {
    "female": "329 (99.4) | 163 (100) | 371 (99.5) | 184 (100)",
    "Europe or Israel": "149 (45.0) | 73 (44.8) | 166 (44.5) | 85 (46.2)",
    "Asia": "128 (38.7) | 60 (36.8) | 147 (39.4) | 66 (35.9)",
    "North America": "54 (16.3) | 30 (18.4) | 60 (16.1) | 33 (17.9)",
    "White": "156 (47.1) | 78 (47.9) | 176 (47.2) | 91 (49.5)",
    "Black": "7 (2.1) | 2 (1.2) | 7 (1.9) | 3 (1.6)",
    "Asian": "131 (39.6) | 66 (40.5) | 151 (40.5) | 72 (39.1)",
    "race other": "37 (11.2) | 16 (9.8) | 39 (10.5) | 17 (9.2)",
    "race missing": "0 | 1 (0.6) | 0 | 1 (0.5)",
    "Hispanic": "14 (4.2) | 5 (3.1) | 14 (3.8) | 7 (3.8)",
    "non-Hispanic": "267 (80.7) | 137 (84.0) | 308 (82.6) | 153 (83.2)",
    "ethnic group unknown": "9 (2.7) | 4 (2.5) | 9 (2.4) | 7 (3.8)",
    "ethnic group not applicable": "41 (12.4) | 17 (10.4) | 42 (11.3) | 17 (9.2)",
    "IHC 1+": "193 (58.3) | 95 (58.3) | 215 (57.6) | 106 (57.6)",
    "IHC 2+ and ISH-negative": "138 (41.7) | 68 (41.7) | 158 (42.4) | 78 (42.4)",
    "ECOG 0": "187 (56.5) | 95 (58.3) | 200 (53.6) | 105 (57.1)",
    "ECOG 1": "144 (43.5) | 68 (41.7) | 173 (46.4) | 79 (42.9)",
    "HR-positive": "328 (99.1) | 162 (99.4) | 333 (89.3) | 166 (90.2)",
    "brain metastases": "18 (5.4) | 7 (4.3) | 24 (6.4) | 8 (4.3)",
    "liver metastases": "247 (74.6) | 116 (71.2) | 266 (71.3) | 123 (66.8)",
    "lung metastases": "98 (29.6) | 58 (35.6) | 120 (32.2) | 63 (34.2)",
    "targeted therapy": "259 (78.2) | 132 (81.0) | 279 (74.8) | 140 (76.1)",
    "CDK4/6 inhibitor": "233 (70.4) | 115 (70.6) | 239 (64.1) | 119 (64.7)",
}
#: Rows of one characteristic: together they are everyone.
WHOLE = (
    ("Europe or Israel", "Asia", "North America"),
    ("White", "Black", "Asian", "race other", "race missing"),
    ("Hispanic", "non-Hispanic", "ethnic group unknown", "ethnic group not applicable"),
    ("IHC 1+", "IHC 2+ and ISH-negative"),
    ("ECOG 0", "ECOG 1"),
)


def counts(row: str) -> list[int]:
    """The four counts of a row."""
    return [int(cell.split()[0]) for cell in TABLE_1[row].split("|")]


@pytest.mark.parametrize("row", TABLE_1)
def test_percentages_of_table_1(row: str) -> None:
    written = []
    for k, of in zip(counts(row), SIZES, strict=True):
        # The journal prints no percentage of nobody, and no decimal of everybody.
        percent = percent_text(k, of).replace("100.0", "100")
        written.append(f"{k} ({percent})" if k else "0")
    assert " | ".join(written) == TABLE_1[row]


@pytest.mark.parametrize("rows", WHOLE)
def test_the_groups_of_a_characteristic_are_everyone(rows: tuple[str, ...]) -> None:
    assert tuple(map(sum, zip(*map(counts, rows), strict=True))) == SIZES
