"""Tiles, backdrops and the small drawing kit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathology.cells.table import PATTERNS
from pathology.geometry import Box0, Spacing
from pathology.report.canvas import Flow, View, font, round_length_um, stack, wrap
from pathology.report.raster import blend, hatch, outline, resize_mask
from pathology.report.scene import Backdrop, TileMarks
from pathology.runs.tiles import TileRow
from pathology.wsi import ArraySlide

UNIT = Spacing(x=1.0, y=1.0)


def marks(*counts: tuple[int, ...], failed: tuple[int, ...] = ()) -> TileMarks:
    n = len(counts)
    return TileMarks(
        tile_id=np.arange(n),
        boxes=np.array([(100 * k, 0, 100, 100) for k in range(n)], dtype=np.int64).reshape(-1, 4),
        failed=np.isin(np.arange(n), failed),
        counts=np.array(counts, dtype=np.int64).reshape(-1, len(PATTERNS)),
    )


def leading_by_hand(counts: list[int]) -> int:
    """Walk down from the strongest pattern, one cell type at a time."""
    total = sum(counts)
    if total == 0:
        return -1
    reached = 0
    for code in range(len(counts) - 1, 0, -1):
        reached += counts[code]
        if reached * 100 > total * 10:
            return code
    return 0


@given(st.lists(st.integers(0, 40), min_size=5, max_size=5))
def test_leading_pattern_agrees_with_a_walk_by_hand(counts: list[int]) -> None:
    assert marks(tuple(counts)).leading_pattern().tolist() == [leading_by_hand(counts)]


@given(st.lists(st.integers(0, 40), min_size=5, max_size=5), st.integers(0, 3))
def test_a_stronger_cell_never_lowers_a_tile(counts: list[int], code: int) -> None:
    if counts[code] == 0:
        return
    stronger = counts.copy()
    stronger[code] -= 1
    stronger[code + 1] += 1
    before, after = marks(tuple(counts), tuple(stronger)).leading_pattern()
    assert after >= before


def test_exactly_ten_percent_does_not_lead() -> None:
    tiles = marks((90, 0, 0, 0, 10), (89, 0, 0, 0, 11), (900, 0, 0, 50, 50), (0, 0, 0, 0, 0))
    assert tiles.leading_pattern().tolist() == [0, 4, 0, -1]


def test_failed_tiles_lead_nothing_and_hold_nothing() -> None:
    tiles = marks((0, 0, 0, 0, 50), (50, 0, 0, 0, 1), failed=(0,))
    assert tiles.leading_pattern().tolist() == [-1, 0]
    assert tiles.holds_intense().tolist() == [False, True]


def test_a_few_intense_cells_are_pointed_out_from_one_percent_on() -> None:
    tiles = marks((99, 0, 0, 0, 1), (100, 0, 0, 0, 1), (80, 0, 0, 0, 20), (10, 0, 0, 0, 0))
    assert tiles.holds_intense().tolist() == [True, False, False, False]


def test_rows_of_the_tile_table_become_marks() -> None:
    rows = [
        TileRow(tile_id=3, x_px=5, y_px=6, width_px=7, height_px=8, status="ok",
                tissue_fraction=0.5, n_cells=20, n_tumour_cells=15, n_complete_intense=1,
                n_complete_weak_moderate=2, n_incomplete_moderate_intense=3,
                n_incomplete_faint=4, n_unstained=5),
        TileRow(tile_id=4, x_px=12, y_px=6, width_px=7, height_px=8, status="failed",
                tissue_fraction=0.5),
    ]  # fmt: skip
    tiles = TileMarks.from_rows(rows)
    assert tiles.counts.tolist() == [[5, 4, 3, 2, 1], [0, 0, 0, 0, 0]]
    assert tiles.failed.tolist() == [False, True]
    assert tiles.extent == Box0(x=5, y=6, width=14, height=8)
    assert TileMarks.from_rows([]).extent is None


def test_marks_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="counts"):
        TileMarks(
            tile_id=np.arange(1),
            boxes=np.zeros((1, 4), dtype=np.int64),
            failed=np.zeros(1, dtype=np.bool_),
            counts=np.zeros((1, 4), dtype=np.int64),
        )


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 90), st.integers(1, 90))
def test_a_crop_covers_what_was_asked_for(x: int, y: int, width: int, height: int) -> None:
    rgb = np.zeros((40, 50, 3), dtype=np.uint8)
    whole = Backdrop(rgb=rgb, box=Box0(x=7, y=3, width=400, height=320), spacing=UNIT)
    box = Box0(x=x, y=y, width=width, height=height)
    common = whole.box.intersection(box)
    if common is None:
        with pytest.raises(ValueError, match="outside"):
            whole.crop(box)
        return
    part = whole.crop(box)
    assert part.box.contains(common)
    assert part.rgb.shape[1] * 8 == part.box.width
    assert part.rgb.shape[0] * 8 == part.box.height


def test_a_backdrop_is_a_picture() -> None:
    with pytest.raises(ValueError, match="uint8"):
        Backdrop(rgb=np.zeros((4, 4)), box=Box0(x=0, y=0, width=1, height=1), spacing=UNIT)


@given(st.integers(1, 10**5), st.integers(1, 10**5), st.floats(0.1, 2), st.floats(0.1, 2))
def test_a_view_fits_and_keeps_proportion(w: int, h: int, sx: float, sy: float) -> None:
    box = Box0(x=0, y=0, width=w, height=h)
    view = View.fit(box, Spacing(x=sx, y=sy), width=800, height=600)
    assert 1 <= view.width <= 800
    assert 1 <= view.height <= 600
    assert view.width == 800 or view.height == 600
    if min(view.width, view.height) > 20:
        assert view.width / view.height == pytest.approx(w * sx / (h * sy), rel=0.06)


@given(st.floats(1e-2, 1e6))
def test_scale_bars_have_round_lengths(limit: float) -> None:
    length = round_length_um(limit)
    assert limit / 2.51 <= length <= limit
    digits = f"{length:.0e}"[0]
    assert digits in "125"
    assert length == pytest.approx(int(digits) * 10.0 ** math.floor(math.log10(length) + 1e-9))


def test_a_backdrop_is_read_from_the_scanned_part_at_the_size_asked_for() -> None:
    pixels = np.full((300, 600, 3), 240, dtype=np.uint8)
    pixels[:, :300] = 90
    with ArraySlide(pixels, mpp=0.5) as slide:
        small = Backdrop.read(slide, size_px=100)
        large = Backdrop.read(slide, size_px=5000)
    assert small.rgb.shape == (50, 100, 3)
    assert small.box == slide.info.bounds
    assert small.rgb[25, 10].tolist() == [90, 90, 90]
    assert large.rgb.shape == (300, 600, 3)


def test_blend_and_hatch_touch_only_where_they_should() -> None:
    rgb = np.full((20, 30, 3), 100, dtype=np.uint8)
    where = np.zeros((20, 30), dtype=np.bool_)
    where[5:10, 5:10] = True
    painted = blend(rgb, where, (200, 0, 100), 0.5)
    assert painted[7, 7].tolist() == [150, 50, 100]
    assert (painted[~where] == 100).all()
    assert (rgb == 100).all()
    stripes = hatch((20, 30), spacing=5, width=2)
    assert stripes.mean() == pytest.approx(0.4, abs=0.03)


def test_outlines_lie_inside_and_ignore_the_edge_of_the_picture() -> None:
    mask = np.zeros((20, 20), dtype=np.bool_)
    mask[:, :10] = True
    edge = outline(mask, width=2)
    assert edge[:, 8:10].all()
    assert not edge[:, :8].any()
    assert not edge[:, 10:].any()


def test_masks_are_resized_without_new_values() -> None:
    mask = np.eye(4, dtype=np.bool_)
    assert (resize_mask(mask, (8, 8)) == np.kron(mask, np.ones((2, 2))).astype(bool)).all()


def test_text_wraps_within_its_column_and_loses_nothing() -> None:
    face = font(12)
    text = "Abc defgh " * 8 + "x" * 200
    lines = wrap(text, face, 90)
    assert all(face.getlength(line) <= 90 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_column_needs_room_for_text() -> None:
    with pytest.raises(ValueError, match="40"):
        Flow(30)


def test_blocks_are_stacked_into_columns() -> None:
    blocks = []
    for _ in range(3):
        flow = Flow(100)
        flow.space(50)
        blocks.append(flow.image())
    assert stack(blocks, width=100, columns=1, gap=10).size == (100, 170)
    assert stack(blocks, width=320, columns=3, gap=10).size == (320, 50)
