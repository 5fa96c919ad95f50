"""What every reader of slides offers to the rest of the program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from pathology.geometry import Box0, Size0, Spacing
from pathology.types import BoolArray, U8Array

__all__ = ["MppSource", "Reader", "Region", "Slide", "SlideInfo"]

#: Where a pixel size came from: the file's header, the manifest, or the command line (``--mpp``).
MppSource = Literal["header", "manifest", "argument", "array"]
#: What pixels are read with: the tiles of the file itself, OpenSlide, or an image in memory.
Reader = Literal["direct", "openslide", "memory"]


@dataclass(frozen=True, kw_only=True)
class SlideInfo:
    """Describe an open slide.

    Parameters
    ----------
    path
        The file (or folder's first file) that was opened.
    vendor
        OpenSlide's vendor name, or ``image`` for flat images and ``array`` for arrays.
    size
        Width and height of level 0.
    bounds
        The scanned, non-empty part of level 0, where the header names one; else the whole level.
    spacing
        Size of a level-0 pixel in µm.
    mpp_source
        Where ``spacing`` came from.
    quickhash
        OpenSlide's quickhash-1 where there is one, else ``sha256:`` of the file's content or array.
    icc_profile
        ``none``, ``recorded`` (present, not applied) or ``applied``.
    properties
        Non-personal scanner properties that are safe to write out.
    reader
        Where pixels come from: ``direct`` (the file's tiles), ``openslide``, or ``memory``.
    reader_note
        Why they are not read directly, where they come from OpenSlide.
    """

    path: Path
    vendor: str
    size: Size0
    bounds: Box0
    spacing: Spacing
    mpp_source: MppSource
    quickhash: str
    icc_profile: Literal["none", "recorded", "applied"] = "none"
    properties: Mapping[str, str] = field(default_factory=dict)
    reader: Reader = "memory"
    reader_note: str = ""


@dataclass(frozen=True, kw_only=True)
class Region:
    """Hold the pixels of one read.

    Parameters
    ----------
    pixels
        (H, W, 3) uint8 sRGB; white where there is no data.
    data
        (H, W) bool; False outside the slide and where the file holds nothing.
    """

    pixels: U8Array
    data: BoolArray


class Slide(Protocol):
    """Read pixels of a slide at any pixel size; pyramid levels are the reader's own business."""

    @property
    def info(self) -> SlideInfo:
        """Description of the slide."""
        ...

    def read_region(self, box: Box0, *, mpp: float | Spacing) -> Region:
        """Read a box, resampled to ``mpp``.

        Parameters
        ----------
        box
            Level-0 pixels; may reach outside the slide (white, ``data`` False there).
        mpp
            Wanted pixel size in µm/px: one number for both directions, or a ``Spacing``. With the
            slide's own spacing s the output has ``round(box.width * s.x / mpp.x)`` columns and
            ``round(box.height * s.y / mpp.y)`` rows, at least 1 each, that cover the box exactly.

        Returns
        -------
        Region
            Pixels and where there is data. The value of an output pixel does not depend on the box
            that it was read with (same phase on the same grid).

        Raises
        ------
        RegionReadError
            If pixels cannot be decoded, also not with a fresh handle.
        """
        ...

    def read(self, box: Box0, *, mpp: float | Spacing) -> U8Array:
        """Read a box as (H, W, 3) uint8; see :meth:`read_region`."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...

    def __enter__(self) -> Self:
        """Enter a ``with`` block."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the slide."""
        ...
