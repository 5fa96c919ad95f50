"""The tile grid: integer level-0 boxes whose model pixels line up across tiles.

The grid is laid in blocks of :data:`BLOCK_PX` model pixels. A block is a whole number of level-0
pixels, so every core and every halo is an integer box, and a model pixel is sampled at the same
place whatever tile it is read with. Rounding the block changes the model's pixel size by less than
1 %; the exact value is kept (``mpp``) and used for every conversion to µm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from pathology.geometry import Box0, Spacing

__all__ = ["BLOCK_PX", "InputSpec", "TileGrid", "TileRef", "lay_grid"]

#: Side of a block in model pixels: the largest stride of the network times the context factor
#: divides it, so that no tile shifts the phase of a strided layer.
BLOCK_PX = 64


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """Say what a tile reader wants to see.

    Parameters
    ----------
    mpp
        Pixel size of the detail image in µm/px.
    halo_px
        Detail pixels around the core, a multiple of 64 and at least the receptive field's radius.
    context_factor
        The context image's pixels are this many times larger (1, 2, 4 or 8).
    context_halo_px
        Context pixels around the core; times ``context_factor`` a multiple of 64. 0: no context
        image is read.
    tile_px
        Side of a core in detail pixels, a multiple of 64, where the reader is bound to one: a
        classifier of whole tiles. None leaves it to the configuration.

    Raises
    ------
    ValueError
        If a value does not fit the grid.

    Examples
    --------
    >>> InputSpec(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=64).context_mpp
    2.0
    """

    mpp: float
    halo_px: int
    context_factor: int
    context_halo_px: int
    tile_px: int | None = None

    def __post_init__(self) -> None:
        if not 0.05 <= self.mpp <= 10:
            raise ValueError(f"model pixel size {self.mpp} µm/px is not plausible")
        if self.context_factor not in (1, 2, 4, 8):
            raise ValueError("context_factor must be 1, 2, 4 or 8")
        if self.halo_px < 0 or self.halo_px % BLOCK_PX:
            raise ValueError(f"halo_px must be a multiple of {BLOCK_PX}")
        if self.context_halo_px < 0 or self.context_halo_px * self.context_factor % BLOCK_PX:
            raise ValueError(f"context_halo_px × context_factor must be a multiple of {BLOCK_PX}")
        if self.tile_px is not None and (self.tile_px < BLOCK_PX or self.tile_px % BLOCK_PX):
            raise ValueError(f"tile_px must be a multiple of {BLOCK_PX}")

    @property
    def context_mpp(self) -> float:
        """Pixel size of the context image in µm/px."""
        return self.mpp * self.context_factor


class HasCore(Protocol):
    """A tile, or a window of several."""

    @property
    def core(self) -> Box0:
        """The part of level 0 that it covers."""
        ...


@dataclass(frozen=True, kw_only=True)
class TileRef:
    """Name one tile of a grid.

    Parameters
    ----------
    tile_id
        Position in row-major order over the whole grid, from 0.
    col, row
        Column and row in the grid.
    core
        The part of level 0 that the tile owns. Cores are disjoint and cover the grid's box.
    """

    tile_id: int
    col: int
    row: int
    core: Box0


@dataclass(frozen=True, kw_only=True)
class TileGrid:
    """Hold a grid of tiles over a box of level 0.

    Parameters
    ----------
    box
        What the grid has to cover; the last column and row may reach beyond.
    spacing
        Size of a level-0 pixel in µm.
    spec
        What the tile reader wants to see.
    tile_px
        Side of a core in model pixels, a multiple of 64.
    block_x, block_y
        Level-0 pixels per block of 64 model pixels.

    Examples
    --------
    >>> spec = InputSpec(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=64)
    >>> grid = lay_grid(Box0(x=0, y=0, width=5000, height=3000), Spacing(x=0.25, y=0.25), spec,
    ...                 tile_px=1024)
    >>> grid.columns, grid.rows, grid.mpp.x
    (3, 2, 0.5)
    >>> grid.tile(col=1, row=0).core
    Box0(x=2048, y=0, width=2048, height=2048)
    >>> grid.detail_window(grid.tile(col=1, row=0))
    Box0(x=1920, y=-128, width=2304, height=2304)
    """

    box: Box0
    spacing: Spacing
    spec: InputSpec
    tile_px: int
    block_x: int
    block_y: int

    def __post_init__(self) -> None:
        if self.tile_px < BLOCK_PX or self.tile_px % BLOCK_PX:
            raise ValueError(f"tile_px must be a multiple of {BLOCK_PX}")
        if self.block_x < 1 or self.block_y < 1:
            raise ValueError("a block must be at least one level-0 pixel")

    @property
    def mpp(self) -> Spacing:
        """Exact size of a model (detail) pixel in µm: pass it to ``Slide.read``."""
        return Spacing(
            x=self.block_x * self.spacing.x / BLOCK_PX, y=self.block_y * self.spacing.y / BLOCK_PX
        )

    @property
    def context_mpp(self) -> Spacing:
        """Exact size of a context pixel in µm."""
        factor = self.spec.context_factor
        return Spacing(x=self.mpp.x * factor, y=self.mpp.y * factor)

    @property
    def core_width(self) -> int:
        """Width of a core in level-0 pixels."""
        return self.block_x * (self.tile_px // BLOCK_PX)

    @property
    def core_height(self) -> int:
        """Height of a core in level-0 pixels."""
        return self.block_y * (self.tile_px // BLOCK_PX)

    @property
    def columns(self) -> int:
        """Number of columns."""
        return -(-self.box.width // self.core_width)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return -(-self.box.height // self.core_height)

    def tile(self, *, col: int, row: int) -> TileRef:
        """Return one tile.

        Raises
        ------
        IndexError
            If there is no such column or row.
        """
        if not (0 <= col < self.columns and 0 <= row < self.rows):
            raise IndexError(f"no tile ({col}, {row}) in a grid of {self.columns} × {self.rows}")
        core = Box0(
            x=self.box.x + col * self.core_width,
            y=self.box.y + row * self.core_height,
            width=self.core_width,
            height=self.core_height,
        )
        return TileRef(tile_id=row * self.columns + col, col=col, row=row, core=core)

    def __iter__(self) -> Iterator[TileRef]:
        """Yield all tiles in row-major order."""
        for row in range(self.rows):
            for col in range(self.columns):
                yield self.tile(col=col, row=row)

    def __len__(self) -> int:
        """Return the number of tiles."""
        return self.columns * self.rows

    def detail_window(self, tile: HasCore) -> Box0:
        """Return the level-0 box of the detail image: the core of a tile or window and its halo."""
        return self._window(tile, self.spec.halo_px)

    def context_window(self, tile: HasCore) -> Box0:
        """Return the level-0 box of the context image: the core and the wider halo."""
        return self._window(tile, self.spec.context_halo_px * self.spec.context_factor)

    def _window(self, tile: HasCore, halo_px: int) -> Box0:
        blocks = halo_px // BLOCK_PX
        return tile.core.padded(blocks * self.block_x, blocks * self.block_y)


def lay_grid(box: Box0, spacing: Spacing, spec: InputSpec, *, tile_px: int) -> TileGrid:
    """Lay a grid whose first core starts at the box's top-left corner.

    Parameters
    ----------
    box
        Level-0 pixels to cover.
    spacing
        Size of a level-0 pixel in µm.
    spec
        What the tile reader wants to see.
    tile_px
        Side of a core in model pixels, a multiple of 64; a side that ``spec`` is bound to comes
        first.

    Returns
    -------
    TileGrid
        The grid.

    Raises
    ------
    ValueError
        If ``tile_px`` is not a multiple of 64.
    """
    return TileGrid(
        box=box,
        spacing=spacing,
        spec=spec,
        tile_px=spec.tile_px or tile_px,
        block_x=max(1, round(BLOCK_PX * spec.mpp / spacing.x)),
        block_y=max(1, round(BLOCK_PX * spec.mpp / spacing.y)),
    )
