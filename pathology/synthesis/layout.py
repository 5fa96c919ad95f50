"""Where each tissue lies: signed distances and codes on a coarse grid, in µm.

The layout is drawn once for a whole field or slide; blocks of pixels read it at their own place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pathology.synthesis.noise import resample, sample_grid
from pathology.synthesis.spec import FieldSpec
from pathology.types import AnyArray, BoolArray, FloatArray, U8Array

__all__ = [
    "FAR_UM",
    "MARGIN_UM",
    "REGIONS",
    "STEP_UM",
    "Compartment",
    "Layout",
    "grid_shape",
    "signed_distance",
]

#: Codes of the region map.
REGIONS: tuple[str, ...] = (
    "background",
    "tumour",
    "in_situ",
    "normal_epithelium",
    "stroma",
    "lymphoid",
    "muscle",
    "necrosis",
    "lumen",
    "fat",
    "vessel",
)
BACKGROUND, TUMOUR, IN_SITU, NORMAL, STROMA, LYMPHOID, MUSCLE, NECROSIS, LUMEN, FAT, VESSEL = range(
    len(REGIONS)
)
#: Cell of the layout grid: a third of the smallest structure that is laid out (a 6 µm wall).
STEP_UM = 2.0
#: The layout reaches this far beyond the field, so that cells at its edge are whole.
MARGIN_UM = 48.0
#: A distance that stands for "nowhere near", µm.
FAR_UM = 1e4


@dataclass(frozen=True, kw_only=True)
class Compartment:
    """Describe one kind of epithelium.

    Parameters
    ----------
    group
        0 tumour, 1 in situ, 2 normal: index of the pattern mix.
    region
        Region code of its epithelium.
    columnar
        Cells stand side by side on the base and point to the lumen.
    stretch
        How much longer than wide the other cells are, towards the lumen.
    height_um
        Thickness of the epithelium; deeper lies ``core``.
    core
        Region code beyond the height.
    cell_um, width_um, nucleus_um, spread
        Cell diameter, columnar width, nuclear diameter (µm) and relative spread of sizes.
    myoepithelium
        A row of flat nuclei outside the base.
    cleft_um
        Empty space around it (retraction).
    mucin
        0 to 1: how pale the apical cytoplasm is.
    """

    group: int
    region: int
    columnar: bool
    height_um: float
    core: int = LUMEN
    cell_um: float = 13.0
    width_um: float = 7.0
    nucleus_um: float = 8.0
    spread: float = 0.15
    myoepithelium: bool = False
    cleft_um: float = 0.0
    mucin: float = 0.0
    stretch: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Hold the fields of a layout; all arrays have one shape, cells of :data:`STEP_UM`.

    Parameters
    ----------
    width_um, height_um
        Size of the field; the grid reaches :data:`MARGIN_UM` beyond it.
    sdf
        Distance in µm to the edge of the nearest epithelium, positive inside.
    owner
        1 + index of that compartment; 0 where there is none.
    compartments
        What the owners are.
    ground
        Region code of what is not epithelium.
    hole, hole_kind
        Distance to the edge of the nearest vessel or fat cell (positive inside), and its code.
    tissue
        Distance to the edge of the tissue, positive inside.
    stream, cross
        Coordinates across and along the fibres, µm.
    loose
        0 to 1: looseness of the stroma.
    muscle, necrosis, mucin
        Distance to the edge of those tissues, positive inside.
    """

    width_um: float
    height_um: float
    sdf: FloatArray
    owner: U8Array
    compartments: tuple[Compartment, ...]
    ground: U8Array
    hole: FloatArray
    hole_kind: U8Array
    tissue: FloatArray
    stream: FloatArray
    cross: FloatArray
    loose: FloatArray
    muscle: FloatArray
    necrosis: FloatArray
    mucin: FloatArray

    def grid(self, name: str, x_um: AnyArray, y_um: AnyArray) -> FloatArray:
        """Read a field bilinearly on the grid ``y_um`` × ``x_um``."""
        return sample_grid(getattr(self, name), _index(y_um), _index(x_um))

    def nearest(self, name: str, x_um: AnyArray, y_um: AnyArray) -> U8Array:
        """Read a code field at the nearest cell, on the grid ``y_um`` × ``x_um``."""
        table: U8Array = getattr(self, name)
        rows = np.clip(np.rint(_index(y_um)).astype(np.intp), 0, table.shape[0] - 1)
        columns = np.clip(np.rint(_index(x_um)).astype(np.intp), 0, table.shape[1] - 1)
        picked: U8Array = table[rows][:, columns]
        return picked

    def at(self, name: str, x_um: AnyArray, y_um: AnyArray) -> FloatArray:
        """Read a field bilinearly at points."""
        return resample(getattr(self, name), _index(y_um), _index(x_um))

    def code_at(self, name: str, x_um: AnyArray, y_um: AnyArray) -> U8Array:
        """Read a code field at the cell nearest to each point."""
        table: U8Array = getattr(self, name)
        rows = np.clip(np.rint(_index(y_um)).astype(np.intp), 0, table.shape[0] - 1)
        columns = np.clip(np.rint(_index(x_um)).astype(np.intp), 0, table.shape[1] - 1)
        picked: U8Array = table[rows, columns]
        return picked

    def cells_um(self, rows: AnyArray, columns: AnyArray) -> tuple[FloatArray, FloatArray]:
        """Return (x, y) in µm of the centres of grid cells."""
        x = (columns + 0.5) * STEP_UM - MARGIN_UM
        y = (rows + 0.5) * STEP_UM - MARGIN_UM
        return x.astype(np.float32), y.astype(np.float32)


def _index(um: AnyArray) -> AnyArray:
    return np.asarray((um + MARGIN_UM) / STEP_UM - 0.5)


def signed_distance(mask: BoolArray) -> FloatArray:
    """Return the distance in µm to the edge of a mask, positive inside, slightly smoothed."""
    if mask.all() or not mask.any():
        return np.full(mask.shape, FAR_UM if mask.all() else -FAR_UM, dtype=np.float32)
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    distance = (inside - outside).astype(np.float32) - np.where(mask, 0.5, -0.5)
    # The mask is a staircase; a filter of one cell turns it into a line.
    smooth: FloatArray = ndimage.gaussian_filter(
        distance.astype(np.float32) * STEP_UM, 1.0, mode="nearest"
    )
    return smooth


def grid_shape(spec: FieldSpec) -> tuple[int, int]:
    """Return rows and columns of the layout grid of a field, margin included."""
    rows, columns = (
        int(np.ceil((side + 2 * MARGIN_UM) / STEP_UM)) for side in (spec.height_um, spec.width_um)
    )
    return rows, columns
