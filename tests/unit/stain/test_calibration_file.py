"""The calibration file: what it accepts, what it refuses, and what it does to a configuration."""

from __future__ import annotations

import pickle
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pathology.assets import config_path
from pathology.cells import OD_STEP as TABLE_OD_STEP
from pathology.cells import classify
from pathology.config import Config, load_config
from pathology.errors import ConfigError, ModelError
from pathology.runs import RunKey
from pathology.stain.calibrating import (
    apply_calibration,
    calibrated_measurement,
    check_model,
    reference_cutoffs,
)
from pathology.stain.calibration import (
    OD_STEP,
    CalibratedModel,
    Calibration,
    CalibrationSlide,
    Conditions,
    LeaveOneOut,
)
from pathology.stain.calibration_file import load_calibration, parse_calibration


def make(**changes: Any) -> Calibration:
    values: dict[str, Any] = {
        "name": "lab-a",
        "version": "2026-11-22",
        "created": date(2026, 11, 22),
        "site": "Lab A",
        "method": "gain",
        "guideline": "asco-cap-breast-2018",
        "model": CalibratedModel(name="her2-cells/0.1.0", sha256="a" * 64),
        "gain": 0.5,
        "gain_interval": (0.4, 0.6),
        "cutoffs": reference_cutoffs(),
        "limit_of_blank_od": 0.04,
        "limit_of_blank_basis": "negative_controls",
        "slides_per_score": {"0": 1, "1+": 0, "2+": 0, "3+": 0},
        "controls": 1,
        "leave_one_out": LeaveOneOut(slides=1, correct=1),
        "conditions": Conditions.of(load_config()),
        "slides": (
            CalibrationSlide(quickhash="q1", size_bytes=10),
            CalibrationSlide(quickhash="q2", size_bytes=20),
        ),
    }
    return Calibration(**{**values, **changes}).sealed()


def test_a_file_reads_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(make().to_yaml(), encoding="utf-8")
    assert load_calibration(path) == make()
    assert load_calibration(path).to_yaml() == make().to_yaml()


def test_it_names_no_file_unless_asked() -> None:
    assert "path: null" in make().to_yaml()
    assert ".svs" not in make().to_yaml()


def test_every_changed_value_is_noticed() -> None:
    text = make().to_yaml()
    for old, new in (("gain: 0.5", "gain: 0.55"), ("0.28", "0.27"), ("q1", "q3")):
        assert old in text
        with pytest.raises(ConfigError, match="it was changed"):
            parse_calibration(text.replace(old, new, 1), name="x.yaml")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is not a calibration file"),
        ("[1, 2]", "is not a calibration file"),
        ("scoring: {}", "is not a calibration file"),
        ("schema_version: 2", "schema_version is 2"),
        ("schema_version: 1", "Field required"),
        ("schema_version: 1\nschema_version: 1", "not valid YAML"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
        ("a: &a [1]\nb: *a", "not valid YAML"),
        ("[" * 1500, "not valid YAML"),
        ("? [a, b]\n: 1", "not valid YAML"),
        ("? {a: b}\n: 1", "not valid YAML"),
        ("schema_version: 1\nx: !!set {a, b}", "not valid YAML"),
        ("schema_version: 1\nx: !!binary aGVsbG8=", "not valid YAML"),
        ("\x00", "not valid YAML"),
    ],
)
def test_hostile_and_foreign_files_are_refused(text: str, part: str) -> None:
    with pytest.raises(ConfigError, match=r"x\.yaml.*" + part):
        parse_calibration(text, name="x.yaml")


@pytest.mark.parametrize("value", [".nan", ".inf", "-1", "0", "11", "'0.5'", "true", "null", "[1]"])
def test_a_gain_that_is_none_is_refused(value: str) -> None:
    text = make().to_yaml().replace("gain: 0.5", f"gain: {value}", 1)
    with pytest.raises(ConfigError, match="gain"):
        parse_calibration(text, name="x.yaml")


def test_unknown_keys_and_a_missing_hash_are_refused() -> None:
    with pytest.raises(ConfigError, match="surprise"):
        parse_calibration(make().to_yaml() + "surprise: 1\n", name="x.yaml")
    tree = yaml.safe_load(make().to_yaml())
    tree["sha256"] = ""
    with pytest.raises(ConfigError, match="no sha256"):
        parse_calibration(yaml.safe_dump(tree), name="x.yaml")


@pytest.mark.parametrize(
    ("content", "part"),
    [(b"\xff\xfe", "UTF-8"), (b"#" * ((4 << 20) + 1), "larger"), (None, "cannot be read")],
)
def test_files_that_cannot_be_read_are_named(
    tmp_path: Path, content: bytes | None, part: str
) -> None:
    path = tmp_path / "lab.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"lab\.yaml.*{part}"):
        load_calibration(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"gain_interval": (0.6, 0.7)},
        {"gain_interval": None},
        {"model": None},
        {"method": "reference"},
        {"limit_of_blank_basis": None},
        {"controls": 0},
        {"name": "a/b"},
        {"name": ""},
        {"slides": (CalibrationSlide(quickhash="q", size_bytes=1),) * 2},
        {"cutoffs": {"stained_od": 0.5}},
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make(**changes)


def test_the_bundled_reference_is_the_default_configuration() -> None:
    reference = load_calibration(config_path("calibration/reference.yaml"))
    assert reference.cutoffs == reference_cutoffs()
    assert reference.conditions == Conditions.of(load_config())
    assert reference.gain == 1.0
    assert apply_calibration(load_config(), reference).measurement == load_config().measurement


def test_the_step_of_densities_has_one_value() -> None:
    assert OD_STEP == TABLE_OD_STEP


# What a calibration does


def test_a_calibration_is_part_of_the_hash() -> None:
    plain = load_config()
    hashes = {
        plain.hash,
        apply_calibration(plain, make()).hash,
        apply_calibration(plain, make(version="2")).hash,
        apply_calibration(plain, make(gain=0.51)).hash,
    }
    assert len(hashes) == 4


def test_the_run_folder_says_which_calibration_differs() -> None:
    def key(config: Config) -> RunKey:
        return RunKey.of(config, model="m/1", model_sha256="a" * 64)

    before, after = key(load_config()), key(apply_calibration(load_config(), make()))
    assert "calibration.title: absent there, lab-a/2026-11-22 now" in before.differences(after)
    assert not any("slides" in text for text in before.differences(after))
    assert "calibration" not in before.config


def test_the_configuration_travels_to_workers() -> None:
    config = apply_calibration(load_config(), make())
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301


def test_only_the_option_sets_a_calibration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--calibration"):
        load_config(overrides=["calibration.title=x/1"])
    path = tmp_path / "c.yaml"
    path.write_text("calibration: {title: x/1, sha256: y, gain: 1.0}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="--calibration"):
        load_config(path)


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("measurement.stained_od=0.1", r"measurement\.stained_od"),
        ("measurement.limit_of_blank_od=0.1", r"measurement\.limit_of_blank_od"),
        ("measurement.ray_tolerance_um=2", "ray_tolerance_um 1.0 there, 2.0 now"),
        ("stain.dab=[0.27, 0.57, 0.78]", "dab"),
    ],
)
def test_settings_that_do_not_go_with_it_are_refused(override: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        apply_calibration(load_config(overrides=[override]), make())


def test_another_guideline_is_refused() -> None:
    with pytest.raises(ConfigError, match="gastric"):
        apply_calibration(load_config(), make(guideline="gastric-2016"))


def test_another_model_is_refused() -> None:
    stamp = make().stamp()
    check_model(stamp, name="m/1", sha256="a" * 64)
    check_model(None, name="m/1", sha256="b" * 64)
    with pytest.raises(ModelError, match="another model"):
        check_model(stamp, name="m/1", sha256="b" * 64)


_BASE = load_config().measurement
_RAYS = st.lists(st.integers(0, 120), min_size=32, max_size=32)


@given(rays=_RAYS, cytoplasm=st.integers(0, 60))
def test_twice_the_density_at_twice_the_gain_is_the_same_cell(
    rays: list[int], cytoplasm: int
) -> None:
    twice = calibrated_measurement(
        _BASE, gain=2.0, cutoffs=reference_cutoffs(), limit_of_blank_od=None
    )
    od = np.array([rays], dtype=np.uint8)
    inside = np.array([cytoplasm / 100], dtype=np.float32)
    one, two = classify(od, inside, _BASE), classify(2 * od, 2 * inside, twice)
    assert one.intensity.tolist() == two.intensity.tolist()
    assert one.pattern.tolist() == two.pattern.tolist()


@given(rays=_RAYS, cytoplasm=st.integers(0, 60), blank=st.integers(1, 11))
def test_a_limit_of_blank_below_the_stained_cut_off_moves_no_boundary(
    rays: list[int], cytoplasm: int, blank: int
) -> None:
    od = np.array([rays], dtype=np.uint8)
    inside = np.array([cytoplasm / 100], dtype=np.float32)
    with_blank = calibrated_measurement(
        _BASE, gain=1.0, cutoffs=reference_cutoffs(), limit_of_blank_od=blank / 100
    )
    plain, found = classify(od, inside, _BASE), classify(od, inside, with_blank)
    assert plain.pattern.tolist() == found.pattern.tolist()
    assert plain.intensity.tolist() == found.intensity.tolist()


@given(rays=_RAYS, blank=st.integers(1, 60), gain=st.floats(0.3, 3.0))
def test_no_ray_up_to_the_limit_of_blank_is_stained(
    rays: list[int], blank: int, gain: float
) -> None:
    measurement = calibrated_measurement(
        _BASE,
        gain=gain,
        cutoffs=reference_cutoffs(),
        limit_of_blank_od=blank / 100,
    )
    od = np.array([rays], dtype=np.uint8)
    found = classify(od, np.zeros(1, dtype=np.float32), measurement)
    assert found.membrane_completeness[0] * 32 <= np.count_nonzero(od > blank)
