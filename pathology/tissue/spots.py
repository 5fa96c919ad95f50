"""Small things that tell a stain by their shape: dots of in-situ hybridisation, brown nuclei."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import ndimage

from pathology.stain import StainMatrix, optical_density
from pathology.stain.channels import channel_mean, channel_min, channel_sum
from pathology.tissue.hue import HueShares
from pathology.types import BoolArray, FloatArray, U8Array

__all__ = ["count_dots", "dot_densities", "is_fine", "nuclear_brown", "tissue_pixels"]

#: Dots of in-situ hybridisation: top-hat height in OD, over a square of 3.5 µm.
RED_DOT_OD = 0.08
BLACK_DOT_OD = 0.2
#: A red dot over haematoxylin is less pink than eosin by this much green share.
RED_DOT_MARGIN = 0.06
DOT_WINDOW_UM = 3.5
#: Pixel size at which dots of 1 µm can be told, and that probes are read at, in µm/px.
DOT_MPP = 0.75
#: Brown that is nowhere narrower than this, in µm, is no membrane: those are up to 2.8 µm wide.
SOLID_UM = 5.0
#: Areas of nuclei, µm² (4 to 14 µm across), and how much of its box a round spot fills at least.
NUCLEUS_UM2 = (12.0, 150.0)
NUCLEUS_FILL = 0.4


def is_fine(field: U8Array, pixel_um: float) -> bool:
    """Tell a field that dots can be told in from one row of overview pixels."""
    return pixel_um <= DOT_MPP and min(field.shape[:2]) >= 16


def dot_densities(
    fields: Sequence[U8Array],
    white: tuple[float, float, float],
    stains: StainMatrix,
    hue: HueShares,
    pixel_um: float,
    *,
    tissue_px: Sequence[int],
    threads: int = 1,
) -> tuple[float, float]:
    """Count red and black dots per mm² of tissue.

    Parameters
    ----------
    fields
        (H, W, 3) uint8 each.
    white
        White point, grey levels.
    stains
        The stain vectors.
    hue
        Hues of the slide, see :func:`count_dots`.
    pixel_um
        Pixel size in µm.
    tissue_px
        Number of pixels that are tissue in each field, see :func:`tissue_pixels`.
    threads
        Fields worked on at once; the result does not depend on it.

    Returns
    -------
    tuple of (float, float)
        Red and black dots per mm²; NaN where no field is fine enough.
    """

    def count(field: U8Array) -> tuple[int, int]:
        return count_dots(optical_density(field, white), stains, hue, pixel_um=pixel_um)

    fine = [index for index, field in enumerate(fields) if is_fine(field, pixel_um)]
    mm2 = 0.0
    for index in fine:
        mm2 += float(tissue_px[index]) * pixel_um**2 / 1e6
    # scipy lets go of the interpreter while it filters.
    with ThreadPoolExecutor(max_workers=threads) as pool:
        found = list(pool.map(count, [fields[index] for index in fine]))
    red, black = sum(pair[0] for pair in found), sum(pair[1] for pair in found)
    area = mm2 if mm2 > 0 else float("nan")
    return red / area, black / area


def count_dots(
    od: FloatArray, stains: StainMatrix, hue: HueShares, *, pixel_um: float
) -> tuple[int, int]:
    """Count red and black dots of about 1 µm in a field.

    Parameters
    ----------
    od
        (H, W, 3) float32, optical density at 0.75 µm/px or finer.
    stains
        The stain vectors; red is what lies on the eosin side of their plane.
    hue
        Hues of the slide: red is measured against its own haematoxylin, which may be reddish.
    pixel_um
        Pixel size in µm.

    Returns
    -------
    tuple of (int, int)
        Red dots and black dots.
    """
    total = channel_sum(od)
    pink = min(hue.nuclei_off_line, 0.0) * total - od @ stains.matrix[2].astype(np.float32)
    reddish = (od[..., 1] > (hue.pink_limit - RED_DOT_MARGIN) * total) & (total > 0.25)
    red = _dots(pink, RED_DOT_OD, pixel_um, where=reddish)
    black = _dots(channel_min(od), BLACK_DOT_OD, pixel_um, where=None)
    return red, black


def nuclear_brown(od: FloatArray, stains: StainMatrix, *, pixel_um: float) -> tuple[float, float]:
    """Measure how much of the brown lies in round spots of the size of nuclei.

    A membrane is a line of at most 2.8 µm, a stained nucleus is solid: it outlasts a morphological
    opening by a disc of 5 µm.

    Parameters
    ----------
    od
        (H, W, 3) float32, optical density at about 1 µm/px.
    stains
        The stain vectors.
    pixel_um
        Pixel size in µm.

    Returns
    -------
    tuple of (float, float)
        Summed DAB OD of all brown pixels, and of those in nuclear spots.
    """
    amounts = stains.unmix(od)
    dab = amounts[..., 1]
    brown = (dab > 0.15) & (dab > 0.5 * amounts[..., 0])
    reach = max(round((SOLID_UM / pixel_um - 1) / 2), 1)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = y**2 + x**2 <= (reach + 0.45) ** 2
    solid = (ndimage.grey_opening(dab, footprint=disc) > 0.15) & brown
    labels, count = ndimage.label(solid)
    keep = np.zeros(count + 1, dtype=np.bool_)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        high, wide = box[0].stop - box[0].start, box[1].stop - box[1].start
        area = int(np.count_nonzero(labels[box] == number))
        # Filling of the box, less where it is elongated: 0.79 for a disc.
        fill = area / (high * wide) * min(high, wide) / max(high, wide)
        low, top = NUCLEUS_UM2
        keep[number] = low <= area * pixel_um**2 <= top and fill > NUCLEUS_FILL
    return float(dab[brown].sum()), float(dab[keep[labels]].sum())


def tissue_pixels(od: FloatArray, pixel_um: float) -> BoolArray:
    """Tell tissue from gaps inside a field: mean OD above 0.02, smoothed over a cell's width."""
    mean = channel_mean(od)
    return np.asarray(ndimage.gaussian_filter(mean, 4.0 / pixel_um) > 0.02, dtype=np.bool_)


def _dots(image: FloatArray, height: float, pixel_um: float, *, where: BoolArray | None) -> int:
    side = max(round(DOT_WINDOW_UM / pixel_um), 3)
    blurred = ndimage.gaussian_filter(image, 0.25 / pixel_um)
    peaks = (blurred - ndimage.grey_opening(blurred, size=(side, side))) > height
    if where is not None:
        peaks &= where
    labels, count = ndimage.label(peaks)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:] * pixel_um**2
    # 0.5 to 10 µm²: a signal or a small cluster of them; smaller is noise, larger is a cell.
    return int(np.count_nonzero((sizes >= 0.45) & (sizes <= 10.0)))
