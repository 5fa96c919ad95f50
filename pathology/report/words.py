"""Plain words for every code that a result can hold: reasons, flags, status, tier, source.

One dictionary each, so that a picture, the HTML report and the table of the run say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pathology.errors import ReasonCode

__all__ = [
    "FLAG_WORDS",
    "REASON_WORDS",
    "REGION_SOURCE_WORDS",
    "RESEARCH_USE_ONLY",
    "RESEARCH_USE_ONLY_LONG",
    "STATUS_WORDS",
    "FlagWords",
    "ReasonWords",
    "flag_words",
    "reason_words",
]

RESEARCH_USE_ONLY: Final = "Research use only"
RESEARCH_USE_ONLY_LONG: Final = (
    "Research use only. Not for use in diagnostic procedures. "
    "A pathologist has to look at the slide before any conclusion is drawn from this page."
)


@dataclass(frozen=True, kw_only=True)
class ReasonWords:
    """Explain why a slide has no score.

    Parameters
    ----------
    title
        A few words, as a headline.
    sentence
        What was found.
    fix
        What can be done about it.
    """

    title: str
    sentence: str
    fix: str


@dataclass(frozen=True, kw_only=True)
class FlagWords:
    """Explain a doubt.

    Parameters
    ----------
    title
        A few words, for where there is little room.
    sentence
        The same as a sentence.
    """

    title: str
    sentence: str


def _flag(title: str, sentence: str) -> FlagWords:
    return FlagWords(title=title, sentence=sentence)


def _why(title: str, sentence: str, fix: str) -> ReasonWords:
    return ReasonWords(title=title, sentence=sentence, fix=fix)


REASON_WORDS: Final = MappingProxyType(
    {
        ReasonCode.UNREADABLE: _why(
            "File cannot be read",
            "The file is empty, truncated or damaged.",
            "Copy it again from the scanner or the archive, compare sizes, and run again.",
        ),
        ReasonCode.UNSUPPORTED_FORMAT: _why(
            "Format not supported",
            "The file is not a slide or image format that this program knows.",
            "Export it from the scanner's software as a format that `her2 doctor` lists.",
        ),
        ReasonCode.FILE_MISSING: _why(
            "File not found",
            "There is no file at the path that was given.",
            "Correct the path, or the manifest's column `path`.",
        ),
        ReasonCode.PERMISSION_DENIED: _why(
            "No permission",
            "The file exists, but this user may not read it.",
            "Ask its owner for permission to read it.",
        ),
        ReasonCode.INVALID_REGIONS: _why(
            "Region file not valid",
            "The GeoJSON file of regions is damaged, or lies outside the slide.",
            "Export the annotations again from the slide that they belong to.",
        ),
        ReasonCode.DISK_FULL: _why(
            "Disk full",
            "There was no room left to write the result of this slide.",
            "Free some space and give the same command again: finished slides are kept.",
        ),
        ReasonCode.OUTPUT_NOT_WRITABLE: _why(
            "Output not writable",
            "The result of this slide could not be written.",
            "Check the permissions of the output folder and give the same command again.",
        ),
        ReasonCode.OUT_OF_MEMORY: _why(
            "Out of memory",
            "The machine or the GPU had too little memory for this slide.",
            "Close other programs, or set fewer `--workers`, and give the same command again.",
        ),
        ReasonCode.WORKER_CRASHED: _why(
            "Worker ended",
            "The process that worked on this slide ended without a result.",
            "Give the same command again; if it happens again, look into log.jsonl.",
        ),
        ReasonCode.INTERNAL_ERROR: _why(
            "Internal error",
            "A defect of this program stopped the work on this slide.",
            "Report it, with the slide's lines of log.jsonl.",
        ),
        ReasonCode.MISSING_MPP: _why(
            "Pixel size unknown",
            "The file does not say how many micrometres a pixel measures; none is guessed.",
            "Give it with `--mpp`, or in the manifest's column `mpp`.",
        ),
        ReasonCode.IMPLAUSIBLE_MPP: _why(
            "Pixel size not plausible",
            "The stated pixel size is outside the range of slide scanners.",
            "Give the true one with `--mpp`, or in the manifest's column `mpp`.",
        ),
        ReasonCode.ANISOTROPIC_MPP: _why(
            "Pixels not square",
            "The stated pixel size differs between x and y by more than is allowed.",
            "Check the scanner's export; give the true size with `--mpp`.",
        ),
        ReasonCode.TOO_SMALL: _why(
            "Image too small",
            "The image is smaller than the smallest field that can be scored.",
            "Give a larger field, or the whole slide.",
        ),
        ReasonCode.FAILED_TILES: _why(
            "Tiles missing that could change the score",
            "Some tiles could not be read, and the score could change with what they hold.",
            "Scan the slide again, or copy the file again.",
        ),
        ReasonCode.NO_TISSUE: _why(
            "No tissue found",
            "The slide holds no tissue, or too little of it.",
            "Look at overview.png; if there is tissue, mark it with `--regions`.",
        ),
        ReasonCode.NO_TUMOUR: _why(
            "No tumour cells found",
            "Tissue was read, but no evaluable tumour cell was found in it.",
            "Check that this is the right block; mark the tumour with `--regions`.",
        ),
        ReasonCode.TOO_FEW_CELLS: _why(
            "Too few tumour cells",
            "Fewer evaluable tumour cells were found than a score needs.",
            "Score a section with more tumour; percentages are shown for information only.",
        ),
        ReasonCode.NOT_IHC: _why(
            "Not an H-DAB stain",
            "The colours are not those of brown DAB with haematoxylin.",
            "Check that this is the HER2 IHC slide, and not H&E, CISH or another stain.",
        ),
        ReasonCode.OUT_OF_FOCUS: _why(
            "Out of focus",
            "Too much of the tissue is blurred for membranes to be judged.",
            "Scan the slide again.",
        ),
        ReasonCode.CLIPPED_IMAGE: _why(
            "Image over- or underexposed",
            "Too many pixels are at the end of the scanner's range to measure stain.",
            "Scan the slide again with another exposure.",
        ),
        ReasonCode.CONTROL_FAILED: _why(
            "Control failed",
            "The control tissue of this slide or stain run did not stain as it must.",
            "Repeat the stain with valid controls.",
        ),
        ReasonCode.SPECIMEN_TYPE_UNKNOWN: _why(
            "Specimen type not stated",
            "The guideline scores resections and biopsies by different rules, and the manifest "
            "does not say which this is; it is not guessed.",
            "State resection or biopsy in the manifest's column `specimen_type`.",
        ),
    }
)

FLAG_WORDS: Final = MappingProxyType(
    {
        "borderline": _flag(
            "close to a cut-off",
            "The score is close to another one, or not stable: a second reader should look.",
        ),
        "invasive_region_unverified": _flag(
            "invasive region not confirmed",
            "The program chose where the invasive tumour is; nobody has confirmed it yet.",
        ),
        "below_floor": _flag(
            "stronger pattern in too few cells",
            "A stronger pattern was seen in too few cells to count, and was taken as the next "
            "weaker one.",
        ),
        "intense_not_contiguous": _flag(
            "intense cells not in one population",
            "The cells with intense complete staining do not lie together in one population.",
        ),
        "heterogeneous": _flag(
            "intense staining in a small part",
            "Intense complete staining in 10 % of the tumour cells or fewer: other samples of "
            "this tumour may differ.",
        ),
        "atypical_basolateral": _flag(
            "basolateral or lateral staining",
            "Moderate to intense but incomplete (basolateral or lateral) staining: rare, and "
            "may go with amplification.",
        ),
        "mixed_pattern": _flag(
            "several patterns added up",
            "Several patterns had to be added up to pass the cut-off.",
        ),
        "gap_pattern": _flag(
            "mixture that no category describes",
            "No category of the guideline describes this mixture: the gap policy decided, and "
            "a second reader is needed.",
        ),
        "ultralow_not_excluded": _flag(
            "staining not ruled out",
            "No stained cell was seen, but too few cells were read to rule staining out, or only "
            "whole tiles were classified.",
        ),
        "failed_tiles": _flag(
            "some tiles could not be read",
            "Some tiles could not be read; the score would stay the same without them.",
        ),
        "partly_out_of_focus": _flag(
            "partly out of focus",
            "Part of the tumour is out of focus: faint membranes cannot be seen there.",
        ),
        "scattered_tumour_cells": _flag(
            "most tumour cells lie alone",
            "Most cells called tumour do not lie in groups: a tumour that grows in single cells, "
            "or cells called tumour by mistake.",
        ),
        "nuclear_dab": _flag(
            "brown in nuclei",
            "Most of the brown lies in spots like nuclei and not on membranes: check that this is "
            "the HER2 slide.",
        ),
        "clipped_pixels": _flag(
            "darkest pixels cut off",
            "Some tissue pixels are at the bottom of the camera's range: the strongest staining "
            "cannot be measured exactly.",
        ),
        "control_slide": _flag(
            "control slide",
            "This is a control slide: its score checks the stain, is nobody's result, and is left "
            "out of cases.csv.",
        ),
        "coarse_resolution": _flag(
            "scanned at low resolution",
            "The scan is coarser than 0 against 1+ needs: faint membranes are hard to see.",
        ),
        "white_point_uncertain": _flag(
            "colour of the glass uncertain",
            "Little clear glass was seen: the white point of the measurement is uncertain.",
        ),
        "white_saturated": _flag(
            "glass is saturated",
            "The glass is at the end of the scanner's range: faint staining may be lost.",
        ),
        "pen_marks": _flag("pen marks left out", "Pen marks were found and left out."),
        "no_data_in_tissue": _flag(
            "part of the tissue is missing in the file",
            "The file holds nothing where tissue must have been: that part counts as failed tiles.",
        ),
        "overview_incomplete": _flag(
            "parts of the slide could not be seen from afar",
            "Parts of the slide could not be decoded from afar; they were tried as tiles.",
        ),
        "stain_unchecked": _flag(
            "kind of stain not checked",
            "There was too little stain to check that this is an H-DAB slide.",
        ),
        "tile_model": _flag(
            "tiles were counted, not cells",
            "A tile classifier was used: every count and percentage is one of tiles that hold "
            "tumour, not of cells.",
        ),
        "calibration_slide": _flag(
            "used for the calibration",
            "The calibration was fitted on this very slide: its score is no test of it.",
        ),
        "calibration_mismatch": _flag(
            "calibration of another site or assay",
            "The manifest names another site or assay than the calibration was made for.",
        ),
        "limit_of_blank_unset": _flag(
            "limit of blank not set",
            "No limit of blank from negative controls was given, so null and ultralow cannot be "
            "told apart with confidence.",
        ),
        "few_blocks": _flag(
            "little tissue to resample",
            "The tumour is too small for resampling to say how certain the score is.",
        ),
        "regions_repaired": _flag(
            "region outlines repaired",
            "An outline of the region file crossed itself and was repaired.",
        ),
        "regions_partly_outside": _flag(
            "regions reach beyond the slide",
            "Regions of the region file reach beyond the slide and were cut.",
        ),
        "unknown_region_class": _flag(
            "regions of unknown class not used",
            "The region file has regions of classes that this program does not know; they were "
            "not used.",
        ),
        "bootstrap_unstable": _flag(
            "score depends on tiles or scale",
            "Other tiles of the same tumour, or a slightly different scale of density, would often "
            "give another score.",
        ),
        "scale_unstable": _flag(
            "score depends on the scale of density",
            "Within the uncertainty of the optical density scale the whole slide would often get "
            "another score.",
        ),
        "guideline_unverified": _flag(
            "guideline not verified",
            "The wording of this guideline was not seen at its source: its rules are an "
            "approximation.",
        ),
        "assay_not_4B5": _flag(
            "assay not known to be 4B5",
            "The manifest names another clone than 4B5, or none: the lines between null, ultralow "
            "and low were drawn with 4B5.",
        ),
        "small_population": _flag(
            "few cells decided",
            "The staining that decided lies in fewer than 10 % of the tumour cells: other samples "
            "of this tumour may differ.",
        ),
    }
)

STATUS_WORDS: Final = MappingProxyType(
    {"scored": "Scored", "not_scorable": "Not scorable", "failed": "Failed"}
)

REGION_SOURCE_WORDS: Final = MappingProxyType(
    {
        "model": "found by the model, not confirmed",
        "annotation": "from the region file",
        "reviewed": "reviewed",
    }
)


def reason_words(code: str) -> ReasonWords:
    """Return the words for a reason code.

    Parameters
    ----------
    code
        A value of :class:`~pathology.errors.ReasonCode`; a code of a later version is tolerated.

    Examples
    --------
    >>> reason_words("no_tissue").title
    'No tissue found'
    """
    try:
        return REASON_WORDS[ReasonCode(code)]
    except ValueError:
        title = code.replace("_", " ").capitalize()
        return _why(title, f"The slide was refused with the code {code}.", "Look into log.jsonl.")


def flag_words(flag: str) -> FlagWords:
    """Return the words for a flag; a flag without any is named as it is.

    Examples
    --------
    >>> flag_words("some_new_flag").sentence
    'Some new flag.'
    """
    plain = flag.replace("_", " ")
    return FLAG_WORDS.get(flag, _flag(plain, plain.capitalize() + "."))
