"""The score of one slide, with everything that speaks for and against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pathology.errors import FAILED_REASONS, ReasonCode
from pathology.scoring.counts import PatternCounts
from pathology.scoring.decision import ClusterSizes, pattern_total
from pathology.scoring.tiers import Her2Status, Her2Tier, her2_status, her2_tier, ish_reflex

__all__ = ["TILE_FLAG", "SlideScore"]

#: The flag of a score whose counts are tiles that a model classified, not cells.
TILE_FLAG = "tile_model"

_BELOW_ONE: dict[str, Literal["null", "ultralow"]] = {
    "her2_null": "null",
    "her2_ultralow": "ultralow",
}


@dataclass(frozen=True, kw_only=True)
class SlideScore:
    """Hold the score of one slide.

    The score follows from ``counts`` and ``deciding_rule`` alone
    (:func:`~pathology.scoring.rules.rederive_score`). Fields that need a score are None without.

    Parameters
    ----------
    status
        ``scored``, or ``not_scorable`` where evidence is missing.
    reasons
        Why there is no score, in the order of :class:`~pathology.errors.ReasonCode`; empty where
        scored.
    ihc_score
        ``0``, ``1+``, ``2+``, ``3+``; None where not scorable, or where the gap policy leaves a
        mixture that no category describes unresolved.
    her2_status
        ``negative``, ``equivocal``, ``positive``; ``indeterminate`` without a score.
    her2_tier
        ``her2_null``, ``her2_ultralow``, ``her2_low``, ``her2_equivocal``, ``her2_positive``; None
        for 0 and 1+ where the guideline has no low tiers.
    ish_reflex
        True for 2+; False for the rest that is scored.
    counts
        Evaluable tumour cells, also where not scorable.
    mean_membrane_od
        Mean over all evaluable tumour cells of the OD along the whole outline; None without cells,
        and with the flag ``tile_model``.
    h_score
        0 to 300: per cent of faint and weak cells, plus twice that of moderate, plus thrice that of
        intense ones; None without cells, and with the flag ``tile_model``.
    deciding_rule, deciding_clause
        Name of the rule that decided (or of the refusal), and the same in words with figures.
    deciding_patterns
        The patterns whose cells make the deciding fraction.
    deciding_pct, cutoff_pct
        The deciding fraction and the cut-off that it was compared with, in per cent.
    deciding_lo, deciding_hi
        Interval of the deciding fraction in per cent, widened by what could not be read.
    distance_to_cutoff_pp
        Percentage points between the deciding fraction and its cut-off.
    nearest_score, nearest_score_pp
        The score that the smallest change of any share would bring, and that change in percentage
        points (``distance_pp`` of :class:`~pathology.scoring.decision.Decision`). Another share
        than the deciding one may be nearer: a 2+ by 16.8 % is 10 points from a 3+.
    boot_share_null, boot_share_ultralow, boot_share_1, boot_share_2, boot_share_3
        Shares (0 to 1) of bootstrap replicates with this outcome; what lacks to 1 is unresolved.
        Not a diagnostic probability. None without a bootstrap.
    ultralow_upper_pct
        For a score of 0: one-sided exact upper bound of the stained share in per cent.
    borderline
        Within ``borderline_pp`` of another score (or close to it by the rules' own measure), the
        same score in fewer than ``boot_share_min`` of the replicates, or a mixture that no category
        describes.
    flags
        Doubts, sorted.
    guideline, guideline_version
        What was scored by.
    clusters
        Largest contiguous clusters of the strong patterns.
    unseen_cells
        Tumour cells that failed tissue may hold.
    n_in_situ_excluded
        Cells of in-situ carcinoma that were left out.
    n_blocks
        Blocks of tissue with tumour cells, which the bootstrap resampled.
    effective_cells
        Number of independent cells that the slide is worth.
    low_tiers
        Whether the guideline has null, ultralow and low.

    Raises
    ------
    ValueError
        If the fields contradict each other.
    """

    status: Literal["scored", "not_scorable"]
    reasons: tuple[ReasonCode, ...]
    ihc_score: str | None
    her2_status: Her2Status
    her2_tier: Her2Tier | None
    ish_reflex: bool | None
    counts: PatternCounts
    mean_membrane_od: float | None
    h_score: float | None
    deciding_rule: str
    deciding_clause: str
    deciding_patterns: tuple[str, ...] = ()
    deciding_pct: float | None = None
    deciding_lo: float | None = None
    deciding_hi: float | None = None
    cutoff_pct: float | None = None
    distance_to_cutoff_pp: float | None = None
    nearest_score: str | None = None
    nearest_score_pp: float | None = None
    boot_share_null: float | None = None
    boot_share_ultralow: float | None = None
    boot_share_1: float | None = None
    boot_share_2: float | None = None
    boot_share_3: float | None = None
    ultralow_upper_pct: float | None = None
    borderline: bool | None = None
    flags: tuple[str, ...] = ()
    guideline: str
    guideline_version: str
    clusters: ClusterSizes
    unseen_cells: int
    n_in_situ_excluded: int
    n_blocks: int
    effective_cells: float | None
    low_tiers: bool = True

    def __post_init__(self) -> None:
        if (self.status == "scored") != (not self.reasons):
            raise ValueError("reasons must be empty for scored slides, and only for them")
        if any(reason in FAILED_REASONS for reason in self.reasons):
            raise ValueError("a slide that could not be processed has no score object")
        if self.flags != tuple(sorted(set(self.flags))):
            raise ValueError("flags must be sorted and unique")
        if (self.h_score is None) != (self.counts.total == 0 or TILE_FLAG in self.flags):
            raise ValueError("h_score is given where there are measured cells, and only there")
        self._check_score()
        self._check_figures()

    def _check_score(self) -> None:
        if self.status == "not_scorable" and self.ihc_score is not None:
            raise ValueError("a slide that is not scorable has no score")
        below_one = _BELOW_ONE.get(self.her2_tier or "")
        if not self.low_tiers and self.ihc_score == "0":
            below_one = "null"
        expected = her2_tier(self.ihc_score, below_one=below_one, low_tiers=self.low_tiers)
        if self.her2_tier != expected:
            raise ValueError(f"tier {self.her2_tier} does not go with score {self.ihc_score}")
        if self.her2_status != her2_status(self.ihc_score):
            raise ValueError(f"status {self.her2_status} does not go with score {self.ihc_score}")
        reflex = ish_reflex(self.ihc_score)
        if self.status == "scored":
            # An unresolved mixture was read in full; ISH follows a 2+ only.
            reflex = bool(reflex)
        if self.ish_reflex is not reflex:
            raise ValueError("ish_reflex is True for 2+, False for the rest that is scored")

    def _check_figures(self) -> None:
        figures = (
            self.deciding_pct,
            self.deciding_lo,
            self.deciding_hi,
            self.cutoff_pct,
            self.distance_to_cutoff_pp,
            self.nearest_score_pp,
            self.borderline,
        )
        if any((figure is None) == (self.status == "scored") for figure in figures):
            raise ValueError("figures of the decision are given for scored slides, and only there")
        if self.deciding_pct is None or self.deciding_lo is None or self.deciding_hi is None:
            return
        expected = 100 * pattern_total(self.counts, self.deciding_patterns) / self.counts.total
        if self.deciding_pct != expected:
            raise ValueError(f"deciding_pct must be {expected}, not {self.deciding_pct}")
        if not 0 <= self.deciding_lo <= self.deciding_pct <= self.deciding_hi <= 100:
            raise ValueError("deciding_lo <= deciding_pct <= deciding_hi must hold, 0 to 100")

    def _pct(self, n: int) -> float | None:
        return 100 * n / self.counts.total if self.counts.total else None

    @property
    def pct_complete_intense(self) -> float | None:
        """Complete intense cells, per cent; None without cells, as for the four others."""
        return self._pct(self.counts.complete_intense)

    @property
    def pct_complete_weak_moderate(self) -> float | None:
        """Complete, faint to moderate cells, per cent."""
        return self._pct(self.counts.complete_weak_moderate)

    @property
    def pct_incomplete_moderate_intense(self) -> float | None:
        """Incomplete, moderate or intense cells, per cent."""
        return self._pct(self.counts.incomplete_moderate_intense)

    @property
    def pct_incomplete_faint(self) -> float | None:
        """Incomplete, faint or weak cells, per cent."""
        return self._pct(self.counts.incomplete_faint)

    @property
    def pct_unstained(self) -> float | None:
        """Unstained cells, per cent."""
        return self._pct(self.counts.unstained)
