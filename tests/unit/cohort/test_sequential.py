"""Boundaries against a double integral, a simulation, and their own definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import dblquad
from scipy.stats import multivariate_normal, norm

from pathology.cohort.gating import Hypothesis, pass_gates
from pathology.cohort.power import required_events
from pathology.cohort.sequential import boundaries, information_fraction, spent_alpha


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.598, 0.8])
def test_two_looks_spend_the_error_by_a_double_integral(fraction: float) -> None:
    first, second = boundaries([fraction, 1.0])
    rho = np.sqrt(fraction)
    density = multivariate_normal(cov=[[1, rho], [rho, 1]]).pdf
    crossed, _ = dblquad(
        lambda y, x: density([x, y]), -8, first.z, lambda _: second.z, lambda _: 8, epsabs=1e-9
    )
    assert crossed + norm.sf(first.z) == pytest.approx(0.025, abs=1e-7)
    assert norm.sf(first.z) == pytest.approx(spent_alpha(fraction), abs=1e-12)


def test_four_looks_spend_the_error_in_a_simulation() -> None:
    fractions = np.array([0.25, 0.5, 0.75, 1.0])
    looks = boundaries(fractions.tolist(), alpha=0.2)
    steps = np.random.default_rng(7).normal(size=(400_000, 4)) * np.sqrt(
        np.diff(fractions, prepend=0)
    )
    z = np.cumsum(steps, axis=1) / np.sqrt(fractions)
    over = z >= [look.z for look in looks]
    for k, look in enumerate(looks):
        # Five standard errors of a simulated share.
        allowed = 5 * np.sqrt(look.spent / len(z))
        assert over[:, : k + 1].any(axis=1).mean() == pytest.approx(look.spent, abs=allowed)


def test_published_boundaries_of_five_equal_looks() -> None:
    # Lan-DeMets, O'Brien-Fleming-type, two-sided 0.05: the often printed values.
    found = [look.z for look in boundaries([0.2, 0.4, 0.6, 0.8, 1.0])]
    assert found == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=6e-4)


@given(st.floats(0.02, 1.0), st.floats(0.005, 0.2))
def test_a_boundary_and_its_information_belong_together(fraction: float, alpha: float) -> None:
    look = boundaries([fraction], alpha=alpha)[0]
    assert 0 < look.p <= alpha * (1 + 1e-9)
    if look.p < alpha * 0.999:
        assert information_fraction(look.p, alpha=alpha) == pytest.approx(fraction, rel=1e-6)


@pytest.mark.parametrize("bad", [[], [0.0], [0.5, 0.5], [0.6, 0.3], [1.1]])
def test_fractions_must_rise_within_bounds(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="information"):
        boundaries(bad)


@given(st.floats(0.3, 0.95), st.floats(0.6, 0.97), st.integers(1, 4))
def test_more_power_and_unequal_arms_need_more_events(
    hazard_ratio: float, power: float, ratio: int
) -> None:
    events = required_events(hazard_ratio, power=power)
    assert required_events(hazard_ratio, power=power + 0.02) > events
    assert required_events(hazard_ratio, power=power, ratio=(ratio, 1)) >= events
    assert required_events(1 / hazard_ratio, power=power) == pytest.approx(events)


@pytest.mark.parametrize(
    "bad",
    [
        {"hazard_ratio": 1.0},
        {"hazard_ratio": 0.0},
        {"hazard_ratio": 0.7, "power": 0.01},
        {"hazard_ratio": 0.7, "ratio": (2, 0)},
    ],
)
def test_power_refuses_what_has_no_answer(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        required_events(**bad)  # type: ignore[arg-type]


@given(
    st.lists(
        st.tuples(st.none() | st.floats(0, 1), st.floats(0.001, 0.2), st.booleans()),
        min_size=1,
        max_size=5,
    )
)
def test_nothing_is_rejected_behind_a_closed_gate(
    tests: list[tuple[float | None, float, bool]],
) -> None:
    steps = pass_gates(
        [
            Hypothesis(name=str(k), p=p, boundary=boundary, favours_treatment=good)
            for k, (p, boundary, good) in enumerate(tests)
        ]
    )
    single = [p is not None and p <= boundary and good for p, boundary, good in tests]
    for k, step in enumerate(steps):
        assert step.tested == all(single[:k])
        assert step.rejected == all(single[: k + 1])
