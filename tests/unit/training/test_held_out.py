from __future__ import annotations

import numpy as np
import pytest

from pathology.training.cells import held_out
from pathology.training.cells.held_out import annotated_figures
from pathology.training.data.samples import UNKNOWN_CLASS, Sample

SIDE = 128


class Table:
    """Cells found at these places, in µm."""

    def __init__(self, places: list[tuple[float, float]], classes: list[int]) -> None:
        self.x_um, self.y_um = np.array(places, dtype=float).reshape(-1, 2).T
        self.cell_class = np.array(classes, dtype=np.int64)


def marked(places_um: list[tuple[float, float]], classes: list[int]) -> Sample:
    """The left half of a field is annotated completely."""
    n, coarse = len(places_um), (SIDE // 4, SIDE // 4)
    annotated = np.zeros(coarse, dtype=np.bool_)
    annotated[:, : SIDE // 8] = True
    return Sample(
        rgb=np.zeros((SIDE, SIDE, 3), dtype=np.uint8),
        white=np.full(3, 240, dtype=np.float32),
        centres_px=2 * np.array(places_um, dtype=np.float32).reshape(-1, 2),
        rays_um=np.full((n, 32), np.nan, dtype=np.float32),
        classes=np.array(classes, dtype=np.int64),
        visible=np.ones(n, dtype=np.bool_),
        region=np.full(coarse, 255, dtype=np.uint8),
        annotated=annotated,
    )


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Table]:
    tables: list[Table] = []
    monkeypatch.setattr(held_out, "read_picture", lambda *_, **__: tables.pop(0))
    return tables


def test_cells_count_where_all_are_annotated(found: list[Table]) -> None:
    # x below 32 µm is annotated. Hit; miss; false; found where nobody looked; hit on the border.
    sample = marked([(10, 10), (10, 40), (31, 20)], [0, 0, 4])
    found.append(Table([(11, 10), (20, 20), (50, 50), (32.5, 20)], [0, 0, 0, 0]))
    figures = annotated_figures(None, [sample])  # type: ignore[arg-type]
    assert figures["annotated_detection_f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert figures["annotated_tumour_accuracy"] == 0.5


def test_unknown_classes_and_empty_fields_count_for_nothing(found: list[Table]) -> None:
    found += [Table([(10, 10)], [0]), Table([], [])]
    samples = [marked([(10, 10)], [UNKNOWN_CLASS]), marked([], [])]
    figures = annotated_figures(None, samples)  # type: ignore[arg-type]
    assert figures["annotated_detection_f1"] == 1.0
    assert np.isnan(figures["annotated_tumour_accuracy"])
