"""Large slides for measuring speed and memory: a few fields of tissue, laid side by side.

Rendering a slide of 225 mm² cell by cell takes an hour. Here some fields are rendered once and
repeated in an order drawn from a seed, so that such a slide is there in less than a minute, with
the bytes, the tiles and the cells that a scanner's file would have. The seams between fields are
no tissue; for judging accuracy there is :func:`~pathology.synthesis.render_slide`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pathology.synthesis.field import Field, render_field
from pathology.synthesis.slide import count_patterns
from pathology.synthesis.slide_spec import score_mix
from pathology.synthesis.spec import Composition, FieldSpec, Staining
from pathology.synthesis.tiff import TileSource, write_pyramid
from pathology.types import IntArray, U8Array

__all__ = ["MosaicSpec", "MosaicTruth", "write_mosaic"]

#: Side of a field in µm, before it is rounded to whole storage tiles.
_FIELD_UM = 512.0
#: Growth patterns of the fields, one after the other.
_ARCHITECTURES = ("solid", "gland", "cord", "sheet", "solid", "papillary")
#: A pyramid ends where the whole slide is about this many pixels wide, as those of scanners do.
_TOP_PX = 1024


@dataclass(frozen=True, kw_only=True)
class MosaicSpec:
    """Say what a large slide shall be like.

    Parameters
    ----------
    tissue_mm2
        Area of tissue, a square; rounded up to whole fields.
    mpp
        Pixel size, µm/px.
    tile_px
        Side of the storage tiles: scanners write 240, 256 or 512.
    quality
        JPEG quality, 1 to 100.
    tumour_share
        Share of the tissue that is tumour, 0 to 1.
    score
        ``0``, ``1+``, ``2+`` or ``3+``.
    fields
        Number of different fields.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> MosaicSpec(tissue_mm2=225.0).side
    30
    """

    tissue_mm2: float
    mpp: float = 0.25
    tile_px: int = 256
    quality: int = 80
    tumour_share: float = 0.3
    score: str = "2+"
    fields: int = 6

    def __post_init__(self) -> None:
        if not 0 < self.tissue_mm2 <= 10_000 or not 0.05 <= self.mpp <= 2:
            raise ValueError("tissue_mm2 must be above 0 and up to 10,000, mpp 0.05 to 2")
        if self.tile_px < 64 or self.tile_px > 1024 or self.tile_px % 16 or self.fields < 1:
            raise ValueError("tile_px must be a multiple of 16 from 64 to 1,024, fields at least 1")

    @property
    def field_px(self) -> int:
        """Side of a field: as many blocks of storage tiles as come closest to 512 µm."""
        block = self.tile_px << max(0, int(math.log2(1024 / self.tile_px)))
        return block * max(1, round(_FIELD_UM / (self.mpp * block)))

    @property
    def side(self) -> int:
        """Number of fields along a side of the tissue."""
        return math.ceil(round(math.sqrt(self.tissue_mm2) * 1000 / (self.mpp * self.field_px), 6))


@dataclass(frozen=True, kw_only=True)
class MosaicTruth:
    """Hold what a large slide shows.

    Parameters
    ----------
    width_px, height_px
        Size of level 0.
    tissue_mm2
        Area that fields cover.
    n_cells, n_tumour_cells
        Cells of all classes, and the invasive tumour cells among them.
    """

    width_px: int
    height_px: int
    tissue_mm2: float
    n_cells: int
    n_tumour_cells: int


def write_mosaic(spec: MosaicSpec, path: Path, *, seed: int = 0) -> MosaicTruth:
    """Write a large slide as a tiled pyramidal TIFF.

    Parameters
    ----------
    spec
        What it shall be like.
    path
        File to write; its folder exists.
    seed
        Any integer from 0; the same specification and seed give the same bytes.

    Returns
    -------
    MosaicTruth
        What it shows.

    Raises
    ------
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = MosaicSpec(tissue_mm2=0.01, mpp=0.5, tile_px=64, fields=1)
    ...     write_mosaic(small, Path(folder) / "slide.tif").n_tumour_cells > 0
    True
    """
    stock = [_field(spec, seed, number) for number in range(spec.fields)]
    order = np.random.default_rng([seed, 0x305A]).integers(
        0, spec.fields, size=(spec.side, spec.side)
    )
    # One field of glass all around.
    whole = (spec.side + 2) * spec.field_px
    levels = 1 + max(0, round(math.log2(whole / _TOP_PX)))
    source = _Mosaic(spec, stock, order).source(whole)
    write_pyramid(
        path, source, mpp=spec.mpp, levels=levels, tile_px=spec.tile_px, quality=spec.quality
    )
    times = np.bincount(order.ravel(), minlength=spec.fields)
    return MosaicTruth(
        width_px=whole,
        height_px=whole,
        tissue_mm2=(spec.side * spec.field_px * spec.mpp / 1000) ** 2,
        n_cells=int(times @ [int(field.cells.visible.sum()) for field in stock]),
        n_tumour_cells=int(times @ [count_patterns(field.cells).total for field in stock]),
    )


def _field(spec: MosaicSpec, seed: int, number: int) -> Field:
    """Render one of the fields; staining and scanner are the same in all."""
    wanted = FieldSpec(
        width_px=spec.field_px,
        height_px=spec.field_px,
        mpp=spec.mpp,
        composition=Composition(
            architecture=_ARCHITECTURES[number % len(_ARCHITECTURES)],
            tumour_share=spec.tumour_share,
            normal_ducts=int(number % 4 == 1),
            muscle_share=0.1 * (number % 3 == 2),
        ),
        staining=Staining(tumour=score_mix(spec.score)),
    )
    return render_field(wanted, seed * 1000 + number)


class _Mosaic:
    """Give the pixels of any rectangle that lies within one field."""

    def __init__(self, spec: MosaicSpec, stock: list[Field], order: IntArray) -> None:
        self._side, self._order = spec.field_px, order
        self._fields = [field.rgb for field in stock]
        glass = np.rint(np.asarray(stock[0].white)).astype(np.uint8)
        self._glass = np.broadcast_to(glass, (self._side, self._side, 3))

    def source(self, whole: int) -> TileSource:
        return TileSource(width=whole, height=whole, read=self.read, same=self.same)

    def read(self, x: int, y: int, width: int, height: int) -> U8Array:
        number, left, top = self._place(x, y)
        field = self._glass if number is None else self._fields[number]
        return field[top : top + height, left : left + width]

    def same(self, x: int, y: int, width: int, height: int) -> Hashable:
        number, left, top = self._place(x, y)
        return (None, width, height) if number is None else (number, left, top, width, height)

    def _place(self, x: int, y: int) -> tuple[int | None, int, int]:
        """Return which field a pixel is in (None: glass), and where in it."""
        column, left = divmod(x, self._side)
        row, top = divmod(y, self._side)
        inside = 1 <= column <= len(self._order) and 1 <= row <= len(self._order)
        return (int(self._order[row - 1, column - 1]) if inside else None), left, top
