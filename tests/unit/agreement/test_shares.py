"""Agreement per cut-off: anchors, a slow version, unscored slides, and clusters of slides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from pathology.agreement import Bootstrap, Comparison, compare_readings
from pathology.scoring.bounds import exact_interval, wilson_interval

RULES = np.array([[17, 2, 0, 0], [0, 52, 65, 1], [0, 0, 24, 16], [0, 0, 0, 9]])
FEW = Bootstrap(replicates=200)
RANK = {">=1+": 1, ">=2+": 2, "3+": 3}


def compare(reference, other, **more) -> Comparison:  # type: ignore[no-untyped-def]
    more = {"patient": np.arange(len(reference)), "bootstrap": FEW, **more}
    return compare_readings(np.array(reference), np.array(other), **more)


def of_table(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.indices(table.shape)
    return np.repeat(rows.ravel(), table.ravel()), np.repeat(columns.ravel(), table.ravel())


def test_the_regression_anchors() -> None:
    found = compare(*of_table(RULES))
    overall = found.share("all")
    assert (overall.agreeing, overall.total, overall.method) == (102, 186, "wilson")
    shown = [overall.value, overall.low, overall.high, overall.exact_low, overall.exact_high]
    assert [round(100 * x, 2) for x in shown if x is not None] == [
        *(54.84, 47.66, 61.82),
        *(47.39, 62.13),
    ]
    positive, negative = found.share(">=2+", "positive"), found.share(">=2+", "negative")
    assert (positive.agreeing, positive.total) == (49, 49)
    assert (negative.agreeing, negative.total) == (71, 137)
    kappas = [found.coefficient(f"kappa_{w}").value for w in ("unweighted", "linear", "quadratic")]
    assert [round(x, 4) for x in kappas if x is not None] == [0.3519, 0.4953, 0.6561]


def test_intervals_are_those_of_statsmodels_on_200_shares() -> None:
    generator = np.random.default_rng(1)
    for _ in range(200):
        n = int(generator.integers(1, 2000))
        k = int(generator.integers(0, n + 1))
        for method, ours in (("wilson", wilson_interval), ("beta", exact_interval)):
            expected = proportion_confint(k, n, alpha=0.05, method=method)
            assert ours(k, n, confidence=0.95) == pytest.approx(expected, abs=1e-9)


def test_the_least_number_of_slides_that_all_agree() -> None:
    # Facts: all of 35 (Wilson) or 36 (exact) agree for a lower bound of 90 %; 73 or 72 for 95 %.
    for ours, least in ((wilson_interval, (35, 73)), (exact_interval, (36, 72))):
        for n, bound in zip(least, (0.9, 0.95), strict=True):
            assert ours(n, n, confidence=0.95)[0] >= bound
            assert ours(n - 1, n - 1, confidence=0.95)[0] < bound


def slow(reference, other, ish, cut, kind, unscored):  # type: ignore[no-untyped-def]
    """Count slide by slide, in words."""
    agreeing = total = 0
    for a, b, negative in zip(reference, other, ish, strict=True):
        if -2 in (a, b) or (a, b) == (-1, -1):
            continue
        if -1 in (a, b):
            known = a != -1 and _asked(a, negative, cut, kind)
            nobody = a == -1 and kind == "overall" and cut != "low"
            total += unscored == "disagreement" and (known or nobody)
            continue
        if not _asked(a, negative, cut, kind):
            continue
        total += 1
        if cut == "all":
            agreeing += a == b
        elif cut == "low":
            agreeing += (b == 0) if a == 0 else b in (1, 2)
        else:
            agreeing += (a >= RANK[cut]) == (b >= RANK[cut])
    return agreeing, total


def _asked(a: int, ish_negative: bool, cut: str, kind: str) -> bool:
    if cut == "all":
        return True
    if cut == "low":
        positive = a == 1 or (a == 2 and ish_negative)
        negative = a == 0
    else:
        positive, negative = a >= RANK[cut], a < RANK[cut]
    return {"overall": positive or negative, "positive": positive}.get(kind, negative)


PAIRS = st.lists(
    st.tuples(st.integers(-2, 3), st.integers(-2, 3), st.booleans(), st.integers(0, 5)),
    min_size=1,
    max_size=25,
)


@given(PAIRS)
def test_every_share_is_that_of_counting_slide_by_slide(rows) -> None:  # type: ignore[no-untyped-def]
    reference, other, ish, patient = (np.array(column) for column in zip(*rows, strict=True))
    found = compare(
        reference, other, patient=patient, ish_negative=ish, bootstrap=Bootstrap(replicates=5)
    )
    assert len(found.shares) == 26
    for share in found.shares:
        expected = slow(reference, other, ish, share.cut, share.kind, share.unscored)
        assert (share.agreeing, share.total) == expected, share
    used = [(a, b) for a, b in zip(reference, other, strict=True) if min(a, b) >= 0]
    assert found.flow.slides_used == len(used) == np.array(found.table)[1:, 1:].sum()
    assert found.flow.slides_in == len(rows)


@given(PAIRS)
def test_the_order_of_slides_and_names_of_patients_do_not_matter(rows) -> None:  # type: ignore[no-untyped-def]
    def figures(rows, rename=lambda x: x):  # type: ignore[no-untyped-def]
        reference, other, ish, patient = (np.array(column) for column in zip(*rows, strict=True))
        found = compare(reference, other, patient=rename(patient), ish_negative=ish)
        return [(s.agreeing, s.total, s.value) for s in found.shares]

    assert figures(rows) == figures(rows[::-1]) == figures(rows, lambda patient: 100 - patient)


def test_a_missing_score_is_left_out_and_counted_as_disagreement() -> None:
    found = compare([0, 1, 2, 3, -1, -1, 2], [0, 1, 2, -1, 2, -1, -2])
    assert found.share("all").value == 1.0
    counted = found.share("all", unscored="disagreement")
    assert (counted.agreeing, counted.total) == (3, 5)
    assert found.share("3+", "positive").total == 0
    assert found.share("3+", "positive", "disagreement").total == 1
    assert dict(found.flow.left_out) == {
        "not_read_by_program": 1,
        "no_score_by_both": 1,
        "no_score_by_reference": 1,
        "no_score_by_program": 1,
    }


def test_low_is_asked_among_the_negatives_of_the_reference_only() -> None:
    ish = np.array([False, False, False, True, True, False])
    found = compare([0, 1, 2, 2, 2, 3], [0, 3, 0, 1, 0, 0], ish_negative=ish)
    # Low: the 1+ (called 3+, so not low), and the two 2+ with negative ISH (called 1+, and 0).
    assert (found.share("low", "positive").agreeing, found.share("low", "positive").total) == (1, 3)
    assert (found.share("low", "negative").agreeing, found.share("low", "negative").total) == (1, 1)


def test_several_slides_of_a_patient_take_the_bootstrap() -> None:
    generator = np.random.default_rng(2)
    truth = np.repeat(generator.integers(0, 4, 60), 5)
    right = np.repeat(generator.random(60) < 0.7, 5)
    other = np.where(right, truth, (truth + 1) % 4)
    clustered = compare(truth, other, patient=np.repeat(np.arange(60), 5), bootstrap=Bootstrap())
    plain = compare(truth, other)
    share, naive = clustered.share("all"), plain.share("all")
    assert clustered.clustered
    assert not plain.clustered
    assert (share.method, share.exact_low) == ("patient_bootstrap", None)
    assert None not in (share.low, share.high, naive.low, naive.high)
    # Five copies of each slide say no more than one: √5 times as wide.
    ratio = (share.high - share.low) / (naive.high - naive.low)  # type: ignore[operator]
    assert 1.9 < ratio < 2.6


def test_where_all_agree_the_bound_is_that_of_the_patients() -> None:
    truth = np.repeat([0, 1, 2, 3] * 5, 3)
    found = compare(truth, truth, patient=np.repeat(np.arange(20), 3)).share("all")
    assert found.method == "clopper_pearson_patients"
    assert (found.low, found.high) == pytest.approx(exact_interval(20, 20, confidence=0.95))


def test_codes_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="reference must be"):
        compare([4], [0])
    with pytest.raises(ValueError, match="other must be"):
        compare([0], [-3])
    with pytest.raises(ValueError, match="patient"):
        compare([0], [0], patient=np.arange(2))


def test_no_slide_at_all() -> None:
    found = compare(np.zeros(0, int), np.zeros(0, int))
    assert found.share("all").value is None
    assert found.coefficient("kappa_quadratic").value is None
