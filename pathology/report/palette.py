"""The colours and the names that every picture, report and export uses for the same thing.

The five pattern colours are ordered by lightness from yellow to near black, with a pale blue for
"no staining", so that they stay apart for readers with red-green or blue-yellow colour blindness
and on a grey print; ``tests/unit/report/test_palette.py`` measures the distances.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

__all__ = [
    "AREA_COLOURS",
    "AREA_LABELS",
    "CLASS_COLOURS",
    "CLASS_LABELS",
    "FAILED_TILE",
    "INK",
    "MUTED",
    "PAPER",
    "PATTERN_COLOURS",
    "PATTERN_LABELS",
    "PATTERN_SHORT",
    "RGB",
    "STATE_COLOURS",
    "STATUS_COLOURS",
    "TIER_LABELS",
    "TISSUE_OUTLINE",
    "area_colour",
    "area_label",
    "css",
]

RGB = tuple[int, int, int]

#: One colour per membrane pattern, in the order of ``PATTERNS`` (weakest first).
PATTERN_COLOURS: Final[tuple[RGB, ...]] = (
    (138, 180, 222),  # unstained: pale blue
    (250, 230, 100),  # incomplete, faint or weak: yellow
    (232, 128, 28),  # incomplete, moderate or intense: orange
    (196, 52, 34),  # complete, weak to moderate: red
    (86, 14, 82),  # complete, intense: aubergine
)

#: What a reader calls each pattern, in the order of ``PATTERNS``.
PATTERN_LABELS: Final[tuple[str, ...]] = (
    "No membrane staining",
    "Incomplete, faint or weak",
    "Incomplete, moderate or intense",
    "Complete, weak to moderate",
    "Complete, intense",
)

#: The score that a pattern speaks for, as QuPath class names use it.
PATTERN_SHORT: Final[tuple[str, ...]] = (
    "0 unstained",
    "1+ incomplete faint",
    "2+ incomplete moderate-intense",
    "2+ complete",
    "3+ complete intense",
)

#: Cells that do not count, by class name.
CLASS_COLOURS: Final = MappingProxyType(
    {
        "tumour": (60, 60, 60),
        "in_situ": (0, 128, 128),
        "normal_epithelium": (46, 139, 87),
        "lymphoid": (92, 110, 190),
        "stroma": (150, 150, 150),
        "other": (175, 175, 175),
    }
)
CLASS_LABELS: Final = MappingProxyType(
    {
        "tumour": "Tumour",
        "in_situ": "In situ carcinoma",
        "normal_epithelium": "Normal epithelium",
        "lymphoid": "Lymphoid cell",
        "stroma": "Stroma",
        "other": "Other cell",
    }
)

#: Areas of the overview that are marked, by kind. Unknown kinds take ``other``.
AREA_COLOURS: Final = MappingProxyType(
    {
        "tumour": (0, 114, 178),
        "in_situ": (0, 128, 128),
        "normal_epithelium": (46, 139, 87),
        "control": (204, 121, 167),
        "exclude": (90, 90, 90),
        "pen": (120, 60, 200),
        "dust": (150, 105, 40),
        "edge": (0, 140, 140),
        "smear": (70, 130, 180),
        "black": (60, 60, 60),
        "no_data": (150, 150, 150),
        "failed": (213, 0, 50),
        "other": (110, 110, 110),
    }
)
AREA_LABELS: Final = MappingProxyType(
    {
        "tumour": "Region: tumour",
        "in_situ": "Region: in situ (not scored)",
        "normal_epithelium": "Region: normal epithelium (not scored)",
        "control": "Control tissue (not scored)",
        "exclude": "Region: excluded",
        "pen": "Pen mark",
        "dust": "Dust or debris",
        "edge": "Cover-slip edge or scratch",
        "smear": "Smear, shading or lost tissue",
        "black": "Black area",
        "no_data": "Not scanned",
        "failed": "Tile that could not be read",
        "other": "Other excluded area",
    }
)

TISSUE_OUTLINE: Final[RGB] = (30, 30, 34)
FAILED_TILE: Final[RGB] = (213, 0, 50)
INK: Final[RGB] = (28, 32, 38)
MUTED: Final[RGB] = (104, 112, 122)
PAPER: Final[RGB] = (255, 255, 255)

#: Accent of the headline, by status.
STATUS_COLOURS: Final = MappingProxyType(
    {"scored": (20, 70, 120), "not_scorable": (150, 90, 0), "failed": (176, 0, 40)}
)

#: State of a review: open, signed, superseded.
STATE_COLOURS: Final = MappingProxyType(
    {"open": (138, 83, 0), "signed": (28, 107, 64), "superseded": (163, 0, 44)}
)

#: The tier's name for readers.
TIER_LABELS: Final = MappingProxyType(
    {
        "her2_null": "HER2 null",
        "her2_ultralow": "HER2 ultralow",
        "her2_low": "HER2 low",
        "her2_equivocal": "HER2 equivocal",
        "her2_positive": "HER2 positive",
    }
)


def css(colour: RGB) -> str:
    """Write a colour for HTML.

    Examples
    --------
    >>> css((255, 0, 16))
    '#ff0010'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)


def area_colour(kind: str) -> RGB:
    """Return the colour of a kind of area; unknown kinds share one.

    Examples
    --------
    >>> area_colour("something new") == AREA_COLOURS["other"]
    True
    """
    return AREA_COLOURS.get(kind, AREA_COLOURS["other"])


def area_label(kind: str) -> str:
    """Return the words for a kind of area; an unknown kind speaks for itself.

    Examples
    --------
    >>> area_label("pen"), area_label("cover_glass_crack")
    ('Pen mark', 'Cover glass crack')
    """
    return AREA_LABELS.get(kind, kind.replace("_", " ").capitalize())
