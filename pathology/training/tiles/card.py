"""What was measured of a tile classifier, and the card that says it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathology.inference.manifest import TileManifest
from pathology.scoring.tiles import NO_TUMOUR
from pathology.training.evidence.figures import Metric
from pathology.types import AnyArray, IntArray

__all__ = [
    "TileReading",
    "confusion_by_group",
    "macro_f1",
    "measure_tiles",
    "render_tile_card",
    "tile_figures",
]

#: Replicates of the bootstrap over groups.
REPLICATES = 1000


@dataclass(frozen=True, kw_only=True)
class TileReading:
    """Hold what was said of tiles whose class is known.

    Parameters
    ----------
    classes
        Names of the classes.
    groups
        Patient, slide or field of each tile: tiles of one are alike.
    truth, found
        (n,) int64: index into ``classes``.

    Raises
    ------
    ValueError
        If lengths differ.
    """

    classes: tuple[str, ...]
    groups: tuple[str, ...]
    truth: IntArray
    found: IntArray

    def __post_init__(self) -> None:
        if not len(self.groups) == len(self.truth) == len(self.found):
            raise ValueError("groups, truth and found must have one length")


def confusion_by_group(reading: TileReading) -> IntArray:
    """Count tiles by group, true class and found class.

    Returns
    -------
    numpy.ndarray
        (groups, k, k) int64; groups in the order of their names.
    """
    _, number = np.unique(np.array(reading.groups, dtype=np.str_), return_inverse=True)
    k, n = len(reading.classes), int(number.max(initial=-1)) + 1
    flat = (number * k + reading.truth) * k + reading.found
    return np.bincount(flat, minlength=n * k * k).reshape(n, k, k).astype(np.int64)


def macro_f1(confusion: AnyArray) -> AnyArray:
    """Return the mean F1 over the classes that occur, of one or many confusion matrices.

    Parameters
    ----------
    confusion
        (..., k, k): rows are the truth, columns what was found.

    Returns
    -------
    numpy.ndarray
        (...,) float64; a class that is neither true nor found anywhere plays no part.

    Examples
    --------
    >>> float(macro_f1(np.array([[8, 2], [0, 10]])).round(3))
    0.899
    """
    confusion = np.asarray(confusion, dtype=np.float64)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    both = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    f1 = np.divide(2 * hits, both, out=np.full_like(both, np.nan), where=both > 0)
    known = np.isfinite(f1)
    total = np.where(known, f1, 0.0).sum(axis=-1)
    return np.asarray(total / np.maximum(known.sum(axis=-1), 1))


def tile_figures(reading: TileReading) -> dict[str, float]:
    """Return the figures of a reading.

    Parameters
    ----------
    reading
        At least one tile.

    Returns
    -------
    dict of str to float
        ``macro_f1``, ``accuracy`` and ``tumour_f1`` (tumour of any class against none).

    Examples
    --------
    >>> reading = TileReading(classes=("no_tumour", "0", "1+"), groups=("a", "a", "b"),
    ...                       truth=np.array([0, 1, 2]), found=np.array([0, 1, 1]))
    >>> found = tile_figures(reading)
    >>> round(found["macro_f1"], 3), round(found["accuracy"], 3), found["tumour_f1"]
    (0.556, 0.667, 1.0)
    """
    total = confusion_by_group(reading).sum(axis=0)
    return {name: float(value) for name, value in _figures(total).items()}


def measure_tiles(reading: TileReading, *, seed: int = 0) -> dict[str, Metric]:
    """Return the figures with intervals.

    Parameters
    ----------
    reading
        At least one tile.
    seed
        Seed of the bootstrap over groups.

    Returns
    -------
    dict of str to Metric
        The same figures, with 95 % percentile intervals over groups drawn with replacement.
    """
    tallies = confusion_by_group(reading)
    n = len(tallies)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=REPLICATES)
    replicates = _figures(np.einsum("rg,gij->rij", drawn, tallies))
    whole = _figures(tallies.sum(axis=0))
    return {
        name: Metric(
            value=float(whole[name]),
            low=float(np.quantile(values, 0.025)),
            high=float(np.quantile(values, 0.975)),
            n=len(reading.truth),
        )
        for name, values in replicates.items()
    }


def _figures(confusion: AnyArray) -> dict[str, AnyArray]:
    total = confusion.sum(axis=(-2, -1))
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).sum(axis=-1)
    tumour = slice(NO_TUMOUR + 1, None)
    both = confusion[..., tumour, tumour].sum(axis=(-2, -1))
    either = confusion[..., tumour, :].sum(axis=(-2, -1)) + confusion[..., :, tumour].sum(
        axis=(-2, -1)
    )
    return {
        "macro_f1": macro_f1(confusion),
        "accuracy": hits / np.maximum(total, 1),
        "tumour_f1": np.where(either > 0, 2 * both / np.maximum(either, 1), 1.0),
    }


_NAMES = {
    "macro_f1": "Classes: macro-F1",
    "accuracy": "Classes: accuracy",
    "tumour_f1": "Tumour against none: F1",
}
_TEMPLATE = """# {title}

**Research use only.** {intended_use}

## What it does

It calls each tile of {tile_px} px at {mpp:g} µm per pixel ({side:.0f} µm) one of: {classes}. Tiles
of tumour are then counted by the rules of the guideline, in the place of cells; every result says
so (flag `tile_model`).

## Data

{data}. Settings and their hash are in `model.yaml`.

## Measured

On {n_tiles:,} held-out tiles (95 % intervals: bootstrap over fields or patients). On synthetic
tiles these figures prove that the code learns what the generator draws.
**They are not clinical validity.**

| figure | value | 95 % interval | n tiles |
|---|---|---|---|
{rows}

## Known limits

- A tile has the name of what prevails in it: a mixture within a tile is lost, and a null cannot be
  claimed.
- It learns how tiles of its training look, stain strength of the laboratory included: cut-offs
  cannot be set afterwards, as they can for cell models.
- In-situ carcinoma is only told apart where it was labelled `no_tumour` in training: annotate it.
"""


def render_tile_card(manifest: TileManifest, metrics: dict[str, Metric], *, n_tiles: int) -> str:
    """Write the text of ``MODEL_CARD.md``.

    Parameters
    ----------
    manifest
        The bundle's manifest.
    metrics
        What :func:`measure_tiles` gave.
    n_tiles
        Held-out tiles.
    """
    rows = [
        f"| {_NAMES[name]} | {metric.value:.3f} | {metric.low:.3f} to {metric.high:.3f} | "
        f"{metric.n:,} |"
        for name, metric in metrics.items()
    ]
    data = str(manifest.training.get("data", "not recorded"))
    return _TEMPLATE.format(
        title=manifest.title,
        intended_use=manifest.intended_use,
        tile_px=manifest.input.tile_px,
        mpp=manifest.input.mpp,
        side=manifest.input.tile_px * manifest.input.mpp,
        classes=", ".join(f"`{name}`" for name in manifest.classes),
        data=data[:1].upper() + data[1:],
        n_tiles=n_tiles,
        rows="\n".join(rows),
    )
