"""The page of a cohort study: one HTML file that needs no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pathology.cohort.study import Study
from pathology.cohort.tables import Cell, Table
from pathology.report.cohort_svg import draw_flow, draw_survival, draw_windows
from pathology.report.html import page_environment

__all__ = ["render_study"]


def render_study(study: Study, *, name: str, settings: Sequence[str] = ()) -> str:
    """Return the page of a study.

    Parameters
    ----------
    study
        What was found.
    name
        Headline.
    settings
        Sentences that say how it was made.

    Returns
    -------
    str
        HTML that stands alone.
    """
    return (
        page_environment()
        .get_template("cohort.html.j2")
        .render(
            name=name,
            settings=settings,
            study=study,
            flow=draw_flow(study.flow) if study.flow else None,
            curves=[
                {"title": found.title, "svg": draw_survival(found)} for found in study.comparisons
            ],
            windows=draw_windows(study.cutoffs) if study.cutoffs else None,
            tables=[_page_table(table) for table in study.tables],
        )
    )


def _page_table(table: Table) -> dict[str, Any]:
    numeric = [_is_numeric([row[k] for row in table.rows]) for k in range(len(table.columns))]
    return {
        "title": table.title,
        "columns": [
            {"label": column.label, "numeric": right}
            for column, right in zip(table.columns, numeric, strict=True)
        ],
        "rows": [
            [_cell(value, column.name) for value, column in zip(row, table.columns, strict=True)]
            for row in table.rows
        ],
        "account": table.account.sentence,
        "notes": table.notes,
    }


def _is_numeric(values: Sequence[Cell]) -> bool:
    """Tell whether a column is set to the right: numbers, or texts made of them."""
    texts = [value for value in values if isinstance(value, str) and value]
    return all(
        (text[0].isdigit() and not text.endswith("+")) or text in ("NE", "–") for text in texts
    )


def _cell(value: Cell, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if column.endswith("_pct"):
            return f"{value:.1f}"
        return f"{value:.3g}" if "ratio" in column else f"{value:.4g}"
    return str(value)
