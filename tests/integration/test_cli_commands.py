"""The command line: help, exit statuses, light imports, and every command once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "batch"))

from faulty_reader import FakeFactory
from running import Done, her2, her2_words
from tiny_slides import write_slide

from pathology.config import load_config

COMMANDS = (
    "score", "demo", "plan", "doctor", "models", "config", "export", "ish", "evaluate", "cohort",
    "train", "rescore",
)  # fmt: skip


def python(code: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    base = tmp_path_factory.mktemp("scored")
    write_slide(base / "slides" / "a.tif", dab=0.9)
    out = base / "out"
    return out, her2("score", base / "slides", "--out", out, "--export", "html,geojson")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = her2_words([command, "--help"])
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert f"Example: her2 {command}" in text


def test_the_list_of_commands_is_complete_and_nothing_is_a_stub() -> None:
    text = her2_words(["--help"]).stdout
    for command in COMMANDS:
        assert command in text


def test_help_plan_and_a_finished_run_never_load_torch(scored: tuple[Path, Done]) -> None:
    out, _ = scored
    slides = out.parent / "slides"
    code = (
        "import sys\n"
        "from unittest.mock import patch\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[1] / 'unit' / 'batch')!r})\n"
        "from faulty_reader import FakeFactory\n"
        "from pathology.batch import run, planning\n"
        "from pathology.cli import main\n"
        "from running import with_quick\n"
        "run.make_factory = planning.make_factory = lambda _: FakeFactory()\n"
        "for words in (['--help'], with_quick('plan', sys.argv[1]),\n"
        "              with_quick('score', sys.argv[1], '--out', sys.argv[2]),\n"
        "              ['config'], ['export', sys.argv[2], '--to', 'html']):\n"
        "    try:\n        main(words)\n"
        "    except SystemExit as end:\n        assert end.code == 0, (words, end.code)\n"
        "    assert 'torch' not in sys.modules, words\n"
    )
    done = python(code, slides, out)
    assert done.returncode == 0, done.stderr
    assert "1 done before" in done.stderr


def test_the_doctor_prints_its_first_lines_before_torch_is_loaded() -> None:
    code = (
        "import sys\n"
        "from pathology.cli.doctor import run_checks\n"
        "for check in run_checks():\n"
        "    print(check.name, 'torch' in sys.modules)\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(" ") for line in done.stdout.splitlines())
    assert lines["openslide"] == "False"
    assert lines["packages"] == "False"
    assert lines["devices"] == "True"


def test_score_prints_a_table_and_where_the_results_are(scored: tuple[Path, Done]) -> None:
    out, done = scored
    assert done.returncode == 0, done.stderr
    assert "3+" in done.stdout
    assert "1 slide: 1 scored, 0 not scorable, 0 failed" in done.stdout
    assert f"results in {out}" in done.stdout
    assert "mm²/min" in done.stdout
    assert "[1/1] a-" in done.stderr
    assert (out / "exports" / "html" / "index.html").exists()
    assert list((out / "exports" / "geojson").iterdir())


def test_export_writes_where_it_says(scored: tuple[Path, Done], tmp_path: Path) -> None:
    done = her2_words(["export", str(scored[0]), "--to", "geojson", "--out", str(tmp_path)])
    assert done.returncode == 0, done.stderr
    assert f"in {tmp_path}" in done.stdout
    assert list(tmp_path.iterdir())


def test_export_of_an_unknown_kind_or_no_run_is_a_usage_error(tmp_path: Path) -> None:
    for words in (
        ["export", str(tmp_path), "--to", "pptx"],
        ["export", str(tmp_path), "--to", "html"],
        ["export", str(tmp_path), "--to", ","],
        ["export", str(tmp_path), "--to", ""],
        ["score", str(tmp_path), "--out", str(tmp_path), "--export", ""],
    ):
        done = her2_words(words)
        assert done.returncode == 2, words
        assert done.stderr.startswith("her2: ")
    named = her2_words(["export", str(tmp_path), "--to", ","])
    assert "no kind of export is named. Known kinds: geojson, html, pdf" in named.stderr


def test_a_finished_run_is_exported_without_a_note(
    scored: tuple[Path, Done], tmp_path: Path
) -> None:
    done = her2_words(["export", str(scored[0]), "--to", "html", "--out", str(tmp_path)])
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_guideline_is_refused_before_the_folder_is_bound(tmp_path: Path) -> None:
    slide, out = write_slide(tmp_path / "a.tif"), tmp_path / "out"
    setting = ("--set", "scoring.guideline=nosuch")
    for words in (
        ["score", slide, "--out", out, "--guideline", "nosuch"],
        ["score", slide, "--out", out, *setting],
        ["plan", slide, *setting],
        ["config", *setting],
    ):
        done = her2(*words)
        assert done.returncode == 2, words
        assert "unknown guideline 'nosuch'. Known guidelines: " in done.stderr
        assert done.stdout == ""
        assert not out.exists()


def test_an_input_that_is_the_output_folder_is_named(tmp_path: Path) -> None:
    write_slide(tmp_path / "a.tif")
    done = her2("score", tmp_path, "--out", tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path} is the output folder, which is not searched" in done.stderr


def test_regions_that_fit_no_slide_end_with_status_2(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "a.tif")
    (tmp_path / "regions").mkdir()
    out = tmp_path / "out"
    done = her2("score", slide, "--out", out, "--regions", tmp_path / "regions")
    assert done.returncode == 2
    assert "0 of 1 slides have a region file" in done.stderr
    assert not out.exists()


def test_the_demonstration_hands_force_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []
    monkeypatch.setattr("pathology.cli.demo._write_slides", lambda _: [])
    monkeypatch.setattr(
        "pathology.batch.score_folder", lambda *_, force, **__: given.append(force) or []
    )
    for words in ([], ["--force"]):
        assert her2_words(["demo", "--out", str(tmp_path), *words]).returncode == 0
    assert given == [False, True]


def test_plan_opens_overviews_only_and_lists_refusals(tmp_path: Path) -> None:
    write_slide(tmp_path / "a.tif", dab=0.9)
    write_slide(tmp_path / "no_mpp.tif", mpp=None)
    (tmp_path / "notes.txt").touch()
    journal = tmp_path / "journal"
    done = her2("plan", tmp_path, "--rate", "2", factory=FakeFactory(journal=journal))
    assert done.returncode == 0, done.stderr
    assert "2 slides, 1 refused, 2 other files skipped" in done.stdout or (
        "2 slides, 1 refused, 1 other files skipped" in done.stdout
    )
    assert "missing_mpp" in done.stdout
    assert "2 mm²/min, as given with --rate" in done.stdout
    assert not journal.exists()


def test_config_prints_what_it_can_read_again(tmp_path: Path) -> None:
    done = her2_words(["config", "--set", "scoring.min_tumour_cells=50"])
    assert done.returncode == 0
    path = tmp_path / "mine.yaml"
    path.write_text(done.stdout)
    assert yaml.safe_load(done.stdout)["scoring"]["min_tumour_cells"] == 50
    assert load_config(path) == load_config(overrides=["scoring.min_tumour_cells=50"])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["score"], "Missing argument"),
        (["score", "x.svs"], "Missing option '--out'"),
        (["score", "nowhere.svs", "--out", "o"], "nowhere.svs"),
        (["score", "x.svs", "--out", "o", "--set", "scoring.nothing=1"], "scoring.nothing"),
        (["score", "x.svs", "--out", "o", "--export", "pptx"], "pptx"),
        (["score", "x.svs", "--out", "o", "--workers", "-1"], "workers"),
        (["score", "x.svs", "--out", "o", "--gap-policy", "guess"], "gap_policy"),
        (["config", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["nothing"], "No such command"),
    ],
)
def test_wrong_usage_ends_with_status_2(tmp_path: Path, words: list[str], named: str) -> None:
    done = her2_words(words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert not list(tmp_path.iterdir())


def test_wrong_shards_and_pixel_sizes_end_with_status_2(tmp_path: Path) -> None:
    slide = str(write_slide(tmp_path / "a.tif"))
    for extra in (["--shard", "3/2"], ["--mpp", "0"]):
        done = her2_words(["score", slide, "--out", str(tmp_path / "o"), *extra])
        assert done.returncode == 2
        assert extra[0] in done.stderr


def test_a_defect_of_the_program_ends_with_status_70_and_names_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pathology.config.load_config", lambda *_: 1 / 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    done = her2_words(["config"])
    assert done.returncode == 70
    assert "internal error: ZeroDivisionError" in done.stderr
    (log,) = tmp_path.glob("her2-error-*.log")
    assert str(log) in done.stderr
    assert "Traceback" in log.read_text()
    assert "Traceback" not in done.stderr


def test_models_tells_an_intact_bundle_from_a_changed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathology.assets import models_dir

    bundles = sorted(models_dir().glob("*/*/model.yaml"))
    if not bundles:
        pytest.skip("no bundled model in this checkout")
    done = her2_words(["models"])
    assert done.returncode == 0
    assert "ok  cells  sha256" in done.stdout
    copy = tmp_path / "models" / "/".join(bundles[0].parent.parts[-2:])
    copy.mkdir(parents=True)
    for path in bundles[0].parent.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "weights.safetensors").write_bytes(b"changed")
    monkeypatch.setattr("pathology.assets.models_dir", lambda: tmp_path / "models")
    changed = her2_words(["models"])
    assert changed.returncode == 1
    assert "PROBLEM" in changed.stdout


def test_the_version() -> None:
    from pathology import __version__

    assert her2_words(["--version"]).stdout == f"her2 {__version__}\n"


@pytest.mark.slow
def test_the_demonstration_scores_its_slides_as_they_were_made(tmp_path: Path) -> None:
    done = python("from pathology.cli import main; main()", "demo", "--out", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    assert "5 of 5 as made" in done.stdout
    assert str(tmp_path / "demo" / "results" / "results.csv") in done.stdout
    assert len(list((tmp_path / "demo" / "results" / "slides").glob("*/heatmap.png"))) == 4
