"""Points, sizes and boxes in level-0 pixels, and the pixel size that ties them to micrometres.

Level-0 pixels (integers, origin at the top left of the finest level, x to the right, y down) are
the only frame that crosses module boundaries; results for people are in µm from the same origin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Box0", "Point0", "Size0", "Spacing"]


@dataclass(frozen=True, kw_only=True)
class Spacing:
    """Hold the size of a level-0 pixel.

    Parameters
    ----------
    x, y
        Micrometres per pixel along x and y, finite and above 0.

    Raises
    ------
    ValueError
        If a value is not a finite positive number.

    Examples
    --------
    >>> Spacing(x=0.25, y=0.25).area_um2
    0.0625
    """

    x: float
    y: float

    def __post_init__(self) -> None:
        for value in (self.x, self.y):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"spacing must be finite and above 0 µm/px, not {value!r}")

    @property
    def area_um2(self) -> float:
        """Area of one pixel in µm²."""
        return self.x * self.y

    @property
    def mean(self) -> float:
        """Mean of x and y in µm/px, for display only."""
        return (self.x + self.y) / 2

    @property
    def anisotropy(self) -> float:
        """Relative difference of x and y: 0 for square pixels, 0.015 for 1.5 %."""
        return abs(self.x - self.y) / min(self.x, self.y)


@dataclass(frozen=True, kw_only=True)
class Point0:
    """Hold a point in level-0 pixels.

    Examples
    --------
    >>> Point0(x=4, y=2).to_um(Spacing(x=0.5, y=0.25))
    (2.0, 0.5)
    """

    x: int
    y: int

    def to_um(self, spacing: Spacing) -> tuple[float, float]:
        """Convert to (x, y) in µm from the top left of level 0."""
        return self.x * spacing.x, self.y * spacing.y


@dataclass(frozen=True, kw_only=True)
class Size0:
    """Hold a width and a height in level-0 pixels, each at least 1.

    Raises
    ------
    ValueError
        If a side is below 1 pixel.

    Examples
    --------
    >>> Size0(width=3, height=2).area
    6
    """

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"size must be at least 1 × 1 px, not {self.width} × {self.height}")

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.width * self.height


@dataclass(frozen=True, kw_only=True)
class Box0:
    """Hold a half-open rectangle in level-0 pixels; it may reach outside the slide.

    Parameters
    ----------
    x, y
        Top-left corner, in level-0 pixels, may be negative.
    width, height
        Sides in level-0 pixels, at least 1.

    Raises
    ------
    ValueError
        If a side is below 1 pixel.

    Examples
    --------
    >>> Box0(x=-2, y=0, width=4, height=4).intersection(Box0(x=0, y=0, width=9, height=9))
    Box0(x=0, y=0, width=2, height=4)
    """

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"box must be at least 1 × 1 px, not {self.width} × {self.height}")

    @property
    def right(self) -> int:
        """First column to the right of the box."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """First row below the box."""
        return self.y + self.height

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    def intersection(self, other: Box0) -> Box0 | None:
        """Return the common part, or None where the boxes do not overlap."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        if right <= x or bottom <= y:
            return None
        return Box0(x=x, y=y, width=right - x, height=bottom - y)

    def contains(self, other: Box0) -> bool:
        """Tell whether ``other`` lies wholly inside."""
        return (
            self.x <= other.x
            and self.y <= other.y
            and other.right <= self.right
            and other.bottom <= self.bottom
        )

    def padded(self, x: int, y: int) -> Box0:
        """Return the box grown by ``x`` px to the left and right and ``y`` px above and below."""
        return Box0(
            x=self.x - x, y=self.y - y, width=self.width + 2 * x, height=self.height + 2 * y
        )
