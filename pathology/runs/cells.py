"""``cells.parquet``: written as a stream, read as a stream, the same bytes for the same cells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pathology.cells.table import N_RAYS, CellTable
from pathology.runs.atomic import AtomicFile, disk_errors
from pathology.runs.schema import CELL_SCHEMA, TABLE_OPTIONS, WORDS, open_table
from pathology.types import AnyArray

__all__ = ["ROW_GROUP", "CellWriter", "read_cells"]

#: Cells per row group: about 8 MB in memory, so a writer's memory does not grow with the slide.
ROW_GROUP = 65_536


class CellWriter:
    """Write the cells of a slide in row groups of a fixed size.

    The bytes depend on the cells and their order only, not on how they were handed over. Use it in
    a ``with`` block: the file appears when the block ends normally, and not at all when it raises.

    Parameters
    ----------
    path
        ``cells.parquet`` in the slide's folder, which must exist.

    Raises
    ------
    SlideError
        If the disk is full or the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "cells.parquet"
    ...     with CellWriter(path) as writer:
    ...         writer.write(CellTable.empty())
    ...     writer.rows, sum(table.n for table in read_cells(path))
    (0, 0)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows = 0
        self._written = 0
        self._waiting: list[CellTable] = []
        self._file = AtomicFile(path)
        try:
            with disk_errors(path):
                self._parquet = pq.ParquetWriter(self._file.stream, CELL_SCHEMA, **TABLE_OPTIONS)
        except BaseException:
            self._file.discard()
            raise

    @property
    def rows(self) -> int:
        """Cells taken so far."""
        return self._rows

    def write(self, table: CellTable) -> None:
        """Take cells; their ids go on from the cells before.

        Parameters
        ----------
        table
            Any number of cells, in an order that does not depend on the machine.

        Raises
        ------
        SlideError
            If the disk is full.
        """
        self._waiting.append(table)
        self._rows += table.n
        while self._rows - self._written >= ROW_GROUP:
            joined = CellTable.concat(self._waiting)
            self._write_group(joined.take(np.arange(ROW_GROUP)))
            self._waiting = [joined.take(np.arange(ROW_GROUP, joined.n))]

    def close(self) -> None:
        """Write what is left and publish the file.

        Raises
        ------
        SlideError
            If the disk is full; nothing of the file is left then.
        """
        try:
            if self._rows > self._written:
                self._write_group(CellTable.concat(self._waiting))
            with disk_errors(self.path):
                self._parquet.close()
            self._file.commit()
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove the unfinished file."""
        self._waiting = []
        # A full disk refuses the footer too; the file goes anyway.
        with suppress(OSError, ValueError, pa.ArrowException):
            self._parquet.close()
        self._file.discard()

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Publish the file, or remove it where the block raised."""
        if kind is None:
            self.close()
        else:
            self.discard()

    def _write_group(self, cells: CellTable) -> None:
        with disk_errors(self.path):
            # One contiguous batch per row group: page boundaries then depend on the values alone.
            self._parquet.write_table(
                _to_arrow(cells, first_id=self._written), row_group_size=ROW_GROUP
            )
        self._written += cells.n


def read_cells(path: Path) -> Iterator[CellTable]:
    """Read the cells of a slide, one row group at a time.

    Parameters
    ----------
    path
        ``cells.parquet``.

    Yields
    ------
    CellTable
        At most :data:`ROW_GROUP` cells, in the order of ``cell_id``.

    Raises
    ------
    SlideError
        If the file is missing, damaged or not a table of cells.
    """
    with open_table(path, CELL_SCHEMA) as file:
        for group in range(file.num_row_groups):
            yield _from_arrow(file.read_row_group(group, columns=CELL_SCHEMA.names))


def _to_arrow(cells: CellTable, *, first_id: int) -> pa.Table:
    columns: list[pa.Array] = []
    for field in CELL_SCHEMA:
        if field.name == "cell_id":
            values: AnyArray = np.arange(first_id, first_id + cells.n, dtype=np.int64)
        else:
            values = np.ascontiguousarray(getattr(cells, field.name))
        columns.append(_column_to_arrow(field, values))
    return pa.Table.from_arrays(columns, schema=CELL_SCHEMA)


def _column_to_arrow(field: pa.Field, values: AnyArray) -> pa.Array:
    if field.name in WORDS:
        codes = pa.array(values.astype(np.int8), type=pa.int8())
        return pa.DictionaryArray.from_arrays(codes, pa.array(WORDS[field.name], type=pa.string()))
    if pa.types.is_fixed_size_list(field.type):
        flat = pa.array(values.reshape(-1), type=pa.uint8())
        return pa.FixedSizeListArray.from_arrays(flat, type=field.type)
    return pa.array(values, type=field.type)


def _from_arrow(table: pa.Table) -> CellTable:
    columns: dict[str, AnyArray] = {}
    for item in fields(CellTable):
        column = table.column(item.name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks)
        columns[item.name] = _column_from_arrow(item.name, column)
    return CellTable(**columns)


def _column_from_arrow(name: str, column: pa.Array) -> AnyArray:
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
