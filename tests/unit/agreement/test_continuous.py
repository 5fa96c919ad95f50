"""Intraclass correlations and limits of agreement, against pingouin, print and simulation."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from pathology.agreement import Bootstrap, bland_altman, intraclass, intraclass_by_patient

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pingouin

#: Shrout and Fleiss 1979, table 2: six targets, four judges.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
)


def test_the_six_forms_of_shrout_and_fleiss() -> None:
    found = intraclass(SHROUT_FLEISS)
    values = [found.icc_1_1, found.icc_2_1, found.icc_3_1]
    values += [found.icc_1_k, found.icc_2_k, found.icc_3_k]
    assert [round(value, 4) for value in values if value is not None] == [
        *(0.1657, 0.2898, 0.7148),
        *(0.4428, 0.6201, 0.9093),
    ]


def test_the_six_forms_and_the_interval_are_those_of_pingouin_on_200_tables() -> None:
    generator = np.random.default_rng(3)
    for _ in range(200):
        n, k = generator.integers(4, 25), generator.integers(2, 6)
        ratings = generator.normal(0, 2, (n, 1)) + generator.normal(50, 1, (n, k))
        ratings += generator.normal(0, 0.5, k)
        frame = pd.DataFrame(ratings).reset_index().melt("index")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = pingouin.intraclass_corr(frame, "index", "variable", "value")
        found = intraclass(ratings)
        values = [found.icc_1_1, found.icc_2_1, found.icc_3_1]
        values += [found.icc_1_k, found.icc_2_k, found.icc_3_k]
        assert values == pytest.approx(expected["ICC"].to_numpy(), abs=1e-9)
        interval = np.asarray(expected["CI95"][1])
        # Printed with two decimals.
        assert (found.low, found.high) == pytest.approx(tuple(interval), abs=5.1e-3)


def test_adding_a_constant_changes_nothing() -> None:
    far = intraclass(SHROUT_FLEISS + 1e6)
    assert far.icc_2_1 == pytest.approx(intraclass(SHROUT_FLEISS).icc_2_1, abs=1e-9)


def test_drawing_patients_gives_the_same_figure_and_a_like_interval() -> None:
    generator = np.random.default_rng(4)
    ratings = generator.normal(0, 2, (150, 1)) + generator.normal(0, 1, (150, 2))
    plain = intraclass(ratings)
    drawn = intraclass_by_patient(ratings, np.arange(150), Bootstrap())
    assert drawn.value == pytest.approx(plain.icc_2_1, abs=1e-12)
    assert (drawn.low, drawn.high) == pytest.approx((plain.low, plain.high), abs=0.03)


def test_slides_of_one_patient_widen_the_interval() -> None:
    generator = np.random.default_rng(5)
    once = generator.normal(0, 2, (30, 1)) + generator.normal(0, 1, (30, 2))
    repeated = np.repeat(once, 5, axis=0)
    as_patients = intraclass_by_patient(repeated, np.repeat(np.arange(30), 5), Bootstrap())
    as_slides = intraclass_by_patient(repeated, np.arange(150), Bootstrap())
    assert None not in (as_patients.low, as_slides.low, as_patients.high, as_slides.high)
    assert as_patients.high - as_patients.low > 1.7 * (as_slides.high - as_slides.low)  # type: ignore[operator]


def test_without_variation_there_is_no_correlation() -> None:
    assert intraclass(np.ones((5, 3))).icc_2_1 is None
    assert intraclass(np.ones((1, 3))).icc_2_1 is None
    assert intraclass_by_patient(np.ones((5, 3)), np.arange(5), Bootstrap()).value is None
    with pytest.raises(ValueError, match="finite"):
        intraclass(np.array([[1.0, np.nan], [1.0, 2.0]]))
    with pytest.raises(ValueError, match="2 readers"):
        intraclass(np.ones((5, 1)))


def test_limits_of_agreement_by_hand() -> None:
    first, second = np.array([10.0, 12.0, 9.0, 15.0]), np.array([8.0, 13.0, 9.0, 12.0])
    found = bland_altman(first, second, np.arange(4), Bootstrap())
    # Differences 2, -1, 0, 3: mean 1, squared deviations 1 + 4 + 1 + 4.
    sd = (10 / 3) ** 0.5
    assert found.bias.value == pytest.approx(1.0)
    assert found.sd == pytest.approx(sd)
    assert found.upper.value == pytest.approx(1 + 1.96 * sd)
    # t(3, 0.975) = 3.182446.
    assert found.bias.high == pytest.approx(1 + 3.182446 * sd / 2, abs=1e-5)
    assert found.lower.low == pytest.approx(1 - 1.96 * sd - 3.182446 * sd * 0.75**0.5, abs=1e-5)


def test_limits_by_patient_are_those_of_the_slides_and_wider() -> None:
    generator = np.random.default_rng(6)
    gap = np.repeat(generator.normal(1, 2, 40), 4)
    zero, patient = np.zeros(160), np.repeat(np.arange(40), 4)
    clustered = bland_altman(gap, zero, patient, Bootstrap())
    plain = bland_altman(gap, zero, np.arange(160), Bootstrap())
    for one, other in ((clustered.bias, plain.bias), (clustered.upper, plain.upper)):
        assert one.value == pytest.approx(other.value, abs=1e-9)
        assert one.high - one.low > 1.5 * (other.high - other.low)  # type: ignore[operator]


def test_one_pair_has_no_limits() -> None:
    found = bland_altman(np.array([1.0]), np.array([2.0]), np.arange(1), Bootstrap())
    assert (found.bias.value, found.sd, found.lower.value) == (-1.0, None, None)
