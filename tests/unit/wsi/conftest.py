from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from pathology.synthesis.tiff import write_pyramid


def field(height: int, width: int) -> np.ndarray:
    """Make a smooth, bright, colourful field without black."""
    return _field(height, width).copy()


@functools.cache
def _field(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=(height, width, 3)), (2, 2, 0))
    return (150 + 80 * noise / np.abs(noise).max()).astype(np.uint8)


@pytest.fixture
def make_slide(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a lossless pyramid and returns its path."""

    def make(
        image: np.ndarray | None = None, *, name: str = "slide.tif", **changes: object
    ) -> Path:
        values: dict[str, object] = {"mpp": 0.25, "levels": 3, "compression": "deflate"}
        path = tmp_path / name
        write_pyramid(path, field(512, 512) if image is None else image, **(values | changes))
        return path

    return make


def tile_ranges(path: Path, level: int = 0) -> list[tuple[int, int]]:
    """Return offset and length of each storage tile of a level."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[level]
        return list(zip(page.dataoffsets, page.databytecounts, strict=True))


def zero_tile(path: Path, tile: int, level: int = 0) -> None:
    """Overwrite the bytes of one storage tile, so that it cannot be decoded."""
    offset, length = tile_ranges(path, level)[tile]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(length))


def drop_tile(path: Path, tile: int, level: int = 0) -> None:
    """Set the length of one storage tile to 0: the tile was never scanned."""
    with tifffile.TiffFile(path) as file:
        tag = file.pages[level].tags["TileByteCounts"]
        place = tag.valueoffset + 4 * tile
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes(4))


@pytest.fixture
def kit() -> SimpleNamespace:
    """Return the helpers above, which a test module cannot import."""
    return SimpleNamespace(
        field=field, tile_ranges=tile_ranges, zero_tile=zero_tile, drop_tile=drop_tile
    )
