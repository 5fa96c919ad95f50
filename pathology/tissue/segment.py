"""Tell tissue from glass on an overview by how much it absorbs and how textured it is.

Absorption alone does not do it: unstained stroma and muscle of an IHC 0 slide lie at a mean OD of
0.015 to 0.03, shading, smears, mounting medium and the shadow of a lost core at 0.003 to 0.015.
Texture at the scale of nuclei separates them: tissue at 8 µm/px has a local standard deviation of
0.005 OD and more, those below 0.0025.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pathology.config import TissueConfig
from pathology.stain import optical_density
from pathology.stain.channels import channel_mean
from pathology.types import BoolArray, FloatArray, U8Array

__all__ = ["Features", "Pieces", "features", "find_pieces", "grow", "remove_small", "shrink"]

#: Pixel size in µm that texture is judged at; a finer image is blurred to it first.
TEXTURE_UM = 8.0
#: The glass's own texture (noise, compression) times this is not tissue, whatever the limit says.
NOISE_FACTOR = 3.0
#: A line is nowhere wider than this (the smoothing adds about 50 µm), and at least this long. The
#: thinnest needle biopsies are 400 µm wide.
LINE_WIDTH_UM = 150.0
LINE_LENGTH_UM = 2000.0
#: Dark spots are counted as maxima within this distance. Tissue of every kind has 0.6 to 0.9 of
#: them per window of this side, the halo of a speck of dust at most 0.12.
PEAK_WINDOW_UM = 24.0
MIN_PEAKS_PER_WINDOW = 0.3
#: A limit raised by noise stops here, so that a slide without any clear glass is not emptied.
MAX_TEXTURE_OD = 0.012


@dataclass(frozen=True, kw_only=True)
class Features:
    """Hold what tissue is judged by.

    Parameters
    ----------
    density
        (H, W) float32, mean OD of R, G, B, smoothed.
    texture
        (H, W) float32, local standard deviation of the mean OD at the scale of nuclei.
    fine
        (H, W) float32, mean OD at 8 µm/px, not smoothed further; for the outline.
    """

    density: FloatArray
    texture: FloatArray
    fine: FloatArray


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Hold tissue and what looked like it.

    Parameters
    ----------
    tissue
        (H, W) bool.
    smear
        (H, W) bool, too faint or too smooth throughout: dirt, shading, a ghost.
    dust
        (H, W) bool, too small, or the halo of single specks.
    edge
        (H, W) bool, long and thin: cover-slip edges, scratches, fibres.
    """

    tissue: BoolArray
    smear: BoolArray
    dust: BoolArray
    edge: BoolArray


def features(
    rgb: U8Array, white: tuple[float, float, float], *, pixel_um: float, smooth_um: float
) -> Features:
    """Compute density and texture of an overview.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8.
    white
        White point, grey levels.
    pixel_um
        Size of a pixel in µm.
    smooth_um
        Gaussian sigma of the smoothing in µm.

    Returns
    -------
    Features
        Maps of the image's size.
    """
    mean = channel_mean(optical_density(rgb, white))
    # A box of side a has variance a²/12; blur so that the total is that of an 8 µm box.
    missing = TEXTURE_UM**2 - pixel_um**2
    if missing > 1.0:
        mean = ndimage.gaussian_filter(mean, np.sqrt(missing / 12.0) / pixel_um)
    sigma = max(smooth_um / pixel_um, 0.5)
    density = ndimage.gaussian_filter(mean, sigma)
    detail = mean - density
    variance = ndimage.gaussian_filter(detail * detail, sigma)
    texture = np.sqrt(np.maximum(variance, 0.0))
    return Features(density=density, texture=texture.astype(np.float32), fine=mean)


def find_pieces(
    maps: Features,
    config: TissueConfig,
    *,
    glass: BoolArray,
    pixel_um: float,
    blocked: BoolArray,
) -> Pieces:
    """Decide what is tissue.

    Parameters
    ----------
    maps
        Density and texture.
    config
        The section ``tissue`` of the configuration.
    glass
        (H, W) bool, pixels that are clear glass, for the noise of texture; may be empty.
    pixel_um
        Size of a pixel in µm.
    blocked
        (H, W) bool, pixels that cannot be tissue (pen, black, no data).

    Returns
    -------
    Pieces
        Disjoint masks.
    """
    texture_min = _texture_limit(maps.fine, glass, config, pixel_um)
    candidate = (maps.density > config.od_min) & (maps.texture > texture_min) & ~blocked
    # The smoothing moved the outline outwards: keep what is near pixels that absorb themselves.
    candidate &= _close(maps.fine > config.od_min, config.smooth_um / pixel_um)
    candidate = _close(candidate, config.smooth_um / pixel_um) & ~blocked
    opened = _open(candidate, config.smooth_um / pixel_um)
    thin = candidate & ~grow(opened, 2.0 * config.smooth_um / pixel_um)
    body = candidate & ~thin
    lines = _lines(body, pixel_um)
    body &= ~lines
    body, smear = _with_core(body, maps, config, texture_min)
    crowded = _crowded(body, maps, texture_min, pixel_um)
    pixel_mm2 = (pixel_um / 1000.0) ** 2
    limit = min(config.min_piece_mm2, 0.05 * candidate.size * pixel_mm2)
    kept = remove_small(crowded, limit / pixel_mm2)
    tissue = _fill_holes(kept, config.max_hole_mm2 / pixel_mm2) & ~blocked
    edge = (_long_only(thin, pixel_um) | lines) & ~tissue
    dust = ((body & ~kept) | (thin & ~edge)) & ~tissue
    return Pieces(tissue=tissue, smear=smear & ~tissue, dust=dust, edge=edge)


def remove_small(mask: BoolArray, min_pixels: float) -> BoolArray:
    """Drop 8-connected components below a number of pixels.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.array([[True, False, True, True]])
    >>> remove_small(mask, 2).tolist()
    [[False, False, True, True]]
    """
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count == 0:
        return mask.copy()
    keep = np.bincount(labels.ravel(), minlength=count + 1) >= min_pixels
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)


def _texture_limit(
    fine: FloatArray, glass: BoolArray, config: TissueConfig, pixel_um: float
) -> float:
    """Return the texture from which a place can be tissue: well above the noise of the glass.

    The noise is that of glass among glass: on a small field all glass lies beside tissue, whose
    texture would count as noise and hide pale tissue as a smear.
    """
    if np.count_nonzero(glass) < 0.01 * glass.size:
        return config.texture_min
    sigma = max(config.smooth_um / pixel_um, 0.5)
    weight = np.maximum(ndimage.gaussian_filter(glass.astype(np.float32), sigma), 1e-3)
    level = ndimage.gaussian_filter(np.where(glass, fine, np.float32(0)), sigma) / weight
    detail = np.where(glass, fine - level, np.float32(0))
    variance = ndimage.gaussian_filter(detail * detail, sigma) / weight
    noise = math.sqrt(max(float(np.median(variance[glass])), 0.0))
    return float(np.clip(NOISE_FACTOR * noise, config.texture_min, MAX_TEXTURE_OD))


def _with_core(
    mask: BoolArray, maps: Features, config: TissueConfig, texture_min: float
) -> tuple[BoolArray, BoolArray]:
    """Split into components that somewhere are clearly tissue, and those that nowhere are."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    core = (
        mask
        & (maps.density > config.core_factor * config.od_min)
        & (maps.texture > config.core_factor * texture_min)
    )
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    hits = np.bincount(labels[core], minlength=count + 1)
    # "Somewhere" is a tenth of the piece: one speck of dust on a smear does not make it tissue.
    keep = hits >= np.maximum(0.1 * sizes, 1)
    keep[0] = False
    kept = np.asarray(keep[labels], dtype=np.bool_)
    return kept, mask & ~kept


def _crowded(mask: BoolArray, maps: Features, texture_min: float, pixel_um: float) -> BoolArray:
    """Keep components with many separate dark spots: nuclei and glands, not one speck's halo."""
    window = max(2 * (int(PEAK_WINDOW_UM / pixel_um) // 2) + 1, 3)
    peaks = (maps.fine - maps.density > texture_min) & (
        maps.fine == ndimage.maximum_filter(maps.fine, window)
    )
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    found = np.bincount(labels[peaks & mask], minlength=count + 1)
    keep = found * window**2 >= MIN_PEAKS_PER_WINDOW * sizes
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)


def _fill_holes(mask: BoolArray, max_pixels: float) -> BoolArray:
    labels, count = ndimage.label(~mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    fill = sizes <= max_pixels
    fill[0] = False
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    fill[border] = False
    return np.asarray(mask | fill[labels], dtype=np.bool_)


def _lines(mask: BoolArray, pixel_um: float) -> BoolArray:
    """Find components that are nowhere thick and very long: the border of a cover slip."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    found = np.zeros(count + 1, dtype=np.bool_)
    if count == 0:
        return mask.copy()
    for index, where in enumerate(ndimage.find_objects(labels), start=1):
        height, width = (part.stop - part.start for part in where)
        if float(np.hypot(height, width)) * pixel_um < LINE_LENGTH_UM:
            continue
        piece = np.pad(labels[where] == index, 1)
        half = float(ndimage.distance_transform_edt(piece).max())
        found[index] = 2.0 * half * pixel_um <= LINE_WIDTH_UM
    return np.asarray(found[labels], dtype=np.bool_)


def _long_only(mask: BoolArray, pixel_um: float) -> BoolArray:
    """Keep components whose bounding box has a diagonal of 1 mm or more."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    keep = np.zeros(count + 1, dtype=np.bool_)
    for index, where in enumerate(ndimage.find_objects(labels), start=1):
        height, width = (part.stop - part.start for part in where)
        keep[index] = float(np.hypot(height, width)) * pixel_um >= 1000.0
    return np.asarray(keep[labels], dtype=np.bool_)


def grow(mask: BoolArray, radius: float) -> BoolArray:
    """Dilate a mask by a distance.

    Parameters
    ----------
    mask
        (H, W) bool.
    radius
        In pixels, at least 0.

    Returns
    -------
    numpy.ndarray
        (H, W) bool, True within ``radius`` of a True pixel.

    Examples
    --------
    >>> import numpy as np
    >>> grow(np.array([[True, False, False, False]]), 1.5).tolist()
    [[True, True, False, False]]
    """
    reach = int(radius + 1e-6)
    height, width = mask.shape
    out = np.zeros(mask.shape, dtype=np.bool_)
    widened: dict[int, BoolArray] = {}
    # A disc is a stack of horizontal runs; one run of length 2 n + 1 is a difference of two sums.
    for shift in range(-min(reach, height - 1), min(reach, height - 1) + 1):
        half = int(math.sqrt(max((radius + 1e-6) ** 2 - shift * shift, 0.0)))
        if half not in widened:
            widened[half] = _widen(mask, min(half, width - 1))
        rows = slice(max(shift, 0), height + min(shift, 0))
        source = slice(max(-shift, 0), height + min(-shift, 0))
        out[rows] |= widened[half][source]
    return out


def _widen(mask: BoolArray, half: int) -> BoolArray:
    """Dilate along rows by ``half`` pixels to both sides."""
    padded = np.pad(mask, ((0, 0), (half + 1, half)))
    sums = np.cumsum(padded, axis=1, dtype=np.int32)
    return np.asarray(sums[:, 2 * half + 1 :] > sums[:, : mask.shape[1]], dtype=np.bool_)


def shrink(mask: BoolArray, radius: float) -> BoolArray:
    """Erode a mask by a distance; what lies beyond the image counts as True.

    Parameters
    ----------
    mask
        (H, W) bool.
    radius
        In pixels, at least 0.

    Returns
    -------
    numpy.ndarray
        (H, W) bool, True farther than ``radius`` from every False pixel.

    Examples
    --------
    >>> import numpy as np
    >>> shrink(np.array([[True, True, True, False]]), 1.5).tolist()
    [[True, True, False, False]]
    """
    return ~grow(~mask, radius)


def _close(mask: BoolArray, radius: float) -> BoolArray:
    """Close gaps narrower than twice the radius."""
    return shrink(grow(mask, radius), radius)


def _open(mask: BoolArray, radius: float) -> BoolArray:
    """Drop what is narrower than twice the radius."""
    return grow(shrink(mask, radius), radius)
