"""Deep zoom: the squares of a slide that the viewer asks for, as JPEG.

The picture that the viewer sees has square pixels of the slide's finest direction, so that one
number, µm per pixel, is enough for its scale bar and magnifications. Pyramid levels of the file
stay in :mod:`pathology.wsi`: a square is read as a box at a pixel size.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections import OrderedDict
from dataclasses import dataclass

import simplejpeg

from pathology.errors import SlideError
from pathology.geometry import Box0, Size0, Spacing
from pathology.review.run import ReviewRun
from pathology.wsi import Slide

__all__ = [
    "MAGNIFICATIONS",
    "TILE_PX",
    "SlideCache",
    "ZoomPicture",
    "check_open",
    "tile_etag",
    "tile_jpeg",
]

#: Side of a square in px: large enough that a screen needs about fifteen of them.
TILE_PX = 512
#: Quality of the JPEG: above it, files grow faster than what the eye sees of it.
QUALITY = 85
#: Steps of the viewer and the pixel size in µm at which each is shown one to one. By convention an
#: objective of 10x goes with 1 µm/px, as DICOM and scanners use it (40x with 0.25 µm/px).
MAGNIFICATIONS: tuple[tuple[float, float], ...] = tuple(
    (power, 10 / power) for power in (2.5, 5.0, 10.0, 20.0, 40.0)
)
#: Slides held open at once; each holds a cache of decoded tiles.
OPEN_SLIDES = 6


@dataclass(frozen=True, kw_only=True)
class ZoomPicture:
    """Lay the levels and squares of a slide.

    Parameters
    ----------
    size
        Level-0 pixels of the slide.
    spacing
        Size of a level-0 pixel in µm.

    Examples
    --------
    >>> zoom = ZoomPicture(size=Size0(width=1500, height=700), spacing=Spacing(x=0.5, y=0.5))
    >>> zoom.width, zoom.height, zoom.max_level, zoom.mpp
    (1500, 700, 11, 0.5)
    >>> zoom.tile(11, 2, 1).box
    Box0(x=1024, y=512, width=476, height=188)
    """

    size: Size0
    spacing: Spacing

    @property
    def mpp(self) -> float:
        """Pixel size of the finest level in µm."""
        return min(self.spacing.x, self.spacing.y)

    @property
    def width(self) -> int:
        """Width of the finest level in px."""
        return max(1, round(self.size.width * self.spacing.x / self.mpp))

    @property
    def height(self) -> int:
        """Height of the finest level in px."""
        return max(1, round(self.size.height * self.spacing.y / self.mpp))

    @property
    def max_level(self) -> int:
        """Number of the finest level; level 0 is one pixel."""
        return math.ceil(math.log2(max(self.width, self.height)))

    def tile(self, level: int, column: int, row: int) -> ZoomTile:
        """Return one square; those at the right and lower edge are smaller.

        Raises
        ------
        KeyError
            If there is no such square.
        """
        if not 0 <= level <= self.max_level:
            raise KeyError(level)
        step = 1 << (self.max_level - level)
        columns, rows = -(-self.width // step), -(-self.height // step)
        if column < 0 or row < 0 or column * TILE_PX >= columns or row * TILE_PX >= rows:
            raise KeyError((column, row))
        wide = min(TILE_PX, columns - column * TILE_PX)
        high = min(TILE_PX, rows - row * TILE_PX)
        left, width = _span(column * TILE_PX, wide, step * self.mpp / self.spacing.x)
        top, height = _span(row * TILE_PX, high, step * self.mpp / self.spacing.y)
        box = Box0(x=left, y=top, width=width, height=height)
        # Chosen so that the box gives just so many columns and rows.
        at = Spacing(x=width * self.spacing.x / wide, y=height * self.spacing.y / high)
        return ZoomTile(box=box, mpp=at)


@dataclass(frozen=True, kw_only=True)
class ZoomTile:
    """Name what a square shows.

    Parameters
    ----------
    box
        Level-0 pixels; reaches beyond the slide by less than a pixel of the level.
    mpp
        Pixel size to read it at.
    """

    box: Box0
    mpp: Spacing


class SlideCache:
    """Hold the slides that were looked at last open, a bounded number of them.

    Parameters
    ----------
    run
        Opens the slides.
    limit
        Slides open at once.
    """

    def __init__(self, run: ReviewRun, *, limit: int = OPEN_SLIDES) -> None:
        self._run = run
        self._limit = limit
        self._open: OrderedDict[str, Slide] = OrderedDict()
        self._lock = threading.Lock()
        self._opening: dict[str, threading.Lock] = {}

    def __len__(self) -> int:
        """Return the number of open slides."""
        return len(self._open)

    def get(self, slide_id: str) -> Slide:
        """Return an open slide.

        Raises
        ------
        SlideError
            If the file is gone or cannot be read.
        """
        with self._lock:
            slide = self._open.get(slide_id)
            if slide is not None:
                self._open.move_to_end(slide_id)
                return slide
            opening = self._opening.setdefault(slide_id, threading.Lock())
        with opening:  # a screen asks for fifteen squares at once, and one of them opens the file
            with self._lock:
                slide = self._open.get(slide_id)
            if slide is None:
                slide = self._run.open_slide(slide_id)
                self._keep(slide_id, slide)
        return slide

    def read(self, slide_id: str, tile: ZoomTile) -> bytes:
        """Return a square as JPEG.

        Raises
        ------
        SlideError
            If the file is gone or cannot be opened.
        RegionReadError
            If its pixels cannot be decoded.
        """
        slide = self.get(slide_id)
        try:
            return tile_jpeg(slide, tile)
        except ValueError:
            # Another thread closed the slide to make room, between the lines above.
            return tile_jpeg(self.get(slide_id), tile)

    def close(self) -> None:
        """Close all slides."""
        with self._lock:
            slides, self._open = list(self._open.values()), OrderedDict()
        for slide in slides:
            slide.close()

    def _keep(self, slide_id: str, slide: Slide) -> None:
        with self._lock:
            self._open[slide_id] = slide
            spare = []
            while len(self._open) > self._limit:
                spare.append(self._open.popitem(last=False)[1])
        for old in spare:
            old.close()


def tile_jpeg(slide: Slide, tile: ZoomTile) -> bytes:
    """Read a square and encode it.

    Parameters
    ----------
    slide
        Open slide.
    tile
        Which square.

    Returns
    -------
    bytes
        JPEG in colour.
    """
    pixels = slide.read(tile.box, mpp=tile.mpp)
    return bytes(simplejpeg.encode_jpeg(pixels, quality=QUALITY, colorsubsampling="444"))


def tile_etag(identity: str, level: int, column: int, row: int) -> str:
    """Return the tag by which a browser asks whether a square is still the same.

    Examples
    --------
    >>> tile_etag("a", 1, 0, 0) == tile_etag("a", 1, 0, 0), tile_etag("b", 1, 0, 0)[:1]
    (True, '"')
    """
    text = f"{identity}/{TILE_PX}/{QUALITY}/{level}/{column}/{row}"
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:20]}"'


def _span(first: int, count: int, factor: float) -> tuple[int, int]:
    """Return start and length in level-0 pixels of a run of pixels of a level."""
    start, end = round(first * factor), round((first + count) * factor)
    return start, max(1, end - start)


def check_open(cache: SlideCache, slide_id: str) -> SlideError | None:
    """Return why a slide cannot be opened, None where it can."""
    try:
        cache.get(slide_id)
    except SlideError as error:
        return error
    return None
