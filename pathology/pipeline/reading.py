"""Read all tiles of a slide: cells into the table, counts per tile, evidence for the score."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TypeVar

import numpy as np

from pathology.cells.reader import AnyReader, TileReader
from pathology.config import Config
from pathology.pipeline.areas import evaluable_area
from pathology.pipeline.gathered import TileReading
from pathology.pipeline.intake import CellIntake, Intake, tile_row
from pathology.runs import CellWriter, TileRow
from pathology.tiling import (
    TileBatch,
    TileGrid,
    TileImage,
    TileRef,
    TileSource,
    batches,
    map_ahead,
    select_tiles,
    tissue_fractions,
)
from pathology.timing import Stopwatch
from pathology.tissue import Regions, TissueFinding, TissueMask, focus_score
from pathology.wsi.slide import Slide

__all__ = [
    "TileReading",
    "failed_row",
    "judge_threads",
    "read_all_tiles",
    "reader_threads",
    "walk_tiles",
    "windows_ahead",
]


Found = TypeVar("Found")
Judged = TypeVar("Judged")

#: Reader threads on the CPU, where the network needs every core: more gain nothing.
_CPU_READERS = 2
#: Most reader threads for one GPU where nobody gives a number: of several GPUs each has so many.
_MOST_READERS = 16
#: Focus and counts take some 0.05 s of a core per mm² (docs/performance.md), a GPU 0.02 s or less.
_GPU_JUDGES = 4


def failed_row(tile: TileRef, fraction: float) -> TileRow:
    """Return the row of a tile that nothing was read of, with its share of tissue, 0 to 1."""
    return tile_row(tile, status="failed", tissue_fraction=fraction)


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
    watch: Stopwatch | None = None,
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
    watch
        Takes the time of reading tiles, of the model and of taking up what it found.

    Returns
    -------
    TileReading
        Rows, counts, and the columns of the counting cells that the score needs.
    """
    drawn = regions is not None and regions.has_tumour
    reading = TileReading(spacing=grid.spacing, tumour_drawn=drawn, watch=watch or Stopwatch())
    intake = CellIntake(
        reading=reading,
        writer=writer,
        area=evaluable_area(finding),
        regions=regions,
        config=config,
    )
    walk_tiles(
        slide, finding, grid, reader, reading, reader.read, intake,
        config=config, advance=advance,
    )  # fmt: skip
    return reading


def walk_tiles(
    slide: Slide,
    finding: TissueFinding,
    grid: TileGrid,
    reader: AnyReader,
    reading: TileReading,
    read: Callable[[TileBatch], Found],
    intake: Intake[Found, Judged],
    *,
    config: Config,
    advance: Callable[[float, float], None],
) -> None:
    """Take every tile with enough tissue to a function, and gather the rows and the failures.

    Four things go on at once: threads read windows, other threads work on those that were read
    (``reader.streams`` at a time), others judge what was found, and this thread takes it up, in
    order.

    Parameters
    ----------
    slide, finding, grid, reader, config, advance
        As in :func:`read_all_tiles`; the reader may be of either kind.
    reading
        Takes the rows, in grid order, and the time of reading tiles, of the model and of taking up
        what it found.
    read
        Works on a batch; called in threads.
    intake
        Judges what ``read`` returned, in threads, and gives one row for each tile of a batch, in
        this thread and in the order of the batches. Tissue and focus are filled in here.
    """
    tiles = select_tiles(grid, finding.tissue, min_fraction=config.tissue.min_tile_fraction)
    fractions = _fractions(tiles, finding.tissue)
    pixel_mm2 = grid.core_width * grid.core_height * grid.spacing.area_um2 / 1e6
    total_mm2 = sum(fractions.values()) * pixel_mm2
    done_mm2 = 0.0

    def failed(image: TileImage) -> None:
        reading.rows.append(failed_row(image.tile, fractions[image.tile.tile_id]))
        reading.failures[image.error] += 1

    before = reader.usage
    source = _source(slide, finding, grid, tiles, reader, config)

    def work(batch: TileBatch) -> tuple[TileBatch, Found]:
        return batch, read(batch)

    def judge(worked: tuple[TileBatch, Found]) -> tuple[Judged, list[float | None]]:
        with reading.watch.timed("tables"):
            return intake.judge(*worked), _focus(worked[0])

    advance(0.0, total_mm2)
    images = iter(source)
    groups = batches(images, reader.batch_size, finding.white_point, grid, on_failed=failed)
    streams, judges = reader.streams, judge_threads(reader.device)
    found = map_ahead(work, groups, threads=streams, ahead=streams + 1, name="tile-engine")
    judged = map_ahead(judge, found, threads=judges, ahead=judges, name="tile-judge")
    # Closed here, not when nobody needs them any more: after an error no thread may read on.
    with closing(images), closing(found), closing(judged):
        for answer, focus in judged:
            with reading.watch.timed("tables"):
                for row, sharpness in zip(intake.take(answer), focus, strict=True):
                    fraction = fractions[row.tile_id]
                    reading.rows.append(replace(row, focus=sharpness, tissue_fraction=fraction))
                    done_mm2 += fraction * pixel_mm2
            advance(done_mm2, total_mm2)
    reading.watch.add_usage(reader.usage.since(before))
    reading.watch.add("read", source.watch.seconds["read"])
    # Failed tiles come along while batches fill up; the table is in grid order whatever the batch.
    reading.rows.sort(key=lambda item: item.tile_id)


def _source(
    slide: Slide,
    finding: TissueFinding,
    grid: TileGrid,
    tiles: Sequence[TileRef],
    reader: AnyReader,
    config: Config,
) -> TileSource:
    """Return what reads the windows of tiles, as wide and as far ahead as the reader wants them."""
    return TileSource(
        slide,
        grid,
        tiles,
        workers=reader_threads(config, reader.device),
        queue_tiles=windows_ahead(reader, config),
        want_context=reader.spec.context_halo_px > 0,
        tissue=finding.tissue,
        plan=reader.windows,
    )


def reader_threads(config: Config, device: str) -> int:
    """Return how many threads read a slide for a device.

    Parameters
    ----------
    config
        The configuration; ``runtime.workers``, where it is not 0, is the answer.
    device
        Where the network runs.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> reader_threads(load_config(), "cpu")
    2
    >>> reader_threads(load_config(overrides=["runtime.workers=5"]), "cuda:0")
    5
    """
    if config.runtime.workers:
        return config.runtime.workers
    if device.startswith("cpu"):
        return _CPU_READERS
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(max((cores or 1) - 2, _CPU_READERS), _MOST_READERS)


def judge_threads(device: str) -> int:
    """Return how many threads judge what was found, beside the model's own.

    Parameters
    ----------
    device
        Where the model runs.

    Examples
    --------
    >>> judge_threads("cpu"), judge_threads("cuda:1")
    (1, 4)
    """
    return 1 if device.startswith("cpu") else _GPU_JUDGES


def windows_ahead(reader: AnyReader, config: Config) -> int:
    """Return how many windows to read ahead: the next batch, while every thread reads one more.

    With fewer, threads would stand idle whatever their number, and a GPU, which takes many windows
    at once, would wait while most of a batch is read.
    """
    threads = reader_threads(config, reader.device)
    return max(config.runtime.queue_tiles, reader.batch_size + threads)


def _fractions(tiles: Sequence[TileRef], tissue: TissueMask) -> dict[int, float]:
    shares = tissue_fractions(tiles, tissue)
    return {tile.tile_id: float(share) for tile, share in zip(tiles, shares, strict=True)}


def _focus(batch: TileBatch) -> list[float | None]:
    pixel_um = float(batch.grid.mpp.mean)
    scores = [focus_score(core, pixel_um=pixel_um) for core in batch.core_pixels()]
    return [score if np.isfinite(score) else None for score in scores]
