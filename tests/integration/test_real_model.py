"""The bundled model on real slides: for looking, never for tuning."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from pathology.inference.bundle import load_model
from pathology.inference.engine import Engine
from pathology.pipeline import score_slide
from pathology.runs.result import SlideResult
from pathology.training.evidence.real import as_expected, measure_nuclei, read_labels, tumour_share

pytestmark = [pytest.mark.real, pytest.mark.slow]

if not os.environ.get("HER2_REAL_DATA"):
    pytest.skip("HER2_REAL_DATA is not set", allow_module_level=True)

DATA = Path(os.environ["HER2_REAL_DATA"])
ROWS = {Path(row.file).stem: row for row in read_labels(DATA)}
#: What the bundled model does not reach yet; the card says by how much. Take a name out here as
#: soon as it holds: the tests then keep it.
UNREACHED = {"share 0_aa1da043", "share 2_ac717549", "nuclei"}
#: Least and largest share of tumour among all cells.
SHARES = {"0_aa1da043": (0.7, 1.0), "3_a1f1510c": (0.7, 1.0), "2_ac717549": (0.0, 0.02)}


def reached(kind: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if f"{kind} {name}" not in UNREACHED]


@pytest.fixture(scope="module")
def model() -> Engine:
    loaded = load_model()
    assert isinstance(loaded, Engine)
    return loaded


@pytest.fixture(scope="module")
def results(model: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, SlideResult]:
    out = tmp_path_factory.mktemp("results")
    return {
        name: score_slide(DATA / row.file, out_dir=out, slide_id=name, reader=model)
        for name, row in ROWS.items()
    }


@pytest.mark.parametrize("name", reached("row", ROWS))
def test_every_row_is_as_expected(name: str, results: dict[str, SlideResult]) -> None:
    found = results[name]
    assert as_expected(ROWS[name], found), (found.status, found.ihc_score, found.reasons)


@pytest.mark.parametrize("name", reached("share", SHARES))
def test_the_denominator_is_tumour(name: str, results: dict[str, SlideResult]) -> None:
    low, high = SHARES[name]
    share = tumour_share(results[name])
    assert share is not None
    assert low <= share <= high


def test_nuclei_of_another_stain_are_found(model: Engine) -> None:
    found = measure_nuclei({"model": model}, DATA)["readers"]["model"]
    assert found["n"] == 346
    if "nuclei" not in UNREACHED:
        assert found["f1"] >= 0.80
    assert found["f1"] >= 0.75  # never worse than the last model (0.76)
