"""``cells.parquet``: written as a stream, read as a stream, the same bytes for the same cells.

Behind the columns of :class:`CellTable` stands ``evaluable``: whether the cell counted. It is a
tumour cell, on tissue (or within 16 µm of it) that is no artefact, and where the annotated regions
let it count; every other cell is stored as well, and enters no denominator.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pathology.cells.table import CellTable
from pathology.runs.arrow import (
    cells_from_arrow,
    cells_to_arrow,
    column_from_arrow,
    column_to_arrow,
    whole_column,
)
from pathology.runs.atomic import AtomicFile, disk_errors
from pathology.runs.schema import (
    CELL_SCHEMA,
    FIRST_CELL_SCHEMA,
    TABLE_OPTIONS,
    WORDS,
    open_table,
)
from pathology.types import AnyArray, BoolArray

__all__ = [
    "ROW_GROUP",
    "CellWriter",
    "read_cell",
    "read_cell_columns",
    "read_cells",
    "read_schema_names",
    "rewrite_cells",
]

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
        self._waiting: list[tuple[CellTable, BoolArray]] = []
        # Made durable with the slide's other files: see SlideFolder.write_result.
        self._file = AtomicFile(path, sync=False)
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

    def write(self, table: CellTable, *, evaluable: BoolArray | None = None) -> None:
        """Take cells; their ids go on from the cells before.

        Parameters
        ----------
        table
            Any number of cells, in an order that does not depend on the machine.
        evaluable
            (n,) bool: which of them count; None: every tumour cell.

        Raises
        ------
        SlideError
            If the disk is full.
        ValueError
            If ``evaluable`` does not fit, or a cell that is no tumour is said to count.
        """
        counts = np.asarray(table.is_tumour if evaluable is None else evaluable, dtype=np.bool_)
        if counts.shape != (table.n,) or bool((counts & ~table.is_tumour).any()):
            raise ValueError("evaluable must hold one value per cell, and tumour cells only")
        self._waiting.append((table, counts))
        self._rows += table.n
        while self._rows - self._written >= ROW_GROUP:
            cells, counts = self._join()
            self._write_group(cells.take(np.arange(ROW_GROUP)), counts[:ROW_GROUP])
            rest = cells.take(np.arange(ROW_GROUP, cells.n))
            self._waiting = [(rest, counts[ROW_GROUP:])]

    def close(self) -> None:
        """Write what is left and publish the file.

        Raises
        ------
        SlideError
            If the disk is full; nothing of the file is left then.
        """
        try:
            if self._rows > self._written:
                self._write_group(*self._join())
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

    def _join(self) -> tuple[CellTable, BoolArray]:
        cells = CellTable.concat([table for table, _ in self._waiting])
        return cells, np.concatenate([counts for _, counts in self._waiting])

    def _write_group(self, cells: CellTable, evaluable: BoolArray) -> None:
        with disk_errors(self.path):
            # One contiguous batch per row group: page boundaries then depend on the values alone.
            self._parquet.write_table(
                cells_to_arrow(cells, evaluable, first_id=self._written), row_group_size=ROW_GROUP
            )
        self._written += cells.n


def read_cells(path: Path, *, only_counted: bool = False) -> Iterator[CellTable]:
    """Read the cells of a slide, one row group at a time.

    Parameters
    ----------
    path
        ``cells.parquet``.
    only_counted
        Whether to leave out cells that did not count. A table from before that was stored is given
        whole.

    Yields
    ------
    CellTable
        At most :data:`ROW_GROUP` cells, in the order of ``cell_id``.

    Raises
    ------
    SlideError
        If the file is missing, damaged or not a table of cells.
    """
    with open_table(path, FIRST_CELL_SCHEMA) as file:
        for group in range(file.num_row_groups):
            cells = cells_from_arrow(file.read_row_group(group, columns=FIRST_CELL_SCHEMA.names))
            if only_counted and "evaluable" in file.schema_arrow.names:
                table = file.read_row_group(group, columns=["evaluable"])
                cells = cells.take(column_from_arrow("evaluable", whole_column(table, "evaluable")))
            yield cells


def read_cell_columns(path: Path, names: Sequence[str]) -> Iterator[dict[str, AnyArray]]:
    """Read some columns of the cells of a slide, one row group at a time.

    Parameters
    ----------
    path
        ``cells.parquet``.
    names
        Columns; only these are read from the disk.

    Yields
    ------
    dict of str to numpy.ndarray
        The columns as in :class:`CellTable`; ``evaluable`` is (n,) bool.

    Raises
    ------
    SlideError
        If the file is missing, damaged, not a table of cells, or of a version without a column.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "cells.parquet"
    ...     with CellWriter(path) as writer:
    ...         writer.write(CellTable.empty())
    ...     list(read_cell_columns(path, ["x_um", "evaluable"]))
    []
    """
    with open_table(path, CELL_SCHEMA) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=list(names))
            yield {name: column_from_arrow(name, whole_column(table, name)) for name in names}


def read_cell(path: Path, cell_id: int) -> CellTable:
    """Read one cell of a slide; only its row group is read from the disk.

    Parameters
    ----------
    path
        ``cells.parquet``.
    cell_id
        From 0, in the order of the file.

    Returns
    -------
    CellTable
        With that one cell.

    Raises
    ------
    SlideError
        If the file is missing, damaged or not a table of cells.
    KeyError
        If there is no such cell.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "cells.parquet"
    ...     with CellWriter(path) as writer:
    ...         writer.write(CellTable.empty())
    ...     read_cell(path, 0)
    Traceback (most recent call last):
    KeyError: 0
    """
    with open_table(path, FIRST_CELL_SCHEMA) as file:
        first = 0
        for group in range(file.num_row_groups):
            rows = int(file.metadata.row_group(group).num_rows)
            if 0 <= cell_id - first < rows:
                table = file.read_row_group(group, columns=FIRST_CELL_SCHEMA.names)
                return cells_from_arrow(table.slice(cell_id - first, 1))
            first += rows
    raise KeyError(cell_id)


def read_schema_names(path: Path) -> tuple[str, ...]:
    """Return the names of the columns of a table of cells, which older versions have fewer of.

    Raises
    ------
    SlideError
        If the file is missing, damaged or not a table of cells.
    """
    with open_table(path, FIRST_CELL_SCHEMA) as file:
        return tuple(file.schema_arrow.names)


def rewrite_cells(source: Path, target: Path, columns: Mapping[str, AnyArray]) -> int:
    """Write a table of cells anew with some columns replaced; row groups stay as they are.

    Parameters
    ----------
    source
        ``cells.parquet``; read as a stream, and left as it is.
    target
        The new file; its folder must exist.
    columns
        New values by column, one for each cell, as in :class:`CellTable`. None: the file is copied
        byte by byte.

    Returns
    -------
    int
        Number of cells.

    Raises
    ------
    SlideError
        If the source is damaged or of another version, or the disk is full.
    """
    with open_table(source, CELL_SCHEMA) as file, AtomicFile(target) as new:
        rows = int(file.metadata.num_rows)
        if not columns:
            with disk_errors(target), source.open("rb") as old:
                shutil.copyfileobj(old, new.stream, 1 << 20)
            return rows
        kept = [name for name in CELL_SCHEMA.names if name not in columns]
        start = 0
        with disk_errors(target):
            parquet = pq.ParquetWriter(new.stream, CELL_SCHEMA, **TABLE_OPTIONS)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=kept)
            stop = start + table.num_rows
            arrays = [_fresh(field, table, columns, slice(start, stop)) for field in CELL_SCHEMA]
            with disk_errors(target):
                parquet.write_table(
                    pa.Table.from_arrays(arrays, schema=CELL_SCHEMA), row_group_size=ROW_GROUP
                )
            start = stop
        with disk_errors(target):
            parquet.close()
    return rows


def _fresh(
    field: pa.Field, table: pa.Table, columns: Mapping[str, AnyArray], rows: slice
) -> pa.Array:
    """Return a column for writing: the new values, or the old ones as they would be written."""
    if field.name in columns:
        return column_to_arrow(field, np.ascontiguousarray(columns[field.name][rows]))
    column = whole_column(table, field.name)
    # Words are coded anew: a file may have them in another order.
    coded = field.name in WORDS
    return column_to_arrow(field, column_from_arrow(field.name, column)) if coded else column
