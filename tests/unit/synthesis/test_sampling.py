"""The training distribution: bare tumour is common, and brown does not give the class away."""

from __future__ import annotations

import numpy as np

from pathology.synthesis import ARCHITECTURES, random_field_spec

SPECS = [random_field_spec(np.random.default_rng(seed)) for seed in range(600)]


def test_at_least_four_fields_in_ten_are_almost_bare() -> None:
    tumour = [s for s in SPECS if s.composition.architecture != "none"]
    bare = np.mean([s.staining.tumour.unstained >= 0.9 for s in tumour])
    assert 0.4 < bare < 0.65


def test_all_scores_and_growth_patterns_occur() -> None:
    # The benchmark asks for a growth pattern that training has never seen.
    drawn = {s.composition.architecture for s in SPECS}
    assert drawn == set(ARCHITECTURES) - {"micropapillary"}
    assert np.mean([s.staining.tumour.complete_intense > 0.1 for s in SPECS]) > 0.08
    assert np.mean([s.staining.tumour.complete_weak_moderate > 0.1 for s in SPECS]) > 0.1
    assert np.mean([s.staining.tumour.incomplete_faint > 0.1 for s in SPECS]) > 0.2


def test_other_tissue_is_brown_too() -> None:
    assert np.mean([s.staining.normal.unstained < 0.9 for s in SPECS]) > 0.12
    assert np.mean([s.staining.stray > 0.05 for s in SPECS]) > 0.2
    assert np.mean([s.staining.background_od > 0 for s in SPECS]) > 0.25


def test_gain_and_white_vary() -> None:
    gain = np.array([s.appearance.dab_gain for s in SPECS])
    assert gain.min() < 0.8
    assert gain.max() > 1.2
    white = np.array([s.appearance.white for s in SPECS])
    assert white.min() >= 220
    assert white.max() <= 253
    assert np.ptp(white, axis=0).min() > 15
