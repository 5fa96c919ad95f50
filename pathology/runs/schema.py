"""The Parquet schemas of the run folder, and how every table is written.

Names and their order are a contract: columns may be appended, never moved nor renamed. Words
(classes, patterns) are stored as dictionaries of strings, which pandas reads as categories and R as
factors. Nothing in a file depends on when or where it was written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pathology.cells.table import CELL_CLASSES, INTENSITIES, N_RAYS, PATTERNS
from pathology.errors import ReasonCode, SlideError
from pathology.runs.row import COLUMN_KINDS, PATTERN_COLUMNS, ColumnKind

__all__ = [
    "CELL_SCHEMA",
    "FIRST_CELL_SCHEMA",
    "FIRST_TILE_SCHEMA",
    "RESULT_SCHEMA",
    "TABLE_OPTIONS",
    "TILE_CALLS",
    "TILE_SCHEMA",
    "TILE_SCORES",
    "TILE_STATUSES",
    "WORDS",
    "open_table",
]

#: What became of a tile: read, or not readable on two tries.
TILE_STATUSES: tuple[str, ...] = ("ok", "failed")
#: Score of a tile's own cells by the slide's guideline.
TILE_SCORES: tuple[str, ...] = ("0", "1+", "2+", "3+")
#: What a tile classifier may call a tile, whether it counts or not.
TILE_CALLS: tuple[str, ...] = ("no_tumour", *PATTERNS)
#: The words behind the coded columns, in the order of their codes.
WORDS: dict[str, tuple[str, ...]] = {
    "cell_class": CELL_CLASSES,
    "intensity": INTENSITIES,
    "pattern": PATTERNS,
    "status": TILE_STATUSES,
    "tile_score": TILE_SCORES,
    "called": TILE_CALLS,
}
#: Options of every Parquet file. zstd at 3 packs cells to about half of snappy's size at nearly its
#: speed; version 2.6 is what pandas, R arrow, polars and DuckDB all read; statistics let readers
#: skip row groups by tile.
TABLE_OPTIONS: Final[dict[str, Any]] = {
    "compression": "zstd",
    "compression_level": 3,
    "version": "2.6",
    "use_dictionary": True,
    "write_statistics": True,
    "store_schema": True,
}

_WORD = pa.dictionary(pa.int8(), pa.string())
_RAYS = pa.list_(pa.field("item", pa.uint8(), nullable=False), N_RAYS)


def _column(name: str, kind: pa.DataType, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable)


#: ``cells.parquet``. ``cell_id`` counts the slide's cells from 0, in the order of the file.
CELL_SCHEMA: pa.Schema = pa.schema(
    [
        _column("cell_id", pa.int64()),
        _column("tile_id", pa.int64()),
        _column("x_um", pa.float32()),
        _column("y_um", pa.float32()),
        _column("area_um2", pa.float32()),
        _column("cell_class", _WORD),
        _column("tumour_probability", pa.float32()),
        _column("membrane_od", pa.float32()),
        _column("membrane_od_stained", pa.float32()),
        _column("membrane_completeness", pa.float32()),
        _column("cytoplasm_od", pa.float32()),
        _column("intensity", _WORD),
        _column("complete", pa.bool_()),
        _column("pattern", _WORD),
        _column("outline_r", _RAYS),
        _column("ray_od", _RAYS),
        _column("evaluable", pa.bool_()),
    ]
)
#: Columns of ``cells.parquet`` that tables of the first version have as well.
FIRST_CELL_SCHEMA: pa.Schema = pa.schema(list(CELL_SCHEMA)[:16])

#: ``tiles.parquet``. Positions are level-0 pixels; what a failed tile cannot say is null.
TILE_SCHEMA: pa.Schema = pa.schema(
    [
        _column("tile_id", pa.int64()),
        _column("x_px", pa.int64()),
        _column("y_px", pa.int64()),
        _column("width_px", pa.int64()),
        _column("height_px", pa.int64()),
        _column("status", _WORD),
        _column("tissue_fraction", pa.float64()),
        _column("focus", pa.float64(), nullable=True),
        _column("n_cells", pa.int64()),
        _column("n_tumour_cells", pa.int64()),
        *[_column(f"n_{name}", pa.int64()) for name in PATTERN_COLUMNS],
        _column("mean_membrane_od", pa.float64(), nullable=True),
        _column("tile_score", _WORD, nullable=True),
        _column("called", _WORD, nullable=True),
    ]
)
#: Columns of ``tiles.parquet`` that tables of the first version have as well.
FIRST_TILE_SCHEMA: pa.Schema = pa.schema(list(TILE_SCHEMA)[:17])


_KINDS: dict[ColumnKind, pa.DataType] = {
    "text": pa.string(),
    "codes": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
}

#: ``results.parquet``: the columns of ``results.csv`` with types and unrounded.
RESULT_SCHEMA: pa.Schema = pa.schema(
    [
        _column(name, _KINDS[kind], nullable=name not in ("slide_id", "path", "status"))
        for name, kind in COLUMN_KINDS.items()
    ]
)


@contextmanager
def open_table(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetFile]:
    """Open one of our Parquet files to read it.

    Parameters
    ----------
    path
        The file.
    schema
        What it must hold: its columns may be followed by others, as columns are only ever appended.

    Yields
    ------
    pyarrow.parquet.ParquetFile
        The open file; closed at the end of the block.

    Raises
    ------
    SlideError
        If the file is missing, damaged (also where that shows later in the block) or holds other
        columns.
    """
    fix = "Remove the slide's folder and score the slide again."
    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow
            if found.names[: len(schema)] != schema.names:
                raise SlideError(
                    f"{path}: not a table of this kind (its columns are {', '.join(found.names)})",
                    reason=ReasonCode.UNREADABLE,
                    fix=fix,
                )
            yield file
    except (OSError, pa.ArrowException) as error:
        raise SlideError(
            f"{path}: the table cannot be read ({error})", reason=ReasonCode.UNREADABLE, fix=fix
        ) from error
