"""Evidence on the benchmark: what is reported, per condition, and which fields are the worst."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pathology.synthesis import render_field
from pathology.synthesis.benchmark import BenchmarkConfig, benchmark_fields, benchmark_sha256
from pathology.testing import FakeModel
from pathology.training.evidence import benchmark as evidence_benchmark
from pathology.training.evidence.benchmark import (
    ReadField,
    draw_failures,
    measure_benchmark,
    report_readings,
    worst_fields,
)
from pathology.training.evidence.figures import FIGURES, figures
from pathology.training.evidence.measure import read_rendered_field

FIELDS = 4


@pytest.fixture(scope="module")
def config() -> BenchmarkConfig:
    tissue = {
        "nests": {
            "composition": {"architecture": "solid", "tumour_share": 0.7},
            "staining": {"tumour": [1, 0, 0, 0, 9]},
        },
        "bare": {"composition": {"architecture": "sheet", "tumour_share": 0.6}},
    }
    focus = {"sharp": {"defocus_um": 0.0}, "out": {"defocus_um": 1.0}}
    return BenchmarkConfig(
        version=1, fields=FIELDS, field_px=192, mpp=0.5, first_seed=10_000_000,
        factors={"tissue": tissue, "focus": focus},
    )  # fmt: skip


@pytest.fixture(scope="module")
def read(config: BenchmarkConfig) -> list[ReadField]:
    reader = FakeModel()
    return [
        ReadField(
            field=item, reading=read_rendered_field(reader, render_field(item.spec, item.seed))
        )
        for item in benchmark_fields(config)
    ]


def test_all_figures_are_reported_for_each_reader(config: BenchmarkConfig) -> None:
    told: list[tuple[int, int]] = []
    readers = {"model": FakeModel(), "baseline": FakeModel(min_nucleus_um=9.0)}
    found = measure_benchmark(
        readers, config, limit=2, tell=lambda done, total: told.append((done, total))
    )
    assert json.loads(json.dumps(found)) == found
    assert (found["fields"], found["of_fields"]) == (2, FIELDS)
    assert found["file_sha256"] == benchmark_sha256()
    assert told == [(0, 2), (1, 2), (2, 2)]
    for name, reader in readers.items():
        assert list(found["readers"][name]["figures"]) == list(FIGURES)
        assert found["readers"][name]["sha256"] == reader.sha256
    # Nothing is tumour to a reader that wants nuclei of 9 µm: only the class differs.
    shares = [found["readers"][name]["figures"]["tumour_share_error"]["value"] for name in readers]
    assert shares[1] > shares[0]


def test_conditions_part_the_fields(read: list[ReadField]) -> None:
    report = report_readings(read)
    assert {factor: set(levels) for factor, levels in report["conditions"].items()} == {
        "tissue": {"nests", "bare"},
        "focus": {"sharp", "out"},
    }
    total = report["figures"]["detection_f1"]["n"]
    for levels in report["conditions"].values():
        assert sum(level["detection_f1"]["n"] for level in levels.values()) == total
    mine = [item.reading for item in read if item.field.conditions["tissue"] == "bare"]
    stated = report["conditions"]["tissue"]["bare"]["pattern_accuracy"]["value"]
    assert stated == pytest.approx(figures(mine)["pattern_accuracy"])
    assert np.sum(report["confusion"]) == report["figures"]["pattern_accuracy"]["n"]


def test_the_worst_fields_are_the_worst_and_come_once(
    read: list[ReadField], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_benchmark, "_MIN_TUMOUR", 1)
    worst = worst_fields(read)
    assert len({item["seed"] for item in worst}) == len(worst) == FIELDS
    first = worst[0]
    assert first["figure"] == "detection_f1"
    values = {item.field.seed: figures([item.reading])["detection_f1"] for item in read}
    assert first["value"] == min(values.values()) == values[first["seed"]]
    left = [item for item in read if item.field.seed != first["seed"]]
    share = max(figures([item.reading])["tumour_share_error"] for item in left)
    assert worst[1]["figure"] == "tumour_share_error"
    assert worst[1]["value"] == share


def test_failures_are_drawn_side_by_side(
    config: BenchmarkConfig, read: list[ReadField], tmp_path: Path
) -> None:
    worst: list[dict[str, Any]] = worst_fields(read)[:2]
    path = tmp_path / "failures.jpg"
    draw_failures(FakeModel(), config, worst, path)
    sheet = np.asarray(Image.open(path)).astype(int)
    # Two rows of three pictures of 192 px at twice their size, and gaps.
    assert sheet.shape == (2 * 384 + 6, 3 * 384 + 12, 3)
    field, truth, found = (sheet[:384, x : x + 384] for x in (0, 390, 780))
    assert np.abs(field - truth).mean() > 1
    assert np.abs(truth - found).mean() > 0.5
    assert sheet[:384, 385:389].mean() > 250
