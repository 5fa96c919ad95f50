from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pathology.config import load_config
from pathology.errors import ReasonCode
from pathology.geometry import Box0, Spacing
from pathology.pipeline.classifying import ClassifiedTiles
from pathology.pipeline.quality import judge_quality
from pathology.pipeline.reading import TileReading
from pathology.runs import TileRow
from pathology.tissue import StainCheck, TissueFinding, TissueMask

CONFIG = load_config()
SPACING = Spacing(x=0.5, y=0.5)


def reading_of(*tiles: tuple[float | None, int]) -> TileReading:
    reading = TileReading(spacing=SPACING)
    for tile_id, (focus, n) in enumerate(tiles):
        reading.rows.append(
            TileRow(
                tile_id=tile_id,
                x_px=512 * tile_id,
                y_px=0,
                width_px=512,
                height_px=512,
                status="ok",
                tissue_fraction=1.0,
                focus=focus,
                n_cells=n,
                n_tumour_cells=n,
                n_unstained=n,
            )
        )
    return reading


@pytest.fixture
def finding() -> TissueFinding:
    box = Box0(x=0, y=0, width=512, height=512)
    mask = TissueMask(mask=np.ones((8, 8), dtype=np.bool_), box=box, spacing=SPACING)
    return TissueFinding(
        overview=np.full((8, 8, 3), 200, dtype=np.uint8),
        box=box,
        tissue=mask,
        excluded={},
        white_point=(240.0, 240.0, 240.0),
        tissue_mm2=mask.area_mm2,
        stain=StainCheck(kind="h_dab"),
    )


def test_most_of_the_tumour_out_of_focus_is_a_reason_with_numbers(finding: TissueFinding) -> None:
    found = judge_quality(finding, reading_of((0.3, 300), (0.7, 100)), CONFIG)
    assert found.reasons == (ReasonCode.OUT_OF_FOCUS,)
    assert "75 % of the tumour cells and 50 % of the tissue" in found.explanations[0]
    assert found.measured["out_of_focus_tumour_share"] == 0.75
    assert found.measured["focus_median_tumour_tiles"] == pytest.approx(0.5)
    assert not found.flags


def test_a_part_out_of_focus_is_a_flag(finding: TissueFinding) -> None:
    found = judge_quality(finding, reading_of((0.3, 100), (0.7, 300)), CONFIG)
    assert (found.reasons, found.flags) == ((), {"partly_out_of_focus"})


def test_a_blurred_slide_without_tumour_is_blurred_first(finding: TissueFinding) -> None:
    """Blur hides tumour cells: nothing can be said about their absence."""
    assert judge_quality(finding, reading_of((0.2, 3), (0.3, 0)), CONFIG).reasons == (
        ReasonCode.OUT_OF_FOCUS,
    )
    assert judge_quality(finding, reading_of((0.8, 3), (0.7, 0)), CONFIG).reasons == ()


def test_reasons_of_the_overview_stay_alone(finding: TissueFinding) -> None:
    refused = replace(finding, reasons=(ReasonCode.NOT_IHC,), explanations=("pink",))
    found = judge_quality(refused, reading_of((0.2, 300)), CONFIG)
    assert (found.reasons, found.explanations) == ((ReasonCode.NOT_IHC,), ("pink",))
    assert found.measured["out_of_focus_tumour_share"] == 1.0


def test_a_slide_without_any_structure_left_is_out_of_focus(finding: TissueFinding) -> None:
    found = judge_quality(finding, reading_of((None, 0), (None, 0)), CONFIG)
    assert found.reasons == (ReasonCode.OUT_OF_FOCUS,)
    assert found.measured["out_of_focus_tissue_share"] == 1.0
    assert judge_quality(finding, reading_of((None, 300), (0.7, 100)), CONFIG).reasons == (
        ReasonCode.OUT_OF_FOCUS,
    )


def test_tiles_that_could_not_be_read_are_not_blurred(finding: TissueFinding) -> None:
    reading = reading_of((0.7, 300), (None, 0), (None, 0))
    reading.rows[1:] = [replace(row, status="failed") for row in reading.rows[1:]]
    found = judge_quality(finding, reading, CONFIG)
    assert (found.reasons, found.flags) == ((), frozenset())
    assert found.measured["out_of_focus_tissue_share"] == 0.0


def test_a_tile_model_is_held_against_the_minimum_of_tiles(finding: TissueFinding) -> None:
    """60 sharp tumour tiles decide, however much other tissue is blurred."""
    sharp, blurred = [(0.7, 1)] * 60, [(0.2, 0)] * 90
    reading = ClassifiedTiles(spacing=SPACING, side_um=256.0, outputs="patterns")
    reading.rows = reading_of(*sharp, *blurred).rows
    assert judge_quality(finding, reading, CONFIG).reasons == ()
    reading.rows = reading_of(*sharp, *[(0.2, 1)] * 90).rows
    assert "60 % of the tumour tiles" in judge_quality(finding, reading, CONFIG).explanations[0]
