"""Cameras: exposure, white balance, saturation and tone, as a microscope's camera sets them itself.

Scanners are calibrated; cameras on microscopes are not. What they brighten beyond white is lost,
and glass is no longer the colour that the lamp gave it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pathology.synthesis.transfer import tone_curve
from pathology.types import FloatArray, U8Array

__all__ = ["CameraView", "random_camera"]

#: Weights of red, green and blue in brightness (ITU-R BT.601-7, section 2.5.1).
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
#: Ranges that cameras are drawn from: from hardly changed to a picture whose cytoplasm is gone
#: (contrast), lamps from yellow to blue (warmth), and colours from washed out to vivid.
_EXPOSURE = (0.85, 1.15)
_WARMTH = (-0.12, 0.12)
_SATURATION = (0.6, 1.6)
_CONTRAST = (0.9, 1.8)
_GAMMA = (0.8, 1.25)
_BRIGHTNESS = (-15.0, 20.0)


@dataclass(frozen=True, kw_only=True)
class CameraView:
    """Say how a camera shows a field that a calibrated scanner has read.

    Parameters
    ----------
    exposure
        Factor on all light.
    warmth
        Red becomes ``1 + warmth`` times as bright, blue ``1 - warmth`` times; -1 to 1, exclusive.
    saturation
        Factor on the distance of each colour from the grey of its brightness.
    contrast, gamma, brightness
        As in :class:`pathology.synthesis.Appearance`.

    Raises
    ------
    ValueError
        If a value is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> glass = np.full((1, 1, 3), 230, dtype=np.uint8)
    >>> CameraView(exposure=1.2).picture(glass).tolist()
    [[[255, 255, 255]]]
    """

    exposure: float = 1.0
    warmth: float = 0.0
    saturation: float = 1.0
    contrast: float = 1.0
    gamma: float = 1.0
    brightness: float = 0.0

    def __post_init__(self) -> None:
        for name in ("exposure", "contrast", "gamma"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name}: above 0, not {getattr(self, name)}")
        if not 0 <= self.saturation < np.inf:
            raise ValueError(f"saturation: at least 0, not {self.saturation}")
        if not -1 < self.warmth < 1:
            raise ValueError(f"warmth: between -1 and 1, not {self.warmth}")
        if not np.isfinite(self.brightness):
            raise ValueError(f"brightness: a number, not {self.brightness}")

    def light(self, rgb: npt.ArrayLike) -> FloatArray:
        """Return what the camera stores of colours, not rounded.

        Parameters
        ----------
        rgb
            (..., 3) colours, 0 to 255.

        Returns
        -------
        numpy.ndarray
            (..., 3) float32, 0 to 255.
        """
        balance = (1 + self.warmth, 1.0, 1 - self.warmth)
        gains = np.array(balance, dtype=np.float32) * np.float32(self.exposure)
        seen = np.minimum(np.asarray(rgb, dtype=np.float32) * gains, 255)
        if self.saturation != 1:
            grey = (seen @ _LUMA)[..., None]
            seen = np.clip(grey + np.float32(self.saturation) * (seen - grey), 0, 255)
        if (self.gamma, self.contrast, self.brightness) != (1.0, 1.0, 0.0):
            seen = np.clip(tone_curve(seen, self.gamma, self.contrast, self.brightness), 0, 255)
        return seen.astype(np.float32, copy=False)

    def picture(self, rgb: U8Array) -> U8Array:
        """Return the picture that the camera stores.

        Parameters
        ----------
        rgb
            (H, W, 3) uint8.

        Returns
        -------
        numpy.ndarray
            (H, W, 3) uint8.
        """
        return np.rint(self.light(rgb)).astype(np.uint8)

    def white(self, white: npt.ArrayLike) -> FloatArray:
        """Return the colour of glass in the camera's picture.

        Parameters
        ----------
        white
            (3,) colour of the glass before, 0 to 255.

        Returns
        -------
        numpy.ndarray
            (3,) float32, 1 to 255: glass is never black.
        """
        return np.maximum(self.light(white), 1)


def random_camera(rng: np.random.Generator) -> CameraView:
    """Draw a camera: tone in two of three, light in every second, saturation in every second.

    Parameters
    ----------
    rng
        Source of chance.

    Returns
    -------
    CameraView
        The camera.
    """
    tone, light, colour = (bool(drawn) for drawn in rng.random(3) < (2 / 3, 1 / 2, 1 / 2))

    def draw(span: tuple[float, float], used: bool, neutral: float) -> float:
        value = float(rng.uniform(*span))
        return value if used else neutral

    return CameraView(
        exposure=draw(_EXPOSURE, light, 1.0),
        warmth=draw(_WARMTH, light, 0.0),
        saturation=draw(_SATURATION, colour, 1.0),
        contrast=draw(_CONTRAST, tone, 1.0),
        gamma=draw(_GAMMA, tone, 1.0),
        brightness=draw(_BRIGHTNESS, tone, 0.0),
    )
