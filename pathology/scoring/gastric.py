"""The rule set for gastric cancer: counts and clusters in, decision out.

The steps themselves are in :mod:`pathology.scoring.gastric_steps`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pathology.config import ScoringConfig
from pathology.scoring.counts import PatternCounts
from pathology.scoring.decision import ClusterSizes, Decision, format_pct, pattern_total
from pathology.scoring.gastric_steps import (
    RULE_SCORES,
    Case,
    counted,
    level_kinds,
    make_case,
    rule_of,
)
from pathology.scoring.guidelines import Guideline
from pathology.scoring.wording import CELL_WORDING, Wording
from pathology.types import BoolArray, IntArray, U8Array

__all__ = ["classify_gastric", "decide_gastric", "rederive_gastric"]

_SCORES: Final = ("0", "1+", "2+", "3+")
_WORDS: Final = {1: "faint", 2: "weak to moderate", 3: "intense"}
#: A smaller share than this of the tumour cells is a small population, whatever decided; the same
#: 10 % as of resections.
_SMALL_PCT: Final = 10


def decide_gastric(
    counts: PatternCounts,
    *,
    guideline: Guideline,
    params: ScoringConfig,
    clusters: ClusterSizes,
    wording: Wording = CELL_WORDING,
) -> Decision:
    """Score counts by the gastric rules.

    Parameters
    ----------
    counts
        Evaluable invasive tumour cells, at least 1.
    guideline
        Cut-offs and interpretations, with the specimen type.
    params
        Not looked at: the limits are the guideline's.
    clusters
        Largest contiguous clusters by level; looked at for biopsies.
    wording
        What the clause calls the things that were counted.

    Returns
    -------
    Decision
        Score, rule, clause, distance and flags. For a biopsy the distance is the number of
        contiguous cells that the deciding cluster would have to lose, or the next stronger one to
        gain, as percentage points of all tumour cells; ``close`` says whether a cluster is within
        reach of its least size (from half of it to less than twice).

    Raises
    ------
    ValueError
        If there is no cell to score, or the specimen type is not stated.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> from pathology.scoring.guidelines import load_guideline
    >>> gastric = load_guideline("gastric-inclusive")
    >>> counts = PatternCounts(unstained=900, weak_complete=40, intense_incomplete=60)
    >>> for specimen in ("resection", "biopsy"):
    ...     found = decide_gastric(counts, guideline=gastric.for_specimen(specimen),
    ...                            params=load_config().scoring,
    ...                            clusters=ClusterSizes(level_1=30, level_2=30, level_3=22))
    ...     print(found.clause)
    2+: 10.0 % weak to moderate or intense ≥ 10 % (100 of 1,000 cells) of a resection; \
interpretation sum_towards_2
    3+: 22 contiguous intense cells (≥ 5 cells) in a biopsy; 6.0 % intense (60 of 1,000 cells)
    """
    del params
    case = make_case(counts, guideline=guideline, clusters=clusters)
    rule = rule_of(case)
    score, below_one = RULE_SCORES[rule]
    level = _SCORES.index(score)
    biopsy = case.specimen == "biopsy"
    patterns = level_kinds(guideline, _deciding_levels(case, level))
    distance, nearest = (_biopsy_margin if biopsy else _resection_margin)(case, level)
    least = guideline.clusters["biopsy"].least
    clause = (_biopsy_clause if biopsy else _resection_clause)(case, level, wording)
    suffix = f"/clusters={'+'.join(str(n) for n in case.largest[:0:-1])}" if biopsy else ""
    n = pattern_total(counts, patterns)
    tests = {
        "small_population": level > 0 and 100 * n < _SMALL_PCT * case.total,
        "mixed_pattern": not biopsy and _is_mixed(case, level),
    }
    return Decision(
        score=score,
        below_one=below_one,
        rule=rule + suffix,
        clause=clause,
        patterns=patterns,
        n=n,
        total=case.total,
        cutoff_pct=100 * min(1.0, least / case.total)
        if biopsy
        else guideline.cutoffs[f"score_{max(level, 1)}"].pct,
        distance_pp=distance,
        nearest_score=nearest,
        flags=tuple(sorted(name for name, holds in tests.items() if holds)),
        close=_is_close(case, level) if biopsy else None,
    )


def classify_gastric(
    cells: IntArray, clustered: BoolArray, *, guideline: Guideline, params: ScoringConfig
) -> U8Array:
    """Score r sets of counts by the gastric rules.

    Parameters
    ----------
    cells
        (r, 5) int64: cells of level 0, 1, 2 and 3 (and an empty column); each row with at least
        one cell.
    clustered
        (r, 3) bool: whether cells of level 3, of level 2 or 3, and of level 1, 2 or 3 hold a
        cluster of the least size.
    guideline, params
        As in :func:`decide_gastric`.

    Returns
    -------
    numpy.ndarray
        (r,) uint8: index into :data:`~pathology.scoring.breast_many.OUTCOMES`. A 0 with stained
        cells has the code of ultralow, one without that of null; neither is a tier here.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> from pathology.scoring.guidelines import load_guideline
    >>> classify_gastric(np.array([[90, 0, 0, 10, 0]]), np.zeros((1, 3), dtype=bool),
    ...                  guideline=load_guideline("gastric-inclusive").for_specimen("resection"),
    ...                  params=load_config().scoring).tolist()
    [4]
    """
    del params
    level_1, level_2, level_3 = (cells[:, k].astype(np.int64) for k in (1, 2, 3))
    if guideline.specimen == "biopsy":
        third = clustered[:, 0]
        second = third | clustered[:, 1]
        passed = [third, second, second | clustered[:, 2]]
    else:
        total = cells.sum(axis=1, dtype=np.int64)
        two = level_2 + level_3 if guideline.applies("sum_towards_2") else level_2
        one = level_1 + level_2 + level_3 if guideline.applies("sum_towards_1") else level_1
        shares = {3: level_3, 2: two, 1: one}
        passed = [guideline.cutoffs[f"score_{k}"].passed(n, total) for k, n in shares.items()]
    some = level_1 + level_2 + level_3 > 0
    return np.select([*passed, some], [4, 3, 2, 1], default=0).astype(np.uint8)


def rederive_gastric(rule: str, counts: PatternCounts, *, guideline: Guideline) -> str | None:
    """Derive a score again from the counts and the name of the rule alone.

    The name says which specimen it was, and for a biopsy how large its clusters were.

    Parameters
    ----------
    rule
        The rule that decided, with its suffix.
    counts
        Evaluable invasive tumour cells, at least 1.
    guideline
        Cut-offs and interpretations; its own specimen is not looked at.

    Returns
    -------
    str
        The score.

    Raises
    ------
    ValueError
        If there is no such rule, or it does not hold for these counts.

    Examples
    --------
    >>> from pathology.scoring.guidelines import load_guideline
    >>> rederive_gastric("biopsy_3_intense/clusters=7+9+9",
    ...                  PatternCounts(unstained=90, weak_complete=2, intense_complete=8),
    ...                  guideline=load_guideline("gastric-inclusive"))
    '3+'
    """
    name, _, suffix = rule.partition("/clusters=")
    specimen = name.partition("_")[0]
    if name not in RULE_SCORES or bool(suffix) != (specimen == "biopsy"):
        raise ValueError(f"there is no rule {rule!r}")
    sizes = [int(part) if part.isdecimal() else -1 for part in suffix.split("+")] if suffix else []
    if suffix and (len(sizes) != 3 or min(sizes) < 0 or sizes != sorted(sizes)):
        raise ValueError(f"there is no rule {rule!r}")
    third, second, first = sizes or (0, 0, 0)
    chosen = guideline.model_copy(update={"specimen": specimen})
    case = make_case(
        counts,
        guideline=chosen,
        clusters=ClusterSizes(level_1=first, level_2=second, level_3=third),
    )
    held = [sum(case.at_level[k:]) for k in (1, 2, 3)]
    fits = all(n <= most for n, most in zip((first, second, third), held, strict=True))
    if rule_of(case) != name or not fits:
        raise ValueError(f"rule {rule!r} does not hold for {counts}")
    return RULE_SCORES[name][0]


def _deciding_levels(case: Case, level: int) -> tuple[int, ...]:
    """Return the levels whose cells make the deciding fraction."""
    if case.specimen == "biopsy":
        # Clusters are of cells of at least a level.
        return tuple(range(max(level, 1), 4))
    return case.levels_towards(max(level, 1))


def _resection_margin(case: Case, level: int) -> tuple[float, str]:
    """Return the distance to the nearest other score, and that score."""
    cutoffs = case.guideline.cutoffs
    above = {k: 100 * counted(case, k) / case.total - cutoffs[f"score_{k}"].pct for k in (1, 2, 3)}
    margins = [(-above[k], _SCORES[k]) for k in range(level + 1, 4)]
    if level:
        # Below its cut-off, the next weaker level that still passes decides.
        passing = [k for k in range(level - 1, 0, -1) if _passes(case, k)]
        margins.append((above[level], _SCORES[passing[0] if passing else 0]))
    distance, nearest = min(margins, key=lambda margin: margin[0])
    return max(0.0, distance), nearest


def _passes(case: Case, level: int) -> bool:
    cutoff = case.guideline.cutoffs[f"score_{level}"]
    return bool(cutoff.passed(counted(case, level), case.total))


def _biopsy_margin(case: Case, level: int) -> tuple[float, str]:
    """Return the cells to lose or to gain as percentage points, and the score that this makes."""
    least = case.guideline.clusters["biopsy"].least
    margins = [(least - case.largest[k], _SCORES[k]) for k in range(level + 1, 4)]
    if level:
        weaker = [k for k in range(level - 1, 0, -1) if case.largest[k] >= least]
        lost = case.largest[level] - least + 1
        margins.append((lost, _SCORES[weaker[0] if weaker else 0]))
    cells, nearest = min(margins, key=lambda margin: margin[0])
    return min(100.0, 100 * cells / case.total), nearest


def _is_close(case: Case, level: int) -> bool:
    """Tell whether a cluster is near its least size: from half of it to less than twice."""
    least = case.guideline.clusters["biopsy"].least
    small = level > 0 and case.largest[level] < 2 * least
    return small or any(2 * case.largest[k] >= least for k in range(level + 1, 4))


def _is_mixed(case: Case, level: int) -> bool:
    """Tell whether only cells of several levels together passed the cut-off."""
    if level in (0, 3):
        return False
    cutoff = case.guideline.cutoffs[f"score_{level}"]
    return not cutoff.passed(case.at_level[level], case.total)


def _names(levels: tuple[int, ...]) -> str:
    return "stained" if levels == (1, 2, 3) else " or ".join(_WORDS[level] for level in levels)


def _resection_clause(case: Case, level: int, wording: Wording) -> str:
    held = max(level, 1)
    cutoff, levels = case.guideline.cutoffs[f"score_{held}"], case.levels_towards(held)
    n = counted(case, held)
    if case.at_level[0] == case.total:
        return f"0: {wording.unstained} (0 of {case.total:,} {wording.units}) of a resection"
    pct = format_pct(n, case.total, cutoff=cutoff.pct)
    passed = cutoff.words(passed=level > 0)
    comma = "" if level else ","
    text = (
        f"{_SCORES[level]}: {pct} {_names(levels)}{comma} {passed} "
        f"({n:,} of {case.total:,} {wording.units}) of a resection"
    )
    added = len(levels) > 1 and any(case.at_level[k] for k in levels[1:])
    return text + (f"; interpretation sum_towards_{held}" if added else "") + _weak(case, levels)


def _biopsy_clause(case: Case, level: int, wording: Wording) -> str:
    held = max(level, 1)
    if case.at_level[0] == case.total:
        return f"0: {wording.unstained} (0 of {case.total:,} {wording.units}) in a biopsy"
    levels = tuple(range(held, 4))
    names, n = _names(levels), sum(case.at_level[k] for k in levels)
    limit = case.guideline.clusters["biopsy"].words()
    size = case.largest[held]
    found = (
        f"{size:,} contiguous {names} cells ({limit})"
        if level
        else f"at most {size:,} contiguous {names} cells, not {limit},"
    )
    return (
        f"{_SCORES[level]}: {found} in a biopsy; {format_pct(n, case.total)} {names} "
        f"({n:,} of {case.total:,} {wording.units})"
    ) + _weak(case, levels)


def _weak(case: Case, levels: tuple[int, ...]) -> str:
    """Name the reading of weak parts of membranes, where there are such cells."""
    used = case.guideline.applies("weak_partial_is_2") and case.counts.weak_incomplete
    return "; interpretation weak_partial_is_2" if used and levels[0] == 2 else ""
