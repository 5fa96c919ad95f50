from __future__ import annotations

import sys

import numpy as np
import pytest

from pathology.errors import UsageError
from pathology.training.config import AugmentConfig
from pathology.training.data.augment import check_augmentation, optical_view
from pathology.types import U8Array

pytest.importorskip("albumentations")
WHITE = np.array([230.3, 228.8, 236.1], dtype=np.float32)
KINDS = ("tone", "blur", "sharpen", "noise", "jpeg", "camera")


def picture() -> U8Array:
    rng = np.random.default_rng(0)
    rgb = np.full((64, 64, 3), np.round(WHITE), dtype=np.uint8)
    rgb[16:48, 16:48] = rng.integers(60, 200, size=(32, 32, 3))
    return rgb


@pytest.mark.parametrize("kind", KINDS)
def test_each_change_follows_its_seed_alone(kind: str) -> None:
    settings = AugmentConfig.model_validate({kind: 1.0})
    first, _ = optical_view(picture(), WHITE, settings, 7)
    optical_view(picture(), WHITE, settings, 8)  # what came before must not matter
    again, _ = optical_view(picture(), WHITE, settings, 7)
    other, _ = optical_view(picture(), WHITE, settings, 9)
    np.testing.assert_array_equal(first, again)
    assert (first != picture()).any()
    assert (first != other).any()
    assert first.shape == picture().shape


@pytest.mark.parametrize("kind", ["blur", "camera"])
def test_a_share_of_views_is_changed(kind: str) -> None:
    settings = AugmentConfig.model_validate({kind: 0.3})
    plain = picture()
    changed = sum(
        (optical_view(plain, WHITE, settings, seed)[0] != plain).any() for seed in range(200)
    )
    assert 35 <= changed <= 90


def test_nothing_is_changed_where_nothing_is_asked_for() -> None:
    rgb, white = optical_view(picture(), WHITE, AugmentConfig(), 3)
    np.testing.assert_array_equal(rgb, picture())
    np.testing.assert_array_equal(white, WHITE)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["tone", "camera"])
def test_the_white_point_follows_the_tone(kind: str, seed: int) -> None:
    settings = AugmentConfig.model_validate({kind: 1.0})
    rgb, white = optical_view(picture(), WHITE, settings, seed)
    # The picture's border is glass.
    np.testing.assert_allclose(white, rgb[0, 0], atol=1.0)


def test_a_camera_whitens_what_is_pale_and_keeps_the_order_of_brightness() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    whitened = []
    for seed in range(40):
        rgb, white = optical_view(ramp, WHITE, AugmentConfig(camera=1.0), seed)
        assert (np.diff(rgb[0, :, 0].astype(int)) >= 0).all()
        assert white.max() <= 255
        whitened.append(int((rgb[0, :, 0] == 255).sum()))
    assert min(whitened) < 20, "some cameras hardly change anything"
    assert max(whitened) > 50, "and some lose the cytoplasm, which is paler than 205"


def test_a_camera_needs_no_albumentations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "albumentations", None)
    check_augmentation(AugmentConfig(camera=1.0))
    rgb, _ = optical_view(picture(), WHITE, AugmentConfig(camera=1.0), 1)
    assert (rgb != picture()).any()


def test_a_missing_albumentations_is_told_before_the_first_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with pytest.raises(UsageError, match=r"albumentations.*her2-ihc\[train\]"):
        check_augmentation(AugmentConfig(jpeg=0.1))
    check_augmentation(AugmentConfig())
