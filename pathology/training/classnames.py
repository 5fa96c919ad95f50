"""What the class names of other programs mean here: cells, tissue, scores and patterns."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pathology.cells import CELL_CLASSES, PATTERNS
from pathology.synthesis import REGIONS

__all__ = [
    "CELL_NAMES",
    "IGNORE",
    "NO_TUMOUR",
    "PATTERN_LABELS",
    "REGION_NAMES",
    "SCORE_LABELS",
    "UNKNOWN",
    "cell_code",
    "lookup",
    "patch_label",
    "region_code",
    "squeeze",
]

#: Target of a mapping: the object is there, what it is is not known.
UNKNOWN = "unknown"
#: Target of a mapping: nothing may be learnt from the object and the place it covers.
IGNORE = "ignore"
#: Label of a patch that holds no invasive tumour: never the same as an unstained one.
NO_TUMOUR = "no_tumour"
#: Labels of the tile tasks ``score`` and ``pattern``, in the order of their index.
SCORE_LABELS: tuple[str, ...] = ("0", "1+", "2+", "3+", NO_TUMOUR)
PATTERN_LABELS: tuple[str, ...] = (*PATTERNS, NO_TUMOUR)

#: QuPath's own class names (Tumor, Stroma, Immune cells, Necrosis, Other, Ignore*, Positive,
#: Negative), those of this program's export, and the words that stand for them elsewhere.
CELL_NAMES: Mapping[str, str] = {
    "Tumor": "tumour", "Tumour": "tumour", "Tumor cell": "tumour", "Invasive": "tumour",
    "Invasive carcinoma": "tumour", "Invasive tumor": "tumour", "Invasive tumour": "tumour",
    "In situ": "in_situ", "DCIS": "in_situ", "LCIS": "in_situ", "Carcinoma in situ": "in_situ",
    "Normal epithelium": "normal_epithelium", "Normal": "normal_epithelium",
    "Benign": "normal_epithelium", "Benign epithelium": "normal_epithelium",
    "Immune cells": "lymphoid", "Immune cell": "lymphoid", "Lymphoid": "lymphoid",
    "Lymphocyte": "lymphoid", "Lymphocytes": "lymphoid", "Plasma cell": "lymphoid",
    "Plasma cells": "lymphoid", "TIL": "lymphoid", "TILs": "lymphoid",
    "Stroma": "stroma", "Stromal cell": "stroma", "Fibroblast": "stroma", "Fibroblasts": "stroma",
    "Endothelium": "stroma", "Muscle": "stroma",
    "Other": "other", "Necrosis": "other", "Macrophage": "other", "Macrophages": "other",
    "Red cells": "other", "Positive": UNKNOWN, "Negative": UNKNOWN, UNKNOWN: UNKNOWN,
    "Ignore*": IGNORE, IGNORE: IGNORE, "Artefact": IGNORE, "Artifact": IGNORE,
}  # fmt: skip
#: The same for regions of tissue.
REGION_NAMES: Mapping[str, str] = {
    "Tumor": "tumour", "Tumour": "tumour", "Invasive": "tumour", "Invasive carcinoma": "tumour",
    "Invasive tumor": "tumour", "Invasive tumour": "tumour",
    "In situ": "in_situ", "DCIS": "in_situ", "LCIS": "in_situ", "Carcinoma in situ": "in_situ",
    "Normal epithelium": "normal_epithelium", "Normal": "normal_epithelium",
    "Benign": "normal_epithelium", "Benign epithelium": "normal_epithelium",
    "Normal duct": "normal_epithelium", "Normal gland": "normal_epithelium",
    "Stroma": "stroma",
    "Immune cells": "lymphoid", "Lymphoid": "lymphoid", "Lymphocytes": "lymphoid",
    "Lymphoid tissue": "lymphoid", "Lymph node": "lymphoid", "TILs": "lymphoid",
    "Muscle": "muscle", "Smooth muscle": "muscle",
    "Necrosis": "necrosis", "Lumen": "lumen",
    "Fat": "fat", "Adipose": "fat", "Adipose tissue": "fat",
    "Vessel": "vessel", "Vessels": "vessel", "Blood vessel": "vessel",
    "Background": "background", "Glass": "background",
    "Ignore*": IGNORE, IGNORE: IGNORE, "Exclude": IGNORE, "Artefact": IGNORE, "Artifact": IGNORE,
}  # fmt: skip

#: How patches without invasive tumour are called, squeezed.
_NO_TUMOUR_NAMES = frozenset({"notumour", "notumor", "nontumour", "nontumor", "background"})
#: A score as folders and files of public sets spell it: ``0``, ``1+``, ``class_2``, ``HER2-3+``.
_SCORE = re.compile(r"(?:(?:class|score|grade|label|her2|ihc)[ _-]*){0,2}([0-3])\+?")


def squeeze(name: str) -> str:
    """Reduce a name to what matters of it: case, blanks, hyphens, underscores and ``*`` do not.

    Examples
    --------
    >>> squeeze("Ignore*"), squeeze("In-situ  "), squeeze("normal_epithelium")
    ('ignore', 'insitu', 'normalepithelium')
    """
    return "".join(letter for letter in name.casefold() if letter not in " -_*\t")


def lookup(name: str, names: Mapping[str, str], own: Mapping[str, str]) -> str | None:
    """Look a class name up: the user's own names first, the whole name before its base.

    Parameters
    ----------
    name
        As QuPath writes it; the base of the derived class ``Tumor: 3+`` is ``Tumor``.
    names, own
        What names mean by default, and by the user's own mapping.

    Returns
    -------
    str or None
        None where the name is not known.

    Examples
    --------
    >>> lookup("tumor: 2+", CELL_NAMES, {}), lookup("Tumor", CELL_NAMES, {"tumor": "other"})
    ('tumour', 'other')
    """
    for key in (squeeze(name), squeeze(name.split(":")[0])):
        for table in (own, names):
            for known, meaning in table.items():
                if squeeze(known) == key:
                    return meaning
    return None


def cell_code(meaning: str) -> int:
    """Return the index of a cell class; -1 where it is unknown or to be ignored.

    Examples
    --------
    >>> cell_code("lymphoid"), cell_code("unknown")
    (3, -1)
    """
    return CELL_CLASSES.index(meaning) if meaning in CELL_CLASSES else -1


def region_code(meaning: str) -> int:
    """Return the code of a kind of tissue; 255 where it is to be ignored.

    Examples
    --------
    >>> region_code("tumour"), region_code("ignore")
    (1, 255)
    """
    return REGIONS.index(meaning) if meaning in REGIONS else 255


def patch_label(text: str, own: Mapping[str, str], *, patterns: bool) -> int | None:
    """Read the label of a patch.

    Parameters
    ----------
    text
        A folder's name, the end of a file's name, or a cell of a table.
    own
        The user's own names, such as ``{"negative": "0"}``.
    patterns
        True: one of the five membrane patterns; False: a score.

    Returns
    -------
    int or None
        Index into :data:`PATTERN_LABELS` or :data:`SCORE_LABELS`; None where the text is no label.

    Examples
    --------
    >>> [patch_label(text, {}, patterns=False) for text in ("0", "1+", "class_2", "HER2 3+", "12")]
    [0, 1, 2, 3, None]
    >>> patch_label("Incomplete faint", {}, patterns=True)
    1
    >>> patch_label("No tumour", {}, patterns=False)
    4
    """
    key = squeeze(text)
    wanted = next((value for name, value in own.items() if squeeze(name) == key), text)
    if squeeze(wanted) in _NO_TUMOUR_NAMES:
        return (PATTERN_LABELS if patterns else SCORE_LABELS).index(NO_TUMOUR)
    if patterns:
        known = [squeeze(name) for name in PATTERNS]
        return known.index(squeeze(wanted)) if squeeze(wanted) in known else None
    match = _SCORE.fullmatch(wanted.strip().casefold())
    return int(match.group(1)) if match else None
