"""``tiles.parquet``: one row per tile that was taken up, read or not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from pathology.geometry import Box0
from pathology.runs.atomic import AtomicFile, disk_errors
from pathology.runs.row import IhcScore
from pathology.runs.schema import (
    FIRST_TILE_SCHEMA,
    TABLE_OPTIONS,
    TILE_SCHEMA,
    WORDS,
    open_table,
)

__all__ = ["TileRow", "TileStatus", "read_tiles", "write_tiles"]

TileStatus = Literal["ok", "failed"]
#: Tiles per row group: a slide of 60,000 px has some 3,600, so nearly always there is one group.
_ROW_GROUP = 65_536


@dataclass(frozen=True, kw_only=True)
class TileRow:
    """Hold what became of one tile; its fields are the columns of ``tiles.parquet``.

    Parameters
    ----------
    tile_id
        Position in the grid, from 0.
    x_px, y_px, width_px, height_px
        The tile's core in level-0 pixels.
    status
        ``ok``, or ``failed`` where the pixels could not be read.
    tissue_fraction
        Share of tissue, 0 to 1.
    focus
        Sharpness, or None where it was not measured.
    n_cells, n_tumour_cells
        Cells whose centre lies in the core, and how many of them are evaluable tumour cells.
    n_complete_intense, n_complete_weak_moderate, n_incomplete_moderate_intense, \
n_incomplete_faint, n_unstained
        Tumour cells of each pattern; they add up to ``n_tumour_cells``.
    mean_membrane_od
        Mean over the tumour cells, decadic OD; None without one.
    tile_score
        Score of the tile's own cells by the slide's guideline; None where there is none.
    called
        Of a tile classifier: ``no_tumour`` or the pattern that the tile counts as, also where it
        does not count, such as outside the drawn tumour; None for cells and failed tiles.

    Raises
    ------
    ValueError
        If the numbers contradict each other.

    Examples
    --------
    >>> TileRow(tile_id=3, x_px=0, y_px=0, width_px=9, height_px=9, status="failed",
    ...         tissue_fraction=0.5).n_cells
    0
    """

    tile_id: int
    x_px: int
    y_px: int
    width_px: int
    height_px: int
    status: TileStatus
    tissue_fraction: float
    focus: float | None = None
    n_cells: int = 0
    n_tumour_cells: int = 0
    n_complete_intense: int = 0
    n_complete_weak_moderate: int = 0
    n_incomplete_moderate_intense: int = 0
    n_incomplete_faint: int = 0
    n_unstained: int = 0
    mean_membrane_od: float | None = None
    tile_score: IhcScore | None = None
    called: str | None = None

    def __post_init__(self) -> None:
        patterns = (
            self.n_complete_intense,
            self.n_complete_weak_moderate,
            self.n_incomplete_moderate_intense,
            self.n_incomplete_faint,
            self.n_unstained,
        )
        if min(patterns) < 0 or sum(patterns) != self.n_tumour_cells:
            raise ValueError(f"tile {self.tile_id}: patterns do not add up to n_tumour_cells")
        if self.n_tumour_cells > self.n_cells:
            raise ValueError(f"tile {self.tile_id}: more tumour cells than cells")
        if self.tile_id < 0 or self.width_px < 1 or self.height_px < 1:
            raise ValueError(f"tile {self.tile_id}: not a tile of a grid")
        if self.status not in WORDS["status"] or (self.status == "failed" and self.n_cells):
            raise ValueError(f"tile {self.tile_id}: status {self.status!r} does not fit")
        if self.called is not None and self.called not in WORDS["called"]:
            raise ValueError(f"tile {self.tile_id}: there is no class {self.called!r}")
        if not 0 <= self.tissue_fraction <= 1:
            raise ValueError(f"tile {self.tile_id}: tissue_fraction must be 0 to 1")
        for value in (self.focus, self.mean_membrane_od):
            if value is not None and not math.isfinite(value):
                raise ValueError(f"tile {self.tile_id}: what was not measured is None, not nan")

    @property
    def core(self) -> Box0:
        """The tile's core in level-0 pixels."""
        return Box0(x=self.x_px, y=self.y_px, width=self.width_px, height=self.height_px)


def write_tiles(path: Path, rows: Iterable[TileRow]) -> int:
    """Write the tiles of a slide, ordered by their id.

    Parameters
    ----------
    path
        ``tiles.parquet`` in the slide's folder, which must exist.
    rows
        In any order.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    ValueError
        If a tile is given twice.
    SlideError
        If the disk is full or the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> row = TileRow(tile_id=3, x_px=0, y_px=0, width_px=9, height_px=9, status="failed",
    ...               tissue_fraction=0.5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "tiles.parquet"
    ...     write_tiles(path, [row]), read_tiles(path) == [row]
    (1, True)
    """
    ordered = sorted(rows, key=lambda row: row.tile_id)
    if len({row.tile_id for row in ordered}) != len(ordered):
        raise ValueError(f"{path}: a tile is given twice")
    columns = {
        field.name: pa.array([getattr(row, field.name) for row in ordered], type=_plain(field))
        for field in TILE_SCHEMA
    }
    for name in ("status", "tile_score", "called"):
        codes = [
            None if word is None else WORDS[name].index(word) for word in columns[name].to_pylist()
        ]
        columns[name] = pa.DictionaryArray.from_arrays(
            pa.array(codes, type=pa.int8()), pa.array(WORDS[name], type=pa.string())
        )
    table = pa.Table.from_arrays(list(columns.values()), schema=TILE_SCHEMA)
    # Made durable with the slide's other files: see SlideFolder.write_result.
    with AtomicFile(path, sync=False) as file, disk_errors(path):
        pq.write_table(table, file.stream, row_group_size=_ROW_GROUP, **TABLE_OPTIONS)
    return len(ordered)


def read_tiles(path: Path) -> list[TileRow]:
    """Read the tiles of a slide, ordered by their id.

    Parameters
    ----------
    path
        ``tiles.parquet``.

    Raises
    ------
    SlideError
        If the file is missing, damaged or not a table of tiles.
    """
    with open_table(path, FIRST_TILE_SCHEMA) as file:
        # Tables of the first version end earlier; what they do not say is None.
        names = [name for name in TILE_SCHEMA.names if name in file.schema_arrow.names]
        return [TileRow(**row) for row in file.read(columns=names).to_pylist()]


def _plain(field: pa.Field) -> pa.DataType:
    return pa.string() if pa.types.is_dictionary(field.type) else field.type
