"""docs/ish.md names everything that a user of ``her2 ish`` can meet; its table is right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pathology.runs import CASE_COLUMNS
from pathology.runs.ish_input import ISH_COLUMNS
from pathology.scoring.ish_guideline import ISH_CATEGORIES, load_ish_guideline
from pathology.scoring.ish_rules import ISH_FLAGS, RECOUNT_STATES
from pathology.scoring.tiers import her2_status

PAGE = (Path(__file__).parents[2] / "docs" / "ish.md").read_text(encoding="utf-8")
NAMES = [
    *ISH_COLUMNS,
    *CASE_COLUMNS[CASE_COLUMNS.index("case_rule") :],
    *RECOUNT_STATES,
    *ISH_CATEGORIES,
]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_explained(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("flag", ISH_FLAGS)
def test_every_flag_is_explained_as_the_program_does(flag: str) -> None:
    assert f"| `{flag}` | {ISH_FLAGS[flag]} |" in PAGE


def test_the_table_of_outcomes_is_that_of_the_guideline_file() -> None:
    columns = ("ihc_0_1", "ihc_2", "ihc_3", "ihc_missing")
    section = PAGE.split("## What decides")[1].split("| state |")[0]
    rows = {
        cells[0].strip("` "): tuple(cell.strip() for cell in cells[1:])
        for cells in (line.strip("|").split("|") for line in section.splitlines())
        if len(cells) == 5 and re.fullmatch(r"`\w+`", cells[0].strip())
    }
    outcomes = load_ish_guideline("asco-cap-2018").outcomes
    expected = {
        category: tuple(_words(outcomes[category][column]) for column in columns)
        for category in ISH_CATEGORIES
    }
    alone = tuple(her2_status(score) for score in ("1+", "2+", "3+", None))
    assert rows == {**expected, "no_ish": alone, "ish_indeterminate": alone}


def _words(outcome) -> str:
    words = [outcome.status]
    words += ["comment"] if outcome.comment else []
    words += ["discordant"] if outcome.discordant else []
    return ("recount, then " if outcome.recount else "") + ", ".join(words)
