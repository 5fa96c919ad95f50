"""What pictures are made from: the slide seen from afar, outlines, and tiles with their counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import shapely

from pathology.cells.table import PATTERNS
from pathology.geometry import Box0, Spacing
from pathology.runs.tiles import TileRow
from pathology.tissue.finding import TissueFinding
from pathology.tissue.regions import RegionKind, Regions
from pathology.types import AnyArray, IntArray, U8Array
from pathology.wsi.slide import Slide

__all__ = ["Backdrop", "Outline", "TileMarks"]

#: A pattern speaks for a tile when more than this share of its tumour cells show it: the 10 % of
#: the breast guideline, applied to a tile.
TILE_CUTOFF_PCT = 10
#: Complete intense cells are pointed out in a tile from this share on: the floor under which the
#: default configuration takes a pattern for noise.
INTENSE_FLOOR_PCT = 1
_REGION_NAMES: Final = MappingProxyType(
    {
        RegionKind.TUMOUR: "tumour",
        RegionKind.IGNORE: "exclude",
        RegionKind.EXCLUDE: "exclude",
        RegionKind.IN_SITU: "in_situ",
        RegionKind.CONTROL: "control",
    }
)


@dataclass(frozen=True, kw_only=True)
class Backdrop:
    """Hold the slide seen from afar.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8 sRGB, covering ``box`` exactly.
    box
        Level-0 pixels that the picture covers.
    spacing
        Size of a level-0 pixel in µm.

    Raises
    ------
    ValueError
        If the picture is not (H, W, 3) uint8.
    """

    rgb: U8Array
    box: Box0
    spacing: Spacing

    def __post_init__(self) -> None:
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.rgb.dtype != np.uint8:
            raise ValueError("a backdrop is an (H, W, 3) array of uint8")

    @classmethod
    def from_finding(cls, finding: TissueFinding) -> Backdrop:
        """Take the overview that tissue was found on."""
        return cls(rgb=finding.overview, box=finding.box, spacing=finding.tissue.spacing)

    @classmethod
    def read(cls, slide: Slide, *, size_px: int = 1000) -> Backdrop:
        """Read the scanned part of a slide afresh, as sharp as a picture can show it.

        Parameters
        ----------
        slide
            The open slide.
        size_px
            Longest side in px; a slide smaller than that is read at its own pixel size.

        Raises
        ------
        RegionReadError
            If pixels cannot be decoded; :meth:`from_finding` then still has what was decoded.
        """
        box, spacing = slide.info.bounds, slide.info.spacing
        longest = max(box.width * spacing.x, box.height * spacing.y)
        mpp = max(longest / size_px, spacing.x, spacing.y)
        return cls(rgb=slide.read(box, mpp=mpp), box=box, spacing=spacing)

    def crop(self, box: Box0) -> Backdrop:
        """Return the part that covers a box, grown to whole pixels of the picture.

        Parameters
        ----------
        box
            Level-0 pixels; has to overlap the backdrop.

        Raises
        ------
        ValueError
            If nothing overlaps.
        """
        common = self.box.intersection(box)
        if common is None:
            raise ValueError("the box lies outside the backdrop")
        height, width = self.rgb.shape[:2]
        x0 = (common.x - self.box.x) * width // self.box.width
        y0 = (common.y - self.box.y) * height // self.box.height
        x1 = -((self.box.x - common.right) * width // self.box.width)
        y1 = -((self.box.y - common.bottom) * height // self.box.height)
        left = self.box.x + round(x0 * self.box.width / width)
        top = self.box.y + round(y0 * self.box.height / height)
        right = self.box.x + round(x1 * self.box.width / width)
        bottom = self.box.y + round(y1 * self.box.height / height)
        return Backdrop(
            rgb=self.rgb[y0:y1, x0:x1],
            box=Box0(x=left, y=top, width=max(1, right - left), height=max(1, bottom - top)),
            spacing=self.spacing,
        )


@dataclass(frozen=True, kw_only=True)
class Outline:
    """Hold the outline of an annotated region.

    Parameters
    ----------
    kind
        What it is: a key of ``palette.AREA_LABELS``.
    points
        (n, 2) float array: x and y in level-0 pixels; closed or not.
    """

    kind: str
    points: AnyArray

    @classmethod
    def from_regions(cls, regions: Regions) -> tuple[Outline, ...]:
        """Return every ring, outer and inner, of annotated regions.

        Parameters
        ----------
        regions
            Shapes in level-0 pixels.

        Examples
        --------
        >>> from shapely.geometry import box
        >>> regions = Regions(shapes={RegionKind.IN_SITU: box(0, 0, 10, 20)})
        >>> [(ring.kind, ring.points.shape) for ring in Outline.from_regions(regions)]
        [('in_situ', (5, 2))]
        """
        found = []
        for kind, shape in sorted(regions.shapes.items()):
            for part in shapely.get_parts(shape):
                rings = shapely.get_rings(part)
                found += [
                    cls(kind=_REGION_NAMES[kind], points=shapely.get_coordinates(ring))
                    for ring in rings
                ]
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class TileMarks:
    """Hold what pictures need of n tiles.

    Parameters
    ----------
    tile_id
        (n,) int64.
    boxes
        (n, 4) int64: x, y, width, height in level-0 pixels.
    failed
        (n,) bool: could not be read.
    counts
        (n, 5) int64: tumour cells by pattern, in the order of ``PATTERNS``.

    Raises
    ------
    ValueError
        If lengths or shapes do not fit.
    """

    tile_id: IntArray
    boxes: IntArray
    failed: AnyArray
    counts: IntArray

    def __post_init__(self) -> None:
        n = len(self.tile_id)
        wanted = {"boxes": (n, 4), "failed": (n,), "counts": (n, len(PATTERNS))}
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"tile marks: {name} must be of shape {shape}")

    @classmethod
    def from_rows(cls, rows: Iterable[TileRow]) -> TileMarks:
        """Take the tiles of a slide from the rows of its ``tiles.parquet``."""
        tiles = list(rows)
        boxes = [(tile.x_px, tile.y_px, tile.width_px, tile.height_px) for tile in tiles]
        counts = [[getattr(tile, f"n_{name}") for name in PATTERNS] for tile in tiles]
        return cls(
            tile_id=np.array([tile.tile_id for tile in tiles], dtype=np.int64),
            boxes=np.array(boxes, dtype=np.int64).reshape(-1, 4),
            failed=np.array([tile.status == "failed" for tile in tiles], dtype=np.bool_),
            counts=np.array(counts, dtype=np.int64).reshape(-1, len(PATTERNS)),
        )

    @property
    def n(self) -> int:
        """Number of tiles."""
        return len(self.tile_id)

    @property
    def n_tumour(self) -> IntArray:
        """(n,) int64: tumour cells per tile."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.int64)

    @property
    def extent(self) -> Box0 | None:
        """The level-0 box around all tiles, None where there is none."""
        if not self.n:
            return None
        x, y = int(self.boxes[:, 0].min()), int(self.boxes[:, 1].min())
        right = int((self.boxes[:, 0] + self.boxes[:, 2]).max())
        bottom = int((self.boxes[:, 1] + self.boxes[:, 3]).max())
        return Box0(x=x, y=y, width=right - x, height=bottom - y)

    def leading_pattern(self) -> IntArray:
        """Return each tile's leading pattern: the strongest that over 10 % of its cells reach.

        A cell reaches its own pattern and all weaker ones, so weaker staining never outweighs
        stronger. The comparison is on integers, and strict, as in the guideline.

        Returns
        -------
        numpy.ndarray
            (n,) int64: index into ``PATTERNS``; 0 where no stained pattern passes; -1 where the
            tile has no tumour cell or failed.

        Examples
        --------
        >>> counts = np.array([[89, 0, 0, 0, 11], [90, 0, 0, 0, 10]])
        >>> marks = TileMarks(tile_id=np.arange(2), boxes=np.ones((2, 4), dtype=np.int64),
        ...                   failed=np.zeros(2, dtype=bool), counts=counts)
        >>> marks.leading_pattern().tolist()
        [4, 0]
        """
        total = self.n_tumour
        reached = np.cumsum(self.counts[:, ::-1], axis=1)[:, ::-1]
        leading = np.where(total > 0, 0, -1)
        for code in range(1, len(PATTERNS)):
            leading[100 * reached[:, code] > TILE_CUTOFF_PCT * total] = code
        leading[np.asarray(self.failed, dtype=np.bool_)] = -1
        return leading.astype(np.int64)

    def holds_intense(self) -> AnyArray:
        """(n,) bool: tiles with complete intense cells from 1 % on, but too few to lead them."""
        enough = 100 * self.counts[:, -1] >= INTENSE_FLOOR_PCT * np.maximum(self.n_tumour, 1)
        led = self.leading_pattern() == len(PATTERNS) - 1
        return np.asarray(enough & ~led & ~self.failed, dtype=np.bool_)
