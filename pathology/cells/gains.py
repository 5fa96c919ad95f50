"""Class the same stored cells at other gains of the scale, for the uncertainty of a score."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from pathology.cells.table import N_RAYS, OD_STEP
from pathology.config import Config, MeasurementConfig
from pathology.scoring.scale import OFF_SCALE_Z
from pathology.stain.gain import gain_ratios, measurement_at_gain
from pathology.types import FloatArray, IntArray, U8Array

__all__ = ["kinds_at", "off_scale_kinds"]

#: As in :mod:`pathology.cells.classify`: cut-offs are compared as integers.
_UNITS: Final = 10_000
_UNITS_PER_STEP: Final = round(OD_STEP * _UNITS)
#: Cells that are classed at once: their rays then stay in the processor's cache.
_AT_ONCE: Final = 16_384
#: A threshold that no ray reaches.
_NEVER: Final = 256


@lru_cache(maxsize=8)
def _measurements(config: Config) -> tuple[MeasurementConfig, ...]:
    ratios = gain_ratios(config, OFF_SCALE_Z)
    return tuple(measurement_at_gain(config.measurement, ratio) for ratio in ratios)


def off_scale_kinds(ray_od: U8Array, cytoplasm_od: FloatArray, config: Config) -> U8Array | None:
    """Class stored cells at the gains beside the one in use.

    No pixel is needed: the stored densities stay, and the cut-offs move.

    Parameters
    ----------
    ray_od
        (n, 32) uint8, 0.01 OD, as stored.
    cytoplasm_od
        (n,) float32, OD, as stored.
    config
        Cut-offs, calibration and ``scoring.gain_sd``.

    Returns
    -------
    numpy.ndarray or None
        (4, n) uint8, for :class:`~pathology.scoring.evidence.Evidence`; None where the scale is
        taken as exact.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> rays = np.full((1, 32), 60, dtype=np.uint8)  # just intense: at higher gains it is moderate
    >>> off_scale_kinds(rays, np.zeros(1, dtype=np.float32), load_config()).ravel().tolist()
    [9, 9, 7, 7]
    """
    measurements = _measurements(config)
    if not measurements:
        return None
    return np.stack([kinds_at(ray_od, cytoplasm_od, item) for item in measurements])


def kinds_at(ray_od: U8Array, cytoplasm_od: FloatArray, config: MeasurementConfig) -> U8Array:
    """Class membranes as :func:`~pathology.cells.classify.classify` does, and only that.

    Whether a ray is stained depends on its stored step alone once the cell's cytoplasm is known, so
    each cell has one threshold.

    Parameters
    ----------
    ray_od, cytoplasm_od
        As stored.
    config
        Cut-offs.

    Returns
    -------
    numpy.ndarray
        (n,) uint8: intensity code twice, plus 1 where complete.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> kinds_at(np.full((1, 32), 90, dtype=np.uint8), np.zeros(1, dtype=np.float32),
    ...          load_config().measurement).tolist()
    [9]
    """
    parts = [
        _kinds(ray_od[start : start + _AT_ONCE], cytoplasm_od[start : start + _AT_ONCE], config)
        for start in range(0, len(ray_od), _AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint8)


def _kinds(ray_od: U8Array, cytoplasm_od: FloatArray, config: MeasurementConfig) -> U8Array:
    least = _least_steps(cytoplasm_od, config)
    seen = ray_od >= np.minimum(least, _NEVER - 1).astype(np.uint8)[:, None]
    seen &= (least < _NEVER)[:, None]
    count = seen.sum(axis=1, dtype=np.int64)
    steps = np.where(seen, ray_od, np.uint8(0)).sum(axis=1, dtype=np.int64)
    total = steps * _UNITS_PER_STEP - _units(config.limit_of_blank_od) * count
    is_stained = (count > 0) & (count * _UNITS >= _units(config.min_stained_share) * N_RAYS)
    intensity = is_stained.astype(np.uint8)
    for cut in (config.weak_od, config.moderate_od, config.intense_od):
        intensity += is_stained & (total >= _units(cut) * count)
    complete = is_stained & (count * _UNITS >= _units(config.complete_share) * N_RAYS)
    return np.asarray(2 * intensity + complete, dtype=np.uint8)


def _least_steps(cytoplasm_od: FloatArray, config: MeasurementConfig) -> IntArray:
    """Return (n,) the least stored step of a ray that is stained."""
    blank, contrast = _units(config.limit_of_blank_od), _units(config.contrast_od)
    cytoplasm = np.rint(np.asarray(cytoplasm_od, dtype=np.float64) * _UNITS).astype(np.int64)
    stands_out = np.minimum(cytoplasm + contrast, _units(config.contrast_exempt_od))
    units = np.maximum(blank + _units(config.stained_od), stands_out)
    steps = -(-units // _UNITS_PER_STEP)
    return np.asarray(np.clip(steps, 0, _NEVER), dtype=np.int64)


def _units(value: float) -> int:
    return round(value * _UNITS)
