from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pathology.config import load_config
from pathology.stain import optical_density, unmix
from pathology.training.cells.losses import centre_targets, make_targets
from pathology.training.data.augment import network_input, turned_view
from pathology.training.data.samples import Sample, load_sample, store_sample

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
        annotated=region == 3,
    )


def changed(sample: Sample, **parts: object) -> Sample:
    return Sample(**{**vars(sample), **parts})  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(24))
def test_truth_turns_with_the_picture(seed: int) -> None:
    view = turned_view(marked_sample(), np.random.default_rng(seed))
    angle = 2 * np.pi * np.arange(32) / 32
    (x, y), rays = view.centres_px[0], view.rays_um[0]
    dark = np.argwhere(view.rgb[..., 0] == 0) + 0.5
    ends = np.stack([y + 2 * rays * np.sin(angle), x + 2 * rays * np.cos(angle)], axis=1)
    nearest = np.linalg.norm(dark[None] - ends[:, None], axis=2).min(axis=1)
    assert nearest.max() < 1.0
    assert view.region[int(y // 4), int(x // 4)] == 3
    assert np.array_equal(view.annotated, view.region == 3)


def test_all_eight_views_occur() -> None:
    sample = marked_sample()
    views = {turned_view(sample, np.random.default_rng(seed)).rgb.tobytes() for seed in range(64)}
    assert len(views) == 8


def test_the_network_sees_what_stain_unmixing_says() -> None:
    rng, stain = np.random.default_rng(1), load_config().stain
    rgb = rng.integers(0, 256, size=(64, 64, 3), dtype=np.uint8)
    white = np.array([235.0, 230.0, 241.0], dtype=np.float32)
    detail, context = network_input(rgb, white, stain)
    od = optical_density(rgb, tuple(white.tolist()))
    expected = unmix(od, stain.haematoxylin, stain.dab).transpose(2, 0, 1)
    np.testing.assert_allclose(detail, expected, atol=1e-5)
    coarse = np.round(rgb.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))).astype(np.uint8)
    od = optical_density(coarse, tuple(white.tolist()))
    expected = unmix(od, stain.haematoxylin, stain.dab)[..., 0]
    np.testing.assert_allclose(context[0], expected, atol=1e-5)


def test_stain_strength_is_jittered_in_density() -> None:
    sample, stain = marked_sample(), load_config().stain
    plain, _ = network_input(sample.rgb, sample.white, stain)
    one, _ = network_input(sample.rgb, sample.white, stain, np.random.default_rng(5))
    two, _ = network_input(sample.rgb, sample.white, stain, np.random.default_rng(5))
    np.testing.assert_array_equal(one, two)
    dark = sample.rgb[..., 0] == 0
    for channel in range(2):
        gain = one[channel][dark] / plain[channel][dark]
        assert gain.std() < 1e-3
        assert 0.7 < gain.mean() < 1.3
        assert abs(gain.mean() - 1) > 1e-3


def test_a_kept_field_comes_back_as_it_was(tmp_path: Path) -> None:
    sample, path = marked_sample(), tmp_path / "000001.npz"
    assert load_sample(path) is None
    store_sample(sample, path)
    kept = load_sample(path)
    assert kept is not None
    for name, value in vars(sample).items():
        np.testing.assert_array_equal(getattr(kept, name), value)
        assert getattr(kept, name).dtype == value.dtype
    assert [entry.name for entry in tmp_path.iterdir()] == ["000001.npz"]
    path.write_bytes(path.read_bytes()[:1000])
    assert load_sample(path) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rgb", np.zeros((SIDE, SIDE + 64, 3), dtype=np.uint8)),
        ("rgb", np.zeros((100, 100, 3), dtype=np.uint8)),
        ("rays_um", np.zeros((2, 32), dtype=np.float32)),
        ("region", np.zeros((SIDE, SIDE), dtype=np.uint8)),
        ("annotated", np.zeros((SIDE // 2, SIDE // 2), dtype=np.bool_)),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"square|shape"):
        changed(marked_sample(), **{name: value})


def test_a_centre_is_the_top_of_its_bump_and_invisible_cells_are_ignored() -> None:
    everywhere = np.ones((SIDE // 4, SIDE // 4), dtype=np.bool_)
    sample = changed(marked_sample(), annotated=everywhere)
    heat, weight = centre_targets(sample)
    assert heat[25, 35] == 1.0
    assert heat.max() == 1.0
    assert weight.min() == 1.0
    hidden = changed(sample, visible=np.zeros(1, dtype=np.bool_))
    heat, weight = centre_targets(hidden)
    assert heat.max() == 0.0
    assert weight[25, 35] == 0.0
    assert weight[0, 0] == 1.0


def test_offsets_lead_from_the_described_pixel_to_the_centre() -> None:
    sample = marked_sample()
    for seed in range(10):
        cells = make_targets(sample, np.random.default_rng(seed)).cells
        x = float(cells["col"][0]) + 0.5 + float(cells["offset"][0, 0])
        y = float(cells["row"][0]) + 0.5 + float(cells["offset"][0, 1])
        assert (2 * x, 2 * y) == pytest.approx((70.5, 50.5))
