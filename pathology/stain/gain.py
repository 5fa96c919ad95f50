"""How well the scale of densities is known, and the cut-offs at other gains.

A calibration states the interval of its gain. Where none was made the scale is off by an amount
that nobody measured; ``scoring.gain_sd`` stands for it.
"""

from __future__ import annotations

import math
from typing import Final

from scipy.special import ndtri

from pathology.config import Config, MeasurementConfig
from pathology.stain.calibration import OD_STEP

__all__ = ["gain_ratios", "gain_sds", "measurement_at_gain"]

#: Normal quantile of a 95 % interval, as calibrations state it.
_Z: Final = float(ndtri(0.975))


def gain_sds(config: Config) -> tuple[float, float]:
    """Return the standard deviation of the log gain, below and above the gain in use.

    Parameters
    ----------
    config
        With its calibration, if there is one.

    Returns
    -------
    tuple of float
        From the calibration's interval, so that ±1.96 of them are its ends; ``scoring.gain_sd``
        twice where no calibration states one. Both 0 where ``scoring.gain_sd`` is 0, which switches
        the uncertainty of the scale off.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> gain_sds(load_config(overrides=["scoring.gain_sd=0.1"]))
    (0.1, 0.1)
    """
    assumed, stamp = config.scoring.gain_sd, config.calibration
    if assumed == 0 or stamp is None or stamp.gain_interval is None:
        return assumed, assumed
    low, high = stamp.gain_interval
    return math.log(stamp.gain / low) / _Z, math.log(high / stamp.gain) / _Z


def gain_ratios(config: Config, z: tuple[float, ...]) -> tuple[float, ...]:
    """Return gains against the one in use, at places of the normal distribution.

    Parameters
    ----------
    config
        With its calibration, if there is one.
    z
        Standard deviations from the gain in use.

    Returns
    -------
    tuple of float
        As many as ``z``; empty where the scale is taken as exact.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> [round(ratio, 3) for ratio in
    ...  gain_ratios(load_config(overrides=["scoring.gain_sd=0.1"]), (-1.0, 1.0))]
    [0.905, 1.105]
    """
    below, above = gain_sds(config)
    if below == above == 0:
        return ()
    return tuple(math.exp(place * (below if place < 0 else above)) for place in z)


def measurement_at_gain(measurement: MeasurementConfig, ratio: float) -> MeasurementConfig:
    """Return the cut-offs for a laboratory that stains darker by a factor than was taken.

    All cut-offs move with the densities, as in
    :func:`~pathology.stain.calibrating.calibrated_measurement`. The limit of blank stays: it was
    measured as it is, and a ray has to pass it at any gain.

    Parameters
    ----------
    measurement
        The cut-offs in use.
    ratio
        Above 0; 1 changes nothing.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> found = measurement_at_gain(load_config().measurement, 1.5)
    >>> found.stained_od, found.intense_od
    (0.18, 0.9)
    """
    blank = measurement.limit_of_blank_od
    lowest = blank + OD_STEP if blank else 0.0
    values = {
        "contrast_od": ratio * measurement.contrast_od,
        "contrast_exempt_od": ratio * measurement.contrast_exempt_od,
    }
    for name in ("stained_od", "weak_od", "moderate_od", "intense_od"):
        values[name] = max(ratio * (getattr(measurement, name) + blank), lowest) - blank
    # Cut-offs are compared to four decimals, and the lowest is above 0.
    rounded = {name: max(round(value, 4), 1e-4) for name, value in values.items()}
    return measurement.model_copy(update=rounded)
