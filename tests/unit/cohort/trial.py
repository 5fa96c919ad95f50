"""A made-up trial of the shape that `her2 cohort` reads: nobody's data."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

HEADER = [
    "patient_id",
    "case_id",
    "specimen_adequate",
    "ihc_score",
    "ish_result",
    "er_pct",
    "pr_pct",
    "chemo_lines",
    "early_recurrence",
    "endocrine_lines",
    "prior_cdk46",
    "brain_metastases",
    "ild",
    "other_exclusion",
    "not_randomised_reason",
    "arm",
    "her2_as_randomised",
    "lines_as_randomised",
    "hr_as_randomised",
    "pfs_months",
    "pfs_event",
    "os_months",
    "os_event",
    "best_response",
    "response_confirmed",
    "stable_months",
    "h_score",
]


def make_rows(n: int = 300, seed: int = 1) -> list[dict[str, str]]:
    """Screen n patients; treatment does more where h_score is higher."""
    generator = np.random.default_rng(seed)
    return [_patient(k, generator) for k in range(n)]


def _patient(k: int, generator: np.random.Generator) -> dict[str, str]:
    row = dict.fromkeys(HEADER, "")
    row |= {"patient_id": f"P{k:04d}", "case_id": f"C{k:04d}"}
    row["specimen_adequate"] = "yes" if generator.random() > 0.06 else "no"
    score = str(generator.choice(["0", "1+", "2+", "3+", ""], p=[0.1, 0.5, 0.33, 0.04, 0.03]))
    row["ihc_score"] = score
    if score == "2+":
        row["ish_result"] = str(generator.choice(["negative", "positive"], p=[0.92, 0.08]))
    positive = generator.random() < 0.88
    row["er_pct"], row["pr_pct"] = (
        (f"{generator.integers(1, 100)}", "0") if positive else ("0", "0")
    )
    lines = int(generator.choice([0, 1, 2, 3], p=[0.08, 0.5, 0.36, 0.06]))
    row["chemo_lines"] = str(lines)
    row["early_recurrence"] = "yes" if lines == 0 and generator.random() < 0.7 else "no"
    row["endocrine_lines"] = "2" if positive else "0"
    row["prior_cdk46"] = "yes" if generator.random() < 0.7 else "no"
    row["brain_metastases"] = "active" if generator.random() < 0.02 else "none"
    row["ild"] = "yes" if generator.random() < 0.02 else "no"
    low = score == "1+" or (score == "2+" and row["ish_result"] == "negative")
    fit = 1 <= lines <= 2 or row["early_recurrence"] == "yes"
    well = row["brain_metastases"] == "none" and row["ild"] == "no"
    if row["specimen_adequate"] == "yes" and low and fit and well:
        if generator.random() < 0.06:
            row["not_randomised_reason"] = "consent withdrawn"
        else:
            _randomise(row, generator, max(1, lines), positive=positive)
    return row


def _randomise(
    row: dict[str, str], generator: np.random.Generator, lines: int, *, positive: bool
) -> None:
    row["arm"] = "T-DXd" if generator.random() < 2 / 3 else "TPC"
    row["her2_as_randomised"] = row["ihc_score"]
    row["lines_as_randomised"] = str(lines)
    wrong = generator.random() < 0.03
    cdk46 = "positive_cdk46" if row["prior_cdk46"] == "yes" else "positive_no_cdk46"
    row["hr_as_randomised"] = cdk46 if positive != wrong else "negative"
    marker = float(generator.gamma(6, 12))
    row["h_score"] = "" if generator.random() < 0.08 else f"{marker:.0f}"
    treated = row["arm"] == "T-DXd"
    slow = np.exp(0.75 * treated * (0.4 + marker / 100) - 0.1 * (lines == 2))
    pfs = generator.exponential(6.5 * slow)
    death = pfs + generator.exponential(12 * slow**0.5)
    end = generator.uniform(8, 30)
    row["pfs_months"], row["pfs_event"] = f"{min(pfs, end):.1f}", "1" if pfs <= end else "0"
    row["os_months"], row["os_event"] = f"{min(death, end):.1f}", "1" if death <= end else "0"
    chance = [0.04, 0.48, 0.34, 0.1, 0.04] if treated else [0.01, 0.15, 0.5, 0.22, 0.12]
    row["best_response"] = str(generator.choice(["CR", "PR", "SD", "PD", "NE"], p=chance))
    if row["best_response"] in ("CR", "PR"):
        row["response_confirmed"] = "yes" if generator.random() < 0.97 else "no"
    if row["best_response"] == "SD":
        row["stable_months"] = f"{generator.exponential(6):.1f}"


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write a table as a spreadsheet would."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
