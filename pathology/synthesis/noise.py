"""Smooth random fields: grids of their own for the layout, endless tables for textures."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pathology.types import AnyArray, FloatArray

__all__ = ["NoiseBank", "resample", "sample_grid", "smooth_field"]

#: Cells of a table per correlation length: bilinear sampling of 2 cells per sigma shows no facets.
_CELLS_PER_SIGMA = 2.0
_TABLE = 256


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, int], sigma_cells: float
) -> FloatArray:
    """Draw a Gaussian random field of mean 0 and standard deviation 1.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        Rows and columns.
    sigma_cells
        Correlation length in cells, above 0.

    Returns
    -------
    (rows, columns) float32.
    """
    # Long correlations are drawn on a coarse grid: four cells per sigma lose nothing visible.
    step = max(1.0, sigma_cells / 4.0)
    rows, columns = (int(np.ceil(side / step)) + 3 for side in shape)
    sigma = sigma_cells / step
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    coarse = ndimage.gaussian_filter(coarse, sigma, mode="wrap", truncate=3.0)
    # White noise through a Gaussian kernel has standard deviation 1 / (2 sigma sqrt(pi)).
    coarse = np.asarray(coarse * (2.0 * sigma * np.sqrt(np.pi)), dtype=np.float32)
    offset = rng.random(2)
    y = (np.arange(shape[0]) / step + offset[0]).astype(np.float32)
    x = (np.arange(shape[1]) / step + offset[1]).astype(np.float32)
    return sample_grid(coarse, y, x)


def sample_grid(table: FloatArray, rows: AnyArray, columns: AnyArray) -> FloatArray:
    """Read a table bilinearly on the grid ``rows`` × ``columns``, clamped at the edges.

    Parameters
    ----------
    table
        (h, w) float32.
    rows, columns
        (H,), (W,) fractional indices; an integer is the centre of a cell.

    Returns
    -------
    (H, W) float32.
    """
    last_row, last_column = table.shape[0] - 1, table.shape[1] - 1
    r = np.clip(rows, 0, last_row)
    c = np.clip(columns, 0, last_column)
    r0 = np.minimum(r.astype(np.intp), max(last_row - 1, 0))
    c0 = np.minimum(c.astype(np.intp), max(last_column - 1, 0))
    r1, c1 = np.minimum(r0 + 1, last_row), np.minimum(c0 + 1, last_column)
    fr = (r - r0).astype(np.float32)[:, None]
    fc = (c - c0).astype(np.float32)[None, :]
    # Only the columns in use are blended along y; then along x.
    low, high = int(c0.min(initial=0)), int(c1.max(initial=0)) + 1
    part = table[:, low:high]
    lines = part[r0]
    lines = lines + (part[r1] - lines) * fr
    left = np.take(lines, c0 - low, axis=1)
    result: FloatArray = left + (np.take(lines, c1 - low, axis=1) - left) * fc
    return result


def resample(table: FloatArray, rows: AnyArray, columns: AnyArray) -> FloatArray:
    """Read a table bilinearly at points (``rows[i]``, ``columns[i]``), clamped at the edges.

    Parameters
    ----------
    table
        (h, w) float32.
    rows, columns
        Fractional indices, arrays of one shape.

    Returns
    -------
    float32 array of that shape.
    """
    r = np.clip(rows, 0, table.shape[0] - 1.001)
    c = np.clip(columns, 0, table.shape[1] - 1.001)
    r0, c0 = r.astype(np.intp), c.astype(np.intp)
    fr, fc = (r - r0).astype(np.float32), (c - c0).astype(np.float32)
    top = table[r0, c0] * (1 - fc) + table[r0, c0 + 1] * fc
    bottom = table[r0 + 1, c0] * (1 - fc) + table[r0 + 1, c0 + 1] * fc
    return np.asarray(top * (1 - fr) + bottom * fr, dtype=np.float32)


class NoiseBank:
    """Hold a few periodic noise tables that can be read anywhere in the plane.

    Every block of a slide reads the same tables at its own place, so textures join without seams.

    Parameters
    ----------
    rng
        Source of randomness.
    count
        Number of independent tables.
    """

    def __init__(self, rng: np.random.Generator, count: int = 4) -> None:
        tables = rng.standard_normal((count, _TABLE, _TABLE), dtype=np.float32)
        for table in tables:
            ndimage.gaussian_filter(
                table, _CELLS_PER_SIGMA, output=table, mode="wrap", truncate=3.0
            )
        scale = 2.0 * _CELLS_PER_SIGMA * np.sqrt(np.pi)
        self._tables: FloatArray = np.asarray(tables * scale, dtype=np.float32)

    def grid(self, table: int, x_um: AnyArray, y_um: AnyArray, scale_um: float) -> FloatArray:
        """Read a table on the grid of ``y_um`` × ``x_um``.

        Parameters
        ----------
        table
            Index of the table; each index has its own offset as well.
        x_um, y_um
            (W,), (H,) coordinates in µm.
        scale_um
            Correlation length (sigma) in µm.

        Returns
        -------
        (H, W) float32, mean 0, standard deviation about 1.
        """
        data, rows, columns = self._place(table, x_um, y_um, scale_um)
        r0, c0 = np.floor(rows).astype(np.intp), np.floor(columns).astype(np.intp)
        fr = (rows - r0).astype(np.float32)[:, None]
        fc = (columns - c0).astype(np.float32)[None, :]
        lines = data[r0 % _TABLE]
        lines = lines + (data[(r0 + 1) % _TABLE] - lines) * fr
        left = np.take(lines, c0 % _TABLE, axis=1)
        result: FloatArray = left + (np.take(lines, (c0 + 1) % _TABLE, axis=1) - left) * fc
        return result

    def at(self, table: int, x_um: AnyArray, y_um: AnyArray, scale_um: float) -> FloatArray:
        """Read a table at points; the same value as :meth:`grid` gives there.

        Parameters
        ----------
        table
            Index of the table.
        x_um, y_um
            Coordinates in µm, arrays of one shape.
        scale_um
            Correlation length (sigma) in µm.

        Returns
        -------
        float32 array of that shape.
        """
        data, rows, columns = self._place(table, x_um, y_um, scale_um)
        r0, c0 = np.floor(rows).astype(np.intp), np.floor(columns).astype(np.intp)
        fr, fc = (rows - r0).astype(np.float32), (columns - c0).astype(np.float32)
        r0, c0 = r0 % _TABLE, c0 % _TABLE
        r1, c1 = (r0 + 1) % _TABLE, (c0 + 1) % _TABLE
        top = data[r0, c0] * (1 - fc) + data[r0, c1] * fc
        bottom = data[r1, c0] * (1 - fc) + data[r1, c1] * fc
        return np.asarray(top * (1 - fr) + bottom * fr, dtype=np.float32)

    def _place(
        self, table: int, x_um: AnyArray, y_um: AnyArray, scale_um: float
    ) -> tuple[FloatArray, AnyArray, AnyArray]:
        count = len(self._tables)
        cell = scale_um / _CELLS_PER_SIGMA
        shift = 37.7 * (table // count)  # another place of the same table acts as another table
        return self._tables[table % count], y_um / cell + shift, x_um / cell + 2.3 * shift
