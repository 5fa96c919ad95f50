"""Training samples: synthetic fields turned into network inputs and targets."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from pathology.config import StainConfig
from pathology.stain import optical_density, unmix
from pathology.synthesis import random_field_spec, render_field
from pathology.types import AnyArray, BoolArray, FloatArray, IntArray, U8Array

__all__ = ["Sample", "augment", "make_sample", "network_input", "render_samples"]

#: Detail pixels per context pixel.
CONTEXT_FACTOR = 4


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Hold one field and its truth.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8 at 0.5 µm/px.
    white
        (3,) float32 colour of the glass.
    centres_px
        (n, 2) float32 x, y in field pixels; the middle of the first pixel is 0.5.
    rays_um
        (n, 32) float32.
    classes
        (n,) int64 index into ``CELL_CLASSES``.
    visible
        (n,) bool: cells that a reader could find.
    region
        (H/4, W/4) uint8 region codes.
    """

    rgb: U8Array
    white: FloatArray
    centres_px: FloatArray
    rays_um: FloatArray
    classes: IntArray
    visible: BoolArray
    region: U8Array


def make_sample(seed: int, size_px: int) -> Sample:
    """Render the field that a seed stands for.

    Parameters
    ----------
    seed
        Seeds the field's specification and its rendering.
    size_px
        Side in pixels of 0.5 µm.
    """
    rng = np.random.default_rng(seed)
    spec = random_field_spec(rng, size_px=size_px, mpp=0.5)
    field = render_field(spec, seed)
    cells = field.cells
    return Sample(
        rgb=field.rgb,
        white=np.asarray(field.white, dtype=np.float32),
        centres_px=np.stack([cells.x_px, cells.y_px], axis=1).astype(np.float32),
        rays_um=np.asarray(cells.outline_r_um, dtype=np.float32),
        classes=np.asarray(cells.cell_class, dtype=np.int64),
        visible=np.asarray(cells.visible, dtype=np.bool_),
        region=field.region,
    )


def _cached(seed: int, size_px: int, folder: Path | None) -> Sample:
    if folder is None:
        return make_sample(seed, size_px)
    path = folder / f"{size_px}-{seed}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            return Sample(**{item.name: stored[item.name] for item in fields(Sample)})
    sample = make_sample(seed, size_px)
    temporary = path.with_suffix(".tmp.npz")
    np.savez(temporary, **{item.name: getattr(sample, item.name) for item in fields(Sample)})
    temporary.replace(path)
    return sample


def render_samples(
    seeds: range,
    size_px: int,
    *,
    workers: int,
    folder: Path | None = None,
    done: Callable[[], None] | None = None,
) -> list[Sample]:
    """Render fields in worker processes, in the order of the seeds.

    Parameters
    ----------
    seeds
        One seed for each field.
    size_px
        Side in pixels of 0.5 µm.
    workers
        Number of processes; 1 renders in this one.
    folder
        Where rendered fields are kept between runs; None keeps nothing.
    done
        Called once for each finished field.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    if workers == 1:
        return [
            sample for seed in seeds for sample in _tick([_cached(seed, size_px, folder)], done)
        ]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        count = len(seeds)
        results = pool.map(_cached, seeds, [size_px] * count, [folder] * count, chunksize=4)
        return list(_tick(results, done))


def _tick(
    samples: Iterator[Sample] | list[Sample], done: Callable[[], None] | None
) -> Iterator[Sample]:
    for sample in samples:
        if done is not None:
            done()
        yield sample


def augment(sample: Sample, rng: np.random.Generator) -> Sample:
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
    rays, rgb, region = sample.rays_um, sample.rgb, sample.region
    if mirror:
        x = side - x
        # Mirrored in x, the angle θ becomes π - θ: ray k takes what ray 16 - k held.
        rays = rays[:, (16 - np.arange(32)) % 32]
        rgb, region = rgb[:, ::-1], region[:, ::-1]
    for _ in range(turns):
        # rot90 turns (x, y) into (y, side - x) with y down: the angle θ becomes θ - π/2.
        x, y = y, side - x
        rays = np.roll(rays, -8, axis=1)
    rgb, region = np.rot90(rgb, turns), np.rot90(region, turns)
    return Sample(
        rgb=np.ascontiguousarray(rgb),
        white=sample.white,
        centres_px=np.stack([x, y], axis=1),
        rays_um=rays,
        classes=sample.classes,
        visible=sample.visible,
        region=np.ascontiguousarray(region),
    )


def network_input(
    sample: Sample, stain: StainConfig, rng: np.random.Generator | None = None
) -> tuple[FloatArray, FloatArray]:
    """Compute what the network sees of a field.

    Parameters
    ----------
    sample
        The field.
    stain
        Stain vectors.
    rng
        If given, white point and stain strengths are jittered in optical density.

    Returns
    -------
    tuple
        Detail (2, H, W) float32 (haematoxylin and DAB optical density) and context (1, H/4, W/4)
        float32 (haematoxylin alone).
    """
    white = sample.white.astype(np.float64)
    gain = np.ones(2)
    if rng is not None:
        white = np.clip(white * rng.normal(1.0, 0.01, size=3), 150, 255)
        gain = rng.uniform((0.75, 0.75), (1.25, 1.25))
    side = sample.rgb.shape[0] // CONTEXT_FACTOR
    blocks = sample.rgb.reshape(side, CONTEXT_FACTOR, side, CONTEXT_FACTOR, 3)
    coarse = np.round(blocks.mean(axis=(1, 3))).astype(np.uint8)
    detail = _stains(sample.rgb, white, stain) * gain
    context = _stains(coarse, white, stain)[..., :1] * gain[0]
    return (
        np.ascontiguousarray(detail.transpose(2, 0, 1), dtype=np.float32),
        np.ascontiguousarray(context.transpose(2, 0, 1), dtype=np.float32),
    )


def _stains(rgb: U8Array, white: AnyArray, stain: StainConfig) -> AnyArray:
    glass = (float(white[0]), float(white[1]), float(white[2]))
    return np.asarray(unmix(optical_density(rgb, glass), stain.haematoxylin, stain.dab))
