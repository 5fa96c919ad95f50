"""Serve pixels from an array in memory: flat images, and slides made up for tests."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import numpy as np

from pathology.geometry import Box0, Size0, Spacing
from pathology.types import BoolArray, U8Array
from pathology.wsi.missing import flatten
from pathology.wsi.reader import Level, SourceSlide
from pathology.wsi.slide import SlideInfo

__all__ = ["ArraySlide", "ArraySource"]


class ArraySource:
    """Offer an array as a pyramid of one level.

    Parameters
    ----------
    pixels
        (H, W, 3) uint8, or (H, W, 4) with straight alpha. Not copied; do not change it afterwards.

    Raises
    ------
    ValueError
        If the shape or dtype is another.
    """

    def __init__(self, pixels: U8Array) -> None:
        shape = pixels.shape
        if len(shape) != 3 or shape[2] not in (3, 4) or not pixels.size or pixels.dtype != np.uint8:
            raise ValueError(f"need (H, W, 3 or 4) uint8, not {shape} {pixels.dtype}")
        self._pixels = pixels
        self._levels = (
            Level(
                width=pixels.shape[1],
                height=pixels.shape[0],
                scale_x=Fraction(1),
                scale_y=Fraction(1),
            ),
        )

    @property
    def levels(self) -> tuple[Level, ...]:
        """The one level."""
        return self._levels

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> U8Array:
        """Read a window; see ``PixelSource.read_level``."""
        if level != 0:
            raise IndexError(f"an array has one level, not {level}")
        window = self._pixels[y : y + height, x : x + width]
        if window.shape[2] == 4:
            return flatten(np.ascontiguousarray(window))
        result = np.empty((height, width, 4), dtype=np.uint8)
        result[..., :3] = window
        result[..., 3] = 255
        return result

    def close(self) -> None:
        """Do nothing: memory is freed with the object."""


class ArraySlide(SourceSlide):
    """Read an array as if it were a slide.

    Parameters
    ----------
    pixels
        (H, W, 3) uint8 sRGB.
    mpp
        Pixel size in µm/px.
    data
        (H, W) bool, False where there is no data; None: data everywhere.
    path
        Name to go by.

    Raises
    ------
    ValueError
        If a shape, dtype or the pixel size is not valid.

    Examples
    --------
    >>> slide = ArraySlide(np.full((40, 60, 3), 200, np.uint8), mpp=0.25)
    >>> region = slide.read_region(Box0(x=50, y=0, width=20, height=20), mpp=0.5)
    >>> region.pixels.shape, region.pixels[0, 4].tolist(), region.pixels[0, 5].tolist()
    ((10, 10, 3), [200, 200, 200], [255, 255, 255])
    >>> region.data[0].tolist() == [True] * 5 + [False] * 5
    True
    """

    def __init__(
        self,
        pixels: U8Array,
        *,
        mpp: float | Spacing,
        data: BoolArray | None = None,
        path: Path | None = None,
    ) -> None:
        if data is not None:
            if data.shape != pixels.shape[:2] or data.dtype != np.bool_:
                raise ValueError("data must be (H, W) bool, as large as the pixels")
            alpha = np.where(data, 255, 0).astype(np.uint8)
            pixels = np.concatenate([pixels, alpha[..., None]], axis=2)
        source = ArraySource(pixels)
        height, width = pixels.shape[:2]
        digest = hashlib.sha256(f"{pixels.shape}".encode())
        digest.update(np.ascontiguousarray(pixels).data)
        info = SlideInfo(
            path=path if path is not None else Path("array"),
            vendor="array",
            size=Size0(width=width, height=height),
            bounds=Box0(x=0, y=0, width=width, height=height),
            spacing=mpp if isinstance(mpp, Spacing) else Spacing(x=mpp, y=mpp),
            mpp_source="array",
            quickhash=f"sha256:{digest.hexdigest()}",
        )
        super().__init__(info, source)
