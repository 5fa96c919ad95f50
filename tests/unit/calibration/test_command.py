"""``her2 calibrate`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from laboratory import make_laboratory
from runs_of import write_run

from pathology.calibration import SlideSample
from pathology.cli import main
from pathology.stain.calibration_file import load_calibration


@pytest.fixture(scope="module")
def lab() -> list[SlideSample]:
    return make_laboratory(3, gain=0.6, per_score=3, n=100)


@pytest.fixture(scope="module")
def run(lab: list[SlideSample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "out", lab)


def her2(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def test_it_writes_a_calibration_and_its_report(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], lab: list[SlideSample]
) -> None:
    target = tmp_path / "lab-a.yaml"
    status, out, err = her2(
        capsys, "calibrate", run, "--out", target, "--site", "Lab A", "--assay", "4B5"
    )
    assert (status, err) == (0, "")
    found = load_calibration(target)
    assert (found.name, found.site, found.assay, found.method) == ("lab-a", "Lab A", "4B5", "gain")
    assert found.version == found.created.isoformat()
    assert found.gain_interval is not None
    assert found.gain_interval[0] <= 0.6 <= found.gain_interval[1]
    assert len(found.slides) == 12
    report = json.loads((tmp_path / "lab-a.yaml.report.json").read_bytes())
    assert report["calibration_sha256"] == found.sha256
    assert report["gain"] == found.gain
    assert f"gain        {found.gain:.2f}" in out
    assert "calibrated, left out" in out
    # No slide is named in either file.
    both = target.read_text() + json.dumps(report)
    assert not any(item.slide_id in both for item in lab)


def test_the_same_run_gives_the_same_bytes(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        words = ["calibrate", run, "--out", tmp_path / folder / "lab.yaml"]
        assert her2(capsys, *words, "--created", "2026-01-31")[0] == 0
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["lab.yaml", "lab.yaml.report.json"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_names_are_kept_on_request(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "lab.yaml"
    assert her2(capsys, "calibrate", run, "--out", target, "--with-names")[0] == 0
    assert "path: s3-001.svs" in target.read_text()


def test_labels_decide_and_others_are_counted(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], lab: list[SlideSample]
) -> None:
    labels = tmp_path / "labels.csv"
    rows = [f"{item.slide_id},{('0', '1+', '2+', '3+')[item.rank]}" for item in lab[1:]]
    labels.write_text("\n".join(["slide_id,score", *rows]) + "\n")
    target = tmp_path / "lab.yaml"
    status, out, _ = her2(capsys, "calibrate", run, "--labels", labels, "--out", target)
    assert status == 0
    assert "11 scored slides" in out
    assert "not used: 1 slides without a label" in out
    assert load_calibration(target).slides_per_score == {"0": 2, "1+": 3, "2+": 3, "3+": 3}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--method", "magic"], "--method 'magic'"),
        (["--created", "yesterday"], "--created 'yesterday'"),
        (["--name", "a b"], "name"),
        (["--version", "1/2"], "version"),
        (["--labels", "none.csv"], "none.csv"),
        (["--method", "cutoffs", "--site", "x" * 300], "site"),
    ],
)
def test_wrong_words_end_with_status_2_and_write_nothing(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    part: str,
) -> None:
    status, _, err = her2(capsys, "calibrate", run, "--out", tmp_path / "lab.yaml", *words)
    assert status == 2
    assert part in err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_kept(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "lab.yaml"
    target.write_text("mine")
    status, _, err = her2(capsys, "calibrate", run, "--out", target)
    assert status == 2
    assert "--force" in err
    assert target.read_text() == "mine"
    assert her2(capsys, "calibrate", run, "--out", target, "--force")[0] == 0
    assert load_calibration(target).name == "lab"


@pytest.mark.parametrize("name", [".", "no/lab.yaml"])
def test_a_place_that_cannot_be_written_is_named_before_any_work(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    status, _, err = her2(capsys, "calibrate", run, "--out", tmp_path / name)
    assert status == 2
    assert "folder" in err


def test_too_few_slides_name_those_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lab: list[SlideSample]
) -> None:
    folder = write_run(
        tmp_path / "out", lab[:4], change=lambda _: {"flags": ("white_point_uncertain",)}
    )
    status, _, err = her2(capsys, "calibrate", folder, "--out", tmp_path / "lab.yaml")
    assert status == 2
    assert "at least 4 slides" in err
    assert "s0-000: flagged white_point_uncertain" in err


@pytest.mark.parametrize("content", ["a: [", "schema_version: 7", "scoring: {}"])
def test_score_refuses_a_wrong_calibration_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(content)
    status, _, err = her2(
        capsys, "score", tmp_path, "--out", tmp_path / "out", "--calibration", path
    )
    assert status == 2
    assert "lab.yaml" in err
    assert not (tmp_path / "out").exists()


def test_score_refuses_cut_offs_from_two_places(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "lab.yaml"
    assert her2(capsys, "calibrate", run, "--out", target)[0] == 0
    status, _, err = her2(
        capsys,
        *("score", tmp_path, "--out", tmp_path / "out", "--calibration", target),
        *("--set", "measurement.stained_od=0.1"),
    )
    assert status == 2
    assert "measurement.stained_od" in err
    assert not (tmp_path / "out").exists()


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = her2(capsys, "calibrate", "--help")
    assert status == 0
    assert "Example: her2 calibrate" in out
