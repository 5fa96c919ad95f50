"""Lay out the image file directories of a TIFF file, classic or BigTIFF (little-endian)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction

__all__ = [
    "ASCII",
    "HEADER_BYTES",
    "LONG",
    "LONG8",
    "RATIONAL",
    "SHORT",
    "UNDEFINED",
    "Directories",
    "Tag",
    "rational",
]

#: Field types of TIFF 6.0 §2 (LONG8: BigTIFF), and the size of a value in bytes.
SHORT, LONG, RATIONAL, ASCII, UNDEFINED, LONG8 = 3, 4, 5, 2, 7, 16
_TYPE_SIZE = {SHORT: 2, LONG: 4, RATIONAL: 8, ASCII: 1, UNDEFINED: 1, LONG8: 8}
_LETTER = {SHORT: "H", LONG: "I", RATIONAL: "I", LONG8: "Q"}
#: Both kinds of header fit in this many bytes, which are filled in last, when the size is known.
HEADER_BYTES = 16
#: Largest value of an unsigned 32-bit field.
_U32 = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class Tag:
    """Hold one field of a directory.

    Parameters
    ----------
    code
        Number of the tag.
    kind
        Field type, such as :data:`SHORT`.
    values
        Integers (two for each rational), or the bytes of ASCII and UNDEFINED fields.
    """

    code: int
    kind: int
    values: list[int] | bytes

    @property
    def packed(self) -> bytes:
        """The values as they stand in the file."""
        if isinstance(self.values, bytes):
            return self.values
        return struct.pack(f"<{len(self.values)}{_LETTER[self.kind]}", *self.values)


def rational(per_unit: Fraction, um: float) -> list[int]:
    """Express pixels per unit as the two 32-bit integers of a RATIONAL.

    Parameters
    ----------
    per_unit
        Length of the unit in µm.
    um
        Pixel size in µm; its shortest decimal text is taken as its exact meaning.

    Returns
    -------
    list of int
        Numerator and denominator.

    Examples
    --------
    >>> rational(Fraction(10_000), 0.25)
    [40000, 1]
    """
    exact = per_unit / Fraction(repr(float(um)))
    value = exact.limit_denominator(max(1, int(_U32 / max(float(exact), 1.0))))
    return [min(value.numerator, _U32), value.denominator]


class Directories:
    """Lay directories, and their longer values, one after the other.

    Parameters
    ----------
    big
        BigTIFF (8-byte offsets) rather than classic TIFF.
    start
        Length of the file so far; ``content`` is to be appended there.

    Examples
    --------
    >>> directories = Directories(big=False, start=16)
    >>> directories.add([Tag(code=256, kind=LONG, values=[7])], last=True)
    >>> len(directories.header), len(directories.content)
    (8, 24)
    """

    def __init__(self, *, big: bool, start: int) -> None:
        self._big = big
        self._base = start
        self.content = bytes(-start % 8)  # directories begin on an even offset
        self._first = start + len(self.content)

    @property
    def header(self) -> bytes:
        """The first bytes of the file."""
        if self._big:
            return struct.pack("<2sHHHQ", b"II", 43, 8, 0, self._first)
        return struct.pack("<2sHI", b"II", 42, self._first)

    def add(self, tags: list[Tag], *, last: bool) -> None:
        """Append one directory; values that do not fit its entries follow it.

        Parameters
        ----------
        tags
            In ascending order of their codes, as TIFF demands.
        last
            No other directory follows.
        """
        count, entry, offset, slot = (
            ("<Q", "<HHQ", "<Q", 8) if self._big else ("<H", "<HHI", "<I", 4)
        )
        origin = self._base + len(self.content)
        values_at = (
            origin + struct.calcsize(count) + len(tags) * (struct.calcsize(entry) + slot) + slot
        )
        directory, extra = struct.pack(count, len(tags)), b""
        for tag in tags:
            packed = tag.packed
            directory += struct.pack(entry, tag.code, tag.kind, len(packed) // _TYPE_SIZE[tag.kind])
            if len(packed) <= slot:
                directory += packed.ljust(slot, b"\0")
            else:
                extra += bytes(-(values_at + len(extra)) % 8)
                directory += struct.pack(offset, values_at + len(extra))
                extra += packed
        extra += bytes(-(values_at + len(extra)) % 8)
        following = 0 if last else values_at + len(extra)
        self.content += directory + struct.pack(offset, following) + extra
