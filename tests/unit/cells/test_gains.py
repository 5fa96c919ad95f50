"""The same cells at other gains: against the classification itself, and against darker pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.cells.classify import classify
from pathology.cells.gains import kinds_at, off_scale_kinds
from pathology.config import CalibrationStamp, MeasurementConfig, load_config
from pathology.scoring.scale import CENTRE_WEIGHT, OFF_SCALE_WEIGHTS, OFF_SCALE_Z
from pathology.stain.calibrating import calibrated_measurement, reference_cutoffs
from pathology.stain.gain import gain_ratios, gain_sds, measurement_at_gain

CONFIG = load_config()


def cells(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    level = generator.choice([5, 15, 25, 60, 110], n)[:, None]
    rays = np.clip(generator.normal(level, 12, (n, 32)), 0, 255).astype(np.uint8)
    rays[generator.random((n, 32)) < generator.random((n, 1)) * 0.5] = 3
    return rays, generator.uniform(0, 0.9, n).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    gain=st.floats(0.3, 3.0),
    blank=st.sampled_from([None, 0.05, 0.1]),
)
def test_classes_are_those_of_the_measurement(seed: int, gain: float, blank: float | None) -> None:
    measurement = calibrated_measurement(
        CONFIG.measurement, gain=gain, cutoffs=reference_cutoffs(), limit_of_blank_od=blank
    )
    rays, cytoplasm = cells(seed)
    found = classify(rays, cytoplasm, measurement)
    assert np.array_equal(
        kinds_at(rays, cytoplasm, measurement), 2 * found.intensity + found.complete
    )


@pytest.mark.parametrize("od", [0, 255])
def test_the_ends_of_the_scale(od: int) -> None:
    rays, dark = np.full((2, 32), od, dtype=np.uint8), np.array([0.0, 9.0], dtype=np.float32)
    for exempt in (0.6, 3.0):
        measurement = CONFIG.measurement.model_copy(update={"contrast_exempt_od": exempt})
        found = classify(rays, dark, measurement)
        expected = 2 * found.intensity + found.complete
        assert kinds_at(rays, dark, measurement).tolist() == expected.tolist()


@pytest.mark.parametrize("blank", [None, 0.08])
@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.4])
def test_cut_offs_move_as_a_calibration_moves_them(blank, ratio) -> None:
    def measurement(gain: float) -> MeasurementConfig:
        return calibrated_measurement(
            CONFIG.measurement, gain=gain, cutoffs=reference_cutoffs(), limit_of_blank_od=blank
        )

    found, expected = measurement_at_gain(measurement(1.1), ratio), measurement(1.1 * ratio)
    for name in MeasurementConfig.model_fields:
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=2e-4), name


def test_a_darker_laboratory_reads_the_same_cells_as_weaker() -> None:
    rays, cytoplasm = cells(1, 2000)
    found = off_scale_kinds(rays, cytoplasm, CONFIG)
    assert found is not None
    stained = [(kinds > 0).mean() for kinds in found]
    intense = [(kinds // 2 == 4).mean() for kinds in found]
    assert stained == sorted(stained, reverse=True)
    assert intense == sorted(intense, reverse=True)
    assert intense[0] > intense[-1]


def test_the_points_stand_for_a_normal_distribution() -> None:
    weights = np.array([CENTRE_WEIGHT, *OFF_SCALE_WEIGHTS])
    places = np.array([0.0, *OFF_SCALE_Z])
    assert weights.sum() == pytest.approx(1)
    assert weights @ places == pytest.approx(0)
    assert weights @ places**2 == pytest.approx(1.008, abs=0.001)
    assert (places.max(), places.min()) == (pytest.approx(1.96, abs=1e-3), -places.max())


def stamp(interval: tuple[float, float] | None) -> CalibrationStamp:
    return CalibrationStamp(title="a/1", sha256="0" * 64, gain=1.2, gain_interval=interval)


def test_a_calibration_gives_its_own_interval() -> None:
    calibrated = CONFIG.model_copy(update={"calibration": stamp((1.0, 1.5))})
    ratios = gain_ratios(calibrated, OFF_SCALE_Z)
    assert 1.2 * ratios[0] == pytest.approx(1.0)
    assert 1.2 * ratios[-1] == pytest.approx(1.5)
    without = CONFIG.model_copy(update={"calibration": stamp(None)})
    assert gain_sds(without) == (CONFIG.scoring.gain_sd, CONFIG.scoring.gain_sd)


@pytest.mark.parametrize("interval", [None, (1.0, 1.5)])
def test_nought_switches_it_off(interval) -> None:
    config = load_config(overrides=["scoring.gain_sd=0"])
    rays, cytoplasm = cells(2, 10)
    assert off_scale_kinds(rays, cytoplasm, config) is None
    calibrated = config.model_copy(update={"calibration": stamp(interval)})
    assert off_scale_kinds(rays, cytoplasm, calibrated) is None
