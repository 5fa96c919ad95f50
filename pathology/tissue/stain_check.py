"""Refuse slides that are not H-DAB immunohistochemistry, by the colour of what they hold.

The hue of a pixel is judged in optical density, where the amount of stain cancels out
(:mod:`pathology.tissue.hue`). A slide without any DAB lies on the haematoxylin end and passes: a
HER2 0 has none. Refused are eosin, red, green and black chromogens, sections without counterstain,
and images without colour.

Chromogenic in-situ hybridisation on haematoxylin has the same hue but for its signals: thousands
of red and of black dots of about 1 µm per mm², and no brown at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import ndimage

from pathology.config import StainConfig
from pathology.stain import StainMatrix, optical_density
from pathology.stain.channels import channel_max, channel_min
from pathology.tissue.hue import HueShares, measure_hue
from pathology.tissue.spots import dot_densities, is_fine, nuclear_brown, tissue_pixels
from pathology.types import AnyArray, FloatArray, U8Array

__all__ = ["StainCheck", "StainKind", "check_stain"]

StainKind = Literal["h_dab", "not_ihc", "unchecked"]

#: Fewer stained pixels (of 1 µm) than this leave the question open.
MIN_STAINED_PX = 800
#: Fewer tissue pixels (of 1 µm) than this do not show that a section is unstained: 0.01 mm².
MIN_TISSUE_PX = 10_000
#: Values up to this are at the bottom of the scale.
CLIPPED = 1
#: A white point from here on is at the top of the scale.
SATURATED = 254.0
#: A picture whose channels never differ by more than this has no colour.
GREY_SPREAD = 2
#: Signals per mm² of tissue. A dual-probe slide shows 2,000 to 3,000 red and 7,000 black ones in a
#: random field, unstained IHC none to 40 red and below 600 black;
#: dark, sharp haematoxylin of a reddish kind up to 1,300 red.
RED_DOTS_PER_MM2 = 1500.0
BLACK_DOTS_PER_MM2 = 2000.0
#: More brown than this share of the stained pixels: DAB is there, so dots prove nothing.
NO_BROWN = 0.005
#: A section without haematoxylin is unstained where less than this share of its stained pixels is
#: brown; red cells are brown of their own, and cover less.
UNSTAINED_BROWN = 0.2
#: Black chromogen in the place of brown: where there is brown as well, dark pixels are mixtures.
BLACK_OVER_BROWN = 3.0
#: The hue is judged at this pixel size in µm: colour fringes of single pixels average out.
HUE_UM = 1.0


@dataclass(frozen=True, kw_only=True)
class StainCheck:
    """Hold what the stain check measured and what it concludes.

    Parameters
    ----------
    kind
        ``h_dab``, ``not_ihc``, or ``unchecked`` where it was switched off or too little is stained.
    reason
        One sentence with the numbers, empty for ``h_dab``.
    stained_px
        Pixels that were judged.
    pink_share, green_share, cyan_share, black_share
        Share (0 to 1) of all stain (OD) that is pink to red (eosin, fast red), green or blue beside
        the counterstain, almost pure cyan, or dark without hue (nickel-DAB, silver).
    brown_share
        Share (0 to 1) of stained pixels with more DAB than haematoxylin.
    chromogen_hue_deg
        Angle of the chromogen off the plane of haematoxylin and DAB, in degrees: 0 for DAB, -6 for
        AEC; NaN where there is too little chromogen.
    haematoxylin_od
        How much more red than blue light the bluest hundredth of the tissue absorbs, in OD: what
        only a blue counterstain does; NaN where there is too little tissue.
    nuclear_brown_share
        Share (0 to 1) of all brown that lies in round spots of the size of nuclei; NaN where there
        is no brown or no probe was fine enough.
    red_dots_per_mm2, black_dots_per_mm2
        Dots of about 1 µm; NaN where brown proves DAB, so that they are not counted, and where no
        probe was fine enough.
    clipped_share
        Share (0 to 1) of tissue pixels at 0 or 1 in a channel.
    """

    kind: StainKind
    reason: str = ""
    stained_px: int = 0
    pink_share: float = 0.0
    green_share: float = 0.0
    cyan_share: float = 0.0
    black_share: float = 0.0
    brown_share: float = 0.0
    chromogen_hue_deg: float = float("nan")
    haematoxylin_od: float = float("nan")
    nuclear_brown_share: float = float("nan")
    red_dots_per_mm2: float = float("nan")
    black_dots_per_mm2: float = float("nan")
    clipped_share: float = 0.0


def check_stain(
    fields: Sequence[U8Array],
    white: tuple[float, float, float],
    config: StainConfig,
    *,
    pixel_um: float,
    threads: int = 1,
) -> StainCheck:
    """Judge the stain of fields of tissue.

    Parameters
    ----------
    fields
        (H, W, 3) uint8 each; fields of tissue, or one row of tissue pixels.
    white
        White point of the slide, grey levels.
    config
        The section ``stain`` of the configuration.
    pixel_um
        Pixel size of the fields in µm; dots are looked for at 0.75 or below.
    threads
        Fields worked on at once; the result does not depend on it.

    Returns
    -------
    StainCheck
        Measurements and conclusion.

    Examples
    --------
    >>> import numpy as np
    >>> from pathology.config import load_config
    >>> eosin = np.full((40, 40, 3), (225, 120, 170), dtype=np.uint8)
    >>> check_stain([eosin], (240.0, 240.0, 240.0), load_config().stain, pixel_um=2.0).kind
    'not_ihc'
    """
    stains = StainMatrix(haematoxylin=config.haematoxylin, dab=config.dab)
    tally = _Tally()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for seen in pool.map(lambda field: _look_at(field, white, stains, pixel_um), fields):
            tally.add(seen)
    saturated = max(white) >= SATURATED
    check, hue = tally.result(stains, config, saturated=saturated)
    if check.brown_share < NO_BROWN:
        red, black = dot_densities(
            fields, white, stains, hue, pixel_um, tissue_px=tally.tissue_px, threads=threads
        )
        check = replace(check, red_dots_per_mm2=red, black_dots_per_mm2=black)
    grey = tally.spread <= GREY_SPREAD
    kind, reason = _conclude(check, hue, config, grey=grey, saturated=saturated)
    return replace(check, kind=kind, reason=reason)


def _conclude(
    check: StainCheck, hue: HueShares, config: StainConfig, *, grey: bool, saturated: bool
) -> tuple[StainKind, str]:
    unstained = (
        check.haematoxylin_od < config.haematoxylin_min_od
        and check.brown_share < UNSTAINED_BROWN
        and check.pink_share <= config.pink_max
    )
    if unstained and not grey:
        return "not_ihc", (
            f"no counterstain: tissue absorbs red at most {max(check.haematoxylin_od, 0.0):.3f} OD "
            f"more than blue (at least {config.haematoxylin_min_od} with haematoxylin), as in an "
            "unstained section"
        )
    if check.stained_px < MIN_STAINED_PX * HUE_UM**2:
        return "unchecked", f"only {check.stained_px} stained pixels to judge the stain by"
    if grey:
        return "not_ihc", "the image has no colour: its channels are equal everywhere"
    if check.pink_share > config.pink_max:
        return "not_ihc", (
            f"{100 * check.pink_share:.0f} % of the stain is pink to red, off the plane of "
            f"haematoxylin and DAB (limit {100 * config.pink_max:.0f} %), as in an H&E section"
        )
    if check.red_dots_per_mm2 > RED_DOTS_PER_MM2 and check.black_dots_per_mm2 > BLACK_DOTS_PER_MM2:
        return "not_ihc", (
            f"{check.red_dots_per_mm2:.0f} red and {check.black_dots_per_mm2:.0f} black dots per "
            "mm² of tissue and no brown, as in chromogenic in-situ hybridisation"
        )
    found = _other_dye(check, hue, config, saturated=saturated)
    return ("not_ihc", found) if found else ("h_dab", "")


def _other_dye(check: StainCheck, hue: HueShares, config: StainConfig, *, saturated: bool) -> str:
    """Return which green, red or black chromogen there is, in words; empty for none.

    On saturated glass the tone curve has bent the hues: only gross differences are believed.
    """
    if check.green_share > config.green_max or check.cyan_share > config.cyan_max:
        # Of two limits the one that is exceeded further is named, not the larger share.
        share, limit = max(
            (check.green_share, config.green_max),
            (check.cyan_share, config.cyan_max),
            key=lambda found: found[0] / max(found[1], 1e-6),
        )
        return (
            f"{100 * share:.0f} % of the stain is green or blue beside the counterstain, as "
            f"neither haematoxylin nor DAB is (limit {100 * limit:.0f} %)"
        )
    if saturated:
        return ""
    if check.chromogen_hue_deg < config.chromogen_red_deg:
        return (
            f"the chromogen is red: hue {check.chromogen_hue_deg:.1f}° off the plane of "
            f"haematoxylin and DAB (limit {config.chromogen_red_deg:g}°; DAB 0°, AEC -6°)"
        )
    if check.black_share > max(config.black_max, BLACK_OVER_BROWN * hue.warm_share):
        return (
            f"{100 * check.black_share:.0f} % of the stain is black (limit "
            f"{100 * config.black_max:.0f} %) and {100 * hue.warm_share:.0f} % brown, as with "
            "nickel-DAB or silver"
        )
    return ""


@dataclass(frozen=True, kw_only=True)
class _Field:
    """What one field adds to the tally."""

    pixels: FloatArray
    blueness: FloatArray
    clipped: int
    tissue_px: int
    spread: int
    brown: tuple[float, float]


def _look_at(
    field: U8Array, white: tuple[float, float, float], stains: StainMatrix, pixel_um: float
) -> _Field:
    """Measure one field."""
    spread = int(np.quantile(channel_max(field).astype(np.int16) - channel_min(field), 0.999))
    lowest = channel_min(field)
    fine = is_fine(field, pixel_um)
    factor = max(round(HUE_UM / pixel_um), 1) if fine else 1
    field, pixel_um = _shrink(field, factor), pixel_um * factor
    od = optical_density(field, white)
    tissue = tissue_pixels(od, pixel_um)
    brown = (0.0, 0.0)
    blueness = od[..., 0] - od[..., 2]
    if fine:
        brown = nuclear_brown(od, stains, pixel_um=pixel_um)
        blueness = ndimage.uniform_filter(blueness, max(round(2.0 / pixel_um), 1))
    return _Field(
        # A channel at the bottom of the scale has lost the hue of its pixel.
        pixels=od[channel_min(field) > CLIPPED],
        blueness=blueness[tissue],
        clipped=int(np.count_nonzero(_blocks(lowest <= CLIPPED, factor) & tissue[..., np.newaxis])),
        tissue_px=factor**2 * int(np.count_nonzero(tissue)),
        spread=spread,
        brown=brown,
    )


class _Tally:
    """Gather the pixels and add up the measurements of several fields."""

    def __init__(self) -> None:
        self.pixels: list[FloatArray] = []
        self.blueness: list[FloatArray] = []
        self.clipped = 0
        self.tissue_px: list[int] = []
        self.spread = 0
        self.brown = np.zeros(2)

    def add(self, seen: _Field) -> None:
        """Add one field."""
        self.pixels.append(seen.pixels)
        self.blueness.append(seen.blueness)
        self.clipped += seen.clipped
        self.tissue_px.append(seen.tissue_px)
        self.spread = max(self.spread, seen.spread)
        self.brown += seen.brown

    def result(
        self, stains: StainMatrix, config: StainConfig, *, saturated: bool
    ) -> tuple[StainCheck, HueShares]:
        """Return the measurements, with no conclusion yet."""
        hue = measure_hue(
            np.concatenate(self.pixels),
            stains,
            pink_green_share=config.pink_green_share,
            saturated=saturated,
        )
        blueness = np.concatenate(self.blueness)
        enough = blueness.size >= MIN_TISSUE_PX
        nan = float("nan")
        check = StainCheck(
            kind="unchecked",
            stained_px=hue.stained_px,
            pink_share=hue.pink_share,
            green_share=hue.green_share,
            cyan_share=hue.cyan_share,
            black_share=hue.black_share,
            brown_share=hue.brown_share,
            chromogen_hue_deg=hue.chromogen_hue_deg,
            haematoxylin_od=float(np.quantile(blueness, 0.99)) if enough else nan,
            nuclear_brown_share=float(self.brown[1] / self.brown[0]) if self.brown[0] else nan,
            clipped_share=self.clipped / max(sum(self.tissue_px), 1),
        )
        return check, hue


def _blocks(values: AnyArray, factor: int) -> AnyArray:
    """Return (H / factor, W / factor, factor²): the pixels of each block; rests are cut off."""
    rows, columns = values.shape[0] // factor, values.shape[1] // factor
    cut = values[: rows * factor, : columns * factor]
    blocks = cut.reshape(rows, factor, columns, factor).swapaxes(1, 2)
    return blocks.reshape(rows, columns, factor**2)


def _shrink(field: U8Array, factor: int) -> U8Array:
    """Average blocks of ``factor`` × ``factor`` pixels."""
    if factor < 2:
        return field
    rows, columns = field.shape[0] // factor, field.shape[1] // factor
    cut = field[: rows * factor, : columns * factor]
    # Sums of strided pictures: a fifth of the time of a mean over two axes of five, the same bits.
    total = np.zeros((rows, columns, 3), dtype=np.float32)
    for row in range(factor):
        for column in range(factor):
            total += cut[row::factor, column::factor]
    return np.asarray(np.rint(total / factor**2), dtype=np.uint8)
