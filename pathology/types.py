"""Units as types, so that a pixel is never taken for a micrometre."""

from __future__ import annotations

from typing import Any, NewType

import numpy as np
from numpy.typing import NDArray

__all__ = ["AnyArray", "BoolArray", "FloatArray", "IntArray", "Level0Px", "Mpp", "U8Array", "Um"]

#: A length in micrometres.
Um = NewType("Um", float)
#: A pixel size in micrometres per pixel.
Mpp = NewType("Mpp", float)
#: A count of pixels in the frame of the slide's finest level ("level 0").
Level0Px = NewType("Level0Px", int)

U8Array = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
AnyArray = NDArray[Any]
