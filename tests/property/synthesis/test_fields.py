"""Any field of the training distribution renders, and its truth holds together."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.cells import CELL_CLASSES, PATTERNS
from pathology.synthesis import REGIONS, random_field_spec, render_field
from pathology.synthesis.labels import RAY_MAX_UM
from pathology.synthesis.noise import NoiseBank
from pathology.synthesis.staining import classify_rays


@given(
    seed=st.integers(0, 2**32 - 1), size=st.integers(40, 140), mpp=st.sampled_from([0.25, 0.5, 1])
)
@settings(max_examples=25, deadline=None)
def test_a_random_field_holds_together(seed: int, size: int, mpp: float) -> None:
    spec = random_field_spec(np.random.default_rng(seed), size_px=size, mpp=mpp)
    field = render_field(spec, seed)
    cells = field.cells
    assert field.rgb.shape == (size, size, 3)
    assert field.region.shape == (-(-size // 4), -(-size // 4))
    assert int(field.region.max()) < len(REGIONS)
    assert ((cells.x_px >= 0) & (cells.x_px < size)).all()
    assert ((cells.y_px >= 0) & (cells.y_px < size)).all()
    assert ((cells.outline_r_um > 0) & (cells.outline_r_um <= RAY_MAX_UM)).all()
    assert (cells.ray_od >= 0).all()
    assert np.isfinite(cells.ray_od).all()
    assert int(cells.cell_class.max(initial=0)) < len(CELL_CLASSES)
    share, mean, pattern = classify_rays(cells.ray_od)
    assert (pattern == cells.pattern).all()
    assert (pattern < len(PATTERNS)).all()
    np.testing.assert_allclose(share, cells.completeness)
    np.testing.assert_allclose(mean, cells.membrane_od, atol=1e-6)
    # Only epithelium carries a membrane.
    assert not cells.ray_od[cells.cell_class > 2].any()


@given(
    seed=st.integers(0, 1000), x=st.floats(-3000, 3000), y=st.floats(-3000, 3000),
    table=st.integers(0, 15), scale=st.floats(0.4, 20),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_noise_is_a_function_of_the_place(
    seed: int, x: float, y: float, table: int, scale: float
) -> None:
    bank = NoiseBank(np.random.default_rng(seed), count=2)
    xs = np.array([x, x + 1.0, x + 2.5])
    ys = np.array([y, y + 0.7])
    grid = bank.grid(table, xs, ys, scale)
    points = bank.at(table, np.tile(xs, 2), np.repeat(ys, 3), scale)
    np.testing.assert_allclose(grid.ravel(), points, atol=1e-4)
