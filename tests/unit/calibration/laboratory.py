"""Simulated laboratories: cells of scored slides, drawn from patterns and levels, with a gain."""

from __future__ import annotations

import hashlib

import numpy as np

from pathology.calibration import SlideSample
from pathology.stain.calibration import SCORES
from pathology.types import AnyArray

#: Shares of unstained, incomplete faint, incomplete moderate, complete moderate, complete intense
#: cells: the least and the most of each, by score; the first takes what is left.
MIXES: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0.0, 0.08), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),
    ((0.13, 0.60), (0.0, 0.02), (0.0, 0.03), (0.0, 0.0)),
    ((0.05, 0.30), (0.0, 0.10), (0.13, 0.55), (0.0, 0.0)),
    ((0.05, 0.20), (0.0, 0.10), (0.05, 0.25), (0.13, 0.60)),
)
#: OD of membranes on the reference scale, by pattern: bands of the literature, touching the
#: cut-offs 0.12, 0.28 and 0.60 closer than the synthetic tissue's do.
LEVELS = ((0.0, 0.06), (0.14, 0.26), (0.32, 0.80), (0.24, 0.56), (0.64, 1.20))


def make_slide(
    rng: np.random.Generator,
    rank: int,
    *,
    gain: float = 1.0,
    n: int = 300,
    name: str = "",
    case: str = "",
    background_od: float = 0.03,
) -> SlideSample:
    """Draw a slide whose true pattern shares give this score."""
    shares = np.array([rng.uniform(low, high) for low, high in MIXES[rank]])
    shares *= min(1.0, 0.97 / max(shares.sum(), 1e-9))
    kinds = rng.choice(5, size=n, p=[1 - shares.sum(), *shares])
    bands = np.array(LEVELS)[kinds]
    level = bands[:, 0] + rng.random(n) * (bands[:, 1] - bands[:, 0])
    complete = kinds >= 3
    share = np.where(complete, 1.0, rng.uniform(0.30, 0.65, n))
    start = rng.integers(0, 32, n)
    place = (np.arange(32) - start[:, None]) % 32
    stained = place < np.rint(32 * share)[:, None]
    # Staining of runs differs by some 8 %, rays of one membrane by some 10 %.
    slide_gain = gain * np.exp(rng.normal(0, 0.08))
    line = level[:, None] * (1 + rng.normal(0, 0.10, (n, 32)))
    residue = np.abs(rng.normal(background_od, 0.015, (n, 32)))
    od = slide_gain * np.where(stained, np.maximum(line, residue), residue)
    identity = name or f"s-{int(rng.integers(1 << 40)):010x}"
    return SlideSample(
        slide_id=identity,
        path=f"{identity}.svs",
        case_id=case or identity,
        kind="test",
        rank=rank,
        ray_od=np.clip(np.rint(od * 100), 0, 255).astype(np.uint8),
        cytoplasm_od=(slide_gain * rng.uniform(0.0, 0.04, n)).astype(np.float32),
        n_cells=n,
        quickhash=hashlib.sha256(identity.encode()).hexdigest(),
        size_bytes=1000,
    )


def make_control(rng: np.random.Generator, rank: int, *, gain: float, name: str) -> SlideSample:
    """Draw a cell line of one intensity: negative, faint, moderate or intense."""
    low, high = ((0.0, 0.03), LEVELS[1], (0.32, 0.54), LEVELS[4])[rank]
    n = 200
    od = gain * rng.uniform(low, high, (n, 1)) * (1 + rng.normal(0, 0.05, (n, 32)))
    slide = make_slide(rng, 0, n=n, name=name)
    stored = np.clip(np.rint(od * 100), 0, 255).astype(np.uint8)
    return SlideSample(**{**vars(slide), "kind": "control", "rank": rank, "ray_od": stored})


def make_laboratory(
    seed: int, *, gain: float, per_score: int = 4, n: int = 300, mislabelled: int = 0
) -> list[SlideSample]:
    """Draw the scored slides of a laboratory; some may carry the label of a neighbouring score."""
    rng = np.random.default_rng([seed, 0x1AB])
    slides = [
        make_slide(rng, rank, gain=gain, n=n, name=f"s{rank}-{k:03d}")
        for rank in range(len(SCORES))
        for k in range(per_score)
    ]
    for place in rng.choice(len(slides), size=mislabelled, replace=False):
        rank = slides[place].rank
        slides[place] = relabelled(slides[place], rank + 1 if rank < 3 else 2)
    return slides


def relabelled(slide: SlideSample, rank: int) -> SlideSample:
    return SlideSample(**{**vars(slide), "rank": rank})


def gains(seed: int, n: int) -> AnyArray:
    """Draw gains of laboratories that differ about two-fold."""
    return np.exp(np.random.default_rng(seed).normal(0, np.log(2) / 2, n))
