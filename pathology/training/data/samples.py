"""Training samples: fields with their truth, and where rendered ones are kept."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from pathology.synthesis import random_field_spec, render_field
from pathology.types import BoolArray, FloatArray, IntArray, U8Array

__all__ = [
    "CONTEXT_FACTOR",
    "UNKNOWN_CLASS",
    "UNKNOWN_REGION",
    "Sample",
    "load_sample",
    "make_sample",
    "store_sample",
]

#: Detail pixels per context pixel.
CONTEXT_FACTOR = 4
#: Class of a cell that somebody marked without saying what it is.
UNKNOWN_CLASS = -1
#: Region code where nobody said what it is.
UNKNOWN_REGION = 255


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Hold one field and its truth, as far as it is known.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8 at 0.5 µm/px; square, the side a multiple of 64.
    white
        (3,) float32 colour of the glass.
    centres_px
        (n, 2) float32 x, y in field pixels; the middle of the first pixel is 0.5.
    rays_um
        (n, 32) float32; NaN where the outline is unknown.
    classes
        (n,) int64 index into ``CELL_CLASSES``, or :data:`UNKNOWN_CLASS`.
    visible
        (n,) bool: cells that a reader could find.
    region
        (H/4, W/4) uint8 region codes, or :data:`UNKNOWN_REGION`.
    annotated
        (H/4, W/4) bool: True where every cell is annotated, so that the absence of a cell is a
        fact; all True for synthetic fields.

    Raises
    ------
    ValueError
        If shapes do not belong together.
    """

    rgb: U8Array
    white: FloatArray
    centres_px: FloatArray
    rays_um: FloatArray
    classes: IntArray
    visible: BoolArray
    region: U8Array
    annotated: BoolArray

    def __post_init__(self) -> None:
        side, n = self.rgb.shape[0], len(self.centres_px)
        if self.rgb.shape != (side, side, 3) or side % 64:
            raise ValueError(f"a field is square with a multiple of 64 px, not {self.rgb.shape}")
        coarse = (side // CONTEXT_FACTOR, side // CONTEXT_FACTOR)
        expected = {
            "white": (3,),
            "centres_px": (n, 2),
            "rays_um": (n, 32),
            "classes": (n,),
            "visible": (n,),
            "region": coarse,
            "annotated": coarse,
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has the shape {getattr(self, name).shape}, not {shape}")


def make_sample(seed: int, size_px: int) -> Sample:
    """Render the field that a seed stands for.

    Parameters
    ----------
    seed
        Seeds the field's specification and its rendering.
    size_px
        Side in pixels of 0.5 µm.
    """
    rng = np.random.default_rng(seed)
    spec = random_field_spec(rng, size_px=size_px, mpp=0.5)
    field = render_field(spec, seed)
    cells = field.cells
    return Sample(
        rgb=field.rgb,
        white=np.asarray(field.white, dtype=np.float32),
        centres_px=np.stack([cells.x_px, cells.y_px], axis=1).astype(np.float32),
        rays_um=np.asarray(cells.outline_r_um, dtype=np.float32),
        classes=np.asarray(cells.cell_class, dtype=np.int64),
        visible=np.asarray(cells.visible, dtype=np.bool_),
        region=field.region,
        annotated=np.ones_like(field.region, dtype=np.bool_),
    )


def store_sample(sample: Sample, path: Path) -> None:
    """Keep a field in a file, uncompressed; readers never see half of it.

    Parameters
    ----------
    sample
        The field.
    path
        File ``*.npz`` in a folder that exists.
    """
    # Two processes may draw the same field at once; each writes a file of its own.
    temporary = path.with_name(f".{path.stem}-{os.getpid()}.npz")
    np.savez(temporary, **{item.name: getattr(sample, item.name) for item in fields(Sample)})
    temporary.replace(path)


def load_sample(path: Path) -> Sample | None:
    """Read a kept field; None where there is none, or the file is damaged.

    Examples
    --------
    >>> load_sample(Path("nowhere.npz")) is None
    True
    """
    try:
        # numpy leaves a file that it finds damaged open; this block does not.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return Sample(**{item.name: stored[item.name] for item in fields(Sample)})
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
