"""Refuse slides that are not H-DAB immunohistochemistry, by the colour of what they hold.

The hue of a pixel is judged in optical density, where the amount of stain cancels out: the share
of the three channels in the OD. Green holds 0.43 of haematoxylin, 0.35 of DAB, and so 0.33 to
0.45 of every mixture of the two, dark or pale, on any white balance; of eosin 0.85, of fast red
0.60. A slide without any DAB lies on the haematoxylin end and passes.

Chromogenic in-situ hybridisation on haematoxylin has the same hue but for its signals: thousands
of red and of black dots of about 1 µm per mm², and no brown at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import ndimage

from pathology.config import StainConfig
from pathology.stain import StainMatrix, optical_density
from pathology.types import BoolArray, FloatArray, U8Array

__all__ = ["StainCheck", "StainKind", "check_stain", "count_dots"]

StainKind = Literal["h_dab", "not_ihc", "unchecked"]

#: Summed OD of R, G, B from which the hue of a pixel means something: an error of two grey levels
#: in the white point is then a shift of 0.025 in the green share.
MIN_OD_SUM = 0.15
#: Fewer stained pixels than this leave the question open.
MIN_STAINED_PX = 200
#: Blue-green stains (Alcian blue, light green) put most of their OD into red; haematoxylin at
#: most 0.58.
CYAN_RED_SHARE = 0.65
#: Values up to this are at the bottom of the scale.
CLIPPED = 1
#: A picture whose channels never differ by more than this has no colour.
GREY_SPREAD = 2
#: Dots of in-situ hybridisation: top-hat height in OD, over a square of 3.5 µm.
RED_DOT_OD = 0.08
BLACK_DOT_OD = 0.2
DOT_WINDOW_UM = 3.5
#: Signals per mm² of tissue. A dual-probe slide shows 2,000 to 3,000 red and 7,000 black ones in a
#: random field, unstained IHC none to 40 red and below 600 black.
RED_DOTS_PER_MM2 = 1000.0
BLACK_DOTS_PER_MM2 = 2000.0
#: More brown than this share of the stained pixels: DAB is there, so dots prove nothing.
NO_BROWN = 0.005
#: Pixel size at which dots of 1 µm can be told, and that probes are read at, in µm/px.
DOT_MPP = 0.75


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
    pink_share, cyan_share
        Share (0 to 1) of all stain (OD) that is pink (eosin, fast red) or blue-green.
    brown_share
        Share (0 to 1) of stained pixels with more DAB than haematoxylin.
    red_dots_per_mm2, black_dots_per_mm2
        Dots of about 1 µm; NaN where no probe was fine enough.
    clipped_share
        Share (0 to 1) of tissue pixels at 0 or 1 in a channel.
    """

    kind: StainKind
    reason: str = ""
    stained_px: int = 0
    pink_share: float = 0.0
    cyan_share: float = 0.0
    brown_share: float = 0.0
    red_dots_per_mm2: float = float("nan")
    black_dots_per_mm2: float = float("nan")
    clipped_share: float = 0.0


def check_stain(
    fields: Sequence[U8Array],
    white: tuple[float, float, float],
    config: StainConfig,
    *,
    pixel_um: float,
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
    for field in fields:
        tally.add(field, white, stains, config, pixel_um)
    check = tally.result()
    kind, reason = _conclude(check, config, grey=tally.spread <= GREY_SPREAD)
    return replace(check, kind=kind, reason=reason)


def _conclude(check: StainCheck, config: StainConfig, *, grey: bool) -> tuple[StainKind, str]:
    if check.stained_px < MIN_STAINED_PX:
        return "unchecked", f"only {check.stained_px} stained pixels to judge the stain by"
    if grey:
        return "not_ihc", "the image has no colour: its channels are equal everywhere"
    if check.pink_share > config.pink_max:
        return "not_ihc", (
            f"{100 * check.pink_share:.0f} % of the stain is pink to red, off the plane of "
            f"haematoxylin and DAB (limit {100 * config.pink_max:.0f} %), as in an H&E section"
        )
    if check.cyan_share > config.cyan_max:
        return "not_ihc", (
            f"{100 * check.cyan_share:.0f} % of the stain is blue-green, as neither haematoxylin "
            f"nor DAB is (limit {100 * config.cyan_max:.0f} %)"
        )
    if (
        check.brown_share < NO_BROWN
        and check.red_dots_per_mm2 > RED_DOTS_PER_MM2
        and check.black_dots_per_mm2 > BLACK_DOTS_PER_MM2
    ):
        return "not_ihc", (
            f"{check.red_dots_per_mm2:.0f} red and {check.black_dots_per_mm2:.0f} black dots per "
            "mm² of tissue and no brown, as in chromogenic in-situ hybridisation"
        )
    return "h_dab", ""


class _Tally:
    """Add up the measurements of several fields."""

    def __init__(self) -> None:
        self.stained = 0
        self.od_sum = 0.0
        self.pink = 0.0
        self.cyan = 0.0
        self.brown = 0
        self.clipped = 0
        self.pixels = 0
        self.spread = 0
        self.red_dots = 0
        self.black_dots = 0
        self.dot_mm2 = 0.0

    def add(
        self,
        field: U8Array,
        white: tuple[float, float, float],
        stains: StainMatrix,
        config: StainConfig,
        pixel_um: float,
    ) -> None:
        """Add one field."""
        od = optical_density(field, white)
        tissue = _tissue(od, pixel_um)
        self.pixels += int(np.count_nonzero(tissue))
        self.clipped += int(np.count_nonzero(tissue & (field.min(axis=-1) <= CLIPPED)))
        spread = field.max(axis=-1).astype(np.int16) - field.min(axis=-1)
        self.spread = max(self.spread, int(np.quantile(spread, 0.999)))
        if pixel_um <= DOT_MPP and min(field.shape[:2]) >= 16:
            red, black = count_dots(od, stains, config, pixel_um=pixel_um)
            self.red_dots += red
            self.black_dots += black
            self.dot_mm2 += float(np.count_nonzero(tissue)) * pixel_um**2 / 1e6
            # The hue is judged at 2 µm/px: colour fringes of single pixels average out.
            field = _shrink(field, round(2.0 / pixel_um))
            od = optical_density(field, white)
        # A channel at the bottom of the scale has lost the hue of its pixel.
        self._add_hue(od[field.min(axis=-1) > CLIPPED], stains, config)

    def _add_hue(self, od: FloatArray, stains: StainMatrix, config: StainConfig) -> None:
        total = od.sum(axis=-1)
        stained = total > MIN_OD_SUM
        od, total = od[stained], total[stained]
        # Very dark pixels are capped: one fold must not outvote a field.
        weight = np.minimum(total, 2.0)
        amounts = stains.unmix(od)
        self.stained += total.size
        self.od_sum += float(weight.sum())
        self.pink += float(weight[od[:, 1] > config.pink_green_share * total].sum())
        self.cyan += float(weight[od[:, 0] > CYAN_RED_SHARE * total].sum())
        brown = (amounts[:, 1] > MIN_OD_SUM) & (amounts[:, 1] > amounts[:, 0])
        self.brown += int(np.count_nonzero(brown))

    def result(self) -> StainCheck:
        """Return the shares, with no conclusion yet."""
        mass, count = max(self.od_sum, 1e-9), max(self.stained, 1)
        area = self.dot_mm2 if self.dot_mm2 > 0 else float("nan")
        return StainCheck(
            kind="unchecked",
            stained_px=self.stained,
            pink_share=self.pink / mass,
            cyan_share=self.cyan / mass,
            brown_share=self.brown / count,
            red_dots_per_mm2=self.red_dots / area,
            black_dots_per_mm2=self.black_dots / area,
            clipped_share=self.clipped / max(self.pixels, 1),
        )


def count_dots(
    od: FloatArray, stains: StainMatrix, config: StainConfig, *, pixel_um: float
) -> tuple[int, int]:
    """Count red and black dots of about 1 µm in a field.

    Parameters
    ----------
    od
        (H, W, 3) float32, optical density at 0.75 µm/px or finer.
    stains
        The stain vectors; red is what lies on the eosin side of their plane.
    config
        The section ``stain`` of the configuration.
    pixel_um
        Pixel size in µm.

    Returns
    -------
    tuple of (int, int)
        Red dots and black dots.
    """
    total = od.sum(axis=-1)
    pink = -(od @ stains.matrix[2].astype(np.float32))
    reddish = (od[..., 1] > (config.pink_green_share - 0.06) * total) & (total > 0.25)
    red = _dots(pink, RED_DOT_OD, pixel_um, where=reddish)
    black = _dots(od.min(axis=-1), BLACK_DOT_OD, pixel_um, where=None)
    return red, black


def _tissue(od: FloatArray, pixel_um: float) -> BoolArray:
    """Tell tissue from gaps inside a field: mean OD above 0.02, smoothed over a cell's width."""
    mean = od.mean(axis=-1)
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


def _shrink(field: U8Array, factor: int) -> U8Array:
    """Average blocks of ``factor`` × ``factor`` pixels."""
    if factor < 2:
        return field
    rows, columns = field.shape[0] // factor, field.shape[1] // factor
    cut = field[: rows * factor, : columns * factor].astype(np.float32)
    blocks = cut.reshape(rows, factor, columns, factor, 3).mean(axis=(1, 3))
    return np.asarray(np.rint(blocks), dtype=np.uint8)
