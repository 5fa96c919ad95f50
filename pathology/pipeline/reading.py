"""Read all tiles of a slide: cells into the table, counts per tile, evidence for the score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pathology.cells.gains import off_scale_kinds
from pathology.cells.reader import AnyReader, TileReader
from pathology.cells.table import CELL_CLASSES, CellTable
from pathology.config import Config
from pathology.errors import ReasonCode
from pathology.geometry import Spacing
from pathology.pipeline.areas import add_drawn_tumour, evaluable_area, inside
from pathology.runs import CellWriter, TileRow
from pathology.runs.row import IhcScore
from pathology.scoring import (
    Evidence,
    Presence,
    SlideScore,
    counts_from_codes,
    grouped_cells,
    score_evidence,
    tile_score,
)
from pathology.tiling import (
    TileBatch,
    TileGrid,
    TileImage,
    TileRef,
    TileSource,
    batches,
    select_tiles,
    tissue_fractions,
)
from pathology.tissue import RegionKind, Regions, TissueFinding, TissueMask, focus_score
from pathology.types import AnyArray, BoolArray
from pathology.wsi.slide import Slide

__all__ = [
    "TileReading",
    "add_drawn_tumour",
    "evaluable_area",
    "inside",
    "read_all_tiles",
    "walk_tiles",
]

#: Columns of the counting cells that the score needs: 14 bytes of a cell's 108, and 4 for its kind
#: at other gains.
_EVIDENCE = ("x_um", "y_um", "intensity", "complete", "membrane_od")
_IN_SITU = CELL_CLASSES.index("in_situ")
_TUMOUR = CELL_CLASSES.index("tumour")


@dataclass(kw_only=True)
class TileReading:
    """Gather what the tiles of one slide give.

    Parameters
    ----------
    spacing
        Size of a level-0 pixel in µm.
    rows
        One row per tile that was taken up, in grid order.
    class_counts
        Cells of every class.
    n_in_situ
        Cells left out because they are in situ, by the model or by annotation.
    failures
        Why tiles failed, with their number.
    tumour_um2
        Summed area of the evaluable tumour cells, µm².
    n_nuclei, n_grouped
        Cells of any class in evaluable tissue, and those tumour cells that lie in groups.
    tumour_drawn
        A person drew the tumour: its presence is not asked.
    """

    spacing: Spacing
    rows: list[TileRow] = field(default_factory=list)
    class_counts: Counter[str] = field(default_factory=Counter)
    n_in_situ: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    tumour_um2: float = 0.0
    n_nuclei: int = 0
    n_grouped: int = 0
    tumour_drawn: bool = False
    _off_scale: list[AnyArray] = field(default_factory=list)
    _columns: dict[str, list[AnyArray]] = field(
        default_factory=lambda: {name: [] for name in _EVIDENCE}
    )

    def add(self, cells: CellTable, counted: CellTable, n_in_situ: int, config: Config) -> None:
        """Add what one tile gave: all its cells and those that count."""
        for name, parts in self._columns.items():
            parts.append(getattr(counted, name))
        kinds = off_scale_kinds(counted.ray_od, counted.cytoplasm_od, config)
        if kinds is not None:
            self._off_scale.append(kinds)
        self.tumour_um2 += float(counted.area_um2.sum(dtype=np.float64))
        for code, n in enumerate(np.bincount(cells.cell_class, minlength=len(CELL_CLASSES))):
            self.class_counts[CELL_CLASSES[code]] += int(n)
        self.n_in_situ += n_in_situ

    @property
    def failed_mm2(self) -> float:
        """Tissue of the failed tiles in mm²."""
        return sum(self._tissue_mm2(row) for row in self.rows if row.status == "failed")

    @property
    def tissue_mm2(self) -> float:
        """Tissue of all tiles that were taken up, in mm²."""
        return sum(self._tissue_mm2(row) for row in self.rows)

    @property
    def n_failed(self) -> int:
        """Number of failed tiles."""
        return sum(row.status == "failed" for row in self.rows)

    def _tissue_mm2(self, row: TileRow) -> float:
        return row.core.area * self.spacing.area_um2 * row.tissue_fraction / 1e6

    @property
    def tumour_mm2(self) -> float:
        """Summed area of the evaluable tumour cells in mm²."""
        return self.tumour_um2 / 1e6

    def score(
        self, config: Config, refusals: Sequence[ReasonCode], *, specimen_type: str = ""
    ) -> SlideScore:
        """Score the slide by the guideline.

        Parameters
        ----------
        config
            Configuration.
        refusals
            Reasons why there can be no score that were found before.
        specimen_type
            As the manifest states it.
        """
        return score_evidence(
            self.evidence(),
            config.scoring,
            specimen_type=specimen_type,
            limit_of_blank_od=config.measurement.limit_of_blank_od,
            refusals=refusals,
        )

    def evidence(self) -> Evidence:
        """Return what the guideline rules look at."""

        def join(name: str) -> AnyArray:
            return np.concatenate([getattr(CellTable.empty(), name), *self._columns[name]])

        return Evidence(
            x_um=join("x_um"),
            y_um=join("y_um"),
            intensity=join("intensity"),
            complete=join("complete"),
            membrane_od=join("membrane_od"),
            tissue_mm2=self.tissue_mm2,
            failed_tissue_mm2=min(self.failed_mm2, self.tissue_mm2),
            n_in_situ_excluded=self.n_in_situ,
            presence=self._presence(),
            off_scale=np.concatenate(self._off_scale, axis=1) if self._off_scale else None,
        )

    def _presence(self) -> Presence | None:
        if self.tumour_drawn:
            return None
        n_tumour = sum(len(part) for part in self._columns["x_um"])
        return Presence(n_tumour=n_tumour, n_nuclei=self.n_nuclei, n_grouped=self.n_grouped)


def _judge(
    cells: CellTable, area: TissueMask, regions: Regions | None, spacing: Spacing
) -> tuple[CellTable, BoolArray]:
    """Return the cells, in situ where annotated so, and which of them count as invasive tumour."""
    x_px = cells.x_um.astype(np.float64) / spacing.x
    y_px = cells.y_um.astype(np.float64) / spacing.y
    counts = inside(area, x_px, y_px)
    if regions is not None:
        codes = regions.classify_points(x_px, y_px)
        annotated = (codes == RegionKind.IN_SITU) & (cells.cell_class == _TUMOUR)
        classes = np.where(annotated, np.uint8(_IN_SITU), cells.cell_class)
        cells = replace(cells, cell_class=classes)
        counts &= regions.counts_as_tumour(x_px, y_px)
    return cells, counts & np.asarray(cells.is_tumour, dtype=np.bool_)


def _look_around(
    reading: TileReading,
    cells: CellTable,
    counts: BoolArray,
    area: TissueMask,
    config: Config,
) -> None:
    """Count all nuclei of a tile, and its tumour cells that lie among others of their kind."""
    x_px, y_px = cells.x_um / reading.spacing.x, cells.y_um / reading.spacing.y
    near = inside(area, x_px, y_px) | counts
    grouped = grouped_cells(cells.x_um[near], cells.y_um[near], counts[near], config.scoring)
    reading.n_nuclei += int(np.count_nonzero(near))
    reading.n_grouped += int(np.count_nonzero(grouped))


def _row(tile: TileRef, cells: CellTable, counted: CellTable) -> TileRow:
    counts = counts_from_codes(counted.intensity, counted.complete)
    label: IhcScore | None = tile_score(counts)  # type: ignore[assignment]
    return TileRow(
        tile_id=tile.tile_id,
        x_px=tile.core.x,
        y_px=tile.core.y,
        width_px=tile.core.width,
        height_px=tile.core.height,
        status="ok",
        tissue_fraction=0.0,  # filled in by walk_tiles
        n_cells=cells.n,
        n_tumour_cells=counted.n,
        n_complete_intense=counts.complete_intense,
        n_complete_weak_moderate=counts.complete_weak_moderate,
        n_incomplete_moderate_intense=counts.incomplete_moderate_intense,
        n_incomplete_faint=counts.incomplete_faint,
        n_unstained=counts.unstained,
        mean_membrane_od=float(counted.membrane_od.mean(dtype=np.float64)) if counted.n else None,
        tile_score=label,
    )


def _failed_row(tile: TileRef, fraction: float) -> TileRow:
    core = tile.core
    return TileRow(
        tile_id=tile.tile_id,
        x_px=core.x,
        y_px=core.y,
        width_px=core.width,
        height_px=core.height,
        status="failed",
        tissue_fraction=fraction,
    )


def read_all_tiles(
    slide: Slide,
    finding: TissueFinding,
    grid: TileGrid,
    reader: TileReader,
    writer: CellWriter,
    *,
    regions: Regions | None,
    config: Config,
    advance: Callable[[float, float], None],
) -> TileReading:
    """Read every tile with enough tissue, in grid order.

    Parameters
    ----------
    slide
        The open slide.
    finding
        Its tissue and white point.
    grid
        Its tiles.
    reader
        What finds the cells.
    writer
        Takes the cells of all classes; memory does not grow with them.
    regions
        Annotated regions, or None.
    config
        Configuration.
    advance
        Called with the mm² of tissue done and in all.

    Returns
    -------
    TileReading
        Rows, counts, and the columns of the counting cells that the score needs.
    """
    drawn = regions is not None and regions.has_tumour
    reading = TileReading(spacing=grid.spacing, tumour_drawn=drawn)
    area = evaluable_area(finding)

    def read(batch: TileBatch) -> Iterable[TileRow]:
        for tile, found in zip(batch.tiles, reader.read(batch), strict=True):
            cells, counts = _judge(found, area, regions, grid.spacing)
            writer.write(cells)
            counted = cells.take(counts)
            reading.add(cells, counted, int(np.count_nonzero(cells.cell_class == _IN_SITU)), config)
            if not drawn:
                _look_around(reading, cells, counts, area, config)
            yield _row(tile, cells, counted)

    walk_tiles(slide, finding, grid, reader, reading, read, config=config, advance=advance)
    return reading


def walk_tiles(
    slide: Slide,
    finding: TissueFinding,
    grid: TileGrid,
    reader: AnyReader,
    reading: TileReading,
    read: Callable[[TileBatch], Iterable[TileRow]],
    *,
    config: Config,
    advance: Callable[[float, float], None],
) -> None:
    """Take every tile with enough tissue to a function, and gather the rows and the failures.

    Parameters
    ----------
    slide, finding, grid, reader, config, advance
        As in :func:`read_all_tiles`; the reader may be of either kind.
    reading
        Takes the rows, in grid order.
    read
        Gives one row for each tile of a batch; tissue and focus are filled in here.
    """
    tiles = select_tiles(grid, finding.tissue, min_fraction=config.tissue.min_tile_fraction)
    fractions = _fractions(tiles, finding.tissue)
    pixel_mm2 = grid.core_width * grid.core_height * grid.spacing.area_um2 / 1e6
    total_mm2 = sum(fractions.values()) * pixel_mm2
    done_mm2 = 0.0

    def failed(image: TileImage) -> None:
        reading.rows.append(_failed_row(image.tile, fractions[image.tile.tile_id]))
        reading.failures[image.error] += 1

    source = TileSource(
        slide,
        grid,
        tiles,
        workers=config.runtime.workers,
        queue_tiles=config.runtime.queue_tiles,
        want_context=reader.spec.context_halo_px > 0,
        tissue=finding.tissue,
    )
    advance(0.0, total_mm2)
    groups = batches(source, reader.batch_size, finding.white_point, grid, on_failed=failed)
    for batch in groups:
        for row, sharpness in zip(read(batch), _focus(batch), strict=True):
            fraction = fractions[row.tile_id]
            reading.rows.append(replace(row, focus=sharpness, tissue_fraction=fraction))
            done_mm2 += fraction * pixel_mm2
        advance(done_mm2, total_mm2)
    # Failed tiles come along while batches fill up; the table is in grid order whatever the batch.
    reading.rows.sort(key=lambda item: item.tile_id)


def _fractions(tiles: Sequence[TileRef], tissue: TissueMask) -> dict[int, float]:
    shares = tissue_fractions(tiles, tissue)
    return {tile.tile_id: float(share) for tile, share in zip(tiles, shares, strict=True)}


def _focus(batch: TileBatch) -> list[float | None]:
    halo = batch.grid.spec.halo_px
    inner = slice(halo, halo + batch.grid.tile_px)
    pixel_um = float(batch.grid.mpp.mean)
    scores = [focus_score(image[inner, inner], pixel_um=pixel_um) for image in batch.detail]
    return [score if np.isfinite(score) else None for score in scores]
