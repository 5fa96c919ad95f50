"""The rules for invasive breast cancer in words, with the figures that they looked at."""

from __future__ import annotations

from pathology.scoring.breast_steps import RULE_SCORES, Case, one_plus, two_plus
from pathology.scoring.decision import format_pct
from pathology.scoring.effective import PATTERN_NAMES, floor_limit

__all__ = ["clause_of"]


def clause_of(rule: str, case: Case) -> str:
    """Put a rule into words.

    Parameters
    ----------
    rule
        The rule that decided, without suffix.
    case
        What it decided on.

    Returns
    -------
    str
        One line without a full stop.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> from pathology.scoring.breast_steps import make_case
    >>> from pathology.scoring.counts import PatternCounts
    >>> from pathology.scoring.decision import ClusterSizes
    >>> from pathology.scoring.guidelines import load_guideline
    >>> case = make_case(PatternCounts(unstained=93, weak_incomplete=7), clusters=ClusterSizes(),
    ...                  guideline=load_guideline("asco-cap-breast-2018"),
    ...                  params=load_config().scoring)
    >>> clause_of("8_incomplete_faint", case)
    '0 (ultralow): 7.0 % incomplete faint, not > 10 % (7 of 100 cells)'
    """
    score, below_one = RULE_SCORES[rule]
    lead = score or "unresolved"
    if below_one:
        lead += f" ({below_one})"
    body = {
        "2": _intense,
        "3": _intense_present,
        "4": _complete,
        "5": _basolateral,
        "6": _stained,
        "7": _gap,
        "8": _faint,
        "9": _none,
    }[rule[0]](case)
    return f"{lead}: {body}{_moved_words(case)}"


def _of(n: int, case: Case) -> str:
    return f"({n:,} of {case.cells.total:,} {case.wording.units})"


def _name(short: str, case: Case) -> str:
    return case.wording.patterns[short]


def _pct(n: int, case: Case, cutoff: str) -> str:
    return format_pct(n, case.cells.total, cutoff=case.guideline.cutoffs[cutoff].pct)


def _limit(case: Case, cutoff: str, *, passed: bool) -> str:
    return case.guideline.cutoffs[cutoff].words(passed=passed)


def _intense(case: Case) -> str:
    n = case.cells.ci
    return (
        f"{_pct(n, case, 'score_3')} {_name('CI', case)} {_limit(case, 'score_3', passed=True)} "
        f"{_of(n, case)}"
    )


def _intense_present(case: Case) -> str:
    n, cluster = case.cells.ci, case.clusters.complete_intense
    floor = floor_limit(case.params, case.guideline)
    if n < floor * case.cells.total:
        why = f"present as a contiguous cluster of {cluster:,} {case.wording.units}"
    else:
        why = f"present (floor {float(100 * floor):g} %)"
    return (
        f"{_pct(n, case, 'score_3')} {_name('CI', case)}, {why} but "
        f"{_limit(case, 'score_3', passed=False)} {_of(n, case)}"
    )


def _complete(case: Case) -> str:
    n = case.cells.cw
    return (
        f"{_pct(n, case, 'score_2')} {_name('CW', case)} "
        f"{_limit(case, 'score_2', passed=True)} {_of(n, case)}"
    )


def _basolateral(case: Case) -> str:
    n, limit = two_plus(case.cells, case.guideline), _limit(case, "score_2", passed=True)
    share = _pct(n, case, "score_2")
    if not case.cells.cw or not case.guideline.applies("sum_towards_2"):
        return f"{share} {_name('IM', case)} {limit} {_of(n, case)}"
    return (
        f"{share} {_name('CW', case)} and {_name('IM', case)} together {limit} "
        f"{_of(n, case)}; interpretation sum_towards_2"
    )


def _stained(case: Case) -> str:
    n, limit = one_plus(case.cells, case.guideline), _limit(case, "score_1", passed=True)
    share = _pct(n, case, "score_1")
    if not (case.cells.cw or case.cells.im) or not case.guideline.applies("sum_towards_1"):
        return f"{share} {_name('IF', case)} {limit} {_of(n, case)}"
    present = [case.cells.cw and "CW", case.cells.im and "IM", case.cells.if_ and "IF"]
    parts = " and ".join(_name(short, case) for short in present if short)
    together = " together" if " and " in parts else ""
    return f"{share} {parts}{together} {limit} {_of(n, case)}; interpretation sum_towards_1"


def _gap(case: Case) -> str:
    strong = case.cells.cw + case.cells.im
    stained = strong + case.cells.if_
    limit = _limit(case, "score_1", passed=False)
    return (
        f"{_pct(strong, case, 'score_2')} {_name('CW', case)} or {_name('IM', case)}, "
        f"{_pct(stained, case, 'score_1')} stained in all, {limit} {_of(stained, case)}: no "
        f"category describes this; gap policy {case.params.gap_policy}, second reader asked for"
    )


def _faint(case: Case) -> str:
    n = case.cells.if_
    return (
        f"{_pct(n, case, 'score_1')} {_name('IF', case)}, {_limit(case, 'score_1', passed=False)} "
        f"{_of(n, case)}"
    )


def _none(case: Case) -> str:
    return f"{case.wording.unstained} {_of(0, case)}"


def _moved_words(case: Case) -> str:
    """Name the measured patterns that were moved down, with their shares."""
    parts = []
    for short in case.cells.moved:
        n = int(getattr(case.counts, PATTERN_NAMES[short]))
        if n:
            parts.append(f"{format_pct(n, case.cells.total)} {_name(short, case)}")
    if not parts:
        return ""
    floor = float(100 * floor_limit(case.params, case.guideline))
    return f"; counted as weaker, below the floor of {floor:g} %: {', '.join(parts)}"
