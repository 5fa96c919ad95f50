"""Cells by place: a copy of what the viewer draws, sorted so that any view is a few slices.

The copy lies in ``DIR/review/cells/<slide_id>/`` as plain arrays that are mapped, not read. It says
which ``cells.parquet`` it was made from, can be deleted at any time, and is then made anew.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from pathology.cells.table import PATTERNS
from pathology.errors import OutputError, SlideError
from pathology.runs import read_cell_columns, read_cells
from pathology.types import AnyArray

__all__ = ["EVALUABLE", "HISTOGRAM_STEP", "CellIndex", "CellIndexes", "CellView", "build_index"]

#: Side of a bin in µm: a view at 20x spans some forty of them.
BIN_UM: Final = 64.0
#: Bits of ``kind``: class (0-2), pattern (3-5), whether the cell counts (6).
EVALUABLE: Final = 64
#: Width of a bar of the histogram of membrane OD, and their number; the last one is open.
HISTOGRAM_STEP: Final = 0.025
_HISTOGRAM_BARS: Final = 48
#: Cells that are drawn as outlines or as dots; more are drawn as density.
MAX_OUTLINES: Final = 6_000
MAX_DOTS: Final = 60_000
#: Squares of density at most.
MAX_SQUARES: Final = 20_000
_VERSION: Final = 1
_COLUMNS: Final = ("x_um", "y_um", "cell_class", "pattern", "membrane_od", "evaluable", "outline_r")


@dataclass(frozen=True, kw_only=True)
class CellView:
    """Hold the cells of a view, in one of three grains.

    Parameters
    ----------
    mode
        ``outlines``, ``dots`` or ``density``.
    total
        Cells in the view's bins.
    place
        (n, 2) float32: centres in µm; of density the top left of each square.
    kind
        (n,) uint8: class, pattern and whether the cell counts; none of density.
    cell_id
        (n,) uint32; only of outlines.
    outline_r
        (n, 32) uint8: radii in 0.2 µm; only of outlines.
    counts
        (n, 5) uint16: cells that count by pattern; only of density.
    square_um
        Side of a square of density, else 0.
    """

    mode: str
    total: int
    place: AnyArray
    kind: AnyArray
    cell_id: AnyArray
    outline_r: AnyArray
    counts: AnyArray
    square_um: float = 0.0


class CellIndex:
    """Answer which cells lie in a view.

    Parameters
    ----------
    folder
        What :func:`build_index` wrote.
    """

    def __init__(self, folder: Path) -> None:
        self.meta: dict[str, Any] = orjson.loads((folder / "meta.json").read_bytes())
        self._place = np.load(folder / "place.npy", mmap_mode="r")
        self._kind = np.load(folder / "kind.npy", mmap_mode="r")
        self._cell_id = np.load(folder / "cell_id.npy", mmap_mode="r")
        self._outline = np.load(folder / "outline.npy", mmap_mode="r")
        self._starts = np.load(folder / "starts.npy", mmap_mode="r")
        self._counts = np.load(folder / "counts.npy", mmap_mode="r")

    @property
    def n(self) -> int:
        """Number of cells."""
        return len(self._kind)

    def view(
        self, left: float, top: float, right: float, bottom: float, *, limit: int = MAX_OUTLINES
    ) -> CellView:
        """Return what to draw of the cells in a view.

        Parameters
        ----------
        left, top, right, bottom
            In µm from the top left of level 0.
        limit
            Outlines at most; at most :data:`MAX_OUTLINES`.

        Returns
        -------
        CellView
            Outlines up to ``limit``, dots up to :data:`MAX_DOTS`, else density.
        """
        rows, columns = self._counts.shape[:2]
        r0, r1 = _bins(top, bottom, self.meta["top"], rows)
        c0, c1 = _bins(left, right, self.meta["left"], columns)
        runs = [
            (int(self._starts[row * columns + c0]), int(self._starts[row * columns + c1]))
            for row in range(r0, r1)
        ]
        total = sum(end - start for start, end in runs)
        if total > MAX_DOTS:
            return self._density(r0, r1, c0, c1, total)
        where = np.concatenate(
            [np.arange(start, end) for start, end in runs] or [np.zeros(0, dtype=np.int64)]
        )
        place = np.asarray(self._place[where])
        # A cell whose centre lies just outside still reaches into the view.
        reach = 15.0
        seen = (place[:, 0] >= left - reach) & (place[:, 0] < right + reach)
        seen &= (place[:, 1] >= top - reach) & (place[:, 1] < bottom + reach)
        where, place = where[seen], place[seen]
        outlines = len(where) <= min(limit, MAX_OUTLINES)
        kept = where if outlines else where[:0]
        return CellView(
            mode="outlines" if outlines else "dots",
            total=total,
            place=place,
            kind=np.asarray(self._kind[where]),
            cell_id=np.asarray(self._cell_id[kept]),
            outline_r=np.asarray(self._outline[kept]),
            counts=np.zeros((0, len(PATTERNS)), dtype=np.uint16),
        )

    def _density(self, r0: int, r1: int, c0: int, c1: int, total: int) -> CellView:
        part = np.asarray(self._counts[r0:r1, c0:c1]).astype(np.uint32)
        factor = 1
        while -(-part.shape[0] // factor) * -(-part.shape[1] // factor) > MAX_SQUARES:
            factor *= 2
        pooled = _pool(part, factor)
        rows, columns = np.nonzero(pooled.sum(axis=2))
        side = BIN_UM * factor
        place = np.stack(
            [
                self.meta["left"] + c0 * BIN_UM + columns * side,
                self.meta["top"] + r0 * BIN_UM + rows * side,
            ],
            axis=1,
        ).astype(np.float32)
        empty = np.zeros(0, dtype=np.uint8)
        return CellView(
            mode="density",
            total=total,
            place=place,
            kind=empty,
            cell_id=empty.astype(np.uint32),
            outline_r=np.zeros((0, 32), dtype=np.uint8),
            counts=np.minimum(pooled[rows, columns], 65_535).astype(np.uint16),
            square_um=side,
        )


class CellIndexes:
    """Keep the indexes of a run, and make those that are missing or out of date.

    Parameters
    ----------
    root
        Folder for the copies, below the run folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._known: dict[str, tuple[tuple[int, int], CellIndex]] = {}
        self._building: dict[str, threading.Lock] = {}

    def get(self, slide_id: str, cells: Path) -> CellIndex:
        """Return the index of a slide.

        Raises
        ------
        SlideError
            If ``cells.parquet`` is missing or damaged.
        OutputError
            If the copy cannot be written.
        """
        stamp = _stamp(cells)
        with self._lock:
            known = self._known.get(slide_id)
            if known is not None and known[0] == stamp:
                return known[1]
            building = self._building.setdefault(slide_id, threading.Lock())
        with building:
            folder = self._root / slide_id
            index = _load(folder, stamp)
            if index is None:
                build_index(cells, folder)
                index = CellIndex(folder)
            with self._lock:
                self._known[slide_id] = (stamp, index)
        return index


def build_index(cells: Path, folder: Path) -> None:
    """Write the copy of a slide's cells that views are answered from.

    Parameters
    ----------
    cells
        ``cells.parquet``.
    folder
        Replaced as a whole; its parent is made.

    Raises
    ------
    SlideError
        If ``cells.parquet`` is missing or damaged.
    OutputError
        If the copy cannot be written.
    """
    stamp = _stamp(cells)
    tables = _read(cells)
    joined = {name: _join(tables, name) for name in _COLUMNS}
    arrays, meta = _sorted(joined)
    meta |= {"stamp": list(stamp), "version": _VERSION}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
        try:
            for name, array in arrays.items():
                np.save(fresh / f"{name}.npy", array, allow_pickle=False)
            (fresh / "meta.json").write_bytes(orjson.dumps(meta))
            shutil.rmtree(folder, ignore_errors=True)
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: the copy of the cells cannot be written ({error.strerror or error})",
            fix="Free some space, or make the run folder writable.",
        ) from error


def _read(cells: Path) -> list[dict[str, AnyArray]]:
    """Read the columns; in tables of the first version every tumour cell counts."""
    try:
        return list(read_cell_columns(cells, _COLUMNS))
    except SlideError:
        names = _COLUMNS[:-2]
        return [
            {name: getattr(table, name) for name in (*names, "outline_r")}
            | {"evaluable": table.is_tumour}
            for table in read_cells(cells)
        ]


def _sorted(columns: dict[str, AnyArray]) -> tuple[dict[str, AnyArray], dict[str, Any]]:
    """Sort cells by bin, and count them by bin and pattern."""
    x, y = columns["x_um"].astype(np.float32), columns["y_um"].astype(np.float32)
    n = len(x)
    left = float(np.floor(x.min() / BIN_UM) * BIN_UM) if n else 0.0
    top = float(np.floor(y.min() / BIN_UM) * BIN_UM) if n else 0.0
    column = ((x - left) / BIN_UM).astype(np.int64)
    row = ((y - top) / BIN_UM).astype(np.int64)
    wide, high = (int(column.max()) + 1, int(row.max()) + 1) if n else (1, 1)
    bins = row * wide + column
    order = np.argsort(bins, kind="stable")
    counts_of = columns["evaluable"]
    counts = np.zeros((high * wide, len(PATTERNS)), dtype=np.int64)
    np.add.at(counts, (bins[counts_of], columns["pattern"][counts_of]), 1)
    kind = columns["cell_class"] | (columns["pattern"] << 3) | (counts_of * np.uint8(EVALUABLE))
    bars = np.minimum(
        (columns["membrane_od"][counts_of] / HISTOGRAM_STEP).astype(np.int64), _HISTOGRAM_BARS - 1
    )
    histogram = np.zeros((_HISTOGRAM_BARS, len(PATTERNS)), dtype=np.int64)
    np.add.at(histogram, (np.maximum(bars, 0), columns["pattern"][counts_of]), 1)
    arrays = {
        "place": np.stack([x, y], axis=1)[order],
        "kind": kind.astype(np.uint8)[order],
        "cell_id": order.astype(np.uint32),
        "outline": columns["outline_r"][order],
        "starts": np.concatenate([[0], np.cumsum(np.bincount(bins, minlength=high * wide))]),
        "counts": counts.reshape(high, wide, len(PATTERNS)).astype(np.uint32),
    }
    return arrays, {"left": left, "top": top, "histogram": histogram.tolist(), "cells": n}


def _join(tables: list[dict[str, AnyArray]], name: str) -> AnyArray:
    if tables:
        return np.concatenate([table[name] for table in tables])
    if name == "outline_r":
        return np.zeros((0, 32), dtype=np.uint8)
    kinds = {"evaluable": np.bool_, "cell_class": np.uint8, "pattern": np.uint8}
    return np.zeros(0, dtype=kinds.get(name, np.float32))


def _pool(counts: AnyArray, factor: int) -> AnyArray:
    if factor == 1:
        return counts
    high, wide = counts.shape[:2]
    padded = np.pad(counts, ((0, -high % factor), (0, -wide % factor), (0, 0)))
    shape = (padded.shape[0] // factor, factor, padded.shape[1] // factor, factor, -1)
    return np.asarray(padded.reshape(shape).sum(axis=(1, 3)))


def _bins(low: float, high: float, origin: float, count: int) -> tuple[int, int]:
    """Return first and end of the bins that a stretch touches, with a cell's reach around it."""
    reach = 15.0
    first = int((low - reach - origin) // BIN_UM)
    end = int((high + reach - origin) // BIN_UM) + 1
    first = min(max(first, 0), count)
    return first, max(first, min(end, count))


def _stamp(cells: Path) -> tuple[int, int]:
    try:
        status = cells.stat()
    except OSError:
        return (0, 0)  # the reader says what is wrong with it
    return status.st_size, status.st_mtime_ns


def _load(folder: Path, stamp: tuple[int, int]) -> CellIndex | None:
    """Open a copy, None where there is none, or one of another file or version."""
    try:
        index = CellIndex(folder)
    except (OSError, ValueError, KeyError):
        return None
    fits = index.meta.get("stamp") == list(stamp) and index.meta.get("version") == _VERSION
    return index if fits else None
