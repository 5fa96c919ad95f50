"""Find annotated slides, and open them with the pixel size that they or the user state."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from pathlib import Path, PureWindowsPath
from typing import Any

from pathology.config import load_config
from pathology.errors import PathologyError, ReasonCode, SlideError
from pathology.training.classnames import squeeze
from pathology.training.problems import Problems
from pathology.training.specs import QuPathCellsSpec, RegionsSpec
from pathology.wsi import Slide, open_slide
from pathology.wsi.discover import FLAT_SUFFIXES, SLIDE_SUFFIXES

__all__ = [
    "MPP_TOLERANCE",
    "find_annotations",
    "is_name_of",
    "open_annotated",
    "opened",
    "stated_image",
]

#: A pixel size that is stated twice may differ by this share; scanners' own figures differ by less.
MPP_TOLERANCE = 0.05
#: Coarser slides do not show what a cell's outline is: half of the model's pixels would be made up.
MAX_CELL_MPP = 1.0
#: Smallest side of an annotated image, µm; below, there is no whole cell in it.
MIN_SIDE_UM = 20.0
#: Where the writers of GeoJSON put the name of the image, in lower case without separators.
_IMAGE_KEYS = ("image", "imagename", "imagefile", "slide", "slideid", "slidename")
#: What this program appends to a slide's name to make its id.
_ID_TAIL = re.compile(r"-[0-9a-f]{10}$")
_GEOJSON = (".geojson", ".json", ".geojson.gz", ".json.gz")
#: Slides that one process keeps open.
_OPEN_SLIDES = 4


def find_annotations(
    spec: QuPathCellsSpec | RegionsSpec, problems: Problems
) -> list[tuple[Path, Path]]:
    """Find GeoJSON files and the images they belong to.

    Parameters
    ----------
    spec
        Where to look.
    problems
        Takes what is missing.

    Returns
    -------
    list of tuple
        (GeoJSON file, image), sorted.
    """
    root = spec.path
    if root.is_file():
        files = [root]
    elif root.is_dir():
        files = sorted(path for path in root.rglob("*") if _is_geojson(path))
    else:
        problems.add(root, "no such file or folder", "Check the source's path.")
        return []
    if not files:
        problems.add(root, "holds no GeoJSON file", "Export annotations from QuPath as GeoJSON.")
    pairs = []
    for file in files:
        folder = file.parent
        if spec.images is not None:
            folder = spec.images / (folder.relative_to(root) if root.is_dir() else ".")
        found = _images(folder, _stem(file))
        if len(found) == 1:
            pairs.append((file, found[0]))
        elif found:
            names = ", ".join(path.name for path in found[:4])
            problems.add(file, f"fits several images ({names})", "Name it after the whole file.")
        else:
            problems.add(
                file,
                f"no image named {_stem(file)!r} in {folder}",
                "Put the image there under the name of the GeoJSON file, or set images.",
            )
    return pairs


def open_annotated(
    image: Path, spec: QuPathCellsSpec | RegionsSpec, problems: Problems
) -> tuple[Slide | None, float | None]:
    """Open a slide with the pixel size of its header, or the source's where it states none.

    Parameters
    ----------
    image
        The slide or image.
    spec
        Names the pixel size, if anything does.
    problems
        Takes everything that is wrong.

    Returns
    -------
    tuple
        The open slide, or None where it cannot be used; and the pixel size (µm/px) that had to be
        given, or None.
    """
    given: float | None = None
    try:
        try:
            slide = _open_with(image, None)
        except SlideError as error:
            if error.reason != ReasonCode.MISSING_MPP:
                raise
            if spec.mpp is None:
                fix = "Give the source's mpp (µm per pixel)."
                problems.add(image, "the header states no pixel size", fix)
                return None, None
            given = spec.mpp
            slide = _open_with(image, given)
    except PathologyError as error:
        problems.add_error(image, error)
        return None, None
    spacing = slide.info.spacing
    if spec.mpp is not None and abs(spacing.mean / spec.mpp - 1) > MPP_TOLERANCE:
        problems.add(
            image,
            f"the header states {spacing.mean:g} µm per pixel, the source {spec.mpp:g}",
            "Correct the source's mpp, or leave it out to use each header.",
        )
    elif isinstance(spec, QuPathCellsSpec) and spacing.mean > MAX_CELL_MPP:
        problems.add(
            image,
            f"{spacing.mean:g} µm per pixel is too coarse for cells (at most {MAX_CELL_MPP:g})",
            "Annotate cells on a finer scan.",
        )
    else:
        return slide, given
    slide.close()
    return None, None


def _open_with(image: Path, mpp: float | None) -> Slide:
    reading = load_config().reading.model_copy(update={"min_side_um": MIN_SIDE_UM})
    return open_slide(image, mpp=mpp, reading=reading)


_open_slides: OrderedDict[tuple[int, Path, float | None], Slide] = OrderedDict()


def opened(image: Path, mpp: float | None) -> Slide:
    """Return the slide, open; it stays open in this process for the next call.

    Parameters
    ----------
    image
        The slide.
    mpp
        Pixel size in µm/px where the header states none.
    """
    # A handle must not be shared with the process that this one was forked from.
    key = (os.getpid(), image, mpp)
    if key not in _open_slides:
        _open_slides[key] = _open_with(image, mpp)
        while len(_open_slides) > _OPEN_SLIDES:
            _, oldest = _open_slides.popitem(last=False)
            oldest.close()
    _open_slides.move_to_end(key)
    return _open_slides[key]


def _is_geojson(path: Path) -> bool:
    return path.name.casefold().endswith(_GEOJSON) and path.is_file() and path.name[0] != "."


def _stem(file: Path) -> str:
    name = file.name
    for suffix in sorted(_GEOJSON, key=len, reverse=True):
        if name.casefold().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _images(folder: Path, stem: str) -> list[Path]:
    """Return the images of a name: with their suffix in it, or else without."""
    if not folder.is_dir():
        return []
    known = SLIDE_SUFFIXES | FLAT_SUFFIXES
    images = [path for path in folder.iterdir() if path.suffix.casefold() in known]
    exact = sorted(path for path in images if path.name == stem)
    return exact or sorted(path for path in images if path.stem == stem)


def stated_image(about: dict[str, Any]) -> str:
    """Return the name of the image that a GeoJSON file says it belongs to.

    Parameters
    ----------
    about
        The properties of its collection.

    Returns
    -------
    str
        Empty where it names none.

    Examples
    --------
    >>> stated_image({"imageName": "a.svs"}), stated_image({})
    ('a.svs', '')
    """
    for key, value in about.items():
        if squeeze(key) in _IMAGE_KEYS and isinstance(value, str):
            return value.strip()
    return ""


def is_name_of(named: str, path: Path) -> bool:
    """Tell whether a name, in whatever form, is that of a slide.

    Parameters
    ----------
    named
        File name with or without folder and suffix, or the slide's id in a run of this program.
    path
        The slide.

    Examples
    --------
    >>> is_name_of("/scans/A1.svs", Path("a1.svs")), is_name_of("A2", Path("a1.svs"))
    (True, False)
    """
    name = PureWindowsPath(named).name.casefold()  # takes / and \\ for separators
    own = {path.name.casefold(), path.stem.casefold()}
    return name in own or _ID_TAIL.sub("", name) in own
