"""The bootstrap over patients: two ways of drawing, a slow version, and its coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathology.agreement import Bootstrap, patient_codes, percentiles
from pathology.agreement.sums import add_by_patient, resample, resample_sums


def mean(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 1] / sums[..., 0])


def ones_and(values: np.ndarray) -> np.ndarray:
    return np.column_stack((np.ones(len(values)), values))


def test_terms_are_added_by_patient() -> None:
    generator = np.random.default_rng(1)
    terms, patient = generator.random((50, 3)), generator.integers(0, 12, 50)
    expected = [terms[patient == name].sum(axis=0) for name in np.unique(patient)]
    assert add_by_patient(terms, patient) == pytest.approx(np.array(expected))
    order = generator.permutation(50)
    assert add_by_patient(terms[order], np.arange(50)[order]) == pytest.approx(terms)


def test_both_ways_of_drawing_have_the_same_distribution() -> None:
    generator = np.random.default_rng(2)
    kinds = generator.random(400) < 0.3
    by_kind = resample_sums(ones_and(kinds), replicates=4000, seed=1)
    # A tiny difference per patient makes every row a kind of its own, so rows are drawn.
    jitter = ones_and(kinds + 1e-9 * np.arange(400))
    by_row = resample_sums(jitter, replicates=4000, seed=1)
    assert np.all(by_kind[:, 0] == 400)
    assert np.all(by_row[:, 0] == 400)
    expected = (400 * kinds.mean() * (1 - kinds.mean())) ** 0.5
    for sums in (by_kind, by_row):
        assert sums[:, 1].mean() == pytest.approx(kinds.sum(), abs=0.5)
        assert sums[:, 1].std() == pytest.approx(expected, rel=0.05)


def test_the_interval_is_that_of_a_slow_bootstrap() -> None:
    generator = np.random.default_rng(3)
    patient = np.repeat(np.arange(30), 3)
    values = np.repeat(generator.normal(0, 1, 30), 3) + generator.normal(0, 0.3, 90)
    fast = resample(ones_and(values), patient, Bootstrap(replicates=4000)).estimate(mean)
    slow = []
    for _ in range(4000):
        drawn = generator.integers(30, size=30)
        slow.append(np.concatenate([values[patient == name] for name in drawn]).mean())
    assert fast.value == pytest.approx(values.mean())
    assert (fast.low, fast.high) == pytest.approx(np.percentile(slow, [2.5, 97.5]), abs=0.05)


def test_the_same_seed_gives_the_same_interval() -> None:
    terms = ones_and(np.random.default_rng(4).random(40))
    draw = [
        resample(terms, np.arange(40), Bootstrap(seed=seed)).estimate(mean) for seed in (1, 1, 2)
    ]
    assert draw[0] == draw[1] != draw[2]


def test_many_replicates_undefined_give_no_interval() -> None:
    assert percentiles(np.array([1.0] * 94 + [np.nan] * 6), confidence=0.95) is None
    assert percentiles(np.array([1.0] * 96 + [np.nan] * 4), confidence=0.95) == (1.0, 1.0)
    one = resample(np.ones((3, 2)), np.zeros(3, int), Bootstrap()).estimate(mean)
    assert (one.value, one.low) == (1.0, None)


def test_bootstrap_checks_itself() -> None:
    for wrong in ({"replicates": 0}, {"confidence": 1.0}):
        with pytest.raises(ValueError, match="must be"):
            Bootstrap(**wrong)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=12))
def test_slides_that_share_an_id_are_of_one_patient(ids: list[tuple[str, str]]) -> None:
    cases = [a if a != "c" else None for a, _ in ids]
    patients = [b if b != "z" else None for _, b in ids]
    codes = patient_codes(cases, patients)
    # The slow way: spread the smallest number until nothing changes.
    slow = list(range(len(ids)))
    for _ in ids:
        for i in range(len(ids)):
            for j in range(len(ids)):
                same_case = cases[i] is not None and cases[i] == cases[j]
                if same_case or (patients[i] is not None and patients[i] == patients[j]):
                    slow[i] = slow[j] = min(slow[i], slow[j])
    assert [[a == b for b in codes] for a in codes] == [[a == b for b in slow] for a in slow]
    assert set(codes) == set(range(len(set(codes))))


@pytest.mark.slow
def test_the_cluster_interval_covers_the_truth_and_the_naive_one_does_not() -> None:
    generator = np.random.default_rng(9)
    covered = {"patients": 0, "slides": 0}
    truth, runs = 0.7, 1000
    for _ in range(runs):
        # Beta(1.4, 0.6): patients differ in how often their four slides agree.
        odds = generator.beta(1.4, 0.6, 80)
        values = (generator.random((80, 4)) < odds[:, None]).ravel().astype(float)
        for name, patient in (
            ("patients", np.repeat(np.arange(80), 4)),
            ("slides", np.arange(320)),
        ):
            drawn = resample(ones_and(values), patient, Bootstrap(replicates=500))
            found = drawn.estimate(mean)
            assert found.low is not None
            assert found.high is not None
            covered[name] += found.low <= truth <= found.high
    assert 0.92 <= covered["patients"] / runs <= 0.97
    assert covered["slides"] / runs < 0.88
