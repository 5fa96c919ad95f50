from __future__ import annotations

import pytest
from pydantic import ValidationError

from pathology.errors import ConfigError
from pathology.scoring import RULE_SETS, Guideline, guideline_names, load_guideline


@pytest.mark.parametrize("name", guideline_names())
def test_every_bundled_guideline_is_valid_and_has_rules(name: str) -> None:
    found = load_guideline(name)
    assert found.id == name
    assert found.rules in RULE_SETS
    assert found.source
    assert found.version


def test_breast_cut_offs_are_strictly_above_ten_per_cent(guideline: Guideline) -> None:
    assert {(cutoff.pct, cutoff.strict) for cutoff in guideline.cutoffs.values()} == {(10.0, True)}


@pytest.mark.parametrize("name", ["nowhere", "../default", "", "asco-cap-breast-2018.yaml"])
def test_an_unknown_guideline_names_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigError, match="asco-cap-breast-2018"):
        load_guideline(name)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("rules", "unheard-of", "unknown rule set"),
        ("cutoffs", {"score_3": {"pct": 10, "strict": True}}, "cutoffs must be"),
        ("interpretations", {}, "interpretations must be"),
        ("surplus", 1, "Extra inputs"),
    ],
)
def test_a_guideline_must_be_complete(key, value, message, guideline: Guideline) -> None:
    with pytest.raises(ValidationError, match=message):
        Guideline.model_validate({**guideline.model_dump(), key: value})


@pytest.fixture
def guideline_folder(tmp_path, monkeypatch):
    folder = tmp_path / "guidelines"
    folder.mkdir()
    monkeypatch.setattr("pathology.scoring.guideline_files.configs_dir", lambda: tmp_path)
    monkeypatch.setattr(
        "pathology.scoring.guideline_files.config_path", lambda name: tmp_path / name
    )
    return folder


@pytest.mark.parametrize("text", ["a: [", "[]", "id: mine", "\x00"])
def test_a_broken_file_is_named(text, guideline_folder) -> None:
    (guideline_folder / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        load_guideline("mine")


def test_the_id_must_match_the_file(guideline_folder, guideline: Guideline) -> None:
    (guideline_folder / "mine.yaml").write_text(guideline.model_dump_json())
    with pytest.raises(ConfigError, match="does not match"):
        load_guideline("mine")
