"""Turn a scanner's colours into sRGB through the ICC profile of the slide."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from pathology.errors import ReasonCode, SlideError
from pathology.types import U8Array
from pathology.wsi.resample import rgb

__all__ = ["to_srgb"]


def to_srgb(profile: bytes, *, path: Path) -> Callable[[U8Array], U8Array]:
    """Build the conversion of a profile once, for many reads and threads.

    Parameters
    ----------
    profile
        An ICC profile of an RGB device.
    path
        The slide, for messages.

    Returns
    -------
    Callable
        Takes (H, W, 4) uint8 and returns the same in sRGB, in a new array; pixels without data
        (last channel 0) stay white.

    Raises
    ------
    SlideError
        ``unreadable``, if the profile is damaged or not one of an RGB device.

    Examples
    --------
    >>> same = to_srgb(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ...                path=Path("a.svs"))
    >>> same(np.array([[[10, 200, 30, 255], [255, 255, 255, 0]]], dtype=np.uint8)).tolist()
    [[[10, 200, 30, 255], [255, 255, 255, 0]]]
    """
    try:
        transform = ImageCms.buildTransform(
            ImageCms.getOpenProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            # One transform serves many threads, which a cache of the last pixel would not bear.
            flags=ImageCms.Flags.NOCACHE,
        )
    except ImageCms.PyCMSError as error:
        raise SlideError(
            f"{path}: the ICC profile cannot be used ({error})",
            reason=ReasonCode.UNREADABLE,
            fix="Use the colours as they are: --set reading.icc=false.",
        ) from error

    def convert(pixels: U8Array) -> U8Array:
        image = transform.apply(Image.fromarray(rgb(pixels)))
        result = np.empty_like(pixels)
        result[..., :3] = np.asarray(image)
        result[..., 3] = pixels[..., 3]
        result[pixels[..., 3] == 0, :3] = 255
        return result

    return convert
