"""How strongly each membrane is stained: wanted patterns, drawn levels, and the truth per ray.

Two neighbours share a border, and each gives half of the optical density that is seen there.
Whether a stretch of membrane is stained is read from one noise field, so that both sides agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pathology.cells import N_RAYS, PATTERNS
from pathology.config import MeasurementConfig, load_config
from pathology.synthesis.labels import Rays
from pathology.synthesis.layout import Layout
from pathology.synthesis.noise import NoiseBank, smooth_field
from pathology.synthesis.spec import FieldSpec, PatternMix, Staining
from pathology.types import AnyArray, FloatArray, U8Array

__all__ = [
    "Membranes",
    "classify_rays",
    "gate_at",
    "line_od",
    "stain_membranes",
    "unevenness",
]

UNSTAINED, FAINT, PARTIAL, COMPLETE, INTENSE = range(len(PATTERNS))
#: OD seen on the membrane, by pattern: bands that keep clear of the cut-offs 0.12, 0.28 and 0.60 of
#: the default measurement (facts: 1+ 0.10-0.25, 2+ 0.25-0.55, 3+ 0.60-1.2).
LEVELS: tuple[tuple[float, float], ...] = (
    (0.0, 0.05), (0.17, 0.25), (0.38, 0.80), (0.24, 0.50), (0.72, 1.20)
)  # fmt: skip
#: Share of the outline that is stained, by pattern.
SHARES: tuple[tuple[float, float], ...] = (
    (0.0, 1.0), (0.30, 0.65), (0.30, 0.65), (0.97, 1.0), (0.97, 1.0)
)  # fmt: skip
#: Mean and standard deviation of the width (FWHM, µm) by pattern: measured on scans for 1+ (0.64 ±
#: 0.10), 2+ (1.00 ± 0.23) and 3+ (2.14 ± 0.40).
WIDTHS: tuple[tuple[float, float], ...] = (
    (0.64, 0.10), (0.64, 0.10), (1.00, 0.23), (1.00, 0.23), (1.90, 0.40)
)  # fmt: skip
#: A face towards stroma or lumen shows a single membrane instead of two back to back.
FREE_FACE = 0.8
#: Correlation length of the stained stretches, µm: a few stretches on an outline of 40 µm.
_STRETCH_UM = 2.4
_SOFT = 0.12


@dataclass(frozen=True, kw_only=True)
class Membranes:
    """Hold the staining of each cell; arrays (n,).

    Parameters
    ----------
    level
        OD that is seen on a border between two such cells.
    threshold
        The membrane is stained where the gate field is above this.
    width
        FWHM of the line that is seen, µm.
    """

    level: FloatArray
    threshold: FloatArray
    width: FloatArray


def gate_at(
    plan: Layout, bank: NoiseBank, staining: Staining, x_um: AnyArray, y_um: AnyArray
) -> FloatArray:
    """Return the gate field at points: high where membranes are stained first.

    Parameters
    ----------
    plan
        The layout (for the luminal side of glands).
    bank
        Noise.
    staining
        Its ``basolateral`` share.
    x_um, y_um
        Points, µm.
    """
    gate = bank.at(2, x_um, y_um, _STRETCH_UM)
    if staining.basolateral > 0 and any(kind.columnar for kind in plan.compartments):
        heights = np.array([1e4, *(kind.height_um for kind in plan.compartments)], np.float32)
        owner = plan.code_at("owner", x_um, y_um)
        apical = np.clip(plan.at("sdf", x_um, y_um) / heights[owner] - 0.6, 0, 0.4) / 0.4
        gate = gate - np.float32(4.0 * staining.basolateral) * apical.astype(np.float32)
    return np.asarray(gate, dtype=np.float32)


def open_share(gate: FloatArray, threshold: FloatArray) -> FloatArray:
    """Return how far a stretch is stained, 0 to 1, with a soft beginning."""
    share = np.clip((gate - threshold) / _SOFT + 0.5, 0.0, 1.0)
    return np.asarray(share, dtype=np.float32)


def line_od(membranes: Membranes, gate: FloatArray, mine: AnyArray, other: AnyArray) -> FloatArray:
    """Return the OD seen on a border, from the cells on both sides.

    Parameters
    ----------
    membranes
        Staining of all cells.
    gate
        Gate field on the border.
    mine, other
        Indices of the two cells, of gate's shape; -1 for ``other`` at a free face.
    """
    own = membranes.level[mine] * open_share(gate, membranes.threshold[mine])
    there = np.maximum(other, 0)
    beyond = membranes.level[there] * open_share(gate, membranes.threshold[there])
    result: FloatArray = np.where(other >= 0, 0.5 * (own + beyond), FREE_FACE * own)
    return result.astype(np.float32)


def unevenness(
    bank: NoiseBank, staining: Staining, x_um: AnyArray, y_um: AnyArray
) -> tuple[FloatArray, FloatArray]:
    """Return the factors on density and width of membranes at points.

    Membranes are not ink lines: some stretches are darker, some broad, some cut obliquely and
    therefore paler.

    Parameters
    ----------
    bank
        Noise.
    staining
        Its ``granularity``.
    x_um, y_um
        Points, µm.
    """
    ripple = 1.2 * bank.at(13, x_um, y_um, 4.0)
    oblique = np.clip(2 * staining.granularity * (bank.at(15, x_um, y_um, 6.0) - 0.8), 0, 1)
    od = np.maximum(1 + staining.granularity * ripple, 0.3) * (1 - 0.35 * oblique)
    width = np.exp(1.2 * staining.granularity * bank.at(14, x_um, y_um, 3.5)) * (1 + oblique)
    return np.asarray(od, dtype=np.float32), np.asarray(width, dtype=np.float32)


def classify_rays(
    ray_od: FloatArray, rules: MeasurementConfig | None = None
) -> tuple[FloatArray, FloatArray, U8Array]:
    """Derive completeness, mean stained OD and pattern from ray ODs.

    Parameters
    ----------
    ray_od
        (n, 32) OD of the membrane along each ray.
    rules
        Cut-offs; None takes the default configuration's.

    Returns
    -------
    completeness : (n,) float32
    membrane_od_stained : (n,) float32
    pattern : (n,) uint8, index into :data:`pathology.cells.PATTERNS`

    Examples
    --------
    >>> rays = np.full((1, 32), 0.9, dtype=np.float32)
    >>> PATTERNS[int(classify_rays(rays)[2][0])]
    'complete_intense'
    """
    rules = rules or _rules()
    stained = ray_od >= rules.stained_od
    share = stained.mean(axis=1, dtype=np.float32)
    mean = np.where(stained, ray_od, 0).sum(axis=1) / np.maximum(stained.sum(axis=1), 1)
    complete = share >= rules.complete_share
    pattern = np.where(
        complete,
        np.where(mean >= rules.intense_od, INTENSE, COMPLETE),
        np.where(mean >= rules.moderate_od, PARTIAL, FAINT),
    )
    pattern = np.where(share < rules.min_stained_share, UNSTAINED, pattern)
    return share.astype(np.float32), mean.astype(np.float32), pattern.astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class _Outlook:
    """What the staining of a set of cells depends on, gathered once."""

    cells: AnyArray
    index: AnyArray
    rays: Rays
    gate: FloatArray
    uneven: FloatArray
    rank: FloatArray


def stain_membranes(
    spec: FieldSpec, plan: Layout, cells: AnyArray, index: AnyArray, rays: Rays,
    bank: NoiseBank, rng: np.random.Generator,
) -> tuple[Membranes, FloatArray]:  # fmt: skip
    """Draw the staining of all cells and return the truth on the rays.

    Parameters
    ----------
    spec, plan, cells, bank
        The field.
    index, rays
        Cells that have an outline, and their outlines.
    rng
        Source of randomness.

    Returns
    -------
    membranes : staining of all cells
    ray_od : (len(index), 32) float32, OD seen on the outline
    """
    angles = 2 * np.pi * np.arange(N_RAYS) / N_RAYS
    x = cells["nx"][index][:, None] + rays.radius * np.cos(angles)
    y = cells["ny"][index][:, None] + rays.radius * np.sin(angles)
    gate = gate_at(plan, bank, spec.staining, x, y)
    rows, columns = plan.sdf.shape
    patch = smooth_field(rng, (rows, columns), spec.staining.patch_um / 2.0)
    noise = rng.normal(0, 1, len(cells)) * spec.staining.scatter
    place = np.clip(((cells["y"] + 48) / 2).astype(int), 0, rows - 1)
    line = np.clip(((cells["x"] + 48) / 2).astype(int), 0, columns - 1)
    darker, _ = unevenness(bank, spec.staining, x, y)
    outlook = _Outlook(
        cells=cells, index=index, rays=rays, gate=gate, uneven=darker,
        rank=(patch[place, line] + noise).astype(np.float32),
    )  # fmt: skip
    draws = rng.random((4, len(cells))).astype(np.float32)
    return _fit(spec.staining, outlook, draws, float(spec.appearance.dab_gain))


def _fit(
    staining: Staining, outlook: _Outlook, draws: FloatArray, gain: float
) -> tuple[Membranes, FloatArray]:
    """Choose the cells of each pattern so that what is seen has the wanted shares.

    A cell beside a stained one shows some of it; so the shares that are dealt out are corrected
    a few times by what came of them.
    """
    mixes = (staining.tumour, staining.in_situ, staining.normal)
    dealt = [np.asarray(mix.as_tuple()) for mix in mixes]
    groups = outlook.cells["group"]
    membranes, ray_od = _deal(staining, outlook, draws, dealt, gain)
    for _ in range(5):
        _, _, pattern = classify_rays(ray_od / gain, _rules())
        for group, mix in enumerate(mixes):
            mine = pattern[groups[outlook.index] == group]
            if len(mine) < 20 or mix.unstained >= 1.0:
                continue
            seen = np.bincount(mine, minlength=len(PATTERNS)) / len(mine)
            dealt[group] = _corrected(dealt[group], mix, seen)
        membranes, ray_od = _deal(staining, outlook, draws, dealt, gain)
    return membranes, ray_od


def _corrected(dealt: AnyArray, mix: PatternMix, seen: AnyArray) -> AnyArray:
    wanted = np.asarray(mix.as_tuple())
    better = np.clip(dealt + 0.8 * (wanted - seen), 0.0, 1.0)
    better = np.where(wanted > 0, np.maximum(better, 0.05 * wanted), 0.0)
    return better / max(float(better.sum()), 1e-9)


def _deal(
    staining: Staining, outlook: _Outlook, draws: FloatArray, dealt: list[AnyArray], gain: float
) -> tuple[Membranes, FloatArray]:
    cells = outlook.cells
    kind = np.zeros(len(cells), dtype=np.intp)
    for group, shares in enumerate(dealt):
        mine = np.flatnonzero(cells["group"] == group)
        order = mine[np.argsort(outlook.rank[mine], kind="stable")]
        # Weakest ranks stay unstained; the order of strength is that of the codes.
        ends = np.rint(np.cumsum(shares) * len(order)).astype(int)
        kind[order] = np.searchsorted(ends, np.arange(len(order)), side="right").clip(0, 4)
    levels, shares_, widths = np.array(LEVELS), np.array(SHARES), np.array(WIDTHS)
    level = levels[kind, 0] + draws[0] * (levels[kind, 1] - levels[kind, 0])
    level = np.where((kind == UNSTAINED) & (draws[3] < 0.6), 0.0, level)
    level = np.where(cells["group"] < 0, 0.0, level)
    share = shares_[kind, 0] + draws[1] * (shares_[kind, 1] - shares_[kind, 0])
    threshold = np.full(len(cells), -9.0, dtype=np.float32)
    ordered = np.sort(outlook.gate, axis=1)
    at = np.clip(np.rint((1 - share[outlook.index]) * N_RAYS), 0, N_RAYS - 1).astype(int)
    cut = ordered[np.arange(len(ordered)), at]
    threshold[outlook.index] = np.where(at > 1, cut, -9.0)
    width = widths[kind, 0] + (2 * draws[2] - 1) * 1.5 * widths[kind, 1]
    # A membrane that is cut tangentially is broad and pale.
    width = np.where(cells["smeared"], 1.8 * width, width)
    membranes = Membranes(
        level=(level * gain).astype(np.float32), threshold=threshold,
        width=(width * staining.width_scale).clip(0.35, 3.0).astype(np.float32),
    )  # fmt: skip
    mine = np.broadcast_to(outlook.index[:, None], outlook.rays.other.shape)
    seen = line_od(membranes, outlook.gate, mine, outlook.rays.other) * outlook.uneven
    return membranes, seen


@lru_cache(maxsize=1)
def _rules() -> MeasurementConfig:
    return load_config().measurement
