"""The vectorised measurement against a slow loop that follows the definition word by word."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pathology.cells.measure import (
    area_um2,
    cytoplasm_shares,
    measure_cells,
    quantise_od,
    quantise_radii,
    radial_offsets,
    ray_directions,
)
from pathology.config import MeasurementConfig, load_config
from pathology.geometry import Spacing

CONFIG = load_config().measurement
SQUARE = Spacing(x=0.5, y=0.5)


def bilinear(image: np.ndarray, x: float, y: float) -> float:
    """Value at a place in pixels, 0 at the edge of the first pixel; the edge goes on outside."""
    height, width = image.shape
    x, y = x - 0.5, y - 0.5
    c, r = math.floor(x), math.floor(y)
    total = 0.0
    for row, weight_y in ((r, 1 - (y - r)), (r + 1, y - r)):
        for column, weight_x in ((c, 1 - (x - c)), (c + 1, x - c)):
            pixel = image[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
            total += float(pixel) * weight_x * weight_y
    return total


def slow_cell(
    image: np.ndarray, centre: tuple[float, float], radii: np.ndarray, mpp: Spacing
) -> tuple[list[float], float]:
    """Ray densities and cytoplasm density of one cell, before rounding."""

    def at(x_um: float, y_um: float) -> float:
        return bilinear(image, centre[0] + x_um / mpp.x, centre[1] + y_um / mpp.y)

    def vertex(k: int) -> tuple[float, float]:
        angle = 2 * math.pi * (k % 32) / 32
        return radii[k % 32] * math.cos(angle), radii[k % 32] * math.sin(angle)

    rays, inner = [], []
    for k in range(32):
        angle = 2 * math.pi * k / 32
        (x0, y0), (x1, y1) = vertex(k - 1), vertex(k + 1)
        length = math.hypot(x1 - x0, y1 - y0)
        tx, ty = 0.5 * (x1 - x0) / length, 0.5 * (y1 - y0) / length
        best = -math.inf
        for step in range(-4, 5):  # 1 µm: the default tolerance
            r = max(0.0, radii[k] + 0.25 * step)
            x, y = r * math.cos(angle), r * math.sin(angle)
            mean = 0.25 * at(x - tx, y - ty) + 0.5 * at(x, y) + 0.25 * at(x + tx, y + ty)
            best = max(best, mean)
        rays.append(best)
        inner += [
            at(share * radii[k] * math.cos(angle), share * radii[k] * math.sin(angle))
            for share in (0.45, 0.525, 0.6, 0.675, 0.75)
        ]
    inner.sort()
    return rays, (inner[79] + inner[80]) / 2


@pytest.mark.parametrize("mpp", [SQUARE, Spacing(x=0.49, y=0.51)])
def test_same_as_a_slow_loop(mpp: Spacing) -> None:
    rng = np.random.default_rng(1)
    dab = rng.normal(0.4, 0.3, (60, 70)).astype(np.float32)
    # Some cells lie at the border, and some outlines reach beyond it.
    centres = np.concatenate([rng.uniform(8, 50, (10, 2)), [[0.2, 59.9], [35.0, 30.0]]])
    rays_um = rng.uniform(0.2, 12.0, (12, 32))
    found = measure_cells(dab, centres, rays_um, mpp=mpp, config=CONFIG)
    for index in range(12):
        radii = np.clip(np.rint(rays_um[index].astype(np.float32) / 0.2), 5, 255) * 0.2
        rays, cytoplasm = slow_cell(dab, tuple(centres[index]), radii, mpp)
        np.testing.assert_allclose(found.outline_r[index] * 0.2, radii, atol=1e-5)
        expected = np.clip(rays, 0, 2.55)
        # Half a step of rounding, and the two may round to different sides.
        np.testing.assert_allclose(found.ray_od[index] * 0.01, expected, atol=0.00502)
        assert found.cytoplasm_od[index] == pytest.approx(cytoplasm, abs=0.00051)


def test_a_ring_is_read_at_its_darkest() -> None:
    y, x = (np.mgrid[:80, :80] + 0.5) * 0.5
    radius = np.hypot(x - 20, y - 20)
    dab = np.where(np.abs(radius - 7.0) < 0.8, 0.8, 0.1).astype(np.float32)
    centres = np.array([[40.0, 40.0]])
    near = measure_cells(dab, centres, np.full((1, 32), 6.0), mpp=SQUARE, config=CONFIG)
    far = measure_cells(dab, centres, np.full((1, 32), 4.0), mpp=SQUARE, config=CONFIG)
    assert near.ray_od.min() >= 75  # within the tolerance of 1 µm
    assert far.ray_od.max() <= 20  # 3 µm away from the ring
    assert near.cytoplasm_od[0] == pytest.approx(0.1, abs=0.001)


def test_a_break_in_the_membrane_stays_a_break() -> None:
    y, x = (np.mgrid[:80, :80] + 0.5) * 0.5
    angle = np.arctan2(y - 20, x - 20) % (2 * np.pi)
    ring = np.exp(-((np.hypot(x - 20, y - 20) - 6) ** 2) / 0.5)
    dab = np.where(angle < np.pi, ring, 0).astype(np.float32)
    found = measure_cells(
        dab, np.array([[40.0, 40.0]]), np.full((1, 32), 6.0), mpp=SQUARE, config=CONFIG
    )
    assert found.ray_od[0, 2:15].min() > 60
    assert found.ray_od[0, 18:31].max() < 5


def test_noise_alone_lifts_a_ray_little() -> None:
    rng = np.random.default_rng(3)
    dab = rng.normal(0.0, 0.03, (400, 400)).astype(np.float32)
    centres = rng.uniform(60, 340, (200, 2))
    found = measure_cells(dab, centres, np.full((200, 32), 6.0), mpp=SQUARE, config=CONFIG)
    plain = CONFIG.model_copy(update={"ray_tolerance_um": 0.0})
    at_outline = measure_cells(dab, centres, np.full((200, 32), 6.0), mpp=SQUARE, config=plain)
    # Without the average along the outline the peak of 13 samples would lie near 0.035.
    assert 0.01 < found.ray_od.mean() * 0.01 < 0.03
    assert at_outline.ray_od.mean() < found.ray_od.mean()


def test_values_do_not_depend_on_the_window() -> None:
    rng = np.random.default_rng(4)
    dab = rng.normal(0.3, 0.2, (300, 300)).astype(np.float32)
    centres = rng.uniform(120, 180, (20, 2))
    centres = np.round(centres * 64) / 64  # exact in both frames
    rays = rng.uniform(3, 10, (20, 32))
    whole = measure_cells(dab, centres, rays, mpp=SQUARE, config=CONFIG)
    cut = np.ascontiguousarray(dab[70:230, 90:240])
    part = measure_cells(cut, centres - [90, 70], rays, mpp=SQUARE, config=CONFIG)
    np.testing.assert_array_equal(whole.ray_od, part.ray_od)
    np.testing.assert_array_equal(whole.cytoplasm_od, part.cytoplasm_od)


def test_many_cells_are_measured_in_chunks() -> None:
    rng = np.random.default_rng(5)
    dab = rng.normal(0.3, 0.2, (64, 64)).astype(np.float32)
    centres, rays = rng.uniform(20, 40, (1100, 2)), rng.uniform(3, 8, (1100, 32))
    found = measure_cells(dab, centres, rays, mpp=SQUARE, config=CONFIG)
    last = measure_cells(dab, centres[-3:], rays[-3:], mpp=SQUARE, config=CONFIG)
    np.testing.assert_array_equal(found.ray_od[-3:], last.ray_od)
    assert found.take(np.array([1099])).cytoplasm_od[0] == last.cytoplasm_od[2]


def test_no_cells() -> None:
    found = measure_cells(
        np.zeros((8, 8), np.float32),
        np.zeros((0, 2)),
        np.zeros((0, 32)),
        mpp=SQUARE,
        config=CONFIG,
    )
    assert found.ray_od.shape == (0, 32)
    assert found.cytoplasm_od.shape == (0,)


def test_area_is_that_of_the_polygon() -> None:
    rng = np.random.default_rng(6)
    outline_r = rng.integers(5, 120, (4, 32)).astype(np.uint8)
    vertices = outline_r[:, :, None] * 0.2 * ray_directions().astype(np.float64)
    for index in range(4):
        x, y = vertices[index].T
        shoelace = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
        assert area_um2(outline_r)[index] == pytest.approx(shoelace, rel=1e-5)


def test_rounding_to_the_table() -> None:
    assert quantise_radii(np.array([0.0, 0.99, 1.11, 51.0, 60.0])).tolist() == [5, 5, 6, 255, 255]
    assert quantise_od(np.array([-1.0, 0.0049, 0.0051, 2.55, 9.0])).tolist() == [0, 0, 1, 255, 255]


@pytest.mark.parametrize(("tolerance", "count"), [(0.0, 1), (0.2, 1), (0.75, 7), (1.5, 13)])
def test_samples_across_the_outline(tolerance: float, count: int) -> None:
    offsets = radial_offsets(tolerance)
    assert len(offsets) == count
    assert np.abs(offsets).max() <= tolerance
    assert offsets.sum() == 0


def test_cytoplasm_lies_where_configured() -> None:
    config: MeasurementConfig = CONFIG.model_copy(
        update={"cytoplasm_inner": 0.3, "cytoplasm_outer": 0.5}
    )
    shares = cytoplasm_shares(config)
    assert shares[0] == pytest.approx(0.3)
    assert shares[-1] == pytest.approx(0.5)
