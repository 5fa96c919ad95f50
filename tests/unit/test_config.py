from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pathology.assets import config_path
from pathology.config import load_config
from pathology.errors import ConfigError


def test_the_default_file_names_every_key() -> None:
    stored = yaml.safe_load(config_path("default.yaml").read_text(encoding="utf-8"))
    assert load_config().model_dump(mode="json") == stored


def test_layers_override_one_another(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("scoring: {min_tumour_cells: 200}\ntiling: {tile_px: 512}\n", encoding="utf-8")
    config = load_config(path, ["tiling.tile_px=256"])
    assert config.scoring.min_tumour_cells == 200
    assert config.tiling.tile_px == 256


def test_printed_configuration_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    config = load_config(overrides=["cells.peak_min=0.4", "runtime.workers=7"])
    path.write_text(config.to_yaml(), encoding="utf-8")
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("scoring.min_tumor_cells=5", "scoring.min_tumor_cells"),
        ("nothing=5", "nothing"),
        ("scoring.min_tumour_cells", "key.path=value"),
        ("scoring.min_tumour_cells=0", "scoring.min_tumour_cells"),
        ("scoring.min_tumour_cells=many", "scoring.min_tumour_cells"),
        ("scoring=5", "section"),
        ("reading.mpp_max=.inf", "reading.mpp_max"),
        ("tiling.tile_px=1000", "tiling.tile_px"),
        ("measurement.weak_od=0.9", "measurement"),
        ("scoring.interval=[", "YAML"),
    ],
)
def test_a_wrong_override_names_the_key(override: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part.replace(".", r"\.")):
        load_config(overrides=[override])


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "scoring: {x: 1}"])
def test_a_wrong_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        load_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml")


def test_no_object_is_made_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text("scoring: !!python/object/apply:os.getcwd []\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(path)


def test_only_what_can_change_a_result_changes_the_hash() -> None:
    base = load_config().hash
    assert load_config(overrides=["runtime.workers=9", "runtime.device=cpu"]).hash == base
    assert load_config(overrides=["inference.cpu_threads=1"]).hash != base
    assert load_config(overrides=["measurement.stained_od=0.13"]).hash != base


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("scoring: {min_tumour_cells: 5}\nscoring: {borderline_pp: 3}\n", "line 2: the key 'scori"),
        ("scoring: {min_tumour_cells: 5, min_tumour_cells: 6}\n", "'min_tumour_cells' is there"),
        ("scoring: {min_tumour_cells: 2026-99-99}\n", "not valid YAML"),
        (f"scoring: {{min_tumour_cells: {'9' * 9000}}}\n", "not valid YAML"),
        ("scoring: " + "[" * 3000 + "\n", "not valid YAML"),
        ("scoring:\n\tmin_tumour_cells: 5\n", "not valid YAML"),
        ("scoring: {min_tumour_cells: yes}\n", "'scoring.min_tumour_cells' is a number, not true"),
        ("runtime: {workers: true}\n", "'runtime.workers' is a number, not true"),
    ],
)
def test_what_a_file_says_by_mistake_is_no_setting(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"site\.yaml: .*" + part):
        load_config(path)


@pytest.mark.parametrize("value", ["2026-99-99", "{a: 1, a: 2}", "[" * 3000])
def test_a_set_value_that_is_no_yaml_is_named(value: str) -> None:
    with pytest.raises(ConfigError, match="the value is not valid YAML"):
        load_config(overrides=[f"scoring.min_tumour_cells={value}"])


def test_a_wrong_value_is_said_with_the_place_where_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        "tiling: {tile_px: many}\nstain: {dab: [0.2, x, 0.7]}\nscoring: {min_tumour_cells: 5}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path, ["scoring.min_tumour_cells=0"])
    text = str(caught.value)
    assert f"{path}: tiling.tile_px: " in text
    assert f"{path}: stain.dab.1: " in text
    # Given twice: the last one counts.
    assert "--set scoring.min_tumour_cells=0: scoring.min_tumour_cells: " in text
