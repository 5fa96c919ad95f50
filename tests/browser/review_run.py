"""A small finished run for the review page: synthetic slides, scored with the fake model."""

from __future__ import annotations

from pathlib import Path

from pathology.config import load_config
from pathology.pipeline import SlideRequest, score_slide
from pathology.provenance import versions
from pathology.runs import (
    RunFolder,
    RunInfo,
    RunKey,
    SlideResult,
    make_slide_id,
    now,
    write_cases,
    write_results,
)
from pathology.synthesis import SlideSpec, render_slide, write_slide
from pathology.testing import FakeModel

#: File name, specification, case and block; one name is an attack on pages that do not escape.
SLIDES: tuple[tuple[str, SlideSpec, str, str], ...] = (
    ("B24-101_A1_HER2.tif", SlideSpec(score="2+", piece_mm=0.6, mpp=0.25), "B24-101", "A1"),
    ("B24-101_A1_HE.tif", SlideSpec(kind="he", piece_mm=0.6), "B24-101", "A1"),
    ("B24-102_A1_HER2.tif", SlideSpec(score="3+", piece_mm=0.5), "B24-102", "A1"),
    ("B24-102_B2_HER2.tif", SlideSpec(score="1+", near_cutoff=True, piece_mm=0.5), "B24-102", "B2"),
    ("<script>alert(1)<_script>.tif", SlideSpec(score="0", piece_mm=0.5), "<b>B24-103</b>", "A1"),
    ("B24-104_A1_HER2.tif", SlideSpec(kind="blank", piece_mm=0.5), "B24-104", "A1"),
)


def make_run(root: Path, *, names: tuple[str, ...] | None = None) -> list[SlideResult]:
    """Write slides into ``root/slides`` and score them into ``root/run``."""
    slides = root / "slides"
    slides.mkdir(parents=True, exist_ok=True)
    config = load_config(
        overrides=["tiling.tile_px=256", "scoring.bootstrap_replicates=100",
                   "scoring.min_tumour_cells=40"]
    )  # fmt: skip
    reader = FakeModel(config)
    key = RunKey.of(config, model=reader.name, model_sha256=reader.sha256)
    with RunFolder(root / "run", key, force=True) as run:
        results = []
        for number, (name, spec, case, block) in enumerate(SLIDES):
            if names is not None and name not in names:
                continue
            path = slides / name
            if not path.exists():
                write_slide(render_slide(spec, 9_300 + number), path)
            request = SlideRequest(
                path=path, display_path=str(path), case_id=case, block_id=block, assay="4B5"
            )
            results.append(
                score_slide(
                    path,
                    out_dir=run.path,
                    slide_id=make_slide_id(name),
                    request=request,
                    reader=reader,
                    config=config,
                )
            )
        ordered = write_results(run.path, results)
        write_cases(run.path, ordered)
        run.write_info(
            RunInfo(
                command=("her2", "score", "slides"),
                versions=versions(),
                host="h",
                device="cpu",
                started=now(),
                finished=now(),
            )
        )
    return ordered
