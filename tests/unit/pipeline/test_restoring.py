"""What stored tables say of cells: their model's class, and what has to be read."""

from __future__ import annotations

import numpy as np
import pytest

from pathology.cells.table import CELL_CLASSES
from pathology.config import load_config
from pathology.pipeline.restoring import Task, _model_classes, _needed, _rewritten

TUMOUR, IN_SITU, STROMA, OTHER = (
    CELL_CLASSES.index(name) for name in ("tumour", "in_situ", "stroma", "other")
)


def config(tumour_min: float):
    return load_config(overrides=[f"cells.tumour_min={tumour_min}"])


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        # tumour .9, annotated in situ .6, in situ by the model .3, stroma .45
        (0.5, [TUMOUR, TUMOUR, IN_SITU, STROMA]),
        (0.4, [TUMOUR, TUMOUR, IN_SITU, TUMOUR]),
        (0.3, [TUMOUR, TUMOUR, TUMOUR, TUMOUR]),
        (0.7, [TUMOUR, OTHER, IN_SITU, STROMA]),
    ],
)
def test_the_models_classes_are_known_from_the_probability(now: float, expected: list[int]) -> None:
    cells = {
        "cell_class": np.array([TUMOUR, IN_SITU, IN_SITU, STROMA], dtype=np.uint8),
        "tumour_probability": np.array([0.9, 0.6, 0.3, 0.45], dtype=np.float32),
    }
    assert _model_classes(cells, config(0.5), config(now)).tolist() == expected


def test_only_the_columns_that_are_needed_are_read() -> None:
    rule = Task(classes=False, places=False, groups=False)
    assert not {"outline_r", "tumour_probability"} & set(_needed(rule))
    assert _rewritten(rule) == ()
    cut = Task(classes=True, places=False, groups=False)
    assert "ray_od" in _needed(cut)
    assert "outline_r" not in _needed(cut)
    assert not {"membrane_od", "intensity"} & set(_needed(cut))
    drawn = Task(classes=False, places=True, groups=True)
    assert "tumour_probability" in _needed(drawn)
    assert set(_rewritten(drawn)) == {"cell_class", "evaluable"}
