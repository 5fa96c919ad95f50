"""Every code has its words, and no words say what this program may not say."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import pathology
from pathology.errors import FAILED_REASONS, ReasonCode
from pathology.report.facts import Facts, attention_rank, percent
from pathology.report.words import (
    FLAG_WORDS,
    REASON_WORDS,
    RESEARCH_USE_ONLY_LONG,
    flag_words,
    reason_words,
)
from pathology.runs.result import SlideResult


@pytest.mark.parametrize("code", list(ReasonCode))
def test_every_reason_has_a_sentence_and_a_fix(code: ReasonCode) -> None:
    words = REASON_WORDS[code]
    assert words.title
    assert not words.title.endswith(".")
    for sentence in (words.sentence, words.fix):
        assert sentence[0].isupper() or sentence.startswith("`")
        assert sentence.endswith(".")


def test_no_reason_is_explained_that_does_not_exist() -> None:
    assert set(REASON_WORDS) == set(ReasonCode)
    assert len({words.title for words in REASON_WORDS.values()}) == len(REASON_WORDS)


@pytest.mark.parametrize("flag", sorted(FLAG_WORDS))
def test_flags_have_a_title_and_a_sentence(flag: str) -> None:
    words = flag_words(flag)
    assert re.fullmatch("[a-z][a-zA-Z0-9_]*", flag)
    assert words.sentence.endswith(".")
    assert words.title
    assert not words.title.endswith(".")


def flags_in(source: str) -> set[str]:
    """Return the flags that a module raises: keys in a ``_flags`` function, or added to a set."""
    found = set(re.findall(r"flags(?:\"\])?\.add\(f?\"([a-z0-9_]+)[:\"]", source))
    found |= set(re.findall(r"flags.*\{\"([a-z0-9_]+)\"\}", source))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name == "_flags":
            for part in ast.walk(node):
                if isinstance(part, ast.Dict):
                    found |= {key.value for key in part.keys if isinstance(key, ast.Constant)}
    return found


def test_flags_that_the_stages_raise_have_words() -> None:
    root = Path(pathology.__file__).parent
    found: set[str] = set()
    for room in ("tissue", "scoring", "pipeline", "batch"):
        for path in sorted((root / room).glob("*.py")):
            if path.stem.startswith("ish_"):
                continue  # flags of cases, not of slides: docs/ish.md
            found |= flags_in(path.read_text(encoding="utf-8"))
    wanted = {"heterogeneous", "pen_marks", "regions_repaired", "invasive_region_unverified"}
    assert wanted <= found
    assert found <= set(FLAG_WORDS), sorted(found - set(FLAG_WORDS))


def test_unknown_codes_are_tolerated() -> None:
    assert reason_words("later_reason").title == "Later reason"
    assert flag_words("later_flag").sentence == "Later flag."


def test_no_words_advise_treatment() -> None:
    every = [RESEARCH_USE_ONLY_LONG]
    every += [text for words in REASON_WORDS.values() for text in (words.sentence, words.fix)]
    every += [words.sentence for words in FLAG_WORDS.values()]
    for text in every:
        assert not re.search(r"treat|therap|trastuzumab|eligib|drug", text, re.IGNORECASE), text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0 %"),
        (1e-9, "<0.1 %"),
        (0.06, "0.1 %"),
        (9.999, "9.999 %"),
        (10.0, "10.0 %"),
        (10.0099, "10.01 %"),
        (10.06, "10.1 %"),
        (99.96, ">99.9 %"),
        (100.0, "100.0 %"),
    ],
)
def test_percentages_are_never_rounded_onto_a_limit(value: float, text: str) -> None:
    assert percent(value) == text


def test_patterns_come_strongest_first_and_add_up(
    make_scored: Callable[..., SlideResult],
) -> None:
    result = make_scored()
    rows = Facts(result=result).patterns
    assert [row.code for row in rows] == [4, 3, 2, 1, 0]
    assert [row.count for row in rows] == [1499, 8885, 1207, 10118, 30211]
    assert sum(row.pct for row in rows) == pytest.approx(100)


def test_an_unresolved_gap_has_no_score_and_wants_attention(
    make_scored: Callable[..., SlideResult],
) -> None:
    result = make_scored(
        ihc_score=None, her2_status="indeterminate", her2_tier=None, ish_reflex=False
    )
    assert Facts(result=result).headline == "Unresolved"
    assert attention_rank(result) == 2


def test_who_needs_a_look_first(
    make_scored: Callable[..., SlideResult], make_refused: Callable[..., SlideResult]
) -> None:
    slides = [
        make_refused("unreadable", status="failed"),
        make_refused("no_tissue"),
        make_scored(borderline=True),
        make_scored(),
    ]
    assert [attention_rank(slide) for slide in slides] == [0, 1, 2, 3]
    assert {ReasonCode.UNREADABLE} <= FAILED_REASONS
