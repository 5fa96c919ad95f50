"""Kappa and AC of two readings, against independent libraries, the definition, and print."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa

from pathology.agreement import agreement_weights, cohen_kappa, gwet_ac
from pathology.agreement.coefficients import WEIGHTINGS

#: Written by scripts/make_gwet_reference.py.
GOLDEN = Path(__file__).parents[2] / "golden"
#: 186 cases, rows the rules of 2007, columns those of 2013 (ISRN Oncol 2014:793695, table 2).
RULES = np.array([[17, 2, 0, 0], [0, 52, 65, 1], [0, 0, 24, 16], [0, 0, 0, 9]])
#: 100 cases and two abstractors: the example of Gwet's handbook, also in the R package irrCAC.
ABSTRACTORS = np.array([[13, 0, 0], [0, 20, 7], [0, 4, 56]])


def random_tables(n: int = 200, k: int = 4) -> list[np.ndarray]:
    generator = np.random.default_rng(1)
    tables = []
    for _ in range(n):
        table = generator.integers(0, generator.integers(2, 60), (k, k))
        table[generator.integers(k), generator.integers(k)] += 1
        tables.append(table)
    return tables


def readings_of(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.indices(table.shape)
    return np.repeat(rows.ravel(), table.ravel()), np.repeat(columns.ravel(), table.ravel())


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_kappa_is_that_of_scikit_learn_on_200_tables(weighting: str) -> None:
    for table in random_tables():
        first, second = readings_of(table)
        expected = cohen_kappa_score(
            first,
            second,
            labels=range(4),
            weights=None if weighting == "unweighted" else weighting,
        )
        assert float(cohen_kappa(table, weighting)) == pytest.approx(expected, abs=1e-9)


def test_kappa_is_that_of_statsmodels_on_200_tables() -> None:
    for table in random_tables():
        for weighting, name in (("unweighted", None), ("linear", "linear"), ("quadratic", "fc")):
            found = cohens_kappa(table, wt=name, return_results=False)
            assert float(cohen_kappa(table, weighting)) == pytest.approx(found, abs=1e-9)


def slow_ac(table: np.ndarray, power: int) -> float:
    """AC by looking at every slide, from the definition."""
    pairs = [(int(a), int(b)) for a, b in zip(*readings_of(table), strict=True)]
    q, n = len(table), len(pairs)

    def credit(a: int, b: int) -> float:
        return float(a == b) if power == 0 else 1 - (abs(a - b) / (q - 1)) ** power

    seen = sum(credit(a, b) for a, b in pairs) / n
    share = [sum((a == k) + (b == k) for a, b in pairs) / (2 * n) for k in range(q)]
    scale = sum(credit(a, b) for a in range(q) for b in range(q)) / (q * (q - 1))
    chance = scale * sum(p * (1 - p) for p in share)
    return (seen - chance) / (1 - chance)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_ac_is_that_of_the_definition_on_200_tables(weighting: str) -> None:
    for table in random_tables():
        small = table % 7 + np.eye(4, dtype=int)
        expected = slow_ac(small, WEIGHTINGS.index(weighting))
        assert float(gwet_ac(small, weighting)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_ac_is_that_of_irrcac_on_200_tables(weighting: str) -> None:
    """Values of the library, which cannot be installed beside this project."""
    content = json.loads((GOLDEN / "gwet_irrcac.json").read_text(encoding="utf-8"))
    assert len(content["tables"]) == 200
    for item in content["tables"]:
        found = float(gwet_ac(np.array(item["table"]), weighting))
        assert found == pytest.approx(item[weighting], abs=1e-9)


def test_the_regression_anchors() -> None:
    found = [round(float(cohen_kappa(RULES, weighting)), 4) for weighting in WEIGHTINGS]
    assert found == [0.3519, 0.4953, 0.6561]


def test_gwets_published_example() -> None:
    assert float(gwet_ac(ABSTRACTORS)) == pytest.approx(0.8493305, abs=5e-8)
    assert float(gwet_ac(ABSTRACTORS, "quadratic")) == pytest.approx(0.9402369, abs=5e-8)
    assert float(cohen_kappa(ABSTRACTORS)) == pytest.approx(0.7964094, abs=5e-8)
    assert float(cohen_kappa(ABSTRACTORS, "quadratic")) == pytest.approx(0.8921569, abs=5e-8)


@pytest.mark.parametrize("function", [cohen_kappa, gwet_ac])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_tables_in_a_stack_are_computed_one_by_one(function, weighting: str) -> None:  # type: ignore[no-untyped-def]
    tables = np.array(random_tables(20))
    one_by_one = [float(function(table, weighting)) for table in tables]
    assert function(tables, weighting) == pytest.approx(one_by_one, abs=1e-12)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_full_agreement_is_one_and_nothing_is_undefined(weighting: str) -> None:
    assert float(cohen_kappa(np.diag([3, 1, 4, 1]), weighting)) == pytest.approx(1)
    assert float(gwet_ac(np.diag([3, 1, 4, 1]), weighting)) == pytest.approx(1)
    assert np.isnan(cohen_kappa(np.diag([3, 0, 0, 0]), weighting))
    # One category only: AC has no trouble with it.
    assert float(gwet_ac(np.diag([3, 0, 0, 0]), weighting)) == pytest.approx(1)
    assert np.isnan(gwet_ac(np.zeros((4, 4)), weighting))


def test_weights_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="cubic"):
        agreement_weights(4, "cubic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="two categories"):
        agreement_weights(1, "linear")
