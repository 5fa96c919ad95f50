"""Evidence on cameras: the same cells in other pictures, and every reader in every view."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.synthesis import Field, render_field
from pathology.synthesis.benchmark import BenchmarkConfig, benchmark_fields
from pathology.testing import FakeModel
from pathology.training.data.camera import CameraView
from pathology.training.evidence.cameras import (
    FIGURES,
    VIEWS,
    camera_field,
    measure_cameras,
)
from pathology.training.evidence.figures import figures
from pathology.training.evidence.measure import read_rendered_field


@pytest.fixture(scope="module")
def config() -> BenchmarkConfig:
    tissue = {"nests": {"composition": {"architecture": "solid", "tumour_share": 0.7}}}
    return BenchmarkConfig(
        version=1, fields=3, field_px=192, mpp=0.5, first_seed=10_000_000,
        factors={"tissue": tissue},
    )  # fmt: skip


@pytest.fixture(scope="module")
def field(config: BenchmarkConfig) -> Field:
    item = next(iter(benchmark_fields(config)))
    return render_field(item.spec, item.seed)


def test_the_first_view_is_the_picture_itself(field: Field) -> None:
    same = camera_field(field, next(iter(VIEWS.values())))
    np.testing.assert_array_equal(same.rgb, field.rgb)
    assert same.white == pytest.approx(field.white)


@settings(max_examples=25, deadline=None)
@given(contrast=st.floats(1.0, 3.0))
def test_contrast_spreads_around_middle_grey_and_cuts(field: Field, contrast: float) -> None:
    view = camera_field(field, CameraView(contrast=contrast))
    before, after = field.rgb.astype(int), view.rgb.astype(int)
    assert (after[before >= 129] >= before[before >= 129]).all()
    assert (after[before <= 127] <= before[before <= 127]).all()
    assert (after == 255).mean() >= (before == 255).mean()
    wanted = np.clip(128 + contrast * (before - 128.0), 0, 255)
    assert np.abs(after - wanted).max() <= 0.51
    assert all(value <= 255 for value in view.white)
    assert view.cells is field.cells


def test_the_highest_contrast_takes_most_of_the_cytoplasm(field: Field) -> None:
    assert (camera_field(field, VIEWS["contrast 1.6"]).rgb == 255).mean() > 0.2
    assert (field.rgb == 255).mean() < 0.02


def test_each_reader_is_measured_in_each_view(config: BenchmarkConfig) -> None:
    told: list[tuple[int, int]] = []
    readers = {"model": FakeModel(), "baseline": FakeModel(min_nucleus_um=9.0)}
    found = measure_cameras(
        readers, config, limit=2, tell=lambda done, total: told.append((done, total))
    )
    assert json.loads(json.dumps(found)) == found
    assert told == [(0, 2), (1, 2), (2, 2)]
    assert found["fields"] == 2
    for name, reader in readers.items():
        views = found["readers"][name]["views"]
        assert found["readers"][name]["sha256"] == reader.sha256
        assert [view["view"] for view in views] == list(VIEWS)
        assert all(set(view) == {"view", *FIGURES} for view in views)
    fields = [render_field(item.spec, item.seed) for item in benchmark_fields(config)][:2]
    for view in found["readers"]["model"]["views"]:
        own = figures(
            [
                read_rendered_field(readers["model"], camera_field(field, VIEWS[view["view"]]))
                for field in fields
            ]
        )
        assert view["detection_f1"]["value"] == pytest.approx(own["detection_f1"])
