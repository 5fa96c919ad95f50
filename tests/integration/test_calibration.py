"""From slides of a pale laboratory to its calibration and to their right scores."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import orjson
import pytest

from pathology.calibration import gather, make_calibration, study_slides
from pathology.cells import reclassify
from pathology.config import Config, load_config
from pathology.errors import ModelError
from pathology.pipeline import SlideRequest, score_slide
from pathology.runs import (
    RunFolder,
    RunInfo,
    RunKey,
    SlideResult,
    now,
    read_cells,
    write_cases,
    write_results,
)
from pathology.scoring import counts_from_codes
from pathology.stain.calibrating import apply_calibration
from pathology.stain.calibration import Calibration
from pathology.synthesis import Appearance, Composition, FieldSpec, Staining, render_field
from pathology.synthesis.slide_spec import score_mix
from pathology.synthesis.tiff import write_pyramid
from pathology.testing import FakeModel

#: What the laboratory's DAB is multiplied by.
GAIN = 0.5
SCORES = ("0", "1+", "2+", "3+")


def paint(folder: Path) -> dict[Path, str]:
    """Paint two slides of each score, with glass beside the tissue."""
    slides = {}
    for place, score in enumerate(SCORES):
        for seed in (7, 107):
            spec = FieldSpec(
                width_px=576,
                height_px=576,
                mpp=0.5,
                composition=Composition(architecture="sheet", tumour_share=0.9, glass_share=0.3),
                staining=Staining(tumour=score_mix(score), blush_od=0.02 if place else 0.0),
                appearance=Appearance(dab_gain=GAIN),
            )
            path = folder / f"s{place}-{seed}.tif"
            pixels = render_field(spec, seed).rgb
            write_pyramid(path, pixels, mpp=0.5, levels=2, compression="jpeg", quality=95)
            slides[path] = score
    return slides


def plain() -> Config:
    return load_config(
        overrides=["tiling.tile_px=256", "stain.probes=2", "scoring.bootstrap_replicates=0"]
    )


def score_all(out: Path, slides: dict[Path, str], config: Config) -> list[SlideResult]:
    """Score slides into a run folder, in this process."""
    reader = FakeModel(config)
    key = RunKey.of(config, model=reader.name, model_sha256=reader.sha256)
    with RunFolder(out, key) as run:
        results = [
            score_slide(
                path,
                out_dir=out,
                slide_id=path.stem,
                request=SlideRequest(
                    path=path, display_path=path.name, expected_score=score, site="Lab A"
                ),
                reader=reader,
                config=config,
            )
            for path, score in slides.items()
        ]
        write_results(out, results)
        write_cases(out, results)
        run.write_info(
            RunInfo(command=(), versions={}, host="", device="cpu", started=now(), finished=now())
        )
    return results


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    return paint(tmp_path_factory.mktemp("pale"))


@pytest.fixture(scope="module")
def before(slides: dict[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("before")
    score_all(out, slides, plain())
    return out


@pytest.fixture(scope="module")
def calibration(before: Path) -> Calibration:
    found = gather(before)
    study = study_slides(found.samples, found.config)
    day = date(2026, 1, 31)
    return make_calibration(study, found, name="lab-a", version="1", created=day)


def right(results: list[SlideResult]) -> int:
    return sum(result.ihc_score == result.expected_score for result in results)


def test_a_pale_laboratory_is_rescued(
    slides: dict[Path, str], before: Path, calibration: Calibration, tmp_path: Path
) -> None:
    with (before / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["ihc_score"] == row["expected_score"] for row in rows) <= 4
    assert {row["calibration"] for row in rows} == {""}
    assert calibration.gain == pytest.approx(GAIN, rel=0.25)
    assert calibration.leave_one_out is not None
    assert calibration.leave_one_out.correct == 8

    config = apply_calibration(plain(), calibration)
    again = dict(list(slides.items())[::2])
    results = score_all(tmp_path / "after", again, config)
    assert right(results) == len(SCORES)
    assert {result.calibration for result in results} == {"lab-a/1"}
    assert all("calibration_slide" in result.flags for result in results)
    assert not any("calibration_mismatch" in result.flags for result in results)
    stored = orjson.loads((tmp_path / "after/slides/s3-7/result.json").read_bytes())
    assert stored["calibration_used"]["sha256"] == calibration.sha256
    assert stored["calibration_used"]["gain"] == calibration.gain
    assert "limit_of_blank_unset" not in stored["flags"]

    # Stored cells, classed again, give the same counts: no slide has to be read again.
    for path in again:
        cells = [
            reclassify(table, config.measurement)
            for table in read_cells(before / "slides" / path.stem / "cells.parquet")
        ]
        fresh = next(result for result in results if result.slide_id == path.stem)
        tumour = [table.take(table.is_tumour) for table in cells]
        assert sum(table.n for table in tumour) == fresh.n_tumour_cells
        found = counts_from_codes(tumour[0].intensity, tumour[0].complete)
        assert found == fresh.counts


def test_slides_of_other_sites_and_other_slides_are_told_apart(
    slides: dict[Path, str], calibration: Calibration, tmp_path: Path
) -> None:
    config = apply_calibration(plain(), calibration)
    path = next(iter(slides))
    other = tmp_path / "other.tif"
    other.write_bytes(path.read_bytes() + b"\0")
    result = score_slide(
        other,
        out_dir=tmp_path / "out",
        slide_id="a",
        request=SlideRequest(path=other, site="Lab B"),
        reader=FakeModel(config),
        config=config,
    )
    assert "calibration_slide" not in result.flags
    assert "calibration_mismatch" in result.flags


def test_another_model_is_refused_before_any_work(
    slides: dict[Path, str], calibration: Calibration, tmp_path: Path
) -> None:
    class Other(FakeModel):
        @property
        def sha256(self) -> str:
            return "0" * 64

    config = apply_calibration(plain(), calibration)
    with pytest.raises(ModelError, match="another model"):
        score_slide(
            next(iter(slides)), out_dir=tmp_path / "out", reader=Other(config), config=config
        )
    assert not (tmp_path / "out").exists()
