"""The file of criteria: strict, merged, and no limit without a meaning."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pathology.acceptance import DEFINITIONS, load_criteria
from pathology.assets import config_path
from pathology.errors import ConfigError
from pathology.synthesis.benchmark import BENCHMARK_FIRST_SEED


def test_the_bundled_file_asks_for_every_criterion() -> None:
    criteria = load_criteria()
    assert set(criteria.of("synthetic")) | set(criteria.of("site")) == set(DEFINITIONS)
    assert list(criteria.of("site")) == [
        name for name in DEFINITIONS if name in criteria.of("site")
    ]
    # Seeds of training and of the model's evidence are never used here.
    assert criteria.synthetic.first_seed > BENCHMARK_FIRST_SEED + 1_000_000 + 10_000
    scores = {slide.spec.score for slide in criteria.synthetic.slides if not slide.reasons}
    assert scores == {"0", "0_ultralow", "1+", "2+", "3+"}
    assert {slide.kind for slide in criteria.synthetic.slides} >= {"ihc", "blank", "he"}


def test_a_file_lies_on_top_and_changes_the_hash(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("synthetic:\n  criteria:\n    pattern_error: {limit: 5}\nnear_cutoff_pp: 2\n")
    own, bundled = load_criteria(file), load_criteria()
    assert own.of("synthetic")["pattern_error"].limit == 5
    # What the file does not name stays, also within the criterion.
    assert own.of("synthetic")["pattern_error"].required
    assert own.of("synthetic")["slides_end"] == bundled.of("synthetic")["slides_end"]
    assert own.synthetic.slides == bundled.synthetic.slides
    assert own.near_cutoff_pp == 2
    assert own.sha256 != bundled.sha256 == load_criteria().sha256
    assert load_criteria(seed=7).sha256 != bundled.sha256


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sites: {}", "sites: Extra inputs"),
        ("site: {criteria: {kappa: {limit: 1}}}", "unknown criterion 'kappa'"),
        ("site: {criteria: {pattern_error: {limit: 1}}}", "unknown criterion 'pattern_error'"),
        ("synthetic: {criteria: {positive_agreement_1: {limit: 1}}}", "unknown criterion"),
        ("site: {criteria: {refusals: {limit: -1}}}", "limit: Input should be greater"),
        ("site: {criteria: {refusals: {limit: '90'}}}", "limit: Input should be a valid number"),
        ("site: {criteria: {refusals: {limit: 90, min_n: 0}}}", "min_n"),
        ("site: {criteria: {refusals: {limit: 90, judge: upper}}}", "judge"),
        ("confidence: 1.0", "confidence"),
        ("synthetic: {slides: []}", "slides"),
        ("synthetic: {slides: [{name: a, score: 4+}]}", "score must be one of"),
        ("synthetic: {slides: [{name: a, kind: blank}]}", "needs reasons"),
        ("synthetic: {slides: [{name: a, reasons: [no_tissue]}]}", "needs reasons"),
        ("synthetic: {slides: [{name: a, kind: blank, reasons: [dull]}]}", "dull is not allowed"),
        ("synthetic: {slides: [{name: a}, {name: a}]}", "two slides have one name"),
        ("synthetic: {slides: [{name: ../a}]}", "name"),
        ("- a", "the top level must be a mapping"),
        ("a: [", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_criteria(file)
    assert problem in str(error.value)
    assert str(file) in str(error.value)


def test_a_missing_file_and_unknown_tags_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_criteria(tmp_path / "none.yaml")
    evil = tmp_path / "evil.yaml"
    evil.write_text("id: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_criteria(evil)


def test_every_criterion_of_the_file_says_its_limit_even_where_it_has_none() -> None:
    content = yaml.safe_load(config_path("acceptance/default.yaml").read_text(encoding="utf-8"))
    for name in ("synthetic", "site"):
        assert all("limit" in item for item in content[name]["criteria"].values())
