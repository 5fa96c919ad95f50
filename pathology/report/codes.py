"""Public codes of the test and its answers, for every export that speaks in codes.

Source: HL7 FHIR implementation guide "Breast Cancer Data", release 1 (US realm, 2018Sep): value set
HER2byIHCInterpretationTestsVS for the tests, HER2byIHCScoreVS (LOINC answer list LL4396-9) for the
answers.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from pathology.runs.result import SlideResult

__all__ = ["ANSWERS", "score_code"]

_BREAST: Final = ("85319-2", "HER2 [Presence] in Breast cancer specimen by Immune stain")
_OTHER: Final = ("18474-7", "HER2 Ag [Presence] in Tissue by Immune stain")
#: LOINC code and words of each score; None for a slide without one.
ANSWERS: Final = MappingProxyType(
    {
        "0": ("LA6111-4", "0"),
        "1+": ("LA11841-6", "1+"),
        "2+": ("LA11842-4", "2+"),
        "3+": ("LA11843-2", "3+"),
        None: ("LA11884-6", "Indeterminate"),
    }
)


def score_code(result: SlideResult) -> tuple[str, str]:
    """Return the LOINC code of the test and its name.

    Parameters
    ----------
    result
        The slide; its guideline says which tissue it is.

    Examples
    --------
    >>> slide = SlideResult(slide_id="a", path="a", status="failed", reasons=("unreadable",))
    >>> score_code(slide)[0]
    '85319-2'
    """
    return _OTHER if (result.guideline or "").startswith("gastric") else _BREAST
