"""The estimate of many slides: arithmetic, and refusals."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pathology.batch.machine_speed import Cost

SCRIPT = Path(__file__).parents[2] / "scripts" / "estimate_scale.py"
GIVEN = ("--slide-s", "10", "--mm2-s", "0.5", "--slide-bytes", "2e6", "--mm2-bytes", "2e5")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("estimate_scale", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["estimate_scale"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def scale(script: ModuleType, **changes: float) -> object:
    values = {
        "slides": 1000, "mm2": 100.0, "input_gb": 2.0, "read_share": 0.5, "processes": 2.0,
        "efficiency": 0.5, "deadline_days": 0.25, "months": 3.0, "machine_hour": 1.0,
        "gb_month": 0.1, "gb_network": 0.01,
    }  # fmt: skip
    return script.Scale(**{**values, **changes})


def test_an_estimate_worked_out_by_hand(script: ModuleType) -> None:
    seconds, written = Cost(per_slide=10, per_mm2=0.5), Cost(per_slide=2e6, per_mm2=2e5)
    found = script.estimate(scale(script), seconds, written)
    assert found.process_hours == pytest.approx(1000 * 60 / 3600)
    assert found.machine_hours == pytest.approx(1000 * 60 / 3600)  # two processes, half the time
    assert found.machines == 3  # 16.7 hours in 6
    assert (found.input_gb, found.output_gb) == (2000, pytest.approx(22))
    assert found.network_gb == pytest.approx(1022)
    assert found.gbit_per_s == pytest.approx(1022 * 8 / 21_600)
    assert found.money == pytest.approx(16.6667 + 2022 * 0.3 + 10.22, rel=1e-5)


@pytest.mark.parametrize(
    "changes", [{"slides": 0}, {"mm2": 0}, {"efficiency": 1.5}, {"months": -1}, {"mm2": 1e400}]
)
def test_impossible_terms_are_refused(script: ModuleType, changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        scale(script, **changes)


def test_given_figures_need_no_run_and_every_assumption_is_printed(
    script: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["x", *GIVEN, "--table", "--currency", "CHF"])
    assert script.main() == 0
    shown = capsys.readouterr().out
    assert shown.count("as given") == 4
    for name, _, meaning in script.ASSUMPTIONS:
        assert f"--{name}" in shown
        assert meaning in shown
    assert "CHF" in shown
    assert "EUR" not in shown


@pytest.mark.parametrize("words", [[], [*GIVEN[:6]], [*GIVEN, "--slides", "0"]])
def test_what_cannot_be_worked_out_is_an_error(
    script: ModuleType, words: list[str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["x", *words])
    assert script.main() == 2
    foreign = tmp_path / "speed.json"
    foreign.write_text("{}")
    monkeypatch.setattr(sys, "argv", ["x", "--speed", str(foreign)])
    assert script.main() == 2
    assert "is no measured speed" in capsys.readouterr().err
