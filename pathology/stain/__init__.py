"""Stain: optical density, separation of haematoxylin and DAB, and the colour of clear glass."""

from __future__ import annotations

from pathology.stain.density import density_table, optical_density
from pathology.stain.unmixing import StainMatrix, unmix
from pathology.stain.white import WhitePoint, glass_pixels, white_point

__all__ = [
    "StainMatrix",
    "WhitePoint",
    "density_table",
    "glass_pixels",
    "optical_density",
    "unmix",
    "white_point",
]
