"""Resample pixels by area, so that an output pixel depends on its own place only.

An output pixel is the mean of what it covers: light is averaged over its area, as a coarser camera
would. When pixels get smaller, neighbours are interpolated linearly. All positions are exact
integer arithmetic on a fine lattice, never running sums of floats, so that the weights of a
pixel are the same numbers whatever window it is read with. (Pillow's ``resize`` takes its box as
32-bit floats, which moves pixels by 1e-4 px from window to window: enough to flip a rounding.)

Pixels travel as (H, W, 4) uint8: red, green, blue, and 255 where there is data, else 0; pixels
without data are white.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import scipy.sparse
from PIL import Image

from pathology.types import AnyArray, IntArray, U8Array

__all__ = ["Axis", "AxisPart", "resample", "rgb"]

#: Output rows are computed for about this many bytes at once, and at least so many of them.
_PIECE_BYTES = 1 << 19
_MIN_ROWS = 8
#: Sub-pixel positions per pixel: finer than 8-bit values can show, by a factor of 256.
_STEPS = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Lay output pixels along one direction over the pixels of a level.

    Parameters
    ----------
    start, length
        What the output covers, in level-0 pixels.
    count
        Number of output pixels.
    scale
        Level-0 pixels per level pixel.

    Examples
    --------
    >>> axis = Axis(start=4, length=8, count=4, scale=Fraction(1))
    >>> axis.step, axis.part(1, 3).first, axis.part(1, 3).last
    (Fraction(2, 1), 6, 10)
    """

    start: int
    length: int
    count: int
    scale: Fraction

    @property
    def step(self) -> Fraction:
        """Level pixels per output pixel."""
        return Fraction(self.length, self.count) / self.scale

    @property
    def whole(self) -> int:
        """The step where it is a whole number and pixels line up with the level's, else 0."""
        step, origin = self.step, Fraction(self.start) / self.scale
        aligned = step.denominator == 1 and origin.denominator == 1
        return step.numerator if aligned else 0

    def part(self, begin: int, end: int) -> AxisPart:
        """Work out the output pixels ``begin`` to ``end`` (not included)."""
        unit = Fraction(_STEPS) / (self.scale * self.count)
        top, half = unit.numerator, unit.denominator
        step, first = 2 * top * self.length, 2 * top * self.start * self.count + half
        if max(abs(first + begin * step), abs(first + end * step), 2 * half) < 1 << 62:
            edges = (first + np.arange(begin, end + 1, dtype=np.int64) * step) // (2 * half)
        else:  # too large for the processor's integers: as exact, but slower
            exact = [(first + index * step) // (2 * half) for index in range(begin, end + 1)]
            edges = np.array(exact, dtype=np.int64)
        return AxisPart(edges=edges, enlarges=self.step < 1)


@dataclass(frozen=True, kw_only=True)
class AxisPart:
    """Hold consecutive output pixels along one direction.

    Parameters
    ----------
    edges
        (n + 1,) int64: their borders in level pixels, times 65,536.
    enlarges
        Output pixels are smaller than the level's.
    """

    edges: IntArray
    enlarges: bool

    @property
    def first(self) -> int:
        """First level pixel that is needed."""
        if self.enlarges:
            return int((self.edges[0] + self.edges[1] - _STEPS) // (2 * _STEPS))
        return int(self.edges[0] // _STEPS)

    @property
    def last(self) -> int:
        """First level pixel after those that are needed."""
        if self.enlarges:
            return int((self.edges[-2] + self.edges[-1] - _STEPS) // (2 * _STEPS)) + 2
        return int(-(-self.edges[-1] // _STEPS))

    def weights(self) -> scipy.sparse.csr_array:
        """Return (outputs, last - first) float32 weights, each row summing to 1."""
        low, high = self.edges[:-1, None], self.edges[1:, None]
        if self.enlarges:
            # Position between the centres of two neighbours, in 1 / (2 * _STEPS) pixels.
            position = low + high - _STEPS
            left = position // (2 * _STEPS)
            share = position - left * (2 * _STEPS)
            columns = np.concatenate([left, left + 1], axis=1)
            parts = np.concatenate([2 * _STEPS - share, share], axis=1)
            total: AnyArray = np.full_like(low, 2 * _STEPS)
        else:
            taps = int((-(-high // _STEPS) - low // _STEPS).max())
            columns = low // _STEPS + np.arange(taps)
            begin, end = columns * _STEPS, (columns + 1) * _STEPS
            parts = np.maximum(np.minimum(end, high) - np.maximum(begin, low), 0)
            total = high - low
        values = (parts / total).astype(np.float32)
        rows = np.broadcast_to(np.arange(len(columns))[:, None], columns.shape)
        used = parts > 0
        place = (rows[used], columns[used] - self.first)
        return scipy.sparse.csr_array(
            (values[used], place), shape=(len(columns), self.last - self.first)
        )


def resample(
    pixels: U8Array, across: AxisPart, down: AxisPart, *, whole: tuple[int, int]
) -> U8Array:
    """Resample the level pixels that two axis parts ask for.

    Parameters
    ----------
    pixels
        (``down.last - down.first``, ``across.last - across.first``, 4) uint8, contiguous.
    across, down
        The output's columns and rows.
    whole
        Steps in x and y where both are whole numbers on aligned pixels, else (0, 0).

    Returns
    -------
    numpy.ndarray
        (rows, columns, 4) uint8, rounded half up; the last channel is the mean of the data flags.
    """
    if whole == (1, 1):
        return pixels
    if all(whole):
        height, width = pixels.shape[:2]
        image = Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1)
        return np.asarray(image.reduce(whole))
    tall, wide = down.weights(), across.weights()
    result = np.empty((tall.shape[0], wide.shape[0], 4), dtype=np.uint8)
    # Some rows at a time, so that what lies between stays in the processor's cache.
    rows = max(_MIN_ROWS, _PIECE_BYTES // (16 * pixels.shape[1]))
    for top in range(0, tall.shape[0], rows):
        piece = result[top : top + rows]
        _resample_rows(pixels, _rows(tall, top, top + len(piece)), wide, out=piece)
    return result


def _rows(
    weights: scipy.sparse.csr_array, begin: int, end: int
) -> tuple[int, scipy.sparse.csr_array]:
    """Cut rows out of a matrix, without the columns before and after them."""
    # Slicing the matrix itself takes as long as multiplying with it.
    starts = weights.indptr[begin : end + 1]
    used = slice(starts[0], starts[-1])
    columns = weights.indices[used]
    first = int(columns.min())
    shape = (end - begin, int(columns.max()) + 1 - first)
    part = (weights.data[used], columns - first, starts - starts[0])
    return first, scipy.sparse.csr_array(part, shape=shape)


def _resample_rows(
    pixels: U8Array,
    tall: tuple[int, scipy.sparse.csr_array],
    wide: scipy.sparse.csr_array,
    *,
    out: U8Array,
) -> None:
    """Compute some output rows."""
    first, weights = tall
    taken = pixels[first : first + weights.shape[1]]
    height, width, channels = taken.shape
    # Rows first: they are contiguous, and what follows is smaller.
    sums = weights @ taken.reshape(height, width * channels).astype(np.float32)
    # Four floats, a pixel, are turned as one number of 16 bytes: nothing looks at its value.
    turned = np.ascontiguousarray(sums.view(np.complex128).T).view(np.float32)
    columns = wide @ turned + np.float32(0.5)
    out.view(np.uint32)[..., 0] = columns.astype(np.uint8).view(np.uint32).T


def rgb(pixels: U8Array, *, out: U8Array | None = None) -> U8Array:
    """Drop the data flags: (H, W, 4) uint8 to (H, W, 3), contiguous unless ``out`` is given.

    Channel by channel is five times as fast as all at once: numpy then copies in its inner loop.
    """
    result = np.empty((*pixels.shape[:2], 3), dtype=np.uint8) if out is None else out
    for channel in range(3):
        result[..., channel] = pixels[..., channel]
    return result
