"""The work on the device against its numpy references."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pathology import cells
from pathology.cells.measure import quantise_radii
from pathology.config import load_config
from pathology.geometry import Spacing
from pathology.inference import ops
from pathology.stain import StainMatrix, optical_density
from tests.needs_gpu import find_gpu

CONFIG = load_config()
STAINS = StainMatrix(haematoxylin=CONFIG.stain.haematoxylin, dab=CONFIG.stain.dab)


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device("cpu" if request.param == "cpu" else find_gpu())


def test_unmixing_is_that_of_the_stain_room(device: torch.device) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)
    white = (241.0, 239.5, 244.0)
    expected = STAINS.unmix(optical_density(rgb, white)).transpose(0, 3, 1, 2)
    unmixer = ops.Unmixer(white, STAINS, device)
    pixels = torch.from_numpy(rgb).to(device)
    found = unmixer(pixels).cpu().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(unmixer(pixels, amounts=1).cpu().numpy(), found[:, :1])


@pytest.mark.parametrize("levels", [4, 100_000])
@pytest.mark.parametrize("radius", [(3.0, 3.0), (2.5, 4.2), (1.0, 1.0)])
def test_peaks_are_those_of_the_cells_room(
    levels: int, radius: tuple[float, float], device: torch.device
) -> None:
    rng = np.random.default_rng(levels)
    score = (rng.integers(0, levels, (3, 50, 50)) / levels).astype(np.float32)
    found = ops.find_peaks(
        torch.from_numpy(score).to(device), minimum=0.5, radius_px=radius,
        core=(slice(8, 40), slice(8, 40)),
    ).cpu().numpy()  # fmt: skip
    for image in range(3):
        whole = cells.find_peaks(score[image], minimum=0.5, radius_px=radius)
        expected = whole[((whole >= 8) & (whole < 40)).all(axis=1)]
        np.testing.assert_array_equal(found[found[:, 0] == image, 1:], expected)


def test_peaks_at_the_very_edge() -> None:
    score = torch.zeros((1, 6, 6))
    score[0, 0, 0] = score[0, 5, 5] = 1.0
    found = ops.find_peaks(
        score, minimum=0.5, radius_px=(3.0, 3.0), core=(slice(0, 6), slice(0, 6))
    )
    assert found.tolist() == [[0, 0, 0], [0, 5, 5]]


@pytest.mark.parametrize("mpp", [Spacing(x=0.5, y=0.5), Spacing(x=0.4921875, y=0.503)])
def test_measurement_is_that_of_the_cells_room(mpp: Spacing, device: torch.device) -> None:
    rng = np.random.default_rng(2)
    dab = rng.normal(0.4, 0.4, (2, 150, 170)).astype(np.float32)
    n = 700  # more than one chunk
    image = rng.integers(0, 2, n)
    centres, rays = rng.uniform(-2, 160, (n, 2)), rng.uniform(0, 30, (n, 32)).astype(np.float32)
    outline_r = ops.quantise_radii(torch.from_numpy(rays).to(device))
    np.testing.assert_array_equal(outline_r.cpu().numpy(), quantise_radii(rays))
    given = (torch.from_numpy(values).to(device) for values in (dab, image, centres))
    measured = ops.measure_cells(*given, outline_r, mpp=mpp, config=CONFIG.measurement)
    ray_od, cytoplasm = (values.cpu() for values in measured)
    for index in range(2):
        expected = cells.measure_cells(
            dab[index], centres[image == index], rays[image == index], mpp=mpp,
            config=CONFIG.measurement,
        )  # fmt: skip
        found = ray_od.numpy()[image == index].astype(int)
        # A difference in the last bit can turn one rounding in about 100,000.
        assert np.abs(found - expected.ray_od).max() <= 1
        assert (found != expected.ray_od).mean() < 1e-3
        np.testing.assert_allclose(
            cytoplasm.numpy()[image == index], expected.cytoplasm_od, atol=0.0011
        )
        assert (cytoplasm.numpy()[image == index] == expected.cytoplasm_od).mean() > 0.99


def test_context_index_is_the_pixel_under_the_middle() -> None:
    positions = torch.arange(0, 200)
    found = ops.context_index(positions, stride=2, halo_px=64, factor=4, context_halo_px=48)
    for position, index in zip(positions.tolist(), found.tolist(), strict=True):
        middle_um = ((position + 0.5) * 2 - 64) * 0.5  # from the core's edge
        assert index == int(np.floor(middle_um / 2.0)) + 48


def test_no_two_pixels_compete_within_a_radius_below_one() -> None:
    score = torch.rand(2, 8, 8)
    whole = (slice(0, 8), slice(0, 8))
    found = ops.find_peaks(score, minimum=0.0, radius_px=(0.5, 0.5), core=whole)
    assert len(found) == score.numel()
    assert len(ops.find_peaks(score, minimum=2.0, radius_px=(3.0, 3.0), core=whole)) == 0
