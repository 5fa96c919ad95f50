from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.nn.cellnet import CellNet
from pathology.training.cells.losses import cell_losses, centre_targets, join, make_targets
from pathology.training.data.samples import UNKNOWN_CLASS, UNKNOWN_REGION, Sample
from pathology.types import FloatArray

SIDE = 128
SMALL = {"outline_widths": (8, 8, 8, 8), "class_width": 8, "context_widths": (8, 8, 8, 8)}


def random_sample(seed: int, n: int = 12) -> Sample:
    rng = np.random.default_rng(seed)
    coarse = (SIDE // 4, SIDE // 4)
    return Sample(
        rgb=rng.integers(100, 255, size=(SIDE, SIDE, 3), dtype=np.uint8),
        white=np.full(3, 240, dtype=np.float32),
        centres_px=rng.uniform(-12, SIDE + 12, size=(n, 2)).astype(np.float32),
        rays_um=rng.uniform(3, 9, size=(n, 32)).astype(np.float32),
        classes=rng.integers(0, 6, size=n),
        visible=rng.random(n) < 0.7,
        region=rng.integers(0, 12, size=coarse).astype(np.uint8),
        annotated=rng.random(coarse) < 0.7,
    )


def changed(sample: Sample, **parts: object) -> Sample:
    return Sample(**{**vars(sample), **parts})  # type: ignore[arg-type]


def slow_centre_targets(sample: Sample) -> tuple[FloatArray, FloatArray]:
    """The same, one pixel after the other."""
    side = SIDE // 2
    heat = np.zeros((side, side), dtype=np.float32)
    weight = np.zeros((side, side), dtype=np.float32)
    centres = sample.centres_px.astype(float) / 2
    for row in range(side):
        for col in range(side):
            weight[row, col] = sample.annotated[row // 2, col // 2]
            for (x, y), visible in zip(centres, sample.visible, strict=True):
                own_row, own_col = int(np.floor(y)), int(np.floor(x))
                if abs(own_row - row) > 3 or abs(own_col - col) > 3:
                    continue
                if not visible:
                    weight[row, col] = 0.0
                    continue
                squared = (row + 0.5 - y) ** 2 + (col + 0.5 - x) ** 2
                value = 1.0 if (own_row, own_col) == (row, col) else np.exp(-squared / 2)
                heat[row, col] = max(heat[row, col], value)
    return heat, np.maximum(weight, heat)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(0, 20))
def test_centre_maps_agree_with_a_slow_drawing(seed: int, n: int) -> None:
    sample = random_sample(seed, n)
    for found, expected in zip(centre_targets(sample), slow_centre_targets(sample), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def losses_of(samples: list[Sample], network: CellNet) -> dict[str, tuple[float, float]]:
    torch.manual_seed(5)
    detail = torch.randn(1, 2, SIDE, SIDE).expand(len(samples), -1, -1, -1)
    context = torch.randn(1, 1, SIDE // 4, SIDE // 4).expand(len(samples), -1, -1, -1)
    targets = join([make_targets(sample, np.random.default_rng(0)) for sample in samples])
    maps = network(detail, context).float()
    return {
        name: (float(term.sum.detach()), float(term.count))
        for name, term in cell_losses(network, maps, targets).items()
    }


@pytest.fixture(scope="module")
def network() -> CellNet:
    torch.manual_seed(1)
    return CellNet(**SMALL).eval()  # type: ignore[arg-type]


def test_sums_and_counts_of_a_batch_are_those_of_its_parts(network: CellNet) -> None:
    one, two = random_sample(1), random_sample(2)
    whole = losses_of([one, two], network)
    parts = [losses_of([sample], network) for sample in (one, two)]
    for name, (total, count) in whole.items():
        assert total == pytest.approx(sum(part[name][0] for part in parts), rel=1e-5), name
        assert count == pytest.approx(sum(part[name][1] for part in parts), rel=1e-5), name


def test_what_is_unknown_is_left_out(network: CellNet) -> None:
    sample = changed(random_sample(3), visible=np.ones(12, dtype=np.bool_))
    known = losses_of([sample], network)
    rays, classes, region = (
        np.array(part) for part in (sample.rays_um, sample.classes, sample.region)
    )
    rays[:, 8:] = np.nan
    classes[:] = UNKNOWN_CLASS
    region[8:] = UNKNOWN_REGION
    nowhere = np.zeros_like(sample.annotated)
    partly = losses_of(
        [changed(sample, rays_um=rays, classes=classes, region=region, annotated=nowhere)], network
    )
    assert np.isfinite(list(partly.values())).all()
    assert partly["class"] == (0.0, 0.0)
    assert partly["region"][1] == known["region"][1] / 4
    assert partly["region"][0] < 0.5 * known["region"][0]
    assert partly["centre"][1] == known["centre"][1]  # marked cells still teach
    assert partly["centre"][0] < known["centre"][0]  # but nothing else is said to be no cell
    assert partly["offset"] == known["offset"]
    # Classes are unknown, so all outlines count alike; three quarters of the rays are missing.
    cells = known["offset"][1] / 2
    assert partly["rays"][1] == pytest.approx(cells / 4, rel=1e-5)


def test_unknown_targets_give_no_gradient(network: CellNet) -> None:
    sample = random_sample(4)
    blank = changed(
        sample,
        rays_um=np.full_like(sample.rays_um, np.nan),
        classes=np.full_like(sample.classes, UNKNOWN_CLASS),
        visible=np.zeros_like(sample.visible),
        region=np.full_like(sample.region, UNKNOWN_REGION),
        annotated=np.zeros_like(sample.annotated),
    )
    targets = join([make_targets(blank, np.random.default_rng(0))])
    maps = network(torch.randn(1, 2, SIDE, SIDE), torch.randn(1, 1, SIDE // 4, SIDE // 4))
    terms = cell_losses(network, maps.float(), targets)
    total = torch.stack([term.sum for term in terms.values()]).sum()
    network.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        assert parameter.grad is None or not parameter.grad.any(), name
