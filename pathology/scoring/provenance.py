"""Doubts about a score that come from what is known of the slide, not from its cells."""

from __future__ import annotations

import re

from pathology.scoring.guidelines import Guideline

__all__ = ["names_clone", "provenance_flags"]

#: Words before a clone that say it was another one.
_NOT = re.compile(r"(?:\b(?:not|non|no|kein|ohne)[\s_-]*)$", re.IGNORECASE)
#: Clones of HER2 assays, so that a text that names two is not taken for one of them.
_CLONES = ("4B5", "SP3", "CB11", "A0485", "HERCEPTEST", "DG44", "EP3", "EP1045Y", "TAB250", "10A7")


def names_clone(assay: str | None, clone: str) -> bool:
    """Tell whether the text of an assay names a clone, and no other.

    Parameters
    ----------
    assay
        As the manifest states it; None or empty where unknown.
    clone
        Name of the clone.

    Examples
    --------
    >>> names_clone("VENTANA anti-HER-2/neu (4B5)", "4B5"), names_clone("pathway 4b5", "4B5")
    (True, True)
    >>> names_clone("HercepTest", "4B5"), names_clone("non-4B5", "4B5"), names_clone(None, "4B5")
    (False, False, False)
    """
    text = assay or ""
    found = False
    for name in {*_CLONES, clone.upper()}:
        for match in re.finditer(rf"(?<![A-Za-z0-9]){name}(?![A-Za-z0-9])", text, re.IGNORECASE):
            if name != clone.upper() or _NOT.search(text[: match.start()]):
                return False
            found = True
    return found


def provenance_flags(
    guideline: Guideline, *, ihc_score: str | None, assay: str | None
) -> frozenset[str]:
    """Return the doubts that a guideline and an assay bring to a result.

    Parameters
    ----------
    guideline
        What was scored by.
    ihc_score
        The score; None without one.
    assay
        As the manifest states it; None or empty where unknown.

    Returns
    -------
    frozenset of str
        ``guideline_unverified`` for every result by a guideline whose wording was not seen at the
        source, with a score or without; ``assay_not_4B5`` (or another clone of the guideline) where
        the assay is another clone or unknown and the guideline names the score as one that depends
        on it.

    Examples
    --------
    >>> from pathology.scoring.guidelines import load_guideline
    >>> sorted(provenance_flags(load_guideline("db04-approx"), ihc_score="2+", assay="SP3"))
    ['assay_not_4B5', 'guideline_unverified']
    """
    flags = set() if guideline.verified else {"guideline_unverified"}
    rule = guideline.assay
    if rule and ihc_score in rule.scores and not names_clone(assay, rule.clone):
        flags.add(f"assay_not_{rule.clone}")
    return frozenset(flags)
