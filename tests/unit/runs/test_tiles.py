from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pathology.errors import SlideError
from pathology.geometry import Box0
from pathology.runs import TILE_SCHEMA, TileRow, read_tiles, write_tiles

CONTRACT = """
tile_id, x_px, y_px, width_px, height_px, status, tissue_fraction, focus, n_cells, n_tumour_cells,
n_complete_intense, n_complete_weak_moderate, n_incomplete_moderate_intense, n_incomplete_faint,
n_unstained, mean_membrane_od, tile_score, called
"""
GOOD = TileRow(
    tile_id=5,
    x_px=-4,
    y_px=2048,
    width_px=2048,
    height_px=2050,
    status="ok",
    tissue_fraction=0.25,
    focus=1.5,
    n_cells=12,
    n_tumour_cells=10,
    n_complete_intense=4,
    n_incomplete_faint=6,
    mean_membrane_od=0.3,
    tile_score="3+",
)
FAILED = TileRow(
    tile_id=2, x_px=0, y_px=0, width_px=9, height_px=9, status="failed", tissue_fraction=1.0
)


def test_columns_are_those_of_the_contract_and_of_the_row() -> None:
    names = [name.strip() for name in CONTRACT.split(",")]
    assert TILE_SCHEMA.names == names == list(TileRow.__dataclass_fields__)


def test_tiles_read_back_in_the_order_of_their_ids(tmp_path: Path) -> None:
    path = tmp_path / "t"
    assert write_tiles(path, [GOOD, FAILED]) == 2
    first = path.read_bytes()
    assert read_tiles(path) == [FAILED, GOOD]
    write_tiles(path, iter([FAILED, GOOD]))
    assert path.read_bytes() == first
    assert GOOD.core == Box0(x=-4, y=2048, width=2048, height=2050)
    table = pq.read_table(path)
    assert table.schema.equals(TILE_SCHEMA)
    assert table.column("tile_score").to_pylist() == [None, "3+"]
    assert table.column("status").to_pylist() == ["failed", "ok"]


def test_no_tiles_make_a_valid_table(tmp_path: Path) -> None:
    assert write_tiles(tmp_path / "t", []) == 0
    assert read_tiles(tmp_path / "t") == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_unstained": 1}, "add up"),
        ({"n_cells": 9}, "more tumour cells"),
        ({"status": "lost"}, "status"),
        ({"status": "failed"}, "status"),
        ({"tissue_fraction": 1.1}, "tissue_fraction"),
        ({"focus": float("nan")}, "None"),
        ({"width_px": 0}, "grid"),
        ({"tile_id": -1}, "grid"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(GOOD, **changes)


def test_a_tile_never_has_two_rows(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="twice"):
        write_tiles(tmp_path / "t", [GOOD, GOOD])
    assert list(tmp_path.iterdir()) == []


def test_damaged_tables_are_refused(tmp_path: Path) -> None:
    write_tiles(tmp_path / "t", [GOOD])
    (tmp_path / "t").write_bytes((tmp_path / "t").read_bytes()[:-9])
    with pytest.raises(SlideError, match="cannot be read"):
        read_tiles(tmp_path / "t")
