"""Folders of patches with one label each: found, checked, and read when they are needed."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pathology.config import load_config
from pathology.errors import PathologyError
from pathology.geometry import Box0
from pathology.stain import white_point
from pathology.training.classnames import PATTERN_LABELS, SCORE_LABELS
from pathology.training.data.patchlabels import Labelled, label_patches
from pathology.training.data.slides import MPP_TOLERANCE
from pathology.training.data.split import Part, held_out
from pathology.training.problems import Problems
from pathology.training.specs import PatchesSpec
from pathology.types import BoolArray, U8Array
from pathology.wsi import ArraySlide
from pathology.wsi.flat import FlatImage, load_flat
from pathology.wsi.missing import flatten

__all__ = ["MAX_PATCH_PX", "Patch", "PatchFile", "PatchSource", "load_patches"]

_LOG = logging.getLogger(__name__)
#: A larger image is a slide, not a patch; it would be decoded as a whole at every step.
MAX_PATCH_PX = 4096 * 4096
#: So many patches of a group, spread evenly over it, tell the colour of its glass.
WHITE_PATCHES = 64
#: A TIFF's resolution tags outside this range (µm/px) say how large to print.
_PLAUSIBLE_MPP = (0.05, 10.0)
_SIGNATURE_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class Patch:
    """Hold one patch.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8.
    label
        Index into the label names of its source.
    name
        What to call it in messages.
    mpp
        Pixel size, µm/px.
    white
        R, G, B of the glass, grey levels.

    Raises
    ------
    ValueError
        If the pixels are not (H, W, 3) uint8, or the label or the pixel size is not possible.

    Examples
    --------
    >>> Patch(rgb=np.zeros((4, 4, 3), np.uint8), label=2, name="a.png", mpp=0.5).label
    2
    """

    rgb: U8Array
    label: int
    name: str
    mpp: float
    white: tuple[float, float, float] = (255.0, 255.0, 255.0)

    def __post_init__(self) -> None:
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.rgb.dtype != np.uint8:
            raise ValueError(
                f"{self.name}: need (H, W, 3) uint8, not {self.rgb.shape} {self.rgb.dtype}"
            )
        if self.label < 0 or not self.mpp > 0:
            raise ValueError(f"{self.name}: label {self.label} or pixel size {self.mpp} is wrong")


@dataclass(frozen=True, kw_only=True)
class PatchFile:
    """Say where a patch lies and what it is; its pixels are read on demand.

    Parameters
    ----------
    path
        The image file.
    name
        Path relative to the source's folder, with ``/``.
    label
        Index into the label names of its source.
    group
        Patient or slide; never split between training and hold-out.
    mpp
        Pixel size of the file, µm/px.
    target_mpp
        Pixel size that it is read at.
    white
        R, G, B of the glass.
    """

    path: Path
    name: str
    label: int
    group: str
    mpp: float
    target_mpp: float
    white: tuple[float, float, float]

    def read(self) -> Patch:
        """Decode the patch.

        Raises
        ------
        SlideError
            If the file was damaged or removed since it was checked.
        """
        rgb = _rgb(_decode(self.path))
        if self.target_mpp != self.mpp:
            height, width = rgb.shape[:2]
            whole = Box0(x=0, y=0, width=width, height=height)
            rgb = ArraySlide(rgb, mpp=self.mpp).read(whole, mpp=self.target_mpp)
        return Patch(
            rgb=rgb, label=self.label, name=self.name, mpp=self.target_mpp, white=self.white
        )


@dataclass(frozen=True, kw_only=True)
class PatchSource:
    """Hold the patches of a source.

    The white point is the one of the specification where it names one. Else it is estimated once
    for each group (patient or slide) where groups are named, and once for the source otherwise:
    from patches of the group side by side at the pixel size of the overview, with the function that
    scoring uses. A white point for each patch would make one full of tissue look paler than it is.

    Parameters
    ----------
    spec
        The specification.
    patches
        The patches, by name.

    Examples
    --------
    >>> spec = PatchesSpec(path="patches", mpp=0.5)
    >>> PatchSource(spec=spec, patches=()).label_names
    ('0', '1+', '2+', '3+', 'no_tumour')
    """

    spec: PatchesSpec
    patches: tuple[PatchFile, ...]

    @property
    def label_names(self) -> tuple[str, ...]:
        """What labels stand for."""
        return PATTERN_LABELS if self.spec.task == "pattern" else SCORE_LABELS

    def __len__(self) -> int:
        return len(self.patches)

    def patch(self, index: int) -> Patch:
        """Decode one patch.

        Parameters
        ----------
        index
            From 0.
        """
        return self.patches[index].read()


def load_patches(spec: PatchesSpec, *, part: Part = "all") -> PatchSource:
    """Find the patches of a source, check every one of them, and divide them.

    Each file is decoded once, so that a damaged one is found before the training begins.

    Parameters
    ----------
    spec
        The specification.
    part
        Everything, what is trained on, or what is held out.

    Returns
    -------
    PatchSource
        At least one patch.

    Raises
    ------
    TrainingDataError
        Everything that is wrong: no or empty folder, a patch without label, damaged or outsized
        images, sizes or pixel sizes that differ, nothing to hold out.

    Examples
    --------
    >>> load_patches(PatchesSpec(path="no-such-folder", mpp=0.5))
    Traceback (most recent call last):
    pathology.training.problems.TrainingDataError: 1 problem with the training input:
      no-such-folder: no such folder. Check the source's path.
    """
    problems = Problems()
    labelled = label_patches(spec, problems)
    thumbs = _check_images(spec, labelled, problems)
    groups = {item.group for item in labelled}
    if part != "all" and spec.holdout_share > 0 and len(groups) == 1:
        problems.add(
            spec.path,
            f"all patches are of one group ({groups.pop()[:60]!r}): none can be held out",
            "Correct group, add patients, or set holdout_share: 0.",
        )
    problems.raise_any()
    whites = _whites(spec, labelled, thumbs)
    out = held_out(groups, spec.holdout_share)
    wanted = [
        item for item in labelled if part == "all" or (item.group in out) == (part == "holdout")
    ]
    return PatchSource(
        spec=spec,
        patches=tuple(
            PatchFile(
                path=item.path,
                name=item.name,
                label=item.label,
                group=item.group,
                mpp=spec.mpp,
                target_mpp=spec.target_mpp or spec.mpp,
                white=whites[_white_group(spec, item)],
            )
            for item in wanted
        ),
    )


def _decode(path: Path) -> FlatImage:
    with path.open("rb") as file:
        start = file.read(_SIGNATURE_BYTES)
    return load_flat(path, start=start, max_px=MAX_PATCH_PX)


def _rgb(image: FlatImage) -> U8Array:
    """Drop alpha, laid on white."""
    pixels = image.pixels
    if pixels.shape[2] == 4:
        pixels = flatten(np.ascontiguousarray(pixels))[..., :3]
    return np.ascontiguousarray(pixels)


def _check_images(
    spec: PatchesSpec, labelled: Sequence[Labelled], problems: Problems
) -> dict[str, list[U8Array]]:
    """Decode every patch; return small pictures of some of them by white group."""
    chosen = _for_white(spec, labelled)
    thumbs: dict[str, list[U8Array]] = defaultdict(list)
    sizes: dict[Path, tuple[int, int]] = {}
    factor = max(1, round(load_config().reading.overview_mpp / spec.mpp))
    for item in labelled:
        try:
            image = _decode(item.path)
        except PathologyError as error:
            problems.add_error(item.path, error)
            continue
        except OSError as error:
            problems.add(item.path, f"cannot be read ({error})", "Check the file.")
            continue
        height, width = image.pixels.shape[:2]
        sizes[item.path] = (width, height)
        _check_spacing(spec, item.path, image, problems)
        if item.path in chosen:
            small = Image.fromarray(_rgb(image)).reduce(factor)
            thumbs[_white_group(spec, item)].append(np.asarray(small))
    _check_sizes(spec, sizes, problems)
    return thumbs


def _check_spacing(spec: PatchesSpec, path: Path, image: FlatImage, problems: Problems) -> None:
    if image.spacing is None:
        return
    stated = (image.spacing.x + image.spacing.y) / 2
    low, high = _PLAUSIBLE_MPP
    if low <= stated <= high and abs(stated / spec.mpp - 1) > MPP_TOLERANCE:
        problems.add(
            path,
            f"its header states {stated:g} µm per pixel, the source {spec.mpp:g}",
            "Correct the source's mpp, or make a source for each pixel size.",
        )


def _check_sizes(spec: PatchesSpec, sizes: dict[Path, tuple[int, int]], problems: Problems) -> None:
    """Report patches of another size than the rest: most likely, of another magnification."""
    if spec.size_px == "any" or not sizes:
        return
    if spec.size_px is None:
        expected = Counter(sizes.values()).most_common(1)[0][0]
        source = "most patches have"
    else:
        side = spec.size_px
        expected = (side, side) if isinstance(side, int) else side
        source = "the source says"
    for path, size in sizes.items():
        if size != expected:
            problems.add(
                path,
                f"{size[0]} × {size[1]} px, where {source} {expected[0]} × {expected[1]}",
                "Check that all patches have one pixel size; if so, set size_px: any.",
            )


def _white_group(spec: PatchesSpec, item: Labelled) -> str:
    """Return what shares a white point: the named group, or the whole source."""
    return item.group if spec.group is not None or item.group != item.name else ""


def _for_white(spec: PatchesSpec, labelled: Sequence[Labelled]) -> set[Path]:
    """Choose the patches that tell the colour of the glass, spread evenly over each group."""
    if spec.white is not None:
        return set()
    groups: dict[str, list[Path]] = defaultdict(list)
    for item in labelled:
        groups[_white_group(spec, item)].append(item.path)
    return {
        paths[index]
        for paths in groups.values()
        for index in np.linspace(0, len(paths) - 1, min(WHITE_PATCHES, len(paths))).astype(int)
    }


def _whites(
    spec: PatchesSpec, labelled: Iterable[Labelled], thumbs: dict[str, list[U8Array]]
) -> dict[str, tuple[float, float, float]]:
    """Return the white point by white group."""
    if spec.white is not None:
        return dict.fromkeys((_white_group(spec, item) for item in labelled), spec.white)
    found: dict[str, tuple[float, float, float]] = {}
    doubtful, stain = 0, load_config().stain
    for group, pictures in thumbs.items():
        canvas, usable = _side_by_side(pictures)
        white = white_point(canvas, stain, usable=usable)
        found[group] = white.rgb
        doubtful += white.uncertain
    if doubtful:
        _LOG.warning(
            "%s: too little glass in %d of %d groups of patches; the brightest pixels stand in. "
            "Give the source's white if it is known.",
            spec.path,
            doubtful,
            len(found),
        )
    return found


def _side_by_side(pictures: Sequence[U8Array]) -> tuple[U8Array, BoolArray]:
    """Lay pictures in a row, one pixel apart; also return where they are."""
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] + 1 for picture in pictures)
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    usable = np.zeros((height, width), dtype=np.bool_)
    left = 0
    for picture in pictures:
        rows, columns = picture.shape[:2]
        canvas[:rows, left : left + columns] = picture
        usable[:rows, left : left + columns] = True
        left += columns + 1
    return canvas, usable
