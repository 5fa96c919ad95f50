"""What each column of the exported tables holds, and in which unit."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from pathology.runs.result import SlideResult

__all__ = ["describe_column", "unit_of"]

_WORDS: Final = MappingProxyType(
    {
        "case_id": "Case as the manifest names it, or the slide where it names none.",
        "status": "scored, not_scorable (seen, and rightly without a score) or failed.",
        "ihc_score": "0, 1+, 2+ or 3+; empty without a score.",
        "her2_status": "ASCO/CAP: negative, equivocal, positive or indeterminate.",
        "her2_tier": "her2_null, her2_ultralow, her2_low, her2_equivocal or her2_positive.",
        "n_complete_intense": "Tumour cells with complete, intense membrane staining.",
        "n_complete_weak_moderate": "Tumour cells with complete, weak to moderate staining.",
        "n_incomplete_moderate_intense": "Tumour cells with incomplete, moderate or intense one.",
        "n_incomplete_faint": "Tumour cells with incomplete, faint or weak staining.",
        "n_unstained": "Tumour cells without membrane staining.",
        "h_score": "Sum of 1, 2 and 3 times the percentage of weak, moderate and intense cells.",
        "deciding_rule": "Name of the rule that decided.",
        "deciding_clause": "The clause of the guideline that decided, in words.",
        "ultralow_upper_pct": "Upper bound of stained cells where none or few were seen.",
        "borderline": "Close to a cut-off, or not stable: a second reader should look.",
        "region_source": "Who chose the invasive region: model, annotation or reviewed.",
        "n_in_situ_excluded": "Cells of in situ carcinoma that were left out.",
        "control_status": "Control tissue: not_assessed, passed or failed.",
        "tissue_mm2": "Area of tissue found.",
        "tumour_mm2": "Area of tumour that was read.",
        "failed_tiles": "Tiles that could not be read.",
        "mpp_source": "Where the pixel size came from.",
        "assay": "Antibody clone or assay.",
        "guideline": "Name of the rules.",
        "calibration": "Cut-offs of the laboratory; empty for the reference cut-offs.",
        "model": "Name and version of the network.",
        "model_sha256": "SHA-256 of its weights.",
        "block_id": "Block as the manifest names it.",
        "expected_score": "Score that a control or benchmark slide must have.",
        "membrane_od_p25": "25th percentile of the same.",
        "membrane_od_p50": "Median of the same.",
        "membrane_od_p75": "75th percentile of the same.",
        "membrane_od_p95": "95th percentile of the same.",
        "specimen_type": "resection or biopsy, as the manifest says.",
        "site": "Laboratory, as the manifest says.",
        "stain_run": "Stain run, as the manifest says.",
        "reviewer": "Who reviewed the slide; empty where nobody has.",
        "review_state": "open, signed or superseded.",
        "reviewer_agrees": "Whether the reviewer agrees with the program's score.",
        "reviewer_score": "The reviewer's score.",
        "reviewer_reason": "Why the reviewer differs.",
        "reviewed_at": "When, ISO 8601.",
        "reviewer_tier": "The reviewer's HER2 tier.",
        "reviewer_not_scorable": "Whether the reviewer says that the slide cannot be scored.",
        "reviewer_comment": "What the reviewer wrote.",
        "run_ihc_score": "The program's score in the run's own regions, where this row is the one "
        "counted anew in the reviewer's; no score where there is none.",
        "case_id_given": "Whether the manifest named the case.",
        "n_slides": "Slides of the case, without control slides.",
        "n_scored": "Of these, scored.",
        "n_not_scorable": "Of these, rightly without a score.",
        "n_failed": "Of these, failed.",
        "n_blocks": "Different blocks.",
        "deciding_slide_id": "Slide that decides by IHC.",
        "deciding_block_id": "Its block.",
        "discordant": "Whether scored slides differ: the case needs a look.",
        "incomplete": "Whether a slide has no score; it could be higher than what was seen.",
        "slide_ids": "All slides of the case, joined by ;.",
        "case_rule": "highest_tier, or index_block where the manifest declares one.",
        "index_block_id": "The declared index block.",
        "ish_category": "ISH category of the block that decides; empty without ISH.",
        "final_her2_status": "Status with ISH.",
        "final_her2_tier": "Tier with ISH.",
        "final_block_id": "Block that decides the final status.",
        "final_rule": "Rule that decided it.",
        "final_clause": "The same in words.",
        "final_discordant": "Whether ISH and IHC, probes or blocks disagree: needs a look.",
        "final_flags": "Doubts about the final status, joined by ;.",
    }
)
_PATTERN: Final = "Share of the tumour cells with this pattern."
_BOOT: Final = "Share of resampled tile sets that gave this score; not a diagnostic probability."
_UNITS: Final = (
    ("membrane_cytoplasm_ratio", "1"),
    ("mpp_source", ""),
    ("mpp", "µm/px"),
    ("membrane_completeness", "1 (0 to 1)"),
    ("membrane_od", "OD"),
    ("mean_membrane_od", "OD"),
    ("boot_share", "1 (0 to 1)"),
    ("heterogeneity_index", "1 (0 to 1)"),
    ("h_score", "0 to 300"),
    ("n_", "count"),
    ("tiles", "count"),
    ("failed_tiles", "count"),
)


def describe_column(name: str) -> str:
    """Say what a column holds; an empty text for a name that no table has.

    Examples
    --------
    >>> describe_column("pct_unstained")
    'Share of the tumour cells with this pattern.'
    """
    field = SlideResult.model_fields.get(name)
    if field is not None and field.description:
        return field.description
    if name in _WORDS:
        return _WORDS[name]
    if name.startswith("pct_"):
        return _PATTERN
    return _BOOT if name.startswith("boot_share") else ""


def unit_of(name: str) -> str:
    """Return the unit of a column; an empty text for words and truth values.

    Examples
    --------
    >>> unit_of("tissue_mm2"), unit_of("distance_to_cutoff_pp"), unit_of("mpp"), unit_of("assay")
    ('mm²', 'percentage points', 'µm/px', '')
    """
    for head, unit in _UNITS:
        if name.startswith(head):
            return unit
    if name.endswith("_mm2"):
        return "mm²"
    if name.endswith("_pp"):
        return "percentage points"
    percent = name.startswith("pct_") or name.endswith("_pct")
    return "%" if percent or name in ("deciding_lo", "deciding_hi") else ""
