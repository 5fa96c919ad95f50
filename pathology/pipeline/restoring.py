"""Gather from stored tables what the tiles of a slide gave: no slide is opened, no model is loaded.

What comes out is what reading the slide again would have gathered, bit by bit, as far as stored
values go: classes are worked out from stored densities, places from the stored map of tissue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from pathology.cells.classify import MembraneClass, classify
from pathology.cells.gains import off_scale_kinds
from pathology.cells.table import PATTERNS
from pathology.config import Config
from pathology.pipeline.areas import evaluable_area
from pathology.pipeline.classifying import ClassifiedTiles, counted_as, judge_tiles
from pathology.pipeline.counting import (
    IN_SITU,
    TUMOUR,
    judge_cells,
    look_around,
    sum_tiles,
)
from pathology.pipeline.gathered import EVIDENCE_COLUMNS, TileReading
from pathology.runs import TileRow, read_cell_columns
from pathology.tissue import Regions, TissueFinding, TissueMask
from pathology.types import AnyArray, BoolArray, U8Array

__all__ = ["Restored", "Task", "restore_cells", "restore_tiles"]

#: Class of cells that a higher ``cells.tumour_min`` takes out of the tumour: which of the other
#: classes they are is not stored.
_OTHER = 5
_MEMBRANE = tuple(item.name for item in fields(MembraneClass))
#: Columns of the cells that count, and of all cells where their neighbours are asked for.
_COUNTED = (*EVIDENCE_COLUMNS, "area_um2", "tile_id")
_EVERYONE = ("tile_id", "x_um", "y_um", "evaluable", "tumour_probability")


@dataclass(frozen=True, kw_only=True)
class Task:
    """Say what has to be worked out again.

    Parameters
    ----------
    classes
        Membrane classes: a cut-off has changed.
    places
        Which cells or tiles count: regions, or the probability of tumour, have changed.
    groups
        Whether tumour shows itself: any of these, or the limits of groups have changed.
    """

    classes: bool
    places: bool
    groups: bool


@dataclass(frozen=True, kw_only=True)
class Restored:
    """Hold what stored tables give.

    Parameters
    ----------
    reading
        As if the tiles had been read.
    columns
        Columns of ``cells.parquet`` that may differ from the stored ones, for all cells.
    demoted
        Cells that are no tumour any more and whose other class is not known.
    """

    reading: TileReading
    columns: Mapping[str, AnyArray]
    demoted: int = 0


def restore_cells(
    path: Path,
    rows: list[TileRow],
    finding: TissueFinding,
    regions: Regions | None,
    *,
    before: Config,
    config: Config,
    task: Task,
) -> Restored:
    """Gather what a cell model found.

    Parameters
    ----------
    path
        ``cells.parquet``; only the columns that the task needs are read, in row groups.
    rows
        The tiles, with tissue and focus as they are to be.
    finding
        Tissue and what was left out, with drawn tumour.
    regions
        Annotated regions, or None.
    before, config
        The configuration that the tables are of, and the one to use.
    task
        What has to be worked out again.

    Raises
    ------
    SlideError
        If the table is missing, damaged, or of a version that does not say which cells counted.
    """
    spacing, area = finding.tissue.spacing, evaluable_area(finding)
    drawn = regions is not None and regions.has_tumour
    reading = TileReading(spacing=spacing, tumour_drawn=drawn)
    counted, everyone = _Pile(_COUNTED), _Pile(_EVERYONE if task.groups and not drawn else ())
    changed = _Pile(_rewritten(task))
    demoted = 0
    if any(row.status == "ok" for row in rows):
        reading.add_classes(np.zeros(0, dtype=np.uint8))
    for cells in _ahead(read_cell_columns(path, _needed(task))):
        if task.classes:
            membrane = classify(cells["ray_od"], cells["cytoplasm_od"], config.measurement)
            cells |= {name: getattr(membrane, name) for name in _MEMBRANE}
        if task.places:
            known = _model_classes(cells, before, config)
            demoted += int(np.count_nonzero((known == _OTHER) & (cells["cell_class"] != _OTHER)))
            cells["cell_class"], cells["evaluable"] = judge_cells(
                cells["x_um"], cells["y_um"], known, area=area, regions=regions, spacing=spacing
            )
        reading.add_classes(cells["cell_class"])
        changed.add(cells)
        everyone.add(cells)
        counts = cells["evaluable"]
        rays, cytoplasm = cells["ray_od"][counts], cells["cytoplasm_od"][counts]
        reading.add_off_scale(off_scale_kinds(rays, cytoplasm, config))
        counted.add(cells, rows=counts)
    if everyone.names:
        _count_groups(reading, everyone.joined(), area, config)
    reading.rows = _count_cells(reading, rows, counted.joined())
    return Restored(reading=reading, columns=changed.joined(), demoted=demoted)


def restore_tiles(
    rows: list[TileRow],
    finding: TissueFinding,
    regions: Regions | None,
    *,
    like: ClassifiedTiles,
    task: Task,
) -> Restored:
    """Gather what a tile classifier said.

    Parameters
    ----------
    rows
        The tiles, with tissue and focus as they are to be.
    finding, regions, task
        As in :func:`restore_cells`.
    like
        What is known beside the tiles; taken over, and filled.
    """
    like.tumour_drawn = regions is not None and regions.has_tumour
    like.rows = list(rows)
    if not task.places:
        return Restored(reading=like, columns={})
    read = [k for k, row in enumerate(rows) if row.status == "ok"]
    counts, in_situ = judge_tiles(
        [rows[k].core for k in read], finding.tissue, evaluable_area(finding), regions
    )
    like.n_in_situ = 0
    for k, counting, excluded in zip(read, counts.tolist(), in_situ.tolist(), strict=True):
        called = rows[k].called
        pattern = PATTERNS.index(called) if called in PATTERNS else -1
        like.rows[k] = replace(rows[k], **counted_as(pattern, counting=counting))
        like.n_in_situ += int(excluded and pattern >= 0)
    return Restored(reading=like, columns={})


class _Pile:
    """Collect some columns of row groups, in order."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._parts: dict[str, list[AnyArray]] = {name: [] for name in names}

    def add(self, cells: Mapping[str, AnyArray], *, rows: BoolArray | None = None) -> None:
        for name, parts in self._parts.items():
            parts.append(cells[name] if rows is None else cells[name][rows])

    def joined(self) -> dict[str, AnyArray]:
        """Return the columns; nothing where there was no row group."""
        return {name: np.concatenate(parts) for name, parts in self._parts.items() if parts}


def _needed(task: Task) -> tuple[str, ...]:
    """Name the stored columns that a task looks at."""
    # Rays are classed again even where nothing changes: at other gains, for the uncertainty.
    names = {*_COUNTED, "cell_class", "evaluable", "ray_od", "cytoplasm_od"}
    if task.classes:
        names -= set(_MEMBRANE)
    if task.places or task.groups:
        names |= {"tumour_probability"}
    return tuple(sorted(names))


def _rewritten(task: Task) -> tuple[str, ...]:
    """Name the columns that a task changes, and what it has at hand and need not read again."""
    places = ("cell_class", "evaluable") if task.places else ()
    return (*((*_MEMBRANE, "ray_od") if task.classes else ()), *places)


def _ahead(groups: Iterator[dict[str, AnyArray]]) -> Iterator[dict[str, AnyArray]]:
    """Read the next row group while one is worked on."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = pool.submit(next, groups, None)
        while (cells := waiting.result()) is not None:
            waiting = pool.submit(next, groups, None)
            yield cells


def _model_classes(cells: Mapping[str, AnyArray], before: Config, config: Config) -> U8Array:
    """Return the classes that the model gave, by the probability of tumour that is asked for now.

    Annotated in-situ carcinoma made tumour cells in situ: they are known by their probability.
    """
    stored, probability = cells["cell_class"], cells["tumour_probability"]
    old, new = (np.float32(item.cells.tumour_min) for item in (before, config))
    was = (stored == TUMOUR) | ((stored == IN_SITU) & (probability >= old))
    known = np.where(was, np.uint8(TUMOUR), stored)
    if new > old:
        return np.where(was & (probability < new), np.uint8(_OTHER), known)
    return np.where(probability >= new, np.uint8(TUMOUR), known) if new < old else known


def _count_groups(
    reading: TileReading, cells: Mapping[str, AnyArray], area: TissueMask, config: Config
) -> None:
    """Look around in every tile, as reading does: neighbours in other tiles play no part."""
    tiles = cells["tile_id"] if cells else np.zeros(0, dtype=np.int64)
    edges = [*np.flatnonzero(np.diff(tiles, prepend=-1)).tolist(), len(tiles)]

    def look(k: int) -> tuple[int, int, int]:
        part = slice(edges[k], edges[k + 1])
        return look_around(
            cells["x_um"][part],
            cells["y_um"][part],
            cells["evaluable"][part],
            cells["tumour_probability"][part],
            area=area,
            spacing=reading.spacing,
            params=config.scoring,
        )

    with ThreadPoolExecutor(max_workers=2) as pool:
        found = list(pool.map(look, range(len(edges) - 1)))
    for around in found:
        reading.add_around(*around)


def _count_cells(
    reading: TileReading, rows: list[TileRow], cells: Mapping[str, AnyArray]
) -> list[TileRow]:
    """Add up the cells that count, and return the tiles with their new counts."""
    read = [row for row in rows if row.status == "ok"]
    ids = np.array([row.tile_id for row in read], dtype=np.int64)
    if not cells:
        return list(rows)
    index = np.searchsorted(ids, cells["tile_id"])
    sums = sum_tiles(
        index,
        len(ids),
        **{name: cells[name] for name in ("intensity", "complete", "membrane_od", "area_um2")},
    )
    reading.add_evaluable(cells, sums)
    fresh = {row.tile_id: replace(row, **sums.columns(k)) for k, row in enumerate(read)}
    return [fresh.get(row.tile_id, row) for row in rows]
