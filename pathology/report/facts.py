"""What pages and pictures say about a result, put into words and rounded in one place."""

from __future__ import annotations

from dataclasses import dataclass

from pathology.cells.table import PATTERNS
from pathology.report.guidelines import guideline_label, has_low_tiers
from pathology.report.palette import TIER_LABELS
from pathology.report.words import REGION_SOURCE_WORDS
from pathology.runs.result import SlideResult
from pathology.scoring import TILE_FLAG

#: The cut-off that a printed percentage must not hide.
CUTOFF_PCT = 10.0

__all__ = ["Facts", "PatternRow", "attention_rank", "percent"]


def percent(value: float, *, digits: int = 1) -> str:
    """Write a percentage that is never rounded onto 0, 10 or 100 % unless it is just that.

    10 % is the cut-off of the guideline; 10.04 % is above it and must not read as 10.0 %.

    Parameters
    ----------
    value
        0 to 100.
    digits
        Digits after the point.

    Examples
    --------
    >>> percent(12.34), percent(10.0), percent(10.04), percent(0.004), percent(0.0)
    ('12.3 %', '10.0 %', '10.04 %', '<0.1 %', '0.0 %')
    """
    step = 10.0**-digits
    if 0 < value < step / 2:
        return f"<{step:.{digits}f} %"
    if 100 - step / 2 < value < 100:
        return f">{100 - step:.{digits}f} %"
    # Seven digits tell one cell in ten million from the cut-off itself.
    while value != CUTOFF_PCT and round(value, digits) == CUTOFF_PCT and digits < 7:
        digits += 1
    return f"{value:.{digits}f} %"


@dataclass(frozen=True, kw_only=True)
class PatternRow:
    """Hold one line of the pattern table.

    Parameters
    ----------
    code
        Index into ``PATTERNS``.
    count
        Tumour cells with this pattern.
    pct
        Share of all tumour cells, 0 to 100.
    """

    code: int
    count: int
    pct: float


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Put a result into words.

    Parameters
    ----------
    result
        The result of one slide.

    Examples
    --------
    >>> row = SlideResult(slide_id="a", path="a.svs", status="failed", reasons=("unreadable",))
    >>> Facts(result=row).headline
    'No score'
    """

    result: SlideResult

    @property
    def headline(self) -> str:
        """The score as it stands in large type; ``No score`` or ``Unresolved`` without one."""
        if self.result.status != "scored":
            return "No score"
        return self.result.ihc_score or "Unresolved"

    @property
    def counts_tiles(self) -> bool:
        """Whether tiles were counted, by a tile classifier, and not cells."""
        return TILE_FLAG in self.result.flags

    @property
    def unit(self) -> str:
        """What was counted: ``cell`` or ``tile``."""
        return "tile" if self.counts_tiles else "cell"

    @property
    def counted(self) -> str:
        """What was counted, in full and in the plural."""
        return "tumour tiles" if self.counts_tiles else "evaluable tumour cells"

    @property
    def tier(self) -> str:
        """The HER2 tier for readers, or an empty text."""
        if self.result.her2_tier is None:
            return ""
        return TIER_LABELS[self.result.her2_tier]

    @property
    def clause(self) -> str:
        """The clause that decided, in words; the rule's name where there are none."""
        return self.result.deciding_clause or (self.result.deciding_rule or "").replace("_", " ")

    @property
    def measure_lines(self) -> tuple[str, ...]:
        """Interval, distance and bound, one short line each."""
        row, lines = self.result, []
        if row.deciding_lo is not None and row.deciding_hi is not None:
            share = "" if row.deciding_pct is None else f", {percent(row.deciding_pct)},"
            lines.append(
                f"The share that decided{share} lies between {percent(row.deciding_lo)} "
                f"and {percent(row.deciding_hi)} (resampled tiles and scale of density)."
            )
        lines += self._distance_lines()
        if row.her2_tier == "her2_null" and row.ultralow_upper_pct is not None:
            lines.append(f"Upper bound of stained cells: {percent(row.ultralow_upper_pct)}.")
        return tuple(lines)

    def _distance_lines(self) -> list[str]:
        """Say how far the deciding share is from its cut-off, and the score from another one."""
        row, lines = self.result, []
        if row.distance_to_cutoff_pp is not None:
            points = f"{abs(row.distance_to_cutoff_pp):.1f} percentage points"
            if row.cutoff_pct is None:
                lines.append(f"Distance to the cut-off: {points}.")
            else:
                lines.append(f"It is {points} from its cut-off of {row.cutoff_pct:.3g} %.")
        if row.nearest_score is not None and row.nearest_score_pp is not None:
            lines.append(
                f"Nearest other score: {row.nearest_score}, {row.nearest_score_pp:.1f} percentage "
                f"points of the {self.unit}s away."
            )
        return lines

    @property
    def patterns(self) -> tuple[PatternRow, ...]:
        """The five patterns, strongest first; none where no tumour cell was counted."""
        total = self.result.n_tumour_cells
        if not total:
            return ()
        rows = []
        for code in range(len(PATTERNS) - 1, -1, -1):
            count = getattr(self.result, f"n_{PATTERNS[code]}")
            rows.append(PatternRow(code=code, count=count, pct=100 * count / total))
        return tuple(rows)

    @property
    def boot_shares(self) -> tuple[tuple[str, float], ...]:
        """How often resampled tiles gave each score, highest score first; none if not known."""
        row = self.result
        low = has_low_tiers(row.guideline)
        pairs = (
            ("3+", row.boot_share_3),
            ("2+", row.boot_share_2),
            ("1+", row.boot_share_1),
            ("0, ultralow" if low else "0, some staining", row.boot_share_ultralow),
            ("0, null" if low else "0, no staining", row.boot_share_null),
        )
        return tuple((name, share) for name, share in pairs if share is not None)

    @property
    def provenance_lines(self) -> tuple[str, ...]:
        """Model, guideline, calibration, pixel size and region, as short lines."""
        row = self.result
        lines = []
        if row.model:
            lines.append(f"Model {row.model} ({(row.model_sha256 or '')[:12]})")
        if row.guideline:
            text = f"Guideline {guideline_label(row.guideline)}"
            lines.append(text + (f", calibration {row.calibration}" if row.calibration else ""))
        if row.mpp is not None:
            lines.append(f"Pixel size {row.mpp:.4g} µm/px, from the {row.mpp_source}")
        if row.region_source:
            lines.append(f"Tumour region: {REGION_SOURCE_WORDS[row.region_source]}")
        return tuple(lines)


def attention_rank(result: SlideResult) -> int:
    """Order slides by who needs a look first: failed, not scorable, borderline or open, the rest.

    Examples
    --------
    >>> attention_rank(SlideResult(slide_id="a", path="a", status="failed",
    ...                            reasons=("unreadable",)))
    0
    """
    if result.status == "failed":
        return 0
    if result.status == "not_scorable":
        return 1
    return 2 if result.borderline or result.ihc_score is None else 3
