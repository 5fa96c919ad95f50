"""Small drawing kit on Pillow: text that flows in a column, hatches, scale bars, a picture frame.

Everything is drawn into plain RGB images without global state, with the DejaVu fonts that
matplotlib carries, so that the same input gives the same bytes on every machine of a kind.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pathology.geometry import Box0, Spacing
from pathology.report.palette import INK, MUTED, PAPER, RGB
from pathology.report.raster import hatched_swatch
from pathology.types import AnyArray, IntArray

__all__ = [
    "SCALE_STRIP_PX",
    "Flow",
    "View",
    "font",
    "png_bytes",
    "round_length_um",
    "stack",
    "with_scale_bar",
    "wrap",
]

#: From here on, lines of text stand closer.
LARGE_TYPE_PX = 40
#: The scale bar is at most this share of the picture's width.
SCALE_BAR_SHARE = 0.25
#: Height of the strip that it lies in.
SCALE_STRIP_PX = 24
#: Tallest column that can be drawn, px; far above any real panel.
MAX_FLOW_PX = 6000
#: zlib level of PNG files: tissue hardly shrinks further, and level 6 takes three times as long.
PNG_LEVEL = 3


@cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return a DejaVu Sans font.

    Parameters
    ----------
    size
        Height in px.
    bold
        The bold cut.
    """
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    # The basic layout engine does not depend on system libraries for complex scripts.
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def wrap(text: str, face: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break text into lines that are at most ``width`` px wide; overlong words are cut.

    Backticks, which mark commands in the words of this package, are left out.

    Examples
    --------
    >>> wrap("one two three", font(12), 55)
    ['one two', 'three']
    """
    lines: list[str] = []
    line = ""
    for word in text.replace("`", "").split():
        trial = f"{line} {word}".strip()
        if face.getlength(trial) <= width:
            line = trial
            continue
        if line:
            lines.append(line)
        while face.getlength(word) > width and len(word) > 1:
            cut = _fitting(word, face, width)
            lines.append(word[:cut])
            word = word[cut:]
        line = word
    return [*lines, line] if line else lines


def _fitting(word: str, face: ImageFont.FreeTypeFont, width: int) -> int:
    """Return how many letters of a word fit, at least one."""
    count = 1
    while count < len(word) and face.getlength(word[: count + 1]) <= width:
        count += 1
    return count


class Flow:
    """Draw blocks below each other in a column of fixed width.

    Parameters
    ----------
    width
        Width of the column in px, at least 40.

    Raises
    ------
    ValueError
        If the column is too narrow for text.

    Examples
    --------
    >>> flow = Flow(200)
    >>> flow.text("HER2 IHC", size=14, bold=True)
    >>> flow.image().size[0]
    200
    """

    def __init__(self, width: int) -> None:
        if width < 40:
            raise ValueError(f"a column needs at least 40 px, not {width}")
        self.width = width
        self.y = 0
        self._image = Image.new("RGB", (width, MAX_FLOW_PX), PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def space(self, pixels: int) -> None:
        """Leave some room."""
        self.y = min(self.y + pixels, MAX_FLOW_PX)

    def text(
        self, text: str, *, size: int, bold: bool = False, colour: RGB = INK, indent: int = 0
    ) -> None:
        """Write wrapped text."""
        face = font(size, bold=bold)
        step = round(size * (1.32 if size < LARGE_TYPE_PX else 1.12))
        for line in wrap(text, face, self.width - indent):
            self._draw.text((indent, self.y), line, font=face, fill=colour)
            self.space(step)

    def heading(self, text: str) -> None:
        """Write a small heading above a thin rule."""
        self.space(10)
        self.text(text.upper(), size=11, bold=True, colour=MUTED)
        self._draw.line((0, self.y, self.width, self.y), fill=(214, 218, 224))
        self.space(6)

    def swatch(self, label: str, colour: RGB, *, hatched: bool = False, size: int = 13) -> None:
        """Draw one line of a legend: a box of colour and its meaning."""
        box = Image.new("RGB", (20, 14), colour)
        if hatched:
            box = Image.fromarray(hatched_swatch(colour))
        self._image.paste(box, (0, self.y + 1))
        self._draw.rectangle((0, self.y + 1, 19, self.y + 14), outline=MUTED)
        self.text(label, size=size, indent=28)
        self.space(3)

    def bar(self, label: str, value: str, share: float, colour: RGB) -> None:
        """Draw one line of a bar chart: label left, value right, bar below.

        Parameters
        ----------
        label, value
            Texts.
        share
            Length of the bar, 0 to 1.
        colour
            Colour of the bar.
        """
        size = 13
        while size > 9 and _both(label, value, size) > self.width - 8:
            size -= 1
        face, strong = font(size), font(size, bold=True)
        self._draw.text((0, self.y), label, font=face, fill=INK)
        wide = strong.getlength(value)
        self._draw.text((self.width - wide, self.y), value, font=strong, fill=INK)
        self.space(18)
        right = self.width - 1
        self._draw.rectangle((0, self.y, right, self.y + 10), fill=(238, 240, 243))
        filled = round(right * min(max(share, 0.0), 1.0))
        if filled > 0 or share > 0:
            # The smallest share is still a visible sliver: one cell in a thousand matters here.
            self._draw.rectangle((0, self.y, max(filled, 2), self.y + 10), fill=colour)
        self._draw.rectangle((0, self.y, right, self.y + 10), outline=(190, 196, 204))
        self.space(18)

    def badge(self, text: str, colour: RGB) -> None:
        """Draw a short text on a filled box."""
        face = font(14, bold=True)
        wide = min(int(face.getlength(text)) + 20, self.width)
        self._draw.rounded_rectangle((0, self.y, wide, self.y + 27), radius=4, fill=colour)
        self._draw.text((10, self.y + 5), text, font=face, fill=PAPER)
        self.space(34)

    def image(self) -> Image.Image:
        """Return what has been drawn so far."""
        return self._image.crop((0, 0, self.width, max(self.y, 1)))


def _both(label: str, value: str, size: int) -> float:
    """Return the width of a label and its value in bold."""
    return font(size).getlength(label) + font(size, bold=True).getlength(value)


@dataclass(frozen=True, kw_only=True)
class View:
    """Say which part of level 0 a picture shows.

    Parameters
    ----------
    box
        Level-0 pixels shown.
    width, height
        Size of the picture in px.
    spacing
        Size of a level-0 pixel in µm.

    Examples
    --------
    >>> view = View(box=Box0(x=100, y=0, width=400, height=200), width=40, height=20,
    ...             spacing=Spacing(x=0.5, y=0.5))
    >>> view.place(300, 100), view.um_per_px
    ((20.0, 10.0), 5.0)
    """

    box: Box0
    width: int
    height: int
    spacing: Spacing

    @property
    def um_per_px(self) -> float:
        """Micrometres per picture pixel, along x."""
        return self.box.width * self.spacing.x / self.width

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Convert level-0 pixels to picture pixels."""
        return (
            (x - self.box.x) * self.width / self.box.width,
            (y - self.box.y) * self.height / self.box.height,
        )

    def place_all(self, x_um: AnyArray, y_um: AnyArray) -> tuple[IntArray, IntArray]:
        """Convert (n,) µm from the top left of level 0 to columns and rows of the picture."""
        x = (x_um.astype(np.float64) / self.spacing.x - self.box.x) * self.width / self.box.width
        y = (y_um.astype(np.float64) / self.spacing.y - self.box.y) * self.height / self.box.height
        return np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)

    @classmethod
    def fit(cls, box: Box0, spacing: Spacing, *, width: int, height: int) -> View:
        """Return the largest view of a box that fits into width × height px, in true proportion."""
        wide_um, high_um = box.width * spacing.x, box.height * spacing.y
        scale = min(width / wide_um, height / high_um)
        return cls(
            box=box,
            width=max(1, min(width, round(wide_um * scale))),
            height=max(1, min(height, round(high_um * scale))),
            spacing=spacing,
        )


def round_length_um(limit_um: float) -> float:
    """Return the longest of 1, 2 and 5 × 10ⁿ µm that is not above a limit.

    Examples
    --------
    >>> round_length_um(730.0), round_length_um(2100.0)
    (500.0, 2000.0)
    """
    power = 10.0 ** math.floor(math.log10(limit_um))
    return max(step * power for step in (0.5, 1.0, 2.0, 5.0) if step * power <= limit_um)


def with_scale_bar(image: Image.Image, view: View) -> Image.Image:
    """Return the picture with a scale bar in a strip below it, so that it hides nothing.

    Parameters
    ----------
    image
        The picture.
    view
        What it shows.
    """
    length = round_length_um(max(view.width * view.um_per_px * SCALE_BAR_SHARE, 1e-3))
    pixels = max(2, round(length / view.um_per_px))
    label = f"{length / 1000:g} mm" if length >= 100 else f"{length:g} µm"
    page = Image.new("RGB", (image.width, image.height + SCALE_STRIP_PX), PAPER)
    page.paste(image, (0, 0))
    draw = ImageDraw.Draw(page)
    y = image.height + SCALE_STRIP_PX // 2
    draw.rectangle((8, y - 2, 8 + pixels, y + 2), fill=INK)
    draw.line((8, y - 6, 8, y + 6), fill=INK)
    draw.line((8 + pixels, y - 6, 8 + pixels, y + 6), fill=INK)
    draw.text((16 + pixels, y), label, font=font(13, bold=True), fill=INK, anchor="lm")
    return page


def stack(blocks: list[Image.Image], *, width: int, columns: int, gap: int) -> Image.Image:
    """Place blocks in order into columns of roughly equal height.

    Parameters
    ----------
    blocks
        Images, each at most one column wide.
    width
        Width of the result in px.
    columns
        Number of columns, at least 1.
    gap
        Room between columns and blocks in px.
    """
    column_width = (width - gap * (columns - 1)) // columns
    tall = max(block.height for block in blocks)
    target = max(sum(block.height + gap for block in blocks) / columns, tall)
    placed: list[tuple[int, int, Image.Image]] = []
    column, y, lowest = 0, 0, 1
    for block in blocks:
        if y and y + block.height > target + gap and column < columns - 1:
            column, y = column + 1, 0
        placed.append((column * (column_width + gap), y, block))
        y += block.height + gap
        lowest = max(lowest, y - gap)
    result = Image.new("RGB", (width, lowest), PAPER)
    for x, top, block in placed:
        result.paste(block, (x, top))
    return result


def png_bytes(image: Image.Image) -> bytes:
    """Encode as PNG without any metadata (no date, no program name)."""
    buffer = io.BytesIO()
    clean = Image.new("RGB", image.size)
    clean.paste(image)
    clean.save(buffer, format="PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()
