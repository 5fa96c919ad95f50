"""What a run may be scored again with: its configuration, with changes that need no pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pathology.config import Config, change_config
from pathology.errors import ConfigError
from pathology.stain.calibrating import apply_calibration, drop_calibration
from pathology.stain.calibration import CALIBRATED_KEYS, Calibration

__all__ = ["rescore_config"]

#: Sections whose keys act on what is stored.
_FREE_SECTIONS = frozenset({"scoring", "report", "calibration"})
#: Keys of ``measurement`` that act on pixels.
_PIXEL_KEYS = frozenset({"ray_tolerance_um", "cytoplasm_inner", "cytoplasm_outer"})


def rescore_config(
    before: Config,
    *,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    calibration: Calibration | None = None,
    uncalibrated: bool = False,
) -> Config:
    """Return the configuration to score again with: the run's, with the changes on top.

    Parameters
    ----------
    before
        The run's configuration.
    file, overrides
        As in :func:`~pathology.config.load_config`.
    calibration
        Sets the cut-offs, in place of the run's; None keeps those.
    uncalibrated
        Drop the run's calibration, and take the default cut-offs.

    Returns
    -------
    Config
        Checked.

    Raises
    ------
    ConfigError
        If a key is not valid, acts on pixels, or contradicts the calibration.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> rescore_config(load_config(), overrides=["scoring.min_tumour_cells=50"]).cells.tumour_min
    0.5
    """
    base = before
    if calibration is not None or uncalibrated:
        base = drop_calibration(before)
    config = change_config(base, file, overrides)
    if calibration is not None:
        config = apply_calibration(config, calibration)
    elif base.calibration is not None:
        config = _keep_calibration(base, config)
    _refuse_pixels(before, config)
    return config


def _keep_calibration(base: Config, config: Config) -> Config:
    stamp = base.calibration
    own = [
        f"measurement.{name}"
        for name in CALIBRATED_KEYS
        if getattr(config.measurement, name) != getattr(base.measurement, name)
    ]
    if config.scoring.guideline != base.scoring.guideline:
        own.append("scoring.guideline")
    if own and stamp is not None:
        raise ConfigError(
            f"{', '.join(own)}: set, and the run has calibration {stamp.title}, which decides this",
            fix="Give --calibration FILE, or --calibration none for the default cut-offs.",
        )
    return config.model_copy(update={"calibration": stamp})


def _refuse_pixels(before: Config, config: Config) -> None:
    """Refuse changes that only reading the slides again could honour."""
    old, new = before.hashed(), config.hashed()
    found = []
    for section in {**old, **new}:
        there, here = old.get(section) or {}, new.get(section) or {}
        if section in _FREE_SECTIONS or there == here:
            continue
        free = {"tumour_min"} if section == "cells" else set()
        if section == "measurement":
            free = set(there) - _PIXEL_KEYS
        found += [f"{section}.{k}" for k in there if k not in free and there[k] != here.get(k)]
    if found:
        raise ConfigError(
            f"{', '.join(sorted(found))}: acts on pixels, and stored cells have none",
            fix="Score the slides again with `her2 score`, or leave this out.",
        )
