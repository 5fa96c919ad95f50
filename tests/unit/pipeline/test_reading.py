from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from shapely.geometry import box as rectangle

from pathology.cells.table import CELL_CLASSES, CellTable
from pathology.config import load_config
from pathology.geometry import Box0, Spacing
from pathology.pipeline.areas import add_drawn_tumour, evaluable_area, inside
from pathology.pipeline.counting import judge_cells
from pathology.pipeline.gathered import TileReading
from pathology.runs import TileRow
from pathology.tissue import RegionKind, Regions, StainCheck, TissueFinding, TissueMask

SPACING = Spacing(x=0.5, y=0.5)
BOX = Box0(x=100, y=40, width=640, height=320)  # mask pixels of 16 level-0 pixels = 8 µm


def mask_of(*cells: tuple[int, int]) -> TissueMask:
    mask = np.zeros((20, 40), dtype=np.bool_)
    for row, col in cells:
        mask[row, col] = True
    return TissueMask(mask=mask, box=BOX, spacing=SPACING)


def finding_of(tissue: TissueMask, **excluded: TissueMask) -> TissueFinding:
    return TissueFinding(
        overview=np.full((20, 40, 3), 240, dtype=np.uint8),
        box=BOX,
        tissue=tissue,
        excluded=excluded,  # type: ignore[arg-type]
        white_point=(240.0, 240.0, 240.0),
        tissue_mm2=tissue.area_mm2,
        stain=StainCheck(kind="h_dab"),
    )


def cells_at(*points: tuple[float, float], kind: str = "tumour") -> CellTable:
    n = len(points)
    empty = CellTable.empty()
    columns = {
        name: np.zeros((n, *getattr(empty, name).shape[1:]), dtype=getattr(empty, name).dtype)
        for name in vars(empty)
    }
    columns["x_um"] = np.array([x for x, _ in points], dtype=np.float32)
    columns["y_um"] = np.array([y for _, y in points], dtype=np.float32)
    columns["cell_class"] = np.full(n, CELL_CLASSES.index(kind), dtype=np.uint8)
    return CellTable(**columns)


def judge(
    cells: CellTable, area: TissueMask, regions: Regions | None
) -> tuple[list[str], list[bool]]:
    classes, counts = judge_cells(
        cells.x_um, cells.y_um, cells.cell_class, area=area, regions=regions, spacing=SPACING
    )
    return [CELL_CLASSES[code] for code in classes], counts.tolist()


def test_cells_count_near_tissue_but_never_in_an_excluded_area() -> None:
    area = evaluable_area(finding_of(mask_of((10, 10)), pen=mask_of((10, 12))))
    assert area.mask[10, 10]
    assert area.mask[10, 8]  # 16 µm away
    assert not area.mask[10, 7]
    assert not area.mask[10, 12]  # pen, though within reach


@pytest.mark.parametrize("kind", ["pen", "black", "no_data", "dust", "edge", "smear"])
def test_ink_and_lost_data_stay_excluded_where_tumour_is_drawn_across_them(kind: str) -> None:
    # Drawn over columns 0 to 12 of the mask; the excluded pixel lies inside.
    regions = Regions(shapes={RegionKind.TUMOUR: rectangle(100, 40, 308, 360)})
    found = finding_of(mask_of((10, 20)), **{kind: mask_of((10, 5))})
    drawn = add_drawn_tumour(found, regions, load_config())
    mistakable = kind in ("dust", "edge", "smear")
    assert drawn.tissue.mask[10, 4]
    assert drawn.tissue.mask[10, 5] == mistakable
    assert evaluable_area(drawn).mask[10, 5] == mistakable
    assert drawn.excluded[kind].mask[10, 5] != mistakable  # type: ignore[index]
    assert drawn.tissue_mm2 == drawn.tissue.area_mm2


def test_places_outside_the_mask_are_outside() -> None:
    mask = mask_of((0, 0), (19, 39))
    x = np.array([100.0, 99.9, 739.9, 740.0, 115.9, 116.0])
    y = np.array([40.0, 40.0, 359.9, 359.9, 55.9, 55.9])
    assert inside(mask, x, y).tolist() == [True, False, True, False, True, False]


def test_annotated_in_situ_cells_leave_the_denominator() -> None:
    whole = replace(mask_of(), mask=np.ones((20, 40), dtype=np.bool_))
    regions = Regions(shapes={RegionKind.IN_SITU: rectangle(100, 40, 300, 360)})
    cells = cells_at((75, 50), (200, 50))  # level-0 pixels (150, 100) and (400, 100)
    assert judge(cells, whole, regions) == (["in_situ", "tumour"], [False, True])


def test_where_tumour_is_drawn_only_cells_inside_count() -> None:
    whole = replace(mask_of(), mask=np.ones((20, 40), dtype=np.bool_))
    regions = Regions(shapes={RegionKind.TUMOUR: rectangle(100, 40, 300, 360)})
    _, counts = judge(cells_at((75, 50), (200, 50)), whole, regions)
    assert counts == [True, False]


@pytest.mark.parametrize("kind", [name for name in CELL_CLASSES if name != "tumour"])
def test_no_other_class_ever_counts(kind: str) -> None:
    whole = replace(mask_of(), mask=np.ones((20, 40), dtype=np.bool_))
    assert judge(cells_at((75, 50), kind=kind), whole, None) == ([kind], [False])


def test_failed_tissue_is_that_of_failed_tiles() -> None:
    reading = TileReading(spacing=SPACING)
    for tile_id, status in enumerate(("ok", "failed")):
        reading.rows.append(
            TileRow(
                tile_id=tile_id,
                x_px=0,
                y_px=0,
                width_px=1000,
                height_px=1000,
                status=status,  # type: ignore[arg-type]
                tissue_fraction=0.4,
            )
        )
    assert reading.failed_mm2 == pytest.approx(0.1)
    assert reading.tissue_mm2 == pytest.approx(0.2)
    assert reading.n_failed == 1
    assert reading.evidence().failed_tissue_mm2 == pytest.approx(0.1)
