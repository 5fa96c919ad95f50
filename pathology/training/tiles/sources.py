"""Synthetic tiles for a tile classifier, and the interface of whoever gives labelled tiles.

Synthetic tiles are cut side by side from synthetic fields and labelled by the truth of their cells,
so that a classifier can be trained, tested and given examples without tumour without any data.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from pathology.cells.table import CELL_CLASSES, PATTERNS
from pathology.scoring.tiles import NO_TUMOUR, TileOutputs
from pathology.synthesis import random_field_spec, render_field
from pathology.training.data.patches import Patch
from pathology.training.data.rendering import render_all
from pathology.training.data.sources import make_cache_folder
from pathology.training.data.states import generator_hash
from pathology.types import AnyArray

__all__ = ["SyntheticTiles", "TileSource", "label_tile", "render_missing"]

#: A tile with tumour, but with fewer of its cells per mm² than this, is left out: a tenth of packed
#: carcinoma, whose cells of 12 to 15 µm make 5,000 to 8,000 per mm².
MIN_CELLS_PER_MM2 = 500.0
#: The share of a tile's tumour cells that a pattern has to exceed to give the tile its score: that
#: of the breast guideline.
SCORE_CUTOFF_PCT = 10
_IN_SITU = CELL_CLASSES.index("in_situ")
#: Index of the score (0, 1+, 2+, 3+) that each pattern speaks for, weakest pattern first.
_SCORE_OF = (0, 1, 2, 2, 3)


def label_tile(
    cell_class: AnyArray, pattern: AnyArray, area_mm2: float, outputs: TileOutputs
) -> int | None:
    """Label a tile by the truth of the cells in it.

    Parameters
    ----------
    cell_class, pattern
        (n,) integers: class and pattern of each visible cell.
    area_mm2
        Area of the tile.
    outputs
        ``patterns``: the pattern that most tumour cells show, of equally frequent ones the
        stronger. ``scores``: the score of the strongest pattern that more than 10 % of the tumour
        cells reach.

    Returns
    -------
    int or None
        Index into ``TILE_CLASSES[outputs]``; None for a tile that is no clear example: with few
        tumour cells, or with more in-situ than invasive ones.

    Examples
    --------
    >>> classes, patterns = np.zeros(20, dtype=int), np.array([0] * 17 + [4] * 3)
    >>> [label_tile(classes, patterns, 0.01, outputs) for outputs in ("patterns", "scores")]
    [1, 4]
    >>> label_tile(classes[:0], patterns[:0], 0.01, "scores")
    0
    """
    tumour = cell_class == 0
    n = int(np.count_nonzero(tumour))
    if n == 0:
        return NO_TUMOUR
    if n < MIN_CELLS_PER_MM2 * area_mm2 or np.count_nonzero(cell_class == _IN_SITU) > n:
        return None
    counts = np.bincount(pattern[tumour], minlength=len(PATTERNS))
    if outputs == "patterns":
        strongest_first = counts[::-1]
        return 1 + len(PATTERNS) - 1 - int(np.argmax(strongest_first))
    reached = np.cumsum(counts[::-1])[::-1]
    passing = np.flatnonzero(100 * reached > SCORE_CUTOFF_PCT * n)
    return 1 + _SCORE_OF[int(passing.max(initial=0))]


class TileSource(Protocol):
    """Give labelled tiles by number; must be picklable."""

    @property
    def labels(self) -> Sequence[int]:
        """Index into the classes of each tile."""

    @property
    def groups(self) -> Sequence[str]:
        """Patient, slide or field of each tile."""

    def __len__(self) -> int:
        """Return the number of distinct tiles."""

    def patch(self, index: int) -> Patch:
        """Return one patch, always the same for the same number; its label is the class."""


@dataclass(frozen=True, kw_only=True)
class _Truth:
    """Hold a rendered field and what labels are made from."""

    rgb: AnyArray
    white: AnyArray
    x_px: AnyArray
    y_px: AnyArray
    cell_class: AnyArray
    pattern: AnyArray


@dataclass(frozen=True, kw_only=True)
class SyntheticTiles:
    """Cut tiles from synthetic fields.

    Parameters
    ----------
    fields, first
        Number of fields, and the seed of the first; the others follow.
    size_px
        Side of a field in pixels.
    tile_px
        Side of a tile in pixels; as many tiles as fit are cut from each field.
    mpp
        Pixel size, µm.
    outputs
        What labels are.
    cache
        Folder that keeps fields between runs; None keeps them in memory.

    Examples
    --------
    >>> tiles = SyntheticTiles(fields=1, first=0, size_px=128, tile_px=64, mpp=0.5,
    ...                        outputs="patterns", cache=None)
    >>> tiles.load()
    >>> tiles.patch(0).rgb.shape
    (64, 64, 3)
    """

    fields: int
    first: int
    size_px: int
    tile_px: int
    mpp: float
    outputs: TileOutputs
    cache: Path | None
    generator: str = field(default_factory=generator_hash)
    _tiles: list[tuple[int, int, int, int]] = field(default_factory=list)
    _kept: dict[int, _Truth] = field(default_factory=dict)

    @property
    def folder(self) -> Path | None:
        """Folder of the kept fields: one for each state of the generator."""
        if self.cache is None:
            return None
        return self.cache / f"tiles-{self.generator}-{self.size_px}-{self.mpp:g}"

    @property
    def labels(self) -> Sequence[int]:
        """Class of each tile."""
        return [label for _, _, _, label in self._tiles]

    @property
    def groups(self) -> Sequence[str]:
        """The field of each tile."""
        return [f"field {seed}" for seed, _, _, _ in self._tiles]

    def __len__(self) -> int:
        return len(self._tiles)

    def missing(self) -> list[int]:
        """Return the seeds of the fields that are to be kept on disk and are not there yet."""
        seeds = range(self.first, self.first + self.fields)
        paths = {seed: self._path(seed) for seed in seeds}
        return [seed for seed, path in paths.items() if path is not None and not path.is_file()]

    def load(self) -> None:
        """Render what is not there yet, and label all tiles.

        Raises
        ------
        OutputError
            If the folder of kept fields cannot be written.
        """
        if self._tiles:
            return
        self.make_folder()
        for seed in range(self.first, self.first + self.fields):
            self._tiles.extend(
                (seed, row, column, label)
                for row, column, label in self._label_field(self.field(seed))
            )

    def make_folder(self) -> None:
        """Make the folder of kept fields.

        Raises
        ------
        OutputError
            If it cannot be made.
        """
        make_cache_folder(self.folder)

    def field(self, seed: int) -> _Truth:
        """Return a field; renders and keeps it if it is not there yet."""
        path = self._path(seed)
        if path is None:
            if seed not in self._kept:
                self._kept[seed] = _render(seed, self.size_px, self.mpp)
            return self._kept[seed]
        kept = _read(path)
        if kept is None:
            kept = _render(seed, self.size_px, self.mpp)
            _write(kept, path)
        return kept

    def patch(self, index: int) -> Patch:
        """Return one tile."""
        seed, row, column, label = self._tiles[index]
        truth, side = self.field(seed), self.tile_px
        rows, columns = (
            slice(row * side, (row + 1) * side),
            slice(column * side, (column + 1) * side),
        )
        red, green, blue = (float(value) for value in truth.white)
        return Patch(
            rgb=np.ascontiguousarray(truth.rgb[rows, columns]),
            label=label,
            name=f"field {seed}, tile {row}, {column}",
            mpp=self.mpp,
            white=(red, green, blue),
        )

    def _path(self, seed: int) -> Path | None:
        return None if self.folder is None else self.folder / f"{seed:07d}.npz"

    def _label_field(self, truth: _Truth) -> Iterator[tuple[int, int, int]]:
        count, area_mm2 = self.size_px // self.tile_px, (self.tile_px * self.mpp) ** 2 * 1e-6
        row_of, column_of = (truth.y_px // self.tile_px, truth.x_px // self.tile_px)
        for row in range(count):
            for column in range(count):
                here = (row_of == row) & (column_of == column)
                label = label_tile(
                    truth.cell_class[here], truth.pattern[here], area_mm2, self.outputs
                )
                if label is not None:
                    yield row, column, label


def _render(seed: int, size_px: int, mpp: float) -> _Truth:
    spec = random_field_spec(np.random.default_rng(seed), size_px=size_px, mpp=mpp)
    made = render_field(spec, seed)
    cells = made.cells.take(made.cells.visible)
    return _Truth(
        rgb=made.rgb,
        white=np.asarray(made.white, dtype=np.float32),
        x_px=cells.x_px,
        y_px=cells.y_px,
        cell_class=cells.cell_class,
        pattern=cells.pattern,
    )


def _write(truth: _Truth, path: Path) -> None:
    temporary = path.with_suffix(f".{time.monotonic_ns()}.npz")
    np.savez(temporary, allow_pickle=False, **vars(truth))
    temporary.replace(path)


def _read(path: Path) -> _Truth | None:
    """Return a kept field; None where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return _Truth(**{name: stored[name] for name in stored.files})
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _render_one(job: tuple[SyntheticTiles, int]) -> None:
    source, seed = job
    source.field(seed)


def render_missing(
    sources: Sequence[SyntheticTiles],
    *,
    workers: int,
    tell: Callable[[int, int], None],
    until: float,
) -> bool:
    """Render the fields that are to be kept on disk; see ``Task.prepare``.

    Returns
    -------
    bool
        Whether all are there.
    """
    for source in sources:
        source.make_folder()
    jobs = [(source, seed) for source in sources for seed in source.missing()]
    return render_all(_render_one, jobs, workers=workers, tell=tell, until=until)
