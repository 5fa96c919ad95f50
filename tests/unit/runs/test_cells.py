from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pathology.cells.table import CELL_CLASSES, INTENSITIES, PATTERNS, CellTable
from pathology.errors import SlideError
from pathology.runs import (
    CELL_SCHEMA,
    CellWriter,
    read_cell_columns,
    read_cells,
    rewrite_cells,
)
from pathology.runs import cells as module

MakeCells = Callable[..., CellTable]

CONTRACT = """
cell_id, tile_id, x_um, y_um, area_um2, cell_class, tumour_probability, membrane_od,
membrane_od_stained, membrane_completeness, cytoplasm_od, intensity, complete, pattern, outline_r,
ray_od, evaluable
"""


def write(path: Path, cells: CellTable, cuts: list[int]) -> bytes:
    with CellWriter(path) as writer:
        for start, stop in zip([0, *cuts], [*cuts, cells.n], strict=True):
            writer.write(cells.take(np.arange(start, stop)))
    return path.read_bytes()


def same(a: CellTable, b: CellTable) -> bool:
    return all(
        np.array_equal(getattr(a, item.name), getattr(b, item.name)) for item in fields(CellTable)
    )


def test_columns_are_those_of_the_contract() -> None:
    assert CELL_SCHEMA.names == [name.strip() for name in CONTRACT.split(",")]


def test_cells_read_back_exactly_in_groups(
    tmp_path: Path, make_cells: MakeCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROW_GROUP", 100)
    cells = make_cells(250)
    write(tmp_path / "c", cells, [7, 7, 130])
    tables = list(read_cells(tmp_path / "c"))
    assert [table.n for table in tables] == [100, 100, 50]
    assert same(CellTable.concat(tables), cells)


def test_bytes_do_not_depend_on_how_cells_arrive(
    tmp_path: Path, make_cells: MakeCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROW_GROUP", 64)
    cells = make_cells(300)
    cuts = [[], [1], [64], [63, 65], list(range(0, 300, 3)), [0, 0, 299]]
    assert len({write(tmp_path / str(n), cells, cut) for n, cut in enumerate(cuts)}) == 1


def test_bytes_are_those_of_another_process(tmp_path: Path) -> None:
    code = """
import sys, numpy as np
from pathlib import Path
from pathology.cells.table import CellTable
from pathology.runs import CellWriter
n = 1000
columns = {}
for name, column in vars(CellTable.empty()).items():
    shape = (n, *column.shape[1:])
    columns[name] = (np.arange(np.prod(shape)).reshape(shape) % 5).astype(column.dtype)
with CellWriter(Path(sys.argv[1])) as writer:
    writer.write(CellTable(**columns))
"""
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_other_programs_see_words_and_counted_ids(tmp_path: Path, make_cells: MakeCells) -> None:
    cells = make_cells(500)
    write(tmp_path / "c", cells, [10])
    table = pq.read_table(tmp_path / "c")
    assert table.schema.equals(CELL_SCHEMA)
    assert table.column("cell_id").to_pylist() == list(range(500))
    for name, words in (
        ("cell_class", CELL_CLASSES),
        ("intensity", INTENSITIES),
        ("pattern", PATTERNS),
    ):
        assert table.column(name).to_pylist() == [words[code] for code in getattr(cells, name)]
    assert table.column("ray_od").to_pylist() == cells.ray_od.tolist()
    # A reader that ignores Arrow's own schema (R without arrow, DuckDB) finds plain strings.
    plain = pq.ParquetFile(tmp_path / "c").schema
    assert plain.column(5).logical_type.type == "STRING"
    plain_file = pq.ParquetFile(tmp_path / "c")
    assert plain_file.metadata.row_group(0).column(0).compression == "ZSTD"
    plain_file.close()


def test_words_are_found_by_name_not_by_position(tmp_path: Path, make_cells: MakeCells) -> None:
    cells = make_cells(50)
    write(tmp_path / "c", cells, [])
    table = pq.read_table(tmp_path / "c")
    at = table.schema.get_field_index("pattern")
    table = table.set_column(at, "pattern", table.column("pattern").cast(pa.string()))
    pq.write_table(table, tmp_path / "d")
    assert same(CellTable.concat(list(read_cells(tmp_path / "d"))), cells)


def test_appended_columns_are_left_out(tmp_path: Path, make_cells: MakeCells) -> None:
    cells = make_cells(5)
    write(tmp_path / "c", cells, [])
    table = pq.read_table(tmp_path / "c").append_column("later", pa.array([0] * 5))
    pq.write_table(table, tmp_path / "d")
    assert same(CellTable.concat(list(read_cells(tmp_path / "d"))), cells)


def test_no_cells_make_a_valid_table(tmp_path: Path) -> None:
    write(tmp_path / "c", CellTable.empty(), [])
    assert list(read_cells(tmp_path / "c")) == []
    assert pq.read_metadata(tmp_path / "c").num_rows == 0


def test_an_error_leaves_the_old_file_and_no_trace(tmp_path: Path, make_cells: MakeCells) -> None:
    path = tmp_path / "cells.parquet"
    before = write(path, make_cells(3), [])

    def stopped() -> None:
        with CellWriter(path) as writer:
            writer.write(make_cells(9))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stopped()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["cells.parquet"]


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_damaged_tables_are_refused(tmp_path: Path, make_cells: MakeCells, keep: int) -> None:
    content = write(tmp_path / "c", make_cells(100), [])
    (tmp_path / "c").write_bytes(content[:keep])
    with pytest.raises(SlideError, match="cannot be read") as caught:
        list(read_cells(tmp_path / "c"))
    assert caught.value.reason == "unreadable"


def test_other_tables_and_missing_ones_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "c")
    with pytest.raises(SlideError, match="not a table of this kind"):
        list(read_cells(tmp_path / "c"))
    with pytest.raises(SlideError, match="nothing"):
        list(read_cells(tmp_path / "nothing"))


def test_which_cells_count_is_stored(tmp_path: Path, make_cells: MakeCells) -> None:
    cells = make_cells(50)
    counts = cells.is_tumour & (np.arange(50) % 2 == 0)
    with CellWriter(tmp_path / "c") as writer:
        writer.write(cells.take(np.arange(20)), evaluable=counts[:20])
        writer.write(cells.take(np.arange(20, 50)), evaluable=counts[20:])
    (found,) = read_cell_columns(tmp_path / "c", ["evaluable", "x_um", "pattern", "ray_od"])
    assert np.array_equal(found["evaluable"], counts)
    assert np.array_equal(found["ray_od"], cells.ray_od)
    assert np.array_equal(found["pattern"], cells.pattern)
    assert sorted(found) == ["evaluable", "pattern", "ray_od", "x_um"]


def test_cells_that_count_can_be_read_alone(tmp_path: Path, make_cells: MakeCells) -> None:
    cells = replace(make_cells(40), cell_class=np.zeros(40, dtype=np.uint8))
    counts = np.arange(40) % 3 == 0
    with CellWriter(tmp_path / "c") as writer:
        writer.write(cells, evaluable=counts)
    (found,) = read_cells(tmp_path / "c", only_counted=True)
    assert same(found, cells.take(counts))


def test_only_tumour_cells_count(tmp_path: Path, make_cells: MakeCells) -> None:
    cells = make_cells(50)
    with (
        pytest.raises(ValueError, match="tumour cells only"),
        CellWriter(tmp_path / "c") as writer,
    ):
        writer.write(cells, evaluable=np.ones(50, dtype=np.bool_))
    with (
        pytest.raises(ValueError, match="one value per cell"),
        CellWriter(tmp_path / "c") as writer,
    ):
        writer.write(cells, evaluable=np.zeros(49, dtype=np.bool_))
    assert not (tmp_path / "c").exists()


def test_a_table_written_anew_has_the_bytes_of_its_cells(
    tmp_path: Path, make_cells: MakeCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROW_GROUP", 100)
    one, other = make_cells(250, 1), make_cells(250, 2)
    mixed = replace(one, membrane_od=other.membrane_od, pattern=other.pattern)
    write(tmp_path / "one", one, [])
    wanted = write(tmp_path / "mixed", mixed, [])
    changed = {"membrane_od": other.membrane_od, "pattern": other.pattern}
    assert rewrite_cells(tmp_path / "one", tmp_path / "new", changed) == 250
    assert (tmp_path / "new").read_bytes() == wanted
    assert rewrite_cells(tmp_path / "one", tmp_path / "copy", {}) == 250
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "one").read_bytes()


def test_tables_of_the_first_version_are_read(tmp_path: Path, make_cells: MakeCells) -> None:
    write(tmp_path / "new", make_cells(30), [])
    table = pq.read_table(tmp_path / "new").drop_columns(["evaluable"])
    pq.write_table(table, tmp_path / "old")
    assert sum(part.n for part in read_cells(tmp_path / "old")) == 30
    assert sum(part.n for part in read_cells(tmp_path / "old", only_counted=True)) == 30
    with pytest.raises(SlideError, match="not a table of this kind"):
        list(read_cell_columns(tmp_path / "old", ["x_um"]))
