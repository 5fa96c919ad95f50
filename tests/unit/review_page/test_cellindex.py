from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import random_cells, write_cells

from pathology.cells.table import CellTable
from pathology.errors import SlideError
from pathology.review.cellindex import (
    MAX_OUTLINES,
    CellIndex,
    CellIndexes,
    build_index,
)
from pathology.review.cellwire import HEADER_BYTES, pack_view

N, SIDE = 4000, 900.0


@pytest.fixture(scope="module")
def cells() -> CellTable:
    return random_cells(N, side_um=SIDE, seed=3)


@pytest.fixture(scope="module")
def index(cells: CellTable, tmp_path_factory: pytest.TempPathFactory) -> CellIndex:
    root = tmp_path_factory.mktemp("index")
    write_cells(root / "cells.parquet", cells)
    build_index(root / "cells.parquet", root / "copy")
    return CellIndex(root / "copy")


@settings(max_examples=60)
@given(st.floats(-100, 950), st.floats(-100, 950), st.floats(1, 600), st.floats(1, 600))
def test_a_view_holds_just_the_cells_that_a_search_of_all_finds(
    index: CellIndex, cells: CellTable, left: float, top: float, width: float, height: float
) -> None:
    view = index.view(left, top, left + width, top + height)
    near = (cells.x_um >= left - 15) & (cells.x_um < left + width + 15)
    near &= (cells.y_um >= top - 15) & (cells.y_um < top + height + 15)
    assert view.mode == "outlines"
    assert sorted(view.cell_id.tolist()) == np.flatnonzero(near).tolist()
    at = view.cell_id.astype(int)
    assert np.array_equal(view.place[:, 0], cells.x_um[at])
    assert np.array_equal(view.outline_r, cells.outline_r[at])
    assert np.array_equal(view.kind & 7, cells.cell_class[at])
    assert np.array_equal((view.kind >> 3) & 7, cells.pattern[at])
    assert np.array_equal((view.kind & 64) > 0, cells.cell_class[at] == 0)


def test_the_limit_turns_outlines_into_dots(index: CellIndex) -> None:
    assert index.view(0, 0, SIDE, SIDE, limit=10).mode == "dots"
    assert len(index.view(0, 0, SIDE, SIDE, limit=10).place) == N
    assert index.view(0, 0, SIDE, SIDE, limit=10**9).mode == "outlines"
    assert N <= MAX_OUTLINES


def test_many_cells_come_as_density_and_none_is_lost(
    index: CellIndex, cells: CellTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pathology.review.cellindex.MAX_DOTS", 100)
    monkeypatch.setattr("pathology.review.cellindex.MAX_SQUARES", 30)
    view = index.view(-50, -50, SIDE + 50, SIDE + 50)
    assert view.mode == "density"
    assert len(view.place) <= 30
    assert view.square_um > 64
    tumour = cells.cell_class == 0
    assert view.counts.sum(axis=0).tolist() == np.bincount(cells.pattern[tumour]).tolist()


def test_the_histogram_counts_each_cell_that_counts_once(
    index: CellIndex, cells: CellTable
) -> None:
    assert np.sum(index.meta["histogram"]) == np.count_nonzero(cells.cell_class == 0)


def test_bytes_of_a_view_have_the_stated_order(index: CellIndex) -> None:
    view = index.view(100, 100, 300, 300)
    content, n = pack_view(view), len(view.place)
    assert content[:4] == b"H2C1"
    assert np.frombuffer(content, "<u4", 3, 4).tolist() == [0, n, view.total]
    assert len(content) == HEADER_BYTES + n * (8 + 4 + 32 + 1)
    place = np.frombuffer(content, "<f4", 2 * n, HEADER_BYTES)
    assert np.array_equal(place.reshape(n, 2), view.place)


def test_a_changed_table_of_cells_is_read_again(tmp_path: Path) -> None:
    path, indexes = tmp_path / "cells.parquet", CellIndexes(tmp_path / "copies")
    write_cells(path, random_cells(10, side_um=50))
    first = indexes.get("a", path)
    assert indexes.get("a", path) is first
    assert CellIndexes(tmp_path / "copies").get("a", path).n == 10  # from the copy
    write_cells(path, random_cells(12, side_um=50))
    assert indexes.get("a", path).n == 12


def test_a_copy_cut_short_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "cells.parquet"
    write_cells(path, random_cells(10, side_um=50))
    build_index(path, tmp_path / "copies" / "a")
    (tmp_path / "copies" / "a" / "kind.npy").write_bytes(b"x")
    assert CellIndexes(tmp_path / "copies").get("a", path).n == 10


def test_no_cells_and_no_file(tmp_path: Path) -> None:
    path = tmp_path / "cells.parquet"
    write_cells(path, CellTable.empty())
    empty = CellIndexes(tmp_path / "copies").get("a", path)
    assert empty.view(0, 0, 100, 100).total == 0
    with pytest.raises(SlideError, match=r"gone\.parquet"):
        CellIndexes(tmp_path / "copies").get("b", tmp_path / "gone.parquet")
