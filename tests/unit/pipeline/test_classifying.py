"""Which tiles count, and what the rules are given of them."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from shapely.geometry import box as rectangle

from pathology.config import load_config
from pathology.geometry import Box0, Spacing
from pathology.pipeline import classifying
from pathology.pipeline.classifying import (
    ClassifiedTiles,
    counted_as,
    judge_tiles,
    tile_evidence,
)
from pathology.pipeline.intake import tile_row
from pathology.runs import TileRow
from pathology.tiling import InputSpec, TileRef, lay_grid
from pathology.tissue import RegionKind, Regions, TissueMask

SPACING = Spacing(x=0.5, y=0.5)
BOX = Box0(x=0, y=0, width=512, height=256)
SPEC = InputSpec(mpp=0.5, halo_px=0, context_factor=1, context_halo_px=0, tile_px=128)


def tiles() -> list[TileRef]:
    """Two rows of four tiles of 128 px."""
    return list(lay_grid(BOX, SPACING, SPEC, tile_px=512))


CORES = [tile.core for tile in tiles()]


def mask_of(*boxes: tuple[int, int, int, int]) -> TissueMask:
    """A mask of 8 level-0 pixels per pixel, true in the boxes (x, y, right, bottom)."""
    mask = np.zeros((32, 64), dtype=np.bool_)
    for x, y, right, bottom in boxes:
        mask[y // 8 : bottom // 8, x // 8 : right // 8] = True
    return TissueMask(mask=mask, box=BOX, spacing=SPACING)


EVERYWHERE = mask_of((0, 0, 512, 256))


def test_the_model_lays_the_grid() -> None:
    assert [tile.core.width for tile in tiles()] == [128] * 8


def test_tiles_of_glass_do_not_count() -> None:
    # A quarter of the first tile, a bit less of the second, nothing of the others.
    tissue = mask_of((0, 0, 64, 64), (128, 0, 176, 64))
    counts, in_situ = judge_tiles(CORES, tissue, tissue, None)
    assert counts.tolist() == [True] + [False] * 7
    assert not in_situ.any()


def test_tiles_whose_tissue_is_mostly_excluded_do_not_count() -> None:
    area = mask_of((0, 0, 64, 128), (128, 0, 184, 128))
    counts, _ = judge_tiles(CORES, EVERYWHERE, area, None)
    assert counts.tolist() == [True] + [False] * 7


def test_regions_decide_by_half_of_a_tile() -> None:
    regions = Regions(
        shapes={
            RegionKind.TUMOUR: rectangle(0, 0, 200, 128),
            RegionKind.IN_SITU: rectangle(256, 128, 448, 256),
        }
    )
    counts, in_situ = judge_tiles(CORES, EVERYWHERE, EVERYWHERE, regions)
    assert counts.tolist() == [True, True] + [False] * 6
    assert in_situ.tolist() == [False] * 6 + [True, True]
    ignored = Regions(shapes={RegionKind.IGNORE: rectangle(0, 0, 90, 128)})
    counts, _ = judge_tiles(CORES, EVERYWHERE, EVERYWHERE, ignored)
    assert counts.tolist() == [False] + [True] * 7


@pytest.mark.parametrize(
    ("width", "height", "is_in_situ"),
    [(16, 96, False), (16, 128, True), (64, 112, True), (64, 128, True), (128, 128, True)],
)
def test_in_situ_tissue_never_counts(width: int, height: int, is_in_situ: bool) -> None:
    """A tenth of the tile is borne as inaccuracy of the outline: 6 of 64 points, but not 8."""
    shape = rectangle(0, 0, width, height)
    regions = Regions(shapes={RegionKind.IN_SITU: shape})
    counts, in_situ = judge_tiles(CORES, EVERYWHERE, EVERYWHERE, regions)
    assert (in_situ[0], counts[0]) == (is_in_situ, not is_in_situ)
    assert counts[1:].all()
    # Half of the tile is glass: in-situ tissue is held against the tissue alone.
    half = mask_of((0, 0, 128, 64))
    small = Regions(shapes={RegionKind.IN_SITU: rectangle(0, 0, 64, 16)})
    counts, in_situ = judge_tiles(CORES, half, half, small)
    assert (in_situ[0], counts[0]) == (True, False)


def called_row(tile: TileRef, pattern: int) -> TileRow:
    return tile_row(tile, status="ok", n_cells=1, **counted_as(pattern, counting=True))


def test_only_drawn_tumour_is_not_asked_for() -> None:
    """A person's outline is believed; without one, 40 strewn tiles of 4,000 are no tumour."""
    rows = [
        replace(called_row(tiles()[0], 0 if n % 100 == 0 else -1), tile_id=n, x_px=128 * n)
        for n in range(4000)
    ]
    for drawn, status in ((True, "scored"), (False, "not_scorable")):
        reading = ClassifiedTiles(
            spacing=SPACING, rows=rows, side_um=64.0, outputs="patterns", tumour_drawn=drawn
        )
        assert reading.score(load_config(), ()).status == status


@pytest.mark.parametrize("kind", [None, RegionKind.IGNORE, RegionKind.TUMOUR])
def test_the_reading_knows_whether_tumour_was_drawn(
    monkeypatch: pytest.MonkeyPatch, kind: RegionKind | None
) -> None:
    monkeypatch.setattr(classifying, "walk_tiles", Mock())
    monkeypatch.setattr(classifying, "evaluable_area", Mock())
    reading = classifying.classify_all_tiles(
        Mock(),
        Mock(),
        lay_grid(BOX, SPACING, SPEC, tile_px=512),
        Mock(outputs="patterns"),
        regions=None if kind is None else Regions(shapes={kind: rectangle(0, 0, 9, 9)}),
        config=load_config(),
        advance=Mock(),
    )
    assert reading.tumour_drawn is (kind is RegionKind.TUMOUR)


@pytest.mark.parametrize(
    ("pattern", "column", "score"),
    [
        (0, "n_unstained", "0"),
        (1, "n_incomplete_faint", "1+"),
        (2, "n_incomplete_moderate_intense", "2+"),
        (3, "n_complete_weak_moderate", "2+"),
        (4, "n_complete_intense", "3+"),
    ],
)
def test_a_row_counts_one_tile(pattern: int, column: str, score: str) -> None:
    row = called_row(tiles()[5], pattern)
    assert (row.tile_id, row.x_px, row.y_px) == (5, 128, 128)
    assert (row.n_cells, row.n_tumour_cells, getattr(row, column)) == (1, 1, 1)
    assert row.tile_score == score
    assert row.mean_membrane_od is None


def test_a_tile_that_does_not_count_has_no_score() -> None:
    row = called_row(tiles()[0], -1)
    assert (row.n_cells, row.n_tumour_cells, row.tile_score) == (1, 0, None)


def test_stored_rows_give_the_evidence_again() -> None:
    refs = tiles()
    rows = [called_row(ref, code) for ref, code in zip(refs, [-1, 0, 4, 3, -1, 1, 2], strict=False)]
    failed = TileRow(
        tile_id=7, x_px=384, y_px=128, width_px=128, height_px=128, status="failed",
        tissue_fraction=1.0,
    )  # fmt: skip
    found = tile_evidence([*rows, failed], SPACING, side_um=64.0, outputs="patterns")
    assert found.pattern.tolist() == [0, 4, 3, 1, 2]
    assert (found.n_read, found.n_failed) == (7, 1)
    assert found.x_um.tolist() == [96.0, 160.0, 224.0, 96.0, 160.0]
    assert found.y_um.tolist() == [32.0, 32.0, 32.0, 96.0, 96.0]
    with pytest.raises(ValueError, match="patterns do not add up"):
        replace(rows[1], n_complete_intense=1)
