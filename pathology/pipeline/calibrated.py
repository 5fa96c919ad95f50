"""What a result says about the calibration that its cut-offs came from."""

from __future__ import annotations

from typing import Any

from pathology.config import Config
from pathology.provenance import SlideIdentity
from pathology.runs import CalibrationBlock

__all__ = ["CALIBRATION_FLAGS", "calibration_columns", "calibration_flags"]

#: All that :func:`calibration_flags` may return.
CALIBRATION_FLAGS: frozenset[str] = frozenset({"calibration_mismatch", "calibration_slide"})


def calibration_columns(config: Config) -> dict[str, Any]:
    """Return the columns of a result that name the calibration; empty without one.

    Parameters
    ----------
    config
        The configuration of the run.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> calibration_columns(load_config())
    {}
    """
    stamp = config.calibration
    if stamp is None:
        return {}
    block = CalibrationBlock(
        sha256=stamp.sha256,
        gain=stamp.gain,
        model_sha256=stamp.model_sha256,
        site=stamp.site,
        assay=stamp.assay,
    )
    return {"calibration": stamp.title, "calibration_used": block}


def calibration_flags(
    config: Config, *, site: str | None, assay: str | None, identity: SlideIdentity
) -> set[str]:
    """Return the doubts that a calibration brings to a slide.

    Parameters
    ----------
    config
        The configuration of the run.
    site, assay
        What the manifest says of the slide; None or empty where it does not.
    identity
        The slide, with its quickhash.

    Returns
    -------
    set of str
        ``calibration_slide`` where the calibration was fitted on this very slide, so that its score
        is no test of it; ``calibration_mismatch`` where it is of another site or assay.
    """
    stamp = config.calibration
    if stamp is None:
        return set()
    flags = set()
    if (identity.quickhash, identity.size) in stamp.slides:
        flags.add("calibration_slide")
    pairs = ((site, stamp.site), (assay, stamp.assay))
    if any(mine and theirs and mine != theirs for mine, theirs in pairs):
        flags.add("calibration_mismatch")
    return flags
