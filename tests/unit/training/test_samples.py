from __future__ import annotations

import numpy as np
import pytest

from pathology.config import load_config
from pathology.training.losses import centre_targets, make_targets
from pathology.training.samples import Sample, augment, network_input

SIDE = 128


def marked_sample() -> Sample:
    """One cell whose outline is an off-centre ellipse; the outline is drawn in black."""
    centre = np.array([70.5, 50.5])
    angle = 2 * np.pi * np.arange(32) / 32
    rays = 8.0 + 4.0 * np.cos(angle) + 2.0 * np.sin(2 * angle)  # in µm; asymmetric on purpose
    rgb = np.full((SIDE, SIDE, 3), 240, dtype=np.uint8)
    x = centre[0] + 2 * rays * np.cos(angle)
    y = centre[1] + 2 * rays * np.sin(angle)
    rgb[np.floor(y).astype(int), np.floor(x).astype(int)] = 0
    region = np.zeros((SIDE // 4, SIDE // 4), dtype=np.uint8)
    region[int(centre[1] // 4), int(centre[0] // 4)] = 3
    return Sample(
        rgb=rgb,
        white=np.array([240, 240, 240], dtype=np.float32),
        centres_px=centre[None].astype(np.float32),
        rays_um=rays[None].astype(np.float32),
        classes=np.zeros(1, dtype=np.int64),
        visible=np.ones(1, dtype=np.bool_),
        region=region,
    )


@pytest.mark.parametrize("seed", range(24))
def test_truth_turns_with_the_picture(seed: int) -> None:
    view = augment(marked_sample(), np.random.default_rng(seed))
    angle = 2 * np.pi * np.arange(32) / 32
    (x, y), rays = view.centres_px[0], view.rays_um[0]
    dark = np.argwhere(view.rgb[..., 0] == 0) + 0.5
    ends = np.stack([y + 2 * rays * np.sin(angle), x + 2 * rays * np.cos(angle)], axis=1)
    nearest = np.linalg.norm(dark[None] - ends[:, None], axis=2).min(axis=1)
    assert nearest.max() < 1.0
    assert view.region[int(y // 4), int(x // 4)] == 3


def test_all_eight_views_occur() -> None:
    sample = marked_sample()
    views = {augment(sample, np.random.default_rng(seed)).rgb.tobytes() for seed in range(64)}
    assert len(views) == 8


def test_the_network_sees_density_of_stain() -> None:
    sample = marked_sample()
    detail, context = network_input(sample, load_config().stain)
    assert detail.shape == (2, SIDE, SIDE)
    assert context.shape == (1, SIDE // 4, SIDE // 4)
    assert np.abs(detail[:, 0, 0]).max() < 1e-6  # glass
    assert detail[1].max() > 1.0  # the drawn outline


def test_a_centre_is_the_top_of_its_bump_and_invisible_cells_are_ignored() -> None:
    sample = marked_sample()
    heat, weight = centre_targets(sample)
    assert heat[25, 35] == 1.0
    assert heat.max() == 1.0
    assert weight.min() == 1.0
    hidden = Sample(**{**vars(sample), "visible": np.zeros(1, dtype=np.bool_)})
    heat, weight = centre_targets(hidden)
    assert heat.max() == 0.0
    assert weight[25, 35] == 0.0
    assert weight[0, 0] == 1.0


def test_offsets_lead_from_the_described_pixel_to_the_centre() -> None:
    sample = marked_sample()
    for seed in range(10):
        targets = make_targets([sample], np.random.default_rng(seed))
        x = float(targets.col[0]) + 0.5 + float(targets.offset[0, 0])
        y = float(targets.row[0]) + 0.5 + float(targets.offset[0, 1])
        assert (2 * x, 2 * y) == pytest.approx((70.5, 50.5))
