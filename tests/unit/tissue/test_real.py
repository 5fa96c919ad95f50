"""Real slides: what must pass passes, what must be refused is refused, for the right reason."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from pathology.config import load_config
from pathology.tissue import TissueFinding, find_tissue
from pathology.wsi import open_slide

pytestmark = pytest.mark.real


def _rows() -> list[dict[str, str]]:
    folder = os.environ.get("HER2_REAL_DATA")
    if not folder:
        return []
    with (Path(folder) / "labels.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def _find(file: str) -> TissueFinding:
    with open_slide(Path(os.environ["HER2_REAL_DATA"]) / file) as slide:
        return find_tissue(slide, load_config())


if not os.environ.get("HER2_REAL_DATA"):
    pytest.skip("HER2_REAL_DATA is not set", allow_module_level=True)


@pytest.mark.parametrize("row", _rows(), ids=lambda row: Path(row["file"]).stem)
def test_only_the_expected_slides_are_refused(row: dict[str, str]) -> None:
    finding = _find(row["file"])
    expected = [row["expect_reason"]] if row["expect_reason"] in {"no_tissue", "not_ihc"} else []
    assert [str(reason) for reason in finding.reasons] == expected
    assert "white_point_uncertain" not in finding.flags
    if "no_tissue" in expected:
        assert finding.tissue_mm2 < 0.005


#: Area inside the outline of each core, from its diameter or drawn by eye on the overview, in mm².
CORES = {
    "cores/0_a6d0d6a6.tif": 1.05,
    "cores/0_aa1da043.tif": 1.04,
    "cores/1_154ae963.tif": 1.22,
    "cores/2_ac717549.tif": 1.10,
    "cores/3_a1f1510c.tif": 1.07,
}


@pytest.mark.parametrize("file", CORES)
def test_cores_are_covered(file: str) -> None:
    finding = _find(file)
    assert finding.tissue_mm2 == pytest.approx(CORES[file], rel=0.06)
    assert finding.white_point == pytest.approx((236, 235, 243), abs=2)
