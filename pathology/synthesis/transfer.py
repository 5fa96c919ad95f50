"""What a scanner makes of a brown line: so that the truth is the density that a picture shows.

Sharpening darkens narrow lines, and a chromogen of another hue than the fixed stain vectors reads
darker or paler than it is. A truth that knew nothing of this would blame the reader for the
scanner. Therefore a membrane is painted so that its peak, read with the fixed vectors in the
picture without noise, is the density that was drawn for it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage

from pathology.config import load_config
from pathology.stain import StainMatrix
from pathology.synthesis.spec import Appearance
from pathology.types import AnyArray, FloatArray

__all__ = ["before_scanner", "sharpening_sigma_um", "tone_curve"]

#: Step of the profile on which the line is worked out, µm.
_STEP_UM = 0.05
#: Half length of the profile, µm: three of the broadest lines.
_HALF_UM = 8.0
#: Widths (FWHM, µm) and peak densities between which is interpolated.
_WIDTHS = np.array([0.5, 0.8, 1.1, 1.5, 2.0, 2.8])
_PEAKS = np.concatenate([np.linspace(0.0, 1.0, 11), np.linspace(1.15, 2.5, 10)])
#: FWHM of a Gaussian over its sigma.
_FWHM = 2.3548
#: Darkest light that a camera still tells from black, of 255.
_LEAST_LIGHT = 0.5


def sharpening_sigma_um(mpp: float) -> float:
    """Return the sigma of the unsharp mask in µm: 0.45 µm, at least 0.7 pixels."""
    return max(0.45, 0.7 * mpp)


def tone_curve(light: AnyArray, gamma: float, contrast: float, brightness: float) -> AnyArray:
    """Return what a camera's tone curve makes of light, 0 to 255; nothing is clipped above.

    Parameters
    ----------
    light
        Linear light, 255 for the brightest that is stored.
    gamma, contrast, brightness
        As in :class:`pathology.synthesis.Appearance`.
    """
    stretched = (light - 128) * contrast + 128 + brightness
    return np.asarray(255 * (np.clip(stretched, 0, None) / 255) ** gamma)


def before_scanner(
    od: FloatArray, width_um: FloatArray, look: Appearance, mpp: float
) -> FloatArray:
    """Return the density a line must have so that the scanner's picture shows ``od``.

    Parameters
    ----------
    od
        (n,) wanted peak DAB density, as the fixed stain vectors read it.
    width_um
        (n,) width (FWHM, µm) after the optics' blur.
    look
        Stain vectors, glass, sharpening and tone curve.
    mpp
        Pixel size, µm.

    Returns
    -------
    (n,) float32, 0 where ``od`` is 0.

    Examples
    --------
    >>> plain = before_scanner(np.array([0.4]), np.array([1.0]), Appearance(), 0.5)
    >>> sharp = before_scanner(np.array([0.4]), np.array([1.0]), Appearance(sharpen=1.0), 0.5)
    >>> bool(abs(plain[0] - 0.4) < 0.01), bool(sharp[0] < 0.4)
    (True, True)
    """
    tone = (look.gamma, look.contrast, look.brightness)
    inverse = _inverse_table(look.dab, look.white, look.sharpen, tone, mpp)
    row = np.interp(width_um, _WIDTHS, np.arange(len(_WIDTHS)))
    low = np.minimum(row.astype(int), len(_WIDTHS) - 2)
    share = (row - low).astype(np.float32)
    column = np.clip(np.asarray(od) / _PEAKS[-1] * (inverse.shape[1] - 1), 0, inverse.shape[1] - 1)
    left = np.minimum(column.astype(int), inverse.shape[1] - 2)
    part = (column - left).astype(np.float32)

    def along(index: AnyArray) -> AnyArray:
        return np.asarray(inverse[index, left] * (1 - part) + inverse[index, left + 1] * part)

    return np.asarray(along(low) * (1 - share) + along(low + 1) * share, dtype=np.float32)


@lru_cache(maxsize=64)
def _inverse_table(
    dab: tuple[float, float, float],
    white: tuple[float, float, float],
    sharpen: float,
    tone: tuple[float, float, float],
    mpp: float,
) -> FloatArray:
    """Return (widths, 251): the density to paint for wanted densities from 0 to the last peak."""
    stain = load_config().stain
    reader = StainMatrix(haematoxylin=stain.haematoxylin, dab=stain.dab)
    vector = np.asarray(dab) / np.linalg.norm(dab)
    x = np.arange(-_HALF_UM, _HALF_UM + _STEP_UM / 2, _STEP_UM)
    sigma = sharpening_sigma_um(mpp) / _STEP_UM
    middle = len(x) // 2
    glass = np.clip(tone_curve(np.asarray(white), *tone), _LEAST_LIGHT, 255)
    wanted = np.linspace(0.0, _PEAKS[-1], 251)
    table = np.empty((len(_WIDTHS), len(wanted)), dtype=np.float32)
    for row, width in enumerate(_WIDTHS):
        line = np.exp(-0.5 * (x * _FWHM / width) ** 2)
        seen = []
        for peak in _PEAKS:
            light = 10.0 ** -(peak * line[:, None] * vector[None, :])
            soft = ndimage.gaussian_filter1d(light, sigma, axis=0, mode="nearest", truncate=2.5)
            sharp = light[middle] + sharpen * (light[middle] - soft[middle])
            shown = np.clip(tone_curve(sharp * np.asarray(white), *tone), _LEAST_LIGHT, 255)
            seen.append(np.log10(glass / shown))
        amounts = reader.unmix(np.asarray(seen, dtype=np.float32))[:, 1].astype(np.float64)
        # Beyond the darkest that the picture shows, the most that can be painted.
        amounts = np.maximum.accumulate(amounts + 1e-9 * np.arange(len(amounts)))
        table[row] = np.interp(wanted, amounts, _PEAKS)
    return table
