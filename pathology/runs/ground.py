"""What a slide's cells lie on, kept beside them, so that a slide can be judged again without it.

``tissue.png`` says where tissue is and what was left out, ``backdrop.jpg`` shows the slide from
afar as the pictures need it (the scanned part only: no label, no macro image), ``regions.geojson``
holds the annotated regions as they were used, without names or notes of whoever drew them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
import shapely
from PIL import Image
from shapely.geometry import MultiPolygon, Polygon, mapping

from pathology.errors import ReasonCode, SlideError
from pathology.geometry import Box0, Spacing
from pathology.runs.blocks import OutputFile
from pathology.runs.slide_folder import SlideFolder
from pathology.tissue import ExcludedKind, RegionKind, Regions, TissueMask, region_kind
from pathology.types import U8Array

__all__ = [
    "CLASS_NAMES",
    "Ground",
    "decode_backdrop",
    "encode_backdrop",
    "read_ground",
    "write_ground",
]

#: Bits of a pixel of ``tissue.png``: tissue, then why a place was left out.
_BITS: Final[tuple[str, ...]] = ("tissue", "pen", "black", "dust", "edge", "smear", "no_data")
#: Colours for people who open the file; programs read the bits.
_COLOURS: Final = {
    "tissue": (233, 196, 212),
    "pen": (60, 90, 200),
    "black": (20, 20, 20),
    "dust": (150, 120, 60),
    "edge": (120, 160, 120),
    "smear": (200, 190, 120),
    "no_data": (150, 150, 160),
}
#: As near to the pixels as a picture of 1,200 px can show, at a tenth of their size.
_QUALITY: Final = 90
#: How kinds of regions are written, as QuPath names them.
CLASS_NAMES: Final = {
    RegionKind.TUMOUR: "Tumor",
    RegionKind.IGNORE: "Ignore*",
    RegionKind.EXCLUDE: "Exclude",
    RegionKind.IN_SITU: "In situ",
    RegionKind.CONTROL: "Control",
}
_FIX: Final = "Score the slide again."


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Hold what a slide's cells lie on.

    Parameters
    ----------
    tissue
        Where tissue was found, before regions were looked at.
    excluded
        What was taken out, by kind; kinds with no pixel are absent.
    backdrop
        (H, W, 3) uint8: the slide from afar, over the masks' box.
    regions
        Annotated regions as they were used; None where there were none.
    """

    tissue: TissueMask
    excluded: Mapping[ExcludedKind, TissueMask]
    backdrop: U8Array
    regions: Regions | None = None


def encode_backdrop(rgb: U8Array) -> bytes:
    """Return the content of ``backdrop.jpg``; the same pixels give the same bytes.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8.

    Examples
    --------
    >>> decode_backdrop(encode_backdrop(np.full((4, 6, 3), 240, dtype=np.uint8))).shape
    (4, 6, 3)
    """
    stream = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(rgb))
    image.save(stream, format="JPEG", quality=_QUALITY, subsampling=0)
    return stream.getvalue()


def decode_backdrop(content: bytes) -> U8Array:
    """Return the pixels of a ``backdrop.jpg`` as (H, W, 3) uint8."""
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        return np.asarray(image.convert("RGB"))


def write_ground(
    folder: SlideFolder,
    *,
    tissue: TissueMask,
    excluded: Mapping[ExcludedKind, TissueMask],
    backdrop: bytes,
    regions: Regions | None,
) -> list[OutputFile]:
    """Write ``tissue.png``, ``backdrop.jpg`` and, where there are regions, ``regions.geojson``.

    Parameters
    ----------
    folder
        The slide's folder, which must exist.
    tissue, excluded, regions
        As in :class:`Ground`.
    backdrop
        What :func:`encode_backdrop` returned.

    Returns
    -------
    list of OutputFile
        What was written.

    Raises
    ------
    SlideError
        If the disk is full or the folder cannot be written.
    """
    folder.write(folder.tissue, _masks_png(tissue, excluded))
    folder.write(folder.backdrop, backdrop)
    written = [folder.tissue, folder.backdrop]
    if regions is not None:
        folder.write(folder.regions, _regions_geojson(regions))
        written.append(folder.regions)
    return [OutputFile(name=path.name) for path in written]


def read_ground(folder: SlideFolder, *, box: Box0, spacing: Spacing) -> Ground:
    """Read what :func:`write_ground` wrote.

    Parameters
    ----------
    folder
        The slide's folder.
    box
        Level-0 pixels that masks and backdrop cover: ``grid.box`` of the result.
    spacing
        Size of a level-0 pixel in µm.

    Raises
    ------
    SlideError
        If a file is missing or damaged.
    """
    try:
        with Image.open(folder.tissue, formats=("PNG",)) as image:
            bits = np.asarray(image)
        backdrop = decode_backdrop(folder.backdrop.read_bytes())
        regions = None
        if folder.regions.exists():
            regions = _read_regions(folder.regions.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, shapely.errors.ShapelyError) as error:
        raise SlideError(
            f"{folder.path}: tissue.png, backdrop.jpg or regions.geojson cannot be read ({error})",
            reason=ReasonCode.UNREADABLE,
            fix=_FIX,
        ) from error
    if bits.ndim != 2 or bits.dtype != np.uint8 or bits.size == 0 or int(bits.max()) > 127:
        raise SlideError(
            f"{folder.tissue}: is no map of tissue", reason=ReasonCode.UNREADABLE, fix=_FIX
        )
    masks = {
        name: TissueMask(mask=(bits & (1 << bit)) > 0, box=box, spacing=spacing)
        for bit, name in enumerate(_BITS)
    }
    tissue = masks.pop("tissue")
    excluded: dict[Any, TissueMask] = {k: mask for k, mask in masks.items() if mask.mask.any()}
    return Ground(tissue=tissue, excluded=excluded, backdrop=backdrop, regions=regions)


def _masks_png(tissue: TissueMask, excluded: Mapping[ExcludedKind, TissueMask]) -> bytes:
    bits = tissue.mask.astype(np.uint8)
    for kind, mask in excluded.items():
        bits |= mask.mask.astype(np.uint8) << _BITS.index(kind)
    # Not from an array with a mode: the values are the indices of the palette.
    image = Image.frombytes("P", (bits.shape[1], bits.shape[0]), bits.tobytes())
    image.putpalette([part for code in range(128) for part in _colour(code)])
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=False)
    return stream.getvalue()


def _colour(code: int) -> tuple[int, int, int]:
    """Return the colour of the strongest statement of a pixel: what was left out, then tissue."""
    held = [name for bit, name in enumerate(_BITS) if code & (1 << bit)]
    return _COLOURS[held[-1]] if held else (255, 255, 255)


def _regions_geojson(regions: Regions) -> bytes:
    features = [
        {
            "type": "Feature",
            "geometry": mapping(shape),
            "properties": {"classification": {"name": CLASS_NAMES[kind]}},
        }
        for kind, shape in sorted(regions.shapes.items())
    ]
    content = {"type": "FeatureCollection", "features": features}
    return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)


def _read_regions(content: bytes) -> Regions:
    shapes: dict[RegionKind, Polygon | MultiPolygon] = {}
    for feature in orjson.loads(content)["features"]:
        kind = region_kind(feature["properties"]["classification"]["name"])
        shape = shapely.geometry.shape(feature["geometry"])
        if kind is None or not isinstance(shape, Polygon | MultiPolygon):
            raise ValueError("not regions as this program writes them")
        shapes[kind] = shape
    return Regions(shapes=shapes)
