"""The size of a pixel: the only place that reads it from headers and judges it.

A pixel size is never assumed and never guessed from the name of an objective: "40x" is 0.23 to
0.27 µm/px between scanners, and a wrong size shifts every length and area downstream.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pathology.config import ReadingConfig
from pathology.errors import NotScorable, ReasonCode
from pathology.geometry import Size0, Spacing
from pathology.wsi.slide import MppSource

__all__ = [
    "RawSpacing",
    "check_size",
    "from_properties",
    "from_resolution",
    "given_spacing",
    "resolve_spacing",
]

_LOG = logging.getLogger(__name__)
#: µm in the units that TIFF knows (tag ResolutionUnit, TIFF 6.0 §8), by number and by OpenSlide's
#: name. The value 1, "none", is left out: such numbers are an aspect ratio, not a length.
_UM_PER_UNIT: dict[int | str, float] = {
    2: 25_400.0,
    3: 10_000.0,
    "inch": 25_400.0,
    "centimeter": 10_000.0,
}
#: Headers are read to this many significant digits: libtiff keeps resolutions as 32-bit floats,
#: whose noise begins at the eighth, so that equal sizes in cm and in inches would differ.
_DIGITS = 7
#: Slack of comparisons against limits, for the same noise.
_SLACK = 1e-6


@dataclass(frozen=True, kw_only=True)
class RawSpacing:
    """Hold a pixel size as found: possibly zero, negative, infinite or nan.

    Parameters
    ----------
    x, y
        µm/px.
    origin
        Where it was found, for messages.
    """

    x: float
    y: float
    origin: str


def from_properties(properties: Mapping[str, str]) -> RawSpacing | None:
    """Read the pixel size from OpenSlide's properties.

    Parameters
    ----------
    properties
        ``openslide.mpp-x`` and ``-y`` (µm/px) are taken if both are there, else
        ``tiff.XResolution``, ``tiff.YResolution`` and ``tiff.ResolutionUnit``.

    Returns
    -------
    RawSpacing or None
        None where the header states no size, or only one direction.

    Examples
    --------
    >>> from_properties({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.26"}).y
    0.26
    >>> from_properties({"openslide.objective-power": "40"}) is None
    True
    """
    x, y = properties.get("openslide.mpp-x"), properties.get("openslide.mpp-y")
    if x is not None and y is not None:
        return RawSpacing(x=_number(x), y=_number(y), origin="openslide.mpp-x and -y")
    return from_resolution(
        _number(properties.get("tiff.XResolution")),
        _number(properties.get("tiff.YResolution")),
        properties.get("tiff.ResolutionUnit"),
    )


def from_resolution(x: float, y: float, unit: int | str | None) -> RawSpacing | None:
    """Turn pixels per unit (TIFF's resolution tags) into µm/px.

    Parameters
    ----------
    x, y
        Pixels per unit; nan where the tag is missing.
    unit
        Value of the tag ResolutionUnit (2 inch, 3 cm) or OpenSlide's name for it.

    Returns
    -------
    RawSpacing or None
        None where a number is missing, or the unit is missing, "none" or unknown.

    Examples
    --------
    >>> from_resolution(40_000.0, 40_000.0, 3).x == from_resolution(101_600.0, 101_600.0, 2).x
    True
    >>> from_resolution(40_000.0, 40_000.0, 1) is None
    True
    """
    um = _UM_PER_UNIT.get(unit) if unit is not None else None
    if um is None or math.isnan(x) or math.isnan(y):
        return None
    return RawSpacing(x=_inverse(um, x), y=_inverse(um, y), origin="the TIFF resolution tags")


def given_spacing(mpp: float | tuple[float, float] | Spacing, source: MppSource) -> RawSpacing:
    """Wrap a pixel size that the user gave: one number, (x, y), or a ``Spacing``."""
    origin = {"manifest": "the manifest", "argument": "the argument"}.get(source, source)
    if isinstance(mpp, Spacing):
        return RawSpacing(x=mpp.x, y=mpp.y, origin=origin)
    x, y = mpp if isinstance(mpp, tuple) else (mpp, mpp)
    return RawSpacing(x=float(x), y=float(y), origin=origin)


def resolve_spacing(
    path: Path,
    *,
    given: RawSpacing | None,
    header: RawSpacing | None,
    reading: ReadingConfig,
) -> Spacing:
    """Choose the pixel size and refuse what cannot be true.

    What the user gave goes before the header; if the two differ by more than the anisotropy that is
    allowed, a warning is logged.

    Parameters
    ----------
    path
        The slide, for messages.
    given
        What the manifest or the command line says, if anything.
    header
        What the file says, if anything.
    reading
        The plausible range and the allowed anisotropy.

    Returns
    -------
    Spacing
        Level-0 pixel size in µm.

    Raises
    ------
    NotScorable
        ``missing_mpp``, ``implausible_mpp`` or ``anisotropic_mpp``.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> resolve_spacing(Path("a.tif"), given=given_spacing(0.5, "argument"), header=None,
    ...                 reading=load_config().reading)
    Spacing(x=0.5, y=0.5)
    """
    raw = given if given is not None else header
    if raw is None:
        raise NotScorable(
            f"{path}: the header states no pixel size",
            reason=ReasonCode.MISSING_MPP,
            fix="Give it with --mpp (µm per pixel) or in the manifest's column mpp.",
        )
    spacing = _plausible(path, raw, reading)
    if spacing.anisotropy > reading.anisotropy_max + _SLACK:
        raise NotScorable(
            f"{path}: pixels are not square: {spacing.x:g} × {spacing.y:g} µm from {raw.origin}, "
            f"more than {reading.anisotropy_max:.1%} apart",
            reason=ReasonCode.ANISOTROPIC_MPP,
            fix="Give the true pixel size with --mpp or in the manifest, or export it again.",
        )
    if given is not None and header is not None:
        _warn_of_conflict(path, spacing, header, reading)
    return spacing


def check_size(path: Path, size: Size0, spacing: Spacing, reading: ReadingConfig) -> None:
    """Refuse an image too small to hold a scorable field.

    Raises
    ------
    NotScorable
        ``too_small``, if a side is shorter than ``reading.min_side_um``.
    """
    width, height = size.width * spacing.x, size.height * spacing.y
    if min(width, height) < reading.min_side_um - _SLACK:
        raise NotScorable(
            f"{path}: the image is only {size.width} × {size.height} px "
            f"({width:.0f} × {height:.0f} µm)",
            reason=ReasonCode.TOO_SMALL,
            fix=f"Each side must be at least {reading.min_side_um:g} µm; check the pixel size.",
        )


def _plausible(path: Path, raw: RawSpacing, reading: ReadingConfig) -> Spacing:
    low, high = reading.mpp_min * (1 - _SLACK), reading.mpp_max * (1 + _SLACK)
    # A comparison with nan is False, so nan is refused too.
    if not (low <= raw.x <= high and low <= raw.y <= high):
        raise NotScorable(
            f"{path}: a pixel size of {raw.x:g} × {raw.y:g} µm from {raw.origin} is not plausible "
            f"({reading.mpp_min:g} to {reading.mpp_max:g} µm)",
            reason=ReasonCode.IMPLAUSIBLE_MPP,
            fix="Give the true pixel size with --mpp or in the manifest's column mpp.",
        )
    return Spacing(x=raw.x, y=raw.y)


def _warn_of_conflict(
    path: Path, spacing: Spacing, header: RawSpacing, reading: ReadingConfig
) -> None:
    for used, stated in ((spacing.x, header.x), (spacing.y, header.y)):
        if not abs(used - stated) <= reading.anisotropy_max * used + _SLACK:
            _LOG.warning(
                "%s: the given pixel size of %g × %g µm is used; the header states %g × %g",
                path,
                spacing.x,
                spacing.y,
                header.x,
                header.y,
            )
            return


def _number(text: str | None) -> float:
    """Read a header's number; nan where there is none or it cannot be read."""
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return math.nan
    return _rounded(value)


def _inverse(um: float, per_unit: float) -> float:
    return _rounded(um / per_unit) if per_unit else math.inf


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
