"""Columns of a table of patients: their names, what they may hold, and how they are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from pathology.errors import UsageError

__all__ = ["COLUMNS", "ColumnSpec", "Place", "check_columns", "read_number"]

#: A misspelt column would pass for an absent one; names this alike are refused. ``h_score`` and
#: ``ihc_score`` are 0.875 alike, and both are wanted.
_ALIKE: Final = 0.9


@dataclass(frozen=True, kw_only=True)
class Place:
    """Say where a value stands, for messages.

    Examples
    --------
    >>> str(Place(table="t.csv", row=3, column="arm"))
    "t.csv: row 3, column 'arm'"
    """

    table: str
    row: int
    column: str

    def __str__(self) -> str:
        return f"{self.table}: row {self.row}, column {self.column!r}"

    def error(self, problem: str, fix: str) -> UsageError:
        """Make the error that names the place."""
        return UsageError(f"{self}: {problem}", fix=fix)


@dataclass(frozen=True, kw_only=True)
class ColumnSpec:
    """Describe one column.

    Parameters
    ----------
    meaning
        For documents and messages.
    allowed
        What a value may be, in words.
    read
        Turns a text that is not empty into a value; raises ValueError with the problem.
    """

    meaning: str
    allowed: str
    read: Callable[[str], object]


def read_number(text: str) -> float:
    """Read a finite number.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> read_number("12.5")
    12.5
    """
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    # float() also takes "nan", "inf" and "1_000".
    if not math.isfinite(value) or "_" in text:
        raise ValueError(f"{text!r} is not a number")
    return value


def _months(text: str) -> float:
    value = read_number(text)
    if value < 0:
        raise ValueError(f"{text} is before time zero")
    return value


def _percent(text: str) -> float:
    value = read_number(text)
    if not 0 <= value <= 100:
        raise ValueError(f"{text} is not between 0 and 100")
    return value


def _whole(text: str) -> int:
    # isdigit alone also takes superscripts and digits of other scripts.
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def _yes_no(text: str) -> bool:
    lower = text.lower()
    if lower in ("yes", "true", "1"):
        return True
    if lower in ("no", "false", "0"):
        return False
    raise ValueError(f"{text!r} is neither yes nor no")


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is not known")
        return text

    return read


def _choice(meaning: str, *words: str) -> ColumnSpec:
    return ColumnSpec(meaning=meaning, allowed=", ".join(words), read=_one_of(*words))


def _flag(meaning: str) -> ColumnSpec:
    return ColumnSpec(meaning=meaning, allowed="yes, no (or true, false, 1, 0)", read=_yes_no)


def _text(meaning: str) -> ColumnSpec:
    return ColumnSpec(meaning=meaning, allowed="text", read=str)


def _count(meaning: str) -> ColumnSpec:
    return ColumnSpec(meaning=meaning, allowed="whole number, 0 or more", read=_whole)


def _time(meaning: str) -> ColumnSpec:
    return ColumnSpec(meaning=meaning, allowed="number, 0 or more", read=_months)


def _share(meaning: str) -> ColumnSpec:
    return ColumnSpec(meaning=meaning, allowed="number, 0 to 100", read=_percent)


#: Every column with a meaning of its own. Only ``patient_id`` is required by all commands.
COLUMNS: Final[Mapping[str, ColumnSpec]] = MappingProxyType(
    {
        "patient_id": _text("the patient; each once"),
        "case_id": _text("the case in `cases.csv` of the run; default: patient_id"),
        "specimen_adequate": _flag("whether the tissue could be tested"),
        "ihc_score": _choice("central IHC score; empty: none", "0", "1+", "2+", "3+"),
        "ish_result": _choice(
            "in situ hybridisation; empty: not done", "negative", "positive", "not_done"
        ),
        "er_pct": _share("nuclei positive for the oestrogen receptor, in %"),
        "pr_pct": _share("nuclei positive for the progesterone receptor, in %"),
        "hr_status": _choice("in place of er_pct and pr_pct", "positive", "negative"),
        "chemo_lines": _count("lines of chemotherapy for metastatic disease"),
        "early_recurrence": _flag("recurrence during or up to 6 months after adjuvant therapy"),
        "endocrine_lines": _count("lines of endocrine therapy"),
        "prior_cdk46": _flag("whether a CDK4/6 inhibitor was given before"),
        "brain_metastases": _choice("brain metastases", "none", "stable_treated", "active"),
        "ild": _flag("interstitial lung disease, or suspicion of it"),
        "other_exclusion": _text("another reason why the patient is not eligible"),
        "not_randomised_reason": _text("why an eligible patient was not randomised"),
        "arm": _text("arm as randomised; empty: not randomised"),
        "her2_as_randomised": _choice("HER2 status given at randomisation", "1+", "2+"),
        "lines_as_randomised": _choice("chemotherapy lines given at randomisation", "1", "2"),
        "hr_as_randomised": _choice(
            "hormone receptor and CDK4/6 inhibitor given at randomisation",
            "positive_cdk46",
            "positive_no_cdk46",
            "negative",
        ),
        "pfs_months": _time("months from randomisation to progression, death or last look"),
        "pfs_event": _flag("yes: progression or death; no: censored"),
        "os_months": _time("months from randomisation to death or last contact"),
        "os_event": _flag("yes: death; no: censored"),
        "best_response": _choice("best overall response", "CR", "PR", "SD", "PD", "NE"),
        "response_confirmed": _flag("whether a CR or PR was confirmed"),
        "stable_months": _time("months of stable disease, where SD is the best response"),
    }
)


def check_columns(table: str, columns: tuple[str, ...], biomarkers: tuple[str, ...]) -> list[str]:
    """Check the header and name the columns that nothing reads.

    Parameters
    ----------
    table
        Name of the file, for messages.
    columns
        The header.
    biomarkers
        Columns that the user named as biomarkers.

    Returns
    -------
    list of str
        Columns that are neither known nor biomarkers; they are reported, not used.

    Raises
    ------
    UsageError
        If ``patient_id`` is missing, a name is nearly that of a known column, or a column belongs
        to a pair of which the other is missing.
    """
    if "patient_id" not in columns:
        raise UsageError(
            f"{table}: row 1: there is no column 'patient_id'",
            fix=f"Columns: {', '.join(COLUMNS)}.",
        )
    unused = [name for name in columns if name not in COLUMNS and name not in biomarkers]
    for name in unused:
        near = get_close_matches(name.lower(), COLUMNS, n=1, cutoff=_ALIKE)
        if near:
            raise Place(table=table, row=1, column=name).error(
                f"is not known, but much like {near[0]!r}", "Rename or remove the column."
            )
    _check_together(table, columns)
    return unused


def _check_together(table: str, columns: tuple[str, ...]) -> None:
    pairs = (
        ("pfs_months", "pfs_event"),
        ("os_months", "os_event"),
        ("er_pct", "pr_pct"),
        ("her2_as_randomised", "lines_as_randomised"),
        ("her2_as_randomised", "hr_as_randomised"),
    )
    for pair in pairs:
        for name, other in (pair, pair[::-1]):
            if name in columns and other not in columns:
                raise Place(table=table, row=1, column=name).error(
                    f"needs the column {other!r} beside it", f"Add {other} or remove {name}."
                )
    if "hr_status" in columns and "er_pct" in columns:
        raise Place(table=table, row=1, column="hr_status").error(
            "stands beside er_pct and pr_pct, and two answers could differ", "Keep one of the two."
        )
