"""Which slides and readings may serve as reference for a run: one rule for every comparison."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from pathology.runs.row import ResultRow

__all__ = ["REFUSALS", "refuse_reference"]

#: Why a reading is refused as reference, in words.
REFUSALS: Final = {
    "calibration_slide": "the calibration was fitted on this slide",
    "saw_score": "the reader had seen the program's score",
    "control_slide": "a control slide is nobody's result",
    "unknown_slide": "there is no such slide in the results",
}


def refuse_reference(
    row: ResultRow | None, *, saw_score: bool | None, calibration_slides: Container[str] = ()
) -> str | None:
    """Tell why a reading of a slide cannot test the program.

    Parameters
    ----------
    row
        The slide's result; None where there is none.
    saw_score
        Whether the reader had seen the program's score; an override of it is such a reading.
    calibration_slides
        Ids of slides that a calibration was fitted on, besides those that the results flag.

    Returns
    -------
    str or None
        A key of :data:`REFUSALS`; None where the reading can serve.

    Examples
    --------
    >>> row = ResultRow(slide_id="a-1", path="a.svs", status="failed", reasons=("unreadable",))
    >>> refuse_reference(row, saw_score=True), refuse_reference(row, saw_score=None)
    ('saw_score', None)
    """
    if row is None:
        return "unknown_slide"
    if row.role == "control":
        return "control_slide"
    if "calibration_slide" in row.flags or row.slide_id in calibration_slides:
        return "calibration_slide"
    return "saw_score" if saw_score else None
