"""Class cells: from the stored, rounded measurements to intensity, completeness and pattern.

Only the stored columns are looked at, so a table that is classed again from disk gets the same
answer as at the time of measurement. All cut-offs are compared on integers (1/10,000 OD): whether
0.25 - 0.20 reaches 0.05 must not depend on binary fractions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from pathology.cells.measure import MeasuredCells, area_um2
from pathology.cells.table import CELL_CLASSES, N_RAYS, OD_STEP, CellTable
from pathology.config import MeasurementConfig
from pathology.scoring import pattern_codes
from pathology.types import AnyArray, BoolArray, FloatArray, IntArray, U8Array

__all__ = ["MembraneClass", "build_table", "cell_classes", "classify", "reclassify"]

#: Integer units per OD and per share in which cut-offs are compared.
_UNITS = 10_000
_UNITS_PER_STEP = round(OD_STEP * _UNITS)


@dataclass(frozen=True, kw_only=True)
class MembraneClass:
    """Hold the classed membranes of n cells.

    Parameters
    ----------
    membrane_od
        (n,) float32: mean OD of all rays above the limit of blank, at least 0.
    membrane_od_stained
        (n,) float32: mean OD of the stained rays above the limit of blank; 0 where none is stained.
    membrane_completeness
        (n,) float32, 0 to 1: share of stained rays.
    intensity
        (n,) uint8: index into ``INTENSITIES``.
    complete
        (n,) bool.
    pattern
        (n,) uint8: index into ``PATTERNS``.
    """

    membrane_od: FloatArray
    membrane_od_stained: FloatArray
    membrane_completeness: FloatArray
    intensity: U8Array
    complete: BoolArray
    pattern: U8Array


def classify(ray_od: U8Array, cytoplasm_od: FloatArray, config: MeasurementConfig) -> MembraneClass:
    """Class membranes from stored ray and cytoplasm densities.

    A ray is stained when its OD above the limit of blank reaches ``stained_od``, and it either
    stands out of the cell's cytoplasm by ``contrast_od`` or reaches ``contrast_exempt_od`` (a dark
    membrane in a dark cytoplasm). A cell with too few stained rays is unstained; else its intensity
    is the class of the mean OD of its stained rays above the limit of blank.

    Parameters
    ----------
    ray_od
        (n, 32) uint8, 0.01 OD.
    cytoplasm_od
        (n,) float32, OD.
    config
        Cut-offs; OD is compared to 4 decimals.

    Returns
    -------
    MembraneClass
        The classed columns.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> rays = np.repeat(np.array([[5], [25], [90]], dtype=np.uint8), 32, axis=1)
    >>> rays[1, :16] = 0
    >>> found = classify(rays, np.zeros(3, dtype=np.float32), load_config().measurement)
    >>> found.intensity.tolist(), found.complete.tolist(), found.pattern.tolist()
    ([0, 2, 4], [False, False, True], [0, 1, 4])
    """
    blank = _units(config.limit_of_blank_od)
    stained = ray_od >= _stained_from(cytoplasm_od, config)[:, None]
    count = stained.sum(axis=1, dtype=np.int64)
    dark = np.multiply(ray_od, stained).sum(axis=1, dtype=np.int64)
    total = dark * _UNITS_PER_STEP - blank * count
    is_stained = (count > 0) & (count * _UNITS >= _units(config.min_stained_share) * N_RAYS)
    intensity = is_stained.astype(np.uint8)  # faint, the first above unstained
    for cut in (config.weak_od, config.moderate_od, config.intense_od):
        intensity += is_stained & (total >= _units(cut) * count)
    complete = is_stained & (count * _UNITS >= _units(config.complete_share) * N_RAYS)
    summed = ray_od.sum(axis=1, dtype=np.int64) * _UNITS_PER_STEP
    whole = np.maximum(summed - blank * N_RAYS, 0)
    return MembraneClass(
        membrane_od=_float32(whole / (N_RAYS * _UNITS)),
        membrane_od_stained=_float32(total / (np.maximum(count, 1) * _UNITS)),
        membrane_completeness=_float32(count / N_RAYS),
        intensity=intensity,
        complete=complete,
        pattern=pattern_codes(intensity, complete),
    )


def _stained_from(cytoplasm_od: FloatArray, config: MeasurementConfig) -> AnyArray:
    """Return (n,) int16: the stored step of OD from which a cell's rays are stained.

    The three conditions are lower bounds of one number, so a ray is compared once.
    """
    cytoplasm = np.rint(np.asarray(cytoplasm_od, dtype=np.float64) * _UNITS).astype(np.int64)
    stands_out = cytoplasm + _units(config.contrast_od)
    above = np.minimum(stands_out, _units(config.contrast_exempt_od))
    lowest = _units(config.stained_od) + _units(config.limit_of_blank_od)
    # Rounded up to a step; 256 is a density that no ray has, 0 one that every ray has.
    steps = -(-np.maximum(lowest, above) // _UNITS_PER_STEP)
    return np.asarray(np.clip(steps, 0, 256), dtype=np.int16)


def _units(value: float) -> int:
    return round(value * _UNITS)


def _float32(values: AnyArray) -> FloatArray:
    return np.asarray(values, dtype=np.float32)


def cell_classes(probabilities: AnyArray, *, tumour_min: float) -> tuple[U8Array, FloatArray]:
    """Choose the class of cells: tumour from a set probability on, else the likeliest other class.

    Parameters
    ----------
    probabilities
        (n, 6) float, 0 to 1, in the order of ``CELL_CLASSES``.
    tumour_min
        Probability from which a cell is tumour.

    Returns
    -------
    tuple of numpy.ndarray
        (n,) uint8 class and (n,) float32 tumour probability.

    Examples
    --------
    >>> classes, tumour = cell_classes(np.array([[0.5, 0.5, 0, 0, 0, 0], [0.4, 0, 0, 0.6, 0, 0]]),
    ...                                tumour_min=0.5)
    >>> classes.tolist()
    [0, 3]
    """
    shares = np.asarray(probabilities, dtype=np.float32).reshape(-1, len(CELL_CLASSES))
    tumour = shares[:, 0]
    other = shares[:, 1:].argmax(axis=1) + 1
    classes = np.where(tumour >= np.float32(tumour_min), 0, other)
    return classes.astype(np.uint8), np.ascontiguousarray(tumour)


def build_table(
    *,
    tile_id: int,
    centres_um: AnyArray,
    probabilities: AnyArray,
    measured: MeasuredCells,
    tumour_min: float,
    config: MeasurementConfig,
) -> CellTable:
    """Put the cells of one tile together, ordered by row and then column of the centre.

    Parameters
    ----------
    tile_id
        The tile that owns the cells.
    centres_um
        (n, 2) float64: x and y in µm from the top left of level 0.
    probabilities
        (n, 6) float, in the order of ``CELL_CLASSES``.
    measured
        What was measured.
    tumour_min
        Probability from which a cell is tumour.
    config
        Cut-offs of the membrane classes.

    Returns
    -------
    CellTable
        One row per cell.
    """
    centres = np.asarray(centres_um, dtype=np.float64).reshape(-1, 2)
    classes, tumour = cell_classes(probabilities, tumour_min=tumour_min)
    membrane = classify(measured.ray_od, measured.cytoplasm_od, config)
    table = CellTable(
        tile_id=np.full(len(centres), tile_id, dtype=np.int64),
        x_um=_float32(centres[:, 0]),
        y_um=_float32(centres[:, 1]),
        area_um2=area_um2(measured.outline_r),
        cell_class=classes,
        tumour_probability=tumour,
        outline_r=measured.outline_r,
        ray_od=measured.ray_od,
        cytoplasm_od=measured.cytoplasm_od,
        **{item.name: getattr(membrane, item.name) for item in fields(membrane)},
    )
    return table.take(_reading_order(centres))


def _reading_order(centres: AnyArray) -> IntArray:
    return np.asarray(np.lexsort((centres[:, 0], centres[:, 1])), dtype=np.int64)


def reclassify(table: CellTable, config: MeasurementConfig) -> CellTable:
    """Class the membranes of a stored table again, with other cut-offs.

    ``ray_tolerance_um`` and the cytoplasm's place act on pixels and have no effect here.

    Parameters
    ----------
    table
        Cells as stored.
    config
        The cut-offs to use.

    Returns
    -------
    CellTable
        The same cells; everything that :func:`classify` gives is new.
    """
    membrane = classify(table.ray_od, table.cytoplasm_od, config)
    return replace(table, **{item.name: getattr(membrane, item.name) for item in fields(membrane)})
