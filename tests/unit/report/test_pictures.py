"""Overview, heat map and fields: what they show, where, and that bytes are the same twice."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pathology.cells.table import CellTable
from pathology.geometry import Box0, Spacing
from pathology.report.canvas import View
from pathology.report.field import cell_polygons_um, draw_field
from pathology.report.palette import (
    FAILED_TILE,
    PATTERN_COLOURS,
    TISSUE_OUTLINE,
    area_colour,
)
from pathology.report.pictures import draw_heatmap, draw_overview
from pathology.report.raster import DARKEST_GREY, grey_out
from pathology.report.scene import Backdrop, Outline, TileMarks
from pathology.report.tiles import paint_cells, paint_tiles
from pathology.runs.result import SlideResult, count_columns
from pathology.scoring.counts import PatternCounts

Make = Callable[..., Any]
SHARES = (0.6, 0.15, 0.05, 0.16, 0.04)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def count(png: bytes, colour: tuple[int, int, int]) -> int:
    return int((pixels(png) == np.asarray(colour)).all(axis=2).sum())


@pytest.fixture
def slide(make_backdrop: Make, make_tiles: Make) -> tuple[Backdrop, Any, TileMarks]:
    backdrop, mask = make_backdrop(500, 400)
    return backdrop, mask, make_tiles(backdrop, mask, shares=SHARES)


def test_pictures_are_plain_png_and_the_same_twice(slide: Any, make_scored: Make) -> None:
    backdrop, mask, tiles = slide
    for draw in (
        lambda: draw_overview(make_scored(), backdrop, tissue=mask, tiles=tiles),
        lambda: draw_heatmap(make_scored(), backdrop, tiles),
    ):
        png = draw()
        assert png == draw()
        image = Image.open(io.BytesIO(png))
        assert (image.format, image.mode, image.info) == ("PNG", "RGB", {})
        assert image.width == 1200


def test_the_longest_side_is_kept(make_backdrop: Make, make_tiles: Make, make_scored: Make) -> None:
    for width, height in ((2200, 300), (700, 700), (300, 2200)):
        backdrop, mask = make_backdrop(width, height)
        tiles = make_tiles(backdrop, mask, shares=SHARES)
        for png in (
            draw_heatmap(make_scored(), backdrop, tiles),
            draw_overview(make_scored(), backdrop, tissue=mask),
        ):
            size = Image.open(io.BytesIO(png)).size
            assert max(size) == 1200, (width, height, size)


def test_drawing_many_tiles_takes_no_more_than_its_share(
    make_backdrop: Make, make_tiles: Make, make_scored: Make
) -> None:
    backdrop, mask = make_backdrop(1000, 750)
    tiles = make_tiles(backdrop, mask, shares=SHARES, side=256)
    assert tiles.n > 4000
    start = time.process_time()
    draw_heatmap(make_scored(), backdrop, tiles)
    # Some 0.3 s on a desktop; the limit only guards against quadratic work.
    assert time.process_time() - start < 5


def test_overview_marks_tissue_areas_regions_and_failed_tiles(
    slide: Any, make_scored: Make
) -> None:
    backdrop, mask, tiles = slide
    pen = np.zeros_like(mask)
    pen[10:60, 10:60] = True
    region = Outline(kind="in_situ", points=np.array([[6000, 4000], [9000, 4000], [9000, 7000]]))
    failed = replace(tiles, failed=np.arange(tiles.n) == 5)
    bare = draw_overview(make_scored(), backdrop)
    full = draw_overview(
        make_scored(), backdrop, tissue=mask, areas={"pen": pen}, regions=[region], tiles=failed
    )
    for colour in (TISSUE_OUTLINE, area_colour("in_situ"), FAILED_TILE):
        assert count(full, colour) > count(bare, colour) + 100, colour
    assert pixels(full).shape[0] >= pixels(bare).shape[0]


def test_an_empty_area_is_not_in_the_legend(slide: Any, make_scored: Make) -> None:
    backdrop, mask, _ = slide
    assert draw_overview(make_scored(), backdrop, areas={"pen": np.zeros_like(mask)}) == (
        draw_overview(make_scored(), backdrop)
    )


def test_refused_slides_get_pictures_with_another_reason(slide: Any, make_refused: Make) -> None:
    backdrop, _mask, _ = slide
    one = draw_overview(make_refused("no_tissue"), backdrop)
    other = draw_overview(make_refused("not_ihc"), backdrop)
    assert one != other
    unseen = draw_overview(make_refused("unreadable", status="failed"), None)
    assert Image.open(io.BytesIO(unseen)).width == 1200
    assert draw_heatmap(make_refused("no_tumour"), backdrop, TileMarks.from_rows([]))


def test_the_score_the_clause_and_the_flags_are_part_of_the_picture(
    slide: Any, make_scored: Make
) -> None:
    backdrop, _, tiles = slide
    changes: list[dict[str, Any]] = [
        {},
        {"deciding_clause": "Another clause"},
        {"flags": ("borderline",)},
        {"deciding_lo": 13.0},
        {"her2_tier": "her2_low", "ihc_score": "1+", "her2_status": "negative",
         "ish_reflex": False},
    ]  # fmt: skip
    drawn = {draw_heatmap(make_scored(**change), backdrop, tiles) for change in changes}
    assert len(drawn) == len(changes)


def test_percentages_are_shown_for_a_slide_with_too_few_cells(
    slide: Any, make_refused: Make
) -> None:
    backdrop, _, tiles = slide
    few = count_columns(PatternCounts(unstained=30, intense_complete=12))
    result: SlideResult = make_refused("too_few_cells", **few)
    png = draw_heatmap(result, backdrop, tiles)
    assert count(png, PATTERN_COLOURS[4]) > 500


def paint(counts: list[list[int]], *, failed: int = -1) -> np.ndarray:
    tiles = TileMarks(
        tile_id=np.arange(len(counts)),
        boxes=np.array([(k * 100, 0, 100, 100) for k in range(len(counts))], dtype=np.int64),
        failed=np.arange(len(counts)) == failed,
        counts=np.array(counts, dtype=np.int64),
    )
    box = Box0(x=0, y=0, width=100 * len(counts), height=100)
    view = View(box=box, width=20 * len(counts), height=20, spacing=Spacing(x=1, y=1))
    background = np.full((view.height, view.width, 3), 255, dtype=np.uint8)
    return paint_tiles(background, view, tiles)


def test_each_tile_has_the_colour_of_its_leading_pattern() -> None:
    picture = paint([[100 if k == code else 0 for k in range(5)] for code in range(5)])
    for code, colour in enumerate(PATTERN_COLOURS):
        assert tuple(picture[10, 20 * code + 10]) == colour


def test_tiles_without_tumour_or_that_failed_stay_blank_and_few_cells_pale() -> None:
    picture = paint([[0, 0, 0, 0, 0], [0, 0, 0, 0, 50], [0, 0, 0, 0, 5]], failed=1)
    assert (picture[:, :40] == 255).all()
    pale = picture[10, 50].astype(int)
    assert (pale > np.asarray(PATTERN_COLOURS[4])).all()
    assert (pale < 255).all()


def painted_cells(cells: list[CellTable]) -> np.ndarray:
    box = Box0(x=0, y=0, width=8000, height=2000)
    view = View(box=box, width=800, height=200, spacing=Spacing(x=0.25, y=0.25))
    return paint_cells(np.full((200, 800, 3), 255, dtype=np.uint8), view, cells)


def test_cells_are_dots_where_they_lie_and_others_are_left_out(make_cells: Make) -> None:
    cells = make_cells(60)
    picture = painted_cells([cells])
    for row in range(cells.n):
        column, line = int(cells.x_um[row] / 2.5), int(cells.y_um[row] / 2.5)
        found = tuple(picture[line, column])
        if cells.cell_class[row] == 0:
            assert found in PATTERN_COLOURS[int(cells.pattern[row]) :]
    tumour = int((cells.cell_class == 0).sum())
    assert 0 < (picture != 255).any(axis=2).sum() <= 9 * tumour


def test_dots_do_not_depend_on_the_order_or_the_pieces(make_cells: Make) -> None:
    cells = make_cells(3000)
    whole = painted_cells([cells])
    backwards = cells.take(np.arange(cells.n)[::-1])
    halves = [backwards.take(np.arange(1000)), backwards.take(np.arange(1000, cells.n))]
    assert (painted_cells(halves) == whole).all()


def test_cells_outside_the_picture_are_left_out(make_cells: Make) -> None:
    cells = make_cells(50)
    far = replace(cells, x_um=cells.x_um - np.float32(1e6))
    assert (painted_cells([far]) == 255).all()


def test_cells_are_drawn_only_where_tiles_are_large(
    make_backdrop: Make, make_tiles: Make, make_scored: Make, make_cells: Make
) -> None:
    cells = make_cells(500)
    for size, drawn in ((150, True), (1500, False)):
        backdrop, mask = make_backdrop(size, size)
        tiles = make_tiles(backdrop, mask, shares=SHARES)
        with_cells = draw_heatmap(make_scored(), backdrop, tiles, cells=[cells])
        assert (with_cells != draw_heatmap(make_scored(), backdrop, tiles)) == drawn


def test_pale_and_dark_slides_give_the_same_background() -> None:
    rng = np.random.default_rng(0)
    texture = rng.random((40, 40, 1))
    pale = np.repeat(240 - 60 * texture, 3, axis=2).astype(np.uint8)
    dark = np.repeat(240 - 180 * texture, 3, axis=2).astype(np.uint8)
    a, b = grey_out(pale).astype(int), grey_out(dark).astype(int)
    assert np.abs(a - b).max() <= 4
    assert a.min() == DARKEST_GREY
    assert a.max() == 255
    assert (grey_out(np.full((5, 5, 3), 243, dtype=np.uint8)) == 255).all()


def test_tiles_outside_the_view_are_left_out() -> None:
    tiles = TileMarks(
        tile_id=np.arange(1),
        boxes=np.array([(900, 900, 50, 50)], dtype=np.int64),
        failed=np.zeros(1, dtype=np.bool_),
        counts=np.array([[50, 0, 0, 0, 0]], dtype=np.int64),
    )
    box = Box0(x=0, y=0, width=100, height=100)
    view = View(box=box, width=20, height=20, spacing=Spacing(x=1, y=1))
    background = np.full((20, 20, 3), 255, dtype=np.uint8)
    assert (paint_tiles(background, view, tiles) == 255).all()


def test_polygons_follow_the_rays(make_cells: Make) -> None:
    cells: CellTable = make_cells(7)
    polygons = cell_polygons_um(cells)
    for row in range(cells.n):
        for ray in range(32):
            reach = float(cells.outline_r[row, ray]) * 0.2
            x = float(cells.x_um[row]) + reach * np.cos(2 * np.pi * ray / 32)
            y = float(cells.y_um[row]) + reach * np.sin(2 * np.pi * ray / 32)
            assert polygons[row, ray] == pytest.approx((x, y), abs=1e-4)


def test_a_field_draws_tumour_cells_in_colour_where_they_lie(make_cells: Make) -> None:
    base = make_cells(1)
    cell = replace(
        base,
        x_um=np.array([525.0], dtype=np.float32),
        y_um=np.array([250.0], dtype=np.float32),
        outline_r=np.full((1, 32), 50, dtype=np.uint8),
        cell_class=np.zeros(1, dtype=np.uint8),
        pattern=np.full(1, 4, dtype=np.uint8),
    )
    rgb = np.full((100, 200, 3), 230, dtype=np.uint8)
    box = Box0(x=2000, y=900, width=400, height=200)  # 500 µm, 225 µm: 100 × 50 µm
    spacing = Spacing(x=0.25, y=0.25)
    with_cell = pixels(draw_field(rgb, box, spacing, cell, width_px=400, legend=False))
    without = pixels(draw_field(rgb, box, spacing, base.take([]), width_px=400, legend=False))
    changed = np.argwhere((with_cell != without).any(axis=2))
    # Centre (25, 25) µm at 4 px/µm, radius 10 µm.
    assert changed.min(axis=0) == pytest.approx((60, 60), abs=4)
    assert changed.max(axis=0) == pytest.approx((140, 140), abs=4)
    assert tuple(with_cell[100, 140]) == PATTERN_COLOURS[4]


def test_a_field_ignores_cells_elsewhere_and_has_a_legend(make_cells: Make) -> None:
    rgb = np.full((50, 50, 3), 230, dtype=np.uint8)
    far = Box0(x=900_000, y=900_000, width=400, height=400)
    spacing = Spacing(x=0.25, y=0.25)
    cells = make_cells(5)
    assert draw_field(rgb, far, spacing, cells) == draw_field(rgb, far, spacing, cells.take([]))
    tall = pixels(draw_field(rgb, far, spacing, cells)).shape[0]
    assert tall > pixels(draw_field(rgb, far, spacing, cells, legend=False)).shape[0]
    with pytest.raises(ValueError, match="64"):
        draw_field(rgb, far, spacing, cells, width_px=10)
