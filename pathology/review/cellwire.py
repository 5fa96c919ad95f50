"""Cells of a view as bytes: arrays that a browser takes over without parsing.

Little endian: ``H2C1``, mode (0 outlines, 1 dots, 2 density), n, cells in the view (uint32 each),
side of a square in µm (float32), 12 bytes of nothing. Then ``place`` (n × 2 float32) and, by mode:
``cell_id`` (n uint32), ``outline_r`` (n × 32 uint8) and ``kind`` (n uint8); ``kind``; or ``counts``
(n × 5 uint16).
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from pathology.review.cellindex import CellView
from pathology.types import AnyArray

__all__ = ["HEADER_BYTES", "pack_view"]

HEADER_BYTES: Final = 32
_MODES: Final = {"outlines": 0, "dots": 1, "density": 2}


def pack_view(view: CellView) -> bytes:
    """Return a view as bytes.

    Parameters
    ----------
    view
        Cells of a view.

    Examples
    --------
    >>> nothing = np.zeros((0, 2), dtype=np.float32)
    >>> empty = CellView(mode="dots", total=0, place=nothing, kind=nothing, cell_id=nothing,
    ...                  outline_r=nothing, counts=nothing)
    >>> len(pack_view(empty)) == HEADER_BYTES
    True
    """
    mode = _MODES[view.mode]
    head = struct.pack("<4s3If12x", b"H2C1", mode, len(view.place), view.total, view.square_um)
    parts = [_bytes(view.place, "<f4")]
    if mode == 0:
        parts += [_bytes(view.cell_id, "<u4"), _bytes(view.outline_r, "u1")]
    parts.append(_bytes(view.counts, "<u2") if mode == 2 else _bytes(view.kind, "u1"))
    return head + b"".join(parts)


def _bytes(array: AnyArray, dtype: str) -> bytes:
    return np.ascontiguousarray(array, dtype=np.dtype(dtype)).tobytes()
