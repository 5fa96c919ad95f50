"""Read tiles ahead with threads, hand them on in order, and group them into batches.

OpenSlide releases the interpreter while it decodes and may be called from many threads on one
handle, so threads suffice and the handle's cache is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace

import numpy as np

from pathology.errors import RegionReadError
from pathology.geometry import Box0
from pathology.tiling.ahead import map_ahead
from pathology.tiling.batch import TileBatch, TileImage
from pathology.tiling.grid import TileGrid, TileRef
from pathology.tiling.windows import SINGLE_TILES, TileWindow, WindowPlan, join_tiles
from pathology.timing import Stopwatch
from pathology.tissue.mask import TissueMask
from pathology.types import BoolArray, U8Array
from pathology.wsi.slide import Region, Slide

__all__ = ["MAX_MISSING_SHARE", "TileSource", "batches"]

#: A tile fails when more than this share of its tissue has no data. A few pixels without data, as
#: at the seams of scanner strips, cannot move a slide's score; a lost JPEG tile of 256 px can hide
#: dozens of cells, and is 1.6 % of a core of 2,048 level-0 pixels.
MAX_MISSING_SHARE = 0.01


class TileSource:
    """Iterate over the images of windows, in order, while threads read ahead.

    At most ``queue_tiles`` windows are being read or wait to be taken, so memory does not grow with
    the slide. A tile that cannot be read, or whose tissue is partly without data, comes as a
    ``TileImage`` with ``error``, and the rest of its window without it: where a window cannot be
    read as one, its tiles are read singly. Any other exception is raised from the iterator. When
    the iterator ends or is closed early, its threads have ended too.

    Parameters
    ----------
    slide
        Where to read; its ``read_region`` is called from several threads.
    grid
        The grid that the tiles belong to.
    tiles
        What to read.
    workers
        Number of reader threads, at least 1.
    queue_tiles
        Number of windows read ahead, at least 1.
    want_context
        Read the context image too.
    tissue
        Where tissue is; None: everything inside the slide.
    max_missing_share
        A tile fails when more than this share (0 to 1) of its core's tissue has no data.
    plan
        How tiles are joined into windows; not at all without it.

    Raises
    ------
    ValueError
        If ``workers`` or ``queue_tiles`` is below 1.
    """

    def __init__(
        self,
        slide: Slide,
        grid: TileGrid,
        tiles: Sequence[TileRef],
        *,
        workers: int,
        queue_tiles: int,
        want_context: bool,
        tissue: TissueMask | None = None,
        max_missing_share: float = MAX_MISSING_SHARE,
        plan: WindowPlan = SINGLE_TILES,
    ) -> None:
        if workers < 1 or queue_tiles < 1:
            raise ValueError("a tile source needs at least one worker and one tile in its queue")
        self._slide = slide
        self._grid = grid
        self._tiles = tuple(tiles)
        self._windows = join_tiles(grid, tiles, plan)
        #: Holds the time of reading, summed over threads.
        self.watch = Stopwatch()
        self._workers = workers
        self._queue_tiles = queue_tiles
        self._want_context = want_context
        self._tissue = tissue
        self._max_missing_share = max_missing_share

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self._tiles)

    def __iter__(self) -> Generator[TileImage]:
        """Start reading; close the iterator (or run it to its end) to stop the threads."""
        read = map_ahead(
            self._timed,
            self._windows,
            threads=self._workers,
            ahead=self._queue_tiles,
            name="tile-reader",
        )
        try:
            for images in read:
                yield from images
        finally:
            read.close()

    def _timed(self, window: TileWindow) -> list[TileImage]:
        with self.watch.timed("read"):
            return self._read(window)

    def _read(self, window: TileWindow) -> list[TileImage]:
        """Return the window's image, and that of every tile that failed or was read singly."""
        try:
            detail = self._slide.read_region(self._grid.detail_window(window), mpp=self._grid.mpp)
            failed = self._without_data(window, detail)
            lost = {image.tile for image in failed}
            whole = replace(window, tiles=tuple(t for t in window.tiles if t not in lost))
            if not whole.tiles:
                return failed
            context = self._read_context(window)
            return [*failed, TileImage(window=whole, detail=detail.pixels, context=context)]
        except RegionReadError as error:
            if len(window.tiles) == 1 and window.core == window.tiles[0].core:
                return [_failed(window.tiles[0], str(error))]
            return [image for tile in window.tiles for image in self._read(TileWindow.of(tile))]

    def _without_data(self, window: TileWindow, region: Region) -> list[TileImage]:
        """Return the tiles that lack data where they have tissue."""
        failed = []
        for tile in window.tiles:
            missing = self._missing_share(tile, region, window.corner_px(self._grid, tile))
            if missing > self._max_missing_share:
                failed.append(_failed(tile, f"{100 * missing:.1f} % of the tissue has no data"))
        return failed

    def _read_context(self, window: TileWindow) -> U8Array | None:
        if not self._want_context:
            return None
        return self._slide.read(self._grid.context_window(window), mpp=self._grid.context_mpp)

    def _missing_share(self, tile: TileRef, region: Region, corner_px: tuple[int, int]) -> float:
        """Return the share of the core's tissue that has no data; 0 where there is no tissue."""
        (x, y), side = corner_px, self._grid.tile_px
        data = region.data[y : y + side, x : x + side]
        if data.all():
            return 0.0
        tissue = self._tissue_pixels(tile.core, data.shape)
        total = np.count_nonzero(tissue)
        return np.count_nonzero(tissue & ~data) / total if total else 0.0

    def _tissue_pixels(self, core: Box0, shape: tuple[int, ...]) -> BoolArray:
        """Return (H, W) bool: model pixels of a core whose middle lies on tissue."""
        height, width = shape
        x = core.x + (np.arange(width) + 0.5) * core.width / width
        y = core.y + (np.arange(height) + 0.5) * core.height / height
        if self._tissue is None:
            size = self._slide.info.size
            inside_x, inside_y = (x >= 0) & (x < size.width), (y >= 0) & (y < size.height)
            return np.asarray(inside_y[:, None] & inside_x, dtype=np.bool_)
        mask, box = self._tissue.mask, self._tissue.box
        columns = np.floor((x - box.x) * mask.shape[1] / box.width).astype(np.int64)
        rows = np.floor((y - box.y) * mask.shape[0] / box.height).astype(np.int64)
        known_x = (columns >= 0) & (columns < mask.shape[1])
        known_y = (rows >= 0) & (rows < mask.shape[0])
        found = np.zeros((height, width), dtype=np.bool_)
        found[np.ix_(known_y, known_x)] = mask[np.ix_(rows[known_y], columns[known_x])]
        return found


def batches(
    images: Iterable[TileImage],
    size: int,
    white: tuple[float, float, float],
    grid: TileGrid,
    *,
    on_failed: Callable[[TileImage], None] | None = None,
) -> Generator[TileBatch]:
    """Group readable windows into batches, in order.

    Parameters
    ----------
    images
        Windows as a ``TileSource`` gives them.
    size
        Windows per batch, at least 1; the last batch, and one before a window of another shape, may
        be smaller.
    white
        Colour of the slide's glass: three values 1 to 255.
    grid
        The grid that the tiles belong to.
    on_failed
        Called with every tile that could not be read, when it comes along.

    Yields
    ------
    TileBatch
        1 to ``size`` windows.

    Raises
    ------
    ValueError
        If ``size`` is below 1.
    """
    if size < 1:
        raise ValueError("a batch holds at least one tile")
    group: list[TileImage] = []
    for image in images:
        if image.detail is None:
            if on_failed is not None:
                on_failed(image)
            continue
        first = group[0].detail if group else None
        if first is not None and image.detail.shape != first.shape:
            yield _stack(group, white, grid)
            group = []
        group.append(image)
        if len(group) == size:
            yield _stack(group, white, grid)
            group = []
    if group:
        yield _stack(group, white, grid)


def _stack(
    group: Sequence[TileImage], white: tuple[float, float, float], grid: TileGrid
) -> TileBatch:
    detail = [image.detail for image in group if image.detail is not None]
    context = [image.context for image in group if image.context is not None]
    windows = tuple(image.window for image in group)
    tiles = tuple(tile for window in windows for tile in window.tiles)
    single = all(window == TileWindow.of(window.tiles[0]) for window in windows)
    return TileBatch(
        grid=grid,
        tiles=tiles,
        # A batch of one, as on the CPU, is not copied.
        detail=np.stack(detail) if len(detail) > 1 else detail[0][None],
        context=None
        if not context
        else np.stack(context)
        if len(context) > 1
        else context[0][None],
        white=white,
        windows=() if single else windows,
    )


def _failed(tile: TileRef, error: str) -> TileImage:
    return TileImage(window=TileWindow.of(tile), detail=None, context=None, error=error)
