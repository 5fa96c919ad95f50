"""From the evaluable tumour cells of a slide to its score."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pathology.config import ScoringConfig
from pathology.errors import ReasonCode
from pathology.scoring.bootstrap import Blocks
from pathology.scoring.codes import counts_from_codes
from pathology.scoring.counts import PatternCounts
from pathology.scoring.decision import ClusterSizes, Decision
from pathology.scoring.evidence import Evidence
from pathology.scoring.guidelines import Guideline, load_guideline
from pathology.scoring.refusals import judge_presence
from pathology.scoring.rules import OUTCOMES, apply_rules
from pathology.scoring.slide_score import SlideScore
from pathology.scoring.tiers import her2_status, her2_tier, ish_reflex
from pathology.scoring.uncertainty import Uncertainty, assess
from pathology.scoring.unseen import scores_with_unseen, unseen_cells
from pathology.scoring.views import Views, make_views
from pathology.scoring.wording import CELL_WORDING, Wording
from pathology.types import FloatArray

__all__ = ["h_score", "score_evidence"]

#: Values that are Python numbers at the same time, in an exact sum.
_SUMMED_AT_ONCE = 65_536


def h_score(counts: PatternCounts) -> float | None:
    """Return the H-score of membrane intensity, whatever the completeness.

    Faint and weak cells count 1, moderate 2, intense 3, each per cent of evaluable tumour cells.

    Parameters
    ----------
    counts
        Evaluable tumour cells.

    Returns
    -------
    float or None
        0 to 300; None without cells.

    Examples
    --------
    >>> h_score(PatternCounts(unstained=40, weak_incomplete=20, moderate_complete=20,
    ...                       intense_complete=20))
    120.0
    """
    if counts.total == 0:
        return None
    weak = counts.incomplete_faint + counts.faint_complete + counts.weak_complete
    moderate = counts.moderate_incomplete + counts.moderate_complete
    intense = counts.intense_incomplete + counts.intense_complete
    return 100 * (weak + 2 * moderate + 3 * intense) / counts.total


def score_evidence(
    evidence: Evidence,
    params: ScoringConfig,
    *,
    guideline: Guideline | None = None,
    specimen_type: str | None = None,
    limit_of_blank_od: float = 0.0,
    refusals: Sequence[ReasonCode] = (),
    wording: Wording = CELL_WORDING,
) -> SlideScore:
    """Score a slide from its evaluable tumour cells.

    Missing evidence is never a low score: without enough cells, or where tissue that could not be
    read might change the score, there is none.

    Parameters
    ----------
    evidence
        Cells, tissue and failed tissue.
    params
        The section ``scoring`` of the configuration.
    guideline
        The guideline; None reads the one that ``params`` names.
    specimen_type
        As the manifest states it. Where the guideline's rules differ by it and it is not one of
        theirs, there is no score (``specimen_type_unknown``): it is never guessed.
    limit_of_blank_od
        The limit of blank that was subtracted from the measurements, in OD. With 0 a score of 0 is
        flagged ``limit_of_blank_unset``: neither its null nor its ultralow can be claimed.
    refusals
        Reasons why there can be no score that were found before (controls, focus and the like); the
        percentages are given all the same.
    wording
        What the clauses call the things that were counted; by default cells.

    Returns
    -------
    SlideScore
        Scored, or not scorable with reasons.

    Raises
    ------
    ConfigError
        If the guideline is not known.
    ValueError
        If a refusal means that the slide could not be processed.

    Examples
    --------
    >>> import numpy as np
    >>> from pathology.config import load_config
    >>> n = 200
    >>> place = np.arange(n, dtype=np.float32) * 10
    >>> intensity = np.zeros(n, dtype=np.uint8)
    >>> intensity[:50] = 4
    >>> evidence = Evidence(x_um=place, y_um=place, intensity=intensity, complete=intensity == 4,
    ...                     membrane_od=intensity * np.float32(0.2), tissue_mm2=1.0)
    >>> score = score_evidence(evidence, load_config().scoring)
    >>> score.ihc_score, score.her2_tier, score.deciding_clause
    ('3+', 'her2_positive', '3+: 25.0 % complete intense > 10 % (50 of 200 cells)')
    """
    named = guideline or load_guideline(params.guideline)
    chosen = named.for_specimen(specimen_type)
    slide = _Slide(
        evidence=evidence,
        counts=counts_from_codes(evidence.intensity, evidence.complete),
        views=make_views(evidence, chosen or named, params),
        unseen=unseen_cells(evidence, params),
        guideline=chosen or named,
        specimen_known=chosen is not None,
        specimen_type=specimen_type,
        params=params,
        wording=wording,
    )
    # Refusals come first: cells of a slide that is not to be trusted say nothing about tumour.
    reasons = set(refusals) or _missing(slide)
    if reasons:
        return _refuse(slide, tuple(code for code in ReasonCode if code in reasons))
    return _score(slide, limit_of_blank_od)


@dataclass(frozen=True, kw_only=True)
class _Slide:
    evidence: Evidence
    counts: PatternCounts
    views: Views
    unseen: int
    guideline: Guideline
    specimen_known: bool
    specimen_type: str | None
    params: ScoringConfig
    wording: Wording

    @property
    def blocks(self) -> Blocks:
        return self.views.blocks

    @property
    def clusters(self) -> ClusterSizes:
        return self.views.clusters

    def common(self) -> dict[str, Any]:
        """Return the fields that do not depend on whether there is a score."""
        densities = self.evidence.membrane_od
        return {
            "counts": self.counts,
            # An exact sum: the mean does not depend on the order of the cells.
            "mean_membrane_od": _exact_sum(densities) / len(densities) if len(densities) else None,
            "h_score": h_score(self.counts),
            "guideline": self.guideline.id,
            "guideline_version": self.guideline.version,
            "clusters": self.clusters,
            "unseen_cells": self.unseen,
            "n_in_situ_excluded": self.evidence.n_in_situ_excluded,
            "n_blocks": len(self.blocks.cells),
            "low_tiers": self.guideline.low_tiers,
        }


def _exact_sum(values: FloatArray) -> float:
    """Add up without rounding, some values at a time: as Python numbers all take 40 bytes each."""
    parts = (values[at : at + _SUMMED_AT_ONCE] for at in range(0, len(values), _SUMMED_AT_ONCE))
    return math.fsum(itertools.chain.from_iterable(part.tolist() for part in parts))


def _missing(slide: _Slide) -> set[ReasonCode]:
    """Tell what is missing for a score: of the evidence, and of what is known about the slide."""
    unknown = set() if slide.specimen_known else {ReasonCode.SPECIMEN_TYPE_UNKNOWN}
    return _missing_evidence(slide) | unknown


def _missing_evidence(slide: _Slide) -> set[ReasonCode]:
    total, unseen, least = slide.counts.total, slide.unseen, slide.params.min_tumour_cells
    presence = slide.evidence.presence
    # Without word on the other nuclei, cells that were called tumour are believed.
    verdict = "present" if presence is None else judge_presence(presence, slide.params)
    if total >= least and verdict == "present":
        # Without the specimen type there are no rules to ask what could change.
        asked = unseen and slide.specimen_known
        return {ReasonCode.FAILED_TILES} if asked and _could_change(slide) else set()
    if unseen and slide.evidence.read_mm2 == 0:
        # Where nothing was read, nothing can be said about tumour.
        return {ReasonCode.FAILED_TILES}
    none = total == 0 or verdict == "absent"
    found = {ReasonCode.NO_TUMOUR if none else ReasonCode.TOO_FEW_CELLS}
    if unseen and total + unseen >= least:
        found.add(ReasonCode.FAILED_TILES)
    return found


def _could_change(slide: _Slide) -> bool:
    seen = _decide(slide).score
    possible = scores_with_unseen(
        slide.counts,
        slide.unseen,
        guideline=slide.guideline,
        params=slide.params,
        clusters=slide.clusters,
    )
    return possible != {seen}


def _decide(slide: _Slide) -> Decision:
    return apply_rules(
        slide.counts,
        guideline=slide.guideline,
        params=slide.params,
        clusters=slide.clusters,
        wording=slide.wording,
    )


def _refuse(slide: _Slide, reasons: tuple[ReasonCode, ...]) -> SlideScore:
    wording, presence, params = slide.wording, slide.evidence.presence, slide.params
    few = f"{slide.counts.total:,} {wording.counted}, fewer than {params.min_tumour_cells:,}"
    if presence is not None:
        sure = slide.counts.total < params.min_tumour_cells
        few = f"{few if sure else 'too few that are surely tumour'}: {presence.describe(params)}"
    none = f"no {wording.none}"
    if presence is not None and slide.counts.total:
        none = f"no tumour: {presence.describe(params)}"
    words = {
        ReasonCode.NO_TUMOUR: none,
        ReasonCode.TOO_FEW_CELLS: few,
        ReasonCode.SPECIMEN_TYPE_UNKNOWN: _specimen_words(slide),
        ReasonCode.FAILED_TILES: f"up to {slide.unseen:,} tumour {wording.units} in tissue that "
        "could not be read, which could change the score",
    }
    return SlideScore(
        status="not_scorable",
        reasons=reasons,
        ihc_score=None,
        her2_status=her2_status(None),
        her2_tier=None,
        ish_reflex=None,
        deciding_rule="1_not_evaluable",
        deciding_clause="no score: "
        + "; ".join(words.get(code, code.replace("_", " ")) for code in reasons),
        effective_cells=None,
        **slide.common(),
    )


def _specimen_words(slide: _Slide) -> str:
    stated = f"the specimen type {slide.specimen_type!r}" if slide.specimen_type else "none"
    return (
        f"guideline {slide.guideline.id} needs the specimen type "
        f"({' or '.join(slide.guideline.specimens)}), and the manifest states {stated}"
    )


def _score(slide: _Slide, limit_of_blank_od: float) -> SlideScore:
    decision = _decide(slide)
    sure = assess(
        decision,
        slide.blocks,
        guideline=slide.guideline,
        params=slide.params,
        unseen=slide.unseen,
        off_scale=slide.views.off_scale,
    )
    flags = _flags(decision, sure, slide, limit_of_blank_od)
    shares = sure.shares or (None,) * len(OUTCOMES)
    return SlideScore(
        status="scored",
        reasons=(),
        ihc_score=decision.score,
        her2_status=her2_status(decision.score),
        her2_tier=her2_tier(
            decision.score, below_one=decision.below_one, low_tiers=slide.guideline.low_tiers
        ),
        ish_reflex=ish_reflex(decision.score) or False,
        deciding_rule=decision.rule,
        deciding_clause=decision.clause,
        deciding_patterns=decision.patterns,
        deciding_pct=decision.pct,
        deciding_lo=min(sure.lo, decision.pct),
        deciding_hi=max(sure.hi, decision.pct),
        cutoff_pct=decision.cutoff_pct,
        distance_to_cutoff_pp=abs(decision.pct - decision.cutoff_pct),
        nearest_score=decision.nearest_score,
        nearest_score_pp=decision.distance_pp,
        boot_share_null=shares[0],
        boot_share_ultralow=shares[1],
        boot_share_1=shares[2],
        boot_share_2=shares[3],
        boot_share_3=shares[4],
        ultralow_upper_pct=sure.stained_upper
        if decision.score == "0" and slide.guideline.low_tiers
        else None,
        borderline="borderline" in flags,
        flags=flags,
        effective_cells=sure.effective,
        **slide.common(),
    )


def _flags(
    decision: Decision, sure: Uncertainty, slide: _Slide, limit_of_blank_od: float
) -> tuple[str, ...]:
    params, presence = slide.params, slide.evidence.presence
    unstable = sure.agreement is not None and sure.agreement < params.boot_share_min
    low_tiers = slide.guideline.low_tiers
    null = low_tiers and decision.below_one == "null"
    close = decision.distance_pp <= params.borderline_pp
    tests = {
        "borderline": (close if decision.close is None else decision.close)
        or unstable
        or "gap_pattern" in decision.flags,
        "bootstrap_unstable": unstable,
        "scale_unstable": sure.scale_agreement < params.boot_share_min,
        "few_blocks": len(slide.blocks.cells) < params.bootstrap_min_blocks,
        "failed_tiles": slide.unseen > 0,
        "scattered_tumour_cells": presence is not None and 2 * presence.n_grouped < presence.sure,
        "limit_of_blank_unset": low_tiers and decision.score == "0" and limit_of_blank_od <= 0,
        # Tissue that could not be read may hold stained cells, however few; so may the same tissue
        # a little darker.
        "ultralow_not_excluded": null
        and (
            sure.stained_upper > params.ultralow_max_pct
            or slide.unseen > 0
            or sure.stained_off_scale
        ),
    }
    return tuple(sorted({*decision.flags, *(name for name, holds in tests.items() if holds)}))
