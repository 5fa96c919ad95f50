"""The benchmark is frozen, is what its file says, and lies outside the training distribution."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pathology.errors import ConfigError
from pathology.synthesis import FieldSpec, random_field_spec, render_field
from pathology.synthesis.benchmark import (
    BENCHMARK_FIRST_SEED,
    BenchmarkField,
    benchmark_fields,
    benchmark_sha256,
    load_benchmark,
    specs_sha256,
)

#: What the card's figures were measured on; a change of either makes old and new figures two kinds.
FILE_SHA256 = "7a5336cf88fe824cbe402012e55954cccf30c1a178cbdcb451b61ca586bd205b"
SPECS_SHA256 = "a000b0adb3cd2e590dbe20dec388315938131a987ebf98fe24a8f4ac99ff53b6"
#: Fields drawn from the training distribution to learn its ranges.
DRAWS = 4000


@lru_cache(maxsize=1)
def frozen() -> tuple[BenchmarkField, ...]:
    return tuple(benchmark_fields(load_benchmark()))


def features(spec: FieldSpec) -> dict[str, float]:
    """Flatten a field to numbers; colours to what does not depend on their brightness."""
    found: dict[str, float] = {}
    for section in ("composition", "morphology", "staining", "appearance"):
        for name, value in asdict(getattr(spec, section)).items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                found[f"{section}.{name}"] = float(value)
    look = spec.appearance
    found["white blue - red"] = look.white[2] - look.white[0]
    found["haematoxylin angle"] = _angle(look.haematoxylin, (0.65111, 0.70119, 0.29049))
    return found


def _angle(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    a, b = np.asarray(one), np.asarray(other)
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


@lru_cache(maxsize=1)
def training_ranges() -> tuple[dict[str, tuple[float, float]], set[str]]:
    specs = [random_field_spec(np.random.default_rng(seed), size_px=512) for seed in range(DRAWS)]
    drawn = [features(spec) for spec in specs]
    ranges = {
        name: (min(one[name] for one in drawn), max(one[name] for one in drawn))
        for name in drawn[0]
    }
    grown = {s.composition.architecture for s in specs}
    return ranges, grown | {s.composition.second_architecture for s in specs}


def outside(spec: FieldSpec) -> set[str]:
    """Name the parameters of a field that training never reaches."""
    ranges, architectures = training_ranges()
    found = {
        name for name, value in features(spec).items()
        if not ranges[name][0] <= value <= ranges[name][1]
    }  # fmt: skip
    if spec.composition.architecture not in architectures:
        found.add("composition.architecture")
    return found


def test_the_benchmark_is_frozen() -> None:
    assert benchmark_sha256() == FILE_SHA256
    assert specs_sha256(load_benchmark()) == SPECS_SHA256


def test_seeds_lie_beyond_those_of_training() -> None:
    seeds = [item.seed for item in frozen()]
    assert len(set(seeds)) == len(seeds) == load_benchmark().fields
    assert min(seeds) >= BENCHMARK_FIRST_SEED


#: What of each level is out of the training distribution, in each of its fields.
HELD_OUT = {
    ("tissue", "small_crowded"): "morphology.cell_um",
    ("tissue", "giant_pleomorphic"): "morphology.nucleus_um",
    ("tissue", "large_clear_cells"): "morphology.cell_um",
    ("tissue", "tall_gland"): "morphology.columnar_height_um",
    ("tissue", "single_files_inflamed"): "composition.immune_in_epithelium_per_mm2",
    ("tissue", "in_situ_beside_invasive"): "morphology.vacuolated",
    ("tissue", "normal_tissue"): "composition.lymphoid_share",
    ("tissue", "mucinous"): "morphology.signet",
    ("tissue", "necrotic_tangential"): "staining.tangential",
    ("scanner", "amber_glass"): "white blue - red",
    ("scanner", "violet_glass"): "white blue - red",
    ("scanner", "blue_haematoxylin"): "haematoxylin angle",
    ("scanner", "purple_haematoxylin"): "haematoxylin angle",
    ("scanner", "soft_sharpened"): "appearance.sharpen",
    ("scanner", "noisy_dark"): "appearance.noise",
    ("haematoxylin", "weak"): "appearance.h_strength",
    ("haematoxylin", "strong"): "appearance.h_strength",
    ("jpeg", "heavy"): "appearance.jpeg_quality",
    ("tissue", "micropapillary"): "composition.architecture",
    ("tissue", "micropapillary_inflamed"): "composition.architecture",
}


def test_every_tissue_and_scanner_is_held_out_in_something() -> None:
    factors = load_benchmark().factors
    for factor in ("tissue", "scanner"):
        assert {name for part, name in HELD_OUT if part == factor} == set(factors[factor])


@pytest.mark.parametrize("level", HELD_OUT, ids="-".join)
def test_training_never_sees_such_fields(level: tuple[str, str]) -> None:
    factor, name = level
    mine = [item for item in frozen() if item.conditions[factor] == name]
    assert mine
    for item in mine:
        assert HELD_OUT[level] in outside(item.spec)


def test_levels_are_dealt_out_evenly_and_independently() -> None:
    fields, factors = frozen(), load_benchmark().factors
    for factor, levels in factors.items():
        counts = Counter(item.conditions[factor] for item in fields)
        assert set(counts) == set(levels)
        assert max(counts.values()) - min(counts.values()) <= 1
    # No two factors march in step: a level of one meets every level of a small other.
    for level in factors["scanner"]:
        others = {item.conditions["jpeg"] for item in fields if item.conditions["scanner"] == level}
        assert others == set(factors["jpeg"])


def test_a_field_shows_what_its_level_says() -> None:
    for item in frozen():
        look = item.spec.appearance
        assert look.jpeg_quality == {"light": 92, "usual": 75, "heavy": 50}[item.conditions["jpeg"]]
        low, high = {"weak": (0.3, 0.36), "usual": (0.75, 1.15), "strong": (1.65, 1.9)}[
            item.conditions["haematoxylin"]
        ]
        assert low <= look.h_strength <= high
        if item.conditions["staining"] == "negative":
            assert item.spec.staining.tumour.unstained > 0.8


def test_the_same_field_comes_again() -> None:
    first, again = frozen()[7], tuple(benchmark_fields(load_benchmark()))[7]
    assert first == again
    one, two = (render_field(item.spec, item.seed) for item in (first, again))
    assert np.array_equal(one.rgb, two.rgb)


def write(path: Path, **changes: Any) -> Path:
    content = load_benchmark().model_dump() | changes
    file = path / "benchmark.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ({"morphology": {"nucleus": 7}}, "unknown parameter morphology.nucleus"),
        ({"colour": {"red": 7}}, "unknown section 'colour'"),
        ({"morphology": {"nucleus_um": 700}}, "nucleus_um must be 4.0 to 20.0"),
    ],
)
def test_a_bad_level_is_named(tmp_path: Path, level: dict[str, Any], message: str) -> None:
    config = load_benchmark(write(tmp_path, factors={"tissue": {"wrong": level}}))
    with pytest.raises(ConfigError, match=message) as caught:
        list(benchmark_fields(config))
    assert "wrong" in str(caught.value)


def test_a_benchmark_cannot_use_seeds_of_training(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="first_seed"):
        load_benchmark(write(tmp_path, first_seed=5))


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("fields: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad.yaml: not valid YAML"):
        load_benchmark(tmp_path / "bad.yaml")
    with pytest.raises(ConfigError, match=r"none.yaml: cannot be read"):
        load_benchmark(tmp_path / "none.yaml")
