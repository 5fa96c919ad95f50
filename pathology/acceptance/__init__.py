"""Acceptance of an installation: what was expected of slides, what came out, and pass or fail.

:mod:`~pathology.acceptance.criteria` holds what is asked and its limits (a YAML file),
:mod:`~pathology.acceptance.expected` what a slide may come out as,
:mod:`~pathology.acceptance.synthetic` makes slides with truth, :mod:`~pathology.acceptance.facts`
and :mod:`~pathology.acceptance.compare` read run folders, and :mod:`~pathology.acceptance.judge`
turns what they found into verdicts without reading anything.
"""

from __future__ import annotations

from pathology.acceptance.compare import RunComparison, SlidePair, compare_runs
from pathology.acceptance.criteria import Criteria, load_criteria
from pathology.acceptance.expected import ExpectedOutcome
from pathology.acceptance.facts import CellFacts, SlideFact, gather_facts
from pathology.acceptance.judge import SetEvidence, judge_set
from pathology.acceptance.record import Acceptance, Overall
from pathology.acceptance.synthetic import SyntheticTruth, make_slides
from pathology.acceptance.verdicts import DEFINITIONS, SetName, Verdict

__all__ = [
    "DEFINITIONS",
    "Acceptance",
    "CellFacts",
    "Criteria",
    "ExpectedOutcome",
    "Overall",
    "RunComparison",
    "SetEvidence",
    "SetName",
    "SlideFact",
    "SlidePair",
    "SyntheticTruth",
    "Verdict",
    "compare_runs",
    "gather_facts",
    "judge_set",
    "load_criteria",
    "make_slides",
]
