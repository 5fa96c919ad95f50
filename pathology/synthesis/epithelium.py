"""Cells of the epithelia: columns on a base, polygons in nests, single cells in the stroma."""

from __future__ import annotations

import numpy as np
from scipy import spatial

from pathology.synthesis import layout as lay
from pathology.synthesis.layout import Compartment, Layout
from pathology.synthesis.noise import resample, smooth_field
from pathology.synthesis.seeds import (
    LABELLED,
    SEED,
    STROMA,
    VACUOLE,
    direction,
    extent,
    loose_cells,
    poisson_points,
    thin,
)
from pathology.synthesis.spec import FieldSpec
from pathology.types import AnyArray

__all__ = ["epithelium", "give_nuclei", "myoepithelium"]


def epithelium(
    plan: Layout, number: int, kind: Compartment, spec: FieldSpec, rng: np.random.Generator
) -> AnyArray:
    """Place the cells of one compartment.

    Parameters
    ----------
    plan
        The layout.
    number
        The compartment's number (1 and up).
    kind
        What it is.
    spec
        The field.
    rng
        Source of randomness.

    Returns
    -------
    Structured array of :data:`pathology.synthesis.seeds.SEED`.
    """
    mine = plan.owner == number
    if not (mine & (plan.sdf > 0)).any():
        return np.zeros(0, dtype=SEED)
    columns = _columnar(plan, mine, kind, rng) if kind.columnar else np.zeros(0, dtype=SEED)
    fill = _polygonal(plan, number, kind, rng, columns)
    cells = np.concatenate([columns, fill])
    cells["owner"], cells["group"], cells["cell_class"] = number, kind.group, kind.group
    cells["body"] = LABELLED
    give_nuclei(cells, len(columns), kind, spec, rng)
    if spec.staining.tangential > 0:
        _smear(cells, plan, spec, rng)
    return cells


def _smear(cells: AnyArray, plan: Layout, spec: FieldSpec, rng: np.random.Generator) -> None:
    """Mark patches that are cut tangentially; half of their nuclei are not in the plane."""
    patch = smooth_field(rng, (plan.sdf.shape[0], plan.sdf.shape[1]), 20.0 / lay.STEP_UM)
    here = resample(
        patch,
        (cells["y"] + lay.MARGIN_UM) / lay.STEP_UM,
        (cells["x"] + lay.MARGIN_UM) / lay.STEP_UM,
    )
    cells["smeared"] = here > np.quantile(patch, 1 - spec.staining.tangential)
    cells["nucleus"] &= ~cells["smeared"] | (rng.random(len(cells)) < 0.5)


def _columnar(
    plan: Layout, mine: AnyArray, kind: Compartment, rng: np.random.Generator
) -> AnyArray:
    half = kind.height_um / 2
    rows, columns = np.nonzero(mine & (np.abs(plan.sdf - half) < 2.5))
    x, y = plan.cells_um(rows.repeat(3), columns.repeat(3))
    jitter = rng.uniform(-1, 1, (2, len(x))).astype(np.float32)
    x, y = x + jitter[0], y + jitter[1]
    depth = plan.at("sdf", x, y)
    near = np.abs(depth - half) < 1.0
    x, y = x[near], y[near]
    points = np.stack([x, y], axis=1)
    # Random points at least s apart along a line end up 1.34 s apart (Rényi's parking constant).
    width = kind.width_um * np.exp(rng.normal(0, kind.spread, len(x))) / 1.34
    keep = thin(points, width.astype(np.float32), rng.permutation(len(x)))
    cells = np.zeros(int(keep.sum()), dtype=SEED)
    cells["x"], cells["y"] = x[keep], y[keep]
    cells["angle"] = direction(plan, "sdf", cells["x"], cells["y"]) + rng.normal(
        0, 0.13, len(cells)
    )
    cells["along"] = 2.3 * half * np.exp(rng.normal(0, 0.08, len(cells)))
    cells["across"] = 1.9 * kind.width_um * np.exp(rng.normal(0, kind.spread / 2, len(cells)))
    return cells


def _polygonal(
    plan: Layout, number: int, kind: Compartment, rng: np.random.Generator, others: AnyArray
) -> AnyArray:
    low, width, height = extent(plan)
    points = poisson_points(rng, low, width, height, 0.72 * kind.cell_um)
    x, y = points.T
    depth = plan.at("sdf", x, y)
    keep = (plan.code_at("owner", x, y) == number) & (depth > 0.3 * kind.cell_um)
    keep &= depth < kind.height_um - 0.15 * kind.cell_um
    if len(others):
        # Fill only where columns do not reach: narrow necks and tips.
        gap, _ = spatial.cKDTree(np.stack([others["x"], others["y"]], axis=1)).query(points)
        keep &= gap > 0.62 * kind.height_um
    x, y = x[keep], y[keep]
    count = len(x)
    cells = np.zeros(count, dtype=SEED)
    cells["x"], cells["y"] = x, y
    size = 0.82 * kind.cell_um * np.exp(rng.normal(0, kind.spread, count))
    stretch = np.exp(np.abs(rng.normal(0, 0.14, count))) * np.sqrt(kind.stretch)
    turn = 0.5 if kind.stretch == 1 else 0.18
    cells["angle"] = direction(plan, "sdf", x, y) + rng.normal(0, turn, count)
    cells["along"], cells["across"] = size * stretch, size / stretch
    return cells


def give_nuclei(
    cells: AnyArray, columns: int, kind: Compartment, spec: FieldSpec, rng: np.random.Generator
) -> None:
    """Give each epithelial cell its nucleus; the first ``columns`` cells are columnar."""
    count, shape = len(cells), spec.morphology
    tall = np.arange(count) < columns
    radius = 0.5 * kind.nucleus_um * np.exp(rng.normal(0, kind.spread, count))
    # Nuclei of columns stand upright and are squeezed by their neighbours.
    stretch = np.where(
        tall, rng.uniform(1.2, 1.9, count), rng.uniform(1.0, 1.4, count) * kind.stretch**0.7
    )
    across = radius / np.sqrt(stretch)
    across = np.where(tall, np.minimum(across, 0.56 * kind.width_um), across)
    cells["nacross"] = across
    cells["nalong"] = np.minimum(radius**2 / across, 2.4 * across)
    # Depth of the nucleus within a column: basal in normal epithelium, in rows in tumour glands.
    low, high = (0.26, 0.38) if kind.group == 2 else (0.2, rng.uniform(0.4, 0.72))
    place = rng.uniform(low, high, count)
    shift = np.where(tall, (place - 0.5) * kind.height_um, 0.0)
    jitter = rng.normal(0, 1, (2, count)) * np.where(tall, 0.4, 0.08 * kind.cell_um)
    cells["nx"] = cells["x"] + shift * np.cos(cells["angle"]) + jitter[0]
    cells["ny"] = cells["y"] + shift * np.sin(cells["angle"]) + jitter[1]
    upright = tall | (kind.stretch > 1)
    turn = np.where(upright, rng.normal(0, 0.14, count), rng.uniform(0, np.pi, count))
    cells["nangle"] = cells["angle"] + turn
    cells["nucleus"] = rng.random(count) > shape.missing_nuclei
    cells["dense"] = rng.random(count) > (shape.vesicular if kind.group < 2 else 0.35)
    cells["nod"] = np.exp(rng.normal(0, 0.16, count)) * np.where(cells["dense"], 1.25, 1.0)
    cells["cyt"] = np.exp(rng.normal(0, 0.16, count))
    brown = (kind.group == 0) & (rng.random(count) < spec.staining.brown_nuclei)
    cells["nbrown"] = np.where(brown, rng.uniform(0.15, 0.9, count), 0.0)
    if kind.group == 0 and shape.smudged > 0:
        _smudge(cells, rng.random(count) < shape.smudged, rng)
    vacuole = rng.random(count) < shape.vacuolated
    cells["body"] = np.where(vacuole & ~tall, VACUOLE, LABELLED)


def _smudge(cells: AnyArray, dark: AnyArray, rng: np.random.Generator) -> None:
    """Turn some cells into dark, shrunken ones with a long, dense nucleus."""
    count = len(cells)
    cells["dense"] |= dark
    cells["nod"] *= np.where(dark, rng.uniform(1.3, 2.2, count), 1.0)
    cells["cyt"] *= np.where(dark, rng.uniform(1.2, 2.6, count), 1.0)
    cells["nacross"] *= np.where(dark, rng.uniform(0.45, 0.8, count), 1.0)


def myoepithelium(plan: Layout, number: int, rng: np.random.Generator) -> AnyArray:
    """Place flat nuclei along the outside of a compartment; parameters as :func:`epithelium`."""
    rows, columns = np.nonzero((plan.owner == number) & (np.abs(plan.sdf + 1.5) < 2.0))
    x, y = plan.cells_um(rows, columns)
    keep = thin(
        np.stack([x, y], axis=1), np.full(len(x), 13.0, np.float32), rng.permutation(len(x))
    )
    cells = loose_cells(x[keep], y[keep], STROMA, rng, size=2.6, stretch=2.4)
    cells["nangle"] = direction(plan, "sdf", cells["x"], cells["y"]) + np.pi / 2
    return cells
