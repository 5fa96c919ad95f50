"""From amounts of stain to camera pixels: Beer and Lambert, blur, sharpening, noise, JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from pathology.synthesis.ground import Layers
from pathology.synthesis.spec import Appearance
from pathology.synthesis.transfer import sharpening_sigma_um, tone_curve
from pathology.types import AnyArray, FloatArray, U8Array

__all__ = ["develop", "expose"]

#: Colour of red cells and dirt: yellowish grey, unit OD vector.
_PIGMENT = (0.50, 0.55, 0.67)
#: Eosin after Ruifrok and Johnston.
_EOSIN = (0.07, 0.99, 0.11)


def _unit(vector: tuple[float, ...] | AnyArray) -> FloatArray:
    array = np.asarray(vector, dtype=np.float32)
    return np.asarray(array / np.linalg.norm(array), dtype=np.float32)


def expose(layers: Layers, look: Appearance, mpp: float) -> FloatArray:
    """Return the optical density of a block in R, G, B after the blur of the optics.

    Parameters
    ----------
    layers
        Amounts of stain.
    look
        Stain vectors and blur.
    mpp
        Pixel size, µm.

    Returns
    -------
    (3, height, width) float32, decadic OD.
    """
    h = _unit(look.haematoxylin)
    grey = _unit((1.0, 1.0, 1.0))
    body = _unit(_EOSIN) if look.eosin else _unit((1 - look.tint) * h + look.tint * grey)
    dab, pigment = _unit(look.dab), _unit(_PIGMENT)
    od = np.empty((3, *layers.body.shape), dtype=np.float32)
    sigma = look.blur_um / mpp
    has_brown, has_pigment = bool(layers.brown.any()), bool(layers.pigment.any())
    for channel in range(3):
        plane = od[channel]
        np.multiply(layers.nuclear, h[channel], out=plane)
        plane += layers.body * body[channel]
        if has_brown:
            plane += layers.brown * dab[channel]
        if has_pigment:
            plane += layers.pigment * pigment[channel]
        if sigma > 0.15:
            ndimage.gaussian_filter(plane, sigma, output=plane, mode="nearest", truncate=3.0)
    return od


def develop(od: FloatArray, look: Appearance, mpp: float, noise: FloatArray) -> U8Array:
    """Turn optical density into the pixels that a scanner stores.

    Parameters
    ----------
    od
        (3, height, width) decadic OD.
    look
        White point, sharpening, noise, tone curve, JPEG quality.
    mpp
        Pixel size, µm.
    noise
        (3, height, width) white noise of standard deviation 1.

    Returns
    -------
    (height, width, 3) uint8.
    """
    out = np.empty((*od.shape[1:], 3), dtype=np.uint8)
    for channel in range(3):
        light = np.exp(od[channel] * np.float32(-np.log(10.0)))
        light *= np.float32(look.white[channel])
        if look.sharpen > 0:
            soft = ndimage.gaussian_filter(
                light, sharpening_sigma_um(mpp) / mpp, mode="nearest", truncate=2.5
            )
            light += np.float32(look.sharpen) * (light - soft)
        if look.noise > 0:
            light += np.float32(look.noise) * noise[channel]
        out[..., channel] = _tone(light, look)
    if look.jpeg_quality:
        out = jpeg_round_trip(out, look.jpeg_quality, look.jpeg_subsampling)
    return out


def _tone(light: FloatArray, look: Appearance) -> U8Array:
    if (look.gamma, look.contrast, look.brightness) != (1.0, 1.0, 0.0):
        light = tone_curve(light, look.gamma, look.contrast, look.brightness)
    return np.asarray(np.clip(light + 0.5, 0, 255), dtype=np.uint8)


def jpeg_round_trip(rgb: U8Array, quality: int, subsampling: int = 2) -> U8Array:
    """Return the picture after JPEG compression.

    Parameters
    ----------
    rgb
        (height, width, 3) uint8.
    quality
        1 to 100.
    subsampling
        0 keeps colour at full resolution, 1 and 2 halve it in x, and in x and y.
    """
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(buffer), dtype=np.uint8)
