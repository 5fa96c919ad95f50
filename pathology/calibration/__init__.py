"""Fit the gain and the cut-offs of a laboratory to its own scored slides.

A finished run gives the cells (:mod:`~pathology.calibration.gather`, the only module here that
reads files), a table of labels what they should have been scored
(:mod:`~pathology.calibration.labels`). The fit is an ordinal likelihood of the slides' scores given
the shares that the guideline compares with its cut-offs (:mod:`~pathology.calibration.margins`,
:mod:`~pathology.calibration.posterior`), integrated on a grid: no optimiser, no random start. Every
figure of merit is of slides that the fit had not seen (:mod:`~pathology.calibration.study`).
"""

from __future__ import annotations

from pathology.calibration.blank import BlankLimit, limit_of_blank
from pathology.calibration.gather import Gathered, gather
from pathology.calibration.labels import SlideLabel, read_labels
from pathology.calibration.report import left_out_lines, make_calibration, report_json, report_text
from pathology.calibration.samples import LeftOut, SlideSample
from pathology.calibration.study import CalibrationError, Study, study_slides

__all__ = [
    "BlankLimit",
    "CalibrationError",
    "Gathered",
    "LeftOut",
    "SlideLabel",
    "SlideSample",
    "Study",
    "gather",
    "left_out_lines",
    "limit_of_blank",
    "make_calibration",
    "read_labels",
    "report_json",
    "report_text",
    "study_slides",
]
