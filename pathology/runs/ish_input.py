"""ISH results as laboratories give them: counts per cell, totals, or a call; CSV or JSON.

Every row is checked by itself here; which block it belongs to, :mod:`pathology.runs.ish_join` says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pathology.errors import UsageError
from pathology.runs.usertable import UserRow, parse_user_csv, parse_user_json

__all__ = ["CALLS", "ISH_COLUMNS", "READING_COLUMNS", "IshRow", "RowKind", "parse_ish"]

#: Columns that are the same in all rows of one reading.
READING_COLUMNS: Final[tuple[str, ...]] = (
    "population_pct",
    "observer",
    "blinded",
    "includes_2plus_area",
    "assay",
    "controls_ok",
    "invasive_areas",
    "weak_signals_pct",
    "cytoplasm_signals_pct",
    "nuclei_resolved",
    "autofluorescence",
)
#: Columns that a file of ISH results may have.
ISH_COLUMNS: Final[tuple[str, ...]] = (
    "case_id",
    "block_id",
    "slide_id",
    "probe",
    "reading",
    "population",
    "cell",
    "her2",
    "cep17",
    "cells",
    "her2_total",
    "cep17_total",
    "call",
    *READING_COLUMNS,
)
RowKind = Literal["cell", "totals", "call"]

_STAGES: Final = ("first", "recount", "adjudication")
#: Calls as they are written, and as they are stored.
CALLS: Final[dict[str, str]] = {
    "positive": "call_positive",
    "negative": "call_negative",
    "indeterminate": "indeterminate",
    **{f"group {n}": f"group_{n}" for n in range(1, 6)},
}
# Spreadsheets and data frames write whole numbers as 12.0.
_WHOLE = re.compile(r"(\d{1,9})(\.0+)?")
_DECIMAL = re.compile(r"\d{1,3}(\.\d{1,12})?")
_BOOLS: Final = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True, kw_only=True)
class IshRow:
    """Hold one checked row.

    Parameters
    ----------
    given
        The row as it was read.
    kind
        ``cell``, ``totals`` or ``call``.
    probe, stage, population
        Which reading of its block it belongs to.
    values
        ``cells``, ``her2``, ``cep17``, ``call`` as far as the row gives them.
    about
        The columns of :data:`READING_COLUMNS`, as values of the stored record.
    """

    given: UserRow
    kind: RowKind
    probe: str
    stage: str
    population: int
    values: dict[str, Any]
    about: dict[str, Any]


def parse_ish(content: bytes, *, path: Path) -> list[IshRow]:
    r"""Read a file of ISH results and check each of its rows.

    Parameters
    ----------
    content
        The file.
    path
        Its name; ``.json`` is JSON, all else CSV.

    Returns
    -------
    list of IshRow
        In the order of the file.

    Raises
    ------
    UsageError
        If it cannot be read, a column is unknown, or a value is missing, not a number, negative or
        unknown; names the row and the column.

    Examples
    --------
    >>> row, = parse_ish(b"block_id,cells,her2_total,cep17_total\nB1,20,80,40\n",
    ...                  path=Path("ish.csv"))
    >>> row.kind, row.probe, row.values
    ('totals', 'dual', {'cells': 20, 'her2': 80, 'cep17': 40})
    """
    rows: Sequence[UserRow]
    if path.suffix.casefold() == ".json":
        rows = parse_user_json(
            content, name=str(path), columns=ISH_COLUMNS, key="results", lists=("her2", "cep17")
        )
    else:
        rows = parse_user_csv(content, name=str(path), columns=ISH_COLUMNS).rows
    if not rows:
        raise UsageError(f"{path}: there are no ISH results", fix="Give one row per cell or block.")
    return [_row(row) for row in rows]


def _row(row: UserRow) -> IshRow:
    probe = _choice(row, "probe", ("dual", "single"))
    kind = _kind(row)
    population = _whole(row, "population")
    if population == 0:
        raise row.wrong("population", "populations are numbered from 1")
    values = _values(row, kind, probe)
    about = _about(row)
    if ((population or 1) > 1) != (about["population_pct"] is not None):
        problem = "is empty" if about["population_pct"] is None else "is for populations from 2 on"
        raise row.wrong(
            "population_pct",
            problem,
            fix="Say which share of the tumour cells population 2 makes up, in per cent; leave it "
            "empty for the main population.",
        )
    return IshRow(
        given=row,
        kind=kind,
        probe=probe,
        stage=_choice(row, "reading", _STAGES),
        population=population or 1,
        values=values,
        about=about,
    )


def _kind(row: UserRow) -> RowKind:
    """Tell from its filled columns what a row gives; it gives one thing."""
    groups: dict[RowKind, tuple[str, ...]] = {
        "cell": ("her2", "cep17"),
        "totals": ("her2_total", "cep17_total"),
        "call": ("call",),
    }
    filled = {
        kind: [name for name in names if row.text(name)]
        for kind, names in groups.items()
        if any(row.text(name) for name in names)
    }
    if not filled:
        column = next((n for n in ("her2", "her2_total", "call") if n in row.cells), "her2")
        raise row.wrong(
            column,
            "is empty: the row gives no count and no call",
            fix="Give her2 and cep17 of a cell, cells, her2_total and cep17_total, or a call.",
        )
    if len(filled) > 1:
        first, second = (names[0] for names in list(filled.values())[:2])
        raise row.wrong(
            second, f"is given together with {first!r}", fix="Give counts or a call, not both."
        )
    return next(iter(filled))


def _values(row: UserRow, kind: RowKind, probe: str) -> dict[str, Any]:
    if kind == "call":
        return {"call": _call(row, probe), "cells": _whole(row, "cells")}
    names = ("her2", "cep17") if kind == "cell" else ("her2_total", "cep17_total")
    if kind == "cell" and row.text("cells"):
        raise row.wrong("cells", "is given in a row of one cell", fix="Leave it empty.")
    values = {
        "cells": 1 if kind == "cell" else _needed(row, "cells"),
        "her2": _needed(row, names[0]),
        "cep17": _whole(row, names[1]),
    }
    if probe == "dual" and values["cep17"] is None:
        raise row.wrong(
            names[1],
            "is empty, and this is a dual-probe count",
            fix="Give the CEP17 signals, or write single in the column 'probe'.",
        )
    if probe == "single" and values["cep17"] is not None:
        raise row.wrong(
            names[1], "is given, and a single probe has no CEP17", fix="Leave it empty."
        )
    if not values["cells"] and (values["her2"] or values["cep17"]):
        raise row.wrong("cells", "is 0, but signals were counted", fix="Give the number of cells.")
    return values


def _about(row: UserRow) -> dict[str, Any]:
    return {
        "population_pct": _percent(row, "population_pct"),
        "observer": row.text("observer") or None,
        "blinded": _bool(row, "blinded"),
        "includes_2plus_area": _bool(row, "includes_2plus_area"),
        "assay": row.text("assay") or None,
        "controls_ok": _bool(row, "controls_ok"),
        "invasive_areas": _whole(row, "invasive_areas"),
        "weak_signals_pct": _percent(row, "weak_signals_pct"),
        "cytoplasm_signals_pct": _percent(row, "cytoplasm_signals_pct"),
        "nuclei_resolved": _bool(row, "nuclei_resolved"),
        "autofluorescence": _bool(row, "autofluorescence"),
    }


def _choice(row: UserRow, column: str, allowed: tuple[str, ...]) -> str:
    """Read a word; the first allowed one where the field is empty."""
    value = row.text(column).casefold() or allowed[0]
    if value not in allowed:
        raise row.wrong(
            column, f"{row.text(column)!r} is not allowed", fix=f"Allowed: {', '.join(allowed)}."
        )
    return value


def _call(row: UserRow, probe: str) -> str:
    text = row.text("call")
    found = CALLS.get(" ".join(re.split(r"[\s_-]+", text.casefold())))
    if found is None:
        raise row.wrong("call", f"{text!r} is no call", fix=f"Allowed: {', '.join(CALLS)}.")
    if probe == "single" and found.startswith("group_"):
        raise row.wrong("call", f"{text!r} is a group of the dual probe", fix="Correct the probe.")
    return found


def _needed(row: UserRow, column: str) -> int:
    value = _whole(row, column)
    if value is None:
        raise row.wrong(column, "is empty", fix="Give a whole number.")
    return value


def _whole(row: UserRow, column: str) -> int | None:
    text = row.text(column)
    if not text:
        return None
    found = _WHOLE.fullmatch(text)
    if found is None:
        problem = "is negative" if text.startswith("-") else "is not a whole number"
        raise row.wrong(column, f"{text!r} {problem}", fix="Give a count: 0, 1, 2 and so on.")
    return int(found[1])


def _percent(row: UserRow, column: str) -> str | None:
    text = row.text(column)
    if not text:
        return None
    if not _DECIMAL.fullmatch(text) or float(text) > 100:
        raise row.wrong(column, f"{text!r} is no percentage", fix="Give 0 to 100, such as 12.5.")
    return text


def _bool(row: UserRow, column: str) -> bool | None:
    text = row.text(column)
    if not text:
        return None
    if text.casefold() not in _BOOLS:
        raise row.wrong(column, f"{text!r} is neither true nor false", fix="Write true or false.")
    return _BOOLS[text.casefold()]
