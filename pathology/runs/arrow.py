"""Cells and columns as Arrow holds them, and back."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pyarrow as pa

from pathology.cells.table import N_RAYS, CellTable
from pathology.runs.schema import CELL_SCHEMA, WORDS
from pathology.types import AnyArray, BoolArray

__all__ = [
    "cells_from_arrow",
    "cells_to_arrow",
    "column_from_arrow",
    "column_to_arrow",
    "whole_column",
]


def cells_to_arrow(cells: CellTable, evaluable: BoolArray, *, first_id: int) -> pa.Table:
    """Return cells as rows of ``cells.parquet``, numbered from ``first_id`` on."""
    columns: list[pa.Array] = []
    for field in CELL_SCHEMA:
        if field.name == "cell_id":
            values: AnyArray = np.arange(first_id, first_id + cells.n, dtype=np.int64)
        elif field.name == "evaluable":
            values = evaluable
        else:
            values = np.ascontiguousarray(getattr(cells, field.name))
        columns.append(column_to_arrow(field, values))
    return pa.Table.from_arrays(columns, schema=CELL_SCHEMA)


def column_to_arrow(field: pa.Field, values: AnyArray) -> pa.Array:
    """Return a column of a cell table as its field of ``cells.parquet``: words for their codes."""
    if field.name in WORDS:
        codes = pa.array(values.astype(np.int8), type=pa.int8())
        return pa.DictionaryArray.from_arrays(codes, pa.array(WORDS[field.name], type=pa.string()))
    if pa.types.is_fixed_size_list(field.type):
        flat = pa.array(values.reshape(-1), type=pa.uint8())
        return pa.FixedSizeListArray.from_arrays(flat, type=field.type)
    return pa.array(values, type=field.type)


def cells_from_arrow(table: pa.Table) -> CellTable:
    """Return the cells that rows of ``cells.parquet`` hold."""
    columns = {
        item.name: column_from_arrow(item.name, whole_column(table, item.name))
        for item in fields(CellTable)
    }
    return CellTable(**columns)


def whole_column(table: pa.Table, name: str) -> pa.Array:
    """Return a column in one piece."""
    column = table.column(name).combine_chunks()
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column


def column_from_arrow(name: str, column: pa.Array) -> AnyArray:
    """Return a column of ``cells.parquet`` as a cell table holds it: codes for their words."""
    if name in WORDS:
        # Another writer may have ordered the words otherwise, or left the unused ones out.
        known = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        codes = np.array([WORDS[name].index(word) for word in known.dictionary.to_pylist()])
        indices = np.asarray(known.indices.to_numpy(zero_copy_only=False))
        return np.asarray(codes.astype(np.uint8)[indices])
    if pa.types.is_fixed_size_list(column.type):
        flat = column.flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat, dtype=np.uint8).reshape(-1, N_RAYS)
    return np.array(column.to_numpy(zero_copy_only=False))
