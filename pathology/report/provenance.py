"""The two small tables of a page: what was checked, and where the result comes from."""

from __future__ import annotations

from pathology import __version__
from pathology.report.facts import percent
from pathology.report.guidelines import guideline_label
from pathology.report.words import REGION_SOURCE_WORDS
from pathology.runs.result import SlideResult

__all__ = ["limits", "provenance_rows", "quality_rows"]

_CONTROL = {"not_assessed": "not assessed", "passed": "passed", "failed": "failed"}
_STAIN = {
    "h_dab": "haematoxylin and DAB",
    "not_ihc": "not haematoxylin and DAB",
    "unchecked": "not checked",
}
_MPP_SOURCE = {
    "header": "file header",
    "manifest": "manifest",
    "argument": "--mpp",
    "array": "given with the pixels",
}


def quality_rows(result: SlideResult) -> list[tuple[str, str]]:
    """Return name and value of each check, those that are known.

    Parameters
    ----------
    result
        The slide.

    Returns
    -------
    list of (str, str)
        In a fixed order; the named measurements last.
    """
    rows: list[tuple[str, str | None]] = [
        ("Control", _CONTROL.get(result.control_status or "")),
        ("Tissue", _with_unit(result.tissue_mm2, "mm²")),
        ("Tumour", _with_unit(result.tumour_mm2, "mm²")),
        ("Tiles", _tiles(result)),
        ("In situ cells left out", _whole(result.n_in_situ_excluded)),
        ("Upper bound of stained cells", _percentage(result.ultralow_upper_pct)),
        ("Stain check", _STAIN.get(result.stain_check.verdict) if result.stain_check else None),
        ("Glass (R, G, B)", _white(result)),
    ]
    for name, value in result.qc.items():
        rows.append((name.replace("_", " ").capitalize(), _plain(value)))
    return [(name, value) for name, value in rows if value is not None]


def limits(result: SlideResult) -> str:
    """Say what a score of the program cannot say, in some sentences; nothing without a model.

    Parameters
    ----------
    result
        The slide.

    Examples
    --------
    >>> slide = SlideResult(slide_id="a", path="a", status="not_scorable", reasons=("no_tissue",),
    ...                     model="a/1", model_sha256="0" * 64)
    >>> limits(slide).partition(". ")[0]
    'The cut-offs of density are not calibrated to a laboratory'
    """
    if result.model is None:
        return ""
    lines = (
        []
        if result.calibration
        else ["The cut-offs of density are not calibrated to a laboratory."]
    )
    lines += [
        "In-situ carcinoma is told poorly from invasive tumour by its shape: what was counted has "
        "to be looked at.",
        "An interval says how stable this reading of this section is, not how likely a diagnosis "
        "is.",
        f"What the model {result.model} was trained on and measured with stands in its model card.",
    ]
    return " ".join(lines)


def provenance_rows(result: SlideResult) -> list[tuple[str, str]]:
    """Return name and value of everything that the result was made with.

    Parameters
    ----------
    result
        The slide.
    """
    pixel = None
    if result.mpp is not None:
        pixel = f"{result.mpp:.4g} µm, from: {_MPP_SOURCE.get(str(result.mpp_source), '')}"
    region = REGION_SOURCE_WORDS.get(result.region_source or "")
    if region and result.regions and result.regions.name:
        region = f"{region} ({result.regions.name})"
    rows: list[tuple[str, str | None]] = [
        ("Guideline", guideline_label(result.guideline)),
        ("Rule", result.deciding_rule),
        ("Calibration", result.calibration),
        ("Assay", result.assay),
        ("Model", result.model),
        ("Model sha256", result.model_sha256),
        ("Configuration", result.config_hash),
        ("Tumour region", region),
        ("Pixel size", pixel),
        ("Scanner format", result.vendor),
        ("Colour profile", result.icc_profile),
        ("Pixels read by", result.reader),
        ("Stain run", result.stain_run),
        ("Specimen", result.specimen_type),
        ("Role", "control" if result.role == "control" else None),
        ("Expected score", result.expected_score),
        ("Program", f"her2-ihc {__version__}"),
    ]
    return [(name, value) for name, value in rows if value]


def _with_unit(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:.2f} {unit}"


def _whole(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _percentage(value: float | None) -> str | None:
    return None if value is None else percent(value, digits=2)


def _tiles(result: SlideResult) -> str | None:
    if result.tiles is None:
        return None
    return f"{result.tiles:,}, of which {result.failed_tiles:,} failed"


def _white(result: SlideResult) -> str | None:
    if result.white_point is None:
        return None
    return ", ".join(f"{value:.0f}" for value in result.white_point)


def _plain(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
