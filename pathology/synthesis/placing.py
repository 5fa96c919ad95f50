"""Cells of the stroma: single tumour cells, fibroblasts, immune cells, endothelium."""

from __future__ import annotations

import numpy as np

from pathology.synthesis import layout as lay
from pathology.synthesis.epithelium import epithelium, give_nuclei, myoepithelium
from pathology.synthesis.layout import Compartment, Layout
from pathology.synthesis.seeds import (
    FOAMY,
    LABELLED,
    LYMPHOID,
    NO_BODY,
    OTHER,
    PLASMA,
    POINTS_PER_SPACING,
    SEED,
    SIGNET,
    STROMA,
    direction,
    extent,
    loose_cells,
    poisson_points,
    thin,
)
from pathology.synthesis.spec import FieldSpec
from pathology.types import AnyArray, FloatArray

__all__ = ["place_cells"]


def place_cells(plan: Layout, spec: FieldSpec, rng: np.random.Generator) -> AnyArray:
    """Place every cell of a layout.

    Parameters
    ----------
    plan
        The layout.
    spec
        The field.
    rng
        Source of randomness.

    Returns
    -------
    Structured array (n,) of :data:`SEED`.
    """
    parts = []
    for number, kind in enumerate(plan.compartments, start=1):
        parts.append(epithelium(plan, number, kind, spec, rng))
        if kind.myoepithelium:
            parts.append(myoepithelium(plan, number, rng))
    parts.append(_single_cells(plan, spec, rng))
    parts.append(_ground_cells(plan, spec, rng))
    return np.concatenate(parts)


def _single_cells(plan: Layout, spec: FieldSpec, rng: np.random.Generator) -> AnyArray:
    """Place tumour cells that lie alone (or in short rows) in the stroma."""
    density = spec.composition.single_cells_per_mm2
    x, y = _strewn(plan, density, spec.morphology.cell_um * 0.95, rng, 4.0)
    count, shape = len(x), spec.morphology
    cells = np.zeros(count, dtype=SEED)
    cells["x"], cells["y"] = x, y
    size = 0.47 * shape.cell_um * np.exp(rng.normal(0, shape.pleomorphism, count))
    stretch = np.exp(np.abs(rng.normal(0, 0.12, count)))
    cells["along"], cells["across"] = size * stretch, size / stretch
    cells["angle"] = rng.uniform(0, np.pi, count)
    single = Compartment(
        group=0, region=lay.TUMOUR, columnar=False, height_um=0.0, cell_um=shape.cell_um,
        nucleus_um=min(shape.nucleus_um, 0.75 * shape.cell_um), spread=shape.pleomorphism,
    )  # fmt: skip
    give_nuclei(cells, 0, single, spec, rng)
    signet = rng.random(count) < shape.signet
    cells["body"] = np.where(signet, SIGNET, LABELLED)
    # A signet ring's nucleus is pushed flat against the wall.
    cells["nx"] += np.where(signet, 0.62 * cells["across"] * np.cos(cells["angle"]), 0)
    cells["ny"] += np.where(signet, 0.62 * cells["across"] * np.sin(cells["angle"]), 0)
    cells["nangle"] = np.where(signet, cells["angle"] + np.pi / 2, cells["nangle"])
    cells["nacross"] *= np.where(signet, 0.7, 1.0)
    cells["dense"] |= signet
    return cells


def _strewn(
    plan: Layout, density: float, spacing: float, rng: np.random.Generator, away_um: float
) -> tuple[FloatArray, FloatArray]:
    """Strew points over the stroma, ``away_um`` from epithelium, holes and glass."""
    if density <= 0:
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    low, width, height = extent(plan)
    points = poisson_points(rng, low, width, height, spacing)
    x, y = points.T
    wanted = density * 1e-6 * width * height / max(len(points), 1)
    keep = rng.random(len(points)) < wanted
    keep &= (plan.at("sdf", x, y) < -away_um) & (plan.at("hole", x, y) < -2.0)
    keep &= plan.at("tissue", x, y) > 3.0
    return x[keep], y[keep]


def _ground_cells(plan: Layout, spec: FieldSpec, rng: np.random.Generator) -> AnyArray:
    parts, composition = [], spec.composition
    cleft = max((kind.cleft_um for kind in plan.compartments), default=0.0)
    x, y = _strewn(plan, 12000.0, 8.0, rng, 1.5 + cleft)
    ground = plan.code_at("ground", x, y)
    loose = plan.at("loose", x, y)
    stroma = composition.stroma_cells_per_mm2 / 12000.0 * (1.15 - 0.5 * loose)
    spindle = (ground == lay.STROMA) & (rng.random(len(x)) < stroma)
    muscle = (ground == lay.MUSCLE) & (rng.random(len(x)) < 0.35 * stroma)
    spindle |= muscle
    cells = loose_cells(x[spindle], y[spindle], STROMA, rng, size=2.7, stretch=2.6)
    fibre = (
        direction(plan, "stream", cells["x"], cells["y"])
        + np.pi / 2
        + rng.normal(0, 0.25, len(cells))
    )
    cells["nangle"] = fibre
    cells["dense"] = rng.random(len(cells)) < 0.6
    # Nuclei of smooth muscle are long and pale; cut across they are round.
    fibres = muscle[spindle]
    cells["nalong"] *= np.where(fibres, rng.uniform(1.0, 1.8, len(cells)), 1.0)
    cells["along"] = cells["nalong"] + 0.8
    cells["dense"] &= ~fibres | (rng.random(len(cells)) < 0.5)
    share = np.where(fibres, composition.plump_stroma**0.5, composition.plump_stroma)
    _plump(cells, rng.random(len(cells)) < share, rng)
    parts.append(cells)
    parts.append(_immune(plan, spec, rng))
    parts.append(_endothelium(plan, rng))
    return np.concatenate(parts)


def _plump(cells: AnyArray, which: AnyArray, rng: np.random.Generator) -> None:
    """Swell some nuclei: fibroblasts at work, smooth muscle and endothelium cut across."""
    count = len(cells)
    cells["dense"] &= ~which
    cells["nacross"] *= np.where(which, rng.uniform(1.25, 1.95, count), 1.0)
    cells["nalong"] *= np.where(which, rng.uniform(0.75, 1.15, count), 1.0)
    cells["nalong"] = np.maximum(cells["nalong"], cells["nacross"])
    cells["along"], cells["across"] = cells["nalong"] + 0.8, cells["nacross"] + 0.8


def _immune(plan: Layout, spec: FieldSpec, rng: np.random.Generator) -> AnyArray:
    cleft = max((kind.cleft_um for kind in plan.compartments), default=0.0)
    x, y = _strewn(plan, 60000.0, 5.6, rng, 2.5 + cleft)
    ground = plan.code_at("ground", x, y)
    share = spec.composition.immune_cells_per_mm2 * 1e-6 * 5.6**2 / POINTS_PER_SPACING
    keep = (ground == lay.STROMA) & (rng.random(len(x)) < share)
    keep |= (ground == lay.LYMPHOID) & (rng.random(len(x)) < 0.8)
    keep |= (ground == lay.NECROSIS) & (rng.random(len(x)) < 0.06)
    x, y = (
        np.concatenate(pair)
        for pair in zip((x[keep], y[keep]), _among(plan, spec, rng), strict=True)
    )
    cells = loose_cells(x, y, LYMPHOID, rng, size=2.9, stretch=1.1)
    count = len(cells)
    kind = rng.random(count)
    plasma_share, foamy_share = rng.uniform(0.05, 0.5), rng.uniform(0, 0.12)
    plasma, foamy = kind < plasma_share, kind > 1 - foamy_share
    cells["dense"], cells["nod"] = ~foamy, cells["nod"] * np.where(foamy, 1.0, 1.35)
    cells["body"] = np.where(plasma, PLASMA, np.where(foamy, FOAMY, NO_BODY))
    cells["cell_class"] = np.where(foamy, OTHER, LYMPHOID)
    reach = np.where(plasma, 2.2, np.where(foamy, 4.5, 0.5))
    cells["along"], cells["across"] = cells["nalong"] + reach, cells["nacross"] + reach * 0.8
    cells["angle"] = rng.uniform(0, 2 * np.pi, count)
    # The body of a plasma cell or macrophage lies to one side of its nucleus.
    side = np.where(plasma | foamy, 0.42 * reach, 0.0)
    cells["x"] += side * np.cos(cells["angle"])
    cells["y"] += side * np.sin(cells["angle"])
    stray = rng.random(count) < spec.staining.stray
    cells["brown"] = np.where(stray, rng.uniform(0.1, 0.6, count), 0.0)
    return cells


def _among(
    plan: Layout, spec: FieldSpec, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Strew lymphocytes among the cells of the epithelia."""
    low, width, height = extent(plan)
    points = poisson_points(rng, low, width, height, 9.0)
    share = spec.composition.immune_in_epithelium_per_mm2 * 1e-6 * 9.0**2 / POINTS_PER_SPACING
    x, y = points[rng.random(len(points)) < share].T
    kinds = np.array([0.0, *(kind.height_um for kind in plan.compartments)])
    depth = plan.at("sdf", x, y)
    keep = (depth > 2.0) & (depth < kinds[plan.code_at("owner", x, y)] - 2.0)
    return x[keep], y[keep]


def _endothelium(plan: Layout, rng: np.random.Generator) -> AnyArray:
    rows, columns = np.nonzero(
        (np.abs(plan.hole + 0.8) < 1.6) & (plan.hole_kind == lay.VESSEL) & (plan.sdf < -4)
    )
    x, y = plan.cells_um(rows, columns)
    keep = thin(
        np.stack([x, y], axis=1), np.full(len(x), 14.0, np.float32), rng.permutation(len(x))
    )
    cells = loose_cells(x[keep], y[keep], STROMA, rng, size=2.3, stretch=2.8)
    cells["nangle"] = direction(plan, "hole", cells["x"], cells["y"]) + np.pi / 2
    return cells
