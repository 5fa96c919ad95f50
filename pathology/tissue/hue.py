"""Measure which dyes a slide holds, by the hue of its pixels in optical density.

A pixel's hue is how its density is shared out over the three colour channels; the amount of dye
cancels out. Shares mix along straight lines: a pixel that holds two dyes lies between them. So
the pixels of a haematoxylin and DAB slide lie along one line, and other dyes show beside it or
beyond its ends:

======================  ====  =====  ====  ========
dye                     red   green  blue  off line
======================  ====  =====  ====  ========
haematoxylin            0.40  0.43   0.18   0.00
DAB                     0.17  0.35   0.48   0.00
AEC                     0.17  0.42   0.42  -0.07
fast red                0.14  0.55   0.31  -0.21
new fuchsin             0.05  0.55   0.40  -0.24
eosin                   0.07  0.72   0.21  -0.40
black (nickel-DAB)      0.33  0.33   0.33   0.07
HRP green               0.50  0.27   0.23   0.19
Alcian blue             0.59  0.31   0.11   0.18
methyl green            0.78  0.11   0.11   0.44
======================  ====  =====  ====  ========

The vectors are those published with ImageJ's colour deconvolution (Ruifrok and Johnston 2001;
Landini and others 2021); "off line" is the share along the normal of the haematoxylin-DAB plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathology.stain import StainMatrix
from pathology.stain.channels import channel_sum
from pathology.types import AnyArray, BoolArray, FloatArray

__all__ = ["HueShares", "measure_hue"]

#: Summed OD of R, G, B from which the hue of a pixel means something: an error of two grey levels
#: in the white point is then a shift of 0.025 in the green share.
MIN_OD_SUM = 0.15
#: On saturated glass pale densities are cut off, each channel's by another share: only pixels above
#: this still have a hue.
MIN_OD_SUM_SATURATED = 0.4
#: And from which it is precise: the same error is a shift of 0.012.
CLEAR_OD_SUM = 0.3
#: Very dark pixels are capped: one fold must not outvote a field.
MAX_OD_SUM = 2.0
#: Blue-green stains (Alcian blue, light green) put most of their OD into red; haematoxylin at
#: most 0.58.
CYAN_RED_SHARE = 0.65
#: Blue shares: below, haematoxylin prevails (0.18); above, the chromogen (0.48).
COOL_BLUE_SHARE = 0.30
WARM_BLUE_SHARE = 0.34
#: What lies farther off the line to the other side is red, not brown (AEC -0.07).
RED_OFF_LINE = -0.09
#: A brown end of the line is there from this blue share on.
BROWN_BLUE_SHARE = 0.38
#: The slide's own haematoxylin may be redder than usual: pink begins this far beyond the green
#: share of its nuclei, but never beyond the second number, where fast red (0.55) would pass.
PINK_MARGIN = 0.05
PINK_CEILING = 0.53
#: Green and blue chromogens lie this far beyond the tenth of the counterstain that is least green;
#: at least, and at most, this far off the line in all. The bluest haematoxylin seen lies at 0.12.
GREEN_MARGIN = 0.10
GREEN_BOUNDS = (0.14, 0.17)
#: Black: dark, red and blue alike, and off the line, where haematoxylin over DAB never lies.
BLACK_OD_SUM = 1.0
BLACK_SPREAD = 0.08
BLACK_OFF_LINE = 0.06
#: The hue of the chromogen is that of the warmest fifth of the warm pixels, where there are more
#: than these: the rest is mixed with haematoxylin.
WARMEST = 0.8
MIN_WARM_PX = 100
MIN_WARM_SHARE = 0.01
#: Nuclei are the pixels with the most red density; the paler quarter of their green shares has
#: least of any other dye.
NUCLEI = 0.9
NUCLEI_GREEN = 0.25


@dataclass(frozen=True, kw_only=True)
class HueShares:
    """Hold what the hues of stained pixels say.

    Parameters
    ----------
    stained_px
        Pixels that were judged.
    pink_share
        Share (0 to 1) of all OD that is pink to red: eosin, fast red, fuchsin.
    pink_limit
        Green share from which a pixel was called pink.
    nuclei_off_line
        How far the slide's own haematoxylin lies off the line, as a share of its OD.
    green_share
        Share of all OD that is green or blue, far off the counterstain's own hue.
    cyan_share
        Share of all OD in pixels that absorb red almost alone.
    brown_share
        Share of stained pixels with more DAB than haematoxylin.
    black_share
        Share of all OD in dark pixels without hue.
    warm_share
        Share of all OD in pixels of clear chromogen (brown or red-brown).
    chromogen_hue_deg
        Angle in degrees between the chromogen's colour and the plane of haematoxylin and DAB: 0
        for DAB, below 0 towards red (AEC -6), above 0 towards yellow; NaN without chromogen.
    """

    stained_px: int
    pink_share: float
    pink_limit: float
    nuclei_off_line: float
    green_share: float
    cyan_share: float
    brown_share: float
    black_share: float
    warm_share: float
    chromogen_hue_deg: float


def measure_hue(
    od: FloatArray, stains: StainMatrix, *, pink_green_share: float, saturated: bool = False
) -> HueShares:
    """Measure the hues of pixels.

    Parameters
    ----------
    od
        (n, 3) float32, optical density in R, G, B; pale pixels are left out here.
    stains
        The vectors of haematoxylin and DAB.
    pink_green_share
        Green share from which a pixel is pink beside an ordinary haematoxylin.
    saturated
        The glass is at the top of the scale: pale blue is lost in it and haematoxylin looks pinker
        than it is. Pale pixels are left out, and pink is judged against the nuclei alone.

    Returns
    -------
    HueShares
        All shares 0 where nothing is stained.

    Examples
    --------
    >>> stains = StainMatrix(haematoxylin=(0.65, 0.70, 0.29), dab=(0.27, 0.57, 0.78))
    >>> eosin = np.tile(np.array([0.05, 0.5, 0.15], dtype=np.float32), (500, 1))
    >>> measure_hue(eosin, stains, pink_green_share=0.48).pink_share
    1.0
    """
    total: FloatArray = channel_sum(od)
    stained = total > (MIN_OD_SUM_SATURATED if saturated else MIN_OD_SUM)
    od, total = od[stained], total[stained]
    weight = np.minimum(total, MAX_OD_SUM)
    mass = max(float(weight.sum()), 1e-9)
    share = od / total[:, np.newaxis]
    red, green, blue = share.T
    off_line = share @ stains.matrix[2].astype(np.float32)
    cool, clear = blue < COOL_BLUE_SHARE, total > CLEAR_OD_SUM
    own_green, own_off_line = _nuclei(green[cool], off_line[cool], od[cool, 0])
    ceiling = 1.0 if saturated else max(PINK_CEILING, pink_green_share)
    limit = min(max(own_green + PINK_MARGIN, pink_green_share), ceiling)
    warm = clear & (blue > WARM_BLUE_SHARE)
    black = (total > BLACK_OD_SUM) & (np.abs(red - blue) < BLACK_SPREAD)
    amounts = stains.unmix(od)
    brown = (amounts[:, 1] > MIN_OD_SUM) & (amounts[:, 1] > amounts[:, 0])
    brown &= off_line > RED_OFF_LINE

    def part(where: AnyArray) -> float:
        return float(weight[where].sum()) / mass

    return HueShares(
        stained_px=int(total.size),
        pink_share=part(green > limit),
        pink_limit=limit,
        nuclei_off_line=own_off_line,
        green_share=part(_green(off_line, weight, cool) & clear),
        cyan_share=part(red > CYAN_RED_SHARE),
        brown_share=float(np.count_nonzero(brown)) / max(total.size, 1),
        black_share=part(black & (off_line > BLACK_OFF_LINE)),
        warm_share=part(clear & (blue > BROWN_BLUE_SHARE)),
        chromogen_hue_deg=_chromogen_hue(share, off_line, weight, warm),
    )


def _nuclei(green: FloatArray, off_line: FloatArray, red_od: FloatArray) -> tuple[float, float]:
    """Return the green share of the slide's own nuclei and how far they lie off the line."""
    if green.size < MIN_WARM_PX:
        return 0.0, 0.0
    nuclei = red_od >= np.quantile(red_od, NUCLEI)
    return float(np.quantile(green[nuclei], NUCLEI_GREEN)), float(np.median(off_line[nuclei]))


def _green(off_line: FloatArray, weight: FloatArray, cool: BoolArray) -> BoolArray:
    """Return which pixels lie far on the green side of the counterstain."""
    if np.count_nonzero(cool) < MIN_WARM_PX:
        return np.zeros(cool.shape, dtype=np.bool_)
    order = np.argsort(off_line[cool], kind="stable")
    running = np.cumsum(weight[cool][order])
    channel_min = off_line[cool][order][np.searchsorted(running, 0.1 * running[-1])]
    limit = float(np.clip(channel_min + GREEN_MARGIN, *GREEN_BOUNDS))
    return np.asarray(cool & (off_line > limit), dtype=np.bool_)


def _chromogen_hue(
    share: FloatArray, off_line: FloatArray, weight: FloatArray, warm: BoolArray
) -> float:
    """Return the angle in degrees of the warmest pixels off the plane of the two stains."""
    count = int(np.count_nonzero(warm))
    if count < MIN_WARM_PX or count < MIN_WARM_SHARE * warm.size:
        return float("nan")
    blue = share[:, 2]
    warmest = warm & (blue >= np.quantile(blue[warm], WARMEST))
    length = np.sqrt((share[warmest] ** 2).sum(axis=-1))
    mean = np.average(off_line[warmest] / length, weights=weight[warmest])
    return float(np.degrees(np.arcsin(np.clip(mean, -1.0, 1.0))))
