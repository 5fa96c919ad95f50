"""Take all tiles of a slide to a model of either kind; for a tile classifier, count whole tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pathology.cells.reader import AnyReader, TileCalls, TileClassifier
from pathology.cells.table import PATTERNS
from pathology.config import Config
from pathology.errors import ReasonCode
from pathology.geometry import Box0, Spacing
from pathology.pipeline.areas import evaluable_area, inside
from pathology.pipeline.gathered import TileReading
from pathology.pipeline.intake import tile_row
from pathology.pipeline.reading import read_all_tiles, walk_tiles
from pathology.runs import CellWriter, TileRow
from pathology.scoring import (
    TILE_CLASSES,
    ContinuousScores,
    SlideScore,
    TileEvidence,
    TileOutputs,
    count_tiles,
    score_tiles,
    tile_patterns,
    tile_score,
)
from pathology.tiling import TileBatch, TileGrid
from pathology.timing import Stopwatch
from pathology.tissue import RegionKind, Regions, TissueFinding, TissueMask
from pathology.types import BoolArray
from pathology.wsi.slide import Slide

__all__ = [
    "ClassifiedTiles",
    "classify_all_tiles",
    "counted_as",
    "judge_tiles",
    "take_all_tiles",
    "tile_evidence",
]

#: Points per side of the lattice on which tissue and regions are looked up in a tile.
_LATTICE = 8
#: A tile counts where tissue that may count covers at least this share of it: with less, it is a
#: picture of glass, unlike the patches that such models learn from.
MIN_EVALUABLE_SHARE = 0.25
#: A tile is in situ where annotated in-situ carcinoma covers more than this share of its tissue. A
#: tile has one name for all that it shows, and intense staining is common in DCIS, so in-situ
#: tissue must not lend it a name; up to a tenth is the outline's own inaccuracy.
MAX_IN_SITU_SHARE = 0.1


@dataclass(kw_only=True)
class ClassifiedTiles(TileReading):
    """Gather what a tile classifier said of the tiles of one slide.

    Parameters
    ----------
    side_um
        Longer side of a tile in µm.
    outputs
        What the classifier puts out.
    """

    side_um: float
    outputs: TileOutputs

    def continuous(self, config: Config) -> ContinuousScores:
        """Return nothing: a tile classifier measures no membrane."""
        del config
        return ContinuousScores()

    def score(
        self, config: Config, refusals: Sequence[ReasonCode], *, specimen_type: str = ""
    ) -> SlideScore:
        """Score the slide by the guideline, on counts of tiles; it has one kind of specimen."""
        del specimen_type
        evidence = tile_evidence(
            self.rows,
            self.spacing,
            side_um=self.side_um,
            outputs=self.outputs,
            n_in_situ_excluded=self.n_in_situ,
            tumour_drawn=self.tumour_drawn,
        )
        return score_tiles(evidence, config.scoring, refusals=refusals)

    @property
    def tumour_mm2(self) -> float:
        """Tissue of the tumour tiles that count, in mm²."""
        return sum(self._tissue_mm2(row) for row in self.rows if row.n_tumour_cells)


def tile_evidence(
    rows: Iterable[TileRow],
    spacing: Spacing,
    *,
    side_um: float,
    outputs: TileOutputs,
    n_in_situ_excluded: int = 0,
    tumour_drawn: bool = False,
) -> TileEvidence:
    """Turn the rows of ``tiles.parquet`` into what the rules look at.

    Parameters
    ----------
    rows
        All tiles that were taken up.
    spacing
        Size of a level-0 pixel in µm.
    side_um, outputs, n_in_situ_excluded, tumour_drawn
        As in :class:`~pathology.scoring.tiles.TileEvidence`.

    Examples
    --------
    >>> row = TileRow(tile_id=0, x_px=0, y_px=0, width_px=256, height_px=256, status="ok",
    ...               tissue_fraction=1.0, n_cells=1, n_tumour_cells=1, n_complete_intense=1)
    >>> found = tile_evidence([row], Spacing(x=0.5, y=0.5), side_um=128.0, outputs="patterns")
    >>> found.x_um.tolist(), found.pattern.tolist()
    ([64.0], [4])
    """
    tiles = list(rows)
    tumour = [row for row in tiles if row.n_tumour_cells]
    pattern = [[getattr(row, f"n_{name}") for name in PATTERNS].index(1) for row in tumour]
    x = [(row.x_px + row.width_px / 2) * spacing.x for row in tumour]
    y = [(row.y_px + row.height_px / 2) * spacing.y for row in tumour]
    n_failed = sum(row.status == "failed" for row in tiles)
    return TileEvidence(
        x_um=np.array(x, dtype=np.float32),
        y_um=np.array(y, dtype=np.float32),
        pattern=np.array(pattern, dtype=np.uint8),
        side_um=side_um,
        n_read=len(tiles) - n_failed,
        n_failed=n_failed,
        n_in_situ_excluded=n_in_situ_excluded,
        outputs=outputs,
        tumour_drawn=tumour_drawn,
    )


def take_all_tiles(
    slide: Slide,
    finding: TissueFinding,
    grid: TileGrid,
    reader: AnyReader,
    writer: CellWriter,
    *,
    regions: Regions | None,
    config: Config,
    advance: Callable[[float, float], None],
    watch: Stopwatch | None = None,
) -> TileReading:
    """Read every tile with enough tissue with a model of either kind.

    Parameters
    ----------
    slide, finding, grid, regions, config, advance, watch
        As in :func:`~pathology.pipeline.reading.read_all_tiles`.
    reader
        What finds cells, or classifies tiles.
    writer
        Takes the cells; of a tile classifier there are none.

    Returns
    -------
    TileReading
        Rows, counts, and what the score needs.
    """
    if isinstance(reader, TileClassifier):
        return classify_all_tiles(
            slide,
            finding,
            grid,
            reader,
            regions=regions,
            config=config,
            advance=advance,
            watch=watch,
        )
    return read_all_tiles(
        slide, finding, grid, reader, writer,
        regions=regions, config=config, advance=advance, watch=watch,
    )  # fmt: skip


def classify_all_tiles(
    slide: Slide,
    finding: TissueFinding,
    grid: TileGrid,
    reader: TileClassifier,
    *,
    regions: Regions | None,
    config: Config,
    advance: Callable[[float, float], None],
    watch: Stopwatch | None = None,
) -> ClassifiedTiles:
    """Classify every tile with enough tissue, in grid order.

    Parameters
    ----------
    slide, finding, grid, regions, config, advance, watch
        As in :func:`~pathology.pipeline.reading.read_all_tiles`.
    reader
        What classifies the tiles.

    Returns
    -------
    ClassifiedTiles
        In its rows, ``n_cells`` is 1 for every tile that was classified; ``n_tumour_cells`` and one
        of the patterns are 1 where it holds tumour that counts.
    """
    side_px = max(grid.core_width * grid.spacing.x, grid.core_height * grid.spacing.y)
    reading = ClassifiedTiles(
        spacing=grid.spacing,
        side_um=side_px,
        outputs=reader.outputs,
        tumour_drawn=regions is not None and regions.has_tumour,
        watch=watch or Stopwatch(),
    )
    intake = _CallIntake(
        reading=reading,
        finding=finding,
        area=evaluable_area(finding),
        regions=regions,
        config=config,
    )
    walk_tiles(
        slide, finding, grid, reader, reading, reader.classify, intake,
        config=config, advance=advance,
    )  # fmt: skip
    return reading


@dataclass(frozen=True, kw_only=True)
class _JudgedCalls:
    """Hold what the tiles of a batch were called, and what follows."""

    names: Sequence[str]
    n_in_situ: int
    rows: Sequence[TileRow]


@dataclass(frozen=True, kw_only=True)
class _CallIntake:
    """Take up what the tiles of one slide were called."""

    reading: ClassifiedTiles
    finding: TissueFinding
    area: TissueMask
    regions: Regions | None
    config: Config

    def judge(self, batch: TileBatch, calls: TileCalls, /) -> _JudgedCalls:
        """Judge the tiles of a batch; nothing of the slide changes."""
        outputs = self.reading.outputs
        codes = calls.codes(tumour_min=self.config.cells.tumour_min)
        patterns = tile_patterns(codes, outputs)
        cores = [tile.core for tile in batch.tiles]
        counts, in_situ = judge_tiles(cores, self.finding.tissue, self.area, self.regions)
        called = zip(batch.tiles, patterns.tolist(), counts.tolist(), strict=True)
        return _JudgedCalls(
            names=[TILE_CLASSES[outputs][code] for code in codes.tolist()],
            n_in_situ=int(np.count_nonzero((patterns >= 0) & in_situ)),
            rows=[
                tile_row(tile, status="ok", n_cells=1, **counted_as(pattern, counting=counting))
                for tile, pattern, counting in called
            ],
        )

    def take(self, judged: _JudgedCalls, /) -> Sequence[TileRow]:
        """Add them to the slide."""
        self.reading.class_counts.update(judged.names)
        self.reading.n_in_situ += judged.n_in_situ
        return judged.rows


def judge_tiles(
    cores: Sequence[Box0], tissue: TissueMask, area: TissueMask, regions: Regions | None
) -> tuple[BoolArray, BoolArray]:
    """Tell which tiles may count as tumour, and which lie in annotated in-situ carcinoma.

    A tile may count where tissue that may count covers a quarter of it, and half of its tissue, and
    in-situ carcinoma at most a tenth of its tissue. No tile is both.

    Parameters
    ----------
    cores
        The tiles, level-0 pixels.
    tissue
        Where tissue is.
    area
        Where tumour may count.
    regions
        Annotated regions, or None.

    Returns
    -------
    tuple of numpy.ndarray
        Two (n,) bool.
    """
    if not cores:
        return np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.bool_)
    x, y = _points(cores, "x"), _points(cores, "y")
    shape = (len(cores), _LATTICE * _LATTICE)
    counts = inside(area, x, y)
    in_situ = np.zeros(len(x), dtype=np.bool_)
    if regions is not None:
        counts &= regions.counts_as_tumour(x, y)
        in_situ = regions.classify_points(x, y) == RegionKind.IN_SITU
    n_tissue = inside(tissue, x, y).reshape(shape).sum(axis=1)
    n_counts, n_in_situ = (part.reshape(shape).sum(axis=1) for part in (counts, in_situ))
    enough = n_counts >= MIN_EVALUABLE_SHARE * shape[1]
    is_in_situ = n_in_situ > MAX_IN_SITU_SHARE * n_tissue
    return enough & (2 * n_counts >= n_tissue) & ~is_in_situ, is_in_situ


def _points(cores: Sequence[Box0], axis: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return one coordinate of the lattice points of all tiles, level-0 pixels, tile by tile."""
    steps = (np.arange(_LATTICE) + 0.5) / _LATTICE
    rows, columns = np.meshgrid(steps, steps, indexing="ij")
    if axis == "x":
        parts = [core.x + core.width * columns.ravel() for core in cores]
    else:
        parts = [core.y + core.height * rows.ravel() for core in cores]
    return np.concatenate(parts)


def counted_as(pattern: int, *, counting: bool) -> dict[str, Any]:
    """Return the columns of ``tiles.parquet`` that say what a tile was called and counts as.

    Parameters
    ----------
    pattern
        Pattern that the tile was called, 0 to 4; -1: no tumour.
    counting
        Whether it lies where tumour may count.

    Examples
    --------
    >>> found = counted_as(4, counting=False)
    >>> found["called"], found["n_tumour_cells"], found["tile_score"]
    ('complete_intense', 0, None)
    """
    counted = [pattern] if counting and pattern >= 0 else []
    return {
        "n_tumour_cells": len(counted),
        "tile_score": tile_score(count_tiles(np.array(counted, dtype=np.uint8))),
        "called": PATTERNS[pattern] if pattern >= 0 else "no_tumour",
        **{f"n_{name}": int(code in counted) for code, name in enumerate(PATTERNS)},
    }
