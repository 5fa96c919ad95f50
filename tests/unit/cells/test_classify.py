"""Membrane classes, cell classes, and the table they make."""

from __future__ import annotations

import numpy as np
import pytest

from pathology.cells import (
    CELL_CLASSES,
    INTENSITIES,
    PATTERNS,
    MeasuredCells,
    build_table,
    cell_classes,
    classify,
    reclassify,
)
from pathology.config import MeasurementConfig, load_config

CONFIG = load_config().measurement


def one(rays: list[int], cytoplasm: float = 0.0, **changes: float) -> dict[str, object]:
    """Class one cell: ray densities in 0.01 OD, repeated to 32."""
    config: MeasurementConfig = CONFIG.model_copy(update=changes)
    ray_od = np.array([(rays * 32)[:32]], dtype=np.uint8)
    found = classify(ray_od, np.array([cytoplasm], dtype=np.float32), config)
    return {
        "membrane_od": float(found.membrane_od[0]),
        "stained": float(found.membrane_od_stained[0]),
        "completeness": float(found.membrane_completeness[0]),
        "intensity": INTENSITIES[found.intensity[0]],
        "complete": bool(found.complete[0]),
        "pattern": PATTERNS[found.pattern[0]],
    }


@pytest.mark.parametrize(
    ("od", "intensity"),
    [
        (11, "unstained"),
        (12, "faint"),
        (19, "faint"),
        (20, "weak"),
        (27, "weak"),
        (28, "moderate"),
        (59, "moderate"),
        (60, "intense"),
        (255, "intense"),
    ],
)
def test_a_cut_off_belongs_to_the_stronger_class(od: int, intensity: str) -> None:
    assert one([od])["intensity"] == intensity


@pytest.mark.parametrize(
    ("rays", "pattern"),
    [
        ([0], "unstained"),
        ([15], "complete_weak_moderate"),
        ([30], "complete_weak_moderate"),
        ([90], "complete_intense"),
        ([15, 0], "incomplete_faint"),
        ([25, 0], "incomplete_faint"),
        ([30, 0], "incomplete_moderate_intense"),
        ([90, 0], "incomplete_moderate_intense"),
    ],
)
def test_patterns(rays: list[int], pattern: str) -> None:
    assert one(rays)["pattern"] == pattern


def test_contrast_to_the_cytoplasm_is_exact() -> None:
    # 0.25 - 0.20 is 0.04999… in binary fractions, and yet it reaches 0.05.
    assert one([25], cytoplasm=0.20)["intensity"] == "weak"
    assert one([24], cytoplasm=0.20)["intensity"] == "unstained"
    assert one([25], cytoplasm=0.201)["intensity"] == "unstained"


def test_a_dark_membrane_needs_no_contrast() -> None:
    assert one([59], cytoplasm=0.58)["intensity"] == "unstained"
    assert one([60], cytoplasm=0.58)["intensity"] == "intense"


def test_limit_of_blank_is_taken_off() -> None:
    assert one([15], limit_of_blank_od=0.03)["intensity"] == "faint"
    assert one([14], limit_of_blank_od=0.03)["intensity"] == "unstained"
    found = one([62], limit_of_blank_od=0.03)
    assert found["intensity"] == "moderate"
    assert found["membrane_od"] == pytest.approx(0.59)
    assert found["stained"] == pytest.approx(0.59)
    assert one([1], limit_of_blank_od=0.03)["membrane_od"] == 0.0


def test_shares_at_their_cut_offs() -> None:
    few = [90] * 4 + [0] * 28  # 0.125
    assert one(few)["pattern"] == "incomplete_moderate_intense"
    fewer = one([90] * 3 + [0] * 29)
    assert fewer["pattern"] == "unstained"
    assert fewer["completeness"] == pytest.approx(3 / 32)
    assert fewer["stained"] == pytest.approx(0.9)
    assert one([90] * 26 + [0] * 6)["complete"] is True  # 0.8125
    assert one([90] * 25 + [0] * 7)["complete"] is False  # 0.78
    assert one([90] * 24 + [0] * 8, complete_share=0.75)["complete"] is True


def test_intensity_looks_at_stained_rays_only() -> None:
    found = one([80, 0])
    assert found["intensity"] == "intense"
    assert found["membrane_od"] == pytest.approx(0.4)
    assert found["stained"] == pytest.approx(0.8)


def test_nothing_stained_even_if_no_share_is_asked_for() -> None:
    assert one([0], min_stained_share=0.0)["pattern"] == "unstained"


def test_cell_classes() -> None:
    shares = np.array(
        [[0.7, 0.3, 0, 0, 0, 0], [0.69, 0, 0.31, 0, 0, 0], [0.1, 0.1, 0.1, 0.2, 0.1, 0.4]]
    )
    classes, tumour = cell_classes(shares, tumour_min=0.7)
    assert [CELL_CLASSES[code] for code in classes] == ["tumour", "normal_epithelium", "other"]
    np.testing.assert_allclose(tumour, [0.7, 0.69, 0.1], rtol=1e-6)


def random_measured(n: int, seed: int = 0) -> MeasuredCells:
    rng = np.random.default_rng(seed)
    return MeasuredCells(
        outline_r=rng.integers(10, 60, (n, 32)).astype(np.uint8),
        ray_od=rng.integers(0, 100, (n, 32)).astype(np.uint8),
        cytoplasm_od=rng.uniform(0, 0.4, n).astype(np.float32),
    )


def test_a_table_is_in_reading_order() -> None:
    centres = np.array([[5.0, 9.0], [7.0, 2.0], [1.0, 9.0]])
    table = build_table(
        tile_id=7,
        centres_um=centres,
        probabilities=np.eye(6)[[0, 3, 4]],
        measured=random_measured(3),
        tumour_min=0.5,
        config=CONFIG,
    )
    assert table.tile_id.tolist() == [7, 7, 7]
    assert list(zip(table.x_um, table.y_um, strict=True)) == [(7, 2), (1, 9), (5, 9)]
    assert [CELL_CLASSES[code] for code in table.cell_class] == ["lymphoid", "stroma", "tumour"]
    np.testing.assert_array_equal(table.ray_od[2], random_measured(3).ray_od[0])


def test_classing_again_from_the_table_changes_nothing() -> None:
    table = build_table(
        tile_id=0,
        centres_um=np.zeros((500, 2)),
        probabilities=np.full((500, 6), 1 / 6),
        measured=random_measured(500),
        tumour_min=0.5,
        config=CONFIG,
    )
    again = reclassify(table, CONFIG)
    for name in ("membrane_od", "membrane_od_stained", "intensity", "complete", "pattern"):
        np.testing.assert_array_equal(getattr(table, name), getattr(again, name))
    stricter = reclassify(table, CONFIG.model_copy(update={"complete_share": 1.0}))
    assert stricter.complete.sum() < table.complete.sum()
    np.testing.assert_array_equal(stricter.ray_od, table.ray_od)
