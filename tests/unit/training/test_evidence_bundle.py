"""Evidence on a bundle: operations are counted as one would by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor, nn

from pathology.inference.bundle import load_bundle
from pathology.training.evidence.bundle import kflop_per_px, measure_bundle


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv2d(2, 5, 3, padding=1)
        self.far = nn.Conv2d(1, 4, 1)

    def forward(self, detail: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        return self.near(detail), self.far(context)


def test_operations_are_multiplications_and_additions_per_pixel() -> None:
    by_hand = 2 * (2 * 5 * 9) + 2 * (1 * 4) / 16  # context: one pixel in 4 × 4
    assert kflop_per_px(Toy(), 4, side_px=64) == pytest.approx(by_hand / 1000)


def test_the_bundled_model_keeps_its_limits() -> None:
    bundle = load_bundle()
    found = measure_bundle(bundle)
    assert 1.0 < found["kflop_per_px"] <= 26.0
    weights = Path(bundle.directory) / "weights.safetensors"
    assert found["weights_mb"] == weights.stat().st_size / 1e6 <= 12.0
    assert found["golden_difference"] <= 1e-4
