"""Intervals cover the truth as often as they say, on simulated slides with clustered cells."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pathology.config import ScoringConfig

SCRIPT = Path(__file__).parents[3] / "scripts" / "measure_coverage.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measure_coverage", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_simulated_slides_have_the_share_that_they_say(script: ModuleType) -> None:
    setting = script.Setting(side_mm=4, length_um=100, pct=10, gain_sd=0.1)
    slides = [script.simulate(setting, seed) for seed in range(60)]
    share = sum((s.intensity > 0).sum() for s in slides) / sum(s.n for s in slides)
    assert 0.08 < share < 0.12
    darker, lighter = slides[0].off_scale[0] > 0, slides[0].off_scale[-1] > 0
    assert lighter.sum() < (slides[0].intensity > 0).sum() < darker.sum()


def test_a_few_slides_show_what_independence_would_miss(
    script: ModuleType, params: ScoringConfig
) -> None:
    setting = script.Setting(side_mm=5, length_um=150)
    quick = params.model_copy(update={"bootstrap_replicates": 200})
    found = script.measure(setting, runs=60, params=quick)
    assert found.interval > 0.8
    assert found.naive < 0.6


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        {"side_mm": 5, "length_um": 0},
        {"side_mm": 3, "length_um": 150},
        {"side_mm": 5, "length_um": 50},
        {"side_mm": 5, "length_um": 150},
        {"side_mm": 8, "length_um": 250},
        {"side_mm": 5, "length_um": 150, "pct": 5},
        {"side_mm": 5, "length_um": 100, "gain_sd": 0.1},
    ],
    ids=str,
)
def test_coverage_of_a_thousand_slides(
    kind: dict[str, float], script: ModuleType, params: ScoringConfig
) -> None:
    setting = script.Setting(**kind)
    assert setting in script.SETTINGS
    found = script.measure(setting, runs=1000, params=params)
    assert 0.92 <= found.interval <= 0.97, f"{setting.words}: {found}"
    if setting.length_um:
        assert found.naive < 0.8, f"{setting.words}: {found}"
