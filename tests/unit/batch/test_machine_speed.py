"""Costs of slides: fitted, kept, and predicted."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest
from faulty_reader import FakeFactory
from hypothesis import given
from hypothesis import strategies as st
from running import Done, her2, quick_config
from tiny_slides import write_slide

from pathology.batch.machine_speed import (
    MachineSpeed,
    fit_cost,
    measure_speed,
    speed_of_run,
    total_seconds,
)
from pathology.batch.planning import plan_slides
from pathology.batch.speed_store import cache_folder, load_speed, save_speed, speed_key
from pathology.config import load_config
from pathology.errors import OutputError


def a_speed(**changes: object) -> MachineSpeed:
    values: dict[str, object] = {
        "source": "here", "host": "h", "device": "cpu", "model": "m", "slides": 3,
        "tissue_mm2": 9.0, "fitted": True, "start_s": 5.0, "slide_s": 1.0, "mm2_s": 2.0,
        "slide_bytes": 10.0, "mm2_bytes": 20.0, "peak_bytes": 1000,
    }  # fmt: skip
    return MachineSpeed.model_validate({**values, **changes})


@given(
    fixed=st.floats(0, 100),
    grown=st.floats(0.01, 100),
    areas=st.lists(st.floats(0.1, 1000), min_size=3, max_size=30),
)
def test_both_parts_of_a_cost_are_found_again(
    fixed: float, grown: float, areas: list[float]
) -> None:
    found = fit_cost(areas, [fixed + grown * area for area in areas])
    if max(areas) < 2 * min(areas):
        assert found is None
        return
    assert found is not None
    for area in areas:
        expected = fixed + grown * area
        assert found.of(slides=1, tissue_mm2=area) == pytest.approx(expected, rel=1e-6)


def test_a_cost_is_never_negative() -> None:
    found = fit_cost([1.0, 2.0, 4.0], [1.0, 3.0, 9.0])
    assert found is not None
    assert found.per_slide == 0
    assert found.per_mm2 > 1


def test_processes_share_slides_but_never_one_slide() -> None:
    speed = a_speed()
    assert total_seconds(speed, [10, 4]) == 5 + 21 + 9
    assert total_seconds(speed, [10, 4], processes=2) == 5 + 21
    assert total_seconds(speed, []) == 5


def test_speeds_are_kept_by_key_and_others_files_are_named_not_used(tmp_path: Path) -> None:
    speed = a_speed()
    path = save_speed("ab", speed, folder=tmp_path / "new")
    assert load_speed("ab", folder=tmp_path / "new") == (speed, "")
    assert load_speed("cd", folder=tmp_path / "new") == (None, "")
    assert [item.name for item in path.parent.iterdir()] == [path.name]
    foreign = json.dumps({**speed.model_dump(), "program": "other"})
    negative = json.dumps({**speed.model_dump(), "mm2_s": -1})
    for text in ("", "{", "[]", "\0", foreign, negative, path.read_text()[:-20]):
        path.write_text(text)
        found, warning = load_speed("ab", folder=tmp_path / "new")
        assert found is None
        assert str(path) in warning
        assert "--measure" in warning


def test_a_cache_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        save_speed("ab", a_speed(), folder=tmp_path / "file")


def test_the_cache_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
    assert cache_folder() == tmp_path / ".cache" / "her2-ihc"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    assert cache_folder() == tmp_path / "c" / "her2-ihc"


def test_the_key_follows_machine_model_device_and_costly_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def key(*overrides: str, model: str = "m", device: str = "cpu") -> str:
        return speed_key(load_config(overrides=list(overrides)), model_sha256=model, device=device)

    base = key()
    assert key("scoring.min_tumour_cells=50") == base  # costs nothing
    others = {
        key("inference.cpu_precision=bf16"),
        key("runtime.workers=7"),
        key(model="n"),
        key(device="cuda"),
    }
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    others.add(key())
    assert base not in others
    assert len(others) == 5


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A run of four slides of different sizes."""
    base = tmp_path_factory.mktemp("finished")
    for index, side in enumerate((512, 800, 1100, 1500)):
        write_slide(base / "slides" / f"{index}.tif", width=side, height=side)
    return base / "out", her2("score", base / "slides", "--out", base / "out")


def run_bytes(out: Path) -> int:
    return sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def test_a_plan_is_within_a_quarter_of_the_truth_on_other_slides(
    finished: tuple[Path, Done], tmp_path: Path
) -> None:
    out, done = finished
    assert done.returncode == 0, done.stderr
    speed = speed_of_run(out)
    assert speed.fitted
    for index, (width, height) in enumerate(((700, 600), (1000, 900), (1400, 1200))):
        write_slide(tmp_path / "other" / f"{index}.tif", width=width, height=height, dab=0.7)
    config = quick_config()
    planned, _ = plan_slides([tmp_path / "other"], config=config, factory=FakeFactory())
    areas = [item.tissue_mm2 for item in planned if item.tiles]
    assert her2("score", tmp_path / "other", "--out", tmp_path / "out").returncode == 0
    written = speed.written.of(slides=len(areas), tissue_mm2=sum(areas))
    assert written == pytest.approx(run_bytes(tmp_path / "out"), rel=0.25)
    taken = json.loads((tmp_path / "out" / "run.json").read_text())["run"]["seconds"]["total"]
    # The machine of a test may be busy with other work at one of the two times.
    assert taken / 5 < total_seconds(speed, areas) < 5 * taken


def test_the_plan_says_where_its_figures_come_from(
    finished: tuple[Path, Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    out, _ = finished
    slides = out.parent / "slides"
    assumed = her2("plan", slides)
    assert assumed.returncode == 0
    assert "assumed for two CPU cores, not measured" in assumed.stdout
    taken = her2("plan", slides, "--from", out)
    assert f"from            run in {out}" in taken.stdout
    assert taken.stderr == ""
    assert "memory " in taken.stdout
    other = her2("plan", slides, "--from", out, "--set", "scoring.min_tumour_cells=50")
    assert "is of another kind of run: scoring.min_tumour_cells" in other.stderr
    both = her2("plan", slides, "--from", out, "--rate", "3")
    assert (both.returncode, "exclude each other" in both.stderr) == (2, True)


def test_a_measured_speed_is_used_by_the_next_plan_and_a_broken_one_is_not(
    finished: tuple[Path, Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "pathology.batch.machine_speed.measure_speed",
        lambda *_: a_speed(source="just now", mm2_s=60.0, start_s=0, slide_s=0),
    )
    slides = finished[0].parent / "slides"
    assert "speed kept in" in her2("plan", slides, "--measure").stderr
    plan = her2("plan", slides)
    assert "from            just now" in plan.stdout
    (kept,) = (tmp_path / "her2-ihc").iterdir()
    assert "not measured" in her2("plan", slides, "--set", "runtime.workers=7").stdout
    kept.write_text("{}")
    broken = her2("plan", slides)
    assert broken.returncode == 0
    assert f"warning: {kept} is not used" in broken.stderr
    assert "not measured" in broken.stdout


def test_without_a_log_or_a_finished_run_there_is_no_speed(
    finished: tuple[Path, Done], tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=r"run\.json"):
        speed_of_run(tmp_path)
    record = json.loads((finished[0] / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(OutputError, match="timed no slide"):
        speed_of_run(tmp_path)
    record["run"]["finished"] = None
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(OutputError, match="no run has finished"):
        speed_of_run(tmp_path)


@pytest.mark.slow
def test_a_machine_is_measured_with_slides_made_for_it() -> None:
    speed = measure_speed(quick_config(), FakeFactory())
    assert speed.slides == 3
    assert speed.fitted
    assert speed.mm2_s > 0
    assert speed.slide_bytes > 0
