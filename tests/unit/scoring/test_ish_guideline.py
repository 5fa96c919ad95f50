from __future__ import annotations

from fractions import Fraction

import pytest
from pydantic import ValidationError

from pathology.errors import ConfigError
from pathology.scoring.ish_guideline import (
    IshCutoff,
    IshGuideline,
    ihc_class,
    ish_guideline_names,
    load_ish_guideline,
)

ASCO_CAP = load_ish_guideline("asco-cap-2018")


@pytest.mark.parametrize("name", ish_guideline_names())
def test_every_bundled_guideline_is_valid_and_says_what_was_read(name: str) -> None:
    found = load_ish_guideline(name)
    assert found.id == name
    assert all(getattr(found.cutoffs, n).source for n in type(found.cutoffs).model_fields)


def test_the_numbers_of_the_2018_update() -> None:
    cutoffs = ASCO_CAP.cutoffs
    assert (cutoffs.ratio.value, cutoffs.copies_low.value, cutoffs.copies_high.value) == (2, 4, 6)
    assert (cutoffs.cells.value, cutoffs.second_population_pct.value) == (20, 10)
    assert (cutoffs.invasive_areas.value, cutoffs.weak_signals_pct.value) == (2, 25)
    assert cutoffs.cytoplasm_signals_pct.value == 10
    assert not cutoffs.second_population_pct.inclusive
    assert cutoffs.ratio.inclusive
    assert not cutoffs.ratio.verified, "inclusive and unrounded is from memory"


@pytest.mark.parametrize("name", ["nowhere", "../../default", "", "asco-cap-2018.yaml"])
def test_an_unknown_guideline_names_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigError, match="asco-cap-2018"):
        load_ish_guideline(name)


def changed(*path: str, value: object) -> dict:
    content = ASCO_CAP.model_dump()
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed("outcomes", "group_5", "ihc_3", value={"status": "negative"}), "may end negative"),
        (changed("outcomes", "group_2", "ihc_missing", value={"status": "negative"}), "missing"),
        (changed("outcomes", "group_2", value={}), "outcomes.group_2 must be"),
        (changed("outcomes", value={}), "outcomes must be group_1"),
        (changed("cutoffs", "copies_high", "value", value=4.0), "below"),
        (changed("cutoffs", "cells", value=20), "cells"),
        (changed("surplus", value=1), "Extra inputs"),
    ],
)
def test_a_guideline_must_be_complete_and_never_turn_missing_evidence_negative(
    content: dict, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        IshGuideline.model_validate(content)


@pytest.mark.parametrize("text", ["a: [", "[]", "id: mine", "\x00"])
def test_a_broken_file_is_named(text, tmp_path, monkeypatch) -> None:
    (tmp_path / "guidelines" / "ish").mkdir(parents=True)
    (tmp_path / "guidelines" / "ish" / "mine.yaml").write_text(text)
    monkeypatch.setattr("pathology.scoring.guideline_files.configs_dir", lambda: tmp_path)
    monkeypatch.setattr(
        "pathology.scoring.guideline_files.config_path", lambda name: tmp_path / name
    )
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        load_ish_guideline("mine")


def test_the_id_must_match_the_file(tmp_path, monkeypatch) -> None:
    (tmp_path / "guidelines" / "ish").mkdir(parents=True)
    (tmp_path / "guidelines" / "ish" / "mine.yaml").write_text(ASCO_CAP.model_dump_json())
    monkeypatch.setattr("pathology.scoring.guideline_files.configs_dir", lambda: tmp_path)
    monkeypatch.setattr(
        "pathology.scoring.guideline_files.config_path", lambda name: tmp_path / name
    )
    with pytest.raises(ConfigError, match="does not match"):
        load_ish_guideline("mine")


def test_cutoffs_compare_decimal_text_not_binary_numbers() -> None:
    cutoff = IshCutoff(value=2.2, inclusive=True, verified=False, source="x")
    assert 110 < 2.2 * 50, "what binary numbers would say"
    assert cutoff.reached(110, 50)
    assert not IshCutoff(value=2.2, inclusive=False, verified=False, source="x").reached(110, 50)
    assert cutoff.reached(Fraction(11, 5))


def test_unknown_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="not an IHC score"):
        ihc_class("2")
