"""Commands keep the files of others in the folder that they are given; own ones they write over."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "batch"))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "cohort"))

from exporting import SCORED, write_run
from running import Done, her2_words
from trial import make_rows, write_rows

from pathology.cli import demo
from pathology.errors import OutputError, UsageError
from pathology.report import EXPORT_KINDS, ExportOptions, export
from pathology.report.job import gather_job
from pathology.runs.outputs import WRITTEN
from pathology.synthesis import SlideSpec

THEIRS = b"a year of work"


def her2(*words: object) -> Done:
    return her2_words([str(word) for word in words])


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refused(done: Done, file: Path) -> None:
    """Check that the user's file is as it was, and that the error names it."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"her2: {file}: is there already" in done.stderr
    assert "--out" in done.stderr
    assert file.read_bytes() == THEIRS


def put(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(THEIRS)
    return file


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_run(tmp_path / "run", n_cells=60)
    return tmp_path / "run"


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("cohort") / "patients.csv", make_rows(60))


@pytest.mark.parametrize("kind", ["geojson", "html", "tables", "fhir"])
def test_an_export_writes_over_exports_and_keeps_the_rest(
    run: Path, tmp_path: Path, kind: str
) -> None:
    out = tmp_path / "out"
    words = ("export", run, "--to", kind, "--names", "original", "--no-review", "--out", out)
    notes = put(out / "notes.txt")
    assert her2(*words).returncode == 0
    first = contents(out)
    assert her2(*words).returncode == 0
    assert contents(out) == first
    assert notes.read_bytes() == THEIRS
    # Every one of its files is somebody's in turn.
    for name in sorted(first.keys() - {WRITTEN, "notes.txt"}):
        other = tmp_path / f"other-{name}"
        file = put(other / name)
        refused(her2(*words[:-1], other), file)
        assert contents(other) == {name: THEIRS}


def test_an_export_into_the_run_folder_keeps_the_tables_of_the_run(run: Path) -> None:
    before = contents(run)
    done = her2("export", run, "--to", "tables", "--names", "original", "--no-review", "--out", run)
    assert done.returncode == 2
    assert "cases.csv: is there already" in done.stderr
    assert contents(run) == before


def test_one_of_several_kinds_in_the_way_stops_all(run: Path, tmp_path: Path) -> None:
    file = put(tmp_path / "out" / "html" / "index.html")
    done = her2("export", run, "--to", "tables,html", "--out", tmp_path / "out")
    refused(done, file)
    assert contents(tmp_path / "out") == {"html/index.html": THEIRS}
    assert not (run / "pseudonyms.json").exists()


def test_a_report_with_remarks_is_kept(run: Path) -> None:
    words = ("export", run, "--to", "html", "--names", "original")
    assert her2(*words).returncode == 0
    page = run / "exports" / "html" / f"{SCORED}.html"
    page.write_bytes(THEIRS)
    refused(her2(*words), page)


@pytest.mark.parametrize("kind", EXPORT_KINDS)
def test_the_kinds_name_all_files_that_they_write(run: Path, tmp_path: Path, kind: str) -> None:
    try:
        EXPORT_KINDS[kind].check()
    except UsageError as error:
        pytest.skip(str(error))
    choice = ExportOptions(names=True)
    written = export(run, [kind], tmp_path / "out", options=choice)[kind]
    assert written
    assert {path.name for path in written} <= set(EXPORT_KINDS[kind].files(gather_job(run, choice)))


def test_a_cohort_study_writes_over_studies_and_keeps_the_rest(
    patients: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("cohort", "select", patients, "--control", "TPC", "--out", out)
    notes = put(out / "notes.txt")
    assert her2(*words).returncode == 0
    first = contents(out)
    assert {"cohort.html", "cohort.json", "tables.csv", "flow.csv", "notes.txt"} <= first.keys()
    assert her2(*words, "--control", "T-DXd").returncode == 0
    assert contents(out)["cohort.json"] != first["cohort.json"]
    assert notes.read_bytes() == THEIRS
    for name in sorted(first.keys() - {WRITTEN, "notes.txt"}):
        other = tmp_path / f"other-{name}"
        file = put(other / name)
        refused(her2(*words[:-1], other), file)
        assert contents(other) == {name: THEIRS}


def test_an_evaluation_writes_over_evaluations_and_keeps_the_rest(
    run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    readers = tmp_path / "readers.csv"
    readers.write_text(f"slide_id,reader,score\n{SCORED},A,2+\n", encoding="utf-8")
    words = ("evaluate", run, "--readers", readers, "--replicates", 100, "--out", out)
    notes = put(out / "tables" / "notes.txt")
    assert her2(*words).returncode == 0
    first = contents(out)
    done = her2(*words)
    assert done.returncode == 2
    assert "holds an evaluation" in done.stderr
    readers.write_text(f"slide_id,reader,score\n{SCORED},B,3+\n", encoding="utf-8")
    assert her2(*words, "--force").returncode == 0
    assert contents(out)["evaluation.html"] != first["evaluation.html"]
    assert notes.read_bytes() == THEIRS
    for name in sorted(first.keys() - {WRITTEN, "tables/notes.txt"}):
        other = tmp_path / f"other-{Path(name).name}"
        file = put(other / name)
        refused(her2(*words[:-1], other, "--force"), file)
        assert contents(other) == {name: THEIRS}


def test_a_demonstration_keeps_a_slide_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = SlideSpec(kind="blank", piece_mm=0.3)
    monkeypatch.setattr(demo, "demo_slides", lambda: {"a.tif": (spec, 1), "b.tif": (spec, 2)})
    slides = tmp_path / "demo" / "slides"
    file = put(slides / "b.tif")
    with pytest.raises(OutputError, match=r"b\.tif: is there already.*`her2 demo`"):
        demo._write_slides(slides)
    assert file.read_bytes() == THEIRS
    file.unlink()
    demo._write_slides(slides)
    made = contents(slides)
    assert made["b.tif"] != made["a.tif"]
    # A demonstration of another version left other slides: they are used again, as are its results.
    monkeypatch.setattr(demo, "demo_slides", lambda: {"a.tif": (spec, 3), "b.tif": (spec, 2)})
    assert demo._write_slides(slides) == [slides / "a.tif", slides / "b.tif"]
    assert contents(slides) == made
