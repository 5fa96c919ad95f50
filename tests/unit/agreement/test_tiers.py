"""Tables of the five tiers: against a plain count, and kappa against an independent library."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from pathology.agreement import Bootstrap, Options, Study, evaluate_study
from pathology.agreement.codes import NO_SCORE, NOT_READ
from pathology.agreement.tiers import TIER_UNSAID, compare_tiers, consensus_tiers, implied_tiers
from pathology.scoring.tiers import TIER_ORDER

FEW = Bootstrap(replicates=100)
NULL, ULTRALOW, LOW, EQUIVOCAL, POSITIVE = range(5)
CODES = st.sampled_from([TIER_UNSAID, NOT_READ, NO_SCORE, *range(5)])
PROGRAM = st.sampled_from([NO_SCORE, *range(5)])


def test_the_order_is_that_of_the_codes() -> None:
    assert TIER_ORDER == (
        "her2_null", "her2_ultralow", "her2_low", "her2_equivocal", "her2_positive",
    )  # fmt: skip


@given(st.lists(st.tuples(CODES, PROGRAM), min_size=1, max_size=30))
def test_every_slide_is_counted_once_or_left_out_for_one_reason(
    pairs: list[tuple[int, int]],
) -> None:
    reference, program = np.array(pairs).T
    found = compare_tiers(reference, program, patient=np.arange(len(pairs)), bootstrap=FEW)
    both = [(r, p) for r, p in pairs if r >= 0 and p >= 0]
    assert found.flow.slides_in == len(pairs)
    assert found.flow.slides_used == len(both) == found.overall.total
    assert found.overall.agreeing == sum(r == p for r, p in both)
    counted = Counter((r, p) for r, p in pairs if r >= NO_SCORE)
    for r in range(-1, 5):
        for p in range(-1, 5):
            assert found.table[r + 1][p + 1] == counted[r, p]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40))
def test_kappa_is_that_of_an_independent_library(pairs: list[tuple[int, int]]) -> None:
    reference, program = np.array(pairs).T
    found = compare_tiers(reference, program, patient=np.arange(len(pairs)), bootstrap=FEW)
    if len(set(reference) | set(program)) < 2:
        assert found.kappa_unweighted.value is None
        return
    for weights, estimate in ((None, found.kappa_unweighted), ("linear", found.kappa_linear)):
        expected = cohen_kappa_score(reference, program, labels=range(5), weights=weights)
        assert estimate.value == pytest.approx(expected, abs=1e-9)


def test_slides_of_one_patient_are_drawn_together() -> None:
    reference = np.array([NULL] * 6 + [LOW] * 6)
    program = np.array([NULL] * 6 + [ULTRALOW] * 6)
    patients = np.repeat([0, 1], 6)
    together = compare_tiers(reference, program, patient=patients, bootstrap=FEW)
    apart = compare_tiers(reference, program, patient=np.arange(12), bootstrap=FEW)
    assert (together.patients, together.overall.method) == (2, "patient_bootstrap")
    assert (together.overall.low, together.overall.high) == (0.0, 1.0)
    assert apart.overall.method == "wilson"


def test_a_bare_zero_is_neither_null_nor_ultralow() -> None:
    readings = np.array([0, 0, 1, 2, 2, 2, 3, NO_SCORE, NOT_READ])
    given = np.array([-1, NULL, -1, -1, LOW, POSITIVE, -1, -1, -1])
    assert implied_tiers(readings, given).tolist() == [
        TIER_UNSAID, NULL, LOW, EQUIVOCAL, LOW, POSITIVE, POSITIVE, NO_SCORE, NOT_READ,
    ]  # fmt: skip


def test_bare_zeros_have_no_vote() -> None:
    tiers = np.array([
        [ULTRALOW, ULTRALOW, TIER_UNSAID],
        [TIER_UNSAID, TIER_UNSAID, TIER_UNSAID],
        [NULL, ULTRALOW, TIER_UNSAID],
        [POSITIVE, POSITIVE, EQUIVOCAL],
    ])  # fmt: skip
    found = consensus_tiers(tiers, ties="leave-out", min_readings=2)
    assert found.tolist() == [ULTRALOW, TIER_UNSAID, NOT_READ, POSITIVE]
    higher = consensus_tiers(tiers, ties="higher", min_readings=2)
    assert higher.tolist() == [ULTRALOW, TIER_UNSAID, ULTRALOW, POSITIVE]


def study(tiers: np.ndarray | None) -> Study:
    readings = np.array([[0, 0], [0, 0], [1, 1], [2, 2], [3, 3]])
    return Study(
        slides=tuple("abcde"), patient=np.arange(5), sites=(None,) * 5,
        program=np.array([0, 0, 1, 2, 3]), readers=("A", "B"), readings=readings,
        ish=np.full((5, 2), -1),
        program_tier=np.array([NULL, ULTRALOW, LOW, EQUIVOCAL, POSITIVE]), tiers=tiers,
    )  # fmt: skip


def test_a_study_has_the_table_where_a_reader_gave_tiers() -> None:
    given = np.full((5, 2), -1)
    assert evaluate_study(study(None)).tiers is None
    assert evaluate_study(study(given)).tiers is None
    given[0] = given[1] = ULTRALOW
    given[3] = LOW
    found = evaluate_study(study(given), Options(bootstrap=FEW)).tiers
    assert found is not None
    # The null slide is called ultralow, the 2+ low; the other three agree.
    assert (found.overall.agreeing, found.overall.total) == (3, 5)
    assert found.table[1 + ULTRALOW][1 + NULL] == 1
    assert found.table[1 + LOW][1 + EQUIVOCAL] == 1
    with pytest.raises(ValueError, match="tiers must be"):
        study(np.full((5, 2), 5))
