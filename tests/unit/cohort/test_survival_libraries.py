"""Log-rank and Cox against statsmodels and lifelines on random tables."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines.statistics import logrank_test
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from pathology.cohort.logrank import Times, logrank, subset_scores
from pathology.cohort.survival import fit_cox, hazard_ratio, kaplan_meier

TABLES = range(200)


def random_times(seed: int) -> Times:
    """Small tables with ties, censoring and strata; some strata hold one arm only."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(20, 70))
    stratum = generator.integers(0, int(generator.integers(1, 5)), n)
    treated = generator.random(n) < generator.choice([0.5, 2 / 3])
    treated[:2] = [True, False]
    months = generator.exponential(10 * np.where(treated, 1.6, 1.0) * (1 + 0.3 * stratum))
    if seed % 2:
        months = np.ceil(months)  # many ties
    censored = generator.uniform(1, 40, n)
    return Times(
        months=np.minimum(months, np.ceil(censored)),
        event=months <= censored,
        treated=treated,
        stratum=stratum,
    )


@pytest.mark.parametrize("seed", TABLES)
def test_the_stratified_logrank_test_agrees_with_statsmodels(seed: int) -> None:
    times = random_times(seed)
    chi2, p = survdiff(times.months, times.event, times.treated, strata=times.stratum)
    found = logrank(times)
    assert found.chi2 == pytest.approx(chi2, rel=1e-6, abs=1e-9)
    assert found.p == pytest.approx(p, abs=1e-6)


#: lifelines takes a third of a second for a stratified model: a part of the tables in the ordinary
#: suite, all of them in the slow one.
COX_TABLES = [
    pytest.param(seed, marks=[] if seed % 10 < 1 else [pytest.mark.slow]) for seed in TABLES
]


@pytest.mark.parametrize("seed", COX_TABLES)
def test_cox_agrees_with_statsmodels(seed: int) -> None:
    times = random_times(seed)
    marker = np.random.default_rng(seed + 1000).normal(50, 20, len(times))
    ours = fit_cox(times, {"treatment": times.treated.astype(float), "marker": marker})
    exog = np.column_stack([times.treated.astype(float), marker])
    theirs = PHReg(times.months, exog, status=times.event, strata=times.stratum, ties="efron").fit(
        disp=0
    )
    for k, name in enumerate(("treatment", "marker")):
        assert ours.effects[name].log_ratio == pytest.approx(theirs.params[k], abs=1e-6)
        assert ours.effects[name].se == pytest.approx(theirs.bse[k], abs=1e-6)
        assert ours.effects[name].p == pytest.approx(theirs.pvalues[k], abs=1e-6)


@pytest.mark.parametrize("seed", range(0, 200, 10))
def test_the_logrank_test_without_strata_agrees_with_lifelines(seed: int) -> None:
    times = random_times(seed)
    one = Times(
        months=times.months,
        event=times.event,
        treated=times.treated,
        stratum=np.zeros(len(times), dtype=int),
    )
    t = times.treated
    theirs = logrank_test(times.months[t], times.months[~t], times.event[t], times.event[~t])
    assert logrank(one).chi2 == pytest.approx(theirs.test_statistic, rel=1e-9)


@pytest.mark.parametrize("seed", range(0, 200, 10))
def test_the_curve_and_its_median_agree_with_statsmodels(seed: int) -> None:
    times = random_times(seed)
    ours = kaplan_meier(times.months, times.event)
    theirs = SurvfuncRight(times.months, times.event)
    for month, share in zip(theirs.surv_times, theirs.surv_prob, strict=True):
        assert ours.survival[ours.months == month][0] == pytest.approx(share, abs=1e-9)
    reached = theirs.surv_times[theirs.surv_prob <= 0.5 + 1e-12]
    assert ours.median == (reached[0] if len(reached) else None)
    if ours.median is not None and ours.median_lower is not None:
        lower, _ = theirs.quantile_ci(0.5, method="cloglog")
        assert ours.median_lower == pytest.approx(lower)


@pytest.mark.parametrize("seed", range(20))
def test_many_subsets_at_once_are_as_one_by_one(seed: int) -> None:
    times = random_times(seed)
    member = np.random.default_rng(seed).random((len(times), 5)) < 0.7
    member[:2] = True
    excess, variance = subset_scores(times, member)
    for k in range(5):
        alone = logrank(times.take(np.flatnonzero(member[:, k])))
        assert excess[k] == pytest.approx(alone.excess, abs=1e-12)
        assert variance[k] == pytest.approx(alone.variance, abs=1e-12)


def test_an_arm_without_events_gives_no_ratio() -> None:
    times = Times(
        months=np.arange(1.0, 9.0),
        event=np.array([True, False] * 4),
        treated=np.array([False, True] * 4),
        stratum=np.zeros(8, dtype=int),
    )
    found = hazard_ratio(times)
    assert found.problem == "no event on treatment"
    assert not found.effects


def test_complete_separation_is_said_not_estimated() -> None:
    treated = np.repeat([False, True], 10)
    times = Times(
        months=np.arange(1.0, 21.0),
        event=np.ones(20, dtype=bool),
        treated=treated,
        stratum=np.zeros(20, dtype=int),
    )
    found = fit_cox(times, {"treatment": treated.astype(float)})
    assert found.problem == "the data do not determine the model"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"months": np.array([-0.1, 1.0])}, "before time zero"),
        ({"months": np.array([np.nan, 1.0])}, "before time zero"),
        ({"treated": np.array([True, True])}, "one arm is empty"),
        ({"treated": np.array([True])}, "one length"),
    ],
)
def test_times_check_themselves(change: dict[str, np.ndarray], message: str) -> None:
    good = {
        "months": np.array([1.0, 2.0]),
        "event": np.array([True, True]),
        "treated": np.array([True, False]),
        "stratum": np.array([0, 0]),
    }
    with pytest.raises(ValueError, match=message):
        Times(**{**good, **change})
