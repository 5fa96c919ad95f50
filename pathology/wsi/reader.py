"""Read boxes at any pixel size from anything that has levels.

Pyramid levels end here: a source offers them, :class:`SourceSlide` picks one, and nobody further up
hears of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np

from pathology.geometry import Box0, Spacing
from pathology.types import BoolArray, U8Array
from pathology.wsi.missing import MISSING_PX, blank_missing, has_black, is_plain
from pathology.wsi.resample import Axis, AxisPart, resample, rgb
from pathology.wsi.slide import Region, SlideInfo

__all__ = ["Level", "PixelSource", "PlainSource", "SourceSlide", "true_scale"]

#: Level pixels along a side that are held at once: 36 MiB, whatever the box. Windows of the tile
#: reader fit, so that they are read in one piece.
_BLOCK_PX = 3072


@dataclass(frozen=True, kw_only=True)
class Level:
    """Describe one level of a pyramid.

    Parameters
    ----------
    width, height
        In pixels of the level.
    scale_x, scale_y
        Level-0 pixels per pixel of the level.
    """

    width: int
    height: int
    scale_x: Fraction
    scale_y: Fraction


class PixelSource(Protocol):
    """Offer the pixels of a pyramid."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels, finest first; the first has scale 1."""
        ...

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> U8Array:
        """Read a window of level pixels that lies inside the level.

        Returns
        -------
        numpy.ndarray
            (height, width, 4) uint8, contiguous, white and 0 in the last channel where there is no
            data, else 255 there. The same pixel always has the same value.

        Raises
        ------
        RegionReadError
            If pixels cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Release the file."""
        ...


@runtime_checkable
class PlainSource(PixelSource, Protocol):
    """Offer a short cut for the pixels of ordinary windows."""

    def copy_plain(self, level: int, x: int, y: int, pixels: U8Array) -> bool:
        """Copy a window that lies inside a level, if all of it has data and nothing is black.

        Parameters
        ----------
        level, x, y
            As for ``read_level``.
        pixels
            (height, width, 3) uint8: where to copy red, green and blue to.

        Returns
        -------
        bool
            Whether it was copied; if not, ``pixels`` holds nothing of use: ask ``read_level``.
        """
        ...


def true_scale(full: int, part: int, nominal: float) -> Fraction:
    """Tell how many level-0 pixels a level's pixel spans along one direction.

    Pyramids are made with whole factors, and sizes are rounded; so if a whole number near the
    nominal downsampling explains the sizes, it is the factor, rather than their quotient.

    Parameters
    ----------
    full, part
        Size of level 0 and of the level, in their own pixels.
    nominal
        The downsampling that the file states.

    Examples
    --------
    >>> true_scale(5468, 683, 8.006), true_scale(1000, 300, 3.333)
    (Fraction(8, 1), Fraction(10, 3))
    """
    # Sizes may be rounded down, up, or to the nearest at every step from level to level.
    for factor in sorted({round(nominal), round(full / part)}):
        if factor >= 1 and full // factor <= part <= -(-full // factor):
            return Fraction(factor)
    return Fraction(full, part)


class SourceSlide:
    """Implement :class:`pathology.wsi.slide.Slide` on a pixel source.

    Parameters
    ----------
    info
        What the slide says of itself.
    source
        Where the pixels come from.
    colour
        Changes (H, W, 4) uint8 pixels to sRGB, in a new array; None leaves colours as they are.
    """

    def __init__(
        self,
        info: SlideInfo,
        source: PixelSource,
        *,
        colour: Callable[[U8Array], U8Array] | None = None,
    ) -> None:
        self._info = info
        self._source = source
        self._colour = colour

    @property
    def info(self) -> SlideInfo:
        """Description of the slide."""
        return self._info

    def read(self, box: Box0, *, mpp: float | Spacing) -> U8Array:
        """Read a box as (H, W, 3) uint8; see :meth:`read_region`."""
        return self.read_region(box, mpp=mpp).pixels

    def read_region(self, box: Box0, *, mpp: float | Spacing) -> Region:
        """Read a box, resampled to ``mpp``: the contract of ``Slide.read_region``.

        Parameters
        ----------
        box
            Level-0 pixels; may reach outside the slide (white, ``data`` False there).
        mpp
            Wanted pixel size in µm/px.

        Returns
        -------
        Region
            Pixels, and where at least half of a pixel's area has data.

        Raises
        ------
        ValueError
            If ``mpp`` is not a finite number above 0.
        RegionReadError
            If pixels cannot be decoded.
        """
        wanted = mpp if isinstance(mpp, Spacing) else Spacing(x=mpp, y=mpp)
        spacing = self._info.spacing
        columns = max(1, round(box.width * spacing.x / wanted.x))
        rows = max(1, round(box.height * spacing.y / wanted.y))
        number = self._choose_level(Fraction(box.width, columns), Fraction(box.height, rows))
        level = self._source.levels[number]
        across = Axis(start=box.x, length=box.width, count=columns, scale=level.scale_x)
        down = Axis(start=box.y, length=box.height, count=rows, scale=level.scale_y)
        pixels = np.empty((rows, columns, 3), dtype=np.uint8)
        data = np.empty((rows, columns), dtype=np.bool_)
        for top, bottom in _split(down):
            for left, right in _split(across):
                place = np.s_[top:bottom, left:right]
                parts = (across.part(left, right), down.part(top, bottom))
                whole = (across.whole, down.whole)
                self._read_block(number, parts, whole, pixels[place], data[place])
        return Region(pixels=pixels, data=data)

    def close(self) -> None:
        """Release the file."""
        self._source.close()

    def __enter__(self) -> Self:
        """Enter a ``with`` block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the slide."""
        self.close()

    def _choose_level(self, step_x: Fraction, step_y: Fraction) -> int:
        """Return the coarsest level that is still at least as fine as wanted."""
        chosen = 0
        for number, level in enumerate(self._source.levels):
            if level.scale_x <= step_x and level.scale_y <= step_y:
                chosen = number
        return chosen

    def _read_block(
        self,
        number: int,
        parts: tuple[AxisPart, AxisPart],
        whole: tuple[int, int],
        pixels: U8Array,
        data: BoolArray,
    ) -> None:
        """Read the level pixels that a part of the output needs, and fill it."""
        wide, tall = parts
        if whole == (1, 1) and self._copy_plain(number, wide, tall, pixels):
            data[...] = True
            return
        window, plain = self._read_window(number, wide, tall)
        found = resample(window, wide, tall, whole=whole if all(whole) else (0, 0))
        rgb(found, out=pixels)
        # The flag's mean is at least half: 127.5 is rounded up.
        data[...] = True if plain else found[..., 3] >= 128

    def _copy_plain(self, number: int, wide: AxisPart, tall: AxisPart, pixels: U8Array) -> bool:
        """Copy a window without resampling, where nothing in it needs a second look."""
        if self._colour is not None or not isinstance(self._source, PlainSource):
            return False
        x, y, right, bottom = wide.first, tall.first, wide.last, tall.last
        level = self._source.levels[number]
        if min(x, y) < 0 or right > level.width or bottom > level.height:
            return False
        return self._source.copy_plain(number, x, y, pixels)

    def _read_window(self, number: int, wide: AxisPart, tall: AxisPart) -> tuple[U8Array, bool]:
        """Return a window's pixels, and whether all of them are known to have data."""
        x, y, right, bottom = wide.first, tall.first, wide.last, tall.last
        pixels = self._read_inside(number, x, y, right, bottom)
        plain = is_plain(pixels)
        if not plain and has_black(pixels):
            # Rare: look again with the surroundings that decide what is missing.
            reach = MISSING_PX - 1
            end_x, end_y = self._ends(self._source.levels[number])
            around = self._read_inside(number, x - reach, y - reach, right + reach, bottom + reach)
            in_x = _within(x - reach, right + reach, end_x)
            in_y = _within(y - reach, bottom + reach, end_y)
            around = blank_missing(around, inside=in_y[:, None] & in_x[None, :])
            pixels = np.ascontiguousarray(around[reach:-reach, reach:-reach])
        if self._colour is not None:
            pixels = self._colour(pixels)
        return pixels, plain

    def _read_inside(self, number: int, x: int, y: int, right: int, bottom: int) -> U8Array:
        """Read a window that may reach beyond the level: white without data there."""
        level = self._source.levels[number]
        left, top = max(x, 0), max(y, 0)
        width, height = min(right, level.width) - left, min(bottom, level.height) - top
        if (left, top) == (x, y) and (width, height) == (right - x, bottom - y):
            return self._source.read_level(number, left, top, width, height)
        canvas = np.full((bottom - y, right - x, 4), 255, dtype=np.uint8)
        canvas[..., 3] = 0
        end_x, end_y = self._ends(level)
        width, height = min(right, end_x) - left, min(bottom, end_y) - top
        if width > 0 and height > 0:
            part = self._read_to_edge(number, left, top, left + width, top + height)
            canvas[top - y : top - y + height, left - x : left - x + width] = part
        return canvas

    def _ends(self, level: Level) -> tuple[int, int]:
        """Return how many columns and rows of a level the slide spans.

        Sizes of levels are often rounded down. The last pixel then stands for the rest, which is
        less than a pixel, so that the slide's edge does not fade into white.
        """
        size = self._info.size
        return (
            max(level.width, math.ceil(size.width / level.scale_x)),
            max(level.height, math.ceil(size.height / level.scale_y)),
        )

    def _read_to_edge(self, number: int, x: int, y: int, right: int, bottom: int) -> U8Array:
        """Read a window inside the slide, repeating the level's last column and row beyond it."""
        level = self._source.levels[number]
        columns = np.minimum(np.arange(x, right), level.width - 1)
        rows = np.minimum(np.arange(y, bottom), level.height - 1)
        left, top = int(columns[0]), int(rows[0])
        width, height = int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top
        pixels = self._source.read_level(number, left, top, width, height)
        if pixels.shape[:2] == (bottom - y, right - x):
            return pixels
        return np.asarray(pixels[np.ix_(rows - top, columns - left)])


def _split(axis: Axis) -> list[tuple[int, int]]:
    """Cut the outputs of an axis into runs that need no more level pixels than fit in memory."""
    most = max(1, int(_BLOCK_PX / max(float(axis.step), 1.0)))
    pieces = -(-axis.count // most)
    cuts = [axis.count * piece // pieces for piece in range(pieces + 1)]
    return list(pairwise(cuts))


def _within(begin: int, end: int, size: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    places = np.arange(begin, end)
    return (places >= 0) & (places < size)
