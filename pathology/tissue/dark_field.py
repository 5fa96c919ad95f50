"""Tell images with a dark background (fluorescence) from bright-field ones.

On a dark background light is signal; read as bright-field, the background would pass for the
darkest stain there is.
"""

from __future__ import annotations

import numpy as np

from pathology.stain.channels import channel_max, channel_min
from pathology.types import BoolArray, U8Array

__all__ = ["dark_field_share"]

#: No channel above this value: over OD 0.45 in every channel. Bright-field slides are nowhere near
#: half as dark, but for a black frame, and then the rest is mostly glass.
DARK_VALUE = 80
DARK_SHARE = 0.5
#: Every channel from this value up: glass or pale tissue. Fluorescence has saturated spots at most.
BRIGHT_VALUE = 150
BRIGHT_SHARE = 0.05
#: With less light than this there is nothing to see at all: no image of fluorescence either.
LIT_SHARE = 0.001


def dark_field_share(rgb: U8Array, data: BoolArray) -> float:
    """Return the share of dark pixels where an image is one of light on a dark background.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8 overview.
    data
        (H, W) bool, False where the slide holds nothing.

    Returns
    -------
    float
        0.5 to 1 for a dark field; 0 for a bright one, also with a black frame, and for black.

    Examples
    --------
    >>> picture = np.zeros((10, 10, 3), dtype=np.uint8)
    >>> picture[4:6, 4:6] = (20, 200, 40)
    >>> dark_field_share(picture, np.ones((10, 10), dtype=np.bool_))
    0.96
    >>> picture[:3] = 240  # the rest of a black frame is glass
    >>> dark_field_share(picture, np.ones((10, 10), dtype=np.bool_))
    0.0
    """
    pixels = rgb[data]
    if not len(pixels):
        return 0.0
    dark = float(np.mean(channel_max(pixels) <= DARK_VALUE))
    bright = float(np.mean(channel_min(pixels) >= BRIGHT_VALUE))
    lit = 1.0 - dark
    return dark if dark >= DARK_SHARE and bright < BRIGHT_SHARE and lit >= LIT_SHARE else 0.0
