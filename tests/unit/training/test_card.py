"""The card says what was measured, what was not, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pathology.errors import UsageError
from pathology.inference.bundled import find_model
from pathology.inference.manifest import ModelInput, ModelManifest, NetworkSpec, StainVectors
from pathology.training.evidence.cameras import FIGURES as CAMERA_FIGURES
from pathology.training.evidence.card import render_evidence_card
from pathology.training.evidence.card_tables import FIGURE_NAMES, table
from pathology.training.evidence.figures import FIGURES

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture
def manifest() -> ModelManifest:
    return ModelManifest(
        name="tiny", version="0.0.1", network=NetworkSpec(name="cellnet"),
        input=ModelInput(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=64),
        stain=StainVectors(haematoxylin=(0.65, 0.7, 0.29), dab=(0.27, 0.57, 0.78)),
        licence="Apache-2.0", intended_use="Only for tests.",
        training={
            "data": "procedural tissue",
            "settings": {
                "sources": [{"kind": "synthetic", "fields": 2400, "seed": 0}],
                "steps": 6000, "batch": 4,
            },
            "hardware": "2 × cpu, bf16", "parameters": 481413, "weights_of_step": 5000,
            "chosen": "best",
        },
        weights_sha256="ab" * 32,
    )  # fmt: skip


def metric(value: float | None) -> dict[str, float | int | None]:
    return {"value": value, "low": 0.111, "high": 0.999, "n": 1234}


def reader(value: float) -> dict[str, Any]:
    figures = {name: metric(value) for name in FIGURES}
    return {
        "name": "tiny/0.0.1", "sha256": "ab" * 32, "figures": figures,
        "conditions": {
            "focus": {"sharp": figures, "out": figures},
            "tissue": {"normal_tissue": figures | {"pattern_accuracy": metric(None)}},
        },
        "confusion": [[1] * 5] * 5,
        "worst": [
            {"seed": 10000007, "conditions": {"focus": "out"}, "figure": "detection_f1",
             "value": 0.515}
        ],
    }  # fmt: skip


@pytest.fixture
def evidence() -> dict[str, Any]:
    rate = {"k": 199, "n": 200, "low": 0.972, "high": 0.9999}
    change = {"ihc_score": "2+", "h_score": 81.26, "n_tumour_cells": 900, "ok": True}
    real = {
        "file": "cores/a.tif", "expect": "0|1+", "expect_reason": "", "ok": False,
        "tumour_share": 0.123, "status": "scored", "ihc_score": "2+", "reasons": [],
        "n_tumour_cells": 4321, "h_score": 12.3, "mean_membrane_od": 0.0456,
    }  # fmt: skip
    return {
        "weights_sha256": "ab" * 32,
        "bundle": {
            "kflop_per_px": 25.4, "weights_mb": 2.1, "parameters": 481413,
            "golden_difference": 2e-6, "onnx_difference": 3e-7,
        },
        "benchmark": {
            "version": 1, "file_sha256": "cd" * 32, "specs_sha256": "ef" * 32, "generator": "0",
            "fields": 120, "of_fields": 120, "field_px": 512,
            "readers": {"model": reader(0.876), "baseline": reader(0.654)},
        },
        "cameras": {
            "fields": 120,
            "readers": {
                name: {
                    "views": [
                        {"view": view, **dict.fromkeys(CAMERA_FIGURES, metric(value))}
                        for view in ("as it was", "pale colours")
                    ]
                }
                for name, value in (("model", 0.789), ("baseline", 0.567))
            },
        },
        "slides": {
            "slides": 300, "clear": 200, "near": 110, "min_tumour_cells": 2012, "tiers": {},
            "readers": {
                "model": {
                    **dict.fromkeys(("exact_clear", "exact_near", "exact_all", "tier_exact"), rate),
                    "confusion": {"0": {"0": 60, "1+": 1}, "1+": {"1+": 59}},
                    "fraction_error_pp": {},
                    "wrong": [
                        {
                            "index": 7, "seed": 11000007, "distance_pp": 8.38,
                            "truth": {"ihc_score": "0", "pct_incomplete_faint": 1.6},
                            "found": {
                                "status": "scored", "ihc_score": "1+",
                                "pct_incomplete_faint": 0.7,
                                "pct_incomplete_moderate_intense": 1.1,
                            },
                        },
                        {
                            "index": 8, "seed": 11000008, "distance_pp": 10.0,
                            "truth": {"ihc_score": "1+", "pct_incomplete_faint": 30.0},
                            "found": {"status": "not_scorable", "ihc_score": None},
                        },
                    ],
                }
            },
        },
        "real": {"readers": {"model": {"as_expected": 0, "n": 1, "rows": [real]}}},
        "nuclei": {
            "within_um": 4.0,
            "readers": {"model": {"f1": 0.812, "recall": 0.8, "precision": 0.824, "n": 346}},
        },
        "robustness": {
            "h_share": 0.1, "h_points": 5.0,
            "readers": {
                "model": {
                    "stable": 1, "n": 2,
                    "slides": {"cores/a.tif": {"none": change, "jpeg_70": change | {"ok": False}}},
                }
            },
        },
    }  # fmt: skip


def test_every_figure_has_a_name() -> None:
    assert list(FIGURE_NAMES) == list(FIGURES)


def test_the_card_holds_every_number_beside_the_baseline(
    manifest: ModelManifest, evidence: dict[str, Any]
) -> None:
    log = [{"date": "2026-01-02", "model": "tiny/0.0.1", "sha256": "ab" * 32, "what": "real",
            "outcome": "9 of 10 as expected"}]  # fmt: skip
    text = render_evidence_card(manifest, evidence, log=log, picture="failures.jpg")
    assert text.startswith("# tiny/0.0.1\n\n**Research use only.** Only for tests.\n")
    for part in (
        "2,400 fields of procedural tissue", "seeds 0 to 2,399", "2 × cpu, bf16", "5,000 (best)",
        "481,413", "25.4 kFLOP per pixel", "2.1 MB", "2.0e-06", "3.0e-07",
        "| Cells found: F1 within 3 µm | ≥ 0.92 | 0.876 | 0.111 to 0.999 (n 1,234) | 0.654 |",
        "| normal tissue | 1,234 |", "199 of 200 (97.2 to 100.0 %)", "at least 2,012 tumour cells",
        "| true 0 | 60 | 1 |", "| 11000007 | 0 (1.6 % stained) | 1+ (1.8 %) | 8.4 |",
        "| 11000008 | 1+ (30.0 % stained) | not scorable (0.0 %) | 10.0 |",
        "| cores/a.tif | 0 or 1+ | 2+ | **no** | 4,321 | 12.3 % | 12.3 |",
        "| model | 0.812 | 0.800 | 0.824 | 346 |", "| none | 2+, 81.3 |", "| **2+, 81.3** |",
        "| model | pale colours | 0.789 (0.111 to 0.999, n 1,234) |",
        "| classical | as it was | 0.567 (",
        "1 of 2 stable", "10000007", "0.515", "![Worst fields](failures.jpg)",
        "| 2026-01-02 | tiny/0.0.1 | abababababab | real | 9 of 10 as expected |",
        "abababab", "cdcdcdcd", "not clinical validity",
    ):  # fmt: skip
        assert part in text, part
    assert "Not measured yet" not in text
    assert "nan" not in text.split()


def test_what_was_not_measured_is_said(manifest: ModelManifest, evidence: dict[str, Any]) -> None:
    del evidence["slides"], evidence["benchmark"]
    text = render_evidence_card(manifest, evidence)
    assert text.count("Not measured yet.") == 2
    assert "## Whole synthetic slides\n\nNot measured yet." in text
    assert "Known failures" not in text
    assert "None so far." in text


def test_a_part_of_the_benchmark_is_called_a_part(
    manifest: ModelManifest, evidence: dict[str, Any]
) -> None:
    evidence["benchmark"]["fields"] = 12
    assert "12 fields **(a part of them)**" in render_evidence_card(manifest, evidence)


def test_tables_are_rectangular(manifest: ModelManifest, evidence: dict[str, Any]) -> None:
    widths: list[int] = []
    for line in render_evidence_card(manifest, evidence).splitlines():
        if line.startswith("|"):
            widths.append(line.count("|"))
        else:
            assert len(set(widths)) <= 1
            widths = []
    assert table(("a", "b"), []) == "| a | b |\n|---|---|\n"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.delitem(sys.modules, "evaluate_model", raising=False)
    spec = importlib.util.spec_from_file_location("evaluate_model", SCRIPTS / "evaluate_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bundled_sha256() -> str:
    from pathology.inference.manifest import read_manifest

    return read_manifest(find_model("her2-cells")).weights_sha256


def test_the_card_is_written_from_the_json(
    script: ModuleType, evidence: dict[str, Any], tmp_path: Path
) -> None:
    evidence["weights_sha256"] = bundled_sha256()
    kept, card = tmp_path / "evidence.json", tmp_path / "CARD.md"
    kept.write_text(json.dumps(evidence))
    log = tmp_path / "log.jsonl"
    log.write_text(
        json.dumps({"date": "2026-01-02", "model": "m", "sha256": "0" * 64, "what": "real",
                    "outcome": "fine"}) + "\n"
    )  # fmt: skip
    arguments = ["--card", "--json", str(kept), "--card-file", str(card), "--log", str(log)]
    assert script.main(arguments) == 0
    text = card.read_text(encoding="utf-8")
    assert "| Cells found: F1 within 3 µm | ≥ 0.92 | 0.876 |" in text
    assert "| 2026-01-02 | m |" in text
    assert json.loads(kept.read_text()) == evidence


def test_figures_of_other_weights_make_no_card(
    script: ModuleType, evidence: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "evidence.json"
    kept.write_text(json.dumps(evidence))
    card = tmp_path / "CARD.md"
    assert script.main(["--card", "--json", str(kept), "--card-file", str(card)]) == 2
    assert "measured with other weights" in capsys.readouterr().err
    assert not card.exists()


def test_parts_collect_in_the_json_and_real_ones_in_the_log(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, log = tmp_path / "evidence.json", tmp_path / "log.jsonl"
    kept.write_text(json.dumps({"weights_sha256": bundled_sha256(), "slides": {"kept": True}}))
    found = {"readers": {"model": {"f1": 0.8125, "n": 346}}}
    monkeypatch.setitem(script.RUNS, "nuclei", lambda _: found)
    assert script.main(["--nuclei", "--json", str(kept), "--log", str(log)]) == 0
    after = json.loads(kept.read_text())
    assert (after["slides"], after["nuclei"]) == ({"kept": True}, found)
    line = json.loads(log.read_text())
    assert line["outcome"] == "F1 0.812 of 346 nuclei"
    assert line["sha256"] == bundled_sha256()


def test_figures_of_other_weights_are_left_behind(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "evidence.json"
    kept.write_text(json.dumps({"weights_sha256": "0" * 64, "slides": {"kept": False}}))
    monkeypatch.setitem(script.RUNS, "bundle", lambda _: {"kflop_per_px": 1.0})
    assert script.main(["--bundle", "--json", str(kept)]) == 0
    assert set(json.loads(kept.read_text())) == {"weights_sha256", "bundle"}


@pytest.mark.parametrize(
    ("part", "model", "words"),
    [
        (
            "real",
            {
                "as_expected": 9,
                "n": 10,
                "rows": [{"file": "a", "ok": True}, {"file": "b", "ok": 0}],
            },
            "9 of 10 as expected; not: b",
        ),
        ("robustness", {"stable": 50, "n": 54}, "50 of 54 stable"),
    ],
)
def test_outcomes_are_told_in_a_few_words(
    script: ModuleType, part: str, model: dict[str, Any], words: str
) -> None:
    assert script.outcome_of(part, {"readers": {"model": model}}) == words


def test_without_real_data_real_parts_say_what_is_missing(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HER2_REAL_DATA", raising=False)
    with pytest.raises(UsageError, match="HER2_REAL_DATA"):
        script.real_data()


@pytest.mark.parametrize("arguments", [[], ["--card"], ["--robustness", "--changes", "unknown"]])
def test_senseless_arguments_are_refused(script: ModuleType, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        script.main(arguments)
    assert caught.value.code == 2
