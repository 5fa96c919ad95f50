"""Open a slide, whatever it is, or say what is wrong with it."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from PIL import ImageCms

from pathology.config import ReadingConfig, load_config
from pathology.errors import ReasonCode, SlideError
from pathology.geometry import Box0, Size0, Spacing
from pathology.wsi.array import ArraySource
from pathology.wsi.choosing import choose_source
from pathology.wsi.colour import to_srgb
from pathology.wsi.flat import load_flat
from pathology.wsi.reader import SourceSlide
from pathology.wsi.slide import MppSource, Slide, SlideInfo
from pathology.wsi.spacing import (
    RawSpacing,
    check_size,
    from_properties,
    given_spacing,
    resolve_spacing,
)
from pathology.wsi.vendor import OpenSlideSource, detect_vendor

__all__ = ["SAFE_PROPERTIES", "open_slide"]

#: The scanner's properties that say how the image was made and nothing about whose it is or when it
#: was made: no comments, dates, users, barcodes, file names or serial numbers.
SAFE_PROPERTIES: tuple[str, ...] = (
    "openslide.vendor",
    "openslide.objective-power",
    "openslide.mpp-x",
    "openslide.mpp-y",
    "openslide.level-count",
    "aperio.AppMag",
    "aperio.MPP",
    "dicom.Manufacturer",
    "dicom.ManufacturerModelName",
    "hamamatsu.Product",
    "hamamatsu.SourceLens",
    "leica.device-model",
    "leica.objective",
    "mirax.GENERAL.OBJECTIVE_MAGNIFICATION",
    "mirax.NONHIERLAYER_0_SECTION.SCANNER_HARDWARE_VERSION",
    "philips.DICOM_MANUFACTURER",
    "tiff.Make",
    "tiff.Model",
    "ventana.Magnification",
    "ventana.ScannerModel",
)
#: Longer values are cut: no honest one is.
_MAX_PROPERTY_CHARS = 200
#: The magic numbers of all formats lie within this many bytes.
_SIGNATURE_BYTES = 16
_HASH_CHUNK = 1 << 20


def open_slide(
    path: Path | str,
    *,
    mpp: float | tuple[float, float] | Spacing | None = None,
    mpp_source: MppSource = "argument",
    reading: ReadingConfig | None = None,
    cache_mb: int = 64,
) -> Slide:
    """Open a slide of any format of OpenSlide, or a flat image (JPEG, PNG, BMP, TIFF).

    Parameters
    ----------
    path
        The file. Of slides with companion files: the ``.mrxs``, ``.vms`` or ``.vmu`` file, or any
        ``.dcm`` file of the series.
    mpp
        Pixel size of level 0 in µm/px, where it should not come from the header: one number,
        (x, y), or a ``Spacing``. Flat images other than TIFF always need it.
    mpp_source
        Where ``mpp`` comes from: ``argument`` or ``manifest``.
    reading
        Plausible pixel sizes and use of ICC profiles; None: the default configuration.
    cache_mb
        Size of the cache of decoded tiles, in MB.

    Returns
    -------
    Slide
        Close it after use, or use it in a ``with`` block.

    Raises
    ------
    SlideError
        ``file_missing``, ``permission_denied``, ``unreadable`` or ``unsupported_format``.
    NotScorable
        ``missing_mpp``, ``implausible_mpp``, ``anisotropic_mpp`` or ``too_small``.

    Examples
    --------
    >>> open_slide("nowhere.svs")
    Traceback (most recent call last):
    pathology.errors.SlideError: nowhere.svs: no such file. Check the path.
    """
    path = Path(path)
    reading = reading if reading is not None else load_config().reading
    start = _check_file(path)
    given = given_spacing(mpp, mpp_source) if mpp is not None else None
    source_of_mpp: MppSource = mpp_source if given is not None else "header"
    opener = _open_flat if detect_vendor(path) is None else _open_vendor
    return opener(path, start, given, source_of_mpp, reading, cache_mb)


def _check_file(path: Path) -> bytes:
    """Refuse what is no readable file, and return its first bytes."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise _unsupported(path, "a folder, not a slide")
        if not stat.S_ISREG(status.st_mode):
            raise _unsupported(path, "not a regular file")
        with path.open("rb") as file:
            start = file.read(_SIGNATURE_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        link = path.is_symlink()
        what = "a link to a file that does not exist" if link else "no such file"
        raise SlideError(
            f"{path}: {what}", reason=ReasonCode.FILE_MISSING, fix="Check the path."
        ) from error
    except PermissionError as error:
        raise SlideError(
            f"{path}: no permission to read the file",
            reason=ReasonCode.PERMISSION_DENIED,
            fix="Grant read permission, or run as a user who has it.",
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise SlideError(
            f"{path}: cannot be read ({error})",
            reason=ReasonCode.UNREADABLE,
            fix="Check the disk or network share, and copy the file again.",
        ) from error
    if not start:
        raise SlideError(
            f"{path}: the file is empty (0 bytes)",
            reason=ReasonCode.UNREADABLE,
            fix="Copy the file again from the scanner or archive.",
        )
    return start


def _unsupported(path: Path, what: str) -> SlideError:
    return SlideError(
        f"{path}: {what}",
        reason=ReasonCode.UNSUPPORTED_FORMAT,
        fix="Give the slide's file itself; folders are searched by `her2 score`.",
    )


def _open_vendor(
    path: Path,
    start: bytes,  # noqa: ARG001 - same signature as _open_flat
    given: RawSpacing | None,
    source_of_mpp: MppSource,
    reading: ReadingConfig,
    cache_mb: int,
) -> Slide:
    general = OpenSlideSource(path, cache_mb=cache_mb)
    properties = general.properties
    level = general.levels[0]
    size = Size0(width=level.width, height=level.height)
    spacing = resolve_spacing(
        path, given=given, header=from_properties(properties), reading=reading
    )
    check_size(path, size, spacing, reading)
    profile = _vendor_profile(path, general, reading)
    colour = to_srgb(profile, path=path) if profile is not None and reading.icc else None
    source, reader, note = choose_source(path, general, reader=reading.reader, cache_mb=cache_mb)
    info = SlideInfo(
        path=path,
        vendor=properties.get("openslide.vendor", "unknown"),
        size=size,
        bounds=_bounds(properties, size),
        spacing=spacing,
        mpp_source=source_of_mpp,
        quickhash=properties.get("openslide.quickhash-1") or _file_hash(path),
        icc_profile=_icc_state(profile, reading),
        properties=_safe(properties),
        reader=reader,
        reader_note=note,
    )
    return SourceSlide(info, source, colour=colour)


def _open_flat(
    path: Path,
    start: bytes,
    given: RawSpacing | None,
    source_of_mpp: MppSource,
    reading: ReadingConfig,
    cache_mb: int,  # noqa: ARG001 - a flat image is in memory already
) -> Slide:
    image = load_flat(path, start=start)
    height, width = image.pixels.shape[:2]
    size = Size0(width=width, height=height)
    spacing = resolve_spacing(path, given=given, header=image.spacing, reading=reading)
    check_size(path, size, spacing, reading)
    info = SlideInfo(
        path=path,
        vendor="image",
        size=size,
        bounds=Box0(x=0, y=0, width=width, height=height),
        spacing=spacing,
        mpp_source=source_of_mpp,
        quickhash=_file_hash(path),
        icc_profile=_icc_state(image.icc, reading),
    )
    colour = to_srgb(image.icc, path=path) if image.icc is not None and reading.icc else None
    return SourceSlide(info, ArraySource(image.pixels), colour=colour)


def _vendor_profile(path: Path, source: OpenSlideSource, reading: ReadingConfig) -> bytes | None:
    try:
        profile = source.handle.color_profile
    except (OSError, ImageCms.PyCMSError) as error:
        if not reading.icc:
            return b""  # there is one, and nobody asks what it says
        raise SlideError(
            f"{path}: the ICC profile cannot be read ({error})",
            reason=ReasonCode.UNREADABLE,
            fix="Use the colours as they are: --set reading.icc=false.",
        ) from error
    return profile.tobytes() if profile is not None else None


def _icc_state(
    profile: bytes | None, reading: ReadingConfig
) -> Literal["none", "recorded", "applied"]:
    if profile is None:
        return "none"
    return "applied" if reading.icc else "recorded"


def _bounds(properties: Mapping[str, str], size: Size0) -> Box0:
    """Read the scanned part of level 0; the whole level where the header names none that fits."""
    whole = Box0(x=0, y=0, width=size.width, height=size.height)
    names = ("x", "y", "width", "height")
    try:
        values = [int(properties[f"openslide.bounds-{name}"]) for name in names]
        x, y, width, height = values
        return Box0(x=x, y=y, width=width, height=height).intersection(whole) or whole
    except (KeyError, ValueError):
        return whole


def _safe(properties: Mapping[str, str]) -> dict[str, str]:
    return {
        name: properties[name][:_MAX_PROPERTY_CHARS]
        for name in SAFE_PROPERTIES
        if name in properties
    }


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"
