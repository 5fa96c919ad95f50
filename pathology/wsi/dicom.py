"""Read the few fields of a DICOM file that say which files are one slide.

A slide in DICOM is a series: one file per level, label and overview. Only the series' identifier
and the kind of image are read here; pixels are OpenSlide's business.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["DicomSeries", "read_series"]

#: Fields of the data set, by group and element (DICOM PS3.6).
_IMAGE_TYPE = (0x0008, 0x0008)
_SERIES_UID = (0x0020, 0x000E)
_TRANSFER_SYNTAX = (0x0002, 0x0010)
_IMPLICIT_LITTLE = "1.2.840.10008.1.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
#: Value representations whose explicit length has 32 bits after 2 reserved bytes (PS3.5 §7.1.2).
_LONG_VR = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT"})
_LONG_VR |= {b"SV", b"UV"}
_UNDEFINED = 0xFFFFFFFF
_ITEM_GROUP = 0xFFFE
_ITEM_END, _SEQUENCE_END = 0xE00D, 0xE0DD
#: Longer values are none of the fields above.
_MAX_VALUE = 1024
#: Deeper nesting than this is not a slide's header but a damaged file.
_MAX_DEPTH = 16


@dataclass(frozen=True, kw_only=True)
class DicomSeries:
    """Say which series a file belongs to.

    Parameters
    ----------
    uid
        SeriesInstanceUID.
    volume
        The file holds a level of the slide, not its label, overview or thumbnail.
    """

    uid: str
    volume: bool


def read_series(path: Path) -> DicomSeries | None:
    """Read the series of a DICOM file.

    Parameters
    ----------
    path
        A DICOM file with preamble (PS3.10), little endian, not deflated.

    Returns
    -------
    DicomSeries or None
        None where the file cannot be read, is not such a file, or names no series.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (OSError, struct.error, RecursionError):
        return None


def _read(file: BinaryIO) -> DicomSeries | None:
    if file.read(132)[128:] != b"DICM":
        return None
    explicit = True
    image_type = ""
    while True:
        position = file.tell()
        group, element = struct.unpack("<HH", file.read(4))
        if (group, element) > _SERIES_UID:
            return None
        # The file's own header is always explicit; what follows may not be.
        length, _ = _read_length(file, explicit=explicit or group == 0x0002)
        if file.tell() <= position:
            return None
        if length == _UNDEFINED:
            _skip_sequence(file, explicit=explicit, depth=0)
            continue
        if length > _MAX_VALUE:
            file.seek(length, 1)
            continue
        value = file.read(length)
        text = value.decode("ascii", errors="replace").strip("\0 ")
        if (group, element) == _TRANSFER_SYNTAX:
            if text in (_DEFLATED, _BIG_ENDIAN):
                return None
            explicit = text != _IMPLICIT_LITTLE
        elif (group, element) == _IMAGE_TYPE:
            image_type = text
        elif (group, element) == _SERIES_UID:
            volume = "VOLUME" in image_type.split("\\")
            return DicomSeries(uid=text, volume=volume) if text else None


def _read_length(file: BinaryIO, *, explicit: bool) -> tuple[int, bytes]:
    """Read what stands between a tag and its value; return the value's length and kind."""
    if not explicit:
        return struct.unpack("<I", file.read(4))[0], b""
    kind = file.read(2)
    if kind in _LONG_VR:
        return struct.unpack("<xxI", file.read(6))[0], kind
    return struct.unpack("<H", file.read(2))[0], kind


def _skip_sequence(file: BinaryIO, *, explicit: bool, depth: int) -> None:
    """Skip a sequence of undefined length, standing at its first item."""
    if depth > _MAX_DEPTH:
        raise RecursionError("sequences nested too deeply")
    while True:
        group, element, length = struct.unpack("<HHI", file.read(8))
        if group != _ITEM_GROUP or element == _SEQUENCE_END:
            return
        if length != _UNDEFINED:
            file.seek(length, 1)
            continue
        _skip_item(file, explicit=explicit, depth=depth)


def _skip_item(file: BinaryIO, *, explicit: bool, depth: int) -> None:
    while True:
        group, element = struct.unpack("<HH", file.read(4))
        if (group, element) == (_ITEM_GROUP, _ITEM_END):
            file.seek(4, 1)
            return
        length, kind = _read_length(file, explicit=explicit)
        if length == _UNDEFINED:
            # A sequence of unknown kind is written implicitly (PS3.5 §6.2.2).
            _skip_sequence(file, explicit=explicit and kind != b"UN", depth=depth + 1)
        else:
            file.seek(length, 1)
