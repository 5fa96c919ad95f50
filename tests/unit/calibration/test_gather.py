"""Labels and runs: what is used, what is left out, and what stops the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laboratory import make_laboratory, make_slide
from runs_of import TILE_CELLS, write_run

from pathology.calibration import Gathered, SlideSample, gather, limit_of_blank, read_labels
from pathology.calibration.gather import DOUBTFUL, MAX_CELLS, _spread
from pathology.config import load_config
from pathology.errors import OutputError, PathologyError, UsageError
from pathology.report.words import FLAG_WORDS
from pathology.scoring import TILE_FLAG
from pathology.stain.calibrating import apply_calibration, reference_cutoffs
from pathology.stain.calibration_file import load_calibration


@pytest.fixture(scope="module")
def lab() -> list[SlideSample]:
    return make_laboratory(1, gain=0.7, per_score=1, n=125)


@pytest.fixture(scope="module")
def run(lab: list[SlideSample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "out", lab)


def csv(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def reasons(found: Gathered) -> dict[str, str]:
    return {item.slide_id: item.reason for item in found.left_out}


# Labels


def test_labels_are_read(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "\ufeffpath,score,role,expected_intensity\n"
        "a.svs,2+,,\n\nb.svs,,control,faint\nc.svs,0,test,\n",
    )
    found = read_labels(path)
    assert [(item.name, item.kind, item.rank) for item in found] == [
        ("a.svs", "test", 2),
        ("b.svs", "control", 1),
        ("c.svs", "test", 0),
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no column 'path' or 'slide_id'"),
        ("path;score\na.svs;3+\n", "separated by semicolons"),
        ("score\n3+\n", "no column 'path' or 'slide_id'"),
        ("path\na.svs\n", "no column 'score'"),
        ("path,score,score\na.svs,0,0\n", "'score' is there twice"),
        ("path,score\n", "there are no labels"),
        ("path,score\na.svs,4+\n", "line 2, column 'score': '4\\+' is not a score"),
        ("path,score\na.svs,3\n", "'3' is not a score"),
        ("path,score\na.svs,nan\n", "'nan' is not a score"),
        ("path,score\na.svs,\n", "'' is not a score"),
        ("path,score\n,0\n", "line 2, column 'path': is empty"),
        ("path,score\na.svs,0,1\n", "line 2: 3 values under 2"),
        ("path,score\na.svs,0\na.svs,1+\n", "line 3: 'a.svs' is there twice"),
        ("path,score,role\na.svs,0,spare\n", "column 'role': 'spare'"),
        ("path,score,role\na.svs,0,control\n", "column 'expected_intensity': ''"),
        ("path,role,expected_intensity\na,control,brown\n", "'brown'"),
        ("path,score,expected_intensity\na,0,negative\n", "is for controls"),
        ('path,score\n"a,0\n', "not valid CSV"),
    ],
)
def test_wrong_labels_are_named(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(UsageError, match=r"labels\.csv.*" + part):
        read_labels(csv(tmp_path, text))


def test_labels_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.csv: the labels cannot be read"):
        read_labels(tmp_path / "none.csv")
    (tmp_path / "labels.csv").write_bytes(b"path,score\n\xff,0\n")
    with pytest.raises(UsageError, match="UTF-8"):
        read_labels(tmp_path / "labels.csv")


# Runs


def test_the_runs_own_expected_scores_serve(run: Path, lab: list[SlideSample]) -> None:
    found = gather(run)
    assert [item.slide_id for item in found.samples] == [item.slide_id for item in lab]
    assert found.model_sha256 == "f" * 64
    for mine, theirs in zip(found.samples, lab, strict=True):
        assert np.array_equal(mine.ray_od, theirs.ray_od)
        assert np.array_equal(mine.cytoplasm_od, theirs.cytoplasm_od)
        assert (mine.rank, mine.quickhash) == (theirs.rank, theirs.quickhash)


def test_an_expected_score_of_a_control_is_a_score_and_no_intensity(
    lab: list[SlideSample], tmp_path: Path
) -> None:
    # Score 0 with 8 % of faint cells: the limit of blank must not reach them.
    rays = np.full((125, 32), 6, dtype=np.uint8)
    rays[:10] = 20
    ultralow = SlideSample(**{**vars(lab[0]), "ray_od": rays, "cytoplasm_od": np.zeros(125, "f4")})
    slides = [ultralow, *lab[1:]]
    folder = write_run(tmp_path / "out", slides, change=lambda _: {"role": "control"})
    found = gather(folder)
    assert {item.kind for item in found.samples} == {"test"}
    assert [item.rank for item in found.samples] == [0, 1, 2, 3]
    blank = limit_of_blank(found.samples, min_stained_share=0.125, cutoffs=reference_cutoffs())
    assert blank is not None
    assert (blank.od, blank.basis) == (0.06, "score_0")
    # Only an expected intensity makes a control of a slide.
    labels = csv(tmp_path, "path,role,expected_intensity\ns0-000,control,negative\n")
    (control,) = gather(folder, read_labels(labels)).samples
    assert (control.kind, control.rank) == ("control", 0)


def test_labels_name_slides_by_id_path_or_file(run: Path, tmp_path: Path) -> None:
    text = "path,score\ns0-000,1+\nslides/s1-000.svs,2+\ns2-000.svs,3+\n"
    found = gather(run, read_labels(csv(tmp_path, text)))
    assert {item.slide_id: item.rank for item in found.samples} == {
        "s0-000": 1,
        "s1-000": 2,
        "s2-000": 3,
    }
    assert reasons(found) == {"s3-000": "no_label"}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("path,score\nother.svs,0\n", r"labels\.csv: line 2: 'other\.svs' is not in the run"),
        ("path,score\ns0-000,0\ns0-000.svs,0\n", "are the same slide"),
        ("path,score\nelsewhere/s2-000.svs,3+\n", "'elsewhere/s2-000.svs' is not in the run"),
        ("path,score\n/s2-000.svs,3+\n", "'/s2-000.svs' is not in the run"),
        ("path,score\nelsewhere\\s2-000.svs,3+\n", r"s2-000\.svs' is not in the run"),
    ],
)
def test_labels_that_do_not_fit_the_run_are_refused(
    run: Path, tmp_path: Path, text: str, part: str
) -> None:
    with pytest.raises(UsageError, match=part):
        gather(run, read_labels(csv(tmp_path, text)))


def test_one_file_name_in_two_folders_is_not_guessed(
    lab: list[SlideSample], tmp_path: Path
) -> None:
    folder = write_run(
        tmp_path / "out", lab[:2], change=lambda item: {"path": f"{item.slide_id}/a.svs"}
    )
    with pytest.raises(UsageError, match="fits 2 slides"):
        gather(folder, read_labels(csv(tmp_path, "path,score\na.svs,0\n")))


def test_slides_that_cannot_be_trusted_are_left_out(lab: list[SlideSample], tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    few = make_slide(rng, 1, n=99, name="few")
    slides: dict[str, dict[str, Any]] = {
        "s0-000": {"flags": ("white_point_uncertain",)},
        "s1-000": {
            "status": "not_scorable",
            "reasons": ("out_of_focus",),
            "ihc_score": None,
            "her2_status": "indeterminate",
            "her2_tier": None,
            "ish_reflex": None,
        },
        "s2-000": {"flags": (TILE_FLAG,)},
        "s3-000": {"identity": None},
    }
    folder = write_run(
        tmp_path / "out", [*lab, few], change=lambda item: slides.get(item.slide_id, {})
    )
    found = gather(folder)
    assert found.samples == ()
    assert reasons(found) == {
        "few": "too_few_cells",
        "s0-000": "doubtful",
        "s1-000": "not_scored",
        "s2-000": "no_cells",
        "s3-000": "no_hash",
    }
    assert "out_of_focus" in next(item.text for item in found.left_out if item.slide_id == "s1-000")


def test_doubtful_flags_are_flags_that_slides_can_have() -> None:
    assert set(FLAG_WORDS) >= DOUBTFUL
    assert {
        "clipped_pixels",
        "nuclear_dab",
        "partly_out_of_focus",
        "scattered_tumour_cells",
    } <= DOUBTFUL


@pytest.mark.parametrize("flag", sorted(DOUBTFUL))
def test_each_doubtful_flag_leaves_its_slide_out(
    lab: list[SlideSample], tmp_path: Path, flag: str
) -> None:
    folder = write_run(tmp_path / "out", lab[:1], change=lambda _: {"flags": (flag,)})
    assert reasons(gather(folder)) == {"s0-000": "doubtful"}


def test_copies_of_a_slide_count_once(lab: list[SlideSample], tmp_path: Path) -> None:
    copy = SlideSample(**{**vars(lab[3]), "slide_id": "z-copy"})
    found = gather(write_run(tmp_path / "out", [*lab, copy]))
    assert len(found.samples) == 4
    assert reasons(found) == {"z-copy": "copy"}


def test_slides_of_two_assays_are_not_mixed(lab: list[SlideSample], tmp_path: Path) -> None:
    def change(item: SlideSample) -> dict[str, Any]:
        return {"assay": "4B5" if item.rank < 2 else "HercepTest", "site": "A"}

    folder = write_run(tmp_path / "out", lab, change=change)
    with pytest.raises(UsageError, match=r"several assays.*--assay"):
        gather(folder)
    found = gather(folder, assay="4B5")
    assert [item.rank for item in found.samples] == [0, 1]
    assert set(reasons(found).values()) == {"other_assay"}
    assert (found.assays, found.sites) == (("4B5",), ("A",))
    assert set(reasons(gather(folder, assay="4B5", site="B")).values()) == {
        "other_assay",
        "other_site",
    }


def test_cells_that_did_not_count_are_not_used(lab: list[SlideSample], tmp_path: Path) -> None:
    # Tile 0 lies outside the drawn tumour: its cells are stored, and none of them counted.
    folder = write_run(tmp_path / "a", lab[3:], counted=lambda _, tile, n: 0 if tile == 0 else n)
    found = gather(folder).samples[0]
    assert np.array_equal(found.ray_od, lab[3].ray_od[TILE_CELLS:])
    # Regions cut every tile: the first cells of each count.
    folder = write_run(tmp_path / "b", lab[3:], counted=lambda _, _tile, n: n // 2)
    (found,) = gather(folder).samples
    kept = np.arange(len(lab[3].ray_od)) % TILE_CELLS < TILE_CELLS // 2
    assert np.array_equal(found.ray_od, lab[3].ray_od[kept])


def test_large_slides_are_thinned_evenly() -> None:
    rows = _spread(100_000)
    assert len(rows) == MAX_CELLS == len(set(rows.tolist()))
    assert (np.diff(rows) == 50).all()
    assert _spread(3).tolist() == [0, 1, 2]


def test_a_run_with_a_calibration_gives_the_same_cells(
    lab: list[SlideSample], run: Path, tmp_path: Path
) -> None:
    from pathology.assets import config_path

    reference = load_calibration(config_path("calibration/reference.yaml"))
    config = apply_calibration(load_config(), reference)
    found = gather(write_run(tmp_path / "out", lab, config=config))
    assert found.config.calibration is not None
    assert found.samples[3].ray_od.tolist() == gather(run).samples[3].ray_od.tolist()


def test_an_unfinished_run_is_refused(lab: list[SlideSample], tmp_path: Path) -> None:
    folder = write_run(tmp_path / "out", lab[:1], finished=False)
    with pytest.raises(OutputError, match="has not finished"):
        gather(folder)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"run\.json"):
        gather(tmp_path)


def test_runs_of_another_version_are_refused(lab: list[SlideSample], tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", lab[:1])
    path = folder / "run.json"
    content = json.loads(path.read_text())
    del content["config"]["measurement"]["weak_od"]
    path.write_text(json.dumps(content))
    with pytest.raises(OutputError, match=r"another version.*weak_od"):
        gather(folder)
    folder = write_run(tmp_path / "b", lab[:1])
    path = folder / "slides" / lab[0].slide_id / "result.json"
    path.write_text(path.read_text().replace('"schema_version": 2', '"schema_version": 0'))
    with pytest.raises(OutputError, match="schema_version"):
        gather(folder)


def test_a_damaged_table_is_named(lab: list[SlideSample], tmp_path: Path) -> None:
    folder = write_run(tmp_path / "out", lab[:1])
    path = folder / "slides" / lab[0].slide_id / "cells.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(PathologyError, match=r"cells\.parquet"):
        gather(folder)


def test_densities_that_are_no_numbers_are_refused(lab: list[SlideSample], tmp_path: Path) -> None:
    cytoplasm = lab[0].cytoplasm_od.copy()
    cytoplasm[5] = np.nan
    with pytest.raises(ValueError, match="finite"):
        SlideSample(**{**vars(lab[0]), "cytoplasm_od": cytoplasm})
