"""Find tissue on a slide, what is in its way, the colour of its glass, and its kind of stain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathology.config import Config
from pathology.errors import ReasonCode, RegionReadError
from pathology.geometry import Box0
from pathology.stain import WhitePoint, glass_pixels, white_point
from pathology.tissue.artefacts import find_black, find_pen
from pathology.tissue.dark_field import dark_field_share
from pathology.tissue.finding import ExcludedKind, TissueFinding
from pathology.tissue.lost import lost_tissue
from pathology.tissue.mask import TissueMask
from pathology.tissue.overview import Overview, read_overview
from pathology.tissue.segment import Pieces, features, find_pieces, grow
from pathology.tissue.stain_check import StainCheck, check_stain
from pathology.types import AnyArray, BoolArray, U8Array
from pathology.wsi.slide import Slide

__all__ = ["find_tissue", "least_tissue_mm2"]

#: Side of a probe field of the stain check, in µm.
PROBE_UM = 256.0
#: Pixel size of a probe field, in µm/px, or the slide's own where that is coarser.
PROBE_MPP = 0.5
#: Glass is judged smooth over this distance, so that clear cytoplasm on a fine image is not glass.
GLASS_WINDOW_UM = 24.0
#: The white point is taken this far from tissue, in µm: its blurred margin is not clear glass.
GLASS_MARGIN_UM = 48.0
#: Probe fields looked at together where ``runtime.workers`` leaves it open.
_THREADS = 2
#: Less brown than this share of the stained pixels does not make a stain of nuclei.
NUCLEAR_DAB_BROWN = 0.02


@dataclass(frozen=True, kw_only=True)
class _Masks:
    pieces: Pieces
    pen: BoolArray
    black: BoolArray
    white: WhitePoint


def find_tissue(slide: Slide, config: Config) -> TissueFinding:
    """Find tissue on the overview of a slide.

    The overview is judged in optical density, so that pale unstained tissue is found; ink, black
    areas, dust, edges, smears and ghosts are left out. The white point is measured on the slide's
    own glass. The stain check reads a few fields of the tissue; which ones depends on the mask
    alone.

    Parameters
    ----------
    slide
        The open slide.
    config
        The configuration; sections ``reading``, ``tissue``, ``stain`` and ``runtime`` are used.

    Returns
    -------
    TissueFinding
        Masks, white point, area, stain check, and the reasons for no score, if any.

    Raises
    ------
    SlideError
        If no part of the slide can be decoded.
    """
    view = read_overview(slide, config.reading.overview_mpp)
    dark = dark_field_share(view.rgb, view.data & ~view.unread) if config.stain.check else 0.0
    if dark:
        return _dark_field(view, dark)
    masks = _masks(view, config)
    # Lost tissue stays tissue: its tiles are tried, fail, and are counted as what they are.
    missing = ~view.data & ~view.unread
    lost = lost_tissue(missing, masks.pieces.tissue, pixel_um=view.pixel_um)
    tissue = masks.pieces.tissue | view.unread | lost
    mask = TissueMask(mask=tissue, box=view.box, spacing=view.spacing)
    enough = mask.area_mm2 >= least_tissue_mm2(mask, config)
    stain = StainCheck(kind="unchecked", reason="no tissue")
    if enough:
        stain = _check(slide, view, masks, config)
    reasons = _reasons(mask, stain, masks.white, config, enough=enough)
    return TissueFinding(
        overview=view.rgb,
        box=view.box,
        tissue=mask,
        excluded=_excluded(view, masks, lost),
        white_point=masks.white.rgb,
        tissue_mm2=mask.area_mm2,
        stain=stain,
        flags=_flags(view, masks, stain, config, enough=enough, lost=bool(lost.any())),
        reasons=tuple(code for code, _ in reasons),
        explanations=tuple(text for _, text in reasons),
    )


def _dark_field(view: Overview, share: float) -> TissueFinding:
    """Refuse an image of light on a dark background; nothing on it is taken for tissue."""
    stain = StainCheck(
        kind="not_ihc",
        reason=f"{100 * share:.0f} % of the image is dark and none of it is glass, as in "
        "fluorescence: light on a dark background, not stain on a bright one",
    )
    none = TissueMask(
        mask=np.zeros(view.data.shape, dtype=np.bool_), box=view.box, spacing=view.spacing
    )
    return TissueFinding(
        overview=view.rgb,
        box=view.box,
        tissue=none,
        excluded={},
        white_point=(255.0, 255.0, 255.0),
        tissue_mm2=0.0,
        stain=stain,
        reasons=(ReasonCode.NOT_IHC,),
        explanations=(stain.reason,),
    )


def _masks(view: Overview, config: Config) -> _Masks:
    """Find tissue twice: with a first white point, then with one taken away from the tissue."""
    black = find_black(view.rgb, pixel_um=view.pixel_um)
    usable = view.data & ~view.unread & ~black
    window = max(round(GLASS_WINDOW_UM / view.pixel_um), 3)
    first = white_point(view.rgb, config.stain, usable=usable, window=window)
    pieces, pen = _segment(view, first, usable, config)
    taken = pieces.tissue | pen | pieces.smear | pieces.edge | pieces.dust
    clear = usable & ~grow(taken, GLASS_MARGIN_UM / view.pixel_um)
    second = white_point(view.rgb, config.stain, usable=clear, window=window)
    # Too little glass is left far from the tissue: the first estimate, from all glass, holds.
    white = first if second.uncertain else second
    if white.rgb != first.rgb:
        pieces, pen = _segment(view, white, usable, config)
    return _Masks(pieces=pieces, pen=pen, black=black, white=white)


def _segment(
    view: Overview, white: WhitePoint, usable: BoolArray, config: Config
) -> tuple[Pieces, BoolArray]:
    maps = features(view.rgb, white.rgb, pixel_um=view.pixel_um, smooth_um=config.tissue.smooth_um)
    pen = find_pen(view.rgb, white.rgb, maps, config.stain, pixel_um=view.pixel_um, usable=usable)
    window = max(round(GLASS_WINDOW_UM / view.pixel_um), 3)
    glass = glass_pixels(view.rgb, usable, window=window)
    pieces = find_pieces(
        maps, config.tissue, glass=glass, pixel_um=view.pixel_um, blocked=pen | ~usable
    )
    return pieces, pen


def least_tissue_mm2(mask: TissueMask, config: Config) -> float:
    """Return the limit of ``no_tissue`` in mm².

    A field smaller than four times the configured limit needs a quarter of itself.

    Parameters
    ----------
    mask
        Gives the size of the field.
    config
        The configuration; ``tissue.min_tissue_mm2`` is used.
    """
    return min(config.tissue.min_tissue_mm2, 0.25 * mask.mask.size * mask.pixel_area_mm2)


def _check(slide: Slide, view: Overview, masks: _Masks, config: Config) -> StainCheck:
    if not config.stain.check:
        return StainCheck(kind="unchecked", reason="switched off (stain.check)")
    spacing = slide.info.spacing
    mpp = max(PROBE_MPP, spacing.x, spacing.y)
    fields: list[U8Array] = []
    for box in _probe_boxes(view, masks.pieces.tissue, config.stain.probes):
        try:
            field = slide.read(box, mpp=mpp)
        except RegionReadError:
            continue
        fields.append(_blank(field, box, view, masks))
    if fields:
        return check_stain(
            fields,
            masks.white.rgb,
            config.stain,
            pixel_um=mpp,
            threads=config.runtime.workers or _THREADS,
        )
    # No field could be read: judge the tissue pixels of the overview, as one row.
    pixels = view.rgb[masks.pieces.tissue][np.newaxis]
    return check_stain([pixels], masks.white.rgb, config.stain, pixel_um=view.pixel_um)


def _blank(field: U8Array, box: Box0, view: Overview, masks: _Masks) -> U8Array:
    """Return a field with everything that is not tissue (ink above all) painted as glass."""
    mask = masks.pieces.tissue
    rows = view.box.height, mask.shape[0], box.y - view.box.y, box.height, field.shape[0]
    columns = view.box.width, mask.shape[1], box.x - view.box.x, box.width, field.shape[1]
    where = mask[np.ix_(_mask_index(*rows), _mask_index(*columns))]
    glass = np.rint(np.minimum(masks.white.rgb, 255.0)).astype(np.uint8)
    return np.where(where[..., np.newaxis], field, glass)


def _mask_index(frame: int, pixels: int, start: int, length: int, count: int) -> AnyArray:
    """Return the mask index under the centre of each of a field's rows or columns."""
    centres = start + (np.arange(count) + 0.5) * length / count
    return np.clip((centres * pixels / frame).astype(np.int64), 0, pixels - 1)


def _probe_boxes(view: Overview, tissue: BoolArray, count: int) -> list[Box0]:
    """Spread fields over the tissue: evenly along its pixels in row order, centred on them."""
    rows, columns = np.nonzero(tissue)
    if rows.size == 0 or count == 0:
        return []
    picks = np.unique((np.arange(count) * 2 + 1) * rows.size // (2 * count))
    height, width = tissue.shape
    side_x = min(round(PROBE_UM / view.spacing.x), view.box.width)
    side_y = min(round(PROBE_UM / view.spacing.y), view.box.height)
    boxes: dict[tuple[int, int], Box0] = {}
    for pick in picks:
        x = view.box.x + int((2 * columns[pick] + 1) * view.box.width // (2 * width)) - side_x // 2
        y = view.box.y + int((2 * rows[pick] + 1) * view.box.height // (2 * height)) - side_y // 2
        x = min(max(x, view.box.x), view.box.right - side_x)
        y = min(max(y, view.box.y), view.box.bottom - side_y)
        boxes[x, y] = Box0(x=x, y=y, width=side_x, height=side_y)
    return list(boxes.values())


def _excluded(view: Overview, masks: _Masks, lost: BoolArray) -> dict[ExcludedKind, TissueMask]:
    found: dict[ExcludedKind, BoolArray] = {
        "pen": masks.pen,
        "black": masks.black,
        "dust": masks.pieces.dust,
        "edge": masks.pieces.edge,
        "smear": masks.pieces.smear,
        "no_data": ~view.data & ~view.unread & ~lost,
    }
    return {
        kind: TissueMask(mask=mask, box=view.box, spacing=view.spacing)
        for kind, mask in found.items()
        if mask.any()
    }


def _reasons(
    mask: TissueMask, stain: StainCheck, white: WhitePoint, config: Config, *, enough: bool
) -> list[tuple[ReasonCode, str]]:
    reasons: list[tuple[ReasonCode, str]] = []
    if not enough:
        text = f"{mask.area_mm2:.3f} mm² of tissue found (at least {config.tissue.min_tissue_mm2})"
        reasons.append((ReasonCode.NO_TISSUE, text))
    clipped = _clipped(stain, white, config)
    # The hues of a stretched image are not its stains': it is refused for being stretched alone.
    if stain.kind == "not_ihc" and not clipped:
        reasons.append((ReasonCode.NOT_IHC, stain.reason))
    if clipped:
        glass = " and the glass is saturated" if white.saturated else ""
        text = (
            f"{100 * stain.clipped_share:.0f} % of the tissue pixels are at 0 in a channel{glass}: "
            "the contrast was stretched and densities cannot be measured"
        )
        reasons.append((ReasonCode.CLIPPED_IMAGE, text))
    return reasons


def _clipped(stain: StainCheck, white: WhitePoint, config: Config) -> bool:
    """Tell an image whose contrast was stretched until both ends, or one end badly, were lost."""
    limit = config.stain.clipped_max if white.saturated else config.stain.clipped_alone_max
    return stain.clipped_share > limit


def _flags(
    view: Overview,
    masks: _Masks,
    stain: StainCheck,
    config: Config,
    *,
    enough: bool,
    lost: bool,
) -> tuple[str, ...]:
    flags = {
        "white_point_uncertain": masks.white.uncertain,
        "white_saturated": masks.white.saturated,
        "pen_marks": bool(masks.pen.any()),
        "overview_incomplete": bool(view.unread.any()),
        "no_data_in_tissue": lost,
        "nuclear_dab": stain.brown_share > NUCLEAR_DAB_BROWN
        and stain.nuclear_brown_share > config.stain.nuclear_brown_max,
        "clipped_pixels": stain.clipped_share > config.stain.clipped_flag
        and not _clipped(stain, masks.white, config),
        "stain_unchecked": enough and stain.kind == "unchecked",
    }
    return tuple(sorted(name for name, on in flags.items() if on))
