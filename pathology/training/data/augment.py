"""Views of a field: turned, mirrored, and changed in the ways that microscopes and files do.

The eight symmetries are done here, because outlines turn with the picture; what happens to the
picture alone is albumentations', which is needed for training only.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import numpy as np

from pathology.config import StainConfig
from pathology.errors import UsageError
from pathology.stain import StainMatrix, density_table
from pathology.training.config import AugmentConfig
from pathology.training.data.camera import random_camera
from pathology.training.data.samples import CONTEXT_FACTOR, Sample
from pathology.types import AnyArray, FloatArray, U8Array

__all__ = ["check_augmentation", "network_input", "optical_view", "turned_view"]

#: Rows of bare glass under the picture while its tone is changed: they tell the new white point.
_GLASS_ROWS = 8


def turned_view(sample: Sample, rng: np.random.Generator) -> Sample:
    """Turn or mirror a field at random, its truth with it.

    Parameters
    ----------
    sample
        The field; must be square.
    rng
        Source of chance.

    Returns
    -------
    Sample
        One of the eight views of the field.
    """
    turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
    side = sample.rgb.shape[0]
    x, y = sample.centres_px[:, 0], sample.centres_px[:, 1]
    rays, maps = sample.rays_um, [sample.rgb, sample.region, sample.annotated]
    if mirror:
        x = side - x
        # Mirrored in x, the angle θ becomes π - θ: ray k takes what ray 16 - k held.
        rays = rays[:, (16 - np.arange(32)) % 32]
        maps = [part[:, ::-1] for part in maps]
    for _ in range(turns):
        # rot90 turns (x, y) into (y, side - x) with y down: the angle θ becomes θ - π/2.
        x, y = y, side - x
        rays = np.roll(rays, -8, axis=1)
    rgb, region, annotated = (np.ascontiguousarray(np.rot90(part, turns)) for part in maps)
    return Sample(
        rgb=rgb,
        white=sample.white,
        centres_px=np.stack([x, y], axis=1),
        rays_um=rays,
        classes=sample.classes,
        visible=sample.visible,
        region=region,
        annotated=annotated,
    )


def _albumentations() -> Any:
    # At import it would otherwise ask the network for a newer version.
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    try:
        import albumentations
        import cv2
    except ImportError as error:
        raise UsageError(
            f"training with changed pictures needs albumentations ({error})",
            fix="Give pip install 'her2-ihc[train]', or set the shares in augment to 0.",
        ) from error
    # One thread each: the loader's processes already share the processor.
    cv2.setNumThreads(0)
    return albumentations


def check_augmentation(settings: AugmentConfig) -> None:
    """Fail now if what the settings ask for is not installed.

    Raises
    ------
    UsageError
        If albumentations is needed and missing.
    """
    if settings.optical:
        _albumentations()


@lru_cache(maxsize=4)
def _pipeline(settings: AugmentConfig) -> tuple[Any, Any]:
    """Make the changes of tone, which move the white point, and those of the optics and file."""
    a = _albumentations()
    tone = a.RandomBrightnessContrast(
        brightness_limit=0.1, contrast_limit=0.1, brightness_by_max=True, p=settings.tone
    )
    optics = [
        # Half a micrometre out of focus is about one pixel of blur.
        a.GaussianBlur(sigma_limit=(0.4, 1.2), blur_limit=0, p=settings.blur),
        a.Sharpen(alpha=(0.05, 0.2), lightness=(1.0, 1.0), p=settings.sharpen),
        a.GaussNoise(std_range=(0.005, 0.02), p=settings.noise),
        a.ImageCompression(quality_range=(60, 95), p=settings.jpeg),
    ]
    return a.Compose([tone]), a.Compose(optics)


def optical_view(
    rgb: U8Array, white: FloatArray, settings: AugmentConfig, seed: int
) -> tuple[U8Array, FloatArray]:
    """Change a picture as microscopes, cameras and files do.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8.
    white
        (3,) float32 colour of the glass.
    settings
        Shares of the views that are changed.
    seed
        Seed of this view, below 2³².

    Returns
    -------
    tuple
        Picture and white point after it.
    """
    if settings.camera > 0:
        rng = np.random.default_rng([seed, 2])
        if rng.random() < settings.camera:
            camera = random_camera(rng)
            rgb, white = camera.picture(rgb), camera.white(white)
    if not settings.optical:
        return rgb, white
    tone, optics = _pipeline(settings)
    tone.set_random_seed(seed)
    optics.set_random_seed(seed + 1)
    glass = np.broadcast_to(np.round(white), (_GLASS_ROWS, rgb.shape[1], 3)).astype(np.uint8)
    changed = tone(image=np.concatenate([rgb, glass]))["image"]
    found = changed[-1, -1].astype(np.float32)
    # What tone changed on rounded glass, applied to the exact white point.
    white = np.clip(white + (found - glass[0, 0]), 1, 255).astype(np.float32)
    return np.asarray(optics(image=changed[:-_GLASS_ROWS])["image"], dtype=np.uint8), white


def network_input(
    rgb: U8Array,
    white: FloatArray,
    stain: StainConfig,
    rng: np.random.Generator | None = None,
    settings: AugmentConfig | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Compute what the network sees of a field.

    Parameters
    ----------
    rgb
        (H, H, 3) uint8, H a multiple of 4.
    white
        (3,) float32 colour of the glass.
    stain
        Stain vectors.
    rng
        If given, white point and stain strengths are jittered in optical density.
    settings
        Strength of the jitter; the default settings if None.

    Returns
    -------
    tuple
        Detail (2, H, W) float32 (haematoxylin and DAB optical density) and context (1, H/4, W/4)
        float32 (haematoxylin alone).
    """
    glass, gain = white.astype(np.float64), np.ones(2)
    if rng is not None:
        settings = settings if settings is not None else AugmentConfig()
        glass = np.clip(glass * rng.normal(1.0, settings.white_sd, size=3), 1, 255)
        gain = rng.uniform(*settings.stain_gain, size=2)
    weights = StainMatrix(haematoxylin=stain.haematoxylin, dab=stain.dab).weights * gain
    density = density_table((float(glass[0]), float(glass[1]), float(glass[2])))
    # table[c, s, v]: what the value v of channel c says of stain s. Looking up sums is several
    # times as fast as a density per pixel and a product of matrices.
    table = (density[:, :, None] * weights).astype(np.float32).transpose(1, 2, 0)
    return _amounts(rgb, table), _amounts(_coarse(rgb), table[:, :1])


def _coarse(rgb: U8Array) -> U8Array:
    """Average blocks of pixels, as a scanner's pyramid does."""
    factor, side = CONTEXT_FACTOR, rgb.shape[0] // CONTEXT_FACTOR
    rows = rgb.reshape(side, factor, rgb.shape[1], 3)
    sums = np.zeros((side, rgb.shape[1], 3), dtype=np.uint16)
    for k in range(factor):
        sums += rows[:, k]
    blocks = sums.reshape(side, side, factor, 3)
    total = blocks[:, :, 0] + blocks[:, :, 1] + blocks[:, :, 2] + blocks[:, :, 3]
    return np.round(total / factor**2).astype(np.uint8)


def _amounts(rgb: U8Array, table: AnyArray) -> FloatArray:
    planes = np.zeros((table.shape[1], *rgb.shape[:2]), dtype=np.float32)
    part = np.empty(rgb.shape[:2], dtype=np.float32)
    for c in range(3):
        values = np.ascontiguousarray(rgb[..., c])
        for plane, lookup in zip(planes, table[c], strict=True):
            # "clip" is never needed for 8 bits; it spares numpy a buffered check.
            plane += np.take(lookup, values, out=part, mode="clip")
    return planes
