"""Find what absorbs light on a slide and is not tissue: pen marks and black areas."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pathology.config import StainConfig
from pathology.stain import StainMatrix, optical_density
from pathology.stain.channels import channel_max, channel_mean, channel_min, channel_sum
from pathology.tissue.segment import Features, grow
from pathology.types import BoolArray, FloatArray, U8Array

__all__ = ["find_black", "find_pen"]

#: No channel above this value: a stage, a frame, missing data or black tape. The darkest DAB (OD
#: 1.5) still has red at 60 or more at overview scale.
BLACK_VALUE = 40
#: Black specks below this area are left to the tissue rules (pigment, dust).
BLACK_MIN_MM2 = 0.01
#: Margin around black, in µm: an overview pixel that is half black looks like a stain.
BLACK_MARGIN_UM = 24.0
#: Ink is strong: marker lines have a mean OD of 0.3 to 1.5 at overview scale.
INK_OD = 0.2
#: The residual of the H-DAB separation as a share of the OD: 0 on the plane, at most 0.26 for the
#: bluest haematoxylin seen; green ink 0.4 to 0.6, red ink -0.33 to -0.4 (eosin -0.63).
GREEN_RESIDUAL = 0.36
RED_RESIDUAL = -0.22
#: Blue ink leaves blue light alone: OD of blue below this share of red. Haematoxylin has 0.35 to
#: 0.9.
BLUE_RATIO = 0.25
#: Black ink: all channels alike within this share of the OD, and darker than any section.
BLACK_INK_OD = 0.8
BLACK_INK_SPREAD = 0.12
#: Ink is even: local standard deviation over OD. Stained tissue at 8 µm/px has 0.25 to 0.5.
INK_EVENNESS = 0.16
#: A mark is at least this large, and its even part is at least this share of it.
INK_MIN_MM2 = 0.01
INK_EVEN_SHARE = 0.3
#: The margin around ink where its colour fades and still tints the tissue, in µm.
INK_MARGIN_UM = 40.0


def find_black(rgb: U8Array, *, pixel_um: float) -> BoolArray:
    """Find black areas: scanner frames, missing data stored as black, tape.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8 overview.
    pixel_um
        Size of a pixel in µm.

    Returns
    -------
    numpy.ndarray
        (H, W) bool, with a margin of 24 µm, where black fades into the picture.

    Examples
    --------
    >>> import numpy as np
    >>> bool(find_black(np.zeros((50, 50, 3), dtype=np.uint8), pixel_um=8.0).all())
    True
    """
    dark = channel_max(rgb) <= BLACK_VALUE
    return grow(_large(dark, BLACK_MIN_MM2, pixel_um), BLACK_MARGIN_UM / pixel_um)


def find_pen(
    rgb: U8Array,
    white: tuple[float, float, float],
    maps: Features,
    config: StainConfig,
    *,
    pixel_um: float,
    usable: BoolArray,
) -> BoolArray:
    """Find pen marks: large, even, strongly coloured areas off the plane of H and DAB, or black.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8 overview.
    white
        White point, grey levels.
    maps
        Density and texture of the same overview.
    config
        The section ``stain`` of the configuration (stain vectors).
    pixel_um
        Size of a pixel in µm.
    usable
        (H, W) bool, False where there is no data or the scan is black.

    Returns
    -------
    numpy.ndarray
        (H, W) bool, with a margin of 40 µm around the ink.
    """
    od = optical_density(rgb, white)
    even = maps.texture < INK_EVENNESS * maps.density
    found = np.zeros(even.shape, dtype=np.bool_)
    for colour in _ink_colours(od, config):
        found |= _even_components(colour & usable, even, pixel_um)
    return grow(found, INK_MARGIN_UM / pixel_um)


def _ink_colours(od: FloatArray, config: StainConfig) -> list[BoolArray]:
    """Return one mask per kind of ink: green, red, blue, black."""
    stains = StainMatrix(haematoxylin=config.haematoxylin, dab=config.dab)
    residual = od @ stains.matrix[2].astype(np.float32)
    length = np.maximum(np.sqrt(channel_sum(od * od)), 1e-3)
    mean = channel_mean(od)
    red, blue = od[..., 0], od[..., 2]
    spread = channel_max(od) - channel_min(od)
    strong = mean > INK_OD
    return [
        np.asarray(strong & (residual > GREEN_RESIDUAL * length), dtype=np.bool_),
        np.asarray(strong & (residual < RED_RESIDUAL * length), dtype=np.bool_),
        np.asarray((red > 2 * INK_OD) & (blue < BLUE_RATIO * red), dtype=np.bool_),
        np.asarray((mean > BLACK_INK_OD) & (spread < BLACK_INK_SPREAD * mean), dtype=np.bool_),
    ]


def _even_components(colour: BoolArray, even: BoolArray, pixel_um: float) -> BoolArray:
    """Keep the components of one colour that are large and mostly even inside."""
    labels, count = ndimage.label(colour, structure=np.ones((3, 3)))
    if count == 0:
        return colour
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    smooth = np.bincount(labels[colour & even], minlength=count + 1)
    keep = (sizes * (pixel_um / 1000.0) ** 2 >= INK_MIN_MM2) & (smooth >= INK_EVEN_SHARE * sizes)
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)


def _large(mask: BoolArray, min_mm2: float, pixel_um: float) -> BoolArray:
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * (pixel_um / 1000.0) ** 2
    keep = sizes >= min(min_mm2, 0.05 * mask.size * (pixel_um / 1000.0) ** 2)
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)
