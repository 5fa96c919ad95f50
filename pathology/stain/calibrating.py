"""Apply a calibration: the cut-offs of a configuration move, the densities stay."""

from __future__ import annotations

from functools import lru_cache

from pathology.config import CalibrationStamp, Config, MeasurementConfig, load_config
from pathology.errors import ConfigError, ModelError
from pathology.stain.calibration import (
    CALIBRATED_KEYS,
    OD_STEP,
    Calibration,
    Conditions,
    CutoffOds,
)

__all__ = [
    "apply_calibration",
    "calibrated_measurement",
    "check_model",
    "drop_calibration",
    "reference_cutoffs",
]


@lru_cache(maxsize=1)
def _default_measurement() -> MeasurementConfig:
    return load_config().measurement


def reference_cutoffs() -> CutoffOds:
    """Return the cut-offs of the default configuration: the reference scale."""
    measurement = _default_measurement()
    return CutoffOds(**{name: getattr(measurement, name) for name in CutoffOds.model_fields})


def calibrated_measurement(
    base: MeasurementConfig, *, gain: float, cutoffs: CutoffOds, limit_of_blank_od: float | None
) -> MeasurementConfig:
    """Turn a gain, cut-offs and a limit of blank into the measurement section that they mean.

    Cut-offs are multiplied by the gain, as the laboratory's densities are. A ray has to pass the
    limit of blank in any case. The section's cut-offs are compared with densities above the limit
    of blank, so it is taken off them: a limit of blank hides what negative tissue shows as well,
    and moves no other boundary.

    Parameters
    ----------
    base
        Everything that a calibration does not decide.
    gain
        Densities of the laboratory against the reference scale.
    cutoffs
        On the reference scale.
    limit_of_blank_od
        OD as measured; None where unknown.

    Returns
    -------
    MeasurementConfig
        To classify cells with, as they are read or from stored ones.

    Examples
    --------
    >>> found = calibrated_measurement(load_config().measurement, gain=0.5,
    ...                                cutoffs=reference_cutoffs(), limit_of_blank_od=0.1)
    >>> found.limit_of_blank_od, found.stained_od, found.moderate_od, found.intense_od
    (0.1, 0.01, 0.04, 0.2)
    """
    blank = limit_of_blank_od or 0.0
    lowest = blank + OD_STEP if blank else 0.0
    values = {
        "limit_of_blank_od": blank,
        "contrast_od": gain * cutoffs.contrast_od,
        "contrast_exempt_od": gain * cutoffs.contrast_exempt_od,
    }
    for name in ("stained_od", "weak_od", "moderate_od", "intense_od"):
        values[name] = max(gain * getattr(cutoffs, name), lowest) - blank
    # Cut-offs are compared to four decimals.
    rounded = {name: round(value, 4) for name, value in values.items()}
    return MeasurementConfig.model_validate({**base.model_dump(), **rounded})


def apply_calibration(config: Config, calibration: Calibration) -> Config:
    """Return the configuration with a calibration's cut-offs; both are part of its hash.

    Parameters
    ----------
    config
        With the default cut-offs.
    calibration
        As read.

    Returns
    -------
    Config
        To score with, or to classify stored cells with.

    Raises
    ------
    ConfigError
        If the configuration sets cut-offs of its own, or settings under which the calibration does
        not hold.

    Examples
    --------
    >>> from pathology.assets import config_path
    >>> from pathology.stain.calibration_file import load_calibration
    >>> reference = load_calibration(config_path("calibration/reference.yaml"))
    >>> config = load_config()
    >>> calibrated = apply_calibration(config, reference)
    >>> calibrated.measurement == config.measurement, calibrated.hash == config.hash
    (True, False)
    """
    default = _default_measurement()
    own = [
        f"measurement.{name}"
        for name in CALIBRATED_KEYS
        if getattr(config.measurement, name) != getattr(default, name)
    ]
    if own:
        raise ConfigError(
            f"{', '.join(own)}: set by the configuration and by calibration {calibration.title}",
            fix="Leave out one of the two.",
        )
    if calibration.guideline != config.scoring.guideline:
        raise ConfigError(
            f"calibration {calibration.title} was fitted by {calibration.guideline}, and this run "
            f"uses {config.scoring.guideline}"
        )
    differences = calibration.conditions.differences(Conditions.of(config))
    if differences:
        raise ConfigError(
            f"calibration {calibration.title} was made under other settings: "
            f"{'; '.join(differences)}",
            fix="Use the same settings, or fit a calibration under these.",
        )
    measurement = calibrated_measurement(
        config.measurement,
        gain=calibration.gain,
        cutoffs=calibration.cutoffs,
        limit_of_blank_od=calibration.limit_of_blank_od,
    )
    return config.model_copy(
        update={"measurement": measurement, "calibration": calibration.stamp()}
    )


def drop_calibration(config: Config) -> Config:
    """Return the configuration with the default cut-offs, and no calibration.

    Parameters
    ----------
    config
        With a calibration, cut-offs of its own, or neither.

    Examples
    --------
    >>> own = load_config(overrides=["measurement.intense_od=0.7"])
    >>> drop_calibration(own).measurement == load_config().measurement
    True
    """
    default = _default_measurement()
    cutoffs = {name: getattr(default, name) for name in CALIBRATED_KEYS}
    measurement = config.measurement.model_copy(update=cutoffs)
    return config.model_copy(update={"measurement": measurement, "calibration": None})


def check_model(stamp: CalibrationStamp | None, *, name: str, sha256: str) -> None:
    """Refuse a calibration that was made with another model.

    Another model puts outlines elsewhere and so measures other densities on the same slides.

    Parameters
    ----------
    stamp
        The configuration's; None where there is no calibration.
    name, sha256
        Of the model that is to be used.

    Raises
    ------
    ModelError
        If the weights differ.

    Examples
    --------
    >>> check_model(None, name="her2-cells/0.1.0", sha256="0" * 64)
    """
    if stamp is None or stamp.model_sha256 in (None, sha256):
        return
    raise ModelError(
        f"calibration {stamp.title} was made with another model (weights "
        f"{stamp.model_sha256[:12]}…, {name} has {sha256[:12]}…)",
        fix="Score the calibration slides with this model and run `her2 calibrate` again.",
    )
