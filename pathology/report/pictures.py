"""The two pictures of a slide: ``overview.png`` (what was looked at) and ``heatmap.png`` (why)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from pathology.cells.table import CellTable
from pathology.geometry import Box0
from pathology.report.canvas import SCALE_STRIP_PX, View, font, png_bytes, stack, with_scale_bar
from pathology.report.facts import Facts
from pathology.report.palette import (
    FAILED_TILE,
    MUTED,
    PAPER,
    PATTERN_COLOURS,
    RGB,
    TISSUE_OUTLINE,
    area_colour,
    area_label,
)
from pathology.report.panel import (
    area_block,
    footer_block,
    legend_block,
    patterns_block,
    score_block,
    why_block,
)
from pathology.report.raster import blend, grey_out, hatch, outline, resize_mask, resize_rgb
from pathology.report.scene import Backdrop, Outline, TileMarks
from pathology.report.tiles import FEW_CELLS, has_room_for_cells, paint_tiles
from pathology.runs.result import SlideResult
from pathology.types import BoolArray, U8Array

__all__ = ["Figure", "draw_heatmap", "draw_overview", "heatmap_figure", "overview_figure"]

MARGIN_PX = 22
PANEL_PX = 352
#: Room kept for the footer below a tall picture.
FOOTER_PX = 96
#: Below this the text would not fit beside the picture.
MIN_SIZE_PX = 760
#: A slide wider than this many times its height has its text below.
WIDE_ASPECT = 1.8
#: Room left around the tiles in the heat map, as a share of their extent.
HEATMAP_ROOM = 0.04

_CELL_NOTE = (
    "A tile has the colour of the strongest pattern that more than 10 % of its tumour cells "
    f"reach; paler where it has fewer than {FEW_CELLS} of them, uncoloured where it has none. "
    "A strip in a tile shows all its shares."
)
_TILE_NOTE = "A tile has the colour of what it was called, and none where it does not count."


def draw_overview(
    result: SlideResult,
    backdrop: Backdrop | None,
    *,
    tissue: BoolArray | None = None,
    areas: Mapping[str, BoolArray] | None = None,
    regions: Sequence[Outline] = (),
    tiles: TileMarks | None = None,
    size_px: int = 1200,
) -> bytes:
    """Draw the slide from afar with everything that was found, marked or left out.

    Parameters
    ----------
    result
        Result of the slide, scored or not.
    backdrop
        The slide from afar; None where it could not be opened.
    tissue
        (H, W) bool over the backdrop's box: tissue that was read.
    areas
        (H, W) bool masks over the backdrop's box, by kind (``pen``, ``dust``, ``control`` ...).
    regions
        Annotated outlines.
    tiles
        Tiles; those that failed are marked.
    size_px
        Longest side of the picture in px; taken as 760 where it is less.

    Returns
    -------
    bytes
        PNG without metadata; the same input gives the same bytes.
    """
    size = max(size_px, MIN_SIZE_PX)
    rows: tuple[tuple[str, RGB, bool], ...] = ()
    if backdrop is None:
        picture, wide = _no_picture(size), False
    else:
        width, height, wide = _room(backdrop.box, backdrop, size)
        figure = overview_figure(
            backdrop, tissue=tissue, areas=areas, regions=regions, tiles=tiles, room=(width, height)
        )
        picture, rows = figure.image, figure.rows
    width = _column_width(size, wide=wide)
    blocks = [score_block(result, width), why_block(result, width), area_block(result, width)]
    if rows:
        blocks.append(legend_block("Marks", rows, (), width))
    return png_bytes(_compose(picture, blocks, result, size, wide=wide))


def draw_heatmap(
    result: SlideResult,
    backdrop: Backdrop,
    tiles: TileMarks,
    *,
    cells: Iterable[CellTable] | None = None,
    size_px: int = 1200,
) -> bytes:
    """Draw one rectangle per tile in the colour of its leading pattern, and the score beside it.

    Parameters
    ----------
    result
        Result of the slide, scored or not.
    backdrop
        The slide from afar.
    tiles
        All tiles of the slide that were taken up.
    cells
        The cells that count, in pieces. Used only where tiles are so large on the picture that
        single cells can be seen: tumour cells are then drawn as dots.
    size_px
        Longest side of the picture in px; taken as 760 where it is less.

    Returns
    -------
    bytes
        PNG without metadata; the same input gives the same bytes.
    """
    size = max(size_px, MIN_SIZE_PX)
    width, height, wide = _room(_heatmap_box(backdrop, tiles), backdrop, size)
    whole = Facts(result=result).counts_tiles
    figure = heatmap_figure(backdrop, tiles, cells=cells, whole=whole, room=(width, height))
    width = _column_width(size, wide=wide)
    blocks = [
        score_block(result, width),
        why_block(result, width),
        patterns_block(result, width),
        legend_block("Tiles", figure.rows, figure.notes, width),
    ]
    return png_bytes(_compose(figure.image, blocks, result, size, wide=wide))


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Hold a picture without words, and what a legend says about it.

    Parameters
    ----------
    image
        The picture with its scale bar.
    rows
        Label and colour of each mark, and whether it is hatched.
    notes
        Sentences for below.
    """

    image: Image.Image
    rows: tuple[tuple[str, RGB, bool], ...] = ()
    notes: tuple[str, ...] = ()


def overview_figure(
    backdrop: Backdrop,
    *,
    tissue: BoolArray | None = None,
    areas: Mapping[str, BoolArray] | None = None,
    regions: Sequence[Outline] = (),
    tiles: TileMarks | None = None,
    room: tuple[int, int],
) -> Figure:
    """Draw the picture of an overview alone.

    Parameters
    ----------
    backdrop, tissue, areas, regions, tiles
        As in :func:`draw_overview`.
    room
        Width and height in px that the picture may take, its scale bar apart.
    """
    rows: list[tuple[str, RGB, bool]] = []
    view = View.fit(backdrop.box, backdrop.spacing, width=room[0], height=room[1])
    rgb = resize_rgb(backdrop.rgb, (view.width, view.height))
    if tissue is not None and tissue.any():
        edge = outline(resize_mask(tissue, (view.width, view.height)), width=2)
        rgb = blend(rgb, edge, TISSUE_OUTLINE, 1.0)
        rows.append(("Tissue that was read", TISSUE_OUTLINE, False))
    rgb = _paint_areas(rgb, areas or {}, rows)
    picture = Image.fromarray(rgb)
    _draw_regions(picture, view, regions, rows)
    if tiles is not None and bool(tiles.failed.any()):
        _draw_failed(picture, view, tiles)
        rows.append((area_label("failed"), FAILED_TILE, True))
    return Figure(image=with_scale_bar(picture, view), rows=tuple(rows))


def heatmap_figure(
    backdrop: Backdrop,
    tiles: TileMarks,
    *,
    cells: Iterable[CellTable] | None = None,
    whole: bool = False,
    room: tuple[int, int],
) -> Figure:
    """Draw the picture of a heat map alone.

    Parameters
    ----------
    backdrop, tiles, cells
        As in :func:`draw_heatmap`.
    whole
        Tiles were classified as a whole, by a tile classifier.
    room
        Width and height in px that the picture may take, its scale bar apart.
    """
    box = _heatmap_box(backdrop, tiles)
    wanted = View.fit(box, backdrop.spacing, width=room[0], height=room[1])
    part = backdrop.crop(box)
    view = View.fit(part.box, part.spacing, width=wanted.width, height=wanted.height)
    grey = grey_out(resize_rgb(part.rgb, (view.width, view.height)))
    dots = cells if has_room_for_cells(view, tiles) and not whole else None
    picture = Image.fromarray(paint_tiles(grey, view, tiles, dots, whole=whole))
    rows: list[tuple[str, RGB, bool]] = []
    if tiles.failed.any():
        _draw_failed(picture, view, tiles)
        rows.append((area_label("failed"), FAILED_TILE, True))
    notes = [_TILE_NOTE if whole else _CELL_NOTE]
    if dots is not None:
        notes.append("Each dot is a tumour cell that counts, in the colour of its pattern.")
    if tiles.holds_intense().any():
        rows.append(("Corner: some complete intense cells", PATTERN_COLOURS[-1], False))
    return Figure(image=with_scale_bar(picture, view), rows=tuple(rows), notes=tuple(notes))


def _heatmap_box(backdrop: Backdrop, tiles: TileMarks) -> Box0:
    extent = tiles.extent
    if extent is None:
        return backdrop.box
    room = max(1, round(max(extent.width, extent.height) * HEATMAP_ROOM))
    return extent.padded(room, room).intersection(backdrop.box) or backdrop.box


def _room(box: Box0, backdrop: Backdrop, size: int) -> tuple[int, int, bool]:
    """Return the width and height that a picture of a box may take, and whether text goes below."""
    spacing = backdrop.spacing
    wide = box.width * spacing.x > WIDE_ASPECT * box.height * spacing.y
    width = size - 2 * MARGIN_PX if wide else size - PANEL_PX - 3 * MARGIN_PX
    # Text below a wide picture takes about half of the page.
    height = size // 2 if wide else size - FOOTER_PX - SCALE_STRIP_PX - 3 * MARGIN_PX
    return width, height, wide


def _column_width(size: int, *, wide: bool) -> int:
    if not wide:
        return PANEL_PX
    return (size - 2 * MARGIN_PX - 2 * MARGIN_PX) // 3


def _compose(
    picture: Image.Image, blocks: list[Image.Image], result: SlideResult, size: int, *, wide: bool
) -> Image.Image:
    """Put picture, text and footer on one page."""
    footer = footer_block(result, size - 2 * MARGIN_PX)
    text = stack(
        blocks,
        width=size - 2 * MARGIN_PX if wide else PANEL_PX,
        columns=3 if wide else 1,
        gap=MARGIN_PX if wide else 8,
    )
    if wide:
        body = picture.height + MARGIN_PX + text.height
        place_picture = ((size - picture.width) // 2, MARGIN_PX)
        place_text = (MARGIN_PX, MARGIN_PX + picture.height + MARGIN_PX)
    else:
        body = max(picture.height, text.height)
        room = size - PANEL_PX - 3 * MARGIN_PX
        place_picture = (MARGIN_PX + (room - picture.width) // 2, MARGIN_PX)
        place_text = (size - MARGIN_PX - PANEL_PX, MARGIN_PX)
    page = Image.new("RGB", (size, body + footer.height + 3 * MARGIN_PX), PAPER)
    page.paste(picture, place_picture)
    x, y = place_picture
    frame = (x - 1, y - 1, x + picture.width, y + picture.height)
    ImageDraw.Draw(page).rectangle(frame, outline=(190, 196, 204))
    page.paste(text, place_text)
    page.paste(footer, (MARGIN_PX, body + 2 * MARGIN_PX))
    return page


def _no_picture(size: int) -> Image.Image:
    """Return what stands for a slide that could not be opened."""
    image = Image.new("RGB", (size - PANEL_PX - 3 * MARGIN_PX, size // 2), (240, 242, 245))
    ImageDraw.Draw(image).text(
        (image.width // 2, image.height // 2),
        "The slide could not be opened",
        font=font(18),
        fill=MUTED,
        anchor="mm",
    )
    return image


def _paint_areas(
    rgb: U8Array, areas: Mapping[str, BoolArray], rows: list[tuple[str, RGB, bool]]
) -> U8Array:
    """Tint and hatch each area, and add it to the legend."""
    height, width = rgb.shape[:2]
    for number, kind in enumerate(sorted(areas)):
        mask = resize_mask(areas[kind], (width, height))
        if not mask.any():
            continue
        colour = area_colour(kind)
        # Neighbouring kinds differ in direction and spacing, so that colour is not all they have.
        stripes = hatch(
            (height, width), spacing=8 + 4 * (number % 3), width=2, falling=number % 2 == 1
        )
        rgb = blend(rgb, mask, colour, 0.22)
        rgb = blend(rgb, mask & (stripes | outline(mask, width=2)), colour, 0.9)
        rows.append((area_label(kind), colour, True))
    return rgb


def _draw_regions(
    picture: Image.Image,
    view: View,
    regions: Sequence[Outline],
    rows: list[tuple[str, RGB, bool]],
) -> None:
    draw = ImageDraw.Draw(picture)
    for region in regions:
        corners = [view.place(float(x), float(y)) for x, y in region.points]
        if len(corners) > 1:
            draw.line([*corners, corners[0]], fill=area_colour(region.kind), width=3)
    kinds = sorted({region.kind for region in regions})
    rows.extend((area_label(kind), area_colour(kind), False) for kind in kinds)


def _draw_failed(picture: Image.Image, view: View, tiles: TileMarks) -> None:
    """Hatch the tiles that could not be read."""
    where = np.zeros((picture.height, picture.width), dtype=np.bool_)
    for x, y, wide, high in tiles.boxes[np.asarray(tiles.failed, dtype=np.bool_)].tolist():
        left, top = view.place(x, y)
        right, bottom = view.place(x + wide, y + high)
        rows = slice(max(0, round(top)), max(round(bottom), round(top) + 1))
        where[rows, max(0, round(left)) : max(round(right), round(left) + 1)] = True
    stripes = hatch(where.shape, spacing=7, width=2) | outline(where, width=2)
    rgb = blend(np.asarray(picture), where, PAPER, 0.5)
    picture.paste(Image.fromarray(blend(rgb, where & stripes, FAILED_TILE, 1.0)))
