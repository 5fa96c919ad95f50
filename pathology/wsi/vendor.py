"""Read scanner files through OpenSlide: the only module that calls it for pixels."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import openslide

from pathology.errors import ReasonCode, RegionReadError, SlideError
from pathology.types import U8Array
from pathology.wsi.missing import flatten
from pathology.wsi.reader import Level, true_scale

__all__ = ["OpenSlideSource", "detect_vendor"]

#: Side of the pieces in which a level with a fractional downsampling is read, in level pixels, and
#: how far a border may be moved to find a place that OpenSlide hits exactly.
_PIECE_PX = 256
_PIECE_SLACK_PX = 64
#: A level that cannot be hit exactly is worth reading only from this downsampling on: OpenSlide
#: then interpolates, which takes as long per pixel as four pixels of level 0.
_MIN_INEXACT_SCALE = 4
#: Cairo, which OpenSlide draws with, holds positions to 1/256 px; less than half of that is exact.
_EXACT_PX = 1 / 512


def detect_vendor(path: Path) -> str | None:
    """Return OpenSlide's name of a file's format, or None where it does not know it.

    Raises
    ------
    SlideError
        ``unreadable``, if OpenSlide takes the file for its own and stumbles over it.
    """
    try:
        return openslide.OpenSlide.detect_format(path)
    except openslide.OpenSlideError as error:
        raise _broken(path, error) from error


@dataclass(frozen=True, kw_only=True)
class _StoredLevel:
    """A level of the file: OpenSlide's number and downsampling, and where its pieces begin."""

    level: Level
    number: int
    nominal: float
    borders: tuple[int, ...]


class OpenSlideSource:
    """Offer the pyramid of a scanner file; any number of threads may read at once.

    OpenSlide's errors latch: after one, a handle refuses everything. So a failed read is tried once
    more on a handle of its own, and whatever the outcome a fresh handle takes the place of the old.
    A replaced or closed handle is freed when the last thread that reads with it lets go.

    Parameters
    ----------
    path
        The file.
    cache_mb
        Size of the cache of decoded tiles in MB (10^6 bytes), shared by all handles.

    Raises
    ------
    SlideError
        ``unreadable``, if OpenSlide cannot open the file.
    """

    def __init__(self, path: Path, *, cache_mb: int) -> None:
        self._path = path
        self._cache = openslide.OpenSlideCache(cache_mb * 1_000_000)
        self._lock = threading.Lock()
        try:
            handle = self._open()
            self.properties: dict[str, str] = dict(handle.properties)
            sizes, nominal = handle.level_dimensions, handle.level_downsamples
        except (openslide.OpenSlideError, OSError) as error:
            raise _broken(path, error) from error
        self._handle: openslide.OpenSlide | None = handle
        self._stored = _stored_levels(sizes, nominal)

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels, finest first."""
        return tuple(stored.level for stored in self._stored)

    @property
    def exact(self) -> tuple[bool, ...]:
        """Whether OpenSlide hits the pixels of a level, or interpolates between them."""
        return tuple(not stored.borders for stored in self._stored)

    @property
    def handle(self) -> openslide.OpenSlide:
        """The handle that is in use.

        Raises
        ------
        ValueError
            If the slide was closed.
        """
        handle = self._handle
        if handle is None:
            raise ValueError(f"{self._path}: the slide is closed")
        return handle

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> U8Array:
        """Read a window; see ``PixelSource.read_level``.

        OpenSlide takes positions in whole level-0 pixels, and interpolates where that falls between
        two level pixels. A window that starts anywhere would then have pixels that depend on the
        start; so such levels are read in pieces that start at fixed places.
        """
        borders = self._stored[level].borders
        if not borders:
            return self._read(level, x, y, width, height)
        result = np.empty((height, width, 4), dtype=np.uint8)
        size = self._stored[level].level
        for top, bottom in _pieces(borders, y, y + height, size.height):
            for left, right in _pieces(borders, x, x + width, size.width):
                piece = self._read(level, left, top, right - left, bottom - top)
                x0, x1 = max(left, x), min(right, x + width)
                y0, y1 = max(top, y), min(bottom, y + height)
                result[y0 - y : y1 - y, x0 - x : x1 - x] = piece[
                    y0 - top : y1 - top, x0 - left : x1 - left
                ]
        return result

    def close(self) -> None:
        """Let go of the file; reads in flight end in peace."""
        with self._lock:
            self._handle = None

    def _open(self) -> openslide.OpenSlide:
        handle = openslide.OpenSlide(self._path)
        handle.set_cache(self._cache)
        return handle

    def _read(self, level: int, x: int, y: int, width: int, height: int) -> U8Array:
        stored = self._stored[level]
        location = (round(x * stored.nominal), round(y * stored.nominal))
        handle = self.handle
        try:
            image = handle.read_region(location, stored.number, (width, height))
        except openslide.OpenSlideError as error:
            return self._read_again(handle, location, stored, (width, height), error)
        return flatten(np.asarray(image))

    def _read_again(
        self,
        latched: openslide.OpenSlide,
        location: tuple[int, int],
        stored: _StoredLevel,
        size: tuple[int, int],
        first: Exception,
    ) -> U8Array:
        # Not on the shared handle: another thread's bad region may latch that one meanwhile.
        try:
            fresh = self._open()
        except (openslide.OpenSlideError, OSError) as error:
            raise self._failure(location, stored, size, error) from first
        try:
            pixels = flatten(np.asarray(fresh.read_region(location, stored.number, size)))
        except openslide.OpenSlideError as error:
            self._replace(latched, None)
            raise self._failure(location, stored, size, error) from first
        self._replace(latched, fresh)
        return pixels

    def _replace(self, latched: openslide.OpenSlide, fresh: openslide.OpenSlide | None) -> None:
        with self._lock:
            if self._handle is not latched:
                return  # closed, or another thread was faster
            try:
                self._handle = fresh if fresh is not None else self._open()
            except (openslide.OpenSlideError, OSError):
                # The file went away: the latched handle makes every further read try again.
                self._handle = latched

    def _failure(
        self,
        location: tuple[int, int],
        stored: _StoredLevel,
        size: tuple[int, int],
        error: Exception,
    ) -> RegionReadError:
        width, height = (round(side * stored.nominal) for side in size)
        return RegionReadError(
            f"{self._path}: cannot decode {width} × {height} px at ({location[0]}, {location[1]}), "
            f"also not with a fresh handle ({error})",
            fix="Copy the file again from the scanner or archive.",
        )


def _broken(path: Path, error: Exception) -> SlideError:
    return SlideError(
        f"{path}: damaged or incomplete ({error})",
        reason=ReasonCode.UNREADABLE,
        fix="Copy the file (and its companion files) again from the scanner or archive.",
    )


def _stored_levels(
    sizes: Sequence[tuple[int, int]], nominal: Sequence[float]
) -> tuple[_StoredLevel, ...]:
    """Describe the levels that are worth reading."""
    result = []
    full_width, full_height = sizes[0]
    for number, ((width, height), factor) in enumerate(zip(sizes, nominal, strict=True)):
        borders = _borders(max(width, height), factor)
        level = Level(
            width=width,
            height=height,
            scale_x=true_scale(full_width, width, factor),
            scale_y=true_scale(full_height, height, factor),
        )
        if number and borders and min(level.scale_x, level.scale_y) < _MIN_INEXACT_SCALE:
            continue
        result.append(_StoredLevel(level=level, number=number, nominal=factor, borders=borders))
    return tuple(result)


def _borders(size: int, factor: float) -> tuple[int, ...]:
    """Choose where pieces begin; nothing where every level pixel can be hit exactly."""
    exact = np.arange(size) * factor
    error = np.abs(np.round(exact) - exact) / factor
    if error.max() < _EXACT_PX:
        return ()
    borders = [0]
    for middle in range(_PIECE_PX, size, _PIECE_PX):
        low, high = middle - _PIECE_SLACK_PX, min(middle + _PIECE_SLACK_PX, size)
        borders.append(low + int(np.argmin(error[low:high])))
    return tuple(borders)


def _pieces(borders: tuple[int, ...], begin: int, end: int, size: int) -> list[tuple[int, int]]:
    """List the pieces that a range of level pixels touches."""
    limits = [border for border in borders if border < size]
    first = bisect_right(limits, begin) - 1
    last = bisect_right(limits, end - 1)
    return list(pairwise([*limits[first:last], limits[last] if last < len(limits) else size]))
